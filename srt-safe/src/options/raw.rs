//! Option values in libsrt's form, the kinds of such values with their limits, and reading and writing them on a
//! socket. Runs on the caller's thread; libsrt takes its own locks.

#![expect(unnameable_types, reason = "sealed: only the options' table speaks of them")]

use std::{ffi::c_int, fmt, time::Duration};

use libsrt_sys::{SRT_ERRNO, SRTSOCKET};

use super::{OptionError, OptionInfo, OptionValue, PacketFilter, Passphrase, values::SrtVersion};
use crate::{Error, ErrorKind, Result, ffi};

/// An untyped option value. Flags are 0 and 1; durations are in the unit of the option's kind.
#[derive(Clone, PartialEq, Eq)]
pub enum Raw {
    Int(i64),
    Bytes(Box<[u8]>),
    Secret(Option<Passphrase>),
}

/// The C type of an option, and its accepted values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A C++ `bool`.
    Flag,
    /// An `int` that is 0 or 1.
    IntFlag,
    /// An `int` of `min..=max`, or `special`.
    Int {
        min: i64,
        max: i64,
        special: Option<i64>,
    },
    /// Like `Int`, but an `int64_t`.
    Wide { min: i64, max: i64 },
    /// Like `Int`, in milliseconds.
    Millis {
        min: i64,
        max: i64,
        special: Option<i64>,
    },
    /// `struct linger`, in seconds; 0 is off.
    Linger,
    /// An `int` that stands for one of these names.
    Names(&'static [(&'static str, i64)]),
    /// One of these texts.
    Words(&'static [&'static str]),
    /// 0xMMmmpp.
    Version,
    /// Bytes, at most that many.
    Bytes { max: usize },
    /// The name of a network device.
    Device,
    /// The configuration of a packet filter.
    Filter,
    /// The passphrase.
    Secret,
}

pub(super) const INT_MAX: i64 = i32::MAX as i64;

impl Kind {
    /// The duration of one unit, for times.
    pub(crate) const fn unit(self) -> Duration {
        match self {
            Self::Linger => Duration::from_secs(1),
            _ => Duration::from_millis(1),
        }
    }

    /// The value that means "none": no limit, not set, off.
    pub(crate) fn none(self) -> Raw {
        match self {
            Self::Linger => Raw::Int(0),
            Self::Words(_) | Self::Bytes { .. } | Self::Device | Self::Filter => Raw::Bytes(Box::default()),
            Self::Secret => Raw::Secret(None),
            _ => Raw::Int(-1),
        }
    }

    fn takes(self, raw: &Raw) -> bool {
        match (self, raw) {
            (Self::Flag | Self::IntFlag, Raw::Int(value)) => (0..=1).contains(value),
            (Self::Int { min, max, special } | Self::Millis { min, max, special }, Raw::Int(value)) => {
                (min..=max).contains(value) || special == Some(*value)
            }
            (Self::Wide { min, max }, Raw::Int(value)) => (min..=max).contains(value),
            (Self::Linger, Raw::Int(value)) => (0..=INT_MAX).contains(value),
            (Self::Names(names), Raw::Int(value)) => names.iter().any(|(_, code)| code == value),
            (Self::Version, Raw::Int(value)) => (0..=0x00ff_ffff).contains(value),
            (Self::Words(words), Raw::Bytes(bytes)) => words.iter().any(|word| word.as_bytes() == &**bytes),
            (Self::Bytes { max }, Raw::Bytes(bytes)) => bytes.len() <= max,
            // IFNAMSIZ counts the terminator.
            (Self::Device, Raw::Bytes(bytes)) => bytes.len() < libc::IFNAMSIZ && !bytes.contains(&0),
            (Self::Filter, Raw::Bytes(bytes)) => {
                std::str::from_utf8(bytes).is_ok_and(|text| text.parse::<PacketFilter>().is_ok())
            }
            (Self::Secret, Raw::Secret(_)) => true,
            _ => false,
        }
    }

