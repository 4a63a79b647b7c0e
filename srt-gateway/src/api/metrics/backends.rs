//! The families of the operators' HTTP backends: the hook of `[auth]`, and the posting of events. Not there without them.

use std::fmt;

use prometheus_client::{encoding::NoLabelSet, metrics::MetricType, registry::Unit};

use super::{Kind, Pen, bit, number};
use crate::telemetry::{CallOutcome, CallStats, EventsStatus, HookStatus};

/// The states of a circuit breaker.
const STATES: [&str; 3] = ["closed", "open", "half_open"];

impl Pen<'_> {
    fn total(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.family(Kind::Counter, name, help, None, [(Vec::new(), number(value))])
    }

    /// The durations of calls.
    fn durations(&mut self, name: &str, help: &str, calls: &CallStats) -> fmt::Result {
        let mut before = 0;
        let classes = calls.durations().map(|(bound, up_to)| {
            let count = up_to - before;
            before = up_to;
            // What the encoder writes as +Inf.
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
pub(super) fn hook(hook: &HookStatus, pen: &mut Pen<'_>) -> fmt::Result {
    let labelled = |name: &'static str, value: &str| vec![(name, value.to_owned())];
    let outcome = |(outcome, count): &(crate::telemetry::HookOutcome, u64)| {
        (labelled("outcome", outcome.as_str()), number(*count))
    };
    let help = "Questions to the hook of [auth], by what came of them; one may settle many callers";
    let rows = hook.outcomes.iter().map(outcome);
    pen.family(Kind::Counter, "hook_questions", help, None, rows)?;
    let help = "Sessions of which the hook was asked again at the end of their lifetime";
    pen.total("hook_rechecks", help, hook.rechecks)?;
    let help = "HTTP calls of the hook, by how they ended";
    let rows = CallOutcome::ALL.map(|outcome| {
        let count = hook.calls.count(outcome);
        (labelled("outcome", outcome.as_str()), number(count))
    });
    pen.family(Kind::Counter, "hook_calls", help, None, rows)?;
    pen.durations(
        "hook_call_duration",
        "Time that calls of the hook took",
        &hook.calls,
    )?;
    let help = "Calls of the hook that are under way";
    pen.gauge(
        "hook_calls_under_way",
        help,
        None,
        number(hook.calls.under_way() as u64),
    )?;
    let help = "1 for the state that the hook's circuit breaker is in; open: it is down and not asked";
    let rows = STATES.map(|state| (labelled("state", state), bit(hook.breaker == state)));
    pen.family(Kind::Gauge, "hook_breaker", help, None, rows)?;
    let help = "How often the hook's circuit breaker has opened";
    pen.total("hook_breaker_openings", help, hook.breaker_openings)?;
    let help = "Answers of the hook that are kept, and questions under way";
    pen.gauge("hook_answers_kept", help, None, number(hook.answers_kept as u64))
}

/// The posting of events.
pub(super) fn events(events: &EventsStatus, pen: &mut Pen<'_>) -> fmt::Result {
    let help = "Events that the receiver of [events] took";
    pen.total("events_posted", help, events.posted)?;
    let help = "Posts of events that failed; each is repeated";
    pen.total("events_posts_failed", help, events.failed)?;
    let help = "Events that were never posted: too many waited for a receiver that did not answer, or it refused them";
    pen.total("events_dropped", help, events.dropped)?;
    let help = "Events that are still to be posted";
    pen.gauge("events_waiting", help, None, number(events.waiting))
}
