//! The changes made through the API. They are stored in a state file, merged into the configuration file's table, and
//! parsed and checked like the file itself.
//!
//! ```text
//!   file ─┐
//!         ├─ merged ──▶ the parser of configurations ──▶ Config ──▶ control (its diff)
//!   state ┘      ▲ edited by the API, staged beside the state file, applied, and only then stored in it
//! ```
//!
//! The configuration file is never written. If both define a stream, the file takes precedence and the log reports it.
//! One lock serializes all edits, including reloads of the file.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher as _, RandomState},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};
use tracing::warn;

use super::{
    audit::{AuditLog, Changes},
    ban_file::BanFile,
    counts,
    masks::{shown_table, unmask_table},
    model::Origin,
    problem::{Answer, Problem},
    reload::{LastReload, NotReloaded},
    shape,
    state_file::{self, StagedFile},
};
use crate::{
    config::{Config, ConfigErrors, Endpoint, Entries, Fault, ONLY_FILE, SecretSources, join, source_in},
    control::{self, Reloaded},
    names::Role,
};

/// How long control may take to apply a change.
const APPLY: Duration = Duration::from_secs(30);

fn not_kept(path: &Path, error: &std::io::Error) -> Problem {
    Problem::not_kept(format!(
        "nothing was changed, because {} cannot be written: {error}; set state in [api] to a writable path",
        path.display()
    ))
}

/// The content of the state file: changes made through the API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SavedState {
    /// Endpoints of the configuration file that were started or stopped, by id.
    pub(crate) enabled: BTreeMap<String, bool>,
    /// Endpoints added to streams of the configuration file.
    pub(crate) added: BTreeMap<String, Added>,
    /// Streams added by the API: their tables as in the configuration.
    pub(crate) streams: BTreeMap<String, Table>,
}

/// Endpoints added to a stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Added {
    pub(crate) inputs: Vec<Value>,
    pub(crate) outputs: Vec<Value>,
}

/// The key of a stream's table for endpoints of this role.
pub(crate) fn key_of(role: Role) -> &'static str {
    match role {
        Role::Publisher => "inputs",
        Role::Viewer => "outputs",
    }
}

impl Added {
    pub(super) fn of(&self, role: Role) -> &[Value] {
        match role {
            Role::Publisher => &self.inputs,
            Role::Viewer => &self.outputs,
        }
    }

    pub(crate) fn list(&mut self, role: Role) -> &mut Vec<Value> {
        match role {
            Role::Publisher => &mut self.inputs,
            Role::Viewer => &mut self.outputs,
        }
    }
}

/// The streams and endpoints that the API has added.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    streams: BTreeSet<String>,
    /// Ids of endpoints that were added to streams of the configuration file.
    endpoints: BTreeSet<String>,
}

impl Origins {
    pub(crate) fn of_stream(&self, name: &str, config: &Config) -> Origin {
        if self.streams.contains(name) {
            Origin::Api
        } else if config.streams.contains_key(name) {
            Origin::Config
        } else {
            Origin::Caller
        }
    }

    pub(crate) fn of_endpoint(&self, stream: &str, id: &str, config: &Config) -> Origin {
        if self.endpoints.contains(id) {
            Origin::Api
        } else {
            self.of_stream(stream, config)
        }
    }
}

/// The configuration file and the state, merged.
#[derive(Debug)]
struct MergedConfig {
    table: Table,
    config: Config,
    origins: Origins,
}

/// Holds the configuration, and edits it.
#[derive(Debug)]
pub(crate) struct ConfigStore {
    inner: Mutex<Inner>,
    /// The configuration file, ...
    file: Option<PathBuf>,
    /// ... and the state file.
    path: Option<PathBuf>,
    pub(crate) origins: ArcSwap<Origins>,
    /// The bans that operators have added.
    pub(crate) bans: BanFile,
    pub(crate) audit: AuditLog,
    /// Of the configuration file.
    pub(crate) last_reload: ArcSwap<LastReload>,
    recovered: Vec<String>,
    /// Keys the versions (ETags): they are hashes of texts with secrets, which must not be guessable.
    seed: RandomState,
}

