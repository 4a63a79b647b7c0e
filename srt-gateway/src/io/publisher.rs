//! A publisher's session on its worker: takes messages from libsrt into the stream's ring.

use std::time::{Duration, Instant};

use srt_safe::ErrorKind;

use super::{CloseReason, SessionSetup, intake::Intake, rate::RateLimit};
use crate::{
    data::{MESSAGE_MAX, Writer},
    ts::Format,
};

/// Messages taken in one turn before other sessions get theirs: some 20 ms of a 20 Mb/s stream.
const TURN: usize = 64;

/// The last packets of a peer that is gone are waited for no longer: some behind a loss are never handed over.
const LAST_PACKETS: Duration = Duration::from_secs(10);

/// ```text
///   receive: WouldBlock ──▶ waits for the next event
///            TURN taken ──▶ has more: the worker comes back after the others
///            peer gone  ──▶ not due: some of what came is for later, the worker comes back in a moment
///                      └──▶ ended, when that was taken
///            error      ──▶ ended
///
///   Waiting ──there are data──▶ Told ──feed──▶ Open            (one that is to succeed another publisher)
/// ```
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) setup: SessionSetup,
    intake: Intake,
    pub(super) last_data: Instant,
    rate: Option<RateLimit>,
    pub(super) gate: IngestGate,
    /// Whether the worker times what it sends. If not, events tell.
    is_timed_here: bool,
    /// When the worker looks at it again.
    pub(super) due: Option<Instant>,
}

/// When something can be received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextDelivery {
    Now,
    In(Duration),
    /// Not before there is an event.
    ByEvent,
}

/// Whether what has come may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IngestGate {
    Open,
    /// Not yet, and nothing has come.
    Waiting,
    /// Not yet, though something has come: control knows.
    Notified,
}

/// What a turn came to.
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

    /// When there is something to take. To be asked before the worker turns to others, or nobody tells it.
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

    /// Takes what libsrt has, up to [`TURN`] messages.
    pub(super) fn receive(&mut self, buffer: &mut [u8; MESSAGE_MAX], now: Instant) -> ReceiveOutcome {
        for _ in 0..TURN {
            match self.setup.socket.recv(buffer) {
                Ok(0) => return ReceiveOutcome::Ended(CloseReason::of_peer(&self.setup.socket)),
                Ok(len) => self.take(&buffer[..len], now),
                Err(error) => {
                    return match error.kind() {
                        ErrorKind::WouldBlock => ReceiveOutcome::Drained,
                        // libsrt says so at once, with up to a latency of packets still to be handed over.
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
        // libsrt delivers 1 to 1456 bytes, which is what the ring takes.
        self.intake.take(message, &self.setup.counters, now);
    }

    /// What has just been found out about the payload, once.
    pub(super) fn take_format_change(&mut self) -> Option<Format> {
        self.intake.take_format_change()
    }

    /// Feeds the stream from the next message on.
    pub(super) fn feed(&mut self, writer: Writer) {
        self.gate = IngestGate::Open;
        self.intake.feed(writer);
    }

    /// What of its limits it has broken. To be asked every now and then, not for each message.
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

    /// The peer has gone, and the last packets are not due yet: gives back its slots, so that it can come back at once. Whoever
    /// comes feeds the stream after this session.
    pub(super) fn leave(&mut self) {
        self.setup.stream.set_source_leaving(self.setup.session);
        drop(std::mem::take(&mut self.setup.held));
    }

    /// Gives up the place of the source and goes on taking what comes.
    pub(super) fn stand_by(&mut self) {
        self.intake.stand_by(&self.setup.stream);
    }

    /// Gives up the place of the source, for good.
    pub(super) fn release(mut self) -> SessionSetup {
        self.stand_by();
        self.setup
    }
}
