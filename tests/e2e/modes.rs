//! Ingest, push and rendezvous against srt-live-transmit and ffmpeg as the other side. Publishing and playing are in
//! `live_transmit.rs` and `ffmpeg.rs`. ffmpeg has no working rendezvous: it binds its socket to the peer's address.

use crate::common::{DEADLINE, LATENCY, options};
use srt_e2e::client::{Publisher, Viewer};
use srt_e2e::in_process::TestGateway;
use srt_e2e::pace::Tail;
use srt_e2e::peers::{SrtUrl, ffmpeg, live_transmit};
use srt_e2e::ports::{free_udp, free_udp_on};
use srt_e2e::source::{StampedTs, contiguous_part, sample_ts};
use srt_gateway::config::PortKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The length of ffmpeg's recording.
const LENGTH: Duration = Duration::from_secs(3);

const OURS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const THEIRS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

/// A rendezvous of the gateway with a peer: its URL, and the peer's.
fn rendezvous() -> (String, SrtUrl) {
    let port = free_udp_on(OURS).port();
    let ours = format!(
        "srt://{}?mode=rendezvous&adapter={OURS}&latency={}",
        SocketAddr::new(THEIRS, port),
        LATENCY.as_millis()
    );
    let theirs = SrtUrl::rendezvous(THEIRS, SocketAddr::new(OURS, port)).latency(LATENCY);
    (ours, theirs)
}

fn gateway(endpoints: &str) -> TestGateway {
    TestGateway::start(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\n[streams.cam]\n{endpoints}\n"
    ))
}

fn stamped(seed: u64) -> (Arc<[u8]>, u64) {
    let stream = StampedTs::generate(seed, 6_650, 5_000_000);
    (stream.bytes(), stream.rate())
}

#[test]
fn ingests_from_a_listening_ffmpeg_and_pushes_to_one() {
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("out.ts");
    let (source, sink) = (free_udp(), free_udp());
    let latency = LATENCY.as_millis();
    let _publisher = ffmpeg::publisher(&SrtUrl::listener(source).latency(LATENCY), sample_ts().path());
    let mut player = ffmpeg::player(&SrtUrl::listener(sink).latency(LATENCY), &recording, LENGTH);
    let _gateway = gateway(&format!(
        "inputs = [\"srt://{source}?latency={latency}\"]\noutputs = [\"srt://{sink}?latency={latency}\"]"
    ));
    player.wait_success(DEADLINE);
    assert!(ffmpeg::packet_counts(&recording).video >= 80);
}

#[test]
fn meets_srt_live_transmit_by_rendezvous_to_receive() {
    let (ours, theirs) = rendezvous();
    let gateway = gateway(&format!("inputs = [\"{ours}\"]"));
    let viewer = Viewer::connect(gateway.addr(PortKind::Both), "#!::r=cam,m=request", options());
    gateway.wait_viewers("cam", 1, DEADLINE);
    let (stream, rate) = stamped(95);
    let publisher = live_transmit::publisher(&theirs);
    gateway.wait_endpoints_live(DEADLINE);
    let _publisher = publisher.feed(Arc::clone(&stream), rate, Tail::NullPackets, DEADLINE);
    viewer.wait_received(stream.len(), DEADLINE);
    let received = viewer.finish().bytes;
    assert_eq!(contiguous_part(&stream, &received), 0..stream.len());
}

#[test]
fn meets_srt_live_transmit_by_rendezvous_to_send() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = rendezvous();
    let gateway = gateway(&format!("outputs = [\"{ours}\"]"));
    let player = live_transmit::player(&theirs, &folder.path().join("out.ts"));
    // An output connects when there is data to send: null packets until it is connected.
    let (stream, rate) = stamped(96);
    let idle = Arc::from(srt_e2e::pace::null_packets(700));
    let first = Publisher::connect(
        gateway.addr(PortKind::Both),
        "#!::r=cam,m=publish",
        options(),
        (idle, rate, Tail::Repeat),
    );
    gateway.wait_endpoints_live(DEADLINE);
    first.close();
    gateway.wait_stream("cam", DEADLINE, "end of the source", |stream| !stream.has_source);
    let _publisher = Publisher::connect(
        gateway.addr(PortKind::Both),
        "#!::r=cam,m=publish",
        options(),
        (Arc::clone(&stream), rate, Tail::NullPackets),
    );
    player.wait_received(stream.len(), DEADLINE);
    let is_null = |packet: &[u8]| packet[1..3] == [0x1f, 0xff];
    let received = player.received();
    let begin = received.chunks_exact(188).position(|packet| !is_null(packet));
    let received = &received[begin.expect("the stream") * 188..];
    let part = contiguous_part(&stream, received);
    assert_eq!(part.start, 0);
}
