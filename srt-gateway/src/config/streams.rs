//! Reads `[streams.*]`, `[templates.*]` and `[streams_default]`. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{
    checks::Claims,
    endpoint::Endpoint,
    fault::Fault,
    keys::Section,
    model::{
        DuplicatePublisher, Failover, Ingest, StartAt, Stream, StreamSettings, StreamsDefault, Template,
    },
    raw::KeyValue,
    reader::{Field, Table},
    secret::Secret,
    srt::{self, SrtLayer},
    types::PortKind,
    units::Unit,
    url::{self, Direction},
};
use crate::names::{NAME_LIMIT, StreamName};

const DAY: Duration = Duration::from_secs(86_400);
/// The number of valid passphrases, because each costs a trial per caller.
const PASSPHRASES: usize = 4;

/// The starting point of each stream's settings.
pub(crate) struct Base<'b> {
    pub(crate) srt: &'b SrtLayer,
    pub(crate) settings: &'b StreamSettings,
}

/// Reads `[streams_default]`.
pub(crate) fn streams_default(root: &Table<'_>) -> StreamsDefault {
    let standard = StreamsDefault {
        accept_unknown: false,
        settings: StreamSettings::default(),
    };
    let Some(table) = root
        .get("streams_default")
        .and_then(|item| item.table(Section::StreamsDefault))
    else {
        return standard;
    };
    StreamsDefault {
        accept_unknown: table
            .get("accept_unknown")
            .and_then(|item| item.boolean())
            .unwrap_or(false),
        settings: settings(&table, &standard.settings),
    }
}

/// Reads `[streams.*]`.
pub(crate) fn streams(root: &Table<'_>, base: &Base<'_>, claims: &mut Claims) -> BTreeMap<String, Stream> {
    let Some(item) = root.get("streams") else {
        return BTreeMap::new();
    };
    let mut streams = BTreeMap::new();
    for (entry, item) in item.named() {
        check_name(&item, entry);
        if let Some(table) = item.table(Section::Stream) {
            streams.insert(entry.key.clone(), stream(&table, base, claims, Some(&entry.key)));
        }
    }
    streams
}

fn check_name(item: &Field<'_>, entry: &KeyValue) {
    let complaint = match entry.key.len() {
        0 => "the name of a stream must not be empty".to_owned(),
        _ if StreamName::is_legal(&entry.key) => return,
        1..=NAME_LIMIT => {
            "the name of a stream must not contain control characters, line separators, bidirectional \
             formatting characters, or a component `.` or `..`"
                .to_owned()
        }
        length => format!("the name of a stream must be at most {NAME_LIMIT} bytes, is {length}"),
    };
    let at = item.context().location(entry.key_span.clone());
    item.context().fault(Fault::new(item.path(), at, complaint));
}

/// Reads `[templates.*]`.
pub(crate) fn templates(
    root: &Table<'_>,
    base: &Base<'_>,
    claims: &mut Claims,
) -> BTreeMap<String, Template> {
    let Some(item) = root.get("templates") else {
        return BTreeMap::new();
    };
    let mut templates: BTreeMap<String, Template> = BTreeMap::new();
    for (entry, item) in item.named() {
        let Some(table) = item.table(Section::Template) else {
            continue;
        };
        let stream = stream(&table, base, claims, None);
        let Some(prefix_item) = table.need("prefix") else {
            continue;
        };
        let Some(prefix) = prefix_item.line() else {
            continue;
        };
        if let Some((other, _)) = templates.iter().find(|(_, template)| template.prefix == prefix) {
            let message = format!("is also the prefix of templates.{other}: {prefix:?}");
            item.context().fault(prefix_item.wrong(message));
        }
        templates.insert(
            entry.key.clone(),
            Template {
                prefix: prefix.to_owned(),
                stream,
            },
        );
    }
    templates
}

/// Reads the keys of a stream. Invalid values keep their default, since the errors prevent the result from being used.
/// `name` replaces `${name}`, except in templates.
pub(crate) fn stream(table: &Table<'_>, base: &Base<'_>, claims: &mut Claims, name: Option<&str>) -> Stream {
    let mut ports = Vec::new();
    for kind in [PortKind::Both, PortKind::Publish, PortKind::Play] {
        if let Some(port) = table
            .get(kind.key())
            .and_then(|item| srt::port(&item, kind, base.srt))
        {
            claims.port(&port);
            ports.push(port.value);
        }
    }
    let settings = settings(table, base.settings);
    let on_demand = table.get("on_demand").map_or(Some(false), |item| {
        let on = item.boolean();
        if on == Some(true) && settings.on_source_lost.is_zero() {
            let fault = item.wrong(
                "admits no viewers while on_source_lost is 0: inputs are connected only \
                                        while viewers wait",
            );
            table.fault(fault.help("set on_source_lost to the time that the inputs need, such as \"10s\""));
        }
        on
    });
    Stream {
        ports,
        publish_passphrases: passphrases(table, "publish_passphrase"),
        play_passphrases: passphrases(table, "play_passphrase"),
        password: table.get("password").and_then(|item| item.secret()).flatten(),
        inputs: endpoints(table, "inputs", Direction::Input, base, claims, name),
        failover: failover(table),
        on_demand: on_demand.unwrap_or(false),
        expected_off: table
            .get("expected_off")
            .and_then(|item| item.boolean())
            .unwrap_or(false),
        outputs: endpoints(table, "outputs", Direction::Output, base, claims, name),
        settings,
    }
}

