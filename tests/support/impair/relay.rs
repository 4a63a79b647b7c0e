//! The proxy's thread: moves datagrams between the clients' socket and one upstream socket per client, each when due.
//!
//! Runs on the thread that `ImpairmentBuilder::start` creates. It blocks only in `poll`, never in a socket call.
//! `link::Lane` decides what happens to a datagram.

use super::link::{Fate, Held, Lane};
use super::{Shared, Way, bind};
use crate::rng::Rng;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Datagrams read from one socket before the others get their turn.
const BURST: usize = 256;

/// One client: its address and its own socket towards the target.
#[derive(Debug)]
struct Session {
    client: SocketAddr,
    upstream: UdpSocket,
    lanes: [Lane; 2],
}

/// A datagram on its way. Ordered by when it is due, then by arrival.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Parcel {
    due: Instant,
    serial: u64,
    session: usize,
    way: Way,
    bytes: Vec<u8>,
}

/// Everything the proxy's thread owns.
#[derive(Debug)]
pub(super) struct Relay {
    front: UdpSocket,
    target: SocketAddr,
    seed: u64,
    woken: UnixStream,
    shared: Arc<Shared>,
    sessions: Vec<Session>,
    by_client: HashMap<SocketAddr, usize>,
    in_flight: BinaryHeap<Reverse<Parcel>>,
    serial: u64,
    buffer: Vec<u8>,
}

impl Relay {
    pub(super) fn new(
        front: UdpSocket,
        target: SocketAddr,
        seed: u64,
        woken: UnixStream,
        shared: Arc<Shared>,
    ) -> Self {
        woken
            .set_nonblocking(true)
            .expect("a local socket can be made non-blocking");
        Self {
            front,
            target,
            seed,
            woken,
            shared,
            sessions: Vec::new(),
            by_client: HashMap::new(),
            in_flight: BinaryHeap::new(),
            serial: 0,
            buffer: vec![0; 65_536],
        }
    }

    /// Relays until the owner stops it.
    pub(super) fn run(mut self) {
        while !self.shared.stop.load(Ordering::SeqCst) {
            self.rebind_if_asked();
            let ready = self.wait();
            if ready.woken {
                // The byte only ends the wait; the request is in `shared`.
                while matches!(self.woken.read(&mut self.buffer), Ok(length) if length > 0) {}
            }
            if ready.front {
                self.receive_from_clients();
            }
            for session in ready.sessions {
                self.receive_from_server(session);
            }
            self.deliver_due();
        }
    }

