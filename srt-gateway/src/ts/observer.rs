//! The observer of an input: each message goes past it once, on the way to the ring.
//!
//! Owns all that is known about one input's stream. Runs on the worker that serves the input. Says what it saw
//! in an [`Observation`], and shows figures on a [`Board`]; marking start points and logging is its caller's work.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::board::{Board, TsCounters};
use super::checks::Check;
use super::framer::{Framer, Framing};
use super::meter::Meter;
use super::report::TsReport;
use super::tracker::{ProgramInfo, Tracker, VideoTrack};

/// So many messages in a row that are not made of packets, and the stream is not taken for MPEG-TS (any more).
const ALIEN_MESSAGES: u32 = 16;

/// So many messages in a row that are, and a stream that was not taken for MPEG-TS is.
const TS_MESSAGES: u32 = 4;

/// What an input carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Too little was seen to tell.
    #[default]
    Unknown,
    /// MPEG transport stream.
    Ts,
    /// Something else: it is relayed all the same, and a viewer may begin at any message.
    NotTs,
}

/// Why a viewer can begin at a start point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartPointKind {
    /// PAT, PMT, and then a keyframe.
    Keyframe,
    /// PAT and PMT of a stream without video.
    Tables,
    /// The stream is not MPEG-TS: any message will do.
    AnyMessage,
}

/// A message at which a viewer can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartPoint {
    /// Why there.
    pub kind: StartPointKind,
    /// How many messages before the one just observed; 0 is that one.
    pub messages_back: u64,
}

/// What one message brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// A start point, later than any reported before.
    pub start_point: Option<StartPoint>,
    /// How many messages before this one the PAT begins that its PMT has just followed.
    pub tables_back: Option<u64>,
    /// The format, in the one message with which it became known or changed: the moment for a line in the log.
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
    /// Messages in a row that speak against `format`.
    contrary: u32,
    /// The message of the last PAT that was reported.
    tables: Option<u64>,
    framer: Framer,
    tracker: Tracker,
    meter: Meter,
}

impl Observer {
    /// Makes the observer of an input that begins, with a board of its own; about 90 kB, most of it not touched by a
    /// stream of one program.
    #[must_use]
    pub fn new() -> Self {
        Self::on(Board::new())
    }

    /// Makes the observer of an input that begins or goes on: counts continue from what the board shows.
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

    /// Looks at the input's next message, which came at `now`. Every message must be shown, in order, since start points
    /// are counted in messages back from the one at hand. Never panics, whatever the bytes; allocates nothing.
    pub fn observe_at(&mut self, message: &[u8], now: Instant) -> Observation {
        self.meter.begin(&mut self.tracker, message, now);
        let observation = self.observe(message);
        if self.meter.is_due(self.tracker.now) {
            self.meter
                .update(&mut self.tracker, self.format, self.framer.has_parity(), now);
        }
        observation
    }

    /// As [`observe_at`](Self::observe_at), where nobody asks for the time: whatever needs it is neither checked nor
    /// measured, and nothing is published.
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

    /// The next message begins the stream again, as a file that loops does: what does not continue there is no fault. Counts go on.
    pub fn restart(&mut self) {
        self.tracker.restart();
    }

    /// Tells all that is known, as of the last message.
    #[must_use]
    pub fn report(&mut self) -> TsReport {
        self.meter
            .publish(&self.tracker, self.format, self.framer.has_parity(), None);
        self.tracker.board.report()
    }

    /// Where others see what it sees.
    #[must_use]
    pub fn board(&self) -> &Arc<Board> {
        &self.tracker.board
    }

    fn judge(&mut self, framing: Framing) -> Option<Format> {
        let is_contrary = match (self.format, framing) {
            // Neither a whole packet nor a stray byte: it says nothing.
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
            Format::Unknown | Format::Ts if self.contrary == ALIEN_MESSAGES => {
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

    /// What the input carries, as far as it is known.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The video whose keyframes are start points: the first of the first program that has any.
    #[must_use]
    pub fn video(&self) -> Option<VideoTrack> {
        self.tracker.tables.video()
    }

    /// The programs that the input announces, in the order of its PAT; the first 16 of many.
    pub fn programs(&self) -> impl Iterator<Item = ProgramInfo> + '_ {
        self.tracker.tables.programs()
    }

    /// What was counted so far.
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
