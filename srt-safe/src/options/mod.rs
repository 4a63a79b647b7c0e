//! All options of libsrt: as typed values, by name for configuration files, and collected in [`Options`] to be applied
//! to sockets later.
//!
//! One table (`opt`) defines each option: marker type, C constant, name, limits, when it can be set, documentation.
//! Both the typed access and the access by name use it. Plain data until it is applied, on the thread that opens the
//! socket or, for a connection that is being accepted, on libsrt's. Defaults are libsrt's.

mod error;
mod filter;
pub mod opt;
mod passphrase;
mod raw;
mod values;

use std::{collections::BTreeMap, fmt};

use libsrt_sys::{SRT_ERRNO, SRT_SOCKOPT, SRTSOCKET};

use crate::{Error, Result, SrtGroup, SrtListener, SrtSocket};
pub use error::OptionError;
pub use filter::{Arq, FecLayout, FilterError, PacketFilter};
pub use opt::{AfterConnect, OptionInfo, Readable, Settable, SockOpt, Writable};
pub use passphrase::{InvalidPassphrase, Passphrase};
use raw::Raw;
pub use values::{
    Congestion, CryptoMode, InputBandwidth, InvalidVersion, IpTos, Ipv6Only, KeyLength, KmState,
    MaxBandwidth, Readiness, RetransmitAlgorithm, RetransmitBandwidth, SrtVersion, TransmissionType,
};
use values::{Input, Value};

/// A value from a configuration file, for [`Options::named`].
#[derive(Clone, PartialEq, Eq)]
pub enum OptionValue {
    /// An integer: a number in the option's unit, or the number of a choice.
    Int(i64),
    /// A boolean.
    Bool(bool),
    /// A text, or the name of a choice.
    Str(String),
}

impl fmt::Debug for OptionValue {
    /// Hides texts, because one of them may be a passphrase.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => write!(f, "Int({value})"),
            Self::Bool(value) => write!(f, "Bool({value})"),
            Self::Str(text) => write!(f, "Str({} bytes)", text.len()),
        }
    }
}

impl From<i64> for OptionValue {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for OptionValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for OptionValue {
    fn from(value: &str) -> Self {
        Self::Str(value.to_owned())
    }
}

impl From<String> for OptionValue {
    fn from(value: String) -> Self {
        Self::Str(value)
    }
}

/// Which options to apply, depending on the state of the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A new socket: options that must be set before it is bound.
    BeforeBind,
    /// A bound socket (or one that connecting will bind): all others.
    BeforeConnect,
    /// The future socket in a listen callback: all options except those of the port.
    Callback,
    /// A new group: all at once.
    Group,
}

impl Stage {
    fn covers(self, info: &OptionInfo) -> bool {
        // FC may be set later than RCVBUF, but RCVBUF is limited by the FC at that time.
        let early = info.settable == Some(Settable::BeforeBind) || info.number == SRT_SOCKOPT::SRTO_FC;
        match self {
            Self::BeforeBind => early,
            Self::BeforeConnect => !early,
            Self::Callback => !info.of_port,
            Self::Group => true,
        }
    }
}

/// Settings for sockets: plain data that can be cloned, compared, and applied any number of times.
///
/// Options that are not set keep libsrt's default (or, for an accepted connection, the listener's value). The typed
/// setters cannot fail: [`check`](Self::check), or applying the options, reports values that libsrt would not accept.
///
/// ```
/// # use std::time::Duration;
/// # use srt_safe::{KeyLength, Options, OptionValue, Passphrase};
/// let options = Options::new()
///     .latency(Duration::from_millis(200))
///     .passphrase(Passphrase::new("correct horse battery")?)
///     .key_length(KeyLength::Aes256)
///     .named("lossmaxttl", 40.into())?;
/// options.check()?;
///
/// let error = Options::new().named("lossmaxtll", OptionValue::Int(40)).unwrap_err();
/// assert_eq!(error.to_string(), "libsrt has no option \"lossmaxtll\"; did you mean \"lossmaxttl\"?");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Options {
    values: BTreeMap<u32, Raw>,
}

