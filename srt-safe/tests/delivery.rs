//! Sockets whose reader times the packets: delivered on time and in order, without loss, and without a libsrt thread.

#[path = "support/lossy.rs"]
mod lossy;
mod support;

use std::{
    collections::HashSet,
    fs,
    time::{Duration, Instant},
};

use libsrt_sys::{EDIT_READER_TIMED, has_edit};
use lossy::{Fate, LossyLink, Way, pace};
use srt_safe::{Epoll, Events, Interest, Options, ReaderTiming, SourceTime, SrtListener, SrtSocket, Trigger};
use support::{PATIENCE, addr_of, listener, noise, pair};

const PACKETS: u64 = 300;

/// A packet that is due this soon may be delivered together with the previous one.
const TOGETHER: Duration = Duration::from_micros(100);

/// A received message.
struct Taken {
    bytes: Vec<u8>,
    /// From its reception until it was due; None: it was already due, or nearly.
    early: Option<Duration>,
}

/// Receives as a relay does, until `count` messages have arrived.
fn take(socket: &SrtSocket, count: u64) -> Vec<Taken> {
    let mut epoll = Epoll::new().unwrap();
    epoll
        .registry()
        .add(socket, Interest::READABLE, Trigger::Edge)
        .unwrap();
    let (mut events, mut buffer, mut taken) = (Events::with_capacity(4), [0; 1500], Vec::new());
    let deadline = Instant::now() + PATIENCE;
    while (taken.len() as u64) < count {
        assert!(
            Instant::now() < deadline,
            "{} of {count} messages came",
            taken.len()
        );
        match socket.recv_message(&mut buffer) {
            Ok((len, info)) => {
                let due = info.source_time.expect("live messages have a time");
                let early = due.saturating_duration_since(SourceTime::now());
                taken.push(Taken {
                    bytes: buffer[..len].to_vec(),
                    early: Some(early).filter(|early| *early > TOGETHER),
                });
            }
            Err(error) => {
                assert!(error.is_would_block(), "{error}");
                // None: an event must come, or the test exceeds its deadline.
                let wait = socket.next_delivery().unwrap_or(PATIENCE);
                epoll.wait(&mut events, Some(wait)).unwrap();
            }
        }
    }
    taken
}

fn options(latency: Duration) -> Options {
    Options::new().latency(latency)
}

/// The receiving end of a pair, timed by its reader. None: this library does not support it.
fn timed(accepted: SrtSocket, timing: ReaderTiming) -> Option<SrtSocket> {
    accepted.set_nonblocking().unwrap();
    let is_timed = accepted.time_by_reader(timing);
    assert_eq!(is_timed, has_edit(EDIT_READER_TIMED));
    is_timed.then_some(accepted)
}

fn send_all(sender: &SrtSocket) {
    for number in 0..PACKETS {
        sender.send(&noise(number, 1316)).unwrap();
        pace();
    }
}

/// A caller whose packets to the listener pass a judge, and the accepted end.
fn over_a_link(
    latency: Duration,
    judge: impl FnMut(&[u8], bool) -> Fate + Send + 'static,
) -> (LossyLink, SrtSocket, SrtSocket) {
    let mut judge = judge;
    let listener = listener(&options(latency));
    let link = LossyLink::new(addr_of(&listener), move |way, wire| {
        if way == Way::ToListener && wire.is_data() {
            judge(wire.payload(), wire.is_retransmission())
        } else {
            Fate::Pass
        }
    })
    .unwrap();
    let caller = SrtSocket::builder()
        .options(options(latency))
        .connect(link.addr())
        .unwrap();
    let accepted = support::accept(&listener);
    (link, caller, accepted)
}

fn timing_threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("SRT:TsbPd")).count()
}

fn assert_all(taken: &[Taken]) {
    for (number, message) in (0..).zip(taken) {
        assert!(message.bytes == noise(number, 1316), "message {number}");
    }
}

#[test]
fn packets_come_at_their_time_and_no_thread_of_libsrt_waits_for_it() {
    let (caller, accepted) = pair(
        SrtListener::builder().options(options(Duration::from_millis(300))),
        SrtSocket::builder().options(options(Duration::from_millis(300))),
    );
    let Some(accepted) = timed(accepted, ReaderTiming::OnTime) else {
        return;
    };
    send_all(&caller);
    let taken = take(&accepted, PACKETS);
    assert_all(&taken);
    assert!(taken.iter().all(|message| message.early.is_none()), "never early");
    assert_eq!(accepted.unread(), Ok(0));
    assert_eq!(
        timing_threads(),
        0,
        "all sockets of this program are timed by their readers"
    );
}

