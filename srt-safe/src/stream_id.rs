//! The streamid that a caller sends, as bytes, and the standard `#!::` syntax in it.
//!
//! Owns the 512-byte limit, the parser and the builder. All functions are pure and run on the calling thread, including
//! in the listen callback. It deliberately ignores the meaning that a server gives to a resource or a user, and all
//! formats but the standard one: a streamid that does not start with `#!:` belongs to the application.

use std::{borrow::Cow, fmt, str::FromStr};

/// The prefix of a streamid in standard syntax.
const PREFIX: &str = "#!:";

/// A streamid (`SRTO_STREAMID`): up to 512 bytes that a caller sends with its handshake.
///
/// It need not be text: [`as_str`](Self::as_str) returns it if it is, [`Display`](fmt::Display) shows it safely
/// (replacing invalid UTF-8 and escaping control characters), and [`fields`](Self::fields) parses the standard syntax.
/// libsrt drops trailing zero bytes in transit.
///
/// ```
/// use srt_safe::{Mode, StreamId};
///
/// let id: StreamId = "#!::u=alice,r=live/news,m=publish".parse()?;
/// let fields = id.fields()?;
/// assert_eq!(fields.user(), Some("alice"));
/// assert_eq!(fields.resource(), Some("live/news"));
/// assert_eq!(fields.mode(), Mode::Publish);
///
/// let built = StreamId::builder().user("alice").resource("live/news").mode(Mode::Publish).build()?;
/// assert_eq!(built, id);
/// # Ok::<(), srt_safe::StreamIdError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct StreamId(Box<[u8]>);

impl StreamId {
    /// The longest streamid in bytes (`CUDT::MAX_SID_LENGTH`).
    pub const MAX_LEN: usize = 512;

    /// Creates a streamid from any bytes.
    ///
    /// # Errors
    /// [`StreamIdError::TooLong`] above [`MAX_LEN`](Self::MAX_LEN) bytes.
    pub fn new(raw: impl AsRef<[u8]>) -> Result<Self, StreamIdError> {
        let raw = raw.as_ref();
        if raw.len() > Self::MAX_LEN {
            return Err(StreamIdError::TooLong { len: raw.len() });
        }
        Ok(Self(raw.into()))
    }

    /// Builds a streamid in standard syntax.
    #[must_use]
    pub fn builder() -> StreamIdBuilder {
        StreamIdBuilder::default()
    }

    /// The bytes as sent over the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The text, with U+FFFD for invalid UTF-8. Control characters are kept: use `Display` for logs.
    #[must_use]
    pub fn to_string_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the caller sent none (an empty streamid and a missing one are the same on the wire).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the streamid claims the standard syntax: it starts with `#!:`.
    #[must_use]
    pub fn is_standard(&self) -> bool {
        self.0.starts_with(PREFIX.as_bytes())
    }

