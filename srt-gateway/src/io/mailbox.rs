//! A worker's mailbox: a queue, and a wake-up for a worker that sleeps in libsrt's wait.
//!
//! A busy worker checks its queue by itself, so sending to it needs no call of libsrt.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Relaxed, SeqCst},
            fence,
        },
    },
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender};
use srt_safe::{Epoll, Events, Waker};

use super::Message;

/// The sending side of the mailbox of a worker or an outlet thread.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox {
    sender: Sender<Message>,
    /// None: the thread sleeps on the queue itself.
    signal: Option<Arc<WakeSignal>>,
}

#[derive(Debug)]
struct WakeSignal {
    /// Set before the worker checks its queue for the last time and waits.
    asleep: AtomicBool,
    waker: Waker,
}

impl Mailbox {
    /// A mailbox for a thread that sleeps on the queue.
    pub(super) fn plain() -> (Self, Receiver<Message>) {
        let (sender, receiver) = crossbeam_channel::unbounded();
        (Self { sender, signal: None }, receiver)
    }

    /// A mailbox for a thread that sleeps in `epoll`'s wait.
    pub(super) fn for_waiter_of(epoll: Epoll) -> (Self, MailboxReceiver) {
        let (sender, messages) = crossbeam_channel::unbounded();
        let signal = Arc::new(WakeSignal {
            asleep: AtomicBool::new(false),
            waker: epoll.waker(),
        });
        let mailbox = Self {
            sender,
            signal: Some(Arc::clone(&signal)),
        };
        let post = MailboxReceiver {
            messages,
            signal,
            epoll,
        };
        (mailbox, post)
    }

    /// A thread ends only after [`Message::Drain`], so messages that come later can be dropped.
    pub(crate) fn send(&self, message: Message) {
        drop(self.sender.send(message));
        let Some(signal) = &self.signal else {
            return;
        };
        // Pairs with the fence in `wait`: either the worker sees the message, or the sender sees the worker asleep.
        fence(SeqCst);
        // The load spares a write to a shared cache line while the worker is busy; the swap lets only one sender wake it.
        if signal.asleep.load(Relaxed) && signal.asleep.swap(false, Relaxed) {
            signal.waker.wake();
        }
    }
}

/// The receiving side, with the epoll of the worker's sessions.
#[derive(Debug)]
pub(super) struct MailboxReceiver {
    pub(super) messages: Receiver<Message>,
    pub(super) epoll: Epoll,
    signal: Arc<WakeSignal>,
}

impl MailboxReceiver {
    /// Waits for session events, a message, or `timeout`; returns at once if there is a message.
    pub(super) fn wait(&mut self, events: &mut Events, timeout: Duration) -> srt_safe::Result<()> {
        // In this order: the flag, the fence, the queue. See `send`.
        self.signal.asleep.store(true, Relaxed);
        fence(SeqCst);
        let timeout = match self.messages.is_empty() {
            true => timeout,
            false => Duration::ZERO,
        };
        let waited = self.epoll.wait(events, Some(timeout));
        self.signal.asleep.store(false, Relaxed);
        waited
    }
}

#[cfg(test)]
mod tests {
    use std::{
        thread,
        time::{Duration, Instant},
    };

    use srt_safe::{Epoll, Events};

    use super::{Mailbox, Message};
    use crate::io::CloseReason;

    fn letter() -> Message {
        Message::Detach(crate::names::SessionId(1), CloseReason::Kicked)
    }

    #[test]
    fn message_ends_a_wait_that_is_on_and_one_that_begins() {
        let (mailbox, mut post) = Mailbox::for_waiter_of(Epoll::new().unwrap());
        let mut events = Events::with_capacity(1);
        let limit = Duration::from_secs(10);
        for _ in 0..2000 {
            let begin = Instant::now();
            let mailbox = mailbox.clone();
            let sender = thread::spawn(move || mailbox.send(letter()));
            while post.messages.try_recv().is_err() {
                post.wait(&mut events, limit).unwrap();
            }
            assert!(begin.elapsed() < limit, "a message was waited for to the end");
            sender.join().unwrap();
        }
    }
}
