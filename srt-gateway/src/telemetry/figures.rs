//! libsrt's figures of a connection, which its worker samples once a second, for display and for verdicts.
//!
//! The sampler belongs to the session's worker; any thread reads the last published sample, without a lock. libsrt's
//! counters are never cleared: the figures of a second are differences.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use srt_safe::{Counters, Delta, Stats, StatsAccumulator};

use super::{SessionCounters, Totals};

/// The number of samples kept: one minute.
const SAMPLES: usize = 60;

/// The last sample of a connection. All counts are since the connection was opened, and do not wrap.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SrtFigures {
    /// The time of the sample.
    pub at: Instant,
    /// Levels at that time: round-trip time, buffers, negotiated latencies, flight. Its counters are libsrt's own
    /// 32-bit ones: use [`totals`](Self::totals) instead.
    pub stats: Stats,
    /// All counters since the connection was opened.
    pub totals: Counters,
    /// Counters since the previous sample, about a second.
    pub last: Delta,
    /// The 95th percentile of the round-trip times of the last minute.
    pub rtt_p95: Duration,
    /// The counters of the last minute.
    pub minute: Minute,
    /// How long before the sample the peer was last heard from, including keep-alives. `None`: libsrt does not report
    /// it.
    pub unheard: Option<Duration>,
}

/// Counts of the last minute, or since the connection was opened if that is shorter. Both directions: only one of them
/// carries the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Minute {
    /// The period that they cover.
    pub window: Duration,
    /// Packets of the stream, each once.
    pub packets: u64,
    /// Packets lost on the wire.
    pub lost: u64,
    /// Packets dropped as too late.
    pub dropped: u64,
    /// Messages that a slow viewer skipped.
    pub skipped: u64,
}

impl Minute {
    fn since(self, earlier: &Self) -> Self {
        Self {
            window: self.window.saturating_sub(earlier.window),
            packets: self.packets.saturating_sub(earlier.packets),
            lost: self.lost.saturating_sub(earlier.lost),
            dropped: self.dropped.saturating_sub(earlier.dropped),
            skipped: self.skipped.saturating_sub(earlier.skipped),
        }
    }
}

impl SrtFigures {
    /// Packets lost on the wire in the last second, both directions: only one of them carries the stream.
    #[must_use]
    pub fn lost(&self) -> u64 {
        lost(&self.last.counters)
    }

    /// Packets retransmitted in the last second, both directions.
    #[must_use]
    pub fn retransmitted(&self) -> u64 {
        retransmitted(&self.last.counters)
    }

    /// Packets dropped as too late in the last second, both directions: gaps in the stream.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        dropped(&self.last.counters)
    }

    /// Packets of the stream in the last second, each once, both directions.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.last.counters.sent_unique.packets + self.last.counters.received_unique.packets
    }

    /// The ratio of packets lost on the wire in the last second, 0 to 1, before retransmission.
    #[must_use]
    pub fn loss(&self) -> f64 {
        share(self.lost(), self.packets() + self.dropped())
    }

    /// The latency of the direction that carries the stream; the larger one if both do.
    #[must_use]
    pub fn latency(&self) -> Duration {
        self.stats.link.send_latency.max(self.stats.link.receive_latency)
    }

    /// The time between the first and the last packet in the buffer that carries the stream.
    #[must_use]
    pub fn buffered(&self) -> Duration {
        self.stats.send_buffer.span.max(self.stats.receive_buffer.span)
    }

    /// The wire counters for the log line at the end.
    pub(crate) fn totals_of_wire(&self) -> Totals {
        Totals {
            lost: lost(&self.totals),
            retransmitted: retransmitted(&self.totals),
            dropped: dropped(&self.totals),
            rtt: self.stats.link.rtt,
            ..Totals::default()
        }
    }
}

/// Packets lost on the wire: only one direction of a session carries data, so both may be added up.
fn lost(counters: &Counters) -> u64 {
    counters.receive_lost.packets + counters.send_lost
}

/// Packets retransmitted, as seen from either side.
fn retransmitted(counters: &Counters) -> u64 {
    counters.retransmitted.packets + counters.received_retransmitted
}

/// Packets dropped as too late, on our side.
fn dropped(counters: &Counters) -> u64 {
    counters.send_dropped.packets + counters.receive_dropped.packets
}

#[expect(clippy::cast_precision_loss, reason = "packets of a second")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    (part as f64 / whole as f64).min(1.0)
}

/// Samples a session. Kept with its socket.
#[derive(Debug, Default)]
pub(crate) struct WireSampler {
    accumulator: StatsAccumulator,
    rtts: VecDeque<Duration>,
    /// The counts of the last minute's samples, since the connection was opened.
    sums: VecDeque<Minute>,
    last: Totals,
}

impl WireSampler {
    /// Processes a sample of libsrt's counters and publishes it. Allocates, once a second per session.
    pub(crate) fn take(
        &mut self,
        stats: Stats,
        unheard: Option<Duration>,
        counters: &SessionCounters,
        now: Instant,
    ) {
        let last = self.accumulator.update(&stats);
        if self.rtts.len() == SAMPLES {
            self.rtts.pop_front();
        }
        self.rtts.push_back(stats.link.rtt);
        let totals = self.accumulator.totals();
        let sum = Minute {
            window: stats.elapsed,
            packets: totals.sent_unique.packets + totals.received_unique.packets,
            lost: lost(totals),
            dropped: dropped(totals),
            skipped: counters.skipped(),
        };
        let minute = sum.since(&self.sums.front().copied().unwrap_or_default());
        if self.sums.len() == SAMPLES {
            self.sums.pop_front();
        }
        self.sums.push_back(sum);
        let figures = SrtFigures {
            at: now,
            unheard,
            minute,
            rtt_p95: percentile_95(&self.rtts),
            totals: self.accumulator.totals().clone(),
            last,
            stats,
        };
        self.last = figures.totals_of_wire();
        counters.set_figures(figures);
    }

    /// The wire counters of the last sample.
    pub(crate) fn totals(&self) -> Totals {
        self.last
    }
}

fn percentile_95(values: &VecDeque<Duration>) -> Duration {
    let mut sorted: Vec<_> = values.iter().copied().collect();
    sorted.sort_unstable();
    let rank = (sorted.len() * 95).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_95th_percentile_leaves_the_worst_twentieth_out() {
        let millis = |values: std::ops::RangeInclusive<u64>| values.map(Duration::from_millis).collect();
        assert_eq!(percentile_95(&millis(1..=100)), Duration::from_millis(95));
        assert_eq!(percentile_95(&millis(1..=60)), Duration::from_millis(57));
        assert_eq!(percentile_95(&millis(7..=7)), Duration::from_millis(7));
        assert_eq!(percentile_95(&VecDeque::new()), Duration::ZERO);
    }

    #[test]
    fn a_share_is_never_above_one_and_nothing_of_nothing_is_nothing() {
        assert!((share(1, 4) - 0.25).abs() < f64::EPSILON);
        assert!((share(5, 4) - 1.0).abs() < f64::EPSILON);
        assert!(share(0, 0).abs() < f64::EPSILON);
    }
}
