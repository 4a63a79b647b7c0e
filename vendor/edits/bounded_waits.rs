use super::{Change, Edit, Put};

// How long libsrt waits for a peer depends on the round-trip time, which the peer reports in its ACKs. A peer that reports
// four minutes and falls silent keeps its connection, and with it a viewer's place, for more than an hour, whatever
// SRTO_PEERIDLETIMEO says. libsrt also caches the time by address, for whoever connects from there next.
//
// With this edit a reported round-trip time and its variance count as 10 s at most, and a silent peer is given up after
// five times SRTO_PEERIDLETIMEO at the latest (or after 5 s, where that is longer).
pub(crate) const EDIT: Edit = Edit {
    name: "bounded-waits",
    changes: &[
        Change {
            file: "srtcore/core.cpp",
            anchor: "const int rtt    = ackdata[ACKD_RTT];",
            put: Put::Replace,
            text: "const int longest_rtt = 10 * 1000 * 1000;
    const int rtt    = Bounds(0, int(ackdata[ACKD_RTT]), longest_rtt);",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "const int rttvar = ackdata[ACKD_RTTVAR];",
            put: Put::Replace,
            text: "const int rttvar = Bounds(0, int(ackdata[ACKD_RTTVAR]), longest_rtt);",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "if (exp_timeout < (m_iEXPCount * m_tdMinExpInterval))",
            put: Put::BeforeLine,
            text: "        // A peer is given up after more than 16 of these.
        const steady_clock::duration longest = microseconds_from(int64_t(m_iEXPCount) * m_config.iPeerIdleTimeout_ms * 250);
        if (exp_timeout > longest)
            exp_timeout = longest;
",
        },
    ],
};
