//! The streamid formats, as configuration values. Plain data; `access` parses them.

use std::fmt;

/// A streamid format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// `#!::r=name,m=publish`: the syntax of SRT's access control guidelines. Unknown keys are labels.
    Standard,
    /// Only the name of a stream.
    Plain,
    /// `publish/name`, `publish/name/password`, `play/name`, as in srtrelay.
    Slash,
    /// `publish:path:user:password:query`, `read:path`, as in MediaMTX and gosrt.
    Colon,
    /// `host/app/stream`, and `sls_app=` in the standard form, as in the SLS family.
    Sls,
    /// `h=host/app/stream` and `r=app/stream?query` in the standard form, as in SRS.
    Srs,
    /// `name,mode:publish,token:password`, as in datarhei Restreamer, and `name,m=publish`.
    Comma,
    /// A whole `srt://host/app/stream` URL.
    Url,
    /// Any of these percent-encoded, or without the leading `#`.
    Encoded,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Standard,
        Self::Plain,
        Self::Slash,
        Self::Colon,
        Self::Sls,
        Self::Srs,
        Self::Comma,
        Self::Url,
        Self::Encoded,
    ];

    /// The configuration value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Plain => "plain",
            Self::Slash => "slash",
            Self::Colon => "colon",
            Self::Sls => "sls",
            Self::Srs => "srs",
            Self::Comma => "comma",
            Self::Url => "url",
            Self::Encoded => "encoded",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Dialects(u16);

impl Dialects {
    /// All of them: the default.
    pub const fn all() -> Self {
        Self(u16::MAX)
    }

    /// Whether `dialect` is among them.
    pub const fn has(self, dialect: Dialect) -> bool {
        self.0 & dialect.bit() != 0
    }
}

impl FromIterator<Dialect> for Dialects {
    fn from_iter<I: IntoIterator<Item = Dialect>>(dialects: I) -> Self {
        Self(dialects.into_iter().fold(0, |bits, dialect| bits | dialect.bit()))
    }
}

impl Default for Dialects {
    fn default() -> Self {
        Self::all()
    }
}

impl fmt::Debug for Dialects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = Dialect::ALL.into_iter().filter(|dialect| self.has(*dialect));
        f.debug_set().entries(on).finish()
    }
}
