//! The listening socket and its connections: limits of number, size and time, and TLS.
//!
//! Runs on the thread `api` (a single-threaded tokio runtime), which answers only probes itself: everything slower runs
//! on the thread `api-work`. Independent of the routes.

use std::{
    convert::Infallible,
    fmt,
    fs::File,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use axum::{
    Extension, Router,
    http::{HeaderValue, Request, header},
    response::{IntoResponse as _, Response},
};
use hyper::{
    body::Incoming,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    runtime::{Handle, Runtime},
    sync::{oneshot, watch},
    task::JoinSet,
    time::timeout,
};
use tracing::debug;

use super::{
    Peer,
    auth::is_probe,
    connections::{AnswerBody, ConnectionPermit, Connections, Service},
    problem::Problem,
    rates::Handshakes,
    tls::Acceptor,
};
use crate::config::ListenAddr;

/// The time limit for request headers, the TLS handshake, and an idle kept-alive connection.
const HEADER_TIME: Duration = Duration::from_secs(10);

/// The same for a connection of the reserve.
const PROBE_HEADER_TIME: Duration = Duration::from_secs(2);

/// Descriptors that are reserved for probes.
const SPARE_DESCRIPTORS: usize = 4;

/// Connections accepted before the open ones get a turn. One at a time, a burst would fill the system's queue, and a
/// client that finds it full waits a second until its SYN is repeated.
const ACCEPT_TURN: u32 = 32;

/// The pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The time limit for a request's body.
pub(super) const BODY_TIME: Duration = Duration::from_secs(10);

/// The size limit of a body, in bytes.
pub(super) const BODY_MAX: usize = 256 << 10;

/// A peer that acknowledges nothing for this long is gone, even if data is left to send.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// How long requests may take at shutdown.
const END_TIME: Duration = Duration::from_millis(300);

/// Why the API cannot be served.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// Cannot listen on the address.
    Listen(ListenAddr, io::Error),
    /// The certificate or key cannot be used.
    Tls(String),
    /// The system refused a thread.
    Thread(io::Error),
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(addr, error) if error.kind() == io::ErrorKind::AddrInUse => write!(
                f,
                "the API cannot listen on {addr}: another program uses this TCP port; set another one with \
                 listen in [api] (\"\" turns the API off), or stop that program"
            ),
            Self::Listen(addr, error) => {
                write!(f, "the API cannot listen on {addr} (listen in [api]): {error}")
            }
            Self::Tls(why) => write!(f, "tls of [api]: {why}"),
            Self::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl std::error::Error for ApiError {}

/// The sockets bound to the address: two if it means all addresses.
pub(super) fn bind(listen: ListenAddr) -> Result<Vec<TcpListener>, ApiError> {
    let mut bound = Vec::new();
    let addrs = listen
        .socket_addrs()
        .map_err(|error| ApiError::Listen(listen, error))?;
    for addr in addrs {
        match bind_one(addr) {
            Ok(listener) => bound.push(listener),
            // A machine without IPv6 serves IPv4 only.
            Err(error) if !bound.is_empty() && matches!(error.raw_os_error(), Some(97 | 99)) => {}
            Err(error) => return Err(ApiError::Listen(listen, error)),
        }
    }
    Ok(bound)
}

fn bind_one(addr: SocketAddr) -> io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(addr);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// The running server. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Running {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub(super) fn start(
        listeners: Vec<TcpListener>,
        router: Router,
        tls: Option<Acceptor>,
        handshakes: Arc<Handshakes>,
    ) -> Result<Self, ApiError> {
        let (stop, stopped) = watch::channel(false);
        let (ended, end) = oneshot::channel::<()>();
        let work = runtime()?;
        let server = Server {
            router,
            tls,
            connections: Arc::default(),
            handshakes,
            work: work.handle().clone(),
            stopped,
        };
        let working = thread::Builder::new()
            .name("api-work".to_owned())
            .spawn(move || {
                // The sender is dropped, never used.
                drop(work.block_on(end));
                work.shutdown_timeout(END_TIME);
            })
            .map_err(ApiError::Thread)?;
        let runtime = runtime()?;
        let thread = thread::Builder::new()
            .name("api".to_owned())
            .spawn(move || {
                runtime.block_on(serve(listeners, server));
                drop(ended);
                runtime.shutdown_timeout(END_TIME);
                drop(working.join());
            })
            .map_err(ApiError::Thread)?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

fn runtime() -> Result<Runtime, ApiError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(16)
        .thread_name("api-blocking")
        .build()
        .map_err(ApiError::Thread)
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn serve(listeners: Vec<TcpListener>, server: Server) {
    let connections = Arc::clone(&server.connections);
    let mut accepting = tokio::task::JoinSet::new();
    for listener in listeners {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
            continue;
        };
        accepting.spawn(server.clone().accept(listener));
    }
    while accepting.join_next().await.is_some() {}
    // Current requests are completed; event streams watch for shutdown themselves.
    let end = async {
        while !connections.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    drop(timeout(END_TIME, end).await);
}

/// What a listening socket needs to serve its connections.
#[derive(Clone)]
struct Server {
    router: Router,
    tls: Option<Acceptor>,
    connections: Arc<Connections>,
    handshakes: Arc<Handshakes>,
    /// Serves all requests but probes.
    work: Handle,
    stopped: watch::Receiver<bool>,
}

impl Server {
    async fn accept(self, listener: tokio::net::TcpListener) {
        let mut stopped = self.stopped.clone();
        let mut spare = Vec::new();
        let mut may_refill = true;
        let mut turn = 0_u32;
        loop {
            // The descriptors used for a probe are reserved again after it.
            while may_refill
                && spare.len() < SPARE_DESCRIPTORS
                && let Ok(file) = File::open("/dev/null")
            {
                spare.push(file);
            }
            may_refill = true;
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = ended(&mut stopped) => return,
            };
            match accepted {
                Ok((stream, peer)) if !self.may_begin(peer) => {
                    debug!(%peer, "closed: too many TLS handshakes with the API");
                    drop(stream);
                    turn = turn.wrapping_add(1);
                    if turn.is_multiple_of(ACCEPT_TURN) {
                        tokio::task::yield_now().await;
                    }
                }
                Ok((stream, peer)) => {
                    let permit = if spare.len() < SPARE_DESCRIPTORS {
                        self.connections.admit_probe(peer.ip())
                    } else {
                        self.connections.admit(peer.ip())
                    };
                    let is_probe = permit
                        .as_ref()
                        .is_none_or(|permit| permit.service() == Service::ProbesOnly);
                    self.begin(stream, peer, permit);
                    turn = turn.wrapping_add(1);
                    if is_probe || turn.is_multiple_of(ACCEPT_TURN) {
                        // It may send a request before the next connection comes, and then it is not idle.
                        tokio::task::yield_now().await;
                    }
                }
                Err(error) => {
                    // Usually out of descriptors.
                    debug!(%error, "accepting on the API");
                    may_refill = false;
                    if has_waiting_client(&listener) && self.free_descriptor(&mut spare) {
                        // The task of the evicted connection closes it.
                        tokio::task::yield_now().await;
                    } else {
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }

    /// Whether this address may start a TLS handshake now; always true without TLS.
    fn may_begin(&self, peer: SocketAddr) -> bool {
        self.tls.is_none() || self.handshakes.admit(peer.ip(), Instant::now())
    }

    /// Closes something so that a client can be accepted. Probes are closed last, because they have not sent their
    /// request yet.
    fn free_descriptor(&self, spare: &mut Vec<File>) -> bool {
        self.connections.evict_idle(Service::Everything)
            || spare.pop().is_some()
            || self.connections.evict_idle(Service::ProbesOnly)
    }

    /// Without a permit, the connection is closed at once.
    fn begin(&self, stream: TcpStream, peer: SocketAddr, permit: Option<ConnectionPermit>) {
        let Some(permit) = permit else { return };
        let server = self.clone();
        tokio::spawn(async move {
            let permit = Arc::new(permit);
            let served = tokio::select! {
                biased;
                () = permit.evicted() => Err(io::Error::other("closed to make room for another connection")),
                served = server.connection(stream, peer, &permit) => served,
            };
            if let Err(error) = served {
                debug!(%peer, %error, "a connection of the API");
            }
        });
    }

    async fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        permit: &Arc<ConnectionPermit>,
    ) -> io::Result<()> {
        stream.set_nodelay(true)?;
        socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
        match &self.tls {
            None => self.http(stream, peer, permit).await,
            Some(tls) => {
                let stream = timeout(header_time(permit), tls.accept(stream)).await??;
                self.http(stream, peer, permit).await
            }
        }
    }

    async fn http<S>(&self, stream: S, peer: SocketAddr, permit: &Arc<ConnectionPermit>) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let routed = TowerToHyperService::new(self.router.clone().layer(Extension(Peer(peer.ip()))));
        let service = service_fn(|request| {
            let in_request = permit.begin_request();
            if self.tls.is_some() {
                self.handshakes.note_request(peer.ip(), Instant::now());
            }
            let is_probe = is_probe(request.uri());
            let answer = is_served(&request, permit.service()).then(|| routed.call(request));
            let work = self.work.clone();
            async move {
                let served = async move {
                    let answer = match answer {
                        Some(answer) => answer.await.unwrap_or_else(|never: Infallible| match never {}),
                        None => refusal(),
                    };
                    Ok::<_, io::Error>(answer.map(|body| AnswerBody::new(body, in_request)))
                };
                if is_probe {
                    return served.await;
                }
                // Aborted with the connection.
                let mut tasks = JoinSet::new();
                tasks.spawn_on(served, &work);
                match tasks.join_next().await {
                    Some(Ok(served)) => served,
                    Some(Err(error)) => Err(io::Error::other(error)),
                    None => Err(io::Error::other("no answer")),
                }
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_time(permit))
            .max_headers(64)
            .max_buf_size(64 << 10)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let mut stopped = self.stopped.clone();
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = ended(&mut stopped) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        served.map_err(io::Error::other)
    }
}

/// Whether a client is waiting. accept(2) needs a descriptor before it looks at the queue, so without one it fails even
/// on an empty queue, in which case no connection needs to be closed.
fn has_waiting_client(listener: &tokio::net::TcpListener) -> bool {
    let mut queue = [PollFd::new(listener, PollFlags::IN)];
    poll(&mut queue, Some(&Timespec::default())) != Ok(0)
}

fn header_time(permit: &ConnectionPermit) -> Duration {
    match permit.service() {
        Service::Everything => HEADER_TIME,
        Service::ProbesOnly => PROBE_HEADER_TIME,
    }
}

fn is_served(request: &Request<Incoming>, service: Service) -> bool {
    service == Service::Everything || is_probe(request.uri())
}

fn refusal() -> Response {
    let problem =
        Problem::busy("too many connections are open, or too few descriptors are free: try again later");
    let mut answer = problem.into_response();
    answer
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// Waits for shutdown. The value returned by `wait_for` holds a lock and must not be kept.
pub(super) async fn ended(stopped: &mut watch::Receiver<bool>) {
    drop(stopped.wait_for(|stop| *stop).await);
}
