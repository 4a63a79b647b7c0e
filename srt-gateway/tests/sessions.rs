//! What a session is held to, and what becomes of a second publisher: with real callers on loopback.

mod peers;

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use peers::{Call, Sink, Source, gateway, port, wait_until};
use srt_gateway::{Gateway, telemetry::RejectedBy};
use srt_safe::SocketState;

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
    assert!(kept.reason.contains("above max_bitrate = 2000000"), "{kept:?}");
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
    // Who has sent once may pause for longer.
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
