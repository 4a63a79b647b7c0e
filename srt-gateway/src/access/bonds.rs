//! Bonded callers that are here or on their way. Each link of a group knocks by itself and is decided on by itself; what
//! belongs to the group as a whole (the place of the source, a place among the viewers) is the first link's to get.
//!
//! Asked and told in the listen callbacks, told by control. One lock, held for a look-up.
//!
//! ```text
//!   (none) ──a link is granted──▶ Expected ──accepted──▶ Open ──its session ends──▶ (none)
//!                                    └──not within COMPLETION──▶ (none)
//! ```

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use srt_safe::SocketId;

use super::reason::RefusalReason;
use crate::{
    data::HeldSlots,
    names::{Role, SessionId, StreamName},
};

/// What the first link of a group was let in for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BondOf {
    pub(crate) stream: StreamName,
    pub(crate) role: Role,
}

#[derive(Debug)]
enum Phase {
    /// The group holds its slots, not the link that brought it: any of its links may be the first to connect.
    Expected(Instant, HeldSlots),
    Open(SessionId),
}

/// How many links a group may have at a time.
pub(crate) const MAX_LINKS: usize = 16;

/// A bonded caller.
#[derive(Debug)]
struct Bonded {
    bond: BondOf,
    phase: Phase,
    /// Since when each of its links is granted. Links that are gone are in it until the group is full.
    links: HashMap<SocketId, Instant>,
}

/// All bonded callers, by the number that each gives its group. libsrt joins links by that number and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Bonds {
    known: Mutex<HashMap<SocketId, Bonded>>,
}

impl Bonded {
    fn is_full(&self) -> bool {
        self.links.len() >= MAX_LINKS
    }
}

impl Bonds {
    /// What the group is here for, if it is.
    pub(crate) fn find(&self, group: SocketId) -> Option<BondOf> {
        self.lock().get(&group).map(|bonded| bonded.bond.clone())
    }

    /// Whether the group has as many links as it may.
    pub(super) fn is_full(&self, group: SocketId) -> bool {
        self.lock().get(&group).is_some_and(Bonded::is_full)
    }

    /// Adds a link that is granted, the first one with slots. Of two links that come at once by two ports, the group keeps
    /// the slots of one.
    ///
    /// # Errors
    /// The group has as many links as it may.
    pub(super) fn add_link(
        &self,
        (group, link): (SocketId, SocketId),
        bond: BondOf,
        held: HeldSlots,
        now: Instant,
    ) -> Result<(), RefusalReason> {
        let mut known = self.lock();
        let bonded = known.entry(group).or_insert_with(|| Bonded {
            bond,
            phase: Phase::Expected(now, held),
            links: HashMap::new(),
        });
        if bonded.is_full() && !bonded.links.contains_key(&link) {
            return Err(RefusalReason::BondFull);
        }
        bonded.links.insert(link, now);
        if let Phase::Expected(since, _) = &mut bonded.phase {
            *since = now;
        }
        Ok(())
    }

    /// The links of full groups that were granted at least `age` ago: some of them may be gone.
    pub(crate) fn links_of_full(&self, age: Duration, now: Instant) -> Vec<SocketId> {
        let known = self.lock();
        let full = known.values().filter(|bonded| bonded.is_full());
        full.flat_map(|bonded| &bonded.links)
            .filter(|(_, since)| now.duration_since(**since) >= age)
            .map(|(link, _)| *link)
            .collect()
    }

    /// Makes room for others in place of these links.
    pub(crate) fn remove_links(&self, gone: &[SocketId]) {
        if gone.is_empty() {
            return;
        }
        for bonded in self.lock().values_mut() {
            bonded.links.retain(|link, _| !gone.contains(link));
        }
    }

    /// The group was accepted. Gives what it holds.
    pub(crate) fn opened(&self, group: SocketId, session: SessionId) -> HeldSlots {
        let mut known = self.lock();
        let Some(bonded) = known.get_mut(&group) else {
            return HeldSlots::default();
        };
        match std::mem::replace(&mut bonded.phase, Phase::Open(session)) {
            Phase::Expected(_, held) => held,
            Phase::Open(_) => HeldSlots::default(),
        }
    }

    /// The group was accepted, and closed before it had a session.
    pub(crate) fn forget(&self, group: SocketId) {
        self.lock().remove(&group);
    }

    /// The session of a group is over.
    pub(crate) fn closed(&self, session: SessionId) {
        let is_it = |phase: &Phase| matches!(phase, Phase::Open(of) if *of == session);
        self.lock().retain(|_, bonded| !is_it(&bonded.phase));
    }

    /// Forgets groups that were expected for longer than `patience`.
    pub(crate) fn expire(&self, patience: Duration, now: Instant) {
        let is_late = |phase: &Phase| match phase {
            Phase::Expected(since, _) => now.duration_since(*since) >= patience,
            Phase::Open(_) => false,
        };
        self.lock().retain(|_, bonded| !is_late(&bonded.phase));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SocketId, Bonded>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
