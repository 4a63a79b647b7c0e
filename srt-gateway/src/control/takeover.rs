//! `duplicate_publisher`: what happens to publishers of a stream that already has a source, either a publisher or an
//! input.
//!
//! Runs on control's thread. A publisher that takes over is connected first, and feeds only once it has data. The
//! previous source feeds until then, so viewers see a switch without a gap, and a publisher that connects and never
//! sends displaces no publisher. A source that has released the writer leaves its packets in libsrt until the next
//! publisher feeds. If that publisher has left, the source continues without a gap.
//!
//! ```text
//!   takeover            Waiting ──has data──▶ the source pauses ──▶ Feeding; the paused source is closed
//!                                               └──the new publisher has left──▶ the source feeds again
//!   takeover_if_silent  the same; refused with 1409 if the source is not silent
//!   any                 a source whose peer has left delivers its last packets first; a new publisher waits with its data
//!   standby             Queued, received data is discarded ──the source ends, and it is the first in the queue──▶ Feeding
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

/// Publishers that wait to become the source of their stream.
#[derive(Debug, Default)]
pub(super) struct PublisherQueue {
    /// Publishers on standby, in order of arrival.
    standby: HashMap<StreamName, VecDeque<SessionId>>,
    /// Publishers that have data and wait until the source has released the writer.
    taking_over: HashMap<StreamName, SessionId>,
    /// Sources that have let go. They keep what they receive until the next publisher feeds the stream, and feed it again if
    /// that one has left before it could.
    paused: HashMap<StreamName, SessionId>,
}

impl PublisherQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.standby.is_empty() && self.taking_over.is_empty() && self.paused.is_empty()
    }

    fn remove(&mut self, session: SessionId) {
        self.taking_over.retain(|_, waiting| *waiting != session);
        self.paused.retain(|_, source| *source != session);
        self.standby.retain(|_, queue| {
            queue.retain(|waiting| *waiting != session);
            !queue.is_empty()
        });
    }

    /// The next publisher, if any.
    fn next(&self, name: &StreamName) -> Option<SessionId> {
        let standby = || self.standby.get(name).and_then(VecDeque::front);
        self.taking_over.get(name).or_else(standby).copied()
    }
}

impl Control {
    /// The task of a new publisher; None if it must be closed.
    pub(super) fn task_for_publisher(&mut self, session: SessionId, stream: &Arc<Stream>) -> Option<Task> {
        // A waiting publisher must not be overtaken by one that arrives at the right moment.
        if self.publisher_queue.next(stream.name()).is_none()
            && let Some(writer) = stream.claim_source(session)
        {
            return Some(Task::Publish(writer));
        }
        match self.registry.policy(stream.name()).duplicate_publisher {
            // It feeds once the last packets of the previous publisher have been delivered.
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

    /// A publisher that may take over has received data.
    pub(super) fn publisher_has_data(&mut self, session: SessionId, now: Instant) {
        let Some(waiting) = self.registry.session(session) else {
            return;
        };
        let (name, socket, worker) = (waiting.stream.clone(), waiting.socket, waiting.worker);
        let stream = self.registry.stream(&name);
        let policy = self.registry.policy(&name);
        let Some(source) = stream.source() else {
            self.publisher_queue.taking_over.insert(name.clone(), session);
            self.start_next_publisher(&name, now);
            return;
        };
        if stream.is_source_leaving() {
            // The source is ending by itself; the next publisher starts then.
            if let Some(before) = self.publisher_queue.taking_over.insert(name, session) {
                self.close_publisher(before);
            }
            return;
        }
        // The source may have recovered in the meantime, or another publisher may have been faster.
        if policy.duplicate_publisher != DuplicatePublisher::Takeover && !policy.admits_second(&stream) {
            return self
                .pool
                .send(worker, Message::Close(socket, CloseReason::TakenOver));
        }
        // If several take over, the last one wins.
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
            self.pool.send(session.worker, Message::Pause(session.socket));
        }
    }

    /// `session` has released the writer: a publisher that takes over receives it before any input does.
    pub(super) fn source_released(&mut self, session: SessionId, now: Instant) {
        let name = match self.registry.session(session) {
            Some(session) => session.stream.clone(),
            // An input that is not an SRT socket.
            None => match self.endpoints.sessions.get(&session) {
                Some(id) => self.endpoints.all[id].stream.clone(),
                None => return,
            },
        };
        let is_succeeded =
            self.publisher_queue.taking_over.contains_key(&name) && self.start_next_publisher(&name, now);
        // `select_input` resumes inputs.
        if self.endpoints.sessions.contains_key(&session) {
            return;
        }
        if is_succeeded {
            if let Some(before) = self.publisher_queue.paused.insert(name, session) {
                self.close_publisher(before);
            }
        } else if !self.restore_source(session, &name, now) {
            self.close_publisher(session);
        }
    }

    /// A publisher has taken over: closes the source that it replaces.
    pub(super) fn publisher_feeds(&mut self, name: &StreamName) {
        if let Some(before) = self.publisher_queue.paused.remove(name) {
            self.close_publisher(before);
        }
    }

    /// A publisher that was to take over had left before it could.
    pub(super) fn feed_failed(&mut self, name: &StreamName, now: Instant) {
        if !self.start_next_publisher(name, now)
            && let Some(source) = self.publisher_queue.paused.remove(name)
            && !self.restore_source(source, name, now)
        {
            self.close_publisher(source);
        }
    }

    /// Returns the writer to a source that released it for a publisher that has left. Returns false if another session
    /// already has it.
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

    /// Hands the writer to the next publisher, if it is free. Returns whether a publisher got it.
    pub(super) fn start_next_publisher(&mut self, name: &StreamName, now: Instant) -> bool {
        let Some(next) = self.publisher_queue.next(name) else {
            return false;
        };
        let Some(waiting) = self.registry.session(next) else {
            self.publisher_queue.remove(next);
            return false;
        };
        let (socket, worker) = (waiting.socket, waiting.worker);
        let waited = now.duration_since(waiting.opened);
        let stream = self.registry.stream(name);
        let Some(writer) = stream.claim_source(next) else {
            return false;
        };
        self.publisher_queue.remove(next);
        info!(session = %next, stream = %name, waited_ms = waited.as_millis(), "publisher feeds the stream");
        self.pool.send(worker, Message::Feed(socket, stream, writer));
        self.note_source(name, now);
        true
    }

    /// Removes an ended session from the queue.
    pub(super) fn dequeue_publisher(&mut self, session: SessionId) {
        self.publisher_queue.remove(session);
    }

    /// Retries what could not be handed over: a writer may have been in a message to a session that had ended.
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
