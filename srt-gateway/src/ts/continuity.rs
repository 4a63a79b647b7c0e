//! The continuity counters of all PIDs of an input.
//!
//! Owns one byte per PID. Runs on the input's worker, for each packet.

use super::packet::TsPacket;

/// State of a PID before its first packet.
const UNSEEN: u8 = 0xFF;

/// Set in a PID's state when its last packet was a duplicate: a second one in a row is an error.
const REPEATED: u8 = 0x10;

/// How a packet continues its PID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Continuity {
    /// As it should, or with a jump that it announces.
    Expected,
    /// The last packet once more, which a sender is allowed.
    Duplicate,
    /// Packets are missing in between, or out of order.
    Broken,
}

/// The last continuity counter of each PID.
pub(super) struct Continuities {
    last: Box<[u8; 0x2000]>,
}

impl Continuities {
    pub(super) fn new() -> Self {
        Self {
            last: Box::new([UNSEEN; 0x2000]),
        }
    }

    pub(super) fn check(&mut self, packet: &TsPacket<'_>) -> Continuity {
        let counter = packet.continuity_counter();
        let state = &mut self.last[usize::from(packet.pid().as_u16())];
        let last = *state;
        let is_announced = packet.adaptation().is_some_and(|field| field.is_discontinuity());
        if !packet.announces_payload() && !is_announced {
            // Its counter stands still, and says nothing about what is missing.
            return Continuity::Expected;
        }
        *state = counter;
        if last == UNSEEN || is_announced {
            return Continuity::Expected;
        }
        if counter == (last & 0x0F).wrapping_add(1) & 0x0F {
            return Continuity::Expected;
        }
        if counter == last {
            *state = counter | REPEATED;
            return Continuity::Duplicate;
        }
        Continuity::Broken
    }
}
