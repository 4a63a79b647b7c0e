//! Checks that take too long for a port's thread: passwords against argon2 hashes (some 20 ms) and key material against
//! passphrases (PBKDF2, about 1 ms each).
//!
//! ```text
//!   unknown ──asked──▶ waits for the thread ──checked──▶ known ──expired or evicted──▶ unknown
//! ```
//!
//! The listen callback looks a result up, or asks and leaves the caller waiting; the caller's next handshake finds the result.
//! Each kind of check has a thread of its own, because one kind must not delay the other. All locks are held for a look-up.
//! Secrets are keys of the tables only as keyed digests.
//!
//! # Floods
//! Failures are remembered as well as successes, and apart from them: wrong guesses never push out a right one. Each client
//! has a bounded number of checks that wait, and clients that failed lately come after those that did not. Who finds no place
//! is left waiting too: its next handshake asks again.
//!
//! libsrt derives a key itself for each caller that it is to let in, on the port's thread. A caller of a port with one
//! passphrase may go there unchecked, which saves it the wait for its next handshake, but only few whose passphrase has not
//! proved right: see [`Unproved`].

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
};
use worker::Worker;

/// Unchecked passphrases of a client that may be wrong.
const UNPROVED_OF_CLIENT: Rate = Rate {
    per_second: 0.1,
    burst: 8.0,
};

/// The same of all clients: at most a tenth of a second of the ports' threads at once, and half a percent of their time.
const UNPROVED: Rate = Rate {
    per_second: 5.0,
    burst: 100.0,
};

/// Clients whose unproved passphrases are counted. Those beyond are checked.
const CLIENTS_HELD: usize = 4096;

/// What the callback cannot answer by itself.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    Password(PasswordQuestion),
    Key(Box<KeyQuestion>),
    /// To the hook of `[auth]`.
    Hook(Box<HookQuestion>),
}

/// Whether a password fits a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PasswordQuestion {
    pub(crate) hash: Secret,
    pub(crate) password: Secret,
}

/// Which passphrase a caller's key material was made with.
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

/// What a caller's key material says of its passphrase.
#[derive(Clone, Debug)]
pub(crate) enum KeyFit {
    /// The material cannot be seen, or libsrt may try it: with the first of the passphrases.
    Unseen,
    /// It was made with the passphrase at this place.
    Fits(usize),
    Wrong,
    /// It must be checked.
    NotYet(Box<KeyQuestion>),
}

/// What a decision cannot find out by itself.
pub(crate) trait CheckResults: fmt::Debug {
    /// Which of `passphrases`, of which there is at least one, the caller has.
    fn key(&self, passphrases: &[Passphrase]) -> KeyFit;
    /// Whether `password` fits `hash`; None: not known yet.
    fn password(&self, hash: &Secret, password: &Secret) -> Option<bool>;
    /// What the hook says; None: not known yet.
    fn hook(&self, question: &HookQuestion) -> Option<HookVerdict>;
}

/// Nothing is known.
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

/// What a thread checks.
#[derive(Debug)]
enum Work {
    Password(PasswordQuestion),
    Key(Box<KeyQuestion>),
}

impl Work {
    /// The place of the secret that fits; None: none does. Takes its time.
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

/// All results, and the way to the threads that find them.
#[derive(Debug)]
pub(crate) struct Checks {
    key: hmac::Key,
    passwords: Worker,
    keys: Worker,
    unproved: Mutex<Unproved>,
}

impl Checks {
    /// With its threads, which end when this is dropped.
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

    /// Asks whether a password fits. False: too many wait, so that the next handshake has to ask again.
    pub(crate) fn ask_password(&self, question: PasswordQuestion, peer: IpAddr, now: Instant) -> bool {
        let digest = self.digest([
            question.hash.expose().as_bytes(),
            question.password.expose().as_bytes(),
        ]);
        let work = Work::Password(question);
        self.passwords.ask(digest, client_of(peer), work, now)
    }

    /// Asks which passphrase a caller has. False: as [`ask_password`](Self::ask_password).
    pub(crate) fn ask_key(&self, question: Box<KeyQuestion>, peer: IpAddr, now: Instant) -> bool {
        let digest = self.digest_of_key(&question.key, &question.passphrases);
        self.keys.ask(digest, client_of(peer), Work::Key(question), now)
    }

    /// Whether a password fits, if that is known.
    pub(crate) fn password(&self, hash: &Secret, password: &Secret) -> Option<bool> {
        let digest = self.digest([hash.expose().as_bytes(), password.expose().as_bytes()]);
        let known = self.passwords.known(&digest, Instant::now());
        known.map(|place| place.is_some())
    }

    /// Which of the passphrases the key material was made with, as far as that is known and matters.
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
        self.unproved().refund(client_of(peer));
    }

    fn unproved(&self) -> std::sync::MutexGuard<'_, Unproved> {
        self.unproved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn digest_of_key(&self, key: &KeyRequest, passphrases: &[Passphrase]) -> Digest {
        let passphrases = passphrases.iter().map(Passphrase::expose);
        self.digest([key.salt(), key.wrapped()].into_iter().chain(passphrases))
    }

    /// A keyed digest of the parts, whose borders count.
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

/// Callers that libsrt tries unchecked, as far as they have not proved right: a budget for each client and for all, so that
/// wrong passphrases soon cost the ports' threads nothing. Who connects gives its share back.
#[derive(Debug)]
struct Unproved {
    all: TokenBucket,
    clients: HashMap<IpAddr, TokenBucket>,
}

impl Unproved {
    fn new(now: Instant) -> Self {
        Self {
            all: TokenBucket::full(UNPROVED, now),
            clients: HashMap::new(),
        }
    }

    fn take(&mut self, client: IpAddr, now: Instant) -> bool {
        if self.clients.len() >= CLIENTS_HELD && !self.clients.contains_key(&client) {
            // Once the budget for all is empty there is no need to look for room.
            if self.all.take(UNPROVED, now).is_err() {
                return false;
            }
            self.all.refund(UNPROVED);
            self.clients
                .retain(|_, bucket| !bucket.is_full(UNPROVED_OF_CLIENT, now));
            if self.clients.len() >= CLIENTS_HELD {
                return false;
            }
        }
        let bucket = self.clients.entry(client);
        let bucket = bucket.or_insert_with(|| TokenBucket::full(UNPROVED_OF_CLIENT, now));
        if bucket.take(UNPROVED_OF_CLIENT, now).is_err() {
            return false;
        }
        if self.all.take(UNPROVED, now).is_err() {
            bucket.refund(UNPROVED_OF_CLIENT);
            return false;
        }
        true
    }

    fn refund(&mut self, client: IpAddr) {
        if let Some(bucket) = self.clients.get_mut(&client) {
            bucket.refund(UNPROVED_OF_CLIENT);
            self.all.refund(UNPROVED);
        }
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
            unproved.refund(client(1));
        }
        let admitted =
            |unproved: &mut Unproved, of: u32| (0..1000).filter(|_| unproved.take(client(of), now)).count();
        assert_eq!(admitted(&mut unproved, 1), 8);
        let others: usize = (2..100).map(|of| admitted(&mut unproved, of)).sum();
        assert_eq!(others, 92);
        assert!(
            unproved.take(client(200), now + Duration::from_secs(1)),
            "it fills again"
        );
    }
}
