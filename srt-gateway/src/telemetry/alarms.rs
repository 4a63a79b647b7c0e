//! Alarms: conditions that need an operator, from their beginning to their end.
//!
//! ```text
//!              comes                  has lasted, or comes for the third time
//!   (unknown) ───────▶ pending ──────────────────────────────────────────────▶ active ◀──────┐
//!                        │ gone for clear_after                                  │ gone      │ comes again: count + 1
//!                        ▼                                                       ▼           │
//!                    forgotten          cleared ◀─────────────────────────── going ──────────┘
//!                                          │        gone for clear_after, or silenced
//!                                          ▼ comes again: raised as the same alarm, count + 1
//! ```
//!
//! Pure: functions of `now` and of the current conditions. The work grows with the conditions and alarms, not with the
//! streams. No input of a peer determines a size: at most [`MOST`] alarms and [`HISTORY`] cleared ones are kept, with
//! texts of at most [`TEXT`] characters.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant, SystemTime},
};

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::health::{FaultKind, Level, StreamFault};
use crate::names::{StreamName, escape};

/// The maximum number of alarms that are active or pending.
pub(crate) const MOST: usize = 2000;

/// The number of cleared alarms that are kept.
pub(crate) const HISTORY: usize = 500;

/// The maximum length of an alarm's text, in characters.
const TEXT: usize = 500;

/// A condition that occurs this often raises an alarm, however short it is.
const FLAPS: u64 = 3;

/// The window of a verdict's counts: an error is part of the verdict for this long.
const WINDOW: Duration = Duration::from_secs(60);

/// How urgent an alarm is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// It can wait until morning.
    #[default]
    Warning,
    /// Viewers lose something now, or soon will.
    Critical,
}

impl Severity {
    pub(crate) const ALL: [Self; 2] = [Self::Critical, Self::Warning];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The corresponding level of verdicts and events.
    pub(crate) fn level(self) -> Level {
        match self {
            Self::Warning => Level::Warning,
            Self::Critical => Level::Bad,
        }
    }
}

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum AlarmKind {
    /// A fault of a stream.
    #[schema(value_type = String)]
    Stream(FaultKind),
    /// The gateway's own.
    Gateway(GatewayKind),
}

/// What may be wrong with the gateway as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GatewayKind {
    /// It stood still, and streams have suffered.
    GatewayStalled,
    /// Threads make no progress.
    ThreadsStuck,
    /// The configuration file is not in force.
    ReloadRefused,
    /// The certificate of the API ends soon.
    CertificateExpires,
    /// New callers are refused for want of file descriptors.
    DescriptorsShort,
    /// New callers are refused for want of memory.
    MemoryShort,
    /// Events cannot be posted.
    EventsFailing,
    /// The hook of `[auth]` does not answer.
    HookDown,
    /// The audit log cannot be written.
    AuditFileFailing,
}

impl GatewayKind {
    fn severity(self) -> Severity {
        match self {
            Self::GatewayStalled
            | Self::ThreadsStuck
            | Self::DescriptorsShort
            | Self::MemoryShort
            | Self::HookDown => Severity::Critical,
            Self::ReloadRefused | Self::CertificateExpires | Self::EventsFailing | Self::AuditFileFailing => {
                Severity::Warning
            }
        }
    }
}

impl AlarmKind {
    /// The name in the API, in metrics and in rules.
    pub(crate) fn word(self) -> String {
        // Both are enums without values, so they serialize as strings.
        let word = serde_json::to_value(self).unwrap_or_default();
        word.as_str().unwrap_or_default().to_owned()
    }
}

/// Identifies an alarm: there is one alarm per key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) kind: AlarmKind,
    pub(crate) stream: Option<StreamName>,
    pub(crate) party: Option<String>,
}

