//! Waits for a condition with a deadline, which tests use instead of sleeping.

use std::thread;
use std::time::{Duration, Instant};

/// The time between two checks of a condition.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits until `condition` holds.
///
/// # Panics
/// If it does not hold within `deadline`; the panic is reported at the caller's line and contains `what`.
#[track_caller]
pub fn wait_until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(deadline, what, || condition().then_some(()));
}

/// Like [`wait_until`], with a description that is computed only if the condition did not hold in time.
///
/// # Panics
/// Like [`wait_until`].
#[track_caller]
pub fn wait_until_or(deadline: Duration, what: impl Fn() -> String, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + deadline;
    while !condition() {
        assert!(Instant::now() < end, "waited {deadline:?} in vain: {}", what());
        thread::sleep(LOOK_EVERY);
    }
}

/// Waits until `look` returns a value, and returns it.
///
/// # Panics
/// If there is none within `deadline`; the panic is reported at the caller's line and contains `what`.
#[track_caller]
pub fn wait_for<T>(deadline: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(Instant::now() < end, "waited {deadline:?} in vain: {what}");
        thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::{wait_for, wait_until};
    use std::time::Duration;

    #[test]
    fn value_is_given_on() {
        let mut looks = 0;
        let value = wait_for(Duration::from_secs(5), "third look", || {
            looks += 1;
            (looks == 3).then_some("found")
        });
        assert_eq!(value, "found");
    }

    #[test]
    #[should_panic(expected = "in vain: the moon")]
    fn deadline_panics_and_names_what() {
        wait_until(Duration::from_millis(20), "the moon", || false);
    }
}
