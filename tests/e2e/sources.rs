//! Sources that disconnect and return: viewers stay for `on_source_lost`, and get the available data of each source.

use crate::common::{ANY_STREAM, DEADLINE, DEMO, LATENCY, PLAY, PUBLISH, options};
use srt_e2e::client::{Publisher, Received, Viewer, refusal};
use srt_e2e::in_process::TestGateway;
use srt_e2e::pace::Tail;
use srt_e2e::peers::{SrtUrl, live_transmit};
use srt_e2e::source::{StampedTs, contiguous_part};
use srt_gateway::config::PortKind;
use std::time::{Duration, Instant};

const MEGABITS_5: u64 = 5_000_000;

fn viewers<const N: usize>(gateway: &TestGateway) -> [Viewer; N] {
    let viewers = [0; N].map(|_| Viewer::connect(gateway.addr(PortKind::Both), PLAY, options()));
    gateway.wait_viewers(DEMO, u32::try_from(N).unwrap(), DEADLINE);
    viewers
}

/// Publishes all of `source` to the existing viewers, and returns what they have received by then.
#[track_caller]
fn second_source<const N: usize>(
    gateway: &TestGateway,
    viewers: [Viewer; N],
    source: &StampedTs,
) -> [Received; N] {
    let before = viewers.each_ref().map(Viewer::len);
    let publisher = Publisher::connect(
        gateway.addr(PortKind::Both),
        PUBLISH,
        options(),
        (source.bytes(), MEGABITS_5, Tail::Close),
    );
    for (viewer, before) in viewers.iter().zip(before) {
        viewer.wait_received(before + source.bytes().len(), DEADLINE);
        assert!(viewer.is_connected());
    }
    drop(publisher);
    viewers.map(Viewer::finish)
}

#[test]
fn killed_publisher_comes_back_and_viewers_stay() {
    let gateway = TestGateway::start(&format!("{ANY_STREAM}\n[srt_defaults]\npeer_idle_timeout = 1"));
    let viewers = viewers::<3>(&gateway);
    let (first, second) = (
        StampedTs::generate(70, 20_000, MEGABITS_5),
        StampedTs::generate(71, 3_000, MEGABITS_5),
    );
    let url = SrtUrl::caller(gateway.addr(PortKind::Both))
        .latency(LATENCY)
        .stream_id(PUBLISH);
    let mut publisher =
        live_transmit::publisher(&url).feed(first.bytes(), MEGABITS_5, Tail::NullPackets, DEADLINE);
    for viewer in &viewers {
        viewer.wait_received(300_000, DEADLINE);
    }
    publisher.process().kill();
    // No SHUTDOWN was sent: the stream has its source until libsrt times out.
    assert_eq!(
        refusal(gateway.addr(PortKind::Both), PUBLISH, options()).value(),
        1409
    );
    gateway.wait_stream(DEMO, DEADLINE, "loss of the source", |stream| !stream.has_source);
    let relayed = usize::try_from(gateway.stream(DEMO).unwrap().bytes).unwrap();
    for viewer in &viewers {
        viewer.wait_received(relayed, DEADLINE);
    }
    for received in second_source(&gateway, viewers, &second) {
        let (of_first, of_second) = received.bytes.split_at(relayed);
        assert_eq!(contiguous_part(&first.bytes(), of_first), 0..relayed);
        assert_eq!(of_second, &*second.bytes());
    }
}

#[test]
fn publisher_that_closes_in_order_loses_nothing_and_comes_back() {
    let gateway = TestGateway::start(ANY_STREAM);
    let viewers = viewers::<2>(&gateway);
    let (first, second) = (
        StampedTs::generate(72, 2_000, MEGABITS_5),
        StampedTs::generate(73, 2_000, MEGABITS_5),
    );
    let publisher = Publisher::connect(
        gateway.addr(PortKind::Both),
        PUBLISH,
        options(),
        (first.bytes(), MEGABITS_5, Tail::Close),
    );
    // The gateway's side of SRT has acknowledged all of it; some of it is not due there yet.
    publisher.wait_delivered(DEADLINE);
    publisher.close();
    gateway.wait_stream(DEMO, DEADLINE, "end of the source", |stream| !stream.has_source);
    for viewer in &viewers {
        viewer.wait_received(first.bytes().len(), DEADLINE);
    }
    for received in second_source(&gateway, viewers, &second) {
        assert!(received.bytes == [&*first.bytes(), &*second.bytes()].concat());
    }
}

#[test]
fn viewers_are_closed_when_the_source_does_not_come_back() {
    let gateway = TestGateway::start(&format!("{ANY_STREAM}on_source_lost = \"1s\"\n"));
    let addr = gateway.addr(PortKind::Both);
    let source = StampedTs::generate(74, 1_500, MEGABITS_5);
    let publisher = Publisher::connect(
        addr,
        PUBLISH,
        options(),
        (source.bytes(), MEGABITS_5, Tail::Close),
    );
    gateway.wait_stream(DEMO, DEADLINE, "source", |stream| stream.has_source);
    let viewers = viewers::<2>(&gateway);
    for viewer in &viewers {
        viewer.wait_received(1316, DEADLINE);
    }
    publisher.wait_delivered(DEADLINE);
    let closed = Instant::now();
    publisher.close();
    for viewer in viewers {
        let received = viewer.wait_end(DEADLINE);
        assert!(
            closed.elapsed() >= Duration::from_secs(1),
            "closed after {:?}",
            closed.elapsed()
        );
        let part = contiguous_part(&source.bytes(), &received.bytes);
        assert_eq!(part.end, source.bytes().len());
    }
}
