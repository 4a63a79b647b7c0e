//! Rate limits per address: one for requests, and a lower one for wrong tokens.
//!
//! Under a lock for one look-up. Bounded: beyond [`HELD`] addresses, those that have been idle are dropped.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    rate_limit::{Rate, TokenBucket, client_of},
    recent::Recent,
};

/// Requests per second, and in a burst.
const REQUESTS: Rate = Rate {
    per_second: 100.0,
    burst: 300.0,
};

/// Wrong tokens per second, and in a burst.
const LOGINS: Rate = Rate {
    per_second: 0.5,
    burst: 20.0,
};

/// TLS handshakes per address and second, and in a burst. A handshake takes up to a millisecond of the thread that
/// answers probes.
const HANDSHAKES: Rate = Rate {
    per_second: 20.0,
    burst: 60.0,
};

/// TLS handshakes of all unknown addresses together, and of clients beyond [`CLIENT_HANDSHAKES`].
const STRANGERS_HANDSHAKES: Rate = Rate {
    per_second: 200.0,
    burst: 400.0,
};

/// Handshakes that are reserved for each client, such as a browser or a monitoring system with a token, whatever other
/// addresses do.
const CLIENT_HANDSHAKES: Rate = Rate {
    per_second: 5.0,
    burst: 30.0,
};

/// The number of clients tracked.
const CLIENTS: usize = 128;

/// A client that has been idle for this long may be replaced by another one.
const CLIENT_STAYS: Duration = Duration::from_secs(60);

/// The number of addresses tracked.
const HELD: usize = 10_000;

/// Token buckets by address.
#[derive(Debug)]
pub(crate) struct Rates {
    requests: Mutex<Recent<TokenBucket>>,
    logins: Mutex<Recent<TokenBucket>>,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            requests: buckets(),
            logins: buckets(),
        }
    }
}

impl Rates {
    /// Counts a request, or returns the seconds to wait.
    pub(crate) fn request(&self, peer: IpAddr) -> Result<(), u64> {
        take(&self.requests, REQUESTS, peer, Instant::now())
    }

    /// Counts a wrong token, or returns the seconds to wait.
    pub(crate) fn failed_login(&self, peer: IpAddr) -> Result<(), u64> {
        take(&self.logins, LOGINS, peer, Instant::now())
    }
}

/// Handshakes of all addresses together that have sent requests without a token, such as a system that calls `/healthz`. A
/// flood from addresses that send nothing does not take these.
const VISITORS_HANDSHAKES: Rate = Rate {
    per_second: 50.0,
    burst: 100.0,
};

/// Limits TLS handshakes per address and in total. Addresses that have sent a request with a valid token count as clients and
/// have handshakes of their own, so a flood from many addresses does not keep them out.
#[derive(Debug)]
pub(super) struct Handshakes {
    of_addresses: Mutex<Recent<TokenBucket>>,
    of_strangers: Mutex<TokenBucket>,
    visitors: Mutex<Visitors>,
    clients: Mutex<HashMap<IpAddr, Client>>,
}

/// Addresses that have sent a request without a token.
#[derive(Debug)]
struct Visitors {
    handshakes: TokenBucket,
    known: Recent<()>,
}

#[derive(Debug)]
struct Client {
    handshakes: TokenBucket,
    asked: Instant,
}

impl Default for Handshakes {
    fn default() -> Self {
        Self {
            of_addresses: buckets(),
            of_strangers: Mutex::new(TokenBucket::full(STRANGERS_HANDSHAKES, Instant::now())),
            visitors: Mutex::new(Visitors {
                handshakes: TokenBucket::full(VISITORS_HANDSHAKES, Instant::now()),
                known: Recent::new(HELD),
            }),
            clients: Mutex::default(),
        }
    }
}

impl Handshakes {
    /// Counts a handshake. Returns false if the address, or all unknown addresses together, have started too many.
    pub(super) fn admit(&self, peer: IpAddr, now: Instant) -> bool {
        if take(&self.of_addresses, HANDSHAKES, peer, now).is_err() {
            return false;
        }
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = clients.get_mut(&client_of(peer));
        if client.is_some_and(|client| client.handshakes.take(CLIENT_HANDSHAKES, now).is_ok()) {
            return true;
        }
        drop(clients);
        let mut visitors = self.visitors();
        if visitors.known.get_mut(&client_of(peer)).is_some()
            && visitors.handshakes.take(VISITORS_HANDSHAKES, now).is_ok()
        {
            return true;
        }
        drop(visitors);
        let mut strangers = self.of_strangers.lock().unwrap_or_else(PoisonError::into_inner);
        strangers.take(STRANGERS_HANDSHAKES, now).is_ok()
    }

