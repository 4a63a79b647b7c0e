//! A caller receives the decision of the listener's access control.

mod support;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use srt_safe::{
    AccessControl, AccessRequest, Admission, ErrorKind, KeyLength, Options, Passphrase, RejectCode,
    RejectReason, Result, SourceTime, SrtListener, SrtSocket, StreamId, Verdict,
};
#[cfg(not(feature = "system"))]
use support::wait_until;
use support::{PATIENCE, V4, accept, addr_of, exchange, finish, guarded, refused};

fn call(addr: SocketAddr, id: &str) -> Result<SrtSocket> {
    SrtSocket::builder().stream_id(stream_id(id)).connect(addr)
}

fn stream_id(id: &str) -> StreamId {
    StreamId::new(id).expect("a short streamid")
}

fn secret(text: &str) -> Passphrase {
    Passphrase::new(text).expect("a passphrase of 10 to 79 bytes")
}

/// Blocks threads until it is opened.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.open.lock().expect("not poisoned") = true;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let open = self.open.lock().expect("not poisoned");
        let (open, _) = self
            .changed
            .wait_timeout_while(open, PATIENCE, |open| !*open)
            .expect("not poisoned");
        assert!(*open, "the gate never opened");
    }
}

#[test]
fn every_reject_code_reaches_the_caller() {
    let codes = [
        RejectCode::FALLBACK,
        RejectCode::BAD_REQUEST,
        RejectCode::UNAUTHORIZED,
        RejectCode::OVERLOAD,
        RejectCode::FORBIDDEN,
        RejectCode::NOT_FOUND,
        RejectCode::BAD_MODE,
        RejectCode::UNACCEPTABLE,
        RejectCode::CONFLICT,
        RejectCode::UNSUPPORTED_MEDIA,
        RejectCode::LOCKED,
        RejectCode::FAILED_DEPENDENCY,
        RejectCode::INTERNAL,
        RejectCode::UNIMPLEMENTED,
        RejectCode::BAD_GATEWAY,
        RejectCode::UNAVAILABLE,
        RejectCode::VERSION,
        RejectCode::NO_ROOM,
        RejectCode::user(0).expect("in range"),
        RejectCode::user(999).expect("in range"),
        RejectCode::new(65_535).expect("in range"),
    ];
    let listener = guarded(|request: &AccessRequest<'_>| {
        let wanted = str::from_utf8(request.stream_id_bytes()).ok();
        wanted
            .and_then(|code| code.parse().ok())
            .and_then(RejectCode::new)
            .unwrap_or(RejectCode::BAD_REQUEST)
    });
    for code in codes {
        let id = code.value().to_string();
        let blocking = refused(call(addr_of(&listener), &id));
        let builder = SrtSocket::builder().stream_id(stream_id(&id));
        let connecting = builder.start_connect(addr_of(&listener)).expect("started");
        let nonblocking = refused(finish(connecting));
        for error in [blocking, nonblocking] {
            assert_eq!(error.kind(), ErrorKind::ConnectionRejected, "{code}: {error}");
            assert_eq!(error.reject_reason(), Some(RejectReason::from(code)));
            assert_eq!(error.reject_reason().and_then(RejectReason::code), Some(code));
        }
    }
    assert!(refused(listener.accept_timeout(Duration::ZERO)).kind() == ErrorKind::TimedOut);
    assert!(listener.access_counts().refused >= 2 * codes.len() as u64);
    assert_eq!(listener.access_counts().admitted, 0);
}

#[test]
fn request_tells_who_asks_for_what() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let listener = guarded({
        let seen = Arc::clone(&seen);
        move |request: &AccessRequest<'_>| {
            seen.lock().expect("not poisoned").push((
                request.socket_id(),
                request.peer_addr(),
                request.handshake_version(),
                request.stream_id().expect("short"),
                request.stream_id_bytes().to_vec(),
            ));
            Admission::new()
        }
    });
    let id = StreamId::new(b"\x01not utf-8: \xff\xfe").expect("short");
    let caller = SrtSocket::builder()
        .stream_id(id.clone())
        .connect(addr_of(&listener))
        .expect("admitted");
    let (accepted, peer) = listener.accept_timeout(PATIENCE).expect("the caller");
    assert_eq!(caller.local_addr(), Ok(peer));
    let seen = seen.lock().expect("not poisoned");
    assert_eq!(
        *seen,
        [(accepted.id(), peer, 5, id.clone(), id.as_bytes().to_vec())]
    );
}

