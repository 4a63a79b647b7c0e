//! Converts the tree to the typed [`Config`]: reads each table and checks tables against each other. Pure; one pass
//! finds all errors.

use std::{
    num::NonZeroUsize,
    ops::RangeInclusive,
    path::{Component, PathBuf},
    time::Duration,
};

use super::{
    alarms,
    checks::Claims,
    dialect::{Dialect, Dialects},
    fault::{ConfigErrors, Fault},
    keys::Section,
    model::{
        Action, Api, ApiToken, Auth, Config, ConfigExternal, Events, FailMode, Gateway, Limits,
        ListenerRange, Log, LogFormat, LogLevel, OptionValue, Rule, Tls, TokenScope,
    },
    raw::{Node, Value},
    reader::{Field, ReadContext, Table},
    secret::HttpUrl,
    secret_source::{self, SecretSources, SourceMode},
    srt::{self, SrtLayer},
    streams::{self, Base},
    types::PortKind,
    units::Unit,
};

const DAY: Duration = Duration::from_secs(86_400);

/// Parses `text`.
pub(crate) fn parse(text: &str) -> Result<Config, ConfigErrors> {
    parse_checked(text, |_, _| Ok(()))
}

/// Parses `text`, with external secrets from `sources`.
pub(crate) fn parse_again(text: &str, sources: &SecretSources) -> Result<Config, ConfigErrors> {
    parse_from(text, SourceMode::Kept(sources), |_, _| Ok(()))
}

/// Parses `text`, and calls `check` for each libsrt option in it.
pub(crate) fn parse_checked(
    text: &str,
    check: impl FnMut(&str, &OptionValue) -> Result<(), String>,
) -> Result<Config, ConfigErrors> {
    parse_from(text, SourceMode::Now, check)
}

fn parse_from(
    text: &str,
    secrets: SourceMode<'_>,
    check: impl FnMut(&str, &OptionValue) -> Result<(), String>,
) -> Result<Config, ConfigErrors> {
    let context = ReadContext::new(text);
    let config = match Node::document(text) {
        Ok(mut root) => {
            let sources = secret_source::resolve(&mut root, &context, secrets);
            read(&context, &root).map(|config| Config {
                secret_sources: sources,
                ..config
            })
        }
        Err(error) => {
            let span = error.span().unwrap_or(text.len()..text.len());
            let message = format!("this is not valid TOML: {}", error.message());
            context.fault(Fault::new("", context.location(span), message));
            None
        }
    };
    context.check_options(check);
    match (ConfigErrors::of(context.into_parts().0), config) {
        (None, Some(config)) => Ok(config),
        (Some(errors), _) => Err(errors),
        (None, None) => unreachable!("a document is a table, and what is no document is a fault"),
    }
}

/// Reads the tree; errors are recorded in `context`.
pub(crate) fn read(context: &ReadContext<'_>, root: &Node) -> Option<Config> {
    let root = Table::root(context, root)?;
    let defaults = root
        .get("srt_defaults")
        .and_then(|item| item.table(Section::Srt))
        .map(|table| SrtLayer::read(&table))
        .unwrap_or_default();
    defaults.check(context);
    let mut claims = Claims::default();
    let mut ports = Vec::new();
    for kind in [PortKind::Both, PortKind::Publish, PortKind::Play] {
        if let Some(port) = root
            .get(kind.key())
            .and_then(|item| srt::port(&item, kind, &defaults))
        {
            claims.port(&port);
            ports.push(port.value);
        }
    }
    let streams_default = streams::streams_default(&root);
    let base = Base {
        srt: &defaults,
        settings: &streams_default.settings,
    };
    let streams = streams::streams(&root, &base, &mut claims);
    let templates = streams::templates(&root, &base, &mut claims);
    let listeners = listeners(&root, &mut claims);
    let config_external = config_external(&root);
    if let (Some(item), None) = (root.get("listeners"), root.get("config_external")) {
        context.fault(
            item.wrong("needs a backend that configures the ports")
                .help("add [config_external]"),
        );
    }
    let api = api(&root, &mut claims);
    claims.check(context);
    Some(Config {
        gateway: gateway(&root),
        ports,
        streams,
        templates,
        streams_default,
        listeners,
        config_external,
        rules: rules(&root),
        auth: auth(&root),
        events: events(&root),
        alarms: alarms::alarms(&root),
        limits: limits(&root),
        api,
        log: log(&root),
        srt_defaults: defaults.resolve(),
        secret_sources: SecretSources::default(),
    })
}

