//! The times at which a worker's sessions are due.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
    time::Instant,
};

use srt_safe::SocketId;

/// The due times, earliest first. Entries are never removed early; a session that adds an earlier time keeps track of
/// which one is valid.
#[derive(Debug, Default)]
pub(super) struct DeliveryTimes(BinaryHeap<Reverse<(Instant, SocketId)>>);

impl DeliveryTimes {
    pub(super) fn add(&mut self, at: Instant, socket: SocketId) {
        self.0.push(Reverse((at, socket)));
    }

    /// The earliest time.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Removes and returns an entry that is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, SocketId)> {
        let first = self.0.peek_mut()?;
        (first.0.0 <= now).then(|| PeekMut::pop(first).0)
    }
}
