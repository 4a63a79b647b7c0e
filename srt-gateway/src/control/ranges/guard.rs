//! Decides about callers of idle ports, on the thread that watches them: first the limits, then cached refusals;
//! otherwise control asks the backend. Takes only short locks and never waits.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use crossbeam_channel::Sender;

use super::RangeEvent;
use crate::{
    access::{Guards, PortPolicy, RefusalReason, Refused, Report, limited},
    config::KeyLength,
    data::{Keyed, Slot, Slots},
    io::{Attempt, IdleGuard, IdleId, Reaction},
};

/// The number of ports that may be open for an address before it has connected to them, because each port has threads
/// of its own.
const UNUSED_PER_ADDRESS: u32 = 32;

/// Decides about callers of idle ports.
#[derive(Debug)]
pub(super) struct RangeGuard {
    guards: Guards,
    refused: Sender<Refused>,
    events: Sender<RangeEvent>,
    verdicts: Mutex<HashMap<IdleId, Verdict>>,
    /// Per address, the ports that are open and not used yet.
    unused: Keyed<IpAddr, Slots>,
}

/// The cached verdict of an idle port.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) policy: Arc<PortPolicy>,
    /// The key length from the backend's last answer, advertised to the next caller.
    pub(super) key_length: Option<KeyLength>,
    pub(super) why: Option<(RefusalReason, Instant)>,
}

impl RangeGuard {
    pub(super) fn new(guards: Guards, refused: Sender<Refused>, events: Sender<RangeEvent>) -> Arc<Self> {
        Arc::new(Self {
            guards,
            refused,
            events,
            verdicts: Mutex::default(),
            unused: Keyed::default(),
        })
    }

    pub(super) fn verdict(&self, port: IdleId) -> Option<Verdict> {
        let verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.get(&port).cloned()
    }

    pub(super) fn set(&self, port: IdleId, verdict: Verdict) {
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.insert(port, verdict);
    }

    pub(super) fn remove(&self, port: IdleId) {
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.remove(&port);
    }

    pub(super) fn set_key_length(&self, port: IdleId, key_length: Option<KeyLength>) {
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(verdict) = verdicts.get_mut(&port) {
            verdict.key_length = key_length;
        }
    }

    /// Reserves a port for `peer`; None for addresses that are exempt from limits.
    fn reserve(&self, peer: SocketAddr) -> Result<Option<Slot>, RefusalReason> {
        let Some(address) = limited(peer.ip()) else {
            return Ok(None);
        };
        let slot = self.unused.of(address).take(UNUSED_PER_ADDRESS);
        slot.map(Some).ok_or(RefusalReason::TooManyUnusedPorts {
            max: UNUSED_PER_ADDRESS,
        })
    }

    fn refuse(&self, peer: SocketAddr, policy: &Arc<PortPolicy>, why: RefusalReason) -> Reaction {
        let code = why.code().code().map_or(0, |code| code.value());
        if let Some(tried) = why.failure(None, policy.number(), &[]) {
            let (code, now) = (why.code().value(), Instant::now());
            self.guards.limiter.count_failure(peer.ip(), tried, code, now);
        }
        // A full channel means that refusals arrive faster than they can be recorded.
        drop(self.refused.try_send(Refused {
            peer,
            port: Arc::clone(policy),
            streamid: Box::default(),
            handshake: None,
            why,
        }));
        Reaction::Refuse(code)
    }
}

impl IdleGuard for Arc<RangeGuard> {
    fn decide(&self, port: IdleId, peer: SocketAddr, attempt: Attempt) -> Reaction {
        let (peer, now) = (
            SocketAddr::new(peer.ip().to_canonical(), peer.port()),
            Instant::now(),
        );
        let Some(Verdict { policy, why, .. }) = self.verdict(port) else {
            return Reaction::Drop;
        };
        let caller = match attempt {
            Attempt::Proven(socket) => Some(socket),
            Attempt::Induction | Attempt::Late => None,
        };
        let address = self.guards.admit_address(peer, caller, now);
        match (address, why, attempt) {
            (Err((limited, Report::Yes)), ..) => self.refuse(peer, &policy, limited),
            (Err((limited, Report::No)), ..) => {
                Reaction::Refuse(limited.code().code().map_or(0, |code| code.value()))
            }
            (Ok(()), Some((why, until)), _) if now < until => self.refuse(peer, &policy, why),
            (Ok(()), _, Attempt::Late) => Reaction::Drop,
            (Ok(()), ..) => {
                let unused = match self.reserve(peer) {
                    Ok(unused) => unused,
                    Err(why) => return self.refuse(peer, &policy, why),
                };
                match self.events.send(RangeEvent::Contact(port, peer, unused)) {
                    Ok(()) => {
                        self.guards.limiter.deferred(peer, caller, now);
                        Reaction::Leave
                    }
                    // The gateway is shutting down.
                    Err(_) => Reaction::Drop,
                }
            }
        }
    }

    fn key_length(&self, port: IdleId) -> u8 {
        let verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        let key_length = verdicts.get(&port).and_then(|verdict| verdict.key_length);
        key_length.map_or(0, KeyLength::bytes)
    }
}
