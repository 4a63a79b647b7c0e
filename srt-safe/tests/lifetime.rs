//! Closing in any order, from any thread, many times over.

mod support;

use std::{
    fs,
    net::UdpSocket,
    num::NonZeroU16,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use srt_safe::{ErrorKind, Options, Result, SocketId, SocketState, SrtListener, SrtSocket, TransmissionType};
use support::{
    PATIENCE, V4, accept, addr_of, exchange, heap_in_use, listener, live_pair, noise, open_descriptors, pair,
    refused, threads, wait_until,
};

#[test]
fn accepted_sockets_outlive_their_listener() {
    let listener = listener(&Options::new());
    let caller = SrtSocket::connect(addr_of(&listener)).expect("connected");
    let accepted = accept(&listener);
    let addr = addr_of(&listener);
    drop(listener);
    exchange(&caller, &accepted, 5);
    exchange(&accepted, &caller, 5);
    let late = SrtSocket::builder()
        .connect_timeout(Duration::from_millis(300))
        .connect(addr);
    assert!(late.is_err(), "nobody listens any more");
}

/// Sends `packets` packets, closes at once, and returns the receiving side.
fn sent_and_closed((caller, accepted): (SrtSocket, SrtSocket), packets: u64) -> SrtSocket {
    for number in 0..packets {
        caller.send(&noise(number, 1316)).expect("room");
    }
    wait_until("the packets to be acknowledged", || {
        caller.unsent().expect("open").packets == 0
    });
    drop(caller);
    accepted
}

#[test]
fn blocking_receiver_gets_everything_that_was_sent_before_the_end() {
    // 120 ms of latency: nothing is due yet when the connection closes.
    let accepted = sent_and_closed(live_pair(), 50);
    wait_until("the end to arrive", || accepted.state() != SocketState::Connected);
    let mut buffer = [0; 1500];
    for number in 0..50 {
        let len = accepted
            .recv(&mut buffer)
            .unwrap_or_else(|error| panic!("packet {number}: {error}"));
        assert!(buffer[..len] == noise(number, 1316), "packet {number}");
    }
    assert_eq!(
        refused(accepted.recv(&mut buffer)).kind(),
        ErrorKind::ConnectionLost
    );
    assert_eq!(
        refused(accepted.send(b"into the void")).kind(),
        ErrorKind::ConnectionLost
    );
}

/// The connection ends while the receiver waits for the first packet to be due.
#[cfg(not(feature = "system"))]
#[test]
fn receiver_that_waits_at_the_end_loses_nothing() {
    let (caller, accepted) = live_pair();
    let receiving = thread::spawn(move || {
        let mut buffer = [0; 1500];
        let mut packets = Vec::new();
        loop {
            match accepted.recv(&mut buffer) {
                Ok(len) => packets.push(buffer[..len].to_vec()),
                Err(error) => return (packets, error.kind()),
            }
        }
    });
    for number in 0..20 {
        caller.send(&noise(number, 1316)).expect("room");
    }
    wait_until("the packets to be acknowledged", || {
        caller.unsent().expect("open").packets == 0
    });
    drop(caller);
    let (packets, end) = receiving.join().expect("no panic");
    assert_eq!(end, ErrorKind::ConnectionLost);
    assert!(
        packets == (0..20).map(|number| noise(number, 1316)).collect::<Vec<_>>(),
        "{} of 20",
        packets.len()
    );
}

#[test]
fn caller_that_left_before_it_was_accepted_can_still_be_read() {
    let listener = SrtListener::builder().nonblocking().bind(V4).expect("a listener");
    let caller = SrtSocket::connect(addr_of(&listener)).expect("connected");
    caller.send(b"just this").expect("room");
    wait_until("the packet to be acknowledged", || {
        caller.unsent().expect("open").packets == 0
    });
    drop(caller);
    let accepted = accept(&listener);
    let mut buffer = [0; 1500];
    wait_until("the packet to be due", || {
        accepted.recv(&mut buffer) == Ok(b"just this".len())
    });
}

#[test]
fn nonblocking_receiver_learns_what_is_still_to_come() {
    let pair = live_pair();
    pair.1.set_nonblocking().expect("open");
    let accepted = sent_and_closed(pair, 10);
    wait_until("the end to arrive", || accepted.state() != SocketState::Connected);
    let mut buffer = [0; 1500];
    assert_eq!(
        refused(accepted.recv(&mut buffer)).kind(),
        ErrorKind::ConnectionLost
    );
    assert_eq!(accepted.unread(), Ok(10));
    let mut received = 0;
    wait_until("all to be due", || {
        received += u64::from(accepted.recv(&mut buffer).is_ok());
        accepted.unread().unwrap_or(0) == 0
    });
    assert_eq!(received, 10);
}

/// Waits for two passes of libsrt's collector: it frees a closed socket on its second pass after the closing.
#[cfg(not(feature = "system"))]
fn collector_has_passed_twice() {
    let (caller, accepted) = live_pair();
    let id = caller.id();
    drop((caller, accepted));
    wait_until("libsrt to forget a closed socket", || {
        id.state() == SocketState::NonExistent
    });
}

#[cfg(not(feature = "system"))]
#[test]
fn broken_connection_stays_until_it_is_closed() {
    let file = Options::new().transmission_type(TransmissionType::File);
    let (caller, accepted) = pair(
        SrtListener::builder().options(file.clone()),
        SrtSocket::builder().options(file),
    );
    let live = live_pair();
    drop((caller, live.1));
    wait_until("the ends to arrive", || {
        accepted.state() == SocketState::Broken && live.0.state() == SocketState::Broken
    });
    collector_has_passed_twice();
    assert_eq!(accepted.state(), SocketState::Broken);
    assert_eq!(
        accepted.recv(&mut [0; 1500]),
        Ok(0),
        "the stream ended in good order"
    );
    assert_eq!(
        refused(live.0.recv(&mut [0; 1500])).kind(),
        ErrorKind::ConnectionLost
    );

    let ids = [accepted.id(), live.0.id()];
    drop((accepted, live.0));
    wait_until("libsrt to forget them", || {
        ids.iter().all(|id| id.state() == SocketState::NonExistent)
    });
}

#[test]
fn broken_caller_that_nobody_accepted_goes_by_itself() {
    let asked = Arc::new(std::sync::Mutex::new(None));
    let listener = support::guarded({
        let asked = Arc::clone(&asked);
        move |request: &srt_safe::AccessRequest<'_>| {
            *asked.lock().expect("not poisoned") = Some(request.socket_id());
            srt_safe::Admission::new()
        }
    });
    drop(SrtSocket::connect(addr_of(&listener)).expect("connected"));
    let id = asked.lock().expect("not poisoned").expect("the decision ran");
    wait_until("libsrt to forget it", || id.state() == SocketState::NonExistent);
}