fn gateway(root: &Table<'_>) -> Gateway {
    let standard = Gateway::default();
    let Some(table) = root.get("gateway").and_then(|item| item.table(Section::Gateway)) else {
        return standard;
    };
    let name = table.get("name").and_then(|item| {
        let name = item.line()?;
        if name.len() > 255 {
            item.must_be("a name of at most 255 bytes");
            return None;
        }
        Some(name.to_owned())
    });
    let control_socket = table.get("control_socket").and_then(|item| {
        let path = PathBuf::from(item.line()?);
        if !path.as_os_str().is_empty() && !path.is_absolute() {
            item.must_be("an absolute path, such as \"/run/srt-gateway.sock\"");
            return None;
        }
        Some(path)
    });
    let workers = table.get("workers").and_then(|item| item.integer(0..=1024));
    Gateway {
        name,
        workers: workers
            .and_then(|n| usize::try_from(n).ok())
            .and_then(NonZeroUsize::new),
        control_socket: control_socket.filter(|path| !path.as_os_str().is_empty()),
        strict: table
            .get("strict")
            .and_then(|item| item.boolean())
            .unwrap_or(standard.strict),
        streamid_dialects: table
            .get("streamid_dialects")
            .map_or(standard.streamid_dialects, |item| dialects(&item)),
    }
}

fn dialects(item: &Field<'_>) -> Dialects {
    let words = Dialect::ALL.map(|dialect| (dialect.as_str(), dialect));
    let elements = item.list();
    if elements.is_empty() && matches!(item.node().value, Value::Array(_)) {
        item.context()
            .fault(item.wrong("must list at least one dialect: without any, no streamid can be read"));
    }
    elements
        .iter()
        .filter_map(|element| element.choice(&words))
        .collect()
}

const ACTIONS: [(&str, Action); 3] = [
    ("publish", Action::Publish),
    ("play", Action::Play),
    ("any", Action::Any),
];

fn listeners(root: &Table<'_>, claims: &mut Claims) -> Vec<ListenerRange> {
    let Some(item) = root.get("listeners") else {
        return Vec::new();
    };
    let read = |element: Field<'_>| {
        let table = element.table(Section::Listener)?;
        let mode = table.get("mode").map(|item| item.choice(&ACTIONS));
        let address = table.get("address").map(|item| item.ip());
        let ports = table.need("ports")?;
        let mut ranges = Vec::new();
        for element in ports.elements() {
            let Some(range) = port_range(&element.node().value) else {
                element.must_be("a port, or a range of ports such as \"9100-9199\"");
                continue;
            };
            claims.range(range.clone(), address.flatten(), &element);
            ranges.push(range);
        }
        if matches!(&ports.node().value, Value::Array(items) if items.is_empty()) {
            ports.must_be("a port, or a range of ports such as \"9100-9199\"");
        }
        Some(ListenerRange {
            ports: ranges,
            address: address.map_or(Some(None), |ip| ip.map(Some))?,
            mode: mode.unwrap_or(Some(Action::Any))?,
            at: element.location(),
        })
    };
    item.list().into_iter().filter_map(read).collect()
}

fn port_range(value: &Value) -> Option<RangeInclusive<u16>> {
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port != 0);
    match value {
        Value::Int(number) => {
            let port = u16::try_from((*number)?).ok().filter(|port| *port != 0)?;
            Some(port..=port)
        }
        Value::Str(text) | Value::Text(text) => match text.split_once('-') {
            Some((low, high)) => {
                let (low, high) = (port(low)?, port(high)?);
                (low <= high).then_some(low..=high)
            }
            None => port(text).map(|port| port..=port),
        },
        _ => None,
    }
}

/// A URL to call; `Some(None)` if it is empty.
pub(super) fn http_url(item: &Field<'_>) -> Option<Option<HttpUrl>> {
    let text = item.text()?;
    if text.is_empty() {
        return Some(None);
    }
    match HttpUrl::parse(text) {
        Ok(url) => Some(Some(url)),
        Err(allowed) => {
            item.context().hide(item.node().span.clone());
            item.context().fault(item.wrong(format!("must be {allowed}")));
            None
        }
    }
}

fn needed_url(table: &Table<'_>) -> Option<HttpUrl> {
    let item = table.need("url")?;
    let url = http_url(&item)?;
    if url.is_none() {
        table.fault(item.wrong("must be an http:// or https:// URL, is empty"));
    }
    url
}

