use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use srt_safe::{AccessRequest, Admission, SrtListener, SrtSocket};

use super::{Criticality, Detector, Key, LIMIT, Sighting, Threads, Watchdog};

const SECOND: Duration = Duration::from_secs(1);

fn sighting(rounds: u64, is_waiting: bool) -> Sighting {
    Sighting {
        key: Key::Ours(1),
        name: "relay-0".to_owned(),
        criticality: Criticality::Vital,
        rounds,
        is_waiting,
    }
}

/// What is stuck after each second, given the rounds and whether the thread waits.
fn observed(seconds: impl IntoIterator<Item = (u64, bool)>) -> Vec<bool> {
    let mut detector = Detector::default();
    let mut now = Instant::now();
    let mut look = |(rounds, is_waiting)| {
        now += SECOND;
        !detector
            .observe(now, vec![sighting(rounds, is_waiting)])
            .is_empty()
    };
    seconds.into_iter().map(&mut look).collect()
}

#[test]
fn busy_without_progress_is_stuck_and_progress_or_waiting_never_is() {
    let hangs = observed((0..20).map(|_| (7, false)));
    let first = hangs.iter().position(|stuck| *stuck);
    assert_eq!(first.map(|second| second as u64), Some(LIMIT.as_secs()));
    assert!(
        observed((0..100).map(|second| (second, false)))
            .iter()
            .all(|stuck| !stuck)
    );
    assert!(observed((0..100).map(|_| (7, true))).iter().all(|stuck| !stuck));
    // It took long and then continued.
    let recovers = observed((0..15).map(|_| (7, false)).chain([(8, false)]));
    assert_eq!(recovers.last(), Some(&false));
}

#[test]
fn a_stop_of_the_whole_process_is_nobodys_hang() {
    let mut detector = Detector::default();
    let begin = Instant::now();
    let mut look = |at: u64| {
        detector.observe(
            begin + SECOND * u32::try_from(at).unwrap(),
            vec![sighting(7, false)],
        )
    };
    assert!(look(0).is_empty());
    assert!(look(1).is_empty());
    assert!(look(3600).is_empty(), "it slept as all others did");
    assert!(look(3601).is_empty());
    let stuck = (3602..3620).find(|at| !look(*at).is_empty());
    assert_eq!(stuck, Some(3610), "but one that hangs since is found");
}

#[test]
fn thread_that_ends_is_forgotten() {
    let threads = Threads::default();
    let pulse = threads.register("outlets-9", Criticality::Auxiliary);
    let is_there = || {
        threads
            .sightings()
            .iter()
            .any(|thread| thread.name == "outlets-9")
    };
    assert!(is_there());
    drop(pulse);
    assert!(!is_there());
}

/// Waits until `holds`, for longer than a thread on a slow machine takes to count as stuck.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT * 6;
    while !holds() {
        assert!(Instant::now() < end, "in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn hanging_threads_are_reported_by_name_and_idle_ones_are_not() {
    if !srt_safe::library_edits().contains("thread-progress") {
        return;
    }
    let threads = Arc::new(Threads::default());
    let _watchdog = Watchdog::start(Arc::clone(&threads), || {}).unwrap();
    let idle = threads.register("idle", Criticality::Vital);
    idle.beat();
    idle.rest();
    let hangs = threads.register("hangs", Criticality::Auxiliary);
    hangs.beat();

    let (entered, inside) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let listener = SrtListener::builder()
        .access_control(move |_: &AccessRequest<'_>| {
            entered.send(()).ok();
            released.lock().unwrap().recv().ok();
            Admission::new()
        })
        .bind("127.0.0.1:0")
        .unwrap();
    let quiet = SrtListener::builder().bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let caller = thread::spawn(move || SrtSocket::builder().connect(addr).ok());
    inside.recv_timeout(LIMIT * 3).unwrap();

    let port = format!("libsrt receive, port {}", addr.port());
    wait_until("both are reported", || {
        let report = threads.report();
        let is_stuck = |name: &str| report.stuck.iter().any(|thread| thread.name == name);
        is_stuck(&port) && is_stuck("hangs")
    });
    let report = threads.report();
    assert!(!report.is_healthy());
    let other = format!("port {}", quiet.local_addr().unwrap().port());
    let names = report.names();
    assert!(!names.contains("idle") && !names.contains(&other), "{names}");

    drop(release);
    hangs.beat();
    wait_until("they go on", || {
        let names = threads.report().names();
        !names.contains(&port) && !names.contains("hangs")
    });
    drop(caller.join());
}