/// Runs `call` on a thread, waits until the thread sleeps in it, then runs `end`, and returns the result of the call.
fn interrupted<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static, end: impl FnOnce()) -> T {
    let (tell, told) = mpsc::channel();
    let blocked = thread::spawn(move || {
        let own = fs::read_link("/proc/thread-self").expect("procfs");
        tell.send(own).expect("the test waits for it");
        call()
    });
    let stat = std::path::Path::new("/proc")
        .join(told.recv().expect("the thread started"))
        .join("stat");
    wait_until("the thread to sleep in its call", || {
        assert!(!blocked.is_finished(), "the call did not block");
        fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") S "))
    });
    end();
    blocked.join().expect("no panic")
}

#[test]
fn shutdown_ends_a_blocked_recv() {
    let (caller, _accepted) = live_pair();
    let caller = Arc::new(caller);
    let receiver = Arc::clone(&caller);
    let error = refused(interrupted(
        move || receiver.recv(&mut [0; 1500]),
        || caller.shutdown().expect("open until now"),
    ));
    assert!(
        matches!(error.kind(), ErrorKind::ConnectionLost | ErrorKind::NotConnected),
        "{error}"
    );
    assert_ne!(caller.state(), SocketState::Connected);
}

#[test]
fn shutdown_ends_a_blocked_send() {
    let file = Options::new()
        .transmission_type(TransmissionType::File)
        .linger(Duration::ZERO);
    let (caller, _accepted) = pair(
        SrtListener::builder().options(file.clone()),
        SrtSocket::builder().options(file),
    );
    let caller = Arc::new(caller);
    let sender = Arc::clone(&caller);
    let (tell_full, full) = mpsc::channel();
    let result: Result<()> = interrupted(
        move || {
            let block = noise(1, 1 << 20);
            sender.set_send_timeout(Some(Duration::from_millis(300)))?;
            while sender.send(&block).is_ok() {}
            sender.set_send_timeout(None)?;
            tell_full.send(()).expect("the test waits for it");
            loop {
                sender.send(&block)?;
            }
        },
        || {
            full.recv().expect("the buffer fills up, for nobody reads");
            caller.shutdown().expect("open until now");
        },
    );
    let error = refused(result);
    assert!(
        matches!(error.kind(), ErrorKind::ConnectionLost | ErrorKind::NotConnected),
        "{error}"
    );
}

