//! Analyses MPEG-TS as it passes: where a viewer can start, what the stream contains, and what is wrong with it.
//!
//! Owns the header-level view of packets ([`TsPacket`]) and one [`Observer`] per input, which runs on the worker that
//! serves that input and publishes its results on a [`Board`]. The thread that requests a report decodes the rest
//! ([`Board::report`]). On the worker: pure functions and state over `&[u8]`, no I/O, no clock (time is an argument),
//! no allocation after construction. No input causes a panic. It deliberately changes and delays nothing: every message
//! is relayed as received, whatever the result.

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
