//! A caller that has not proven that it receives at its source address gets nothing, and cannot guess the proof.
//! Against a peer that is not libsrt, over loopback. All of this is in our edits to libsrt: an installed one has none
//! of it.
#![cfg(not(feature = "system"))]

#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the end-to-end tests' own; a part is used here"
)]
#[path = "../../tests/support/raw/mod.rs"]
mod raw;
mod support;

use std::{
    collections::HashSet,
    net::{Ipv4Addr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use raw::{Control, Extension, Handshake, Kind, Packet, RawPeer, Request};
use srt_safe::{
    AccessRequest, Admission, SrtListener, SrtSocket,
    log::{self, LogLevel},
};
use support::{PATIENCE, accept, addr_of, guarded, wait_until};

/// How long a test waits for an answer that must not come.
const SILENCE: Duration = Duration::from_millis(600);

/// One test at a time ages the cookies; meanwhile others get theirs.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A listener that admits everybody, and a counter of its decisions.
fn counting() -> (SrtListener, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let listener = guarded(move |_: &AccessRequest<'_>| {
        counter.fetch_add(1, SeqCst);
        Ok(Admission::new())
    });
    (listener, asked)
}

/// Conclusions with that cookie get no answer.
#[track_caller]
fn assert_ignored(peer: &RawPeer, cookie: u32) {
    let answer = peer.exchange(&peer.conclusion(cookie, ""), SILENCE);
    assert_eq!(answer, None, "an answer to a conclusion with a wrong cookie");
}

/// Collects the lines that listeners log about callers.
struct Quiet {
    lines: Arc<Mutex<Vec<String>>>,
    _watch: log::Subscription,
}

impl Quiet {
    fn begin() -> Self {
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let written = Arc::clone(&lines);
        let watch = log::subscribe(LogLevel::Error, move |line| {
            let text = line.to_string();
            if text.contains("processConnectRequest") {
                written.lock().unwrap().push(text);
            }
        });
        Self {
            lines,
            _watch: watch.unwrap(),
        }
    }

    /// Listeners have logged nothing: otherwise anybody could fill the log.
    #[track_caller]
    fn assert(&self) {
        assert!(log::flush(PATIENCE));
        assert_eq!(*self.lines.lock().unwrap(), [""; 0]);
    }
}

#[test]
fn conclusion_without_the_cookie_is_not_looked_at() {
    let _turn = turn();
    let (other, asked_other) = counting();
    let (listener, asked) = counting();
    let quiet = Quiet::begin();
    let mut peer = RawPeer::new(addr_of(&other));
    // libsrt's own cookie is the same on all listeners within a minute.
    let foreign = peer.induce().cookie;
    peer.turn_to(addr_of(&listener));
    let cookie = peer.induce().cookie;
    for wrong in [foreign, cookie ^ 1, cookie.wrapping_add(1 << 31), 0, u32::MAX] {
        assert_ignored(&peer, wrong);
    }
    // A refusal would be an answer as well, so the handshake's faults do not count before the cookie is right.
    for fault in [
        Handshake {
            version: 3,
            ..peer.conclusion(cookie ^ 1, "")
        },
        Handshake {
            mss: 1,
            ..peer.conclusion(cookie ^ 1, "")
        },
        peer.conclusion(cookie ^ 1, "")
            .with(Extension::text(Extension::CONGESTION, "none")),
    ] {
        assert_eq!(peer.exchange(&fault, SILENCE), None);
    }
    assert_eq!((asked.load(SeqCst), asked_other.load(SeqCst)), (0, 0));
    quiet.assert();
    peer.conclude(&peer.conclusion(cookie, "")).unwrap();
    assert_eq!(asked.load(SeqCst), 1);
    accept(&listener);
}

#[test]
fn cookie_is_good_for_one_address_at_one_listener() {
    let _turn = turn();
    let (listener, asked) = counting();
    let (other, asked_other) = counting();
    let addr = addr_of(&listener);
    let mut peer = RawPeer::new(addr);
    let cookie = peer.induce().cookie;
    assert_ignored(&RawPeer::new(addr), cookie);
    assert_ignored(
        &RawPeer::from_ip(Ipv4Addr::new(127, 0, 0, 2).into(), addr),
        cookie,
    );
    // libsrt's own cookie is the same on all listeners within a minute.
    peer.turn_to(addr_of(&other));
    assert_ne!(peer.induce().cookie, cookie);
    assert_ignored(&peer, cookie);
    assert_eq!((asked.load(SeqCst), asked_other.load(SeqCst)), (0, 0));
}

#[test]
fn cookie_outlives_one_rotation_and_not_two() {
    let _turn = turn();
    let (listener, _) = counting();
    let connect_after = |minutes| {
        let peer = RawPeer::new(addr_of(&listener));
        let cookie = peer.induce().cookie;
        libsrt_sys::srt_edit_age_cookies(minutes);
        let answer = peer.exchange(&peer.conclusion(cookie, ""), SILENCE);
        let fresh = peer.induce().cookie;
        (answer.is_some(), fresh != cookie)
    };
    assert_eq!(connect_after(0), (true, false));
    assert_eq!(connect_after(1), (true, true));
    assert_eq!(connect_after(2), (false, true));
}

#[test]
fn keys_of_cookies_are_replaced() {
    let _turn = turn();
    let (listener, _) = counting();
    let peer = RawPeer::new(addr_of(&listener));
    let cookie = peer.induce().cookie;
    // Two minutes pass, and the clock is set back: with the key of the first minute the cookie would be valid again.
    libsrt_sys::srt_edit_age_cookies(2);
    peer.induce();
    libsrt_sys::srt_edit_age_cookies(-2);
    let answer = peer.exchange(&peer.conclusion(cookie, ""), SILENCE);
    libsrt_sys::srt_edit_age_cookies(2);
    assert_eq!(answer, None);
}

#[test]
fn cookies_of_a_socket_without_a_listener_are_those_of_the_listener() {
    let _turn = turn();
    let (listener, asked) = counting();
    let mut peer = RawPeer::new(addr_of(&listener));
    let (caller, addr) = (peer.local_addr(), addr_of(&listener));
    let cookie = SrtListener::cookie_for(caller, addr).expect("keyed cookies");
    assert_eq!(peer.induce().cookie, cookie);
    assert_eq!(SrtListener::is_cookie_of(cookie, caller, addr), Some(true));
    for wrong in [cookie ^ 1, 0] {
        assert_eq!(SrtListener::is_cookie_of(wrong, caller, addr), Some(false));
    }
    assert_eq!(SrtListener::is_cookie_of(cookie, addr, caller), Some(false));
    // A listener accepts the cookie, even if it was issued before the listener existed.
    peer.conclude(&peer.conclusion(cookie, "")).unwrap();
    assert_eq!(asked.load(SeqCst), 1);
    libsrt_sys::srt_edit_age_cookies(1);
    assert_eq!(SrtListener::is_cookie_of(cookie, caller, addr), Some(true));
    libsrt_sys::srt_edit_age_cookies(1);
    assert_eq!(SrtListener::is_cookie_of(cookie, caller, addr), Some(false));
}

#[test]
fn nobody_gets_more_than_he_sent_before_the_cookie_is_right() {
    let _turn = turn();
    let (listener, _) = counting();
    let quiet = Quiet::begin();
    let peer = RawPeer::new(addr_of(&listener));
    let long = peer
        .induction()
        .with(Extension::text(Extension::STREAM_ID, "#!::r=a"));
    for induction in [peer.induction(), long] {
        let sent = peer.addressed(0, Control::handshake(&induction)).encode().len();
        peer.send_to_socket(0, Control::handshake(&induction));
        let answer = peer.receive(PATIENCE).expect("a cookie");
        assert!(answer.encode().len() <= sent, "{answer:?}");
    }
    for nothing in [
        Packet::from(Control::keepalive()),
        Control::shutdown().into(),
        Control::ack(1, 1).into(),
        Control::key_request(&[0; 80]).into(),
        raw::Data::whole(1, 1, b"data").into(),
    ] {
        peer.send_to_socket(0, nothing);
    }
    peer.send_bytes(&peer.addressed(0, Control::handshake(&peer.induction())).encode()[..63]);
    assert_eq!(peer.receive(SILENCE), None);
    quiet.assert();
}

#[test]
fn callers_with_ids_of_32_bits_are_let_in() {
    let _turn = turn();
    let (listener, asked) = counting();
    let mut peer = RawPeer::new(addr_of(&listener));
    // gosrt draws all 32 bits, and sends everything once.
    for socket_id in [0x8000_0000, u32::MAX, 1 << 30] {
        let of_socket = |handshake| Handshake {
            socket_id,
            ..handshake
        };
        let cookie = peer
            .exchange(&of_socket(peer.induction()), PATIENCE)
            .unwrap_or_else(|| panic!("no cookie for {socket_id:#x}"))
            .cookie;
        peer.conclude(&of_socket(peer.conclusion(cookie, ""))).unwrap();
    }
    assert_eq!(asked.load(SeqCst), 3);
}

#[test]
fn answer_to_an_induction_is_no_induction_to_another_listener() {
    let _turn = turn();
    let (listener, _) = counting();
    let peer = RawPeer::new(addr_of(&listener));
    // Packets to any other socket do not reach a listener.
    let induction = Handshake {
        socket_id: 0,
        ..peer.induction()
    };
    assert_eq!(peer.exchange(&induction, SILENCE), None);
}

#[test]
fn socket_ids_do_not_follow_one_another() {
    let _turn = turn();
    let (listener, _) = counting();
    let mut ids = Vec::new();
    for _ in 0..48 {
        let peer = RawPeer::connect(addr_of(&listener), "").unwrap();
        ids.push(peer.answer().socket_id);
        accept(&listener);
    }
    assert!(ids.iter().all(|id| (1..1 << 30).contains(id)), "{ids:?}");
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
    // Of random 30-bit numbers one in 5,000 is that close to the previous one.
    let close = ids.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < 100_000);
    assert!(close.count() < 4, "{ids:?}");
    // All eighths of the range are used: one is missed by chance once in 75 runs, two once in 20,000.
    let eighths: HashSet<u32> = ids.iter().map(|id| id >> 27).collect();
    assert!(eighths.len() >= 6, "{ids:?}");
}

