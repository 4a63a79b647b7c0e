//! `duplicate_publisher`: what becomes of publishers of a stream that has a source, be that a publisher or an input.
//!
//! Part of control's thread. Who takes over is connected first and does not feed before it has data: the one before it goes
//! on feeding until then, so that viewers see a switch and no gap, and one that connects and never sends takes nothing.
//!
//! ```text
//!   takeover            Waiting ──has data──▶ the source is told to let go ──it has──▶ Feeding, the one before it is closed
//!                                               └──the heir has gone meanwhile──▶ the source feeds again
//!   takeover_if_silent  the same; closed (1409 at the door) when the source is not silent
//!   any         a source whose peer has gone delivers its last packets first; who comes meanwhile waits with its data
//!   standby             Queued, what it sends is thrown away ──the source ends, and it is first──▶ Feeding
//! ```

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use tracing::info;

use super::{Control, endpoints::ActiveInput, registry::SessionOrigin};
use crate::{
    config::DuplicatePublisher,
    data::Stream,
    io::{CloseReason, Message, Task},
    names::{SessionId, StreamName},
};

/// Publishers that are to feed a stream after its source.
#[derive(Debug, Default)]
pub(super) struct PublisherQueue {
    /// Who waits for the source to end, the longest first.
    standby: HashMap<StreamName, VecDeque<SessionId>>,
    /// Who has data and waits for the source to let go.
    taking_over: HashMap<StreamName, SessionId>,
}

impl PublisherQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.standby.is_empty() && self.taking_over.is_empty()
    }

    fn remove(&mut self, session: SessionId) {
        self.taking_over.retain(|_, waiting| *waiting != session);
        self.standby.retain(|_, queue| {
            queue.retain(|waiting| *waiting != session);
            !queue.is_empty()
        });
    }

    /// Who comes next, if anybody.
    fn next(&self, name: &StreamName) -> Option<SessionId> {
        let standby = || self.standby.get(name).and_then(VecDeque::front);
        self.taking_over.get(name).or_else(standby).copied()
    }
}

impl Control {
    /// What a publisher that has just come is there for; None: it must go.
    pub(super) fn task_for_publisher(&mut self, session: SessionId, stream: &Arc<Stream>) -> Option<Task> {
        // Who has waited is not overtaken by somebody who comes at the right moment.
        if self.publisher_queue.next(stream.name()).is_none()
            && let Some(writer) = stream.claim_source(session)
        {
            return Some(Task::Publish(writer));
        }
        match self.registry.policy(stream.name()).duplicate_publisher {
            // It feeds when the last packets of the one that has gone have been delivered.
            _ if stream.is_source_leaving() => Some(Task::TakeOver),
            DuplicatePublisher::Reject => None,
            DuplicatePublisher::Takeover | DuplicatePublisher::TakeoverIfSilent => Some(Task::TakeOver),
            DuplicatePublisher::Standby => {
                let queue = self
                    .publisher_queue
                    .standby
                    .entry(stream.name().clone())
                    .or_default();
                queue.push_back(session);
                Some(Task::StandBy)
            }
        }
    }

    /// A publisher that may take over has data.
    pub(super) fn publisher_has_data(&mut self, session: SessionId, now: Instant) {
        let Some(waiting) = self.registry.session(session) else {
            return;
        };
        let (name, socket, worker) = (waiting.stream.clone(), waiting.socket, waiting.worker);
        let stream = self.registry.stream(&name);
        let policy = self.registry.policy(&name);
        let Some(source) = stream.source() else {
            self.publisher_queue.taking_over.insert(name.clone(), session);
            return self.start_next_publisher(&name, now);
        };
        if stream.is_source_leaving() {
            // It ends by itself, and the place is passed on then.
            if let Some(before) = self.publisher_queue.taking_over.insert(name, session) {
                self.close_publisher(before);
            }
            return;
        }
        // The source may have come back meanwhile, or another one may have been faster.
        if policy.duplicate_publisher != DuplicatePublisher::Takeover && !policy.admits_second(&stream) {
            return self
                .pool
                .send(worker, Message::Close(socket, CloseReason::TakenOver));
        }
        // Of several the last one wins, here as later.
        if let Some(before) = self.publisher_queue.taking_over.insert(name.clone(), session) {
            self.close_publisher(before);
        }
        self.request_release(&name, source);
    }

