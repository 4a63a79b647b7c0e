//! Ports that nobody has called yet: plain UDP sockets in one ordinary epoll, on one thread, `idle-ports`. libsrt knows nothing
//! of them, and each costs a descriptor.
//!
//! ```text
//!   watched ──handshake──▶ left alone, with the datagram in it ──forget──▶ libsrt's, which finds the handshake
//!      │  ▲                                                        └──add──▶ watched again
//!      └──┘ anything else is thrown away; who is refused gets the code
//! ```
//!
//! What becomes of a handshake a [`Doorkeeper`] says. The sockets stay in blocking mode: libsrt, which gets a duplicate of the
//! descriptor, waits in them.

use std::{
    collections::HashMap,
    fmt, io,
    net::{SocketAddr, UdpSocket},
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use rustix::{
    buffer::spare_capacity,
    event::{EventfdFlags, epoll, eventfd},
    io::Errno,
    net::{RecvFlags, SendFlags, recvfrom, sendto},
};

/// Number of an idle port; never used again while the gateway runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct IdleId(pub(crate) u32);

/// The eventfd that ends the thread; no port has this number.
const WAKE: u64 = u64::MAX;

/// Datagrams of one port in a row, so that a flood at one port does not keep others waiting.
const IN_A_ROW: usize = 64;

/// Header and handshake of SRT; what follows are extensions.
const HANDSHAKE: usize = 64;

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Knock {
    /// The first handshake of a caller.
    Induction,
    /// The second one, to a listener that is not there any more.
    Conclusion,
}

/// What is to be done about a caller's handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Leave it in the socket, and the socket alone: see [`IdlePorts::forget`] and [`IdlePorts::add`].
    Leave,
    Drop,
    /// Tell the caller this code.
    Refuse(u16),
}

/// Decides about callers, on the thread of the idle ports. Must not block.
pub(crate) trait Doorkeeper: Send + 'static {
    fn knock(&self, port: IdleId, peer: SocketAddr, knock: Knock) -> Reaction;
}

/// The idle ports and their thread, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct IdlePorts {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    epoll: OwnedFd,
    wake: OwnedFd,
    sockets: Mutex<HashMap<IdleId, Arc<UdpSocket>>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    fn sockets(&self) -> MutexGuard<'_, HashMap<IdleId, Arc<UdpSocket>>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One event, after which the socket is left alone until it is asked for again.
const WATCHED: epoll::EventFlags = epoll::EventFlags::IN.union(epoll::EventFlags::ONESHOT);

impl IdlePorts {
    pub(crate) fn start(keeper: impl Doorkeeper) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            sockets: Mutex::default(),
        });
        let wake = epoll::EventData::new_u64(WAKE);
        epoll::add(&shared.epoll, &shared.wake, wake, epoll::EventFlags::IN)?;
        let watched = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("idle-ports".to_owned())
            .spawn(move || watched.run(&keeper))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Watches a socket.
    pub(crate) fn add(&self, port: IdleId, socket: &Arc<UdpSocket>) -> io::Result<()> {
        // The map first: the event may come at once.
        self.shared.sockets().insert(port, Arc::clone(socket));
        let data = epoll::EventData::new_u64(port.0.into());
        epoll::add(&self.shared.epoll, socket, data, WATCHED).map_err(|error| {
            self.shared.sockets().remove(&port);
            error.into()
        })
    }

    /// Lets go of a socket. The thread may be looking at a datagram of it just now, but takes none afterwards.
    pub(crate) fn forget(&self, port: IdleId) {
        let mut sockets = self.shared.sockets();
        if let Some(socket) = sockets.remove(&port) {
            // It is in the epoll as long as it is in the map.
            epoll::delete(&self.shared.epoll, &socket).unwrap_or_default();
        }
    }
}

