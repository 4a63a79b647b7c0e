//! `explain-streamid`: shows how a streamid is parsed and how each port would decide about it.
//!
//! Calls the same functions as the listen callback, with the configured streams and no sessions. Opens nothing. Never
//! shows a passphrase, only its origin.

use std::{
    ffi::OsString,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
    process::ExitCode,
};

use serde_json::{Value, json};

use super::{USAGE, load, say, say_error, status::say_json};
use crate::{
    access::{
        Caller, Decision, Directory, Grant, Identity, NoResults, PortPolicy, Question, RequestMode, Scope,
        StreamRequest, decide,
    },
    config::{Config, Dialect, Dialects},
    control, gateway,
    names::{Role, StreamName},
};

/// What to explain, and against which configuration.
#[derive(Debug, clap::Args)]
pub(super) struct Explain {
    /// Streamid as the caller sends it. Quote it for the shell.
    #[arg(value_name = "STRING", allow_hyphen_values = true)]
    streamid: OsString,
    /// TOML file. Default: the built-in configuration.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Explain only ports with this number.
    #[arg(short, long, value_name = "NUMBER")]
    port: Option<u16>,
    /// Address of the caller, for `allow` and `deny`.
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    from: IpAddr,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn explain(command: &Explain) -> ExitCode {
    let config = match load(command.config.as_deref()) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let streamid = command.streamid.as_bytes();
    let ports = ports(&config, command.port);
    if let (Some(number), []) = (command.port, ports.as_slice()) {
        say_error(format_args!(
            "srt-gateway: the configuration opens no port {number}: omit --port to see all ports"
        ));
        return ExitCode::from(USAGE);
    }
    let registry = gateway::registry(&config, Identity::default(), 1);
    let directory = registry.directory().load();
    let reading = Reading(streamid, directory.access.dialects);
    let caller = Caller {
        peer: SocketAddr::new(command.from, 0),
        streamid,
        handshake: None,
        bond: None,
        known: &NoResults,
    };
    let verdict = |port: &PortPolicy| Verdict::of(port, &directory, caller);
    if command.json {
        let ports: Vec<_> = ports.iter().map(|port| verdict(port).json(port)).collect();
        say_json(&json!({
            "streamid": streamid.escape_ascii().to_string(),
            "read": reading.json(),
            "from": command.from,
            "ports": ports,
        }));
        return ExitCode::SUCCESS;
    }
    say(format_args!("streamid  \"{}\"", streamid.escape_ascii()));
    say(format_args!("{reading}"));
    say(format_args!(
        "\nA caller from {} with this streamid, while nobody publishes or plays:",
        command.from
    ));
    for port in &ports {
        say(format_args!("  {port} on {}", port.addr));
        say(format_args!("      {}", verdict(port)));
    }
    ExitCode::SUCCESS
}

/// The configured ports; a port on all addresses counts as one.
fn ports(config: &Config, number: Option<u16>) -> Vec<PortPolicy> {
    let ports = config
        .srt_ports()
        .filter(|(_, port)| number.is_none_or(|number| port.listen.port() == number));
    ports
        .filter_map(|(owner, port)| {
            let addr = port.listen.socket_addrs().ok()?.first().copied()?;
            Some(control::policy(control::scope(owner), port, addr))
        })
        .collect()
}

/// How a streamid is parsed.
struct Reading<'a>(&'a [u8], Dialects);

impl fmt::Display for Reading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = match StreamRequest::read(self.0, self.1) {
            Ok(request) => request,
            Err(why) => return write!(f, "error     {why}"),
        };
        writeln!(f, "dialect   {}", request.dialect.map_or("none", Dialect::as_str))?;
        if request.names.is_empty() {
            writeln!(f, "  stream  not named")?;
        }
        for (index, name) in request.names.iter().enumerate() {
            let (lead, password) = (
                if index == 0 { "stream" } else { "or    " },
                if name.password.is_some() {
                    ", with a password"
                } else {
                    ""
                },
            );
            writeln!(f, "  {lead}  {}{password}", name.stream)?;
        }
        if let Some(user) = &request.user {
            writeln!(f, "  user    {}", user.escape_debug())?;
        }
        for (key, value) in &request.labels {
            writeln!(f, "  label   {}={}", key.escape_debug(), value.escape_debug())?;
        }
        f.write_str(match request.mode {
            Some(RequestMode::Publish) => "  mode    publish",
            Some(RequestMode::Request) => "  mode    request (play)",
            None => "  mode    not given",
        })
    }
}

