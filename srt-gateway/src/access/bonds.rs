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

/// All bonded callers, by the number that each gives its group. libsrt joins links by that number and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Bonds {
    known: Mutex<HashMap<SocketId, (BondOf, Phase)>>,
}

impl Bonds {
    /// What the group is here for, if it is.
    pub(crate) fn find(&self, group: SocketId) -> Option<BondOf> {
        self.lock().get(&group).map(|(bond, _)| bond.clone())
    }

    /// A link of the group was granted, the first one with slots. Of two links that come at once by two ports, the group keeps
    /// the slots of one.
    pub(super) fn granted(&self, group: SocketId, bond: BondOf, held: HeldSlots, now: Instant) {
        let mut known = self.lock();
        let (_, phase) = known.entry(group).or_insert((bond, Phase::Expected(now, held)));
        if let Phase::Expected(since, _) = phase {
            *since = now;
        }
    }

    /// The group was accepted. Gives what it holds.
    pub(crate) fn opened(&self, group: SocketId, session: SessionId) -> HeldSlots {
        let mut known = self.lock();
        let Some((_, phase)) = known.get_mut(&group) else {
            return HeldSlots::default();
        };
        match std::mem::replace(phase, Phase::Open(session)) {
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
        self.lock().retain(|_, (_, phase)| !is_it(phase));
    }

    /// Forgets groups that were expected for longer than `patience`.
    pub(crate) fn expire(&self, patience: Duration, now: Instant) {
        let is_late = |phase: &Phase| match phase {
            Phase::Expected(since, _) => now.duration_since(*since) >= patience,
            Phase::Open(_) => false,
        };
        self.lock().retain(|_, (_, phase)| !is_late(phase));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SocketId, (BondOf, Phase)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
