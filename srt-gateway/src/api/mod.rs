//! The HTTP API: status and control of the gateway, figures, metrics, and the console.
//!
//! ```text
//!   api (a tokio runtime)  sockets, TLS, probes
//!   api-work (another)     all other requests ──Commands──▶ control
//!   api-blocking           what waits for control's answer
//!   telemetry              a sample a second ──snapshot──▶ api-work
//! ```
//!
//! Reads snapshots and sends commands; touches neither SRT sockets nor a ring. Every error is a [`problem`].

mod alarms;
mod audit;
mod auth;
mod ban_file;
mod bans;
mod connections;
mod console;
mod counts;
mod definition;
mod events;
mod export;
mod figures;
mod history;
mod live;
mod masks;
mod media;
mod metrics;
mod model;
mod openapi;
mod problem;
mod rates;
mod read;
mod reload;
mod sampler;
mod server;
mod shape;
mod state_file;
mod store;
mod streaming;
mod tls;
mod totals;
mod write;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderName, HeaderValue, Method, Uri, header},
    middleware,
    response::Response,
};
use bytes::Bytes;
use crossbeam_channel::Sender;
use tokio::sync::{Semaphore, watch};
use utoipa::OpenApi as _;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) use audit::{Change, Changes, Entry, Outcome, Via};
pub(crate) use reload::NotReloaded;
pub(crate) use server::ApiError;

use crate::{
    config::Config,
    control::{Reloaded, SessionStatus},
    log_control::LogControl,
    view::View,
};
use alarms::AlarmService;
use auth::Tokens;
use problem::{Answer, Problem};
use rates::{Handshakes, Rates};
use sampler::{Sampler, Snapshot};
use shape::ResponseContext;
pub(crate) use store::ConfigStore;

/// The address that sent a request.
#[derive(Clone, Copy, Debug)]
struct Peer(IpAddr);

/// Shared by all handlers.
#[derive(Debug)]
struct App {
    view: View,
    sampler: Sampler,
    alarms: Arc<AlarmService>,
    started: Instant,
    tokens: ArcSwap<Tokens>,
    rates: Rates,
    handshakes: Arc<Handshakes>,
    store: Arc<ConfigStore>,
    log: Arc<LogControl>,
    orders: Sender<ApiCommand>,
    draining: AtomicBool,
    /// Held while a drain begins or is cancelled: each of them has several steps.
    drain_turn: tokio::sync::Mutex<()>,
    live_places: Arc<Semaphore>,
    video_places: Arc<Semaphore>,
    /// Metrics are written for one request at a time: concurrent ones would keep all cores from answering probes.
    metrics_turn: Arc<Semaphore>,
    /// True when the gateway shuts down: long-running responses must end.
    stopped: watch::Receiver<bool>,
    openapi: Bytes,
}

impl App {
    /// The current state. Waits for control's answer on another thread.
    async fn context(&self) -> Answer<ResponseContext> {
        let sessions = self.ask(View::sessions_if_told).await?;
        // An error rather than an empty list, which would look like a valid answer.
        let sessions =
            sessions.ok_or_else(|| Problem::busy("the gateway is overloaded or shutting down: try again"))?;
        Ok(self.context_of(self.sampler.latest(), sessions))
    }

    /// Asks control, and waits for the answer on another thread.
    async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&View) -> T + Send + 'static) -> Answer<T> {
        let view = self.view.clone();
        let answer = tokio::task::spawn_blocking(move || question(&view));
        answer.await.map_err(|error| Problem::internal(error.to_string()))
    }

    fn context_of(&self, snapshot: Arc<Snapshot>, sessions: Vec<SessionStatus>) -> ResponseContext {
        ResponseContext {
            config: self.view.config.load_full(),
            directory: self.view.directory.load_full(),
            sessions,
            endpoints: self.view.endpoints.load_full(),
            snapshot,
            origins: self.store.origins.load_full(),
        }
    }

    /// The tokens of the configuration in force.
    fn tokens(&self) -> Arc<Tokens> {
        let config = self.view.config.load();
        let tokens = self.tokens.load_full();
        if Arc::ptr_eq(&tokens.config, &config) {
            return tokens;
        }
        let tokens = Arc::new(Tokens::of(Arc::clone(&config)));
        self.tokens.store(Arc::clone(&tokens));
        tokens
    }

    /// Sends a command to the code that started the gateway.
    fn order(&self, order: ApiCommand) -> Answer<()> {
        let sent = self.orders.try_send(order);
        sent.map_err(|_| Problem::busy("the gateway is busy or shutting down: try again"))
    }
}

/// The result of reloading the configuration file, and the differences in it.
pub(crate) type ReloadResult = (Result<Reloaded, NotReloaded>, Changes);

/// Commands to the code that started the gateway.
#[derive(Debug)]
pub(crate) enum ApiCommand {
    /// Reload the configuration file, and reply with the result.
    Reload(tokio::sync::oneshot::Sender<ReloadResult>),
    /// New callers are refused: shut down when no session is left, or after this time.
    Drain(Duration),
    /// Callers are admitted again: continue.
    CancelDrain,
}

/// The API of a running gateway. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Api {
    addrs: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    _running: server::Running,
}

