//! The ring of a stream: one writer, many cursors, no locks.
//!
//! Holds the stream's last messages, exactly as received, with their boundaries. The writer runs on the worker that
//! serves the source, readers on any worker. Neither ever waits for the other: each slot is a sequence lock whose words
//! are atomics, so a reader that was overtaken while it copied notices and discards the copy. With a mutex per slot, a
//! reader that is preempted in the middle of a copy would hold up the writer.
//!
//! Deliberately wakes nobody, uses no sockets, and keeps no list of its readers: a reader is just a [`Seq`].

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, OnceLock};
use std::{array, error, fmt, iter, mem};

use super::shim::{AtomicBool, AtomicU16, AtomicU64, MESSAGE_MAX, fence};

/// 64-bit words that hold one message.
const WORDS: usize = MESSAGE_MAX / 8;

/// The stamp of a slot without a complete message. No sequence number reaches it.
const INCOMPLETE: u64 = u64::MAX;

/// `newest_start` while the source has had no start point.
const NO_START: u64 = u64::MAX;

/// How many messages of a source a reader receives that joins before the source's tables are complete. The tables may
/// be in the first of these; a stream without tables by then will have none for a while.
pub(super) const FIRST_MESSAGES: u64 = 64;

/// A chunk is the unit of allocation. A full ring has about this many: their table is the cost of an idle stream (24
/// bytes each), and one chunk that of the first message.
const CHUNKS: usize = 96;

/// Smallest chunk in slots (23 kB).
const CHUNK_SLOTS_MIN: usize = 16;

/// Position of a message in its stream's ring: the first message ever written is 0, and the numbers continue through
/// all sources of the ring. Positions of different rings are not comparable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(u64);

impl Seq {
    /// The position as a number of messages since the ring was created.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// The position `messages` later.
    #[must_use]
    pub fn ahead(self, messages: u64) -> Self {
        Self(self.0.saturating_add(messages))
    }

    /// The position `messages` earlier, or the very first one.
    #[must_use]
    pub fn back(self, messages: u64) -> Self {
        Self(self.0.saturating_sub(messages))
    }

    /// The number of messages from `earlier` to here; 0 if `earlier` is later.
    #[must_use]
    pub fn messages_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a new viewer begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartAt {
    /// At the newest start point (PAT and PMT before a keyframe) that is still in the ring, so that there is a picture
    /// at once. If there is none, at the newest PAT and PMT, so that a decoder knows the streams before their packets
    /// arrive; otherwise at the live edge.
    #[default]
    Keyframe,
    /// At the next message: least delay, but no picture before the next keyframe.
    Live,
}

/// The result of reading a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// The batch holds this many messages, at least one, starting at the requested position.
    Read {
        /// Messages in the batch.
        count: usize,
    },
    /// There is no message at that position yet.
    UpToDate,
    /// The writer has overwritten that position: continue at [`Ring::skip_target`].
    Lapped {
        /// The oldest position that a reader can rely on.
        oldest: Seq,
    },
}

/// The result of reading one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageOutcome {
    /// The message is in the first `len` bytes of the buffer.
    Read {
        /// Length in bytes, 1 to [`MESSAGE_MAX`].
        len: usize,
    },
    /// There is no message at that position yet.
    UpToDate,
    /// The writer has overwritten that position: continue at [`Ring::skip_target`].
    Lapped {
        /// The oldest position that a reader can rely on.
        oldest: Seq,
    },
}

/// The totals of a ring over all its sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages.
    pub messages: u64,
    /// Payload bytes.
    pub bytes: u64,
}

/// A message that does not fit a slot: empty, or longer than [`MESSAGE_MAX`]. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageSizeError {
    /// Its length in bytes.
    pub len: usize,
}

impl fmt::Display for MessageSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a message of {} bytes; the ring holds 1 to {MESSAGE_MAX}",
            self.len
        )
    }
}

