//! The payload of publishers: MPEG-TS that a server may analyse, with a number and a time in each message.
//!
//! Tables ten times a second, a keyframe each second, clock references and padding, as in real streams. The last packet
//! of each message is private data with the publisher, the number and the time.

use std::time::Duration;

use super::plan::MESSAGE;

const PACKET: usize = 188;
const PAT: u16 = 0;
const PMT: u16 = 0x1000;
const VIDEO: u16 = 0x100;
const STAMPS: u16 = 0x1FF0;
const MAGIC: [u8; 4] = *b"GWB1";

/// The offset of the stamp in a message: after the header of its last packet.
const STAMP_AT: usize = MESSAGE - PACKET + 4;

/// The stamp of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) stream: u32,
    /// 0 for the first message of the publisher.
    pub(super) number: u64,
    /// Since the start of the run.
    pub(super) sent: Duration,
}

impl Stamp {
    /// The stamp of a received message; `None` if it is foreign or truncated.
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        if message.len() != MESSAGE {
            return None;
        }
        let (magic, rest) = message[STAMP_AT..].split_first_chunk::<4>()?;
        let (stream, rest) = rest.split_first_chunk::<4>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (sent, _) = rest.split_first_chunk::<8>()?;
        (*magic == MAGIC).then(|| Self {
            stream: u32::from_be_bytes(*stream),
            number: u64::from_be_bytes(*number),
            sent: Duration::from_nanos(u64::from_be_bytes(*sent)),
        })
    }

    fn write(self, message: &mut [u8; MESSAGE]) {
        let nanos = u64::try_from(self.sent.as_nanos()).unwrap_or(u64::MAX);
        let at = &mut message[STAMP_AT..];
        at[..4].copy_from_slice(&MAGIC);
        at[4..8].copy_from_slice(&self.stream.to_be_bytes());
        at[8..16].copy_from_slice(&self.number.to_be_bytes());
        at[16..24].copy_from_slice(&nanos.to_be_bytes());
    }
}

/// Creates the messages of one publisher, in order, in one buffer.
#[derive(Debug)]
pub(super) struct Payload {
    stream: u32,
    number: u64,
    /// Messages between two PATs, and between two keyframes.
    tables_every: u64,
    keyframe_every: u64,
    frame_every: u64,
    counters: [u8; 4],
    message: [u8; MESSAGE],
}

impl Payload {
    /// For a publisher that sends this many messages per second.
    pub(super) fn new(stream: u32, per_second: u64) -> Self {
        let mut message = [0; MESSAGE];
        for (at, byte) in message.iter_mut().enumerate() {
            // No start codes and no sync bytes: only meaningless bytes.
            *byte = 0x80 | u8::try_from(at % 127).unwrap_or(0);
        }
        Self {
            stream,
            number: 0,
            tables_every: (per_second / 10).max(1),
            keyframe_every: per_second.max(1),
            frame_every: (per_second / 25).max(1),
            counters: [0; 4],
            message,
        }
    }

    /// The number of messages created.
    pub(super) fn made(&self) -> u64 {
        self.number
    }

    /// The next message, stamped.
    pub(super) fn next(&mut self, now: Duration) -> &[u8] {
        let number = self.number;
        self.number += 1;
        let is_table = number.is_multiple_of(self.tables_every) || number.is_multiple_of(self.keyframe_every);
        for packet in 0..6 {
            match packet {
                0 if is_table => self.table(0, PAT, 0, &pat()),
                1 if is_table => self.table(1, PMT, 1, &pmt()),
                2 if number.is_multiple_of(self.frame_every) => {
                    self.frame(2, number.is_multiple_of(self.keyframe_every), now);
                }
                _ => {
                    self.header(packet, VIDEO, 2, false);
                    // The previous message may have begun a frame here.
                    self.message[packet * PACKET + 4..packet * PACKET + 44].fill(0xBF);
                }
            }
        }
        self.header(6, STAMPS, 3, false);
        let stamp = Stamp {
            stream: self.stream,
            number,
            sent: now,
        };
        stamp.write(&mut self.message);
        &self.message
    }

    fn header(&mut self, packet: usize, pid: u16, counter: usize, starts: bool) {
        let [high, low] = pid.to_be_bytes();
        let at = &mut self.message[packet * PACKET..];
        at[0] = 0x47;
        at[1] = high | if starts { 0x40 } else { 0 };
        at[2] = low;
        at[3] = 0x10 | self.counters[counter];
        self.counters[counter] = (self.counters[counter] + 1) & 0x0F;
    }

