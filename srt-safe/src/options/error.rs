//! What is wrong with the value of an option, said before libsrt is asked.

use std::fmt;

/// Why an option or its value is refused. Values of secrets never appear in it.
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
    /// The option tells something about the socket and cannot be set.
    ReadOnly {
        /// The option.
        name: &'static str,
    },
    /// The value is of a type that the option does not take.
    WrongType {
        /// The option.
        name: &'static str,
        /// What kind of value was given.
        given: &'static str,
        /// What the option takes.
        allowed: &'static str,
    },
    /// The value is of the right type, and outside of what the option takes.
    OutOfRange {
        /// The option.
        name: &'static str,
        /// What the option takes.
        allowed: &'static str,
    },
    /// Each value is right, but not together with another one.
    Conflict {
        /// The option.
        name: &'static str,
        /// What contradicts what, and what to do.
        reason: &'static str,
    },
}

impl OptionError {
    /// The C call, with the option, that this stands in for.
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
