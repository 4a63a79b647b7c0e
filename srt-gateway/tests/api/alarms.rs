//! Alarms of a running gateway: raised, acknowledged, silenced, sent.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, channel},
    thread,
};

use serde_json::Value;

use super::{
    TOKENS, bearer,
    http::{Running, wait_until},
};

/// Alarms without delay, of a stream that has a table.
const AT_ONCE: &str = "[alarms]\nraise_after = 0\nclear_after = 0\n[streams.\"live/a\"]\n";

fn page(gateway: &Running, query: &str) -> Value {
    gateway
        .ask("GET", &format!("/api/v1/alarms?{query}"))
        .is(200)
        .value()
}

/// The one alarm of the stream of this kind and state.
fn find(gateway: &Running, kind: &str, state: &str) -> Option<Value> {
    let page = page(gateway, &format!("state={state}"));
    let items = page["items"].as_array().unwrap();
    items.iter().find(|alarm| alarm["kind"] == kind).cloned()
}

/// Feeds the stream until the gateway has seen it, and leaves.
fn lose(gateway: &Running, stream: &str) {
    let publisher = gateway.call(&format!("#!::r={stream},m=publish")).unwrap();
    wait_until("the stream is good", || {
        publisher.send(&[0x47; 1316]).unwrap();
        let streams = gateway.ask("GET", "/api/v1/streams").is(200).value();
        let found = streams["items"]
            .as_array()?
            .iter()
            .find(|found| found["name"] == stream)?
            .clone();
        (found["verdict"]["level"] != "idle" && found["verdict"]["level"] != "bad").then_some(())
    });
}

#[test]
fn a_lost_stream_is_raised_acknowledged_and_cleared() {
    let gateway = Running::start("", AT_ONCE);
    lose(&gateway, "live/a");
    let raised = wait_until("the alarm", || find(&gateway, "source_lost", "active"));
    assert_eq!(
        (&raised["severity"], &raised["stream"]),
        (&"critical".into(), &"live/a".into())
    );
    assert!(raised["text"].as_str().unwrap().starts_with("lost "), "{raised}");
    let all = page(&gateway, "");
    assert_eq!(
        (&all["critical"], &all["unacknowledged"], &all["total"]),
        (&1.into(), &1.into(), &1.into())
    );
    assert_eq!(
        gateway.ask("GET", "/api/v1/gateway").value()["alarms"]["critical"],
        1
    );
    for (query, total) in [
        ("severity=critical", 1),
        ("severity=warning", 0),
        ("stream=live%2Fa", 1),
        ("stream=other", 0),
        ("q=LOST", 1),
        ("q=nonsense", 0),
        ("state=cleared", 0),
        ("offset=1", 1),
    ] {
        assert_eq!(page(&gateway, query)["total"], total, "{query}");
    }
    for query in ["state=gone", "severity=bad", "nonsense=1", "limit=x"] {
        gateway
            .ask("GET", &format!("/api/v1/alarms?{query}"))
            .is_problem(400);
    }

    let id = raised["id"].as_str().unwrap();
    let ctl = gateway.ctl(&["ack", id, "--note", "called the venue"]);
    assert!(ctl.status.success(), "{ctl:?}");
    let acknowledged = find(&gateway, "source_lost", "active").unwrap();
    assert_eq!(acknowledged["acknowledged"]["note"], "called the venue");
    assert_eq!(page(&gateway, "q=venue")["unacknowledged"], 0);
    let listed = String::from_utf8(gateway.ctl(&["alarms", "--state", "active"]).stdout).unwrap();
    assert!(listed.contains(id) && listed.contains("critical"), "{listed}");
    let audit = gateway
        .ask("GET", &format!("/api/v1/audit?q={id}"))
        .is(200)
        .value();
    assert!(
        audit["items"][0]["changes"][0]["after"]
            .as_str()
            .unwrap()
            .contains("called the venue"),
        "{audit:#}"
    );
    gateway
        .json("POST", "/api/v1/alarms/a-0/ack", "{}")
        .is_problem(404);
    let long = format!("{{\"note\": \"{}\"}}", "x".repeat(501));
    gateway
        .json("POST", &format!("/api/v1/alarms/{id}/ack"), &long)
        .is_problem(422);

    let publisher = gateway.call("#!::r=live/a,m=publish").unwrap();
    let cleared = wait_until("its end", || {
        publisher.send(&[0x47; 1316]).unwrap();
        find(&gateway, "source_lost", "cleared")
    });
    assert_eq!((&cleared["id"], &cleared["count"]), (&raised["id"], &1.into()));
    assert!(cleared["cleared"].is_string(), "{cleared}");
    gateway
        .json("POST", &format!("/api/v1/alarms/{id}/ack"), "{}")
        .is_problem(409);
    let events = gateway.ask("GET", "/api/v1/events").is(200).value();
    let of = |kind: &str| {
        let events = events.as_array().unwrap();
        let found = events
            .iter()
            .find(|event| event["event"] == kind && event["alarm"] == id);
        found.unwrap_or_else(|| panic!("no {kind}: {events:#?}")).clone()
    };
    assert_eq!(
        (&of("alarm_raised")["severity"], &of("alarm_raised")["level"]),
        (&"critical".into(), &"bad".into())
    );
    assert!(
        of("alarm_acknowledged")["text"]
            .as_str()
            .unwrap()
            .contains("called the venue")
    );
    assert_eq!(of("alarm_cleared")["stream"], "live/a");
}

