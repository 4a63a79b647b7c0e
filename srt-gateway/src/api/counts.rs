//! Limits the number of streams, inputs and outputs that API clients may create, because each takes memory and some
//! take a thread or a port. Pure.

use std::collections::BTreeMap;

use toml::Value;

use super::{
    problem::{Answer, Problem},
    store::{SavedState, key_of},
};
use crate::names::Role;

/// Streams that the API may create.
const STREAMS: usize = 2_000;

/// Inputs, and outputs, that the API may add to a stream.
const ENDPOINTS_PER_STREAM: usize = 100;

/// Inputs and outputs that the API may create in total, because some have a thread each.
const ENDPOINTS: usize = 5_000;

/// The number of entries in each list of inputs and outputs, by key.
fn lists(state: &SavedState) -> BTreeMap<String, usize> {
    let mut lists = BTreeMap::new();
    for role in [Role::Publisher, Role::Viewer] {
        let key = key_of(role);
        for (name, table) in &state.streams {
            let list = table.get(key).and_then(Value::as_array);
            lists.insert(format!("streams.{name:?}.{key}"), list.map_or(0, Vec::len));
        }
        for (name, added) in &state.added {
            *lists.entry(format!("streams.{name:?}.{key}")).or_default() += added.of(role).len();
        }
    }
    lists
}

/// Refuses a change that exceeds these limits. Lists that are already longer may shrink.
///
/// # Errors
/// The list that is too long.
pub(super) fn check(before: &SavedState, after: &SavedState) -> Answer<()> {
    let too_many = |key: &str, most: usize, what: &str| {
        let told = format!("the API can create at most {most} {what}: define more in the configuration file");
        Err(Problem::invalid(told).at(key))
    };
    let streams = after.streams.len();
    if streams > STREAMS && streams > before.streams.len() {
        return too_many("streams", STREAMS, "streams");
    }
    let (lists, lists_before) = (lists(after), lists(before));
    for (key, count) in &lists {
        if *count > ENDPOINTS_PER_STREAM && Some(count) > lists_before.get(key) {
            return too_many(key, ENDPOINTS_PER_STREAM, "inputs or outputs of one stream");
        }
    }
    let all: usize = lists.values().sum();
    if all > ENDPOINTS && all > lists_before.values().sum() {
        return too_many("streams", ENDPOINTS, "inputs and outputs");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use toml::Table;

    use super::*;
    use crate::{
        api::store::{ConfigStore, Edit},
        config::Config,
    };

    #[test]
    fn there_is_an_end_to_what_the_api_makes() {
        let file = "[api]\nstate = \"\"\n[streams.\"live/a\"]";
        let (store, _) = ConfigStore::open(file, &Config::parse(file).unwrap(), None);
        let edit = |change: &dyn Fn(&mut SavedState)| {
            let change = |state: &mut SavedState, _: &Edit<'_>| {
                change(state);
                Ok(())
            };
            store.edit(change, |_, _| Ok(()))
        };
        let output = |number: usize| Value::String(format!("udp://127.0.0.1:{}", 20_000 + number));
        let outputs = |count: usize| Value::Array((0..count).map(output).collect());
        let told = |problem: Problem| {
            assert_eq!((problem.status, problem.errors.len()), (422, 1), "{problem:?}");
            format!("{}: {}", problem.errors[0].key, problem.detail)
        };
        let made = |count| {
            edit(&move |state| {
                let table = [("outputs".to_owned(), outputs(count))].into_iter().collect();
                state.streams.insert("b".to_owned(), table);
            })
        };
        made(100).unwrap();
        let why = told(made(101).unwrap_err());
        assert!(
            why.starts_with("streams.\"b\".outputs: ") && why.contains("at most 100"),
            "{why}"
        );
        let add = |count: usize| {
            edit(&move |state| {
                let added = state.added.entry("live/a".to_owned()).or_default();
                added.outputs = (0..count).map(output).collect();
            })
        };
        add(100).unwrap();
        assert!(told(add(101).unwrap_err()).starts_with("streams.\"live/a\".outputs: "));
        let many = |count: usize| {
            edit(&move |state| {
                for number in 0..count {
                    state.streams.insert(format!("s/{number}"), Table::new());
                }
            })
        };
        many(1_999).unwrap();
        assert!(told(many(2_000).unwrap_err()).contains("at most 2000 streams"));
        // A longer list, created by an earlier version, may shrink.
        let mut before = SavedState::default();
        for number in 0..2_100 {
            before.streams.insert(format!("s/{number}"), Table::new());
        }
        let mut after = before.clone();
        after.streams.remove("s/0");
        check(&before, &after).unwrap();
        check(&after, &before).unwrap_err();
    }
}
