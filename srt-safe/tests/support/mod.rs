//! Shared by several test programs: connected pairs of sockets, waiting for a condition, bytes that are easy to
//! compare, and figures of this process. Each test program uses a part.
#![allow(dead_code, reason = "each test program uses a part")]

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use srt_safe::{
    AccessControl, Connecting, Error, Options, Progress, Result, SrtListener, SrtListenerBuilder, SrtSocket,
    SrtSocketBuilder,
};

/// The time after which a test fails. Generous, because test machines are slow; nothing sleeps for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// 127.0.0.1 with a port that the system chooses.
pub(crate) const V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// ::1 with a port that the system chooses.
pub(crate) const V6: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0);

/// Waits until `condition` holds, and panics with `what` if it does not in time.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Finishes an attempt to connect by polling until there is an answer.
pub(crate) fn finish(mut connecting: Connecting) -> Result<SrtSocket> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match connecting.finish()? {
            Progress::Connected(socket) => return Ok(socket),
            Progress::Pending(pending) => connecting = pending,
        }
        assert!(Instant::now() < deadline, "the attempt to connect never ended");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A listener on 127.0.0.1 with those options.
pub(crate) fn listener(options: &Options) -> SrtListener {
    SrtListener::builder()
        .options(options.clone())
        .bind(V4)
        .expect("a listener on loopback")
}

/// A listener on 127.0.0.1 that asks `access`.
pub(crate) fn guarded(access: impl AccessControl) -> SrtListener {
    SrtListener::builder()
        .access_control(access)
        .bind(V4)
        .expect("a listener on loopback")
}

/// The address of a listener.
pub(crate) fn addr_of(listener: &SrtListener) -> SocketAddr {
    listener.local_addr().expect("a listener has an address")
}

/// Accepts the next caller, which must come.
#[track_caller]
pub(crate) fn accept(listener: &SrtListener) -> SrtSocket {
    listener.accept_timeout(PATIENCE).expect("a caller").0
}

/// A caller and the socket that the listener's side accepted for it.
pub(crate) fn pair(listener: SrtListenerBuilder, caller: SrtSocketBuilder) -> (SrtSocket, SrtSocket) {
    let listener = listener.bind(V4).expect("a listener on loopback");
    let caller = caller.connect(addr_of(&listener)).expect("a connection");
    let accepted = accept(&listener);
    (caller, accepted)
}

/// A pair with default settings.
pub(crate) fn live_pair() -> (SrtSocket, SrtSocket) {
    pair(SrtListener::builder(), SrtSocket::builder())
}

/// The error of a call that must fail.
#[track_caller]
pub(crate) fn refused<T>(result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("this must have been refused"),
        Err(error) => error,
    }
}

/// Bytes without a pattern that could hide a shifted or repeated packet (splitmix64).
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut word = move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(|| word().to_le_bytes())
        .take(len.div_ceil(8))
        .flatten()
        .collect();
    bytes.truncate(len);
    bytes
}

/// Sends each packet and checks that it arrives unchanged.
#[track_caller]
pub(crate) fn exchange(from: &SrtSocket, to: &SrtSocket, packets: u64) {
    to.set_recv_timeout(Some(PATIENCE)).expect("open");
    let mut buffer = [0; 1500];
    for number in 0..packets {
        let packet = noise(number, 1316);
        retry(|| from.send(&packet)).expect("room to send");
        let len = retry(|| to.recv(&mut buffer)).expect("the packet");
        assert!(buffer[..len] == packet, "packet {number} arrived changed");
    }
}

/// Sends until something arrives. In a rendezvous one side may be connected before the other, and its packets are lost
/// until then: live mode retransmits a packet only if a later one shows that it is missing.
#[track_caller]
pub(crate) fn reaches(from: &SrtSocket, to: &SrtSocket) {
    to.set_blocking().expect("open");
    to.set_recv_timeout(Some(Duration::from_millis(50)))
        .expect("open");
    let mut buffer = [0; 1500];
    wait_until("a packet to arrive", || {
        from.send(b"anybody there?").expect("room to send");
        to.recv(&mut buffer)
            .is_ok_and(|len| &buffer[..len] == b"anybody there?")
    });
}

/// Repeats a non-blocking call until it has a result.
pub(crate) fn retry<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match call() {
            Err(error) if error.is_would_block() && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(1));
            }
            done => return done,
        }
    }
}

/// Open descriptors of this process.
pub(crate) fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("procfs").count()
}

/// Threads of this process.
pub(crate) fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("procfs").count()
}

/// Bytes that this process has allocated and not freed. Not the resident memory, which depends on the allocator's
/// layout.
pub(crate) fn heap_in_use() -> usize {
    // SAFETY: mallinfo2 only reads the allocator's counters.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}
