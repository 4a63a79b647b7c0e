//! Everything that the API has added, as one document: to keep it elsewhere, or to bring it to another gateway.
//!
//! Secrets are masked unless a token with the scope `admin` asks for them, which the audit log records.

use std::sync::Arc;

use axum::{Extension, Json, extract::State, http::Method};
use serde::Deserialize;
use toml::{Table, Value};
use tracing::info;
use utoipa::{IntoParams, ToSchema};

use super::{
    App, Peer,
    audit::{Outcome, RequestInfo},
    auth::{Actor, Scope},
    masks,
    problem::{Answer, Body, Params, Problem},
    store::{Edit, SavedState},
    write::Changed,
};

type Ctx = State<Arc<App>>;
type Object = serde_json::Map<String, serde_json::Value>;

/// The format of the document.
const FORMAT: i64 = 1;

/// The longest document, in bytes: as many definitions as the API keeps.
pub(super) const IMPORT_MAX: usize = 16 << 20;

/// Whether secrets are exported.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ExportParams {
    /// Include secrets; needs the scope `admin`.
    secrets: bool,
}

/// Everything that the API has added.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the description: the document is made of tables")]
pub(crate) struct Exported {
    /// 1.
    format: i64,
    /// The streams, by name: their tables as in the configuration file.
    streams: Object,
    /// Inputs and outputs added to streams of the configuration file, by the stream's name: `inputs` and `outputs`.
    added: Object,
    /// Inputs and outputs of the configuration file that were started or stopped, by id.
    enabled: std::collections::BTreeMap<String, bool>,
}

/// Exports all streams, inputs and outputs that the API has added, and what it has started and stopped. Without `secrets`, secrets are masked, and the
/// document can be imported only where they are known.
#[utoipa::path(get, path = "/api/v1/export", tag = "gateway", params(ExportParams),
    responses((status = 200, body = Exported), (status = 403, body = Problem)))]
pub(super) async fn export(
    State(app): Ctx,
    Extension(scope): Extension<Scope>,
    Extension(actor): Extension<Actor>,
    peer: Option<Extension<Peer>>,
    Params(params): Params<ExportParams>,
) -> Answer<Json<serde_json::Value>> {
    if params.secrets && scope < Scope::Admin {
        return Err(Problem::forbidden("exporting secrets requires the scope admin"));
    }
    let mut table =
        Table::try_from(app.store.saved()).map_err(|error| Problem::internal(error.to_string()))?;
    table.insert("format".to_owned(), Value::Integer(FORMAT));
    if !params.secrets {
        return Ok(Json(masks::shown_table(&table)));
    }
    let asked = RequestInfo {
        by: actor.0.to_string(),
        address: peer.map(|Extension(peer)| peer.0),
        method: Method::GET,
        path: "/api/v1/export?secrets=true".to_owned(),
    };
    app.store
        .audit
        .add(asked.entry(Outcome::Ok, 200, None), &app.view.events);
    let whole = serde_json::to_value(table).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(Json(whole))
}

/// How to import.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ImportParams {
    /// Replace everything that the API has added before; without it, the document is added, and what is there already must be the same.
    replace: bool,
}

/// Imports a document of `GET /export`, all of it or nothing. Masked secrets (`***`) keep the values that they have here.
#[utoipa::path(post, path = "/api/v1/import", tag = "gateway", params(ImportParams), request_body = Exported,
    responses((status = 200, body = Changed), (status = 409, body = Problem), (status = 413, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn import(
    State(app): Ctx,
    Params(params): Params<ImportParams>,
    Body(object): Body<Object>,
) -> Answer<Json<Changed>> {
    let mut document = document(masks::table_of(object)?)?;
    let change = move |state: &mut SavedState, edit: &Edit<'_>| {
        for (name, table) in &mut document.streams {
            if edit.is_in_file(name) {
                return Err(Problem::conflict(format!(
                    "stream {name:?} is defined in the configuration file"
                )));
            }
            edit.unmasked(name, table);
        }
        for (name, added) in &mut document.added {
            // Endpoints are unmasked by those of the whole stream.
            let mut both = Table::new();
            both.insert(
                "inputs".to_owned(),
                Value::Array(std::mem::take(&mut added.inputs)),
            );
            both.insert(
                "outputs".to_owned(),
                Value::Array(std::mem::take(&mut added.outputs)),
            );
            edit.unmasked(name, &mut both);
            *added = Value::Table(both)
                .try_into()
                .map_err(|error: toml::de::Error| Problem::internal(error.to_string()))?;
        }
        refuse_masks(&document)?;
        if params.replace {
            *state = document;
            return Ok(());
        }
        merge(state, document)
    };
    let ((), reloaded) = app.edit(change).await?;
    info!("definitions imported by the API");
    Ok(Json(reloaded.into()))
}

fn document(mut table: Table) -> Answer<SavedState> {
    match table.remove("format") {
        Some(Value::Integer(FORMAT)) => {}
        _ => {
            let told = "format must be 1: send a document of GET /export";
            return Err(Problem::invalid(told).at("format"));
        }
    }
    let read = Value::Table(table).try_into();
    read.map_err(|error: toml::de::Error| Problem::invalid(error.message().to_owned()))
}

/// A mask that is left would be taken for a secret.
fn refuse_masks(document: &SavedState) -> Answer<()> {
    let table = Table::try_from(document).map_err(|error| Problem::internal(error.to_string()))?;
    match masked_in("", &Value::Table(table)) {
        None => Ok(()),
        Some(key) => Err(Problem::invalid(
            "it has a masked secret that is not known here: export with secrets",
        )
        .at(&key)),
    }
}

fn masked_in(path: &str, value: &Value) -> Option<String> {
    match value {
        Value::String(text) => {
            let is_masked = text == "***" || text.contains("=***") || text.contains("***@");
            is_masked.then(|| path.to_owned())
        }
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(at, item)| masked_in(&format!("{path}[{at}]"), item))
        }
        Value::Table(table) => table
            .iter()
            .find_map(|(key, value)| masked_in(&crate::config::join(path, key), value)),
        _ => None,
    }
}

/// Adds what is not there; the same again is no conflict.
fn merge(state: &mut SavedState, document: SavedState) -> Answer<()> {
    let differs = |name: &str| {
        Problem::conflict(format!(
            "{name:?} has other definitions here: import with replace, or remove them first"
        ))
    };
    for (name, table) in document.streams {
        if state.streams.get(&name).is_some_and(|there| *there != table) {
            return Err(differs(&name));
        }
        state.streams.insert(name, table);
    }
    for (name, added) in document.added {
        if state.added.get(&name).is_some_and(|there| *there != added) {
            return Err(differs(&name));
        }
        state.added.insert(name, added);
    }
    state.enabled.extend(document.enabled);
    Ok(())
}
