//! Listeners: a port that takes callers in.

use crate::{AsSrtSocket, SocketId, ffi::OwnedSocket, socket::sealed};

/// A listening SRT socket. Closed on drop; accepted sockets live on.
#[derive(Debug)]
pub struct SrtListener {
    pub(crate) raw: OwnedSocket,
}

impl sealed::Sealed for SrtListener {}

impl AsSrtSocket for SrtListener {
    fn socket_id(&self) -> SocketId {
        SocketId(self.raw.id())
    }
}
