//! Reads tables of SRT settings in layers: a table overrides `[srt_defaults]`, which overrides the built-in defaults.
//! Pure; checks everything that does not require libsrt.

use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use ipnet::IpNet;

use super::{
    fault::Fault,
    model::{FilterSize, OptionValue, SrtOption, SrtPort, SrtSettings},
    raw::{KeyValue, Value},
    reader::{Field, Located, ReadContext, Table, join},
    secret::Secret,
    types::{CryptoMode, KeyLength, ListenAddr, Location, PortKind, SrtVersion},
    units::Unit,
};

/// The 16 bits of a latency in the SRT handshake, in ms.
const LATENCY_LIMIT: Duration = Duration::from_millis(65_535);
const DAY: Duration = Duration::from_secs(86_400);

/// The values of one table; `None` where it has none.
#[derive(Clone, Debug, Default)]
pub(crate) struct SrtLayer {
    latency: Option<Located<Duration>>,
    min_latency: Option<Located<Duration>>,
    max_latency: Option<Located<Duration>>,
    passphrase: Option<Option<Secret>>,
    key_length: Option<KeyLength>,
    min_key_length: Option<KeyLength>,
    crypto_mode: Option<CryptoMode>,
    enforced_encryption: Option<bool>,
    min_version: Option<Located<SrtVersion>>,
    version: Option<Located<SrtVersion>>,
    timeout: Option<Option<Duration>>,
    first_data_timeout: Option<Option<Duration>>,
    peer_idle_timeout: Option<Duration>,
    connect_timeout: Option<Option<Duration>>,
    linger: Option<Duration>,
    packet_filter: Option<Option<String>>,
    accept_packet_filter: Option<Option<FilterSize>>,
    group_connect: Option<bool>,
    max_bitrate: Option<Option<NonZeroU64>>,
    resend_limit: Option<Option<NonZeroU32>>,
    allow: Option<Vec<IpNet>>,
    deny: Option<Vec<IpNet>>,
    max_connections: Option<Option<NonZeroU32>>,
    shards: Option<Option<NonZeroU32>>,
    options: BTreeMap<String, SrtOption>,
}

impl SrtLayer {
    /// Reads the SRT keys of `table`.
    pub(crate) fn read(table: &Table<'_>) -> Self {
        let seconds = |key, low: Duration, high| table.get(key)?.duration(Unit::Seconds, low..=high);
        let latency = |key| {
            let item = table.get(key)?;
            item.duration(Unit::Millis, Duration::ZERO..=LATENCY_LIMIT)
                .map(|value| item.at(value))
        };
        let version = |key| {
            let item = table.get(key)?;
            item.version().map(|value| item.at(value))
        };
        Self {
            latency: latency("latency"),
            min_latency: latency("min_latency"),
            max_latency: latency("max_latency"),
            passphrase: table.get("passphrase").and_then(|item| item.passphrase()),
            key_length: table.get("key_length").and_then(|item| key_length(&item)),
            min_key_length: table.get("min_key_length").and_then(|item| key_length(&item)),
            crypto_mode: table.get("crypto_mode").and_then(|item| {
                item.choice(&[
                    ("auto", CryptoMode::Auto),
                    ("ctr", CryptoMode::Ctr),
                    ("gcm", CryptoMode::Gcm),
                ])
            }),
            enforced_encryption: table.get("enforcedencryption").and_then(|item| item.boolean()),
            min_version: version("minversion"),
            version: version("version"),
            timeout: table
                .get("timeout")
                .and_then(|item| item.duration_or_never(Unit::Seconds, Duration::from_millis(100)..=DAY)),
            first_data_timeout: seconds("first_data_timeout", Duration::ZERO, DAY)
                .map(|timeout| (!timeout.is_zero()).then_some(timeout)),
            peer_idle_timeout: seconds("peer_idle_timeout", Duration::from_millis(100), DAY),
            connect_timeout: seconds("connect_timeout", Duration::ZERO, DAY)
                .map(|timeout| (!timeout.is_zero()).then_some(timeout)),
            linger: seconds("linger", Duration::ZERO, DAY),
            packet_filter: table.get("packetfilter").and_then(|item| packet_filter(&item)),
            accept_packet_filter: table
                .get("accept_packetfilter")
                .and_then(|item| filter_size(&item)),
            group_connect: table.get("groupconnect").and_then(|item| item.boolean()),
            max_bitrate: table
                .get("max_bitrate")
                .and_then(|item| item.bit_rate())
                .map(NonZeroU64::new),
            resend_limit: table.get("resend_limit").and_then(|item| {
                let percent = item.integer(0..=10_000)?;
                Some(u32::try_from(percent).ok().and_then(NonZeroU32::new))
            }),
            allow: table.get("allow").map(|item| networks(&item)),
            deny: table.get("deny").map(|item| networks(&item)),
            max_connections: table.get("max_connections").and_then(|item| item.limit()),
            shards: table.get("shards").and_then(|item| {
                Some(
                    u32::try_from(item.integer(0..=256)?)
                        .ok()
                        .and_then(NonZeroU32::new),
                )
            }),
            options: table
                .get("options")
                .map(|item| options(&item))
                .unwrap_or_default(),
        }
    }

