//! Outputs to files: one thread for each, which alone waits for its disk, and one that watches them.
//!
//! ```text
//!   streams ──Fanout──▶ recorder ──wake──▶ out-file (one for each output): ring ──▶ file
//!   control ──Attach, Detach, Drain──▶ recorder
//! ```
//! The ring is the queue of each output, and bounds what may wait for a disk: an output that is lapped continues at a
//! start point and counts what it has missed. A thread that hangs is reported as stalled. If it does not end when it
//! should, it is abandoned: control learns that the session has ended, and the thread ends without another write when
//! the file system responds.

use std::{
    collections::HashMap,
    ops::ControlFlow,
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use tracing::warn;

use super::{
    CloseReason, ClosedSession, IoEvent, Message, Outlet,
    file::{self, HungThread, STALLED_AFTER},
    outlet::{BATCH, SendOutcome, totals},
};
use crate::{
    data::{Batch, Stream},
    names::{Role, SessionId, StreamName},
    telemetry::SessionCounters,
};

/// How often files are flushed and threads are checked.
const TICK: Duration = Duration::from_millis(500);

/// The shortest time between two log lines about skipped messages of a file.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// How long a thread may take to end an output.
const END: Duration = Duration::from_secs(2);

/// How long a thread lets messages accumulate before it writes again.
const PAUSE: Duration = Duration::from_millis(20);

/// How often the end of threads is polled during shutdown.
const END_POLL: Duration = Duration::from_millis(2);

/// How an output ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// With what has been written.
    Now(CloseReason),
    /// With everything in the ring.
    Drained,
}

/// Shared by an output's thread and its watcher.
#[derive(Debug)]
struct Shared {
    session: SessionId,
    stream: Arc<Stream>,
    counters: Arc<SessionCounters>,
    slot: usize,
    control: Sender<IoEvent>,
    end: OnceLock<End>,
    /// The thread that sets it reports the end of the session to control.
    is_over: AtomicBool,
    /// Milliseconds from `begun` to the start of the current call, plus 1; 0: not in a call.
    busy: AtomicU64,
    begun: Instant,
    /// Set when the thread is abandoned. The thread drops the last reference, so the count ends with it.
    stuck: OnceLock<HungThread>,
}

impl Shared {
    /// Ends the session if it has not ended; returns whether this call ended it.
    fn finish(&self, reason: CloseReason) -> bool {
        let is_first = !self.is_over.swap(true, AcqRel);
        if is_first {
            self.stream.remove_viewer(self.slot);
            drop(self.control.send(IoEvent::Closed(ClosedSession {
                session: self.session,
                role: Role::Viewer,
                reason,
                totals: totals(&self.counters),
            })));
        }
        is_first
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn begin_call(&self) {
        self.busy.store(self.millis() + 1, Relaxed);
    }

    fn end_call(&self) {
        self.busy.store(0, Relaxed);
    }

    fn is_stalled(&self) -> bool {
        match self.busy.load(Relaxed) {
            0 => false,
            since => u128::from((self.millis() + 1).saturating_sub(since)) >= STALLED_AFTER.as_millis(),
        }
    }
}

/// An output from its watcher's point of view.
#[derive(Debug)]
struct Recording {
    shared: Arc<Shared>,
    wake: Sender<()>,
    thread: JoinHandle<()>,
    is_stalled: bool,
    /// The number of skipped messages that has been logged, and when the next line may be logged.
    reported_skipped: (u64, Instant),
    /// When the thread is abandoned.
    deadline: Option<Instant>,
}

impl Recording {
    fn wake(&self) {
        // A pending wake-up is enough.
        self.wake.try_send(()).unwrap_or_default();
    }

    /// Logs gaps in the file, at most every [`REPORT_INTERVAL`].
    fn report_skipped(&mut self, now: Instant) {
        let (told, next) = self.reported_skipped;
        let skipped = self.shared.counters.skipped();
        if skipped > told && now >= next {
            self.reported_skipped = (skipped, now + REPORT_INTERVAL);
            warn!(
                session = %self.shared.session, stream = %self.shared.stream.name(), messages = skipped - told,
                "the file of an output is too slow: messages are missing from it"
            );
        }
    }

    fn end(&mut self, end: End, deadline: Instant) {
        self.shared.end.set(end).unwrap_or_default();
        self.deadline = Some(deadline);
        self.wake();
    }
}

/// The watcher's state.
#[derive(Debug)]
pub(super) struct Recorder {
    slot: usize,
    control: Sender<IoEvent>,
    all: HashMap<StreamName, Vec<Recording>>,
}

impl Recorder {
    /// `slot` is its index among a stream's readers.
    pub(super) fn new(slot: usize, control: Sender<IoEvent>) -> Self {
        Self {
            slot,
            control,
            all: HashMap::new(),
        }
    }

    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        let mut next_tick = Instant::now() + TICK;
        loop {
            match messages.recv_deadline(next_tick) {
                Ok(Message::Fanout(stream)) => {
                    stream.wake_received(self.slot);
                    self.all
                        .get(stream.name())
                        .into_iter()
                        .flatten()
                        .for_each(Recording::wake);
                }
                Ok(Message::Attach(outlet)) => self.attach(*outlet),
                Ok(Message::Detach(session, reason)) => {
                    let deadline = Instant::now() + END;
                    let all = self.all.values_mut().flatten();
                    for recording in all.filter(|recording| recording.shared.session == session) {
                        recording.end(End::Now(reason), deadline);
                    }
                }
                Ok(Message::Drain(deadline)) => return self.drain(deadline),
                // Other messages are for workers; dropping a reply channel counts as the reply.
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = Instant::now();
            if now >= next_tick {
                next_tick = now + TICK;
                self.check_recordings(now);
            }
        }
    }

