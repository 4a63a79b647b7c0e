//! No number from a peer determines the length of a loop, an allocation or a wait. In each test a peer with hand-built
//! packets sends one, and the test checks that other connections of the same port continue.

// An installed library lacks the edits.
#![cfg(not(feature = "system"))]

#[path = "../../tests/support/raw/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_docs,
    reason = "each test program uses a part"
)]
mod raw;
mod support;

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use raw::{Control, Data, Extension, Handshake, Kind, Loss, Packet, RawPeer, Refused, Request};
use srt_safe::{Options, SocketState, SrtListener, SrtSocket, TransmissionType};
use support::{PATIENCE, V4, accept, addr_of, exchange, heap_in_use, open_descriptors, wait_until};

/// The distance from which on a later sequence number compares as an earlier one.
const WRAP: u32 = 0x3FFF_FFFF;
/// A group's id has bit 30 set.
const GROUP_ID: u32 = 0x4000_0000;
const BROADCAST: u8 = 1;
/// "Rogue peer or incorrect parameters".
const ROGUE: u32 = 4;

fn options() -> Options {
    // A connection that breaks during a test does not break because its peer is silent.
    let idle = 4 * PATIENCE;
    Options::new()
        .latency(Duration::from_millis(40))
        .peer_idle_timeout(idle)
}

/// One test at a time: some of them measure the process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A listener, and an unrelated connection of its port.
struct Port {
    listener: SrtListener,
    addr: SocketAddr,
    caller: SrtSocket,
    accepted: SrtSocket,
}

impl Port {
    fn open(options: Options) -> Self {
        let listener = support::listener(&options);
        let addr = addr_of(&listener);
        let caller = SrtSocket::builder().options(self::options()).connect(addr);
        let caller = caller.expect("a connection");
        let accepted = accept(&listener);
        Self {
            listener,
            addr,
            caller,
            accepted,
        }
    }

    /// Admits a raw peer, and returns our end as well.
    fn connect(&self) -> (RawPeer, SrtSocket) {
        let peer = RawPeer::connect(self.addr, "").expect("a connection");
        (peer, accept(&self.listener))
    }

    /// The unrelated connection works both ways, and a new caller is admitted.
    fn assert_alive(&self) {
        exchange(&self.caller, &self.accepted, 10);
        exchange(&self.accepted, &self.caller, 10);
        self.sync();
    }

    /// Returns when the port's receiving thread has handled all earlier packets.
    fn sync(&self) {
        let _ = RawPeer::new(self.addr).induce();
    }
}

fn sequence(peer: &RawPeer, offset: u32) -> u32 {
    peer.answer().sequence.wrapping_add(offset) & 0x7FFF_FFFF
}

/// A viewer that has received and acknowledged `messages`.
fn viewer(port: &Port, messages: u32) -> (RawPeer, SrtSocket) {
    let (mut peer, ours) = port.connect();
    for _ in 0..messages {
        ours.send(b"message").expect("room to send");
    }
    peer.view(messages);
    (peer, ours)
}

#[test]
fn drop_request_over_millions_of_packets_stops_no_port() {
    let _alone = alone();
    let port = Port::open(options());
    let (mut peer, _ours) = port.connect();
    peer.publish(b"first");
    let missing = peer.first_sequence() + 1;
    peer.send(Data::whole(missing + 1, 3, b"third"));
    port.sync();
    // Half of the range of a comparison: the most that passes libsrt's own check.
    peer.send(Control::drop_request(2, missing, missing + WRAP / 2));
    peer.send(Control::drop_request(
        2,
        missing.wrapping_sub(WRAP / 2) & 0x7FFF_FFFF,
        missing,
    ));
    port.assert_alive();
}

