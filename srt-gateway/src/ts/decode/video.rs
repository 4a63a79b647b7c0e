//! The format of a video stream, from its sequence header or sequence parameter set.
//!
//! H.264: Rec. ITU-T H.264, 7.3.2.1.1 and annex E. MPEG-2: ISO/IEC 13818-2, 6.2.2. Truncated or impossible values give
//! None.

use super::bits::{Bits, unescaped};
use super::hevc;
use crate::ts::picture::VideoCodec;
use crate::ts::report::VideoReport;

/// The largest width or height.
const SIDE_MAX: u32 = 16_384;

/// Parses the beginning of a picture with parameter sets.
pub(super) fn describe(codec: VideoCodec, sample: &[u8]) -> Option<VideoReport> {
    let report = match codec {
        VideoCodec::H264 => h264(&unescaped(nal(sample, |code| code & 0x1F == 7)?)),
        VideoCodec::Hevc => {
            let parameters = |kind| nal(sample, |code| code >> 1 & 0x3F == kind).map(unescaped);
            hevc::describe(parameters(hevc::VPS), &parameters(hevc::SPS)?)
        }
        VideoCodec::Mpeg2 => mpeg2(sample),
        _ => None,
    }?;
    let is_possible = |side: u32| (1..=SIDE_MAX).contains(&side);
    (is_possible(report.width) && is_possible(report.height)).then_some(report)
}

/// The NAL unit whose first byte matches, without its start code, up to the next one.
fn nal(bytes: &[u8], is_wanted: impl Fn(u8) -> bool) -> Option<&[u8]> {
    let start = bytes
        .windows(4)
        .position(|window| matches!(window, [0, 0, 1, code] if is_wanted(*code)))?;
    let unit = &bytes[start + 3..];
    let end = unit.windows(3).position(|window| matches!(window, [0, 0, 0 | 1]));
    Some(&unit[..end.unwrap_or(unit.len())])
}

/// Frames per second, to a thousandth.
pub(super) fn rate(numerator: u32, denominator: u32) -> Option<f64> {
    let rate = f64::from(numerator) / f64::from(denominator);
    // The field does not always contain a rate.
    (rate.is_finite() && (0.1..=1000.0).contains(&rate)).then_some((rate * 1000.0).round() / 1000.0)
}

fn h264(sps: &[u8]) -> Option<VideoReport> {
    let mut bits = Bits::new(sps.get(1..)?);
    let profile = bits.number(8)?;
    let constraints = bits.number(8)?;
    let level = bits.number(8)?;
    bits.golomb()?;
    let chroma = h264_chroma(&mut bits, profile)?;
    h264_order(&mut bits)?;
    bits.golomb()?;
    bits.skip(1)?;
    let width = bits.golomb()?.checked_add(1)?.checked_mul(16)?;
    let map_units = bits.golomb()?.checked_add(1)?;
    let frames_only = bits.bit()?;
    if !frames_only {
        bits.skip(1)?;
    }
    let units = if frames_only { 1 } else { 2 };
    let height = map_units.checked_mul(16 * units)?;
    bits.skip(1)?;
    let (mut across, mut down) = (0, 0);
    if bits.bit()? {
        let (unit_x, unit_y) = match chroma {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let [left, right, top, bottom] = [(); 4].map(|()| bits.golomb());
        across = left?.checked_add(right?)?.checked_mul(unit_x)?;
        down = top?.checked_add(bottom?)?.checked_mul(unit_y * units)?;
    }
    Some(VideoReport {
        width: width.checked_sub(across)?,
        height: height.checked_sub(down)?,
        frame_rate: h264_rate(&mut bits).flatten(),
        interlaced: !frames_only,
        profile: Some(format!(
            "{} {}.{}",
            h264_profile(profile, constraints),
            level / 10,
            level % 10
        )),
    })
}

/// `chroma_format_idc`; skips further fields of the higher profiles.
fn h264_chroma(bits: &mut Bits<'_>, profile: u32) -> Option<u32> {
    if !matches!(
        profile,
        100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
    ) {
        return Some(1);
    }
    let chroma = bits.golomb()?;
    if chroma == 3 {
        bits.skip(1)?;
    }
    bits.golomb()?;
    bits.golomb()?;
    bits.skip(1)?;
    if bits.bit()? {
        h264_scaling(bits, if chroma == 3 { 12 } else { 8 })?;
    }
    Some(chroma)
}

/// Skips frame numbers and the picture order.
fn h264_order(bits: &mut Bits<'_>) -> Option<()> {
    bits.golomb()?;
    match bits.golomb()? {
        0 => {
            bits.golomb()?;
        }
        1 => {
            bits.skip(1)?;
            bits.signed_golomb()?;
            bits.signed_golomb()?;
            for _ in 0..bits.golomb()?.min(255) {
                bits.signed_golomb()?;
            }
        }
        _ => {}
    }
    Some(())
}

fn h264_profile(profile: u32, constraints: u32) -> &'static str {
    match profile {
        66 if constraints & 0x40 != 0 => "Constrained Baseline",
        66 => "Baseline",
        77 => "Main",
        88 => "Extended",
        100 => "High",
        110 => "High 10",
        122 => "High 4:2:2",
        244 => "High 4:4:4",
        44 => "CAVLC 4:4:4",
        _ => "profile unknown,",
    }
}

