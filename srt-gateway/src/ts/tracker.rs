//! The analysis of an input's packets: figures of PIDs and clocks, failed checks, programs, and start points.
//!
//! Owns the state of the analysis. Runs on the input's worker, for each packet. Message numbers and times are
//! arguments. The steps for a packet are ordered by cost: most packets are counted, compared with the previous one, and
//! done.

use std::sync::Arc;

use super::board::{Board, StoreKey, TsCounters};
use super::checks::{Check, PID_PERIOD, PTS_INTERVAL};
use super::clock::Clocks;
use super::observer::StartPointKind;
use super::packet::{Adaptation, PACKET_LEN, Pid, TsPacket};
use super::pes::{GopMeter, Timestamps, is_before};
use super::picture::{Picture, PictureScan, VideoCodec};
use super::pids::{Continuity, Pids, wanted};
use super::presence::is_over;
use super::sample::Sampler;
use super::tables::Tables;

/// A program's video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoTrack {
    /// The PID of its packets.
    pub pid: Pid,
    /// Its codec.
    pub codec: VideoCodec,
}

/// A program that the stream announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramInfo {
    /// Its number in the PAT.
    pub number: u16,
    /// The PID of its PMT.
    pub pmt_pid: Pid,
    /// Its first video, once its PMT has arrived.
    pub video: Option<VideoTrack>,
}

/// Tracks tables and pictures.
///
/// ```text
///   message:   .. [PAT] .. [PMT] .. [P] [P] [keyframe begins] ..
///                   │         │                    └ a viewer can begin at `tables_since` (checked when the picture
///                   │         │                      is known to be one, perhaps some packets later)
///                   │         └ tables_since = pat_since
///                   └ pat_since
/// ```
///
/// A decoder drops pictures between the tables and the keyframe, so they do no harm. Starting at the keyframe itself
/// would, since the next PAT comes after it: most encoders send tables independently of keyframes.
pub(super) struct Tracker {
    pub(super) counters: TsCounters,
    pub(super) pids: Pids,
    pub(super) clocks: Clocks,
    pub(super) gop: GopMeter,
    pub(super) tables: Tables,
    pub(super) board: Arc<Board>,
    /// Microseconds since the observer started.
    pub(super) now: u64,
    /// Scrambled packets of audio and video so far.
    pub(super) scrambled: u64,
    sampler: Sampler,
    scan: Option<PictureScan>,
    /// Where a viewer could start for the picture being scanned, as of its beginning.
    picture_tables: Option<u64>,
    /// The last reported start point, and the one about to be reported.
    reported: Option<u64>,
    found: Option<(StartPointKind, u64)>,
}

impl Tracker {
    pub(super) fn new(board: Arc<Board>) -> Self {
        let mut pids = Pids::new();
        let counters = board.counters();
        Self {
            counters,
            tables: Tables::new(&mut pids),
            pids,
            clocks: Clocks::new(),
            gop: GopMeter::default(),
            board,
            now: 0,
            scrambled: 0,
            sampler: Sampler::new(),
            scan: None,
            picture_tables: None,
            reported: None,
            found: None,
        }
    }

    /// Takes the start point found since the last call: its kind and its message.
    pub(super) fn take_start_point(&mut self) -> Option<(StartPointKind, u64)> {
        self.found.take()
    }

    /// The message of the last PAT that was followed by its PMT.
    pub(super) fn tables_since(&self) -> Option<u64> {
        self.tables.since()
    }

    /// Excludes start points up to and including message `at`, which was reported for another reason.
    pub(super) fn pass_over(&mut self, at: u64) {
        self.reported = Some(at);
    }

    /// Processes a packet that begins in message `at`.
    #[inline]
    pub(super) fn packet(&mut self, bytes: &[u8; PACKET_LEN], at: u64) {
        let Some(packet) = TsPacket::new(bytes) else {
            return;
        };
        self.counters.packets += 1;
        if packet.has_transport_error() {
            // No bit of it can be trusted, including the PID: it only counts.
            self.counters.checks.count(Check::TransportError);
            self.pids.enter_faulty(&packet);
            return;
        }
        let adaptation = packet.adaptation();
        let (continuity, place) = self.pids.enter(&packet, adaptation.as_ref());
        if packet.pid() == Pid::NULL {
            self.counters.null_packets += 1;
            return;
        }
        match continuity {
            Continuity::Expected => {}
            Continuity::Duplicate => return,
            Continuity::Broken => self.broken(place),
        }
        if let Some(field) = &adaptation {
            self.adaptation(&packet, field);
        }
        let figures = self.pids.at_mut(place);
        if packet.is_scrambled() {
            figures.scrambled += 1;
            let is_sound_or_picture = figures.wanted & wanted::TIMESTAMPS != 0;
            self.scrambled += u64::from(is_sound_or_picture);
            self.tables
                .scrambled(packet.pid(), self.now, &mut self.counters.checks);
        }
        let wanted = self.pids.at_mut(place).wanted;
        if wanted & wanted::TIMESTAMPS != 0 {
            if packet.is_unit_start() {
                self.unit(&packet, place);
            } else if self.sampler.is_at(place)
                && let Some(payload) = packet.payload()
                && self.sampler.take(payload)
            {
                self.end_sample(place);
            }
        }
        if wanted & wanted::LEADER != 0 {
            self.video_packet(&packet);
        } else if wanted & wanted::SECTIONS != 0 {
            self.section_packet(&packet, at);
        }
    }

