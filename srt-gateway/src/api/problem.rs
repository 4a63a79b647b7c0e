//! Errors in one format, RFC 9457 `application/problem+json`, and extractors whose rejections have it.
//!
//! Contains no secrets: it quotes of a request only what the configuration's errors quote.

use std::path::Path as FilePath;

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use utoipa::ToSchema;

use crate::{
    config::{ConfigErrors, Fault},
    json::check_keys,
};

/// An error (RFC 9457).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// The type of error, for programs: `urn:srt-gateway:problem:` and a word.
    #[serde(rename = "type")]
    #[schema(example = "urn:srt-gateway:problem:not-found")]
    pub(crate) kind: String,
    /// The type of error, for people; the same for all errors of a type.
    pub(crate) title: &'static str,
    /// The HTTP status.
    pub(crate) status: u16,
    /// What happened, and what to do.
    pub(crate) detail: String,
    /// The errors in the configuration that was sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<FieldProblem>,
    /// Seconds after which the client can try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after: Option<u64>,
}

/// One error in the content that was sent.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct FieldProblem {
    /// The key, as in `streams."live/cam1".outputs`.
    pub(crate) key: String,
    /// What is wrong, and what is allowed.
    pub(crate) message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
    /// The line in the configuration file, from 1; absent if the error is not in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<usize>,
    /// The column in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) column: Option<usize>,
}

impl FieldProblem {
    fn of(fault: &Fault) -> Self {
        Self {
            key: fault.key().to_owned(),
            message: fault.message().to_owned(),
            hint: fault.hint().map(str::to_owned),
            line: None,
            column: None,
        }
    }
}

/// The media type of errors.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// The result of handlers.
pub(crate) type Answer<T> = Result<T, Problem>;

/// Error types with their status and title.
macro_rules! kinds {
    ($($name:ident: $status:ident, $word:literal, $title:literal;)*) => {
        impl Problem {
            $(
                #[doc = $title]
                pub(crate) fn $name(detail: impl Into<String>) -> Self {
                    Self::new(StatusCode::$status, $word, $title, detail.into())
                }
            )*
        }
    };
}

kinds! {
    bad_request: BAD_REQUEST, "bad-request", "Malformed request";
    unauthorized: UNAUTHORIZED, "unauthorized", "Authentication required";
    forbidden: FORBIDDEN, "forbidden", "Not permitted for this token";
    wrong_host: MISDIRECTED_REQUEST, "wrong-host", "Unknown host name";
    cross_site: FORBIDDEN, "cross-site", "Cross-site request refused";
    not_found: NOT_FOUND, "not-found", "Not found";
    method_not_allowed: METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed";
    timeout: REQUEST_TIMEOUT, "timeout", "Request timed out";
    conflict: CONFLICT, "conflict", "Conflict with the current state";
    too_large: PAYLOAD_TOO_LARGE, "too-large", "The body is too large";
    media_type: UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The body must be JSON";
    changed: PRECONDITION_FAILED, "changed", "Precondition failed";
    invalid: UNPROCESSABLE_ENTITY, "invalid", "Invalid content";
    busy: SERVICE_UNAVAILABLE, "busy", "Temporarily unavailable";
    not_kept: INSUFFICIENT_STORAGE, "not-kept", "The change could not be saved";
    internal: INTERNAL_SERVER_ERROR, "internal", "Internal error";
}

