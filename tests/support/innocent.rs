//! The reference stream, which must not be disturbed: numbered messages from one publisher to two viewers, each with
//! the time at which it was sent.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::client::connect;
use srt_safe::{ErrorKind, Options, SrtSocket};

/// Between two messages: 3 Mb/s.
const PERIOD: Duration = Duration::from_micros(3_509);

const VIEWERS: usize = 2;

/// Seven TS packets, each with the number of its message and the time at which it was sent.
fn message(number: u64, micros: u64) -> [u8; 7 * 188] {
    let mut message = [0xFF; 7 * 188];
    for (place, packet) in message.chunks_exact_mut(188).enumerate() {
        let counter = number.wrapping_mul(7).wrapping_add(place as u64) & 0xF;
        packet[..4].copy_from_slice(&[0x47, 0x01, 0x00, 0x10 | counter.to_le_bytes()[0]]);
        packet[4..12].copy_from_slice(&number.to_be_bytes());
        packet[12..20].copy_from_slice(&micros.to_be_bytes());
    }
    message
}

/// The result of a viewer.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Messages.
    pub received: u64,
    /// Messages that never arrived.
    pub lost: u64,
    /// Messages that differ from the sent ones.
    pub damaged: u64,
    /// The number of messages per delay in milliseconds from the publisher to the viewer.
    pub delays: BTreeMap<u64, u64>,
    /// Why the connection ended before the run did.
    pub broken: Option<String>,
}

impl Outcome {
    /// The delay that 99 of 100 messages did not exceed, to the millisecond.
    #[must_use]
    pub fn p99(&self) -> Duration {
        let mut left = (self.delays.values().sum::<u64>() * 99).div_ceil(100);
        let reached = self.delays.iter().find(|(_, count)| {
            left = left.saturating_sub(**count);
            left == 0
        });
        Duration::from_millis(reached.map_or(0, |(delay, _)| *delay))
    }
}

/// The running stream.
#[derive(Debug)]
pub struct Innocent {
    stop: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
    publisher: JoinHandle<Option<String>>,
    viewers: Vec<(JoinHandle<()>, Arc<Mutex<Outcome>>)>,
}

impl Innocent {
    /// The name of the stream.
    pub const STREAM: &str = "innocent";

    /// Starts it, with this latency on both legs.
    ///
    /// # Panics
    /// If it is not admitted.
    #[must_use]
    #[track_caller]
    pub fn start(srt: SocketAddr, latency: Duration) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let received = Arc::<AtomicU64>::default();
        let call = |mode| {
            let options = Options::new().latency(latency).payload_size(1316);
            let stream = Self::STREAM;
            connect(srt, &format!("#!::r={stream},m={mode}"), options).expect("the innocent are let in")
        };
        let begun = Instant::now();
        let viewers = (0..VIEWERS).map(|_| {
            let (socket, stop, received) = (call("request"), Arc::clone(&stop), Arc::clone(&received));
            let outcome = Arc::<Mutex<Outcome>>::default();
            let filled = Arc::clone(&outcome);
            let thread = thread::spawn(move || view(&socket, begun, &stop, &received, &filled));
            (thread, outcome)
        });
        let viewers = viewers.collect();
        let (socket, stopped) = (call("publish"), Arc::clone(&stop));
        let publisher = thread::spawn(move || publish(&socket, begun, &stopped));
        Self {
            stop,
            received,
            publisher,
            viewers,
        }
    }

    /// Messages that the viewers have received in total.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Each viewer's result since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<Outcome> {
        let take = |outcome: &Mutex<Outcome>| {
            let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
            let broken = outcome.broken.clone();
            std::mem::replace(
                &mut *outcome,
                Outcome {
                    broken,
                    ..Outcome::default()
                },
            )
        };
        self.viewers.iter().map(|(_, outcome)| take(outcome)).collect()
    }

    /// Ends it, and returns each viewer's result since the last [`Innocent::take`].
    ///
    /// # Panics
    /// If one of its threads panicked.
    #[must_use]
    pub fn end(mut self) -> Vec<Outcome> {
        self.stop.store(true, Relaxed);
        let outcomes = self.viewers.iter_mut().map(|(_, outcome)| Arc::clone(outcome));
        let outcomes: Vec<_> = outcomes.collect();
        for (thread, _) in self.viewers {
            thread.join().expect("a viewer's thread does not panic");
        }
        let mut outcomes: Vec<_> = outcomes
            .iter()
            .map(|outcome| std::mem::take(&mut *outcome.lock().unwrap_or_else(PoisonError::into_inner)))
            .collect();
        if let Some(why) = self
            .publisher
            .join()
            .expect("the publisher's thread does not panic")
        {
            outcomes.push(Outcome {
                broken: Some(format!("publisher: {why}")),
                ..Outcome::default()
            });
        }
        outcomes
    }
}

fn micros(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn publish(socket: &SrtSocket, begun: Instant, stop: &AtomicBool) -> Option<String> {
    let first = Instant::now();
    let mut number = 0_u64;
    while !stop.load(Relaxed) {
        if let Err(error) = socket.send(&message(number, micros(begun))) {
            return Some(error.to_string());
        }
        number += 1;
        let due = first + Duration::from_secs_f64(PERIOD.as_secs_f64() * number as f64);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    None
}

fn view(socket: &SrtSocket, begun: Instant, stop: &AtomicBool, total: &AtomicU64, outcome: &Mutex<Outcome>) {
    let outcome = || outcome.lock().unwrap_or_else(PoisonError::into_inner);
    let mut expected = None;
    let mut buffer = [0; 1456];
    if let Err(error) = socket.set_recv_timeout(Some(Duration::from_millis(200))) {
        outcome().broken = Some(error.to_string());
    }
    while !stop.load(Relaxed) && outcome().broken.is_none() {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let now = micros(begun);
                let field = |at: usize| buffer[at..at + 8].try_into().map_or(0, u64::from_be_bytes);
                let (number, sent) = (field(4), field(12));
                let mut outcome = outcome();
                if buffer[..length] != message(number, sent) {
                    outcome.damaged += 1;
                    continue;
                }
                outcome.lost += expected.map_or(0, |expected| number.saturating_sub(expected));
                outcome.received += 1;
                *outcome.delays.entry(now.saturating_sub(sent) / 1000).or_default() += 1;
                total.fetch_add(1, Relaxed);
                expected = Some(number + 1);
            }
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {}
            Err(error) => outcome().broken = Some(error.to_string()),
        }
    }
}
