//! The commands about alarms.

use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{Call, Column, change, get, part};

/// What `ctl` takes about alarms.
#[derive(Debug, Subcommand)]
pub(super) enum Ask {
    /// List the alarms: active ones first, the most severe first, then those that are over.
    Alarms {
        /// List only those with this text in kind, stream, input, output, text or note.
        text: Option<String>,
        /// List only active or cleared ones.
        #[arg(long, value_parser = ["active", "cleared"])]
        state: Option<String>,
        /// List only critical ones, or only warnings.
        #[arg(long, value_parser = ["critical", "warning"])]
        severity: Option<String>,
        /// List only those of this stream.
        #[arg(long)]
        stream: Option<String>,
    },
    /// Acknowledge an alarm: tell the others that you take care of it.
    Ack {
        /// Id, as shown by `alarms`.
        id: String,
        /// What you do about it.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Expect a stream to be off: raise no alarms for it.
    ExpectOff {
        /// Name of the stream; without it, list the streams that are expected to be off.
        stream: Option<String>,
        #[command(flatten)]
        end: End,
        /// Reason, shown in the list.
        #[arg(long, default_value = "")]
        note: String,
        /// Raise alarms for the stream again.
        #[arg(long, requires = "stream", conflicts_with_all = ["until", "time", "note"])]
        cancel: bool,
    },
    /// List, add and delete maintenance windows, in which no alarms are raised.
    Maintenance {
        #[command(subcommand)]
        ask: Option<Maintenance>,
    },
}

/// When something ends.
#[derive(Debug, Args)]
pub(super) struct End {
    /// Until this time in UTC, such as 2026-01-31T20:00:00Z.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// For this long: 90m, 8h.
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration, conflicts_with = "until")]
    time: Option<Duration>,
}

impl End {
    fn put(&self, body: &mut Map<String, Value>) {
        if let Some(until) = &self.until {
            body.insert("until".to_owned(), json!(until));
        }
        if let Some(time) = self.time {
            body.insert("seconds".to_owned(), json!(time.as_secs()));
        }
    }
}

/// What `ctl maintenance` takes.
#[derive(Debug, Subcommand)]
pub(super) enum Maintenance {
    /// Add a window; --for or --until is required.
    Add {
        /// Pattern of stream names: live/*.
        #[arg(default_value = "*")]
        streams: String,
        /// Begin at this time in UTC instead of now.
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        #[command(flatten)]
        end: End,
        /// Reason, shown in the list.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Delete a window.
    Delete {
        /// Id, as shown by `maintenance`.
        id: u64,
    },
}

const ALARMS: &[Column] = &[
    ("ID", "/id"),
    ("SEVERITY", "/severity"),
    ("STATE", "/state"),
    ("RAISED", "/raised"),
    ("COUNT", "/count"),
    ("STREAM", "/stream"),
    ("ACKNOWLEDGED BY", "/acknowledged/by"),
    ("WHAT", "/text"),
];
const EXPECTED: &[Column] = &[
    ("STREAM", "/stream"),
    ("ORIGIN", "/origin"),
    ("BY", "/by"),
    ("UNTIL", "/until"),
    ("NOTE", "/note"),
];
const WINDOWS: &[Column] = &[
    ("ID", "/id"),
    ("STREAMS", "/streams"),
    ("STATE", "/state"),
    ("FROM", "/from"),
    ("UNTIL", "/until"),
    ("BY", "/by"),
    ("NOTE", "/note"),
];

impl Ask {
    pub(super) fn call(&self) -> Call {
        match self {
            Self::Alarms {
                text,
                state,
                severity,
                stream,
            } => {
                let given = [
                    ("q", text),
                    ("state", state),
                    ("severity", severity),
                    ("stream", stream),
                ];
                let pairs = given
                    .iter()
                    .filter_map(|(name, value)| Some(format!("{name}={}", part(value.as_deref()?))));
                get(format!("alarms?{}", pairs.collect::<Vec<_>>().join("&")), ALARMS)
            }
            Self::Ack { id, note } => {
                let path = format!("alarms/{}/ack", part(id));
                change(Method::POST, path, Some(json!({ "note": note })))
            }
            Self::ExpectOff { stream: None, .. } => get("expected-off", EXPECTED),
            Self::ExpectOff {
                stream: Some(stream),
                end,
                note,
                cancel,
            } => {
                let path = format!("streams/{}/expected-off", part(stream));
                if *cancel {
                    return change(Method::DELETE, path, None);
                }
                let mut body = Map::new();
                end.put(&mut body);
                body.insert("note".to_owned(), json!(note));
                change(Method::PUT, path, Some(body.into()))
            }
            Self::Maintenance { ask: None } => get("maintenance", WINDOWS),
            Self::Maintenance {
                ask:
                    Some(Maintenance::Add {
                        streams,
                        from,
                        end,
                        note,
                    }),
            } => {
                let mut body = Map::new();
                end.put(&mut body);
                body.insert("streams".to_owned(), json!(streams));
                body.insert("note".to_owned(), json!(note));
                if let Some(from) = from {
                    body.insert("from".to_owned(), json!(from));
                }
                change(Method::POST, "maintenance".to_owned(), Some(body.into()))
            }
            Self::Maintenance {
                ask: Some(Maintenance::Delete { id }),
            } => change(Method::DELETE, format!("maintenance/{id}"), None),
        }
    }
}
