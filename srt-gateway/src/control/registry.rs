//! Control's streams and sessions, and the snapshot of the streams for the listen callbacks.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::Arc,
    time::Instant,
};

use arc_swap::ArcSwap;
use srt_safe::{ReaderTiming, SocketId};

use super::{
    SessionFacts, SessionStatus,
    plan::StreamPlan,
    templates::{MAX_UNUSED, UNUSED_LIFETIME},
};
use crate::{
    access::{
        AccessPolicy, Directory, HopList, Identity, PortPolicy, Quotas, StreamEntry, StreamPolicy,
        TemplateEntry,
    },
    config,
    data::{SourceLoss, StartAt, Stream},
    io::OUTLETS,
    names::{Role, SessionId, StreamName},
    telemetry::SessionCounters,
};

/// An open session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) role: Role,
    pub(super) stream: StreamName,
    pub(super) peer: SocketAddr,
    pub(super) socket: SocketId,
    pub(super) worker: usize,
    pub(super) opened: Instant,
    pub(super) via: SessionOrigin,
    /// The gateways that the peer's call has passed.
    pub(super) hop_list: HopList,
    /// The peer's streamid, byte for byte; it may contain a password.
    pub(super) streamid: Box<[u8]>,
    pub(super) facts: SessionFacts,
    pub(super) counters: Arc<SessionCounters>,
}

/// How a session was created.
#[derive(Debug)]
pub(super) enum SessionOrigin {
    /// The peer called this port.
    Port(Arc<PortPolicy>),
    /// It belongs to an input or output. If the peer called, this is the policy that admitted it.
    Endpoint(Option<Arc<PortPolicy>>),
}

impl SessionOrigin {
    /// The policy that admitted the peer, if the peer called.
    pub(super) fn admitted_by(&self) -> Option<&Arc<PortPolicy>> {
        match self {
            Self::Port(port) => Some(port),
            Self::Endpoint(port) => port.as_ref(),
        }
    }
}

/// A stream and its sessions.
///
/// ```text
///   configured ─────────────────────────────▶ stays
///   of a template ──first session──▶ there ──last caller gone for a while──▶ forgotten (see `templates`)
///   unknown name  ──first session──▶ there ──last session gone─────────────▶ forgotten
/// ```
#[derive(Debug)]
struct StreamState {
    entry: StreamEntry,
    start_at: StartAt,
    ingest: ReaderTiming,
    ring_bytes: usize,
    origin: Origin,
    sessions: Vec<SessionId>,
    /// Since when it has had no source.
    sourceless_since: Instant,
    /// The source and its ring position at the last check that found progress, and the time of that check.
    progress: (Option<SessionId>, u64),
    progress_at: Instant,
}

/// All streams and sessions.
#[derive(Debug)]
pub(crate) struct Registry {
    directory: Arc<ArcSwap<Directory>>,
    streams: HashMap<StreamName, StreamState>,
    sessions: BTreeMap<SessionId, Session>,
    /// The properties of streams without a table.
    default_plan: StreamPlan,
    /// The properties of template streams; their entries are in the directory too.
    templates: Vec<(TemplateEntry, StreamPlan)>,
    /// The number of readers of each stream: workers and outlets.
    places: usize,
}

impl Registry {
    /// Creates the configured streams and publishes the first snapshot. `accept_unknown` goes into the directory.
    pub(crate) fn new(
        configured: impl IntoIterator<Item = (StreamName, StreamPlan)>,
        templates: Vec<(TemplateEntry, StreamPlan)>,
        default_plan: StreamPlan,
        accept_unknown: Option<Arc<StreamPolicy>>,
        identity: Identity,
        access: Arc<AccessPolicy>,
        workers: usize,
    ) -> Self {
        let directory = Directory {
            streams: HashMap::new(),
            templates: entries(&templates),
            unknown: accept_unknown,
            identity,
            access,
            quotas: Quotas::default(),
            slots: Arc::default(),
        };
        let mut registry = Self {
            directory: Arc::new(ArcSwap::from_pointee(directory)),
            streams: HashMap::new(),
            sessions: BTreeMap::new(),
            default_plan,
            templates,
            places: workers + OUTLETS,
        };
        for (name, plan) in configured {
            registry.make_stream(name, &plan, Origin::Configuration);
        }
        registry.publish();
        registry
    }

    /// The snapshot for the listen callbacks.
    pub(crate) fn directory(&self) -> &Arc<ArcSwap<Directory>> {
        &self.directory
    }

