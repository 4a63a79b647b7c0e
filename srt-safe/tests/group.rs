//! Bonding over links that are UDP forwarders and can be cut.

// An installed library may lack bonding: tests/system.rs.
#![cfg(not(feature = "system"))]

#[path = "support/forwarder.rs"]
mod forwarder;

use std::time::{Duration, Instant};

use forwarder::Forwarder;
use srt_safe::{
    Epoll, ErrorKind, Events, GroupLink, GroupType, Interest, Member, MemberState, MemberTable,
    MessageOptions, Options, RejectReason, SocketState, SrtGroup, SrtListener, SrtSocket, Trigger,
};

const PATIENCE: Duration = Duration::from_secs(20);
const MESSAGE: usize = 1316;

fn options() -> Options {
    Options::new()
        .latency(Duration::from_millis(1500))
        .peer_idle_timeout(Duration::from_millis(2500))
}

fn bonded_listener() -> SrtListener {
    SrtListener::builder()
        .options(options().group_connect(true))
        .bind("127.0.0.1:0")
        .expect("a listener")
}

fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn link(group: &SrtGroup, token: i32) -> Option<Member> {
    let members = group.members().expect("an open group");
    members.into_iter().find(|member| member.token == token)
}

/// A message with its number; the other bytes derive from the number.
fn message(number: u32) -> [u8; MESSAGE] {
    let mut bytes = [0; MESSAGE];
    let (head, body) = bytes.split_at_mut(4);
    head.copy_from_slice(&number.to_be_bytes());
    let mut state = u64::from(number) | 1 << 40;
    for byte in body {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = state.to_le_bytes()[3];
    }
    bytes
}

/// Two links to one listener, and the two ends.
struct Bond {
    wires: [Forwarder; 2],
    sender: SrtGroup,
    receiver: SrtGroup,
    _listener: SrtListener,
}

fn bond(kind: GroupType) -> Bond {
    let listener = bonded_listener();
    let target = listener.local_addr().expect("bound");
    let wires = [Forwarder::to(target), Forwarder::to(target)];
    // Four times libsrt's default: a busy machine must not make a link unstable.
    let stable = Duration::from_millis(240);
    let sender = SrtGroup::builder(kind)
        .options(options().group_min_stable_timeout(stable))
        .link(GroupLink::new(wires[0].entry()).weight(20).token(100))
        .link(GroupLink::new(wires[1].entry()).weight(10).token(200))
        .connect()
        .expect("connects");
    let (accepted, _) = listener.accept().expect("a caller");
    let receiver = SrtGroup::try_from(accepted).expect("a group");
    until("both links connected on both sides", || {
        [&sender, &receiver]
            .iter()
            .all(|group| {
                let members = group.members().expect("open");
                members.len() == 2
                    && members
                        .iter()
                        .all(|member| member.socket_state == SocketState::Connected)
            })
            .then_some(())
    });
    Bond {
        wires,
        sender,
        receiver,
        _listener: listener,
    }
}

/// Sends at a live stream's even pace while `steps` run one after the other, each as soon as its condition holds, and
/// for a while after the last. Checks that every message arrives, in order and unchanged.
fn stream(bond: &Bond, steps: &mut [&mut dyn FnMut() -> bool]) {
    /// 5 Mb/s. Bonding judges a link by its silence, so bursts with pauses between them do not test it.
    const PACE: Duration = Duration::from_millis(2);
    const BETWEEN: u32 = 250;
    const LAST: u32 = u32::MAX;
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            bond.receiver
                .as_socket()
                .set_recv_timeout(Some(PATIENCE))
                .expect("a time-out");
            let mut buffer = [0; MESSAGE];
            for number in 0_u32.. {
                let len = bond.receiver.recv(&mut buffer).unwrap_or_else(|error| {
                    let (receiver, sender) = (bond.receiver.members(), bond.sender.members());
                    panic!("no message {number}: {error}; here {receiver:?}; there {sender:?}")
                });
                assert_eq!(len, MESSAGE);
                if buffer == message(LAST) {
                    return number;
                }
                assert_eq!(&buffer[..4], &number.to_be_bytes(), "in order, none missing");
                assert!(buffer == message(number), "message {number} is damaged");
            }
            unreachable!("the loop has no end")
        });
        let deadline = Instant::now() + PATIENCE;
        let mut steps = steps.iter_mut().enumerate().peekable();
        let (mut number, mut quiet) = (0, BETWEEN);
        while steps.peek().is_some() || quiet > 0 {
            bond.sender.send(&message(number)).expect("sends");
            number += 1;
            quiet = quiet.saturating_sub(1);
            if quiet == 0
                && let Some((index, step)) = steps.peek_mut()
            {
                if step() {
                    steps.next();
                    quiet = BETWEEN;
                } else {
                    let links = bond.sender.members();
                    assert!(Instant::now() < deadline, "never: step {index} {links:?}");
                }
            }
            std::thread::sleep(PACE);
        }
        // A live stream does not end with its last message: later ones push it out.
        while !reader.is_finished() {
            bond.sender.send(&message(LAST)).expect("sends");
            std::thread::sleep(PACE);
        }
        assert_eq!(reader.join().expect("the reader is content"), number);
    });
}

