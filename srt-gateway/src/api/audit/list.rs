//! The audit log as a list, in JSON and CSV.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{Outcome, Record};
use crate::api::{
    App,
    model::{LIMIT, Page},
    problem::{Answer, Params, Problem},
};

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    #[default]
    Json,
    Csv,
}

/// Which part of the audit log.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AuditParams {
    /// Leaves out so many.
    offset: usize,
    /// Gives so many at most; 1000 if it is left out, and no more than that.
    limit: Option<usize>,
    /// Only records with a higher number.
    after: u64,
    /// Only those of this token (its name); `file` and `signal` are those of the configuration file.
    by: Option<String>,
    /// Only those from this address.
    address: Option<String>,
    /// Only `ok`, `failed` or `refused`.
    result: Option<String>,
    /// Only what has this text in its object, token, address, error or changed keys.
    q: Option<String>,
    /// `json`, or `csv`: a file for a spreadsheet, with the same filters and limits.
    #[param(inline)]
    format: Format,
}

impl AuditParams {
    fn matches(&self, record: &Record) -> bool {
        let entry = &record.entry;
        let address = entry.address.map(|address| address.to_string());
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| Some(wanted) == found)
        };
        let has = |wanted: &str| {
            let wanted = wanted.to_lowercase();
            let keys = entry.changes.changes.iter().map(|change| change.key.as_str());
            let error = entry.error.as_deref().into_iter().chain(address.as_deref());
            [entry.by.as_str(), &entry.object, &entry.action]
                .into_iter()
                .chain(error)
                .chain(keys)
                .any(|text| text.to_lowercase().contains(&wanted))
        };
        record.number > self.after
            && is(&self.by, Some(&entry.by))
            && is(&self.address, address.as_deref())
            && is(&self.result, Some(entry.result.word()))
            && self.q.as_deref().is_none_or(has)
    }
}

/// Who changed what, the newest first: the last 1000 changes and attempts at one, and the last 200 clients whose requests were refused. Needs
/// the scope `operate`.
#[utoipa::path(get, path = "/api/v1/audit", tag = "gateway", params(AuditParams),
    responses((status = 200, description = "With `format=csv` the same as text/csv.", body = Page<Record>),
        (status = 400, body = Problem)))]
pub(in crate::api) async fn audit(
    State(app): State<Arc<App>>,
    Params(params): Params<AuditParams>,
) -> Answer<Response> {
    let results = [Outcome::Ok, Outcome::Failed, Outcome::Refused].map(Outcome::word);
    if params
        .result
        .as_deref()
        .is_some_and(|result| !results.contains(&result))
    {
        return Err(Problem::bad_request(format!(
            "result must be one of {}",
            results.join(", ")
        )));
    }
    let mut records = app.store.audit.newest_first();
    records.retain(|record| params.matches(record));
    let total = records.len();
    let limit = params.limit.unwrap_or(LIMIT).min(LIMIT);
    let items: Vec<_> = records.into_iter().skip(params.offset).take(limit).collect();
    if params.format == Format::Csv {
        let headers = [
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/csv; charset=utf-8"),
            ),
            (
                header::CONTENT_DISPOSITION,
                HeaderValue::from_static("attachment; filename=\"audit.csv\""),
            ),
        ];
        return Ok((headers, csv(&items)).into_response());
    }
    let page = Page {
        total,
        offset: params.offset,
        items,
    };
    Ok(Json(page).into_response())
}

fn csv(records: &[Record]) -> String {
    let mut text =
        "number,time,first,count,via,by,address,action,object,result,status,error,changes\r\n".to_owned();
    for record in records {
        let entry = &record.entry;
        let time = |time| humantime::format_rfc3339_millis(time).to_string();
        let optional = |text: Option<String>| text.unwrap_or_default();
        let cells = [
            record.number.to_string(),
            time(record.time),
            time(record.first),
            record.count.to_string(),
            format!("{:?}", entry.via).to_lowercase(),
            entry.by.clone(),
            optional(entry.address.map(|address| address.to_string())),
            entry.action.clone(),
            entry.object.clone(),
            entry.result.word().to_owned(),
            optional(entry.status.map(|status| status.to_string())),
            optional(entry.error.clone()),
            entry.changes.line(),
        ];
        let cells: Vec<_> = cells.iter().map(|cell| quoted(cell)).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

/// Quotes a cell (RFC 4180). Spreadsheets evaluate cells that begin with one of these characters as formulas, and some
/// texts come from strangers. Some spreadsheets divide lines at semicolons, even inside quotes.
fn quoted(cell: &str) -> String {
    let mut guarded = String::with_capacity(cell.len());
    let mut begins = true;
    for c in cell.chars() {
        if begins && matches!(c, '=' | '+' | '-' | '@' | '\t') {
            guarded.push('\'');
        }
        guarded.push(c);
        begins = matches!(c, ';' | '\t' | '\r' | '\n') || begins && c == ' ';
    }
    if guarded.len() > cell.len() || cell.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_no_formulas() {
        for (cell, wanted) in [
            ("live/a", "live/a"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=HYPERLINK(1)", "\"'=HYPERLINK(1)\""),
            ("@x", "\"'@x\""),
            (" =1", "\" '=1\""),
            ("x;=1+1", "\"x;'=1+1\""),
            ("a -> b; c: 1 -> -1", "a -> b; c: 1 -> -1"),
            ("", ""),
        ] {
            assert_eq!(quoted(cell), wanted);
        }
    }
}