/// The induction of a caller, or the first handshake of a rendezvous.
fn first_handshake(socket: &UdpSocket) -> Handshake {
    let mut bytes = [0; 1500];
    let (length, _) = socket.recv_from(&mut bytes).expect("a caller's handshake");
    let packet = Packet::parse(&bytes[..length]).expect("a packet of SRT");
    packet.as_handshake().expect("a handshake")
}

#[test]
fn callers_begin_anywhere() {
    let mut seen = Vec::new();
    for _ in 0..24 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let caller = SrtSocket::builder().start_connect(socket.local_addr().unwrap());
        let handshake = first_handshake(&socket);
        drop(caller);
        assert_eq!(handshake.request, Request::INDUCTION);
        assert!(handshake.sequence < 1 << 31);
        seen.push((handshake.socket_id, handshake.sequence));
    }
    for field in [|seen: &(u32, u32)| seen.0, |seen: &(u32, u32)| seen.1] {
        let numbers: Vec<u32> = seen.iter().map(field).collect();
        let close = numbers
            .windows(2)
            .filter(|pair| pair[0].abs_diff(pair[1]) < 100_000);
        assert!(close.count() < 4, "{numbers:?}");
    }
}

#[test]
fn empty_control_packets_are_understood() {
    let _turn = turn();
    let (listener, _) = counting();
    let mut peer = RawPeer::connect(addr_of(&listener), "").unwrap();
    let receiver = accept(&listener);
    let initial = receiver.stats().unwrap().link.rtt;
    let end = Instant::now() + PATIENCE;
    let mut sent = 0;
    // Acknowledged as gosrt does it: with the header and nothing else.
    while receiver.stats().unwrap().link.rtt == initial {
        assert!(Instant::now() < end, "the round-trip time stays {initial:?}");
        peer.publish(b"a message");
        sent += 1;
        let ack = peer.wait_control(Kind::ACK);
        peer.send(Control::new(Kind::ACKACK, ack.info, Vec::new()));
    }
    assert!(sent < 100 && receiver.stats().unwrap().link.rtt < initial);
    peer.send(Control::new(Kind::KEEPALIVE, 0, Vec::new()));
    assert!(receiver.state() == srt_safe::SocketState::Connected);
    peer.send(Control::new(Kind::SHUTDOWN, 0, Vec::new()));
    let sent = Instant::now();
    wait_until("the end of the connection", || {
        receiver.state() != srt_safe::SocketState::Connected
    });
    // Without the SHUTDOWN it ends as well, five seconds after the last packet.
    assert!(sent.elapsed() < Duration::from_secs(4));
}