    /// The layer that resolves to these settings.
    pub(crate) fn of(settings: &SrtSettings) -> Self {
        fn at<T>(value: T) -> Option<Located<T>> {
            let (at, path) = (Location::default(), "srt_defaults".to_owned());
            Some(Located { value, at, path })
        }
        let settings = settings.clone();
        Self {
            latency: at(settings.latency),
            min_latency: at(settings.min_latency),
            max_latency: at(settings.max_latency),
            passphrase: Some(settings.passphrase),
            key_length: settings.key_length,
            min_key_length: settings.min_key_length,
            crypto_mode: Some(settings.crypto_mode),
            enforced_encryption: Some(settings.enforced_encryption),
            min_version: at(settings.min_version),
            version: settings.version.and_then(at),
            timeout: Some(settings.timeout),
            first_data_timeout: Some(settings.first_data_timeout),
            peer_idle_timeout: Some(settings.peer_idle_timeout),
            connect_timeout: Some(settings.connect_timeout),
            linger: Some(settings.linger),
            packet_filter: Some(settings.packet_filter),
            accept_packet_filter: Some(settings.accept_packet_filter),
            group_connect: Some(settings.group_connect),
            max_bitrate: Some(settings.max_bitrate),
            resend_limit: Some(settings.resend_limit),
            allow: Some(settings.allow),
            deny: Some(settings.deny),
            max_connections: Some(settings.max_connections),
            shards: Some(settings.shards),
            options: settings.options,
        }
    }

    /// This table over `[srt_defaults]`, checked. Conflicts between two values are reported here if this table is at
    /// fault; [`check`](Self::check) on the defaults reports those of the defaults alone.
    pub(crate) fn over(self, base: &Self, context: &ReadContext<'_>) -> SrtSettings {
        let touched = self.latency.is_some()
            || self.min_latency.is_some()
            || self.max_latency.is_some()
            || self.min_version.is_some()
            || self.version.is_some();
        let merged = self.merged(base);
        if touched {
            merged.check(context);
        }
        merged.resolve()
    }

