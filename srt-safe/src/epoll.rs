//! Readiness of many sockets on one thread: [`Epoll`] waits, and [`Registry`] adds and removes sockets, from any
//! thread, at any time.
//!
//! Waits on the caller's thread. It closes two gaps of libsrt: a listener with queued callers when it is added, and a
//! socket that broke before it was added, raise no event in libsrt; here the next wait reports them. System descriptors
//! are not supported, because libsrt would check them only every 10 ms.

use std::{
    collections::BTreeSet,
    fmt,
    num::NonZeroU8,
    ops::BitOr,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use libsrt_sys::{SRT_EPOLL_EVENT, SRT_EPOLL_FLAGS, SRT_EPOLL_OPT, SRT_SOCKSTATUS, SRTSOCKET};

use crate::{AsSrtSocket, MemberState, Result, SocketId, SrtGroup, connect::is_truly_broken, ffi, init};

const IN: u32 = SRT_EPOLL_OPT::SRT_EPOLL_IN.0;
const OUT: u32 = SRT_EPOLL_OPT::SRT_EPOLL_OUT.0;
const ERR: u32 = SRT_EPOLL_OPT::SRT_EPOLL_ERR.0;

/// How long a waiter may take to notice [`Waker::wake`] if libsrt lacks `epoll-wakeups`. libsrt's own interval is the
/// same.
pub(crate) const SLICE: Duration = Duration::from_millis(10);

/// The ids of all epolls, for the end of the process.
static EPOLLS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Threads inside libsrt's wait.
static WAITERS: AtomicUsize = AtomicUsize::new(0);

/// Set once, at the end of the process.
static EXITING: AtomicBool = AtomicBool::new(false);

static WAKE_ENDS_WAIT: LazyLock<bool> =
    LazyLock::new(|| libsrt_sys::has_edit(libsrt_sys::EDIT_EPOLL_WAKEUPS));

/// The requested events of a socket. Errors are always reported.
///
/// ```
/// use srt_safe::Interest;
/// let both = Interest::READABLE | Interest::WRITABLE;
/// assert!(both.is_readable() && both.is_writable());
/// assert!(!Interest::READABLE.is_writable());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interest(NonZeroU8);

impl Interest {
    /// Data to receive, or a caller to accept (`SRT_EPOLL_IN`, `SRT_EPOLL_ACCEPT`).
    pub const READABLE: Self = Self::bits(IN);
    /// Room to send, or an established connection (`SRT_EPOLL_OUT`, `SRT_EPOLL_CONNECT`). A connected socket is nearly
    /// always writable: request this only while there is data that did not fit.
    pub const WRITABLE: Self = Self::bits(OUT);
    /// Only errors.
    pub const ERRORS: Self = Self::bits(ERR);

    const fn bits(bits: u32) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the three flags are 1, 4 and 8 in srt.h"
        )]
        match NonZeroU8::new(bits as u8) {
            Some(bits) => Self(bits),
            None => panic!("an interest is never empty"),
        }
    }

    /// Whether it includes [`READABLE`](Self::READABLE).
    #[must_use]
    pub const fn is_readable(self) -> bool {
        self.raw() & IN != 0
    }

    /// Whether it includes [`WRITABLE`](Self::WRITABLE).
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.raw() & OUT != 0
    }

    const fn raw(self) -> u32 {
        self.0.get() as u32
    }
}

impl BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.is_readable(), self.is_writable()) {
            (true, true) => "READABLE | WRITABLE",
            (true, false) => "READABLE",
            (false, true) => "WRITABLE",
            (false, false) => "ERRORS",
        })
    }
}

/// When an event is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// At each wait, as long as the condition lasts. Ready sockets stay at the head of libsrt's list: if there are more
    /// of them than [`Events`] has room for, the others starve, so make it large enough for all.
    Level,
    /// Once, when the condition begins (`SRT_EPOLL_ET`). Receive, send or accept until
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock): what is left raises no new event. One case raises no event at all:
    /// a message of several packets (file transmission) that does not fit while there is room for one packet. Try again
    /// later.
    Edge,
}

/// A ready socket, as of the wait.
#[derive(Clone, Copy)]
pub struct Event(SRT_EPOLL_EVENT);

impl Event {
    const NONE: SRT_EPOLL_EVENT = SRT_EPOLL_EVENT {
        fd: libsrt_sys::SRT_INVALID_SOCK,
        events: 0,
    };

    /// The socket. Another thread may have closed or removed it since, so skip unknown ids.
    #[must_use]
    pub const fn socket(&self) -> SocketId {
        SocketId(self.0.fd)
    }

