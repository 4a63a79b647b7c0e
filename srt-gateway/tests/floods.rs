//! Crowds of callers and floods of datagrams, each beside a stream that must not lose a message.

#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the end-to-end tests' own; a part is used here"
)]
#[path = "../../tests/support/http.rs"]
mod http;
mod peers;
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the end-to-end tests' own; a part is used here"
)]
#[path = "../../tests/support/raw/mod.rs"]
mod raw;

use std::{
    collections::HashSet,
    net::{SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use http::{HttpServer, Reply};
use peers::{Sink, Source, assert_contiguous, gateway, message, port, wait_until};
use raw::{Control, Handshake, Packet, RawPeer, Request};
use srt_safe::{Options, SrtSocket, StreamId};

/// Long enough that nothing is late on a loaded machine.
const LATENCY: Duration = Duration::from_secs(2);

/// When an unanswered handshake is repeated.
const REPEAT: Duration = Duration::from_millis(250);

fn options(streamid: &str) -> Options {
    Options::new()
        .latency(LATENCY)
        .connect_timeout(Duration::from_secs(30))
        .stream_id(StreamId::new(streamid).unwrap())
}

fn call(to: SocketAddr, options: Options) -> SrtSocket {
    SrtSocket::builder().options(options).connect(to).unwrap()
}

/// A publisher and a viewer of `innocent`.
fn innocent(to: SocketAddr) -> (Source, Sink) {
    let publisher = call(to, options("#!::r=innocent,m=publish"));
    let source = Source::start(1, move |message| publisher.send(message).is_ok());
    let sink = Sink::receive(call(to, options("#!::r=innocent,m=request")));
    sink.wait_more(50);
    (source, sink)
}

/// How many viewers call at once. For more than in CI: `CROWD=2000 cargo test -p srt-gateway --test floods crowd`.
fn crowd_size() -> usize {
    let given = std::env::var("CROWD").ok();
    given.map_or(500, |given| given.parse().expect("CROWD is a number"))
}

#[test]
fn a_crowd_of_viewers_that_call_at_once_is_let_in_and_served() {
    let size = crowd_size();
    let relay = gateway(
        "[srt]\nport = \"127.0.0.1:0\"\nmax_connections = 2003\npeer_idle_timeout = 60\n\
         [streams.innocent]\n[streams.crowd]\non_source_lost = 600\n",
    );
    let to = port(&relay);
    let (_source, sink) = innocent(to);
    let crowd: Vec<_> = (0..size).map(|_| RawPeer::new(to)).collect();
    let begin = Instant::now();
    let mut cookies = vec![0; size];
    gather(
        &crowd,
        |peer, _| peer.induction(),
        |at, answer| cookies[at] = answer.cookie,
    );
    let inductions = begin.elapsed();
    let mut refused = Vec::new();
    gather(
        &crowd,
        |peer, at| peer.conclusion(cookies[at], "#!::r=crowd,m=request"),
        |_, answer| refused.extend(answer.refusal()),
    );
    let conclusions = begin.elapsed();
    assert!(refused.is_empty(), "{refused:?} of {size} callers");
    wait_until("their sessions", || relay.sessions().len() == size + 2);
    let sessions = begin.elapsed();
    let publisher = call(to, options("#!::r=crowd,m=publish"));
    let mut waiting: HashSet<_> = (0..size).collect();
    let mut next = Instant::now();
    wait_until("a message for each", || {
        if Instant::now() >= next {
            next += REPEAT;
            publisher.send(&message(2, 0)).unwrap();
        }
        waiting.retain(|at| {
            let got = crowd[*at].drain();
            !got.iter()
                .any(|packet| matches!(packet, Packet::Data(data) if data.payload == message(2, 0)))
        });
        waiting.is_empty()
    });
    eprintln!(
        "{size} viewers: cookies after {inductions:?}, verdicts after {conclusions:?}, sessions after {sessions:?}, a message for each \
         after {:?}",
        begin.elapsed()
    );
    sink.wait_more(200);
    assert_contiguous(&sink.finish(), 250);
}

/// Sends all peers' handshakes at once, and again until each is answered.
#[track_caller]
fn gather(
    crowd: &[RawPeer],
    handshake: impl Fn(&RawPeer, usize) -> Handshake,
    mut answered: impl FnMut(usize, &Handshake),
) {
    let mut waiting: HashSet<_> = (0..crowd.len()).collect();
    let mut next = Instant::now();
    wait_until("answers to all handshakes", || {
        if Instant::now() >= next {
            next += REPEAT;
            for at in &waiting {
                let handshake = handshake(&crowd[*at], *at);
                crowd[*at].send_to_socket(0, Control::handshake(&handshake));
            }
        }
        waiting.retain(|at| {
            let induces = handshake(&crowd[*at], *at).request == Request::INDUCTION;
            let answers = crowd[*at].drain();
            let answer = answers
                .iter()
                .filter_map(Packet::as_handshake)
                .find(|answer| (answer.request == Request::INDUCTION) == induces);
            if let Some(answer) = &answer {
                answered(*at, answer);
            }
            answer.is_none()
        });
        waiting.is_empty()
    });
}

/// Set when dropped, so that a failing test ends its threads.
struct Done<'d>(&'d AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Reproducible pseudo-random bytes.
fn noise(seed: &mut u64, into: &mut [u8]) {
    for byte in into {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *byte = seed.to_be_bytes()[0];
    }
}

/// Sends random bytes, inductions, and conclusions with a wrong cookie to all of `ports`, some 5,000 per second.
fn flood(ports: &[SocketAddr], done: &AtomicBool, sent: &AtomicU64) {
    let sockets: Vec<_> = (0..8).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    for socket in &sockets {
        socket.set_nonblocking(true).unwrap();
    }
    let (mut seed, mut round) = (7, 0_u32);
    while !done.load(Relaxed) {
        for (at, to) in ports.iter().enumerate() {
            round = round.wrapping_add(1);
            let id = 1 + (round & 0xFFFF);
            let datagram = match round % 3 {
                0 => {
                    let mut bytes = vec![0; 1 + usize::try_from(round % 1400).unwrap()];
                    noise(&mut seed, &mut bytes);
                    bytes
                }
                1 => Packet::from(Control::handshake(&Handshake::induction(id, round))).encode(),
                _ => Packet::from(Control::handshake(&Handshake::conclusion(
                    id,
                    round,
                    round.wrapping_mul(2_654_435_761),
                    "#!::r=innocent,m=publish",
                )))
                .encode(),
            };
            // A full queue or an ICMP message does not matter to a flood.
            if sockets[at % sockets.len()].send_to(&datagram, to).is_ok() {
                sent.fetch_add(1, Relaxed);
            }
        }
        thread::sleep(Duration::from_millis(u64::try_from(ports.len()).unwrap() / 5));
    }
}

#[test]
fn a_flood_over_a_range_of_ports_harms_no_stream_on_one_of_them() {
    let ports: Vec<_> = {
        // Kept until all are bound, so that they differ.
        let all: Vec<_> = (0..50).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        all.iter().map(|socket| socket.local_addr().unwrap()).collect()
    };
    let numbers: Vec<_> = ports.iter().map(SocketAddr::port).collect();
    let server = HttpServer::start(|_| Reply::ok(r#"{"stream": "innocent"}"#));
    let relay = gateway(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\n[[listeners]]\nports = {numbers:?}\naddress = \"127.0.0.1\"\nmode = \"any\"\n\
         [config_external]\nurl = \"{}\"\n[streams.innocent]\n",
        server.url("/")
    ));
    let (_source, sink) = innocent(ports[0]);
    let (done, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let _done = Done(&done);
        scope.spawn(|| flood(&ports, &done, &sent));
        sink.wait_more(1000);
        // An idle port among the flooded ones still opens for a caller.
        drop(call(ports[49], options("#!::r=innocent,m=request")));
        sink.wait_more(200);
    });
    assert!(sent.load(Relaxed) > 2_000, "{sent:?} datagrams");
    assert_contiguous(&sink.finish(), 1250);
    let asked = server.requests().len();
    assert_eq!(asked, 2, "the backend is asked for callers only");
    assert!(relay.rejections().is_empty(), "{:?}", relay.rejections());
    let listening = relay.listening().len();
    assert_eq!(listening, 3, "the global port and those that were called");
}
