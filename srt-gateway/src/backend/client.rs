//! The thread that makes the HTTP calls, and the handles for submitting them.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use reqwest::{
    Url,
    header::{CONTENT_TYPE, HeaderValue},
    redirect,
};
use tokio::sync::{mpsc, oneshot};

use super::{Answer, Busy, CallError};
use crate::{
    config::{Config, HttpUrl, Secret},
    telemetry::{CallOutcome, CallStats},
};

/// How long an idle connection is kept. Shorter than common servers keep theirs (5 s), because a call on a connection
/// that the server is closing fails.
const IDLE: Duration = Duration::from_secs(4);

/// Idle connections kept per host.
const IDLE_CONNECTIONS: usize = 16;

/// Threads that resolve names.
const RESOLVERS: usize = 4;

/// The header with the signature of the body.
const SIGNATURE: &str = "x-signature";

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// All backends of a gateway: one thread, from [`start`](Self::start) on. Dropping it ends the thread; pending
/// callbacks are dropped without being called.
#[derive(Debug, Default)]
pub(crate) struct Backend(Mutex<Option<Running>>);

struct Running {
    http: reqwest::Client,
    jobs: mpsc::UnboundedSender<Job>,
    /// Dropped to end the thread, because clients may outlive it.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}

/// The settings of one backend.
#[derive(Clone, Debug)]
pub(crate) struct ClientSettings {
    pub(crate) url: HttpUrl,
    /// From connecting to the end of the answer.
    pub(crate) timeout: Duration,
    /// Signs each body: `X-Signature` is its HMAC-SHA256 in hex.
    pub(crate) secret: Option<Secret>,
    /// The limit of concurrent calls.
    pub(crate) most: usize,
    /// The size limit of an answer, in bytes.
    pub(crate) answer_max: usize,
}

/// Calls one backend. Cheap to clone, usable on any thread; never blocks.
#[derive(Clone)]
pub(crate) struct Client {
    shared: Arc<Shared>,
    http: reqwest::Client,
    jobs: mpsc::UnboundedSender<Job>,
}

struct Shared {
    url: Url,
    shown: HttpUrl,
    timeout: Duration,
    key: Option<hmac::Key>,
    most: usize,
    answer_max: usize,
    stats: Arc<CallStats>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("url", &self.shared.shown)
            .finish_non_exhaustive()
    }
}

impl Backend {
    /// Starts the thread, unless it runs. The HTTP client reads the system's certificates, so this may wait for a disk:
    /// do not call it on control's thread.
    ///
    /// # Errors
    /// The thread could not be started, or certificates could not be read.
    pub(crate) fn start(&self) -> io::Result<()> {
        debug_assert_ne!(
            thread::current().name(),
            Some("control"),
            "control must not wait for a disk"
        );
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_none() {
            *running = Some(Running::start()?);
        }
        Ok(())
    }

    /// Starts the thread if the configuration uses a backend.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub(crate) fn start_for(&self, config: &Config) -> io::Result<()> {
        let has_backend =
            config.auth.is_some() || config.events.is_some() || config.config_external.is_some();
        if has_backend { self.start() } else { Ok(()) }
    }

    /// Creates a client of one backend, which counts its calls in `stats`. Never waits.
    ///
    /// # Errors
    /// The HTTP client does not accept the URL, or [`start`](Self::start) has not succeeded. The error does not contain
    /// the URL.
    pub(crate) fn client(&self, settings: ClientSettings, stats: Arc<CallStats>) -> io::Result<Client> {
        let url = Url::parse(settings.url.expose())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let running = running
            .as_ref()
            .ok_or_else(|| io::Error::other("the thread that makes HTTP calls has not started"))?;
        let secret = settings.secret.as_ref();
        Ok(Client {
            shared: Arc::new(Shared {
                url,
                shown: settings.url,
                timeout: settings.timeout,
                key: secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes())),
                most: settings.most,
                answer_max: settings.answer_max,
                stats,
            }),
            http: running.http.clone(),
            jobs: running.jobs.clone(),
        })
    }
}

