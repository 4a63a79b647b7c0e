//! A worker runs its sessions from one loop, and sleeps in one place, the wait for their events.
//!
//! libsrt wakes it for session events, its mailbox for messages, and the clock for due packets: it times its
//! publishers' packets itself, so that a due packet wakes one thread, the one that relays it.
//!
//! A session stays on one worker from its first to its last message. A publisher's worker writes the stream's ring and
//! sends one coalesced notice to each worker with viewers of it; a viewer's worker sends from the ring. No lock is held
//! across a call of libsrt, and nothing is allocated per message.

use std::{
    collections::HashMap,
    num::NonZeroU64,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::Sender;
use srt_safe::{CollectedSends, Event, Events, Interest, SocketId, SrtSocket};

use super::{
    CloseReason, ClosedSession, IoEvent, Message, SessionSetup, Task, Watch,
    due::DeliveryTimes,
    mailbox::{Mailbox, MailboxReceiver},
    outlet::SendOutcome,
    publisher::{IngestGate, NextDelivery, Publisher, ReceiveOutcome},
    srt_poll::EVENTS,
    viewer::{Flow, Received, Viewer},
};
use crate::{
    data::{Batch, Cursor, MESSAGE_MAX, ReadOutcome, Seq, StartAt, Stream, Writer},
    names::{Role, StreamName},
    telemetry::{LoopLag, Pulse},
};

/// How often time limits are checked.
const TICK: Duration = Duration::from_millis(250);

/// Messages handled before the loop checks the clock again.
const BURST: usize = 256;

/// Messages per read of a ring.
const BATCH: usize = 64;

/// Batches of a stream sent to its viewers before others get their turn.
const TURN: usize = 4;

/// How long messages are handled before the loop checks events and the clock again.
const ROUND: Duration = Duration::from_millis(20);

/// How long publishers that keep sending are received from during shutdown.
const PUBLISHER_DRAIN_TIME: Duration = Duration::from_millis(300);

/// How often libsrt's counters are sampled: they are lost with the connection, so the last sample provides its totals.
const SAMPLE: Duration = Duration::from_secs(1);

/// How often a disconnected publisher that libsrt times is polled for due packets: libsrt sends no event for them.
const DUE_POLL: Duration = Duration::from_millis(5);

/// How often a draining worker checks whether its viewers have received everything.
const DRAIN_POLL: Duration = Duration::from_millis(5);

/// Viewers of one stream on one worker.
#[derive(Debug)]
struct Group {
    stream: Arc<Stream>,
    viewers: Vec<Viewer>,
    /// The group has been served together up to here.
    position: Seq,
}

#[derive(Debug)]
pub(super) struct Worker {
    index: usize,
    post: MailboxReceiver,
    watch: Watch,
    peers: Box<[Mailbox]>,
    control: Sender<IoEvent>,
    publishers: HashMap<SocketId, Publisher>,
    groups: HashMap<StreamName, Group>,
    viewer_streams: HashMap<SocketId, StreamName>,
    /// When publishers have something to receive.
    due: DeliveryTimes,
    batch: Batch,
    /// For a viewer whose position differs from its group's, while `batch` is in use.
    straggler_batch: Batch,
    buffer: Box<[u8; MESSAGE_MAX]>,
    now: Instant,
    lag: Arc<LoopLag>,
}

impl Worker {
    pub(super) fn new(
        index: usize,
        post: MailboxReceiver,
        peers: Box<[Mailbox]>,
        control: Sender<IoEvent>,
        lag: Arc<LoopLag>,
    ) -> Self {
        Self {
            index,
            watch: Watch::of(&post.epoll),
            post,
            peers,
            control,
            publishers: HashMap::new(),
            groups: HashMap::new(),
            viewer_streams: HashMap::new(),
            due: DeliveryTimes::default(),
            batch: Batch::with_capacity(BATCH),
            straggler_batch: Batch::with_capacity(BATCH),
            buffer: Box::new([0; MESSAGE_MAX]),
            now: Instant::now(),
            lag,
        }
    }

    pub(super) fn run(mut self, pulse: &Pulse) {
        // Without this, Linux may end a timed wait up to 0.05 ms late.
        if let Err(error) = rustix::thread::set_current_timer_slack(NonZeroU64::new(1)) {
            tracing::debug!(%error, "cannot set a precise timer for the worker");
        }
        let (mut next_tick, mut next_sample) = (self.now + TICK, self.now + SAMPLE);
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let wake = self.due.next().map_or(next_tick, |due| due.min(next_tick));
            let timeout = wake.saturating_duration_since(Instant::now());
            if let Err(error) = self.post.wait(&mut events, timeout) {
                // Control ends the gateway: a relay that sees no events is worse than none.
                drop(self.control.send(IoEvent::PollFailed(error)));
                return;
            }
            pulse.beat();
            self.now = Instant::now();
            {
                // Everything sent in this round is passed to the system together, before the thread sleeps again.
                let _collected = CollectedSends::begin();
                // Messages sent in the meantime, above all by this worker to itself, are handled in the next round.
                for _ in 0..self.post.messages.len().min(BURST) {
                    match self.post.messages.try_recv() {
                        Ok(Message::Drain(deadline)) => return self.drain(deadline),
                        Ok(message) => self.handle(message),
                        Err(_) => break,
                    }
                    if self.now.elapsed() >= ROUND {
                        break;
                    }
                }
                for event in &events {
                    self.ready(event);
                }
                while let Some((at, id)) = self.due.pop(self.now) {
                    self.handle_due(at, id);
                }
            }
            if self.now >= next_tick {
                self.lag.note(self.now.duration_since(next_tick));
                next_tick = self.now + TICK;
                self.enforce_limits();
            }
            if self.now >= next_sample {
                next_sample = self.now + SAMPLE;
                self.sample();
            }
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Fanout(stream) => {
                stream.wake_received(self.index);
                self.fan_out(stream.name());
            }
            Message::CatchUp(socket) => self.catch_up(socket),
            Message::Receive(socket) => self.attend(socket),
            Message::Discard(socket) => self.discard(socket),
            Message::Start(setup, task) => self.start(*setup, task),
            Message::Feed(socket, stream, writer) => self.feed(socket, &stream, writer),
            Message::StandBy(socket) => self.stand_by(socket, Publisher::stand_by),
            Message::Pause(socket) => self.stand_by(socket, Publisher::pause),
            Message::Close(socket, reason) => self.close(socket, reason),
            Message::EndSources(answer) => {
                self.end_sources();
                drop(answer);
            }
            Message::Drain(_) | Message::Attach(_) | Message::Detach(..) => {}
        }
    }

    fn start(&mut self, setup: SessionSetup, task: Task) {
        let id = setup.socket.id();
        let is_viewer = matches!(task, Task::View(_));
        match task {
            Task::Publish(writer) => self.add_publisher(setup, Some(writer), IngestGate::Open),
            Task::StandBy => self.add_publisher(setup, None, IngestGate::Open),
            Task::TakeOver => self.add_publisher(setup, None, IngestGate::Waiting),
            Task::View(start_at) => self.add_viewer(setup, start_at),
        }
        // Before the first message is sent: a socket that becomes full then is watched for other events.
        let added = match self.socket(id) {
            Some(socket) => self.watch.add(socket, Interest::READABLE),
            None => Ok(()),
        };
        match added {
            Ok(()) if is_viewer => self.catch_up(id),
            // Data that arrived before the socket was watched raises no event.
            Ok(()) => self.attend(id),
            Err(error) => self.close(id, CloseReason::Failed(error)),
        }
    }

    fn add_publisher(&mut self, setup: SessionSetup, writer: Option<Writer>, gate: IngestGate) {
        let id = setup.socket.id();
        self.publishers
            .insert(id, Publisher::new(setup, writer, gate, self.now));
    }

    fn add_viewer(&mut self, setup: SessionSetup, start_at: StartAt) {
        let stream = Arc::clone(&setup.stream);
        let start = stream.ring().start_position(start_at);
        let group = self.groups.entry(stream.name().clone()).or_insert_with(|| Group {
            position: stream.ring().head(),
            stream: Arc::clone(&stream),
            viewers: Vec::new(),
        });
        self.viewer_streams
            .insert(setup.socket.id(), stream.name().clone());
        group
            .viewers
            .push(Viewer::new(setup, Cursor::new(start), self.now));
        stream.add_viewer(self.index);
    }

    fn feed(&mut self, id: SocketId, stream: &Stream, writer: Writer) {
        match self.publishers.get_mut(&id) {
            Some(publisher) => {
                publisher.feed(writer);
                // The event that announced the data has been consumed.
                self.receive(id);
                drop(self.control.send(IoEvent::Feeding(stream.name().clone())));
            }
            // It has closed meanwhile.
            None => {
                stream.release_source(writer);
                drop(self.control.send(IoEvent::FeedFailed(stream.name().clone())));
            }
        }
    }

    fn stand_by(&mut self, id: SocketId, release: fn(&mut Publisher)) {
        if let Some(publisher) = self.publishers.get_mut(&id) {
            release(publisher);
            drop(self.control.send(IoEvent::StoodBy(publisher.setup.session)));
        }
    }

    fn socket(&self, id: SocketId) -> Option<&SrtSocket> {
        match self.publishers.get(&id) {
            Some(publisher) => Some(&publisher.setup.socket),
            None => {
                let group = self.groups.get(self.viewer_streams.get(&id)?)?;
                group
                    .viewers
                    .iter()
                    .map(|viewer| &viewer.setup.socket)
                    .find(|socket| socket.id() == id)
            }
        }
    }

    fn ready(&mut self, event: Event) {
        let id = event.socket();
        if let Some(publisher) = self.publishers.get(&id) {
            // A disconnected publisher is still served if it has left data.
            if publisher.gate != IngestGate::Open && event.is_error() && !publisher.has_last_packets() {
                let reason = CloseReason::of_peer(&publisher.setup.socket);
                return self.close(id, reason);
            }
            return self.attend(id);
        }
        if event.is_error() {
            let reason = self
                .socket(id)
                .map_or(CloseReason::PeerGone, CloseReason::of_peer);
            self.close(id, reason);
            return;
        }
        let Some(group) = self
            .viewer_streams
            .get(&id)
            .and_then(|name| self.groups.get_mut(name))
        else {
            return;
        };
        let Some(viewer) = group.viewers.iter().find(|viewer| viewer.setup.socket.id() == id) else {
            return;
        };
        if event.is_readable() && viewer.discard_received(&mut self.buffer) == Received::More {
            self.peers[self.index].send(Message::Discard(id));
        }
        if event.is_writable() && viewer.flow == Flow::Blocked {
            match self.watch.modify(&viewer.setup.socket, Interest::READABLE) {
                Ok(()) => self.catch_up(id),
                Err(error) => self.close(id, CloseReason::Failed(error)),
            }
        }
    }

    /// Discards the rest of what a viewer sent.
    fn discard(&mut self, id: SocketId) {
        let group = self
            .viewer_streams
            .get(&id)
            .and_then(|name| self.groups.get(name));
        let viewer =
            group.and_then(|group| group.viewers.iter().find(|viewer| viewer.setup.socket.id() == id));
        if viewer.is_some_and(|viewer| viewer.discard_received(&mut self.buffer) == Received::More) {
            self.peers[self.index].send(Message::Discard(id));
        }
    }

    /// A publisher may have something: a packet that can be received, or one whose due time is known.
    fn attend(&mut self, id: SocketId) {
        let Some(publisher) = self.publishers.get_mut(&id) else {
            return;
        };
        match publisher.gate {
            IngestGate::Open => return self.receive(id),
            IngestGate::Notified => return,
            IngestGate::Waiting => {}
        }
        match publisher.next_delivery() {
            NextDelivery::Now => {
                publisher.gate = IngestGate::Notified;
                drop(self.control.send(IoEvent::HasData(publisher.setup.session)));
            }
            NextDelivery::In(wait) => self.call_at(Instant::now() + wait, id),
            NextDelivery::ByEvent => {}
        }
    }

    /// A publisher's turn: libsrt to ring, then notices to the workers with viewers.
    fn receive(&mut self, id: SocketId) {
        let Some(publisher) = self.publishers.get_mut(&id) else {
            return;
        };
        let turn = publisher.receive(&mut self.buffer, self.now);
        if let Some(format) = publisher.take_format_change() {
            drop(
                self.control
                    .send(IoEvent::Format(publisher.setup.session, format)),
            );
        }
        let stream = Arc::clone(&publisher.setup.stream);
        self.announce(&stream);
        match turn {
            ReceiveOutcome::Drained => self.await_next(id, None),
            ReceiveOutcome::HasMore => self.peers[self.index].send(Message::Receive(id)),
            ReceiveOutcome::NotDue => {
                if let Some(publisher) = self.publishers.get_mut(&id) {
                    publisher.leave();
                }
                self.await_next(id, Some(DUE_POLL));
            }
            ReceiveOutcome::Ended(reason) => self.close(id, reason),
        }
    }

    /// Schedules a publisher's next turn. `poll`: check again after this time, because libsrt sends no event.
    fn await_next(&mut self, id: SocketId, poll: Option<Duration>) {
        let Some(publisher) = self.publishers.get(&id) else {
            return;
        };
        match (publisher.next_delivery(), poll) {
            // It became due between the two calls.
            (NextDelivery::Now, None) => self.peers[self.index].send(Message::Receive(id)),
            // A peer that is gone may have put any time on its last packets.
            (NextDelivery::In(wait), poll) => {
                self.call_at(Instant::now() + poll.map_or(wait, |poll| wait.min(poll)), id);
            }
            (_, Some(poll)) => self.call_at(self.now + poll, id),
            (NextDelivery::ByEvent, None) => {}
        }
    }

    fn call_at(&mut self, at: Instant, id: SocketId) {
        let Some(publisher) = self.publishers.get_mut(&id) else {
            return;
        };
        if publisher.due.is_none_or(|due| at < due) {
            publisher.due = Some(at);
            self.due.add(at, id);
        }
    }

    fn handle_due(&mut self, at: Instant, id: SocketId) {
        let due = self.publishers.get_mut(&id).map(|publisher| &mut publisher.due);
        if due.is_some_and(|due| due.take_if(|due| *due == at).is_some()) {
            self.attend(id);
        }
    }

    fn announce(&mut self, stream: &Arc<Stream>) {
        let mut here = false;
        stream.wake_viewers(|worker| {
            if worker == self.index {
                here = true;
            } else {
                self.peers[worker].send(Message::Fanout(Arc::clone(stream)));
            }
        });
        if here {
            stream.wake_received(self.index);
            self.fan_out(stream.name());
        }
    }

    /// Sends new messages of the ring to this worker's viewers of the stream, as far as the turn allows.
    fn fan_out(&mut self, name: &StreamName) -> SendOutcome {
        let Some(group) = self.groups.get_mut(name) else {
            return SendOutcome::Head;
        };
        let ring = group.stream.ring();
        let mut unsettled = false;
        let mut reached = SendOutcome::Behind;
        for _ in 0..TURN {
            match ring.read_batch(group.position, &mut self.batch) {
                ReadOutcome::UpToDate => {
                    reached = SendOutcome::Head;
                    break;
                }
                // The whole group was lapped: each viewer continues by itself, and counts what it skips.
                ReadOutcome::Lapped { oldest } => group.position = ring.skip_target(oldest),
                ReadOutcome::Read { .. } => {
                    group.position = self.batch.end();
                    for viewer in group
                        .viewers
                        .iter_mut()
                        .filter(|viewer| viewer.flow == Flow::InStep)
                    {
                        if viewer.is_reached_by(&self.batch) {
                            viewer.send(&self.batch, self.now);
                        } else {
                            viewer.catch_up(&mut self.straggler_batch, self.now);
                        }
                        unsettled |= viewer.flow != Flow::InStep;
                    }
                }
            }
        }
        if reached == SendOutcome::Behind && group.stream.wake_again(self.index) {
            let again = Message::Fanout(Arc::clone(&group.stream));
            self.peers[self.index].send(again);
        }
        if unsettled {
            self.regroup_viewers(name);
        }
        reached
    }

    /// A lagging viewer's turn.
    fn catch_up(&mut self, id: SocketId) {
        let Some(name) = self.viewer_streams.get(&id).cloned() else {
            return;
        };
        let Some(group) = self.groups.get_mut(&name) else {
            return;
        };
        let Some(viewer) = group
            .viewers
            .iter_mut()
            .find(|viewer| viewer.setup.socket.id() == id)
        else {
            return;
        };
        viewer.flow = Flow::InStep;
        viewer.catch_up(&mut self.batch, self.now);
        if viewer.flow != Flow::InStep {
            self.regroup_viewers(&name);
        }
    }

    /// Handles what must wait until the group is no longer borrowed: viewers that need another turn, a watch or their
    /// end.
    fn regroup_viewers(&mut self, name: &StreamName) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let mut ended = Vec::new();
        for viewer in &mut group.viewers {
            let socket = &viewer.setup.socket;
            match viewer.flow {
                Flow::InStep | Flow::Queued | Flow::Blocked | Flow::Held => {}
                Flow::Behind => {
                    viewer.flow = Flow::Queued;
                    self.peers[self.index].send(Message::CatchUp(socket.id()));
                }
                Flow::Full => match self.watch.modify(socket, Interest::READABLE | Interest::WRITABLE) {
                    Ok(()) => viewer.flow = Flow::Blocked,
                    Err(error) => ended.push((socket.id(), CloseReason::Failed(error))),
                },
                Flow::Ended(reason) => ended.push((socket.id(), reason)),
            }
        }
        for (id, reason) in ended {
            self.close(id, reason);
        }
    }

    /// Closes a session's socket and informs control.
    fn close(&mut self, id: SocketId, reason: CloseReason) {
        let (mut setup, role) = if let Some(publisher) = self.publishers.remove(&id) {
            (publisher.release(), Role::Publisher)
        } else if let Some(viewer) = self.take_viewer(id) {
            (viewer.setup, Role::Viewer)
        } else {
            return;
        };
        self.watch.remove(&setup.socket);
        let totals = setup.totals();
        // Closing does not block: unsent data lingers inside libsrt, and a broken socket has none.
        drop(setup.socket);
        // Released before control is informed, so that whoever learns of the end finds the slots free.
        drop(setup.held);
        drop(self.control.send(IoEvent::Closed(ClosedSession {
            session: setup.session,
            role,
            reason,
            totals,
        })));
    }

    fn take_viewer(&mut self, id: SocketId) -> Option<Viewer> {
        let name = self.viewer_streams.remove(&id)?;
        let group = self.groups.get_mut(&name)?;
        let at = group
            .viewers
            .iter()
            .position(|viewer| viewer.setup.socket.id() == id)?;
        let viewer = group.viewers.swap_remove(at);
        viewer.setup.stream.remove_viewer(self.index);
        if group.viewers.is_empty() {
            self.groups.remove(&name);
        }
        Some(viewer)
    }

    /// Closes sessions that have exceeded a limit, and holds or releases viewers that fall behind.
    fn enforce_limits(&mut self) {
        let now = self.now;
        for viewer in self.groups.values_mut().flat_map(|group| &mut group.viewers) {
            viewer.watch_backlog(now);
        }
        let publishers = self
            .publishers
            .iter_mut()
            .filter_map(|(id, publisher)| Some((*id, publisher.broken_limit(now)?)));
        let viewers = self
            .groups
            .values()
            .flat_map(|group| &group.viewers)
            .filter_map(|viewer| Some((viewer.setup.socket.id(), viewer.broken_limit(now)?)));
        let over: Vec<_> = publishers.chain(viewers).collect();
        for (id, reason) in over {
            self.close(id, reason);
        }
    }

    /// Samples libsrt's counters of all sessions, and adjusts the retransmission limits.
    fn sample(&mut self) {
        let publishers = self.publishers.values_mut().map(|publisher| &mut publisher.setup);
        for setup in publishers {
            setup.sample();
        }
        let mut over = Vec::new();
        for viewer in self.groups.values_mut().flat_map(|group| &mut group.viewers) {
            if let Some(reason) = viewer.second(self.now) {
                over.push((viewer.setup.socket.id(), reason));
            }
        }
        for (id, reason) in over {
            self.close(id, reason);
        }
    }

    fn end_sources(&mut self) {
        let ids: Vec<_> = self.publishers.keys().copied().collect();
        let end = Instant::now() + PUBLISHER_DRAIN_TIME;
        for id in ids {
            while let Some(publisher) = self.publishers.get_mut(&id) {
                let turn = publisher.receive(&mut self.buffer, self.now);
                let stream = Arc::clone(&publisher.setup.stream);
                self.announce(&stream);
                if !matches!(turn, ReceiveOutcome::HasMore) || Instant::now() >= end {
                    break;
                }
            }
            self.close(id, CloseReason::Shutdown);
        }
    }

    /// Sends what the rings hold, waits until the viewers have received it, and closes everything.
    fn drain(mut self, deadline: Instant) {
        let viewers = self.groups.values().flat_map(|group| &group.viewers);
        let latencies = viewers
            .filter_map(|viewer| viewer.setup.socket.stats().ok())
            .map(|stats| stats.link.send_latency);
        // Received data waits at the peer until it is due, and many receivers discard it when the connection closes.
        let hold = latencies.max().unwrap_or_default();
        let mut last_unsent = Instant::now();
        loop {
            self.now = Instant::now();
            let names: Vec<_> = self.groups.keys().cloned().collect();
            let mut reached = SendOutcome::Head;
            for name in &names {
                if self.fan_out(name) == SendOutcome::Behind {
                    reached = SendOutcome::Behind;
                }
            }
            for id in self.viewer_streams.keys().copied().collect::<Vec<_>>() {
                self.catch_up(id);
            }
            let unsent = |viewer: &Viewer| {
                viewer.flow != Flow::InStep
                    || viewer
                        .setup
                        .socket
                        .unsent()
                        .is_ok_and(|unsent| unsent.packets > 0)
            };
            if self.groups.values().flat_map(|group| &group.viewers).any(unsent) {
                last_unsent = self.now;
            }
            if reached == SendOutcome::Behind && self.now < deadline {
                continue;
            }
            let over = self.viewer_streams.is_empty() || self.now.duration_since(last_unsent) > hold;
            if over || self.now >= deadline {
                break;
            }
            // No event reports that libsrt's send buffers are empty.
            thread::sleep(DRAIN_POLL);
        }
        for id in self.viewer_streams.keys().copied().collect::<Vec<_>>() {
            self.close(id, CloseReason::Shutdown);
        }
    }
}

