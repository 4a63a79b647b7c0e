//! A caller's handshake beyond the streamid, parsed during access control.
//!
//! The layout of the extension blocks follows the SRT protocol (draft-sharabayko-srt, sections 3.2.1.1 and 3.2.2): a
//! word with type and length, then the content. Every block is bounded by the handshake; blocks that do not fit are
//! ignored.

use std::time::Duration;

use crate::{AccessRequest, GroupType, KeyLength, PacketFilter, SocketId, SrtVersion, group};

/// Types of extension blocks.
const HSREQ: u32 = 1;
const KMREQ: u32 = 3;
const CONGESTION: u32 = 6;
const FILTER: u32 = 7;
const GROUP: u32 = 8;

/// The flag of a caller that uses the stream API (`SRTO_MESSAGEAPI` off).
const STREAM: u32 = 1 << 6;

/// The parameters that a caller announces in its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerHandshake {
    /// Its SRT version.
    pub version: SrtVersion,
    /// The latency that it requests for what it receives.
    pub receive_latency: Duration,
    /// The minimum latency that it requests for what it sends.
    pub send_latency: Duration,
    /// The requested key length; None: no encryption.
    pub encryption: Option<KeyLength>,
    /// The group that this handshake belongs to; None: the caller is not bonded.
    pub group: Option<CallerGroup>,
    /// The requested packet filter.
    pub filter: CallerFilter,
    /// The requested transmission mode.
    pub mode: CallerMode,
}

/// The packet filter that a caller requests. libsrt allocates buffers for each of its columns before the connection is
/// accepted, so admitting the caller admits the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerFilter {
    /// None.
    None,
    /// This one. Missing parameters come from the listener's own filter ([`PacketFilter::merge`]).
    Asked(PacketFilter),
    /// One that [`PacketFilter`] cannot express, or more than one.
    Unreadable,
}

/// The transmission mode of a caller (`SRTO_TRANSTYPE`). libsrt refuses a caller whose mode differs from the
/// listener's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerMode {
    /// Messages delivered with a fixed delay: libsrt's default.
    Live,
    /// A stream of bytes, or congestion control for files.
    File,
}

/// The group of a bonded caller, which each of its links announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerGroup {
    /// The caller's group id, the same for all its links: libsrt joins links by this id alone.
    pub id: SocketId,
    /// How the group uses its links; None: unknown to libsrt.
    pub kind: Option<GroupType>,
    /// The priority of this link in a backup group.
    pub weight: u16,
}

impl AccessRequest<'_> {
    /// The parameters that the caller announces. None if the library does not show them (no edit `handshake-view`), and
    /// for callers older than SRT 1.3.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use srt_safe::{AccessRequest, Admission, RejectCode, SrtListener};
    ///
    /// let listener = SrtListener::builder()
    ///     .access_control(|request: &AccessRequest<'_>| match request.handshake() {
    ///         Some(caller) if caller.receive_latency > Duration::from_secs(5) => Err(RejectCode::UNACCEPTABLE),
    ///         _ => Ok(Admission::new()),
    ///     })
    ///     .bind("127.0.0.1:0")?;
    /// # Ok::<(), srt_safe::Error>(())
    /// ```
    #[must_use]
    pub fn handshake(&self) -> Option<CallerHandshake> {
        with_extensions(parse)
    }
}

/// Calls `f` with the words of the handshake whose listen callback runs on this thread; otherwise with none.
fn with_extensions<R>(f: impl FnOnce(&[u32]) -> R) -> R {
    let mut count = 0;
    // SAFETY: `count` is valid for the write; the function only reads thread-locals of libsrt (edit handshake-view).
    let words = unsafe { libsrt_sys::srt_edit_handshake_extensions(&raw mut count) };
    if words.is_null() || count == 0 {
        return f(&[]);
    }
    // SAFETY: the edit shows `count` words of the packet that the callback runs for, which libsrt neither changes nor frees
    // before the callback returns; the slice does not outlive this call, and this call does not outlive the callback.
    f(unsafe { std::slice::from_raw_parts(words, count) })
}

