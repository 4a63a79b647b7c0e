//! Events that only the sampler detects: sources that fall silent and send again, and verdicts that change. They are
//! added to the event log like control's.
//!
//! Runs on the thread `telemetry`, on figures that are computed anyway, so anything shorter than a second may be
//! missed.

use std::collections::HashMap;

use super::sampler::{Snapshot, StreamSample};
use crate::{
    names::StreamName,
    telemetry::{EventKind, Happening, health::Level},
};

/// The status of each stream in the previous second.
#[derive(Debug, Default)]
pub(super) struct Watch(HashMap<StreamName, LastStatus>);

#[derive(Clone, Copy, Debug, Default)]
struct LastStatus {
    flows: bool,
    /// That it is silent has been reported.
    silent: bool,
    level: Level,
}

impl Watch {
    /// Reports changes. `has_source` returns whether a stream has a source.
    pub(super) fn observe(
        &mut self,
        snapshot: &Snapshot,
        has_source: impl Fn(&StreamName) -> bool,
    ) -> Vec<Happening> {
        let mut told = Vec::new();
        let mut now = HashMap::with_capacity(snapshot.streams.len());
        for (name, sample) in &snapshot.streams {
            let before = self.0.get(name).copied().unwrap_or_default();
            now.insert(
                name.clone(),
                changes(name, before, sample, has_source(name), &mut told),
            );
        }
        self.0 = now;
        told
    }
}

fn changes(
    name: &StreamName,
    before: LastStatus,
    sample: &StreamSample,
    has_source: bool,
    told: &mut Vec<Happening>,
) -> LastStatus {
    let level = sample.verdict.level;
    let mut now = LastStatus {
        flows: sample.flows,
        silent: before.silent && has_source,
        level,
    };
    let mut tell = |event, text: String, level| {
        told.push(Happening {
            stream: Some(name.to_string()),
            level,
            ..Happening::new(event, text)
        });
    };
    if has_source && before.flows && !sample.flows {
        now.silent = true;
        let text = match sample.verdict.level {
            // It says whether keep-alives arrive.
            Level::Bad if !sample.verdict.sentence.is_empty() => sample.verdict.sentence.clone(),
            _ => "the source is connected but sends no data".to_owned(),
        };
        tell(EventKind::StreamSilent, text, None);
    } else if now.silent && sample.flows {
        now.silent = false;
        tell(
            EventKind::StreamResumed,
            "the source sends data again".to_owned(),
            None,
        );
    }
    // Control reports streams that come up without faults, and streams that end.
    if before.level != level && level != Level::Idle && before.level != Level::Idle {
        tell(EventKind::Verdict, sample.verdict.sentence.clone(), Some(level));
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::health::Verdict;

    fn kinds(watch: &mut Watch, has_source: bool, flows: bool, level: Level) -> Vec<EventKind> {
        let sample = StreamSample {
            flows,
            verdict: Verdict {
                level,
                ..Verdict::default()
            },
            ..StreamSample::default()
        };
        let snapshot = Snapshot {
            streams: [(StreamName::new("a"), sample)].into(),
            ..Snapshot::default()
        };
        let told = watch.observe(&snapshot, |_| has_source);
        told.iter().map(|happening| happening.event).collect()
    }

    #[test]
    fn a_source_falls_silent_and_sends_again() {
        use EventKind::{StreamResumed, StreamSilent, Verdict};
        let mut watch = Watch::default();
        for (has_source, flows, level, wanted) in [
            (false, false, Level::Idle, &[][..]),
            // It is connected; its first data comes later.
            (true, false, Level::Good, &[]),
            (true, true, Level::Good, &[]),
            (true, true, Level::Warning, &[Verdict]),
            (true, true, Level::Good, &[Verdict]),
            (true, false, Level::Bad, &[StreamSilent, Verdict]),
            (true, false, Level::Bad, &[]),
            (true, true, Level::Good, &[StreamResumed, Verdict]),
            (true, false, Level::Bad, &[StreamSilent, Verdict]),
            // Gone: control reports that.
            (false, false, Level::Idle, &[]),
            (true, true, Level::Good, &[]),
        ] {
            assert_eq!(kinds(&mut watch, has_source, flows, level), wanted);
        }
    }
}
