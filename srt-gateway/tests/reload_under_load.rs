//! Reloads under load: while ports, streams and policies of other streams are added, changed and removed, an unchanged
//! stream loses no message, and its sessions stay the same.

mod peers;

use std::net::SocketAddr;

use peers::{Call, Sink, Source, assert_contiguous, gateway, wait_for, wait_until};
use srt_gateway::{Gateway, Role, Scope, StreamName, config::Config};

/// How often everything is added, changed and removed.
const ROUNDS: usize = 10;

/// Messages that viewers receive between two changes: a tenth of a second.
const BETWEEN: usize = 48;

/// The unchanged part. The latency suits a machine that runs many tests at once.
const STEADY: &str = r#"
    [srt]
    port = "127.0.0.1:0"
    latency = 2000
    [streams."steady"]
    srt_play = { port = "127.0.0.1:0", latency = 2000 }
"#;

#[track_caller]
fn reload(gateway: &Gateway, more: &str) -> Vec<String> {
    let config = Config::parse(&format!("{STEADY}{more}")).unwrap_or_else(|errors| panic!("{errors}"));
    gateway.reload(config).expect("the gateway runs").changes
}

/// The port that a stream's own table has opened.
fn port_of(gateway: &Gateway, stream: &str) -> Option<SocketAddr> {
    let scope = Scope::Stream(StreamName::new(stream));
    let found = gateway.listening().into_iter().find(|port| port.scope == scope);
    found.map(|port| port.addr)
}

fn sessions_of(gateway: &Gateway, stream: &str) -> Vec<srt_gateway::SessionStatus> {
    let of = |session: &srt_gateway::SessionStatus| session.stream.as_str() == stream;
    gateway.sessions().into_iter().filter(of).collect()
}

/// Adds a stream with a port, moves the port to a fixed number, changes it in place, and removes everything.
fn change_others(gateway: &Gateway, round: usize, steady: &[&Sink]) {
    let settle = || steady.iter().for_each(|sink| sink.wait_more(BETWEEN));
    let changes = reload(
        gateway,
        r#"[streams."other"]
        srt = { port = "127.0.0.1:0" }"#,
    );
    assert_eq!(changes.len(), 2, "{changes:?}");
    let at = port_of(gateway, "other").expect("its port is open");
    let _publisher = Source::publish(9, at, &Call::named("#!::m=publish"));
    let viewer = Sink::play(at, &Call::named("#!::m=request"));
    viewer.wait_more(1);
    settle();

    // The same number in another table: closed with its sessions, and opened again.
    let fixed = |table: &str, stream: &str| {
        format!("[streams.\"other\"]\nsrt = {{ port = \"{at}\", {table} }}\n{stream}")
    };
    reload(gateway, &fixed("latency = 50", ""));
    wait_until("the sessions of the removed port to end", || {
        sessions_of(gateway, "other").is_empty()
    });
    wait_until("the port to be open", || port_of(gateway, "other") == Some(at));
    settle();

    // Changed in place: opened again with its number, and its session stays; and a policy without the port.
    let _publisher = Source::publish(9, at, &Call::named("#!::m=publish"));
    let before = wait_for("its session", || sessions_of(gateway, "other").pop());
    reload(
        gateway,
        &fixed(&format!("latency = {}", 60 + round), "max_viewers = 1"),
    );
    wait_until("the port to be open", || port_of(gateway, "other") == Some(at));
    assert_eq!(
        sessions_of(gateway, "other").first().map(|s| s.id),
        Some(before.id)
    );
    settle();

    change_endpoints_and_rules(gateway, steady);
    reload(gateway, "");
    assert_eq!(port_of(gateway, "other"), None);
    wait_until("its sessions to end", || sessions_of(gateway, "other").is_empty());
    settle();
}