#[test]
fn drop_request_of_dropped_packets_leaves_a_stream_readable() {
    let _alone = alone();
    let listener = support::listener(&Options::new().transmission_type(TransmissionType::File));
    let mut peer = RawPeer::new(addr_of(&listener));
    let mut conclusion = peer.conclusion(peer.induce().cookie, "");
    conclusion.extensions.clear();
    // Periodic NAKs, retransmission flag, stream mode.
    let request = Extension::of_words(Extension::HS_REQUEST, &[0x0001_0507, 0b111_0000, 0]);
    let conclusion = conclusion
        .with(request)
        .with(Extension::text(Extension::CONGESTION, "file"));
    peer.conclude(&conclusion).expect("a connection");
    let ours = accept(&listener);
    let first = peer.first_sequence();
    let mut buffer = [0; 1500];

    peer.send(Control::drop_request(2, first + 1, first + 3));
    peer.publish(b"first");
    assert_eq!(
        ours.recv(&mut buffer).map(|length| &buffer[..length]),
        Ok(&b"first"[..])
    );
    peer.send(Data::whole(first + 5, 4, b"last"));
    peer.send(Control::drop_request(2, first + 1, first + 2));
    let acknowledges = |packet: &Packet| match packet {
        Packet::Control(control) => {
            control.kind == Kind::ACK && control.words().first() == Some(&(first + 4))
        }
        Packet::Data(_) => false,
    };
    let answer = peer.receive_where(PATIENCE, acknowledges);
    assert!(
        answer.is_some(),
        "everything before the missing packet is acknowledged"
    );
    peer.send(Data::whole(first + 4, 3, b"missing "));
    let mut received = Vec::new();
    while received.len() < b"missing last".len() {
        let length = ours.recv(&mut buffer).expect("the rest of the stream");
        received.extend_from_slice(&buffer[..length]);
    }
    assert_eq!(received, b"missing last");
}

/// Without delivery times, which a peer may also switch off, messages may be read out of order.
#[test]
fn message_that_reaches_into_another_one_crashes_nothing() {
    let _alone = alone();
    let port = Port::open(options().tsbpd(false));
    let mut peer = RawPeer::new(port.addr);
    let mut conclusion = peer.conclusion(peer.induce().cookie, "");
    conclusion.extensions.clear();
    // Periodic NAKs and the retransmission flag.
    let request = Extension::of_words(Extension::HS_REQUEST, &[0x0001_0507, 0b11_0000, 0]);
    peer.conclude(&conclusion.with(request)).expect("a connection");
    let ours = accept(&port.listener);
    let first = peer.first_sequence();
    let marked = |message, sequence, payload| Data {
        message,
        ..Data::whole(sequence, 0, payload)
    };
    // Message 2, complete, in any order; then message 1, which begins and does not end.
    peer.send(marked(0b110 << 29 | 2, first + 1, b"second"));
    peer.send(marked(0b101 << 29 | 1, first, b"first, "));
    let mut buffer = [0; 1500];
    let mut receive = |expected: &[u8]| {
        let received = ours.recv(&mut buffer).map(|length| &buffer[..length]);
        assert_eq!(received, Ok(expected));
    };
    receive(b"first, second");
    // An acknowledgement looks for readable messages; there are none now.
    peer.send(marked(0b101 << 29 | 3, first + 2, b"third, "));
    let acknowledges = |packet: &Packet| match packet {
        Packet::Control(control) => {
            control.kind == Kind::ACK && control.words().first() == Some(&(first + 3))
        }
        Packet::Data(_) => false,
    };
    let acknowledged = peer.receive_where(PATIENCE, acknowledges);
    acknowledged.expect("an acknowledgement");
    peer.send(marked(0b011 << 29 | 3, first + 3, b"fourth"));
    receive(b"third, fourth");
    port.assert_alive();
}

#[test]
fn nak_of_packets_half_the_range_ahead_stops_no_sender() {
    let _alone = alone();
    let port = Port::open(options());
    for first in [WRAP - 1, WRAP] {
        let (peer, ours) = viewer(&port, 5);
        let current = sequence(&peer, 4);
        let ahead = current.wrapping_add(first) & 0x7FFF_FFFF;
        peer.send(Control::nak(&[Loss::Range(
            ahead,
            ahead.wrapping_add(40) & 0x7FFF_FFFF,
        )]));
        wait_until("the connection to break", || {
            ours.state() != SocketState::Connected
        });
    }
    // One further, and every receiver treats it as an old packet.
    let (peer, _ours) = viewer(&port, 5);
    let old = sequence(&peer, 4).wrapping_add(WRAP + 1) & 0x7FFF_FFFF;
    peer.send(Control::nak(&[
        Loss::One(old),
        Loss::Range(old, old.wrapping_add(40)),
    ]));
    port.sync();
    let (peer, ours) = viewer(&port, 5);
    let ahead = sequence(&peer, 4).wrapping_add(WRAP) & 0x7FFF_FFFF;
    peer.send(Control::nak(&[Loss::One(ahead)]));
    wait_until("the connection to break", || {
        ours.state() != SocketState::Connected
    });
    port.assert_alive();
}

