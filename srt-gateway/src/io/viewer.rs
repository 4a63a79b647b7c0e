//! A viewer's session on its worker: a cursor in the stream's ring, and a socket that accepts what it can.

use std::time::Instant;

use srt_safe::{ErrorKind, RetransmitBandwidth, SendState, opt};

use super::{
    CloseReason, SessionSetup,
    backlog::{Backlog, Queue, Step},
    packetiser::{Boundaries, Packetiser},
    resend::{self, ResendLimit},
};
use crate::data::{Batch, Cursor, MESSAGE_MAX, ReadOutcome, StartAt};

/// Messages sent to one lagging viewer in one turn before other sessions get theirs.
const TURN: usize = 256;

/// ```text
///               TURN sent             settled           its turn
///   InStep ────────────────▶ Behind ──────────▶ Queued ──────────▶ InStep
///      │  socket full (WouldBlock)    settled            writable
///      ├────────────────────▶ Full ────────────▶ Blocked ────────▶ InStep
///      │  path too slow                     next keyframe
///      ├────────────────────▶ Held ──────────────────────────────▶ InStep
///      │  error
///      └────────────────────▶ Ended ───settled──▶ removed
/// ```
/// "Settled" is the worker's `regroup_viewers`. A viewer that the ring laps skips to a start point, and the skip is
/// counted.
#[derive(Debug)]
pub(super) struct Viewer {
    pub(super) setup: SessionSetup,
    cursor: Cursor,
    /// Cuts messages that do not fit the peer's packets.
    packetiser: Packetiser,
    pub(super) flow: Flow,
    pub(super) last_data: Instant,
    resend_limit: Option<ResendLimit>,
    /// The last limit that was set in libsrt, in bytes per second.
    limit_set: u64,
    /// None for bonded viewers: data that waits for one link may already be on its way over another.
    backlog: Option<Backlog>,
}

/// How much of the data that a viewer sent has been discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    All,
    More,
}

/// What a viewer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// The next message.
    InStep,
    /// To be queued: its turn is over, and the ring has more.
    Behind,
    /// Its next turn.
    Queued,
    /// To be watched for writability: libsrt's send buffer is full.
    Full,
    /// The event that its socket is writable again.
    Blocked,
    /// libsrt's send buffer to drain, and then the next keyframe ([`Backlog`]).
    Held,
    /// To be removed: the session has ended.
    Ended(CloseReason),
}

impl Viewer {
    pub(super) fn new(setup: SessionSetup, cursor: Cursor, now: Instant) -> Self {
        // If the connection is already gone, the first message reports it.
        let peer = setup.socket.max_message_size().unwrap_or(MESSAGE_MAX);
        let limit = setup.payload_size.map_or(peer, |size| size.min(peer));
        let resend_limit = setup.limits.resend_percent.map(ResendLimit::new);
        let backlog = (!setup.socket.is_group()).then(Backlog::new);
        let mut viewer = Self {
            backlog,
            setup,
            cursor,
            packetiser: Packetiser::new(limit, Boundaries::Keep),
            flow: Flow::InStep,
            last_data: now,
            resend_limit,
            limit_set: 0,
        };
        if viewer.resend_limit.is_some() {
            viewer.limit_resends_to(resend::INITIAL);
        }
        viewer
    }

    /// Samples libsrt's counters, adjusts the retransmission limit, and holds a viewer whose path is too slow. Call it
    /// once a second.
    pub(super) fn second(&mut self, now: Instant) -> Option<CloseReason> {
        self.setup.sample();
        let state = self.setup.socket.send_state();
        if let Some(state) = state {
            self.observe_backlog(state, now);
        }
        self.limit_resends(state.map_or(0, |state| state.resends_held))
    }

    fn limit_resends(&mut self, held: u64) -> Option<CloseReason> {
        self.setup.counters.set_resends_held(held);
        let limit = self.resend_limit.as_mut()?;
        let percent = limit.percent();
        let verdict = limit.second(self.setup.counters.bytes(), held);
        if verdict.limit.abs_diff(self.limit_set) > self.limit_set / 8 {
            self.limit_resends_to(verdict.limit);
        }
        verdict.is_exhausted.then_some(CloseReason::ResendLimit(percent))
    }

    /// Holds a viewer that has fallen behind, or releases it, within the second. Call it several times a second.
    pub(super) fn watch_backlog(&mut self, now: Instant) {
        if self.flow == Flow::Held {
            // Sending is paused on purpose: the stream is not silent.
            self.last_data = now;
        }
        if self.backlog.is_some_and(|backlog| backlog.is_urgent())
            && let Some(state) = self.setup.socket.send_state()
        {
            self.observe_backlog(state, now);
        }
    }

