//! Messages that are still collected when their port closes. Counts the threads of the process, so this program has one
//! test.

mod support;

use std::{
    io::{ErrorKind, Read},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use srt_safe::{CollectedSends, SrtListener, SrtSocket};
use support::{V4, accept, addr_of, threads, wait_until};

/// libsrt closes a port's descriptor about a second after its last socket. Messages still collected for it used to go
/// to whatever had that descriptor number by then.
#[test]
fn what_is_collected_for_a_closed_port_goes_nowhere_else() {
    let quiet = threads();
    let listener = SrtListener::bind(V4).expect("a listener");
    let caller = SrtSocket::connect(addr_of(&listener)).expect("a connection");
    let accepted = accept(&listener);
    let tcp = TcpListener::bind(V4).expect("a port");

    let collected = CollectedSends::begin();
    caller.send(b"collected").expect("room");
    drop((caller, accepted, listener));
    // The threads of a port end before its descriptor is closed. One libsrt thread remains.
    wait_until("the ports' threads to end", || threads() <= quiet + 1);
    let mut pairs = Vec::new();
    for _ in 0..20 {
        pairs.push(tcp_pair(&tcp));
        thread::sleep(Duration::from_millis(10));
    }
    drop(collected);

    for (one, other) in &pairs {
        for mut side in [one, other] {
            side.set_nonblocking(true).expect("open");
            let error = side.read(&mut [0; 1500]).expect_err("nothing was sent");
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
        }
    }
}

/// A TCP connection. Its sides get the lowest free descriptors.
fn tcp_pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let caller = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
    let (accepted, _) = listener.accept().expect("a caller");
    (caller, accepted)
}
