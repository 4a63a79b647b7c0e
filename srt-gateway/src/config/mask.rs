//! Masks secrets in the lines that errors quote. Pure functions of text.
//!
//! When in doubt, it hides: the value of an unknown key may be a secret with a misspelt key, and in a text that is not
//! TOML every string may be one.

use std::{fmt, ops::Range};

use super::{
    keys::{self, Section},
    raw::{KeyValue, Node, Value},
    reader::ReadContext,
    secret::{is_secret_name, is_secret_parameter},
};

/// The text of a configuration file. `Debug` does not print it, because it contains secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceText(Box<str>);

impl SourceText {
    pub(crate) fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The text itself, secrets included.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SourceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceText({} bytes)", self.0.len())
    }
}

/// `text` with `*` for each byte that is, or may be, part of a secret. The length stays the same, so spans remain
/// valid.
pub(crate) fn masked(text: &str) -> String {
    let spans = match Node::document(text) {
        Ok(root) => {
            let mut spans = Vec::new();
            by_name(&root, Naming::Plain, &mut spans);
            let context = ReadContext::new(text);
            // Only the hidden spans matter here, not the result.
            drop(super::validate::read(&context, &root));
            spans.extend(context.into_parts().1);
            spans
        }
        Err(_) => in_broken_text(text),
    };
    apply(text, spans)
}

fn apply(text: &str, spans: Vec<Range<usize>>) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for span in spans {
        let end = span.end.min(bytes.len());
        for byte in &mut bytes[span.start.min(end)..end] {
            if !matches!(*byte, b'\n' | b'\r' | b'"' | b'\'') {
                *byte = b'*';
            }
        }
    }
    // A span may only hide whole characters: one that cuts a character makes this fail, and then everything is hidden.
    String::from_utf8(bytes).unwrap_or_else(|_| hidden(text))
}

fn hidden(text: &str) -> String {
    text.bytes()
        .map(|b| {
            if matches!(b, b'\n' | b'\r') {
                char::from(b)
            } else {
                '*'
            }
        })
        .collect()
}

/// The value of this key for display, with secrets masked.
pub(crate) fn redacted(key: &str, text: &str) -> String {
    const MASK: &str = "***";
    if text.is_empty() {
        return String::new();
    }
    if is_secret_name(key) {
        return MASK.to_owned();
    }
    let mut shown = text.to_owned();
    let mut parts = secret_parts(text);
    parts.retain(|part| !part.is_empty());
    parts.sort_by_key(|part| std::cmp::Reverse(part.start));
    for part in parts {
        if shown.get(part.clone()).is_none() {
            return MASK.to_owned();
        }
        shown.replace_range(part, MASK);
    }
    shown
}

#[derive(Clone, Copy)]
enum Naming {
    Plain,
    /// The value of a key with a secret's name.
    Secret,
}

fn by_name(node: &Node, naming: Naming, spans: &mut Vec<Range<usize>>) {
    match (&node.value, naming) {
        (Value::Table(entries), _) => {
            for KeyValue { key, node, .. } in entries {
                let below = if is_secret_name(key) {
                    Naming::Secret
                } else {
                    naming
                };
                by_name(node, below, spans);
            }
        }
        (Value::Array(items), _) => items.iter().for_each(|item| by_name(item, naming, spans)),
        (_, Naming::Secret) => spans.push(node.span.clone()),
        (Value::Str(text), Naming::Plain) => {
            spans.extend(secret_parts(text).into_iter().map(|part| node.part(part)));
        }
        _ => {}
    }
}

/// The parts of a string that are secret by themselves: user and password of a URL, its passphrase, a streamid.
pub(crate) fn secret_parts(text: &str) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let Some(scheme) = text.find("://") else {
        if text.contains("#!:") || text.to_ascii_lowercase().contains("password=") {
            parts.push(0..text.len());
        }
        return parts;
    };
    let authority = scheme + 3;
    if let Some(at) = text.rfind('@').filter(|at| *at > authority) {
        parts.push(authority..at);
    }
    let Some(query) = text.find('?') else { return parts };
    let mut from = query + 1;
    for parameter in text[from..].split('&') {
        let name = parameter.split('=').next().unwrap_or_default();
        let value = from + (name.len() + 1).min(parameter.len());
        if is_secret_parameter(name) || name.ends_with("streamid") {
            parts.push(value..from + parameter.len());
        } else if !parameter.contains('=') {
            // The rest of a passphrase after an unescaped &.
            parts.push(from..from + parameter.len());
        }
        from += parameter.len() + 1;
    }
    parts
}

