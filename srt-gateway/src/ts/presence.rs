//! Checks whether something arrives as often as required.
//!
//! Pure; in microseconds. Runs on the input's worker.

use std::time::Duration;

/// When something was last seen, and whether its absence has been counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Presence {
    last: u64,
    is_missed: bool,
}

impl Presence {
    /// Starts to wait.
    pub(super) fn since(now: u64) -> Self {
        Self {
            last: now,
            is_missed: false,
        }
    }

    /// Records an arrival; returns true if it was late and not counted yet.
    pub(super) fn seen(&mut self, now: u64, limit: Duration) -> bool {
        let is_late = self.check_absence(now, limit);
        *self = Self::since(now);
        is_late
    }

    /// Returns true if it is late, once per absence.
    pub(super) fn check_absence(&mut self, now: u64, limit: Duration) -> bool {
        let is_late = is_over(now.saturating_sub(self.last), limit) && !self.is_missed;
        self.is_missed |= is_late;
        is_late
    }
}

/// Whether this many microseconds exceed `limit`.
pub(super) fn is_over(micros: u64, limit: Duration) -> bool {
    u128::from(micros) > limit.as_micros()
}
