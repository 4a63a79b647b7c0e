//! The one secret of an SRT connection. It never shows in Debug, errors or logs, and its memory is overwritten on drop.

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
    /// The shortest passphrase that libsrt takes, in bytes.
    pub const MIN_LEN: usize = 10;
    /// The longest passphrase that works everywhere, in bytes (libsrt itself takes one more, older peers do not).
    pub const MAX_LEN: usize = 79;

    /// Takes a passphrase of 10 to 79 bytes.
    ///
    /// # Errors
    /// [`InvalidPassphrase`] when it is shorter, longer, or has a zero byte in it. The error does not repeat the passphrase.
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

    /// The bytes of the secret, for whoever has to hand it on.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Passphrase {
    fn drop(&mut self) {
        self.0.fill(0);
        // Without a reader of the zeros the compiler may leave the write out.
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
    /// It has that many bytes, which is less than 10 or more than 79.
    Length(usize),
    /// There is a zero byte in it.
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
