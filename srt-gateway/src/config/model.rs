//! The typed configuration: checked, with all defaults filled in. Plain data, shared read-only between threads.
//!
//! `validate` reads the text; other modules act on the data.

use std::{
    collections::BTreeMap,
    fmt,
    num::{NonZeroU32, NonZeroU64, NonZeroUsize},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;

use super::{
    dialect::Dialects,
    endpoint::{Endpoint, ExpandError},
    secret::{HttpUrl, Secret},
    secret_source::SecretSources,
    types::{CryptoMode, KeyLength, ListenAddr, Location, PortKind, SrtVersion},
};
use crate::address::ZonedIp;

/// A whole configuration. Two are equal if they have the same content, wherever their lines are.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// `[gateway]`.
    pub gateway: Gateway,
    /// The global ports: `[srt]`, `[srt_publish]`, `[srt_play]`; at most one of each kind.
    pub ports: Vec<SrtPort>,
    /// `[srt_defaults]`, already merged into the settings of each port and endpoint.
    pub srt_defaults: SrtSettings,
    /// `[streams.*]`, by stream name.
    pub streams: BTreeMap<String, Stream>,
    /// `[templates.*]`, by the template's own name.
    pub templates: BTreeMap<String, Template>,
    /// `[streams_default]`.
    pub streams_default: StreamsDefault,
    /// `[[listeners]]`.
    pub listeners: Vec<ListenerRange>,
    /// `[config_external]`.
    pub config_external: Option<ConfigExternal>,
    /// `[[rules]]`, in order.
    pub rules: Vec<Rule>,
    /// `[auth]`; `None` without a hook.
    pub auth: Option<Auth>,
    /// `[events]`; `None` without a hook.
    pub events: Option<Events>,
    /// `[alarms]`.
    pub alarms: Alarms,
    /// `[limits]`.
    pub limits: Limits,
    /// `[api]`.
    pub api: Api,
    /// `[log]`.
    pub log: Log,
    /// The secrets that come from files, the environment or credentials.
    pub secret_sources: SecretSources,
}

/// `[gateway]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Shown to peers and in metrics. `None`: the host name.
    pub name: Option<String>,
    /// Relay worker threads. `None`: one per core.
    pub workers: Option<NonZeroUsize>,
    /// The socket for local commands. `None`: the default path.
    pub control_socket: Option<PathBuf>,
    /// Refuse to start with a libsrt that is older than 1.5.6 and not patched.
    pub strict: bool,
    /// The accepted streamid formats.
    pub streamid_dialects: Dialects,
}

/// A port that accepts SRT callers.
#[derive(Clone, Debug, PartialEq)]
pub struct SrtPort {
    /// Publish, play or both.
    pub kind: PortKind,
    /// The address to listen on.
    pub listen: ListenAddr,
    /// The settings, including `[srt_defaults]`.
    pub settings: SrtSettings,
    /// The position of `port` in the file.
    pub at: Location,
}

