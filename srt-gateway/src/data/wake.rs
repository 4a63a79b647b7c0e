//! Coalesced wake-ups: many messages, one notice.
//!
//! Owns one flag per (stream, worker). The writer's worker raises it after each message and sends a notice only
//! when it was down; the reader's worker lowers it before it looks at the ring. Carries no notice itself: the
//! channel, or whatever wakes a worker, belongs to `io`.

use std::sync::atomic::Ordering::AcqRel;

use super::shim::AtomicBool;

/// A flag that says "a notice is already on its way".
///
/// ```text
///            request() -> true: send the notice
///   down ───────────────────────────────────────▶ raised ──┐ request() -> false: nothing to do
///     ▲                                              │  ▲──┘
///     └──────────────────────────────────────────────┘
///            clear(), then read the ring until it is up to date
/// ```
///
/// No message is missed as long as the writer calls [`WakeFlag::request`] after the push and the reader calls
/// [`WakeFlag::clear`] before the read. Both are read-modify-write operations for that reason: a plain load in
/// `request` or a plain store in `clear` could pass by the other side's and lose the last message of a burst.
#[derive(Debug)]
pub struct WakeFlag {
    raised: AtomicBool,
}

impl WakeFlag {
    /// Makes a flag that is down.
    #[must_use]
    pub fn new() -> Self {
        Self {
            raised: AtomicBool::new(false),
        }
    }

    /// Raises the flag; true when it was down, so that the caller must send the notice. Never blocks.
    #[must_use = "true obliges the caller to send the notice: nobody else will"]
    pub fn request(&self) -> bool {
        !self.raised.swap(true, AcqRel)
    }

    /// Lowers the flag; to be called before the ring is read. Never blocks.
    pub fn clear(&self) {
        self.raised.swap(false, AcqRel);
    }
}

impl Default for WakeFlag {
    fn default() -> Self {
        Self::new()
    }
}
