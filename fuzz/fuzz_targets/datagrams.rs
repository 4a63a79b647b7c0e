//! Any datagrams at libsrt's receive path: handshakes with any fields and extensions, and control and data packets of a
//! connection whose numbers are near what the other side expects, or anywhere. A run ends with a handshake that must be
//! answered: a thread that spins or waits is a finding.
//!
//! libsrt is not instrumented, so inputs are packets laid out by the target rather than what coverage would find.
#![no_main]

use std::{net::SocketAddr, sync::OnceLock, thread, time::Duration};

use libfuzzer_sys::fuzz_target;
use srt_safe::{Options, SrtListener};

#[path = "../../tests/support/raw/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "a part of the test support, of which this target uses a part"
)]
mod raw;

use raw::{Control, Data, Extension, Handshake, Kind, RawPeer};

/// Numbers that limits are near.
const EDGES: [u32; 12] = [
    0,
    1,
    2,
    31,
    1 << 10,
    1 << 14,
    1 << 28,
    0x3FFF_FFFE,
    0x3FFF_FFFF,
    0x4000_0000,
    0x7FFF_FFFF,
    u32::MAX,
];

/// The input, field by field. Zeros behind its end.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&first, rest)) => {
                self.0 = rest;
                first
            }
            None => 0,
        }
    }

    fn word(&mut self) -> u32 {
        u32::from_be_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// A number near `base`, near an edge from there, or any.
    fn near(&mut self, base: u32) -> u32 {
        let small = u32::from(self.byte() % 16);
        let edge = EDGES[usize::from(self.byte()) % EDGES.len()];
        match self.byte() % 5 {
            0 => base.wrapping_add(small),
            1 => base.wrapping_sub(small),
            2 => base.wrapping_add(edge).wrapping_sub(small),
            3 => edge.wrapping_sub(small),
            _ => self.word(),
        }
    }

    fn words(&mut self, base: u32) -> Vec<u8> {
        let count = if self.byte() % 8 == 0 {
            364
        } else {
            usize::from(self.byte() % 9)
        };
        (0..count).flat_map(|_| self.near(base).to_be_bytes()).collect()
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = usize::from(self.byte()) * most / 255;
        (0..length).map(|_| self.byte()).collect()
    }
}

struct Port {
    addr: SocketAddr,
    encrypted: SocketAddr,
}

/// Accepts what comes, sends something to it, and takes what it sends.
fn serve(listener: SrtListener) {
    let mut open = Vec::new();
    let mut buffer = [0; 1500];
    loop {
        if let Ok((socket, _)) = listener.accept_timeout(Duration::from_millis(5)) {
            if socket.set_nonblocking().is_ok() {
                open.push(socket);
            }
        }
        if open.len() > 20 {
            drop(open.remove(0));
        }
        for socket in &open {
            for _ in 0..4 {
                if socket.send(&buffer[..1316]).is_err() && socket.recv(&mut buffer).is_err() {
                    break;
                }
            }
        }
    }
}

fn port() -> &'static Port {
    static PORT: OnceLock<Port> = OnceLock::new();
    PORT.get_or_init(|| {
        srt_safe::spare_idle_connections();
        let listen = |options: Options| {
            let listener = SrtListener::builder()
                .options(options)
                .bind("127.0.0.1:0")
                .expect("a listener");
            let addr = listener.local_addr().expect("an address");
            thread::spawn(move || serve(listener));
            addr
        };
        let options = || {
            Options::new()
                .latency(Duration::from_millis(20))
                .group_connect(true)
        };
        let passphrase = srt_safe::Passphrase::new("a passphrase").expect("long enough");
        Port {
            addr: listen(options()),
            encrypted: listen(options().passphrase(passphrase)),
        }
    })
}

