//! While libsrt frees many closed sockets, other sockets remain usable.

// An installed library lacks the edit.
#![cfg(not(feature = "system"))]

mod support;

use std::{
    thread,
    time::{Duration, Instant},
};

use srt_safe::{SrtListener, SrtSocket};
use support::{V4, accept, addr_of};

/// Sockets that libsrt frees together, a second or two after they were closed.
const MANY: usize = 4000;

#[test]
fn a_socket_is_looked_up_while_others_are_freed() {
    let listener = SrtListener::bind(V4).expect("a listener");
    let caller = SrtSocket::connect(addr_of(&listener)).expect("a connection");
    let _accepted = accept(&listener);
    for _ in 0..MANY {
        // SAFETY: the library is initialized: it has a listener.
        let socket = unsafe { libsrt_sys::srt_create_socket() };
        // SAFETY: the socket was created above and is not used elsewhere.
        assert_eq!(unsafe { libsrt_sys::srt_close(socket) }, 0);
    }
    // Without the edit a single look-up accounts for nearly all of the waiting.
    let (begin, mut longest, mut waited) = (Instant::now(), Duration::ZERO, Duration::ZERO);
    while begin.elapsed() < Duration::from_secs(4) {
        let asked = Instant::now();
        std::hint::black_box(caller.state());
        let took = asked.elapsed();
        longest = longest.max(took);
        if took > Duration::from_micros(20) {
            waited += took;
        }
        thread::sleep(Duration::from_micros(200));
    }
    let is_short = longest < Duration::from_millis(10);
    assert!(
        is_short || longest * 3 < waited * 2,
        "one look-up waited for {longest:?} of {waited:?}"
    );
}
