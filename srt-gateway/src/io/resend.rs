//! `resend_limit`: how much is retransmitted to a viewer. Pure: reads no clock and touches no socket; the worker calls
//! it once a second.

use std::num::NonZeroU32;

/// Bytes per second that may be retransmitted to any viewer: a percentage of a small stream would not repair a burst of
/// losses.
const FLOOR: u64 = 125_000;

/// Bytes per second until the rate of the stream is known.
pub(super) const INITIAL: u64 = 1_250_000;

/// A viewer is closed after this many seconds in a row at the limit.
pub(super) const EXHAUSTED_AFTER: u32 = 10;

/// The limit of one viewer.
#[derive(Debug)]
pub(super) struct ResendLimit {
    percent: NonZeroU32,
    /// Bytes sent to it by the last second, without retransmissions.
    sent: u64,
    /// Bytes per second. It falls slowly, so that a pause of the stream does not reduce the repairs after it.
    rate: u64,
    held: u64,
    seconds_at_limit: u32,
}

/// The result of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The new limit in bytes per second.
    pub(super) limit: u64,
    /// The viewer has been at the limit for too long.
    pub(super) is_exhausted: bool,
}

impl ResendLimit {
    pub(super) fn new(percent: NonZeroU32) -> Self {
        Self {
            percent,
            sent: 0,
            rate: 0,
            held: 0,
            seconds_at_limit: 0,
        }
    }

    pub(super) fn percent(&self) -> u32 {
        self.percent.get()
    }

    /// Processes one second. `sent` counts the bytes sent to the viewer without retransmissions; `held` counts how
    /// often the limit has delayed a packet.
    pub(super) fn second(&mut self, sent: u64, held: u64) -> Verdict {
        let fallen = self.rate - self.rate / 8;
        self.rate = fallen.max(sent.saturating_sub(self.sent));
        self.sent = sent;
        self.seconds_at_limit = if held > self.held {
            self.seconds_at_limit + 1
        } else {
            0
        };
        self.held = held;
        let share = u128::from(self.rate) * u128::from(self.percent.get()) / 100;
        Verdict {
            limit: u64::try_from(share).unwrap_or(u64::MAX).max(FLOOR),
            is_exhausted: self.seconds_at_limit >= EXHAUSTED_AFTER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(percent: u32) -> ResendLimit {
        ResendLimit::new(NonZeroU32::new(percent).unwrap())
    }

    #[test]
    fn limit_is_a_share_of_the_stream_and_never_below_the_floor() {
        for (percent, rate, expected) in [
            (100, 1_000_000, 1_000_000),
            (50, 1_000_000, 500_000),
            (100, 1_000, FLOOR),
            (1_000, u64::MAX / 4, u64::MAX),
        ] {
            assert_eq!(
                limit(percent).second(rate, 0).limit,
                expected,
                "{percent} % of {rate}"
            );
        }
    }

    #[test]
    fn pause_of_the_stream_lowers_the_limit_slowly() {
        let mut limit = limit(100);
        assert_eq!(limit.second(8_000_000, 0).limit, 8_000_000);
        assert_eq!(limit.second(8_000_000, 0).limit, 7_000_000);
        assert_eq!(limit.second(16_000_000, 0).limit, 8_000_000);
    }

    #[test]
    fn viewer_is_exhausted_after_ten_seconds_in_a_row_at_the_limit() {
        let mut limit = limit(100);
        let mut held = 0;
        for second in 1..=100 {
            // Every tenth second it requests less.
            held += u64::from(second % 10 != 0);
            assert!(!limit.second(0, held).is_exhausted, "{second}");
        }
        let exhausted = (101..).find(|second| limit.second(0, held + second).is_exhausted);
        assert_eq!(exhausted, Some(100 + u64::from(EXHAUSTED_AFTER)));
    }
}
