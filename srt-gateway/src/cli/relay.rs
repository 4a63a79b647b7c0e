//! `relay`: one input to any number of outputs, as srt-live-transmit does. Statistics and signals are here.

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::{USAGE, say_error, signals};
use crate::{
    config::LogLevel,
    relay::{
        CSV_HEADING, Counted, Every, MESSAGE_MAX, POLL_INTERVAL, Pace, Plan, QUEUE, Reconnect, Record, Relay,
        RelayEndpoint, SrtReports, StatsFormat, Timing,
    },
};

/// How long the end may take from the signal on: outputs have 5 s to deliver what they have.
const END: Duration = Duration::from_secs(8);

/// Arguments of `relay`. Options in the form of srt-live-transmit, such as `-chunk:1316`, are accepted too.
#[derive(Debug, clap::Args)]
pub(super) struct RelayArgs {
    /// Input: srt://host:port?mode=caller|listener|rendezvous&latency=...&passphrase=...&streamid=..., udp://:port,
    /// udp://group:port?interface=...&source=..., rtp://..., file:///path, file://con or - (standard input).
    input: String,
    /// Outputs, as for the input; file://con or - is standard output.
    #[arg(required = true)]
    outputs: Vec<String>,
    /// Reconnect lost connections. The relay ends with its input or when interrupted.
    #[arg(short, long, value_name = "yes|no", default_value = "yes", value_parser = reconnect)]
    auto_reconnect: Reconnect,
    /// Seconds after which the relay ends in any case; 0: never.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 0)]
    timeout: u64,
    /// 0: --timeout applies from the start; 1: it applies only until input and outputs are connected.
    #[arg(long, value_name = "0|1", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=1))]
    timeout_mode: u8,
    /// Bytes read from a file or pipe per message.
    #[arg(short, long, value_name = "BYTES", default_value_t = 1316, value_parser = clap::value_parser!(u16).range(1..=MESSAGE_MAX as i64))]
    chunk: u16,
    /// Messages that may wait for an output that is slow or not connected, at least 1024. With a live input, further messages are dropped.
    #[arg(long, value_name = "MESSAGES", default_value_t = QUEUE as u32, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    buffering: u32,
    /// Play a file at the pace of its PCR instead of as fast as possible. Always on if an output is UDP or RTP.
    #[arg(long)]
    realtime: bool,
    /// Keep the source time of messages from an SRT input on SRT outputs.
    #[arg(long, value_name = "yes|no", default_value = "yes", value_parser = timing)]
    sourcetime: Timing,
    /// Interval between statistics of SRT connections, in packets (1000) or as a time (5s); 0: never. Counters are totals, except in the formats srt-...
    #[arg(short, long, value_name = "PACKETS|TIME")]
    stats: Option<Every>,
    /// Format of the statistics. The formats srt-... (`-pf:json`, `-pf:csv`, `-pf:default`) have the fields of srt-live-transmit.
    #[arg(long, value_enum, default_value_t)]
    stats_format: StatsFormat,
    /// File for the statistics. Default: standard error; for the formats srt-... standard output, unless an output is that.
    #[arg(long, value_name = "FILE")]
    stats_out: Option<PathBuf>,
    /// Interval in packets at which the bit rate of the input is reported on standard error; 0: never.
    #[arg(short, long, value_name = "PACKETS", default_value_t = 0)]
    report: u64,
    /// With the formats srt-...: totals, instead of what was counted since the last report. The other formats have totals.
    #[arg(short, long)]
    fullstats: bool,
    /// Log level: error, warn, info, debug or trace. Overrides --quiet and --verbose.
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    log_level: Option<LogLevel>,
    /// File for the log. Default: standard error.
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// Accepted for scripts written for srt-live-transmit, without effect: the log covers all areas of libsrt.
    #[arg(long, hide = true, value_name = "AREAS", value_delimiter = ',', value_parser = log_area)]
    log_areas: Vec<String>,
    /// Log errors only. Overrides --verbose.
    #[arg(short, long)]
    quiet: bool,
    /// Log debug messages too.
    #[arg(short, long)]
    verbose: bool,
}

