//! Any datagrams at libsrt's receive path: control and data packets of established connections whose numbers are near what
//! the other side expects, or anywhere, and handshakes with any fields and extensions.
//!
//! The listeners and the connections outlive a run: a run is one to three datagrams, for which nobody waits. A connection
//! that breaks is replaced. Findings besides crashes and the memory limit:
//!
//! - A port does not answer an induction within ten seconds. Each port is asked once per [`PER_FENCE`] datagrams, which also
//!   keeps the target from running ahead of the port's thread.
//! - An ordinary caller is not accepted, or its message does not arrive, within ten seconds ([`PER_CHECK`]).
//!
//! An input alone does not reproduce a finding that depends on the datagrams before it: repeat the whole run with the
//! `-seed` that libFuzzer printed. libsrt is not instrumented, so the target lays out the packets; coverage guides only the
//! choice among them.
#![no_main]

use std::{
    cell::RefCell,
    collections::VecDeque,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use libfuzzer_sys::fuzz_target;
use srt_safe::{
    AccessRequest, Admission, Options, Passphrase, RejectCode, SocketState, SrtListener, SrtSocket,
    TransmissionType,
};

#[path = "../../tests/support/raw/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "a part of the test support, of which this target uses a part"
)]
mod raw;

use raw::{Control, Data, Extension, Handshake, Kind, Packet, RawPeer};

/// How many datagrams a port gets before the target waits for its thread. This many fit its receive queue.
const PER_FENCE: u32 = 192;
/// How many runs pass before an ordinary caller connects to each port.
const PER_CHECK: u64 = 1 << 14;
/// How many runs pass before a line on standard error tells what happened in them.
const PER_REPORT: u64 = 1 << 18;
/// How long an ordinary caller may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// A connection from which nothing has come for this long is replaced.
const SILENCE: Duration = Duration::from_secs(3);
/// How many connections of mutated handshakes stay open.
const STRANGERS: usize = 16;
/// A message as a publisher of MPEG-TS sends it.
const MESSAGE: [u8; 1316] = [0x47; 1316];
/// Sequence numbers have 31 bits.
const SEQUENCE: u32 = u32::MAX >> 1;

/// Control packets that end a connection at once, if their content is arbitrary. The target sends few of these, so that
/// connections last.
const ENDING: [Kind; 3] = [Kind::ACK, Kind::NAK, Kind::SHUTDOWN];
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

/// The input, field by field. Behind its end come numbers that depend on the whole input.
struct Fields<'a> {
    input: &'a [u8],
    behind: u64,
}