/// The caller's socket in the handshake whose listen callback runs on this thread.
pub(crate) fn caller_socket() -> Option<SocketId> {
    // SAFETY: the function only reads a thread-local of libsrt (edit handshake-view).
    let id = unsafe { libsrt_sys::srt_edit_handshake_caller() };
    (id != 0).then_some(SocketId(id))
}

/// Calls `read` with the key material message of the handshake, if there is one.
pub(crate) fn key_material<R>(read: impl FnOnce(&[u32]) -> Option<R>) -> Option<R> {
    with_extensions(|words| block(words, KMREQ).and_then(read))
}

fn parse(words: &[u32]) -> Option<CallerHandshake> {
    let hello = block(words, HSREQ)?;
    let [version, flags, latencies, ..] = hello else {
        return None;
    };
    // The receiver's delay is in the upper half.
    let half = |shift: u32| Duration::from_millis(u64::from(latencies >> shift & 0xFFFF));
    Some(CallerHandshake {
        version: SrtVersion::from_number(*version),
        receive_latency: half(16),
        send_latency: half(0),
        encryption: block(words, KMREQ).and_then(key_length),
        group: block(words, GROUP).and_then(caller_group),
        filter: caller_filter(words),
        mode: caller_mode(*flags, words),
    })
}

fn caller_filter(words: &[u32]) -> CallerFilter {
    let mut asked = blocks(words, FILTER);
    let Some(first) = asked.next() else {
        return CallerFilter::None;
    };
    // libsrt accepts no more than one either, but judging only the first would rely on that.
    if asked.next().is_some() || first.len() > PacketFilter::MAX_LEN / 4 {
        return CallerFilter::Unreadable;
    }
    let bytes = text(first);
    let filter = str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok());
    filter.map_or(CallerFilter::Unreadable, CallerFilter::Asked)
}

fn caller_mode(flags: u32, words: &[u32]) -> CallerMode {
    let is_live = |block: &[u32]| block.len() <= 4 && text(block) == b"live";
    if flags & STREAM == 0 && blocks(words, CONGESTION).all(is_live) {
        CallerMode::Live
    } else {
        CallerMode::File
    }
}

/// The text of a block: four bytes per word, the first in the lowest bits, up to the first zero.
fn text(block: &[u32]) -> Vec<u8> {
    let bytes = block.iter().flat_map(|word| word.to_le_bytes());
    bytes.take_while(|byte| *byte != 0).collect()
}

/// The group's id, then its type (8 bits), flags (8) and weight (16).
fn caller_group(words: &[u32]) -> Option<CallerGroup> {
    let [id, data, ..] = words else {
        return None;
    };
    Some(CallerGroup {
        id: SocketId(id.cast_signed()),
        kind: group::kind_from_raw((data >> 24).cast_signed()),
        weight: u16::try_from(data & 0xFFFF).unwrap_or(0),
    })
}

/// The last byte of the fourth word of the key material message is the key's length in words of 4 bytes.
fn key_length(key_material: &[u32]) -> Option<KeyLength> {
    match key_material.get(3)? & 0xFF {
        4 => Some(KeyLength::Aes128),
        6 => Some(KeyLength::Aes192),
        8 => Some(KeyLength::Aes256),
        _ => None,
    }
}

/// The content of the first block of `kind`.
fn block(words: &[u32], kind: u32) -> Option<&[u32]> {
    blocks(words, kind).next()
}

