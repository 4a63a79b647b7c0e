//! The hook of `[auth]`: an operator's HTTP backend that decides on callers after the rules have.
//!
//! The listen callback looks up an answer or submits the question; the backend's thread makes the call, and the
//! caller's next handshake finds the answer. Each question is sent once, however many callers wait for it. One lock
//! protects everything and is held for a look-up. A reload replaces the whole hook, including its answers.
//!
//! `decide` chooses what to ask and when, and control ends sessions.

mod question;
mod terms;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt, io,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use aws_lc_rs::hmac;
use tracing::{info, warn};

pub(crate) use question::HookQuestion;
pub(crate) use terms::{HookRefusal, HookVerdict, KeyTerm, RefusalSource, Terms};

use crate::{
    backend::{Answer, Backend, Breaker, BreakerState, Busy, CallError, Client, ClientSettings, Pass},
    config::{Auth, FailMode},
    rate_limit::client_of,
    telemetry::{HookCounters, HookOutcome, HookStatus},
};

/// The shortest validity of an answer: the caller fetches it with its next handshake, which a caller that blocks in
/// libsrt sends after a second.
const MIN_VALIDITY: Duration = Duration::from_millis(2500);

/// A renewal accepts an answer of this age that other callers with the same question received.
const RECENT: Duration = Duration::from_millis(500);

/// The number of answers and questions kept.
const MAX_ENTRIES: usize = 10_000;

/// The number of concurrent calls.
const CALLS: usize = 512;

/// Concurrent calls per client, so that one that keeps asking for new names does not use all of them. Loopback
/// addresses are exempt, as from [`RateLimiter`](super::RateLimiter).
const CALLS_PER_CLIENT: u32 = 64;

/// The shortest time between two sweeps of expired answers.
const SWEEP_EVERY: Duration = Duration::from_millis(100);

/// The size limit of an answer, in bytes.
const ANSWER_MAX: usize = 64 << 10;

/// The shortest time between two log lines about unusable answers.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The hook, if one is configured.
#[derive(Debug)]
pub(crate) struct Hook {
    backend: Arc<Backend>,
    gateway: Box<str>,
    active: ArcSwapOption<Active>,
    counters: Arc<HookCounters>,
}

/// Receives the answer to a repeated question.
type Waiter = Box<dyn FnOnce(HookVerdict) + Send>;

/// The result of submitting a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Submitted {
    /// The answer will arrive, or is there already.
    Waiting,
    /// Not submitted: too many calls are under way.
    Busy,
}

type Digest = [u8; 32];

/// One configured hook.
#[derive(Debug)]
struct Active {
    settings: Auth,
    client: Client,
    key: hmac::Key,
    state: Mutex<State>,
    counters: Arc<HookCounters>,
}

#[derive(Debug, Default)]
struct State {
    slots: HashMap<Digest, Slot>,
    /// Concurrent calls per client.
    clients: HashMap<IpAddr, u32>,
    swept: Option<Instant>,
    breaker: Breaker,
    /// When an unusable answer was last logged.
    told: Option<Instant>,
}

/// One question.
///
/// ```text
///   unknown ──asked──▶ pending ──answered──▶ known ──its time is over──▶ unknown
/// ```
enum Slot {
    Pending {
        client: IpAddr,
        waiters: Vec<Waiter>,
    },
    Answered {
        verdict: HookVerdict,
        since: Instant,
        until: Instant,
    },
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending { .. } => "Pending",
            Self::Answered { .. } => "Answered",
        })
    }
}

impl Hook {
    /// `gateway` is the name that the hook receives.
    ///
    /// # Errors
    /// As for [`configure`](Self::configure).
    pub(crate) fn new(backend: Arc<Backend>, gateway: &str, auth: Option<&Auth>) -> io::Result<Arc<Self>> {
        let hook = Self {
            backend,
            gateway: gateway.into(),
            active: ArcSwapOption::empty(),
            counters: Arc::default(),
        };
        hook.configure(auth)?;
        Ok(Arc::new(hook))
    }

    /// Applies these settings, or removes the hook. Earlier answers are dropped.
    ///
    /// # Errors
    /// No thread for the calls, no random numbers, or a URL that the client does not accept: the previous settings
    /// stay.
    pub(crate) fn configure(&self, auth: Option<&Auth>) -> io::Result<()> {
        let active = auth
            .map(|auth| Active::new(&self.backend, auth, &self.counters))
            .transpose()?;
        self.active.store(active.map(Arc::new));
        Ok(())
    }

