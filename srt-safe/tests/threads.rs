//! `library_threads` distinguishes a libsrt thread that hangs from an idle one. A program of its own: threads belong to
//! the process.

mod support;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use srt_safe::{AccessRequest, Admission, LibraryThread, LibraryThreadKind, SrtSocket, library_threads};
use support::{accept, addr_of, guarded, wait_until};

/// The threads that were busy with one thing for `time`, over all looks.
fn stuck_for(time: Duration) -> Vec<LibraryThread> {
    let mut suspects: HashMap<u32, LibraryThread> = library_threads()
        .into_iter()
        .map(|thread| (thread.id, thread))
        .collect();
    let end = Instant::now() + time;
    while Instant::now() < end {
        let now = library_threads();
        suspects.retain(|id, thread| {
            let later = now.iter().find(|later| later.id == *id);
            later.is_some_and(|later| !later.is_waiting && later.rounds == thread.rounds)
        });
        thread::sleep(Duration::from_millis(10));
    }
    suspects.into_values().collect()
}

fn of(kind: LibraryThreadKind, port: u16) -> impl Fn(&LibraryThread) -> bool {
    move |thread| thread.kind == kind && thread.port == Some(port)
}

#[test]
fn receiving_thread_in_a_callback_that_blocks_is_stuck_and_idle_ones_never_are() {
    if !libsrt_sys::has_edit(libsrt_sys::EDIT_THREAD_PROGRESS) {
        assert!(library_threads().is_empty(), "nobody can know");
        return;
    }
    let hang = Arc::new(AtomicBool::new(false));
    let (entered, inside) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let hangs = Arc::clone(&hang);
    let released = std::sync::Mutex::new(released);
    let listener = guarded(move |_: &AccessRequest<'_>| {
        if hangs.load(SeqCst) {
            entered.send(()).expect("the test waits for it");
            released.lock().expect("one at a time").recv().ok();
        }
        Admission::new()
    });
    let port = addr_of(&listener).port();
    let caller = SrtSocket::builder()
        .connect(addr_of(&listener))
        .expect("a connection");
    let accepted = accept(&listener);

    // Those of both ports, and the collector; none of them has much to do.
    wait_until("each thread shows itself", || {
        let threads = library_threads();
        let from = caller.local_addr().expect("connected").port();
        let serves = |kind, port| threads.iter().any(of(kind, port));
        serves(LibraryThreadKind::Receiver, port)
            && serves(LibraryThreadKind::Sender, port)
            && serves(LibraryThreadKind::Receiver, from)
            && threads
                .iter()
                .any(|thread| thread.kind == LibraryThreadKind::GarbageCollector)
    });
    let idle = stuck_for(Duration::from_secs(3));
    assert!(idle.is_empty(), "idle threads count as stuck: {idle:?}");

    hang.store(true, SeqCst);
    let at = addr_of(&listener);
    let second = thread::spawn(move || SrtSocket::builder().connect(at).ok());
    inside.recv_timeout(support::PATIENCE).expect("a second caller");
    let stuck = stuck_for(Duration::from_secs(2));
    assert!(
        stuck.iter().any(of(LibraryThreadKind::Receiver, port)),
        "the thread that hangs is not told: {stuck:?}"
    );

    hang.store(false, SeqCst);
    drop(release);
    wait_until("the thread goes on", || {
        !stuck_for(Duration::from_millis(200))
            .iter()
            .any(of(LibraryThreadKind::Receiver, port))
    });
    drop((second.join(), accepted, caller));
    // The ports' threads end with them.
    drop(listener);
    wait_until("the list forgets threads that have ended", || {
        !library_threads()
            .iter()
            .any(of(LibraryThreadKind::Receiver, port))
    });
}
