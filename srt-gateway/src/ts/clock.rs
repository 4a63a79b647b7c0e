//! The program clocks of an input: when their PCRs arrive, and whether they have the right values.
//!
//! Tracks up to 16 clocks. Runs on the input's worker, for packets with a PCR: some 25 to 50 per second and program.
//! Arrival times are in microseconds, and as exact as the worker is prompt, so the accuracy of PCRs (TR 101 290, 2.4)
//! is judged by their position in the stream instead, which requires a constant transport rate.

use super::checks::{PCR_ACCURACY_NS, PCR_INTERVAL, PCR_STEP};
use super::packet::{PACKET_LEN, Pcr};

/// The number of clocks tracked.
pub(super) const CLOCKS_MAX: usize = 16;

/// This many PCRs in a row must lie at a constant rate before one that does not counts as an error.
const LOCK: u32 = 16;

/// After this many in a row that do not, the rate no longer counts as constant.
const UNLOCK: u32 = 4;

/// The relative deviation of the time between two PCRs that still counts as constant.
const CONSTANT: f64 = 0.01;

/// Ticks of 27 MHz per nanosecond.
const TICKS_PER_NS: f64 = 0.027;

/// The checks that a PCR failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PcrFaults {
    pub(super) repetition: bool,
    pub(super) discontinuity: bool,
    pub(super) accuracy: bool,
}

/// The figures of a second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ClockSecond {
    pub(super) intervals: u32,
    pub(super) interval_sum: u64,
    pub(super) interval_max: u64,
    /// Earliest and latest arrival relative to the PCR's value.
    earliest: i64,
    latest: i64,
    /// The largest deviation among the judged PCRs, in nanoseconds.
    pub(super) accuracy: Option<i64>,
    /// Ticks and packets behind `rate`.
    ticks: u64,
    packets: u64,
}

impl ClockSecond {
    /// Peak to peak, microseconds.
    pub(super) fn jitter(&self) -> u64 {
        self.latest.abs_diff(self.earliest)
    }

    /// The bit rate of the transport stream.
    pub(super) fn rate(&self) -> Option<u64> {
        let bits = u128::from(self.packets) * (PACKET_LEN as u128) * 8 * 27_000_000;
        bits.checked_div(self.ticks.into())
            .and_then(|rate| u64::try_from(rate).ok())
    }
}

/// A PCR with its arrival time and position.
#[derive(Clone, Copy, Debug)]
struct PcrSample {
    ticks: u64,
    at: u64,
    packet: u64,
}

/// Judges whether PCRs lie where the transport rate implies.
///
/// ```text
///              16 in a row at one rate
///   searching ─────────────────────────▶ locked (judges each)
///       ▲                                   │
///       └── 4 in a row off by 1 %, or a packet is missing, or a discontinuity
/// ```
#[derive(Clone, Copy, Debug, Default)]
struct Placement {
    /// Consecutive PCRs at one rate.
    steady: u32,
    off: u32,
    /// Where the search for the rate started.
    from: Option<(u64, u64)>,
    /// Ticks per packet, once locked.
    ticks_per_packet: f64,
    /// By how many ticks the last PCR was late relative to the smoothed line.
    late: f64,
}

/// The state of a clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    pub(super) pid: u16,
    pub(super) count: u64,
    last: Option<PcrSample>,
    placement: Placement,
    /// The start of the current second, for jitter and rate; and its figures.
    base: Option<PcrSample>,
    running: ClockSecond,
    pub(super) shown: ClockSecond,
}

impl Clock {
    /// Processes a PCR in packet number `packet`, which arrived at `at` microseconds.
    fn pcr(&mut self, pcr: Pcr, at: u64, packet: u64, is_announced_jump: bool) -> PcrFaults {
        let seen = PcrSample {
            ticks: pcr.ticks(),
            at,
            packet,
        };
        self.count += 1;
        let mut faults = PcrFaults::default();
        let Some(last) = self.last.replace(seen) else {
            self.begin(seen);
            return faults;
        };
        let interval = at.saturating_sub(last.at);
        faults.repetition = u128::from(interval) > PCR_INTERVAL.as_micros();
        self.running.intervals += 1;
        self.running.interval_sum += interval;
        self.running.interval_max = self.running.interval_max.max(interval);
        let ticks = (seen.ticks + Pcr::WRAP - last.ticks) % Pcr::WRAP;
        let jumps = u128::from(ticks) * 1000 / 27 > PCR_STEP.as_nanos();
        faults.discontinuity = jumps && !is_announced_jump;
        if jumps || is_announced_jump {
            self.begin(seen);
            return faults;
        }
        self.time(seen);
        if let Some(off_ns) = self.placement.judge(ticks, packet - last.packet, seen) {
            faults.accuracy = off_ns.unsigned_abs() > PCR_ACCURACY_NS;
            let worst = self.running.accuracy.get_or_insert(off_ns);
            if off_ns.unsigned_abs() > worst.unsigned_abs() {
                *worst = off_ns;
            }
        }
        faults
    }

