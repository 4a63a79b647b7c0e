//! An idle reactor uses no CPU, and ends with its last handle. In a process of its own, to find its thread.

use std::{
    fs,
    time::{Duration, Instant},
};

use srt_safe::{AsyncSrtListener, AsyncSrtSocket, ErrorKind, Options, Reactor, SrtListener, SrtSocket};

/// CPU time of the reactor threads of this process, in clock ticks (10 ms), and their number.
fn reactor_threads() -> (u64, usize) {
    let (mut ticks, mut threads) = (0, 0);
    for task in fs::read_dir("/proc/self/task").unwrap() {
        // A thread may end meanwhile.
        let Ok(stat) = fs::read_to_string(task.unwrap().path().join("stat")) else {
            continue;
        };
        let (before, after) = stat.rsplit_once(')').unwrap();
        if before.contains("(srt-reactor") {
            // Fields 14 and 15 of proc(5), counted from the third.
            ticks += after
                .split_whitespace()
                .skip(11)
                .take(2)
                .map(|n| n.parse::<u64>().unwrap())
                .sum::<u64>();
            threads += 1;
        }
    }
    (ticks, threads)
}

#[tokio::test]
async fn an_idle_reactor_rests_and_ends() {
    let reactor = Reactor::new().unwrap();
    let options = Options::new().latency(Duration::from_millis(20));
    let listener = SrtListener::builder()
        .options(options.clone())
        .bind("127.0.0.1:0")
        .unwrap();
    let addr = listener.local_addr().unwrap();
    let listener = AsyncSrtListener::new(listener, &reactor);
    let builder = SrtSocket::builder().options(options);
    let mut sockets = Vec::new();
    for _ in 0..4 {
        let caller = AsyncSrtSocket::connect(&reactor, &builder, addr).await.unwrap();
        sockets.push((caller, listener.accept().await.unwrap().0));
    }
    // A broken socket that is not dropped: libsrt would report it again and again.
    let (caller, broken) = sockets.pop().unwrap();
    let mut buffer = [0; 1500];
    let reading = tokio::time::timeout(Duration::from_millis(30), broken.recv(&mut buffer));
    assert!(reading.await.is_err(), "nothing was sent");
    drop(caller);
    let end = tokio::time::timeout(Duration::from_secs(10), broken.recv(&mut [0; 1500]))
        .await
        .unwrap();
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionLost);
    // Data that is never read.
    sockets[0].0.send(b"unread").await.unwrap();

    let (before, threads) = reactor_threads();
    assert_eq!(threads, 1);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let (after, _) = reactor_threads();
    println!("{} ms of CPU in 1.5 s", (after - before) * 10);
    assert!(
        after - before <= 10,
        "the reactor is busy: {} ms of CPU in 1.5 s",
        (after - before) * 10
    );

    drop((sockets, broken, listener));
    drop(reactor);
    let deadline = Instant::now() + Duration::from_secs(10);
    while reactor_threads().1 > 0 {
        assert!(Instant::now() < deadline, "the thread goes on");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
