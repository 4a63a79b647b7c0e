//! The viewers: one thread receives and checks the data of all of them; another one does so for the few whose delays
//! are measured.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use srt_safe::{Epoll, Events, Interest, SocketId, SrtSocket, Trigger};

use super::{Result, histogram::Histogram, payload::Stamp};

/// The longest wait of the thread.
const MAX_WAIT: Duration = Duration::from_millis(1);

/// Shared by the receiver and the thread that times the run.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Delays are recorded while this is set.
    pub(super) measuring: AtomicBool,
    pub(super) stop: AtomicBool,
    /// Bytes received as of the last round of the loop.
    pub(super) bytes: AtomicU64,
    /// Messages received.
    pub(super) messages: AtomicU64,
}

/// The received data.
pub(super) struct Received {
    pub(super) delays: Histogram,
    pub(super) tallies: Vec<Tally>,
    pub(super) damaged: u64,
    pub(super) broken: u64,
}

/// The message numbers that one viewer received.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// The publisher's number.
    pub(super) stream: u32,
    first: Option<u64>,
    /// One more than the highest number received.
    next: u64,
    pub(super) messages: u64,
    missing: u64,
    pub(super) duplicates: u64,
    pub(super) disordered: u64,
    /// The last 64 numbers, with the highest in the lowest bit.
    seen: u64,
}

impl Received {
    /// Merges the results of two threads.
    pub(super) fn join(mut self, other: Self) -> Self {
        self.delays.join(&other.delays);
        self.tallies.extend(other.tallies);
        self.damaged += other.damaged;
        self.broken += other.broken;
        self
    }
}

impl Tally {
    fn add(&mut self, number: u64) {
        if self.first.is_none() {
            self.first = Some(number);
            self.next = number;
        }
        if number >= self.next {
            let ahead = number - self.next;
            self.missing += ahead;
            self.seen = if ahead < 63 { self.seen << (ahead + 1) } else { 0 } | 1;
            self.next = number + 1;
            self.messages += 1;
            return;
        }
        let behind = self.next - 1 - number;
        let bit = if behind < 64 { 1 << behind } else { 0 };
        if bit == 0 || self.seen & bit != 0 {
            self.duplicates += 1;
        } else {
            self.seen |= bit;
            self.disordered += 1;
            self.missing -= self.missing.min(1);
            self.messages += 1;
        }
    }

    /// The number of messages from the first received to the last sent, if `made` were sent.
    pub(super) fn expected(&self, made: u64) -> u64 {
        made.saturating_sub(self.first.unwrap_or(0))
    }

    /// The number of those that did not arrive.
    pub(super) fn lost(&self, made: u64) -> u64 {
        self.missing + made.saturating_sub(self.next)
    }
}

struct Viewer<'a> {
    socket: &'a SrtSocket,
    tally: Tally,
}

/// The viewers of one thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Audience<'a> {
    /// With the stream that each watches.
    pub(super) sockets: &'a [(u32, &'a SrtSocket)],
    /// Whether their delays are recorded.
    pub(super) is_timed: bool,
}

