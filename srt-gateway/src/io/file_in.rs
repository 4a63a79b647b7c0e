//! An input from a file, played at the pace of its clock references.
//!
//! ```text
//!   read-file: opens, reads ahead ──bounded channel──▶ in-file: paces, feeds the ring
//! ```
//! The thread that feeds the ring never touches the file, so an input whose disk hangs still obeys commands and is
//! replaced by the next input of its stream. A reader that hangs is abandoned and ends when the file system responds.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, ErrorKind, Read as _, Seek as _},
    path::PathBuf,
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    CloseReason,
    file::{self, FileKinds, HungThread, STALLED_AFTER},
    source::{POLL_INTERVAL, Transport},
};
use crate::ts::{PACKET_LEN, Pcr, Pid, TsPacket};

/// TS packets in a message.
const PER_MESSAGE: usize = 7;

/// A file with so many bytes without a clock reference cannot be paced.
const WITHOUT_CLOCK: usize = 4 << 20;

/// The longest step between two consecutive references; a longer one is a clock jump (the standard requires 100 ms).
const STEP_MAX: Duration = Duration::from_secs(1);

/// How late packets may be before the clock is reset instead of catching up.
const LATE_MAX: Duration = Duration::from_secs(1);

/// Bytes per read.
const READ: usize = 256 * PACKET_LEN;

/// The number of chunks that may wait for the input's thread.
const QUEUE_LEN: usize = 4;

/// How often a reader that waits for a FIFO checks whether it is still needed.
const FIFO_POLL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

/// What an input does at the end of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtEnd {
    Stop,
    Repeat,
}

/// What the reader delivers.
#[derive(Debug)]
enum Chunk {
    /// Whole TS packets.
    Packets(Vec<u8>),
    /// The end of the file, or of the data of one FIFO writer.
    End,
}

/// An input from a file.
///
/// The packets between two clock references are spread evenly over the time between them. Where the clock jumps,
/// including the start of each round, the packets up to the next reference use the previous time per byte.
#[derive(Debug)]
pub(crate) struct FileIn {
    chunks: Receiver<io::Result<Chunk>>,
    /// The reader runs as long as this exists.
    _wanted: Arc<()>,
    kinds: FileKinds,
    chunk: Vec<u8>,
    /// The position of the next packet in `chunk`.
    at: usize,
    /// Since when the reader has delivered nothing.
    starved: Option<Instant>,
    at_end: AtEnd,
    clock_pid: Option<Pid>,
    last_clock: Option<Pcr>,
    /// When the packets after the last reference are due.
    due: Instant,
    /// The last known time per byte.
    per_byte: Duration,
    /// Messages with their due times.
    ready: VecDeque<(Instant, Vec<u8>)>,
    /// The packets after the last reference.
    block: Vec<u8>,
    round_had_packets: bool,
    is_restart: bool,
}

/// The next item from the reader.
enum Next {
    Packet([u8; PACKET_LEN]),
    End,
    /// Nothing arrived within [`POLL_INTERVAL`].
    NotYet,
}

/// The progress of reading.
enum Progress {
    /// More to read, up to the next clock reference.
    Going,
    End,
}

impl FileIn {
    /// Opens a file of whole TS packets on a thread of its own, which calls `tell` with the result and then reads
    /// ahead.
    ///
    /// # Errors
    /// The thread could not be started. Problems with the file go to `tell`: errors of the system, or `InvalidData` if
    /// it does not begin with a TS packet.
    pub(crate) fn open(
        path: PathBuf,
        at_end: AtEnd,
        kinds: FileKinds,
        tell: impl FnOnce(io::Result<Self>) + Send + 'static,
    ) -> io::Result<()> {
        file::may_start()?;
        thread::Builder::new()
            .name("read-file".to_owned())
            .spawn(move || {
                // Counted until `open` returns, because nothing else tracks a thread that hangs there.
                let _stuck = HungThread::count();
                let wanted = Arc::new(());
                let (sender, chunks) = crossbeam_channel::bounded(QUEUE_LEN);
                let mut reader = Reader {
                    wanted: Arc::downgrade(&wanted),
                    sender,
                    path,
                    at_end,
                    kinds: kinds.clone(),
                };
                match reader.open() {
                    Ok(file) => {
                        tell(Ok(Self::new(chunks, wanted, at_end, kinds)));
                        drop(_stuck);
                        reader.run(file);
                    }
                    Err(error) => tell(Err(error)),
                }
            })
            .map(drop)
    }