#[test]
fn each_streamid_has_its_own_passphrase_on_one_port() {
    let keys: HashMap<&[u8], Passphrase> = HashMap::from([
        (&b"one"[..], secret("the key of stream one")),
        (&b"two"[..], secret("the key of stream two")),
    ]);
    let listener = guarded(
        move |request: &AccessRequest<'_>| match request.stream_id_bytes() {
            b"open" => Ok(Admission::new()),
            id => keys
                .get(id)
                .map(|key| Admission::new().passphrase(key.clone()))
                .ok_or(RejectCode::NOT_FOUND),
        },
    );
    let addr = addr_of(&listener);
    let call = |id: &str, key: Option<&str>| {
        let options = key.map_or_else(Options::new, |key| Options::new().passphrase(secret(key)));
        SrtSocket::builder()
            .options(options)
            .stream_id(stream_id(id))
            .connect(addr)
    };
    for (id, key) in [
        ("one", Some("the key of stream one")),
        ("two", Some("the key of stream two")),
        ("open", None),
    ] {
        let caller = call(id, key).unwrap_or_else(|error| panic!("{id}: {error}"));
        let accepted = accept(&listener);
        assert_eq!(accepted.stream_id(), Ok(Some(stream_id(id))));
        exchange(&caller, &accepted, 2);
    }
    let reason = |id, key| refused(call(id, key)).reject_reason();
    assert_eq!(
        reason("one", Some("the key of stream two")),
        Some(RejectReason::BAD_SECRET)
    );
    assert_eq!(reason("two", None), Some(RejectReason::UNSECURE));
    assert_eq!(
        reason("open", Some("the key of stream one")),
        Some(RejectReason::UNSECURE)
    );
    assert_eq!(reason("none", None), Some(RejectCode::NOT_FOUND.into()));
}

#[test]
fn admission_changes_the_latency_of_one_connection() {
    let listener = guarded(|request: &AccessRequest<'_>| match request.stream_id_bytes() {
        b"slow" => Admission::new().options(Options::new().latency(Duration::from_millis(731))),
        _ => Admission::new(),
    });
    let latency = |id| {
        let _caller = call(addr_of(&listener), id).expect("admitted");
        accept(&listener)
            .option::<srt_safe::opt::ReceiveLatency>()
            .expect("readable")
    };
    assert_eq!(latency("slow"), Duration::from_millis(731));
    assert_eq!(latency("plain"), Duration::from_millis(120));
}

#[test]
fn panicking_decision_refuses_and_is_counted() {
    struct Mean;
    impl Drop for Mean {
        fn drop(&mut self) {
            panic!("and again, when what it left behind is thrown away");
        }
    }
    let listener = guarded(|request: &AccessRequest<'_>| match request.stream_id_bytes() {
        b"panic" => panic!("a decision that goes wrong"),
        b"worse" => std::panic::panic_any(Mean),
        _ => Admission::new(),
    });
    for id in ["panic", "worse"] {
        let error = refused(call(addr_of(&listener), id));
        assert_eq!(error.reject_reason(), Some(RejectCode::INTERNAL.into()), "{id}");
    }
    let counts = listener.access_counts();
    assert!(
        counts.panics >= 2 && counts.panics == counts.refused,
        "{counts:?}"
    );

    let caller = call(addr_of(&listener), "fine").expect("the next caller is served");
    exchange(&caller, &accept(&listener), 2);
}

/// Defers until it has been asked that often, then decides.
struct SlowDecision {
    asked: AtomicU32,
    deferrals: u32,
    verdict: Verdict,
}

impl AccessControl for SlowDecision {
    fn authorize(&self, request: &AccessRequest<'_>) -> Verdict {
        if request.stream_id_bytes() != b"slow" {
            return Verdict::Admit(Admission::new());
        }
        if self.asked.fetch_add(1, Ordering::Relaxed) < self.deferrals {
            Verdict::Defer
        } else {
            self.verdict.clone()
        }
    }
}

fn slow_listener(deferrals: u32, verdict: Verdict) -> SrtListener {
    guarded(SlowDecision {
        asked: AtomicU32::new(0),
        deferrals,
        verdict,
    })
}

fn start_slow_call(addr: SocketAddr) -> srt_safe::Connecting {
    SrtSocket::builder()
        .stream_id(stream_id("slow"))
        .start_connect(addr)
        .expect("started")
}

#[cfg(not(feature = "system"))]
mod deferred {
    use super::*;

