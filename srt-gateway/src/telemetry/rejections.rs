//! The last refused attempts, for whoever asks why a caller does not get in.
//!
//! Control writes, any thread reads; both hold a lock for as long as it takes to move one entry or copy the list. Nothing
//! of it runs on libsrt's threads.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use srt_safe::{KeyLength, SrtVersion};

use crate::names::escape;

/// Codes that are counted apart.
const CODES: usize = 64;

/// Attempts that are kept.
const KEPT: usize = 1000;

/// One refused attempt to connect.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// Counts up from 1 while the gateway runs: what was seen before need not be read again.
    pub number: u64,
    /// When.
    pub at: SystemTime,
    /// From where.
    pub peer: SocketAddr,
    /// The UDP port that it came to.
    pub port: u16,
    /// What that port is: `srt_publish port 9002 of live/cam1`.
    pub listener: String,
    /// The streamid byte for byte, which is not surely text and may hold a password: show [`streamid_shown`] to people.
    ///
    /// [`streamid_shown`]: Self::streamid_shown
    pub streamid: Box<[u8]>,
    /// The same as text, with what is not printable escaped and passwords masked.
    pub streamid_shown: String,
    /// How the streamid was read: `standard`, `plain`, `none`, ...; `unreadable` if it was not.
    pub dialect: &'static str,
    /// The caller's SRT version, where the library lets us see it.
    pub version: Option<SrtVersion>,
    /// Whether the caller meant to encrypt, where the library lets us see it.
    pub encryption: CallerEncryption,
    /// Who refused.
    pub decision: RejectedBy,
    /// What the caller was told: libsrt's own reason below 1000, else one of access control.
    pub code: i32,
    /// One sentence that says why, and what to change.
    pub reason: String,
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The raw streamid may hold a password.
        f.debug_struct("Rejection")
            .field("number", &self.number)
            .field("at", &self.at)
            .field("peer", &self.peer)
            .field("listener", &self.listener)
            .field("streamid", &self.streamid_shown)
            .field("dialect", &self.dialect)
            .field("version", &self.version)
            .field("encryption", &self.encryption)
            .field("decision", &self.decision)
            .field("code", &self.code)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

/// What a caller said of encryption in its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallerEncryption {
    /// An installed libsrt does not let us see it.
    Unknown,
    /// It has no passphrase.
    None,
    /// It has one, and wants keys of this length.
    Aes(KeyLength),
}

impl fmt::Display for CallerEncryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::None => "none",
            Self::Aes(KeyLength::Aes192) => "AES-192",
            Self::Aes(KeyLength::Aes256) => "AES-256",
            Self::Aes(_) => "AES-128",
        })
    }
}

/// Who refused a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectedBy {
    /// The port: what it requires of a streamid, of an address, of a latency.
    Port,
    /// The stream: not there, or it has a publisher, or no source, or too many viewers.
    Stream,
    /// The passphrase: libsrt ended the handshake.
    Passphrase,
    /// `[[rules]]`, or the `password` of the stream.
    Rules,
    /// The hook of `[auth]`.
    Hook,
    /// `[limits]`: too many handshakes, or banned.
    Limits,
}

impl RejectedBy {
    /// The word for labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Port => "port",
            Self::Stream => "stream",
            Self::Passphrase => "passphrase",
            Self::Rules => "rules",
            Self::Hook => "hook",
            Self::Limits => "limits",
        }
    }
}

impl fmt::Display for RejectedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The last [`KEPT`] of them.
#[derive(Debug, Default)]
pub(crate) struct RejectionLog(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    last: u64,
    /// By who refused and the code.
    counts: BTreeMap<(&'static str, i32), u64>,
    kept: VecDeque<Rejection>,
}

impl RejectionLog {
    /// Keeps `rejection`, numbered, in the place of the oldest.
    pub(crate) fn add(&self, mut rejection: Rejection) {
        for text in [
            &mut rejection.listener,
            &mut rejection.streamid_shown,
            &mut rejection.reason,
        ] {
            escape(text);
        }
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.last += 1;
        let key = (rejection.decision.as_str(), rejection.code);
        let is_known = entries.counts.contains_key(&key) || entries.counts.len() < CODES;
        // Backends may invent codes.
        let key = if is_known { key } else { (key.0, -1) };
        *entries.counts.entry(key).or_default() += 1;
        rejection.number = entries.last;
        if entries.kept.len() == KEPT {
            entries.kept.pop_front();
        }
        entries.kept.push_back(rejection);
    }

    /// The number of the newest; 0: there was none.
    pub(crate) fn last(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last
    }

    /// How many there were, by who refused and the code; -1 stands for further codes.
    pub(crate) fn counts(&self) -> BTreeMap<(&'static str, i32), u64> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.counts.clone()
    }

    /// All that are kept, the oldest first.
    pub(crate) fn all(&self) -> Vec<Rejection> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.kept.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(streamid: &[u8], shown: &str) -> Rejection {
        Rejection {
            number: 0,
            at: SystemTime::UNIX_EPOCH,
            peer: "192.0.2.1:4000".parse().unwrap(),
            port: 9998,
            listener: "srt port 9998".to_owned(),
            streamid: streamid.into(),
            streamid_shown: shown.to_owned(),
            dialect: "standard",
            version: None,
            encryption: CallerEncryption::Unknown,
            decision: RejectedBy::Rules,
            code: 1401,
            reason: "no".to_owned(),
        }
    }

    #[test]
    fn the_last_thousand_are_kept_and_numbered() {
        let log = RejectionLog::default();
        for _ in 0..KEPT + 5 {
            log.add(rejection(b"", ""));
        }
        let all = log.all();
        assert_eq!(all.len(), KEPT);
        assert_eq!((all[0].number, all[KEPT - 1].number), (6, KEPT as u64 + 5));
    }

    #[test]
    fn what_is_kept_steers_no_terminal() {
        let log = RejectionLog::default();
        let mut hostile = rejection(b"", "a\u{1b}[2J");
        hostile.reason = "no\n2026 INFO forged\u{9b}2J".to_owned();
        log.add(hostile);
        let kept = &log.all()[0];
        assert_eq!(kept.streamid_shown, "a\\u{1b}[2J");
        assert_eq!(kept.reason, "no\\n2026 INFO forged\\u{9b}2J");
    }

    #[test]
    fn debug_shows_no_password() {
        let shown = format!("{:?}", rejection(b"#!::password=letmein", "#!::password=***"));
        assert!(!shown.contains("letmein") && shown.contains("***"), "{shown}");
    }
}
