//! Reads the entries of `inputs` and `outputs`: splits the URL, and reads its parameters and the keys beside it with
//! the same table of keys. Pure.
//!
//! Never quotes a URL in an error, because it may contain a passphrase anywhere.

use std::{ops::Range, path::PathBuf, time::Duration};

use super::{
    bond::{self, Bond},
    endpoint::{Endpoint, FileTarget, NAME, SrtMode, SrtTarget, Target, UdpTarget},
    fault::Fault,
    foreign::{self, Parameter},
    keys::Section,
    raw::{KeyValue, Node, Value},
    reader::{Field, Table, join},
    secret::Secret,
    srt::SrtLayer,
    units::Unit,
};
use crate::{
    address::{self, ZonedIp},
    names::is_control,
};

/// The list of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Input,
    Output,
}

/// A URL's parts with their positions in the string.
struct Parts<'u> {
    scheme: &'u str,
    authority: &'u str,
    path: &'u str,
    /// Name, value, and the positions of both.
    parameters: Vec<(&'u str, &'u str, Range<usize>, Range<usize>)>,
    /// Whether a parameter has no `=`.
    broken: bool,
}

fn split(url: &str) -> Option<Parts<'_>> {
    let (scheme, rest) = url.split_once("://")?;
    let start = scheme.len() + 3;
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let slash = if scheme == "file" {
        0
    } else {
        place.find('/').unwrap_or(place.len())
    };
    let mut parts = Parts {
        scheme,
        authority: &place[..slash],
        path: &place[slash..],
        parameters: Vec::new(),
        broken: false,
    };
    let mut from = start + place.len() + 1;
    for parameter in query.split('&') {
        if let Some((name, value)) = parameter.split_once('=') {
            let value_at = from + name.len() + 1;
            parts.parameters.push((
                name,
                value,
                from..from + name.len(),
                value_at..value_at + value.len(),
            ));
        } else {
            parts.broken |= !parameter.is_empty();
        }
        from += parameter.len() + 1;
    }
    Some(parts)
}

