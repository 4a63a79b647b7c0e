//! A process that uses this crate can exit at any time with its own exit code, whatever its threads are doing.
//!
//! Each test starts this program again, to run a scenario and exit in the middle of it.

mod support;

use std::{
    env, process,
    process::{Command, Stdio},
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use srt_safe::{
    AccessRequest, Admission, Epoll, Events, Interest, Options, SrtListener, SrtSocket, TransmissionType,
    Trigger,
};
use support::{V4, accept, addr_of, live_pair, noise, pair};

const SCENARIO: &str = "SRT_SAFE_EXIT_SCENARIO";
/// How long an exit may take. The scenarios themselves take little time.
const LIMIT: Duration = Duration::from_secs(3);
const EXIT_CODE: i32 = 42;

/// Runs the scenario in a process of its own, and checks that it ends in time with its own code.
#[track_caller]
fn exits_in_time(scenario: &str) {
    let mut child = Command::new(env::current_exe().expect("this program"))
        .args(["--exact", "scenario", "--nocapture"])
        .env(SCENARIO, scenario)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("this program starts");
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if started.elapsed() > LIMIT {
            child.kill().expect("it runs");
            child.wait().expect("it was killed");
            panic!("{scenario}: still there after {LIMIT:?}");
        }
        thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(EXIT_CODE), "{scenario}: {status}");
}

/// Runs `blocked` on a thread and exits while it runs. Whether it already sleeps makes no difference to the exit.
fn exit_while<T>(blocked: impl FnOnce() -> T + Send + 'static) -> ! {
    let both = Arc::new(Barrier::new(2));
    thread::spawn({
        let both = Arc::clone(&both);
        move || {
            both.wait();
            drop(blocked());
            // The exit has ended this call: its thread may be anywhere now, also back in libsrt.
            drop(SrtSocket::connect("127.0.0.1:9"));
        }
    });
    both.wait();
    thread::sleep(Duration::from_millis(100));
    process::exit(EXIT_CODE);
}

fn keep<T>(value: T) {
    std::mem::forget(value);
}

fn play(scenario: &str) {
    match scenario {
        "idle" => keep(SrtListener::bind(V4).expect("a listener")),
        "accept" => {
            let listener = SrtListener::bind(V4).expect("a listener");
            exit_while(move || listener.accept());
        }
        "recv" => {
            let (caller, accepted) = live_pair();
            keep(accepted);
            exit_while(move || caller.recv(&mut [0; 1500]));
        }
        "send" => {
            let file = Options::new().transmission_type(TransmissionType::File);
            let (caller, accepted) = pair(
                SrtListener::builder().options(file.clone()),
                SrtSocket::builder().options(file),
            );
            keep(accepted);
            exit_while(move || while caller.send(&noise(1, 1 << 20)).is_ok() {});
        }
        "connect" => {
            let silent = std::net::UdpSocket::bind(V4).expect("a port");
            let addr = silent.local_addr().expect("bound");
            keep(silent);
            exit_while(move || {
                SrtSocket::builder()
                    .connect_timeout(Duration::from_secs(60))
                    .connect(addr)
            });
        }
        "epoll" => {
            let (caller, accepted) = live_pair();
            keep(accepted);
            for _ in 0..3 {
                let caller = live_pair().0;
                thread::spawn(move || wait_forever(&caller));
            }
            exit_while(move || wait_forever(&caller));
        }
        "connections" => {
            let listener = SrtListener::bind(V4).expect("a listener");
            for _ in 0..20 {
                let caller = SrtSocket::connect(addr_of(&listener)).expect("connected");
                keep((caller, accept(&listener)));
            }
            // This socket was never accepted.
            keep(SrtSocket::connect(addr_of(&listener)).expect("connected"));
            keep(listener);
        }
        "decision" => {
            let listener = SrtListener::builder()
                .access_control(|_: &AccessRequest<'_>| {
                    thread::park();
                    Admission::new()
                })
                .bind(V4)
                .expect("a listener");
            let addr = addr_of(&listener);
            keep(listener);
            exit_while(move || SrtSocket::connect(addr));
        }
        "exit in a decision" => {
            let listener = SrtListener::builder()
                .access_control(|_: &AccessRequest<'_>| -> Admission { process::exit(EXIT_CODE) })
                .bind(V4)
                .expect("a listener");
            drop(SrtSocket::connect(addr_of(&listener)));
        }
        other => panic!("no such scenario: {other}"),
    }
    process::exit(EXIT_CODE);
}

fn wait_forever(socket: &SrtSocket) -> ! {
    let mut epoll = Epoll::new().expect("an epoll");
    epoll
        .registry()
        .add(socket, Interest::READABLE, Trigger::Edge)
        .expect("open");
    let mut events = Events::with_capacity(4);
    loop {
        epoll.wait(&mut events, None).ok();
    }
}

/// Not a test by itself: the process that the others start ends in here.
#[test]
fn scenario() {
    if let Ok(scenario) = env::var(SCENARIO) {
        play(&scenario);
    }
}

#[test]
fn with_a_listener() {
    exits_in_time("idle");
}

#[test]
fn while_a_thread_accepts() {
    exits_in_time("accept");
}

#[test]
fn while_a_thread_receives() {
    exits_in_time("recv");
}

#[test]
fn while_a_thread_sends_what_nobody_reads() {
    exits_in_time("send");
}

#[test]
fn while_a_thread_connects() {
    exits_in_time("connect");
}

#[test]
fn while_threads_wait_for_events() {
    exits_in_time("epoll");
}

#[test]
fn with_live_connections() {
    exits_in_time("connections");
}

/// An installed libsrt waits for the callback in its own clean-up.
#[cfg(not(feature = "system"))]
#[test]
fn while_a_decision_never_returns() {
    exits_in_time("decision");
}

#[cfg(not(feature = "system"))]
#[test]
fn from_inside_of_a_decision() {
    exits_in_time("exit in a decision");
}

/// An exit closes the connections: peers need not wait five seconds for a time-out.
#[test]
fn peers_are_told() {
    if env::var(SCENARIO).is_ok() {
        return;
    }
    let listener = SrtListener::bind(V4).expect("a listener");
    let mut child = Command::new(env::current_exe().expect("this program"))
        .args(["--exact", "peer", "--nocapture"])
        .env(SCENARIO, addr_of(&listener).to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("this program starts");
    let accepted = accept(&listener);
    let started = Instant::now();
    let end = accepted.recv(&mut [0; 1500]);
    let told_after = started.elapsed();
    assert_eq!(child.wait().expect("a child").code(), Some(EXIT_CODE));
    assert!(end.is_err());
    assert!(
        told_after < LIMIT,
        "the peer found out by itself, after {told_after:?}"
    );
}

/// The process that `peers_are_told` starts: connects, and exits.
#[test]
fn peer() {
    if let Ok(addr) = env::var(SCENARIO) {
        keep(SrtSocket::connect(addr).expect("connected"));
        process::exit(EXIT_CODE);
    }
}
