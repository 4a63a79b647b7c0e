use super::{Change, Edit, Put};

// libsrt 1.5.6 began to refuse control packets without a body. libsrt itself fills up those that need none with four zeros;
// other stacks do not, and the specification does not ask for it. gosrt (MediaMTX, Restreamer) sends an ACKACK of the header
// alone: a listener of 1.5.7 never learns the round-trip time, and resends lost packets too late.
//
// With this edit types that carry nothing in their body may come without one. All others check the length that they need.
pub(crate) const EDIT: Edit = Edit {
    name: "empty-control",
    changes: &[
        Change {
            file: "srtcore/core.cpp",
            anchor: "bool srt::CUDT::processCtrl(const CPacket &ctrlpkt)",
            put: Put::BeforeLine,
            text: "static bool needsBody(const CPacket& packet)
{
    switch (packet.getType())
    {
    case UMSG_KEEPALIVE:
    case UMSG_CGWARNING:
    case UMSG_SHUTDOWN:
    case UMSG_ACKACK:
    case UMSG_PEERERROR:
        return false;
    default:
        return true;
    }
}

",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "if (!pktlen || pktlen % sizeof(int32_t) != 0)",
            put: Put::Replace,
            text: "if ((!pktlen && needsBody(ctrlpkt)) || pktlen % sizeof(int32_t) != 0)",
        },
    ],
};
