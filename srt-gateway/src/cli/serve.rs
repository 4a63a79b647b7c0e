//! `run`: serves until a signal ends it. Sets up logging and signals, and leaves the rest to the gateway.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    ffi::c_int,
    fs::File,
    io::{IsTerminal, Write},
    panic,
    path::Path,
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use crossbeam_channel::{Receiver, Sender};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use srt_safe::log::LogBridge;
use tracing::{error, info, warn};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _};

use super::{
    WRITE_TIMEOUT, load, log_format,
    reload::{ConfigWatcher, ReloadRequest, Reloader},
    service::Service,
    signals,
};
use crate::{
    access::Scope,
    api::{Api, ApiCommand, ApiError, Changes, ConfigStore, NotReloaded},
    config::{Config, DEFAULT_TOML, EndpointWarning, LogFormat, LogLevel, PortKind},
    control::Listening,
    file_check::file_warnings_within,
    gateway::Gateway,
    interface_check::interface_warnings,
    local::{self, Server},
    log_control::{LogControl, filter_of},
    log_writer::{self, LogWriter},
    telemetry::{EventKind, Happening},
};

/// How often the main thread checks that the gateway is running.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// How long the shutdown may take after the signal; whatever has not ended by then ends with the process.
const END: Duration = Duration::from_millis(2800);

/// How long the shutdown waits for the audit log.
const AUDIT: Duration = Duration::from_millis(200);

/// How long the start waits for warnings about the files of inputs and outputs.
const FILES: Duration = Duration::from_secs(1);

pub(super) fn serve(file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let config_watcher = file.map(ConfigWatcher::new);
    let config = match load(file) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let log = Arc::new(start_log(&config, None)?);
    let files = file_warnings_within(&config, FILES);
    let files = files.iter().map(EndpointWarning::placed);
    let interfaces = interface_warnings(&config);
    for warning in config.warnings().into_iter().chain(files).chain(interfaces) {
        warn!("configuration, {warning}");
    }
    let text = match file {
        // It was read a moment ago; if it is gone now, the watcher will notice.
        Some(file) => std::fs::read_to_string(file).unwrap_or_default(),
        None => DEFAULT_TOML.to_owned(),
    };
    let (store, config) = ConfigStore::open(&text, &config, file);
    let store = Arc::new(store);
    if let Some(config_watcher) = &config_watcher {
        config_watcher.warn_if_unwatched();
    }
    // Before any other thread exists, so that none of them handles the signals instead. The number of kinds of signals
    // bounds the channel.
    let (caught, signal) = crossbeam_channel::unbounded();
    signals::watch(&[SIGTERM, SIGINT, SIGHUP], END, move |number| {
        caught.send(number).unwrap_or_default();
    })?;
    let gateway = Gateway::start_with(&config, store.bans.read())?;
    for what in store.recovered() {
        let event = Happening::new(EventKind::StateFile, what.clone());
        gateway.view().events.add(event);
    }
    for port in gateway.listening() {
        info!(addr = %port.addr, kind = port.kind.key(), scope = %port.scope, "listening");
    }
    if gateway.listening().is_empty() {
        warn!("the configuration opens no port: add [srt], or add srt to a stream");
    }
    if file.is_none() {
        say_how_to_use(&gateway.listening());
    }

    let _socket = control_socket(&config, &gateway)?;
    let (order, orders) = crossbeam_channel::bounded(16);
    let http = api(&config, &gateway, (&store, &log), order)?;
    let service = Service::start(gateway.view())?;
    service.ready();
    let shared = Arc::clone(&store);
    let reloader = config_watcher
        .map(|config_watcher| config_watcher.start(gateway.view().clone(), shared, log, service.clone()));
    let loop_ = Loop {
        gateway,
        http,
        service,
        reloader: reloader.transpose()?,
        store,
        drained_by: None,
    };
    Ok(loop_.run(&signal, orders))
}

/// Handles commands and signals. Nothing here waits: slow work runs on threads of its own.
struct Loop {
    gateway: Gateway,
    http: Option<Api>,
    service: Service,
    reloader: Option<Reloader>,
    store: Arc<ConfigStore>,
    drained_by: Option<Instant>,
}

impl Loop {
    fn run(mut self, signals: &Receiver<c_int>, mut orders: Receiver<ApiCommand>) -> ExitCode {
        loop {
            crossbeam_channel::select! {
                recv(signals) -> number => match (number, &self.reloader) {
                    (Ok(SIGHUP), Some(reloader)) => reloader.ask(ReloadRequest::Signal),
                    (Ok(SIGHUP), None) => warn!("SIGHUP: there is no configuration file to reload"),
                    (number, _) => {
                        let name = if number == Ok(SIGINT) { "SIGINT" } else { "SIGTERM" };
                        info!(signal = name, "shutting down");
                        return self.end();
                    }
                },
                recv(orders) -> order => match order {
                    Ok(ApiCommand::Drain(wait)) => self.drained_by = Some(Instant::now() + wait),
                    Ok(ApiCommand::CancelDrain) => self.drained_by = None,
                    Ok(ApiCommand::Reload(reply)) => match &self.reloader {
                        Some(reloader) => reloader.ask(ReloadRequest::Caller(reply)),
                        // The client may have left.
                        None => drop(reply.send((Err(NotReloaded::NoFile), Changes::default()))),
                    },
                    // There is no API.
                    Err(_) => orders = crossbeam_channel::never(),
                },
                default(POLL_INTERVAL) => if !self.gateway.is_running() {
                    error!("the gateway stopped unexpectedly: see the lines above");
                    return ExitCode::FAILURE;
                }
            }
            if self.drained_by.is_some_and(|end| is_drained(&self.gateway, end)) {
                info!("drained: shutting down");
                return self.end();
            }
        }
    }

