//! Futures over an epoll: one [`Reactor`] thread waits for any number of sockets and wakes their tasks.
//!
//! Runtime-neutral: only `std::task`. Calls on sockets run on the task's own thread; the reactor's thread only runs
//! wakers. There are no timers: wrap a future in the runtime's timeout; every future may be dropped at any time.
//!
//! ```text
//!  task: call --> WouldBlock? --> leave waker, unless an event came since the call --> Pending
//!           ^                                                                            |
//!           +----------------- reactor: event => generation + 1, wake all --------------+
//! ```

use std::{
    collections::HashMap,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Poll, Waker as TaskWaker},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use libsrt_sys::SRT_ERRNO;

use crate::{
    AsSrtSocket, Epoll, Error, Event, Events, Interest, Registry, Result, SocketId, Trigger, Waker, ffi,
};

/// Events per wait; with more ready sockets there are more rounds, because edges do not repeat.
const EVENTS: usize = 256;

/// How often a call is retried whose readiness libsrt does not always report; see [`Wait::WritableByRetry`].
const RETRY: Duration = Duration::from_millis(10);

/// The thread that waits for the sockets of async tasks. Clones share it; it ends with the last clone and the last
/// socket.
#[derive(Clone, Debug)]
pub struct Reactor(Arc<Owner>);

impl Reactor {
    /// Starts the thread, named `srt-reactor`.
    ///
    /// # Errors
    /// The library cannot be started, or threads or descriptors are exhausted.
    pub fn new() -> Result<Self> {
        let epoll = Epoll::new()?;
        let shared = Arc::new(Shared {
            registry: epoll.registry().clone(),
            waker: epoll.waker(),
            sources: Mutex::new(HashMap::new()),
            retrying: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        });
        {
            let mut reactors = lock(&REACTORS);
            reactors.retain(|reactor| reactor.strong_count() > 0);
            reactors.push(Arc::downgrade(&shared));
        }
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("srt-reactor".into())
            .spawn(move || of_thread.run(epoll))
            .map_err(|_| {
                Error::new(
                    SRT_ERRNO::SRT_ETHREAD,
                    "Reactor::new",
                    "no thread for the reactor",
                )
            })?;
        Ok(Self(Arc::new(Owner {
            shared,
            thread: Mutex::new(Some(thread)),
        })))
    }

    pub(crate) fn source(&self, socket: &impl AsSrtSocket) -> Source {
        Source {
            readiness: Arc::new(Readiness {
                id: socket.socket_id(),
                registered: Mutex::new(false),
                failed: AtomicBool::new(false),
                retries: AtomicUsize::new(0),
                read: Direction::default(),
                write: Direction::default(),
            }),
            reactor: self.clone(),
        }
    }
}

/// The reactors of this process.
static REACTORS: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// Wakes the tasks that wait for a socket that was just closed: their calls fail now.
pub(crate) fn wake_closed(id: SocketId) {
    let reactors: Vec<_> = lock(&REACTORS).iter().filter_map(Weak::upgrade).collect();
    let mut wakers = Vec::new();
    for reactor in &reactors {
        let source = lock(&reactor.sources).get(&id).and_then(Weak::upgrade);
        if let Some(source) = source {
            source.fail(&mut wakers);
        }
    }
    wake_all(&mut wakers);
}

/// Ends the thread when the last handle is dropped.
#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.waker.wake();
        let thread = lock(&self.thread).take();
        // A waker can drop the last task, and so the last handle, on the reactor's own thread, which must not join
        // itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id()) {
            // The thread catches panics of wakers, and has none of its own.
            drop(thread.join());
        }
    }
}

#[derive(Debug)]
struct Shared {
    registry: Registry,
    waker: Waker,
    sources: Mutex<HashMap<SocketId, Weak<Readiness>>>,
    /// The number of calls that wait by retry.
    retrying: AtomicUsize,
    stopping: AtomicBool,
}

