//! Errors of calls to a backend. Plain data, used on any thread; never contains a URL's user, password or query.

use std::{borrow::Cow, fmt, time::Duration};

/// Why a call has no usable answer. [`Display`](fmt::Display) is for operators, and for the reason of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallError {
    /// No connection: refused, no route, unknown host, or an invalid certificate.
    Unreachable(String),
    /// The call, including the answer, exceeded this time.
    TimedOut(Duration),
    /// The connection ended before the answer was complete, or the answer was no HTTP.
    Broken(String),
    /// The answer is longer than this many bytes.
    TooLarge(usize),
    /// A status that is not valid here.
    Status(u16),
    /// The answer is not a JSON object.
    NotJson(String),
    /// A field of the answer is missing or invalid.
    Field {
        /// Its path: `outputs[2]`.
        field: String,
        /// What it must be: `a text`.
        wanted: Cow<'static, str>,
    },
    /// An unknown field of the answer, which may change its meaning.
    UnknownField(String),
}

impl CallError {
    /// Whether the backend as a whole has failed, rather than this one answer: only that counts for a
    /// [`Breaker`](super::Breaker).
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TimedOut(_) | Self::Broken(_) => true,
            Self::Status(status) => *status >= 500,
            Self::TooLarge(_) | Self::NotJson(_) | Self::Field { .. } | Self::UnknownField(_) => false,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "cannot be reached: {why}"),
            Self::TimedOut(after) => write!(f, "did not answer within {} ms", after.as_millis()),
            Self::Broken(why) => write!(f, "sent an incomplete answer: {why}"),
            Self::TooLarge(most) => write!(f, "answered with more than {most} bytes"),
            Self::Status(status) => write!(f, "answered with status {status}"),
            Self::NotJson(why) => write!(f, "did not answer with a JSON object: {why}"),
            Self::Field { field, wanted } => {
                write!(f, "answered with a wrong field: {field:?} must be {wanted}")
            }
            Self::UnknownField(field) => {
                write!(
                    f,
                    "answered with the field {field:?}, which the gateway does not know"
                )
            }
        }
    }
}

impl std::error::Error for CallError {}

/// The limit of concurrent calls is reached: the call was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many calls to the backend are in progress")
    }
}

impl std::error::Error for Busy {}