/// Skips scaling lists.
fn h264_scaling(bits: &mut Bits<'_>, lists: u32) -> Option<()> {
    for list in 0..lists {
        if !bits.bit()? {
            continue;
        }
        let (mut last, mut next) = (8_i64, 8_i64);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + bits.signed_golomb()? + 256) % 256;
            }
            last = if next == 0 { last } else { next };
        }
    }
    Some(())
}

/// Frames per second from the usability information; Some(None) if not stated.
fn h264_rate(bits: &mut Bits<'_>) -> Option<Option<f64>> {
    if !bits.bit()? {
        return Some(None);
    }
    if bits.bit()? && bits.number(8)? == 255 {
        bits.skip(32)?;
    }
    if bits.bit()? {
        bits.skip(1)?;
    }
    if bits.bit()? {
        bits.skip(4)?;
        if bits.bit()? {
            bits.skip(24)?;
        }
    }
    if bits.bit()? {
        bits.golomb()?;
        bits.golomb()?;
    }
    if !bits.bit()? {
        return Some(None);
    }
    let units = bits.number(32)?;
    let scale = bits.number(32)?;
    // A tick is one field.
    Some(units.checked_mul(2).and_then(|units| rate(scale, units)))
}

fn mpeg2(sample: &[u8]) -> Option<VideoReport> {
    let start = sample.windows(4).position(|window| window == [0, 0, 1, 0xB3])?;
    let header = sample.get(start + 4..)?;
    let mut bits = Bits::new(header);
    let (mut width, mut height) = (bits.number(12)?, bits.number(12)?);
    bits.skip(4)?;
    let (numerator, denominator) = match bits.number(4)? {
        1 => (24_000, 1001),
        2 => (24, 1),
        3 => (25, 1),
        4 => (30_000, 1001),
        5 => (30, 1),
        6 => (50, 1),
        7 => (60_000, 1001),
        8 => (60, 1),
        _ => (0, 1),
    };
    let mut report = VideoReport {
        frame_rate: rate(numerator, denominator),
        ..VideoReport::default()
    };
    // The sequence extension makes it MPEG-2.
    let extension = header
        .windows(5)
        .position(|window| matches!(window, [0, 0, 1, 0xB5, id] if id >> 4 == 1));
    if let Some(mut bits) = extension.and_then(|at| header.get(at + 4..)).map(Bits::new) {
        bits.skip(4)?;
        let profile = bits.number(8)?;
        report.interlaced = !bits.bit()?;
        bits.skip(2)?;
        width += bits.number(2)? << 12;
        height += bits.number(2)? << 12;
        report.profile = mpeg2_profile(profile);
    }
    Some(VideoReport {
        width,
        height,
        ..report
    })
}

fn mpeg2_profile(code: u32) -> Option<String> {
    // 4:2:2 profiles have codes of their own.
    match code {
        0x82 => return Some("4:2:2@High".to_owned()),
        0x85 => return Some("4:2:2@Main".to_owned()),
        _ => {}
    }
    let profile = match code >> 4 & 7 {
        1 => "High",
        4 => "Main",
        5 => "Simple",
        _ => return None,
    };
    let level = match code & 0x0F {
        4 => "High",
        6 => "High 1440",
        8 => "Main",
        10 => "Low",
        _ => return None,
    };
    Some(format!("{profile}@{level}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn anybody_s_parameter_sets_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for (codec, start) in [
                (VideoCodec::H264, &[0, 0, 1, 0x67][..]),
                (VideoCodec::Hevc, &[0, 0, 1, 0x40, 1, 0, 0, 1, 0x42, 1]),
                (VideoCodec::Mpeg2, &[0, 0, 1, 0xB3]),
            ] {
                let sample = [start, &bytes].concat();
                if let Some(report) = describe(codec, &sample) {
                    prop_assert!(report.width <= SIDE_MAX && report.height <= SIDE_MAX);
                }
            }
        }
    }
}