/// Adds an input, outputs and rules to the other stream, changes each, and removes them one by one. The rules also
/// apply to the steady stream, whose sessions were admitted before.
fn change_endpoints_and_rules(gateway: &Gateway, steady: &[&Sink]) {
    let (input, output) = (free(), free());
    let to_itself = "file:///dev/null";
    let with = |endpoints: &str, rules: &str| {
        reload(gateway, &format!("[streams.\"other\"]\n{endpoints}\n{rules}"));
        steady.iter().for_each(|sink| sink.wait_more(BETWEEN / 2));
    };
    let rule = |password: &str| {
        format!("[[rules]]\nstream = \"steady\"\nuser = \"nobody\"\npassword = \"{password}\"\n")
    };
    with(&format!("inputs = [\"udp://{input}\"]"), "");
    with(
        &format!("inputs = [\"udp://{input}\", \"srt://{output}\"]\noutputs = [\"{to_itself}\"]"),
        "",
    );
    with(
        &format!("inputs = [\"udp://{input}\"]\noutputs = [\"{to_itself}\", \"udp://{output}\"]"),
        &rule("one"),
    );
    assert_eq!(gateway.endpoints().len(), 3);
    with(&format!("outputs = [\"udp://{output}?ttl=3\"]"), &rule("two"));
    with("", &rule("two"));
    assert_eq!(gateway.endpoints().len(), 0);
}

/// An address that was free a moment ago.
fn free() -> SocketAddr {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

#[test]
fn changes_of_other_streams_cost_a_steady_one_no_message() {
    let gateway = gateway(STEADY);
    let global = gateway
        .listening()
        .into_iter()
        .find(|port| port.scope == Scope::Global)
        .expect("the global port is open")
        .addr;
    let own = port_of(&gateway, "steady").expect("its port is open");
    let source = Source::publish(1, global, &Call::named("#!::r=steady,m=publish"));
    let viewers = [
        Sink::play(global, &Call::named("#!::r=steady,m=request")),
        Sink::play(own, &Call::default()),
    ];
    viewers.iter().for_each(|viewer| viewer.wait_more(1));
    let before: Vec<_> = sessions_of(&gateway, "steady").iter().map(|s| s.id).collect();
    assert_eq!(before.len(), 3);

    for round in 0..ROUNDS {
        change_others(&gateway, round, &viewers.each_ref());
    }

    let after = sessions_of(&gateway, "steady");
    assert_eq!(after.iter().map(|s| s.id).collect::<Vec<_>>(), before);
    assert!(after.iter().all(|session| session.skipped == 0), "{after:?}");
    let published = after.iter().find(|s| s.role == Role::Publisher);
    assert!(published.is_some_and(|s| s.messages >= (ROUNDS * 4 * BETWEEN) as u64));
    drop(source);
    for viewer in viewers {
        assert_contiguous(&viewer.finish(), ROUNDS * 4 * BETWEEN);
    }
}

#[test]
fn an_unchanged_configuration_touches_nothing() {
    let gateway = gateway(STEADY);
    let before = gateway.listening();
    assert!(reload(&gateway, "").is_empty());
    assert_eq!(gateway.listening(), before);
}

#[test]
fn rotated_passphrase_holds_for_new_callers_and_old_sessions_stay() {
    let old = "\n[streams.\"secret\"]\nplay_passphrase = \"the first secret\"\n";
    let config = Config::parse(&format!("{STEADY}{old}")).unwrap();
    let gateway = Gateway::start(&config).unwrap();
    let at = gateway.listening()[0].addr;
    let with = |passphrase| Call {
        streamid: "#!::r=secret,m=request",
        passphrase: Some(passphrase),
    };
    let _viewer = with("the first secret").connect(at);
    let session = wait_for("its session", || sessions_of(&gateway, "secret").pop());
    let changes = reload(&gateway, &old.replace("first", "other"));
    assert_eq!(changes, ["stream secret changed"]);
    let _new = with("the other secret").connect(at);
    let sessions = wait_for("two sessions", || {
        Some(sessions_of(&gateway, "secret")).filter(|sessions| sessions.len() == 2)
    });
    assert_eq!(sessions[0].id, session.id);
}