impl Drop for IdlePorts {
    fn drop(&mut self) {
        // A counter that is full wakes as well.
        rustix::io::write(&self.shared.wake, &1u64.to_ne_bytes()).ok();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Shared {
    fn run(&self, keeper: &impl Doorkeeper) {
        let mut events = Vec::with_capacity(64);
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    return tracing::error!(%error, "epoll failed: ports of [[listeners]] that nobody has called stay silent");
                }
            }
            for event in events.drain(..) {
                match u32::try_from(event.data.u64()) {
                    Ok(port) => self.ready(IdleId(port), keeper),
                    Err(_) => return,
                }
            }
        }
    }

    fn ready(&self, port: IdleId, keeper: &impl Doorkeeper) {
        // Under the lock, so that who has forgotten a socket can be sure that nobody takes a datagram out of it.
        let sockets = self.sockets();
        let Some(socket) = sockets.get(&port) else {
            return;
        };
        for _ in 0..IN_A_ROW {
            let mut datagram = [0; HANDSHAKE];
            let (peer, datagram) = match receive(socket, &mut datagram, RecvFlags::PEEK) {
                Ok(Some((peer, length))) => (peer, &datagram[..length]),
                // An error of a datagram that we sent: it is taken out with this.
                Ok(None) => continue,
                Err(_) => break,
            };
            let reaction = match (knock(datagram), peer) {
                (Some(knock), Some(peer)) => keeper.knock(port, peer, knock),
                _ => Reaction::Drop,
            };
            if let (Reaction::Refuse(code), Some(peer)) = (reaction, peer) {
                // One that is lost is asked for again.
                sendto(socket, &refusal(datagram, code), SendFlags::DONTWAIT, &peer).ok();
            }
            if reaction == Reaction::Leave {
                return;
            }
            receive(socket, &mut [0; 1], RecvFlags::empty()).ok();
        }
        self.watch(port, socket);
    }

    fn watch(&self, port: IdleId, socket: &UdpSocket) {
        let data = epoll::EventData::new_u64(port.0.into());
        if let Err(error) = epoll::modify(&self.epoll, socket, data, WATCHED) {
            tracing::warn!(%error, "a port of [[listeners]] cannot be watched");
        }
    }
}

type Received = Option<(Option<SocketAddr>, usize)>;

/// `Ok(None)` for an error that is over with this.
fn receive(socket: &UdpSocket, buffer: &mut [u8], flags: RecvFlags) -> Result<Received, Errno> {
    match recvfrom(socket, buffer, flags | RecvFlags::DONTWAIT) {
        Ok((length, _, peer)) => {
            let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
            Ok(Some((peer, length)))
        }
        Err(Errno::AGAIN) => Err(Errno::AGAIN),
        Err(Errno::BADF | Errno::NOTSOCK | Errno::FAULT | Errno::INVAL) => Err(Errno::BADF),
        Err(_) => Ok(None),
    }
}

