//! Groups that are closed while other threads, on this side and the peer's, use them. Without the edit `closing-groups`
//! these tests mostly read memory after it was freed: `cargo xtask asan` detects that.
#![cfg(not(feature = "system"))]

mod support;

use std::{
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use srt_safe::{
    ErrorKind, GroupLink, GroupType, MemberTable, MessageOptions, Options, SrtGroup, SrtListener, SrtSocket,
    opt,
};
use support::{PATIENCE, V4, addr_of};

fn options() -> Options {
    Options::new()
        .latency(Duration::from_millis(60))
        .connect_timeout(PATIENCE)
}

fn bonded_listener(options: Options) -> SrtListener {
    SrtListener::builder()
        .options(options.group_connect(true))
        .bind(V4)
        .expect("a listener")
}

fn group_of_two(kind: GroupType, listener: &SrtListener, options: Options) -> (SrtGroup, SrtGroup) {
    try_group_of_two(kind, listener, options).expect("a caller")
}

fn try_group_of_two(
    kind: GroupType,
    listener: &SrtListener,
    options: Options,
) -> srt_safe::Result<(SrtGroup, SrtGroup)> {
    let addr = addr_of(listener);
    let sender = SrtGroup::builder(kind)
        .options(options)
        .link(GroupLink::new(addr).weight(2))
        .link(GroupLink::new(addr).weight(1))
        .connect()?;
    let (accepted, _) = listener.accept_timeout(PATIENCE)?;
    Ok((sender, SrtGroup::try_from(accepted).expect("a group")))
}

/// What a blocked call returns when another thread shuts its group down.
fn interrupted<T: Send>(group: &SrtGroup, call: impl FnOnce(&SrtGroup) -> T + Send) -> T {
    let (told, ended) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || told.send(call(group)));
        // Usually long enough for the call to block. If it does not, it fails at once, which is as good.
        thread::sleep(Duration::from_millis(100));
        group.as_socket().shutdown().expect("open until now");
        match ended.recv_timeout(PATIENCE) {
            Ok(returned) => returned,
            // The scope would wait for the thread forever.
            Err(_) => {
                eprintln!("the call never returned");
                std::process::abort();
            }
        }
    })
}

#[test]
fn shutdown_ends_a_blocked_recv_on_either_side() {
    for kind in [GroupType::Broadcast, GroupType::Backup] {
        let listener = bonded_listener(options());
        let (caller, accepted) = group_of_two(kind, &listener, options());
        for group in [accepted, caller] {
            let error = interrupted(&group, |group| group.recv(&mut [0; 1500])).expect_err("closed");
            // The second error: the call began after the group was closed.
            assert!(
                matches!(error.kind(), ErrorKind::ConnectionLost | ErrorKind::NotConnected),
                "{error}"
            );
        }
    }
}

/// A call that had to wait for a link wrote the state of all links into a table with room for fewer.
#[test]
fn a_small_table_stays_small_when_sending_has_to_wait() {
    // On a busy machine, a link that falls behind can be given up before a call has to wait.
    let waited = (0..10).any(|_| send_until_it_waits());
    assert!(waited, "no call had to wait");
}

/// Sends into a group whose buffers are full, and returns whether a call had to wait.
fn send_until_it_waits() -> bool {
    let narrow = options()
        .set(opt::FlowWindow, 32)
        .set(opt::ReceiveBuffer, 32 * 1472)
        .set(opt::SendBuffer, 32 * 1472)
        .too_late_drop(false);
    let listener = bonded_listener(narrow.clone());
    // Only the accepted side waits: a caller with a full buffer gets an error that the connection is lost.
    let (receiver, sender) = group_of_two(GroupType::Backup, &listener, narrow);
    // The accepted group exists from its first link on; the table is about two.
    let end = Instant::now() + PATIENCE;
    while sender.members().expect("open").len() < 2 {
        assert!(Instant::now() < end, "the second link never joined");
        thread::sleep(Duration::from_millis(1));
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| read_until(&receiver, &done));
        let _end = SetOnDrop(&done);
        // libsrt may wait for a link that it never reports as ready.
        let socket = sender.as_socket();
        socket
            .set_send_timeout(Some(Duration::from_millis(30)))
            .expect("open");
        let mut table = MemberTable::with_capacity(1);
        let mut waited = false;
        for number in 0..200 {
            let began = Instant::now();
            match sender.send_with_members(&[7; 1316], MessageOptions::new(), &mut table) {
                Ok(_) => assert_eq!((table.needed(), table.iter().len()), (2, 0), "message {number}"),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => {}
                    ErrorKind::ConnectionLost => break,
                    _ => panic!("message {number}: {error}"),
                },
            }
            waited |= began.elapsed() >= Duration::from_millis(10);
        }
        waited
    })
}

