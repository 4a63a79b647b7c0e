//! Statistics of real connections: units and counts, compared with what the test did.

#[path = "support/lossy.rs"]
mod lossy;
mod support;

use std::time::{Duration, Instant};

use lossy::{Fate, LossyLink, Way, Wire, pace};
use srt_safe::{ErrorKind, Options, SrtSocket, StatsAccumulator};
use support::{PATIENCE, accept, addr_of, listener, noise, refused, wait_until};

const PACKET: usize = 1000;

fn send(from: &SrtSocket, to: &SrtSocket, packets: u64) {
    for number in 0..packets {
        from.send(&noise(number, PACKET)).expect("sent");
        pace();
    }
    let mut buffer = [0; 1500];
    for number in 0..packets {
        let len = to.recv(&mut buffer).expect("a packet");
        assert!(
            buffer[..len] == noise(number, PACKET),
            "packet {number} is missing or came changed"
        );
    }
}

fn options() -> Options {
    Options::new()
        .receive_timeout(PATIENCE)
        .latency(Duration::from_millis(75))
}

#[test]
fn counts_and_units_are_those_of_what_was_sent() {
    let begun = Instant::now();
    let listener = listener(&options());
    let caller = SrtSocket::builder()
        .options(options())
        .connect(addr_of(&listener))
        .expect("a connection");
    let accepted = accept(&listener);
    send(&caller, &accepted, 200);
    wait_until("all is acknowledged", || {
        caller
            .instantaneous_stats()
            .expect("connected")
            .send_buffer
            .packets
            == 0
    });

    let stats = caller.stats().expect("connected");
    assert_eq!(stats.total.sent_unique.packets, 200);
    assert_eq!(stats.total.sent_unique.payload_bytes(), 200 * PACKET as u64);
    assert_eq!(stats.total.sent_unique.bytes, 200 * (PACKET as u64 + 44));
    assert!(stats.total.acks_received > 0);
    assert_eq!(stats.link.send_latency, Duration::from_millis(75));
    assert_eq!(stats.link.max_segment_size, 1500);
    // A round trip on loopback takes some microseconds, and even on a busy machine less than a second.
    assert!(
        stats.link.rtt > Duration::ZERO && stats.link.rtt < Duration::from_secs(1),
        "{stats:?}"
    );
    assert!(stats.elapsed <= begun.elapsed(), "{stats:?}");
    assert!(
        stats.elapsed >= Duration::from_millis(75),
        "the latency has passed: {stats:?}"
    );
    assert!(stats.send_rate > 0);
    assert!(stats.send_buffer.available > 0);

    let stats = accepted.stats().expect("connected");
    assert_eq!(stats.total.received_unique.packets, 200);
    assert_eq!(stats.total.received_unique.payload_bytes(), 200 * PACKET as u64);
    assert_eq!(stats.link.receive_latency, Duration::from_millis(75));
    assert!(stats.total.acks_sent > 0);
}

#[test]
fn nothing_is_cleared_by_looking() {
    let listener = listener(&options());
    let caller = SrtSocket::builder()
        .options(options())
        .connect(addr_of(&listener))
        .expect("a connection");
    let accepted = accept(&listener);
    send(&caller, &accepted, 50);
    let mut accumulator = StatsAccumulator::new();
    assert_eq!(
        accumulator
            .update(&accepted.stats().expect("connected"))
            .counters
            .received_unique
            .packets,
        50
    );
    for _ in 0..3 {
        let stats = accepted.stats().expect("connected");
        assert_eq!(stats.total.received_unique.packets, 50);
        assert_eq!(stats.interval.received_unique.packets, 50);
        assert_eq!(accumulator.update(&stats).counters.received_unique.packets, 0);
    }
    send(&caller, &accepted, 30);
    let delta = accumulator.update(&accepted.stats().expect("connected"));
    assert_eq!(delta.counters.received_unique.packets, 30);
    assert_eq!(delta.counters.received_unique.payload_bytes(), 30 * PACKET as u64);
    assert_eq!(accumulator.totals().received_unique.packets, 80);
    assert!(delta.elapsed > Duration::ZERO);
    assert!(delta.receive_rate() > 0);
}

#[test]
fn losses_and_repairs_are_counted_on_both_sides() {
    // Time for many tries, so that nothing is given up on a busy machine.
    let options = options().latency(Duration::from_secs(1));
    let listener = listener(&options);
    let mut number = 0_u64;
    let link = LossyLink::new(addr_of(&listener), move |way, packet: Wire<'_>| {
        if way == Way::ToListener && packet.is_data() && !packet.is_retransmission() {
            number += 1;
            if number % 10 == 5 {
                return Fate::Lose;
            }
        }
        Fate::Pass
    })
    .expect("a link");
    let caller = SrtSocket::builder()
        .options(options)
        .connect(link.addr())
        .expect("a connection");
    let accepted = accept(&listener);
    send(&caller, &accepted, 300);

    let received = accepted.stats().expect("connected").total;
    assert!(received.receive_lost.packets >= 30, "{received:?}");
    assert!(received.naks_sent > 0);
    assert_eq!(received.received_unique.packets, 300);
    assert!(received.received_retransmitted >= 30, "{received:?}");
    assert_eq!(received.receive_dropped.packets, 0);
    let sent = caller.stats().expect("connected").total;
    assert!(sent.send_lost >= 30, "{sent:?}");
    assert!(sent.retransmitted.packets >= 30, "{sent:?}");
    assert_eq!(sent.sent_unique.packets, 300);
    assert_eq!(
        sent.sent.packets,
        sent.sent_unique.packets + sent.retransmitted.packets
    );
}

#[test]
fn a_buffer_that_is_not_read_shows_its_level() {
    let listener = listener(&options());
    let caller = SrtSocket::builder()
        .options(options())
        .connect(addr_of(&listener))
        .expect("a connection");
    let accepted = accept(&listener);
    let room = accepted
        .instantaneous_stats()
        .expect("connected")
        .receive_buffer
        .available;
    for number in 0..20 {
        caller.send(&noise(number, PACKET)).expect("sent");
    }
    wait_until("all has come", || {
        accepted
            .instantaneous_stats()
            .expect("connected")
            .receive_buffer
            .packets
            == 20
    });
    let buffer = accepted.instantaneous_stats().expect("connected").receive_buffer;
    assert_eq!(buffer.bytes, 20 * PACKET as u64);
    // Room is counted from the last acknowledgement, which comes 10 ms later.
    wait_until("there is less room", || {
        accepted
            .instantaneous_stats()
            .expect("connected")
            .receive_buffer
            .available
            < room
    });
}

#[test]
fn a_closed_connection_has_no_statistics() {
    let (caller, accepted) = support::live_pair();
    // If a socket is closed right after it was accepted, its caller gets no answer for 5 s.
    send(&caller, &accepted, 1);
    accepted.close().expect("closed");
    wait_until("the peer notices", || caller.stats().is_err());
    let error = refused(caller.stats());
    assert!(
        matches!(error.kind(), ErrorKind::ConnectionLost | ErrorKind::NotConnected),
        "{error}"
    );
    assert_eq!(error.operation(), "srt_bistats");
}
