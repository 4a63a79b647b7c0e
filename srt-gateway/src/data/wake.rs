//! Coalesced wake-ups: many messages, one notice.
//!
//! Owns one flag per (stream, worker). The writer's worker raises it after each message and sends a notice only if it
//! was down; the reader's worker lowers it before it reads the ring. `io` owns the channel that carries the notices.

use std::sync::atomic::Ordering::AcqRel;

use super::shim::AtomicBool;

/// A flag that a notice is already pending.
///
/// ```text
///            request() -> true: send the notice
///   down ───────────────────────────────────────▶ raised ──┐ request() -> false: nothing to do
///     ▲                                              │  ▲──┘
///     └──────────────────────────────────────────────┘
///            clear(), then read the ring until it is up to date
/// ```
///
/// No message is missed if the writer calls [`WakeFlag::request`] after the push and the reader calls
/// [`WakeFlag::clear`] before the read. Both are read-modify-write operations: a plain load in `request` or a plain
/// store in `clear` could miss the other side's and lose the last message of a burst.
#[derive(Debug)]
pub struct WakeFlag {
    raised: AtomicBool,
}

impl WakeFlag {
    /// Creates a flag that is down.
    #[must_use]
    pub fn new() -> Self {
        Self {
            raised: AtomicBool::new(false),
        }
    }

    /// Raises the flag; returns true if it was down, in which case the caller must send the notice. Never blocks.
    #[must_use = "true obliges the caller to send the notice: nobody else will"]
    pub fn request(&self) -> bool {
        !self.raised.swap(true, AcqRel)
    }

    /// Lowers the flag. Call it before reading the ring. Never blocks.
    pub fn clear(&self) {
        self.raised.swap(false, AcqRel);
    }
}

impl Default for WakeFlag {
    fn default() -> Self {
        Self::new()
    }
}
