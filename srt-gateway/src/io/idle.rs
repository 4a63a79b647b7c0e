//! Ports that nobody has called yet: plain UDP sockets in one ordinary epoll, served by one thread, `idle-ports`.
//! libsrt does not know them, and each costs one descriptor.
//!
//! ```text
//!              ┌──induction: the cookie──┐
//!              ▼                         │
//!   watched ──conclusion with a valid cookie──▶ left alone, with the datagram in it ──forget──▶ libsrt's, which finds it
//!      │  ▲                                                        └──add──▶ watched again
//!      └──┘ anything else is thrown away; a refused caller gets the code
//! ```
//!
//! An induction may come from a forged address, so this module answers it with the cookie that libsrt's listener would
//! send, and reports nothing. An [`IdleGuard`] decides about conclusions. The caller repeats its conclusion until it is
//! answered, and libsrt accepts the cookie, because the cookie depends on the socket's address and not on the program
//! that reads from it.
//!
//! An installed libsrt cannot compute such a cookie: with it, the guard decides about inductions.
//!
//! The sockets stay in blocking mode: libsrt receives a duplicate of the descriptor and waits in it.

use std::{
    collections::HashMap,
    fmt, io,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use rustix::{
    buffer::spare_capacity,
    event::{EventfdFlags, epoll, eventfd},
    io::Errno,
    net::{RecvFlags, recvfrom},
};
use srt_safe::{
    SrtListener,
    datagram::{Peeked, peek, report_destination, send_from},
};

/// The number of an idle port; never reused while the gateway runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct IdleId(pub(crate) u32);

/// The epoll key of the eventfd that ends the thread; no port has this number.
const WAKE: u64 = u64::MAX;

/// Datagrams handled per port in a row, so that a flood on one port does not delay the others.
const MAX_CONSECUTIVE: usize = 64;

/// The length of an SRT header with its handshake; extensions follow.
const HANDSHAKE: usize = 64;

/// A handshake that the guard decides about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// A conclusion with a valid cookie, from this socket of the caller: the caller does receive at its address.
    Proven(i32),
    /// An induction that only libsrt can answer.
    Induction,
    /// A conclusion whose cookie only its listener could verify, which no longer exists.
    Late,
}

/// The reaction to a caller's handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Leave it in the socket, and stop watching the socket; see [`IdlePorts::forget`] and [`IdlePorts::add`].
    Leave,
    Drop,
    /// Answer with this reject code.
    Refuse(u16),
}

/// Decides about callers, on the thread of the idle ports. Must not block.
pub(crate) trait IdleGuard: Send + 'static {
    fn decide(&self, port: IdleId, peer: SocketAddr, attempt: Attempt) -> Reaction;

    /// The AES key length in bytes that the port advertises to callers; 0: the caller's choice.
    fn key_length(&self, port: IdleId) -> u8;
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
    sockets: Mutex<HashMap<IdleId, Watched>>,
}

