//! Limits: requests and wrong tokens per address, concurrent event streams, wrong passphrases.

mod http;

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    thread,
};

use srt_safe::{Options, Passphrase, RejectReason, SrtSocket, StreamId};

use http::{PATIENCE, Running, wait_until};

/// The status of each of `count` requests on one connection.
fn statuses(gateway: &Running, path: &str, headers: &str, count: usize) -> Vec<u16> {
    let stream = TcpStream::connect(gateway.api).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let request = format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    let ask = |_| {
        (&stream).write_all(request.as_bytes()).unwrap();
        let mut status = String::new();
        answers.read_line(&mut status).unwrap();
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            assert_ne!(answers.read_line(&mut line).unwrap(), 0, "closed");
        }
        status.split(' ').nth(1).unwrap().parse().unwrap()
    };
    (0..count).map(ask).collect()
}

#[test]
fn an_address_that_asks_too_much_is_slowed_and_probes_are_not() {
    let gateway = Running::start("", "");
    let all = statuses(&gateway, "/api/v1/version", "", 3000);
    let good = all.iter().filter(|status| **status == 200).count();
    // 300 at once, and 100 per second for as long as it took.
    assert!(all.iter().take(300).all(|status| *status == 200), "{good}");
    assert!(all.contains(&429), "{good} of 3000");
    assert!(
        statuses(&gateway, "/readyz", "", 500)
            .iter()
            .all(|status| *status == 200)
    );
    let mut replies = (0..3000).map(|_| gateway.ask("GET", "/api/v1/version"));
    let refused = replies
        .find(|reply| reply.status == 429)
        .expect("one of them is too many");
    refused.is_problem(429);
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
}

#[test]
fn tokens_cannot_be_guessed_by_trying() {
    let gateway = Running::start("token = \"the right one\"", "");
    let wrong = "Authorization: Bearer wrong\r\n";
    let all = statuses(&gateway, "/api/v1/version", wrong, 60);
    assert!(all.iter().take(20).all(|status| *status == 401), "{all:?}");
    assert!(
        all.iter().skip(20).filter(|status| **status == 429).count() > 20,
        "{all:?}"
    );
    // A client with the token is not locked out by one without.
    let right = "Authorization: Bearer the right one\r\n";
    assert_eq!(statuses(&gateway, "/api/v1/version", right, 1), [200]);
}

#[test]
fn event_streams_are_bounded_and_those_of_clients_that_vanish_are_given_back() {
    let gateway = Running::start("", "[streams.a]");
    let open = || gateway.raw("GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let status = |stream: &TcpStream| {
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line.split(' ').nth(1).unwrap().to_owned()
    };
    let streams: Vec<_> = (0..64).map(|_| open()).collect();
    assert!(streams.iter().all(|stream| status(stream) == "200"));
    assert_eq!(status(&open()), "503");
    drop(streams);
    wait_until("a place", || (status(&open()) == "200").then_some(()));
}

/// Set when dropped.
struct Done<'d>(&'d AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn wrong_passphrases_are_told_so_and_keep_nobody_out() {
    let several = "play_passphrase = [\"the new passphrase\", \"the old passphrase\"]";
    let streams =
        format!("[streams.several]\n{several}\n[streams.one]\nplay_passphrase = \"the only passphrase\"");
    let gateway = Running::start("", &streams);
    let call = |stream: &str, passphrase: &str| {
        let options = Options::new()
            .connect_timeout(PATIENCE)
            .passphrase(Passphrase::new(passphrase).unwrap())
            .stream_id(StreamId::new(format!("#!::r={stream},m=request")).unwrap());
        SrtSocket::builder().options(options).connect(gateway.srt)
    };
    let (wrong, done) = (AtomicU32::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for stream in ["several", "one", "several", "one"] {
            let (wrong, done) = (&wrong, &done);
            scope.spawn(move || {
                // More than the budget of unchecked ones, and as long as the innocent ones call.
                while !done.load(Relaxed) || wrong.load(Relaxed) < 24 {
                    let error = call(stream, "a wrong passphrase").unwrap_err();
                    assert_eq!(error.reject_reason(), Some(RejectReason::BAD_SECRET), "{error}");
                    wrong.fetch_add(1, Relaxed);
                }
            });
        }
        // Even if one of these fails, so that the others end.
        let _done = Done(&done);
        for (stream, passphrase) in [
            ("several", "the new passphrase"),
            ("several", "the old passphrase"),
            ("one", "the only passphrase"),
        ] {
            let called = wait_until("a place for the viewer", || call(stream, passphrase).ok());
            drop(called);
        }
    });
    let all = gateway.ask("GET", "/api/v1/rejections").value();
    let of_code = |one: &&serde_json::Value| one["code"] == 10;
    let refused: Vec<_> = all.as_array().unwrap().iter().filter(of_code).collect();
    assert_eq!(refused.len(), 2, "one entry for each streamid: {refused:?}");
    let count: u64 = refused.iter().map(|one| one["count"].as_u64().unwrap()).sum();
    assert_eq!(count, u64::from(wrong.load(Relaxed)));
}
