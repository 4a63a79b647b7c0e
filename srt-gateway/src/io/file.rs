//! Opens the targets of `file://` URLs. A FIFO, a network mount or a dying disk can block a call forever, so files are
//! opened, read and written only on threads that may hang. Control, workers and libsrt's threads never touch files.

use std::{
    fs::{self, File, FileType, Metadata, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use rustix::fs::OFlags;

use super::confined::{Purpose, open_below};

/// A file system call that takes longer is reported: the input or output is stalled.
pub(crate) const STALLED_AFTER: Duration = Duration::from_secs(5);

/// The limit of abandoned threads that hang in a file.
const STUCK_MAX: usize = 256;

static STUCK: AtomicUsize = AtomicUsize::new(0);

/// The kinds of files that a path may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileKinds {
    /// A regular file.
    Regular,
    /// FIFOs and devices as well.
    Any,
    /// A regular file inside this folder, whatever links it contains.
    Below(PathBuf),
}

/// The kind of a path that is not a regular file.
pub(crate) fn special_kind(kind: FileType) -> Option<&'static str> {
    match kind {
        kind if kind.is_file() => None,
        kind if kind.is_dir() => Some("a folder"),
        kind if kind.is_fifo() => Some("a FIFO"),
        kind if kind.is_socket() => Some("a socket"),
        _ => Some("a device"),
    }
}

fn check(kinds: &FileKinds, metadata: &Metadata) -> io::Result<()> {
    match special_kind(metadata.file_type()) {
        Some(kind @ ("a folder" | "a socket")) => Err(io::Error::new(
            ErrorKind::InvalidInput,
            format!("it is {kind}, not a file"),
        )),
        Some(kind) if *kinds == FileKinds::Regular => Err(io::Error::new(
            ErrorKind::InvalidInput,
            format!("it is {kind}, not a regular file; special=true in the URL allows that"),
        )),
        _ => Ok(()),
    }
}

/// Opens a file for reading.
///
/// # Errors
/// Errors of the system; `InvalidInput` or `Unsupported` for kinds that `kinds` does not allow.
pub(super) fn open_to_read(path: &Path, kinds: &FileKinds) -> io::Result<File> {
    match kinds {
        FileKinds::Below(folder) => open_below(folder, path, Purpose::Read),
        _ => open(OpenOptions::new().read(true), path, kinds),
    }
}

/// Opens a file for appending, and creates it and its folders if needed. Returns whether it was created, as far as that
/// is known.
///
/// # Errors
/// As [`open_to_read`].
pub(super) fn open_to_append(path: &Path, kinds: &FileKinds) -> io::Result<(File, bool)> {
    if let FileKinds::Below(folder) = kinds {
        return open_below(folder, path, Purpose::Append).map(|file| (file, false));
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut append = OpenOptions::new();
    append.append(true);
    match open(append.clone().create_new(true), path, kinds) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            open(&mut append, path, kinds).map(|file| (file, false))
        }
        created => created.map(|file| (file, true)),
    }
}

/// Opens a file without waiting for the other end of a FIFO. The file system may still block it.
fn open(options: &mut OpenOptions, path: &Path, kinds: &FileKinds) -> io::Result<File> {
    // Checked before opening, because opening a device may have an effect, and again afterwards, because the path may
    // have changed.
    match fs::metadata(path) {
        Ok(metadata) => check(kinds, &metadata)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = options
        .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            // ENXIO: a FIFO is opened for writing and has no reader.
            Some(6) => io::Error::new(ErrorKind::NotConnected, "no process reads from the FIFO"),
            _ => error,
        })?;
    check(kinds, &file.metadata()?)?;
    Ok(file)
}

/// Counts an abandoned thread that hangs in a file, until it returns.
#[derive(Debug)]
pub(super) struct HungThread(());

impl HungThread {
    pub(super) fn count() -> Self {
        STUCK.fetch_add(1, Relaxed);
        Self(())
    }
}

impl Drop for HungThread {
    fn drop(&mut self) {
        STUCK.fetch_sub(1, Relaxed);
    }
}

/// Whether another thread may be started for a file.
///
/// # Errors
/// Too many threads hang.
pub(super) fn may_start() -> io::Result<()> {
    match STUCK.load(Relaxed) {
        stuck if stuck >= STUCK_MAX => Err(io::Error::other(format!(
            "{stuck} threads already hang on files that do not respond"
        ))),
        _ => Ok(()),
    }
}
