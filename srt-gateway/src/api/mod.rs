//! The HTTP API: what there is to see and to steer, figures, metrics, and a page for people.
//!
//! ```text
//!   api (a tokio runtime)  sockets, TLS, requests ──Commands──▶ control
//!   api-blocking           what waits for control's answer
//!   telemetry              a sample a second ──snapshot──▶ api
//! ```
//!
//! Reads snapshots and sends commands; touches neither sockets of SRT nor a ring. Every error is a [`problem`].

mod auth;
mod console;
mod history;
mod live;
mod model;
mod problem;
mod rates;
mod read;
mod sampler;
mod server;
mod shape;
mod store;
mod streaming;
mod tls;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
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
use tokio::sync::{Semaphore, watch};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) use server::ApiError;

use crate::{config::Config, control::SessionStatus, view::View};
use auth::Tokens;
use problem::{Answer, Problem};
use rates::Rates;
use sampler::{Sampler, Snapshot};
use shape::Look;
use store::Origins;

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
struct Peer(IpAddr);

/// What all handlers share.
#[derive(Debug)]
struct App {
    view: View,
    sampler: Sampler,
    started: Instant,
    tokens: ArcSwap<Tokens>,
    rates: Rates,
    origins: ArcSwap<Origins>,
    draining: AtomicBool,
    live_places: Arc<Semaphore>,
    /// True when the gateway ends: what is open for long is to close.
    stopped: watch::Receiver<bool>,
    openapi: Bytes,
}

impl App {
    /// All that is there now. Waits for control's answer elsewhere.
    async fn look(&self) -> Answer<Look> {
        let sessions = self.ask(View::sessions).await?;
        Ok(self.look_at(self.sampler.latest(), sessions))
    }

    /// What control answers, waited for on another thread.
    async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&View) -> T + Send + 'static) -> Answer<T> {
        let view = self.view.clone();
        let answer = tokio::task::spawn_blocking(move || question(&view));
        answer.await.map_err(|error| Problem::internal(error.to_string()))
    }

    fn look_at(&self, snapshot: Arc<Snapshot>, sessions: Vec<SessionStatus>) -> Look {
        Look {
            config: self.view.config.load_full(),
            directory: self.view.directory.load_full(),
            sessions,
            endpoints: self.view.endpoints.load_full(),
            snapshot,
            origins: self.origins.load_full(),
        }
    }

    /// The version of a stream's table, and the table, secrets masked.
    fn definition(&self, _name: &str) -> (String, Option<serde_json::Value>) {
        (String::new(), None)
    }

    /// The version of the whole configuration, and it, secrets masked.
    fn whole_configuration(&self) -> (String, serde_json::Value) {
        (String::new(), serde_json::Value::Null)
    }
}

/// The API of a running gateway. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Api {
    addrs: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    _running: server::Running,
}

impl Api {
    /// Listens and serves; None where the configuration says nowhere. Returns when the address is bound.
    pub(crate) fn start(config: &Config, view: View) -> Result<Option<Self>, ApiError> {
        let Some(listen) = config.api.listen else {
            return Ok(None);
        };
        let listeners = server::bind(listen)?;
        let tls = config.api.tls.as_ref().map(tls::Acceptor::new).transpose()?;
        let (stop, stopped) = watch::channel(false);
        let (router, openapi) = routes();
        let app = Arc::new(App {
            sampler: Sampler::start(view.clone()).map_err(ApiError::Thread)?,
            view,
            started: Instant::now(),
            tokens: ArcSwap::from_pointee(Tokens::of(&config.api)),
            rates: Rates::default(),
            origins: ArcSwap::default(),
            draining: AtomicBool::new(false),
            live_places: Arc::new(Semaphore::new(live::READERS)),
            stopped,
            openapi,
        });
        let addrs = listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect();
        let running = server::Running::start(listeners, finished(router, app), tls)?;
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

#[derive(OpenApi)]
#[openapi(
    info(title = "srt-gateway", description = "What docs/api.md describes. Stream names are percent-encoded in paths."),
    modifiers(&Bearer),
    security(("bearer" = [])),
    components(schemas(model::LiveEvent, Problem))
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("bearer", scheme);
    }
}

/// All routes, and their description as JSON.
fn routes() -> (Router<Arc<App>>, Bytes) {
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(read::version))
        .routes(routes!(read::gateway))
        .routes(routes!(read::streams))
        .routes(routes!(read::stream))
        .routes(routes!(read::history))
        .routes(routes!(read::sessions))
        .routes(routes!(read::session))
        .routes(routes!(read::inputs))
        .routes(routes!(read::outputs))
        .routes(routes!(read::listeners))
        .routes(routes!(read::rejections))
        .routes(routes!(read::config))
        .routes(routes!(read::healthz))
        .routes(routes!(read::readyz))
        .routes(routes!(read::openapi))
        .routes(routes!(live::live))
        .split_for_parts();
    let document = document
        .to_json()
        .expect("the description has no maps with keys that are no text");
    (router, document.into())
}

/// What surrounds all routes.
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
        "there is nothing at {path}; /api/v1/openapi.json has all paths"
    ))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::method_not_allowed(format!("{method} is not possible at {}", uri.path()))
}

/// Headers of all answers: nothing is cached unless it says so, nothing may be framed or guessed.
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