/// The content of the configuration file.
#[derive(Debug, Default)]
struct FileContent {
    table: Table,
    /// The secrets from other sources, read together with the file: an edit by the API does not read them again.
    secrets: SecretSources,
}

impl FileContent {
    fn of(text: &str, config: &Config) -> Self {
        Self {
            table: text.parse().unwrap_or_default(),
            secrets: config.secret_sources.clone(),
        }
    }
}

#[derive(Debug)]
struct Inner {
    file: FileContent,
    state: SavedState,
    table: Table,
}

/// The path of the state file: from `[api]`, else in the service manager's state folder, else beside the configuration
/// file. None: the state is not stored.
fn place(config: &Config, file: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = &config.api.state {
        return (!path.as_os_str().is_empty()).then(|| path.clone());
    }
    let folder = std::env::var_os("STATE_DIRECTORY").filter(|folder| !folder.is_empty());
    match folder {
        Some(folder) => Some(PathBuf::from(folder).join("state.toml")),
        None => file.map(|file| file.with_extension("state.toml")),
    }
}

impl ConfigStore {
    /// Reads the state file and merges it into the text of a valid configuration. Parts that conflict with the
    /// configuration are skipped, and stay in the state file. An unusable state file is renamed.
    pub(crate) fn open(text: &str, config: &Config, file: Option<&Path>) -> (Self, Config) {
        let path = place(config, file);
        let (state, recovered) = path.as_deref().map_or_else(Default::default, state_file::recover);
        for what in &recovered {
            warn!("{what}");
        }
        let text = FileContent::of(text, config);
        let (whole, left_out) = merge_valid(&text, &state);
        for what in left_out {
            warn!("{what}");
        }
        let store = Self {
            inner: Mutex::new(Inner {
                file: text,
                state,
                table: whole.table,
            }),
            file: file.map(Path::to_owned),
            bans: BanFile::beside(path.as_deref()),
            audit: AuditLog::new(&config.api),
            path,
            origins: ArcSwap::from_pointee(whole.origins),
            last_reload: ArcSwap::default(),
            recovered,
            seed: RandomState::new(),
        };
        (store, whole.config)
    }

    /// The faults of the state file at the start, one sentence each.
    pub(crate) fn recovered(&self) -> &[String] {
        &self.recovered
    }

    /// The configuration file.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The state file.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies a new, valid text of the configuration file, already parsed as `config`, merged with the state. Returns
    /// the skipped parts of the state, one sentence each, and the changes of the file.
    pub(crate) fn replace_file<T>(
        &self,
        text: &str,
        config: &Config,
        apply: impl FnOnce(Config) -> T,
    ) -> (T, Vec<String>, Changes) {
        let mut inner = self.lock();
        let file = FileContent::of(text, config);
        let changes = self
            .audit
            .fingerprints
            .differences(&inner.file.table, &file.table);
        inner.file = file;
        let (whole, left_out) = merge_valid(&inner.file, &inner.state);
        for what in &left_out {
            warn!("{what}");
        }
        inner.table = whole.table;
        let applied = apply(whole.config);
        self.origins.store(whole.origins.into());
        (applied, left_out, changes)
    }

    /// Records the result of a reload of the file.
    pub(crate) fn note(&self, outcome: &Result<Reloaded, NotReloaded>) {
        if let Some(last) = self.last_reload.load().after(outcome) {
            self.last_reload.store(last.into());
        }
    }

