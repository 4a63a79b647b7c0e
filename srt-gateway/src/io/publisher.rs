//! A publisher's session on its worker: moves messages from libsrt to the stream's ring.

use std::time::{Duration, Instant};

use srt_safe::ErrorKind;

use super::{CloseReason, SessionSetup, intake::Intake, rate::RateLimit};
use crate::{
    data::{MESSAGE_MAX, Writer},
    ts::Format,
};

/// Messages received in one turn before other sessions get theirs: some 20 ms of a 20 Mb/s stream.
const TURN: usize = 64;

/// The longest wait for the last packets of a peer that is gone: some of those behind a loss are never delivered.
const LAST_PACKETS: Duration = Duration::from_secs(10);

/// ```text
///   receive: WouldBlock ──▶ waits for the next event
///            TURN taken ──▶ has more: the worker comes back after the others
///            peer gone  ──▶ not due: some of what came is for later, the worker comes back in a moment
///                      └──▶ ended, when that was taken
///            error      ──▶ ended
///
///   Waiting ──there are data──▶ Notified ──feed──▶ Open          (one that is to succeed another publisher)
/// ```
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) setup: SessionSetup,
    intake: Intake,
    pub(super) last_data: Instant,
    rate: Option<RateLimit>,
    pub(super) gate: IngestGate,
    /// Whether the worker times the publisher's packets; otherwise events announce them.
    is_timed_here: bool,
    /// When the worker serves it next.
    pub(super) due: Option<Instant>,
}

/// When something can be received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextDelivery {
    Now,
    In(Duration),
    /// After an event.
    ByEvent,
}

/// Whether received data may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IngestGate {
    Open,
    /// Not yet, and nothing has arrived.
    Waiting,
    /// Not yet; data has arrived, and control has been notified.
    Notified,
}

/// The result of a turn.
#[derive(Debug)]
pub(super) enum ReceiveOutcome {
    Drained,
    HasMore,
    NotDue,
    Ended(CloseReason),
}

impl Publisher {
    pub(super) fn new(setup: SessionSetup, writer: Option<Writer>, gate: IngestGate, now: Instant) -> Self {
        let max = setup.limits.max_bitrate;
        Self {
            is_timed_here: setup.socket.time_by_reader(setup.ingest),
            due: None,
            rate: max.map(|max| RateLimit::new(max, now)),
            setup,
            intake: Intake::new(writer),
            last_data: now,
            gate,
        }
    }

    /// When there is something to receive. Must be called before the worker serves others, or nothing announces it.
    pub(super) fn next_delivery(&self) -> NextDelivery {
        match self.setup.socket.next_delivery() {
            Some(Duration::ZERO) => NextDelivery::Now,
            Some(wait) => NextDelivery::In(wait),
            None if self.is_timed_here => NextDelivery::ByEvent,
            None if self.gate == IngestGate::Waiting && self.has_something() => NextDelivery::Now,
            None => NextDelivery::ByEvent,
        }
    }

    /// Whether a publisher that libsrt times has sent something.
    fn has_something(&self) -> bool {
        self.setup.socket.unread().is_ok_and(|packets| packets > 0)
    }

    /// Whether a disconnected peer has left packets that become due soon. It may have put any time on them.
    pub(super) fn has_last_packets(&self) -> bool {
        let is_soon = |wait| wait < LAST_PACKETS;
        self.has_something() && self.setup.socket.next_delivery().is_none_or(is_soon)
    }

    /// Receives what libsrt has, up to [`TURN`] messages.
    pub(super) fn receive(&mut self, buffer: &mut [u8; MESSAGE_MAX], now: Instant) -> ReceiveOutcome {
        for _ in 0..TURN {
            match self.setup.socket.recv(buffer) {
                Ok(0) => return ReceiveOutcome::Ended(CloseReason::of_peer(&self.setup.socket)),
                Ok(len) => self.take(&buffer[..len], now),
                Err(error) => {
                    return match error.kind() {
                        ErrorKind::WouldBlock => ReceiveOutcome::Drained,
                        // libsrt reports this at once, with up to a latency of packets still to be delivered.
                        ErrorKind::ConnectionLost
                            if now.duration_since(self.last_data) < LAST_PACKETS
                                && self.setup.socket.unread().is_ok_and(|packets| packets > 0) =>
                        {
                            ReceiveOutcome::NotDue
                        }
                        ErrorKind::ConnectionLost | ErrorKind::NotConnected => {
                            ReceiveOutcome::Ended(CloseReason::of_peer(&self.setup.socket))
                        }
                        _ => ReceiveOutcome::Ended(CloseReason::Failed(error)),
                    };
                }
            }
        }
        ReceiveOutcome::HasMore
    }

    fn take(&mut self, message: &[u8], now: Instant) {
        self.last_data = now;
        // libsrt delivers 1 to 1456 bytes, which the ring accepts.
        self.intake.take(message, &self.setup.counters, now);
    }

    /// Returns a newly detected payload format, once.
    pub(super) fn take_format_change(&mut self) -> Option<Format> {
        self.intake.take_format_change()
    }

    /// Feeds the stream from the next message on.
    pub(super) fn feed(&mut self, writer: Writer) {
        self.gate = IngestGate::Open;
        self.intake.feed(writer);
    }

    /// Returns the limit that it has exceeded. Call it regularly, not for each message.
    pub(super) fn broken_limit(&mut self, now: Instant) -> Option<CloseReason> {
        let (limits, counters) = (&self.setup.limits, &self.setup.counters);
        let quiet_for = now.duration_since(self.last_data);
        let never_sent = limits.first_data.filter(|_| counters.messages() == 0);
        if let Some(timeout) = never_sent.filter(|timeout| quiet_for >= *timeout) {
            return Some(CloseReason::NeverSent(timeout));
        }
        if let Some(timeout) = limits.silence.filter(|timeout| quiet_for >= *timeout) {
            return Some(CloseReason::NoData(timeout));
        }
        let rate = self.rate.as_mut()?;
        let sent = rate.exceeded(now, counters.bytes())?;
        Some(CloseReason::TooFast {
            sent,
            max: rate.max(),
        })
    }

    /// The peer has gone and the last packets are not due yet: releases its reservations so that it can reconnect at
    /// once. A new publisher feeds the stream after this session.
    pub(super) fn leave(&mut self) {
        self.setup.stream.set_source_leaving(self.setup.session);
        drop(std::mem::take(&mut self.setup.held));
    }

    /// Releases the writer and continues to receive.
    pub(super) fn stand_by(&mut self) {
        self.intake.stand_by(&self.setup.stream);
    }

    /// Releases the writer, and leaves received packets in libsrt until control closes the session or lets it continue.
    pub(super) fn pause(&mut self) {
        self.gate = IngestGate::Notified;
        self.stand_by();
    }

    /// Releases the writer for good.
    pub(super) fn release(mut self) -> SessionSetup {
        self.stand_by();
        self.setup
    }
}
