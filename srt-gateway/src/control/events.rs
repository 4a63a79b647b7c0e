//! Reports changes of streams, sessions, inputs and outputs to the API and to the receiver of `[events]`.
//!
//! Runs on control's thread. It only appends to the event log and never waits; the decisions are made elsewhere.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Control, SessionFacts, endpoints::SILENT, registry::Session};
use crate::{
    access::shown as streamid_shown,
    data::SourceLoss,
    events::Poster,
    io::{ClosedSession, EndpointId},
    names::{Role, SessionId, StreamName},
    telemetry::{EventKind, EventLog, Happening, RejectionLog},
};

/// A stream is down when it has had no source for this long, because there are short gaps between one source and the
/// next. For a source that is connected and has sent nothing, [`SILENT`] counts instead.
const SETTLED: Duration = Duration::from_millis(100);

/// Records control's events.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    pub(crate) rejections: Arc<RejectionLog>,
    pub(crate) events: Arc<EventLog>,
    pub(crate) poster: Arc<Poster>,
}

/// The last reported source of each stream.
#[derive(Debug, Default)]
pub(super) struct Sources(HashMap<StreamName, Source>);

/// ```text
///   none ──claimed──▶ live (stream_up) ──source ended──▶ lost ──for SETTLED──▶ none (stream_down)
///                       │      ▲                           │
///                       └──────┴── another one feeds ──────┘ (input_switched)
/// ```
#[derive(Debug)]
struct Source {
    session: SessionId,
    /// The URL of an input, or the address of a publisher.
    who: String,
    lost: Option<Instant>,
    /// Why its session ended, if it has.
    reason: Option<String>,
}

/// The other end of a session.
#[derive(Debug, Default)]
struct End {
    role: Option<Role>,
    peer: Option<SocketAddr>,
    port: Option<u16>,
    url: Option<String>,
    /// The configured name of an input or output.
    name: Option<String>,
    streamid: Option<String>,
}

impl End {
    fn peer_or_url(&self) -> String {
        let peer = || self.peer.map(|peer| peer.to_string());
        let url = match (&self.name, &self.url) {
            (Some(name), Some(url)) => Some(format!("{name} ({url})")),
            (_, url) => url.clone(),
        };
        url.or_else(peer).unwrap_or_default()
    }

    /// `publisher 192.0.2.1:5000`, `output srt://next.example:9000`.
    fn describe(&self) -> String {
        let kind = match (self.role, &self.url) {
            (Some(Role::Publisher), Some(_)) => "input",
            (Some(Role::Viewer), Some(_)) => "output",
            (Some(role), None) => role.as_str(),
            (None, _) => "session",
        };
        format!("{kind} {}", self.peer_or_url())
    }

    fn event(self, event: EventKind, stream: &StreamName, session: SessionId, text: String) -> Happening {
        Happening {
            stream: Some(stream.to_string()),
            session: Some(session.0),
            role: self.role.map(Role::as_str),
            peer: self.peer,
            port: self.port,
            url: self.url,
            name: self.name,
            streamid: self.streamid,
            ..Happening::new(event, text)
        }
    }
}

impl Control {
    fn end_of(&self, session: SessionId) -> End {
        let endpoint = self.endpoints.sessions.get(&session);
        let endpoint = endpoint.and_then(|id| self.endpoints.all.get(id));
        let mut end = End {
            role: endpoint.map(|state| state.role),
            url: endpoint.map(|state| state.endpoint.to_string()),
            name: endpoint.and_then(|state| state.endpoint.name.clone()),
            ..End::default()
        };
        if let Some(open) = self.registry.session(session) {
            fill(&mut end, open);
        }
        end
    }

    /// Reports that a session has begun.
    pub(super) fn report_opened(&self, session: SessionId, stream: &StreamName) {
        let end = self.end_of(session);
        // A datagram socket or a file has no peer, so it is "open" rather than "connected".
        let state = match self.registry.session(session) {
            Some(_) => "connected",
            None => "open",
        };
        let text = format!("{} is {state}", end.describe());
        let mut event = end.event(EventKind::SessionOpen, stream, session, text);
        if let Some(open) = self.registry.session(session) {
            let SessionFacts {
                encryption, latency, ..
            } = &open.facts;
            event.srt_version = Some(open.facts.version_shown());
            event.encryption = Some(encryption);
            event.labels = open.facts.labels_shown();
            event.latency_ms = u64::try_from(latency.as_millis()).ok();
        }
        self.journal.events.add(event);
    }

    /// Reports that a session has ended; `open` is its state if it was an SRT session. Must be called while the
    /// endpoint still owns the session.
    pub(super) fn report_closed(&mut self, closed: &ClosedSession, open: Option<&Session>, now: Instant) {
        let mut end = self.end_of(closed.session);
        if let Some(open) = open {
            fill(&mut end, open);
        }
        let id = self.endpoints.sessions.get(&closed.session);
        let of_endpoint = id.and_then(|id| self.endpoints.all.get(id));
        let stream = match (open, of_endpoint) {
            (Some(open), _) => open.stream.clone(),
            (None, Some(state)) => state.stream.clone(),
            (None, None) => return,
        };
        let reason = closed.reason.to_string();
        let text = format!("{} is closed: {reason}", end.describe());
        let event = Happening {
            reason: Some(reason.clone()),
            seconds: open.map(|open| (now.duration_since(open.opened).as_secs_f64() * 1e3).round() / 1e3),
            bytes: Some(closed.totals.bytes),
            lost: open.map(|_| closed.totals.lost),
            dropped: open.map(|_| closed.totals.dropped),
            ..end.event(EventKind::SessionClose, &stream, closed.session, text)
        };
        if !self.is_quiet(closed.session) {
            self.journal.events.add(event);
        }
        if let Some(source) = self.sources.0.get_mut(&stream)
            && source.session == closed.session
        {
            source.reason = Some(reason);
        }
    }

