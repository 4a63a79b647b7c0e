//! Ports of `[[listeners]]`: idle until the first call, then configured by the backend of `[config_external]`.
//!
//! ```text
//!              handshake            2xx
//!   idle ─────────────────▶ asking ─────▶ open ──nobody there for long──▶ idle
//!    ▲ │ handshake             │            │ ▲
//!    │ └▶ refused: its code    │ 404,       │ └─the same answer──┐
//!    │    while that holds     │ failed     └─`cache` passed, ───┴▶ asked again ──another answer──▶ open as that says
//!    └─────────────────────────┘              nobody there, a caller             └─404──▶ idle
//! ```
//!
//! Runs on control's thread; [`RangeGuard`] runs on the thread of the idle ports and in listen callbacks. Control keeps
//! each port's UDP socket for as long as the port is configured, and libsrt receives a duplicate of the descriptor. So
//! a port is never bound twice and never lost to another program. While such a port is open, the backend's answer is
//! the table of its stream.

mod config_client;
mod guard;
mod sockets;

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::Sender;
use tracing::{info, warn};

use config_client::ConfigClient;
use guard::{RangeGuard, Verdict};
use sockets::{bind, raise_descriptor_limit};

use super::{
    Control, StreamPlan,
    ports::{Opener, PortKey, check_option, policy},
};
use crate::{
    access::{PortPolicy, Recheck, RefusalReason, Scope},
    address::ZonedIp,
    backend::{Answer, Backend, CallError},
    config::{Action, AnswerFaults, Config, PortAnswer, PortKind, SrtPort, Stream},
    data::Slot,
    io::{IdleId, IdlePorts},
    names::StreamName,
};

/// How long a port refuses callers after the backend could not be asked or sent an invalid answer.
const FAILURE_CACHE_TIME: Duration = Duration::from_secs(2);

/// An open port becomes idle when it has had no session for this long, or for `cache` if that is longer.
const IDLE_AFTER: Duration = Duration::from_secs(300);

/// Like [`IDLE_AFTER`], for a port that has had no session since it was opened.
const UNUSED_AFTER: Duration = Duration::from_secs(30);

/// How often binding is retried.
const RETRY: Duration = Duration::from_millis(500);

/// Events of ports of `[[listeners]]`.
#[derive(Debug)]
pub(crate) enum RangeEvent {
    /// A caller on an idle port, or on a port whose answer has expired. For an idle port, the event carries the
    /// caller's reservation.
    Contact(IdleId, SocketAddr, Option<Slot>),
    /// The backend's answer to the question of this number.
    Answered(IdleId, u64, Result<Answer, CallError>),
}

/// A port: its address and number.
type PortAddr = (Option<ZonedIp>, u16);

/// All ports of `[[listeners]]`.
#[derive(Debug)]
pub(crate) struct Ranges {
    ports: BTreeMap<PortAddr, Ranged>,
    addrs: HashMap<IdleId, PortAddr>,
    /// Exists once there is a port.
    idle: Option<IdlePorts>,
    guard: Arc<RangeGuard>,
    config_client: ConfigClient,
    last_id: u32,
    /// Configured ports that could not be bound yet.
    missing: BTreeMap<PortAddr, Action>,
    next_try: Instant,
}

#[derive(Debug)]
struct Ranged {
    id: IdleId,
    addr: SocketAddr,
    mode: Action,
    socket: Arc<UdpSocket>,
    state: PortState,
}

#[derive(Debug)]
enum PortState {
    Idle,
    /// The number of the question, the caller, and the reservation that the port holds until it is used.
    Asking(u64, SocketAddr, Option<Slot>),
    Open(Box<OpenPort>),
}

/// A port that listens.
#[derive(Debug)]
struct OpenPort {
    answer: PortAnswer,
    key: PortKey,
    policy: Arc<PortPolicy>,
    recheck: Arc<Recheck>,
    /// The number of the pending question.
    asked: Option<u64>,
    /// When the port last had a session.
    used: Instant,
    /// Set until the first session: the port counts against the caller it was opened for.
    unused: Option<Unused>,
}

/// A port that has had no session yet.
#[derive(Debug)]
struct Unused {
    _slot: Option<Slot>,
}

