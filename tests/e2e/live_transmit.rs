//! srt-live-transmit to srt-live-transmit through the gateway: the received file equals the sent one, byte for byte.

use crate::common::{ANY_STREAM, DEADLINE, DEMO, LATENCY, PLAY, PUBLISH};
use srt_e2e::gateway::GatewayProcess;
use srt_e2e::in_process::TestGateway;
use srt_e2e::pace::Tail;
use srt_e2e::peers::{KeyLength, SrtUrl, live_transmit};
use srt_e2e::ports::free_udp;
use srt_e2e::source::{Sample, StampedTs, contiguous_part, sample_ts};
use srt_gateway::config::PortKind;
use std::net::SocketAddr;
use std::sync::Arc;

/// Publishes and plays two seconds of `stream`; the player connects before the first byte is sent.
fn relay(publish: SrtUrl, play: SrtUrl, (stream, rate): (Arc<[u8]>, u64), wait_for_viewer: impl FnOnce()) {
    let folder = tempfile::tempdir().unwrap();
    let player = live_transmit::player(&play.latency(LATENCY), &folder.path().join("out.ts"));
    // It reports that it is connected when data arrives.
    wait_for_viewer();
    let publisher = live_transmit::publisher(&publish.latency(LATENCY)).feed(
        Arc::clone(&stream),
        rate,
        Tail::NullPackets,
        DEADLINE,
    );
    player.wait_received(stream.len(), DEADLINE);
    drop(publisher);
    assert_eq!(contiguous_part(&stream, &player.received()), 0..stream.len());
}

/// Two seconds of 5 Mb/s.
fn stamped(seed: u64) -> (Arc<[u8]>, u64) {
    let stream = StampedTs::generate(seed, 6_650, 5_000_000);
    (stream.bytes(), stream.rate())
}

#[test]
fn shared_port_by_streamid() {
    let gateway = TestGateway::start(ANY_STREAM);
    let addr = gateway.addr(PortKind::Both);
    // Faster than real time: only the bytes are checked.
    let sample = (sample_ts().bytes(), 3 * Sample::RATE);
    relay(
        SrtUrl::caller(addr).stream_id(PUBLISH),
        SrtUrl::caller(addr).stream_id(PLAY),
        sample,
        || gateway.wait_viewers(DEMO, 1, DEADLINE),
    );
}

#[test]
fn ports_of_a_stream_without_streamid() {
    let gateway = TestGateway::start(
        "[streams.cam1]\nsrt_publish = { port = \"127.0.0.1:0\" }\nsrt_play = { port = \"127.0.0.1:0\" }",
    );
    relay(
        SrtUrl::caller(gateway.addr_of(PortKind::Publish, "cam1")),
        SrtUrl::caller(gateway.addr_of(PortKind::Play, "cam1")),
        stamped(1),
        || gateway.wait_viewers("cam1", 1, DEADLINE),
    );
}

#[test]
fn ipv6() {
    let gateway = TestGateway::start(&ANY_STREAM.replace("127.0.0.1", "[::1]"));
    let addr = gateway.addr(PortKind::Both);
    assert!(addr.is_ipv6());
    relay(
        SrtUrl::caller(addr).stream_id(PUBLISH),
        SrtUrl::caller(addr).stream_id(PLAY),
        stamped(2),
        || gateway.wait_viewers(DEMO, 1, DEADLINE),
    );
}

#[test]
fn aes_128() {
    encrypted(KeyLength::Aes128, 16, "AES-128");
}

#[test]
fn aes_256() {
    encrypted(KeyLength::Aes256, 32, "AES-256");
}

/// The gateway's log contains the negotiated encryption: received bytes do not show whether they were encrypted on the
/// wire.
fn encrypted(length: KeyLength, bytes: u32, name: &str) {
    let passphrase = "correct horse battery";
    let mut gateway = GatewayProcess::start(
        &format!("{ANY_STREAM}\n[srt_defaults]\npassphrase = \"{passphrase}\"\nkey_length = {bytes}"),
        "listening",
    );
    let addr = gateway.addr(PortKind::Both);
    let caller = |id: &str| SrtUrl::caller(addr).stream_id(id).passphrase(passphrase, length);
    let connected = |role: &str| {
        [format!("role={role}"), format!("encryption={name:?}")].map(|part| part.replace('"', ""))
    };
    let log = gateway.process();
    let wait_connected = |role: &str| {
        let parts = connected(role);
        log.wait_for_line(DEADLINE, &format!("{role} with {name}"), |line| {
            let line = line.replace('"', "");
            parts.iter().all(|part| line.contains(part))
        });
    };
    relay(caller(PUBLISH), caller(PLAY), stamped(u64::from(bytes)), || {
        wait_connected("viewer");
    });
    wait_connected("publisher");
}

#[test]
fn passphrase_of_each_stream_and_direction_on_one_port() {
    let gateway = TestGateway::start(
        "[srt]\nport = \"127.0.0.1:0\"\n\
         [streams.a]\npublish_passphrase = \"a is published\"\nplay_passphrase = \"a is played\"\n\
         [streams.b]\npublish_passphrase = \"b is published\"\n",
    );
    let addr: SocketAddr = gateway.addr(PortKind::Both);
    let caller = |id: &str| SrtUrl::caller(addr).stream_id(id);
    let key = KeyLength::Aes128;
    relay(
        caller("#!::r=a,m=publish").passphrase("a is published", key),
        caller("#!::r=a,m=request").passphrase("a is played", key),
        stamped(3),
        || gateway.wait_viewers("a", 1, DEADLINE),
    );
    relay(
        caller("#!::r=b,m=publish").passphrase("b is published", key),
        caller("#!::r=b,m=request"),
        stamped(4),
        || gateway.wait_viewers("b", 1, DEADLINE),
    );
}

#[test]
fn listeners_that_the_gateway_calls_at_both_ends() {
    let (source, sink) = (free_udp(), free_udp());
    let passphrase = "correct horse battery";
    let latency = LATENCY.as_millis();
    let folder = tempfile::tempdir().unwrap();
    let listener = |addr| {
        SrtUrl::listener(addr)
            .latency(LATENCY)
            .passphrase(passphrase, KeyLength::Aes128)
    };
    let publisher = live_transmit::publisher(&listener(source));
    let player = live_transmit::player(&listener(sink), &folder.path().join("out.ts"));
    let gateway = TestGateway::start(&format!(
        "[streams.demo]\n\
         inputs = [{{ url = \"srt://{source}?latency={latency}\", passphrase = \"{passphrase}\" }}]\n\
         outputs = [{{ url = \"srt://{sink}?latency={latency}\", passphrase = \"{passphrase}\" }}]"
    ));
    gateway.wait_endpoints_live(DEADLINE);
    let (stream, rate) = stamped(5);
    let publisher = publisher.feed(Arc::clone(&stream), rate, Tail::NullPackets, DEADLINE);
    player.wait_received(stream.len(), DEADLINE);
    drop(publisher);
    assert_eq!(contiguous_part(&stream, &player.received()), 0..stream.len());
}
