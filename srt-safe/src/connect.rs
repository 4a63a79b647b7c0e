//! Connecting: callers, blocking or not, and rendezvous.
//!
//! Runs on the calling thread; every attempt is non-blocking in libsrt, whose threads carry it on.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    time::{Duration, Instant},
};

use libsrt_sys::{SRT_EPOLL_OPT, SRT_ERRNO, SRT_REJECT_REASON, SRT_SOCKOPT, SRTSOCKET};

use crate::{
    AsSrtSocket, Epoll, Error, Events, Interest, Options, RejectReason, Result, SocketId, SocketState,
    SrtSocket, StreamId, Trigger,
    ffi::{self, OwnedSocket},
    options::Stage,
    socket::{Mode, sealed, set_blocking_mode},
};

/// The settings of a caller. Created by [`SrtSocket::builder`].
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use srt_safe::{Options, SrtListener, SrtSocket};
///
/// let listener = SrtListener::bind("127.0.0.1:0")?;
/// let caller = SrtSocket::builder()
///     .options(Options::new().latency(Duration::from_millis(200)))
///     .connect_timeout(Duration::from_secs(2))
///     .connect(listener.local_addr()?)?;
/// # Ok::<(), srt_safe::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct SrtSocketBuilder {
    options: Options,
    local: Option<SocketAddr>,
    mode: Mode,
}

impl SrtSocket {
    /// Creates a builder for a caller with other than the default settings.
    pub fn builder() -> SrtSocketBuilder {
        SrtSocketBuilder::default()
    }

    /// Connects to a listener with default settings (live mode, 120 ms of latency), and waits for it; see
    /// [`SrtSocketBuilder::connect`].
    ///
    /// # Errors
    /// Like [`SrtSocketBuilder::connect`].
    pub fn connect(addr: impl ToSocketAddrs) -> Result<Self> {
        Self::builder().connect(addr)
    }
}

impl SrtSocketBuilder {
    /// Sets all options at once, replacing those set by other methods of this builder, except for the local address.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Sends this streamid with the handshake (`SRTO_STREAMID`).
    pub fn stream_id(mut self, id: StreamId) -> Self {
        self.options = self.options.stream_id(id);
        self
    }

    /// Limits the time for connecting (`SRTO_CONNTIMEO`; libsrt's default is 3 s). Rendezvous takes up to ten times as
    /// long.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.options = self.options.connect_timeout(limit);
        self
    }

    /// Sends from this address and port (`srt_bind`); port 0 selects a free one. Sockets of a process with the same
    /// address, port and settings share one UDP socket and its two threads.
    pub fn bind(mut self, local: SocketAddr) -> Self {
        self.local = Some(local);
        self
    }

    /// Makes the connected socket non-blocking, like [`SrtSocket::set_nonblocking`]. [`connect`](Self::connect) itself
    /// still waits.
    pub fn nonblocking(mut self) -> Self {
        self.mode = Mode::NonBlocking;
        self
    }

    /// Connects and waits until the listener has answered (`srt_connect`). If the host has several addresses, tries
    /// each in turn.
    ///
    /// # Errors
    /// [`ConnectionRejected`](crate::ErrorKind::ConnectionRejected), with a [`reject_reason`](Error::reject_reason);
    /// [`TimedOut`](crate::ErrorKind::TimedOut) if nobody answered; [`InvalidInput`](crate::ErrorKind::InvalidInput)
    /// for a name that does not resolve, a local address of the other family, or an option that conflicts with another;
    /// [`AddressInUse`](crate::ErrorKind::AddressInUse) for the local address.
    pub fn connect(&self, addr: impl ToSocketAddrs) -> Result<SrtSocket> {
        first_that_works(addr, |addr| self.settle(self.start_connect(addr)?.wait()?))
    }

    /// Starts to connect and returns at once (`srt_connect` on a non-blocking socket). The socket stays non-blocking.
    ///
    /// # Errors
    /// Like [`connect`](Self::connect), without errors of the network, which [`Connecting::finish`] returns.
    pub fn start_connect(&self, addr: SocketAddr) -> Result<Connecting> {
        let socket = self.prepare(self.local)?;
        set_blocking_mode(socket.raw.id(), Mode::NonBlocking)?;
        call_connect(&socket, addr)?;
        Ok(Connecting {
            socket,
            doubtful_since: None,
        })
    }

    /// Connects to a peer that calls this side at the same time (`srt_rendezvous`), and waits for it. Each side passes
    /// its own address, which replaces that of [`bind`](Self::bind), and the peer's.
    ///
    /// # Errors
    /// Like [`connect`](Self::connect).
    pub fn rendezvous(&self, local: SocketAddr, remote: SocketAddr) -> Result<SrtSocket> {
        self.settle(self.start_rendezvous(local, remote)?.wait()?)
    }

    /// Starts a rendezvous and returns at once. The socket stays non-blocking.
    ///
    /// # Errors
    /// Like [`start_connect`](Self::start_connect).
    pub fn start_rendezvous(&self, local: SocketAddr, remote: SocketAddr) -> Result<Connecting> {
        let socket = self.prepare(None)?;
        set_blocking_mode(socket.raw.id(), Mode::NonBlocking)?;
        call_rendezvous(&socket, local, remote)?;
        Ok(Connecting {
            socket,
            doubtful_since: None,
        })
    }

    fn settle(&self, socket: SrtSocket) -> Result<SrtSocket> {
        set_blocking_mode(socket.raw.id(), self.mode)?;
        Ok(socket)
    }

    /// Creates a socket with all options, bound to `local` if given.
    fn prepare(&self, local: Option<SocketAddr>) -> Result<SrtSocket> {
        let socket = SrtSocket {
            raw: OwnedSocket::create()?,
        };
        self.options.apply(socket.raw.id(), Stage::BeforeBind)?;
        if let Some(local) = local {
            bind(socket.raw.id(), local)?;
        }
        self.options.apply(socket.raw.id(), Stage::BeforeConnect)?;
        Ok(socket)
    }
}

