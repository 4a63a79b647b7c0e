//! Every key of the configuration: its type, unit, default, meaning, an example. The one table behind the hints for
//! unknown keys and the reference in the documentation. A test keeps it equal to what the reader reads.

/// A kind of table of the configuration. Several tables may be of one kind: `[srt]` and `streams.*.srt` both are
/// [`Section::Port`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Section {
    /// The document itself.
    Root,
    /// `[gateway]`.
    Gateway,
    /// `[srt_defaults]`; its keys may stand in each [`Section::Port`] and [`Section::SrtEndpoint`] too.
    Srt,
    /// `[srt]`, `[srt_publish]`, `[srt_play]`, and the tables of these names in a stream.
    Port,
    /// What each stream has that no table names, and each stream may change.
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
    /// An entry whose URL is `srt://`; its keys are parameters of such a URL too.
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
    /// The kinds whose keys may stand in this one, itself included.
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
            Limits => &[Limits],
            Api => &[Api],
            ApiToken => &[ApiToken],
            Tls => &[Tls],
            Log => &[Log],
        }
    }

    /// How people write the table.
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
            Self::Limits => "[limits]",
            Self::Api => "[api]",
            Self::ApiToken => "an entry of tokens of [api]",
            Self::Tls => "tls of [api]",
            Self::Log => "[log]",
        }
    }
}

/// What there is to know of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyDoc {
    /// The kind of table that it stands in.
    pub section: Section,
    /// Its name.
    pub name: &'static str,
    /// Its type, in words.
    pub kind: &'static str,
    /// The unit of a bare number; empty without one.
    pub unit: &'static str,
    /// What holds without it, as TOML; empty if nothing does.
    pub default: &'static str,
    /// A value, as TOML.
    pub example: &'static str,
    /// What it means, in one line.
    pub doc: &'static str,
    /// Whether its value must not be shown.
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

/// The keys that may stand in a table of kind `section`.
pub(crate) fn of(section: Section) -> impl Iterator<Item = &'static KeyDoc> {
    KEYS.iter()
        .filter(move |key| section.family().contains(&key.section))
}