fn settings(table: &Table<'_>, base: &StreamSettings) -> StreamSettings {
    let policies = [
        ("reject", DuplicatePublisher::Reject),
        ("takeover", DuplicatePublisher::Takeover),
        ("takeover_if_silent", DuplicatePublisher::TakeoverIfSilent),
        ("standby", DuplicatePublisher::Standby),
    ];
    let starts = [("keyframe", StartAt::Keyframe), ("live", StartAt::Live)];
    let ingests = [("timed", Ingest::Timed), ("immediate", Ingest::Immediate)];
    let ring = table.get("ring").and_then(|item| item.bytes(256 << 10..=4 << 30));
    StreamSettings {
        duplicate_publisher: table
            .get("duplicate_publisher")
            .and_then(|item| item.choice(&policies))
            .unwrap_or(base.duplicate_publisher),
        silent_after: table
            .get("silent_after")
            .and_then(|item| item.duration(Unit::Seconds, Duration::from_millis(200)..=DAY))
            .unwrap_or(base.silent_after),
        on_source_lost: table
            .get("on_source_lost")
            .and_then(|item| item.duration(Unit::Seconds, Duration::ZERO..=DAY))
            .unwrap_or(base.on_source_lost),
        start_at: table
            .get("start_at")
            .and_then(|item| item.choice(&starts))
            .unwrap_or(base.start_at),
        ingest: table
            .get("ingest")
            .and_then(|item| item.choice(&ingests))
            .unwrap_or(base.ingest),
        max_viewers: table
            .get("max_viewers")
            .and_then(|item| item.limit())
            .unwrap_or(base.max_viewers),
        ring: ring
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(base.ring),
    }
}

fn passphrases(table: &Table<'_>, key: &str) -> Vec<Secret> {
    let Some(item) = table.get(key) else {
        return Vec::new();
    };
    let elements = item.elements();
    let several = elements.len() > 1;
    if elements.len() > PASSPHRASES {
        let message = format!(
            "must list at most {PASSPHRASES} passphrases, lists {}",
            elements.len()
        );
        item.context().fault(
            item.wrong(message)
                .help("the gateway tries a caller's key material against each"),
        );
    }
    let mut found = Vec::new();
    for element in elements {
        match element.passphrase() {
            Some(Some(secret)) if found.contains(&secret) => {
                element.context().fault(element.wrong("is already in the list"));
            }
            Some(Some(secret)) => found.push(secret),
            Some(None) if several => {
                element
                    .context()
                    .fault(element.wrong("must not be empty in a list of several"));
            }
            Some(None) | None => {}
        }
    }
    found
}

fn failover(table: &Table<'_>) -> Failover {
    let standard = Failover::default();
    let Some(table) = table
        .get("failover")
        .and_then(|item| item.table(Section::Failover))
    else {
        return standard;
    };
    let time = |key, low| {
        table
            .get(key)
            .and_then(|item| item.duration(Unit::Seconds, low..=DAY))
    };
    Failover {
        after: time("after", Duration::from_millis(10)).unwrap_or(standard.after),
        back: time("back", Duration::ZERO).unwrap_or(standard.back),
    }
}

fn endpoints(
    table: &Table<'_>,
    key: &str,
    direction: Direction,
    base: &Base<'_>,
    claims: &mut Claims,
    name: Option<&str>,
) -> Vec<Endpoint> {
    let Some(item) = table.get(key) else {
        return Vec::new();
    };
    let mut found: Vec<Endpoint> = Vec::new();
    for element in item.list() {
        let Some(endpoint) = url::endpoint(&element, direction, base.srt) else {
            continue;
        };
        claims.endpoint(&element, &endpoint, direction);
        let is_same = |other: &Endpoint| other.name.is_some() && other.name == endpoint.name;
        if found.iter().any(is_same) {
            element
                .context()
                .fault(element.wrong("has the same name as another entry of this list"));
            continue;
        }
        match name.map_or_else(|| Ok(endpoint.clone()), |name| endpoint.for_stream(name)) {
            Ok(endpoint) => found.push(endpoint),
            Err(error) => element.context().fault(element.wrong(error.to_string())),
        }
    }
    found
}