impl Shared {
    fn run(&self, mut epoll: Epoll) {
        let mut events = Events::with_capacity(EVENTS);
        let mut wakers = Vec::new();
        let mut retried = Instant::now();
        while !self.stopping.load(Ordering::Acquire) {
            let timeout = (self.retrying.load(Ordering::Acquire) > 0).then_some(RETRY);
            if epoll.wait(&mut events, timeout).is_err() {
                // Only at the end of the process, when the library is gone.
                return self.fail_all(&mut wakers);
            }
            {
                let sources = lock(&self.sources);
                for event in &events {
                    if let Some(source) = sources.get(&event.socket()).and_then(Weak::upgrade) {
                        self.dispatch(event, &source, &mut wakers);
                    }
                }
                if timeout.is_some() && retried.elapsed() >= RETRY {
                    retried = Instant::now();
                    for source in sources.values().filter_map(Weak::upgrade) {
                        if source.retries.load(Ordering::Acquire) > 0 {
                            source.write.advance(&mut wakers);
                        }
                    }
                }
            }
            wake_all(&mut wakers);
        }
    }

    fn dispatch(&self, event: Event, source: &Readiness, wakers: &mut Vec<TaskWaker>) {
        if event.is_error() {
            // No more events will come: the calls on the socket return the error.
            source.failed.store(true, Ordering::Release);
            // The socket may already have left the epoll.
            self.registry.remove_id(source.id).ok();
        }
        if event.is_readable() || event.is_error() {
            source.read.advance(wakers);
        }
        if event.is_writable() || event.is_error() {
            source.write.advance(wakers);
        }
    }

    fn fail_all(&self, wakers: &mut Vec<TaskWaker>) {
        for source in lock(&self.sources).values().filter_map(Weak::upgrade) {
            source.fail(wakers);
        }
        wake_all(wakers);
    }
}

fn wake_all(wakers: &mut Vec<TaskWaker>) {
    for waker in wakers.drain(..) {
        // A waker is foreign code: if it panics, the other tasks must still be woken.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
            ffi::discard(payload);
        }
    }
}

/// A socket's registration in the reactor, removed on drop; drop it before the socket closes.
#[derive(Debug)]
pub(crate) struct Source {
    readiness: Arc<Readiness>,
    reactor: Reactor,
}

/// How a call waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Readable,
    Writable,
    /// Also polled: room for more than one packet raises no event, and neither may the end of connecting.
    WritableByRetry,
}

impl Source {
    pub(crate) const fn reactor(&self) -> &Reactor {
        &self.reactor
    }

