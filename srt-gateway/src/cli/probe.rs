//! `probe`: calls an SRT listener and reports handshake, link and stream contents.
//!
//! Receives on the main thread; the peer only sees another viewer for some seconds.

use std::{
    fmt,
    process::ExitCode,
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use serde::Serialize;
use srt_safe::{ErrorKind, RejectReason, SrtSocket, Stats};

use super::{USAGE, say, say_error, say_json_text};
use crate::{
    config::{Endpoint, LogLevel, SrtMode, SrtTarget, Target},
    peer::{self, ConnectError, Negotiated},
    ts::{Check, Format, Observer, TsReport, VideoCodec},
};

/// How often the wait for a message checks the clock.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The largest SRT message in live mode.
const MESSAGE_MAX: usize = 1456;

/// What `probe` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Probe {
    /// URL: srt://host:port?streamid=...&passphrase=...&latency=... Quote it for the shell.
    url: String,
    /// Time to observe the stream.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// The results.
#[derive(Debug, Serialize)]
struct Report {
    /// The URL, without secrets.
    url: String,
    connected: bool,
    /// The duration of the handshake, or of the failed attempt.
    handshake_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<Connection>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<Stream>,
}

/// Why there is no connection.
#[derive(Debug, Serialize)]
struct Failure {
    /// libsrt's reason below 1000, otherwise the listener's own code.
    code: Option<i32>,
    message: String,
    /// Advice.
    advice: &'static str,
}

#[derive(Debug, Serialize)]
struct Connection {
    peer_version: String,
    receive_latency_ms: u64,
    send_latency_ms: u64,
    encryption: &'static str,
    rtt_ms: f64,
    packets_lost: u64,
    packets_retransmitted: u64,
    packets_dropped: u64,
}

#[derive(Debug, Serialize)]
struct Stream {
    seconds: f64,
    messages: u64,
    bytes: u64,
    bits_per_second: u64,
    /// `mpegts`, `other` or `unknown`.
    format: &'static str,
    continuity_errors: u64,
    transport_errors: u64,
    null_packets: u64,
    programs: Vec<Program>,
    /// The analysis of the transport stream.
    ts: TsReport,
    /// The connection ended early.
    ended_early: bool,
}

#[derive(Debug, Serialize)]
struct Program {
    number: u16,
    pmt_pid: u16,
    video_pid: Option<u16>,
    video: Option<&'static str>,
}

pub(super) fn probe(args: &Probe) -> ExitCode {
    // Otherwise libsrt would print its own lines between those of the report.
    if let Err(error) = super::serve::start_plain_log(LogLevel::Error, None) {
        return usage(&format!("{error:#}"));
    }
    let endpoint = match Endpoint::input(&args.url) {
        Ok(endpoint) => endpoint,
        Err(why) => return usage(&why),
    };
    let Target::Srt(target) = &endpoint.target else {
        return usage("probe supports only srt:// URLs");
    };
    if target.mode != SrtMode::Caller {
        return usage("probe always calls: omit mode, and give the host: srt://host:port");
    }
    let report = probe_peer(&endpoint, target, Duration::from_secs(args.seconds));
    match (args.json, serde_json::to_string(&report)) {
        (true, Ok(text)) => say_json_text(&text),
        (true, Err(error)) => say_error(format_args!("srt-gateway: {error}")),
        (false, _) => say(format_args!("{report}")),
    }
    if report.connected {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn usage(why: &str) -> ExitCode {
    say_error(format_args!("srt-gateway: {why}"));
    ExitCode::from(USAGE)
}

fn probe_peer(endpoint: &Endpoint, target: &SrtTarget, time: Duration) -> Report {
    let begun = Instant::now();
    let connected = peer::connect(target, &AtomicBool::new(false));
    let mut report = Report {
        url: endpoint.to_string(),
        connected: false,
        handshake_ms: millis(begun.elapsed()),
        failure: None,
        connection: None,
        stream: None,
    };
    let looked = connected.and_then(|socket| {
        report.connected = true;
        let negotiated = Negotiated::of(&socket)?;
        let (stream, stats) = receive(&socket, time)?;
        report.connection = Some(Connection::of(&negotiated, &stats));
        report.stream = Some(stream);
        Ok(())
    });
    report.failure = looked.err().map(|error| Failure::of(&error));
    report
}

/// Receives for `time`, or until the peer closes; returns the last statistics available.
fn receive(socket: &SrtSocket, time: Duration) -> srt_safe::Result<(Stream, Stats)> {
    let begun = Instant::now();
    let mut observer = Observer::new();
    let mut message = [0; MESSAGE_MAX];
    let (mut messages, mut bytes) = (0_u64, 0_u64);
    let (mut first, mut last) = (None, begun);
    let mut ended_early = false;
    let mut stats = socket.stats()?;
    socket.set_recv_timeout(Some(POLL_INTERVAL))?;
    while begun.elapsed() < time {
        match socket.recv(&mut message) {
            Ok(length) => {
                last = Instant::now();
                observer.observe_at(&message[..length], last);
                first.get_or_insert(last);
                messages += 1;
                bytes += length as u64;
            }
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {}
            Err(_) => {
                ended_early = true;
                break;
            }
        }
        if let Ok(newer) = socket.instantaneous_stats() {
            stats = newer;
        }
    }
    let span = last.duration_since(first.unwrap_or(last));
    let counters = observer.counters();
    let stream = Stream {
        seconds: begun.elapsed().as_secs_f64(),
        messages,
        bytes,
        bits_per_second: rate(bytes, span),
        format: match observer.format() {
            Format::Ts => "mpegts",
            Format::NotTs => "other",
            Format::Unknown => "unknown",
        },
        continuity_errors: counters.checks.of(Check::ContinuityCountError),
        transport_errors: counters.checks.of(Check::TransportError),
        null_packets: counters.null_packets,
        programs: programs(&observer),
        ts: observer.report(),
        ended_early,
    };
    Ok((stream, stats))
}

fn programs(observer: &Observer) -> Vec<Program> {
    let programs = observer.programs().map(|program| Program {
        number: program.number,
        pmt_pid: program.pmt_pid.as_u16(),
        video_pid: program.video.map(|video| video.pid.as_u16()),
        video: program.video.map(|video| codec(video.codec)),
    });
    programs.collect()
}

fn codec(codec: VideoCodec) -> &'static str {
    match codec {
        VideoCodec::Mpeg2 => "MPEG-2",
        VideoCodec::Mpeg4Visual => "MPEG-4 part 2",
        VideoCodec::H264 => "H.264",
        VideoCodec::Hevc => "H.265",
        VideoCodec::Vvc => "H.266",
        VideoCodec::Av1 => "AV1",
        VideoCodec::Other => "other",
    }
}

fn rate(bytes: u64, span: Duration) -> u64 {
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    // A single message has no rate.
    bytes.saturating_mul(8_000_000).checked_div(micros).unwrap_or(0)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Connection {
    fn of(negotiated: &Negotiated, stats: &Stats) -> Self {
        Self {
            peer_version: negotiated.peer_version.to_string(),
            receive_latency_ms: millis(negotiated.receive_latency),
            send_latency_ms: millis(negotiated.send_latency),
            encryption: negotiated.encryption,
            rtt_ms: stats.link.rtt.as_secs_f64() * 1e3,
            packets_lost: stats.total.receive_lost.packets,
            packets_retransmitted: stats.total.received_retransmitted,
            packets_dropped: stats.total.receive_dropped.packets,
        }
    }
}

impl Failure {
    fn of(error: &ConnectError) -> Self {
        let reason = match error {
            ConnectError::Srt(error) => error.reject_reason(),
            _ => None,
        };
        let timed_out = matches!(error, ConnectError::Srt(error) if error.kind() == ErrorKind::TimedOut);
        Self {
            code: reason.map(RejectReason::value),
            message: error.to_string(),
            advice: advice(reason, timed_out),
        }
    }
}

fn advice(reason: Option<RejectReason>, timed_out: bool) -> &'static str {
    match reason {
        Some(RejectReason::BAD_SECRET) => "check the passphrase",
        Some(RejectReason::UNSECURE) => "only one side has a passphrase: add passphrase=..., or remove it",
        Some(RejectReason::VERSION) => "the listener requires a newer version of SRT",
        Some(RejectReason::CRYPTO) => "set cryptomode to that of the listener",
        Some(RejectReason::FILTER) => "set packetfilter to that of the listener",
        Some(RejectReason::BACKLOG) => "the listener is overloaded: try again",
        Some(reason) => match reason.code().map(srt_safe::RejectCode::value) {
            Some(1400) => "the streamid is malformed, or lacks the stream (r=) or the mode (m=)",
            Some(1401) => "the listener requires another user or password",
            Some(1403) => "the listener does not allow this stream or address",
            Some(1404) => "there is no such stream, or nobody publishes it",
            Some(1405) => "the port does not serve this mode: change m= or the port",
            Some(1409) => "the stream already has a publisher",
            _ => "ask the operator of the listener: its log contains the reason",
        },
        None if timed_out => {
            "no answer: check the host, the port, and that firewalls pass UDP; a listener may also ignore unknown callers"
        }
        None => "check the URL and the network",
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            url, handshake_ms, ..
        } = self;
        if self.connected {
            write!(f, "{url}: connected in {handshake_ms} ms")?;
        } else {
            write!(f, "{url}: not connected after {handshake_ms} ms")?;
        }
        if let Some(Failure { message, advice, .. }) = &self.failure {
            write!(f, "\n  {message}\n  {advice}")?;
        }
        if let Some(connection) = &self.connection {
            write!(f, "\n{connection}")?;
        }
        match &self.stream {
            Some(stream) => write!(f, "\n{stream}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  peer        SRT {}", self.peer_version)?;
        writeln!(
            f,
            "  latency     {} ms receiving, {} ms sending",
            self.receive_latency_ms, self.send_latency_ms
        )?;
        writeln!(f, "  encryption  {}", self.encryption)?;
        writeln!(f, "  rtt         {:.1} ms", self.rtt_ms)?;
        write!(
            f,
            "  packets     {} lost, {} retransmitted, {} dropped",
            self.packets_lost, self.packets_retransmitted, self.packets_dropped
        )
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.messages == 0 {
            write!(
                f,
                "  stream      no data in {:.1} s: the stream has no source, or the streamid publishes",
                self.seconds
            )?;
        } else {
            writeln!(
                f,
                "  stream      {:.3} Mb/s, {} bytes in {} messages in {:.1} s",
                precise(self.bits_per_second) / 1e6,
                self.bytes,
                self.messages,
                self.seconds
            )?;
            write!(
                f,
                "  format      {}, {} continuity errors, {} transport errors, {} null packets",
                self.format, self.continuity_errors, self.transport_errors, self.null_packets
            )?;
        }
        for program in &self.ts.programs {
            write!(f, "\n  {program}")?;
        }
        if let Some(gop) = &self.ts.gop {
            write!(
                f,
                "\n  keyframes   every {:.2} s, {} pictures",
                gop.seconds, gop.pictures
            )?;
        }
        let failures = self.ts.failures();
        if !failures.is_empty() {
            write!(f, "\n  failed      {}", failures.join(", "))?;
        }
        if self.ended_early {
            write!(f, "\n  the peer closed the connection")?;
        }
        Ok(())
    }
}

/// For printing: below 2^53 nothing is lost, and no link is faster.
#[expect(clippy::cast_precision_loss, reason = "a rate is printed with three digits")]
fn precise(rate: u64) -> f64 {
    rate as f64
}