    /// Converts a value from a configuration file to libsrt's form. The error is the type of the value.
    fn convert(self, value: &OptionValue) -> Result<Option<Raw>, &'static str> {
        let wrong = match value {
            OptionValue::Int(_) => "an integer",
            OptionValue::Bool(_) => "a boolean",
            OptionValue::Str(_) => "a text",
        };
        match (self, value) {
            (Self::Flag | Self::IntFlag | Self::Names(_), OptionValue::Bool(value)) => {
                match self {
                    // A boolean can only express a choice between no and yes, possibly with a third value.
                    Self::Names(names) if !names.iter().any(|(name, _)| *name == "yes") => Err(wrong),
                    _ => Ok(Some(Raw::Int(i64::from(*value)))),
                }
            }
            (
                Self::Flag
                | Self::IntFlag
                | Self::Int { .. }
                | Self::Wide { .. }
                | Self::Millis { .. }
                | Self::Linger
                | Self::Names(_)
                | Self::Version,
                OptionValue::Int(value),
            ) => Ok(Some(Raw::Int(*value))),
            (Self::Names(names), OptionValue::Str(text)) => Ok(names
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(text))
                .map(|(_, code)| Raw::Int(*code))),
            (Self::Version, OptionValue::Str(text)) => Ok(text
                .parse::<SrtVersion>()
                .ok()
                .map(|version| Raw::Int(version.number().into()))),
            (Self::Words(_) | Self::Bytes { .. } | Self::Device | Self::Filter, OptionValue::Str(text)) => {
                Ok(Some(Raw::Bytes(text.as_bytes().into())))
            }
            (Self::Secret, OptionValue::Str(text)) if text.is_empty() => Ok(Some(Raw::Secret(None))),
            (Self::Secret, OptionValue::Str(text)) => Ok(Passphrase::new(text)
                .ok()
                .map(|passphrase| Raw::Secret(Some(passphrase)))),
            _ => Err(wrong),
        }
    }
}

impl OptionInfo {
    /// Checks that the option accepts a value.
    pub(crate) fn check(&'static self, raw: &Raw) -> Result<(), OptionError> {
        if self.kind.takes(raw) {
            Ok(())
        } else {
            Err(self.out_of_range())
        }
    }

    /// Converts and checks a value from a configuration file.
    pub(crate) fn convert(&'static self, value: &OptionValue) -> Result<Raw, OptionError> {
        if self.settable.is_none() {
            return Err(OptionError::ReadOnly { name: self.name });
        }
        let raw = self.kind.convert(value).map_err(|given| OptionError::WrongType {
            name: self.name,
            given,
            allowed: self.allowed,
        })?;
        let raw = raw.ok_or_else(|| self.out_of_range())?;
        self.check(&raw).map(|()| raw)
    }

    fn out_of_range(&self) -> OptionError {
        OptionError::OutOfRange {
            name: self.name,
            allowed: self.allowed,
        }
    }

    /// Sets the option on a socket, a listener or a group.
    pub(crate) fn write(&'static self, id: SRTSOCKET, raw: &Raw) -> Result<()> {
        self.encode(raw, |bytes| {
            ffi::set_socket_flag_bytes(id, self.number, bytes).map_err(|error| self.explain(error))
        })
    }

    /// Checks a value and passes the bytes in libsrt's form to `f`, aligned for any type.
    pub(crate) fn encode(&'static self, raw: &Raw, f: impl FnOnce(&[u8]) -> Result<()>) -> Result<()> {
        #[repr(C, align(8))]
        struct Aligned([u8; 8]);
        self.check(raw)
            .map_err(|error| Error::invalid_input(self.operation, error.detail()))?;
        let mut number = Aligned([0; 8]);
        let bytes = match raw {
            Raw::Int(value) => match self.kind {
                Kind::Flag => {
                    number.0[0] = u8::from(*value != 0);
                    &number.0[..1]
                }
                Kind::Wide { .. } => {
                    number.0 = value.to_ne_bytes();
                    &number.0[..]
                }
                // `struct linger`: whether, and for how many seconds.
                Kind::Linger => {
                    let seconds = self.int(*value)?;
                    number.0[..4].copy_from_slice(&c_int::from(seconds > 0).to_ne_bytes());
                    number.0[4..].copy_from_slice(&seconds.to_ne_bytes());
                    &number.0[..]
                }
                _ => {
                    number.0[..4].copy_from_slice(&self.int(*value)?.to_ne_bytes());
                    &number.0[..4]
                }
            },
            Raw::Bytes(bytes) => bytes,
            Raw::Secret(secret) => secret.as_ref().map_or(&[][..], Passphrase::expose),
        };
        f(bytes).map_err(|error| error.with_operation(self.operation))
    }