    /// Whether there is something to receive or to accept. A lost connection is also readable: the call reports it.
    #[must_use]
    pub const fn is_readable(&self) -> bool {
        self.has(IN)
    }

    /// Whether there is room to send, or the connection is established.
    #[must_use]
    pub const fn is_writable(&self) -> bool {
        self.has(OUT)
    }

    /// Whether the connection broke, or could not be established. Data received before can still be read. The next call
    /// on the socket returns the cause.
    ///
    /// Remove or close the socket then. libsrt without our edits removes a broken socket by itself about a second after
    /// it broke, so that a waiter that was busy for that long may miss the event; and it repeats events of a broken
    /// socket even with [`Trigger::Edge`] until it is removed.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        self.has(ERR)
    }

    const fn has(&self, bit: u32) -> bool {
        self.0.events.cast_unsigned() & bit != 0
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("socket", &self.socket())
            .field("readable", &self.is_readable())
            .field("writable", &self.is_writable())
            .field("error", &self.is_error())
            .finish()
    }
}

/// A buffer for the events of one wait, allocated once.
pub struct Events {
    slots: Box<[SRT_EPOLL_EVENT]>,
    len: usize,
}

impl Events {
    /// Creates a buffer for `capacity` events (at least one). More sockets may be registered; the next wait reports the
    /// others (see [`Trigger::Level`] for the exception).
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            slots: vec![Event::NONE; capacity.max(1)].into_boxed_slice(),
            len: 0,
        }
    }

    /// The maximum number of events per wait.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// The number of events of the last wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether the last wait ended without an event: by its timeout or by a [`Waker`].
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The events of the last wait.
    #[must_use]
    pub fn iter(&self) -> EventsIter<'_> {
        EventsIter(self.slots[..self.len].iter())
    }

    fn push(&mut self, event: SRT_EPOLL_EVENT) {
        self.slots[self.len] = event;
        self.len += 1;
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = Event;
    type IntoIter = EventsIter<'a>;

    fn into_iter(self) -> EventsIter<'a> {
        self.iter()
    }
}

/// An iterator over the events of a wait; see [`Events::iter`].
#[derive(Clone)]
pub struct EventsIter<'a>(std::slice::Iter<'a, SRT_EPOLL_EVENT>);

impl Iterator for EventsIter<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.0.next().copied().map(Event)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for EventsIter<'_> {}

impl fmt::Debug for EventsIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// Waits until one of many sockets is ready.
///
/// Waiting takes `&mut self`: an epoll has one waiter. A process may have several epolls, each with its own waiting
/// thread, which is woken only for its own events (with the edit `epoll-wakeups`; without it they wait for each other).
///
/// ```no_run
/// use srt_safe::{Epoll, Events, Interest, SrtListener, Trigger};
/// # fn main() -> srt_safe::Result<()> {
/// # let listener: SrtListener = todo!();
/// let mut epoll = Epoll::new()?;
/// epoll.registry().add(&listener, Interest::READABLE, Trigger::Edge)?;
/// let mut events = Events::with_capacity(256);
/// loop {
///     epoll.wait(&mut events, None)?;
///     for event in &events {
///         println!("{event:?}");
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Epoll {
    registry: Registry,
}

impl Epoll {
    /// Creates an epoll (`srt_epoll_create`), which uses one file descriptor.
    ///
    /// # Errors
    /// The library cannot be started, or no descriptor is left.
    pub fn new() -> Result<Self> {
        init::ensure_started()?;
        // SAFETY: the library is started; the call has no other precondition.
        let id = ffi::check("srt_epoll_create", unsafe { libsrt_sys::srt_epoll_create() })?;
        let inner = Inner {
            id,
            woken: AtomicBool::new(false),
            has_missed: AtomicBool::new(false),
            missed: Mutex::new(Vec::new()),
        };
        lock(&EPOLLS).insert(id);
        // An epoll whose last socket was just removed by another thread must not fail its waiter.
        inner.set(SRT_EPOLL_FLAGS::SRT_EPOLL_ENABLE_EMPTY.0.cast_signed())?;
        Ok(Self {
            registry: Registry(Arc::new(inner)),
        })
    }

