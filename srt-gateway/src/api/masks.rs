//! Converts definitions to JSON with masked secrets and back, replacing each mask with the secret behind it, so that an
//! editor need not know the secrets. Pure.

use toml::{Table, Value};

use super::problem::{Answer, Problem};
use crate::config::redacted;

/// Replaces a secret.
const MASK: &str = "***";

/// A table as JSON, with secrets masked.
pub(super) fn shown_table(table: &Table) -> serde_json::Value {
    let entry = |(key, value): (&String, &Value)| (key.clone(), shown(key, value));
    serde_json::Value::Object(table.iter().map(entry).collect())
}

fn shown(key: &str, value: &Value) -> serde_json::Value {
    match value {
        Value::String(text) => redacted(key, text).into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Boolean(on) => (*on).into(),
        Value::Datetime(time) => time.to_string().into(),
        Value::Array(items) => items.iter().map(|item| shown(key, item)).collect(),
        Value::Table(table) => shown_table(table),
    }
}

pub(super) fn unmask_table(new: &mut Table, old: &Table) {
    for (key, value) in new.iter_mut() {
        if let Some(old) = old.get(key) {
            unmask(key, value, old);
        }
    }
}

fn unmask(key: &str, new: &mut Value, old: &Value) {
    match (new, old) {
        // Where a list may stand, one value may stand as well.
        (Value::Array(new), Value::String(_)) => unmask_list(key, new, std::slice::from_ref(old)),
        (new @ Value::String(_), Value::Array(old)) if old.len() == 1 => unmask(key, new, &old[0]),
        (Value::String(new), Value::String(old)) if *new == redacted(key, old) => new.clone_from(old),
        (Value::String(new), Value::String(old)) if new.contains("://") => unmask_url(new, old),
        (Value::Table(new), Value::Table(old)) => unmask_table(new, old),
        (Value::Array(new), Value::Array(old)) => unmask_list(key, new, old),
        _ => {}
    }
}

/// Pairs entries by their displayed form rather than by position, because entries may have been inserted before them.
/// Modified entries are matched by their address. An entry with a secret of its own is what its sender means, although it
/// is displayed like any other secret.
fn unmask_list(key: &str, new: &mut [Value], old: &[Value]) {
    let mut left: Vec<_> = old.iter().collect();
    let mut changed = Vec::new();
    for item in new {
        let json = shown(key, item);
        let has_no_secret = toml_of(json.clone()).is_ok_and(|displayed| displayed == *item);
        let is_meant = |old: &&Value| match has_no_secret {
            true => shown(key, old) == json,
            false => *old == item,
        };
        match left.iter().position(is_meant) {
            Some(at) => item.clone_from(left.remove(at)),
            None => changed.push(item),
        }
    }
    for item in changed {
        let address = item.get("url").map(|url| shown("url", url));
        let same = |old: &&Value| address.is_some() && old.get("url").map(|url| shown("url", url)) == address;
        if let Some(at) = left.iter().position(same) {
            unmask(key, item, left.remove(at));
        }
    }
}

/// Restores the masks in a changed URL from the parameters of the same name in the old one.
fn unmask_url(new: &mut String, old: &str) {
    let parts = |url: &str| {
        let (front, query) = url.split_once('?').unwrap_or((url, ""));
        (front.to_owned(), query.to_owned())
    };
    let ((front, query), (old_front, old_query)) = (parts(new), parts(old));
    let login = |front: &str| {
        let authority = front.find("://")? + 3;
        Some(authority..front.rfind('@').filter(|at| *at > authority)?)
    };
    let mut whole = front.clone();
    if let (Some(here), Some(there)) = (login(&front), login(&old_front))
        && &front[here.clone()] == MASK
    {
        whole.replace_range(here, &old_front[there]);
    }
    let value_of = |name: &str| {
        let mut same = old_query
            .split('&')
            .filter_map(|parameter| parameter.split_once('='));
        same.find_map(|(other, value)| (other == name).then_some(value))
    };
    for (at, parameter) in query.split('&').enumerate().filter(|_| !query.is_empty()) {
        whole.push(if at == 0 { '?' } else { '&' });
        let masked = parameter
            .strip_suffix(MASK)
            .and_then(|rest| rest.strip_suffix('='));
        match masked.and_then(|name| Some((name, value_of(name)?))) {
            Some((name, value)) => whole.push_str(&format!("{name}={value}")),
            None => whole.push_str(parameter),
        }
    }
    *new = whole;
}

