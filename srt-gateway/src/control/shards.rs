//! The UDP sockets of a port that several sockets share (`SO_REUSEPORT`), so that libsrt runs a receiving thread for
//! each and the kernel distributes callers among them. The set never changes while the port is open: one socket more or
//! less would redistribute all connections.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    num::NonZeroU32,
};

use socket2::{Domain, Protocol, Socket, Type};

/// Binds `count` sockets to one address. Port 0 selects a free port, the same for all.
///
/// # Errors
/// The error of the operating system; `AddrInUse` also if another program with shared ports has this one.
pub(super) fn bind(addr: SocketAddr, count: NonZeroU32) -> io::Result<Vec<UdpSocket>> {
    if addr.port() != 0 {
        // Otherwise the kernel would let us share the port with another gateway of the same user, which would receive
        // half of our callers.
        drop(bind_one(addr, Sharing::Nobody)?);
    }
    let first = bind_one(addr, Sharing::Shards)?;
    let addr = first.local_addr()?;
    let others = (1..count.get()).map(|_| bind_one(addr, Sharing::Shards));
    std::iter::once(Ok(first)).chain(others).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Nobody,
    Shards,
}

fn bind_one(addr: SocketAddr, sharing: Sharing) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        // Another listener serves the IPv4 addresses.
        socket.set_only_v6(true)?;
    }
    if sharing == Sharing::Shards {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_have_one_port_and_nobody_else_gets_in() {
        let three = NonZeroU32::new(3).unwrap();
        let sockets = bind("127.0.0.1:0".parse().unwrap(), three).unwrap();
        let addr = sockets[0].local_addr().unwrap();
        assert_eq!(sockets.len(), 3);
        assert!(sockets.iter().all(|socket| socket.local_addr().unwrap() == addr));
        assert_eq!(bind(addr, three).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
