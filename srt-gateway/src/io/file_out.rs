//! Writes an output to files: a single one, or segments that begin at the stream's PATs. Runs on a thread that may hang
//! with the file.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    file::{self, FileKinds},
    outlet::Sink,
};
use crate::ts::{Pid, TsPacket};

/// How far a segment may exceed `segment` while it waits for a PAT to begin the next one with.
const MAX_PAT_WAIT: Duration = Duration::from_secs(1);

/// Bytes per write.
const WRITE: usize = 1 << 16;

/// An output into files.
///
/// The name is computed when a file begins. An existing file is continued, never overwritten. Even after an error, a
/// file ends with a whole message, and an empty new file is removed.
#[derive(Debug)]
pub(crate) struct FileOut {
    path: PathBuf,
    segment: Option<Duration>,
    kinds: FileKinds,
    open: Option<OpenFile>,
    lost: u64,
}

/// The current file.
#[derive(Debug)]
struct OpenFile {
    since: Instant,
    file: File,
    path: PathBuf,
    /// It was created and is still empty.
    is_new: bool,
    is_regular: bool,
    /// The data to write next, and the end of each message in it.
    buffer: Vec<u8>,
    ends: Vec<usize>,
}

impl FileOut {
    pub(crate) fn new(path: PathBuf, segment: Option<Duration>, kinds: FileKinds) -> Self {
        Self {
            path,
            segment,
            kinds,
            open: None,
            lost: 0,
        }
    }

    fn is_over(&self, message: &[u8], now: Instant) -> bool {
        let (Some(open), Some(segment)) = (&self.open, self.segment) else {
            return false;
        };
        let age = now.saturating_duration_since(open.since);
        let begins_with_pat = message
            .first_chunk()
            .and_then(TsPacket::new)
            .is_some_and(|packet| packet.pid() == Pid::PAT);
        age >= segment + MAX_PAT_WAIT || age >= segment && begins_with_pat
    }

    fn begin(&self, now: Instant) -> io::Result<OpenFile> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let expanded = |path: &Path| PathBuf::from(expand(&path.to_string_lossy(), time.as_secs()));
        let path = match &self.kinds {
            // Folder names contain no pattern.
            FileKinds::Below(folder) => {
                folder.join(expanded(self.path.strip_prefix(folder).unwrap_or(&self.path)))
            }
            _ => expanded(&self.path),
        };
        let (file, is_new) = file::open_to_append(&path, &self.kinds)?;
        Ok(OpenFile {
            since: now,
            is_regular: file.metadata()?.is_file(),
            file,
            path,
            is_new,
            buffer: Vec::with_capacity(WRITE),
            ends: Vec::new(),
        })
    }
}

impl OpenFile {
    /// Buffers a message, or writes it at once to a FIFO, which accepts or refuses it as a whole.
    fn push(&mut self, message: &[u8]) -> io::Result<()> {
        if !self.is_regular {
            return self.file.write_all(message);
        }
        self.buffer.extend(message);
        self.ends.push(self.buffer.len());
        if self.buffer.len() >= WRITE {
            self.write()
        } else {
            Ok(())
        }
    }

    /// Writes the buffer. On failure, removes a partly written message from the file; `ends` then has the messages that
    /// are not in the file.
    fn write(&mut self) -> io::Result<()> {
        let (mut done, mut failure) = (0, None);
        while done < self.buffer.len() && failure.is_none() {
            match self.file.write(&self.buffer[done..]) {
                Ok(0) => failure = Some(ErrorKind::WriteZero.into()),
                Ok(length) => done += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => failure = Some(error),
            }
        }
        let written = self.ends.partition_point(|end| *end <= done);
        let whole = written.checked_sub(1).map_or(0, |last| self.ends[last]);
        self.ends.drain(..written);
        self.buffer.clear();
        self.is_new &= whole == 0;
        match failure {
            None => Ok(()),
            Some(error) => {
                self.take_back(done - whole);
                Err(error)
            }
        }
    }

    /// Removes `bytes` from the end of the file. Errors are ignored: the failed write is what gets reported.
    fn take_back(&self, bytes: usize) {
        if bytes > 0
            && let Ok(metadata) = self.file.metadata()
        {
            let length = metadata.len().saturating_sub(bytes as u64);
            self.file.set_len(length).unwrap_or_default();
        }
        if self.is_new {
            fs::remove_file(&self.path).unwrap_or_default();
        }
    }
}

impl Sink for FileOut {
    fn send(&mut self, message: &[u8], now: Instant) -> io::Result<()> {
        if self.is_over(message, now) {
            self.flush()?;
            self.open = None;
        }
        if self.open.is_none() {
            self.open = Some(self.begin(now)?);
        }
        let sent = self.open.as_mut().map_or(Ok(()), |open| open.push(message));
        self.settle(sent)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.open.as_mut().map_or(Ok(()), OpenFile::write);
        self.settle(flushed)
    }

    fn lost(&self) -> u64 {
        self.lost
    }
}

impl FileOut {
    /// Closes the file after a failure: messages that the disk did not accept must not be written later, behind newer
    /// ones.
    fn settle(&mut self, outcome: io::Result<()>) -> io::Result<()> {
        if outcome
            .as_ref()
            .is_err_and(|error| error.kind() != ErrorKind::WouldBlock)
            && let Some(open) = self.open.take()
        {
            self.lost += open.ends.len() as u64;
        }
        outcome
    }
}

