//! Attacks while the reference stream runs. None of them waits for the gateway longer than a moment, and none fails
//! when it is refused: the reference stream measures their effect.

use super::ground::{Attack, Ground, Until, at};
use crate::forged;
use srt_e2e::innocent::Innocent;
use srt_e2e::raw::{Control, Data, Extension, Forger, Handshake, Kind, Loss, Packet, RawPeer, Sniffer};
use srt_e2e::rng::Rng;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(super) const ATTACKS: [(&str, Attack); 16] = [
    ("drop requests of half a billion messages", drop_requests),
    ("loss reports of everything", loss_reports),
    ("acknowledgements of the future", future_acknowledgements),
    ("key requests with new salts", key_requests),
    ("forged inductions", forged_inductions),
    ("forged conclusions with guessed cookies", forged_conclusions),
    ("replayed cookies", replayed_cookies),
    ("forged packets for the innocent's sockets", forged_packets),
    ("wrong keys", wrong_keys),
    ("packet filters of 32000 columns", packet_filters),
    ("group blocks", group_blocks),
    ("bonded callers without a key", keyless_bonded_callers),
    ("absurd flow windows and MSS", absurd_sizes),
    ("random datagrams", random_datagrams),
    ("random handshakes", random_handshakes),
    ("silent connections to the API", silent_connections),
];

/// Those on a gateway that asks a hook.
pub(super) const ATTACKS_WITH_HOOK: [(&str, Attack); 1] = [("callers of a slow hook", slow_callers)];

/// How long an attacker waits for an answer: the gateway may answer only the repetition of a conclusion.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two rounds of a flood.
const ROUND: Duration = Duration::from_millis(10);

/// Between two callers of a storm.
const APART: Duration = Duration::from_millis(3);

/// Less than half of all sequence numbers: libsrt treats it as a step forward.
const FAR: u32 = 500_000_000;

/// The bit that distinguishes the id of a group from that of a socket.
const GROUP: u32 = 1 << 30;

/// An admitted peer.
struct Session {
    peer: RawPeer,
    id: u32,
    /// The gateway's first sequence number.
    first: u32,
}

impl Session {
    fn open(ground: &Ground, host: u8, mode: &str) -> Option<Self> {
        let peer = RawPeer::from_ip(at(host), ground.srt);
        let stream = match mode {
            "request" => Innocent::STREAM.to_owned(),
            _ => format!("hostile-{}", peer.local_addr().port()),
        };
        let cookie = cookie(&peer)?;
        let conclusion = peer.conclusion(cookie, &format!("#!::r={stream},m={mode}"));
        let answer = peer.exchange(&conclusion, PATIENCE)?;
        answer.refusal().is_none().then_some(Self {
            id: answer.socket_id,
            first: answer.sequence,
            peer,
        })
    }

    fn send(&self, packet: impl Into<Packet>) {
        self.peer.send_to_socket(self.id, packet);
    }

    /// The packet after the last one that has arrived, and whether the gateway has closed the connection.
    fn next(&self) -> (Option<u32>, bool) {
        let (mut next, mut is_closed) = (None, false);
        for packet in self.peer.drain() {
            match packet {
                Packet::Data(data) => next = Some(data.sequence + 1),
                Packet::Control(control) => is_closed |= control.kind == Kind::SHUTDOWN,
            }
        }
        (next, is_closed)
    }
}

fn cookie(peer: &RawPeer) -> Option<u32> {
    Some(peer.exchange(&peer.induction(), PATIENCE)?.cookie)
}

/// Opens sessions, a new one whenever the gateway closes the previous one, and repeats `round` in each with the number
/// of the next packet from the gateway. Returns the number of rounds.
fn in_sessions(ground: &Ground, until: &Until, mode: &str, round: impl Fn(&Session, u32)) -> usize {
    let mut rounds = 0;
    for host in (2..250).cycle() {
        let Some(session) = Session::open(ground, host, mode) else {
            if until.goes_on(ROUND) {
                continue;
            }
            break;
        };
        let mut next = session.first;
        loop {
            let (seen, is_closed) = session.next();
            next = seen.unwrap_or(next);
            round(&session, next);
            rounds += 1;
            if !until.goes_on(ROUND) {
                return rounds;
            }
            if is_closed {
                break;
            }
        }
    }
    rounds
}

fn drop_requests(ground: &Ground, until: &Until) -> usize {
    if let Some(viewer) = Session::open(ground, 2, "request") {
        let first = viewer.peer.first_sequence();
        // After a gap, so that something is missing.
        viewer.send(Data::whole(first + 1, 2, &[0x47; 188]));
        viewer.send(Control::drop_request(1, first, first + FAR));
    }
    in_sessions(ground, until, "publish", |session, _| {
        let first = session.peer.first_sequence();
        session.send(Data::whole(first + 5, 6, &[0x47; 188]));
        session.send(Control::drop_request(1, first, first + FAR));
        session.send(Control::drop_request(
            0,
            first,
            first.wrapping_sub(2) & 0x7FFF_FFFF,
        ));
    })
}

