//! `run`: serves until a signal ends it. Sets up the log and the signals, and leaves the rest to the gateway.

use std::{
    io::IsTerminal,
    path::Path,
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use crossbeam_channel::Sender;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use srt_safe::log::LogBridge;
use tracing::{error, info, warn};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _};

use super::{
    live::{Asked, Live},
    load, log_format, say,
    service::Service,
};
use crate::{
    access::Scope,
    api::{Api, ApiError, Desk, NotReloaded, Order},
    config::{Config, DEFAULT_TOML, LogFormat, LogLevel, PortKind},
    control::Listening,
    gateway::Gateway,
    local::{self, Server},
    log_control::{LogControl, filter_of},
    telemetry::{EventKind, Happening},
};

/// How often the main thread looks whether the gateway still runs.
const LOOK: Duration = Duration::from_millis(500);

pub(super) fn serve(file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mut live = file.map(Live::new);
    let config = match load(file) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let log = Arc::new(start_log(&config)?);
    for warning in config.warnings() {
        warn!("configuration, {warning}");
    }
    let text = match file {
        // It was read a moment ago; should it be gone now, the next change tells.
        Some(file) => std::fs::read_to_string(file).unwrap_or_default(),
        None => DEFAULT_TOML.to_owned(),
    };
    let (desk, config) = Desk::open(&text, &config, file);
    let desk = Arc::new(desk);
    if let Some(live) = &live {
        live.tell();
    }
    // Before any thread is there, so that none of them is interrupted in its place.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).context("cannot watch for signals")?;
    let gateway = Gateway::start(&config)?;
    for what in desk.recovered() {
        let event = Happening::new(EventKind::StateFile, what.clone());
        gateway.view().events.add(event);
    }
    for port in gateway.listening() {
        info!(addr = %port.addr, kind = port.kind.key(), scope = %port.scope, "listening");
    }
    if gateway.listening().is_empty() {
        warn!("the configuration opens no port: add [srt], or srt to a stream");
    }
    if file.is_none() {
        say_how_to_use(&gateway.listening());
    }

    let (caught, signal) = crossbeam_channel::bounded(4);
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if caught.send(signal).is_err() {
                return;
            }
        }
    })?;
    let changed = live
        .as_ref()
        .map_or_else(crossbeam_channel::never, |live| live.changed().clone());
    let _socket = control_socket(&config, &gateway)?;
    let (order, mut orders) = crossbeam_channel::bounded(16);
    let http = api(&config, &gateway, (&desk, &log), order)?;
    let mut drained_by = None;
    let mut service = Service::new();
    service.ready(&gateway);
    loop {
        service.live(&gateway);
        crossbeam_channel::select! {
            recv(signal) -> number => match (number, &mut live) {
                (Ok(SIGHUP), Some(live)) => {
                    service.reloading();
                    drop(live.reload(&gateway, &desk, &log, Asked::BySignal));
                    service.ready(&gateway);
                }
                (Ok(SIGHUP), None) => warn!("SIGHUP: there is no configuration file to read again"),
                (number, _) => {
                    let name = if number == Ok(SIGINT) { "SIGINT" } else { "SIGTERM" };
                    info!(signal = name, "shutting down");
                    end(&service, http, gateway);
                    return Ok(ExitCode::SUCCESS);
                }
            },
            recv(changed) -> _ => {
                if let Some(live) = &mut live {
                    live.settle();
                    drop(live.reload(&gateway, &desk, &log, Asked::ByFile));
                }
            }
            recv(orders) -> order => match order {
                Ok(Order::Drain(wait)) => drained_by = Some(Instant::now() + wait),
                Ok(Order::Reload(reply)) => {
                    let reloaded = match &mut live {
                        Some(live) => live.reload(&gateway, &desk, &log, Asked::BySignal),
                        None => Err(NotReloaded::NoFile),
                    };
                    // Whoever asked may have gone away.
                    drop(reply.send(reloaded));
                }
                // There is no API.
                Err(_) => orders = crossbeam_channel::never(),
            },
            default(LOOK) => if !gateway.is_running() {
                error!("the gateway has stopped by itself: see the lines above");
                return Ok(ExitCode::FAILURE);
            }
        }
        if drained_by.is_some_and(|end| is_drained(&gateway, end)) {
            info!("drained: shutting down");
            end(&service, http, gateway);
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Ends all in order: first who asks, so that nobody waits for the answer of a gateway that is gone.
fn end(service: &Service, http: Option<Api>, gateway: Gateway) {
    service.stopping();
    drop(http);
    gateway.shut_down();
    info!("ended");
}

/// Opens the control socket. One that the configuration asks for must work; without the default one `status` and
/// `rejections` do not.
fn control_socket(config: &Config, gateway: &Gateway) -> anyhow::Result<Option<Server>> {
    let configured = config.gateway.control_socket.as_deref();
    match Server::start(&local::path_of(configured), gateway.view().clone()) {
        Ok(server) => Ok(Some(server)),
        Err(error) if configured.is_some() => Err(error.into()),
        Err(error) => {
            warn!("{error}");
            Ok(None)
        }
    }
}

/// Whether nobody is left who called us, or it is time.
fn is_drained(gateway: &Gateway, end: Instant) -> bool {
    let is_left = || gateway.sessions().iter().any(|session| !session.of_endpoint);
    Instant::now() >= end || !is_left()
}

/// Starts the API. Where the configuration has no `[api]`, an address that another program has is no reason not to relay.
fn api(
    config: &Config,
    gateway: &Gateway,
    (desk, log): (&Arc<Desk>, &Arc<LogControl>),
    orders: Sender<Order>,
) -> anyhow::Result<Option<Api>> {
    let shared = (Arc::clone(desk), Arc::clone(log));
    match Api::start(config, gateway.view().clone(), shared, orders) {
        Ok(api) => {
            let scheme = if config.api.tls.is_some() { "https" } else { "http" };
            for addr in api.iter().flat_map(Api::addrs) {
                info!("API, metrics and console at {scheme}://{addr}/");
            }
            Ok(api)
        }
        Err(error @ ApiError::Listen(..)) if !config.api.configured => {
            warn!("{error}");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn start_log(config: &Config) -> anyhow::Result<LogControl> {
    let filter = EnvFilter::try_from_default_env();
    let fixed = filter.is_ok();
    let filter = filter.unwrap_or_else(|_| filter_of(config.log.level));
    let (filter, handle) = reload::Layer::new(filter);
    let log = tracing_subscriber::registry().with(filter);
    match config.log.format {
        LogFormat::Text => log
            .with(
                fmt::layer()
                    .fmt_fields(log_format::fields())
                    .with_writer(std::io::stderr)
                    .with_target(false)
                    .with_ansi(std::io::stderr().is_terminal()),
            )
            .init(),
        LogFormat::Json => log
            .with(
                fmt::layer()
                    .with_writer(|| log_format::JsonLines(std::io::stderr()))
                    .json()
                    .flatten_event(true),
            )
            .init(),
    }
    srt_safe::log::install(LogBridge::to_tracing()).context("cannot take over libsrt's log")?;
    Ok(LogControl::new(config.log.level, (!fixed).then_some(handle)))
}

/// The log of a command that has no configuration.
pub(super) fn start_plain_log(level: LogLevel) -> anyhow::Result<()> {
    let mut config = Config::default();
    config.log.level = level;
    start_log(&config).map(drop)
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
