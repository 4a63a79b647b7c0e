//! Link-local IPv6 addresses with their interface (`[fe80::1%eth0]:9000`) wherever an address is allowed: over a pair
//! of interfaces in a network namespace that have no other addresses.

#[allow(
    dead_code,
    unreachable_pub,
    reason = "the end-to-end tests' own; a part is used here"
)]
#[path = "../../tests/support/namespace.rs"]
mod namespace;
mod peers;

use std::{
    fs,
    net::{SocketAddr, SocketAddrV6, UdpSocket},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use namespace::Namespace;
use peers::{Call, Sink, Source, assert_contiguous, endpoint, gateway, wait_for, wait_state, wait_until};
use srt_gateway::{EndpointState, Role};

const PLAY: &str = "#!::r=x,m=request";
const PUBLISH: &str = "#!::r=x,m=publish";

/// Runs `ip`.
#[track_caller]
fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}: {status}");
}

/// Adds an interface `a0` with the address fe80::a, connected to `b0` with fe80::b.
fn add_link() {
    ip("link add a0 type veth peer name b0");
    for end in ["a", "b"] {
        ip(&format!("link set {end}0 up"));
        // Without duplicate address detection, which takes a second.
        ip(&format!("addr add fe80::{end}/64 dev {end}0 nodad"));
    }
}

/// An address on the other side of this interface.
fn behind(interface: &str, address: &str, port: u16) -> SocketAddr {
    let socket = UdpSocket::bind("[::]:0").unwrap();
    let index = rustix::net::netdevice::name_to_index(&socket, interface).unwrap();
    SocketAddrV6::new(address.parse().unwrap(), port, 0, index).into()
}

/// A process that is killed when dropped.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        // The process may have ended already.
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_srt-gateway"));
    command.args(arguments).stderr(Stdio::null());
    command
}

fn output(arguments: &[&str]) -> (bool, String) {
    let Output { status, stdout, .. } = command(arguments).output().unwrap();
    (status.success(), String::from_utf8(stdout).unwrap())
}

#[test]
fn ports_inputs_and_outputs_of_every_kind_have_zones() {
    Namespace::new(&[]).run(|| {
        add_link();
        let sender = gateway(
            r##"
            [srt]
            port = "[fe80::a%a0]:9000"
            [streams.x]
            outputs = [
                "srt://[fe80::b%a0]:9101?streamid=#!::r=called,m=publish",
                "srt://[fe80::a%25a0]:9102?mode=listener",
                "srt://[fe80::b%a0]:9103?mode=rendezvous&adapter=fe80::a%25a0",
                { url = "srt://*?type=broadcast", nodes = ["[fe80::b%a0]:9104?adapter=fe80::a%a0"] },
                "udp://[fe80::b%25a0]:9105?localaddr=fe80::a%25a0",
                "rtp://[ff02::99%a0]:9106",
                "udp://[ff02::98]:9107?interface=a0",
            ]
            "##,
        );
        let receiver = gateway(
            r#"
            [srt]
            port = "[fe80::b%b0]:9101"
            [streams.called]
            [streams.calls]
            inputs = ["srt://[fe80::a%25b0]:9102"]
            [streams.rendezvous]
            inputs = ["srt://[fe80::a%b0]:9103?mode=rendezvous&adapter=fe80::b%25b0"]
            [streams.bonded]
            srt_publish = { port = "[fe80::b%b0]:9104", groupconnect = true }
            [streams.datagrams]
            inputs = ["udp://[fe80::b%b0]:9105?sources=fe80::a%25b0"]
            [streams.group]
            inputs = ["rtp://[ff02::99%25b0]:9106"]
            [streams.named]
            inputs = ["udp://[ff02::98]:9107?interface=b0"]
            "#,
        );
        let _source = Source::publish(1, behind("b0", "fe80::a", 9000), &Call::named(PUBLISH));
        let calls = [
            "#!::r=called,m=request",
            "#!::r=calls,m=request",
            "#!::r=rendezvous,m=request",
            "#!::r=bonded,m=request",
            "#!::r=datagrams,m=request",
            "#!::r=group,m=request",
            "#!::r=named,m=request",
        ];
        for at in 0..calls.len() {
            wait_state(&sender, Role::Viewer, at, EndpointState::Live);
        }
        let sinks = calls.map(|call| Sink::play(behind("a0", "fe80::b", 9101), &Call::named(call)));
        for sink in sinks {
            sink.wait_more(100);
            assert_contiguous(&sink.finish(), 100);
        }
        // The displayed address of a peer can be called.
        let peers: Vec<_> = receiver
            .sessions()
            .into_iter()
            .map(|session| session.peer)
            .collect();
        let has_zone = |peer: &SocketAddr| matches!(peer, SocketAddr::V6(v6) if v6.scope_id() != 0);
        assert!(!peers.is_empty() && peers.iter().all(has_zone), "{peers:?}");
    });
}

