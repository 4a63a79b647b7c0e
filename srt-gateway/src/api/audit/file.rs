//! The audit file: one JSON object per line, appended by the thread `audit` alone.
//!
//! Nobody waits for the file. Records that it cannot take (a full disk, or a full queue while it hangs) are counted and
//! reported, and the next line that is written states how many are missing before it.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender};
use rustix::fs::OFlags;
use serde_json::json;
use tracing::{error, info};

use super::Record;

/// Records that may be queued.
const QUEUE: usize = 1024;

/// The number of rotated files: FILE.1 is the newest.
const ROTATED: u32 = 5;

/// How often [`AuditFile::flush`] polls.
const POLL: Duration = Duration::from_millis(2);

/// A handle to the thread that writes the file.
#[derive(Debug)]
pub(super) struct AuditFile {
    queue: Sender<Box<Record>>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    taken: AtomicU64,
    done: AtomicU64,
    lost: AtomicU64,
    failing: AtomicBool,
}

impl AuditFile {
    /// Starts the thread. A file that cannot be opened is reported, and tried again with each record.
    ///
    /// # Errors
    /// The thread could not be started.
    pub(super) fn start(path: &Path, size: u64) -> io::Result<Self> {
        let (queue, records) = crossbeam_channel::bounded(QUEUE);
        let counts = Arc::<Counts>::default();
        let writer = Writer {
            path: path.to_owned(),
            most: size,
            open: None,
            missing: 0,
            failed: false,
        };
        let counted = Arc::clone(&counts);
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(&records, &counted))?;
        Ok(Self { queue, counts })
    }

    /// Queues a record; counts it as lost if the queue is full.
    pub(super) fn push(&self, record: Record) {
        self.counts.taken.fetch_add(1, Relaxed);
        if self.queue.try_send(Box::new(record)).is_err() {
            self.counts.taken.fetch_sub(1, Relaxed);
            self.counts.lost.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn is_failing(&self) -> bool {
        self.counts.failing.load(Relaxed)
    }

    pub(super) fn lost(&self) -> u64 {
        self.counts.lost.load(Relaxed)
    }

    pub(super) fn flush(&self, limit: Duration) {
        let (end, taken) = (Instant::now() + limit, self.counts.taken.load(Relaxed));
        while self.counts.done.load(Relaxed) < taken && Instant::now() < end {
            thread::sleep(POLL);
        }
    }
}

/// The file, owned by its thread.
struct Writer {
    path: PathBuf,
    most: u64,
    open: Option<(File, u64)>,
    /// Records lost since the last line.
    missing: u64,
    failed: bool,
}

impl Writer {
    fn run(mut self, records: &Receiver<Box<Record>>, counts: &Counts) {
        // Opened early, so that an unusable path is known at the start.
        let opened = self.open().map(drop);
        self.report_outcome(opened);
        counts.failing.store(self.failed, Relaxed);
        let mut told = 0;
        for record in records {
            // Records that found the queue full never arrived here.
            let lost = counts.lost.load(Relaxed);
            self.missing += lost - told;
            told = lost;
            let written = self.write(&record);
            if written.is_ok() {
                self.missing = 0;
            } else {
                self.missing += 1;
                counts.lost.fetch_add(1, Relaxed);
                told += 1;
            }
            self.report_outcome(written);
            counts.failing.store(self.failed, Relaxed);
            counts.done.fetch_add(1, Relaxed);
        }
    }

    /// Reports the first failure, and the recovery.
    fn report_outcome(&mut self, outcome: io::Result<()>) {
        let path = self.path.display();
        match outcome {
            Err(error) if !self.failed => {
                error!("the audit log cannot be written to {path} (audit_file of [api]): {error}");
                self.failed = true;
            }
            Ok(()) if self.failed => {
                info!("the audit log is written to {path} again");
                self.failed = false;
            }
            _ => {}
        }
    }

    fn write(&mut self, record: &Record) -> io::Result<()> {
        let mut line = serde_json::to_value(record)?;
        if self.missing > 0
            && let Some(line) = line.as_object_mut()
        {
            line.insert("missing_before".to_owned(), json!(self.missing));
        }
        let mut line = line.to_string();
        line.push('\n');
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        let (_, size) = self.open()?;
        if *size > 0 && *size + length > self.most {
            self.rotate()?;
        }
        let (file, size) = self.open()?;
        let before = *size;
        let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_data());
        *size += length;
        if written.is_err() {
            // Removes a partly written line if possible; the next record opens the file again.
            drop(file.set_len(before));
            self.open = None;
        }
        written
    }

    /// The open file and its size. A file that was moved or removed, as logrotate does, is created again.
    fn open(&mut self) -> io::Result<&mut (File, u64)> {
        use std::os::unix::fs::MetadataExt as _;
        if let Some((file, _)) = &self.open {
            let (ours, there) = (file.metadata()?, fs::metadata(&self.path));
            if !there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
                self.open = None;
            }
        }
        if self.open.is_none() {
            let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
            let file = File::options()
                .create(true)
                .append(true)
                .mode(0o600)
                .custom_flags(flags.bits().cast_signed())
                .open(&self.path)?;
            let found = file.metadata()?;
            if !found.is_file() {
                return Err(io::Error::other("it is not a regular file"));
            }
            self.open = Some((file, found.len()));
        }
        self.open
            .as_mut()
            .ok_or_else(|| io::Error::other("it is not open"))
    }

    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..ROTATED).rev() {
            match fs::rename(numbered(number), numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, numbered(1))?;
        self.open = None;
        Ok(())
    }
}