    fn request_release(&mut self, name: &StreamName, source: SessionId) {
        if let Some(id) = self.endpoints.sessions.get(&source) {
            if let Some(live) = self.endpoints.all.get(id).and_then(|state| state.live.as_ref()) {
                live.stand_by(&self.pool);
            }
            if let Some(inputs) = self.endpoints.inputs.get_mut(name) {
                inputs.active = ActiveInput::Leaving(source);
            }
        } else if let Some(session) = self.registry.session(source) {
            self.pool.send(session.worker, Message::StandBy(session.socket));
        }
    }

    /// `session` has let go of the ring: who takes over gets it, before any input does.
    pub(super) fn source_released(&mut self, session: SessionId, now: Instant) {
        let name = match self.registry.session(session) {
            Some(session) => session.stream.clone(),
            // An input that is no SRT socket.
            None => match self.endpoints.sessions.get(&session) {
                Some(id) => self.endpoints.all[id].stream.clone(),
                None => return,
            },
        };
        if self.publisher_queue.taking_over.contains_key(&name) {
            self.start_next_publisher(&name, now);
        }
        // An input is taken up again when its stream's inputs are settled.
        if self.endpoints.sessions.contains_key(&session) {
            return;
        }
        if !self.restore_source(session, &name, now) {
            self.close_publisher(session);
        }
    }

    /// Gives the place back to a source that has let go for an heir that is gone. False: somebody has it by now.
    fn restore_source(&mut self, session: SessionId, name: &StreamName, now: Instant) -> bool {
        let Some(open) = self.registry.session(session) else {
            return false;
        };
        let (socket, worker) = (open.socket, open.worker);
        let stream = self.registry.stream(name);
        let Some(writer) = stream.claim_source(session) else {
            return false;
        };
        info!(%session, stream = %name, "the publisher that was to take over has left: this one stays the source of the stream");
        self.pool.send(worker, Message::Feed(socket, stream, writer));
        self.note_source(name, now);
        true
    }

    fn close_publisher(&self, session: SessionId) {
        if let Some(session) = self.registry.session(session)
            && matches!(session.via, SessionOrigin::Port(_))
        {
            let close = Message::Close(session.socket, CloseReason::TakenOver);
            self.pool.send(session.worker, close);
        }
    }

    /// Gives the place of the source to who comes next, if it is free.
    pub(super) fn start_next_publisher(&mut self, name: &StreamName, now: Instant) {
        let Some(next) = self.publisher_queue.next(name) else {
            return;
        };
        let Some(waiting) = self.registry.session(next) else {
            return self.publisher_queue.remove(next);
        };
        let (socket, worker) = (waiting.socket, waiting.worker);
        let waited = now.duration_since(waiting.opened);
        let stream = self.registry.stream(name);
        let Some(writer) = stream.claim_source(next) else {
            return;
        };
        self.publisher_queue.remove(next);
        info!(session = %next, stream = %name, waited_ms = waited.as_millis(), "publisher feeds the stream");
        self.pool.send(worker, Message::Feed(socket, stream, writer));
        self.note_source(name, now);
    }

    /// A session is over, that of an heir or not.
    pub(super) fn dequeue_publisher(&mut self, session: SessionId) {
        self.publisher_queue.remove(session);
    }

    /// Tries again what could not be passed on: a writer may have been on its way to somebody who had gone.
    pub(super) fn tick_publisher_queue(&mut self, now: Instant) {
        let publisher_queue = &self.publisher_queue;
        let names: Vec<_> = publisher_queue
            .standby
            .keys()
            .chain(publisher_queue.taking_over.keys())
            .cloned()
            .collect();
        for name in names {
            self.start_next_publisher(&name, now);
        }
    }
}