impl Key {
    /// Stable across restarts and occurrences.
    fn id(&self) -> String {
        let text = format!(
            "{}\n{:?}\n{:?}",
            self.kind.word(),
            self.stream.as_ref().map(StreamName::as_str),
            self.party
        );
        let digest = digest(&SHA256, text.as_bytes());
        let hex: String = digest.as_ref()[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("a-{hex}")
    }
}

/// How long a condition must last before it raises an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// Not at all: the condition does not pass by itself.
    None,
    /// `raise_after`.
    Usual,
    /// `raise_after` beyond the window in which an error counts: a single error raises no alarm.
    Window,
}

/// A current fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) key: Key,
    severity: Severity,
    text: String,
    hold: Hold,
}

impl Condition {
    /// The condition of a stream's fault; None: it raises no alarm.
    pub(crate) fn of_stream(stream: &StreamName, fault: &StreamFault) -> Option<Self> {
        use FaultKind as F;
        let critical = fault.level == Level::Bad && fault.kind != F::ViewerLink;
        let hold = match fault.kind {
            // Viewers choose their latency, and a viewer without losses needs no alarm.
            F::ViewerLinkStrained => return None,
            F::GatewayStalled => return Some(Self::of_gateway(GatewayKind::GatewayStalled, &fault.sentence)),
            F::PublisherLink
            | F::SourceErrors
            | F::Uplink
            | F::ViewerLink
            | F::PublisherLinkStrained
            | F::TsErrors => Hold::Window,
            _ => Hold::Usual,
        };
        // A publisher has another port each time: the lost stream is the same.
        let of_party = matches!(fault.kind, F::OutputDown | F::InputDown | F::InputSilent);
        Some(Self {
            key: Key {
                kind: AlarmKind::Stream(fault.kind),
                stream: Some(stream.clone()),
                party: fault.party.clone().filter(|_| of_party).map(tidy),
            },
            severity: if critical {
                Severity::Critical
            } else {
                Severity::Warning
            },
            text: tidy(fault.sentence.clone()),
            hold,
        })
    }

    /// A condition of the gateway.
    pub(crate) fn of_gateway(kind: GatewayKind, text: &str) -> Self {
        Self {
            key: Key {
                kind: AlarmKind::Gateway(kind),
                stream: None,
                party: None,
            },
            severity: kind.severity(),
            text: tidy(text.to_owned()),
            hold: match kind {
                GatewayKind::GatewayStalled => Hold::Window,
                GatewayKind::ReloadRefused
                | GatewayKind::CertificateExpires
                | GatewayKind::DescriptorsShort
                | GatewayKind::MemoryShort
                | GatewayKind::ThreadsStuck => Hold::None,
                _ => Hold::Usual,
            },
        }
    }
}

fn tidy(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(TEXT) {
        text.truncate(at);
        text.push_str("...");
    }
    escape(&mut text);
    text
}

/// Who has acknowledged an alarm.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Acknowledged {
    /// The name of the token.
    pub(crate) by: String,
    /// RFC 3339, UTC.
    #[serde(serialize_with = "rfc3339")]
    #[schema(value_type = String)]
    pub(crate) time: SystemTime,
    /// May be empty.
    pub(crate) note: String,
}

/// Whether an alarm is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AlarmState {
    /// It is wrong still, or was a moment ago.
    Active,
    /// It is over.
    Cleared,
}

/// An alarm.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Alarm {
    /// The same for each occurrence, also after a restart.
    pub(crate) id: String,
    /// What is wrong: see docs/alarms.md.
    #[schema(value_type = String)]
    pub(crate) kind: AlarmKind,
    pub(crate) severity: Severity,
    pub(crate) state: AlarmState,
    /// The stream; absent if it is about the gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream: Option<String>,
    /// The input or output, by its name or address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) party: Option<String>,
    /// What is wrong, and what to do about it. As of the last second that it was so.
    pub(crate) text: String,
    /// When it began for the first time. RFC 3339, UTC.
    #[serde(serialize_with = "rfc3339")]
    #[schema(value_type = String)]
    pub(crate) first: SystemTime,
    /// When it was raised last.
    #[serde(serialize_with = "rfc3339")]
    #[schema(value_type = String)]
    pub(crate) raised: SystemTime,
    /// When it was cleared.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rfc3339_if")]
    #[schema(value_type = Option<String>)]
    pub(crate) cleared: Option<SystemTime>,
    /// How often it has begun since `first`.
    pub(crate) count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) acknowledged: Option<Acknowledged>,
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_seconds(*time))
}

