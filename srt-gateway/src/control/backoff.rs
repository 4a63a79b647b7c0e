//! Delays between connection attempts. Pure: no clock, no thread.

use std::time::Duration;

/// The delay after the first failure. Each further failure doubles it.
const INITIAL_DELAY: Duration = Duration::from_millis(500);

/// The longest delay before jitter; with jitter, no delay exceeds 10 s.
const MAX_DELAY: Duration = Duration::from_secs(8);

/// Delays between attempts: 0.5 s, 1, 2, 4, 8, 8, ..., plus up to a quarter of jitter, so that many endpoints that lost
/// the same peer do not reconnect at the same moment.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    step: Duration,
    /// State of the jitter (xorshift): never 0.
    noise: u64,
}

impl Backoff {
    /// `seed` should differ between endpoints.
    pub(crate) fn new(seed: u64) -> Self {
        // Spreads small seeds over all bits; the constant is the one of Fibonacci hashing.
        let noise = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self {
            step: INITIAL_DELAY,
            noise,
        }
    }

    /// Returns the delay after one more failure.
    pub(crate) fn failed(&mut self) -> Duration {
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        let percent = u32::try_from(self.noise % 26).unwrap_or(0);
        let wait = self.step + self.step * percent / 100;
        self.step = (self.step * 2).min(MAX_DELAY);
        wait
    }

    /// Resets the delay: the connection succeeded, so the next failure counts as the first.
    pub(crate) fn reset(&mut self) {
        self.step = INITIAL_DELAY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(10);

    #[test]
    fn waits_double_up_to_ten_seconds() {
        for seed in 0..50 {
            let mut backoff = Backoff::new(seed);
            for steps in [500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000] {
                let step = Duration::from_millis(steps);
                let wait = backoff.failed();
                assert!(
                    (step..=step * 5 / 4).contains(&wait) && wait <= LONGEST,
                    "{wait:?} for {step:?}"
                );
            }
            backoff.reset();
            assert!(backoff.failed() < Duration::from_millis(650));
        }
    }

    #[test]
    fn endpoints_do_not_wait_alike() {
        let waits: std::collections::HashSet<_> = (0..20).map(|seed| Backoff::new(seed).failed()).collect();
        assert!(waits.len() > 10, "{waits:?}");
    }
}