fn kind(mode: Action) -> PortKind {
    match mode {
        Action::Publish => PortKind::Publish,
        Action::Play => PortKind::Play,
        Action::Any => PortKind::Both,
    }
}

/// The ports of `[[listeners]]` in a configuration.
fn wanted(config: &Config) -> BTreeMap<PortAddr, Action> {
    let ranges = config.listeners.iter();
    ranges
        .flat_map(|range| {
            let ports = range.ports.iter().cloned().flatten();
            ports.map(|port| ((range.address, port), range.mode))
        })
        .collect()
}

impl Ranges {
    pub(super) fn is_empty(&self) -> bool {
        self.ports.is_empty() && self.missing.is_empty()
    }

    /// Creates an empty set. `events` is control's own channel; `gateway` is the name that the backend sees.
    pub(crate) fn new(
        backend: Arc<Backend>,
        opener: &Opener,
        gateway: String,
        events: Sender<RangeEvent>,
    ) -> Self {
        Self {
            ports: BTreeMap::new(),
            addrs: HashMap::new(),
            idle: None,
            guard: RangeGuard::new(opener.guards.clone(), opener.refused.clone(), events.clone()),
            config_client: ConfigClient::new(backend, gateway, events),
            last_id: 0,
            missing: BTreeMap::new(),
            next_try: Instant::now(),
        }
    }