impl<'a> Fields<'a> {
    fn new(input: &'a [u8]) -> Self {
        // FNV-1a. A state of zero would stay zero.
        let hash = input.iter().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
        });
        Self {
            input,
            behind: hash | 1,
        }
    }

    fn byte(&mut self) -> u8 {
        if let Some((&first, rest)) = self.input.split_first() {
            self.input = rest;
            return first;
        }
        // Xorshift.
        self.behind ^= self.behind << 13;
        self.behind ^= self.behind >> 7;
        self.behind ^= self.behind << 17;
        (self.behind >> 32) as u8
    }

    fn word(&mut self) -> u32 {
        u32::from_be_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// True once in `times`.
    fn once_in(&mut self, times: u8) -> bool {
        self.byte() % times == times - 1
    }

    /// Mostly a number near `base`; otherwise one near an edge, or any.
    fn near(&mut self, base: u32) -> u32 {
        let small = u32::from(self.byte() % 16);
        match self.byte() % 16 {
            0..=7 => base.wrapping_add(small),
            8..=11 => base.wrapping_sub(small),
            12 => base.wrapping_add(self.edge()).wrapping_sub(small),
            13 => base.wrapping_sub(self.edge()).wrapping_add(small),
            14 => self.edge().wrapping_sub(small),
            _ => self.word(),
        }
    }

    /// Mostly a number shortly before `base`. libsrt ends a connection that names packets which it has not sent.
    fn before(&mut self, base: u32) -> u32 {
        if self.once_in(128) {
            self.near(base)
        } else {
            base.wrapping_sub(u32::from(self.byte() % 32)) & SEQUENCE
        }
    }

    fn edge(&mut self) -> u32 {
        EDGES[usize::from(self.byte()) % EDGES.len()]
    }

    fn words(&mut self, base: u32) -> Vec<u8> {
        let count = if self.once_in(32) {
            364
        } else {
            usize::from(self.byte() % 9)
        };
        (0..count).flat_map(|_| self.near(base).to_be_bytes()).collect()
    }

    /// Numbers and ranges, the last of which may lack its end.
    fn losses(&mut self, last: u32) -> Vec<u8> {
        let count = if self.once_in(32) {
            364
        } else {
            1 + usize::from(self.byte() % 9)
        };
        let mut losses = Vec::new();
        for _ in 0..count {
            let first = self.before(last);
            if self.byte() % 2 == 0 {
                losses.extend((first | 1 << 31).to_be_bytes());
                // A range that ends before it begins is another reason to end the connection.
                let to = if self.once_in(128) {
                    self.before(last)
                } else {
                    first.wrapping_add(1) & SEQUENCE
                };
                losses.extend(to.to_be_bytes());
            } else {
                losses.extend(first.to_be_bytes());
            }
        }
        if self.once_in(64) {
            losses.truncate(usize::from(self.byte()));
        }
        losses
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = usize::from(self.byte()) * most / 255;
        (0..length).map(|_| self.byte()).collect()
    }

    /// Key material as HaiCrypt lays it out, with some bytes changed: the header, a salt, one or two wrapped keys.
    fn key_material(&mut self) -> Vec<u8> {
        let keys = self.byte() % 4;
        let key_words = 2 * (1 + self.byte() % 4);
        let mut material = vec![0x12, 0x20, 0x29, keys, 0, 0, 0, 0, 2, 0, 2, 0, 0, 0, 4, key_words];
        let wrapped = 8 + usize::from(key_words) * 4 * keys.count_ones() as usize;
        material.extend((0..16 + wrapped).map(|_| self.byte()));
        for _ in 0..self.byte() % 3 {
            let at = usize::from(self.byte() % 16);
            material[at] = self.byte();
        }
        if self.once_in(8) {
            material.truncate(usize::from(self.byte()));
        }
        material
    }
}

/// A listener.
struct Port {
    listener: SrtListener,
    addr: SocketAddr,
    /// What an ordinary caller sets.
    options: Options,
    /// Sends the mutated conclusions and asks for the answers that the target waits for.
    stranger: RawPeer,
    /// Datagrams sent since the last such answer.
    unanswered: u32,
}

const PLAIN: usize = 0;
const LOCKED: usize = 1;
const FILES: usize = 2;

impl Port {
    fn open(listening: Options, options: Options) -> Self {
        let admit = |_: &AccessRequest<'_>| -> Result<Admission, RejectCode> { Ok(Admission::new()) };
        let listener = SrtListener::builder()
            .options(listening)
            .access_control(admit)
            .nonblocking()
            .bind("127.0.0.1:0")
            .expect("a listener");
        let addr = listener.local_addr().expect("an address");
        Self {
            listener,
            addr,
            options,
            stranger: RawPeer::new(addr),
            unanswered: 0,
        }
    }

    fn open_all() -> Vec<Self> {
        srt_safe::spare_idle_connections();
        let live = || Options::new().latency(Duration::from_millis(20));
        let secret = || Passphrase::new("a passphrase").expect("long enough");
        // Callers with another passphrase, or none, stay: their key material is read all the same.
        let locked = live().passphrase(secret());
        let files = || Options::new().transmission_type(TransmissionType::File);
        vec![
            Self::open(live().group_connect(true), live()),
            Self::open(locked.clone().enforced_encryption(false), locked),
            Self::open(files(), files()),
        ]
    }

