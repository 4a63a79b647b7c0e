//! The checks of ETSI TR 101 290 V1.4.1 (2020-06), first and second priority (tables 5.0a and 5.0b), by their standard
//! names, with the number of failures of each.
//!
//! Plain data: the observer counts, and displays read names and thresholds here.

use std::time::Duration;

/// 1.3, 1.3.a: the longest interval of the PAT; 1.5, 1.5.a: of the PMT.
pub(super) const TABLE_INTERVAL: Duration = Duration::from_millis(500);

/// 1.6: how long a PID of a PMT may be absent. The standard leaves the period to the user; 5 s is the usual default of
/// analysers.
pub(super) const PID_PERIOD: Duration = Duration::from_secs(5);

/// 2.3.a: the longest interval between PCRs of a program (the 40 ms of earlier editions are a DVB recommendation).
pub(super) const PCR_INTERVAL: Duration = Duration::from_millis(100);

/// 2.3.b: the largest step from one PCR to the next without a discontinuity indicator.
pub(super) const PCR_STEP: Duration = Duration::from_millis(100);

/// 2.4: the largest distance of a PCR from the value that its position implies, in nanoseconds.
pub(super) const PCR_ACCURACY_NS: u64 = 500;

/// 2.5: the longest interval between PTS.
pub(super) const PTS_INTERVAL: Duration = Duration::from_millis(700);

/// A check of TR 101 290.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Check {
    /// 1.1: two sync bytes in a row were wrong.
    TsSyncLoss,
    /// 1.2: a sync byte was wrong.
    SyncByteError,
    /// 1.3: no packet of PID 0 for 0.5 s, or a scrambled one, or one with another table.
    PatError,
    /// 1.3.a: no PAT section for 0.5 s, or PID 0 scrambled, or another table there.
    PatError2,
    /// 1.4: packets are missing, out of order, or repeated more than once.
    ContinuityCountError,
    /// 1.5: no packet of a PMT's PID for 0.5 s, or a scrambled one.
    PmtError,
    /// 1.5.a: no PMT section for 0.5 s on a PID that the PAT names, or a scrambled one.
    PmtError2,
    /// 1.6: a PID that a PMT names does not occur for 5 s.
    PidError,
    /// 2.1: a packet is marked as faulty.
    TransportError,
    /// 2.2: a section's CRC is wrong.
    CrcError,
    /// 2.3.a: more than 100 ms between two PCRs.
    PcrRepetitionError,
    /// 2.3.b: two PCRs differ by more than 100 ms, or backwards, without discontinuity indicator.
    PcrDiscontinuityError,
    /// 2.4: a PCR is more than 500 ns from the value that its position implies.
    PcrAccuracyError,
    /// 2.5: more than 700 ms between two PTS of audio or video.
    PtsError,
    /// 2.6: scrambled packets without a CAT, or another table on its PID.
    CatError,
}

impl Check {
    /// All checks, by number.
    pub const ALL: [Self; 15] = [
        Self::TsSyncLoss,
        Self::SyncByteError,
        Self::PatError,
        Self::PatError2,
        Self::ContinuityCountError,
        Self::PmtError,
        Self::PmtError2,
        Self::PidError,
        Self::TransportError,
        Self::CrcError,
        Self::PcrRepetitionError,
        Self::PcrDiscontinuityError,
        Self::PcrAccuracyError,
        Self::PtsError,
        Self::CatError,
    ];

    /// The number, and the name as the standard spells it.
    const fn label(self) -> (&'static str, &'static str) {
        match self {
            Self::TsSyncLoss => ("1.1", "TS_sync_loss"),
            Self::SyncByteError => ("1.2", "Sync_byte_error"),
            Self::PatError => ("1.3", "PAT_error"),
            Self::PatError2 => ("1.3.a", "PAT_error_2"),
            Self::ContinuityCountError => ("1.4", "Continuity_count_error"),
            Self::PmtError => ("1.5", "PMT_error"),
            Self::PmtError2 => ("1.5.a", "PMT_error_2"),
            Self::PidError => ("1.6", "PID_error"),
            Self::TransportError => ("2.1", "Transport_error"),
            Self::CrcError => ("2.2", "CRC_error"),
            Self::PcrRepetitionError => ("2.3.a", "PCR_repetition_error"),
            Self::PcrDiscontinuityError => ("2.3.b", "PCR_discontinuity_indicator_error"),
            Self::PcrAccuracyError => ("2.4", "PCR_accuracy_error"),
            Self::PtsError => ("2.5", "PTS_error"),
            Self::CatError => ("2.6", "CAT_error"),
        }
    }

    /// The number in TR 101 290.
    #[must_use]
    pub fn number(self) -> &'static str {
        self.label().0
    }

    /// The name in TR 101 290.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.label().1
    }

    /// 1: necessary for decoding at all. 2: recommended for continuous monitoring.
    #[must_use]
    pub fn priority(self) -> u8 {
        if self.number().starts_with('1') { 1 } else { 2 }
    }
}

/// How often each check has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checks([u64; Check::ALL.len()]);

impl Checks {
    /// Failures of one check.
    #[must_use]
    pub fn of(&self, check: Check) -> u64 {
        self.0[check as usize]
    }

    /// Failures of all checks of priority 1, or 2.
    #[must_use]
    pub fn of_priority(&self, priority: u8) -> u64 {
        let of = Check::ALL.iter().filter(|check| check.priority() == priority);
        of.map(|check| self.of(*check)).sum()
    }

    pub(super) fn add(&mut self, check: Check, failures: u64) {
        self.0[check as usize] += failures;
    }

    pub(super) fn count(&mut self, check: Check) {
        self.add(check, 1);
    }
}
