//! The orderly shutdown: viewers get the content of the rings, and everything is closed in less than 2 s.

use crate::common::{ANY_STREAM, DEADLINE, PLAY, PUBLISH, options};
use srt_e2e::client::{Publisher, Viewer};
use srt_e2e::gateway::GatewayProcess;
use srt_e2e::impair::{Impairment, Way};
use srt_e2e::pace::Tail;
use srt_e2e::peers::Process;
use srt_e2e::source::{StampedTs, contiguous_part};
use srt_e2e::wait::wait_until;
use srt_gateway::config::PortKind;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

const MEGABITS_5: u64 = 5_000_000;
const LIMIT: Duration = Duration::from_secs(2);

/// Shuts a gateway down in the middle of a stream.
fn ends_in_order(end: impl FnOnce(&mut Process) -> ExitStatus) {
    let mut gateway = GatewayProcess::start(ANY_STREAM, "listening");
    let addr = gateway.addr(PortKind::Both);
    let viewers = [0; 3].map(|_| Viewer::connect(addr, PLAY, options()));
    let source = StampedTs::generate(80, 30_000, MEGABITS_5);
    let publisher = Publisher::connect(
        addr,
        PUBLISH,
        options(),
        (source.bytes(), MEGABITS_5, Tail::NullPackets),
    );
    for viewer in &viewers {
        viewer.wait_received(200_000, DEADLINE);
    }
    let asked = Instant::now();
    let status = end(gateway.process());
    let took = asked.elapsed();
    assert!(
        status.code() == Some(0) && took < LIMIT,
        "{status} after {took:?}\n{}",
        gateway.process().tail()
    );
    // All viewers end at the same byte: the last one that entered the ring.
    let ends = viewers.map(|viewer| {
        let received = viewer.wait_end(DEADLINE);
        contiguous_part(&source.bytes(), &received.bytes).end
    });
    assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
    drop(publisher);
}

#[test]
fn sigterm_while_streaming() {
    ends_in_order(|process| process.terminate(DEADLINE));
}

#[test]
fn sigint_while_streaming() {
    ends_in_order(|process| process.interrupt(DEADLINE));
}

#[test]
fn viewer_behind_a_lossy_path_gets_what_the_ring_held() {
    let mut gateway = GatewayProcess::start(ANY_STREAM, "listening");
    let addr = gateway.addr(PortKind::Both);
    let path = Impairment::builder()
        .loss(0.1)
        .delay(Duration::from_millis(40))
        .seed(5)
        .start(addr);
    let far = Viewer::connect(path.addr(), PLAY, options().latency(Duration::from_millis(1500)));
    let near = Viewer::connect(addr, PLAY, options());
    let log = gateway.process();
    wait_until(DEADLINE, "two viewers", || {
        log.lines()
            .iter()
            .filter(|line| line.contains("role=viewer"))
            .count()
            == 2
    });
    // Null packets follow, because libsrt never retransmits the very last packet of a live stream.
    let source = StampedTs::generate(81, 3_000, MEGABITS_5);
    let publisher = Publisher::connect(
        addr,
        PUBLISH,
        options(),
        (source.bytes(), MEGABITS_5, Tail::NullPackets),
    );
    let length = source.bytes().len();
    near.wait_received(length, DEADLINE);
    let before = far.len();
    assert!(before < length, "the far viewer is late by its latency");
    let asked = Instant::now();
    let status = gateway.process().terminate(DEADLINE);
    assert!(
        status.success() && asked.elapsed() < LIMIT,
        "{status} after {:?}",
        asked.elapsed()
    );
    far.wait_received(length, DEADLINE);
    assert_eq!(contiguous_part(&source.bytes(), &far.finish().bytes), 0..length);
    assert!(path.counters(Way::ToClient).lost > 10);
    drop(publisher);
}
