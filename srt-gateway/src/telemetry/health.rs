//! Finds the cause when a stream is lost or stutters: combines errors in the transport stream with SRT's figures of
//! each link, the state of the source, the inputs and the outputs, and pauses of the gateway itself.
//!
//! A pure function of sampled figures ([`verdict`]); runs on the caller's thread. Decides nothing and changes nothing.
//! Its latency advice follows the table of the SRT deployment guide: a multiple of the round-trip time that grows with
//! the loss.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

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

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nobody feeds the stream, and nobody has yet.
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
    /// An input that is to stand by.
    Input,
    /// An output.
    Output,
    /// The gateway itself.
    Gateway,
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

/// A source that has sent nothing for this long stutters.
const SILENCE: Duration = Duration::from_secs(2);

/// The usual number of TS packets in an SRT message: a lost message breaks at most so many PIDs.
const PACKETS_IN_MESSAGE: u64 = 7;

/// Links that lose less than one packet in this many are not mentioned while no viewer misses anything.
const RARE: u64 = 1000;

/// The shortest round-trip time for latency advice, because queues and threads take time too.
const RTT_MIN: Duration = Duration::from_millis(20);

/// Returns the verdict.
#[must_use]
pub fn verdict(figures: &StreamFigures) -> Verdict {
    let Some(source) = &figures.source else {
        return of_absence(figures);
    };
    of_stall(figures, source)
        .or_else(|| of_harm(figures, source))
        .or_else(|| of_outputs(figures))
        .or_else(|| of_strain(figures))
        .or_else(|| of_inputs(figures))
        .or_else(|| of_rules(figures, source))
        .unwrap_or_else(|| of_nothing(figures, source))
}

/// The stream has no source.
fn of_absence(figures: &StreamFigures) -> Verdict {
    let inputs: Vec<_> = figures
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.is_input)
        .collect();
    let mut evidence: Vec<_> = inputs.iter().map(|input| input.describe()).collect();
    let sentence = match (&figures.loss, inputs.first()) {
        (Some(loss), _) => {
            if loss.waiting > 0 {
                evidence.push(format!("viewers and outputs that wait: {}", loss.waiting));
            }
            let why = loss
                .reason
                .as_ref()
                .map_or_else(String::new, |why| format!(": {why}"));
            format!("lost {} ago: {}{why}", approximate(loss.ago), loss.who)
        }
        (None, Some(input)) => format!("never came up: {}", input.describe()),
        (None, None) => {
            return Verdict {
                sentence: "nobody feeds the stream".to_owned(),
                ..Verdict::default()
            };
        }
    };
    Verdict {
        level: Level::Bad,
        fault: Fault::Source,
        sentence,
        evidence,
        viewers: Vec::new(),
    }
}

/// Damage that viewers see or hear now.
fn of_harm(figures: &StreamFigures, source: &SourceFigures) -> Option<Verdict> {
    of_publisher(figures)
        .or_else(|| of_silence(figures, source))
        .or_else(|| of_source(figures, source))
        .or_else(|| of_viewers(figures))
}

/// The gateway paused and something went wrong at that time: a pause of a second makes every link lose packets.
fn of_stall(figures: &StreamFigures, source: &SourceFigures) -> Option<Verdict> {
    let stall = figures.stall?;
    let harm = of_harm(figures, source)?;
    let at = humantime::format_rfc3339_seconds(stall.until).to_string();
    let clock = at.get(11..19).unwrap_or(&at);
    let mut evidence = vec![format!("without that: {}", harm.sentence)];
    evidence.extend(harm.evidence);
    Some(Verdict {
        level: harm.level,
        fault: Fault::Gateway,
        sentence: format!(
            "this gateway stood still for {:.1} s until {clock} UTC: look at the load of its machine",
            stall.length.as_secs_f64()
        ),
        evidence,
        viewers: harm.viewers,
    })
}

/// Failing outputs: their receivers miss the stream.
fn of_outputs(figures: &StreamFigures) -> Option<Verdict> {
    let is_output = |endpoint: &&EndpointFigures| !endpoint.is_input;
    let outputs: Vec<_> = figures.endpoints.iter().filter(is_output).collect();
    blame_endpoints(&outputs, Level::Bad, Fault::Output)
}

/// Failing standby inputs.
fn of_inputs(figures: &StreamFigures) -> Option<Verdict> {
    let inputs: Vec<_> = figures
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.is_input)
        .collect();
    blame_endpoints(&inputs, Level::Warning, Fault::Input)
}

