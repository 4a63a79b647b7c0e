//! A handle for reading the state of a running gateway: ports, streams, sessions.
//!
//! Cheap to clone, usable from any thread. Reads snapshots, and asks control for the rest.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use crossbeam_channel::Sender;

use crate::{
    access::{Directory, Hook, RateLimiter},
    backend::Backend,
    config::Config,
    control::{
        Command, EndpointState, EndpointStatus, EndpointView, Listening, Reloaded, SessionStatus,
        StreamStatus,
    },
    data::Stream,
    events::Poster,
    names::{Role, SessionId, StreamName},
    telemetry::{
        EventLog, EventsStatus, HookStatus, InputDetail, LoopLag, Rejection, RejectionLog, Resources,
        SessionCounters, SrtFigures, StreamDetail, Threads,
        health::{
            self, BondFigures, EndpointFigures, Failed, LinkFigures, LossFigures, SourceFigures,
            StallFigures, StreamFigures, Verdict, ViewerFigures,
        },
    },
    ts::{Check, Payload, TsReport},
};

/// Control answers in microseconds; if it does not within this time, the gateway is shutting down.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest period of the figures for verdicts.
pub(crate) const HEALTH_WINDOW: Duration = Duration::from_secs(60);

/// A handle for reading the state of a running gateway.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) commands: Sender<Command>,
    pub(crate) directory: Arc<ArcSwap<Directory>>,
    pub(crate) listening: Arc<ArcSwap<Vec<Listening>>>,
    pub(crate) endpoints: Arc<ArcSwap<Vec<EndpointView>>>,
    /// The configuration in force.
    pub(crate) config: Arc<ArcSwap<Config>>,
    pub(crate) rejections: Arc<RejectionLog>,
    pub(crate) limiter: Arc<RateLimiter>,
    pub(crate) lag: Arc<LoopLag>,
    pub(crate) threads: Arc<Threads>,
    pub(crate) resources: Arc<Resources>,
    /// Shown to peers and in metrics.
    pub(crate) name: Arc<str>,
    pub(crate) hook: Arc<Hook>,
    pub(crate) events: Arc<EventLog>,
    pub(crate) poster: Arc<Poster>,
    pub(crate) backend: Arc<Backend>,
}

impl View {
    /// The ports that it listens on.
    pub(crate) fn listening(&self) -> Vec<Listening> {
        self.listening.load().as_ref().clone()
    }

    /// The inputs and outputs.
    pub(crate) fn endpoints(&self) -> Vec<EndpointStatus> {
        let views = self.endpoints.load();
        views.iter().map(|view| view.status.clone()).collect()
    }

    /// The last refused attempts, oldest first.
    pub(crate) fn rejections(&self) -> Vec<Rejection> {
        self.rejections.all()
    }

    /// The hook of `[auth]`; None: none is configured.
    pub(crate) fn hook(&self) -> Option<HookStatus> {
        self.hook.status()
    }

    /// The state of event posts; None: events are not posted.
    pub(crate) fn event_posts(&self) -> Option<EventsStatus> {
        self.poster.status()
    }

    /// The streams, sorted by name.
    pub(crate) fn streams(&self) -> Vec<StreamStatus> {
        let directory = self.directory.load();
        let mut streams: Vec<_> = directory
            .streams
            .values()
            .map(|entry| StreamStatus {
                name: entry.stream.name().clone(),
                has_source: entry.stream.has_source(),
                viewers: entry.stream.viewers(),
                bytes: entry.stream.ring().counters().bytes,
            })
            .collect();
        streams.sort_by(|a, b| a.name.cmp(&b.name));
        streams
    }

    /// Whether control accepts and answers a question, each within 2 s.
    pub(crate) fn answers(&self) -> bool {
        let (reply, answer) = crossbeam_channel::bounded(1);
        let asked = self.commands.send_timeout(Command::Ping(reply), ANSWER_TIMEOUT);
        asked.is_ok() && answer.recv_timeout(ANSWER_TIMEOUT).is_ok()
    }

    /// The details of a stream; None: there is no such stream. Asks control, and decodes tables.
    pub(crate) fn stream_detail(&self, name: &StreamName) -> Option<StreamDetail> {
        let directory = self.directory.load();
        let stream = &directory.streams.get(name)?.stream;
        Some(self.detail(stream, &self.sessions()))
    }

    /// The details of all streams, sorted by name.
    pub(crate) fn stream_details(&self) -> Vec<StreamDetail> {
        let sessions = self.sessions();
        let directory = self.directory.load();
        let mut details: Vec<_> = directory
            .streams
            .values()
            .map(|entry| self.detail(&entry.stream, &sessions))
            .collect();
        details.sort_by(|a, b| a.name.cmp(&b.name));
        details
    }