impl error::Error for MessageSizeError {}

/// One message behind a sequence lock.
///
/// ```text
///   stamp:  INCOMPLETE ──▶ seq ──▶ INCOMPLETE ──▶ seq + slots ──▶ ...
///             (words are written only while INCOMPLETE; a copy counts only if the stamp was the
///              same `seq` before and after it)
/// ```
#[repr(align(64))]
struct Slot {
    stamp: AtomicU64,
    len: AtomicU16,
    words: [AtomicU64; WORDS],
}

impl Slot {
    fn new() -> Self {
        Self {
            stamp: AtomicU64::new(INCOMPLETE),
            len: AtomicU16::new(0),
            words: array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    fn store(&self, seq: u64, message: &[u8], len: u16) {
        self.stamp.store(INCOMPLETE, Relaxed);
        // Pairs with the fence in `load`: a reader that sees one of the words below also sees the stamp above, or a
        // later one.
        fence(Release);
        self.len.store(len, Relaxed);
        let (words, tail) = message.as_chunks::<8>();
        for (cell, word) in self.words.iter().zip(words) {
            cell.store(u64::from_ne_bytes(*word), Relaxed);
        }
        if !tail.is_empty() {
            let mut word = [0; 8];
            word[..tail.len()].copy_from_slice(tail);
            self.words[words.len()].store(u64::from_ne_bytes(word), Relaxed);
        }
        self.stamp.store(seq, Release);
    }

    /// Copies the message; None if the slot no longer holds `seq`, in which case the contents of `into` are
    /// unspecified.
    fn load(&self, seq: u64, into: &mut [u8; MESSAGE_MAX]) -> Option<u16> {
        if self.stamp.load(Acquire) != seq {
            return None;
        }
        let len = self.len.load(Relaxed);
        let (words, _) = into.as_chunks_mut::<8>();
        for (word, cell) in words
            .iter_mut()
            .zip(&self.words)
            .take(usize::from(len).div_ceil(8))
        {
            *word = cell.load(Relaxed).to_ne_bytes();
        }
        fence(Acquire);
        (self.stamp.load(Relaxed) == seq).then_some(len)
    }
}

/// The messages of one stream, from the oldest still held to the live edge.
///
/// ```text
///        overwritten        oldest          newest start point            head
///   ───────────────────────────┼─────────────────────┼───────────────────────┤ (next message goes here)
///     Lapped ◀── cursor        │   cursor ──▶ Read   │                       cursor ──▶ UpToDate
///                              └ an eighth of the ring above the slot that is overwritten next, so that
///                                a reader sent there is not lapped again at once
/// ```
///
/// Memory is allocated in chunks when the writer first reaches them, and kept: after one lap, a message costs no
/// allocation.
pub struct Ring {
    chunks: Box<[OnceLock<Box<[Slot]>>]>,
    chunk_slots: usize,
    slots: u64,
    head: AtomicU64,
    newest_start: AtomicU64,
    /// The newest PAT that was followed by its PMT; before that, the source's first message.
    newest_tables: AtomicU64,
    bytes: AtomicU64,
    has_writer: AtomicBool,
}

impl Ring {
    /// Creates a ring that uses at most `bytes` of memory, none of it allocated yet.
    ///
    /// Each message takes 1472 bytes, however short it is. A ring has at least 32 slots (47 kB).
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Arc<Self> {
        let slots = bytes / mem::size_of::<Slot>();
        let chunk_slots = (slots / CHUNKS).next_power_of_two().max(CHUNK_SLOTS_MIN);
        Self::with_geometry((slots / chunk_slots).max(2), chunk_slots)
    }

    /// Creates a ring of `chunks` times `chunk_slots` slots: for `with_capacity`, and for tests that need a tiny one.
    pub(crate) fn with_geometry(chunks: usize, chunk_slots: usize) -> Arc<Self> {
        Arc::new(Self {
            chunks: iter::repeat_with(OnceLock::new).take(chunks).collect(),
            chunk_slots,
            slots: (chunks * chunk_slots) as u64,
            head: AtomicU64::new(0),
            newest_start: AtomicU64::new(NO_START),
            newest_tables: AtomicU64::new(NO_START),
            bytes: AtomicU64::new(0),
            has_writer: AtomicBool::new(false),
        })
    }

    /// Becomes the ring's writer; None while there is another. Never blocks.
    ///
    /// Dropping the [`Writer`] makes room for the next source: positions and counters continue, and the start points
    /// are cleared, so a reader that joins afterwards receives nothing of a source that has left.
    #[must_use]
    pub fn claim_writer(self: &Arc<Self>) -> Option<Writer> {
        // Acquire: everything the last writer did happens before this one continues.
        self.has_writer
            .compare_exchange(false, true, Acquire, Relaxed)
            .ok()?;
        let mut writer = Writer {
            next: self.head.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            newest_start: NO_START,
            tables_by: None,
            ring: Arc::clone(self),
        };
        writer.begin_source();
        Some(writer)
    }

    /// The live edge: the position of the next message.
    #[must_use]
    pub fn head(&self) -> Seq {
        Seq(self.head.load(Acquire))
    }

    /// The oldest position that a reader can rely on.
    #[must_use]
    pub fn oldest(&self) -> Seq {
        self.oldest_below(self.head())
    }

    fn oldest_below(&self, head: Seq) -> Seq {
        head.back(self.slots - self.margin())
    }

    /// The number of messages between the slot that is overwritten next and the oldest position that is returned.
    fn margin(&self) -> u64 {
        (self.slots / 8).max(1)
    }

    /// `oldest` for a reader that found its position overwritten: it has seen the new stamp, but possibly not the
    /// matching head yet.
    fn oldest_after_lap(&self, from: Seq) -> Seq {
        self.oldest().max(from.ahead(self.margin()))
    }

    /// The number of messages in a full ring.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.slots
    }

    /// Bytes of memory allocated for messages so far.
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        let chunks = self.chunks.iter().filter(|chunk| chunk.get().is_some()).count();
        chunks * self.chunk_slots * mem::size_of::<Slot>()
    }

