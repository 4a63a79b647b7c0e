//! Program specific information: reassembles sections, and parses what the data path needs of PAT and PMT (ISO/IEC
//! 13818-1, 2.4.4).
//!
//! Owns the bytes of incomplete sections. Runs on the input's worker, for packets of table PIDs; information for
//! display is decoded elsewhere. Only the first section of a PAT or PMT is used.

use super::packet::{Pid, TsPacket};
use super::picture::VideoCodec;

/// The longest section of PAT, CAT, PMT, NIT, SDT, BAT and TOT in bytes, including header and CRC.
pub(super) const SECTION_MAX: usize = 1024;

/// The longest section of any table, such as an EIT.
pub(super) const LONG_SECTION_MAX: usize = 4096;

/// The section header up to `last_section_number`, and the CRC at the end.
const HEADER_LEN: usize = 8;
const CRC_LEN: usize = 4;

/// Reassembles sections from the packets of one PID.
pub(super) struct SectionAssembler<const MAX: usize = SECTION_MAX> {
    buffer: [u8; MAX],
    held: usize,
    /// The number of the message in which the section begins; None while waiting for one.
    since: Option<u64>,
}

impl<const MAX: usize> SectionAssembler<MAX> {
    pub(super) fn new() -> Self {
        Self {
            buffer: [0; MAX],
            held: 0,
            since: None,
        }
    }

    /// Drops the section in progress.
    pub(super) fn reset(&mut self) {
        self.held = 0;
        self.since = None;
    }

    /// Processes a packet that begins in message `at`, and calls `each` with each whole section that ends in it and the
    /// number of the message in which the section begins. CRCs are not checked.
    pub(super) fn feed(&mut self, packet: &TsPacket<'_>, at: u64, mut each: impl FnMut(&[u8], u64)) {
        let Some(payload) = packet.payload() else { return };
        if !packet.is_unit_start() {
            self.continue_with(payload, &mut each);
            return;
        }
        let (pointer, sections) = (usize::from(payload[0]), &payload[1..]);
        let Some((tail, mut sections)) = sections.split_at_checked(pointer) else {
            self.reset();
            return;
        };
        self.continue_with(tail, &mut each);
        // A table_id of 0xFF is stuffing up to the end of the packet.
        while sections.first().is_some_and(|table_id| *table_id != 0xFF) {
            self.held = 0;
            self.since = Some(at);
            sections = self.continue_with(sections, &mut each);
        }
    }

    /// Adds bytes to the section in progress; returns those after its end.
    fn continue_with<'p>(&mut self, bytes: &'p [u8], each: &mut impl FnMut(&[u8], u64)) -> &'p [u8] {
        let Some(since) = self.since else { return &[] };
        let mut rest = bytes;
        if self.held < 3 {
            rest = self.take(rest, 3 - self.held);
        }
        if self.held < 3 {
            return &[];
        }
        let total = 3 + usize::from(u16::from_be_bytes([self.buffer[1], self.buffer[2]]) & 0x0FFF);
        if total > MAX {
            self.reset();
            return &[];
        }
        rest = self.take(rest, total - self.held);
        if self.held < total {
            return &[];
        }
        each(&self.buffer[..total], since);
        self.reset();
        rest
    }

    fn take<'p>(&mut self, bytes: &'p [u8], wanted: usize) -> &'p [u8] {
        let (taken, rest) = bytes.split_at(wanted.min(bytes.len()));
        self.buffer[self.held..self.held + taken.len()].copy_from_slice(taken);
        self.held += taken.len();
        rest
    }
}

/// A complete and valid PAT or PMT section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'a> {
    /// `transport_stream_id` of a PAT, `program_number` of a PMT.
    pub(super) extension: u16,
    /// Differs if the contents do.
    pub(super) crc: u32,
    body: &'a [u8],
}

/// An entry of a PMT: stream type, PID, descriptors.
pub(super) type Listed<'a> = (u8, Pid, &'a [u8]);

impl<'a> Table<'a> {
    /// The first section of the table `table_id`; None for any other section, and for a malformed one. The CRC is not
    /// checked: see [`is_intact`].
    pub(super) fn parse(section: &'a [u8], table_id: u8) -> Option<Self> {
        let (contents, crc) = section.split_at_checked(section.len().checked_sub(CRC_LEN)?)?;
        let (header, body) = contents.split_at_checked(HEADER_LEN)?;
        let has_long_header = header[1] & 0x80 != 0;
        let is_current = header[5] & 0x01 != 0;
        (header[0] == table_id && has_long_header && is_current && header[6] == 0).then_some(Self {
            extension: u16::from_be_bytes([header[3], header[4]]),
            crc: u32::from_be_bytes(*crc.first_chunk()?),
            body,
        })
    }

