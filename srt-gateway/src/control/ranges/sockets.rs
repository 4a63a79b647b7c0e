//! The UDP sockets of ports of `[[listeners]]`, and the file descriptors that they need.

use std::{io, net::UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use super::PortAddr;
use crate::address::ZonedIp;

/// Binds the UDP socket of a port. For all addresses, one socket serves both families, if the machine supports both.
pub(super) fn bind((address, port): PortAddr) -> io::Result<UdpSocket> {
    let open = |address: ZonedIp| {
        let ip = address.ip();
        let domain = if ip.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        if ip.is_ipv6() {
            socket.set_only_v6(!ip.is_unspecified())?;
        }
        socket.bind(&address.socket_addr(port)?.into())?;
        Ok(socket.into())
    };
    match address {
        Some(ip) => open(ip),
        None => open(ZonedIp::ANY_V6).or_else(|error: io::Error| match error.raw_os_error() {
            // EAFNOSUPPORT, EADDRNOTAVAIL: the machine has no IPv6.
            Some(97 | 99) => open(ZonedIp::ANY_V4),
            _ => Err(error),
        }),
    }
}

/// Raises the descriptor limit: one for each idle port, another for each port when it is open, and a reserve.
pub(super) fn raise_descriptor_limit(ports: usize) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    if ports == 0 {
        return Ok(());
    }
    let needed = u64::try_from(ports).unwrap_or(u64::MAX).saturating_mul(2) + 512;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised)?;
    let least = u64::try_from(ports).unwrap_or(u64::MAX) + 128;
    match maximum {
        Some(maximum) if maximum < least => Err(io::Error::other(format!(
            "{ports} ports need {needed} descriptors, but the system allows only {maximum}: raise the hard \
             limit (ulimit -Hn, LimitNOFILE= of systemd), or list fewer ports"
        ))),
        _ => Ok(()),
    }
}
