//! What has happened: the differences between a second and the one before, told one by one.
//!
//! Made on the thread `telemetry` of what the sampler has looked at anyway, so that nothing on the way of a packet or a
//! decision knows of it. A session that lives for less than a second may be missed; the log tells of all. Bounded, and
//! forgotten when the gateway ends.

use std::{
    collections::{BTreeMap, VecDeque},
    time::SystemTime,
};

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    control::EndpointView,
    names::{Role, SessionId},
    telemetry::{Rejection, health::Level},
};

use super::sampler::Snapshot;

/// Events that are kept.
const KEPT: usize = 2000;

/// Refused attempts of a second that are told one by one: a flood of them must not push out all else.
const REFUSALS: usize = 5;

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Event {
    /// Counts up: what was seen before need not be read again.
    pub(crate) number: u64,
    /// RFC 3339, UTC; to a second.
    pub(crate) time: String,
    /// `stream_up`, `stream_silent`, `stream_down`, `input_switched`, `verdict`, `session_open`, `session_close`,
    /// `input_failed`, `output_failed`, `rejected`.
    pub(crate) event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream: Option<String>,
    /// For people.
    pub(crate) text: String,
}

/// The events so far.
#[derive(Debug, Default)]
pub(super) struct Events {
    last: u64,
    kept: VecDeque<Event>,
    before: Look,
    last_rejection: u64,
}

/// What is compared from second to second.
#[derive(Debug, Default)]
struct Look {
    streams: BTreeMap<String, StreamLook>,
    sessions: BTreeMap<u64, SessionLook>,
    endpoints: BTreeMap<u32, EndpointLook>,
}

#[derive(Debug)]
struct StreamLook {
    source: Option<SessionId>,
    flows: bool,
    /// Data has come from this source.
    flowed: bool,
    level: Level,
    sentence: String,
}

#[derive(Debug)]
struct SessionLook {
    stream: String,
    /// `publisher 192.0.2.1:5000, srt port 9998`.
    who: String,
}

#[derive(Debug)]
struct EndpointLook {
    stream: String,
    role: Role,
    url: String,
    session: Option<SessionId>,
    failures: u64,
    why: Option<String>,
}

/// Kind, stream and text of an event.
type Told = (&'static str, Option<String>, String);

impl Events {
    /// All that are kept, the oldest first.
    pub(super) fn all(&self) -> Vec<Event> {
        self.kept.iter().cloned().collect()
    }

    /// Number of the last refused attempt that was told.
    pub(super) fn last_rejection(&self) -> u64 {
        self.last_rejection
    }

    /// Notes what has changed. `sources` are the sessions that feed streams, `refused` the attempts since the last time.
    pub(super) fn observe(
        &mut self,
        snapshot: &Snapshot,
        sources: &BTreeMap<String, SessionId>,
        endpoints: &[EndpointView],
        refused: &[Rejection],
    ) {
        let mut now = look(snapshot, sources, endpoints);
        for (name, stream) in &mut now.streams {
            let before = self.before.streams.get(name);
            stream.flowed |= before.is_some_and(|before| before.flowed && before.source == stream.source);
        }
        let mut told = differences(&self.before, &now);
        told.extend(refusals(refused));
        self.before = now;
        self.last_rejection = refused
            .last()
            .map_or(self.last_rejection, |rejection| rejection.number);
        for one in told {
            self.add(snapshot.at, one);
        }
    }

    fn add(&mut self, at: SystemTime, (event, stream, text): Told) {
        self.last += 1;
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Event {
            number: self.last,
            time: humantime::format_rfc3339_seconds(at).to_string(),
            event,
            stream,
            text,
        });
    }
}