    fn table(&mut self, packet: usize, pid: u16, counter: usize, section: &[u8]) {
        self.header(packet, pid, counter, true);
        let body = &mut self.message[packet * PACKET + 4..(packet + 1) * PACKET];
        body.fill(0xFF);
        body[0] = 0;
        body[1..=section.len()].copy_from_slice(section);
    }

    /// The first packet of a picture: clock reference, PES header, and for a keyframe an access unit that marks it.
    fn frame(&mut self, packet: usize, is_key: bool, now: Duration) {
        self.header(packet, VIDEO, 2, true);
        let clock = u64::try_from(now.as_nanos() * 9 / 100_000).unwrap_or(0) & 0x1_FFFF_FFFF;
        let start = packet * PACKET;
        self.message[start + 3] |= 0x20;
        let [_, _, pcr @ ..] = ((clock << 15) | 0x7E00).to_be_bytes();
        self.message[start + 4..start + 6].copy_from_slice(&[7, if is_key { 0x50 } else { 0x10 }]);
        self.message[start + 6..start + 12].copy_from_slice(&pcr);
        let pts = [
            0x21 | (low_byte(clock >> 29) & 0x0E),
            low_byte(clock >> 22),
            low_byte(clock >> 14) | 1,
            low_byte(clock >> 7),
            low_byte(clock << 1) | 1,
        ];
        let body = &mut self.message[start + 12..];
        body[..9].copy_from_slice(&[0, 0, 1, 0xE0, 0, 0, 0x80, 0x80, 5]);
        body[9..14].copy_from_slice(&pts);
        // H.264: access unit delimiter, then an IDR or another slice.
        body[14..20].copy_from_slice(&[0, 0, 0, 1, 0x09, 0xF0]);
        body[20..25].copy_from_slice(&[0, 0, 1, if is_key { 0x65 } else { 0x41 }, 0x88]);
    }
}

fn low_byte(value: u64) -> u8 {
    value.to_le_bytes()[0]
}

fn pat() -> [u8; 16] {
    let [high, low] = PMT.to_be_bytes();
    let mut section = [0, 0xB0, 13, 0, 1, 0xC1, 0, 0, 0, 1, 0xE0 | high, low, 0, 0, 0, 0];
    seal(&mut section);
    section
}

fn pmt() -> [u8; 26] {
    let ([vh, vl], [sh, sl]) = (VIDEO.to_be_bytes(), STAMPS.to_be_bytes());
    let mut section = [
        2,
        0xB0,
        23,
        0,
        1,
        0xC1,
        0,
        0, // header, program 1
        0xE0 | vh,
        vl,
        0xF0,
        0, // clock references are in the video
        0x1B,
        0xE0 | vh,
        vl,
        0xF0,
        0, // H.264
        0x06,
        0xE0 | sh,
        sl,
        0xF0,
        0, // private data
        0,
        0,
        0,
        0,
    ];
    seal(&mut section);
    section
}

/// Appends the MPEG-2 CRC-32 to a section.
fn seal(section: &mut [u8]) {
    let (body, end) = section.split_at_mut(section.len() - 4);
    let crc = body.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ (u32::from(*byte) << 24), |crc, _| {
            (crc << 1) ^ if crc >> 31 == 1 { 0x04C1_1DB7 } else { 0 }
        })
    });
    end.copy_from_slice(&crc.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::{Check, Format, Observer};

    #[test]
    fn stamps_come_back() {
        let mut payload = Payload::new(3, 100);
        for number in 0..250 {
            let sent = Duration::from_micros(number * 777);
            let stamp = Stamp::read(payload.next(sent)).expect("it is a message of ours");
            assert_eq!((stamp.stream, stamp.number, stamp.sent), (3, number, sent));
        }
        assert_eq!(Stamp::read(&[0; MESSAGE]), None);
        assert_eq!(Stamp::read(&payload.next(Duration::ZERO)[1..]), None);
    }

    #[test]
    fn observer_finds_a_clean_stream_with_a_keyframe_a_second() {
        let mut payload = Payload::new(0, 100);
        let mut observer = Observer::new();
        let mut starts = 0;
        let mut format = None;
        for number in 0..1000 {
            let seen = observer.observe(payload.next(Duration::from_millis(number * 10)));
            starts += u32::from(seen.start_point.is_some());
            format = seen.format_change.or(format);
        }
        assert_eq!(format, Some(Format::Ts));
        assert!((9..=10).contains(&starts), "{starts}");
        assert_eq!(observer.counters().checks.of(Check::ContinuityCountError), 0);
        assert_eq!(observer.counters().checks.of(Check::CrcError), 0);
    }
}
