//! An observer's results for other threads: figures, the tables as received, and the beginnings of some PES packets.
//!
//! The input's worker writes a few times a second and when a table changes; any thread reads. The worker never waits:
//! if a reader holds the lock, it tries again later, and a reader holds the lock only for one copy. The reader decodes
//! the tables.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::checks::Checks;
use super::clock::{CLOCKS_MAX, Clock};
use super::decode;
use super::observer::Format;
use super::packet::PACKET_LEN;
use super::pes::GopFigures;
use super::pids::{PIDS_MAX, PidFigures};
use super::report::TsReport;

/// Bytes of tables and samples kept for one input.
const STORE_MAX: usize = 24 << 10;

/// If nothing was published for this long, the figures of the last second are outdated.
const STALE: Duration = Duration::from_millis(2500);

/// An observer's results for other threads.
pub struct Board {
    shared: Mutex<Shared>,
}

/// The kind of an item in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreKey {
    /// The first section of the PAT.
    Pat,
    /// The PMT section of a program.
    Pmt(u16),
    /// A section of the SDT of this transport stream.
    Sdt(u8),
    /// The beginning of a PES packet of this PID, without its header.
    Sample(u16),
}

/// Counters of an input since its first message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TsCounters {
    /// Transport packets, null packets included.
    pub packets: u64,
    /// Null packets (PID 0x1FFF).
    pub null_packets: u64,
    /// PES packets whose PTS is before their DTS, or whose DTS runs backwards.
    pub timestamp_errors: u64,
    /// Failed checks.
    pub checks: Checks,
}

/// The figures that the writer publishes as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Published {
    pub(super) format: Format,
    pub(super) has_parity: bool,
    pub(super) is_scrambled: bool,
    pub(super) counters: TsCounters,
    /// Failures in the last minute.
    pub(super) last_minute: Checks,
    /// In the last second.
    pub(super) bits_per_second: u64,
    pub(super) packets_in_second: u64,
    pub(super) nulls_in_second: u64,
    pub(super) gop: Option<GopFigures>,
}

#[derive(Clone)]
pub(super) struct Shared {
    pub(super) published: Published,
    pub(super) pids: [PidFigures; PIDS_MAX],
    pub(super) pids_used: usize,
    pub(super) clocks: [Clock; CLOCKS_MAX],
    pub(super) clocks_used: usize,
    at: Option<Instant>,
    store: Store,
}

/// Items by kind. Its capacity is allocated at the start, so that nothing is allocated on the data path.
#[derive(Clone)]
struct Store {
    bytes: Vec<u8>,
    entries: Vec<(StoreKey, usize)>,
}

/// The limit of items: the tables of 16 programs, and samples of their streams.
const ITEMS_MAX: usize = 96;

impl Store {
    fn put(&mut self, item: StoreKey, bytes: &[u8]) -> bool {
        self.remove(|kept| *kept == item);
        if self.bytes.len() + bytes.len() > STORE_MAX || self.entries.len() == ITEMS_MAX {
            return false;
        }
        self.bytes.extend_from_slice(bytes);
        self.entries.push((item, bytes.len()));
        true
    }

    fn remove(&mut self, is_gone: impl Fn(&StoreKey) -> bool) {
        let mut start = 0;
        let Self { bytes, entries } = self;
        entries.retain(|(item, len)| {
            let gone = is_gone(item);
            if gone {
                drop(bytes.drain(start..start + len));
            } else {
                start += len;
            }
            !gone
        });
    }

    fn all(&self) -> impl Iterator<Item = (StoreKey, &[u8])> {
        let mut rest = self.bytes.as_slice();
        self.entries.iter().map(move |(item, len)| {
            let (bytes, after) = rest.split_at(*len);
            rest = after;
            (*item, bytes)
        })
    }
}

