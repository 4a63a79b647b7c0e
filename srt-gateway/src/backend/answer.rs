//! A backend's answer, with typed access to its fields. Pure.

use std::{borrow::Cow, time::Duration};

use serde_json::{Map, Value};

use super::CallError;
use crate::{json::check_keys, names::is_control};

/// A backend's answer, with any status.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The body may contain passphrases.
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("bytes", &self.body.len())
            .finish()
    }
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as a JSON object; an empty body counts as an empty object.
    ///
    /// # Errors
    /// [`CallError::NotJson`].
    pub(crate) fn fields(&self) -> Result<Fields, CallError> {
        if self.body.trim_ascii().is_empty() {
            return Ok(Fields(Map::new()));
        }
        // Duplicate keys are ambiguous: the two values might contradict each other.
        check_keys(&self.body).map_err(|error| CallError::NotJson(error.to_string()))?;
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(fields)) => Ok(Fields(fields)),
            Ok(other) => Err(CallError::NotJson(format!("it is {}", kind(&other)))),
            // serde_json's message states what it expected and where, and quotes nothing of the text.
            Err(error) => Err(CallError::NotJson(error.to_string())),
        }
    }

    /// The backend's explanation in `"reason"`, for a record: one line of limited length.
    pub(crate) fn reason(&self) -> Option<String> {
        self.fields().ok()?.line("reason")
    }

    /// The body without surrounding blanks, if it is text.
    pub(crate) fn text(&self) -> Option<&str> {
        str::from_utf8(&self.body).ok().map(str::trim)
    }
}

