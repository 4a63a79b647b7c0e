//! Faults of libsrt's bonding that the edit `bonding-races` fixes. Without it the first test here fails most of the
//! time, and the third and later ones always. The second fails about once in 200 runs on a busy machine, or always with
//! a sleep before libsrt sets the state of the link's socket.
#![cfg(not(feature = "system"))]

#[path = "support/forwarder.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod forwarder;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use forwarder::Forwarder;
use srt_safe::{
    Epoll, ErrorKind, Events, GroupLink, GroupType, Interest, Member, MemberState, Options, SocketState,
    SrtGroup, SrtListener, SrtSocket, Trigger,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Nothing is given up or times out because the machine is busy, which these tests ensure.
fn options() -> Options {
    Options::new()
        .latency(Duration::from_millis(60))
        .too_late_drop(false)
        .connect_timeout(PATIENCE)
        .peer_idle_timeout(PATIENCE)
}

fn listener() -> SrtListener {
    SrtListener::builder()
        .options(options().group_connect(true))
        .bind("127.0.0.1:0")
        .expect("a listener")
}

fn pair() -> (SrtListener, SrtGroup, SrtGroup) {
    let listener = listener();
    let sender = SrtGroup::builder(GroupType::Broadcast)
        .options(options())
        .link(GroupLink::new(listener.local_addr().expect("bound")))
        .connect()
        .expect("connects");
    let (accepted, _) = listener.accept_timeout(PATIENCE).expect("a caller");
    let receiver = SrtGroup::try_from(accepted).expect("a group");
    (listener, sender, receiver)
}

/// Runs `test` on more threads than there are cores, so that each is preempted at arbitrary places.
fn crowd(test: impl Fn(usize) + Sync) {
    let threads = 4 * thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for number in 0..threads {
            let test = &test;
            scope.spawn(move || test(number));
        }
    });
}

/// A link that connected before `srt_connect_group` had looked again stayed pending forever, and carried nothing.
#[test]
fn a_link_that_connects_at_once_is_used() {
    crowd(|_| {
        for _ in 0..5 {
            let (listener, sender, _receiver) = pair();
            let link = GroupLink::new(listener.local_addr().expect("bound"));
            let done = AtomicBool::new(false);
            thread::scope(|scope| {
                // Keeps the group's lock busy, which srt_connect_group needs midway.
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        sender.members().expect("open");
                        thread::yield_now();
                    }
                });
                let _end = SetOnDrop(&done);
                let waiting = (0..20).find_map(|_| {
                    sender.add_links(std::slice::from_ref(&link)).expect("begins");
                    still_unused(&sender)
                });
                assert_eq!(waiting, None);
            });
        }
    });
}

