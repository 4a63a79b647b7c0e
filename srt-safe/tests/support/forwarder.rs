//! A UDP forwarder that can be cut: the path of one link.
//!
//! One thread per direction; it remembers the last caller and relays between it and the target. While cut it drops
//! packets both ways. A delay applies to the caller's packets.

use std::{
    collections::VecDeque,
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// The longest time that the thread sleeps in a receive, which bounds the duration of a drop.
const TICK: Duration = Duration::from_millis(20);

/// A running forwarder. Ends on drop.
#[derive(Debug)]
pub(crate) struct Forwarder {
    entry: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    cut: AtomicBool,
    stop: AtomicBool,
}

impl Forwarder {
    /// Relays from its own port to `target`, on 127.0.0.1.
    pub(crate) fn to(target: SocketAddr) -> Self {
        Self::delayed(target, Duration::ZERO)
    }

    /// Like [`Forwarder::to`], but delays the caller's packets by `delay`.
    pub(crate) fn delayed(target: SocketAddr, delay: Duration) -> Self {
        let bind = || UdpSocket::bind("127.0.0.1:0").expect("a UDP socket");
        let (outer, inner) = (bind(), bind());
        inner.connect(target).expect("a target");
        let entry = outer.local_addr().expect("bound");
        let shared = Arc::<Shared>::default();
        let caller = Arc::new(std::sync::Mutex::new(None));
        let (there, back) = (Arc::clone(&shared), Arc::clone(&shared));
        let (remember, recall) = (Arc::clone(&caller), caller);
        let (outer_out, inner_out) = (
            outer.try_clone().expect("clone"),
            inner.try_clone().expect("clone"),
        );
        let threads = vec![
            std::thread::spawn(move || {
                relay(&there, &outer, delay, |packet, from| {
                    *remember.lock().expect("not poisoned") = Some(from);
                    // A closed target answers with ICMP errors: the packet is lost like any other.
                    drop(inner_out.send(packet));
                });
            }),
            std::thread::spawn(move || {
                relay(&back, &inner, Duration::ZERO, |packet, _| {
                    let to = *recall.lock().expect("not poisoned");
                    if let Some(to) = to {
                        drop(outer_out.send_to(packet, to));
                    }
                });
            }),
        ];
        Self {
            entry,
            shared,
            threads,
        }
    }

    /// The address that callers connect to.
    pub(crate) fn entry(&self) -> SocketAddr {
        self.entry
    }

    /// Drops everything from now on.
    pub(crate) fn cut(&self) {
        self.shared.cut.store(true, Ordering::SeqCst);
    }

    /// Relays again.
    pub(crate) fn mend(&self) {
        self.shared.cut.store(false, Ordering::SeqCst);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            // A panic there has been printed already, and this may run during one.
            drop(thread.join());
        }
    }
}

fn relay(shared: &Shared, from: &UdpSocket, delay: Duration, mut pass: impl FnMut(&[u8], SocketAddr)) {
    let mut packet = [0; 2048];
    let mut held = VecDeque::<(Instant, Vec<u8>, SocketAddr)>::new();
    while !shared.stop.load(Ordering::SeqCst) {
        let now = Instant::now();
        while held.front().is_some_and(|(due, ..)| *due <= now) {
            let (_, packet, peer) = held.pop_front().expect("there is a front");
            pass(&packet, peer);
        }
        let wait = held.front().map_or(TICK, |(due, ..)| TICK.min(*due - now));
        from.set_read_timeout(Some(wait.max(Duration::from_millis(1))))
            .expect("a time-out");
        match from.recv_from(&mut packet) {
            Ok(_) if shared.cut.load(Ordering::SeqCst) => {}
            Ok((len, peer)) => held.push_back((Instant::now() + delay, packet[..len].to_vec(), peer)),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused
                ) => {}
            Err(error) => panic!("the forwarder's socket fails: {error}"),
        }
    }
}