#[test]
fn acknowledgement_of_what_was_not_sent_ends_the_connection() {
    let _alone = alone();
    let port = Port::open(options());
    let (peer, ours) = viewer(&port, 5);
    peer.send(Control::light_ack(sequence(&peer, 5)));
    port.sync();
    assert_eq!(ours.state(), SocketState::Connected);
    for ahead in [6, 1 << 29, WRAP] {
        let (peer, ours) = viewer(&port, 5);
        peer.send(Control::light_ack(sequence(&peer, ahead)));
        wait_until("the connection to break", || {
            ours.state() != SocketState::Connected
        });
    }
    port.assert_alive();
}

#[test]
fn nak_of_old_packets_is_answered_with_few_drop_requests() {
    let _alone = alone();
    let port = Port::open(options());
    let (peer, _ours) = viewer(&port, 5);
    let old: Vec<_> = (0..300)
        .map(|back| Loss::One(sequence(&peer, 4).wrapping_sub(back) & 0x7FFF_FFFF))
        .collect();
    peer.send(Control::nak(&old));
    port.sync();
    peer.send_to_socket(0, Control::handshake(&peer.induction()));
    let mut answers = 0;
    while let Some(packet) = peer.receive(PATIENCE) {
        match packet {
            Packet::Control(control) if control.kind == Kind::DROP_REQUEST => answers += 1,
            packet if packet.as_handshake().is_some() => break,
            _ => {}
        }
    }
    assert!(
        (1..=8).contains(&answers),
        "{answers} DROPREQs in answer to one NAK"
    );
}

#[test]
fn flow_window_sizes_no_memory() {
    let _alone = alone();
    let port = Port::open(options());
    let before = heap_in_use();
    let mut peer = RawPeer::new(port.addr);
    let mut conclusion = peer.conclusion(peer.induce().cookie, "");
    conclusion.flow_window = 10_000_000;
    peer.conclude(&conclusion).expect("a connection");
    let ours = accept(&port.listener);
    let grown = heap_in_use().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes for a connection");
    ours.send(b"message").expect("room to send");
    assert_eq!(peer.view(1), [b"message"]);
}

#[test]
fn mss_below_that_of_any_link_is_refused() {
    let _alone = alone();
    let port = Port::open(options());
    for (mss, expected) in [
        (64, Err(Refused(ROGUE))),
        (575, Err(Refused(ROGUE))),
        (576, Ok(())),
        (65_536, Ok(())),
    ] {
        let mut peer = RawPeer::new(port.addr);
        let mut conclusion = peer.conclusion(peer.induce().cookie, "");
        conclusion.mss = mss;
        assert_eq!(peer.conclude(&conclusion), expected, "MSS {mss}");
    }
}

/// Answers one caller by hand, with that MSS.
fn fake_listener(socket: &UdpSocket, mss: u32) {
    let mut bytes = [0; 2048];
    loop {
        let (length, from) = socket.recv_from(&mut bytes).expect("a packet of the caller");
        let packet = Packet::parse(&bytes[..length]).expect("a packet of SRT");
        let mut answer = packet.as_handshake().expect("a handshake");
        let caller = answer.socket_id;
        answer.version = 5;
        answer.cookie = 1;
        if answer.request == Request::INDUCTION {
            answer.extension = 0x4A17;
        } else {
            answer.extensions.clear();
            answer.extension = 0;
            answer.mss = mss;
            answer.socket_id = 77;
            let mut response = Extension::hs_request(40);
            response.kind = Extension::HS_RESPONSE;
            answer = answer.with(response);
        }
        let is_last = answer.request == Request::CONCLUSION;
        let packet = Packet::from(Control::handshake(&answer)).addressed(caller, 0);
        socket.send_to(&packet.encode(), from).expect("sent");
        if is_last {
            return;
        }
    }
}

#[test]
fn callers_refuse_such_an_mss_as_well() {
    let _alone = alone();
    for (mss, is_accepted) in [(64, false), (575, false), (576, true), (10_000_000, false)] {
        let socket = UdpSocket::bind(V4).expect("a socket");
        let addr = socket.local_addr().expect("an address");
        let listener = thread::spawn(move || fake_listener(&socket, mss));
        let caller = SrtSocket::builder().connect(addr);
        assert_eq!(caller.is_ok(), is_accepted, "MSS {mss}");
        drop(caller);
        listener.join().expect("the listener's thread");
    }
}