/// Whether a datagram is a caller's handshake: the fields that every caller of SRT fills in alike.
fn knock(datagram: &[u8]) -> Option<Knock> {
    let word = |at: usize| {
        let bytes = datagram.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    // A control packet of type 0, to no socket yet, from a socket.
    let to_listener = word(0)? == 0x8000_0000 && word(12)? == 0 && word(40)? != 0;
    let is_whole = datagram.len() >= HANDSHAKE;
    match (word(16)?, word(36)?) {
        (4, 1) if to_listener && is_whole && word(44)? == 0 => Some(Knock::Induction),
        (4 | 5, 0xffff_ffff) if to_listener && is_whole => Some(Knock::Conclusion),
        _ => None,
    }
}

/// The answer of a listener that refuses: the caller's handshake, with the code for its type.
fn refusal(handshake: &[u8], code: u16) -> Vec<u8> {
    /// What libsrt adds to a code to make a type of it (`URQ_FAILURE_TYPES` of handshake.h).
    const FAILURE: u32 = 1000;
    let mut answer = handshake.to_vec();
    if answer.len() >= HANDSHAKE {
        answer.copy_within(40..44, 12);
        answer[36..40].copy_from_slice(&(FAILURE + u32::from(code)).to_be_bytes());
    }
    answer
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc::{Sender, channel},
        time::Duration,
    };

    use proptest::prelude::*;

    use super::*;

    fn induction() -> Vec<u8> {
        let mut datagram = vec![0; HANDSHAKE];
        for (at, word) in [(0, 0x8000_0000_u32), (16, 4), (20, 2), (36, 1), (40, 77)] {
            datagram[at..at + 4].copy_from_slice(&word.to_be_bytes());
        }
        datagram
    }

    struct Tells(Sender<(IdleId, Knock)>, Reaction);

    impl Doorkeeper for Tells {
        fn knock(&self, port: IdleId, _: SocketAddr, knock: Knock) -> Reaction {
            self.0.send((port, knock)).unwrap();
            self.1
        }
    }

    fn socket() -> Arc<UdpSocket> {
        Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap())
    }

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn a_handshake_is_left_in_the_socket_and_garbage_is_not() {
        let (sender, told) = channel();
        let idle = IdlePorts::start(Tells(sender, Reaction::Leave)).unwrap();
        let (port, caller) = (socket(), socket());
        idle.add(IdleId(5), &port).unwrap();
        for garbage in [&b"GET / HTTP/1.1"[..], &[], &[0x80; 200], &induction()[..63]] {
            caller.send_to(garbage, port.local_addr().unwrap()).unwrap();
        }
        caller.send_to(&induction(), port.local_addr().unwrap()).unwrap();
        assert_eq!(told.recv_timeout(PATIENCE), Ok((IdleId(5), Knock::Induction)));
        idle.forget(IdleId(5));
        let mut datagram = [0; 200];
        let (length, peer) = port.recv_from(&mut datagram).unwrap();
        assert_eq!(
            (&datagram[..length], peer),
            (induction().as_slice(), caller.local_addr().unwrap())
        );
        assert!(told.try_recv().is_err(), "told once");
        drop(idle);
        assert_eq!(Arc::strong_count(&port), 1, "nobody else has it");
    }

    #[test]
    fn who_is_refused_gets_the_code_and_the_port_is_watched_on() {
        let (sender, told) = channel();
        let idle = IdlePorts::start(Tells(sender, Reaction::Refuse(1404))).unwrap();
        let (port, caller) = (socket(), socket());
        idle.add(IdleId(1), &port).unwrap();
        caller.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut conclusion = induction();
        conclusion[36..40].fill(0xff);
        for (datagram, knock) in [(induction(), Knock::Induction), (conclusion, Knock::Conclusion)] {
            caller.send_to(&datagram, port.local_addr().unwrap()).unwrap();
            assert_eq!(told.recv_timeout(PATIENCE), Ok((IdleId(1), knock)));
            let mut answer = [0; 200];
            let length = caller.recv(&mut answer).unwrap();
            assert_eq!(length, HANDSHAKE);
            assert_eq!(
                (&answer[12..16], &answer[36..40]),
                (&77_u32.to_be_bytes()[..], &2404_u32.to_be_bytes()[..])
            );
        }
    }

    proptest! {
        #[test]
        fn no_datagram_panics_and_only_handshakes_are_answered(
            mut datagram in proptest::collection::vec(any::<u8>(), 0..100),
            change in proptest::option::of((0usize..64, any::<u8>())),
        ) {
            prop_assert!(datagram.len() < HANDSHAKE || knock(&datagram).is_none() || datagram.starts_with(&[0x80, 0, 0, 0]));
            drop(refusal(&datagram, u16::MAX));
            datagram = induction();
            if let Some((at, byte)) = change {
                datagram[at] = byte;
            }
            prop_assert!(knock(&datagram).is_none() || datagram[0] == 0x80);
        }
    }
}
