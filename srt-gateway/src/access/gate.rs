//! The gate of one listener of any kind: calls `decide` from libsrt's listen callback and keeps grants until accept.
//!
//! Runs on the port's receiving thread, under the listener's lock: it reads a snapshot, takes one short lock of its
//! own, and sends refusals to control over a bounded channel. It does no I/O and never waits.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use crossbeam_channel::Sender;
use srt_safe::{
    AccessRequest, Admission, CallerHandshake, Passphrase, RejectCode, SocketId, SocketState, SrtListener,
    SrtVersion, Verdict, log::EncryptionFault,
};

use super::{
    Bonds, Caller, Checks, Decision, Directory, Grant, PortPolicy, RateLimiter, Report, Scope,
    bonds::BondOf,
    checks::{CheckResults, KeyFit, Question},
    decide::{asked_role, decide},
    hook::{Hook, HookQuestion, HookVerdict, Submitted},
    policy::connection_options,
    rate_limiter::Check,
    reason::RefusalReason,
};
use crate::{
    config::{PortKind, Secret},
    telemetry::Resources,
};

/// A granted handshake that is not completed by then (wrong passphrase, caller gone) is dropped.
const COMPLETION: Duration = Duration::from_secs(10);

/// The version of handshakes of SRT 1.3 and later.
const FIRST_WITH_STREAMID: i32 = 5;

/// If a granted handshake is this old and its socket is gone, libsrt has refused it or the caller has left.
const SETTLED: Duration = Duration::from_millis(500);

/// Whether libsrt has closed the socket.
fn is_gone(socket: SocketId) -> bool {
    matches!(
        socket.state(),
        SocketState::Closing | SocketState::Closed | SocketState::NonExistent
    )
}

/// A refused caller, for the record.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) peer: SocketAddr,
    pub(crate) port: Arc<PortPolicy>,
    pub(crate) streamid: Box<[u8]>,
    pub(crate) handshake: Option<CallerHandshake>,
    pub(crate) why: RefusalReason,
}

/// A grant whose handshake is not completed yet.
#[derive(Debug)]
pub(crate) struct Granted {
    since: Instant,
    peer: SocketAddr,
    pub(crate) streamid: Box<[u8]>,
    handshake: Option<CallerHandshake>,
    pub(crate) grant: Grant,
}

impl Granted {
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(crate) fn handshake(&self) -> Option<CallerHandshake> {
        self.handshake
    }

    /// The handshake was not completed, and libsrt does not say why.
    pub(crate) fn incomplete(self, port: Arc<PortPolicy>) -> Refused {
        Refused {
            peer: self.peer,
            port,
            streamid: self.streamid,
            handshake: self.handshake,
            why: RefusalReason::Incomplete,
        }
    }

    /// The caller's group id, if it is bonded.
    pub(crate) fn group(&self) -> Option<SocketId> {
        Some(self.handshake?.group?.id)
    }

    /// libsrt refused the caller after the grant, because of encryption.
    pub(crate) fn refused(self, port: Arc<PortPolicy>, fault: EncryptionFault) -> Refused {
        let why = match self.handshake {
            Some(handshake) => RefusalReason::of_encryption_seen(fault, handshake, self.grant),
            None => RefusalReason::of_encryption(fault, self.grant),
        };
        Refused {
            peer: self.peer,
            port,
            streamid: self.streamid,
            handshake: self.handshake,
            why,
        }
    }
}

/// Shared by all gates.
#[derive(Clone, Debug)]
pub(crate) struct Guards {
    pub(crate) limiter: Arc<RateLimiter>,
    pub(crate) checks: Arc<Checks>,
    pub(crate) bonds: Arc<Bonds>,
    pub(crate) hook: Arc<Hook>,
    pub(crate) resources: Arc<Resources>,
    pub(crate) drain: Arc<Drain>,
}

/// Whether new sessions are refused, including on ports that stay open.
#[derive(Debug, Default)]
pub(crate) struct Drain(AtomicBool);

impl Drain {
    /// Refuses all callers from now on.
    pub(crate) fn begin(&self) {
        self.0.store(true, Relaxed);
    }

    /// Admits callers again.
    pub(crate) fn end(&self) {
        self.0.store(false, Relaxed);
    }
}

impl Guards {
    /// Replaces lost links of full groups, and drops groups that never connected.
    pub(crate) fn tick_bonds(&self, now: Instant) {
        // Without the lock: a listen callback may hold libsrt's locks while it waits for this one.
        let mut gone = self.bonds.links_of_full(SETTLED, now);
        gone.retain(|link| is_gone(*link));
        self.bonds.remove_links(&gone);
        self.bonds.expire(COMPLETION, now);
    }

    /// Checks an address before anything else is done for it.
    ///
    /// # Errors
    /// The reason for refusing it, and whether to record the refusal.
    pub(crate) fn admit_address(
        &self,
        peer: SocketAddr,
        caller: Option<i32>,
        now: Instant,
    ) -> Result<(), (RefusalReason, Report)> {
        match self.limiter.check(peer, caller, now) {
            Check::RateLimited(report) => return Err((RefusalReason::TooManyHandshakes, report)),
            Check::Banned(ban, report) => return Err((RefusalReason::Banned(ban), report)),
            Check::Pass => {}
        }
        if self.drain.0.load(Relaxed) {
            return Err((RefusalReason::Draining, Report::Yes));
        }
        match self.resources.shortage() {
            Some(short) => Err((RefusalReason::Short(short), Report::Yes)),
            None => Ok(()),
        }
    }

