//! The record of refused attempts, which shows why a caller does not get in.
//!
//! A refused caller usually tries again, some of them 60 times a second, so repeated attempts share one entry. When the
//! record is full, the client with the most entries loses its oldest, so no client pushes out the others.
//!
//! Control writes, any thread reads; both hold a lock to move one entry or to copy the list. libsrt's threads never
//! take it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use srt_safe::{KeyLength, SrtVersion};

use crate::{names::escape, rate_limit::client_of};

/// The number of codes counted separately.
const CODES: usize = 64;

/// The number of entries kept.
const MAX_ENTRIES: usize = 1000;

/// Repeated attempts of one caller, refused for the same reason.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// The number of the last attempt. Attempts count up from 1 while the gateway runs, so a reader can skip those it
    /// has seen.
    pub number: u64,
    /// The time of the last attempt.
    pub at: SystemTime,
    /// The time of the first attempt.
    pub first: SystemTime,
    /// The number of attempts.
    pub count: u64,
    /// The peer of the last attempt.
    pub peer: SocketAddr,
    /// The UDP port that it called.
    pub port: u16,
    /// A description of that port: `srt_publish port 9002 of live/cam1`.
    pub listener: String,
    /// The streamid byte for byte, which may be no text and may contain a password: use [`streamid_shown`] for display.
    ///
    /// [`streamid_shown`]: Self::streamid_shown
    pub streamid: Box<[u8]>,
    /// The same as text, with unprintable characters escaped and passwords masked.
    pub streamid_shown: String,
    /// The format of the streamid: `standard`, `plain`, `none`, ...; `unreadable` if it could not be parsed.
    pub dialect: &'static str,
    /// The caller's SRT version, if the library shows it.
    pub version: Option<SrtVersion>,
    /// Whether the caller uses encryption, if the library shows it.
    pub encryption: CallerEncryption,
    /// What refused the caller.
    pub decision: RejectedBy,
    /// The code sent to the caller: libsrt's own below 1000, otherwise one of access control.
    pub code: i32,
    /// The reason and what to change, in one sentence.
    pub reason: String,
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The raw streamid may contain a password.
        f.debug_struct("Rejection")
            .field("number", &self.number)
            .field("at", &self.at)
            .field("count", &self.count)
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

/// The encryption in a caller's handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallerEncryption {
    /// An installed libsrt does not show it.
    Unknown,
    /// No passphrase.
    None,
    /// A passphrase, with keys of this length.
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

/// What refused a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectedBy {
    /// The port: its requirements for streamid, address or latency.
    Port,
    /// The stream: it does not exist, already has a publisher, has no source, or has too many viewers.
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
    /// The label value.
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

/// Identifies repeats of the same attempt.
#[derive(Clone, PartialEq, Eq, Hash)]
struct AttemptKey {
    client: IpAddr,
    port: u16,
    code: i32,
    streamid: Box<[u8]>,
}

impl AttemptKey {
    fn of(rejection: &Rejection) -> Self {
        Self {
            client: client_of(rejection.peer.ip()),
            port: rejection.port,
            code: rejection.code,
            streamid: rejection.streamid.clone(),
        }
    }
}

/// The last [`MAX_ENTRIES`] rejections.
#[derive(Debug, Default)]
pub(crate) struct RejectionLog(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    last: u64,
    /// By origin and code.
    counts: BTreeMap<(&'static str, i32), u64>,
    /// By number.
    kept: BTreeMap<u64, Rejection>,
    numbers: HashMap<AttemptKey, u64>,
    /// The numbers of each client's entries.
    clients: HashMap<IpAddr, BTreeSet<u64>>,
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries")
            .field("last", &self.last)
            .field("kept", &self.kept.len())
            .finish_non_exhaustive()
    }
}

impl Entries {
    fn take(&mut self, same: &AttemptKey) -> Option<Rejection> {
        let number = self.numbers.remove(same)?;
        if let Some(numbers) = self.clients.get_mut(&same.client) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.clients.remove(&same.client);
            }
        }
        self.kept.remove(&number)
    }

    /// Removes the oldest entry of the client that has the most.
    fn evict(&mut self) {
        let most = self.clients.values().max_by_key(|numbers| numbers.len());
        let oldest = most.and_then(|numbers| self.kept.get(numbers.first()?));
        if let Some(same) = oldest.map(AttemptKey::of) {
            self.take(&same);
        }
    }

    fn keep(&mut self, rejection: Rejection) {
        let same = AttemptKey::of(&rejection);
        let numbers = self.clients.entry(same.client).or_default();
        numbers.insert(rejection.number);
        self.numbers.insert(same, rejection.number);
        self.kept.insert(rejection.number, rejection);
    }
}