/// Converts JSON to TOML.
pub(crate) fn toml_of(json: serde_json::Value) -> Answer<Value> {
    use serde_json::Value as Json;
    Ok(match json {
        Json::Null => {
            return Err(Problem::invalid("null is not a valid value: omit the key"));
        }
        Json::Bool(on) => Value::Boolean(on),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::Integer(integer),
            (None, Some(float)) => Value::Float(float),
            (None, None) => return Err(Problem::invalid("a number that does not fit 64 bits")),
        },
        Json::String(text) => Value::String(text),
        Json::Array(items) => Value::Array(items.into_iter().map(toml_of).collect::<Answer<_>>()?),
        Json::Object(entries) => Value::Table(table_of(entries)?),
    })
}

/// Converts a JSON object to a table.
pub(crate) fn table_of(entries: serde_json::Map<String, serde_json::Value>) -> Answer<Table> {
    let entry = |(key, value)| Ok((key, toml_of(value)?));
    entries.into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_was_changed_keeps_its_secrets() {
        let table = |text: &str| text.parse::<Table>().unwrap();
        let old = table(
            r#"outputs = ["udp://127.0.0.1:1", { url = "srt://h:1", passphrase = "correct horse", latency = 120 },
                          { url = "srt://h:2", passphrase = "battery staple" }]"#,
        );
        let mut new = table(
            r#"outputs = [{ url = "srt://h:2", passphrase = "***" },
                          { url = "srt://h:1", passphrase = "***", latency = 300 }, { url = "srt://h:3", passphrase = "***" }]"#,
        );
        unmask_table(&mut new, &old);
        let passphrase = |at: usize| new["outputs"][at]["passphrase"].as_str().unwrap();
        assert_eq!(
            [0, 1, 2].map(passphrase),
            ["battery staple", "correct horse", "***"]
        );
    }

    #[test]
    fn a_new_secret_is_not_taken_for_an_old_one() {
        for (old, new, wanted) in [
            (r#"["old"]"#, r#"["new"]"#, r#"["new"]"#),
            (r#"["old"]"#, r#"["new", "***"]"#, r#"["new", "old"]"#),
            (r#"["old"]"#, r#"["***", "new"]"#, r#"["old", "new"]"#),
            (r#"["one", "two"]"#, r#"["***", "***"]"#, r#"["one", "two"]"#),
            (r#"["one", "two"]"#, r#"["two", "***"]"#, r#"["two", "one"]"#),
            (r#""old""#, r#"["***", "new"]"#, r#"["old", "new"]"#),
            (r#"["old"]"#, r#""***""#, r#""old""#),
            (r#"["one", "two"]"#, r#""***""#, r#""***""#),
            (r#""old""#, r#""new""#, r#""new""#),
        ] {
            let table = |text: &str| format!("passphrase = {text}").parse::<Table>().unwrap();
            let (mut new_table, wanted) = (table(new), table(wanted));
            unmask_table(&mut new_table, &table(old));
            assert_eq!(new_table, wanted, "{new} over {old}");
        }
    }

    #[test]
    fn masks_in_a_url_that_was_changed_are_taken_for_what_they_mask() {
        let old = "srt://user:pw@h:1?passphrase=battery staple&latency=20&streamid=#!::r=x,s=hush";
        let shown = redacted("url", old);
        assert!(
            !shown.contains("staple") && !shown.contains("hush") && !shown.contains("pw"),
            "{shown}"
        );
        for (new, wanted) in [
            (shown.clone(), old.to_owned()),
            (shown.replace("h:1", "other:2"), old.replace("h:1", "other:2")),
            (
                shown.replace("latency=20", "latency=300"),
                old.replace("latency=20", "latency=300"),
            ),
            (
                "srt://h:1?passphrase=another one".to_owned(),
                "srt://h:1?passphrase=another one".to_owned(),
            ),
            (
                "srt://h:1?unknown=***".to_owned(),
                "srt://h:1?unknown=***".to_owned(),
            ),
            ("udp://h:1".to_owned(), "udp://h:1".to_owned()),
        ] {
            let mut value = Value::String(new);
            unmask("url", &mut value, &Value::String(old.to_owned()));
            assert_eq!(value.as_str(), Some(wanted.as_str()));
        }
    }
}
