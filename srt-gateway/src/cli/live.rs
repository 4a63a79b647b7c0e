//! Reads the configuration file again when it changes or when SIGHUP comes, and hands it to the running gateway.
//!
//! Runs on the main thread; `notify` has a thread of its own that only says that something happened in a directory. A file
//! that is wrong changes nothing.

use std::{
    collections::BTreeSet,
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::IsTerminal as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crossbeam_channel::Receiver;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tracing::{error, info, warn};

use super::read;
use crate::{
    api::{Desk, NotReloaded},
    config::{Config, LoadError},
    control::Reloaded,
    gateway::Gateway,
    log_control::LogControl,
};

/// A file is read when nothing has happened around it for this long (an editor writes in several steps) ...
const QUIET: Duration = Duration::from_millis(300);
/// ... or at the latest so long after the first sign.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why the file is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// SIGHUP: whoever sent it wants an answer.
    BySignal,
    /// Something happened in its directory: silent if it was not this file.
    ByFile,
}

/// The configuration file of a running gateway.
pub(super) struct Live {
    path: PathBuf,
    /// Of the text that was read last, valid or not.
    seen: Option<u64>,
    changed: Receiver<()>,
    /// Watches as long as it lives. Without it only SIGHUP reloads.
    watcher: notify::Result<RecommendedWatcher>,
}

impl Live {
    /// Begins to watch. To be called before the file is read for the first time: a change between the two would be missed.
    pub(super) fn new(path: &Path) -> Self {
        let (sender, changed) = crossbeam_channel::bounded(1);
        let watcher = watch(path, move || {
            // A full channel says it already.
            sender.try_send(()).unwrap_or_default();
        });
        Self {
            path: path.to_owned(),
            seen: fingerprint(path),
            changed,
            watcher,
        }
    }

    /// Tells if the file cannot be watched.
    pub(super) fn tell(&self) {
        if let Err(error) = &self.watcher {
            warn!(%error, "the configuration file cannot be watched: send SIGHUP after a change");
        }
    }

    /// Gets a message when the file may have changed.
    pub(super) fn changed(&self) -> &Receiver<()> {
        &self.changed
    }

    /// Waits until nothing has happened for a while.
    pub(super) fn settle(&self) {
        let latest = Instant::now() + PATIENCE;
        while Instant::now() < latest && self.changed.recv_timeout(QUIET).is_ok() {}
    }

    /// Reads the file again and puts it in force, if it is valid and (unless asked for) another one than before.
    /// The state of `desk` is laid over it. Errors are told in the log; they are given for whoever asked.
    pub(super) fn reload(
        &mut self,
        gateway: &Gateway,
        desk: &Desk,
        log: &LogControl,
        asked: Asked,
    ) -> Result<Reloaded, NotReloaded> {
        let found = fingerprint(&self.path);
        if asked == Asked::ByFile && (found == self.seen || found.is_none()) {
            return Ok(Reloaded::default());
        }
        self.seen = found;
        let outcome = self.put_in_force(gateway, desk, log);
        desk.note(&outcome);
        outcome
    }

    fn put_in_force(
        &self,
        gateway: &Gateway,
        desk: &Desk,
        log: &LogControl,
    ) -> Result<Reloaded, NotReloaded> {
        let (text, config) = match read_text(&self.path) {
            Ok(read) => read,
            Err(wrong) => {
                let told = if std::io::stderr().is_terminal() {
                    wrong.render_styled()
                } else {
                    wrong.render()
                };
                error!(
                    "the configuration stays as it is, because the file is not valid:\n{}",
                    told.trim_end()
                );
                return Err(NotReloaded::Wrong(wrong));
            }
        };
        let mut warnings: Vec<_> = config
            .warnings()
            .iter()
            .map(|warning| format!("configuration, {warning}"))
            .collect();
        for warning in &warnings {
            warn!("{warning}");
        }
        let level = config.log.level;
        let (reloaded, left_out) = desk.refile(&text, |config| gateway.reload(config));
        let mut reloaded = reloaded.ok_or(NotReloaded::Ending)?;
        // Where RUST_LOG decides, the file does not.
        log.set(level).unwrap_or_default();
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

/// Watches the directory of the file, and that of the file it links to: editors and mounts replace files, and a watch on
/// the file itself would stay with the old one.
fn watch(path: &Path, mut notice: impl FnMut() + Send + 'static) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if !matches!(event, Ok(event) if matches!(event.kind, EventKind::Access(_))) {
            notice();
        }
    })?;
    let linked = fs::canonicalize(path).ok();
    let folders: BTreeSet<_> = [Some(path), linked.as_deref()]
        .into_iter()
        .flatten()
        .filter_map(Path::parent)
        .map(|folder| {
            if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                folder
            }
        })
        .filter_map(|folder| fs::canonicalize(folder).ok())
        .collect();
    for folder in &folders {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// Tells one text from another without keeping it: it holds secrets.
fn fingerprint(path: &Path) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    fs::read(path).ok()?.hash(&mut hasher);
    Some(hasher.finish())
}
