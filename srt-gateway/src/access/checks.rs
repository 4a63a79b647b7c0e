//! Checks that take too long for a port's thread: passwords against argon2 hashes (about 20 ms) and key material
//! against passphrases (PBKDF2, about 1 ms each).
//!
//! ```text
//!   unknown ──asked──▶ waits for the thread ──checked──▶ known ──expired or evicted──▶ unknown
//! ```
//!
//! The listen callback looks up a result, or submits the check and leaves the caller without an answer; the caller's
//! next handshake finds the result. Each kind of check has its own thread, so that one kind does not delay the other.
//! Locks are held for a look-up only. The tables store secrets only as keyed digests.
//!
//! # Floods
//! Failures are remembered apart from successes, so wrong guesses never push out a right one. The number of pending
//! checks per client is bounded, and clients that failed lately come after the others. A caller whose check does not
//! fit the queue gets no answer either; its next handshake submits it again.
//!
//! For each caller that is let in, libsrt derives the key itself, on the port's thread. A caller of a port with a
//! single passphrase may skip the check, which saves it a handshake, but only a limited number of callers whose
//! passphrase has not proved right: see [`Unproved`].

mod results;
mod worker;

use std::{
    collections::HashMap,
    fmt, io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use argon2::{Argon2, PasswordHash, PasswordVerifier};
use aws_lc_rs::hmac;
use srt_safe::{KeyRequest, Passphrase};

use super::hook::{HookQuestion, HookVerdict};
use crate::{
    config::Secret,
    rate_limit::{Rate, TokenBucket, client_of},
    recent::Recent,
};
use worker::Worker;

/// The rate of unchecked passphrases per client.
const UNPROVED_PER_CLIENT: Rate = Rate {
    per_second: 0.1,
    burst: 8.0,
};

/// The rate of unchecked passphrases in total: a burst of at most a tenth of a second of the ports' threads, and half a
/// percent of their time.
const UNPROVED: Rate = Rate {
    per_second: 5.0,
    burst: 100.0,
};

/// Clients with a budget of their own; callers beyond them are checked.
const MAX_CLIENTS: usize = 4096;

/// A question that the callback cannot answer by itself.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    Password(PasswordQuestion),
    Key(Box<KeyQuestion>),
    /// A question to the hook of `[auth]`.
    Hook(Box<HookQuestion>),
}

/// Whether a password fits a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PasswordQuestion {
    pub(crate) hash: Secret,
    pub(crate) password: Secret,
}

/// With which passphrase a caller's key material was made.
#[derive(Clone)]
pub(crate) struct KeyQuestion {
    pub(crate) key: KeyRequest,
    pub(crate) passphrases: Box<[Passphrase]>,
}

impl fmt::Debug for KeyQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = self.passphrases.len();
        f.debug_struct("KeyQuestion")
            .field("passphrases", &of)
            .finish_non_exhaustive()
    }
}

/// What a caller's key material reveals about its passphrase.
#[derive(Clone, Debug)]
pub(crate) enum KeyFit {
    /// The key material is not visible, or libsrt may try it, with the first passphrase.
    Unseen,
    /// It was made with the passphrase of this index.
    Fits(usize),
    Wrong,
    /// It must be checked first.
    NotYet(Box<KeyQuestion>),
}

/// The results of slow checks, as far as they are known.
pub(crate) trait CheckResults: fmt::Debug {
    /// Which of `passphrases` (at least one) the caller has.
    fn key(&self, passphrases: &[Passphrase]) -> KeyFit;
    /// Whether `password` fits `hash`; None: not known yet.
    fn password(&self, hash: &Secret, password: &Secret) -> Option<bool>;
    /// The hook's verdict; None: not known yet.
    fn hook(&self, question: &HookQuestion) -> Option<HookVerdict>;
}

/// No results.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoResults;

impl CheckResults for NoResults {
    fn key(&self, _: &[Passphrase]) -> KeyFit {
        KeyFit::Unseen
    }

    fn password(&self, _: &Secret, _: &Secret) -> Option<bool> {
        None
    }

    fn hook(&self, _: &HookQuestion) -> Option<HookVerdict> {
        None
    }
}

type Digest = [u8; 32];

/// The work of a check.
#[derive(Debug)]
enum Work {
    Password(PasswordQuestion),
    Key(Box<KeyQuestion>),
}

