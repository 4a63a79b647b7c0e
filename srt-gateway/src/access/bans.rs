//! Bans of addresses and networks: who made them, why, and until when. Plain data; [`RateLimiter`](super::RateLimiter)
//! keeps it behind a lock.
//!
//! A look-up costs one probe per banned prefix length, not one per ban, so a flood does not slow down a gateway with
//! thousands of bans.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use ipnet::IpNet;

use super::rate_limiter::Report;

/// The number of networks that operators may ban at once.
const BANNED: usize = 4096;

/// Who made a ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BannedBy {
    /// An operator, by the name of the token used for the request.
    Operator(Box<str>),
    /// A limit, by its configuration key.
    Limit(&'static str),
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ban {
    /// Without host bits; never IPv4-mapped.
    pub(crate) network: IpNet,
    pub(crate) by: BannedBy,
    /// May be empty.
    pub(crate) reason: Box<str>,
    pub(crate) since: SystemTime,
    pub(crate) until: SystemTime,
}

impl Ban {
    /// A ban that starts now.
    pub(crate) fn new(network: IpNet, by: BannedBy, reason: &str, length: Duration) -> Self {
        let since = SystemTime::now();
        Self {
            network: canonical(network),
            by,
            reason: reason.into(),
            since,
            until: since + length,
        }
    }

    /// The remaining time.
    pub(crate) fn remaining(&self) -> Duration {
        self.until.duration_since(SystemTime::now()).unwrap_or_default()
    }
}

/// `banned by alice at 2026-11-29T20:00:00Z: password guessing, until 2026-11-29T21:00:00Z`.
impl fmt::Display for Ban {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (since, until) = (
            humantime::format_rfc3339_seconds(self.since),
            humantime::format_rfc3339_seconds(self.until),
        );
        match &self.by {
            BannedBy::Operator(token) => write!(f, "banned by {token} at {since}")?,
            BannedBy::Limit(key) => write!(f, "banned automatically by {key} of [limits] at {since}")?,
        }
        if !self.reason.is_empty() {
            write!(f, ": {}", self.reason)?;
        }
        write!(f, ", until {until}")
    }
}

#[derive(Debug)]
struct BanEntry {
    ban: Arc<Ban>,
    until: Instant,
    reported: Option<Instant>,
}

/// The bans made by operators.
#[derive(Debug, Default)]
pub(super) struct Bans {
    held: HashMap<IpNet, BanEntry>,
    /// The prefix lengths in `held`, and possibly some that are no longer used.
    prefixes: BTreeSet<u8>,
}

/// The network in the form in which callers' addresses appear, without host bits.
pub(crate) fn canonical(network: IpNet) -> IpNet {
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
    /// Adds a ban, or replaces the one of the same network. Returns false if there are too many.
    pub(super) fn add(&mut self, ban: Ban, until: Instant, now: Instant) -> bool {
        self.held.retain(|_, held| now < held.until);
        self.prefixes = self.held.keys().map(IpNet::prefix_len).collect();
        let network = ban.network;
        if self.held.len() >= BANNED && !self.held.contains_key(&network) {
            return false;
        }
        self.prefixes.insert(network.prefix_len());
        let held = BanEntry {
            ban: Arc::new(ban),
            until,
            reported: None,
        };
        self.held.insert(network, held);
        true
    }

    /// Returns false if there is no such ban.
    pub(super) fn remove(&mut self, network: IpNet) -> bool {
        self.held.remove(&canonical(network)).is_some()
    }

    /// The bans in force, sorted by address.
    pub(super) fn all(&self, now: Instant) -> Vec<Arc<Ban>> {
        let in_force = self.held.values().filter(|held| now < held.until);
        let mut all: Vec<_> = in_force.map(|held| Arc::clone(&held.ban)).collect();
        all.sort_by_key(|ban| ban.network);
        all
    }

    /// The ban that applies to `peer`, and whether to report the attempt.
    pub(super) fn find(&mut self, peer: IpAddr, now: Instant) -> Option<(Arc<Ban>, Report)> {
        let peer = peer.to_canonical();
        for prefix in &self.prefixes {
            let Ok(network) = IpNet::new(peer, *prefix) else {
                continue;
            };
            if let Some(held) = self.held.get_mut(&network.trunc())
                && now < held.until
            {
                return Some((
                    Arc::clone(&held.ban),
                    Report::once_a_second(&mut held.reported, now),
                ));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn net(text: &str) -> IpNet {
        text.parse()
            .unwrap_or_else(|_| IpNet::from(text.parse::<IpAddr>().unwrap()))
    }

    fn ban(network: IpNet) -> Ban {
        let by = BannedBy::Operator("alice".into());
        Ban::new(network, by, "a test", MINUTE)
    }

    #[test]
    fn a_network_is_banned_with_all_its_addresses_and_no_other() {
        let (mut bans, now) = (Bans::default(), Instant::now());
        let later = now + MINUTE;
        for banned in [
            "203.0.113.7/24",
            "2001:db8::/32",
            "::ffff:192.0.2.1",
            "198.51.100.4",
        ] {
            assert!(bans.add(ban(net(banned)), later, now));
        }
        let mut is_banned = |peer: &str| bans.find(peer.parse().unwrap(), now).is_some();
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
        let all = bans.all(now).into_iter();
        let shown: Vec<_> = all.map(|ban| ban.network.to_string()).collect();
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
        assert_eq!(bans.find("203.0.113.7".parse().unwrap(), now), None);
        assert!(bans.all(later).is_empty());
    }

    #[test]
    fn repeated_attempts_of_a_banned_address_are_reported_once_a_second() {
        let (mut bans, now) = (Bans::default(), Instant::now());
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        bans.add(ban(peer.into()), now + MINUTE, now);
        let mut report = |ms| {
            let found = bans.find(peer, now + Duration::from_millis(ms));
            found.unwrap().1
        };
        assert_eq!(
            [report(0), report(400), report(999)],
            [Report::Yes, Report::No, Report::No]
        );
        assert_eq!(report(1000), Report::Yes);
    }

    #[test]
    fn there_is_an_end_to_what_is_held() {
        let (mut bans, now) = (Bans::default(), Instant::now());
        let of = |number: usize| {
            ban(IpNet::from(IpAddr::from(std::net::Ipv4Addr::from_bits(
                u32::try_from(number).unwrap(),
            ))))
        };
        assert!((0..BANNED).all(|number| bans.add(of(number), now + MINUTE, now)));
        assert!(!bans.add(of(BANNED), now + MINUTE, now), "one too many");
        assert!(bans.add(of(3), now + 2 * MINUTE, now), "a longer ban of the same");
        assert!(
            bans.add(of(BANNED), now + 3 * MINUTE, now + MINUTE),
            "when others have ended"
        );
    }

    #[test]
    fn a_ban_says_who_made_it_when_and_why() {
        let mut ban = ban(net("192.0.2.1"));
        ban.since = SystemTime::UNIX_EPOCH + Duration::from_secs(3600);
        ban.until = ban.since + MINUTE;
        assert_eq!(
            ban.to_string(),
            "banned by alice at 1970-01-01T01:00:00Z: a test, until 1970-01-01T01:01:00Z"
        );
        ban.reason = "".into();
        ban.by = BannedBy::Limit("ban_after_rejections");
        assert_eq!(
            ban.to_string(),
            "banned automatically by ban_after_rejections of [limits] at 1970-01-01T01:00:00Z, until 1970-01-01T01:01:00Z"
        );
    }
}
