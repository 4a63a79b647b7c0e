//! `max_bitrate`: measures what a publisher sends over a sliding window. Pure: reads no clock; called at the worker's
//! ticks instead of for each message.

use std::{
    collections::VecDeque,
    num::NonZeroU64,
    time::{Duration, Instant},
};

/// The mean over this time counts: shorter peaks (a large keyframe, data that piled up behind a loss) must not close a
/// session.
const WINDOW: Duration = Duration::from_secs(5);

/// A limit, and the byte counts at the last ticks.
#[derive(Debug)]
pub(super) struct RateLimit {
    max: NonZeroU64,
    /// Times and byte counts; the first is the latest that is at least [`WINDOW`] old, or the beginning.
    marks: VecDeque<(Instant, u64)>,
}

impl RateLimit {
    pub(super) fn new(max: NonZeroU64, now: Instant) -> Self {
        let mut marks = VecDeque::with_capacity(32);
        marks.push_back((now, 0));
        Self { max, marks }
    }

    pub(super) fn max(&self) -> u64 {
        self.max.get()
    }

    /// Records that `bytes` had been sent by `now`. Returns the bit rate of the window if it exceeds the limit, and
    /// never before the first full window.
    pub(super) fn exceeded(&mut self, now: Instant, bytes: u64) -> Option<u64> {
        self.marks.push_back((now, bytes));
        let is_old = |mark: &(Instant, u64)| now.duration_since(mark.0) >= WINDOW;
        while self.marks.get(1).is_some_and(is_old) {
            self.marks.pop_front();
        }
        let first = self.marks.front().filter(|mark| is_old(mark))?;
        let millis = now.duration_since(first.0).as_millis().max(1);
        let rate = u128::from(bytes - first.1) * 8_000 / millis;
        let rate = u64::try_from(rate).unwrap_or(u64::MAX);
        (rate > self.max.get()).then_some(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(250);

    /// When a publisher that sends `bytes(tick)` at each tick exceeds the limit, and its rate.
    fn caught(max: u64, ticks: u32, bytes: impl Fn(u32) -> u64) -> Option<(Duration, u64)> {
        let begin = Instant::now();
        let mut limit = RateLimit::new(NonZeroU64::new(max).unwrap(), begin);
        let mut sent = 0;
        (1..=ticks).find_map(|tick| {
            sent += bytes(tick);
            let rate = limit.exceeded(begin + TICK * tick, sent)?;
            Some((TICK * tick, rate))
        })
    }

    #[test]
    fn who_is_above_it_is_caught_when_the_window_is_full() {
        // 31,250 bytes in 250 ms are 1 Mb/s.
        assert_eq!(caught(999_999, 100, |_| 31_250), Some((WINDOW, 1_000_000)));
        assert_eq!(caught(1_000_000, 1_000, |_| 31_250), None);
    }

    #[test]
    fn a_peak_is_forgiven_and_a_lasting_rise_is_not() {
        // Ten times the rate for a quarter of a second in each five, and still below the limit on average.
        let peaks = |tick: u32| if tick.is_multiple_of(20) { 312_500 } else { 31_250 };
        assert_eq!(caught(1_500_000, 1_000, peaks), None);
        let rise = |tick| if tick > 400 { 62_500 } else { 31_250 };
        let (when, _) = caught(1_500_000, 1_000, rise).unwrap();
        assert!(when > TICK * 400 && when <= TICK * 400 + WINDOW, "{when:?}");
    }

    #[test]
    fn late_ticks_do_not_make_a_publisher_faster() {
        let begin = Instant::now();
        let mut limit = RateLimit::new(NonZeroU64::new(1_000_000).unwrap(), begin);
        for seconds in [7_u64, 8, 20, 21] {
            let now = begin + Duration::from_secs(seconds);
            assert_eq!(limit.exceeded(now, seconds * 125_000), None, "{seconds}");
        }
    }
}
