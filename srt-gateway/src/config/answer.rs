//! Parses the answer of `[config_external]`: a JSON object, read by the readers of the configuration, with the same
//! error messages. Pure.

use std::fmt;

use super::{
    checks::Claims,
    confine::{Entries, confine_entries, confine_sizes},
    endpoint::Target,
    fault::Fault,
    keys::{self, Section},
    model::{Config, OptionValue, SrtSettings, Stream},
    raw::{KeyValue, Node, Value},
    reader::{ReadContext, Table},
    srt::SrtLayer,
    streams::{self, Base},
    types::PortKind,
};
use crate::names::{NAME_LIMIT, StreamName};

/// The configuration of a port of `[[listeners]]` from a backend.
#[derive(Clone, Debug, PartialEq)]
pub struct PortAnswer {
    /// The stream that the port serves.
    pub stream: String,
    /// The settings of the port: the keys of an `srt` table over `[srt_defaults]`.
    pub settings: SrtSettings,
    /// The answer's settings for the stream, over `[streams_default]`. `None`: there are none.
    pub table: Option<Stream>,
}

/// The errors of an answer: each key with what is allowed, in one line. Contains no secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerFaults(String);

impl fmt::Display for AnswerFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AnswerFaults {}

impl AnswerFaults {
    fn of(faults: &[Fault]) -> Self {
        let one = |fault: &Fault| {
            let key = match fault.key() {
                "" => String::new(),
                key => format!("{key}: "),
            };
            let hint = fault.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            format!("{key}{}{hint}", fault.message())
        };
        Self(faults.iter().map(one).collect::<Vec<_>>().join("; "))
    }
}

impl PortAnswer {
    /// Calls `check` for each entry of `options`, as [`Config::validate_options`] does.
    ///
    /// # Errors
    /// Everything that `check` refuses.
    pub fn validate_options(
        &self,
        mut check: impl FnMut(&str, &OptionValue) -> Result<(), String>,
    ) -> Result<(), AnswerFaults> {
        let endpoints = self
            .table
            .iter()
            .flat_map(|table| table.inputs.iter().chain(&table.outputs));
        let settings = endpoints.filter_map(|endpoint| match &endpoint.target {
            Target::Srt(srt) => Some(&srt.settings),
            _ => None,
        });
        let options = settings
            .chain([&self.settings])
            .flat_map(|settings| &settings.options);
        let wrong = options.filter_map(|(name, option)| {
            let message = check(name, &option.value).err()?;
            Some(Fault::new(&option.path, option.at.clone(), message))
        });
        let wrong: Vec<_> = wrong.collect();
        if wrong.is_empty() {
            return Ok(());
        }
        Err(AnswerFaults::of(&wrong))
    }

    /// Parses an answer.
    ///
    /// # Errors
    /// All its errors.
    pub fn read(
        answer: &serde_json::Map<String, serde_json::Value>,
        config: &Config,
    ) -> Result<Self, AnswerFaults> {
        let context = ReadContext::new("");
        let entries = entries(answer);
        let read = read(&context, &entries, config);
        let faults = context.into_parts().0;
        match read {
            Some(answer) if faults.is_empty() => Ok(answer),
            _ => Err(AnswerFaults::of(&faults)),
        }
    }
}

fn read(context: &ReadContext<'_>, entries: &[KeyValue], config: &Config) -> Option<PortAnswer> {
    let (mut of_port, mut of_stream, mut stream) = (Vec::new(), Vec::new(), None);
    for entry in entries {
        let is_port_table = [PortKind::Both, PortKind::Publish, PortKind::Play]
            .iter()
            .any(|kind| kind.key() == entry.key);
        if entry.key == "stream" {
            stream = Some(&entry.node);
        } else if keys::find(Section::Srt, &entry.key).is_some() {
            of_port.push(entry);
        } else if is_port_table {
            let at = context.location(0..0);
            let message = "an answer configures only the requested port and cannot open another one";
            context.fault(Fault::new(&entry.key, at, message));
        } else {
            of_stream.push(entry);
        }
    }
    let has_table = !of_stream.is_empty();
    let table = |entries, section| Table::of(context, entries, section, String::new(), 0..0);
    let defaults = SrtLayer::of(&config.srt_defaults);
    let settings = SrtLayer::read(&table(of_port, Section::Srt)).over(&defaults, context);
    let name = name(context, stream);
    let base = Base {
        srt: &defaults,
        settings: &config.streams_default.settings,
    };
    let keys = table(of_stream, Section::Stream);
    let mut own = streams::stream(&keys, &base, &mut Claims::default(), name.or(Some("")));
    for fault in confine_sizes(&own, &settings, config) {
        context.fault(fault);
    }
    for entries in [Entries::Inputs(0), Entries::Outputs(0)] {
        for fault in confine_entries(&mut own, entries, &config.api.file_folders, "") {
            context.fault(fault);
        }
    }
    Some(PortAnswer {
        stream: name?.to_owned(),
        settings,
        table: has_table.then_some(own),
    })
}

fn name<'n>(context: &ReadContext<'_>, node: Option<&'n Node>) -> Option<&'n str> {
    let fault = |message: String| context.fault(Fault::new("stream", context.location(0..0), message));
    let Some(node) = node else {
        fault("is missing: the name of the stream that the port serves".to_owned());
        return None;
    };
    let name = node.as_str().filter(|text| StreamName::is_legal(text));
    if name.is_none() {
        fault(format!(
            "must be a name of 1 to {} bytes without control characters and components `.` and `..`, is {}",
            NAME_LIMIT,
            node.shown()
        ));
    }
    name
}

