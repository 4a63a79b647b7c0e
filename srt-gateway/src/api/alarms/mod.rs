//! Alarms of the running gateway: derived from the verdicts of each second and from the gateway's own state, shown,
//! acknowledged, silenced, and sent to the targets of `[alarms]`.
//!
//! ```text
//!   telemetry: verdicts ─┐                     ┌─▶ events ──▶ [events]
//!   the gateway's state ─┴─▶ telemetry/alarms ─┼─▶ GET /alarms, metrics, live events
//!        silences (expected off, maintenance)  └─▶ bounded queue ──▶ thread `alarm-notices` ──▶ Slack, mail
//! ```
//!
//! Runs on the thread `telemetry`, and on the threads of requests. Never blocks: only requests write the file of
//! silences.

mod certificate;
mod conditions;
mod notices;
mod requests;
mod silences;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

pub(super) use certificate::{Expiry, expiry};
pub(super) use requests::{
    __path_acknowledge, __path_add_maintenance, __path_alarms, __path_delete_expected_off,
    __path_delete_maintenance, __path_expected_off, __path_maintenance, __path_put_expected_off, acknowledge,
    add_maintenance, alarms, delete_expected_off, delete_maintenance, expected_off, maintenance,
    put_expected_off,
};
use silences::{SilenceFile, Silences};

use super::{sampler::Snapshot, store::ConfigStore, tls::Acceptor};
use crate::{
    names::StreamName,
    telemetry::{
        EventKind, Happening,
        alarms::{Alarm, AlarmCounts, Alarms, Change, Condition, HoldTimes, Key},
    },
    view::View,
};
use notices::Notices;
pub(super) use notices::{NoticeCounts, OUTCOMES, TARGETS};

/// The alarms and their silences.
#[derive(Debug)]
pub(super) struct AlarmService {
    view: View,
    store: Arc<ConfigStore>,
    certificate: Option<Acceptor>,
    alarms: Mutex<Alarms>,
    silences: Mutex<Arc<Silences>>,
    file: SilenceFile,
    notices: Notices,
}

impl AlarmService {
    /// Reads the stored silences.
    pub(super) fn new(view: View, store: Arc<ConfigStore>, certificate: Option<Acceptor>) -> Self {
        let file = SilenceFile::beside(store.path());
        Self {
            view,
            store,
            certificate,
            alarms: Mutex::default(),
            silences: Mutex::new(Arc::new(file.read(SystemTime::now()))),
            file,
            notices: Notices::default(),
        }
    }

    fn alarms(&self) -> MutexGuard<'_, Alarms> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current and future silences.
    fn silences(&self, time: SystemTime) -> Arc<Silences> {
        let mut silences = self.silences.lock().unwrap_or_else(PoisonError::into_inner);
        if silences.has_ended(time) {
            Arc::make_mut(&mut silences).forget(time);
        }
        Arc::clone(&silences)
    }

    fn change_silences<T>(&self, change: impl FnOnce(&mut Silences) -> T) -> T {
        let mut silences = self.silences.lock().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut silences))
    }

    /// Processes the figures of a second, and reports the alarms that begin and end.
    pub(super) fn look(&self, snapshot: &Snapshot, now: Instant, time: SystemTime) {
        let mut conditions = Vec::new();
        for (name, sample) in &snapshot.streams {
            let faults = sample.verdict.faults.iter();
            conditions.extend(faults.filter_map(|fault| Condition::of_stream(name, fault)));
        }
        conditions.extend(self.of_gateway(time));
        let config = self.view.config.load();
        let hold = HoldTimes {
            raise_after: config.alarms.raise_after,
            clear_after: config.alarms.clear_after,
        };
        let silences = self.silences(time);
        let is_silenced = |key: &Key| {
            let of_stream = |name: &StreamName| silences.silence(name.as_str(), time, &config);
            key.stream.as_ref().is_some_and(of_stream)
        };
        let changes = self.alarms().update(conditions, is_silenced, hold, now, time);
        for change in &changes {
            let (kind, alarm, word) = match change {
                Change::Raised(alarm) => (EventKind::AlarmRaised, alarm, "raised"),
                Change::Cleared(alarm) => (EventKind::AlarmCleared, alarm, "cleared"),
            };
            self.view.events.add(happening(kind, alarm, word));
        }
        self.notices.send(&changes, &config.alarms, &self.view.name);
    }

    /// The number of active alarms.
    pub(super) fn counts(&self) -> AlarmCounts {
        self.alarms().counts()
    }

    /// The active alarms, and the number of conditions left out because of the limit.
    pub(super) fn active(&self) -> (Vec<Alarm>, usize) {
        let alarms = self.alarms();
        (alarms.active(), alarms.left_out())
    }

    /// Whether alarms of the stream are silenced now.
    pub(super) fn is_silenced(&self, stream: &str) -> bool {
        let config = self.view.config.load();
        let now = SystemTime::now();
        self.silences(now).silence(stream, now, &config)
    }

    /// The counters of messages to the targets.
    pub(super) fn notice_counts(&self) -> &NoticeCounts {
        self.notices.counts()
    }

    /// Whether the last reload of the configuration file was refused.
    pub(super) fn is_reload_refused(&self) -> bool {
        self.store.last_reload.load().refused().is_some()
    }

    /// The end of the API's certificate.
    pub(super) fn certificate_end(&self) -> Option<SystemTime> {
        self.certificate.as_ref()?.expiry().map(|expiry| expiry.end)
    }
}

fn happening(kind: EventKind, alarm: &Alarm, word: &str) -> Happening {
    let of = alarm
        .stream
        .as_ref()
        .map_or_else(String::new, |stream| format!(" of {stream}"));
    Happening {
        stream: alarm.stream.clone(),
        alarm: Some(alarm.id.clone()),
        severity: Some(alarm.severity),
        level: Some(alarm.severity.level()),
        times: Some(alarm.count),
        ..Happening::new(kind, format!("alarm{of} {word}: {}", alarm.text))
    }
}
