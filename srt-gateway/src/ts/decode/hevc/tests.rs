//! Parameter sets written bit by bit, with everything that real encoders leave out; tests/e2e/formats.rs tests those of
//! x265.

use proptest::prelude::*;

use super::*;

/// Writes bits.
#[derive(Clone, Default)]
struct BitWriter(Vec<bool>);

impl BitWriter {
    /// The lowest `count` bits.
    fn put(mut self, count: u32, value: u64) -> Self {
        self.0.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
        self
    }

    /// `ue(v)` of each.
    fn golombs(self, values: &[u32]) -> Self {
        values.iter().fold(self, |pen, value| {
            let coded = u64::from(*value) + 1;
            let bits = u64::BITS - coded.leading_zeros();
            pen.put(bits - 1, 0).put(bits, coded)
        })
    }

    fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| {
            bits.iter().fold(0_u8, |byte, bit| byte << 1 | u8::from(*bit)) << (8 - bits.len())
        };
        self.0.chunks(8).map(byte).collect()
    }

    /// `profile_tier_level()` of Main 10, level 4.1, high tier, with a profile and a level for its one sub-layer.
    fn profile(self) -> Self {
        self.put(3, 1)
            .put(5, 2)
            .put(32, 0)
            .put(4, 0b1000)
            .put(44, 0)
            .put(8, 123)
            // One sub-layer with both, and padding.
            .put(2, 0b11)
            .put(14, 0)
            .put(32, 7)
            .put(32, 7)
            .put(24, 7)
            .put(8, 90)
    }
}

/// The differences between the sets.
#[derive(Clone, Copy)]
struct VpsParams {
    scaling: bool,
    fields: bool,
    timing: Option<(u32, u32)>,
}

/// An SPS of 1920x1080 with everything that may precede the rate.
fn sps(made: VpsParams) -> BitWriter {
    let pen = BitWriter::default()
        .put(16, 0x4201)
        .put(4, 0)
        .put(3, 1)
        .put(1, 1)
        .profile();
    // 4:2:0, 1920x1088, of which the lowest eight lines are cropped.
    let pen = pen.golombs(&[0, 1, 1920, 1088]).put(1, 1).golombs(&[0, 0, 0, 4]);
    // Bit depths, bits of the picture order count, the buffers of both sub-layers, block sizes.
    let pen = pen
        .golombs(&[2, 2, 4])
        .put(1, 1)
        .golombs(&[4, 2, 0, 5, 3, 1])
        .golombs(&[0, 3, 0, 3, 1, 1]);
    let pen = if made.scaling {
        scaling(pen.put(2, 0b11))
    } else {
        pen.put(1, 0)
    };
    // Uncompressed samples.
    let pen = pen.put(2, 0b11).put(1, 1).put(8, 0x77).golombs(&[0, 2]).put(1, 1);
    // Three reference picture sets: of two and one; one coded by difference, with one of its four entries unused; and
    // one of a single picture, coded by difference from that.
    let pen = pen
        .golombs(&[3])
        .golombs(&[2, 1])
        .golombs(&[0])
        .put(1, 1)
        .golombs(&[3])
        .put(1, 0)
        .golombs(&[1])
        .put(1, 1);
    let pen = pen
        .put(2, 0b10)
        .golombs(&[1])
        .put(1, 1)
        .put(2, 0b00)
        .put(2, 0b01)
        .put(1, 1);
    let pen = pen
        .put(2, 0b11)
        .golombs(&[0])
        .put(1, 1)
        .put(2, 0b00)
        .put(2, 0b00)
        .put(2, 0b00);
    // Two long-term pictures of eight bits each.
    let pen = pen.put(1, 1).golombs(&[2]).put(9, 3).put(9, 5);
    let pen = pen.put(2, 0b11).put(1, 1);
    // Full aspect ratio, overscan, signal type with colours, chroma location.
    let pen = pen
        .put(1, 1)
        .put(8, 255)
        .put(32, 0x0001_0001)
        .put(2, 0b11)
        .put(1, 1)
        .put(4, 10)
        .put(1, 1)
        .put(24, 0x01_01_01);
    let pen = pen.put(1, 1).golombs(&[0, 0]);
    // Neutral chroma, fields, field information; a display window.
    let pen = pen
        .put(1, 0)
        .put(1, u64::from(made.fields))
        .put(1, 1)
        .put(1, 1)
        .golombs(&[0, 0, 1, 1]);
    match made.timing {
        Some((units, scale)) => pen
            .put(1, 1)
            .put(32, units.into())
            .put(32, scale.into())
            .put(8, 0x40),
        None => pen.put(1, 0).put(8, 0x40),
    }
}

