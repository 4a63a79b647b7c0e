//! The cost of a caller on the receiving thread of its port before libsrt continues the handshake: `cargo bench -p
//! srt-gateway`.
//!
//! That thread serves all connections of the port, so each of them pays this once per caller.

use std::{fmt::Write as _, hint::black_box};

use divan::Bencher;
use srt_gateway::{
    bench_support::{Gate, reads},
    config::Config,
};

fn main() {
    divan::main();
}

const STREAMIDS: [&str; 4] = [
    "#!::r=live/cam7,m=publish,u=alice,s=secret",
    "publish/live/cam7/secret",
    "srt://gateway.example:9998?streamid=%23!%3A%3Ar%3Dlive%2Fcam7%2Cm%3Dpublish",
    "live.example/app/cam7",
];

#[divan::bench(args = STREAMIDS)]
fn streamid(bencher: Bencher<'_, '_>, streamid: &str) {
    bencher.bench_local(|| reads(black_box(streamid.as_bytes())));
}

/// A gateway with so many streams, and a rule.
fn gate(streams: u32) -> Gate {
    let mut text = "[srt]\nport = \"127.0.0.1:9998\"\n[[rules]]\nstream = \"live/*\"\naction = \"any\"\nuser = \"alice\"\npassword = \"secret\"\n".to_owned();
    for number in 0..streams {
        writeln!(text, "[streams.\"live/cam{number}\"]").expect("a string takes all");
    }
    let config = Config::parse(&text).expect("a valid configuration");
    Gate::of(&config).expect("it has a port")
}

#[divan::bench(args = [10, 1_000, 100_000])]
fn decision_to_admit(bencher: Bencher<'_, '_>, streams: u32) {
    let gate = gate(streams);
    let streamid = b"#!::r=live/cam7,m=publish,u=alice,s=secret";
    assert!(gate.admits(streamid));
    bencher.bench_local(|| gate.admits(black_box(streamid)));
}

#[divan::bench]
fn decision_to_refuse(bencher: Bencher<'_, '_>) {
    let gate = gate(1_000);
    let streamid = b"#!::r=live/nobody,m=publish,u=alice,s=secret";
    assert!(!gate.admits(streamid));
    bencher.bench_local(|| gate.admits(black_box(streamid)));
}
