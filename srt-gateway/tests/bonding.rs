//! Bonded callers of a gateway, over links that can be cut.

#[path = "../../srt-safe/tests/support/forwarder.rs"]
mod forwarder;
mod peers;
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the end-to-end tests' own; a part is used here"
)]
#[path = "../../tests/support/raw/mod.rs"]
mod raw;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use forwarder::Forwarder;
use peers::{Call, Sink, Source, assert_contiguous, gateway, port, wait_state, wait_until};
use raw::{Control, Extension, RawPeer, Refused};
use srt_gateway::{EndpointState, Gateway, Role};
use srt_safe::{GroupLink, GroupType, MemberState, Options, SrtGroup, StreamId};

const PUBLISH: &str = "#!::r=a,m=publish";
const PLAY: &str = "#!::r=a,m=request";

fn options(streamid: &str) -> Options {
    Options::new()
        .stream_id(StreamId::new(streamid).unwrap())
        .latency(Duration::from_millis(800))
        .peer_idle_timeout(Duration::from_millis(2_000))
}

fn bonded(port_keys: &str, stream: &str) -> Gateway {
    gateway(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\ngroupconnect = true\npeer_idle_timeout = 2\n{port_keys}\n[streams.a]\n{stream}\n[streams.b]\n"
    ))
}

fn wires(gateway: &Gateway) -> [Forwarder; 2] {
    [Forwarder::to(port(gateway)), Forwarder::to(port(gateway))]
}

fn call(kind: GroupType, streamid: &str, wires: &[Forwarder; 2]) -> srt_safe::Result<SrtGroup> {
    let weights = wires.iter().zip([20, 10]);
    weights
        .fold(
            SrtGroup::builder(kind).options(options(streamid)),
            |group, (wire, weight)| {
                group.link(GroupLink::new(wire.entry()).weight(weight).token(weight.into()))
            },
        )
        .connect()
}

fn connected(group: &SrtGroup) -> usize {
    let links = group.members().unwrap_or_default();
    let works = |state| matches!(state, MemberState::Idle | MemberState::Running);
    links.iter().filter(|link| works(link.state)).count()
}

