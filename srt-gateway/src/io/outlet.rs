//! Outputs to datagrams, all on one thread. Each is a cursor in its stream's ring, like a viewer, and the thread is
//! woken by the same notices as the workers. Nothing waits for a receiver: a datagram that the system does not accept
//! is lost and counted, as on the wire. `recorder.rs` has the outputs to files.

use std::{
    collections::HashMap,
    io,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::{CloseReason, ClosedSession, IoEvent, Mailbox, Message};
use crate::{
    data::{Batch, Cursor, ReadOutcome, Stream},
    names::{Role, SessionId, StreamName},
    telemetry::{Pulse, SessionCounters, Totals},
};

/// Threads that streams wake in addition to the workers: one for datagrams, one for files.
pub(crate) const OUTLETS: usize = 2;

/// Messages per read of a ring.
pub(super) const BATCH: usize = 64;

/// Batches that an output sends before others get their turn.
const TURN: usize = 4;

/// How often outputs are flushed.
const TICK: Duration = Duration::from_millis(500);

/// The destination of an outlet's messages.
pub(crate) trait Sink: Send + std::fmt::Debug {
    /// Sends a message without waiting.
    ///
    /// # Errors
    /// An error that ends the output, which is set up again after a while. `WouldBlock` loses only this message.
    fn send(&mut self, message: &[u8], now: Instant) -> io::Result<()>;

    /// Sends buffered data. Called from time to time and at the end.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Messages that [`send`](Self::send) accepted and that were lost later.
    fn lost(&self) -> u64 {
        0
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

/// The thread that serves an outlet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutletKind {
    Datagrams,
    Files,
}

/// How far an outlet has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendOutcome {
    /// The end of the ring.
    Head,
    /// The end of its turn.
    Behind,
}

impl Outlet {
    /// Sends what the ring has for it, up to `turn` batches. Calls `next` before each batch.
    pub(super) fn catch_up(
        &mut self,
        batch: &mut Batch,
        turn: usize,
        mut next: impl FnMut() -> ControlFlow<()>,
    ) -> io::Result<SendOutcome> {
        let ring = Arc::clone(self.stream.ring());
        for _ in 0..turn {
            if next().is_break() {
                break;
            }
            match ring.read_batch(self.cursor.next(), batch) {
                ReadOutcome::UpToDate => return Ok(SendOutcome::Head),
                ReadOutcome::Lapped { oldest } => {
                    let skipped = self.cursor.skip_to(ring.skip_target(oldest));
                    self.counters.add_skipped(skipped);
                }
                ReadOutcome::Read { .. } => self.send(batch)?,
            }
        }
        Ok(SendOutcome::Behind)
    }

    fn send(&mut self, batch: &Batch) -> io::Result<()> {
        let now = Instant::now();
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
        Ok(())
    }

    /// The event for control when the outlet has ended.
    pub(super) fn closed(&self, reason: CloseReason) -> IoEvent {
        IoEvent::Closed(ClosedSession {
            session: self.session,
            role: Role::Viewer,
            reason,
            totals: totals(&self.counters),
        })
    }
}

/// The totals of an output.
pub(super) fn totals(counters: &SessionCounters) -> Totals {
    Totals {
        messages: counters.messages(),
        bytes: counters.bytes(),
        skipped: counters.skipped(),
        ..Totals::default()
    }
}

/// A thread's state.
#[derive(Debug)]
pub(super) struct Outlets {
    /// The thread's index among a stream's readers, after the workers.
    slot: usize,
    /// The thread's own mailbox.
    mailbox: Mailbox,
    control: Sender<IoEvent>,
    all: HashMap<StreamName, Vec<Outlet>>,
    batch: Batch,
}

impl Outlets {
    pub(super) fn new(slot: usize, mailbox: Mailbox, control: Sender<IoEvent>) -> Self {
        Self {
            slot,
            mailbox,
            control,
            all: HashMap::new(),
            batch: Batch::with_capacity(BATCH),
        }
    }

    pub(super) fn run(mut self, messages: &Receiver<Message>, pulse: &Pulse) {
        let mut next_tick = Instant::now() + TICK;
        loop {
            pulse.beat();
            match messages.recv_deadline(next_tick) {
                Ok(Message::Fanout(stream)) => {
                    stream.wake_received(self.slot);
                    self.fan_out(&stream);
                }
                Ok(Message::Attach(outlet)) => self.attach(*outlet),
                Ok(Message::Detach(session, reason)) => self.detach(session, reason),
                Ok(Message::Drain(deadline)) => return self.drain(deadline),
                // Other messages are for workers; dropping a reply channel counts as the reply.
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
        stream.add_viewer(self.slot);
        self.all.entry(stream.name().clone()).or_default().push(outlet);
        self.fan_out(&stream);
    }

    fn detach(&mut self, session: SessionId, reason: CloseReason) {
        self.end(|outlet| (outlet.session == session).then_some(reason));
    }

    fn fan_out(&mut self, stream: &Arc<Stream>) -> SendOutcome {
        let mut ended = Vec::new();
        let mut reached = SendOutcome::Head;
        for outlet in self.all.get_mut(stream.name()).into_iter().flatten() {
            match outlet.catch_up(&mut self.batch, TURN, || ControlFlow::Continue(())) {
                Ok(SendOutcome::Head) => {}
                Ok(SendOutcome::Behind) => reached = SendOutcome::Behind,
                Err(error) => ended.push((outlet.session, CloseReason::of_io(&error))),
            }
        }
        for (session, reason) in ended {
            self.detach(session, reason);
        }
        // Lets other outlets go first.
        if reached == SendOutcome::Behind && stream.wake_again(self.slot) {
            self.mailbox.send(Message::Fanout(Arc::clone(stream)));
        }
        reached
    }

    fn flush(&mut self) {
        self.end(|outlet| outlet.sink.flush().err().map(|error| CloseReason::of_io(&error)));
    }

    /// Closes the outlets for which `which` returns a reason.
    fn end(&mut self, mut which: impl FnMut(&mut Outlet) -> Option<CloseReason>) {
        for outlets in self.all.values_mut() {
            let mut at = 0;
            while at < outlets.len() {
                let Some(reason) = which(&mut outlets[at]) else {
                    at += 1;
                    continue;
                };
                let mut outlet = outlets.swap_remove(at);
                outlet.stream.remove_viewer(self.slot);
                // An existing reason says more than the error of a flush that fails because of it.
                drop(outlet.sink.flush());
                drop(self.control.send(outlet.closed(reason)));
            }
        }
        self.all.retain(|_, outlets| !outlets.is_empty());
    }

    /// The sources have ended: sends what the rings hold, then closes everything.
    fn drain(mut self, deadline: Instant) {
        let streams = self.all.values().filter_map(|outlets| outlets.first());
        for stream in streams
            .map(|outlet| Arc::clone(&outlet.stream))
            .collect::<Vec<_>>()
        {
            while self.fan_out(&stream) == SendOutcome::Behind && Instant::now() < deadline {}
        }
        self.end(|_| Some(CloseReason::Shutdown));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering::Relaxed},
        thread,
    };

    use super::*;

    /// A sink that is slower than the source.
    #[derive(Debug)]
    struct Slow;

    impl Sink for Slow {
        fn send(&mut self, _: &[u8], _: Instant) -> io::Result<()> {
            thread::sleep(Duration::from_millis(2));
            Ok(())
        }
    }

    fn outlet(session: u64, stream: &Arc<Stream>) -> Box<Outlet> {
        Box::new(Outlet {
            session: SessionId(session),
            stream: Arc::clone(stream),
            cursor: Cursor::new(stream.ring().head()),
            counters: Arc::default(),
            sink: Box::new(Slow),
        })
    }

    #[test]
    fn an_output_that_cannot_keep_up_leaves_others_their_turn() {
        let limit = Duration::from_secs(20);
        let streams = ["fast", "other"].map(|name| Stream::new(StreamName::new(name), 1 << 20, 1));
        let (mailbox, messages) = Mailbox::plain();
        let (control, events) = crossbeam_channel::unbounded();
        let outlets = Outlets::new(0, mailbox.clone(), control);
        let pulse =
            crate::telemetry::Threads::default().register("outlets", crate::telemetry::Criticality::Vital);
        let thread = thread::spawn(move || outlets.run(&messages, &pulse));
        let stop = Arc::new(AtomicBool::new(false));
        let source = {
            let (stop, stream, mailbox) = (Arc::clone(&stop), Arc::clone(&streams[0]), mailbox.clone());
            thread::spawn(move || {
                let mut writer = stream.claim_source(SessionId(9)).unwrap();
                while !stop.load(Relaxed) {
                    writer.push(&[0x47; 188]).unwrap();
                    stream.wake_viewers(|_| mailbox.send(Message::Fanout(Arc::clone(&stream))));
                    thread::sleep(Duration::from_micros(200));
                }
                stream.release_source(writer);
            })
        };
        mailbox.send(Message::Attach(outlet(1, &streams[0])));
        mailbox.send(Message::Attach(outlet(2, &streams[1])));
        // By then the first one is far behind.
        thread::sleep(Duration::from_millis(300));
        mailbox.send(Message::Detach(SessionId(2), CloseReason::Kicked));
        let closed = events.recv_timeout(limit);
        assert!(
            matches!(&closed, Ok(IoEvent::Closed(closed)) if closed.session == SessionId(2)),
            "{closed:?}"
        );
        mailbox.send(Message::Drain(Instant::now()));
        assert!(matches!(events.recv_timeout(limit), Ok(IoEvent::Closed(_))));
        stop.store(true, Relaxed);
        source.join().unwrap();
        thread.join().unwrap();
    }
}
