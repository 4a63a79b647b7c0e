//! The parts of RTP that MPEG-TS needs (RFC 3550, RFC 2250): headers and packet order. Pure: functions of `now`.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, Hasher, RandomState},
    time::{Duration, Instant},
};

/// Payload type of MPEG-TS (RFC 3551).
const MP2T: u8 = 33;

/// How many packets are held while an earlier one is missing.
const WINDOW: usize = 64;

/// How long they are held.
const HOLD: Duration = Duration::from_millis(100);

/// A jump of sequence numbers that is no reordering: the sender has restarted.
const RESTART: u16 = 3_000;

/// A sender that was silent for this long has restarted, whatever its sequence numbers are.
const SILENCE: Duration = Duration::from_secs(2);

/// The headers of an outgoing stream.
#[derive(Debug)]
pub(super) struct Framing {
    sequence: u16,
    source: u32,
    start: Instant,
    offset: u32,
}

impl Framing {
    pub(super) fn new() -> Self {
        // Random, as RFC 3550 requires: streams that start at the same moment must differ.
        let noise = RandomState::new().build_hasher().finish().to_be_bytes();
        let [a, b, c, d, e, f, g, h] = noise;
        Self {
            sequence: u16::from_be_bytes([a, b]),
            source: u32::from_be_bytes([c, d, e, f]),
            start: Instant::now(),
            offset: u32::from_be_bytes([g, h, a, b]),
        }
    }

    /// The header of the next packet.
    pub(super) fn header(&mut self, now: Instant) -> [u8; 12] {
        // 90 kHz, modulo 2^32.
        let ticks = now.saturating_duration_since(self.start).as_micros() * 9 / 100;
        let time = self
            .offset
            .wrapping_add(u32::try_from(ticks & 0xffff_ffff).unwrap_or(0));
        let mut header = [0; 12];
        header[0] = 0x80;
        header[1] = MP2T;
        header[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        header[4..8].copy_from_slice(&time.to_be_bytes());
        header[8..].copy_from_slice(&self.source.to_be_bytes());
        self.sequence = self.sequence.wrapping_add(1);
        header
    }
}

/// A packet that carries MPEG-TS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Packet<'p> {
    number: u16,
    /// SSRC: a sender that restarts chooses a new one.
    source: u32,
    payload: &'p [u8],
}

/// Returns None if the bytes are no RTP packet with MPEG-TS.
fn parse(packet: &[u8]) -> Option<Packet<'_>> {
    let [flags, kind, high, low, ..] = *packet else {
        return None;
    };
    if flags >> 6 != 2 || kind & 0x7f != MP2T {
        return None;
    }
    let mut start = 12 + 4 * usize::from(flags & 0x0f);
    if flags & 0x10 != 0 {
        let words = packet.get(start + 2..start + 4)?;
        start += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    let padding = if flags & 0x20 != 0 {
        usize::from(*packet.last()?)
    } else {
        0
    };
    let end = packet.len().checked_sub(padding)?;
    let payload = packet.get(start..end)?;
    let source = packet.get(8..12)?;
    (!payload.is_empty()).then_some(Packet {
        number: u16::from_be_bytes([high, low]),
        source: u32::from_be_bytes(source.try_into().ok()?),
        payload,
    })
}

/// Restores the order of packets by sequence number.
///
/// ```text
///   the next number   ──▶ out, and those held that follow it
///   a later one       ──▶ held; WINDOW of them, or HOLD later, and what is missing is given up
///   an earlier one    ──▶ too late, or twice: thrown away
///   far from the next ──▶ the sender has begun anew
///   another source, or the first packet after SILENCE ──▶ the same
/// ```
#[derive(Debug, Default)]
pub(super) struct Reorder {
    next: Option<u16>,
    source: u32,
    last: Option<Instant>,
    /// Sorted by distance from `next`.
    held: VecDeque<(u16, Instant, Box<[u8]>)>,
}

impl Reorder {
    /// Processes a datagram and passes payloads to `out` in order. Discards anything but RTP packets with MPEG-TS.
    pub(super) fn packet(&mut self, packet: &[u8], now: Instant, out: &mut dyn FnMut(&[u8])) {
        let Some(Packet {
            number,
            source,
            payload,
        }) = parse(packet)
        else {
            return;
        };
        let is_late = self
            .last
            .is_some_and(|last| now.saturating_duration_since(last) >= SILENCE);
        if is_late || (self.next.is_some() && self.source != source) {
            self.give_up(self.held.len(), out);
            self.next = None;
        }
        self.last = Some(now);
        self.source = source;
        let next = *self.next.get_or_insert(number);
        let ahead = number.wrapping_sub(next);
        let behind = next.wrapping_sub(number);
        if ahead == 0 {
            out(payload);
            self.next = Some(number.wrapping_add(1));
            self.release(out);
        } else if ahead.min(behind) > RESTART {
            self.give_up(self.held.len(), out);
            out(payload);
            self.next = Some(number.wrapping_add(1));
        } else if ahead < behind {
            self.hold(next, number, now, payload);
            if self.held.len() > WINDOW {
                self.give_up(1, out);
            }
        }
        self.expire(now, out);
    }

    fn hold(&mut self, next: u16, number: u16, now: Instant, payload: &[u8]) {
        let distance = |number: u16| number.wrapping_sub(next);
        let at = self
            .held
            .partition_point(|held| distance(held.0) < distance(number));
        if self.held.get(at).is_none_or(|held| held.0 != number) {
            self.held.insert(at, (number, now, payload.into()));
        }
    }

    /// Skips packets that have been missing for too long.
    pub(super) fn expire(&mut self, now: Instant, out: &mut dyn FnMut(&[u8])) {
        let old = |held: &(u16, Instant, Box<[u8]>)| now.saturating_duration_since(held.1) >= HOLD;
        if let Some(last_old) = self.held.iter().rposition(old) {
            self.give_up(last_old + 1, out);
        }
    }

