//! Sockets: the handle, its identity, its state and its modes.
//!
//! Everything here runs on the calling thread; libsrt takes its own locks. `connect` has connecting, `listener`
//! listening, `transfer` and `file` sending and receiving, and `options` the options.

use std::{net::SocketAddr, time::Duration};

use libsrt_sys::{SRT_SOCKOPT, SRT_SOCKSTATUS, SRTSOCKET};

use crate::{
    Result, StreamId,
    ffi::{self, OwnedSocket},
    transfer::SourceTime,
};

/// The number of a socket or group in libsrt (`SRTSOCKET`). It identifies a socket without owning it: it may outlive
/// the socket, and libsrt does not reuse it soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub(crate) SRTSOCKET);

impl SocketId {
    /// The number.
    #[must_use]
    pub const fn value(self) -> i32 {
        self.0
    }

    /// Whether this is the id of a group of bonded sockets (`SRTGROUP_MASK`).
    #[must_use]
    pub const fn is_group(self) -> bool {
        self.0 >= 0 && self.0 & libsrt_sys::SRTGROUP_MASK != 0
    }

    /// The state of the socket with this id (`srt_getsockstate`).
    #[must_use]
    pub fn state(self) -> SocketState {
        SocketState::of(self.0)
    }
}

pub(crate) mod sealed {
    /// Restricts [`AsSrtSocket`](super::AsSrtSocket) to this crate's types.
    #[expect(
        unnameable_types,
        reason = "a trait that others cannot name is one they cannot implement"
    )]
    pub trait Sealed {}
}

/// A type with a libsrt socket, which can be added to an epoll.
pub trait AsSrtSocket: sealed::Sealed {
    /// The socket's id.
    fn socket_id(&self) -> SocketId;
}

/// The state of a socket (`SRT_SOCKSTATUS`).
///
/// ```text
/// Init ─bind─> Opened ─connect─> Connecting ──> Connected ──> Broken ─┐
///                 │                  └─ refused, timed out ──> Broken ├─close─> Closing ──> Closed ──> NonExistent
///                 └────listen────> Listening ─────────────────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketState {
    /// Created, not bound.
    Init,
    /// Bound.
    Opened,
    /// Accepting callers.
    Listening,
    /// Connecting.
    Connecting,
    /// Connected.
    Connected,
    /// The connection is lost, or could not be established; data received before can still be read.
    Broken,
    /// Being closed.
    Closing,
    /// Closed; libsrt removes it after about a second.
    Closed,
    /// libsrt does not know the socket, or no longer.
    NonExistent,
}

impl SocketState {
    pub(crate) const fn from_raw(status: SRT_SOCKSTATUS) -> Self {
        match status {
            SRT_SOCKSTATUS::SRTS_INIT => Self::Init,
            SRT_SOCKSTATUS::SRTS_OPENED => Self::Opened,
            SRT_SOCKSTATUS::SRTS_LISTENING => Self::Listening,
            SRT_SOCKSTATUS::SRTS_CONNECTING => Self::Connecting,
            SRT_SOCKSTATUS::SRTS_CONNECTED => Self::Connected,
            SRT_SOCKSTATUS::SRTS_BROKEN => Self::Broken,
            SRT_SOCKSTATUS::SRTS_CLOSING => Self::Closing,
            SRT_SOCKSTATUS::SRTS_CLOSED => Self::Closed,
            _ => Self::NonExistent,
        }
    }

    pub(crate) fn of(id: SRTSOCKET) -> Self {
        // SAFETY: srt_getsockstate takes any number; one that is no socket is SRTS_NONEXIST.
        Self::from_raw(unsafe { libsrt_sys::srt_getsockstate(id) })
    }
}

