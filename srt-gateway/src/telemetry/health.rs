//! Finds the cause when a stream is lost or stutters: combines errors in the transport stream with SRT's figures of
//! each link, the state of the source, the inputs and the outputs, and pauses of the gateway itself.
//!
//! A pure function of sampled figures ([`verdict`]); runs on the caller's thread. Decides nothing and changes nothing.
//! Its latency advice follows the table of the SRT deployment guide: a multiple of the round-trip time that grows with
//! the loss.

mod figures;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use figures::{
    BondFigures, EndpointFigures, Failed, LinkFigures, LossFigures, SourceFigures, StallFigures,
    StreamFigures, ViewerFigures,
};

/// The severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The stream has no source, and has never had one.
    #[default]
    Idle,
    /// No faults.
    Good,
    /// Viewers may have trouble soon, or the stream violates rules.
    Warning,
    /// Viewers notice the fault.
    Bad,
}

/// The location of the fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// No fault.
    #[default]
    None,
    /// Before the publisher: encoder, multiplexer, contribution link.
    Source,
    /// Between publisher and gateway.
    PublisherLink,
    /// Between gateway and some viewers.
    ViewerLink,
    /// Common to all viewers: the gateway's own uplink, or its load.
    Uplink,
    /// A standby input.
    Input,
    /// An output.
    Output,
    /// The gateway itself.
    Gateway,
}

/// The diagnosis in a sentence, with its evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Verdict {
    /// The severity.
    pub level: Level,
    /// The location.
    pub fault: Fault,
    /// For operators: what is at fault, and what to do.
    pub sentence: String,
    /// Figures that support it.
    pub evidence: Vec<String>,
    /// The sessions of the affected viewers.
    pub viewers: Vec<u64>,
    /// All faults, the worst first. The fields above describe the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<StreamFault>,
}

/// The kind of a fault, as a fixed name for programs and alarms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultKind {
    /// The stream had a source and has lost it.
    SourceLost,
    /// None of its inputs has ever connected.
    NeverCameUp,
    /// The gateway itself stalled, and packets were lost meanwhile.
    GatewayStalled,
    /// Neither data nor keep-alives arrive from the publisher.
    PublisherLinkCut,
    /// The source is connected and sends nothing.
    SourceSilent,
    /// The publisher's link has gaps.
    PublisherLink,
    /// The data is already broken when it arrives, without gaps.
    SourceErrors,
    /// All viewers have gaps.
    Uplink,
    /// Some viewers have gaps.
    ViewerLink,
    /// An output does not work.
    OutputDown,
    /// The publisher's link loses packets, and its latency leaves little time for retransmission.
    PublisherLinkStrained,
    /// The same for viewers' links.
    ViewerLinkStrained,
    /// A standby input does not work.
    InputDown,
    /// A standby input is connected and sends no data.
    InputSilent,
    /// A bonded connection has lost links.
    RedundancyLost,
    /// The stream violates the rules that decoders rely on.
    TsErrors,
    /// The payload is not MPEG-TS.
    NotTs,
}

/// A fault of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StreamFault {
    /// The kind.
    pub kind: FaultKind,
    /// The severity.
    pub level: Level,
    /// The location.
    pub fault: Fault,
    /// The affected input, output or publisher: its address, without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<String>,
    /// For operators: what is at fault, and what to do.
    pub sentence: String,
    /// Figures that support it.
    pub evidence: Vec<String>,
    /// The sessions of the affected viewers.
    pub viewers: Vec<u64>,
}

impl StreamFault {
    fn new(kind: FaultKind, level: Level, fault: Fault, sentence: impl Into<String>) -> Self {
        Self {
            kind,
            level,
            fault,
            party: None,
            sentence: sentence.into(),
            evidence: Vec::new(),
            viewers: Vec::new(),
        }
    }

    fn with(mut self, evidence: Vec<String>) -> Self {
        self.evidence = evidence;
        self
    }
}

/// A source that has sent nothing for this long stutters.
const SILENCE: Duration = Duration::from_secs(2);

/// The usual number of TS packets in an SRT message: a lost message breaks at most so many PIDs.
const PACKETS_IN_MESSAGE: u64 = 7;

/// Links that lose less than one packet in this many are not mentioned while no viewer misses data.
const RARE: u64 = 1000;