/// Decodes `%41`; anything but a valid triple stays as it is, as in ffmpeg.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let hex = |at: usize| {
        char::from(*bytes.get(at)?)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if let (b'%', Some(high), Some(low)) = (bytes[at], hex(at + 1), hex(at + 2)) {
            out.push(high << 4 | low);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

/// Reads one entry of `inputs` or `outputs`.
pub(crate) fn endpoint(item: &Field<'_>, direction: Direction, defaults: &SrtLayer) -> Option<Endpoint> {
    let context = item.context();
    let (url, beside): (&Node, &[KeyValue]) = match &item.node().value {
        Value::Table(entries) => match entries.iter().find(|entry| entry.key == "url") {
            Some(url) => (&url.node, entries),
            None => {
                context.fault(item.wrong("`url` is missing, as in { url = \"srt://backup.example:9000\" }"));
                return None;
            }
        },
        Value::Str(_) => (item.node(), &[]),
        _ => {
            item.must_be("a URL, or a table with one: { url = \"srt://backup.example:9000\" }");
            return None;
        }
    };
    let (parts, section) = match url.as_str().ok_or(UNKNOWN_SCHEME).and_then(checked) {
        Ok(found) => found,
        Err(message) => {
            context.hide(url.span.clone());
            context.fault(Fault::new(
                item.path(),
                context.location(url.span.clone()),
                message,
            ));
            return None;
        }
    };
    let parameters = parameters(item, url, &parts, section);
    let entries = beside.iter().chain(&parameters).collect();
    let table = Table::of(
        context,
        entries,
        section,
        item.path().to_owned(),
        url.span.clone(),
    );
    let name = table.get("name").and_then(|item| name(&item));
    let enabled = table.get("enabled").map_or(Some(true), |item| item.boolean());
    let target = match section {
        Section::SrtEndpoint => srt(&table, &parts, url, defaults).map(|srt| Target::Srt(Box::new(srt))),
        Section::UdpEndpoint => udp(&table, &parts, url, direction).map(|udp| match parts.scheme {
            "rtp" => Target::Rtp(udp),
            _ => Target::Udp(udp),
        }),
        _ => file(&table, &parts, url, direction).map(Target::File),
    };
    Some(Endpoint {
        enabled: enabled?,
        name,
        target: target?,
        url: Secret::new(url.as_str()?),
    })
}

/// The length limit of an endpoint's name, in bytes.
const ENDPOINT_NAME_MAX: usize = 100;

fn name(item: &Field<'_>) -> Option<String> {
    let name = item.line()?;
    if name.len() > ENDPOINT_NAME_MAX {
        item.must_be(format!("a name of at most {ENDPOINT_NAME_MAX} bytes"));
        return None;
    }
    Some(name.to_owned())
}

const UNKNOWN_SCHEME: &str = "must be a URL that begins with srt://, udp://, rtp:// or file://";

/// The parts of a well-formed URL, and the kind of table for its parameters.
fn checked(url: &str) -> Result<(Parts<'_>, Section), &'static str> {
    let parts = split(url).ok_or(UNKNOWN_SCHEME)?;
    let section = match parts.scheme {
        "srt" => Section::SrtEndpoint,
        "udp" | "rtp" => Section::UdpEndpoint,
        "file" => Section::FileEndpoint,
        _ => return Err(UNKNOWN_SCHEME),
    };
    if url.contains(is_control) {
        return Err("must not contain control characters");
    }
    if parts.broken {
        return Err("has a parameter without `=`; an & in a passphrase must be written %26");
    }
    Ok((parts, section))
}

/// The parameters as entries of a table. A key that the table also has is an error.
fn parameters(item: &Field<'_>, url: &Node, parts: &Parts<'_>, section: Section) -> Vec<KeyValue> {
    let context = item.context();
    let beside = if let Value::Table(entries) = &item.node().value {
        entries.as_slice()
    } else {
        &[]
    };
    let mut entries: Vec<KeyValue> = Vec::new();
    let mut options: Vec<KeyValue> = Vec::new();
    for (name, value, name_at, value_at) in &parts.parameters {
        let key_span = url.part(name_at.clone());
        // Paths may contain %Y for strftime; parameters may not.
        let text = percent_decoded(value);
        let (key, node, into) = match foreign::parameter(section, name, text.clone()) {
            Parameter::Implied => continue,
            Parameter::Refused(why) => {
                let path = join(item.path(), name);
                context.fault(Fault::new(path, context.location(key_span), why));
                continue;
            }
            Parameter::Key(key, text) => {
                let node = Node::text(text, url.part(value_at.clone()));
                (key, node, &mut entries)
            }
            Parameter::Option(name) => {
                let node = Node::of(foreign::option_value(&text), url.part(value_at.clone()));
                (name, node, &mut options)
            }
        };
        let is_there = |entry: &KeyValue| entry.key == key;
        let twice = beside.iter().any(is_there) || into.iter().any(is_there);
        if twice || matches!(key, "url" | "name" | "enabled" | "options") {
            context.hide(url.part(value_at.clone()));
            let message = if twice {
                "is given twice"
            } else {
                "cannot be a parameter of a URL; write it beside `url`"
            };
            let name: String = key.chars().take(60).collect();
            let message = format!("`{}` {message}", name.escape_debug());
            context.fault(Fault::new(item.path(), context.location(key_span), message));
            continue;
        }
        into.push(KeyValue {
            key: key.to_owned(),
            key_span,
            node,
        });
    }
    if let Some(first) = options.first() {
        if beside.iter().any(|entry| entry.key == "options") {
            let at = context.location(first.key_span.clone());
            let message = "has options of libsrt in its URL and beside it; write them all in `options`";
            context.fault(Fault::new(item.path(), at, message));
        } else {
            entries.push(KeyValue {
                key: "options".to_owned(),
                key_span: first.key_span.clone(),
                node: Node::of(Value::Table(options), url.span.clone()),
            });
        }
    }
    entries
}

fn srt(table: &Table<'_>, parts: &Parts<'_>, url: &Node, defaults: &SrtLayer) -> Option<SrtTarget> {
    let settings = SrtLayer::read(table).over(&defaults.for_endpoints(), table.context());
    let bonded = parts.authority == bond::ANY_HOST;
    let place = if bonded {
        None
    } else {
        authority(table, parts, url, 0)
    };
    let modes = [
        ("caller", SrtMode::Caller),
        ("listener", SrtMode::Listener),
        ("rendezvous", SrtMode::Rendezvous),
    ];
    let mode = table.get("mode").map(|item| item.choice(&modes));
    let stream_id = table.get("streamid").map(|item| stream_id(&item));
    let loop_detection = table.get("loop_detection").map(|item| item.boolean());
    let adapter = table.get("adapter").map(|item| item.ip());
    let local_port = table.get("localport").map(|item| item.integer(0..=65_535));
    let payload = table.get("pkt_size").map(|item| item.integer(188..=1_456));
    // There is only one value; it is read to find errors.
    let live = table
        .get("transtype")
        .is_none_or(|item| item.choice(&[("live", ())]).is_some());
    let bond = match bonded {
        true => Some(group(table, parts, mode, local_port, adapter)?),
        false => no_group(table).map(|()| None)?,
    };
    let (host, port) = match &bond {
        Some(bond) => (Some(bond.links[0].host.clone()), bond.links[0].port),
        None => place?,
    };
    let ours = if host.is_none() {
        SrtMode::Listener
    } else {
        SrtMode::Caller
    };
    let mode = mode.unwrap_or(Some(ours))?;
    // srt-live-transmit's notation for the address to listen on.
    let (host, adapter) = match (mode, host, adapter) {
        (SrtMode::Listener, None, Some(Some(ip))) => (Some(ip.to_string()), None),
        (_, host, adapter) => (host, adapter),
    };
    let complaint = match (mode, &host) {
        (SrtMode::Listener, Some(host)) if host.parse::<ZonedIp>().is_err() => {
            Some("must have an IP address to listen on, or none: srt://:9000")
        }
        (SrtMode::Caller | SrtMode::Rendezvous, None) => Some("must have the peer's host: srt://host:port"),
        _ => None,
    };
    if let Some(message) = complaint {
        table.fault(Fault::new(table.path(), table.at(), message));
    }
    (live && complaint.is_none()).then_some(())?;
    Some(SrtTarget {
        mode,
        host,
        port,
        adapter: adapter.map_or(Some(None), |ip| ip.map(Some))?,
        local_port: local_port
            .unwrap_or(Some(0))?
            .try_into()
            .ok()
            .filter(|port| *port != 0),
        stream_id: stream_id.unwrap_or(Some(None))?,
        loop_detection: loop_detection.unwrap_or(Some(false))?,
        payload_size: payload
            .map_or(Some(None), |size| size.map(Some))?
            .and_then(|size| size.try_into().ok()),
        bond,
        settings,
    })
}

/// The links of a group, which only calls.
fn group(
    table: &Table<'_>,
    parts: &Parts<'_>,
    mode: Option<Option<SrtMode>>,
    local_port: Option<Option<i64>>,
    adapter: Option<Option<ZonedIp>>,
) -> Option<Bond> {
    let complaint = if !matches!(parts.path, "" | "/") {
        "must not have a path; the streamid names the stream"
    } else if mode.is_some_and(|mode| mode != Some(SrtMode::Caller)) {
        "is bonded, and a bonded connection can only call: to accept bonded callers, set groupconnect on a port"
    } else if local_port.is_some() {
        "is bonded, and each link has its own local port: remove localport"
    } else {
        return bond::bond(table, adapter.flatten());
    };
    table.fault(Fault::new(table.path(), table.at(), complaint));
    None
}

/// `type` and `nodes` are for groups only.
fn no_group(table: &Table<'_>) -> Option<()> {
    for key in ["type", "nodes"] {
        if let Some(item) = table.get(key) {
            let fault = item.wrong("applies only to bonded connections, whose host is *");
            table.fault(fault.help("write srt://*?type=broadcast&nodes=HOST:PORT,HOST:PORT"));
            return None;
        }
    }
    Some(())
}

/// At most 512 bytes; `${name}` counts as written, and again once the stream's name is known.
fn stream_id(item: &Field<'_>) -> Option<Option<Secret>> {
    let secret = item.secret()?;
    let length = secret.as_ref().map_or(0, |id| id.expose().len());
    if length > 512 {
        item.context()
            .fault(item.wrong(format!("must be at most 512 bytes, is {length}")));
        return None;
    }
    if has_unknown_variable(secret.as_ref().map_or("", |id| id.expose())) {
        item.context()
            .fault(item.wrong(format!("contains a ${{...}} that is not {NAME}")));
        return None;
    }
    Some(secret)
}

fn has_unknown_variable(text: &str) -> bool {
    text.replace(NAME, "").contains("${")
}

fn udp(table: &Table<'_>, parts: &Parts<'_>, url: &Node, direction: Direction) -> Option<UdpTarget> {
    let place = authority(table, parts, url, 1);
    let interface = table.get("interface").map(|item| item.line().map(str::to_owned));
    let ttl = table.get("ttl").map(|item| item.integer(0..=255));
    let payload = table.get("pkt_size").map(|item| item.integer(188..=65_507));
    let source = table.get("sources").map(|item| item.ip());
    let buffer = table.get("buffer_size").map(|item| item.bytes(1 << 12..=1 << 30));
    let local = table.get("localaddr").map(|item| item.ip());
    let tos = table.get("iptos").map(|item| item.integer(0..=255));
    let echo = table.get("mcloop").map(|item| item.boolean());
    let (host, port) = place?;
    if host.is_none() && direction == Direction::Output {
        table.fault(Fault::new(
            table.path(),
            table.at(),
            "must have a host to send to: udp://host:port",
        ));
        return None;
    }
    let interface = interface.map_or(Some(None), |name| name.map(Some))?;
    Some(UdpTarget {
        interface: interface.or_else(|| zone_of_group(host.as_deref())),
        host,
        port,
        ttl: match ttl {
            Some(ttl) => Some(ttl?.try_into().ok()?),
            None => None,
        },
        payload_size: payload.unwrap_or(Some(1_316))?.try_into().ok()?,
        source: source.map_or(Some(None), |ip| ip.map(Some))?,
        buffer_size: buffer.unwrap_or(Some(2 << 20))?.try_into().ok()?,
        local_address: local.map_or(Some(None), |ip| ip.map(Some))?,
        tos: tos.unwrap_or(Some(0))?.try_into().ok()?,
        echo: echo.unwrap_or(Some(true))?,
    })
}

/// The interface in `ff02::1%eth0`.
fn zone_of_group(host: Option<&str>) -> Option<String> {
    let ip = host?.parse::<ZonedIp>().ok()?;
    ip.zone().filter(|_| ip.ip().is_multicast()).map(str::to_owned)
}

fn file(table: &Table<'_>, parts: &Parts<'_>, url: &Node, direction: Direction) -> Option<FileTarget> {
    let repeat = table.get("loop").map(|item| (item.boolean(), item));
    let segment = table.get("segment").map(|item| {
        (
            item.duration(Unit::Seconds, Duration::ZERO..=Duration::from_secs(86_400)),
            item,
        )
    });
    let special = table.get("special").map_or(Some(false), |item| item.boolean());
    let mut good = true;
    let mut complain = |item: &Field<'_>, message: &str| {
        item.context().fault(item.wrong(message));
        good = false;
    };
    if let (Direction::Output, Some((_, item))) = (direction, &repeat) {
        complain(item, "`loop` applies only to inputs");
    }
    if let (Direction::Input, Some((_, item))) = (direction, &segment) {
        complain(item, "`segment` applies only to outputs");
    }
    let path = parts.path;
    let bad = if !path.starts_with('/') || path.ends_with('/') {
        Some("must be an absolute path to a file, with three slashes: file:///var/lib/loop.ts")
    } else if has_unknown_variable(path) {
        Some("contains a ${...} that is not ${name}")
    } else {
        None
    };
    if let Some(message) = bad {
        let at = table.context().location(url.span.clone());
        table.fault(Fault::new(table.path(), at, message));
        return None;
    }
    let (repeat, segment, special) = (
        repeat.map_or(Some(false), |(on, _)| on)?,
        segment.map_or(Some(Duration::ZERO), |(length, _)| length)?,
        special?,
    );
    good.then(|| FileTarget {
        path: PathBuf::from(path),
        repeat,
        segment: (!segment.is_zero()).then_some(segment),
        folder: None,
        special,
    })
}

/// Host and port. `at_signs`: how many leading `@` are skipped, as in VLC's udp://@239.1.1.1:5000.
fn authority(
    table: &Table<'_>,
    parts: &Parts<'_>,
    url: &Node,
    at_signs: usize,
) -> Option<(Option<String>, u16)> {
    let complain = |message: &str| {
        table.context().hide(url.span.clone());
        table.fault(Fault::new(
            table.path(),
            table.context().location(url.span.clone()),
            message,
        ));
        None
    };
    let text = parts
        .authority
        .strip_prefix(if at_signs > 0 { "@" } else { "" })
        .unwrap_or(parts.authority);
    if text.contains('@') {
        return complain(
            "must not have a user or password; SRT uses u= and password= in the streamid instead",
        );
    }
    if !matches!(parts.path, "" | "/") {
        return complain("must not have a path; the streamid names the stream");
    }
    let host_and_port = match text.strip_prefix('[') {
        Some(rest) => rest
            .split_once("]:")
            .filter(|(ip, _)| ip.contains(':') && ip.parse::<ZonedIp>().is_ok()),
        None => text
            .split_once(':')
            .filter(|(host, _)| !host.contains(|c: char| c.is_whitespace() || "$[]".contains(c))),
    };
    let Some((host, port)) = host_and_port else {
        return complain(
            "must have a host and a port: host:port, 192.0.2.1:port, [2001:db8::1]:port or [fe80::1%eth0]:port",
        );
    };
    match port.parse::<u16>() {
        Ok(port) if port != 0 => Some(((!host.is_empty()).then(|| address::in_one_form(host)), port)),
        _ => complain("must have a port from 1 to 65535 after the host"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_urls_as_ffmpeg_users_write_them() {
        let parts = split("srt://enc.example:9000?streamid=#!::r=cam1,m=request&latency=200").unwrap();
        assert_eq!(
            (parts.scheme, parts.authority, parts.path),
            ("srt", "enc.example:9000", "")
        );
        let found: Vec<_> = parts
            .parameters
            .iter()
            .map(|(name, value, ..)| (*name, *value))
            .collect();
        assert_eq!(found, [("streamid", "#!::r=cam1,m=request"), ("latency", "200")]);
        let parts = split("file:///var/%Y/x.ts?loop=true").unwrap();
        assert_eq!((parts.authority, parts.path), ("", "/var/%Y/x.ts"));
    }

    #[test]
    fn decodes_percent_signs_and_keeps_what_is_none() {
        for (text, wanted) in [
            ("%23!::r=a%2Cb", "#!::r=a,b"),
            ("100%", "100%"),
            ("%zz", "%zz"),
            ("%ff", "%ff"),
            ("%C3%A9", "é"),
        ] {
            assert_eq!(percent_decoded(text), wanted, "{text}");
        }
    }
}
