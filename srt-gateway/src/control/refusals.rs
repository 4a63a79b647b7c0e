//! Tells of refused callers: the first at once, repetitions in one line every few seconds.
//!
//! A caller that is refused tends to try again at once (srt-live-transmit: a hundred times a second).

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use tracing::info;

use crate::access::Refused;

/// Least time between two lines about the same address, port and reason.
const EVERY: Duration = Duration::from_secs(10);

/// Addresses, ports and reasons held at once: beyond them each refusal is told.
const HELD: usize = 4096;

/// What has been told lately.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    held: HashMap<(IpAddr, u16, i32), Held>,
}

#[derive(Debug)]
struct Held {
    told: Instant,
    untold: u64,
    last: Option<Refused>,
}

impl Refusals {
    pub(super) fn add(&mut self, refused: Refused, now: Instant) {
        let key = (
            refused.peer.ip(),
            refused.port.addr.port(),
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

fn tell(refused: &Refused, times: u64) {
    info!(
        peer = %refused.peer, port = %refused.port, streamid = %refused.streamid.escape_ascii(),
        code = refused.why.code().value(), times, "refused: {}", refused.why
    );
}
