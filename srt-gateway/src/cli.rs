//! Commands and flags of the binary, and what it prints.
//!
//! Exit codes: 0 ended in order, 1 failed while starting or running, 2 the command line or the configuration is wrong.

use std::{
    io::{IsTerminal, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::LazyLock,
    thread,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use srt_safe::log::LogBridge;
use tracing::{error, info, warn};

use crate::{
    access::Scope,
    config::{Config, ConfigErrors, DEFAULT_TOML, LogFormat, PortKind},
    control,
    gateway::{Gateway, Listening},
};

/// How often the main thread looks whether the gateway still runs.
const LOOK: Duration = Duration::from_millis(500);

/// A command line or a configuration that is wrong.
const USAGE: u8 = 2;

static VERSION: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{} (libsrt {}; edits: {}; crypto: {})",
        env!("CARGO_PKG_VERSION"),
        srt_safe::library_version(),
        match srt_safe::library_edits() {
            "" => "none",
            edits => edits,
        },
        srt_safe::library_crypto()
    )
});

/// SRT gateway: relays MPEG-TS, byte for byte, between SRT callers and listeners.
#[derive(Debug, Parser)]
#[command(name = "srt-gateway", version = VERSION.as_str(), args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT (what happens without a command, too).
    Run(Run),
    /// Read a configuration file and say all that is wrong with it.
    Check {
        /// The TOML file.
        file: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct Run {
    /// TOML file; without it, publish and play by streamid on 127.0.0.1:9998.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the command of the process's arguments.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => serve(cli.run.config.as_deref()),
        Some(Command::Run(run)) => serve(run.config.as_deref()),
        Some(Command::Check { file }) => check(&file),
    };
    outcome.unwrap_or_else(|error| {
        say_error(format_args!("srt-gateway: {error:#}"));
        ExitCode::FAILURE
    })
}

fn say_error(text: std::fmt::Arguments<'_>) {
    // Nobody is left to tell when stderr is closed.
    drop(writeln!(std::io::stderr(), "{text}"));
}

fn say(text: std::fmt::Arguments<'_>) {
    // A closed stdout (a pager that was left) is no reason to stop.
    drop(writeln!(std::io::stdout(), "{text}"));
}

/// Reads a configuration, or tells what is wrong with it and gives the exit code.
fn load(path: &Path) -> Result<Config, ExitCode> {
    let styled = std::io::stderr().is_terminal();
    let config = Config::load(path).map_err(|error| {
        let told = if styled {
            error.render_styled()
        } else {
            error.render()
        };
        say_error(format_args!("{}", told.trim_end()));
        ExitCode::from(USAGE)
    })?;
    validate_options(&config).map_err(|errors| {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let told = if styled {
            errors.render_styled(&name, &text)
        } else {
            errors.render(&name, &text)
        };
        say_error(format_args!("{}", told.trim_end()));
        ExitCode::from(USAGE)
    })?;
    Ok(config)
}

fn validate_options(config: &Config) -> Result<(), ConfigErrors> {
    config.validate_options(|name, value| {
        let options = srt_safe::Options::new().named(name, control::option_value(value));
        options.map(drop).map_err(|error| error.to_string())
    })
}

fn check(file: &Path) -> anyhow::Result<ExitCode> {
    Ok(match load(file) {
        Ok(config) => {
            let ports = config.srt_ports().count();
            say(format_args!(
                "{}: valid: {ports} ports, {} streams",
                file.display(),
                config.streams.len()
            ));
            ExitCode::SUCCESS
        }
        Err(code) => code,
    })
}

fn serve(file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let config = match file {
        Some(file) => match load(file) {
            Ok(config) => config,
            Err(code) => return Ok(code),
        },
        None => Config::parse(DEFAULT_TOML).context("the embedded configuration")?,
    };
    start_log(&config)?;
    // Before any thread is there, so that none of them is interrupted in its place.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).context("cannot watch for signals")?;
    let gateway = Gateway::start(&config)?;
    for port in gateway.listening() {
        info!(addr = %port.addr, kind = port.kind.key(), scope = %port.scope, "listening");
    }
    if gateway.listening().is_empty() {
        warn!("the configuration opens no port: add [srt], or srt to a stream");
    }
    if file.is_none() {
        say_how_to_use(gateway.listening());
    }

    let (caught, signal) = crossbeam_channel::bounded(4);
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if caught.send(signal).is_err() {
                return;
            }
        }
    })?;
    loop {
        match signal.recv_timeout(LOOK) {
            Ok(SIGHUP) => {
                warn!("SIGHUP: this version does not reload its configuration: restart the gateway");
            }
            Ok(number) => {
                info!(
                    signal = if number == SIGINT { "SIGINT" } else { "SIGTERM" },
                    "shutting down"
                );
                gateway.shut_down();
                info!("ended");
                return Ok(ExitCode::SUCCESS);
            }
            Err(_) if gateway.is_running() => {}
            Err(_) => {
                error!("the gateway has stopped by itself: see the lines above");
                return Ok(ExitCode::FAILURE);
            }
        }
    }
}

fn start_log(config: &Config) -> anyhow::Result<()> {
    let level = config.log.level.as_str();
    // libsrt's own lines are its developers' language, and what matters in them is told in ours: only RUST_LOG shows them.
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(format!("{level},libsrt=off")));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match config.log.format {
        LogFormat::Text => lines
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    srt_safe::log::install(LogBridge::to_tracing()).context("cannot take over libsrt's log")
}

/// Lines to paste, for whoever starts the gateway for the first time.
fn say_how_to_use(listening: &[Listening]) {
    let Some(port) = listening
        .iter()
        .find(|port| port.kind == PortKind::Both && port.scope == Scope::Global)
    else {
        return;
    };
    let at = port.addr;
    say(format_args!(
        "\
srt-gateway {version} without a configuration file: any stream name, this machine only.

Publish a stream named live/demo:
  ffmpeg -re -i FILE.ts -c copy -f mpegts 'srt://{at}?pkt_size=1316&streamid=#!::r=live/demo,m=publish'
  srt-live-transmit -chunk:1316 file://con 'srt://{at}?streamid=#!::r=live/demo,m=publish' < FILE.ts
  OBS (Settings > Stream > Custom > Server): srt://{at}?streamid=#!::r=live/demo,m=publish

Play it:
  ffplay 'srt://{at}?streamid=#!::r=live/demo,m=request'
  srt-live-transmit 'srt://{at}?streamid=#!::r=live/demo,m=request' file://con > OUT.ts

With your own configuration: srt-gateway --config FILE.toml (examples/ has some).",
        version = env!("CARGO_PKG_VERSION"),
    ));
}
