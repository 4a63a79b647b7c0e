//! `spare_idle_connections`: silent connections use little memory, and work all the same. A program of its own, since
//! the setting applies to the whole process.

#[path = "support/lossy.rs"]
mod lossy;
mod support;

use std::{env, fs, thread, time::Duration};

use lossy::{Fate, LossyLink, Way, pace};
use srt_safe::{Options, SocketState, SrtSocket, spare_idle_connections};
use support::{V4, accept, addr_of, listener, noise, wait_until};

fn options() -> Options {
    // Nothing is late, however slow the machine is.
    Options::new()
        .latency(Duration::from_secs(2))
        .peer_idle_timeout(Duration::from_secs(2))
}

/// Memory of this process in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let size = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok());
    size.expect("a number of KiB")
}

/// One test: memory is measured per process.
#[test]
fn silent_connections_are_small_and_work_when_they_are_used() {
    spare_idle_connections();
    let listener = listener(&options());
    let at = addr_of(&listener);
    let connect = |from| {
        let caller = SrtSocket::builder()
            .options(options())
            .bind(from)
            .connect(at)
            .expect("a connection");
        (caller, accept(&listener))
    };
    // One-time costs of the first connection. The others use its port: threads are not measured.
    let first = connect(V4);
    let from = first.0.local_addr().expect("it is connected");
    let before = resident();
    let pairs: Vec<_> = (0..20).map(|_| connect(from)).collect();
    let each = (resident() - before) / 40;
    // A sanitizer's own memory counts towards the process.
    let is_sanitized = ["ASAN_OPTIONS", "TSAN_OPTIONS"]
        .iter()
        .any(|name| env::var_os(name).is_some());
    if libsrt_sys::has_edit(libsrt_sys::EDIT_SPARING) && !is_sanitized {
        assert!(each < 300, "{each} KiB for one end of a connection");
    }

    // Losses on the way to the listener: both sides need loss lists for the first time.
    let mut count = 0;
    let link = LossyLink::new(at, move |way, wire| {
        let is_new = way == Way::ToListener && wire.is_data() && !wire.is_retransmission();
        count += u32::from(is_new);
        if is_new && count % 5 == 2 {
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
    let accepted = accept(&listener);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..300 {
                caller.send(&noise(number, 1000)).expect("room");
                pace();
            }
        });
        let mut buffer = [0; 1500];
        for number in 0..290 {
            let len = accepted.recv(&mut buffer).expect("the next message");
            assert!(buffer[..len] == noise(number, 1000)[..], "message {number}");
        }
    });
    // The other side disappears without a SHUTDOWN: it is detected after the time-out.
    drop(link);
    wait_until("the end of a silent connection to be noticed", || {
        accepted.state() == SocketState::Broken
    });
    // The others were silent for longer than the time-out, and are alive.
    for (caller, accepted) in pairs.iter().chain([&first]) {
        assert_eq!(caller.state(), SocketState::Connected);
        assert_eq!(accepted.state(), SocketState::Connected);
    }
}
