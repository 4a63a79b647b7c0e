//! The observer of an input: it sees each message once, on the way to the ring.
//!
//! Owns the state of one input's analysis. Runs on the worker that serves the input. Returns what it found in an
//! [`Observation`], and publishes figures on a [`Board`]; its caller marks start points and logs.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::board::{Board, TsCounters};
use super::checks::Check;
use super::framer::{Framer, Framing};
use super::meter::Meter;
use super::report::TsReport;
use super::tracker::{ProgramInfo, Tracker, VideoTrack};

/// After this many consecutive messages that do not consist of packets, the stream no longer counts as MPEG-TS.
const NOT_TS_MESSAGES: u32 = 16;

/// After this many consecutive messages that do, a stream counts as MPEG-TS.
const TS_MESSAGES: u32 = 4;

/// What an input carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Not enough data yet.
    #[default]
    Unknown,
    /// MPEG transport stream.
    Ts,
    /// Anything else: it is relayed all the same, and a viewer may start at any message.
    NotTs,
}

/// Why a viewer can start at a start point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartPointKind {
    /// PAT, PMT, and then a keyframe.
    Keyframe,
    /// PAT and PMT of a stream without video.
    Tables,
    /// The stream is not MPEG-TS: any message will do.
    AnyMessage,
}

/// A message at which a viewer can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartPoint {
    /// The reason.
    pub kind: StartPointKind,
    /// How many messages before the one just observed; 0 is that one.
    pub messages_back: u64,
}

/// The results for one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// A start point, later than any reported before.
    pub start_point: Option<StartPoint>,
    /// How many messages ago the PAT began whose PMT has just arrived.
    pub tables_back: Option<u64>,
    /// The format, in the one message in which it became known or changed, for the log.
    pub format_change: Option<Format>,
}

/// Watches the messages of one input.
///
/// ```text
///               one message of whole packets                 16 messages in a row with other bytes
///   Unknown ──────────────────────────────────────▶ Ts ◀─────────────────────────────────────────▶ NotTs
///      │                                                     4 messages in a row of whole packets    ▲
///      └──────────────────── 16 messages in a row with other bytes ──────────────────────────────────┘
/// ```
pub struct Observer {
    messages: u64,
    format: Format,
    /// Consecutive messages that contradict `format`.
    contrary: u32,
    /// The message of the last PAT that was reported.
    tables: Option<u64>,
    framer: Framer,
    tracker: Tracker,
    meter: Meter,
}

impl Observer {
    /// Creates the observer of a new input, with its own board; about 90 kB, most of it untouched by a stream of one
    /// program.
    #[must_use]
    pub fn new() -> Self {
        Self::on(Board::new())
    }

    /// Creates the observer of an input that starts or continues: counters continue from those on the board.
    #[must_use]
    pub fn on(board: Arc<Board>) -> Self {
        Self {
            messages: 0,
            format: Format::Unknown,
            contrary: 0,
            tables: None,
            framer: Framer::new(),
            meter: Meter::from(board.counters()),
            tracker: Tracker::new(board),
        }
    }

    /// Observes the input's next message, which arrived at `now`. Must see every message, in order, because start
    /// points are counted in messages back from the current one. Never panics, whatever the bytes; allocates nothing.
    pub fn observe_at(&mut self, message: &[u8], now: Instant) -> Observation {
        self.meter.begin(&mut self.tracker, message, now);
        let observation = self.observe(message);
        if self.meter.is_due(self.tracker.now) {
            self.meter
                .update(&mut self.tracker, self.format, self.framer.has_parity(), now);
        }
        observation
    }

    /// Like [`observe_at`](Self::observe_at) without a time: checks and measurements that need the time are skipped,
    /// and nothing is published.
    pub fn observe(&mut self, message: &[u8]) -> Observation {
        let Self { framer, tracker, .. } = self;
        let at = self.messages;
        let framing = framer.split(message, at, |packet, since| tracker.packet(packet, since));
        if framing.sync_byte_errors > 0 {
            let checks = &mut tracker.counters.checks;
            checks.add(Check::SyncByteError, framing.sync_byte_errors);
            checks.add(Check::TsSyncLoss, framing.sync_losses);
            tracker.clocks.disturb();
        }
        let found = tracker.take_start_point();
        let tables = tracker.tables_since();
        let is_new = tables > self.tables;
        self.tables = tables;
        self.messages += 1;
        let format_change = self.judge(framing);
        let start_point = if self.format == Format::NotTs {
            self.tracker.pass_over(at);
            Some(StartPoint {
                kind: StartPointKind::AnyMessage,
                messages_back: 0,
            })
        } else {
            found.map(|(kind, since)| StartPoint {
                kind,
                messages_back: at - since,
            })
        };
        Observation {
            start_point,
            tables_back: tables.filter(|_| is_new).map(|since| at - since),
            format_change,
        }
    }

    /// The next message starts the stream again, like a file that loops: discontinuities there are no errors. Counters
    /// continue.
    pub fn restart(&mut self) {
        self.tracker.restart();
    }

    /// The full report as of the last message.
    #[must_use]
    pub fn report(&mut self) -> TsReport {
        self.meter
            .publish(&self.tracker, self.format, self.framer.has_parity(), None);
        self.tracker.board.report()
    }

    /// The board that it publishes on.
    #[must_use]
    pub fn board(&self) -> &Arc<Board> {
        &self.tracker.board
    }

    fn judge(&mut self, framing: Framing) -> Option<Format> {
        let is_contrary = match (self.format, framing) {
            // Neither a whole packet nor a stray byte: no evidence.
            (
                _,
                Framing {
                    packets: 0,
                    skipped: 0,
                    ..
                },
            ) => return None,
            (Format::Unknown, Framing { skipped: 0, .. }) => return self.become_format(Format::Ts),
            (Format::NotTs, Framing { skipped, .. }) => skipped == 0,
            (Format::Unknown | Format::Ts, Framing { skipped, .. }) => skipped > 0,
        };
        self.contrary = if is_contrary { self.contrary + 1 } else { 0 };
        match self.format {
            Format::Unknown | Format::Ts if self.contrary == NOT_TS_MESSAGES => {
                self.become_format(Format::NotTs)
            }
            Format::NotTs if self.contrary == TS_MESSAGES => self.become_format(Format::Ts),
            _ => None,
        }
    }

    fn become_format(&mut self, format: Format) -> Option<Format> {
        self.format = format;
        self.contrary = 0;
        Some(format)
    }

    /// The format, as far as known.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The video whose keyframes are start points: the first one of the first program that has any.
    #[must_use]
    pub fn video(&self) -> Option<VideoTrack> {
        self.tracker.tables.video()
    }

    /// The programs in the order of the PAT, at most the first 16.
    pub fn programs(&self) -> impl Iterator<Item = ProgramInfo> + '_ {
        self.tracker.tables.programs()
    }

    /// The counters so far.
    #[must_use]
    pub fn counters(&self) -> TsCounters {
        self.tracker.counters
    }
}

impl Default for Observer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer")
            .field("messages", &self.messages)
            .field("format", &self.format)
            .field("video", &self.video())
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}
