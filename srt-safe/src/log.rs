//! libsrt's log: forwarded to the `log` and `tracing` crates, and to subscribers, without ever blocking libsrt's
//! threads.
//!
//! Owns the log handler of the process (`srt_setloghandler`), a bounded queue and the thread `srt-log` that empties it.
//! The handler runs on the logging thread, under a lock that all of libsrt's threads share: it copies the line into the
//! queue, or counts it as dropped if the queue is full. Loggers and subscribers run on `srt-log`. Filtering beyond
//! level and areas, and formatting, is left to loggers.
//!
//! Without [`install`] and without a subscriber, nothing is written. libsrt itself would write to standard error, even
//! about normal events: a connection that is closed properly produces lines of level error.
//!
//! ```
//! use srt_safe::log::{self, LogBridge, LogLevel};
//!
//! log::install(LogBridge::to_log().level(LogLevel::Note))?;
//! let watch = log::subscribe(LogLevel::Error, |line| {
//!     if let Some((socket, fault)) = line.encryption_fault() {
//!         eprintln!("{socket:?}: {fault:?}");
//!     }
//! })?;
//! drop(watch); // ends the subscription
//! # Ok::<(), srt_safe::Error>(())
//! ```

mod area;
mod handler;
mod line;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

pub use self::{
    area::{Area, LogLevel, UnknownName},
    line::{EncryptionFault, LogLine},
};
use crate::{Error, Result, ffi};

/// The number of queued lines; [`LogBridge::queue`] overrides it before the first use.
const QUEUE: usize = 1024;

/// The shortest time between two reports of dropped lines.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// The destination of libsrt's lines, and their level.
#[derive(Clone, Debug)]
pub struct LogBridge {
    target: Target,
    level: LogLevel,
    queue: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Log,
    #[cfg(feature = "tracing")]
    Tracing,
}

impl LogBridge {
    /// To the logger of the `log` crate, with targets such as `libsrt::conn`; see [`Area::target`].
    #[must_use]
    pub const fn to_log() -> Self {
        Self::to(Target::Log)
    }

    /// To the subscriber of the `tracing` crate: target `libsrt`; fields `area`, `socket`, `function`, `file` and `line`.
    #[cfg(feature = "tracing")]
    #[must_use]
    pub const fn to_tracing() -> Self {
        Self::to(Target::Tracing)
    }

    const fn to(target: Target) -> Self {
        Self {
            target,
            level: LogLevel::Warning,
            queue: QUEUE,
        }
    }

    /// Includes lines of this level and more severe ones (default: [`LogLevel::Warning`]).
    #[must_use]
    pub const fn level(mut self, level: LogLevel) -> Self {
        self.level = level;
        self
    }

    /// The number of lines that may be queued before further ones are dropped (default 1024, about 300 bytes each; at
    /// least 1). Only the first use of this module in the process takes effect.
    #[must_use]
    pub const fn queue(mut self, lines: usize) -> Self {
        self.queue = if lines == 0 { 1 } else { lines };
        self
    }
}

/// Takes over libsrt's log and sends it to `bridge`, replacing an earlier bridge.
///
/// # Errors
/// `OutOfResources` if the thread cannot be started.
pub fn install(bridge: LogBridge) -> Result<()> {
    let shared = Shared::started(bridge.queue)?;
    shared.change(|state| {
        state.level = bridge.level;
        state.sinks_mut().target = Some(bridge.target);
    });
    Ok(())
}

/// Undoes [`install`]: lines go to subscribers only, and without any, nothing is written.
pub fn uninstall() {
    if let Some(shared) = SHARED.get() {
        shared.change(|state| {
            state.level = LogLevel::Warning;
            state.sinks_mut().target = None;
        });
    }
}

/// Changes the level of the installed bridge at run time (`srt_setloglevel`).
///
/// # Errors
/// Like [`install`].
pub fn set_level(level: LogLevel) -> Result<()> {
    Shared::started(QUEUE)?.change(|state| state.level = level);
    Ok(())
}

/// Restricts libsrt's log to these areas, for all receivers (`srt_resetlogfa`). By default all are enabled.
pub fn set_areas(areas: &[Area]) {
    handler::set_areas(areas);
}

