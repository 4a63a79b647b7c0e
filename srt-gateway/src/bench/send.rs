//! The publishers: one thread sends for all of them, in bursts, one after the other.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use srt_safe::SrtSocket;

use super::{
    payload::Payload,
    plan::{Load, MESSAGE},
};

/// The sent data.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Messages created by each publisher.
    pub(super) messages: Vec<u64>,
    /// Messages that the server did not accept.
    pub(super) blocked: u64,
    /// Connections that broke.
    pub(super) broken: u64,
}

struct Publisher<'a> {
    socket: &'a SrtSocket,
    payload: Payload,
    is_broken: bool,
}

/// Sends until `stop`, then returns what was sent.
pub(super) fn send(load: &Load, sockets: &[SrtSocket], begin: Instant, stop: &AtomicBool) -> Sent {
    let per_second = load.bitrate / (MESSAGE as u64 * 8);
    let mut publishers: Vec<_> = (0..)
        .zip(sockets)
        .map(|(stream, socket)| Publisher {
            socket,
            payload: Payload::new(stream, per_second),
            is_broken: false,
        })
        .collect();
    let mut blocked = 0;
    if load.bitrate > 0 && !publishers.is_empty() {
        let step = Duration::from_secs_f64(load.burst / 1000.0 / publishers.len() as f64);
        let start = Instant::now();
        for turn in 0_u32.. {
            if stop.load(Relaxed) {
                break;
            }
            let due = step * turn;
            if let Some(wait) = (start + due).checked_duration_since(Instant::now()) {
                thread::sleep(wait);
            }
            let at = turn as usize % publishers.len();
            blocked += publishers[at].burst(due, load.bitrate, begin);
        }
    }
    Sent {
        messages: publishers
            .iter()
            .map(|publisher| publisher.payload.made())
            .collect(),
        blocked,
        broken: publishers
            .iter()
            .map(|publisher| u64::from(publisher.is_broken))
            .sum(),
    }
}

impl Publisher<'_> {
    /// Creates and sends the messages that are due after `elapsed`. What libsrt does not accept is lost, as for an
    /// encoder.
    fn burst(&mut self, elapsed: Duration, bitrate: u64, begin: Instant) -> u64 {
        let bits = u128::from(bitrate) * elapsed.as_nanos() / 1_000_000_000;
        let due = u64::try_from(bits / (MESSAGE as u128 * 8)).unwrap_or(u64::MAX);
        let mut blocked = 0;
        while self.payload.made() < due && !self.is_broken {
            match self.socket.send(self.payload.next(begin.elapsed())) {
                Ok(_) => {}
                Err(error) if error.is_would_block() => blocked += 1,
                Err(_) => self.is_broken = true,
            }
        }
        blocked
    }
}
