//! Alarms, expected-off streams and maintenance windows over HTTP.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{Extension, Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::silences::{self, Expected, Window};
use crate::{
    api::{
        App,
        audit::{Change, note},
        auth::Actor,
        model::{LIMIT, Page},
        problem::{Answer, Body, Params, Part, Problem},
        read,
    },
    telemetry::{
        EventKind,
        alarms::{Acknowledged, Alarm, AlarmCounts, AlarmState, NotActive, Severity},
    },
};

type Ctx = State<Arc<App>>;

/// The maximum length of a note, in bytes.
const NOTE: usize = 500;

/// The longest time ahead for which a silence may be set.
const AHEAD: Duration = Duration::from_secs(366 * 86_400);

/// Which alarms.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AlarmParams {
    /// Number of items to skip.
    offset: usize,
    /// Maximum number of items; by default and at most 1000.
    limit: Option<usize>,
    /// Only `active` or `cleared` ones.
    #[param(inline)]
    state: Option<AlarmState>,
    /// Only `critical` or `warning` ones.
    #[param(inline)]
    severity: Option<Severity>,
    /// Only those of this stream.
    stream: Option<String>,
    /// Only those with this text in kind, stream, party, text or note.
    q: Option<String>,
}

impl AlarmParams {
    fn matches(&self, alarm: &Alarm) -> bool {
        let has = |wanted: &String| {
            let wanted = wanted.to_lowercase();
            let kind = alarm.kind.word();
            let note = alarm.acknowledged.as_ref().map(|acknowledged| &acknowledged.note);
            let texts = [&kind, &alarm.text]
                .into_iter()
                .chain(&alarm.stream)
                .chain(&alarm.party)
                .chain(note);
            texts
                .into_iter()
                .any(|text| text.to_lowercase().contains(&wanted))
        };
        self.state.is_none_or(|state| state == alarm.state)
            && self.severity.is_none_or(|severity| severity == alarm.severity)
            && (self.stream.is_none() || self.stream == alarm.stream)
            && self.q.as_ref().is_none_or(has)
    }
}

/// A part of the alarms.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AlarmPage {
    #[serde(flatten)]
    page: Page<Alarm>,
    /// Of all alarms, whatever was asked for.
    #[serde(flatten)]
    counts: AlarmCounts,
    /// Conditions that are not listed because there are more than 2000 at once.
    left_out: usize,
}

/// Lists the alarms: active ones first, the most severe and newest first, then the last 500 cleared ones, the newest first.
#[utoipa::path(get, path = "/api/v1/alarms", tag = "alarms", params(AlarmParams),
    responses((status = 200, body = AlarmPage), (status = 400, body = Problem)))]
pub(in crate::api) async fn alarms(State(app): Ctx, Params(params): Params<AlarmParams>) -> Json<AlarmPage> {
    let (mut all, counts, left_out) = {
        let alarms = app.alarms.alarms();
        (alarms.all(), alarms.counts(), alarms.left_out())
    };
    all.retain(|alarm| params.matches(alarm));
    Json(AlarmPage {
        page: page(all, params.offset, params.limit),
        counts,
        left_out,
    })
}

fn page<T>(items: Vec<T>, offset: usize, limit: Option<usize>) -> Page<T> {
    Page {
        total: items.len(),
        offset,
        items: items
            .into_iter()
            .skip(offset)
            .take(limit.unwrap_or(LIMIT).min(LIMIT))
            .collect(),
    }
}

/// A note.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Note {
    /// What is being done about it, at most 500 bytes.
    note: String,
}

fn checked_note(note: &str) -> Answer<String> {
    let note = note.trim();
    if note.len() > NOTE || note.contains(char::is_control) {
        let told = format!("a note is one line of at most {NOTE} bytes");
        return Err(Problem::invalid(told).at("note"));
    }
    Ok(note.to_owned())
}