    /// Edits the state: `change` gets it together with the file's table, and returns the result for the caller. A valid
    /// state is staged on disk, passed to `apply` with its time limit, and stored once it is applied. Otherwise nothing
    /// changes: the old configuration is applied after the new one, in case `apply` completes after its time limit.
    /// Also returns the changes.
    pub(crate) fn edit<T, A>(
        &self,
        change: impl FnOnce(&mut SavedState, &Edit<'_>) -> Answer<T>,
        apply: impl Fn(Config, Duration) -> Answer<A>,
    ) -> Answer<(T, A, Changes)> {
        let mut inner = self.lock();
        let mut state = inner.state.clone();
        let edit = Edit {
            file: &inner.file.table,
            table: &inner.table,
            store: self,
        };
        let made = change(&mut state, &edit)?;
        counts::check(&inner.state, &state)?;
        let whole = combined(&inner.file, &state).map_err(|errors| Problem::faults(&errors))?;
        let staged = match &self.path {
            Some(path) if state != inner.state => {
                Some(StagedFile::write(path, &state).map_err(|error| not_kept(path, &error))?)
            }
            _ => None,
        };
        let before = self.origins.swap(whole.origins.into());
        let applied = apply(whole.config, APPLY).and_then(|applied| match (staged, &self.path) {
            (Some(staged), Some(path)) => match staged.commit() {
                Ok(()) => Ok(applied),
                Err(error) => Err(not_kept(path, &error)),
            },
            _ => Ok(applied),
        });
        match applied {
            Ok(applied) => {
                let changes = self.audit.fingerprints.differences(&inner.table, &whole.table);
                inner.state = state;
                inner.table = whole.table;
                Ok((made, applied, changes))
            }
            Err(problem) => {
                self.origins.store(before);
                let (whole, _) = merge_valid(&inner.file, &inner.state);
                // The result does not matter: the caller gets `problem` in either case.
                drop(apply(whole.config, Duration::ZERO));
                Err(problem)
            }
        }
    }

    /// What the API has added and changed, with secrets.
    pub(crate) fn saved(&self) -> SavedState {
        self.lock().state.clone()
    }

    /// The version of a stream's table, and the table, secrets masked.
    pub(crate) fn definition(&self, name: &str) -> (String, Option<serde_json::Value>) {
        let inner = self.lock();
        let table = stream_of(&inner.table, name);
        (self.version(table), table.map(shown_table))
    }

    /// The version of a stream's table, and its endpoint of this role at `place`, secrets masked.
    pub(crate) fn entry(&self, name: &str, role: Role, place: usize) -> (String, Option<serde_json::Value>) {
        let inner = self.lock();
        let table = stream_of(&inner.table, name);
        let entry = table.and_then(|table| table.get(key_of(role))?.get(place));
        let whole = entry.map(|entry| shown_table(&table_of_entry(entry.clone())));
        (self.version(table), whole)
    }

    /// The version of the whole configuration, and it, secrets masked.
    pub(crate) fn whole(&self) -> (String, serde_json::Value) {
        let inner = self.lock();
        (self.version(Some(&inner.table)), shown_table(&inner.table))
    }

    fn version(&self, table: Option<&Table>) -> String {
        let text = table.map(|table| toml::to_string(table).unwrap_or_default());
        format!("{:016x}", self.seed.hash_one(text))
    }
}

/// The configuration as an edit sees it.
pub(crate) struct Edit<'e> {
    file: &'e Table,
    table: &'e Table,
    store: &'e ConfigStore,
}

impl Edit<'_> {
    /// Whether the configuration file defines the stream.
    pub(crate) fn is_in_file(&self, name: &str) -> bool {
        stream_of(self.file, name).is_some()
    }

    /// Whether the stream exists, from the file or the API.
    pub(crate) fn is_there(&self, name: &str) -> bool {
        stream_of(self.table, name).is_some()
    }

    /// The version of the stream's table.
    pub(crate) fn version(&self, name: &str) -> String {
        self.store.version(stream_of(self.table, name))
    }

    /// The number of the stream's endpoints of this role in the file.
    pub(crate) fn in_file(&self, name: &str, role: Role) -> usize {
        let list = stream_of(self.file, name).and_then(|stream| stream.get(key_of(role)));
        list.and_then(Value::as_array).map_or(0, Vec::len)
    }

    /// Replaces the masks in `new` by the secrets of the stream's table.
    pub(crate) fn unmasked(&self, name: &str, new: &mut Table) {
        if let Some(old) = stream_of(self.table, name) {
            unmask_table(new, old);
        }
    }
}

fn stream_of<'t>(table: &'t Table, name: &str) -> Option<&'t Table> {
    table.get("streams")?.as_table()?.get(name)?.as_table()
}

