use super::{Change, Edit, Put};

// Stock libsrt lets a handshake size memory and repeat itself:
// - The sender's loss list has twice as many entries as the peer's flow window, up to 25 GB. With `sparing` the list is
//   allocated at the first NAK, where nothing catches std::bad_alloc, and the process ends.
// - Both sides accept an MSS of 64, which turns a message of 1316 bytes into 66 packets.
// - A handshake that is addressed to a connected socket is interpreted again, past the listen callback: it can change the
//   latency or the packet filter, or add the socket to a second group. When the socket is freed, that group keeps a
//   dangling pointer; and each group takes two descriptors. A single handshake may name many groups, too.
//
// With this edit the loss list has room for what the send buffer holds; an MSS is at least 576, which every link
// that carries IP supports; a connected socket ignores further handshakes, except in rendezvous mode, where the
// other side may still need them; and a socket never changes its group.
pub(crate) const EDIT: Edit = Edit {
    name: "bounded-handshake",
    changes: &[
        Change {
            file: "srtcore/core.cpp",
            anchor: "m_pSndLossList = new CSndLossList(m_iFlowWindowSize * 2);",
            put: Put::Replace,
            text: "m_pSndLossList = new CSndLossList(std::max(32, m_config.iSndBufSize) * 2);",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "if (mss_size < MinimumMSS(peer.family()))",
            put: Put::Replace,
            text: "if (mss_size < MinimumMSS(peer.family()) || isTooSmallMSS(m_config.iMSS, w_hs.m_iMSS))",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "static size_t MinimumMSS(int family)",
            put: Put::BeforeLine,
            text: "// Whether the peer's MSS is smaller than that of any link. A smaller one is accepted if ours is set that low.
static bool isTooSmallMSS(int ours, int peers)
{
    return peers < std::min(ours, 576);
}

",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "m_config.iMSS        = m_ConnRes.m_iMSS;",
            put: Put::Replace,
            text: "if (isTooSmallMSS(m_config.iMSS, m_ConnRes.m_iMSS))
    {
        m_RejectReason = SRT_REJ_ROGUE;
        return false;
    }
    m_config.iMSS        = m_ConnRes.m_iMSS;",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "if ((req.m_iReqType > URQ_INDUCTION_TYPES)",
            put: Put::BeforeLine,
            text: "    // The only handshake that a connected peer may still send is a rejection.
    if (!m_config.bRendezvous)
        return req.m_iReqType >= URQ_FAILURE_TYPES && processCtrlShutdown();

",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "const bool understood = processSrtMsg(&ctrlpkt);",
            put: Put::BeforeLine,
            text: "    // Only handshakes of version 4 have these outside of the handshake.
    const int extension = ctrlpkt.getExtendedType();
    if (m_ConnRes.m_iVersion > HS_VERSION_UDT4 && (extension == SRT_CMD_HSREQ || extension == SRT_CMD_HSRSP))
        return false;

",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "CUDTSocket* s = m_parent;",
            put: Put::AfterLine,
            text: "
    if (s->m_GroupOf)
        return s->m_GroupOf->peerid() == peergroup ? 0 : SRT_INVALID_SOCK;
",
        },
    ],
};
