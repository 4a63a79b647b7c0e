//! UDP sockets for callers of both address families. libsrt marks the packets of such a socket (`iptos`, `ipttl`) in IPv6 only,
//! so the marks of IPv4 are set here.

use std::{
    io,
    net::{Ipv6Addr, SocketAddr, UdpSocket},
};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::config::{OptionValue, SrtSettings};

/// A socket on all IPv4 and all IPv6 addresses.
///
/// # Errors
/// What the system says; a machine without IPv6 has no such sockets.
pub(crate) fn bind(port: u16, settings: &SrtSettings) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_only_v6(false)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
    let socket = UdpSocket::from(socket);
    mark(&socket, settings)?;
    Ok(socket)
}

/// Marks what the socket sends by IPv4 as the settings say.
///
/// # Errors
/// The system does not take the value.
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
