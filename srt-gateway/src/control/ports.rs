//! Opens the listening ports: converts settings of the configuration into libsrt options.

use std::{
    fmt, io,
    net::{SocketAddr, UdpSocket},
    num::NonZeroU16,
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwap;
use crossbeam_channel::Sender;
use srt_safe::{
    AccessRequest, CryptoMode, Interest, Ipv6Only, KeyLength, OptionValue, Options, PacketFilter, Passphrase,
    SrtListener, SrtVersion,
};

use super::shards;
use crate::{
    access::{Accepts, Directory, FilterPolicy, Gate, Guards, PortPolicy, Recheck, Refused, Scope},
    config::{self, FilterSize, ListenAddr, PortKind, PortOwner, SrtPort, SrtSettings},
    data::Slots,
    io::Watch,
    names::{SessionLimits, StreamName},
};

const IN_USE: &str = "another program uses this UDP port: choose another one, or stop that program";

/// The listen backlog: connections that libsrt holds until control accepts them.
const BACKLOG: NonZeroU16 = NonZeroU16::new(1024).unwrap();

/// An open port.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) listener: SrtListener,
    pub(crate) gate: Arc<Gate>,
    /// The bound address, in case the configuration leaves the port open.
    pub(crate) addr: SocketAddr,
    pub(crate) key: PortKey,
}

/// Why a port could not be opened.
#[derive(Debug)]
pub struct PortError {
    port: String,
    addr: String,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Options(String),
    /// The failure of one of several sockets that share the port.
    Socket(io::Error),
    Srt(srt_safe::Error),
}

