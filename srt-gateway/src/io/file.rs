//! Files in and out: an input that is played at the pace of its clock references, an output cut into segments.
//!
//! Inputs run on a thread of their own, outputs on the outlets' thread for files, which alone waits for disks.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    CloseReason,
    confined::{Purpose, open_below},
    outlet::Sink,
    source::{PATIENCE, Transport},
};
use crate::ts::{PACKET_LEN, Pcr, Pid, TsPacket};

/// Packets of a message.
const PER_MESSAGE: usize = 7;

/// So many bytes without a clock reference, and the file cannot be paced.
const WITHOUT_CLOCK: usize = 4 << 20;

/// Between two references that follow each other; a longer step is a jump of the clock (the standard has 100 ms).
const STEP_MAX: Duration = Duration::from_secs(1);

/// How late packets may be before the clock is set anew instead of hurrying after it.
const LATE_MAX: Duration = Duration::from_secs(1);

/// What an input does at the end of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtEnd {
    Stop,
    Repeat,
}

/// An input from a file.
///
/// The packets between two clock references are spread evenly over the time between these. Where the clock jumps (at the
/// begin of each round, too), the packets up to the next reference take as long per byte as those before.
#[derive(Debug)]
pub(crate) struct FileIn {
    file: BufReader<File>,
    at_end: AtEnd,
    clock_pid: Option<Pid>,
    last_clock: Option<Pcr>,
    /// When the packets from the last reference on are due.
    due: Instant,
    /// Time of a byte, as last known.
    per_byte: Duration,
    /// Messages that are due at their times.
    ready: VecDeque<(Instant, Vec<u8>)>,
    /// What follows the last reference.
    block: Vec<u8>,
    round_had_packets: bool,
}

impl FileIn {
    /// Opens a file of whole TS packets, which must not lead out of `folder`.
    ///
    /// # Errors
    /// Those of the system; `InvalidData` if it does not begin with a TS packet.
    pub(crate) fn open(path: &Path, folder: Option<&Path>, at_end: AtEnd) -> io::Result<Self> {
        let file = match folder {
            Some(folder) => open_below(folder, path, Purpose::Read)?,
            None => File::open(path)?,
        };
        let mut file = BufReader::with_capacity(1 << 18, file);
        let mut first = [0];
        file.read_exact(&mut first).ok();
        if first != [0x47] {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it does not begin with an MPEG-TS packet of 188 bytes",
            ));
        }
        file.rewind()?;
        Ok(Self {
            file,
            at_end,
            clock_pid: None,
            last_clock: None,
            due: Instant::now(),
            per_byte: Duration::ZERO,
            ready: VecDeque::new(),
            block: Vec::new(),
            round_had_packets: false,
        })
    }

    /// Reads up to the next clock reference and makes messages of what is before it. False at the end of the file.
    fn read_block(&mut self) -> Result<bool, CloseReason> {
        loop {
            let mut packet = [0; PACKET_LEN];
            match self.file.read_exact(&mut packet) {
                Ok(()) => {}
                // Half a packet at the end is what a recorder was writing when it ended.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    let rest = self.per_byte * u32::try_from(self.block.len()).unwrap_or(u32::MAX);
                    self.schedule(rest);
                    return Ok(false);
                }
                Err(error) => return Err(CloseReason::of_io(&error)),
            }
            self.round_had_packets = true;
            let reference = self.reference(&packet);
            if let Some(clock) = reference {
                let length = u32::try_from(self.block.len()).unwrap_or(u32::MAX);
                let step = self.last_clock.map(|last| clock.since(last));
                let time = match step.filter(|step| *step <= STEP_MAX) {
                    Some(step) => step,
                    None => self.per_byte * length,
                };
                if step.is_some_and(|step| step <= STEP_MAX) && length > 0 {
                    self.per_byte = time / length;
                }
                self.last_clock = Some(clock);
                self.schedule(time);
                self.block.extend(packet);
                return Ok(true);
            }
            self.block.extend(packet);
            if self.block.len() > WITHOUT_CLOCK {
                return Err(CloseReason::NoClock);
            }
        }
    }

    /// The clock reference of a packet, if it has one of the program that is followed.
    fn reference(&mut self, packet: &[u8; PACKET_LEN]) -> Option<Pcr> {
        let packet = TsPacket::new(packet)?;
        let clock = packet.adaptation()?.pcr()?;
        (*self.clock_pid.get_or_insert_with(|| packet.pid()) == packet.pid()).then_some(clock)
    }

    /// Spreads the block over `time`.
    fn schedule(&mut self, time: Duration) {
        let messages = self.block.len().div_ceil(PER_MESSAGE * PACKET_LEN);
        let share = time / u32::try_from(messages).unwrap_or(u32::MAX).max(1);
        for (at, message) in self.block.chunks(PER_MESSAGE * PACKET_LEN).enumerate() {
            let due = self.due + share * u32::try_from(at).unwrap_or(0);
            self.ready.push_back((due, message.to_vec()));
        }
        self.block.clear();
        self.due += time;
    }

    fn refill(&mut self) -> Result<(), CloseReason> {
        if self.read_block()? {
            return Ok(());
        }
        if self.at_end == AtEnd::Stop || !self.round_had_packets {
            return if self.ready.is_empty() {
                Err(CloseReason::EndOfFile)
            } else {
                Ok(())
            };
        }
        self.round_had_packets = false;
        self.last_clock = None;
        self.file.rewind().map_err(|error| CloseReason::of_io(&error))
    }
}

