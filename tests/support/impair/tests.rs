//! The proxy on real sockets, between a client and an echoing server.

use super::{Impairment, ImpairmentBuilder, Link, Way};
use crate::wait::wait_until;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(5);

/// A client behind the proxy and its server.
struct Path {
    server: UdpSocket,
    client: UdpSocket,
    proxy: Impairment,
}

impl Path {
    fn through(builder: ImpairmentBuilder) -> Self {
        let server = socket();
        let proxy = builder.start(server.local_addr().unwrap());
        let client = socket();
        client.connect(proxy.addr()).unwrap();
        Self {
            server,
            client,
            proxy,
        }
    }

    /// Sends the numbers `range` to the server and returns those that arrive, in their order. At most 200 at once: a
    /// socket's default buffer holds few more.
    fn send(&self, range: std::ops::Range<u32>) -> Vec<u32> {
        let mut arrived = Vec::new();
        let total = self.proxy.counters(Way::ToServer).received + range.len() as u64;
        for number in range {
            self.client.send(&number.to_be_bytes()).unwrap();
        }
        wait_until(DEADLINE, "all datagrams to be decided", || {
            let now = self.proxy.counters(Way::ToServer);
            let gone = now.forwarded + now.refused + now.lost + now.cut + now.overflowed;
            now.received == total && gone == now.received + now.duplicated
        });
        self.server.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4];
        while self.server.recv(&mut buffer).is_ok() {
            arrived.push(u32::from_be_bytes(buffer));
        }
        self.server.set_nonblocking(false).unwrap();
        arrived
    }

    /// Sends one datagram to the server and back; returns the address that the server saw.
    fn ping(&self) -> SocketAddr {
        self.client.send(b"ping").unwrap();
        let mut buffer = [0; 16];
        let (length, from) = self.server.recv_from(&mut buffer).unwrap();
        self.server.send_to(&buffer[..length], from).unwrap();
        assert_eq!(self.client.recv(&mut buffer).unwrap(), 4);
        from
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

#[test]
fn clean_path_changes_nothing() {
    let path = Path::through(Impairment::builder());
    assert_eq!(path.send(0..200), (0..200).collect::<Vec<_>>());
    path.ping();
    wait_until(DEADLINE, "the answer to be counted", || {
        path.proxy.counters(Way::ToClient).forwarded == 1
    });
}

#[test]
fn same_seed_loses_the_same_datagrams() {
    let arrived = |seed| Path::through(Impairment::builder().loss(0.1).seed(seed)).send(0..200);
    let first = arrived(3);
    assert!(
        (160..200).contains(&first.len()),
        "{} of 200 arrived at 10 % loss",
        first.len()
    );
    assert_eq!(first, arrived(3));
    assert_ne!(first, arrived(4));
}

#[test]
fn duplicates_and_reordering_reach_the_server() {
    let hold = Duration::from_millis(2);
    let path = Path::through(Impairment::builder().duplicate(0.1).reorder(0.1, hold).seed(2));
    let arrived = path.send(0..200);
    let counters = path.proxy.counters(Way::ToServer);
    assert_eq!(arrived.len() as u64, 200 + counters.duplicated);
    assert!(counters.duplicated > 0 && counters.held > 0, "{counters:?}");
    assert!(!arrived.is_sorted(), "nothing was overtaken");
    let mut numbers = arrived;
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
}

#[test]
fn delay_is_one_way_in_each_direction() {
    let path = Path::through(Impairment::builder().delay(Duration::from_millis(40)));
    let start = Instant::now();
    path.ping();
    let round_trip = start.elapsed();
    assert!(round_trip >= Duration::from_millis(80), "{round_trip:?}");
    assert!(round_trip < Duration::from_secs(2), "{round_trip:?}");
}

#[test]
fn directions_are_set_apart() {
    let builder = Impairment::builder().link(Way::ToServer, Link::clean().loss(1.0));
    let path = Path::through(builder);
    assert!(path.send(0..20).is_empty());
    path.proxy.reshape(Way::ToServer, Link::clean());
    path.ping();
}

#[test]
fn cut_loses_all_until_healed() {
    let path = Path::through(Impairment::builder());
    path.ping();
    path.proxy.cut();
    assert!(path.send(0..50).is_empty());
    assert_eq!(path.proxy.counters(Way::ToServer).cut, 50);
    path.proxy.heal();
    assert_eq!(path.send(50..60), (50..60).collect::<Vec<_>>());
}

#[test]
fn rebinding_changes_the_port_that_the_server_sees() {
    let path = Path::through(Impairment::builder());
    let before = path.ping();
    path.proxy.rebind();
    let after = path.ping();
    assert_ne!(before, after);
    // The server's datagrams to the old port no longer reach the client; those to the new one do.
    path.server.send_to(b"old", before).unwrap();
    path.server.send_to(b"new", after).unwrap();
    let mut buffer = [0; 16];
    let length = path.client.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"new");
}

#[test]
fn each_client_has_its_own_upstream_port() {
    let path = Path::through(Impairment::builder());
    let other = Path {
        client: socket(),
        ..Path::through(Impairment::builder())
    };
    other.client.connect(path.proxy.addr()).unwrap();
    let first = path.ping();
    other.client.send(b"hello").unwrap();
    let mut buffer = [0; 16];
    let (_, second) = path.server.recv_from(&mut buffer).unwrap();
    assert_ne!(first, second);
    path.server.send_to(b"second", second).unwrap();
    let length = other.client.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"second");
    assert_eq!(path.proxy.clients(), 2);
}

#[test]
fn a_target_that_listens_late_is_reached() {
    let reserved = socket();
    let target = reserved.local_addr().unwrap();
    drop(reserved);
    let proxy = Impairment::builder().start(target);
    let client = socket();
    client.send_to(b"too early", proxy.addr()).unwrap();
    wait_until(DEADLINE, "the early datagram", || {
        proxy.counters(Way::ToServer).forwarded == 1
    });
    let server = UdpSocket::bind(target).unwrap();
    server.set_read_timeout(Some(DEADLINE)).unwrap();
    client.send_to(b"in time", proxy.addr()).unwrap();
    let mut buffer = [0; 16];
    let length = server.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"in time");
}