fn rfc3339_if<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => rfc3339(time, serializer),
        None => serializer.serialize_none(),
    }
}

/// How long conditions must last or be absent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HoldTimes {
    pub(crate) raise_after: Duration,
    pub(crate) clear_after: Duration,
}

/// A change of an alarm.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    Raised(Alarm),
    Cleared(Alarm),
}

/// Why an alarm cannot be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotActive {
    Unknown,
    Cleared,
}

/// How many alarms are active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct AlarmCounts {
    pub(crate) critical: usize,
    pub(crate) warning: usize,
    /// Active alarms that nobody has acknowledged.
    pub(crate) unacknowledged: usize,
}

#[derive(Debug)]
struct Entry {
    alarm: Alarm,
    is_active: bool,
    /// How often it has begun since it was last forgotten or cleared.
    begun: u64,
    /// The start of its current uninterrupted presence.
    since: Instant,
    /// The start of its current absence.
    gone: Option<Instant>,
    /// The last round in which it was seen.
    round: u64,
}

/// All alarms.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    entries: HashMap<Key, Entry>,
    /// The last cleared ones, the oldest first.
    cleared: VecDeque<(Key, Alarm)>,
    round: u64,
    /// Conditions that were left out of the last round because of the limit.
    left_out: usize,
}

impl Alarms {
    /// Processes the current conditions. Alarms whose key is `silenced` end at once.
    pub(crate) fn update(
        &mut self,
        conditions: Vec<Condition>,
        silenced: impl Fn(&Key) -> bool,
        hold: HoldTimes,
        now: Instant,
        time: SystemTime,
    ) -> Vec<Change> {
        self.round += 1;
        self.left_out = 0;
        let mut changes = Vec::new();
        for condition in conditions {
            if !silenced(&condition.key) {
                changes.extend(self.see(condition, hold, now, time));
            }
        }
        let round = self.round;
        let mut over = Vec::new();
        for (key, entry) in &mut self.entries {
            if entry.round == round {
                continue;
            }
            let gone = *entry.gone.get_or_insert(now);
            if silenced(key) || now.saturating_duration_since(gone) >= hold.clear_after {
                over.push(key.clone());
            }
        }
        for key in over {
            changes.extend(self.clear(key, time));
        }
        changes
    }

    fn see(
        &mut self,
        condition: Condition,
        hold: HoldTimes,
        now: Instant,
        time: SystemTime,
    ) -> Option<Change> {
        let key = condition.key.clone();
        let change = self.advance(condition, hold, now, time);
        if change.is_some() {
            // It is one alarm, however often it occurs.
            self.cleared.retain(|(known, _)| *known != key);
        }
        change
    }

    fn advance(
        &mut self,
        condition: Condition,
        hold: HoldTimes,
        now: Instant,
        time: SystemTime,
    ) -> Option<Change> {
        let is_new = !self.entries.contains_key(&condition.key);
        if is_new && self.entries.len() >= MOST {
            self.left_out += 1;
            return None;
        }
        let entry = match is_new {
            true => {
                let entry = self.begin(&condition, now, time);
                self.entries.entry(condition.key.clone()).or_insert(entry)
            }
            false => self.entries.get_mut(&condition.key)?,
        };
        // Several streams may report the same condition.
        let is_seen = entry.round == self.round;
        entry.round = self.round;
        if !is_seen {
            entry.alarm.text = condition.text;
            entry.alarm.severity = condition.severity;
        }
        if entry.gone.take().is_some() {
            entry.alarm.count += 1;
            entry.since = now;
            entry.begun += 1;
            if !entry.is_active && entry.begun >= FLAPS {
                return Some(entry.raise(time));
            }
        }
        let wait = match condition.hold {
            Hold::None => Duration::ZERO,
            Hold::Usual => hold.raise_after,
            Hold::Window => hold.raise_after + WINDOW,
        };
        let is_due = now.saturating_duration_since(entry.since) >= wait;
        (!entry.is_active && is_due).then(|| entry.raise(time))
    }

