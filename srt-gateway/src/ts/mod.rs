//! MPEG-TS as it passes by: where a viewer can begin, and what is wrong with an input.
//!
//! Owns the header-level view of packets ([`TsPacket`]) and one [`Observer`] per input, which runs on the worker that
//! serves that input. Pure functions and state over `&[u8]`: no I/O, no clock, no allocation after construction, and
//! no input makes it panic. Deliberately changes no byte and holds no byte back; whatever it makes of a message,
//! the message is relayed as it came.

mod continuity;
mod framer;
mod observer;
mod packet;
mod picture;
mod psi;
mod tracker;

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "test streams are small")]
mod tests;

pub use observer::{Format, Observation, Observer, StartPoint, StartPointKind};
pub use packet::{Adaptation, PACKET_LEN, Pcr, Pid, TsPacket};
pub use picture::VideoCodec;
pub use tracker::{ProgramInfo, TsCounters, VideoTrack};
