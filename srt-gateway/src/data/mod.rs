//! The data of a stream between its source and its viewers: the [`Ring`] and the [`WakeFlag`] that goes with it.
//!
//! Owns the memory that holds messages. Runs on whichever worker writes (one at a time, by [`Writer`]) and on
//! every worker that reads. Deliberately knows no sockets, no TS, no configuration and no threads: what a message
//! means, whom to wake and when to give up on a viewer is decided by `io`.
//!
//! `ring.rs` and `wake.rs` are model-checked: `srt-gateway/loom` compiles the same two files over loom's atomics
//! (`cargo test -p srt-gateway-loom --release`). They may therefore use nothing of `std::sync::atomic` but what
//! `shim.rs` gives them.

mod ring;
mod shim;
mod slots;
mod stream;
mod wake;

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "patterns and small counts")]
mod ring_tests;

pub use ring::{
    Batch, Counters, Cursor, MessageOutcome, MessageSizeError, ReadOutcome, Ring, Seq, StartAt, Writer,
};
pub use shim::MESSAGE_MAX;
pub(crate) use slots::{CreatedFull, CreatedLimits, CreatedSlot, HeldSlots, Keyed, SharedSlots, Slot, Slots};
pub(crate) use stream::SourceLoss;
pub use stream::Stream;
pub use wake::WakeFlag;