/// The contents of all blocks of `kind`.
fn blocks(mut words: &[u32], kind: u32) -> impl Iterator<Item = &[u32]> {
    let all = std::iter::from_fn(move || {
        let (head, rest) = words.split_first()?;
        let content = rest.get(..usize::try_from(head & 0xFFFF).ok()?)?;
        words = &rest[content.len()..];
        Some((head >> 16, content))
    });
    all.filter_map(move |(of, content)| (of == kind).then_some(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_version_latencies_and_key_length() {
        let words = [
            HSREQ << 16 | 3,
            0x0001_0507,
            0xBF,
            200 << 16 | 120,
            5 << 16 | 1,
            0,
            KMREQ << 16 | 4,
            0,
            0,
            0,
            0x0000_0408,
            GROUP << 16 | 2,
            0x6123_4567,
            2 << 24 | 7,
        ];
        let seen = parse(&words).unwrap();
        assert_eq!(seen.version, SrtVersion::new(1, 5, 7));
        assert_eq!(seen.receive_latency, Duration::from_millis(200));
        assert_eq!(seen.send_latency, Duration::from_millis(120));
        assert_eq!(seen.encryption, Some(KeyLength::Aes256));
        let group = CallerGroup {
            id: SocketId(0x6123_4567),
            kind: Some(GroupType::Backup),
            weight: 7,
        };
        assert_eq!(seen.group, Some(group));
    }

    /// A block of text.
    fn written(kind: u32, text: &str) -> Vec<u32> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let words = bytes
            .chunks(4)
            .map(|four| u32::from_le_bytes(four.try_into().unwrap()));
        let words: Vec<_> = words.collect();
        let head = kind << 16 | u32::try_from(words.len()).unwrap();
        [vec![head], words].concat()
    }

    fn caller(flags: u32, blocks: &[Vec<u32>]) -> CallerHandshake {
        let hello = vec![HSREQ << 16 | 3, 0x0001_0507, flags, 0];
        parse(&[&[hello], blocks].concat().concat()).unwrap()
    }

    #[test]
    fn reads_the_packet_filter_that_a_caller_asks_for() {
        let filter = |blocks: &[Vec<u32>]| caller(0xBF, blocks).filter;
        assert_eq!(filter(&[]), CallerFilter::None);
        for text in [
            "fec,cols:10,rows:5",
            "fec,cols:32000,rows:-32000,arq:never",
            "fec",
        ] {
            let asked = CallerFilter::Asked(text.parse().unwrap());
            assert_eq!(
                filter(&[written(5, "name"), written(FILTER, text)]),
                asked,
                "{text}"
            );
        }
        let too_long = format!("fec,cols:10{}", " ".repeat(60));
        for text in [
            "",
            "fec,cols:+10x",
            "other,cols:2",
            "fec,cols:2,cols:3",
            too_long.as_str(),
        ] {
            assert_eq!(
                filter(&[written(FILTER, text)]),
                CallerFilter::Unreadable,
                "{text}"
            );
        }
        let twice = [written(FILTER, "fec,cols:2"), written(FILTER, "fec,cols:32000")];
        assert_eq!(filter(&twice), CallerFilter::Unreadable);
    }

    #[test]
    fn reads_whether_a_caller_is_in_file_mode() {
        assert_eq!(caller(0xBF, &[]).mode, CallerMode::Live);
        assert_eq!(
            caller(0xBF, &[written(CONGESTION, "live")]).mode,
            CallerMode::Live
        );
        assert_eq!(
            caller(0xBF, &[written(CONGESTION, "file")]).mode,
            CallerMode::File
        );
        assert_eq!(caller(0xBF | STREAM, &[]).mode, CallerMode::File);
    }

    #[test]
    fn what_does_not_fit_is_not_there() {
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[HSREQ << 16 | 3, 0x0001_0507]), None);
        assert_eq!(parse(&[5 << 16 | 0xFFFF, 0]), None);
        assert_eq!(parse(&[HSREQ << 16, HSREQ << 16 | 3, 1, 2, 3]), None);
    }

    #[test]
    fn outside_of_a_callback_there_is_nothing() {
        assert_eq!(with_extensions(<[u32]>::len), 0);
        assert_eq!(caller_socket(), None);
    }
}
