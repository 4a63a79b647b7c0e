//! The figures that a verdict is made of. Plain data.

use std::time::{Duration, SystemTime};

/// The figures for a verdict: counts of the same last seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamFigures {
    /// The period that the counts cover.
    pub window: Duration,
    /// The source; None: the stream has none.
    pub source: Option<SourceFigures>,
    /// How the stream lost its source, if it had one.
    pub loss: Option<LossFigures>,
    /// The stream's failing inputs and outputs.
    pub endpoints: Vec<EndpointFigures>,
    /// A pause of the gateway within the window.
    pub stall: Option<StallFigures>,
    /// The SRT link of the source; None: it is not SRT.
    pub publisher: Option<LinkFigures>,
    /// The SRT viewers.
    pub viewers: Vec<ViewerFigures>,
    /// Bonded connections that have lost links.
    pub bonds: Vec<BondFigures>,
}

/// A bonded connection that has lost some of its links, but not all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BondFigures {
    /// Its session.
    pub session: u64,
    /// Whether it feeds the stream; otherwise it receives it.
    pub is_source: bool,
    /// The address of its other end.
    pub peer: String,
    /// Links that work.
    pub working: usize,
    /// The most links that have worked at the same time.
    pub of: usize,
}

/// How a stream lost its source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LossFigures {
    /// How long ago.
    pub ago: Duration,
    /// The URL of the input, or the address of the publisher.
    pub who: String,
    /// Why its session ended.
    pub reason: Option<String>,
    /// Viewers and outputs that wait for it to return.
    pub waiting: u32,
}

/// A failing input or output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointFigures {
    /// An input; otherwise an output.
    pub is_input: bool,
    /// Its address, without secrets.
    pub url: String,
    /// Its name, or its address and streamid: what distinguishes it from others of the stream.
    pub name: String,
    /// It is connected and sends no data.
    pub is_silent: bool,
    /// Failed attempts and broken connections so far.
    pub failures: u64,
    /// The reason of the last failure.
    pub reason: Option<String>,
}

/// A period in which the gateway's process did not run: it was stopped, or the machine was too busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StallFigures {
    /// When it ended.
    pub until: SystemTime,
    /// How long it lasted.
    pub length: Duration,
}

/// Errors in the transport stream as it left the publisher's link.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceFigures {
    /// Whether it is MPEG-TS; otherwise the counts mean nothing.
    pub is_mpeg_ts: bool,
    /// For how long nothing has arrived.
    pub silent_for: Duration,
    /// Continuity errors.
    pub continuity_errors: u64,
    /// Packets that were already marked as faulty on arrival.
    pub transport_errors: u64,
    /// Other failed checks of TR 101 290.
    pub others: Vec<Failed>,
}

/// A check of TR 101 290 that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failed {
    /// Its standard name.
    pub name: String,
    /// 1: necessary for decoding at all. 2: recommended for monitoring.
    pub priority: u8,
    /// How often.
    pub count: u64,
}

/// SRT's figures of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkFigures {
    /// The negotiated latency.
    pub latency: Duration,
    /// The 95th percentile of the round-trip time.
    pub rtt_p95: Duration,
    /// Packets of the stream, each once.
    pub packets: u64,
    /// Packets lost on the wire, most of which were retransmitted.
    pub lost: u64,
    /// Packets that arrived too late or never: gaps.
    pub dropped: u64,
    /// How long ago the peer was last heard from, including keep-alives; None: not known.
    pub unheard: Option<Duration>,
}

/// A viewer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewerFigures {
    /// Its session.
    pub session: u64,
    /// Its link.
    pub link: LinkFigures,
    /// Messages that were discarded because the viewer was too slow.
    pub skipped: u64,
}
