//! The cache, the single flight and the breaker, against a real HTTP server.

use std::{sync::mpsc, thread};

use super::*;
use crate::{
    backend::tests::{
        http::{HttpServer, Reply, Request},
        started,
    },
    config::{Config, Secret},
    names::{Role, StreamName},
    telemetry::CallOutcome,
};

const TIMEOUT: Duration = Duration::from_secs(20);

fn hook(url: &str, more: &str) -> Arc<Hook> {
    Hook::new(started(), "gw1", Some(&auth(url, more))).unwrap()
}

fn auth(url: &str, more: &str) -> Auth {
    let config = Config::parse(&format!("[auth]\nurl = {url:?}\n{more}"));
    config.unwrap_or_else(|errors| panic!("{errors}")).auth.unwrap()
}

fn question(stream: &str) -> HookQuestion {
    HookQuestion {
        role: Role::Publisher,
        stream: StreamName::new(stream),
        user: Some("alice".into()),
        password: Some(Secret::new("hunter2")),
        peer: "192.0.2.1".parse().unwrap(),
        port: 9998,
        streamid: format!("#!::r={stream},m=publish,u=alice,s=hunter2").into(),
        encrypted: Some(false),
        version: Some(srt_safe::SrtVersion::new(1, 5, 7)),
        labels: vec![("h".into(), "host".into())],
    }
}

/// Asks the question and waits for its answer, like a caller that repeats its handshake.
fn answer(hook: &Hook, question: &HookQuestion) -> HookVerdict {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(verdict) = hook.known(question, Instant::now()) {
            return verdict;
        }
        assert_eq!(hook.ask(question, Instant::now()), Submitted::Waiting);
        assert!(Instant::now() < deadline, "no answer");
        thread::yield_now();
    }
}