/// Merges the file and the complete state.
fn combined(file: &FileContent, state: &SavedState) -> Result<MergedConfig, ConfigErrors> {
    if let Some(errors) = ConfigErrors::of(foreign_secrets(state)) {
        return Err(errors);
    }
    let mut table = file.table.clone();
    let mut origins = Origins::default();
    let streams = table
        .entry("streams")
        .or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(streams) = streams {
        for (name, stream) in &state.streams {
            if !streams.contains_key(name) {
                streams.insert(name.clone(), Value::Table(stream.clone()));
                origins.streams.insert(name.clone());
            }
        }
        for (name, added) in &state.added {
            let Some(Value::Table(stream)) = streams.get_mut(name) else {
                continue;
            };
            for (key, more) in [("inputs", &added.inputs), ("outputs", &added.outputs)] {
                let list = stream.entry(key).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(list) = list {
                    list.extend(more.iter().cloned());
                }
            }
        }
    }
    let mut config = parse(&table, &file.secrets)?;
    if switch(&mut table, &config, &state.enabled) {
        config = parse(&table, &file.secrets)?;
    }
    let mut faults = Vec::new();
    for name in &origins.streams {
        faults.extend(config.confine_stream(name));
    }
    for (name, added) in &state.added {
        let Some(stream) = config.streams.get(name) else {
            continue;
        };
        let ids = |role, list: &[Endpoint]| shape::ids_of(name, role, list);
        let inputs = ids(Role::Publisher, &stream.inputs);
        let outputs = ids(Role::Viewer, &stream.outputs);
        let from_input = inputs.len().saturating_sub(added.inputs.len());
        let from_output = outputs.len().saturating_sub(added.outputs.len());
        let inputs = inputs.into_iter().skip(from_input);
        origins
            .endpoints
            .extend(inputs.chain(outputs.into_iter().skip(from_output)));
        faults.extend(config.confine_added(name, Entries::Inputs(from_input)));
        faults.extend(config.confine_added(name, Entries::Outputs(from_output)));
    }
    if let Some(errors) = ConfigErrors::of(faults) {
        return Err(errors);
    }
    Ok(MergedConfig {
        table,
        config,
        origins,
    })
}

/// Starts and stops the endpoints with these ids. Returns whether any exists.
fn switch(table: &mut Table, config: &Config, enabled: &BTreeMap<String, bool>) -> bool {
    if enabled.is_empty() {
        return false;
    }
    let Some(Value::Table(streams)) = table.get_mut("streams") else {
        return false;
    };
    let mut any = false;
    for (name, stream) in &config.streams {
        for (role, list) in [(Role::Publisher, &stream.inputs), (Role::Viewer, &stream.outputs)] {
            let ids = shape::ids_of(name, role, list);
            for (at, id) in ids.iter().enumerate() {
                let Some(on) = enabled.get(id) else { continue };
                let list = streams
                    .get_mut(name)
                    .and_then(|stream| stream.get_mut(key_of(role)));
                if let Some(entry) = list.and_then(|list| list.get_mut(at)) {
                    set_enabled(entry, *on);
                    any = true;
                }
            }
        }
    }
    any
}

/// Enables or disables an entry of `inputs` or `outputs`.
pub(crate) fn set_enabled(entry: &mut Value, on: bool) {
    let mut table = table_of_entry(std::mem::replace(entry, Value::Boolean(on)));
    table.insert("enabled".to_owned(), Value::Boolean(on));
    *entry = Value::Table(table);
}

/// An entry of `inputs` or `outputs` as a table, even if it is only a URL.
pub(crate) fn table_of_entry(entry: Value) -> Table {
    match entry {
        Value::Table(table) => table,
        url => [("url".to_owned(), url)].into_iter().collect(),
    }
}

/// Secrets from files and variables, which the API may not define: it could otherwise send a foreign secret to a
/// server.
fn foreign_secrets(state: &SavedState) -> Vec<Fault> {
    let fault = |name: &str, key: &str| {
        let key = format!("{}.{key}", join("streams", name));
        Fault::nowhere(key, ONLY_FILE)
    };
    let streams = state.streams.iter();
    let streams = streams.filter_map(|(name, table)| Some(fault(name, &source_in(table)?)));
    let added = state.added.iter().flat_map(|(name, added)| {
        let entries = added.inputs.iter().chain(&added.outputs);
        let key = entries.filter_map(|entry| source_in(&table_of_entry(entry.clone())));
        key.map(move |key| fault(name, &key))
    });
    streams.chain(added).collect()
}

