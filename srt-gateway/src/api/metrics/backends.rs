//! Metrics of the operators' HTTP backends: the hook of `[auth]`, and event posts. Absent without them.

use std::fmt;

use prometheus_client::{encoding::NoLabelSet, metrics::MetricType, registry::Unit};

use super::{super::audit::AuditLog, FamilyEncoder, Kind, bit, number};
use crate::telemetry::{CallOutcome, CallStats, EventsStatus, HookStatus};

/// The states of a circuit breaker.
const STATES: [&str; 3] = ["closed", "open", "half_open"];

impl FamilyEncoder<'_> {
    fn total(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.family(Kind::Counter, name, help, None, [(Vec::new(), number(value))])
    }

    /// The durations of calls.
    fn durations(&mut self, name: &str, help: &str, calls: &CallStats) -> fmt::Result {
        let mut before = 0;
        let classes = calls.durations().map(|(bound, up_to)| {
            let count = up_to - before;
            before = up_to;
            // The encoder writes this as +Inf.
            (if bound.is_finite() { bound } else { f64::MAX }, count)
        });
        let name = format!("srt_gateway_{name}");
        let unit = Some(&Unit::Seconds);
        let mut family = self
            .0
            .encode_descriptor(&name, help, unit, MetricType::Histogram)?;
        family.encode_histogram::<NoLabelSet>(calls.total().as_secs_f64(), before, &classes, None)
    }
}

/// The hook of `[auth]`.
pub(super) fn hook(hook: &HookStatus, families: &mut FamilyEncoder<'_>) -> fmt::Result {
    let labelled = |name: &'static str, value: &str| vec![(name, value.to_owned())];
    let outcome = |(outcome, count): &(crate::telemetry::HookOutcome, u64)| {
        (labelled("outcome", outcome.as_str()), number(*count))
    };
    let help = "Questions to the hook of [auth], by outcome; one answer may apply to many callers";
    let rows = hook.outcomes.iter().map(outcome);
    families.family(Kind::Counter, "hook_questions", help, None, rows)?;
    let help = "Sessions that the hook re-checked at the end of their lifetime";
    families.total("hook_rechecks", help, hook.rechecks)?;
    let help = "HTTP calls to the hook, by outcome";
    let rows = CallOutcome::ALL.map(|outcome| {
        let count = hook.calls.count(outcome);
        (labelled("outcome", outcome.as_str()), number(count))
    });
    families.family(Kind::Counter, "hook_calls", help, None, rows)?;
    families.durations("hook_call_duration", "Duration of calls to the hook", &hook.calls)?;
    let help = "Calls to the hook in progress";
    families.gauge(
        "hook_calls_under_way",
        help,
        None,
        number(hook.calls.under_way() as u64),
    )?;
    let help =
        "1 for the current state of the hook's circuit breaker; open: the hook is down and is not called";
    let rows = STATES.map(|state| (labelled("state", state), bit(hook.breaker == state)));
    families.family(Kind::Gauge, "hook_breaker", help, None, rows)?;
    let help = "How often the hook's circuit breaker has opened";
    families.total("hook_breaker_openings", help, hook.breaker_openings)?;
    let help = "Cached answers of the hook, and questions in progress";
    families.gauge("hook_answers_kept", help, None, number(hook.answers_kept as u64))
}

/// Event posts.
pub(super) fn events(events: &EventsStatus, families: &mut FamilyEncoder<'_>) -> fmt::Result {
    let help = "Events that the receiver of [events] accepted";
    families.total("events_posted", help, events.posted)?;
    let help = "Failed posts of events; each is retried";
    families.total("events_posts_failed", help, events.failed)?;
    let help = "Events dropped because too many waited for a receiver that did not answer, or because it refused them";
    families.total("events_dropped", help, events.dropped)?;
    let help = "Events waiting to be posted";
    families.gauge("events_waiting", help, None, number(events.waiting))
}

pub(super) fn audit(audit: &AuditLog, families: &mut FamilyEncoder<'_>) -> fmt::Result {
    let help =
        "Requests to the API that were refused: no token, an unknown one, or one that does not permit it";
    families.total("api_refused_requests", help, audit.refused())?;
    let help = "Records of the audit log that are missing in audit_file of [api]";
    families.total("audit_records_lost", help, audit.lost())
}