    /// Adds and removes sockets; clone it for other threads.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A handle that ends the wait from another thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker(self.registry.clone())
    }

    /// Waits for events (`srt_epoll_uwait`), at most for `timeout`; `None` waits until something happens. The timeout
    /// is rounded up to microseconds, with an installed libsrt to milliseconds. After the timeout or [`Waker::wake`] it
    /// returns with empty `events`.
    ///
    /// # Errors
    /// None in normal operation. With an installed libsrt, [`InvalidState`](crate::ErrorKind::InvalidState) once the
    /// process is exiting.
    pub fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> Result<()> {
        let inner = &*self.registry.0;
        events.len = 0;
        if inner.has_missed.load(Ordering::Acquire) {
            inner.take_missed(events);
            if events.len < events.capacity() {
                inner.uwait(events, Some(Duration::ZERO))?;
            }
            return Ok(());
        }
        if *WAKE_ENDS_WAIT {
            return inner.uwait(events, timeout);
        }
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            // At exit, such a library destroys what waiters sleep on, and waits until none does.
            init::fail_when_exiting()?;
            inner.uwait(events, Some(left.map_or(SLICE, |left| left.min(SLICE))))?;
            let woken = inner.woken.swap(false, Ordering::AcqRel);
            if inner.has_missed.load(Ordering::Acquire) && events.len < events.capacity() {
                inner.take_missed(events);
            }
            if woken || !events.is_empty() || left.is_some_and(|left| left.is_zero()) {
                return Ok(());
            }
        }
    }
}

/// Adds sockets to an [`Epoll`] and removes them, from any thread, even during a wait.
///
/// Clones share the epoll, which lives until the last of them and the [`Epoll`] are dropped. A closed socket leaves its
/// epolls by itself.
#[derive(Clone, Debug)]
pub struct Registry(Arc<Inner>);

impl Registry {
    /// Adds a socket (`srt_epoll_add_usock`). Events that are already pending are reported by the current or the next
    /// wait. If the socket was already added, its interest and trigger are replaced, as by [`modify`](Self::modify).
    ///
    /// A listener that is added raises one event whether callers are queued or not, because libsrt does not reveal
    /// that: accept until [`WouldBlock`](crate::ErrorKind::WouldBlock).
    ///
    /// # Errors
    /// [`InvalidState`](crate::ErrorKind::InvalidState): the socket is closed.
    pub fn add(&self, socket: &impl AsSrtSocket, interest: Interest, trigger: Trigger) -> Result<()> {
        self.0
            .watch("srt_epoll_add_usock", socket.socket_id(), interest, trigger)
    }

    /// Replaces interest and trigger of a socket (`srt_epoll_update_usock`), and reports pending events again, which
    /// re-arms [`Trigger::Edge`]. Adds the socket if it is missing.
    ///
    /// # Errors
    /// [`InvalidState`](crate::ErrorKind::InvalidState): the socket is closed.
    pub fn modify(&self, socket: &impl AsSrtSocket, interest: Interest, trigger: Trigger) -> Result<()> {
        self.0
            .watch("srt_epoll_update_usock", socket.socket_id(), interest, trigger)
    }

    #[cfg(feature = "async")]
    pub(crate) fn add_id(&self, id: SocketId, interest: Interest, trigger: Trigger) -> Result<()> {
        self.0.watch("srt_epoll_add_usock", id, interest, trigger)
    }

    /// Removes a socket (`srt_epoll_remove_usock`): no later wait reports it, but one that has just ended may have.
    /// Removing a missing socket is no error.
    ///
    /// # Errors
    /// None in normal operation.
    pub fn remove(&self, socket: &impl AsSrtSocket) -> Result<()> {
        self.remove_id(socket.socket_id())
    }

    /// Like [`remove`](Self::remove), by id, as from an [`Event`]. The socket may already be closed.
    ///
    /// # Errors
    /// Like [`remove`](Self::remove).
    pub fn remove_id(&self, id: SocketId) -> Result<()> {
        // SAFETY: plain numbers; libsrt answers with an error for those it does not know.
        let ret = unsafe { libsrt_sys::srt_epoll_remove_usock(self.0.id, id.0) };
        if self.0.has_missed.load(Ordering::Acquire) {
            self.0.missed().retain(|event| event.fd != id.0);
        }
        ffi::check("srt_epoll_remove_usock", ret).map(drop)
    }
}

/// Ends the wait of an [`Epoll`] from another thread.
///
/// A wake outside of a wait ends the next one; several wakes may end one wait together. It takes effect at once with
/// the edit `epoll-wakeups`, otherwise within 10 ms.
#[derive(Clone, Debug)]
pub struct Waker(Registry);

impl Waker {
    /// Makes the wait return, with or without events. Never blocks for long; callable on any thread.
    pub fn wake(&self) {
        self.0.0.wake();
    }
}