/// Whether the words before a `=` form a known key whose value may be shown.
fn is_known_and_open(key: &str) -> bool {
    let mut same = keys::reference()
        .iter()
        .filter(|known| known.name == key.trim())
        .peekable();
    same.peek().is_some() && same.all(|known| !known.secret)
}

/// Whether the line is only the header of a known table, and not an element of a list, nor followed by anything.
fn is_known_header(line: &str) -> bool {
    let line = line.trim();
    let name = line.trim_start_matches('[');
    let first = name.split(['.', ']']).next().unwrap_or_default().trim();
    let ends = line.ends_with(']')
        || name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    name != line && ends && !is_secret_name(line) && keys::find(Section::Root, first).is_some()
}

/// All values in a text that is not TOML, except plain words and numbers of keys that are no secrets.
fn in_broken_text(text: &str) -> Vec<Range<usize>> {
    let multi_line_strings = text.contains(r#"""""#) || text.contains("'''");
    let mut spans = Vec::new();
    let mut from = 0;
    for line in text.split_inclusive('\n') {
        let end = from + line.len();
        let (key, value) = line.split_once('=').unwrap_or(("", line));
        let header = key.is_empty() && is_known_header(line);
        let open =
            is_known_and_open(key) && !is_secret_name(line) && !value.contains(['"', '\'', '[', '{', '@']);
        if multi_line_strings || !(header || open) {
            spans.push(end - value.len()..end);
        }
        from = end;
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_secrets_and_keeps_the_rest() {
        let text = "[srt]\nport = 1\npassphrase = \"correct horse\" # old\n[nonsense]\nx = \"hunter\"\n";
        let shown = masked(text);
        assert_eq!(shown.len(), text.len());
        assert!(shown.contains("port = 1"), "{shown}");
        assert!(!shown.contains("horse") && !shown.contains("hunter"), "{shown}");
    }

    #[test]
    fn parameters_of_urls_that_hold_secrets_are_hidden() {
        for name in [
            "key",
            "KEY",
            "apikey",
            "api_key",
            "jwt",
            "access_token",
            "x-token",
            "secretkey",
            "psk",
            "credential",
            "auth",
            "signature",
            "sig",
            "s",
        ] {
            let url = format!("https://ops.example/hook?a=1&{name}=hunter22");
            assert_eq!(
                redacted("url", &url),
                format!("https://ops.example/hook?a=1&{name}=***")
            );
            let text = format!("[auth]\nurl = \"{url}\"\n");
            assert!(!masked(&text).contains("hunter22"), "{}", masked(&text));
        }
        assert_eq!(redacted("url", "srt://al:hunter22@gw:9000"), "srt://***@gw:9000");
        assert_eq!(redacted("key", "/etc/ssl/key.pem"), "/etc/ssl/key.pem");
    }

    #[test]
    fn hides_what_may_be_a_secret_in_broken_text() {
        for text in [
            "[srt]\npassphrase = hunter22\n",
            "[srt\npassphrase = \"hunter22\n",
            "x = [\n \"hunter22\",\n",
            "x = { passphrase = hunter22",
            "x = \"\"\"\nport = hunter22\n",
            "hunter22",
            "[streams.a] passphrase \"hunter22\"\n",
            "play_passphrase = [\n[\"hunter22\"]\n",
        ] {
            let shown = masked(text);
            assert_eq!(shown.len(), text.len());
            assert!(!shown.contains("hunter22"), "{shown}");
        }
        let shown = masked("[streams.\"live/cam1\"]\n[srt\nport = 99x8\n");
        assert_eq!(shown, "[streams.\"live/cam1\"]\n[srt\nport = 99x8\n");
    }
}
