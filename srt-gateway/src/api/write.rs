//! Handlers that change something. Streams, inputs and outputs go through the
//! [`ConfigStore`](super::store::ConfigStore) to the reader and the reload code of the configuration file; the rest are
//! commands to control, or to the code that started the gateway.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};
use tracing::info;
use utoipa::{IntoParams, ToSchema};

use super::{
    ApiCommand, App,
    audit::{self, Change, note},
    masks,
    model::{Endpoint, Origin, StreamDetail},
    problem::{Answer, Body, Part, Problem},
    read,
    store::{self, Edit},
};
use crate::{
    config::{Config, LogLevel},
    control::{Command, EndpointState, Reloaded},
    file_check::file_warnings_within,
    names::Role,
};

type Ctx = State<Arc<App>>;
type Object = serde_json::Map<String, serde_json::Value>;

/// Preconditions of a change.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "for the description: the headers themselves are read")]
pub(super) struct Preconditions {
    /// Make the change only if one of these is the stream's `ETag`, or, with `*`, if the stream exists; otherwise 412.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
    /// With `*`, make the change only if the stream does not exist; otherwise 412.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// The result of a change.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct Changed {
    /// The changes, one sentence each.
    changes: Vec<String>,
    /// Changes that failed or are not in force yet, and what to do about them.
    warnings: Vec<String>,
}

#[cfg(test)]
impl Changed {
    pub(super) fn changes(&self) -> &[String] {
        &self.changes
    }
}

impl From<Reloaded> for Changed {
    fn from(reloaded: Reloaded) -> Self {
        Self {
            changes: reloaded.changes,
            warnings: reloaded.warnings,
        }
    }
}

/// How long an answer waits for the file system.
const FILES: Duration = Duration::from_secs(1);

