//! What the model checker replaces: the atomics, and sizes that would make a model too large to explore.
//!
//! `srt-gateway/loom` has its own version of this module with loom's atomics and 16-byte messages.

pub(super) use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, fence};

/// The longest message in bytes: the largest payload of one SRT packet over IPv4 with a 1500-byte MTU
/// (libsrt's `SRT_LIVE_MAX_PLSIZE`). A multiple of 8.
pub const MESSAGE_MAX: usize = 1456;
