//! How late the workers' loops run: the first sign of an overloaded machine.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// The largest delay since the last read. Many threads write, one reads.
#[derive(Debug, Default)]
pub(crate) struct LoopLag(AtomicU64);

impl LoopLag {
    /// Records how late a worker's tick was.
    pub(crate) fn note(&self, late: Duration) {
        let nanos = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_max(nanos, Relaxed);
    }

    /// Returns and resets the largest delay.
    pub(crate) fn take(&self) -> Duration {
        Duration::from_nanos(self.0.swap(0, Relaxed))
    }
}
