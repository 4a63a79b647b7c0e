//! Slots: limits that are reserved, held and released, so that no burst of callers exceeds them.
//!
//! A count that is compared first and increased later admits everybody who asks in between. Here, comparing and
//! reserving is one step, and dropping a [`Slot`] releases it wherever its owner ends: in a refused verdict, an
//! incomplete handshake, or a session.

use std::{
    collections::HashMap,
    convert::Infallible,
    hash::Hash,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use crate::names::{Role, StreamName};

/// A counter of one kind: connections of a port, viewers of a stream.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    taken: AtomicU32,
}

/// One reservation, until dropped.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Slots>);

impl Slots {
    /// Reserves a slot unless `limit` are taken; 0 means no limit.
    ///
    /// The caller passes the limit each time, because a reload may change it. Slots above a lowered limit stay.
    pub(crate) fn take(self: &Arc<Self>, limit: u32) -> Option<Slot> {
        let limit = if limit == 0 { u32::MAX } else { limit };
        let one_more = |taken| (taken < limit).then(|| taken + 1);
        self.taken.fetch_update(Relaxed, Relaxed, one_more).ok()?;
        Some(Slot(Arc::clone(self)))
    }

    /// The number of reserved slots.
    pub(crate) fn taken(&self) -> u32 {
        self.taken.load(Relaxed)
    }

    /// Whether no slot is free. The answer may be outdated when it arrives: use it to refuse early, not to admit.
    pub(crate) fn is_full(&self, limit: u32) -> bool {
        limit > 0 && self.taken() >= limit
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}

/// The slots of a session.
#[derive(Debug, Default)]
pub(crate) struct HeldSlots {
    pub(crate) _port: Option<Slot>,
    pub(crate) _stream: Option<Slot>,
    pub(crate) _address: Option<Slot>,
    pub(crate) _created: Option<CreatedSlot>,
}

/// The slots shared by all ports.
#[derive(Debug, Default)]
pub(crate) struct SharedSlots {
    /// By name and role: callers are admitted to streams that do not exist yet, and a stream that a reload creates
    /// again still has its earlier sessions.
    pub(crate) streams: Keyed<(StreamName, Role), Slots>,
    /// Sessions by address.
    pub(crate) addresses: Keyed<IpAddr, Slots>,
    pub(crate) created: CreatedStreams,
}

/// Values by key for as long as somebody holds them.
#[derive(Debug)]
pub(crate) struct Keyed<K, V> {
    known: Mutex<WeakMap<K, V>>,
}

#[derive(Debug)]
struct WeakMap<K, V> {
    of: HashMap<K, Weak<V>>,
    /// The size at which unused keys are swept.
    sweep_at: usize,
}

/// Keys are swept only beyond this many.
const FEW: usize = 64;

impl<K, V> Default for Keyed<K, V> {
    fn default() -> Self {
        Self {
            known: Mutex::new(WeakMap {
                of: HashMap::new(),
                sweep_at: 0,
            }),
        }
    }
}

impl<K: Eq + Hash, V> Keyed<K, V> {
    /// The value of `key`, while somebody holds it.
    pub(crate) fn get(&self, key: &K) -> Option<Arc<V>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.of.get(key).and_then(Weak::upgrade)
    }

    /// The value of `key`; if nobody holds one, `make` creates it.
    fn get_or<E>(&self, key: K, make: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known.of.get(&key).and_then(Weak::upgrade) {
            return Ok(value);
        }
        let value = Arc::new(make()?);
        if known.of.len() >= known.sweep_at {
            known.of.retain(|_, value| value.strong_count() > 0);
            known.sweep_at = FEW.max(known.of.len() * 2);
        }
        known.of.insert(key, Arc::downgrade(&value));
        Ok(value)
    }
}

impl<K: Eq + Hash> Keyed<K, Slots> {
    /// The slots of this key.
    pub(crate) fn of(&self, key: K) -> Arc<Slots> {
        let made: Result<_, Infallible> = self.get_or(key, || Ok(Slots::default()));
        match made {
            Ok(slots) => slots,
        }
    }

