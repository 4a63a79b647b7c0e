//! How often an address may ask: a bucket of tokens for requests, and a smaller one for wrong tokens.
//!
//! Under a lock for one look-up. Bounded: beyond [`HELD`] addresses the idle ones are forgotten, and then strangers share
//! one bucket.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::rate_limit::{Rate, TokenBucket, client_of};

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

/// Buckets by address.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    requests: Mutex<HashMap<IpAddr, TokenBucket>>,
    logins: Mutex<HashMap<IpAddr, TokenBucket>>,
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

fn take(
    buckets: &Mutex<HashMap<IpAddr, TokenBucket>>,
    rate: Rate,
    peer: IpAddr,
    now: Instant,
) -> Result<(), u64> {
    let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
    let mut client = client_of(peer);
    if buckets.len() >= HELD && !buckets.contains_key(&client) {
        buckets.retain(|_, bucket| !bucket.is_full(rate, now));
        if buckets.len() >= HELD {
            client = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        }
    }
    let bucket = buckets
        .entry(client)
        .or_insert_with(|| TokenBucket::full(rate, now));
    // Whole seconds, rounded up, for Retry-After.
    let wait = |wait: Duration| {
        wait.as_millis()
            .div_ceil(1000)
            .max(1)
            .try_into()
            .unwrap_or(u64::MAX)
    };
    bucket.take(rate, now).map_err(wait)
}

#[cfg(test)]
mod tests {
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
