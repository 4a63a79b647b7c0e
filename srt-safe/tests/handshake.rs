//! Connections are established in every mode, or fail with the reason of the other side.

mod support;

use std::{net::SocketAddr, thread, time::Duration};

use srt_safe::{
    AccessRequest, Admission, ErrorKind, Options, Passphrase, RejectCode, RejectReason, SocketState,
    SrtListener, SrtSocket, StreamId, TransmissionType, Verdict,
};
use support::{
    PATIENCE, V4, V6, accept, addr_of, exchange, finish, guarded, listener, reaches, refused, retry,
    wait_until,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Waiting {
    Blocking,
    NonBlocking,
}

fn secret(text: &str) -> Passphrase {
    Passphrase::new(text).expect("a passphrase of 10 to 79 bytes")
}

fn options(transmission: TransmissionType, encrypted: bool) -> Options {
    let options = Options::new()
        .transmission_type(transmission)
        .latency(Duration::from_millis(20));
    if encrypted {
        options.passphrase(secret("matrix of handshakes"))
    } else {
        options
    }
}

fn connect(options: &Options, addr: SocketAddr, waiting: Waiting) -> srt_safe::Result<SrtSocket> {
    let builder = SrtSocket::builder().options(options.clone());
    match waiting {
        Waiting::Blocking => builder.connect(addr),
        Waiting::NonBlocking => finish(builder.start_connect(addr)?),
    }
}

/// The address that a socket has called. libsrt 1.5.1, the oldest supported one, does not provide it: then it is
/// `expected`.
fn called(caller: &SrtSocket, expected: SocketAddr) -> SocketAddr {
    match caller.peer_addr() {
        Err(_) if cfg!(feature = "system") => expected,
        addr => addr.expect("a caller knows whom it called"),
    }
}

fn one_case(
    (caller, acceptor): (Waiting, Waiting),
    transmission: TransmissionType,
    encrypted: bool,
    local: SocketAddr,
) {
    let case = format!(
        "{caller:?} caller, {acceptor:?} listener, {transmission:?}, encrypted: {encrypted}, {local}"
    );
    let options = options(transmission, encrypted);
    let builder = SrtListener::builder().options(options.clone());
    let builder = if acceptor == Waiting::NonBlocking {
        builder.nonblocking()
    } else {
        builder
    };
    let listener = builder
        .bind(local)
        .unwrap_or_else(|error| panic!("{case}: {error}"));
    let addr = addr_of(&listener);

    let calling = thread::spawn({
        let options = options.clone();
        move || connect(&options, addr, caller)
    });
    let (accepted, peer) = match acceptor {
        Waiting::Blocking => listener.accept(),
        Waiting::NonBlocking => retry(|| listener.accept()),
    }
    .unwrap_or_else(|error| panic!("{case}: {error}"));
    let caller_socket = calling
        .join()
        .expect("no panic")
        .unwrap_or_else(|error| panic!("{case}: {error}"));

    assert_eq!(caller_socket.state(), SocketState::Connected, "{case}");
    assert_eq!(accepted.state(), SocketState::Connected, "{case}");
    assert_eq!(peer, caller_socket.local_addr().expect("bound"), "{case}");
    assert_eq!(accepted.peer_addr(), Ok(peer), "{case}");
    assert_eq!(called(&caller_socket, addr), addr, "{case}");
    assert_eq!(
        caller_socket.is_blocking(),
        Ok(caller == Waiting::Blocking),
        "{case}"
    );
    assert_eq!(
        accepted.is_blocking(),
        Ok(acceptor == Waiting::Blocking),
        "{case}"
    );
    exchange(&caller_socket, &accepted, 3);
    exchange(&accepted, &caller_socket, 3);
}

fn matrix(transmission: TransmissionType, encrypted: bool) {
    for caller in [Waiting::Blocking, Waiting::NonBlocking] {
        for acceptor in [Waiting::Blocking, Waiting::NonBlocking] {
            for local in [V4, V6] {
                one_case((caller, acceptor), transmission, encrypted, local);
            }
        }
    }
}

#[test]
fn live_handshake_in_every_mode() {
    matrix(TransmissionType::Live, false);
}

#[test]
fn encrypted_live_handshake_in_every_mode() {
    matrix(TransmissionType::Live, true);
}

#[test]
fn file_handshake_in_every_mode() {
    matrix(TransmissionType::File, false);
}

#[test]
fn encrypted_file_handshake_in_every_mode() {
    matrix(TransmissionType::File, true);
}

#[test]
fn accepted_sockets_are_in_the_mode_of_the_listener_at_that_time() {
    let listener = listener(&Options::new());
    let early = SrtSocket::connect(addr_of(&listener)).expect("connected while the listener was blocking");
    wait_until("the caller to be queued", || {
        early.state() == SocketState::Connected
    });
    listener.set_nonblocking();
    let (accepted, _) = retry(|| listener.accept()).expect("the caller");
    assert_eq!(accepted.is_blocking(), Ok(false));
    assert!(refused(accepted.recv(&mut [0; 1500])).is_would_block());

    listener.set_blocking();
    let _late = SrtSocket::connect(addr_of(&listener)).expect("connected");
    assert_eq!(listener.accept().expect("the caller").0.is_blocking(), Ok(true));
}

#[test]
fn streamid_reaches_the_accepted_socket() {
    let listener = listener(&Options::new());
    let id = StreamId::new(b"#!::r=live/\xff\xfe,m=publish").expect("short enough");
    let _named = SrtSocket::builder()
        .stream_id(id.clone())
        .connect(addr_of(&listener))
        .expect("connected");
    assert_eq!(accept(&listener).stream_id(), Ok(Some(id)));
    let _nameless = SrtSocket::connect(addr_of(&listener)).expect("connected");
    assert_eq!(accept(&listener).stream_id(), Ok(None));
}

#[test]
fn longest_streamid_arrives_whole() {
    let listener = guarded(
        |request: &AccessRequest<'_>| match request.stream_id_bytes().len() {
            StreamId::MAX_LEN => Verdict::Admit(Admission::new()),
            _ => Verdict::Refuse(RejectCode::BAD_REQUEST),
        },
    );
    let id = StreamId::new("x".repeat(StreamId::MAX_LEN)).expect("exactly the limit");
    let _caller = SrtSocket::builder()
        .stream_id(id.clone())
        .connect(addr_of(&listener))
        .expect("the whole streamid arrived");
    assert_eq!(accept(&listener).stream_id(), Ok(Some(id)));
}

