//! Messages of every size to viewers and outputs of every packet size: whole TS packets, and every byte.

#[allow(
    dead_code,
    unreachable_pub,
    reason = "the end-to-end tests' own; a part is used here"
)]
#[path = "../../tests/support/namespace.rs"]
mod namespace;
mod peers;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the end-to-end tests' own; a part is used here"
)]
#[path = "../../tests/support/ports.rs"]
mod ports;

use std::{
    net::{SocketAddr, UdpSocket},
    process::Command,
    time::{Duration, Instant},
};

use namespace::Namespace;

use peers::{MESSAGE, PACE, PATIENCE, gateway, message, port, wait_until};
use ports::free_udp;
use srt_gateway::Gateway;
use srt_safe::{CryptoMode, Options, Passphrase, SrtSocket, StreamId};

const PASSPHRASE: &str = "a passphrase of the test";

/// The bytes that a receiver needs before it is judged.
const ENOUGH: usize = 60 * MESSAGE;

fn options(streamid: &str) -> Options {
    Options::new()
        .stream_id(StreamId::new(streamid).unwrap())
        .payload_size(0)
}

fn encrypted(options: Options, mode: CryptoMode) -> Options {
    options
        .passphrase(Passphrase::new(PASSPHRASE).unwrap())
        .crypto_mode(mode)
}

fn connect(options: Options, to: SocketAddr) -> SrtSocket {
    SrtSocket::builder().options(options).connect(to).unwrap()
}

