//! The owner of the registry: one thread that creates streams, opens and ends sessions, and times streams without a
//! source. Every change of the registry goes through it; others read its snapshot.
//!
//! It accepts connections, about which the listen callback has decided, and logs each connection that is opened,
//! refused or closed. It never sends or receives a message of a stream.

mod backoff;
mod bonding;
mod dial;
mod dual_stack;
mod endpoints;
mod events;
mod failover;
mod failures;
mod inputs;
mod leases;
mod link;
mod plain;
mod plan;
mod ports;
mod ranges;
mod refusals;
mod registry;
mod reload;
mod reports;
mod shards;
mod streamid;
mod takeover;
mod templates;
mod ticks;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, Sender};
use srt_safe::{ErrorKind, SocketId, SrtSocket, SrtVersion, log::EncryptionFault, opt};
use tracing::{debug, error, info, warn};

pub(crate) use dual_stack::bind as bind_dual_stack;
pub(crate) use endpoints::EndpointView;
pub(crate) use endpoints::Endpoints;
pub use endpoints::{EndpointState, EndpointStatus};
pub(crate) use events::Journal;
use events::Sources;
use leases::Leases;
pub(crate) use plain::udp_options;
pub(crate) use plan::StreamPlan;
pub use ports::{Listening, PortError};
pub(crate) use ports::{Opener, Port, check_option, open_ports, policy, scope, srt_options};
pub(crate) use ranges::{RangeEvent, Ranges};
use refusals::Refusals;
pub(crate) use registry::Registry;
use registry::{Session, SessionOrigin};
use reload::PendingPort;
pub use reload::Reloaded;
use takeover::PublisherQueue;
pub(crate) use templates::template_plans;
use ticks::Ticks;

use crate::{
    access::{Gate, Granted, HopList, PortPolicy, RefusalReason, Refused, key_bits, shown as streamid_shown},
    config::{self, Config},
    io::{CloseReason, ClosedSession, EndpointId, IoEvent, Message, Pool, SessionSetup, Task},
    names::{Role, SessionId, StreamName},
    telemetry::{LinkFigures, LinkSampler, Pulse, SessionCounters, SrtFigures, WireSampler},
    ts::Format,
};

/// Commands to control.
#[derive(Debug)]
pub(crate) enum Command {
    /// Shut down by `Instant` at the latest: the thread ends when everything is closed.
    Shutdown(Instant),
    /// Apply this configuration and reply with the changes.
    Reload(Box<Config>, Sender<Reloaded>),
    /// Reply with the open sessions.
    Sessions(Sender<Vec<SessionStatus>>),
    /// Reply, as a liveness check.
    Ping(Sender<()>),
    /// Reply with the inputs of a stream, standby ones included.
    Inputs(StreamName, Sender<Vec<(SessionId, Arc<SessionCounters>)>>),
    /// End a session on behalf of an operator; replies false if there is no such session.
    Kick(SessionId, Sender<bool>),
    /// Switch the stream to this input as soon as it has data, and prefer it from now on; replies false if there is no
    /// such input.
    Switch(EndpointId, Sender<bool>),
    /// Refuse new callers. Connected sessions continue.
    Drain(bool, Sender<()>),
}

impl Command {
    /// Whether the command only reads.
    const fn is_question(&self) -> bool {
        matches!(self, Self::Sessions(_) | Self::Ping(_) | Self::Inputs(..))
    }
}

/// The channels that control receives from.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) commands: Receiver<Command>,
    pub(crate) events: Receiver<IoEvent>,
    pub(crate) refused: Receiver<Refused>,
    pub(crate) ranges: Receiver<RangeEvent>,
    /// Handshakes that failed over encryption, which libsrt reports only in its log.
    pub(crate) faults: Receiver<(SocketId, EncryptionFault)>,
}