    /// Submits a question whose answer is not known; returns a reason to refuse if the caller cannot be kept waiting.
    pub(super) fn ask(&self, question: Question, peer: IpAddr, now: Instant) -> Result<(), RefusalReason> {
        let can_wait = SrtListener::can_defer();
        match question {
            Question::Password(question) => {
                // If the queue is full, the caller's next handshake asks again.
                self.checks.ask_password(question, peer, now);
                if can_wait {
                    Ok(())
                } else {
                    Err(RefusalReason::Undecided)
                }
            }
            Question::Key(question) => {
                self.checks.ask_key(question, peer, now);
                if can_wait {
                    Ok(())
                } else {
                    Err(RefusalReason::Undecided)
                }
            }
            Question::Hook(question) => match self.hook.ask(&question, now) {
                Submitted::Waiting if can_wait => Ok(()),
                Submitted::Waiting => Err(RefusalReason::HookUndecided),
                Submitted::Busy => Err(RefusalReason::HookBusy),
            },
        }
    }
}

/// The check results for the caller of a handshake.
pub(super) struct CallerResults<'a> {
    request: &'a AccessRequest<'a>,
    guards: &'a Guards,
    now: Instant,
}

impl<'a> CallerResults<'a> {
    pub(super) fn new(request: &'a AccessRequest<'a>, guards: &'a Guards, now: Instant) -> Self {
        Self { request, guards, now }
    }
}

impl fmt::Debug for CallerResults<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen").finish_non_exhaustive()
    }
}

impl CheckResults for CallerResults<'_> {
    fn key(&self, passphrases: &[Passphrase]) -> KeyFit {
        // A library that cannot defer verdicts shows no key material either.
        let key = self.request.key_request().filter(|_| SrtListener::can_defer());
        let Some(key) = key else {
            return KeyFit::Unseen;
        };
        let peer = self.request.peer_addr().ip();
        self.guards.checks.key(&key, passphrases, peer, self.now)
    }

    fn password(&self, hash: &Secret, password: &Secret) -> Option<bool> {
        self.guards.checks.password(hash, password)
    }

    fn hook(&self, question: &HookQuestion) -> Option<HookVerdict> {
        self.guards.hook.known(question, self.now)
    }
}

/// One listener's gate.
#[derive(Debug)]
pub(crate) struct Gate {
    port: Arc<PortPolicy>,
    directory: Arc<ArcSwap<Directory>>,
    granted: Mutex<HashMap<SocketId, Granted>>,
    refused: Sender<Refused>,
    guards: Guards,
}

impl Gate {
    pub(crate) fn new(
        port: Arc<PortPolicy>,
        directory: Arc<ArcSwap<Directory>>,
        refused: Sender<Refused>,
        guards: Guards,
    ) -> Arc<Self> {
        Arc::new(Self {
            port,
            directory,
            granted: Mutex::default(),
            refused,
            guards,
        })
    }

    pub(crate) fn port(&self) -> &Arc<PortPolicy> {
        &self.port
    }

    /// The grant of a connection, and its caller.
    pub(crate) fn take_granted(&self, socket: SocketId) -> Option<Granted> {
        self.granted().remove(&socket)
    }

    fn granted(&self) -> MutexGuard<'_, HashMap<SocketId, Granted>> {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The granted links of groups that have not been recorded as joined.
    pub(crate) fn links(&self) -> Vec<SocketId> {
        let granted = self.granted();
        let links = granted.iter().filter(|(_, granted)| granted.group().is_some());
        links.map(|(link, _)| *link).collect()
    }

    /// Takes the grants that have failed: libsrt has closed the socket, or nobody completed the handshake.
    pub(crate) fn take_incomplete(&self, now: Instant) -> Vec<Granted> {
        let waiting = |least: Duration| -> Vec<SocketId> {
            let granted = self.granted();
            let old = granted
                .iter()
                .filter(|(_, granted)| now.duration_since(granted.since) >= least);
            old.map(|(socket, _)| *socket).collect()
        };
        // Without the lock: a listen callback may hold libsrt's locks while it waits for this one.
        let mut over = waiting(SETTLED);
        over.retain(|socket| is_gone(*socket));
        over.extend(waiting(COMPLETION));
        over.into_iter()
            .filter_map(|socket| self.take_granted(socket))
            .collect()
    }
}

