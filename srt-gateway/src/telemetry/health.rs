//! Whose fault it is when a stream stutters: joins what is wrong in the transport stream with what SRT says of each link.
//!
//! A pure function of figures that others have taken ([`verdict`]); runs on the thread of whoever asks. Decides nothing and
//! changes nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a verdict is made of: counts of the same last seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamFigures {
    /// How far back the counts reach.
    pub window: Duration,
    /// What came in; None: nobody feeds the stream.
    pub source: Option<SourceFigures>,
    /// The SRT link that it came by; None: by something else.
    pub publisher: Option<LinkFigures>,
    /// Those who get it by SRT.
    pub viewers: Vec<ViewerFigures>,
}

/// What was wrong in the transport stream as it came out of the publisher's link.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceFigures {
    /// It is MPEG-TS: otherwise the counts say nothing.
    pub is_mpeg_ts: bool,
    /// Nothing has come for so long.
    pub silent_for: Duration,
    /// Continuity errors.
    pub continuity_errors: u64,
    /// Packets that were marked as faulty before they came here.
    pub transport_errors: u64,
    /// The other checks of TR 101 290 that failed: name, count.
    pub others: Vec<(String, u64)>,
}

/// What SRT says of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkFigures {
    /// Negotiated.
    pub latency: Duration,
    /// 95 % of the round-trip times were not above this.
    pub rtt_p95: Duration,
    /// Packets of the stream, each once.
    pub packets: u64,
    /// Packets that were lost on the way, most of which were sent again.
    pub lost: u64,
    /// Packets that came too late or never: gaps.
    pub dropped: u64,
}

/// A viewer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewerFigures {
    /// Its session.
    pub session: u64,
    /// Its link.
    pub link: LinkFigures,
    /// Messages that were thrown away because it took them too slowly.
    pub skipped: u64,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nobody feeds the stream.
    #[default]
    Idle,
    /// Nothing is wrong.
    Good,
    /// Somebody may have trouble soon, or the stream does not keep to the rules.
    Warning,
    /// Somebody sees or hears it.
    Bad,
}

/// Where the fault is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// Nowhere.
    #[default]
    None,
    /// Before the publisher: encoder, multiplexer, contribution link.
    Source,
    /// Between publisher and gateway.
    PublisherLink,
    /// Between gateway and some viewers.
    ViewerLink,
    /// What all viewers have in common: the gateway's own uplink, or its load.
    Uplink,
}

/// Who is at fault, in a sentence, with what that is concluded from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Verdict {
    /// How bad it is.
    pub level: Level,
    /// Where.
    pub fault: Fault,
    /// For people: who, and what to do.
    pub sentence: String,
    /// Figures that speak for it.
    pub evidence: Vec<String>,
    /// The sessions of the viewers that it is about.
    pub viewers: Vec<u64>,
}
