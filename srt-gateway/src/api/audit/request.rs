//! What one request changes: its sender, and the changes that its handler notes.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    http::Method,
    response::{IntoResponse as _, Response},
};
use percent_encoding::percent_decode_str;

use super::{Changes, Entry, Outcome, Via, differences::Change};
use crate::api::{
    App,
    problem::{AuditDetail, Problem},
};

tokio::task_local! {
    /// The changes of the request that this task serves.
    static NOTED: Arc<Mutex<Changes>>;
}

/// Notes a change by this request. Has no effect outside of a request's task.
pub(in crate::api) fn note(change: Change) {
    with(|changes| changes.push(change));
}

/// Notes the changes by this request.
pub(in crate::api) fn noted(found: Changes) {
    with(|changes| {
        changes.more_changes += found.more_changes;
        found.changes.into_iter().for_each(|change| changes.push(change));
    });
}

fn with(push: impl FnOnce(&mut Changes)) {
    let pushed = NOTED.try_with(|noted| push(&mut noted.lock().unwrap_or_else(PoisonError::into_inner)));
    // A test may call a handler without a request.
    pushed.unwrap_or_default();
}

/// The sender of a request and what it requests.
#[derive(Clone, Debug)]
pub(in crate::api) struct RequestInfo {
    pub(in crate::api) by: String,
    pub(in crate::api) address: Option<IpAddr>,
    pub(in crate::api) method: Method,
    pub(in crate::api) path: String,
}

impl RequestInfo {
    /// Its audit record.
    pub(in crate::api) fn entry(&self, result: Outcome, status: u16, error: Option<String>) -> Entry {
        let path = self.path.strip_prefix("/api/v1/").unwrap_or(&self.path);
        Entry {
            via: Via::Api,
            by: self.by.clone(),
            address: self.address.map(|address| address.to_canonical()),
            action: self.method.to_string(),
            object: percent_decode_str(path).decode_utf8_lossy().into_owned(),
            changes: Changes::default(),
            result,
            status: Some(status),
            error,
        }
    }
}

/// Serves a request that changes something, and records the result. It is served to its end even if the client leaves,
/// so that every change is recorded.
pub(in crate::api) async fn recorded(
    app: Arc<App>,
    info: RequestInfo,
    served: impl Future<Output = Response> + Send + 'static,
) -> Response {
    let task = tokio::spawn(async move {
        let changes = Arc::<Mutex<Changes>>::default();
        let served = tokio::spawn(NOTED.scope(Arc::clone(&changes), served)).await;
        let answer = served.unwrap_or_else(|error| Problem::internal(error.to_string()).into_response());
        let status = answer.status();
        let result = if status.is_success() {
            Outcome::Ok
        } else {
            Outcome::Failed
        };
        let error = answer
            .extensions()
            .get::<AuditDetail>()
            .map(|told| told.0.clone());
        let mut entry = info.entry(result, status.as_u16(), error);
        entry.changes = std::mem::take(&mut changes.lock().unwrap_or_else(PoisonError::into_inner));
        app.store.audit.add(entry, &app.view.events);
        answer
    });
    task.await
        .unwrap_or_else(|error| Problem::internal(error.to_string()).into_response())
}
