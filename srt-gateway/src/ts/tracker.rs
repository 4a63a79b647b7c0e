//! What an input's packets say about its programs: counters, the video stream, and where a viewer can begin.
//!
//! Owns the state that PAT, PMT and video packets leave behind. Runs on the input's worker, for each packet.
//! Counts messages as it is told to; knows nothing of their boundaries.

use super::continuity::{Continuities, Continuity};
use super::observer::StartPointKind;
use super::packet::{PACKET_LEN, Pid, TsPacket};
use super::picture::{Picture, PictureScan, VideoCodec};
use super::psi::{SectionAssembler, Table};

/// How many programs of a multi-program stream are followed, in the order of the PAT.
const PROGRAMS_MAX: usize = 16;

/// What was seen of an input, from its first message on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TsCounters {
    /// Transport packets, null packets included.
    pub packets: u64,
    /// Packets that do not continue their PID: something before them is missing or out of order.
    pub continuity_errors: u64,
    /// Times that packets were followed by bytes that are none.
    pub sync_losses: u64,
    /// Packets marked as faulty by the equipment before us (transport error indicator).
    pub transport_errors: u64,
    /// Null packets (PID 0x1FFF).
    pub null_packets: u64,
}

/// A program's video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoTrack {
    /// Where its packets are.
    pub pid: Pid,
    /// What it is coded in.
    pub codec: VideoCodec,
}

/// A program that the stream announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramInfo {
    /// Its number in the PAT.
    pub number: u16,
    /// Where its PMT is.
    pub pmt_pid: Pid,
    /// Its first video, once its PMT was seen.
    pub video: Option<VideoTrack>,
}

/// A program of the PAT.
#[derive(Clone, Copy)]
struct Program {
    number: u16,
    pmt_pid: Pid,
    /// CRC of its last PMT; None until there is one.
    pmt_crc: Option<u32>,
    video: Option<VideoTrack>,
}

/// Follows tables and pictures.
///
/// ```text
///   message:   .. [PAT] .. [PMT] .. [P] [P] [keyframe begins] ..
///                   │         │                    └ a viewer can begin at `tables_since` (checked when the picture
///                   │         │                      is known to be one, perhaps some packets later)
///                   │         └ tables_since = pat_since
///                   └ pat_since
/// ```
///
/// Pictures between the tables and the keyframe do no harm, since a decoder drops them; beginning at the keyframe
/// itself would, since the next PAT comes after it. Most encoders send tables on a clock of their own.
pub(super) struct Tracker {
    pub(super) counters: TsCounters,
    continuities: Continuities,
    pat: SectionAssembler,
    pat_crc: Option<u32>,
    pat_since: Option<u64>,
    pmt: SectionAssembler,
    /// Whose section `pmt` puts together.
    pmt_pid: Option<Pid>,
    programs: [Option<Program>; PROGRAMS_MAX],
    /// The program whose keyframes count (index in `programs`): the first that has video.
    leader: Option<usize>,
    video: Option<VideoTrack>,
    /// Message of the last PAT that its PMT followed.
    tables_since: Option<u64>,
    scan: Option<PictureScan>,
    /// `tables_since` when the picture that is scanned began.
    picture_tables: Option<u64>,
    /// The last start point that was reported, and the one that is about to be.
    reported: Option<u64>,
    found: Option<(StartPointKind, u64)>,
}

impl Tracker {
    pub(super) fn new() -> Self {
        Self {
            counters: TsCounters::default(),
            continuities: Continuities::new(),
            pat: SectionAssembler::new(),
            pat_crc: None,
            pat_since: None,
            pmt: SectionAssembler::new(),
            pmt_pid: None,
            programs: [None; PROGRAMS_MAX],
            leader: None,
            video: None,
            tables_since: None,
            scan: None,
            picture_tables: None,
            reported: None,
            found: None,
        }
    }

    /// The video whose keyframes are start points.
    pub(super) fn video(&self) -> Option<VideoTrack> {
        self.video
    }

    /// Takes the start point found since the last call: its kind and its message.
    pub(super) fn take_start_point(&mut self) -> Option<(StartPointKind, u64)> {
        self.found.take()
    }

    /// Rules out start points up to and with message `at`, which was reported as one for another reason.
    pub(super) fn pass_over(&mut self, at: u64) {
        self.reported = Some(at);
    }

    /// Takes a packet that begins in message `at`.
    pub(super) fn packet(&mut self, bytes: &[u8; PACKET_LEN], at: u64) {
        let Some(packet) = TsPacket::new(bytes) else {
            return;
        };
        self.counters.packets += 1;
        if packet.has_transport_error() {
            // Not one bit of it can be trusted, the PID included.
            self.counters.transport_errors += 1;
            return;
        }
        let pid = packet.pid();
        if pid == Pid::NULL {
            self.counters.null_packets += 1;
            return;
        }
        match self.continuities.check(&packet) {
            Continuity::Expected => {}
            Continuity::Duplicate => return,
            Continuity::Broken => self.counters.continuity_errors += 1,
        }
        if self.video.is_some_and(|video| video.pid == pid) {
            self.video_packet(&packet);
        } else if pid == Pid::PAT {
            self.pat_packet(&packet, at);
        } else if self
            .programs
            .iter()
            .flatten()
            .any(|program| program.pmt_pid == pid)
        {
            self.pmt_packet(&packet, at);
        }
    }