    /// Like [`Slots::is_full`].
    pub(crate) fn is_full(&self, key: &K, limit: u32) -> bool {
        self.get(key).is_some_and(|slots| slots.is_full(limit))
    }
}

/// Limits on streams that callers create; 0: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CreatedLimits {
    pub(crate) all: u32,
    pub(crate) per_address: u32,
}

/// Which of the [`CreatedLimits`] is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CreatedFull {
    All,
    OfAddress,
}

/// Streams created by callers. Such a stream counts once in total while it has any session, and for the address that
/// created it while one of that address's sessions is in it: others who join cannot keep it on its creator's account.
#[derive(Debug, Default)]
pub(crate) struct CreatedStreams {
    all: Arc<Slots>,
    of_addresses: Keyed<IpAddr, Slots>,
    streams: Keyed<StreamName, Created>,
}

#[derive(Debug)]
struct Created {
    _slot: Slot,
    creator: Option<IpAddr>,
    of_creator: Weak<Slot>,
}

/// What a session in such a stream holds.
#[derive(Debug)]
pub(crate) struct CreatedSlot {
    _stream: Arc<Created>,
    _of_creator: Option<Arc<Slot>>,
}

impl CreatedStreams {
    /// Joins a stream, creating it if nobody has. An `address` of None is exempt from the limit per address.
    pub(crate) fn take(
        &self,
        stream: &StreamName,
        address: Option<IpAddr>,
        limits: CreatedLimits,
    ) -> Result<CreatedSlot, CreatedFull> {
        let mut own = None;
        let created = self.streams.get_or(stream.clone(), || {
            let slot = self.all.take(limits.all).ok_or(CreatedFull::All)?;
            if let Some(address) = address {
                let of_address = self.of_addresses.of(address).take(limits.per_address);
                own = Some(Arc::new(of_address.ok_or(CreatedFull::OfAddress)?));
            }
            Ok(Created {
                _slot: slot,
                creator: address,
                of_creator: own.as_ref().map(Arc::downgrade).unwrap_or_default(),
            })
        })?;
        let joined = || {
            (created.creator == address)
                .then(|| created.of_creator.upgrade())
                .flatten()
        };
        let of_creator = own.or_else(joined);
        Ok(CreatedSlot {
            _stream: created,
            _of_creator: of_creator,
        })
    }

