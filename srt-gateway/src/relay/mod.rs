//! The `relay` command's work: one input to any number of outputs, byte for byte, without a gateway.
//!
//! ```text
//!   input (1 thread) ──bounded channel──▶ output (1 thread each)         whoever called `run`: statistics, stop
//! ```
//!
//! Waits for the outputs before it reads a file or a pipe, and lets these wait for a slow output; a live input waits for
//! nobody: what a slow or lost output cannot take is dropped for that output alone, and counted. Looks at no TS.

mod input;
mod output;
mod stats;

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use srt_safe::SrtSocket;

pub(crate) use stats::{CSV_HEADING, Every, Record, StatsFormat};

use crate::config::{self, SrtTarget, Target};

/// How often whoever waits looks whether all is over.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// Between two attempts to connect.
const RETRY: Duration = Duration::from_secs(1);

/// Messages that wait for an output: about a second at 10 Mb/s.
const QUEUE: usize = 1024;

/// Longest message of SRT in live mode.
pub(crate) const MESSAGE_MAX: usize = 1456;

/// An end of the relay.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Standard input or output: `file://con` or `-`.
    Console,
    File(PathBuf),
    /// With its URL for people, without secrets.
    Srt(Box<SrtTarget>, String),
}

impl Place {
    /// Where the relay reads from.
    pub(crate) fn input(text: &str) -> Result<Self, String> {
        Self::parse(text, config::Endpoint::input)
    }

    /// Where it writes to.
    pub(crate) fn output(text: &str) -> Result<Self, String> {
        Self::parse(text, config::Endpoint::output)
    }

    fn parse(
        text: &str,
        read: impl FnOnce(&str) -> Result<config::Endpoint, String>,
    ) -> Result<Self, String> {
        if matches!(text, "-" | "file://con") {
            return Ok(Self::Console);
        }
        let endpoint = read(text)?;
        let shown = endpoint.to_string();
        match endpoint.target {
            Target::Srt(target) => Ok(Self::Srt(target, shown)),
            Target::File(file) if file.repeat || file.segment.is_some() => {
                Err("loop and segment are for inputs and outputs of the gateway".to_owned())
            }
            Target::File(file) => Ok(Self::File(file.path)),
            _ => Err(
                "relay takes srt://, file:///path, file://con and - (standard input or output)".to_owned(),
            ),
        }
    }

    /// Whether it may be kept waiting.
    fn is_patient(&self) -> bool {
        !matches!(self, Self::Srt(..))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Console => f.write_str("file://con"),
            Self::File(path) => write!(f, "file://{}", path.display()),
            Self::Srt(_, shown) => f.write_str(shown),
        }
    }
}

/// What becomes of a lost connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reconnect {
    /// It is made again.
    Always,
    /// The relay ends.
    Never,
}

/// What to relay, and how.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) input: Place,
    pub(crate) outputs: Vec<Place>,
    /// Bytes of a message made of a file or pipe.
    pub(crate) chunk: usize,
    pub(crate) reconnect: Reconnect,
}

/// One end at work, as the others and the statistics see it.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) place: Place,
    /// There while it is connected.
    socket: Mutex<Option<Arc<SrtSocket>>>,
    pub(crate) messages: AtomicU64,
    pub(crate) bytes: AtomicU64,
    /// Messages that this output was too slow for, or not connected for.
    pub(crate) dropped: AtomicU64,
    open: AtomicBool,
}

impl End {
    fn new(place: Place) -> Arc<Self> {
        Arc::new(Self {
            place,
            socket: Mutex::default(),
            messages: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            open: AtomicBool::new(false),
        })
    }

    pub(crate) fn socket(&self) -> Option<Arc<SrtSocket>> {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        socket.clone()
    }

    fn set_socket(&self, socket: Option<Arc<SrtSocket>>) {
        self.open.store(socket.is_some(), Relaxed);
        *self.socket.lock().unwrap_or_else(PoisonError::into_inner) = socket;
    }

    fn count(&self, bytes: usize) {
        self.messages.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }
}

