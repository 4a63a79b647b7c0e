//! Chooses which of several inputs feeds the stream. Pure: functions of `now`.

use std::time::{Duration, Instant};

/// The choice among a stream's inputs, the preferred one first.
///
/// ```text
///                   no data for `after`, and another input has some
///   preferred ────────────────────────────────────────────────────▶ the next that has data
///       ▲                                                                │
///       └──────── an input before it has had data for `back` ────────────┘
/// ```
///
/// While no input has data, the choice does not change. At the start, the preferred input has `after` to deliver data.
#[derive(Clone, Debug)]
pub(crate) struct Failover {
    after: Duration,
    back: Duration,
    inputs: Vec<Health>,
    chosen: usize,
    /// An operator's choice, which precedes the configured order.
    pinned: Option<usize>,
    /// The pinned input is taken as soon as it has data, without waiting for `back`.
    at_once: bool,
    /// Silence of the chosen input counts only from this time on.
    judged_from: Instant,
}

#[derive(Clone, Copy, Debug, Default)]
struct Health {
    last_data: Option<Instant>,
    /// Since when it has had data without a gap of `after`.
    healthy_since: Option<Instant>,
}

impl Failover {
    pub(crate) fn new(inputs: usize, after: Duration, back: Duration, now: Instant) -> Self {
        Self {
            after,
            back,
            inputs: vec![Health::default(); inputs],
            chosen: 0,
            pinned: None,
            at_once: false,
            judged_from: now,
        }
    }

