//! Reads the configuration file again when it changes, when SIGHUP comes, or when the API asks, and hands it to the running gateway.
//!
//! Runs on a thread of its own, `reload`, so that a file that hangs, or a control thread that takes its time, holds up neither signals
//! nor orders. `notify` has another thread, which says that something happened to the file or to a link on the way to it. A file that
//! is wrong changes nothing.

use std::{
    collections::BTreeSet,
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::{read, service::Service};
use crate::{
    api::{Change, Changes, ConfigStore, Entry, NotReloaded, Outcome, ReloadResult, Via},
    config::{Config, EndpointWarning, LoadError},
    control::Reloaded,
    file_check::file_warnings_within,
    interface_check::interface_warnings,
    log_control::LogControl,
    view::View,
};

/// A file is read when nothing has happened around it for this long (an editor writes in several steps) ...
const QUIET: Duration = Duration::from_millis(300);

/// How long a reload waits for the file system to say what is wrong with files of inputs and outputs.
const FILES: Duration = Duration::from_secs(1);
/// ... or at the latest so long after the first sign.
const PATIENCE: Duration = Duration::from_secs(2);

/// Links on the way to a file, at most (as many as Linux follows).
const LINKS: usize = 40;

/// Who has the file read again.
#[derive(Debug)]
pub(super) enum ReloadRequest {
    /// SIGHUP.
    Signal,
    /// A caller of the API, who wants to know what came of it.
    Caller(oneshot::Sender<ReloadResult>),
}

/// The way to the thread that reads the file.
#[derive(Debug)]
pub(super) struct Reloader(Sender<ReloadRequest>);

impl Reloader {
    /// Has the file read again, whether or not anything has happened to it. Does not wait.
    pub(super) fn ask(&self, ask: ReloadRequest) {
        // With as many before it, a signal says nothing new; a caller finds its answer dropped.
        if self.0.try_send(ask).is_err() {
            warn!("the configuration file is already being reloaded");
        }
    }
}

/// Changes that are kept for the next caller.
const UNREPORTED_MAX: usize = 1000;

/// Questions that may wait.
const REQUESTS_MAX: usize = 16;

/// The configuration file of a running gateway.
pub(super) struct ConfigWatcher {
    path: PathBuf,
    /// Of the text that was read last, valid or not.
    seen: Option<u64>,
    /// What has been put in force since a caller was told last.
    unreported: Reloaded,
    changed: Receiver<()>,
    watched: Arc<Mutex<Watched>>,
    /// Watches as long as it lives. Without it only SIGHUP and the API reload.
    watcher: notify::Result<RecommendedWatcher>,
}

/// The paths at which something may happen that is about the file: itself, and the links on the way to it.
type Watched = BTreeSet<PathBuf>;

/// What it takes to put a configuration in force.
struct Target {
    view: View,
    store: Arc<ConfigStore>,
    log: Arc<LogControl>,
    service: Service,
}

impl ConfigWatcher {
    /// Begins to watch. To be called before the file is read for the first time: a change between the two would be missed.
    pub(super) fn new(path: &Path) -> Self {
        let (sender, changed) = crossbeam_channel::bounded(1);
        let watched = Arc::default();
        let watcher = watch(Arc::clone(&watched), move || {
            // A full channel says it already.
            sender.try_send(()).unwrap_or_default();
        });
        let mut config_watcher = Self {
            path: path.to_owned(),
            seen: fingerprint(path),
            unreported: Reloaded::default(),
            changed,
            watched,
            watcher,
        };
        config_watcher.watch_paths();
        config_watcher
    }

    /// Watches the folders of the file and of the links on the way to it: editors and mounts replace files and links, and a watch on
    /// the file itself would stay with the old one.
    fn watch_paths(&mut self) {
        let way = paths_to(&self.path);
        let folders: BTreeSet<_> = way.iter().filter_map(|path| path.parent()).collect();
        // That of the file itself has to be watched; one of a link on the way may be none that we may read.
        let own = std::path::absolute(&self.path).ok();
        let own = own
            .as_deref()
            .and_then(Path::parent)
            .and_then(|own| fs::canonicalize(own).ok());
        for folder in folders {
            let Ok(watcher) = &mut self.watcher else { break };
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Err(error) if own.as_deref() == Some(folder) => self.watcher = Err(error),
                _ => {}
            }
        }
        *self.watched.lock().unwrap_or_else(PoisonError::into_inner) = way;
    }

    /// Tells if the file cannot be watched.
    pub(super) fn warn_if_unwatched(&self) {
        if let Err(error) = &self.watcher {
            warn!(%error, "the configuration file cannot be watched: send SIGHUP after a change");
        }
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// No thread.
    pub(super) fn start(
        mut self,
        view: View,
        store: Arc<ConfigStore>,
        log: Arc<LogControl>,
        service: Service,
    ) -> io::Result<Reloader> {
        let (sender, asks) = crossbeam_channel::bounded(REQUESTS_MAX);
        let target = Target {
            view,
            store,
            log,
            service,
        };
        thread::Builder::new()
            .name("reload".to_owned())
            .spawn(move || self.run(&target, &asks))?;
        Ok(Reloader(sender))
    }

    fn run(&mut self, target: &Target, asks: &Receiver<ReloadRequest>) {
        let mut changed = self.changed.clone();
        // When the first sign came, while it is not quiet yet.
        let mut first = None;
        loop {
            let quiet = first.map_or_else(crossbeam_channel::never, |first: Instant| {
                crossbeam_channel::at((first + PATIENCE).min(Instant::now() + QUIET))
            });
            crossbeam_channel::select! {
                recv(asks) -> ask => match ask {
                    Ok(ReloadRequest::Signal) => {
                        target.service.reloading();
                        let reading = self.reload(target);
                        self.record(Via::Signal, &reading, target);
                        target.service.ready();
                    }
                    Ok(ReloadRequest::Caller(reply)) => {
                        let (outcome, changes) = self.reload(target);
                        let outcome = outcome.map(|reloaded| self.take_changes(reloaded));
                        // Whoever asked may have gone away. The API records what came of it.
                        drop(reply.send((outcome, changes)));
                    }
                    Err(_) => return,
                },
                recv(changed) -> sign => match sign {
                    Ok(()) => drop(first.get_or_insert_with(Instant::now)),
                    // Nobody watches.
                    Err(_) => changed = crossbeam_channel::never(),
                },
                recv(quiet) -> _ => {
                    first = None;
                    self.watch_paths();
                    let found = fingerprint(&self.path);
                    if found.is_some() && found != self.seen {
                        let reading = self.reload(target);
                        self.record(Via::File, &reading, target);
                    }
                }
            }
        }
    }

    /// Reads the file again and puts it in force, if it is valid. The state of the desk is laid over it. Errors are told in the log;
    /// they are given for whoever asked.
    fn reload(&mut self, target: &Target) -> ReloadResult {
        self.seen = fingerprint(&self.path);
        let mut differences = Changes::default();
        let outcome = self.apply(target, &mut differences);
        target.store.note(&outcome);
        if let Ok(reloaded) = &outcome {
            let changes = &mut self.unreported.changes;
            changes.extend_from_slice(&reloaded.changes);
            changes.drain(..changes.len().saturating_sub(UNREPORTED_MAX));
            // Something else than the text, such as a file that it names.
            if differences.changes.is_empty() {
                let told = reloaded.changes.iter();
                told.for_each(|change| differences.push(Change::new(change, None, None)));
            }
        }
        (outcome, differences)
    }

    /// Records what nobody has asked for by the API.
    fn record(&self, via: Via, (outcome, changes): &ReloadResult, target: &Target) {
        let error = match outcome {
            Ok(_) if changes.changes.is_empty() => return,
            Ok(_) => None,
            Err(why) => Some(why.line()),
        };
        let by = match via {
            Via::Signal => "signal",
            Via::File | Via::Api => "file",
        };
        let entry = Entry {
            via,
            by: by.to_owned(),
            address: None,
            action: "RELOAD".to_owned(),
            object: self.path.display().to_string(),
            changes: changes.clone(),
            result: if error.is_none() {
                Outcome::Ok
            } else {
                Outcome::Failed
            },
            status: None,
            error,
        };
        target.store.audit.add(entry, &target.view.events);
    }

    /// The outcome for a caller: with all changes that no caller has been told of, because the watch noticed the file first.
    fn take_changes(&mut self, mut reloaded: Reloaded) -> Reloaded {
        reloaded.changes = std::mem::take(&mut self.unreported).changes;
        reloaded
    }

    fn apply(&self, target: &Target, changes: &mut Changes) -> Result<Reloaded, NotReloaded> {
        let (text, config) = match read_text(&self.path) {
            Ok(read) => read,
            Err(wrong) => {
                error!("the configuration is unchanged, because the file is not valid");
                // A line of the log each: a line break within one is escaped, like any control character.
                for line in wrong.render().lines().filter(|line| !line.trim().is_empty()) {
                    error!("{line}");
                }
                return Err(NotReloaded::Wrong(wrong));
            }
        };
        let files = file_warnings_within(&config, FILES);
        let files = files.iter().map(EndpointWarning::placed);
        let mut warnings: Vec<_> = config
            .warnings()
            .into_iter()
            .chain(files)
            .chain(interface_warnings(&config))
            .map(|warning| format!("configuration, {warning}"))
            .collect();
        for warning in &warnings {
            warn!("{warning}");
        }
        let level = config.log.level;
        let (reloaded, left_out, found) = target
            .store
            .refile(&text, &config, |config| target.view.reload(config));
        *changes = found;
        let mut reloaded = reloaded.ok_or(NotReloaded::Ending)?;
        // Where RUST_LOG decides, the file does not.
        target.log.set(level).unwrap_or_default();
        warnings.extend(left_out);
        reloaded.warnings.splice(0..0, warnings);
        info!(
            changes = reloaded.changes.len(),
            warnings = reloaded.warnings.len(),
            "configuration reloaded"
        );
        Ok(reloaded)
    }
}

/// The text with what it says. Should it change in between, the change is noticed, and it is read again.
fn read_text(path: &Path) -> Result<(String, Config), LoadError> {
    let config = read(Some(path))?;
    let text = fs::read_to_string(path).map_err(|error| LoadError::Read {
        path: path.to_owned(),
        error,
    })?;
    Ok((text, config))
}

/// Calls `notice` when something happens at one of the paths.
fn watch(
    watched: Arc<Mutex<Watched>>,
    mut notice: impl FnMut() + Send + 'static,
) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let is_ours = match event {
            Ok(event) if matches!(event.kind, EventKind::Access(_)) => false,
            Ok(event) => {
                let watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
                // Without paths, events were lost.
                event.paths.is_empty() || event.paths.iter().any(|path| watched.contains(path))
            }
            Err(_) => true,
        };
        if is_ours {
            notice();
        }
    })
}

