//! Test streams: a real one that ffmpeg encodes ([`sample_ts`]), and one in which every packet carries its position
//! ([`StampedTs`]), with the checks of a received copy of each.

mod sample;
mod stamped;
mod verify;

pub use sample::{Sample, contiguous_part, sample_ts};
pub use stamped::StampedTs;
pub use verify::{Report, Verifier};

/// The size of an MPEG-TS packet in bytes.
pub const TS_PACKET: usize = 188;