impl App {
    /// Edits the configuration on a blocking thread, and applies the result.
    pub(super) async fn edit<T: Send + 'static>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut store::SavedState, &Edit<'_>) -> Answer<T> + Send + 'static,
    ) -> Answer<(T, Reloaded)> {
        let app = Arc::clone(self);
        let edited = tokio::task::spawn_blocking(move || {
            let apply = |config: Config, patience: Duration| {
                let reloaded = app.view.reload_within(config, patience);
                reloaded.ok_or_else(|| {
                    Problem::busy("the gateway did not apply the change, and it was not saved")
                })
            };
            app.store.edit(change, apply)
        });
        let (made, reloaded, changes) = edited
            .await
            .map_err(|error| Problem::internal(error.to_string()))??;
        audit::noted(changes);
        Ok((made, reloaded))
    }

    /// Adds warnings about the files of these endpoints, which belong to one stream and direction, in order.
    pub(super) async fn warn_of_files(self: &Arc<Self>, list: &mut [Endpoint]) -> Answer<()> {
        let Some(file) = list.iter().find(|endpoint| endpoint.url.starts_with("file:")) else {
            return Ok(());
        };
        let in_force = self.view.config.load();
        let Some((name, stream)) = in_force.streams.get_key_value(&file.stream) else {
            return Ok(());
        };
        // Only this stream, so that a page does not pay for the rest of the configuration.
        let mut config = Config::default();
        config.streams.insert(name.clone(), stream.clone());
        drop(in_force);
        let context = tokio::task::spawn_blocking(move || file_warnings_within(&config, FILES));
        let found = context
            .await
            .map_err(|error| Problem::internal(error.to_string()))?;
        for warning in found {
            let direction = super::shape::direction(warning.role);
            let mut same = list.iter_mut().filter(|endpoint| endpoint.direction == direction);
            if let Some(endpoint) = same.nth(warning.at) {
                endpoint.warnings.push(warning.text);
            }
        }
        Ok(())
    }

    /// The endpoint with this id, and its index in its stream's list.
    pub(super) async fn endpoint(&self, id: &str, role: Role) -> Answer<(Endpoint, usize)> {
        let direction = super::shape::direction(role);
        let all = self.context().await?.all_endpoints();
        let mut same = all.into_iter().filter(|endpoint| endpoint.direction == direction);
        let mut places = std::collections::HashMap::<String, usize>::new();
        same.find_map(|endpoint| {
            let place = places.entry(endpoint.stream.clone()).or_default();
            *place += 1;
            (endpoint.id == id).then_some((endpoint, *place - 1))
        })
        .ok_or_else(|| Problem::not_found(format!("there is no {direction} {:?}", shortened(id))))
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Compares the version of a stream with `If-Match` and `If-None-Match`.
pub(super) fn check_version(headers: &HeaderMap, edit: &Edit<'_>, name: &str) -> Answer<()> {
    let tags = |name| {
        let value = headers.get(name)?.to_str().ok()?;
        Some(
            value
                .split(',')
                .map(|tag| tag.trim().trim_matches('"').to_owned())
                .collect::<Vec<_>>(),
        )
    };
    let (there, version) = (edit.is_there(name), edit.version(name));
    if let Some(wanted) = tags(header::IF_MATCH)
        && !(there && wanted.iter().any(|tag| tag == "*" || *tag == version))
    {
        return Err(Problem::changed(
            "the current version is not the one in If-Match: read it again",
        ));
    }
    if let Some(unwanted) = tags(header::IF_NONE_MATCH)
        && there
        && unwanted.iter().any(|tag| tag == "*" || *tag == version)
    {
        return Err(Problem::changed("it already exists (If-None-Match)"));
    }
    Ok(())
}

fn in_file(name: &str) -> Problem {
    Problem::conflict(format!(
        "stream {name:?} is defined in the configuration file: change it there (the API can add, start and stop \
         inputs and outputs)"
    ))
}

/// Creates a stream, or replaces one that was created through the API. The body has the keys of `[streams.*]` as in the
/// configuration file; a masked secret (`***`) keeps its value.
#[utoipa::path(put, path = "/api/v1/streams/{name}", tag = "streams", params(("name" = String, Path), Preconditions),
    request_body = Option<Object>, responses((status = 200, body = StreamDetail), (status = 201, body = StreamDetail), (status = 409, body = Problem),
        (status = 412, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn put_stream(
    State(app): Ctx,
    Part(name): Part<String>,
    headers: HeaderMap,
    Body(object): Body<Object>,
) -> Answer<impl IntoResponse> {
    let mut table = masks::table_of(object)?;
    let named = name.clone();
    let change = move |state: &mut store::SavedState, edit: &Edit<'_>| {
        check_version(&headers, edit, &named)?;
        if edit.is_in_file(&named) {
            return Err(in_file(&named));
        }
        edit.unmasked(&named, &mut table);
        let new = !edit.is_there(&named);
        state.streams.insert(named, table);
        Ok(new)
    };
    let (new, _) = app.edit(change).await?;
    info!(stream = %name, "stream configured by the API");
    let mut detail = app.context().await?.detail(&app, &name)?;
    app.warn_of_files(&mut detail.input_list).await?;
    app.warn_of_files(&mut detail.output_list).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, read::etag(&detail.version), Json(detail)))
}

/// Removes a stream that was created through the API; its sessions end, unless unknown streams are accepted.
#[utoipa::path(delete, path = "/api/v1/streams/{name}", tag = "streams", params(("name" = String, Path), Preconditions),
    responses((status = 200, body = Changed), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 412, body = Problem)))]
pub(super) async fn delete_stream(
    State(app): Ctx,
    Part(name): Part<String>,
    headers: HeaderMap,
) -> Answer<Json<Changed>> {
    let named = name.clone();
    let change = move |state: &mut store::SavedState, edit: &Edit<'_>| {
        check_version(&headers, edit, &named)?;
        if edit.is_in_file(&named) {
            return Err(in_file(&named));
        }
        state
            .streams
            .remove(&named)
            .ok_or_else(|| read::no_stream(&named))?;
        Ok(())
    };
    let ((), reloaded) = app.edit(change).await?;
    info!(stream = %name, "stream removed by the API");
    Ok(Json(reloaded.into()))
}