/// The C side of an epoll. Released when the last handle is dropped, so that no handle can refer to the id of another
/// epoll.
struct Inner {
    id: i32,
    /// Set by a waker for waits that libsrt does not end early.
    woken: AtomicBool,
    /// Whether `missed` is non-empty, so that most waits need no lock.
    has_missed: AtomicBool,
    /// Conditions that existed before the socket was added, which libsrt does not report.
    missed: Mutex<Vec<SRT_EPOLL_EVENT>>,
}

impl Inner {
    fn watch(
        &self,
        operation: &'static str,
        SocketId(id): SocketId,
        interest: Interest,
        trigger: Trigger,
    ) -> Result<()> {
        let mode = match trigger {
            Trigger::Level => 0,
            Trigger::Edge => SRT_EPOLL_OPT::SRT_EPOLL_ET.0,
        };
        let flags = (interest.raw() | ERR | mode).cast_signed();
        // SAFETY: the pointer is to a local that libsrt reads during the call. Adding and updating are one function in libsrt.
        let ret = unsafe { libsrt_sys::srt_epoll_add_usock(self.id, id, &raw const flags) };
        ffi::check(operation, ret)?;
        // After the call above, so that one of the two sees a change in between.
        let missed = missed_events(id, interest);
        if missed != 0 {
            self.missed().push(SRT_EPOLL_EVENT {
                fd: id,
                events: missed.cast_signed(),
            });
            self.has_missed.store(true, Ordering::Release);
            self.wake();
        }
        Ok(())
    }

    fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        let set = self.set(libsrt_sys::SRT_EPOLL_WAKE);
        debug_assert!(set.is_ok(), "the epoll exists as long as its handles");
    }

    fn set(&self, flags: i32) -> Result<()> {
        // SAFETY: plain numbers; the epoll exists as long as this handle.
        ffi::check("srt_epoll_set", unsafe {
            libsrt_sys::srt_epoll_set(self.id, flags)
        })
        .map(drop)
    }

    /// Appends ready sockets to `events`.
    fn uwait(&self, events: &mut Events, timeout: Option<Duration>) -> Result<()> {
        let timeout_us = timeout.map_or(-1, round_up);
        let free = &mut events.slots[events.len..];
        let _waiter = Waiter::enter();
        // SAFETY: pointer and length describe `free`, which libsrt fills with at most that many events of plain data.
        let ret = unsafe {
            libsrt_sys::srt_edit_epoll_uwait(self.id, free.as_mut_ptr(), ffi::c_len(free.len()), timeout_us)
        };
        // libsrt up to 1.5.2 also counts events that did not fit.
        let count = ffi::check_count("srt_epoll_uwait", ret)?.min(free.len());
        events.len += count;
        Ok(())
    }

    fn take_missed(&self, events: &mut Events) {
        let mut missed = self.missed();
        let take = missed.len().min(events.capacity() - events.len);
        for event in missed.drain(..take) {
            events.push(event);
        }
        self.has_missed.store(!missed.is_empty(), Ordering::Release);
    }

    fn missed(&self) -> MutexGuard<'_, Vec<SRT_EPOLL_EVENT>> {
        lock(&self.missed)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Epoll").field(&self.id).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        lock(&EPOLLS).remove(&self.id);
        // SAFETY: this was the last handle, so nobody waits; sockets that are still in it drop their side by themselves.
        unsafe { libsrt_sys::srt_epoll_release(self.id) };
    }
}

/// A thread inside libsrt's wait. At the end of the process, no thread may go on: libsrt's static is destroyed while
/// threads are left, and a wait would access destroyed data.
struct Waiter;

impl Waiter {
    fn enter() -> Self {
        WAITERS.fetch_add(1, Ordering::SeqCst);
        if EXITING.load(Ordering::SeqCst) {
            WAITERS.fetch_sub(1, Ordering::SeqCst);
            park_for_good();
        }
        Self
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        WAITERS.fetch_sub(1, Ordering::SeqCst);
        if EXITING.load(Ordering::SeqCst) {
            park_for_good();
        }
    }
}

fn park_for_good() -> ! {
    loop {
        thread::park();
    }
}

