//! Tests of the ring on real threads and real atomics; the interleavings are explored in `srt-gateway/loom`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{ring::FIRST_MESSAGES, *};

/// A message whose length and bytes derive from its number, so that a reader can detect any wrong byte.
fn message(number: u64, buffer: &mut [u8; MESSAGE_MAX]) -> &[u8] {
    let len = 1 + (number.wrapping_mul(0x9E37_79B9) % MESSAGE_MAX as u64) as usize;
    for (index, byte) in buffer[..len].iter_mut().enumerate() {
        *byte = (number as u8).wrapping_mul(31).wrapping_add(index as u8);
    }
    &buffer[..len]
}

#[test]
fn an_idle_ring_costs_little_and_grows_as_far_as_it_is_used() {
    let ring = Ring::with_capacity(8 << 20);
    assert_eq!(ring.allocated_bytes(), 0);
    let table = size_of::<Ring>() + ring.capacity() as usize / 64 * 24;
    assert!(table < 4096, "{table}");
    let mut writer = ring.claim_writer().unwrap();
    writer.push(&[0x47; 1316]).unwrap();
    assert!(ring.allocated_bytes() <= 96 << 10, "{}", ring.allocated_bytes());
    for _ in 0..2 * ring.capacity() {
        writer.push(&[0x47; 1316]).unwrap();
    }
    assert!(ring.allocated_bytes() <= 8 << 20);
    assert!(ring.allocated_bytes() > 7 << 20);
}

#[test]
fn there_is_one_writer_at_a_time_and_positions_go_on() {
    let ring = Ring::with_capacity(0);
    let mut first = ring.claim_writer().unwrap();
    assert!(ring.claim_writer().is_none());
    let seq = first.push(b"one").unwrap();
    first.mark_start_point(seq);
    assert_eq!(ring.start_position(StartAt::Keyframe), seq);
    drop(first);
    let mut second = ring.claim_writer().unwrap();
    assert_eq!(
        ring.start_position(StartAt::Keyframe),
        ring.head(),
        "the old source's keyframe is not the new one's"
    );
    assert_eq!(second.push(b"two").unwrap(), seq.ahead(1));
    assert_eq!(
        ring.counters(),
        Counters {
            messages: 2,
            bytes: 6
        }
    );
}

#[test]
fn a_message_that_does_not_fit_is_refused_and_leaves_no_trace() {
    let ring = Ring::with_capacity(0);
    let mut writer = ring.claim_writer().unwrap();
    assert_eq!(writer.push(&[]), Err(MessageSizeError { len: 0 }));
    assert_eq!(
        writer.push(&[0; MESSAGE_MAX + 1]),
        Err(MessageSizeError { len: MESSAGE_MAX + 1 })
    );
    assert_eq!(writer.push(&[0; 70_000]), Err(MessageSizeError { len: 70_000 }));
    assert_eq!(ring.counters(), Counters::default());
    assert_eq!(
        ring.read_message(Seq::default(), &mut [0; MESSAGE_MAX]),
        MessageOutcome::UpToDate
    );
}

#[test]
fn a_start_point_serves_until_it_nears_the_end_of_the_ring() {
    let ring = Ring::with_geometry(4, 16);
    let mut writer = ring.claim_writer().unwrap();
    let start = writer.push(b"keyframe").unwrap();
    writer.mark_start_point(start);
    while ring.oldest() <= start {
        assert_eq!(ring.start_position(StartAt::Keyframe), start);
        assert_eq!(ring.start_position(StartAt::Live), ring.head());
        writer.push(b"picture").unwrap();
    }
    assert_eq!(ring.start_position(StartAt::Keyframe), ring.head());
    assert_eq!(
        ring.head().messages_since(ring.oldest()),
        56,
        "an eighth of 64 slots is kept as a margin"
    );
}

#[test]
fn a_viewer_that_comes_after_the_source_has_left_gets_nothing_of_it() {
    let ring = Ring::with_capacity(0);
    let mut writer = ring.claim_writer().unwrap();
    let start = writer.push(b"keyframe").unwrap();
    writer.mark_start_point(start);
    let watching = Cursor::new(ring.start_position(StartAt::Keyframe));
    drop(writer);
    assert_eq!(ring.start_position(StartAt::Keyframe), ring.head());
    let mut batch = Batch::with_capacity(2);
    assert_eq!(
        ring.read_batch(watching.next(), &mut batch),
        ReadOutcome::Read { count: 1 },
        "who was watching gets the rest"
    );
}