    /// Applies `[config_external]` and binds the ports of `[[listeners]]`. Ports that could not be bound are retried.
    ///
    /// # Errors
    /// The first port that could not be bound, or why the backend cannot be asked.
    pub(crate) fn open(&mut self, config: &Config) -> Result<(), (String, io::Error)> {
        let external = self.config_client.configure(config.config_external.as_ref());
        external.map_err(|error| ("the url of [config_external]".to_owned(), error))?;
        let wanted = wanted(config);
        raise_descriptor_limit(wanted.len()).map_err(|error| ("[[listeners]]".to_owned(), error))?;
        let mut failed = None;
        for (port_addr, mode) in wanted {
            if self.ports.contains_key(&port_addr) {
                continue;
            }
            if let Err(error) = self.add(port_addr, mode) {
                self.missing.insert(port_addr, mode);
                failed.get_or_insert_with(|| (format!("port {} of [[listeners]]", port_addr.1), error));
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn add(&mut self, port_addr: PortAddr, mode: Action) -> io::Result<()> {
        let socket = Arc::new(bind(port_addr)?);
        let addr = socket.local_addr()?;
        self.last_id += 1;
        let id = IdleId(self.last_id);
        let idle = match &self.idle {
            Some(idle) => idle,
            None => self.idle.insert(IdlePorts::start(Arc::clone(&self.guard))?),
        };
        let standard = SrtPort {
            kind: kind(mode),
            listen: addr.into(),
            settings: crate::config::SrtSettings::default(),
            at: crate::config::Location::default(),
        };
        let policy = Arc::new(policy(Scope::Global, &standard, addr));
        self.guard.set(
            id,
            Verdict {
                policy,
                key_length: None,
                why: None,
            },
        );
        idle.add(id, &socket)?;
        self.addrs.insert(id, port_addr);
        let state = PortState::Idle;
        self.ports.insert(
            port_addr,
            Ranged {
                id,
                addr,
                mode,
                socket,
                state,
            },
        );
        Ok(())
    }

    fn by_id(&mut self, id: IdleId) -> Option<&mut Ranged> {
        self.ports.get_mut(self.addrs.get(&id)?)
    }

    /// The stream table from the answers of the open ports, if any.
    fn table_for(&self, name: &str) -> Option<&PortAnswer> {
        let answers = self.ports.values().filter_map(|port| match &port.state {
            PortState::Open(open) if open.answer.stream == name => Some(&open.answer),
            _ => None,
        });
        // Prefers an answer with a table to one that only names the stream.
        answers.max_by_key(|answer| answer.table.is_some())
    }

    /// Makes a port idle. Until the given time, its callers are refused for the given reason.
    fn make_idle(&mut self, id: IdleId, why: Option<(RefusalReason, Instant)>) {
        if let Some(mut verdict) = self.guard.verdict(id) {
            verdict.why = why;
            self.guard.set(id, verdict);
        }
        let Some(port) = self.by_id(id) else { return };
        port.state = PortState::Idle;
        let socket = Arc::clone(&port.socket);
        let Some(idle) = &self.idle else { return };
        idle.forget(id);
        if let Err(error) = idle.add(id, &socket) {
            warn!(%error, "cannot watch a port of [[listeners]]");
        }
    }
}

/// The result of a question.
enum AnswerOutcome {
    Configure(Box<PortAnswer>),
    Refuse,
    Failed(RefusalReason),
}

fn outcome(answer: Result<Answer, CallError>, config: &Config) -> AnswerOutcome {
    let failed = |error: CallError| AnswerOutcome::Failed(RefusalReason::BackendFailed(error.to_string()));
    let answer = match answer {
        Ok(answer) if answer.status == 404 => return AnswerOutcome::Refuse,
        Ok(answer) if !answer.is_success() => return failed(CallError::Status(answer.status)),
        Ok(answer) => answer,
        Err(error) => return failed(error),
    };
    let fields = match answer.fields() {
        Ok(fields) => fields,
        Err(error) => return AnswerOutcome::Failed(RefusalReason::BackendNonsense(error.to_string())),
    };
    let checked = PortAnswer::read(fields.all(), config).and_then(|read| {
        read.validate_options(check_option)?;
        Ok(read)
    });
    match checked {
        Ok(answer) => AnswerOutcome::Configure(Box::new(answer)),
        Err(faults) => AnswerOutcome::Failed(invalid_answer(&faults)),
    }
}

fn invalid_answer(faults: &AnswerFaults) -> RefusalReason {
    RefusalReason::BackendNonsense(format!("answered with an invalid configuration: {faults}"))
}

impl Control {
    pub(super) fn range_event(&mut self, event: RangeEvent, now: Instant) {
        match event {
            RangeEvent::Contact(id, peer, slot) => self.request_config(id, peer, slot, now),
            RangeEvent::Answered(id, number, answer) => self.answered(id, number, answer, now),
        }
    }

    fn request_config(&mut self, id: IdleId, peer: SocketAddr, slot: Option<Slot>, now: Instant) {
        let Some(port_addr) = self.ranges.addrs.get(&id) else {
            return;
        };
        let Some(port) = self.ranges.ports.get_mut(port_addr) else {
            return;
        };
        let asked = self.ranges.config_client.ask(id, port, peer);
        match (&mut port.state, asked) {
            (PortState::Open(open), Ok(number)) => open.asked = Some(number),
            (state, Ok(number)) => *state = PortState::Asking(number, peer, slot),
            (_, Err(why)) => self.config_failed(id, RefusalReason::BackendFailed(why), now),
        }
    }

    fn answered(&mut self, id: IdleId, number: u64, answer: Result<Answer, CallError>, now: Instant) {
        let Some(port) = self.ranges.by_id(id) else {
            return;
        };
        let is_asked = match &port.state {
            PortState::Asking(asked, ..) => *asked == number,
            PortState::Open(open) => open.asked == Some(number),
            PortState::Idle => false,
        };
        if !is_asked {
            return;
        }
        match outcome(answer, &self.config) {
            AnswerOutcome::Configure(answer) => self.configure_port(id, *answer, now),
            AnswerOutcome::Refuse => {
                let until = now + self.ranges.config_client.cache_time();
                self.close_ranged(id, Some((RefusalReason::PortRefused, until)));
            }
            AnswerOutcome::Failed(why) => self.config_failed(id, why, now),
        }
    }

    /// Handles a failed question: an open port stays open; an idle port refuses callers for a moment.
    fn config_failed(&mut self, id: IdleId, why: RefusalReason, now: Instant) {
        let until = now + FAILURE_CACHE_TIME;
        let Some(port) = self.ranges.by_id(id) else {
            return;
        };
        warn!(port = port.addr.port(), "the backend of [config_external] {why}");
        if let PortState::Open(open) = &mut port.state {
            open.asked = None;
            return open.recheck.holds_until(until);
        }
        self.ranges.make_idle(id, Some((why, until)));
    }

    fn configure_port(&mut self, id: IdleId, answer: PortAnswer, now: Instant) {
        let until = now + self.ranges.config_client.cache_time();
        if let Some(Ranged {
            state: PortState::Open(open),
            ..
        }) = self.ranges.by_id(id)
        {
            open.asked = None;
            if open.answer == answer {
                return open.recheck.holds_until(until);
            }
            // The port has no sessions, which is why the question was asked.
            self.close_ranged(id, None);
        }
        if let Err(why) = self.open_ranged(id, answer, until, now) {
            warn!("{why}");
            self.ranges.make_idle(
                id,
                Some((RefusalReason::BackendNonsense(why), now + FAILURE_CACHE_TIME)),
            );
        }
        self.publish_listening();
    }

    fn open_ranged(
        &mut self,
        id: IdleId,
        answer: PortAnswer,
        until: Instant,
        now: Instant,
    ) -> Result<(), String> {
        let Some(idle) = &self.ranges.idle else {
            return Ok(());
        };
        idle.forget(id);
        let events = self.ranges.config_client.events.clone();
        let Some(port) = self.ranges.by_id(id) else {
            return Ok(());
        };
        let (peer, slot) = match std::mem::replace(&mut port.state, PortState::Idle) {
            PortState::Asking(_, peer, slot) => (Some(peer), slot),
            _ => (None, None),
        };
        let name = StreamName::new(answer.stream.as_str());
        let srt = SrtPort {
            kind: kind(port.mode),
            listen: port.addr.into(),
            settings: answer.settings.clone(),
            at: crate::config::Location::default(),
        };
        let key_length = srt.settings.key_length;
        self.ranges.guard.set_key_length(id, key_length);
        let key = PortKey::of_range(&name, &srt);
        // Must happen before libsrt receives the socket, because the caller's handshake is waiting in it.
        let before = self
            .ranges
            .table_for(&answer.stream)
            .is_some_and(|other| other.table.is_some());
        if answer.table.is_some() || !before {
            self.apply_answer(&name, &answer, now);
        }
        let Some(port) = self.ranges.by_id(id) else {
            return Ok(());
        };
        let contact = move |peer| drop(events.send(RangeEvent::Contact(id, peer, None)));
        let recheck = Arc::new(Recheck::new(until, contact));
        let opened = port
            .socket
            .try_clone()
            .map_err(|error| error.to_string())
            .and_then(|socket| {
                let opened = self.opener.open_on(socket, &key, &srt, Arc::clone(&recheck));
                opened.map_err(|error| error.to_string())
            });
        let opened = match opened {
            Ok(opened) => opened,
            Err(why) => {
                self.apply_answers(&name, now);
                return Err(why);
            }
        };
        let policy = Arc::clone(opened.gate.port());
        self.ports.push(opened);
        info!(port = %policy, peer = ?peer, "configured by the backend of [config_external]");
        port.state = PortState::Open(Box::new(OpenPort {
            answer,
            key,
            policy,
            recheck,
            asked: None,
            used: now,
            unused: Some(Unused { _slot: slot }),
        }));
        Ok(())
    }

    /// Closes the port's libsrt listener, if there is one, and makes the port idle.
    fn close_ranged(&mut self, id: IdleId, why: Option<(RefusalReason, Instant)>) {
        let mut stream = None;
        if let Some(Ranged {
            state: PortState::Open(open),
            ..
        }) = self.ranges.by_id(id)
        {
            let (key, name) = (open.key.clone(), open.answer.stream.clone());
            self.close_port(&key);
            stream = Some(StreamName::new(name));
        }
        self.ranges.make_idle(id, why);
        if let Some(name) = stream {
            self.apply_answers(&name, Instant::now());
            self.publish_listening();
        }
    }

    /// Applies the answers of open ports to a stream that no table names, or removes their settings when no answer is
    /// left.
    fn apply_answers(&mut self, name: &StreamName, now: Instant) {
        match self.ranges.table_for(name.as_str()).cloned() {
            Some(answer) => self.apply_answer(name, &answer, now),
            None if self.config.streams.contains_key(name.as_str()) => {}
            None => {
                self.registry.unconfigure(name);
                self.reapply_template(name, now);
                if !self.registry.is_configured(name) && !self.registry.accepts_unknown() {
                    self.end_sessions(|session| session.stream == *name);
                }
            }
        }
    }

    /// Applies an answer to a stream, unless the configuration has a table for it.
    fn apply_answer(&mut self, name: &StreamName, answer: &PortAnswer, now: Instant) {
        let has_template = self.config.template_for(name.as_str()).is_some();
        if self.config.streams.contains_key(name.as_str()) || (answer.table.is_none() && has_template) {
            return;
        }
        let standard = || Stream {
            settings: self.config.streams_default.settings.clone(),
            ..Stream::default()
        };
        let stream = answer.table.clone().unwrap_or_else(standard);
        self.registry.configure(name, &StreamPlan::of(&stream));
        self.endpoints.configure(name, &stream, now);
    }

    /// Makes unused ports idle, and retries ports that could not be bound.
    pub(super) fn tick_ranges(&mut self, now: Instant) {
        let long = IDLE_AFTER.max(self.ranges.config_client.cache_time());
        let mut unused = Vec::new();
        for port in self.ranges.ports.values_mut() {
            if let PortState::Open(open) = &mut port.state {
                if open.policy.connections.taken() > 0 {
                    open.unused = None;
                    open.used = now;
                } else if open.asked.is_some() {
                    open.used = now;
                }
                let long = if open.unused.is_some() { UNUSED_AFTER } else { long };
                if now.duration_since(open.used) >= long {
                    unused.push(port.id);
                }
            }
        }
        for id in unused {
            self.close_ranged(id, None);
        }
        if now >= self.ranges.next_try && !self.ranges.missing.is_empty() {
            self.ranges.next_try = now + RETRY;
            for (port_addr, mode) in std::mem::take(&mut self.ranges.missing) {
                match self.ranges.add(port_addr, mode) {
                    Ok(()) => info!(port = port_addr.1, "bound a port of [[listeners]] after retries"),
                    Err(_) => drop(self.ranges.missing.insert(port_addr, mode)),
                }
            }
        }
    }

    /// Applies a changed `[[listeners]]` and `[config_external]`.
    pub(super) fn set_ranges(&mut self, config: &Config, now: Instant) -> Result<(), String> {
        let wanted = wanted(config);
        self.ranges
            .missing
            .retain(|port_addr, _| wanted.contains_key(port_addr));
        let gone = self
            .ranges
            .ports
            .iter()
            .filter(|(port_addr, port)| wanted.get(port_addr) != Some(&port.mode));
        let gone: Vec<_> = gone.map(|(port_addr, port)| (*port_addr, port.id)).collect();
        for (port_addr, id) in gone {
            self.end_ranged_sessions(id);
            self.close_ranged(id, None);
            if let Some(idle) = &self.ranges.idle {
                idle.forget(id);
            }
            self.ranges.guard.remove(id);
            self.ranges.addrs.remove(&id);
            self.ranges.ports.remove(&port_addr);
        }
        let is_other = self.ranges.config_client.external != config.config_external;
        let opened = self.ranges.open(config);
        if is_other {
            self.forget_answers(now);
        }
        opened.map_err(|(what, error)| format!("{what}: {error}; the gateway retries until it succeeds"))
    }

    /// The backend or its timing has changed: refusals expire, and open ports are asked about again.
    fn forget_answers(&mut self, now: Instant) {
        let ids: Vec<_> = self.ranges.addrs.keys().copied().collect();
        for id in ids {
            match self.ranges.by_id(id).map(|port| &mut port.state) {
                Some(PortState::Open(open)) => {
                    open.asked = None;
                    open.recheck.holds_until(now);
                }
                // Callers whose question went to the old backend are asked about again with their next handshake.
                Some(PortState::Idle | PortState::Asking(..)) => self.ranges.make_idle(id, None),
                None => {}
            }
        }
    }

    /// After a reload, the configuration takes precedence over answers.
    pub(super) fn restore_answers(&mut self, now: Instant) {
        let open = self.ranges.ports.values().filter_map(|port| match &port.state {
            PortState::Open(open) => Some(StreamName::new(open.answer.stream.as_str())),
            _ => None,
        });
        let names: Vec<_> = open.collect();
        for name in names {
            if self.registry.is_by_table(&name) && !self.config.streams.contains_key(name.as_str()) {
                continue;
            }
            self.apply_answers(&name, now);
        }
    }

    fn end_ranged_sessions(&mut self, id: IdleId) {
        let Some(Ranged {
            state: PortState::Open(open),
            ..
        }) = self.ranges.by_id(id)
        else {
            return;
        };
        let connections = Arc::clone(&open.policy.connections);
        self.end_sessions_of_port(&connections);
    }
}