    /// Waits until the port's thread has handled what came before.
    fn fence(&mut self) {
        drop(self.stranger.drain());
        let _ = self.stranger.induce();
        self.unanswered = 0;
    }
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Publisher,
    Viewer,
    /// A publisher without timestamps: libsrt delivers messages as they come, also out of order.
    Untimed,
    Bonded,
    Filtered,
    Locked,
    File,
}

const ROLES: [Role; 10] = [
    Role::Publisher,
    Role::Publisher,
    Role::Viewer,
    Role::Viewer,
    Role::Untimed,
    Role::Untimed,
    Role::Bonded,
    Role::Filtered,
    Role::Locked,
    Role::File,
];

impl Role {
    fn port(self) -> usize {
        match self {
            Self::Locked => LOCKED,
            Self::File => FILES,
            Self::Publisher | Self::Viewer | Self::Untimed | Self::Bonded | Self::Filtered => PLAIN,
        }
    }

    fn conclusion(self, base: Handshake, group: u32) -> Handshake {
        match self {
            Self::Publisher | Self::Viewer | Self::Locked => base,
            Self::Bonded => base.with(Extension::group(0x4000_0000 | (group & 0xFFFF), 1, 0, 1)),
            Self::Filtered => base.with(Extension::text(Extension::FILTER, "fec,cols:4,rows:2")),
            Self::Untimed => Handshake {
                extensions: Vec::new(),
                ..base
            }
            // Encryption, periodic NAKs, retransmission flag.
            .with(Extension::of_words(
                Extension::HS_REQUEST,
                &[0x0001_0507, 0b11_0100, 0],
            )),
            Self::File => Handshake {
                extensions: Vec::new(),
                ..base
            }
            // Periodic NAKs, retransmission flag, stream mode.
            .with(Extension::of_words(
                Extension::HS_REQUEST,
                &[0x0001_0507, 0b111_0000, 0],
            ))
            .with(Extension::text(Extension::CONGESTION, "file")),
        }
    }
}

/// An established connection.
struct Session {
    role: Role,
    peer: RawPeer,
    /// libsrt's end, once it has been accepted.
    ours: Option<SrtSocket>,
    /// The sequence number that libsrt expects next, and the one that it sends next.
    next: u32,
    theirs: u32,
    /// The number of libsrt's last acknowledgement.
    ack: u32,
    message: u32,
    heard: Instant,
    is_shut_down: bool,
}

impl Session {
    /// Connects, however long that takes within [`PATIENCE`].
    fn connect(role: Role, ports: &[Port], group: u32, accept: &mut impl FnMut()) -> Self {
        let addr = ports[role.port()].addr;
        let deadline = Instant::now() + PATIENCE;
        loop {
            accept();
            let mut peer = RawPeer::new(addr);
            let base = peer.conclusion(peer.induce().cookie, "");
            match peer.conclude(&role.conclusion(base, group)) {
                Ok(()) => {
                    return Self {
                        role,
                        ours: None,
                        next: peer.first_sequence(),
                        theirs: peer.answer().sequence,
                        peer,
                        ack: 1,
                        message: 1,
                        heard: Instant::now(),
                        is_shut_down: false,
                    };
                }
                // The backlog may be full of strangers, or an old connection has this port and id.
                Err(refused) => assert!(Instant::now() < deadline, "{refused}"),
            }
        }
    }

