//! The stream that nothing may happen to: numbered messages from one publisher to two viewers.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use srt_e2e::client::connect;
use srt_safe::{ErrorKind, Options, SrtSocket};

/// Between two messages: 2 Mb/s.
const PERIOD: Duration = Duration::from_micros(5264);

/// Long enough that a loaded machine makes nothing late.
const LATENCY: Duration = Duration::from_secs(2);

const VIEWERS: usize = 2;

/// Seven TS packets, each with the number of its message.
fn message(number: u64) -> [u8; 7 * 188] {
    let mut message = [0xFF; 7 * 188];
    for (place, packet) in message.chunks_exact_mut(188).enumerate() {
        let counter = number.wrapping_mul(7).wrapping_add(place as u64) & 0xF;
        packet[..4].copy_from_slice(&[0x47, 0x01, 0x00, 0x10 | counter.to_le_bytes()[0]]);
        packet[4..12].copy_from_slice(&number.to_be_bytes());
    }
    message
}

/// What a viewer got.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) damaged: u64,
    /// Why the connection ended before the run did.
    pub(crate) broken: Option<String>,
}

/// The running stream.
#[derive(Debug)]
pub(crate) struct Innocent {
    stop: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
    publisher: JoinHandle<Option<String>>,
    viewers: Vec<JoinHandle<Outcome>>,
}

impl Innocent {
    pub(crate) fn start(srt: SocketAddr) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let received = Arc::<AtomicU64>::default();
        let call = |mode| {
            let options = Options::new().latency(LATENCY).payload_size(1316);
            connect(srt, &format!("#!::r=innocent,m={mode}"), options).expect("the innocent are let in")
        };
        let viewers = (0..VIEWERS).map(|_| {
            let (socket, stop, received) = (call("request"), Arc::clone(&stop), Arc::clone(&received));
            thread::spawn(move || view(&socket, &stop, &received))
        });
        let viewers = viewers.collect();
        let (socket, stopped) = (call("publish"), Arc::clone(&stop));
        let publisher = thread::spawn(move || publish(&socket, &stopped));
        Self {
            stop,
            received,
            publisher,
            viewers,
        }
    }

    /// Messages that viewers have received, all together.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Ends it, and gives what each viewer got.
    pub(crate) fn end(self) -> Vec<Outcome> {
        self.stop.store(true, Relaxed);
        let join = |viewer: JoinHandle<Outcome>| viewer.join().expect("a viewer's thread does not panic");
        let mut outcomes: Vec<_> = self.viewers.into_iter().map(join).collect();
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

fn publish(socket: &SrtSocket, stop: &AtomicBool) -> Option<String> {
    let begun = Instant::now();
    let mut number = 0_u64;
    while !stop.load(Relaxed) {
        if let Err(error) = socket.send(&message(number)) {
            return Some(error.to_string());
        }
        number += 1;
        let due = begun + Duration::from_secs_f64(PERIOD.as_secs_f64() * number as f64);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    None
}

fn view(socket: &SrtSocket, stop: &AtomicBool, total: &AtomicU64) -> Outcome {
    let mut outcome = Outcome::default();
    let mut expected = None;
    let mut buffer = [0; 1456];
    if let Err(error) = socket.set_recv_timeout(Some(Duration::from_millis(200))) {
        outcome.broken = Some(error.to_string());
    }
    while !stop.load(Relaxed) && outcome.broken.is_none() {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let number = buffer[4..12].try_into().map_or(0, u64::from_be_bytes);
                if buffer[..length] != message(number) {
                    outcome.damaged += 1;
                    continue;
                }
                let missed = expected.map_or(0, |expected| number.saturating_sub(expected));
                outcome.lost += missed;
                outcome.received += 1;
                total.fetch_add(1, Relaxed);
                expected = Some(number + 1);
            }
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {}
            Err(error) => outcome.broken = Some(error.to_string()),
        }
    }
    outcome
}