#[track_caller]
fn wait_links(gateway: &Gateway, group: &SrtGroup) {
    let end = Instant::now() + peers::PATIENCE;
    while connected(group) < 2 {
        let told = || (group.members(), group.take_failures(), gateway.rejections());
        assert!(Instant::now() < end, "not both links: {:?}", told());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn of_role(gateway: &Gateway, role: Role) -> usize {
    let sessions = gateway.sessions();
    sessions.iter().filter(|session| session.role == role).count()
}

/// A bonded publisher whose links are cut one after the other while the other one works.
fn publishes_without_a_gap(kind: GroupType) {
    let gateway = bonded("max_connections = 2", "");
    let wires = wires(&gateway);
    let group = call(kind, PUBLISH, &wires).unwrap();
    wait_links(&gateway, &group);
    let members = group.id();
    let _source = Source::start(1, move |message| group.send(message).is_ok());
    let sink = Sink::play(port(&gateway), &Call::named(PLAY));
    sink.wait_more(300);
    assert_eq!(of_role(&gateway, Role::Publisher), 1);
    // The slot is taken, and a bonded caller gets no extra one.
    let refused = SrtGroup::builder(kind)
        .options(options(PUBLISH))
        .link(GroupLink::new(port(&gateway)))
        .connect()
        .unwrap_err();
    assert_eq!(
        refused.reject_reason().map(srt_safe::RejectReason::value),
        Some(1402)
    );
    wires[0].cut();
    let alive = || {
        let links = SrtGroup::members_of(members).unwrap();
        links
            .iter()
            .filter(|link| link.state == MemberState::Running)
            .count()
    };
    wait_until("the cut to be noticed", || {
        SrtGroup::members_of(members).unwrap().len() == 1 && alive() == 1
    });
    sink.wait_more(300);
    // The lost link comes back, and carries the stream alone.
    wires[0].mend();
    SrtGroup::add_links_to(members, &[GroupLink::new(wires[0].entry()).weight(20)]).unwrap();
    wait_until("the link again", || {
        let links = SrtGroup::members_of(members).unwrap();
        links.len() == 2
            && links
                .iter()
                .all(|link| matches!(link.state, MemberState::Idle | MemberState::Running))
    });
    sink.wait_more(300);
    wires[1].cut();
    wait_until("the second cut to be noticed", || {
        SrtGroup::members_of(members).unwrap().len() == 1 && alive() == 1
    });
    sink.wait_more(300);
    assert_eq!(of_role(&gateway, Role::Publisher), 1);
    assert_contiguous(&sink.finish(), 1_200);
}

#[test]
fn a_broadcast_publisher_survives_the_loss_of_either_link() {
    publishes_without_a_gap(GroupType::Broadcast);
}

#[test]
fn a_backup_publisher_survives_the_loss_of_either_link() {
    publishes_without_a_gap(GroupType::Backup);
}

#[test]
fn each_link_is_let_in_by_itself_and_for_the_same_thing() {
    let gateway = bonded("max_connections = 1", "password = \"letmein\"\nmax_viewers = 1");
    let to = port(&gateway);
    let with = |streamid: &str| {
        SrtGroup::builder(GroupType::Broadcast)
            .options(options(streamid))
            .link(GroupLink::new(to))
            .connect()
    };
    let code = |called: srt_safe::Result<SrtGroup>| called.unwrap_err().reject_reason().unwrap().value();
    assert_eq!(code(with("#!::r=a,m=publish,password=wrong")), 1401);
    let group = with("#!::r=a,m=publish,password=letmein").unwrap();
    wait_until("one session", || of_role(&gateway, Role::Publisher) == 1);
    // A full port accepts a further link of a connected group.
    group.add_links(&[GroupLink::new(to)]).unwrap();
    wait_links(&gateway, &group);
    wait_until("the links' figures", || {
        let sessions = gateway.sessions();
        sessions
            .iter()
            .any(|session| session.links.len() == 2 && session.links.iter().all(|link| link.peer.is_some()))
    });
    assert_eq!(code(with("#!::r=a,m=publish,password=letmein")), 1402);
    drop(group);
    wait_until("no session", || gateway.sessions().is_empty());
    // The slot is free again, for a viewer that is bonded too.
    let viewer = with(PLAY).unwrap();
    wait_until("a viewer", || of_role(&gateway, Role::Viewer) == 1);
    drop(viewer);
}

/// The working links of all sessions of a gateway.
fn links(gateway: &Gateway) -> usize {
    let works = |state| matches!(state, MemberState::Idle | MemberState::Running);
    let sessions = gateway.sessions();
    sessions
        .iter()
        .flat_map(|session| &session.links)
        .filter(|link| works(link.state))
        .count()
}

#[track_caller]
fn wait_working(gateways: &[&Gateway], wanted: usize) {
    let end = Instant::now() + 2 * peers::PATIENCE;
    while !gateways.iter().all(|gateway| links(gateway) == wanted) {
        let told = || {
            gateways
                .iter()
                .map(|gateway| {
                    let links: Vec<_> = gateway
                        .sessions()
                        .into_iter()
                        .map(|session| session.links)
                        .collect();
                    (links, gateway.endpoints(), gateway.rejections())
                })
                .collect::<Vec<_>>()
        };
        assert!(Instant::now() < end, "not {wanted} links: {:#?}", told());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A gateway that pushes over two links to another one, with a cut in each.
fn pushes_without_a_gap(kind: &str) {
    let next = bonded("", "");
    let wires = wires(&next);
    let [one, two] = wires.each_ref().map(Forwarder::entry);
    let first = gateway(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\n[streams.a]\noutputs = [{{ url = \"srt://*\", type = \"{kind}\", nodes = [\"{one}?weight=20\", \"{two}?weight=10\"], \
         streamid = \"{PUBLISH}\", latency = 800, peer_idle_timeout = 2 }}]\n"
    ));
    let _source = Source::publish(1, port(&first), &Call::named(PUBLISH));
    wait_state(&first, Role::Viewer, 0, EndpointState::Live);
    let sink = Sink::play(port(&next), &Call::named(PLAY));
    sink.wait_more(200);
    for wire in &wires {
        wait_working(&[&first, &next], 2);
        wire.cut();
        wait_working(&[&first], 1);
        sink.wait_more(200);
        wire.mend();
    }
    wait_working(&[&first], 2);
    sink.wait_more(200);
    let sessions = next.sessions();
    assert_eq!(
        sessions
            .iter()
            .filter(|session| session.role == Role::Publisher)
            .count(),
        1
    );
    assert!(!sessions.iter().any(|session| session.standby));
    assert_contiguous(&sink.finish(), 800);
}

#[test]
fn a_broadcast_push_survives_cuts_and_takes_its_links_back() {
    pushes_without_a_gap("broadcast");
}

#[test]
fn a_backup_push_survives_cuts_and_takes_its_links_back() {
    pushes_without_a_gap("backup");
}

#[test]
fn a_bonded_input_brings_a_stream() {
    let origin = bonded("", "");
    let wires = wires(&origin);
    let _source = Source::publish(1, port(&origin), &Call::named(PUBLISH));
    let edge = gateway(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\n[streams.a]\ninputs = [\"srt://*?type=broadcast&nodes={},localhost:{}&streamid={PLAY}&latency=800&peer_idle_timeout=2\"]\n",
        wires[0].entry(),
        wires[1].entry().port()
    ));
    let sink = Sink::play(port(&edge), &Call::named(PLAY));
    sink.wait_more(200);
    wait_working(&[&edge], 2);
    wires[0].cut();
    wait_working(&[&edge], 1);
    sink.wait_more(200);
    assert_eq!(of_role(&origin, Role::Viewer), 1);
    assert_contiguous(&sink.finish(), 400);
}

/// A link of the only group in this test.
fn raw_link(gateway: &Gateway) -> Result<RawPeer, Refused> {
    raw_link_to(port(gateway))
}

fn raw_link_to(to: SocketAddr) -> Result<RawPeer, Refused> {
    const GROUP: u32 = 0x4000_0007;
    const BROADCAST: u8 = 1;
    let mut peer = RawPeer::new(to);
    let conclusion = peer.conclusion(peer.induce().cookie, PLAY);
    peer.conclude(&conclusion.with(Extension::group(GROUP, BROADCAST, 0, 0)))?;
    Ok(peer)
}

#[test]
fn group_has_sixteen_links_at_most() {
    // None of the links breaks during the test because of silence.
    let gateway = gateway(
        "[limits]\nhandshakes_per_second_per_ip = 0\n[srt]\nport = \"127.0.0.1:0\"\ngroupconnect = true\n\
         peer_idle_timeout = 60\n[srt_play]\nport = \"127.0.0.1:0\"\ngroupconnect = true\ndeny = [\"127.0.0.1\"]\n[streams.a]\n",
    );
    let mut links: Vec<_> = (0..16)
        .map(|number| raw_link(&gateway).unwrap_or_else(|refused| panic!("link {number}: {refused}")))
        .collect();
    assert_eq!(raw_link(&gateway).err(), Some(Refused(1402)));
    wait_until("the refusal to be recorded", || {
        let kept = gateway.rejections();
        kept.iter().any(|kept| kept.reason.contains("has 16 links"))
    });
    // Callers that the port denies cannot learn how many links a group has.
    let closed = gateway.listening()[1].addr;
    assert_eq!(raw_link_to(closed).err(), Some(Refused(1403)));
    let one = links.pop().unwrap();
    one.send(Control::shutdown());
    let mut next = None;
    wait_until("room for another link", || {
        next = raw_link(&gateway).ok();
        next.is_some()
    });
    assert_eq!(raw_link(&gateway).err(), Some(Refused(1402)));
    assert_eq!(gateway.sessions().len(), 1);
}

#[test]
fn a_bonded_caller_of_a_port_for_single_links_is_told_what_to_change() {
    let input = std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let gateway = gateway(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\n[streams.a]\n[streams.b]\ninputs = [\"srt://{input}?mode=listener\"]\n"
    ));
    wait_state(&gateway, Role::Publisher, 0, EndpointState::Listening);
    for to in [port(&gateway), input] {
        let before = gateway.rejections().len();
        let group = SrtGroup::builder(GroupType::Broadcast).options(options(PUBLISH));
        group.link(GroupLink::new(to)).connect().unwrap_err();
        wait_until("the record", || gateway.rejections().len() > before);
        let rejected = gateway.rejections().pop().unwrap();
        assert!(
            rejected.code == 1400 && rejected.reason.contains("groupconnect"),
            "{rejected:?}"
        );
    }
    assert!(gateway.sessions().is_empty());
}
