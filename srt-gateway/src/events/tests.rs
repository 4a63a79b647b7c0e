//! Posts to a real HTTP server that is dead, wrong, slow, or replaced.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering::Relaxed},
    },
    time::Instant,
};

use serde_json::Value;

use super::*;
use crate::{
    backend::tests::{
        http::{HttpServer, Reply, Request},
        started,
    },
    config::{HttpUrl, Secret},
    telemetry::{EventKind, Happening},
};

const TIMEOUT: Duration = Duration::from_secs(20);

/// The capacity of the log.
const KEPT: u64 = 2000;

/// A receiver, its event log, and the events that it accepted.
struct Receiver {
    server: HttpServer,
    status: Arc<AtomicU16>,
    taken: Arc<Mutex<Vec<u64>>>,
    log: Arc<EventLog>,
    poster: Arc<Poster>,
}

fn numbers(request: &Request) -> Vec<u64> {
    let events: Vec<Value> = serde_json::from_slice(&request.body).unwrap();
    let number = |event: &Value| event["number"].as_u64().unwrap();
    events.iter().map(number).collect()
}

fn settings(server: &HttpServer) -> Events {
    Events {
        url: HttpUrl::parse(&server.url("/events")).unwrap(),
        timeout: TIMEOUT,
        secret: Some(Secret::new("key")),
    }
}

fn receiver(status: u16) -> Receiver {
    let (status, taken) = (Arc::new(AtomicU16::new(status)), Arc::new(Mutex::default()));
    let (says, takes): (_, Arc<Mutex<Vec<u64>>>) = (Arc::clone(&status), Arc::clone(&taken));
    let server = HttpServer::start(move |request| {
        let status = says.load(Relaxed);
        if status < 300 {
            takes.lock().unwrap().extend(numbers(request));
        }
        Reply::status(status)
    });
    let log = Arc::new(EventLog::new("gw1"));
    let poster = Poster::new(started(), Arc::clone(&log), Some(&settings(&server))).unwrap();
    Receiver {
        server,
        status,
        taken,
        log,
        poster,
    }
}

impl Receiver {
    fn happen(&self, times: u64) {
        for _ in 0..times {
            self.log.add(Happening::new(EventKind::StreamUp, "up".to_owned()));
        }
    }

    fn taken(&self) -> Vec<u64> {
        self.taken.lock().unwrap().clone()
    }

    #[track_caller]
    fn wait(&self, what: &str, wanted: impl Fn(EventsStatus) -> bool) {
        let end = Instant::now() + TIMEOUT;
        while !wanted(self.poster.status().unwrap()) {
            assert!(Instant::now() < end, "{what}: {:?}", self.poster.status());
            std::thread::yield_now();
        }
    }
}

#[test]
fn events_come_signed_in_their_order_and_many_at_a_time() {
    let receiver = receiver(204);
    receiver.happen(1500);
    receiver.wait("all", |status| status.waiting == 0);
    assert_eq!(receiver.taken(), (1..=1500).collect::<Vec<_>>());
    let requests = receiver.server.requests();
    assert!(
        requests.len() >= 15 && requests.len() < 1500,
        "{}",
        requests.len()
    );
    assert!(requests.iter().all(|request| numbers(request).len() <= BATCH));
    let signature = requests[0].header("x-signature").unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"key");
    let wanted = aws_lc_rs::hmac::sign(&key, &requests[0].body);
    let wanted: String = wanted.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        (signature, requests[0].method.as_str()),
        (wanted.as_str(), "POST")
    );
}

#[test]
fn what_happened_while_the_receiver_was_dead_comes_in_order_up_to_the_bound() {
    let receiver = receiver(503);
    receiver.happen(5);
    receiver.wait("a failure", |status| status.failed > 0);
    receiver.happen(KEPT + 495);
    let status = receiver.poster.status().unwrap();
    assert_eq!((status.posted, status.waiting), (0, KEPT));
    assert_eq!(status.dropped, 500);
    receiver.status.store(200, Relaxed);
    receiver.wait("all", |status| status.waiting == 0);
    assert_eq!(receiver.taken(), (501..=KEPT + 500).collect::<Vec<_>>());
    let status = receiver.poster.status().unwrap();
    assert_eq!((status.posted, status.dropped), (KEPT, 500));
}

#[test]
fn events_that_a_receiver_cannot_take_do_not_hold_up_others() {
    let receiver = receiver(400);
    receiver.happen(1);
    receiver.wait("a refusal", |status| status.dropped == 1);
    receiver.status.store(200, Relaxed);
    receiver.happen(1);
    receiver.wait("the next", |status| status.posted == 1);
    assert_eq!(receiver.taken(), [2]);
    assert_eq!(receiver.poster.status().unwrap().failed, 0);
}

#[test]
fn another_receiver_gets_what_waits_at_once() {
    let receiver = receiver(500);
    receiver.happen(3);
    // Two failures: the next attempt is a second away.
    receiver.wait("failures", |status| status.failed >= 2);
    let other = HttpServer::start(|_| Reply::ok(""));
    receiver.poster.configure(Some(&settings(&other))).unwrap();
    receiver.wait("all", |status| status.waiting == 0);
    assert_eq!(numbers(&other.requests()[0]), [1, 2, 3]);
    // Events are posted to nobody now.
    receiver.poster.configure(None).unwrap();
    assert_eq!(receiver.poster.status(), None);
    receiver.happen(1);
    receiver.poster.configure(Some(&settings(&other))).unwrap();
    receiver.happen(1);
    receiver.wait("the last", |status| status.waiting == 0);
    assert_eq!(numbers(other.requests().last().unwrap()), [5]);
}

#[test]
fn who_waits_for_the_last_posts_waits_for_no_dead_receiver() {
    let receiver = receiver(200);
    receiver.happen(300);
    receiver.poster.flush(TIMEOUT);
    assert_eq!(receiver.taken().len(), 300);
    receiver.status.store(500, Relaxed);
    receiver.happen(1);
    let begin = Instant::now();
    receiver.poster.flush(TIMEOUT);
    assert!(begin.elapsed() < TIMEOUT / 2);
    // A receiver that never answers is not waited for longer than stated.
    receiver.server.follow(|_| Reply::Dead);
    receiver.poster.flush(Duration::from_millis(50));
    assert!(begin.elapsed() < TIMEOUT / 2);
}
