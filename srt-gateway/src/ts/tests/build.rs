//! Builds test streams with `mpeg2ts`, which only ever sees what we wrote.

use mpeg2ts::es::{StreamId, StreamType};
use mpeg2ts::pes::PesHeader;
use mpeg2ts::time::ClockReference;
use mpeg2ts::ts::payload::{Bytes, Null, Pat, Pes, Pmt};
use mpeg2ts::ts::{
    AdaptationField, ContinuityCounter, EsInfo, Pid, ProgramAssociation, TransportScramblingControl,
    TsHeader, TsPacket, TsPacketWriter, TsPayload, VersionNumber, WriteTsPacket,
};

use crate::ts::PACKET_LEN;
use crate::ts::psi::crc32;

pub(super) const PMT: u16 = 0x1000;
pub(super) const VIDEO: u16 = 0x0100;
pub(super) const AUDIO: u16 = 0x0101;

pub(super) type Packet = [u8; PACKET_LEN];

/// Writes packets with the right continuity counters.
#[derive(Default)]
pub(super) struct Mux {
    counters: std::collections::HashMap<u16, ContinuityCounter>,
}

impl Mux {
    fn write(
        &mut self,
        pid: u16,
        adaptation_field: Option<AdaptationField>,
        payload: Option<TsPayload>,
    ) -> Packet {
        let counter = self.counters.entry(pid).or_default();
        let packet = TsPacket {
            header: TsHeader {
                transport_error_indicator: false,
                transport_priority: false,
                pid: Pid::new(pid).unwrap(),
                transport_scrambling_control: TransportScramblingControl::NotScrambled,
                continuity_counter: *counter,
            },
            adaptation_field,
            payload,
        };
        if packet.payload.is_some() {
            counter.increment();
        }
        let mut writer = TsPacketWriter::new(Vec::new());
        writer.write_ts_packet(&packet).unwrap();
        writer.into_stream().try_into().unwrap()
    }

    /// A PAT of the given programs: number and PMT PID.
    pub(super) fn pat(&mut self, programs: &[(u16, u16)]) -> Packet {
        let table = programs.iter().map(|(program_num, pid)| ProgramAssociation {
            program_num: *program_num,
            program_map_pid: Pid::new(*pid).unwrap(),
        });
        let pat = Pat {
            transport_stream_id: 1,
            version_number: VersionNumber::new(),
            table: table.collect(),
        };
        self.write(0, None, Some(TsPayload::Pat(pat)))
    }

    /// A PMT of the given streams: type and PID.
    pub(super) fn pmt(&mut self, pid: u16, program_num: u16, streams: &[(StreamType, u16)]) -> Packet {
        let es_info = streams.iter().map(|(stream_type, pid)| EsInfo {
            stream_type: *stream_type,
            elementary_pid: Pid::new(*pid).unwrap(),
            descriptors: vec![],
        });
        let pmt = Pmt {
            program_num,
            pcr_pid: Some(Pid::new(streams[0].1).unwrap()),
            version_number: VersionNumber::new(),
            program_info: vec![],
            es_info: es_info.collect(),
        };
        self.write(pid, None, Some(TsPayload::Pmt(pmt)))
    }

    /// PAT and PMT of one program with video of the given type and audio.
    pub(super) fn tables(&mut self, video: StreamType) -> [Packet; 2] {
        let streams = [(video, VIDEO), (StreamType::AdtsAac, AUDIO)];
        [self.pat(&[(1, PMT)]), self.pmt(PMT, 1, &streams)]
    }

    /// The first packet of a PES packet whose elementary stream begins with `data`.
    pub(super) fn pes(&mut self, pid: u16, adaptation_field: Option<AdaptationField>, data: &[u8]) -> Packet {
        let header = PesHeader {
            stream_id: StreamId::new_video(StreamId::VIDEO_MIN).unwrap(),
            priority: false,
            data_alignment_indicator: false,
            copyright: false,
            original_or_copy: false,
            pts: Some(mpeg2ts::time::Timestamp::new(90_000).unwrap()),
            dts: None,
            escr: None,
        };
        let pes = Pes {
            header,
            pes_packet_len: 0,
            data: Bytes::new(data).unwrap(),
        };
        self.write(pid, adaptation_field, Some(TsPayload::PesStart(pes)))
    }

