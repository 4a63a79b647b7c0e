//! What the API has added and changed, apart from the configuration file.

use std::collections::BTreeSet;

use super::model::Origin;
use crate::config::Config;

/// Which streams and endpoints the API has added.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    pub(crate) streams: BTreeSet<String>,
    /// Their ids, those that were added to streams of the configuration file.
    pub(crate) endpoints: BTreeSet<String>,
}

impl Origins {
    pub(crate) fn of_stream(&self, name: &str, config: &Config) -> Origin {
        if self.streams.contains(name) {
            Origin::Api
        } else if config.streams.contains_key(name) {
            Origin::Config
        } else {
            Origin::Caller
        }
    }

    pub(crate) fn of_endpoint(&self, stream: &str, id: &str, config: &Config) -> Origin {
        if self.endpoints.contains(id) {
            Origin::Api
        } else {
            self.of_stream(stream, config)
        }
    }
}
