//! Counts the failures of one input or output, and folds repeats into one report. Pure: functions of `now`.

use std::time::{Duration, Instant};

/// The first repeat is reported after this time; each later report doubles it.
const FIRST_REPORT_AFTER: Duration = Duration::from_secs(60);

/// The longest time between two reports of the same failure.
const MAX_REPORT_INTERVAL: Duration = Duration::from_secs(3600);

/// Data must flow for this long before the next failure counts as a new one: a peer that sends a short clip and closes
/// is still failing.
const STEADY: Duration = Duration::from_secs(10);

/// The number of reasons remembered. An endpoint usually alternates between two or three (silent, closed by the peer);
/// a peer that invents reasons must not fill the memory.
const REASONS: usize = 8;

/// The failures so far, and which of them have been reported.
#[derive(Debug, Default)]
pub(super) struct Failures {
    count: u64,
    last: Option<String>,
    /// Failures that were reported and have not ended.
    known: Vec<Failure>,
}

#[derive(Debug)]
struct Failure {
    why: String,
    reported: Instant,
    every: Duration,
    unreported: u64,
}

impl Failures {
    /// Counts a failure. Returns how many failures to report now, including this one; `None` if it is a repeat, which
    /// is reported later.
    pub(super) fn add(&mut self, why: &str, now: Instant) -> Option<u64> {
        self.count += 1;
        self.last = Some(why.to_owned());
        let Some(known) = self.known.iter_mut().find(|known| known.why == why) else {
            if self.known.len() == REASONS {
                self.known.remove(0);
            }
            self.known.push(Failure {
                why: why.to_owned(),
                reported: now,
                every: FIRST_REPORT_AFTER,
                unreported: 0,
            });
            return Some(1);
        };
        known.unreported += 1;
        if now.saturating_duration_since(known.reported) < known.every {
            return None;
        }
        known.reported = now;
        known.every = (known.every * 2).min(MAX_REPORT_INTERVAL);
        Some(std::mem::take(&mut known.unreported))
    }

    /// Records an expected end: it is shown and never reported as a failure.
    pub(super) fn add_unreported(&mut self, why: String) {
        self.count += 1;
        self.last = Some(why);
    }

    /// Records that data has flowed for this long over the current connection.
    pub(super) fn flowed(&mut self, time: Duration) {
        self.last = None;
        if time >= STEADY {
            self.known.clear();
        }
    }

    /// The number of failures so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The reason of the last failure, until data flows again.
    pub(super) fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// Whether a reported failure has not ended.
    pub(super) fn is_failing(&self) -> bool {
        !self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn repeats_are_reported_with_a_count_at_growing_intervals() {
        let begin = Instant::now();
        let mut failures = Failures::default();
        let mut reports = Vec::new();
        // Alternating reasons, as from a peer that accepts a call, sends nothing and closes.
        for at in (0..2 * 3600).step_by(10) {
            for why in ["silent", "closed"] {
                if let Some(times) = failures.add(why, begin + seconds(at)) {
                    reports.push((why, at, times));
                }
            }
        }
        let of = |wanted| reports.iter().filter(move |(why, ..)| *why == wanted);
        let times: Vec<_> = of("silent").map(|(_, at, times)| (*at, *times)).collect();
        assert_eq!(times[..4], [(0, 1), (60, 6), (180, 12), (420, 24)]);
        assert!(reports.len() <= 16, "{reports:?}");
        let last = of("closed").next_back().unwrap().1;
        let reported: u64 = of("closed").map(|(.., times)| times).sum();
        assert_eq!(reported, last / 10 + 1, "each is counted once");
        assert_eq!(failures.count(), 2 * 720);
    }

    #[test]
    fn a_failure_is_over_when_data_has_flowed_for_a_while() {
        let now = Instant::now();
        let mut failures = Failures::default();
        assert_eq!(failures.add("closed", now), Some(1));
        // A short clip.
        failures.flowed(seconds(1));
        assert_eq!(failures.last(), None);
        assert!(failures.is_failing());
        assert_eq!(failures.add("closed", now + seconds(20)), None);
        assert_eq!(failures.last(), Some("closed"));
        failures.flowed(STEADY);
        assert!(!failures.is_failing());
        assert_eq!(failures.add("closed", now + seconds(40)), Some(1));
        assert_eq!(failures.count(), 3);
    }

    #[test]
    fn a_peer_that_makes_up_reasons_does_not_fill_the_memory() {
        let now = Instant::now();
        let mut failures = Failures::default();
        for number in 0..1000 {
            failures.add(&format!("refused with code {number}"), now);
        }
        assert_eq!(failures.known.len(), REASONS);
    }
}
