//! The composition root: starts the threads, connects them by channels, and ends them in order.
//!
//! ```text
//!   start:  control's epoll, ports, workers, epoll thread, control
//!   end:    ports, sources, viewers (with what the rings hold), workers, epoll thread
//! ```

use std::{
    fmt, io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::Sender;
use srt_safe::log::{self, LogLevel};

use crate::{
    access::{AccessPolicy, Ban, Checks, Guards, Hook, Identity, Quotas, RateLimiter},
    backend::Backend,
    config::Config,
    control::{
        self, Command, Control, EndpointStatus, Endpoints, Inbox, Journal, Listening, Opener, PortError,
        Ranges, Registry, Reloaded, SessionStatus, StreamPlan, StreamStatus,
    },
    events::Poster,
    io::{IoEvent, Loads, Poller, Pool, StartPoolError, join_until},
    names::StreamName,
    telemetry::{
        Criticality, EventLog, EventsStatus, HookStatus, MemoryRelease, Rejection, RejectionLog, Resources,
        StreamDetail, Threads, Watchdog,
    },
    view::View,
};

/// The longest orderly shutdown: viewers that have not received everything by then are cut off.
const SHUTDOWN: Duration = Duration::from_millis(1500);

/// The additional time in which control closes sockets and ends threads.
const CLOSING: Duration = Duration::from_millis(700);

/// How long posting the last events may take.
const LAST_POSTS: Duration = Duration::from_millis(400);

/// The limit of queued refusals; beyond it, refusals are not recorded.
const REFUSED_QUEUE: usize = 1024;

/// A running gateway. Dropping it ends it, as [`shut_down`](Self::shut_down) does.
#[derive(Debug)]
pub struct Gateway {
    view: View,
    poller: Poller,
    control: Option<JoinHandle<()>>,
    _watchdog: Watchdog,
    _log_watch: log::Subscription,
}

/// Why the gateway could not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A port could not be opened.
    Port(PortError),
    /// The ports of `[[listeners]]` could not all be bound, or their backend cannot be asked.
    Listeners(String, io::Error),
    /// libsrt reported another error.
    Srt(srt_safe::Error),
    /// A thread could not be started.
    Thread(io::Error),
    /// The backend of this table cannot be called.
    Backend(&'static str, io::Error),
    /// `strict = true` and a libsrt with known vulnerabilities.
    UnsafeLibrary {
        /// Its version.
        version: String,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(error) => error.fmt(f),
            Self::Listeners(what, error) => write!(f, "cannot open {what}: {error}"),
            Self::Srt(error) => write!(f, "cannot start libsrt: {error}"),
            Self::Thread(error) => write!(f, "cannot start a thread: {error}"),
            Self::Backend(table, error) => write!(f, "cannot call the url of {table}: {error}"),
            Self::UnsafeLibrary { version } => write!(
                f,
                "libsrt {version} has known vulnerabilities (CVE-2026-55868, CVE-2026-55869 are fixed in \
                 1.5.6): link a newer one, or set strict = false in [gateway] if your distributor has patched \
                 it"
            ),
        }
    }
}

impl std::error::Error for StartError {}

impl From<srt_safe::Error> for StartError {
    fn from(error: srt_safe::Error) -> Self {
        Self::Srt(error)
    }
}

impl From<StartPoolError> for StartError {
    fn from(error: StartPoolError) -> Self {
        match error {
            StartPoolError::Srt(error) => Self::Srt(error),
            StartPoolError::Thread(error) => Self::Thread(error),
        }
    }
}