    #[test]
    fn late_admission_connects_and_keeps_nobody_else_waiting() {
        assert!(SrtListener::can_defer());
        let listener = slow_listener(3, Verdict::Admit(Admission::new()));
        let slow = start_slow_call(addr_of(&listener));
        wait_until("the first deferral", || listener.access_counts().deferred >= 1);

        let started = Instant::now();
        let quick = call(addr_of(&listener), "quick").expect("admitted");
        // A deferred caller repeats its handshake every 250 ms; another caller needs two round trips on loopback.
        assert!(
            started.elapsed() < Duration::from_millis(200),
            "{:?}",
            started.elapsed()
        );
        assert!(
            listener.access_counts().deferred < 3,
            "the slow caller was still waiting"
        );
        exchange(&quick, &accept(&listener), 2);

        let slow = finish(slow).expect("admitted in the end");
        assert_eq!(listener.access_counts().deferred, 3);
        exchange(&slow, &accept(&listener), 2);
    }

    #[test]
    fn late_refusal_has_its_exact_code() {
        let code = RejectCode::user(42).expect("in range");
        let listener = slow_listener(2, Verdict::Refuse(code));
        let error = refused(finish(start_slow_call(addr_of(&listener))));
        assert_eq!(error.reject_reason(), Some(code.into()));
        assert_eq!(listener.access_counts().deferred, 2);
    }

    #[test]
    fn blocking_caller_gets_the_late_verdict_too() {
        let listener = slow_listener(1, Verdict::Admit(Admission::new()));
        let slow = call(addr_of(&listener), "slow").expect("admitted in the end");
        assert_eq!(listener.access_counts().deferred, 1);
        exchange(&slow, &accept(&listener), 2);
    }

    #[test]
    fn a_repeated_handshake_is_told_from_a_new_attempt() {
        let callers = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&callers);
        let listener = guarded(move |request: &AccessRequest<'_>| {
            let mut seen = seen.lock().unwrap();
            let caller = (request.peer_addr(), request.caller_socket());
            seen.push(caller);
            match seen.iter().filter(|known| **known == caller).count() {
                1 | 2 => Verdict::Defer,
                _ => Verdict::Admit(Admission::new()),
            }
        });
        for _ in 0..2 {
            finish(start_slow_call(addr_of(&listener))).expect("admitted at its third handshake");
        }
        let callers = callers.lock().unwrap();
        let [first, second] = [0, 3].map(|at| callers[at].1.expect("shown"));
        assert_ne!(first, second);
        let sockets: Vec<_> = callers.iter().map(|caller| caller.1.unwrap()).collect();
        assert_eq!(sockets, [first, first, first, second, second, second]);
    }

    #[test]
    fn a_passphrase_found_to_be_wrong_is_refused_as_libsrt_refuses_it() {
        let listener = guarded(|_: &AccessRequest<'_>| Verdict::WrongPassphrase);
        let error = refused(call(addr_of(&listener), "any"));
        assert_eq!(error.reject_reason(), Some(RejectReason::BAD_SECRET));
        assert_eq!(listener.access_counts().refused, 1);
    }

    #[test]
    fn verdict_that_never_comes_is_a_timeout() {
        let listener = slow_listener(u32::MAX, Verdict::Defer);
        let connecting = SrtSocket::builder()
            .stream_id(stream_id("slow"))
            .connect_timeout(Duration::from_millis(600))
            .start_connect(addr_of(&listener))
            .expect("started");
        assert_eq!(refused(finish(connecting)).kind(), ErrorKind::TimedOut);
        assert!(listener.access_counts().deferred >= 2);
    }
}

#[cfg(feature = "system")]
#[test]
fn library_without_the_edit_refuses_what_is_deferred() {
    assert!(!SrtListener::can_defer());
    let listener = slow_listener(1, Verdict::Admit(Admission::new()));
    let error = refused(finish(start_slow_call(addr_of(&listener))));
    assert_eq!(error.reject_reason(), Some(RejectCode::UNAVAILABLE.into()));
    assert_eq!(listener.access_counts().deferred, 0);
}

#[test]
fn listener_dropped_while_it_decides_waits_for_the_decision() {
    let inside = Arc::new(Gate::default());
    let leave = Arc::new(Gate::default());
    let listener = guarded({
        let (inside, leave) = (Arc::clone(&inside), Arc::clone(&leave));
        move |_: &AccessRequest<'_>| {
            inside.open();
            leave.pass();
            RejectCode::CONFLICT
        }
    });
    let addr = addr_of(&listener);
    let caller = thread::spawn(move || {
        SrtSocket::builder()
            .connect_timeout(Duration::from_secs(1))
            .connect(addr)
    });
    inside.pass();
    let dropping = thread::spawn(move || drop(listener));
    leave.open();
    dropping.join().expect("dropping came to an end");
    refused(caller.join().expect("no panic"));
}