struct Watched {
    socket: Arc<UdpSocket>,
    /// The local address, which the cookies depend on.
    addr: SocketAddr,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    fn sockets(&self) -> MutexGuard<'_, HashMap<IdleId, Watched>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reports one event, and then nothing until the socket is armed again.
const WATCHED: epoll::EventFlags = epoll::EventFlags::IN.union(epoll::EventFlags::ONESHOT);

impl IdlePorts {
    pub(crate) fn start(guard: impl IdleGuard) -> io::Result<Self> {
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
            .spawn(move || watched.run(&guard))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Watches a socket.
    pub(crate) fn add(&self, port: IdleId, socket: &Arc<UdpSocket>) -> io::Result<()> {
        let watched = Watched {
            socket: Arc::clone(socket),
            addr: socket.local_addr()?,
        };
        // Callers accept no answer from another address than the one they called; libsrt's listeners do the same.
        report_destination(socket)?;
        // Inserted first, because the event may fire at once.
        self.shared.sockets().insert(port, watched);
        let data = epoll::EventData::new_u64(port.0.into());
        epoll::add(&self.shared.epoll, socket, data, WATCHED).map_err(|error| {
            self.shared.sockets().remove(&port);
            error.into()
        })
    }

    /// Stops watching a socket. The thread may be processing a datagram of it, but takes none afterwards.
    pub(crate) fn forget(&self, port: IdleId) {
        let mut sockets = self.shared.sockets();
        if let Some(watched) = sockets.remove(&port) {
            // A socket is in the epoll exactly while it is in the map.
            epoll::delete(&self.shared.epoll, &watched.socket).unwrap_or_default();
        }
    }
}

impl Drop for IdlePorts {
    fn drop(&mut self) {
        // A full counter wakes the thread as well.
        rustix::io::write(&self.shared.wake, &1u64.to_ne_bytes()).ok();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Shared {
    fn run(&self, guard: &impl IdleGuard) {
        let mut events = Vec::with_capacity(64);
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    return tracing::error!(%error, "epoll failed: idle ports of [[listeners]] no longer answer");
                }
            }
            for event in events.drain(..) {
                match u32::try_from(event.data.u64()) {
                    Ok(port) => self.ready(IdleId(port), guard),
                    Err(_) => return,
                }
            }
        }
    }

    fn ready(&self, port: IdleId, guard: &impl IdleGuard) {
        // Under the lock, so that after `forget` no datagram is taken out of the socket.
        let sockets = self.sockets();
        let Some(watched) = sockets.get(&port) else {
            return;
        };
        for _ in 0..MAX_CONSECUTIVE {
            let mut datagram = [0; HANDSHAKE];
            let peeked = match peek(&watched.socket, &mut datagram) {
                Ok(peeked) => peeked,
                Err(error) if is_over(&error) => continue,
                Err(_) => break,
            };
            if watched.handle(port, &datagram[..peeked.length], peeked, guard) == Reaction::Leave {
                return;
            }
            recvfrom(&watched.socket, &mut [0; 1], RecvFlags::DONTWAIT).ok();
        }
        self.watch(port, &watched.socket);
    }

    fn watch(&self, port: IdleId, socket: &UdpSocket) {
        let data = epoll::EventData::new_u64(port.0.into());
        if let Err(error) = epoll::modify(&self.epoll, socket, data, WATCHED) {
            tracing::warn!(%error, "cannot watch a port of [[listeners]]");
        }
    }
}

impl Watched {
    /// Answers a datagram if needed. Callers repeat their handshakes, so a lost answer does no harm.
    fn handle(&self, port: IdleId, datagram: &[u8], peeked: Peeked, guard: &impl IdleGuard) -> Reaction {
        let (Some(peer), Some(handshake)) = (peeked.from, Handshake::of(datagram)) else {
            return Reaction::Drop;
        };
        let attempt = match handshake {
            Handshake::Induction => {
                if let Some(cookie) = SrtListener::cookie_for(peer, self.addr) {
                    let answer = induction_answer(datagram, cookie, guard.key_length(port));
                    self.answer(&answer, peeked.to, peer);
                    return Reaction::Drop;
                }
                Attempt::Induction
            }
            Handshake::Conclusion { socket, cookie } => {
                match SrtListener::is_cookie_of(cookie, peer, self.addr) {
                    Some(true) => Attempt::Proven(socket),
                    Some(false) => return Reaction::Drop,
                    None => Attempt::Late,
                }
            }
        };
        let reaction = guard.decide(port, peer, attempt);
        if let Reaction::Refuse(code) = reaction {
            self.answer(&refusal(datagram, code), peeked.to, peer);
        }
        reaction
    }

    fn answer(&self, answer: &[u8], from: Option<IpAddr>, to: SocketAddr) {
        send_from(&self.socket, answer, from, to).ok();
    }
}

/// Whether an error only reports a datagram that we sent; reading it clears it.
fn is_over(error: &io::Error) -> bool {
    let kept = [
        Errno::AGAIN,
        Errno::BADF,
        Errno::NOTSOCK,
        Errno::FAULT,
        Errno::INVAL,
    ];
    Errno::from_io_error(error).is_some_and(|errno| !kept.contains(&errno))
}

/// A caller's handshake, identified by the fields that all SRT callers fill in alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handshake {
    /// The first handshake, which requests a cookie.
    Induction,
    /// The second handshake, with the cookie.
    Conclusion { socket: i32, cookie: u32 },
}

