//! The audit log: who changed what, from where, and with which result.
//!
//! ```text
//!   requests that change something ─┐
//!   reloads of the file             ├─▶ memory: the last changes, and refused clients ──▶ GET /audit, events, log
//!   requests that are refused ──────┘         └─ bounded queue ──▶ thread `audit` ──▶ the file of audit_file
//! ```
//!
//! Records are kept in memory; only the thread `audit` touches the file, so a full or hanging disk costs records of the
//! file, which are counted, and never delays a request. Refused clients have a list of their own, so strangers cannot
//! push changes out of the log. Secrets appear as keyed fingerprints; the key changes with each start.

mod differences;
mod file;
mod list;
mod request;

use std::{
    collections::VecDeque,
    mem,
    net::IpAddr,
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use serde::{Serialize, Serializer};
use tracing::{info, warn};
use utoipa::ToSchema;

pub(crate) use differences::{Change, Changes, Fingerprints};
pub(super) use list::{__path_audit, audit};
pub(super) use request::{RequestInfo, note, noted, recorded};

use crate::{
    config::Api,
    names::escape,
    rate_limit::{Rate, TokenBucket, client_of},
    telemetry::{EventKind, EventLog, Happening},
};
use file::AuditFile;

/// The number of changes kept.
const KEPT: usize = 1000;

/// The number of refused clients kept.
const REFUSED: usize = 200;

/// A client that keeps being refused is reported again (file, event, log) after this time.
const AGAIN: Duration = Duration::from_secs(600);

/// The rate of reports about refused clients. At this rate, the file takes at most 1 MB of them a day, so that strangers
/// do not rotate the operators' changes out of it.
const REPORTS: Rate = Rate {
    per_second: 1.0 / 60.0,
    burst: 20.0,
};

/// The length limit of the texts of a refused client's record, in characters.
const REFUSED_TEXT: usize = 120;

/// The number of failed changes that are kept.
const FAILED: usize = 200;

/// The rate at which failed changes are recorded one by one. Those beyond it are counted in the next record, so that a client
/// with a token does not rotate the changes out of the file.
const FAILURES: Rate = Rate {
    per_second: 0.05,
    burst: 100.0,
};

/// The length limit of a record's texts, in characters.
const TEXT: usize = 500;

/// How a change came to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Via {
    /// A request to this API; `srt-gateway ctl` and the console send such.
    Api,
    /// The configuration file was saved.
    File,
    /// SIGHUP.
    Signal,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// It was done.
    Ok,
    /// It was not done, or not completely.
    Failed,
    /// Whoever asked may not do that.
    Refused,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

/// What is recorded.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Entry {
    pub(crate) via: Via,
    /// The name of the token; `file` or `signal` if it was not the API.
    pub(crate) by: String,
    /// Where the request came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) address: Option<IpAddr>,
    /// The method of the request, or `RELOAD`.
    pub(crate) action: String,
    /// The path of the request without `/api/v1/`, decoded; or the path of the configuration file.
    pub(crate) object: String,
    #[serde(flatten)]
    pub(crate) changes: Changes,
    pub(crate) result: Outcome,
    /// The HTTP status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// Why it was not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl Entry {
    /// Peers and callers chose parts of it: escapes control characters and limits the length.
    fn sanitize(&mut self, longest: usize) {
        let error = self.error.as_mut();
        for text in [&mut self.by, &mut self.action, &mut self.object]
            .into_iter()
            .chain(error)
        {
            shorten(text, longest);
            escape(text);
            // Escapes are longer than what they stand for.
            shorten(text, longest);
        }
        self.changes.sanitize();
    }

    /// One line for the log.
    fn line(&self) -> String {
        let from = self.address.map(|address| format!(" from {address}"));
        let error = self.error.as_deref().map(|error| format!(": {error}"));
        format!(
            "{}{}: {} {}: {}{}",
            self.by,
            from.unwrap_or_default(),
            self.action,
            self.object,
            self.result.word(),
            error.unwrap_or_default(),
        )
    }
}

/// Truncates a text to so many characters.
fn shorten(text: &mut String, most: usize) {
    if let Some((at, _)) = text.char_indices().nth(most) {
        text.truncate(at);
        text.push_str("...");
    }
}

/// A record of the audit log.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Record {
    /// Counts up while the gateway runs. Of a refused client: that of its last request.
    pub(crate) number: u64,
    /// RFC 3339, UTC, with milliseconds. Of a refused client: of its last request.
    #[serde(serialize_with = "rfc3339")]
    #[schema(value_type = String)]
    pub(crate) time: SystemTime,
    /// The first of the requests that this record stands for.
    #[serde(serialize_with = "rfc3339")]
    #[schema(value_type = String)]
    pub(crate) first: SystemTime,
    /// Requests that this record stands for. Repeated requests of a refused client are one record.
    pub(crate) count: u64,
    #[serde(flatten)]
    pub(crate) entry: Entry,
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}

/// A refused client, and the time of its last report.
#[derive(Debug)]
struct Refused {
    record: Record,
    reported: Option<Instant>,
}

#[derive(Debug)]
struct Records {
    last: u64,
    changes: VecDeque<Record>,
    failed: VecDeque<Record>,
    failures: TokenBucket,
    /// Changes that failed since the last one that was recorded.
    unrecorded: u64,
    refused: VecDeque<Refused>,
    reports: TokenBucket,
}

/// The audit log.
#[derive(Debug)]
pub(crate) struct AuditLog {
    records: Mutex<Records>,
    file: Option<AuditFile>,
    refused: AtomicU64,
    pub(crate) fingerprints: Fingerprints,
}

