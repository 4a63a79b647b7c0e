//! A UDP socket that already holds datagrams when libsrt acquires it.
#![cfg(not(feature = "system"))]

use std::{
    net::UdpSocket,
    os::fd::IntoRawFd,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(10);
const SOCKET_ID: u32 = 77;

/// The first handshake of a caller.
fn induction() -> [u8; 64] {
    let mut datagram = [0; 64];
    for (at, word) in [(0, 0x8000_0000), (16, 4), (20, 2), (36, 1), (40, SOCKET_ID)] {
        datagram[at..at + 4].copy_from_slice(&u32::to_be_bytes(word));
    }
    datagram
}

#[test]
fn datagrams_stay_in_the_socket_until_it_listens() {
    // SAFETY: called once in this process, before any other call of libsrt.
    assert!(unsafe { libsrt_sys::srt_startup() } >= 0);
    let port = UdpSocket::bind("127.0.0.1:0").unwrap();
    let caller = UdpSocket::bind("127.0.0.1:0").unwrap();
    caller.set_read_timeout(Some(PATIENCE)).unwrap();
    caller.send_to(&induction(), port.local_addr().unwrap()).unwrap();

    // SAFETY: the library is initialized.
    let socket = unsafe { libsrt_sys::srt_create_socket() };
    let fd = port.try_clone().unwrap().into_raw_fd();
    // SAFETY: the socket was created above; nothing else owns the descriptor.
    assert_eq!(unsafe { libsrt_sys::srt_bind_acquire(socket, fd) }, 0);
    // The descriptor is in blocking mode now, with libsrt's time limit: a peek waits for a moment.
    let end = Instant::now() + Duration::from_millis(300);
    while Instant::now() < end {
        let peeked = port.peek(&mut [0; 64]);
        assert!(peeked.is_ok(), "libsrt read it too early: {peeked:?}");
        std::thread::yield_now();
    }
    // SAFETY: the socket is bound.
    assert_eq!(unsafe { libsrt_sys::srt_listen(socket, 1) }, 0);
    let mut answer = [0; 1500];
    assert_eq!(caller.recv(&mut answer).expect("an answer"), 64);
    assert_eq!(answer[12..16], SOCKET_ID.to_be_bytes());

    // SAFETY: the socket was created above and is closed once.
    assert_eq!(unsafe { libsrt_sys::srt_close(socket) }, 0);
    // SAFETY: no thread is in a call of libsrt.
    assert_eq!(unsafe { libsrt_sys::srt_cleanup() }, 0);
}