/// Calls `watch` with each line of this level and more severe ones, until the returned subscription is dropped.
///
/// It runs on the thread `srt-log`: while it runs, lines queue up. A callback that panics is not called again.
///
/// # Errors
/// Like [`install`].
pub fn subscribe(level: LogLevel, watch: impl Fn(&LogLine) + Send + Sync + 'static) -> Result<Subscription> {
    let shared = Shared::started(QUEUE)?;
    let subscriber = Arc::new(Subscriber {
        level,
        watch: Box::new(watch),
    });
    shared.change(|state| state.sinks_mut().subscribers.push(Arc::clone(&subscriber)));
    Ok(Subscription(subscriber))
}

/// Waits until every line logged before the call has reached the logger and the subscribers: returns `true` once that
/// is so, `false` after `timeout` (or at once if called by a subscriber, which would wait for itself).
#[must_use]
pub fn flush(timeout: Duration) -> bool {
    let Some(shared) = SHARED.get() else {
        return true;
    };
    if shared.drainer.get() == Some(&std::thread::current().id()) {
        return false;
    }
    let deadline = Instant::now() + timeout;
    let (done, wait) = crossbeam_channel::bounded(1);
    shared
        .queue
        .send_deadline(QueueItem::Flush(done), deadline)
        .is_ok()
        && wait.recv_deadline(deadline).is_ok()
}

/// The number of lines dropped because the queue was full, since the process started.
#[must_use]
pub fn dropped_lines() -> u64 {
    SHARED
        .get()
        .map_or(0, |shared| shared.dropped.load(Ordering::Relaxed))
}

/// An active [`subscribe`]: drop it to end it.
#[must_use = "dropping it ends the subscription"]
pub struct Subscription(Arc<Subscriber>);

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("level", &self.0.level)
            .finish_non_exhaustive()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(shared) = SHARED.get() {
            shared.unsubscribe(&self.0);
        }
    }
}

struct Subscriber {
    level: LogLevel,
    watch: Box<dyn Fn(&LogLine) + Send + Sync>,
}

/// Keeps libsrt from writing to standard error, unless its lines have already been requested. Called when the library
/// starts.
pub(crate) fn silence_unless_asked() {
    // The lock prevents a concurrent first `install`.
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if SHARED.get().is_none() {
        handler::silence();
    }
}

static STARTING: Mutex<()> = Mutex::new(());
static SHARED: OnceLock<Shared> = OnceLock::new();

/// Shared by the handler, the thread and the functions above. Never dropped: a late line of libsrt must find it.
struct Shared {
    queue: Sender<QueueItem>,
    dropped: AtomicU64,
    drainer: OnceLock<std::thread::ThreadId>,
    state: Mutex<State>,
}

enum QueueItem {
    Line(LogLine),
    Flush(Sender<()>),
}

struct State {
    level: LogLevel,
    sinks: Arc<Sinks>,
}

#[derive(Clone, Default)]
struct Sinks {
    target: Option<Target>,
    /// The bridge's level, needed by the draining thread: a subscriber may have requested more from libsrt than the
    /// bridge.
    level: Option<LogLevel>,
    subscribers: Vec<Arc<Subscriber>>,
}

impl State {
    fn sinks_mut(&mut self) -> &mut Sinks {
        Arc::make_mut(&mut self.sinks)
    }
}