impl Board {
    /// Creates the board of an input; some 50 kB, most of it untouched until there is something to publish.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            shared: Mutex::new(Shared {
                published: Published::default(),
                pids: [PidFigures::default(); PIDS_MAX],
                pids_used: 0,
                clocks: [Clock::default(); CLOCKS_MAX],
                clocks_used: 0,
                at: None,
                store: Store {
                    bytes: Vec::with_capacity(STORE_MAX),
                    entries: Vec::with_capacity(ITEMS_MAX),
                },
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Plain data: a panic leaves nothing inconsistent.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counters that the last observer published, for the one that continues.
    pub(super) fn counters(&self) -> TsCounters {
        self.lock().published.counters
    }

    /// Publishes figures, unless a reader holds the lock.
    pub(super) fn publish(
        &self,
        published: Published,
        pids: &[PidFigures],
        clocks: &[Clock],
        at: Option<Instant>,
    ) {
        let Ok(mut shared) = self.shared.try_lock() else {
            return;
        };
        shared.published = published;
        shared.pids[..pids.len()].copy_from_slice(pids);
        shared.pids_used = pids.len();
        shared.clocks[..clocks.len()].copy_from_slice(clocks);
        shared.clocks_used = clocks.len();
        shared.at = at;
    }

    /// Stores a section or a sample in place of the previous one. Returns false if a reader holds the lock or there is
    /// no room.
    pub(super) fn keep(&self, item: StoreKey, bytes: &[u8]) -> bool {
        self.shared
            .try_lock()
            .is_ok_and(|mut shared| shared.store.put(item, bytes))
    }

    /// Drops the items of an earlier PAT's programs. Returns false if a reader holds the lock.
    pub(super) fn forget_programs(&self) -> bool {
        self.shared.try_lock().is_ok_and(|mut shared| {
            shared
                .store
                .remove(|item| matches!(item, StoreKey::Pmt(_) | StoreKey::Sample(_)));
            true
        })
    }

    /// Builds the full report. Copies, then decodes the tables: from ten to a few hundred microseconds.
    #[must_use]
    pub fn report(&self) -> TsReport {
        let mut shared = self.lock().clone();
        if shared.at.is_some_and(|at| at.elapsed() > STALE) {
            shared.forget_second();
        }
        decode::report(&shared)
    }

    /// The counters, in total and for the last minute: cheap enough for frequent calls.
    #[must_use]
    pub fn counts(&self) -> (TsCounters, Checks) {
        let shared = self.lock();
        (shared.published.counters, shared.published.last_minute)
    }
}

impl Shared {
    pub(super) fn pids(&self) -> &[PidFigures] {
        &self.pids[..self.pids_used]
    }

    pub(super) fn clocks(&self) -> &[Clock] {
        &self.clocks[..self.clocks_used]
    }

    pub(super) fn items(&self) -> impl Iterator<Item = (StoreKey, &[u8])> {
        self.store.all()
    }

    pub(super) fn item(&self, wanted: StoreKey) -> Option<&[u8]> {
        self.items()
            .find_map(|(item, bytes)| (item == wanted).then_some(bytes))
    }

    /// Resets the rates, because nothing has arrived for too long.
    fn forget_second(&mut self) {
        self.published.bits_per_second = 0;
        self.published.packets_in_second = 0;
        self.published.nulls_in_second = 0;
        for pid in &mut self.pids {
            pid.bits_per_second = 0;
        }
        for clock in &mut self.clocks {
            clock.shown = Default::default();
        }
    }
}

/// The bit rate of so many packets in so many microseconds.
pub(super) fn rate(packets: u64, micros: u64) -> u64 {
    rate_of_bytes(packets.saturating_mul(PACKET_LEN as u64), micros)
}

/// The bit rate of so many bytes in so many microseconds.
pub(super) fn rate_of_bytes(bytes: u64, micros: u64) -> u64 {
    let bits = bytes.saturating_mul(8);
    bits.saturating_mul(1_000_000).checked_div(micros).unwrap_or(0)
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Board").finish_non_exhaustive()
    }
}