/// The shortest round-trip time for latency advice, because queues and threads take time too.
const RTT_MIN: Duration = Duration::from_millis(20);

/// Returns the verdict.
#[must_use]
pub fn verdict(figures: &StreamFigures) -> Verdict {
    let faults = match &figures.source {
        None => of_absence(figures).into_iter().collect(),
        Some(source) => faults(figures, source),
    };
    let Some(first) = faults.first() else {
        return of_nothing(figures);
    };
    let mut verdict = Verdict {
        level: first.level,
        fault: first.fault,
        sentence: first.sentence.clone(),
        evidence: first.evidence.clone(),
        viewers: first.viewers.clone(),
        faults: Vec::new(),
    };
    let alike: Vec<_> = faults.iter().filter(|fault| fault.kind == first.kind).collect();
    if alike.len() > 1 {
        verdict.sentence = format!("{} do not work; {}", alike.len(), first.sentence);
        let others = alike[1..].iter().take(10);
        verdict.evidence = others.map(|fault| fault.sentence.clone()).collect();
    }
    verdict.faults = faults;
    verdict
}

/// All faults of a stream that has a source, ordered by their effect on viewers.
fn faults(figures: &StreamFigures, source: &SourceFigures) -> Vec<StreamFault> {
    let harm: Vec<_> = of_publisher(figures)
        .or_else(|| of_silence(figures, source))
        .or_else(|| of_source(figures, source))
        .into_iter()
        .chain(of_viewers(figures))
        .collect();
    let has_harm = !harm.is_empty();
    let mut found = match figures.stall {
        Some(stall) if has_harm => vec![of_stall(stall, &harm)],
        _ => harm,
    };
    found.extend(of_endpoints(figures, false));
    if !has_harm {
        found.extend(of_strain(figures));
    }
    let is_silent =
        |fault: &StreamFault| matches!(fault.kind, FaultKind::SourceSilent | FaultKind::PublisherLinkCut);
    let source_is_silent = found.iter().any(is_silent);
    // The faults above already cover an input that feeds the stream.
    found.extend(
        of_endpoints(figures, true)
            .filter(|fault| !(source_is_silent && fault.kind == FaultKind::InputSilent)),
    );
    found.extend(figures.bonds.iter().map(of_bond));
    found.extend(of_rules(figures, source).filter(|_| !has_harm));
    if !source.is_mpeg_ts {
        let told = "not MPEG-TS: relayed unchanged, not analyzed";
        found.push(StreamFault::new(
            FaultKind::NotTs,
            Level::Warning,
            Fault::Source,
            told,
        ));
    }
    found
}

/// The fault of a stream that should have a source and has none.
fn of_absence(figures: &StreamFigures) -> Option<StreamFault> {
    let inputs: Vec<_> = figures
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.is_input)
        .collect();
    let mut evidence: Vec<_> = inputs.iter().map(|input| input.describe()).collect();
    let (kind, party, sentence) = match (&figures.loss, inputs.first()) {
        (Some(loss), _) => {
            if loss.waiting > 0 {
                evidence.push(format!("viewers and outputs that wait: {}", loss.waiting));
            }
            let why = loss
                .reason
                .as_ref()
                .map_or_else(String::new, |why| format!(": {why}"));
            let sentence = format!("lost {} ago: {}{why}", approximate(loss.ago), loss.who);
            (FaultKind::SourceLost, &loss.who, sentence)
        }
        (None, Some(input)) => {
            let sentence = format!("never came up: {}", input.describe());
            (FaultKind::NeverCameUp, &input.name, sentence)
        }
        (None, None) => return None,
    };
    Some(StreamFault {
        party: Some(party.clone()),
        ..StreamFault::new(kind, Level::Bad, Fault::Source, sentence).with(evidence)
    })
}

/// The gateway stalled and caused other faults: a stall of a second makes every link lose packets.
fn of_stall(stall: StallFigures, harm: &[StreamFault]) -> StreamFault {
    let at = humantime::format_rfc3339_seconds(stall.until).to_string();
    let clock = at.get(11..19).unwrap_or(&at);
    let sentence = format!(
        "this gateway stood still for {:.1} s until {clock} UTC: look at the load of its machine",
        stall.length.as_secs_f64()
    );
    let mut told = StreamFault::new(FaultKind::GatewayStalled, Level::Bad, Fault::Gateway, sentence);
    for fault in harm {
        told.evidence.push(format!("without that: {}", fault.sentence));
        told.evidence.extend(fault.evidence.iter().cloned());
        told.viewers.extend(&fault.viewers);
    }
    told
}

