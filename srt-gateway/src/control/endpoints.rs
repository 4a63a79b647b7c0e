//! The inputs and outputs of all streams: the state of each, and its next step.
//!
//! Owned by control's thread. This module holds plain state and the decisions about it; `dial` makes the calls, and
//! `inputs` chooses the input that feeds a stream. Each endpoint has its own [`Link`], so one that fails affects no
//! other.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use crossbeam_channel::Sender;
use srt_safe::{Connecting, SocketId, SrtGroup, SrtListener};

use super::{
    bonding::Links,
    failover::Failover,
    failures::Failures,
    link::{Link, LinkState},
};
use crate::{
    access::{Gate, Identity},
    config::{self, Endpoint, SrtMode, Target},
    data::{HeldSlots, Stream, Writer},
    io::{
        CallPorts, CloseReason, EndpointId, IoEvent, Message, OutletKind, Pool, Resolver, Source, SourceOrder,
    },
    names::{Role, SessionId, StreamName},
    telemetry::SessionCounters,
};

/// On-demand inputs stay connected for this long after the last viewer has left, because viewers who change channels
/// often come back.
const GRACE: Duration = Duration::from_secs(10);

/// An input that has received nothing for this long is silent.
pub(super) const SILENT: Duration = Duration::from_secs(2);

/// All inputs and outputs.
#[derive(Debug)]
pub(crate) struct Endpoints {
    pub(super) all: BTreeMap<EndpointId, EndpointRuntime>,
    pub(super) inputs: HashMap<StreamName, Inputs>,
    pub(super) sessions: HashMap<SessionId, EndpointId>,
    /// Attempts and listeners under watch.
    pub(super) sockets: HashMap<SocketId, EndpointId>,
    pub(super) ports: CallPorts,
    pub(super) resolver: Resolver,
    pub(super) events: Sender<IoEvent>,
    pub(super) identity: Identity,
    /// The last configured table of each stream that has inputs or outputs.
    tables: HashMap<StreamName, config::Stream>,
    /// Outputs that publishers brought. They exist as long as their publisher's session.
    brought: BTreeMap<SessionId, (StreamName, Vec<Endpoint>)>,
    status: Arc<ArcSwap<Vec<EndpointView>>>,
    last: u32,
}

/// One input or output.
#[derive(Debug)]
pub(super) struct EndpointRuntime {
    pub(super) stream: StreamName,
    /// Inputs publish, outputs view.
    pub(super) role: Role,
    pub(super) endpoint: Endpoint,
    pub(super) link: Link,
    pub(super) attempt: Option<Attempt>,
    pub(super) live: Option<LiveConnection>,
    /// The links of a bonded connection that is open or connecting.
    pub(super) links: Option<Links>,
    pub(super) failures: Failures,
    /// The streamid of the last call, with passwords masked.
    pub(super) streamid: Option<String>,
    /// The file system does not respond.
    pub(super) is_stalled: bool,
    pub(super) membership: Membership,
}

impl EndpointRuntime {
    /// Whether the endpoint calls its peer. Others listen, or need no peer.
    pub(super) fn calls(&self) -> bool {
        matches!(&self.endpoint.target, Target::Srt(srt) if srt.mode != SrtMode::Listener)
    }
}

/// Whether an endpoint is in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    Configured,
    /// No longer: the endpoint is removed when its connection has ended.
    Retired,
}

/// A connection that is being established.
#[derive(Debug)]
pub(super) enum Attempt {
    /// The host name is being resolved.
    Resolving,
    /// The file is being opened, since this time.
    Opening(Instant),
    /// The peer is being called.
    Calling(Connecting, SessionId),
    /// The peer is being called over several links.
    Bonding(SrtGroup, SessionId),
    /// The endpoint listens for its peer. The listener stays open while the peer is connected.
    Listening(PeerListener),
}

/// The listener of an input or output.
#[derive(Debug)]
pub(super) struct PeerListener {
    pub(super) listener: SrtListener,
    pub(super) gate: Arc<Gate>,
    /// The slot of the one peer, held from the start of its session until control has set the endpoint back to
    /// listening.
    pub(super) held: HeldSlots,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct LiveConnection {
    pub(super) session: SessionId,
    pub(super) stream: Arc<Stream>,
    pub(super) driver: Driver,
    pub(super) counters: Arc<SessionCounters>,
    /// The message count at the last update.
    pub(super) seen: u64,
    /// When that count last changed. None: nothing has arrived yet on a socket that needs no peer to be open.
    pub(super) last_data: Option<Instant>,
    /// When the first message was received or sent.
    pub(super) first_data: Option<Instant>,
    pub(super) opened: Instant,
    pub(super) is_silent: bool,
    /// The endpoint keeps failing, so the beginning and the end of this connection are reported only if data flows.
    pub(super) is_quiet: bool,
}

/// What runs the connection.
#[derive(Debug)]
pub(super) enum Driver {
    Worker { worker: usize, socket: SocketId },
    Source(Source),
    Outlet(OutletKind),
}

impl LiveConnection {
    /// Whether no data has arrived for [`SILENT`], counted from `opened` if none ever arrived.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        let since = self.last_data.unwrap_or(self.opened);
        now.saturating_duration_since(since) >= SILENT
    }

