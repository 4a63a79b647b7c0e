//! UDP sockets that serve both address families. On such sockets libsrt sets `iptos` and `ipttl` for IPv6 only, so this
//! module sets them for IPv4.

use std::{
    io,
    net::{Ipv6Addr, SocketAddr, UdpSocket},
};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::config::{OptionValue, SrtSettings};

/// Binds a socket to all IPv4 and all IPv6 addresses.
///
/// # Errors
/// The error of the operating system; a machine without IPv6 has no such sockets.
pub(crate) fn bind(port: u16, settings: &SrtSettings) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_only_v6(false)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
    let socket = UdpSocket::from(socket);
    mark(&socket, settings)?;
    Ok(socket)
}

/// Sets TOS and TTL of outgoing IPv4 packets.
///
/// # Errors
/// The operating system rejects the value.
pub(crate) fn mark(socket: &UdpSocket, settings: &SrtSettings) -> io::Result<()> {
    let socket = SockRef::from(socket);
    let option = |name: &str| match settings.options.get(name)?.value {
        OptionValue::Int(number) => u32::try_from(number).ok(),
        _ => None,
    };
    if let Some(tos) = option("iptos") {
        socket.set_tos_v4(tos)?;
    }
    match option("ipttl") {
        Some(ttl) => socket.set_ttl_v4(ttl),
        None => Ok(()),
    }
}