    fn merged(self, base: &Self) -> Self {
        let base = base.clone();
        Self {
            latency: self.latency.or(base.latency),
            min_latency: self.min_latency.or(base.min_latency),
            max_latency: self.max_latency.or(base.max_latency),
            passphrase: self.passphrase.or(base.passphrase),
            key_length: self.key_length.or(base.key_length),
            min_key_length: self.min_key_length.or(base.min_key_length),
            crypto_mode: self.crypto_mode.or(base.crypto_mode),
            enforced_encryption: self.enforced_encryption.or(base.enforced_encryption),
            min_version: self.min_version.or(base.min_version),
            version: self.version.or(base.version),
            timeout: self.timeout.or(base.timeout),
            first_data_timeout: self.first_data_timeout.or(base.first_data_timeout),
            peer_idle_timeout: self.peer_idle_timeout.or(base.peer_idle_timeout),
            connect_timeout: self.connect_timeout.or(base.connect_timeout),
            linger: self.linger.or(base.linger),
            packet_filter: self.packet_filter.or(base.packet_filter),
            accept_packet_filter: self.accept_packet_filter.or(base.accept_packet_filter),
            group_connect: self.group_connect.or(base.group_connect),
            max_bitrate: self.max_bitrate.or(base.max_bitrate),
            resend_limit: self.resend_limit.or(base.resend_limit),
            allow: self.allow.or(base.allow),
            deny: self.deny.or(base.deny),
            max_connections: self.max_connections.or(base.max_connections),
            shards: self.shards.or(base.shards),
            options: base.options.into_iter().chain(self.options).collect(),
        }
    }

    /// The part of `[srt_defaults]` that also applies to inputs and outputs. It omits settings of our ports: who may
    /// connect, the passphrase and the packet filter (both of which a foreign peer would have to share).
    pub(crate) fn for_endpoints(&self) -> Self {
        Self {
            passphrase: None,
            packet_filter: None,
            accept_packet_filter: None,
            allow: None,
            deny: None,
            max_connections: None,
            shards: None,
            // An input may well wait for its encoder, because we called it.
            first_data_timeout: Some(None),
            ..self.clone()
        }
    }

    /// Checks values against each other.
    pub(crate) fn check(&self, context: &ReadContext<'_>) {
        let standard = SrtSettings::default();
        // A conflict between a default and a written value is reported at the written one.
        let limit = self
            .max_latency
            .as_ref()
            .map_or(standard.max_latency, |max| max.value);
        for (name, low) in [("min_latency", &self.min_latency), ("latency", &self.latency)] {
            let value = low.as_ref().map_or_else(
                || {
                    if name == "latency" {
                        standard.latency
                    } else {
                        standard.min_latency
                    }
                },
                |l| l.value,
            );
            if value <= limit {
                continue;
            }
            let (value, limit) = (Unit::Millis.show(value), Unit::Millis.show(limit));
            match (low, &self.max_latency) {
                (Some(low), max) => {
                    let fault = Fault::new(
                        &low.path,
                        low.at.clone(),
                        format!("must not be above max_latency ({limit}), is {value}"),
                    );
                    context.fault(match max {
                        Some(max) => fault.other(max.at.clone(), "max_latency is set here"),
                        None => fault.help("raise max_latency"),
                    });
                }
                (None, Some(max)) => context.fault(Fault::new(
                    &max.path,
                    max.at.clone(),
                    format!("must not be below {name} ({value}), is {limit}"),
                )),
                (None, None) => {}
            }
        }
        if let Some(exact) = &self.version {
            let oldest = self
                .min_version
                .as_ref()
                .map_or(standard.min_version, |min| min.value);
            if exact.value < oldest {
                let message = format!("must not be below minversion ({oldest}), is {}", exact.value);
                context.fault(Fault::new(&exact.path, exact.at.clone(), message));
            }
        }
    }