    /// Updates the activity since the last call; returns true if there was data.
    pub(super) fn update_activity(&mut self, now: Instant) -> bool {
        let messages = self.counters.messages();
        let is_new = messages != self.seen;
        if is_new {
            self.seen = messages;
            self.last_data = Some(now);
            self.first_data.get_or_insert(now);
        }
        is_new
    }

    /// The time from the first message to the last.
    pub(super) fn flowed(&self) -> Option<Duration> {
        let last = self.last_data?;
        Some(last.saturating_duration_since(self.first_data?))
    }

    /// Hands the ring's writer to the connection.
    pub(super) fn feed(&self, pool: &Pool, writer: Writer) {
        match &self.driver {
            Driver::Worker { worker, socket } => {
                let feed = Message::Feed(*socket, Arc::clone(&self.stream), writer);
                pool.send(*worker, feed);
            }
            Driver::Source(source) => source.order(SourceOrder::Feed(writer)),
            Driver::Outlet(_) => {}
        }
    }

    /// Takes the writer back; [`IoEvent::StoodBy`] confirms it.
    pub(super) fn stand_by(&self, pool: &Pool) {
        match &self.driver {
            Driver::Worker { worker, socket } => pool.send(*worker, Message::StandBy(*socket)),
            Driver::Source(source) => source.order(SourceOrder::StandBy),
            Driver::Outlet(_) => {}
        }
    }

    /// Closes the session; [`IoEvent::Closed`] confirms it.
    pub(super) fn close(&self, pool: &Pool, reason: CloseReason) {
        match &self.driver {
            Driver::Worker { worker, socket } => pool.send(*worker, Message::Close(*socket, reason)),
            Driver::Source(source) => source.order(SourceOrder::Close(reason)),
            Driver::Outlet(kind) => pool.send_outlet(*kind, Message::Detach(self.session, reason)),
        }
    }
}

/// The inputs of one stream.
#[derive(Debug)]
pub(super) struct Inputs {
    /// The preferred one first.
    pub(super) order: Vec<EndpointId>,
    pub(super) failover: Failover,
    pub(super) active: ActiveInput,
    pub(super) demand: Demand,
}

/// Which input holds the ring's writer.
///
/// ```text
///   Unset ──claimed──▶ Feeding ──another is chosen──▶ Leaving ──it has stood by──▶ Unset
///     ▲                   │ its connection ended                                    │
///     └───────────────────┴─────────────────────────────────────────────────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ActiveInput {
    Unset,
    Feeding(EndpointId, SessionId),
    Leaving(SessionId),
}

/// When inputs are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    Always,
    /// While the stream has viewers; holds the last time at which it had any.
    Watched(Option<Instant>),
}

impl Demand {
    /// Whether inputs should be connected, given the number of viewers.
    pub(super) fn is_there(&mut self, viewers: u32, now: Instant) -> bool {
        match self {
            Self::Always => true,
            Self::Watched(last) => {
                if viewers > 0 {
                    *last = Some(now);
                }
                last.is_some_and(|last| now.duration_since(last) < GRACE)
            }
        }
    }
}

/// An input or output and its connection, for modules that show or control it.
#[derive(Clone, Debug)]
pub(crate) struct EndpointView {
    pub(crate) id: EndpointId,
    pub(crate) status: EndpointStatus,
    /// As configured, secrets included.
    pub(crate) endpoint: Endpoint,
    /// The counters of the open connection.
    pub(crate) counters: Option<Arc<SessionCounters>>,
}

/// An input or output, for operators and tests.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointStatus {
    /// The stream it belongs to.
    pub stream: StreamName,
    /// [`Role::Publisher`] for an input, [`Role::Viewer`] for an output.
    pub role: Role,
    /// Its name, if it is configured.
    pub name: Option<String>,
    /// Its address, without parameters and secrets.
    pub url: String,
    /// Its state.
    pub state: EndpointState,
    /// The number of failed attempts and broken connections so far.
    pub failures: u64,
    /// The reason of the last failure.
    pub last_failure: Option<String>,
    /// The session of the open connection.
    pub session: Option<SessionId>,
    /// The streamid that the last call sent, with passwords masked.
    pub streamid: Option<String>,
}

