//! The streams whose alarms are silenced: those that are expected to be off, and those in a maintenance window. Stored
//! in a file beside the state file, so that they survive a restart.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tracing::warn;

use crate::{
    access::pattern_matches,
    api::{ban_file, problem::Problem},
    config::Config,
};

/// The maximum number of streams that are expected off through the API.
const EXPECTED: usize = 1000;

/// The maximum number of maintenance windows.
const WINDOWS: usize = 100;

const HEADER: &str = "# Streams that raise no alarms, set through the API of srt-gateway. The gateway rewrites this file at every change: edit it only\n\
                      # while the gateway is stopped.\n\n";

/// A stream that is expected to be off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    pub(super) by: String,
    #[serde(with = "text")]
    pub(super) since: SystemTime,
    /// None: until an operator ends it.
    #[serde(default, with = "text_if", skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<SystemTime>,
    #[serde(default)]
    pub(super) note: String,
}

/// A maintenance window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Window {
    pub(super) id: u64,
    /// Pattern of stream names.
    pub(super) streams: String,
    #[serde(with = "text")]
    pub(super) from: SystemTime,
    #[serde(with = "text")]
    pub(super) until: SystemTime,
    pub(super) by: String,
    #[serde(default)]
    pub(super) note: String,
}

/// All silences.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Silences {
    last: u64,
    pub(super) expected_off: BTreeMap<String, Expected>,
    pub(super) maintenance: Vec<Window>,
}

/// Whether the configuration declares the stream expected off.
pub(super) fn is_configured(stream: &str, config: &Config) -> bool {
    match config.streams.get(stream) {
        Some(stream) => stream.expected_off,
        None => config
            .template_for(stream)
            .is_some_and(|(_, template)| template.stream.expected_off),
    }
}

impl Silences {
    /// Whether alarms of the stream are silenced at this time.
    pub(super) fn silence(&self, stream: &str, time: SystemTime, config: &Config) -> bool {
        let is_expected = |expected: &Expected| expected.until.is_none_or(|until| time < until);
        is_configured(stream, config)
            || self.expected_off.get(stream).is_some_and(is_expected)
            || self.maintenance.iter().any(|window| {
                (window.from..window.until).contains(&time) && pattern_matches(&window.streams, stream)
            })
    }

    /// Whether any silence is over.
    pub(super) fn has_ended(&self, time: SystemTime) -> bool {
        let is_over = |expected: &Expected| expected.until.is_some_and(|until| until <= time);
        self.expected_off.values().any(is_over) || self.maintenance.iter().any(|window| window.until <= time)
    }

    /// Removes the silences that are over.
    pub(super) fn forget(&mut self, time: SystemTime) {
        self.expected_off
            .retain(|_, expected| expected.until.is_none_or(|until| time < until));
        self.maintenance.retain(|window| time < window.until);
    }

    pub(super) fn expect(&mut self, stream: String, expected: Expected) -> Result<(), Problem> {
        if self.expected_off.len() >= EXPECTED && !self.expected_off.contains_key(&stream) {
            return Err(Problem::conflict(format!(
                "{EXPECTED} streams are expected off already: set expected_off in the configuration file"
            )));
        }
        self.expected_off.insert(stream, expected);
        Ok(())
    }

    /// Adds a window, and assigns its number.
    pub(super) fn maintain(&mut self, mut window: Window) -> Result<Window, Problem> {
        if self.maintenance.len() >= WINDOWS {
            return Err(Problem::conflict(format!(
                "there are {WINDOWS} maintenance windows already: delete some"
            )));
        }
        self.last += 1;
        window.id = self.last;
        self.maintenance.push(window.clone());
        Ok(window)
    }
}

/// The file that stores them.
#[derive(Debug)]
pub(super) struct SilenceFile {
    /// None: not stored.
    path: Option<PathBuf>,
    writing: Mutex<()>,
}

impl SilenceFile {
    /// The file beside the state file: `gateway.state.toml` has `gateway.state.alarms.toml`.
    pub(super) fn beside(state: Option<&Path>) -> Self {
        Self {
            path: state.map(|state| state.with_extension("alarms.toml")),
            writing: Mutex::default(),
        }
    }

