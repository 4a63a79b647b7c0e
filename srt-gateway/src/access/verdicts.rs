//! Answers that take time, for questions that the listen callback must not wait for: passwords against argon2 hashes.
//!
//! ```text
//!   unknown ──asked──▶ pending ──answered──▶ known ──expired──▶ unknown
//! ```
//!
//! The callback looks an answer up, or puts the question and leaves the caller waiting; the caller's next handshake finds
//! the answer. Hashes are computed on a thread of this module's own. The map is under a lock that is held for a look-up;
//! passwords are keys only as keyed digests.

use std::{
    collections::HashMap,
    fmt, io,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use argon2::{Argon2, PasswordHash, PasswordVerifier};
use aws_lc_rs::hmac;
use crossbeam_channel::{Receiver, Sender};
use srt_safe::Passphrase;

use super::hook::{HookQuestion, HookVerdict};
use crate::config::Secret;

/// How long it is remembered that a password fits a hash, or does not. It never becomes untrue: this bounds memory.
const KEPT: Duration = Duration::from_secs(600);

/// A question that was not answered by then is put again.
const PENDING: Duration = Duration::from_secs(30);

/// Answers held at once; questions beyond are refused as overload.
const HELD: usize = 10_000;

/// Passwords that wait for the thread: some 20 ms each.
const QUEUE: usize = 128;

/// What the callback cannot answer by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Password(PasswordQuestion),
    /// To the hook of `[auth]`.
    Hook(Box<HookQuestion>),
}

/// Whether a password fits a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PasswordQuestion {
    pub(crate) hash: Secret,
    pub(crate) password: Secret,
}

/// What a decision cannot find out by itself.
pub(crate) trait Known: fmt::Debug {
    /// Whether the caller's key material was made with this passphrase; None: that cannot be seen.
    fn opens(&self, passphrase: &Passphrase) -> Option<bool>;
    /// Whether `password` fits `hash`; None: not known yet.
    fn password(&self, hash: &Secret, password: &Secret) -> Option<bool>;
    /// What the hook says; None: not known yet.
    fn hook(&self, question: &HookQuestion) -> Option<HookVerdict>;
}

/// Nothing is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nothing;

impl Known for Nothing {
    fn opens(&self, _: &Passphrase) -> Option<bool> {
        None
    }

    fn password(&self, _: &Secret, _: &Secret) -> Option<bool> {
        None
    }

    fn hook(&self, _: &HookQuestion) -> Option<HookVerdict> {
        None
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    Pending(Instant),
    Known(bool, Instant),
}

type Digest = [u8; 32];

/// All answers, and the way to the thread that finds them.
#[derive(Debug)]
pub(crate) struct Verdicts {
    key: hmac::Key,
    states: Mutex<HashMap<Digest, State>>,
    work: Sender<(Digest, PasswordQuestion)>,
}

impl Verdicts {
    /// With its thread, which ends when this is dropped.
    pub(crate) fn start() -> io::Result<Arc<Self>> {
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key).map_err(|_| io::Error::other("the system has no random numbers"))?;
        let (work, receiver) = crossbeam_channel::bounded(QUEUE);
        let verdicts = Arc::new(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            states: Mutex::default(),
            work,
        });
        let weak = Arc::downgrade(&verdicts);
        thread::Builder::new()
            .name("passwords".to_owned())
            .spawn(move || verify(&receiver, &weak))?;
        Ok(verdicts)
    }

    /// Puts a question whose answer is not known. False: too many wait.
    pub(crate) fn ask(&self, question: PasswordQuestion, now: Instant) -> bool {
        let digest = self.digest(&question.hash, &question.password);
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if states.len() >= HELD {
            states.retain(|_, state| match state {
                State::Pending(since) => now.duration_since(*since) < PENDING,
                State::Known(_, until) => now < *until,
            });
        }
        if let Some(State::Pending(since)) = states.get(&digest)
            && now.duration_since(*since) < PENDING
        {
            return true;
        }
        let queued = states.len() < HELD && self.work.try_send((digest, question)).is_ok();
        if queued {
            states.insert(digest, State::Pending(now));
        }
        queued
    }

    /// The answer, if it is known.
    pub(crate) fn password(&self, hash: &Secret, password: &Secret) -> Option<bool> {
        let digest = self.digest(hash, password);
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        match states.get(&digest) {
            Some(State::Known(fits, until)) if Instant::now() < *until => Some(*fits),
            _ => None,
        }
    }

    fn answered(&self, digest: Digest, fits: bool) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.insert(digest, State::Known(fits, Instant::now() + KEPT));
    }

    fn digest(&self, hash: &Secret, password: &Secret) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(hash.expose().as_bytes());
        // No PHC string has a zero byte in it.
        context.update(&[0]);
        context.update(password.expose().as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }
}

fn verify(work: &Receiver<(Digest, PasswordQuestion)>, verdicts: &Weak<Verdicts>) {
    for (digest, question) in work {
        let fits = PasswordHash::new(question.hash.expose()).is_ok_and(|hash| {
            let password = question.password.expose().as_bytes();
            Argon2::default().verify_password(password, &hash).is_ok()
        });
        match verdicts.upgrade() {
            Some(verdicts) => verdicts.answered(digest, fits),
            None => return,
        }
    }
}

/// Whether a configured password is an argon2 PHC string rather than plain text.
pub(crate) fn is_hash(password: &Secret) -> bool {
    password.expose().starts_with("$argon2")
}

#[cfg(test)]
mod tests {
    use argon2::{Params, PasswordHasher, password_hash::SaltString};

    use super::*;

    #[test]
    fn a_password_is_checked_once_and_remembered() {
        let params = Params::new(64, 1, 1, None).unwrap();
        let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let salt = SaltString::encode_b64(b"some salt here").unwrap();
        let hash = Secret::new(argon2.hash_password(b"letmein", &salt).unwrap().to_string());
        assert!(is_hash(&hash) && !is_hash(&Secret::new("letmein")));
        let verdicts = Verdicts::start().unwrap();
        for (password, fits) in [("letmein", true), ("letmeout", false)] {
            let password = Secret::new(password);
            assert_eq!(verdicts.password(&hash, &password), None);
            let question = PasswordQuestion {
                hash: hash.clone(),
                password: password.clone(),
            };
            assert!(!format!("{question:?}").contains("letme"));
            assert!(verdicts.ask(question.clone(), Instant::now()) && verdicts.ask(question, Instant::now()));
            let deadline = Instant::now() + Duration::from_secs(10);
            while verdicts.password(&hash, &password).is_none() {
                assert!(Instant::now() < deadline, "no answer");
                thread::yield_now();
            }
            assert_eq!(verdicts.password(&hash, &password), Some(fits));
        }
    }
}