fn in_state(group: &SrtGroup, token: i32, state: MemberState) -> bool {
    link(group, token).is_some_and(|member| member.state == state)
}

fn is_gone(group: &SrtGroup, token: i32) -> bool {
    link(group, token).is_none_or(|member| member.state == MemberState::Broken)
}

#[test]
fn broadcast_goes_on_without_a_gap_when_a_link_is_cut_and_takes_it_back() {
    use MemberState::Running;
    let bond = bond(GroupType::Broadcast);
    let Bond { sender, wires, .. } = &bond;
    assert_eq!(sender.kind().expect("made so"), GroupType::Broadcast);
    assert_eq!(bond.receiver.kind().expect("has links"), GroupType::Broadcast);
    stream(
        &bond,
        &mut [
            &mut || {
                let both = in_state(sender, 100, Running) && in_state(sender, 200, Running);
                if both {
                    wires[0].cut();
                }
                both
            },
            &mut || is_gone(sender, 100) && in_state(sender, 200, Running),
            &mut || {
                wires[0].mend();
                let again = GroupLink::new(wires[0].entry()).token(101);
                let begun = sender.add_links(&[again]).expect("begins");
                let id = *begun[0].as_ref().expect("begins");
                SrtGroup::of(id) == Some(sender.id())
            },
            &mut || in_state(sender, 101, Running) && in_state(sender, 200, Running),
            // The repaired link alone carries the stream.
            &mut || {
                wires[1].cut();
                true
            },
            &mut || is_gone(sender, 200),
        ],
    );
}

#[test]
fn backup_switches_to_the_lighter_link_when_the_main_one_is_cut() {
    use MemberState::{Idle, Running};
    let bond = bond(GroupType::Backup);
    let Bond { sender, wires, .. } = &bond;
    assert_eq!(bond.receiver.kind().expect("has links"), GroupType::Backup);
    stream(
        &bond,
        &mut [
            &mut || {
                let as_weighed = in_state(sender, 100, Running) && in_state(sender, 200, Idle);
                if as_weighed {
                    assert_eq!(link(sender, 100).expect("there").weight, 20);
                    assert_eq!(link(sender, 200).expect("there").weight, 10);
                    wires[0].cut();
                }
                as_weighed
            },
            &mut || in_state(sender, 200, Running),
            &mut || is_gone(sender, 100),
        ],
    );
    let lost = sender.take_failures();
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert_eq!(lost[0].token(), 100);
    assert_eq!(lost[0].peer(), Some(wires[0].entry()));
    assert_eq!(lost[0].error().kind(), ErrorKind::ConnectionLost);
    assert!(sender.take_failures().is_empty());
}

#[test]
fn losing_every_link_ends_the_group_on_both_sides() {
    let bond = bond(GroupType::Broadcast);
    bond.sender.send(b"first").expect("sends");
    let mut buffer = [0; MESSAGE];
    assert_eq!(bond.receiver.recv(&mut buffer).expect("a message"), 5);
    for wire in &bond.wires {
        wire.cut();
    }
    bond.receiver
        .as_socket()
        .set_recv_timeout(Some(PATIENCE))
        .expect("a time-out");
    let error = bond.receiver.recv(&mut buffer).expect_err("no link is left");
    assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
    until("the sender notices", || {
        (bond.sender.state() != SocketState::Connected).then_some(())
    });
    bond.sender.close().expect("closes");
}

#[test]
fn messages_tell_the_state_of_the_links() {
    let bond = bond(GroupType::Broadcast);
    let mut table = MemberTable::with_capacity(2);
    let (sent, _) = bond
        .sender
        .send_with_members(b"hello", MessageOptions::new(), &mut table)
        .expect("sends");
    assert_eq!(sent, 5);
    let mut tokens: Vec<_> = table.iter().map(|member| member.token).collect();
    tokens.sort_unstable();
    assert_eq!(tokens, [100, 200]);

    let mut small = MemberTable::with_capacity(1);
    let mut buffer = [0; MESSAGE];
    let (received, info) = bond
        .receiver
        .recv_with_members(&mut buffer, &mut small)
        .expect("receives");
    assert_eq!(&buffer[..received], b"hello");
    assert!(info.packet_sequence.is_some());
    assert_eq!(
        (small.needed(), small.iter().len()),
        (2, 0),
        "two do not fit in one"
    );

    bond.sender.send(b"again").expect("sends");
    bond.receiver
        .recv_with_members(&mut buffer, &mut table)
        .expect("receives");
    assert_eq!(table.iter().len(), 2);
    assert!(table.iter().all(|member| member.peer.is_some()));

    // Counted once for the group, however many links carried it.
    let stats = bond.receiver.as_socket().stats().expect("open");
    assert_eq!(stats.total.received_unique.packets, 2, "{stats:?}");
}

