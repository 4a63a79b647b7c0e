//! Options of the handshake, of messages and of groups. A table; see the parent module.

use std::time::Duration;

use crate::options::{
    raw::{INT_MAX, Kind},
    values,
};

options! {
    /// The caller's identification and the stream that it requests. On an accepted socket, the caller's.
    StreamId: crate::StreamId {
        SRTO_STREAMID "streamid", Kind::Bytes { max: crate::StreamId::MAX_LEN }, "a string of at most 512 bytes",
        default "empty", dial stream_id
    }

    /// Forward error correction. Repairs losses without a round trip at a constant cost in bandwidth; worthwhile if the
    /// latency is too short for retransmission. See [`crate::PacketFilter`].
    PacketFilter: Option<crate::PacketFilter> {
        SRTO_PACKETFILTER "packetfilter", Kind::Filter,
        "a string such as \"fec,cols:10,rows:5,layout:staircase,arq:onreq\"", default "none", connect into packet_filter
    }

    /// Whether messages keep their boundaries. Off means a stream of bytes, for file transmission only.
    MessageApi: bool {
        SRTO_MESSAGEAPI "messageapi", Kind::Flag, "true or false", default "true (live), false (file)",
        connect message_api
    }

    /// The largest message of a live connection, which is one packet. Larger messages are refused; more than the path's
    /// MTU leads to fragments. 1316 is 7 packets of MPEG-TS; 0 is the most that fits a packet.
    PayloadSize: u16 {
        SRTO_PAYLOADSIZE "payloadsize", Kind::Int { min: 0, max: 1456, special: None },
        "0 to 1456 (bytes; 1452 with a packet filter, 1440 with AES-GCM)", default "1316 (live), 0 (file)",
        connect payload_size
    }

    /// The oldest accepted libsrt version of the peer. Raising it refuses peers with known faults, and old encoders
    /// with them.
    MinVersion: values::SrtVersion {
        SRTO_MINVERSION "minversion", Kind::Version, "a version such as \"1.3.0\"", default "1.0.0",
        connect min_version
    }

    /// Marks the sending side for peers older than libsrt 1.3 (2018), where the sender starts the key exchange. No
    /// effect for others.
    Sender: bool {
        SRTO_SENDER "sender", Kind::Flag, "true or false", default "false", connect sender
    }

    /// Whether a listener accepts groups (bonded callers). Off refuses their member links; if on, `accept` may return a
    /// group.
    GroupConnect: bool {
        SRTO_GROUPCONNECT "groupconnect", Kind::IntFlag, "true or false", default "false", dial group_connect
    }

    /// How long an active link of a backup group may be silent before it counts as unstable and another one is
    /// activated. A short time switches at each hiccup; a long one leaves a gap, which the latency must cover.
    GroupMinStableTimeout: Duration {
        SRTO_GROUPMINSTABLETIMEO "groupminstabletimeo", Kind::Millis { min: 60, max: INT_MAX, special: None },
        "60 to 2147483647 (milliseconds, at most \"peeridletimeo\")", default "60", connect group_min_stable_timeout
    }
}