/// Outputs that do not work, so that their receivers do not get the stream, and standby inputs that cannot take over.
fn of_endpoints(figures: &StreamFigures, inputs: bool) -> impl Iterator<Item = StreamFault> {
    let wanted = figures
        .endpoints
        .iter()
        .filter(move |endpoint| endpoint.is_input == inputs);
    wanted.map(|endpoint| {
        let (kind, level, fault) = match (endpoint.is_input, endpoint.is_silent) {
            (false, _) => (FaultKind::OutputDown, Level::Bad, Fault::Output),
            (true, false) => (FaultKind::InputDown, Level::Warning, Fault::Input),
            (true, true) => (FaultKind::InputSilent, Level::Warning, Fault::Input),
        };
        StreamFault {
            party: Some(endpoint.name.clone()),
            ..StreamFault::new(kind, level, fault, endpoint.describe())
        }
    })
}

/// A bonded connection continues with the remaining links.
fn of_bond(bond: &BondFigures) -> StreamFault {
    let (who, fault) = match bond.is_source {
        true => ("the publisher", Fault::PublisherLink),
        false => ("a viewer or output", Fault::ViewerLink),
    };
    let sentence = format!(
        "{} of the {} links of {who} at {} work: check the others",
        bond.working, bond.of, bond.peer
    );
    StreamFault {
        party: Some(bond.peer.clone()),
        ..StreamFault::new(FaultKind::RedundancyLost, Level::Warning, fault, sentence)
    }
}

/// The publisher's link has gaps.
fn of_publisher(figures: &StreamFigures) -> Option<StreamFault> {
    let link = figures.publisher.as_ref().filter(|link| link.dropped > 0)?;
    let mut evidence = vec![link.describe(figures.window)];
    if let Some(source) = &figures.source {
        if source.continuity_errors > 0 {
            evidence.push(format!(
                "{} continuity errors behind it",
                source.continuity_errors
            ));
        }
        if source.continuity_errors > link.dropped.saturating_mul(PACKETS_IN_MESSAGE) {
            evidence.push("that is more than the link has dropped: some come with the source".to_owned());
        }
    }
    let told = format!("link of the publisher: {}", link.advice());
    Some(StreamFault::new(FaultKind::PublisherLink, Level::Bad, Fault::PublisherLink, told).with(evidence))
}

// Recently sent data is delivered only after the latency.
fn of_silence(figures: &StreamFigures, source: &SourceFigures) -> Option<StreamFault> {
    let delay = figures
        .publisher
        .as_ref()
        .map_or(Duration::ZERO, |link| link.latency);
    if source.silent_for < SILENCE + delay {
        return None;
    }
    let silent = source.silent_for.as_secs();
    // A connected peer without data sends a keep-alive every second.
    let unheard = figures.publisher.as_ref().and_then(|link| link.unheard);
    let (kind, fault, sentence) = match unheard {
        Some(unheard) if unheard >= SILENCE => (
            FaultKind::PublisherLinkCut,
            Fault::PublisherLink,
            format!(
                "nothing has come from the publisher for {} s, not even keep-alives: its link is cut, or its machine is gone",
                unheard.as_secs()
            ),
        ),
        Some(_) => (
            FaultKind::SourceSilent,
            Fault::Source,
            format!(
                "the source is connected, its keep-alives arrive, but it has sent nothing for {silent} s: look at the encoder"
            ),
        ),
        None => (
            FaultKind::SourceSilent,
            Fault::Source,
            format!("the source is connected but has sent nothing for {silent} s: look at the encoder"),
        ),
    };
    Some(StreamFault::new(kind, Level::Bad, fault, sentence))
}

