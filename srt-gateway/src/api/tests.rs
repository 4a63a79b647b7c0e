//! The API of a gateway in this process over HTTP, so that tests can make threads hang.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::{Mutex, mpsc},
    thread,
};

use serde_json::Value;
use srt_safe::{AccessRequest, Admission, SrtListener, SrtSocket};

use super::*;
use crate::{Gateway, config::LogLevel, telemetry::Criticality};

/// Longer than a thread takes to count as stuck on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + TIMEOUT;
    while !holds() {
        assert!(Instant::now() < end, "in vain: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The status and body of the answer.
fn ask(addr: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The status of a health check, and the threads that it names.
fn health(addr: SocketAddr, path: &str) -> (u16, Vec<String>) {
    let (status, body) = ask(addr, path);
    let body: Value = serde_json::from_str(&body).unwrap();
    // Absent if there are none.
    let stuck = body["stuck"].as_array().into_iter().flatten();
    let names = stuck.map(|entry| {
        let since = entry["since"].as_str().unwrap();
        assert!(humantime::parse_rfc3339(since).is_ok(), "{since}");
        entry["thread"].as_str().unwrap().to_owned()
    });
    (status, names.collect())
}

/// A listener whose thread hangs in its callback until the sender is dropped.
fn hanging_listener() -> (SrtListener, mpsc::Sender<()>) {
    let (entered, inside) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let listener = SrtListener::builder()
        .access_control(move |_: &AccessRequest<'_>| {
            entered.send(()).ok();
            released.lock().unwrap().recv().ok();
            Admission::new()
        })
        .bind("127.0.0.1:0")
        .unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || SrtSocket::builder().connect(addr).ok());
    inside.recv_timeout(TIMEOUT).unwrap();
    (listener, release)
}

#[test]
fn health_checks_fail_and_name_the_threads_while_they_hang() {
    let config = Config::parse("[api]\nlisten = \"127.0.0.1:0\"\nstate = \"\"").unwrap();
    let gateway = Gateway::start(&config).unwrap();
    let (store, _) = ConfigStore::open("", &config, None);
    let log = LogControl::new(LogLevel::Info, None);
    let (orders, _orders) = crossbeam_channel::bounded(1);
    let shared = (Arc::new(store), Arc::new(log));
    let api = Api::start(&config, gateway.view().clone(), shared, orders);
    let api = api.unwrap().unwrap();
    let addr = api.addrs()[0];
    // libsrt threads that other tests of this process make hang count as well.
    wait_until("health", || health(addr, "/healthz").0 == 200);

    let (go_on, wait) = mpsc::channel::<()>();
    let pulse = gateway.view().threads.register("relay-9", Criticality::Vital);
    let worker = thread::spawn(move || {
        pulse.beat();
        wait.recv().ok();
        pulse.beat();
        pulse.rest();
        pulse
    });
    let (listener, release) = hanging_listener();
    let mut names = vec!["relay-9".to_owned()];
    if srt_safe::library_edits().contains("thread-progress") {
        let port = listener.local_addr().unwrap().port();
        names.push(format!("libsrt receive, port {port}"));
    }
    for path in ["/healthz", "/readyz"] {
        wait_until("503 with the names", || {
            let (status, stuck) = health(addr, path);
            names.iter().all(|name| stuck.contains(name)) && status == 503
        });
    }
    let (status, metrics) = ask(addr, "/metrics");
    assert_eq!(status, 200);
    let metric = metrics
        .lines()
        .find_map(|line| line.strip_prefix("srt_gateway_threads_stuck "));
    let stuck: f64 = metric.unwrap().parse().unwrap();
    assert!(stuck >= names.len() as f64, "{stuck}");

    drop((go_on, release));
    let _pulse = worker.join().unwrap();
    for path in ["/healthz", "/readyz"] {
        wait_until("health again", || {
            let (status, stuck) = health(addr, path);
            status == 200 && stuck.is_empty()
        });
    }
}
