//! `[limits]`: how many attempts an address may make, and which addresses are banned. Checked before anything else is
//! done for a caller.
//!
//! Runs in the listen callbacks, under locks that are held for one look-up. Loopback addresses are exempt, except from
//! bans by operators, because a relay on this machine represents many clients. An IPv6 caller counts by its /64.
//!
//! It counts attempts rather than handshakes: a caller that waits for a deferred verdict repeats its handshake for
//! free. Only guesses lead to a ban: a misconfigured client that keeps requesting the same thing must not block its
//! neighbours behind the same NAT.

use std::{
    collections::VecDeque,
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use ipnet::IpNet;

use super::bans::{self, Ban, BannedBy, Bans};
use crate::{
    config::Limits,
    rate_limit::{Rate, TokenBucket, client_of},
    recent::Recent,
};

/// The period in which failures count towards a ban.
const MINUTE: Duration = Duration::from_secs(60);

/// The same attempt that fails again within this time does not count again.
const COUNTED_ONCE_FOR: Duration = Duration::from_secs(600);

/// The number of distinct failed attempts remembered per client.
const MAX_FAILURES: usize = 64;

/// A deferred caller that has not come back by then has given up.
const DEFERRED_TIMEOUT: Duration = Duration::from_secs(10);

/// Faster repeats count as new handshakes: libsrt repeats every 250 ms.
const REPEATS_AFTER: Duration = Duration::from_millis(100);

/// The number of deferred callers tracked per client.
const MAX_DEFERRED: usize = 64;

/// The number of clients tracked. Beyond it, those that were not seen lately are dropped, except banned ones and those
/// with open sessions. If there are too many of these, all unknown clients share one rate.
const MAX_CLIENTS: usize = 65_536;

/// The key of the limit that leads to bans.
const BAN_AFTER_REJECTIONS: &str = "ban_after_rejections";

/// The result for a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Pass,
    RateLimited(Report),
    Banned(Arc<Ban>, Report),
}

/// Whether to record a refusal: a flood must not push everything else out of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    Yes,
    No,
}

impl Report {
    /// Returns yes once a second.
    pub(super) fn once_a_second(reported: &mut Option<Instant>, now: Instant) -> Self {
        if reported.is_some_and(|reported| now.duration_since(reported) < Duration::from_secs(1)) {
            return Self::No;
        }
        *reported = Some(now);
        Self::Yes
    }
}

/// Identifies the attempts of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AttemptKey<'a> {
    /// The guess is in the streamid, so repeating it on the same port is no new guess.
    Streamid(u16, &'a [u8]),
    /// Passphrases cannot be compared, so each attempt is a guess.
    Passphrase,
}

/// A caller whose verdict was deferred.
#[derive(Debug)]
struct DeferredCaller {
    port: u16,
    caller: Option<i32>,
    since: Instant,
    last: Instant,
}

#[derive(Debug)]
struct Client {
    attempts: TokenBucket,
    waiting: Vec<DeferredCaller>,
    /// Open sessions.
    sessions: u32,
    failures: u32,
    failures_since: Instant,
    /// The failures of the last [`COUNTED_ONCE_FOR`], oldest first.
    counted: VecDeque<(u64, Instant)>,
    ban: Option<(Arc<Ban>, Instant)>,
    reported: Option<Instant>,
}

impl Client {
    /// Whether the handshake repeats one of a deferred caller.
    fn is_repeat(&mut self, port: u16, caller: Option<i32>, now: Instant) -> bool {
        self.waiting
            .retain(|waiting| now.duration_since(waiting.since) < DEFERRED_TIMEOUT);
        let mut waiting = self.waiting.iter_mut();
        let Some(waiting) = waiting.find(|waiting| waiting.port == port && waiting.caller == caller) else {
            return false;
        };
        let is_repeat = now.duration_since(waiting.last) >= REPEATS_AFTER;
        if is_repeat {
            waiting.last = now;
        }
        is_repeat
    }

