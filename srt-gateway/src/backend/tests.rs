//! Calls to a real HTTP server that is slow, dead, or wrong.

#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the end-to-end tests, which use all of it"
)]
#[path = "../../../tests/support/http.rs"]
pub(crate) mod http;

use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use http::{HttpServer, Reply};

use super::*;
use crate::{
    config::{HttpUrl, Secret},
    telemetry::{CallOutcome, CallStats},
};

const TIMEOUT: Duration = Duration::from_secs(20);

struct Calls {
    backend: Arc<Backend>,
    settings: ClientSettings,
}

/// A backend that is ready for clients.
pub(crate) fn started() -> Arc<Backend> {
    let backend = Arc::new(Backend::default());
    backend.start().unwrap();
    backend
}

fn calls(url: &str) -> Calls {
    Calls {
        backend: started(),
        settings: ClientSettings {
            url: HttpUrl::parse(url).unwrap(),
            timeout: TIMEOUT,
            secret: None,
            most: 8,
            answer_max: 1000,
        },
    }
}

impl Calls {
    fn client(&self) -> Client {
        self.counted().0
    }

    fn counted(&self) -> (Client, Arc<CallStats>) {
        let stats = Arc::new(CallStats::default());
        let client = self.backend.client(self.settings.clone(), Arc::clone(&stats));
        (client.unwrap(), stats)
    }

    fn post(&self, body: &str) -> Result<Answer, CallError> {
        let (sender, receiver) = mpsc::channel();
        let client = self.client();
        let done = move |result| sender.send(result).unwrap();
        client.post(body.as_bytes().to_vec(), done).unwrap();
        receiver.recv_timeout(TIMEOUT).unwrap()
    }
}

#[test]
fn a_call_is_a_signed_post_of_json() {
    let server = HttpServer::start(|_| Reply::Answer(404, "{\"a\":1}".to_owned()));
    let mut calls = calls(&server.url("/auth?token=t"));
    calls.settings.secret = Some(Secret::new("key"));
    let answer = calls.post("The quick brown fox jumps over the lazy dog").unwrap();
    assert_eq!(
        (answer.status, answer.body.as_slice()),
        (404, b"{\"a\":1}".as_slice())
    );
    assert!(!answer.is_success());
    let request = &server.requests()[0];
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", "/auth?token=t")
    );
    assert_eq!(request.header("content-type"), Some("application/json"));
    // The well-known example of HMAC-SHA256.
    assert_eq!(
        request.header("x-signature"),
        Some("f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8")
    );
}

#[test]
fn user_and_password_of_the_url_go_into_the_request_and_nowhere_else() {
    let server = HttpServer::start(|_| Reply::ok("{}"));
    let url = format!("http://alice:hunter2@{}/", server.addr());
    let calls_of = calls(&url);
    calls_of.post("{}").unwrap();
    // alice:hunter2 in base64.
    assert_eq!(
        server.requests()[0].header("authorization"),
        Some("Basic YWxpY2U6aHVudGVyMg==")
    );
    let nobody = HttpServer::nobody_at().replace("http://", "http://alice:hunter2@");
    let calls_of = calls(&nobody);
    let error = calls_of.post("{}").unwrap_err();
    let shown = format!(
        "{error} {error:?} {:?} {}",
        calls_of.client(),
        calls_of.client().url()
    );
    assert!(!shown.contains("hunter2") && !shown.contains("alice"), "{shown}");
}

#[test]
fn each_way_to_fail_is_told_apart() {
    let nobody = calls(&HttpServer::nobody_at()).post("{}").unwrap_err();
    assert!(
        matches!(&nobody, CallError::Unreachable(why) if why.contains("refused")),
        "{nobody}"
    );
    let server = HttpServer::start(|_| Reply::Cut);
    let mut calls = calls(&server.url("/"));
    let cut = calls.post("{}").unwrap_err();
    assert!(matches!(cut, CallError::Broken(_)), "{cut}");
    server.follow(|_| Reply::Huge(1001));
    assert_eq!(calls.post("{}").unwrap_err(), CallError::TooLarge(1000));
    server.follow(|_| Reply::Huge(1000));
    assert_eq!(calls.post("{}").unwrap().body.len(), 1000);
    server.follow(|_| Reply::status(503));
    assert_eq!(calls.post("{}").unwrap().status, 503);
    server.follow(|_| Reply::Dead);
    calls.settings.timeout = Duration::from_millis(50);
    assert_eq!(
        calls.post("{}").unwrap_err(),
        CallError::TimedOut(calls.settings.timeout)
    );
}

#[test]
fn a_redirection_is_not_followed() {
    let other = HttpServer::start(|_| Reply::ok("{}"));
    let elsewhere = other.url("/");
    let server = HttpServer::start(move |_| Reply::Redirect(elsewhere.clone()));
    assert_eq!(calls(&server.url("/")).post("{}").unwrap().status, 307);
    assert!(other.requests().is_empty());
}

#[test]
fn calls_run_side_by_side_up_to_their_bound_and_nobody_waits_for_them() {
    let server = HttpServer::start(|_| Reply::After(Duration::from_millis(300), 200, String::new()));
    let calls = calls(&server.url("/"));
    let (client, stats) = calls.counted();
    let (sender, receiver) = mpsc::channel();
    let begin = Instant::now();
    let post = || {
        let sender = sender.clone();
        client.post(b"{}".to_vec(), move |result| sender.send(result).unwrap())
    };
    for _ in 0..calls.settings.most {
        assert_eq!(post(), Ok(()));
    }
    assert_eq!(post(), Err(Busy));
    for _ in 0..calls.settings.most {
        assert_eq!(receiver.recv_timeout(TIMEOUT).unwrap().unwrap().status, 200);
    }
    // One after the other they would take 2.4 s.
    assert!(
        begin.elapsed() < Duration::from_millis(2000),
        "{:?}",
        begin.elapsed()
    );
    let counted = [CallOutcome::Answered, CallOutcome::Busy].map(|outcome| stats.count(outcome));
    assert_eq!((counted, stats.under_way()), ([calls.settings.most as u64, 1], 0));
    assert_eq!(post(), Ok(()));
}

#[test]
fn the_thread_ends_with_its_owner_whatever_is_under_way() {
    let server = HttpServer::start(|_| Reply::Dead);
    let calls = calls(&server.url("/"));
    let client = calls.client();
    let (sender, receiver) = mpsc::channel::<()>();
    client.post(b"{}".to_vec(), move |_| drop(sender)).unwrap();
    let begin = Instant::now();
    drop(calls);
    assert!(begin.elapsed() < TIMEOUT / 2);
    assert_eq!(
        receiver.recv_timeout(TIMEOUT),
        Err(mpsc::RecvTimeoutError::Disconnected)
    );
    assert_eq!(client.post(b"{}".to_vec(), |_| {}), Err(Busy));
}
