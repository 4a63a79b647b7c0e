//! Streams that are created from `[templates.*]`: they receive their inputs and outputs when the first session
//! connects, and lose them after they have been unused for a while.
//!
//! Runs on control's thread. The directory in `access` decides which template matches a name.
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

/// How long a template stream keeps its ring, inputs and outputs after its last publisher or viewer.
pub(super) const UNUSED_LIFETIME: Duration = Duration::from_secs(60);

/// The number of unused streams kept; beyond it, the one that has been unused for longest is removed.
pub(super) const MAX_UNUSED: usize = 64;

/// The templates of a configuration, the longest prefix first, each with the properties of its streams.
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
    /// Applies its template to a stream that is in use.
    pub(super) fn apply_template(&mut self, name: &StreamName, now: Instant) {
        if let Some(stream) = self.registry.apply_template(name) {
            self.endpoints
                .configure(name, &expanded_or_empty(name, stream), now);
        }
    }

    /// Removes template streams that have been unused for [`UNUSED_LIFETIME`].
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

    /// Replaces the templates; `changed` names those that differ. Streams of other templates are not affected.
    pub(super) fn set_templates(&mut self, config: &Config, changed: &[StreamName], now: Instant) {
        for name in self.registry.set_templates(template_plans(config), changed) {
            self.reapply_template(&name, now);
        }
    }

    /// Applies a stream's new template, or removes the settings of its old one.
    pub(super) fn reapply_template(&mut self, name: &StreamName, now: Instant) {
        let stream = self.registry.apply_template(name);
        let stream = stream.map_or_else(Stream::default, |stream| expanded_or_empty(name, stream));
        self.endpoints.configure(name, &stream, now);
    }
}

/// Callers whose names do not fit are refused before this point, but the template may have changed since.
fn expanded_or_empty(name: &StreamName, stream: Result<Stream, ExpandError>) -> Stream {
    stream.unwrap_or_else(|why| {
        warn!(stream = %name, "cannot create its inputs and outputs: {why}");
        Stream::default()
    })
}