/// The state of an input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndpointState {
    /// Not needed at the moment.
    Idle,
    /// Resolving a name, or calling.
    Connecting,
    /// Waiting for its peer to call.
    Listening,
    /// Carrying the stream.
    Live,
    /// Connected while another input feeds the stream.
    Standby,
    /// Connected or open, but receiving nothing.
    Silent,
    /// The file system does not respond.
    Stalled,
    /// Waiting before the next attempt.
    BackingOff,
    /// Cannot work as configured.
    Failed,
}

impl Endpoints {
    /// Whether the inputs of a stream are connected only while it has viewers.
    pub(super) fn is_on_demand(&self, name: &StreamName) -> bool {
        let inputs = self.inputs.get(name);
        inputs.is_some_and(|inputs| !matches!(inputs.demand, Demand::Always))
    }

    /// Resolved names come back through `events`, control's own channel.
    pub(crate) fn new(identity: Identity, events: Sender<IoEvent>) -> Self {
        Self {
            all: BTreeMap::new(),
            inputs: HashMap::new(),
            sessions: HashMap::new(),
            sockets: HashMap::new(),
            ports: CallPorts::default(),
            resolver: Resolver::new(events.clone()),
            events,
            identity,
            tables: HashMap::new(),
            brought: BTreeMap::new(),
            status: Arc::default(),
            last: 0,
        }
    }

    /// The snapshot that [`Endpoints::publish`] updates.
    pub(crate) fn status(&self) -> &Arc<ArcSwap<Vec<EndpointView>>> {
        &self.status
    }

    /// Reconciles a stream's inputs and outputs with its table: unchanged endpoints stay as they are, others are added
    /// or retired. New endpoints start with the next tick.
    pub(crate) fn configure(&mut self, name: &StreamName, stream: &config::Stream, now: Instant) {
        if stream.inputs.is_empty() && stream.outputs.is_empty() {
            self.tables.remove(name);
        } else {
            self.tables.insert(name.clone(), stream.clone());
        }
        self.reconcile(name, now);
    }

    /// Replaces the outputs that a publisher brought.
    pub(super) fn set_published_outputs(
        &mut self,
        session: SessionId,
        name: &StreamName,
        outputs: Vec<Endpoint>,
        now: Instant,
    ) {
        let before = self.brought.get(&session).map(|(_, outputs)| outputs.as_slice());
        if before.unwrap_or_default() != outputs {
            self.brought.insert(session, (name.clone(), outputs));
            self.reconcile(name, now);
        }
    }

    /// Removes the outputs that a publisher brought.
    pub(super) fn remove_published_outputs(&mut self, session: SessionId, now: Instant) {
        if let Some((name, _)) = self.brought.remove(&session) {
            self.reconcile(&name, now);
        }
    }

    /// Reconciles a stream's endpoints with what is configured and what publishers brought.
    fn reconcile(&mut self, name: &StreamName, now: Instant) {
        let mut stream = self.tables.get(name).cloned().unwrap_or_default();
        for (_, outputs) in self.brought.values().filter(|(of, _)| of == name) {
            let new = outputs.iter().filter(|output| !stream.outputs.contains(output));
            let new: Vec<_> = new.cloned().collect();
            stream.outputs.extend(new);
        }
        let mut old: Vec<_> = self
            .all
            .iter()
            .filter(|(_, state)| state.stream == *name && state.membership == Membership::Configured)
            .map(|(id, _)| *id)
            .collect();
        let order = self.keep_or_add(name, Role::Publisher, &stream.inputs, &mut old);
        self.keep_or_add(name, Role::Viewer, &stream.outputs, &mut old);
        for id in old {
            if let Some(state) = self.all.get_mut(&id) {
                state.membership = Membership::Retired;
            }
        }
        let before = self.inputs.remove(name);
        if order.is_empty() {
            return;
        }
        let mut inputs = Inputs {
            failover: Failover::new(order.len(), stream.failover.after, stream.failover.back, now),
            order,
            active: ActiveInput::Unset,
            demand: if stream.on_demand {
                Demand::Watched(None)
            } else {
                Demand::Always
            },
        };
        if let Some(before) = before {
            let chosen = before.order[before.failover.chosen()];
            if let Some(rank) = inputs.order.iter().position(|id| *id == chosen) {
                inputs.failover.prefer(rank);
            }
            let pinned = before.failover.pinned().map(|rank| before.order[rank]);
            if let Some(rank) = pinned.and_then(|pinned| inputs.order.iter().position(|id| *id == pinned)) {
                inputs.failover.pin(rank);
            }
            inputs.active = before.active;
        }
        self.inputs.insert(name.clone(), inputs);
    }