/// Publishes TS in messages of `cut` bytes until `done`; returns the stream.
fn publish(socket: &SrtSocket, cut: usize, mut done: impl FnMut() -> bool) -> Vec<u8> {
    let (mut stream, mut sent) = (Vec::new(), 0);
    let (mut due, end) = (Instant::now(), Instant::now() + PATIENCE);
    for number in 0.. {
        assert!(Instant::now() < end, "nobody got enough");
        stream.extend(message(1, number));
        while stream.len() - sent >= cut {
            socket.send(&stream[sent..sent + cut]).unwrap();
            sent += cut;
        }
        if done() {
            break;
        }
        due += PACE;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    stream.truncate(sent);
    stream
}

/// Receives until there is enough data.
fn receive(mut take: impl FnMut(&mut [u8]) -> Option<usize>) -> Vec<Vec<u8>> {
    let (mut pieces, mut bytes) = (Vec::new(), 0);
    let end = Instant::now() + PATIENCE;
    let mut buffer = [0; 2000];
    while bytes < ENOUGH {
        assert!(Instant::now() < end, "{bytes} bytes after {PATIENCE:?}");
        if let Some(len) = take(&mut buffer) {
            bytes += len;
            pieces.push(buffer[..len].to_vec());
        }
    }
    pieces
}

#[track_caller]
fn assert_part_of(pieces: &[Vec<u8>], stream: &[u8]) {
    let bytes = pieces.concat();
    // The stream repeats no message, so the first one identifies the position.
    let head = &bytes[..MESSAGE];
    let at = stream
        .windows(MESSAGE)
        .position(|window| window == head)
        .expect("the first bytes are of the stream");
    let common = bytes.len().min(stream.len() - at);
    assert!(bytes[..common] == stream[at..at + common], "bytes differ");
}

#[track_caller]
fn assert_whole_packets(pieces: &[Vec<u8>], limit: usize) {
    // The first one may end a packet that began before the receiver joined.
    for piece in &pieces[1..] {
        assert!(
            piece.len() <= limit && piece.len() % 188 == 0 && piece[0] == 0x47,
            "{} bytes that begin with {:#x}",
            piece.len(),
            piece[0]
        );
    }
}

fn viewers(relay: &Gateway) -> u32 {
    relay.streams().first().map_or(0, |stream| stream.viewers)
}

/// What a viewer with these options receives from a publisher whose messages have `cut` bytes, and the stream.
fn play(publisher: Options, viewer: Options, toml: &str, cut: usize) -> (Vec<Vec<u8>>, Vec<u8>) {
    let relay = gateway(toml);
    let at = port(&relay);
    let source = connect(publisher, at);
    let receiver = std::thread::spawn(move || {
        let socket = connect(viewer, at);
        receive(|buffer| Some(socket.recv(buffer).expect("the viewer stays connected")))
    });
    let stream = publish(&source, cut, || receiver.is_finished());
    (receiver.join().unwrap(), stream)
}

const PUBLISH: &str = "#!::r=a,m=publish";
const PLAY: &str = "#!::r=a,m=request";
const PLAIN: &str = "[srt]\nport = \"127.0.0.1:0\"\n[streams.a]\n";

#[test]
fn a_viewer_with_a_small_segment_size_gets_whole_packets() {
    // 1300 bytes minus 44 of headers hold six packets of 188.
    for cut in [MESSAGE, 1456] {
        let (pieces, stream) = play(options(PUBLISH), options(PLAY).max_segment_size(1300), PLAIN, cut);
        assert_whole_packets(&pieces, 1128);
        assert_part_of(&pieces, &stream);
    }
}

#[test]
fn a_viewer_with_gcm_gets_messages_that_have_no_room_for_its_tag() {
    let toml = format!("[srt]\nport = \"127.0.0.1:0\"\npassphrase = \"{PASSPHRASE}\"\n[streams.a]\n");
    let (pieces, stream) = play(
        encrypted(options(PUBLISH), CryptoMode::Ctr),
        encrypted(options(PLAY), CryptoMode::Gcm),
        &toml,
        1456,
    );
    assert_whole_packets(&pieces, 1440);
    assert_part_of(&pieces, &stream);
}

#[test]
fn messages_that_fit_keep_their_boundaries() {
    let (pieces, stream) = play(options(PUBLISH), options(PLAY), PLAIN, 1456);
    assert!(pieces.iter().all(|piece| piece.len() == 1456));
    assert_part_of(&pieces, &stream);
}

#[test]
fn datagrams_hold_whole_packets_however_the_publisher_cuts() {
    for (scheme, header, cut) in [
        ("udp", 0, 1456),
        ("udp", 0, 1264),
        ("rtp", 12, 1456),
        ("udp", 0, 100),
    ] {
        let output = UdpSocket::bind("127.0.0.1:0").unwrap();
        output.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let to = output.local_addr().unwrap();
        let relay = gateway(&format!("{PLAIN}outputs = [\"{scheme}://{to}\"]\n"));
        let source = connect(options(PUBLISH), port(&relay));
        let receiver = std::thread::spawn(move || receive(|buffer| output.recv(buffer).ok()));
        let stream = publish(&source, cut, || receiver.is_finished());
        let mut pieces = receiver.join().unwrap();
        for piece in &mut pieces {
            drop(piece.drain(..header));
        }
        assert_whole_packets(&pieces, 1316);
        assert_part_of(&pieces, &stream);
        wait_until("an output is no viewer", || viewers(&relay) == 0);
    }
}

/// Of 1,300 bytes, IPv4 and UDP take 28; IPv6, UDP and RTP take 60.
#[test]
fn datagrams_are_not_larger_than_the_route_takes() {
    const MTU: &str = "1300";
    Namespace::new(&[]).run(|| {
        let limited = Command::new("ip")
            .args(["link", "set", "lo", "mtu", MTU])
            .status();
        assert!(limited.expect("ip runs").success());
        let receivers = ["127.0.0.1:0", "[::1]:0"].map(|at| UdpSocket::bind(at).unwrap());
        let [four, six] = receivers.each_ref().map(|one| one.local_addr().unwrap());
        let source = free_udp();
        let relay = gateway(&format!(
            "[streams.a]\ninputs = [\"udp://{source}\"]\noutputs = [\"udp://{four}\", \"rtp://{six}\"]\n"
        ));
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut number = 0;
        for (receiver, header) in receivers.iter().zip([0, 12]) {
            receiver.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
            let pieces = receive(|into| {
                sender.send_to(&message(1, number), source).unwrap();
                number += 1;
                receiver.recv(into).ok()
            });
            let largest = pieces.iter().map(|piece| piece.len() - header).max();
            assert_eq!(largest, Some(6 * 188), "whole packets, as many as fit");
        }
        drop(relay);
    });
}