    /// Reads what libsrt sent, and exchanges messages at libsrt's end.
    fn tend(&mut self) {
        for packet in self.peer.drain() {
            self.heard = Instant::now();
            match packet {
                Packet::Data(data) => self.theirs = data.sequence.wrapping_add(1) & SEQUENCE,
                Packet::Control(control) if control.kind == Kind::SHUTDOWN => self.is_shut_down = true,
                Packet::Control(control) if control.kind == Kind::ACK => {
                    self.ack = control.info.max(self.ack);
                    if let Some(&next) = control.words().first() {
                        // Jumps ahead and losses that will not be repeated.
                        if self.next.wrapping_sub(next) & SEQUENCE > 256 {
                            self.next = next & SEQUENCE;
                        }
                    }
                }
                Packet::Control(_) => {}
            }
        }
        let Some(ours) = &self.ours else { return };
        let mut buffer = [0; 1500];
        for _ in 0..64 {
            if ours.recv(&mut buffer).is_err() {
                break;
            }
        }
        if self.role != Role::Publisher {
            let _ = ours.send(&MESSAGE);
        }
    }

    fn is_gone(&self) -> bool {
        let is_broken = self
            .ours
            .as_ref()
            .is_some_and(|ours| ours.state() != SocketState::Connected);
        is_broken || self.is_shut_down || self.heard.elapsed() > SILENCE
    }

    /// Sends one datagram to libsrt's end.
    fn fire(&mut self, fields: &mut Fields<'_>) {
        let base = if fields.byte() % 2 == 0 {
            self.theirs
        } else {
            self.next
        };
        match fields.byte() % 16 {
            0..=4 => self.fire_data(fields),
            5 => {
                let next = fields.before(self.theirs);
                self.peer.send(Control::ack(fields.near(self.ack), next));
            }
            6 => self.peer.send(Control::light_ack(fields.before(self.theirs))),
            7 | 8 => self.peer.send(Control::new(
                Kind::NAK,
                0,
                fields.losses(self.theirs.wrapping_sub(1)),
            )),
            9 => {
                let (first, last) = (fields.near(self.next), fields.near(self.next));
                self.peer
                    .send(Control::drop_request(fields.near(self.message), first, last));
            }
            10 => self.peer.send(Control::ackack(fields.near(self.ack))),
            11 => {
                let material = fields.key_material();
                let mut extension = Control::key_request(&material);
                extension.subtype = 3 + u16::from(fields.byte() % 2);
                self.peer.send(extension);
            }
            12 => {
                let mut extension = Control::new(Kind::EXTENSION, 0, fields.words(base));
                extension.subtype = u16::from(fields.byte() % 10);
                self.peer.send(extension);
            }
            13 => {
                let conclusion = handshake(fields, self.peer.conclusion(0, ""));
                self.peer.send(Control::handshake(&conclusion));
            }
            14 => {
                let mut kind = Kind(u16::from(fields.byte() % 10));
                if ENDING.contains(&kind) && !fields.once_in(32) {
                    kind = Kind::KEEPALIVE;
                }
                if fields.once_in(32) {
                    kind = Kind(fields.word() as u16 & 0x7FFF);
                }
                let info = fields.near(self.ack);
                self.peer.send(Control::new(kind, info, fields.words(base)));
            }
            _ => {
                let mut bytes = fields.bytes(96);
                let id = self.peer.answer().socket_id;
                if let Some(destination) = bytes.get_mut(12..16) {
                    destination.copy_from_slice(&id.to_be_bytes());
                }
                // Neither a SHUTDOWN nor, mostly, data from anywhere.
                if bytes.first_chunk() == Some(&[0x80, 5]) {
                    bytes[1] = 1;
                }
                if let Some(sequence) = bytes.first_chunk_mut()
                    && sequence[0] < 0x80
                    && !fields.once_in(32)
                {
                    *sequence = self
                        .next
                        .wrapping_add(u32::from(fields.byte() % 64))
                        .to_be_bytes();
                    sequence[0] &= 0x7F;
                }
                self.peer.send_bytes(&bytes);
            }
        }
    }