/// Settings of SRT sockets: `[srt_defaults]` overridden by the socket's own table.
#[derive(Clone, Debug, PartialEq)]
pub struct SrtSettings {
    /// The delay in both directions; the larger offer of both sides counts. At most 65.535 s: 16 bits of ms on the
    /// wire.
    pub latency: Duration,
    /// A lower offer of a caller is raised to this.
    pub min_latency: Duration,
    /// A higher offer of a caller is refused with code 1400.
    pub max_latency: Duration,
    /// 10 to 79 bytes; `None`: no encryption.
    pub passphrase: Option<Secret>,
    /// Length of the AES key.
    pub key_length: Option<KeyLength>,
    /// Callers with a shorter key are refused. `None`: any length.
    pub min_key_length: Option<KeyLength>,
    /// Cipher mode.
    pub crypto_mode: CryptoMode,
    /// Both sides must agree on encryption (`SRTO_ENFORCEDENCRYPTION`).
    pub enforced_encryption: bool,
    /// The oldest version accepted from a peer.
    pub min_version: SrtVersion,
    /// The only version accepted from a peer.
    pub version: Option<SrtVersion>,
    /// A connection without data for this long, either way, is closed. `None`: never.
    pub timeout: Option<Duration>,
    /// A publisher that has sent nothing for this long since it connected is closed. `None`: never.
    pub first_data_timeout: Option<Duration>,
    /// A connection without any packet from the peer for this long is lost.
    pub peer_idle_timeout: Duration,
    /// The timeout of outgoing connections. `None`: libsrt's default of 3 s.
    pub connect_timeout: Option<Duration>,
    /// How long close waits for unsent data.
    pub linger: Duration,
    /// libsrt's packet filter, such as `fec,cols:10,rows:5`.
    pub packet_filter: Option<String>,
    /// The largest packet filter that a caller may request. `None`: none without `packet_filter`, otherwise
    /// [`FilterSize::STANDARD`].
    pub accept_packet_filter: Option<FilterSize>,
    /// Accept bonded callers.
    pub group_connect: bool,
    /// The bit rate that a publisher may send, averaged over 5 s. `None`: no limit.
    pub max_bitrate: Option<NonZeroU64>,
    /// How much may be retransmitted to a viewer, in percent of what is sent to it. `None`: no limit.
    pub resend_limit: Option<NonZeroU32>,
    /// Who may connect; empty: everyone.
    pub allow: Vec<IpNet>,
    /// Who may not connect; checked before `allow`.
    pub deny: Vec<IpNet>,
    /// The limit of concurrent connections. `None`: no limit.
    pub max_connections: Option<NonZeroU32>,
    /// UDP sockets that share the port. `None`: one.
    pub shards: Option<NonZeroU32>,
    /// Other libsrt options, by lower-case name without `SRTO_`. Those of a table are added to the defaults'.
    /// [`Config::validate_options`] checks that libsrt knows them.
    pub options: BTreeMap<String, SrtOption>,
}

/// The matrix of a packet filter. Its memory cost is about 3 kB per column, and up to ten times that under loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterSize {
    /// Packets in a row.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

impl FilterSize {
    /// The limit for callers of a port with a packet filter that leaves sizes open. SMPTE 2022-1 ends at 20 x 20.
    pub const STANDARD: Self = Self {
        columns: 64,
        rows: 64,
    };

    /// The largest size that can be configured, in either direction.
    pub const MAX: u16 = 256;
}

impl fmt::Display for FilterSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.columns, self.rows)
    }
}

/// A libsrt option without a configuration key.
#[derive(Clone, Debug, PartialEq)]
pub struct SrtOption {
    /// Its value.
    pub value: OptionValue,
    /// Its position in the file.
    pub at: Location,
    pub(crate) path: String,
}

/// The value of an [`SrtOption`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionValue {
    /// An integer.
    Int(i64),
    /// A boolean.
    Bool(bool),
    /// A string.
    Str(String),
}

/// `[streams.*]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stream {
    /// Its own ports; at most one of each kind.
    pub ports: Vec<SrtPort>,
    /// Passphrases for publishers of this stream on shared ports, any of them valid, newest first. Empty: the port's.
    pub publish_passphrases: Vec<Secret>,
    /// The same for viewers.
    pub play_passphrases: Vec<Secret>,
    /// `password=` or `s=` in a publisher's streamid must match.
    pub password: Option<Secret>,
    /// The sources, the preferred one first.
    pub inputs: Vec<Endpoint>,
    /// When to switch inputs.
    pub failover: Failover,
    /// Connect inputs only while someone watches.
    pub on_demand: bool,
    /// No alarms are raised for the stream.
    pub expected_off: bool,
    /// The destinations of the stream.
    pub outputs: Vec<Endpoint>,
    /// The settings that streams without a table have too.
    pub settings: StreamSettings,
}

/// The settings of every stream, with or without a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// What happens to a second publisher.
    pub duplicate_publisher: DuplicatePublisher,
    /// How long a publisher must have sent nothing to count as silent, for [`DuplicatePublisher::TakeoverIfSilent`].
    pub silent_after: Duration,
    /// How long viewers wait for a lost source; zero: they are closed at once.
    pub on_source_lost: Duration,
    /// Where a new viewer starts.
    pub start_at: StartAt,
    /// When a publisher's packets are relayed to viewers.
    pub ingest: Ingest,
    /// The limit of concurrent viewers. `None`: no limit.
    pub max_viewers: Option<NonZeroU32>,
    /// The size of the ring in bytes.
    pub ring: usize,
}