    /// The settings, with built-in defaults for missing values.
    pub(crate) fn resolve(self) -> SrtSettings {
        let standard = SrtSettings::default();
        SrtSettings {
            latency: self.latency.map_or(standard.latency, |at| at.value),
            min_latency: self.min_latency.map_or(standard.min_latency, |at| at.value),
            max_latency: self.max_latency.map_or(standard.max_latency, |at| at.value),
            passphrase: self.passphrase.unwrap_or(standard.passphrase),
            key_length: self.key_length,
            min_key_length: self.min_key_length,
            crypto_mode: self.crypto_mode.unwrap_or(standard.crypto_mode),
            enforced_encryption: self.enforced_encryption.unwrap_or(standard.enforced_encryption),
            min_version: self.min_version.map_or(standard.min_version, |at| at.value),
            version: self.version.map(|at| at.value),
            timeout: self.timeout.unwrap_or(standard.timeout),
            first_data_timeout: self.first_data_timeout.unwrap_or(standard.first_data_timeout),
            peer_idle_timeout: self.peer_idle_timeout.unwrap_or(standard.peer_idle_timeout),
            connect_timeout: self.connect_timeout.unwrap_or(standard.connect_timeout),
            linger: self.linger.unwrap_or(standard.linger),
            packet_filter: self.packet_filter.unwrap_or(standard.packet_filter),
            accept_packet_filter: self.accept_packet_filter.unwrap_or(standard.accept_packet_filter),
            group_connect: self.group_connect.unwrap_or(standard.group_connect),
            max_bitrate: self.max_bitrate.unwrap_or(standard.max_bitrate),
            resend_limit: self.resend_limit.unwrap_or(standard.resend_limit),
            allow: self.allow.unwrap_or(standard.allow),
            deny: self.deny.unwrap_or(standard.deny),
            max_connections: self.max_connections.unwrap_or(standard.max_connections),
            shards: self.shards.unwrap_or(standard.shards),
            options: self.options,
        }
    }
}

/// Reads an `srt`, `srt_publish` or `srt_play` table.
pub(crate) fn port(item: &Field<'_>, kind: PortKind, defaults: &SrtLayer) -> Option<Located<SrtPort>> {
    let table = item.table(super::keys::Section::Port)?;
    let settings = SrtLayer::read(&table).over(defaults, item.context());
    let port = table.need("port")?;
    let listen: ListenAddr = port.listen_addr()?;
    Some(port.at(SrtPort {
        kind,
        listen,
        settings,
        at: port.location(),
    }))
}

fn key_length(item: &Field<'_>) -> Option<KeyLength> {
    let length = match &item.node().value {
        Value::Int(number) => *number,
        Value::Text(text) => text.parse().ok(),
        _ => None,
    };
    let length = match length {
        Some(16) => Some(KeyLength::Aes128),
        Some(24) => Some(KeyLength::Aes192),
        Some(32) => Some(KeyLength::Aes256),
        _ => None,
    };
    if length.is_none() {
        item.must_be("16, 24 or 32 (bytes)");
    }
    length
}

/// Reads a list of addresses and networks.
pub(crate) fn networks(item: &Field<'_>) -> Vec<IpNet> {
    // As a URL parameter, they are in one string.
    if let Value::Text(text) = &item.node().value {
        let parts: Option<Vec<_>> = text.split(',').map(network).collect();
        return parts.unwrap_or_else(|| {
            item.must_be("a comma-separated list of addresses or CIDR networks");
            Vec::new()
        });
    }
    item.list()
        .iter()
        .filter_map(|element| {
            let found = network(element.text()?);
            if found.is_none() {
                element.must_be(
                    "an IP address or a CIDR network such as \"203.0.113.0/24\" or \"2001:db8::/32\"",
                );
            }
            found
        })
        .collect()
}

fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>()
        .ok()
        .or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
}

/// Checks the form of a packet filter; libsrt checks the numbers when it is set.
fn packet_filter(item: &Field<'_>) -> Option<Option<String>> {
    let text = item.text()?;
    if text.is_empty() {
        return Some(None);
    }
    let mut parts = text.split(',');
    let kind = parts.next() == Some("fec");
    let known = |part: &str| match part.split_once(':') {
        Some(("cols", number)) => number.parse::<u16>().is_ok_and(|n| n > 0),
        Some(("rows", number)) => number.parse::<i16>().is_ok_and(|n| n != 0),
        Some(("layout", layout)) => matches!(layout, "even" | "staircase"),
        Some(("arq", arq)) => matches!(arq, "never" | "onreq" | "always"),
        _ => false,
    };
    let good = kind && parts.all(known) && text.len() <= 512;
    if !good {
        item.must_be(
            "\"fec\" with any of cols:N, rows:N, layout:even|staircase, arq:never|onreq|always, as in \"fec,cols:10,rows:5\"",
        );
    }
    good.then(|| Some(text.to_owned()))
}

