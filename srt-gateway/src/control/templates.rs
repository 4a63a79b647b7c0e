//! Streams that are made from `[templates.*]`: furnished with their inputs and outputs when somebody comes, taken down again
//! when nobody has used them for a while.
//!
//! Part of control's thread. Which template is for a name is the directory's to say, in `access`.
//!
//! ```text
//!   name ──published or asked for──▶ furnished ──unused for a while──▶ retired ──inputs and outputs closed──▶ forgotten
//!                                        ▲                                │
//!                                        └──published or asked for────────┘
//! ```

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use tracing::{debug, warn};

use super::{Control, StreamPlan};
use crate::{
    access::TemplateEntry,
    config::{Config, ExpandError, Stream},
    names::StreamName,
};

/// How long a stream of a template is kept, with its ring, inputs and outputs, after its last publisher or viewer.
pub(super) const KEPT: Duration = Duration::from_secs(60);

/// Unused streams kept at once: beyond them the one that was left first goes.
pub(super) const KEPT_AT_MOST: usize = 64;

/// The templates of a configuration, the longest prefix first, each with how its streams are made.
pub(crate) fn template_plans(config: &Config) -> Vec<(TemplateEntry, StreamPlan)> {
    let mut plans: Vec<_> = config
        .templates
        .iter()
        .map(|(name, template)| {
            let plan = StreamPlan::of(&template.stream);
            let entry = TemplateEntry {
                name: StreamName::new(name.as_str()),
                template: template.clone().into(),
                policy: plan.policy.clone(),
            };
            (entry, plan)
        })
        .collect();
    plans.sort_by_key(|(entry, _)| std::cmp::Reverse(entry.template.prefix.len()));
    plans
}

impl Control {
    /// Sees to it that a stream that somebody uses has the inputs and outputs of its template, if it is of one.
    pub(super) fn apply_template(&mut self, name: &StreamName, now: Instant) {
        if let Some(stream) = self.registry.apply_template(name) {
            self.endpoints
                .configure(name, &expanded_or_empty(name, stream), now);
        }
    }

    /// Takes down the streams of templates that nobody has used for [`KEPT`].
    pub(super) fn retire_unused(&mut self, now: Instant) {
        for name in self.registry.retire_unused_streams(now) {
            debug!(stream = %name, "unused: its inputs and outputs are closed");
            self.endpoints.configure(&name, &Stream::default(), now);
        }
        if self.registry.has_retired() {
            let busy: HashSet<_> = self
                .endpoints
                .all
                .values()
                .map(|state| state.stream.clone())
                .collect();
            self.registry.forget_retired(|name| busy.contains(name));
        }
    }

    /// Puts other templates in force; `changed` are those that are not as they were. Streams of others do not notice.
    pub(super) fn set_templates(&mut self, config: &Config, changed: &[StreamName], now: Instant) {
        for name in self.registry.set_templates(template_plans(config), changed) {
            self.reapply_template(&name, now);
        }
    }

    /// A stream has come to another template, or to none.
    pub(super) fn reapply_template(&mut self, name: &StreamName, now: Instant) {
        let stream = self.registry.apply_template(name);
        let stream = stream.map_or_else(Stream::default, |stream| expanded_or_empty(name, stream));
        self.endpoints.configure(name, &stream, now);
    }
}

/// Callers with names that do not fit are refused before it comes to this; but a template may have changed since.
fn expanded_or_empty(name: &StreamName, stream: Result<Stream, ExpandError>) -> Stream {
    stream.unwrap_or_else(|why| {
        warn!(stream = %name, "cannot create its inputs and outputs: {why}");
        Stream::default()
    })
}