    /// The stream starts again, like a file that loops: nothing continues what came before.
    #[cold]
    pub(super) fn restart(&mut self) {
        self.pids.restart();
        self.clocks.restart();
        self.gop.disturb();
        self.tables.restart();
        self.sampler.end(None);
        self.scan = None;
    }

    #[cold]
    fn broken(&mut self, place: usize) {
        self.counters.checks.count(Check::ContinuityCountError);
        let figures = self.pids.at_mut(place);
        figures.continuity_errors += 1;
        if figures.wanted & wanted::LEADER != 0 {
            self.gop.disturb();
        }
        if self.sampler.is_at(place) {
            self.sampler.end(None);
        }
        self.clocks.disturb();
    }

    fn adaptation(&mut self, packet: &TsPacket<'_>, field: &Adaptation<'_>) {
        if field.is_discontinuity() {
            // The clock may be reset here, together with the timestamps of its streams.
            self.pids
                .all_mut()
                .iter_mut()
                .for_each(|figures| figures.decode_time = None);
        }
        if let Some(pcr) = field.pcr() {
            let pid = packet.pid().as_u16();
            let faults = self.clocks.pcr(
                pid,
                pcr,
                self.now,
                self.counters.packets,
                field.is_discontinuity(),
            );
            let checks = &mut self.counters.checks;
            checks.add(Check::PcrRepetitionError, faults.repetition.into());
            checks.add(Check::PcrDiscontinuityError, faults.discontinuity.into());
            checks.add(Check::PcrAccuracyError, faults.accuracy.into());
        }
    }

    /// A PES packet of audio or video begins.
    fn unit(&mut self, packet: &TsPacket<'_>, place: usize) {
        let stamps = packet
            .payload()
            .filter(|_| !packet.is_scrambled())
            .and_then(|payload| {
                self.sample(payload, place);
                Timestamps::of(payload)
            });
        let figures = self.pids.at_mut(place);
        if figures.wanted & wanted::LEADER != 0 {
            self.gop.picture(stamps.map(|stamps| stamps.decoding));
        }
        let Some(stamps) = stamps else { return };
        if figures.stamped != 0 && is_over(self.now.saturating_sub(figures.stamped), PTS_INTERVAL) {
            self.counters.checks.count(Check::PtsError);
        }
        figures.stamped = self.now.max(1);
        let runs_back = figures
            .decode_time
            .is_some_and(|last| is_before(stamps.decoding, last));
        if runs_back || stamps.is_reversed() {
            self.counters.timestamp_errors += 1;
        }
        figures.decode_time = Some(stamps.decoding);
    }

    fn sample(&mut self, payload: &[u8], place: usize) {
        if self.sampler.is_at(place) {
            self.end_sample(place);
        }
        if self.sampler.is_idle() && self.pids.at_mut(place).wanted & wanted::SAMPLE != 0 {
            self.sampler.begin(place, payload);
        }
    }

    fn end_sample(&mut self, place: usize) {
        let Self {
            sampler, pids, board, ..
        } = self;
        let figures = pids.at_mut(place);
        let kept = sampler
            .end(figures.codec)
            .is_some_and(|bytes| board.keep(StoreKey::Sample(figures.pid), bytes));
        figures.sample_tries = figures.sample_tries.saturating_sub(1);
        if kept || figures.sample_tries == 0 {
            figures.wanted &= !wanted::SAMPLE;
        }
    }

    fn section_packet(&mut self, packet: &TsPacket<'_>, at: u64) {
        let seen = self.tables.packet(
            packet,
            at,
            self.now,
            &mut self.pids,
            &self.board,
            &mut self.counters.checks,
        );
        if seen.new_video {
            self.scan = None;
            self.gop = GopMeter::of(self.tables.video().map_or(Pid::NULL, |video| video.pid).as_u16());
        }
        if let Some(since) = seen.tables_without_video {
            self.report(StartPointKind::Tables, since);
        }
    }

    fn video_packet(&mut self, packet: &TsPacket<'_>) {
        let (Some(video), Some(payload)) = (self.tables.video(), packet.payload()) else {
            return;
        };
        if packet.is_unit_start() {
            self.picture_tables = self.tables.since();
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
        self.gop.keyframe();
        if let Some(since) = self.picture_tables {
            self.report(StartPointKind::Keyframe, since);
        }
    }

    fn report(&mut self, kind: StartPointKind, since: u64) {
        // Keyframes may come more often than tables: then the earlier one is the start point.
        if self.reported.is_none_or(|reported| reported < since) {
            self.reported = Some(since);
            self.found = Some((kind, since));
        }
    }

    /// Checks whether required packets are missing; called several times a second.
    pub(super) fn check_absence(&mut self) {
        self.tables.check_absence(self.now, &mut self.counters.checks);
        self.sampler.grow_old();
        for figures in self.pids.all_mut() {
            if figures.packets != figures.packets_looked {
                figures.packets_looked = figures.packets;
                figures.seen = self.now;
                figures.is_missed = false;
            } else if figures.wanted & wanted::REFERENCED != 0
                && !figures.is_missed
                && is_over(self.now.saturating_sub(figures.seen), PID_PERIOD)
            {
                figures.is_missed = true;
                self.counters.checks.count(Check::PidError);
            }
        }
    }
}
