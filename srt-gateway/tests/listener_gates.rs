//! All listeners apply the same access control: they enforce limits during bursts, refuse like every port, and report
//! the reason.

#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the end-to-end tests' own; a part is used here"
)]
#[path = "../../tests/support/http.rs"]
mod backend;
mod http;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the end-to-end tests' own; a part is used here"
)]
#[path = "../../tests/support/namespace.rs"]
mod namespace;
mod peers;

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use backend::{HttpServer, Reply};
use http::Running;
use namespace::Namespace;
use peers::{Call, Source, endpoint, gateway, port, wait_for, wait_state, wait_until};
use serde_json::Value;
use srt_gateway::{EndpointState, Gateway, Role};
use srt_safe::{Error, Options, PacketFilter, Passphrase, SrtSocket, StreamId, TransmissionType};

const SECRET: &str = "secret of the input";

fn free() -> SocketAddr {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

/// With a long timeout: forty callers on a busy machine take their time, and one that gave up would hold a slot for a
/// moment.
fn options(streamid: &str) -> Options {
    Options::new()
        .connect_timeout(Duration::from_secs(30))
        .stream_id(StreamId::new(streamid).unwrap())
}

fn call(to: SocketAddr, options: Options) -> Result<SrtSocket, Error> {
    SrtSocket::builder().options(options).connect(to)
}

#[track_caller]
fn code(called: Result<SrtSocket, Error>) -> i32 {
    let error = called.expect_err("it was let in");
    error.reject_reason().unwrap_or_else(|| panic!("{error}")).value()
}

/// Forty callers at once, ten times: each time `limit` are admitted, and their slots are released.
#[track_caller]
fn burst(gateway: &Gateway, to: &[SocketAddr], limit: usize, streamid: impl Fn(usize) -> String + Sync) {
    for round in 0..10 {
        let start = Barrier::new(40);
        let admitted: Vec<_> = thread::scope(|scope| {
            let callers: Vec<_> = (0..40)
                .map(|number| {
                    let (start, streamid) = (&start, &streamid);
                    let to = to[number % to.len()];
                    scope.spawn(move || {
                        let options = options(&streamid(number));
                        start.wait();
                        call(to, options)
                    })
                })
                .collect();
            let results = callers.into_iter().map(|caller| caller.join().unwrap());
            results
                .filter_map(|called| {
                    called
                        .inspect_err(|error| assert!(error.reject_reason().is_some(), "{error}"))
                        .ok()
                })
                .collect()
        });
        assert_eq!(admitted.len(), limit, "round {round}");
        wait_until("the sessions", || gateway.sessions().len() == limit);
        drop(admitted);
        wait_until("their end", || gateway.sessions().is_empty());
    }
}

#[test]
fn of_forty_viewers_at_once_as_many_get_in_as_the_stream_takes() {
    let one = gateway(
        "[srt]\nport = \"127.0.0.1:0\"\nshards = 2\n[srt_play]\nport = \"127.0.0.1:0\"\n\
         [streams.\"live/a\"]\nmax_viewers = 1\n[templates.t]\nprefix = \"made/\"\nmax_viewers = 3\n",
    );
    let ports: Vec<_> = one.listening().iter().map(|port| port.addr).collect();
    burst(&one, &ports, 1, |_| "#!::r=live/a,m=request".to_owned());
    burst(&one, &ports, 3, |_| "#!::r=made/b,m=request".to_owned());
}

#[test]
fn of_forty_callers_at_once_as_many_get_in_as_the_port_takes() {
    let few = gateway(
        "[srt]\nport = \"127.0.0.1:0\"\nshards = 2\nmax_connections = 3\n[streams_default]\naccept_unknown = true\n",
    );
    burst(&few, &[port(&few)], 3, |number| {
        format!("#!::r=live/{number},m=publish")
    });
}

#[test]
fn of_forty_publishers_at_once_one_gets_in() {
    let both = gateway(
        "[srt]\nport = \"127.0.0.1:0\"\n[srt_publish]\nport = \"127.0.0.1:0\"\n[streams.\"live/a\"]\n",
    );
    let ports: Vec<_> = both.listening().iter().map(|port| port.addr).collect();
    burst(&both, &ports, 1, |_| "#!::r=live/a,m=publish".to_owned());
}

#[test]
fn of_forty_callers_at_once_a_listening_input_takes_one() {
    let input = free();
    let relay = gateway(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\n[streams.\"live/a\"]\ninputs = [\"srt://{input}?mode=listener\"]\n"
    ));
    wait_state(&relay, Role::Publisher, 0, EndpointState::Listening);
    burst(&relay, &[input], 1, |number| format!("caller {number}"));
}

#[test]
fn places_come_back_from_callers_that_fail_or_vanish() {
    let one = gateway(
        "[srt]\nport = \"127.0.0.1:0\"\nmax_connections = 1\npeer_idle_timeout = 1\n\
         [streams.\"live/a\"]\nmax_viewers = 1\nplay_passphrase = \"secret of the input\"\n",
    );
    let streamid = "#!::r=live/a,m=request";
    let with = |secret: &str| options(streamid).passphrase(Passphrase::new(secret).unwrap());
    let gets_in = || {
        let viewer = wait_for("a place", || call(port(&one), with(SECRET)).ok());
        // Until control has seen it, there is no session whose end could be awaited.
        wait_until("its session", || one.sessions().len() == 1);
        drop(viewer);
    };
    for _ in 0..3 {
        assert_eq!(code(call(port(&one), with("some other secret"))), 10);
        // libsrt refuses these two after the verdict, so each holds a slot for a moment.
        wait_until("a refusal for the missing passphrase", || {
            code(call(port(&one), options(streamid))) < 1000
        });
        gets_in();
        wait_until("its end", || one.sessions().is_empty());
    }
    gets_in();
    wait_until("its end", || one.sessions().is_empty());
    // A killed peer does not say goodbye.
    let url = format!("srt://{}?streamid={streamid}&passphrase={SECRET}", port(&one)).replace(' ', "%20");
    let mut vanishing = Command::new(env!("CARGO_BIN_EXE_srt-gateway"))
        .args(["relay", &url, "udp://127.0.0.1:9"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("its session", || one.sessions().len() == 1);
    vanishing.kill().unwrap();
    vanishing.wait().unwrap();
    gets_in();
}

/// The last rejection for which `is` returns true.
fn rejection(gateway: &Running, is: impl Fn(&Value) -> bool) -> Value {
    // Less often than `wait_for` polls, because the API limits its clients.
    http::wait_until("the rejection", || {
        let all = gateway.ask("GET", "/api/v1/rejections").value();
        all.as_array()?.iter().find(|rejection| is(rejection)).cloned()
    })
}

fn listening(input: SocketAddr, output: SocketAddr) -> Running {
    let secret = SECRET.replace(' ', "%20");
    Running::start(
        "",
        &format!(
            "[streams.a]\non_source_lost = 0\ninputs = [\"srt://{input}?mode=listener&passphrase={secret}\"]\n\
             outputs = [\"srt://{output}?mode=listener\"]\n"
        ),
    )
}

#[test]
fn a_listening_input_records_what_it_refuses_and_holds_bans_and_the_drain() {
    let (input, output) = (free(), free());
    let gateway = listening(input, output);
    let secret = || options("").passphrase(Passphrase::new(SECRET).unwrap());
    let of_input = format!("listening input {} of a", input.port());
    let recorded = |code: i32| {
        let found = rejection(&gateway, |rejection| rejection["code"] == code);
        assert_eq!(found["listener"], of_input, "{found}");
        found
    };
    let shown = || gateway.ask("GET", "/api/v1/streams/a").value()["input_list"][0]["state"].clone();
    wait_until("the listener", || shown() == "listening");
    // No passphrase, a different one, and a second caller.
    for refused in [
        options(""),
        options("").passphrase(Passphrase::new("another secret").unwrap()),
    ] {
        let code = code(call(input, refused));
        assert!(code < 1000, "{code}");
        assert_eq!(recorded(code)["by"], "passphrase");
    }
    let first = wait_for("the first", || call(input, secret()).ok());
    assert_eq!(code(call(input, secret())), 1409);
    assert!(recorded(1409)["reason"].as_str().unwrap().contains("one caller"));
    drop(first);
    wait_until("the listener", || shown() == "listening");

    let ban = r#"{"address": "127.0.0.1", "seconds": 600}"#;
    gateway.json("POST", "/api/v1/bans", ban).is(201);
    assert_eq!(code(call(input, secret())), 1403);
    recorded(1403);
    gateway.ask("DELETE", "/api/v1/bans/127.0.0.1").is(204);
    // A session that keeps the drained gateway running.
    let _player = gateway.call("#!::r=other,m=request").unwrap();
    gateway.wait_sessions(1);
    gateway.ask("POST", "/api/v1/drain").is(202);
    assert_eq!(code(call(input, secret())), 1503);
    assert!(recorded(1503)["reason"].as_str().unwrap().contains("draining"));
}

#[test]
fn a_listening_output_answers_before_during_and_after_its_source() {
    let output = free();
    let relay = gateway(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\n[streams.\"live/a\"]\non_source_lost = 0\n\
         outputs = [\"srt://{output}?mode=listener\"]\n"
    ));
    let refused = || {
        let last = relay.rejections().pop();
        last.unwrap_or_else(|| panic!("nothing is recorded")).reason
    };
    wait_state(&relay, Role::Viewer, 0, EndpointState::Listening);
    assert_eq!(code(call(output, options(""))), 1404);
    wait_until("the record", || !relay.rejections().is_empty());
    assert!(refused().contains("nobody publishes"), "{}", refused());
    let source = Source::publish(1, port(&relay), &Call::named("#!::r=live/a,m=publish"));
    let peer = wait_for("the peer", || call(output, options("")).ok());
    assert_eq!(code(call(output, options(""))), 1409);
    drop(source);
    wait_until("the end", || relay.sessions().is_empty());
    wait_state(&relay, Role::Viewer, 0, EndpointState::Listening);
    drop(peer);
    assert_eq!(code(call(output, options(""))), 1404);
    assert_eq!(endpoint(&relay, Role::Viewer, 0).unwrap().session, None);
}

#[test]
fn a_listening_output_holds_its_peer_as_long_as_on_source_lost_says() {
    let output = free();
    let relay = gateway(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\n[streams.\"live/a\"]\non_source_lost = 1\n\
         outputs = [\"srt://{output}?mode=listener\"]\n"
    ));
    wait_state(&relay, Role::Viewer, 0, EndpointState::Listening);
    let begin = Instant::now();
    let _peer = call(output, options("")).unwrap();
    wait_state(&relay, Role::Viewer, 0, EndpointState::Live);
    wait_state(&relay, Role::Viewer, 0, EndpointState::Listening);
    assert!(begin.elapsed() >= Duration::from_secs(1));
}

/// The peak memory of a gateway's process, in bytes.
fn peak(gateway: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn a_packet_filter_is_what_the_port_takes_and_costs_no_memory_before() {
    let gateway = Running::start(
        "",
        "[srt_publish]\nport = \"127.0.0.1:0\"\npacketfilter = \"fec,cols:10\"\n\
         [srt_play]\nport = \"127.0.0.1:0\"\naccept_packetfilter = \"20x10\"\n",
    );
    let listed = gateway.ask("GET", "/api/v1/listeners").value();
    let of = |kind: &str| -> SocketAddr {
        let ports = listed.as_array().unwrap();
        let port = ports.iter().find(|port| port["kind"] == kind).unwrap();
        port["address"].as_str().unwrap().parse().unwrap()
    };
    let (shared, publish, play) = (of("srt"), of("srt_publish"), of("srt_play"));
    let ask = |to, mode: &str, filter: &str| {
        let filter: PacketFilter = filter.parse().unwrap();
        call(to, options(&format!("#!::r=a,m={mode}")).packet_filter(filter))
    };
    let before = peak(&gateway);
    for (to, filter, word) in [
        (shared, "fec,cols:32000,rows:32000", "accepts no packet filter"),
        (shared, "fec,cols:2", "accept_packetfilter"),
        (publish, "fec,cols:10,rows:-32000", "larger"),
        (publish, "fec,cols:32000", "conflicts"),
        (play, "fec,cols:32000", "20x10"),
        (play, "fec,rows:5", "columns"),
    ] {
        let mode = if to == play { "request" } else { "publish" };
        assert_eq!(code(ask(to, mode, filter)), 1400, "{filter}");
        let found = rejection(&gateway, |rejection| {
            rejection["reason"].as_str().unwrap().contains(word)
        });
        assert_eq!(found["code"], 1400, "{found}");
    }
    let grown = peak(&gateway) - before;
    assert!(grown < 64 << 20, "{grown} bytes");
    drop(ask(publish, "publish", "fec,cols:10,rows:5").unwrap());
    drop(ask(play, "request", "fec,cols:20,rows:10").unwrap());
}

#[test]
fn a_caller_in_file_mode_is_told_what_to_change() {
    let relay = gateway("[srt]\nport = \"127.0.0.1:0\"\n[streams.a]\n");
    let publish = || options("#!::r=a,m=publish");
    for refused in [
        Options::new().transmission_type(TransmissionType::File),
        Options::new().message_api(false),
    ] {
        let refused = refused.stream_id("#!::r=a,m=publish".parse().unwrap());
        assert_eq!(code(call(port(&relay), refused)), 1400);
    }
    wait_until("the record", || {
        let recorded = relay.rejections();
        let of_file_mode = |reason: &str| reason.contains("transtype=live");
        !recorded.is_empty() && recorded.iter().all(|rejection| of_file_mode(&rejection.reason))
    });
    drop(call(port(&relay), publish()).unwrap());
}

#[test]
fn a_picture_of_the_console_takes_no_place_of_a_viewer() {
    let gateway = Running::start("", "[streams.a]\nmax_viewers = 1\n");
    let publisher = gateway.call("#!::r=a,m=publish").unwrap();
    let _source = Source::start(1, move |message| publisher.send(message).is_ok());
    let request = format!(
        "GET /api/v1/streams/a/video.ts HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        gateway.api
    );
    let _picture = gateway.raw(&request);
    let counted = || {
        let stream = gateway.ask("GET", "/api/v1/streams/a").value();
        (stream["viewers"].clone(), stream["previews"].clone())
    };
    wait_until("the picture", || counted() == (0.into(), 1.into()));
    let _viewer = gateway.call("#!::r=a,m=request").unwrap();
    wait_until("the viewer", || counted() == (1.into(), 1.into()));
    assert_eq!(code(gateway.call("#!::r=a,m=request")), 1402);
}

#[test]
fn everything_that_listens_refuses_new_callers_alike_while_draining() {
    let [input, output, idle, open] = [0; 4].map(|_| free());
    let server = HttpServer::start(|_| Reply::ok(r#"{"stream": "made"}"#));
    let gateway = Running::start(
        "",
        &format!(
            "[srt_publish]\nport = \"127.0.0.1:0\"\n[srt_play]\nport = \"127.0.0.1:0\"\n\
             [streams.a]\nsrt = {{ port = \"127.0.0.1:0\" }}\ninputs = [\"srt://{input}?mode=listener\"]\n\
             outputs = [\"srt://{output}?mode=listener\"]\n\
             [templates.t]\nprefix = \"made/\"\nsrt = {{ port = \"127.0.0.1:0\" }}\n\
             [[listeners]]\nports = [{}, {}]\naddress = \"127.0.0.1\"\nmode = \"publish\"\n\
             [config_external]\nurl = \"{}\"\n",
            idle.port(),
            open.port(),
            server.url("/")
        ),
    );
    // Opens its port, and keeps the drained gateway running.
    let publisher = call(open, options("")).unwrap();
    gateway.wait_sessions(1);
    let listed = gateway.ask("GET", "/api/v1/listeners").value();
    let listed = listed.as_array().unwrap().iter();
    let mut doors: Vec<SocketAddr> = listed
        .map(|port| port["address"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(doors.len(), 6, "{doors:?}");
    assert!(doors.contains(&open), "{doors:?}");
    doors.extend([input, output, idle]);
    gateway.ask("POST", "/api/v1/drain").is(202);
    let asked = server.requests().len();
    for door in &doors {
        assert_eq!(code(call(*door, options("#!::r=a,m=request"))), 1503, "{door}");
    }
    let refused = http::wait_until("the record", || {
        let all = gateway.ask("GET", "/api/v1/rejections").value();
        let all = all.as_array()?.iter().filter(|one| one["code"] == 1503);
        let all: Vec<_> = all.cloned().collect();
        (all.len() == doors.len()).then_some(all)
    });
    for one in refused {
        assert!(one["reason"].as_str().unwrap().contains("is draining"), "{one}");
    }
    assert_eq!(server.requests().len(), asked, "nobody is asked about them");
    publisher.send(&[0x47; 1316]).unwrap();
    assert_eq!(gateway.ask("GET", "/api/v1/sessions").value()["total"], 1);
}

#[test]
fn a_listening_input_asks_the_hook_and_keeps_to_its_answer() {
    let input = free();
    let hook = HttpServer::start(|_| Reply::status(403));
    let relay = gateway(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\n[auth]\nurl = \"{}\"\n\
         [streams.\"live/a\"]\ninputs = [\"srt://{input}?mode=listener\"]\n",
        hook.url("/")
    ));
    wait_state(&relay, Role::Publisher, 0, EndpointState::Listening);
    assert_eq!(code(call(input, options("encoder 7"))), 1403);
    let asked = hook.requests().pop().unwrap();
    let asked: Value = serde_json::from_slice(&asked.body).unwrap();
    assert_eq!(
        (&asked["event"], &asked["stream"], &asked["streamid"]),
        (&"publish".into(), &"live/a".into(), &"encoder 7".into())
    );
    assert_eq!(asked["port"], input.port());
    // A stream other than the endpoint's.
    hook.follow(|_| Reply::ok(r#"{"stream": "live/b"}"#));
    assert_eq!(code(call(input, options("encoder 8"))), 1403);
    wait_until("the record", || {
        let all = relay.rejections();
        all.iter()
            .any(|kept| kept.reason.contains("belongs to \"live/a\""))
    });
    hook.follow(|_| Reply::ok(r#"{"labels": {"tenant": "t1"}, "lifetime": 1}"#));
    let peer = call(input, options("encoder 9")).unwrap();
    let session = wait_for("the session", || relay.sessions().pop());
    assert_eq!(session.facts.labels, [("tenant".into(), "t1".into())]);
    assert_eq!(session.facts.streamid.as_deref(), Some("encoder 9"));
    // When its lifetime is over, the hook is asked again.
    hook.follow(|_| Reply::status(403));
    wait_until("its end", || relay.sessions().is_empty());
    drop(peer);
    wait_state(&relay, Role::Publisher, 0, EndpointState::Listening);
}

#[test]
fn a_session_at_a_listening_input_keeps_its_address_from_being_banned() {
    Namespace::new(&["198.51.100.0/24"]).run(|| {
        let at = |host: u8| SocketAddr::from(([198, 51, 100, host], 0));
        let input = std::net::UdpSocket::bind(at(1)).unwrap().local_addr().unwrap();
        let relay = gateway(&format!(
            "[srt]\nport = \"198.51.100.1:0\"\n[limits]\nban_after_rejections = 1\n\
             [streams.\"live/a\"]\ninputs = [\"srt://{input}?mode=listener\"]\n"
        ));
        wait_state(&relay, Role::Publisher, 0, EndpointState::Listening);
        let call = |to, streamid: &str| {
            SrtSocket::builder()
                .options(options(streamid))
                .bind(at(9))
                .connect(to)
        };
        let guess = |name: &str| code(call(port(&relay), &format!("#!::r={name},m=publish")));
        let play = "#!::r=live/a,m=request";
        let peer = call(input, "").unwrap();
        wait_until("its session", || relay.sessions().len() == 1);
        assert_eq!(guess("nowhere"), 1404);
        drop(call(port(&relay), play).unwrap());
        drop(peer);
        wait_until("the end of both", || relay.sessions().is_empty());
        assert_eq!(guess("elsewhere"), 1404);
        assert_eq!(code(call(port(&relay), play)), 1403);
    });
}
