//! Reads and replaces the definition of one input or output, and lists the keys that definitions may have.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
};
use serde::Serialize;
use toml::Value;
use tracing::info;
use utoipa::ToSchema;

use super::{
    App, masks,
    model::{Endpoint, Origin},
    problem::{Answer, Body, Part, Problem},
    read,
    store::{self, Edit},
    write::{self, Preconditions},
};
use crate::{
    config::{Section, reference},
    names::Role,
};

type Ctx = State<Arc<App>>;
type Object = serde_json::Map<String, serde_json::Value>;

/// An input or output with its definition.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct EndpointDetail {
    #[serde(flatten)]
    endpoint: Endpoint,
    /// Version of the stream's table, for `If-Match`; the same as the `ETag` header.
    version: String,
    /// Its entry in the configuration as a table, with secrets masked; absent if no table defines it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    definition: Option<serde_json::Value>,
}

type Shown = ([(header::HeaderName, String); 1], Json<EndpointDetail>);

fn detail(app: &App, endpoint: Endpoint, place: usize, role: Role) -> Shown {
    let (version, definition) = app.store.entry(&endpoint.stream, role, place);
    let definition = definition.filter(|_| endpoint.origin != Origin::Caller);
    let etag = read::etag(&version);
    (
        etag,
        Json(EndpointDetail {
            endpoint,
            version,
            definition,
        }),
    )
}

/// Shows one input with its definition.
#[utoipa::path(get, path = "/api/v1/inputs/{id}", tag = "endpoints", params(("id" = String, Path)),
    responses((status = 200, body = EndpointDetail, headers(("ETag" = String, description = "for If-Match"))),
        (status = 404, body = Problem)))]
pub(super) async fn input(State(app): Ctx, Part(id): Part<String>) -> Answer<impl IntoResponse> {
    let (endpoint, place) = app.endpoint(&id, Role::Publisher).await?;
    Ok(detail(&app, endpoint, place, Role::Publisher))
}

/// Shows one output with its definition.
#[utoipa::path(get, path = "/api/v1/outputs/{id}", tag = "endpoints", params(("id" = String, Path)),
    responses((status = 200, body = EndpointDetail, headers(("ETag" = String, description = "for If-Match"))),
        (status = 404, body = Problem)))]
pub(super) async fn output(State(app): Ctx, Part(id): Part<String>) -> Answer<impl IntoResponse> {
    let (endpoint, place) = app.endpoint(&id, Role::Viewer).await?;
    Ok(detail(&app, endpoint, place, Role::Viewer))
}

/// Replaces an input that was added through the API; a masked secret (`***`) keeps its value. The id changes with the
/// address.
#[utoipa::path(put, path = "/api/v1/inputs/{id}", tag = "endpoints", params(("id" = String, Path), Preconditions),
    request_body = Object,
    responses((status = 200, body = EndpointDetail), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 412, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn put_input(
    app: Ctx,
    id: Part<String>,
    headers: HeaderMap,
    body: Body<Object>,
) -> Answer<impl IntoResponse> {
    replace(app, id, headers, body, Role::Publisher).await
}

/// Replaces an output that was added through the API; a masked secret (`***`) keeps its value. The id changes with the
/// address.
#[utoipa::path(put, path = "/api/v1/outputs/{id}", tag = "endpoints", params(("id" = String, Path), Preconditions),
    request_body = Object,
    responses((status = 200, body = EndpointDetail), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 412, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn put_output(
    app: Ctx,
    id: Part<String>,
    headers: HeaderMap,
    body: Body<Object>,
) -> Answer<impl IntoResponse> {
    replace(app, id, headers, body, Role::Viewer).await
}

async fn replace(
    State(app): Ctx,
    Part(id): Part<String>,
    headers: HeaderMap,
    Body(object): Body<Object>,
    role: Role,
) -> Answer<(StatusCode, Shown)> {
    let mut table = masks::table_of(object)?;
    let (endpoint, place) = app.endpoint(&id, role).await?;
    match endpoint.origin {
        Origin::Api => {}
        Origin::Config => {
            return Err(Problem::conflict(
                "it is defined in the configuration file: change it there and reload; the API can only start and stop it",
            ));
        }
        Origin::Caller => {
            return Err(Problem::conflict(
                "it comes from a template or a backend: change it there",
            ));
        }
    }
    let stream = endpoint.stream.clone();
    let change = move |state: &mut store::SavedState, edit: &Edit<'_>| {
        write::check_version(&headers, edit, &endpoint.stream)?;
        write::entry_of(state, edit, &endpoint, place, role, |list, at| {
            masks::unmask_table(&mut table, &store::table_of_entry(list[at].clone()));
            list[at] = Value::Table(table);
        })?;
        state.enabled.remove(&endpoint.id);
        Ok(())
    };
    app.edit(change).await?;
    let direction = super::shape::direction(role);
    let mut all = app.context().await?.all_endpoints();
    all.retain(|endpoint| endpoint.stream == stream && endpoint.direction == direction);
    app.warn_of_files(&mut all).await?;
    let changed = all.into_iter().nth(place);
    let changed = changed.ok_or_else(|| Problem::internal("it was removed again at the same time"))?;
    info!(%stream, url = %changed.url, "{direction} changed by the API");
    Ok((StatusCode::OK, detail(&app, changed, place, role)))
}

/// The keys of a kind of table.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct KeysOf {
    /// `stream`, `port` (srt, srt_publish and srt_play), `failover`, `srt`, `udp` (rtp too) or `file` (an input or output).
    table: &'static str,
    keys: Vec<Key>,
}

/// A key of a definition.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Key {
    name: &'static str,
    /// The type of the value.
    kind: &'static str,
    /// Unit of a bare number; empty if it has none.
    unit: &'static str,
    /// The default as TOML; empty if there is none.
    default: &'static str,
    /// An example value as TOML.
    example: &'static str,
    /// What it means.
    meaning: &'static str,
    /// Whether the value is a secret, which is not shown.
    secret: bool,
}

/// Lists the keys of definitions of streams, inputs and outputs, as described in docs/configuration.md.
#[utoipa::path(get, path = "/api/v1/keys", tag = "gateway", responses((status = 200, body = Vec<KeysOf>)))]
pub(super) async fn keys() -> Json<Vec<KeysOf>> {
    let of = |(table, section): (&'static str, Section)| KeysOf {
        table,
        keys: reference()
            .iter()
            .filter(|key| section.family().contains(&key.section))
            .map(|key| Key {
                name: key.name,
                kind: key.kind,
                unit: key.unit,
                default: key.default,
                example: key.example,
                meaning: key.doc,
                secret: key.secret,
            })
            .collect(),
    };
    let tables = [
        ("stream", Section::Stream),
        ("port", Section::Port),
        ("failover", Section::Failover),
        ("srt", Section::SrtEndpoint),
        ("udp", Section::UdpEndpoint),
        ("file", Section::FileEndpoint),
    ];
    Json(tables.into_iter().map(of).collect())
}
