//! Compares two tables key by key, with fingerprints in place of secrets. Pure.

use std::fmt::Write as _;

use aws_lc_rs::{
    hmac::{self, HMAC_SHA256, Key},
    rand::SystemRandom,
};
use serde::Serialize;
use toml::{Table, Value};
use utoipa::ToSchema;

use super::shorten;
use crate::{
    config::{join, redacted},
    names::escape,
};

/// The number of changes that a record lists; the rest are counted.
const MOST: usize = 50;

/// The length limit of a value, in characters.
const VALUE: usize = 300;

/// One key, and its value before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Change {
    /// The key, as in `streams."live/cam1".max_viewers`.
    pub(crate) key: String,
    /// Absent if there was none. Secrets are `*** [FINGERPRINT]`: equal fingerprints are equal secrets, until the gateway restarts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<String>,
    /// Absent if there is none any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<String>,
}

impl Change {
    /// A change of something other than a configuration key.
    pub(crate) fn new(key: &str, before: Option<String>, after: Option<String>) -> Self {
        Self {
            key: key.to_owned(),
            before,
            after,
        }
    }
}

/// What one record changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Changes {
    /// The first 50.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) changes: Vec<Change>,
    /// How many there are beyond these.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) more_changes: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Changes {
    pub(crate) fn push(&mut self, change: Change) {
        if self.changes.len() < MOST {
            self.changes.push(change);
        } else {
            self.more_changes += 1;
        }
    }

    pub(super) fn sanitize(&mut self) {
        for change in &mut self.changes {
            let values = [&mut change.before, &mut change.after].into_iter().flatten();
            for text in values.chain([&mut change.key]) {
                shorten(text, VALUE);
                escape(text);
            }
        }
    }

    /// `KEY: BEFORE -> AFTER; ...`
    pub(super) fn line(&self) -> String {
        let mut line = String::new();
        for change in &self.changes {
            let between = if line.is_empty() { "" } else { "; " };
            line.push_str(between);
            line.push_str(&change.key);
            if change.before.is_some() || change.after.is_some() {
                let [before, after] =
                    [&change.before, &change.after].map(|value| value.as_deref().unwrap_or("(none)"));
                // Writing to a String cannot fail.
                write!(line, ": {before} -> {after}").unwrap_or_default();
            }
        }
        if self.more_changes > 0 {
            write!(line, "; and {} more", self.more_changes).unwrap_or_default();
        }
        line
    }
}

/// Computes fingerprints of secrets with a random key, so that nobody can test guesses against them.
#[derive(Debug)]
pub(crate) struct Fingerprints(Option<Key>);

impl Default for Fingerprints {
    fn default() -> Self {
        Self(Key::generate(HMAC_SHA256, &SystemRandom::new()).ok())
    }
}

