//! Small value types of the configuration: versions, key lengths, addresses, positions. Plain data, used on any thread.
//!
//! Each parses the text that a user writes, independently of TOML, and opens nothing.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::Range,
    str::FromStr,
};

use crate::address::ZonedIp;

/// An SRT version, ordered as versions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SrtVersion {
    major: u8,
    minor: u8,
    patch: u8,
}

impl SrtVersion {
    /// `major.minor.patch`.
    pub const fn new(major: u8, minor: u8, patch: u8) -> Self {
        Self { major, minor, patch }
    }

    /// libsrt's form: `0x00XXYYZZ`, as in `SRTO_MINVERSION`, `SRTO_VERSION` and `SRTO_PEERVERSION`.
    pub const fn to_libsrt(self) -> u32 {
        u32::from_be_bytes([0, self.major, self.minor, self.patch])
    }

    /// From libsrt's form; bits above the low 24 are dropped.
    pub const fn from_libsrt(version: u32) -> Self {
        let [_, major, minor, patch] = version.to_be_bytes();
        Self { major, minor, patch }
    }
}

impl fmt::Display for SrtVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for SrtVersion {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: &str = "an SRT version such as \"1.5.7\"";
        let mut parts = text.split('.').map(|part| {
            let digits = !part.is_empty() && part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| part.parse::<u8>().ok()).flatten().ok_or(WANTED)
        });
        let mut next = || parts.next().ok_or(WANTED)?;
        let version = Self::new(next()?, next()?, next()?);
        if parts.next().is_some() {
            Err(WANTED)
        } else {
            Ok(version)
        }
    }
}

/// Length of the AES key, as `SRTO_PBKEYLEN` takes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeyLength {
    /// AES-128.
    #[default]
    Aes128,
    /// AES-192.
    Aes192,
    /// AES-256.
    Aes256,
}

impl KeyLength {
    /// The length in bits, as in `AES-256`.
    pub(crate) fn bits(self) -> u16 {
        u16::from(self.bytes()) * 8
    }

    /// The length in bytes: 16, 24 or 32.
    pub const fn bytes(self) -> u8 {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }
}

/// The cipher mode, as `SRTO_CRYPTOMODE` takes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CryptoMode {
    /// The listener accepts the caller's choice; a caller uses AES-CTR.
    #[default]
    Auto,
    /// AES-CTR.
    Ctr,
    /// AES-GCM, authenticated; both sides need libsrt 1.5.2 or newer.
    Gcm,
}

/// The purpose of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortKind {
    /// `srt`: publish and play; `m=` in the streamid selects one.
    Both,
    /// `srt_publish`: publish only.
    Publish,
    /// `srt_play`: play only.
    Play,
}

impl PortKind {
    /// The name of the table that opens such a port: `srt`, `srt_publish`, `srt_play`.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Both => "srt",
            Self::Publish => "srt_publish",
            Self::Play => "srt_play",
        }
    }
}

/// Where to listen: one address, or a port of all addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddr {
    /// This port of all IPv4 and all IPv6 addresses.
    All(u16),
    /// This address only. `0.0.0.0` is every IPv4 address, `::` every IPv6 address. Port 0 lets the system choose.
    One(ZonedIp, u16),
}

impl ListenAddr {
    /// The port; 0 if the system chooses one.
    pub const fn port(&self) -> u16 {
        match self {
            Self::All(port) => *port,
            Self::One(_, port) => *port,
        }
    }