fn loss_reports(ground: &Ground, until: &Until) -> usize {
    in_sessions(ground, until, "request", |session, next| {
        session.send(Control::nak(&[Loss::Range(session.first, next.wrapping_sub(1))]));
        session.send(Control::nak(&[Loss::Range(
            next.wrapping_sub(500),
            next.wrapping_sub(1),
        )]));
    })
}

fn future_acknowledgements(ground: &Ground, until: &Until) -> usize {
    in_sessions(ground, until, "request", |session, next| {
        session.send(Control::light_ack(next));
        session.send(Control::ack(1, next + 100_000));
        session.send(Control::light_ack(next + FAR));
    })
}

fn key_requests(ground: &Ground, until: &Until) -> usize {
    let rng = RefCell::new(Rng::new(1));
    in_sessions(ground, until, "publish", |session, _| {
        for _ in 0..10 {
            session.send(Control::key_request(&key_material(&mut rng.borrow_mut())));
        }
    })
}

/// Key material as libsrt sends it for AES-256, wrapped with an unknown passphrase.
fn key_material(rng: &mut Rng) -> Vec<u8> {
    let mut material = vec![0x12, 0x20, 0x29, 0x01, 0, 0, 0, 0, 2, 0, 2, 0, 0, 0, 4, 8];
    material.extend((0..16 + 40).map(|_| rng.next_u64().to_le_bytes()[0]));
    material
}

/// Sends `packets` of the forger in each round.
fn forge(
    ground: &Ground,
    until: &Until,
    packets: usize,
    mut packet: impl FnMut(&mut Rng) -> (SocketAddr, Vec<u8>),
) -> usize {
    let (forger, mut rng, mut sent) = (Forger::new(), Rng::new(2), 0);
    while until.goes_on(ROUND) {
        for _ in 0..packets {
            let (from, bytes) = packet(&mut rng);
            forger.send(from, ground.srt, &bytes);
            sent += 1;
        }
    }
    sent
}

/// An address and port of an uninvolved host.
fn anybody(rng: &mut Rng) -> SocketAddr {
    let [host, low, high, ..] = rng.next_u64().to_le_bytes();
    SocketAddr::new(at(host), u16::from_le_bytes([low, high]) | 1024)
}

fn number(rng: &mut Rng) -> u32 {
    u32::try_from(rng.next_u64() >> 33).unwrap_or_default()
}

fn handshake(handshake: &Handshake) -> Vec<u8> {
    Packet::from(Control::handshake(handshake)).encode()
}

fn forged_inductions(ground: &Ground, until: &Until) -> usize {
    forge(ground, until, 50, |rng| {
        (
            anybody(rng),
            handshake(&Handshake::induction(number(rng), number(rng))),
        )
    })
}

fn forged_conclusions(ground: &Ground, until: &Until) -> usize {
    forge(ground, until, 50, |rng| {
        let stream = format!("#!::r={},m=request", Innocent::STREAM);
        let conclusion = Handshake::conclusion(number(rng), number(rng), number(rng), &stream);
        (anybody(rng), handshake(&conclusion))
    })
}

fn replayed_cookies(ground: &Ground, until: &Until) -> usize {
    let peer = RawPeer::from_ip(at(9), ground.srt);
    let Some(cookie) = cookie(&peer) else {
        return 0;
    };
    forge(ground, until, 50, |rng| {
        let stream = format!("#!::r={},m=request", Innocent::STREAM);
        let conclusion = Handshake::conclusion(number(rng), number(rng), cookie, &stream);
        (anybody(rng), handshake(&conclusion))
    })
}

fn forged_packets(ground: &Ground, until: &Until) -> usize {
    let (sniffer, mut ids) = (Sniffer::new(), BTreeMap::new());
    // Those of the publisher and of both viewers.
    while ids.len() < 3 && until.goes_on(Duration::ZERO) {
        match sniffer.next(ground.srt) {
            Some((_, Packet::Data(data))) => drop(ids.insert(data.destination, data.sequence)),
            Some((_, Packet::Control(control))) if control.destination != 0 => {
                ids.entry(control.destination).or_insert(1);
            }
            _ => {}
        }
    }
    let mut ids = ids.iter().cycle();
    let forger = Forger::new();
    let (mut rng, mut sent) = (Rng::new(3), 0);
    while let (true, Some((id, next))) = (until.goes_on(ROUND), ids.next()) {
        for packet in forged::attacks(*id, *next) {
            forger.send(anybody(&mut rng), ground.srt, &packet);
            sent += 1;
        }
    }
    sent
}