/// A connected SRT socket, or an accepted group of bonded ones. Closed on drop.
///
/// A live connection (the default) carries messages: [`send`](Self::send) and [`recv`](Self::recv), one packet each. A
/// connection in file mode carries a stream of bytes: [`Read`](std::io::Read) and [`Write`](std::io::Write), also for
/// `&SrtSocket`, so that one thread may read while another writes.
///
/// # Closing
/// Dropping closes, and ignores errors; [`close`](Self::close) reports them. A blocking socket in file mode stays in
/// the call until the peer has received everything, up to `SRTO_LINGER` (180 s there; none in live mode); a
/// non-blocking one returns at once and lets libsrt deliver the rest, as long as the process lives.
/// [`shutdown`](Self::shutdown) ends the connection while other threads are blocked on it.
///
/// # Examples
/// ```
/// use srt_safe::{SrtListener, SrtSocket};
///
/// let listener = SrtListener::bind("127.0.0.1:0")?;
/// let caller = SrtSocket::connect(listener.local_addr()?)?;
/// let (accepted, _peer) = listener.accept()?;
///
/// caller.send(b"one packet")?;
/// let mut packet = [0; 1316];
/// let len = accepted.recv(&mut packet)?;
/// assert_eq!(&packet[..len], b"one packet");
/// # Ok::<(), srt_safe::Error>(())
/// ```
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
    pub(crate) fn adopt(id: SRTSOCKET) -> Self {
        Self {
            raw: OwnedSocket::adopt(id),
        }
    }

    /// The socket's id.
    #[must_use]
    pub fn id(&self) -> SocketId {
        SocketId(self.raw.id())
    }

    /// Whether this is a group of bonded connections, accepted as one.
    #[must_use]
    pub fn is_group(&self) -> bool {
        self.id().is_group()
    }

    /// The state of the socket (`srt_getsockstate`).
    #[must_use]
    pub fn state(&self) -> SocketState {
        SocketState::of(self.raw.id())
    }

    /// The peer's address (`srt_getpeername`). An IPv4 peer of a dual-stack socket has its IPv4 address, not the mapped one.
    ///
    /// # Errors
    /// [`NotConnected`](crate::ErrorKind::NotConnected) without a connection, including after it broke; for a group,
    /// which has one peer per member; and on a caller with an installed libsrt 1.5.1, which does not keep the address.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        peer_addr_of(self.raw.id())
    }

    /// The address and port that the socket is bound to (`srt_getsockname`).
    ///
    /// # Errors
    /// If the socket is not bound, or is a group.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        local_addr_of(self.raw.id())
    }

    /// The streamid: the one that this caller has set, or on an accepted socket the one that its caller sent
    /// (`SRTO_STREAMID`); `None` if empty.
    ///
    /// # Errors
    /// If the socket is closed.
    pub fn stream_id(&self) -> Result<Option<StreamId>> {
        let mut bytes = [0; StreamId::MAX_LEN + 1];
        let len = ffi::socket_flag_bytes(self.raw.id(), SRT_SOCKOPT::SRTO_STREAMID, &mut bytes)?;
        // It cannot be longer than the limit: libsrt checks it on both sides.
        Ok(StreamId::new(&bytes[..len]).ok().filter(|id| !id.is_empty()))
    }

    /// When the connection was established, on libsrt's clock (`srt_connection_time`).
    ///
    /// # Errors
    /// If the socket is closed.
    pub fn connected_at(&self) -> Result<SourceTime> {
        // SAFETY: srt_connection_time takes any number.
        let micros = unsafe { libsrt_sys::srt_connection_time(self.raw.id()) };
        SourceTime::from_micros(micros).ok_or_else(|| crate::Error::last("srt_connection_time"))
    }

    /// Makes [`send`](Self::send) and [`recv`](Self::recv) return [`WouldBlock`](crate::ErrorKind::WouldBlock) instead
    /// of waiting (`SRTO_SNDSYN` and `SRTO_RCVSYN` off).
    ///
    /// # Errors
    /// If the socket is closed.
    pub fn set_nonblocking(&self) -> Result<()> {
        set_blocking_mode(self.raw.id(), Mode::NonBlocking)
    }

    /// Makes [`send`](Self::send) and [`recv`](Self::recv) wait: the default.
    ///
    /// # Errors
    /// If the socket is closed.
    pub fn set_blocking(&self) -> Result<()> {
        set_blocking_mode(self.raw.id(), Mode::Blocking)
    }

    /// Whether receiving waits (`SRTO_RCVSYN`).
    ///
    /// # Errors
    /// If the socket is closed.
    pub fn is_blocking(&self) -> Result<bool> {
        ffi::socket_flag::<i32>(self.raw.id(), SRT_SOCKOPT::SRTO_RCVSYN).map(|on| on & 0xff != 0)
    }

    /// Limits how long a blocking [`recv`](Self::recv) waits (`SRTO_RCVTIMEO`), in whole milliseconds, rounded up. `None`: no limit.
    ///
    /// # Errors
    /// If the socket is closed.
    pub fn set_recv_timeout(&self, limit: Option<Duration>) -> Result<()> {
        set_timeout(self.raw.id(), SRT_SOCKOPT::SRTO_RCVTIMEO, limit)
    }

    /// Limits how long a blocking [`send`](Self::send) waits for room (`SRTO_SNDTIMEO`), in whole milliseconds, rounded up. `None`: no limit.
    ///
    /// # Errors
    /// If the socket is closed.
    pub fn set_send_timeout(&self, limit: Option<Duration>) -> Result<()> {
        set_timeout(self.raw.id(), SRT_SOCKOPT::SRTO_SNDTIMEO, limit)
    }

    /// Ends the connection, from any thread: calls that are blocked on this socket in other threads return with an
    /// error, the peer is notified, and the socket cannot be used any more. Use it to stop a thread that is blocked in
    /// [`recv`](Self::recv).
    ///
    /// Maps to `srt_close`; dropping the socket afterwards is fine. For how long it blocks see [Closing](Self#closing).
    ///
    /// # Errors
    /// If libsrt has closed the socket by itself, or an earlier call did and libsrt has removed the socket since.
    pub fn shutdown(&self) -> Result<()> {
        self.raw.shutdown()
    }

    /// Closes the socket (`srt_close`). For how long it blocks see [Closing](Self#closing).
    ///
    /// # Errors
    /// If libsrt has already closed it.
    pub fn close(self) -> Result<()> {
        self.raw.close()
    }

    /// Releases the open socket from this crate's ownership.
    #[must_use]
    pub fn into_raw(self) -> i32 {
        self.raw.release()
    }

    /// Takes ownership of a libsrt socket.
    ///
    /// # Safety
    /// `raw` is an open socket or group of the libsrt that this crate links, and nothing else closes it.
    #[must_use]
    pub unsafe fn from_raw(raw: i32) -> Self {
        Self::adopt(raw)
    }
}

