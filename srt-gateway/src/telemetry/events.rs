//! The event log: one list, which the API shows and the poster of `[events]` posts from.
//!
//! Control adds most events, once a decision is made; any thread may. The lock is held to move one entry or to copy
//! some. Events to be posted wait only here, so the list's length bounds what may wait.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::{alarms::Severity, health::Level};
use crate::names::escape;

/// The number of events kept.
pub(crate) const KEPT: usize = 2000;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EventKind {
    /// A stream has a source again, or for the first time.
    StreamUp,
    /// A stream has lost its source.
    StreamDown,
    /// A stream has switched to another source without having been down.
    InputSwitched,
    /// A connection of a caller, an input or an output is open.
    SessionOpen,
    /// A connection has ended.
    SessionClose,
    /// A caller was refused.
    Rejected,
    /// An input could not connect, or lost its connection.
    InputFailed,
    /// An output could not connect, or lost its connection.
    OutputFailed,
    /// A source is connected but sends no data.
    StreamSilent,
    /// The source sends data again.
    StreamResumed,
    /// The health of a stream, or what is at fault, has changed.
    Verdict,
    /// At the start: a change by the API was undone, or the state file could not be used.
    StateFile,
    /// An alarm was raised.
    AlarmRaised,
    /// An alarm is over.
    AlarmCleared,
    /// Somebody has acknowledged an alarm.
    AlarmAcknowledged,
    /// Somebody has changed something, or was refused to: a record of the audit log.
    Audit,
}

/// What has happened; what an event does not have is None.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Happening {
    pub(crate) event: EventKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream: Option<String>,
    /// Number of the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<u64>,
    /// `publisher`: sends the stream to the gateway; `viewer`: receives it from the gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<&'static str>,
    /// Address and port of the other end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) peer: Option<SocketAddr>,
    /// The port of the gateway that it called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
    /// The URL of an input or output, without parameters and secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// The configured name of an input or output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// The caller's streamid, with passwords masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) streamid: Option<String>,
    /// Labels that the hook of `[auth]` gave the caller, with secrets masked.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    /// The peer's SRT version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) srt_version: Option<String>,
    /// `AES-128`, `AES-192`, `AES-256`, `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encryption: Option<&'static str>,
    /// The negotiated latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency_ms: Option<u64>,
    /// The previous source: the URL of an input, or the address of a publisher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
    /// The current source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<String>,
    /// What refused it: `port`, `stream`, `passphrase`, `rules`, `hook`, `limits`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<&'static str>,
    /// The reject code sent to the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<i32>,
    /// The reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// Number of refusals or failures that this event stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) times: Option<u64>,
    /// Failures of this input or output so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failures: Option<u64>,
    /// How long the session lasted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seconds: Option<f64>,
    /// Bytes of payload that the session carried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<u64>,
    /// Packets lost on the wire; retransmission recovered most of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lost: Option<u64>,
    /// Packets dropped as too late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dropped: Option<u64>,
    /// The id of the alarm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) alarm: Option<String>,
    /// Of the alarm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) severity: Option<Severity>,
    /// `good`, `warning`, `bad`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) level: Option<Level>,
    /// One line for people.
    pub(crate) text: String,
}

impl Happening {
    /// Escapes everything that a peer may have sent, so that it cannot control a terminal or break a line.
    fn escape(&mut self) {
        let optional = [
            &mut self.stream,
            &mut self.url,
            &mut self.name,
            &mut self.streamid,
            &mut self.srt_version,
            &mut self.from,
            &mut self.to,
            &mut self.reason,
        ];
        optional
            .into_iter()
            .flatten()
            .chain([&mut self.text])
            .for_each(escape);
    }

    /// An event without any field but the text.
    pub(crate) fn new(event: EventKind, text: String) -> Self {
        Self {
            event,
            stream: None,
            session: None,
            role: None,
            peer: None,
            port: None,
            url: None,
            name: None,
            streamid: None,
            labels: BTreeMap::new(),
            srt_version: None,
            encryption: None,
            latency_ms: None,
            from: None,
            to: None,
            by: None,
            code: None,
            reason: None,
            times: None,
            failures: None,
            seconds: None,
            bytes: None,
            lost: None,
            dropped: None,
            alarm: None,
            severity: None,
            level: None,
            text,
        }
    }
}

/// An event with its number and time. It contains no secrets: it is posted and shown as it is.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Event {
    /// Counts up from 1 while the gateway runs.
    pub(crate) number: u64,
    /// RFC 3339, UTC, with milliseconds.
    #[serde(serialize_with = "rfc3339")]
    #[schema(value_type = String)]
    pub(crate) time: SystemTime,
    /// The gateway's name.
    #[schema(value_type = String)]
    pub(crate) gateway: Box<str>,
    #[serde(flatten)]
    pub(crate) what: Happening,
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}

