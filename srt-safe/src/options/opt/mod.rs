//! One marker type for each option of libsrt: read with [`SrtSocket::option`](crate::SrtSocket::option), set with
//! [`SrtSocket::set_option`](crate::SrtSocket::set_option) or [`Options::set`](crate::Options::set); traits state when
//! each can be set.

use libsrt_sys::SRT_SOCKOPT;

use super::{
    raw::Kind,
    values::{Input, Value},
};

/// When an option can be set for the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Settable {
    /// Until the socket is bound (which connecting does implicitly).
    BeforeBind,
    /// Until the socket listens or starts to connect.
    BeforeConnect,
    /// Always.
    AfterConnect,
}

/// An option's entry in the table.
#[derive(Debug)]
pub struct OptionInfo {
    pub(super) name: &'static str,
    pub(super) constant: &'static str,
    pub(super) number: SRT_SOCKOPT,
    pub(super) kind: Kind,
    pub(super) settable: Option<Settable>,
    pub(super) readable: bool,
    /// An option of the UDP port or of connecting, which cannot be set for a connection that is being accepted.
    pub(super) of_port: bool,
    pub(super) allowed: &'static str,
    pub(super) default: &'static str,
    pub(super) operation: &'static str,
}

impl OptionInfo {
    /// The name in configuration files: libsrt's name in lower case without `SRTO_`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The C constant.
    #[must_use]
    pub const fn constant(&self) -> &'static str {
        self.constant
    }

    /// When it can be set for the last time; `None` if it is read-only.
    #[must_use]
    pub const fn settable(&self) -> Option<Settable> {
        self.settable
    }

    /// Whether it can be read.
    #[must_use]
    pub const fn is_readable(&self) -> bool {
        self.readable
    }

    /// Whether it belongs to the port or to connecting, so that an [`Admission`](crate::Admission) of a single
    /// connection does not change it.
    #[must_use]
    pub const fn is_of_port(&self) -> bool {
        self.of_port
    }

    /// Whether its value must be hidden.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret)
    }

    /// The accepted values, with their unit, in words.
    #[must_use]
    pub const fn allowed(&self) -> &'static str {
        self.allowed
    }

    /// libsrt's default, in words.
    #[must_use]
    pub const fn default_value(&self) -> &'static str {
        self.default
    }
}

mod sealed {
    /// Restricts the traits to this table.
    #[expect(unnameable_types, reason = "sealed")]
    pub trait Sealed {}
}

/// An option of libsrt.
pub trait SockOpt: sealed::Sealed {
    /// The Rust type of the option's value.
    type Value: Value;
    /// Its entry in the table.
    const INFO: &'static OptionInfo;
}

/// An option that can be read.
pub trait Readable: SockOpt {}
/// An option that can be set at some point.
pub trait Writable: SockOpt<Value: Input> {}
/// An option that can be set until the socket is bound.
pub trait BeforeBind: Writable {}
/// An option that can be set until the socket listens or starts to connect.
pub trait BeforeConnect: Writable {}
/// An option that can be set at any time.
pub trait AfterConnect: Writable {}

