//! Hostile input from peers and clients: control characters, secrets, paths. None of it may appear where it should not.

use std::{fs, io::Write as _, process::Stdio};

use serde_json::json;

use crate::{
    backend::{HttpServer, Reply},
    http::{Running, wait_until},
};

/// C0, DEL, C1, separators and direction marks, except the line breaks of the output itself.
fn steers(c: char) -> bool {
    c != '\n' && c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Everything that the gateway has output, by origin.
fn outputs(gateway: &Running) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for path in [
        "config",
        "streams",
        "sessions",
        "inputs",
        "outputs",
        "rejections",
        "events",
        "listeners",
        "gateway",
        "bans",
        "reload",
    ] {
        let path = format!("/api/v1/{path}");
        all.push((path.clone(), gateway.ask("GET", &path).is(200).text()));
    }
    all.push((
        "/metrics".to_owned(),
        gateway.ask("GET", "/metrics").is(200).text(),
    ));
    for arguments in [
        &["sessions"][..],
        &["rejections"],
        &["events"],
        &["streams"],
        &["--json", "rejections"],
    ] {
        let output = gateway.ctl(arguments);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        all.push((format!("ctl {arguments:?}"), text));
    }
    all.push(("log".to_owned(), gateway.logged().join("\n")));
    all
}

/// Fails with every output for which `is_wrong` returns true, not only with the first.
#[track_caller]
fn assert_clean(gateway: &Running, is_wrong: impl Fn(&str) -> bool) {
    let mut all = outputs(gateway);
    all.retain(|(_, text)| is_wrong(text));
    let places: Vec<_> = all.iter().map(|(place, _)| place).collect();
    assert!(all.is_empty(), "{places:?}\n{all:#?}");
}

fn rejections(gateway: &Running, count: usize) {
    wait_until("the refusals", || {
        let all = gateway.ask("GET", "/api/v1/rejections").is(200).value();
        (all.as_array().unwrap().len() >= count).then_some(())
    });
}

