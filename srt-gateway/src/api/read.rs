//! Handlers that only read. They run on the API's thread; those that ask control use a blocking thread.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::IntoResponse,
};

use super::{
    App,
    auth::Scope,
    model::{
        Endpoint, GatewayState, Health, Histories, HistoriesParams, History, HistoryParams, LIMIT,
        ListParams, Listener, Page, RecordParams, Rejection, Session, Step, StreamDetail, StreamSummary,
        StuckThread, Version,
    },
    problem::{Answer, Params, Part, Problem},
    shape::{self, ResponseContext},
};
use crate::{config::LogLevel, control::Listening, names::StreamName, telemetry::Event};

type Ctx = State<Arc<App>>;

/// How long control may leave questions unanswered: on an overloaded machine it is late by a second or two.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn program() -> Version {
    let edits = srt_safe::library_edits();
    Version {
        version: env!("CARGO_PKG_VERSION"),
        libsrt: srt_safe::library_version().to_string(),
        libsrt_edits: edits.split(',').filter(|edit| !edit.is_empty()).collect(),
        crypto: srt_safe::library_crypto(),
    }
}

/// Returns the versions of the program and of libsrt.
#[utoipa::path(get, path = "/api/v1/version", tag = "gateway", responses((status = 200, body = Version)))]
pub(super) async fn version() -> Json<Version> {
    Json(program())
}

/// Returns the state of the gateway and what the token permits.
#[utoipa::path(get, path = "/api/v1/gateway", tag = "gateway", responses((status = 200, body = GatewayState)))]
pub(super) async fn gateway(State(app): Ctx, Extension(scope): Extension<Scope>) -> Json<GatewayState> {
    let snapshot = app.sampler.latest();
    let directory = app.view.directory.load();
    let (bitrate_in_bps, bitrate_out_bps) = snapshot.bitrates();
    let live = directory
        .streams
        .values()
        .filter(|entry| entry.stream.has_source());
    Json(GatewayState {
        name: app.view.name.to_string(),
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: app.started.elapsed().as_secs(),
        draining: app.draining.load(Relaxed),
        streams: directory.streams.len(),
        streams_live: live.count(),
        sessions: snapshot.sessions.len(),
        viewers: snapshot.viewers(),
        bitrate_in_bps,
        bitrate_out_bps,
        loop_lag_ms: snapshot.lag.as_secs_f64() * 1e3,
        alarms: app.alarms.counts(),
        scope,
        log_level: app.log.level().map(LogLevel::as_str),
        config_file: app.store.file().map(|path| path.display().to_string()),
        state_file: app.store.path().map(|path| path.display().to_string()),
    })
}

/// Lists the streams by name.
#[utoipa::path(get, path = "/api/v1/streams", tag = "streams", params(ListParams),
    responses((status = 200, body = Page<StreamSummary>), (status = 400, body = Problem)))]
pub(super) async fn streams(
    State(app): Ctx,
    Params(params): Params<ListParams>,
) -> Answer<Json<Page<StreamSummary>>> {
    let context = app.context().await?;
    let mut streams = context.streams();
    streams.retain(|stream| params.is_of(&stream.name) && params.finds(&[&stream.name]));
    Ok(Json(params.page(streams)))
}

/// Shows one stream with its sessions, inputs, outputs and its table in the configuration. Percent-encode the name:
/// `live%2Fcam1`.
#[utoipa::path(get, path = "/api/v1/streams/{name}", tag = "streams", params(("name" = String, Path)),
    responses((status = 200, body = StreamDetail, headers(("ETag" = String, description = "for If-Match"))),
        (status = 404, body = Problem)))]
pub(super) async fn stream(State(app): Ctx, Part(name): Part<String>) -> Answer<impl IntoResponse> {
    let mut detail = app.context().await?.detail(&app, &name)?;
    let close = app
        .ask(move |view| view.stream_detail(&StreamName::new(name)))
        .await?;
    if let Some(close) = close {
        detail.ts = close.ts().cloned();
        detail.summary.verdict = close.verdict;
    }
    Ok((etag(&detail.version), Json(detail)))
}

pub(super) fn etag(version: &str) -> [(header::HeaderName, String); 1] {
    [(header::ETAG, format!("\"{version}\""))]
}