/// The last [`KEPT`] events.
pub(crate) struct EventLog {
    gateway: Box<str>,
    entries: Mutex<Entries>,
    reader: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

#[derive(Debug, Default)]
struct Entries {
    last: u64,
    kept: VecDeque<Arc<Event>>,
}

impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLog").finish_non_exhaustive()
    }
}

impl EventLog {
    /// `gateway` is the name in each event.
    pub(crate) fn new(gateway: &str) -> Self {
        Self {
            gateway: gateway.into(),
            entries: Mutex::default(),
            reader: OnceLock::new(),
        }
    }

    /// Calls `reader` after each event from now on, on the thread that adds it: it must not block. Only the first call
    /// has an effect.
    pub(crate) fn on_event(&self, reader: impl Fn() + Send + Sync + 'static) {
        self.reader.set(Box::new(reader)).unwrap_or_default();
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a numbered event and drops the oldest if the log is full.
    pub(crate) fn add(&self, mut what: Happening) {
        what.escape();
        let mut entries = self.entries();
        entries.last += 1;
        let event = Event {
            number: entries.last,
            time: SystemTime::now(),
            gateway: self.gateway.clone(),
            what,
        };
        if entries.kept.len() == KEPT {
            entries.kept.pop_front();
        }
        entries.kept.push_back(Arc::new(event));
        drop(entries);
        if let Some(reader) = self.reader.get() {
            reader();
        }
    }

    /// The newest number; 0: there is none.
    pub(crate) fn last(&self) -> u64 {
        self.entries().last
    }

    /// The oldest number kept; the next one if there is none.
    pub(crate) fn oldest(&self) -> u64 {
        let entries = self.entries();
        entries
            .kept
            .front()
            .map_or(entries.last + 1, |event| event.number)
    }

    /// At most so many events from this number on, oldest first.
    pub(crate) fn from(&self, number: u64, most: usize) -> Vec<Arc<Event>> {
        let entries = self.entries();
        let at = entries.kept.partition_point(|event| event.number < number);
        entries.kept.iter().skip(at).take(most).cloned().collect()
    }
}

/// Counters of event posts. They survive a reload that changes the receiver.
#[derive(Debug, Default)]
pub(crate) struct EventCounters {
    posted: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

impl EventCounters {
    /// The receiver has accepted so many events.
    pub(crate) fn add_posted(&self, events: u64) {
        self.posted.fetch_add(events, Relaxed);
    }

    /// A post has failed and will be repeated.
    pub(crate) fn add_failed(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    /// So many events will never be posted.
    pub(crate) fn add_dropped(&self, events: u64) {
        self.dropped.fetch_add(events, Relaxed);
    }

    pub(crate) fn status(&self, waiting: u64) -> EventsStatus {
        EventsStatus {
            posted: self.posted.load(Relaxed),
            failed: self.failed.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            waiting,
        }
    }
}

/// The state of event posts, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventsStatus {
    /// Events that the receiver accepted.
    pub posted: u64,
    /// Failed posts; each is repeated.
    pub failed: u64,
    /// Events that were never posted: the log was full while the receiver did not answer, or it refused them.
    pub dropped: u64,
    /// Events that are yet to be posted.
    pub waiting: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream_up(stream: &str) -> Happening {
        Happening {
            stream: Some(stream.to_owned()),
            ..Happening::new(EventKind::StreamUp, "up".to_owned())
        }
    }

    #[test]
    fn the_last_ones_are_kept_and_numbered() {
        let log = EventLog::new("gw1");
        assert_eq!((log.last(), log.oldest(), log.from(1, 10).len()), (0, 1, 0));
        for number in 0..KEPT + 5 {
            log.add(stream_up(&number.to_string()));
        }
        assert_eq!((log.last(), log.oldest()), (KEPT as u64 + 5, 6));
        let part = log.from(1, 3);
        let numbers: Vec<_> = part.iter().map(|event| event.number).collect();
        assert_eq!(numbers, [6, 7, 8]);
        assert_eq!(log.from(KEPT as u64 + 5, 3).len(), 1);
        assert_eq!(log.from(KEPT as u64 + 6, 3).len(), 0);
    }

    #[test]
    fn an_event_is_one_flat_object_without_what_it_has_not() {
        let log = EventLog::new("gw1");
        log.add(stream_up("live/cam1"));
        let event = serde_json::to_value(&*log.from(1, 1)[0]).unwrap();
        let time = event["time"].as_str().unwrap();
        assert!(
            time.len() == "2026-01-02T03:04:05.678Z".len() && time.ends_with('Z'),
            "{time}"
        );
        let wanted = serde_json::json!({
            "number": 1, "time": time, "gateway": "gw1", "event": "stream_up", "stream": "live/cam1", "text": "up"
        });
        assert_eq!(event, wanted);
    }
}
