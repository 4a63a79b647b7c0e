//! The types of option values, and their conversion to libsrt's. Plain data.

#![expect(unnameable_types, reason = "sealed: only the options' table speaks of them")]

use std::{
    fmt,
    num::{NonZeroU8, NonZeroU64},
    str::FromStr,
    time::Duration,
};

use libsrt_sys::SRT_SOCKSTATUS;

use super::{
    PacketFilter, Passphrase,
    raw::{Kind, Raw},
};
use crate::{SocketState, StreamId};

/// A type in which options are read.
pub trait Value: Sized {
    /// Converts from libsrt's form; `None` if this type cannot express the value.
    fn from_raw(raw: Raw, kind: Kind) -> Option<Self>;
}

/// A type in which options are set.
pub trait Input: Value {
    /// Converts to libsrt's form. Values out of range stay out of range: the option's kind detects them.
    fn into_raw(self, kind: Kind) -> Raw;
}

fn int(raw: &Raw) -> Option<i64> {
    match raw {
        Raw::Int(value) => Some(*value),
        Raw::Bytes(_) | Raw::Secret(_) => None,
    }
}

fn saturated(value: impl TryInto<i64>) -> Raw {
    Raw::Int(value.try_into().unwrap_or(i64::MAX))
}

impl Input for bool {
    fn into_raw(self, _: Kind) -> Raw {
        Raw::Int(self.into())
    }
}

impl Value for bool {
    fn from_raw(raw: Raw, _: Kind) -> Option<Self> {
        int(&raw).map(|value| value != 0)
    }
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl Input for $type {
            fn into_raw(self, _: Kind) -> Raw {
                saturated(self)
            }
        }

        impl Value for $type {
            fn from_raw(raw: Raw, _: Kind) -> Option<Self> {
                int(&raw)?.try_into().ok()
            }
        }
    )*};
}
integers!(u8 u16 u32 u64);

impl Input for NonZeroU8 {
    fn into_raw(self, _: Kind) -> Raw {
        Raw::Int(self.get().into())
    }
}

impl Value for NonZeroU8 {
    fn from_raw(raw: Raw, _: Kind) -> Option<Self> {
        int(&raw)?.try_into().ok().and_then(Self::new)
    }
}

impl Input for Duration {
    fn into_raw(self, kind: Kind) -> Raw {
        // Rounded up, so that a short time does not become zero.
        saturated(self.as_nanos().div_ceil(kind.unit().as_nanos()))
    }
}

impl Value for Duration {
    fn from_raw(raw: Raw, kind: Kind) -> Option<Self> {
        u32::try_from(int(&raw)?).ok().map(|units| kind.unit() * units)
    }
}

impl<T: Input> Input for Option<T> {
    fn into_raw(self, kind: Kind) -> Raw {
        match self {
            Some(value) => value.into_raw(kind),
            None => kind.none(),
        }
    }
}

impl<T: Value> Value for Option<T> {
    fn from_raw(raw: Raw, kind: Kind) -> Option<Self> {
        if raw == kind.none() {
            Some(None)
        } else {
            T::from_raw(raw, kind).map(Some)
        }
    }
}

impl Input for String {
    fn into_raw(self, _: Kind) -> Raw {
        Raw::Bytes(self.into_bytes().into())
    }
}

impl Value for String {
    fn from_raw(raw: Raw, _: Kind) -> Option<Self> {
        match raw {
            Raw::Bytes(bytes) => Self::from_utf8(bytes.into()).ok(),
            Raw::Int(_) | Raw::Secret(_) => None,
        }
    }
}

impl Input for StreamId {
    fn into_raw(self, _: Kind) -> Raw {
        Raw::Bytes(self.as_bytes().into())
    }
}

impl Value for StreamId {
    fn from_raw(raw: Raw, _: Kind) -> Option<Self> {
        match raw {
            Raw::Bytes(bytes) => Self::new(bytes).ok(),
            Raw::Int(_) | Raw::Secret(_) => None,
        }
    }
}

impl Input for PacketFilter {
    fn into_raw(self, _: Kind) -> Raw {
        Raw::Bytes(self.to_string().into_bytes().into())
    }
}

impl Value for PacketFilter {
    fn from_raw(raw: Raw, _: Kind) -> Option<Self> {
        String::from_raw(raw, Kind::Filter)?.parse().ok()
    }
}

impl Input for Passphrase {
    fn into_raw(self, _: Kind) -> Raw {
        Raw::Secret(Some(self))
    }
}

impl Value for Passphrase {
    fn from_raw(raw: Raw, _: Kind) -> Option<Self> {
        match raw {
            Raw::Secret(passphrase) => passphrase,
            Raw::Int(_) | Raw::Bytes(_) => None,
        }
    }
}

/// The limit of what a socket sends, including retransmissions and control packets (`SRTO_MAXBW`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxBandwidth {
    /// Only libsrt's own limit of 1 Gb/s (-1). Live streams are paced by their source.
    Unlimited,
    /// The input rate, measured or set, plus the overhead percentage (0).
    RelativeToInput,
    /// This many bytes (not bits) per second.
    BytesPerSecond(NonZeroU64),
}

