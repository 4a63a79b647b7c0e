//! Listeners: a port that takes callers in.
//!
//! Accepting runs on the thread that calls; decisions about callers run on libsrt's (see `trampoline`).

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

/// How often a wait for a caller looks whether the listener is still there: closing one raises no event.
const LOOK_AT_STATE: Duration = Duration::from_millis(50);

/// A listening SRT socket. Closed on drop; accepted sockets live on, callers that nobody accepted are dropped.
///
/// # In an access control callback
/// Closing a listener waits until a decision that is under way has returned. From inside of that decision it cannot: there
/// dropping and [`shutdown`](Self::shutdown) hand the closing to another thread and return at once.
#[derive(Debug)]
pub struct SrtListener {
    /// Before `hook`: fields drop in order, and until the socket is closed libsrt may call the hook.
    pub(crate) raw: OwnedSocket,
    hook: Option<HookGuard>,
    /// The mode that callers of this type see. To libsrt the listener is always non-blocking: a thread in its blocking
    /// accept cannot be given a time limit, and holds the process at exit.
    nonblocking: AtomicBool,
    /// [`shutdown`](Self::shutdown) was called. An installed libsrt says for three seconds after that that it is listening.
    is_shut_down: AtomicBool,
}

/// How a listener is to be set up. Made by [`SrtListener::builder`].
///
/// One builder may bind several listeners: it is not used up.
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
    /// How many callers may wait to be accepted unless [`SrtListenerBuilder::backlog`] says otherwise. libsrt refuses the next
    /// one before any access control, so the number is large.
    pub const DEFAULT_BACKLOG: NonZeroU16 = NonZeroU16::new(1024).unwrap();

    /// Sets a listener up with other than the default settings.
    pub fn builder() -> SrtListenerBuilder {
        SrtListenerBuilder::default()
    }

    /// Listens on an address, with default settings, and lets everybody in.
    ///
    /// # Errors
    /// As [`SrtListenerBuilder::bind`].
    pub fn bind(addr: impl ToSocketAddrs) -> Result<Self> {
        Self::builder().bind(addr)
    }

    /// Listens on a UDP socket that is already bound, with default settings: see [`SrtListenerBuilder::bind_udp`].
    ///
    /// # Errors
    /// As [`SrtListenerBuilder::bind_udp`].
    pub fn from_udp(socket: UdpSocket) -> Result<Self> {
        Self::builder().bind_udp(socket)
    }

    /// The socket's id.
    #[must_use]
    pub fn id(&self) -> SocketId {
        SocketId(self.raw.id())
    }

    /// The address and port that callers reach (`srt_getsockname`).
    ///
    /// # Errors
    /// When the listener is shut down.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        local_addr_of(self.raw.id())
    }

    /// Takes the next caller in (`srt_accept`). Waits until there is one; a non-blocking listener does not wait.
    ///
    /// A bonded caller comes as a group: [`SrtSocket::is_group`]. The new socket is blocking if the listener is, whatever it
    /// inherited. Several threads may accept from one listener.
    ///
    /// # Errors
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock) when there is none;
    /// [`InvalidState`](crate::ErrorKind::InvalidState) when the listener is shut down.
    pub fn accept(&self) -> Result<(SrtSocket, SocketAddr)> {
        match self.mode() {
            Mode::Blocking => self.accept_before(None),
            Mode::NonBlocking => self.accept_now(),
        }
    }

    /// Takes the next caller in, and waits for one no longer than that, whatever the listener's mode.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut) when none came;
    /// [`InvalidState`](crate::ErrorKind::InvalidState) when the listener is shut down.
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
                // libsrt has one error for a listener that was closed and a caller that left before it was accepted.
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

    /// Puts an accepted socket into the listener's mode; false if libsrt has closed it already, and the next is to be taken.
    /// One whose caller has left keeps what it inherited, so that what the caller sent can be read.
    fn pass_mode_on(&self, socket: &SrtSocket) -> bool {
        set_blocking_mode(socket.raw.id(), self.mode()).is_ok()
            || matches!(socket.state(), SocketState::Connected | SocketState::Broken)
    }

    fn is_listening(&self) -> bool {
        !self.is_shut_down.load(Ordering::Acquire) && self.id().state() == SocketState::Listening
    }

    /// Each caller as [`accept`](Self::accept) returns it; ends when the listener is shut down.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Makes [`accept`](Self::accept) return [`WouldBlock`](crate::ErrorKind::WouldBlock) in place of waiting, and accepted
    /// sockets non-blocking.
    pub fn set_nonblocking(&self) {
        self.nonblocking.store(true, Ordering::Relaxed);
    }

    /// Makes [`accept`](Self::accept) wait, and accepted sockets blocking: the state of a new listener.
    pub fn set_blocking(&self) {
        self.nonblocking.store(false, Ordering::Relaxed);
    }

    /// How the decisions of the [access control](SrtListenerBuilder::access_control) went; all zero without one.
    #[must_use]
    pub fn access_counts(&self) -> AccessCounts {
        self.hook
            .as_ref()
            .map_or_else(AccessCounts::default, HookGuard::counts)
    }

    /// Whether the library can leave a caller waiting for its verdict: [`Verdict::Defer`](crate::Verdict::Defer). The pinned
    /// libsrt can, an installed one cannot.
    #[must_use]
    pub fn can_defer() -> bool {
        trampoline::can_defer()
    }

    /// The cookie that a listener of this process on the local address `listener` gives the caller at `caller` now. `None`:
    /// the library's cookies are not keyed, so that anybody can compute them. Those of the pinned libsrt are; those of an
    /// installed one are not.
    ///
    /// With this you can answer inductions on a UDP socket yourself until somebody proves its address, and open the listener
    /// only then: it finds the conclusion in the socket. See [`is_cookie_of`](Self::is_cookie_of).
    #[must_use]
    pub fn cookie_for(caller: SocketAddr, listener: SocketAddr) -> Option<u32> {
        libsrt_sys::has_edit(libsrt_sys::EDIT_PROVEN_ADDRESS)
            .then(|| ffi::cookie(caller, listener, 0).cast_unsigned())
    }

    /// Whether a listener of this process on `listener` accepts `cookie` from the caller at `caller`: it gave it out in this
    /// minute or the one before. `None`: as for [`cookie_for`](Self::cookie_for).
    #[must_use]
    pub fn is_cookie_of(cookie: u32, caller: SocketAddr, listener: SocketAddr) -> Option<bool> {
        let given = |minutes_ago| ffi::cookie(caller, listener, minutes_ago).cast_unsigned();
        libsrt_sys::has_edit(libsrt_sys::EDIT_PROVEN_ADDRESS)
            .then(|| cookie == given(0) || cookie == given(1))
    }

    /// Stops listening from any thread (`srt_close`): a blocked [`accept`](Self::accept) returns with an error, and
    /// [`incoming`](Self::incoming) ends.
    ///
    /// # Errors
    /// When it was shut down before, and libsrt has forgotten the socket since.
    pub fn shutdown(&self) -> Result<()> {
        self.is_shut_down.store(true, Ordering::Release);
        self.raw.shutdown()
    }

    /// Closes the listener (`srt_close`), after a decision under way has returned.
    ///
    /// # Errors
    /// When libsrt has closed it already.
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

    /// Lets that many callers wait to be accepted; libsrt refuses the next one with
    /// [`RejectReason::BACKLOG`](crate::RejectReason::BACKLOG).
    pub fn backlog(mut self, callers: NonZeroU16) -> Self {
        self.backlog = Some(callers);
        self
    }

    /// Has each caller decided about (`srt_listen_callback`). It cannot be changed once the listener is there. Listeners that
    /// this builder binds share it.
    pub fn access_control(mut self, access: impl AccessControl) -> Self {
        self.access = Some(Arc::new(access));
        self
    }

    /// Makes the listener non-blocking, as by [`SrtListener::set_nonblocking`].
    pub fn nonblocking(mut self) -> Self {
        self.mode = Mode::NonBlocking;
        self
    }

    /// Listens on the first of the addresses that can be bound (`srt_bind`, `srt_listen`). `[::]` takes IPv4 callers too,
    /// unless the options say otherwise (`SRTO_IPV6ONLY`).
    ///
    /// # Errors
    /// [`AddressInUse`](crate::ErrorKind::AddressInUse), also for a port of this process with other settings, for up to
    /// three seconds after it was closed; [`InvalidInput`](crate::ErrorKind::InvalidInput) for an address that is none, or
    /// an option that does not go with another.
    pub fn bind(&self, addr: impl ToSocketAddrs) -> Result<SrtListener> {
        first_that_works(addr, |addr| {
            let socket = self.create()?;
            bind(socket.id(), addr)?;
            self.listen(socket)
        })
    }

    /// Listens on a UDP socket that is already bound (`srt_bind_acquire`), which libsrt owns and closes from then on. The way to
    /// set what only the system knows, such as `SO_REUSEPORT`.
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
        // From here on the descriptor is libsrt's, also when it fails: it closes the channel that it made of it.
        let fd = udp.into_raw_fd();
        // SAFETY: `fd` is an open, bound UDP socket that nobody else owns any more.
        ffi::check("srt_bind_acquire", unsafe {
            libsrt_sys::srt_bind_acquire(socket.id(), fd)
        })?;
        self.listen(socket)
    }

    /// Listens `count` times on one address and port (`SO_REUSEPORT`): the system spreads callers over the listeners, each
    /// with its own receive thread, so one port uses several cores. Port 0 takes a free one for all.
    ///
    /// The set is to stay as it is: when a listener joins or leaves, the system deals connections out anew, and those that
    /// move are lost.
    ///
    /// # Errors
    /// As [`bind`](Self::bind); [`AddressInUse`](crate::ErrorKind::AddressInUse) when somebody has the port without
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
        // All are bound before the first one listens, so that no caller is dealt out anew.
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
        // The hook before listening: libsrt takes none afterwards. A failure drops the socket first, by declaration order.
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

/// Callers of a listener, as they come: see [`SrtListener::incoming`].
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
