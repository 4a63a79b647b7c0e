//! How often an address may ask: a bucket of tokens for requests, and a smaller one for wrong tokens.
//!
//! Under a lock for one look-up. Bounded: beyond [`HELD`] addresses those that did not ask lately are forgotten.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    rate_limit::{Rate, TokenBucket, client_of},
    recent::Recent,
};

/// Requests a second, and at once.
const REQUESTS: Rate = Rate {
    per_second: 100.0,
    burst: 300.0,
};

/// Wrong tokens a second, and at once.
const LOGINS: Rate = Rate {
    per_second: 0.5,
    burst: 20.0,
};

/// TLS handshakes of an address a second, and at once. One takes up to a millisecond of the thread that answers probes.
const HANDSHAKES: Rate = Rate {
    per_second: 20.0,
    burst: 60.0,
};

/// The same of all addresses together that are no clients, and of clients beyond [`CLIENT_HANDSHAKES`].
const STRANGERS_HANDSHAKES: Rate = Rate {
    per_second: 200.0,
    burst: 400.0,
};

/// Handshakes of a client that no flood from other addresses takes away: those of a monitoring system, or of a browser.
const CLIENT_HANDSHAKES: Rate = Rate {
    per_second: 5.0,
    burst: 30.0,
};

/// Clients at a time.
const CLIENTS: usize = 128;

/// A client that has not asked for this long gives its place to another one, if there are more.
const CLIENT_STAYS: Duration = Duration::from_secs(60);

/// Addresses held at once.
const HELD: usize = 10_000;

/// Buckets by address.
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
    /// Counts a request; else the seconds to wait.
    pub(crate) fn request(&self, peer: IpAddr) -> Result<(), u64> {
        take(&self.requests, REQUESTS, peer, Instant::now())
    }

    /// Counts a wrong token; else the seconds to wait.
    pub(crate) fn failed_login(&self, peer: IpAddr) -> Result<(), u64> {
        take(&self.logins, LOGINS, peer, Instant::now())
    }
}

/// TLS handshakes: so many of an address, and so many of all. Addresses that have sent a request over TLS are clients, and have
/// some handshakes of their own, so that a flood from many addresses does not keep them out.
#[derive(Debug)]
pub(super) struct Handshakes {
    of_addresses: Mutex<Recent<TokenBucket>>,
    of_strangers: Mutex<TokenBucket>,
    clients: Mutex<HashMap<IpAddr, Client>>,
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
            clients: Mutex::default(),
        }
    }
}

impl Handshakes {
    /// Counts a handshake. False: the address has begun too many, or all strangers together have.
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
        let mut strangers = self.of_strangers.lock().unwrap_or_else(PoisonError::into_inner);
        strangers.take(STRANGERS_HANDSHAKES, now).is_ok()
    }

    /// Notes that this address has sent a request after its handshake.
    pub(super) fn note_request(&self, peer: IpAddr, now: Instant) {
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
        handshakes.note_request(client, now);
        let admitted = (0..10_000).filter(|n| handshakes.admit(address(*n), now)).count();
        assert!((390..=400).contains(&admitted), "{admitted}");
        assert!(!handshakes.admit(address(20_000), now));
        assert!(handshakes.admit(client, now), "it has handshakes of its own");
        // Newcomers do not push it out either, as long as it asks.
        for second in 1..100 {
            let now = now + Duration::from_secs(second);
            for n in 0..10 {
                handshakes.note_request(address(u32::try_from(second).unwrap() * 1_000 + n), now);
            }
            handshakes.note_request(client, now);
        }
        let clients = handshakes.clients.lock().unwrap();
        assert!(clients.len() <= CLIENTS);
        assert!(clients.contains_key(&client));
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
