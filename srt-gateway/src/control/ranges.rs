//! Ports of `[[listeners]]`: idle until somebody calls, then as the backend of `[config_external]` says.
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
//! Part of control's thread; [`Keeper`] runs on the thread of the idle ports and in listen callbacks. Control keeps each port's
//! UDP socket for as long as the configuration has the port; libsrt gets a duplicate of the descriptor. So a port is never
//! bound twice, and never lost to another program. What an answer says of a stream is the stream's table while such a port is open.

mod asker;
mod keeper;
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

use asker::Asker;
use keeper::{Keeper, Verdict};
use sockets::{bind, raise_descriptors};

use super::{
    Control, StreamPlan,
    ports::{Opener, PortKey, check_option, policy},
};
use crate::{
    access::{PortPolicy, Recheck, Scope, Why},
    address::ZonedIp,
    backend::{Answer, Backend, CallError},
    config::{Action, AnswerFaults, Config, PortAnswer, PortKind, SrtPort, Stream},
    data::Slot,
    io::{IdleId, IdlePorts},
    names::StreamName,
};

/// How long it holds that the backend could not be asked, or answered nonsense.
const FAILURE_HOLDS: Duration = Duration::from_secs(2);

/// A port that was opened is idle again when nobody has been there for this long, or for `cache` if that is longer.
const LONG: Duration = Duration::from_secs(300);

/// As [`LONG`], of a port that nobody has connected to since it was opened.
const UNUSED: Duration = Duration::from_secs(30);

/// How often ports are tried that could not be bound.
const RETRY: Duration = Duration::from_millis(500);

/// What control is told about ports of `[[listeners]]`.
#[derive(Debug)]
pub(crate) enum RangeEvent {
    /// Somebody calls a port that is idle, or whose answer holds no longer. An idle port comes with the caller's place among those
    /// whom ports are opened for.
    Contact(IdleId, SocketAddr, Option<Slot>),
    /// The backend's answer to a question.
    Answered(IdleId, u64, Result<Answer, CallError>),
}

/// One port: its address and number.
type Place = (Option<ZonedIp>, u16);

/// All ports of `[[listeners]]`.
#[derive(Debug)]
pub(crate) struct Ranges {
    ports: BTreeMap<Place, Ranged>,
    places: HashMap<IdleId, Place>,
    /// There with the first port.
    idle: Option<IdlePorts>,
    keeper: Arc<Keeper>,
    asker: Asker,
    last_id: u32,
    /// Ports of the configuration that could not be bound yet.
    missing: BTreeMap<Place, Action>,
    next_try: Instant,
}

#[derive(Debug)]
struct Ranged {
    id: IdleId,
    addr: SocketAddr,
    mode: Action,
    socket: Arc<UdpSocket>,
    state: State,
}

#[derive(Debug)]
enum State {
    Idle,
    /// The question's number, who calls, and the place that the port takes until it is used.
    Asking(u64, SocketAddr, Option<Slot>),
    Open(Box<Open>),
}

/// A port that listens.
#[derive(Debug)]
struct Open {
    answer: PortAnswer,
    key: PortKey,
    policy: Arc<PortPolicy>,
    recheck: Arc<Recheck>,
    /// The question under way.
    asked: Option<u64>,
    /// When somebody was there last.
    used: Instant,
    /// Nobody has been there yet: the port counts for whom it was opened for.
    unused: Option<Unused>,
}

/// Of a port that nobody has connected to yet.
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

