//! A sender that drops a message announces it. Its other messages are delivered, whether more follow or not, and other
//! senders on the same port are not delayed.

// An installed library lacks the edits.
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

use std::{thread, time::Duration};

use raw::{Control, Data, Kind, Loss, Packet, RawPeer};
use srt_safe::{Epoll, Events, Interest, MessageOptions, Options, ReaderTiming, SrtSocket, Trigger};
use support::{PATIENCE, accept, addr_of, exchange, listener};

const LATENCY: Duration = Duration::from_millis(100);

/// Receives messages as a relay does: it waits for an event if it cannot determine when the next one is due.
fn receive(socket: &SrtSocket, timing: Option<ReaderTiming>, count: usize) -> Vec<Vec<u8>> {
    let (mut epoll, mut events) = (Epoll::new().unwrap(), Events::with_capacity(4));
    if let Some(timing) = timing {
        socket.set_nonblocking().unwrap();
        epoll
            .registry()
            .add(socket, Interest::READABLE, Trigger::Edge)
            .unwrap();
        assert!(socket.time_by_reader(timing));
    }
    let (mut buffer, mut messages) = ([0; 1500], Vec::new());
    while messages.len() < count {
        match socket.recv(&mut buffer) {
            Ok(len) => messages.push(buffer[..len].to_vec()),
            Err(error) => {
                assert!(
                    timing.is_some() && error.is_would_block(),
                    "{error}: {messages:?}"
                );
                let wait = socket.next_delivery().unwrap_or(PATIENCE);
                epoll.wait(&mut events, Some(wait)).unwrap();
                assert!(
                    wait < PATIENCE || !events.is_empty(),
                    "no event after {messages:?}"
                );
            }
        }
    }
    messages
}

#[test]
fn messages_behind_a_dropped_one_are_delivered_when_nothing_follows() {
    for timing in [None, Some(ReaderTiming::OnTime), Some(ReaderTiming::InOrder)] {
        // With it on, the receiver waits for a dropped message all the same.
        let options = Options::new().too_late_drop(false);
        let listener = listener(&options.latency(LATENCY).receive_timeout(PATIENCE));
        let mut peer = RawPeer::connect(addr_of(&listener), "").expect("a connection");
        let ours = accept(&listener);
        let first = peer.publish(b"1");
        peer.publish(b"2");
        peer.send(Data::whole(first + 3, 4, b"4"));
        peer.send(Data::whole(first + 4, 5, b"5"));
        peer.send(Control::drop_request(3, first + 2, first + 2));
        assert_eq!(receive(&ours, timing, 4), [b"1", b"2", b"4", b"5"], "{timing:?}");
    }
}

#[test]
fn lost_message_that_has_expired_holds_up_no_sender() {
    let listener = listener(&Options::new().latency(Duration::from_secs(2)));
    let caller = SrtSocket::connect(addr_of(&listener)).expect("a connection");
    let accepted = accept(&listener);
    let peer = RawPeer::connect(addr_of(&listener), "").expect("a connection");
    let ours = accept(&listener);

    let lifetime = Duration::from_millis(20);
    let options = MessageOptions::new().time_to_live(lifetime);
    ours.send_message(b"expires", options).expect("room to send");
    let Some(Packet::Data(data)) = peer.receive_where(PATIENCE, |packet| matches!(packet, Packet::Data(_)))
    else {
        panic!("the message does not come");
    };
    thread::sleep(2 * lifetime);
    peer.send(Control::nak(&[Loss::One(data.sequence)]));
    peer.wait_control(Kind::DROP_REQUEST);
    exchange(&accepted, &caller, 1);
    let is_request =
        |packet: &Packet| matches!(packet, Packet::Control(control) if control.kind == Kind::DROP_REQUEST);
    let repeated = peer.drain().iter().filter(|packet| is_request(packet)).count();
    assert_eq!(repeated, 0, "DROPREQs for one message, after the first");
}