/// Acknowledges an active alarm: somebody takes care of it. It stays so until the alarm is cleared.
#[utoipa::path(post, path = "/api/v1/alarms/{id}/ack", tag = "alarms", params(("id" = String, Path)), request_body = Note,
    responses((status = 200, body = Alarm), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(in crate::api) async fn acknowledge(
    State(app): Ctx,
    Extension(actor): Extension<Actor>,
    Part(id): Part<String>,
    Body(body): Body<Note>,
) -> Answer<Json<Alarm>> {
    let by = Acknowledged {
        by: actor.0.to_string(),
        time: SystemTime::now(),
        note: checked_note(&body.note)?,
    };
    let told = format!("by {}: {}", by.by, by.note);
    let acknowledged = app.alarms.alarms().acknowledge(&id, by);
    let alarm = acknowledged.map_err(|why| match why {
        NotActive::Unknown => Problem::not_found("there is no such alarm"),
        NotActive::Cleared => Problem::conflict("the alarm is cleared already"),
    })?;
    note(Change::new(
        &format!("alarm {}", alarm.id),
        None,
        Some(format!("{}; {told}", alarm.text)),
    ));
    let word = format!("acknowledged {told}");
    app.view.events.add(super::happening(
        EventKind::AlarmAcknowledged,
        &alarm,
        word.trim_end_matches(": "),
    ));
    Ok(Json(alarm))
}

/// Where a silence was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SilenceOrigin {
    /// By the key `expected_off` of the configuration.
    Config,
    /// Through this API.
    Api,
}

/// A stream that is expected to be off: no alarms are raised for it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ExpectedOff {
    stream: String,
    origin: SilenceOrigin,
    /// The name of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    /// RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// RFC 3339, UTC; absent: until it is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

fn shown(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

fn shown_expected(stream: &str, expected: &Expected) -> ExpectedOff {
    ExpectedOff {
        stream: stream.to_owned(),
        origin: SilenceOrigin::Api,
        by: Some(expected.by.clone()),
        since: Some(shown(expected.since)),
        until: expected.until.map(shown),
        note: Some(expected.note.clone()),
    }
}

/// Which part of a list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PartParams {
    /// Number of items to skip.
    offset: usize,
    /// Maximum number of items; by default and at most 1000.
    limit: Option<usize>,
}

/// Lists the streams that are expected to be off: first those of the API, then those with `expected_off` in the configuration.
#[utoipa::path(get, path = "/api/v1/expected-off", tag = "alarms", params(PartParams),
    responses((status = 200, body = Page<ExpectedOff>), (status = 400, body = Problem)))]
pub(in crate::api) async fn expected_off(
    State(app): Ctx,
    Params(params): Params<PartParams>,
) -> Json<Page<ExpectedOff>> {
    let silences = app.alarms.silences(SystemTime::now());
    let mut all: Vec<_> = silences
        .expected_off
        .iter()
        .map(|(stream, expected)| shown_expected(stream, expected))
        .collect();
    let config = app.view.config.load();
    let names = config.streams.iter().filter(|(_, stream)| stream.expected_off);
    all.extend(names.map(|(name, _)| ExpectedOff {
        stream: name.clone(),
        origin: SilenceOrigin::Config,
        by: None,
        since: None,
        until: None,
        note: None,
    }));
    Json(page(all, params.offset, params.limit))
}

/// For how long a stream is expected to be off.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NewExpectedOff {
    /// RFC 3339, UTC; neither this nor `seconds`: until it is deleted.
    until: Option<String>,
    /// For so long from now on.
    seconds: Option<u64>,
    /// Why, at most 500 bytes.
    note: String,
}

/// The end of a period that lasts until a time, or for some seconds from `from` on.
fn end(until: Option<&str>, seconds: Option<u64>, from: SystemTime) -> Answer<Option<SystemTime>> {
    let now = SystemTime::now();
    let end = match (until, seconds) {
        (Some(_), Some(_)) => return Err(Problem::invalid("set until or seconds, not both").at("until")),
        (None, None) => return Ok(None),
        (Some(until), None) => time(until, "until")?,
        (None, Some(seconds)) => from
            .checked_add(Duration::from_secs(seconds))
            .ok_or_else(|| Problem::invalid("it is too long").at("seconds"))?,
    };
    if end <= from.max(now) || end > now + AHEAD {
        return Err(Problem::invalid(
            "its end must be after its beginning, in the future and at most a year ahead",
        )
        .at("until"));
    }
    Ok(Some(end))
}

