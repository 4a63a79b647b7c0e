use super::{Change, Edit, Put};

// SRTO_MAXREXMITBW limits retransmission, with a burst of 100 ms. A receiver whose link fails for a second, with a latency
// of two, needs more than that at once; otherwise it loses packets that could have been repaired.
//
// With this edit the burst is a second long, and `srt_edit_resends_held` tells how often a packet had to wait for the
// limit, so that whoever sets it sees which receivers stay at it.
pub(crate) const EDIT: Edit = Edit {
    name: "resend-cap",
    changes: &[
        Change {
            file: "srtcore/core.h",
            anchor: "CShaper m_SndRexmitShaper;",
            put: Put::AfterLine,
            text: "    sync::atomic<int64_t> m_iResendsHeld {0};

public:
    static int64_t resendsHeld(SRTSOCKET u);

private:
",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "if (!m_SndRexmitShaper.enoughTokens(len))\n        {\n",
            put: Put::Replace,
            text: "if (!m_SndRexmitShaper.enoughTokens(len))
        {
            if (m_pSndLossList->getLossLength() > 0)
                m_iResendsHeld = m_iResendsHeld + 1;
",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "m_SndRexmitShaper.tick(tnow);",
            put: Put::BeforeLine,
            text: "        m_SndRexmitShaper.setMinimumBurstPeriod(seconds_from(1));
",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "int srt::CUDT::packLostData(CPacket& w_packet)",
            put: Put::BeforeLine,
            text: "int64_t srt::CUDT::resendsHeld(SRTSOCKET u)
{
    CUDTUnited::SocketKeeper keeper(uglobal(), u);
    return keeper.socket ? keeper.socket->core().m_iResendsHeld.load() : -1;
}

extern \"C\" int64_t srt_edit_resends_held(SRTSOCKET u)
{
    return srt::CUDT::resendsHeld(u);
}

",
        },
    ],
};
