//! Gateways in this process, and SRT peers for them that number every message.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use srt_gateway::{EndpointState, EndpointStatus, Gateway, Role, config::Config};
use srt_safe::{ErrorKind, Options, Passphrase, SrtSocket, StreamId};

/// How long anything in these tests may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Payload of a message: seven TS packets.
pub const MESSAGE: usize = 7 * 188;

/// The interval between messages at 5 Mb/s.
pub const PACE: Duration = Duration::from_micros(MESSAGE as u64 * 8 / 5);

/// Waits until `look` returns a value.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(Instant::now() < end, "waited {PATIENCE:?} in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}

/// Starts a gateway. Waits for a port that libsrt has not released yet.
#[track_caller]
pub fn gateway(toml: &str) -> Gateway {
    let config = Config::parse(toml).unwrap_or_else(|errors| panic!("{errors}"));
    let mut last = String::new();
    wait_for("the gateway's ports", || {
        Gateway::start(&config)
            .inspect_err(|error| {
                let text = error.to_string();
                assert!(text.contains("another program uses this UDP port"), "{text}");
                last = text;
            })
            .ok()
    })
}

/// The address of a gateway's first port.
pub fn port(gateway: &Gateway) -> SocketAddr {
    gateway.listening()[0].addr
}

/// The endpoint of this role with this index.
pub fn endpoint(gateway: &Gateway, role: Role, at: usize) -> Option<EndpointStatus> {
    gateway
        .endpoints()
        .into_iter()
        .filter(|endpoint| endpoint.role == role)
        .nth(at)
}

#[track_caller]
pub fn wait_state(gateway: &Gateway, role: Role, at: usize, state: EndpointState) {
    let mut last = None;
    let end = Instant::now() + PATIENCE;
    loop {
        let now = endpoint(gateway, role, at);
        if now.as_ref().is_some_and(|endpoint| endpoint.state == state) {
            return;
        }
        if Instant::now() > end {
            panic!("no {state:?}: {:?}", last.or(now));
        }
        last = now;
        thread::sleep(Duration::from_millis(5));
    }
}

/// Message `number` of the stream `tag`: TS packets of one PID whose payload contains both.
pub fn message(tag: u8, number: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MESSAGE);
    for packet in 0..7_u8 {
        let counter = (number * 7 + u64::from(packet)) % 16;
        bytes.extend([0x47, 0x01, 0x00, 0x10 | u8::try_from(counter).unwrap(), tag]);
        bytes.extend(number.to_be_bytes());
        bytes.extend((0..175_u8).map(|at| at ^ tag ^ packet));
    }
    bytes
}

/// The tag and number of a message; None if a single bit of it is wrong.
pub fn read(bytes: &[u8]) -> Option<(u8, u64)> {
    let tag = *bytes.get(4)?;
    let number = u64::from_be_bytes(bytes.get(5..13)?.try_into().ok()?);
    (message(tag, number) == bytes).then_some((tag, number))
}

/// How a peer calls.
#[derive(Clone, Default)]
pub struct Call {
    pub streamid: &'static str,
    pub passphrase: Option<&'static str>,
}

impl Call {
    pub fn named(streamid: &'static str) -> Self {
        Self {
            streamid,
            passphrase: None,
        }
    }

    fn options(&self) -> Options {
        let mut options = Options::new().stream_id(StreamId::new(self.streamid).unwrap());
        if let Some(passphrase) = self.passphrase {
            options = options.passphrase(Passphrase::new(passphrase).unwrap());
        }
        options
    }