/// Called at the end of the process, before libsrt is destroyed: ends all waits, and prevents new ones.
pub(crate) fn end_waits() {
    EXITING.store(true, Ordering::SeqCst);
    // A wait without the edit lasts one slice at most; the limit allows for a very busy machine.
    let limit = Instant::now() + SLICE * 20;
    while WAITERS.load(Ordering::SeqCst) > 0 && Instant::now() < limit {
        for &id in &*lock(&EPOLLS) {
            // SAFETY: plain numbers; an epoll leaves the set before it is released.
            unsafe { libsrt_sys::srt_epoll_set(id, libsrt_sys::SRT_EPOLL_WAKE) };
        }
        thread::yield_now();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The conditions that libsrt (`CUDT::addEPoll`) does not check when a socket is added: the queue of a listener, and a
/// broken connection.
fn missed_events(id: SRTSOCKET, interest: Interest) -> u32 {
    // SAFETY: a plain number; libsrt answers SRTS_NONEXIST for one it does not know.
    match unsafe { libsrt_sys::srt_getsockstate(id) } {
        SRT_SOCKSTATUS::SRTS_LISTENING => interest.raw() & IN,
        SRT_SOCKSTATUS::SRTS_BROKEN if !is_broken(SocketId(id)) => 0,
        SRT_SOCKSTATUS::SRTS_BROKEN
        | SRT_SOCKSTATUS::SRTS_CLOSING
        | SRT_SOCKSTATUS::SRTS_CLOSED
        | SRT_SOCKSTATUS::SRTS_NONEXIST => IN | OUT | ERR,
        _ => 0,
    }
}

/// Whether a socket in libsrt's state "broken" really is: libsrt also reports it for a socket that changes from
/// connecting to connected, and for a group whose only link does.
fn is_broken(id: SocketId) -> bool {
    if !id.is_group() {
        return is_truly_broken(id.0);
    }
    let members = SrtGroup::members_of(id).unwrap_or_default();
    members.iter().all(|link| link.state == MemberState::Broken)
}

/// Microseconds, rounded up, so that a short wait does not become a busy loop.
fn round_up(timeout: Duration) -> i64 {
    // libsrt adds it to a clock of nanoseconds.
    const LONGEST: i64 = i64::MAX / 1_000_000;
    i64::try_from(timeout.as_nanos().div_ceil(1_000)).map_or(LONGEST, |us| us.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_round_up_and_never_overflow() {
        assert_eq!(round_up(Duration::ZERO), 0);
        assert_eq!(round_up(Duration::from_nanos(1)), 1);
        assert_eq!(round_up(Duration::from_micros(7)), 7);
        assert_eq!(round_up(Duration::from_nanos(7_001)), 8);
        // libsrt's clock counts nanoseconds.
        assert!(round_up(Duration::MAX).checked_mul(1000).is_some());
    }

    #[test]
    fn an_empty_epoll_waits_out_its_timeout() {
        let mut epoll = Epoll::new().unwrap();
        let mut events = Events::with_capacity(4);
        let start = Instant::now();
        epoll.wait(&mut events, Some(Duration::from_millis(30))).unwrap();
        assert!(events.is_empty());
        assert!(start.elapsed() >= Duration::from_millis(30));
    }

    #[test]
    fn a_wake_ends_an_endless_wait_and_is_used_up_by_it() {
        let mut epoll = Epoll::new().unwrap();
        let mut events = Events::with_capacity(4);
        for _ in 0..20 {
            let waker = epoll.waker();
            let thread = std::thread::spawn(move || waker.wake());
            epoll.wait(&mut events, None).unwrap();
            assert!(events.is_empty());
            thread.join().unwrap();
        }
        let start = Instant::now();
        epoll.wait(&mut events, Some(Duration::from_millis(20))).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn a_closed_socket_is_refused() {
        let epoll = Epoll::new().unwrap();
        let socket = crate::ffi::OwnedSocket::create().unwrap();
        let id = SocketId(socket.id());
        socket.close().unwrap();
        let error = epoll
            .registry()
            .0
            .watch("srt_epoll_add_usock", id, Interest::READABLE, Trigger::Level)
            .unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::InvalidState, "{error}");
        epoll.registry().remove_id(id).unwrap();
    }

    #[test]
    fn interests_join() {
        let both = Interest::READABLE | Interest::WRITABLE;
        assert_eq!(both, Interest::WRITABLE | Interest::READABLE);
        assert_eq!(format!("{both:?}"), "READABLE | WRITABLE");
        assert!(!Interest::ERRORS.is_readable() && !Interest::ERRORS.is_writable());
    }

    const _: () = {
        const fn both<T: Send + Sync>() {}
        both::<Epoll>();
        both::<Registry>();
        both::<Waker>();
        both::<Events>();
    };
}