impl Transport for FileIn {
    fn receive(&mut self, now: Instant, take: &mut dyn FnMut(&[u8])) -> Result<(), CloseReason> {
        if self.ready.is_empty() {
            // After a pause of the machine: what is overdue is not sent in a burst.
            if now.saturating_duration_since(self.due) > LATE_MAX {
                self.due = now;
            }
            return self.refill();
        }
        while let Some((due, message)) = self.ready.front() {
            let wait = due.saturating_duration_since(now);
            if !wait.is_zero() {
                // The pace is the point of it; an order waits no longer than for a datagram.
                thread::sleep(wait.min(PATIENCE));
                return Ok(());
            }
            take(message);
            self.ready.pop_front();
        }
        Ok(())
    }
}

/// How much longer than `segment` a file may get, until the stream has a PAT to begin the next one with.
const PAT_PATIENCE: Duration = Duration::from_secs(1);

/// An output into files.
///
/// The name is made when a file begins; one that is there already is continued, never overwritten.
#[derive(Debug)]
pub(crate) struct FileOut {
    path: PathBuf,
    /// Which no path leads out of.
    folder: Option<PathBuf>,
    segment: Option<Duration>,
    open: Option<(Instant, BufWriter<File>)>,
}

impl FileOut {
    pub(crate) fn new(path: PathBuf, folder: Option<PathBuf>, segment: Option<Duration>) -> Self {
        Self {
            path,
            folder,
            segment,
            open: None,
        }
    }

    fn is_over(&self, message: &[u8], now: Instant) -> bool {
        let (Some((since, _)), Some(segment)) = (&self.open, self.segment) else {
            return false;
        };
        let age = now.saturating_duration_since(*since);
        let begins_with_pat = message
            .first_chunk()
            .and_then(TsPacket::new)
            .is_some_and(|packet| packet.pid() == Pid::PAT);
        age >= segment + PAT_PATIENCE || age >= segment && begins_with_pat
    }

    fn begin(&mut self, now: Instant) -> io::Result<()> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let expanded = |path: &Path| PathBuf::from(expand(&path.to_string_lossy(), time.as_secs()));
        let file = match &self.folder {
            Some(folder) => {
                // The name of the folder is no pattern.
                let rest = self.path.strip_prefix(folder).unwrap_or(&self.path);
                open_below(folder, &folder.join(expanded(rest)), Purpose::Append)?
            }
            None => {
                let path = expanded(&self.path);
                if let Some(folder) = path.parent() {
                    fs::create_dir_all(folder)?;
                }
                OpenOptions::new().append(true).create(true).open(&path)?
            }
        };
        self.open = Some((now, BufWriter::with_capacity(1 << 16, file)));
        Ok(())
    }
}

impl Sink for FileOut {
    fn send(&mut self, message: &[u8], now: Instant) -> io::Result<()> {
        if self.is_over(message, now) {
            self.flush()?;
            self.open = None;
        }
        if self.open.is_none() {
            self.begin(now)?;
        }
        match &mut self.open {
            Some((_, file)) => file.write_all(message),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.open.as_mut().map_or(Ok(()), |(_, file)| file.flush())
    }
}

/// Replaces the `strftime` fields `%Y %m %d %H %M %S %j %s %F %T %%` by the time, in UTC; any other stays as it is.
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

/// Year, month, day and day of the year of a day since 1970.
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

    #[test]
    fn names_tell_the_time() {
        // From `date -u -d @1709210096`: a leap day.
        assert_eq!(
            expand("/rec/%Y-%m-%d_%H%M%S_%j_%s_%%_%q_%", 1_709_210_096),
            "/rec/2024-02-29_123456_060_1709210096_%_%q_%"
        );
        assert_eq!(expand("%F %T", 0), "1970-01-01 00:00:00");
        // The last second of a leap year, and of a century that is none.
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
        let mut out = FileOut::new(folder.path().join("sub/x.ts"), None, Some(Duration::from_secs(2)));
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
        let out = |path: &str| {
            let mut out = FileOut::new(folder.join(path), Some(folder.clone()), None);
            out.send(b"G", Instant::now())?;
            out.flush()
        };
        out("a/%%.ts").unwrap();
        assert_eq!(fs::read(folder.join("a/%.ts")).unwrap(), b"G");
        std::os::unix::fs::symlink(&outside, folder.join("link")).unwrap();
        for path in ["link/x.ts", "../outside/x.ts"] {
            assert_eq!(
                out(path).unwrap_err().kind(),
                io::ErrorKind::Unsupported,
                "{path}"
            );
        }
        fs::write(outside.join("x.ts"), [0x47; 188]).unwrap();
        FileIn::open(&folder.join("link/x.ts"), Some(&folder), AtEnd::Stop).unwrap_err();
        FileIn::open(&folder.join("link/x.ts"), None, AtEnd::Stop).unwrap();
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_there_is_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.ts");
        for text in ["one", "two"] {
            let mut out = FileOut::new(path.clone(), None, None);
            out.send(text.as_bytes(), Instant::now()).unwrap();
            out.flush().unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), b"onetwo");
    }
}
