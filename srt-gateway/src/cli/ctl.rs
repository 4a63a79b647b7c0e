//! `ctl`: queries and controls a running gateway over its HTTP API. Prints tables, or JSON with `--json`.
//!
//! Each command is one request, and its answer is printed. Runs a small tokio runtime on the main thread.

mod alarms;
mod definitions;

use std::{
    borrow::Cow,
    fmt::Write as _,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Map, Value, json};

use super::{load, say, say_error, say_json_text};
use crate::{
    address::{ZonedIp, interface_name},
    names::{Notation, escaped},
};

/// The default URL of the API.
const DEFAULT: &str = "http://127.0.0.1:9980";

/// A gateway that does not answer within this time is stuck.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(40);

/// Characters that are not encoded in a path segment.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// What `ctl` takes.
#[derive(clap::Args)]
pub(super) struct Ctl {
    /// Address of the API. Default: SRT_GATEWAY_API, then the configuration, then http://127.0.0.1:9980.
    #[arg(long, value_name = "URL", global = true)]
    api: Option<String>,
    /// Bearer token. Default: SRT_GATEWAY_TOKEN (which other users of this machine cannot see), then the configuration.
    #[arg(long, value_name = "TOKEN", global = true)]
    token: Option<String>,
    /// TOML file of the gateway, to read the address and the token from.
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Also trust this certificate (PEM), for example a self-signed one.
    #[arg(long, value_name = "FILE", global = true)]
    cacert: Option<PathBuf>,
    /// Print the answer of the API as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: CtlCommand,
}

impl std::fmt::Debug for Ctl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ctl")
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Subcommand)]
enum CtlCommand {
    /// Show the state of the gateway.
    Gateway,
    /// List the streams.
    Streams {
        /// List only streams whose name contains this text.
        text: Option<String>,
    },
    /// Show one stream with its sessions, inputs and outputs.
    Stream {
        /// Name of the stream.
        name: String,
    },
    /// List the open SRT sessions.
    Sessions {
        /// List only those of this stream.
        stream: Option<String>,
    },
    /// List the inputs.
    Inputs {
        /// List only those of this stream.
        stream: Option<String>,
    },
    /// List the outputs.
    Outputs {
        /// List only those of this stream.
        stream: Option<String>,
    },
    /// List the ports that the gateway listens on.
    Listeners,
    /// List the callers that were refused most recently.
    Rejections,
    /// List events: streams, sessions, failures, refusals.
    Events {
        /// List only events after the one with this number.
        #[arg(long, default_value_t = 0)]
        after: u64,
    },
    /// List who changed what, the newest first, and clients whose requests were refused.
    Audit {
        /// List only records with this text in object, token, address, error or changed keys.
        text: Option<String>,
        /// List only records of this token; `file` and `signal` are reloads of the configuration file.
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
        /// List only records with this result: ok, failed or refused.
        #[arg(long)]
        result: Option<String>,
        /// Print the records as CSV.
        #[arg(long, conflicts_with = "json")]
        csv: bool,
    },
    #[command(flatten)]
    OfAlarms(alarms::Ask),
    /// Show the current configuration with secrets masked.
    Config,
    /// List the bans.
    Bans,
    #[command(flatten)]
    OfDefinitions(definitions::Ask),
    /// Remove a stream that was added with add-stream.
    RemoveStream {
        /// Name of the stream.
        name: String,
    },
    /// Add an input to a stream.
    AddInput {
        /// Name of the stream.
        stream: String,
        /// URL: srt://, udp://, rtp:// or file://.
        url: String,
    },
    /// Add an output to a stream.
    AddOutput {
        /// Name of the stream.
        stream: String,
        /// URL: srt://, udp://, rtp:// or file://.
        url: String,
    },
    /// Replace the definition of an input or output that was added with add-input or add-output.
    Change {
        /// Id, as shown by `inputs` and `outputs`.
        id: String,
        /// The keys of its entry as JSON, such as '{"url": "srt://host:9000", "latency": 300}'; *** keeps a value as it is; - reads it from
        /// standard input.
        table: String,
    },
    /// Remove an input or output that was added with add-input or add-output.
    Remove {
        /// Id, as shown by `inputs` and `outputs`.
        id: String,
    },
    /// Start a stopped input or output.
    Start {
        /// Id, as shown by `inputs` and `outputs`.
        id: String,
    },
    /// Stop an input or output.
    Stop {
        /// Id, as shown by `inputs` and `outputs`.
        id: String,
    },
    /// Switch a stream to this input.
    Switch {
        /// Id, as shown by `inputs`.
        id: String,
    },
    /// End a session.
    Kick {
        /// Number of the session.
        session: u64,
        /// Also ban the address for this time: 60s, 1h.
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        ban: Option<Duration>,
        /// Reason for the ban.
        #[arg(long, requires = "ban")]
        reason: Option<String>,
    },
    /// Ban an address or a network for some time.
    Ban {
        /// IPv4 or IPv6 address, or a network such as 203.0.113.0/24.
        address: String,
        /// Duration of the ban.
        #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
        time: Duration,
        /// Reason, shown with the ban and with each attempt that it refuses.
        #[arg(long, default_value = "")]
        reason: String,
        /// Also end open sessions from there.
        #[arg(long)]
        end_sessions: bool,
    },
    /// Lift a ban.
    Unban {
        /// Address or network, as shown by `bans`.
        address: String,
    },
    /// Change the log level.
    Log {
        /// Level: error, warn, info, debug or trace.
        level: String,
    },
    /// Reload the configuration file.
    Reload,
    /// Accept no new sessions, wait for open ones to end, and stop the gateway.
    Drain {
        /// Stop after this time even if sessions are open.
        #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
        wait: Duration,
        /// Return only when the gateway has exited.
        #[arg(long)]
        block: bool,
        /// Cancel a drain: admit callers again, and do not stop.
        #[arg(long, conflicts_with_all = ["wait", "block"])]
        cancel: bool,
    },
}

