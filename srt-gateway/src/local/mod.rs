//! The local control socket: a Unix socket of mode 0600 for the commands on the same machine.
//!
//! One JSON object per line in each direction: a [`Request`], then its [`Answer`]. The socket's permissions control the
//! access. Requests change nothing, and answers contain no passphrases.

mod client;
mod server;

use std::{
    env,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

pub(crate) use client::{Client, ClientError};
pub(crate) use server::Server;

use crate::{
    control::{EndpointState, EndpointStatus, Listening, SessionStatus},
    names::Role,
    telemetry::{Rejection, StreamDetail, health::Verdict},
    ts::{Payload, TsReport},
};

/// The socket's file name.
const FILE_NAME: &str = "srt-gateway.sock";

/// The limit of a line in bytes: enough for all rejections with the longest streamids, or a status of ten thousand
/// sessions.
const LINE_MAX: u64 = 8 << 20;

/// Where a service manager puts the socket, according to the systemd unit in packaging/.
const SERVICE_FOLDER: &str = "/run/srt-gateway";

/// The socket path of a gateway with this configuration: as configured, otherwise in the service manager's folder, in
/// the user's runtime directory, or in `/run`.
pub(crate) fn path_of(configured: Option<&Path>) -> PathBuf {
    configured.map_or_else(
        || {
            folder("RUNTIME_DIRECTORY")
                .or_else(|| folder("XDG_RUNTIME_DIR"))
                .unwrap_or_else(|| "/run".into())
                .join(FILE_NAME)
        },
        Path::to_path_buf,
    )
}

/// Where a command looks for the gateway with this configuration: as [`path_of`], and if there is nothing, at the path
/// of the packaged service.
pub(crate) fn find(configured: Option<&Path>) -> PathBuf {
    let expected = path_of(configured);
    let service = Path::new(SERVICE_FOLDER).join(FILE_NAME);
    if configured.is_none() && !expected.exists() && service.exists() {
        service
    } else {
        expected
    }
}

fn folder(variable: &str) -> Option<PathBuf> {
    env::var_os(variable)
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// Ports, streams and sessions.
    Status,
    /// Refused attempts after this number.
    Rejections {
        #[serde(default)]
        after: u64,
    },
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// To [`Request::Status`].
    Status(Status),
    /// To [`Request::Rejections`], oldest first.
    Rejections(Vec<Refusal>),
    /// The request could not be parsed.
    Error(String),
}

/// A running gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// The gateway's version.
    pub(crate) version: String,
    /// Names of threads that have made no progress for 10 s.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) stuck_threads: Vec<String>,
    pub(crate) ports: Vec<Port>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) sessions: Vec<Session>,
}

/// An open port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Port {
    /// `srt`, `srt_publish` or `srt_play`.
    pub(crate) kind: String,
    pub(crate) address: String,
    /// The stream that it serves; none: the streamid names it.
    pub(crate) stream: Option<String>,
}

/// A stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) has_source: bool,
    pub(crate) viewers: u32,
    pub(crate) bytes: u64,
    /// What the source carries; none before its first message.
    pub(crate) payload: Option<Payload>,
    /// The rate of transport packets in the last second.
    pub(crate) bits_per_second: u64,
    /// One line per program.
    pub(crate) programs: Vec<String>,
    /// The failed checks of TR 101 290 since the source began, with their counts.
    pub(crate) failures: Vec<String>,
    /// The verdict.
    pub(crate) verdict: Verdict,
}

/// An input or output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    pub(crate) stream: String,
    /// `input` or `output`.
    pub(crate) direction: String,
    /// The configured name.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// Without parameters and secrets.
    pub(crate) url: String,
    /// `idle`, `connecting`, `listening`, `live`, `standby`, `silent`, `stalled`, `backing off` or `failed`.
    pub(crate) state: String,
    pub(crate) failures: u64,
    pub(crate) last_failure: Option<String>,
    /// The streamid that the last call sent, with passwords masked.
    #[serde(default)]
    pub(crate) streamid: Option<String>,
}