pub(super) fn duration_of(table: &Table<'_>, key: &str, low: Duration, standard: Duration) -> Duration {
    table
        .get(key)
        .and_then(|item| item.duration(Unit::Seconds, low..=DAY))
        .unwrap_or(standard)
}

/// The shortest timeout of a hook.
const TIMEOUT_FLOOR: Duration = Duration::from_millis(10);
const TIMEOUT: Duration = Duration::from_secs(2);

/// No caller waits for a receiver of events.
const EVENTS_TIMEOUT: Duration = Duration::from_secs(5);

fn config_external(root: &Table<'_>) -> Option<ConfigExternal> {
    let table = root.get("config_external")?.table(Section::ConfigExternal)?;
    let timeout = duration_of(&table, "timeout", TIMEOUT_FLOOR, TIMEOUT);
    let cache = duration_of(&table, "cache", Duration::ZERO, Duration::from_secs(60));
    Some(ConfigExternal {
        url: needed_url(&table)?,
        timeout,
        cache,
    })
}

fn rules(root: &Table<'_>) -> Vec<Rule> {
    let Some(item) = root.get("rules") else {
        return Vec::new();
    };
    let read = |element: Field<'_>| {
        let table = element.table(Section::Rule)?;
        let stream = table.get("stream").map(|item| item.line().map(str::to_owned));
        let action = table.get("action").map(|item| item.choice(&ACTIONS));
        let user = table.get("user").map(|item| item.line().map(str::to_owned));
        let password = table.get("password").map(|item| item.secret());
        let allow = table
            .get("allow")
            .map(|item| srt::networks(&item))
            .unwrap_or_default();
        Some(Rule {
            stream: stream.unwrap_or_else(|| Some("*".to_owned()))?,
            action: action.unwrap_or(Some(Action::Any))?,
            user: user.map_or(Some(None), |user| user.map(Some))?,
            password: password.unwrap_or(Some(None))?,
            allow,
            at: element.location(),
        })
    };
    item.list().into_iter().filter_map(read).collect()
}

fn auth(root: &Table<'_>) -> Option<Auth> {
    let table = root.get("auth")?.table(Section::Auth)?;
    let cache = table.get("cache").and_then(|item| item.table(Section::AuthCache));
    let cached = |key, standard| {
        cache.as_ref().map_or(standard, |table| {
            duration_of(table, key, Duration::ZERO, standard)
        })
    };
    let fail = [("closed", FailMode::Closed), ("open", FailMode::Open)];
    let fail = table
        .get("fail")
        .and_then(|item| item.choice(&fail))
        .unwrap_or_default();
    let secret = table.get("secret").and_then(|item| item.secret()).flatten();
    let timeout = duration_of(&table, "timeout", TIMEOUT_FLOOR, TIMEOUT);
    let (cache_allow, cache_deny) = (
        cached("allow", Duration::from_secs(30)),
        cached("deny", Duration::from_secs(10)),
    );
    Some(Auth {
        url: needed_url(&table)?,
        timeout,
        cache_allow,
        cache_deny,
        fail,
        secret,
    })
}

fn events(root: &Table<'_>) -> Option<Events> {
    let table = root.get("events")?.table(Section::Events)?;
    let timeout = duration_of(&table, "timeout", TIMEOUT_FLOOR, EVENTS_TIMEOUT);
    let secret = table.get("secret").and_then(|item| item.secret()).flatten();
    let url = http_url(&table.get("url")?)??;
    Some(Events { url, timeout, secret })
}

fn limits(root: &Table<'_>) -> Limits {
    let standard = Limits::default();
    let Some(table) = root.get("limits").and_then(|item| item.table(Section::Limits)) else {
        return standard;
    };
    let limit = |key, standard| table.get(key).and_then(|item| item.limit()).unwrap_or(standard);
    Limits {
        handshakes_per_second_per_ip: limit(
            "handshakes_per_second_per_ip",
            standard.handshakes_per_second_per_ip,
        ),
        ban_after_rejections: limit("ban_after_rejections", standard.ban_after_rejections),
        ban_for: duration_of(&table, "ban_for", Duration::from_secs(1), standard.ban_for),
        max_sessions_per_ip: limit("max_sessions_per_ip", standard.max_sessions_per_ip),
        max_created_streams: limit("max_created_streams", standard.max_created_streams),
        max_created_streams_per_ip: limit("max_created_streams_per_ip", standard.max_created_streams_per_ip),
    }
}