fn bonded(number: u32) -> Extension {
    Extension::group(GROUP_ID | number, BROADCAST, 0, 0)
}

#[test]
fn connected_socket_takes_no_further_handshake() {
    let _alone = alone();
    let port = Port::open(options().group_connect(true));
    let (peer, ours) = port.connect();
    let descriptors = open_descriptors();
    for number in 1..40 {
        let mut handshake = peer.conclusion(0, "").with(bonded(number));
        handshake.request = Request::INDUCTION;
        peer.send(Control::handshake(&handshake));
    }
    port.sync();
    assert_eq!(open_descriptors(), descriptors);
    assert_eq!(ours.state(), SocketState::Connected);
    drop(ours);
    port.assert_alive();
}

#[test]
fn handshake_names_one_group() {
    let _alone = alone();
    let port = Port::open(options().group_connect(true));
    let descriptors = open_descriptors();
    let refused = || {
        let mut peer = RawPeer::new(port.addr);
        let mut conclusion = peer.conclusion(peer.induce().cookie, "");
        for number in 1..40 {
            conclusion = conclusion.with(bonded(number));
        }
        peer.conclude(&conclusion)
    };
    assert!(refused().is_err());
    wait_until("the group to be closed", || open_descriptors() <= descriptors);
    port.assert_alive();
}

#[test]
fn settings_of_a_handshake_hold() {
    let _alone = alone();
    let port = Port::open(options());
    let (peer, _ours) = port.connect();
    let request = Control {
        subtype: 1,
        // Version 1.2.0, whose handshakes end with such a packet, and a minute of latency.
        ..Control::new(
            Kind::EXTENSION,
            0,
            Extension::of_words(0, &[0x0001_0200, 0b11, 60_000]).body,
        )
    };
    peer.send(request);
    peer.send_to_socket(0, Control::handshake(&peer.induction()));
    while let Some(packet) = peer.receive(PATIENCE) {
        match packet {
            Packet::Control(control) if control.kind == Kind::EXTENSION => {
                panic!("it was answered: {control:?}")
            }
            packet if packet.as_handshake().is_some() => break,
            _ => {}
        }
    }
}

#[test]
fn reported_round_trip_time_keeps_no_silent_peer() {
    let _alone = alone();
    let port = Port::open(options().peer_idle_timeout(Duration::from_millis(500)));
    let (peer, ours) = viewer(&port, 5);
    ours.send(b"message").expect("room to send");
    assert!(
        peer.receive_where(PATIENCE, |packet| matches!(packet, Packet::Data(_)))
            .is_some()
    );
    let next = sequence(&peer, 6);
    for _ in 0..2 {
        // Four minutes, and as much variance.
        let ack = Extension::of_words(0, &[next, 240_000_000, 240_000_000, 8_192]);
        peer.send(Control::new(Kind::ACK, 9, ack.body));
    }
    port.sync();
    let rtt = ours.stats().expect("a connection").link.rtt;
    assert!(rtt <= Duration::from_secs(10), "{rtt:?}");
    wait_until("the silent peer to be given up", || {
        ours.state() != SocketState::Connected
    });
}

/// The key material of a caller with those options: valid, with its own salt.
fn key_material(options: &Options) -> Vec<u8> {
    let socket = UdpSocket::bind(V4).expect("a socket");
    let addr = socket.local_addr().expect("an address");
    let options = options.clone();
    let caller = thread::spawn(move || SrtSocket::builder().options(options).connect(addr).is_err());
    let mut bytes = [0; 2048];
    let material = loop {
        let (length, from) = socket.recv_from(&mut bytes).expect("a packet of the caller");
        let packet = Packet::parse(&bytes[..length]).expect("a packet of SRT");
        let mut answer = packet.as_handshake().expect("a handshake");
        let material = answer
            .extension(Extension::KM_REQUEST)
            .map(|block| block.body.clone());
        let caller = answer.socket_id;
        answer.version = 5;
        answer.cookie = 1;
        answer.extensions.clear();
        answer.extension = 0x4A17;
        if material.is_some() {
            answer.request = Request(1000 + ROGUE);
        }
        let packet = Packet::from(Control::handshake(&answer)).addressed(caller, 0);
        socket.send_to(&packet.encode(), from).expect("sent");
        if let Some(material) = material {
            break material;
        }
    };
    assert!(caller.join().expect("the caller's thread"), "it was refused");
    material
}