    fn new(chunks: Receiver<io::Result<Chunk>>, wanted: Arc<()>, at_end: AtEnd, kinds: FileKinds) -> Self {
        Self {
            chunks,
            _wanted: wanted,
            kinds,
            chunk: Vec::new(),
            at: 0,
            starved: None,
            at_end,
            clock_pid: None,
            last_clock: None,
            due: Instant::now(),
            per_byte: Duration::ZERO,
            ready: VecDeque::new(),
            block: Vec::new(),
            round_had_packets: false,
            is_restart: false,
        }
    }

    fn next(&mut self) -> Result<Next, CloseReason> {
        loop {
            let rest = self.chunk.get(self.at..).unwrap_or_default();
            if let Some(packet) = rest.first_chunk() {
                let packet = *packet;
                self.at += PACKET_LEN;
                return Ok(Next::Packet(packet));
            }
            match self.chunks.recv_timeout(POLL_INTERVAL) {
                Ok(Ok(Chunk::Packets(packets))) => {
                    (self.chunk, self.at) = (packets, 0);
                    self.starved = None;
                }
                Ok(Ok(Chunk::End)) => {
                    self.starved = None;
                    return Ok(Next::End);
                }
                Ok(Err(error)) => return Err(CloseReason::of_io(&error)),
                Err(RecvTimeoutError::Timeout) => {
                    self.starved.get_or_insert_with(Instant::now);
                    return Ok(Next::NotYet);
                }
                Err(RecvTimeoutError::Disconnected) => return Err(CloseReason::EndOfFile),
            }
        }
    }

    /// Reads up to the next clock reference and turns the packets before it into messages.
    fn take_block(&mut self) -> Result<Progress, CloseReason> {
        loop {
            let packet = match self.next()? {
                Next::Packet(packet) => packet,
                Next::NotYet => return Ok(Progress::Going),
                Next::End => {
                    let rest = self.per_byte * u32::try_from(self.block.len()).unwrap_or(u32::MAX);
                    if rest.is_zero() && !self.block.is_empty() {
                        return Err(CloseReason::NoClock);
                    }
                    self.schedule(rest);
                    return Ok(Progress::End);
                }
            };
            self.round_had_packets = true;
            let reference = self.reference(&packet)?;
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
                return Ok(Progress::Going);
            }
            self.block.extend(packet);
            if self.block.len() > WITHOUT_CLOCK {
                return Err(CloseReason::NoClock);
            }
        }
    }

    /// The clock reference of a packet, if it belongs to the selected program.
    fn reference(&mut self, packet: &[u8; PACKET_LEN]) -> Result<Option<Pcr>, CloseReason> {
        let Some(packet) = TsPacket::new(packet) else {
            // The beginning of a FIFO has not been checked before.
            return match self.kinds {
                FileKinds::Any => Err(CloseReason::Unreadable(ErrorKind::InvalidData)),
                FileKinds::Regular | FileKinds::Below(_) => Ok(None),
            };
        };
        let Some(clock) = packet.adaptation().and_then(|adaptation| adaptation.pcr()) else {
            return Ok(None);
        };
        let is_followed = *self.clock_pid.get_or_insert_with(|| packet.pid()) == packet.pid();
        Ok(is_followed.then_some(clock))
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
        if let Progress::Going = self.take_block()? {
            return Ok(());
        }
        let is_through = match self.at_end {
            AtEnd::Stop => true,
            // A FIFO waits for its next writer.
            AtEnd::Repeat => !self.round_had_packets && self.kinds != FileKinds::Any,
        };
        if is_through {
            return if self.ready.is_empty() {
                Err(CloseReason::EndOfFile)
            } else {
                Ok(())
            };
        }
        self.round_had_packets = false;
        self.last_clock = None;
        self.is_restart = true;
        Ok(())
    }
}

impl Transport for FileIn {
    fn receive(&mut self, now: Instant, take: &mut dyn FnMut(&[u8])) -> Result<(), CloseReason> {
        if self.ready.is_empty() {
            // After a pause of the machine, overdue packets are not sent as a burst.
            if now.saturating_duration_since(self.due) > LATE_MAX {
                self.due = now;
            }
            return self.refill();
        }
        while let Some((due, message)) = self.ready.front() {
            let wait = due.saturating_duration_since(now);
            if !wait.is_zero() {
                // This sleep sets the pace; a command waits no longer than with datagrams.
                thread::sleep(wait.min(POLL_INTERVAL));
                return Ok(());
            }
            take(message);
            self.ready.pop_front();
        }
        Ok(())
    }

