//! `relay`: one input to any number of outputs, as srt-live-transmit does. Statistics and signals are here.

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::{USAGE, say_error};
use crate::relay::{
    CSV_HEADING, Every, LOOK, MESSAGE_MAX, Place, Plan, Reconnect, Record, Relay, StatsFormat,
};

/// What `relay` takes.
#[derive(Debug, clap::Args)]
pub(super) struct RelayArgs {
    /// srt://host:port?mode=caller|listener|rendezvous&latency=...&passphrase=...&streamid=..., file:///path, file://con or - (standard input).
    input: String,
    /// The same; file://con or - is standard output.
    #[arg(required = true)]
    outputs: Vec<String>,
    /// Whether lost connections are made again; the relay ends with its input, or when interrupted.
    #[arg(short, long, value_name = "yes|no", default_value = "yes", value_parser = reconnect)]
    auto_reconnect: Reconnect,
    /// Statistics of the SRT connections after so many packets (1000) or so much time (5s).
    #[arg(short, long, value_name = "PACKETS|TIME")]
    stats: Option<Every>,
    /// How they are written.
    #[arg(long, value_enum, default_value_t)]
    stats_format: StatsFormat,
    /// Where they are written; without it, standard error.
    #[arg(long, value_name = "FILE")]
    stats_out: Option<PathBuf>,
    /// Bytes that are read from a file or pipe for one message.
    #[arg(short, long, value_name = "BYTES", default_value_t = 1316, value_parser = clap::value_parser!(u16).range(1..=MESSAGE_MAX as i64))]
    chunk: u16,
}

fn reconnect(text: &str) -> Result<Reconnect, &'static str> {
    match text {
        "yes" => Ok(Reconnect::Always),
        "no" => Ok(Reconnect::Never),
        _ => Err("yes or no"),
    }
}

pub(super) fn relay(args: &RelayArgs) -> anyhow::Result<ExitCode> {
    let input = Place::input(&args.input);
    let outputs = args.outputs.iter().map(|output| Place::output(output));
    let (input, outputs) = match (input, outputs.collect::<Result<Vec<_>, _>>()) {
        (Ok(input), Ok(outputs)) => (input, outputs),
        (Err(why), _) | (_, Err(why)) => {
            say_error(format_args!("srt-gateway: {why}"));
            return Ok(ExitCode::from(USAGE));
        }
    };
    super::serve::start_plain_log()?;
    let interrupted = std::sync::Arc::default();
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, std::sync::Arc::clone(&interrupted))
            .context("cannot watch for signals")?;
    }
    let mut stats = Statistics::new(args)?;
    let relay = Relay::start(Plan {
        input,
        outputs,
        chunk: usize::from(args.chunk),
        reconnect: args.auto_reconnect,
    })?;
    while !relay.is_over() && !interrupted.load(std::sync::atomic::Ordering::Relaxed) {
        std::thread::sleep(LOOK);
        stats.look(&relay)?;
    }
    relay.end().map_err(anyhow::Error::msg)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes statistics when they are due.
struct Statistics {
    every: Option<Every>,
    format: StatsFormat,
    out: Box<dyn Write>,
    begun: Instant,
    last: Duration,
    last_messages: u64,
}

impl Statistics {
    fn new(args: &RelayArgs) -> anyhow::Result<Self> {
        let mut out: Box<dyn Write> = match &args.stats_out {
            Some(path) => {
                Box::new(File::create(path).with_context(|| format!("cannot write to {}", path.display()))?)
            }
            None => Box::new(io::stderr()),
        };
        if args.stats.is_some() && args.stats_format == StatsFormat::Csv {
            writeln!(out, "{CSV_HEADING}")?;
        }
        Ok(Self {
            every: args.stats,
            format: args.stats_format,
            out,
            begun: Instant::now(),
            last: Duration::ZERO,
            last_messages: 0,
        })
    }

    fn look(&mut self, relay: &Relay) -> io::Result<()> {
        let now = self.begun.elapsed();
        let messages = relay.ends()[0]
            .messages
            .load(std::sync::atomic::Ordering::Relaxed);
        let due = match self.every {
            None => false,
            Some(Every::Messages(count)) => messages - self.last_messages >= count,
            Some(Every::Time(time)) => now.saturating_sub(self.last) >= time,
        };
        if !due {
            return Ok(());
        }
        (self.last, self.last_messages) = (now, messages);
        for end in relay
            .ends()
            .iter()
            .filter(|end| matches!(end.place, Place::Srt(..)))
        {
            writeln!(self.out, "{}", Record::of(end, now).write(self.format))?;
        }
        self.out.flush()
    }
}