impl Handshake {
    fn of(datagram: &[u8]) -> Option<Self> {
        if datagram.len() < HANDSHAKE {
            return None;
        }
        // A control packet of type 0, without a destination socket. The source socket is never 0: an answer to socket 0
        // would itself be an induction.
        let socket = word(datagram, 40)?.cast_signed();
        if word(datagram, 0)? != 0x8000_0000 || word(datagram, 12)? != 0 || socket == 0 {
            return None;
        }
        match (word(datagram, 16)?, word(datagram, 36)?, word(datagram, 44)?) {
            (4, 1, 0) => Some(Self::Induction),
            (4 | 5, 0xffff_ffff, cookie) => Some(Self::Conclusion { socket, cookie }),
            _ => None,
        }
    }
}

fn word(datagram: &[u8], at: usize) -> Option<u32> {
    let bytes = datagram.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// The caller's handshake, addressed to its own socket, with some words replaced.
fn answer(handshake: &[u8], words: &[(usize, u32)]) -> Vec<u8> {
    let mut answer = handshake.to_vec();
    if answer.len() >= HANDSHAKE {
        answer.copy_within(40..44, 12);
        for (at, word) in words {
            answer[*at..*at + 4].copy_from_slice(&word.to_be_bytes());
        }
    }
    answer
}

/// The answer of libsrt's listener to an induction: its version, the SRT magic code with the key length in units of 8
/// bytes, and the cookie. It is no larger than the induction, so a forged induction gains no amplification.
fn induction_answer(induction: &[u8], cookie: u32, key_length: u8) -> Vec<u8> {
    const SRT_MAGIC: u32 = 0x4A17;
    let kind = (u32::from(key_length / 8) << 16) | SRT_MAGIC;
    answer(induction, &[(16, 5), (20, kind), (44, cookie)])
}

/// A listener's rejection: the caller's handshake with the code as its type.
fn refusal(handshake: &[u8], code: u16) -> Vec<u8> {
    /// The offset that libsrt adds to a code to form the handshake type (`URQ_FAILURE_TYPES` of handshake.h).
    const FAILURE: u32 = 1000;
    answer(handshake, &[(36, FAILURE + u32::from(code))])
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

    fn conclusion(cookie: u32) -> Vec<u8> {
        answer(&induction(), &[(12, 0), (16, 5), (36, u32::MAX), (44, cookie)])
    }

    struct RecordingGuard(Sender<(IdleId, Attempt)>, Reaction);

    impl IdleGuard for RecordingGuard {
        fn decide(&self, port: IdleId, _: SocketAddr, attempt: Attempt) -> Reaction {
            self.0.send((port, attempt)).unwrap();
            self.1
        }

        fn key_length(&self, _: IdleId) -> u8 {
            32
        }
    }

    fn socket() -> Arc<UdpSocket> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        Arc::new(socket)
    }

    const TIMEOUT: Duration = Duration::from_secs(10);

    /// A handshake that reaches the guard, and what the guard receives; with an installed libsrt, an induction.
    fn heard(port: &UdpSocket, caller: &UdpSocket) -> (Vec<u8>, Attempt) {
        match SrtListener::cookie_for(caller.local_addr().unwrap(), port.local_addr().unwrap()) {
            Some(cookie) => (conclusion(cookie), Attempt::Proven(77)),
            None => (induction(), Attempt::Induction),
        }
    }

    #[test]
    fn a_handshake_is_left_in_the_socket_and_garbage_is_not() {
        let (sender, told) = channel();
        let idle = IdlePorts::start(RecordingGuard(sender, Reaction::Leave)).unwrap();
        let (port, caller) = (socket(), socket());
        idle.add(IdleId(5), &port).unwrap();
        for garbage in [&b"GET / HTTP/1.1"[..], &[], &[0x80; 200], &induction()[..63]] {
            caller.send_to(garbage, port.local_addr().unwrap()).unwrap();
        }
        let (handshake, attempt) = heard(&port, &caller);
        caller.send_to(&handshake, port.local_addr().unwrap()).unwrap();
        assert_eq!(told.recv_timeout(TIMEOUT), Ok((IdleId(5), attempt)));
        idle.forget(IdleId(5));
        let mut datagram = [0; 200];
        let (length, peer) = port.recv_from(&mut datagram).unwrap();
        assert_eq!(
            (&datagram[..length], peer),
            (handshake.as_slice(), caller.local_addr().unwrap())
        );
        assert!(told.try_recv().is_err(), "told once");
        drop(idle);
        assert_eq!(Arc::strong_count(&port), 1, "nobody else has it");
    }

    #[test]
    fn an_induction_and_a_wrong_cookie_are_nothing_to_the_guard() {
        let (sender, told) = channel();
        let idle = IdlePorts::start(RecordingGuard(sender, Reaction::Refuse(1404))).unwrap();
        let (port, caller, stranger) = (socket(), socket(), socket());
        let to = port.local_addr().unwrap();
        idle.add(IdleId(5), &port).unwrap();
        let Some(cookie) = SrtListener::cookie_for(caller.local_addr().unwrap(), to) else {
            return assert!(srt_safe::library_edits().is_empty(), "no cookies");
        };
        caller.send_to(&induction(), to).unwrap();
        let mut answer = [0; 200];
        let length = caller.recv(&mut answer).unwrap();
        let words = [(12, 77), (16, 5), (20, 0x0004_4A17), (44, cookie)];
        assert_eq!(answer[..length], super::answer(&induction(), &words));
        // Neither another caller's cookie nor a guessed one is accepted; both are dropped before the valid one.
        stranger.send_to(&conclusion(cookie), to).unwrap();
        caller.send_to(&conclusion(cookie ^ 1), to).unwrap();
        caller.send_to(&conclusion(0), to).unwrap();
        caller.send_to(&conclusion(cookie), to).unwrap();
        assert_eq!(told.recv_timeout(TIMEOUT), Ok((IdleId(5), Attempt::Proven(77))));
        let length = caller.recv(&mut answer).unwrap();
        assert_eq!(answer[..length], refusal(&conclusion(cookie), 1404));
        drop(idle);
        assert!(told.try_recv().is_err(), "told once");
        stranger.set_nonblocking(true).unwrap();
        assert!(stranger.recv(&mut answer).is_err(), "no answer");
    }

    #[test]
    fn who_is_refused_gets_the_code_and_the_port_is_watched_on() {
        let (sender, told) = channel();
        let idle = IdlePorts::start(RecordingGuard(sender, Reaction::Refuse(1404))).unwrap();
        let (port, caller) = (socket(), socket());
        idle.add(IdleId(1), &port).unwrap();
        for _ in 0..2 {
            let (handshake, attempt) = heard(&port, &caller);
            caller.send_to(&handshake, port.local_addr().unwrap()).unwrap();
            assert_eq!(told.recv_timeout(TIMEOUT), Ok((IdleId(1), attempt)));
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
            let is_control = datagram.starts_with(&[0x80, 0, 0, 0]);
            prop_assert!(Handshake::of(&datagram).is_none() || is_control && datagram.len() >= HANDSHAKE);
            let sent = datagram.len();
            prop_assert!(refusal(&datagram, u16::MAX).len() <= sent);
            prop_assert!(induction_answer(&datagram, u32::MAX, u8::MAX).len() <= sent);
            datagram = induction();
            if let Some((at, byte)) = change {
                datagram[at] = byte;
            }
            prop_assert!(Handshake::of(&datagram).is_none() || datagram[0] == 0x80);
        }
    }
}
