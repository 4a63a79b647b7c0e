//! Captures everything that is sent to an address of this network.

use super::Packet;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

/// Reads the packets sent to other sockets, whatever their sender. Use it in a network namespace of the test.
#[derive(Debug)]
pub struct Sniffer(Socket);

impl Sniffer {
    /// Opens a raw socket.
    ///
    /// # Panics
    /// Without root or `CAP_NET_RAW`: a test that needs it is not skipped.
    #[must_use]
    pub fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP));
        let socket = socket.expect("a raw socket to read others' packets with: run this test as root");
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a socket takes a time limit");
        Self(socket)
    }

    /// The next datagram, if it is an SRT packet to the port of `to`, with its claimed source address. Also None if
    /// there is none for a moment.
    #[must_use]
    pub fn next(&self, to: SocketAddr) -> Option<(SocketAddr, Packet)> {
        let mut bytes = [0; 2048];
        let length = (&self.0).read(&mut bytes).ok()?;
        // IPv4 without options, then UDP.
        let (headers, payload) = bytes[..length].split_at_checked(28)?;
        let (ip, ports) = (
            headers[12..].first_chunk::<4>()?,
            headers[20..].first_chunk::<4>()?,
        );
        if ports[2..] != to.port().to_be_bytes() {
            return None;
        }
        let from = SocketAddr::from((*ip, u16::from_be_bytes([ports[0], ports[1]])));
        Some((from, Packet::parse(payload)?))
    }
}

impl Default for Sniffer {
    fn default() -> Self {
        Self::new()
    }
}