/// A connection attempt in progress.
///
/// ```text
/// start_connect ──> Connecting ──finish──> Progress::Pending(Connecting)    nothing yet: wait for writable, or an error
///                                     ├──> Progress::Connected(SrtSocket)
///                                     └──> Err                              refused, timed out, closed
/// ```
///
/// In an epoll it becomes writable when it is connected, and raises an error when it has failed. Wait for that with
/// [`Trigger::Level`]: a socket that is added at the very moment of its connection can be writable and still
/// [`Pending`](Progress::Pending), and an edge would not come again. Dropping it cancels the attempt.
#[derive(Debug)]
pub struct Connecting {
    socket: SrtSocket,
    /// When the socket was first seen as broken without an error.
    doubtful_since: Option<Instant>,
}

/// How long "broken" without an error counts as a transition between states.
const DOUBT: Duration = Duration::from_secs(1);

/// The result of [`Connecting::finish`].
#[derive(Debug)]
pub enum Progress {
    /// The connection is established; the socket is non-blocking.
    Connected(SrtSocket),
    /// Nobody has answered yet.
    Pending(Connecting),
}

impl sealed::Sealed for Connecting {}

impl AsSrtSocket for Connecting {
    fn socket_id(&self) -> SocketId {
        self.id()
    }
}

impl Connecting {
    /// The socket's id, which it keeps once connected.
    #[must_use]
    pub fn id(&self) -> SocketId {
        self.socket.id()
    }

    /// The state of the attempt: [`Connecting`](SocketState::Connecting), [`Connected`](SocketState::Connected), or
    /// [`Broken`](SocketState::Broken) if it failed.
    #[must_use]
    pub fn state(&self) -> SocketState {
        match self.socket.state() {
            SocketState::Broken if !is_truly_broken(self.socket.raw.id()) => SocketState::Connecting,
            state => state,
        }
    }

    /// The address and port that the socket is bound to.
    ///
    /// # Errors
    /// If the socket is closed.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Checks the attempt, without waiting.
    ///
    /// # Errors
    /// [`ConnectionRejected`](crate::ErrorKind::ConnectionRejected), with a [`reject_reason`](Error::reject_reason);
    /// [`TimedOut`](crate::ErrorKind::TimedOut) if nobody answered in time.
    pub fn finish(mut self) -> Result<Progress> {
        let id = self.socket.raw.id();
        match SocketState::of(id) {
            SocketState::Connected => Ok(Progress::Connected(self.socket)),
            SocketState::Connecting => Ok(Progress::Pending(self)),
            SocketState::Broken if !is_truly_broken(id) => {
                let since = *self.doubtful_since.get_or_insert_with(Instant::now);
                if since.elapsed() < DOUBT {
                    Ok(Progress::Pending(self))
                } else {
                    Err(failure(id))
                }
            }
            _ => Err(failure(id)),
        }
    }

    /// Waits until the attempt has succeeded or failed. The socket stays non-blocking.
    ///
    /// This crate's blocking [`connect`](SrtSocketBuilder::connect) waits this way. libsrt's own blocking connect
    /// checks its clock, and repeats a handshake, only once a second, and delays the exit of the process.
    ///
    /// # Errors
    /// Like [`finish`](Self::finish).
    pub fn wait(mut self) -> Result<SrtSocket> {
        let mut epoll = Epoll::new()?;
        epoll.registry().add(&self, Interest::WRITABLE, Trigger::Level)?;
        let mut events = Events::with_capacity(1);
        loop {
            match self.finish()? {
                Progress::Connected(socket) => return Ok(socket),
                Progress::Pending(pending) => self = pending,
            }
            epoll.wait(&mut events, Some(LOOK_AT_STATE))?;
        }
    }
}

/// Whether a socket in libsrt's state "broken" really is broken, rather than changing from connecting to connected:
/// `CUDT::postConnect` ends the first state before it begins the second, and libsrt reports the time in between as
/// broken.
pub(crate) fn is_truly_broken(id: SRTSOCKET) -> bool {
    // SRTO_EVENT has the error flag exactly if the connection broke; a failed attempt has a reject reason.
    let error = SRT_EPOLL_OPT::SRT_EPOLL_ERR.0.cast_signed();
    let events = ffi::socket_flag::<i32>(id, SRT_SOCKOPT::SRTO_EVENT);
    events.map_or(true, |events| events & error != 0) || reject_reason(id).is_some()
}

