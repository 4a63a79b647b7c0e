//! The hook of `[auth]`, with real callers and a real HTTP server that admits, refuses, is dead, or wrong.

use crate::common::{DEADLINE, options};
use srt_e2e::client::{Publisher, Viewer, connect, refusal};
use srt_e2e::gateway::GatewayProcess;
use srt_e2e::http::{HttpServer, Reply, Request};
use srt_e2e::in_process::TestGateway;
use srt_e2e::pace::Tail;
use srt_e2e::source::StampedTs;
use srt_e2e::wait::{wait_for, wait_until};
use srt_gateway::config::PortKind;
use srt_gateway::telemetry::{HookOutcome, RejectedBy};
use srt_safe::{Options, Passphrase, RejectReason, SrtListener, SrtSocket, opt};
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const PUBLISH: &str = "#!::r=cam1,m=publish,u=alice,s=hunter2";
const PLAY: &str = "#!::r=cam1,m=request";

/// A gateway that asks a hook at `url`.
fn config(url: &str, auth: &str) -> String {
    format!("[srt]\nport = \"127.0.0.1:0\"\n[streams.cam1]\n[streams.cam2]\n[auth]\nurl = {url:?}\n{auth}\n")
}

fn with_hook(hook: &HttpServer, auth: &str) -> (TestGateway, SocketAddr) {
    let gateway = TestGateway::start(&config(&hook.url("/auth"), auth));
    let addr = gateway.addr(PortKind::Both);
    (gateway, addr)
}

