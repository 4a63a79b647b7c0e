//! Every key of the configuration: its type, unit, default, meaning and an example. This table is the source of the
//! hints for unknown keys and of the reference documentation. A test keeps it in sync with the reader.

/// A kind of table of the configuration. Several tables may be of one kind: `[srt]` and `streams.*.srt` are both
/// [`Section::Port`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Section {
    /// The document itself.
    Root,
    /// `[gateway]`.
    Gateway,
    /// `[srt_defaults]`; its keys are also allowed in each [`Section::Port`] and [`Section::SrtEndpoint`].
    Srt,
    /// `[srt]`, `[srt_publish]`, `[srt_play]`, and the tables of these names in a stream.
    Port,
    /// Settings of all streams, with or without a table, which each table may override.
    StreamSettings,
    /// `[streams.*]`.
    Stream,
    /// `[templates.*]`.
    Template,
    /// `[streams_default]`.
    StreamsDefault,
    /// `failover` of a stream.
    Failover,
    /// An entry of `inputs` or `outputs`, of any scheme.
    Endpoint,
    /// An entry whose URL is `srt://`; its keys are also parameters of such a URL.
    SrtEndpoint,
    /// An entry whose URL is `udp://` or `rtp://`.
    UdpEndpoint,
    /// An entry whose URL is `file://`.
    FileEndpoint,
    /// `[[listeners]]`.
    Listener,
    /// `[config_external]`.
    ConfigExternal,
    /// `[[rules]]`.
    Rule,
    /// `[auth]`.
    Auth,
    /// `cache` of `[auth]`.
    AuthCache,
    /// `[events]`.
    Events,
    /// `[alarms]`.
    Alarms,
    /// `mail` of `[alarms]`.
    Mail,
    /// `[limits]`.
    Limits,
    /// `[api]`.
    Api,
    /// An entry of `tokens` of `[api]`.
    ApiToken,
    /// `tls` of `[api]`.
    Tls,
    /// `[log]`.
    Log,
}

impl Section {
    /// The kinds whose keys are allowed in this one, including itself.
    pub fn family(self) -> &'static [Self] {
        use Section::*;
        match self {
            Port => &[Port, Srt],
            Stream => &[Stream, StreamSettings],
            Template => &[Template, Stream, StreamSettings],
            StreamsDefault => &[StreamsDefault, StreamSettings],
            SrtEndpoint => &[SrtEndpoint, Endpoint, Srt],
            UdpEndpoint => &[UdpEndpoint, Endpoint],
            FileEndpoint => &[FileEndpoint, Endpoint],
            Root => &[Root],
            Gateway => &[Gateway],
            Srt => &[Srt],
            StreamSettings => &[StreamSettings],
            Failover => &[Failover],
            Endpoint => &[Endpoint],
            Listener => &[Listener],
            ConfigExternal => &[ConfigExternal],
            Rule => &[Rule],
            Auth => &[Auth],
            AuthCache => &[AuthCache],
            Events => &[Events],
            Alarms => &[Alarms],
            Mail => &[Mail],
            Limits => &[Limits],
            Api => &[Api],
            ApiToken => &[ApiToken],
            Tls => &[Tls],
            Log => &[Log],
        }
    }

    /// The table's name for display.
    pub fn title(self) -> &'static str {
        match self {
            Self::Root => "the top level",
            Self::Gateway => "[gateway]",
            Self::Srt => "[srt_defaults], and any srt, srt_publish or srt_play table",
            Self::Port => "an srt, srt_publish or srt_play table",
            Self::StreamSettings => "[streams_default] and [streams.*]",
            Self::Stream => "[streams.*]",
            Self::Template => "[templates.*]",
            Self::StreamsDefault => "[streams_default]",
            Self::Failover => "failover of a stream",
            Self::Endpoint => "an entry of inputs or outputs",
            Self::SrtEndpoint => "an srt:// input or output",
            Self::UdpEndpoint => "a udp:// or rtp:// input or output",
            Self::FileEndpoint => "a file:// input or output",
            Self::Listener => "[[listeners]]",
            Self::ConfigExternal => "[config_external]",
            Self::Rule => "[[rules]]",
            Self::Auth => "[auth]",
            Self::AuthCache => "cache of [auth]",
            Self::Events => "[events]",
            Self::Alarms => "[alarms]",
            Self::Mail => "mail of [alarms]",
            Self::Limits => "[limits]",
            Self::Api => "[api]",
            Self::ApiToken => "an entry of tokens of [api]",
            Self::Tls => "tls of [api]",
            Self::Log => "[log]",
        }
    }
}

