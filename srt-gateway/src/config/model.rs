//! The typed configuration: everything checked, every default filled in. Plain data, shared read-only between threads.
//!
//! Reads no text (`validate` does) and does nothing: whoever acts on it lives elsewhere.

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

/// A whole configuration. Two are equal if they say the same, wherever their lines stand.
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
    /// `[[rules]]`, in their order.
    pub rules: Vec<Rule>,
    /// `[auth]`; `None` without a hook.
    pub auth: Option<Auth>,
    /// `[events]`; `None` without a hook.
    pub events: Option<Events>,
    /// `[limits]`.
    pub limits: Limits,
    /// `[api]`.
    pub api: Api,
    /// `[log]`.
    pub log: Log,
    /// The secrets that stand elsewhere than in the text.
    pub secret_sources: SecretSources,
}

/// `[gateway]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Shown to peers and in metrics. `None`: the host name.
    pub name: Option<String>,
    /// Relay worker threads. `None`: one per core.
    pub workers: Option<NonZeroUsize>,
    /// Where commands of the same machine ask the running gateway. `None`: the default place.
    pub control_socket: Option<PathBuf>,
    /// Refuse to start on a libsrt that is older than 1.5.6 and not patched.
    pub strict: bool,
    /// Ways of writing a streamid that are understood.
    pub streamid_dialects: Dialects,
}

/// A port on which SRT callers are waited for.
#[derive(Clone, Debug, PartialEq)]
pub struct SrtPort {
    /// Publish, play or both.
    pub kind: PortKind,
    /// Where to listen.
    pub listen: ListenAddr,
    /// How, `[srt_defaults]` included.
    pub settings: SrtSettings,
    /// Where `port` stands in the file.
    pub at: Location,
}

/// Settings of SRT sockets: `[srt_defaults]` overridden by the socket's own table.
#[derive(Clone, Debug, PartialEq)]
pub struct SrtSettings {
    /// Delay in both directions; the larger of both sides' offers counts. At most 65.535 s: 16 bits of ms on the wire.
    pub latency: Duration,
    /// A caller's offer is raised to this.
    pub min_latency: Duration,
    /// A caller's offer above this is refused with code 1400.
    pub max_latency: Duration,
    /// 10 to 79 bytes; `None`: no encryption.
    pub passphrase: Option<Secret>,
    /// Length of the AES key.
    pub key_length: Option<KeyLength>,
    /// Callers with a shorter key are refused. `None`: any.
    pub min_key_length: Option<KeyLength>,
    /// Cipher mode.
    pub crypto_mode: CryptoMode,
    /// Both sides must agree on encryption (`SRTO_ENFORCEDENCRYPTION`).
    pub enforced_encryption: bool,
    /// Oldest version that a peer may have.
    pub min_version: SrtVersion,
    /// Exactly this version is required of the peer.
    pub version: Option<SrtVersion>,
    /// A connection without data for this long, either way, is closed. `None`: never.
    pub timeout: Option<Duration>,
    /// A publisher that has sent nothing for this long since it connected is closed. `None`: never.
    pub first_data_timeout: Option<Duration>,
    /// A connection without any packet from the peer for this long is lost.
    pub peer_idle_timeout: Duration,
    /// For an outgoing connection. `None`: libsrt's own 3 s.
    pub connect_timeout: Option<Duration>,
    /// How long unsent data is waited for on close.
    pub linger: Duration,
    /// libsrt's packet filter, such as `fec,cols:10,rows:5`.
    pub packet_filter: Option<String>,
    /// The largest packet filter that a caller may bring. `None`: none where `packet_filter` is not set, else
    /// [`FilterSize::STANDARD`].
    pub accept_packet_filter: Option<FilterSize>,
    /// Accept bonded callers.
    pub group_connect: bool,
    /// Bits of payload a second that a publisher may send, on average over 5 s. `None`: any.
    pub max_bitrate: Option<NonZeroU64>,
    /// How much may be sent to a viewer again, in percent of what is sent to it. `None`: any amount.
    pub resend_limit: Option<NonZeroU32>,
    /// Who may connect; empty: everyone.
    pub allow: Vec<IpNet>,
    /// Who may not connect; asked before `allow`.
    pub deny: Vec<IpNet>,
    /// Connections at a time. `None`: no limit.
    pub max_connections: Option<NonZeroU32>,
    /// UDP sockets that share the port. `None`: one.
    pub shards: Option<NonZeroU32>,
    /// Other options of libsrt, by the lower-case name without `SRTO_`. Those of a table are added to the defaults'.
    /// [`Config::validate_options`] checks them against what libsrt knows.
    pub options: BTreeMap<String, SrtOption>,
}

