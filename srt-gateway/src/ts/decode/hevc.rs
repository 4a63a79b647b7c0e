//! The format of an HEVC stream, from its sequence parameter set and, for the rate, its video parameter set.
//!
//! Rec. ITU-T H.265: 7.3.2.1 (VPS), 7.3.2.2 (SPS), 7.3.3 (profile), 7.3.4 (scaling lists), 7.3.7 (reference pictures),
//! E.2.1 (usability information). The rate comes after lists of any length: a set that ends within them, or contains
//! impossible values, has a size and no rate.

use super::bits::Bits;
use super::video::rate;
use crate::ts::report::VideoReport;

/// Types of NAL units.
pub(super) const VPS: u8 = 32;
pub(super) const SPS: u8 = 33;

/// Parses both sets, without start codes and emulation prevention bytes.
pub(super) fn describe(vps: Option<Vec<u8>>, sps: &[u8]) -> Option<VideoReport> {
    let mut bits = Bits::new(sps.get(2..)?);
    bits.skip(4)?;
    let sub_layers = bits.number(3)?;
    bits.skip(1)?;
    let profile = profile(&mut bits, sub_layers)?;
    let (width, height) = size(&mut bits)?;
    let timing = sps_timing(&mut bits, sub_layers);
    let is_fields = timing.as_ref().is_some_and(|timing| timing.is_fields);
    let ticks = timing
        .and_then(|timing| timing.ticks)
        .or_else(|| vps_ticks(&vps?));
    // With field coding, each field is a picture.
    let pictures = if is_fields { 2 } else { 1 };
    Some(VideoReport {
        width,
        height: height.checked_mul(pictures)?,
        frame_rate: ticks.and_then(|ticks| rate(ticks.scale, ticks.units.checked_mul(pictures)?)),
        interlaced: is_fields || profile.is_interlaced,
        profile: Some(profile.name),
    })
}

/// `profile_tier_level()`, for display.
struct Profile {
    name: String,
    is_interlaced: bool,
}

fn profile(bits: &mut Bits<'_>, sub_layers: u32) -> Option<Profile> {
    bits.skip(2)?;
    let tier = if bits.bit()? { " (high tier)" } else { "" };
    let name = match bits.number(5)? {
        1 => "Main",
        2 => "Main 10",
        3 => "Main Still Picture",
        4 => "Range Extensions",
        _ => "profile unknown,",
    };
    bits.skip(32)?;
    let (progressive, interlaced) = (bits.bit()?, bits.bit()?);
    bits.skip(46)?;
    let level = bits.number(8)?;
    skip_sub_layers(bits, sub_layers)?;
    Some(Profile {
        name: format!("{name} {}.{}{tier}", level / 30, level % 30 / 3),
        is_interlaced: interlaced && !progressive,
    })
}

/// Skips the levels of sub-layers.
fn skip_sub_layers(bits: &mut Bits<'_>, sub_layers: u32) -> Option<()> {
    let mut present = Vec::new();
    for _ in 0..sub_layers {
        present.push((bits.bit()?, bits.bit()?));
    }
    if sub_layers > 0 {
        bits.skip(2 * (8 - usize::try_from(sub_layers).ok()?))?;
    }
    for (has_profile, has_level) in present {
        bits.skip(if has_profile { 88 } else { 0 } + if has_level { 8 } else { 0 })?;
    }
    Some(())
}

/// The width and height of the displayed part of a picture.
fn size(bits: &mut Bits<'_>) -> Option<(u32, u32)> {
    bits.golomb()?;
    let chroma = bits.golomb()?;
    if chroma == 3 {
        bits.skip(1)?;
    }
    let (mut width, mut height) = (bits.golomb()?, bits.golomb()?);
    if bits.bit()? {
        let (unit_x, unit_y) = match chroma {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let [left, right, top, bottom] = [(); 4].map(|()| bits.golomb());
        width = width.checked_sub(left?.checked_add(right?)?.checked_mul(unit_x)?)?;
        height = height.checked_sub(top?.checked_add(bottom?)?.checked_mul(unit_y)?)?;
    }
    Some((width, height))
}

/// A picture lasts `units` of which there are `scale` per second.
struct Ticks {
    units: u32,
    scale: u32,
}

impl Ticks {
    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        Some(Self {
            units: bits.number(32)?,
            scale: bits.number(32)?,
        })
    }
}