/// Replaces the `strftime` fields `%Y %m %d %H %M %S %j %s %F %T %%` with the time in UTC; other text stays.
fn expand(pattern: &str, seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day, of_year) = civil(days);
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    let mut out = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let mut chars = after.chars();
        match chars.next() {
            Some('Y') => out.push_str(&format!("{year:04}")),
            Some('m') => out.push_str(&format!("{month:02}")),
            Some('d') => out.push_str(&format!("{day:02}")),
            Some('H') => out.push_str(&format!("{h:02}")),
            Some('M') => out.push_str(&format!("{m:02}")),
            Some('S') => out.push_str(&format!("{s:02}")),
            Some('j') => out.push_str(&format!("{of_year:03}")),
            Some('s') => out.push_str(&seconds.to_string()),
            Some('F') => out.push_str(&format!("{year:04}-{month:02}-{day:02}")),
            Some('T') => out.push_str(&format!("{h:02}:{m:02}:{s:02}")),
            Some('%') => out.push('%'),
            Some(other) => out.extend(['%', other]),
            None => out.push('%'),
        }
        rest = chars.as_str();
    }
    out + rest
}

/// Year, month, day and day of the year, from days since 1970.
fn civil(days: u64) -> (u64, u64, u64, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut year, mut left) = (1970, days);
    while left >= 365 + u64::from(leap(year)) {
        left -= 365 + u64::from(leap(year));
        year += 1;
    }
    let of_year = left + 1;
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    (year, month, left + 1, of_year)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{AtEnd, open_and_wait};

    #[test]
    fn names_tell_the_time() {
        // From `date -u -d @1709210096`: a leap day.
        assert_eq!(
            expand("/rec/%Y-%m-%d_%H%M%S_%j_%s_%%_%q_%", 1_709_210_096),
            "/rec/2024-02-29_123456_060_1709210096_%_%q_%"
        );
        assert_eq!(expand("%F %T", 0), "1970-01-01 00:00:00");
        // The last second of a leap year, and of a century that is not one.
        assert_eq!(expand("%F %T %j", 1_735_689_599), "2024-12-31 23:59:59 366");
        assert_eq!(expand("%F %j", 4_107_542_399), "2100-02-28 059");
        assert_eq!(expand("%F", 4_107_542_400), "2100-03-01");
    }

    #[test]
    fn segments_hold_all_bytes_and_begin_with_a_pat() {
        let folder = tempfile::tempdir().unwrap();
        let mut pat = [0xff_u8; 1316];
        pat[..4].copy_from_slice(&[0x47, 0x40, 0x00, 0x10]);
        let mut other = pat;
        other[2] = 0x50;
        let mut out = FileOut::new(
            folder.path().join("sub/x.ts"),
            Some(Duration::from_secs(2)),
            FileKinds::Regular,
        );
        let start = Instant::now();
        let path = |n: u32| folder.path().join(format!("sub/{n}.ts"));
        let mut begun = 0;
        for at in 0..60 {
            let message = if at % 10 == 3 { &pat } else { &other };
            let now = start + Duration::from_millis(100) * at;
            let is_new = out.open.is_none() || out.is_over(message, now);
            if is_new {
                out.path = path(begun);
                begun += 1;
            }
            out.send(message, now).unwrap();
        }
        out.flush().unwrap();
        let sizes: Vec<u64> = (0..begun)
            .map(|n| fs::metadata(path(n)).unwrap().len() / 1316)
            .collect();
        // Cut at 2.3 s and 4.3 s.
        assert_eq!(sizes, [23, 20, 17]);
        for n in 1..begun {
            assert_eq!(fs::read(path(n)).unwrap()[..4], pat[..4]);
        }
    }

    #[test]
    fn a_confined_file_stays_in_its_folder() {
        let root = tempfile::tempdir().unwrap();
        let (folder, outside) = (root.path().join("100%Y"), root.path().join("outside"));
        for made in [&folder, &outside] {
            fs::create_dir(made).unwrap();
        }
        let below = FileKinds::Below(folder.clone());
        let out = |path: &str| {
            let mut out = FileOut::new(folder.join(path), None, below.clone());
            out.send(b"G", Instant::now())?;
            out.flush()
        };
        out("a/%%.ts").unwrap();
        assert_eq!(fs::read(folder.join("a/%.ts")).unwrap(), b"G");
        std::os::unix::fs::symlink(&outside, folder.join("link")).unwrap();
        for path in ["link/x.ts", "../outside/x.ts"] {
            let refused = out(path).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::Unsupported, "{path}");
        }
        fs::write(outside.join("x.ts"), [0x47; 188]).unwrap();
        let open = |kinds| open_and_wait(folder.join("link/x.ts"), AtEnd::Stop, kinds);
        open(below).unwrap_err();
        open(FileKinds::Regular).unwrap();
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_there_is_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.ts");
        for text in ["one", "two"] {
            let mut out = FileOut::new(path.clone(), None, FileKinds::Regular);
            out.send(text.as_bytes(), Instant::now()).unwrap();
            out.flush().unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), b"onetwo");
    }
}