    /// The first packet of a PES packet with this presentation time, in ticks of 90 kHz; and a PCR, in ticks of 27 MHz.
    pub(super) fn stamped(&mut self, pid: u16, pts: u64, pcr: Option<u64>, data: &[u8]) -> Packet {
        let field = pcr.map(|ticks| AdaptationField {
            pcr: Some(ClockReference::new(ticks).unwrap()),
            ..adaptation()
        });
        let mut packet = self.pes(pid, field, data);
        // `pes` writes a PTS of one second: five bytes that begin 9 bytes after the start code.
        let start = packet.windows(3).position(|bytes| bytes == [0, 0, 1]).unwrap();
        let [b4, b3, b2, b1, b0] = [30, 22, 15, 7, 0].map(|shift| (pts >> shift) as u8);
        let stamp = [0x21 | (b4 & 7) << 1, b3, b2 << 1 | 1, b1, b0 << 1 | 1];
        packet[start + 9..start + 14].copy_from_slice(&stamp);
        packet
    }

    /// Another packet of a PES packet.
    pub(super) fn more(&mut self, pid: u16, data: &[u8]) -> Packet {
        self.write(
            pid,
            None,
            Some(TsPayload::PesContinuation(Bytes::new(data).unwrap())),
        )
    }

    /// A keyframe that the random access indicator announces.
    pub(super) fn announced_keyframe(&mut self) -> Packet {
        let field = AdaptationField {
            random_access_indicator: true,
            ..adaptation()
        };
        self.pes(VIDEO, Some(field), &[0, 0, 1, 9, 0x10])
    }

    /// An H.264 picture that depends on earlier ones.
    pub(super) fn dependent(&mut self) -> Packet {
        self.pes(VIDEO, None, &[0, 0, 0, 1, 9, 0x30, 0, 0, 1, 0x41, 0x9A, 0x21])
    }

    pub(super) fn null(&mut self) -> Packet {
        self.write(Pid::NULL, None, Some(TsPayload::Null(Null)))
    }

    /// A packet with an adaptation field only.
    pub(super) fn clock(&mut self, pid: u16, ticks: u64) -> Packet {
        let field = AdaptationField {
            pcr: Some(ClockReference::new(ticks).unwrap()),
            ..adaptation()
        };
        self.write(pid, Some(field), None)
    }

    /// Packets with a section of any length, which `mpeg2ts` cannot write.
    pub(super) fn section(&mut self, pid: u16, section: &[u8]) -> Vec<Packet> {
        let bytes: Vec<u8> = [0].iter().chain(section).copied().collect();
        let mut packets = Vec::new();
        for (index, chunk) in bytes.chunks(PACKET_LEN - 4).enumerate() {
            let mut payload = chunk.to_vec();
            payload.resize(PACKET_LEN - 4, 0xFF);
            let mut packet = self.more(pid, &payload);
            if index == 0 {
                packet[1] |= 0x40;
            }
            packets.push(packet);
        }
        packets
    }
}

/// An adaptation field without flags.
pub(super) fn adaptation() -> AdaptationField {
    AdaptationField {
        discontinuity_indicator: false,
        random_access_indicator: false,
        es_priority_indicator: false,
        pcr: None,
        opcr: None,
        splice_countdown: None,
        transport_private_data: vec![],
        extension: None,
    }
}

/// A section of the long form with this table id, extension and body, with its CRC.
pub(super) fn section(table_id: u8, extension: u16, body: &[u8]) -> Vec<u8> {
    let mut section = vec![table_id];
    section.extend((0xB000 | (5 + body.len() + 4) as u16).to_be_bytes());
    section.extend(extension.to_be_bytes());
    section.extend([0xC1, 0, 0]);
    section.extend(body);
    section.extend(crc32(&section).to_be_bytes());
    section
}

/// A PMT section of program 1: streams as type, PID and descriptors.
pub(super) fn pmt_section(program_info: &[u8], streams: &[(u8, u16, Vec<u8>)]) -> Vec<u8> {
    let length = |len: usize| (0xF000 | len as u16).to_be_bytes();
    let mut body = vec![0xE1, 0x00];
    body.extend(length(program_info.len()));
    body.extend(program_info);
    for (stream_type, pid, descriptors) in streams {
        body.push(*stream_type);
        body.extend((0xE000 | pid).to_be_bytes());
        body.extend(length(descriptors.len()));
        body.extend(descriptors);
    }
    section(0x02, 1, &body)
}