fn is_publish(request: &Request) -> bool {
    request.text().contains(r#""event":"publish""#)
}

fn with_passphrase(text: &str) -> Options {
    options().passphrase(Passphrase::new(text).unwrap())
}

/// With an installed libsrt the first call is refused while the hook is asked, and the next one is answered.
#[track_caller]
fn verdict(addr: SocketAddr, streamid: &str) -> Result<SrtSocket, i32> {
    wait_for(DEADLINE, "a verdict", || {
        match connect(addr, streamid, options()) {
            Ok(socket) => Some(Ok(socket)),
            Err(error) => match error.reject_reason().unwrap_or_else(|| panic!("{error}")).value() {
                1503 if !SrtListener::can_defer() => None,
                code => Some(Err(code)),
            },
        }
    })
}

#[test]
fn each_status_has_its_code_and_the_record_says_what_the_hook_said() {
    let hook = HttpServer::start(|_| Reply::ok("{}"));
    let (gateway, addr) = with_hook(&hook, "");
    drop(verdict(addr, PLAY).unwrap());
    for (index, (status, code)) in [(401, 1401), (403, 1403), (404, 1404), (409, 1409), (418, 1500)]
        .into_iter()
        .enumerate()
    {
        hook.follow(move |_| Reply::Answer(status, r#"{"reason":"not paid"}"#.to_owned()));
        let streamid = format!("{PLAY},n={index}");
        assert_eq!(verdict(addr, &streamid).unwrap_err(), code, "{status}");
        let kept = wait_for(DEADLINE, "the record", || {
            let all = gateway.rejections();
            all.into_iter().find(|kept| kept.code == code)
        });
        assert_eq!(kept.decision, RejectedBy::Hook);
        assert!(
            kept.reason.contains("not paid") && kept.reason.contains(&status.to_string()),
            "{kept:?}"
        );
    }
    assert_eq!(gateway.hook().unwrap().count(HookOutcome::Refused), 5);
}

#[test]
fn rules_come_first_and_then_the_hook() {
    let hook = HttpServer::start(|_| Reply::ok("{}"));
    let rules = "[[rules]]\nstream = \"*\"\naction = \"publish\"\nuser = \"alice\"\npassword = \"hunter2\"";
    let (_gateway, addr) = with_hook(&hook, rules);
    assert_eq!(verdict(addr, "#!::r=cam1,m=publish,u=mallory").unwrap_err(), 1401);
    assert!(hook.requests().is_empty());
    drop(verdict(addr, PUBLISH).unwrap());
    let asked = &hook.requests()[0];
    for part in [
        r#""user":"alice""#,
        r#""password":"hunter2""#,
        r#""peer":"127.0.0.1""#,
        r#""encrypted":"#,
    ] {
        assert!(asked.text().contains(part), "{}", asked.text());
    }
}

#[test]
fn a_hook_that_fails_refuses_or_admits_as_configured() {
    let dead = HttpServer::start(|_| Reply::Dead);
    let wrong = HttpServer::start(|_| Reply::ok("<html>"));
    let fields = HttpServer::start(|_| Reply::ok(r#"{"max_bitrate":"fast"}"#));
    let broken = HttpServer::start(|_| Reply::status(500));
    // An answer that the gateway cannot parse may mean a refusal: `fail` is for hooks that do not answer.
    for (url, told, opens) in [
        (HttpServer::nobody_at(), "cannot be reached", true),
        (dead.url("/"), "did not answer within 300 ms", true),
        (wrong.url("/"), "did not answer with a JSON object", false),
        (fields.url("/"), "\"max_bitrate\" must be a whole number", false),
        (broken.url("/"), "status 500", true),
    ] {
        let gateway = TestGateway::start(&config(&url, "timeout = \"300ms\""));
        assert_eq!(
            verdict(gateway.addr(PortKind::Both), PLAY).unwrap_err(),
            1500,
            "{told}"
        );
        let kept = wait_for(DEADLINE, "the record", || {
            gateway.rejections().into_iter().find(|kept| kept.code == 1500)
        });
        assert!(kept.reason.contains(told), "{kept:?}");
        let gateway = TestGateway::start(&config(&url, "timeout = \"300ms\"\nfail = \"open\""));
        let open = verdict(gateway.addr(PortKind::Both), PLAY);
        assert_eq!(open.map(drop).err(), (!opens).then_some(1500), "{told}");
    }
}

#[test]
fn refusals_are_remembered_and_a_dead_hook_is_left_alone() {
    let hook = HttpServer::start(|_| Reply::status(403));
    let (gateway, addr) = with_hook(&hook, "cache = { deny = \"1m\" }\ntimeout = \"300ms\"");
    for _ in 0..10 {
        assert_eq!(verdict(addr, PLAY).unwrap_err(), 1403);
    }
    assert_eq!(hook.requests().len(), 1);
    hook.follow(|_| Reply::Dead);
    for n in 0..6 {
        assert_eq!(verdict(addr, &format!("{PLAY},n={n}")).unwrap_err(), 1500);
    }
    let status = gateway.hook().unwrap();
    assert!(status.breaker_openings >= 1, "{status:?}");
    assert!(hook.requests().len() < 7 + 1, "{}", hook.requests().len());
    hook.follow(|_| Reply::ok("{}"));
    wait_until(DEADLINE, "the hook to be asked again", || {
        connect(addr, &format!("{PLAY},again=1"), options()).is_ok()
    });
    assert_eq!(gateway.hook().unwrap().breaker, "closed");
}

#[test]
fn the_answer_may_name_stream_passphrase_and_latency() {
    if !SrtListener::can_defer() {
        return;
    }
    let hook = HttpServer::start(|request| {
        let token = request.text().contains(r#""stream":"token-7f3""#);
        let body = r#"{"stream":"cam2","passphrase":"the hook's secret","latency":700}"#;
        if token { Reply::ok(body) } else { Reply::ok("{}") }
    });
    let (gateway, addr) = with_hook(&hook, "");
    let token = "#!::r=token-7f3,m=publish";
    assert_eq!(
        refusal(addr, token, with_passphrase("another secret")),
        RejectReason::BAD_SECRET
    );
    let publisher = connect(addr, token, with_passphrase("the hook's secret")).unwrap();
    gateway.wait_stream("cam2", DEADLINE, "a source", |stream| stream.has_source);
    assert!(publisher.key_state().unwrap().is_secured());
    assert_eq!(
        publisher.option::<opt::PeerLatency>().unwrap(),
        Duration::from_millis(700)
    );
    // A name that is no stream and that the hook does not map to one.
    assert_eq!(
        refusal(addr, "#!::r=token-000,m=publish", options()).value(),
        1404
    );
}

#[test]
fn outputs_of_the_answer_are_there_as_long_as_their_publisher() {
    let next = TestGateway::start(
        "[srt_publish]\nport = \"127.0.0.1:0\"\n[streams_default]\naccept_unknown = true\n",
    );
    let to = next.addr(PortKind::Publish);
    let hook = HttpServer::start(move |request| match is_publish(request) {
        true => Reply::ok(&format!(
            r#"{{"outputs":["srt://{to}?streamid=#!::r=pushed/${{name}},m=publish"]}}"#
        )),
        false => Reply::ok("{}"),
    });
    let (gateway, addr) = with_hook(&hook, "");
    let source = StampedTs::generate(71, 60 * 3_325, 5_000_000);
    let first = verdict(addr, PUBLISH).unwrap();
    gateway.wait_stream("cam1", DEADLINE, "a source", |stream| stream.has_source);
    drop(first);
    gateway.wait_stream("cam1", DEADLINE, "no source", |stream| !stream.has_source);
    let publisher = Publisher::connect(
        addr,
        PUBLISH,
        options(),
        (source.bytes(), source.rate(), Tail::Close),
    );
    next.wait_stream("pushed/cam1", DEADLINE, "data", |stream| {
        stream.has_source && stream.bytes > 100_000
    });
    publisher.close();
    wait_until(DEADLINE, "the output to be gone", || {
        next.stream("pushed/cam1").is_none()
    });
}

/// A publisher of 5 Mb/s that the hook admits.
fn publisher(addr: SocketAddr, streamid: &str, seed: u64) -> srt_e2e::pace::Feeder {
    let socket = verdict(addr, streamid).unwrap();
    let source = StampedTs::generate(seed, 3_325, 5_000_000);
    srt_e2e::pace::Feeder::start(source.bytes(), source.rate(), Tail::Repeat, move |chunk| {
        socket.send(chunk).map(drop).map_err(std::io::Error::from)
    })
}

#[test]
fn max_bitrate_of_the_answer_stands_in_place_of_the_ports() {
    let hook = HttpServer::start(|request| match request.text() {
        text if text.contains(r#""stream":"cam1""#) => Reply::ok(r#"{"max_bitrate":2000000}"#),
        _ => Reply::ok(r#"{"max_bitrate":0}"#),
    });
    let port = "port = \"127.0.0.1:0\"";
    let toml = config(&hook.url("/auth"), "").replace(port, &format!("{port}\nmax_bitrate = \"3M\""));
    let gateway = TestGateway::start(&toml);
    let addr = gateway.addr(PortKind::Both);
    let any = publisher(addr, "#!::r=cam2,m=publish", 73);
    gateway.wait_stream("cam2", DEADLINE, "data", |stream| stream.bytes > 0);
    let begin = Instant::now();
    let limited = publisher(addr, PUBLISH, 74);
    let kept = wait_for(DEADLINE, "the end of who is too fast", || {
        gateway.rejections().pop()
    });
    assert!(begin.elapsed() >= Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!((kept.code, kept.decision), (1402, RejectedBy::Limits), "{kept:?}");
    assert_eq!(kept.streamid.as_ref(), PUBLISH.as_bytes());
    assert!(
        kept.reason.contains("more than max_bitrate = 2000000"),
        "{kept:?}"
    );
    gateway.wait_stream("cam1", DEADLINE, "no source", |stream| !stream.has_source);
    // The port's own rules would have closed this one by now.
    let before = gateway.stream("cam2").unwrap().bytes;
    gateway.wait_stream("cam2", DEADLINE, "more data", |stream| {
        stream.has_source && stream.bytes > before + 600_000
    });
    assert_eq!(gateway.rejections().len(), 1);
    limited.stop();
    any.stop();
}

#[test]
fn a_session_is_asked_about_again_when_its_lifetime_is_over() {
    let hook = HttpServer::start(|_| Reply::ok(r#"{"lifetime":1}"#));
    let (gateway, addr) = with_hook(&hook, "");
    let viewer = verdict(addr, PLAY).unwrap();
    let viewer = Viewer::start(viewer);
    let socket = verdict(addr, PUBLISH).unwrap();
    let source = StampedTs::generate(72, 30 * 3_325, 5_000_000);
    let feeder = srt_e2e::pace::Feeder::start(source.bytes(), source.rate(), Tail::Close, move |chunk| {
        socket.send(chunk).map(drop).map_err(std::io::Error::from)
    });
    wait_until(DEADLINE, "both to be asked about three times more", || {
        let publishes = hook
            .requests()
            .iter()
            .filter(|request| is_publish(request))
            .count();
        publishes >= 4 && hook.requests().len() - publishes >= 4
    });
    assert!(viewer.is_connected() && gateway.rejections().is_empty());
    hook.follow(|request| match is_publish(request) {
        true => Reply::ok("{}"),
        false => Reply::status(403),
    });
    let received = viewer.wait_end(DEADLINE);
    let mut verifier = srt_e2e::source::Verifier::new(&source);
    verifier.feed(&received.bytes);
    verifier.finish().assert_exact(2 * 3_000);
    let kept = wait_for(DEADLINE, "the record", || gateway.rejections().pop());
    assert_eq!((kept.code, kept.decision), (1403, RejectedBy::Hook), "{kept:?}");
    assert_eq!(kept.streamid.as_ref(), PLAY.as_bytes());
    // The hook gave the publisher no end time.
    let before = gateway.stream("cam1").unwrap().bytes;
    gateway.wait_stream("cam1", DEADLINE, "more data", |stream| {
        stream.bytes > before + 300_000
    });
    feeder.stop();
}

#[test]
fn at_the_end_of_a_lifetime_a_dead_hook_means_what_fail_says() {
    for (fail, stays) in [("open", true), ("closed", false)] {
        let hook = HttpServer::start(|_| Reply::ok(r#"{"lifetime":1}"#));
        let (gateway, addr) = with_hook(&hook, &format!("timeout = \"200ms\"\nfail = {fail:?}"));
        let viewer = Viewer::start(verdict(addr, PLAY).unwrap());
        hook.follow(|_| Reply::status(500));
        let asked = || gateway.hook().unwrap().count(HookOutcome::Failed);
        if stays {
            wait_until(DEADLINE, "two questions in vain", || asked() >= 2);
            assert!(viewer.is_connected());
        } else {
            drop(viewer.wait_end(DEADLINE));
            let kept = wait_for(DEADLINE, "the record", || gateway.rejections().pop());
            assert!(
                kept.code == 1500 && kept.reason.contains("status 500"),
                "{kept:?}"
            );
        }
    }
}

#[test]
fn a_reload_brings_changes_and_takes_the_hook_away_and_the_log_shows_no_secret() {
    let hook = HttpServer::start(|_| Reply::Answer(403, r#"{"reason":"no"}"#.to_owned()));
    let secret_url = format!("http://operator:hunter3@{}/auth?token=hunter4", hook.addr());
    let text = config(&secret_url, "secret = \"hunter5\"");
    let without = text.split("[auth]").next().unwrap();
    let mut gateway = GatewayProcess::start(without, "listening");
    let addr = gateway.addr(PortKind::Both);
    drop(connect(addr, PLAY, options()).unwrap());
    fs::write(gateway.config(), &text).unwrap();
    let line = |what: &str| {
        let what = what.to_owned();
        move |line: &str| line.contains(&what)
    };
    gateway
        .process()
        .wait_for_line(DEADLINE, "the reload", line("use of the hook changed"));
    assert_eq!(verdict(addr, PUBLISH).unwrap_err(), 1403);
    assert!(hook.requests()[0].header("x-signature").is_some());
    gateway
        .process()
        .wait_for_line(DEADLINE, "the refusal", line("status 403"));
    // The same hook, dead.
    hook.follow(|_| Reply::Cut);
    assert_eq!(verdict(addr, &format!("{PUBLISH},n=1")).unwrap_err(), 1500);
    gateway
        .process()
        .wait_for_line(DEADLINE, "the failure", line("sent an incomplete answer"));
    fs::write(gateway.config(), without).unwrap();
    let begin = Instant::now();
    wait_until(DEADLINE, "nobody to be asked", || {
        connect(
            addr,
            &format!("{PLAY},n={}", begin.elapsed().as_millis()),
            options(),
        )
        .is_ok()
    });
    let log = gateway.process().lines().join("\n");
    for secret in ["hunter2", "hunter3", "hunter4", "hunter5"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
    assert!(gateway.stop().success());
}
