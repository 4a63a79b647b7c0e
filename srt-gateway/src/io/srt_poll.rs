//! The one thread that waits on libsrt's epoll, and the table that tells it whose event is whose.
//!
//! It touches no socket: it hands each event to the worker (or to control, for listeners) and waits again.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use crossbeam_channel::Sender;
use srt_safe::{AsSrtSocket, Epoll, Events, Interest, Registry, SocketId, Trigger, Waker};

use super::{IoEvent, Message};

/// Events taken from libsrt at once; more come with the next wait.
const EVENTS: usize = 1024;

/// Who serves a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Control,
    Worker(usize),
}

/// The sockets under watch. Any thread adds and removes; the epoll thread looks up.
#[derive(Clone, Debug)]
pub(crate) struct Routes {
    registry: Registry,
    table: Arc<RwLock<HashMap<SocketId, Route>>>,
}

impl Routes {
    /// Watches `socket` (edge-triggered) for `route`. Data that are there already are reported as well.
    pub(crate) fn add(
        &self,
        socket: &impl AsSrtSocket,
        interest: Interest,
        route: Route,
    ) -> srt_safe::Result<()> {
        let id = socket.socket_id();
        // The route first: the event may come before `add` returns.
        self.table
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, route);
        self.registry
            .add(socket, interest, Trigger::Edge)
            .inspect_err(|_| self.forget(id))
    }

    /// Changes what a watched socket is watched for. What is ready already is reported again.
    pub(crate) fn modify(&self, socket: &impl AsSrtSocket, interest: Interest) -> srt_safe::Result<()> {
        self.registry.modify(socket, interest, Trigger::Edge)
    }

    /// Ends the watch. An event on its way may still arrive.
    pub(crate) fn remove(&self, socket: &impl AsSrtSocket) {
        self.forget(socket.socket_id());
        if let Err(error) = self.registry.remove(socket) {
            tracing::debug!(%error, "removing a socket from the epoll");
        }
    }

    /// Forgets a socket that is closed, which libsrt has taken out of the epoll by itself.
    pub(crate) fn forget(&self, id: SocketId) {
        self.table
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
    }
}

/// The epoll thread.
#[derive(Debug)]
pub(crate) struct Poller {
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Poller {
    /// Makes the epoll; [`Poller::start`] runs the thread, once there are workers to send to.
    pub(crate) fn prepare() -> srt_safe::Result<(Epoll, Routes)> {
        let epoll = Epoll::new()?;
        let routes = Routes {
            registry: epoll.registry().clone(),
            table: Arc::default(),
        };
        Ok((epoll, routes))
    }

    pub(crate) fn start(
        mut epoll: Epoll,
        waker: Waker,
        routes: Routes,
        workers: Box<[Sender<Message>]>,
        control: Sender<IoEvent>,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("srt-poll".to_owned())
            .spawn(move || {
                let mut events = Events::with_capacity(EVENTS);
                while !stopped.load(Relaxed) {
                    if let Err(error) = epoll.wait(&mut events, None) {
                        // Control is told, and ends the gateway: a relay that sees no events is worse than none.
                        drop(control.send(IoEvent::PollFailed(error)));
                        return;
                    }
                    let table = routes.table.read().unwrap_or_else(PoisonError::into_inner);
                    for event in events.iter() {
                        // A receiver that is gone means that the gateway is ending: `stop` follows.
                        match table.get(&event.socket()) {
                            Some(Route::Worker(worker)) => drop(workers[*worker].send(Message::Ready(event))),
                            Some(Route::Control) => drop(control.send(IoEvent::Ready(event.socket()))),
                            None => {}
                        }
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
