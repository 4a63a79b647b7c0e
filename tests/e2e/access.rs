//! Refused callers: the exact code at the caller, the peer's own error, and the line of the gateway's log.

use crate::common::{DEADLINE, options};
use srt_e2e::client::{Publisher, Viewer, connect, refusal};
use srt_e2e::gateway::GatewayProcess;
use srt_e2e::in_process::TestGateway;
use srt_e2e::pace::Tail;
use srt_e2e::peers::{KeyLength, SrtUrl, live_transmit};
use srt_e2e::source::StampedTs;
use srt_gateway::config::PortKind;
use srt_safe::{Options, Passphrase, RejectReason};

const CONFIG: &str = r#"
[srt]
port = "127.0.0.1:0"
[srt_publish]
port = "127.0.0.1:0"
[srt_play]
port = "127.0.0.1:0"
[streams.open]
max_viewers = 1
[streams.other]
[streams.impatient]
on_source_lost = 0
[streams.local]
srt_play = { port = "127.0.0.1:0" }
[streams.locked]
publish_passphrase = "the publisher's secret"
play_passphrase = "the viewers' secret"
"#;

fn with_passphrase(text: &str) -> Options {
    options().passphrase(Passphrase::new(text).unwrap())
}

#[test]
fn each_refusal_has_its_code() {
    let gateway = TestGateway::start(CONFIG);
    let [both, publish, play] =
        [PortKind::Both, PortKind::Publish, PortKind::Play].map(|kind| gateway.addr(kind));
    let local = gateway.addr_of(PortKind::Play, "local");
    for (addr, streamid, code) in [
        (both, "", 1400),
        (both, "#!::r=open", 1400),
        (both, "#!::m=publish", 1400),
        (local, "#!::r=other", 1403),
        (both, "#!::r=nosuch,m=publish", 1404),
        (both, "#!::r=impatient,m=request", 1404),
        (local, "#!::r=nosuch", 1404),
        (publish, "#!::r=open,m=request", 1405),
        (play, "#!::r=open,m=publish", 1405),
        (local, "#!::m=publish", 1405),
        (both, "#!::r=open,m=bidirectional", 1405),
    ] {
        assert_eq!(
            refusal(addr, streamid, options()).value(),
            code,
            "{streamid:?} at {addr}"
        );
    }
}

#[test]
fn second_publisher_and_viewer_too_many_are_refused_and_harm_nobody() {
    let gateway = TestGateway::start(CONFIG);
    let addr = gateway.addr(PortKind::Both);
    let source = StampedTs::generate(5, 3_000, 5_000_000);
    let viewer = Viewer::connect(addr, "#!::r=open,m=request", options());
    gateway.wait_viewers("open", 1, DEADLINE);
    let publisher = Publisher::connect(
        addr,
        "#!::r=open,m=publish",
        options(),
        (source.bytes(), source.rate(), Tail::Close),
    );
    gateway.wait_stream("open", DEADLINE, "source", |stream| stream.has_source);
    let second = refusal(addr, "#!::r=open,m=publish", options());
    assert_eq!(second.value(), 1409, "{second}");
    assert_eq!(refusal(addr, "#!::r=open,m=request", options()).value(), 1402);
    // A stream's publisher blocks no other caller.
    drop(connect(addr, "#!::r=other,m=publish", options()).unwrap());
    viewer.wait_received(source.bytes().len(), DEADLINE);
    assert_eq!(viewer.finish().bytes, *source.bytes());
    drop(publisher);
}

#[test]
fn passphrases_are_checked_at_the_handshake() {
    let gateway = TestGateway::start(CONFIG);
    let addr = gateway.addr(PortKind::Both);
    let [publish, play] = ["#!::r=locked,m=publish", "#!::r=locked,m=request"];
    assert_eq!(
        refusal(addr, publish, with_passphrase("the viewers' secret")),
        RejectReason::BAD_SECRET
    );
    assert_eq!(
        refusal(addr, play, with_passphrase("the publisher's secret")),
        RejectReason::BAD_SECRET
    );
    assert_eq!(refusal(addr, play, options()), RejectReason::UNSECURE);
    assert_eq!(
        refusal(
            addr,
            "#!::r=open,m=request",
            with_passphrase("the viewers' secret")
        ),
        RejectReason::UNSECURE
    );
    drop(connect(addr, publish, with_passphrase("the publisher's secret")).unwrap());
    drop(connect(addr, play, with_passphrase("the viewers' secret")).unwrap());
}

#[test]
fn log_says_who_why_and_code_and_shows_no_secret() {
    let mut gateway = GatewayProcess::start(CONFIG, "listening");
    let (addr, publish) = (gateway.addr(PortKind::Both), gateway.addr(PortKind::Publish));
    let log = gateway.process();
    let refused = |code: &str, why: &str| {
        log.wait_for_line(DEADLINE, why, |line| {
            line.contains("refused") && line.contains(&format!("code={code} ")) && line.contains(why)
        })
    };

    let wrong = "nobody's secret at all";
    let url = SrtUrl::caller(addr)
        .stream_id("#!::r=locked,m=publish")
        .passphrase(wrong, KeyLength::Aes128);
    let mut peer = live_transmit::publisher(&url);
    peer.process().wait_for_line(DEADLINE, "its own error", |line| {
        line.contains("Incorrect passphrase")
    });
    let line = refused("10", "wrong passphrase");
    assert!(line.contains("locked") && line.contains("127.0.0.1:"), "{line}");
    drop(peer);

    let nosuch = refusal(addr, "#!::r=nosuch,m=publish", options());
    assert_eq!(nosuch.value(), 1404);
    refused("1404", "accept_unknown");
    assert_eq!(refusal(addr, "#!::r=open", options()).value(), 1400);
    refused("1400", "m=publish to send");
    assert_eq!(refusal(publish, "#!::r=open,m=request", options()).value(), 1405);
    refused("1405", "only publishes");

    let lines = log.lines().join("\n");
    for secret in [wrong, "the publisher's secret", "the viewers' secret"] {
        assert!(!lines.contains(secret), "{lines}");
    }
    assert!(gateway.stop().success());
}