    /// Waits for a datagram, the owner, or the next delivery.
    fn wait(&self) -> Ready {
        let mut fds = vec![
            PollFd::new(&self.woken, PollFlags::IN),
            PollFd::new(&self.front, PollFlags::IN),
        ];
        fds.extend(
            self.sessions
                .iter()
                .map(|session| PollFd::new(&session.upstream, PollFlags::IN)),
        );
        let timeout = self.in_flight.peek().map(|Reverse(parcel)| {
            let left = parcel.due.saturating_duration_since(Instant::now());
            Timespec::try_from(left).expect("a delay in a test fits a timespec")
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("poll failed: {error}"),
        }
        let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        Ready {
            woken: is_ready(&fds[0]),
            front: is_ready(&fds[1]),
            sessions: (0..self.sessions.len())
                .filter(|session| is_ready(&fds[2 + session]))
                .collect(),
        }
    }

    fn rebind_if_asked(&mut self) {
        let asked = self.shared.rebinds_asked.load(Ordering::SeqCst);
        if asked == self.shared.rebinds_done.load(Ordering::SeqCst) {
            return;
        }
        for session in &mut self.sessions {
            session.upstream = connect(self.target);
        }
        self.shared.rebinds_done.store(asked, Ordering::SeqCst);
    }

    fn receive_from_clients(&mut self) {
        for _ in 0..BURST {
            match self.front.recv_from(&mut self.buffer) {
                Ok((length, client)) => {
                    let session = self.session_of(client);
                    self.route(session, Way::ToServer, length);
                }
                Err(error) if is_passing(&error) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("cannot receive from clients: {error}"),
            }
        }
    }

    fn receive_from_server(&mut self, session: usize) {
        for _ in 0..BURST {
            match self.sessions[session].upstream.recv(&mut self.buffer) {
                Ok(length) => self.route(session, Way::ToClient, length),
                Err(error) if is_passing(&error) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("cannot receive from {}: {error}", self.target),
            }
        }
    }

    fn session_of(&mut self, client: SocketAddr) -> usize {
        if let Some(session) = self.by_client.get(&client) {
            return *session;
        }
        let session = self.sessions.len();
        // Each client and direction draws from its own sequence, so one client never changes another's random
        // decisions.
        let lane = |way: Way| Lane::new(Rng::part(self.seed, (session * 2 + way.index()) as u64));
        let lanes = Way::BOTH.map(lane);
        self.sessions.push(Session {
            client,
            upstream: connect(self.target),
            lanes,
        });
        self.by_client.insert(client, session);
        self.shared.clients.store(self.sessions.len(), Ordering::SeqCst);
        session
    }

    /// Decides about the datagram in the first `length` bytes of the buffer.
    fn route(&mut self, session: usize, way: Way, length: usize) {
        let tally = &self.shared.tallies[way.index()];
        tally.received.fetch_add(1, Ordering::Relaxed);
        if self.shared.is_cut[way.index()].load(Ordering::SeqCst) {
            tally.cut.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let link = self.shared.link(way);
        let fate = self.sessions[session].lanes[way.index()].decide(&link, length, Instant::now());
        let (due, copies) = match fate {
            Fate::Lost => {
                tally.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Fate::Overflowed => {
                tally.overflowed.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Fate::Delivered { due, copies, held } => {
                if held == Held::Back {
                    tally.held.fetch_add(1, Ordering::Relaxed);
                }
                (due, copies)
            }
        };
        tally
            .duplicated
            .fetch_add(u64::from(copies - 1), Ordering::Relaxed);
        for _ in 0..copies {
            self.serial += 1;
            let bytes = self.buffer[..length].to_vec();
            self.in_flight.push(Reverse(Parcel {
                due,
                serial: self.serial,
                session,
                way,
                bytes,
            }));
        }
    }

    fn deliver_due(&mut self) {
        let now = Instant::now();
        while self
            .in_flight
            .peek()
            .is_some_and(|Reverse(parcel)| parcel.due <= now)
        {
            let Some(Reverse(parcel)) = self.in_flight.pop() else {
                return;
            };
            let way = parcel.way.index();
            let tally = &self.shared.tallies[way];
            if self.shared.is_cut[way].load(Ordering::SeqCst) {
                tally.cut.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let outcome = if self.send(&parcel) {
                &tally.forwarded
            } else {
                &tally.refused
            };
            outcome.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn send(&self, parcel: &Parcel) -> bool {
        let session = &self.sessions[parcel.session];
        let send = || match parcel.way {
            Way::ToServer => session.upstream.send(&parcel.bytes),
            Way::ToClient => self.front.send_to(&parcel.bytes, session.client),
        };
        match send() {
            Ok(_) => true,
            // The kernel reports an earlier datagram's error (no listener yet) instead of sending this one.
            Err(error) if is_passing(&error) => send().is_ok(),
            Err(_) => false,
        }
    }
}

/// The result of `Relay::wait`.
#[derive(Debug)]
struct Ready {
    woken: bool,
    front: bool,
    sessions: Vec<usize>,
}

/// A socket towards the target, with a source port of its own.
fn connect(target: SocketAddr) -> UdpSocket {
    let upstream = bind(target.ip());
    upstream
        .connect(target)
        .unwrap_or_else(|error| panic!("cannot connect a UDP socket to {target}: {error}"));
    upstream
}

/// Errors of an earlier datagram or of a signal, which do not affect the next call.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::Interrupted
    )
}