/// Scaling lists of every kind: predicted and explicit ones.
fn scaling(mut pen: BitWriter) -> BitWriter {
    for size in 0..4_u32 {
        for list in 0..if size == 3 { 2 } else { 6 } {
            pen = if list % 2 == 0 {
                pen.put(1, 0).golombs(&[0])
            } else {
                let count = 64.min(1 << (4 + 2 * size)) + u32::from(size > 1);
                (0..count).fold(pen.put(1, 1), |pen, at| pen.golombs(&[at % 5]))
            };
        }
    }
    pen
}

/// A VPS with two sub-layers, three layer sets, and this rate.
fn vps(units: u32, scale: u32) -> Vec<u8> {
    let pen = BitWriter::default()
        .put(16, 0x4001)
        .put(4, 0)
        .put(2, 3)
        .put(6, 1)
        .put(3, 1)
        .put(1, 1)
        .put(16, 0xFFFF)
        .profile();
    let pen = pen
        .put(1, 0)
        .golombs(&[4, 2, 0])
        .put(6, 1)
        .golombs(&[3])
        .put(6, 0b10_01_11);
    pen.put(1, 1)
        .put(32, units.into())
        .put(32, scale.into())
        .put(8, 0x80)
        .bytes()
}

const PLAIN: VpsParams = VpsParams {
    scaling: false,
    fields: false,
    timing: Some((1001, 60_000)),
};

#[test]
fn the_rate_is_found_behind_everything_that_may_stand_before_it() {
    for scaling in [false, true] {
        let report = describe(None, &sps(VpsParams { scaling, ..PLAIN }).bytes()).unwrap();
        assert_eq!((report.width, report.height), (1920, 1080));
        assert_eq!(report.frame_rate, Some(59.94), "scaling lists: {scaling}");
        assert_eq!(report.profile.as_deref(), Some("Main 10 4.1 (high tier)"));
        assert!(!report.interlaced);
    }
}

#[test]
fn two_fields_are_a_frame() {
    let made = VpsParams {
        fields: true,
        timing: Some((1, 50)),
        ..PLAIN
    };
    let report = describe(None, &sps(made).bytes()).unwrap();
    assert_eq!((report.height, report.frame_rate), (2160, Some(25.0)));
    assert!(report.interlaced);
}

#[test]
fn what_the_sps_does_not_say_the_vps_may() {
    let silent = sps(VpsParams {
        timing: None,
        ..PLAIN
    })
    .bytes();
    assert_eq!(describe(None, &silent).unwrap().frame_rate, None);
    let asked = |units, scale| describe(Some(vps(units, scale)), &silent).unwrap().frame_rate;
    assert_eq!(asked(1, 50), Some(50.0));
    assert_eq!(asked(0, 50), None);
    let both = describe(Some(vps(1, 50)), &sps(PLAIN).bytes()).unwrap();
    assert_eq!(both.frame_rate, Some(59.94), "the SPS is nearer to the pictures");
}

#[test]
fn a_set_that_ends_early_has_what_came_before() {
    let whole = sps(PLAIN).bytes();
    let of = |count: usize| describe(None, &whole[..count]);
    assert_eq!(of(20), None);
    let cut = of(whole.len() - 8).unwrap();
    assert_eq!((cut.width, cut.frame_rate), (1920, None));
}

proptest! {
    #[test]
    fn anybody_s_bytes_are_survived(sps in proptest::collection::vec(any::<u8>(), 0..200), vps in proptest::collection::vec(any::<u8>(), 0..80)) {
        drop(describe(Some(vps), &sps));
    }

    #[test]
    fn a_broken_set_is_survived(at in 0_usize..100, byte: u8) {
        let mut bytes = sps(VpsParams { scaling: true, ..PLAIN }).bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        drop(describe(None, &bytes));
    }
}