fn read_until(receiver: &SrtGroup, done: &AtomicBool) {
    receiver
        .as_socket()
        .set_recv_timeout(Some(Duration::from_millis(100)))
        .expect("open");
    let mut buffer = [0; 1500];
    while !done.load(Ordering::Relaxed) {
        receiver.recv(&mut buffer).ok();
    }
}

/// Ends the other thread even if this one panics.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Several threads use both sides of a group while links break and both sides close. Returns false if the machine was
/// too busy for the group to connect in time.
fn one_life(kind: GroupType, round: usize) -> bool {
    let listener = bonded_listener(options());
    let Ok((caller, accepted)) = try_group_of_two(kind, &listener, options()) else {
        return false;
    };
    let link = GroupLink::new(addr_of(&listener)).weight(3);
    let turns = AtomicUsize::new(0);
    thread::scope(|scope| {
        let used = [&caller, &accepted];
        for group in used {
            let turns = &turns;
            scope.spawn(move || {
                while group.send(&[1; 500]).is_ok() {
                    turns.fetch_add(1, Ordering::Relaxed);
                    thread::yield_now();
                }
                turns.fetch_add(1000, Ordering::Relaxed);
            });
            scope.spawn(move || {
                let mut table = MemberTable::with_capacity(1);
                let mut buffer = [0; 1500];
                while group.recv_with_members(&mut buffer, &mut table).is_ok() {}
            });
            scope.spawn(move || {
                while group.members().is_ok() {
                    thread::yield_now();
                }
            });
        }
        scope.spawn(|| (0..6).all(|_| caller.add_links(&[link.clone(), link.clone()]).is_ok()));
        // Rounds differ in when they end, and in which side ends first.
        while turns.load(Ordering::Relaxed) < 20 * (round % 8) {
            thread::yield_now();
        }
        let (first, second) = if round.is_multiple_of(2) {
            (&caller, &accepted)
        } else {
            (&accepted, &caller)
        };
        scope.spawn(|| first.as_socket().shutdown());
        scope.spawn(|| second.as_socket().shutdown());
    });
    true
}

#[test]
fn groups_close_while_everything_is_in_use() {
    let lives = AtomicUsize::new(0);
    for round in 0..8 {
        thread::scope(|scope| {
            for kind in [GroupType::Broadcast, GroupType::Backup] {
                let lives = &lives;
                scope.spawn(move || lives.fetch_add(usize::from(one_life(kind, round)), Ordering::Relaxed));
            }
        });
    }
    assert!(lives.into_inner() >= 12, "groups of the 16 that connected");
}

/// The peer sends its SHUTDOWN at the moment at which this side closes its group.
#[test]
fn both_sides_close_at_once() {
    for kind in [GroupType::Broadcast, GroupType::Backup] {
        let mut connected = 0;
        for round in 0..20 {
            let listener = bonded_listener(options());
            let (caller, accepted) = match try_group_of_two(kind, &listener, options()) {
                Ok(both) => both,
                // The machine was too busy for the group to connect in time.
                Err(error) => {
                    eprintln!("{kind:?}, round {round}: {error}");
                    continue;
                }
            };
            connected += 1;
            let barrier = std::sync::Barrier::new(2);
            thread::scope(|scope| {
                for group in [caller, accepted] {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        drop(SrtSocket::from(group));
                    });
                }
            });
        }
        assert!(connected >= 15, "groups of the 20 that connected");
    }
}