/// What happens to a second publisher of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DuplicatePublisher {
    /// It is refused with code 1409.
    #[default]
    Reject,
    /// It replaces the first as soon as it sends.
    Takeover,
    /// It replaces the first if that one is silent; otherwise it is refused.
    TakeoverIfSilent,
    /// It stands by until the first publisher, and those that have waited longer, are gone.
    Standby,
}

/// When packets received over SRT are relayed to viewers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ingest {
    /// A latency after they were sent, with the sender's spacing.
    #[default]
    Timed,
    /// As soon as they are complete and in order; the latency limits the wait for missing packets.
    Immediate,
}

/// Where a new viewer starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StartAt {
    /// At the last PAT/PMT and keyframe of the ring.
    #[default]
    Keyframe,
    /// At the next packet.
    Live,
}

/// When a stream switches inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failover {
    /// The time without data after which the next input is taken.
    pub after: Duration,
    /// How long a preferred input must have data before it is taken again.
    pub back: Duration,
}

/// `[templates.*]`: applies to every stream whose name begins with the prefix.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// The prefix; not empty, unique.
    pub prefix: String,
    /// The settings of these streams. Endpoints may contain `${name}`; see [`Endpoint::for_stream`].
    pub stream: Stream,
}

/// `[streams_default]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamsDefault {
    /// Whether streams without a table are accepted; otherwise they are refused with code 1404.
    pub accept_unknown: bool,
    /// The settings of such streams, and the defaults of streams with a table.
    pub settings: StreamSettings,
}

/// `[[listeners]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerRange {
    /// The ports. Ranges do not overlap.
    pub ports: Vec<RangeInclusive<u16>>,
    /// The one address to listen on. `None`: all, IPv4 and IPv6.
    pub address: Option<ZonedIp>,
    /// Their purpose.
    pub mode: Action,
    /// Its position in the file.
    pub at: Location,
}

/// What a rule, or a port of a range, allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Action {
    /// Publish only.
    Publish,
    /// Play only.
    Play,
    /// Both.
    #[default]
    Any,
}

/// `[config_external]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigExternal {
    /// Asked on the first call to a port of a [`ListenerRange`].
    pub url: HttpUrl,
    /// The timeout of a question.
    pub timeout: Duration,
    /// How long an answer is valid.
    pub cache: Duration,
}

/// `[[rules]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// A pattern of stream names; `*` stands for any text.
    pub stream: String,
    /// What it allows.
    pub action: Action,
    /// `u=` must match. `None`: any.
    pub user: Option<String>,
    /// Plain text or an argon2 PHC string. `None`: any.
    pub password: Option<Secret>,
    /// The accepted addresses; empty: any.
    pub allow: Vec<IpNet>,
    /// Its position in the file.
    pub at: Location,
}

/// `[auth]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// The URL of the hook.
    pub url: HttpUrl,
    /// The timeout of a question.
    pub timeout: Duration,
    /// How long an admission is cached.
    pub cache_allow: Duration,
    /// How long a refusal is cached.
    pub cache_deny: Duration,
    /// The decision if the hook does not answer.
    pub fail: FailMode,
    /// Signs each call.
    pub secret: Option<Secret>,
}

/// The decision if the hook does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FailMode {
    /// Nobody is admitted.
    #[default]
    Closed,
    /// Everybody is admitted.
    Open,
}

/// `[events]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Events {
    /// The receiver.
    pub url: HttpUrl,
    /// The timeout of a post.
    pub timeout: Duration,
    /// Signs each post.
    pub secret: Option<Secret>,
}

/// `[alarms]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarms {
    /// A condition that lasts for so long is an alarm.
    pub raise_after: Duration,
    /// An alarm whose condition has been gone for so long is over.
    pub clear_after: Duration,
    /// The least severe alarms that are sent.
    pub severity: AlarmSeverity,
    /// The URL of a webhook that takes what Slack's takes; a secret as a whole.
    pub slack_url: Option<Secret>,
    /// Where mail is sent.
    pub mail: Option<Mail>,
}