#[test]
fn what_is_expected_to_be_off_or_in_maintenance_raises_nothing() {
    let streams = format!("{AT_ONCE}[streams.b]\nexpected_off = true\n[streams.\"live/c\"]\n");
    let gateway = Running::start("", &streams);
    let put = |path: &str, body: &str, status| gateway.json("PUT", path, body).is(status);
    put(
        "/api/v1/streams/live%2Fa/expected-off",
        r#"{"note": "no show", "seconds": 3600}"#,
        200,
    );
    put("/api/v1/streams/nowhere/expected-off", "{}", 404);
    for wrong in [
        r#"{"seconds": 0}"#,
        r#"{"until": "yesterday"}"#,
        r#"{"until": "2001-01-01T00:00:00Z"}"#,
        r#"{"until": "2999-01-01T00:00:00Z"}"#,
        r#"{"until": "2031-01-01T00:00:00Z", "seconds": 5}"#,
        r#"{"nonsense": 1}"#,
    ] {
        put("/api/v1/streams/live%2Fa/expected-off", wrong, 422);
    }
    let list = gateway.ask("GET", "/api/v1/expected-off").is(200).value();
    assert_eq!(list["total"], 2, "{list}");
    assert_eq!(
        (&list["items"][0]["note"], &list["items"][1]["origin"]),
        (&"no show".into(), &"config".into())
    );
    gateway
        .ask("DELETE", "/api/v1/streams/b/expected-off")
        .is_problem(409);

    let added = gateway.ctl(&[
        "maintenance",
        "add",
        "live/*",
        "--for",
        "2h",
        "--note",
        "new encoder",
    ]);
    assert!(added.status.success(), "{added:?}");
    gateway
        .json("POST", "/api/v1/maintenance", r#"{"streams": "x"}"#)
        .is_problem(422);
    gateway
        .json(
            "POST",
            "/api/v1/maintenance",
            r#"{"from": "2031-01-01T00:00:00Z", "until": "2030-01-01T00:00:00Z"}"#,
        )
        .is_problem(422);
    let windows = gateway.ask("GET", "/api/v1/maintenance").is(200).value();
    assert_eq!(
        (&windows["items"][0]["state"], &windows["items"][0]["streams"]),
        (&"active".into(), &"live/*".into())
    );

    // A stream that nothing silences shows that alarms would be there by now.
    gateway.json("PUT", "/api/v1/streams/other", "{}").is(201);
    for stream in ["live/a", "b", "live/c", "other"] {
        lose(&gateway, stream);
    }
    wait_until("the other's alarm", || find(&gateway, "source_lost", "active"));
    let streams = gateway.ask("GET", "/api/v1/streams").is(200).value();
    let bad = streams["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|stream| stream["verdict"]["level"] == "bad");
    assert_eq!(bad.count(), 4, "{streams:#}");
    let alarms = page(&gateway, "");
    assert_eq!(
        (&alarms["total"], &alarms["items"][0]["stream"]),
        (&1.into(), &"other".into()),
        "{alarms:#}"
    );

    // They hold after a restart.
    let gateway = gateway.restarted();
    assert_eq!(
        gateway.ask("GET", "/api/v1/expected-off").value()["items"][0]["stream"],
        "live/a"
    );
    let id = gateway.ask("GET", "/api/v1/maintenance").value()["items"][0]["id"].to_string();
    assert!(gateway.ctl(&["maintenance", "delete", &id]).status.success());
    assert!(
        gateway
            .ctl(&["expect-off", "live/a", "--cancel"])
            .status
            .success()
    );
    assert!(
        !gateway
            .ctl(&["expect-off", "live/a", "--cancel"])
            .status
            .success()
    );
    lose(&gateway, "live/a");
    wait_until("an alarm of a stream that is silenced no more", || {
        find(&gateway, "source_lost", "active")
    });
}

#[test]
fn operators_acknowledge_and_silence_and_readers_look() {
    let gateway = Running::start(TOKENS, AT_ONCE);
    for (method, path, body, status) in [
        ("POST", "alarms/a-0/ack", "{}", 404),
        ("PUT", "streams/live%2Fa/expected-off", "{}", 200),
        ("DELETE", "streams/live%2Fa/expected-off", "", 204),
        ("POST", "maintenance", r#"{"seconds": 60}"#, 201),
        ("DELETE", "maintenance/1", "", 204),
    ] {
        let send = |token: &str| {
            let token = bearer(token);
            let headers = [
                ("Authorization", token.as_str()),
                ("Content-Type", "application/json"),
            ];
            gateway.send(method, &format!("/api/v1/{path}"), &headers, body)
        };
        send("a reader's").is_problem(403);
        assert_eq!(send("an operator's").status, status, "{method} {path}");
    }
    for path in ["alarms", "expected-off", "maintenance"] {
        let token = bearer("a reader's");
        gateway
            .send(
                "GET",
                &format!("/api/v1/{path}"),
                &[("Authorization", &token)],
                "",
            )
            .is(200);
    }
}

#[test]
fn a_refused_configuration_file_is_an_alarm_until_it_is_mended() {
    let gateway = Running::start("", AT_ONCE);
    let text = std::fs::read_to_string(gateway.config()).unwrap();
    std::fs::write(gateway.config(), format!("{text}max_viewers = \"many\"")).unwrap();
    let raised = wait_until("the alarm", || find(&gateway, "reload_refused", "active"));
    assert!(
        raised["text"].as_str().unwrap().contains("max_viewers"),
        "{raised}"
    );
    assert!(
        gateway
            .ask("GET", "/metrics")
            .text()
            .contains("config_last_reload_successful 0")
    );
    std::fs::write(gateway.config(), &text).unwrap();
    wait_until("its end", || find(&gateway, "reload_refused", "cleared"));
}

/// A mail server that takes one mail after the other, without encryption.
fn mail_server() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, mails) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mail = one_mail(stream.unwrap());
            if sender.send(mail).is_err() {
                return;
            }
        }
    });
    (address, mails)
}

