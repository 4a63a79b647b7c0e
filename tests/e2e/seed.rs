//! The seed's table: the streamid that each kind of port requires for each of the four modes, and the result for each
//! missing or contradictory part. On listening ports real callers connect; for ingest and push a gateway is the caller.

use crate::common::{DEADLINE, LATENCY, options};
use srt_e2e::client::{Publisher, connect, refusal};
use srt_e2e::http::{HttpServer, Reply};
use srt_e2e::in_process::TestGateway;
use srt_e2e::pace::Tail;
use srt_e2e::peers::{SrtUrl, live_transmit};
use srt_e2e::ports::free_udp;
use srt_e2e::source::{StampedTs, contiguous_part};
use srt_e2e::wait::{wait_for, wait_until};
use srt_gateway::{Role, Scope, config::PortKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// One port of each kind and owner.
const PORTS: &str = r#"
[srt]
port = "127.0.0.1:0"
[srt_publish]
port = "127.0.0.1:0"
[srt_play]
port = "127.0.0.1:0"
[streams.other]
[streams.cam]
srt = { port = "127.0.0.1:0" }
srt_publish = { port = "127.0.0.1:0" }
srt_play = { port = "127.0.0.1:0" }
[templates.group]
prefix = "group/"
srt = { port = "127.0.0.1:0" }
srt_publish = { port = "127.0.0.1:0" }
srt_play = { port = "127.0.0.1:0" }
"#;

/// The result for a caller with a streamid: a code, or 0 for admission.
type Cell = (&'static str, i32);

/// The cells of a port that belongs to a stream: `srt`, `srt_publish`, `srt_play`.
const OF_STREAM: [(PortKind, &[Cell]); 3] = [
    (
        PortKind::Both,
        &[
            ("#!::m=publish", 0),
            ("#!::m=request", 0),
            ("#!::r=cam,m=publish", 0),
            ("#!::r=cam,m=request", 0),
            ("", 1400),
            ("#!::r=cam", 1400),
            ("#!::r=other,m=publish", 1403),
            ("#!::r=nosuch,m=request", 1404),
        ],
    ),
    (
        PortKind::Publish,
        &[
            ("", 0),
            ("#!::m=publish", 0),
            ("#!::r=cam", 0),
            ("#!::r=cam,m=publish", 0),
            ("#!::m=request", 1405),
            ("#!::r=other", 1403),
            ("#!::r=nosuch", 1404),
        ],
    ),
    (
        PortKind::Play,
        &[
            ("", 0),
            ("#!::m=request", 0),
            ("#!::r=cam", 0),
            ("#!::r=cam,m=request", 0),
            ("#!::m=publish", 1405),
            ("#!::r=other", 1403),
            ("#!::r=nosuch", 1404),
        ],
    ),
];

/// Those of a global port, with NAME for the stream's name.
const SHARED: [(PortKind, &[Cell]); 3] = [
    (
        PortKind::Both,
        &[
            ("#!::r=NAME,m=publish", 0),
            ("#!::r=NAME,m=request", 0),
            ("", 1400),
            ("#!::r=NAME", 1400),
            ("#!::m=publish", 1400),
            ("#!::m=request", 1400),
            ("#!::r=nosuch,m=publish", 1404),
        ],
    ),
    (
        PortKind::Publish,
        &[
            ("#!::r=NAME", 0),
            ("#!::r=NAME,m=publish", 0),
            ("", 1400),
            ("#!::m=publish", 1400),
            ("#!::r=NAME,m=request", 1405),
            ("#!::r=nosuch", 1404),
        ],
    ),
    (
        PortKind::Play,
        &[
            ("#!::r=NAME", 0),
            ("#!::r=NAME,m=request", 0),
            ("", 1400),
            ("#!::m=request", 1400),
            ("#!::r=NAME,m=publish", 1405),
            ("#!::r=nosuch", 1404),
        ],
    ),
];

/// Connects as each cell describes, one caller after the other.
#[track_caller]
fn knock(gateway: &TestGateway, to: SocketAddr, name: &str, cells: &[Cell]) {
    for (streamid, code) in cells {
        let streamid = streamid.replace("NAME", name);
        if *code != 0 {
            refused(gateway, to, &streamid, *code);
            continue;
        }
        come_and_go(gateway, to, &streamid, name);
    }
}

/// The caller is admitted and disconnects: the slot is free for the next publisher.
#[track_caller]
fn come_and_go(gateway: &TestGateway, to: SocketAddr, streamid: &str, name: &str) {
    let used = || {
        let stream = gateway.stream(name);
        stream.is_some_and(|stream| stream.has_source || stream.viewers > 0)
    };
    let socket = connect(to, streamid, options());
    let socket = socket.unwrap_or_else(|error| panic!("{streamid:?} at {to}: {error}"));
    wait_until(DEADLINE, "the caller", used);
    drop(socket);
    wait_until(DEADLINE, "nobody", || !used());
}

/// The caller is refused with this code, and the log contains the reason.
#[track_caller]
fn refused(gateway: &TestGateway, to: SocketAddr, streamid: &str, code: i32) {
    let told = refusal(to, streamid, options());
    assert_eq!(told.value(), code, "{streamid:?} at {to}");
    let says: &[&str] = match code {
        1400 => &[
            "so the streamid must name one",
            "so the streamid must say which",
            "the caller sent no streamid",
        ],
        1403 => &["serves"],
        1404 => &["no stream is named", "serves"],
        _ => &["only publishes", "only plays"],
    };
    wait_until(DEADLINE, "the record of the refusal", || {
        let kept = gateway.rejections();
        kept.iter().any(|kept| {
            let same = *kept.streamid == *streamid.as_bytes() && kept.port == to.port();
            same && kept.code == code && says.iter().any(|says| kept.reason.contains(says))
        })
    });
}

fn port(gateway: &TestGateway, kind: PortKind, scope: impl Fn(&Scope) -> bool) -> SocketAddr {
    let ports = gateway.listening();
    let found = ports.iter().find(|port| port.kind == kind && scope(&port.scope));
    found.expect("a port of that kind").addr
}

#[test]
fn every_cell_on_ports_of_a_stream() {
    let gateway = TestGateway::start(PORTS);
    for (kind, cells) in OF_STREAM {
        knock(&gateway, gateway.addr_of(kind, "cam"), "cam", cells);
    }
}

#[test]
fn every_cell_on_global_ports() {
    let gateway = TestGateway::start(PORTS);
    for (kind, cells) in SHARED {
        knock(&gateway, gateway.addr(kind), "cam", cells);
    }
}

#[test]
fn every_cell_on_ports_of_a_template() {
    let gateway = TestGateway::start(PORTS);
    for (kind, cells) in SHARED {
        let to = port(&gateway, kind, |scope| matches!(scope, Scope::Template(_)));
        for (streamid, code) in cells {
            let streamid = streamid.replace("NAME", "group/a");
            if *code == 0 {
                come_and_go(&gateway, to, &streamid, "group/a");
            } else {
                refused(&gateway, to, &streamid, *code);
            }
        }
        let outside = if kind == PortKind::Both {
            "#!::r=other,m=request"
        } else {
            "#!::r=other"
        };
        refused(&gateway, to, outside, 1403);
    }
}

/// A range of one port that the backend configures, for this mode.
fn range(port: SocketAddr, mode: &str) -> String {
    format!(
        "[[listeners]]\nports = {}\nmode = \"{mode}\"\naddress = \"127.0.0.1\"\n",
        port.port()
    )
}

#[test]
fn every_cell_on_ports_that_a_backend_configures() {
    let server = HttpServer::start(|_| Reply::ok(r#"{"stream": "cam"}"#));
    let ports = [free_udp(), free_udp(), free_udp()];
    let ranges = ports.iter().zip(["any", "publish", "play"]);
    let ranges: String = ranges.map(|(port, mode)| range(*port, mode)).collect();
    let gateway = TestGateway::start(&format!(
        "[streams.other]\n{ranges}[config_external]\nurl = \"{}\"\n",
        server.url("/")
    ));
    for ((_, cells), to) in OF_STREAM.into_iter().zip(ports) {
        knock(&gateway, to, "cam", cells);
    }
    let asked = server.requests();
    assert_eq!(asked.len(), ports.len(), "each port once: {asked:?}");
    for (request, port) in asked.iter().zip(ports) {
        assert!(
            request.text().contains(&format!("\"port\":{}", port.port())),
            "{request:?}"
        );
    }
}

/// The columns of the table: the streamid that a caller needs there, to publish and to play.
fn columns(gateway: &TestGateway) -> [[(SocketAddr, &'static str); 2]; 4] {
    let (of_stream, global) = (|kind| gateway.addr_of(kind, "cam"), |kind| gateway.addr(kind));
    [
        [
            (of_stream(PortKind::Both), "#!::m=publish"),
            (of_stream(PortKind::Both), "#!::m=request"),
        ],
        [
            (of_stream(PortKind::Publish), ""),
            (of_stream(PortKind::Play), ""),
        ],
        [
            (global(PortKind::Both), "#!::r=cam,m=publish"),
            (global(PortKind::Both), "#!::r=cam,m=request"),
        ],
        [
            (global(PortKind::Publish), "#!::r=cam"),
            (global(PortKind::Play), "#!::r=cam"),
        ],
    ]
}

fn url(to: SocketAddr, streamid: &str) -> String {
    match streamid {
        "" => format!("srt://{to}"),
        id => format!("srt://{to}?streamid={id}"),
    }
}

/// Push and ingest: the gateway calls, with the streamid of the cell, and the ports of another gateway check it.
#[test]
fn every_cell_for_a_gateway_that_calls() {
    let far = TestGateway::start(PORTS);
    for [push, ingest] in columns(&far) {
        let near = TestGateway::start(&format!(
            "[srt_publish]\nport = \"127.0.0.1:0\"\n[streams.out]\noutputs = [\"{}\"]\n[streams.back]\ninputs = [\"{}\"]\n",
            url(push.0, push.1),
            url(ingest.0, ingest.1)
        ));
        let source = StampedTs::generate(3, 2_000, 5_000_000);
        let publisher = Publisher::connect(
            near.addr(PortKind::Publish),
            "#!::r=out",
            options(),
            (source.bytes(), source.rate(), Tail::Repeat),
        );
        near.wait_endpoints_live(DEADLINE);
        near.wait_stream("back", DEADLINE, "what was pushed and ingested", |stream| {
            stream.bytes > 100_000
        });
        drop(publisher);
        near.shut_down();
        far.wait_stream("cam", DEADLINE, "nobody", |stream| {
            !stream.has_source && stream.viewers == 0
        });
    }
}

/// The result for a push or an ingest that omits what its port requires, or contradicts it.
#[test]
fn a_gateway_that_calls_with_the_wrong_streamid_knows_the_code() {
    let far = TestGateway::start(PORTS);
    let [both, publish, play] = [PortKind::Both, PortKind::Publish, PortKind::Play]
        .map(|kind| (far.addr_of(kind, "cam"), far.addr(kind)));
    // To push to: (port, streamid, code).
    let pushes = [
        (both.0, "", 1400),
        (publish.0, "#!::m=request", 1405),
        (publish.0, "#!::r=other", 1403),
        (publish.0, "#!::r=nosuch", 1404),
        (both.1, "#!::r=cam", 1400),
        (both.1, "#!::m=publish", 1400),
        (publish.1, "", 1400),
        (play.1, "#!::r=cam,m=publish", 1405),
    ];
    let ingests = [
        (both.0, "", 1400),
        (play.0, "#!::m=publish", 1405),
        (play.0, "#!::r=other", 1403),
        (both.1, "#!::m=request", 1400),
        (both.1, "#!::r=nosuch,m=request", 1404),
        (play.1, "", 1400),
        (publish.1, "#!::r=cam,m=request", 1405),
    ];
    let list = |cells: &[(SocketAddr, &str, i32)]| {
        let urls: Vec<_> = cells
            .iter()
            .map(|(to, id, _)| format!("{:?}", url(*to, id)))
            .collect();
        urls.join(", ")
    };
    let near = TestGateway::start(&format!(
        "[srt_publish]\nport = \"127.0.0.1:0\"\n[streams.out]\noutputs = [{}]\n[streams.back]\ninputs = [{}]\n",
        list(&pushes),
        list(&ingests)
    ));
    let source = StampedTs::generate(5, 2_000, 5_000_000);
    let _publisher = Publisher::connect(
        near.addr(PortKind::Publish),
        "#!::r=out",
        options(),
        (source.bytes(), source.rate(), Tail::Repeat),
    );
    for (role, cells) in [(Role::Viewer, &pushes[..]), (Role::Publisher, &ingests[..])] {
        for (at, (to, streamid, code)) in cells.iter().enumerate() {
            let why = wait_for(DEADLINE, "a refusal", || {
                let endpoints = near.endpoints();
                let mut of_role = endpoints.into_iter().filter(|endpoint| endpoint.role == role);
                of_role.nth(at)?.last_failure
            });
            assert!(why.contains(&code.to_string()), "{streamid:?} at {to}: {why}");
        }
    }
}

/// The peer of the field, in each column: only its streamid.
#[test]
fn live_transmit_publishes_and_plays_in_every_column() {
    for column in 0..4 {
        // A new one for each: a viewer starts in the data of the last publisher.
        let gateway = TestGateway::start(PORTS);
        let [publish, play] = columns(&gateway)[column];
        let caller = |(to, id): (SocketAddr, &str)| {
            let url = SrtUrl::caller(to).latency(LATENCY);
            if id.is_empty() { url } else { url.stream_id(id) }
        };
        let folder = tempfile::tempdir().unwrap();
        let player = live_transmit::player(&caller(play), &folder.path().join("out.ts"));
        gateway.wait_viewers("cam", 1, DEADLINE);
        let source = StampedTs::generate(column as u64, 2_000, 5_000_000);
        let stream = source.bytes();
        let publisher = live_transmit::publisher(&caller(publish)).feed(
            Arc::clone(&stream),
            source.rate(),
            Tail::NullPackets,
            DEADLINE,
        );
        player.wait_received(stream.len(), DEADLINE);
        drop(publisher);
        assert_eq!(contiguous_part(&stream, &player.received()), 0..stream.len());
    }
}

/// Also on ports whose owner only the backend knows: the caller connects within its default timeout while the backend
/// decides.
#[test]
fn live_transmit_publishes_and_plays_on_first_contact() {
    let [publish, play] = [free_udp(), free_udp()];
    let answer = || r#"{"stream": "live/first"}"#.to_owned();
    let server = HttpServer::start(move |_| Reply::After(Duration::from_millis(700), 200, answer()));
    let gateway = TestGateway::start(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\n{}{}[config_external]\nurl = \"{}\"\n",
        range(publish, "publish"),
        range(play, "play"),
        server.url("/")
    ));
    let folder = tempfile::tempdir().unwrap();
    let player = live_transmit::player(
        &SrtUrl::caller(play).latency(LATENCY),
        &folder.path().join("out.ts"),
    );
    wait_until(DEADLINE, "the player", || {
        gateway
            .stream("live/first")
            .is_some_and(|stream| stream.viewers == 1)
    });
    let source = StampedTs::generate(7, 2_000, 5_000_000);
    let stream = source.bytes();
    let publisher = live_transmit::publisher(&SrtUrl::caller(publish).latency(LATENCY)).feed(
        Arc::clone(&stream),
        source.rate(),
        Tail::NullPackets,
        DEADLINE,
    );
    player.wait_received(stream.len(), DEADLINE);
    drop(publisher);
    assert_eq!(contiguous_part(&stream, &player.received()), 0..stream.len());
}