impl Gateway {
    /// Opens all ports of `config` and starts to serve. Returns when all ports listen.
    ///
    /// # Errors
    /// A port cannot be opened, `strict` does not allow the libsrt, or a thread cannot be started. Nothing is left
    /// open.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        Self::start_with(config, Vec::new())
    }

    /// Like [`start`](Self::start), with these bans in force before the first port is open.
    pub(crate) fn start_with(config: &Config, bans: Vec<Ban>) -> Result<Self, StartError> {
        check_library(config)?;
        srt_safe::spare_idle_connections();
        let workers = worker_count(config);
        let (epoll, watch) = Poller::prepare()?;
        let (commands, command_receiver) = crossbeam_channel::bounded(16);
        let (events, event_receiver) = crossbeam_channel::unbounded();
        let (refused, refused_receiver) = crossbeam_channel::bounded(REFUSED_QUEUE);

        let (faults, fault_receiver) = crossbeam_channel::bounded(REFUSED_QUEUE);
        let log_watch = log::subscribe(LogLevel::Warning, move |line| {
            if let Some(fault) = line.encryption_fault()
                && faults.try_send(fault).is_err()
            {
                tracing::debug!("too many handshakes fail because of encryption: some are not reported");
            }
        })?;

        let name: Arc<str> = gateway_name(config).into();
        let identity = Identity::new(&name);
        let limiter = Arc::new(RateLimiter::new(config.limits.clone()));
        for ban in bans {
            limiter.ban(ban);
        }
        let backend = Arc::new(Backend::default());
        backend.start_for(config).map_err(StartError::Thread)?;
        let hook = Hook::new(Arc::clone(&backend), &name, config.auth.as_ref())
            .map_err(|error| StartError::Backend("[auth]", error))?;
        let journal = journal(config, &name, &backend)?;
        let (event_log, poster) = (Arc::clone(&journal.events), Arc::clone(&journal.poster));
        let endpoints = endpoints(config, &identity, &events);
        let endpoint_status = Arc::clone(endpoints.status());
        let registry = registry(config, identity, workers);
        let directory = Arc::clone(registry.directory());
        let resources = Arc::new(Resources::default());
        let opener = Opener {
            directory: Arc::clone(&directory),
            refused,
            watch,
            guards: Guards {
                limiter: Arc::clone(&limiter),
                checks: Checks::start().map_err(StartError::Thread)?,
                bonds: Arc::default(),
                hook: Arc::clone(&hook),
                resources: Arc::clone(&resources),
                drain: Arc::default(),
            },
        };
        let (range_events, range_receiver) = crossbeam_channel::unbounded();
        let mut ranges = Ranges::new(Arc::clone(&backend), &opener, gateway_name(config), range_events);
        ranges
            .open(config)
            .map_err(|(what, error)| StartError::Listeners(what, error))?;
        let ports = control::open_ports(config, &opener).map_err(StartError::Port)?;

        let threads = Arc::new(Threads::default());
        let pool = Pool::start(workers, &events, &threads)?;
        let (lag, loads) = (Arc::clone(pool.lag()), pool.loads());
        let poller = Poller::start(epoll, events, threads.register("srt-poll", Criticality::Vital))
            .map_err(StartError::Thread)?;
        let rejections = Arc::clone(&journal.rejections);
        let control = Control::new(
            config.clone(),
            opener,
            ports,
            registry,
            endpoints,
            ranges,
            pool,
            journal,
        );
        let listening = Arc::clone(control.listening());
        let in_force = Arc::clone(control.in_force());
        let inbox = Inbox {
            commands: command_receiver,
            events: event_receiver,
            refused: refused_receiver,
            ranges: range_receiver,
            faults: fault_receiver,
        };
        let watchdog = watchdog(&threads, loads, Arc::clone(&rejections), Arc::clone(&resources))
            .map_err(StartError::Thread)?;
        let pulse = threads.register("control", Criticality::Vital);
        let control = thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || control.run(&inbox, &pulse))
            .map_err(StartError::Thread)?;
        Ok(Self {
            view: View {
                commands,
                directory,
                listening,
                endpoints: endpoint_status,
                config: in_force,
                rejections,
                limiter,
                lag,
                threads,
                resources,
                name,
                hook,
                events: event_log,
                poster,
                backend,
            },
            poller,
            control: Some(control),
            _watchdog: watchdog,
            _log_watch: log_watch,
        })
    }

    /// The ports that it listens on.
    #[must_use]
    pub fn listening(&self) -> Vec<Listening> {
        self.view.listening()
    }

    /// Applies another configuration: unchanged parts are not affected, and removed parts are closed. Returns when that
    /// is done; a port that cannot be opened yet is retried. `None` if the gateway has stopped.
    pub fn reload(&self, config: Config) -> Option<Reloaded> {
        self.view.reload(config)
    }

    /// The streams, sorted by name.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamStatus> {
        self.view.streams()
    }

    /// The details of a stream: its inputs, their contents, and the verdict. None: there is no such stream. Asks
    /// control, which blocks for microseconds, and decodes the stream's tables.
    #[must_use]
    pub fn stream_detail(&self, name: &StreamName) -> Option<StreamDetail> {
        self.view.stream_detail(name)
    }

    /// The open sessions, oldest first. Asks control, which blocks for microseconds.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionStatus> {
        self.view.sessions()
    }

    /// A handle for reading its state.
    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    /// The enabled inputs and outputs of all streams in the order of the configuration, as of a moment ago.
    #[must_use]
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        self.view.endpoints()
    }

    /// The last thousand refused attempts to connect, oldest first. Copies them.
    #[must_use]
    pub fn rejections(&self) -> Vec<Rejection> {
        self.view.rejections()
    }

    /// The hook of `[auth]`: its counters and its circuit breaker. None: none is configured.
    #[must_use]
    pub fn hook(&self) -> Option<HookStatus> {
        self.view.hook()
    }

    /// The state of event posts. None: `[events]` has no URL.
    #[must_use]
    pub fn event_posts(&self) -> Option<EventsStatus> {
        self.view.event_posts()
    }

    /// Whether it still serves. False after a failure, which is logged.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.control
            .as_ref()
            .is_some_and(|control| !control.is_finished())
    }

    /// Whether the control thread accepts and answers questions. Blocks until it does, at most 4 s.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.view.answers()
    }

    /// Shuts down in order: no new sessions, viewers receive what the rings hold, all sockets are closed and all
    /// threads joined. Blocks for less than 2 s.
    pub fn shut_down(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(control) = self.control.take() else {
            return;
        };
        let deadline = Instant::now() + SHUTDOWN;
        // A control thread that has ended does not need the command, and one that hangs does not receive it.
        drop(
            self.view
                .commands
                .send_timeout(Command::Shutdown(deadline), SHUTDOWN),
        );
        if join_until([control], deadline + CLOSING) > 0 {
            tracing::error!("the control thread did not stop in time");
        }
        self.poller.stop();
        self.view.poster.flush(LAST_POSTS);
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts the watchdog, which also releases memory.
fn watchdog(
    threads: &Arc<Threads>,
    loads: Loads,
    rejections: Arc<RejectionLog>,
    resources: Arc<Resources>,
) -> io::Result<Watchdog> {
    let mut release = MemoryRelease::default();
    Watchdog::start(Arc::clone(threads), move || {
        resources.check();
        if release.is_due(loads.total(), rejections.last(), Instant::now()) {
            let begun = Instant::now();
            srt_safe::release_free_memory();
            tracing::debug!(took = ?begun.elapsed(), "returned free memory to the system");
        }
    })
}

fn worker_count(config: &Config) -> usize {
    config.gateway.workers.map_or_else(
        || thread::available_parallelism().map_or(1, usize::from),
        usize::from,
    )
}

fn check_library(config: &Config) -> Result<(), StartError> {
    let version = srt_safe::library_version();
    // 1.5.6 is the first release with both fixes.
    if config.gateway.strict && version < srt_safe::SrtVersion::new(1, 5, 6) {
        return Err(StartError::UnsafeLibrary {
            version: version.to_string(),
        });
    }
    Ok(())
}

fn journal(config: &Config, name: &str, backend: &Arc<Backend>) -> Result<Journal, StartError> {
    let events = Arc::new(EventLog::new(name));
    let poster = Poster::new(Arc::clone(backend), Arc::clone(&events), config.events.as_ref())
        .map_err(|error| StartError::Backend("[events]", error))?;
    Ok(Journal {
        rejections: Arc::default(),
        events,
        poster,
    })
}

/// `name`, or the name of the host.
fn gateway_name(config: &Config) -> String {
    let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = config.gateway.name.clone().unwrap_or_else(host);
    name.trim().to_owned()
}

fn endpoints(config: &Config, identity: &Identity, events: &Sender<IoEvent>) -> Endpoints {
    let mut endpoints = Endpoints::new(identity.clone(), events.clone());
    let now = Instant::now();
    for (name, stream) in &config.streams {
        endpoints.configure(&StreamName::new(name.as_str()), stream, now);
    }
    endpoints
}

/// The configured streams without sessions.
pub(crate) fn registry(config: &Config, identity: Identity, workers: usize) -> Registry {
    let default_plan = StreamPlan::of_unknown(config);
    let unknown = config
        .streams_default
        .accept_unknown
        .then(|| Arc::clone(&default_plan.policy));
    let configured = config
        .streams
        .iter()
        .map(|(name, stream)| (StreamName::new(name.as_str()), StreamPlan::of(stream)));
    let access = Arc::new(AccessPolicy::of(config));
    let templates = control::template_plans(config);
    let registry = Registry::new(
        configured,
        templates,
        default_plan,
        unknown,
        identity,
        access,
        workers,
    );
    registry.set_quotas(Quotas::of(&config.limits));
    registry
}