    #[track_caller]
    pub fn connect(&self, to: SocketAddr) -> SrtSocket {
        let mut last = None;
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            match SrtSocket::builder().options(self.options()).connect(to) {
                Ok(socket) => return socket,
                Err(error) => last = Some(error),
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("not connected to {to}: {last:?}");
    }
}

/// A peer that sends numbered messages at 5 Mb/s.
pub struct Source {
    stop: Arc<AtomicBool>,
    pub pause: Arc<AtomicBool>,
    pub sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Source {
    /// Sends with `send` until it fails.
    pub fn start(tag: u8, mut send: impl FnMut(&[u8]) -> bool + Send + 'static) -> Self {
        let (stop, pause, sent) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let shared = (Arc::clone(&stop), Arc::clone(&pause), Arc::clone(&sent));
        let thread = thread::spawn(move || {
            let (stop, pause, sent) = shared;
            let mut due = Instant::now();
            while !stop.load(Relaxed) {
                due += PACE;
                thread::sleep(due.saturating_duration_since(Instant::now()));
                if pause.load(Relaxed) {
                    continue;
                }
                if !send(&message(tag, sent.load(Relaxed))) {
                    return;
                }
                sent.fetch_add(1, Relaxed);
            }
        });
        Self {
            stop,
            pause,
            sent,
            thread: Some(thread),
        }
    }

    #[track_caller]
    pub fn publish(tag: u8, to: SocketAddr, call: &Call) -> Self {
        let socket = call.connect(to);
        Self::start(tag, move |message| socket.send(message).is_ok())
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// A received message: its time, stream and number.
pub type Arrival = (Instant, u8, u64);

/// A peer that receives and records messages.
pub struct Sink {
    stop: Arc<AtomicBool>,
    pub arrivals: Arc<Mutex<Vec<Arrival>>>,
    pub corrupt: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Sink {
    /// Receives messages with `receive` (None: nothing now) until it returns an error.
    pub fn start(mut receive: impl FnMut() -> Result<Option<Vec<u8>>, ()> + Send + 'static) -> Self {
        let (stop, arrivals, corrupt) = (
            Arc::new(AtomicBool::new(false)),
            Arc::<Mutex<Vec<Arrival>>>::default(),
            Arc::new(AtomicU64::new(0)),
        );
        let shared = (Arc::clone(&stop), Arc::clone(&arrivals), Arc::clone(&corrupt));
        let thread = thread::spawn(move || {
            let (stop, arrivals, corrupt) = shared;
            while !stop.load(Relaxed) {
                match receive() {
                    Ok(None) => {}
                    Ok(Some(bytes)) => match read(&bytes) {
                        Some((tag, number)) => {
                            arrivals.lock().unwrap().push((Instant::now(), tag, number));
                        }
                        None => drop(corrupt.fetch_add(1, Relaxed)),
                    },
                    Err(()) => return,
                }
            }
        });
        Self {
            stop,
            arrivals,
            corrupt,
            thread: Some(thread),
        }
    }

    #[track_caller]
    pub fn play(from: SocketAddr, call: &Call) -> Self {
        Self::receive(call.connect(from))
    }

    pub fn receive(socket: SrtSocket) -> Self {
        socket.set_recv_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut buffer = [0; 1500];
        Self::start(move || match socket.recv(&mut buffer) {
            Ok(len) => Ok(Some(buffer[..len].to_vec())),
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => Ok(None),
            Err(_) => Err(()),
        })
    }

    pub fn count(&self) -> usize {
        self.arrivals.lock().unwrap().len()
    }

    /// The last message of a stream.
    pub fn last_of(&self, tag: u8) -> Option<u64> {
        let arrivals = self.arrivals.lock().unwrap();
        arrivals
            .iter()
            .rev()
            .find(|arrival| arrival.1 == tag)
            .map(|arrival| arrival.2)
    }

    #[track_caller]
    pub fn wait_more(&self, messages: usize) {
        let wanted = self.count() + messages;
        wait_until("messages", || self.count() >= wanted);
    }

    /// Ends, and asserts that every message is exact and that each stream's run has no gap.
    #[track_caller]
    pub fn finish(mut self) -> Vec<Arrival> {
        self.end();
        assert_eq!(self.corrupt.load(Relaxed), 0, "corrupt messages");
        self.arrivals.lock().unwrap().clone()
    }

    fn end(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.end();
    }
}

/// Demands that the messages of one stream follow each other without a gap.
#[track_caller]
pub fn assert_contiguous(arrivals: &[Arrival], at_least: usize) {
    assert!(
        arrivals.len() >= at_least,
        "{} messages, want {at_least}",
        arrivals.len()
    );
    for (at, pair) in arrivals.windows(2).enumerate() {
        let around = at.saturating_sub(8)..(at + 10).min(arrivals.len());
        assert!(
            pair[0].1 == pair[1].1 && pair[0].2 + 1 == pair[1].2,
            "{:?} follows {:?}; around them: {:?}",
            pair[1],
            pair[0],
            arrivals[around]
                .iter()
                .map(|(_, _, number)| number)
                .collect::<Vec<_>>()
        );
    }
}