impl Gate {
    /// Why a caller older than SRT 1.3 is refused: its handshake carries neither a version nor a streamid.
    fn refusal_before_streamids(&self, request: &AccessRequest<'_>) -> Option<RefusalReason> {
        let port = &self.port;
        if request.handshake_version() >= FIRST_WITH_STREAMID || !port.admits(request.peer_addr().ip()) {
            return None;
        }
        // libsrt would admit it, and break the connection once it learns the version.
        let is_too_old = port.min_version >= SrtVersion::new(1, 3, 0);
        let needs_streamid = !matches!(port.scope, Scope::Stream(_)) || port.kind == PortKind::Both;
        (is_too_old || needs_streamid).then(|| RefusalReason::BeforeStreamids {
            port: port.to_string(),
            required: is_too_old.then_some(port.min_version),
        })
    }

    /// The listen callback: returns the verdict on a caller.
    pub(crate) fn authorize(&self, request: &AccessRequest<'_>) -> Verdict {
        let (peer, now) = (request.peer_addr(), Instant::now());
        let socket = request.caller_socket().map(SocketId::value);
        let address = self.guards.admit_address(peer, socket, now);
        let seen = CallerResults::new(request, &self.guards, now);
        let caller = Caller {
            peer,
            streamid: request.stream_id_bytes(),
            handshake: request.handshake(),
            bond: None,
            known: &seen,
        };
        if let Err((why, report)) = address {
            return self.refuse(caller, why, report);
        }
        // With a libsrt that cannot defer verdicts, the last answer remains valid.
        if SrtListener::can_defer() && self.port.is_due(peer, now) {
            self.guards.limiter.deferred(peer, socket, now);
            return Verdict::Defer;
        }
        let decision = match self.refusal_before_streamids(request) {
            Some(why) => Decision::Refuse(why),
            None => self.decide(caller),
        };
        match decision {
            Decision::Admit(grant) => self.admit(request.socket_id(), caller, grant, now),
            Decision::Wait(question) => match self.guards.ask(question, peer.ip(), now) {
                Ok(()) => {
                    self.guards.limiter.deferred(peer, socket, now);
                    Verdict::Defer
                }
                Err(why) => self.refuse(caller, why, Report::Yes),
            },
            Decision::Refuse(why) => {
                self.count_failure(peer, caller.streamid, &why);
                self.refuse(caller, why, Report::Yes)
            }
        }
    }

    fn decide(&self, caller: Caller<'_>) -> Decision {
        let directory = self.directory.load();
        let group = caller.handshake.and_then(|handshake| handshake.group);
        // Before any slow check, and after `allow` and `deny`.
        let is_full = group.is_some_and(|group| self.guards.bonds.is_full(group.id));
        if is_full && self.port.admits(caller.peer.ip()) {
            return Decision::Refuse(RefusalReason::BondFull);
        }
        let find = || group.and_then(|group| self.guards.bonds.find(group.id));
        let bond = find();
        let with = |bond: &Option<_>| {
            decide(
                &self.port,
                &directory,
                Caller {
                    bond: bond.as_ref(),
                    ..caller
                },
            )
        };
        match with(&bond) {
            // At this very moment, another link of the same group may have taken the slot on another port.
            Decision::Refuse(why) if bond.is_none() && why.is_full() => match find() {
                None => Decision::Refuse(why),
                found => with(&found),
            },
            decision => decision,
        }
    }

    fn admit(&self, socket: SocketId, caller: Caller<'_>, mut grant: Grant, now: Instant) -> Verdict {
        if let Err(short) = self.guards.resources.reserve() {
            return self.refuse(caller, RefusalReason::Short(short), Report::Yes);
        }
        if let Some(group) = caller.handshake.and_then(|handshake| handshake.group) {
            let bond = BondOf {
                stream: grant.stream.clone(),
                role: grant.role,
            };
            let held = std::mem::take(&mut grant.held);
            let link = (group.id, socket);
            if let Err(why) = self.guards.bonds.add_link(link, bond, held, now) {
                return self.refuse(caller, why, Report::Yes);
            }
        }
        let admission = Admission::new().options(connection_options(&grant));
        let entry = Granted {
            since: now,
            peer: caller.peer,
            streamid: caller.streamid.into(),
            handshake: caller.handshake,
            grant,
        };
        self.granted().insert(socket, entry);
        Verdict::Admit(admission)
    }

    /// Counts a refusal towards a ban if it may be a guess.
    pub(crate) fn count_failure(&self, peer: SocketAddr, streamid: &[u8], why: &RefusalReason) {
        let role = asked_role(&self.port, streamid);
        if let Some(attempt) = why.failure(role, self.port.number(), streamid) {
            let (code, now) = (why.code().value(), Instant::now());
            self.guards.limiter.count_failure(peer.ip(), attempt, code, now);
        }
    }

    fn refuse(&self, caller: Caller<'_>, why: RefusalReason, report: Report) -> Verdict {
        let verdict = match why {
            RefusalReason::WrongPassphrase { .. } => Verdict::WrongPassphrase,
            _ => Verdict::Refuse(why.code().code().unwrap_or(RejectCode::FALLBACK)),
        };
        if report == Report::Yes {
            // A full channel means that refusals arrive faster than they can be recorded; the verdict stands.
            drop(self.refused.try_send(Refused {
                peer: caller.peer,
                port: Arc::clone(&self.port),
                streamid: caller.streamid.into(),
                handshake: caller.handshake,
                why,
            }));
        }
        verdict
    }
}