    fn observe_backlog(&mut self, state: SendState, now: Instant) {
        // In the other states the viewer is returning to `InStep` or ending.
        if !matches!(self.flow, Flow::InStep | Flow::Held) {
            return;
        }
        let Some(backlog) = &mut self.backlog else {
            return;
        };
        let ring = self.setup.stream.ring();
        let start = ring.start_position(StartAt::Keyframe);
        match backlog.observe(Queue::of(state), start, ring.head(), now) {
            Step::Keep => {}
            Step::Hold => self.flow = Flow::Held,
            Step::Resume(position) => {
                let skipped = self.cursor.skip_to(position);
                self.packetiser.clear();
                self.setup.counters.add_skipped(skipped);
                self.flow = Flow::InStep;
            }
        }
    }

    fn limit_resends_to(&mut self, bytes_per_second: u64) {
        let bandwidth = RetransmitBandwidth::BytesPerSecond(bytes_per_second);
        // A libsrt that was built without it lacks the option; a connection that is gone does not need it.
        if let Err(error) = self
            .setup
            .socket
            .set_option(opt::MaxRetransmitBandwidth, bandwidth)
        {
            tracing::debug!(session = %self.setup.session, %error, "resend_limit was not set");
        }
        self.limit_set = bytes_per_second;
    }

    /// Whether `batch` continues at the viewer's position; it may also hold earlier messages, or nothing for this
    /// viewer.
    pub(super) fn is_reached_by(&self, batch: &Batch) -> bool {
        batch.first() <= self.cursor.next()
    }

    /// Sends what `batch` holds from the viewer's position on.
    pub(super) fn send(&mut self, batch: &Batch, now: Instant) {
        for (_, message) in batch.messages_from(self.cursor.next()) {
            let socket = &self.setup.socket;
            let sent = self
                .packetiser
                .push(message, |piece| socket.send(piece).map(drop));
            // The packetiser sends the rest of a message later, so the message counts as sent.
            if sent.is_ok() || self.packetiser.is_pending() {
                self.cursor.advance(1);
                self.setup.counters.add(message.len());
                self.last_data = now;
            }
            if let Err(error) = sent {
                return self.stop(error);
            }
        }
    }

    fn stop(&mut self, error: srt_safe::Error) {
        self.flow = match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::Congested => Flow::Full,
            ErrorKind::ConnectionLost | ErrorKind::NotConnected | ErrorKind::InvalidState => {
                Flow::Ended(CloseReason::of_peer(&self.setup.socket))
            }
            _ => Flow::Ended(CloseReason::Failed(error)),
        };
    }

    /// Sends the rest of a message that a full socket did not accept.
    fn send_rest(&mut self) {
        let socket = &self.setup.socket;
        if let Err(error) = self.packetiser.flush_ready(|piece| socket.send(piece).map(drop)) {
            self.stop(error);
        }
    }

    /// Sends from the ring at the viewer's own pace, up to [`TURN`] messages.
    pub(super) fn catch_up(&mut self, batch: &mut Batch, now: Instant) {
        let mut sent = 0;
        self.send_rest();
        while self.flow == Flow::InStep {
            let ring = self.setup.stream.ring();
            match ring.read_batch(self.cursor.next(), batch) {
                ReadOutcome::UpToDate => return,
                ReadOutcome::Lapped { oldest } => {
                    let skipped = self.cursor.skip_to(ring.skip_target(oldest));
                    self.packetiser.clear();
                    self.setup.counters.add_skipped(skipped);
                }
                ReadOutcome::Read { count } => {
                    self.send(batch, now);
                    sent += count;
                    if sent >= TURN && self.flow == Flow::InStep {
                        self.flow = Flow::Behind;
                    }
                }
            }
        }
    }

    /// Returns the limit that it has exceeded. Call it regularly, not for each message.
    pub(super) fn broken_limit(&self, now: Instant) -> Option<CloseReason> {
        let silence = self.setup.limits.silence?;
        (now.duration_since(self.last_data) >= silence).then_some(CloseReason::NoData(silence))
    }

    /// Receives and discards what a viewer sends, so that it does not fill libsrt's buffer. If more is left, call this
    /// again: libsrt reports new data only after everything has been received.
    pub(super) fn discard_received(&self, buffer: &mut [u8; MESSAGE_MAX]) -> Received {
        for _ in 0..TURN {
            if self.setup.socket.recv(buffer).is_err() {
                return Received::All;
            }
        }
        Received::More
    }
}
