//! Finds the pictures that a decoder can start with, from the first bytes of their PES packets.
//!
//! Scans for start codes across the packets of one PES packet, up to its first picture. Runs on the input's worker, for
//! packets of the video PID. A scan follows H.264 (Rec. H.264, table 7-1), HEVC (Rec. H.265, table 7-1), MPEG-2
//! (ISO/IEC 13818-2, table 6-1) and MPEG-4 Visual (ISO/IEC 14496-2, table 6-3); for other codecs, only the random
//! access indicator counts.

/// How many bytes of a PES packet are searched for its first picture: parameter sets and SEI precede it.
const SCAN_MAX: usize = 4096;

/// A video codec, as given in the PMT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VideoCodec {
    /// MPEG-1 or MPEG-2 video.
    Mpeg2,
    /// MPEG-4 part 2.
    Mpeg4Visual,
    /// H.264, AVC.
    H264,
    /// H.265, HEVC.
    Hevc,
    /// H.266, VVC.
    Vvc,
    /// AV1.
    Av1,
    /// JPEG 2000, JPEG XS, AVS or VC-1.
    Other,
}

impl VideoCodec {
    /// The common name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mpeg2 => "MPEG-2 video",
            Self::Mpeg4Visual => "MPEG-4 Visual",
            Self::H264 => "H.264",
            Self::Hevc => "HEVC",
            Self::Vvc => "VVC",
            Self::Av1 => "AV1",
            Self::Other => "other video",
        }
    }

    /// The codec of a stream in a PMT, by `stream_type` (ISO/IEC 13818-1, table 2-34) or, for private data, by
    /// registration descriptor; None if it is no video.
    pub(super) fn of_stream(stream_type: u8, descriptors: &[u8]) -> Option<Self> {
        match stream_type {
            0x01 | 0x02 => Some(Self::Mpeg2),
            0x10 => Some(Self::Mpeg4Visual),
            0x1B => Some(Self::H264),
            0x24 => Some(Self::Hevc),
            0x33 => Some(Self::Vvc),
            0x21 | 0x32 | 0x42 | 0xD2 | 0xEA => Some(Self::Other),
            0x06 => match registration(descriptors)? {
                b"AV01" => Some(Self::Av1),
                b"HEVC" => Some(Self::Hevc),
                b"VVC " => Some(Self::Vvc),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The `format_identifier` of the first registration descriptor.
fn registration(mut descriptors: &[u8]) -> Option<&[u8; 4]> {
    while let Some((&[tag, len], rest)) = descriptors.split_first_chunk() {
        let (contents, rest) = rest.split_at_checked(usize::from(len))?;
        if tag == 0x05 {
            return contents.first_chunk();
        }
        descriptors = rest;
    }
    None
}

/// The first picture of a video PES packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Picture {
    /// A picture that a decoder can start with.
    Key,
    /// A picture that depends on earlier ones, or a field or slice of one.
    Dependent,
}

/// The meaning of a start code.
enum Meaning {
    /// Irrelevant: continue.
    Nothing,
    /// Parameter sets: a following picture may be a keyframe although its start code does not say so.
    Parameters,
    /// A slice, with its type in the next byte.
    Slice,
    /// The picture was found.
    Found(Picture),
}

/// The search for the first picture of a PES packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct PictureScan {
    codec: VideoCodec,
    /// The last four bytes.
    window: u32,
    /// Bytes of the PES header still to skip.
    header: usize,
    searched: usize,
    saw_parameters: bool,
    in_slice: bool,
}

impl PictureScan {
    /// Starts with the payload in which a PES packet begins; call `feed` with the same payload next. None for codecs
    /// that only use the random access indicator.
    pub(super) fn begin(codec: VideoCodec, payload: &[u8]) -> Option<Self> {
        if matches!(codec, VideoCodec::Vvc | VideoCodec::Av1 | VideoCodec::Other) {
            return None;
        }
        let header = match payload {
            [0, 0, 1, _, _, _, _, _, header_len, ..] => 9 + usize::from(*header_len),
            _ => 0,
        };
        Some(Self {
            codec,
            window: u32::MAX,
            header,
            searched: 0,
            saw_parameters: false,
            in_slice: false,
        })
    }

    /// Processes the next payload; Some when the scan has ended.
    pub(super) fn feed(&mut self, payload: &[u8]) -> Option<Picture> {
        let (header, bytes) = payload.split_at(self.header.min(payload.len()));
        self.header -= header.len();
        for byte in bytes {
            if self.in_slice {
                let key = self.saw_parameters && is_intra_slice(*byte);
                return Some(if key { Picture::Key } else { Picture::Dependent });
            }
            self.window = self.window << 8 | u32::from(*byte);
            if self.window >> 8 != 1 {
                continue;
            }
            match meaning(self.codec, *byte) {
                Meaning::Nothing => {}
                Meaning::Parameters => self.saw_parameters = true,
                Meaning::Slice => self.in_slice = true,
                Meaning::Found(picture) => return Some(picture),
            }
        }
        self.searched += bytes.len();
        (self.searched >= SCAN_MAX).then_some(if self.saw_parameters {
            Picture::Key
        } else {
            Picture::Dependent
        })
    }
}

/// The meaning of the byte after a start code prefix.
fn meaning(codec: VideoCodec, code: u8) -> Meaning {
    match codec {
        VideoCodec::Mpeg2 => match code {
            0xB3 => Meaning::Found(Picture::Key),
            0x00 => Meaning::Found(Picture::Dependent),
            _ => Meaning::Nothing,
        },
        VideoCodec::Mpeg4Visual => match code {
            0xB0 | 0x20..=0x2F => Meaning::Found(Picture::Key),
            0xB6 => Meaning::Found(Picture::Dependent),
            _ => Meaning::Nothing,
        },
        VideoCodec::H264 => match code & 0x9F {
            5 => Meaning::Found(Picture::Key),
            7 => Meaning::Parameters,
            1 => Meaning::Slice,
            2 => Meaning::Found(Picture::Dependent),
            _ => Meaning::Nothing,
        },
        VideoCodec::Hevc => match code >> 1 {
            16..=21 => Meaning::Found(Picture::Key),
            32 | 33 => Meaning::Parameters,
            0..=9 => Meaning::Found(Picture::Dependent),
            _ => Meaning::Nothing,
        },
        VideoCodec::Vvc | VideoCodec::Av1 | VideoCodec::Other => Meaning::Nothing,
    }
}

/// Whether an H.264 slice header begins with macroblock 0 and an I slice type: open GOPs have no IDR picture, but
/// parameter sets followed by this. `first_mb_in_slice` 0 is the bit 1; `slice_type` 2 is 011, and 7 is 0001000.
fn is_intra_slice(first: u8) -> bool {
    first & 0xF0 == 0xB0 || first == 0x88
}