/// Adds an output to a stream: `{"url": "srt://..."}` and other keys of an entry of `outputs`.
#[utoipa::path(post, path = "/api/v1/streams/{name}/outputs", tag = "endpoints", params(("name" = String, Path), Preconditions),
    request_body = Object, responses((status = 201, body = Endpoint), (status = 404, body = Problem),
        (status = 412, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn add_output(
    app: Ctx,
    name: Part<String>,
    headers: HeaderMap,
    body: Body<Object>,
) -> Answer<(StatusCode, Json<Endpoint>)> {
    add(app, name, headers, body, Role::Viewer).await
}

/// Adds an input to a stream, after its existing ones: `{"url": "srt://..."}` and other keys of an entry of `inputs`.
#[utoipa::path(post, path = "/api/v1/streams/{name}/inputs", tag = "endpoints", params(("name" = String, Path), Preconditions),
    request_body = Object, responses((status = 201, body = Endpoint), (status = 404, body = Problem),
        (status = 412, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn add_input(
    app: Ctx,
    name: Part<String>,
    headers: HeaderMap,
    body: Body<Object>,
) -> Answer<(StatusCode, Json<Endpoint>)> {
    add(app, name, headers, body, Role::Publisher).await
}

async fn add(
    State(app): Ctx,
    Part(name): Part<String>,
    headers: HeaderMap,
    Body(object): Body<Object>,
    role: Role,
) -> Answer<(StatusCode, Json<Endpoint>)> {
    let entry = Value::Table(masks::table_of(object)?);
    let named = name.clone();
    let change = move |state: &mut store::SavedState, edit: &Edit<'_>| {
        check_version(&headers, edit, &named)?;
        if let Some(stream) = state.streams.get_mut(&named)
            && !edit.is_in_file(&named)
        {
            own_list(stream, role)?.push(entry);
        } else if edit.is_in_file(&named) {
            state.added.entry(named).or_default().list(role).push(entry);
        } else {
            return Err(read::no_stream(&named));
        }
        Ok(())
    };
    app.edit(change).await?;
    let mut all = app.context().await?.all_endpoints();
    let direction = super::shape::direction(role);
    all.retain(|endpoint| {
        endpoint.stream == name && endpoint.direction == direction && !endpoint.id.contains("-r")
    });
    app.warn_of_files(&mut all).await?;
    // The last entry of a list is the newest.
    let added = all
        .pop()
        .ok_or_else(|| Problem::internal("it was removed again at the same time"))?;
    info!(stream = %name, url = %added.url, "{direction} added by the API");
    Ok((StatusCode::CREATED, Json(added)))
}

fn own_list(stream: &mut Table, role: Role) -> Answer<&mut Vec<Value>> {
    let list = stream
        .entry(store::key_of(role))
        .or_insert_with(|| Value::Array(Vec::new()));
    list.as_array_mut()
        .ok_or_else(|| Problem::conflict("inputs or outputs of the stream is not a list"))
}

/// Removes an output that was added through the API.
#[utoipa::path(delete, path = "/api/v1/outputs/{id}", tag = "endpoints", params(("id" = String, Path), Preconditions),
    responses((status = 200, body = Changed), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn delete_output(app: Ctx, id: Part<String>, headers: HeaderMap) -> Answer<Json<Changed>> {
    remove(app, id, headers, Role::Viewer).await
}

/// Removes an input that was added through the API.
#[utoipa::path(delete, path = "/api/v1/inputs/{id}", tag = "endpoints", params(("id" = String, Path), Preconditions),
    responses((status = 200, body = Changed), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn delete_input(app: Ctx, id: Part<String>, headers: HeaderMap) -> Answer<Json<Changed>> {
    remove(app, id, headers, Role::Publisher).await
}

async fn remove(
    State(app): Ctx,
    Part(id): Part<String>,
    headers: HeaderMap,
    role: Role,
) -> Answer<Json<Changed>> {
    let (endpoint, place) = app.endpoint(&id, role).await?;
    if endpoint.origin != Origin::Api {
        return Err(Problem::conflict(
            "it was not added through the API: remove it from the configuration file, or stop it",
        ));
    }
    let change = move |state: &mut store::SavedState, edit: &Edit<'_>| {
        check_version(&headers, edit, &endpoint.stream)?;
        entry_of(state, edit, &endpoint, place, role, Vec::remove)?;
        state.enabled.remove(&endpoint.id);
        Ok(())
    };
    let ((), reloaded) = app.edit(change).await?;
    Ok(Json(reloaded.into()))
}

/// Modifies an endpoint that the API created in the saved state.
pub(super) fn entry_of<T>(
    state: &mut store::SavedState,
    edit: &Edit<'_>,
    endpoint: &Endpoint,
    place: usize,
    role: Role,
    with: impl FnOnce(&mut Vec<Value>, usize) -> T,
) -> Answer<T> {
    let gone = || Problem::conflict("it has changed in the meantime: read it again");
    let from = edit.in_file(&endpoint.stream, role);
    let (list, at) = match state.streams.get_mut(&endpoint.stream) {
        Some(stream) if !edit.is_in_file(&endpoint.stream) => (own_list(stream, role)?, place),
        _ => {
            let added = state.added.get_mut(&endpoint.stream).ok_or_else(gone)?;
            (added.list(role), place.checked_sub(from).ok_or_else(gone)?)
        }
    };
    if at >= list.len() {
        return Err(gone());
    }
    Ok(with(list, at))
}

/// Starts a stopped output.
#[utoipa::path(post, path = "/api/v1/outputs/{id}/start", tag = "endpoints", params(("id" = String, Path), Preconditions),
    responses((status = 200, body = Endpoint), (status = 404, body = Problem)))]
pub(super) async fn start_output(app: Ctx, id: Part<String>, headers: HeaderMap) -> Answer<Json<Endpoint>> {
    set_running(app, id, headers, Role::Viewer, RequestedState::Started).await
}

/// Stops an output, until it is started again.
#[utoipa::path(post, path = "/api/v1/outputs/{id}/stop", tag = "endpoints", params(("id" = String, Path), Preconditions),
    responses((status = 200, body = Endpoint), (status = 404, body = Problem)))]
