//! Datagrams with a foreign source address.

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::net::{SocketAddr, SocketAddrV4};

/// Sends UDP datagrams from any IPv4 address. Use it on loopback or in a network namespace of the test.
#[derive(Debug)]
pub struct Forger(Socket);

impl Forger {
    /// Opens a raw socket.
    ///
    /// # Panics
    /// Without root or `CAP_NET_RAW`: a test that forges cannot run otherwise, and is not skipped.
    #[must_use]
    pub fn new() -> Self {
        // IPPROTO_RAW: we write the IP header.
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255)));
        Self(socket.expect("a raw socket to forge addresses with: run this test as root"))
    }

    /// Sends `payload` to `to` as if `from` had sent it.
    ///
    /// # Panics
    /// If an address is not IPv4, or the system refuses.
    pub fn send(&self, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        let (SocketAddr::V4(from), SocketAddr::V4(to)) = (from, to) else {
            panic!("a forger has IPv4 addresses only, not {from} and {to}");
        };
        let sent = self.0.send_to(
            &datagram(from, to, payload),
            &SockAddr::from(SocketAddrV4::new(*to.ip(), 0)),
        );
        sent.unwrap_or_else(|error| panic!("a datagram from {from} to {to}: {error}"));
    }
}

impl Default for Forger {
    fn default() -> Self {
        Self::new()
    }
}

/// IP header, UDP header and payload. The system fills in the IP checksum and identification; UDP over IPv4 needs no
/// checksum.
fn datagram(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 8).expect("a payload that fits a datagram");
    let total = length.checked_add(20).expect("a payload that fits a packet");
    let mut bytes = vec![0x45, 0];
    bytes.extend(total.to_be_bytes());
    // Identification and fragment, time to live, UDP, checksum.
    bytes.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    bytes.extend(from.ip().octets());
    bytes.extend(to.ip().octets());
    bytes.extend(from.port().to_be_bytes());
    bytes.extend(to.port().to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::Forger;
    use std::net::UdpSocket;
    use std::time::Duration;

    #[test]
    fn datagram_arrives_from_the_address_it_claims() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let from = "127.66.0.1:4242".parse().unwrap();
        Forger::new().send(from, socket.local_addr().unwrap(), b"not from there");
        let mut bytes = [0; 64];
        let (length, claimed) = socket.recv_from(&mut bytes).unwrap();
        assert_eq!((&bytes[..length], claimed), (b"not from there".as_slice(), from));
    }
}
