//! Writes a valid transport stream in which every packet is distinguishable.
//!
//! The `mpeg2ts` crate writes tables, PES headers and clock references, as real muxers do. The video payload is text
//! with the stream's seed, the packet's position and the time at which it is due, so a receiver can identify each
//! packet and measure its delay. The whole stream is a pure function of its seed, length and rate.

use super::TS_PACKET;
use crate::rng::Rng;
use mpeg2ts::es::{StreamId, StreamType};
use mpeg2ts::pes::PesHeader;
use mpeg2ts::time::{ClockReference, Timestamp};
use mpeg2ts::ts::payload::{Bytes, Pat, Pes, Pmt};
use mpeg2ts::ts::{
    AdaptationField, ContinuityCounter, EsInfo, Pid, ProgramAssociation, TransportScramblingControl,
    TsHeader, TsPacket, TsPacketWriter, TsPayload, VersionNumber, WriteTsPacket,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Packets from one keyframe to the next. Each group starts with PAT, PMT and the keyframe.
const GROUP: usize = 300;
/// Packets of one video frame.
const FRAME: usize = 50;
/// Distinguishes a stamp from other payload.
const MAGIC: &[u8] = b"STAMP:";
/// Length of a stamp: the magic, then seed, position and time as 16 hexadecimal digits each.
const STAMP: usize = MAGIC.len() + 3 * 16;
const PROGRAM: u16 = 1;
const PMT_PID: u16 = 0x1000;
const VIDEO_PID: u16 = 0x100;
/// An H.264 access unit delimiter, as Annex B of the standard has it in a byte stream.
const DELIMITER: [u8; 6] = [0, 0, 0, 1, 0x09, 0xF0];
/// Start of a slice of a keyframe (IDR) and of another picture.
const IDR_SLICE: [u8; 5] = [0, 0, 0, 1, 0x65];
const OTHER_SLICE: [u8; 5] = [0, 0, 0, 1, 0x41];

/// A stream whose packets carry their position.
#[derive(Debug, Clone)]
pub struct StampedTs {
    seed: u64,
    rate: u64,
    bytes: Arc<[u8]>,
}

impl StampedTs {
    /// Writes a stream of `packets` TS packets to be sent at `bits_per_second`.
    ///
    /// # Panics
    /// If `packets` or `bits_per_second` is 0.
    #[must_use]
    pub fn generate(seed: u64, packets: usize, bits_per_second: u64) -> Self {
        assert!(
            packets > 0 && bits_per_second > 0,
            "an empty stream tests nothing"
        );
        let mut writer = Writer {
            seed,
            rate: bits_per_second,
            counters: HashMap::new(),
        };
        let mut out = TsPacketWriter::new(Vec::with_capacity(packets * TS_PACKET));
        for place in 0..packets {
            out.write_ts_packet(&writer.packet(place))
                .expect("every packet is laid out to fit 188 bytes");
        }
        Self {
            seed,
            rate: bits_per_second,
            bytes: out.into_stream().into(),
        }
    }

    /// All of its bytes.
    #[must_use]
    pub fn bytes(&self) -> Arc<[u8]> {
        Arc::clone(&self.bytes)
    }

    /// The number of its packets.
    #[must_use]
    pub fn packets(&self) -> usize {
        self.bytes.len() / TS_PACKET
    }

    /// Its rate in bits per second.
    #[must_use]
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// The packet at position `place`, if the stream is that long.
    #[must_use]
    pub fn packet(&self, place: usize) -> Option<&[u8]> {
        self.bytes.chunks_exact(TS_PACKET).nth(place)
    }

    /// The time at which the packet at `place` is due, from the start of sending.
    #[must_use]
    pub fn due(&self, place: usize) -> Duration {
        due(place, self.rate)
    }

    /// The position that a video packet of this stream carries; `None` for tables and foreign packets. Does not check
    /// the rest of the packet.
    #[must_use]
    pub fn place_of(&self, packet: &[u8]) -> Option<usize> {
        let at = packet.windows(MAGIC.len()).position(|window| window == MAGIC)?;
        let stamp = packet.get(at..at + STAMP)?;
        let number = |index: usize| {
            let digits = stamp.get(MAGIC.len() + index * 16..)?.get(..16)?;
            u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        };
        let place = usize::try_from(number(1)?).ok()?;
        (number(0)? == self.seed && place < self.packets()).then_some(place)
    }

    /// Whether the packet at `place` is a table (PAT or PMT), which carries no position.
    #[must_use]
    pub fn is_table(place: usize) -> bool {
        place % GROUP < 2
    }

    /// The number of packets between two keyframes.
    #[must_use]
    pub fn group() -> usize {
        GROUP
    }
}

fn due(place: usize, rate: u64) -> Duration {
    let nanoseconds = place as u128 * TS_PACKET as u128 * 8 * 1_000_000_000 / u128::from(rate);
    Duration::from_nanos(u64::try_from(nanoseconds).expect("a test stream is shorter than 500 years"))
}

/// Writes one packet after the other.
struct Writer {
    seed: u64,
    rate: u64,
    counters: HashMap<u16, ContinuityCounter>,
}

impl Writer {
    fn packet(&mut self, place: usize) -> TsPacket {
        match place % GROUP {
            0 => self.with_payload(Pid::PAT, None, pat()),
            1 => self.with_payload(PMT_PID, None, pmt()),
            2 => self.frame_start(place, &IDR_SLICE, Picture::Key),
            n if n % FRAME == 0 => self.frame_start(place, &OTHER_SLICE, Picture::Other),
            _ => {
                let bytes = self.stamped(place, &[], Bytes::MAX_SIZE);
                self.with_payload(VIDEO_PID, None, TsPayload::PesContinuation(bytes))
            }
        }
    }

    fn frame_start(&mut self, place: usize, slice: &[u8], picture: Picture) -> TsPacket {
        // Adaptation field with a clock reference (8 bytes) and PES header with a presentation time (14 bytes).
        const ROOM: usize = Bytes::MAX_SIZE - 8 - 14;
        let clock = due(place, self.rate).as_nanos() * 27 / 1000;
        let clock = u64::try_from(clock).expect("a test stream is shorter than a clock reference's 26 hours");
        let field = AdaptationField {
            discontinuity_indicator: false,
            random_access_indicator: matches!(picture, Picture::Key),
            es_priority_indicator: false,
            pcr: Some(ClockReference::new(clock).expect("a test stream is shorter than 26 hours")),
            opcr: None,
            splice_countdown: None,
            transport_private_data: Vec::new(),
            extension: None,
        };
        // Shown 200 ms after its packet is due, as with an encoder that has some buffer.
        let pts = Timestamp::new(clock / 300 + 18_000).expect("a test stream is shorter than 26 hours");
        let header = PesHeader {
            stream_id: StreamId::new_video(StreamId::VIDEO_MIN).expect("0xE0 is a video stream"),
            priority: false,
            data_alignment_indicator: true,
            copyright: false,
            original_or_copy: false,
            pts: Some(pts),
            dts: None,
            escr: None,
        };
        let data = self.stamped(place, &[&DELIMITER, slice].concat(), ROOM);
        // A length of 0 means "until the next one starts", which the standard allows for video.
        let pes = Pes {
            header,
            pes_packet_len: 0,
            data,
        };
        self.with_payload(VIDEO_PID, Some(field), TsPayload::PesStart(pes))
    }

    /// `length` bytes: `head`, the stamp, and filler that depends on the stream and the position.
    fn stamped(&self, place: usize, head: &[u8], length: usize) -> Bytes {
        let stamp = format!(
            "{:016x}{place:016x}{:016x}",
            self.seed,
            due(place, self.rate).as_nanos()
        );
        let mut data = [head, MAGIC, stamp.as_bytes()].concat();
        let mut rng = Rng::part(self.seed, place as u64);
        // Text only: no filler byte is part of a start code by accident.
        data.resize_with(length, || b'a' + (rng.next_u64() % 26) as u8);
        Bytes::new(&data).expect("a payload is laid out to fit")
    }

    fn with_payload(&mut self, pid: u16, field: Option<AdaptationField>, payload: TsPayload) -> TsPacket {
        let counter = self.counters.entry(pid).or_default();
        let header = TsHeader {
            transport_error_indicator: false,
            transport_priority: false,
            pid: Pid::new(pid).expect("the PIDs above are 13 bits"),
            transport_scrambling_control: TransportScramblingControl::NotScrambled,
            continuity_counter: *counter,
        };
        counter.increment();
        TsPacket {
            header,
            adaptation_field: field,
            payload: Some(payload),
        }
    }
}

/// Whether a frame can be decoded by itself.
#[derive(Debug, Clone, Copy)]
enum Picture {
    Key,
    Other,
}

fn pat() -> TsPayload {
    let program_map_pid = Pid::new(PMT_PID).expect("the PIDs above are 13 bits");
    TsPayload::Pat(Pat {
        transport_stream_id: 1,
        version_number: VersionNumber::new(),
        table: vec![ProgramAssociation {
            program_num: PROGRAM,
            program_map_pid,
        }],
    })
}

fn pmt() -> TsPayload {
    let video = Pid::new(VIDEO_PID).expect("the PIDs above are 13 bits");
    let stream = EsInfo {
        stream_type: StreamType::H264,
        elementary_pid: video,
        descriptors: Vec::new(),
    };
    TsPayload::Pmt(Pmt {
        program_num: PROGRAM,
        pcr_pid: Some(video),
        version_number: VersionNumber::new(),
        program_info: Vec::new(),
        es_info: vec![stream],
    })
}

#[cfg(test)]
mod tests {
    use super::{FRAME, GROUP, StampedTs, VIDEO_PID};
    use mpeg2ts::ts::{ReadTsPacket, TsPacketReader, TsPayload};
    use std::collections::HashMap;

    #[test]
    fn stream_is_valid_to_a_reader_that_did_not_write_it() {
        let stream = StampedTs::generate(1, 3 * GROUP, 5_000_000);
        let bytes = stream.bytes();
        let mut reader = TsPacketReader::new(&bytes[..]);
        let (mut tables, mut keyframes, mut frames) = (0, 0, 0);
        let mut counters: HashMap<u16, u8> = HashMap::new();
        let mut last_clock = 0;
        while let Some(packet) = reader.read_ts_packet().unwrap() {
            let (pid, counter) = (
                packet.header.pid.as_u16(),
                packet.header.continuity_counter.as_u8(),
            );
            if let Some(before) = counters.insert(pid, counter) {
                assert_eq!(counter, (before + 1) % 16, "continuity of PID {pid:#x}");
            }
            match packet.payload {
                Some(TsPayload::Pat(_) | TsPayload::Pmt(_)) => tables += 1,
                Some(TsPayload::PesStart(_)) => {
                    frames += 1;
                    let field = packet
                        .adaptation_field
                        .expect("a frame starts with a clock reference");
                    keyframes += usize::from(field.random_access_indicator);
                    let clock = field.pcr.expect("a frame starts with a clock reference").as_u64();
                    assert!(clock > last_clock);
                    last_clock = clock;
                }
                Some(TsPayload::PesContinuation(_)) => assert_eq!(pid, VIDEO_PID),
                other => panic!("unexpected payload {other:?}"),
            }
        }
        assert_eq!((tables, keyframes, frames), (6, 3, 3 * GROUP / FRAME));
    }

    #[test]
    fn every_video_packet_tells_its_place() {
        let stream = StampedTs::generate(7, 2 * GROUP, 5_000_000);
        for (place, packet) in stream.bytes().chunks(188).enumerate() {
            let expected = (!StampedTs::is_table(place)).then_some(place);
            assert_eq!(stream.place_of(packet), expected);
        }
    }

    #[test]
    fn streams_of_other_seeds_are_foreign() {
        let (one, other) = (
            StampedTs::generate(1, 10, 1_000_000),
            StampedTs::generate(2, 10, 1_000_000),
        );
        assert_eq!(one.place_of(other.packet(5).unwrap()), None);
        assert_eq!(StampedTs::generate(1, 10, 1_000_000).bytes(), one.bytes());
    }
}