impl From<srt_safe::Error> for Cause {
    fn from(error: srt_safe::Error) -> Self {
        Self::Srt(error)
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {} for {}: ", self.addr, self.port)?;
        match &self.cause {
            Cause::Options(why) => f.write_str(why),
            Cause::Socket(error) if error.kind() == io::ErrorKind::AddrInUse => {
                write!(f, "{error}; {IN_USE}")
            }
            Cause::Socket(error) => error.fmt(f),
            Cause::Srt(error) if error.kind() == srt_safe::ErrorKind::AddressInUse => {
                write!(f, "{error}; {IN_USE}")
            }
            Cause::Srt(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PortError {}

/// Opens all configured ports and watches them. Fails on the first port that cannot be opened.
pub(crate) fn open_ports(config: &config::Config, opener: &Opener) -> Result<Vec<Port>, PortError> {
    let mut ports = Vec::new();
    for (owner, port) in config.srt_ports() {
        ports.extend(opener.open(&PortKey::new(owner, port), port, &Arc::default())?);
    }
    Ok(ports)
}

/// What is needed to open a port at any time.
#[derive(Debug)]
pub(crate) struct Opener {
    pub(crate) directory: Arc<ArcSwap<Directory>>,
    pub(crate) refused: Sender<Refused>,
    pub(crate) watch: Watch,
    pub(crate) guards: Guards,
}

impl Opener {
    /// Opens a port on each of its addresses and watches it. `connections` counts its sessions, including those of an
    /// earlier opening of the same port.
    pub(crate) fn open(
        &self,
        key: &PortKey,
        port: &SrtPort,
        connections: &Arc<Slots>,
    ) -> Result<Vec<Port>, PortError> {
        let mut ports = Vec::new();
        for addr in socket_addrs(key, port)? {
            let mut policy = policy(key.owner.scope(), port, addr);
            policy.connections = Arc::clone(connections);
            let policy = Arc::new(policy);
            let gate = Gate::new(
                Arc::clone(&policy),
                Arc::clone(&self.directory),
                self.refused.clone(),
                self.guards.clone(),
            );
            match self.open_shards(&gate, addr, &port.settings) {
                Ok(shards) => ports.extend(shards.into_iter().map(|(listener, addr)| Port {
                    listener,
                    gate: Arc::clone(&gate),
                    addr,
                    key: key.clone(),
                })),
                // On a host without IPv6, all addresses are IPv4.
                Err(Cause::Srt(error)) if port.listen.ip().is_none() && addr.is_ipv6() && no_ipv6(&error) => {
                }
                Err(cause) => {
                    ports.into_iter().for_each(|port| self.close(port));
                    return Err(PortError {
                        port: policy.to_string(),
                        addr: addr.to_string(),
                        cause,
                    });
                }
            }
        }
        Ok(ports)
    }

    /// Opens the listeners of one address: one, unless several sockets share the port.
    fn open_shards(
        &self,
        gate: &Arc<Gate>,
        addr: SocketAddr,
        settings: &SrtSettings,
    ) -> Result<Vec<(SrtListener, SocketAddr)>, Cause> {
        let places = match settings.shards {
            Some(count) if count.get() > 1 => shards::bind(addr, count)
                .map_err(Cause::Socket)?
                .into_iter()
                .map(BindTo::Bound)
                .collect(),
            _ => vec![BindTo::Addr(addr)],
        };
        let mut opened = Vec::new();
        for bind_to in places {
            match open(gate, bind_to, settings, &self.watch) {
                Ok(one) => opened.push(one),
                Err(cause) => {
                    for (listener, _) in opened {
                        self.watch.remove(&listener);
                    }
                    return Err(cause);
                }
            }
        }
        Ok(opened)
    }

    /// Opens a port on a UDP socket that is already bound.
    pub(super) fn open_on(
        &self,
        socket: UdpSocket,
        key: &PortKey,
        port: &SrtPort,
        recheck: Arc<Recheck>,
    ) -> Result<Port, PortError> {
        let addr = socket_addrs(key, port)?[0];
        let mut policy = policy(key.owner.scope(), port, addr);
        policy.recheck = Some(recheck);
        let policy = Arc::new(policy);
        let gate = Gate::new(
            Arc::clone(&policy),
            Arc::clone(&self.directory),
            self.refused.clone(),
            self.guards.clone(),
        );
        match open(&gate, BindTo::Bound(socket), &port.settings, &self.watch) {
            Ok((listener, addr)) => Ok(Port {
                listener,
                gate,
                addr,
                key: key.clone(),
            }),
            Err(cause) => Err(PortError {
                port: policy.to_string(),
                addr: addr.to_string(),
                cause,
            }),
        }
    }

    /// Closes a port to new callers. Existing sessions continue.
    pub(crate) fn close(&self, port: Port) {
        self.watch.remove(&port.listener);
        if let Err(error) = port.listener.close() {
            tracing::debug!(%error, "closing a listener");
        }
    }
}

/// Identifies a port across configurations: its owner, its kind and its address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PortKey {
    owner: Owner,
    kind: PortKind,
    listen: ListenAddr,
}

/// The table that opens a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Owner {
    Global,
    Stream(StreamName),
    Template(StreamName),
    /// A backend's answer about a port of `[[listeners]]`, which assigned this stream.
    Range(StreamName),
}

impl PortKey {
    /// The key of a port of `[[listeners]]` that a backend has assigned to a stream.
    pub(super) fn of_range(stream: &StreamName, port: &SrtPort) -> Self {
        Self {
            owner: Owner::Range(stream.clone()),
            kind: port.kind,
            listen: port.listen,
        }
    }

    pub(crate) fn new(owner: PortOwner<'_>, port: &SrtPort) -> Self {
        Self {
            owner: Owner::of(owner),
            kind: port.kind,
            listen: port.listen,
        }
    }
}

impl Owner {
    fn of(owner: PortOwner<'_>) -> Self {
        match owner {
            PortOwner::Global => Self::Global,
            PortOwner::Stream(name) => Self::Stream(StreamName::new(name)),
            PortOwner::Template(name) => Self::Template(StreamName::new(name)),
        }
    }

    fn scope(&self) -> Scope {
        match self {
            Self::Stream(name) | Self::Range(name) => Scope::Stream(name.clone()),
            Self::Template(name) => Scope::Template(name.clone()),
            Self::Global => Scope::Global,
        }
    }
}

impl fmt::Display for PortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} port {}", self.kind.key(), self.listen)?;
        match &self.owner {
            Owner::Global => Ok(()),
            Owner::Stream(name) | Owner::Range(name) => write!(f, " of {name}"),
            Owner::Template(name) => write!(f, " of template {name}"),
        }
    }
}

/// A port that the gateway listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Publish, play or both.
    pub kind: PortKind,
    /// The streams that it serves.
    pub scope: Scope,
    /// The bound address.
    pub addr: SocketAddr,
}

