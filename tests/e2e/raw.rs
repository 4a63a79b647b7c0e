//! The raw peer is a peer: a gateway takes it as a publisher and as a viewer, and refuses it with a code.

use crate::common::{ANY_STREAM, DEADLINE, DEMO, PLAY, PUBLISH, options};
use srt_e2e::client::Publisher;
use srt_e2e::in_process::TestGateway;
use srt_e2e::namespace::Namespace;
use srt_e2e::pace::Tail;
use srt_e2e::raw::{Control, RawPeer, Refused};
use srt_e2e::source::StampedTs;
use srt_e2e::wait::wait_until;
use srt_gateway::config::PortKind;

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
fn raw_peer_is_refused_with_a_code() {
    let gateway = TestGateway::start("[srt]\nport = \"127.0.0.1:0\"\n[streams.\"live/demo\"]\n");
    let refused = RawPeer::connect(gateway.addr(PortKind::Both), "#!::r=nowhere,m=request");
    assert_eq!(refused.unwrap_err(), Refused(1404));
}