/// Defines options: for each a marker type with its traits, a setter of `Options` if it can be set, and an entry of the
/// table.
///
/// The order of the entries is the order in which they are applied.
macro_rules! options {
    ($(
        $(#[doc = $doc:literal])*
        $marker:ident: $value:ty {
            $constant:ident $name:literal, $kind:expr, $allowed:literal, default $default:literal,
            $access:ident $($setter:ident)*
        }
    )*) => {
        pub(super) static TABLE: &[&$crate::OptionInfo] = &[$(<$marker as $crate::SockOpt>::INFO),*];
        $(
            $(#[doc = $doc])*
            #[doc = ""]
            #[doc = concat!("`", stringify!($constant), "`, by name `", $name, "`. Values: ", $allowed, ". Default: ", $default, ".")]
            #[derive(Clone, Copy, Debug)]
            pub struct $marker;

            impl $crate::options::opt::sealed::Sealed for $marker {}

            impl $crate::SockOpt for $marker {
                type Value = $value;
                const INFO: &'static $crate::OptionInfo = &$crate::OptionInfo {
                    name: $name,
                    constant: stringify!($constant),
                    number: libsrt_sys::SRT_SOCKOPT::$constant,
                    kind: $kind,
                    settable: options!(@settable $access),
                    readable: options!(@readable $access),
                    of_port: options!(@of_port $access),
                    allowed: $allowed,
                    default: $default,
                    operation: concat!("option ", stringify!($constant)),
                };
            }

            options!(@traits $access $marker);

            options!(@setter [$(#[doc = $doc])*] [$marker: $value, $constant $name $allowed $default] $($setter)*);
        )*
    };
    // When it can be set: port (until bound, of the port), bind (until bound), connect, dial (until connected, of
    // connecting), live (always), secret (until connected, not readable), mode (until bound, not readable), status
    // (read-only).
    (@setter $docs:tt $option:tt) => {};
    (@setter $docs:tt [$marker:ident: $value:ty, $($rest:tt)*] into $setter:ident) => {
        options!(@setter $docs [$marker: $value, $($rest)*] $setter (impl Into<$value>) into);
    };
    (@setter $docs:tt [$marker:ident: $value:ty, $($rest:tt)*] $setter:ident) => {
        options!(@setter $docs [$marker: $value, $($rest)*] $setter ($value) from);
    };
    (
        @setter [$($doc:tt)*]
        [$marker:ident: $value:ty, $constant:ident $name:literal $allowed:literal $default:literal]
        $setter:ident ($argument:ty) $convert:ident
    ) => {
        impl $crate::Options {
            $($doc)*
            #[doc = ""]
            #[doc = concat!("`", stringify!($constant), "`, by name `", $name, "`. Values: ", $allowed, ". Default: ", $default, ".")]
            #[must_use]
            pub fn $setter(self, value: $argument) -> Self {
                self.set($marker, options!(@convert $convert value))
            }
        }
    };
    (@convert into $value:ident) => { $value.into() };
    (@convert from $value:ident) => { $value };
    (@settable status) => { None };
    (@settable port) => { Some($crate::Settable::BeforeBind) };
    (@settable bind) => { Some($crate::Settable::BeforeBind) };
    (@settable mode) => { Some($crate::Settable::BeforeBind) };
    (@settable live) => { Some($crate::Settable::AfterConnect) };
    (@settable $other:ident) => { Some($crate::Settable::BeforeConnect) };
    (@readable secret) => { false };
    (@readable mode) => { false };
    (@readable $other:ident) => { true };
    (@of_port port) => { true };
    (@of_port dial) => { true };
    (@of_port $other:ident) => { false };
    (@traits status $marker:ident) => {
        impl $crate::options::opt::Readable for $marker {}
    };
    (@traits mode $marker:ident) => {
        impl $crate::options::opt::Writable for $marker {}
        impl $crate::options::opt::BeforeBind for $marker {}
    };
    (@traits secret $marker:ident) => {
        impl $crate::options::opt::Writable for $marker {}
        impl $crate::options::opt::BeforeConnect for $marker {}
    };
    (@traits port $marker:ident) => { options!(@traits bind $marker); };
    (@traits bind $marker:ident) => {
        impl $crate::options::opt::Readable for $marker {}
        impl $crate::options::opt::Writable for $marker {}
        impl $crate::options::opt::BeforeBind for $marker {}
    };
    (@traits live $marker:ident) => {
        impl $crate::options::opt::Readable for $marker {}
        impl $crate::options::opt::Writable for $marker {}
        impl $crate::options::opt::AfterConnect for $marker {}
    };
    (@traits $other:ident $marker:ident) => {
        impl $crate::options::opt::Readable for $marker {}
        impl $crate::options::opt::Writable for $marker {}
        impl $crate::options::opt::BeforeConnect for $marker {}
    };
}

mod bandwidth;
mod crypto;
mod session;
mod status;
mod timing;
mod transport;

pub use bandwidth::{
    Congestion, InputBandwidth, MaxBandwidth, MaxRetransmitBandwidth, MinInputBandwidth, OverheadBandwidth,
};
pub use crypto::{CryptoMode, EnforcedEncryption, KeyLength, KeyPreAnnounce, KeyRefreshRate, Passphrase};
pub use session::{
    GroupConnect, GroupMinStableTimeout, MessageApi, MinVersion, PacketFilter, PayloadSize, Sender, StreamId,
};
pub use status::{
    Event, GroupType, InitialSequence, KeyState, PeerVersion, ReceiveBuffered, ReceiveKeyState, SendBuffered,
    SendKeyState, State, Version,
};
pub use timing::{
    BlockingReceive, BlockingSend, ConnectTimeout, DriftTracer, Latency, Linger, LossMaxTtl, NakReport,
    PeerIdleTimeout, PeerLatency, ReceiveLatency, ReceiveTimeout, RetransmitAlgorithm, SendDropDelay,
    SendTimeout, TooLateDrop, Tsbpd,
};
pub use transport::{
    BindToDevice, FlowWindow, IpTos, IpTtl, Ipv6Only, MaxSegmentSize, ReceiveBuffer, Rendezvous,
    ReuseAddress, SendBuffer, TransmissionType, UdpReceiveBuffer, UdpSendBuffer,
};

/// All options of libsrt, in the order in which they are applied.
pub fn all() -> impl Iterator<Item = &'static OptionInfo> {
    // Options that others depend on come first: the transmission type resets many, FC limits RCVBUF, TSBPDMODE affects
    // GCM, GCM and the packet filter affect the payload, PEERIDLETIMEO affects the group's timeout.
    [
        transport::TABLE,
        timing::TABLE,
        bandwidth::TABLE,
        crypto::TABLE,
        session::TABLE,
        status::TABLE,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// The option of that name, as in configuration files: lower case, without `SRTO_`.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static OptionInfo> {
    all().find(|info| info.name == name)
}

/// The option with the name nearest to a misspelt one, if any is near.
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix("srto_").unwrap_or(&name);
    all()
        .map(|info| (distance(name, info.name), info.name))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