    fn take_restart(&mut self) -> bool {
        // The ready messages belong to the previous round.
        self.ready.is_empty() && std::mem::take(&mut self.is_restart)
    }

    fn is_stalled(&self, now: Instant) -> bool {
        // A FIFO may have no writer.
        self.kinds != FileKinds::Any
            && self
                .starved
                .is_some_and(|since| now.saturating_duration_since(since) >= STALLED_AFTER)
    }
}

/// The thread that reads the file.
struct Reader {
    wanted: Weak<()>,
    sender: Sender<io::Result<Chunk>>,
    path: PathBuf,
    at_end: AtEnd,
    kinds: FileKinds,
}

impl Reader {
    fn open(&self) -> io::Result<File> {
        let mut file = file::open_to_read(&self.path, &self.kinds)?;
        if is_regular(&file)? {
            let mut first = [0];
            file.read_exact(&mut first).ok();
            if first != [0x47] {
                return Err(io::Error::new(
                    ErrorKind::InvalidData,
                    "it does not begin with an MPEG-TS packet of 188 bytes",
                ));
            }
            file.rewind()?;
        }
        Ok(file)
    }

    fn run(&mut self, mut file: File) {
        let outcome = loop {
            match self.read_all(&mut file) {
                // The input has been closed.
                Err(None) => return,
                Err(Some(error)) => break error,
                Ok(()) => {}
            }
            if self.sender.send(Ok(Chunk::End)).is_err() || self.at_end == AtEnd::Stop {
                return;
            }
            if let Err(error) = self.begin_again(&mut file) {
                break error;
            }
        };
        // The receiver may be gone.
        drop(self.sender.send(Err(outcome)));
    }

    /// Reads to the end. `Err(None)`: the input has been closed.
    fn read_all(&self, file: &mut File) -> Result<(), Option<io::Error>> {
        let mut rest = Vec::new();
        loop {
            let mut chunk = std::mem::take(&mut rest);
            let kept = chunk.len();
            chunk.resize(kept + READ, 0);
            let length = self.read(file, &mut chunk[kept..])?;
            chunk.truncate(kept + length);
            if length == 0 {
                // Half a packet at the end is what a recorder left when it stopped.
                return Ok(());
            }
            rest = chunk.split_off(chunk.len() / PACKET_LEN * PACKET_LEN);
            if !chunk.is_empty() && self.sender.send(Ok(Chunk::Packets(chunk))).is_err() {
                return Err(None);
            }
        }
    }

    /// Reads some bytes; waits for data on a FIFO.
    fn read(&self, file: &mut File, into: &mut [u8]) -> Result<usize, Option<io::Error>> {
        loop {
            if self.kinds == FileKinds::Any {
                let mut ready = [PollFd::new(file, PollFlags::IN)];
                let polled = poll(&mut ready, Some(&FIFO_POLL));
                if self.wanted.strong_count() == 0 {
                    return Err(None);
                }
                match polled {
                    Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                    Ok(_) => {}
                    Err(error) => return Err(Some(error.into())),
                }
            }
            match file.read(into) {
                Ok(length) => return Ok(length),
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                Err(error) => return Err(Some(error)),
            }
        }
    }

    fn begin_again(&self, file: &mut File) -> io::Result<()> {
        if is_regular(file)? {
            return file.rewind();
        }
        // A FIFO whose writer has closed it returns end-of-file until it is opened again.
        *file = file::open_to_read(&self.path, &self.kinds)?;
        Ok(())
    }
}

fn is_regular(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.is_file())
}

/// Like [`FileIn::open`], for a thread that may block.
///
/// # Errors
/// The errors of [`FileIn::open`], and problems with the file.
pub(crate) fn open_and_wait(path: PathBuf, at_end: AtEnd, kinds: FileKinds) -> io::Result<FileIn> {
    let (sender, opened) = crossbeam_channel::bounded(1);
    FileIn::open(path, at_end, kinds, move |outcome| {
        drop(sender.send(outcome));
    })?;
    opened
        .recv()
        .unwrap_or_else(|_| Err(io::Error::other("the thread that opens it has ended")))
}