    /// `sessions` contains those of all streams.
    fn detail(&self, stream: &Stream, sessions: &[SessionStatus]) -> StreamDetail {
        let name = stream.name();
        let source = stream.source();
        let input = |(id, counters): (SessionId, Arc<SessionCounters>)| InputDetail {
            session: id.0,
            is_feeding: source == Some(id),
            ts: counters.board().map(|board| board.report()),
        };
        let mut detail = StreamDetail {
            name: name.to_string(),
            has_source: source.is_some(),
            viewers: stream.viewers(),
            bytes: stream.ring().counters().bytes,
            verdict: Verdict::default(),
            inputs: self.inputs(name).into_iter().map(input).collect(),
        };
        let of_stream = |session: &&SessionStatus| session.stream == *name;
        let sessions: Vec<_> = sessions.iter().filter(of_stream).collect();
        let endpoints = self.endpoints.load();
        let of_stream = endpoints.iter().filter(|view| view.status.stream == *name);
        let broken = of_stream.filter_map(|view| broken(&view.status)).collect();
        detail.verdict = verdict(stream, detail.ts(), &sessions, broken, None);
        detail
    }

    /// Everything that feeds the stream or stands by, over SRT or not, oldest first.
    fn inputs(&self, name: &StreamName) -> Vec<(SessionId, Arc<SessionCounters>)> {
        let mut inputs = self
            .ask(|reply| Command::Inputs(name.clone(), reply))
            .unwrap_or_default();
        // Only SRT inputs are sessions of the registry.
        let endpoints = self.endpoints.load();
        let endpoints = endpoints.iter();
        let of_stream = endpoints
            .filter(|view| view.status.role == Role::Publisher && view.status.stream == *name)
            .filter_map(|view| Some((view.status.session?, Arc::clone(view.counters.as_ref()?))));
        for (session, counters) in of_stream {
            if inputs.iter().all(|(known, _)| *known != session) {
                inputs.push((session, counters));
            }
        }
        inputs.sort_by_key(|(session, _)| *session);
        inputs
    }

    /// The open sessions, oldest first; empty when the gateway is shutting down.
    pub(crate) fn sessions(&self) -> Vec<SessionStatus> {
        self.sessions_if_told().unwrap_or_default()
    }

    /// Like [`sessions`](Self::sessions), but None if control does not answer, which differs from no sessions.
    pub(crate) fn sessions_if_told(&self) -> Option<Vec<SessionStatus>> {
        self.ask(Command::Sessions)
    }

    /// Applies another configuration. Returns when that is done; None if the gateway has stopped.
    pub(crate) fn reload(&self, config: Config) -> Option<Reloaded> {
        self.start_backend(&config);
        let (reply, answer) = crossbeam_channel::bounded(1);
        self.commands
            .send(Command::Reload(Box::new(config), reply))
            .ok()?;
        answer.recv().ok()
    }

    /// Like [`reload`](Self::reload), for callers that wait no longer than `patience`.
    pub(crate) fn reload_within(&self, config: Config, patience: Duration) -> Option<Reloaded> {
        self.start_backend(&config);
        self.ask_within(|reply| Command::Reload(Box::new(config), reply), patience)
    }

    /// Starts the HTTP client before control needs it, because control must not read certificates.
    fn start_backend(&self, config: &Config) {
        if let Err(error) = self.backend.start_for(config) {
            tracing::warn!("the configuration has URLs that cannot be called: {error}");
        }
    }

    /// Sends a command to control, and waits for its answer; None if the gateway is shutting down. Blocks for
    /// microseconds.
    pub(crate) fn ask<T>(&self, command: impl FnOnce(Sender<T>) -> Command) -> Option<T> {
        self.ask_within(command, ANSWER_TIMEOUT)
    }

    /// Like [`ask`](Self::ask), for slower commands.
    pub(crate) fn ask_within<T>(
        &self,
        command: impl FnOnce(Sender<T>) -> Command,
        patience: Duration,
    ) -> Option<T> {
        let (reply, answer) = crossbeam_channel::bounded(1);
        self.commands.send_timeout(command(reply), ANSWER_TIMEOUT).ok()?;
        answer.recv_timeout(patience).ok()
    }
}