fn blame_endpoints(blamed: &[&EndpointFigures], level: Level, fault: Fault) -> Option<Verdict> {
    let first = blamed.first()?;
    let sentence = match blamed.len() {
        1 => first.describe(),
        many => format!("{many} do not work; {}", first.describe()),
    };
    Some(Verdict {
        level,
        fault,
        sentence,
        evidence: blamed[1..]
            .iter()
            .take(10)
            .map(|endpoint| endpoint.describe())
            .collect(),
        viewers: Vec::new(),
    })
}

/// The publisher's link has gaps.
fn of_publisher(figures: &StreamFigures) -> Option<Verdict> {
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
    Some(Verdict {
        level: Level::Bad,
        fault: Fault::PublisherLink,
        sentence: format!("link of the publisher: {}", link.advice()),
        evidence,
        viewers: Vec::new(),
    })
}

fn of_silence(figures: &StreamFigures, source: &SourceFigures) -> Option<Verdict> {
    // What has just been sent is delivered once the latency has passed.
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
    let (fault, sentence) = match unheard {
        Some(unheard) if unheard >= SILENCE => (
            Fault::PublisherLink,
            format!(
                "nothing has come from the publisher for {} s, not even keep-alives: its link is cut, or its machine is gone",
                unheard.as_secs()
            ),
        ),
        Some(_) => (
            Fault::Source,
            format!(
                "the source is connected, its keep-alives arrive, but it has sent nothing for {silent} s: look at the encoder"
            ),
        ),
        None => (
            Fault::Source,
            format!("the source is connected but has sent nothing for {silent} s: look at the encoder"),
        ),
    };
    Some(Verdict {
        level: Level::Bad,
        fault,
        sentence,
        ..Verdict::default()
    })
}

/// The link delivered everything, so the stream was damaged before.
fn of_source(figures: &StreamFigures, source: &SourceFigures) -> Option<Verdict> {
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
    Some(Verdict {
        level: Level::Bad,
        fault: Fault::Source,
        sentence: "errors arrive with the source: check the encoder or the link that feeds it".to_owned(),
        evidence,
        viewers: Vec::new(),
    })
}

/// Some viewers miss data.
fn of_viewers(figures: &StreamFigures) -> Option<Verdict> {
    let is_short = |viewer: &&ViewerFigures| viewer.link.dropped > 0 || viewer.skipped > 0;
    let short: Vec<_> = figures.viewers.iter().filter(is_short).collect();
    blame_viewers(figures, &short, Level::Bad)
}

/// Links that lose packets and have too little latency to recover them.
fn of_strain(figures: &StreamFigures) -> Option<Verdict> {
    if let Some(link) = figures.publisher.as_ref().filter(|link| link.is_strained()) {
        return Some(Verdict {
            level: Level::Warning,
            fault: Fault::PublisherLink,
            sentence: format!("link of the publisher: {}", link.advice()),
            evidence: vec![
                link.describe(figures.window),
                "nothing was dropped yet".to_owned(),
            ],
            viewers: Vec::new(),
        });
    }
    let strained: Vec<_> = figures
        .viewers
        .iter()
        .filter(|viewer| viewer.link.is_strained())
        .collect();
    blame_viewers(figures, &strained, Level::Warning)
}

fn blame_viewers(figures: &StreamFigures, blamed: &[&ViewerFigures], level: Level) -> Option<Verdict> {
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
    Some(Verdict {
        level,
        fault: if is_common {
            Fault::Uplink
        } else {
            Fault::ViewerLink
        },
        sentence,
        evidence,
        viewers: blamed.iter().map(|viewer| viewer.session).collect(),
    })
}

/// The stream violates rules that decoders rely on.
fn of_rules(figures: &StreamFigures, source: &SourceFigures) -> Option<Verdict> {
    let is_serious = |check: &Failed| check.priority == 1 || check.name == "CRC_error";
    let serious = failed(source, is_serious);
    let first = serious.first()?;
    Some(Verdict {
        level: Level::Warning,
        fault: Fault::Source,
        sentence: format!("the source violates TR 101 290: {first}"),
        evidence: [
            vec![format!("in {}", seconds(figures.window))],
            failed(source, |_| true),
        ]
        .concat(),
        viewers: Vec::new(),
    })
}

fn of_nothing(figures: &StreamFigures, source: &SourceFigures) -> Verdict {
    let mut evidence = Vec::new();
    if let Some(link) = &figures.publisher {
        evidence.push(format!("publisher: {}", link.describe(figures.window)));
    }
    evidence.extend(failed(source, |_| true));
    Verdict {
        level: Level::Good,
        sentence: match source.is_mpeg_ts {
            true => format!("no errors in {}", seconds(figures.window)),
            false => "not MPEG-TS: relayed unchanged, not analyzed".to_owned(),
        },
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
