//! A UDP link on loopback that passes each packet to a judge, which decides on its loss: a pure function of the
//! packets, so that a test sees the same losses each time. Two threads of its own, which end on drop.
#![allow(dead_code, reason = "each test program uses a part")]

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Waits as a live source does before its next packet. A burst would overflow the system's socket buffers, and packets
/// that libsrt holds back (`MaxBandwidth`) would be late, since their time counts from the send call.
pub(crate) fn pace() {
    thread::sleep(Duration::from_millis(1));
}

/// The direction of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToListener,
    ToCaller,
}

/// What happens to a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Pass,
    Lose,
    /// These packets arrive before it, from the same address.
    Precede(Vec<Vec<u8>>),
    /// These packets arrive in its place.
    Replace(Vec<Vec<u8>>),
}

/// An SRT packet on the wire, as far as tests inspect it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire<'a>(pub(crate) &'a [u8]);

impl<'a> Wire<'a> {
    /// Whether it carries data (or is a filter's packet) rather than control.
    pub(crate) fn is_data(self) -> bool {
        self.0.len() > 16 && self.0[0] & 0x80 == 0
    }

    pub(crate) fn sequence(self) -> u32 {
        u32::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]])
    }

    /// 0: not encrypted, 1: with the even key, 2: with the odd key.
    pub(crate) fn key(self) -> u8 {
        (self.0[4] >> 3) & 3
    }

    /// Whether it is a retransmission.
    pub(crate) fn is_retransmission(self) -> bool {
        self.0[4] & 0x04 != 0
    }

    /// Whether it is a packet of the packet filter. Those have message number 0.
    pub(crate) fn is_of_filter(self) -> bool {
        u32::from_be_bytes([self.0[4] & 0x03, self.0[5], self.0[6], self.0[7]]) == 0
    }

    pub(crate) fn payload(self) -> &'a [u8] {
        &self.0[16..]
    }
}

type Judge = dyn FnMut(Way, Wire<'_>) -> Fate + Send;

/// The link: callers connect to [`addr`](Self::addr) and reach the listener behind it.
pub(crate) struct LossyLink {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl LossyLink {
    pub(crate) fn new(
        target: SocketAddr,
        judge: impl FnMut(Way, Wire<'_>) -> Fate + Send + 'static,
    ) -> io::Result<Self> {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        back.connect(target)?;
        let addr = front.local_addr()?;
        for socket in [&front, &back] {
            // How long the end of the test may wait for these threads.
            socket.set_read_timeout(Some(Duration::from_millis(20)))?;
            // As much as the system allows: it must not lose a packet that the judge lets pass.
            socket2::SockRef::from(socket).set_recv_buffer_size(8 << 20)?;
        }
        let judge: Arc<Mutex<Judge>> = Arc::new(Mutex::new(judge));
        let caller: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));

        let there = {
            let (front, back, judge) = (front.try_clone()?, back.try_clone()?, Arc::clone(&judge));
            let (caller, stop) = (Arc::clone(&caller), Arc::clone(&stop));
            thread::spawn(move || {
                forward(&stop, &judge, Way::ToListener, &front, |packet, from| {
                    *lock(&caller) = Some(from);
                    back.send(packet)
                });
            })
        };
        let back_again = {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                forward(&stop, &judge, Way::ToCaller, &back, |packet, _| {
                    match *lock(&caller) {
                        Some(caller) => front.send_to(packet, caller),
                        None => Ok(0),
                    }
                });
            })
        };
        Ok(Self {
            addr,
            stop,
            threads: vec![there, back_again],
        })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn forward(
    stop: &AtomicBool,
    judge: &Mutex<Judge>,
    way: Way,
    from: &UdpSocket,
    mut send: impl FnMut(&[u8], SocketAddr) -> io::Result<usize>,
) {
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        // An error is the time limit, or an ICMP answer to a packet for a closed port: neither ends the link.
        let Ok((len, sender)) = from.recv_from(&mut buffer) else {
            continue;
        };
        let packet = &buffer[..len];
        let (added, passes) = match lock(judge)(way, Wire(packet)) {
            Fate::Pass => (Vec::new(), true),
            Fate::Lose => (Vec::new(), false),
            Fate::Precede(added) => (added, true),
            Fate::Replace(added) => (added, false),
        };
        for packet in added.iter().map(Vec::as_slice).chain(passes.then_some(packet)) {
            // A full buffer or a closed port is a loss, as on any network.
            drop(send(packet, sender));
        }
    }
}

impl Drop for LossyLink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A judge that panicked has failed the test already.
            drop(thread.join());
        }
    }
}