    /// Whether this failure was counted lately; if not, it is remembered.
    fn was_counted(&mut self, failure: u64, now: Instant) -> bool {
        let is_old = |since: Instant| now.duration_since(since) >= COUNTED_ONCE_FOR;
        while self.counted.front().is_some_and(|(_, since)| is_old(*since))
            || self.counted.len() >= MAX_FAILURES
        {
            self.counted.pop_front();
        }
        if self.counted.iter().any(|(counted, _)| *counted == failure) {
            return true;
        }
        self.counted.push_back((failure, now));
        false
    }

    /// Whether it must be kept.
    fn is_kept(&self, now: Instant) -> bool {
        self.sessions > 0 || self.ban.as_ref().is_some_and(|(_, until)| now < *until)
    }

    fn new(limits: &Limits, now: Instant) -> Self {
        let nothing = Rate {
            per_second: 0.0,
            burst: 0.0,
        };
        Self {
            attempts: TokenBucket::full(rate_of(limits).unwrap_or(nothing), now),
            waiting: Vec::new(),
            sessions: 0,
            failures: 0,
            failures_since: now,
            counted: VecDeque::new(),
            ban: None,
            reported: None,
        }
    }
}

/// The tracked clients.
#[derive(Debug)]
struct Clients {
    known: Recent<Client>,
    strangers: Client,
}

/// The client with this address; None: all entries are in use.
fn client<'c>(
    known: &'c mut Recent<Client>,
    key: IpAddr,
    limits: &Limits,
    now: Instant,
) -> Option<&'c mut Client> {
    let is_kept = |client: &Client| client.is_kept(now);
    known.get_or(key, now, is_kept, || Client::new(limits, now))
}

/// Limits and bans for callers of all ports.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    limits: ArcSwap<Limits>,
    clients: Mutex<Clients>,
    /// Made by operators.
    bans: Mutex<Bans>,
    hasher: RandomState,
}

impl RateLimiter {
    pub(crate) fn new(limits: Limits) -> Self {
        let clients = Clients {
            known: Recent::new(MAX_CLIENTS),
            strangers: Client::new(&limits, Instant::now()),
        };
        Self {
            limits: ArcSwap::from_pointee(limits),
            clients: Mutex::new(clients),
            bans: Mutex::default(),
            hasher: RandomState::new(),
        }
    }

    /// Changes the limits. Bans in force keep their end.
    pub(crate) fn set_limits(&self, limits: Limits) {
        self.limits.store(Arc::new(limits));
    }

    /// Counts a handshake. `caller` is the caller's socket id, if visible.
    pub(crate) fn check(&self, peer: SocketAddr, caller: Option<i32>, now: Instant) -> Check {
        if let Some((ban, report)) = self.operator_bans().find(peer.ip(), now) {
            return Check::Banned(ban, report);
        }
        let Some(key) = limited(peer.ip()) else {
            return Check::Pass;
        };
        let mut clients = self.clients();
        let limits = self.limits.load();
        let Clients { known, strangers } = &mut *clients;
        let client = client(known, key, &limits, now).unwrap_or(strangers);
        if let Some((ban, _)) = client.ban.as_ref().filter(|(_, until)| now < *until) {
            let ban = Arc::clone(ban);
            return Check::Banned(ban, Report::once_a_second(&mut client.reported, now));
        }
        client.ban = None;
        let Some(rate) = rate_of(&limits) else {
            return Check::Pass;
        };
        if client.is_repeat(peer.port(), caller, now) || client.attempts.take(rate, now).is_ok() {
            return Check::Pass;
        }
        Check::RateLimited(Report::once_a_second(&mut client.reported, now))
    }

