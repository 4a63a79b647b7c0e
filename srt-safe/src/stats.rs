//! Statistics of a connection or a group, with units; [`StatsAccumulator`] keeps totals that do not wrap.
//!
//! Runs on the caller's thread; libsrt takes its own locks for a moment. libsrt's counters are never cleared, because
//! all callers share them. Intervals are differences, computed here.

mod accumulator;
mod counters;

use std::time::Duration;

use libsrt_sys::{SRT_TRACEBSTATS, SRTSOCKET};

pub use accumulator::{Delta, StatsAccumulator};
pub use counters::{Counters, Traffic};

use crate::{Error, Result, SrtSocket, ffi};

/// libsrt's statistics of a connection at one moment (`SRT_TRACEBSTATS`).
///
/// For a group, only `elapsed` and, in the counters, `sent_unique`, `received_unique` and `receive_dropped` are set:
/// what the application exchanged with the group. The members' own statistics have the rest.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Time since the connection was opened, in whole milliseconds (`msTimeStamp`).
    pub elapsed: Duration,
    /// Counters since the connection was opened. Packet counts wrap at 2^32 in libsrt: use a [`StatsAccumulator`] if a
    /// connection may last that long.
    pub total: Counters,
    /// Counters since the interval counters were last cleared. This crate never clears them, so they equal `total`,
    /// except for sockets created elsewhere.
    pub interval: Counters,
    /// Average sending rate in that interval, including headers, in bits per second (`mbpsSendRate`).
    pub send_rate: u64,
    /// Average receiving rate in that interval, including headers, in bits per second (`mbpsRecvRate`).
    pub receive_rate: u64,
    /// libsrt's current view of the path.
    pub link: Link,
    /// Unacknowledged and unsent data.
    pub send_buffer: Buffer,
    /// Received and unread data.
    pub receive_buffer: Buffer,
}

/// The path between both sides, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Link {
    /// Smoothed round-trip time; 100 ms until it is measured (`msRTT`).
    pub rtt: Duration,
    /// Estimated capacity of the path towards the peer, in bits per second (`mbpsBandwidth`). A coarse estimate by
    /// libsrt.
    pub bandwidth: u64,
    /// The sending limit in bits per second (`mbpsMaxBW`).
    pub max_bandwidth: u64,
    /// The time between two packets at that limit (`usPktSndPeriod`).
    pub send_period: Duration,
    /// How many unacknowledged packets the peer has room for (`pktFlowWindow`).
    pub flow_window: u32,
    /// How many unacknowledged packets congestion control allows (`pktCongestionWindow`).
    pub congestion_window: u32,
    /// Sent and unacknowledged packets (`pktFlightSize`).
    pub packets_in_flight: u32,
    /// The largest UDP packet in bytes, including headers (`byteMSS`).
    pub max_segment_size: u32,
    /// The latency of sent data (`msSndTsbPdDelay`); zero if the peer does not time packets.
    pub send_latency: Duration,
    /// The latency of received data (`msRcvTsbPdDelay`); zero if this side does not time packets.
    pub receive_latency: Duration,
    /// The largest distance by which a packet was overtaken, in packets (`pktReorderDistance`).
    pub reorder_distance: u32,
    /// How far a packet may be overtaken before it counts as lost, in packets (`pktReorderTolerance`).
    pub reorder_tolerance: u32,
    /// How late belated packets were, smoothed (`pktRcvAvgBelatedTime`). None if there were none, or if libsrt's number
    /// cannot be right.
    pub belated_by: Option<Duration>,
}

/// The fill of a buffer. All zeros while another thread changes the connection: libsrt does not wait for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Buffer {
    /// Packets in the buffer (`pktSndBuf`, `pktRcvBuf`).
    pub packets: u32,
    /// Bytes in the buffer (`byteSndBuf`, with headers; `byteRcvBuf`, without).
    pub bytes: u64,
    /// The time between its first and last packet (`msSndBuf`, `msRcvBuf`).
    pub span: Duration,
    /// Free room in bytes, counted in whole packets (`byteAvailSndBuf`, `byteAvailRcvBuf`).
    pub available: u64,
}

/// Longer than any latency in use: greater values come from a clock that jumped.
const LATEST_CREDIBLE: Duration = Duration::from_secs(600);