impl ResponseContext {
    pub(super) fn detail(&self, app: &App, name: &str) -> Answer<StreamDetail> {
        let named = StreamName::new(name);
        if !self.directory.streams.contains_key(&named) && !self.config.streams.contains_key(name) {
            return Err(no_stream(name));
        }
        let mut endpoints = self.all_endpoints();
        endpoints.retain(|endpoint| endpoint.stream == name);
        let summary = self.summary(&named, &endpoints);
        let (inputs, outputs) = endpoints
            .into_iter()
            .partition(|endpoint| endpoint.direction == "input");
        let (version, definition) = app.store.definition(name);
        Ok(StreamDetail {
            summary,
            version,
            definition,
            ts: None,
            sessions: self.sessions(|session| session.stream == named),
            input_list: inputs,
            output_list: outputs,
        })
    }
}

pub(super) fn no_stream(name: &str) -> Problem {
    let name: String = name.chars().take(100).collect();
    Problem::not_found(format!("there is no stream {name:?} (write / in a name as %2F)"))
}

/// Returns the history of a stream: one point per second for ten minutes, or one per ten seconds for a day.
#[utoipa::path(get, path = "/api/v1/streams/{name}/history", tag = "streams",
    params(("name" = String, Path), HistoryParams),
    responses((status = 200, body = History), (status = 404, body = Problem)))]
pub(super) async fn history(
    State(app): Ctx,
    Part(name): Part<String>,
    Params(params): Params<HistoryParams>,
) -> Answer<Json<History>> {
    let shown = app
        .sampler
        .history(&name, |history| history.shown(params.step, params.points));
    match shown {
        Some(history) => Ok(Json(history)),
        None if app.view.directory.load().streams.contains_key(name.as_str()) => {
            Ok(Json(super::history::History::new().shown(params.step, None)))
        }
        None => Err(no_stream(&name)),
    }
}

/// Returns one figure of the history of all streams at once, for sparklines.
#[utoipa::path(get, path = "/api/v1/history", tag = "streams", params(HistoriesParams),
    responses((status = 200, body = Histories), (status = 400, body = Problem)))]
pub(super) async fn histories(
    State(app): Ctx,
    Params(params): Params<HistoriesParams>,
) -> Answer<Json<Histories>> {
    let figure = params.figure.unwrap_or_else(|| "bitrate_bps".to_owned());
    if super::history::History::new()
        .column(&figure, params.step, 0)
        .is_none()
    {
        return Err(Problem::bad_request(
            "unknown figure: a stream's history lists their names",
        ));
    }
    let points = params.points.unwrap_or(60).min(LIMIT);
    let of = |history: &super::history::History| history.column(&figure, params.step, points);
    let all = app.sampler.histories(of).into_iter();
    let streams =
        all.filter_map(|(name, past)| Some((name.to_string(), past.filter(|past| !past.values.is_empty())?)));
    Ok(Json(Histories {
        step_seconds: match params.step {
            Step::Second => 1,
            Step::TenSeconds => 10,
        },
        streams: streams.collect(),
        figure,
    }))
}

/// Lists the open SRT connections, the oldest first.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "sessions", params(ListParams),
    responses((status = 200, body = Page<Session>)))]
pub(super) async fn sessions(
    State(app): Ctx,
    Params(params): Params<ListParams>,
) -> Answer<Json<Page<Session>>> {
    let mut sessions = app.context().await?.sessions(|_| true);
    sessions.retain(|s| params.is_of(&s.stream) && params.finds(&[&s.stream, &s.peer]));
    Ok(Json(params.page(sessions)))
}

/// Shows one connection.
#[utoipa::path(get, path = "/api/v1/sessions/{id}", tag = "sessions", params(("id" = u64, Path)),
    responses((status = 200, body = Session), (status = 404, body = Problem)))]
pub(super) async fn session(State(app): Ctx, Part(id): Part<u64>) -> Answer<Json<Session>> {
    let mut found = app.context().await?.sessions(|session| session.id.0 == id);
    found.pop().map(Json).ok_or_else(|| no_session(id))
}

pub(super) fn no_session(id: u64) -> Problem {
    Problem::not_found(format!("there is no open session {id}"))
}

/// Lists the inputs of all streams.
#[utoipa::path(get, path = "/api/v1/inputs", tag = "endpoints", params(ListParams),
    responses((status = 200, body = Page<Endpoint>)))]
pub(super) async fn inputs(
    State(app): Ctx,
    Params(params): Params<ListParams>,
) -> Answer<Json<Page<Endpoint>>> {
    endpoints(&app, "input", &params).await
}

/// Lists the outputs of all streams.
#[utoipa::path(get, path = "/api/v1/outputs", tag = "endpoints", params(ListParams),
    responses((status = 200, body = Page<Endpoint>)))]
