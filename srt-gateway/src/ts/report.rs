//! What is known about an input's stream, for people and programs: plain data that serializes.
//!
//! Made by [`Board::report`](super::Board::report) on the thread of the caller. Times are in the units that the names say.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an input carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Payload {
    /// Too little was seen to tell.
    #[default]
    Unknown,
    /// MPEG transport stream in packets of 188 bytes.
    MpegTs,
    /// MPEG transport stream in packets of 204 bytes: 16 bytes of parity behind each. Relayed so.
    MpegTs204,
    /// MPEG transport stream whose audio and video are scrambled: relayed, but nothing is known of pictures.
    MpegTsScrambled,
    /// Something else: relayed all the same.
    Other,
}

impl Payload {
    /// For people.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::MpegTs => "MPEG-TS",
            Self::MpegTs204 => "MPEG-TS in packets of 204 bytes",
            Self::MpegTsScrambled => "MPEG-TS, scrambled",
            Self::Other => "not MPEG-TS",
        }
    }
}

/// All that is known about an input's stream. Counts are since the input began, and go on when it stands by in between.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TsReport {
    /// What it is.
    pub payload: Payload,
    /// Rate of transport packets in the last second, null packets included; of all bytes, if it is not MPEG-TS.
    pub bits_per_second: u64,
    /// Transport packets.
    pub packets: u64,
    /// Null packets (PID 0x1FFF) among them.
    pub null_packets: u64,
    /// Null packets among the packets of the last second; 0 to 1.
    pub null_ratio: f64,
    /// PES packets whose PTS is before their DTS, or whose DTS runs backwards.
    pub timestamp_errors: u64,
    /// Of the PAT.
    pub transport_stream_id: Option<u16>,
    /// The programs that the PAT announces, in its order; the first 16 of many.
    pub programs: Vec<ProgramReport>,
    /// The PIDs that occur or are announced, by number; the first 128 of many.
    pub pids: Vec<PidReport>,
    /// The program clocks.
    pub clocks: Vec<ClockReport>,
    /// The checks of TR 101 290, all of them, in its order.
    pub checks: Vec<CheckReport>,
    /// Keyframes of the first video.
    pub gop: Option<GopReport>,
}

/// A program.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProgramReport {
    /// Its number (DVB: service id).
    pub number: u16,
    /// Where its PMT is.
    pub pmt_pid: u16,
    /// Where its clock is; none before its PMT has come, and for programs without a clock.
    pub pcr_pid: Option<u16>,
    /// Of the SDT.
    pub service_name: Option<String>,
    /// Of the SDT.
    pub provider_name: Option<String>,
    /// Its elementary streams; empty before its PMT has arrived.
    pub streams: Vec<StreamReport>,
}

/// An elementary stream, or something else that a PMT lists.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StreamReport {
    /// Where it is.
    pub pid: u16,
    /// `stream_type` of the PMT.
    pub stream_type: u8,
    /// What it is.
    pub kind: StreamKind,
    /// For people: `H.264`, `AAC`, `SCTE-35`.
    pub codec: String,
    /// ISO 639-2 codes, as the descriptors have them.
    pub languages: Vec<String>,
    /// What the last keyframe's parameter sets say.
    pub video: Option<VideoReport>,
    /// What the last frame's header says.
    pub audio: Option<AudioReport>,
}

/// What an elementary stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StreamKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Teletext (ETSI EN 300 472).
    Teletext,
    /// DVB subtitles (ETSI EN 300 743).
    Subtitles,
    /// Splice information (SCTE 35).
    Scte35,
    /// Anything else.
    #[default]
    Data,
}

/// The format of a video.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VideoReport {
    /// Pixels across, as shown.
    pub width: u32,
    /// Lines, as shown.
    pub height: u32,
    /// Frames per second, as declared; none where the stream does not say.
    pub frame_rate: Option<f64>,
    /// Fields rather than frames may be coded.
    pub interlaced: bool,
    /// Profile and level, for people.
    pub profile: Option<String>,
}

/// The format of an audio.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AudioReport {
    /// In Hz.
    pub sample_rate: u32,
    /// Channels, the low frequency one included; none where the header does not say.
    pub channels: Option<u8>,
}

/// A PID.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PidReport {
    /// The number.
    pub pid: u16,
    /// What it carries, for people: `PAT`, `PMT`, `H.264`, `null`; none where no table names it.
    pub carries: Option<String>,
    /// Rate in the last second, packet headers included.
    pub bits_per_second: u64,
    /// Packets.
    pub packets: u64,
    /// Packets that do not continue those before.
    pub continuity_errors: u64,
    /// Packets with a scrambled payload.
    pub scrambled: u64,
}

/// The clock of one or more programs. Times of arrival are those at which the gateway got the packets, after SRT's latency,
/// to a millisecond or so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClockReport {
    /// Where it is.
    pub pid: u16,
    /// PCRs so far.
    pub count: u64,
    /// Time between two PCRs in the last second, on average.
    pub interval_ms: f64,
    /// The longest such time in the last second.
    pub interval_max_ms: f64,
    /// Peak to peak, in the last second: by how much PCRs came earlier or later than their values say.
    pub jitter_ms: f64,
    /// The largest distance of a PCR of the last second from where its place in the stream puts it (positive: late). None
    /// while the transport rate is not constant: then nothing can be said.
    pub accuracy_ns: Option<i64>,
    /// The rate of the whole transport stream, by this clock.
    pub transport_bits_per_second: Option<u64>,
}

/// A check of TR 101 290.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckReport {
    /// `1.1` to `2.6`.
    pub number: String,
    /// The standard name.
    pub name: String,
    /// 1 or 2.
    pub priority: u8,
    /// Failures since the input began.
    pub count: u64,
    /// Failures in the last minute.
    pub last_minute: u64,
}

/// The distances of keyframes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GopReport {
    /// The video's PID.
    pub pid: u16,
    /// Keyframes so far.
    pub keyframes: u64,
    /// Pictures (PES packets) from the last keyframe but one to the last one.
    pub pictures: u64,
    /// The time between them, by their decoding times.
    pub seconds: f64,
    /// The longest such time so far: how long a viewer that begins anywhere may wait.
    pub seconds_max: f64,
    /// Pictures per second within that time; none where timestamps do not tell.
    pub pictures_per_second: Option<f64>,
}

impl TsReport {
    /// The checks that have failed since the input began, for people: `Continuity_count_error 3`.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let failed = self.checks.iter().filter(|check| check.count > 0);
        failed
            .map(|check| format!("{} {}", check.name, check.count))
            .collect()
    }
}

impl fmt::Display for ProgramReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "program {}", self.number)?;
        if let Some(name) = &self.service_name {
            write!(f, " \"{}\"", name.escape_debug())?;
        }
        write!(f, ", PMT at PID {:#06x}", self.pmt_pid)?;
        for stream in &self.streams {
            write!(f, ", {stream}")?;
        }
        Ok(())
    }
}

impl fmt::Display for StreamReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.codec)?;
        if let Some(video) = &self.video {
            write!(f, " {}x{}", video.width, video.height)?;
            if let Some(rate) = video.frame_rate {
                write!(f, " {rate} fps")?;
            }
            if video.interlaced {
                f.write_str(" interlaced")?;
            }
        }
        if let Some(audio) = &self.audio {
            write!(f, " {} Hz", audio.sample_rate)?;
            if let Some(channels) = audio.channels {
                write!(f, " {channels} channels")?;
            }
        }
        if !self.languages.is_empty() {
            write!(f, " ({})", self.languages.join(", "))?;
        }
        write!(f, " at PID {:#06x}", self.pid)
    }
}