    /// Whether [`take`](Self::take) would fail now: use it to refuse early, not to admit.
    pub(crate) fn check(
        &self,
        stream: &StreamName,
        address: Option<IpAddr>,
        limits: CreatedLimits,
    ) -> Result<(), CreatedFull> {
        if self.streams.get(stream).is_some() {
            return Ok(());
        }
        if self.all.is_full(limits.all) {
            return Err(CreatedFull::All);
        }
        match address {
            Some(address) if self.of_addresses.is_full(&address, limits.per_address) => {
                Err(CreatedFull::OfAddress)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_many_at_once_no_more_get_a_slot_than_there_are() {
        for limit in [1, 3, 17] {
            let slots = Arc::new(Slots::default());
            let start = Barrier::new(40);
            let held: Vec<_> = thread::scope(|scope| {
                let threads: Vec<_> = (0..40)
                    .map(|_| {
                        scope.spawn(|| {
                            start.wait();
                            slots.take(limit)
                        })
                    })
                    .collect();
                threads
                    .into_iter()
                    .filter_map(|thread| thread.join().unwrap())
                    .collect()
            });
            assert_eq!((held.len(), slots.taken()), (limit as usize, limit));
            drop(held);
            assert_eq!(slots.taken(), 0);
        }
    }

    #[test]
    fn a_streams_slots_are_the_same_while_anybody_holds_one_and_are_forgotten_afterwards() {
        let keyed = Keyed::<(StreamName, Role), Slots>::default();
        let of = |name: &StreamName, role| keyed.of((name.clone(), role));
        let (name, role) = (StreamName::new("live/a"), Role::Viewer);
        let held = of(&name, role).take(1).unwrap();
        assert!(of(&name, role).take(1).is_none());
        assert!(of(&name, Role::Publisher).take(1).is_some());
        assert!(of(&StreamName::new("live/b"), role).take(1).is_some());
        for other in 0..1000 {
            drop(of(&StreamName::new(format!("live/{other}")), role));
        }
        assert!(keyed.known.lock().unwrap().of.len() <= FEW);
        assert!(of(&name, role).take(1).is_none(), "a sweep must not lose it");
        drop(held);
        assert!(of(&name, role).take(1).is_some());
    }

    #[test]
    fn created_streams_count_while_they_are_used_and_for_whoever_created_them() {
        let created = CreatedStreams::default();
        let limits = CreatedLimits {
            all: 3,
            per_address: 2,
        };
        let address = |last: u8| Some(IpAddr::from([192, 0, 2, last]));
        let take = |name: &str, of| {
            let name = StreamName::new(name);
            let told = created.check(&name, of, limits);
            let taken = created.take(&name, of, limits);
            assert_eq!(told.err(), taken.as_ref().err().copied());
            taken
        };
        let a = take("a", address(1)).unwrap();
        let b = take("b", address(1)).unwrap();
        assert_eq!(take("c", address(1)).unwrap_err(), CreatedFull::OfAddress);
        let viewers = [take("a", address(1)).unwrap(), take("b", address(2)).unwrap()];
        let c = take("c", address(2)).unwrap();
        assert_eq!(take("d", address(3)).unwrap_err(), CreatedFull::All);
        assert_eq!(take("d", None).unwrap_err(), CreatedFull::All);
        drop((a, c));
        assert_eq!(
            take("d", address(1)).unwrap_err(),
            CreatedFull::OfAddress,
            "its viewer is in a"
        );
        // Its creator has left b, but another session keeps it.
        drop(b);
        let d = take("d", address(1)).unwrap();
        assert_eq!(take("e", None).unwrap_err(), CreatedFull::All);
        drop((viewers, d));
        assert_eq!(created.all.taken(), 0);
        assert_eq!(created.of_addresses.of(address(1).unwrap()).taken(), 0);
    }

    #[test]
    fn of_many_at_once_no_more_streams_are_created_than_may_be() {
        let created = CreatedStreams::default();
        let limits = CreatedLimits {
            all: 0,
            per_address: 7,
        };
        let start = Barrier::new(40);
        let taken: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..40)
                .map(|number| {
                    let (created, start) = (&created, &start);
                    scope.spawn(move || {
                        let stream = StreamName::new(format!("live/{}", number / 2));
                        start.wait();
                        created.take(&stream, Some(IpAddr::from([192, 0, 2, 1])), limits)
                    })
                })
                .collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().unwrap().ok())
                .collect()
        });
        assert_eq!((created.all.taken(), taken.len()), (7, 14));
    }

    proptest! {
        /// For any order of reserving under changing limits and of releasing: the count equals the held slots, and
        /// nobody exceeds the limit of the moment.
        #[test]
        fn taken_is_what_is_held(steps in prop::collection::vec((any::<bool>(), 0u32..6, any::<prop::sample::Index>()), 0..200)) {
            let slots = Arc::new(Slots::default());
            let mut held: Vec<Slot> = Vec::new();
            for (takes, limit, which) in steps {
                if takes {
                    let free = limit == 0 || held.len() < limit as usize;
                    prop_assert_eq!(slots.is_full(limit), !free);
                    let slot = slots.take(limit);
                    prop_assert_eq!(slot.is_some(), free);
                    held.extend(slot);
                } else if !held.is_empty() {
                    held.swap_remove(which.index(held.len()));
                }
                prop_assert_eq!(slots.taken() as usize, held.len());
            }
            drop(held);
            prop_assert_eq!(slots.taken(), 0);
        }
    }
}