#[test]
fn no_output_steers_a_terminal_or_forges_a_line() {
    for format in ["text", "json"] {
        let gateway = Running::start(
            "session_metrics = true",
            &format!("[log]\nformat = \"{format}\"\nlevel = \"debug\""),
        );
        let hostile = [
            "publish/live/a\n2026-01-01T00:00:00Z  INFO forged",
            "publish/live/a\u{1b}[2J\u{1b}]0;owned\u{7}",
            "publish/live/a\u{9b}2J\u{7f}",
            "publish/live/a\u{202e}evil",
            "#!::r=live/b\u{1b}[2J,m=publish",
            "#!::r=live%0Ab,m=publish",
        ];
        for streamid in hostile {
            gateway.call(streamid).unwrap_err();
        }
        // Parts other than the name may contain anything, and this caller is admitted.
        let _publisher = gateway
            .call("#!::r=live/\"quoted\" \\ name,m=publish,u=al\u{1b}[2J,a=agent\u{9b}\u{202e}\u{2028}")
            .unwrap();
        gateway.wait_sessions(1);
        rejections(&gateway, hostile.len());
        assert_clean(&gateway, |text| text.contains(steers));
        assert_clean(&gateway, |text| {
            text.lines().any(|line| line.starts_with("2026-01-01T00:00:00Z"))
        });
        let names = gateway.ask("GET", "/api/v1/streams").value();
        assert_eq!(
            (&names["total"], &names["items"][0]["name"]),
            (&json!(1), &json!("live/\"quoted\" \\ name"))
        );
        // The figures are those of the last second.
        let metrics = wait_until("the stream's metrics", || {
            let metrics = gateway.ask("GET", "/metrics").is(200).text();
            metrics
                .contains(r#"stream="live/\"quoted\" \\ name""#)
                .then_some(metrics)
        });
        is_scraped(&metrics);
    }
}

/// Prometheus' own parser accepts it.
fn is_scraped(metrics: &str) {
    let mut promtool = std::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, of Debian's package prometheus");
    // The text form has no `# EOF` and no units.
    let text: String = metrics
        .lines()
        .filter(|line| !line.starts_with("# EOF") && !line.starts_with("# UNIT"))
        .flat_map(|line| [line, "\n"])
        .collect();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    // 3: only naming lints. 1: it could not be parsed.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{told}");
}

#[test]
fn no_secret_comes_out() {
    // A different one each time, of letters that occur nowhere else.
    let secret = format!("zq{:x}xq", std::process::id());
    let secret = secret.as_str();
    let config = format!(
        r#"
        [auth]
        url = "http://u:{secret}@127.0.0.1:9/?key={secret}&api_key={secret}&jwt={secret}"
        secret = "{secret}"
        fail = "open"
        [events]
        url = "http://127.0.0.1:9/{{}}?access_token={secret}"
        [[rules]]
        stream = "*"
        user = "al"
        password = "{secret}"
        action = "publish"
        [[rules]]
        stream = "*"
        action = "any"
        [streams."live/a"]
        play_passphrase = "{secret}{secret}"
        password = "{secret}"
        outputs = ["srt://127.0.0.1:9?passphrase={secret}{secret}&streamid=#!::r=x,s={secret}"]
        "#
    );
    let config = config.replace("{}", "x");
    let gateway = Running::start("", &config);
    let mut refused = 0;
    let mut open = Vec::new();
    for key in [
        "password",
        "psk",
        "token",
        "jwt",
        "apikey",
        "api_key",
        "access_token",
        "x_token",
        "secretkey",
        "credential",
        "auth",
        "key",
    ] {
        for streamid in [
            format!("#!::r=live/a,m=request,{key}={secret}"),
            format!("#!::r=live/b-{key}?{key}={secret},m=publish"),
            format!("srt://u:{secret}@gw.example:9000/live/c-{key}?mode=publish&{key}={secret}"),
        ] {
            match gateway.call(&streamid) {
                Ok(socket) => open.push(socket),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 0 && !open.is_empty(), "{refused} {}", open.len());
    rejections(&gateway, 1);
    let output = json!({
        "url": "srt://127.0.0.1:9",
        "passphrase": secret.repeat(2),
        "streamid": format!("#!::r=y,s={secret}"),
    });
    let added = output.to_string();
    gateway
        .json("POST", "/api/v1/streams/live%2Fa/outputs", &added)
        .is(201);
    for path in ["streams/live%2Fa", "outputs", "inputs"] {
        let text = gateway.ask("GET", &format!("/api/v1/{path}")).is(200).text();
        assert!(!text.contains(secret), "{path}: {text}");
    }
    assert_clean(&gateway, |text| text.contains(secret));
}

#[test]
fn files_by_the_api_are_kept_to_their_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (allowed, outside) = (folder.path().join("files"), folder.path().join("outside"));
    for made in [&allowed, &outside] {
        fs::create_dir(made).unwrap();
    }
    std::os::unix::fs::symlink(&outside, allowed.join("link")).unwrap();
    let add = |gateway: &Running, path: String| {
        let body = json!({ "url": format!("file://{path}") }).to_string();
        gateway.json("POST", "/api/v1/streams/a/outputs", &body)
    };
    let closed = Running::start("", "[streams.a]");
    let refused = add(&closed, format!("{}/x.ts", allowed.display()));
    refused.is_problem(422);
    assert!(refused.text().contains("file_folders"), "{}", refused.text());

    let gateway = Running::start(&format!("file_folders = [{allowed:?}]"), "[streams.a]");
    add(&gateway, "/etc/x.ts".to_owned()).is_problem(422);
    add(&gateway, format!("{}/../outside/x.ts", allowed.display())).is_problem(422);
    gateway
        .json(
            "PUT",
            "/api/v1/streams/b",
            r#"{"inputs": ["file:///etc/passwd"]}"#,
        )
        .is_problem(422);
    gateway
        .json("PUT", "/api/v1/streams/b", r#"{"srt": {"port": 53}}"#)
        .is_problem(422);
    add(&gateway, format!("{}/sub/x.ts", allowed.display())).is(201);
    add(&gateway, format!("{}/link/y.ts", allowed.display())).is(201);
    let publisher = gateway.call("#!::r=a,m=publish").unwrap();
    wait_until("the file, and the refusal of the other one", || {
        publisher.send(&[0x47; 1316]).unwrap();
        let outputs = gateway.ask("GET", "/api/v1/outputs").is(200).text();
        let is_written = fs::metadata(allowed.join("sub/x.ts")).is_ok_and(|file| file.len() > 0);
        (is_written && outputs.contains("symbolic link")).then_some(())
    });
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn what_a_backend_says_steers_no_terminal() {
    let hook = HttpServer::start(|_| {
        let reason = "no\u{1b}[2J\u{9b}2J\u{202e}\u{7f}\n2026-01-01T00:00:00Z  INFO forged";
        Reply::Answer(403, json!({ "reason": reason }).to_string())
    });
    let gateway = Running::start("", &format!("[auth]\nurl = \"{}\"\n[streams.a]\n", hook.url("/")));
    gateway.call("#!::r=a,m=publish").unwrap_err();
    rejections(&gateway, 1);
    assert_clean(&gateway, |text| text.contains(steers));
    assert_clean(&gateway, |text| {
        text.lines().any(|line| line.starts_with("2026-01-01T00:00:00Z"))
    });
}

#[test]
fn definitions_that_say_two_things_or_ask_for_too_much_are_refused() {
    let gateway = Running::start("", "[streams.a]");
    let put = |name: &str, body: &str| gateway.json("PUT", &format!("/api/v1/streams/{name}"), body);
    for body in [
        r#"{"max_viewers": 1, "max_viewers": 0}"#,
        r#"{"outputs": [{"url": "udp://127.0.0.1:9", "url": "udp://192.0.2.1:9"}]}"#,
    ] {
        let refused = put("b", body);
        refused.is_problem(400);
        assert!(refused.text().contains("is given twice"), "{}", refused.text());
    }
    for (body, field) in [
        (
            r#"{"srt": {"port": 9001, "options": {"fc": 2000000000}}}"#,
            "srt.options.fc",
        ),
        (
            r#"{"outputs": ["srt://127.0.0.1:9?sndbuf=2000000000"]}"#,
            "outputs[0].options.sndbuf",
        ),
        (r#"{"ring": "2GB"}"#, "ring"),
    ] {
        let refused = put("b", body);
        refused.is_problem(422);
        let error = &refused.value()["errors"][0];
        assert_eq!(error["key"], format!("streams.b.{field}"), "{error}");
        assert!(
            error["message"].as_str().unwrap().contains("must be at most"),
            "{error}"
        );
    }
    let refused = put("..%2F..%2Fetc", "{}");
    refused.is_problem(422);
    assert!(refused.text().contains("component"), "{}", refused.text());
    let output =
        |number: usize| json!({ "url": format!("udp://127.0.0.1:{}", 20_000 + number), "enabled": false });
    let outputs: Vec<_> = (0..101).map(output).collect();
    let refused = put("b", &json!({ "outputs": outputs }).to_string());
    refused.is_problem(422);
    let error = &refused.value()["errors"][0];
    assert_eq!(error["key"], "streams.\"b\".outputs");
    assert!(
        error["message"].as_str().unwrap().contains("at most 100"),
        "{error}"
    );
    put("b", &json!({ "outputs": &outputs[1..] }).to_string()).is(201);
}
