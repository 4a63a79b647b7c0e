//! Counters that the data path writes and other threads read: plain atomics, without locks or labels.

pub(crate) mod alarms;
mod calls;
mod detail;
mod events;
mod figures;
pub mod health;
mod hook;
mod lag;
mod links;
mod memory;
mod rejections;
mod resources;
mod threads;

pub use calls::{CallOutcome, CallStats};
pub use detail::{InputDetail, StreamDetail};
pub use events::EventsStatus;
pub(crate) use events::{Event, EventCounters, EventKind, EventLog, Happening};
pub(crate) use figures::WireSampler;
pub use figures::{Minute, SrtFigures};
pub(crate) use hook::HookCounters;
pub use hook::{HookOutcome, HookStatus};
pub(crate) use lag::LoopLag;
pub use links::LinkFigures;
pub(crate) use links::LinkSampler;
pub(crate) use memory::MemoryRelease;
pub(crate) use rejections::RejectionLog;
pub use rejections::{CallerEncryption, RejectedBy, Rejection};
pub(crate) use resources::{Resources, Shortage};
pub(crate) use threads::{Criticality, Pulse, Threads, Watchdog};

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;

use crate::ts;

/// The counters of one session. Written by its worker only.
#[derive(Debug, Default)]
pub struct SessionCounters {
    messages: AtomicU64,
    bytes: AtomicU64,
    skipped: AtomicU64,
    resends_held: AtomicU64,
    figures: ArcSwapOption<SrtFigures>,
    links: ArcSwapOption<Vec<LinkFigures>>,
    /// The most links that worked at a time.
    most_links: AtomicUsize,
    board: OnceLock<Arc<ts::Board>>,
}

impl SessionCounters {
    /// Counts one message of `bytes`.
    pub(crate) fn add(&self, bytes: usize) {
        // One writer: a load and a store are cheaper than a locked read-modify-write, and nothing is lost.
        self.messages.store(self.messages.load(Relaxed) + 1, Relaxed);
        self.bytes.store(self.bytes.load(Relaxed) + bytes as u64, Relaxed);
    }

    /// Counts messages that a slow viewer skipped.
    pub(crate) fn add_skipped(&self, messages: u64) {
        self.skipped.store(self.skipped.load(Relaxed) + messages, Relaxed);
    }

    /// Sets how often `resend_limit` has held back a packet.
    pub(crate) fn set_resends_held(&self, count: u64) {
        self.resends_held.store(count, Relaxed);
    }

    /// How often `resend_limit` has held back a packet that the viewer had requested again.
    #[must_use]
    pub fn resends_held(&self) -> u64 {
        self.resends_held.load(Relaxed)
    }

    /// Messages carried.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages.load(Relaxed)
    }

    /// Bytes of payload carried.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Messages that a slow viewer skipped.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Relaxed)
    }

    /// libsrt's figures of the last second; None before the first sample, and for connections other than SRT.
    #[must_use]
    pub fn figures(&self) -> Option<Arc<SrtFigures>> {
        self.figures.load_full()
    }

    /// The links of a bonded connection as of the last second; otherwise empty.
    #[must_use]
    pub fn links(&self) -> Vec<LinkFigures> {
        self.links
            .load()
            .as_ref()
            .map_or_else(Vec::new, |links| links.to_vec())
    }

    /// The most links of a bonded connection that have worked at the same time.
    pub(crate) fn most_links(&self) -> usize {
        self.most_links.load(Relaxed)
    }

    pub(crate) fn set_links(&self, links: Vec<LinkFigures>) {
        let working = links.iter().filter(|link| link.works()).count();
        self.most_links.fetch_max(working, Relaxed);
        self.links.store(Some(Arc::new(links)));
    }

    fn set_figures(&self, figures: SrtFigures) {
        self.figures.store(Some(Arc::new(figures)));
    }

    /// The analysis of an input's transport stream; None before its first message, and for viewers.
    #[must_use]
    pub fn board(&self) -> Option<&Arc<ts::Board>> {
        self.board.get()
    }

    /// The board of an input; created if there is none.
    pub(crate) fn make_board(&self) -> &Arc<ts::Board> {
        self.board.get_or_init(ts::Board::new)
    }
}

/// The totals of a session at its end: ours, and libsrt's wire counters.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Messages carried.
    pub messages: u64,
    /// Bytes of payload carried.
    pub bytes: u64,
    /// Messages that a slow viewer skipped.
    pub skipped: u64,
    /// Packets lost on the wire (most of them recovered).
    pub lost: u64,
    /// Packets retransmitted.
    pub retransmitted: u64,
    /// Packets dropped as too late.
    pub dropped: u64,
    /// The last round-trip time.
    pub rtt: Duration,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes in {} messages, {} lost, {} retransmitted, {} dropped, {} skipped, rtt {:.1} ms",
            self.bytes,
            self.messages,
            self.lost,
            self.retransmitted,
            self.dropped,
            self.skipped,
            self.rtt.as_secs_f64() * 1e3
        )
    }
}
