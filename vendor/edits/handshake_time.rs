use super::{Change, Edit, Put};

// Delivery times of a connection (TSBPD) count from the moment at which its handshake is handled: the sender's clock is taken
// to have shown then what the handshake says. What passed between the handshake's arrival and that moment, such as the
// decision on the caller and the handshakes in front of it, is added to the delay of each packet, until the drift of the
// clocks is corrected (after some ten seconds, and only in part).
//
// With this edit the moment at which the handshake was taken from the socket counts.
pub(crate) const EDIT: Edit = Edit {
    name: "handshake-time",
    changes: &[
        Change {
            file: "srtcore/queue.cpp",
            anchor: "EReadStatus rst = m_pChannel->recvfrom((w_addr), (w_unit->m_Packet));",
            put: Put::AfterLine,
            text: "    if (rst == RST_OK)
        noteHandshakeArrival(w_unit->m_Packet);
",
        },
        Change {
            file: "srtcore/core.h",
            anchor: "class CUDT\n{",
            put: Put::BeforeLine,
            text: "/// To be told of each packet that this thread takes from a socket, and asked by the same thread.
void noteHandshakeArrival(const CPacket& packet);
sync::steady_clock::time_point handshakeArrival();

",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "int srt::CUDT::processSrtMsg_HSREQ(const uint32_t *srtdata, size_t bytelen, uint32_t ts, int hsv)\n{",
            put: Put::BeforeLine,
            text: ARRIVAL,
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "m_tsRcvPeerStartTime = steady_clock::now() - microseconds_from(ts);\n    // (in case",
            put: Put::Replace,
            text: "m_tsRcvPeerStartTime = handshakeArrival() - microseconds_from(ts);\n    // (in case",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "m_tsRcvPeerStartTime = steady_clock::now() - microseconds_from(ts);\n        HLOGC",
            put: Put::Replace,
            text: "m_tsRcvPeerStartTime = handshakeArrival() - microseconds_from(ts);\n        HLOGC",
        },
    ],
};

const ARRIVAL: &str = r#"// Of the last handshake that this thread took from a socket; 0: none. In microseconds of the steady clock.
static thread_local int64_t t_handshake_arrival = 0;

void srt::noteHandshakeArrival(const CPacket& packet)
{
    if (packet.isControl(UMSG_HANDSHAKE) || packet.isControl(UMSG_EXT))
        t_handshake_arrival = count_microseconds(steady_clock::now().time_since_epoch());
}

// Now, for a thread that takes its packets from another one.
steady_clock::time_point srt::handshakeArrival()
{
    if (t_handshake_arrival == 0)
        return steady_clock::now();
    return steady_clock::time_point() + microseconds_from(t_handshake_arrival);
}

"#;