fn parse(table: &Table, secrets: &SecretSources) -> Result<Config, ConfigErrors> {
    let text = toml::to_string(table).unwrap_or_default();
    let config = Config::parse_again(&text, secrets)?;
    config.validate_options(control::check_option)?;
    Ok(config)
}

/// A part of the state that is either used or skipped.
#[derive(Clone, Copy)]
enum StatePart<'s> {
    Stream(&'s str),
    Added(&'s str),
}

impl StatePart<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Stream(name) | Self::Added(name) => name,
        }
    }

    fn put(&self, from: &SavedState, into: &mut SavedState) {
        match *self {
            Self::Stream(name) => {
                if let Some(table) = from.streams.get(name) {
                    into.streams.insert(name.to_owned(), table.clone());
                }
            }
            Self::Added(name) => {
                if let Some(added) = from.added.get(name) {
                    into.added.insert(name.to_owned(), added.clone());
                }
            }
        }
    }

    fn left_out(&self, fault: Option<&Fault>) -> String {
        let what = match self {
            Self::Stream(_) => "definition of stream",
            Self::Added(_) => "addition to stream",
        };
        let why = fault.map(|fault| format!("{}: {}", fault.key(), fault.message()));
        format!(
            "the API's {what} {:?} is ignored, because it is not valid with the configuration file: {}",
            self.name(),
            why.unwrap_or_default()
        )
    }
}

