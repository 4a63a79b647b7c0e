//! The cost per message of the gateway's own part of the data path, without sockets: `cargo bench -p srt-gateway`.
//!
//! A stream of 5 Mb/s has 475 messages per second. libsrt's part is some microseconds per message and viewer
//! (docs/performance.md); the figures here are per message, and per worker with viewers.

use std::hint::black_box;

use divan::{Bencher, counter::BytesCount};
use srt_gateway::{
    data::{Batch, ReadOutcome, Ring, WakeFlag},
    ts::Observer,
};

const MESSAGE: usize = 1316;

fn main() {
    divan::main();
}

/// Seven packets of one PID with increasing continuity counters, starting at `number`.
fn message(number: u8) -> [u8; MESSAGE] {
    let mut message = [0xBF; MESSAGE];
    for (packet, at) in (0..7_u8).zip((0..MESSAGE).step_by(188)) {
        let counter = number.wrapping_mul(7).wrapping_add(packet) & 0x0F;
        message[at..at + 4].copy_from_slice(&[0x47, 0x01, 0x00, 0x10 | counter]);
    }
    message
}

#[divan::bench]
fn ring_push(bencher: Bencher<'_, '_>) {
    let ring = Ring::with_capacity(8 << 20);
    let mut writer = ring.claim_writer().expect("nobody else writes");
    let message = message(0);
    bencher
        .counter(BytesCount::new(MESSAGE))
        .bench_local(|| writer.push(black_box(&message)));
}

#[divan::bench(args = [1, 5, 64])]
fn ring_read_batch(bencher: Bencher<'_, '_>, messages: u8) {
    let ring = Ring::with_capacity(8 << 20);
    let mut writer = ring.claim_writer().expect("nobody else writes");
    let begin = writer.next();
    for number in 0..messages {
        writer.push(&message(number)).expect("it fits");
    }
    let mut batch = Batch::with_capacity(64);
    bencher
        .counter(BytesCount::new(MESSAGE * usize::from(messages)))
        .bench_local(|| {
            let outcome = ring.read_batch(black_box(begin), &mut batch);
            assert!(matches!(outcome, ReadOutcome::Read { .. }));
        });
}

#[divan::bench]
fn wake_flag(bencher: Bencher<'_, '_>) {
    let flag = WakeFlag::new();
    bencher.bench_local(|| {
        let notice = black_box(&flag).request();
        flag.clear();
        notice
    });
}

#[divan::bench]
fn ts_observation(bencher: Bencher<'_, '_>) {
    let messages: Vec<_> = (0..16).map(message).collect();
    let mut observer = Observer::new();
    let mut turn = 0;
    bencher.counter(BytesCount::new(MESSAGE)).bench_local(|| {
        turn = (turn + 1) % messages.len();
        observer.observe(black_box(&messages[turn]))
    });
}
