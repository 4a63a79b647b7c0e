//! Detects threads that make no progress: ours and libsrt's.
//!
//! Each thread of ours has a [`Pulse`], which counts the rounds of its loop and marks its waits. libsrt's threads do
//! the same (`srt_safe::library_threads`). The thread `watchdog` checks all of them once a second; one that neither
//! waits nor counts for [`LIMIT`] is stuck. This costs a thread two stores per round.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;
use crossbeam_channel::{RecvTimeoutError, Sender};
use srt_safe::{LibraryThread, LibraryThreadKind};

/// A thread that spends this long in one round is stuck.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// How often the watchdog checks.
const PERIOD: Duration = Duration::from_secs(1);

/// A watchdog that runs this late did not get to run itself: the process was stopped, or the machine slept.
const LATE: Duration = Duration::from_secs(3);

/// The effect of a stuck thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Criticality {
    /// Streams or callers are not served: the gateway is unhealthy.
    Vital,
    /// Something beside the streams stands still: `/healthz` names it and still returns 200.
    Auxiliary,
}

/// A thread that has stopped making progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StuckThread {
    pub(crate) name: String,
    pub(crate) criticality: Criticality,
    pub(crate) since: SystemTime,
}

/// The result of the last check.
#[derive(Clone, Debug)]
pub(crate) struct ThreadReport {
    pub(crate) taken: Instant,
    pub(crate) stuck: Vec<StuckThread>,
}

impl ThreadReport {
    /// Whether every vital thread makes progress, the watchdog included.
    pub(crate) fn is_healthy(&self) -> bool {
        self.taken.elapsed() < LIMIT
            && self
                .stuck
                .iter()
                .all(|thread| thread.criticality != Criticality::Vital)
    }

    /// The names, for a line of text.
    pub(crate) fn names(&self) -> String {
        let names: Vec<_> = self.stuck.iter().map(|thread| thread.name.as_str()).collect();
        names.join(", ")
    }
}

#[derive(Debug)]
struct Marks {
    name: String,
    criticality: Criticality,
    rounds: AtomicU64,
    is_waiting: AtomicBool,
}

/// Held by the watched thread. Dropping it ends the watch.
#[derive(Debug)]
pub(crate) struct Pulse(Arc<Marks>);

impl Pulse {
    /// Marks the start of a round.
    pub(crate) fn beat(&self) {
        self.0.is_waiting.store(false, Relaxed);
        // The thread is the only writer.
        let rounds = self.0.rounds.load(Relaxed);
        self.0.rounds.store(rounds.wrapping_add(1), Relaxed);
    }

    /// Marks the start of a wait without a deadline.
    pub(crate) fn rest(&self) {
        self.0.is_waiting.store(true, Relaxed);
    }
}

/// The watched threads, and the last report.
#[derive(Debug)]
pub(crate) struct Threads {
    watched: Mutex<Vec<Weak<Marks>>>,
    report: ArcSwap<ThreadReport>,
}

impl Default for Threads {
    fn default() -> Self {
        Self {
            watched: Mutex::default(),
            report: ArcSwap::from_pointee(ThreadReport {
                taken: Instant::now(),
                stuck: Vec::new(),
            }),
        }
    }
}

impl Threads {
    /// Starts to watch a thread.
    pub(crate) fn register(&self, name: impl Into<String>, criticality: Criticality) -> Pulse {
        let marks = Arc::new(Marks {
            name: name.into(),
            criticality,
            rounds: AtomicU64::new(0),
            is_waiting: AtomicBool::new(false),
        });
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.push(Arc::downgrade(&marks));
        Pulse(marks)
    }

    pub(crate) fn report(&self) -> Arc<ThreadReport> {
        self.report.load_full()
    }

    fn sightings(&self) -> Vec<Sighting> {
        let mut all: Vec<_> = srt_safe::library_threads()
            .iter()
            .map(Sighting::of_libsrt)
            .collect();
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|marks| {
            let Some(marks) = marks.upgrade() else {
                return false;
            };
            all.push(Sighting {
                key: Key::Ours(Arc::as_ptr(&marks).addr()),
                name: marks.name.clone(),
                criticality: marks.criticality,
                rounds: marks.rounds.load(Relaxed),
                is_waiting: marks.is_waiting.load(Relaxed),
            });
            true
        });
        all
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Ours(usize),
    OfLibsrt(u32),
}