impl Input for MaxBandwidth {
    fn into_raw(self, _: Kind) -> Raw {
        match self {
            Self::Unlimited => Raw::Int(-1),
            Self::RelativeToInput => Raw::Int(0),
            Self::BytesPerSecond(rate) => saturated(rate.get()),
        }
    }
}

impl Value for MaxBandwidth {
    fn from_raw(raw: Raw, _: Kind) -> Option<Self> {
        match int(&raw)? {
            -1 => Some(Self::Unlimited),
            0 => Some(Self::RelativeToInput),
            rate => u64::try_from(rate)
                .ok()
                .and_then(NonZeroU64::new)
                .map(Self::BytesPerSecond),
        }
    }
}

/// The rate of the sent stream, for [`MaxBandwidth::RelativeToInput`] (`SRTO_INPUTBW`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputBandwidth {
    /// libsrt measures what the application sends (0).
    Measured,
    /// This many bytes (not bits) per second.
    BytesPerSecond(NonZeroU64),
}

impl Input for InputBandwidth {
    fn into_raw(self, _: Kind) -> Raw {
        match self {
            Self::Measured => Raw::Int(0),
            Self::BytesPerSecond(rate) => saturated(rate.get()),
        }
    }
}

impl Value for InputBandwidth {
    fn from_raw(raw: Raw, _: Kind) -> Option<Self> {
        let rate = u64::try_from(int(&raw)?).ok()?;
        Some(NonZeroU64::new(rate).map_or(Self::Measured, Self::BytesPerSecond))
    }
}

/// The limit of retransmissions alone (`SRTO_MAXREXMITBW`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetransmitBandwidth {
    /// No separate limit (-1).
    Unlimited,
    /// This many bytes (not bits) per second; 0 disables retransmissions.
    BytesPerSecond(u64),
}

impl Input for RetransmitBandwidth {
    fn into_raw(self, _: Kind) -> Raw {
        match self {
            Self::Unlimited => Raw::Int(-1),
            Self::BytesPerSecond(rate) => saturated(rate),
        }
    }
}

impl Value for RetransmitBandwidth {
    fn from_raw(raw: Raw, _: Kind) -> Option<Self> {
        match int(&raw)? {
            -1 => Some(Self::Unlimited),
            rate => rate.try_into().ok().map(Self::BytesPerSecond),
        }
    }
}

/// The type-of-service byte of IPv4, the traffic class of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpTos(u8);

impl IpTos {
    /// The whole byte.
    #[must_use]
    pub const fn new(byte: u8) -> Self {
        Self(byte)
    }

    /// From a differentiated services code point (0 to 63), such as 46 for expedited forwarding; the ECN bits are 0.
    #[must_use]
    pub const fn from_dscp(code_point: u8) -> Option<Self> {
        if code_point < 64 {
            Some(Self(code_point << 2))
        } else {
            None
        }
    }

    /// The whole byte.
    #[must_use]
    pub const fn value(self) -> u8 {
        self.0
    }
}

impl Input for IpTos {
    fn into_raw(self, _: Kind) -> Raw {
        Raw::Int(self.0.into())
    }
}

impl Value for IpTos {
    fn from_raw(raw: Raw, _: Kind) -> Option<Self> {
        int(&raw)?.try_into().ok().map(Self)
    }
}

/// A version of libsrt, as in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SrtVersion {
    /// The first number: 1.
    pub major: u8,
    /// The second number.
    pub minor: u8,
    /// The third number.
    pub patch: u8,
}

impl SrtVersion {
    /// A version from its three numbers.
    #[must_use]
    pub const fn new(major: u8, minor: u8, patch: u8) -> Self {
        Self { major, minor, patch }
    }

    /// As in the handshake: 0xMMmmpp.
    #[must_use]
    pub const fn number(self) -> u32 {
        libsrt_sys::make_version(self.major, self.minor, self.patch)
    }

    /// From the handshake's form, 0xMMmmpp; the top byte is ignored.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        let [_, major, minor, patch] = number.to_be_bytes();
        Self::new(major, minor, patch)
    }
}

impl fmt::Display for SrtVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for SrtVersion {
    type Err = InvalidVersion;

    /// Parses `major.minor.patch`, each 0 to 255.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut numbers = text.split('.').map(str::parse);
        match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch)), None) => Ok(Self::new(major, minor, patch)),
            _ => Err(InvalidVersion),
        }
    }
}

/// The text is not a version like `1.5.7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidVersion;

impl fmt::Display for InvalidVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a version has the form \"1.5.7\": three numbers from 0 to 255")
    }
}

impl std::error::Error for InvalidVersion {}

impl Input for SrtVersion {
    fn into_raw(self, _: Kind) -> Raw {
        Raw::Int(self.number().into())
    }
}

impl Value for SrtVersion {
    fn from_raw(raw: Raw, _: Kind) -> Option<Self> {
        int(&raw)?.try_into().ok().map(Self::from_number)
    }
}

