//! Checks foreign JSON before it is parsed: an object must not contain a key twice. Parsers disagree on which value
//! counts, so a proxy or a reviewer may have seen the other one. Pure.

use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// Checks that no object in the text contains a key twice.
///
/// # Errors
/// Errors of the parser, which also limits the depth; or the duplicate key.
pub(crate) fn check_keys(text: &[u8]) -> Result<(), serde_json::Error> {
    serde_json::from_slice::<Checked>(text).map(drop)
}

/// Any value; nothing of it is kept.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Check)
    }
}

struct Check;

impl<'de> Visitor<'de> for Check {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Checked, A::Error> {
        while items.next_element::<Checked>()?.is_some() {}
        Ok(Checked)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Checked, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if keys.contains(&key) {
                let shown: String = key.chars().take(60).collect();
                return Err(A::Error::custom(format_args!("the key {shown:?} is given twice")));
            }
            keys.insert(key);
            entries.next_value::<Checked>()?;
        }
        Ok(Checked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_given_twice_is_named() {
        for text in [
            r#"{"a": 1, "a": 2}"#,
            r#"[{"x": [{"a": {}, "b": null, "\u0061": 1.5}]}]"#,
        ] {
            let error = check_keys(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(r#"the key "a" is given twice"#), "{error}");
        }
        for text in [
            r#"{"a": {"a": 1}, "b": [{"a": 1}, {"a": -1}]}"#,
            "[]",
            "null",
            "true",
            "\"a\"",
        ] {
            check_keys(text.as_bytes()).unwrap();
        }
        let deep = "[".repeat(100_000);
        assert!(
            check_keys(deep.as_bytes())
                .unwrap_err()
                .to_string()
                .contains("recursion")
        );
    }
}
