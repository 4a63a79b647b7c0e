//! `CollectedSends`: collected messages are sent at the end, and arrive as if each had been sent by itself.

#[path = "support/lossy.rs"]
mod lossy;
mod support;

use std::{
    net::UdpSocket,
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use lossy::{Fate, LossyLink, Way};
use srt_safe::{
    CollectedSends, ErrorKind, Options, Passphrase, SrtListener, SrtSocket,
    log::{self, LogLevel},
};
use support::{V4, accept, addr_of, listener, noise, pair, reaches};

/// Realistic lengths: runs of equal ones with shorter ones between.
fn messages(seed: u64) -> Vec<Vec<u8>> {
    let lengths = [1316, 1316, 1316, 188, 1316, 1316, 7, 7, 1456, 1316];
    (0..200_u64)
        .map(|number| noise(seed + number, lengths[usize::try_from(number % 10).unwrap_or(0)]))
        .collect()
}

fn options() -> Options {
    // Nothing is late, however slow the machine is.
    Options::new().payload_size(0).latency(Duration::from_secs(2))
}

fn expect(socket: &SrtSocket, messages: &[Vec<u8>]) {
    let mut buffer = [0; 1500];
    for (number, message) in messages.iter().enumerate() {
        let len = socket.recv(&mut buffer).expect("the next message");
        assert!(buffer[..len] == message[..], "message {number}");
    }
}

#[test]
fn collected_messages_wait_for_the_end_of_the_collection() {
    let immediate = Options::new().set(srt_safe::opt::Tsbpd, false);
    let (caller, accepted) = pair(
        SrtListener::builder().options(immediate.clone()),
        SrtSocket::builder().options(immediate),
    );
    reaches(&caller, &accepted);
    accepted
        .set_recv_timeout(Some(Duration::from_millis(200)))
        .expect("a timeout can be set");
    let mut buffer = [0; 1500];
    // If the port's thread still holds the socket because of the previous message, sending is left to that thread.
    let has_waited = (0..50).any(|_| {
        let collected = CollectedSends::begin();
        let nested = CollectedSends::begin();
        caller.send(b"collected").expect("room");
        drop(nested);
        let early = accepted.recv(&mut buffer);
        drop(collected);
        match early {
            Ok(len) => assert_eq!(&buffer[..len], b"collected"),
            Err(ref error) => {
                assert_eq!(error.kind(), ErrorKind::TimedOut);
                accepted
                    .set_recv_timeout(Some(support::PATIENCE))
                    .expect("a timeout can be set");
                assert_eq!(accepted.recv(&mut buffer), Ok(9));
                assert_eq!(&buffer[..9], b"collected");
            }
        }
        early.is_err()
    });
    assert_eq!(has_waited, libsrt_sys::has_edit(libsrt_sys::EDIT_COLLECTED_SENDS));
}

#[test]
fn messages_of_all_lengths_reach_many_sockets_in_order() {
    let passphrase = Passphrase::new("collected and encrypted").expect("long enough");
    for secret in [None, Some(passphrase)] {
        let mut options = options();
        if let Some(secret) = secret {
            options = options.passphrase(secret);
        }
        // The wildcard address: replies come from the address that was called.
        let listener = SrtListener::builder()
            .options(options.clone())
            .bind("0.0.0.0:0")
            .expect("a listener");
        let port = addr_of(&listener).port();
        let pairs: Vec<_> = (0..5)
            .map(|_| {
                let caller = SrtSocket::builder()
                    .options(options.clone())
                    .connect(("127.0.0.1", port))
                    .expect("a connection");
                (listener.accept().expect("the caller").0, caller)
            })
            .collect();
        let messages = messages(1);
        for some in messages.chunks(40) {
            let _collected = CollectedSends::begin();
            for (sender, _) in &pairs {
                for message in some {
                    sender.send(message).expect("room");
                }
            }
        }
        for (_, receiver) in &pairs {
            expect(receiver, &messages);
        }
    }
}

#[test]
fn lost_packets_of_a_collection_are_sent_again() {
    let listener = listener(&options());
    // Every seventh packet, once.
    let mut count = 0;
    let link = LossyLink::new(addr_of(&listener), move |way, wire| {
        let is_new = way == Way::ToListener && wire.is_data() && !wire.is_retransmission();
        count += u32::from(is_new);
        if is_new && count % 7 == 3 {
            Fate::Lose
        } else {
            Fate::Pass
        }
    })
    .expect("a link");
    let caller = SrtSocket::builder()
        .options(options())
        .connect(link.addr())
        .expect("a connection");
    let accepted = listener.accept().expect("the caller").0;
    let messages = Arc::new(messages(7));
    let sent = Arc::clone(&messages);
    let sender = thread::spawn(move || {
        for some in sent.chunks(20) {
            let collected = CollectedSends::begin();
            for message in some {
                caller.send(message).expect("room");
            }
            drop(collected);
            lossy::pace();
        }
        // A loss at the very end would not be noticed.
        for _ in 0..8 {
            caller.send(b"end").expect("room");
            lossy::pace();
        }
        caller
    });
    expect(&accepted, &messages);
    drop(sender.join().expect("the sender"));
}

/// If the system refuses to segment the datagrams of one socket, other sockets are unaffected.
#[test]
fn undivided_datagrams_are_one_sockets_affair_and_reported_once() {
    let reports = Arc::new(AtomicUsize::new(0));
    let watch = log::subscribe(LogLevel::Warning, {
        let reports = Arc::clone(&reports);
        move |line| {
            if line.message().contains("UDP_SEGMENT") {
                reports.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
    .expect("subscribes");
    for number in 1..=2 {
        let udp = UdpSocket::bind(V4).expect("a port");
        // The system does not segment datagrams for which it computes no checksum.
        let on: libc::c_int = 1;
        // SAFETY: the descriptor is open; the pointer and the length describe `on`.
        let set = unsafe {
            libc::setsockopt(
                udp.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_NO_CHECK,
                (&raw const on).cast(),
                4,
            )
        };
        assert_eq!(set, 0);
        let listener = SrtListener::builder()
            .options(options())
            .bind_udp(udp)
            .expect("a listener");
        let caller = SrtSocket::builder()
            .options(options())
            .connect(addr_of(&listener))
            .expect("a connection");
        let accepted = accept(&listener);
        let messages: Vec<_> = (0..60).map(|seed| noise(seed, 1316)).collect();
        for some in messages.chunks(20) {
            let _collected = CollectedSends::begin();
            for message in some {
                accepted.send(message).expect("room");
            }
        }
        expect(&caller, &messages);
        assert!(log::flush(support::PATIENCE));
        let expected = if libsrt_sys::has_edit(libsrt_sys::EDIT_COLLECTED_SENDS) {
            number
        } else {
            0
        };
        assert_eq!(reports.load(Ordering::Relaxed), expected);
    }
    drop(watch);
}

/// The collecting thread and the port's sending thread take turns in packing packets of one socket.
#[test]
fn threads_that_collect_and_threads_that_do_not_share_a_socket() {
    const MESSAGES: u32 = 300;
    let (caller, accepted) = pair(
        SrtListener::builder().options(options()),
        SrtSocket::builder().options(options()),
    );
    thread::scope(|scope| {
        for sender in 0..4_u32 {
            let caller = &caller;
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    let collected = sender.is_multiple_of(2).then(CollectedSends::begin);
                    let message = [sender.to_be_bytes(), number.to_be_bytes()].concat();
                    caller.send(&message).expect("room");
                    drop(collected);
                    if number.is_multiple_of(10) {
                        lossy::pace();
                    }
                }
            });
        }
    });
    // A loss at the very end would not be noticed.
    for _ in 0..8 {
        caller.send(b"end").expect("room");
        lossy::pace();
    }
    let mut next = [0; 4];
    let mut buffer = [0; 1500];
    for _ in 0..4 * MESSAGES {
        assert_eq!(accepted.recv(&mut buffer).expect("the next message"), 8);
        let sender = usize::try_from(u32::from_be_bytes(buffer[..4].try_into().expect("four bytes")))
            .expect("a small number");
        let number = u32::from_be_bytes(buffer[4..8].try_into().expect("four bytes"));
        assert_eq!(number, next[sender], "of sender {sender}");
        next[sender] += 1;
    }
}