#[test]
fn before_the_first_keyframe_a_viewer_begins_with_the_tables() {
    let ring = Ring::with_capacity(1 << 20);
    let mut writer = ring.claim_writer().unwrap();
    let first = writer.push(b"pat").unwrap();
    assert_eq!(
        ring.start_position(StartAt::Keyframe),
        first,
        "the PMT may follow"
    );
    writer.push(b"pmt").unwrap();
    writer.mark_tables(first);
    for _ in 0..2 * FIRST_MESSAGES {
        writer.push(b"picture").unwrap();
    }
    assert_eq!(ring.start_position(StartAt::Keyframe), first);
    assert_eq!(ring.start_position(StartAt::Live), ring.head());
    let start = writer.push(b"keyframe").unwrap();
    writer.mark_start_point(start);
    assert_eq!(ring.start_position(StartAt::Keyframe), start);
    writer.begin_source();
    assert_eq!(ring.start_position(StartAt::Keyframe), ring.head());
    let other = writer.push(b"no tables").unwrap();
    for _ in 1..FIRST_MESSAGES {
        assert_eq!(ring.start_position(StartAt::Keyframe), other);
        writer.push(b"no tables").unwrap();
    }
    assert_eq!(ring.start_position(StartAt::Keyframe), ring.head());
}

#[test]
fn an_older_start_point_does_not_replace_a_newer_one() {
    let ring = Ring::with_capacity(0);
    let mut writer = ring.claim_writer().unwrap();
    let older = writer.push(b"1").unwrap();
    let newer = writer.push(b"2").unwrap();
    writer.mark_start_point(newer);
    writer.mark_start_point(older);
    assert_eq!(ring.start_position(StartAt::Keyframe), newer);
}

#[test]
fn a_cursor_counts_what_it_skips_and_never_moves_back() {
    let mut cursor = Cursor::new(Seq::default());
    cursor.advance(10);
    assert_eq!(cursor.skip_to(Seq::default().ahead(25)), 15);
    assert_eq!(cursor.skip_to(Seq::default()), 0);
    assert_eq!((cursor.next().as_u64(), cursor.skipped()), (25, 15));
}

#[test]
fn readers_on_other_threads_get_every_byte_or_a_lap() {
    const MESSAGES: u64 = 100_000;
    let ring = Ring::with_geometry(4, 16);
    let mut writer = ring.claim_writer().unwrap();
    thread::scope(|scope| {
        let readers = [1, 7, 64].map(|batch| {
            let ring = Arc::clone(&ring);
            scope.spawn(move || follow(&ring, MESSAGES, Batch::with_capacity(batch)))
        });
        let mut buffer = [0; MESSAGE_MAX];
        for number in 0..MESSAGES {
            writer.push(message(number, &mut buffer)).unwrap();
        }
        for reader in readers {
            let (read, skipped) = reader.join().unwrap();
            assert_eq!(read + skipped, MESSAGES);
        }
    });
}

/// Reads until the message before `end` was read or skipped; returns the numbers of read and skipped messages.
fn follow(ring: &Ring, end: u64, mut batch: Batch) -> (u64, u64) {
    let mut cursor = Cursor::new(Seq::default());
    let mut expected = [0; MESSAGE_MAX];
    let mut read = 0;
    while cursor.next().as_u64() < end {
        match ring.read_batch(cursor.next(), &mut batch) {
            ReadOutcome::Read { count } => {
                assert_eq!(batch.iter().count(), count);
                for (seq, bytes) in batch.iter() {
                    assert_eq!(seq, cursor.next());
                    assert_eq!(bytes, message(seq.as_u64(), &mut expected));
                    cursor.advance(1);
                    read += 1;
                }
            }
            ReadOutcome::UpToDate => thread::yield_now(),
            ReadOutcome::Lapped { oldest } => {
                assert!(oldest > cursor.next());
                assert!(cursor.skip_to(ring.skip_target(oldest)) > 0);
            }
        }
    }
    (read, cursor.skipped())
}

#[derive(Clone, Debug)]
enum Step {
    Push(Vec<u8>),
    MarkStart { back: u64 },
    MarkTables { back: u64 },
    NextSource,
    ReadMessage,
    ReadBatch { capacity: usize },
    Skip,
    Rejoin(StartAt),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => vec(any::<u8>(), 1..=40).prop_map(Step::Push),
        2 => vec(any::<u8>(), 1..=MESSAGE_MAX).prop_map(Step::Push),
        1 => (0..12_u64).prop_map(|back| Step::MarkStart { back }),
        1 => (0..12_u64).prop_map(|back| Step::MarkTables { back }),
        1 => Just(Step::NextSource),
        2 => Just(Step::ReadMessage),
        2 => (1..9_usize).prop_map(|capacity| Step::ReadBatch { capacity }),
        1 => Just(Step::Skip),
        1 => prop_oneof![Just(Step::Rejoin(StartAt::Live)), Just(Step::Rejoin(StartAt::Keyframe))],
    ]
}

/// The reference model of a ring: a queue of the last `slots` messages.
#[derive(Default)]
struct Model {
    held: VecDeque<Vec<u8>>,
    head: u64,
    bytes: u64,
    start: Option<u64>,
    /// Where the source begins, or its last tables.
    tables: u64,
    /// How many messages of the source have come without tables.
    without_tables: Option<u64>,
}