/// The least severe alarms that are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AlarmSeverity {
    /// All.
    #[default]
    Warning,
    /// Critical ones.
    Critical,
}

/// `mail` of `[alarms]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The mail server.
    pub server: String,
    /// Its port. `None`: the usual one for `tls`.
    pub port: Option<u16>,
    /// How the connection is encrypted.
    pub tls: MailTls,
    /// The name to log in with. `None`: no login.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// The sender.
    pub from: String,
    /// Who gets it.
    pub to: Vec<String>,
}

/// How the connection to a mail server is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MailTls {
    /// By STARTTLS, which the server must offer; port 587.
    #[default]
    StartTls,
    /// From the start; port 465.
    Tls,
    /// Not at all; port 25.
    None,
}

/// `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `None`: no limit.
    pub handshakes_per_second_per_ip: Option<NonZeroU32>,
    /// Rejections within a minute. `None`: never banned.
    pub ban_after_rejections: Option<NonZeroU32>,
    /// Length of a ban.
    pub ban_for: Duration,
    /// The limit of concurrent sessions per address. `None`: no limit.
    pub max_sessions_per_ip: Option<NonZeroU32>,
    /// The limit of concurrent streams created by callers. `None`: no limit.
    pub max_created_streams: Option<NonZeroU32>,
    /// The same per address. `None`: no limit.
    pub max_created_streams_per_ip: Option<NonZeroU32>,
}

/// `[api]`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Api {
    /// Whether the configuration has the table: then failing to listen is an error, otherwise not.
    pub configured: bool,
    /// Where to listen (TCP). `None`: nowhere.
    pub listen: Option<ListenAddr>,
    /// The bearer token. Always set if other machines can reach `listen`.
    pub token: Option<Secret>,
    /// Further tokens.
    pub tokens: Vec<ApiToken>,
    /// Host names that browsers may use without a token, besides `localhost`.
    pub hosts: Vec<String>,
    /// The folders in which definitions by the API and by `[config_external]` may use files.
    pub file_folders: Vec<PathBuf>,
    /// The file for the API's changes. `None`: the default path; empty: none.
    pub state: Option<PathBuf>,
    /// The audit file. `None`: the audit log is kept in memory only.
    pub audit_file: Option<PathBuf>,
    /// The size in bytes at which the audit file is rotated.
    pub audit_file_size: u64,
    /// Whether `/metrics` includes the figures of each session.
    pub session_metrics: bool,
    /// Serve HTTPS.
    pub tls: Option<Tls>,
}

/// An entry of `tokens` of `[api]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// The token.
    pub token: Secret,
    /// What it allows.
    pub scope: TokenScope,
    /// The owner's name in the audit log.
    pub name: Option<Box<str>>,
}

/// What a token allows. Each scope includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenScope {
    /// Reading.
    #[default]
    Read,
    /// Starting and stopping outputs, switching inputs, kicking and banning.
    Operate,
    /// Everything.
    Admin,
}

/// `tls` of `[api]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
}

/// `[log]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The lowest level that is logged.
    pub level: LogLevel,
    /// The format of a line.
    pub format: LogFormat,
}