    /// The verdict was deferred, so the caller will repeat its handshake.
    pub(crate) fn deferred(&self, peer: SocketAddr, caller: Option<i32>, now: Instant) {
        let Some(key) = limited(peer.ip()) else {
            return;
        };
        let mut clients = self.clients();
        let Some(client) = clients.known.get_mut(&key) else {
            return;
        };
        let is_same = |waiting: &DeferredCaller| waiting.port == peer.port() && waiting.caller == caller;
        if client.waiting.len() < MAX_DEFERRED && !client.waiting.iter().any(is_same) {
            client.waiting.push(DeferredCaller {
                port: peer.port(),
                caller,
                since: now,
                last: now,
            });
        }
    }

    fn operator_bans(&self) -> MutexGuard<'_, Bans> {
        self.bans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an operator's ban, which also applies to loopback addresses. Returns false if there are too many.
    pub(crate) fn ban(&self, ban: Ban) -> bool {
        let now = Instant::now();
        let until = now + ban.remaining();
        self.operator_bans().add(ban, until, now)
    }

    /// Lifts all bans of this network. Returns false if there is none.
    pub(crate) fn lift(&self, network: IpNet) -> bool {
        let by_operator = self.operator_bans().remove(network);
        let network = bans::canonical(network);
        let mut by_limits = false;
        for (peer, client) in self.clients().known.iter_mut() {
            if network_of(*peer) == network {
                let ban = client.ban.take();
                by_limits |= ban.is_some_and(|(_, until)| Instant::now() < until);
            }
        }
        by_operator || by_limits
    }

    /// The operators' bans in force.
    pub(crate) fn bans_by_operators(&self, now: Instant) -> Vec<Arc<Ban>> {
        self.operator_bans().all(now)
    }

    /// The bans in force that `[limits]` has made.
    pub(crate) fn bans_by_limits(&self, now: Instant) -> Vec<Arc<Ban>> {
        let clients = self.clients();
        let bans = clients.known.iter().filter_map(|(_, client)| client.ban.as_ref());
        let in_force = bans.filter(|(_, until)| now < *until);
        let mut all: Vec<_> = in_force.map(|(ban, _)| Arc::clone(ban)).collect();
        drop(clients);
        all.sort_by_key(|ban| ban.network);
        all
    }

    /// Counts a failed guess, and bans the address after too many. `told` is the code that the caller received. An
    /// address with an open session is spared, because others behind it are legitimate.
    pub(crate) fn count_failure(&self, peer: IpAddr, attempt: AttemptKey<'_>, told: i32, now: Instant) {
        let limits = self.limits.load();
        let (Some(key), Some(limit)) = (limited(peer), limits.ban_after_rejections) else {
            return;
        };
        let mut clients = self.clients();
        let Some(client) = client(&mut clients.known, key, &limits, now) else {
            return;
        };
        if let AttemptKey::Streamid(port, streamid) = attempt
            && client.was_counted(self.hasher.hash_one((port, streamid)), now)
        {
            return;
        }
        if now.duration_since(client.failures_since) >= MINUTE {
            client.failures = 0;
            client.failures_since = now;
        }
        client.failures = client.failures.saturating_add(1);
        if client.failures < limit.get() || client.sessions > 0 {
            return;
        }
        let reason = format!(
            "{} failed attempts within a minute, the last with code {told}",
            client.failures
        );
        let by = BannedBy::Limit(BAN_AFTER_REJECTIONS);
        let ban = Ban::new(network_of(key), by, &reason, limits.ban_for);
        client.ban = Some((Arc::new(ban), now + limits.ban_for));
        client.failures = 0;
        client.counted.clear();
        client.reported = None;
    }

    /// Records that a session from this address is open, until [`session_closed`](Self::session_closed).
    pub(crate) fn session_opened(&self, peer: IpAddr) {
        let limits = self.limits.load();
        if let Some(key) = limited(peer)
            && let Some(client) = client(&mut self.clients().known, key, &limits, Instant::now())
        {
            client.sessions += 1;
        }
    }

