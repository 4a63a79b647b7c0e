//! `[limits]`: how many handshakes an address may begin, and bans. Asked before anything else is done for a caller.
//!
//! Runs in the listen callbacks, under a lock of its own that is held for one look-up. Addresses of this machine are never
//! limited: a relay here (a bonding receiver, a proxy) speaks for many. IPv6 callers count by their /64.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use ipnet::IpNet;

use super::bans::{self, Bans};
use crate::config::Limits;

/// Refusals that count towards a ban are those of this time.
const MINUTE: Duration = Duration::from_secs(60);

/// Addresses held at once. Beyond them strangers are not limited: better than to refuse everybody under a forged flood.
const HELD: usize = 65_536;

/// What an address is to expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Open,
    /// Too many handshakes; the first refusal in a second is to be told of.
    TooMany(Tell),
    Banned(Tell),
}

/// Whether the record is to hear of it: a flood must not push everything else out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    Yes,
    No,
}

#[derive(Debug)]
struct Visitor {
    tokens: f64,
    seen: Instant,
    refusals: u32,
    refusals_since: Instant,
    banned_until: Option<Instant>,
    told: Option<Instant>,
}

/// Keeps the doors of all ports.
#[derive(Debug)]
pub(crate) struct Doorman {
    limits: ArcSwap<Limits>,
    visitors: Mutex<HashMap<IpAddr, Visitor>>,
    /// By operators.
    banned: Mutex<Bans>,
    /// Nobody is to come in any more.
    closed: AtomicBool,
}

impl Doorman {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits: ArcSwap::from_pointee(limits),
            visitors: Mutex::default(),
            banned: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// Changes the limits. Bans that are in force end when they were to end.
    pub(crate) fn set_limits(&self, limits: Limits) {
        self.limits.store(Arc::new(limits));
    }

    /// Counts a handshake.
    pub(crate) fn knock(&self, peer: IpAddr, now: Instant) -> Door {
        if self.closed.load(Relaxed) {
            return Door::TooMany(Tell::No);
        }
        if let Some(tell) = self.banned().look(peer, now) {
            return Door::Banned(tell);
        }
        let Some(key) = key(peer) else {
            return Door::Open;
        };
        let mut visitors = self.visitors();
        let limits = self.limits.load();
        let Some(visitor) = visitor(&mut visitors, key, now, &limits) else {
            return Door::Open;
        };
        if visitor.banned_until.is_some_and(|until| now < until) {
            return Door::Banned(Tell::now(&mut visitor.told, now));
        }
        visitor.banned_until = None;
        let Some(rate) = limits.handshakes_per_second_per_ip else {
            return Door::Open;
        };
        let rate = f64::from(rate.get());
        visitor.tokens = (visitor.tokens + now.duration_since(visitor.seen).as_secs_f64() * rate).min(rate);
        visitor.seen = now;
        if visitor.tokens < 1.0 {
            return Door::TooMany(Tell::now(&mut visitor.told, now));
        }
        visitor.tokens -= 1.0;
        Door::Open
    }

    /// Refuses everybody from now on, at ports that stay open too.
    pub(crate) fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    fn banned(&self) -> MutexGuard<'_, Bans> {
        self.banned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn visitors(&self) -> MutexGuard<'_, HashMap<IpAddr, Visitor>> {
        self.visitors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses these addresses, of this machine or not, until then. False: too many are refused already.
    pub(crate) fn ban(&self, network: IpNet, until: Instant) -> bool {
        self.banned().add(network, until, Instant::now())
    }

    /// Lets these addresses in again, whoever banned them; false: they are not banned.
    pub(crate) fn unban(&self, network: IpNet) -> bool {
        let by_operator = self.banned().remove(network);
        let network = bans::canonical(network);
        let mut by_limits = false;
        for (peer, visitor) in self.visitors().iter_mut() {
            if network_of(*peer) == network {
                by_limits |= visitor
                    .banned_until
                    .take()
                    .is_some_and(|until| Instant::now() < until);
            }
        }
        by_operator || by_limits
    }

