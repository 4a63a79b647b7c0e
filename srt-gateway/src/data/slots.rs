//! Slots: a limit as something that is taken, held and given back, so that no burst of callers gets past it.
//!
//! A count that is compared first and raised later lets in everybody who asks in between. Here the comparison is the taking,
//! and a [`Slot`] gives its place back when it is dropped, wherever its owner ends: a refused verdict, a handshake that is never
//! completed, a session.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use crate::names::{Role, StreamName};

/// How many of a kind there are: connections of a port, viewers of a stream.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    taken: AtomicU32,
}

/// One of them, until dropped.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Slots>);

impl Slots {
    /// Takes a slot unless `limit` are taken; 0 is no limit.
    ///
    /// The limit is the caller's to name, each time: a reload may change it. What is held above a lowered limit stays.
    pub(crate) fn take(self: &Arc<Self>, limit: u32) -> Option<Slot> {
        let limit = if limit == 0 { u32::MAX } else { limit };
        let one_more = |taken| (taken < limit).then(|| taken + 1);
        self.taken.fetch_update(Relaxed, Relaxed, one_more).ok()?;
        Some(Slot(Arc::clone(self)))
    }

    /// How many are taken now.
    pub(crate) fn taken(&self) -> u32 {
        self.taken.load(Relaxed)
    }

    /// Whether nobody could take one now. An answer that is out of date when it arrives: to refuse early, not to let in.
    pub(crate) fn is_full(&self, limit: u32) -> bool {
        limit > 0 && self.taken() >= limit
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}

/// What a session holds.
#[derive(Debug, Default)]
pub(crate) struct HeldSlots {
    pub(crate) _port: Option<Slot>,
    pub(crate) _stream: Option<Slot>,
}

/// The slots of streams, by name and role: callers are let in to streams that are not there yet, and a stream that is made
/// anew by a reload still has the sessions of before.
#[derive(Debug, Default)]
pub(crate) struct StreamSlots {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    of: HashMap<(StreamName, Role), Weak<Slots>>,
    /// When names that nobody holds a slot of are forgotten.
    sweep_at: usize,
}

/// Names are swept out only beyond this many.
const FEW: usize = 64;

impl StreamSlots {
    /// The slots of those who have this role in the stream.
    pub(crate) fn of(&self, stream: &StreamName, role: Role) -> Arc<Slots> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (stream.clone(), role);
        if let Some(slots) = known.of.get(&key).and_then(Weak::upgrade) {
            return slots;
        }
        if known.of.len() >= known.sweep_at {
            known.of.retain(|_, slots| slots.strong_count() > 0);
            known.sweep_at = FEW.max(known.of.len() * 2);
        }
        let slots = Arc::new(Slots::default());
        known.of.insert(key, Arc::downgrade(&slots));
        slots
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
        let streams = StreamSlots::default();
        let (name, role) = (StreamName::new("live/a"), Role::Viewer);
        let held = streams.of(&name, role).take(1).unwrap();
        assert!(streams.of(&name, role).take(1).is_none());
        assert!(streams.of(&name, Role::Publisher).take(1).is_some());
        assert!(streams.of(&StreamName::new("live/b"), role).take(1).is_some());
        for other in 0..1000 {
            drop(streams.of(&StreamName::new(format!("live/{other}")), role));
        }
        assert!(streams.known.lock().unwrap().of.len() <= FEW);
        assert!(
            streams.of(&name, role).take(1).is_none(),
            "a sweep must not lose it"
        );
        drop(held);
        assert!(streams.of(&name, role).take(1).is_some());
    }

    proptest! {
        /// Any order of taking under changing limits and of giving back: taken is what is held, and nobody gets one beyond
        /// the limit of the moment.
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
