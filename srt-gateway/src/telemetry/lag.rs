//! How late the workers' loops are: what an overloaded machine shows first.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// The largest delay since it was last taken. Many write, one takes.
#[derive(Debug, Default)]
pub(crate) struct LoopLag(AtomicU64);

impl LoopLag {
    /// A worker got to its tick so much after it was due.
    pub(crate) fn note(&self, late: Duration) {
        let nanos = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_max(nanos, Relaxed);
    }

    /// The largest delay since the last call.
    pub(crate) fn take(&self) -> Duration {
        Duration::from_nanos(self.0.swap(0, Relaxed))
    }
}
