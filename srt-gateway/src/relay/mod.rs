//! The `relay` command: one input to any number of outputs, byte for byte, without a gateway.
//!
//! ```text
//!   input (1 thread) ──bounded channel──▶ output (1 thread each)         whoever called `run`: statistics, stop
//! ```
//!
//! It waits for the outputs before it reads a file or a pipe, and waits for slow outputs while it reads one. A live
//! input never waits: messages that a slow or lost output cannot accept are dropped for that output alone, and counted.
//! Bytes are never changed.

mod endpoint;
mod input;
mod output;
mod srt_stats;
mod stats;

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use srt_safe::{ErrorKind, SourceTime, SrtSocket};

pub(crate) use endpoint::{Pace, RelayEndpoint};
pub(crate) use srt_stats::{Counted, SrtReports};
pub(crate) use stats::{CSV_HEADING, Every, Record, StatsFormat};

use crate::{
    config::{SrtTarget, UdpTarget},
    peer::ConnectError,
};

/// How often waiting threads check whether the relay has ended.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The delay between two attempts to connect.
const RETRY: Duration = Duration::from_secs(1);

/// The default queue length of an output: about a second at 10 Mb/s.
pub(crate) const QUEUE: usize = 1024;

/// The largest SRT message in live mode.
pub(crate) const MESSAGE_MAX: usize = crate::data::MESSAGE_MAX;

/// A message to an output.
#[derive(Clone, Debug)]
struct RelayMessage {
    bytes: Arc<[u8]>,
    /// When it was due at the input, if that is SRT.
    due: Option<SourceTime>,
}

/// What happens after a lost connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reconnect {
    /// It is made again.
    Always,
    /// The relay ends.
    Never,
}

/// The timestamps of messages relayed from SRT to SRT, which the peer's player uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timing {
    /// When they were due at the input, so that the load of this machine does not show.
    OfSource,
    /// When they are sent.
    OfSending,
}

/// What to relay, and how.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) input: RelayEndpoint,
    pub(crate) outputs: Vec<RelayEndpoint>,
    /// The message size for a file or pipe, in bytes.
    pub(crate) chunk: usize,
    /// The queue length of an output.
    pub(crate) queue: usize,
    pub(crate) reconnect: Reconnect,
    pub(crate) timing: Timing,
}

/// The shared state of one endpoint, for other threads and statistics.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) endpoint: RelayEndpoint,
    /// Set while it is connected.
    socket: Mutex<Option<Arc<SrtSocket>>>,
    pub(crate) messages: AtomicU64,
    pub(crate) bytes: AtomicU64,
    /// Messages dropped because this output was too slow or not connected.
    pub(crate) dropped: AtomicU64,
    open: AtomicBool,
    /// Whether it ever was open.
    was_open: AtomicBool,
}

impl End {
    fn new(endpoint: RelayEndpoint) -> Arc<Self> {
        Arc::new(Self {
            endpoint,
            socket: Mutex::default(),
            messages: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            open: AtomicBool::new(false),
            was_open: AtomicBool::new(false),
        })
    }

    pub(crate) fn socket(&self) -> Option<Arc<SrtSocket>> {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        socket.clone()
    }

    fn set_open(&self, open: bool) {
        self.open.store(open, Relaxed);
        self.was_open.fetch_or(open, Relaxed);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Relaxed)
    }

    /// Whether it was ever connected or opened.
    pub(crate) fn was_open(&self) -> bool {
        self.was_open.load(Relaxed)
    }

    fn set_socket(&self, socket: Option<Arc<SrtSocket>>) {
        self.set_open(socket.is_some());
        *self.socket.lock().unwrap_or_else(PoisonError::into_inner) = socket;
    }

    /// Messages and bytes so far.
    pub(crate) fn received(&self) -> (u64, u64) {
        (self.messages.load(Relaxed), self.bytes.load(Relaxed))
    }

    fn drop_one(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    fn count(&self, bytes: usize) {
        self.messages.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }
}

/// Shared by the threads of a relay.
#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    reconnect: Reconnect,
    timing: Timing,
    /// Whether the input is a file or a pipe, which ends by itself.
    is_patient: bool,
    /// The first failure, if any.
    failure: Mutex<Option<String>>,
}