    /// The programs of the last PAT, in its order.
    pub(super) fn programs(&self) -> impl Iterator<Item = ProgramInfo> + '_ {
        self.programs.iter().flatten().map(|program| ProgramInfo {
            number: program.number,
            pmt_pid: program.pmt_pid,
            video: program.video,
        })
    }

    fn pat_packet(&mut self, packet: &TsPacket<'_>, at: u64) {
        let Self {
            pat,
            programs,
            pat_crc,
            pat_since,
            ..
        } = self;
        let mut changed = false;
        pat.feed(packet, at, |section, since| {
            let Some(table) = Table::pat(section) else { return };
            *pat_since = Some(since);
            if pat_crc.replace(table.crc) == Some(table.crc) {
                return;
            }
            changed = true;
            *programs = [None; PROGRAMS_MAX];
            for (slot, (number, pmt_pid)) in programs.iter_mut().zip(table.programs()) {
                *slot = Some(Program {
                    number,
                    pmt_pid,
                    pmt_crc: None,
                    video: None,
                });
            }
        });
        if changed {
            self.pmt.reset();
            self.pmt_pid = None;
            self.tables_since = None;
            self.choose_leader();
        }
    }

    fn pmt_packet(&mut self, packet: &TsPacket<'_>, at: u64) {
        let pid = packet.pid();
        if self.pmt_pid != Some(pid) {
            // One assembler serves all programs: whoever begins a section next gets it.
            if !packet.is_unit_start() {
                return;
            }
            self.pmt.reset();
            self.pmt_pid = Some(pid);
        }
        let Self { pmt, programs, .. } = self;
        let mut changed = false;
        let mut completed = None;
        pmt.feed(packet, at, |section, since| {
            let Some(table) = Table::pmt(section) else { return };
            let is_its_program =
                |program: &Program| program.pmt_pid == pid && program.number == table.extension;
            let index = programs
                .iter()
                .position(|slot| slot.as_ref().is_some_and(is_its_program));
            let Some((index, program)) = index.and_then(|index| Some((index, programs[index].as_mut()?)))
            else {
                return;
            };
            completed = Some((index, since));
            if program.pmt_crc.replace(table.crc) != Some(table.crc) {
                changed = true;
                program.video = table.video().map(|(pid, codec)| VideoTrack { pid, codec });
            }
        });
        if changed {
            self.choose_leader();
        }
        if let Some((program, since)) = completed {
            self.tables_complete(program, since);
        }
    }

    fn choose_leader(&mut self) {
        let video = |index: usize| self.programs[index].and_then(|program| program.video);
        self.leader = (0..PROGRAMS_MAX).find(|index| video(*index).is_some());
        let chosen = self.leader.and_then(video);
        if chosen != self.video {
            self.video = chosen;
            self.scan = None;
            self.tables_since = None;
        }
    }

    /// The PMT of a program has come, in a section that begins in message `since`.
    fn tables_complete(&mut self, program: usize, since: u64) {
        let Some(pat_since) = self.pat_since.filter(|pat_since| *pat_since <= since) else {
            return;
        };
        match self.leader {
            Some(leader) if leader == program => self.tables_since = Some(pat_since),
            Some(_) => {}
            None => self.report(StartPointKind::Tables, pat_since),
        }
    }

    fn video_packet(&mut self, packet: &TsPacket<'_>) {
        let (Some(video), Some(payload)) = (self.video, packet.payload()) else {
            return;
        };
        if packet.is_unit_start() {
            self.picture_tables = self.tables_since;
            if packet.adaptation().is_some_and(|field| field.is_random_access()) {
                self.scan = None;
                self.keyframe();
                return;
            }
            self.scan = PictureScan::begin(video.codec, payload);
        }
        if packet.is_scrambled() {
            self.scan = None;
        }
        if let Some(picture) = self.scan.as_mut().and_then(|scan| scan.feed(payload)) {
            self.scan = None;
            if picture == Picture::Key {
                self.keyframe();
            }
        }
    }

    fn keyframe(&mut self) {
        if let Some(since) = self.picture_tables {
            self.report(StartPointKind::Keyframe, since);
        }
    }

    fn report(&mut self, kind: StartPointKind, since: u64) {
        // Keyframes may come more often than tables: the earlier one is the start point then.
        if self.reported.is_none_or(|reported| reported < since) {
            self.reported = Some(since);
            self.found = Some((kind, since));
        }
    }
}
