//! The passphrase of an SRT connection. It never appears in Debug output, errors or logs, and its memory is overwritten
//! on drop.

use std::{fmt, str::FromStr};

/// A passphrase from which the keys of a connection are derived (`SRTO_PASSPHRASE`): 10 to 79 bytes.
///
/// ```
/// # use srt_safe::Passphrase;
/// let passphrase: Passphrase = "correct horse battery".parse()?;
/// assert_eq!(format!("{passphrase:?}"), "Passphrase(..)");
/// assert!(Passphrase::new("too short").is_err());
/// # Ok::<(), srt_safe::InvalidPassphrase>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Box<[u8]>);

impl Passphrase {
    /// The shortest passphrase that libsrt accepts, in bytes.
    pub const MIN_LEN: usize = 10;
    /// The longest passphrase that works everywhere, in bytes (libsrt accepts one more, older peers do not).
    pub const MAX_LEN: usize = 79;

    /// Creates a passphrase of 10 to 79 bytes.
    ///
    /// # Errors
    /// [`InvalidPassphrase`] if it is shorter or longer, or contains a zero byte. The error does not contain the
    /// passphrase.
    pub fn new(passphrase: impl AsRef<[u8]>) -> Result<Self, InvalidPassphrase> {
        let bytes = passphrase.as_ref();
        if !(Self::MIN_LEN..=Self::MAX_LEN).contains(&bytes.len()) {
            return Err(InvalidPassphrase::Length(bytes.len()));
        }
        if bytes.contains(&0) {
            return Err(InvalidPassphrase::ZeroByte);
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes of the secret, for passing it on.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Passphrase {
    fn drop(&mut self) {
        self.0.fill(0);
        // Without a reader of the zeros, the compiler may optimise the write away.
        std::hint::black_box(&self.0);
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

impl FromStr for Passphrase {
    type Err = InvalidPassphrase;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

/// Why a text cannot be a passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidPassphrase {
    /// It has this many bytes, which is less than 10 or more than 79.
    Length(usize),
    /// It contains a zero byte.
    ZeroByte,
}

impl fmt::Display for InvalidPassphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(len) => write!(f, "a passphrase must have 10 to 79 bytes, not {len}"),
            Self::ZeroByte => f.write_str("a passphrase must not contain a zero byte"),
        }
    }
}

impl std::error::Error for InvalidPassphrase {}
