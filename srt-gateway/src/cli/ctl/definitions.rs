//! The commands about whole definitions: streams, and everything that the API has added.

use anyhow::{Context as _, bail};
use clap::Subcommand;
use reqwest::Method;
use serde_json::{Map, Value};

use super::{Call, change, get, object, part};

/// What `ctl` takes about definitions.
#[derive(Debug, Subcommand)]
pub(super) enum Ask {
    /// Add a stream.
    AddStream {
        /// Name of the stream.
        name: String,
        /// Keys of the stream as JSON, such as '{"max_viewers": 10}'; - reads them from standard input.
        #[arg(default_value = "{}")]
        table: String,
        /// Replace the whole table of a stream that was added this way. Keys that you leave out get their defaults.
        #[arg(long)]
        replace: bool,
    },
    /// Change keys of a stream that was added with add-stream; all other keys stay as they are.
    ChangeStream {
        /// Name of the stream.
        name: String,
        /// KEY=VALUE with a TOML value, such as max_viewers=10 or failover.after="2s"; other text is a string.
        #[arg(required_unless_present = "unset")]
        keys: Vec<String>,
        /// Remove this key, so that its default applies.
        #[arg(long, value_name = "KEY")]
        unset: Vec<String>,
    },
    /// Print everything that the API has added as JSON, for `import`.
    Export {
        /// Include secrets; needs a token with the scope admin. Keep the output private.
        #[arg(long)]
        with_secrets: bool,
    },
    /// Add what `export` has printed, all of it or nothing.
    Import {
        /// The document; - reads it from standard input.
        file: String,
        /// Replace everything that the API has added before.
        #[arg(long)]
        replace: bool,
    },
}

impl Ask {
    /// The request; for change-stream, the one that reads the stream.
    pub(super) fn call(&self) -> anyhow::Result<Call> {
        Ok(match self {
            Self::AddStream { name, table, replace } => {
                let mut call = change(
                    Method::PUT,
                    format!("streams/{}", part(name)),
                    Some(object(table)?),
                );
                if !replace {
                    call.headers.push(("If-None-Match", "*".to_owned()));
                }
                call
            }
            Self::ChangeStream { name, .. } => get(format!("streams/{}", part(name)), &[]),
            Self::Export { with_secrets } => get(format!("export?secrets={with_secrets}"), &[]),
            Self::Import { file, replace } => {
                let text = match file.as_str() {
                    "-" => "-".to_owned(),
                    file => std::fs::read_to_string(file).with_context(|| file.to_owned())?,
                };
                let path = format!("import?replace={replace}");
                change(Method::POST, path, Some(object(&text)?))
            }
        })
    }

    /// What a refusal means here.
    pub(super) fn explain(&self, status: u16) -> Option<String> {
        match (self, status) {
            (Self::AddStream { name, .. }, 412) => Some(format!(
                "stream {name} exists: change keys of it with change-stream, or replace its whole table with add-stream --replace"
            )),
            (Self::ChangeStream { name, .. }, 412) => Some(format!(
                "stream {name} was changed by somebody else meanwhile: look at it and try again"
            )),
            _ => None,
        }
    }

    /// What comes after the first request: the change of what it has read.
    pub(super) fn next(&self, read: &Value) -> anyhow::Result<Option<Call>> {
        let Self::ChangeStream { name, keys, unset } = self else {
            return Ok(None);
        };
        let Some(definition) = read["definition"].as_object() else {
            bail!("stream {name} has no table: add one with add-stream");
        };
        let mut table = definition.clone();
        for key in unset {
            set(&mut table, key, None)?;
        }
        for pair in keys {
            let Some((key, value)) = pair.split_once('=') else {
                bail!("{pair} is not KEY=VALUE");
            };
            set(&mut table, key.trim(), Some(value_of(value)))?;
        }
        let mut call = change(Method::PUT, format!("streams/{}", part(name)), Some(table.into()));
        let version = read["version"].as_str().unwrap_or_default();
        call.headers.push(("If-Match", format!("\"{version}\"")));
        Ok(Some(call))
    }
}

/// A TOML value, or a string without quotes.
fn value_of(text: &str) -> Value {
    let parsed = format!("x = {text}").parse::<toml::Table>();
    let value = parsed.ok().and_then(|mut table| table.remove("x"));
    value
        .and_then(|value| serde_json::to_value(value).ok())
        .unwrap_or_else(|| text.into())
}

/// Sets or removes a key; dots lead into tables.
fn set(table: &mut Map<String, Value>, path: &str, value: Option<Value>) -> anyhow::Result<()> {
    match path.split_once('.') {
        None => match value {
            Some(value) => drop(table.insert(path.to_owned(), value)),
            None if table.remove(path).is_none() => bail!("{path} is not set"),
            None => {}
        },
        Some((first, rest)) => {
            let inner = table
                .entry(first)
                .or_insert_with(|| Map::new().into())
                .as_object_mut()
                .with_context(|| format!("{first} is not a table"))?;
            set(inner, rest, value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_set_by_their_path() {
        let ask = Ask::ChangeStream {
            name: "live/a".to_owned(),
            keys: [
                "max_viewers=10",
                "failover.after=2s",
                "start_at=\"live\"",
                "outputs=[\"udp://h:1\"]",
            ]
            .map(str::to_owned)
            .to_vec(),
            unset: vec!["ring".to_owned()],
        };
        let read = json!({ "version": "v1", "definition": { "ring": "1MiB", "password": "***", "failover": { "back": "9s" } } });
        let call = ask.next(&read).unwrap().unwrap();
        assert_eq!(call.headers, [("If-Match", "\"v1\"".to_owned())]);
        let wanted = json!({
            "password": "***", "max_viewers": 10, "start_at": "live", "outputs": ["udp://h:1"],
            "failover": { "back": "9s", "after": "2s" },
        });
        assert_eq!(call.body, Some(wanted));
        let of = |keys: &str| Ask::ChangeStream {
            name: "a".to_owned(),
            keys: vec![keys.to_owned()],
            unset: Vec::new(),
        };
        assert!(of("nonsense").next(&read).is_err());
        assert!(of("ring.x=1").next(&read).is_err());
        assert!(of("x=1").next(&json!({ "version": "v1" })).is_err());
    }
}
