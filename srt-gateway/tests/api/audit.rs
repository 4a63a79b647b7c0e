//! The audit log: who changed what, from where, and with which result.

use std::fs;

use serde_json::Value;

use super::{
    TOKENS, bearer,
    http::{Running, wait_until},
};

const ADMIN: &str = "the admin's token";

fn send(gateway: &Running, method: &str, path: &str, token: &str, body: &str) -> u16 {
    let token = bearer(token);
    let headers = [
        ("Authorization", token.as_str()),
        ("Content-Type", "application/json"),
    ];
    gateway
        .send(method, &format!("/api/v1/{path}"), &headers, body)
        .status
}

fn audit(gateway: &Running, query: &str) -> Value {
    let token = bearer(ADMIN);
    let path = format!("/api/v1/audit?{query}");
    gateway
        .send("GET", &path, &[("Authorization", &token)], "")
        .is(200)
        .value()
}

/// The newest record of an object.
fn newest(gateway: &Running, object: &str) -> Value {
    let page = audit(gateway, "");
    let items = page["items"].as_array().unwrap();
    let found = items.iter().find(|record| record["object"] == object);
    found
        .unwrap_or_else(|| panic!("no record of {object}: {page:#}"))
        .clone()
}

#[test]
fn every_change_is_recorded_with_who_where_before_and_after() {
    let gateway = Running::start(
        &TOKENS.replace(
            "scope = \"operate\"",
            "scope = \"operate\", name = \"night shift\"",
        ),
        "[streams.a]\noutputs = [\"udp://127.0.0.1:9\"]",
    );
    let operator = "an operator's";
    let outputs = gateway.send(
        "GET",
        "/api/v1/outputs",
        &[("Authorization", &bearer(operator))],
        "",
    );
    let id = outputs.is(200).value()["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for (method, path, token, body, status) in [
        (
            "PUT",
            "streams/live%2Fx",
            ADMIN,
            r#"{"max_viewers": 3, "play_passphrase": "correct horse"}"#,
            201,
        ),
        (
            "PUT",
            "streams/live%2Fx",
            ADMIN,
            r#"{"max_viewers": 4, "play_passphrase": "battery staple"}"#,
            200,
        ),
        ("PUT", "streams/live%2Fx", ADMIN, r#"{"max_viewer": 4}"#, 422),
        ("POST", &format!("outputs/{id}/stop"), operator, "", 200),
        (
            "POST",
            "bans",
            operator,
            r#"{"address": "192.0.2.1", "seconds": 60, "reason": "noise"}"#,
            201,
        ),
        ("DELETE", "bans/192.0.2.1", operator, "", 204),
        ("PUT", "log", ADMIN, r#"{"level": "warn"}"#, 200),
        ("DELETE", "sessions/77", operator, "", 404),
        ("POST", "reload", ADMIN, "", 200),
        (
            "POST",
            "streams/a/inputs",
            ADMIN,
            r#"{"url": "srt://127.0.0.1:9?passphrase=correct%20horse"}"#,
            201,
        ),
    ] {
        assert_eq!(
            send(&gateway, method, path, token, body),
            status,
            "{method} {path}"
        );
    }
    let page = audit(&gateway, "");
    assert_eq!(page["total"], 10, "{page:#}");
    for secret in ["horse", "staple"] {
        assert!(!page.to_string().contains(secret), "{secret}: {page:#}");
    }
    let first = &audit(&gateway, "q=max_viewers")["items"][1];
    assert_eq!(first["by"], "the token of [api]");
    assert_eq!(
        (&first["address"], &first["via"]),
        (&"127.0.0.1".into(), &"api".into())
    );
    assert_eq!(
        (&first["action"], &first["object"]),
        (&"PUT".into(), &"streams/live/x".into())
    );
    assert_eq!((&first["result"], &first["status"]), (&"ok".into(), &201.into()));
    let changed = |record: &Value, key: &str| {
        let changes = record["changes"].as_array().unwrap();
        let found = changes
            .iter()
            .find(|change| change["key"].as_str().unwrap().contains(key));
        let found = found.unwrap_or_else(|| panic!("no {key}: {record:#}"));
        ["before", "after"].map(|side| found[side].as_str().unwrap_or("-").to_owned())
    };
    assert_eq!(changed(first, "max_viewers"), ["-", "3"]);
    let second = &audit(&gateway, "q=max_viewers")["items"][0];
    assert_eq!(changed(second, "max_viewers"), ["3", "4"]);
    let [before, after] = changed(second, "play_passphrase");
    assert!(
        before.starts_with("*** [") && after.starts_with("*** [") && before != after,
        "{second}"
    );
    assert_eq!(changed(first, "play_passphrase")[1], before);

    let failed = audit(&gateway, "result=failed");
    assert_eq!(failed["total"], 2, "{failed:#}");
    let invalid = failed["items"][1]["error"].as_str().unwrap().to_owned();
    assert!(invalid.contains("max_viewer"), "{invalid}");
    let stop = newest(&gateway, &format!("outputs/{id}/stop"));
    assert_eq!(stop["by"], "night shift");
    // The entry of the file is only a URL.
    let [before, after] = changed(&stop, "streams.a.outputs[0]");
    assert_eq!(before, "udp://127.0.0.1:9");
    assert!(after.contains("enabled = false"), "{after}");
    let ban = newest(&gateway, "bans");
    assert!(changed(&ban, "ban of 192.0.2.1")[1].ends_with(": noise"), "{ban}");
    let lifted = newest(&gateway, "bans/192.0.2.1");
    assert_eq!(changed(&lifted, "ban of 192.0.2.1")[1], "-");
    assert_eq!(changed(&newest(&gateway, "log"), "log.level"), ["info", "warn"]);
    let by = audit(&gateway, "by=night%20shift&limit=2");
    assert_eq!(
        (&by["total"], by["items"].as_array().unwrap().len()),
        (&4.into(), 2)
    );

    let token = bearer(operator);
    let csv = gateway
        .send(
            "GET",
            "/api/v1/audit?format=csv&by=night%20shift",
            &[("Authorization", &token)],
            "",
        )
        .is(200);
    let text = csv.text();
    assert!(csv.header("content-type").starts_with("text/csv"));
    assert!(
        text.starts_with("number,time,") && text.lines().count() == 5,
        "{text}"
    );
    assert_eq!(send(&gateway, "GET", "audit", "a reader's", ""), 403);
    assert_eq!(send(&gateway, "GET", "audit?nonsense=1", ADMIN, ""), 400);
    assert_eq!(send(&gateway, "GET", "audit?result=nonsense", ADMIN, ""), 400);
    let events = gateway
        .send("GET", "/api/v1/events", &[("Authorization", &token)], "")
        .value();
    let told = events
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["event"] == "audit");
    // The refused attempt to read the log is an event too.
    assert_eq!(told.count(), 11, "{events:#}");
}

#[test]
fn a_reload_of_the_file_is_recorded_whoever_asked_for_it() {
    let gateway = Running::start(
        "",
        "[streams.a]\nmax_viewers = 1\npublish_passphrase = \"correct horse\"",
    );
    let file = gateway.folder.path().join("gateway.toml");
    let save = |from: &str, to: &str| {
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace(from, to)).unwrap();
    };
    let find = |what: &str, wanted: &dyn Fn(&Value) -> bool| {
        wait_until(what, || {
            let page = gateway.ask("GET", "/api/v1/audit").is(200).value();
            assert!(!page.to_string().contains("horse"), "{page:#}");
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .find(|record| wanted(record))
                .cloned()
        })
    };
    save("max_viewers = 1", "max_viewers = 2");
    let saved = find("the saved file", &|record| record["via"] == "file");
    assert_eq!(
        (&saved["by"], &saved["action"]),
        (&"file".into(), &"RELOAD".into())
    );
    assert_eq!(saved["object"], file.to_str().unwrap());
    assert_eq!(saved["changes"][0]["key"], "streams.a.max_viewers");
    assert_eq!(
        (&saved["changes"][0]["before"], &saved["changes"][0]["after"]),
        (&"1".into(), &"2".into())
    );
    save("correct horse", "corrupt horses");
    let secret = find("the new passphrase", &|record| {
        record["changes"][0]["key"] == "streams.a.publish_passphrase"
    });
    assert_ne!(secret["changes"][0]["before"], secret["changes"][0]["after"]);
    save("max_viewers = 2", "max_viewers = \"many\"");
    let wrong = find("the wrong file", &|record| record["result"] == "failed");
    assert!(
        wrong["error"].as_str().unwrap().contains("max_viewers"),
        "{wrong}"
    );
}

