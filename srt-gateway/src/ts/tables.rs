//! The tables of an input: its programs, and whether PAT, PMT and CAT arrive as required.
//!
//! Owns the sections being reassembled. Runs on the input's worker, for packets of table PIDs. It parses only what the
//! data path needs: PIDs, and which of them is video; the board keeps the sections for reports.

use super::board::{Board, StoreKey};
use super::checks::{Check, Checks, TABLE_INTERVAL};
use super::packet::{Pid, TsPacket};
use super::pids::{Pids, wanted};
use super::presence::{Presence, is_over};
use super::psi::{LONG_SECTION_MAX, SectionAssembler, Table, is_intact};
use super::report::StreamKind;
use super::sample;
use super::streams::Identity;
use super::tracker::{ProgramInfo, VideoTrack};

/// The number of programs tracked in a multi-program stream, in the order of the PAT.
const PROGRAMS_MAX: usize = 16;

/// The number of SDT sections kept.
const SDT_SECTIONS: usize = 4;

const CAT: u16 = 0x0001;
const NIT: u16 = 0x0010;
const SDT_BAT: u16 = 0x0011;
const EIT: u16 = 0x0012;
const TDT_TOT: u16 = 0x0014;

/// A program of the PAT.
#[derive(Clone, Copy)]
struct Program {
    number: u16,
    pmt_pid: Pid,
    /// The CRC of its last PMT, and of the one on the board; None if there is none.
    pmt_crc: Option<u32>,
    kept_crc: Option<u32>,
    video: Option<VideoTrack>,
    /// Presence of packets of the PMT's PID, and of PMT sections.
    packets: Presence,
    sections: Presence,
}

/// The effect of a table packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TableUpdate {
    /// The video whose keyframes count has changed.
    pub(super) new_video: bool,
    /// PAT and PMT of a stream without video have arrived: a viewer can start at this message.
    pub(super) tables_without_video: Option<u64>,
}

/// The tables of an input.
pub(super) struct Tables {
    pat: SectionAssembler,
    pat_crc: Option<u32>,
    kept_pat_crc: Option<u32>,
    pat_since: Option<u64>,
    pat_packets: Presence,
    pat_sections: Presence,
    pmt: SectionAssembler,
    /// The PID whose section `pmt` reassembles.
    pmt_pid: Option<Pid>,
    programs: [Option<Program>; PROGRAMS_MAX],
    /// The index in `programs` of the program whose keyframes count: the first with video.
    leader: Option<usize>,
    video: Option<VideoTrack>,
    /// The message of the last PAT that was followed by its PMT.
    tables_since: Option<u64>,
    cat: SectionAssembler,
    nit: SectionAssembler,
    sdt: SectionAssembler,
    eit: SectionAssembler<LONG_SECTION_MAX>,
    tot: SectionAssembler,
    kept_sdt: [Option<u32>; SDT_SECTIONS],
    has_cat: bool,
    scrambled_since: Option<u64>,
    is_cat_missed: bool,
}

impl Tables {
    pub(super) fn new(pids: &mut Pids) -> Self {
        for pid in [Pid::PAT.as_u16(), CAT, NIT, SDT_BAT, EIT, TDT_TOT] {
            if let Some(figures) = pids.of_mut(Pid::from_be_bytes(pid.to_be_bytes())) {
                figures.wanted = wanted::SECTIONS;
            }
        }
        Self {
            pat: SectionAssembler::new(),
            pat_crc: None,
            kept_pat_crc: None,
            pat_since: None,
            pat_packets: Presence::default(),
            pat_sections: Presence::default(),
            pmt: SectionAssembler::new(),
            pmt_pid: None,
            programs: [None; PROGRAMS_MAX],
            leader: None,
            video: None,
            tables_since: None,
            cat: SectionAssembler::new(),
            nit: SectionAssembler::new(),
            sdt: SectionAssembler::new(),
            eit: SectionAssembler::new(),
            tot: SectionAssembler::new(),
            kept_sdt: [None; SDT_SECTIONS],
            has_cat: false,
            scrambled_since: None,
            is_cat_missed: false,
        }
    }

    /// The video whose keyframes are start points.
    pub(super) fn video(&self) -> Option<VideoTrack> {
        self.video
    }

