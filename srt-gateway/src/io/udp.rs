//! UDP inputs and outputs: sockets, multicast groups, interfaces.
//!
//! Control's thread opens the sockets, which never blocks; the thread of an input or of the outlets uses them.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    time::Instant,
};

use rustix::net::sockopt;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, Socket, Type};

use super::{
    CloseReason,
    outlet::Sink,
    packetiser::{Boundaries, Packetiser},
    rtp::{Framing, Reorder},
    source::{POLL_INTERVAL, Transport},
};
use crate::{
    address::{ZonedIp, interface_index},
    ts::PACKET_LEN,
};

/// Whether datagrams have an RTP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrapping {
    Plain,
    Rtp,
}

/// The source or destination of datagrams, besides the address.
#[derive(Clone, Debug)]
pub(crate) struct UdpOptions {
    pub(crate) port: u16,
    /// The interface of a multicast group, by name or address.
    pub(crate) interface: Option<String>,
    /// `None`: 1 for multicast, the system's default otherwise.
    pub(crate) ttl: Option<u8>,
    /// The only accepted sender.
    pub(crate) source: Option<ZonedIp>,
    /// The socket buffer size in bytes.
    pub(crate) buffer_size: usize,
    /// The local address to send from.
    pub(crate) local_address: Option<ZonedIp>,
    /// Type of service, or traffic class, of sent packets.
    pub(crate) tos: u8,
    /// Whether this host receives its own multicast datagrams.
    pub(crate) echo: bool,
}

/// A message of seven TS packets, into which longer datagrams are cut.
const PIECE: usize = 7 * PACKET_LEN;

/// The longest datagram.
const DATAGRAM_MAX: usize = 65_535;

/// Passes `payload` to `take` in messages that the ring accepts: the whole datagram if it fits.
fn cut(payload: &[u8], take: &mut dyn FnMut(&[u8])) {
    if payload.len() <= crate::data::MESSAGE_MAX {
        take(payload);
    } else {
        payload.chunks(PIECE).for_each(take);
    }
}

/// A network interface, as the configuration names it.
enum Interface {
    Any,
    Address(IpAddr),
    Index(u32),
}

fn interface(target: &UdpOptions) -> io::Result<Interface> {
    let Some(name) = &target.interface else {
        return Ok(Interface::Any);
    };
    match name.parse::<ZonedIp>() {
        Ok(address) if address.zone().is_none() => return Ok(Interface::Address(address.ip())),
        Ok(address) => return interface_index(address.zone().unwrap_or_default()).map(Interface::Index),
        Err(_) => {}
    }
    interface_index(name).map(Interface::Index)
}

fn unsupported(what: &str) -> io::Error {
    io::Error::new(ErrorKind::Unsupported, what.to_owned())
}

/// Opens the socket of an input. `at` is the group, the local address, or None for all addresses. Also returns the only
/// accepted sender, if any.
///
/// # Errors
/// Errors of the system, or a missing interface.
pub(crate) fn open_input(
    target: &UdpOptions,
    at: Option<SocketAddr>,
) -> io::Result<(UdpSocket, Option<SocketAddr>)> {
    let mut addr = at.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, target.port).into());
    let ip = addr.ip();
    if let (true, SocketAddr::V6(group), Interface::Index(index)) =
        (ip.is_multicast(), &mut addr, interface(target)?)
    {
        // The system does not bind a socket to a link-local group without its interface.
        group.set_scope_id(index);
    }
    let sender = target.source.map(|source| source.socket_addr(0)).transpose()?;
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(target.buffer_size)?;
    if ip.is_multicast() {
        // Several sockets may receive one group. Bound to the group rather than to all addresses: otherwise other
        // groups on the port arrive too.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&SockAddr::from(addr))?;
    if ip.is_multicast() {
        join(&socket, target, ip)?;
    }
    socket.set_read_timeout(Some(POLL_INTERVAL))?;
    Ok((socket.into(), sender))
}

fn join(socket: &Socket, target: &UdpOptions, group: IpAddr) -> io::Result<()> {
    match (group, target.source.map(|source| source.ip()), interface(target)?) {
        (IpAddr::V4(group), None, interface) => {
            let interface = match interface {
                Interface::Any => InterfaceIndexOrAddress::Address(Ipv4Addr::UNSPECIFIED),
                Interface::Address(IpAddr::V4(ip)) => InterfaceIndexOrAddress::Address(ip),
                Interface::Index(index) => InterfaceIndexOrAddress::Index(index),
                Interface::Address(IpAddr::V6(_)) => {
                    return Err(unsupported(
                        "an IPv4 group needs an interface's name or IPv4 address",
                    ));
                }
            };
            socket.join_multicast_v4_n(&group, &interface)
        }
        (IpAddr::V4(group), Some(IpAddr::V4(source)), interface) => match interface {
            Interface::Any => socket.join_ssm_v4(&source, &group, &Ipv4Addr::UNSPECIFIED),
            Interface::Address(IpAddr::V4(ip)) => socket.join_ssm_v4(&source, &group, &ip),
            Interface::Index(_) => socket.join_ssm_v4(&source, &group, &address_of(target, group)?),
            Interface::Address(IpAddr::V6(_)) => Err(unsupported(
                "an IPv4 group needs an interface's name or IPv4 address",
            )),
        },
        // No safe binding offers the source-specific join of IPv6, so the whole group is joined and other senders are
        // skipped.
        (IpAddr::V6(group), None | Some(IpAddr::V6(_)), interface) => match interface {
            Interface::Index(index) => socket.join_multicast_v6(&group, index),
            Interface::Any => socket.join_multicast_v6(&group, 0),
            Interface::Address(_) => Err(unsupported(
                "an IPv6 group needs the interface's name in interface=",
            )),
        },
        _ => Err(unsupported("sources= must be of the group's address family")),
    }
}

