//! Formats log lines so that nothing from a peer can break a line or control a terminal.
//!
//! Text: each field is escaped before it is written. JSON: the line is escaped in JSON notation, because serde_json
//! leaves DEL, C1 and direction marks unchanged.

use std::io::{self, Write};

use tracing::field::Field;
use tracing_subscriber::{
    field::{MakeExt as _, delimited::Delimited},
    fmt::format::{self, FieldFn, Writer},
};

use crate::names::{Notation, escaped};

type Show = fn(&mut Writer<'_>, &Field, &dyn std::fmt::Debug) -> std::fmt::Result;

/// Fields as `name=value`, the message unchanged.
pub(super) fn fields() -> Delimited<&'static str, FieldFn<Show>> {
    format::debug_fn(show as Show).delimited(" ")
}

fn show(writer: &mut Writer<'_>, field: &Field, value: &dyn std::fmt::Debug) -> std::fmt::Result {
    let value = format!("{value:?}");
    let value = escaped(&value, Notation::Text);
    match field.name() {
        "message" => write!(writer, "{value}"),
        name => write!(writer, "{name}={value}"),
    }
}

/// Escapes JSON lines on their way to `W`.
#[derive(Debug)]
pub(super) struct JsonLines<W>(pub(super) W);

impl<W: Write> Write for JsonLines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match str::from_utf8(line) {
            Ok(text) => self.0.write_all(escaped(text, Notation::Json).as_bytes())?,
            Err(_) => self.0.write_all(line.escape_ascii().to_string().as_bytes())?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;
    use tracing_subscriber::{fmt, layer::SubscriberExt as _};

    use super::*;
    use crate::names::is_control;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn log(hostile: &str) {
        tracing::info!(stream = %hostile, label = hostile, "closed: {hostile}");
    }

    proptest! {
        #[test]
        fn no_line_is_broken_and_no_terminal_steered(
            hostile in "[a\\n\\r\\x00-\\x1f\\x7f-\\u{9f}\\u{2028}\\u{202e}\u{fc}\"]{0,20}",
        ) {
            let (text, json) = (Lines::default(), Lines::default());
            let (to_text, to_json) = (text.clone(), json.clone());
            let subscriber = tracing_subscriber::registry()
                .with(fmt::layer().fmt_fields(fields()).with_ansi(false).with_writer(move || to_text.clone()));
            tracing::subscriber::with_default(subscriber, || log(&hostile));
            let subscriber = tracing_subscriber::registry().with(
                fmt::layer().json().flatten_event(true).with_writer(move || JsonLines(to_json.clone())),
            );
            tracing::subscriber::with_default(subscriber, || log(&hostile));
            for lines in [text.text(), json.text()] {
                let line = lines.strip_suffix('\n').unwrap();
                prop_assert!(!line.contains(is_control), "{line:?}");
            }
            let value: serde_json::Value = serde_json::from_str(&json.text()).unwrap();
            prop_assert_eq!(value["stream"].as_str(), Some(hostile.as_str()));
        }
    }

    #[test]
    fn a_line_reads_as_before() {
        let text = Lines::default();
        let writer = text.clone();
        let subscriber = tracing_subscriber::registry().with(
            fmt::layer()
                .fmt_fields(fields())
                .with_ansi(false)
                .with_target(false)
                .without_time()
                .with_writer(move || writer.clone()),
        );
        tracing::subscriber::with_default(subscriber, || log("live/a"));
        assert_eq!(
            text.text().trim(),
            "INFO closed: live/a stream=live/a label=\"live/a\""
        );
    }
}
