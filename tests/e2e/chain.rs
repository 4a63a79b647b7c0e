//! Two gateways in a row over a path that is cut and healed: the second ingests from the first, or the first pushes to
//! it, with a passphrase; and a ring of gateways, which is refused.

use crate::common::{DEADLINE, LATENCY, options};
use srt_e2e::client::{Publisher, Viewer};
use srt_e2e::impair::Impairment;
use srt_e2e::in_process::TestGateway;
use srt_e2e::pace::Tail;
use srt_e2e::source::{StampedTs, contiguous_part};
use srt_e2e::wait::{wait_for, wait_until};
use srt_gateway::config::PortKind;
use std::ops::Range;
use std::time::Duration;

const MEGABITS_5: u64 = 5_000_000;

/// A stream that is long enough for a whole test.
const PACKETS: usize = 200_000;

/// The two gateways and the path between them.
struct Chain {
    first: TestGateway,
    path: Impairment,
    second: TestGateway,
}

/// Publishes to the first gateway and plays from the second; cuts the path until the second has lost its source, heals
/// it, and demands that the viewer, still connected, has two exact parts of the stream in their order.
#[track_caller]
fn cut_and_heal(chain: &Chain) {
    let stream = StampedTs::generate(90, PACKETS, MEGABITS_5);
    let _publisher = Publisher::connect(
        chain.first.addr(PortKind::Both),
        "#!::r=cam,m=publish",
        options(),
        (stream.bytes(), MEGABITS_5, Tail::Close),
    );
    let viewer = Viewer::connect(
        chain.second.addr(PortKind::Both),
        "#!::r=cam,m=request",
        options(),
    );
    viewer.wait_received(600_000, DEADLINE);

    chain.path.cut();
    chain
        .second
        .wait_stream("cam", DEADLINE, "loss of the source", |stream| !stream.has_source);
    // Everything that arrived the first time has been forwarded to the viewer.
    let relayed = || usize::try_from(chain.second.stream("cam").unwrap().bytes).unwrap();
    let before = relayed();
    wait_until(DEADLINE, "what came before the cut", || {
        viewer.len() >= before.min(600_000)
    });
    chain.path.heal();
    chain
        .second
        .wait_stream("cam", DEADLINE, "the source's return", |stream| stream.has_source);
    let after = viewer.len();
    viewer.wait_received(after + 600_000, DEADLINE);
    assert!(viewer.is_connected(), "the viewer stayed");

    let received = viewer.finish().bytes;
    let (bytes, jump) = (stream.bytes(), jump(&stream, &received));
    let first = contiguous_part(&bytes, &received[..jump.start]);
    let whole = received.len() / 188 * 188;
    let second = contiguous_part(&bytes, &received[jump.end..whole]);
    assert!(first.end < second.start, "{first:?}, then {second:?}");
}

/// The positions at which the received stream jumps: at the cut, and nowhere else. Tables, which have no position, may
/// occur there: a source begins with them.
#[track_caller]
fn jump(stream: &StampedTs, received: &[u8]) -> Range<usize> {
    let places: Vec<_> = received
        .chunks_exact(188)
        .enumerate()
        .filter_map(|(at, packet)| stream.place_of(packet).map(|place| (at, place)))
        .collect();
    let jumps: Vec<_> = places
        .windows(2)
        .filter(|pair| pair[1].1 - pair[0].1 != pair[1].0 - pair[0].0)
        .collect();
    let [jump] = jumps[..] else {
        panic!("jumps: {jumps:?}");
    };
    let (end, begin) = (jump[0].0 + 1, jump[1].0);
    assert!(begin - end <= 2, "{} packets are of no place", begin - end);
    end * 188..begin * 188
}

const QUICK: &str = "[srt_defaults]\npeer_idle_timeout = 1\n";

#[test]
fn ingest_with_a_passphrase_is_cut_and_heals() {
    let first = TestGateway::start(&format!(
        "{QUICK}[srt]\nport = \"127.0.0.1:0\"\n[streams.cam]\nplay_passphrase = \"between the two\"\n"
    ));
    let path = Impairment::builder().start(first.addr(PortKind::Both));
    let second = TestGateway::start(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\n[streams.cam]\non_source_lost = 30\n\
         inputs = [{{ url = \"srt://{}?streamid=#!::r=cam,m=request&latency={}&peer_idle_timeout=1\", passphrase = \"between the two\" }}]\n",
        path.addr(),
        LATENCY.as_millis()
    ));
    cut_and_heal(&Chain { first, path, second });
}

#[test]
fn push_with_a_passphrase_is_cut_and_heals() {
    let second = TestGateway::start(&format!(
        "{QUICK}[srt]\nport = \"127.0.0.1:0\"\n[streams.cam]\non_source_lost = 30\npublish_passphrase = \"between the two\"\n"
    ));
    let path = Impairment::builder().start(second.addr(PortKind::Both));
    let first = TestGateway::start(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\n[streams.cam]\n\
         outputs = [{{ url = \"srt://{}?streamid=#!::r=cam,m=publish&latency={}&peer_idle_timeout=1\", passphrase = \"between the two\" }}]\n",
        path.addr(),
        LATENCY.as_millis()
    ));
    cut_and_heal(&Chain { first, path, second });
}

/// With loss on the path that SRT repairs, nothing is missing at the far end.
#[test]
fn loss_between_two_gateways_is_repaired() {
    let first = TestGateway::start("[srt]\nport = \"127.0.0.1:0\"\n[streams.cam]\n");
    let path = Impairment::builder()
        .loss(0.02)
        .delay(Duration::from_millis(10))
        .seed(7)
        .start(first.addr(PortKind::Both));
    let second = TestGateway::start(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\n[streams.cam]\ninputs = [\"srt://{}?streamid=#!::r=cam,m=request&latency=1500\"]\n",
        path.addr()
    ));
    second.wait_endpoints_live(DEADLINE);
    let viewer = Viewer::connect(second.addr(PortKind::Both), "#!::r=cam,m=request", options());
    second.wait_viewers("cam", 1, DEADLINE);
    let stream = StampedTs::generate(91, 10_000, MEGABITS_5);
    let publisher = Publisher::connect(
        first.addr(PortKind::Both),
        "#!::r=cam,m=publish",
        options(),
        (stream.bytes(), MEGABITS_5, Tail::Close),
    );
    viewer.wait_received(stream.bytes().len(), DEADLINE);
    drop(publisher);
    assert!(viewer.finish().bytes == *stream.bytes());
}

#[test]
fn a_ring_of_gateways_is_cut_with_a_clear_message() {
    let ring = [srt_e2e::ports::free_udp(), srt_e2e::ports::free_udp()];
    let [first, _second] = [(ring[0], ring[1]), (ring[1], ring[0])].map(|(at, to)| {
        TestGateway::start(&format!(
            "[srt]\nport = \"{at}\"\n[streams.cam]\nduplicate_publisher = \"reject\"\n\
             outputs = [\"srt://{to}?streamid=#!::r=cam,m=publish&loop_detection=true\"]\n"
        ))
    });
    let stream = StampedTs::generate(92, 20_000, MEGABITS_5);
    let _publisher = Publisher::connect(
        ring[0],
        "#!::r=cam,m=publish",
        options(),
        (stream.bytes(), MEGABITS_5, Tail::Close),
    );
    // The second pushes back to the origin of the stream.
    let refused = wait_for(DEADLINE, "the refusal", || first.rejections().pop());
    assert_eq!(refused.code, 1403);
    assert!(
        refused
            .reason
            .contains("a loop: the stream has already passed through this gateway"),
        "{refused:?}"
    );
}