    /// Returns the stream of that name, creating it if needed: a granted stream may have been removed in the meantime.
    pub(super) fn stream(&mut self, name: &StreamName) -> Arc<Stream> {
        if let Some(state) = self.streams.get(name) {
            return Arc::clone(&state.entry.stream);
        }
        let (plan, origin) = self.plan_for(name);
        let stream = self.make_stream(name.clone(), &plan, origin);
        self.publish();
        stream
    }

    /// Creates a stream as configured, or changes an existing one. Its sessions stay.
    pub(super) fn configure(&mut self, name: &StreamName, plan: &StreamPlan) -> ConfigureOutcome {
        let Some(state) = self.streams.get_mut(name) else {
            self.make_stream(name.clone(), plan, Origin::Configuration);
            self.publish();
            return ConfigureOutcome::Whole;
        };
        state.entry.policy = Arc::clone(&plan.policy);
        (state.start_at, state.ingest) = (plan.start_at, plan.ingest);
        state.origin = Origin::Configuration;
        let mut done = ConfigureOutcome::Whole;
        if state.ring_bytes != plan.ring_bytes {
            if state.sessions.is_empty() {
                state.entry.stream = Stream::new(name.clone(), plan.ring_bytes, self.places);
                state.ring_bytes = plan.ring_bytes;
            } else {
                done = ConfigureOutcome::RingInUse;
            }
        }
        self.publish();
        done
    }

    /// The properties of a stream without a table.
    fn plan_for(&self, name: &StreamName) -> (StreamPlan, Origin) {
        let fits =
            |(entry, _): &&(TemplateEntry, StreamPlan)| name.as_str().starts_with(&entry.template.prefix);
        match self.templates.iter().find(fits) {
            Some((entry, plan)) => (
                plan.clone(),
                Origin::Template(entry.name.clone(), TemplateUse::New),
            ),
            None => (self.default_plan.clone(), Origin::Caller),
        }
    }

    /// Removes a stream from the configuration: at once, or with its last session. Until then it is treated like any
    /// stream without a table.
    pub(super) fn unconfigure(&mut self, name: &StreamName) {
        self.replan(name);
        if self
            .streams
            .get(name)
            .is_some_and(|state| state.sessions.is_empty())
        {
            self.streams.remove(name);
        }
        self.publish();
    }

    /// Gives a stream the properties of a stream without a table.
    fn replan(&mut self, name: &StreamName) {
        let (plan, origin) = self.plan_for(name);
        if let Some(state) = self.streams.get_mut(name) {
            state.origin = origin;
            state.entry.policy = plan.policy;
            (state.start_at, state.ingest) = (plan.start_at, plan.ingest);
        }
    }

    /// Replaces the templates; `changed` names those that differ. Returns the affected streams.
    pub(super) fn set_templates(
        &mut self,
        templates: Vec<(TemplateEntry, StreamPlan)>,
        changed: &[StreamName],
    ) -> Vec<StreamName> {
        self.templates = templates;
        let mut directory = Directory::clone(&self.directory.load());
        directory.templates = entries(&self.templates);
        self.directory.store(Arc::new(directory));
        let is_touched = |(name, state): &(&StreamName, &StreamState)| {
            let (_, next) = self.plan_for(name);
            match (state.origin.template(), next.template()) {
                _ if state.origin == Origin::Configuration => false,
                (Some(before), Some(after)) => before != after || changed.contains(after),
                (before, after) => before != after,
            }
        };
        let streams = self.streams.iter().filter(is_touched);
        let touched: Vec<_> = streams.map(|(name, _)| name.clone()).collect();
        for name in &touched {
            self.replan(name);
        }
        self.publish();
        touched
    }

    /// Returns the table to apply to a used template stream, or None if it has already been applied.
    pub(super) fn apply_template(
        &mut self,
        name: &StreamName,
    ) -> Option<Result<config::Stream, config::ExpandError>> {
        let Origin::Template(of, usage) = &mut self.streams.get_mut(name)?.origin else {
            return None;
        };
        let is_furnished = matches!(usage, TemplateUse::Used | TemplateUse::Unused(_));
        *usage = TemplateUse::Used;
        let (entry, _) = self.templates.iter().find(|(entry, _)| entry.name == *of)?;
        (!is_furnished).then(|| entry.template.for_stream(name.as_str()))
    }