/// The control thread's state.
#[derive(Debug)]
pub(crate) struct Control {
    /// The configuration in force.
    config: Config,
    in_force: Arc<ArcSwap<Config>>,
    opener: Opener,
    ports: Vec<Port>,
    /// Configured ports that could not be opened yet.
    waiting: Vec<PendingPort>,
    listening: Arc<ArcSwap<Vec<Listening>>>,
    registry: Registry,
    endpoints: Endpoints,
    ranges: Ranges,
    pool: Pool,
    last_session: u64,
    /// The gateway is shutting down: no new sessions, and lost connections are not made again.
    ending: bool,
    refusals: Refusals,
    publisher_queue: PublisherQueue,
    leases: Leases,
    journal: Journal,
    sources: Sources,
}

/// Whether the loop continues.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Go,
    End,
}

impl Control {
    #[expect(
        clippy::too_many_arguments,
        reason = "the composition root hands each part over, once"
    )]
    pub(crate) fn new(
        config: Config,
        opener: Opener,
        ports: Vec<Port>,
        registry: Registry,
        endpoints: Endpoints,
        ranges: Ranges,
        pool: Pool,
        journal: Journal,
    ) -> Self {
        let control = Self {
            in_force: Arc::new(ArcSwap::from_pointee(config.clone())),
            config,
            opener,
            ports,
            waiting: Vec::new(),
            listening: Arc::default(),
            registry,
            endpoints,
            ranges,
            pool,
            last_session: 0,
            ending: false,
            refusals: Refusals::new(journal.clone()),
            publisher_queue: PublisherQueue::default(),
            leases: Leases::default(),
            journal,
            sources: Sources::default(),
        };
        control.publish_listening();
        control
    }

    /// The open ports.
    pub(crate) fn listening(&self) -> &Arc<ArcSwap<Vec<Listening>>> {
        &self.listening
    }

    /// The configuration in force.
    pub(crate) fn in_force(&self) -> &Arc<ArcSwap<Config>> {
        &self.in_force
    }

    fn publish_listening(&self) {
        let mut listening: Vec<_> = self.ports.iter().map(Listening::of).collect();
        // Sockets that share a port are adjacent.
        listening.dedup();
        self.listening.store(Arc::new(listening));
    }

    /// Runs until [`Command::Shutdown`], or until the epoll thread fails.
    pub(crate) fn run(mut self, inbox: &Inbox, pulse: &Pulse) {
        let mut ticks = Ticks::new(Instant::now());
        loop {
            // Each wait ends with the next tick.
            pulse.beat();
            let mut is_event = true;
            let next = crossbeam_channel::select! {
                recv(inbox.commands) -> command => match command {
                    Ok(Command::Shutdown(deadline)) => {
                        self.shut_down(deadline, inbox);
                        Next::End
                    }
                    Ok(command) => {
                        is_event = !command.is_question();
                        self.command(command, Instant::now());
                        Next::Go
                    }
                    Err(_) => Next::End,
                },
                recv(inbox.events) -> event => event.map_or(Next::End, |event| self.io_event(event)),
                recv(inbox.ranges) -> event => {
                    if let Ok(event) = event {
                        self.range_event(event, Instant::now());
                    }
                    Next::Go
                }
                recv(inbox.refused) -> refused => {
                    if let Ok(refused) = refused {
                        self.refusals.add(refused, Instant::now());
                    }
                    Next::Go
                }
                recv(inbox.faults) -> fault => {
                    if let Ok((socket, fault)) = fault {
                        self.encryption_fault(socket, fault);
                    }
                    Next::Go
                }
                default(ticks.wait(Instant::now())) => {
                    is_event = false;
                    Next::Go
                }
            };
            if next == Next::End {
                return;
            }
            let now = Instant::now();
            if is_event {
                ticks.event(now);
            }
            if ticks.is_due(now) {
                self.tick(now);
                ticks.ticked(now, self.has_deadlines());
            }
        }
    }

    /// Executes a command. Replies use `try_send`: control must never block on the sender of a command, which may
    /// have given up.
    fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Shutdown(_) => {}
            Command::Reload(config, reply) => drop(reply.try_send(self.reload(*config, now))),
            Command::Ping(reply) => reply.try_send(()).unwrap_or_default(),
            Command::Inputs(name, reply) => drop(reply.try_send(self.registry.inputs(&name))),
            Command::Sessions(reply) => drop(reply.try_send(self.registry.session_statuses(now))),
            Command::Kick(session, reply) => drop(reply.try_send(self.kick(session))),
            Command::Switch(endpoint, reply) => drop(reply.try_send(self.switch(endpoint, now))),
            Command::Drain(on, reply) => {
                self.drain(on);
                reply.try_send(()).unwrap_or_default();
            }
        }
    }

    fn kick(&self, id: SessionId) -> bool {
        let Some(session) = self.registry.session(id) else {
            return false;
        };
        let close = Message::Close(session.socket, CloseReason::Kicked);
        self.pool.send(session.worker, close);
        true
    }

    /// Refuses new callers, or admits them again. Listeners stay open, because callers of a closed port would get no
    /// answer; a caller that receives a code can go elsewhere at once.
    fn drain(&self, on: bool) {
        if on {
            info!("draining: new callers are refused");
            self.opener.guards.drain.begin();
        } else {
            info!("no longer draining: callers are admitted again");
            self.opener.guards.drain.end();
        }
    }

    fn io_event(&mut self, event: IoEvent) -> Next {
        match event {
            IoEvent::Ready(socket) => {
                self.accept_all(socket);
                self.endpoint_ready(socket, Instant::now());
            }
            IoEvent::Closed(closed) => self.closed(&closed, Instant::now()),
            IoEvent::HasData(session) => self.publisher_has_data(session, Instant::now()),
            IoEvent::StoodBy(session) => self.input_stood_by(session, Instant::now()),
            IoEvent::Feeding(stream) => self.publisher_feeds(&stream),
            IoEvent::FeedFailed(stream) => self.feed_failed(&stream, Instant::now()),
            IoEvent::Resolved(endpoint, found) => self.resolved(endpoint, found, Instant::now()),
            IoEvent::Opened(endpoint, outcome) => self.opened(endpoint, outcome, Instant::now()),
            IoEvent::Stalled(session, is_stalled) => self.stalled(session, is_stalled, Instant::now()),
            IoEvent::Format(session, format) => self.log_format(session, format),
            IoEvent::PollFailed(error) => {
                error!(%error, "libsrt's epoll failed: the gateway exits, because it can no longer relay");
                return Next::End;
            }
        }
        Next::Go
    }

    fn log_format(&self, session: SessionId, format: Format) {
        let Some(Session { stream, peer, .. }) = self.registry.session(session) else {
            return;
        };
        match format {
            Format::NotTs => warn!(
                %session, %stream, %peer,
                "the payload is not MPEG-TS in packets of 188 bytes: the gateway relays it unchanged, and \
                 viewers may start at any point of it"
            ),
            _ => debug!(%session, %stream, %peer, ?format, "payload recognised"),
        }
    }

    fn accept_all(&mut self, listener: SocketId) {
        loop {
            let Some(port) = self.ports.iter().find(|port| port.listener.id() == listener) else {
                return;
            };
            match port.listener.accept() {
                Ok((socket, peer)) => {
                    let granted = bonding::granted(&port.gate, socket.id());
                    let policy = Arc::clone(port.gate.port());
                    match granted {
                        Some(granted) => self.open(socket, peer, policy, granted),
                        None => {
                            warn!(%peer, port = %policy, "closed a connection that was accepted without being admitted");
                        }
                    }
                }
                Err(error) if error.is_would_block() => return,
                Err(error) if error.kind() == ErrorKind::InvalidState => return,
                Err(error) => {
                    warn!(%error, "accept failed");
                    return;
                }
            }
        }
    }

    /// Opens a session for an accepted connection.
    fn open(&mut self, socket: SrtSocket, peer: SocketAddr, port: Arc<PortPolicy>, granted: Granted) {
        let group = granted.group();
        let opened = self.open_session(socket, peer, port, granted);
        if let (None, Some(group)) = (opened, group) {
            self.opener.guards.bonds.forget(group);
        }
    }

    fn open_session(
        &mut self,
        socket: SrtSocket,
        peer: SocketAddr,
        port: Arc<PortPolicy>,
        granted: Granted,
    ) -> Option<SessionId> {
        let group = granted.group();
        let handshake = granted.handshake();
        let (mut grant, streamid) = (granted.grant, granted.streamid);
        let grant_has_key = grant.passphrase.is_some();
        let connection = match Connection::of(&socket, grant.role) {
            Ok(connection) => connection,
            Err(error) => {
                info!(%peer, port = %port, %error, "closed: cannot read the properties of the connection");
                return None;
            }
        };
        if connection.latency > port.max_latency {
            info!(
                role = %grant.role, stream = %grant.stream, %peer, port = %port, code = 1400,
                "closed: the caller requests a latency of {} ms, above max_latency = {} ms",
                connection.latency.as_millis(), port.max_latency.as_millis()
            );
            return None;
        }
        if connection.is_encrypted() && connection.key_bits < port.min_key_bits {
            // Without our edits, libsrt does not show the key before this point.
            info!(
                role = %grant.role, stream = %grant.stream, %peer, port = %port, code = 1400,
                "closed: the caller encrypts with {}, but min_key_length requires AES-{}", connection.encryption, port.min_key_bits
            );
            return None;
        }
        if connection.is_encrypted() && connection.key_bits < port.key_bits {
            warn!(
                role = %grant.role, stream = %grant.stream, %peer, port = %port,
                "the caller encrypts with {}, a shorter key than key_length of the port: min_key_length = {} would refuse it",
                connection.encryption, port.key_bits / 8
            );
        }
        let now = Instant::now();
        let stream = self.registry.stream(&grant.stream);
        self.apply_template(&grant.stream, now);
        self.last_session += 1;
        let session = SessionId(self.last_session);
        let task = match grant.role {
            Role::Viewer => Task::View(self.registry.start_at(&grant.stream)),
            Role::Publisher => match self.task_for_publisher(session, &stream) {
                Some(task) => task,
                // An input has taken the stream since the verdict.
                None => {
                    let why = RefusalReason::HasPublisher(grant.stream);
                    self.refusals.add(
                        Refused {
                            peer,
                            port,
                            streamid,
                            handshake,
                            why,
                        },
                        now,
                    );
                    return None;
                }
            },
        };
        info!(
            %session, role = %grant.role, stream = %grant.stream, %peer, port = %port,
            latency_ms = connection.latency.as_millis(), version = %connection.version,
            encryption = connection.encryption, bonded = socket.is_group(), standby = matches!(task, Task::StandBy | Task::TakeOver), "connected"
        );
        let held = match group {
            Some(group) => self.opener.guards.bonds.opened(group, session),
            None => std::mem::take(&mut grant.held),
        };
        let mut facts = SessionFacts::of(&connection, &streamid);
        if let Some(hook) = &grant.hook {
            facts.labels.clone_from(&hook.terms.labels);
        }
        let counters = Arc::new(SessionCounters::default());
        let name = grant.stream.clone();
        let placed = self.pool.place(&stream, grant.role);
        let worker = placed.worker();
        self.opener.guards.limiter.session_opened(peer.ip());
        if grant_has_key {
            self.opener.guards.checks.proved(peer.ip());
        }
        let ingest = self.registry.ingest(&name);
        self.registry.add_session(
            session,
            Session {
                role: grant.role,
                stream: grant.stream,
                peer,
                socket: socket.id(),
                worker,
                opened: now,
                via: SessionOrigin::Port(Arc::clone(&port)),
                hop_list: HopList::of(&streamid),
                streamid,
                facts,
                counters: Arc::clone(&counters),
            },
        );
        let setup = SessionSetup {
            session,
            socket,
            stream,
            limits: grant.limits,
            ingest,
            payload_size: None,
            counters,
            wire: WireSampler::default(),
            links: LinkSampler::default(),
            _placed: placed,
            held,
        };
        self.pool.send(worker, Message::Start(Box::new(setup), task));
        self.report_opened(session, &name);
        self.note_source(&name, now);
        self.hold_lease(session, grant.hook, now);
        Some(session)
    }

    fn closed(&mut self, closed: &ClosedSession, now: Instant) {
        let Some(session) = self.registry.remove_session(closed.session) else {
            return self.endpoint_closed(closed, now);
        };
        let name = session.stream.clone();
        if session.via.admitted_by().is_some() {
            self.opener.guards.limiter.session_closed(session.peer.ip());
        }
        self.end_lease(closed.session, now);
        self.report_closed(closed, Some(&session), now);
        self.log_closed(closed, &session.stream, Some(&session), now);
        let why = match closed.reason {
            CloseReason::TooFast { sent, max } => Some(RefusalReason::TooFast {
                stream: session.stream,
                sent,
                max,
            }),
            CloseReason::ResendLimit(percent) => Some(RefusalReason::ResendLimit {
                stream: session.stream,
                percent,
            }),
            _ => None,
        };
        if let (Some(why), Some(port)) = (why, session.via.admitted_by()) {
            self.refusals.record(&Refused {
                peer: session.peer,
                port: Arc::clone(port),
                streamid: session.streamid,
                handshake: None,
                why,
            });
        }
        self.opener.guards.bonds.closed(closed.session);
        self.dequeue_publisher(closed.session);
        self.start_next_publisher(&name, now);
        self.endpoint_closed(closed, now);
    }

    /// Refuses a caller that was granted and then failed at the passphrase.
    fn encryption_fault(&mut self, socket: SocketId, fault: EncryptionFault) {
        let refused = self.gates().find_map(|gate| {
            let granted = gate.take_granted(socket)?;
            let refused = granted.refused(Arc::clone(gate.port()), fault);
            gate.count_failure(refused.peer, &refused.streamid, &refused.why);
            Some(refused)
        });
        if let Some(refused) = refused {
            self.refusals.add(refused, Instant::now());
        }
    }

    /// The gates of all listeners, including those of inputs and outputs.
    fn gates(&self) -> impl Iterator<Item = &Arc<Gate>> {
        let of_ports = self.ports.iter().map(|port| &port.gate);
        of_ports.chain(self.endpoints.gates())
    }

    /// Whether something is due at a certain time even if no event arrives.
    fn has_deadlines(&self) -> bool {
        !self.endpoints.all.is_empty()
            || !self.waiting.is_empty()
            || !self.ranges.is_empty()
            || !self.leases.is_empty()
            || !self.publisher_queue.is_empty()
            || self.registry.has_deadlines()
    }

    fn tick(&mut self, now: Instant) {
        self.refusals.tick(now);
        self.registry.watch_sources(now);
        self.tick_publisher_queue(now);
        self.open_waiting(now);
        self.tick_bonds(now);
        self.tick_leases(now);
        self.tick_endpoints(now);
        self.retire_unused(now);
        self.tick_ranges(now);
        self.note_sources(now);
        for (socket, worker) in self.registry.overdue_viewers(now) {
            self.pool
                .send(worker, Message::Close(socket, CloseReason::SourceLost));
        }
        let incomplete: Vec<_> = self
            .gates()
            .flat_map(|gate| {
                let incomplete = gate.take_incomplete(now).into_iter();
                incomplete.map(|granted| granted.incomplete(Arc::clone(gate.port())))
            })
            .collect();
        for refused in incomplete {
            self.refusals.add(refused, now);
        }
    }

    /// Closes the listeners, then the sources, then the viewers once they have received what the rings hold.
    fn shut_down(&mut self, deadline: Instant, inbox: &Inbox) {
        for port in self.ports.drain(..) {
            self.opener.close(port);
        }
        self.end_endpoints(deadline);
        self.pool.shut_down(deadline);
        let now = Instant::now();
        for event in inbox.events.try_iter() {
            if let IoEvent::Closed(closed) = event {
                self.closed(&closed, now);
            }
        }
        self.note_end(now);
    }
}