#[cfg(test)]
mod tests {
    use srt_safe::Epoll;

    use super::*;
    use crate::names::SessionId;

    #[test]
    fn a_stream_that_is_behind_gives_way_to_others_after_its_turn() {
        let (mailbox, post) = Mailbox::for_waiter_of(Epoll::new().unwrap());
        let (control, _events) = crossbeam_channel::unbounded();
        let mut worker = Worker::new(0, post, [mailbox].into(), control, Arc::default());
        let name = StreamName::new("a");
        let stream = Stream::new(name.clone(), 1 << 20, 1);
        let mut writer = stream.claim_source(SessionId(1)).unwrap();
        let position = stream.ring().head();
        for _ in 0..=TURN * BATCH {
            writer.push(&[0x47; 188]).unwrap();
        }
        let group = Group {
            stream: Arc::clone(&stream),
            viewers: Vec::new(),
            position,
        };
        worker.groups.insert(name.clone(), group);
        assert_eq!(worker.fan_out(&name), SendOutcome::Behind);
        // The worker returns to the rest after the messages that others have sent in the meantime.
        let Ok(Message::Fanout(again)) = worker.post.messages.try_recv() else {
            panic!("no notice to itself");
        };
        again.wake_received(0);
        assert_eq!(worker.fan_out(&name), SendOutcome::Head);
        assert!(worker.post.messages.is_empty());
    }
}
