//! IP addresses with the zone of a link-local IPv6 address, such as `fe80::1%eth0`. Every interface has link-local
//! addresses of the same network, so the system needs the interface to reach one.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    str::FromStr,
};

use socket2::{Domain, Socket, Type};

/// The longest name of an interface in bytes: Linux's `IFNAMSIZ` without the terminator.
const ZONE_MAX: usize = 15;

/// The name or number of a network interface.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Zone {
    bytes: [u8; ZONE_MAX],
    len: u8,
}

impl Zone {
    /// `None`: no interface can have this name.
    fn new(name: &str) -> Option<Self> {
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || "/%[]".contains(c);
        if name.is_empty() || name.len() > ZONE_MAX || name.contains(is_odd) {
            return None;
        }
        let mut bytes = [0; ZONE_MAX];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        let len = u8::try_from(name.len()).ok()?;
        Some(Self { bytes, len })
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

/// An IP address, with the network interface if it is link-local.
///
/// The interface stays a name until a socket is opened, because interfaces come and go, and their numbers change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZonedIp {
    ip: IpAddr,
    zone: Option<Zone>,
}

impl ZonedIp {
    /// All IPv4 addresses.
    pub(crate) const ANY_V4: Self = Self::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    /// All IPv6 addresses.
    pub(crate) const ANY_V6: Self = Self::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED));

    /// An address without a zone.
    #[must_use]
    pub const fn new(ip: IpAddr) -> Self {
        Self { ip, zone: None }
    }

    /// The address without its zone.
    #[must_use]
    pub const fn ip(&self) -> IpAddr {
        self.ip
    }

    /// The interface, by name or number.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_ref().map(Zone::as_str)
    }

    /// All addresses of the same family.
    pub(crate) const fn any_like(of: &SocketAddr) -> Self {
        match of {
            SocketAddr::V4(_) => Self::ANY_V4,
            SocketAddr::V6(_) => Self::ANY_V6,
        }
    }

    /// Whether the system cannot use the address without a zone.
    pub(crate) const fn lacks_zone(&self) -> bool {
        matches!(self.ip, IpAddr::V6(ip) if ip.is_unicast_link_local()) && self.zone.is_none()
    }

    /// The address of a socket. Looks up the interface.
    ///
    /// # Errors
    /// There is currently no such interface.
    pub fn socket_addr(&self, port: u16) -> io::Result<SocketAddr> {
        match (self.ip, self.zone()) {
            (IpAddr::V6(ip), Some(zone)) => Ok(SocketAddrV6::new(ip, port, 0, interface_index(zone)?).into()),
            (ip, _) => Ok(SocketAddr::new(ip, port)),
        }
    }
}

/// The canonical form of a host: an address with a zone in one form, however the URL writes it.
pub(crate) fn in_one_form(host: &str) -> String {
    match host.parse::<ZonedIp>() {
        Ok(ip) if ip.zone.is_some() => ip.to_string(),
        _ => host.to_owned(),
    }
}

/// The number of the network interface with this name; a number stands for itself.
///
/// # Errors
/// There is currently none.
pub(crate) fn interface_index(name: &str) -> io::Result<u32> {
    let any = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    let found = rustix::net::netdevice::name_to_index(&any, name);
    let number = || name.parse().ok().filter(|number| *number != 0);
    found.ok().or_else(number).ok_or_else(|| {
        let message = format!("there is no network interface {name:?}");
        io::Error::new(io::ErrorKind::NotFound, message)
    })
}

/// The name of the network interface with this name or number.
///
/// # Errors
/// There is currently none.
pub(crate) fn interface_name(zone: &str) -> io::Result<String> {
    let index = interface_index(zone)?;
    let any = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    Ok(rustix::net::netdevice::index_to_name(&any, index)?)
}

impl From<IpAddr> for ZonedIp {
    fn from(ip: IpAddr) -> Self {
        Self::new(ip)
    }
}

impl From<SocketAddr> for ZonedIp {
    fn from(addr: SocketAddr) -> Self {
        let zone = match addr {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => Zone::new(&v6.scope_id().to_string()),
            _ => None,
        };
        Self { ip: addr.ip(), zone }
    }
}

/// The text is no address, or has a zone where none is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAddress;

impl FromStr for ZonedIp {
    type Err = NoAddress;

    /// Parses `192.0.2.1`, `2001:db8::1` or `fe80::1%eth0`, and the form in URLs, `fe80::1%25eth0` (RFC 6874).
    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let Some((ip, zone)) = text.split_once('%') else {
            return text.parse().map(Self::new).map_err(|_| NoAddress);
        };
        let ip: Ipv6Addr = ip.parse().map_err(|_| NoAddress)?;
        if !ip.is_unicast_link_local() && !ip.is_multicast() {
            return Err(NoAddress);
        }
        let zone = match zone.strip_prefix("25") {
            Some(decoded) if !decoded.is_empty() => decoded,
            _ => zone,
        };
        Ok(Self {
            ip: ip.into(),
            zone: Some(Zone::new(zone).ok_or(NoAddress)?),
        })
    }
}

impl fmt::Display for ZonedIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.zone() {
            Some(zone) => write!(f, "{}%{zone}", self.ip),
            None => self.ip.fmt(f),
        }
    }
}

impl fmt::Debug for ZonedIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        text.parse::<ZonedIp>().ok().map(|read| read.to_string())
    }

    #[test]
    fn zones_are_read_as_people_write_them() {
        for (text, wanted) in [
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("fe80::1", "fe80::1"),
            ("fe80::1%eth0", "fe80::1%eth0"),
            ("fe80::1%25eth0", "fe80::1%eth0"),
            ("fe80::1%3", "fe80::1%3"),
            ("fe80::1%25", "fe80::1%25"),
            ("fe80::1%eth0.100", "fe80::1%eth0.100"),
            ("ff02::1%eth0", "ff02::1%eth0"),
        ] {
            assert_eq!(read(text).as_deref(), Some(wanted), "{text}");
        }
        for wrong in [
            "",
            "host",
            "fe80::1%",
            "fe80::1%a/b",
            "fe80::1%a b",
            "fe80::1%sixteen-letters-",
            "192.0.2.1%eth0",
            "2001:db8::1%eth0",
            "[fe80::1%eth0]",
            "fe80::1%eth0%eth1",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_interface_is_looked_up_when_a_socket_is_opened() {
        let zoned = |zone: &str| format!("fe80::1%{zone}").parse::<ZonedIp>().unwrap();
        let wanted = |scope| SocketAddr::from(SocketAddrV6::new("fe80::1".parse().unwrap(), 9000, 0, scope));
        let lo = zoned("lo").socket_addr(9000).unwrap();
        assert!(matches!(lo, SocketAddr::V6(v6) if v6.scope_id() != 0), "{lo}");
        assert_eq!(zoned("7").socket_addr(9000).unwrap(), wanted(7));
        let missing = zoned("none0").socket_addr(9000).unwrap_err();
        assert_eq!(missing.to_string(), "there is no network interface \"none0\"");
        assert_eq!(ZonedIp::from(wanted(7)).to_string(), "fe80::1%7");
    }
}
