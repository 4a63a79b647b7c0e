//! The results of checks. Plain data, bounded.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

use super::Digest;

/// How long a result is kept. Results never become wrong; this bounds memory.
const RESULT_LIFETIME: Duration = Duration::from_secs(600);

/// Successes kept. The oldest is dropped first, and costs one check to find again.
const MAX_SUCCESSES: usize = 10_000;

/// Failures kept, ...
const MAX_FAILURES: usize = 8192;

/// ... and per client.
const MAX_FAILURES_PER_CLIENT: usize = 64;

/// A client that failed within this time is checked after others.
const RECENT_FAILURE: Duration = Duration::from_secs(60);

/// Results, by what was checked.
#[derive(Debug, Default)]
pub(super) struct Results {
    fits: HashMap<Digest, (usize, Instant)>,
    /// Oldest first.
    fits_order: VecDeque<Digest>,
    fails: HashMap<Digest, Instant>,
    /// Oldest first; some are no longer in `fails`.
    fails_order: VecDeque<(IpAddr, Digest)>,
    /// The failures of each client, oldest first.
    clients: HashMap<IpAddr, VecDeque<(Digest, Instant)>>,
}

impl Results {
    /// The index of the matching secret, or that none matches; None: not known.
    pub(super) fn get(&self, digest: &Digest, now: Instant) -> Option<Option<usize>> {
        let is_kept = |since: &Instant| now.duration_since(*since) < RESULT_LIFETIME;
        if let Some((place, _)) = self.fits.get(digest).filter(|(_, since)| is_kept(since)) {
            return Some(Some(*place));
        }
        self.fails
            .get(digest)
            .filter(|since| is_kept(since))
            .map(|_| None)
    }

    pub(super) fn add(&mut self, digest: Digest, client: IpAddr, place: Option<usize>, now: Instant) {
        match place {
            Some(place) => self.add_fit(digest, place, now),
            None => self.add_fail(digest, client, now),
        }
    }

    fn add_fit(&mut self, digest: Digest, place: usize, now: Instant) {
        if self.fits.insert(digest, (place, now)).is_none() {
            self.fits_order.push_back(digest);
        }
        if self.fits_order.len() > MAX_SUCCESSES
            && let Some(oldest) = self.fits_order.pop_front()
        {
            self.fits.remove(&oldest);
        }
    }

    fn add_fail(&mut self, digest: Digest, client: IpAddr, now: Instant) {
        if self.fails.insert(digest, now).is_some() {
            return;
        }
        self.fails_order.push_back((client, digest));
        let of_client = self.clients.entry(client).or_default();
        of_client.push_back((digest, now));
        if of_client.len() > MAX_FAILURES_PER_CLIENT
            && let Some((oldest, _)) = of_client.pop_front()
        {
            self.fails.remove(&oldest);
        }
        while self.fails.len() > MAX_FAILURES
            && let Some((client, oldest)) = self.fails_order.pop_front()
        {
            self.forget_fail(client, &oldest);
        }
        if self.fails_order.len() > 2 * MAX_FAILURES {
            let fails = &self.fails;
            self.fails_order.retain(|(_, digest)| fails.contains_key(digest));
        }
    }

    fn forget_fail(&mut self, client: IpAddr, digest: &Digest) {
        if self.fails.remove(digest).is_none() {
            return;
        }
        if let Some(of_client) = self.clients.get_mut(&client) {
            of_client.retain(|(held, _)| held != digest);
            if of_client.is_empty() {
                self.clients.remove(&client);
            }
        }
    }

    /// Whether a check of this client failed within the last minute.
    pub(super) fn failed_lately(&self, client: IpAddr, now: Instant) -> bool {
        let last = self.clients.get(&client).and_then(VecDeque::back);
        last.is_some_and(|(_, since)| now.duration_since(*since) < RECENT_FAILURE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: usize) -> Digest {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_be_bytes());
        digest
    }

    fn client(number: u32) -> IpAddr {
        IpAddr::from(std::net::Ipv4Addr::from_bits(number))
    }

    #[test]
    fn a_flood_of_failures_pushes_out_no_success_and_no_failure_of_others() {
        let (mut results, now) = (Results::default(), Instant::now());
        results.add(digest(0), client(1), Some(2), now);
        results.add(digest(1), client(2), None, now);
        for number in 2..100_000 {
            results.add(digest(number), client(3), None, now);
        }
        assert_eq!(results.get(&digest(0), now), Some(Some(2)));
        assert_eq!(results.get(&digest(1), now), Some(None));
        assert_eq!(results.get(&digest(99_999), now), Some(None));
        assert_eq!(results.get(&digest(2), now), None);
        assert_eq!(results.fails.len(), 1 + MAX_FAILURES_PER_CLIENT);
        assert!(results.fails_order.len() <= 2 * MAX_FAILURES + 1);
    }

    #[test]
    fn failures_of_many_clients_are_bounded() {
        let (mut results, now) = (Results::default(), Instant::now());
        results.add(digest(0), client(0), Some(0), now);
        for number in 1..30_000 {
            let of = u32::try_from(number % 5000).unwrap();
            results.add(digest(number), client(of), None, now);
        }
        assert_eq!(results.fails.len(), MAX_FAILURES);
        let held: usize = results.clients.values().map(VecDeque::len).sum();
        assert_eq!(held, MAX_FAILURES);
        assert_eq!(results.get(&digest(0), now), Some(Some(0)));
        for number in 100_000..120_000 {
            results.add(digest(number), client(0), Some(0), now);
        }
        assert_eq!(
            (results.fits.len(), results.fits_order.len()),
            (MAX_SUCCESSES, MAX_SUCCESSES)
        );
    }

    #[test]
    fn results_expire() {
        let (mut results, now) = (Results::default(), Instant::now());
        results.add(digest(0), client(0), Some(0), now);
        results.add(digest(1), client(0), None, now);
        assert!(results.failed_lately(client(0), now) && !results.failed_lately(client(1), now));
        assert!(!results.failed_lately(client(0), now + RECENT_FAILURE));
        for number in 0..2 {
            assert!(results.get(&digest(number), now + RESULT_LIFETIME / 2).is_some());
            assert_eq!(results.get(&digest(number), now + RESULT_LIFETIME), None);
        }
    }
}