/// Names that other products have for our keys.
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
    key(Root, "gateway", TABLE, "", "{ name = \"gw1\" }", "the gateway itself"),
    key(Root, "srt", TABLE, "", "{ port = 9998 }", "global port to publish and play on: the streamid must carry r= and m="),
    key(Root, "srt_publish", TABLE, "", "{ port = 9997 }", "global port to publish on: the streamid must carry r="),
    key(Root, "srt_play", TABLE, "", "{ port = 9996 }", "global port to play from: the streamid must carry r="),
    key(Root, "srt_defaults", TABLE, "", "{ latency = 200 }", "defaults of all srt, srt_publish and srt_play tables"),
    key(Root, "streams", "table of tables", "", "{ cam1 = { srt = { port = 9001 } } }", "the streams, by name"),
    key(Root, "templates", "table of tables", "", "{ sports = { prefix = \"sports/\" } }", "settings of every stream whose name begins with a prefix"),
    key(Root, "streams_default", TABLE, "", "{ accept_unknown = true }", "what holds for streams, named in a table or not"),
    key(Root, "listeners", "list of tables", "", "[{ ports = \"9100-9199\", mode = \"publish\" }]", "ports that a backend configures on first contact"),
    key(Root, "config_external", TABLE, "", "{ url = \"http://127.0.0.1:8000/srt\" }", "the backend that configures the ports of listeners"),
    key(Root, "rules", "list of tables", "", "[{ stream = \"live/*\" }]", "who may publish and play; asked before the hook"),
    key(Root, "auth", TABLE, "", "{ url = \"http://127.0.0.1:8000/auth\" }", "the hook that decides who may publish and play"),
    key(Root, "events", TABLE, "", "{ url = \"http://127.0.0.1:8000/events\" }", "where events are posted"),
    key(Root, "limits", TABLE, "", "{ ban_for = \"60s\" }", "protection against floods of handshakes"),
    key(Root, "api", TABLE, "", "{ listen = \"127.0.0.1:9980\" }", "HTTP: API, metrics, console"),
    key(Root, "log", TABLE, "", "{ level = \"info\" }", "the log"),

    key(Gateway, "name", STR, "the host name", "\"gw1\"", "shown to peers and in metrics"),
    key(Gateway, "control_socket", STR, "", "\"/run/srt-gateway.sock\"", "Unix socket for `srt-gateway status` and `rejections`; empty: srt-gateway.sock in $XDG_RUNTIME_DIR or /run"),
    key(Gateway, "workers", INT, "0", "4", "relay worker threads; 0: one per core"),
    key(Gateway, "strict", BOOL, "true", "false", "refuse to start on a libsrt older than 1.5.6 that is not patched"),
    key(Gateway, "streamid_dialects", "list of \"standard\", \"plain\", \"slash\", \"colon\", \"sls\", \"srs\", \"url\", \"encoded\"", "all of them", "[\"standard\", \"plain\"]", "ways of writing a streamid that are understood"),

    key(Srt, "latency", DURATION, "120", "200", "delay, both directions; the larger of both sides' offers counts").unit("ms"),
    key(Srt, "min_latency", DURATION, "0", "80", "a caller's offer is raised to this").unit("ms"),
    key(Srt, "max_latency", DURATION, "10000", "8000", "a caller's offer above this is refused with code 1400").unit("ms"),
    key(Srt, "passphrase", STR, "\"\"", "\"correct horse battery\"", "10 to 79 characters; empty: no encryption").secret(),
    key(Srt, "key_length", INT, "the caller's; 16 when the gateway calls", "32", "length of the AES key: 16, 24 or 32; a caller may announce a shorter one, which the log reports").unit("bytes"),
    key(Srt, "min_key_length", INT, "", "32", "callers with a shorter AES key are refused with code 1400: 16, 24 or 32").unit("bytes"),
    key(Srt, "crypto_mode", "\"auto\", \"ctr\" or \"gcm\"", "\"auto\"", "\"gcm\"", "the cipher mode"),
    key(Srt, "enforcedencryption", BOOL, "true", "false", "both sides must agree on encryption"),
    key(Srt, "minversion", "version", "\"1.3.0\"", "\"1.4.4\"", "oldest SRT version that a peer may have"),
    key(Srt, "version", "version", "", "\"1.5.7\"", "exactly this SRT version is required of the peer"),
    key(Srt, "timeout", "duration, or -1", "-1", "30", "time without data, either way, after which the connection is closed; -1: never").unit("s"),
    key(Srt, "first_data_timeout", DURATION, "10", "30", "a publisher that connects and sends nothing for this long is closed; 0: never; not for inputs, unless it stands there").unit("s"),
    key(Srt, "peer_idle_timeout", DURATION, "5", "10", "time without any packet from the peer, after which the connection is lost").unit("s"),
    key(Srt, "connect_timeout", DURATION, "0", "2", "for an outgoing connection; 0: 3 s, as libsrt has it").unit("s"),
    key(Srt, "linger", DURATION, "180", "5", "time that unsent data is waited for on close; holds up nothing else").unit("s"),
    key(Srt, "packetfilter", STR, "\"\"", "\"fec,cols:10,rows:5\"", "forward error correction, as libsrt's packet filter writes it"),
    key(Srt, "accept_packetfilter", STR, "\"\"", "\"20x20\"", "largest packet filter that a caller may bring, columns x rows, each up to 256; empty: none, or where packetfilter is set what that leaves open, up to 64x64"),
    key(Srt, "groupconnect", BOOL, "false", "true", "accept bonded callers"),
    key(Srt, "max_bitrate", "bit rate", "0", "\"20M\"", "a publisher whose payload is above it, on average over 5 s, is closed (1402 in the rejections); 0: any").unit("b/s"),
    key(Srt, "resend_limit", INT, "100", "50", "how much is sent to a viewer again at most, in percent of the stream (at least 1 Mb/s); a viewer that asks for more for 10 s is closed (1402 in the rejections); 0: any amount").unit("%"),
    key(Srt, "allow", CIDRS, "[]", "[\"203.0.113.0/24\"]", "who may connect; empty: everyone"),
    key(Srt, "deny", CIDRS, "[]", "[\"2001:db8::/32\"]", "who may not connect; asked before allow"),
    key(Srt, "max_connections", INT, "0", "100", "connections of this port; 0: no limit"),
    key(Srt, "shards", INT, "0", "2", "UDP sockets, each with a receiving thread of libsrt, that share the port; 0: one. For ports with thousands of viewers (docs/performance.md). A port with several cannot change while the gateway runs"),
    key(Srt, "options", "table of SRTO_ options", "{}", "{ lossmaxttl = 40 }", "any other option of libsrt, by its name"),

    key(Port, "port", "port or address", "", "\"127.0.0.1:9998\"", "where to listen; a port alone: on all addresses, IPv4 and IPv6"),

    key(StreamSettings, "duplicate_publisher", "\"reject\", \"takeover\", \"takeover_if_silent\" or \"standby\"", "\"reject\"", "\"takeover_if_silent\"", "what becomes of a second publisher; reject: refused with code 1409; takeover: it replaces the first as soon as it sends; takeover_if_silent: only if the first is silent, else 1409; standby: it waits for its turn"),
    key(StreamSettings, "silent_after", DURATION, "\"1s\"", "\"3s\"", "a publisher that has sent nothing for this long is silent (takeover_if_silent)").unit("s"),
    key(StreamSettings, "on_source_lost", DURATION, "\"10s\"", "\"30s\"", "viewers are held this long for a source to come back; 0: closed at once").unit("s"),
    key(StreamSettings, "start_at", "\"keyframe\" or \"live\"", "\"keyframe\"", "\"live\"", "where a new viewer starts: at the last PAT/PMT and keyframe, or at the next packet"),
    key(StreamSettings, "ingest", "\"timed\" or \"immediate\"", "\"timed\"", "\"immediate\"", "when what arrives over SRT goes on to viewers; timed: a latency after it was sent; immediate: as soon as it is there in order, so that the latency of this leg is not added; what the network does to its pace is passed on (docs/performance.md)"),
    key(StreamSettings, "max_viewers", INT, "0", "50", "viewers of the stream; 0: no limit"),
    key(StreamSettings, "ring", "size", "\"8MiB\"", "\"16MiB\"", "history kept for slow viewers and for starting at a keyframe").unit("bytes"),

    key(Stream, "srt", TABLE, "", "{ port = 9001 }", "own port to publish and play on: m= needed, r= optional"),
    key(Stream, "srt_publish", TABLE, "", "{ port = 9002 }", "own port to publish on: no streamid needed"),
    key(Stream, "srt_play", TABLE, "", "{ port = 9003 }", "own port to play from: no streamid needed"),
    key(Stream, "publish_passphrase", "string or list of strings", "\"\"", "\"publish secret\"", "for publishers of this stream, on every port but its own ones with a passphrase; several are valid while they are rotated").secret(),
    key(Stream, "play_passphrase", "string or list of strings", "\"\"", "\"play secret phrase\"", "for viewers of this stream, on every port but its own ones with a passphrase").secret(),
    key(Stream, "password", STR, "\"\"", "\"letmein\"", "password= (or s=) in a publisher's streamid must match").secret(),
    key(Stream, "inputs", "list of URLs or tables", "[]", "[\"srt://encoder.example:9000\"]", "sources that we call, or receive from; the first is preferred, the others stand by").secret(),
    key(Stream, "failover", TABLE, "", "{ after = \"1s\" }", "when to change inputs"),
    key(Stream, "on_demand", BOOL, "false", "true", "connect inputs only while someone watches"),
    key(Stream, "outputs", "list of URLs or tables", "[]", "[\"udp://239.2.2.2:5000?ttl=4\"]", "where the stream is sent to").secret(),

    key(Template, "prefix", STR, "", "\"sports/\"", "the streams that it is for: all whose names begin so"),

    key(StreamsDefault, "accept_unknown", BOOL, "false", "true", "whether a stream named in no table is accepted; else refused with code 1404"),

    key(Failover, "after", DURATION, "\"1s\"", "\"2s\"", "time without data, after which the next input is taken").unit("s"),
    key(Failover, "back", DURATION, "\"10s\"", "\"30s\"", "time that a preferred input must be healthy before it is taken again").unit("s"),

    key(Endpoint, "url", "URL", "", "\"srt://backup.example:9000\"", "srt://, udp://, rtp:// or file://").secret(),
    key(Endpoint, "enabled", BOOL, "true", "false", "whether it is used"),

    key(SrtEndpoint, "mode", "\"caller\", \"listener\" or \"rendezvous\"", "\"caller\"; without a host \"listener\"", "\"caller\"", "who calls"),
    key(SrtEndpoint, "type", "\"broadcast\" or \"backup\"", "", "\"broadcast\"", "of srt://*, a bonded connection: over all links at once, or over the one of the greatest weight that works"),
    key(SrtEndpoint, "nodes", "list of links, or one string with commas", "", "[\"192.0.2.1:9000?weight=10\", \"198.51.100.1:9000\"]", "of srt://*: the links, each HOST:PORT with ?weight=N&adapter=IP behind it where wanted"),
    key(SrtEndpoint, "streamid", STR, "\"\"", "\"#!::r=cam1,m=request\"", "sent to the listener").secret(),
    key(SrtEndpoint, "adapter", "IP address", "", "\"192.0.2.1\"", "local address to send from, or to listen on"),
    key(SrtEndpoint, "localport", INT, "0", "9001", "local port to send from; 0: any"),
    key(SrtEndpoint, "pkt_size", INT, "", "1316", "longer messages of an output are cut into pieces of this size; without it they go out as they came").unit("bytes"),
    key(SrtEndpoint, "transtype", "\"live\"", "\"live\"", "\"live\"", "accepted for URLs made for other tools"),

    key(UdpEndpoint, "interface", STR, "", "\"eth1\"", "network interface of a multicast group, by name or address"),
    key(UdpEndpoint, "ttl", INT, "1", "4", "time to live of multicast datagrams"),
    key(UdpEndpoint, "pkt_size", INT, "1316", "1316", "payload of a datagram").unit("bytes"),
    key(UdpEndpoint, "sources", "IP address", "", "\"192.0.2.9\"", "only from this sender (source-specific multicast)"),
    key(UdpEndpoint, "buffer_size", "size", "\"2MiB\"", "\"4MiB\"", "of the socket").unit("bytes"),
    key(UdpEndpoint, "localaddr", "IP address", "", "\"192.0.2.1\"", "local address to send from"),
    key(UdpEndpoint, "iptos", INT, "0", "184", "type of service (IPv4) or traffic class (IPv6) of what is sent"),
    key(UdpEndpoint, "mcloop", BOOL, "true", "false", "whether this host gets the multicast datagrams that it sends"),

    key(FileEndpoint, "loop", BOOL, "false", "true", "begin again at the end of an input"),
    key(FileEndpoint, "segment", DURATION, "0", "\"10m\"", "length of a file of an output; 0: one file").unit("s"),
    key(FileEndpoint, "special", BOOL, "false", "true", "the path may be a FIFO or a device; otherwise only a regular file is opened"),

    key(Listener, "ports", "range, or list of ports and ranges", "", "\"9100-9199\"", "the ports"),
    key(Listener, "address", "IP address", "", "\"192.0.2.1\"", "listen on this address alone; else on all, IPv4 and IPv6"),
    key(Listener, "mode", "\"publish\", \"play\" or \"any\"", "\"any\"", "\"publish\"", "what they are for"),

    key(ConfigExternal, "url", "URL", "", "\"http://127.0.0.1:8000/srt\"", "asked with POST on the first contact of a port").secret(),
    key(ConfigExternal, "timeout", DURATION, "\"2s\"", "\"1s\"", "of a question").unit("s"),
    key(ConfigExternal, "cache", DURATION, "\"60s\"", "\"10s\"", "how long an answer, or a refusal, holds").unit("s"),

    key(Rule, "stream", "pattern", "\"*\"", "\"live/*\"", "the streams that it is about; * is any text"),
    key(Rule, "action", "\"publish\", \"play\" or \"any\"", "\"any\"", "\"publish\"", "what it allows"),
    key(Rule, "user", STR, "", "\"alice\"", "u= in the streamid must match"),
    key(Rule, "password", STR, "", "\"letmein\"", "plain text, or an argon2 PHC string").secret(),
    key(Rule, "allow", CIDRS, "[]", "[\"203.0.113.0/24\"]", "from where; empty: from anywhere"),

    key(Auth, "url", "URL", "", "\"http://127.0.0.1:8000/auth\"", "asked with POST; 2xx admits, 401, 403, 404 and 409 refuse").secret(),
    key(Auth, "timeout", DURATION, "\"2s\"", "\"1s\"", "of a question").unit("s"),
    key(Auth, "cache", TABLE, "", "{ allow = \"30s\" }", "how long answers hold"),
    key(Auth, "fail", "\"closed\" or \"open\"", "\"closed\"", "\"open\"", "what a hook that does not answer means"),
    key(Auth, "secret", STR, "\"\"", "\"signing key\"", "signs each call: X-Signature is the hex HMAC-SHA256 of the body").secret(),

    key(AuthCache, "allow", DURATION, "\"30s\"", "\"60s\"", "how long an admission holds").unit("s"),
    key(AuthCache, "deny", DURATION, "\"10s\"", "\"5s\"", "how long a refusal holds").unit("s"),

    key(Events, "url", "URL", "\"\"", "\"http://127.0.0.1:8000/events\"", "gets what happens, with POST, as lists of events; empty: nothing is posted").secret(),
    key(Events, "timeout", DURATION, "\"5s\"", "\"2s\"", "of a post").unit("s"),
    key(Events, "secret", STR, "\"\"", "\"signing key\"", "signs each post: X-Signature is the hex HMAC-SHA256 of the body").secret(),

    key(Limits, "handshakes_per_second_per_ip", INT, "50", "20", "before any work is done for them; 0: no limit"),
    key(Limits, "ban_after_rejections", INT, "20", "10", "within a minute; 0: never"),
    key(Limits, "ban_for", DURATION, "\"60s\"", "\"5m\"", "length of a ban").unit("s"),

    key(Api, "listen", "port or address", "\"127.0.0.1:9980\"", "\"127.0.0.1:9980\"", "where to listen (TCP); empty: nowhere"),
    key(Api, "token", STR, "\"\"", "\"0123456789abcdef\"", "bearer token; needed when listen is not loopback").secret(),
    key(Api, "tokens", "list of tables", "[]", "[{ token = \"fedcba9876543210\", scope = \"read\" }]", "further bearer tokens, each with what it allows").secret(),
    key(Api, "file_folders", "list of paths", "[]", "[\"/var/lib/srt-gateway/files\"]", "folders below which definitions by the API and by config_external may use file://; none: nowhere"),
    key(Api, "hosts", "list of names", "[]", "[\"gateway.example\"]", "names by which browsers may reach it without a token, beside localhost"),
    key(Api, "state", "path", "beside the configuration file", "\"/var/lib/srt-gateway/state.toml\"", "where is kept what the API adds and changes; empty: nowhere"),
    key(Api, "session_metrics", BOOL, "false", "true", "/metrics has the figures of each session too: many series where many viewers come and go"),
    key(Api, "tls", TABLE, "", "{ cert = \"cert.pem\", key = \"key.pem\" }", "serve HTTPS"),

    key(ApiToken, "token", STR, "", "\"fedcba9876543210\"", "the token").secret(),
    key(ApiToken, "name", STR, "its place in the list", "\"night shift\"", "what its owner is called where it is recorded who did something, in bans say"),
    key(ApiToken, "scope", "\"read\", \"operate\" or \"admin\"", "\"read\"", "\"operate\"", "what it allows: to look; to start, stop, switch, kick and ban; everything"),

    key(Tls, "cert", "path", "", "\"cert.pem\"", "certificate chain, PEM"),
    key(Tls, "key", "path", "", "\"key.pem\"", "private key, PEM"),

    key(Log, "level", "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"", "\"info\"", "\"debug\"", "least important lines that are written"),
    key(Log, "format", "\"text\" or \"json\"", "\"text\"", "\"json\"", "of a line"),
    ]
};