impl Api {
    /// Listens and serves; None if no address is configured. Returns once the address is bound.
    ///
    /// `store` holds the configuration; `orders` go to the code that started the gateway.
    pub(crate) fn start(
        config: &Config,
        view: View,
        (store, log): (Arc<ConfigStore>, Arc<LogControl>),
        orders: Sender<ApiCommand>,
    ) -> Result<Option<Self>, ApiError> {
        let Some(listen) = config.api.listen else {
            return Ok(None);
        };
        let listeners = server::bind(listen)?;
        let tls = config.api.tls.as_ref().map(tls::Acceptor::new).transpose()?;
        let (stop, stopped) = watch::channel(false);
        let (router, openapi) = routes();
        let alarms = Arc::new(AlarmService::new(view.clone(), Arc::clone(&store), tls.clone()));
        let handshakes = Arc::<Handshakes>::default();
        let app = Arc::new(App {
            sampler: Sampler::start(view.clone(), Arc::clone(&alarms)).map_err(ApiError::Thread)?,
            alarms,
            tokens: ArcSwap::from_pointee(Tokens::of(view.config.load_full())),
            view,
            started: Instant::now(),
            rates: Rates::default(),
            handshakes: Arc::clone(&handshakes),
            store,
            log,
            orders,
            video_places: Arc::new(Semaphore::new(media::VIEWERS)),
            metrics_turn: Arc::new(Semaphore::new(1)),
            draining: AtomicBool::new(false),
            drain_turn: tokio::sync::Mutex::default(),
            live_places: Arc::new(Semaphore::new(live::READERS)),
            stopped,
            openapi,
        });
        let addrs = listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect();
        let running = server::Running::start(listeners, finished(router, app), tls, handshakes)?;
        Ok(Some(Self {
            addrs,
            stop,
            _running: running,
        }))
    }

    /// The addresses that it listens on.
    pub(crate) fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// All routes, and the OpenAPI description as JSON.
fn routes() -> (Router<Arc<App>>, Bytes) {
    let (router, mut document) = OpenApiRouter::with_openapi(openapi::Document::openapi())
        .routes(routes!(read::version))
        .routes(routes!(read::gateway))
        .routes(routes!(read::streams))
        .routes(routes!(read::stream))
        .routes(routes!(read::history))
        .routes(routes!(read::histories))
        .routes(routes!(read::sessions))
        .routes(routes!(read::session))
        .routes(routes!(read::inputs))
        .routes(routes!(read::outputs))
        .routes(routes!(read::listeners))
        .routes(routes!(read::rejections))
        .routes(routes!(read::events))
        .routes(routes!(read::config))
        .routes(routes!(audit::audit))
        .routes(routes!(export::export))
        .merge(
            OpenApiRouter::new()
                .routes(routes!(export::import))
                .layer(DefaultBodyLimit::max(export::IMPORT_MAX)),
        )
        .routes(routes!(alarms::alarms))
        .routes(routes!(alarms::acknowledge))
        .routes(routes!(alarms::expected_off))
        .routes(routes!(alarms::put_expected_off, alarms::delete_expected_off))
        .routes(routes!(alarms::maintenance, alarms::add_maintenance))
        .routes(routes!(alarms::delete_maintenance))
        .routes(routes!(read::healthz))
        .routes(routes!(read::readyz))
        .routes(routes!(read::openapi))
        .routes(routes!(live::live))
        .routes(routes!(write::put_stream, write::delete_stream))
        .routes(routes!(write::add_output))
        .routes(routes!(write::add_input))
        .routes(routes!(
            definition::output,
            definition::put_output,
            write::delete_output
        ))
        .routes(routes!(
            definition::input,
            definition::put_input,
            write::delete_input
        ))
        .routes(routes!(definition::keys))
        .routes(routes!(write::start_output))
        .routes(routes!(write::stop_output))
        .routes(routes!(write::start_input))
        .routes(routes!(write::stop_input))
        .routes(routes!(write::switch_input))
        .routes(routes!(bans::kick))
        .routes(routes!(bans::bans, bans::add_ban))
        .routes(routes!(bans::delete_ban))
        .routes(routes!(write::put_log))
        .routes(routes!(reload::reload, reload::last_reload))
        .routes(routes!(write::drain, write::cancel_drain))
        .routes(routes!(media::video))
        .routes(routes!(media::keyframe))
        .routes(routes!(metrics::metrics))
        .split_for_parts();
    openapi::finish(&mut document);
    let document = document
        .to_json()
        .expect("the description has no maps with keys that are no text");
    (router, document.into())
}

/// Adds the layers that apply to all routes.
fn finished(router: Router<Arc<App>>, app: Arc<App>) -> Router {
    router
        .merge(console::routes())
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(server::BODY_MAX))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), auth::guard))
        .layer(middleware::map_response(with_headers))
        .with_state(app)
}

async fn unknown(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::not_found(format!(
        "no such path: {path}; /api/v1/openapi.json lists all paths"
    ))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::method_not_allowed(format!("{method} is not allowed for {}", uri.path()))
}

/// The headers of all answers: no caching unless stated, no framing, no content sniffing.
async fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
