//! Tells of refused callers: the first at once, repetitions in one line every few seconds.
//!
//! A caller that is refused tends to try again at once (srt-live-transmit: a hundred times a second).

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant, SystemTime},
};

use tracing::info;

use super::Journal;
use crate::{
    access::{self, Ask, Refused, Scope},
    config::{Dialect, Dialects},
    telemetry::{CallerEncryption, EventKind, Happening, Rejection},
};

/// Least time between two lines about the same address, port and reason.
const EVERY: Duration = Duration::from_secs(10);

const SECOND: Duration = Duration::from_secs(1);

/// Addresses, ports and reasons held at once: beyond them each refusal is told.
const HELD: usize = 4096;

/// Events of a second: a flood of refusals must not push out all others. Those beyond are added up in one.
const EVENTS: u32 = 10;

/// What has been told lately.
#[derive(Debug)]
pub(super) struct Refusals {
    journal: Journal,
    held: HashMap<(IpAddr, u16, i32), Held>,
    second: Second,
}

/// The events of this second.
#[derive(Debug)]
struct Second {
    begin: Instant,
    events: u32,
    /// Refusals of which there were no events.
    beyond: u64,
}

#[derive(Debug)]
struct Held {
    told: Instant,
    untold: u64,
    last: Option<Refused>,
}

impl Refusals {
    /// Writes each refusal down in `journal` as well.
    pub(super) fn new(journal: Journal) -> Self {
        Self {
            journal,
            held: HashMap::new(),
            second: Second {
                begin: Instant::now(),
                events: 0,
                beyond: 0,
            },
        }
    }

    pub(super) fn add(&mut self, refused: Refused, now: Instant) {
        let kept = record(&refused);
        self.journal.rejections.add(kept.clone());
        let key = (
            refused.peer.ip(),
            refused.port.number(),
            refused.why.code().value(),
        );
        if let Some(held) = self.held.get_mut(&key) {
            held.untold += 1;
            held.last = Some(refused);
            return;
        }
        tell(&refused, 1);
        self.tell_event(&refused, &kept, 1);
        if self.held.len() < HELD {
            self.held.insert(
                key,
                Held {
                    told: now,
                    untold: 0,
                    last: None,
                },
            );
        }
    }

    /// Keeps what has been told of otherwise.
    pub(super) fn record(&mut self, refused: &Refused) {
        let kept = record(refused);
        self.tell_event(refused, &kept, 1);
        self.journal.rejections.add(kept);
    }

    /// Tells what has gathered, and forgets who has given up. To be called every now and then.
    pub(super) fn tick(&mut self, now: Instant) {
        let mut due = Vec::new();
        self.held.retain(|_, held| {
            if now.duration_since(held.told) < EVERY {
                return true;
            }
            let Some(last) = held.last.take() else {
                return false;
            };
            due.push((last, held.untold));
            held.untold = 0;
            held.told = now;
            true
        });
        for (last, times) in due {
            tell(&last, times);
            self.tell_event(&last, &record(&last), times);
        }
        if now.duration_since(self.second.begin) >= SECOND {
            self.second.begin = now;
            self.second.events = 0;
            let beyond = std::mem::take(&mut self.second.beyond);
            if beyond > 0 {
                let text = format!("{beyond} more callers were refused within a second");
                self.journal.events.add(Happening {
                    times: Some(beyond),
                    ..Happening::new(EventKind::Rejected, text)
                });
            }
        }
    }

    fn tell_event(&mut self, refused: &Refused, kept: &Rejection, times: u64) {
        if self.second.events >= EVENTS {
            self.second.beyond += times;
            return;
        }
        self.second.events += 1;
        self.journal.events.add(happening(refused, kept, times));
    }
}

/// What is told of a refusal.
fn happening(refused: &Refused, kept: &Rejection, times: u64) -> Happening {
    let shown = Some(&kept.streamid_shown).filter(|shown| !shown.is_empty());
    Happening {
        stream: stream_of(refused, kept),
        peer: Some(kept.peer),
        port: Some(kept.port),
        streamid: shown.cloned(),
        srt_version: kept.version.map(|version| version.to_string()),
        by: Some(kept.decision.as_str()),
        code: Some(kept.code),
        reason: Some(kept.reason.clone()),
        times: Some(times),
        ..Happening::new(
            EventKind::Rejected,
            format!("{} ({}): {}", kept.peer, kept.code, kept.reason),
        )
    }
}

/// The stream that the caller was refused at, where there are no two ways to read its name: the other one might hold a
/// password.
fn stream_of(refused: &Refused, kept: &Rejection) -> Option<String> {
    if let Scope::Stream(name) = &refused.port.scope {
        return Some(name.to_string());
    }
    let ask = Ask::read(&refused.streamid, Dialects::all()).ok()?;
    match ask.names.as_slice() {
        [reading] if kept.streamid_shown.contains(reading.stream.as_str()) => {
            Some(reading.stream.to_string())
        }
        _ => None,
    }
}

/// What is kept of a refusal.
fn record(refused: &Refused) -> Rejection {
    let dialect = match Ask::read(&refused.streamid, Dialects::all()) {
        Ok(ask) => ask.dialect.map_or("none", Dialect::as_str),
        Err(_) => "unreadable",
    };
    let encryption = match refused.handshake.map(|handshake| handshake.encryption) {
        None => CallerEncryption::Unknown,
        Some(None) => CallerEncryption::None,
        Some(Some(length)) => CallerEncryption::Aes(length),
    };
    Rejection {
        number: 0,
        at: SystemTime::now(),
        peer: refused.peer,
        port: refused.port.number(),
        listener: refused.port.to_string(),
        streamid: refused.streamid.clone(),
        streamid_shown: access::shown(&refused.streamid),
        dialect,
        version: refused.handshake.map(|handshake| handshake.version),
        encryption,
        decision: refused.why.decided_by(),
        code: refused.why.code().value(),
        reason: refused.why.to_string(),
    }
}

fn tell(refused: &Refused, times: u64) {
    info!(
        peer = %refused.peer, port = %refused.port, streamid = %access::shown(&refused.streamid),
        code = refused.why.code().value(), times, "refused: {}", refused.why
    );
}
