//! Reloads the configuration file on request, and keeps the result of the last reload, whatever triggered it.
//!
//! A saved file with errors changes nothing and is otherwise only logged: operators without shell access see it here.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    ApiCommand, App, audit,
    problem::{Answer, Problem},
    write::Changed,
};
use crate::{config::LoadError, control::Reloaded};

type Ctx = State<Arc<App>>;

/// How long a request waits, because the file or control may hang.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the configuration file was not applied.
#[derive(Debug)]
pub(crate) enum NotReloaded {
    /// It cannot be read, or is invalid.
    Wrong(LoadError),
    /// The gateway was started without one.
    NoFile,
    Ending,
}

impl NotReloaded {
    /// One line with every error.
    pub(crate) fn line(&self) -> String {
        Problem::from(self).line()
    }
}

impl From<&NotReloaded> for Problem {
    fn from(why: &NotReloaded) -> Self {
        match why {
            NotReloaded::Wrong(LoadError::Invalid { path, errors, .. }) => Self::faults_in_file(path, errors),
            NotReloaded::Wrong(error) => Self::invalid(error.to_string()),
            NotReloaded::NoFile => Self::conflict(
                "the gateway was started without a configuration file: there is nothing to reload",
            ),
            NotReloaded::Ending => Self::busy("the gateway is shutting down"),
        }
    }
}

/// The result of the last reload of the configuration file, whether because it was saved, by request, or by a signal.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct LastReload {
    /// RFC 3339, UTC; absent if the file was read only at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(flatten)]
    changed: Changed,
    /// Why the file is not in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

impl LastReload {
    /// Why the file is not in force, in one line; None: it is.
    pub(super) fn refused(&self) -> Option<String> {
        self.problem.as_ref().map(Problem::line)
    }

    /// What to remember after this result: one without changes says less than the one before.
    pub(super) fn after(&self, outcome: &Result<Reloaded, NotReloaded>) -> Option<Self> {
        let time = Some(humantime::format_rfc3339_seconds(SystemTime::now()).to_string());
        match outcome {
            Ok(reloaded) if reloaded.changes.is_empty() && reloaded.warnings.is_empty() => {
                let is_new = self.time.is_none() || self.problem.is_some();
                is_new.then(|| Self {
                    time,
                    ..Self::default()
                })
            }
            Ok(reloaded) => Some(Self {
                time,
                changed: reloaded.clone().into(),
                problem: None,
            }),
            Err(why) => Some(Self {
                time,
                problem: Some(why.into()),
                ..Self::default()
            }),
        }
    }
}

/// Reloads the configuration file, as SIGHUP does. The answer lists all changes since the last such request (or since the
/// start), including those of a saved file that the gateway reloaded by itself. An invalid file changes nothing: the answer
/// lists its errors with line and column.
#[utoipa::path(post, path = "/api/v1/reload", tag = "gateway",
    responses((status = 200, body = Changed), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn reload(State(app): Ctx) -> Answer<Json<Changed>> {
    let (reply, answer) = tokio::sync::oneshot::channel();
    app.order(ApiCommand::Reload(reply))?;
    let answered = tokio::time::timeout(RELOAD_TIMEOUT, answer).await;
    let (outcome, changes) = answered
        .map_err(|_| Problem::busy("the configuration is not in force yet: check it later, or read the log"))?
        .unwrap_or_else(|_| (Err(NotReloaded::Ending), audit::Changes::default()));
    audit::noted(changes);
    let reloaded = outcome.map_err(|why| Problem::from(&why))?;
    Ok(Json(reloaded.into()))
}

/// Returns the result of the last reload; the gateway reloads a saved file by itself.
#[utoipa::path(get, path = "/api/v1/reload", tag = "gateway", responses((status = 200, body = LastReload)))]
pub(super) async fn last_reload(State(app): Ctx) -> Json<LastReload> {
    Json(LastReload::clone(&app.store.last_reload.load()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_stays_until_there_is_news() {
        let changed = Ok(Reloaded {
            changes: vec!["a port".to_owned()],
            warnings: Vec::new(),
        });
        let first = LastReload::default().after(&changed).unwrap();
        assert_eq!(first.changed.changes(), ["a port"]);
        assert!(
            first.after(&Ok(Reloaded::default())).is_none(),
            "it says what is known"
        );
        let wrong = first.after(&Err(NotReloaded::NoFile)).unwrap();
        assert_eq!(wrong.problem.as_ref().map(|problem| problem.status), Some(409));
        let mended = wrong.after(&Ok(Reloaded::default())).unwrap();
        assert!(mended.problem.is_none() && mended.time.is_some());
    }
}