/// The timing in the usability information.
struct Timing {
    is_fields: bool,
    ticks: Option<Ticks>,
}

/// Parses from after the size; None if there is no timing.
fn sps_timing(bits: &mut Bits<'_>, sub_layers: u32) -> Option<Timing> {
    skip_golombs(bits, 2)?;
    let order_bits = bits.golomb()?.checked_add(4).filter(|count| *count <= 16)?;
    skip_ordering(bits, sub_layers)?;
    skip_golombs(bits, 6)?;
    if bits.bit()? && bits.bit()? {
        skip_scaling_lists(bits)?;
    }
    bits.skip(2)?;
    // Uncompressed samples (PCM).
    if bits.bit()? {
        bits.skip(8)?;
        skip_golombs(bits, 2)?;
        bits.skip(1)?;
    }
    skip_reference_sets(bits)?;
    if bits.bit()? {
        let pictures = bits.golomb().filter(|count| *count <= 32)?;
        bits.skip(usize::try_from(pictures * (order_bits + 1)).ok()?)?;
    }
    bits.skip(2)?;
    if !bits.bit()? {
        return None;
    }
    usability(bits)
}

fn skip_golombs(bits: &mut Bits<'_>, count: u32) -> Option<()> {
    (0..count).try_for_each(|_| bits.golomb().map(drop))
}

/// Skips the buffer sizes, of each sub-layer or of the highest.
fn skip_ordering(bits: &mut Bits<'_>, sub_layers: u32) -> Option<()> {
    let sets = if bits.bit()? { sub_layers + 1 } else { 1 };
    skip_golombs(bits, 3 * sets)
}

fn skip_scaling_lists(bits: &mut Bits<'_>) -> Option<()> {
    for size in 0..4_u32 {
        for _ in (0..6).step_by(if size == 3 { 3 } else { 1 }) {
            if !bits.bit()? {
                bits.golomb()?;
                continue;
            }
            let coefficients = 64.min(1 << (4 + 2 * size));
            skip_golombs(bits, coefficients + u32::from(size > 1))?;
        }
    }
    Some(())
}

/// Skips all `st_ref_pic_set()`. A set may be coded as the difference from the previous one; then it has an entry for
/// each picture of that set, and one more.
fn skip_reference_sets(bits: &mut Bits<'_>) -> Option<()> {
    /// The limit of reference pictures.
    const PICTURES_MAX: u32 = 16;
    let sets = bits.golomb().filter(|sets| *sets <= 64)?;
    let mut pictures = 0;
    for set in 0..sets {
        if set > 0 && bits.bit()? {
            bits.skip(1)?;
            bits.golomb()?;
            let mut kept = 0;
            for _ in 0..=pictures {
                kept += u32::from(bits.bit()? || bits.bit()?);
            }
            pictures = kept;
        } else {
            pictures = bits.golomb()?.checked_add(bits.golomb()?)?;
            for _ in 0..pictures.min(PICTURES_MAX) {
                bits.golomb()?;
                bits.skip(1)?;
            }
        }
        if pictures > PICTURES_MAX {
            return None;
        }
    }
    Some(())
}

fn usability(bits: &mut Bits<'_>) -> Option<Timing> {
    const EXTENDED_ASPECT: u32 = 255;
    if bits.bit()? && bits.number(8)? == EXTENDED_ASPECT {
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
        skip_golombs(bits, 2)?;
    }
    bits.skip(1)?;
    let is_fields = bits.bit()?;
    bits.skip(1)?;
    if bits.bit()? {
        skip_golombs(bits, 4)?;
    }
    let ticks = if bits.bit()? {
        Some(Ticks::read(bits)?)
    } else {
        None
    };
    Some(Timing { is_fields, ticks })
}

/// The timing in the video parameter set.
fn vps_ticks(vps: &[u8]) -> Option<Ticks> {
    let mut bits = Bits::new(vps.get(2..)?);
    bits.skip(12)?;
    let sub_layers = bits.number(3)?;
    bits.skip(17)?;
    profile(&mut bits, sub_layers)?;
    skip_ordering(&mut bits, sub_layers)?;
    let layers = bits.number(6)? + 1;
    let sets = bits.golomb().filter(|sets| *sets < 1024)?;
    bits.skip(usize::try_from(layers * sets).ok()?)?;
    if !bits.bit()? {
        return None;
    }
    Ticks::read(&mut bits)
}

#[cfg(test)]
mod tests;