#[test]
fn listener_shut_down_from_inside_its_own_decision_does_not_deadlock() {
    let own: Arc<Mutex<Option<Arc<SrtListener>>>> = Arc::default();
    let listener = Arc::new(guarded({
        let own = Arc::clone(&own);
        move |_: &AccessRequest<'_>| {
            let listener = own.lock().expect("not poisoned").take().expect("asked once");
            listener.shutdown().expect("handed to another thread");
            RejectCode::UNAVAILABLE
        }
    }));
    *own.lock().expect("not poisoned") = Some(Arc::clone(&listener));
    let error = refused(call(addr_of(&listener), "any"));
    assert_eq!(error.reject_reason(), Some(RejectCode::UNAVAILABLE.into()));
    assert!(listener.incoming().next().is_none());
}

#[test]
fn one_builder_shares_its_decision_among_listeners() {
    let asked = Arc::new(AtomicU32::new(0));
    let builder = SrtListener::builder().access_control({
        let asked = Arc::clone(&asked);
        move |_: &AccessRequest<'_>| {
            asked.fetch_add(1, Ordering::Relaxed);
            Admission::new()
        }
    });
    let listeners = [0; 2].map(|_| builder.bind(V4).expect("a listener"));
    for listener in &listeners {
        let _caller = call(addr_of(listener), "any").expect("admitted");
        accept(listener);
        assert_eq!(listener.access_counts().admitted, 1);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[test]
fn the_key_material_tells_which_of_several_passphrases_a_caller_has() {
    if !srt_safe::library_edits().contains("handshake-view") {
        return;
    }
    let valid = [
        "the first passphrase",
        "the second passphrase",
        "the third passphrase",
    ];
    let valid = valid.map(|text| Passphrase::new(text).unwrap());
    let keyring = valid.clone();
    let listener = guarded(move |request: &AccessRequest<'_>| {
        let key = request.key_request().ok_or(RejectCode::UNAUTHORIZED)?;
        let began = Instant::now();
        let used = keyring.iter().find(|passphrase| key.opens_with(passphrase));
        println!(
            "{:?}: {:?} for up to three trials",
            key.key_length(),
            began.elapsed()
        );
        used.map(|used| Admission::new().passphrase(used.clone()))
            .ok_or(RejectCode::FORBIDDEN)
    });
    let addr = listener.local_addr().unwrap();
    let call = |passphrase: Option<&Passphrase>, length| {
        let mut options = Options::new().key_length(length);
        if let Some(passphrase) = passphrase {
            options = options.passphrase(passphrase.clone());
        }
        SrtSocket::builder().options(options).connect(addr)
    };
    for length in [KeyLength::Aes128, KeyLength::Aes192, KeyLength::Aes256] {
        for passphrase in &valid {
            let socket = call(Some(passphrase), length).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            assert!(accepted.key_state().unwrap().is_secured());
            drop(socket);
        }
        let wrong = Passphrase::new("no passphrase of ours").unwrap();
        let refused = |passphrase| {
            call(passphrase, length)
                .unwrap_err()
                .reject_reason()
                .unwrap()
                .value()
        };
        assert_eq!(refused(Some(&wrong)), i32::from(RejectCode::FORBIDDEN.value()));
        assert_eq!(refused(None), i32::from(RejectCode::UNAUTHORIZED.value()));
    }
}

#[test]
fn a_decision_that_takes_its_time_delays_nothing_that_is_sent_later() {
    const DECISION: Duration = Duration::from_millis(300);
    let latency = Duration::from_millis(120);
    let listener = guarded(|_: &AccessRequest<'_>| {
        // The cost of a decision is what this test measures.
        thread::sleep(DECISION);
        Verdict::Admit(Admission::new())
    });
    let caller = SrtSocket::builder()
        .options(Options::new().latency(latency))
        .connect(addr_of(&listener))
        .expect("it is let in");
    let accepted = accept(&listener);
    let sent = SourceTime::now();
    caller.send(b"a message").expect("room");
    let (_, info) = accepted.recv_message(&mut [0; 1500]).expect("the message");
    let due = info.source_time.expect("live messages have a time");
    let delay = due.saturating_duration_since(sent).saturating_sub(latency);
    if libsrt_sys::has_edit(libsrt_sys::EDIT_HANDSHAKE_TIME) {
        assert!(delay < DECISION / 2, "{delay:?} above the latency");
    }
}
