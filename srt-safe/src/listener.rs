//! Listeners: ports that accept callers.
//!
//! Accepting runs on the calling thread; decisions about callers run on libsrt's (see `trampoline`).

use std::{
    net::{SocketAddr, ToSocketAddrs, UdpSocket},
    num::NonZeroU16,
    os::fd::IntoRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use libsrt_sys::SRT_ERRNO;
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    AccessControl, AccessCounts, AsSrtSocket, Epoll, Error, Events, Interest, Options, Result, SocketId,
    SocketState, SrtSocket, Trigger,
    access::SharedAccess,
    connect::{bind, first_that_works},
    ffi::{self, OwnedSocket},
    options::Stage,
    socket::{Mode, local_addr_of, sealed, set_blocking_mode},
    trampoline::{self, HookGuard},
};

/// How often a wait for a caller checks that the listener exists, because closing one raises no event.
const LOOK_AT_STATE: Duration = Duration::from_millis(50);

/// A listening SRT socket. Closed on drop; accepted sockets continue, and callers that were not accepted are dropped.
///
/// # In an access control callback
/// Closing a listener waits until a decision that is under way has returned. Within that decision this is impossible:
/// there, dropping and [`shutdown`](Self::shutdown) hand the closing to another thread and return at once.
#[derive(Debug)]
pub struct SrtListener {
    /// Before `hook`: fields drop in order, and libsrt may call the hook until the socket is closed.
    pub(crate) raw: OwnedSocket,
    hook: Option<HookGuard>,
    /// The mode as seen by callers of this type. In libsrt the listener is always non-blocking, because libsrt's
    /// blocking accept has no timeout, and delays the exit of the process.
    nonblocking: AtomicBool,
    /// [`shutdown`](Self::shutdown) was called. An installed libsrt reports the listener as listening for three more
    /// seconds.
    is_shut_down: AtomicBool,
}

/// The settings of a listener. Created by [`SrtListener::builder`].
///
/// One builder may bind several listeners: it is not consumed.
#[derive(Clone, Default)]
#[must_use]
pub struct SrtListenerBuilder {
    options: Options,
    backlog: Option<NonZeroU16>,
    access: Option<SharedAccess>,
    mode: Mode,
}

impl std::fmt::Debug for SrtListenerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SrtListenerBuilder")
            .field("options", &self.options)
            .field("backlog", &self.backlog)
            .field("access_control", &self.access.is_some())
            .field("mode", &self.mode)
            .finish()
    }
}

impl sealed::Sealed for SrtListener {}

impl AsSrtSocket for SrtListener {
    fn socket_id(&self) -> SocketId {
        self.id()
    }
}

impl SrtListener {
    /// The number of callers that may wait to be accepted by default; see [`SrtListenerBuilder::backlog`]. libsrt
    /// refuses the next one before any access control, so the number is large.
    pub const DEFAULT_BACKLOG: NonZeroU16 = NonZeroU16::new(1024).unwrap();

    /// Creates a builder for a listener with other than the default settings.
    pub fn builder() -> SrtListenerBuilder {
        SrtListenerBuilder::default()
    }

    /// Listens on an address with default settings, and admits all callers.
    ///
    /// # Errors
    /// Like [`SrtListenerBuilder::bind`].
    pub fn bind(addr: impl ToSocketAddrs) -> Result<Self> {
        Self::builder().bind(addr)
    }

    /// Listens on a bound UDP socket with default settings; see [`SrtListenerBuilder::bind_udp`].
    ///
    /// # Errors
    /// Like [`SrtListenerBuilder::bind_udp`].
    pub fn from_udp(socket: UdpSocket) -> Result<Self> {
        Self::builder().bind_udp(socket)
    }

    /// The socket's id.
    #[must_use]
    pub fn id(&self) -> SocketId {
        SocketId(self.raw.id())
    }

