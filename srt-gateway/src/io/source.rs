//! Inputs that are not SRT sockets: each has a thread that waits for datagrams, or for the due time of a file's next
//! packets, and feeds the ring like a worker.
//!
//! One thread per input: there are few of them, and each blocks in the one call that returns new data.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};

use super::{CloseReason, ClosedSession, IoEvent, Mailbox, Message, intake::Intake};
use crate::{
    data::{Stream, Writer},
    names::{Role, SessionId},
    telemetry::{SessionCounters, Totals},
};

/// How long an input may wait for data before it checks for commands.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Commands to an input's thread.
#[derive(Debug)]
pub(crate) enum SourceOrder {
    Feed(Writer),
    /// Release the writer, and confirm it.
    StandBy,
    Close(CloseReason),
}

/// An input's thread. Dropping this ends it within [`POLL_INTERVAL`].
#[derive(Debug)]
pub(crate) struct Source {
    orders: Sender<SourceOrder>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread needs besides the transport.
#[derive(Debug)]
pub(crate) struct SourceContext {
    pub(crate) session: SessionId,
    pub(crate) stream: Arc<Stream>,
    pub(crate) counters: Arc<SessionCounters>,
    pub(crate) control: Sender<IoEvent>,
    pub(crate) workers: Box<[Mailbox]>,
}

/// The source of the data.
pub(crate) trait Transport: Send + 'static {
    /// Passes messages to `take`, or returns after [`POLL_INTERVAL`] without any.
    ///
    /// # Errors
    /// Why the input has ended.
    fn receive(&mut self, now: Instant, take: &mut dyn FnMut(&[u8])) -> Result<(), CloseReason>;

    /// Whether the next message starts the content again; reported once.
    fn take_restart(&mut self) -> bool {
        false
    }

    /// Whether an answer is overdue.
    fn is_stalled(&self, _now: Instant) -> bool {
        false
    }
}

impl Source {
    pub(crate) fn start(
        name: &str,
        context: SourceContext,
        transport: Box<dyn Transport>,
    ) -> io::Result<Self> {
        let (orders, receiver) = crossbeam_channel::unbounded();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&context, transport, &receiver))?;
        Ok(Self {
            orders,
            thread: Some(thread),
        })
    }

    /// A thread that has ended has reported it, and needs no commands.
    pub(crate) fn order(&self, order: SourceOrder) {
        drop(self.orders.send(order));
    }

    /// Ends the session at shutdown; join the returned handle to wait for its end.
    pub(crate) fn end(&mut self) -> Option<JoinHandle<()>> {
        self.order(SourceOrder::Close(CloseReason::Shutdown));
        self.thread.take()
    }
}

fn run(context: &SourceContext, mut transport: Box<dyn Transport>, orders: &Receiver<SourceOrder>) {
    let mut intake = Intake::new(None);
    // The command to feed follows the start at once, and waiting for it keeps the beginning of a file from being
    // discarded.
    let mut first = Some(orders.recv_timeout(POLL_INTERVAL));
    let mut is_stalled = false;
    let reason = loop {
        // `recv_timeout` yields the processor before it checks the time, and another thread then keeps it for
        // milliseconds.
        let order = first.take().unwrap_or_else(|| {
            orders.try_recv().map_err(|error| match error {
                TryRecvError::Empty => RecvTimeoutError::Timeout,
                TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
            })
        });
        match order {
            Ok(SourceOrder::Feed(writer)) => intake.feed(writer),
            Ok(SourceOrder::StandBy) => {
                intake.stand_by(&context.stream);
                drop(context.control.send(IoEvent::StoodBy(context.session)));
            }
            Ok(SourceOrder::Close(reason)) => break reason,
            Err(RecvTimeoutError::Disconnected) => break CloseReason::Shutdown,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let counters = &context.counters;
        let mut take = |message: &[u8]| intake.take(message, counters, Instant::now());
        if let Err(reason) = transport.receive(Instant::now(), &mut take) {
            break reason;
        }
        if transport.take_restart() {
            intake.restart();
        }
        let stalled = transport.is_stalled(Instant::now());
        if stalled != is_stalled {
            is_stalled = stalled;
            drop(context.control.send(IoEvent::Stalled(context.session, stalled)));
        }
        if let Some(format) = intake.take_format_change() {
            drop(context.control.send(IoEvent::Format(context.session, format)));
        }
        announce(context);
    };
    intake.stand_by(&context.stream);
    drop(context.control.send(IoEvent::Closed(ClosedSession {
        session: context.session,
        role: Role::Publisher,
        reason,
        totals: Totals {
            messages: context.counters.messages(),
            bytes: context.counters.bytes(),
            ..Totals::default()
        },
    })));
}

fn announce(context: &SourceContext) {
    context.stream.wake_viewers(|worker| {
        context.workers[worker].send(Message::Fanout(Arc::clone(&context.stream)));
    });
}