impl Listening {
    pub(super) fn of(port: &Port) -> Self {
        let policy = port.gate.port();
        Self {
            kind: policy.kind,
            scope: policy.scope.clone(),
            addr: port.addr,
        }
    }
}

fn socket_addrs(key: &PortKey, port: &SrtPort) -> Result<Vec<SocketAddr>, PortError> {
    port.listen.socket_addrs().map_err(|error| PortError {
        port: key.to_string(),
        addr: port.listen.to_string(),
        cause: Cause::Socket(error),
    })
}

fn no_ipv6(error: &srt_safe::Error) -> bool {
    // EAFNOSUPPORT and EADDRNOTAVAIL of Linux.
    matches!(error.os_errno(), Some(97 | 99))
}

/// What a listener binds to.
enum BindTo {
    Addr(SocketAddr),
    /// A socket that is already bound.
    Bound(UdpSocket),
}

fn open(
    gate: &Arc<Gate>,
    bind_to: BindTo,
    settings: &SrtSettings,
    watch: &Watch,
) -> Result<(SrtListener, SocketAddr), Cause> {
    let gate = Arc::clone(gate);
    let bound = &Arc::clone(gate.port()).bound;
    let decide = move |request: &AccessRequest<'_>| gate.authorize(request);
    let options = match bind_to {
        BindTo::Addr(addr) => options(settings, addr),
        BindTo::Bound(_) => srt_options(settings)
            .map(|options| options.group_connect(settings.group_connect || gate_sees_groups())),
    };
    let builder = SrtListener::builder()
        .options(options.map_err(Cause::Options)?)
        .backlog(BACKLOG)
        .access_control(decide)
        .nonblocking();
    let listener = match bind_to {
        BindTo::Addr(addr) => builder.bind(addr)?,
        BindTo::Bound(socket) => {
            super::dual_stack::mark(&socket, settings).map_err(Cause::Socket)?;
            builder.bind_udp(socket)?
        }
    };
    watch.add(&listener, Interest::READABLE)?;
    let addr = listener.local_addr()?;
    // Set once: the cell is empty.
    bound.set(addr).unwrap_or_default();
    Ok((listener, addr))
}

/// The access scope of a port.
pub(crate) fn scope(owner: PortOwner<'_>) -> Scope {
    Owner::of(owner).scope()
}

/// The access policy of a port.
pub(crate) fn policy(scope: Scope, port: &SrtPort, addr: SocketAddr) -> PortPolicy {
    policy_of(Accepts::Callers, scope, port.kind, &port.settings, addr)
}

/// The access policy of a listening input or output, which serves one peer.
pub(super) fn peer_policy(
    stream: StreamName,
    kind: PortKind,
    settings: &SrtSettings,
    addr: SocketAddr,
) -> PortPolicy {
    let accepts = Accepts::Peer(stream.clone());
    PortPolicy {
        max_connections: 1,
        ..policy_of(accepts, Scope::Stream(stream), kind, settings, addr)
    }
}

fn policy_of(
    accepts: Accepts,
    scope: Scope,
    kind: PortKind,
    settings: &SrtSettings,
    addr: SocketAddr,
) -> PortPolicy {
    // A listening input or output has exactly one peer.
    let takes_groups = settings.group_connect && matches!(accepts, Accepts::Callers);
    // libsrt takes these from the port's options and requires the same of callers.
    let sets_mode = |name: &String| matches!(name.as_str(), "transtype" | "messageapi" | "congestion");
    PortPolicy {
        accepts,
        scope,
        kind,
        addr,
        bound: OnceLock::new(),
        passphrase: settings.passphrase.as_ref().map(passphrase),
        max_latency: settings.max_latency,
        key_bits: settings.key_length.map_or(0, config::KeyLength::bits),
        min_key_bits: settings.min_key_length.map_or(0, config::KeyLength::bits),
        min_version: SrtVersion::from_number(settings.min_version.to_libsrt()),
        version: settings
            .version
            .map(|version| SrtVersion::from_number(version.to_libsrt())),
        limits: limits(settings),
        allow: settings.allow.clone(),
        deny: settings.deny.clone(),
        max_connections: settings.max_connections.map_or(0, std::num::NonZeroU32::get),
        connections: Arc::default(),
        filter: filter_policy(settings),
        is_live: !settings.options.keys().any(sets_mode),
        takes_groups,
        recheck: None,
    }
}