/// What the threads of a relay share.
#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    reconnect: Reconnect,
    /// Why it ended, if not in order: the first failure.
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

    /// Waits before the next attempt, or until all is over.
    fn pause(&self) {
        let end = Instant::now() + RETRY;
        while Instant::now() < end && !self.is_stopped() {
            thread::sleep(LOOK);
        }
    }

    /// Connects an end, again and again where that is wanted. None: the relay ends.
    fn connect(&self, end: &End, target: &SrtTarget) -> Option<Arc<SrtSocket>> {
        while !self.is_stopped() {
            let connected = crate::peer::connect(target, &self.stop).and_then(|socket| {
                socket.set_recv_timeout(Some(LOOK))?;
                socket.set_send_timeout(Some(LOOK))?;
                Ok(socket)
            });
            match connected {
                Ok(socket) => {
                    tracing::info!(url = %end.place, "connected");
                    let socket = Arc::new(socket);
                    end.set_socket(Some(Arc::clone(&socket)));
                    return Some(socket);
                }
                Err(_) if self.is_stopped() => {}
                Err(error) if self.reconnect == Reconnect::Never => {
                    self.fail(format!("{}: {error}", end.place));
                }
                Err(error) => {
                    tracing::warn!(url = %end.place, %error, "not connected: tried again");
                    self.pause();
                }
            }
        }
        None
    }

    /// To be called when a connection is gone.
    fn lost(&self, end: &End, error: &srt_safe::Error) {
        end.set_socket(None);
        if self.is_stopped() {
            return;
        }
        match self.reconnect {
            Reconnect::Always => tracing::warn!(url = %end.place, %error, "connection lost: made again"),
            Reconnect::Never => self.fail(format!("{}: {error}", end.place)),
        }
    }
}

/// A relay at work.
#[derive(Debug)]
pub(crate) struct Relay {
    shared: Arc<Shared>,
    /// The input first.
    ends: Vec<Arc<End>>,
    input: thread::JoinHandle<()>,
    outputs: Vec<thread::JoinHandle<()>>,
}

impl Relay {
    /// Begins to connect and to carry.
    pub(crate) fn start(plan: Plan) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            reconnect: plan.reconnect,
            failure: Mutex::default(),
        });
        let from = End::new(plan.input);
        let mut ends = vec![Arc::clone(&from)];
        let (mut outputs, mut ways) = (Vec::new(), Vec::new());
        for place in plan.outputs {
            let end = End::new(place);
            let (sender, messages) = crossbeam_channel::bounded(QUEUE);
            let (shared, to) = (Arc::clone(&shared), Arc::clone(&end));
            outputs.push(
                thread::Builder::new()
                    .name("relay-out".to_owned())
                    .spawn(move || output::run(&shared, &to, &messages))?,
            );
            ways.push(input::Way {
                end: Arc::clone(&end),
                sender,
            });
            ends.push(end);
        }
        let shared_in = Arc::clone(&shared);
        let input = thread::Builder::new()
            .name("relay-in".to_owned())
            .spawn(move || input::run(&shared_in, &from, &ways, plan.chunk))?;
        Ok(Self {
            shared,
            ends,
            input,
            outputs,
        })
    }

    /// The ends, the input first.
    pub(crate) fn ends(&self) -> &[Arc<End>] {
        &self.ends
    }

    /// Whether it has come to its end: the input is through and the outputs have all of it, or something failed.
    pub(crate) fn is_over(&self) -> bool {
        self.shared.is_stopped() || self.outputs.iter().all(thread::JoinHandle::is_finished)
    }

    /// Ends it, and says why it failed, if it did. Outputs get a moment to deliver what they have.
    pub(crate) fn end(self) -> Result<(), String> {
        self.shared.stop.store(true, Relaxed);
        for output in self.outputs {
            drop(output.join());
        }
        // The input may sit in a read of a terminal for ever: it ends with the process.
        if self.input.is_finished() {
            drop(self.input.join());
        }
        let mut failure = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take().map_or(Ok(()), Err)
    }
}