    /// What operators have banned, until when.
    pub(crate) fn bans(&self, now: Instant) -> Vec<(IpNet, Instant)> {
        self.banned().all(now)
    }

    /// What `[limits]` have banned, until when.
    pub(crate) fn bans_by_limits(&self, now: Instant) -> Vec<(IpNet, Instant)> {
        let until = |visitor: &Visitor| visitor.banned_until.filter(|until| now < *until);
        let mut all: Vec<_> = self
            .visitors()
            .iter()
            .filter_map(|(peer, visitor)| Some((network_of(*peer), until(visitor)?)))
            .collect();
        all.sort();
        all
    }

    /// Counts a refusal of the kind that a stranger's guesses meet.
    pub(crate) fn refused(&self, peer: IpAddr, now: Instant) {
        let limits = self.limits.load();
        let (Some(key), Some(limit)) = (key(peer), limits.ban_after_rejections) else {
            return;
        };
        let mut visitors = self.visitors();
        let Some(visitor) = visitor(&mut visitors, key, now, &limits) else {
            return;
        };
        if now.duration_since(visitor.refusals_since) >= MINUTE {
            visitor.refusals = 0;
            visitor.refusals_since = now;
        }
        visitor.refusals += 1;
        if visitor.refusals >= limit.get() {
            visitor.refusals = 0;
            visitor.banned_until = Some(now + limits.ban_for);
            visitor.told = None;
        }
    }
}

/// Who is counted: an address, or an IPv6 network of one household; None: never limited.
fn key(peer: IpAddr) -> Option<IpAddr> {
    let key = match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    };
    (!peer.to_canonical().is_loopback()).then_some(key)
}

/// All whom a [`key`] stands for.
fn network_of(key: IpAddr) -> IpNet {
    let prefix = if key.is_ipv6() { 64 } else { 32 };
    IpNet::new(key, prefix).unwrap_or_else(|_| key.into())
}