    /// Parses the standard syntax: `#!::key=value,key=value`, or `#!:{key=value,key={…}}` where braces may nest.
    ///
    /// The first `=` of a pair ends its key; a value may contain more of them, and may be empty.
    ///
    /// # Errors
    /// [`StreamIdError::NotStandard`] for any other text, and an error with the byte position for violations of the
    /// syntax: a pair without `=`, an empty or repeated key, unbalanced braces, an unknown mode, invalid UTF-8.
    pub fn fields(&self) -> Result<Fields<'_>, StreamIdError> {
        let Some(body) = self.0.strip_prefix(PREFIX.as_bytes()) else {
            return Err(StreamIdError::NotStandard);
        };
        let body = std::str::from_utf8(body).map_err(|error| StreamIdError::NotUtf8 {
            at: PREFIX.len() + error.valid_up_to(),
        })?;
        match body.as_bytes().first() {
            Some(b':') => Fields::parse(&body[1..], PREFIX.len() + 1, Nesting::Flat),
            Some(b'{') => Fields::parse_block(body, PREFIX.len()),
            _ => Err(StreamIdError::Syntax {
                at: PREFIX.len(),
                expected: "':' or '{' after \"#!:\"",
            }),
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for c in self.to_string_lossy().chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

impl AsRef<[u8]> for StreamId {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for StreamId {
    type Err = StreamIdError;

    fn from_str(text: &str) -> Result<Self, StreamIdError> {
        Self::new(text)
    }
}

impl TryFrom<&str> for StreamId {
    type Error = StreamIdError;

    fn try_from(text: &str) -> Result<Self, StreamIdError> {
        Self::new(text)
    }
}

impl TryFrom<&[u8]> for StreamId {
    type Error = StreamIdError;

    fn try_from(bytes: &[u8]) -> Result<Self, StreamIdError> {
        Self::new(bytes)
    }
}

/// What a caller wants to do with the resource: key `m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// `request`: the caller wants to receive. The default without `m`.
    #[default]
    Request,
    /// `publish`: the caller wants to send.
    Publish,
    /// `bidirectional`: both.
    Bidirectional,
}

impl Mode {
    /// The word in the standard syntax.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Publish => "publish",
            Self::Bidirectional => "bidirectional",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Request, Self::Publish, Self::Bidirectional]
            .into_iter()
            .find(|mode| mode.as_str() == word)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The pairs of a streamid in standard syntax, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields<'a> {
    pairs: Vec<Pair<'a>>,
    mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair<'a> {
    key: &'a str,
    value: &'a str,
    value_at: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Nesting {
    /// `#!::`: braces are characters like any other.
    Flat,
    /// `#!:{`: braces enclose a value, in which commas do not separate pairs.
    Braces,
}

impl<'a> Fields<'a> {
    /// The value of a key, standard or not.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.pairs
            .iter()
            .find(|pair| pair.key == key)
            .map(|pair| pair.value)
    }

    /// Key `u`: the user name.
    #[must_use]
    pub fn user(&self) -> Option<&'a str> {
        self.get("u")
    }

    /// Key `h`: the host name, if one address serves several.
    #[must_use]
    pub fn host(&self) -> Option<&'a str> {
        self.get("h")
    }

    /// Key `r`: the name of the resource.
    #[must_use]
    pub fn resource(&self) -> Option<&'a str> {
        self.get("r")
    }

    /// Key `s`: the session id, negotiated elsewhere.
    #[must_use]
    pub fn session(&self) -> Option<&'a str> {
        self.get("s")
    }

    /// Key `t`: the type of the content. The standard ones are `stream` (the default), `file` and `auth`.
    #[must_use]
    pub fn stream_type(&self) -> Option<&'a str> {
        self.get("t")
    }

    /// Key `m`: what the caller wants to do; [`Mode::Request`] by default.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The pairs in a braced value (`key={a=1,b=2}` of the nested form); `None` if there is no such key.
    ///
    /// # Errors
    /// Like [`StreamId::fields`]; a value without braces is a [`StreamIdError::Syntax`].
    #[must_use]
    pub fn nested(&self, key: &str) -> Option<Result<Self, StreamIdError>> {
        self.pairs
            .iter()
            .find(|pair| pair.key == key)
            .map(|pair| Self::parse_block(pair.value, pair.value_at))
    }

    /// All pairs, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> + '_ {
        self.pairs.iter().map(|pair| (pair.key, pair.value))
    }

    /// The pairs whose keys are not among the standard `u`, `h`, `r`, `s`, `t` and `m`, in order.
    pub fn other(&self) -> impl Iterator<Item = (&'a str, &'a str)> + '_ {
        self.iter()
            .filter(|(key, _)| !matches!(*key, "u" | "h" | "r" | "s" | "t" | "m"))
    }

    /// `block` starts `at` bytes into the streamid.
    fn parse_block(block: &'a str, at: usize) -> Result<Self, StreamIdError> {
        let Some(inner) = block.strip_prefix('{') else {
            return Err(StreamIdError::Syntax {
                at,
                expected: "a value in braces",
            });
        };
        let Some(inner) = inner.strip_suffix('}') else {
            return Err(StreamIdError::Syntax {
                at: at + block.len(),
                expected: "'}' at the end",
            });
        };
        Self::parse(inner, at + 1, Nesting::Braces)
    }

    /// `body` starts `base` bytes into the streamid.
    fn parse(body: &'a str, base: usize, nesting: Nesting) -> Result<Self, StreamIdError> {
        let mut pairs: Vec<Pair<'a>> = Vec::new();
        let mut mode = Mode::default();
        let mut start = 0;
        // An empty body has no pairs, but a pair must follow a comma.
        while start < body.len() || !pairs.is_empty() {
            let end = start + pair_len(&body[start..], base + start, nesting)?;
            let pair = Pair::parse(&body[start..end], base + start)?;
            if pairs.iter().any(|other| other.key == pair.key) {
                return Err(StreamIdError::DuplicateKey { at: base + start });
            }
            if pair.key == "m" {
                mode = Mode::from_word(pair.value).ok_or(StreamIdError::InvalidMode { at: pair.value_at })?;
            }
            pairs.push(pair);
            if end == body.len() {
                break;
            }
            start = end + 1;
        }
        Ok(Self { pairs, mode })
    }
}

