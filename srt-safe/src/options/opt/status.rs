//! Read-only options. A table; see the parent module.

use crate::options::{
    raw::{INT_MAX, Kind},
    values,
};

options! {
    /// The sequence number of the first packet that this side sends, which is the same on both sides. None while not
    /// connected.
    InitialSequence: Option<u32> {
        SRTO_ISN "isn", Kind::Int { min: 0, max: INT_MAX, special: None }, "read only: a number of 31 bits",
        default "-1 (none)", status
    }

    /// The socket's state, as returned by `srt_getsockstate`.
    State: crate::SocketState {
        SRTO_STATE "state", Kind::Int { min: 1, max: 9, special: None }, "read only: SRT_SOCKSTATUS",
        default "1 (new)", status
    }

    /// What the socket is ready for, without an epoll.
    Event: values::Readiness {
        SRTO_EVENT "event", Kind::Int { min: 0, max: INT_MAX, special: None }, "read only: flags of SRT_EPOLL_OPT",
        default "0", status
    }

    /// Packets in the send buffer: unacknowledged or unsent.
    SendBuffered: u32 {
        SRTO_SNDDATA "snddata", Kind::Int { min: 0, max: INT_MAX, special: None }, "read only: a number of packets",
        default "0", status
    }

    /// Packets in the receive buffer that the application has not read, including gaps.
    ReceiveBuffered: u32 {
        SRTO_RCVDATA "rcvdata", Kind::Int { min: 0, max: INT_MAX, special: None }, "read only: a number of packets",
        default "0", status
    }

    /// The state of the key exchange: for sent data if [`Sender`](crate::opt::Sender) is set, otherwise for received
    /// data. The other two options are unambiguous.
    KeyState: values::KmState {
        SRTO_KMSTATE "kmstate", Kind::Names(values::KmState::NAMES), "read only: SRT_KM_STATE",
        default "0 (unsecured)", status
    }

    /// The state of the key exchange for what this side sends.
    SendKeyState: values::KmState {
        SRTO_SNDKMSTATE "sndkmstate", Kind::Names(values::KmState::NAMES), "read only: SRT_KM_STATE",
        default "0 (unsecured)", status
    }

    /// The state of the key exchange for what the peer sends.
    ReceiveKeyState: values::KmState {
        SRTO_RCVKMSTATE "rcvkmstate", Kind::Names(values::KmState::NAMES), "read only: SRT_KM_STATE",
        default "0 (unsecured)", status
    }

    /// The version of the linked libsrt.
    Version: values::SrtVersion {
        SRTO_VERSION "version", Kind::Version, "read only: a version", default "the linked library's", status
    }

    /// The version of the peer's libsrt; 0.0.0 while not connected.
    PeerVersion: values::SrtVersion {
        SRTO_PEERVERSION "peerversion", Kind::Version, "read only: a version", default "0.0.0", status
    }

    /// The type of the group that the socket's peer belongs to (`SRT_GROUP_TYPE`); 0 without one. Known in the listen
    /// callback.
    GroupType: u32 {
        SRTO_GROUPTYPE "grouptype", Kind::Int { min: 0, max: 2, special: None }, "read only: SRT_GROUP_TYPE",
        default "0 (none)", status
    }
}