    /// The stored silences that are not over. An unreadable file is renamed.
    pub(super) fn read(&self, time: SystemTime) -> Silences {
        let Some(path) = &self.path else {
            return Silences::default();
        };
        let read = fs::read_to_string(path).and_then(|text| {
            toml::from_str::<Silences>(&text)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.message().to_owned()))
        });
        match read {
            Ok(mut silences) => {
                silences.forget(time);
                silences
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Silences::default(),
            Err(error) => {
                if error.kind() == io::ErrorKind::InvalidData {
                    fs::rename(path, path.with_extension("toml.bad")).unwrap_or_default();
                }
                warn!(
                    "expected-off streams and maintenance windows are forgotten, because {} cannot be read: {error}",
                    path.display()
                );
                Silences::default()
            }
        }
    }

    /// Writes the result of `current`. Blocks.
    ///
    /// # Errors
    /// The path of the file, and the cause. Its previous content stays.
    pub(super) fn write(&self, current: impl FnOnce() -> Arc<Silences>) -> Result<(), String> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let written = toml::to_string(&*current())
            .map_err(io::Error::other)
            .and_then(|text| ban_file::replace(path, &format!("{HEADER}{text}")));
        written.map_err(|error| format!("{} cannot be written: {error}", path.display()))
    }
}

/// A time as RFC 3339.
mod text {
    use super::{Deserialize as _, Deserializer, Serializer, SystemTime};
    use serde::de::Error as _;

    pub(super) fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_seconds(*time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text).map_err(D::Error::custom)
    }
}

/// Like `text`, for a time that may be absent.
mod text_if {
    use super::{Deserialize as _, Deserializer, Serializer, SystemTime, text};

    pub(super) fn serialize<S: Serializer>(
        time: &Option<SystemTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => text::serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SystemTime>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| humantime::parse_rfc3339(&text).map_err(serde::de::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn expected(until: Option<u64>) -> Expected {
        Expected {
            by: "alice".to_owned(),
            since: at(0),
            until: until.map(at),
            note: "no show \"tonight\"".to_owned(),
        }
    }

    fn window(streams: &str, from: u64, until: u64) -> Window {
        Window {
            id: 0,
            streams: streams.to_owned(),
            from: at(from),
            until: at(until),
            by: "alice".to_owned(),
            note: String::new(),
        }
    }

    #[test]
    fn streams_are_silenced_by_key_by_name_and_by_window() {
        let text = "[streams.a]\nexpected_off = true\n[streams.b]\n[templates.t]\nprefix = \"t/\"\nexpected_off = true";
        let config = Config::parse(text).unwrap();
        let mut silences = Silences::default();
        let is = |silences: &Silences, name: &str, time| silences.silence(name, at(time), &config);
        assert!(is(&silences, "a", 0) && is(&silences, "t/x", 0) && !is(&silences, "b", 0));
        silences.expect("b".to_owned(), expected(Some(10))).unwrap();
        assert!(is(&silences, "b", 9) && !is(&silences, "b", 10));
        let made = silences.maintain(window("live/*", 5, 8)).unwrap();
        assert_eq!(made.id, 1);
        assert!(!is(&silences, "live/x", 4) && is(&silences, "live/x", 5) && !is(&silences, "live/x", 8));
        silences.forget(at(9));
        assert!(silences.maintenance.is_empty() && silences.expected_off.len() == 1);
        assert_eq!(silences.maintain(window("*", 20, 21)).unwrap().id, 2);
    }

    #[test]
    fn they_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = SilenceFile::beside(Some(&folder.path().join("gateway.state.toml")));
        assert_eq!(file.read(at(0)), Silences::default());
        let mut silences = Silences::default();
        silences.expect("live/a".to_owned(), expected(None)).unwrap();
        silences.expect("b".to_owned(), expected(Some(50))).unwrap();
        silences.maintain(window("*", 20, 60)).unwrap();
        file.write(|| Arc::new(silences.clone())).unwrap();
        assert_eq!(file.read(at(0)), silences);
        assert_eq!(file.read(at(55)).expected_off.len(), 1);
        fs::write(folder.path().join("gateway.state.alarms.toml"), "nonsense").unwrap();
        assert_eq!(file.read(at(0)), Silences::default());
        assert!(folder.path().join("gateway.state.alarms.toml.bad").exists());
    }

    #[test]
    fn there_is_a_limit() {
        let mut silences = Silences::default();
        for number in 0..WINDOWS {
            silences.maintain(window(&number.to_string(), 0, 9)).unwrap();
        }
        assert_eq!(silences.maintain(window("x", 0, 9)).unwrap_err().status, 409);
        for number in 0..EXPECTED {
            silences.expect(number.to_string(), expected(None)).unwrap();
        }
        assert!(silences.expect("x".to_owned(), expected(None)).is_err());
        silences.expect("7".to_owned(), expected(Some(3))).unwrap();
    }
}