fn filter_policy(settings: &SrtSettings) -> FilterPolicy {
    let own = settings.packet_filter.as_deref();
    let own = own.and_then(|filter| filter.parse::<PacketFilter>().ok());
    let open = own.map(|_| FilterSize::STANDARD);
    FilterPolicy {
        own,
        largest: settings.accept_packet_filter.or(open),
    }
}

/// The limits of sessions with these settings.
pub(crate) fn limits(settings: &SrtSettings) -> SessionLimits {
    SessionLimits {
        max_bitrate: settings.max_bitrate,
        first_data: settings.first_data_timeout,
        // An explicit libsrt limit takes precedence.
        resend_percent: settings
            .resend_limit
            .filter(|_| !settings.options.contains_key("maxrexmitbw")),
        silence: settings.timeout,
    }
}

/// Converts a passphrase of the configuration, whose length was checked there.
pub(crate) fn passphrase(secret: &config::Secret) -> Passphrase {
    Passphrase::new(secret.expose()).expect("the configuration checked its length")
}

/// The libsrt options of a port, which its connections inherit.
fn options(settings: &SrtSettings, addr: SocketAddr) -> Result<Options, String> {
    let options = srt_options(settings)?.group_connect(settings.group_connect || gate_sees_groups());
    // Another listener serves the IPv4 addresses; libsrt requires this option for a wildcard address.
    Ok(if addr.is_ipv6() {
        options.ipv6_only(Ipv6Only::Yes)
    } else {
        options
    })
}

/// Whether the gate can tell that a caller is bonded. If so, libsrt may pass all bonded callers to the gate, because
/// callers that libsrt rejects by itself leave no record.
pub(super) fn gate_sees_groups() -> bool {
    let mut edits = srt_safe::library_edits().split(',');
    edits.any(|edit| edit.trim() == "handshake-view")
}

/// The libsrt options of a port, input or output with these settings.
pub(crate) fn srt_options(settings: &SrtSettings) -> Result<Options, String> {
    let mut options = Options::new()
        .latency(settings.latency.max(settings.min_latency))
        // Messages are relayed unchanged, so any message that fits a packet must be accepted.
        .payload_size(0)
        .key_length(match settings.key_length {
            None => KeyLength::Auto,
            Some(config::KeyLength::Aes128) => KeyLength::Aes128,
            Some(config::KeyLength::Aes192) => KeyLength::Aes192,
            Some(config::KeyLength::Aes256) => KeyLength::Aes256,
        })
        .crypto_mode(match settings.crypto_mode {
            config::CryptoMode::Auto => CryptoMode::Auto,
            config::CryptoMode::Ctr => CryptoMode::Ctr,
            config::CryptoMode::Gcm => CryptoMode::Gcm,
        })
        .enforced_encryption(settings.enforced_encryption)
        .min_version(SrtVersion::from_number(settings.min_version.to_libsrt()))
        .peer_idle_timeout(settings.peer_idle_timeout)
        .linger(settings.linger);
    if let Some(secret) = &settings.passphrase {
        options = options.passphrase(passphrase(secret));
    }
    if let Some(filter) = &settings.packet_filter {
        options = options.packet_filter(
            filter
                .parse::<PacketFilter>()
                .map_err(|error| format!("packetfilter: {error}"))?,
        );
    }
    for (name, option) in &settings.options {
        options = options
            .named(name, option_value(&option.value))
            .map_err(|error| error.to_string())?;
    }
    options.check().map_err(|error| error.to_string())?;
    Ok(options)
}

/// Checks that libsrt accepts an entry of `options`, for [`config::Config::load_checked`].
pub(crate) fn check_option(name: &str, value: &config::OptionValue) -> Result<(), String> {
    let options = Options::new().named(name, option_value(value));
    options.map(drop).map_err(|error| error.to_string())
}

/// Converts an entry of `options` for srt-safe.
fn option_value(value: &config::OptionValue) -> OptionValue {
    match value {
        config::OptionValue::Int(n) => OptionValue::Int(*n),
        config::OptionValue::Bool(b) => OptionValue::Bool(*b),
        config::OptionValue::Str(s) => OptionValue::Str(s.clone()),
    }
}