/// The matrix of a packet filter: what it costs in memory is about 3 kB for each column, and up to ten times that under loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterSize {
    /// Packets in a row.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

impl FilterSize {
    /// What callers of a port with a packet filter of its own may make of what it leaves open. SMPTE 2022-1 stops at 20 x 20.
    pub const STANDARD: Self = Self {
        columns: 64,
        rows: 64,
    };

    /// The most that can be configured, in either direction.
    pub const MAX: u16 = 256;
}

impl fmt::Display for FilterSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.columns, self.rows)
    }
}

/// An option of libsrt that the gateway has no key of its own for.
#[derive(Clone, Debug, PartialEq)]
pub struct SrtOption {
    /// Its value.
    pub value: OptionValue,
    /// Where it stands in the file.
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
    /// Sources, the preferred first.
    pub inputs: Vec<Endpoint>,
    /// When to change inputs.
    pub failover: Failover,
    /// Connect inputs only while someone watches.
    pub on_demand: bool,
    /// Where the stream is sent to.
    pub outputs: Vec<Endpoint>,
    /// What a stream without a table has too.
    pub settings: StreamSettings,
}

/// What every stream has, named in a table or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// What becomes of a second publisher.
    pub duplicate_publisher: DuplicatePublisher,
    /// A publisher that has sent nothing for this long is silent, for [`DuplicatePublisher::TakeoverIfSilent`].
    pub silent_after: Duration,
    /// How long viewers are held for a source to come back; zero: closed at once.
    pub on_source_lost: Duration,
    /// Where a new viewer starts.
    pub start_at: StartAt,
    /// When what a publisher sends goes on to viewers.
    pub ingest: Ingest,
    /// Viewers at a time. `None`: no limit.
    pub max_viewers: Option<NonZeroU32>,
    /// Bytes of history.
    pub ring: usize,
}

/// What becomes of a second publisher of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DuplicatePublisher {
    /// It is refused with code 1409.
    #[default]
    Reject,
    /// It replaces the first as soon as it sends.
    Takeover,
    /// It replaces the first if that one is silent; else it is refused.
    TakeoverIfSilent,
    /// It stands by until the first, and who has waited for longer, is gone.
    Standby,
}

/// When what arrives over SRT goes on to viewers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ingest {
    /// A latency after it was sent, at the distances of the sender.
    #[default]
    Timed,
    /// As soon as it is there in order; the latency is how long what is missing is waited for.
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

/// When a stream changes inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failover {
    /// Time without data, after which the next input is taken.
    pub after: Duration,
    /// Time that a preferred input must be healthy before it is taken again.
    pub back: Duration,
}

/// `[templates.*]`: every stream whose name begins with the prefix.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// The prefix; not empty, unique.
    pub prefix: String,
    /// Settings of these streams. Endpoints may hold `${name}`: see [`Endpoint::for_stream`].
    pub stream: Stream,
}

/// `[streams_default]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamsDefault {
    /// Whether a stream that no table names is accepted; else it is refused with code 1404.
    pub accept_unknown: bool,
    /// Settings of such streams, and of named ones where these say nothing.
    pub settings: StreamSettings,
}

/// `[[listeners]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerRange {
    /// The ports. Ranges do not overlap.
    pub ports: Vec<RangeInclusive<u16>>,
    /// The one address to listen on. `None`: all, IPv4 and IPv6.
    pub address: Option<ZonedIp>,
    /// What they are for.
    pub mode: Action,
    /// Where it stands in the file.
    pub at: Location,
}