/// How calls behave when there is nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    Blocking,
    NonBlocking,
}

pub(crate) fn set_blocking_mode(id: SRTSOCKET, mode: Mode) -> Result<()> {
    let wait = i32::from(mode == Mode::Blocking);
    ffi::set_socket_flag(id, SRT_SOCKOPT::SRTO_SNDSYN, &wait)?;
    ffi::set_socket_flag(id, SRT_SOCKOPT::SRTO_RCVSYN, &wait)
}

pub(crate) fn peer_addr_of(id: SRTSOCKET) -> Result<SocketAddr> {
    ffi::sockaddr_from("srt_getpeername", |addr, len| {
        // SAFETY: `sockaddr_from` gives room for any address, and its size.
        ffi::check("srt_getpeername", unsafe {
            libsrt_sys::srt_getpeername(id, addr, len)
        })
    })
    .map(|(_, addr)| ffi::canonical(addr))
}

pub(crate) fn local_addr_of(id: SRTSOCKET) -> Result<SocketAddr> {
    ffi::sockaddr_from("srt_getsockname", |addr, len| {
        // SAFETY: `sockaddr_from` gives room for any address, and its size.
        ffi::check("srt_getsockname", unsafe {
            libsrt_sys::srt_getsockname(id, addr, len)
        })
    })
    .map(|(_, addr)| addr)
}

fn set_timeout(id: SRTSOCKET, option: SRT_SOCKOPT, limit: Option<Duration>) -> Result<()> {
    let millis: i32 = limit.map_or(-1, millis_up);
    ffi::set_socket_flag(id, option, &millis)
}

/// Milliseconds for C: a limit below one still waits a little, and one beyond 24 days becomes 24 days.
pub(crate) fn millis_up(time: Duration) -> i32 {
    i32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_round_up_and_saturate() {
        assert_eq!(millis_up(Duration::ZERO), 0);
        assert_eq!(millis_up(Duration::from_nanos(1)), 1);
        assert_eq!(millis_up(Duration::from_millis(20)), 20);
        assert_eq!(millis_up(Duration::from_secs(1 << 40)), i32::MAX);
    }

    #[test]
    fn invalid_socket_is_no_group() {
        assert!(!SocketId(libsrt_sys::SRT_INVALID_SOCK).is_group());
        assert!(SocketId(libsrt_sys::SRTGROUP_MASK | 7).is_group());
    }
}