#[test]
fn wrong_tokens_are_recorded_and_cannot_fill_the_log() {
    let gateway = Running::start(TOKENS, "");
    assert_eq!(send(&gateway, "PUT", "log", ADMIN, r#"{"level": "info"}"#), 200);
    // The console sends a request without a token to find out whether it needs one.
    gateway.ask("GET", "/api/v1/gateway").is_problem(401);
    for _ in 0..40 {
        let status = send(&gateway, "GET", "streams", "wrong", "");
        assert!(matches!(status, 401 | 429), "{status}");
    }
    assert_eq!(send(&gateway, "DELETE", "sessions/1", "a reader's", ""), 403);
    let page = audit(&gateway, "result=refused");
    assert_eq!(page["total"], 2, "{page:#}");
    let [reader, stranger] = [0, 1].map(|at| page["items"][at].clone());
    assert_eq!(
        (&reader["by"], &reader["count"]),
        (&"tokens[1] of [api]".into(), &1.into())
    );
    assert_eq!(
        (&stranger["by"], &stranger["status"]),
        (&"unknown token".into(), &401.into())
    );
    assert!(stranger["count"].as_u64().unwrap() >= 20, "{stranger}");
    assert_eq!(audit(&gateway, "result=ok")["total"], 1);
    let metrics = gateway
        .send("GET", "/metrics", &[("Authorization", &bearer(ADMIN))], "")
        .text();
    let name = "srt_gateway_api_refused_requests_total";
    let refused = metrics.lines().find(|line| line.starts_with(name)).unwrap();
    let count = refused.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
    assert!(count >= 21.0, "{count}");
}

/// A change is completed and recorded even if its sender does not wait for it.
#[test]
fn a_client_that_leaves_is_recorded_nevertheless() {
    let gateway = Running::start("", "");
    let (mut number, mut made) = (0, 0);
    wait_until("many changes are made, and all are recorded", || {
        let body = r#"{"max_viewers": 1}"#;
        let request = format!(
            "PUT /api/v1/streams/gone{number} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if made < 5 {
            // Some are gone before they are read, and change nothing.
            drop(gateway.raw(&request));
            number += 1;
        }
        let streams = gateway.ask("GET", "/api/v1/streams").is(200).value();
        let page = gateway.ask("GET", "/api/v1/audit?result=ok").is(200).value();
        made = streams["total"].as_u64()?;
        (made >= 5 && page["total"] == made).then_some(())
    });
}

#[test]
fn the_file_is_written_and_ctl_lists_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let gateway = Running::start(&format!("audit_file = {file:?}"), "");
    gateway
        .json("PUT", "/api/v1/streams/a", r#"{"max_viewers": 3}"#)
        .is(201);
    let line = wait_until("the record is in the file", || {
        let text = fs::read_to_string(&file).ok()?;
        text.lines().next().map(str::to_owned)
    });
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&line["object"], &line["number"]),
        (&"streams/a".into(), &1.into())
    );
    let ctl = gateway.ctl(&["audit", "max_viewers"]);
    let text = String::from_utf8(ctl.stdout).unwrap();
    assert!(text.contains("streams.a.max_viewers: (none) -> 3"), "{text}");
    let csv = gateway.ctl(&["audit", "--csv"]);
    assert!(String::from_utf8(csv.stdout).unwrap().starts_with("number,time,"));
}
