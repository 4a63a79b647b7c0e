//! Tells of refused callers: the first at once, repetitions in one line every few seconds.
//!
//! A caller that is refused tends to try again at once (srt-live-transmit: a hundred times a second).

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tracing::info;

use crate::{
    access::{self, Ask, Refused},
    config::{Dialect, Dialects},
    telemetry::{CallerEncryption, Rejection, RejectionLog},
};

/// Least time between two lines about the same address, port and reason.
const EVERY: Duration = Duration::from_secs(10);

/// Addresses, ports and reasons held at once: beyond them each refusal is told.
const HELD: usize = 4096;

/// What has been told lately.
#[derive(Debug)]
pub(super) struct Refusals {
    log: Arc<RejectionLog>,
    held: HashMap<(IpAddr, u16, i32), Held>,
}

#[derive(Debug)]
struct Held {
    told: Instant,
    untold: u64,
    last: Option<Refused>,
}

impl Refusals {
    /// Keeps each refusal in `log` as well.
    pub(super) fn new(log: Arc<RejectionLog>) -> Self {
        Self {
            log,
            held: HashMap::new(),
        }
    }

    pub(super) fn add(&mut self, refused: Refused, now: Instant) {
        self.record(&refused);
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
    pub(super) fn record(&self, refused: &Refused) {
        self.log.add(record(refused));
    }

    /// Tells what has gathered, and forgets who has given up. To be called every now and then.
    pub(super) fn tick(&mut self, now: Instant) {
        self.held.retain(|_, held| {
            if now.duration_since(held.told) < EVERY {
                return true;
            }
            let Some(last) = held.last.take() else {
                return false;
            };
            tell(&last, held.untold);
            held.untold = 0;
            held.told = now;
            true
        });
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