impl RejectionLog {
    /// Adds a rejection: to the entry of the same attempt, or as a new one, if needed in place of an older one.
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
        match entries.take(&AttemptKey::of(&rejection)) {
            Some(before) => {
                rejection.first = before.first;
                rejection.count = before.count + 1;
            }
            None if entries.kept.len() >= MAX_ENTRIES => entries.evict(),
            None => {}
        }
        entries.keep(rejection);
    }

    /// The newest number; 0: there is none.
    pub(crate) fn last(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last
    }

    /// The number of attempts by origin and code; -1 stands for further codes.
    pub(crate) fn counts(&self) -> BTreeMap<(&'static str, i32), u64> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.counts.clone()
    }

    /// All entries by their last attempts, oldest first.
    pub(crate) fn all(&self) -> Vec<Rejection> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.kept.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rejection(streamid: &[u8], shown: &str) -> Rejection {
        Rejection {
            number: 0,
            at: SystemTime::UNIX_EPOCH,
            first: SystemTime::UNIX_EPOCH,
            count: 1,
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

    /// A rejection of a caller at this address.
    fn of(peer: &str, streamid: usize, seconds: u64) -> Rejection {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Rejection {
            peer: format!("{peer}:4000").parse().unwrap(),
            at,
            first: at,
            ..rejection(streamid.to_string().as_bytes(), "")
        }
    }

    #[test]
    fn the_last_thousand_are_kept_and_numbered() {
        let log = RejectionLog::default();
        for streamid in 0..MAX_ENTRIES + 5 {
            log.add(of("192.0.2.1", streamid, 0));
        }
        let all = log.all();
        assert_eq!(all.len(), MAX_ENTRIES);
        assert_eq!(
            (all[0].number, all[MAX_ENTRIES - 1].number),
            (6, MAX_ENTRIES as u64 + 5)
        );
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
    fn repeated_attempts_of_a_caller_are_one_entry() {
        let log = RejectionLog::default();
        log.add(of("192.0.2.2", 1, 0));
        for second in 0..5000 {
            let mut again = of("192.0.2.1", 1, second);
            again.peer.set_port(u16::try_from(second).unwrap());
            log.add(again);
        }
        log.add(of("192.0.2.1", 2, 9000));
        let all = log.all();
        let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let row = |one: &Rejection| (one.number, one.count, seconds(one.first), seconds(one.at));
        let rows: Vec<_> = all.iter().map(row).collect();
        assert_eq!(rows, [(1, 1, 0, 0), (5001, 5000, 0, 4999), (5002, 1, 9000, 9000)]);
        assert_eq!(all[1].peer.port(), 4999);
        assert_eq!(log.counts()[&("rules", 1401)], 5002);
    }

    #[test]
    fn one_client_does_not_push_out_the_others() {
        let log = RejectionLog::default();
        for host in 1..=100 {
            log.add(of(&format!("192.0.2.{host}"), 0, 0));
        }
        for streamid in 0..10 * MAX_ENTRIES {
            log.add(of("198.51.100.1", streamid, 1));
        }
        let all = log.all();
        assert_eq!(all.len(), MAX_ENTRIES);
        let others = all
            .iter()
            .filter(|one| one.peer.ip().to_string().starts_with("192.0.2."));
        assert_eq!(others.count(), 100);
        assert_eq!(all[MAX_ENTRIES - 1].number, 100 + 10 * MAX_ENTRIES as u64);
        let entries = log.0.lock().unwrap();
        assert_eq!(entries.numbers.len(), MAX_ENTRIES);
        assert_eq!(
            entries.clients.values().map(BTreeSet::len).sum::<usize>(),
            MAX_ENTRIES
        );
    }

    #[test]
    fn debug_shows_no_password() {
        let shown = format!("{:?}", rejection(b"#!::password=letmein", "#!::password=***"));
        assert!(!shown.contains("letmein") && shown.contains("***"), "{shown}");
    }
}