    /// The bound address and port (`srt_getsockname`).
    ///
    /// # Errors
    /// If the listener is shut down.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        local_addr_of(self.raw.id())
    }

    /// Accepts the next caller (`srt_accept`). Waits until there is one; a non-blocking listener does not wait.
    ///
    /// A bonded caller is accepted as a group: [`SrtSocket::is_group`]. The new socket is blocking if the listener is.
    /// Several threads may accept from one listener.
    ///
    /// # Errors
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock) if there is no caller;
    /// [`InvalidState`](crate::ErrorKind::InvalidState) if the listener is shut down.
    pub fn accept(&self) -> Result<(SrtSocket, SocketAddr)> {
        match self.mode() {
            Mode::Blocking => self.accept_before(None),
            Mode::NonBlocking => self.accept_now(),
        }
    }

    /// Accepts the next caller, waiting at most this long, whatever the listener's mode.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut) if no caller came; [`InvalidState`](crate::ErrorKind::InvalidState) if
    /// the listener is shut down.
    pub fn accept_timeout(&self, limit: Duration) -> Result<(SrtSocket, SocketAddr)> {
        self.accept_before(Instant::now().checked_add(limit))
    }

    fn accept_before(&self, deadline: Option<Instant>) -> Result<(SrtSocket, SocketAddr)> {
        match self.accept_now() {
            Err(error) if error.is_would_block() => {}
            done => return done,
        }
        let mut epoll = Epoll::new()?;
        epoll.registry().add(self, Interest::READABLE, Trigger::Level)?;
        let mut events = Events::with_capacity(1);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            epoll.wait(
                &mut events,
                Some(left.map_or(LOOK_AT_STATE, |left| left.min(LOOK_AT_STATE))),
            )?;
            if events.iter().next().is_some() || !self.is_listening() {
                match self.accept_now() {
                    Err(error) if error.is_would_block() => {}
                    done => return done,
                }
            }
            if left.is_some_and(|left| left.is_zero()) {
                return Err(Error::new(
                    SRT_ERRNO::SRT_ETIMEOUT,
                    "srt_accept",
                    "no caller connected in time",
                ));
            }
        }
    }

    fn accept_now(&self) -> Result<(SrtSocket, SocketAddr)> {
        loop {
            let accepted = ffi::sockaddr_from("srt_accept", |addr, len| {
                // SAFETY: `sockaddr_from` gives room for any address, and its size.
                ffi::check("srt_accept", unsafe {
                    libsrt_sys::srt_accept(self.raw.id(), addr, len)
                })
            });
            match accepted {
                Ok((id, peer)) => {
                    let socket = SrtSocket::adopt(id);
                    if self.pass_mode_on(&socket) {
                        return Ok((socket, ffi::canonical(peer)));
                    }
                }
                // libsrt has the same error for a closed listener and for a caller that left before it was accepted.
                Err(error) if error.code().value() == SRT_ERRNO::SRT_ESCLOSED.0 && self.is_listening() => {}
                // An installed libsrt may keep a closed listener for three seconds, in which it finds no caller.
                Err(error) if error.is_would_block() && !self.is_listening() => {
                    return Err(Error::new(
                        SRT_ERRNO::SRT_ESCLOSED,
                        "srt_accept",
                        "the listener is shut down",
                    ));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Applies the listener's mode to an accepted socket; returns false if libsrt has already closed the socket, so
    /// that the next caller must be accepted. A socket whose caller has left keeps its inherited mode, so that the
    /// received data can be read.
    fn pass_mode_on(&self, socket: &SrtSocket) -> bool {
        set_blocking_mode(socket.raw.id(), self.mode()).is_ok()
            || matches!(socket.state(), SocketState::Connected | SocketState::Broken)
    }

    fn is_listening(&self) -> bool {
        !self.is_shut_down.load(Ordering::Acquire) && self.id().state() == SocketState::Listening
    }

    /// Iterates over the callers as returned by [`accept`](Self::accept); ends when the listener is shut down.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Makes [`accept`](Self::accept) return [`WouldBlock`](crate::ErrorKind::WouldBlock) instead of waiting, and
    /// accepted sockets non-blocking.
    pub fn set_nonblocking(&self) {
        self.nonblocking.store(true, Ordering::Relaxed);
    }

    /// Makes [`accept`](Self::accept) wait, and accepted sockets blocking: the default.
    pub fn set_blocking(&self) {
        self.nonblocking.store(false, Ordering::Relaxed);
    }

    /// Counters of the [access control](SrtListenerBuilder::access_control) decisions; all zero without access control.
    #[must_use]
    pub fn access_counts(&self) -> AccessCounts {
        self.hook
            .as_ref()
            .map_or_else(AccessCounts::default, HookGuard::counts)
    }

    /// Whether the library supports [`Verdict::Defer`](crate::Verdict::Defer). The pinned libsrt does, an installed one
    /// does not.
    #[must_use]
    pub fn can_defer() -> bool {
        trampoline::can_defer()
    }

    /// The cookie that a listener of this process on the local address `listener` gives the caller at `caller` now.
    /// `None`: the library's cookies are not keyed, so anybody can compute them. The pinned libsrt's cookies are keyed;
    /// those of an installed one are not.
    ///
    /// With this you can answer inductions on a UDP socket yourself until a caller proves its address, and open the
    /// listener only then: it finds the conclusion in the socket. See [`is_cookie_of`](Self::is_cookie_of).
    #[must_use]
    pub fn cookie_for(caller: SocketAddr, listener: SocketAddr) -> Option<u32> {
        libsrt_sys::has_edit(libsrt_sys::EDIT_PROVEN_ADDRESS)
            .then(|| ffi::cookie(caller, listener, 0).cast_unsigned())
    }

    /// Whether a listener of this process on `listener` accepts `cookie` from the caller at `caller`: cookies are valid
    /// in their minute and the next. `None`: as for [`cookie_for`](Self::cookie_for).
    #[must_use]
    pub fn is_cookie_of(cookie: u32, caller: SocketAddr, listener: SocketAddr) -> Option<bool> {
        let given = |minutes_ago| ffi::cookie(caller, listener, minutes_ago).cast_unsigned();
        libsrt_sys::has_edit(libsrt_sys::EDIT_PROVEN_ADDRESS)
            .then(|| cookie == given(0) || cookie == given(1))
    }

    /// Stops listening, from any thread (`srt_close`): a blocked [`accept`](Self::accept) returns with an error, and
    /// [`incoming`](Self::incoming) ends.
    ///
    /// # Errors
    /// If it was shut down before, and libsrt has removed the socket since.
    pub fn shutdown(&self) -> Result<()> {
        self.is_shut_down.store(true, Ordering::Release);
        self.raw.shutdown()
    }

    /// Closes the listener (`srt_close`), after a decision under way has returned.
    ///
    /// # Errors
    /// If libsrt has already closed it.
    pub fn close(self) -> Result<()> {
        let Self { raw, hook, .. } = self;
        let closed = raw.close();
        drop(hook);
        closed
    }

    fn mode(&self) -> Mode {
        if self.nonblocking.load(Ordering::Relaxed) {
            Mode::NonBlocking
        } else {
            Mode::Blocking
        }
    }
}

impl SrtListenerBuilder {
    /// Sets all options at once, for the listener and the sockets it accepts.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Limits the number of callers that wait to be accepted; libsrt refuses the next one with
    /// [`RejectReason::BACKLOG`](crate::RejectReason::BACKLOG).
    pub fn backlog(mut self, callers: NonZeroU16) -> Self {
        self.backlog = Some(callers);
        self
    }

    /// Sets the access control, which decides about each caller (`srt_listen_callback`). It cannot be changed once the
    /// listener exists. All listeners of this builder share it.
    pub fn access_control(mut self, access: impl AccessControl) -> Self {
        self.access = Some(Arc::new(access));
        self
    }

    /// Makes the listener non-blocking, like [`SrtListener::set_nonblocking`].
    pub fn nonblocking(mut self) -> Self {
        self.mode = Mode::NonBlocking;
        self
    }

    /// Listens on the first address that can be bound (`srt_bind`, `srt_listen`). `[::]` also accepts IPv4 callers,
    /// unless the options disable it (`SRTO_IPV6ONLY`).
    ///
    /// # Errors
    /// [`AddressInUse`](crate::ErrorKind::AddressInUse), also for a port of this process with other settings, up to
    /// three seconds after it was closed; [`InvalidInput`](crate::ErrorKind::InvalidInput) for an invalid address, or
    /// an option that conflicts with another.
    pub fn bind(&self, addr: impl ToSocketAddrs) -> Result<SrtListener> {
        first_that_works(addr, |addr| {
            let socket = self.create()?;
            bind(socket.id(), addr)?;
            self.listen(socket)
        })
    }

    /// Listens on a bound UDP socket (`srt_bind_acquire`), which libsrt owns and closes from then on. Use it to set
    /// system options such as `SO_REUSEPORT`.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a UDP socket that is not bound.
    pub fn bind_udp(&self, udp: UdpSocket) -> Result<SrtListener> {
        let bound = udp.local_addr().is_ok_and(|addr| addr.port() != 0);
        if !bound {
            return Err(Error::invalid_input(
                "srt_bind_acquire",
                "bind the UDP socket to a port first",
            ));
        }
        let socket = self.create()?;
        // From here on libsrt owns the descriptor, even on failure: it closes the channel that it created for it.
        let fd = udp.into_raw_fd();
        // SAFETY: `fd` is an open, bound UDP socket that nobody else owns any more.
        ffi::check("srt_bind_acquire", unsafe {
            libsrt_sys::srt_bind_acquire(socket.id(), fd)
        })?;
        self.listen(socket)
    }

    /// Listens `count` times on one address and port (`SO_REUSEPORT`): the system distributes callers among the
    /// listeners, each with its own receiving thread, so that one port uses several cores. Port 0 selects a free one
    /// for all.
    ///
    /// Do not change the set later: when a listener joins or leaves, the system redistributes connections, and those
    /// that move are lost.
    ///
    /// # Errors
    /// Like [`bind`](Self::bind); [`AddressInUse`](crate::ErrorKind::AddressInUse) if the port is used without
    /// `SO_REUSEPORT`.
    pub fn bind_many(&self, addr: SocketAddr, count: NonZeroU16) -> Result<Vec<SrtListener>> {
        let first = reusable_port(addr)?;
        let addr = first
            .local_addr()
            .map_err(|error| Error::from_io("bind", &error))?;
        let mut sockets = vec![first];
        for _ in 1..count.get() {
            sockets.push(reusable_port(addr)?);
        }
        // All are bound before the first one listens, so that no caller is redistributed.
        sockets.into_iter().map(|udp| self.bind_udp(udp)).collect()
    }

    fn create(&self) -> Result<OwnedSocket> {
        let socket = OwnedSocket::create()?;
        self.options.apply(socket.id(), Stage::BeforeBind)?;
        Ok(socket)
    }

    fn listen(&self, raw: OwnedSocket) -> Result<SrtListener> {
        self.options.apply(raw.id(), Stage::BeforeConnect)?;
        set_blocking_mode(raw.id(), Mode::NonBlocking)?;
        // The hook is installed before listening, because libsrt accepts none afterwards. On failure the socket is
        // dropped first, by declaration order.
        let hook = self
            .access
            .as_ref()
            .map(|access| HookGuard::install(raw.id(), Arc::clone(access)));
        let listener = SrtListener {
            raw,
            hook: hook.transpose()?,
            nonblocking: AtomicBool::new(self.mode == Mode::NonBlocking),
            is_shut_down: AtomicBool::new(false),
        };
        let backlog = self.backlog.unwrap_or(SrtListener::DEFAULT_BACKLOG);
        // SAFETY: srt_listen takes any number; the socket is bound.
        ffi::check("srt_listen", unsafe {
            libsrt_sys::srt_listen(listener.raw.id(), i32::from(backlog.get()))
        })?;
        Ok(listener)
    }
}

/// Callers of a listener, in order of arrival; see [`SrtListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a SrtListener,
}

impl Iterator for Incoming<'_> {
    type Item = Result<(SrtSocket, SocketAddr)>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.listener.accept();
        let ended = next.is_err() && !self.listener.is_listening();
        if ended { None } else { Some(next) }
    }
}

fn reusable_port(addr: SocketAddr) -> Result<UdpSocket> {
    let open = || {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_port(true)?;
        if addr.is_ipv6() && addr.ip().is_unspecified() {
            socket.set_only_v6(false)?;
        }
        socket.bind(&addr.into())?;
        Ok(UdpSocket::from(socket))
    };
    open().map_err(|error: std::io::Error| Error::from_io("bind", &error))
}