    /// Retires and returns the template streams that have been unused for too long.
    pub(super) fn retire_unused_streams(&mut self, now: Instant) -> Vec<StreamName> {
        let mut unused = Vec::new();
        for (name, state) in &mut self.streams {
            let Origin::Template(_, usage) = &mut state.origin else {
                continue;
            };
            let mut sessions = state.sessions.iter().filter_map(|id| self.sessions.get(id));
            let is_used = sessions.any(|session| matches!(session.via, SessionOrigin::Port(_)));
            let carried = state.entry.stream.ring().counters().bytes > 0;
            *usage = match *usage {
                TemplateUse::Retired => TemplateUse::Retired,
                _ if is_used => TemplateUse::Used,
                // A stream that was requested but never carried data is not worth keeping, and anybody can request any
                // name.
                TemplateUse::New | TemplateUse::Used => {
                    TemplateUse::Unused(if carried { now + UNUSED_LIFETIME } else { now })
                }
                TemplateUse::Unused(until) => TemplateUse::Unused(until),
            };
            if let TemplateUse::Unused(until) = *usage {
                unused.push((until, name.clone()));
            }
        }
        unused.sort();
        let too_many = unused.len().saturating_sub(MAX_UNUSED);
        let due = unused.partition_point(|(until, _)| *until <= now).max(too_many);
        unused.truncate(due);
        let due: Vec<_> = unused.into_iter().map(|(_, name)| name).collect();
        for name in &due {
            if let Some(Origin::Template(_, usage)) =
                self.streams.get_mut(name).map(|state| &mut state.origin)
            {
                *usage = TemplateUse::Retired;
            }
        }
        due
    }

    pub(super) fn has_retired(&self) -> bool {
        self.streams.values().any(StreamState::is_retired)
    }

    /// Removes retired streams that have neither sessions nor endpoints left.
    pub(super) fn forget_retired(&mut self, is_busy: impl Fn(&StreamName) -> bool) {
        let before = self.streams.len();
        self.streams
            .retain(|name, state| !state.is_retired() || !state.sessions.is_empty() || is_busy(name));
        if self.streams.len() != before {
            self.publish();
        }
    }

    /// Replaces the defaults of streams without a table, including existing ones.
    pub(super) fn set_defaults(&mut self, plan: StreamPlan, accept_unknown: Option<Arc<StreamPolicy>>) {
        for state in self
            .streams
            .values_mut()
            .filter(|state| state.origin == Origin::Caller)
        {
            state.entry.policy = Arc::clone(&plan.policy);
            (state.start_at, state.ingest) = (plan.start_at, plan.ingest);
        }
        self.default_plan = plan;
        self.publish_with(accept_unknown);
    }

    /// Replaces the access settings that apply to all streams.
    pub(super) fn set_access(&self, access: AccessPolicy) {
        let mut directory = Directory::clone(&self.directory.load());
        directory.access = Arc::new(access);
        self.directory.store(Arc::new(directory));
    }

    /// Replaces the quotas of `[limits]`.
    pub(crate) fn set_quotas(&self, quotas: Quotas) {
        let mut directory = Directory::clone(&self.directory.load());
        directory.quotas = quotas;
        self.directory.store(Arc::new(directory));
    }

    /// Whether streams without a table are allowed.
    pub(super) fn accepts_unknown(&self) -> bool {
        self.directory.load().unknown.is_some()
    }

