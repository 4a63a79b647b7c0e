//! A bonded sender as a separate process (srt-safe's example), over two paths, one of which fails during the stream.

use crate::common::{DEADLINE, LATENCY, options};
use srt_e2e::client::Viewer;
use srt_e2e::gateway::example;
use srt_e2e::impair::{Impairment, Way};
use srt_e2e::in_process::TestGateway;
use srt_e2e::pace::{Feeder, Tail};
use srt_e2e::peers::Process;
use srt_e2e::source::{StampedTs, Verifier};
use srt_gateway::config::PortKind;
use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;

/// The example sends no streamid: the port determines stream and mode.
const PORTS: &str = r#"
[streams.cam.srt_publish]
port = "127.0.0.1:0"
groupconnect = true
latency = 800
[streams.cam.srt_play]
port = "127.0.0.1:0"
"#;

/// Waits until the sender reports this state of its link to `path`.
#[track_caller]
fn wait_link(sender: &Process, path: SocketAddr, is: &[&str]) {
    let link = format!("link {path}: ");
    sender.wait_for_line(DEADLINE, &format!("{link}{is:?}"), |line| {
        line.strip_prefix(&link).is_some_and(|state| is.contains(&state))
    });
}

/// The first link, which a backup group prefers, is cut while the stream runs.
fn loses_a_link_and_nothing_else(kind: &str, seed: u64) {
    let gateway = TestGateway::start(PORTS);
    let port = gateway.addr_of(PortKind::Publish, "cam");
    let paths = [1, 2].map(|path| Impairment::builder().seed(seed + path).start(port));
    let play = gateway.addr_of(PortKind::Play, "cam");
    let viewer = Viewer::connect(play, "", options().latency(LATENCY));
    gateway.wait_viewers("cam", 1, DEADLINE);

    let mut command = Command::new(example("bonding"));
    command.arg(kind);
    command.args(paths.each_ref().map(|path| path.addr().to_string()));
    let (sender, mut stdin) = Process::spawn_fed("bonding", command);
    // Ten seconds of 5 Mb/s: longer than the time-out of a lost link (5 s).
    let source = StampedTs::generate(seed, 33_250, 5_000_000);
    let stream = source.bytes();
    let feeder = Feeder::start(source.bytes(), source.rate(), Tail::NullPackets, move |chunk| {
        stdin.write_all(chunk)
    });
    wait_link(&sender, paths[0].addr(), &["running"]);
    wait_link(&sender, paths[1].addr(), &["idle", "running"]);
    viewer.wait_received(stream.len() / 5, DEADLINE);
    paths[0].cut();
    wait_link(&sender, paths[0].addr(), &["broken", "gone"]);
    assert!(!feeder.is_through(), "the link was given up too late to tell");
    viewer.wait_received(stream.len(), DEADLINE);

    assert!(paths[0].counters(Way::ToServer).cut > 0);
    let publishers = gateway.sessions().into_iter();
    let publishers = publishers.filter(|session| session.role == srt_gateway::Role::Publisher);
    assert_eq!(publishers.count(), 1);
    drop(feeder);
    let mut verifier = Verifier::new(&source);
    verifier.feed(&viewer.finish().bytes[..stream.len()]);
    verifier.finish().assert_exact(source.packets());
}

#[test]
fn broadcast() {
    loses_a_link_and_nothing_else("broadcast", 10);
}

#[test]
fn backup() {
    loses_a_link_and_nothing_else("backup", 20);
}