/// The IPv4 address of the interface in `target` for sending to `group`, as the system chooses it for a socket bound to
/// that interface. Sends nothing.
fn address_of(target: &UdpOptions, group: Ipv4Addr) -> io::Result<Ipv4Addr> {
    let address_for = |to: Ipv4Addr| {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.bind_device(target.interface.as_deref().map(str::as_bytes))?;
        socket.connect(&SockAddr::from(SocketAddr::from((to, target.port))))?;
        let address = socket.local_addr()?.as_socket_ipv4();
        Ok::<_, io::Error>(address.map_or(Ipv4Addr::UNSPECIFIED, |address| *address.ip()))
    };
    // For a group, the system prefers the address of another interface to the loopback address, but only the loopback
    // address can reach a loopback address.
    if let Ok(ip) = address_for(Ipv4Addr::LOCALHOST)
        && ip.is_loopback()
    {
        return Ok(ip);
    }
    let ip = address_for(group)?;
    match ip.is_unspecified() {
        true => Err(unsupported("the interface has no IPv4 address")),
        false => Ok(ip),
    }
}

/// A UDP input.
#[derive(Debug)]
pub(crate) struct UdpIn {
    socket: UdpSocket,
    /// The only accepted sender; its port does not matter.
    sender: Option<SocketAddr>,
    reorder: Option<Reorder>,
    buffer: Box<[u8]>,
}

impl UdpIn {
    pub(crate) fn new(socket: UdpSocket, sender: Option<SocketAddr>, wrapping: Wrapping) -> Self {
        Self {
            socket,
            sender,
            reorder: (wrapping == Wrapping::Rtp).then(Reorder::default),
            buffer: vec![0; DATAGRAM_MAX].into_boxed_slice(),
        }
    }
}

impl Transport for UdpIn {
    fn receive(&mut self, now: Instant, take: &mut dyn FnMut(&[u8])) -> Result<(), CloseReason> {
        let mut take = |payload: &[u8]| cut(payload, take);
        match self.socket.recv_from(&mut self.buffer) {
            Ok((len, from)) if len > 0 && self.sender.is_none_or(|sender| is_of(sender, from)) => {
                match &mut self.reorder {
                    None => take(&self.buffer[..len]),
                    Some(reorder) => reorder.packet(&self.buffer[..len], Instant::now(), &mut take),
                }
            }
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                if let Some(reorder) = &mut self.reorder {
                    reorder.expire(now + POLL_INTERVAL, &mut take);
                }
            }
            Err(error) => return Err(CloseReason::of_io(&error)),
        }
        Ok(())
    }
}

