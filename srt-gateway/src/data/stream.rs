//! A stream on the data path: its ring, its source, and the workers that have viewers of it.
//!
//! Shared by control's thread (which creates and removes streams), the workers (which write and read) and the listen
//! callbacks (which only read). Holds no sockets and no settings.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;

use super::{Ring, WakeFlag, Writer};
use crate::names::{SessionId, StreamName};

/// How a stream lost its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceLoss {
    pub(crate) since: Instant,
    /// The URL of the input, or the address of the publisher.
    pub(crate) who: String,
    /// Why its session ended.
    pub(crate) reason: Option<String>,
}

/// One stream: a ring with a slot for each worker.
#[derive(Debug)]
pub struct Stream {
    name: StreamName,
    ring: Arc<Ring>,
    /// The session that feeds the ring; 0: none. A hint for the listen callback: the claim itself is the ring's writer.
    source: AtomicU64,
    /// The session that feeds the ring although its peer has gone, until its remaining packets are due; 0: none.
    leaving: AtomicU64,
    /// For how long the source had sent nothing at control's last check, in ms.
    quiet_ms: AtomicU64,
    /// Set by control while the stream has lost its source; also None before the first one.
    loss: ArcSwapOption<SourceLoss>,
    /// The outputs among the counted viewers.
    outputs: AtomicU32,
    /// Readers over HTTP, which have no slot.
    watchers: AtomicU32,
    /// The worker of the source and the first viewers, counted from 1; 0: none.
    home: AtomicUsize,
    slots: Box<[WorkerSlot]>,
}

/// A worker's part in a stream.
#[derive(Debug, Default)]
struct WorkerSlot {
    wake: WakeFlag,
    viewers: AtomicU32,
}

