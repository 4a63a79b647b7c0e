//! A histogram of durations: microseconds, to within 0.03 %, in a table of fixed size. The interesting differences are
//! fractions of a millisecond above a latency of a hundred.

use std::time::Duration;

/// Steps per power of two.
const STEPS: u32 = 4096;
const STEP_BITS: u32 = STEPS.ilog2();

/// Counts of durations up to 71 minutes; longer ones count as that.
#[derive(Clone)]
pub(super) struct Histogram {
    counts: Box<[u64]>,
    total: u64,
    max: u32,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self {
            counts: vec![0; index(u32::MAX) + 1].into(),
            total: 0,
            max: 0,
        }
    }

    pub(super) fn add(&mut self, duration: Duration) {
        let micros = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
        self.counts[index(micros)] += 1;
        self.total += 1;
        self.max = self.max.max(micros);
    }

    pub(super) fn join(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The value at this quantile (0 to 1); 1 gives the largest.
    pub(super) fn quantile_ms(&self, share: f64) -> f64 {
        if share >= 1.0 {
            return f64::from(self.max) / 1000.0;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a count below 2^53, times a share of it"
        )]
        let wanted = (share * self.total as f64).ceil() as u64;
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted.max(1) {
                return f64::from(middle(at)) / 1000.0;
            }
        }
        0.0
    }
}

/// Below `STEPS`, each number has its own bucket; above, each power of two has `STEPS` buckets.
fn index(value: u32) -> usize {
    let place = if value < STEPS {
        value
    } else {
        let power = value.ilog2() - STEP_BITS;
        power * STEPS + (value >> power)
    };
    place as usize
}

/// A value in the middle of a bucket.
fn middle(at: usize) -> u32 {
    let at = u32::try_from(at).unwrap_or(u32::MAX);
    if at < 2 * STEPS {
        return at;
    }
    let power = at / STEPS - 1;
    let low = u64::from(at - power * STEPS) << power;
    u32::try_from(low + (1 << power) / 2).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_each_other_and_hold_their_middles() {
        let mut last = 0;
        for value in (0..3 * STEPS).chain([1 << 20, u32::MAX / 2, u32::MAX]) {
            let at = index(value);
            assert!(at == last || at == last + 1 || value > 3 * STEPS, "{value}");
            assert!(
                middle(at).abs_diff(value) <= value / STEPS,
                "{value} {}",
                middle(at)
            );
            last = at;
        }
    }

    #[test]
    fn quantiles_of_a_hundred_numbers() {
        let mut histogram = Histogram::new();
        for ms in 1..=100 {
            histogram.add(Duration::from_millis(ms));
        }
        let near = |share: f64, ms: f64| {
            let found = histogram.quantile_ms(share);
            assert!((found - ms).abs() <= ms / 60.0, "{share}: {found}");
        };
        near(0.5, 50.0);
        near(0.99, 99.0);
        near(1.0, 100.0);
        near(0.0, 1.0);
    }
}