impl Shared {
    fn started(queue: usize) -> Result<&'static Self> {
        let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = SHARED.get() {
            return Ok(shared);
        }
        let (sender, receiver) = crossbeam_channel::bounded(queue);
        std::thread::Builder::new()
            .name("srt-log".into())
            .spawn(move || {
                // `started` sets SHARED right after it has spawned this thread.
                let shared = SHARED.wait();
                shared.drainer.get_or_init(|| std::thread::current().id());
                shared.drain(&receiver);
            })
            .map_err(|_| {
                Error::new(
                    libsrt_sys::SRT_ERRNO::SRT_ETHREAD,
                    "log",
                    "cannot start the thread srt-log",
                )
            })?;
        Ok(SHARED.get_or_init(|| Self {
            queue: sender,
            dropped: AtomicU64::new(0),
            drainer: OnceLock::new(),
            state: Mutex::new(State {
                level: LogLevel::Warning,
                sinks: Arc::default(),
            }),
        }))
    }

    /// Called by the handler: never blocks.
    fn submit(&self, line: LogLine) {
        if self.queue.try_send(QueueItem::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Changes the state and updates libsrt accordingly.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        let own = state.level;
        let sinks = state.sinks_mut();
        sinks.level = sinks.target.map(|_| own);
        let wanted = sinks.subscribers.iter().map(|subscriber| subscriber.level);
        let level = wanted.chain(sinks.level).max();
        // Under our lock, so that two changes reach libsrt in order. libsrt's own lock is taken inside; the handler,
        // which runs under that one, never takes ours.
        match level {
            Some(level) => handler::take_over(level),
            None => handler::silence(),
        }
    }

    fn unsubscribe(&self, subscriber: &Arc<Subscriber>) {
        self.change(|state| {
            state
                .sinks_mut()
                .subscribers
                .retain(|other| !Arc::ptr_eq(other, subscriber));
        });
    }

    fn drain(&self, queue: &Receiver<QueueItem>) {
        let mut reported = 0;
        let mut last_report: Option<Instant> = None;
        loop {
            match queue.recv_timeout(REPORT_EVERY) {
                Ok(QueueItem::Line(line)) => self.deliver(&line),
                // The waiting thread may have given up.
                Ok(QueueItem::Flush(done)) => drop(done.send(())),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let dropped = self.dropped.load(Ordering::Relaxed);
            let due = last_report.is_none_or(|at| at.elapsed() >= REPORT_EVERY);
            if dropped > reported && due {
                self.deliver(&LogLine::own(format!(
                    "{} lines of libsrt's log were dropped, because they came faster than they could be logged",
                    dropped - reported
                )));
                reported = dropped;
                last_report = Some(Instant::now());
            }
        }
    }

    fn deliver(&self, line: &LogLine) {
        let sinks = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&state.sinks)
        };
        if let Some(target) = sinks.target
            && sinks.level.is_some_and(|level| line.level() <= level)
        {
            // The panic hook has reported the panic of a logger; the log continues.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| target.write(line))) {
                ffi::discard(payload);
            }
        }
        for subscriber in &sinks.subscribers {
            if line.level() > subscriber.level {
                continue;
            }
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| (subscriber.watch)(line))) {
                self.unsubscribe(subscriber);
                ffi::discard(payload);
            }
        }
    }
}

impl Target {
    fn write(self, line: &LogLine) {
        match self {
            Self::Log => write_log(line),
            #[cfg(feature = "tracing")]
            Self::Tracing => write_tracing(line),
        }
    }
}

fn write_log(line: &LogLine) {
    let level = ::log::Level::from(line.level());
    let target = line.area().map_or("libsrt", Area::target);
    let metadata = ::log::Metadata::builder().level(level).target(target).build();
    let logger = ::log::logger();
    if level <= ::log::max_level() && logger.enabled(&metadata) {
        logger.log(
            &::log::Record::builder()
                .metadata(metadata)
                .file(Some(line.file()))
                .line(Some(line.line()))
                .args(format_args!("{}", line.message()))
                .build(),
        );
    }
}

#[cfg(feature = "tracing")]
fn write_tracing(line: &LogLine) {
    macro_rules! event {
        ($level:ident) => {
            tracing::event!(
                target: "libsrt",
                tracing::Level::$level,
                area = line.area().map(Area::as_str),
                socket = line.socket().map(crate::SocketId::value),
                function = line.function(),
                file = line.file(),
                line = line.line(),
                "{}",
                line.message()
            )
        };
    }
    match line.level() {
        LogLevel::Fatal | LogLevel::Error => event!(ERROR),
        LogLevel::Warning => event!(WARN),
        LogLevel::Note => event!(INFO),
        LogLevel::Debug => event!(DEBUG),
    }
}

#[cfg(test)]
pub(crate) mod tests;