#[test]
fn what_never_comes_is_given_up_when_the_next_one_is_due() {
    const LOST: u64 = 100;
    let lost = noise(LOST, 1316);
    let (_link, caller, accepted) = over_a_link(Duration::from_millis(200), move |payload, _| {
        if payload == lost { Fate::Lose } else { Fate::Pass }
    });
    let Some(accepted) = timed(accepted, ReaderTiming::OnTime) else {
        return;
    };
    send_all(&caller);
    let taken = take(&accepted, PACKETS - 1);
    let came: Vec<_> = (0..PACKETS).filter(|number| *number != LOST).collect();
    for (number, message) in came.iter().zip(&taken) {
        assert!(message.bytes == noise(*number, 1316), "message {number}");
        assert_eq!(message.early, None, "message {number}");
    }
    assert_eq!(accepted.stats().unwrap().total.receive_dropped.packets, 1);
}

#[test]
fn in_order_is_as_soon_as_they_come() {
    let latency = Duration::from_secs(5);
    let (caller, accepted) = pair(
        SrtListener::builder().options(options(latency)),
        SrtSocket::builder().options(options(latency)),
    );
    let Some(accepted) = timed(accepted, ReaderTiming::InOrder) else {
        return;
    };
    send_all(&caller);
    let taken = take(&accepted, PACKETS);
    assert_all(&taken);
    assert!(taken.iter().all(|message| message.early.is_some()));
}

#[test]
fn in_order_waits_for_what_is_sent_again() {
    let mut seen = HashSet::new();
    // Every tenth packet is lost the first time.
    let (_link, caller, accepted) = over_a_link(Duration::from_secs(5), move |payload, _| {
        match seen.insert(payload.to_vec()) && seen.len() % 10 == 0 {
            true => Fate::Lose,
            false => Fate::Pass,
        }
    });
    let Some(accepted) = timed(accepted, ReaderTiming::InOrder) else {
        return;
    };
    send_all(&caller);
    let taken = take(&accepted, PACKETS - 1);
    assert_all(&taken);
    let latest = taken.iter().map(|message| message.early).min().flatten();
    assert!(
        latest.is_some(),
        "a repeated packet is there long before it is due"
    );
}

#[test]
fn a_pause_ends_with_an_event() {
    let (caller, accepted) = pair(
        SrtListener::builder().options(options(Duration::from_millis(20))),
        SrtSocket::builder().options(options(Duration::from_millis(20))),
    );
    let Some(accepted) = timed(accepted, ReaderTiming::OnTime) else {
        return;
    };
    for number in 0..5 {
        assert_eq!(accepted.next_delivery(), None);
        caller.send(&noise(number, 1316)).unwrap();
        let taken = take(&accepted, 1);
        assert!(taken[0].bytes == noise(number, 1316));
    }
}

#[test]
fn what_has_come_is_there_when_the_peer_is_gone() {
    let (caller, accepted) = pair(
        SrtListener::builder().options(options(Duration::from_millis(500))),
        SrtSocket::builder().options(options(Duration::from_millis(500))),
    );
    let Some(accepted) = timed(accepted, ReaderTiming::OnTime) else {
        return;
    };
    caller.send(b"the last one").unwrap();
    support::wait_until("it to arrive", || accepted.unread() == Ok(1));
    drop(caller);
    support::wait_until("the peer to be gone", || {
        !accepted.id().state().eq(&srt_safe::SocketState::Connected)
    });
    let mut buffer = [0; 1500];
    support::wait_until("it to be due", || {
        accepted.next_delivery() == Some(Duration::ZERO)
    });
    assert_eq!(accepted.recv(&mut buffer), Ok(12));
    assert_eq!(
        accepted.recv(&mut buffer).unwrap_err().kind(),
        srt_safe::ErrorKind::ConnectionLost
    );
}

#[test]
fn a_socket_that_blocks_is_timed_by_libsrt() {
    // Nothing is sent, so no thread starts for it: another test of this process counts them.
    let (_caller, accepted) = support::live_pair();
    assert!(!accepted.time_by_reader(ReaderTiming::OnTime));
    assert_eq!(accepted.next_delivery(), None);
}

#[test]
fn statistics_tell_what_waits_for_its_time() {
    let latency = Duration::from_millis(300);
    let (caller, accepted) = pair(
        SrtListener::builder().options(options(latency)),
        SrtSocket::builder().options(options(latency)),
    );
    let Some(accepted) = timed(accepted, ReaderTiming::OnTime) else {
        return;
    };
    std::thread::scope(|scope| {
        scope.spawn(|| (0..5).for_each(|_| send_all(&caller)));
        let taken = take(&accepted, 4 * PACKETS);
        assert_eq!(taken.len() as u64, 4 * PACKETS);
        let waiting = accepted.stats().unwrap().receive_buffer.span;
        assert!(waiting > latency / 2, "{waiting:?} of {latency:?}");
        take(&accepted, PACKETS);
    });
}
