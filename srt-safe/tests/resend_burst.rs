//! A receiver whose link has failed for most of a second needs all of that again at once, and gets it in spite of a limit of
//! retransmission.

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

use raw::{Control, Loss, Packet, RawPeer};
use srt_safe::{Options, RetransmitBandwidth};
use support::{PATIENCE, accept, addr_of, listener, noise, wait_until};

/// Bytes that may be sent again in a second.
const LIMIT: u64 = 1_000_000;
/// Packets that are lost: most of a second of a stream as fast as the limit.
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
        ours.resends_held(),
        0,
        "times that a packet had to wait for the limit"
    );
}
