//! Timestamps of PES packets, and distances between keyframes.
//!
//! Runs on the input's worker, at the start of an audio or video PES packet (ISO/IEC 13818-1, 2.4.3.6).

/// One more than the largest timestamp, in ticks of 90 kHz.
const WRAP: u64 = 1 << 33;

/// The timestamps of a PES packet, in ticks of 90 kHz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timestamps {
    pub(super) presentation: u64,
    /// The DTS, or the PTS if there is no DTS.
    pub(super) decoding: u64,
}

impl Timestamps {
    /// The timestamps of the PES packet that begins with this payload; None if it has none, or is no PES packet.
    pub(super) fn of(payload: &[u8]) -> Option<Self> {
        let [0, 0, 1, _, _, _, marks, flags, header_len, optional @ ..] = payload else {
            return None;
        };
        let len = match flags >> 6 {
            2 => 5,
            3 => 10,
            _ => return None,
        };
        if marks >> 6 != 2 || usize::from(*header_len) < len {
            return None;
        }
        let presentation = timestamp(optional.first_chunk()?);
        let decoding = match optional.get(5..10).and_then(<[u8]>::first_chunk) {
            Some(bytes) if len == 10 => timestamp(bytes),
            None if len == 10 => return None,
            _ => presentation,
        };
        Some(Self {
            presentation,
            decoding,
        })
    }

    /// Whether its presentation precedes its decoding.
    pub(super) fn is_reversed(self) -> bool {
        is_before(self.presentation, self.decoding)
    }
}

fn timestamp(bytes: &[u8; 5]) -> u64 {
    let [b0, b1, b2, b3, b4] = bytes.map(u64::from);
    (b0 >> 1 & 0x07) << 30 | b1 << 22 | (b2 >> 1) << 15 | b3 << 7 | b4 >> 1
}

/// Whether `a` precedes `b`, assuming the shorter distance around the wrap.
pub(super) fn is_before(a: u64, b: u64) -> bool {
    a != b && (b + WRAP - a) % WRAP < WRAP / 2
}

/// Distances between keyframes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct GopFigures {
    pub(super) pid: u16,
    pub(super) keyframes: u64,
    /// Pictures between the last two keyframes.
    pub(super) pictures: u64,
    /// The same in ticks of 90 kHz; 0: not known.
    pub(super) ticks: u64,
    pub(super) ticks_max: u64,
}

/// Counts pictures from keyframe to keyframe.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GopMeter {
    pub(super) figures: GopFigures,
    /// Pictures since the last keyframe, including it; None before the first, and after a break.
    pictures: Option<u64>,
    /// Decoding times of the last keyframe and of the current picture.
    key_time: Option<u64>,
    picture_time: Option<u64>,
}

/// No GOP is this long: a longer one is a clock change.
const GOP_TICKS_MAX: u64 = 90_000 * 600;

impl GopMeter {
    /// Starts with another video.
    pub(super) fn of(pid: u16) -> Self {
        Self {
            figures: GopFigures {
                pid,
                ..GopFigures::default()
            },
            ..Self::default()
        }
    }

    /// A picture begins.
    pub(super) fn picture(&mut self, decoding: Option<u64>) {
        self.picture_time = decoding;
        if let Some(pictures) = &mut self.pictures {
            *pictures += 1;
        }
    }

    /// The current picture is a keyframe.
    pub(super) fn keyframe(&mut self) {
        self.figures.keyframes += 1;
        if let Some(pictures) = self.pictures.replace(1) {
            self.figures.pictures = pictures - 1;
            let ticks = match (self.key_time, self.picture_time) {
                (Some(last), Some(this)) => (this + WRAP - last) % WRAP,
                _ => 0,
            };
            self.figures.ticks = if ticks < GOP_TICKS_MAX { ticks } else { 0 };
            self.figures.ticks_max = self.figures.ticks_max.max(self.figures.ticks);
        }
        self.key_time = self.picture_time;
    }

    /// Pictures are missing: the current GOP cannot be measured.
    pub(super) fn disturb(&mut self) {
        self.pictures = None;
    }
}
