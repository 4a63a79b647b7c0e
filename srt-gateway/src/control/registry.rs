//! Streams and sessions as control knows them, and the snapshot of the streams for the listen callbacks.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::Arc,
    time::Instant,
};

use arc_swap::ArcSwap;
use srt_safe::SocketId;

use crate::{
    access::{Directory, Entry, PortPolicy, StreamPolicy},
    data::{StartAt, Stream},
    names::{Role, SessionId, StreamName},
};

/// How a stream is made: from its table, or from `[streams_default]`.
#[derive(Clone, Debug)]
pub(crate) struct StreamPlan {
    pub(crate) policy: Arc<StreamPolicy>,
    pub(crate) ring_bytes: usize,
    pub(crate) start_at: StartAt,
}

/// An open session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) role: Role,
    pub(super) stream: StreamName,
    pub(super) peer: SocketAddr,
    pub(super) socket: SocketId,
    pub(super) worker: usize,
    pub(super) opened: Instant,
    pub(super) port: Arc<PortPolicy>,
}

/// A stream and who is there.
///
/// ```text
///   configured ─────────────────────────────▶ stays
///   unknown name ──first session──▶ there ──last session gone──▶ forgotten
/// ```
#[derive(Debug)]
struct StreamState {
    entry: Entry,
    start_at: StartAt,
    /// Named in the configuration: stays when nobody is there.
    configured: bool,
    sessions: Vec<SessionId>,
    /// Since when there has been no source.
    sourceless_since: Instant,
}

/// All streams and sessions.
#[derive(Debug)]
pub(crate) struct Registry {
    directory: Arc<ArcSwap<Directory>>,
    streams: HashMap<StreamName, StreamState>,
    sessions: BTreeMap<SessionId, Session>,
    /// How a stream that no table names is made.
    default_plan: StreamPlan,
    workers: usize,
}

impl Registry {
    /// Makes the configured streams and publishes the first snapshot. `accept_unknown` is in the directory that it publishes.
    pub(crate) fn new(
        configured: impl IntoIterator<Item = (StreamName, StreamPlan)>,
        default_plan: StreamPlan,
        accept_unknown: Option<Arc<StreamPolicy>>,
        workers: usize,
    ) -> Self {
        let directory = Directory {
            streams: HashMap::new(),
            unknown: accept_unknown,
        };
        let mut registry = Self {
            directory: Arc::new(ArcSwap::from_pointee(directory)),
            streams: HashMap::new(),
            sessions: BTreeMap::new(),
            default_plan,
            workers,
        };
        for (name, plan) in configured {
            registry.make_stream(name, &plan, Origin::Configuration);
        }
        registry.publish();
        registry
    }

    /// The snapshot that the listen callbacks read.
    pub(crate) fn directory(&self) -> &Arc<ArcSwap<Directory>> {
        &self.directory
    }

    /// The stream of that name, made now if it is not there: a stream that was granted may have been forgotten meanwhile.
    pub(super) fn stream(&mut self, name: &StreamName) -> Arc<Stream> {
        if let Some(state) = self.streams.get(name) {
            return Arc::clone(&state.entry.stream);
        }
        let plan = self.default_plan.clone();
        let stream = self.make_stream(name.clone(), &plan, Origin::Caller);
        self.publish();
        stream
    }

    fn make_stream(&mut self, name: StreamName, plan: &StreamPlan, origin: Origin) -> Arc<Stream> {
        let stream = Stream::new(name.clone(), plan.ring_bytes, self.workers);
        let state = StreamState {
            entry: Entry {
                stream: Arc::clone(&stream),
                policy: Arc::clone(&plan.policy),
            },
            start_at: plan.start_at,
            configured: origin == Origin::Configuration,
            sessions: Vec::new(),
            sourceless_since: Instant::now(),
        };
        self.streams.insert(name, state);
        stream
    }

    /// Where viewers of the stream begin.
    pub(super) fn start_at(&self, name: &StreamName) -> StartAt {
        self.streams
            .get(name)
            .map_or(self.default_plan.start_at, |state| state.start_at)
    }

    pub(super) fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    pub(super) fn add_session(&mut self, id: SessionId, session: Session) {
        if let Some(state) = self.streams.get_mut(&session.stream) {
            state.sessions.push(id);
        }
        self.sessions.insert(id, session);
    }

    pub(super) fn remove_session(&mut self, id: SessionId, now: Instant) -> Option<Session> {
        let session = self.sessions.remove(&id)?;
        let state = self.streams.get_mut(&session.stream)?;
        state.sessions.retain(|other| *other != id);
        if session.role == Role::Publisher {
            state.sourceless_since = now;
        }
        if state.sessions.is_empty() && !state.configured {
            self.streams.remove(&session.stream);
            self.publish();
        }
        Some(session)
    }

    /// Viewers that have waited for a source for `on_source_lost`, or since they came.
    pub(super) fn overdue_viewers(&self, now: Instant) -> Vec<(SocketId, usize)> {
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

    fn publish(&self) {
        let streams = self
            .streams
            .iter()
            .map(|(name, state)| (name.clone(), state.entry.clone()))
            .collect();
        let unknown = self.directory.load().unknown.clone();
        self.directory.store(Arc::new(Directory { streams, unknown }));
    }
}

/// Where a stream comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Configuration,
    Caller,
}
