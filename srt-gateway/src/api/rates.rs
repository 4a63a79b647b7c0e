//! How often an address may ask: a bucket of tokens for requests, and a smaller one for wrong tokens.
//!
//! Under a lock for one look-up. Bounded: beyond [`HELD`] addresses the idle ones are forgotten, and then strangers share
//! one bucket.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Instant,
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

/// Addresses held at once.
const HELD: usize = 10_000;

#[derive(Clone, Copy, Debug)]
struct Rate {
    per_second: f64,
    burst: f64,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    seen: Instant,
}

impl Bucket {
    fn refill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.seen).as_secs_f64();
        self.tokens = (self.tokens + passed * rate.per_second).min(rate.burst);
        self.seen = now;
    }
}

/// Buckets by address.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    requests: Mutex<HashMap<IpAddr, Bucket>>,
    logins: Mutex<HashMap<IpAddr, Bucket>>,
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

/// One household has a whole IPv6 network.
fn key(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

fn take(buckets: &Mutex<HashMap<IpAddr, Bucket>>, rate: Rate, peer: IpAddr, now: Instant) -> Result<(), u64> {
    let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
    let mut key = key(peer);
    if buckets.len() >= HELD && !buckets.contains_key(&key) {
        buckets.retain(|_, bucket| {
            bucket.refill(rate, now);
            bucket.tokens < rate.burst
        });
        if buckets.len() >= HELD {
            key = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        }
    }
    let bucket = buckets.entry(key).or_insert(Bucket {
        tokens: rate.burst,
        seen: now,
    });
    bucket.refill(rate, now);
    if bucket.tokens < 1.0 {
        let wait = (1.0 - bucket.tokens) / rate.per_second;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few seconds"
        )]
        return Err(wait.ceil().max(1.0) as u64);
    }
    bucket.tokens -= 1.0;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let buckets = Mutex::default();
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
    fn addresses_are_bounded() {
        let buckets = Mutex::default();
        let now = Instant::now();
        for n in 0..u32::try_from(HELD).unwrap() + 100 {
            let peer = std::net::Ipv4Addr::from_bits(n).into();
            take(&buckets, REQUESTS, peer, now).unwrap_or_default();
        }
        assert!(buckets.lock().unwrap().len() <= HELD + 1);
    }
}
