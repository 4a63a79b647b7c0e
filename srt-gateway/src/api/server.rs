//! The listening socket and its connections: limits in number, size and time, and TLS.
//!
//! Runs on the thread `api` (a tokio runtime of one thread). Knows no route.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use axum::{Extension, Router};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{Semaphore, watch},
    time::timeout,
};
use tracing::debug;

use super::{Peer, tls::Acceptor};
use crate::config::ListenAddr;

/// Connections at a time; more wait in the system's queue.
const CONNECTIONS: usize = 512;

/// Time for the headers of a request, the TLS handshake, or until the next request of a kept connection begins.
const HEADER_TIME: Duration = Duration::from_secs(10);

/// Time for the body of a request.
pub(super) const BODY_TIME: Duration = Duration::from_secs(10);

/// Longest body in bytes.
pub(super) const BODY_MAX: usize = 256 << 10;

/// A peer that acknowledges nothing for so long is gone, whatever we still have for it.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Time that requests have when the gateway ends.
const END_TIME: Duration = Duration::from_millis(300);

/// Why the API cannot be served.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The address cannot be listened on.
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
                "the API cannot listen on {addr}: another program has this TCP port; choose another one with listen in [api] \
                 (\"\" switches the API off), or stop that program"
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

/// Sockets bound to the address: two where it means all of them.
pub(super) fn bind(listen: ListenAddr) -> Result<Vec<TcpListener>, ApiError> {
    let mut bound = Vec::new();
    for addr in listen.socket_addrs() {
        match bind_one(addr) {
            Ok(listener) => bound.push(listener),
            // A machine without IPv6 serves IPv4.
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
    socket.listen(1024)?;
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
    ) -> Result<Self, ApiError> {
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(16)
            .thread_name("api-blocking")
            .build()
            .map_err(ApiError::Thread)?;
        let thread = thread::Builder::new()
            .name("api".to_owned())
            .spawn(move || {
                runtime.block_on(serve(listeners, router, tls, stopped));
                runtime.shutdown_timeout(END_TIME);
            })
            .map_err(ApiError::Thread)?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn serve(
    listeners: Vec<TcpListener>,
    router: Router,
    tls: Option<Acceptor>,
    stopped: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut accepting = tokio::task::JoinSet::new();
    for listener in listeners {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
            continue;
        };
        let (router, tls, places, stopped) =
            (router.clone(), tls.clone(), Arc::clone(&places), stopped.clone());
        accepting.spawn(accept(listener, router, tls, places, stopped));
    }
    while accepting.join_next().await.is_some() {}
    // Those who are served get what they asked for; the live ones are told by their own watch.
    let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
    drop(timeout(END_TIME, places.acquire_many(all)).await);
}

async fn accept(
    listener: tokio::net::TcpListener,
    router: Router,
    tls: Option<Acceptor>,
    places: Arc<Semaphore>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ended(&mut stopped) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (router, tls, stopped) = (router.clone(), tls.clone(), stopped.clone());
                tokio::spawn(async move {
                    if let Err(error) = connection(stream, peer, router, tls, stopped).await {
                        debug!(%peer, %error, "a connection of the API");
                    }
                    drop(place);
                });
            }
            // Out of descriptors: others may be closed in a moment.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Waits for the end of the gateway. What `wait_for` gives holds a lock and must not be kept.
pub(super) async fn ended(stopped: &mut watch::Receiver<bool>) {
    drop(stopped.wait_for(|stop| *stop).await);
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    tls: Option<Acceptor>,
    stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    match tls {
        None => http(stream, peer, router, stopped).await,
        Some(tls) => {
            let stream = timeout(HEADER_TIME, tls.accept(stream)).await??;
            http(stream, peer, router, stopped).await
        }
    }
}

async fn http<S>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = router.layer(Extension(Peer(peer.ip())));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_headers(64)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = ended(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    served.map_err(io::Error::other)
}