    /// A cleared alarm that occurs again keeps its identity.
    fn begin(&mut self, condition: &Condition, now: Instant, time: SystemTime) -> Entry {
        let known = self.cleared.iter().find(|(key, _)| *key == condition.key);
        let alarm = match known {
            Some((_, alarm)) => Alarm {
                state: AlarmState::Active,
                cleared: None,
                acknowledged: None,
                count: alarm.count + 1,
                ..alarm.clone()
            },
            None => Alarm {
                id: condition.key.id(),
                kind: condition.key.kind,
                severity: condition.severity,
                state: AlarmState::Active,
                stream: condition.key.stream.as_ref().map(StreamName::to_string),
                party: condition.key.party.clone(),
                text: String::new(),
                first: time,
                raised: time,
                cleared: None,
                count: 1,
                acknowledged: None,
            },
        };
        Entry {
            alarm,
            is_active: false,
            begun: 1,
            since: now,
            gone: None,
            round: 0,
        }
    }

    fn clear(&mut self, key: Key, time: SystemTime) -> Option<Change> {
        let Entry {
            mut alarm, is_active, ..
        } = self.entries.remove(&key)?;
        if !is_active {
            return None;
        }
        alarm.state = AlarmState::Cleared;
        alarm.cleared = Some(time);
        if self.cleared.len() == HISTORY {
            self.cleared.pop_front();
        }
        self.cleared.push_back((key, alarm.clone()));
        Some(Change::Cleared(alarm))
    }

    /// Records that an operator handles it.
    pub(crate) fn acknowledge(&mut self, id: &str, by: Acknowledged) -> Result<Alarm, NotActive> {
        let active = self.entries.values_mut().filter(|entry| entry.is_active);
        let Some(entry) = active.into_iter().find(|entry| entry.alarm.id == id) else {
            let is_known = self.cleared.iter().any(|(_, alarm)| alarm.id == id);
            return Err(if is_known {
                NotActive::Cleared
            } else {
                NotActive::Unknown
            });
        };
        entry.alarm.acknowledged = Some(by);
        Ok(entry.alarm.clone())
    }

    /// The active ones, the most severe and newest first, then the cleared ones, the newest first.
    pub(crate) fn all(&self) -> Vec<Alarm> {
        let mut active = self.active();
        active.extend(self.cleared.iter().rev().map(|(_, alarm)| alarm.clone()));
        active
    }

    /// The active ones, the most severe and newest first.
    pub(crate) fn active(&self) -> Vec<Alarm> {
        let active = self.entries.values().filter(|entry| entry.is_active);
        let mut active: Vec<_> = active.map(|entry| entry.alarm.clone()).collect();
        active.sort_by(|a, b| (b.severity, b.raised, &a.id).cmp(&(a.severity, a.raised, &b.id)));
        active
    }

    pub(crate) fn counts(&self) -> AlarmCounts {
        let mut counts = AlarmCounts::default();
        for entry in self.entries.values().filter(|entry| entry.is_active) {
            match entry.alarm.severity {
                Severity::Critical => counts.critical += 1,
                Severity::Warning => counts.warning += 1,
            }
            counts.unacknowledged += usize::from(entry.alarm.acknowledged.is_none());
        }
        counts
    }

    pub(crate) fn left_out(&self) -> usize {
        self.left_out
    }
}

impl Entry {
    fn raise(&mut self, time: SystemTime) -> Change {
        self.is_active = true;
        self.alarm.raised = time;
        Change::Raised(self.alarm.clone())
    }
}

#[cfg(test)]
mod tests;