pub(super) async fn stop_output(app: Ctx, id: Part<String>, headers: HeaderMap) -> Answer<Json<Endpoint>> {
    set_running(app, id, headers, Role::Viewer, RequestedState::Stopped).await
}

/// Starts a stopped input.
#[utoipa::path(post, path = "/api/v1/inputs/{id}/start", tag = "endpoints", params(("id" = String, Path), Preconditions),
    responses((status = 200, body = Endpoint), (status = 404, body = Problem)))]
pub(super) async fn start_input(app: Ctx, id: Part<String>, headers: HeaderMap) -> Answer<Json<Endpoint>> {
    set_running(app, id, headers, Role::Publisher, RequestedState::Started).await
}

/// Stops an input, until it is started again.
#[utoipa::path(post, path = "/api/v1/inputs/{id}/stop", tag = "endpoints", params(("id" = String, Path), Preconditions),
    responses((status = 200, body = Endpoint), (status = 404, body = Problem)))]
pub(super) async fn stop_input(app: Ctx, id: Part<String>, headers: HeaderMap) -> Answer<Json<Endpoint>> {
    set_running(app, id, headers, Role::Publisher, RequestedState::Stopped).await
}

/// The requested state of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestedState {
    Started,
    Stopped,
}

async fn set_running(
    State(app): Ctx,
    Part(id): Part<String>,
    headers: HeaderMap,
    role: Role,
    wanted: RequestedState,
) -> Answer<Json<Endpoint>> {
    let on = wanted == RequestedState::Started;
    let (endpoint, place) = app.endpoint(&id, role).await?;
    let told = endpoint.url.clone();
    let change = move |state: &mut store::SavedState, edit: &Edit<'_>| {
        check_version(&headers, edit, &endpoint.stream)?;
        match endpoint.origin {
            Origin::Api => entry_of(state, edit, &endpoint, place, role, |list, at| {
                store::set_enabled(&mut list[at], on);
            })?,
            Origin::Config => drop(state.enabled.insert(endpoint.id, on)),
            Origin::Caller => {
                return Err(Problem::conflict(
                    "it comes from a template or a backend: the API cannot start or stop it",
                ));
            }
        }
        Ok(())
    };
    app.edit(change).await?;
    info!(endpoint = %told, "{} by the API", if on { "started" } else { "stopped" });
    let (endpoint, _) = app.endpoint(&id, role).await?;
    Ok(Json(endpoint))
}

