//! Identifies the entries of a PMT: by `stream_type` (ISO/IEC 13818-1, table 2-34; ATSC A/53, SCTE 35, SCTE 57) and,
//! for private data, by descriptors (ETSI EN 300 468, clause 6; registration descriptors).
//!
//! Pure functions; the data path uses the kind, and reports use the names.

use super::picture::VideoCodec;
use super::report::StreamKind;

/// An audio codec whose frame headers can be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AudioCodec {
    MpegAudio,
    Adts,
    Latm,
    Ac3,
    EAc3,
    Other,
}

/// The type of a PMT entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) kind: StreamKind,
    /// For display.
    pub(super) name: &'static str,
    pub(super) video: Option<VideoCodec>,
    pub(super) audio: Option<AudioCodec>,
}

impl Identity {
    /// Identifies an entry.
    pub(super) fn of(stream_type: u8, descriptors: &[u8]) -> Self {
        if let Some(codec) = VideoCodec::of_stream(stream_type, descriptors) {
            return Self {
                kind: StreamKind::Video,
                name: codec.name(),
                video: Some(codec),
                audio: None,
            };
        }
        match stream_type {
            0x03 | 0x04 => Self::audio("MPEG audio", AudioCodec::MpegAudio),
            0x0F => Self::audio("AAC", AudioCodec::Adts),
            0x11 => Self::audio("AAC (LATM)", AudioCodec::Latm),
            0x1C => Self::audio("AAC (raw)", AudioCodec::Other),
            0x2D | 0x2E => Self::audio("MPEG-H audio", AudioCodec::Other),
            0x81 => Self::audio("AC-3", AudioCodec::Ac3),
            0x82 if is_registered(descriptors, *b"CUEI") => Self::data(StreamKind::Scte35, "SCTE-35"),
            0x82 | 0x85 | 0x8A => Self::audio("DTS", AudioCodec::Other),
            0x83 => Self::audio("TrueHD", AudioCodec::Other),
            0x84 | 0x87 => Self::audio("E-AC-3", AudioCodec::EAc3),
            0x86 => Self::data(StreamKind::Scte35, "SCTE-35"),
            0x15 => Self::data(StreamKind::Data, "metadata"),
            0x05 => Self::data(StreamKind::Data, "private sections"),
            0x0B => Self::data(StreamKind::Data, "DSM-CC"),
            0x06 => Self::of_private(descriptors),
            _ => Self::data(StreamKind::Data, "data"),
        }
    }

    /// Private PES packets: identified by the first descriptor that does.
    fn of_private(descriptors: &[u8]) -> Self {
        each(descriptors)
            .find_map(|(tag, contents)| match (tag, contents) {
                (0x56, _) => Some(Self::data(StreamKind::Teletext, "teletext")),
                (0x46, _) => Some(Self::data(StreamKind::Data, "VBI teletext")),
                (0x45, _) => Some(Self::data(StreamKind::Data, "VBI data")),
                (0x59, _) => Some(Self::data(StreamKind::Subtitles, "DVB subtitles")),
                (0x6A, _) | (0x05, [b'A', b'C', b'-', b'3', ..]) => {
                    Some(Self::audio("AC-3", AudioCodec::Ac3))
                }
                (0x7A, _) | (0x05, [b'E', b'A', b'C', b'3', ..]) => {
                    Some(Self::audio("E-AC-3", AudioCodec::EAc3))
                }
                (0x7B, _) | (0x05, [b'D', b'T', b'S', _, ..]) => Some(Self::audio("DTS", AudioCodec::Other)),
                (0x7C, _) => Some(Self::audio("AAC", AudioCodec::Other)),
                (0x7F, [0x15, ..]) => Some(Self::audio("AC-4", AudioCodec::Other)),
                (0x7F, [0x80, ..]) | (0x05, [b'O', b'p', b'u', b's', ..]) => {
                    Some(Self::audio("Opus", AudioCodec::Other))
                }
                (0x05, [b'B', b'S', b'S', b'D', ..]) => Some(Self::audio("SMPTE 302M", AudioCodec::Other)),
                (0x05, [b'K', b'L', b'V', b'A', ..]) => Some(Self::data(StreamKind::Data, "KLV metadata")),
                (0x05, [b'C', b'U', b'E', b'I', ..]) => Some(Self::data(StreamKind::Scte35, "SCTE-35")),
                (0x05, [b'I', b'D', b'3', _, ..]) => Some(Self::data(StreamKind::Data, "ID3 metadata")),
                _ => None,
            })
            .unwrap_or_else(|| Self::data(StreamKind::Data, "private data"))
    }

    fn audio(name: &'static str, codec: AudioCodec) -> Self {
        Self {
            kind: StreamKind::Audio,
            name,
            video: None,
            audio: Some(codec),
        }
    }

    fn data(kind: StreamKind, name: &'static str) -> Self {
        Self {
            kind,
            name,
            video: None,
            audio: None,
        }
    }
}

/// The descriptors of a loop, tag and content, up to the first truncated one.
pub(super) fn each(mut descriptors: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (&[tag, len], rest) = descriptors.split_first_chunk()?;
        let (contents, rest) = rest.split_at_checked(usize::from(len))?;
        descriptors = rest;
        Some((tag, contents))
    })
}

fn is_registered(descriptors: &[u8], format: [u8; 4]) -> bool {
    each(descriptors).any(|(tag, contents)| tag == 0x05 && contents.starts_with(&format))
}
