//! The HTTP API of a running gateway, over real sockets: authorization, errors, and contents.

mod alarms;
mod audit;
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the end-to-end tests' own; a part is used here"
)]
#[path = "../../../tests/support/http.rs"]
mod backend;
mod changes;
mod hostile;
#[path = "../http/mod.rs"]
mod http;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use http::{Running, wait_until};

const TOKENS: &str = r#"
    token = "the admin's token"
    tokens = [{ token = "an operator's", scope = "operate" }, { token = "a reader's" }]
"#;

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[test]
fn tokens_have_scopes() {
    let gateway = Running::start(TOKENS, "[streams.a]\noutputs = [\"udp://127.0.0.1:9\"]");
    let outputs =
        |token: &str| gateway.send("GET", "/api/v1/outputs", &[("Authorization", &bearer(token))], "");
    let id = outputs("a reader's").is(200).value()["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let stop = format!("/api/v1/outputs/{id}/stop");
    for (method, path, least) in [
        ("GET", "/api/v1/streams", 0),
        ("GET", "/metrics", 0),
        ("POST", stop.as_str(), 1),
        ("PUT", "/api/v1/streams/b", 2),
    ] {
        gateway.ask(method, path).is_problem(401);
        gateway
            .send(method, path, &[("Authorization", "Bearer wrong")], "")
            .is_problem(401);
        for (at, token) in ["a reader's", "an operator's", "the admin's token"]
            .into_iter()
            .enumerate()
        {
            let reply = gateway.send(method, path, &[("Authorization", &bearer(token))], "");
            match at >= least {
                true => assert!(
                    matches!(reply.status, 200..=204),
                    "{method} {path} {token}: {reply:?}"
                ),
                false => reply.is_problem(403),
            }
        }
    }
    let scope = gateway.send(
        "GET",
        "/api/v1/gateway",
        &[("Authorization", &bearer("an operator's"))],
        "",
    );
    assert_eq!(scope.value()["scope"], "operate");
    for open in ["/healthz", "/readyz", "/"] {
        gateway.ask("GET", open).is(200);
    }
}

#[test]
fn errors_have_one_shape() {
    let gateway = Running::start("", "");
    gateway.ask("GET", "/api/v1/nowhere").is_problem(404);
    gateway.ask("GET", "/api/v1/streams/none").is_problem(404);
    gateway.ask("GET", "/api/v1/sessions/99").is_problem(404);
    gateway.ask("GET", "/api/v1/sessions/x").is_problem(400);
    gateway.ask("GET", "/api/v1/streams?limit=x").is_problem(400);
    gateway.ask("DELETE", "/api/v1/version").is_problem(405);
    gateway
        .json("PUT", "/api/v1/streams/a", &"x".repeat(300_000))
        .is_problem(413);
    gateway
        .send(
            "PUT",
            "/api/v1/streams/a",
            &[("Content-Type", "text/plain")],
            "{}",
        )
        .is_problem(415);
    gateway.json("PUT", "/api/v1/streams/a", "{").is_problem(400);
    gateway.json("PUT", "/api/v1/streams/a", "[]").is_problem(422);
    let wrong = gateway.json(
        "PUT",
        "/api/v1/streams/a",
        r#"{"max_viewer": 3, "outputs": ["ftp://x"]}"#,
    );
    wrong.is_problem(422);
    let keys: Vec<_> = wrong.value()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["key"].clone())
        .collect();
    assert_eq!(keys, ["streams.a.max_viewer", "streams.a.outputs[0]"]);
    gateway
        .json("PUT", "/api/v1/log", r#"{"level": "loud"}"#)
        .is_problem(422);
    gateway
        .json("POST", "/api/v1/bans", r#"{"address": "x", "seconds": 1}"#)
        .is_problem(422);
}

#[test]
fn pages_of_others_and_foreign_names_are_refused() {
    let gateway = Running::start("", "");
    gateway
        .send("GET", "/api/v1/streams", &[("Host", "evil.example")], "")
        .is_problem(421);
    let evil = ("Origin", "http://evil.example");
    gateway
        .send("PUT", "/api/v1/streams/a", &[evil], "")
        .is_problem(403);
    gateway
        .send(
            "DELETE",
            "/api/v1/streams/a",
            &[("Sec-Fetch-Site", "cross-site")],
            "",
        )
        .is_problem(403);
    let reply = gateway.send("GET", "/api/v1/streams", &[evil], "").is(200);
    assert_eq!(reply.header("access-control-allow-origin"), "");
}

#[test]
fn hostile_names_stay_names() {
    let gateway = Running::start("", "");
    for name in [
        "..%2F..%2Fetc%2Fpasswd",
        "%22%5D%0Ax%3D1",
        "%F0%9F%93%BA",
        "a%3Cscript%3E",
        "x%5B%5B%5D",
        "%27%27%27",
    ] {
        let path = format!("/api/v1/streams/{name}");
        let reply = gateway.json("PUT", &path, r#"{"max_viewers": 1}"#);
        // Names must not contain control characters, or path components that lead elsewhere.
        if name.contains("%0A") || name.contains("..") {
            reply.is_problem(422);
            continue;
        }
        assert_eq!(reply.status, 201, "{name}: {}", reply.text());
        gateway.ask("GET", &path).is(200);
        gateway.ask("DELETE", &path).is(200);
    }
    gateway.ask("GET", "/api/v1/streams/%FF%FE").is_problem(400);
    gateway
        .ask("GET", &format!("/api/v1/streams/{}", "a".repeat(5000)))
        .is_problem(404);
    assert_eq!(gateway.ask("GET", "/api/v1/streams").value()["total"], 0);
}

#[test]
fn a_client_that_sends_slowly_is_left_and_holds_up_nobody() {
    let gateway = Running::start("", "");
    let begun = Instant::now();
    let mut slow: Vec<_> = (0..20)
        .map(|_| gateway.raw("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: "))
        .collect();
    gateway.ask("GET", "/healthz").is(200);
    thread::scope(|scope| {
        for stream in &mut slow {
            scope.spawn(move || {
                let mut rest = Vec::new();
                // It may be closed in any way.
                drop(stream.read_to_end(&mut rest));
            });
        }
    });
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
}

#[test]
fn live_figures_come_each_second() {
    let gateway = Running::start("", "[streams.a]");
    let publisher = gateway.call("#!::r=a,m=publish").unwrap();
    let stream = gateway.raw("GET /api/v1/live?stream=a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut seen = 0;
    for line in BufReader::new(stream).lines() {
        publisher.send(&[0x47; 1316]).unwrap();
        let Some(data) = line.unwrap().strip_prefix("data: ").map(str::to_owned) else {
            continue;
        };
        let event: serde_json::Value = serde_json::from_str(&data).unwrap();
        assert_eq!(event["streams"][0]["name"], "a");
        let session = &event["sessions"][0];
        if event["streams"][0]["figures"]["bitrate_bps"].as_u64() > Some(0)
            && session["link"]["rtt_ms"].as_f64() > Some(0.0)
        {
            seen += 1;
        }
        if seen == 2 {
            let history = gateway
                .ask("GET", "/api/v1/streams/a/history?step=1s")
                .is(200)
                .value();
            assert!(history["points"].as_u64() > Some(0), "{history}");
            let all = gateway.ask("GET", "/api/v1/history?points=2").is(200).value();
            let values = all["streams"]["a"]["values"].as_array().unwrap();
            assert!(values.len() == 2 && values[1].as_f64() > Some(0.0), "{all}");
            gateway
                .ask("GET", "/api/v1/history?figure=height")
                .is_problem(400);
            return;
        }
    }
    panic!("the events ended");
}

#[test]
fn a_drained_gateway_takes_in_nobody_and_ends_with_its_last_session() {
    let mut gateway = Running::start("", "[streams.a]");
    let publisher = gateway.call("#!::r=a,m=publish").unwrap();
    gateway.ask("GET", "/readyz").is(200);
    gateway
        .json("POST", "/api/v1/drain", r#"{"wait_seconds": 600}"#)
        .is(202);
    gateway.ask("GET", "/readyz").is(503);
    gateway.ask("GET", "/healthz").is(200);
    assert!(gateway.call("#!::r=a,m=request").is_err());
    publisher.send(&[0x47; 1316]).unwrap();
    assert_eq!(gateway.ask("GET", "/api/v1/sessions").value()["total"], 1);
    drop(publisher);
    assert!(gateway.ended().success());
}

#[test]
fn a_drain_can_be_cancelled() {
    let gateway = Running::start("", "[streams.a]");
    gateway.ask("DELETE", "/api/v1/drain").is_problem(409);
    let publisher = gateway.call("#!::r=a,m=publish").unwrap();
    gateway
        .json("POST", "/api/v1/drain", r#"{"wait_seconds": 600}"#)
        .is(202);
    assert!(gateway.call("#!::r=a,m=request").is_err());
    let cancelled = gateway.ctl_command(&["drain", "--cancel"]).output().unwrap();
    assert!(cancelled.status.success(), "{cancelled:?}");
    gateway.ask("GET", "/readyz").is(200);
    // The end of the last session does not end the gateway any more.
    drop(publisher);
    gateway.wait_sessions(0);
    drop(gateway.call("#!::r=a,m=publish").unwrap());
    gateway.ask("GET", "/readyz").is(200);
}

#[test]
fn who_drains_can_wait_for_the_end() {
    let mut gateway = Running::start("", "[streams.a]");
    let publisher = gateway.call("#!::r=a,m=publish").unwrap();
    gateway.wait_sessions(1);
    let mut waiting = gateway
        .ctl_command(&["drain", "--block", "--wait", "10m"])
        .spawn()
        .unwrap();
    wait_until("the drain", || {
        (gateway.ask("GET", "/readyz").status == 503).then_some(())
    });
    assert!(waiting.try_wait().unwrap().is_none());
    drop(publisher);
    assert!(waiting.wait().unwrap().success());
    assert!(gateway.ended().success());
}

#[test]
fn what_happens_is_told_with_its_stream() {
    let gateway = Running::start("", "[streams.a]");
    let publisher = gateway.call("#!::r=a,m=publish").unwrap();
    gateway.wait_sessions(1);
    gateway.call("#!::r=a,m=publish").unwrap_err();
    let told = |wanted: &'static str| {
        wait_until(wanted, || {
            let events = gateway.ask("GET", "/api/v1/events").value();
            events
                .as_array()?
                .iter()
                .find(|event| event["event"] == wanted)
                .cloned()
        })
    };
    assert_eq!(told("session_open")["stream"], "a");
    // Until control has accepted the first one, a second one would complete its handshake.
    gateway.call("#!::r=a,m=publish").unwrap_err();
    assert!(
        told("stream_up")["text"]
            .as_str()
            .unwrap()
            .contains("publisher 127.0.0.1:")
    );
    assert!(told("rejected")["text"].as_str().unwrap().contains("1409"));
    drop(publisher);
    let last = told("stream_down")["number"].as_u64().unwrap();
    told("session_close");
    let newer = gateway
        .ask("GET", &format!("/api/v1/events?after={last}"))
        .value();
    assert!(
        newer
            .as_array()
            .unwrap()
            .iter()
            .all(|event| event["number"].as_u64() > Some(last))
    );
}

#[test]
fn the_stream_itself_comes_byte_for_byte() {
    let gateway = Running::start("", "[streams.a]");
    let publisher = gateway.call("#!::r=a,m=publish").unwrap();
    drop(gateway.ask("GET", "/api/v1/streams/a/keyframe.ts").is(204));
    let mut stream = gateway.raw("GET /api/v1/streams/a/video.ts HTTP/1.0\r\nHost: localhost\r\n\r\n");
    wait_until("a preview, which is no viewer", || {
        let stream = gateway.ask("GET", "/api/v1/streams/a").value();
        (stream["previews"] == 1 && stream["viewers"] == 0).then_some(())
    });
    let sent: Vec<u8> = (0..50u8)
        .flat_map(|n| [[0x47, n].as_slice(), &[n; 1314]].concat())
        .collect();
    for message in sent.chunks(1316) {
        publisher.send(message).unwrap();
        thread::sleep(Duration::from_millis(1));
    }
    let mut got = Vec::new();
    while got.len() < sent.len() || !got.ends_with(&sent) {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "{} of {} bytes", got.len(), sent.len());
        got.extend_from_slice(&piece[..count]);
    }
    assert!(
        String::from_utf8_lossy(&got[..300])
            .to_lowercase()
            .contains("content-type: video/mp2t")
    );
}

#[test]
fn every_path_of_the_description_is_there_and_described() {
    let gateway = Running::start("", "");
    let document = gateway.ask("GET", "/api/v1/openapi.json").is(200).value();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            assert!(operation["summary"].is_string(), "{method} {path}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.contains_key("default"), "{method} {path}");
            for (status, response) in responses {
                let content = &response["content"];
                let problem = &content["application/json"]["schema"]["$ref"];
                assert_ne!(
                    problem, "#/components/schemas/Problem",
                    "{method} {path} {status}"
                );
            }
            if method == "get" && !path.contains('{') && !path.ends_with("/live") {
                gateway.ask("GET", path).is(200);
            }
        }
    }
    assert!(document["paths"].as_object().unwrap().len() > 25);
    let text = document.to_string();
    let references: Vec<_> = text.split("\"$ref\":\"#").skip(1).collect();
    assert!(references.len() > 40);
    for reference in references {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
    }
}

#[test]
fn ctl_reads_and_changes() {
    let gateway = Running::start("", "[streams.\"live/a\"]");
    let run = |arguments: &[&str]| {
        let output = gateway.ctl(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run(&["streams"]).contains("live/a"));
    run(&["add-stream", "made/here", r#"{"max_viewers": 2}"#]);
    let added = run(&["--json", "add-output", "made/here", "udp://127.0.0.1:9"]);
    let id = serde_json::from_str::<serde_json::Value>(&added).unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    run(&["stop", &id]);
    assert!(run(&["outputs", "made/here"]).contains("stopped"));
    run(&["remove", &id]);
    run(&["remove-stream", "made/here"]);
    run(&["ban", "192.0.2.1", "--for", "1h"]);
    assert!(run(&["bans"]).contains("192.0.2.1"));
    run(&["log", "debug"]);
    let _publisher = gateway.call("#!::r=live/a,m=publish").unwrap();
    wait_until("the event", || {
        run(&["events"]).contains("session_open").then_some(())
    });
    assert!(!run(&["events", "--after", "999"]).contains("session_open"));
    let refused = gateway.ctl(&["remove-stream", "live/a"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("configuration file"),
        "{refused:?}"
    );
}

#[test]
fn a_port_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gateway.toml");
    let mut file = std::fs::File::create(&config).unwrap();
    let socket = folder.path().join("s");
    write!(
        file,
        "gateway.control_socket = {socket:?}\napi.listen = \"{}\"",
        taken.local_addr().unwrap()
    )
    .unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_srt-gateway"))
        .args(["--config", config.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("another program uses this TCP port"), "{told}");
}

#[test]
fn https_is_served_and_a_renewed_certificate_taken() {
    let certified = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let write = |made: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    };
    write(&certified());
    let gateway = Running::start(
        &format!("token = \"t\"\ntls = {{ cert = {cert:?}, key = {key:?} }}"),
        "",
    );
    let ctl = || {
        let api = format!("https://localhost:{}", gateway.api.port());
        let arguments = [
            "--api",
            &api,
            "--token",
            "t",
            "--cacert",
            cert.to_str().unwrap(),
            "gateway",
        ];
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_srt-gateway"))
            .arg("ctl")
            .args(arguments)
            .output()
            .unwrap();
        output.status.success()
    };
    assert!(ctl());
    write(&certified());
    wait_until("the new certificate", || ctl().then_some(()));
    // Far more handshakes at once than an address may start. The admitted ones wait for their ClientHello.
    let mut many: Vec<_> = (0..120)
        .map(|_| TcpStream::connect(gateway.api).unwrap())
        .collect();
    let is_closed = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        matches!(stream.read(&mut [0]), Ok(0))
    };
    assert!(is_closed(many.last_mut().unwrap()), "handshakes are not limited");
    drop(many);
    wait_until("a handshake to be admitted again", || ctl().then_some(()));
}