/// Receives until stopped.
pub(super) fn receive(audience: Audience<'_>, begin: Instant, shared: &Shared) -> Result<Received> {
    let mut epoll = Epoll::new().map_err(|error| error.to_string())?;
    let mut viewers = HashMap::with_capacity(audience.sockets.len());
    for (stream, socket) in audience.sockets {
        epoll
            .registry()
            .add(*socket, Interest::READABLE, Trigger::Edge)
            .map_err(|error| error.to_string())?;
        let tally = Tally {
            stream: *stream,
            ..Tally::default()
        };
        viewers.insert(socket.id(), Viewer { socket, tally });
    }
    let mut received = Received {
        delays: Histogram::new(),
        tallies: Vec::new(),
        damaged: 0,
        broken: 0,
    };
    let mut events = Events::with_capacity(viewers.len().max(1));
    // All sockets are checked at first: data that arrived before they were watched raises no event.
    let mut again: Vec<SocketId> = viewers.keys().copied().collect();
    let mut broken: Vec<SocketId> = Vec::new();
    let mut buffer = [0; 1500];
    while !shared.stop.load(Relaxed) {
        epoll
            .wait(&mut events, Some(MAX_WAIT))
            .map_err(|error| error.to_string())?;
        let record = (audience.is_timed && shared.measuring.load(Relaxed)).then_some(begin);
        let waiting = std::mem::take(&mut again);
        for id in events.iter().map(|event| event.socket()).chain(waiting) {
            let Some(viewer) = viewers.get_mut(&id) else {
                continue;
            };
            match viewer.drain(&mut buffer, record, shared, &mut received) {
                Drained::Empty => {}
                Drained::Missing => again.push(id),
                Drained::Over => broken.push(id),
            }
        }
        for id in broken.drain(..) {
            viewers
                .remove(&id)
                .into_iter()
                .for_each(|viewer| received.tallies.push(viewer.tally));
            received.broken += 1;
        }
    }
    received
        .tallies
        .extend(viewers.into_values().map(|viewer| viewer.tally));
    Ok(received)
}

/// The rest of a viewer's packets.
enum Drained {
    /// None: an event reports new ones.
    Empty,
    /// Some after a missing one, which may be given up.
    Missing,
    Over,
}

impl Viewer<'_> {
    /// Receives everything that is there.
    fn drain(
        &mut self,
        buffer: &mut [u8],
        record_since: Option<Instant>,
        shared: &Shared,
        received: &mut Received,
    ) -> Drained {
        let (mut bytes, mut messages) = (0, 0);
        let left = loop {
            let len = match self.socket.recv(buffer) {
                Ok(0) => break Drained::Over,
                Ok(len) => len,
                Err(error) if !error.is_would_block() => break Drained::Over,
                Err(_) => match self.socket.next_delivery() {
                    Some(Duration::ZERO) => continue,
                    Some(_) => break Drained::Missing,
                    None => break Drained::Empty,
                },
            };
            bytes += len as u64;
            messages += 1;
            match Stamp::read(&buffer[..len]) {
                Some(stamp) if stamp.stream == self.tally.stream => {
                    self.tally.add(stamp.number);
                    if let Some(begin) = record_since {
                        received.delays.add(begin.elapsed().saturating_sub(stamp.sent));
                    }
                }
                _ => received.damaged += 1,
            }
        };
        shared.bytes.fetch_add(bytes, Relaxed);
        shared.messages.fetch_add(messages, Relaxed);
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(numbers: &[u64]) -> Tally {
        let mut tally = Tally::default();
        for number in numbers {
            tally.add(*number);
        }
        tally
    }

    #[test]
    fn complete_row_has_nothing_missing() {
        let tally = tally(&[5, 6, 7, 8]);
        assert_eq!(
            (tally.messages, tally.lost(9), tally.duplicates, tally.disordered),
            (4, 0, 0, 0)
        );
        assert_eq!(tally.expected(9), 4);
    }

    #[test]
    fn gaps_and_the_end_that_never_came_are_lost() {
        assert_eq!(tally(&[0, 3, 4]).lost(5), 2);
        assert_eq!(tally(&[0, 1]).lost(5), 3);
        assert_eq!(tally(&[0, 200]).lost(201), 199);
        assert_eq!(tally(&[]).lost(7), 7);
    }

    #[test]
    fn late_ones_are_disorder_and_repeated_ones_duplicates() {
        let late = tally(&[0, 2, 1, 3]);
        assert_eq!((late.lost(4), late.disordered, late.duplicates), (0, 1, 0));
        let twice = tally(&[0, 1, 1, 0]);
        assert_eq!((twice.lost(2), twice.disordered, twice.duplicates), (0, 0, 2));
    }
}