    /// Reports that an input or output has failed `times` times since the last report.
    pub(super) fn report_failed(&self, id: EndpointId, why: &str, times: u64) {
        let Some(state) = self.endpoints.all.get(&id) else {
            return;
        };
        let event = match state.role {
            Role::Publisher => EventKind::InputFailed,
            Role::Viewer => EventKind::OutputFailed,
        };
        let label = state.endpoint.label();
        let text = match times {
            1 => format!("{label}: {why}"),
            _ => format!("{label}, {times} more times: {why}"),
        };
        self.journal.events.add(Happening {
            stream: Some(state.stream.to_string()),
            role: Some(state.role.as_str()),
            reason: Some(why.to_owned()),
            failures: Some(state.failures.count()),
            times: Some(times),
            url: Some(state.endpoint.to_string()),
            name: state.endpoint.name.clone(),
            ..Happening::new(event, text)
        });
    }

    /// Reports streams that came up, went down or changed their source.
    pub(super) fn note_sources(&mut self, now: Instant) {
        let known = &self.sources.0;
        let differs = |(name, source): &(&StreamName, &Source)| {
            source.lost.is_some() || self.feeding(name) != Some(source.session)
        };
        let gone = known.iter().filter(differs).map(|(name, _)| name.clone());
        let new = self.registry.fed().filter(|name| !known.contains_key(*name));
        let names: Vec<_> = gone.chain(new.cloned()).collect();
        for name in names {
            self.note_source(&name, now);
        }
    }

    /// The session whose data the stream carries. An input can hold the writer before it has sent anything, and may
    /// never send.
    fn feeding(&self, name: &StreamName) -> Option<SessionId> {
        let session = self.registry.source(name)?;
        let id = self.endpoints.sessions.get(&session);
        let live = id.and_then(|id| self.endpoints.all.get(id)?.live.as_ref());
        let is_empty = live.is_some_and(|live| live.session == session && live.first_data.is_none());
        (!is_empty).then_some(session)
    }

    /// Reports a new source of a stream. Call it whenever a writer has been handed out, so that a source that feeds
    /// only for a moment is not missed.
    pub(super) fn note_source(&mut self, name: &StreamName, now: Instant) {
        let feeds = self.feeding(name);
        let is_claimed = self.registry.source(name).is_some();
        let event = match (self.sources.0.get_mut(name), feeds) {
            (None, None) => return,
            (Some(known), Some(session)) if known.session == session => {
                known.lost = None;
                return;
            }
            (Some(known), None) => {
                let since = *known.lost.get_or_insert(now);
                // An input that has just reconnected is about to send.
                let settled = if is_claimed { SILENT } else { SETTLED };
                if now.duration_since(since) < settled {
                    return;
                }
                let Some(known) = self.sources.0.remove(name) else {
                    return;
                };
                let loss = SourceLoss {
                    since,
                    who: known.who.clone(),
                    reason: known.reason.clone(),
                };
                // On-demand inputs close without viewers.
                if !self.endpoints.is_on_demand(name) || self.registry.has_viewers(name) {
                    self.registry.note_loss(name, Some(loss));
                }
                let text = match &known.reason {
                    Some(reason) => format!("the source is gone: {reason}"),
                    None => "the source is gone".to_owned(),
                };
                Happening {
                    stream: Some(name.to_string()),
                    session: Some(known.session.0),
                    reason: known.reason,
                    ..Happening::new(EventKind::StreamDown, text)
                }
            }
            (_, Some(session)) => {
                self.registry.note_loss(name, None);
                let end = self.end_of(session);
                let who = end.peer_or_url();
                let before = self.sources.0.insert(
                    name.clone(),
                    Source {
                        session,
                        who: who.clone(),
                        lost: None,
                        reason: None,
                    },
                );
                match before {
                    None => {
                        let text = format!("fed by {}", end.describe());
                        end.event(EventKind::StreamUp, name, session, text)
                    }
                    Some(before) => {
                        let text = format!("now fed by {}, instead of {}", end.describe(), before.who);
                        Happening {
                            from: Some(before.who),
                            to: Some(who),
                            reason: before.reason,
                            ..end.event(EventKind::InputSwitched, name, session, text)
                        }
                    }
                }
            }
        };
        self.journal.events.add(event);
    }

    /// All sessions are closed: reports streams as down without waiting for a new source.
    pub(super) fn note_end(&mut self, now: Instant) {
        self.note_sources(now);
        self.note_sources(now + SETTLED);
    }
}

fn fill(end: &mut End, open: &Session) {
    end.role = Some(open.role);
    end.peer = Some(open.peer);
    if let Some(port) = open.via.admitted_by() {
        end.port = Some(port.number());
    }
    if !open.streamid.is_empty() {
        end.streamid = Some(streamid_shown(&open.streamid));
    }
}