fn handshake(fields: &mut Fields<'_>, base: Handshake) -> Handshake {
    let mut handshake = base;
    for _ in 0..fields.byte() % 3 {
        match fields.byte() % 8 {
            0 => handshake.version = fields.near(5),
            1 => handshake.encryption = fields.near(2) as u16,
            2 => handshake.extension = fields.near(7) as u16,
            3 => handshake.sequence = fields.near(handshake.sequence),
            4 => handshake.mss = fields.near(1500),
            5 => handshake.flow_window = fields.near(8192),
            6 => handshake.request.0 = fields.near(handshake.request.0),
            _ => handshake.socket_id = fields.near(handshake.socket_id),
        }
    }
    for _ in 0..fields.byte() % 4 {
        let kind = u16::from(fields.byte() % 10);
        let mut block = match fields.byte() % 4 {
            0 => Extension::group(fields.near(0x4000_0001), fields.byte() % 4, fields.byte(), 1),
            1 => Extension::text(Extension::FILTER, "fec,cols:4,rows:2"),
            2 => Extension::new(kind, fields.bytes(600)),
            _ => Extension::new(kind, fields.words(0x0001_0507)),
        };
        if fields.byte() % 4 == 0 {
            block.words = fields.near(u32::from(block.words)) as u16;
        }
        handshake = handshake.with(block);
    }
    handshake
}

fn in_connection(fields: &mut Fields<'_>, peer: &mut RawPeer) {
    let theirs = peer.answer().sequence;
    let ours = peer.first_sequence();
    let base = if fields.byte() % 2 == 0 { theirs } else { ours };
    match fields.byte() % 12 {
        0..=2 => {
            let mut data = Data::whole(fields.near(ours), fields.near(1), &[]);
            data.message ^= fields.word() & 0xFC00_0000 & u32::from(fields.byte() % 2).wrapping_neg();
            data.payload = fields.bytes(1456);
            peer.send(data);
        }
        3 => peer.send(Control::ack(fields.near(1), fields.near(theirs))),
        4 => peer.send(Control::light_ack(fields.near(theirs))),
        5 => peer.send(Control::new(Kind::NAK, 0, fields.words(base | 1 << 31))),
        6 => peer.send(Control::new(Kind::NAK, 0, fields.words(base))),
        7 => peer.send(Control::drop_request(
            fields.near(1),
            fields.near(ours),
            fields.near(ours),
        )),
        8 => {
            let mut extension = Control::new(Kind::EXTENSION, 0, fields.words(base));
            extension.subtype = u16::from(fields.byte() % 10);
            peer.send(extension);
        }
        9 => {
            let conclusion = peer.conclusion(0, "");
            peer.send(Control::handshake(&handshake(fields, conclusion)));
        }
        10 => {
            let kind = Kind(u16::from(fields.byte() % 10));
            peer.send(Control::new(kind, fields.near(1), fields.words(base)));
        }
        _ => {
            let id = peer.answer().socket_id;
            let mut bytes = fields.bytes(64);
            if let Some(destination) = bytes.get_mut(12..16) {
                destination.copy_from_slice(&id.to_be_bytes());
            }
            peer.send_bytes(&bytes);
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let mut fields = Fields(input);
    let port = port();
    let is_encrypted = fields.byte() % 8 == 0;
    let addr = if is_encrypted { port.encrypted } else { port.addr };
    let mut peer = RawPeer::new(addr);
    let cookie = peer.induce().cookie;
    if is_encrypted || fields.byte() % 4 == 0 {
        for _ in 0..4 {
            let conclusion = peer.conclusion(cookie, "");
            let conclusion = handshake(&mut fields, conclusion);
            peer.send_to_socket(0, Control::handshake(&conclusion));
        }
    } else {
        let mut conclusion = peer.conclusion(cookie, "");
        if fields.byte() % 4 == 0 {
            conclusion = conclusion.with(Extension::group(
                0x4000_0000 | u32::from(fields.byte() % 4),
                1,
                0,
                1,
            ));
        }
        if peer.conclude(&conclusion).is_ok() {
            while !fields.0.is_empty() {
                in_connection(&mut fields, &mut peer);
            }
            peer.send(Control::shutdown());
        }
    }
    let _ = RawPeer::new(addr).induce();
});