impl<'a> Pair<'a> {
    fn parse(text: &'a str, at: usize) -> Result<Self, StreamIdError> {
        let Some((key, value)) = text.split_once('=') else {
            return Err(StreamIdError::Syntax {
                at: at + text.len(),
                expected: "key=value",
            });
        };
        if key.is_empty() {
            return Err(StreamIdError::Syntax {
                at,
                expected: "a key before '='",
            });
        }
        Ok(Self {
            key,
            value,
            value_at: at + key.len() + 1,
        })
    }
}

/// The number of bytes up to the comma that ends the first pair of `text`, or up to the end.
fn pair_len(text: &str, base: usize, nesting: Nesting) -> Result<usize, StreamIdError> {
    if nesting == Nesting::Flat {
        return Ok(text.find(',').unwrap_or(text.len()));
    }
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => {
                return Err(StreamIdError::Syntax {
                    at: base + at,
                    expected: "a '{' before this '}'",
                });
            }
            b'}' => depth -= 1,
            b',' if depth == 0 => return Ok(at),
            _ => {}
        }
    }
    if depth > 0 {
        return Err(StreamIdError::Syntax {
            at: base + text.len(),
            expected: "'}' for every '{'",
        });
    }
    Ok(text.len())
}

/// Builds a streamid of the form `#!::key=value,…`, with the keys in the order of the calls.
///
/// The syntax cannot express a comma in a value (or a comma or `=` in a key): [`build`](Self::build) refuses them.
/// Everything else, including `=` in values, is sent unchanged.
#[derive(Clone, Debug, Default)]
pub struct StreamIdBuilder {
    pairs: Vec<(Box<str>, Box<str>)>,
}

impl StreamIdBuilder {
    /// Key `u`: the user name.
    #[must_use]
    pub fn user(self, user: &str) -> Self {
        self.field("u", user)
    }

    /// Key `h`: the host name.
    #[must_use]
    pub fn host(self, host: &str) -> Self {
        self.field("h", host)
    }

    /// Key `r`: the name of the resource.
    #[must_use]
    pub fn resource(self, resource: &str) -> Self {
        self.field("r", resource)
    }

    /// Key `s`: the session id.
    #[must_use]
    pub fn session(self, session: &str) -> Self {
        self.field("s", session)
    }

    /// Key `t`: the type (`stream`, `file`, `auth`, or the application's own).
    #[must_use]
    pub fn stream_type(self, stream_type: &str) -> Self {
        self.field("t", stream_type)
    }

    /// Key `m`: what the caller wants to do.
    #[must_use]
    pub fn mode(self, mode: Mode) -> Self {
        self.field("m", mode.as_str())
    }

