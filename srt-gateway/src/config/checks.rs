//! Checks across tables: no address may be listened on twice. Pure.

use std::{collections::BTreeMap, ops::RangeInclusive};

use super::{
    endpoint::{Endpoint, SrtMode, Target},
    fault::Fault,
    model::SrtPort,
    reader::{Field, Located, ReadContext},
    types::{ListenAddr, Location, PortKind},
    url::Direction,
};
use crate::address::ZonedIp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
}

/// An address that will be bound.
#[derive(Clone, Debug)]
struct Claim {
    transport: Transport,
    addr: ListenAddr,
    /// Differs from the port of `addr` for a range.
    ports: RangeInclusive<u16>,
    kind: Option<PortKind>,
    at: Location,
    path: String,
}

impl Claim {
    fn overlaps(&self, other: &Self) -> bool {
        let port = *self.ports.start().max(other.ports.start());
        let meet = port <= *self.ports.end().min(other.ports.end());
        meet && self.transport == other.transport
            && self.addr.with_port(port).overlaps(&other.addr.with_port(port))
    }

    /// The table or stream that it belongs to.
    fn owner(&self) -> &str {
        let table = self.path.strip_suffix(".port").unwrap_or(&self.path);
        table.rsplit_once('.').map_or("", |(owner, _)| owner)
    }
}

/// All addresses that will be bound, in reading order.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    claims: Vec<Claim>,
}

impl Claims {
    /// A port for SRT callers.
    pub(crate) fn port(&mut self, port: &Located<SrtPort>) {
        let addr = port.value.listen;
        self.add(
            Transport::Udp,
            addr,
            Some(port.value.kind),
            port.at.clone(),
            port.path.clone(),
        );
    }

    /// Ports of a backend.
    pub(crate) fn range(&mut self, ports: RangeInclusive<u16>, address: Option<ZonedIp>, item: &Field<'_>) {
        let first = *ports.start();
        let addr = address.map_or(ListenAddr::All(first), |ip| ListenAddr::One(ip, first));
        let (at, path) = (item.location(), item.path().to_owned());
        self.claims.push(Claim {
            transport: Transport::Udp,
            addr,
            ports,
            kind: None,
            at,
            path,
        });
    }

    /// The HTTP API.
    pub(crate) fn api(&mut self, addr: ListenAddr, item: &Field<'_>) {
        self.add(
            Transport::Tcp,
            addr,
            None,
            item.location(),
            item.path().to_owned(),
        );
    }

    /// An input or output, if it listens. Multicast groups may be shared.
    pub(crate) fn endpoint(&mut self, item: &Field<'_>, endpoint: &Endpoint, direction: Direction) {
        let (host, port) = match &endpoint.target {
            Target::Srt(srt) if srt.mode == SrtMode::Listener => (&srt.host, srt.port),
            Target::Udp(udp) | Target::Rtp(udp) if direction == Direction::Input => (&udp.host, udp.port),
            _ => return,
        };
        let addr = match host.as_ref().map(|host| host.parse::<ZonedIp>()) {
            None => ListenAddr::All(port),
            Some(Ok(ip)) if !ip.ip().is_multicast() => ListenAddr::One(ip, port),
            _ => return,
        };
        if endpoint.enabled {
            self.add(
                Transport::Udp,
                addr,
                None,
                item.location(),
                item.path().to_owned(),
            );
        }
    }

    fn add(
        &mut self,
        transport: Transport,
        addr: ListenAddr,
        kind: Option<PortKind>,
        at: Location,
        path: String,
    ) {
        // Port 0 is a different one each time.
        if addr.port() != 0 {
            self.claims.push(Claim {
                transport,
                addr,
                ports: addr.port()..=addr.port(),
                kind,
                at,
                path,
            });
        }
    }

    /// Records addresses that are claimed twice, at the later position.
    pub(crate) fn check(mut self, context: &ReadContext<'_>) {
        self.claims.sort_by_key(|claim| claim.at.span().start);
        // A gateway may have thousands of ports, so each is compared only with those of the same number.
        let mut single: BTreeMap<u16, Vec<&Claim>> = BTreeMap::new();
        let mut ranges: Vec<&Claim> = Vec::new();
        for later in &self.claims {
            let same = single.range(later.ports.clone()).flat_map(|(_, claims)| claims);
            let earlier = same.chain(&ranges).filter(|earlier| earlier.overlaps(later));
            let earlier = earlier.min_by_key(|earlier| earlier.at.span().start).copied();
            if later.ports.start() == later.ports.end() {
                single.entry(*later.ports.start()).or_default().push(later);
            } else {
                ranges.push(later);
            }
            let Some(earlier) = earlier else { continue };
            let what = if later.ports.start() == later.ports.end() {
                later.addr.to_string()
            } else {
                format!("{}-{}", later.ports.start(), later.ports.end())
            };
            let message = format!("{what} is already in use by {}", earlier.path);
            let fault =
                Fault::new(&later.path, later.at.clone(), message).other(earlier.at.clone(), "used here");
            let both = later.kind.is_some() && earlier.kind.is_some() && later.owner() == earlier.owner();
            context.fault(if both {
                fault.help(
                    "to publish and play on one port, use one table `srt`; otherwise give each its own port",
                )
            } else {
                fault.help("give each its own port or address")
            });
        }
    }
}
