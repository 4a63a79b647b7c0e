//! The PIDs of an input: continuity counters of all, and figures of the first 128 that occur or are announced.
//!
//! Owns the table that is looked up for each packet: one load gives continuity and figures. Runs on the input's worker,
//! for each packet. Other modules set which PIDs are wanted for what.

use super::packet::{Adaptation, Pid, TsPacket};
use super::picture::VideoCodec;

/// The number of entries for figures. The last one is shared by all remaining PIDs.
pub(super) const PIDS_MAX: usize = 128;

/// The shared entry of all remaining PIDs.
const OTHERS: usize = PIDS_MAX - 1;

/// In an index entry: a packet was seen.
const SEEN: u16 = 0x20;

/// In an index entry: the last packet was a duplicate. A second one in a row is an error.
const REPEATED: u16 = 0x10;

/// How a packet continues its PID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Continuity {
    /// As expected, or with an announced jump.
    Expected,
    /// A repetition of the last packet, which is allowed once.
    Duplicate,
    /// Packets are missing, out of order, or repeated more than once.
    Broken,
}

/// Why a PID's packets are examined.
pub(super) mod wanted {
    /// It carries sections.
    pub(in crate::ts) const SECTIONS: u8 = 1;
    /// A PMT names it: it must occur.
    pub(in crate::ts) const REFERENCED: u8 = 2;
    /// It is audio or video: it has timestamps.
    pub(in crate::ts) const TIMESTAMPS: u8 = 4;
    /// It is the video whose keyframes count.
    pub(in crate::ts) const LEADER: u8 = 8;
    /// The beginning of one of its PES packets is to be sampled.
    pub(in crate::ts) const SAMPLE: u8 = 16;
}

/// The state of a PID.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PidFigures {
    pub(super) pid: u16,
    /// Flags of [`wanted`].
    pub(super) wanted: u8,
    /// The index of the program that names it, plus one; 0: none.
    pub(super) program: u8,
    /// It has been absent for too long, which has been counted.
    pub(super) is_missed: bool,
    /// PES packets to try before sampling is given up for now.
    pub(super) sample_tries: u16,
    pub(super) codec: Option<VideoCodec>,
    pub(super) packets: u64,
    pub(super) continuity_errors: u64,
    pub(super) scrambled: u64,
    /// Rate in the last second.
    pub(super) bits_per_second: u64,
    /// `packets` at the end of the last second, and at the last presence check.
    pub(super) packets_before: u64,
    pub(super) packets_looked: u64,
    /// When a check last found new packets; microseconds.
    pub(super) seen: u64,
    /// When its last PTS arrived; microseconds, 0: none yet.
    pub(super) stamped: u64,
    /// Its last decoding time; None after a break.
    pub(super) decode_time: Option<u64>,
}

/// All PIDs.
pub(super) struct Pids {
    /// Low byte: continuity counter, [`REPEATED`], [`SEEN`]. High byte: index in `figures` plus one; 0: none yet.
    index: Box<[u16; 0x2000]>,
    figures: Box<[PidFigures; PIDS_MAX]>,
    used: usize,
}

impl Pids {
    pub(super) fn new() -> Self {
        let zeros = vec![0; 0x2000].into_boxed_slice();
        let figures = vec![PidFigures::default(); PIDS_MAX].into_boxed_slice();
        Self {
            index: zeros.try_into().unwrap_or_else(|_| Box::new([0; 0x2000])),
            figures: figures
                .try_into()
                .unwrap_or_else(|_| Box::new([PidFigures::default(); PIDS_MAX])),
            used: 0,
        }
    }

    /// Counts a packet; returns how it continues its PID, and the index of its figures. Null packets always continue.
    #[inline]
    pub(super) fn enter(
        &mut self,
        packet: &TsPacket<'_>,
        adaptation: Option<&Adaptation<'_>>,
    ) -> (Continuity, usize) {
        let pid = packet.pid();
        let entry = &mut self.index[usize::from(pid.as_u16())];
        let state = *entry;
        let place = usize::from(state >> 8);
        let (continuity, state) = if pid == Pid::NULL {
            (Continuity::Expected, state)
        } else {
            continue_from(state, packet, adaptation)
        };
        *entry = state;
        let place = if place == 0 { self.settle(pid) } else { place - 1 };
        self.figures[place].packets += 1;
        (continuity, place)
    }

    /// Records a packet that is marked as faulty: if its counter is the expected one, it does not count as missing.
    #[cold]
    pub(super) fn enter_faulty(&mut self, packet: &TsPacket<'_>) {
        let entry = &mut self.index[usize::from(packet.pid().as_u16())];
        if let (Continuity::Expected, state) = continue_from(*entry, packet, None)
            && *entry & SEEN != 0
        {
            *entry = state;
        }
    }

    /// The stream starts again: the next packet of each PID has no predecessor.
    #[cold]
    pub(super) fn restart(&mut self) {
        for state in self.index.iter_mut() {
            *state &= 0xFF00;
        }
        for figures in self.all_mut() {
            figures.decode_time = None;
        }
    }

    /// Assigns an entry to a PID.
    #[cold]
    fn settle(&mut self, pid: Pid) -> usize {
        let place = self.used.min(OTHERS);
        if place < OTHERS {
            self.figures[place].pid = pid.as_u16();
        } else {
            // An invalid PID.
            self.figures[place].pid = u16::MAX;
        }
        self.used = (place + 1).max(self.used);
        let number = u16::try_from(place + 1).unwrap_or(u16::MAX);
        let entry = &mut self.index[usize::from(pid.as_u16())];
        *entry = *entry & 0xFF | number << 8;
        place
    }

    /// The figures of a PID, assigned if needed; None if all entries are taken.
    pub(super) fn of_mut(&mut self, pid: Pid) -> Option<&mut PidFigures> {
        let place = match usize::from(self.index[usize::from(pid.as_u16())] >> 8) {
            0 => self.settle(pid),
            place => place - 1,
        };
        (place != OTHERS).then(|| &mut self.figures[place])
    }

    pub(super) fn at_mut(&mut self, place: usize) -> &mut PidFigures {
        &mut self.figures[place]
    }

    /// The assigned figures, in the order of appearance.
    pub(super) fn all(&self) -> &[PidFigures] {
        &self.figures[..self.used]
    }

    pub(super) fn all_mut(&mut self) -> &mut [PidFigures] {
        &mut self.figures[..self.used]
    }
}

/// How a packet continues a PID in this state, and the next state; the high byte stays.
#[inline]
fn continue_from(
    state: u16,
    packet: &TsPacket<'_>,
    adaptation: Option<&Adaptation<'_>>,
) -> (Continuity, u16) {
    let is_announced = adaptation.is_some_and(Adaptation::is_discontinuity);
    if !packet.announces_payload() && !is_announced {
        // Its counter does not advance, and does not show missing packets.
        return (Continuity::Expected, state);
    }
    let counter = u16::from(packet.continuity_counter());
    let next = state & 0xFF00 | SEEN | counter;
    let last = state & 0x0F;
    if state & SEEN == 0 || is_announced || counter == (last + 1) & 0x0F {
        (Continuity::Expected, next)
    } else if counter == last && state & REPEATED == 0 {
        (Continuity::Duplicate, next | REPEATED)
    } else {
        (Continuity::Broken, next)
    }
}