fn yes_or_no(text: &str) -> Result<bool, &'static str> {
    match text {
        "yes" | "on" | "true" | "1" => Ok(true),
        "no" | "off" | "false" | "0" => Ok(false),
        _ => Err("yes or no"),
    }
}

fn reconnect(text: &str) -> Result<Reconnect, &'static str> {
    yes_or_no(text).map(|yes| if yes { Reconnect::Always } else { Reconnect::Never })
}

fn timing(text: &str) -> Result<Timing, &'static str> {
    yes_or_no(text).map(|yes| if yes { Timing::OfSource } else { Timing::OfSending })
}

/// The levels of srt-live-transmit, the syslog levels that it also accepts, and ours.
fn level(text: &str) -> Result<LogLevel, &'static str> {
    match text {
        "fatal" | "panic" | "emerg" | "alert" | "crit" | "error" | "err" => Ok(LogLevel::Error),
        "warn" | "warning" => Ok(LogLevel::Warn),
        "note" | "notice" | "info" => Ok(LogLevel::Info),
        "debug" => Ok(LogLevel::Debug),
        "trace" => Ok(LogLevel::Trace),
        _ => Err("error, warn, info, debug or trace"),
    }
}

/// A functional area of libsrt's log.
fn log_area(text: &str) -> Result<String, String> {
    const AREAS: [&str; 30] = [
        "all",
        "general",
        "sockmgmt",
        "conn",
        "xtimer",
        "tsbpd",
        "rsrc",
        "haicrypt",
        "congest",
        "pfilter",
        "applog",
        "api-ctrl",
        "que-ctrl",
        "epoll-upd",
        "api-recv",
        "buf-recv",
        "que-recv",
        "chn-recv",
        "grp-recv",
        "api-send",
        "buf-send",
        "que-send",
        "chn-send",
        "grp-send",
        "internal",
        "que-mgmt",
        "chn-mgmt",
        "grp-mgmt",
        "epoll-api",
        "hvu",
    ];
    if AREAS.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(format!("libsrt has these areas: {}", AREAS.join(", ")))
    }
}

impl RelayArgs {
    fn plan(&self) -> Result<Plan, String> {
        let outputs: Vec<RelayEndpoint> = (self.outputs.iter())
            .map(|output| RelayEndpoint::output(output))
            .collect::<Result<_, _>>()?;
        // Files sent as datagrams have no flow control: without pacing, all but the beginning would be lost.
        let to_datagrams = outputs
            .iter()
            .any(|output| matches!(output, RelayEndpoint::Datagrams(..)));
        let is_console = matches!(self.input.as_str(), "-" | "file://con");
        let pace = match self.realtime || to_datagrams && !is_console {
            true => Pace::Realtime,
            false => Pace::Any,
        };
        let input = RelayEndpoint::input(&self.input, pace)?;
        // An invalid option stays invalid, however often the peer is called.
        for place in outputs.iter().chain([&input]) {
            place.check()?;
        }
        Ok(Plan {
            input,
            outputs,
            chunk: usize::from(self.chunk),
            // srt-live-transmit's -buffering is the number of packets that it reads at once: usually few, which is no
            // reason to drop packets here.
            queue: usize::try_from(self.buffering).unwrap_or(QUEUE).max(QUEUE),
            reconnect: self.auto_reconnect,
            timing: self.sourcetime,
        })
    }

    fn has_console_output(&self) -> bool {
        self.outputs
            .iter()
            .any(|output| matches!(output.as_str(), "-" | "file://con"))
    }

    fn log_level(&self) -> LogLevel {
        match self.log_level {
            Some(level) => level,
            None if self.quiet => LogLevel::Error,
            None if self.verbose => LogLevel::Debug,
            None => LogLevel::Info,
        }
    }

    /// Whether --timeout has expired.
    fn is_timed_out(&self, since: Instant, relay: &Relay) -> bool {
        let limit = Duration::from_secs(self.timeout);
        let is_cancelled = self.timeout_mode == 1 && relay.ends().iter().all(|end| end.was_open());
        !limit.is_zero() && since.elapsed() >= limit && !is_cancelled
    }
}

