//! Counters of the calls to one HTTP backend: outcomes and durations, with fixed labels. Written on the backend's
//! thread, read on any.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallOutcome {
    /// An answer, with any status below 500.
    Answered,
    /// With a status of 500 or above.
    ServerError,
    /// No connection.
    Unreachable,
    /// No answer in time.
    TimedOut,
    /// The connection ended before the answer did.
    Broken,
    /// The answer was too long.
    TooLarge,
    /// Not made, because too many were under way.
    Busy,
}

impl CallOutcome {
    /// All variants, in the order of their labels.
    pub const ALL: [Self; 7] = [
        Self::Answered,
        Self::ServerError,
        Self::Unreachable,
        Self::TimedOut,
        Self::Broken,
        Self::TooLarge,
        Self::Busy,
    ];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::ServerError => "server_error",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Broken => "broken",
            Self::TooLarge => "too_large",
            Self::Busy => "busy",
        }
    }
}

/// Upper bounds of the duration buckets, in milliseconds; the last bucket has none.
const BOUNDS_MS: [u16; 11] = [2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000];

/// The calls to one backend so far.
#[derive(Debug, Default)]
pub struct CallStats {
    outcomes: [AtomicU64; CallOutcome::ALL.len()],
    classes: [AtomicU64; BOUNDS_MS.len() + 1],
    micros: AtomicU64,
    under_way: AtomicUsize,
}

impl CallStats {
    /// The number of calls with this outcome.
    #[must_use]
    pub fn count(&self, outcome: CallOutcome) -> u64 {
        self.outcomes[outcome as usize].load(Relaxed)
    }

    /// The number of calls under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way.load(Relaxed)
    }

    /// The durations of completed calls as a cumulative histogram: upper bound in seconds, and calls up to it. The last
    /// bound is infinite, and its count is the total.
    #[must_use]
    pub fn durations(&self) -> [(f64, u64); BOUNDS_MS.len() + 1] {
        let mut calls = 0;
        std::array::from_fn(|class| {
            calls += self.classes[class].load(Relaxed);
            let bound = BOUNDS_MS.get(class);
            (bound.map_or(f64::INFINITY, |ms| f64::from(*ms) / 1e3), calls)
        })
    }

    /// The sum of the durations.
    #[must_use]
    pub fn total(&self) -> Duration {
        Duration::from_micros(self.micros.load(Relaxed))
    }

    /// Begins a call, unless `most` are under way.
    pub(crate) fn begin(&self, most: usize) -> bool {
        let begun = self
            .under_way
            .fetch_update(Relaxed, Relaxed, |calls| (calls < most).then_some(calls + 1));
        if begun.is_err() {
            self.outcomes[CallOutcome::Busy as usize].fetch_add(1, Relaxed);
        }
        begun.is_ok()
    }

    /// Ends a call.
    pub(crate) fn end(&self, outcome: CallOutcome, took: Duration) {
        self.outcomes[outcome as usize].fetch_add(1, Relaxed);
        let class = BOUNDS_MS
            .iter()
            .position(|ms| took <= Duration::from_millis(u64::from(*ms)));
        self.classes[class.unwrap_or(BOUNDS_MS.len())].fetch_add(1, Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Relaxed);
        self.under_way.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_outcome_and_duration() {
        let stats = CallStats::default();
        assert!(stats.begin(2) && stats.begin(2) && !stats.begin(2));
        stats.end(CallOutcome::Answered, Duration::from_millis(5));
        stats.end(CallOutcome::TimedOut, Duration::from_secs(60));
        assert_eq!(stats.under_way(), 0);
        assert_eq!(
            CallOutcome::ALL.map(|outcome| stats.count(outcome)),
            [1, 0, 0, 1, 0, 0, 1]
        );
        let durations = stats.durations();
        assert_eq!((durations[0], durations[1]), ((0.002, 0), (0.005, 1)));
        assert_eq!(durations[11], (f64::INFINITY, 2));
        assert_eq!(stats.total(), Duration::from_millis(60_005));
    }

    #[test]
    fn the_order_of_all_is_that_of_the_counters() {
        for (at, outcome) in CallOutcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, at);
        }
    }
}