/// The levels of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is likely to fail.
    Warn,
    /// Connections and streams.
    #[default]
    Info,
    /// For debugging.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The configuration value; also a filter of `tracing`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LogFormat {
    /// Human-readable.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The owner of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortOwner<'c> {
    /// All streams: the streamid names the stream.
    Global,
    /// This stream.
    Stream(&'c str),
    /// This template: the streamid names the stream.
    Template(&'c str),
}

impl Template {
    /// The configuration of the stream `name`: this template with `${name}` replaced, without the template's ports.
    ///
    /// # Errors
    /// As for [`Endpoint::for_stream`].
    pub fn for_stream(&self, name: &str) -> Result<Stream, ExpandError> {
        let expand = |endpoints: &[Endpoint]| {
            let each = endpoints.iter().map(|endpoint| endpoint.for_stream(name));
            each.collect::<Result<Vec<_>, _>>()
        };
        Ok(Stream {
            ports: Vec::new(),
            inputs: expand(&self.stream.inputs)?,
            outputs: expand(&self.stream.outputs)?,
            ..self.stream.clone()
        })
    }
}

impl Config {
    /// All ports of all tables, with their owners.
    pub fn srt_ports(&self) -> impl Iterator<Item = (PortOwner<'_>, &SrtPort)> {
        let global = self.ports.iter().map(|port| (PortOwner::Global, port));
        let of_streams = self.streams.iter().flat_map(|(name, stream)| {
            stream
                .ports
                .iter()
                .map(move |port| (PortOwner::Stream(name.as_str()), port))
        });
        let of_templates = self.templates.iter().flat_map(|(name, template)| {
            template
                .stream
                .ports
                .iter()
                .map(move |port| (PortOwner::Template(name.as_str()), port))
        });
        global.chain(of_streams).chain(of_templates)
    }

    /// The template for streams of this name: the one with the longest matching prefix.
    pub fn template_for(&self, stream: &str) -> Option<(&str, &Template)> {
        let fits = |(_, template): &(&String, &Template)| stream.starts_with(&template.prefix);
        let best = self
            .templates
            .iter()
            .filter(fits)
            .max_by_key(|(_, template)| template.prefix.len());
        best.map(|(name, template)| (name.as_str(), template))
    }

    /// The settings of this stream: of its table, otherwise its template, otherwise, if unknown streams are accepted,
    /// of `[streams_default]`. `None`: no such stream (code 1404).
    pub fn stream_settings(&self, stream: &str) -> Option<&StreamSettings> {
        let unknown = || {
            self.streams_default
                .accept_unknown
                .then_some(&self.streams_default.settings)
        };
        let named = self.streams.get(stream).map(|stream| &stream.settings);
        named
            .or_else(|| self.template_for(stream).map(|(_, t)| &t.stream.settings))
            .or_else(unknown)
    }
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            duplicate_publisher: DuplicatePublisher::default(),
            silent_after: Duration::from_secs(1),
            on_source_lost: Duration::from_secs(10),
            start_at: StartAt::default(),
            ingest: Ingest::default(),
            max_viewers: None,
            ring: 8 << 20,
        }
    }
}

impl Default for SrtSettings {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(120),
            min_latency: Duration::ZERO,
            max_latency: Duration::from_secs(10),
            passphrase: None,
            key_length: None,
            min_key_length: None,
            crypto_mode: CryptoMode::default(),
            enforced_encryption: true,
            min_version: SrtVersion::new(1, 3, 0),
            version: None,
            timeout: None,
            first_data_timeout: Some(Duration::from_secs(10)),
            peer_idle_timeout: Duration::from_secs(5),
            connect_timeout: None,
            linger: Duration::from_secs(180),
            packet_filter: None,
            accept_packet_filter: None,
            group_connect: false,
            max_bitrate: None,
            resend_limit: NonZeroU32::new(100),
            allow: Vec::new(),
            deny: Vec::new(),
            max_connections: None,
            shards: None,
            options: BTreeMap::new(),
        }
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            name: None,
            workers: None,
            control_socket: None,
            strict: true,
            streamid_dialects: Dialects::all(),
        }
    }
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            after: Duration::from_secs(1),
            back: Duration::from_secs(10),
        }
    }
}

impl Default for Alarms {
    fn default() -> Self {
        Self {
            raise_after: Duration::from_secs(10),
            clear_after: Duration::from_secs(30),
            severity: AlarmSeverity::default(),
            slack_url: None,
            mail: None,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshakes_per_second_per_ip: NonZeroU32::new(50),
            ban_after_rejections: NonZeroU32::new(20),
            ban_for: Duration::from_secs(60),
            max_sessions_per_ip: None,
            max_created_streams: NonZeroU32::new(1000),
            max_created_streams_per_ip: NonZeroU32::new(100),
        }
    }
}

impl Default for Api {
    fn default() -> Self {
        let loopback = (std::net::Ipv4Addr::LOCALHOST, 9980);
        Self {
            configured: false,
            listen: Some(std::net::SocketAddr::from(loopback).into()),
            token: None,
            tokens: Vec::new(),
            hosts: Vec::new(),
            file_folders: Vec::new(),
            state: None,
            audit_file: None,
            audit_file_size: 10 << 20,
            session_metrics: false,
            tls: None,
        }
    }
}
