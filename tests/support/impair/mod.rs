//! A UDP impairment proxy between a caller and a listener on loopback: loss, delay, jitter, reordering, duplicates, a
//! rate limit, a cut, a change of source port (as a NAT's rebinding does). All from one seed.
//!
//! Owns its sockets and one thread, which ends when the [`Impairment`] is dropped. Every client address gets its own
//! upstream socket, as behind a NAT. It does not parse SRT: random numbers decide which datagrams are impaired, never
//! their content. It exists because test machines have no `netem`.

mod link;
mod relay;

pub use link::Link;

use crate::wait::wait_until;
use relay::Relay;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// One direction through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// From the clients to the target.
    ToServer,
    /// From the target back to the clients.
    ToClient,
}

impl Way {
    const BOTH: [Self; 2] = [Self::ToServer, Self::ToClient];

    fn index(self) -> usize {
        match self {
            Self::ToServer => 0,
            Self::ToClient => 1,
        }
    }
}

/// The datagrams of one direction so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Arrived at the proxy.
    pub received: u64,
    /// Forwarded, duplicates included.
    pub forwarded: u64,
    /// Lost at random.
    pub lost: u64,
    /// Dropped before the rate limit because its queue was full.
    pub overflowed: u64,
    /// Dropped because the path was cut.
    pub cut: u64,
    /// Second copies.
    pub duplicated: u64,
    /// Held back so that others overtook them.
    pub held: u64,
    /// Not forwarded: the kernel refused them (for example because of a full socket buffer).
    pub refused: u64,
}

/// The same as [`Counters`], written by the proxy's thread and read by the test's.
#[derive(Debug, Default)]
struct Tally {
    received: AtomicU64,
    forwarded: AtomicU64,
    lost: AtomicU64,
    overflowed: AtomicU64,
    cut: AtomicU64,
    duplicated: AtomicU64,
    held: AtomicU64,
    refused: AtomicU64,
}

/// State shared by the proxy's thread and its owner.
#[derive(Debug)]
struct Shared {
    links: Mutex<[Link; 2]>,
    is_cut: [AtomicBool; 2],
    tallies: [Tally; 2],
    clients: AtomicUsize,
    rebinds_asked: AtomicU64,
    rebinds_done: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    fn link(&self, way: Way) -> Link {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)[way.index()]
    }
}

/// Describes a proxy before it starts. The setters without a direction apply to both.
#[derive(Debug, Clone)]
pub struct ImpairmentBuilder {
    links: [Link; 2],
    seed: u64,
}

impl ImpairmentBuilder {
    fn both(mut self, change: impl Fn(Link) -> Link) -> Self {
        self.links = self.links.map(change);
        self
    }

    /// See [`Link::loss`].
    #[must_use]
    pub fn loss(self, probability: f64) -> Self {
        self.both(|link| link.loss(probability))
    }

    /// See [`Link::duplicate`].
    #[must_use]
    pub fn duplicate(self, probability: f64) -> Self {
        self.both(|link| link.duplicate(probability))
    }

