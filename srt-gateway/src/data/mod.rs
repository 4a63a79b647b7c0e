//! The data of a stream between its source and its viewers: the [`Ring`] and the [`WakeFlag`] that goes with it.
//!
//! Owns the memory of messages. Runs on the worker that writes (one at a time, by [`Writer`]) and on every worker that
//! reads. Deliberately independent of sockets, TS, configuration and threads: `io` decides what a message means, whom
//! to wake and when to give up on a viewer.
//!
//! `ring.rs` and `wake.rs` are model-checked: `srt-gateway/loom` compiles the same two files with loom's atomics
//! (`cargo test -p srt-gateway-loom --release`). They may therefore use only what `shim.rs` re-exports from
//! `std::sync::atomic`.

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