    /// Where a viewer can start for a keyframe that begins now.
    pub(super) fn since(&self) -> Option<u64> {
        self.tables_since
    }

    /// The programs of the last PAT, in order.
    pub(super) fn programs(&self) -> impl Iterator<Item = ProgramInfo> + '_ {
        self.programs.iter().flatten().map(|program| ProgramInfo {
            number: program.number,
            pmt_pid: program.pmt_pid,
            video: program.video,
        })
    }

    /// Processes a packet of a PID that carries sections.
    pub(super) fn packet(
        &mut self,
        packet: &TsPacket<'_>,
        at: u64,
        now: u64,
        pids: &mut Pids,
        board: &Board,
        checks: &mut Checks,
    ) -> TableUpdate {
        let mut context = TableContext {
            now,
            pids,
            board,
            checks,
        };
        let pid = packet.pid();
        if pid == Pid::PAT {
            return self.pat_packet(packet, at, &mut context);
        }
        if self.of_pmt_pid(pid).next().is_some() {
            return self.pmt_packet(packet, at, &mut context);
        }
        self.si_packet(packet, at, &mut context);
        TableUpdate::default()
    }

    fn of_pmt_pid(&mut self, pid: Pid) -> impl Iterator<Item = &mut Program> {
        self.programs
            .iter_mut()
            .flatten()
            .filter(move |program| program.pmt_pid == pid)
    }

    fn pat_packet(&mut self, packet: &TsPacket<'_>, at: u64, context: &mut TableContext<'_>) -> TableUpdate {
        let now = context.now;
        context
            .checks
            .add(Check::PatError, self.pat_packets.seen(now, TABLE_INTERVAL).into());
        let Self {
            pat,
            programs,
            pat_crc,
            kept_pat_crc,
            pat_since,
            pat_sections,
            ..
        } = self;
        let mut changed = false;
        pat.feed(packet, at, |section, since| {
            if section[0] != 0x00 {
                context.checks.count(Check::PatError);
                context.checks.count(Check::PatError2);
                return;
            }
            context
                .checks
                .add(Check::PatError2, pat_sections.seen(now, TABLE_INTERVAL).into());
            if !context.check_crc(section) {
                return;
            }
            let Some(table) = Table::pat(section) else { return };
            *pat_since = Some(since);
            if *pat_crc != Some(table.crc) {
                *pat_crc = Some(table.crc);
                changed = true;
                *programs = programs_of(table, now);
            }
            if *kept_pat_crc != Some(table.crc)
                && context.board.forget_programs()
                && context.board.keep(StoreKey::Pat, section)
            {
                *kept_pat_crc = Some(table.crc);
                // Dropped together with those of the earlier PAT if they arrived before the board was free.
                for program in programs.iter_mut().flatten() {
                    program.kept_crc = None;
                }
            }
        });
        if !changed {
            return TableUpdate::default();
        }
        TableUpdate {
            new_video: self.begin_anew(context.pids),
            ..TableUpdate::default()
        }
    }

    /// Drops sections in progress: the stream starts again.
    pub(super) fn restart(&mut self) {
        self.eit.reset();
        for section in [
            &mut self.pat,
            &mut self.pmt,
            &mut self.cat,
            &mut self.nit,
            &mut self.sdt,
            &mut self.tot,
        ] {
            section.reset();
        }
    }

    /// Registers the PIDs of a new PAT; returns true if the video whose keyframes count has changed.
    fn begin_anew(&mut self, pids: &mut Pids) -> bool {
        self.pmt.reset();
        self.pmt_pid = None;
        self.tables_since = None;
        for figures in pids.all_mut() {
            let is_fixed = matches!(figures.pid, 0 | CAT | NIT | SDT_BAT | EIT | TDT_TOT);
            figures.wanted = if is_fixed { wanted::SECTIONS } else { 0 };
            figures.program = 0;
        }
        for program in self.programs.iter().flatten() {
            if let Some(figures) = pids.of_mut(program.pmt_pid) {
                figures.wanted |= wanted::SECTIONS;
            }
        }
        self.choose_leader(pids)
    }

    fn pmt_packet(&mut self, packet: &TsPacket<'_>, at: u64, context: &mut TableContext<'_>) -> TableUpdate {
        let (pid, now) = (packet.pid(), context.now);
        for program in self.of_pmt_pid(pid) {
            let is_late = program.packets.seen(now, TABLE_INTERVAL);
            context.checks.add(Check::PmtError, is_late.into());
        }
        if self.pmt_pid != Some(pid) {
            // One assembler serves all programs: the next section that begins gets it.
            if !packet.is_unit_start() {
                return TableUpdate::default();
            }
            self.pmt.reset();
            self.pmt_pid = Some(pid);
        }
        let Self { pmt, programs, .. } = self;
        let mut completed = None;
        let mut changed = false;
        pmt.feed(packet, at, |section, since| {
            if section[0] != 0x02 || !context.check_crc(section) {
                return;
            }
            let Some(table) = Table::pmt(section) else { return };
            let its = programs.iter_mut().enumerate().find_map(|(index, slot)| {
                let program = slot.as_mut()?;
                (program.pmt_pid == pid && program.number == table.extension).then_some((index, program))
            });
            let Some((index, program)) = its else { return };
            let is_late = program.sections.seen(now, TABLE_INTERVAL);
            context.checks.add(Check::PmtError2, is_late.into());
            completed = Some((index, since));
            if program.pmt_crc.replace(table.crc) != Some(table.crc) {
                changed = true;
                program.video = table.video().map(|(pid, codec)| VideoTrack { pid, codec });
                context.want_streams(index, table);
            }
            if program.kept_crc != Some(table.crc)
                && context.board.keep(StoreKey::Pmt(program.number), section)
            {
                program.kept_crc = Some(table.crc);
            }
        });
        let new_video = changed && self.choose_leader(context.pids);
        TableUpdate {
            new_video,
            tables_without_video: completed.and_then(|(program, since)| self.tables_complete(program, since)),
        }
    }

    /// Chooses the program whose keyframes count; returns true if its video has changed.
    fn choose_leader(&mut self, pids: &mut Pids) -> bool {
        let video = |index: usize| self.programs[index].and_then(|program| program.video);
        self.leader = (0..PROGRAMS_MAX).find(|index| video(*index).is_some());
        let chosen = self.leader.and_then(video);
        for figures in pids.all_mut() {
            figures.wanted &= !wanted::LEADER;
        }
        if let Some(figures) = chosen.and_then(|video| pids.of_mut(video.pid)) {
            figures.wanted |= wanted::LEADER;
        }
        if chosen == self.video {
            return false;
        }
        self.video = chosen;
        self.tables_since = None;
        true
    }

    /// The PMT of a program has arrived, in a section that begins in message `since`.
    fn tables_complete(&mut self, program: usize, since: u64) -> Option<u64> {
        let pat_since = self.pat_since.filter(|pat_since| *pat_since <= since)?;
        match self.leader {
            Some(leader) if leader == program => {
                self.tables_since = Some(pat_since);
                None
            }
            Some(_) => None,
            None => Some(pat_since),
        }
    }

    fn si_packet(&mut self, packet: &TsPacket<'_>, at: u64, context: &mut TableContext<'_>) {
        let Self {
            kept_sdt, has_cat, ..
        } = self;
        match packet.pid().as_u16() {
            CAT => self.cat.feed(packet, at, |section, _| {
                let is_cat = section[0] == 0x01;
                *has_cat |= is_cat;
                context.checks.add(Check::CatError, (!is_cat).into());
                context.check_crc(section);
            }),
            NIT => self.nit.feed(packet, at, |section, _| {
                context.check_crc(section);
            }),
            EIT => self.eit.feed(packet, at, |section, _| {
                context.check_crc(section);
            }),
            TDT_TOT => self.tot.feed(packet, at, |section, _| {
                context.check_crc(section);
            }),
            SDT_BAT => self.sdt.feed(packet, at, |section, _| {
                if context.check_crc(section) {
                    context.keep_sdt(section, kept_sdt);
                }
            }),
            _ => {}
        }
    }

    /// Records a scrambled packet of this PID.
    #[cold]
    pub(super) fn scrambled(&mut self, pid: Pid, now: u64, checks: &mut Checks) {
        self.scrambled_since.get_or_insert(now);
        if pid == Pid::PAT {
            checks.count(Check::PatError);
            checks.count(Check::PatError2);
        } else if self.of_pmt_pid(pid).next().is_some() {
            checks.count(Check::PmtError);
            checks.count(Check::PmtError2);
        }
    }

    /// Checks whether required tables are missing.
    pub(super) fn check_absence(&mut self, now: u64, checks: &mut Checks) {
        checks.add(
            Check::PatError,
            self.pat_packets.check_absence(now, TABLE_INTERVAL).into(),
        );
        checks.add(
            Check::PatError2,
            self.pat_sections.check_absence(now, TABLE_INTERVAL).into(),
        );
        for program in self.programs.iter_mut().flatten() {
            checks.add(
                Check::PmtError,
                program.packets.check_absence(now, TABLE_INTERVAL).into(),
            );
            checks.add(
                Check::PmtError2,
                program.sections.check_absence(now, TABLE_INTERVAL).into(),
            );
        }
        let waited = self.scrambled_since.map_or(0, |since| now.saturating_sub(since));
        // A CAT may take as long to arrive as a PAT.
        if is_over(waited, TABLE_INTERVAL) && !self.has_cat && !self.is_cat_missed {
            self.is_cat_missed = true;
            checks.count(Check::CatError);
        }
    }
}