/// A connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) id: u64,
    /// `publisher` or `viewer`.
    pub(crate) role: String,
    pub(crate) stream: String,
    pub(crate) peer: String,
    pub(crate) port: String,
    pub(crate) seconds: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// Messages that a slow viewer skipped.
    pub(crate) skipped: u64,
}

/// A refused attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) number: u64,
    /// The time of the last attempt: RFC 3339, UTC.
    pub(crate) time: String,
    /// The number of attempts.
    #[serde(default = "one")]
    pub(crate) count: u64,
    pub(crate) peer: String,
    pub(crate) port: u16,
    /// A description of that port.
    pub(crate) listener: String,
    /// With passwords masked and unprintable characters escaped.
    pub(crate) streamid: String,
    pub(crate) dialect: String,
    /// The caller's SRT version, if it was visible.
    pub(crate) version: Option<String>,
    pub(crate) encryption: String,
    /// What refused the caller.
    pub(crate) decision: String,
    pub(crate) code: i32,
    /// The reason, and what to change.
    pub(crate) reason: String,
}

/// The value for a gateway that does not count.
const fn one() -> u64 {
    1
}

impl From<&Rejection> for Refusal {
    fn from(rejection: &Rejection) -> Self {
        Self {
            number: rejection.number,
            time: humantime::format_rfc3339_millis(rejection.at).to_string(),
            count: rejection.count,
            peer: rejection.peer.to_string(),
            port: rejection.port,
            listener: rejection.listener.clone(),
            streamid: rejection.streamid_shown.clone(),
            dialect: rejection.dialect.to_owned(),
            version: rejection.version.map(|version| version.to_string()),
            encryption: rejection.encryption.to_string(),
            decision: rejection.decision.to_string(),
            code: rejection.code,
            reason: rejection.reason.clone(),
        }
    }
}

impl From<&Listening> for Port {
    fn from(port: &Listening) -> Self {
        Self {
            kind: port.kind.key().to_owned(),
            address: port.addr.to_string(),
            stream: match &port.scope {
                crate::access::Scope::Stream(name) => Some(name.to_string()),
                crate::access::Scope::Template(_) | crate::access::Scope::Global => None,
            },
        }
    }
}

impl From<&StreamDetail> for Stream {
    fn from(stream: &StreamDetail) -> Self {
        let ts = stream.ts();
        Self {
            name: stream.name.clone(),
            has_source: stream.has_source,
            viewers: stream.viewers,
            bytes: stream.bytes,
            payload: ts.map(|ts| ts.payload),
            bits_per_second: ts.map_or(0, |ts| ts.bits_per_second),
            programs: ts
                .map(|ts| ts.programs.iter().map(ToString::to_string).collect())
                .unwrap_or_default(),
            failures: ts.map(TsReport::failures).unwrap_or_default(),
            verdict: stream.verdict.clone(),
        }
    }
}

impl From<&EndpointStatus> for Endpoint {
    fn from(endpoint: &EndpointStatus) -> Self {
        let state = match endpoint.state {
            EndpointState::Idle => "idle",
            EndpointState::Connecting => "connecting",
            EndpointState::Listening => "listening",
            EndpointState::Live => "live",
            EndpointState::Standby => "standby",
            EndpointState::Silent => "silent",
            EndpointState::Stalled => "stalled",
            EndpointState::BackingOff => "backing off",
            EndpointState::Failed => "failed",
        };
        let direction = match endpoint.role {
            Role::Publisher => "input",
            Role::Viewer => "output",
        };
        Self {
            stream: endpoint.stream.to_string(),
            direction: direction.to_owned(),
            url: endpoint.url.clone(),
            state: state.to_owned(),
            name: endpoint.name.clone(),
            failures: endpoint.failures,
            last_failure: endpoint.last_failure.clone(),
            streamid: endpoint.streamid.clone(),
        }
    }
}

impl From<&SessionStatus> for Session {
    fn from(session: &SessionStatus) -> Self {
        Self {
            id: session.id.0,
            role: session.role.to_string(),
            stream: session.stream.to_string(),
            peer: session.peer.to_string(),
            port: session.port.clone(),
            seconds: session.age.as_secs(),
            messages: session.messages,
            bytes: session.bytes,
            skipped: session.skipped,
        }
    }
}