impl Options {
    /// No settings.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            values: BTreeMap::new(),
        }
    }

    /// Sets any option by its marker.
    #[must_use]
    pub fn set<O: Writable>(mut self, _option: O, value: O::Value) -> Self {
        self.values.insert(O::INFO.number.0, value.into_raw(O::INFO.kind));
        self
    }

    /// Sets an option by its lower-case name without `SRTO_`, for configuration files.
    ///
    /// # Errors
    /// An unknown name (with the nearest known one), a read-only option, a wrong type, or a value out of range (with
    /// what is allowed).
    pub fn named(mut self, name: &str, value: OptionValue) -> Result<Self, OptionError> {
        let info = opt::by_name(name).ok_or_else(|| OptionError::Unknown {
            name: name.to_owned(),
            nearest: opt::nearest(name),
        })?;
        self.values.insert(info.number.0, info.convert(&value)?);
        Ok(self)
    }

    /// Removes a setting, so that libsrt's default (or the listener's value) applies.
    #[must_use]
    pub fn unset<O: Writable>(mut self, _option: O) -> Self {
        self.values.remove(&O::INFO.number.0);
        self
    }

    /// The value of an option in these settings, if it is set.
    #[must_use]
    pub fn get<O: Writable>(&self, _option: O) -> Option<O::Value> {
        self.values
            .get(&O::INFO.number.0)
            .and_then(|raw| O::Value::from_raw(raw.clone(), O::INFO.kind))
    }

    /// These settings, overridden by those of `other`.
    #[must_use]
    pub fn overlaid_with(mut self, other: &Self) -> Self {
        self.values
            .extend(other.values.iter().map(|(number, raw)| (*number, raw.clone())));
        self
    }

    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The options that are set, in the order in which they are applied.
    pub fn iter(&self) -> impl Iterator<Item = &'static OptionInfo> + '_ {
        self.entries().map(|(info, _)| info)
    }

    fn entries(&self) -> impl Iterator<Item = (&'static OptionInfo, &Raw)> {
        opt::all().filter_map(|info| self.values.get(&info.number.0).map(|raw| (info, raw)))
    }

    fn int(&self, option: SRT_SOCKOPT) -> Option<i64> {
        match self.values.get(&option.0) {
            Some(Raw::Int(value)) => Some(*value),
            _ => None,
        }
    }

    /// Each option that is set, in libsrt's form.
    pub(crate) fn for_each_encoded(&self, mut f: impl FnMut(SRT_SOCKOPT, &[u8]) -> Result<()>) -> Result<()> {
        self.entries()
            .try_for_each(|(info, raw)| info.encode(raw, |bytes| f(info.number, bytes)))
    }

    /// Checks each value, and values that depend on each other.
    ///
    /// # Errors
    /// The first value that libsrt would refuse, or accept without effect.
    pub fn check(&self) -> Result<(), OptionError> {
        for (info, raw) in self.entries() {
            info.check(raw)?;
        }
        self.check_keys()?;
        let conflict = |name, reason| Err(OptionError::Conflict { name, reason });
        let gcm = self.int(SRT_SOCKOPT::SRTO_CRYPTOMODE) == Some(2);
        let file = self.int(SRT_SOCKOPT::SRTO_TRANSTYPE) == Some(1);
        if gcm && self.int(SRT_SOCKOPT::SRTO_TSBPDMODE).map_or(file, |on| on == 0) {
            return conflict(
                "cryptomode",
                "AES-GCM needs \"tsbpdmode\" (live transmission): use \"ctr\"",
            );
        }
        if gcm
            && self
                .int(SRT_SOCKOPT::SRTO_PAYLOADSIZE)
                .is_some_and(|size| size > 1440)
        {
            return conflict(
                "payloadsize",
                "at most 1440 with AES-GCM, which adds 16 bytes to a packet",
            );
        }
        let filter = self.values.contains_key(&SRT_SOCKOPT::SRTO_PACKETFILTER.0);
        if filter
            && self
                .int(SRT_SOCKOPT::SRTO_PAYLOADSIZE)
                .is_some_and(|size| size > 1452)
        {
            return conflict(
                "payloadsize",
                "at most 1452 with a packet filter, which adds 4 bytes to a packet",
            );
        }
        let idle = self.int(SRT_SOCKOPT::SRTO_PEERIDLETIMEO).unwrap_or(5000);
        if self
            .int(SRT_SOCKOPT::SRTO_GROUPMINSTABLETIMEO)
            .is_some_and(|stable| stable > idle)
        {
            return conflict(
                "groupminstabletimeo",
                "at most \"peeridletimeo\" (5000 unless set)",
            );
        }
        let no_reports = self.int(SRT_SOCKOPT::SRTO_NAKREPORT) == Some(0);
        if no_reports && self.int(SRT_SOCKOPT::SRTO_RETRANSMITALGO) == Some(1) {
            return conflict(
                "retransmitalgo",
                "\"efficient\" needs \"nakreport\": change one of them",
            );
        }
        Ok(())
    }

    fn check_keys(&self) -> Result<(), OptionError> {
        // 0 selects libsrt's defaults: 2^24 and 4096 packets (haicrypt.h).
        let or_default = |option, default| self.int(option).filter(|value| *value != 0).unwrap_or(default);
        let refresh = or_default(SRT_SOCKOPT::SRTO_KMREFRESHRATE, 1 << 24);
        let announce = self.int(SRT_SOCKOPT::SRTO_KMPREANNOUNCE);
        if announce.is_some() && or_default(SRT_SOCKOPT::SRTO_KMPREANNOUNCE, 4096) > (refresh - 1) / 2 {
            return Err(OptionError::Conflict {
                name: "kmpreannounce",
                reason: "less than half of \"kmrefreshrate\" (16777216 unless set)",
            });
        }
        Ok(())
    }

    /// Sets the options of this stage on a socket or group, in the order that libsrt requires.
    pub(crate) fn apply(&self, id: SRTSOCKET, stage: Stage) -> Result<()> {
        if stage != Stage::BeforeConnect {
            self.check()
                .map_err(|error| Error::invalid_input(error.operation(), error.detail()))?;
        }
        for (info, raw) in self.entries().filter(|(info, _)| stage.covers(info)) {
            let live = info.number == SRT_SOCKOPT::SRTO_TRANSTYPE && *raw == Raw::Int(0);
            // A group is always live, and does not accept the option.
            if !(stage == Stage::Group && live) {
                info.write(id, raw)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Options {
    /// Shows the settings by name; never the passphrase.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.entries().map(|(info, raw)| (info.name, raw)))
            .finish()
    }
}

/// The payload of a packet with an MSS of 1500 bytes (`SRT_LIVE_MAX_PLSIZE`).
const MESSAGE_LIMIT: usize = 1456;

/// Bytes that AES-GCM adds to a packet (`HAICRYPT_AUTHTAG_MAX`).
const GCM_TAG: usize = 16;

/// The additional bytes of an FEC packet over the longest data packet (`SRT_FEC` in `packetfilter.cpp`).
const FILTER_HEADER: usize = 4;

/// Reads an option of any socket, listener or group.
pub(crate) fn read<O: Readable>(id: SRTSOCKET) -> Result<O::Value> {
    let raw = O::INFO.read(id)?;
    O::Value::from_raw(raw, O::INFO.kind).ok_or_else(|| {
        Error::invalid_input(
            O::INFO.operation,
            "libsrt returned a value that is invalid for this option",
        )
    })
}

/// Sets an option of any socket, listener or group.
pub(crate) fn write<O: AfterConnect>(id: SRTSOCKET, value: O::Value) -> Result<()> {
    O::INFO.write(id, &value.into_raw(O::INFO.kind))
}

fn not_connected() -> Error {
    Error::new(
        SRT_ERRNO::SRT_ENOCONN,
        "max_message_size",
        "the connection has no message size yet",
    )
}

fn max_message_size(id: SRTSOCKET) -> Result<usize> {
    // Unless the application set a size, libsrt returns what the MSS leaves; 0 until connected.
    let size = match read::<opt::PayloadSize>(id)? {
        0 => return Err(not_connected()),
        size => usize::from(size),
    };
    // Either may be missing: libsrt before 1.5.2 has no crypto modes.
    let tagged = matches!(read::<opt::CryptoMode>(id), Ok(CryptoMode::Gcm));
    let filtered = matches!(read::<opt::PacketFilter>(id), Ok(Some(_)));
    let taken = if tagged { GCM_TAG } else { 0 } + if filtered { FILTER_HEADER } else { 0 };
    let most = MESSAGE_LIMIT - taken;
    Ok(size.saturating_sub(taken).min(most))
}

impl SrtSocket {
    /// Reads an option: `srt_getsockflag`. Does not block.
    ///
    /// # Errors
    /// The socket is closed, or (for a few options) not connected.
    ///
    /// # Examples
    /// ```no_run
    /// # use srt_safe::{opt, SrtSocket, Result};
    /// # fn f(socket: SrtSocket) -> Result<()> {
    /// println!("the peer has libsrt {}", socket.option::<opt::PeerVersion>()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn option<O: Readable>(&self) -> Result<O::Value> {
        read::<O>(self.raw.id())
    }

    /// Sets an option of a live socket: `srt_setsockflag`. Does not block.
    ///
    /// Options that must be set before the socket is bound or connected go into [`Options`] and do not compile here:
    ///
    /// ```compile_fail
    /// # use srt_safe::{opt, SrtSocket};
    /// # fn f(socket: SrtSocket) {
    /// socket.set_option(opt::Latency, std::time::Duration::from_secs(1));
    /// # }
    /// ```
    ///
    /// # Errors
    /// A value out of range; or the socket is closed or broken.
    ///
    /// # Examples
    /// ```no_run
    /// # use srt_safe::{opt, MaxBandwidth, SrtSocket, Result};
    /// # fn f(socket: SrtSocket) -> Result<()> {
    /// socket.set_option(opt::MaxBandwidth, MaxBandwidth::RelativeToInput)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_option<O: AfterConnect>(&self, _option: O, value: O::Value) -> Result<()> {
        write::<O>(self.raw.id(), value)
    }

    /// The largest message that fits one packet of this connection, in bytes, which `srt_sendmsg2` accepts in live
    /// mode. It depends on the MSS that both sides negotiated (44 bytes of it are IP, UDP and SRT headers), the AES-GCM
    /// tag (16 bytes) and the packet filter (4 bytes), and on [`opt::PayloadSize`] if set. For a group, the smallest
    /// value of its links. Does not block.
    ///
    /// # Errors
    /// The socket is closed or not connected.
    pub fn max_message_size(&self) -> Result<usize> {
        if !self.is_group() {
            return max_message_size(self.raw.id());
        }
        let links = SrtGroup::members_of(self.id())?;
        // A link that is still connecting has no size yet; one that has just broken has none any more.
        let sizes = links
            .iter()
            .filter_map(|link| max_message_size(link.id.value()).ok());
        sizes.min().ok_or_else(not_connected)
    }

    /// The state of the key exchange in both directions. Does not block.
    ///
    /// # Errors
    /// The socket is closed.
    pub fn key_state(&self) -> Result<KeyState> {
        Ok(KeyState {
            sending: self.option::<opt::SendKeyState>()?,
            receiving: self.option::<opt::ReceiveKeyState>()?,
        })
    }
}