#[test]
fn an_interface_may_come_later() {
    Namespace::new(&[]).run(|| {
        let relay = gateway(
            r#"
            [srt]
            port = "[::1]:0"
            [streams.x]
            inputs = ["udp://[fe80::b%b0]:9105"]
            outputs = ["udp://[fe80::b%a0]:9106"]
            "#,
        );
        wait_until("the report", || {
            let input = endpoint(&relay, Role::Publisher, 0);
            input
                .and_then(|input| input.last_failure)
                .is_some_and(|why| why.contains("there is no network interface \"b0\""))
        });
        add_link();
        let datagrams = UdpSocket::bind(behind("b0", "fe80::b", 9106)).unwrap();
        datagrams
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let (socket, to) = (UdpSocket::bind("[::]:0").unwrap(), behind("a0", "fe80::b", 9105));
        let _source = Source::start(1, move |message| {
            // It is not open yet: the next one may arrive.
            socket.send_to(message, to).ok();
            true
        });
        let mut buffer = [0; 2000];
        let sink =
            Sink::start(move || Ok(datagrams.recv(&mut buffer).ok().map(|len| buffer[..len].to_vec())));
        sink.wait_more(100);
        assert_contiguous(&sink.finish(), 100);
    });
}

#[test]
fn commands_and_the_api_have_zones() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gateway.toml");
    let config = config.to_str().unwrap();
    let text = r#"
        [srt]
        port = "[fe80::a%a0]:9000"
        [api]
        listen = "[fe80::a%a0]:9980"
        token = "a token of this test"
        [streams.x]
    "#;
    fs::write(config, text).unwrap();
    let unknown = "there is no network interface \"a0\"";
    let (valid, told) = output(&["check", config]);
    assert!(valid && told.matches(unknown).count() == 2, "{told}");
    Namespace::new(&[]).run(|| {
        add_link();
        let (valid, told) = output(&["check", config]);
        assert!(valid && !told.contains("interface"), "{told}");
        let _server = Peer(command(&["--config", config]).spawn().unwrap());
        for api in ["http://[fe80::a%b0]:9980", "http://[fe80::a%25b0]:9980"] {
            wait_until("the API", || {
                output(&["ctl", "--api", api, "--token", "a token of this test", "streams"]).0
            });
        }
        wait_until("the API of this machine", || {
            output(&["ctl", "--config", config, "streams"]).0
        });
        let _source = Source::publish(1, behind("b0", "fe80::a", 9000), &Call::named(PUBLISH));
        let from = format!("srt://[fe80::a%b0]:9000?streamid={PLAY}");
        let report = wait_for("a stream to probe", || {
            let (connected, report) = output(&["probe", "--json", "--seconds", "1", &from]);
            connected.then_some(report)
        });
        assert!(report.contains("mpegts"), "{report}");
        let datagrams = UdpSocket::bind(behind("b0", "fe80::b", 9105)).unwrap();
        datagrams
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let mut buffer = [0; 2000];
        let sink =
            Sink::start(move || Ok(datagrams.recv(&mut buffer).ok().map(|len| buffer[..len].to_vec())));
        let to = "udp://[fe80::b%25a0]:9105";
        let _relay = Peer(command(&["relay", &from, to]).spawn().unwrap());
        sink.wait_more(100);
        assert_contiguous(&sink.finish(), 100);
    });
}