fn look(snapshot: &Snapshot, sources: &BTreeMap<String, SessionId>, endpoints: &[EndpointView]) -> Look {
    let streams = snapshot.streams.iter().map(|(name, sample)| {
        let look = StreamLook {
            source: sources.get(name.as_str()).copied(),
            flows: sample.flows,
            flowed: sample.flows,
            level: sample.verdict.level,
            sentence: sample.verdict.sentence.clone(),
        };
        (name.to_string(), look)
    });
    let sessions = snapshot.sessions.iter().map(|session| {
        let look = SessionLook {
            stream: session.stream.to_string(),
            who: format!("{} {}, {}", session.role.as_str(), session.peer, session.port),
        };
        (session.id.0, look)
    });
    let endpoints = endpoints.iter().map(|view| {
        let look = EndpointLook {
            stream: view.status.stream.to_string(),
            role: view.status.role,
            url: view.status.url.clone(),
            session: view.status.session,
            failures: view.status.failures,
            why: view.status.last_failure.clone(),
        };
        (view.id.0, look)
    });
    Look {
        streams: streams.collect(),
        sessions: sessions.collect(),
        endpoints: endpoints.collect(),
    }
}

/// What has changed from `before` to `now`: sessions and endpoints first, since they are the reason for the rest.
fn differences(before: &Look, now: &Look) -> Vec<Told> {
    let mut told: Vec<Told> = Vec::new();
    for (id, session) in &before.sessions {
        if !now.sessions.contains_key(id) {
            let text = format!("session {id} has ended: {}", session.who);
            told.push(("session_close", Some(session.stream.clone()), text));
        }
    }
    for (id, session) in &now.sessions {
        if !before.sessions.contains_key(id) {
            let text = format!("session {id}: {}", session.who);
            told.push(("session_open", Some(session.stream.clone()), text));
        }
    }
    for (id, endpoint) in &now.endpoints {
        let failures = before.endpoints.get(id).map_or(0, |before| before.failures);
        if endpoint.failures > failures {
            let why = endpoint.why.as_deref().unwrap_or("it failed");
            let kind = match endpoint.role {
                Role::Publisher => "input_failed",
                Role::Viewer => "output_failed",
            };
            told.push((
                kind,
                Some(endpoint.stream.clone()),
                format!("{}: {why}", endpoint.url),
            ));
        }
    }
    for (name, stream) in &now.streams {
        let changed = of_stream(before.streams.get(name), stream, now);
        told.extend(
            changed
                .into_iter()
                .map(|(kind, text)| (kind, Some(name.clone()), text)),
        );
    }
    for (name, stream) in &before.streams {
        if stream.source.is_some() && !now.streams.contains_key(name) {
            told.push(("stream_down", Some(name.clone()), "the stream is gone".to_owned()));
        }
    }
    told
}

fn of_stream(before: Option<&StreamLook>, now: &StreamLook, all: &Look) -> Vec<(&'static str, String)> {
    let mut told = Vec::new();
    let had = before.and_then(|before| before.source);
    let flows_before = before.is_some_and(|before| before.flows);
    let flowed = before.is_some_and(|before| before.flowed);
    match (had, now.source) {
        (None, Some(source)) => told.push(("stream_up", format!("fed by {}", feeder(source, all)))),
        (Some(_), None) => told.push(("stream_down", "the source is gone".to_owned())),
        (Some(old), Some(new)) if old != new => {
            told.push(("input_switched", format!("now fed by {}", feeder(new, all))));
        }
        (Some(_), Some(_)) if flows_before && !now.flows => {
            told.push((
                "stream_silent",
                "the source is connected and sends nothing".to_owned(),
            ));
        }
        (Some(_), Some(_)) if flowed && !flows_before && now.flows => {
            told.push(("stream_up", "data comes again".to_owned()));
        }
        _ => {}
    }
    let level = before.map_or(Level::Idle, |before| before.level);
    // A stream that comes up well, or goes, is told of already.
    if level != now.level && now.level != Level::Idle && level != Level::Idle {
        told.push(("verdict", now.sentence.clone()));
    }
    told
}