/// Reads COLUMNSxROWS.
fn filter_size(item: &Field<'_>) -> Option<Option<FilterSize>> {
    let text = item.text()?;
    if text.is_empty() {
        return Some(None);
    }
    let size = text.split_once('x').and_then(|(columns, rows)| {
        Some(FilterSize {
            columns: columns.parse().ok()?,
            rows: rows.parse().ok()?,
        })
    });
    let is_good = |size: &FilterSize| {
        (2..=FilterSize::MAX).contains(&size.columns) && (1..=FilterSize::MAX).contains(&size.rows)
    };
    let good = size.filter(is_good);
    if good.is_none() {
        item.must_be("COLUMNSxROWS, each up to 256, as in \"20x20\"; empty: none");
    }
    good.map(Some)
}

/// libsrt options that have a key of their own.
static OWN_KEYS: [(&str, &str); 20] = [
    ("passphrase", "passphrase"),
    ("pbkeylen", "key_length"),
    ("cryptomode", "crypto_mode"),
    ("enforcedencryption", "enforcedencryption"),
    ("latency", "latency"),
    ("minversion", "minversion"),
    ("peeridletimeo", "peer_idle_timeout"),
    ("conntimeo", "connect_timeout"),
    ("linger", "linger"),
    ("packetfilter", "packetfilter"),
    ("groupconnect", "groupconnect"),
    ("streamid", "streamid"),
    ("payloadsize", "pkt_size"),
    ("key_length", "key_length"),
    ("crypto_mode", "crypto_mode"),
    ("min_latency", "min_latency"),
    ("max_latency", "max_latency"),
    ("peer_idle_timeout", "peer_idle_timeout"),
    ("connect_timeout", "connect_timeout"),
    ("max_connections", "max_connections"),
];

fn options(item: &Field<'_>) -> BTreeMap<String, SrtOption> {
    item.entries()
        .unwrap_or_default()
        .iter()
        .filter_map(|entry| option(item, entry))
        .collect()
}

fn option(item: &Field<'_>, entry: &KeyValue) -> Option<(String, SrtOption)> {
    let context = item.context();
    let path = join(item.path(), &entry.key);
    let lower = entry.key.to_ascii_lowercase();
    let name = lower.strip_prefix("srto_").unwrap_or(&lower);
    let at_key = context.location(entry.key_span.clone());
    if let Some((_, key)) = OWN_KEYS.iter().find(|(option, _)| *option == name) {
        context.hide(entry.node.span.clone());
        context.fault(Fault::new(
            path,
            at_key,
            format!("this option has a key of its own: `{key}`"),
        ));
        return None;
    }
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        context.hide(entry.node.span.clone());
        context.fault(Fault::new(
            path,
            at_key,
            "is not the name of an option of libsrt, such as lossmaxttl",
        ));
        return None;
    }
    let at = context.location(entry.node.span.clone());
    let value = match &entry.node.value {
        Value::Int(Some(number)) => OptionValue::Int(*number),
        Value::Bool(on) => OptionValue::Bool(*on),
        Value::Str(text) => OptionValue::Str(text.clone()),
        _ => {
            let message = format!(
                "must be an integer, a boolean or a string, is {}",
                entry.node.type_words()
            );
            context.fault(Fault::new(path, at, message));
            return None;
        }
    };
    let option = SrtOption { value, at, path };
    context.option(name, &option);
    Some((name.to_owned(), option))
}
