//! Whom operators have banned: addresses and networks, each for a while. Plain data; the [`Doorman`](super::Doorman) has it
//! behind a lock.
//!
//! A handshake is looked up once for each length of prefix that is banned, not once for each ban: whoever floods a gateway
//! that bans thousands must not make it slow.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    time::{Duration, Instant},
};

use ipnet::IpNet;

use super::doorman::Tell;

/// Networks that operators may ban at once.
const BANNED: usize = 4096;

#[derive(Debug)]
struct Ban {
    until: Instant,
    told: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Bans {
    of: HashMap<IpNet, Ban>,
    /// Of the networks in `of`, and of some that were there.
    prefixes: BTreeSet<u8>,
}

/// An address as callers have it, whichever way it was written; the network without what lies behind its prefix.
pub(super) fn canonical(network: IpNet) -> IpNet {
    let mapped = match network {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => {
            v6.addr().to_ipv4_mapped().map(|v4| (v4, v6.prefix_len() - 96))
        }
        _ => None,
    };
    let of_v4 = mapped.and_then(|(v4, prefix)| IpNet::new(v4.into(), prefix).ok());
    of_v4.unwrap_or(network).trunc()
}

impl Bans {
    /// False: too many are there.
    pub(super) fn add(&mut self, network: IpNet, until: Instant, now: Instant) -> bool {
        self.of.retain(|_, ban| now < ban.until);
        self.prefixes = self.of.keys().map(IpNet::prefix_len).collect();
        let network = canonical(network);
        if self.of.len() >= BANNED && !self.of.contains_key(&network) {
            return false;
        }
        self.prefixes.insert(network.prefix_len());
        self.of.insert(network, Ban { until, told: None });
        true
    }

    /// False: it is not there.
    pub(super) fn remove(&mut self, network: IpNet) -> bool {
        self.of.remove(&canonical(network)).is_some()
    }

    /// In force, by address.
    pub(super) fn all(&self, now: Instant) -> Vec<(IpNet, Instant)> {
        let held = self.of.iter().filter(|(_, ban)| now < ban.until);
        let mut all: Vec<_> = held.map(|(network, ban)| (*network, ban.until)).collect();
        all.sort();
        all
    }

    /// Whether `peer` is banned, and then whether the record is to hear of it.
    pub(super) fn look(&mut self, peer: IpAddr, now: Instant) -> Option<Tell> {
        let peer = peer.to_canonical();
        for prefix in &self.prefixes {
            let Ok(network) = IpNet::new(peer, *prefix) else {
                continue;
            };
            if let Some(ban) = self.of.get_mut(&network.trunc())
                && now < ban.until
            {
                return Some(Tell::now(&mut ban.told, now));
            }
        }
        None
    }
}

impl Tell {
    /// Yes once a second.
    pub(super) fn now(told: &mut Option<Instant>, now: Instant) -> Self {
        if told.is_some_and(|told| now.duration_since(told) < Duration::from_secs(1)) {
            return Self::No;
        }
        *told = Some(now);
        Self::Yes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse()
            .unwrap_or_else(|_| IpNet::from(text.parse::<IpAddr>().unwrap()))
    }

    #[test]
    fn a_network_is_banned_with_all_its_addresses_and_no_other() {
        let (mut bans, now) = (Bans::default(), Instant::now());
        let later = now + Duration::from_secs(60);
        for banned in [
            "203.0.113.7/24",
            "2001:db8::/32",
            "::ffff:192.0.2.1",
            "198.51.100.4",
        ] {
            assert!(bans.add(net(banned), later, now));
        }
        let mut is_banned = |peer: &str| bans.look(peer.parse().unwrap(), now).is_some();
        for inside in [
            "203.0.113.255",
            "::ffff:203.0.113.1",
            "2001:db8:ffff::1",
            "192.0.2.1",
            "198.51.100.4",
        ] {
            assert!(is_banned(inside), "{inside}");
        }
        for outside in ["203.0.114.0", "2001:db9::1", "192.0.2.2", "198.51.100.5"] {
            assert!(!is_banned(outside), "{outside}");
        }
        let shown: Vec<_> = bans
            .all(now)
            .into_iter()
            .map(|(network, _)| network.to_string())
            .collect();
        assert_eq!(
            shown,
            [
                "192.0.2.1/32",
                "198.51.100.4/32",
                "203.0.113.0/24",
                "2001:db8::/32"
            ]
        );
        assert!(bans.remove(net("203.0.113.0/24")) && !bans.remove(net("203.0.113.0/24")));
        assert_eq!(bans.look("203.0.113.7".parse().unwrap(), now), None);
        assert!(bans.all(later).is_empty());
    }

    #[test]
    fn who_knocks_again_and_again_is_told_of_once_a_second() {
        let (mut bans, now) = (Bans::default(), Instant::now());
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        bans.add(peer.into(), now + Duration::from_secs(60), now);
        let mut look = |ms| bans.look(peer, now + Duration::from_millis(ms));
        assert_eq!(
            [look(0), look(400), look(999)],
            [Some(Tell::Yes), Some(Tell::No), Some(Tell::No)]
        );
        assert_eq!(look(1000), Some(Tell::Yes));
    }

    #[test]
    fn there_is_an_end_to_what_is_held() {
        let (mut bans, now) = (Bans::default(), Instant::now());
        let of = |number: usize| {
            IpNet::from(IpAddr::from(std::net::Ipv4Addr::from_bits(
                u32::try_from(number).unwrap(),
            )))
        };
        let minute = Duration::from_secs(60);
        assert!((0..BANNED).all(|number| bans.add(of(number), now + minute, now)));
        assert!(!bans.add(of(BANNED), now + minute, now), "one too many");
        assert!(bans.add(of(3), now + 2 * minute, now), "a longer ban of the same");
        assert!(
            bans.add(of(BANNED), now + 3 * minute, now + minute),
            "when others have ended"
        );
    }
}
