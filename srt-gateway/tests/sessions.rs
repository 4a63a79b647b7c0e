//! Limits of sessions, and second publishers: with real callers on loopback.

mod peers;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use peers::{Arrival, Call, Sink, Source, assert_contiguous, gateway, port, wait_state, wait_until};
use srt_gateway::{EndpointState, Gateway, Role, telemetry::RejectedBy};
use srt_safe::{SocketState, SrtSocket, StreamId};

const PUBLISH: &str = "#!::r=a,m=publish";
const PLAY: &str = "#!::r=a,m=request";

fn with(settings: &str, stream: &str) -> Gateway {
    gateway(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\n{settings}\n[streams.a]\n{stream}\n[streams.b]\n"
    ))
}

fn has_source(gateway: &Gateway, name: &str) -> bool {
    let streams = gateway.streams();
    streams
        .iter()
        .any(|stream| stream.name.as_str() == name && stream.has_source)
}

#[test]
fn a_publisher_above_max_bitrate_is_closed_and_one_below_is_not() {
    // Sources send 5 Mb/s.
    let slow = with("max_bitrate = \"2M\"", "");
    let fast = with("max_bitrate = \"20M\"", "");
    let (begin, too_fast) = (
        Instant::now(),
        Source::publish(1, port(&slow), &Call::named(PUBLISH)),
    );
    let fine = Source::publish(2, port(&fast), &Call::named(PUBLISH));
    wait_until("a source", || has_source(&slow, "a") && has_source(&fast, "a"));
    wait_until("the publisher to be closed", || !has_source(&slow, "a"));
    assert!(begin.elapsed() >= Duration::from_secs(5), "{:?}", begin.elapsed());
    wait_until("the record", || !slow.rejections().is_empty());
    let rejections = slow.rejections();
    let kept = &rejections[0];
    assert_eq!((kept.code, kept.decision), (1402, RejectedBy::Limits), "{kept:?}");
    assert_eq!(kept.streamid.as_ref(), PUBLISH.as_bytes());
    assert!(
        kept.reason.contains("more than max_bitrate = 2000000"),
        "{kept:?}"
    );
    assert!(has_source(&fast, "a") && fast.rejections().is_empty());
    drop((too_fast, fine));
}

#[test]
fn a_publisher_that_never_sends_gives_its_place_up() {
    let gateway = with("first_data_timeout = 1", "");
    let sends = Source::publish(1, port(&gateway), &Call::named("#!::r=b,m=publish"));
    let silent = Call::named(PUBLISH).connect(port(&gateway));
    wait_until("both", || has_source(&gateway, "a") && has_source(&gateway, "b"));
    wait_until("some data", || sends.sent.load(Relaxed) > 10);
    // A publisher that has sent before may pause for longer.
    sends.pause.store(true, Relaxed);
    wait_until("the silent one to be closed", || !has_source(&gateway, "a"));
    wait_until("it to notice", || silent.state() != SocketState::Connected);
    let paused = Instant::now();
    let viewer = Sink::play(port(&gateway), &Call::named(PLAY));
    let next = Source::publish(3, port(&gateway), &Call::named(PUBLISH));
    viewer.wait_more(100);
    wait_until("more than the time", || {
        paused.elapsed() > Duration::from_millis(1_500)
    });
    assert!(has_source(&gateway, "b"));
    drop((sends, next));
}

/// The code with which a publisher of `a` is refused.
fn refused(gateway: &Gateway) -> i32 {
    let called = SrtSocket::builder()
        .stream_id(StreamId::new(PUBLISH).unwrap())
        .connect(port(gateway));
    match called {
        Ok(_) => panic!("admitted"),
        Err(error) => error.reject_reason().unwrap_or_else(|| panic!("{error}")).value(),
    }
}

/// Publishers of `a` on standby.
fn standing_by(gateway: &Gateway) -> usize {
    let sessions = gateway.sessions();
    sessions.iter().filter(|session| session.standby).count()
}

/// The runs of a viewer, each without a gap, and the time between consecutive ones.
fn runs(arrivals: &[Arrival]) -> Vec<(u8, u64, Duration)> {
    let mut runs = vec![(arrivals[0].1, arrivals[0].2, Duration::ZERO)];
    let mut begin = 0;
    for at in 1..arrivals.len() {
        if arrivals[at].1 != arrivals[at - 1].1 {
            assert_contiguous(&arrivals[begin..at], 50);
            runs.push((
                arrivals[at].1,
                arrivals[at].2,
                arrivals[at].0 - arrivals[at - 1].0,
            ));
            begin = at;
        }
    }
    assert_contiguous(&arrivals[begin..], 50);
    runs
}

/// A margin for a machine with more work than cores. Control and workers need a millisecond.
const SWITCH: Duration = Duration::from_millis(150);

#[test]
fn a_publisher_that_has_closed_makes_room_at_once_and_its_last_packets_come_first() {
    // Long enough that a slow machine reconnects well within it.
    let latency = Duration::from_secs(4);
    let gateway = with("latency = 4000", "");
    let to = port(&gateway);
    let first = Source::publish(1, to, &Call::named(PUBLISH));
    let sink = Sink::play(to, &Call::named(PLAY));
    sink.wait_more(100);
    let sent = Arc::clone(&first.sent);
    drop(first);
    let closed = Instant::now();
    let sent = sent.load(Relaxed);
    // Its shutdown may arrive after the next handshake: `publish` retries for a while.
    let second = Source::publish(2, to, &Call::named(PUBLISH));
    let back = closed.elapsed();
    assert!(back < latency / 2, "{back:?}");
    wait_until("the second publisher", || sink.last_of(2).is_some());
    sink.wait_more(100);
    let arrivals = sink.finish();
    let runs = runs(&arrivals);
    let [(1, ..), (2, 0, _)] = runs[..] else {
        panic!("{runs:?}");
    };
    let last = arrivals.iter().rev().find(|arrival| arrival.1 == 1).unwrap();
    // A latency is some 1,900 messages; the last few may not have left the caller when it closed.
    assert!(sent - last.2 < 100, "{} of {sent}", last.2);
    drop(second);
}