impl Shared {
    fn fail(&self, what: String) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(what);
        self.stop.store(true, Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// Waits before the next attempt, or until the relay ends.
    fn pause(&self) {
        let end = Instant::now() + RETRY;
        while Instant::now() < end && !self.is_stopped() {
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Connects an endpoint, repeatedly if configured. None: the relay ends.
    fn connect(&self, end: &End, target: &SrtTarget) -> Option<Arc<SrtSocket>> {
        let socket = self.again(end, || {
            let socket = crate::peer::connect(target, &self.stop)?;
            socket.set_recv_timeout(Some(POLL_INTERVAL))?;
            socket.set_send_timeout(Some(POLL_INTERVAL))?;
            Ok::<_, ConnectError>(Arc::new(socket))
        })?;
        tracing::info!(url = %end.endpoint, "connected");
        end.set_socket(Some(Arc::clone(&socket)));
        Some(socket)
    }

    /// Opens an endpoint, repeatedly if configured. None: the relay ends.
    fn again<T, E: fmt::Display>(&self, end: &End, mut open: impl FnMut() -> Result<T, E>) -> Option<T> {
        while !self.is_stopped() {
            match open() {
                Ok(opened) => return Some(opened),
                Err(_) if self.is_stopped() => {}
                Err(error) if self.reconnect == Reconnect::Never => {
                    self.fail(format!("{}: {error}", end.endpoint));
                }
                Err(error) => {
                    tracing::warn!(url = %end.endpoint, %error, "not connected: trying again");
                    self.pause();
                }
            }
        }
        None
    }

    /// Called when a connection is lost.
    fn lost(&self, end: &End, error: &dyn fmt::Display) {
        end.set_socket(None);
        if self.is_stopped() {
            return;
        }
        match self.reconnect {
            Reconnect::Always => tracing::warn!(url = %end.endpoint, %error, "connection lost: reconnecting"),
            Reconnect::Never => self.fail(format!("{}: {error}", end.endpoint)),
        }
    }

    /// Called when the peer has closed a connection. Without reconnecting, this ends the relay, as with
    /// srt-live-transmit; but an output that leaves before the end of a file has not received all of it.
    fn closed(&self, end: &End, error: &srt_safe::Error) {
        let is_end = matches!(error.kind(), ErrorKind::ConnectionLost | ErrorKind::NotConnected);
        if self.reconnect == Reconnect::Always || self.is_patient || !is_end {
            return self.lost(end, error);
        }
        end.set_socket(None);
        if !self.stop.swap(true, Relaxed) {
            tracing::info!(url = %end.endpoint, "connection closed: the relay ends (--auto-reconnect no)");
        }
    }
}

/// The first address of a host; None without a host.
fn resolve(target: &UdpTarget) -> Result<Option<SocketAddr>, ConnectError> {
    let Some(host) = &target.host else { return Ok(None) };
    let found = crate::peer::resolve(host, target.port)?.first().copied();
    found
        .map(Some)
        .ok_or_else(|| ConnectError::Unresolved(host.clone()))
}

/// A running relay.
#[derive(Debug)]
pub(crate) struct Relay {
    shared: Arc<Shared>,
    /// The input comes first.
    ends: Vec<Arc<End>>,
    input: thread::JoinHandle<()>,
    outputs: Vec<thread::JoinHandle<()>>,
}

impl Relay {
    /// Starts to connect and to relay.
    pub(crate) fn start(plan: Plan) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            reconnect: plan.reconnect,
            timing: plan.timing,
            is_patient: plan.input.is_patient() || matches!(plan.input, RelayEndpoint::Clocked(_)),
            failure: Mutex::default(),
        });
        let from = End::new(plan.input);
        let mut ends = vec![Arc::clone(&from)];
        let (mut outputs, mut handles) = (Vec::new(), Vec::new());
        for endpoint in plan.outputs {
            let end = End::new(endpoint);
            let (sender, messages) = crossbeam_channel::bounded(plan.queue);
            let (shared, to) = (Arc::clone(&shared), Arc::clone(&end));
            outputs.push(
                thread::Builder::new()
                    .name("relay-out".to_owned())
                    .spawn(move || output::run(&shared, &to, &messages))?,
            );
            handles.push(input::OutputHandle {
                end: Arc::clone(&end),
                sender,
            });
            ends.push(end);
        }
        let shared_in = Arc::clone(&shared);
        let input = thread::Builder::new()
            .name("relay-in".to_owned())
            .spawn(move || input::run(&shared_in, &from, &handles, plan.chunk))?;
        Ok(Self {
            shared,
            ends,
            input,
            outputs,
        })
    }

    /// The endpoints, input first.
    pub(crate) fn ends(&self) -> &[Arc<End>] {
        &self.ends
    }

    /// Whether it has ended: the input has ended and the outputs have received all of it, or something failed.
    pub(crate) fn is_over(&self) -> bool {
        self.shared.is_stopped() || self.outputs.iter().all(thread::JoinHandle::is_finished)
    }

    /// Stops it, and returns why it failed, if it did. Outputs have a moment to deliver queued messages.
    pub(crate) fn end(self) -> Result<(), String> {
        self.shared.stop.store(true, Relaxed);
        for (output, end) in self.outputs.into_iter().zip(&self.ends[1..]) {
            // An output that is still connecting has nothing to deliver, and may take seconds.
            if end.is_open() || output.is_finished() {
                drop(output.join());
            }
        }
        // The input may be blocked reading from a terminal: it ends with the process.
        if self.input.is_finished() {
            drop(self.input.join());
        }
        let mut failure = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take().map_or(Ok(()), Err)
    }
}