/// Callers from many addresses that have proven their address. `change` modifies an ordinary conclusion. Each repeats
/// its conclusion once, as callers do. Returns the number of callers.
fn storm(
    ground: &Ground,
    until: &Until,
    stream: &str,
    mut change: impl FnMut(&mut Rng, Handshake) -> Handshake,
) -> usize {
    let mut rng = Rng::new(4);
    let mut callers: Vec<(RawPeer, Vec<u8>)> = Vec::new();
    for host in (2..250).cycle() {
        if !until.goes_on(APART) {
            break;
        }
        let peer = RawPeer::from_ip(at(host), ground.srt);
        let Some(cookie) = cookie(&peer) else { continue };
        let name = stream.replace("{}", &callers.len().to_string());
        let conclusion = handshake(&change(&mut rng, peer.conclusion(cookie, &name)));
        peer.send_bytes(&conclusion);
        callers.push((peer, conclusion));
        if let Some((earlier, conclusion)) = callers.len().checked_sub(50).and_then(|at| callers.get(at)) {
            earlier.send_bytes(conclusion);
        }
    }
    callers.len()
}

fn wrong_keys(ground: &Ground, until: &Until) -> usize {
    storm(ground, until, "#!::r=secret,m=publish", |rng, conclusion| {
        conclusion.with(Extension::new(Extension::KM_REQUEST, key_material(rng)))
    })
}

fn packet_filters(ground: &Ground, until: &Until) -> usize {
    let mut rows = [1, 32_000, 16_000, -32_000].into_iter().cycle();
    storm(ground, until, "#!::r=hostile-{},m=publish", |_, conclusion| {
        let filter = format!("fec,cols:32000,rows:{}", rows.next().unwrap_or(1));
        conclusion.with(Extension::text(Extension::FILTER, &filter))
    })
}

fn group_blocks(ground: &Ground, until: &Until) -> usize {
    storm(
        ground,
        until,
        "#!::r=hostile-{},m=publish",
        |rng, mut conclusion| {
            let [kind, flags, blocks, ..] = rng.next_u64().to_le_bytes();
            for _ in 0..blocks % 4 + 1 {
                let id = number(rng) | GROUP;
                conclusion = conclusion.with(Extension::group(id, kind % 5, flags, 1));
            }
            conclusion
        },
    )
}

fn keyless_bonded_callers(ground: &Ground, until: &Until) -> usize {
    storm(ground, until, "#!::r=secret,m=request", |rng, conclusion| {
        conclusion.with(Extension::group(number(rng) | GROUP, 2, 0, 1))
    })
}

fn absurd_sizes(ground: &Ground, until: &Until) -> usize {
    const SIZES: [u32; 9] = [0, 1, 28, 44, 575, 1501, 65_535, u32::MAX / 2, u32::MAX];
    let mut sizes = SIZES
        .into_iter()
        .flat_map(|mss| SIZES.map(|window| (mss, window)))
        .cycle();
    storm(
        ground,
        until,
        "#!::r=hostile-{},m=publish",
        |_, mut conclusion| {
            (conclusion.mss, conclusion.flow_window) = sizes.next().unwrap_or_default();
            conclusion
        },
    )
}

fn bytes(rng: &mut Rng, length: usize) -> Vec<u8> {
    (0..length).map(|_| rng.next_u64().to_le_bytes()[0]).collect()
}

fn random_datagrams(ground: &Ground, until: &Until) -> usize {
    forge(ground, until, 40, |rng| {
        let length = usize::try_from(rng.next_u64() % 1456).unwrap_or_default();
        (anybody(rng), bytes(rng, length))
    })
}

fn random_handshakes(ground: &Ground, until: &Until) -> usize {
    let peers: Vec<_> = (2..20)
        .map(|host| RawPeer::from_ip(at(host), ground.srt))
        .collect();
    let cookies: Vec<_> = peers.iter().map(cookie).collect();
    let (mut rng, mut sent) = (Rng::new(5), 0);
    while until.goes_on(ROUND) {
        for (peer, cookie) in peers.iter().zip(&cookies) {
            let name = String::from_utf8_lossy(&bytes(&mut rng, 60)).into_owned();
            let mut conclusion = peer.conclusion(cookie.unwrap_or_default(), &name);
            for kind in 3..10 {
                let [length, ..] = rng.next_u64().to_le_bytes();
                let mut block = Extension::new(kind, bytes(&mut rng, usize::from(length % 100)));
                if length % 3 == 0 {
                    block.words = block.words.wrapping_add(u16::from(length));
                }
                conclusion = conclusion.with(block);
            }
            conclusion.socket_id = number(&mut rng);
            peer.send_bytes(&handshake(&conclusion));
            sent += 1;
        }
    }
    sent
}

fn silent_connections(ground: &Ground, until: &Until) -> usize {
    let mut open = Vec::new();
    while until.goes_on(ROUND) {
        if open.len() < 600 {
            open.extend((0..10).filter_map(|_| TcpStream::connect_timeout(&ground.api, PATIENCE).ok()));
        }
    }
    open.len()
}

fn slow_callers(ground: &Ground, until: &Until) -> usize {
    storm(ground, until, "#!::r=slow-{},m=publish", |_, conclusion| {
        conclusion
    })
}