impl SrtListener {
    /// Reads an option that connections inherit: `srt_getsockflag`. Does not block.
    ///
    /// # Errors
    /// The listener is closed.
    pub fn option<O: Readable>(&self) -> Result<O::Value> {
        read::<O>(self.raw.id())
    }

    /// Sets an option of the listener that later connections inherit: `srt_setsockflag`. Does not block.
    ///
    /// # Errors
    /// A value out of range; or the listener is closed.
    pub fn set_option<O: AfterConnect>(&self, _option: O, value: O::Value) -> Result<()> {
        write::<O>(self.raw.id(), value)
    }
}

/// The state of the key exchange, for each direction of a connection.
///
/// ```text
///   no passphrase here or there:            Unsecured
///   passphrases equal:          Securing -> Secured
///   only the peer has one:                  NoSecret      (if both allow unencrypted: SRTO_ENFORCEDENCRYPTION off)
///   passphrases differ:                     BadSecret     (likewise)
///   CTR against GCM:                        BadCryptoMode (likewise)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyState {
    /// For what this side sends.
    pub sending: KmState,
    /// For what the peer sends.
    pub receiving: KmState,
}

impl KeyState {
    /// Whether both directions are encrypted, and each side can decrypt the other's data.
    #[must_use]
    pub fn is_secured(self) -> bool {
        self.sending == KmState::Secured && self.receiving == KmState::Secured
    }
}

#[cfg(test)]
mod tests;
