//! Types shared by several modules: names of streams and sessions, and the limits of sessions. Plain data.

use std::{
    borrow::Cow,
    fmt,
    num::{NonZeroU32, NonZeroU64},
    sync::Arc,
    time::Duration,
};

/// The longest name of a stream in bytes: the length limit of a streamid.
pub(crate) const NAME_LIMIT: usize = 512;

/// Name of a stream, such as `live/cam1`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Arc<str>);

impl StreamName {
    /// Makes a name from any text.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// Whether a stream may have this name. Blanks and letters of any script are allowed. Control characters are not,
    /// because names appear on terminals, in logs and in labels. The path components `.` and `..` are not, because
    /// browsers and proxies resolve them in API paths, so that a request would reach another resource.
    pub(crate) fn is_legal(name: &str) -> bool {
        !name.is_empty()
            && name.len() <= NAME_LIMIT
            && !name.contains(is_control)
            && !name.split(['/', '\\']).any(|part| matches!(part, "." | ".."))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for StreamName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Whether a character affects the text around it: controls (C0, DEL, C1), line and paragraph separators, and marks
/// that change the writing direction. Blanks and letters of any script do not.
pub(crate) fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The notation of an escaped character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notation {
    /// `\n`, `\u{1b}`.
    Text,
    /// `\n`, `\u{1b}`; line breaks are kept.
    Lines,
    /// `\u001b`, for JSON text. Line breaks are kept: in JSON they only occur between values.
    Json,
}

/// Escapes characters that satisfy [`is_control`] in text that may come from a peer.
pub(crate) fn escaped(text: &str, notation: Notation) -> Cow<'_, str> {
    let stays = |c: char| !is_control(c) || c == '\n' && notation != Notation::Text;
    if text.chars().all(stays) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match notation {
            _ if stays(c) => out.push(c),
            // All of them are below U+10000.
            Notation::Json => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            Notation::Text | Notation::Lines => out.extend(c.escape_default()),
        }
    }
    Cow::Owned(out)
}

/// Like [`escaped`] for a text of one line, in place.
pub(crate) fn escape(text: &mut String) {
    if let Cow::Owned(escaped) = escaped(text, Notation::Text) {
        *text = escaped;
    }
}

/// The number of a session, which is one accepted connection. Counts up from 1; never reused while the gateway runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(crate) u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The role of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sends the stream to us.
    Publisher,
    /// Receives the stream from us.
    Viewer,
}

impl Role {
    /// The word for logs and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publisher => "publisher",
            Self::Viewer => "viewer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The limits of one session, from its port unless the access decision overrides them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SessionLimits {
    /// The bit rate that a publisher may send, averaged over 5 s; None: no limit.
    pub(crate) max_bitrate: Option<NonZeroU64>,
    /// A publisher that has sent nothing for this long since it connected is closed; None: never.
    pub(crate) first_data: Option<Duration>,
    /// How much may be retransmitted to a viewer, in percent of what is sent to it; None: no limit.
    pub(crate) resend_percent: Option<NonZeroU32>,
    /// Closed after this long without data; None: never.
    pub(crate) silence: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hostile() -> impl Strategy<Value = String> {
        let c = prop_oneof![
            any::<char>(),
            (0u32..0xa0).prop_map(|c| char::from_u32(c).unwrap()),
            (0x2000u32..0x2070).prop_map(|c| char::from_u32(c).unwrap()),
        ];
        proptest::collection::vec(c, 0..40).prop_map(|chars| chars.into_iter().collect())
    }

    #[test]
    fn blanks_and_letters_of_any_script_are_legal_names() {
        for name in [
            "live/cam 1",
            "Straße",
            "каме́ра",
            "カメラ",
            "קול",
            "a\"b\\c",
            "\u{200d}",
            "a.b/..c/...",
        ] {
            assert!(StreamName::is_legal(name), "{name}");
            assert_eq!(escaped(name, Notation::Text), name);
        }
        for name in [
            "",
            "a\nb",
            "a\u{1b}[2J",
            "a\u{9b}2J",
            "a\u{7f}",
            "a\u{202e}b",
            "a\u{2028}b",
            "a\0",
            "..",
            "a/./b",
            "../../etc",
            "a\\..\\b",
        ] {
            assert!(!StreamName::is_legal(name), "{name:?}");
        }
        assert!(!StreamName::is_legal(&"x".repeat(513)));
        assert_eq!(
            escaped("a\n\u{1b}[2J\u{9b}", Notation::Text),
            "a\\n\\u{1b}[2J\\u{9b}"
        );
    }

    proptest! {
        #[test]
        fn no_control_character_comes_through(text in hostile()) {
            prop_assert!(!escaped(&text, Notation::Text).contains(is_control));
            prop_assert!(!escaped(&text, Notation::Lines).contains(|c| c != '\n' && is_control(c)));
            let json = serde_json::to_string(&text).unwrap();
            let safe = escaped(&json, Notation::Json);
            prop_assert!(!safe.contains(is_control));
            prop_assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), text);
        }
    }
}
