//! When control looks at its deadlines. Pure: time is an argument.

use std::time::{Duration, Instant};

/// Longest time from an event to the next look at deadlines, and between two looks while something has a deadline.
const TICK: Duration = Duration::from_millis(100);

/// Time between two looks when nothing has a deadline: the quiet time of sources is measured this finely.
const IDLE_TICK: Duration = Duration::from_millis(500);

/// How long control looks each [`TICK`] after an event: an event may start a deadline that only others know of.
const ALERT: Duration = Duration::from_secs(1);

/// When control looks at its deadlines: often while there are any, seldom in a gateway where nothing changes.
#[derive(Debug)]
pub(super) struct Ticks {
    next: Instant,
    alert_until: Instant,
}

impl Ticks {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            next: now,
            alert_until: now + ALERT,
        }
    }

    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    pub(super) fn event(&mut self, now: Instant) {
        self.alert_until = now + ALERT;
        self.next = self.next.min(now + TICK);
    }

    pub(super) fn ticked(&mut self, now: Instant, has_deadlines: bool) {
        let is_alert = has_deadlines || now < self.alert_until;
        self.next = now + if is_alert { TICK } else { IDLE_TICK };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_frequent_after_an_event_and_while_there_are_deadlines() {
        let begin = Instant::now();
        let mut ticks = Ticks::new(begin);
        let mut now = begin;
        let next = |ticks: &mut Ticks, now: &mut Instant, has_deadlines: bool| {
            let wait = ticks.wait(*now);
            *now += wait;
            assert!(ticks.is_due(*now));
            ticks.ticked(*now, has_deadlines);
            wait
        };
        next(&mut ticks, &mut now, false);
        assert_eq!(next(&mut ticks, &mut now, false), TICK);
        now += ALERT;
        next(&mut ticks, &mut now, false);
        assert_eq!(next(&mut ticks, &mut now, false), IDLE_TICK);
        assert_eq!(next(&mut ticks, &mut now, true), IDLE_TICK);
        assert_eq!(next(&mut ticks, &mut now, false), TICK);
        ticks.event(now);
        assert_eq!(next(&mut ticks, &mut now, false), TICK);
        assert_eq!(next(&mut ticks, &mut now, false), TICK);
    }
}