impl Work {
    /// The index of the matching secret; None: none matches. Slow.
    fn check(&self) -> Option<usize> {
        match self {
            Self::Password(PasswordQuestion { hash, password }) => {
                let hash = PasswordHash::new(hash.expose()).ok()?;
                let password = password.expose().as_bytes();
                let fits = Argon2::default().verify_password(password, &hash);
                fits.ok().map(|()| 0)
            }
            Self::Key(question) => {
                let mut passphrases = question.passphrases.iter();
                passphrases.position(|passphrase| question.key.opens_with(passphrase))
            }
        }
    }
}

/// All results, and the threads that produce them.
#[derive(Debug)]
pub(crate) struct Checks {
    key: hmac::Key,
    passwords: Worker,
    keys: Worker,
    unproved: Mutex<Unproved>,
}

impl Checks {
    /// Starts the threads, which end when this is dropped.
    pub(crate) fn start() -> io::Result<Arc<Self>> {
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key).map_err(|_| io::Error::other("the system has no random numbers"))?;
        Ok(Arc::new(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            passwords: Worker::start("passwords")?,
            keys: Worker::start("keys")?,
            unproved: Mutex::new(Unproved::new(Instant::now())),
        }))
    }

    /// Submits a password check. Returns false if the queue is full; the caller's next handshake must submit it again.
    pub(crate) fn ask_password(&self, question: PasswordQuestion, peer: IpAddr, now: Instant) -> bool {
        let digest = self.digest([
            question.hash.expose().as_bytes(),
            question.password.expose().as_bytes(),
        ]);
        let work = Work::Password(question);
        self.passwords.ask(digest, client_of(peer), work, now)
    }

    /// Submits a passphrase check. Returns false as [`ask_password`](Self::ask_password) does.
    pub(crate) fn ask_key(&self, question: Box<KeyQuestion>, peer: IpAddr, now: Instant) -> bool {
        let digest = self.digest_of_key(&question.key, &question.passphrases);
        self.keys.ask(digest, client_of(peer), Work::Key(question), now)
    }

    /// Whether a password matches, if known.
    pub(crate) fn password(&self, hash: &Secret, password: &Secret) -> Option<bool> {
        let digest = self.digest([hash.expose().as_bytes(), password.expose().as_bytes()]);
        let known = self.passwords.known(&digest, Instant::now());
        known.map(|place| place.is_some())
    }

    /// With which passphrase the key material was made, as far as that is known and relevant.
    pub(crate) fn key(
        &self,
        key: &KeyRequest,
        passphrases: &[Passphrase],
        peer: IpAddr,
        now: Instant,
    ) -> KeyFit {
        let digest = self.digest_of_key(key, passphrases);
        match self.keys.known(&digest, now) {
            Some(Some(place)) => KeyFit::Fits(place),
            Some(None) => KeyFit::Wrong,
            None if passphrases.len() == 1 && self.unproved().take(client_of(peer), now) => KeyFit::Unseen,
            None => KeyFit::NotYet(Box::new(KeyQuestion {
                key: key.clone(),
                passphrases: passphrases.into(),
            })),
        }
    }

    /// A caller from this address has connected with the right passphrase.
    pub(crate) fn proved(&self, peer: IpAddr) {
        self.unproved().prove(client_of(peer), Instant::now());
    }

    fn unproved(&self) -> std::sync::MutexGuard<'_, Unproved> {
        self.unproved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn digest_of_key(&self, key: &KeyRequest, passphrases: &[Passphrase]) -> Digest {
        let passphrases = passphrases.iter().map(Passphrase::expose);
        self.digest([key.salt(), key.wrapped()].into_iter().chain(passphrases))
    }

    /// A keyed digest of the parts and their boundaries.
    fn digest<'p>(&self, parts: impl IntoIterator<Item = &'p [u8]>) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }
}

/// The budgets for callers whose passphrase libsrt tries unchecked, per client and in total, so that wrong passphrases
/// soon cost the ports' threads nothing. A caller that connects gets its share refunded.
#[derive(Debug)]
struct Unproved {
    all: TokenBucket,
    clients: HashMap<IpAddr, TokenBucket>,
    /// Clients that have connected with the right passphrase. The total budget does not apply to them, so that a flood of wrong
    /// passphrases does not delay callers that come back.
    proved: Recent<TokenBucket>,
}

impl Unproved {
    fn new(now: Instant) -> Self {
        Self {
            all: TokenBucket::full(UNPROVED, now),
            clients: HashMap::new(),
            proved: Recent::new(MAX_CLIENTS),
        }
    }

