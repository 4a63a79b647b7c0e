//! Sockets and collections in thread-locals of the application. Their destructors may run after libsrt's own
//! thread-locals are destroyed.

mod support;

use std::{
    cell::{Cell, RefCell},
    thread,
};

use srt_safe::{CollectedSends, Options, SrtListener, SrtSocket};
use support::{PATIENCE, V4, addr_of, live_pair, pair, reaches};

thread_local! {
    static SOCKET: RefCell<Option<SrtSocket>> = const { RefCell::new(None) };
    static COLLECTED: Cell<Option<CollectedSends>> = const { Cell::new(None) };
}

/// A thread's destructors run in the reverse order of first use, so these run after those of libsrt's later uses.
fn first_use() {
    SOCKET.with_borrow(|_| ());
    COLLECTED.with(|_| ());
}

fn on_a_thread(run: impl FnOnce() + Send) {
    thread::scope(|scope| {
        scope.spawn(run).join().expect("the thread ends in good order");
    });
}

#[test]
fn a_socket_that_outlives_its_threads_collections_closes_in_good_order() {
    for _ in 0..10 {
        let (caller, accepted) = live_pair();
        on_a_thread(|| {
            first_use();
            let collected = CollectedSends::begin();
            caller.send(b"collected").expect("room");
            drop(collected);
            SOCKET.set(Some(caller));
        });
        let mut buffer = [0; 1500];
        // The connection ends when the destructor closes the other side.
        while accepted.recv(&mut buffer).is_ok() {}
        assert_ne!(accepted.state(), srt_safe::SocketState::Connected);
    }
}

#[test]
fn what_a_threads_last_collection_holds_is_sent_when_the_thread_ends() {
    let immediate = Options::new().set(srt_safe::opt::Tsbpd, false);
    let (caller, accepted) = pair(
        SrtListener::builder().options(immediate.clone()),
        SrtSocket::builder().options(immediate),
    );
    reaches(&caller, &accepted);
    accepted.set_recv_timeout(Some(PATIENCE)).expect("open");
    for number in 0..10_u8 {
        on_a_thread(|| {
            first_use();
            COLLECTED.set(Some(CollectedSends::begin()));
            caller.send(&[number; 100]).expect("room");
        });
        let mut buffer = [0; 1500];
        // The surplus messages of `reaches` come first.
        loop {
            let len = accepted.recv(&mut buffer).expect("the message");
            if buffer[..len] != *b"anybody there?" {
                assert_eq!(buffer[..len], [number; 100]);
                break;
            }
        }
    }
}

#[test]
fn a_collection_that_begins_in_a_threads_last_destructors_does_no_harm() {
    struct Late(Option<SrtSocket>);
    impl Drop for Late {
        fn drop(&mut self) {
            let collected = CollectedSends::begin();
            let socket = self.0.take().expect("set before the thread ended");
            socket.send(b"late").expect("room");
            drop(collected);
        }
    }
    thread_local! {
        static LATE: RefCell<Late> = const { RefCell::new(Late(None)) };
    }
    let (caller, accepted) = live_pair();
    thread::spawn(move || {
        // Without a value the destructor would have nothing to send.
        LATE.with_borrow_mut(|late| late.0 = Some(caller));
        drop(CollectedSends::begin());
    })
    .join()
    .expect("the thread ends in good order");
    let mut buffer = [0; 1500];
    let len = accepted.recv(&mut buffer).expect("the message");
    assert_eq!(&buffer[..len], b"late");
}

#[test]
fn errors_in_a_threads_last_destructors_go_nowhere_else() {
    let listener = SrtListener::bind(V4).expect("a listener");
    for _ in 0..10 {
        let caller = SrtSocket::connect(addr_of(&listener)).expect("a connection");
        on_a_thread(|| {
            first_use();
            // The first error of this thread, and its text.
            let error = caller.recv(&mut []).expect_err("too small a buffer");
            assert!(!error.to_string().is_empty());
            caller.shutdown().expect("open");
            // Closing it again fails; the error is ignored.
            SOCKET.set(Some(caller));
        });
    }
}