    /// Shuts down in order: clients first, so that none waits for an answer of a gateway that has ended.
    fn end(self) -> ExitCode {
        self.service.stopping();
        drop(self.http);
        self.gateway.shut_down();
        self.store.audit.flush(AUDIT);
        info!("ended");
        ExitCode::SUCCESS
    }
}

/// Opens the control socket. A configured socket is required; without the default one, only `status` and `rejections`
/// do not work.
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

/// Whether all callers have left, or the time is over.
fn is_drained(gateway: &Gateway, end: Instant) -> bool {
    let is_left = || gateway.sessions().iter().any(|session| !session.of_endpoint);
    Instant::now() >= end || !is_left()
}

/// Starts the API. Without `[api]`, a default address that is in use is no reason not to start.
fn api(
    config: &Config,
    gateway: &Gateway,
    (store, log): (&Arc<ConfigStore>, &Arc<LogControl>),
    orders: Sender<ApiCommand>,
) -> anyhow::Result<Option<Api>> {
    let shared = (Arc::clone(store), Arc::clone(log));
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

/// `file`: None means standard error.
fn start_log(config: &Config, file: Option<File>) -> anyhow::Result<LogControl> {
    let filter = EnvFilter::try_from_default_env();
    let fixed = filter.is_ok();
    let filter = filter.unwrap_or_else(|_| filter_of(config.log.level));
    let (filter, handle) = reload::Layer::new(filter);
    let has_colours = file.is_none() && std::io::stderr().is_terminal();
    let out: Box<dyn Write + Send> = match file {
        Some(file) => Box::new(file),
        None => Box::new(std::io::stderr()),
    };
    let writer = LogWriter::start(out, config.log.format).context("cannot start a thread")?;
    writer.install();
    let log = tracing_subscriber::registry().with(filter);
    match config.log.format {
        LogFormat::Text => log
            .with(
                fmt::layer()
                    .fmt_fields(log_format::fields())
                    .with_writer(move || writer.clone())
                    .with_target(false)
                    .with_ansi(has_colours),
            )
            .init(),
        LogFormat::Json => log
            .with(
                fmt::layer()
                    .with_writer(move || log_format::JsonLines(writer.clone()))
                    .json()
                    .flatten_event(true),
            )
            .init(),
    }
    srt_safe::log::install(LogBridge::to_tracing()).context("cannot take over libsrt's log")?;
    log_panics();
    Ok(LogControl::new(config.log.level, (!fixed).then_some(handle)))
}

/// Logs panics: standard error may be a pipe that nobody reads, which would block the thread while it holds locks.
fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::capture();
        let trace = match backtrace.status() {
            BacktraceStatus::Captured => format!("\n{backtrace}"),
            _ => String::new(),
        };
        let thread = thread::current();
        error!(
            thread = thread.name().unwrap_or_default(),
            "a bug in srt-gateway, please report it: {panic}{trace}"
        );
    }));
}

/// The log of a command without a configuration. `file`: None means standard error.
pub(super) fn start_plain_log(level: LogLevel, file: Option<&Path>) -> anyhow::Result<()> {
    let mut config = Config::default();
    config.log.level = level;
    let file = file.map(|path| {
        let file = File::options().create(true).append(true).open(path);
        file.with_context(|| format!("cannot write to {}", path.display()))
    });
    start_log(&config, file.transpose()?).map(drop)
}

/// Prints example commands for first-time users.
fn say_how_to_use(listening: &[Listening]) {
    let Some(port) = listening
        .iter()
        .find(|port| port.kind == PortKind::Both && port.scope == Scope::Global)
    else {
        return;
    };
    let at = port.addr;
    let text = format!(
        "\
srt-gateway {version} without a configuration file: any stream name, this machine only.

Publish a stream named live/demo:
  ffmpeg -re -i FILE.ts -c copy -f mpegts 'srt://{at}?pkt_size=1316&streamid=#!::r=live/demo,m=publish'
  ffmpeg -re -i FILE.ts -c copy -f mpegts - | srt-live-transmit -chunk:1316 file://con 'srt://{at}?streamid=#!::r=live/demo,m=publish'
  OBS (Settings > Stream > Custom > Server): srt://{at}?streamid=#!::r=live/demo,m=publish

Play it:
  ffplay 'srt://{at}?streamid=#!::r=live/demo,m=request'
  srt-live-transmit 'srt://{at}?streamid=#!::r=live/demo,m=request' file://con > OUT.ts

With your own configuration: srt-gateway --config FILE.toml (examples/ has some).\n",
        version = env!("CARGO_PKG_VERSION"),
    );
    log_writer::write_within(WRITE_TIMEOUT, std::io::stdout(), text);
}