#[test]
fn shutdown_ends_a_blocked_accept() {
    let listener = Arc::new(listener(&Options::new()));
    let acceptor = Arc::clone(&listener);
    let error = refused(interrupted(
        move || acceptor.accept(),
        || listener.shutdown().expect("open until now"),
    ));
    assert_eq!(error.kind(), ErrorKind::InvalidState, "{error}");
    assert_eq!(
        refused(listener.accept_timeout(PATIENCE)).kind(),
        ErrorKind::InvalidState,
        "at once, not after the time limit"
    );
    assert_eq!(listener.incoming().count(), 0);
}

/// For three seconds an installed libsrt reports a closed listener as listening: accepting threads polled it in a loop.
#[test]
fn threads_that_accept_do_not_ask_a_closed_listener_again_and_again() {
    use srt_safe::log::{self, LogLevel};
    use std::sync::{Arc, atomic};

    let lines = Arc::new(atomic::AtomicUsize::new(0));
    let watch = log::subscribe(LogLevel::Error, {
        let lines = Arc::clone(&lines);
        move |line| {
            if line.message().contains("accept") {
                lines.fetch_add(1, atomic::Ordering::Relaxed);
            }
        }
    })
    .expect("subscribes");
    let listener = listener(&Options::new());
    thread::scope(|scope| {
        let accepting: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| refused(listener.accept())))
            .collect();
        thread::sleep(Duration::from_millis(100));
        listener.shutdown().expect("open until now");
        for thread in accepting {
            assert_eq!(thread.join().expect("no panic").kind(), ErrorKind::InvalidState);
        }
    });
    drop(watch);
    let lines = lines.load(atomic::Ordering::Relaxed);
    assert!(lines < 500, "{lines} lines of libsrt's log");
}

#[test]
fn accept_reports_at_once_that_the_listener_was_shut_down() {
    for nonblocking in [false, true] {
        let listener = listener(&Options::new());
        if nonblocking {
            listener.set_nonblocking();
        }
        let began = Instant::now();
        listener.shutdown().expect("open until now");
        for error in [
            refused(listener.accept()),
            refused(listener.accept_timeout(PATIENCE)),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidState, "{error}");
        }
        // An installed libsrt frees the listener after three seconds.
        assert!(began.elapsed() < Duration::from_secs(2));
    }
}

#[test]
fn shutdown_ends_accept_with_a_time_limit() {
    let listener = Arc::new(listener(&Options::new()));
    let acceptor = Arc::clone(&listener);
    let error = refused(interrupted(
        move || acceptor.accept_timeout(Duration::from_secs(600)),
        || listener.shutdown().expect("open until now"),
    ));
    assert_eq!(error.kind(), ErrorKind::InvalidState, "{error}");
}

#[test]
fn raw_socket_goes_out_and_comes_back() {
    let (caller, accepted) = live_pair();
    let id = caller.id();
    let raw = caller.into_raw();
    assert_eq!(raw, id.value());
    // SAFETY: `into_raw` gave `raw` away, and nothing else holds it.
    let caller = unsafe { SrtSocket::from_raw(raw) };
    exchange(&caller, &accepted, 2);
    caller.close().expect("open until now");
    assert_ne!(id.state(), SocketState::Connected);
}

// An installed library lacks the edit.
#[cfg(not(feature = "system"))]
#[test]
fn packet_that_a_blocked_receiver_takes_at_the_end_is_delivered() {
    // Nothing is due before the end.
    let options = Options::new().latency(PATIENCE);
    let (caller, accepted) = pair(
        SrtListener::builder().options(options.clone()),
        SrtSocket::builder().options(options),
    );
    caller.send(b"the last one").expect("room");
    wait_until("it to arrive", || accepted.unread() == Ok(1));
    let received = interrupted(
        move || {
            let mut buffer = [0; 1500];
            let first = accepted.recv(&mut buffer).map(|len| buffer[..len].to_vec());
            (first, refused(accepted.recv(&mut buffer)))
        },
        || caller.close().expect("open until now"),
    );
    assert_eq!(received.0.as_deref(), Ok(&b"the last one"[..]));
    assert_eq!(received.1.kind(), ErrorKind::ConnectionLost, "{}", received.1);
}

/// Options with which a socket takes little memory, so that many fit.
fn small() -> Options {
    Options::new()
        .latency(Duration::from_millis(20))
        .too_late_drop(false)
        .connect_timeout(PATIENCE)
        .peer_idle_timeout(PATIENCE)
        .flow_window(256)
        .receive_buffer(256 * 1456)
        .send_buffer(256 * 1456)
}

