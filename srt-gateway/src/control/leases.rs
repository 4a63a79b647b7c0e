//! What the hook granted to sessions: a lifetime, after which the hook is asked again, and outputs that a publisher
//! brings.
//!
//! Runs on control's thread. The hook answers on another thread; its answers wait in a channel until the next tick. A
//! session that is renewed is not interrupted.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender};
use tracing::{info, warn};

use super::Control;
use crate::{
    access::{HookGrant, HookQuestion, HookVerdict, RefusalReason, Refused, Submitted, Terms},
    config::Endpoint,
    io::{CloseReason, Message},
    names::{Role, SessionId},
};

/// The delay before a question is repeated when too many questions were open.
const BUSY: Duration = Duration::from_secs(1);

/// The sessions that the hook admitted for a limited time.
#[derive(Debug)]
pub(super) struct Leases {
    all: BTreeMap<SessionId, Lease>,
    answers: Sender<(SessionId, HookVerdict)>,
    answered: Receiver<(SessionId, HookVerdict)>,
}

/// The lease of one session.
///
/// ```text
///   Held ──its lifetime has expired──▶ Asking ──still admitted──▶ Held
///                                     │──admitted forever──▶ (no lease)
///                                     └──refused────────────▶ the session is closed
/// ```
#[derive(Debug)]
struct Lease {
    question: Box<HookQuestion>,
    lifetime: Duration,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Held(Instant),
    Asking,
}

impl Default for Leases {
    fn default() -> Self {
        // Bounded in practice: each session has at most one answer pending.
        let (answers, answered) = crossbeam_channel::unbounded();
        Self {
            all: BTreeMap::new(),
            answers,
            answered,
        }
    }
}

impl Leases {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

impl Control {
    /// Starts the lease of a session that the hook admitted.
    pub(super) fn hold_lease(&mut self, session: SessionId, grant: Option<HookGrant>, now: Instant) {
        let Some(HookGrant { question, terms }) = grant else {
            return;
        };
        if let Some(lifetime) = terms.lifetime {
            let phase = Phase::Held(now + lifetime);
            let lease = Lease {
                question,
                lifetime,
                phase,
            };
            self.leases.all.insert(session, lease);
        }
        self.set_hook_outputs(session, &terms, now);
    }

    /// Ends the lease of a session, and removes its outputs.
    pub(super) fn end_lease(&mut self, session: SessionId, now: Instant) {
        self.leases.all.remove(&session);
        self.endpoints.remove_published_outputs(session, now);
    }

    /// Renews expired leases, and applies the answers that have arrived.
    pub(super) fn tick_leases(&mut self, now: Instant) {
        let hook = &self.opener.guards.hook;
        self.leases.all.retain(|session, lease| {
            let Phase::Held(until) = lease.phase else {
                return true;
            };
            if now < until {
                return true;
            }
            let (session, answers) = (*session, self.leases.answers.clone());
            // Control reads the channel as long as it runs.
            let done = move |verdict| drop(answers.send((session, verdict)));
            lease.phase = match hook.ask_again(&lease.question, now, done) {
                Some(Submitted::Waiting) => Phase::Asking,
                Some(Submitted::Busy) => Phase::Held(now + BUSY),
                // A reload has removed the hook, so its conditions no longer apply.
                None => return false,
            };
            true
        });
        let answered: Vec<_> = self.leases.answered.try_iter().collect();
        for (session, verdict) in answered {
            self.lease_answered(session, verdict, now);
        }
    }

    fn lease_answered(&mut self, session: SessionId, verdict: HookVerdict, now: Instant) {
        let Some(lease) = self.leases.all.get_mut(&session) else {
            return;
        };
        match verdict {
            HookVerdict::LetIn => lease.phase = Phase::Held(now + lease.lifetime),
            HookVerdict::Admitted(terms) => {
                match terms.lifetime {
                    Some(lifetime) => {
                        lease.lifetime = lifetime;
                        lease.phase = Phase::Held(now + lifetime);
                    }
                    None => drop(self.leases.all.remove(&session)),
                }
                self.set_hook_outputs(session, &terms, now);
            }
            HookVerdict::Refused(refusal) => {
                self.leases.all.remove(&session);
                let Some(open) = self.registry.session(session) else {
                    return;
                };
                if let Some(port) = open.via.admitted_by() {
                    self.refusals.record(&Refused {
                        peer: open.peer,
                        port: Arc::clone(port),
                        streamid: open.streamid.clone(),
                        handshake: None,
                        why: RefusalReason::Hook(refusal.clone()),
                    });
                }
                info!(
                    %session, role = %open.role, stream = %open.stream, peer = %open.peer,
                    code = refusal.code.value(), "the session's lifetime has ended: {}", refusal.why
                );
                let reason = CloseReason::NotRenewed(refusal.code);
                self.pool.send(open.worker, Message::Close(open.socket, reason));
            }
        }
    }

    /// Applies the outputs that come with a publisher.
    fn set_hook_outputs(&mut self, session: SessionId, terms: &Terms, now: Instant) {
        let Some(open) = self.registry.session(session) else {
            return;
        };
        if open.role != Role::Publisher {
            return;
        }
        let stream = open.stream.clone();
        let expand = |endpoint: &Endpoint| match endpoint.for_stream(stream.as_str()) {
            Ok(endpoint) => Some(endpoint),
            Err(error) => {
                warn!(%session, %stream, %endpoint, "cannot create an output that the hook requested: {error}");
                None
            }
        };
        let outputs = terms.outputs.iter().filter_map(expand).collect();
        self.endpoints
            .set_published_outputs(session, &stream, outputs, now);
    }
}
