//! UDP ports for peers that need a port number (srt-live-transmit and ffmpeg cannot listen on port 0 and report the
//! chosen one).

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the ports that Linux assigns by itself: no socket bound to port 0 can take one between our check and the
/// peer's bind.
const RANGE: Range<u16> = 20_000..32_000;

/// A loopback address with an unused UDP port that no other call returns soon.
///
/// # Panics
/// If all ports of the range are taken.
#[must_use]
pub fn free_udp() -> SocketAddr {
    free_udp_on(Ipv4Addr::LOCALHOST.into())
}

/// The same on another local address.
///
/// # Panics
/// If all ports of the range are taken there, or it is no local address.
#[must_use]
pub fn free_udp_on(ip: IpAddr) -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let length = u32::from(RANGE.end - RANGE.start);
    // Test runners start a process per test: each process starts its search at another port.
    let first = process::id().wrapping_mul(97) % length;
    (0..length)
        .map(|_| (first + NEXT.fetch_add(1, Ordering::Relaxed)) % length)
        .filter_map(|offset| Some(SocketAddr::new(ip, RANGE.start + u16::try_from(offset).ok()?)))
        .find(|address| UdpSocket::bind(address).is_ok())
        .unwrap_or_else(|| panic!("no free UDP port on {ip} in {RANGE:?}"))
}

#[cfg(test)]
mod tests {
    use super::{free_udp, free_udp_on};
    use std::collections::HashSet;
    use std::net::{Ipv6Addr, UdpSocket};

    #[test]
    fn ports_differ_and_can_be_bound() {
        let ports: HashSet<_> = (0..50).map(|_| free_udp()).collect();
        assert_eq!(ports.len(), 50);
        let _bound: Vec<UdpSocket> = ports.iter().map(|port| UdpSocket::bind(port).unwrap()).collect();
        assert!(!ports.contains(&free_udp()));
    }

    #[test]
    fn ipv6_has_ports_too() {
        assert!(free_udp_on(Ipv6Addr::LOCALHOST.into()).is_ipv6());
    }
}