/// Ends the other thread even if this one panics.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A link that is not used after a while.
fn still_unused(group: &SrtGroup) -> Option<Member> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let waiting = unused(group);
        if waiting.is_none() || Instant::now() > deadline {
            return waiting;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn unused(group: &SrtGroup) -> Option<Member> {
    let members = group.members().expect("open");
    members
        .into_iter()
        .find(|member| member.state == MemberState::Pending)
}

/// A group that had just become writable could refuse a message, and was no longer writable. And a group that was added
/// to an epoll while its link changed from connecting to connected was reported as broken, and so as writable.
#[test]
fn a_group_that_is_writable_takes_a_message() {
    crowd(|_| {
        let listener = listener();
        let link = GroupLink::new(listener.local_addr().expect("bound"));
        for _ in 0..20 {
            let group = SrtGroup::builder(GroupType::Broadcast)
                .options(options())
                .link(link.clone())
                .start_connect()
                .expect("begins");
            let mut epoll = Epoll::new().expect("an epoll");
            epoll
                .registry()
                .add(&group, Interest::WRITABLE, Trigger::Level)
                .expect("added");
            let mut events = Events::with_capacity(4);
            let deadline = Instant::now() + PATIENCE;
            while !events.iter().any(|event| event.is_writable()) {
                assert!(Instant::now() < deadline, "never writable");
                epoll.wait(&mut events, Some(PATIENCE)).expect("waits");
            }
            if let Err(error) = group.send(b"a message") {
                panic!(
                    "{error:?}, although writable: {:?}, {:?}",
                    events.iter().collect::<Vec<_>>(),
                    group.members()
                );
            }
            listener.accept_timeout(PATIENCE).expect("a caller");
        }
    });
}

/// The last messages before a pause stayed in the buffer until the next one came.
#[test]
fn the_last_messages_before_a_pause_arrive() {
    crowd(|_| {
        let (_listener, sender, receiver) = pair();
        receiver
            .as_socket()
            .set_recv_timeout(Some(PATIENCE))
            .expect("a time-out");
        let mut buffer = [0; 1316];
        for round in 0..15_u32 {
            thread::scope(|scope| {
                let receiver = &receiver;
                scope.spawn(move || {
                    for number in 0..100 {
                        receiver
                            .recv(&mut buffer)
                            .unwrap_or_else(|error| panic!("round {round}, message {number}: {error}"));
                    }
                });
                for _ in 0..100 {
                    sender.send(b"a message").expect("sends");
                    thread::sleep(Duration::from_micros(500));
                }
            });
        }
    });
}

/// A link whose delay is larger than the latency only has packets that the other link has delivered. When the other
/// link stopped, the group never became readable again.
#[test]
fn a_link_that_is_behind_carries_on_alone() {
    let listener = listener();
    let target = listener.local_addr().expect("bound");
    let (prompt, late) = (
        Forwarder::to(target),
        Forwarder::delayed(target, Duration::from_millis(400)),
    );
    let sender = SrtGroup::builder(GroupType::Broadcast)
        .options(options())
        .link(GroupLink::new(prompt.entry()))
        .link(GroupLink::new(late.entry()))
        .connect()
        .expect("connects");
    let (accepted, _) = listener.accept_timeout(PATIENCE).expect("a caller");
    let receiver = SrtGroup::try_from(accepted).expect("a group");
    receiver.set_nonblocking().expect("open");
    let mut epoll = Epoll::new().expect("an epoll");
    epoll
        .registry()
        .add(&receiver, Interest::READABLE, Trigger::Level)
        .expect("added");
    let mut events = Events::with_capacity(4);
    let mut buffer = [0; 1316];
    let deadline = Instant::now() + 3 * PATIENCE;
    let (mut sent, mut last, mut cut_at) = (0_u32, 0, None);
    while cut_at.is_none_or(|cut| last < cut + 150) {
        assert!(
            Instant::now() < deadline,
            "sent {sent}, received {last}, cut at {cut_at:?}"
        );
        sent += 1;
        sender.send(&sent.to_be_bytes()).expect("one link is left");
        epoll
            .wait(&mut events, Some(Duration::from_millis(2)))
            .expect("waits");
        while !events.is_empty() && receiver.recv(&mut buffer).is_ok() {
            last = u32::from_be_bytes(buffer[..4].try_into().expect("four bytes"));
        }
        let both = receiver.members().is_ok_and(|members| {
            members.len() == 2
                && members
                    .iter()
                    .all(|member| member.socket_state == SocketState::Connected)
        });
        // By then the late link has brought many packets, all of them duplicates.
        if both && last > 400 && cut_at.is_none() {
            prompt.cut();
            cut_at = Some(sent);
        }
    }
}

/// A blocked reader did not return before the caller was accepted.
#[test]
fn a_caller_in_the_queue_does_not_keep_a_reader_from_its_time_out() {
    let (listener, _sender, receiver) = pair();
    let _waiting = SrtSocket::connect(listener.local_addr().expect("bound")).expect("connects");
    receiver
        .as_socket()
        .set_recv_timeout(Some(Duration::from_millis(200)))
        .expect("a time-out");
    let (done, is_done) = std::sync::mpsc::channel();
    let reader = thread::spawn(move || done.send(receiver.recv(&mut [0; 1316])));
    let result = is_done
        .recv_timeout(PATIENCE)
        .expect("the reader returns")
        .expect_err("nobody sends");
    // libsrt has the same code here for a time-out and for a non-blocking socket.
    assert!(
        matches!(result.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock),
        "{result}"
    );
    reader.join().expect("no panic").expect("the test waits");
}