/// The negotiated parameters of a connection.
#[derive(Debug)]
struct Connection {
    latency: Duration,
    version: SrtVersion,
    encryption: &'static str,
    /// 0 if it is not encrypted.
    key_bits: u16,
}

impl Connection {
    const fn is_encrypted(&self) -> bool {
        self.key_bits > 0
    }

    /// `role` is the peer's.
    fn of(socket: &SrtSocket, role: Role) -> srt_safe::Result<Self> {
        let latency = match role {
            Role::Publisher => socket.option::<opt::ReceiveLatency>()?,
            Role::Viewer => socket.option::<opt::PeerLatency>()?,
        };
        let version = socket.option::<opt::PeerVersion>()?;
        let key_bits = if socket.key_state()?.is_secured() {
            key_bits(socket.option::<opt::KeyLength>()?)
        } else {
            0
        };
        let encryption = match key_bits {
            0 => "none",
            192 => "AES-192",
            256 => "AES-256",
            _ => "AES-128",
        };
        Ok(Self {
            latency,
            version,
            encryption,
            key_bits,
        })
    }
}

/// A stream, for tests and operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamStatus {
    /// Its name.
    pub name: StreamName,
    /// Whether it has a source.
    pub has_source: bool,
    /// The number of viewers.
    pub viewers: u32,
    /// Bytes received so far, from all its sources.
    pub bytes: u64,
}

