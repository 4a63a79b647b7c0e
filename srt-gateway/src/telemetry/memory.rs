//! Decides when to return free memory to the system after sessions and refused callers have gone.
//!
//! Pure: called once a second on the watchdog's thread, with the load of the workers.

use std::time::{Duration, Instant};

/// A drop of the load that makes a release worthwhile: about as many viewers have left.
const DROP: u32 = 16;

/// The number of refused callers that makes a release worthwhile.
const REFUSED: u64 = 1000;

/// libsrt frees the memory of a closed connection within this time.
const SOON: Duration = Duration::from_secs(6);

/// A second release, for connections that lingered or timed out later.
const LATER: Duration = Duration::from_secs(36);

/// Decides when to release memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryRelease {
    peak: u32,
    refused: u64,
    soon: Option<Instant>,
    later: Option<Instant>,
}

impl MemoryRelease {
    /// Whether to release free memory now, given the number of callers refused since the start. Never under a constant
    /// load with sessions that come and go, nor during a flood of refused callers.
    pub(crate) fn is_due(&mut self, load: u32, refused: u64, now: Instant) -> bool {
        if refused.saturating_sub(self.refused) >= REFUSED {
            self.refused = refused;
            self.later = Some(now + LATER);
        }
        self.peak = self.peak.max(load);
        if self.peak - load >= DROP {
            self.peak = load;
            self.soon.get_or_insert(now + SOON);
            self.later = Some(now + LATER);
        }
        let is_over = |due: &mut Instant| *due <= now;
        let soon = self.soon.take_if(is_over).is_some();
        let later = self.later.take_if(is_over).is_some();
        soon || later
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds at which memory is released, given the load of each second.
    fn releases(load: impl Fn(u32) -> u32) -> Vec<u32> {
        let mut release = MemoryRelease::default();
        let begin = Instant::now();
        let mut is_due =
            |second: &u32| release.is_due(load(*second), 0, begin + Duration::from_secs((*second).into()));
        (0..100).filter(|second| is_due(second)).collect()
    }

    #[test]
    fn memory_is_released_after_many_have_gone_and_never_under_a_level_load() {
        assert_eq!(releases(|second| if second < 10 { 500 } else { 0 }), [16, 46]);
        assert!(releases(|second| 500 + second % 8).is_empty());
        assert!(releases(|second| second * 10).is_empty());
    }

    #[test]
    fn memory_is_released_while_sessions_go_on_leaving() {
        let all = releases(|second| 5000 - second * 20);
        assert!(all.len() > 5, "{all:?}");
    }

    #[test]
    fn memory_is_released_once_after_a_flood_of_refused_callers() {
        let mut release = MemoryRelease::default();
        let begin = Instant::now();
        let refused = |second: u64| 300 * second.min(100);
        let mut is_due =
            |second: &u64| release.is_due(8, refused(*second), begin + Duration::from_secs(*second));
        assert_eq!(
            (0..300).filter(|second| is_due(second)).collect::<Vec<_>>(),
            [136]
        );
        let mut few = MemoryRelease::default();
        let mut is_due = |second: &u64| few.is_due(8, 3 * second, begin + Duration::from_secs(*second));
        assert!(!(0..300).any(|second| is_due(&second)));
    }
}
