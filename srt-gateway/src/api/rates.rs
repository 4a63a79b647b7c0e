//! How often an address may ask: a bucket of tokens for requests, and a smaller one for wrong tokens.
//!
//! Under a lock for one look-up. Bounded: beyond [`HELD`] addresses those that did not ask lately are forgotten.

use std::{
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

/// TLS handshakes a second, and at once. One takes a millisecond of the thread that answers probes.
const HANDSHAKES: Rate = Rate {
    per_second: 20.0,
    burst: 60.0,
};

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

/// TLS handshakes by address.
#[derive(Debug)]
pub(super) struct Handshakes(Mutex<Recent<TokenBucket>>);

impl Default for Handshakes {
    fn default() -> Self {
        Self(buckets())
    }
}

impl Handshakes {
    /// Counts a handshake. False: the address has begun too many.
    pub(super) fn admit(&self, peer: IpAddr) -> bool {
        take(&self.0, HANDSHAKES, peer, Instant::now()).is_ok()
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