fn visitor<'v>(
    visitors: &'v mut HashMap<IpAddr, Visitor>,
    key: IpAddr,
    now: Instant,
    limits: &Limits,
) -> Option<&'v mut Visitor> {
    if visitors.len() >= HELD && !visitors.contains_key(&key) {
        visitors.retain(|_, visitor| {
            now.duration_since(visitor.seen.max(visitor.refusals_since)) < MINUTE
                || visitor.banned_until.is_some_and(|until| now < until)
        });
        if visitors.len() >= HELD {
            return None;
        }
    }
    Some(visitors.entry(key).or_insert_with(|| {
        Visitor {
            tokens: limits
                .handshakes_per_second_per_ip
                .map_or(0.0, |rate| f64::from(rate.get())),
            seen: now,
            refusals: 0,
            refusals_since: now,
            banned_until: None,
            told: None,
        }
    }))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn doorman(rate: u32, ban_after: u32) -> Doorman {
        Doorman::new(Limits {
            handshakes_per_second_per_ip: NonZeroU32::new(rate),
            ban_after_rejections: NonZeroU32::new(ban_after),
            ban_for: Duration::from_secs(60),
        })
    }

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn handshakes_above_the_rate_are_too_many_until_time_passes() {
        let doorman = doorman(5, 0);
        let begin = Instant::now();
        for _ in 0..5 {
            assert_eq!(doorman.knock(PEER, begin), Door::Open);
        }
        assert_eq!(doorman.knock(PEER, begin), Door::TooMany(Tell::Yes));
        assert_eq!(doorman.knock(PEER, begin), Door::TooMany(Tell::No));
        assert_eq!(doorman.knock("192.0.2.2".parse().unwrap(), begin), Door::Open);
        assert_eq!(
            doorman.knock(PEER, begin + Duration::from_millis(200)),
            Door::Open
        );
        assert!(matches!(
            doorman.knock(PEER, begin + Duration::from_millis(200)),
            Door::TooMany(_)
        ));
    }

    #[test]
    fn refusals_within_a_minute_ban_for_a_while() {
        let doorman = doorman(0, 3);
        let begin = Instant::now();
        let second = Duration::from_secs(1);
        doorman.refused(PEER, begin);
        doorman.refused(PEER, begin + 61 * second);
        doorman.refused(PEER, begin + 62 * second);
        assert_eq!(doorman.knock(PEER, begin + 62 * second), Door::Open);
        doorman.refused(PEER, begin + 63 * second);
        assert_eq!(doorman.knock(PEER, begin + 64 * second), Door::Banned(Tell::Yes));
        assert_eq!(doorman.knock(PEER, begin + 122 * second), Door::Banned(Tell::Yes));
        assert_eq!(doorman.knock(PEER, begin + 123 * second), Door::Open);
    }

    #[test]
    fn an_operator_sees_and_ends_what_the_limits_have_banned() {
        let doorman = doorman(0, 1);
        let now = Instant::now();
        doorman.refused(PEER, now);
        doorman.refused("2001:db8::77".parse().unwrap(), now);
        let shown = |doorman: &Doorman| -> Vec<_> {
            let all = doorman.bans_by_limits(now).into_iter();
            all.map(|(network, _)| network.to_string()).collect()
        };
        assert_eq!(shown(&doorman), ["192.0.2.1/32", "2001:db8::/64"]);
        assert!(doorman.bans(now).is_empty());
        assert!(doorman.unban(PEER.into()) && !doorman.unban(PEER.into()));
        assert_eq!(doorman.knock(PEER, now), Door::Open);
        assert_eq!(shown(&doorman), ["2001:db8::/64"]);
    }

    #[test]
    fn other_limits_hold_from_the_next_handshake_on() {
        let doorman = doorman(1, 0);
        let now = Instant::now();
        assert_eq!(doorman.knock(PEER, now), Door::Open);
        assert!(matches!(doorman.knock(PEER, now), Door::TooMany(_)));
        let limits = Limits {
            handshakes_per_second_per_ip: None,
            ..Limits::default()
        };
        doorman.set_limits(limits);
        assert_eq!(doorman.knock(PEER, now), Door::Open);
    }

    #[test]
    fn an_operators_ban_holds_for_any_address_until_it_ends() {
        let doorman = doorman(0, 0);
        let (now, minute) = (Instant::now(), Duration::from_secs(60));
        for peer in ["127.0.0.1", "192.0.2.7"] {
            let peer: IpAddr = peer.parse().unwrap();
            assert!(doorman.ban(peer.into(), now + minute));
            assert_eq!(doorman.knock(peer, now), Door::Banned(Tell::Yes));
            assert_eq!(doorman.knock(peer, now + minute), Door::Open);
        }
        assert_eq!(doorman.bans(now).len(), 2);
        assert!(!doorman.unban(PEER.into()), "it is not banned");
        assert!(doorman.unban("192.0.2.7/32".parse().unwrap()));
        assert_eq!(doorman.bans(now).len(), 1);
    }

    #[test]
    fn this_machine_is_never_limited_and_an_ipv6_network_counts_as_one() {
        let doorman = doorman(1, 1);
        let now = Instant::now();
        for loopback in ["127.0.0.1", "::1", "::ffff:127.0.0.9"] {
            let loopback = loopback.parse().unwrap();
            doorman.refused(loopback, now);
            assert_eq!(
                (doorman.knock(loopback, now), doorman.knock(loopback, now)),
                (Door::Open, Door::Open)
            );
        }
        assert_eq!(doorman.knock("2001:db8::1".parse().unwrap(), now), Door::Open);
        assert!(matches!(
            doorman.knock("2001:db8::2".parse().unwrap(), now),
            Door::TooMany(_)
        ));
        assert_eq!(doorman.knock("2001:db8:0:1::1".parse().unwrap(), now), Door::Open);
    }
}