    /// Reads the option from a socket, a listener or a group.
    pub(crate) fn read(&'static self, id: SRTSOCKET) -> Result<Raw> {
        match self.kind {
            Kind::Words(_) | Kind::Bytes { .. } | Kind::Device | Kind::Filter => {
                let mut text = [0; 1024];
                ffi::socket_flag_bytes(id, self.number, &mut text).map(|len| Raw::Bytes(text[..len].into()))
            }
            Kind::Linger => ffi::socket_flag::<Linger>(id, self.number)
                .map(|linger| Raw::Int(if linger.on == 0 { 0 } else { linger.seconds.into() })),
            Kind::Secret => {
                return Err(Error::invalid_input(
                    self.operation,
                    "libsrt does not return the passphrase",
                ));
            }
            _ => read_number(id, self),
        }
        .map_err(|error| self.explain(error))
    }

    /// libsrt also returns "bad parameters" for an option that it was built without; invalid values do not get this
    /// far.
    fn explain(&self, error: Error) -> Error {
        let error = error.with_operation(self.operation);
        if error.code().value() == SRT_ERRNO::SRT_EINVPARAM.0 {
            error.with_detail("the linked libsrt does not support this option, or not for this socket")
        } else {
            error
        }
    }

    /// Whether the linked libsrt has the option: an installed one may be older, or built without bonding or AES-GCM.
    /// Creates a temporary socket.
    ///
    /// # Errors
    /// libsrt cannot create a socket.
    pub fn is_supported(&'static self) -> Result<bool> {
        if !self.readable {
            // The two that cannot be read are as old as libsrt 1.3.
            return Ok(true);
        }
        let socket = ffi::OwnedSocket::create()?;
        match self.read(socket.id()) {
            Err(error)
                if error.kind() == ErrorKind::InvalidInput || error.kind() == ErrorKind::InvalidState =>
            {
                Ok(false)
            }
            result => result.map(|_| true),
        }
    }

    fn int(&self, value: i64) -> Result<c_int> {
        c_int::try_from(value).map_err(|_| Error::invalid_input(self.operation, self.allowed))
    }
}

/// `struct linger`, which has no `Default` in libc.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Linger {
    on: c_int,
    seconds: c_int,
}

/// libsrt writes numbers without checking the length, and a group returns the width with which a value was set: so the
/// buffer has room and alignment for the widest, and the returned length decides.
fn read_number(id: SRTSOCKET, info: &OptionInfo) -> Result<Raw> {
    #[repr(C, align(8))]
    struct Widest([u8; 8]);
    let mut buffer = Widest([0; 8]);
    let len = ffi::socket_flag_bytes(id, info.number, &mut buffer.0)?;
    let [a, b, c, d, ..] = buffer.0;
    match len {
        1 => Ok(Raw::Int(i64::from(a != 0))),
        4 => Ok(Raw::Int(c_int::from_ne_bytes([a, b, c, d]).into())),
        8 => Ok(Raw::Int(i64::from_ne_bytes(buffer.0))),
        _ => Err(Error::new(
            SRT_ERRNO::SRT_EINVPARAM,
            info.operation,
            "libsrt returned a value of an unknown width",
        )),
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => value.fmt(f),
            Self::Bytes(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Self::Secret(Some(_)) => f.write_str("(secret)"),
            Self::Secret(None) => f.write_str("(none)"),
        }
    }
}