    /// The answer, if it is known.
    pub(crate) fn known(&self, question: &HookQuestion, now: Instant) -> Option<HookVerdict> {
        let active = self.active.load();
        let active = active.as_ref()?;
        let digest = active.digest(&question.body(&self.gateway));
        match active.state().slots.get(&digest) {
            Some(Slot::Answered { verdict, until, .. }) if now < *until => Some(verdict.clone()),
            _ => None,
        }
    }

    /// Submits a question whose answer is not known.
    pub(crate) fn ask(&self, question: &HookQuestion, now: Instant) -> Submitted {
        match self.active.load_full() {
            Some(active) => active.ask(question.peer, question.body(&self.gateway), None, now),
            // A reload has just removed the hook: the next handshake is decided without it.
            None => Submitted::Waiting,
        }
    }

    /// Repeats a question, bypassing the cache. `done` receives the answer, on any thread, and must not block. None:
    /// there is no hook any more, and `done` is not called.
    pub(crate) fn ask_again(
        &self,
        question: &HookQuestion,
        now: Instant,
        done: impl FnOnce(HookVerdict) + Send + 'static,
    ) -> Option<Submitted> {
        let active = self.active.load_full()?;
        self.counters.add_recheck();
        let body = question.body(&self.gateway);
        Some(active.ask(question.peer, body, Some(Box::new(done)), now))
    }

    /// For metrics; None: no hook is configured.
    pub(crate) fn status(&self) -> Option<HookStatus> {
        let active = self.active.load();
        let state = active.as_ref()?.state();
        let breaker = &state.breaker;
        Some(self.counters.status(breaker.state().as_str(), state.slots.len()))
    }
}