impl AuditLog {
    /// Without a file, or with one that its own thread opens and writes.
    pub(crate) fn new(config: &Api) -> Self {
        let start = |path: &Path| {
            AuditFile::start(path, config.audit_file_size)
                .inspect_err(|error| warn!("there is no thread to write audit_file of [api]: {error}"))
                .ok()
        };
        Self {
            records: Mutex::new(Records {
                last: 0,
                changes: VecDeque::new(),
                failed: VecDeque::new(),
                failures: TokenBucket::full(FAILURES, Instant::now()),
                unrecorded: 0,
                refused: VecDeque::new(),
                reports: TokenBucket::full(REPORTS, Instant::now()),
            }),
            file: config.audit_file.as_deref().and_then(start),
            refused: AtomicU64::new(0),
            fingerprints: Fingerprints::default(),
        }
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a change, or a failed attempt. Never waits.
    pub(crate) fn add(&self, mut entry: Entry, events: &EventLog) {
        entry.sanitize(TEXT);
        let record = {
            let mut records = self.records();
            let added = match entry.result {
                Outcome::Failed => records.fail(entry, Instant::now()),
                Outcome::Ok | Outcome::Refused => Some(records.change(entry)),
            };
            let Some(record) = added else {
                return;
            };
            record
        };
        match record.entry.result {
            Outcome::Ok => info!(by = %record.entry.by, "{}", record.entry.line()),
            Outcome::Failed | Outcome::Refused => warn!(by = %record.entry.by, "{}", record.entry.line()),
        }
        self.report(record, events);
    }

    /// Records a request that its sender is not allowed to make. Never waits.
    pub(crate) fn add_refused(&self, mut entry: Entry, events: &EventLog, now: Instant) {
        entry.sanitize(REFUSED_TEXT);
        self.refused.fetch_add(1, Relaxed);
        let report = self.records().refuse(entry, now);
        if let Some(record) = report {
            warn!(by = %record.entry.by, "{}", record.entry.line());
            self.report(record, events);
        }
    }

    fn report(&self, record: Record, events: &EventLog) {
        let entry = &record.entry;
        events.add(Happening {
            name: Some(entry.by.clone()),
            reason: entry.error.clone(),
            times: (record.count > 1).then_some(record.count),
            ..Happening::new(EventKind::Audit, entry.line())
        });
        if let Some(file) = &self.file {
            file.push(record);
        }
    }

    /// All records, newest first.
    fn newest_first(&self) -> Vec<Record> {
        let records = self.records();
        let refused = records.refused.iter().map(|refused| &refused.record);
        let changes = records.changes.iter().chain(&records.failed);
        let mut all: Vec<_> = changes.chain(refused).cloned().collect();
        drop(records);
        all.sort_by_key(|record| std::cmp::Reverse(record.number));
        all
    }

    /// The number of refused requests: no token, a wrong one, or one without the required scope.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Whether the file could not be written when it was last tried.
    pub(super) fn is_failing(&self) -> bool {
        self.file.as_ref().is_some_and(AuditFile::is_failing)
    }

    /// The number of records missing in the file.
    pub(super) fn lost(&self) -> u64 {
        self.file.as_ref().map_or(0, AuditFile::lost)
    }

    /// Waits until the file has everything recorded so far, at most this long.
    pub(crate) fn flush(&self, limit: Duration) {
        if let Some(file) = &self.file {
            file.flush(limit);
        }
    }
}

impl Records {
    fn next(&mut self, entry: Entry) -> Record {
        self.last += 1;
        let now = SystemTime::now();
        Record {
            number: self.last,
            time: now,
            first: now,
            count: 1,
            entry,
        }
    }

    fn change(&mut self, entry: Entry) -> Record {
        let record = self.next(entry);
        keep(&mut self.changes, record.clone(), KEPT);
        record
    }

    /// Returns the record unless the failure is only counted.
    fn fail(&mut self, entry: Entry, now: Instant) -> Option<Record> {
        if self.failures.take(FAILURES, now).is_err() {
            self.unrecorded += 1;
            return None;
        }
        let mut record = self.next(entry);
        record.count += mem::take(&mut self.unrecorded);
        keep(&mut self.failed, record.clone(), FAILED);
        Some(record)
    }

    /// Returns the record if it should be reported.
    fn refuse(&mut self, entry: Entry, now: Instant) -> Option<Record> {
        let fresh = self.next(entry);
        let client = |record: &Record| (record.entry.address.map(client_of), record.entry.by.clone());
        let wanted = client(&fresh);
        let known = self
            .refused
            .iter()
            .position(|known| client(&known.record) == wanted);
        let mut refused = match known.and_then(|at| self.refused.remove(at)) {
            Some(known) => Refused {
                record: Record {
                    first: known.record.first,
                    count: known.record.count.saturating_add(1),
                    ..fresh
                },
                ..known
            },
            None => Refused {
                record: fresh,
                reported: None,
            },
        };
        // The list is ordered by the last request.
        if self.refused.len() == REFUSED {
            self.refused.pop_front();
        }
        let is_due = refused
            .reported
            .is_none_or(|last| now.saturating_duration_since(last) >= AGAIN);
        let is_reported = is_due && self.reports.take(REPORTS, now).is_ok();
        if is_reported {
            refused.reported = Some(now);
        }
        let record = is_reported.then(|| refused.record.clone());
        self.refused.push_back(refused);
        record
    }
}

/// Adds a record; of more than `most` the oldest goes.
fn keep(records: &mut VecDeque<Record>, record: Record, most: usize) {
    if records.len() >= most {
        records.pop_front();
    }
    records.push_back(record);
}

#[cfg(test)]
mod tests;
