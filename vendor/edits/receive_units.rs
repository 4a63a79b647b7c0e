use super::{Change, Edit, Put};

// libsrt 1.5.6 began to size the buffers that a port receives into by the family of its address: 20 bytes less for IPv6. A
// peer knows nothing of that. It sends messages of up to 1456 bytes to an IPv6 address, or to the IPv4 side of a port that
// is bound to `[::]`, and such a datagram is cut and thrown away, each time that it is sent again, until the peer gives up.
//
// With this edit all ports have buffers for the largest datagram of IPv4.
pub(crate) const EDIT: Edit = Edit {
    name: "receive-units",
    changes: &[Change {
        file: "srtcore/api.cpp",
        anchor: "init(128, s->core().controlPayloadSize(reqaddr.family()),",
        put: Put::Replace,
        text: "init(128, s->core().controlPayloadSize(),",
    }],
};
