//! A body that another task writes to, chunk by chunk. Our only `Stream`; it saves a dependency on a futures crate.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::sync::mpsc;

/// The receiving end, as a stream for axum.
#[derive(Debug)]
pub(super) struct Pieces<T>(mpsc::Receiver<T>);

/// A channel for a body that holds at most `room` chunks.
pub(super) fn channel<T>(room: usize) -> (mpsc::Sender<T>, Pieces<T>) {
    let (sender, receiver) = mpsc::channel(room);
    (sender, Pieces(receiver))
}

impl<T> Stream for Pieces<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_recv(context)
    }
}