    /// Parses a section of a program association table.
    pub(super) fn pat(section: &'a [u8]) -> Option<Self> {
        Self::parse(section, 0x00)
    }

    /// Parses a section of a program map table.
    pub(super) fn pmt(section: &'a [u8]) -> Option<Self> {
        Self::parse(section, 0x02)
    }

    /// The programs of a PAT: program number and PID of the PMT, without the network PID (program 0).
    pub(super) fn programs(self) -> impl Iterator<Item = (u16, Pid)> {
        let (entries, _) = self.body.as_chunks::<4>();
        entries
            .iter()
            .map(|&[n1, n0, p1, p0]| (u16::from_be_bytes([n1, n0]), Pid::from_be_bytes([p1, p0])))
            .filter(|(number, _)| *number != 0)
    }

    /// The PID of the program's clock.
    pub(super) fn pcr_pid(self) -> Option<Pid> {
        let &[p1, p0] = self.body.first_chunk()?;
        Some(Pid::from_be_bytes([p1, p0])).filter(|pid| *pid != Pid::NULL)
    }

    /// The entries of a PMT, up to the first malformed one.
    pub(super) fn streams(self) -> impl Iterator<Item = Listed<'a>> {
        let info = self.body.get(2..4).and_then(<[u8]>::first_chunk);
        let info_len = info.map_or(0, |len| usize::from(u16::from_be_bytes(*len) & 0x0FFF));
        let mut rest = self.body.get(4 + info_len..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (&[stream_type, p1, p0, l1, l0], after) = rest.split_first_chunk()?;
            let (descriptors, after) =
                after.split_at_checked(usize::from(u16::from_be_bytes([l1, l0]) & 0x0FFF))?;
            rest = after;
            Some((stream_type, Pid::from_be_bytes([p1, p0]), descriptors))
        })
    }

    /// The first video stream of a PMT.
    pub(super) fn video(self) -> Option<(Pid, VideoCodec)> {
        self.streams().find_map(|(stream_type, pid, descriptors)| {
            Some((pid, VideoCodec::of_stream(stream_type, descriptors)?))
        })
    }
}

/// Whether a section has no CRC, or a correct one. Sections in short form have none, except for the TOT.
pub(super) fn is_intact(section: &[u8]) -> bool {
    let has_crc = section.len() > 3 && (section[1] & 0x80 != 0 || section[0] == 0x73);
    // The CRC over the section, including its CRC, is zero.
    !has_crc || crc32(section) == 0
}

/// The CRC of sections (ISO/IEC 13818-1, annex A): polynomial 0x04C11DB7, initial value all ones, not reflected.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    // Eight bytes at a time: a stream may carry megabits of program guide, and this is on the data path.
    static TABLES: [[u32; 256]; 8] = crc_tables();
    let (words, rest) = bytes.as_chunks::<8>();
    let crc = words
        .iter()
        .fold(u32::MAX, |crc, &[b0, b1, b2, b3, b4, b5, b6, b7]| {
            let [c0, c1, c2, c3] = (crc ^ u32::from_be_bytes([b0, b1, b2, b3])).to_be_bytes();
            [c0, c1, c2, c3, b4, b5, b6, b7]
                .iter()
                .zip(TABLES.iter().rev())
                .fold(0, |crc, (byte, table)| crc ^ table[usize::from(*byte)])
        });
    rest.iter().fold(crc, |crc, byte| {
        let [top, ..] = crc.to_be_bytes();
        crc << 8 ^ TABLES[0][usize::from(top ^ byte)]
    })
}

/// Table n is for a byte that is followed by n others.
const fn crc_tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0_u32;
    while byte < 256 {
        let mut crc = byte << 24;
        let mut bit = 0;
        while bit < 8 * 8 {
            crc = if crc & 0x8000_0000 == 0 {
                crc << 1
            } else {
                crc << 1 ^ 0x04C1_1DB7
            };
            bit += 1;
            if bit % 8 == 0 {
                tables[bit / 8 - 1][byte as usize] = crc;
            }
        }
        byte += 1;
    }
    tables
}
