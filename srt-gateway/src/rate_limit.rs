//! Token buckets, and the client that an address belongs to. Pure: reads no clock and takes no lock.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

/// The fill rate of a bucket, and its capacity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    pub(crate) burst: f64,
}

/// A bucket of tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenBucket {
    tokens: f64,
    filled: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub(crate) fn full(rate: Rate, now: Instant) -> Self {
        Self {
            tokens: rate.burst,
            filled: now,
        }
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * rate.per_second).min(rate.burst);
        self.filled = self.filled.max(now);
    }

    /// Takes a token.
    ///
    /// # Errors
    /// There is none: returns the time until there is.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        self.fill(rate, now);
        if self.tokens < 1.0 {
            let wait = (1.0 - self.tokens) / rate.per_second.max(f64::MIN_POSITIVE);
            return Err(Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX));
        }
        self.tokens -= 1.0;
        Ok(())
    }

    /// Puts a token back.
    pub(crate) fn refund(&mut self, rate: Rate) {
        self.tokens = (self.tokens + 1.0).min(rate.burst);
    }

    /// Whether dropping it would lose nothing.
    pub(crate) fn is_full(&mut self, rate: Rate, now: Instant) -> bool {
        self.fill(rate, now);
        self.tokens >= rate.burst
    }
}

/// The client that an address belongs to: an IPv4 address stands for itself, an IPv6 address for its /64, which one
/// household has.
pub(crate) fn client_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

/// The network that an address belongs to: an IPv4 address to its /24, an IPv6 address to its /32, which is the least that a
/// registry gives to a provider. Whoever has many addresses has few networks.
pub(crate) fn network_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 96 << 96)),
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() >> 8 << 8)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 2.0,
        burst: 3.0,
    };

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let now = Instant::now();
        let mut bucket = TokenBucket::full(RATE, now);
        for _ in 0..3 {
            assert_eq!(bucket.take(RATE, now), Ok(()));
        }
        assert_eq!(bucket.take(RATE, now), Err(Duration::from_millis(500)));
        assert_eq!(bucket.take(RATE, now + Duration::from_millis(500)), Ok(()));
        assert!(!bucket.is_full(RATE, now + Duration::from_secs(1)));
        assert!(bucket.is_full(RATE, now + Duration::from_secs(2)));
        assert_eq!(bucket.take(RATE, now), Ok(()), "time does not run backwards");
        bucket.refund(RATE);
        bucket.refund(RATE);
        assert!(bucket.is_full(RATE, now));
    }

    #[test]
    fn an_ipv6_household_is_one_client() {
        let of = |peer: &str| client_of(peer.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }

    #[test]
    fn many_households_of_a_provider_are_one_network() {
        let of = |peer: &str| network_of(peer.parse().unwrap());
        assert_eq!(of("2001:db8:1::1"), of("2001:db8:ffff:2::1"));
        assert_ne!(of("2001:db9::1"), of("2001:db8::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.200"));
        assert_ne!(of("192.0.3.1"), of("192.0.2.1"));
    }
}