impl Model {
    const SLOTS: usize = 8;

    fn push(&mut self, message: Vec<u8>) {
        self.bytes += message.len() as u64;
        self.head += 1;
        self.held.push_back(message);
        if self.held.len() > Self::SLOTS {
            self.held.pop_front();
        }
        if let Some(count) = &mut self.without_tables {
            *count += 1;
        }
    }

    fn begin_source(&mut self) {
        (self.start, self.tables, self.without_tables) = (None, self.head, Some(0));
    }

    fn message(&self, seq: u64) -> Option<&Vec<u8>> {
        self.held
            .get(seq.checked_sub(self.head - self.held.len() as u64)? as usize)
    }

    fn oldest(&self) -> Seq {
        Seq::default().ahead(self.head.saturating_sub(Self::SLOTS as u64 - 1))
    }

    fn start(&self, oldest: u64) -> u64 {
        let oldest = oldest.max(self.oldest().as_u64());
        let has_tables = self.without_tables.is_none_or(|count| count < FIRST_MESSAGES);
        let tables = has_tables.then_some(self.tables);
        [self.start, tables]
            .into_iter()
            .flatten()
            .find(|start| *start >= oldest)
            .unwrap_or_else(|| self.head.max(oldest))
    }
}

proptest! {
    #[test]
    fn the_ring_does_what_a_queue_of_the_last_messages_does(steps in vec(step(), 1..200)) {
        let ring = Ring::with_geometry(2, Model::SLOTS / 2);
        let mut writer = ring.claim_writer().unwrap();
        let mut model = Model::default();
        model.begin_source();
        let mut cursor = Cursor::new(Seq::default());
        for step in steps {
            let next = cursor.next().as_u64();
            match step {
                Step::Push(message) => {
                    prop_assert_eq!(writer.push(&message).unwrap().as_u64(), model.head);
                    model.push(message);
                }
                Step::MarkStart { back } => {
                    writer.mark_start_point(writer.next().back(back));
                    model.start = model.start.max(Some(model.head.saturating_sub(back)));
                }
                Step::MarkTables { back } => {
                    writer.mark_tables(writer.next().back(back));
                    (model.tables, model.without_tables) = (model.head.saturating_sub(back), None);
                }
                Step::NextSource => {
                    drop(writer);
                    for start_at in [StartAt::Keyframe, StartAt::Live] {
                        prop_assert_eq!(ring.start_position(start_at), ring.head(), "the source has left");
                    }
                    writer = ring.claim_writer().unwrap();
                    model.begin_source();
                }
                Step::ReadMessage => {
                    let mut buffer = [0; MESSAGE_MAX];
                    match ring.read_message(cursor.next(), &mut buffer) {
                        MessageOutcome::Read { len } => {
                            prop_assert_eq!(&buffer[..len], model.message(next).unwrap().as_slice());
                            cursor.advance(1);
                        }
                        MessageOutcome::UpToDate => prop_assert!(next >= model.head),
                        MessageOutcome::Lapped { oldest } => {
                            prop_assert!(next < model.head && model.message(next).is_none());
                            prop_assert_eq!(oldest, model.oldest());
                        }
                    }
                }
                Step::ReadBatch { capacity } => {
                    let mut batch = Batch::with_capacity(capacity);
                    match ring.read_batch(cursor.next(), &mut batch) {
                        ReadOutcome::Read { count } => {
                            prop_assert_eq!(count as u64, (model.head - next).min(capacity as u64));
                            for (seq, bytes) in batch.iter() {
                                prop_assert_eq!(bytes, model.message(seq.as_u64()).unwrap().as_slice());
                            }
                            prop_assert_eq!(batch.end(), cursor.next().ahead(count as u64));
                            prop_assert_eq!(batch.messages_from(batch.first().ahead(1)).count(), count - 1);
                            prop_assert_eq!(batch.message(batch.end()), None);
                            cursor.advance(count as u64);
                        }
                        ReadOutcome::UpToDate => prop_assert!(next >= model.head),
                        ReadOutcome::Lapped { oldest } => {
                            prop_assert!(next < model.head && model.message(next).is_none());
                            prop_assert_eq!(oldest, model.oldest());
                        }
                    }
                }
                Step::Skip => {
                    let target = ring.skip_target(cursor.next());
                    prop_assert_eq!(target.as_u64(), model.start(next));
                    prop_assert_eq!(cursor.skip_to(target), target.as_u64() - next);
                }
                Step::Rejoin(start_at) => {
                    cursor = Cursor::new(ring.start_position(start_at));
                    let expected = if start_at == StartAt::Live { model.head } else { model.start(0) };
                    prop_assert_eq!(cursor.next().as_u64(), expected);
                }
            }
            prop_assert_eq!(ring.head().as_u64(), model.head);
            prop_assert_eq!(ring.counters(), Counters { messages: model.head, bytes: model.bytes });
        }
    }
}
