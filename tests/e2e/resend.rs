//! `resend_limit`: a viewer cannot request the stream again and again, and a viewer that only loses packets is not
//! affected.

use crate::common::{ANY_STREAM, DEADLINE, DEMO, PLAY, PUBLISH, options};
use srt_e2e::client::{Publisher, Viewer};
use srt_e2e::impair::{Impairment, Link, Way};
use srt_e2e::in_process::TestGateway;
use srt_e2e::pace::Tail;
use srt_e2e::raw::{Control, Loss, Packet, RawPeer};
use srt_e2e::source::StampedTs;
use srt_e2e::wait::wait_until;
use srt_gateway::config::PortKind;
use std::collections::HashSet;
use std::time::{Duration, Instant};

const RATE: u64 = 4_000_000;

/// The data received by a viewer that requests everything again, a hundred times a second, until it is closed.
struct Flood {
    bytes: usize,
    /// Without retransmissions.
    distinct: usize,
    seconds: f64,
}

fn flood(viewer: &RawPeer, is_over: impl Fn() -> bool) -> Flood {
    let first = viewer.answer().sequence;
    let mut seen = HashSet::new();
    let mut flood = Flood {
        bytes: 0,
        distinct: 0,
        seconds: 0.0,
    };
    let (mut latest, begin) = (None, Instant::now());
    while begin.elapsed() < DEADLINE && !is_over() {
        let turn = Instant::now() + Duration::from_millis(10);
        while let Some(packet) = viewer.receive(turn.saturating_duration_since(Instant::now())) {
            let Packet::Data(data) = packet else { continue };
            flood.bytes += data.payload.len();
            if seen.insert(data.sequence) {
                flood.distinct += data.payload.len();
            }
            let distance = |sequence: u32| sequence.wrapping_sub(first) & 0x7FFF_FFFF;
            if latest.is_none_or(|latest| distance(data.sequence) > distance(latest)) {
                latest = Some(data.sequence);
            }
        }
        if let Some(latest) = latest {
            // The part that the gateway still has.
            let oldest = latest.wrapping_sub(300).max(first);
            viewer.send(Control::nak(&[Loss::Range(oldest, latest)]));
        }
    }
    flood.seconds = begin.elapsed().as_secs_f64();
    flood
}

#[test]
fn viewer_that_asks_for_everything_again_is_limited_and_closed() {
    let gateway = TestGateway::start(ANY_STREAM);
    let addr = gateway.addr(PortKind::Both);
    let source = StampedTs::generate(60, 160_000, RATE);
    let _publisher = Publisher::connect(addr, PUBLISH, options(), (source.bytes(), RATE, Tail::Close));
    let innocent = Viewer::connect(addr, PLAY, options());
    gateway.wait_viewers(DEMO, 1, DEADLINE);
    let viewer = RawPeer::connect(addr, PLAY).unwrap();
    gateway.wait_viewers(DEMO, 2, DEADLINE);
    let flood = flood(&viewer, || {
        gateway.stream(DEMO).is_none_or(|stream| stream.viewers < 2)
    });
    assert!(flood.seconds < DEADLINE.as_secs_f64(), "it was not closed");
    // As much again as the stream itself, and the limit of the first second, and its burst.
    let limit = 2 * flood.distinct + 4_000_000;
    assert!(
        flood.bytes < limit,
        "{} bytes, {} of them distinct, in {} s",
        flood.bytes,
        flood.distinct,
        flood.seconds
    );
    wait_until(DEADLINE, "the rejection", || {
        let rejections = gateway.rejections();
        rejections
            .iter()
            .any(|rejection| rejection.reason.contains("resend_limit = 100"))
    });
    assert!(innocent.is_connected());
}

#[test]
fn limit_of_zero_sends_again_whatever_is_asked_for() {
    let gateway =
        TestGateway::start(&ANY_STREAM.replace("[streams_default]", "resend_limit = 0\n[streams_default]"));
    let addr = gateway.addr(PortKind::Both);
    let source = StampedTs::generate(61, 40_000, RATE);
    let _publisher = Publisher::connect(addr, PUBLISH, options(), (source.bytes(), RATE, Tail::Close));
    let viewer = RawPeer::connect(addr, PLAY).unwrap();
    gateway.wait_viewers(DEMO, 1, DEADLINE);
    let end = Instant::now() + Duration::from_secs(5);
    let flood = flood(&viewer, || Instant::now() > end);
    assert!(
        flood.bytes > 4 * flood.distinct,
        "{} bytes, {} of them distinct",
        flood.bytes,
        flood.distinct
    );
}

#[test]
fn viewer_behind_a_link_that_loses_a_fifth_gets_everything() {
    let gateway = TestGateway::start(ANY_STREAM);
    let addr = gateway.addr(PortKind::Both);
    let lossy = Link::clean().loss(0.2).delay(Duration::from_millis(20));
    let path = Impairment::builder()
        .link(Way::ToClient, lossy)
        .link(
            Way::ToServer,
            Link::clean().loss(0.1).delay(Duration::from_millis(20)),
        )
        .seed(62)
        .start(addr);
    let patient = options().latency(Duration::from_secs(2));
    let viewer = Viewer::connect(path.addr(), PLAY, patient.clone());
    gateway.wait_viewers(DEMO, 1, DEADLINE);
    // Longer than a viewer may stay at the limit.
    let source = StampedTs::generate(62, 45_000, RATE);
    let _publisher = Publisher::connect(addr, PUBLISH, patient, (source.bytes(), RATE, Tail::NullPackets));
    viewer.wait_received(source.bytes().len(), 2 * DEADLINE);
    let mut received = viewer.finish();
    received.bytes.truncate(source.bytes().len());
    assert!(received.bytes == *source.bytes(), "not the same bytes");
    assert!(gateway.rejections().is_empty());
}