fn one_mail(mut stream: TcpStream) -> String {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let (mut mail, mut in_data) = (String::new(), false);
    stream.write_all(b"220 mail\r\n").unwrap();
    while let Some(Ok(line)) = lines.next() {
        mail.push_str(&line);
        mail.push('\n');
        let answer = match line.split(' ').next().unwrap_or_default() {
            "." => {
                in_data = false;
                "250 taken"
            }
            _ if in_data => continue,
            "DATA" => {
                in_data = true;
                "354 go on"
            }
            "QUIT" => break,
            _ => "250 well",
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).unwrap();
    }
    mail
}

/// A webhook that answers the first post with 503 and the others with 200.
fn webhook() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, posts) = channel();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut bytes = Vec::new();
            let mut chunk = [0; 4096];
            while !bytes.ends_with(b"}") {
                let read = stream.read(&mut chunk).unwrap();
                assert!(read > 0, "{}", String::from_utf8_lossy(&bytes));
                bytes.extend_from_slice(&chunk[..read]);
            }
            let status = if number == 0 { "503 Later" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
            if sender.send(String::from_utf8(bytes).unwrap()).is_err() {
                return;
            }
        }
    });
    (address, posts)
}

#[test]
fn alarms_are_sent_to_slack_and_by_mail() {
    let (mail, mails) = mail_server();
    let (hook, posts) = webhook();
    let targets = format!(
        "slack_url = \"http://{hook}/services/secret\"\nmail = {{ server = \"{mail}\", tls = \"none\", \
         from = \"Gateway <gw@example.org>\", to = [\"noc@example.org\", \"boss@example.org\"] }}\n"
    );
    let config = AT_ONCE.replace("[alarms]\n", &format!("[alarms]\n{targets}"));
    let gateway = Running::start("", &config);
    lose(&gateway, "live/a");
    let mail = mails.recv_timeout(super::http::PATIENCE).unwrap();
    for part in [
        "MAIL FROM:<gw@example.org>",
        "RCPT TO:<noc@example.org>",
        "RCPT TO:<boss@example.org>",
        "[critical] live/a: lost ",
    ] {
        assert!(mail.contains(part), "{part}: {mail}");
    }
    // The first attempt fails, and is repeated.
    for _ in 0..2 {
        let post = posts.recv_timeout(super::http::PATIENCE).unwrap();
        assert!(post.starts_with("POST /services/secret "), "{post}");
        let body: Value = serde_json::from_str(post.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert!(
            body["text"]
                .as_str()
                .unwrap()
                .contains("[critical] live/a: lost "),
            "{body}"
        );
    }
    wait_until("the counts", || {
        let text = gateway.ask("GET", "/metrics").text();
        let sent = |target: &str| {
            text.contains(&format!(
                "srt_gateway_alarm_notices_total{{target=\"{target}\",outcome=\"sent\"}} 1"
            ))
        };
        (sent("slack") && sent("mail")).then_some(())
    });
    assert!(
        !gateway
            .logged()
            .iter()
            .any(|line| line.contains("services/secret"))
    );
}