impl Fields {
    /// A field's text, for a record: one line of limited length. None: it is no text, or blank.
    pub(crate) fn line(&self, field: &str) -> Option<String> {
        let line: String = self
            .value(field)?
            .as_str()?
            .chars()
            .map(|c| if is_control(c) { ' ' } else { c })
            .take(200)
            .collect();
        (!line.trim().is_empty()).then(|| line.trim().to_owned())
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The fields of an answer. A field that is `null` counts as absent.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Fields(Map<String, Value>);

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The error for an invalid field.
pub(crate) fn wrong(field: impl Into<String>, wanted: impl Into<Cow<'static, str>>) -> CallError {
    CallError::Field {
        field: field.into(),
        wanted: wanted.into(),
    }
}

impl Fields {
    /// The raw field, for values with a type of their own.
    pub(crate) fn value(&self, field: &str) -> Option<&Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    /// All fields.
    pub(crate) fn all(&self) -> &Map<String, Value> {
        &self.0
    }

    /// # Errors
    /// [`CallError::Field`] if it is present and no text.
    pub(crate) fn text(&self, field: &str) -> Result<Option<&str>, CallError> {
        self.value(field)
            .map(|value| value.as_str().ok_or_else(|| wrong(field, "a string")))
            .transpose()
    }

    /// # Errors
    /// [`CallError::Field`] if it is present and no non-negative integer.
    pub(crate) fn whole(&self, field: &str) -> Result<Option<u64>, CallError> {
        self.value(field)
            .map(|value| {
                let number = value.as_u64();
                number.ok_or_else(|| wrong(field, "a whole number, not below 0"))
            })
            .transpose()
    }

    /// A number of seconds, possibly fractional, of at most a year.
    ///
    /// # Errors
    /// [`CallError::Field`] if it is present and no such number.
    pub(crate) fn seconds(&self, field: &str) -> Result<Option<Duration>, CallError> {
        self.value(field)
            .map(|value| {
                let seconds = value
                    .as_f64()
                    .filter(|seconds| (0.0..=31_536_000.0).contains(seconds));
                seconds
                    .map(Duration::from_secs_f64)
                    .ok_or_else(|| wrong(field, "a number of seconds, from 0 to 31536000"))
            })
            .transpose()
    }

    /// # Errors
    /// [`CallError::Field`] if it is present and no list of strings.
    pub(crate) fn texts(&self, field: &str) -> Result<Vec<&str>, CallError> {
        let Some(value) = self.value(field) else {
            return Ok(Vec::new());
        };
        let list = value
            .as_array()
            .ok_or_else(|| wrong(field, "a list of strings"))?;
        let texts = list.iter().enumerate().map(|(at, value)| {
            let text = value.as_str();
            text.ok_or_else(|| wrong(format!("{field}[{at}]"), "a string"))
        });
        texts.collect()
    }

    /// # Errors
    /// [`CallError::Field`] if it is present and no object whose values are strings.
    pub(crate) fn named_texts(&self, field: &str) -> Result<Vec<(&str, &str)>, CallError> {
        let Some(value) = self.value(field) else {
            return Ok(Vec::new());
        };
        let object = value
            .as_object()
            .ok_or_else(|| wrong(field, "an object with string values"))?;
        let texts = object.iter().map(|(name, value)| {
            let text = value.as_str();
            text.map(|text| (name.as_str(), text))
                .ok_or_else(|| wrong(format!("{field}.{name}"), "a string"))
        });
        texts.collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(body: &str) -> Answer {
        Answer {
            status: 200,
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn fields_are_read_by_type_and_a_wrong_one_is_named() {
        let fields = answer(r#"{"a":"x","n":7,"s":1.5,"l":["u",3],"o":{"k":"v","w":1},"z":null}"#)
            .fields()
            .unwrap();
        assert_eq!(fields.text("a"), Ok(Some("x")));
        assert_eq!((fields.text("z"), fields.text("none")), (Ok(None), Ok(None)));
        assert_eq!(fields.whole("n"), Ok(Some(7)));
        assert_eq!(fields.seconds("s"), Ok(Some(Duration::from_millis(1500))));
        for (error, told) in [
            (fields.text("n").unwrap_err(), "\"n\" must be a string"),
            (fields.whole("s").unwrap_err(), "\"s\" must be a whole number"),
            (
                fields.seconds("a").unwrap_err(),
                "\"a\" must be a number of seconds",
            ),
            (fields.texts("l").unwrap_err(), "\"l[1]\" must be a string"),
            (fields.texts("a").unwrap_err(), "\"a\" must be a list of strings"),
            (fields.named_texts("o").unwrap_err(), "\"o.w\" must be a string"),
        ] {
            assert!(error.to_string().contains(told), "{error}");
            assert!(!error.is_outage());
        }
    }

    #[test]
    fn no_body_is_an_empty_object_and_anything_else_is_no_json() {
        assert!(answer(" \n").fields().unwrap().all().is_empty());
        for body in [
            r#"{"allowed":true,"allowed":false}"#,
            "[]",
            "7",
            "\"passphrase\"",
            "{",
            "{} x",
            "<html>",
        ] {
            let error = answer(body).fields().unwrap_err();
            assert!(matches!(error, CallError::NotJson(_)), "{body}");
            assert!(!error.to_string().contains("passphrase"), "{error}");
        }
    }

    #[test]
    fn debug_shows_no_values() {
        let answer = answer(r#"{"passphrase":"hunter2hunter2"}"#);
        let shown = format!("{answer:?} {:?}", answer.fields().unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_reason_is_one_short_line() {
        assert_eq!(answer(r#"{"reason":" a\nb "}"#).reason().as_deref(), Some("a b"));
        assert_eq!(answer(r#"{"reason":7}"#).reason(), None);
        let long = answer(&format!(r#"{{"reason":"{}"}}"#, "x".repeat(5000)));
        assert_eq!(long.reason().unwrap().len(), 200);
    }

    proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let answer = Answer { status: 200, body };
            drop(answer.reason());
            if let Ok(fields) = answer.fields() {
                let names: Vec<_> = fields.all().keys().cloned().collect();
                for name in names {
                    drop((fields.text(&name), fields.whole(&name), fields.seconds(&name)));
                    drop((fields.texts(&name), fields.named_texts(&name)));
                }
            }
        }
    }
}