    fn begin(&mut self, seen: PcrSample) {
        self.base = Some(seen);
        self.placement = Placement::default();
        self.running.earliest = 0;
        self.running.latest = 0;
        self.running.ticks = 0;
        self.running.packets = 0;
    }

    /// Compares arrival and value since the start of the second.
    fn time(&mut self, seen: PcrSample) {
        let base = *self.base.get_or_insert(seen);
        let ticks = (seen.ticks + Pcr::WRAP - base.ticks) % Pcr::WRAP;
        let late = i64::try_from(seen.at - base.at.min(seen.at)).unwrap_or(i64::MAX)
            - i64::try_from(ticks / 27).unwrap_or(i64::MAX);
        self.running.earliest = self.running.earliest.min(late);
        self.running.latest = self.running.latest.max(late);
        self.running.ticks = ticks;
        self.running.packets = seen.packet - base.packet;
    }

    /// Packets are missing: positions mean nothing until the rate is found again.
    fn disturb(&mut self) {
        self.placement = Placement::default();
        self.base = None;
    }

    /// The stream starts again: the next PCR has no predecessor.
    fn restart(&mut self) {
        self.disturb();
        self.last = None;
    }

    fn end_second(&mut self) {
        self.shown = std::mem::take(&mut self.running);
        self.base = self.last;
    }
}

impl Placement {
    /// The deviation of the PCR `seen`, which comes `ticks` and `packets` after the previous one, in nanoseconds. None
    /// while it cannot be judged.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "ticks and packets of less than a second; nanoseconds of as much"
    )]
    fn judge(&mut self, ticks: u64, packets: u64, seen: PcrSample) -> Option<i64> {
        let (interval, packets) = (ticks as f64, packets as f64);
        let Some((from_ticks, from_packet)) = self.from else {
            self.from = Some((seen.ticks, seen.packet));
            return None;
        };
        let is_locked = self.steady >= LOCK;
        let rate = if is_locked || self.steady == 0 {
            self.ticks_per_packet
        } else {
            let all = (seen.ticks + Pcr::WRAP - from_ticks) % Pcr::WRAP;
            all as f64 / (seen.packet - from_packet).max(1) as f64
        };
        let off = interval - packets * rate;
        let is_off = off.abs() > interval * CONSTANT;
        if !is_locked {
            if self.steady > 0 && is_off {
                *self = Self {
                    from: Some((seen.ticks, seen.packet)),
                    ..Self::default()
                };
                return None;
            }
            self.ticks_per_packet = if self.steady == 0 {
                interval / packets.max(1.0)
            } else {
                rate
            };
            self.steady += 1;
            return None;
        }
        self.off = if is_off { self.off + 1 } else { 0 };
        if self.off == UNLOCK {
            *self = Self::default();
            return None;
        }
        self.late += off;
        let judged = self.late;
        // A second-order loop tracks the encoder's clock; the influence of one PCR is bounded.
        let bounded = judged.clamp(
            -(PCR_ACCURACY_NS as f64) * TICKS_PER_NS,
            PCR_ACCURACY_NS as f64 * TICKS_PER_NS,
        );
        self.late -= bounded / 8.0;
        self.ticks_per_packet += bounded / 256.0 / packets.max(1.0);
        Some((judged / TICKS_PER_NS) as i64)
    }
}

/// The clocks of an input.
pub(super) struct Clocks {
    clocks: [Clock; CLOCKS_MAX],
    used: usize,
}

impl Clocks {
    pub(super) fn new() -> Self {
        Self {
            clocks: [Clock::default(); CLOCKS_MAX],
            used: 0,
        }
    }

    /// Processes a PCR of a PID in packet number `packet`; clocks beyond the limit are ignored.
    pub(super) fn pcr(
        &mut self,
        pid: u16,
        pcr: Pcr,
        at: u64,
        packet: u64,
        is_announced_jump: bool,
    ) -> PcrFaults {
        let found = self.clocks[..self.used].iter().position(|clock| clock.pid == pid);
        let place = found.unwrap_or(self.used);
        let Some(clock) = self.clocks.get_mut(place) else {
            return PcrFaults::default();
        };
        if found.is_none() {
            clock.pid = pid;
            self.used += 1;
        }
        clock.pcr(pcr, at, packet, is_announced_jump)
    }

    pub(super) fn disturb(&mut self) {
        self.clocks[..self.used].iter_mut().for_each(Clock::disturb);
    }

    pub(super) fn restart(&mut self) {
        self.clocks[..self.used].iter_mut().for_each(Clock::restart);
    }

    pub(super) fn end_second(&mut self) {
        self.clocks[..self.used].iter_mut().for_each(Clock::end_second);
    }

    pub(super) fn all(&self) -> &[Clock] {
        &self.clocks[..self.used]
    }
}