/// The link delivered everything, so the stream was damaged before.
fn of_source(figures: &StreamFigures, source: &SourceFigures) -> Option<StreamFault> {
    let broken = source.continuity_errors + source.transport_errors;
    if !source.is_mpeg_ts || broken == 0 {
        return None;
    }
    let mut evidence = Vec::new();
    if source.continuity_errors > 0 {
        evidence.push(format!(
            "{} continuity errors in {}",
            source.continuity_errors,
            seconds(figures.window)
        ));
    }
    if source.transport_errors > 0 {
        evidence.push(format!(
            "{} packets were marked as faulty before they came here",
            source.transport_errors
        ));
    }
    evidence.push(match &figures.publisher {
        Some(link) => format!("its SRT link dropped nothing ({})", link.describe(figures.window)),
        None => "it does not arrive over SRT: the gateway cannot tell where its packets were lost".to_owned(),
    });
    evidence.extend(failed(source, |_| true));
    let told = "errors arrive with the source: check the encoder or the link that feeds it";
    Some(StreamFault::new(FaultKind::SourceErrors, Level::Bad, Fault::Source, told).with(evidence))
}

/// Some viewers miss data.
fn of_viewers(figures: &StreamFigures) -> Option<StreamFault> {
    let is_short = |viewer: &&ViewerFigures| viewer.link.dropped > 0 || viewer.skipped > 0;
    let short: Vec<_> = figures.viewers.iter().filter(is_short).collect();
    blame_viewers(figures, &short, Level::Bad)
}

/// Links that lose packets and have too little latency to recover them.
fn of_strain(figures: &StreamFigures) -> Option<StreamFault> {
    if let Some(link) = figures.publisher.as_ref().filter(|link| link.is_strained()) {
        let kind = FaultKind::PublisherLinkStrained;
        let told = format!("link of the publisher: {}", link.advice());
        let fault = StreamFault::new(kind, Level::Warning, Fault::PublisherLink, told);
        return Some(fault.with(vec![
            link.describe(figures.window),
            "nothing was dropped yet".to_owned(),
        ]));
    }
    let strained: Vec<_> = figures
        .viewers
        .iter()
        .filter(|viewer| viewer.link.is_strained())
        .collect();
    blame_viewers(figures, &strained, Level::Warning)
}

fn blame_viewers(figures: &StreamFigures, blamed: &[&ViewerFigures], level: Level) -> Option<StreamFault> {
    let first = blamed.first()?;
    let all = figures.viewers.len();
    let names: Vec<_> = blamed.iter().map(|viewer| viewer.session.to_string()).collect();
    let is_common = blamed.len() == all && all > 1;
    let sentence = match blamed {
        _ if is_common => {
            format!("all {all} viewers: check what they share: the uplink and the load of the gateway")
        }
        [viewer] => format!(
            "only viewer {}: its link; {}",
            viewer.session,
            viewer.link.advice()
        ),
        _ => format!(
            "viewers {} of {all}: their links; {}",
            names.join(", "),
            first.link.advice()
        ),
    };
    let mut evidence: Vec<_> = blamed
        .iter()
        .take(10)
        .map(|viewer| viewer.describe(figures.window))
        .collect();
    if figures.publisher.is_some() {
        evidence.push("the publisher's link dropped nothing".to_owned());
    }
    if blamed.len() < all {
        evidence.push(format!(
            "the other {} viewers receive everything",
            all - blamed.len()
        ));
    }
    let (kind, fault) = match (level, is_common) {
        (Level::Bad, true) => (FaultKind::Uplink, Fault::Uplink),
        (Level::Bad, false) => (FaultKind::ViewerLink, Fault::ViewerLink),
        (_, true) => (FaultKind::ViewerLinkStrained, Fault::Uplink),
        (_, false) => (FaultKind::ViewerLinkStrained, Fault::ViewerLink),
    };
    Some(StreamFault {
        viewers: blamed.iter().map(|viewer| viewer.session).collect(),
        ..StreamFault::new(kind, level, fault, sentence).with(evidence)
    })
}

/// The stream violates rules that decoders rely on.
fn of_rules(figures: &StreamFigures, source: &SourceFigures) -> Option<StreamFault> {
    let is_serious = |check: &Failed| check.priority == 1 || check.name == "CRC_error";
    let serious = failed(source, is_serious);
    let first = serious.first()?;
    let told = format!("the source violates TR 101 290: {first}");
    let fault = StreamFault::new(FaultKind::TsErrors, Level::Warning, Fault::Source, told);
    let evidence = [
        vec![format!("in {}", seconds(figures.window))],
        failed(source, |_| true),
    ];
    Some(fault.with(evidence.concat()))
}

