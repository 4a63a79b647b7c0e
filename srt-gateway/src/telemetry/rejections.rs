//! The last refused attempts, for whoever asks why a caller does not get in.
//!
//! A caller that is refused tries again, some of them 60 times a second: its repeated attempts are one entry. When the record
//! is full, the client with the most entries loses its oldest, so that no client pushes out the others.
//!
//! Control writes, any thread reads; both hold a lock for as long as it takes to move one entry or copy the list. Nothing
//! of it runs on libsrt's threads.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use srt_safe::{KeyLength, SrtVersion};

use crate::{names::escape, rate_limit::client_of};

/// Codes that are counted apart.
const CODES: usize = 64;

/// Entries that are kept.
const KEPT: usize = 1000;

/// Refused attempts of one caller to connect, all for the same reason.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// That of the last attempt. Attempts count up from 1 while the gateway runs: what was seen before need not be read again.
    pub number: u64,
    /// When the last attempt was.
    pub at: SystemTime,
    /// When the first one was.
    pub first: SystemTime,
    /// How many there were.
    pub count: u64,
    /// From where the last one came.
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

/// What makes two attempts the same.
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

/// The last [`KEPT`] of them.
#[derive(Debug, Default)]
pub(crate) struct RejectionLog(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    last: u64,
    /// By who refused and the code.
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

    /// Makes room by the oldest entry of the client that has the most.
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
    /// Keeps `rejection`, numbered: with the same caller's attempts of its kind, or in the place of an older one.
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
            None if entries.kept.len() >= KEPT => entries.evict(),
            None => {}
        }
        entries.keep(rejection);
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

    /// All that are kept, by their last attempts, the oldest first.
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

    /// What a caller at this address is refused for.
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
        for streamid in 0..KEPT + 5 {
            log.add(of("192.0.2.1", streamid, 0));
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
        for streamid in 0..10 * KEPT {
            log.add(of("198.51.100.1", streamid, 1));
        }
        let all = log.all();
        assert_eq!(all.len(), KEPT);
        let others = all
            .iter()
            .filter(|one| one.peer.ip().to_string().starts_with("192.0.2."));
        assert_eq!(others.count(), 100);
        assert_eq!(all[KEPT - 1].number, 100 + 10 * KEPT as u64);
        let entries = log.0.lock().unwrap();
        assert_eq!(entries.numbers.len(), KEPT);
        assert_eq!(entries.clients.values().map(BTreeSet::len).sum::<usize>(), KEPT);
    }

    #[test]
    fn debug_shows_no_password() {
        let shown = format!("{:?}", rejection(b"#!::password=letmein", "#!::password=***"));
        assert!(!shown.contains("letmein") && shown.contains("***"), "{shown}");
    }
}
