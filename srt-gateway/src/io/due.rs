//! When a worker's sessions are to be served again, by time.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
    time::Instant,
};

use srt_safe::SocketId;

/// The times, the next first. None is taken back: who adds an earlier one for a session knows which of them holds.
#[derive(Debug, Default)]
pub(super) struct DeliveryTimes(BinaryHeap<Reverse<(Instant, SocketId)>>);

impl DeliveryTimes {
    pub(super) fn add(&mut self, at: Instant, socket: SocketId) {
        self.0.push(Reverse((at, socket)));
    }

    /// The next of the times.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// One whose time has come.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, SocketId)> {
        let first = self.0.peek_mut()?;
        (first.0.0 <= now).then(|| PeekMut::pop(first).0)
    }
}
