//! The raw peer is a peer: a gateway takes it as a publisher and as a viewer, and refuses it with a code.

use crate::common::{ANY_STREAM, DEADLINE, DEMO, PLAY, PUBLISH, options};
use srt_e2e::client::Publisher;
use srt_e2e::in_process::TestGateway;
use srt_e2e::namespace::Namespace;
use srt_e2e::pace::Tail;
use srt_e2e::raw::{Control, Handshake, Kind, RawPeer, Refused};
use srt_e2e::source::StampedTs;
use srt_e2e::wait::{wait_for, wait_until};
use srt_gateway::config::PortKind;
use srt_safe::RejectCode;
use std::net::SocketAddr;
use std::time::Duration;

const RATE: u64 = 5_000_000;

#[test]
fn raw_viewer_receives_what_a_publisher_sends() {
    let gateway = TestGateway::start(ANY_STREAM);
    let addr = gateway.addr(PortKind::Both);
    let mut viewer = RawPeer::connect(addr, PLAY).unwrap();
    gateway.wait_viewers(DEMO, 1, DEADLINE);
    let source = StampedTs::generate(1, 700, RATE);
    let _publisher = Publisher::connect(addr, PUBLISH, options(), (source.bytes(), RATE, Tail::Close));
    let received = viewer.view(100).concat();
    assert!(received == source.bytes()[..received.len()], "not the same bytes");
    viewer.send(Control::shutdown());
    gateway.wait_viewers(DEMO, 0, DEADLINE);
}

#[test]
fn raw_publisher_feeds_a_raw_viewer_in_a_namespace() {
    Namespace::new(&["198.51.100.0/24"]).run(|| {
        let gateway = TestGateway::start(&ANY_STREAM.replace("127.0.0.1", "198.51.100.1"));
        let addr = gateway.addr(PortKind::Both);
        let mut publisher = RawPeer::from_ip([198, 51, 100, 2].into(), addr);
        let cookie = publisher.induce().cookie;
        let conclusion = publisher.conclusion(cookie, PUBLISH);
        publisher.conclude(&conclusion).unwrap();
        let mut viewer = RawPeer::connect(addr, PLAY).unwrap();
        gateway.wait_viewers(DEMO, 1, DEADLINE);
        let source = StampedTs::generate(2, 70, RATE);
        source.bytes().chunks(1316).for_each(|message| {
            publisher.publish(message);
        });
        assert!(viewer.view(10).concat() == *source.bytes(), "not the same bytes");
        publisher.send(Control::shutdown());
        wait_until(DEADLINE, "the publisher to be gone", || {
            gateway.stream(DEMO).is_none_or(|stream| !stream.has_source)
        });
    });
}

#[test]
fn a_publisher_that_has_gone_is_not_kept_by_the_time_of_its_last_packet() {
    let gateway = TestGateway::start(&format!("{ANY_STREAM}duplicate_publisher = \"takeover\"\n"));
    let addr = gateway.addr(PortKind::Both);
    let message = StampedTs::generate(3, 7, RATE).bytes();
    let mut publisher = RawPeer::connect(addr, PUBLISH).unwrap();
    publisher.publish(&message);
    gateway.wait_stream(DEMO, DEADLINE, "the source", |stream| stream.has_source);
    let mut waiting = RawPeer::connect(addr, PUBLISH).unwrap();
    wait_until(DEADLINE, "two publishers", || gateway.sessions().len() == 2);
    for peer in [&mut publisher, &mut waiting] {
        peer.publish_ahead(&message, Duration::from_secs(600));
        peer.publish_ahead(&message, Duration::from_secs(600));
        peer.send(Control::shutdown());
    }
    wait_until(DEADLINE, "the end of both", || gateway.sessions().is_empty());
}

#[test]
fn raw_peer_is_refused_with_a_code() {
    let gateway = TestGateway::start("[srt]\nport = \"127.0.0.1:0\"\n[streams.\"live/demo\"]\n");
    let refused = RawPeer::connect(gateway.addr(PortKind::Both), "#!::r=nowhere,m=request");
    assert_eq!(refused.unwrap_err(), Refused(1404));
}

/// A caller of before SRT 1.3 at its second handshake.
fn old_caller(addr: SocketAddr) -> (RawPeer, Handshake) {
    let peer = RawPeer::new(addr);
    let cookie = peer.induce().cookie;
    let conclusion = Handshake::old_conclusion(peer.id(), peer.first_sequence(), cookie);
    (peer, conclusion)
}

#[test]
fn callers_of_before_1_3_are_refused_with_a_reason_that_names_them() {
    let gateway = TestGateway::start(
        "[srt]\nport = \"127.0.0.1:0\"\nminversion = \"1.0.0\"\n[streams.\"live/demo\"]\n\
         srt_publish = { port = \"127.0.0.1:0\", minversion = \"1.3.0\" }\n",
    );
    let ports = [
        gateway.addr(PortKind::Both),
        gateway.addr_of(PortKind::Publish, DEMO),
    ];
    for (addr, wanted) in ports.into_iter().zip(["needs one", "1.3.0 or newer"]) {
        let (caller, conclusion) = old_caller(addr);
        let kept = wait_for(DEADLINE, "the record", || {
            // libsrt answers such a caller with the end of the connection, which has no reason.
            caller.send_to_socket(0, Control::handshake(&conclusion));
            let kept = gateway.rejections();
            kept.into_iter().find(|kept| kept.reason.contains(wanted))
        });
        assert!(
            kept.reason.starts_with("SRT 1.2 or older: no streamid"),
            "{kept:?}"
        );
        assert_eq!(kept.code, i32::from(RejectCode::VERSION.value()), "{kept:?}");
    }
    assert!(gateway.sessions().is_empty());
}

#[test]
fn a_publisher_of_before_1_3_is_admitted_where_the_port_says_so() {
    let gateway = TestGateway::start(
        "[srt]\nport = \"127.0.0.1:0\"\n[streams.\"live/demo\"]\n\
         srt_publish = { port = \"127.0.0.1:0\", minversion = \"1.0.0\" }\n",
    );
    let (mut publisher, conclusion) = old_caller(gateway.addr_of(PortKind::Publish, DEMO));
    publisher.conclude(&conclusion).unwrap();
    publisher.send(Control::hs_request(0x0001_0200, 120));
    let answer = publisher.wait_control(Kind::EXTENSION);
    assert_eq!(answer.subtype, 2, "an answer to what it says of itself");
    wait_until(DEADLINE, "its session", || gateway.sessions().len() == 1);
    let mut viewer = RawPeer::connect(gateway.addr(PortKind::Both), PLAY).unwrap();
    gateway.wait_viewers(DEMO, 1, DEADLINE);
    let source = StampedTs::generate(3, 70, RATE);
    source.bytes().chunks(1316).for_each(|message| {
        publisher.publish(message);
    });
    assert!(viewer.view(10).concat() == *source.bytes(), "not the same bytes");
}
