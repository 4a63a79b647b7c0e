//! The families of alarms, and of the verdicts that they are made of.

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::registry::Unit;

use super::{
    super::alarms::{AlarmService, OUTCOMES, TARGETS},
    FamilyEncoder, Kind, StreamName, StreamSample, bit, number,
};
use crate::telemetry::{alarms::Severity, health::Level};

/// Alarms, and whether the configuration file and the certificate are as they should be.
pub(super) fn alarms(service: &AlarmService, families: &mut FamilyEncoder<'_>) -> fmt::Result {
    let (active, left_out) = service.active();
    let of = |severity: Severity| {
        let count = active.iter().filter(|alarm| alarm.severity == severity).count();
        let labels = vec![("severity", severity.as_str().to_owned())];
        (labels, number(count as u64))
    };
    let help = "Active alarms";
    families.family(Kind::Gauge, "alarms", help, None, Severity::ALL.map(of))?;
    let rows = active.iter().map(|alarm| {
        let mut labels = vec![
            ("kind", alarm.kind.word()),
            ("severity", alarm.severity.as_str().to_owned()),
        ];
        let optional = [("stream", &alarm.stream), ("party", &alarm.party)];
        labels.extend(
            optional
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.clone()?))),
        );
        (labels, 1.0)
    });
    let help = "Always 1; there is a series for each active alarm";
    families.family(Kind::Gauge, "alarm_active", help, None, rows)?;
    let help = "Conditions that raise no alarm because there are too many at once";
    families.gauge("alarms_left_out", help, None, number(left_out as u64))?;
    let counts = service.notice_counts();
    let rows = (0..TARGETS.len()).flat_map(|target| {
        (0..OUTCOMES.len()).map(move |outcome| {
            let labels = vec![
                ("target", TARGETS[target].to_owned()),
                ("outcome", OUTCOMES[outcome].to_owned()),
            ];
            (labels, number(counts.of(target, outcome)))
        })
    });
    let help = "Messages about alarms to the targets of [alarms], by what became of them";
    families.family(Kind::Counter, "alarm_notices", help, None, rows)?;
    let help = "0 if the configuration file was refused when it was last read, otherwise 1";
    families.gauge(
        "config_last_reload_successful",
        help,
        None,
        bit(!service.is_reload_refused()),
    )?;
    if let Some(end) = service.certificate_end() {
        let end: SystemTime = end;
        let help = "When the certificate of the API ends, in Unix time";
        let seconds = end.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        families.gauge("certificate_expiry_timestamp", help, Some(Unit::Seconds), seconds)?;
    }
    Ok(())
}

/// The verdicts on the streams, and which of them raise no alarms.
pub(super) fn verdicts(
    service: &AlarmService,
    streams: &[(&StreamName, &StreamSample)],
    families: &mut FamilyEncoder<'_>,
) -> fmt::Result {
    let labels = |name: &StreamName| vec![("stream", name.to_string())];
    let value = |sample: &StreamSample| match sample.verdict.level {
        Level::Idle => 0.0,
        Level::Good => 1.0,
        Level::Warning => 2.0,
        Level::Bad => 3.0,
    };
    let rows = streams.iter().map(|(name, sample)| (labels(name), value(sample)));
    let help = "Health of the stream: 0 idle, 1 good, 2 warning, 3 bad";
    families.family(Kind::Gauge, "stream_health", help, None, rows)?;
    let silenced = streams
        .iter()
        .filter(|(name, _)| service.is_silenced(name.as_str()));
    let help = "1 for streams that are expected to be off or in maintenance; there is no series for others";
    let rows = silenced.map(|(name, _)| (labels(name), 1.0));
    families.family(Kind::Gauge, "stream_silenced", help, None, rows)
}