impl Stats {
    fn new(perf: &SRT_TRACEBSTATS) -> Self {
        Self {
            elapsed: millis(perf.msTimeStamp),
            total: Counters::total(perf),
            interval: Counters::interval(perf),
            send_rate: bits_per_second(perf.mbpsSendRate),
            receive_rate: bits_per_second(perf.mbpsRecvRate),
            link: Link::new(perf),
            send_buffer: Buffer {
                packets: unsigned(perf.pktSndBuf),
                bytes: unsigned(perf.byteSndBuf).into(),
                span: millis(perf.msSndBuf.into()),
                available: unsigned(perf.byteAvailSndBuf).into(),
            },
            receive_buffer: Buffer {
                packets: unsigned(perf.pktRcvBuf),
                bytes: unsigned(perf.byteRcvBuf).into(),
                span: millis(perf.msRcvBuf.into()),
                available: unsigned(perf.byteAvailRcvBuf).into(),
            },
        }
    }
}

impl Link {
    fn new(perf: &SRT_TRACEBSTATS) -> Self {
        let belated_by = duration(perf.pktRcvAvgBelatedTime / 1e3);
        Self {
            rtt: duration(perf.msRTT / 1e3).unwrap_or_default(),
            bandwidth: bits_per_second(perf.mbpsBandwidth),
            max_bandwidth: bits_per_second(perf.mbpsMaxBW),
            send_period: duration(perf.usPktSndPeriod / 1e6).unwrap_or_default(),
            flow_window: unsigned(perf.pktFlowWindow),
            congestion_window: unsigned(perf.pktCongestionWindow),
            packets_in_flight: unsigned(perf.pktFlightSize),
            max_segment_size: unsigned(perf.byteMSS),
            send_latency: millis(perf.msSndTsbPdDelay.into()),
            receive_latency: millis(perf.msRcvTsbPdDelay.into()),
            reorder_distance: unsigned(perf.pktReorderDistance),
            reorder_tolerance: unsigned(perf.pktReorderTolerance),
            belated_by: belated_by.filter(|late| !late.is_zero() && *late <= LATEST_CREDIBLE),
        }
    }
}

/// A level (not a count): negative values are arithmetic underflows of libsrt, and mean none.
fn unsigned(value: i32) -> u32 {
    value.try_into().unwrap_or(0)
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.try_into().unwrap_or(0))
}

/// None for negative, infinite and NaN values.
fn duration(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float saturates when cast, and not-a-number becomes 0"
)]
fn bits_per_second(mbps: f64) -> u64 {
    // Infinite if libsrt divides by an interval of zero length.
    if mbps.is_finite() {
        (mbps * 1e6).round() as u64
    } else {
        0
    }
}

/// Whether the buffers' fill is averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Levels {
    /// Smoothed over about a second.
    Averaged,
    /// Current.
    Instantaneous,
}

/// Reads the statistics of a socket or a group.
pub(crate) fn read(id: SRTSOCKET, levels: Levels) -> Result<Stats> {
    // SAFETY: the struct is integers and floats, for which zeros are a value.
    let mut perf: SRT_TRACEBSTATS = unsafe { std::mem::zeroed() };
    let instantaneous = i32::from(levels == Levels::Instantaneous);
    // SAFETY: libsrt writes the struct behind the pointer, which outlives the call, and checks the id.
    let ret = unsafe { libsrt_sys::srt_bistats(id, &raw mut perf, 0, instantaneous) };
    ffi::check("srt_bistats", ret).map_err(Error::of_connection)?;
    Ok(Stats::new(&perf))
}

impl SrtSocket {
    /// The statistics of the connection so far: `srt_bistats`, without clearing. Does not block.
    ///
    /// The levels of the buffers are averages over about a second.
    ///
    /// # Errors
    /// The socket is not connected, or the connection is broken: read the last ones before closing.
    ///
    /// # Examples
    /// ```no_run
    /// # use srt_safe::{Result, SrtSocket, StatsAccumulator};
    /// # fn f(socket: SrtSocket) -> Result<()> {
    /// let mut accumulator = StatsAccumulator::new();
    /// let delta = accumulator.update(&socket.stats()?);
    /// println!("{} bit/s since the last look", delta.receive_rate());
    /// # Ok(())
    /// # }
    /// ```
    pub fn stats(&self) -> Result<Stats> {
        read(self.raw.id(), Levels::Averaged)
    }

    /// Like [`stats`](Self::stats), with the current levels of the buffers.
    ///
    /// # Errors
    /// As for [`stats`](Self::stats).
    pub fn instantaneous_stats(&self) -> Result<Stats> {
        read(self.raw.id(), Levels::Instantaneous)
    }
}

#[cfg(test)]
mod tests;
