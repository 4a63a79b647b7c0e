//! A circuit breaker: while a backend is down it is not called, so nobody waits for its timeout. Pure state; time is an
//! argument. Belongs to the code that calls the backend.

use std::time::{Duration, Instant};

/// Consecutive outages that open it.
const FAILURES: u32 = 5;

/// How long it stays open the first time; each failed probe doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest time that it stays open.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Whether the backend is called.
///
/// ```text
///             FAILURES in a row                 its time is over, one call is let through
///   Closed ───────────────────────▶ Open ─────────────────────────────────────────────▶ HalfOpen
///     ▲                             ▲  │                                                 │   │
///     │                             │  │                     that call fails             │   │
///     │                             └──┼─────────────────────────────────────────────────┘   │
///     └────────────────────────────────┴─── any call succeeds ───────────────────────────────┘
/// ```
///
/// A probe without a result within [`MAX_PAUSE`] counts as failed.
#[derive(Debug)]
pub(crate) struct Breaker {
    inner: Inner,
    /// How long it will stay open next.
    pause: Duration,
    openings: u64,
}

#[derive(Clone, Copy, Debug)]
enum Inner {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen { since: Instant },
}

/// The state of a breaker, for display and labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BreakerState {
    Closed,
    Open,
    HalfOpen,
}

impl BreakerState {
    /// The label value.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Whether a call is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Make it, and report the result.
    Go,
    /// The backend is down; the next attempt is allowed at this time at the earliest.
    Down(Instant),
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            inner: Inner::Closed { failures: 0 },
            pause: FIRST_PAUSE,
            openings: 0,
        }
    }
}

impl Breaker {
    /// Requests permission for a call.
    pub(crate) fn ask(&mut self, now: Instant) -> Pass {
        match self.inner {
            Inner::Closed { .. } => Pass::Go,
            Inner::Open { until } if now < until => Pass::Down(until),
            Inner::HalfOpen { since } if now < since + MAX_PAUSE => Pass::Down(since + self.pause),
            Inner::Open { .. } | Inner::HalfOpen { .. } => {
                self.inner = Inner::HalfOpen { since: now };
                Pass::Go
            }
        }
    }

    /// The permitted call was not made: another one may take its place.
    pub(crate) fn not_made(&mut self, now: Instant) {
        if let Inner::HalfOpen { .. } = self.inner {
            self.inner = Inner::Open { until: now };
        }
    }

    /// A call was answered: the backend is up.
    pub(crate) fn succeeded(&mut self) {
        self.inner = Inner::Closed { failures: 0 };
        self.pause = FIRST_PAUSE;
    }

    /// A call failed with an outage.
    pub(crate) fn failed(&mut self, now: Instant) {
        match &mut self.inner {
            Inner::Closed { failures } => {
                *failures += 1;
                if *failures >= FAILURES {
                    self.open(now);
                }
            }
            Inner::HalfOpen { .. } => self.open(now),
            // Calls that were under way when it opened.
            Inner::Open { .. } => {}
        }
    }

    fn open(&mut self, now: Instant) {
        self.inner = Inner::Open {
            until: now + self.pause,
        };
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        self.openings += 1;
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.inner {
            Inner::Closed { .. } => BreakerState::Closed,
            Inner::Open { .. } => BreakerState::Open,
            Inner::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// How often it has opened.
    pub(crate) fn openings(&self) -> u64 {
        self.openings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES {
            assert_eq!(breaker.ask(now), Pass::Go);
            breaker.failed(now);
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_does_not() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            for _ in 1..FAILURES {
                breaker.failed(now);
            }
            breaker.succeeded();
        }
        assert_eq!((breaker.state(), breaker.openings()), (BreakerState::Closed, 0));
        let mut breaker = opened(now);
        assert_eq!((breaker.state(), breaker.openings()), (BreakerState::Open, 1));
        assert_eq!(breaker.ask(now), Pass::Down(now + FIRST_PAUSE));
    }

    #[test]
    fn one_probe_is_let_through_and_closes_it() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + FIRST_PAUSE;
        assert_eq!(breaker.ask(later), Pass::Go);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(matches!(breaker.ask(later), Pass::Down(_)));
        breaker.succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!(breaker.ask(later), Pass::Go);
    }

    #[test]
    fn a_probe_that_fails_opens_it_for_twice_as_long_up_to_the_longest() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        let mut pause = FIRST_PAUSE;
        for _ in 0..10 {
            assert_eq!(breaker.ask(now), Pass::Down(now + pause));
            now += pause;
            assert_eq!(breaker.ask(now), Pass::Go);
            breaker.failed(now);
            pause = (pause * 2).min(MAX_PAUSE);
        }
        assert_eq!(pause, MAX_PAUSE);
        breaker.succeeded();
        for _ in 0..FAILURES {
            breaker.failed(now);
        }
        assert_eq!(breaker.ask(now), Pass::Down(now + FIRST_PAUSE));
    }

    #[test]
    fn late_failures_do_not_prolong_it_and_a_late_success_closes_it() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.failed(now + FIRST_PAUSE / 2);
        assert_eq!(breaker.ask(now + FIRST_PAUSE / 2), Pass::Down(now + FIRST_PAUSE));
        breaker.succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn a_probe_that_is_lost_or_was_not_made_makes_room_for_another() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.ask(now + FIRST_PAUSE), Pass::Go);
        breaker.not_made(now + FIRST_PAUSE);
        assert_eq!(breaker.ask(now + FIRST_PAUSE), Pass::Go);
        assert!(matches!(breaker.ask(now + FIRST_PAUSE), Pass::Down(_)));
        assert_eq!(breaker.ask(now + FIRST_PAUSE + MAX_PAUSE), Pass::Go);
    }
}
