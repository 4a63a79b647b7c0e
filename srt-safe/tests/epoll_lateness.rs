//! How late waiters receive their events when many threads wait, each on its own epoll: the edit `epoll-wakeups`.
//!
//! In a process of its own, since all waits of a process share one condition variable in libsrt.

use std::{
    thread,
    time::{Duration, Instant},
};

use srt_safe::{Epoll, Events, Interest, Options, SourceTime, SrtListener, SrtSocket, Trigger};

const WAITERS: usize = 8;
const ROUNDS: usize = 150;

/// Each waiter's delay between the time at which a message was due and the time at which it was read, sorted.
fn lateness() -> Vec<Duration> {
    let options = Options::new().latency(Duration::from_millis(20));
    let listener = SrtListener::builder()
        .options(options.clone())
        .bind("127.0.0.1:0")
        .unwrap();
    let addr = listener.local_addr().unwrap();
    let mut senders = Vec::new();
    let mut waiters = Vec::new();
    for _ in 0..WAITERS {
        senders.push(
            SrtSocket::builder()
                .options(options.clone())
                .connect(addr)
                .unwrap(),
        );
        let (socket, _) = listener.accept().unwrap();
        socket.set_nonblocking().unwrap();
        waiters.push(thread::spawn(move || {
            let mut epoll = Epoll::new().unwrap();
            epoll
                .registry()
                .add(&socket, Interest::READABLE, Trigger::Edge)
                .unwrap();
            let mut events = Events::with_capacity(4);
            let mut late = Vec::new();
            let mut buffer = [0; 1500];
            while late.len() < ROUNDS {
                epoll.wait(&mut events, Some(Duration::from_secs(10))).unwrap();
                assert!(!events.is_empty(), "no event");
                while let Ok((_, info)) = socket.recv_message(&mut buffer) {
                    let due = info.source_time.expect("live messages have a time");
                    late.push(SourceTime::now().saturating_duration_since(due));
                }
            }
            late
        }));
    }
    // One message every 2.3 ms, to one waiter after the other: no two are due together, and 2.3 ms is no multiple of
    // the 10 ms slice.
    let start = Instant::now();
    for number in 0..u32::try_from(WAITERS * ROUNDS).unwrap() {
        let at = start + Duration::from_micros(2300) * number;
        thread::sleep(at.saturating_duration_since(Instant::now()));
        senders[number as usize % WAITERS]
            .send(&number.to_be_bytes())
            .unwrap();
    }
    let mut late: Vec<_> = waiters
        .into_iter()
        .flat_map(|waiter| waiter.join().unwrap())
        .collect();
    late.sort_unstable();
    late
}

#[test]
fn eight_waiters_hear_of_their_events_well_within_a_slice() {
    // A busy machine can only add delay. Measured: p50 0.2 ms and p90 0.3 ms; without the edit 2.5 and 7.5 ms.
    let mut tries = Vec::new();
    for _ in 0..8 {
        let late = lateness();
        let [p50, p90, p99] = [50, 90, 99].map(|percent| late[late.len() * percent / 100]);
        println!("{WAITERS} waiters: p50 {p50:?}, p90 {p90:?}, p99 {p99:?}");
        if p50 < Duration::from_millis(1) && p90 < Duration::from_millis(4) {
            return;
        }
        tries.push((p50, p90));
    }
    let foreign = cfg!(feature = "system") || std::env::var_os("LIBSRT_SOURCE_DIR").is_some();
    assert!(foreign, "late (p50, p90) in each try: {tries:?}");
}
