//! Bonded callers that are connected or connecting. libsrt asks about each link of a group separately; the first link
//! takes what belongs to the group as a whole, such as the stream's writer or a viewer's slot.
//!
//! Read and written in the listen callbacks, and written by control. One lock, held for a look-up.
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

/// What the first link of a group was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BondOf {
    pub(crate) stream: StreamName,
    pub(crate) role: Role,
}

#[derive(Debug)]
enum Phase {
    /// The group holds the slots rather than the link that brought them, because any of its links may connect first.
    Expected(Instant, HeldSlots),
    Open(SessionId),
}

/// The number of links that a group may have.
pub(crate) const MAX_LINKS: usize = 16;

/// A bonded caller.
#[derive(Debug)]
struct Bonded {
    bond: BondOf,
    phase: Phase,
    /// When each of its links was granted. Lost links stay here until the group is full.
    links: HashMap<SocketId, Instant>,
}

/// All bonded callers, by their group ids, which libsrt uses to join links.
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
    /// What the group was granted, if it is known.
    pub(crate) fn find(&self, group: SocketId) -> Option<BondOf> {
        self.lock().get(&group).map(|bonded| bonded.bond.clone())
    }

    /// Whether the group has the maximum number of links.
    pub(super) fn is_full(&self, group: SocketId) -> bool {
        self.lock().get(&group).is_some_and(Bonded::is_full)
    }

    /// Adds a granted link; the first one brings the slots. If two first links arrive at once on two ports, the group
    /// keeps the slots of one.
    ///
    /// # Errors
    /// The group has the maximum number of links.
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

    /// Links of full groups that were granted at least `age` ago: some of them may be lost.
    pub(crate) fn links_of_full(&self, age: Duration, now: Instant) -> Vec<SocketId> {
        let known = self.lock();
        let full = known.values().filter(|bonded| bonded.is_full());
        full.flat_map(|bonded| &bonded.links)
            .filter(|(_, since)| now.duration_since(**since) >= age)
            .map(|(link, _)| *link)
            .collect()
    }

    /// Removes these links to make room for others.
    pub(crate) fn remove_links(&self, gone: &[SocketId]) {
        if gone.is_empty() {
            return;
        }
        for bonded in self.lock().values_mut() {
            bonded.links.retain(|link, _| !gone.contains(link));
        }
    }

    /// Called when the group is accepted. Returns its slots.
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

    /// The group was accepted and closed before it had a session.
    pub(crate) fn forget(&self, group: SocketId) {
        self.lock().remove(&group);
    }

    /// Called when a group's session has ended.
    pub(crate) fn closed(&self, session: SessionId) {
        let is_it = |phase: &Phase| matches!(phase, Phase::Open(of) if *of == session);
        self.lock().retain(|_, bonded| !is_it(&bonded.phase));
    }

    /// Removes groups that have been expected for longer than `patience`.
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