/// Adds the valid parts to `good`, and returns a sentence about each skipped one. Each try parses the whole
/// configuration, so it skips all parts that the faults name at once, and bisects the rest if they name none.
fn take_valid(
    file: &FileContent,
    state: &SavedState,
    good: &mut SavedState,
    parts: &[StatePart<'_>],
) -> Vec<String> {
    let mut left_out = Vec::new();
    let mut parts = parts.to_vec();
    while !parts.is_empty() {
        let mut tried = good.clone();
        for part in &parts {
            part.put(state, &mut tried);
        }
        let Err(errors) = combined(file, &tried) else {
            *good = tried;
            break;
        };
        let faults = errors.faults();
        if let [part] = parts[..] {
            left_out.push(part.left_out(faults.first()));
            break;
        }
        let before = parts.len();
        parts.retain(|part| {
            let path = join("streams", part.name());
            let is_of = |fault: &&Fault| {
                let rest = fault.key().strip_prefix(&path);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            let fault = faults.iter().find(is_of);
            left_out.extend(fault.map(|fault| part.left_out(Some(fault))));
            fault.is_none()
        });
        if parts.len() == before {
            let (first, second) = parts.split_at(before / 2);
            left_out.extend(take_valid(file, state, good, first));
            left_out.extend(take_valid(file, state, good, second));
            break;
        }
    }
    left_out
}

/// Like [`combined`], but skips parts that conflict with the file, and returns a sentence about each.
fn merge_valid(file: &FileContent, state: &SavedState) -> (MergedConfig, Vec<String>) {
    let mut left_out = Vec::new();
    if let Ok(whole) = combined(file, state) {
        let hidden = state
            .streams
            .keys()
            .filter(|name| !whole.origins.streams.contains(*name));
        left_out.extend(hidden.map(|name| {
            format!(
                "the configuration file also defines the stream {name:?}: the API's definition is ignored"
            )
        }));
        return (whole, left_out);
    }
    let mut good = SavedState {
        enabled: state.enabled.clone(),
        ..SavedState::default()
    };
    let streams: Vec<_> = state.streams.keys().map(|name| StatePart::Stream(name)).collect();
    let added: Vec<_> = state.added.keys().map(|name| StatePart::Added(name)).collect();
    for parts in [streams, added] {
        left_out.extend(take_valid(file, state, &mut good, &parts));
    }
    let whole = combined(file, &good)
        .or_else(|_| combined(file, &SavedState::default()))
        .unwrap_or_else(|_| MergedConfig {
            table: file.table.clone(),
            config: Config::default(),
            origins: Origins::default(),
        });
    (whole, left_out)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;

    const FILE: &str = r#"
        [api]
        state = ""
        [streams."live/a"]
        play_passphrase = "correct horse"
        outputs = ["srt://h:1?passphrase=battery staple", "udp://127.0.0.1:5000"]
    "#;

    fn store() -> (ConfigStore, Config) {
        ConfigStore::open(FILE, &Config::parse(FILE).unwrap(), None)
    }

    fn applied(config: Config, _: Duration) -> Answer<Config> {
        Ok(config)
    }

    fn output_added(store: &ConfigStore, url: &str) -> Answer<Config> {
        let change = |state: &mut SavedState, _: &Edit<'_>| {
            let added = state.added.entry("live/a".to_owned()).or_default();
            added.outputs.push(Value::String(url.to_owned()));
            Ok(())
        };
        store.edit(change, applied).map(|((), config, _)| config)
    }

    #[test]
    fn what_is_added_is_told_from_what_the_file_has() {
        let (store, config) = store();
        assert_eq!(config.streams["live/a"].outputs.len(), 2);
        let config = output_added(&store, "udp://127.0.0.1:5001").unwrap();
        let list = &config.streams["live/a"].outputs;
        let ids = shape::ids_of("live/a", Role::Viewer, list);
        let origins = store.origins.load();
        let origin = |id: &String| origins.of_endpoint("live/a", id, &config);
        assert_eq!(
            ids.iter().map(origin).collect::<Vec<_>>(),
            [Origin::Config, Origin::Config, Origin::Api]
        );
    }

    #[test]
    fn what_is_not_valid_changes_nothing() {
        let (store, _) = store();
        let version = store.whole().0;
        let problem = output_added(&store, "ftp://nowhere").unwrap_err();
        assert_eq!((problem.status, problem.errors.len()), (422, 1));
        assert_eq!(store.whole().0, version);
    }

    #[test]
    fn an_endpoint_of_the_file_can_be_stopped() {
        let (store, config) = store();
        let id = shape::ids_of("live/a", Role::Viewer, &config.streams["live/a"].outputs).remove(1);
        let stop = |state: &mut SavedState, _: &Edit<'_>| {
            state.enabled.insert(id.clone(), false);
            Ok(())
        };
        let ((), config, _) = store.edit(stop, applied).unwrap();
        let enabled: Vec<_> = config.streams["live/a"]
            .outputs
            .iter()
            .map(|o| o.enabled)
            .collect();
        assert_eq!(enabled, [true, false]);
    }

    #[test]
    fn no_secret_is_shown_and_masks_are_taken_back_for_what_they_mask() {
        let (store, _) = store();
        let (_, shown) = store.definition("live/a");
        let text = store.whole().1.to_string();
        assert!(!text.contains("horse") && !text.contains("staple"), "{text}");
        let serde_json::Value::Object(object) = shown.unwrap() else {
            panic!("no table");
        };
        let mut table = super::super::masks::table_of(object).unwrap();
        let inner = store.lock();
        unmask_table(&mut table, stream_of(&inner.table, "live/a").unwrap());
        assert_eq!(&table, stream_of(&inner.table, "live/a").unwrap());
    }

    #[test]
    fn the_state_survives_and_what_the_file_now_has_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.toml");
        let config = Config::parse("").unwrap();
        let (store, _) = ConfigStore::open("", &config, Some(&file));
        let add = |state: &mut SavedState, _: &Edit<'_>| {
            for name in ["x/y", "z"] {
                state.streams.insert(name.to_owned(), Table::new());
            }
            Ok(())
        };
        store.edit(add, applied).unwrap();
        let text = "[streams.\"x/y\"]\nmax_viewers = 3";
        let (store, config) = ConfigStore::open(text, &Config::parse(text).unwrap(), Some(&file));
        let origins = store.origins.load();
        assert_eq!(origins.of_stream("x/y", &config), Origin::Config);
        assert_eq!(origins.of_stream("z", &config), Origin::Api);
        assert!(config.streams["x/y"].settings.max_viewers.is_some());
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(folder.path().join("gateway.state.toml"))
                .unwrap()
                .permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_state_that_clashes_with_the_file_is_left_out_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.toml");
        let (store, _) = ConfigStore::open("", &Config::default(), Some(&file));
        let add = |state: &mut SavedState, _: &Edit<'_>| {
            let port: Table = "srt_play = { port = 9007 }".parse().unwrap();
            state.streams.insert("clashes".to_owned(), port);
            state.streams.insert("good".to_owned(), Table::new());
            Ok(())
        };
        store.edit(add, applied).unwrap();
        let text = "[srt]\nport = 9007";
        let (_, config) = ConfigStore::open(text, &Config::parse(text).unwrap(), Some(&file));
        assert_eq!(config.streams.keys().collect::<Vec<_>>(), ["good"]);
    }

    #[test]
    fn a_long_state_with_many_faults_is_laid_over_in_few_tries() {
        let table = "[srt]\nport = 9007".parse().unwrap();
        let file = FileContent {
            table,
            ..FileContent::default()
        };
        let mut state = SavedState::default();
        for number in 0..400 {
            let table = match number % 4 {
                0 => "srt = { port = 80 }".to_owned(),
                1 if number < 20 => "srt_play = { port = 9007 }".to_owned(),
                _ => format!("outputs = [\"udp://127.0.0.1:{}\"]", 20_000 + number),
            };
            state
                .streams
                .insert(format!("s/{number}"), table.parse().unwrap());
        }
        for name in ["s/2", "nowhere"] {
            let added = state.added.entry(name.to_owned()).or_default();
            added.inputs.push(Value::String("udp://:53".to_owned()));
        }
        let mut good = state.clone();
        good.streams
            .retain(|_, table| !table.contains_key("srt") && !table.contains_key("srt_play"));
        good.added.remove("s/2");
        let begun = Instant::now();
        combined(&file, &good).unwrap();
        let one_try = begun.elapsed();
        let (whole, left_out) = merge_valid(&file, &state);
        assert_eq!(whole.config.streams.len(), good.streams.len());
        assert_eq!(left_out.len(), 100 + 5 + 1, "{left_out:#?}");
        assert!(left_out.iter().all(|told| told.contains("is ignored, because")));
        let tries = begun.elapsed().as_secs_f64() / one_try.as_secs_f64();
        assert!(tries < 100.0, "as long as {tries} tries");
    }

    #[test]
    fn files_by_the_api_are_confined_and_those_of_the_file_are_not() {
        let text = "[api]\nstate = \"\"\nfile_folders = [\"/rec\"]\n[streams.\"live/a\"]\noutputs = [\"file:///etc/x\"]";
        let (store, config) = ConfigStore::open(text, &Config::parse(text).unwrap(), None);
        let folder =
            |config: &Config, stream: &str, at: usize| match &config.streams[stream].outputs[at].target {
                crate::config::Target::File(file) => file.folder.clone(),
                _ => panic!("no file"),
            };
        assert_eq!(folder(&config, "live/a", 0), None);
        let problem = output_added(&store, "file:///etc/y").unwrap_err();
        assert_eq!((problem.status, problem.errors.len()), (422, 1));
        output_added(&store, "file:///rec/../etc/y").unwrap_err();
        let config = output_added(&store, "file:///rec/y.ts").unwrap();
        assert_eq!(folder(&config, "live/a", 0), None);
        assert_eq!(folder(&config, "live/a", 1), Some(PathBuf::from("/rec")));
        let made = |entry: &'static str| {
            let change = move |state: &mut SavedState, _: &Edit<'_>| {
                state.streams.insert("b".to_owned(), entry.parse().unwrap());
                Ok(())
            };
            store.edit(change, applied).map(|((), config, _)| config)
        };
        made("inputs = [\"file:///etc/passwd\"]").unwrap_err();
        made("srt = { port = 80 }").unwrap_err();
        let config = made("outputs = [\"file:///rec/${name}.ts\"]").unwrap();
        assert_eq!(folder(&config, "b", 0), Some(PathBuf::from("/rec")));
        // The operator removes the folder: its entries are skipped, and the rest stays.
        let text = text.replace("/rec", "/other");
        let (config, left_out, _) =
            store.replace_file(&text, &Config::parse(&text).unwrap(), |config| config);
        assert_eq!(config.streams.keys().collect::<Vec<_>>(), ["live/a"]);
        assert_eq!((config.streams["live/a"].outputs.len(), left_out.len()), (1, 2));
    }

    #[test]
    fn secrets_from_elsewhere_are_the_files_alone_and_are_not_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "correct horse\n").unwrap();
        let text = format!("[streams.\"live/a\"]\npublish_passphrase = {{ file = {secret:?} }}");
        let (store, _) = ConfigStore::open(&text, &Config::parse(&text).unwrap(), None);
        // Until the next reload, a removed or changed secret keeps its value.
        std::fs::remove_file(&secret).unwrap();
        let config = output_added(&store, "udp://127.0.0.1:9").unwrap();
        let kept = &config.streams["live/a"].publish_passphrases;
        assert_eq!(kept[0].expose(), "correct horse");
        assert!(store.whole().1.to_string().contains(secret.to_str().unwrap()));
        let entry =
            format!("outputs = [{{ url = \"srt://127.0.0.1:9\", streamid = {{ file = {secret:?} }} }}]");
        let steal = move |state: &mut SavedState, _: &Edit<'_>| {
            state.streams.insert("b".to_owned(), entry.parse().unwrap());
            Ok(())
        };
        let problem = store.edit(steal, applied).unwrap_err();
        assert_eq!(
            (problem.status, problem.errors[0].key.as_str()),
            (422, "streams.b.outputs[0].streamid")
        );
    }

    #[test]
    fn a_change_that_is_not_put_in_force_is_not_kept_and_undone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.toml");
        let (store, _) = ConfigStore::open("", &Config::default(), Some(&file));
        let add = |name: &'static str| {
            move |state: &mut SavedState, _: &Edit<'_>| {
                state.streams.insert(name.to_owned(), Table::new());
                Ok(())
            }
        };
        store.edit(add("good"), applied).unwrap();
        let version = store.whole().0;
        let orders = std::cell::RefCell::new(Vec::new());
        let hangs = |config: Config, _| {
            orders
                .borrow_mut()
                .push(config.streams.into_keys().collect::<Vec<_>>());
            // Control may hang while it applies it: a restart must not load it.
            let kept = std::fs::read_to_string(folder.path().join("gateway.state.toml")).unwrap();
            assert!(!kept.contains("hangs"), "{kept}");
            Err::<(), _>(Problem::busy("no answer"))
        };
        store.edit(add("hangs"), hangs).unwrap_err();
        assert_eq!(*orders.borrow(), [vec!["good", "hangs"], vec!["good"]]);
        assert_eq!(store.whole().0, version);
        let (_, config) = ConfigStore::open("", &Config::default(), Some(&file));
        assert_eq!(config.streams.keys().collect::<Vec<_>>(), ["good"]);
        let left = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 1, "nothing but the state file");
    }

    proptest! {
        /// Adding streams and removing them again restores the configuration.
        #[test]
        fn there_and_back(names in proptest::collection::btree_set("[a-z/ü \"\\\\]{1,12}", 1..6), viewers in 0i64..50) {
            let (store, before) = store();
            let version = store.whole().0;
            let add = |state: &mut SavedState, _: &Edit<'_>| {
                for name in &names {
                    let table = [("max_viewers".to_owned(), Value::Integer(viewers))];
                    state.streams.insert(name.clone(), table.into_iter().collect());
                }
                Ok(())
            };
            let ((), with, _) = store.edit(add, applied).unwrap();
            for name in &names {
                prop_assert!(with.streams.contains_key(name));
                prop_assert_eq!(store.definition(name).1.unwrap()["max_viewers"].as_i64(), Some(viewers));
            }
            let remove = |state: &mut SavedState, _: &Edit<'_>| {
                state.streams.clear();
                Ok(())
            };
            let ((), after, _) = store.edit(remove, applied).unwrap();
            prop_assert_eq!(before, after);
            prop_assert_eq!(store.whole().0, version);
        }
    }
}