    /// Delivers the first `count` held packets, skipping missing ones before them, and those that follow without a gap.
    fn give_up(&mut self, count: usize, out: &mut dyn FnMut(&[u8])) {
        for (number, _, payload) in self.held.drain(..count) {
            out(&payload);
            self.next = Some(number.wrapping_add(1));
        }
        self.release(out);
    }

    fn release(&mut self, out: &mut dyn FnMut(&[u8])) {
        while self.held.front().is_some_and(|held| Some(held.0) == self.next) {
            self.give_first(out);
        }
    }

    fn give_first(&mut self, out: &mut dyn FnMut(&[u8])) {
        if let Some((number, _, payload)) = self.held.pop_front() {
            out(&payload);
            self.next = Some(number.wrapping_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(number: u16, payload: &[u8]) -> Vec<u8> {
        packet_of(0, number, payload)
    }

    fn packet_of(source: u32, number: u16, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x80, MP2T];
        packet.extend(number.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend(source.to_be_bytes());
        packet.extend(payload);
        packet
    }

    /// The first bytes of the output for these numbers, one per millisecond.
    fn order(numbers: &[u16]) -> Vec<u16> {
        let mut reorder = Reorder::default();
        let mut out = Vec::new();
        let mut now = Instant::now();
        let mut take = |payload: &[u8]| out.push(u16::from_be_bytes([payload[0], payload[1]]));
        for number in numbers {
            reorder.packet(&packet(*number, &number.to_be_bytes()), now, &mut take);
            now += Duration::from_millis(1);
        }
        reorder.expire(now + HOLD, &mut take);
        out
    }

    #[test]
    fn packets_come_out_in_order_and_once() {
        assert_eq!(order(&[1, 2, 3]), [1, 2, 3]);
        assert_eq!(order(&[1, 3, 2, 4]), [1, 2, 3, 4]);
        assert_eq!(order(&[65_534, 0, 65_535, 1]), [65_534, 65_535, 0, 1]);
        assert_eq!(order(&[5, 6, 6, 5, 8, 8, 7]), [5, 6, 7, 8]);
        assert_eq!(order(&[5, 4, 3, 6]), [5, 6]);
    }

    #[test]
    fn what_is_missing_is_given_up() {
        assert_eq!(order(&[1, 3, 4, 5]), [1, 3, 4, 5]);
        let many: Vec<u16> = (2..200).collect();
        assert_eq!(order(&[&[0], &many[..]].concat()), [&[0], &many[..]].concat());
    }

    #[test]
    fn a_sender_that_begins_anew_is_followed() {
        assert_eq!(order(&[10, 11, 40_000, 40_001, 3]), [10, 11, 40_000, 40_001, 3]);
    }

    #[test]
    fn a_sender_that_begins_anew_near_its_last_number_is_followed() {
        let begin = Instant::now();
        for (source, later) in [(8, HOLD / 10), (7, SILENCE)] {
            let mut reorder = Reorder::default();
            let mut out = Vec::new();
            let mut take = |payload: &[u8]| out.push(payload[0]);
            // The second is missing, and the third is held.
            reorder.packet(&packet_of(7, 100, &[1]), begin, &mut take);
            reorder.packet(&packet_of(7, 102, &[2]), begin, &mut take);
            for number in 50..53 {
                let payload = [u8::try_from(number).unwrap()];
                reorder.packet(&packet_of(source, number, &payload), begin + later, &mut take);
            }
            assert_eq!(out, [1, 2, 50, 51, 52]);
        }
    }

    #[test]
    fn headers_are_read_over() {
        let mut reorder = Reorder::default();
        let mut out: Vec<Vec<u8>> = Vec::new();
        let csrc_extension_and_padding = [
            &[0xb1, MP2T, 0, 1][..],
            &[0; 8],
            &[9; 4],
            &[0, 0, 0, 1, 8, 8, 8, 8],
            b"payload",
            &[0, 0, 3],
        ]
        .concat();
        let mut other_type = packet(2, b"other");
        other_type[1] = 96;
        for bytes in [&csrc_extension_and_padding[..], &other_type, b"short", b""] {
            reorder.packet(bytes, Instant::now(), &mut |payload| out.push(payload.to_vec()));
        }
        assert_eq!(out, [b"payload".to_vec()]);
    }

    #[test]
    fn our_headers_are_read_back_and_count_up() {
        let mut framing = Framing::new();
        let now = Instant::now();
        let first = [&framing.header(now)[..], b"x"].concat();
        let later = now + Duration::from_secs(1);
        let second = [&framing.header(later)[..], b"x"].concat();
        let (one, two) = (parse(&first).unwrap().number, parse(&second).unwrap().number);
        assert_eq!(two, one.wrapping_add(1));
        let time = |packet: &[u8]| u32::from_be_bytes(packet[4..8].try_into().unwrap());
        assert_eq!(time(&second).wrapping_sub(time(&first)), 90_000);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..100)) {
            let mut reorder = Reorder::default();
            for bytes in packets {
                reorder.packet(&bytes, Instant::now(), &mut |payload| assert!(!payload.is_empty()));
                assert!(reorder.held.len() <= WINDOW);
            }
        }

        #[test]
        fn small_reordering_is_undone(swaps in prop::collection::vec(0..300_usize, 0..40)) {
            let mut numbers: Vec<u16> = (0..302).collect();
            for at in swaps {
                numbers.swap(at + 1, (at + 2).min(301));
            }
            prop_assert_eq!(order(&numbers), (0..302).collect::<Vec<u16>>());
        }
    }
}
