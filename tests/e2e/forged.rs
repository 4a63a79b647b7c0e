//! Senders that forge their source address, each test in its own network: they get nothing, cannot make the gateway
//! send to others, and disturb no session, whether they guess or know the numbers of a foreign session.

use crate::common::{DEADLINE, DEMO, PLAY, PUBLISH, options};
use srt_e2e::client::{Publisher, Viewer};
use srt_e2e::in_process::TestGateway;
use srt_e2e::namespace::Namespace;
use srt_e2e::pace::Tail;
use srt_e2e::raw::{Control, Data, Forger, Handshake, Loss, Packet, RawPeer, Sniffer};
use srt_e2e::source::StampedTs;
use srt_e2e::wait::wait_until;
use srt_gateway::config::PortKind;
use srt_safe::{Passphrase, SrtListener};
use std::net::{SocketAddr, UdpSocket};

const NETWORK: &str = "198.51.100.0/24";
const RATE: u64 = 5_000_000;

fn at(host: u8) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, host], 0))
}

/// A port that one address may use, and one refusal suffices for a ban.
const GUARDED: &str = r#"
[srt]
port = "198.51.100.1:0"
[srt_defaults]
allow = ["198.51.100.9"]
[limits]
ban_after_rejections = 1
[streams."live/demo"]
"#;

/// Every datagram that has arrived by now.
fn drain(socket: &UdpSocket) -> Vec<Vec<u8>> {
    socket.set_nonblocking(true).unwrap();
    let mut bytes = [0; 2048];
    std::iter::from_fn(|| {
        let length = socket.recv(&mut bytes).ok()?;
        Some(bytes[..length].to_vec())
    })
    .collect()
}

/// Connects as an allowed caller. All earlier packets have been handled when this returns.
#[track_caller]
fn connect_innocent(host: u8, to: SocketAddr, stream_id: &str) -> RawPeer {
    let mut peer = RawPeer::from_ip(at(host).ip(), to);
    let conclusion = peer.conclusion(peer.induce().cookie, stream_id);
    peer.conclude(&conclusion)
        .unwrap_or_else(|refused| panic!("an innocent caller is {refused}"));
    peer
}

#[test]
fn forged_handshakes_let_nobody_in_and_ban_nobody() {
    Namespace::new(&[NETWORK]).run(|| {
        let gateway = TestGateway::start(GUARDED);
        let addr = gateway.addr(PortKind::Both);
        let victim = UdpSocket::bind(at(9)).unwrap();
        let spoofed = victim.local_addr().unwrap();
        // The forger has its own libsrt with any address: the reply to the victim is no secret.
        let library = SrtListener::builder().bind(at(66)).unwrap();
        victim
            .send_to(&induction(spoofed.port()), library.local_addr().unwrap())
            .unwrap();
        victim.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut bytes = [0; 2048];
        let length = victim.recv(&mut bytes).unwrap();
        let learned = Packet::parse(&bytes[..length]).unwrap().as_handshake().unwrap();

        let forger = Forger::new();
        let mut sent = 0;
        for (number, cookie) in [learned.cookie, 0, 1, u32::MAX]
            .into_iter()
            .cycle()
            .take(80)
            .enumerate()
        {
            let id = 1000 + u32::try_from(number).unwrap();
            let stream = if number % 2 == 0 {
                PLAY
            } else {
                "#!::r=nowhere,m=request"
            };
            let conclusion = Handshake::conclusion(id, 5_000, cookie, stream);
            let packet = Packet::from(Control::handshake(&conclusion)).encode();
            let hello = induction(spoofed.port());
            sent += packet.len() + hello.len();
            forger.send(spoofed, addr, &hello);
            forger.send(spoofed, addr, &packet);
        }
        let publisher = connect_innocent(9, addr, PUBLISH);
        wait_until(DEADLINE, "the session of the innocent", || {
            let own = publisher.local_addr();
            gateway.sessions().iter().any(|session| session.peer == own)
        });
        assert_eq!(gateway.sessions().len(), 1, "{:?}", gateway.sessions());
        assert!(gateway.rejections().is_empty(), "{:?}", gateway.rejections());
        drop(publisher);
        let answers = drain(&victim);
        let received: usize = answers.iter().map(Vec::len).sum();
        assert!(received <= sent, "{received} bytes to a third party for {sent}");
        for answer in answers {
            let handshake = Packet::parse(&answer).unwrap().as_handshake();
            assert!(handshake.is_some_and(|handshake| handshake.refusal().is_none()));
        }
    });
}