/// Defines an enum whose variants have a number in libsrt, and a name in configuration files.
macro_rules! choices {
    ($($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal $name:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $type {
            pub(crate) const NAMES: &'static [(&'static str, i64)] = &[$(($name, $code)),*];

            /// The name in configuration files.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Input for $type {
            fn into_raw(self, _: Kind) -> Raw {
                match self {
                    $(Self::$variant => Raw::Int($code),)*
                }
            }
        }

        impl Value for $type {
            fn from_raw(raw: Raw, _: Kind) -> Option<Self> {
                match int(&raw)? {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    )*};
}

choices! {
    /// What a connection carries (`SRTO_TRANSTYPE`): the option that sets many others.
    TransmissionType {
        /// Messages, delivered in time or not at all: media.
        Live = 0 "live",
        /// A reliable stream of bytes, or reliable messages: files.
        File = 1 "file",
    }

    /// The length of the AES key (`SRTO_PBKEYLEN`).
    KeyLength {
        /// The peer's choice, otherwise 128 bits.
        Auto = 0 "auto",
        /// 128 bits.
        Aes128 = 16 "aes-128",
        /// 192 bits.
        Aes192 = 24 "aes-192",
        /// 256 bits.
        Aes256 = 32 "aes-256",
    }

    /// The AES mode (`SRTO_CRYPTOMODE`).
    CryptoMode {
        /// A caller uses CTR; a listener uses the caller's mode.
        Auto = 0 "auto",
        /// Counter mode: supported by every version of SRT; modified packets are not detected.
        Ctr = 1 "ctr",
        /// Galois counter mode: 16 bytes more per packet, and modified packets are dropped. libsrt 1.5.2 and later.
        Gcm = 2 "gcm",
    }

    /// When a lost packet is retransmitted (`SRTO_RETRANSMITALGO`).
    RetransmitAlgorithm {
        /// At each loss report, repeatedly.
        Intensive = 0 "intensive",
        /// At most once per round trip; requires periodic loss reports by the receiver.
        Efficient = 1 "efficient",
    }

    /// Which addresses a listener on `[::]` serves (`SRTO_IPV6ONLY`).
    Ipv6Only {
        /// The system's `bindv6only` setting.
        SystemDefault = -1 "system",
        /// IPv4 callers as well, with mapped addresses.
        No = 0 "no",
        /// IPv6 only.
        Yes = 1 "yes",
    }

    /// The state of the key exchange, in one direction (`SRT_KM_STATE`).
    KmState {
        /// No encryption requested or used.
        Unsecured = 0 "unsecured",
        /// Keys are being exchanged.
        Securing = 1 "securing",
        /// Keys are exchanged; data is encrypted.
        Secured = 2 "secured",
        /// The peer encrypts and this side has no passphrase: its data cannot be decrypted.
        NoSecret = 3 "no secret",
        /// The passphrases differ: the peer's data cannot be decrypted.
        BadSecret = 4 "bad secret",
        /// The crypto modes are incompatible.
        BadCryptoMode = 5 "bad crypto mode",
    }
}

/// The congestion control (`SRTO_CONGESTION`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Congestion {
    /// Pacing for media: late data is worse than lost data.
    Live,
    /// Reacts to loss, for file transfers.
    File,
}

impl Congestion {
    pub(crate) const NAMES: &'static [&'static str] = &["live", "file"];

    /// The name in libsrt and in configuration files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::File => "file",
        }
    }
}

impl Input for Congestion {
    fn into_raw(self, _: Kind) -> Raw {
        Raw::Bytes(self.as_str().as_bytes().into())
    }
}

impl Value for Congestion {
    fn from_raw(raw: Raw, _: Kind) -> Option<Self> {
        match raw {
            Raw::Bytes(bytes) if &*bytes == b"live" => Some(Self::Live),
            Raw::Bytes(bytes) if &*bytes == b"file" => Some(Self::File),
            _ => None,
        }
    }
}

/// What a socket is currently ready for (`SRTO_EVENT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Readiness {
    flags: u32,
}

impl Readiness {
    /// There is data to receive.
    #[must_use]
    pub const fn is_readable(self) -> bool {
        self.flags & libsrt_sys::SRT_EPOLL_OPT::SRT_EPOLL_IN.0 != 0
    }

    /// There is room to send.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.flags & libsrt_sys::SRT_EPOLL_OPT::SRT_EPOLL_OUT.0 != 0
    }

    /// The connection is broken.
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.flags & libsrt_sys::SRT_EPOLL_OPT::SRT_EPOLL_ERR.0 != 0
    }
}

impl Value for Readiness {
    fn from_raw(raw: Raw, _: Kind) -> Option<Self> {
        int(&raw)?.try_into().ok().map(|flags| Self { flags })
    }
}

impl Value for SocketState {
    fn from_raw(raw: Raw, _: Kind) -> Option<Self> {
        int(&raw)?
            .try_into()
            .ok()
            .map(|status| Self::from_raw(SRT_SOCKSTATUS(status)))
    }
}