    /// The open sessions.
    pub(super) fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values()
    }

    /// The open sessions for display, the oldest first.
    pub(super) fn session_statuses(&self, now: Instant) -> Vec<SessionStatus> {
        let status = |(id, session): (&SessionId, &Session)| SessionStatus {
            id: *id,
            role: session.role,
            stream: session.stream.clone(),
            peer: session.peer,
            port: match &session.via {
                SessionOrigin::Port(port) => port.to_string(),
                SessionOrigin::Endpoint(_) => "input or output".to_owned(),
            },
            age: now.duration_since(session.opened),
            messages: session.counters.messages(),
            bytes: session.counters.bytes(),
            skipped: session.counters.skipped(),
            of_endpoint: matches!(session.via, SessionOrigin::Endpoint(_)),
            facts: session.facts.clone(),
            figures: session.counters.figures(),
            links: session.counters.links(),
            counters: Arc::clone(&session.counters),
            standby: session.role == Role::Publisher
                && self
                    .streams
                    .get(&session.stream)
                    .is_some_and(|state| state.entry.stream.source() != Some(*id)),
        };
        self.sessions.iter().map(status).collect()
    }

    /// The sessions that feed a stream or stand by to do so.
    pub(super) fn inputs(&self, name: &StreamName) -> Vec<(SessionId, Arc<SessionCounters>)> {
        let sessions = self.streams.get(name).map(|state| state.sessions.as_slice());
        let sessions = sessions.unwrap_or_default().iter();
        sessions
            .filter_map(|id| Some((*id, self.sessions.get(id)?)))
            .filter(|(_, session)| session.role == Role::Publisher)
            .map(|(id, session)| (id, Arc::clone(&session.counters)))
            .collect()
    }

    /// Whether the stream exists by a table, either of the configuration or of a backend's answer.
    pub(super) fn is_by_table(&self, name: &StreamName) -> bool {
        let state = self.streams.get(name);
        state.is_some_and(|state| state.origin == Origin::Configuration)
    }

    /// Whether the stream exists and is configured, by a table or a template.
    pub(super) fn is_configured(&self, name: &StreamName) -> bool {
        self.streams
            .get(name)
            .is_some_and(|state| state.origin != Origin::Caller)
    }

    fn make_stream(&mut self, name: StreamName, plan: &StreamPlan, origin: Origin) -> Arc<Stream> {
        let stream = Stream::new(name.clone(), plan.ring_bytes, self.places);
        let state = StreamState {
            entry: StreamEntry {
                stream: Arc::clone(&stream),
                policy: Arc::clone(&plan.policy),
                // The directory sets it.
                is_created: false,
            },
            start_at: plan.start_at,
            ingest: plan.ingest,
            ring_bytes: plan.ring_bytes,
            origin,
            sessions: Vec::new(),
            sourceless_since: Instant::now(),
            progress: (None, 0),
            progress_at: Instant::now(),
        };
        self.streams.insert(name, state);
        stream
    }

    /// The start position of the stream's viewers.
    pub(super) fn start_at(&self, name: &StreamName) -> StartAt {
        self.streams
            .get(name)
            .map_or(self.default_plan.start_at, |state| state.start_at)
    }

    /// When packets of the stream's publishers are relayed.
    pub(super) fn ingest(&self, name: &StreamName) -> ReaderTiming {
        self.streams
            .get(name)
            .map_or(self.default_plan.ingest, |state| state.ingest)
    }

    pub(super) fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    /// The session that has this socket.
    pub(super) fn session_of(&self, socket: SocketId) -> Option<SessionId> {
        let found = self.sessions.iter().find(|(_, session)| session.socket == socket);
        found.map(|(id, _)| *id)
    }

    pub(super) fn add_session(&mut self, id: SessionId, session: Session) {
        if let Some(state) = self.streams.get_mut(&session.stream) {
            state.sessions.push(id);
        }
        self.sessions.insert(id, session);
    }

    pub(super) fn remove_session(&mut self, id: SessionId) -> Option<Session> {
        let session = self.sessions.remove(&id)?;
        let state = self.streams.get_mut(&session.stream)?;
        state.sessions.retain(|other| *other != id);
        if state.sessions.is_empty() && state.origin == Origin::Caller {
            self.streams.remove(&session.stream);
            self.publish();
        }
        Some(session)
    }

    /// Checks which sources are silent, and since when.
    pub(super) fn watch_sources(&mut self, now: Instant) {
        for state in self.streams.values_mut() {
            let stream = &state.entry.stream;
            let progress = (stream.source(), stream.ring().head().as_u64());
            if progress != state.progress || progress.0.is_none() {
                state.progress = progress;
                state.progress_at = now;
            }
            stream.set_quiet_for(now.duration_since(state.progress_at));
        }
    }

    /// Whether a viewer waits for a source, or a template stream may expire.
    pub(super) fn has_deadlines(&self) -> bool {
        let is_temporary = |state: &StreamState| matches!(state.origin, Origin::Template(..));
        let waits = |session: &Session| {
            let state = self.streams.get(&session.stream);
            session.role == Role::Viewer && state.is_some_and(|state| !state.entry.stream.has_source())
        };
        self.sessions.values().any(waits) || self.streams.values().any(is_temporary)
    }

    /// The session that feeds the stream.
    pub(super) fn source(&self, name: &StreamName) -> Option<SessionId> {
        self.streams.get(name)?.entry.stream.source()
    }

    /// Records how the stream lost its source; None: it has one again.
    pub(super) fn note_loss(&self, name: &StreamName, loss: Option<SourceLoss>) {
        if let Some(state) = self.streams.get(name) {
            state.entry.stream.set_loss(loss);
        }
    }

    /// Whether the stream has viewers, over SRT or HTTP.
    pub(super) fn has_viewers(&self, name: &StreamName) -> bool {
        let state = self.streams.get(name);
        state.is_some_and(|state| state.entry.stream.viewers() + state.entry.stream.watchers() > 0)
    }

    /// The streams that have a source.
    pub(super) fn fed(&self) -> impl Iterator<Item = &StreamName> {
        let fed = self
            .streams
            .iter()
            .filter(|(_, state)| state.entry.stream.has_source());
        fed.map(|(name, _)| name)
    }

    /// The policy of a stream.
    pub(super) fn policy(&self, name: &StreamName) -> Arc<StreamPolicy> {
        let state = self.streams.get(name);
        state.map_or_else(
            || Arc::clone(&self.default_plan.policy),
            |state| Arc::clone(&state.entry.policy),
        )
    }

    /// Viewers that have waited longer than `on_source_lost` for a source.
    pub(super) fn overdue_viewers(&mut self, now: Instant) -> Vec<(SocketId, usize)> {
        for state in self.streams.values_mut() {
            if state.entry.stream.has_source() {
                state.sourceless_since = now;
            }
        }
        let sourceless = self
            .streams
            .values()
            .filter(|state| !state.entry.stream.has_source());
        sourceless
            .flat_map(|state| {
                let hold = state.entry.policy.on_source_lost;
                let sessions = state.sessions.iter().filter_map(|id| self.sessions.get(id));
                sessions.filter(move |session| {
                    let since = session.opened.max(state.sourceless_since);
                    session.role == Role::Viewer && now.duration_since(since) >= hold
                })
            })
            .map(|session| (session.socket, session.worker))
            .collect()
    }

    /// The gateways that the stream has passed, from its first session of `role` that carries such a list.
    pub(super) fn hop_list(&self, name: &StreamName, role: Role) -> HopList {
        let state = self.streams.get(name);
        let source = state.and_then(|state| state.entry.stream.source());
        let sessions = state.map(|state| state.sessions.as_slice()).unwrap_or_default();
        // The publisher that feeds comes before those on standby.
        let mut trails = source
            .iter()
            .chain(sessions)
            .filter_map(|id| self.sessions.get(id))
            .filter(|session| session.role == role && session.hop_list != HopList::default())
            .map(|session| session.hop_list.clone());
        trails.next().unwrap_or_default()
    }

    fn publish(&self) {
        self.publish_with(self.directory.load().unknown.clone());
    }

    fn publish_with(&self, unknown: Option<Arc<StreamPolicy>>) {
        // A stream that is no longer allowed exists until its sessions have ended, but admits nobody.
        let allowed = |state: &StreamState| state.origin != Origin::Caller || unknown.is_some();
        let streams = self
            .streams
            .iter()
            .filter(|(_, state)| allowed(state))
            .map(|(name, state)| {
                let is_created = state.origin != Origin::Configuration;
                let entry = state.entry.clone();
                (name.clone(), StreamEntry { is_created, ..entry })
            })
            .collect();
        let last = self.directory.load();
        self.directory.store(Arc::new(Directory {
            streams,
            templates: Arc::clone(&last.templates),
            unknown,
            identity: last.identity.clone(),
            access: Arc::clone(&last.access),
            quotas: last.quotas,
            slots: Arc::clone(&last.slots),
        }));
    }
}

/// Why a stream exists.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// A table names it: it exists even without sessions.
    Configuration,
    /// The template of this name matches it.
    Template(StreamName, TemplateUse),
    /// A caller requested it.
    Caller,
}

/// The state of a template stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TemplateUse {
    New,
    /// Its inputs and outputs are configured, and it has a publisher or viewer.
    Used,
    /// Its inputs and outputs are configured until this time, unless a session opens.
    Unused(Instant),
    /// Its inputs and outputs are being closed.
    Retired,
}

impl Origin {
    fn template(&self) -> Option<&StreamName> {
        match self {
            Self::Template(name, _) => Some(name),
            Self::Configuration | Self::Caller => None,
        }
    }
}

impl StreamState {
    fn is_retired(&self) -> bool {
        matches!(self.origin, Origin::Template(_, TemplateUse::Retired))
    }
}

fn entries(templates: &[(TemplateEntry, StreamPlan)]) -> Arc<[TemplateEntry]> {
    templates.iter().map(|(entry, _)| entry.clone()).collect()
}

/// The result of configuring a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConfigureOutcome {
    /// Fully applied.
    Whole,
    /// Applied except for the ring size, because sessions use the ring.
    RingInUse,
}
