//! Whether something comes as often as it has to, by time of arrival.
//!
//! Pure state over microseconds. Runs on the input's worker.

use std::time::Duration;

/// When something was last seen, and whether its absence is counted already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Presence {
    last: u64,
    is_missed: bool,
}

impl Presence {
    /// Begins to wait.
    pub(super) fn since(now: u64) -> Self {
        Self {
            last: now,
            is_missed: false,
        }
    }

    /// It came; true when that was too late and not counted yet.
    pub(super) fn seen(&mut self, now: u64, limit: Duration) -> bool {
        let is_late = self.check_absence(now, limit);
        *self = Self::since(now);
        is_late
    }

    /// True when it is late, once for each absence.
    pub(super) fn check_absence(&mut self, now: u64, limit: Duration) -> bool {
        let is_late = is_over(now.saturating_sub(self.last), limit) && !self.is_missed;
        self.is_missed |= is_late;
        is_late
    }
}

/// Whether so many microseconds are more than `limit`.
pub(super) fn is_over(micros: u64, limit: Duration) -> bool {
    u128::from(micros) > limit.as_micros()
}
