//! Tables of the configuration as the API shows them, secrets masked, and what is sent back with the masks in it. Pure.

use toml::{Table, Value};

use crate::config::redacted;

/// A table as JSON, secrets masked.
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

/// Replaces the masks in `new` by what they masked in `old`.
pub(super) fn unmask_table(new: &mut Table, old: &Table) {
    for (key, value) in new.iter_mut() {
        if let Some(old) = old.get(key) {
            unmask(key, value, old);
        }
    }
}

fn unmask(key: &str, new: &mut Value, old: &Value) {
    match (new, old) {
        (Value::String(new), Value::String(old)) if *new == redacted(key, old) => new.clone_from(old),
        (Value::Table(new), Value::Table(old)) => unmask_table(new, old),
        (Value::Array(new), Value::Array(old)) => unmask_list(key, new, old),
        _ => {}
    }
}

/// Pairs entries by what is shown of them, not by place: one may have been put before the others. Those of which something
/// was changed are known by their address.
fn unmask_list(key: &str, new: &mut [Value], old: &[Value]) {
    let mut left: Vec<_> = old.iter().collect();
    let mut changed = Vec::new();
    for item in new {
        let json = shown(key, item);
        match left.iter().position(|old| shown(key, old) == json) {
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
}
