//! A publisher's session on its worker: takes messages from libsrt into the stream's ring.

use std::time::Instant;

use srt_safe::ErrorKind;

use super::{CloseReason, Seat};
use crate::{
    data::{MESSAGE_MAX, Writer},
    ts::{Format, Observer},
};

/// Messages taken in one turn before other sessions get theirs: some 20 ms of a 20 Mb/s stream.
const TURN: usize = 64;

/// ```text
///   receive: WouldBlock ──▶ waits for the next event
///            TURN taken ──▶ has more: the worker comes back after the others
///            peer gone  ──▶ not due: some of what came is for later, the worker comes back in a moment
///                      └──▶ ended, when that was taken
///            error      ──▶ ended
/// ```
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) seat: Seat,
    /// None: it stands by, and what comes is thrown away.
    writer: Option<Writer>,
    observer: Observer,
    pub(super) last_data: Instant,
    format_to_tell: Option<Format>,
}

/// What a turn came to.
#[derive(Debug)]
pub(super) enum Turn {
    Drained,
    HasMore,
    NotDue,
    Ended(CloseReason),
}

impl Publisher {
    pub(super) fn new(seat: Seat, writer: Option<Writer>, now: Instant) -> Self {
        Self {
            seat,
            writer,
            observer: Observer::new(),
            last_data: now,
            format_to_tell: None,
        }
    }

    /// Takes what libsrt has, up to [`TURN`] messages.
    pub(super) fn receive(&mut self, buffer: &mut [u8; MESSAGE_MAX], now: Instant) -> Turn {
        for _ in 0..TURN {
            match self.seat.socket.recv(buffer) {
                Ok(0) => return Turn::Ended(CloseReason::PeerGone),
                Ok(len) => self.take(&buffer[..len], now),
                Err(error) => {
                    return match error.kind() {
                        ErrorKind::WouldBlock => Turn::Drained,
                        // libsrt says so at once, with up to a latency of packets still to be handed over.
                        ErrorKind::ConnectionLost
                            if self.seat.socket.unread().is_ok_and(|packets| packets > 0) =>
                        {
                            Turn::NotDue
                        }
                        ErrorKind::ConnectionLost | ErrorKind::NotConnected => {
                            Turn::Ended(CloseReason::PeerGone)
                        }
                        _ => Turn::Ended(CloseReason::Failed(error)),
                    };
                }
            }
        }
        Turn::HasMore
    }

    fn take(&mut self, message: &[u8], now: Instant) {
        self.last_data = now;
        self.seat.counters.add(message.len());
        let Some(writer) = &mut self.writer else {
            return;
        };
        // libsrt delivers 1 to 1456 bytes, which is what the ring takes.
        let Ok(seq) = writer.push(message) else {
            return;
        };
        let seen = self.observer.observe(message);
        if let Some(start) = seen.start_point {
            writer.mark_start_point(seq.back(start.messages_back));
        }
        if seen.format_change.is_some() {
            self.format_to_tell = seen.format_change;
        }
    }

    /// What has just been found out about the payload, once.
    pub(super) fn take_format_change(&mut self) -> Option<Format> {
        self.format_to_tell.take()
    }

    /// Feeds the stream from the next message on. The observer begins anew: start points are counted back in messages of
    /// the ring, and none of the earlier ones is in it.
    pub(super) fn feed(&mut self, writer: Writer) {
        self.observer = Observer::new();
        self.writer = Some(writer);
    }

    /// Gives up the place of the source and goes on taking what comes.
    pub(super) fn stand_by(&mut self) {
        if let Some(writer) = self.writer.take() {
            self.seat.stream.release_source(writer);
        }
    }

    /// Gives up the place of the source, for good.
    pub(super) fn release(mut self) -> Seat {
        self.stand_by();
        self.seat
    }
}
