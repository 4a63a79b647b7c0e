//! Values by address, of which the least recently used ones are dropped. Pure.

use std::{
    collections::HashMap,
    mem,
    net::IpAddr,
    time::{Duration, Instant},
};

/// When all values must be kept, this is checked again at most this often, because the check visits every value.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Holds at most one and a half times `capacity` values, for any number of addresses, at a constant amortised cost per
/// new one: there are two generations, and when the young one is full, it replaces the old one, which is dropped.
#[derive(Debug)]
pub(crate) struct Recent<V> {
    generation: usize,
    young: HashMap<IpAddr, V>,
    old: HashMap<IpAddr, V>,
    /// When too many values had to be kept to drop a generation.
    full: Option<Instant>,
}

impl<V> Recent<V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            generation: capacity / 2,
            young: HashMap::new(),
            old: HashMap::new(),
            full: None,
        }
    }

    /// The value of this address, which counts as used; created by `make` if there is none. Values for which `is_kept`
    /// returns true are not dropped. None: too many are kept.
    pub(crate) fn get_or(
        &mut self,
        key: IpAddr,
        now: Instant,
        is_kept: impl Fn(&V) -> bool,
        make: impl FnOnce() -> V,
    ) -> Option<&mut V> {
        if !self.young.contains_key(&key) {
            let known = self.old.remove(&key);
            if self.young.len() >= self.generation && !self.forget(now, is_kept) {
                return known.map(|known| self.old.entry(key).or_insert(known));
            }
            self.young.insert(key, known.unwrap_or_else(make));
        }
        self.young.get_mut(&key)
    }

    /// The value of this address, without counting as used.
    pub(crate) fn get_mut(&mut self, key: &IpAddr) -> Option<&mut V> {
        self.young.get_mut(key).or_else(|| self.old.get_mut(key))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&IpAddr, &V)> {
        self.young.iter().chain(&self.old)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&IpAddr, &mut V)> {
        self.young.iter_mut().chain(&mut self.old)
    }

    /// Turns the young generation into the old one. Returns false if too many values of the old one must be kept.
    fn forget(&mut self, now: Instant, is_kept: impl Fn(&V) -> bool) -> bool {
        if self
            .full
            .is_some_and(|full| now.saturating_duration_since(full) < AGAIN_AFTER)
        {
            return false;
        }
        self.old.retain(|_, value| is_kept(value));
        let is_full = self.old.len() > self.generation;
        self.full = is_full.then_some(now);
        if !is_full {
            let kept = mem::replace(&mut self.old, mem::take(&mut self.young));
            self.old.extend(kept);
        }
        !is_full
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, net::Ipv4Addr};

    use super::*;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn values_that_are_used_outlive_a_flood_of_others() {
        let mut recent = Recent::new(100);
        let now = Instant::now();
        for number in 1..10_000 {
            *recent.get_or(address(0), now, |_| false, || 0).unwrap() += 1;
            *recent.get_or(address(number), now, |_| false, || 0).unwrap() += 1;
            assert!(recent.iter().count() <= 100);
        }
        assert_eq!(recent.get_mut(&address(0)), Some(&mut 9_999));
        assert_eq!(recent.get_mut(&address(1)), None);
    }

    #[test]
    fn a_new_address_costs_the_same_however_many_there_are() {
        let looks = Cell::new(0_u32);
        let mut recent = Recent::new(100);
        let now = Instant::now();
        // Half of them must be kept, until nothing else is left.
        for number in 0..100_000_u32 {
            let is_kept = |kept: &bool| {
                looks.set(looks.get() + 1);
                *kept
            };
            recent.get_or(address(number), now, is_kept, || number % 2 == 0);
            assert!(recent.iter().count() <= 150);
        }
        assert!(looks.get() <= 1000, "{}", looks.get());
        assert_eq!(recent.get_or(address(100_001), now, |_| true, || true), None);
        let first = recent.get_or(address(0), now, |_| true, || false);
        assert_eq!(first, Some(&mut true), "it is kept and can be used");
        let later = now + AGAIN_AFTER;
        assert!(
            recent
                .get_or(address(100_001), later, |_| false, || true)
                .is_some()
        );
    }
}