#[test]
fn takeover_changes_publishers_without_a_gap() {
    let gateway = with("", "duplicate_publisher = \"takeover\"");
    let to = port(&gateway);
    let first = Source::publish(1, to, &Call::named(PUBLISH));
    let sink = Sink::play(to, &Call::named(PLAY));
    sink.wait_more(200);
    // A publisher without data takes nothing over.
    let idle = Call::named(PUBLISH).connect(to);
    wait_until("the idle one", || standing_by(&gateway) == 1);
    sink.wait_more(200);
    assert_eq!(sink.last_of(2), None);
    let second = Source::publish(2, to, &Call::named(PUBLISH));
    wait_until("the second publisher", || sink.last_of(2).is_some());
    sink.wait_more(200);
    let third = Source::publish(3, to, &Call::named(PUBLISH));
    wait_until("the third publisher", || sink.last_of(3).is_some());
    sink.wait_more(200);
    wait_until("the idle one alone", || gateway.sessions().len() == 3);
    let runs = runs(&sink.finish());
    println!("{runs:?}");
    // From their first messages on.
    let [(1, ..), (2, 0, gap), (3, 0, other)] = runs[..] else {
        panic!("{runs:?}");
    };
    assert!(gap < SWITCH && other < SWITCH, "{gap:?} {other:?}");
    drop((first, idle, second, third));
}

#[test]
fn takeover_if_silent_refuses_while_the_first_sends_and_lets_in_when_it_is_silent() {
    let gateway = with(
        "",
        "duplicate_publisher = \"takeover_if_silent\"\nsilent_after = 0.5",
    );
    let to = port(&gateway);
    let first = Source::publish(1, to, &Call::named(PUBLISH));
    let sink = Sink::play(to, &Call::named(PLAY));
    sink.wait_more(200);
    assert_eq!(refused(&gateway), 1409);
    wait_until("the record", || !gateway.rejections().is_empty());
    assert!(gateway.rejections()[0].reason.contains("takeover_if_silent"));
    // Connected and mute, as behind a NAT that has dropped it: the same publisher comes back from another port.
    first.pause.store(true, Relaxed);
    let begin = Instant::now();
    let again = Source::publish(2, to, &Call::named(PUBLISH));
    wait_until("the second publisher", || sink.last_of(2).is_some());
    println!("{:?} after the first fell silent", begin.elapsed());
    assert!(
        begin.elapsed() > Duration::from_millis(300),
        "{:?}",
        begin.elapsed()
    );
    first.pause.store(false, Relaxed);
    sink.wait_more(200);
    assert_eq!(refused(&gateway), 1409);
    let runs = runs(&sink.finish());
    let [(1, ..), (2, 0, _)] = runs[..] else {
        panic!("{runs:?}");
    };
    wait_until("one publisher", || standing_by(&gateway) == 0);
    drop((first, again));
}

#[test]
fn who_stands_by_feeds_when_its_turn_comes() {
    let gateway = with("", "duplicate_publisher = \"standby\"");
    let to = port(&gateway);
    let first = Source::publish(1, to, &Call::named(PUBLISH));
    let sink = Sink::play(to, &Call::named(PLAY));
    sink.wait_more(200);
    let second = Source::publish(2, to, &Call::named(PUBLISH));
    wait_until("one that stands by", || standing_by(&gateway) == 1);
    let third = Source::publish(3, to, &Call::named(PUBLISH));
    wait_until("two that stand by", || standing_by(&gateway) == 2);
    sink.wait_more(200);
    assert_eq!((sink.last_of(2), sink.last_of(3)), (None, None));
    drop(first);
    wait_until("the second publisher", || sink.last_of(2).is_some());
    sink.wait_more(200);
    assert_eq!((sink.last_of(3), standing_by(&gateway)), (None, 1));
    drop(second);
    wait_until("the third publisher", || sink.last_of(3).is_some());
    sink.wait_more(200);
    let runs = runs(&sink.finish());
    println!("{runs:?}");
    let [(1, ..), (2, _, gap), (3, _, other)] = runs[..] else {
        panic!("{runs:?}");
    };
    assert!(gap < SWITCH && other < SWITCH, "{gap:?} {other:?}");
    drop(third);
}

#[test]
fn a_publisher_takes_over_from_an_input_and_gives_back() {
    let origin = with("", "");
    let _fed = Source::publish(1, port(&origin), &Call::named(PUBLISH));
    let edge = with(
        "",
        &format!(
            "duplicate_publisher = \"takeover\"\ninputs = [\"srt://{}?streamid={PLAY}\"]",
            port(&origin)
        ),
    );
    let sink = Sink::play(port(&edge), &Call::named(PLAY));
    sink.wait_more(200);
    let publisher = Source::publish(2, port(&edge), &Call::named(PUBLISH));
    wait_until("the publisher", || sink.last_of(2).is_some());
    wait_state(&edge, Role::Publisher, 0, EndpointState::Standby);
    sink.wait_more(200);
    let left = sink.last_of(1);
    drop(publisher);
    wait_until("the input again", || sink.last_of(1) > left);
    wait_state(&edge, Role::Publisher, 0, EndpointState::Live);
    sink.wait_more(100);
    let runs = runs(&sink.finish());
    let [(1, ..), (2, 0, gap), (1, ..)] = runs[..] else {
        panic!("{runs:?}");
    };
    assert!(gap < SWITCH, "{gap:?}");
}
