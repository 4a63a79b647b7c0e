//! The state file on disk: read at the start, replaced atomically with each change.
//!
//! ```text
//!   staged (STATE.new, on the disk) ──▶ put in force ──▶ committed (renamed over STATE)
//!                                    └─ failed, hung or killed ──▶ discarded, by `Drop` or at the next start
//! ```
//!
//! A change that stops the gateway is therefore gone after a restart, and an unusable file never keeps the gateway from
//! starting. Reads and writes block: call them on the main thread or a blocking thread.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use super::store::SavedState;

/// The header of the state file.
const HEADER: &str = "# Additions and changes made through the API of srt-gateway. The gateway rewrites this file at every change: edit the\n\
                      # configuration file instead, or edit this file while the gateway is stopped. It may contain secrets.\n\n";

/// The size limit of the state file, in bytes.
const MAX_SIZE: u64 = 16 << 20;

fn too_long() -> io::Error {
    io::Error::other(format!("it is longer than {MAX_SIZE} bytes"))
}

/// A new state file that is on disk under another name. Dropping it removes it.
#[derive(Debug)]
pub(super) struct StagedFile {
    new: PathBuf,
    path: PathBuf,
}

impl StagedFile {
    /// Writes `state` beside `path`, readable by its owner only.
    ///
    /// # Errors
    /// Errors of the system; nothing is left behind.
    pub(super) fn write(path: &Path, state: &SavedState) -> io::Result<Self> {
        let text = toml::to_string(state).map_err(io::Error::other)?;
        if (HEADER.len() + text.len()) as u64 > MAX_SIZE {
            return Err(too_long());
        }
        let staged = Self {
            new: beside(path, ".new"),
            path: path.to_owned(),
        };
        let mut file = create_private(&staged.new)?;
        file.write_all(HEADER.as_bytes())?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(staged)
    }

    /// Renames it over the state file.
    ///
    /// # Errors
    /// Errors of the system; the state file is then unchanged.
    pub(super) fn commit(self) -> io::Result<()> {
        fs::rename(&self.new, &self.path)?;
        // Without this, a power failure may undo the rename. Some file systems cannot sync a folder, which is ignored.
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = fs::File::open(folder.unwrap_or_else(|| Path::new(".")));
        drop(folder.and_then(|folder| folder.sync_all()));
        Ok(())
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        // After a commit there is none.
        drop(fs::remove_file(&self.new));
    }
}

fn create_private(path: &Path) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let create = || {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(path)
    };
    match create() {
        // A file that an earlier run left, or somebody's link: never written through.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            create()
        }
        created => created,
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// The state at the start, and what the operator has to know about it, one sentence each.
pub(super) fn recover(path: &Path) -> (SavedState, Vec<String>) {
    let mut told = Vec::new();
    let new = beside(path, ".new");
    match fs::remove_file(&new) {
        Ok(()) => told.push(format!(
            "the last change by the API was undone, because the gateway stopped before it was in force ({} removed)",
            new.display()
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => told.push(format!("{} cannot be removed: {error}", new.display())),
    }
    let state = read(path).unwrap_or_else(|why| {
        told.push(set_aside(path, &why));
        SavedState::default()
    });
    (state, told)
}

/// Moves an unusable file aside, so that the next change does not overwrite it.
fn set_aside(path: &Path, why: &str) -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let aside = beside(path, &format!(".broken-{seconds}"));
    let without = "the gateway starts with the configuration file only";
    match fs::rename(path, &aside) {
        Ok(()) => format!(
            "state file {why}; {without}. It was moved to {}: repair it and move it back while the gateway is stopped",
            aside.display()
        ),
        Err(error) => format!("state file {why}; {without}. It cannot be moved either: {error}"),
    }
}

/// The state in the file; empty if there is no file.
fn read(path: &Path) -> Result<SavedState, String> {
    let text = match read_regular(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(SavedState::default()),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    // Only the message: toml's own display quotes lines that may contain secrets.
    toml::from_str(&text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = 1 + before.map_or(0, |before| before.matches('\n').count());
        format!("{}, line {line}: {}", path.display(), error.message())
    })
}

/// A FIFO or device in its place must not hang the start.
fn read_regular(path: &Path) -> io::Result<String> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    file.take(MAX_SIZE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_SIZE {
        return Err(too_long());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn state(stream: &str) -> SavedState {
        let mut state = SavedState::default();
        state.streams.insert(stream.to_owned(), toml::Table::new());
        state
    }

    #[test]
    fn a_change_that_was_not_committed_is_gone_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.toml");
        StagedFile::write(&path, &state("kept"))
            .unwrap()
            .commit()
            .unwrap();
        // As after kill -9: nothing is dropped.
        std::mem::forget(StagedFile::write(&path, &state("hangs")).unwrap());
        let (found, told) = recover(&path);
        assert_eq!(found, state("kept"));
        assert!(told.len() == 1 && told[0].contains("was undone"), "{told:?}");
        assert_eq!(names(folder.path()), ["state.toml"]);
        assert_eq!(recover(&path), (state("kept"), Vec::new()));
    }

    #[test]
    fn a_change_that_failed_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.toml");
        drop(StagedFile::write(&path, &state("a")).unwrap());
        assert_eq!(names(folder.path()), [""; 0]);
        // A folder in its place makes the rename fail.
        fs::create_dir(&path).unwrap();
        fs::write(path.join("x"), "").unwrap();
        StagedFile::write(&path, &state("a"))
            .unwrap()
            .commit()
            .unwrap_err();
        assert_eq!(names(folder.path()), ["state.toml"]);
    }

    #[test]
    fn a_link_in_the_place_of_the_new_file_is_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("state.toml"), folder.path().join("other"));
        fs::write(&other, "mine").unwrap();
        std::os::unix::fs::symlink(&other, folder.path().join("state.toml.new")).unwrap();
        StagedFile::write(&path, &state("a")).unwrap().commit().unwrap();
        assert_eq!(fs::read(&other).unwrap(), b"mine");
        assert_eq!(read(&path), Ok(state("a")));
    }

    #[test]
    fn what_cannot_be_used_is_set_aside() {
        for kind in ["endless", "broken", "unknown key", "not text", "folder", "fifo"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("state.toml");
            match kind {
                "endless" => fs::File::create(&path).unwrap().set_len(MAX_SIZE + 1).unwrap(),
                "broken" => fs::write(&path, "[streams.a]\nplay_passphrase = \"correct horse\n").unwrap(),
                "unknown key" => fs::write(&path, "x = \"correct horse\"").unwrap(),
                "not text" => fs::write(&path, b"\xff\xfe").unwrap(),
                "folder" => fs::create_dir(&path).unwrap(),
                _ => {
                    let made = std::process::Command::new("mkfifo").arg(&path).status();
                    assert!(made.unwrap().success());
                }
            }
            let (found, told) = recover(&path);
            assert_eq!(found, SavedState::default(), "{kind}");
            assert!(
                told.len() == 1 && told[0].contains("was moved to"),
                "{kind}: {told:?}"
            );
            assert!(!told[0].contains("horse"), "{kind}: {told:?}");
            let [left] = &names(folder.path())[..] else {
                panic!("{kind}")
            };
            assert!(left.starts_with("state.toml.broken-"), "{left}");
        }
    }
}
