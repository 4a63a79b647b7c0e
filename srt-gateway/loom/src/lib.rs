//! Model check of the gateway's ring and wake flag: `cargo test -p srt-gateway-loom --release`.
//!
//! Compiles `srt-gateway/src/data/{ring,wake}.rs` unchanged with loom's atomics. Loom runs every interleaving of a few
//! operations (with up to three preemptions per thread) and every value that the memory model allows a relaxed load to
//! see. Contains only the models; behaviour on one thread is tested beside the ring.

/// The gateway's `data` module with another `shim`.
pub mod data {
    #[path = "../../../src/data/ring.rs"]
    mod ring;
    #[path = "../../../src/data/wake.rs"]
    mod wake;

    mod shim {
        //! Loom's atomics, and messages of two words: enough to be torn.
        pub(super) use loom::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, fence};

        /// The longest message in bytes.
        pub const MESSAGE_MAX: usize = 16;
    }

    pub use ring::{
        Batch, Counters, Cursor, MessageOutcome, MessageSizeError, ReadOutcome, Ring, Seq, StartAt, Writer,
    };
    pub use shim::MESSAGE_MAX;
    pub use wake::WakeFlag;

    #[cfg(test)]
    mod models;
}
