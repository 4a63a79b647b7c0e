//! The gateway's configuration: parses TOML into a typed [`Config`], or returns every error of the text.
//!
//! ```text
//! text -> raw (tree with places) -> reader (typed, records faults) -> validate (defaults, cross checks) -> Config
//!                                    ^ keys (all keys)  ^ support (what this release refuses)
//! ```
//!
//! Owns names, types, defaults and limits of all keys. Runs on the caller's thread. Imports nothing else of the
//! gateway, opens no sockets, and resolves no names; the caller checks whether libsrt knows an option
//! ([`Config::validate_options`]).

mod advice;
mod alarms;
mod answer;
mod bond;
mod checks;
mod confine;
mod dialect;
mod document;
mod endpoint;
mod endpoint_advice;
mod fault;
mod foreign;
mod keys;
mod mask;
mod model;
mod nearest;
mod raw;
mod reader;
mod secret;
mod secret_source;
mod srt;
mod streams;
#[cfg(test)]
mod tests;
mod types;
mod units;
mod url;
mod validate;

use std::{collections::BTreeSet, path::Path};

pub use answer::{AnswerFaults, PortAnswer};
pub use bond::{Bond, BondKind, BondLink};
pub(crate) use confine::Entries;
pub use dialect::{Dialect, Dialects};
pub use document::document;
pub use endpoint::{Endpoint, ExpandError, FileTarget, SrtMode, SrtTarget, Target, UdpTarget};
pub(crate) use endpoint_advice::EndpointWarning;
pub use fault::{ConfigErrors, Fault, LoadError};
pub use keys::{KeyDoc, Section, reference};
pub use mask::SourceText;
pub(crate) use mask::redacted;
pub use model::{
    Action, AlarmSeverity, Alarms, Api, ApiToken, Auth, Config, ConfigExternal, DuplicatePublisher, Events,
    FailMode, Failover, FilterSize, Gateway, Ingest, Limits, ListenerRange, Log, LogFormat, LogLevel, Mail,
    MailTls, OptionValue, PortOwner, Rule, SrtOption, SrtPort, SrtSettings, StartAt, Stream, StreamSettings,
    StreamsDefault, Template, Tls, TokenScope,
};
pub(crate) use nearest::nearest;
pub(crate) use reader::join;
pub use secret::{HttpUrl, Secret};
pub(crate) use secret::{is_secret_parameter, login_in};
pub use secret_source::SecretSources;
pub(crate) use secret_source::{ONLY_FILE, source_in};
pub use types::{CryptoMode, KeyLength, ListenAddr, Location, PortKind, SrtVersion};

/// The configuration of a gateway that is started without a file.
pub const DEFAULT_TOML: &str = include_str!("default.toml");

impl Config {
    /// Parses a configuration. Blocks on the file system if secrets are in files.
    ///
    /// # Errors
    /// All errors of the text.
    ///
    /// # Examples
    /// ```
    /// use srt_gateway::config::Config;
    /// let config = Config::parse("[srt]\nport = \"127.0.0.1:9998\"")?;
    /// assert_eq!(config.ports[0].listen.port(), 9998);
    ///
    /// let errors = Config::parse("[srt]\nport = 0\nlatncy = 120").unwrap_err();
    /// assert_eq!(errors.faults().len(), 2);
    /// assert_eq!(errors.faults()[1].hint(), Some("did you mean `latency`?"));
    /// # Ok::<(), srt_gateway::config::ConfigErrors>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, ConfigErrors> {
        validate::parse(text)
    }

    /// Like [`parse`](Self::parse), with the external secrets that were read for another text: any other one is an
    /// error.
    pub(crate) fn parse_again(text: &str, sources: &SecretSources) -> Result<Self, ConfigErrors> {
        validate::parse_again(text, sources)
    }

    /// Reads a configuration file. Blocks on the file system.
    ///
    /// # Errors
    /// The file cannot be read, is not UTF-8, or its text has errors.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        Self::load_checked(path, |_, _| Ok(()))
    }

    /// Like [`load`](Self::load), and calls `check` for libsrt options as [`validate_options`](Self::validate_options)
    /// does.
    ///
    /// # Errors
    /// Like [`load`](Self::load), and all options that `check` refuses.
    pub fn load_checked(
        path: impl AsRef<Path>,
        check: impl FnMut(&str, &OptionValue) -> Result<(), String>,
    ) -> Result<Self, LoadError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| LoadError::Read {
            path: path.into(),
            error,
        })?;
        let text = String::from_utf8(bytes).map_err(|error| LoadError::Utf8 {
            path: path.into(),
            offset: error.utf8_error().valid_up_to(),
        })?;
        validate::parse_checked(&text, check).map_err(|errors| LoadError::Invalid {
            path: path.into(),
            text: SourceText::new(text),
            errors,
        })
    }

    /// Calls `check` with the name and value of each entry of each `options` table; it returns the error, if any. The
    /// names are lower-case, without `SRTO_`.
    ///
    /// # Errors
    /// Everything that `check` refuses, with its position.
    pub fn validate_options(
        &self,
        mut check: impl FnMut(&str, &OptionValue) -> Result<(), String>,
    ) -> Result<(), ConfigErrors> {
        let ports = self.srt_ports().map(|(_, port)| &port.settings);
        let streams = self
            .streams
            .values()
            .chain(self.templates.values().map(|template| &template.stream));
        let endpoints = streams.flat_map(|stream| stream.inputs.iter().chain(&stream.outputs));
        let of_endpoints = endpoints.filter_map(|endpoint| match &endpoint.target {
            Target::Srt(srt) => Some(&srt.settings),
            _ => None,
        });
        let mut faults = Vec::new();
        // The settings of each port include the options of the defaults.
        let mut asked = BTreeSet::new();
        for settings in std::iter::once(&self.srt_defaults)
            .chain(ports)
            .chain(of_endpoints)
        {
            for (name, option) in &settings.options {
                if asked.insert(option.at.span().start)
                    && let Err(message) = check(name, &option.value)
                {
                    faults.push(Fault::new(&option.path, option.at.clone(), message));
                }
            }
        }
        ConfigErrors::of(faults).map_or(Ok(()), Err)
    }
}

impl Default for Config {
    /// The configuration of an empty file: no ports, no streams, all defaults. [`DEFAULT_TOML`] is one that serves.
    fn default() -> Self {
        Self::parse("").expect("an empty text has no faults")
    }
}