    fn fire_data(&mut self, fields: &mut Fields<'_>) {
        let is_next = fields.byte() % 4 != 0;
        let sequence = if is_next {
            self.next
        } else {
            fields.near(self.next)
        };
        let mut data = Data::whole(sequence, self.message, &[]);
        if is_next {
            self.next = self.next.wrapping_add(1) & SEQUENCE;
            self.message += 1;
        } else {
            data.message = Data::whole(0, fields.near(self.message), &[]).message;
        }
        if fields.once_in(4) {
            // Boundary, order, key and retransmission flags.
            data.message ^= fields.word() & 0xFC00_0000;
        }
        data.payload = if fields.once_in(8) {
            fields.bytes(1456)
        } else {
            fields.bytes(48)
        };
        self.peer.send(data);
    }
}

/// A handshake with some fields and extensions changed.
fn handshake(fields: &mut Fields<'_>, base: Handshake) -> Handshake {
    let mut handshake = base;
    for _ in 0..fields.byte() % 3 {
        match fields.byte() % 9 {
            0 => handshake.version = fields.near(5),
            1 => handshake.encryption = fields.near(2) as u16,
            2 => handshake.extension = fields.near(7) as u16,
            3 => handshake.sequence = fields.near(handshake.sequence),
            4 => handshake.mss = fields.near(1500),
            5 => handshake.flow_window = fields.near(8192),
            6 => handshake.request.0 = fields.near(handshake.request.0),
            7 => handshake.cookie = fields.near(handshake.cookie),
            _ => handshake.socket_id = fields.near(handshake.socket_id),
        }
    }
    for _ in 0..fields.byte() % 4 {
        let kind = u16::from(fields.byte() % 10);
        let mut block = match fields.byte() % 5 {
            0 => Extension::group(fields.near(0x4000_0001), fields.byte() % 4, fields.byte(), 1),
            1 => Extension::text(Extension::FILTER, "fec,cols:4,rows:2"),
            2 => Extension::new(kind, fields.bytes(600)),
            3 => Extension::new(3 + u16::from(fields.byte() % 2), fields.key_material()),
            _ => Extension::new(kind, fields.words(0x0001_0507)),
        };
        if fields.byte() % 4 == 0 {
            block.words = fields.near(u32::from(block.words)) as u16;
        }
        handshake = handshake.with(block);
    }
    handshake
}

struct Target {
    ports: Vec<Port>,
    sessions: Vec<Session>,
    strangers: VecDeque<SrtSocket>,
    runs: u64,
    reconnected: u32,
    admitted: u64,
    started: Instant,
}

impl Target {
    fn new() -> Self {
        let ports = Port::open_all();
        let connect = |role: &Role| Session::connect(*role, &ports, 0, &mut || ());
        let sessions = ROLES.iter().map(connect).collect();
        Self {
            ports,
            sessions,
            strangers: VecDeque::new(),
            runs: 0,
            reconnected: 0,
            admitted: 0,
            started: Instant::now(),
        }
    }

    fn run(&mut self, input: &[u8]) {
        let mut fields = Fields::new(input);
        let session = usize::from(fields.byte()) % self.sessions.len();
        let count = 1 + fields.byte() % 3;
        let port = self.sessions[session].role.port();
        for _ in 0..count {
            if fields.byte() == u8::MAX {
                self.knock(port, &mut fields);
            } else {
                self.sessions[session].fire(&mut fields);
            }
        }
        self.ports[port].unanswered += u32::from(count);
        if self.ports[port].unanswered > PER_FENCE {
            self.ports[port].fence();
            self.tend(port);
        }
        self.runs += 1;
        if self.runs % PER_CHECK == 0 {
            self.check();
        }
        if self.runs % PER_REPORT == 0 {
            let seconds = self.started.elapsed().as_secs();
            let (reconnected, admitted) = (self.reconnected, self.admitted);
            eprintln!(
                "{} runs, {seconds} s, {reconnected} reconnected, {admitted} strangers admitted",
                self.runs
            );
        }
    }

