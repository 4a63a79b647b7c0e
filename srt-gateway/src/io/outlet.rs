//! Outputs that are no SRT sockets, on two threads: one for all that send datagrams, one for all that write files (a slow
//! disk must not hold up datagrams).
//!
//! Each is a cursor in its stream's ring, as a viewer is, and its thread is woken by the same notices as the workers.
//! Nothing here waits for a receiver: a datagram that the system does not take is lost and counted, as on the wire.

use std::{
    collections::HashMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::{CloseReason, ClosedSession, IoEvent, Message};
use crate::{
    data::{Batch, Cursor, ReadOutcome, Stream},
    names::{Role, SessionId, StreamName},
    telemetry::{SessionCounters, Totals},
};

/// Threads for outlets, beside the workers.
pub(crate) const OUTLETS: usize = 2;

/// Messages read from a ring at once.
const BATCH: usize = 64;

/// How often files are flushed.
const TICK: Duration = Duration::from_millis(500);

/// Where an outlet's messages go.
pub(crate) trait Sink: Send + std::fmt::Debug {
    /// Sends a message, without waiting for anybody.
    ///
    /// # Errors
    /// What ends the output: it is set up anew after a while. `WouldBlock` costs the message only.
    fn send(&mut self, message: &[u8], now: Instant) -> io::Result<()>;

    /// Brings on its way what has been held back. Called from time to time and at the end.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An output.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) session: SessionId,
    pub(crate) stream: Arc<Stream>,
    pub(crate) cursor: Cursor,
    pub(crate) counters: Arc<SessionCounters>,
    pub(crate) sink: Box<dyn Sink>,
}

/// Which of the threads serves an outlet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutletKind {
    Datagrams,
    Files,
}

impl Outlet {
    /// Sends all that the ring has for it.
    fn catch_up(&mut self, batch: &mut Batch, now: Instant) -> io::Result<()> {
        let ring = self.stream.ring();
        loop {
            match ring.read_batch(self.cursor.next(), batch) {
                ReadOutcome::UpToDate => return Ok(()),
                ReadOutcome::Lapped { oldest } => {
                    let skipped = self.cursor.skip_to(ring.skip_target(oldest));
                    self.counters.add_skipped(skipped);
                }
                ReadOutcome::Read { .. } => {
                    for (_, message) in batch.iter() {
                        match self.sink.send(message, now) {
                            Ok(()) => self.counters.add(message.len()),
                            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                                self.counters.add_skipped(1);
                            }
                            Err(error) => return Err(error),
                        }
                        self.cursor.advance(1);
                    }
                }
            }
        }
    }
}

/// A thread's state.
#[derive(Debug)]
pub(super) struct Outlets {
    /// Its place among those whom a stream wakes: after the workers.
    place: usize,
    control: Sender<IoEvent>,
    all: HashMap<StreamName, Vec<Outlet>>,
    batch: Batch,
}

impl Outlets {
    pub(super) fn new(place: usize, control: Sender<IoEvent>) -> Self {
        Self {
            place,
            control,
            all: HashMap::new(),
            batch: Batch::with_capacity(BATCH),
        }
    }

    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        let mut next_tick = Instant::now() + TICK;
        loop {
            match messages.recv_deadline(next_tick) {
                Ok(Message::Fanout(stream)) => {
                    stream.wake_received(self.place);
                    self.fan_out(stream.name());
                }
                Ok(Message::Attach(outlet)) => self.attach(*outlet),
                Ok(Message::Detach(session, reason)) => self.detach(session, reason),
                Ok(Message::Drain(_)) => return self.drain(),
                // The other ones are for workers; an answer that is dropped is given.
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= next_tick {
                next_tick = Instant::now() + TICK;
                self.flush();
            }
        }
    }

    fn attach(&mut self, outlet: Outlet) {
        let stream = Arc::clone(&outlet.stream);
        stream.add_viewer(self.place);
        self.all.entry(stream.name().clone()).or_default().push(outlet);
        self.fan_out(stream.name());
    }

    fn detach(&mut self, session: SessionId, reason: CloseReason) {
        self.end(|outlet| (outlet.session == session).then_some(reason));
    }

    fn fan_out(&mut self, name: &StreamName) {
        let now = Instant::now();
        let mut ended = Vec::new();
        for outlet in self.all.get_mut(name).into_iter().flatten() {
            if let Err(error) = outlet.catch_up(&mut self.batch, now) {
                ended.push((outlet.session, CloseReason::of_io(&error)));
            }
        }
        for (session, reason) in ended {
            self.detach(session, reason);
        }
    }

    fn flush(&mut self) {
        self.end(|outlet| outlet.sink.flush().err().map(|error| CloseReason::of_io(&error)));
    }

    /// Ends those for which `which` has a reason.
    fn end(&mut self, mut which: impl FnMut(&mut Outlet) -> Option<CloseReason>) {
        for outlets in self.all.values_mut() {
            let mut at = 0;
            while at < outlets.len() {
                let Some(reason) = which(&mut outlets[at]) else {
                    at += 1;
                    continue;
                };
                let mut outlet = outlets.swap_remove(at);
                outlet.stream.remove_viewer(self.place);
                // The reason to end, if there is one already, says more than a flush that fails for the same.
                drop(outlet.sink.flush());
                drop(self.control.send(IoEvent::Closed(ClosedSession {
                    session: outlet.session,
                    role: Role::Viewer,
                    reason,
                    totals: Totals {
                        messages: outlet.counters.messages(),
                        bytes: outlet.counters.bytes(),
                        skipped: outlet.counters.skipped(),
                        ..Totals::default()
                    },
                })));
            }
        }
        self.all.retain(|_, outlets| !outlets.is_empty());
    }

    /// The sources have ended: what the rings hold goes out, and then all is over.
    fn drain(mut self) {
        for name in self.all.keys().cloned().collect::<Vec<_>>() {
            self.fan_out(&name);
        }
        self.end(|_| Some(CloseReason::Shutdown));
    }
}