/// `null` counts as absent.
fn entries(object: &serde_json::Map<String, serde_json::Value>) -> Vec<KeyValue> {
    let there = object.iter().filter(|(_, value)| !value.is_null());
    let entry = |(key, value): (&String, &serde_json::Value)| KeyValue {
        key: key.clone(),
        key_span: 0..0,
        node: node(value),
    };
    there.map(entry).collect()
}

fn node(value: &serde_json::Value) -> Node {
    use serde_json::Value as Json;
    let value = match value {
        Json::Null => Value::Str(String::new()),
        Json::Bool(on) => Value::Bool(*on),
        Json::Number(number) if number.is_f64() => Value::Float(number.to_string()),
        Json::Number(number) => Value::Int(number.as_i64()),
        Json::String(text) => Value::Str(text.clone()),
        Json::Array(items) => Value::Array(items.iter().map(node).collect()),
        Json::Object(object) => Value::Table(entries(object)),
    };
    // It has no position in a text.
    Node::of(value, 0..0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Result<PortAnswer, String> {
        let config =
            Config::parse("[srt_defaults]\nlatency = 300\n[streams_default]\nmax_viewers = 7").unwrap();
        let object = serde_json::from_str(json).unwrap();
        PortAnswer::read(&object, &config).map_err(|faults| faults.to_string())
    }

    #[test]
    fn keys_of_the_port_and_of_the_stream_are_told_apart() {
        let answer = read(r#"{"stream": "live/a", "passphrase": null}"#).unwrap();
        assert_eq!((answer.stream.as_str(), &answer.table), ("live/a", &None));
        assert_eq!(answer.settings.latency, Duration::from_millis(300));
        let answer = read(
            r#"{"stream": "a", "passphrase": "ten characters", "latency": "80ms", "max_connections": 1,
                "options": {"lossmaxttl": 40}, "on_source_lost": 1.5,
                "outputs": ["srt://next:9000?streamid=#!::r=${name},m=publish", {"url": "udp://239.1.1.1:5000", "ttl": 3}]}"#,
        )
        .unwrap();
        assert!(answer.settings.passphrase.is_some() && answer.settings.options.len() == 1);
        assert_eq!(answer.settings.latency, Duration::from_millis(80));
        let table = answer.table.unwrap();
        assert_eq!(table.settings.on_source_lost, Duration::from_millis(1500));
        assert_eq!(table.settings.max_viewers.map(u32::from), Some(7));
        let crate::config::Target::Srt(next) = &table.outputs[0].target else {
            panic!()
        };
        assert_eq!(next.stream_id.as_ref().unwrap().expose(), "#!::r=a,m=publish");
    }

    #[test]
    fn faults_name_key_value_and_what_is_allowed_and_no_secret() {
        for (json, told) in [
            ("{}", "stream: is missing"),
            (r#"{"stream": ""}"#, "stream: must be a name of 1 to 512 bytes"),
            (r#"{"stream": 7}"#, "is 7"),
            (r#"{"stream": "a", "latncy": 1}"#, "latncy: unknown key `latncy`"),
            (
                r#"{"stream": "a", "latency": []}"#,
                "latency: must be a duration from 0",
            ),
            (
                r#"{"stream": "a", "passphrase": "hunter2"}"#,
                "passphrase: must be",
            ),
            (
                r#"{"stream": "a", "srt": {"port": 1}}"#,
                "srt: an answer configures only the requested port",
            ),
            (
                r#"{"stream": "a", "outputs": "udp://x:1"}"#,
                "outputs: must be a list",
            ),
            (
                r#"{"stream": "a", "outputs": [{"url": 5}]}"#,
                "outputs[0]: must be a URL",
            ),
            (
                r#"{"stream": "a", "inputs": ["file:///etc/passwd"]}"#,
                "inputs[0]: is a file, but file_folders of [api] is empty",
            ),
            (
                r#"{"stream": "a", "inputs": ["udp://:53"]}"#,
                "inputs[0]: must not open a port below 1024",
            ),
            (
                r#"{"stream": "a", "min_latency": 900, "max_latency": 100}"#,
                "min_latency: must not be above",
            ),
        ] {
            let faults = read(json).expect_err(json);
            assert!(faults.contains(told), "{json}: {faults}");
            assert!(!faults.contains("hunter2"), "{faults}");
        }
        let both = read(r#"{"latency": "x", "ring": "y"}"#).unwrap_err();
        assert!(
            both.contains("latency:") && both.contains("ring:") && both.contains("stream:"),
            "{both}"
        );
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<u64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            ".{0,20}".prop_map(Into::into),
            "(srt|udp|rtp|file)://[a-z.]{0,5}:[0-9]{0,6}[?&=a-z$#{}:!,/%]{0,20}".prop_map(Into::into),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                proptest::collection::btree_map(".{0,6}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_answer_panics(values in proptest::collection::vec((0usize..80, json()), 0..6), other in ".{0,8}") {
            let known: Vec<_> = keys::of(Section::Srt).chain(keys::of(Section::Stream)).map(|key| key.name).collect();
            let config = Config::default();
            let named = values.into_iter().map(|(at, value)| {
                let key = known.get(at).map_or(other.as_str(), |key| key);
                (key.to_owned(), value)
            });
            let mut object: serde_json::Map<_, _> = named.collect();
            object.insert("stream".to_owned(), "x".into());
            drop(PortAnswer::read(&object, &config));
        }
    }
}
