//! The events posted to the receiver of `[events]`, with real callers and a real HTTP server.

use crate::common::{DEADLINE, options};
use serde_json::Value;
use srt_e2e::client::{Publisher, Viewer, connect, refusal};
use srt_e2e::http::{HttpServer, Reply};
use srt_e2e::in_process::TestGateway;
use srt_e2e::pace::Tail;
use srt_e2e::ports::free_udp;
use srt_e2e::source::{StampedTs, Verifier};
use srt_e2e::wait::{wait_for, wait_until};
use srt_gateway::config::PortKind;
use srt_safe::SrtListener;
use std::collections::HashSet;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

const PUBLISH: &str = "#!::r=cam1,m=publish,u=alice,s=hunter2";
const PLAY: &str = "#!::r=cam1,m=request";

fn config(url: &str, rest: &str) -> String {
    format!(
        "[gateway]\nname = \"gw7\"\n[srt]\nport = \"127.0.0.1:0\"\n[events]\nurl = {url:?}\nsecret = \"hunter5\"\n{rest}\n"
    )
}

/// All events so far, in the order of their arrival.
fn events(receiver: &HttpServer) -> Vec<Value> {
    let requests = receiver.requests();
    requests
        .iter()
        .flat_map(|request| serde_json::from_slice::<Vec<Value>>(&request.body).unwrap())
        .collect()
}

/// The first event that has all these fields.
#[track_caller]
fn wait_event(receiver: &HttpServer, wanted: &[(&str, &str)]) -> Value {
    wait_for(DEADLINE, &format!("{wanted:?}"), || {
        let all = events(receiver);
        all.into_iter()
            .find(|event| wanted.iter().all(|(key, value)| event[key] == *value))
    })
}

/// The first event with this field, while an action is repeated.
#[track_caller]
fn wait_event_while(receiver: &HttpServer, (key, value): (&str, &str), mut act: impl FnMut()) -> Value {
    wait_for(DEADLINE, value, || {
        act();
        events(receiver).into_iter().find(|event| event[key] == value)
    })
}

