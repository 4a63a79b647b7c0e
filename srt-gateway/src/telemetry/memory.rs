//! When memory that sessions and refused callers have left behind goes back to the system.
//!
//! Pure: asked once a second, on the watchdog's thread, with what the workers have to do.

use std::time::{Duration, Instant};

/// So much less to do than before is worth it: about as many viewers have gone.
const DROP: u32 = 16;

/// So many refused callers are worth it.
const REFUSED: u64 = 1000;

/// libsrt frees what a closed connection had after up to so long.
const SOON: Duration = Duration::from_secs(6);

/// And what lingered, or timed out later.
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
    /// Whether free memory is to be released now, given how many callers were refused since the start. Under a constant load
    /// with sessions that come and go, and while a flood of refused callers lasts: never.
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

    /// The seconds at which memory is released, given the load in each.
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