/// Switches a stream to this input, at once if it has data. The input stays preferred until another one is selected or the
/// gateway restarts.
#[utoipa::path(post, path = "/api/v1/inputs/{id}/switch", tag = "endpoints", params(("id" = String, Path)),
    responses((status = 200, body = Endpoint), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn switch_input(State(app): Ctx, Part(id): Part<String>) -> Answer<Json<Endpoint>> {
    let (endpoint, _) = app.endpoint(&id, Role::Publisher).await?;
    let views = app.view.endpoints.load_full();
    let running = endpoint
        .running
        .and_then(|number| views.iter().find(|view| view.id.0 == number));
    let Some(running) = running.map(|view| view.id) else {
        return Err(Problem::conflict("the input is stopped: start it first"));
    };
    let fed_by = |app: &App| {
        let views = app.view.endpoints.load();
        let mut inputs = views.iter().filter(|view| {
            view.status.role == Role::Publisher && view.status.stream.as_str() == endpoint.stream
        });
        inputs
            .find(|view| view.status.state == EndpointState::Live)
            .map(|view| view.status.url.clone())
    };
    let before = fed_by(&app);
    let done = app
        .ask(move |view| view.ask(|reply| Command::Switch(running, reply)))
        .await?;
    if done != Some(true) {
        return Err(Problem::conflict("the input no longer exists"));
    }
    note(Change::new("input", before, Some(endpoint.url.clone())));
    let (endpoint, _) = app.endpoint(&id, Role::Publisher).await?;
    Ok(Json(endpoint))
}

/// The log level: `error`, `warn`, `info`, `debug` or `trace`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogSettings {
    #[schema(pattern = "^(error|warn|info|debug|trace)$")]
    level: String,
}

/// Changes the log level until the configuration is reloaded or the gateway restarts.
#[utoipa::path(put, path = "/api/v1/log", tag = "gateway", request_body = LogSettings,
    responses((status = 200, body = LogSettings), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn put_log(State(app): Ctx, Body(settings): Body<LogSettings>) -> Answer<Json<LogSettings>> {
    let levels = [
        LogLevel::Error,
        LogLevel::Warn,
        LogLevel::Info,
        LogLevel::Debug,
        LogLevel::Trace,
    ];
    let level = levels.into_iter().find(|level| level.as_str() == settings.level);
    let level = level.ok_or_else(|| Problem::invalid("level must be error, warn, info, debug or trace"))?;
    let before = app.log.level().map(|level| level.as_str().to_owned());
    app.log
        .set(level)
        .map_err(|_| Problem::conflict("RUST_LOG overrides the log level: restart the gateway without it"))?;
    note(Change::new("log.level", before, Some(settings.level.clone())));
    info!(level = level.as_str(), "log level changed by the API");
    Ok(Json(settings))
}

/// How to drain the gateway.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DrainSettings {
    /// Stop after this time even if sessions are open.
    wait_seconds: u64,
}

impl Default for DrainSettings {
    fn default() -> Self {
        Self { wait_seconds: 300 }
    }
}

/// Accepts no new sessions, waits for open ones to end, and stops the gateway. `/readyz` fails from now on.
#[utoipa::path(post, path = "/api/v1/drain", tag = "gateway", request_body = Option<DrainSettings>,
    responses((status = 202), (status = 503, body = Problem)))]
pub(super) async fn drain(State(app): Ctx, Body(settings): Body<DrainSettings>) -> Answer<StatusCode> {
    let wait = Duration::from_secs(settings.wait_seconds.min(86_400));
    let _turn = app.drain_turn.lock().await;
    let before = app.draining.swap(true, Relaxed);
    set_draining(&app, true).await?;
    app.order(ApiCommand::Drain(wait))?;
    note(Change::new(
        "draining",
        Some(before.to_string()),
        Some(format!("true, for {} at most", humantime::format_duration(wait))),
    ));
    Ok(StatusCode::ACCEPTED)
}

async fn set_draining(app: &App, on: bool) -> Answer<()> {
    let told = app
        .ask(move |view| view.ask(|reply| Command::Drain(on, reply)))
        .await?;
    told.ok_or_else(|| Problem::busy("the gateway is shutting down"))
}

/// Cancels a drain: the gateway admits callers again and does not stop.
#[utoipa::path(delete, path = "/api/v1/drain", tag = "gateway",
    responses((status = 204), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn cancel_drain(State(app): Ctx) -> Answer<StatusCode> {
    let _turn = app.drain_turn.lock().await;
    if !app.draining.load(Relaxed) {
        return Err(Problem::conflict("the gateway is not draining"));
    }
    // First, so that the gateway does not stop meanwhile.
    app.order(ApiCommand::CancelDrain)?;
    set_draining(&app, false).await?;
    app.draining.store(false, Relaxed);
    note(Change::new(
        "draining",
        Some("true".to_owned()),
        Some("false".to_owned()),
    ));
    Ok(StatusCode::NO_CONTENT)
}