/// The documentation of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyDoc {
    /// The kind of table that contains it.
    pub section: Section,
    /// Its name.
    pub name: &'static str,
    /// Its type, in words.
    pub kind: &'static str,
    /// The unit of a bare number; empty without one.
    pub unit: &'static str,
    /// The default, as TOML; empty if there is none.
    pub default: &'static str,
    /// A value, as TOML.
    pub example: &'static str,
    /// Its meaning, in one line.
    pub doc: &'static str,
    /// Whether its value must be hidden.
    pub secret: bool,
}

impl KeyDoc {
    const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

/// All keys, table by table.
pub fn reference() -> &'static [KeyDoc] {
    KEYS
}

/// The key `name` of a table of kind `section`.
pub(crate) fn find(section: Section, name: &str) -> Option<&'static KeyDoc> {
    of(section).find(|key| key.name == name)
}

/// The keys allowed in a table of kind `section`.
pub(crate) fn of(section: Section) -> impl Iterator<Item = &'static KeyDoc> {
    KEYS.iter()
        .filter(move |key| section.family().contains(&key.section))
}

/// Names that other products use for our keys.
pub(crate) static SYNONYMS: [(&str, &str); 15] = [
    ("pbkeylen", "key_length"),
    ("keylen", "key_length"),
    ("cryptomode", "crypto_mode"),
    ("conntimeo", "connect_timeout"),
    ("peeridletimeo", "peer_idle_timeout"),
    ("rcvlatency", "latency"),
    ("peerlatency", "latency"),
    ("tsbpddelay", "latency"),
    ("password", "passphrase"),
    ("bind", "listen"),
    ("address", "listen"),
    ("source", "inputs"),
    ("push", "outputs"),
    ("max_sessions", "max_viewers"),
    ("url_stream_id", "streamid"),
];

const fn key(
    section: Section,
    name: &'static str,
    kind: &'static str,
    default: &'static str,
    example: &'static str,
    doc: &'static str,
) -> KeyDoc {
    KeyDoc {
        section,
        name,
        kind,
        unit: "",
        default,
        example,
        doc,
        secret: false,
    }
}

const TABLE: &str = "table";
const BOOL: &str = "boolean";
const INT: &str = "integer";
const STR: &str = "string";
const DURATION: &str = "duration";
const CIDRS: &str = "list of addresses or CIDR networks";

