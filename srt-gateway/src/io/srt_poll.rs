//! Watching sockets with libsrt's epoll: control's thread for its listeners and calls, and what a worker needs for its
//! sessions.
//!
//! Each worker waits on an epoll of its own (`mailbox.rs`), and one thread here waits for control, which sleeps on channels:
//! it touches no socket and hands each event on.

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

/// Events taken from libsrt at once; more come with the next wait.
pub(super) const EVENTS: usize = 1024;

/// The sockets that one thread watches, edge-triggered. Any thread adds and removes.
#[derive(Clone, Debug)]
pub(crate) struct Watch(Registry);

impl Watch {
    pub(super) fn of(epoll: &Epoll) -> Self {
        Self(epoll.registry().clone())
    }

    /// Watches `socket`. Data that are there already are reported as well.
    pub(crate) fn add(&self, socket: &impl AsSrtSocket, interest: Interest) -> srt_safe::Result<()> {
        self.0.add(socket, interest, Trigger::Edge)
    }

    /// Changes what a watched socket is watched for. What is ready already is reported again.
    pub(crate) fn modify(&self, socket: &impl AsSrtSocket, interest: Interest) -> srt_safe::Result<()> {
        self.0.modify(socket, interest, Trigger::Edge)
    }

    /// Ends the watch. An event on its way may still arrive. A socket that is closed needs none of it.
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
    /// Makes the epoll; [`Poller::start`] runs the thread.
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
                        // Control is told, and ends the gateway: one that sees no callers is worse than none.
                        drop(control.send(IoEvent::PollFailed(error)));
                        return;
                    }
                    pulse.beat();
                    for event in &events {
                        // A receiver that is gone means that the gateway is ending: `stop` follows.
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