    fn visitors(&self) -> MutexGuard<'_, Visitors> {
        self.visitors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that this address has sent a request after its handshake.
    pub(super) fn note_request(&self, peer: IpAddr, now: Instant) {
        let address = client_of(peer);
        self.visitors().known.get_or(address, now, |()| false, || ());
    }

    /// Records that this address has sent a request with a valid token.
    pub(super) fn note_client(&self, peer: IpAddr, now: Instant) {
        let address = client_of(peer);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get_mut(&address) {
            client.asked = now;
            return;
        }
        if clients.len() >= CLIENTS {
            clients.retain(|_, client| now.saturating_duration_since(client.asked) < CLIENT_STAYS);
        }
        if clients.len() < CLIENTS {
            let handshakes = TokenBucket::full(CLIENT_HANDSHAKES, now);
            clients.insert(
                address,
                Client {
                    handshakes,
                    asked: now,
                },
            );
        }
    }
}

fn buckets() -> Mutex<Recent<TokenBucket>> {
    Mutex::new(Recent::new(HELD))
}

fn take(buckets: &Mutex<Recent<TokenBucket>>, rate: Rate, peer: IpAddr, now: Instant) -> Result<(), u64> {
    let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
    let full = || TokenBucket::full(rate, now);
    let bucket = buckets.get_or(client_of(peer), now, |_| false, full);
    // Whole seconds, rounded up, for Retry-After.
    let wait = |wait: Duration| {
        wait.as_millis()
            .div_ceil(1000)
            .max(1)
            .try_into()
            .unwrap_or(u64::MAX)
    };
    bucket.map_or(Err(1), |bucket| bucket.take(rate, now).map_err(wait))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let buckets = buckets();
        let rate = Rate {
            per_second: 2.0,
            burst: 3.0,
        };
        let (peer, now) = ("192.0.2.1".parse().unwrap(), Instant::now());
        for _ in 0..3 {
            assert_eq!(take(&buckets, rate, peer, now), Ok(()));
        }
        assert_eq!(take(&buckets, rate, peer, now), Err(1));
        assert_eq!(take(&buckets, rate, "192.0.2.2".parse().unwrap(), now), Ok(()));
        assert_eq!(
            take(&buckets, rate, peer, now + Duration::from_millis(500)),
            Ok(())
        );
    }

    #[test]
    fn a_flood_from_many_addresses_keeps_no_client_out() {
        let handshakes = Handshakes::default();
        let address = |n: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(0x0A00_0000 + n));
        let (client, now) = (address(1_000_000), Instant::now());
        assert!(handshakes.admit(client, now));
        handshakes.note_client(client, now);
        let admitted = (0..10_000).filter(|n| handshakes.admit(address(*n), now)).count();
        assert!((390..=400).contains(&admitted), "{admitted}");
        assert!(!handshakes.admit(address(20_000), now));
        assert!(handshakes.admit(client, now), "it has handshakes of its own");
        // Newcomers do not replace it either while it is active.
        for second in 1..100 {
            let now = now + Duration::from_secs(second);
            for n in 0..10 {
                handshakes.note_client(address(u32::try_from(second).unwrap() * 1_000 + n), now);
            }
            handshakes.note_client(client, now);
        }
        let clients = handshakes.clients.lock().unwrap();
        assert!(clients.len() <= CLIENTS);
        assert!(clients.contains_key(&client));
    }

    #[test]
    fn addresses_without_a_token_share_a_budget() {
        let handshakes = Handshakes::default();
        let address = |n: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(0x0A00_0000 + n));
        let now = Instant::now();
        for n in 0..1_000 {
            handshakes.note_request(address(n), now);
        }
        let all = |from: u32| {
            let addresses = (from..from + 1_000).flat_map(|n| [address(n); 30]);
            addresses.filter(|peer| handshakes.admit(*peer, now)).count()
        };
        // Visitors have their own budget, and that of all strangers.
        assert_eq!(all(0), 100 + 400);
        handshakes.note_client(address(5_000), now);
        assert_eq!(all(5_000), 30, "one of them has a token");
    }

    #[test]
    fn a_flood_of_strangers_leaves_visitors_their_handshakes() {
        let handshakes = Handshakes::default();
        let address = |n: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(0x0A00_0000 + n));
        let now = Instant::now();
        handshakes.note_request(address(1), now);
        for n in 2..2_000 {
            handshakes.admit(address(n), now);
        }
        assert!(!handshakes.admit(address(3_000), now));
        assert!(handshakes.admit(address(1), now));
    }

    #[test]
    fn addresses_are_bounded() {
        let buckets = buckets();
        let now = Instant::now();
        for n in 0..u32::try_from(HELD).unwrap() + 100 {
            let peer = std::net::Ipv4Addr::from_bits(n).into();
            take(&buckets, REQUESTS, peer, now).unwrap_or_default();
        }
        assert!(buckets.lock().unwrap().iter().count() <= HELD);
    }
}