/// What a rule or a port of a range allows.
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
    /// Asked on the first contact of a port of a [`ListenerRange`].
    pub url: HttpUrl,
    /// Of a question.
    pub timeout: Duration,
    /// How long an answer holds.
    pub cache: Duration,
}

/// `[[rules]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Pattern of stream names; `*` is any text.
    pub stream: String,
    /// What it allows.
    pub action: Action,
    /// `u=` must match. `None`: any.
    pub user: Option<String>,
    /// Plain text or an argon2 PHC string. `None`: any.
    pub password: Option<Secret>,
    /// From where; empty: from anywhere.
    pub allow: Vec<IpNet>,
    /// Where it stands in the file.
    pub at: Location,
}

/// `[auth]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// The hook.
    pub url: HttpUrl,
    /// Of a question.
    pub timeout: Duration,
    /// How long an admission holds.
    pub cache_allow: Duration,
    /// How long a refusal holds.
    pub cache_deny: Duration,
    /// What a hook that does not answer means.
    pub fail: FailMode,
    /// Signs each call.
    pub secret: Option<Secret>,
}

/// What a hook that does not answer means.
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
    /// Gets each event.
    pub url: HttpUrl,
    /// Of a post.
    pub timeout: Duration,
    /// Signs each post.
    pub secret: Option<Secret>,
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
    /// Sessions from one address at a time. `None`: no limit.
    pub max_sessions_per_ip: Option<NonZeroU32>,
    /// Streams at a time that exist because a caller named them. `None`: no limit.
    pub max_created_streams: Option<NonZeroU32>,
    /// The same, created by one address. `None`: no limit.
    pub max_created_streams_per_ip: Option<NonZeroU32>,
}

/// `[api]`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Api {
    /// Whether the configuration has the table: then `listen` must be had, else it is only tried.
    pub configured: bool,
    /// Where to listen (TCP). `None`: nowhere.
    pub listen: Option<ListenAddr>,
    /// Bearer token. Always there if others than this machine can reach `listen`.
    pub token: Option<Secret>,
    /// Further tokens.
    pub tokens: Vec<ApiToken>,
    /// Names by which browsers may reach it without a token, beside `localhost`.
    pub hosts: Vec<String>,
    /// The folders below which definitions by the API and by `[config_external]` may use files.
    pub file_folders: Vec<PathBuf>,
    /// Where is kept what the API changes. `None`: the default place; empty: nowhere.
    pub state: Option<PathBuf>,
    /// The file that the audit log is written to. `None`: it is kept in memory only.
    pub audit_file: Option<PathBuf>,
    /// Bytes after which a new audit file is begun.
    pub audit_file_size: u64,
    /// Whether `/metrics` has the figures of each session.
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
    /// What its owner is called where it is recorded who did something.
    pub name: Option<Box<str>>,
}

/// What a token allows. Each includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenScope {
    /// To look.
    #[default]
    Read,
    /// To start and stop outputs, switch inputs, kick and ban.
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
    /// The least important lines that are written.
    pub level: LogLevel,
    /// Of a line.
    pub format: LogFormat,
}

/// Importance of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is likely to fail.
    Warn,
    /// Connections and streams.
    #[default]
    Info,
    /// For the search of a fault.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The word of the configuration; also one of `tracing`'s filters.
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

/// Form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// Whose port it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortOwner<'c> {
    /// Nobody's: the streamid names the stream.
    Global,
    /// The stream's of this name.
    Stream(&'c str),
    /// The template's of this name: the streamid names the stream.
    Template(&'c str),
}

impl Template {
    /// What the stream `name` is made of: this template with `${name}` filled in, without the template's ports.
    ///
    /// # Errors
    /// As [`Endpoint::for_stream`].
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

    /// The template for streams of this name: the one with the longest prefix that fits.
    pub fn template_for(&self, stream: &str) -> Option<(&str, &Template)> {
        let fits = |(_, template): &(&String, &Template)| stream.starts_with(&template.prefix);
        let best = self
            .templates
            .iter()
            .filter(fits)
            .max_by_key(|(_, template)| template.prefix.len());
        best.map(|(name, template)| (name.as_str(), template))
    }

    /// Settings of the stream of this name: of its table, else of its template, else, if unknown streams are accepted,
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