    /// Repeats `call` while it returns `WouldBlock`, each time the socket may be ready. Cancel-safe if `call` is: it
    /// has no effect when it would block.
    pub(crate) async fn until_ready<T>(&self, wait: Wait, mut call: impl FnMut() -> Result<T>) -> Result<T> {
        let mut slot = Slot {
            source: self,
            direction: self.readiness.direction(wait),
            key: None,
            retries: false,
        };
        poll_fn(|context| {
            loop {
                let seen = slot.direction.generation();
                let failed = self.readiness.failed.load(Ordering::Acquire);
                match call() {
                    Err(error) if error.is_would_block() => {}
                    result => return Poll::Ready(result),
                }
                if failed {
                    return Poll::Ready(Err(connection_lost()));
                }
                // The first call comes before this, so a socket that never waits costs the reactor nothing.
                if let Err(error) = self.register() {
                    // The socket broke and was closed since the call, which returns the exact error.
                    return Poll::Ready(
                        call().map_err(|last| if last.is_would_block() { error } else { last }),
                    );
                }
                if wait == Wait::WritableByRetry {
                    slot.retry();
                }
                if slot.leave(context.waker(), seen) {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    fn register(&self) -> Result<()> {
        let mut registered = lock(&self.readiness.registered);
        if !*registered {
            let shared = &self.reactor.0.shared;
            lock(&shared.sources).insert(self.readiness.id, Arc::downgrade(&self.readiness));
            shared.registry.add_id(
                self.readiness.id,
                Interest::READABLE | Interest::WRITABLE,
                Trigger::Edge,
            )?;
            *registered = true;
        }
        Ok(())
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let shared = &self.reactor.0.shared;
        if *lock(&self.readiness.registered) {
            // The socket may have left the epoll by itself.
            shared.registry.remove_id(self.readiness.id).ok();
        }
        lock(&shared.sources).remove(&self.readiness.id);
    }
}

#[derive(Debug)]
struct Readiness {
    id: SocketId,
    registered: Mutex<bool>,
    /// The epoll reported an error: no more events will come.
    failed: AtomicBool,
    /// The number of calls that wait by retry.
    retries: AtomicUsize,
    read: Direction,
    write: Direction,
}

impl Readiness {
    fn fail(&self, wakers: &mut Vec<TaskWaker>) {
        self.failed.store(true, Ordering::Release);
        self.read.advance(wakers);
        self.write.advance(wakers);
    }

    const fn direction(&self, wait: Wait) -> &Direction {
        match wait {
            Wait::Readable => &self.read,
            Wait::Writable | Wait::WritableByRetry => &self.write,
        }
    }
}

/// The tasks that wait for one direction of a socket, of any number.
#[derive(Debug, Default)]
struct Direction {
    /// Counts events, so that an event between a call and storing the waker is not lost. Incremented under the lock.
    generation: AtomicU64,
    waiters: Mutex<Waiters>,
}

#[derive(Debug, Default)]
struct Waiters {
    next_key: u64,
    wakers: Vec<(u64, TaskWaker)>,
}

impl Direction {
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn advance(&self, wakers: &mut Vec<TaskWaker>) {
        let mut waiters = lock(&self.waiters);
        self.generation.fetch_add(1, Ordering::AcqRel);
        wakers.extend(waiters.wakers.drain(..).map(|(_, waker)| waker));
    }
}

/// A future's entry in a [`Direction`], removed when the future is dropped.
struct Slot<'a> {
    source: &'a Source,
    direction: &'a Direction,
    key: Option<u64>,
    retries: bool,
}

impl Slot<'_> {
    /// Stores the waker, unless there were events since `seen`.
    fn leave(&mut self, waker: &TaskWaker, seen: u64) -> bool {
        let waker = waker.clone();
        let mut waiters = lock(&self.direction.waiters);
        if self.direction.generation() != seen {
            return false;
        }
        let key = *self.key.get_or_insert_with(|| {
            waiters.next_key += 1;
            waiters.next_key
        });
        let before = match waiters.wakers.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => Some(std::mem::replace(known, waker)),
            None => {
                waiters.wakers.push((key, waker));
                None
            }
        };
        // A waker can own the last reference to a task, whose futures then take this very lock.
        drop(waiters);
        drop(before);
        true
    }

    fn retry(&mut self) {
        if !self.retries {
            self.retries = true;
            self.source.readiness.retries.fetch_add(1, Ordering::AcqRel);
            let shared = &self.source.reactor.0.shared;
            if shared.retrying.fetch_add(1, Ordering::AcqRel) == 0 {
                shared.waker.wake();
            }
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let mut waiters = lock(&self.direction.waiters);
            let at = waiters.wakers.iter().position(|(known, _)| *known == key);
            let waker = at.map(|at| waiters.wakers.swap_remove(at));
            // As in `leave`: not under the lock.
            drop(waiters);
            drop(waker);
        }
        if self.retries {
            self.source.readiness.retries.fetch_sub(1, Ordering::AcqRel);
            self.source
                .reactor
                .0
                .shared
                .retrying
                .fetch_sub(1, Ordering::AcqRel);
        }
    }
}

fn connection_lost() -> Error {
    Error::new(
        SRT_ERRNO::SRT_ECONNLOST,
        "srt_epoll_uwait",
        "the connection is lost",
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