#[rustfmt::skip] // One key a line: it is read as a table.
static KEYS: &[KeyDoc] = {
    use Section::*;
    &[
    key(Root, "gateway", TABLE, "", "{ name = \"gw1\" }", "settings of the process"),
    key(Root, "srt", TABLE, "", "{ port = 9998 }", "global port to publish and play on; the streamid must contain r= and m="),
    key(Root, "srt_publish", TABLE, "", "{ port = 9997 }", "global port to publish on; the streamid must contain r="),
    key(Root, "srt_play", TABLE, "", "{ port = 9996 }", "global port to play from; the streamid must contain r="),
    key(Root, "srt_defaults", TABLE, "", "{ latency = 200 }", "defaults for every srt, srt_publish and srt_play table"),
    key(Root, "streams", "table of tables", "", "{ cam1 = { srt = { port = 9001 } } }", "the streams, by name"),
    key(Root, "templates", "table of tables", "", "{ sports = { prefix = \"sports/\" } }", "settings for every stream whose name begins with a prefix"),
    key(Root, "streams_default", TABLE, "", "{ accept_unknown = true }", "defaults for all streams, with or without a table"),
    key(Root, "listeners", "list of tables", "", "[{ ports = \"9100-9199\", mode = \"publish\" }]", "ranges of ports that a backend configures on first contact"),
    key(Root, "config_external", TABLE, "", "{ url = \"http://127.0.0.1:8000/srt\" }", "the backend that configures the ports of listeners"),
    key(Root, "rules", "list of tables", "", "[{ stream = \"live/*\" }]", "who may publish and play; checked before the hook"),
    key(Root, "auth", TABLE, "", "{ url = \"http://127.0.0.1:8000/auth\" }", "the HTTP hook that decides who may publish and play"),
    key(Root, "events", TABLE, "", "{ url = \"http://127.0.0.1:8000/events\" }", "the receiver of events"),
    key(Root, "alarms", TABLE, "", "{ slack_url = \"https://hooks.slack.com/services/T0/B0/x\" }", "when alarms are raised, and where they are sent"),
    key(Root, "limits", TABLE, "", "{ ban_for = \"60s\" }", "limits on handshakes, sessions and streams of an address, and automatic bans"),
    key(Root, "api", TABLE, "", "{ listen = \"127.0.0.1:9980\" }", "HTTP API, metrics and console"),
    key(Root, "log", TABLE, "", "{ level = \"info\" }", "the log"),

    key(Gateway, "name", STR, "the host name", "\"gw1\"", "name of this gateway, shown to peers and in metrics"),
    key(Gateway, "control_socket", STR, "", "\"/run/srt-gateway.sock\"", "Unix socket for `srt-gateway status` and `rejections`; if empty, srt-gateway.sock in $XDG_RUNTIME_DIR or /run"),
    key(Gateway, "workers", INT, "0", "4", "number of relay threads; 0: one per core"),
    key(Gateway, "strict", BOOL, "true", "false", "refuse to start on an unpatched libsrt older than 1.5.6"),
    key(Gateway, "streamid_dialects", "list of \"standard\", \"plain\", \"slash\", \"colon\", \"sls\", \"srs\", \"comma\", \"url\", \"encoded\"", "all of them", "[\"standard\", \"plain\"]", "streamid formats to accept"),

    key(Srt, "latency", DURATION, "120", "200", "latency in both directions; the connection uses the larger of both peers' values").unit("ms"),
    key(Srt, "min_latency", DURATION, "0", "80", "raise a caller's latency to at least this value").unit("ms"),
    key(Srt, "max_latency", DURATION, "10000", "8000", "refuse callers that ask for more latency, with code 1400").unit("ms"),
    key(Srt, "passphrase", STR, "\"\"", "\"correct horse battery\"", "passphrase of 10 to 79 characters; empty: no encryption").secret(),
    key(Srt, "key_length", INT, "the caller's; 16 when the gateway calls", "32", "length of the AES key: 16, 24 or 32; a caller may announce a shorter one, which the log reports").unit("bytes"),
    key(Srt, "min_key_length", INT, "", "32", "refuse callers with a shorter AES key with code 1400: 16, 24 or 32").unit("bytes"),
    key(Srt, "crypto_mode", "\"auto\", \"ctr\" or \"gcm\"", "\"auto\"", "\"gcm\"", "cipher mode"),
    key(Srt, "enforcedencryption", BOOL, "true", "false", "refuse peers whose encryption settings differ"),
    key(Srt, "minversion", "version", "\"1.3.0\"", "\"1.4.4\"", "oldest SRT version to accept from a peer"),
    key(Srt, "version", "version", "", "\"1.5.7\"", "the only SRT version to accept from a peer"),
    key(Srt, "timeout", "duration, or -1", "-1", "30", "close a connection that carries no data in either direction for this long; -1: never").unit("s"),
    key(Srt, "first_data_timeout", DURATION, "10", "30", "close a publisher that connects and sends no data for this long; 0: never; applies to an input only if set there").unit("s"),
    key(Srt, "peer_idle_timeout", DURATION, "5", "10", "consider a connection lost after this long without any packet from the peer").unit("s"),
    key(Srt, "connect_timeout", DURATION, "0", "2", "timeout of an outgoing connection; 0: libsrt's default of 3 s").unit("s"),
    key(Srt, "linger", DURATION, "180", "5", "how long to keep sending unsent data when a connection closes; delays nothing else").unit("s"),
    key(Srt, "packetfilter", STR, "\"\"", "\"fec,cols:10,rows:5\"", "forward error correction, in the syntax of libsrt's packet filter"),
    key(Srt, "accept_packetfilter", STR, "\"\"", "\"20x20\"", "largest packet filter that a caller may request, as columns x rows, each up to 256; empty: none, or, if packetfilter is set, up to 64x64 for what it leaves open"),
    key(Srt, "groupconnect", BOOL, "false", "true", "accept bonded callers"),
    key(Srt, "max_bitrate", "bit rate", "0", "\"20M\"", "close a publisher whose average payload rate over 5 s exceeds this, with code 1402; 0: no limit").unit("b/s"),
    key(Srt, "resend_limit", INT, "100", "50", "limit of retransmission to a viewer, in percent of the stream (at least 1 Mb/s); a viewer that requests more for 10 s is disconnected (1402 in the rejections); 0: no limit").unit("%"),
    key(Srt, "allow", CIDRS, "[]", "[\"203.0.113.0/24\"]", "addresses that may connect; empty: all"),
    key(Srt, "deny", CIDRS, "[]", "[\"2001:db8::/32\"]", "addresses that may not connect; checked before allow"),
    key(Srt, "max_connections", INT, "0", "100", "maximum number of connections on this port; 0: no limit"),
    key(Srt, "shards", INT, "0", "2", "number of UDP sockets that share the port, each with its own libsrt receiving thread; 0: one. Use several for ports with thousands of viewers (docs/performance.md). A port with several sockets cannot change while the gateway runs"),
    key(Srt, "options", "table of SRTO_ options", "{}", "{ lossmaxttl = 40 }", "any other libsrt option, by name"),

    key(Port, "port", "port or address", "", "\"127.0.0.1:9998\"", "address and port to listen on; a port alone listens on all addresses, IPv4 and IPv6"),

    key(StreamSettings, "duplicate_publisher", "\"reject\", \"takeover\", \"takeover_if_silent\" or \"standby\"", "\"reject\"", "\"takeover_if_silent\"", "what to do with a second publisher; reject: refuse it with code 1409; takeover: replace the first publisher as soon as the second one sends; takeover_if_silent: take over only if the first is silent, else refuse; standby: keep it connected until the first leaves"),
    key(StreamSettings, "silent_after", DURATION, "\"1s\"", "\"3s\"", "a publisher counts as silent after this long without data (takeover_if_silent)").unit("s"),
    key(StreamSettings, "on_source_lost", DURATION, "\"10s\"", "\"30s\"", "how long viewers stay connected while the stream has no source; 0: close them at once").unit("s"),
    key(StreamSettings, "start_at", "\"keyframe\" or \"live\"", "\"keyframe\"", "\"live\"", "where a new viewer starts: at the last PAT, PMT and keyframe, or at the next packet"),
    key(StreamSettings, "ingest", "\"timed\" or \"immediate\"", "\"timed\"", "\"immediate\"", "when to relay data that arrives over SRT; timed: after the latency; immediate: as soon as it is complete and in order, which removes the latency of this leg and passes on the network's jitter (docs/performance.md)"),
    key(StreamSettings, "max_viewers", INT, "0", "50", "maximum number of viewers of the stream; 0: no limit"),
    key(StreamSettings, "ring", "size", "\"8MiB\"", "\"16MiB\"", "memory for the stream's history, which slow viewers and new viewers read from").unit("bytes"),

    key(Stream, "srt", TABLE, "", "{ port = 9001 }", "own port to publish and play on; m= is required, r= is optional"),
    key(Stream, "srt_publish", TABLE, "", "{ port = 9002 }", "own port to publish on; no streamid is needed"),
    key(Stream, "srt_play", TABLE, "", "{ port = 9003 }", "own port to play from; no streamid is needed"),
    key(Stream, "publish_passphrase", "string or list of strings", "\"\"", "\"publish secret\"", "passphrase of publishers of this stream, on every port except the stream's own ports that have a passphrase; list several to rotate them").secret(),
    key(Stream, "play_passphrase", "string or list of strings", "\"\"", "\"play secret phrase\"", "passphrase of viewers of this stream, on every port except the stream's own ports that have a passphrase").secret(),
    key(Stream, "password", STR, "\"\"", "\"letmein\"", "required as password= (or s=) in a publisher's streamid").secret(),
    key(Stream, "inputs", "list of URLs or tables", "[]", "[\"srt://encoder.example:9000\"]", "sources that the gateway connects to or listens for; it prefers the first one and keeps the others on standby").secret(),
    key(Stream, "failover", TABLE, "", "{ after = \"1s\" }", "when to switch inputs"),
    key(Stream, "on_demand", BOOL, "false", "true", "connect inputs only while the stream has viewers"),
    key(Stream, "expected_off", BOOL, "false", "true", "raise no alarms for the stream, for example because it is used only at times; the API and ctl can set the same for some time"),
    key(Stream, "outputs", "list of URLs or tables", "[]", "[\"udp://239.2.2.2:5000?ttl=4\"]", "destinations that the gateway sends the stream to").secret(),

    key(Template, "prefix", STR, "", "\"sports/\"", "the template applies to every stream whose name begins with this"),

    key(StreamsDefault, "accept_unknown", BOOL, "false", "true", "accept streams that have no table; otherwise refuse them with code 1404"),

    key(Failover, "after", DURATION, "\"1s\"", "\"2s\"", "switch to the next input after this long without data").unit("s"),
    key(Failover, "back", DURATION, "\"10s\"", "\"30s\"", "return to a preferred input after it has been healthy for this long").unit("s"),

    key(Endpoint, "url", "URL", "", "\"srt://backup.example:9000\"", "srt://, udp://, rtp:// or file:// URL").secret(),
    key(Endpoint, "name", STR, "its address", "\"CDN A\"", "name in the console, status, metrics, alerts and events; unique among the inputs, and among the outputs, of a stream"),
    key(Endpoint, "enabled", BOOL, "true", "false", "whether the gateway uses the input or output"),

    key(SrtEndpoint, "mode", "\"caller\", \"listener\" or \"rendezvous\"", "\"caller\"; without a host \"listener\"", "\"caller\"", "which side calls"),
    key(SrtEndpoint, "type", "\"broadcast\" or \"backup\"", "", "\"broadcast\"", "for srt://*, a bonded connection: send over all links at once, or over the working link with the greatest weight"),
    key(SrtEndpoint, "nodes", "list of links, or one string with commas", "", "[\"192.0.2.1:9000?weight=10\", \"198.51.100.1:9000\"]", "for srt://*: the links, each as HOST:PORT, optionally followed by ?weight=N&adapter=IP"),
    key(SrtEndpoint, "streamid", STR, "\"\"", "\"#!::r=cam1,m=request\"", "streamid to send to the listener").secret(),
    key(SrtEndpoint, "loop_detection", BOOL, "false", "true", "for a call to another srt-gateway: add the gateways that the stream has passed through to a standard streamid (a=, s=), so that each refuses its own streams. Other servers may refuse these keys, or read s= as a password"),
    key(SrtEndpoint, "adapter", "IP address", "", "\"192.0.2.1\"", "local address to send from, or to listen on"),
    key(SrtEndpoint, "localport", INT, "0", "9001", "local port to send from; 0: any"),
    key(SrtEndpoint, "pkt_size", INT, "", "1316", "largest message to send; longer ones are split between TS packets. Without it, messages keep their size unless the peer's packets are too small for them").unit("bytes"),
    key(SrtEndpoint, "transtype", "\"live\"", "\"live\"", "\"live\"", "accepted so that URLs written for other tools work"),

    key(UdpEndpoint, "interface", STR, "", "\"eth1\"", "network interface for multicast, by name or address"),
    key(UdpEndpoint, "ttl", INT, "1 for multicast, otherwise the system's", "4", "time to live of outgoing datagrams; 0, for multicast only, keeps them on this host"),
    key(UdpEndpoint, "pkt_size", INT, "1316", "1316", "largest payload of a datagram; each carries whole TS packets, fewer if the MTU of the route is smaller").unit("bytes"),
    key(UdpEndpoint, "sources", "IP address", "", "\"192.0.2.9\"", "accept datagrams from this sender only (source-specific multicast)"),
    key(UdpEndpoint, "buffer_size", "size", "\"2MiB\"", "\"4MiB\"", "size of the socket buffer").unit("bytes"),
    key(UdpEndpoint, "localaddr", "IP address", "", "\"192.0.2.1\"", "local address to send from"),
    key(UdpEndpoint, "iptos", INT, "0", "184", "type of service (IPv4) or traffic class (IPv6) of outgoing datagrams"),
    key(UdpEndpoint, "mcloop", BOOL, "true", "false", "whether this host receives the multicast datagrams that it sends"),

    key(FileEndpoint, "loop", BOOL, "false", "true", "start again at the end of an input file; packets are not changed, so decoders see clocks and counters jump at each start"),
    key(FileEndpoint, "segment", DURATION, "0", "\"10m\"", "duration of each file of an output; 0: a single file").unit("s"),
    key(FileEndpoint, "special", BOOL, "false", "true", "allow the path to be a FIFO or a device; otherwise, only a regular file is opened"),

    key(Listener, "ports", "range, or list of ports and ranges", "", "\"9100-9199\"", "the ports"),
    key(Listener, "address", "IP address", "", "\"192.0.2.1\"", "address to listen on; by default all, IPv4 and IPv6"),
    key(Listener, "mode", "\"publish\", \"play\" or \"any\"", "\"any\"", "\"publish\"", "what callers may do on these ports"),

    key(ConfigExternal, "url", "URL", "", "\"http://127.0.0.1:8000/srt\"", "URL to POST to on the first contact of a port").secret(),
    key(ConfigExternal, "timeout", DURATION, "\"2s\"", "\"1s\"", "timeout of a request").unit("s"),
    key(ConfigExternal, "cache", DURATION, "\"60s\"", "\"10s\"", "how long an answer or a refusal is valid").unit("s"),

    key(Rule, "stream", "pattern", "\"*\"", "\"live/*\"", "pattern of stream names; * matches any text"),
    key(Rule, "action", "\"publish\", \"play\" or \"any\"", "\"any\"", "\"publish\"", "the action that the rule allows"),
    key(Rule, "user", STR, "", "\"alice\"", "required as u= in the streamid"),
    key(Rule, "password", STR, "", "\"letmein\"", "required password, as plain text or as an argon2 PHC string").secret(),
    key(Rule, "allow", CIDRS, "[]", "[\"203.0.113.0/24\"]", "addresses that the rule applies to; empty: all"),

    key(Auth, "url", "URL", "", "\"http://127.0.0.1:8000/auth\"", "URL to POST to; 2xx admits, 401, 403, 404 and 409 refuse").secret(),
    key(Auth, "timeout", DURATION, "\"2s\"", "\"1s\"", "timeout of a request").unit("s"),
    key(Auth, "cache", TABLE, "", "{ allow = \"30s\" }", "how long answers are valid"),
    key(Auth, "fail", "\"closed\" or \"open\"", "\"closed\"", "\"open\"", "whether callers are refused (closed) or admitted (open) when the hook does not answer"),
    key(Auth, "secret", STR, "\"\"", "\"signing key\"", "key to sign requests with: X-Signature is the hex HMAC-SHA256 of the body").secret(),

    key(AuthCache, "allow", DURATION, "\"30s\"", "\"60s\"", "how long an admission is valid").unit("s"),
    key(AuthCache, "deny", DURATION, "\"10s\"", "\"5s\"", "how long a refusal is valid").unit("s"),

    key(Events, "url", "URL", "\"\"", "\"http://127.0.0.1:8000/events\"", "URL to POST lists of events to; empty: none").secret(),
    key(Events, "timeout", DURATION, "\"5s\"", "\"2s\"", "timeout of a request").unit("s"),
    key(Events, "secret", STR, "\"\"", "\"signing key\"", "key to sign requests with: X-Signature is the hex HMAC-SHA256 of the body").secret(),

    key(Alarms, "raise_after", DURATION, "\"10s\"", "\"30s\"", "how long something must be wrong before an alarm is raised").unit("s"),
    key(Alarms, "clear_after", DURATION, "\"30s\"", "\"2m\"", "how long it must be right again before the alarm is cleared").unit("s"),
    key(Alarms, "severity", "\"warning\" or \"critical\"", "\"warning\"", "\"critical\"", "least severe alarms to send to slack_url and mail"),
    key(Alarms, "slack_url", "URL", "\"\"", "\"https://hooks.slack.com/services/T0/B0/x\"", "webhook of Slack, or one that accepts the same JSON, to send alarms to; empty: none").secret(),
    key(Alarms, "mail", TABLE, "", "{ server = \"mail.example\", from = \"gateway@example.org\", to = [\"noc@example.org\"] }", "mail server and addresses to send alarms to"),

    key(Mail, "server", "host or host:port", "", "\"mail.example:587\"", "mail server (SMTP); by default on port 587, 465 or 25, depending on tls"),
    key(Mail, "tls", "\"starttls\", \"tls\" or \"none\"", "\"starttls\"", "\"tls\"", "encryption of the connection; starttls: required by STARTTLS; tls: from the start; none: no encryption, and no password"),
    key(Mail, "user", STR, "", "\"gateway\"", "user name to log in with; without it the gateway does not log in"),
    key(Mail, "password", STR, "\"\"", "\"mail password\"", "password of the user").secret(),
    key(Mail, "from", "mail address", "", "\"gateway@example.org\"", "sender"),
    key(Mail, "to", "mail address or list of them", "", "[\"noc@example.org\"]", "recipients"),

    key(Limits, "handshakes_per_second_per_ip", INT, "50", "20", "handshakes that an address may begin per second; checked before any other work; 0: no limit"),
    key(Limits, "ban_after_rejections", INT, "20", "10", "refused attempts within a minute after which an address is banned; 0: never"),
    key(Limits, "ban_for", DURATION, "\"60s\"", "\"5m\"", "duration of a ban").unit("s"),
    key(Limits, "max_sessions_per_ip", INT, "0", "200", "maximum number of sessions of an address; 0: no limit"),
    key(Limits, "max_created_streams", INT, "1000", "200", "maximum number of streams without a table (accept_unknown, templates) that callers have created; 0: no limit"),
    key(Limits, "max_created_streams_per_ip", INT, "100", "10", "the same for the streams that one address has created; 0: no limit"),

    key(Api, "listen", "port or address", "\"127.0.0.1:9980\"", "\"127.0.0.1:9980\"", "TCP address and port to listen on; empty: the API is off"),
    key(Api, "token", STR, "\"\"", "\"0123456789abcdef\"", "bearer token; required if listen is not a loopback address").secret(),
    key(Api, "tokens", "list of tables", "[]", "[{ token = \"fedcba9876543210\", scope = \"read\" }]", "further bearer tokens, each with its scope").secret(),
    key(Api, "file_folders", "list of paths", "[]", "[\"/var/lib/srt-gateway/files\"]", "folders below which definitions by the API and by config_external may use file://; empty: none"),
    key(Api, "hosts", "list of names", "[]", "[\"gateway.example\"]", "host names, besides localhost, that browsers may use without a token"),
    key(Api, "state", "path", "beside the configuration file", "\"/var/lib/srt-gateway/state.toml\"", "file that keeps what the API adds and changes; empty: nothing is kept"),
    key(Api, "audit_file", "path", "", "\"/var/lib/srt-gateway/audit.jsonl\"", "file to append the audit log to, one JSON object a line; without it the log is kept in memory only"),
    key(Api, "audit_file_size", "size", "\"10MiB\"", "\"100MiB\"", "size at which a new audit_file is begun; five older files are kept as audit_file.1 to audit_file.5").unit("bytes"),
    key(Api, "session_metrics", BOOL, "false", "true", "also export metrics for each session; this creates many series when many viewers come and go"),
    key(Api, "tls", TABLE, "", "{ cert = \"cert.pem\", key = \"key.pem\" }", "certificate and key for HTTPS"),

    key(ApiToken, "token", STR, "", "\"fedcba9876543210\"", "the token").secret(),
    key(ApiToken, "name", STR, "its place in the list", "\"night shift\"", "what its owner is called where it is recorded who did something, in bans say"),
    key(ApiToken, "scope", "\"read\", \"operate\" or \"admin\"", "\"read\"", "\"operate\"", "what the token permits; read: look; operate: also start, stop, switch, disconnect and ban; admin: everything"),

    key(Tls, "cert", "path", "", "\"cert.pem\"", "certificate chain, PEM"),
    key(Tls, "key", "path", "", "\"key.pem\"", "private key, PEM"),

    key(Log, "level", "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"", "\"info\"", "\"debug\"", "least severe level to log"),
    key(Log, "format", "\"text\" or \"json\"", "\"text\"", "\"json\"", "format of a log line"),
    ]
};
