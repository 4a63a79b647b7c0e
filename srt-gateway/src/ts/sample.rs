//! Samples: the beginnings of some PES packets, kept for later analysis.
//!
//! Owns one sample while it is collected: for audio the first bytes, for video those of a picture with parameter sets.
//! Runs on the input's worker. Parses only as much as needed to decide whether the sample is useful.

use super::picture::VideoCodec;

/// The length limit of a sample: parameter sets come first and are shorter.
const SAMPLE_MAX: usize = 512;

/// How many PES packets are tried before sampling is paused for some seconds: those of a long GOP.
pub(super) const TRIES: u16 = 600;

/// The current sample.
pub(super) struct Sampler {
    /// The index of its PID.
    place: Option<usize>,
    bytes: [u8; SAMPLE_MAX],
    held: usize,
    /// The number of checks since it started.
    age: u8,
}

impl Sampler {
    pub(super) fn new() -> Self {
        Self {
            place: None,
            bytes: [0; SAMPLE_MAX],
            held: 0,
            age: 0,
        }
    }

    /// Whether it can start with a PES packet.
    pub(super) fn is_idle(&self) -> bool {
        self.place.is_none()
    }

    /// Whether it collects packets of the PID with this index.
    pub(super) fn is_at(&self, place: usize) -> bool {
        self.place == Some(place)
    }

    /// Starts with the payload in which a PES packet begins.
    pub(super) fn begin(&mut self, place: usize, payload: &[u8]) {
        let header = match payload {
            [0, 0, 1, _, _, _, _, _, header_len, ..] => 9 + usize::from(*header_len),
            _ => return,
        };
        self.place = Some(place);
        self.held = 0;
        self.age = 0;
        self.take(payload.get(header..).unwrap_or_default());
    }

    /// Adds a payload; returns true when there is enough.
    pub(super) fn take(&mut self, payload: &[u8]) -> bool {
        let taken = payload.len().min(SAMPLE_MAX - self.held);
        self.bytes[self.held..self.held + taken].copy_from_slice(&payload[..taken]);
        self.held += taken;
        self.held == SAMPLE_MAX
    }

    /// Ends the sample; Some if it is worth keeping.
    pub(super) fn end(&mut self, codec: Option<VideoCodec>) -> Option<&[u8]> {
        self.place = None;
        let bytes = &self.bytes[..self.held];
        codec
            .is_none_or(|codec| has_parameters(codec, bytes))
            .then_some(bytes)
    }

    /// Gives up a sample whose PID has fallen silent.
    pub(super) fn grow_old(&mut self) {
        self.age = self.age.saturating_add(1);
        if self.age > 4 {
            self.place = None;
        }
    }
}

/// Whether this module can parse a video's parameters.
pub(super) fn is_readable(codec: VideoCodec) -> bool {
    matches!(codec, VideoCodec::H264 | VideoCodec::Hevc | VideoCodec::Mpeg2)
}

/// Whether the bytes contain a sequence header or sequence parameter set.
fn has_parameters(codec: VideoCodec, bytes: &[u8]) -> bool {
    bytes.windows(4).any(|window| match (window, codec) {
        ([0, 0, 1, code], VideoCodec::H264) => code & 0x1F == 7,
        ([0, 0, 1, code], VideoCodec::Hevc) => code >> 1 & 0x3F == 33,
        ([0, 0, 1, code], VideoCodec::Mpeg2) => *code == 0xB3,
        _ => false,
    })
}