/// The file and all links on the way to it, each with its folder's real path, which is what the watch names.
fn paths_to(path: &Path) -> Watched {
    let mut way = Watched::new();
    let mut left = LINKS;
    add_way(path, &mut way, &mut left);
    way
}

fn add_way(path: &Path, way: &mut Watched, left: &mut usize) {
    // A link to a folder that has the file.
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let prefixes: Vec<_> = absolute.ancestors().collect();
    for prefix in prefixes.into_iter().rev() {
        let Some((folder, name)) = prefix.parent().zip(prefix.file_name()) else {
            continue;
        };
        let Ok(folder) = fs::canonicalize(folder) else {
            continue;
        };
        let target = fs::read_link(prefix);
        if target.is_ok() || prefix == absolute {
            way.insert(folder.join(name));
        }
        if let Ok(target) = target
            && *left > 0
        {
            *left -= 1;
            add_way(&folder.join(target), way, left);
        }
    }
}

/// Tells one text from another without keeping it: it holds secrets.
fn fingerprint(path: &Path) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    fs::read(path).ok()?.hash(&mut hasher);
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_way_to_a_file_has_its_links_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        // As Kubernetes mounts a ConfigMap.
        fs::create_dir(root.join("..1")).unwrap();
        fs::write(root.join("..1/gateway.toml"), "").unwrap();
        symlink("..1", root.join("..data")).unwrap();
        symlink("..data/gateway.toml", root.join("gateway.toml")).unwrap();
        let way = paths_to(&root.join("gateway.toml"));
        for path in ["gateway.toml", "..data", "..1/gateway.toml"] {
            assert!(way.contains(&root.join(path)), "{path}: {way:?}");
        }
        assert!(way.iter().all(|path| path.starts_with(&root)), "{way:?}");
        symlink("round", root.join("round")).unwrap();
        assert_eq!(paths_to(&root.join("round")), [root.join("round")].into());
    }

    #[test]
    fn other_files_of_the_folder_wake_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.toml");
        fs::write(&file, "").unwrap();
        let config_watcher = ConfigWatcher::new(&file);
        for number in 0..20 {
            fs::write(folder.path().join(format!("{number}.ts")), "x").unwrap();
        }
        assert!(
            config_watcher
                .changed
                .recv_timeout(Duration::from_millis(300))
                .is_err()
        );
        fs::write(folder.path().join("new"), "x").unwrap();
        fs::rename(folder.path().join("new"), &file).unwrap();
        config_watcher
            .changed
            .recv_timeout(Duration::from_secs(20))
            .unwrap();
    }
}