fn time(text: &str, key: &str) -> Answer<SystemTime> {
    let parsed = humantime::parse_rfc3339(text);
    parsed.map_err(|_| {
        Problem::invalid(format!(
            "{key} must be a time in UTC, such as 2026-01-31T20:00:00Z"
        ))
        .at(key)
    })
}

/// Expects a stream to be off: no alarms are raised for it, and those that are active are cleared. It stays so after a restart.
#[utoipa::path(put, path = "/api/v1/streams/{name}/expected-off", tag = "alarms", params(("name" = String, Path)),
    request_body = NewExpectedOff, responses((status = 200, body = ExpectedOff), (status = 404, body = Problem),
        (status = 422, body = Problem), (status = 507, body = Problem)))]
pub(in crate::api) async fn put_expected_off(
    State(app): Ctx,
    Extension(actor): Extension<Actor>,
    Part(name): Part<String>,
    Body(new): Body<NewExpectedOff>,
) -> Answer<Json<ExpectedOff>> {
    let is_known = app.view.config.load().streams.contains_key(&name)
        || app.view.directory.load().streams.contains_key(name.as_str());
    if !is_known {
        return Err(read::no_stream(&name));
    }
    let since = SystemTime::now();
    let expected = Expected {
        by: actor.0.to_string(),
        since,
        until: end(new.until.as_deref(), new.seconds, since)?,
        note: checked_note(&new.note)?,
    };
    app.alarms
        .change_silences(|silences| silences.expect(name.clone(), expected.clone()))?;
    let until = expected.until.map_or_else(
        || "until it is deleted".to_owned(),
        |until| format!("until {}", shown(until)),
    );
    note(Change::new(&format!("expected off: {name}"), None, Some(until)));
    keep(&app).await?;
    Ok(Json(shown_expected(&name, &expected)))
}

/// Ends that a stream is expected to be off.
#[utoipa::path(delete, path = "/api/v1/streams/{name}/expected-off", tag = "alarms", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem), (status = 507, body = Problem)))]
pub(in crate::api) async fn delete_expected_off(
    State(app): Ctx,
    Part(name): Part<String>,
) -> Answer<StatusCode> {
    let removed = app
        .alarms
        .change_silences(|silences| silences.expected_off.remove(&name));
    if removed.is_none() {
        if silences::is_configured(&name, &app.view.config.load()) {
            return Err(Problem::conflict(
                "expected_off is set in the configuration: change it there",
            ));
        }
        return Err(Problem::not_found("the stream is not expected to be off"));
    }
    note(Change::new(
        &format!("expected off: {name}"),
        Some("set".to_owned()),
        None,
    ));
    keep(&app).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether a maintenance window has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WindowState {
    /// It is to come.
    Planned,
    /// No alarms are raised for its streams.
    Active,
}

/// A maintenance window.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Maintenance {
    id: u64,
    /// Pattern of stream names; `*` is any text.
    streams: String,
    /// RFC 3339, UTC.
    from: String,
    /// RFC 3339, UTC.
    until: String,
    /// The name of the token.
    by: String,
    note: String,
    state: WindowState,
}

fn shown_window(window: &Window, now: SystemTime) -> Maintenance {
    Maintenance {
        id: window.id,
        streams: window.streams.clone(),
        from: shown(window.from),
        until: shown(window.until),
        by: window.by.clone(),
        note: window.note.clone(),
        state: if window.from <= now {
            WindowState::Active
        } else {
            WindowState::Planned
        },
    }
}

/// Lists the maintenance windows that are not over.
#[utoipa::path(get, path = "/api/v1/maintenance", tag = "alarms", params(PartParams),
    responses((status = 200, body = Page<Maintenance>), (status = 400, body = Problem)))]