    /// Any key: the standard ones are single lower-case letters, so use longer ones for your own.
    #[must_use]
    pub fn field(mut self, key: &str, value: &str) -> Self {
        self.pairs.push((key.into(), value.into()));
        self
    }

    /// Checks the fields and builds the streamid.
    ///
    /// # Errors
    /// [`StreamIdError::InvalidKey`] and [`StreamIdError::InvalidValue`] for what the syntax cannot express,
    /// [`StreamIdError::DuplicateKey`], [`StreamIdError::InvalidMode`] for an unknown mode in a [`field`](Self::field)
    /// `m`, [`StreamIdError::TooLong`].
    pub fn build(self) -> Result<StreamId, StreamIdError> {
        let mut text = format!("{PREFIX}:");
        for (index, (key, value)) in self.pairs.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            let unfit = |c: char| c == ',' || c.is_control();
            if key.is_empty() {
                return Err(StreamIdError::InvalidKey { at: text.len() });
            }
            if let Some(at) = key.find(|c| c == '=' || unfit(c)) {
                return Err(StreamIdError::InvalidKey { at: text.len() + at });
            }
            if self.pairs[..index].iter().any(|(other, _)| other == key) {
                return Err(StreamIdError::DuplicateKey { at: text.len() });
            }
            text.push_str(key);
            text.push('=');
            if let Some(at) = value.find(unfit) {
                return Err(StreamIdError::InvalidValue { at: text.len() + at });
            }
            if &**key == "m" && Mode::from_word(value).is_none() {
                return Err(StreamIdError::InvalidMode { at: text.len() });
            }
            text.push_str(value);
        }
        StreamId::new(text)
    }
}

/// Why bytes are no valid streamid, or not in standard syntax. `at` counts bytes from the start of the streamid.
///
/// It never contains a part of the streamid, which may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamIdError {
    /// More than [`StreamId::MAX_LEN`] bytes.
    TooLong {
        /// Its length.
        len: usize,
    },
    /// It does not begin with `#!:`, so it belongs to the application.
    NotStandard,
    /// Invalid UTF-8, which the standard syntax does not allow.
    NotUtf8 {
        /// The position of the first invalid byte.
        at: usize,
    },
    /// A syntax error.
    Syntax {
        /// The position.
        at: usize,
        /// What was expected there.
        expected: &'static str,
    },
    /// Key `m` has a value other than `request`, `publish` or `bidirectional`.
    InvalidMode {
        /// The start of the value.
        at: usize,
    },
    /// A repeated key.
    DuplicateKey {
        /// The position of its second occurrence.
        at: usize,
    },
    /// (Builder) a key is empty, or contains a comma, `=` or control character.
    InvalidKey {
        /// The position that the character would have.
        at: usize,
    },
    /// (Builder) a value contains a comma or a control character.
    InvalidValue {
        /// The position that the character would have.
        at: usize,
    },
}

impl fmt::Display for StreamIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len } => write!(
                f,
                "streamid of {len} bytes: at most {} are allowed",
                StreamId::MAX_LEN
            ),
            Self::NotStandard => {
                f.write_str("streamid does not use the standard syntax: it does not begin with \"#!:\"")
            }
            Self::NotUtf8 { at } => write!(f, "streamid is not UTF-8 at byte {at}"),
            Self::Syntax { at, expected } => write!(f, "streamid at byte {at}: expected {expected}"),
            Self::InvalidMode { at } => write!(
                f,
                "streamid at byte {at}: the mode (m) must be request, publish or bidirectional"
            ),
            Self::DuplicateKey { at } => write!(f, "streamid at byte {at}: this key is a duplicate"),
            Self::InvalidKey { at } => write!(
                f,
                "streamid at byte {at}: a key must not be empty or contain ',', '=' or control characters"
            ),
            Self::InvalidValue { at } => write!(
                f,
                "streamid at byte {at}: a value must not contain ',' (the syntax has no escape for it) or control characters"
            ),
        }
    }
}

impl std::error::Error for StreamIdError {}
