//! A receiver whose link has failed for most of a second needs all of its packets again at once, and gets them in spite
//! of a retransmission limit. A sender sees what exceeds the capacity of its path.

// An installed library lacks the edit.
#![cfg(not(feature = "system"))]

#[path = "../../tests/support/raw/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_docs,
    reason = "each test program uses a part"
)]
mod raw;
mod support;

use std::num::NonZero;

use raw::{Control, Loss, Packet, RawPeer};
use srt_safe::{MaxBandwidth, Options, RetransmitBandwidth};
use support::{PATIENCE, accept, addr_of, listener, noise, wait_until};

/// Bytes that may be retransmitted per second.
const LIMIT: u64 = 1_000_000;
/// Packets that are lost: most of a second of a stream at the limit's rate.
const LOST: u32 = 500;

#[test]
fn losses_of_half_a_second_are_repaired_at_once() {
    let options = Options::new().latency(PATIENCE);
    let limit = RetransmitBandwidth::BytesPerSecond(LIMIT);
    let listener = listener(&options.max_retransmit_bandwidth(limit));
    let peer = RawPeer::connect(addr_of(&listener), "").expect("a connection");
    let ours = accept(&listener);
    for number in 0..LOST {
        ours.send(&noise(number.into(), 1316)).expect("room to send");
    }
    wait_until("everything to be sent", || {
        ours.stats().expect("connected").total.sent.packets == u64::from(LOST)
    });
    let Some(Packet::Data(first)) = peer.receive_where(PATIENCE, |packet| matches!(packet, Packet::Data(_)))
    else {
        panic!("no packet comes");
    };
    peer.send(Control::nak(&[Loss::Range(
        first.sequence,
        (first.sequence + LOST - 1) & 0x7FFF_FFFF,
    )]));
    wait_until("everything to be sent again", || {
        ours.stats().expect("connected").total.retransmitted.packets >= u64::from(LOST)
    });
    assert_eq!(
        ours.send_state().expect("connected").resends_held,
        0,
        "times that a packet had to wait for the limit"
    );
}

#[test]
fn what_waits_and_what_is_dropped_is_told() {
    let narrow = Options::new().max_bandwidth(MaxBandwidth::BytesPerSecond(NonZero::new(50_000).unwrap()));
    let listener = listener(&narrow);
    let peer = RawPeer::connect(addr_of(&listener), "").expect("a connection");
    let ours = accept(&listener);
    assert_eq!(ours.send_state().expect("connected").unsent, 0);
    for number in 0..400 {
        ours.send(&noise(number, 1316)).expect("room to send");
    }
    let state = ours.send_state().expect("connected");
    // Ten seconds' worth.
    assert!(state.packets == 400 && state.unsent > 300, "{state:?}");
    assert_eq!(state.dropped, 0);
    wait_until("packets to be too late", || {
        // libsrt looks for late packets when something is sent.
        ours.send(&noise(0, 1316)).expect("room to send");
        ours.send_state().expect("connected").dropped > 0
    });
    let state = ours.send_state().expect("connected");
    let stats = ours.stats().expect("connected");
    assert!(state.dropped <= stats.total.send_dropped.packets, "{state:?}");
    assert_eq!(state.latency, stats.link.send_latency);
    drop(listener);
    drop(peer);
    wait_until("the connection to end", || ours.send_state().is_none());
}