pub(in crate::api) async fn maintenance(
    State(app): Ctx,
    Params(params): Params<PartParams>,
) -> Json<Page<Maintenance>> {
    let now = SystemTime::now();
    let silences = app.alarms.silences(now);
    let mut windows: Vec<_> = silences.maintenance.iter().collect();
    windows.sort_by_key(|window| window.from);
    let all = windows.into_iter().map(|window| shown_window(window, now));
    Json(page(all.collect(), params.offset, params.limit))
}

/// A maintenance window to be.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NewMaintenance {
    /// Pattern of stream names; `*` is any text. All streams if it is left out.
    streams: Option<String>,
    /// RFC 3339, UTC; now if it is left out.
    from: Option<String>,
    /// RFC 3339, UTC. This or `seconds` is required.
    until: Option<String>,
    /// Length of the window.
    seconds: Option<u64>,
    /// What is being done, at most 500 bytes.
    note: String,
}

/// Adds a maintenance window, during which no alarms are raised for its streams. It is kept after a restart.
#[utoipa::path(post, path = "/api/v1/maintenance", tag = "alarms", request_body = NewMaintenance,
    responses((status = 201, body = Maintenance), (status = 409, body = Problem), (status = 422, body = Problem), (status = 507, body = Problem)))]
pub(in crate::api) async fn add_maintenance(
    State(app): Ctx,
    Extension(actor): Extension<Actor>,
    Body(new): Body<NewMaintenance>,
) -> Answer<(StatusCode, Json<Maintenance>)> {
    let now = SystemTime::now();
    let streams = new.streams.unwrap_or_else(|| "*".to_owned());
    if streams.is_empty() || streams.len() > 512 || streams.contains(crate::names::is_control) {
        return Err(
            Problem::invalid("streams must be a pattern such as live/*, of at most 512 bytes").at("streams"),
        );
    }
    let from = new
        .from
        .as_deref()
        .map(|from| time(from, "from"))
        .transpose()?
        .unwrap_or(now);
    let until = end(new.until.as_deref(), new.seconds, from)?
        .ok_or_else(|| Problem::invalid("set until or seconds").at("until"))?;
    let window = Window {
        id: 0,
        streams,
        from,
        until,
        by: actor.0.to_string(),
        note: checked_note(&new.note)?,
    };
    let window = app.alarms.change_silences(|silences| silences.maintain(window))?;
    let told = format!(
        "{} from {} until {}",
        window.streams,
        shown(window.from),
        shown(window.until)
    );
    note(Change::new(
        &format!("maintenance {}", window.id),
        None,
        Some(told),
    ));
    keep(&app).await?;
    Ok((StatusCode::CREATED, Json(shown_window(&window, now))))
}

/// Ends a maintenance window, or cancels one that is to come.
#[utoipa::path(delete, path = "/api/v1/maintenance/{id}", tag = "alarms", params(("id" = u64, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 507, body = Problem)))]
pub(in crate::api) async fn delete_maintenance(State(app): Ctx, Part(id): Part<u64>) -> Answer<StatusCode> {
    let removed = app.alarms.change_silences(|silences| {
        let at = silences.maintenance.iter().position(|window| window.id == id);
        at.map(|at| silences.maintenance.remove(at))
    });
    let window = removed.ok_or_else(|| Problem::not_found(format!("there is no maintenance window {id}")))?;
    note(Change::new(
        &format!("maintenance {id}"),
        Some(window.streams),
        None,
    ));
    keep(&app).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Stores the current silences.
async fn keep(app: &Arc<App>) -> Answer<()> {
    let service = Arc::clone(&app.alarms);
    let kept = app
        .ask(move |_| service.file.write(|| service.silences(SystemTime::now())))
        .await?;
    kept.map_err(|error| {
        Problem::not_kept(format!(
            "the change is in force, but will be lost at the next restart: {error}"
        ))
    })
}
