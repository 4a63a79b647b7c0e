use super::{Change, Edit, Put};

// SRTO_MAXREXMITBW limits retransmission, with a burst of 100 ms. A receiver whose link fails for a second, with a latency
// of two, needs more than that at once; otherwise it loses packets that could have been repaired.
//
// With this edit the burst is a second long. `srt_edit_send_state` tells how often a packet had to wait for the limit, so
// that whoever sets it sees which receivers stay at it, and what waits in the send buffer or was dropped from it, so that a
// sender can skip what the path has no room for. srt_bistats tells that as well, but takes the lock of the statistics and
// computes averages: too much to ask several times a second.
pub(crate) const EDIT: Edit = Edit {
    name: "resend-cap",
    changes: &[
        Change {
            file: "srtcore/core.h",
            anchor: "CShaper m_SndRexmitShaper;",
            put: Put::AfterLine,
            text: "    sync::atomic<int64_t> m_iResendsHeld {0};
    sync::atomic<int64_t> m_iSendDropped {0};

public:
    static int sendState(SRTSOCKET u, int64_t (&out)[6]);

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
            anchor: "m_stats.sndr.dropped.count(stats::BytesPackets((uint64_t) dbytes",
            put: Put::BeforeLine,
            text: "    m_iSendDropped = m_iSendDropped + dpkts;
",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "int srt::CUDT::packLostData(CPacket& w_packet)",
            put: Put::BeforeLine,
            text: "int srt::CUDT::sendState(SRTSOCKET u, int64_t (&out)[6])
{
    CUDTUnited::SocketKeeper keeper(uglobal(), u);
    if (!keeper.socket)
        return -1;
    CUDT& core = keeper.socket->core();
    const CSndBuffer* buffer = core.m_pSndBuffer;
    if (!core.m_bConnected || core.m_bBroken || !buffer)
        return -1;
    out[0] = core.m_iResendsHeld.load();
    out[1] = core.m_iSendDropped.load();
    const int packets = buffer->getCurrBufSize();
    out[2] = packets;
    out[3] = std::max(packets - core.getFlightSpan(), 0);
    out[4] = count_microseconds(buffer->getBufferingDelay(steady_clock::now()));
    out[5] = core.peerLatency_us();
    return 0;
}

extern \"C\" int srt_edit_send_state(SRTSOCKET u, int64_t (&out)[6])
{
    return srt::CUDT::sendState(u, out);
}

",
        },
    ],
};
