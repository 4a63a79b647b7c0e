//! The format of an audio, out of the first frame header of a PES packet.
//!
//! MPEG audio: ISO/IEC 11172-3, 2.4.1.3 and 13818-3. AAC: ISO/IEC 13818-7, 6.2 (ADTS). AC-3 and E-AC-3: ETSI TS 102 366,
//! 4.4.1 and E.1.2.

use super::bits::Bits;
use crate::ts::report::AudioReport;
use crate::ts::streams::AudioCodec;

/// Reads the first bytes of a PES packet.
pub(super) fn describe(codec: AudioCodec, sample: &[u8]) -> Option<AudioReport> {
    (0..sample.len().saturating_sub(7)).find_map(|at| {
        let frame = &sample[at..];
        match codec {
            AudioCodec::MpegAudio => mpeg(frame),
            AudioCodec::Adts => adts(frame),
            AudioCodec::Ac3 | AudioCodec::EAc3 => ac3(frame),
            AudioCodec::Other => None,
        }
    })
}

fn mpeg(frame: &[u8]) -> Option<AudioReport> {
    let &[0xFF, b1, b2, b3] = frame.first_chunk()? else {
        return None;
    };
    let (version, layer) = (b1 >> 3 & 3, b1 >> 1 & 3);
    if b1 >> 5 != 7 || version == 1 || layer == 0 || b2 >> 4 == 15 {
        return None;
    }
    let base: u32 = match b2 >> 2 & 3 {
        0 => 44_100,
        1 => 48_000,
        2 => 32_000,
        _ => return None,
    };
    Some(AudioReport {
        sample_rate: match version {
            3 => base,
            2 => base / 2,
            _ => base / 4,
        },
        channels: Some(if b3 >> 6 == 3 { 1 } else { 2 }),
    })
}

fn adts(frame: &[u8]) -> Option<AudioReport> {
    const RATES: [u32; 13] = [
        96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350,
    ];
    let &[0xFF, b1, b2, b3] = frame.first_chunk()? else {
        return None;
    };
    if b1 & 0xF6 != 0xF0 {
        return None;
    }
    let sample_rate = *RATES.get(usize::from(b2 >> 2 & 0x0F))?;
    let channels = match (b2 & 1) << 2 | b3 >> 6 {
        0 => None,
        7 => Some(8),
        count => Some(count),
    };
    Some(AudioReport {
        sample_rate,
        channels,
    })
}

fn ac3(frame: &[u8]) -> Option<AudioReport> {
    /// Main channels by `acmod`.
    const CHANNELS: [u8; 8] = [2, 1, 2, 3, 3, 4, 4, 5];
    const RATES: [u32; 3] = [48_000, 44_100, 32_000];
    if !frame.starts_with(&[0x0B, 0x77]) {
        return None;
    }
    let is_extended = (11..=16).contains(&(frame.get(5)? >> 3));
    let mut bits = Bits::new(frame);
    let report = |sample_rate, mode: u32, has_low: bool| {
        let main = CHANNELS.get(usize::try_from(mode).ok()?)?;
        Some(AudioReport {
            sample_rate,
            channels: Some(main + u8::from(has_low)),
        })
    };
    let rate = |code: u32| RATES.get(usize::try_from(code).ok()?).copied();
    if is_extended {
        bits.skip(32)?;
        let code = bits.number(2)?;
        let sample_rate = match (code, bits.number(2)?) {
            (3, half) => rate(half)? / 2,
            (code, _) => rate(code)?,
        };
        let mode = bits.number(3)?;
        return report(sample_rate, mode, bits.bit()?);
    }
    bits.skip(32)?;
    let sample_rate = rate(bits.number(2)?)?;
    bits.skip(6 + 8)?;
    let mode = bits.number(3)?;
    if mode & 1 != 0 && mode != 1 {
        bits.skip(2)?;
    }
    if mode & 4 != 0 {
        bits.skip(2)?;
    }
    if mode == 2 {
        bits.skip(2)?;
    }
    report(sample_rate, mode, bits.bit()?)
}