fn refusal(verdict: HookVerdict) -> HookRefusal {
    match verdict {
        HookVerdict::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

fn by_stream(request: &Request) -> Reply {
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    match body["stream"].as_str().unwrap() {
        "good" => Reply::ok("{}"),
        "wrong" => Reply::ok(r#"{"latency":"soon"}"#),
        _ => Reply::status(403),
    }
}

#[test]
fn the_body_is_what_the_documentation_says() {
    let body: serde_json::Value = serde_json::from_slice(&question("a").body("gw1")).unwrap();
    let wanted = serde_json::json!({
        "event": "publish", "stream": "a", "user": "alice", "password": "hunter2", "peer": "192.0.2.1", "port": 9998,
        "streamid": "#!::r=a,m=publish,u=alice,s=hunter2", "encrypted": false, "version": "1.5.7",
        "labels": {"h": "host"}, "gateway": "gw1",
    });
    assert_eq!(body, wanted);
    assert!(!format!("{:?}", question("a")).contains("hunter2"));
}

#[test]
fn answers_hold_for_their_time_and_for_the_very_same_question_only() {
    let server = HttpServer::start(by_stream);
    let hook = hook(&server.url("/"), "cache = { allow = \"30s\", deny = \"10s\" }");
    let (good, bad) = (question("good"), question("bad"));
    assert!(matches!(answer(&hook, &good), HookVerdict::Admitted(_)));
    assert_eq!(refusal(answer(&hook, &bad)).code.value(), 1403);
    let (now, second) = (Instant::now(), Duration::from_secs(1));
    assert!(hook.known(&good, now + 29 * second).is_some() && hook.known(&good, now + 31 * second).is_none());
    assert!(hook.known(&bad, now + 9 * second).is_some() && hook.known(&bad, now + 11 * second).is_none());
    for _ in 0..100 {
        answer(&hook, &good);
        answer(&hook, &bad);
    }
    assert_eq!(server.requests().len(), 2);
    let others = [
        HookQuestion {
            role: Role::Viewer,
            ..good.clone()
        },
        HookQuestion {
            stream: StreamName::new("good2"),
            ..good.clone()
        },
        HookQuestion {
            user: None,
            ..good.clone()
        },
        HookQuestion {
            password: Some(Secret::new("hunter3")),
            ..good.clone()
        },
        HookQuestion {
            peer: "192.0.2.2".parse().unwrap(),
            ..good.clone()
        },
        HookQuestion {
            port: 9997,
            ..good.clone()
        },
        HookQuestion {
            streamid: "good".into(),
            ..good.clone()
        },
        HookQuestion {
            encrypted: Some(true),
            ..good.clone()
        },
        HookQuestion {
            encrypted: None,
            ..good.clone()
        },
        HookQuestion {
            version: None,
            ..good.clone()
        },
        HookQuestion {
            labels: Vec::new(),
            ..good.clone()
        },
    ];
    for other in others {
        assert_eq!(hook.known(&other, now), None, "{other:?}");
    }
}

#[test]
fn the_same_question_is_put_once_and_others_side_by_side() {
    let server = HttpServer::start(|_| Reply::After(Duration::from_millis(500), 200, "{}".to_owned()));
    let hook = hook(&server.url("/"), "timeout = \"15s\"");
    let begin = Instant::now();
    for _ in 0..200 {
        assert_eq!(hook.ask(&question("same"), Instant::now()), Submitted::Waiting);
    }
    let others: Vec<_> = (0..20).map(|n| question(&n.to_string())).collect();
    for other in &others {
        assert_eq!(hook.ask(other, Instant::now()), Submitted::Waiting);
    }
    for question in others.iter().chain([&question("same")]) {
        assert!(matches!(answer(&hook, question), HookVerdict::Admitted(_)));
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(server.requests().len(), 21);
    let status = hook.status().unwrap();
    assert_eq!(
        (status.count(HookOutcome::Admitted), status.answers_kept),
        (21, 21)
    );
    assert_eq!(status.calls.count(CallOutcome::Answered), 21);
}

#[test]
fn one_client_does_not_take_all_calls() {
    let server = HttpServer::start(|_| Reply::Dead);
    let hook = hook(&server.url("/"), "timeout = \"60s\"");
    let ask = |peer: [u8; 4], n: u32| {
        let mut question = question(&n.to_string());
        question.peer = peer.into();
        hook.ask(&question, Instant::now())
    };
    let waiting = |peer, count| (0..count).filter(|n| ask(peer, *n) == Submitted::Waiting).count();
    assert_eq!(waiting([192, 0, 2, 1], 200), 64);
    assert_eq!(waiting([192, 0, 2, 2], 64), 64);
    assert_eq!(waiting([127, 0, 0, 1], 200), 200, "a relay speaks for many");
}

#[test]
fn a_flood_of_refusals_makes_room_for_those_who_may_be_admitted() {
    let (mut state, now) = (State::default(), Instant::now());
    let digest = |number: usize| {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_be_bytes());
        digest
    };
    let kept = Duration::from_secs(600);
    state.keep(digest(0), HookVerdict::LetIn, now, kept);
    let refused = terms::failed(FailMode::Closed, "no");
    for number in 1..MAX_ENTRIES {
        state.keep(digest(number), refused.clone(), now, kept);
    }
    state.make_room(now + MIN_VALIDITY / 2);
    assert_eq!(
        state.slots.len(),
        MAX_ENTRIES,
        "whoever asked comes back for the answer"
    );
    state.make_room(now + MIN_VALIDITY);
    assert_eq!(state.slots.len(), 1);
}

#[test]
fn memory_is_bounded_by_those_who_ask() {
    let server = HttpServer::start(|_| Reply::Dead);
    let hook = hook(&server.url("/"), "timeout = \"60s\"");
    let ask = |n: usize| {
        let mut question = question(&n.to_string());
        question.peer = IpAddr::from([192, 0, 2, u8::try_from(n / 60).unwrap()]);
        hook.ask(&question, Instant::now())
    };
    let asked: Vec<_> = (0..CALLS + 5).map(ask).collect();
    let waiting = asked.iter().filter(|asked| **asked == Submitted::Waiting).count();
    assert_eq!(waiting, CALLS);
    let status = hook.status().unwrap();
    assert_eq!((status.answers_kept, status.count(HookOutcome::Busy)), (CALLS, 5));
}

#[test]
fn a_hook_that_does_not_answer_is_left_alone_and_asked_again_later() {
    let server = HttpServer::start(|_| Reply::status(502));
    let hook = hook(&server.url("/"), "");
    for n in 0..5 {
        let refusal = refusal(answer(&hook, &question(&n.to_string())));
        assert_eq!(
            (refusal.code.value(), refusal.by),
            (1500, RefusalSource::FailMode)
        );
        assert!(refusal.why.contains("status 502"), "{}", refusal.why);
    }
    assert_eq!(hook.status().unwrap().breaker, "open");
    let left_alone = refusal(answer(&hook, &question("another")));
    assert!(
        left_alone.why.contains("is not called for a few seconds"),
        "{}",
        left_alone.why
    );
    assert_eq!(server.requests().len(), 5);
    server.follow(|_| Reply::ok("{}"));
    // The breaker's first pause is one second: a question after it goes through and closes the breaker.
    let later = Instant::now() + Duration::from_secs(2);
    assert_eq!(hook.ask(&question("probe"), later), Submitted::Waiting);
    assert!(matches!(
        answer(&hook, &question("probe")),
        HookVerdict::Admitted(_)
    ));
    let status = hook.status().unwrap();
    assert_eq!((status.breaker, status.breaker_openings), ("closed", 1));
    assert!(matches!(
        answer(&hook, &question("fresh")),
        HookVerdict::Admitted(_)
    ));
}

#[test]
fn fail_open_lets_everybody_in_whom_the_hook_says_nothing_about() {
    let server = HttpServer::start(|_| Reply::Dead);
    let hook = hook(&server.url("/"), "timeout = \"50ms\"\nfail = \"open\"");
    for n in 0..7 {
        assert_eq!(answer(&hook, &question(&n.to_string())), HookVerdict::LetIn);
    }
    let status = hook.status().unwrap();
    let counted = [HookOutcome::Failed, HookOutcome::NotAsked].map(|outcome| status.count(outcome));
    assert_eq!(counted, [5, 2]);
    // `fail` applies only to missing answers, and a refusal is one.
    server.follow(|_| Reply::status(403));
    hook.configure(Some(&auth(&server.url("/"), "fail = \"open\"")))
        .unwrap();
    assert_eq!(refusal(answer(&hook, &question("0"))).code.value(), 1403);
}

#[test]
fn a_wrong_field_is_a_failure_that_names_it_and_does_not_open_the_breaker() {
    let server = HttpServer::start(by_stream);
    let hook = hook(&server.url("/"), "");
    for n in 0..10 {
        let asked = HookQuestion {
            port: 9000 + n,
            ..question("wrong")
        };
        let refusal = refusal(answer(&hook, &asked));
        assert_eq!(refusal.code.value(), 1500);
        assert!(
            refusal.why.contains("\"latency\"") && !refusal.why.contains("soon"),
            "{}",
            refusal.why
        );
    }
    assert_eq!(hook.status().unwrap().breaker, "closed");
}

#[test]
fn a_question_is_put_again_past_the_cache_and_once_for_all_who_wait() {
    let server = HttpServer::start(by_stream);
    let hook = hook(&server.url("/"), "cache = { allow = \"1h\" }");
    let good = question("good");
    answer(&hook, &good);
    server.follow(|_| Reply::After(Duration::from_millis(200), 401, String::new()));
    let (sender, receiver) = mpsc::channel();
    let later = Instant::now() + RECENT;
    for _ in 0..3 {
        let sender = sender.clone();
        let done = move |verdict| sender.send(verdict).unwrap();
        assert_eq!(hook.ask_again(&good, later, done), Some(Submitted::Waiting));
    }
    for _ in 0..3 {
        let verdict = receiver.recv_timeout(TIMEOUT).unwrap();
        assert_eq!(refusal(verdict).code.value(), 1401);
    }
    assert_eq!(server.requests().len(), 2);
    assert_eq!(hook.status().unwrap().rechecks, 3);
    assert!(matches!(
        hook.known(&good, Instant::now()),
        Some(HookVerdict::Refused(_))
    ));
}

#[test]
fn other_settings_forget_all_answers_and_none_ask_nobody() {
    let server = HttpServer::start(by_stream);
    let hook = hook(&server.url("/"), "");
    let good = question("good");
    answer(&hook, &good);
    hook.configure(Some(&auth(&server.url("/v2"), "secret = \"key\"")))
        .unwrap();
    assert_eq!(hook.known(&good, Instant::now()), None);
    answer(&hook, &good);
    let requests = server.requests();
    assert_eq!((requests.len(), requests[1].path.as_str()), (2, "/v2"));
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"key");
    let signature: String = hmac::sign(&key, &requests[1].body)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(requests[1].header("x-signature"), Some(signature.as_str()));
    assert_eq!(requests[0].header("x-signature"), None);
    hook.configure(None).unwrap();
    assert_eq!(hook.known(&good, Instant::now()), None);
    assert!(hook.status().is_none());
    assert_eq!(hook.ask_again(&good, Instant::now(), |_| {}), None);
}