/// The state of a thread at one moment.
#[derive(Clone, Debug)]
struct Sighting {
    key: Key,
    name: String,
    criticality: Criticality,
    rounds: u64,
    is_waiting: bool,
}

impl Sighting {
    fn of_libsrt(thread: &LibraryThread) -> Self {
        let role = match thread.kind {
            LibraryThreadKind::Receiver => "receive",
            LibraryThreadKind::Sender => "send",
            _ => "garbage collection",
        };
        let name = match thread.port {
            Some(port) => format!("libsrt {role}, port {port}"),
            None => format!("libsrt {role}"),
        };
        Self {
            key: Key::OfLibsrt(thread.id),
            name,
            criticality: Criticality::Vital,
            rounds: thread.rounds,
            is_waiting: thread.is_waiting,
        }
    }
}

/// Finds the threads that are stuck; time is an argument.
#[derive(Debug, Default)]
struct Detector {
    looked: Option<Instant>,
    /// The rounds of each thread, and since when they have not increased.
    seen: HashMap<Key, (u64, Instant)>,
}

impl Detector {
    /// Threads that have been in one round for the limit, and since when.
    fn observe(&mut self, now: Instant, sightings: Vec<Sighting>) -> Vec<(Sighting, Instant)> {
        let before = self.looked.replace(now).unwrap_or(now);
        // If the watchdog itself did not run, other threads are not to blame.
        let is_late = now.duration_since(before) > LATE;
        let mut seen = HashMap::with_capacity(sightings.len());
        let mut stuck = Vec::new();
        for sighting in sightings {
            let known = self.seen.get(&sighting.key);
            let since = match known {
                Some((rounds, since)) if *rounds == sighting.rounds && !sighting.is_waiting && !is_late => {
                    *since
                }
                _ => now,
            };
            seen.insert(sighting.key, (sighting.rounds, since));
            if now.duration_since(since) >= LIMIT {
                stuck.push((sighting, since));
            }
        }
        self.seen = seen;
        stuck
    }
}

/// The watchdog thread. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Watches `threads`, and runs `chores` every second: small tasks that never block.
    pub(crate) fn start(
        threads: Arc<Threads>,
        mut chores: impl FnMut() + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let thread = thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || {
                let mut detector = Detector::default();
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(PERIOD) {
                    check(&threads, &mut detector);
                    chores();
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn check(threads: &Threads, detector: &mut Detector) {
    let now = Instant::now();
    let found = detector.observe(now, threads.sightings());
    let before = threads.report();
    let since = |instant: Instant| SystemTime::now() - now.duration_since(instant);
    let stuck = found.into_iter().map(|(thread, at)| {
        let known = before.stuck.iter().find(|known| known.name == thread.name);
        StuckThread {
            // The first report counts, so a step of the clock changes nothing.
            since: known.map_or_else(|| since(at), |known| known.since),
            name: thread.name,
            criticality: thread.criticality,
        }
    });
    let report = ThreadReport {
        taken: now,
        stuck: stuck.collect(),
    };
    log_changes(&before, &report);
    threads.report.store(Arc::new(report));
}

fn log_changes(before: &ThreadReport, now: &ThreadReport) {
    let is_in = |report: &ThreadReport, name: &str| report.stuck.iter().any(|thread| thread.name == name);
    for thread in now.stuck.iter().filter(|thread| !is_in(before, &thread.name)) {
        tracing::error!(
            thread = thread.name,
            "a thread is stuck: no progress for {} s",
            LIMIT.as_secs()
        );
    }
    for thread in before.stuck.iter().filter(|thread| !is_in(now, &thread.name)) {
        tracing::warn!(
            thread = thread.name,
            "a thread that was stuck makes progress again, or has ended"
        );
    }
}

#[cfg(test)]
#[path = "threads/tests.rs"]
mod tests;