/// A request, and how its answer is displayed.
struct Call {
    method: Method,
    path: String,
    body: Option<Value>,
    headers: Vec<(&'static str, String)>,
    columns: &'static [Column],
}

/// A heading, and the pointer to its value.
type Column = (&'static str, &'static str);

const STREAMS: &[Column] = &[
    ("STREAM", "/name"),
    ("ORIGIN", "/origin"),
    ("STATE", "/state"),
    ("MBIT/S", "/figures/bitrate_bps"),
    ("VIEWERS", "/viewers"),
    ("RTT MS", "/figures/link/rtt_ms"),
    ("LOSS %", "/figures/link/loss_ratio"),
    ("SOURCE", "/source/peer"),
];
const SESSIONS: &[Column] = &[
    ("ID", "/id"),
    ("ROLE", "/role"),
    ("STREAM", "/stream"),
    ("PEER", "/peer"),
    ("SRT", "/srt_version"),
    ("ENCRYPTION", "/encryption"),
    ("LATENCY", "/latency_ms"),
    ("SECONDS", "/age_seconds"),
    ("RTT MS", "/link/rtt_ms"),
    ("LOSS %", "/link/loss_ratio"),
    ("DROPPED", "/link/total/receive_dropped_packets"),
];
const ENDPOINTS: &[Column] = &[
    ("ID", "/id"),
    ("STREAM", "/stream"),
    ("NAME", "/name"),
    ("URL", "/url"),
    ("ORIGIN", "/origin"),
    ("STATE", "/state"),
    ("FAILURES", "/failures"),
    ("LAST FAILURE", "/last_failure"),
];
const LISTENERS: &[Column] = &[
    ("KIND", "/kind"),
    ("ADDRESS", "/address"),
    ("STREAM", "/stream"),
    ("ENCRYPTED", "/encrypted"),
    ("LATENCY", "/latency_ms"),
];
const REJECTIONS: &[Column] = &[
    ("TIME", "/time"),
    ("COUNT", "/count"),
    ("PEER", "/peer"),
    ("LISTENER", "/listener"),
    ("STREAMID", "/streamid"),
    ("CODE", "/code"),
    ("REASON", "/reason"),
];
const EVENTS: &[Column] = &[
    ("NUMBER", "/number"),
    ("TIME", "/time"),
    ("EVENT", "/event"),
    ("STREAM", "/stream"),
    ("WHAT", "/text"),
];
const AUDIT: &[Column] = &[
    ("TIME", "/time"),
    ("COUNT", "/count"),
    ("BY", "/by"),
    ("ADDRESS", "/address"),
    ("ACTION", "/action"),
    ("OBJECT", "/object"),
    ("RESULT", "/result"),
    ("ERROR", "/error"),
    ("CHANGES", "/changes"),
];
const BANS: &[Column] = &[
    ("ADDRESS", "/address"),
    ("SINCE", "/since"),
    ("UNTIL", "/until"),
    ("BY", "/by"),
    ("TOKEN", "/token"),
    ("LIMIT", "/limit"),
    ("REASON", "/reason"),
];

fn part(text: &str) -> String {
    utf8_percent_encode(text, KEPT).to_string()
}

fn get(path: impl Into<String>, columns: &'static [Column]) -> Call {
    Call {
        method: Method::GET,
        path: path.into(),
        body: None,
        headers: Vec::new(),
        columns,
    }
}

fn change(method: Method, path: String, body: Option<Value>) -> Call {
    Call {
        method,
        path,
        body,
        headers: Vec::new(),
        columns: &[],
    }
}

fn of_stream(what: &str, stream: Option<&str>) -> String {
    stream.map_or_else(
        || what.to_owned(),
        |stream| format!("{what}?stream={}", part(stream)),
    )
}

/// `inputs/ID` or `outputs/ID`.
fn endpoint(id: &str) -> anyhow::Result<String> {
    let list = match id.as_bytes() {
        [b'i', b'-', ..] => "inputs",
        [b'o', b'-', ..] => "outputs",
        _ => bail!(
            "{id} is not the id of an input (i-...) or output (o-...): list them with `ctl inputs` and `ctl outputs`"
        ),
    };
    Ok(format!("{list}/{}", part(id)))
}

/// A JSON object, read from standard input if it is `-`.
fn object(table: &str) -> anyhow::Result<Value> {
    let text = match table {
        "-" => std::io::read_to_string(std::io::stdin()).context("standard input")?,
        text => text.to_owned(),
    };
    let table: Map<String, Value> = serde_json::from_str(&text).context("it must be a JSON object")?;
    Ok(table.into())
}

impl CtlCommand {
    fn call(&self) -> anyhow::Result<Call> {
        let added = |stream: &str, list: &str, url: &str| {
            let path = format!("streams/{}/{list}", part(stream));
            change(Method::POST, path, Some(json!({ "url": url })))
        };
        Ok(match self {
            Self::Gateway => get("gateway", &[]),
            Self::Streams { text } => {
                let text = text.as_ref().map(|text| format!("?q={}", part(text)));
                get(format!("streams{}", text.unwrap_or_default()), STREAMS)
            }
            Self::Stream { name } => get(format!("streams/{}", part(name)), &[]),
            Self::Sessions { stream } => get(of_stream("sessions", stream.as_deref()), SESSIONS),
            Self::Inputs { stream } => get(of_stream("inputs", stream.as_deref()), ENDPOINTS),
            Self::Outputs { stream } => get(of_stream("outputs", stream.as_deref()), ENDPOINTS),
            Self::Listeners => get("listeners", LISTENERS),
            Self::Rejections => get("rejections", REJECTIONS),
            Self::Events { after } => get(format!("events?after={after}"), EVENTS),
            Self::Audit {
                text,
                by,
                result,
                csv,
            } => {
                let mut path = format!("audit?format={}", if *csv { "csv" } else { "json" });
                for (name, value) in [("q", text), ("by", by), ("result", result)] {
                    if let Some(value) = value {
                        write!(path, "&{name}={}", part(value)).context("a String takes everything")?;
                    }
                }
                get(path, AUDIT)
            }
            Self::OfAlarms(ask) => ask.call(),
            Self::Config => get("config", &[]),
            Self::Bans => get("bans", BANS),
            Self::OfDefinitions(ask) => ask.call()?,
            Self::Change { id, table } => change(Method::PUT, endpoint(id)?, Some(object(table)?)),
            Self::RemoveStream { name } => change(Method::DELETE, format!("streams/{}", part(name)), None),
            Self::AddInput { stream, url } => added(stream, "inputs", url),
            Self::AddOutput { stream, url } => added(stream, "outputs", url),
            Self::Remove { id } => change(Method::DELETE, endpoint(id)?, None),
            Self::Start { id } => change(Method::POST, format!("{}/start", endpoint(id)?), None),
            Self::Stop { id } => change(Method::POST, format!("{}/stop", endpoint(id)?), None),
            Self::Switch { id } => change(Method::POST, format!("{}/switch", endpoint(id)?), None),
            Self::Kick { session, ban, reason } => {
                let reason = part(reason.as_deref().unwrap_or_default());
                let ban = ban.map(|ban| format!("?ban_seconds={}&reason={reason}", ban.as_secs()));
                let path = format!("sessions/{session}{}", ban.unwrap_or_default());
                change(Method::DELETE, path, None)
            }
            Self::Ban {
                address,
                time,
                reason,
                end_sessions,
            } => {
                let body = json!({
                    "address": address, "seconds": time.as_secs(), "reason": reason, "end_sessions": end_sessions,
                });
                change(Method::POST, "bans".to_owned(), Some(body))
            }
            Self::Unban { address } => change(Method::DELETE, format!("bans/{}", part(address)), None),
            Self::Log { level } => change(Method::PUT, "log".to_owned(), Some(json!({ "level": level }))),
            Self::Reload => change(Method::POST, "reload".to_owned(), None),
            Self::Drain { cancel: true, .. } => change(Method::DELETE, "drain".to_owned(), None),
            Self::Drain { wait, .. } => {
                let body = json!({ "wait_seconds": wait.as_secs() });
                change(Method::POST, "drain".to_owned(), Some(body))
            }
        })
    }
}

/// Runs the command. Exit code 1: the gateway refused, or does not answer.
pub(super) fn ctl(args: &Ctl) -> anyhow::Result<ExitCode> {
    let call = args.command.call()?;
    let config = match args.config.as_deref().map(|file| load(Some(file))) {
        Some(Err(code)) => return Ok(code),
        Some(Ok(config)) => Some(config),
        None => None,
    };
    let env = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let configured = config.as_ref().and_then(|config| {
        let listen = config.api.listen?;
        let scheme = if config.api.tls.is_some() { "https" } else { "http" };
        let place = match listen.ip() {
            Some(ip) if !ip.is_unspecified() => listen.to_string(),
            _ => format!("127.0.0.1:{}", listen.port()),
        };
        Some(format!("{scheme}://{place}"))
    });
    let api = args.api.clone().or_else(|| env("SRT_GATEWAY_API")).or(configured);
    let api = api.unwrap_or_else(|| DEFAULT.to_owned());
    let token = args.token.clone().or_else(|| env("SRT_GATEWAY_TOKEN"));
    let token = token.or_else(|| Some(config?.api.token?.expose().to_owned()));
    let mut client = Client::builder().timeout(REQUEST_TIMEOUT).no_proxy();
    let (api, zone) = without_zone(&api);
    if let Some(zone) = zone {
        client = client.interface(&interface_name(&zone)?);
    }
    if let Some(file) = &args.cacert {
        let pem = std::fs::read(file).with_context(|| file.display().to_string())?;
        for certificate in reqwest::Certificate::from_pem_bundle(&pem)? {
            client = client.add_root_certificate(certificate);
        }
    }
    let client = client.build().context("cannot create an HTTP client")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ask = |call: &Call| {
        runtime
            .block_on(send(&client, api.as_ref(), token.as_deref(), call))
            .with_context(|| format!("no answer from {api} (set another address with --api or --config)"))
    };
    let (mut status, mut text) = ask(&call)?;
    if let CtlCommand::OfDefinitions(command) = &args.command
        && status.is_success()
        && let Some(next) = command.next(&serde_json::from_str(&text).unwrap_or_default())?
    {
        (status, text) = ask(&next)?;
    }
    if status.is_success() {
        if let CtlCommand::Drain {
            block: true, wait, ..
        } = &args.command
        {
            runtime.block_on(ended(&client, &api, *wait));
        }
        show(args, &call, &text);
        return Ok(ExitCode::SUCCESS);
    }
    let told = match &args.command {
        CtlCommand::OfDefinitions(command) => command.explain(status.as_u16()),
        _ => None,
    };
    let told = told.unwrap_or_else(|| refusal(status, &text));
    say_error(format_args!("srt-gateway: {told}"));
    Ok(ExitCode::FAILURE)
}

/// Removes the zone from a URL such as `http://[fe80::1%eth0]:9980`, because no URL parser accepts it.
fn without_zone(url: &str) -> (Cow<'_, str>, Option<String>) {
    let parts = url.split_once("://[").and_then(|(scheme, rest)| {
        let (host, rest) = rest.split_once(']')?;
        let address = host.parse::<ZonedIp>().ok()?;
        Some((
            format!("{scheme}://[{}]{rest}", address.ip()),
            address.zone()?.to_owned(),
        ))
    });
    match parts {
        Some((url, zone)) => (url.into(), Some(zone)),
        None => (url.into(), None),
    }
}

/// Waits until the gateway no longer answers, slightly longer than it may take, in case it hangs.
async fn ended(client: &Client, api: &str, wait: Duration) {
    const POLL_INTERVAL: Duration = Duration::from_millis(200);
    const SHUT_DOWN: Duration = Duration::from_secs(10);
    let end = Instant::now() + wait + SHUT_DOWN;
    while Instant::now() < end && client.get(format!("{api}/healthz")).send().await.is_ok() {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn send(
    client: &Client,
    api: &str,
    token: Option<&str>,
    call: &Call,
) -> reqwest::Result<(StatusCode, String)> {
    let url = format!("{}/api/v1/{}", api.trim_end_matches('/'), call.path);
    let mut request = client.request(call.method.clone(), url);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = &call.body {
        request = request.json(body);
    }
    for (name, value) in &call.headers {
        request = request.header(*name, value);
    }
    let answer = request.send().await?;
    Ok((answer.status(), answer.text().await?))
}

/// The text of a problem.
fn refusal(status: StatusCode, text: &str) -> String {
    let Ok(problem) = serde_json::from_str::<Value>(text) else {
        return format!("{status}; check that the address is that of an srt-gateway");
    };
    let word = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let mut told = format!("{}: {}", word(&problem, "title"), word(&problem, "detail"));
    for error in problem["errors"].as_array().into_iter().flatten() {
        let place = match (error["line"].as_u64(), error["column"].as_u64()) {
            (Some(line), Some(column)) => format!("{line}:{column}: "),
            _ => String::new(),
        };
        // Writing to a String cannot fail.
        write!(
            told,
            "\n  {place}{}: {}",
            word(error, "key"),
            word(error, "message")
        )
        .unwrap_or_default();
        if let Some(hint) = error["hint"].as_str() {
            write!(told, "; {hint}").unwrap_or_default();
        }
    }
    told
}

fn show(args: &Ctl, call: &Call, text: &str) {
    if text.is_empty() {
        if !args.json {
            say(format_args!("done"));
        }
        return;
    }
    let is_document = matches!(
        &args.command,
        CtlCommand::OfDefinitions(definitions::Ask::Export { .. })
    );
    if args.json || is_document {
        return say_json_text(text);
    }
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return say(format_args!("{text}"));
    };
    let items = value.get("items").unwrap_or(&value);
    match items.as_array().filter(|_| !call.columns.is_empty()) {
        Some(items) => {
            say(format_args!("{}", table(call.columns, items).trim_end()));
            let total = value["total"].as_u64().unwrap_or_default();
            if total > items.len() as u64 {
                say(format_args!("{} of {total}", items.len()));
            }
        }
        None => say(format_args!("{}", tree(&value, 0).trim_end())),
    }
}

fn table(columns: &[Column], items: &[Value]) -> String {
    let mut rows = vec![
        columns
            .iter()
            .map(|(heading, _)| (*heading).to_owned())
            .collect::<Vec<_>>(),
    ];
    for item in items {
        let cell = |(heading, place): &Column| cell(heading, item.pointer(place));
        rows.push(columns.iter().map(cell).collect());
    }
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn cell(heading: &str, value: Option<&Value>) -> String {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return "-".to_owned();
    };
    match (heading, value.as_f64()) {
        ("CHANGES", _) => changes(value),
        ("MBIT/S", Some(bits)) => format!("{:.2}", bits / 1e6),
        ("LOSS %", Some(ratio)) => format!("{:.2}", ratio * 100.0),
        ("RTT MS", Some(ms)) => format!("{ms:.1}"),
        _ => plain(value),
    }
}

/// The changes of a record of the audit log.
fn changes(value: &Value) -> String {
    let one = |change: &Value| {
        let of = |side: &str| change.get(side).map_or_else(|| "(none)".to_owned(), plain);
        let key = plain(&change["key"]);
        match (change.get("before"), change.get("after")) {
            (None, None) => key,
            _ => format!("{key}: {} -> {}", of("before"), of("after")),
        }
    };
    let all: Vec<_> = value.as_array().into_iter().flatten().map(one).collect();
    all.join("; ")
}

/// A scalar as text, escaped because callers may have chosen it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => escaped(text, Notation::Text).into_owned(),
        other => other.to_string(),
    }
}

