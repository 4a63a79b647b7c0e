use super::{Change, Edit, Put};

// A connection that the peer has closed and one whose peer was not heard of any more end in the same error, and a peer that sends
// no data looks the same whether its keep-alives arrive or not. Whoever operates a gateway needs to know: the encoder, the
// link and the machine behind it are different people's business.
//
// With this edit `srt_edit_peer_state` tells when the last packet of any kind came, and whether one of them was a SHUTDOWN.
pub(crate) const EDIT: Edit = Edit {
    name: "peer-state",
    changes: &[
        Change {
            file: "srtcore/core.h",
            anchor: "CShaper m_SndRexmitShaper;",
            put: Put::BeforeLine,
            text: "    sync::atomic<bool> m_bPeerClosed {false};

public:
    static int peerState(SRTSOCKET u, int64_t (&out)[2]);

private:
",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "bool srt::CUDT::processCtrlShutdown()\n{\n",
            put: Put::Replace,
            text: "int srt::CUDT::peerState(SRTSOCKET u, int64_t (&out)[2])
{
    CUDTUnited::SocketKeeper keeper(uglobal(), u);
    if (!keeper.socket)
        return -1;
    CUDT& core = keeper.socket->core();
    out[0] = count_microseconds(steady_clock::now() - core.m_tsLastRspTime.load());
    out[1] = core.m_bPeerClosed ? 1 : 0;
    return 0;
}

extern \"C\" int srt_edit_peer_state(SRTSOCKET u, int64_t (&out)[2])
{
    return srt::CUDT::peerState(u, out);
}

bool srt::CUDT::processCtrlShutdown()
{
    m_bPeerClosed = true;
",
        },
    ],
};