    fn attach(&mut self, outlet: Outlet) {
        let shared = Arc::new(Shared {
            session: outlet.session,
            stream: Arc::clone(&outlet.stream),
            counters: Arc::clone(&outlet.counters),
            slot: self.slot,
            control: self.control.clone(),
            end: OnceLock::new(),
            is_over: AtomicBool::new(false),
            busy: AtomicU64::new(0),
            begun: Instant::now(),
            stuck: OnceLock::new(),
        });
        shared.stream.add_viewer(self.slot);
        let (wake, woken) = crossbeam_channel::bounded(1);
        let of_thread = Arc::clone(&shared);
        let started = file::may_start().and_then(|()| {
            thread::Builder::new().name("out-file".to_owned()).spawn(move || {
                Writing {
                    outlet,
                    shared: of_thread,
                }
                .run(&woken);
            })
        });
        match started {
            Ok(thread) => {
                let recording = Recording {
                    shared,
                    wake,
                    thread,
                    is_stalled: false,
                    reported_skipped: (0, Instant::now()),
                    deadline: None,
                };
                recording.wake();
                let name = recording.shared.stream.name().clone();
                self.all.entry(name).or_default().push(recording);
            }
            Err(error) => drop(shared.finish(CloseReason::of_io(&error))),
        }
    }

    /// Removes outputs that have ended, abandons those that are overdue, and reports those that hang.
    fn check_recordings(&mut self, now: Instant) {
        for recordings in self.all.values_mut() {
            recordings.retain_mut(|recording| {
                if recording.thread.is_finished() {
                    // In case the thread has panicked.
                    recording.shared.finish(CloseReason::Stuck);
                    return false;
                }
                if recording.deadline.is_some_and(|deadline| now >= deadline) {
                    leave_alone(recording);
                    return false;
                }
                recording.report_skipped(now);
                let is_stalled = recording.shared.is_stalled();
                if is_stalled != recording.is_stalled {
                    recording.is_stalled = is_stalled;
                    let event = IoEvent::Stalled(recording.shared.session, is_stalled);
                    drop(self.control.send(event));
                }
                true
            });
        }
        self.all.retain(|_, recordings| !recordings.is_empty());
    }

    /// The sources have ended: writes what the rings hold, as far as the files accept it in time.
    fn drain(mut self, deadline: Instant) {
        for recording in self.all.values_mut().flatten() {
            recording.end(End::Drained, deadline);
        }
        loop {
            self.check_recordings(Instant::now());
            if self.all.is_empty() {
                return;
            }
            thread::sleep(END_POLL);
        }
    }
}

/// Abandons a thread that hangs.
fn leave_alone(recording: &Recording) {
    let shared = &recording.shared;
    let reason = match shared.end.get() {
        Some(End::Now(reason)) => *reason,
        Some(End::Drained) => CloseReason::Shutdown,
        None => CloseReason::Stuck,
    };
    if shared.finish(reason) {
        shared.stuck.set(HungThread::count()).unwrap_or_default();
        warn!(
            session = %shared.session, stream = %shared.stream.name(),
            "the file of an output does not respond: data that is not written yet is lost"
        );
    }
}

/// The thread of one output.
struct Writing {
    outlet: Outlet,
    shared: Arc<Shared>,
}

impl Writing {
    fn run(mut self, woken: &Receiver<()>) {
        let mut batch = Batch::with_capacity(BATCH);
        let mut flushed = Instant::now();
        let reason = loop {
            // The watcher outlives this thread, or abandons it.
            woken.recv_timeout(TICK).unwrap_or_default();
            if let Some(End::Now(reason)) = self.shared.end.get() {
                break *reason;
            }
            if let Err(reason) = self.write(&mut batch, &mut flushed) {
                break reason;
            }
            if let Some(End::Drained) = self.shared.end.get() {
                break CloseReason::Shutdown;
            }
            thread::sleep(PAUSE);
        };
        self.shared.begin_call();
        // An existing reason says more than the error of a flush that fails because of it.
        if !self.shared.is_over.load(Acquire) {
            drop(self.outlet.sink.flush());
        }
        self.outlet.counters.add_skipped(self.outlet.sink.lost());
        self.shared.finish(reason);
    }

    fn write(&mut self, batch: &mut Batch, flushed: &mut Instant) -> Result<(), CloseReason> {
        let shared = &self.shared;
        let is_ending = || matches!(shared.end.get(), Some(End::Now(_))) || shared.is_over.load(Acquire);
        loop {
            // Each batch is timed as a call of its own, because a slow disk does not hang.
            let reached = self.outlet.catch_up(batch, 1, || {
                shared.begin_call();
                match is_ending() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            });
            let reached = reached.map_err(|error| CloseReason::of_io(&error))?;
            if flushed.elapsed() >= TICK {
                self.outlet
                    .sink
                    .flush()
                    .map_err(|error| CloseReason::of_io(&error))?;
                *flushed = Instant::now();
            }
            shared.end_call();
            if reached == SendOutcome::Head || is_ending() {
                return Ok(());
            }
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // Closing the file may hang as well; by then nobody waits for the thread.
        self.shared.end_call();
    }
}
