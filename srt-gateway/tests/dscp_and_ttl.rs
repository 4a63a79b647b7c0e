//! `iptos`, `ipttl` and `ttl` apply to every kind of socket: ports, accepted sockets, calls, listeners of both address
//! families, and plain datagrams. Read from the packets, in a network namespace.

#[allow(
    dead_code,
    unreachable_pub,
    reason = "the end-to-end tests' own; a part is used here"
)]
#[path = "../../tests/support/namespace.rs"]
mod namespace;
mod peers;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use namespace::Namespace;
use peers::{Call, Sink, Source, gateway, wait_until};
use socket2::{Domain, Protocol, Socket, Type};
use srt_safe::{SrtListener, SrtSocket};

const PUBLISH: &str = "#!::r=x,m=publish";
const PLAY: &str = "#!::r=x,m=request";

/// Type of service and time to live of packets, by source and destination port.
type Marks = BTreeMap<(u16, u16), BTreeSet<(u8, u8)>>;

/// Captures all packets sent over IPv4 in this namespace.
struct Watch {
    seen: Arc<Mutex<Marks>>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Watch {
    fn start() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let (seen, stop) = (Arc::<Mutex<Marks>>::default(), Arc::<AtomicBool>::default());
        let shared = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let (seen, stop) = shared;
            let mut bytes = [0; 2048];
            while !stop.load(Relaxed) {
                let Ok(28..) = (&socket).read(&mut bytes) else {
                    continue;
                };
                let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
                let marks = (bytes[1], bytes[8]);
                seen.lock()
                    .unwrap()
                    .entry((port(20), port(22)))
                    .or_default()
                    .insert(marks);
            }
        });
        Self {
            seen,
            stop,
            thread: Some(thread),
        }
    }

    /// The marks of packets sent from this port.
    fn from(&self, from: u16) -> BTreeSet<(u8, u8)> {
        let seen = self.seen.lock().unwrap();
        let of_port = seen.iter().filter(|((port, _), _)| *port == from);
        of_port.flat_map(|(_, marks)| marks.clone()).collect()
    }

    /// The marks of packets sent to this port.
    fn to(&self, to: u16) -> BTreeSet<(u8, u8)> {
        let seen = self.seen.lock().unwrap();
        let to_port = seen.iter().filter(|((_, port), _)| *port == to);
        to_port.flat_map(|(_, marks)| marks.clone()).collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// A process that is killed when dropped.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        // The process may have ended already.
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

fn relay(from: &str, to: &str) -> Peer {
    let mut command = Command::new(env!("CARGO_BIN_EXE_srt-gateway"));
    command.args(["relay", from, to]).stderr(Stdio::null());
    Peer(command.spawn().unwrap())
}

#[test]
fn all_sockets_have_dscp_and_ttl() {
    Namespace::new(&["198.51.100.0/24"]).run(|| {
        Command::new("ip")
            .args(["route", "add", "multicast", "239.0.0.0/8", "dev", "lo"])
            .status()
            .unwrap();
        let watch = Watch::start();
        // A raw socket receives datagrams of groups that somebody has joined.
        let group = UdpSocket::bind("239.9.9.9:9106").unwrap();
        group
            .join_multicast_v4(&[239, 9, 9, 9].into(), &Ipv4Addr::LOCALHOST)
            .unwrap();
        let pushed = SrtListener::builder()
            .bind("198.51.100.2:9101".parse::<SocketAddr>().unwrap())
            .unwrap();
        let _relay = gateway(
            r#"
            [srt]
            port = "198.51.100.1:9000"
            options = { iptos = 0xb8, ipttl = 33 }
            [srt_play]
            port = "198.51.100.1:9001"
            shards = 2
            options = { iptos = 0xb8, ipttl = 33 }
            [streams.x]
            outputs = [
                "srt://198.51.100.2:9101?iptos=0xb8&ipttl=33",
                "srt://198.51.100.1:9102?mode=listener&iptos=0xb8&ipttl=33",
                "srt://:9103?mode=listener&iptos=0xb8&ipttl=33",
                "udp://198.51.100.2:9105?iptos=0xb8&ttl=33",
                "rtp://239.9.9.9:9106?iptos=0xb8&ttl=33&interface=lo",
            ]
            "#,
        );
        let at = |port: u16| SocketAddr::from(([198, 51, 100, 1], port));
        let _source = Source::publish(1, at(9000), &Call::named(PUBLISH));
        let _accepted = pushed.accept_timeout(Duration::from_secs(20)).unwrap();
        let viewers = [9000, 9001].map(|port| Sink::play(at(port), &Call::named(PLAY)));
        let outputs = [9102, 9103].map(|port| Sink::receive(Call::default().connect(at(port))));
        for sink in viewers.iter().chain(&outputs) {
            sink.wait_more(20);
        }
        let _receiver = relay(
            "srt://:9201?mode=listener&iptos=0xb8&ipttl=33",
            "udp://198.51.100.2:9202?iptos=0xb8&ttl=33",
        );
        let socket: SrtSocket = Call::default().connect(at(9201));
        let _fed = Source::start(2, move |message| socket.send(message).is_ok());
        let wanted = BTreeSet::from([(0xb8, 33)]);
        for port in [9000, 9001, 9102, 9103, 9201] {
            wait_until(&format!("packets from port {port}"), || {
                !watch.from(port).is_empty()
            });
            assert_eq!(watch.from(port), wanted, "from port {port}");
        }
        for port in [9101, 9105, 9106, 9202] {
            wait_until(&format!("packets to port {port}"), || !watch.to(port).is_empty());
            assert_eq!(watch.to(port), wanted, "to port {port}");
        }
    });
}