impl Running {
    fn start() -> io::Result<Self> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("srt-gateway/", env!("CARGO_PKG_VERSION")))
            // Authorization questions go to the configured URL only: neither to a redirect, nor through a proxy from
            // the environment.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build()
            .map_err(io::Error::other)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(RESOLVERS)
            .build()?;
        let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
        let (stop, mut stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("backend".to_owned()).spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        // The sender is dropped, never used.
                        _ = &mut stopped => return,
                        job = queue.recv() => match job {
                            Some(job) => drop(tokio::spawn(job)),
                            None => return,
                        },
                    }
                }
            });
            // A name look-up may take long.
            runtime.shutdown_background();
        })?;
        Ok(Self {
            http,
            jobs,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            // A callback may have held the last handle.
            && thread.thread().id() != thread::current().id()
        {
            drop(thread.join());
        }
    }
}

impl Client {
    /// POSTs the JSON `body`; `done` is called with the result on the backend's thread, and must not block.
    ///
    /// # Errors
    /// [`Busy`]: the call was not made, and `done` will not be called.
    pub(crate) fn post(
        &self,
        body: Vec<u8>,
        done: impl FnOnce(Result<Answer, CallError>) + Send + 'static,
    ) -> Result<(), Busy> {
        if !self.shared.stats.begin(self.shared.most) {
            return Err(Busy);
        }
        let (shared, http) = (Arc::clone(&self.shared), self.http.clone());
        let job = Box::pin(async move {
            let begin = Instant::now();
            let call = call(&shared, &http, body);
            let result = match tokio::time::timeout(shared.timeout, call).await {
                Ok(result) => result,
                Err(_) => Err(CallError::TimedOut(shared.timeout)),
            };
            shared.stats.end(outcome(&result), begin.elapsed());
            done(result);
        });
        // The thread has ended and makes no more calls.
        self.jobs.send(job).map_err(|_| Busy)
    }

    /// Calls `then` on the backend's thread after this delay; never if the thread ends before.
    pub(crate) fn after(&self, delay: Duration, then: impl FnOnce() + Send + 'static) {
        let job = Box::pin(async move {
            tokio::time::sleep(delay).await;
            then();
        });
        // The thread has ended.
        self.jobs.send(job).unwrap_or_default();
    }

    /// The URL without user, password and query.
    pub(crate) fn url(&self) -> &HttpUrl {
        &self.shared.shown
    }
}

async fn call(shared: &Shared, http: &reqwest::Client, body: Vec<u8>) -> Result<Answer, CallError> {
    let mut request = http
        .post(shared.url.clone())
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(key) = &shared.key {
        request = request.header(SIGNATURE, hex(hmac::sign(key, &body).as_ref()));
    }
    let mut response = request.body(body).send().await.map_err(call_error)?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(call_error)? {
        if body.len() + chunk.len() > shared.answer_max {
            return Err(CallError::TooLarge(shared.answer_max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, body })
}

fn outcome(result: &Result<Answer, CallError>) -> CallOutcome {
    match result {
        Ok(answer) if answer.status >= 500 => CallOutcome::ServerError,
        Ok(_) => CallOutcome::Answered,
        Err(CallError::Unreachable(_)) => CallOutcome::Unreachable,
        Err(CallError::TimedOut(_)) => CallOutcome::TimedOut,
        Err(CallError::TooLarge(_)) => CallOutcome::TooLarge,
        Err(_) => CallOutcome::Broken,
    }
}

/// The innermost cause is the most specific one: `Connection refused`. Outer ones may contain the URL.
fn call_error(error: reqwest::Error) -> CallError {
    let error = error.without_url();
    let connect = error.is_connect();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let why = cause.to_string();
    if connect {
        CallError::Unreachable(why)
    } else {
        CallError::Broken(why)
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a String does not fail.
        write!(hex, "{byte:02x}").expect("a String takes what is written to it");
        hex
    })
}
