//! `run`: serves until a signal ends it. Sets up the log and the signals, and leaves the rest to the gateway.

use std::{io::IsTerminal, path::Path, process::ExitCode, thread, time::Duration};

use anyhow::Context as _;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use srt_safe::log::LogBridge;
use tracing::{error, info, warn};

use super::{load, say};
use crate::{
    access::Scope,
    config::{Config, LogFormat, PortKind},
    gateway::{Gateway, Listening},
};

/// How often the main thread looks whether the gateway still runs.
const LOOK: Duration = Duration::from_millis(500);

pub(super) fn serve(file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let config = match load(file) {
        Ok(config) => config,
        Err(code) => return Ok(code),
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
