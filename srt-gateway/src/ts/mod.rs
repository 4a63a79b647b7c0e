//! MPEG-TS as it passes by: where a viewer can begin, what is in it, and what is wrong with it.
//!
//! Owns the header-level view of packets ([`TsPacket`]) and one [`Observer`] per input, which runs on the worker that
//! serves that input, and shows what it finds on a [`Board`]. What is for people only is decoded from there, by whoever
//! asks ([`Board::report`]). On the worker: pure functions and state over `&[u8]`, no I/O, no clock (the time is told), no
//! allocation after construction. No input makes any of it panic. Deliberately changes no byte and holds no byte
//! back; whatever it makes of a message, the message is relayed as it came.

mod board;
mod checks;
mod clock;
mod decode;
mod framer;
mod meter;
mod observer;
mod packet;
mod pes;
mod picture;
mod pids;
mod presence;
mod psi;
mod report;
mod sample;
mod streams;
mod tables;
mod tracker;

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "test streams are small")]
mod tests;

pub use board::{Board, TsCounters};
pub use checks::{Check, Checks};
pub use observer::{Format, Observation, Observer, StartPoint, StartPointKind};
pub use packet::{Adaptation, PACKET_LEN, Pcr, Pid, TsPacket};
pub use picture::VideoCodec;
pub use report::{
    AudioReport, CheckReport, ClockReport, GopReport, Payload, PidReport, ProgramReport, StreamKind,
    StreamReport, TsReport, VideoReport,
};
pub use tracker::{ProgramInfo, VideoTrack};