#[test]
fn nobody_there_times_out_in_the_time_that_was_asked_for() {
    let silent = std::net::UdpSocket::bind(V4).expect("a port");
    let addr = silent.local_addr().expect("bound");
    for waiting in [Waiting::Blocking, Waiting::NonBlocking] {
        let started = std::time::Instant::now();
        let options = Options::new().connect_timeout(Duration::from_millis(200));
        let error = refused(connect(&options, addr, waiting));
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{waiting:?}: {error}");
        let took = started.elapsed();
        assert!((200..1000).contains(&took.as_millis()), "{waiting:?}: {took:?}");
    }
}

#[test]
fn passphrases_that_do_not_match_are_told_apart() {
    let (right, wrong) = (secret("the right one"), secret("not the right one"));
    let cases = [
        (Some(&right), Some(&wrong), RejectReason::BAD_SECRET),
        (Some(&right), None, RejectReason::UNSECURE),
        (None, Some(&wrong), RejectReason::UNSECURE),
    ];
    let with = |passphrase: Option<&Passphrase>| match passphrase {
        Some(passphrase) => Options::new().passphrase(passphrase.clone()),
        None => Options::new(),
    };
    for (theirs, ours, reason) in cases {
        let listener = listener(&with(theirs));
        for waiting in [Waiting::Blocking, Waiting::NonBlocking] {
            let error = refused(connect(&with(ours), addr_of(&listener), waiting));
            assert_eq!(
                error.kind(),
                ErrorKind::ConnectionRejected,
                "{reason}, {waiting:?}: {error}"
            );
            assert_eq!(error.reject_reason(), Some(reason), "{waiting:?}");
        }
    }
}

