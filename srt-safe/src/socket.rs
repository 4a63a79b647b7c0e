//! Sockets: the handle, its identity and its state.
//!
//! Everything here runs on the thread that calls it; libsrt takes its own locks. Connecting lives in `connect`, listening in
//! `listener`, options in `options`.

use libsrt_sys::SRTSOCKET;

use crate::ffi::OwnedSocket;

/// The number by which libsrt knows a socket or a group (`SRTSOCKET`). It identifies, it does not own: it may outlive the
/// socket, and libsrt does not use it again soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub(crate) SRTSOCKET);

impl SocketId {
    /// The number itself.
    #[must_use]
    pub const fn value(self) -> i32 {
        self.0
    }

    /// Whether this is the id of a group of bonded sockets (`SRTGROUP_MASK`).
    #[must_use]
    pub const fn is_group(self) -> bool {
        self.0 >= 0 && self.0 & libsrt_sys::SRTGROUP_MASK != 0
    }
}

pub(crate) mod sealed {
    /// Keeps [`AsSrtSocket`](super::AsSrtSocket) to this crate's types.
    pub trait Sealed {}
}

/// What has a socket of libsrt behind it, and can be put into an epoll.
pub trait AsSrtSocket: sealed::Sealed {
    /// The socket's id.
    fn socket_id(&self) -> SocketId;
}

/// A connected (or connecting) SRT socket. Closed on drop.
#[derive(Debug)]
pub struct SrtSocket {
    pub(crate) raw: OwnedSocket,
}

impl sealed::Sealed for SrtSocket {}

impl AsSrtSocket for SrtSocket {
    fn socket_id(&self) -> SocketId {
        self.id()
    }
}

impl SrtSocket {
    /// The socket's id.
    #[must_use]
    pub fn id(&self) -> SocketId {
        SocketId(self.raw.id())
    }

    pub(crate) fn adopt(id: SRTSOCKET) -> Self {
        Self {
            raw: OwnedSocket::adopt(id),
        }
    }
}
