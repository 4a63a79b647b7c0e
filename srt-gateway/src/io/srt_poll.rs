//! Watches sockets with libsrt's epoll: control's listeners and calls, and a worker's sessions.
//!
//! Each worker waits on its own epoll (`mailbox.rs`). One thread here waits for control, which sleeps on channels; it
//! forwards each event and touches no socket.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use crossbeam_channel::Sender;
use srt_safe::{AsSrtSocket, Epoll, Events, Interest, Registry, Trigger, Waker};

use super::IoEvent;
use crate::telemetry::Pulse;

/// Events per wait; the rest come with the next wait.
pub(super) const EVENTS: usize = 1024;

/// The sockets that one thread watches, edge-triggered. Any thread may add and remove.
#[derive(Clone, Debug)]
pub(crate) struct Watch(Registry);

impl Watch {
    pub(super) fn of(epoll: &Epoll) -> Self {
        Self(epoll.registry().clone())
    }

    /// Watches `socket`. Data that is already there is reported as well.
    pub(crate) fn add(&self, socket: &impl AsSrtSocket, interest: Interest) -> srt_safe::Result<()> {
        self.0.add(socket, interest, Trigger::Edge)
    }

    /// Changes the events of a watched socket. Events that are already pending are reported again.
    pub(crate) fn modify(&self, socket: &impl AsSrtSocket, interest: Interest) -> srt_safe::Result<()> {
        self.0.modify(socket, interest, Trigger::Edge)
    }

    /// Stops watching. An event that is under way may still arrive. Closing a socket makes this unnecessary.
    pub(crate) fn remove(&self, socket: &impl AsSrtSocket) {
        if let Err(error) = self.0.remove(socket) {
            tracing::debug!(%error, "removing a socket from the epoll");
        }
    }
}

/// The thread that waits for control.
#[derive(Debug)]
pub(crate) struct Poller {
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Poller {
    /// Creates the epoll; [`Poller::start`] runs the thread.
    pub(crate) fn prepare() -> srt_safe::Result<(Epoll, Watch)> {
        let epoll = Epoll::new()?;
        let watch = Watch::of(&epoll);
        Ok((epoll, watch))
    }

    pub(crate) fn start(mut epoll: Epoll, control: Sender<IoEvent>, pulse: Pulse) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, waker) = (Arc::clone(&stop), epoll.waker());
        let thread = thread::Builder::new()
            .name("srt-poll".to_owned())
            .spawn(move || {
                let mut events = Events::with_capacity(EVENTS);
                while !stopped.load(Relaxed) {
                    pulse.rest();
                    if let Err(error) = epoll.wait(&mut events, None) {
                        // Control ends the gateway: one that sees no callers is worse than none.
                        drop(control.send(IoEvent::PollFailed(error)));
                        return;
                    }
                    pulse.beat();
                    for event in &events {
                        // If the receiver is gone, the gateway is shutting down, and `stop` follows.
                        drop(control.send(IoEvent::Ready(event.socket())));
                    }
                }
            })?;
        Ok(Self {
            stop,
            waker,
            thread: Some(thread),
        })
    }

    /// Ends the thread and waits for it.
    pub(crate) fn stop(&mut self) {
        // Before the wake-up: the thread reads the flag after each wait.
        self.stop.store(true, Relaxed);
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.stop();
    }
}