impl Reading<'_> {
    /// As JSON.
    fn json(&self) -> Value {
        let request = match StreamRequest::read(self.0, self.1) {
            Ok(request) => request,
            Err(why) => return json!({ "unreadable": why.to_string() }),
        };
        let names = request.names.iter();
        json!({
            "dialect": request.dialect.map(Dialect::as_str),
            "streams": names
                .map(|name| json!({ "name": name.stream.to_string(), "password": name.password.is_some() }))
                .collect::<Vec<_>>(),
            "user": request.user,
            "labels": request.labels.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect::<Vec<_>>(),
            "mode": request.mode.map(|mode| match mode {
                RequestMode::Publish => "publish",
                RequestMode::Request => "request",
            }),
        })
    }
}

/// The decision of a port.
#[derive(Debug)]
enum Verdict {
    Admitted {
        role: Role,
        stream: StreamName,
        /// `with KEY of ...`, or `without a passphrase`.
        passphrase: String,
    },
    /// Not decided: the text states what it depends on.
    Waits(String),
    Refused {
        code: i32,
        reason: String,
    },
}

impl Verdict {
    fn of(port: &PortPolicy, directory: &Directory, caller: Caller<'_>) -> Self {
        match decide(port, directory, caller) {
            Decision::Admit(grant) => Self::Admitted {
                role: grant.role,
                passphrase: passphrase_source(port, directory, &grant),
                stream: grant.stream,
            },
            Decision::Wait(Question::Password(_)) => Self::Waits(
                "waits until the gateway has checked the password against an argon2 hash".to_owned(),
            ),
            Decision::Wait(Question::Key(_)) => Self::Waits(
                "waits until the gateway has checked the key material against the passphrases".to_owned(),
            ),
            Decision::Wait(Question::Hook(question)) => Self::Waits(format!(
                "waits until the hook of [auth] decides whether the caller may {} {}",
                match question.role {
                    Role::Publisher => "publish",
                    Role::Viewer => "play",
                },
                question.stream
            )),
            Decision::Refuse(why) => Self::Refused {
                code: why.code().value(),
                reason: why.to_string(),
            },
        }
    }

    /// As JSON.
    fn json(&self, port: &PortPolicy) -> Value {
        let mut told = match self {
            Self::Admitted {
                role,
                stream,
                passphrase,
            } => json!({
                "outcome": "admitted",
                "role": role.to_string(),
                "stream": stream.to_string(),
                "passphrase": passphrase,
            }),
            Self::Waits(reason) => json!({ "outcome": "waits", "reason": reason }),
            Self::Refused { code, reason } => json!({ "outcome": "refused", "code": code, "reason": reason }),
        };
        told["port"] = json!(port.to_string());
        told["address"] = json!(port.addr.to_string());
        told
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admitted {
                role,
                stream,
                passphrase,
            } => {
                let does = match role {
                    Role::Publisher => "publishes",
                    Role::Viewer => "plays",
                };
                write!(f, "admitted: {does} {stream}; {passphrase}")
            }
            Self::Waits(reason) => f.write_str(reason),
            Self::Refused { code, reason } => write!(f, "refused {code}: {reason}"),
        }
    }
}

/// The origin of the passphrase that the caller must use.
fn passphrase_source(port: &PortPolicy, directory: &Directory, grant: &Grant) -> String {
    let Some(passphrase) = &grant.passphrase else {
        return "without a passphrase".to_owned();
    };
    let key = match grant.role {
        Role::Publisher => "publish_passphrase",
        Role::Viewer => "play_passphrase",
    };
    let entry = directory.streams.get(&grant.stream);
    let template = directory.template_for(grant.stream.as_str());
    let policy = entry
        .map(|entry| &entry.policy)
        .or_else(|| template.map(|template| &template.policy));
    let own = policy.and_then(|policy| match grant.role {
        Role::Publisher => policy.publish_passphrases.first(),
        Role::Viewer => policy.play_passphrases.first(),
    });
    let of_port = port.passphrase.as_ref() == Some(passphrase);
    if of_port && (own != Some(passphrase) || matches!(port.scope, Scope::Stream(_))) {
        format!(
            "with the passphrase of this port ({}.passphrase)",
            port.kind.key()
        )
    } else {
        format!("with {key} of {}", grant.stream)
    }
}
