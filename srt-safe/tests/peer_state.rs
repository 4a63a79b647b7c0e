//! The state of a peer that sends nothing: its keep-alives, and whether it has closed.

mod support;

use std::{
    thread,
    time::{Duration, Instant},
};

use libsrt_sys::{EDIT_PEER_STATE, has_edit};
use support::{PATIENCE, live_pair};

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn keep_alives_are_heard_and_a_close_is_told_from_a_break() {
    let (caller, accepted) = live_pair();
    if !has_edit(EDIT_PEER_STATE) {
        assert_eq!(accepted.peer_state(), None);
        return;
    }
    // Nothing is sent: only keep-alives reset the time.
    let unheard = || accepted.peer_state().unwrap().unheard;
    for _ in 0..2 {
        wait_until("the peer is quiet for a while", || {
            unheard() > Duration::from_millis(500)
        });
        wait_until("a keep-alive comes", || unheard() < Duration::from_millis(400));
    }
    assert!(!accepted.peer_state().unwrap().has_closed);
    drop(caller);
    wait_until("the close is known", || accepted.peer_state().unwrap().has_closed);
}