#[test]
fn full_backlog_refuses_with_its_reason() {
    let listener = SrtListener::builder()
        .backlog(std::num::NonZeroU16::MIN)
        .bind(V4)
        .expect("a listener");
    let _waits = SrtSocket::connect(addr_of(&listener)).expect("there is room for one");
    let error = refused(SrtSocket::connect(addr_of(&listener)));
    assert_eq!(error.reject_reason(), Some(RejectReason::BACKLOG));
}

#[test]
fn rendezvous_connects_two_equals() {
    for waiting in [Waiting::Blocking, Waiting::NonBlocking] {
        let ports: Vec<_> = (0..2)
            .map(|_| std::net::UdpSocket::bind(V4).expect("a port"))
            .collect();
        let [one, two] = [&ports[0], &ports[1]].map(|port| port.local_addr().expect("bound"));
        drop(ports);
        let meet = move |local, remote| {
            let builder = SrtSocket::builder().connect_timeout(Duration::from_secs(2));
            match waiting {
                Waiting::Blocking => builder.rendezvous(local, remote),
                Waiting::NonBlocking => finish(builder.start_rendezvous(local, remote)?),
            }
        };
        let other = thread::spawn(move || meet(two, one));
        let first = meet(one, two).expect("met");
        let second = other.join().expect("no panic").expect("met");
        assert_eq!((first.local_addr(), called(&first, two)), (Ok(one), two));
        reaches(&first, &second);
        reaches(&second, &first);
    }
}

#[test]
fn dual_stack_listener_takes_both_families_and_shows_plain_addresses() {
    let listener = SrtListener::builder()
        .access_control(|request: &AccessRequest<'_>| {
            if request.peer_addr().ip().is_loopback() {
                Verdict::Admit(Admission::new())
            } else {
                Verdict::Refuse(RejectCode::FORBIDDEN)
            }
        })
        .bind("[::]:0")
        .expect("a dual-stack listener");
    let port = addr_of(&listener).port();
    for (ip, family) in [(V4.ip(), "IPv4"), (V6.ip(), "IPv6")] {
        let caller = SrtSocket::connect((ip, port)).unwrap_or_else(|error| panic!("{family}: {error}"));
        let (accepted, peer) = listener.accept_timeout(PATIENCE).expect("the caller");
        assert_eq!(peer.ip(), ip, "{family}");
        assert_eq!(accepted.peer_addr().map(|peer| peer.ip()), Ok(ip), "{family}");
        exchange(&caller, &accepted, 2);
    }
}

#[test]
fn bound_caller_calls_from_its_port() {
    let listener = listener(&Options::new());
    let caller = SrtSocket::builder()
        .bind(V4)
        .connect(addr_of(&listener))
        .expect("connected");
    let (_accepted, peer) = listener.accept_timeout(PATIENCE).expect("the caller");
    assert_eq!(caller.local_addr(), Ok(peer));
}

#[test]
fn accept_timeout_gives_up_and_sees_callers_that_came_before() {
    let listener = listener(&Options::new());
    let limit = Duration::from_millis(30);
    assert_eq!(
        refused(listener.accept_timeout(limit)).kind(),
        ErrorKind::TimedOut
    );
    let _caller = SrtSocket::connect(addr_of(&listener)).expect("connected");
    assert!(listener.accept_timeout(PATIENCE).is_ok());
}

#[test]
fn wrong_transmission_type_is_refused() {
    let listener = listener(&options(TransmissionType::File, false));
    let error = refused(connect(
        &options(TransmissionType::Live, false),
        addr_of(&listener),
        Waiting::Blocking,
    ));
    assert_eq!(error.kind(), ErrorKind::ConnectionRejected, "{error}");
    assert!(error.reject_reason().is_some(), "{error}");
}
