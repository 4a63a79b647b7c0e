//! Ports of `[[listeners]]` that a backend configures at the first call: real callers and a real HTTP server, over
//! loopback.

#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the end-to-end tests' own; a part is used here"
)]
#[path = "../../tests/support/http.rs"]
mod http;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the end-to-end tests' own; a part is used here"
)]
#[path = "../../tests/support/namespace.rs"]
mod namespace;
mod peers;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the end-to-end tests' own; a part is used here"
)]
#[path = "../../tests/support/ports.rs"]
mod ports;
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the end-to-end tests' own; a part is used here"
)]
#[path = "../../tests/support/raw/mod.rs"]
mod raw;

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use http::{HttpServer, Reply, Request};
use namespace::Namespace;
use peers::{Call, Sink, Source, assert_contiguous, gateway, port, wait_until};
use ports::{free_udp, free_udp_on};
use raw::{Control, Forger, Handshake, Packet, RawPeer, Refused};
use srt_gateway::{Gateway, Role, config::Config};
use srt_safe::{Options, Passphrase, SrtListener, SrtSocket, StreamId};

/// libsrt's default connect timeout.
const DEFAULT_CONNECT: Duration = Duration::from_secs(3);

/// A gateway with these ports, and a global one.
fn toml(ports: &[SocketAddr], mode: &str, url: &str, external: &str) -> String {
    let ports: Vec<_> = ports.iter().map(SocketAddr::port).collect();
    format!(
        "[gateway]\nname = \"gw7\"\n[srt]\nport = \"127.0.0.1:0\"\n\
         [[listeners]]\nports = {ports:?}\naddress = \"127.0.0.1\"\nmode = \"{mode}\"\n\
         [config_external]\nurl = \"{url}\"\n{external}\n"
    )
}

fn call(to: SocketAddr, streamid: &str, passphrase: &str) -> srt_safe::Result<SrtSocket> {
    let mut options = Options::new();
    if !passphrase.is_empty() {
        options = options.passphrase(Passphrase::new(passphrase).unwrap());
    }
    if !streamid.is_empty() {
        options = options.stream_id(StreamId::new(streamid).unwrap());
    }
    SrtSocket::builder().options(options).connect(to)
}

/// The code that the caller receives.
#[track_caller]
fn refused(to: SocketAddr, streamid: &str) -> i32 {
    match call(to, streamid, "") {
        Ok(_) => panic!("let in at {to}"),
        Err(error) => error.reject_reason().unwrap_or_else(|| panic!("{error}")).value(),
    }
}

fn asked_port(request: &Request) -> u16 {
    let question: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    u16::try_from(question["port"].as_u64().unwrap()).unwrap()
}

fn last_reason(gateway: &Gateway) -> String {
    gateway
        .rejections()
        .pop()
        .map(|kept| kept.reason)
        .unwrap_or_default()
}

/// Waits until no session is left.
fn wait_empty(gateway: &Gateway) {
    wait_until("the end of the sessions", || gateway.sessions().is_empty());
}