pub(super) async fn outputs(
    State(app): Ctx,
    Params(params): Params<ListParams>,
) -> Answer<Json<Page<Endpoint>>> {
    endpoints(&app, "output", &params).await
}

async fn endpoints(app: &Arc<App>, direction: &str, params: &ListParams) -> Answer<Json<Page<Endpoint>>> {
    let mut all = app.context().await?.all_endpoints();
    all.retain(|endpoint| {
        endpoint.direction == direction
            && params.is_of(&endpoint.stream)
            && params.finds(&[&endpoint.stream, &endpoint.url])
    });
    Ok(Json(params.page(all)))
}

/// Lists the ports that the gateway listens on.
#[utoipa::path(get, path = "/api/v1/listeners", tag = "gateway", responses((status = 200, body = Vec<Listener>)))]
pub(super) async fn listeners(State(app): Ctx) -> Json<Vec<Listener>> {
    let config = app.view.config.load();
    let shape = |port: &Listening| shape::listener(port, &config);
    Json(app.view.listening.load().iter().map(shape).collect())
}

/// Lists the last refused connection attempts, the oldest first. Repeated attempts of one caller are one entry. The gateway
/// keeps 1000 entries and first drops those of callers that have many.
#[utoipa::path(get, path = "/api/v1/rejections", tag = "sessions", params(RecordParams),
    responses((status = 200, body = Vec<Rejection>)))]
pub(super) async fn rejections(
    State(app): Ctx,
    Params(params): Params<RecordParams>,
) -> Answer<Json<Vec<Rejection>>> {
    let all = app.view.rejections();
    let part = params.part(all, |rejection| rejection.number);
    Ok(Json(part.iter().map(shape::rejection).collect()))
}

/// Lists the last 2000 events, the oldest first: streams that start, stop, fall silent or change their source, verdicts,
/// sessions, failures of inputs and outputs, and refused attempts. These are the events that `[events]` posts, in the same
/// form.
#[utoipa::path(get, path = "/api/v1/events", tag = "gateway", params(RecordParams),
    responses((status = 200, body = Vec<Event>)))]
pub(super) async fn events(
    State(app): Ctx,
    Params(params): Params<RecordParams>,
) -> Answer<Json<Vec<Event>>> {
    let all = app.view.events.from(params.after.saturating_add(1), usize::MAX);
    let part = params.part(all, |event| event.number);
    Ok(Json(part.into_iter().map(Arc::unwrap_or_clone).collect()))
}

/// Returns the configuration in force, of the file and of the API together, with secrets masked.
#[utoipa::path(get, path = "/api/v1/config", tag = "gateway",
    responses((status = 200, body = Object, headers(("ETag" = String)))))]
pub(super) async fn config(State(app): Ctx) -> impl IntoResponse {
    let (version, config) = app.store.whole();
    (etag(&version), Json(config))
}

/// Reports whether the gateway works. Needs no token.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()),
    responses((status = 200, body = Health), (status = 503, body = Health)))]
pub(super) async fn healthz(State(app): Ctx) -> (StatusCode, Json<Health>) {
    health(&app, "")
}

/// Reports whether the gateway accepts new sessions. Needs no token.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, body = Health), (status = 503, body = Health)))]
pub(super) async fn readyz(State(app): Ctx) -> (StatusCode, Json<Health>) {
    if app.draining.load(Relaxed) {
        return health(&app, "draining");
    }
    health(&app, "")
}

/// `why_not`: a reason besides stuck threads, or empty.
fn health(app: &App, why_not: &'static str) -> (StatusCode, Json<Health>) {
    let report = app.view.threads.report();
    // The sampler asks control every second, so a control that loops without answering shows here.
    let answers = app.sampler.latest().taken.elapsed() < CONTROL_TIMEOUT;
    let (code, status) = match (report.is_healthy() && answers, report.stuck.is_empty()) {
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "stuck"),
        _ if !why_not.is_empty() => (StatusCode::SERVICE_UNAVAILABLE, why_not),
        (true, true) => (StatusCode::OK, "ok"),
        (true, false) => (StatusCode::OK, "degraded"),
    };
    let stuck = report.stuck.iter().map(|thread| StuckThread {
        thread: thread.name.clone(),
        since: humantime::format_rfc3339_seconds(thread.since).to_string(),
    });
    let stuck = stuck.collect();
    (code, Json(Health { status, stuck }))
}

/// Returns the OpenAPI description of this API.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "gateway", responses((status = 200, body = Object)))]
pub(super) async fn openapi(State(app): Ctx) -> impl IntoResponse {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (headers, app.openapi.clone())
}