    /// Returns the ids of these endpoints, in order. Existing ones are taken out of `old`.
    fn keep_or_add(
        &mut self,
        name: &StreamName,
        role: Role,
        endpoints: &[Endpoint],
        old: &mut Vec<EndpointId>,
    ) -> Vec<EndpointId> {
        let mut ids = Vec::new();
        for endpoint in endpoints.iter().filter(|endpoint| endpoint.enabled) {
            let same = |id: &EndpointId| {
                self.all
                    .get(id)
                    .is_some_and(|state| state.role == role && state.endpoint.connects_as(endpoint))
            };
            ids.push(match old.iter().position(same) {
                Some(at) => {
                    let id = old.remove(at);
                    // The name may have changed.
                    if let Some(state) = self.all.get_mut(&id) {
                        state.endpoint.clone_from(endpoint);
                    }
                    id
                }
                None => self.add(name, role, endpoint),
            });
        }
        ids
    }

    fn add(&mut self, stream: &StreamName, role: Role, endpoint: &Endpoint) -> EndpointId {
        self.last += 1;
        let id = EndpointId(self.last);
        let state = EndpointRuntime {
            stream: stream.clone(),
            role,
            endpoint: endpoint.clone(),
            link: Link::new(self.identity.seed() ^ u64::from(self.last)),
            attempt: None,
            live: None,
            links: None,
            failures: Failures::default(),
            streamid: None,
            is_stalled: false,
            membership: Membership::Configured,
        };
        self.all.insert(id, state);
        id
    }

    /// The gates of all listening endpoints.
    pub(super) fn gates(&self) -> impl Iterator<Item = &Arc<Gate>> {
        self.all.values().filter_map(|state| match &state.attempt {
            Some(Attempt::Listening(waiting)) => Some(&waiting.gate),
            _ => None,
        })
    }

    /// Publishes a new snapshot if anything has changed. It omits endpoints that are no longer configured although
    /// their session is still closing: they would look like another connection.
    pub(super) fn publish(&self) {
        let configured = || {
            self.all
                .iter()
                .filter(|(_, state)| state.membership == Membership::Configured)
        };
        let status: Vec<_> = configured()
            .map(|(id, state)| EndpointStatus {
                stream: state.stream.clone(),
                role: state.role,
                name: state.endpoint.name.clone(),
                url: state.endpoint.to_string(),
                state: self.state_of(*id, state),
                failures: state.failures.count(),
                last_failure: state.failures.last().map(str::to_owned),
                session: state.live.as_ref().map(|live| live.session),
                streamid: state.streamid.clone(),
            })
            .collect();
        let shown = self.status.load();
        // Compares ids too: an endpoint that was removed and added again may look the same.
        let now = configured().map(|(id, _)| *id).zip(&status);
        if shown.iter().map(|view| (view.id, &view.status)).eq(now) {
            return;
        }
        let view = |((id, state), status): ((&EndpointId, &EndpointRuntime), EndpointStatus)| EndpointView {
            id: *id,
            status,
            endpoint: state.endpoint.clone(),
            counters: state.live.as_ref().map(|live| Arc::clone(&live.counters)),
        };
        let views = configured().zip(status).map(view).collect();
        self.status.store(Arc::new(views));
    }

    fn state_of(&self, id: EndpointId, state: &EndpointRuntime) -> EndpointState {
        let feeds = || {
            let inputs = self.inputs.get(&state.stream);
            inputs.is_some_and(|inputs| matches!(inputs.active, ActiveInput::Feeding(by, _) if by == id))
        };
        let has_nothing = |live: &LiveConnection| live.is_silent || live.last_data.is_none();
        let is_silent = state.live.as_ref().is_some_and(has_nothing);
        match state.link.state() {
            LinkState::Connecting | LinkState::Live if state.is_stalled => EndpointState::Stalled,
            LinkState::Idle => EndpointState::Idle,
            LinkState::Connecting if matches!(state.attempt, Some(Attempt::Listening(_))) => {
                EndpointState::Listening
            }
            LinkState::Connecting => EndpointState::Connecting,
            LinkState::Live if state.role == Role::Publisher && is_silent => EndpointState::Silent,
            LinkState::Live if state.role == Role::Viewer || feeds() => EndpointState::Live,
            LinkState::Live => EndpointState::Standby,
            LinkState::BackingOff { .. } => EndpointState::BackingOff,
            LinkState::Failed => EndpointState::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demand_outlasts_the_last_viewer_by_the_grace() {
        let start = Instant::now();
        let mut demand = Demand::Watched(None);
        assert!(!demand.is_there(0, start));
        assert!(demand.is_there(1, start));
        assert!(demand.is_there(0, start + GRACE / 2));
        assert!(!demand.is_there(0, start + GRACE));
        assert!(Demand::Always.is_there(0, start));
    }
}