    /// See [`Link::delay`]. One way: the round trip grows by twice as much.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        self.both(|link| link.delay(delay))
    }

    /// See [`Link::jitter`].
    #[must_use]
    pub fn jitter(self, jitter: Duration) -> Self {
        self.both(|link| link.jitter(jitter))
    }

    /// See [`Link::reorder`].
    #[must_use]
    pub fn reorder(self, probability: f64, hold: Duration) -> Self {
        self.both(|link| link.reorder(probability, hold))
    }

    /// See [`Link::rate`].
    #[must_use]
    pub fn rate(self, bits_per_second: u64, queue: Duration) -> Self {
        self.both(|link| link.rate(bits_per_second, queue))
    }

    /// Sets one direction only.
    #[must_use]
    pub fn link(mut self, way: Way, link: Link) -> Self {
        self.links[way.index()] = link;
        self
    }

    /// The seed of all random decisions. Default: 1.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Starts the proxy in front of `target`, on an ephemeral port of the target's IP address.
    ///
    /// # Panics
    /// If a socket or the thread cannot be created.
    #[must_use]
    pub fn start(self, target: SocketAddr) -> Impairment {
        let front = bind(target.ip());
        let addr = front.local_addr().expect("a bound socket has an address");
        let (wake, woken) = UnixStream::pair().expect("a socket pair for waking the proxy");
        let shared = Arc::new(Shared {
            links: Mutex::new(self.links),
            is_cut: [const { AtomicBool::new(false) }; 2],
            tallies: Default::default(),
            clients: AtomicUsize::new(0),
            rebinds_asked: AtomicU64::new(0),
            rebinds_done: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let relay = Relay::new(front, target, self.seed, woken, Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name("impairment".to_owned())
            .spawn(move || relay.run())
            .expect("a thread for the impairment proxy");
        Impairment {
            addr,
            shared,
            wake,
            thread: Some(thread),
        }
    }
}

/// Opens a non-blocking UDP socket on an ephemeral port, with buffers large enough that the kernel loses nothing by itself.
fn bind(ip: IpAddr) -> UdpSocket {
    const BUFFER: usize = 4 << 20;
    let socket =
        UdpSocket::bind((ip, 0)).unwrap_or_else(|error| panic!("cannot bind a UDP socket on {ip}: {error}"));
    socket
        .set_nonblocking(true)
        .expect("a UDP socket can be made non-blocking");
    let options = socket2::SockRef::from(&socket);
    options
        .set_recv_buffer_size(BUFFER)
        .expect("the kernel caps a buffer size, it does not refuse it");
    options
        .set_send_buffer_size(BUFFER)
        .expect("the kernel caps a buffer size, it does not refuse it");
    socket
}

/// A running proxy. Dropping it closes its sockets and ends its thread.
#[derive(Debug)]
pub struct Impairment {
    addr: SocketAddr,
    shared: Arc<Shared>,
    wake: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Impairment {
    /// A proxy that changes nothing until configured.
    #[must_use]
    pub fn builder() -> ImpairmentBuilder {
        ImpairmentBuilder {
            links: [Link::clean(); 2],
            seed: 1,
        }
    }

    /// The address that clients send to, instead of the target.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Cuts both directions, like a pulled cable: datagrams in flight are lost too.
    pub fn cut(&self) {
        Way::BOTH.into_iter().for_each(|way| self.cut_way(way));
    }

    /// Ends the cut of both directions.
    pub fn heal(&self) {
        Way::BOTH.into_iter().for_each(|way| self.heal_way(way));
    }

    /// Cuts one direction; see [`Impairment::cut`].
    pub fn cut_way(&self, way: Way) {
        self.shared.is_cut[way.index()].store(true, Ordering::SeqCst);
    }

    /// Ends the cut of one direction.
    pub fn heal_way(&self, way: Way) {
        self.shared.is_cut[way.index()].store(false, Ordering::SeqCst);
    }

    /// Changes one direction from the next datagram on.
    pub fn reshape(&self, way: Way, link: Link) {
        self.shared.links.lock().unwrap_or_else(PoisonError::into_inner)[way.index()] = link;
    }

    /// Gives every client a new source port towards the target and forgets the old one, like a NAT that lost its table.
    /// Returns when done.
    pub fn rebind(&self) {
        let asked = self.shared.rebinds_asked.fetch_add(1, Ordering::SeqCst) + 1;
        self.wake();
        wait_until(
            Duration::from_secs(5),
            "the proxy to change its source ports",
            || self.shared.rebinds_done.load(Ordering::SeqCst) >= asked,
        );
    }

    /// The number of client addresses that have sent something so far.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.shared.clients.load(Ordering::SeqCst)
    }

    /// The counters of one direction so far.
    #[must_use]
    pub fn counters(&self, way: Way) -> Counters {
        let tally = &self.shared.tallies[way.index()];
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            received: read(&tally.received),
            forwarded: read(&tally.forwarded),
            lost: read(&tally.lost),
            overflowed: read(&tally.overflowed),
            cut: read(&tally.cut),
            duplicated: read(&tally.duplicated),
            held: read(&tally.held),
            refused: read(&tally.refused),
        }
    }

    fn wake(&self) {
        (&self.wake)
            .write_all(&[0])
            .expect("the proxy's thread holds the other end as long as it runs");
    }
}

impl Drop for Impairment {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // An error means that the thread has ended already, by a panic that the join below reports.
        let woken = (&self.wake).write_all(&[0]);
        let ended = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            assert!(
                matches!(ended, Some(Ok(()))) && woken.is_ok(),
                "the impairment proxy's thread panicked"
            );
        }
    }
}

#[cfg(test)]
mod tests;