fn of_nothing(figures: &StreamFigures) -> Verdict {
    let Some(source) = &figures.source else {
        return Verdict {
            sentence: "nobody feeds the stream".to_owned(),
            ..Verdict::default()
        };
    };
    let mut evidence = Vec::new();
    if let Some(link) = &figures.publisher {
        evidence.push(format!("publisher: {}", link.describe(figures.window)));
    }
    evidence.extend(failed(source, |_| true));
    Verdict {
        level: Level::Good,
        sentence: format!("no errors in {}", seconds(figures.window)),
        evidence,
        ..Verdict::default()
    }
}

/// The failed checks for display, most frequent first.
fn failed(source: &SourceFigures, is_wanted: impl Fn(&Failed) -> bool) -> Vec<String> {
    let mut checks: Vec<_> = source
        .others
        .iter()
        .filter(|check| source.is_mpeg_ts && check.count > 0 && is_wanted(check))
        .collect();
    checks.sort_by_key(|check| std::cmp::Reverse(check.count));
    checks
        .iter()
        .map(|check| format!("{} {} times", check.name, check.count))
        .collect()
}

impl LinkFigures {
    /// The latency that leaves enough time for retransmission: the round-trip time times a factor that grows with the
    /// loss (SRT deployment guide: 3 up to 1 %, 4 up to 3 %, 5 up to 7 %, 6 up to 10 %), in steps of 10 ms.
    #[must_use]
    pub fn advised_latency(&self) -> Duration {
        let factor = match self
            .lost
            .saturating_mul(1000)
            .checked_div(self.sent())
            .unwrap_or(0)
        {
            0..=10 => 3,
            11..=30 => 4,
            31..=70 => 5,
            71..=100 => 6,
            // Beyond the guide's table: more attempts per packet.
            _ => 8,
        };
        let millis = (self.rtt_p95.max(RTT_MIN) * factor).as_millis().div_ceil(10) * 10;
        Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    fn sent(&self) -> u64 {
        (self.packets + self.dropped).max(1)
    }

    /// Whether it loses more than a few packets with a latency below the advice.
    fn is_strained(&self) -> bool {
        self.lost.saturating_mul(RARE) > self.sent() && self.latency < self.advised_latency()
    }

    /// The advice for the operator.
    fn advice(&self) -> String {
        let advised = self.advised_latency();
        if advised > self.latency {
            return format!(
                "raise latency from {} to {} (RTT p95 {}, loss {})",
                millis(self.latency),
                millis(advised),
                millis(self.rtt_p95),
                self.loss()
            );
        }
        format!(
            "latency of {} is enough for its RTT (p95 {}): it is interrupted, or too full (loss {}); lower the bitrate or fix the link",
            millis(self.latency),
            millis(self.rtt_p95),
            self.loss()
        )
    }

    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    fn loss(&self) -> String {
        format!("{:.1} %", self.lost as f64 * 100.0 / self.sent() as f64)
    }

    fn describe(&self, window: Duration) -> String {
        format!(
            "{} packets in {}: {} lost ({}), {} dropped as too late; RTT p95 {}, latency {}",
            self.packets,
            seconds(window),
            self.lost,
            self.loss(),
            self.dropped,
            millis(self.rtt_p95),
            millis(self.latency)
        )
    }
}

impl ViewerFigures {
    fn describe(&self, window: Duration) -> String {
        let mut text = format!("viewer {}: {}", self.session, self.link.describe(window));
        if self.skipped > 0 {
            text.push_str(&format!(
                ", {} messages skipped since it was too slow",
                self.skipped
            ));
        }
        text
    }
}

impl EndpointFigures {
    fn describe(&self) -> String {
        let kind = if self.is_input { "input" } else { "output" };
        let why = self.reason.as_deref().unwrap_or("it does not work");
        match self.failures {
            0 | 1 => format!("{kind} {}: {why}", self.url),
            many => format!("{kind} {}: {why} ({many} failures)", self.url),
        }
    }
}

/// An approximate time for display: `12 s`, `3 min`, `5 h`, `2 days`.
fn approximate(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}

#[cfg(test)]
mod tests;