    /// The sockets to bind: two for [`ListenAddr::All`] (IPv4, then IPv6, which must be IPv6 only), otherwise one.
    /// Looks up the network interface of a link-local address.
    ///
    /// # Errors
    /// There is no such interface.
    pub fn socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::All(port) => Ok(vec![
                (Ipv4Addr::UNSPECIFIED, *port).into(),
                (Ipv6Addr::UNSPECIFIED, *port).into(),
            ]),
            Self::One(ip, port) => ip.socket_addr(*port).map(|addr| vec![addr]),
        }
    }

    /// The same address with another port.
    #[must_use]
    pub(crate) const fn with_port(self, port: u16) -> Self {
        match self {
            Self::All(_) => Self::All(port),
            Self::One(ip, _) => Self::One(ip, port),
        }
    }

    /// Whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        matches!(self, Self::One(addr, _) if addr.ip().is_loopback())
    }

    /// Whether the two cannot be bound at the same time. A wildcard overlaps each address of its family.
    pub fn overlaps(&self, other: &Self) -> bool {
        if self.port() != other.port() || self.port() == 0 {
            return false;
        }
        match (self, other) {
            (Self::One(a, _), Self::One(b, _)) => {
                a.ip().is_ipv4() == b.ip().is_ipv4()
                    && (a.ip().is_unspecified() || b.ip().is_unspecified() || a == b)
            }
            _ => true,
        }
    }

    /// From text: `9998`, `127.0.0.1:9998`, `[::1]:9998`. Port 0 needs an address.
    ///
    /// # Errors
    /// What is allowed.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        const WANTED: &str = "a port such as 9998, or an IP address with one: \"127.0.0.1:9998\", \"[::1]:9998\", \"[fe80::1%eth0]:9998\"";
        if let Some((ip, port)) = address_and_port(text) {
            return Ok(Self::One(ip, port));
        }
        match text.parse::<u16>() {
            Ok(0) => Err("a port from 1 to 65535 (0 needs an address: \"127.0.0.1:0\")"),
            Ok(port) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(Self::All(port)),
            _ => Err(WANTED),
        }
    }

    /// The address, `None` for all.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::All(_) => None,
            Self::One(addr, _) => Some(addr.ip()),
        }
    }
}

impl From<SocketAddr> for ListenAddr {
    fn from(addr: SocketAddr) -> Self {
        Self::One(addr.into(), addr.port())
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(port) => write!(f, "{port} (all addresses)"),
            Self::One(addr, port) if addr.ip().is_ipv6() => write!(f, "[{addr}]:{port}"),
            Self::One(addr, port) => write!(f, "{addr}:{port}"),
        }
    }
}

/// Splits `192.0.2.1:9000` or `[2001:db8::1]:9000`.
fn address_and_port(text: &str) -> Option<(ZonedIp, u16)> {
    let (ip, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]:").filter(|(ip, _)| ip.contains(':'))?,
        None => text.split_once(':')?,
    };
    let is_number = port.bytes().all(|b| b.is_ascii_digit());
    Some((ip.parse().ok()?, port.parse().ok().filter(|_| is_number)?))
}

/// A position in the configuration text.
///
/// All positions are equal: two configurations that differ only in line numbers must compare as equal, so that a reload
/// finds no difference.
#[derive(Clone, Default)]
pub struct Location {
    span: Range<usize>,
    line: usize,
    column: usize,
}

impl Location {
    /// The position of `span` in `text`, whose lines begin at `lines`.
    pub(crate) fn of(text: &str, lines: &LineStarts, span: Range<usize>) -> Self {
        let end = floor_char_boundary(text, span.end);
        let start = floor_char_boundary(text, span.start.min(end));
        let line = lines.0.partition_point(|from| *from <= start);
        let from = lines.0[line - 1];
        Self {
            span: start..end,
            line,
            column: text[from..start].chars().count() + 1,
        }
    }

    /// Byte offsets in the text.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Line, from 1; 0 if it is in no text (a default).
    pub fn line(&self) -> usize {
        self.line
    }

    /// Column in characters, from 1; 0 if it is in no text.
    pub fn column(&self) -> usize {
        self.column
    }
}

/// The starts of a text's lines. Computed once, because a configuration may have as many positions as lines.
#[derive(Debug)]
pub(crate) struct LineStarts(Vec<usize>);

impl LineStarts {
    pub(crate) fn of(text: &str) -> Self {
        let after = text.match_indices('\n').map(|(at, _)| at + 1);
        Self(std::iter::once(0).chain(after).collect())
    }
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl PartialEq for Location {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Location {}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}
