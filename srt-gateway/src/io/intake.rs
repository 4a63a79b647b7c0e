//! The way of a message from an input into the ring, whatever it came by. Runs on the thread that serves the input.

use std::{sync::Arc, time::Instant};

use crate::{
    data::{Stream, Writer},
    telemetry::SessionCounters,
    ts::{Format, Observer},
};

/// ```text
///   standing by ──feed──▶ feeding ──stand_by──▶ standing by
/// ```
/// While it stands by, what comes is counted and thrown away.
#[derive(Debug)]
pub(super) struct Intake {
    writer: Option<Writer>,
    /// None before the first message, so that an input that is silent costs little.
    observer: Option<Box<Observer>>,
    format_to_tell: Option<Format>,
}

impl Intake {
    pub(super) fn new(writer: Option<Writer>) -> Self {
        Self {
            writer,
            observer: None,
            format_to_tell: None,
        }
    }

    /// Takes a message of 1 to [`MESSAGE_MAX`](crate::data::MESSAGE_MAX) bytes, which came at `now`.
    pub(super) fn take(&mut self, message: &[u8], counters: &SessionCounters, now: Instant) {
        counters.add(message.len());
        let Some(writer) = &mut self.writer else {
            return;
        };
        let Ok(seq) = writer.push(message) else {
            return;
        };
        let observer = self
            .observer
            .get_or_insert_with(|| Box::new(Observer::on(Arc::clone(counters.make_board()))));
        let seen = observer.observe_at(message, now);
        if let Some(start) = seen.start_point {
            writer.mark_start_point(seq.back(start.messages_back));
        }
        if let Some(back) = seen.tables_back {
            writer.mark_tables(seq.back(back));
        }
        if seen.format_change.is_some() {
            self.format_to_tell = seen.format_change;
        }
    }

    /// The next message begins the same content again.
    pub(super) fn restart(&mut self) {
        if let Some(observer) = &mut self.observer {
            observer.restart();
        }
    }

    /// What has just been found out about the payload, once.
    pub(super) fn take_format_change(&mut self) -> Option<Format> {
        self.format_to_tell.take()
    }

    /// Feeds the stream from the next message on. The observer begins anew, but for its counts: start points are
    /// counted back in messages of the ring, and none of the earlier ones is in it.
    pub(super) fn feed(&mut self, writer: Writer) {
        self.observer = None;
        self.writer = Some(writer);
    }

    /// Gives up the place of the source.
    pub(super) fn stand_by(&mut self, stream: &Stream) {
        if let Some(writer) = self.writer.take() {
            stream.release_source(writer);
        }
    }
}