#[test]
fn sessions_streams_and_refusals_are_told_with_their_fields_and_without_secrets() {
    let receiver = HttpServer::start(|_| Reply::ok(""));
    let gateway = TestGateway::start(&config(&receiver.url("/events"), "[streams.cam1]"));
    let addr = gateway.addr(PortKind::Both);
    let source = StampedTs::generate(81, 2_000, 5_000_000);
    let publisher = Publisher::connect(
        addr,
        PUBLISH,
        options(),
        (source.bytes(), source.rate(), Tail::Close),
    );
    let viewer = Viewer::connect(addr, PLAY, options());
    let opened = wait_event(&receiver, &[("event", "session_open"), ("role", "publisher")]);
    assert_eq!(
        (&opened["stream"], &opened["gateway"], &opened["port"]),
        (&"cam1".into(), &"gw7".into(), &addr.port().into())
    );
    assert_eq!(opened["encryption"], "none");
    assert!(
        opened["peer"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{opened}"
    );
    let up = wait_event(&receiver, &[("event", "stream_up"), ("stream", "cam1")]);
    assert_eq!(
        (&up["session"], &up["peer"]),
        (&opened["session"], &opened["peer"])
    );

    assert_eq!(refusal(addr, PUBLISH, options()).value(), 1409);
    let refused = wait_event(&receiver, &[("event", "rejected"), ("stream", "cam1")]);
    assert_eq!(
        (&refused["code"], &refused["by"], &refused["times"]),
        (&1409.into(), &"stream".into(), &1.into())
    );
    assert!(
        refused["reason"].as_str().is_some_and(|reason| reason.len() > 10),
        "{refused}"
    );
    assert!(
        refused["streamid"].as_str().unwrap().contains("s=***"),
        "{refused}"
    );

    publisher.close();
    let closed = wait_event(&receiver, &[("event", "session_close"), ("role", "publisher")]);
    assert_eq!(closed["session"], opened["session"]);
    assert!(
        closed["reason"].as_str().unwrap().contains("peer closed"),
        "{closed}"
    );
    assert!(
        closed["bytes"].as_u64().unwrap() > 0 && closed["seconds"].is_number(),
        "{closed}"
    );
    let down = wait_event(&receiver, &[("event", "stream_down"), ("stream", "cam1")]);
    assert_eq!(
        (&down["session"], &down["reason"]),
        (&closed["session"], &closed["reason"])
    );
    drop(viewer);
    gateway.shut_down();

    let all = events(&receiver);
    let viewers = all.iter().filter(|event| event["role"] == "viewer");
    assert_eq!(
        viewers.map(|event| &event["event"]).collect::<Vec<_>>(),
        ["session_open", "session_close"]
    );
    let numbers: Vec<_> = all
        .iter()
        .map(|event| event["number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=all.len() as u64).collect::<Vec<_>>());
    let times: Vec<_> = all.iter().map(|event| event["time"].as_str().unwrap()).collect();
    assert!(
        times.is_sorted() && times.iter().all(|time| time.len() == 24),
        "{times:?}"
    );
    for request in receiver.requests() {
        assert!(!request.text().contains("hunter"), "{}", request.text());
        assert_eq!(request.header("x-signature").unwrap().len(), 64);
    }
}

#[test]
fn a_switch_of_inputs_and_an_output_that_fails_are_told() {
    let receiver = HttpServer::start(|_| Reply::ok(""));
    let ports = [free_udp(), free_udp()].map(|addr| addr.port());
    let nobody = free_udp();
    let [first, second] = ports.map(|port| format!("udp://127.0.0.1:{port}"));
    let gateway = TestGateway::start(&config(
        &receiver.url("/"),
        &format!(
            "[streams.cam1]\ninputs = [\"{first}?buffer_size=100000\", {second:?}]\nfailover = {{ after = \"500ms\" }}\n\
             outputs = [\"srt://{nobody}?streamid=#!::r=a,m=publish,s=hunter3&passphrase=hunter4hunter4\"]"
        ),
    ));
    gateway.wait_stream("cam1", DEADLINE, "a source", |stream| stream.has_source);
    let (first_sends, ended) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let sender = {
        let (first_sends, ended) = (Arc::clone(&first_sends), Arc::clone(&ended));
        thread::spawn(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let packets = [0x47; 1316];
            while !ended.load(Relaxed) {
                for (index, port) in ports.into_iter().enumerate() {
                    if index == 1 || first_sends.load(Relaxed) {
                        socket.send_to(&packets, ("127.0.0.1", port)).unwrap();
                    }
                }
                thread::sleep(Duration::from_millis(20));
            }
        })
    };
    gateway.wait_stream("cam1", DEADLINE, "data", |stream| stream.bytes > 50_000);
    let up = wait_event(&receiver, &[("event", "stream_up")]);
    assert_eq!(
        (&up["url"], &up["role"]),
        (&first.as_str().into(), &"publisher".into())
    );
    first_sends.store(false, Relaxed);
    let switched = wait_event(&receiver, &[("event", "input_switched"), ("stream", "cam1")]);
    assert_eq!(
        (&switched["from"], &switched["to"]),
        (&first.as_str().into(), &second.as_str().into())
    );
    assert!(
        switched["session"].as_u64() != up["session"].as_u64(),
        "{switched}"
    );
    let failed = wait_event(&receiver, &[("event", "output_failed"), ("stream", "cam1")]);
    assert_eq!(failed["url"], format!("srt://{nobody}"));
    assert!(
        failed["reason"].is_string() && failed["failures"].as_u64() > Some(0),
        "{failed}"
    );
    ended.store(true, Relaxed);
    sender.join().unwrap();
    for request in receiver.requests() {
        assert!(!request.text().contains("hunter"), "{}", request.text());
    }
}

#[test]
fn an_input_whose_peer_accepts_and_closes_is_reported_once_and_again_when_data_flow() {
    let receiver = HttpServer::start(|_| Reply::ok(""));
    let origin = free_udp();
    let listener = SrtListener::builder().nonblocking().bind(origin).unwrap();
    let stream = format!("[streams.cam1]\ninputs = [\"srt://{origin}\"]");
    let gateway = TestGateway::start(&config(&receiver.url("/"), &stream));
    let input = || gateway.endpoints().into_iter().next();
    wait_until(DEADLINE, "three failures", || {
        // Closed as soon as it is accepted.
        drop(listener.accept());
        input().is_some_and(|input| input.failures >= 3)
    });
    let peer = wait_for(DEADLINE, "the next call", || listener.accept().ok());
    wait_event_while(&receiver, ("event", "stream_up"), || {
        peer.0.send(&[0x47; 1316]).unwrap();
    });
    let all = events(&receiver);
    let of = |event: &str| all.iter().filter(|told| told["event"] == event).count();
    let failed = all.iter().filter(|told| told["event"] == "input_failed");
    let reasons: HashSet<_> = failed.map(|told| told["reason"].as_str()).collect();
    assert_eq!(of("input_failed"), reasons.len(), "one event per reason: {all:?}");
    // The first connection, and the one that carries data.
    assert!((1..=2).contains(&of("session_open")), "{all:?}");
    assert!(of("session_close") <= 1 && of("stream_up") == 1, "{all:?}");
    assert_eq!(input().unwrap().last_failure, None);
}

#[test]
fn a_slow_receiver_costs_no_stream_a_packet() {
    let receiver = HttpServer::start(|_| Reply::After(Duration::from_secs(2), 200, String::new()));
    let gateway = TestGateway::start(&config(&receiver.url("/"), "[streams.cam1]\n[streams.cam2]"));
    let addr = gateway.addr(PortKind::Both);
    let source = StampedTs::generate(82, 6 * 3_325, 5_000_000);
    let viewer = Viewer::connect(addr, PLAY, options());
    let publisher = Publisher::connect(
        addr,
        PUBLISH,
        options(),
        (source.bytes(), source.rate(), Tail::Close),
    );
    while viewer.len() < source.bytes().len() / 2 {
        drop(connect(addr, "#!::r=cam2,m=request", options()).unwrap());
    }
    let status = gateway.event_posts().unwrap();
    assert!(status.waiting > 0 && status.dropped == 0, "{status:?}");
    viewer.wait_received(source.bytes().len(), DEADLINE);
    drop(publisher);
    let mut verifier = Verifier::new(&source);
    verifier.feed(&viewer.finish().bytes);
    verifier.finish().assert_exact(source.bytes().len() / 188);
}

#[test]
fn a_receiver_that_comes_back_gets_what_it_missed_and_a_reload_changes_the_receiver() {
    let receiver = HttpServer::start(|_| Reply::status(500));
    let text = config(&receiver.url("/"), "[streams.cam1]");
    let gateway = TestGateway::start(&text);
    let addr = gateway.addr(PortKind::Both);
    // A connection that is closed before it is accepted is no session.
    let viewers = [0; 5].map(|_| connect(addr, PLAY, options()).unwrap());
    wait_until(DEADLINE, "all sessions", || gateway.sessions().len() == 5);
    drop(viewers);
    wait_until(DEADLINE, "a failed post", || {
        let status = gateway.event_posts().unwrap();
        status.failed > 0 && status.posted == 0 && status.waiting == 10
    });
    let before = receiver.requests().len();
    receiver.follow(|_| Reply::ok(""));
    wait_until(DEADLINE, "all to be posted", || {
        gateway.event_posts().unwrap().waiting == 0
    });
    let late = receiver.requests().split_off(before);
    let last: Vec<Value> = serde_json::from_slice(&late.last().unwrap().body).unwrap();
    let numbers: Vec<_> = last
        .iter()
        .map(|event| event["number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>());

    let other = HttpServer::start(|_| Reply::ok(""));
    gateway.reload(&text.replace(&receiver.url("/"), &other.url("/other")));
    let posted = receiver.requests().len();
    assert_eq!(refusal(addr, "#!::r=nowhere,m=request", options()).value(), 1404);
    let refused = wait_event(&other, &[("event", "rejected")]);
    assert_eq!((&refused["code"], &refused["number"]), (&1404.into(), &11.into()));
    assert_eq!(
        (other.requests()[0].path.as_str(), receiver.requests().len()),
        ("/other", posted)
    );
}