impl Fingerprints {
    fn of(&self, secret: &str) -> String {
        let Some(key) = &self.0 else {
            return "unknown".to_owned();
        };
        let tag = hmac::sign(key, secret.as_bytes());
        tag.as_ref()[..4]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// A value of this key for display.
    fn shown(&self, key: &str, text: &str) -> String {
        let shown = redacted(key, text);
        if shown == text {
            shown
        } else {
            format!("{shown} [{}]", self.of(text))
        }
    }

    /// The differences in `after`.
    pub(crate) fn differences(&self, before: &Table, after: &Table) -> Changes {
        let mut changes = Changes::default();
        self.tables(String::new(), before, after, &mut changes);
        changes
    }

    fn tables(&self, path: String, before: &Table, after: &Table, changes: &mut Changes) {
        let new = after.keys().filter(|key| !before.contains_key(*key));
        for key in before.keys().chain(new) {
            self.values(join(&path, key), key, before.get(key), after.get(key), changes);
        }
    }

    /// `key` is the key of the value, or of the list that contains it.
    fn values(
        &self,
        path: String,
        key: &str,
        before: Option<&Value>,
        after: Option<&Value>,
        changes: &mut Changes,
    ) {
        let nothing = (&Table::new(), &Vec::new());
        match (before, after) {
            (before, after) if before == after => {}
            (None, Some(Value::Array(list))) | (Some(Value::Array(list)), None) if list.is_empty() => {}
            (Some(Value::Table(before)), Some(Value::Table(after))) => {
                self.tables(path, before, after, changes);
            }
            (None, Some(Value::Table(after))) if !after.is_empty() => {
                self.tables(path, nothing.0, after, changes);
            }
            (Some(Value::Table(before)), None) if !before.is_empty() => {
                self.tables(path, before, nothing.0, changes);
            }
            (Some(Value::Array(before)), Some(Value::Array(after))) => {
                self.lists(&path, key, before, after, changes);
            }
            (None, Some(Value::Array(after))) if !after.is_empty() => {
                self.lists(&path, key, nothing.1, after, changes);
            }
            (Some(Value::Array(before)), None) if !before.is_empty() => {
                self.lists(&path, key, before, nothing.1, changes);
            }
            (before, after) => {
                let shown = |value: Option<&Value>| value.map(|value| self.value(key, value));
                changes.push(Change {
                    key: path,
                    before: shown(before),
                    after: shown(after),
                });
            }
        }
    }

    /// An entry that was added or removed does not change those after it.
    fn lists(&self, path: &str, key: &str, before: &[Value], after: &[Value], changes: &mut Changes) {
        let same =
            |pairs: &mut dyn Iterator<Item = (&Value, &Value)>| pairs.take_while(|(a, b)| a == b).count();
        let front = same(&mut before.iter().zip(after));
        let (before, after) = (&before[front..], &after[front..]);
        let back = same(&mut before.iter().rev().zip(after.iter().rev()));
        let (before, after) = (&before[..before.len() - back], &after[..after.len() - back]);
        for at in 0..before.len().max(after.len()) {
            let path = format!("{path}[{}]", front + at);
            self.values(path, key, before.get(at), after.get(at), changes);
        }
    }

    fn value(&self, key: &str, value: &Value) -> String {
        match value {
            Value::String(text) => self.shown(key, text),
            Value::Table(table) if table.is_empty() => "{}".to_owned(),
            Value::Array(items) if items.is_empty() => "[]".to_owned(),
            // A secret that was written as a number is still a secret.
            Value::Table(_) | Value::Array(_) => {
                // Values of different types are shown in full.
                let mut parts = Changes::default();
                self.values(String::new(), key, None, Some(value), &mut parts);
                let parts: Vec<_> = parts
                    .changes
                    .into_iter()
                    .filter(|part| !part.key.is_empty())
                    .map(|part| format!("{} = {}", part.key, part.after.unwrap_or_default()))
                    .collect();
                format!("{{{}}}", parts.join(", "))
            }
            other => self.shown(key, &other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(before: &str, after: &str) -> Vec<String> {
        let table = |text: &str| text.parse::<Table>().unwrap();
        let changes = Fingerprints::default().differences(&table(before), &table(after));
        let change = |change: &Change| {
            let [before, after] =
                [&change.before, &change.after].map(|value| value.as_deref().unwrap_or("-"));
            format!("{} {before} {after}", change.key)
        };
        changes.changes.iter().map(change).collect()
    }

    #[test]
    fn each_key_that_differs_is_named() {
        let before =
            "[streams.\"live/a\"]\nmax_viewers = 3\noutputs = [\"udp://h:1\", \"udp://h:2\"]\nsame = 1";
        let after = "[streams.\"live/a\"]\noutputs = [\"udp://h:0\", \"udp://h:1\", \"udp://h:2\"]\nsame = 1\n\
                     srt_publish = { port = 7 }\n[streams.empty]";
        assert_eq!(
            differences(before, after),
            [
                "streams.\"live/a\".max_viewers 3 -",
                "streams.\"live/a\".outputs[0] - udp://h:0",
                "streams.\"live/a\".srt_publish.port - 7",
                "streams.empty - {}",
            ]
        );
        assert_eq!(
            differences("a = [1]\nb = { c = 1 }", "a = 2\nb = 3"),
            ["a {[0] = 1} 2", "b {c = 1} 3"]
        );
    }

    #[test]
    fn secrets_are_fingerprints_wherever_they_stand() {
        let before = r#"
            p = { passphrase = "correct horse", publish_passphrase = ["battery staple", "battery staple"] }
            url = "srt://al:hush@h:1?passphrase=correct horse"
            tokens = [{ token = "tok-one", name = "night" }]
            secret = 12345678901"#;
        let after = r#"
            p = { passphrase = { file = "/run/p" }, publish_passphrase = ["battery staple"] }
            url = "srt://al:other@h:1?passphrase=correct horse"
            tokens = [{ token = "tok-two", name = "day" }]
            secret = 10987654321"#;
        let found = differences(before, after);
        let text = found.join("\n");
        for secret in [
            "horse",
            "staple",
            "hush",
            "other",
            "tok-",
            "12345678901",
            "10987654321",
        ] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        assert!(
            text.contains("file = /run/p") && text.contains("night day"),
            "{text}"
        );
        // A change of the login shows, although its mask is the same.
        let url: Vec<_> = found.iter().filter(|line| line.starts_with("url ")).collect();
        assert_eq!(url.len(), 1, "{text}");
        let prints: Vec<_> = url[0].split('[').skip(1).collect();
        assert!(
            prints.len() == 2 && prints[0][..8] != prints[1][..8],
            "{}",
            url[0]
        );
    }

    #[test]
    fn equal_secrets_have_equal_fingerprints_until_the_key_changes() {
        let (one, other) = (Fingerprints::default(), Fingerprints::default());
        assert_eq!(one.of("a"), one.of("a"));
        assert_ne!(one.of("a"), one.of("b"));
        assert_ne!(one.of("a"), other.of("a"));
    }

    #[test]
    fn many_changes_are_counted() {
        let mut after = String::new();
        for number in 0..120 {
            writeln!(after, "k{number} = 1").unwrap();
        }
        let changes = Fingerprints::default().differences(&Table::new(), &after.parse().unwrap());
        assert_eq!((changes.changes.len(), changes.more_changes), (MOST, 70));
        assert!(changes.line().ends_with("and 70 more"));
    }
}