    /// The totals. The two numbers are read one after the other, not atomically.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            messages: self.head.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
        }
    }

    /// Where a new viewer starts.
    #[must_use]
    pub fn start_position(&self, start_at: StartAt) -> Seq {
        match start_at {
            StartAt::Live => self.head(),
            StartAt::Keyframe => self.skip_target(Seq(0)),
        }
    }

    /// Where a lapped reader continues, given the `oldest` of its [`ReadOutcome::Lapped`]: at the newest start point in
    /// the ring, otherwise at the newest tables, otherwise at the live edge. Never before `oldest`, so a lapped reader
    /// always makes progress.
    #[must_use]
    pub fn skip_target(&self, oldest: Seq) -> Seq {
        // Loaded in this order, the head is not older than the others.
        let starts = [&self.newest_start, &self.newest_tables].map(|start| start.load(Acquire));
        let head = self.head();
        let oldest = oldest.max(self.oldest_below(head));
        let start = starts
            .into_iter()
            .find(|start| *start != NO_START && Seq(*start) >= oldest);
        start.map_or_else(|| head.max(oldest), Seq)
    }

    /// Copies the message at `from` into `into`. Never blocks.
    #[must_use]
    pub fn read_message(&self, from: Seq, into: &mut [u8; MESSAGE_MAX]) -> MessageOutcome {
        if from >= self.head() {
            return MessageOutcome::UpToDate;
        }
        match self.load(from, into) {
            Some(len) => MessageOutcome::Read {
                len: usize::from(len),
            },
            None => MessageOutcome::Lapped {
                oldest: self.oldest_after_lap(from),
            },
        }
    }

    /// Replaces the contents of `batch` with the messages from `from` on: all of them, or as many as fit. Never blocks;
    /// afterwards nothing of the ring is held, so the caller may take its time to send them.
    #[must_use]
    pub fn read_batch(&self, from: Seq, batch: &mut Batch) -> ReadOutcome {
        batch.begin(from);
        let available = self.head().messages_since(from);
        if available == 0 {
            return ReadOutcome::UpToDate;
        }
        let room = batch.buffers.iter_mut().zip(&mut batch.lens);
        for (seq, (buffer, len)) in (from.0..from.0 + available).zip(room) {
            match self.load(Seq(seq), buffer) {
                Some(read) => *len = read,
                // The messages read so far are whole and in order; the next call reports the lap.
                None => break,
            }
            batch.count += 1;
        }
        match batch.count {
            0 => ReadOutcome::Lapped {
                oldest: self.oldest_after_lap(from),
            },
            count => ReadOutcome::Read { count },
        }
    }

    /// The chunk of a position, and the slot's index in it.
    fn locate(&self, seq: u64) -> (&OnceLock<Box<[Slot]>>, usize) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a remainder of `slots`, which came from a usize"
        )]
        let index = (seq % self.slots) as usize;
        (&self.chunks[index / self.chunk_slots], index % self.chunk_slots)
    }

    fn load(&self, seq: Seq, into: &mut [u8; MESSAGE_MAX]) -> Option<u16> {
        let (chunk, index) = self.locate(seq.0);
        chunk.get()?[index].load(seq.0, into)
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("head", &self.head())
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

/// The right to write to a ring: there is one at a time, and dropping it releases it.
#[derive(Debug)]
pub struct Writer {
    ring: Arc<Ring>,
    next: u64,
    bytes: u64,
    newest_start: u64,
    /// Where the source's first message stops being a start position; None if its tables are known, or that point has
    /// passed.
    tables_by: Option<u64>,
}

impl Writer {
    /// Appends a message and publishes it; returns its position. Never blocks. Allocates only during the first lap, one
    /// chunk at a time.
    ///
    /// # Errors
    /// [`MessageSizeError`] if it is empty or longer than [`MESSAGE_MAX`]; then nothing is written.
    pub fn push(&mut self, message: &[u8]) -> Result<Seq, MessageSizeError> {
        let size_error = MessageSizeError { len: message.len() };
        if message.is_empty() || message.len() > MESSAGE_MAX {
            return Err(size_error);
        }
        let len = u16::try_from(message.len()).map_err(|_| size_error)?;
        let seq = self.next;
        let (chunk, index) = self.ring.locate(seq);
        let slots = chunk.get_or_init(|| iter::repeat_with(Slot::new).take(self.ring.chunk_slots).collect());
        slots[index].store(seq, message, len);
        self.next = seq + 1;
        self.bytes += u64::from(len);
        self.ring.bytes.store(self.bytes, Relaxed);
        self.ring.head.store(self.next, Release);
        if self.tables_by == Some(self.next) {
            self.tables_by = None;
            self.ring.newest_tables.store(NO_START, Release);
        }
        Ok(Seq(seq))
    }

    /// Marks `seq` as a start point. Ignored if a newer one is known.
    pub fn mark_start_point(&mut self, seq: Seq) {
        if self.newest_start == NO_START || seq.0 > self.newest_start {
            self.newest_start = seq.0;
            self.ring.newest_start.store(seq.0, Release);
        }
    }

    /// Marks `seq` as the start of a PAT that was followed by its PMT: viewers may start there while there is no start
    /// point.
    pub fn mark_tables(&mut self, seq: Seq) {
        self.tables_by = None;
        self.ring.newest_tables.store(seq.0, Release);
    }

    /// Starts another source with the same writer: a viewer that joins from now on must not start in the earlier
    /// source. Positions continue. A fresh writer has done this already.
    pub fn begin_source(&mut self) {
        self.newest_start = NO_START;
        self.ring.newest_start.store(NO_START, Release);
        self.tables_by = Some(self.next + FIRST_MESSAGES);
        self.ring.newest_tables.store(self.next, Release);
    }

    /// The position of the next message.
    #[must_use]
    pub fn next(&self) -> Seq {
        Seq(self.next)
    }

    /// The ring of this writer.
    #[must_use]
    pub fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // What is left in the ring is for current viewers: one that joins now waits for the next source, and receives
        // nothing of this one.
        self.ring.newest_start.store(NO_START, Release);
        self.ring.newest_tables.store(NO_START, Release);
        // Release: pairs with `claim_writer`.
        self.ring.has_writer.store(false, Release);
    }
}

