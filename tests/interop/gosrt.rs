//! A peer that behaves like gosrt, on which MediaMTX and Restreamer are built: its control packets have no body, its
//! messages are as long as a packet allows, and its packets are smaller than usual. gosrt itself is in no registry that
//! the tests use.

use srt_e2e::client::{Publisher, Viewer};
use srt_e2e::in_process::TestGateway;
use srt_e2e::pace::Tail;
use srt_e2e::raw::{Control, Kind, Packet, RawPeer};
use srt_e2e::source::{StampedTs, contiguous_part};
use srt_e2e::wait::wait_for;
use srt_gateway::Role;
use srt_gateway::config::PortKind;
use srt_safe::Options;
use std::time::{Duration, Instant};

const CONFIG: &str = "[srt]\nport = \"127.0.0.1:0\"\n[streams_default]\naccept_unknown = true\n";
const PUBLISH: &str = "#!::r=live/demo,m=publish";
const PLAY: &str = "#!::r=live/demo,m=request";
const DEADLINE: Duration = Duration::from_secs(60);
const RATE: u64 = 5_000_000;

/// The round-trip time that libsrt assumes until it has measured it.
const UNKNOWN: Duration = Duration::from_millis(100);

fn options() -> Options {
    Options::new()
        .latency(Duration::from_millis(500))
        .payload_size(1456)
}

#[test]
fn a_publisher_without_bodies_is_measured_and_relayed() {
    let gateway = TestGateway::start(CONFIG);
    let addr = gateway.addr(PortKind::Both);
    let viewer = Viewer::connect(addr, PLAY, options());
    let mut peer = RawPeer::connect(addr, PUBLISH).unwrap();
    let source = StampedTs::generate(3, 8_000, RATE);
    let stream = source.bytes();
    let mut answered = 0;
    for message in stream.chunks(1456) {
        peer.publish(message);
        // Takes as long as the message takes at the rate of the stream.
        let end = Instant::now() + Duration::from_micros(2_300);
        while let Some(packet) = peer.receive(end.saturating_duration_since(Instant::now())) {
            match packet {
                Packet::Control(ack) if ack.kind == Kind::ACK && ack.info != 0 => {
                    peer.send(Control::new(Kind::ACKACK, ack.info, Vec::new()));
                    peer.send(Control::new(Kind::KEEPALIVE, 0, Vec::new()));
                    answered += 1;
                }
                _ => {}
            }
        }
    }
    assert!(answered > 10, "{answered} acknowledgements");
    let figures = wait_for(DEADLINE, "the publisher's figures", || {
        let mut sessions = gateway.sessions().into_iter();
        sessions.find(|session| session.role == Role::Publisher)?.figures
    });
    assert_ne!(figures.stats.link.rtt, UNKNOWN, "the answers were not understood");
    viewer.wait_received(stream.len(), DEADLINE);
    assert_eq!(contiguous_part(&stream, &viewer.finish().bytes), 0..stream.len());
}

#[test]
fn a_viewer_with_small_packets_gets_whole_ts_packets() {
    let gateway = TestGateway::start(CONFIG);
    let addr = gateway.addr(PortKind::Both);
    let mut peer = RawPeer::new(addr);
    let mut conclusion = peer.conclusion(peer.induce().cookie, PLAY);
    conclusion.mss = 1300;
    peer.conclude(&conclusion).unwrap();
    let source = StampedTs::generate(4, 8_000, RATE);
    let feed = (source.bytes(), RATE, Tail::Close);
    let _publisher = Publisher::connect(addr, PUBLISH, options(), feed);
    let messages = peer.view(200);
    let long = messages
        .iter()
        .find(|message| message.len() > 1300 - 44 || message.len() % 188 != 0);
    assert_eq!(long.map(Vec::len), None);
    let received = messages.concat();
    assert_eq!(contiguous_part(&source.bytes(), &received).len(), received.len());
}