/// Whether the port accepts that key material from a connected peer.
fn takes_key(peer: &RawPeer, material: &[u8]) -> bool {
    const KEY_RESPONSE: u16 = 4;
    peer.send(Control::key_request(material));
    peer.send_to_socket(0, Control::handshake(&peer.induction()));
    let mut is_taken = false;
    while let Some(packet) = peer.receive(PATIENCE) {
        match packet {
            Packet::Control(control) if control.kind == Kind::EXTENSION => {
                is_taken |= control.subtype == KEY_RESPONSE;
            }
            packet if packet.as_handshake().is_some() => return is_taken,
            _ => {}
        }
    }
    panic!("the port no longer answers");
}

#[test]
fn salts_of_key_material_cost_one_derivation_in_ten_seconds() {
    let _alone = alone();
    let passphrase = srt_safe::Passphrase::new("a passphrase").expect("long enough");
    let options = options().passphrase(passphrase);
    let listener = support::listener(&options);
    let [first, second, third] = [(); 3].map(|()| key_material(&options));
    let mut peer = RawPeer::new(addr_of(&listener));
    let first_block = Extension::new(Extension::KM_REQUEST, first.clone());
    let mut conclusion = peer.conclusion(peer.induce().cookie, "").with(first_block);
    conclusion.encryption = 2;
    peer.conclude(&conclusion).expect("a connection");
    let ours = accept(&listener);

    // The odd key with the salt of the even one, as in a refresh by libsrt: nothing is derived.
    let mut odd = first;
    odd[3] = (odd[3] & !0b11) | 0b10;
    assert!(takes_key(&peer, &odd));
    let begun = Instant::now();
    assert!(takes_key(&peer, &second), "the first new salt is taken at once");
    let is_early = |begun: Instant| begun.elapsed() < Duration::from_secs(8);
    for _ in 0..20 {
        assert!(
            !takes_key(&peer, &third) || !is_early(begun),
            "the next one is not"
        );
    }
    // A known key costs nothing.
    let mut odd = second;
    odd[3] = (odd[3] & !0b11) | 0b10;
    assert!(takes_key(&peer, &odd));
    wait_until("the next new salt to be taken", || {
        drop(peer.receive(Duration::from_millis(250)));
        takes_key(&peer, &third)
    });
    assert!(!is_early(begun));
    assert_eq!(ours.state(), SocketState::Connected);
}

/// A handshake as a bonded caller without the passphrase sends it.
fn without_passphrase(peer: &RawPeer, number: u32) -> Handshake {
    peer.conclusion(peer.induce().cookie, "").with(bonded(number))
}

#[test]
fn refused_bonded_callers_leave_no_descriptor() {
    let _alone = alone();
    let passphrase = srt_safe::Passphrase::new("a passphrase").expect("long enough");
    let listener = support::listener(&options().group_connect(true).passphrase(passphrase));
    let peers: Vec<_> = (0..30).map(|_| RawPeer::new(addr_of(&listener))).collect();
    let descriptors = open_descriptors();
    for (number, mut peer) in (1..).zip(peers) {
        let conclusion = without_passphrase(&peer, number);
        assert!(peer.conclude(&conclusion).is_err());
    }
    // The sockets of the peers themselves are closed.
    wait_until("the groups to be closed", || {
        open_descriptors() <= descriptors - 30
    });
}

#[test]
fn bonded_callers_that_leave_before_they_are_accepted_leave_no_descriptor() {
    let _alone = alone();
    let listener = support::listener(&options().group_connect(true));
    let mut peers: Vec<_> = (0..30).map(|_| RawPeer::new(addr_of(&listener))).collect();
    let descriptors = open_descriptors();
    for (number, peer) in (1..).zip(&mut peers) {
        let conclusion = without_passphrase(peer, number);
        peer.conclude(&conclusion).expect("a connection");
        peer.send(Control::shutdown());
    }
    assert!(open_descriptors() > descriptors);
    wait_until("the groups to be closed", || open_descriptors() <= descriptors);
}