impl Active {
    fn new(backend: &Backend, auth: &Auth, counters: &Arc<HookCounters>) -> io::Result<Self> {
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key).map_err(|_| io::Error::other("the system has no random numbers"))?;
        let settings = ClientSettings {
            url: auth.url.clone(),
            timeout: auth.timeout,
            secret: auth.secret.clone(),
            most: CALLS,
            answer_max: ANSWER_MAX,
        };
        Ok(Self {
            settings: auth.clone(),
            client: backend.client(settings, Arc::clone(&counters.calls))?,
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            state: Mutex::default(),
            counters: Arc::clone(counters),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The body contains the password, so only a keyed digest of it is kept.
    fn digest(&self, body: &[u8]) -> Digest {
        let mut digest = [0; 32];
        digest.copy_from_slice(hmac::sign(&self.key, body).as_ref());
        digest
    }

    fn ask(
        self: &Arc<Self>,
        peer: IpAddr,
        body: Vec<u8>,
        mut waiter: Option<Waiter>,
        now: Instant,
    ) -> Submitted {
        let (digest, client) = (self.digest(&body), client_of(peer));
        let mut state = self.state();
        state.make_room(now);
        // Renewals come from admitted sessions: they are no flood.
        let full = state.slots.len() >= MAX_ENTRIES || (waiter.is_none() && state.is_full_for(client));
        match state.slots.get_mut(&digest) {
            Some(Slot::Pending { waiters, .. }) => {
                waiters.extend(waiter);
                return Submitted::Waiting;
            }
            Some(Slot::Answered {
                verdict,
                since,
                until,
            }) => {
                // A renewal needs a fresh answer, but another caller with the same question may just have received one.
                let fresh = match waiter {
                    Some(_) => now.duration_since(*since) < RECENT,
                    None => now < *until,
                };
                if fresh {
                    let verdict = verdict.clone();
                    drop(state);
                    if let Some(waiter) = waiter {
                        waiter(verdict);
                    }
                    return Submitted::Waiting;
                }
            }
            None if full => {
                self.counters.add(HookOutcome::Busy);
                return Submitted::Busy;
            }
            None => {}
        }
        if let Pass::Down(_) = state.breaker.ask(now) {
            self.counters.add(HookOutcome::NotAsked);
            let verdict = terms::failed(
                self.settings.fail,
                "has failed several times in a row and is not called for a few seconds",
            );
            state.keep(digest, verdict.clone(), now, MIN_VALIDITY);
            drop(state);
            if let Some(waiter) = waiter {
                waiter(verdict);
            }
            return Submitted::Waiting;
        }
        let pending = Slot::Pending {
            client,
            waiters: waiter.take().into_iter().collect(),
        };
        let before = state.slots.insert(digest, pending);
        *state.clients.entry(client).or_default() += 1;
        let this = Arc::clone(self);
        let called = self
            .client
            .post(body, move |result| this.answered(digest, result, Instant::now()));
        if called == Err(Busy) {
            state.breaker.not_made(now);
            state.call_ended(client);
            match before {
                Some(before) => drop(state.slots.insert(digest, before)),
                None => drop(state.slots.remove(&digest)),
            }
            self.counters.add(HookOutcome::Busy);
            return Submitted::Busy;
        }
        Submitted::Waiting
    }

    fn answered(&self, digest: Digest, result: Result<Answer, CallError>, now: Instant) {
        let read = terms::read(result);
        let mut state = self.state();
        let openings = state.breaker.openings();
        state.record_result(read.as_ref().err(), &self.client, self.settings.fail, now);
        self.counters.add_openings(state.breaker.openings() - openings);
        let (verdict, kept, outcome) = match read {
            Ok(verdict @ HookVerdict::Refused(_)) => {
                (verdict, self.settings.cache_deny, HookOutcome::Refused)
            }
            Ok(HookVerdict::LetIn) => (HookVerdict::LetIn, Duration::ZERO, HookOutcome::Failed),
            Ok(HookVerdict::Admitted(terms)) => {
                let lifetime = terms.lifetime.unwrap_or(Duration::MAX);
                let kept = self.settings.cache_allow.min(lifetime);
                (HookVerdict::Admitted(terms), kept, HookOutcome::Admitted)
            }
            Err(error) => {
                let verdict = match error.is_outage() {
                    true => terms::failed(self.settings.fail, &error.to_string()),
                    false => terms::unclear(&error),
                };
                (verdict, Duration::ZERO, HookOutcome::Failed)
            }
        };
        self.counters.add(outcome);
        let waiters = state.keep(digest, verdict.clone(), now, kept.max(MIN_VALIDITY));
        // Waiters run without the lock: they are code of the callers, which may need other locks.
        drop(state);
        for waiter in waiters {
            waiter(verdict.clone());
        }
    }
}

impl State {
    /// Stores an answer; returns the waiters to notify.
    fn keep(&mut self, digest: Digest, verdict: HookVerdict, now: Instant, kept: Duration) -> Vec<Waiter> {
        let slot = Slot::Answered {
            verdict,
            since: now,
            until: now + kept,
        };
        match self.slots.insert(digest, slot) {
            Some(Slot::Pending { client, waiters }) => {
                self.call_ended(client);
                waiters
            }
            _ => Vec::new(),
        }
    }

    /// When the table is full, drops expired answers and then refusals: a flood of refused callers must not keep out
    /// those who will be admitted.
    fn make_room(&mut self, now: Instant) {
        let is_recent = |swept: Instant| now.saturating_duration_since(swept) < SWEEP_EVERY;
        if self.slots.len() < MAX_ENTRIES || self.swept.is_some_and(is_recent) {
            return;
        }
        self.swept = Some(now);
        self.slots
            .retain(|_, slot| !matches!(slot, Slot::Answered { until, .. } if now >= *until));
        if self.slots.len() < MAX_ENTRIES {
            return;
        }
        self.slots.retain(|_, slot| match slot {
            Slot::Answered {
                verdict: HookVerdict::Refused(_),
                since,
                ..
            } => now.saturating_duration_since(*since) < MIN_VALIDITY,
            _ => true,
        });
    }

    fn is_full_for(&self, client: IpAddr) -> bool {
        let calls = self.clients.get(&client).copied().unwrap_or_default();
        !client.is_loopback() && calls >= CALLS_PER_CLIENT
    }

    fn call_ended(&mut self, client: IpAddr) {
        if let Some(calls) = self.clients.get_mut(&client) {
            *calls -= 1;
            if *calls == 0 {
                self.clients.remove(&client);
            }
        }
    }

    /// Reports the result of a call to the breaker, and logs changes.
    fn record_result(&mut self, error: Option<&CallError>, client: &Client, fail: FailMode, now: Instant) {
        let before = self.breaker.state();
        match error {
            Some(error) if error.is_outage() => self.breaker.failed(now),
            _ => self.breaker.succeeded(),
        }
        let (after, url) = (self.breaker.state(), client.url());
        let mode = match fail {
            FailMode::Open => "all callers are admitted until it answers (fail = \"open\")",
            FailMode::Closed => "all callers are refused until it answers (fail = \"closed\")",
        };
        match (before, after, error) {
            (BreakerState::Closed, BreakerState::Open, Some(error)) => {
                warn!(%url, "the hook of [auth] is down: it {error}; {mode}");
            }
            (BreakerState::Open | BreakerState::HalfOpen, BreakerState::Closed, _) => {
                info!(%url, "the hook of [auth] answers again");
            }
            (_, _, Some(error))
                if self
                    .told
                    .is_none_or(|told| now.duration_since(told) >= LOG_INTERVAL) =>
            {
                self.told = Some(now);
                warn!(%url, "the hook of [auth] {error}");
            }
            _ => {}
        }
    }
}