    fn take(&mut self, client: IpAddr, now: Instant) -> bool {
        if let Some(bucket) = self.proved.get_mut(&client) {
            return bucket.take(UNPROVED_PER_CLIENT, now).is_ok();
        }
        if self.clients.len() >= MAX_CLIENTS && !self.clients.contains_key(&client) {
            // Once the total budget is used up, no client needs an entry.
            if self.all.take(UNPROVED, now).is_err() {
                return false;
            }
            self.all.refund(UNPROVED);
            self.clients
                .retain(|_, bucket| !bucket.is_full(UNPROVED_PER_CLIENT, now));
            if self.clients.len() >= MAX_CLIENTS {
                return false;
            }
        }
        let bucket = self.clients.entry(client);
        let bucket = bucket.or_insert_with(|| TokenBucket::full(UNPROVED_PER_CLIENT, now));
        if bucket.take(UNPROVED_PER_CLIENT, now).is_err() {
            return false;
        }
        if self.all.take(UNPROVED, now).is_err() {
            bucket.refund(UNPROVED_PER_CLIENT);
            return false;
        }
        true
    }

    fn prove(&mut self, client: IpAddr, now: Instant) {
        if let Some(bucket) = self.proved.get_mut(&client) {
            bucket.refund(UNPROVED_PER_CLIENT);
        } else if let Some(bucket) = self.clients.get_mut(&client) {
            bucket.refund(UNPROVED_PER_CLIENT);
            self.all.refund(UNPROVED);
        }
        let full = || TokenBucket::full(UNPROVED_PER_CLIENT, now);
        self.proved.get_or(client, now, |_| false, full);
    }
}

/// Whether a configured password is an argon2 PHC string rather than plain text.
pub(crate) fn is_hash(password: &Secret) -> bool {
    password.expose().starts_with("$argon2")
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use argon2::{Params, PasswordHasher, password_hash::SaltString};

    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn hashed(password: &str) -> Secret {
        let params = Params::new(64, 1, 1, None).unwrap();
        let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let salt = SaltString::encode_b64(b"some salt here").unwrap();
        Secret::new(
            argon2
                .hash_password(password.as_bytes(), &salt)
                .unwrap()
                .to_string(),
        )
    }

    #[test]
    fn a_password_is_checked_once_and_remembered() {
        let hash = hashed("letmein");
        assert!(is_hash(&hash) && !is_hash(&Secret::new("letmein")));
        let checks = Checks::start().unwrap();
        for (password, fits) in [("letmein", true), ("letmeout", false)] {
            let password = Secret::new(password);
            assert_eq!(checks.password(&hash, &password), None);
            let question = PasswordQuestion {
                hash: hash.clone(),
                password: password.clone(),
            };
            assert!(!format!("{question:?}").contains("letme"));
            for _ in 0..2 {
                assert!(checks.ask_password(question.clone(), PEER, Instant::now()));
            }
            let deadline = Instant::now() + Duration::from_secs(10);
            while checks.password(&hash, &password).is_none() {
                assert!(Instant::now() < deadline, "no answer");
                thread::yield_now();
            }
            assert_eq!(checks.password(&hash, &password), Some(fits));
        }
    }

    #[test]
    fn unproved_passphrases_have_a_budget_for_each_client_and_for_all() {
        let now = Instant::now();
        let mut unproved = Unproved::new(now);
        let client = |number: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(number));
        for _ in 0..1000 {
            assert!(unproved.take(client(1), now), "right ones never run out");
            unproved.prove(client(1), now);
        }
        let admitted =
            |unproved: &mut Unproved, of: u32| (0..1000).filter(|_| unproved.take(client(of), now)).count();
        assert_eq!(admitted(&mut unproved, 1), 8);
        let others: usize = (2..100).map(|of| admitted(&mut unproved, of)).sum();
        assert_eq!(others, 100);
        assert!(
            unproved.take(client(200), now + Duration::from_secs(1)),
            "it fills again"
        );
    }

    #[test]
    fn wrong_passphrases_of_others_do_not_delay_clients_that_have_proved_right() {
        let now = Instant::now();
        let mut unproved = Unproved::new(now);
        let client = |number: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(number));
        assert!(unproved.take(client(1), now));
        unproved.prove(client(1), now);
        let flood = (2..10_000).filter(|of| unproved.take(client(*of), now)).count();
        assert_eq!(flood, 100);
        assert!(
            !unproved.take(client(20_000), now),
            "nothing is left for a stranger"
        );
        assert!(unproved.take(client(1), now));
        // It may be somebody else at this address by now.
        let wrong = (0..100).filter(|_| unproved.take(client(1), now)).count();
        assert_eq!(wrong, 7);
    }
}