#[test]
fn a_plain_caller_of_a_bonded_listener_is_no_group() {
    let listener = bonded_listener();
    let _caller = SrtSocket::connect(listener.local_addr().expect("bound")).expect("connects");
    let (accepted, _) = listener.accept().expect("a caller");
    let id = accepted.id();
    let error = SrtGroup::try_from(accepted).expect_err("a plain socket");
    assert_eq!(error.into_socket().id(), id);
}

#[test]
fn a_listener_without_groupconnect_refuses_with_its_reason() {
    let listener = SrtListener::bind("127.0.0.1:0").expect("a listener");
    let error =
        SrtGroup::connect(GroupType::Broadcast, listener.local_addr().expect("bound")).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::ConnectionRejected, "{error}");
    assert_eq!(
        error.reject_reason().map(RejectReason::value),
        Some(15),
        "SRT_REJ_GROUP: {error}"
    );
}

#[test]
fn a_group_connects_without_waiting_and_tells_of_failed_links() {
    let listener = bonded_listener();
    let refusing = SrtListener::bind("127.0.0.1:0").expect("a listener");
    let group = SrtGroup::builder(GroupType::Broadcast)
        .options(options())
        .link(GroupLink::new(refusing.local_addr().expect("bound")).token(1))
        .link(GroupLink::new(listener.local_addr().expect("bound")).token(2))
        .start_connect()
        .expect("begins");
    let mut epoll = Epoll::new().expect("an epoll");
    epoll
        .registry()
        .add(&group, Interest::WRITABLE, Trigger::Level)
        .expect("added");
    let mut events = Events::with_capacity(4);
    let deadline = Instant::now() + PATIENCE;
    loop {
        epoll.wait(&mut events, Some(PATIENCE)).expect("waits");
        if events
            .iter()
            .any(|event| event.socket() == group.id() && event.is_writable())
        {
            break;
        }
        assert!(Instant::now() < deadline, "never writable");
    }
    group.send(b"over the second link").expect("sends");
    let failure = until("the first link's failure", || group.take_failures().pop());
    assert_eq!(failure.token(), 1);
    assert_eq!(failure.error().kind(), ErrorKind::ConnectionRejected);
    let error = group.recv(&mut [0; MESSAGE]).expect_err("nothing sent");
    assert!(error.is_would_block(), "{error}");
}

#[test]
fn what_libsrt_does_not_take_is_refused_with_words() {
    let refused = |link: GroupLink| {
        SrtGroup::builder(GroupType::Backup)
            .link(link)
            .connect()
            .expect_err("refused")
    };
    let peer = "127.0.0.1:9".parse().expect("an address");
    for (link, word) in [
        (GroupLink::new(peer).weight(40_000), "32767"),
        (GroupLink::new(peer).token(-2), "negative"),
        (
            GroupLink::new(peer).source("[::1]:0".parse().expect("an address")),
            "family",
        ),
        (
            GroupLink::new(peer).options(Options::new().latency(Duration::from_millis(500))),
            "cannot differ",
        ),
    ] {
        let error = refused(link);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(word), "{error}");
    }
    let none = SrtGroup::builder(GroupType::Backup)
        .connect()
        .expect_err("no links");
    assert_eq!(none.kind(), ErrorKind::InvalidInput);
}

#[test]
fn links_have_options_and_source_addresses_of_their_own() {
    let listener = bonded_listener();
    let link = GroupLink::new(listener.local_addr().expect("bound"))
        .source("127.0.0.1:0".parse().expect("an address"))
        .options(
            Options::new()
                .loss_max_ttl(40)
                .connect_timeout(Duration::from_millis(1500)),
        );
    let group = SrtGroup::builder(GroupType::Backup)
        .options(options())
        .link(link)
        .connect()
        .expect("connects");
    assert_eq!(
        group
            .as_socket()
            .option::<srt_safe::opt::LossMaxTtl>()
            .expect("readable"),
        40
    );
    assert!(SrtGroup::is_supported());
}