impl Stream {
    /// Creates a stream with `ring_bytes` of history, for `workers` workers.
    #[must_use]
    pub fn new(name: StreamName, ring_bytes: usize, workers: usize) -> Arc<Self> {
        Arc::new(Self {
            name,
            ring: Ring::with_capacity(ring_bytes),
            source: AtomicU64::new(0),
            leaving: AtomicU64::new(0),
            quiet_ms: AtomicU64::new(0),
            loss: ArcSwapOption::empty(),
            outputs: AtomicU32::new(0),
            watchers: AtomicU32::new(0),
            home: AtomicUsize::new(0),
            slots: (0..workers).map(|_| WorkerSlot::default()).collect(),
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &StreamName {
        &self.name
    }

    /// Its messages.
    #[must_use]
    pub fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// Whether the stream has a source.
    #[must_use]
    pub fn has_source(&self) -> bool {
        self.source.load(Relaxed) != 0
    }

    /// The session that feeds it.
    pub(crate) fn source(&self) -> Option<SessionId> {
        Some(self.source.load(Relaxed))
            .filter(|id| *id != 0)
            .map(SessionId)
    }

    /// Whether the source's peer has gone: another publisher is admitted, and feeds once the last packets have been
    /// delivered.
    pub(crate) fn is_source_leaving(&self) -> bool {
        let source = self.source.load(Relaxed);
        source != 0 && self.leaving.load(Relaxed) == source
    }

    /// The peer of `session` has gone.
    pub(crate) fn set_source_leaving(&self, session: SessionId) {
        self.leaving.store(session.0, Relaxed);
    }

    /// How the stream lost its source; None: it has one, or never had one.
    pub(crate) fn loss(&self) -> Option<Arc<SourceLoss>> {
        self.loss.load_full()
    }

    /// None: the stream has a source again, or needs none.
    pub(crate) fn set_loss(&self, loss: Option<SourceLoss>) {
        self.loss.store(loss.map(Arc::new));
    }

    /// How long the source has sent nothing, as of control's last check.
    pub(crate) fn quiet_for(&self) -> Duration {
        Duration::from_millis(self.quiet_ms.load(Relaxed))
    }

    /// Sets the value of [`quiet_for`](Self::quiet_for); called by control.
    pub(crate) fn set_quiet_for(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.quiet_ms.store(millis, Relaxed);
    }

    /// Makes `session` the source and returns the writer, unless there is a source.
    pub(crate) fn claim_source(&self, session: SessionId) -> Option<Writer> {
        let mut writer = self.ring.claim_writer()?;
        writer.begin_source();
        self.quiet_ms.store(0, Relaxed);
        self.source.store(session.0, Relaxed);
        Some(writer)
    }

    /// Releases the source; `writer` comes from [`claim_source`](Self::claim_source).
    pub(crate) fn release_source(&self, writer: Writer) {
        // In this order, a new session that sees no source also finds the writer free, or is refused by the claim.
        drop(writer);
        self.source.store(0, Relaxed);
    }

    /// Clears `session` as the source if it is still recorded; its writer has already been dropped.
    pub(crate) fn forget_source(&self, session: SessionId) {
        let is_said = |source: u64| (source == session.0).then_some(0);
        // Nothing to do if another session has become the source in the meantime.
        self.source.fetch_update(Relaxed, Relaxed, is_said).ok();
    }

    /// Viewers on all workers, without outputs and HTTP readers.
    #[must_use]
    pub fn viewers(&self) -> u32 {
        let readers: u32 = self.slots.iter().map(|slot| slot.viewers.load(Relaxed)).sum();
        readers.saturating_sub(self.outputs.load(Relaxed))
    }

    /// Readers over HTTP: the console's picture.
    pub(crate) fn watchers(&self) -> u32 {
        self.watchers.load(Relaxed)
    }

    /// Counts a reader over HTTP.
    pub(crate) fn add_watcher(&self) {
        self.watchers.fetch_add(1, Relaxed);
    }

    /// Removes a reader over HTTP.
    pub(crate) fn remove_watcher(&self) {
        self.watchers.fetch_sub(1, Relaxed);
    }

    /// Counts an output among the readers.
    pub(crate) fn add_output(&self) {
        self.outputs.fetch_add(1, Relaxed);
    }

    /// Removes an output.
    pub(crate) fn remove_output(&self) {
        self.outputs.fetch_sub(1, Relaxed);
    }

    /// The worker of its source and first viewers; None: there are none.
    pub(crate) fn home(&self) -> Option<usize> {
        let is_empty = !self.has_source() && self.slots.iter().all(|slot| slot.viewers.load(Relaxed) == 0);
        self.home.load(Relaxed).checked_sub(1).filter(|_| !is_empty)
    }

    pub(crate) fn set_home(&self, worker: usize) {
        self.home.store(worker + 1, Relaxed);
    }

    /// Viewers on one worker.
    pub(crate) fn viewers_on(&self, worker: usize) -> u32 {
        self.slots[worker].viewers.load(Relaxed)
    }

    pub(crate) fn add_viewer(&self, worker: usize) {
        self.slots[worker].viewers.fetch_add(1, Relaxed);
    }

    pub(crate) fn remove_viewer(&self, worker: usize) {
        self.slots[worker].viewers.fetch_sub(1, Relaxed);
    }

    /// Calls `notify` with each worker that has viewers and no pending notice. Call it after a push.
    pub(crate) fn wake_viewers(&self, mut notify: impl FnMut(usize)) {
        for (worker, slot) in self.slots.iter().enumerate() {
            if slot.viewers.load(Relaxed) > 0 && slot.wake.request() {
                notify(worker);
            }
        }
    }

    /// For a worker that ends its turn before it has read everything: whether it must send itself a notice, because
    /// none is pending.
    pub(crate) fn wake_again(&self, worker: usize) -> bool {
        self.slots[worker].wake.request()
    }

    /// Must be called by a worker that received its notice, before it reads.
    pub(crate) fn wake_received(&self, worker: usize) {
        self.slots[worker].wake.clear();
    }
}
