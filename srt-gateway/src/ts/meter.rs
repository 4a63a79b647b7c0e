//! Periodic work: rates, the failures of the last minute, publishing.
//!
//! Runs on the input's worker, four times a second while messages come.

use std::time::{Duration, Instant};

use super::board::{Published, TsCounters, rate, rate_of_bytes};
use super::checks::{Check, Checks};
use super::observer::Format;
use super::pids::wanted;
use super::sample;
use super::tracker::Tracker;

/// The period, in microseconds.
const PERIOD: u64 = 250_000;

/// One second, in microseconds.
const SECOND: u64 = 1_000_000;

/// The last minute consists of this many buckets of five seconds, besides the current one.
const BUCKETS: usize = 11;
const BUCKET: u64 = 5 * SECOND;

/// After this many seconds, new samples are taken.
const SAMPLES: u32 = 10;

/// Rates and times.
#[derive(Debug, Default)]
pub(super) struct Meter {
    epoch: Option<Instant>,
    next_update: u64,
    second_from: u64,
    seconds: u32,
    bucket_from: u64,
    before: TsCounters,
    scrambled_before: u64,
    is_scrambled: bool,
    /// Bytes of all messages, in total and at the start of the second.
    bytes: u64,
    bytes_before: u64,
    bits_per_second: u64,
    packets: u64,
    nulls: u64,
    /// The counters at the ends of the last buckets, oldest first.
    history: [Option<Checks>; BUCKETS],
    /// The counters at the start.
    base: Checks,
}

impl Meter {
    /// Continues from earlier counters.
    pub(super) fn from(counters: TsCounters) -> Self {
        Self {
            before: counters,
            base: counters.checks,
            ..Self::default()
        }
    }

    /// Counts the next message, and sets the tracker's time.
    #[inline]
    pub(super) fn begin(&mut self, tracker: &mut Tracker, message: &[u8], now: Instant) {
        self.bytes += message.len() as u64;
        let epoch = *self.epoch.get_or_insert(now);
        // Callers' clocks never run backwards, but a test's may.
        let since = now.saturating_duration_since(epoch);
        tracker.now = as_micros(since);
    }

    #[inline]
    pub(super) fn is_due(&self, now: u64) -> bool {
        now >= self.next_update
    }

    /// Processes what has arrived since the last call.
    #[cold]
    pub(super) fn update(&mut self, tracker: &mut Tracker, format: Format, has_parity: bool, at: Instant) {
        let now = tracker.now;
        self.next_update = now + PERIOD;
        if format == Format::Ts {
            tracker.check_absence();
        }
        if now - self.second_from >= SECOND {
            self.end_second(tracker, format, now - self.second_from);
            self.second_from = now;
        }
        if now - self.bucket_from >= BUCKET {
            self.bucket_from = now;
            self.history.rotate_left(1);
            self.history[BUCKETS - 1] = Some(tracker.counters.checks);
        }
        self.publish(tracker, format, has_parity, Some(at));
    }

    fn end_second(&mut self, tracker: &mut Tracker, format: Format, micros: u64) {
        let counters = tracker.counters;
        self.packets = counters.packets - self.before.packets;
        self.nulls = counters.null_packets - self.before.null_packets;
        self.bits_per_second = match format {
            // There are no packets to count.
            Format::NotTs => rate_of_bytes(self.bytes - self.bytes_before, micros),
            _ => rate(self.packets, micros),
        };
        self.bytes_before = self.bytes;
        self.before = counters;
        tracker.clocks.end_second();
        self.seconds += 1;
        let is_sample_due = self.seconds.is_multiple_of(SAMPLES);
        let mut sound_and_picture = 0;
        for figures in tracker.pids.all_mut() {
            let packets = figures.packets - figures.packets_before;
            figures.packets_before = figures.packets;
            figures.bits_per_second = rate(packets, micros);
            if figures.wanted & wanted::TIMESTAMPS != 0 {
                sound_and_picture += packets;
                if is_sample_due && figures.codec.is_none_or(sample::is_readable) {
                    figures.wanted |= wanted::SAMPLE;
                    figures.sample_tries = sample::TRIES;
                }
            }
        }
        let scrambled = tracker.scrambled - self.scrambled_before;
        self.scrambled_before = tracker.scrambled;
        self.is_scrambled = scrambled * 2 > sound_and_picture;
    }

    /// Publishes all figures on the board.
    pub(super) fn publish(&self, tracker: &Tracker, format: Format, has_parity: bool, at: Option<Instant>) {
        let published = Published {
            format,
            has_parity,
            is_scrambled: self.is_scrambled,
            counters: tracker.counters,
            last_minute: self.last_minute(&tracker.counters.checks),
            bits_per_second: self.bits_per_second,
            packets_in_second: self.packets,
            nulls_in_second: self.nulls,
            gop: Some(tracker.gop.figures).filter(|gop| gop.keyframes > 0),
        };
        tracker
            .board
            .publish(published, tracker.pids.all(), tracker.clocks.all(), at);
    }

    /// The failures of the last minute, or since the start.
    fn last_minute(&self, checks: &Checks) -> Checks {
        let before = self.history[0].unwrap_or(self.base);
        let mut since = Checks::default();
        for check in Check::ALL {
            since.add(check, checks.of(check) - before.of(check));
        }
        since
    }
}

fn as_micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