/// An open session, for tests and operators.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionStatus {
    /// Its number.
    pub id: SessionId,
    /// Publisher or viewer.
    pub role: Role,
    /// The stream.
    pub stream: StreamName,
    /// The peer's address.
    pub peer: SocketAddr,
    /// The port that it used, for display.
    pub port: String,
    /// Time since it was opened.
    pub age: Duration,
    /// Messages carried.
    pub messages: u64,
    /// Bytes of payload carried.
    pub bytes: u64,
    /// Messages that a slow viewer skipped.
    pub skipped: u64,
    /// Whether it is a publisher or an input on standby.
    pub standby: bool,
    /// Whether it belongs to an input or output.
    pub of_endpoint: bool,
    /// The negotiated parameters.
    pub facts: SessionFacts,
    /// libsrt's figures of the last second; None before the first sample.
    pub figures: Option<Arc<SrtFigures>>,
    /// The links of a bonded connection as of the last second; otherwise empty.
    pub links: Vec<LinkFigures>,
    pub(crate) counters: Arc<SessionCounters>,
}

/// The parameters that were negotiated when a session was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionFacts {
    /// The peer's SRT version; 0.0.0 for peers before 1.3, whose handshakes do not carry it.
    pub version: SrtVersion,
    /// `AES-128`, `AES-192`, `AES-256` or `none`.
    pub encryption: &'static str,
    /// The latency in the direction of the stream.
    pub latency: Duration,
    /// The caller's streamid for display, with passwords masked. None if it sent none, or if we called.
    pub streamid: Option<Arc<str>>,
    /// Labels that the hook assigned.
    pub labels: Vec<(Box<str>, Box<str>)>,
}

impl SessionFacts {
    fn of(connection: &Connection, streamid: &[u8]) -> Self {
        Self {
            version: connection.version,
            encryption: connection.encryption,
            latency: connection.latency,
            streamid: (!streamid.is_empty()).then(|| streamid_shown(streamid).into()),
            labels: Vec::new(),
        }
    }

    /// The peer's version for display.
    pub(crate) fn version_shown(&self) -> String {
        match self.version.number() {
            0 => "before 1.3".to_owned(),
            _ => self.version.to_string(),
        }
    }

    /// The labels for display; values whose names indicate secrets are masked.
    pub(crate) fn labels_shown(&self) -> BTreeMap<String, String> {
        let labels = self.labels.iter();
        labels
            .map(|(name, value)| (name.to_string(), config::redacted(name, value)))
            .collect()
    }
}