impl Problem {
    fn new(status: StatusCode, word: &str, title: &'static str, detail: String) -> Self {
        Self {
            kind: format!("urn:srt-gateway:problem:{word}"),
            title,
            status: status.as_u16(),
            detail,
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// Too many requests from this address.
    pub(crate) fn too_many(retry_after: u64) -> Self {
        let detail = "too many requests from this address".to_owned();
        let mut problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-requests",
            "Too many requests",
            detail,
        );
        problem.retry_after = Some(retry_after);
        problem
    }

    /// Adds the field of the request that is at fault.
    pub(crate) fn at(mut self, key: &str) -> Self {
        self.errors.push(FieldProblem {
            key: key.to_owned(),
            message: self.detail.clone(),
            hint: None,
            line: None,
            column: None,
        });
        self
    }

    /// The errors of a configuration after a change.
    pub(crate) fn faults(errors: &ConfigErrors) -> Self {
        let mut problem = Self::invalid("the configuration with this change is not valid");
        problem.errors = errors.faults().iter().map(FieldProblem::of).collect();
        problem
    }

    /// The errors of a file on disk, with their positions.
    pub(crate) fn faults_in_file(path: &FilePath, errors: &ConfigErrors) -> Self {
        let told = format!("{} is not valid: the configuration is unchanged", path.display());
        let mut problem = Self::invalid(told);
        let field = |fault: &Fault| FieldProblem {
            line: Some(fault.location().line()),
            column: Some(fault.location().column()),
            ..FieldProblem::of(fault)
        };
        problem.errors = errors.faults().iter().map(field).collect();
        problem
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// The error text for the audit log.
#[derive(Clone, Debug)]
pub(super) struct AuditDetail(pub(super) String);

impl Problem {
    /// One line: the detail and the faults.
    pub(super) fn line(&self) -> String {
        let faults = self.errors.iter();
        let faults: String = faults
            .map(|fault| match fault.key.as_str() {
                "" => format!("; {}", fault.message),
                key => format!("; {key}: {}", fault.message),
            })
            .collect();
        format!("{}{faults}", self.detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, Json(&self)).into_response();
        response.extensions_mut().insert(AuditDetail(self.line()));
        let headers = response.headers_mut();
        let problem_json = HeaderValue::from_static(PROBLEM_JSON);
        headers.insert(header::CONTENT_TYPE, problem_json);
        if status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer realm=\"srt-gateway\"");
            headers.insert(header::WWW_AUTHENTICATE, bearer);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A JSON body; `T::default()` if there is none.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<S, T> FromRequest<S> for Body<T>
where
    T: DeserializeOwned + Default,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let headers = request.headers();
        let empty = headers.get(header::CONTENT_LENGTH).map_or_else(
            || !headers.contains_key(header::TRANSFER_ENCODING),
            |length| length.as_bytes() == b"0",
        );
        if empty && !headers.contains_key(header::CONTENT_TYPE) {
            return Ok(Self(T::default()));
        }
        let content_type = headers.get(header::CONTENT_TYPE).cloned();
        let body = tokio::time::timeout(super::server::BODY_TIME, Bytes::from_request(request, state)).await;
        let body = body
            .map_err(|_| Problem::timeout("the body did not arrive in time"))?
            .map_err(|rejection| of_body(rejection.status(), &rejection.body_text()))?;
        let mut whole = Request::new(body.clone().into());
        if let Some(content_type) = content_type {
            whole.headers_mut().insert(header::CONTENT_TYPE, content_type);
        }
        let Json(read) = Json::from_request(whole, state)
            .await
            .map_err(|rejection| of_body(rejection.status(), &rejection.body_text()))?;
        check_keys(&body).map_err(|error| Problem::bad_request(format!("in the body: {error}")))?;
        Ok(Self(read))
    }
}

/// The error in a part of the request, without axum's prefix, which is meant for its developers.
fn in_part(part: &str, rejection: &str) -> String {
    let why = rejection.split_once(": ").map_or(rejection, |(_, why)| why);
    format!("in {part}: {why}")
}

fn of_body(status: StatusCode, why: &str) -> Problem {
    let detail = in_part("the body", why);
    match status {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Problem::media_type("send Content-Type: application/json"),
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(format!(
            "the body is larger than {} bytes",
            super::server::BODY_MAX
        )),
        StatusCode::UNPROCESSABLE_ENTITY => Problem::invalid(detail),
        _ => Problem::bad_request(detail),
    }
}

/// The query parameters.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for Params<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(Problem::bad_request(in_part(
                "the query parameters",
                &rejection.body_text(),
            ))),
        }
    }
}

/// A decoded part of the path.
#[derive(Debug)]
pub(crate) struct Part<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for Part<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(part)) => Ok(Self(part)),
            Err(rejection) => Err(Problem::bad_request(in_part("the path", &rejection.body_text()))),
        }
    }
}
