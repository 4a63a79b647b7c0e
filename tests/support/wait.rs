//! Waiting for a condition with a deadline: what tests do in place of sleeping.

use std::thread;
use std::time::{Duration, Instant};

/// How long to wait between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not hold within `deadline`; the panic is reported at the caller's line and names `what` was awaited.
#[track_caller]
pub fn wait_until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(deadline, what, || condition().then_some(()));
}

/// Waits as [`wait_until`] does, for what can only be described when it did not come.
///
/// # Panics
/// As [`wait_until`].
#[track_caller]
pub fn wait_until_or(deadline: Duration, what: impl Fn() -> String, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + deadline;
    while !condition() {
        assert!(Instant::now() < end, "waited {deadline:?} in vain: {}", what());
        thread::sleep(LOOK_EVERY);
    }
}

/// Waits until `look` gives a value, and gives it on.
///
/// # Panics
/// When there is none within `deadline`; the panic is reported at the caller's line and names `what` was awaited.
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