#[test]
fn first_contact_publishes_and_plays_what_the_backend_says() {
    let [publish, play] = [free_udp(), free_udp()];
    let server = HttpServer::start(move |request| {
        if asked_port(request) == publish.port() {
            Reply::ok(
                r#"{"stream": "live/a", "passphrase": "of this port", "latency": 80, "max_viewers": 1}"#,
            )
        } else {
            Reply::ok(r#"{"stream": "live/a"}"#)
        }
    });
    let gateway = gateway(&toml(&[publish, play], "any", &server.url("/srt"), ""));
    assert_eq!(gateway.listening().len(), 1, "the global port");
    let begin = Instant::now();
    let socket = call(publish, "#!::m=publish", "of this port").unwrap();
    assert!(begin.elapsed() < DEFAULT_CONNECT, "{:?}", begin.elapsed());
    assert!(socket.key_state().unwrap().is_secured());
    let source = Source::start(1, move |message| socket.send(message).is_ok());
    let viewer = call(play, "#!::m=request", "").unwrap();
    let sink = Sink::receive(viewer);
    sink.wait_more(200);
    assert_contiguous(&sink.finish(), 200);
    assert_eq!(gateway.listening().len(), 3);
    wait_until("the viewer's end", || gateway.streams()[0].viewers == 0);

    let question: serde_json::Value = serde_json::from_slice(&server.requests()[0].body).unwrap();
    assert_eq!(question["address"], "127.0.0.1");
    assert_eq!(question["port"], publish.port());
    assert_eq!(
        (&question["mode"], &question["gateway"]),
        (&"any".into(), &"gw7".into())
    );
    assert!(
        question["peer"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{question}"
    );
    assert_eq!(server.requests().len(), 2, "each port once");

    // The stream that the answer created exists on other ports as well, as the answer says.
    let _viewer = call(port(&gateway), "#!::r=live/a,m=request", "").unwrap();
    wait_until("the viewer", || gateway.streams()[0].viewers == 1);
    assert_eq!(refused(port(&gateway), "#!::r=live/a,m=request"), 1402);
    // The table of the specification applies to such a port.
    assert_eq!(refused(play, ""), 1400);
    assert_eq!(refused(play, "#!::r=other,m=request"), 1404);
    drop(source);
}

#[test]
fn refusals_are_cached_and_told_at_once() {
    let to = free_udp();
    let server = HttpServer::start(|_| Reply::status(404));
    let gateway = gateway(&toml(&[to], "publish", &server.url("/"), "cache = \"1s\""));
    let begin = Instant::now();
    for _ in 0..3 {
        assert_eq!(refused(to, "#!::r=secret"), 1404);
    }
    let asked = server.requests().len();
    assert!(asked == 1 || begin.elapsed() > Duration::from_secs(1), "{asked}");
    let attempts = || gateway.rejections().iter().map(|kept| kept.count).sum::<u64>();
    wait_until("the rejections", || attempts() >= 3);
    let kept = gateway.rejections().remove(0);
    assert_eq!((kept.port, kept.code), (to.port(), 1404));
    assert!(kept.reason.contains("(404)"), "{}", kept.reason);
    server.follow(|_| Reply::ok(r#"{"stream": "x"}"#));
    wait_until("the refusal to hold no longer", || call(to, "", "").is_ok());
}

#[test]
fn a_backend_that_is_down_wrong_or_hangs_harms_its_port_alone() {
    let cases = [
        (Reply::status(500), 1503, "answered with status 500"),
        (Reply::Dead, 1503, "did not answer within 1000 ms"),
        (Reply::Cut, 1503, "sent an incomplete answer"),
        (Reply::ok("<html>"), 1502, "did not answer with a JSON object"),
        (Reply::ok("[1]"), 1502, "did not answer with a JSON object"),
        (Reply::ok("{}"), 1502, "stream: is missing"),
        (Reply::ok(r#"{"stream": 5}"#), 1502, "stream: must be a name"),
        (
            Reply::ok(r#"{"stream": "x", "latency": "soon"}"#),
            1502,
            "latency: must be a duration",
        ),
        (
            Reply::ok(r#"{"stream": "x", "options": {"nosuch": 1}}"#),
            1502,
            "options.nosuch",
        ),
        (Reply::Huge(1 << 20), 1503, "more than"),
    ];
    let ports = cases.clone().map(|_| free_udp());
    let good = free_udp();
    let replies: Vec<_> = ports
        .iter()
        .zip(&cases)
        .map(|(port, case)| (port.port(), case.0.clone()))
        .collect();
    let server = HttpServer::start(move |request| {
        let port = asked_port(request);
        let found = replies.iter().find(|(wrong, _)| *wrong == port);
        found.map_or_else(|| Reply::ok(r#"{"stream": "good"}"#), |(_, reply)| reply.clone())
    });
    let all: Vec<_> = ports.into_iter().chain([good]).collect();
    let gateway = gateway(&toml(&all, "publish", &server.url("/"), "timeout = \"1s\""));
    let source = Source::publish(1, good, &Call::named("#!::r=good"));
    let sink = Sink::play(port(&gateway), &Call::named("#!::r=good,m=request"));
    for (to, (_, code, told)) in ports.into_iter().zip(cases) {
        assert_eq!(refused(to, ""), code, "{told}");
        wait_until(told, || last_reason(&gateway).contains(told));
    }
    sink.wait_more(100);
    assert_contiguous(&sink.finish(), 100);
    drop(source);

    let down = HttpServer::nobody_at();
    gateway
        .reload(Config::parse(&toml(&all, "publish", &down, "")).unwrap())
        .unwrap();
    assert_eq!(refused(ports[3], ""), 1503);
    wait_until("the reason", || {
        last_reason(&gateway).contains("cannot be reached")
    });
}

#[test]
fn two_seconds_of_a_backend_are_waited_for_by_its_caller_alone() {
    let [slow, quick] = [free_udp(), free_udp()];
    let server = HttpServer::start(move |request| {
        let answer = format!(r#"{{"stream": "{}"}}"#, asked_port(request));
        if asked_port(request) == slow.port() {
            return Reply::After(Duration::from_secs(2), 200, answer);
        }
        Reply::ok(&answer)
    });
    let gateway = gateway(&toml(
        &[slow, quick],
        "publish",
        &server.url("/"),
        "timeout = \"5s\"",
    ));
    let patient = std::thread::spawn(move || call(slow, "", "").map(drop));
    wait_until("the slow question", || !server.requests().is_empty());
    let begin = Instant::now();
    let _quick = call(quick, "", "").unwrap();
    let _global = call(port(&gateway), &format!("#!::r={},m=request", quick.port()), "").unwrap();
    assert!(!patient.is_finished(), "{:?}", begin.elapsed());
    patient.join().unwrap().unwrap();
}

#[test]
fn when_an_answer_holds_no_longer_the_next_caller_has_it_asked_for_again() {
    if !srt_safe::SrtListener::can_defer() {
        return;
    }
    let to = free_udp();
    let server = HttpServer::start(|_| Reply::ok(r#"{"stream": "first"}"#));
    let gateway = gateway(&toml(&[to], "publish", &server.url("/"), "cache = 0"));
    let first = call(to, "", "").unwrap();
    wait_until("the session", || gateway.sessions().len() == 1);
    // The slot is taken, and the backend is not asked while there is a session.
    assert_eq!(refused(to, ""), 1409);
    assert_eq!(server.requests().len(), 1);
    drop(first);
    wait_empty(&gateway);

    // Unchanged, but asked about; then with the backend down: the configuration stays.
    for reply in [Reply::ok(r#"{"stream": "first"}"#), Reply::status(503)] {
        let asked = server.requests().len();
        server.follow(move |_| reply.clone());
        wait_until("a question", || {
            let socket = call(to, "", "").unwrap();
            wait_until("the session", || gateway.sessions().len() == 1);
            drop(socket);
            wait_empty(&gateway);
            server.requests().len() == asked + 1
        });
    }

    server.follow(|_| Reply::ok(r#"{"stream": "second"}"#));
    wait_until("the other stream", || {
        let socket = call(to, "", "");
        wait_until("the session", || {
            socket.is_err() || !gateway.sessions().is_empty()
        });
        let streams: Vec<_> = gateway.sessions().iter().map(|s| s.stream.to_string()).collect();
        drop(socket);
        wait_empty(&gateway);
        streams == ["second"]
    });
    wait_until("the end of the first stream", || {
        gateway
            .streams()
            .iter()
            .all(|stream| stream.name.as_str() != "first")
    });

    server.follow(|_| Reply::status(404));
    wait_until(
        "the refusal",
        || matches!(call(to, "", ""), Err(error) if error.reject_reason().is_some_and(|r| r.value() == 1404)),
    );
    assert_eq!(gateway.listening().len(), 1, "closed");
    server.follow(|_| Reply::ok(r#"{"stream": "third"}"#));
    wait_until("the third stream", || call(to, "", "").is_ok());
}

#[test]
fn garbage_asks_nobody_and_ends_nothing() {
    let to = free_udp();
    let server = HttpServer::start(|_| Reply::ok(r#"{"stream": "x"}"#));
    let gateway = gateway(&toml(&[to], "publish", &server.url("/"), ""));
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for length in 0..1500 {
        stranger.send_to(&vec![0x80; length], to).unwrap();
        stranger.send_to(&vec![0; length], to).unwrap();
    }
    assert!(server.requests().is_empty());
    wait_until("a caller between", || call(to, "", "").is_ok());
    assert_eq!(server.requests().len(), 1);
    assert!(gateway.rejections().is_empty());
}

#[test]
fn a_reload_touches_the_ports_that_differ() {
    let [kept, gone, new] = [free_udp(), free_udp(), free_udp()];
    let server =
        HttpServer::start(|request| Reply::ok(&format!(r#"{{"stream": "{}"}}"#, asked_port(request))));
    let url = server.url("/");
    let gateway = gateway(&toml(&[kept, gone], "publish", &url, ""));
    let name = format!("#!::r={},m=request", kept.port());
    let source = Source::publish(1, kept, &Call::named(""));
    let sink = Sink::receive(call(port(&gateway), &name, "").unwrap());
    let leaves = call(gone, "", "").unwrap();
    wait_until("three sessions", || gateway.sessions().len() == 3);
    let reloaded = gateway
        .reload(Config::parse(&toml(&[kept, new], "publish", &url, "")).unwrap())
        .unwrap();
    assert_eq!(reloaded.changes, ["listeners or config_external changed"]);
    assert_eq!(reloaded.warnings, [""; 0]);
    wait_until("the end of what is gone", || gateway.sessions().len() == 2);
    drop(leaves);
    let _new = call(new, "", "").unwrap();
    // Now as a port of a stream; and the remaining port gets another backend, which configures it differently.
    let other = HttpServer::start(|_| Reply::ok(r#"{"stream": "other", "max_viewers": 3}"#));
    let fixed = format!(
        "{}[streams.fixed]\nsrt_publish = {{ port = \"{gone}\" }}\n",
        toml(&[kept], "publish", &other.url("/"), "")
    );
    gateway.reload(Config::parse(&fixed).unwrap()).unwrap();
    wait_until("the fixed port", || call(gone, "", "").is_ok());
    sink.wait_more(50);
    assert_contiguous(&sink.finish(), 50);
    assert!(other.requests().is_empty(), "somebody is there");
    drop(source);
    wait_empty(&gateway);
    if srt_safe::SrtListener::can_defer() {
        wait_until("the other backend's stream", || {
            let socket = call(kept, "", "");
            wait_until("the session", || {
                socket.is_err() || !gateway.sessions().is_empty()
            });
            gateway
                .sessions()
                .iter()
                .any(|s| s.stream.as_str() == "other" && s.role == Role::Publisher)
        });
    }
}

#[test]
fn a_port_that_somebody_has_is_told_by_name() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let config = Config::parse(&toml(&[addr], "any", "http://127.0.0.1:9/", "")).unwrap();
    let error = Gateway::start(&config).unwrap_err().to_string();
    assert!(
        error.contains(&format!("port {} of [[listeners]]", addr.port())),
        "{error}"
    );
}

#[test]
fn all_addresses_of_both_families_are_one_port() {
    let port = free_udp().port();
    let server = HttpServer::start(|_| Reply::ok(r#"{"stream": "x"}"#));
    let gateway = gateway(&format!(
        "[[listeners]]\nports = {port}\nmode = \"play\"\n[config_external]\nurl = \"{}\"\n",
        server.url("/")
    ));
    let _four = call(SocketAddr::from(([127, 0, 0, 1], port)), "", "").unwrap();
    let six = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port));
    let has_six = UdpSocket::bind("[::1]:0").is_ok();
    assert!(!has_six || call(six, "", "").is_ok());
    wait_until("the session", || !gateway.sessions().is_empty());
    let question: serde_json::Value = serde_json::from_slice(&server.requests()[0].body).unwrap();
    assert_eq!(question["address"], "127.0.0.1", "the address that answers");
}

/// Whether an idle port can verify a caller's address. An installed libsrt has no cookie for that.
fn proves_addresses() -> bool {
    let any = SocketAddr::from(([127, 0, 0, 1], 1));
    SrtListener::cookie_for(any, any).is_some()
}

/// An induction, and a conclusion with a cookie that the port did not send.
fn unproved(number: u32) -> [Vec<u8>; 2] {
    let guess = number.wrapping_mul(0x9E37_79B9);
    let handshakes = [
        Handshake::induction(1 + number, 5_000),
        Handshake::conclusion(1 + number, 5_000, guess, "#!::r=x"),
    ];
    handshakes.map(|handshake| Packet::from(Control::handshake(&handshake)).encode())
}

#[test]
fn forged_callers_ask_nobody_and_ban_nobody() {
    if !proves_addresses() {
        return;
    }
    Namespace::new(&["198.51.100.0/24"]).run(|| {
        let at = |host| SocketAddr::from(([198, 51, 100, host], 4_000));
        let to = free_udp_on(at(1).ip());
        let server = HttpServer::start(|_| Reply::status(404));
        let gateway = gateway(&format!(
            "[[listeners]]\nports = {}\naddress = \"{}\"\n[config_external]\nurl = \"{}\"\ncache = \"10m\"\n\
             [limits]\nban_after_rejections = 1\nhandshakes_per_second_per_ip = 10\n",
            to.port(),
            to.ip(),
            server.url("/")
        ));
        let forge = || {
            let forger = Forger::new();
            for number in 0..100 {
                for datagram in unproved(number) {
                    forger.send(at(9), to, &datagram);
                }
            }
        };
        // The port answers in order: once an answer arrives, everything before it has been handled.
        let call_from = |host: u8| {
            let mut peer = RawPeer::from_ip(at(host).ip(), to);
            peer.conclude(&peer.conclusion(peer.induce().cookie, "#!::r=x"))
        };
        forge();
        let stranger = RawPeer::from_ip(at(7).ip(), to);
        let cookie = stranger.induce();
        assert_eq!((cookie.version, cookie.extension), (5, 0x4A17));
        assert!(server.requests().is_empty(), "asked for a forged caller");
        assert_eq!(call_from(8), Err(Refused(1404)));
        // While the refusal is cached, callers that prove their address fail, and nobody else.
        forge();
        assert_eq!(call_from(9), Err(Refused(1404)), "banned for what others did");
        assert_eq!(call_from(9), Err(Refused(1403)), "banned for its own");
        assert_eq!(server.requests().len(), 1);
        let question: serde_json::Value = serde_json::from_slice(&server.requests()[0].body).unwrap();
        assert!(question["peer"].as_str().unwrap().starts_with("198.51.100.8:"));
        wait_until("the rejections", || gateway.rejections().len() >= 3);
        let kept = gateway.rejections();
        assert!(
            kept.iter().all(|kept| kept.peer.port() != at(9).port()),
            "{kept:?}"
        );
    });
}

#[test]
fn an_address_has_few_ports_opened_before_it_connects() {
    if !proves_addresses() {
        return;
    }
    const LIMIT: usize = 32;
    Namespace::new(&["198.51.100.0/24"]).run(|| {
        let at = |host| IpAddr::from([198, 51, 100, host]);
        let ports: Vec<_> = (0..LIMIT + 2).map(|_| free_udp_on(at(1))).collect();
        let server =
            HttpServer::start(|request| Reply::ok(&format!("{{\"stream\": \"x{}\"}}", asked_port(request))));
        let numbers: Vec<_> = ports.iter().map(SocketAddr::port).collect();
        let gateway = gateway(&format!(
            "[[listeners]]\nports = {numbers:?}\naddress = \"{}\"\nmode = \"publish\"\n\
             [config_external]\nurl = \"{}\"\n[limits]\nhandshakes_per_second_per_ip = 0\n",
            at(1),
            server.url("/")
        ));
        // Such a caller gets the port opened, and is refused there.
        let call_from = |host: u8, to: SocketAddr, streamid: &str| {
            let mut peer = RawPeer::from_ip(at(host), to);
            let answer = peer.conclude(&peer.conclusion(peer.induce().cookie, streamid));
            (peer, answer)
        };
        for port in &ports[..LIMIT] {
            assert_eq!(call_from(9, *port, "#!::m=request").1, Err(Refused(1405)));
        }
        let (last, spare) = (ports[LIMIT], ports[LIMIT + 1]);
        assert_eq!(call_from(9, last, "").1, Err(Refused(1402)));
        assert_eq!(server.requests().len(), LIMIT);
        wait_until("the record of the limit", || {
            let mut kept = gateway.rejections().into_iter();
            kept.any(|kept| kept.reason.contains("32 ports of [[listeners]]"))
        });
        let (_other, answer) = call_from(8, last, "");
        answer.expect("another address has its own places");
        let (_used, answer) = call_from(9, ports[0], "");
        answer.expect("the port is open");
        wait_until("the place of the used port", || call_from(9, spare, "").1.is_ok());
    });
}

#[test]
fn a_caller_with_a_socket_id_of_32_bits_is_let_in() {
    let to = free_udp();
    let server = HttpServer::start(|_| Reply::ok(r#"{"stream": "x"}"#));
    let gateway = gateway(&toml(&[to], "publish", &server.url("/"), ""));
    // gosrt uses all 32 bits.
    let mut peer = RawPeer::new(to);
    let of_socket = |handshake| Handshake {
        socket_id: 0x8000_0001,
        ..handshake
    };
    let answer = peer.exchange(&of_socket(peer.induction()), peers::PATIENCE);
    let cookie = answer.expect("a cookie").cookie;
    peer.conclude(&of_socket(peer.conclusion(cookie, ""))).unwrap();
    wait_until("the session", || gateway.sessions().len() == 1);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn answers_come_from_the_address_that_was_called() {
    let port = free_udp().port();
    let server = HttpServer::start(|_| Reply::ok(r#"{"stream": "x"}"#));
    let gateway = gateway(&format!(
        "[[listeners]]\nports = {port}\nmode = \"publish\"\n[config_external]\nurl = \"{}\"\n",
        server.url("/")
    ));
    // The address that the system chooses towards 127.0.0.1 is another one. RawPeer accepts no answer from there.
    let second = SocketAddr::from(([127, 0, 0, 2], port));
    let mut peer = RawPeer::from_ip([127, 0, 0, 1].into(), second);
    let cookie = peer.induce().cookie;
    peer.conclude(&peer.conclusion(cookie, "")).unwrap();
    wait_until("the session", || gateway.sessions().len() == 1);
}

#[test]
fn an_idle_port_advises_the_key_length_of_the_last_answer() {
    if !proves_addresses() {
        return;
    }
    let to = free_udp();
    let answer = r#"{"stream": "x", "passphrase": "of this port", "key_length": 32}"#;
    let server = HttpServer::start(|_| Reply::ok(answer));
    let gateway = gateway(&toml(&[to], "publish", &server.url("/"), "cache = 0"));
    assert_eq!(RawPeer::new(to).induce().encryption, 0, "nothing is known yet");
    let first = call(to, "", "of this port").unwrap();
    wait_until("the session", || gateway.sessions().len() == 1);
    drop(first);
    wait_empty(&gateway);
    server.follow(|_| Reply::status(404));
    wait_until("the port to be idle", || {
        drop(call(to, "", "of this port"));
        wait_empty(&gateway);
        gateway.listening().len() == 1
    });
    assert_eq!(RawPeer::new(to).induce().encryption, 4);
}

#[test]
fn a_reload_that_adds_backends_keeps_control_from_reading_certificates() {
    let to = free_udp();
    let server = HttpServer::start(|_| Reply::ok(r#"{"stream": "live/a"}"#));
    let url = server.url("/");
    let bare = "[srt]\nport = \"127.0.0.1:0\"\n[streams.\"live/a\"]\n";
    let listener = format!(
        "[[listeners]]\nports = [{}]\naddress = \"127.0.0.1\"\nmode = \"publish\"\n[config_external]\nurl = \"{url}\"\n",
        to.port()
    );
    for added in [
        format!("[auth]\nurl = \"{url}\"\n"),
        format!("[events]\nurl = \"{url}\"\n"),
        listener,
    ] {
        let gateway = gateway(bare);
        let config = Config::parse(&format!("{bare}{added}")).unwrap();
        // Control panics in a debug build if it starts the HTTP client, and makes no calls without it in others.
        let reloaded = gateway.reload(config).expect("control answers");
        assert!(reloaded.warnings.is_empty(), "{added}: {reloaded:?}");
        assert!(!reloaded.changes.is_empty(), "{added}");
    }
}