/// Who `source` is: an input by its address, or a session.
fn feeder(source: SessionId, all: &Look) -> String {
    let input = all
        .endpoints
        .values()
        .find(|endpoint| endpoint.session == Some(source));
    match (input, all.sessions.get(&source.0)) {
        (Some(input), _) => input.url.clone(),
        (None, Some(session)) => session.who.clone(),
        (None, None) => format!("session {source}", source = source.0),
    }
}

fn refusals(refused: &[Rejection]) -> Vec<Told> {
    let one = |rejection: &Rejection| -> Told {
        let text = format!("{} ({}): {}", rejection.peer, rejection.code, rejection.reason);
        ("rejected", None, text)
    };
    let mut told: Vec<Told> = refused.iter().take(REFUSALS).map(one).collect();
    if refused.len() > REFUSALS {
        let text = format!("{} more within the same second", refused.len() - REFUSALS);
        told.push(("rejected", None, text));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(source: Option<u64>, flows: bool, level: Level) -> StreamLook {
        StreamLook {
            source: source.map(SessionId),
            flows,
            flowed: source.is_some(),
            level,
            sentence: format!("{level:?}"),
        }
    }

    fn with(look: StreamLook) -> Look {
        Look {
            streams: [("a".to_owned(), look)].into(),
            ..Look::default()
        }
    }

    fn kinds(before: &Look, now: &Look) -> Vec<&'static str> {
        differences(before, now)
            .into_iter()
            .map(|(kind, _, _)| kind)
            .collect()
    }

    #[test]
    fn a_stream_comes_falls_silent_changes_hands_and_goes() {
        let nothing = Look::default();
        let idle = with(stream(None, false, Level::Idle));
        let live = with(stream(Some(1), true, Level::Good));
        let other = with(stream(Some(2), true, Level::Good));
        let silent = with(stream(Some(1), false, Level::Bad));
        assert_eq!(kinds(&nothing, &idle), [""; 0]);
        assert_eq!(kinds(&idle, &live), ["stream_up"]);
        assert_eq!(kinds(&live, &live), [""; 0]);
        assert_eq!(kinds(&live, &other), ["input_switched"]);
        assert_eq!(kinds(&live, &silent), ["stream_silent", "verdict"]);
        assert_eq!(kinds(&silent, &live), ["stream_up", "verdict"]);
        assert_eq!(kinds(&live, &idle), ["stream_down"]);
        assert_eq!(kinds(&live, &nothing), ["stream_down"]);
    }

    #[test]
    fn sessions_and_failures_are_told_once() {
        let look = |failures| Look {
            sessions: [(
                7,
                SessionLook {
                    stream: "a".to_owned(),
                    who: "viewer".to_owned(),
                },
            )]
            .into(),
            endpoints: [(
                1,
                EndpointLook {
                    stream: "a".to_owned(),
                    role: Role::Viewer,
                    url: "srt://host".to_owned(),
                    session: None,
                    failures,
                    why: Some("no answer".to_owned()),
                },
            )]
            .into(),
            ..Look::default()
        };
        let told = differences(&Look::default(), &look(1));
        assert_eq!(told[0].0, "session_open");
        assert_eq!(
            told[1],
            (
                "output_failed",
                Some("a".to_owned()),
                "srt://host: no answer".to_owned()
            )
        );
        assert_eq!(kinds(&look(1), &look(1)), [""; 0]);
        assert_eq!(kinds(&look(1), &look(2)), ["output_failed"]);
        assert_eq!(kinds(&look(1), &Look::default()), ["session_close"]);
    }

    #[test]
    fn the_oldest_make_room() {
        let mut events = Events::default();
        for number in 0..=KEPT {
            events.add(SystemTime::UNIX_EPOCH, ("verdict", None, number.to_string()));
        }
        let all = events.all();
        assert_eq!(all.len(), KEPT);
        assert_eq!((all[0].number, all[0].text.as_str()), (2, "1"));
    }
}