/// Whether a datagram comes from this sender. A sender without a zone may be on any interface.
fn is_of(sender: SocketAddr, from: SocketAddr) -> bool {
    let zone = |addr| match addr {
        SocketAddr::V6(v6) => v6.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    sender.ip() == from.ip().to_canonical() && (zone(sender) == 0 || zone(sender) == zone(from))
}

/// Opens an output's socket.
///
/// # Errors
/// Errors of the system, or a missing interface.
fn open_output(target: &UdpOptions, to: SocketAddr) -> io::Result<Socket> {
    let any = ZonedIp::any_like(&to);
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_send_buffer_size(target.buffer_size)?;
    let to = to.ip();
    // For unicast, `adapter` of srt-live-transmit is the address to send from.
    let named = || target.interface.as_ref().and_then(|name| name.parse().ok());
    let local = match target.local_address {
        None if !to.is_multicast() => named(),
        local => local,
    };
    socket.bind(&SockAddr::from(local.unwrap_or(any).socket_addr(0)?))?;
    if target.tos != 0 && to.is_ipv4() {
        socket.set_tos_v4(target.tos.into())?;
    } else if target.tos != 0 {
        socket.set_tclass_v6(target.tos.into())?;
    }
    if let (Some(ttl), false) = (target.ttl, to.is_multicast()) {
        match to {
            IpAddr::V4(_) => socket.set_ttl_v4(ttl.into())?,
            IpAddr::V6(_) => socket.set_unicast_hops_v6(ttl.into())?,
        }
    }
    if to.is_multicast() {
        let ttl = target.ttl.unwrap_or(1).into();
        match (to, interface(target)?) {
            (IpAddr::V4(_), Interface::Any) => {}
            (IpAddr::V4(_), Interface::Address(IpAddr::V4(ip))) => socket.set_multicast_if_v4(&ip)?,
            (IpAddr::V4(_), Interface::Index(_)) => {
                socket.bind_device(target.interface.as_deref().map(str::as_bytes))?;
            }
            (IpAddr::V6(_), Interface::Any) => {}
            (IpAddr::V6(_), Interface::Index(index)) => socket.set_multicast_if_v6(index)?,
            _ => {
                return Err(unsupported(
                    "interface= is of the other address family than the group",
                ));
            }
        }
        if to.is_ipv4() {
            socket.set_multicast_ttl_v4(ttl)?;
            socket.set_multicast_loop_v4(target.echo)?;
        } else {
            socket.set_multicast_hops_v6(ttl)?;
            socket.set_multicast_loop_v6(target.echo)?;
        }
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The largest packet that the route to `to` takes without fragments (`IP_MTU`), as far as the system knows it now.
fn route_mtu(target: &UdpOptions, to: SocketAddr) -> io::Result<usize> {
    // Only a connected socket reports it, and a connected one would receive errors from hosts where nobody listens.
    let probe = open_output(target, to)?;
    probe.connect(&SockAddr::from(to))?;
    let mtu = match to {
        SocketAddr::V4(_) => sockopt::ip_mtu(&probe)?,
        SocketAddr::V6(_) => sockopt::ipv6_mtu(&probe)?,
    };
    Ok(usize::try_from(mtu).unwrap_or(usize::MAX))
}

/// The most bytes of a stream that fit into a datagram to `to`: `wanted`, or less if a datagram of that size would be sent in
/// fragments. A route that has no room for one packet gets fragments.
fn fitting(mtu: usize, to: SocketAddr, wrapping: Wrapping, wanted: usize) -> usize {
    let ip = if to.is_ipv4() { 20 } else { 40 };
    let rtp = if wrapping == Wrapping::Rtp { 12 } else { 0 };
    let room = mtu.saturating_sub(ip + 8 + rtp);
    if room < PACKET_LEN {
        wanted
    } else {
        wanted.min(room)
    }
}

/// A UDP output. Each datagram holds whole TS packets (RFC 2250, section 2), at most `pkt_size` bytes of them and what
/// the route takes, wherever the source has cut its messages; messages that are not MPEG-TS keep their boundaries.
#[derive(Debug)]
pub(crate) struct UdpOut {
    socket: UdpSocket,
    to: SocketAddr,
    packetiser: Packetiser,
    framing: Option<Framing>,
    buffer: Vec<u8>,
}

impl UdpOut {
    /// Opens an output to `to`, with at most `payload_size` bytes of the stream in a datagram. Sends nothing and does
    /// not block.
    ///
    /// # Errors
    /// Errors of the system, or a missing interface.
    pub(crate) fn open(
        target: &UdpOptions,
        to: SocketAddr,
        payload_size: u16,
        wrapping: Wrapping,
    ) -> io::Result<Self> {
        let socket = open_output(target, to)?;
        let wanted = usize::from(payload_size);
        // Without a route nothing is known yet, and sending will report it.
        let size = route_mtu(target, to).map_or(wanted, |mtu| fitting(mtu, to, wrapping, wanted));
        if size < wanted {
            tracing::info!(%to, pkt_size = wanted, "datagrams hold at most {size} bytes: the route takes no more without fragments");
        }
        Ok(Self {
            socket: socket.into(),
            to,
            packetiser: Packetiser::new(size, Boundaries::WholePackets),
            framing: (wrapping == Wrapping::Rtp).then(Framing::new),
            buffer: Vec::with_capacity(size + 12),
        })
    }
}

impl Sink for UdpOut {
    fn send(&mut self, message: &[u8], now: Instant) -> io::Result<()> {
        let Self {
            socket,
            to,
            packetiser,
            framing,
            buffer,
        } = self;
        let mut dropped = None;
        packetiser.push(message, |payload| {
            let datagram = match framing {
                None => payload,
                Some(framing) => {
                    buffer.clear();
                    buffer.extend(framing.header(now));
                    buffer.extend(payload);
                    &*buffer
                }
            };
            match socket.send_to(datagram, *to) {
                // A host that refuses a datagram may have a receiver the next moment.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
                // This datagram is lost, as on the wire; the following packets keep their boundaries.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    dropped = Some(error);
                    Ok(())
                }
                Err(error) => Err(error),
                Ok(_) => Ok(()),
            }
        })?;
        dropped.map_or(Ok(()), Err)
    }
}