    /// Records that a session from this address has ended.
    pub(crate) fn session_closed(&self, peer: IpAddr) {
        if let Some(key) = limited(peer)
            && let Some(client) = self.clients().known.get_mut(&key)
        {
            client.sessions = client.sessions.saturating_sub(1);
        }
    }
}

/// The client that limits apply to; None: exempt.
pub(crate) fn limited(peer: IpAddr) -> Option<IpAddr> {
    (!peer.to_canonical().is_loopback()).then(|| client_of(peer))
}

/// All addresses of a client.
fn network_of(client: IpAddr) -> IpNet {
    let prefix = if client.is_ipv6() { 64 } else { 32 };
    IpNet::new(client, prefix).unwrap_or_else(|_| client.into())
}

/// A burst may use the attempts of one second.
fn rate_of(limits: &Limits) -> Option<Rate> {
    let per_second = f64::from(limits.handshakes_per_second_per_ip?.get());
    Some(Rate {
        per_second,
        burst: per_second,
    })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const CALLER: Option<i32> = Some(77);

    fn limiter(rate: u32, ban_after: u32) -> RateLimiter {
        RateLimiter::new(Limits {
            handshakes_per_second_per_ip: NonZeroU32::new(rate),
            ban_after_rejections: NonZeroU32::new(ban_after),
            ban_for: Duration::from_secs(60),
            ..Limits::default()
        })
    }

    /// The handshake of a new caller.
    fn attempt(limiter: &RateLimiter, peer: IpAddr, now: Instant) -> Check {
        limiter.check(SocketAddr::new(peer, 4000), None, now)
    }

    fn fail(limiter: &RateLimiter, peer: IpAddr, now: Instant) {
        limiter.count_failure(peer, AttemptKey::Passphrase, 10, now);
    }

    fn is_banned(limiter: &RateLimiter, peer: IpAddr, now: Instant) -> bool {
        matches!(attempt(limiter, peer, now), Check::Banned(..))
    }

    #[test]
    fn attempts_above_the_rate_are_refused_until_time_passes() {
        let limiter = limiter(5, 0);
        let begin = Instant::now();
        for _ in 0..5 {
            assert_eq!(attempt(&limiter, PEER, begin), Check::Pass);
        }
        assert_eq!(attempt(&limiter, PEER, begin), Check::RateLimited(Report::Yes));
        assert_eq!(attempt(&limiter, PEER, begin), Check::RateLimited(Report::No));
        assert_eq!(
            attempt(&limiter, "192.0.2.2".parse().unwrap(), begin),
            Check::Pass
        );
        let later = begin + Duration::from_millis(200);
        assert_eq!(attempt(&limiter, PEER, later), Check::Pass);
        assert!(matches!(attempt(&limiter, PEER, later), Check::RateLimited(_)));
    }

    #[test]
    fn repeats_of_deferred_callers_are_no_attempts() {
        let limiter = limiter(20, 0);
        let begin = Instant::now();
        let callers = || (0..20_u16).map(|number| SocketAddr::new(PEER, 4000 + number));
        // A hook that takes 1.8 s: each caller repeats its handshake eight times.
        for round in 0..8 {
            let now = begin + round * Duration::from_millis(250);
            for peer in callers() {
                assert_eq!(limiter.check(peer, CALLER, now), Check::Pass, "{peer} {round}");
                limiter.deferred(peer, CALLER, now);
            }
        }
        let now = begin + Duration::from_millis(1750);
        let others = (0..50_u16).map(|number| SocketAddr::new(PEER, 5000 + number));
        let passed = others.filter(|peer| limiter.check(*peer, CALLER, now) == Check::Pass);
        assert_eq!(passed.count(), 20, "the bucket has filled meanwhile");
        let again = limiter.check(SocketAddr::new(PEER, 4000), Some(78), now);
        assert!(
            matches!(again, Check::RateLimited(_)),
            "another socket on the same port"
        );
    }

    #[test]
    fn repeats_in_a_rush_are_attempts() {
        let limiter = limiter(5, 0);
        let (now, peer) = (Instant::now(), SocketAddr::new(PEER, 4000));
        let mut passed = 0;
        for number in 0..1000 {
            let now = now + Duration::from_millis(number);
            if limiter.check(peer, CALLER, now) == Check::Pass {
                passed += 1;
                limiter.deferred(peer, CALLER, now);
            }
        }
        assert!((10..=20).contains(&passed), "{passed}");
    }

    #[test]
    fn failures_within_a_minute_ban_for_a_while() {
        let limiter = limiter(0, 3);
        let begin = Instant::now();
        fail(&limiter, PEER, begin);
        fail(&limiter, PEER, begin + 61 * SECOND);
        fail(&limiter, PEER, begin + 62 * SECOND);
        assert!(!is_banned(&limiter, PEER, begin + 62 * SECOND));
        fail(&limiter, PEER, begin + 63 * SECOND);
        let Check::Banned(ban, Report::Yes) = attempt(&limiter, PEER, begin + 64 * SECOND) else {
            panic!("not banned");
        };
        assert_eq!(ban.by, BannedBy::Limit("ban_after_rejections"));
        let reason = "3 failed attempts within a minute, the last with code 10";
        assert_eq!(
            (ban.network.to_string().as_str(), &*ban.reason),
            ("192.0.2.1/32", reason)
        );
        assert!(is_banned(&limiter, PEER, begin + 122 * SECOND));
        assert!(!is_banned(&limiter, PEER, begin + 123 * SECOND));
    }

    #[test]
    fn the_same_failure_is_counted_once() {
        let limiter = limiter(0, 3);
        let begin = Instant::now();
        let failed = |streamid: &str, port, now| {
            limiter.count_failure(PEER, AttemptKey::Streamid(port, streamid.as_bytes()), 1404, now);
        };
        for number in 0..599 {
            failed("publish/nosuch", 9998, begin + number * SECOND);
            assert!(!is_banned(&limiter, PEER, begin + number * SECOND), "{number}");
        }
        let now = begin + 700 * SECOND;
        failed("publish/a", 9998, now);
        failed("publish/b", 9998, now);
        assert!(!is_banned(&limiter, PEER, now));
        failed("publish/b", 9999, now);
        assert!(is_banned(&limiter, PEER, now), "three guesses");
    }

    #[test]
    fn an_address_with_an_open_session_is_not_banned() {
        let limiter = limiter(0, 3);
        let now = Instant::now();
        limiter.session_opened(PEER);
        limiter.session_opened(PEER);
        limiter.session_closed(PEER);
        for _ in 0..10 {
            fail(&limiter, PEER, now);
        }
        assert!(!is_banned(&limiter, PEER, now));
        limiter.session_closed(PEER);
        fail(&limiter, PEER, now);
        assert!(is_banned(&limiter, PEER, now));
    }

    #[test]
    fn an_operator_sees_and_lifts_what_the_limits_have_banned() {
        let limiter = limiter(0, 1);
        let now = Instant::now();
        fail(&limiter, PEER, now);
        fail(&limiter, "2001:db8::77".parse().unwrap(), now);
        let shown = |limiter: &RateLimiter| -> Vec<_> {
            let all = limiter.bans_by_limits(now).into_iter();
            all.map(|ban| ban.network.to_string()).collect()
        };
        assert_eq!(shown(&limiter), ["192.0.2.1/32", "2001:db8::/64"]);
        assert!(limiter.bans_by_operators(now).is_empty());
        assert!(limiter.lift(PEER.into()) && !limiter.lift(PEER.into()));
        assert!(!is_banned(&limiter, PEER, now));
        assert_eq!(shown(&limiter), ["2001:db8::/64"]);
    }

    #[test]
    fn other_limits_hold_from_the_next_handshake_on() {
        let limiter = limiter(1, 0);
        let now = Instant::now();
        assert_eq!(attempt(&limiter, PEER, now), Check::Pass);
        assert!(matches!(attempt(&limiter, PEER, now), Check::RateLimited(_)));
        let limits = Limits {
            handshakes_per_second_per_ip: None,
            ..Limits::default()
        };
        limiter.set_limits(limits);
        assert_eq!(attempt(&limiter, PEER, now), Check::Pass);
    }

    #[test]
    fn an_operators_ban_holds_for_any_address_until_it_ends() {
        let limiter = limiter(0, 0);
        let now = Instant::now();
        let ban = |peer: IpAddr| Ban::new(peer.into(), BannedBy::Operator("alice".into()), "", MINUTE);
        for peer in ["127.0.0.1", "192.0.2.7"] {
            let peer: IpAddr = peer.parse().unwrap();
            assert!(limiter.ban(ban(peer)));
            assert!(is_banned(&limiter, peer, now));
            assert!(!is_banned(&limiter, peer, now + 2 * MINUTE));
        }
        assert_eq!(limiter.bans_by_operators(now).len(), 2);
        assert!(!limiter.lift(PEER.into()), "it is not banned");
        assert!(limiter.lift("192.0.2.7/32".parse().unwrap()));
        assert_eq!(limiter.bans_by_operators(now).len(), 1);
    }

    #[test]
    fn a_flood_from_more_addresses_than_are_held_lifts_no_limit_and_no_ban() {
        let limiter = limiter(1, 1);
        let now = Instant::now();
        let banned: IpAddr = "198.51.100.1".parse().unwrap();
        fail(&limiter, banned, now);
        let in_session: IpAddr = "198.51.100.2".parse().unwrap();
        limiter.session_opened(in_session);
        for number in 0..u32::try_from(2 * MAX_CLIENTS).unwrap() {
            let stranger = std::net::Ipv4Addr::from_bits(0x0A00_0000 + number).into();
            assert_eq!(attempt(&limiter, stranger, now), Check::Pass);
            assert!(matches!(attempt(&limiter, stranger, now), Check::RateLimited(_)));
        }
        assert!(is_banned(&limiter, banned, now));
        fail(&limiter, in_session, now);
        assert!(!is_banned(&limiter, in_session, now), "its session is still open");
    }

    #[test]
    fn where_too_many_are_banned_strangers_share_one_rate() {
        let limiter = limiter(5, 1);
        let now = Instant::now();
        let address = |number: usize| {
            std::net::Ipv4Addr::from_bits(0x0A00_0000 + u32::try_from(number).unwrap()).into()
        };
        for number in 0..2 * MAX_CLIENTS {
            fail(&limiter, address(number), now);
        }
        assert!(is_banned(&limiter, address(0), now));
        let passed = (0..100)
            .filter(|number| attempt(&limiter, address(3 * MAX_CLIENTS + number), now) == Check::Pass);
        assert_eq!(passed.count(), 5);
    }

    #[test]
    fn loopback_is_never_limited_and_an_ipv6_network_counts_as_one() {
        let limiter = limiter(1, 1);
        let now = Instant::now();
        for loopback in ["127.0.0.1", "::1", "::ffff:127.0.0.9"] {
            let loopback = loopback.parse().unwrap();
            fail(&limiter, loopback, now);
            for _ in 0..2 {
                assert_eq!(attempt(&limiter, loopback, now), Check::Pass);
            }
        }
        let of = |peer: &str| attempt(&limiter, peer.parse().unwrap(), now);
        assert_eq!(of("2001:db8::1"), Check::Pass);
        assert!(matches!(of("2001:db8::2"), Check::RateLimited(_)));
        assert_eq!(of("2001:db8:0:1::1"), Check::Pass);
    }
}
