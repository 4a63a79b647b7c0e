//! Errors of option values, detected before libsrt is called.

use std::fmt;

/// Why an option or its value is refused. Never contains the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionError {
    /// libsrt has no option of that name.
    Unknown {
        /// The name that was given.
        name: String,
        /// The option that was probably meant.
        nearest: Option<&'static str>,
    },
    /// The option is read-only.
    ReadOnly {
        /// The option.
        name: &'static str,
    },
    /// The option does not accept a value of this type.
    WrongType {
        /// The option.
        name: &'static str,
        /// The type of the value.
        given: &'static str,
        /// What the option accepts.
        allowed: &'static str,
    },
    /// The value has the right type and is out of range.
    OutOfRange {
        /// The option.
        name: &'static str,
        /// What the option accepts.
        allowed: &'static str,
    },
    /// The value is valid, but conflicts with another option.
    Conflict {
        /// The option.
        name: &'static str,
        /// The conflict, and what to do about it.
        reason: &'static str,
    },
}

impl OptionError {
    /// The C call that this error replaces, with the option.
    pub(crate) fn operation(&self) -> &'static str {
        let (Self::ReadOnly { name }
        | Self::WrongType { name, .. }
        | Self::OutOfRange { name, .. }
        | Self::Conflict { name, .. }) = self
        else {
            return "srt_setsockflag";
        };
        super::opt::by_name(name).map_or("srt_setsockflag", |info| info.operation)
    }

    /// The part of the message that an [`Error`](crate::Error) can carry, which allocates nothing.
    pub(crate) const fn detail(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "no such option",
            Self::ReadOnly { .. } => "the option is read-only",
            Self::WrongType { allowed, .. } | Self::OutOfRange { allowed, .. } => allowed,
            Self::Conflict { reason, .. } => reason,
        }
    }
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name, nearest } => {
                write!(f, "libsrt has no option \"{}\"", name.escape_debug())?;
                match nearest {
                    Some(nearest) => write!(f, "; did you mean \"{nearest}\"?"),
                    None => Ok(()),
                }
            }
            Self::ReadOnly { name } => write!(f, "option \"{name}\" is read-only: remove it"),
            Self::WrongType { name, given, allowed } => {
                write!(f, "option \"{name}\" takes {allowed}, not {given}")
            }
            Self::OutOfRange { name, allowed } => write!(f, "option \"{name}\" takes {allowed}"),
            Self::Conflict { name, reason } => write!(f, "option \"{name}\": {reason}"),
        }
    }
}

impl std::error::Error for OptionError {}