pub(super) fn relay(args: &RelayArgs) -> anyhow::Result<ExitCode> {
    let plan = match args.plan() {
        Ok(plan) => plan,
        Err(why) => {
            say_error(format_args!("srt-gateway: {why}"));
            return Ok(ExitCode::from(USAGE));
        }
    };
    super::serve::start_plain_log(args.log_level(), args.log_file.as_deref())?;
    let outputs: Vec<_> = plan.outputs.iter().map(ToString::to_string).collect();
    tracing::info!(from = %plan.input, to = outputs.join(" "), "relaying");
    let interrupted = std::sync::Arc::<AtomicBool>::default();
    let flag = std::sync::Arc::clone(&interrupted);
    signals::watch(&[SIGINT, SIGTERM], END, move |_| {
        flag.store(true, std::sync::atomic::Ordering::Relaxed);
    })?;
    let mut stats = Statistics::new(args)?;
    let begun = Instant::now();
    let relay = Relay::start(plan)?;
    while !relay.is_over()
        && !interrupted.load(std::sync::atomic::Ordering::Relaxed)
        && !args.is_timed_out(begun, &relay)
    {
        std::thread::sleep(POLL_INTERVAL);
        stats.report(&relay)?;
    }
    relay.end().map_err(anyhow::Error::msg)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes statistics when they are due.
struct Statistics {
    every: Option<Every>,
    format: StatsFormat,
    reports: SrtReports,
    out: Box<dyn Write>,
    begun: Instant,
    last: Duration,
    last_messages: u64,
    report: u64,
    /// When the bit rate was last reported, and the totals at that time: messages, bytes.
    reported: (Duration, u64, u64),
}

impl Statistics {
    fn new(args: &RelayArgs) -> anyhow::Result<Self> {
        let mut out: Box<dyn Write> = match &args.stats_out {
            Some(path) => {
                Box::new(File::create(path).with_context(|| format!("cannot write to {}", path.display()))?)
            }
            None if args.stats_format.is_of_srt() && !args.has_console_output() => Box::new(io::stdout()),
            None => Box::new(io::stderr()),
        };
        let counted = if args.fullstats {
            Counted::All
        } else {
            Counted::SinceLast
        };
        if args.stats.is_some() && args.stats_format == StatsFormat::Csv {
            writeln!(out, "{CSV_HEADING}")?;
        }
        Ok(Self {
            every: args.stats,
            format: args.stats_format,
            reports: SrtReports::new(counted, 1 + args.outputs.len()),
            out,
            begun: Instant::now(),
            last: Duration::ZERO,
            last_messages: 0,
            report: args.report,
            reported: (Duration::ZERO, 0, 0),
        })
    }

    fn report(&mut self, relay: &Relay) -> io::Result<()> {
        let now = self.begun.elapsed();
        self.report_rate(relay, now);
        let messages = relay.ends()[0]
            .messages
            .load(std::sync::atomic::Ordering::Relaxed);
        let due = match self.every {
            None | Some(Every::Messages(0)) => false,
            Some(Every::Messages(count)) => messages - self.last_messages >= count,
            Some(Every::Time(time)) => now.saturating_sub(self.last) >= time,
        };
        if !due {
            return Ok(());
        }
        (self.last, self.last_messages) = (now, messages);
        for (at, end) in relay.ends().iter().enumerate() {
            let text = if self.format.is_of_srt() {
                self.reports.write(at, end, self.format)
            } else {
                let is_network = end.endpoint.is_network();
                is_network.then(|| Record::of(end, now).write(self.format))
            };
            if let Some(text) = text {
                writeln!(self.out, "{text}")?;
            }
        }
        self.out.flush()
    }

    fn report_rate(&mut self, relay: &Relay, now: Duration) {
        let input = &relay.ends()[0];
        let (messages, bytes) = input.received();
        let (then, messages_then, bytes_then) = self.reported;
        if self.report == 0 || messages - messages_then < self.report {
            return;
        }
        let seconds = now.saturating_sub(then).as_secs_f64();
        let rate = (bytes - bytes_then) as f64 * 8.0 / seconds / 1e6;
        say_error(format_args!(
            "{:.1} s  {}: {rate:.3} Mb/s",
            now.as_secs_f64(),
            input.endpoint
        ));
        self.reported = (now, messages, bytes);
    }
}