/// Any value, one line per key.
fn tree(value: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    let mut out = String::new();
    let mut line = |key: &str, value: &Value| {
        if value.is_object() || value.as_array().is_some_and(|items| !items.is_empty()) {
            out.push_str(&format!("{indent}{key}:\n{}", tree(value, depth + 1)));
        } else {
            out.push_str(&format!("{indent}{key}: {}\n", plain(value)));
        }
    };
    match value {
        Value::Object(entries) => entries
            .iter()
            .for_each(|(key, value)| line(&plain(&key.as_str().into()), value)),
        Value::Array(items) => items.iter().for_each(|value| line("-", value)),
        scalar => out.push_str(&format!("{indent}{}\n", plain(scalar))),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_streams_are_one_part_of_the_path() {
        let call = CtlCommand::RemoveStream {
            name: "live/a b?#..%".to_owned(),
        }
        .call()
        .unwrap();
        assert_eq!(call.path, "streams/live%2Fa%20b%3F%23..%25");
        assert!(endpoint("x-1").is_err());
        assert_eq!(endpoint("o-1f").unwrap(), "outputs/o-1f");
    }

    #[test]
    fn a_table_has_its_columns_and_no_control_characters() {
        let item = json!({ "address": "192.0.2.1\u{1b}[2J", "until": null });
        let shown = table(BANS, &[item]);
        assert!(shown.starts_with("ADDRESS"), "{shown}");
        assert!(!shown.contains('\u{1b}') && shown.contains(" -"), "{shown}");
    }

    #[test]
    fn a_refusal_names_every_fault() {
        let problem = r#"{"title":"T","detail":"D","errors":[{"key":"a.b","message":"bad","hint":"good"}]}"#;
        assert_eq!(
            refusal(StatusCode::BAD_REQUEST, problem),
            "T: D\n  a.b: bad; good"
        );
        let in_file = problem.replace("\"key\"", "\"line\":7,\"column\":3,\"key\"");
        assert_eq!(
            refusal(StatusCode::BAD_REQUEST, &in_file),
            "T: D\n  7:3: a.b: bad; good"
        );
    }
}