/// The ports of a configuration.
fn wanted(config: &Config) -> BTreeMap<Place, Action> {
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

    /// Without ports. `events` are those that control itself receives; `gateway` is what the backend is told that we are called.
    pub(crate) fn new(
        backend: Arc<Backend>,
        opener: &Opener,
        gateway: String,
        events: Sender<RangeEvent>,
    ) -> Self {
        Self {
            ports: BTreeMap::new(),
            places: HashMap::new(),
            idle: None,
            keeper: Keeper::new(opener.guards.clone(), opener.refused.clone(), events.clone()),
            asker: Asker::new(backend, gateway, events),
            last_id: 0,
            missing: BTreeMap::new(),
            next_try: Instant::now(),
        }
    }

    /// Takes `[config_external]` over and binds the ports of `[[listeners]]`. What could not be bound is tried again.
    ///
    /// # Errors
    /// The first port that could not be bound, and why; or that there is no way to ask.
    pub(crate) fn open(&mut self, config: &Config) -> Result<(), (String, io::Error)> {
        let external = self.asker.configure(config.config_external.as_ref());
        external.map_err(|error| ("the url of [config_external]".to_owned(), error))?;
        let wanted = wanted(config);
        raise_descriptors(wanted.len()).map_err(|error| ("[[listeners]]".to_owned(), error))?;
        let mut failed = None;
        for (place, mode) in wanted {
            if self.ports.contains_key(&place) {
                continue;
            }
            if let Err(error) = self.add(place, mode) {
                self.missing.insert(place, mode);
                failed.get_or_insert_with(|| (format!("port {} of [[listeners]]", place.1), error));
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn add(&mut self, place: Place, mode: Action) -> io::Result<()> {
        let socket = Arc::new(bind(place)?);
        let addr = socket.local_addr()?;
        self.last_id += 1;
        let id = IdleId(self.last_id);
        let idle = match &self.idle {
            Some(idle) => idle,
            None => self.idle.insert(IdlePorts::start(Arc::clone(&self.keeper))?),
        };
        let standard = SrtPort {
            kind: kind(mode),
            listen: addr.into(),
            settings: crate::config::SrtSettings::default(),
            at: crate::config::Location::default(),
        };
        let policy = Arc::new(policy(Scope::Global, &standard, addr));
        self.keeper.set(
            id,
            Verdict {
                policy,
                key_length: None,
                why: None,
            },
        );
        idle.add(id, &socket)?;
        self.places.insert(id, place);
        let state = State::Idle;
        self.ports.insert(
            place,
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
        self.ports.get_mut(self.places.get(&id)?)
    }

    /// What the open ports' answers say of a stream, if they say anything.
    fn table_for(&self, name: &str) -> Option<&PortAnswer> {
        let answers = self.ports.values().filter_map(|port| match &port.state {
            State::Open(open) if open.answer.stream == name => Some(&open.answer),
            _ => None,
        });
        // One that says something of the stream rather than one that only names it.
        answers.max_by_key(|answer| answer.table.is_some())
    }

    /// Makes a port idle. `verdict` is what its callers are told for a while.
    fn rest(&mut self, id: IdleId, why: Option<(Why, Instant)>) {
        if let Some(mut verdict) = self.keeper.verdict(id) {
            verdict.why = why;
            self.keeper.set(id, verdict);
        }
        let Some(port) = self.by_id(id) else { return };
        port.state = State::Idle;
        let socket = Arc::clone(&port.socket);
        let Some(idle) = &self.idle else { return };
        idle.forget(id);
        if let Err(error) = idle.add(id, &socket) {
            warn!(%error, "cannot watch a port of [[listeners]]");
        }
    }
}

/// What came of a question.
enum Outcome {
    Configure(Box<PortAnswer>),
    Refuse,
    Failed(Why),
}

fn outcome(answer: Result<Answer, CallError>, config: &Config) -> Outcome {
    let failed = |error: CallError| Outcome::Failed(Why::BackendFailed(error.to_string()));
    let answer = match answer {
        Ok(answer) if answer.status == 404 => return Outcome::Refuse,
        Ok(answer) if !answer.is_success() => return failed(CallError::Status(answer.status)),
        Ok(answer) => answer,
        Err(error) => return failed(error),
    };
    let fields = match answer.fields() {
        Ok(fields) => fields,
        Err(error) => return Outcome::Failed(Why::BackendNonsense(error.to_string())),
    };
    let checked = PortAnswer::read(fields.all(), config).and_then(|read| {
        read.validate_options(check_option)?;
        Ok(read)
    });
    match checked {
        Ok(answer) => Outcome::Configure(Box::new(answer)),
        Err(faults) => Outcome::Failed(nonsense(&faults)),
    }
}

fn nonsense(faults: &AnswerFaults) -> Why {
    Why::BackendNonsense(format!("answered with an invalid configuration: {faults}"))
}

impl Control {
    pub(super) fn range_event(&mut self, event: RangeEvent, now: Instant) {
        match event {
            RangeEvent::Contact(id, peer, slot) => self.ask_about(id, peer, slot, now),
            RangeEvent::Answered(id, number, answer) => self.answered(id, number, answer, now),
        }
    }

    fn ask_about(&mut self, id: IdleId, peer: SocketAddr, slot: Option<Slot>, now: Instant) {
        let Some(place) = self.ranges.places.get(&id) else {
            return;
        };
        let Some(port) = self.ranges.ports.get_mut(place) else {
            return;
        };
        let asked = self.ranges.asker.ask(id, port, peer);
        match (&mut port.state, asked) {
            (State::Open(open), Ok(number)) => open.asked = Some(number),
            (state, Ok(number)) => *state = State::Asking(number, peer, slot),
            (_, Err(why)) => self.ask_failed(id, Why::BackendFailed(why), now),
        }
    }

    fn answered(&mut self, id: IdleId, number: u64, answer: Result<Answer, CallError>, now: Instant) {
        let Some(port) = self.ranges.by_id(id) else {
            return;
        };
        let is_asked = match &port.state {
            State::Asking(asked, ..) => *asked == number,
            State::Open(open) => open.asked == Some(number),
            State::Idle => false,
        };
        if !is_asked {
            return;
        }
        match outcome(answer, &self.config) {
            Outcome::Configure(answer) => self.configure_port(id, *answer, now),
            Outcome::Refuse => {
                let until = now + self.ranges.asker.holds();
                self.close_ranged(id, Some((Why::PortRefused, until)));
            }
            Outcome::Failed(why) => self.ask_failed(id, why, now),
        }
    }

    /// No answer: what was configured stays so, what was not is refused for a moment.
    fn ask_failed(&mut self, id: IdleId, why: Why, now: Instant) {
        let until = now + FAILURE_HOLDS;
        let Some(port) = self.ranges.by_id(id) else {
            return;
        };
        warn!(port = port.addr.port(), "the backend of [config_external] {why}");
        if let State::Open(open) = &mut port.state {
            open.asked = None;
            return open.recheck.holds_until(until);
        }
        self.ranges.rest(id, Some((why, until)));
    }

    fn configure_port(&mut self, id: IdleId, answer: PortAnswer, now: Instant) {
        let until = now + self.ranges.asker.holds();
        if let Some(Ranged {
            state: State::Open(open),
            ..
        }) = self.ranges.by_id(id)
        {
            open.asked = None;
            if open.answer == answer {
                return open.recheck.holds_until(until);
            }
            // Nobody is there: the question was put because of that.
            self.close_ranged(id, None);
        }
        if let Err(why) = self.open_ranged(id, answer, until, now) {
            warn!("{why}");
            self.ranges
                .rest(id, Some((Why::BackendNonsense(why), now + FAILURE_HOLDS)));
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
        let events = self.ranges.asker.events.clone();
        let Some(port) = self.ranges.by_id(id) else {
            return Ok(());
        };
        let (peer, slot) = match std::mem::replace(&mut port.state, State::Idle) {
            State::Asking(_, peer, slot) => (Some(peer), slot),
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
        self.ranges.keeper.set_key_length(id, key_length);
        let key = PortKey::of_range(&name, &srt);
        // Before libsrt has the socket: it finds the caller's handshake there.
        let before = self
            .ranges
            .table_for(&answer.stream)
            .is_some_and(|other| other.table.is_some());
        if answer.table.is_some() || !before {
            self.furnish_from(&name, &answer, now);
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
                self.furnish_from_answers(&name, now);
                return Err(why);
            }
        };
        let policy = Arc::clone(opened.gate.port());
        self.ports.push(opened);
        info!(port = %policy, peer = ?peer, "configured by the backend of [config_external]");
        port.state = State::Open(Box::new(Open {
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

    /// Closes a port of libsrt, if it is one, and makes it idle.
    fn close_ranged(&mut self, id: IdleId, why: Option<(Why, Instant)>) {
        let mut stream = None;
        if let Some(Ranged {
            state: State::Open(open),
            ..
        }) = self.ranges.by_id(id)
        {
            let (key, name) = (open.key.clone(), open.answer.stream.clone());
            self.close_port(&key);
            stream = Some(StreamName::new(name));
        }
        self.ranges.rest(id, why);
        if let Some(name) = stream {
            self.furnish_from_answers(&name, Instant::now());
            self.publish_listening();
        }
    }

    /// Puts in force what the open ports' answers say of a stream that no table names, or that they say nothing any more.
    fn furnish_from_answers(&mut self, name: &StreamName, now: Instant) {
        match self.ranges.table_for(name.as_str()).cloned() {
            Some(answer) => self.furnish_from(name, &answer, now),
            None if self.config.streams.contains_key(name.as_str()) => {}
            None => {
                self.registry.unconfigure(name);
                self.refurnish(name, now);
                if !self.registry.is_configured(name) && !self.registry.accepts_unknown() {
                    self.end_sessions(|session| session.stream == *name);
                }
            }
        }
    }

    /// Makes a stream what an answer says, unless a table of the configuration names it.
    fn furnish_from(&mut self, name: &StreamName, answer: &PortAnswer, now: Instant) {
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

    /// Ports that nobody has used for long become idle; those that could not be bound are tried.
    pub(super) fn tick_ranges(&mut self, now: Instant) {
        let long = LONG.max(self.ranges.asker.holds());
        let mut unused = Vec::new();
        for port in self.ranges.ports.values_mut() {
            if let State::Open(open) = &mut port.state {
                if open.policy.connections.taken() > 0 {
                    open.unused = None;
                    open.used = now;
                } else if open.asked.is_some() {
                    open.used = now;
                }
                let long = if open.unused.is_some() { UNUSED } else { long };
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
            for (place, mode) in std::mem::take(&mut self.ranges.missing) {
                match self.ranges.add(place, mode) {
                    Ok(()) => info!(port = place.1, "bound a port of [[listeners]] after retries"),
                    Err(_) => drop(self.ranges.missing.insert(place, mode)),
                }
            }
        }
    }

    /// Puts other `[[listeners]]` and another `[config_external]` in force.
    pub(super) fn set_ranges(&mut self, config: &Config, now: Instant) -> Result<(), String> {
        let wanted = wanted(config);
        self.ranges.missing.retain(|place, _| wanted.contains_key(place));
        let gone = self
            .ranges
            .ports
            .iter()
            .filter(|(place, port)| wanted.get(place) != Some(&port.mode));
        let gone: Vec<_> = gone.map(|(place, port)| (*place, port.id)).collect();
        for (place, id) in gone {
            self.end_ranged_sessions(id);
            self.close_ranged(id, None);
            if let Some(idle) = &self.ranges.idle {
                idle.forget(id);
            }
            self.ranges.keeper.remove(id);
            self.ranges.places.remove(&id);
            self.ranges.ports.remove(&place);
        }
        let is_other = self.ranges.asker.external != config.config_external;
        let opened = self.ranges.open(config);
        if is_other {
            self.forget_answers(now);
        }
        opened.map_err(|(what, error)| format!("{what}: {error}; the gateway retries until it succeeds"))
    }

    /// Another backend, or the same with other times: refusals hold no longer, and what is open is asked about again.
    fn forget_answers(&mut self, now: Instant) {
        let ids: Vec<_> = self.ranges.places.keys().copied().collect();
        for id in ids {
            match self.ranges.by_id(id).map(|port| &mut port.state) {
                Some(State::Open(open)) => {
                    open.asked = None;
                    open.recheck.holds_until(now);
                }
                // Those who asked the old one ask the new one with their next handshake.
                Some(State::Idle | State::Asking(..)) => self.ranges.rest(id, None),
                None => {}
            }
        }
    }

    /// After another configuration is in force: what it says of streams comes before what answers say.
    pub(super) fn restore_answers(&mut self, now: Instant) {
        let open = self.ranges.ports.values().filter_map(|port| match &port.state {
            State::Open(open) => Some(StreamName::new(open.answer.stream.as_str())),
            _ => None,
        });
        let names: Vec<_> = open.collect();
        for name in names {
            if self.registry.is_by_table(&name) && !self.config.streams.contains_key(name.as_str()) {
                continue;
            }
            self.furnish_from_answers(&name, now);
        }
    }

    fn end_ranged_sessions(&mut self, id: IdleId) {
        let Some(Ranged {
            state: State::Open(open),
            ..
        }) = self.ranges.by_id(id)
        else {
            return;
        };
        let connections = Arc::clone(&open.policy.connections);
        self.end_sessions_of_port(&connections);
    }
}
