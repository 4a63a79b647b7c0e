//! The models: each closure is run once for every interleaving that loom finds.

use std::sync::Arc;

use loom::model::Builder;
use loom::sync::atomic::AtomicBool;
use loom::sync::atomic::Ordering::{Acquire, Release};
use loom::thread;

use super::*;

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// A message whose bytes and length derive from its position.
fn message(seq: u64) -> Vec<u8> {
    let len = if seq.is_multiple_of(2) { 16 } else { 13 };
    vec![u8::try_from(seq).unwrap() + 1; len]
}

fn push(writer: &mut Writer, count: u64) {
    for _ in 0..count {
        let seq = writer.next();
        assert_eq!(writer.push(&message(seq.as_u64())), Ok(seq));
    }
}

#[test]
fn a_reader_that_is_lapped_sees_whole_messages_in_order_or_a_lap() {
    check(|| {
        let ring = Ring::with_geometry(2, 1);
        let mut writer = ring.claim_writer().unwrap();
        push(&mut writer, 1);
        let reader = thread::spawn(move || {
            let mut cursor = Cursor::new(Seq::default());
            let mut buffer = [0; MESSAGE_MAX];
            for _ in 0..2 {
                match ring.read_message(cursor.next(), &mut buffer) {
                    MessageOutcome::Read { len } => {
                        assert_eq!(buffer[..len], message(cursor.next().as_u64()));
                        cursor.advance(1);
                    }
                    MessageOutcome::UpToDate => assert!(cursor.next() > Seq::default()),
                    MessageOutcome::Lapped { oldest } => {
                        assert!(oldest > cursor.next());
                        assert!(cursor.skip_to(ring.skip_target(oldest)) > 0);
                    }
                }
            }
        });
        push(&mut writer, 3);
        reader.join().unwrap();
    });
}

#[test]
fn a_batch_is_consecutive_and_whole_however_the_writer_overtakes_it() {
    check(|| {
        let ring = Ring::with_geometry(2, 1);
        let mut writer = ring.claim_writer().unwrap();
        push(&mut writer, 2);
        let reader = thread::spawn(move || {
            let mut batch = Batch::with_capacity(2);
            match ring.read_batch(Seq::default(), &mut batch) {
                ReadOutcome::Read { count } => {
                    assert_eq!(batch.iter().count(), count);
                    for (index, (seq, bytes)) in batch.iter().enumerate() {
                        assert_eq!(seq.as_u64(), index as u64);
                        assert_eq!(bytes, message(seq.as_u64()));
                    }
                }
                ReadOutcome::UpToDate => panic!("two messages were there before the reader was"),
                ReadOutcome::Lapped { oldest } => assert!(oldest > Seq::default()),
            }
        });
        push(&mut writer, 2);
        reader.join().unwrap();
    });
}

#[test]
fn a_viewer_that_joins_starts_at_the_start_point_or_the_live_edge() {
    check(|| {
        let ring = Ring::with_geometry(3, 1);
        let mut writer = ring.claim_writer().unwrap();
        push(&mut writer, 1);
        // Until a source's tables are known, viewers start at its first message.
        writer.mark_tables(Seq::default().ahead(1));
        let reader = thread::spawn(move || {
            let start = ring.start_position(StartAt::Keyframe);
            let mut buffer = [0; MESSAGE_MAX];
            match ring.read_message(start, &mut buffer) {
                MessageOutcome::Read { len } => assert_eq!(buffer[..len], message(start.as_u64())),
                MessageOutcome::UpToDate => {}
                MessageOutcome::Lapped { oldest } => assert!(oldest > start),
            }
            assert!(
                start.as_u64() >= 1,
                "0 is before the tables, and is not the live edge"
            );
            assert!(start <= ring.head());
        });
        push(&mut writer, 1);
        writer.mark_start_point(Seq::default().ahead(1));
        push(&mut writer, 2);
        reader.join().unwrap();
    });
}

#[test]
fn the_next_source_continues_where_the_last_one_ended() {
    check(|| {
        let ring = Ring::with_geometry(4, 1);
        let mut first = ring.claim_writer().unwrap();
        let other = Arc::clone(&ring);
        let successor = thread::spawn(move || {
            other.claim_writer().map(|mut writer| {
                assert_eq!(writer.next().as_u64(), 1);
                push(&mut writer, 1);
            })
        });
        push(&mut first, 1);
        drop(first);
        let succeeded = successor.join().unwrap().is_some();
        assert_eq!(ring.counters().messages, if succeeded { 2 } else { 1 });
        assert!(ring.claim_writer().is_some());
    });
}

#[test]
fn no_message_is_left_behind_a_wake_up_that_was_coalesced() {
    check(|| {
        let ring = Ring::with_geometry(4, 1);
        let shared = Arc::new((WakeFlag::new(), AtomicBool::new(false)));
        let mut writer = ring.claim_writer().unwrap();
        // Both as after the first message of a burst: the flag is raised and its notice is under way.
        push(&mut writer, 1);
        assert!(shared.0.request());
        let reader = {
            let (ring, shared) = (Arc::clone(&ring), Arc::clone(&shared));
            thread::spawn(move || {
                shared.0.clear();
                let mut batch = Batch::with_capacity(2);
                // A lap here would be wrong: the ring has room for both.
                assert!(matches!(
                    ring.read_batch(Seq::default(), &mut batch),
                    ReadOutcome::Read { .. }
                ));
                batch.end()
            })
        };
        push(&mut writer, 1);
        if shared.0.request() {
            shared.1.store(true, Release);
        }
        let seen = reader.join().unwrap();
        assert!(
            seen == writer.next() || shared.1.load(Acquire),
            "read up to {seen}, and no second notice"
        );
    });
}