/// Connects that many callers from one port, sends a packet over each, closes them all in mixed order, and waits until
/// libsrt has freed them.
fn one_round(listener: &SrtListener, connections: usize) {
    let first = SrtSocket::builder()
        .options(small())
        .bind(V4)
        .connect(addr_of(listener))
        .expect("connected");
    let builder = SrtSocket::builder()
        .options(small())
        .bind(first.local_addr().expect("bound"));
    let mut pairs = vec![(first, accept(listener))];
    for _ in 1..connections {
        let caller = builder.connect(addr_of(listener)).expect("connected");
        pairs.push((caller, accept(listener)));
    }
    let packet = noise(0, 1316);
    for (caller, _) in &pairs {
        caller.send(&packet).expect("room");
    }
    let mut buffer = [0; 1500];
    for (_, accepted) in &pairs {
        accepted.set_recv_timeout(Some(PATIENCE)).expect("open");
        assert_eq!(accepted.recv(&mut buffer), Ok(packet.len()));
    }
    let ids: Vec<SocketId> = pairs
        .iter()
        .flat_map(|(one, other)| [one.id(), other.id()])
        .collect();
    for (number, (caller, accepted)) in pairs.into_iter().enumerate() {
        match number % 3 {
            0 => drop((caller, accepted)),
            1 => drop((accepted, caller)),
            _ => {
                caller.close().expect("open until now");
                // The peer's side may have closed by itself already: both cases are fine.
                accepted.close().ok();
            }
        }
    }
    wait_until("libsrt to forget the sockets", || {
        ids.iter().all(|id| id.state() == SocketState::NonExistent)
    });
}

#[test]
fn five_hundred_connections_leave_nothing_behind() {
    const CONNECTIONS: usize = 500;
    let listener = listener(&small());
    // The first round starts the library's own threads and allocates its own memory.
    one_round(&listener, CONNECTIONS);
    let settle = |what: &str, count: &dyn Fn() -> usize, limit: usize| {
        wait_until(what, || count() <= limit);
    };
    let (fds, tasks, memory) = (open_descriptors(), threads(), heap_in_use());
    one_round(&listener, CONNECTIONS);
    // Tests of this program run in parallel, so a few of their sockets come and go.
    settle("descriptors to be closed", &open_descriptors, fds + 20);
    settle("threads to end", &threads, tasks + 40);
    // A connection has about 90 KB on its two sides, so 500 of them have 45 MB: this allows for 2 KB each.
    settle("memory to be freed", &heap_in_use, memory + (1 << 20));
}

#[test]
fn several_listeners_on_one_port_serve_every_caller() {
    const CALLERS: usize = 32;
    let count = NonZeroU16::new(4).expect("not zero");
    let listeners = SrtListener::builder()
        .options(small())
        .nonblocking()
        .bind_many(V4, count)
        .expect("four listeners");
    let addr = addr_of(&listeners[0]);
    assert!(listeners.iter().all(|listener| addr_of(listener) == addr));

    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            SrtSocket::builder()
                .options(small())
                .connect(addr)
                .expect("served")
        })
        .collect();
    let mut served = [0; 4];
    let mut accepted = Vec::new();
    wait_until("every caller to be accepted", || {
        for (listener, served) in listeners.iter().zip(&mut served) {
            while let Ok((socket, peer)) = listener.accept() {
                accepted.push((peer, socket));
                *served += 1;
            }
        }
        accepted.len() == CALLERS
    });
    for caller in &callers {
        let own = caller.local_addr().expect("bound");
        let (_, socket) = accepted
            .iter()
            .find(|(peer, _)| *peer == own)
            .expect("somebody accepted it");
        exchange(caller, socket, 2);
    }
    assert_eq!(served.iter().sum::<usize>(), CALLERS);
    assert!(
        served.iter().filter(|served| **served > 0).count() > 1,
        "one did all the work: {served:?}"
    );
}

#[test]
fn listener_takes_over_a_bound_udp_socket() {
    let udp = UdpSocket::bind(V4).expect("a port");
    let addr = udp.local_addr().expect("bound");
    let listener = SrtListener::from_udp(udp).expect("a listener");
    assert_eq!(listener.local_addr(), Ok(addr));
    let caller = SrtSocket::connect(addr).expect("connected");
    exchange(&caller, &accept(&listener), 3);
    drop((caller, listener));
    wait_until("libsrt to close the UDP socket", || UdpSocket::bind(addr).is_ok());
}

#[test]
fn taken_port_is_said_to_be_in_use() {
    let udp = UdpSocket::bind(V4).expect("a port");
    let error = refused(SrtListener::bind(udp.local_addr().expect("bound")));
    assert_eq!(error.kind(), ErrorKind::AddressInUse, "{error}");
}