    /// Restarts the silence timer when the inputs connect again, so that none counts as late.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.judged_from = now;
    }

    /// Starts with this input instead of the first, because it already feeds the stream.
    pub(crate) fn prefer(&mut self, input: usize) {
        self.chosen = input;
    }

    /// Prefers this input until another one is pinned.
    pub(crate) fn pin(&mut self, input: usize) {
        self.pinned = Some(input);
        self.at_once = true;
    }

    /// The input that the operator pinned.
    pub(crate) fn pinned(&self) -> Option<usize> {
        self.pinned
    }

    /// Records data from an input.
    pub(crate) fn data(&mut self, input: usize, now: Instant) {
        let after = self.after;
        let health = &mut self.inputs[input];
        let paused = health
            .last_data
            .is_none_or(|last| now.duration_since(last) >= after);
        if paused || health.healthy_since.is_none() {
            health.healthy_since = Some(now);
        }
        health.last_data = Some(now);
    }

    /// Records a lost connection. Silence still counts from the last data, so a source that reconnects within `after`
    /// stays chosen.
    pub(crate) fn lost(&mut self, input: usize) {
        self.inputs[input].healthy_since = None;
    }

    /// The chosen input.
    pub(crate) fn chosen(&self) -> usize {
        self.chosen
    }

    /// Updates the choice; returns the input if it has changed.
    pub(crate) fn choose(&mut self, now: Instant) -> Option<usize> {
        let returned = match self.pinned {
            Some(pinned) if pinned == self.chosen => {
                self.at_once = false;
                None
            }
            Some(pinned) if self.at_once && self.has_data(pinned, now) => Some(pinned),
            Some(pinned) if self.is_back(pinned, now) => Some(pinned),
            _ => (0..self.chosen).find(|input| self.is_back(*input, now)),
        };
        let next = returned.or_else(|| {
            let silent_since = self.inputs[self.chosen]
                .last_data
                .map_or(self.judged_from, |last| last.max(self.judged_from));
            if now.duration_since(silent_since) < self.after {
                return None;
            }
            (0..self.inputs.len()).find(|input| *input != self.chosen && self.has_data(*input, now))
        })?;
        self.chosen = next;
        self.judged_from = now;
        Some(next)
    }

    fn has_data(&self, input: usize, now: Instant) -> bool {
        let health = &self.inputs[input];
        let fresh = |last| now.duration_since(last) < self.after;
        health.healthy_since.is_some() && health.last_data.is_some_and(fresh)
    }

    fn is_back(&self, input: usize, now: Instant) -> bool {
        let long = |since| now.duration_since(since) >= self.back;
        self.has_data(input, now) && self.inputs[input].healthy_since.is_some_and(long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(1);
    const BACK: Duration = Duration::from_secs(10);
    const STEP: Duration = Duration::from_millis(100);

    /// Inputs in virtual time; in each step, the named ones have data.
    struct Fixture {
        failover: Failover,
        now: Instant,
        changes: Vec<(Duration, usize)>,
        start: Instant,
    }

    impl Fixture {
        fn new(inputs: usize) -> Self {
            let now = Instant::now();
            Self {
                failover: Failover::new(inputs, AFTER, BACK, now),
                now,
                changes: Vec::new(),
                start: now,
            }
        }

        fn run(&mut self, time: Duration, with_data: &[usize]) {
            let end = self.now + time;
            while self.now < end {
                for input in with_data {
                    self.failover.data(*input, self.now);
                }
                if let Some(next) = self.failover.choose(self.now) {
                    self.changes.push((self.now - self.start, next));
                }
                self.now += STEP;
            }
        }
    }

    #[test]
    fn an_operators_choice_stands_above_the_order_and_is_left_only_while_it_is_silent() {
        let mut fixture = Fixture::new(3);
        fixture.run(3 * BACK, &[0, 1, 2]);
        fixture.failover.pin(2);
        fixture.run(3 * BACK, &[0, 1, 2]);
        assert_eq!(fixture.failover.chosen(), 2);
        fixture.run(2 * AFTER, &[0, 1]);
        assert_eq!(fixture.failover.chosen(), 0);
        fixture.run(BACK + 2 * AFTER, &[0, 1, 2]);
        assert_eq!(fixture.failover.chosen(), 2);
        // An input without data is skipped; among those with data the order counts.
        fixture.run(2 * AFTER, &[0, 2]);
        fixture.failover.pin(1);
        fixture.run(AFTER, &[0, 2]);
        assert_eq!(fixture.failover.chosen(), 0);
        fixture.run(2 * STEP, &[0, 1, 2]);
        assert_eq!(fixture.failover.chosen(), 1);
    }

    #[test]
    fn the_preferred_input_is_kept_while_it_has_data() {
        let mut fixture = Fixture::new(3);
        fixture.run(Duration::from_secs(60), &[0, 1, 2]);
        assert!(fixture.changes.is_empty());
    }

    #[test]
    fn silence_changes_to_the_next_that_has_data_and_return_takes_its_time() {
        let mut fixture = Fixture::new(3);
        fixture.run(Duration::from_secs(5), &[0, 2]);
        fixture.run(Duration::from_secs(5), &[2]);
        fixture.run(Duration::from_secs(20), &[0, 2]);
        let [(left, to), (returned, back_to)] = fixture.changes[..] else {
            panic!("{:?}", fixture.changes);
        };
        assert_eq!((to, back_to), (2, 0));
        // Its last data came at 4.9 s.
        assert_eq!(left, Duration::from_millis(5_900));
        assert_eq!(returned, Duration::from_secs(20));
    }

    #[test]
    fn a_preferred_input_that_stutters_is_not_returned_to() {
        let mut fixture = Fixture::new(2);
        fixture.run(Duration::from_secs(3), &[1]);
        for _ in 0..10 {
            fixture.run(Duration::from_secs(5), &[0, 1]);
            fixture.run(Duration::from_secs(2), &[1]);
        }
        assert_eq!(fixture.changes, [(AFTER, 1)]);
    }

    #[test]
    fn a_lost_connection_ends_the_healthy_time() {
        let mut fixture = Fixture::new(2);
        fixture.run(Duration::from_secs(3), &[1]);
        fixture.run(Duration::from_secs(9), &[0, 1]);
        fixture.failover.lost(0);
        fixture.run(Duration::from_secs(9), &[0, 1]);
        assert_eq!(fixture.changes, [(AFTER, 1)]);
    }

    #[test]
    fn without_any_data_the_choice_stays() {
        let mut fixture = Fixture::new(2);
        fixture.run(Duration::from_secs(30), &[]);
        assert_eq!((fixture.changes.len(), fixture.failover.chosen()), (0, 0));
        fixture.run(STEP, &[1]);
        assert_eq!(fixture.failover.chosen(), 1);
    }

    #[test]
    fn inputs_that_have_rested_are_not_late() {
        let mut fixture = Fixture::new(2);
        fixture.run(Duration::from_secs(1), &[0]);
        fixture.run(Duration::from_secs(60), &[]);
        fixture.failover.begin(fixture.now);
        fixture.run(AFTER / 2, &[1]);
        assert_eq!(fixture.failover.chosen(), 0);
        fixture.run(AFTER, &[1]);
        assert_eq!(fixture.failover.chosen(), 1);
    }
}