fn api(root: &Table<'_>, claims: &mut Claims) -> Api {
    let standard = Api::default();
    let Some(table) = root.get("api").and_then(|item| item.table(Section::Api)) else {
        return standard;
    };
    let token = table.get("token").and_then(|item| item.secret()).flatten();
    let tokens = table
        .get("tokens")
        .map(|item| api_tokens(&item))
        .unwrap_or_default();
    let mut listen = standard.listen;
    if let Some(item) = table.get("listen") {
        listen = if item.node().as_str() == Some("") {
            None
        } else {
            item.listen_addr()
        };
        if let Some(addr) = listen {
            claims.api(addr, &item);
            if token.is_none() && tokens.is_empty() && !addr.is_loopback() {
                let message = format!("{addr} can be reached from other machines, but no token is set");
                table.fault(item.wrong(message).help("set api.token, or listen on 127.0.0.1"));
            }
        }
    }
    let hosts = table.get("hosts").map(|item| item.list()).unwrap_or_default();
    let file_folders = table
        .get("file_folders")
        .map(|item| folders(&item))
        .unwrap_or_default();
    let state = table.get("state").and_then(|item| match item.node().as_str() {
        Some("") => Some(PathBuf::new()),
        _ => item.line().map(PathBuf::from),
    });
    Api {
        configured: true,
        listen,
        token,
        tokens,
        hosts: hosts
            .iter()
            .filter_map(|item| item.line())
            .map(str::to_owned)
            .collect(),
        file_folders,
        state,
        audit_file: table
            .get("audit_file")
            .and_then(|item| item.line())
            .map(PathBuf::from),
        audit_file_size: table
            .get("audit_file_size")
            .and_then(|item| item.bytes(64 << 10..=1 << 30))
            .unwrap_or(standard.audit_file_size),
        session_metrics: table
            .get("session_metrics")
            .and_then(|item| item.boolean())
            .unwrap_or(standard.session_metrics),
        tls: table.get("tls").and_then(|item| tls(&item)),
    }
}

fn api_tokens(item: &Field<'_>) -> Vec<ApiToken> {
    let scopes = [
        ("read", TokenScope::Read),
        ("operate", TokenScope::Operate),
        ("admin", TokenScope::Admin),
    ];
    let read = |element: Field<'_>| {
        let table = element.table(Section::ApiToken)?;
        let scope = table.get("scope").map(|item| item.choice(&scopes));
        let name = table.get("name").and_then(|item| item.line()).map(Box::from);
        let token = table.need("token")?;
        let Some(secret) = token.secret()? else {
            token.must_be("a non-empty token");
            return None;
        };
        Some(ApiToken {
            token: secret,
            scope: scope.unwrap_or(Some(TokenScope::Read))?,
            name,
        })
    };
    item.list().into_iter().filter_map(read).collect()
}

/// Absolute paths, as in `file://` URLs.
fn folders(item: &Field<'_>) -> Vec<PathBuf> {
    let read = |element: Field<'_>| {
        let folder = PathBuf::from(element.line()?);
        if folder.is_absolute() && !folder.components().any(|part| part == Component::ParentDir) {
            return Some(folder);
        }
        element.must_be("an absolute path without \"..\"");
        None
    };
    item.list().into_iter().filter_map(read).collect()
}

fn tls(item: &Field<'_>) -> Option<Tls> {
    let table = item.table(Section::Tls)?;
    let path = |key| table.need(key)?.line().map(PathBuf::from);
    let (cert, key) = (path("cert"), path("key"));
    Some(Tls {
        cert: cert?,
        key: key?,
    })
}

fn log(root: &Table<'_>) -> Log {
    let Some(table) = root.get("log").and_then(|item| item.table(Section::Log)) else {
        return Log::default();
    };
    let levels = [
        LogLevel::Error,
        LogLevel::Warn,
        LogLevel::Info,
        LogLevel::Debug,
        LogLevel::Trace,
    ];
    let levels = levels.map(|level| (level.as_str(), level));
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    Log {
        level: table
            .get("level")
            .and_then(|item| item.choice(&levels))
            .unwrap_or_default(),
        format: table
            .get("format")
            .and_then(|item| item.choice(&formats))
            .unwrap_or_default(),
    }
}
