//! Reloads the configuration file when it changes, on SIGHUP, or when the API requests it.
//!
//! Runs on its own thread, `reload`, so that a hanging file or a slow control thread holds up neither signals nor
//! commands. `notify` runs another thread, which reports changes of the file and of links on its path. An invalid file
//! changes nothing.

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

/// A file is read when nothing has changed around it for this long (an editor writes in several steps) ...
const QUIET: Duration = Duration::from_millis(300);

/// How long a reload waits for warnings about the files of inputs and outputs.
const FILES: Duration = Duration::from_secs(1);
/// ... or at the latest this long after the first change.
const MAX_DELAY: Duration = Duration::from_secs(2);

/// The limit of links on a file's path (that of Linux).
const LINKS: usize = 40;

/// Who requested a reload.
#[derive(Debug)]
pub(super) enum ReloadRequest {
    /// SIGHUP.
    Signal,
    /// An API client, which receives the result.
    Caller(oneshot::Sender<ReloadResult>),
}

/// A handle to the thread that reads the file.
#[derive(Debug)]
pub(super) struct Reloader(Sender<ReloadRequest>);

impl Reloader {
    /// Requests a reload, whether or not the file has changed. Does not wait.
    pub(super) fn ask(&self, ask: ReloadRequest) {
        // If the queue is full, another signal adds nothing, and an API client finds its reply dropped.
        if self.0.try_send(ask).is_err() {
            warn!("the configuration file is already being reloaded");
        }
    }
}

/// The number of changes kept for the next API client.
const UNREPORTED_MAX: usize = 1000;

/// The limit of pending requests.
const REQUESTS_MAX: usize = 16;

/// The configuration file of a running gateway.
pub(super) struct ConfigWatcher {
    path: PathBuf,
    /// The fingerprint of the text that was read last, valid or not.
    seen: Option<u64>,
    /// Changes applied since the last report to an API client.
    unreported: Reloaded,
    changed: Receiver<()>,
    watched: Arc<Mutex<Watched>>,
    /// Watches while it exists. Without it, only SIGHUP and the API trigger a reload.
    watcher: notify::Result<RecommendedWatcher>,
}

/// The watched paths: the file itself, and the links on its path.
type Watched = BTreeSet<PathBuf>;

/// What applying a configuration requires.
struct Target {
    view: View,
    store: Arc<ConfigStore>,
    log: Arc<LogControl>,
    service: Service,
}

impl ConfigWatcher {
    /// Starts to watch. Must be called before the file is first read, so that no change in between is missed.
    pub(super) fn new(path: &Path) -> Self {
        let (sender, changed) = crossbeam_channel::bounded(1);
        let watched = Arc::default();
        let watcher = watch(Arc::clone(&watched), move || {
            // A full channel already carries the notice.
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

    /// Watches the folders of the file and of the links on its path: editors and mounts replace files and links, and a
    /// watch on the file itself would stay with the old one.
    fn watch_paths(&mut self) {
        let way = paths_to(&self.path);
        let folders: BTreeSet<_> = way.iter().filter_map(|path| path.parent()).collect();
        // The file's own folder must be watchable; folders of links may be unreadable.
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

    /// Warns if the file cannot be watched.
    pub(super) fn warn_if_unwatched(&self) {
        if let Err(error) = &self.watcher {
            warn!(%error, "the configuration file cannot be watched: send SIGHUP after a change");
        }
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// The thread could not be started.
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
        // The time of the first change, until it has been quiet.
        let mut first = None;
        loop {
            let quiet = first.map_or_else(crossbeam_channel::never, |first: Instant| {
                crossbeam_channel::at((first + MAX_DELAY).min(Instant::now() + QUIET))
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
                        // The client may have left. The API records the result.
                        drop(reply.send((outcome, changes)));
                    }
                    Err(_) => return,
                },
                recv(changed) -> sign => match sign {
                    Ok(()) => drop(first.get_or_insert_with(Instant::now)),
                    // The watcher has ended.
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

    /// Reads the file and, if it is valid, applies it together with the saved state. Errors are logged and returned.
    fn reload(&mut self, target: &Target) -> ReloadResult {
        self.seen = fingerprint(&self.path);
        let mut differences = Changes::default();
        let outcome = self.apply(target, &mut differences);
        target.store.note(&outcome);
        if let Ok(reloaded) = &outcome {
            let changes = &mut self.unreported.changes;
            changes.extend_from_slice(&reloaded.changes);
            changes.drain(..changes.len().saturating_sub(UNREPORTED_MAX));
            // Only something outside of the text has changed, such as a referenced file.
            if differences.changes.is_empty() {
                let told = reloaded.changes.iter();
                told.for_each(|change| differences.push(Change::new(change, None, None)));
            }
        }
        (outcome, differences)
    }

    /// Records reloads that no API client requested.
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

    /// The result for an API client, including unreported changes that the watcher noticed first.
    fn take_changes(&mut self, mut reloaded: Reloaded) -> Reloaded {
        reloaded.changes = std::mem::take(&mut self.unreported).changes;
        reloaded
    }

    fn apply(&self, target: &Target, changes: &mut Changes) -> Result<Reloaded, NotReloaded> {
        let (text, config) = match read_text(&self.path) {
            Ok(read) => read,
            Err(wrong) => {
                error!("the configuration is unchanged, because the file is not valid");
                // One log line for each, because line breaks within a line are escaped.
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
            .replace_file(&text, &config, |config| target.view.reload(config));
        *changes = found;
        let mut reloaded = reloaded.ok_or(NotReloaded::Ending)?;
        // If RUST_LOG is set, it takes precedence.
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

/// The text and its configuration. If the file changes in between, the change is noticed, and it is read again.
fn read_text(path: &Path) -> Result<(String, Config), LoadError> {
    let config = read(Some(path))?;
    let text = fs::read_to_string(path).map_err(|error| LoadError::Read {
        path: path.to_owned(),
        error,
    })?;
    Ok((text, config))
}

/// Calls `notice` when one of the paths changes.
fn watch(
    watched: Arc<Mutex<Watched>>,
    mut notice: impl FnMut() + Send + 'static,
) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let is_ours = match event {
            Ok(event) if matches!(event.kind, EventKind::Access(_)) => false,
            Ok(event) => {
                let watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
                // An event without paths means that events were lost.
                event.paths.is_empty() || event.paths.iter().any(|path| watched.contains(path))
            }
            Err(_) => true,
        };
        if is_ours {
            notice();
        }
    })
}

/// The file and all links on its path, each with the real path of its folder, as the watcher reports them.
fn paths_to(path: &Path) -> Watched {
    let mut way = Watched::new();
    let mut left = LINKS;
    add_way(path, &mut way, &mut left);
    way
}

fn add_way(path: &Path, way: &mut Watched, left: &mut usize) {
    // A link to the folder that contains the file.
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

/// Identifies a text without keeping it, because it contains secrets.
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
        // The layout of a mounted Kubernetes ConfigMap.
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