/// The programs of a PAT; nothing has arrived of them yet.
fn programs_of(table: Table<'_>, now: u64) -> [Option<Program>; PROGRAMS_MAX] {
    let mut programs = [None; PROGRAMS_MAX];
    for (slot, (number, pmt_pid)) in programs.iter_mut().zip(table.programs()) {
        *slot = Some(Program {
            number,
            pmt_pid,
            pmt_crc: None,
            kept_crc: None,
            video: None,
            packets: Presence::since(now),
            sections: Presence::since(now),
        });
    }
    programs
}

/// What processing a section needs.
struct TableContext<'a> {
    now: u64,
    pids: &'a mut Pids,
    board: &'a Board,
    checks: &'a mut Checks,
}

impl TableContext<'_> {
    fn check_crc(&mut self, section: &[u8]) -> bool {
        let is_intact = is_intact(section);
        self.checks.add(Check::CrcError, (!is_intact).into());
        is_intact
    }

    /// Registers the PIDs of a PMT with the reasons for examining them.
    fn want_streams(&mut self, program: usize, table: Table<'_>) {
        let mark = u8::try_from(program + 1).unwrap_or(u8::MAX);
        for figures in self.pids.all_mut().iter_mut().filter(|pid| pid.program == mark) {
            figures.wanted &= wanted::SECTIONS;
            figures.program = 0;
        }
        if let Some(figures) = table.pcr_pid().and_then(|pid| self.pids.of_mut(pid)) {
            figures.wanted |= wanted::REFERENCED;
            figures.program = mark;
            figures.seen = self.now;
        }
        for (stream_type, pid, descriptors) in table.streams() {
            let Some(figures) = self.pids.of_mut(pid) else {
                continue;
            };
            let identity = Identity::of(stream_type, descriptors);
            figures.program = mark;
            figures.seen = self.now;
            figures.wanted |= wanted::REFERENCED;
            figures.codec = identity.video;
            if matches!(identity.kind, StreamKind::Video | StreamKind::Audio) {
                figures.wanted |= wanted::TIMESTAMPS;
            }
            if identity.audio.is_some() || identity.video.is_some_and(sample::is_readable) {
                figures.wanted |= wanted::SAMPLE;
                figures.sample_tries = sample::TRIES;
            }
        }
    }

    /// Stores a section of the SDT of this transport stream.
    fn keep_sdt(&mut self, section: &[u8], kept: &mut [Option<u32>; SDT_SECTIONS]) {
        let (Some((0x42, number)), Some(crc)) = (
            section.first().copied().zip(section.get(6).copied()),
            section.last_chunk().copied().map(u32::from_be_bytes),
        ) else {
            return;
        };
        if let Some(kept) = kept.get_mut(usize::from(number))
            && *kept != Some(crc)
            && self.board.keep(StoreKey::Sdt(number), section)
        {
            *kept = Some(crc);
        }
    }
}