/// How often a wait checks the state of the attempt by itself, because closing the socket raises no event.
const LOOK_AT_STATE: Duration = Duration::from_millis(50);

/// The error of a failed attempt: libsrt keeps only the reject reason.
fn failure(id: SRTSOCKET) -> Error {
    const OPERATION: &str = "srt_connect";
    match reject_reason(id) {
        Some(RejectReason::TIMEOUT) => Error::new(
            SRT_ERRNO::SRT_ENOSERVER,
            OPERATION,
            "no answer within the connect timeout",
        ),
        Some(reason) => {
            Error::new(SRT_ERRNO::SRT_ECONNREJ, OPERATION, "connection refused").with_reject_reason(reason)
        }
        None => Error::new(
            SRT_ERRNO::SRT_ECONNLOST,
            OPERATION,
            "the connection was lost again, or the socket closed",
        ),
    }
}

fn reject_reason(id: SRTSOCKET) -> Option<RejectReason> {
    // SAFETY: srt_getrejectreason takes any number.
    let reason = unsafe { libsrt_sys::srt_getrejectreason(id) };
    (reason != SRT_REJECT_REASON::SRT_REJ_UNKNOWN.0.cast_signed()).then(|| RejectReason::from_raw(reason))
}

/// Binds a socket (`srt_bind`). An IPv6 wildcard also serves IPv4 unless `SRTO_IPV6ONLY` was set, which libsrt requires
/// to be set explicitly.
pub(crate) fn bind(id: SRTSOCKET, local: SocketAddr) -> Result<()> {
    settle_ipv6_only(id, local)?;
    ffi::with_sockaddr(local, |addr, len| {
        // SAFETY: `with_sockaddr` passes a valid address of that length, alive during the call.
        ffi::check("srt_bind", unsafe { libsrt_sys::srt_bind(id, addr, len) })
    })
    .map(drop)
}

fn settle_ipv6_only(id: SRTSOCKET, local: SocketAddr) -> Result<()> {
    let wildcard = local.is_ipv6() && local.ip().is_unspecified();
    let unset = || ffi::socket_flag::<i32>(id, SRT_SOCKOPT::SRTO_IPV6ONLY).map(|value| value < 0);
    if wildcard && unset()? {
        ffi::set_socket_flag(id, SRT_SOCKOPT::SRTO_IPV6ONLY, &0_i32)?;
    }
    Ok(())
}

fn call_connect(socket: &SrtSocket, addr: SocketAddr) -> Result<()> {
    ffi::with_sockaddr(addr, |addr, len| {
        // SAFETY: `with_sockaddr` passes a valid address of that length, alive during the call.
        ffi::check("srt_connect", unsafe {
            libsrt_sys::srt_connect(socket.raw.id(), addr, len)
        })
    })
    .map(drop)
}

fn call_rendezvous(socket: &SrtSocket, local: SocketAddr, remote: SocketAddr) -> Result<()> {
    settle_ipv6_only(socket.raw.id(), local)?;
    ffi::with_sockaddr(local, |local, local_len| {
        ffi::with_sockaddr(remote, |remote, remote_len| {
            // SAFETY: `with_sockaddr` passes valid addresses of these lengths, alive during the call.
            ffi::check("srt_rendezvous", unsafe {
                libsrt_sys::srt_rendezvous(socket.raw.id(), local, local_len, remote, remote_len)
            })
        })
    })
    .map(drop)
}

/// Resolves the address and tries each result until one works; returns the last error.
pub(crate) fn first_that_works<T>(
    addr: impl ToSocketAddrs,
    mut attempt: impl FnMut(SocketAddr) -> Result<T>,
) -> Result<T> {
    let mut last = Error::invalid_input("resolve", "the name has no address");
    for addr in addr.to_socket_addrs().map_err(|error| unresolved(&error))? {
        match attempt(addr) {
            Ok(done) => return Ok(done),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn unresolved(error: &io::Error) -> Error {
    Error::invalid_input("resolve", "not an address and port, or the name does not resolve")
        .with_os_errno(error.raw_os_error().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn each_address_is_tried_until_one_works() {
        let addrs: [SocketAddr; 3] = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let mut tried = Vec::new();
        let won = first_that_works(&addrs[..], |addr| {
            tried.push(addr.port());
            if addr.port() == 2 {
                Ok(addr)
            } else {
                Err(Error::invalid_input("test", "no"))
            }
        });
        assert_eq!((won, tried), (Ok(addrs[1]), vec![1, 2]));
    }

    #[test]
    fn without_an_address_the_error_says_so() {
        let none = first_that_works(&[][..], |_| Ok(())).expect_err("there is nothing to connect to");
        assert_eq!(none.kind(), ErrorKind::InvalidInput);
        let bad = first_that_works("no port here", |_| Ok(())).expect_err("that is no address");
        assert!(bad.to_string().contains("address and port"), "{bad}");
    }
}
