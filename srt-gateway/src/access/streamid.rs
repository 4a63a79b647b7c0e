//! Reads a streamid: which stream a caller asks for, and what it wants to do with it.
//!
//! Pure functions over bytes. Two ways of writing are read: the standard `#!::r=...,m=...`, and a plain stream name.

use std::{borrow::Cow, fmt};

use percent_encoding::percent_decode_str;
use srt_safe::{Mode, StreamId};

use super::decide::Why;
use crate::names::StreamName;

/// What a caller asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ask {
    /// How it was written.
    pub(crate) dialect: Dialect,
    /// The stream, if it is named.
    pub(crate) stream: Option<StreamName>,
    /// What for, if that is said.
    pub(crate) mode: Option<AskMode>,
}

/// A way of writing a streamid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// There is no streamid.
    #[default]
    None,
    /// `#!::r=name,m=publish`: the syntax of SRT's access control guidelines.
    Standard,
    /// The name of a stream and nothing else.
    PlainName,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Standard => "standard",
            Self::PlainName => "plain name",
        })
    }
}

/// What a caller wants to do (`m=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AskMode {
    /// `m=publish`: send.
    Publish,
    /// `m=request`: receive.
    Request,
}

impl Ask {
    /// Reads the bytes as they came in the handshake.
    pub(crate) fn read(streamid: &[u8]) -> Result<Self, Why> {
        if streamid.is_empty() {
            return Ok(Self::default());
        }
        let Ok(text) = str::from_utf8(streamid) else {
            return Err(Why::StreamIdNotText);
        };
        let text = undo_url(text);
        if !text.starts_with("#!") {
            let stream = Some(StreamName::new(text.as_ref()));
            return Ok(Self {
                dialect: Dialect::PlainName,
                stream,
                mode: None,
            });
        }
        let id = StreamId::new(text.as_ref()).map_err(Why::BadStreamId)?;
        let fields = id.fields().map_err(Why::BadStreamId)?;
        let mode = match fields.get("m").map(|_| fields.mode()) {
            None => None,
            Some(Mode::Publish) => Some(AskMode::Publish),
            Some(Mode::Request) => Some(AskMode::Request),
            Some(_) => return Err(Why::BidirectionalMode),
        };
        let stream = fields
            .resource()
            .filter(|name| !name.is_empty())
            .map(StreamName::new);
        Ok(Self {
            dialect: Dialect::Standard,
            stream,
            mode,
        })
    }
}

/// Undoes what URLs do to a streamid on its way: some programs send `%23!::...` as it stands in their URL, some lose the `#`.
fn undo_url(text: &str) -> Cow<'_, str> {
    let decoded = percent_decode_str(text)
        .decode_utf8()
        .unwrap_or(Cow::Borrowed(text));
    if decoded.starts_with("!::") {
        Cow::Owned(format!("#{decoded}"))
    } else {
        decoded
    }
}