    /// Sends a mutated conclusion with a valid cookie to the listener.
    fn knock(&self, port: usize, fields: &mut Fields<'_>) {
        let Port { stranger, addr, .. } = &self.ports[port];
        let cookie = SrtListener::cookie_for(stranger.local_addr(), *addr).expect("the vendored libsrt");
        let mut conclusion = stranger.conclusion(cookie, "");
        // A socket id of its own, or libsrt takes it for a repetition.
        conclusion.socket_id = (fields.word() & 0x3FFF_FFFF) | 1;
        if port == FILES && fields.byte() % 2 == 0 {
            conclusion = Role::File.conclusion(conclusion, 0);
        }
        stranger.send_to_socket(0, Control::handshake(&handshake(fields, conclusion)));
    }

    /// Accepts whoever waits at the port. Gives the socket of the caller at `wanted`, if it is among them.
    fn accept(&mut self, port: usize, wanted: Option<SocketAddr>) -> Option<SrtSocket> {
        let mut found = None;
        while let Ok((socket, addr)) = self.ports[port].listener.accept() {
            if wanted == Some(addr) {
                found = Some(socket);
                continue;
            }
            let of_session =
                |session: &&mut Session| session.ours.is_none() && session.peer.local_addr() == addr;
            match self.sessions.iter_mut().find(of_session) {
                Some(session) => session.ours = Some(socket),
                None => {
                    self.admitted += 1;
                    self.strangers.push_back(socket);
                }
            }
        }
        let surplus = self.strangers.len().saturating_sub(STRANGERS);
        self.strangers.drain(..surplus);
        found
    }

    /// Looks after the connections of the port, and replaces those that are gone.
    fn tend(&mut self, port: usize) {
        self.accept(port, None);
        for at in 0..self.sessions.len() {
            let session = &mut self.sessions[at];
            if session.role.port() != port {
                continue;
            }
            session.tend();
            if session.is_gone() {
                self.replace(at);
            }
        }
    }

    fn replace(&mut self, at: usize) {
        self.reconnected += 1;
        let role = self.sessions[at].role;
        self.sessions[at].ours = None;
        let (ports, strangers) = (&self.ports, &mut self.strangers);
        let accept = &mut || {
            while let Ok((socket, _)) = ports[role.port()].listener.accept() {
                strangers.push_back(socket);
            }
        };
        self.sessions[at] = Session::connect(role, ports, self.reconnected, accept);
        self.accept(role.port(), None);
    }

    /// An ordinary caller connects to each port, and its message arrives.
    fn check(&mut self) {
        for port in 0..self.ports.len() {
            self.ports[port].fence();
            self.tend(port);
            let caller = SrtSocket::builder()
                .options(self.ports[port].options.clone())
                .connect_timeout(PATIENCE)
                .connect(self.ports[port].addr)
                .unwrap_or_else(|error| panic!("port {port} does not let an ordinary caller in: {error}"));
            assert_eq!(
                caller.send(&MESSAGE).ok(),
                Some(MESSAGE.len()),
                "sent through port {port}"
            );
            let addr = caller.local_addr().expect("an address");
            let deadline = Instant::now() + PATIENCE;
            let (mut accepted, mut buffer) = (None, [0; 1500]);
            let received =
                |socket: &SrtSocket, buffer: &mut [u8]| socket.recv(buffer).is_ok_and(|length| length > 0);
            while !accepted
                .as_ref()
                .is_some_and(|socket| received(socket, &mut buffer))
            {
                assert!(
                    Instant::now() < deadline,
                    "port {port} lost an ordinary caller's message"
                );
                accepted = accepted.or_else(|| self.accept(port, Some(addr)));
                thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(buffer[..188], MESSAGE[..188]);
        }
    }
}

thread_local! {
    static TARGET: RefCell<Target> = RefCell::new(Target::new());
}

fuzz_target!(|input: &[u8]| TARGET.with_borrow_mut(|target| target.run(input)));