/// The verdict, from what the source carries, the stream's sessions, and its failing inputs and outputs.
pub(crate) fn verdict(
    stream: &Stream,
    ts: Option<&TsReport>,
    sessions: &[&SessionStatus],
    endpoints: Vec<EndpointFigures>,
    stall: Option<StallFigures>,
) -> Verdict {
    let source = stream.source();
    let publisher = sessions
        .iter()
        .find(|session| source == Some(session.id))
        .and_then(|session| session.figures.as_ref());
    // Sources other than SRT do not report how long they have been connected.
    let window = publisher.map_or(HEALTH_WINDOW, |figures| figures.minute.window);
    health::verdict(&StreamFigures {
        window: window.clamp(Duration::from_secs(1), HEALTH_WINDOW),
        source: source.map(|_| source_figures(ts, stream.quiet_for())),
        loss: stream.loss().map(|loss| LossFigures {
            ago: loss.since.elapsed(),
            who: loss.who.clone(),
            reason: loss.reason.clone(),
            waiting: stream.viewers() + stream.watchers(),
        }),
        endpoints,
        stall,
        publisher: publisher.map(|figures| link_figures(figures, figures.stats.link.receive_latency)),
        viewers: sessions
            .iter()
            .filter_map(|session| viewer_figures(session))
            .collect(),
        bonds: sessions
            .iter()
            .filter_map(|session| bond_figures(session, source))
            .collect(),
    })
}

/// A bonded connection that has lost links; None: it has all that it ever had, or is not bonded. Bonded connections that stand by are
/// not looked at.
fn bond_figures(session: &SessionStatus, source: Option<SessionId>) -> Option<BondFigures> {
    let of = session.counters.most_links();
    let working = session.links.iter().filter(|link| link.works()).count();
    let is_source = source == Some(session.id);
    let is_told = working < of && (is_source || session.role == Role::Viewer);
    is_told.then(|| BondFigures {
        session: session.id.0,
        is_source,
        peer: session.peer.to_string(),
        working,
        of,
    })
}

/// A failing input or output; None: it works, or is currently not needed.
pub(crate) fn broken(status: &EndpointStatus) -> Option<EndpointFigures> {
    let is_broken = match status.state {
        EndpointState::BackingOff | EndpointState::Failed | EndpointState::Stalled => true,
        // It is calling between two failed attempts.
        EndpointState::Connecting => status.last_failure.is_some(),
        // A standby input without data is no help when the source fails.
        EndpointState::Silent => status.role == Role::Publisher && status.last_failure.is_some(),
        _ => false,
    };
    is_broken.then(|| EndpointFigures {
        is_input: status.role == Role::Publisher,
        url: status.url.clone(),
        name: match (&status.name, &status.streamid) {
            (Some(name), _) => name.clone(),
            (None, Some(streamid)) => format!("{} {streamid}", status.url),
            (None, None) => status.url.clone(),
        },
        is_silent: status.state == EndpointState::Silent,
        failures: status.failures,
        reason: match status.state {
            EndpointState::Stalled => Some("the file system does not answer".to_owned()),
            _ => status.last_failure.clone(),
        },
    })
}

fn source_figures(ts: Option<&TsReport>, silent_for: Duration) -> SourceFigures {
    let checks = ts.map(|report| report.checks.as_slice()).unwrap_or_default();
    let of = |check: Check| {
        let found = checks.iter().find(|report| report.number == check.number());
        found.map_or(0, |report| report.last_minute)
    };
    let told = [Check::ContinuityCountError, Check::TransportError];
    SourceFigures {
        is_mpeg_ts: ts.is_none_or(|report| report.payload != Payload::Other),
        silent_for,
        continuity_errors: of(Check::ContinuityCountError),
        transport_errors: of(Check::TransportError),
        others: checks
            .iter()
            .filter(|report| told.iter().all(|check| check.number() != report.number))
            .map(|report| Failed {
                name: report.name.clone(),
                priority: report.priority,
                count: report.last_minute,
            })
            .collect(),
    }
}

fn link_figures(figures: &SrtFigures, latency: Duration) -> LinkFigures {
    LinkFigures {
        latency,
        rtt_p95: figures.rtt_p95,
        packets: figures.minute.packets,
        lost: figures.minute.lost,
        dropped: figures.minute.dropped,
        unheard: figures.unheard.map(|unheard| unheard + figures.at.elapsed()),
    }
}

/// None for publishers, and for sessions that are not SRT.
fn viewer_figures(session: &SessionStatus) -> Option<ViewerFigures> {
    let figures = session
        .figures
        .as_ref()
        .filter(|_| session.role == Role::Viewer)?;
    Some(ViewerFigures {
        session: session.id.0,
        link: link_figures(figures, figures.stats.link.send_latency),
        skipped: figures.minute.skipped,
    })
}
