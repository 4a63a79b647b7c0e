//! The format of an audio stream, from the first frame header of a PES packet.
//!
//! MPEG audio: ISO/IEC 11172-3, 2.4.1.3 and 13818-3. AAC: ISO/IEC 13818-7, 6.2 (ADTS), and 14496-3, 1.7 (LATM in LOAS) and
//! 1.6.2.1 (its configuration). AC-3 and E-AC-3: ETSI TS 102 366, 4.4.1 and E.1.2.

use super::bits::Bits;
use crate::ts::report::AudioReport;
use crate::ts::streams::AudioCodec;

/// Parses the beginning of a PES packet.
pub(super) fn describe(codec: AudioCodec, sample: &[u8]) -> Option<AudioReport> {
    (0..sample.len().saturating_sub(7)).find_map(|at| {
        let frame = &sample[at..];
        match codec {
            AudioCodec::MpegAudio => mpeg(frame),
            AudioCodec::Adts => adts(frame),
            AudioCodec::Latm => latm(frame),
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

/// AAC sample rates by index.
const AAC_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350,
];

/// AAC channels by `channelConfiguration`.
fn aac_channels(configuration: u8) -> Option<u8> {
    match configuration {
        0 => None,
        7 | 12 | 14 => Some(8),
        11 => Some(7),
        13 => Some(24),
        count => (count < 7).then_some(count),
    }
}

fn adts(frame: &[u8]) -> Option<AudioReport> {
    let &[0xFF, b1, b2, b3] = frame.first_chunk()? else {
        return None;
    };
    if b1 & 0xF6 != 0xF0 {
        return None;
    }
    let sample_rate = *AAC_RATES.get(usize::from(b2 >> 2 & 0x0F))?;
    Some(AudioReport {
        sample_rate,
        channels: aac_channels((b2 & 1) << 2 | b3 >> 6),
    })
}

/// `AudioSyncStream()` with a `StreamMuxConfig()`, which not every frame has.
fn latm(frame: &[u8]) -> Option<AudioReport> {
    const SYNC: u32 = 0x2B7;
    let mut bits = Bits::new(frame);
    if bits.number(11)? != SYNC {
        return None;
    }
    bits.skip(13)?;
    let is_as_before = bits.bit()?;
    if is_as_before {
        return None;
    }
    let is_version_1 = bits.bit()?;
    if is_version_1 {
        // Version 1A is reserved.
        if bits.bit()? {
            return None;
        }
        latm_value(&mut bits)?;
    }
    bits.skip(1 + 6 + 4 + 3)?;
    if is_version_1 {
        latm_value(&mut bits)?;
    }
    aac_config(&mut bits)
}

/// Skips a number of one to four bytes.
fn latm_value(bits: &mut Bits<'_>) -> Option<()> {
    let bytes = usize::try_from(bits.number(2)?).ok()? + 1;
    bits.skip(8 * bytes)
}

/// `AudioSpecificConfig()`: with upsampling (SBR, PS), the output rate.
fn aac_config(bits: &mut Bits<'_>) -> Option<AudioReport> {
    const SBR: u32 = 5;
    const PS: u32 = 29;
    const ESCAPE: u32 = 31;
    let kind = match bits.number(5)? {
        ESCAPE => 32 + bits.number(6)?,
        kind => kind,
    };
    let core_rate = aac_rate(bits)?;
    let channels = aac_channels(u8::try_from(bits.number(4)?).ok()?);
    Some(AudioReport {
        sample_rate: if matches!(kind, SBR | PS) {
            aac_rate(bits)?
        } else {
            core_rate
        },
        channels: if kind == PS { Some(2) } else { channels },
    })
}

fn aac_rate(bits: &mut Bits<'_>) -> Option<u32> {
    const WRITTEN_OUT: u32 = 15;
    match bits.number(4)? {
        WRITTEN_OUT => bits.number(24),
        index => AAC_RATES.get(usize::try_from(index).ok()?).copied(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame from bits written as text, behind the sync word and a length.
    fn loas(bits: &str) -> Vec<u8> {
        let text: String = format!("01010110111 0000000100000 {bits}").split(' ').collect();
        let text = format!("{text:0<200}");
        text.as_bytes()
            .chunks(8)
            .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
            .collect()
    }

    fn told(bits: &str) -> Option<(u32, Option<u8>)> {
        let report = describe(AudioCodec::Latm, &loas(bits))?;
        Some((report.sample_rate, report.channels))
    }

    #[test]
    fn latm_of_both_versions_and_of_upsampled_kinds_is_read() {
        // Fields: same as before, version, (version A, fullness,) framing, subframes, programs, layers, (length,)
        // configuration.
        assert_eq!(
            told("0 0 1 000000 0000 000 00010 0011 0010"),
            Some((48_000, Some(2)))
        );
        assert_eq!(
            told("0 1 0 00 00000000 1 000000 0000 000 01 0000000000010000 00010 0100 0110"),
            Some((44_100, Some(6)))
        );
        // HE-AAC: 24 kHz, output 48 kHz; HE-AAC v2: one channel, output two.
        assert_eq!(
            told("0 0 1 000000 0000 000 00101 0110 0010 0011"),
            Some((48_000, Some(2)))
        );
        assert_eq!(
            told("0 0 1 000000 0000 000 11101 0110 0001 0011"),
            Some((48_000, Some(2)))
        );
        // An explicit rate, with an object type above 31.
        assert_eq!(
            told("0 0 1 000000 0000 000 11111 001010 1111 000000001010110001000100 0010"),
            Some((44_100, Some(2)))
        );
        // Same as before; reserved; an invalid index.
        assert_eq!(told("1 0 1 000000 0000 000 00010 0011 0010"), None);
        assert_eq!(told("0 1 1 00 00000000 1 000000 0000 000"), None);
        assert_eq!(told("0 0 1 000000 0000 000 00010 1101 0010"), None);
    }
}
