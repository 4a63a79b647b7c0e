//! One SRT peer by its URL, for commands that talk to it without a gateway: blocking, on the calling thread.

use std::{
    fmt, io,
    net::{SocketAddr, ToSocketAddrs as _},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use srt_safe::{ErrorKind, KeyLength, Options, SrtListener, SrtSocket, SrtVersion, StreamId, opt};

use crate::{
    address::ZonedIp,
    config::{SrtMode, SrtTarget},
    control,
};

/// How often a wait checks whether it should stop.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// libsrt does not support an option of the URL.
    Options(String),
    /// The name has no address, or the connection was refused or timed out.
    Srt(srt_safe::Error),
    /// A socket cannot be opened, for example because the network interface does not exist.
    Socket(io::Error),
    /// The host name could not be resolved.
    Unresolved(String),
    /// The wait was stopped.
    Stopped,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(why) => f.write_str(why),
            Self::Srt(error) => error.fmt(f),
            Self::Socket(error) => error.fmt(f),
            Self::Unresolved(host) => {
                write!(
                    f,
                    "the name {host:?} has no address: correct it, or give the address"
                )
            }
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

impl std::error::Error for ConnectError {}

impl From<srt_safe::Error> for ConnectError {
    fn from(error: srt_safe::Error) -> Self {
        Self::Srt(error)
    }
}

/// Connects as the URL specifies: calls, listens for a call (until `stop`), or both.
pub(crate) fn connect(target: &SrtTarget, stop: &AtomicBool) -> Result<SrtSocket, ConnectError> {
    match target.mode {
        SrtMode::Listener => accept(target, stop),
        SrtMode::Caller | SrtMode::Rendezvous => call(target),
    }
}

/// The socket options of the URL.
fn options(target: &SrtTarget) -> Result<Options, ConnectError> {
    if target.bond.is_some() {
        let why = "this command does not support bonding (srt://*): give one host, or run a gateway";
        return Err(ConnectError::Options(why.to_owned()));
    }
    let mut options = control::srt_options(&target.settings).map_err(ConnectError::Options)?;
    if let Some(limit) = target.settings.connect_timeout {
        options = options.connect_timeout(limit);
    }
    if let Some(id) = &target.stream_id {
        let id = StreamId::new(id.expose()).map_err(|error| ConnectError::Options(error.to_string()))?;
        options = options.stream_id(id);
    }
    Ok(options)
}

/// The addresses of a host.
pub(crate) fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Ok(ip) = host.parse::<ZonedIp>() {
        return Ok(vec![ip.socket_addr(port).map_err(ConnectError::Socket)?]);
    }
    let found = (host, port).to_socket_addrs();
    found
        .map(Iterator::collect)
        .map_err(|_| ConnectError::Unresolved(host.to_owned()))
}

/// Checks whether [`connect`] can be tried: errors of the URL are permanent.
pub(crate) fn check(target: &SrtTarget) -> Result<(), ConnectError> {
    options(target).map(drop)
}

fn call(target: &SrtTarget) -> Result<SrtSocket, ConnectError> {
    let host = target.host.as_deref().unwrap_or_default();
    let addresses = resolve(host, target.port)?;
    let options = options(target)?;
    let mut failed = ConnectError::Unresolved(host.to_owned());
    for to in addresses {
        let caller = SrtSocket::builder().options(options.clone());
        let from = target.adapter.unwrap_or_else(|| ZonedIp::any_like(&to));
        let local = |port| from.socket_addr(port).map_err(ConnectError::Socket);
        let called = match (target.mode, target.local_port) {
            (SrtMode::Rendezvous, port) => caller.rendezvous(local(port.unwrap_or(target.port))?, to),
            (_, None) if target.adapter.is_none() => caller.connect(to),
            (_, port) => caller.bind(local(port.unwrap_or(0))?).connect(to),
        };
        match called {
            Ok(socket) => return Ok(socket),
            Err(error) => failed = error.into(),
        }
    }
    Err(failed)
}

fn accept(target: &SrtTarget, stop: &AtomicBool) -> Result<SrtSocket, ConnectError> {
    let options = options(target)?;
    let bind = |ip: ZonedIp| {
        let listener = SrtListener::builder().options(options.clone());
        let addr = ip.socket_addr(target.port).map_err(ConnectError::Socket)?;
        if ip == ZonedIp::ANY_V6 {
            let socket =
                control::bind_dual_stack(target.port, &target.settings).map_err(ConnectError::Socket)?;
            return Ok(listener.bind_udp(socket)?);
        }
        Ok::<_, ConnectError>(listener.bind(addr)?)
    };
    let listener = match target.host.as_deref().and_then(|host| host.parse().ok()) {
        Some(ip) => bind(ip)?,
        // A host without IPv6 listens on IPv4 only.
        None => bind(ZonedIp::ANY_V6).or_else(|_| bind(ZonedIp::ANY_V4))?,
    };
    while !stop.load(Relaxed) {
        match listener.accept_timeout(POLL_INTERVAL) {
            Ok((socket, _)) => return Ok(socket),
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ConnectError::Stopped)
}

/// The negotiated parameters of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Negotiated {
    pub(crate) peer_version: SrtVersion,
    /// For data that this side receives.
    pub(crate) receive_latency: Duration,
    /// For data that the peer receives.
    pub(crate) send_latency: Duration,
    /// `none`, `AES-128`, ...
    pub(crate) encryption: &'static str,
}

impl Negotiated {
    pub(crate) fn of(socket: &SrtSocket) -> srt_safe::Result<Self> {
        let encryption = match socket.option::<opt::KeyLength>()? {
            _ if !socket.key_state()?.is_secured() => "none",
            KeyLength::Aes192 => "AES-192",
            KeyLength::Aes256 => "AES-256",
            _ => "AES-128",
        };
        Ok(Self {
            peer_version: socket.option::<opt::PeerVersion>()?,
            receive_latency: socket.option::<opt::ReceiveLatency>()?,
            send_latency: socket.option::<opt::PeerLatency>()?,
            encryption,
        })
    }
}
