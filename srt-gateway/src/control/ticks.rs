//! Schedules control's checks of its deadlines. Pure: time is an argument.

use std::time::{Duration, Instant};

/// The longest time from an event to the next check, and between two checks while there are deadlines.
const TICK: Duration = Duration::from_millis(100);

/// The time between two checks without deadlines; silence of sources is measured with this resolution.
const IDLE_TICK: Duration = Duration::from_millis(500);

/// How long control checks every [`TICK`] after an event: an event may start a deadline that only another module
/// tracks.
const ALERT: Duration = Duration::from_secs(1);

/// Schedules the checks: frequent while there are deadlines, rare in an idle gateway.
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