/// A worker's buffer for consecutive messages: allocated once, filled by [`Ring::read_batch`], and sent to every viewer
/// whose cursor is within it.
pub struct Batch {
    first: Seq,
    count: usize,
    lens: Box<[u16]>,
    buffers: Box<[[u8; MESSAGE_MAX]]>,
}

impl Batch {
    /// Allocates room for `messages` messages (at least one), [`MESSAGE_MAX`] bytes each.
    #[must_use]
    pub fn with_capacity(messages: usize) -> Self {
        let messages = messages.max(1);
        Self {
            first: Seq(0),
            count: 0,
            lens: vec![0; messages].into_boxed_slice(),
            buffers: vec![[0; MESSAGE_MAX]; messages].into_boxed_slice(),
        }
    }

    fn begin(&mut self, first: Seq) {
        self.first = first;
        self.count = 0;
    }

    /// Clears the contents, so that positions of another ring do not match.
    pub fn clear(&mut self) {
        self.count = 0;
    }

    /// Position of the first message; if empty, of the read that filled it.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.first
    }

    /// The position after the last message.
    #[must_use]
    pub fn end(&self) -> Seq {
        self.first.ahead(self.count as u64)
    }

    /// Messages in the batch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The number of messages that it has room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.lens.len()
    }

    /// The message at a position; None if it is not in the batch.
    #[must_use]
    pub fn message(&self, seq: Seq) -> Option<&[u8]> {
        let index = usize::try_from(seq.0.checked_sub(self.first.0)?).ok()?;
        (index < self.count).then(|| &self.buffers[index][..usize::from(self.lens[index])])
    }

    /// The messages from a position on, in order, with their positions; none if it is not in the batch.
    pub fn messages_from(&self, seq: Seq) -> impl Iterator<Item = (Seq, &[u8])> {
        let held = seq >= self.first && seq < self.end();
        let start = if held { seq } else { self.end() };
        (start.0..self.end().0).filter_map(|seq| Some((Seq(seq), self.message(Seq(seq))?)))
    }

    /// All messages, in order, with their positions.
    pub fn iter(&self) -> impl Iterator<Item = (Seq, &[u8])> {
        self.messages_from(self.first)
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("first", &self.first)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

/// A viewer's position, and how much it missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    next: Seq,
    skipped: u64,
}

impl Cursor {
    /// A cursor whose first message is the one at `next`; see [`Ring::start_position`].
    #[must_use]
    pub fn new(next: Seq) -> Self {
        Self { next, skipped: 0 }
    }

    /// The position of the viewer's next message.
    #[must_use]
    pub fn next(&self) -> Seq {
        self.next
    }

    /// Messages skipped so far because the viewer was too slow.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Moves past `messages` messages that were sent to the viewer.
    pub fn advance(&mut self, messages: u64) {
        self.next = self.next.ahead(messages);
    }

    /// Moves to `target`, see [`Ring::skip_target`]; returns the number of messages skipped. Never moves back.
    pub fn skip_to(&mut self, target: Seq) -> u64 {
        let skipped = target.messages_since(self.next);
        self.skipped += skipped;
        self.next = self.next.max(target);
        skipped
    }
}
