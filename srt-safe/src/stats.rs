//! Statistics of a connection or a group, with units; the totals that libsrt lets wrap are kept up by [`StatsAccumulator`].
//!
//! Runs on the caller's thread; libsrt takes its own locks for a moment. Nothing here ever clears libsrt's counters: they are
//! shared by all who ask, so that a clear would falsify what others see. Intervals are differences, computed by us.

mod accumulator;
mod counters;

use std::time::Duration;

use libsrt_sys::{SRT_TRACEBSTATS, SRTSOCKET};

pub use accumulator::{Delta, StatsAccumulator};
pub use counters::{Counters, Traffic};

use crate::{Error, Result, SrtSocket, ffi};

/// What libsrt tells about a connection at one moment (`SRT_TRACEBSTATS`).
///
/// Of a group only `elapsed` and, in the counters, `sent_unique`, `received_unique` and `receive_dropped` are filled in: what
/// the application exchanged with the group. The members' own statistics have the rest.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Time since the connection began; whole milliseconds (`msTimeStamp`).
    pub elapsed: Duration,
    /// Counted since the connection began. Packet counts wrap at 2^32 in libsrt: feed a [`StatsAccumulator`] where a
    /// connection may last so long.
    pub total: Counters,
    /// Counted since somebody cleared the interval counters. This crate never does, so that they equal `total` but for
    /// sockets that came from elsewhere.
    pub interval: Counters,
    /// Average rate of sending in that interval, headers included; bits in a second (`mbpsSendRate`).
    pub send_rate: u64,
    /// Average rate of receiving in that interval, headers included; bits in a second (`mbpsRecvRate`).
    pub receive_rate: u64,
    /// The path, as libsrt sees it now.
    pub link: Link,
    /// What is sent and not yet acknowledged, or still to be sent.
    pub send_buffer: Buffer,
    /// What is received and not yet read.
    pub receive_buffer: Buffer,
}

/// The path between both sides, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Link {
    /// Round-trip time, smoothed; 100 ms until it is measured (`msRTT`).
    pub rtt: Duration,
    /// Estimated capacity of the path towards the peer; bits in a second (`mbpsBandwidth`). A coarse guess of libsrt.
    pub bandwidth: u64,
    /// The limit of sending; bits in a second (`mbpsMaxBW`).
    pub max_bandwidth: u64,
    /// The time between two packets that the limit leaves (`usPktSndPeriod`).
    pub send_period: Duration,
    /// How many unacknowledged packets the peer has room for (`pktFlowWindow`).
    pub flow_window: u32,
    /// How many unacknowledged packets congestion control allows (`pktCongestionWindow`).
    pub congestion_window: u32,
    /// Packets sent and not yet acknowledged (`pktFlightSize`).
    pub packets_in_flight: u32,
    /// The largest UDP packet, headers included; bytes (`byteMSS`).
    pub max_segment_size: u32,
    /// The latency of what is sent (`msSndTsbPdDelay`); zero where the peer does not pace.
    pub send_latency: Duration,
    /// The latency of what is received (`msRcvTsbPdDelay`); zero where this side does not pace.
    pub receive_latency: Duration,
    /// The farthest that a packet was overtaken; packets (`pktReorderDistance`).
    pub reorder_distance: u32,
    /// How far a packet may be overtaken before it counts as lost; packets (`pktReorderTolerance`).
    pub reorder_tolerance: u32,
    /// How late packets were that came too late, smoothed (`pktRcvAvgBelatedTime`). None where none did, and where libsrt's
    /// number cannot be right.
    pub belated_by: Option<Duration>,
}

/// How full a buffer is. All zeros while the connection is being changed by another thread: libsrt does not wait for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Buffer {
    /// Packets in it (`pktSndBuf`, `pktRcvBuf`).
    pub packets: u32,
    /// Bytes in it (`byteSndBuf`, with headers; `byteRcvBuf`, without).
    pub bytes: u64,
    /// The time between its first and last packet (`msSndBuf`, `msRcvBuf`).
    pub span: Duration,
    /// Room left; bytes, counted in whole packets (`byteAvailSndBuf`, `byteAvailRcvBuf`).
    pub available: u64,
}

/// Longer than any latency in use: what libsrt says beyond it comes from a clock that jumped.
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

/// A level (not a count): below zero is libsrt's arithmetic gone past the edge, and means none.
fn unsigned(value: i32) -> u32 {
    value.try_into().unwrap_or(0)
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.try_into().unwrap_or(0))
}

/// None for what is negative, infinite or not a number.
fn duration(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float saturates when cast, and not-a-number becomes 0"
)]
fn bits_per_second(mbps: f64) -> u64 {
    // Infinite where libsrt divides by an interval of no length.
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
    /// As they are.
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
    /// Tells what happened on the connection so far: `srt_bistats`, which is never told to clear. Does not block.
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

    /// As [`stats`](Self::stats), with the levels of the buffers as they are at this moment.
    ///
    /// # Errors
    /// As for [`stats`](Self::stats).
    pub fn instantaneous_stats(&self) -> Result<Stats> {
        read(self.raw.id(), Levels::Instantaneous)
    }
}

#[cfg(test)]
mod tests;
