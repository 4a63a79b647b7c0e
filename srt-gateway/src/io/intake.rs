//! Passes messages of any input into the ring. Runs on the thread that serves the input.

use std::{sync::Arc, time::Instant};

use crate::{
    data::{Stream, Writer},
    telemetry::SessionCounters,
    ts::{Format, Observer},
};

/// ```text
///   standing by ──feed──▶ feeding ──stand_by──▶ standing by
/// ```
/// On standby, messages are counted and discarded.
#[derive(Debug)]
pub(super) struct Intake {
    writer: Option<Writer>,
    /// Created with the first message, so that a silent input costs little.
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

    /// Processes a message of 1 to [`MESSAGE_MAX`](crate::data::MESSAGE_MAX) bytes that arrived at `now`.
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

    /// The next message starts the same content again.
    pub(super) fn restart(&mut self) {
        if let Some(observer) = &mut self.observer {
            observer.restart();
        }
    }

    /// Returns a newly detected payload format, once.
    pub(super) fn take_format_change(&mut self) -> Option<Format> {
        self.format_to_tell.take()
    }

    /// Feeds the stream from the next message on. The observer starts again but keeps its counters: start points count
    /// back in messages of the ring, which has none of the earlier ones.
    pub(super) fn feed(&mut self, writer: Writer) {
        self.observer = None;
        self.writer = Some(writer);
    }

    /// Releases the writer.
    pub(super) fn stand_by(&mut self, stream: &Stream) {
        if let Some(writer) = self.writer.take() {
            stream.release_source(writer);
        }
    }
}