fn induction(port: u16) -> Vec<u8> {
    Packet::from(Control::handshake(&Handshake::induction(port.into(), 5_000))).encode()
}

/// The next data packet to `to` that is not the forger's own.
fn next_data(sniffer: &Sniffer, to: SocketAddr) -> Option<Data> {
    match sniffer.next(to)? {
        (from, Packet::Data(data)) if from.ip() != at(66).ip() => Some(data),
        _ => None,
    }
}

/// The packets that a forger sends to a session whose numbers it knows.
pub(crate) fn attacks(id: u32, next: u32) -> Vec<Vec<u8>> {
    let mut packets: Vec<Packet> = vec![
        Control::shutdown().into(),
        Control::drop_request(0, next, next + 500).into(),
        Control::light_ack(next + 1000).into(),
        Control::ack(1, next + 1000).into(),
        Control::nak(&[Loss::Range(0, next)]).into(),
        Control::peer_error(4000).into(),
        Control::key_request(&[0x12; 104]).into(),
        Control::key_response(&[0; 4]).into(),
        Control::handshake(&Handshake::conclusion(1, next, 0, "")).into(),
        Control::ackack(1).into(),
        Control::keepalive().into(),
    ];
    packets.extend((0..20).map(|ahead| Data::whole(next + ahead, 1 + ahead, &[0xEE; 1316]).into()));
    packets
        .into_iter()
        .map(|packet| packet.addressed(id, 1).encode())
        .collect()
}

#[test]
fn packets_of_others_change_nothing_in_a_session() {
    Namespace::new(&[NETWORK]).run(|| {
        let gateway = TestGateway::start(
            "[srt]\nport = \"198.51.100.1:0\"\n[streams_default]\naccept_unknown = true\n",
        );
        let addr = gateway.addr(PortKind::Both);
        let mut publisher = connect_innocent(2, addr, PUBLISH);
        let mut viewer = connect_innocent(3, addr, PLAY);
        gateway.wait_viewers(DEMO, 1, DEADLINE);
        let source = StampedTs::generate(2, 140, RATE);
        let own = publisher.local_addr();
        let forger = Forger::new();
        let mut received = Vec::new();
        for message in source.bytes().chunks(1316) {
            let next = publisher.publish(message) + 1;
            // From another address, from another port of the same one, and from the viewer's.
            for from in [
                SocketAddr::new(at(66).ip(), own.port()),
                SocketAddr::new(own.ip(), own.port() ^ 1),
                viewer.local_addr(),
            ] {
                for packet in attacks(publisher.answer().socket_id, next) {
                    forger.send(from, addr, &packet);
                }
            }
            for packet in attacks(viewer.answer().socket_id, viewer.answer().sequence) {
                forger.send(own, addr, &packet);
            }
            received.extend(viewer.view(1).concat());
        }
        assert!(received == *source.bytes(), "not the same bytes");
        assert_eq!(gateway.sessions().len(), 2);
    });
}

#[test]
fn packets_of_others_change_nothing_in_an_encrypted_session() {
    const SECRET: &str = "a passphrase of the test";
    Namespace::new(&[NETWORK]).run(|| {
        let gateway = TestGateway::start(&format!(
            "[srt]\nport = \"198.51.100.1:0\"\npassphrase = \"{SECRET}\"\n[streams_default]\naccept_unknown = true\n"
        ));
        let addr = gateway.addr(PortKind::Both);
        let secret = || options().passphrase(Passphrase::new(SECRET).unwrap());
        let sniffer = Sniffer::new();
        let source = StampedTs::generate(3, 4_900, RATE);
        let viewer = Viewer::connect(addr, PLAY, secret());
        gateway.wait_viewers(DEMO, 1, DEADLINE);
        let publisher = Publisher::connect(addr, PUBLISH, secret(), (source.bytes(), RATE, Tail::Close));
        // The forger can read the path; the packets that it sends have another address.
        let (forger, mut attacked) = (Forger::new(), 0);
        while viewer.len() < source.bytes().len() {
            assert!(viewer.is_connected(), "the viewer lost its connection");
            let Some(data) = next_data(&sniffer, addr) else {
                continue;
            };
            assert_ne!(data.message & (0b11 << 27), 0, "not encrypted");
            if data.sequence.is_multiple_of(8) {
                attacked += 1;
                for packet in attacks(data.destination, data.sequence + 1) {
                    forger.send(at(66), addr, &packet);
                }
            }
        }
        assert!(attacked > 20, "{attacked} times");
        publisher.close();
        assert!(viewer.finish().bytes == *source.bytes(), "not the same bytes");
    });
}
