//! A body that another task writes to, piece by piece. The one `Stream` of ours: what futures crates would be for.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::sync::mpsc;

/// The reading end, as axum wants it.
#[derive(Debug)]
pub(super) struct Pieces<T>(mpsc::Receiver<T>);

/// A channel for a body; `room` pieces wait at most.
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
