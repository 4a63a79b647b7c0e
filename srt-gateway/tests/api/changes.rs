//! Adding, changing and removing things while the gateway runs.

use serde_json::json;

use crate::http::Running;

#[test]
fn a_version_guards_what_is_changed() {
    let gateway = Running::start("", "");
    let put = |headers: &[(&str, &str)], viewers: u32| {
        let headers = [&[("Content-Type", "application/json")], headers].concat();
        gateway.send(
            "PUT",
            "/api/v1/streams/live%2Fa",
            &headers,
            &json!({ "max_viewers": viewers }).to_string(),
        )
    };
    let first = put(&[("If-None-Match", "*")], 1).is(201);
    put(&[("If-None-Match", "*")], 2).is_problem(412);
    let second = put(&[("If-Match", first.header("etag"))], 2).is(200);
    assert_ne!(first.header("etag"), second.header("etag"));
    put(&[("If-Match", first.header("etag"))], 3).is_problem(412);
    let read = gateway.ask("GET", "/api/v1/streams/live%2Fa").is(200);
    assert_eq!(read.header("etag"), second.header("etag"));
    assert_eq!(read.value()["definition"], json!({ "max_viewers": 2 }));
}

#[test]
fn what_was_added_survives_a_restart_and_can_be_removed() {
    let rest = "[streams.\"live/a\"]\noutputs = [\"udp://127.0.0.1:9\"]";
    let gateway = Running::start("", rest);
    gateway
        .json("PUT", "/api/v1/streams/live%2Fa", "{}")
        .is_problem(409);
    gateway.ask("DELETE", "/api/v1/streams/live%2Fa").is_problem(409);
    let body = r#"{"url": "srt://127.0.0.1:7?passphrase=battery staple", "latency": 300}"#;
    let added = gateway
        .json("POST", "/api/v1/streams/live%2Fa/outputs", body)
        .is(201)
        .value();
    assert_eq!(
        (&added["origin"], &added["url"]),
        (&json!("api"), &json!("srt://127.0.0.1:7"))
    );
    gateway
        .json(
            "PUT",
            "/api/v1/streams/made%20here",
            r#"{"inputs": ["udp://127.0.0.1:0"]}"#,
        )
        .is_problem(422);
    gateway
        .json(
            "PUT",
            "/api/v1/streams/made%20here",
            r#"{"play_passphrase": "correct horse"}"#,
        )
        .is(201);
    let outputs = gateway.ask("GET", "/api/v1/outputs").value();
    let of_file = outputs["items"][0]["id"].as_str().unwrap().to_owned();
    let stop = format!("/api/v1/outputs/{of_file}/stop");
    let older = [("If-Match", "\"an older one\"")];
    gateway.send("POST", &stop, &older, "").is_problem(412);
    let stopped = gateway.ask("POST", &stop).is(200).value();
    assert_eq!(
        (&stopped["state"], &stopped["enabled"]),
        (&json!("stopped"), &json!(false))
    );

    let gateway = gateway.restarted();
    let detail = gateway.ask("GET", "/api/v1/streams/live%2Fa").is(200).value();
    let list = detail["output_list"].as_array().unwrap();
    assert_eq!(
        (&list[0]["enabled"], &list[0]["origin"]),
        (&json!(false), &json!("config"))
    );
    assert_eq!(
        (&list[1]["id"], &list[1]["origin"]),
        (&added["id"], &json!("api"))
    );
    assert_eq!(
        gateway.ask("GET", "/api/v1/streams/made%20here").value()["origin"],
        "api"
    );
    gateway
        .ask("DELETE", &format!("/api/v1/outputs/{of_file}"))
        .is_problem(409);
    gateway
        .ask("POST", &format!("/api/v1/outputs/{of_file}/start"))
        .is(200);
    gateway
        .ask(
            "DELETE",
            &format!("/api/v1/outputs/{}", added["id"].as_str().unwrap()),
        )
        .is(200);
    gateway.ask("DELETE", "/api/v1/streams/made%20here").is(200);
    let detail = gateway.ask("GET", "/api/v1/streams/live%2Fa").value();
    assert_eq!(detail["output_list"].as_array().unwrap().len(), 1);
    gateway.ask("GET", "/api/v1/streams/made%20here").is_problem(404);

    let all = gateway.ask("GET", "/api/v1/config").text();
    assert!(!all.contains("horse") && !all.contains("staple"), "{all}");
}

#[test]
fn an_output_that_was_added_is_changed_and_keeps_its_secrets() {
    let gateway = Running::start("", "[streams.a]\noutputs = [\"udp://127.0.0.1:9\"]");
    let body = r#"{"url": "srt://127.0.0.1:7", "passphrase": "battery staple", "latency": 300}"#;
    let added = gateway
        .json("POST", "/api/v1/streams/a/outputs", body)
        .is(201)
        .value();
    let path = |endpoint: &serde_json::Value| format!("/api/v1/outputs/{}", endpoint["id"].as_str().unwrap());
    let put = |path: &str, body: &str| gateway.json("PUT", path, body);
    let changed = put(
        &path(&added),
        r#"{"url": "srt://127.0.0.1:7", "passphrase": "***", "latency": 500}"#,
    );
    assert_eq!(changed.is(200).value()["id"], added["id"]);
    let state = || std::fs::read_to_string(gateway.folder.path().join("gateway.state.toml")).unwrap();
    assert!(
        state().contains("battery staple") && state().contains("500"),
        "{}",
        state()
    );
    let moved = put(
        &path(&added),
        r#"{"url": "udp://127.0.0.1:10", "enabled": false}"#,
    )
    .is(200)
    .value();
    assert_ne!(moved["id"], added["id"]);
    assert_eq!(
        (&moved["url"], &moved["enabled"]),
        (&json!("udp://127.0.0.1:10"), &json!(false))
    );
    put(&path(&added), r#"{"url": "udp://127.0.0.1:11"}"#).is_problem(404);
    put(&path(&moved), r#"{"url": "http://127.0.0.1:11"}"#).is_problem(422);
    let older = [("If-Match", "\"older\""), ("Content-Type", "application/json")];
    gateway.send("PUT", &path(&moved), &older, "{}").is_problem(412);
    let outputs = gateway.ask("GET", "/api/v1/outputs").value();
    assert_eq!(outputs["total"], 2);
    put(&path(&outputs["items"][0]), r#"{"url": "udp://127.0.0.1:11"}"#).is_problem(409);
}

#[test]
fn what_cannot_be_kept_is_not_done() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("missing").join("state.toml");
    let gateway = Running::start(
        &format!("state = {state:?}"),
        "[streams.a]\noutputs = [\"udp://127.0.0.1:9\"]",
    );
    let outputs = || gateway.ask("GET", "/api/v1/outputs").is(200).value()["items"][0].clone();
    let refused = gateway.json(
        "PUT",
        "/api/v1/streams/made",
        r#"{"play_passphrase": "correct horse"}"#,
    );
    refused.is_problem(507);
    let told = refused.text();
    assert!(
        told.contains("nothing was changed") && !told.contains("horse"),
        "{told}"
    );
    let id = outputs()["id"].as_str().unwrap().to_owned();
    gateway
        .ask("POST", &format!("/api/v1/outputs/{id}/stop"))
        .is_problem(507);
    assert_eq!(outputs()["enabled"], true);
    assert_eq!(gateway.ask("GET", "/api/v1/streams").value()["total"], 1);
}

#[test]
fn a_broken_state_file_is_set_aside_and_reported() {
    let gateway = Running::start("", "[streams.a]");
    let state = gateway.folder.path().join("gateway.state.toml");
    std::fs::write(&state, "[streams.b]\nplay_passphrase = \"correct horse\n").unwrap();
    let gateway = gateway.restarted();
    let streams = gateway.ask("GET", "/api/v1/streams").is(200).value();
    assert_eq!(
        (&streams["total"], &streams["items"][0]["name"]),
        (&json!(1), &json!("a"))
    );
    let events = gateway.ask("GET", "/api/v1/events").is(200).value();
    let told = events.as_array().unwrap().iter();
    let told = told
        .filter(|event| event["event"] == "state_file")
        .collect::<Vec<_>>();
    let [event] = told[..] else { panic!("{events}") };
    let text = event["text"].as_str().unwrap();
    assert!(text.contains("gateway.state.toml, line 2: "), "{text}");
    assert!(text.contains("was moved to") && !text.contains("horse"), "{text}");
    let files = std::fs::read_dir(gateway.folder.path()).unwrap();
    let mut aside = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("gateway.state.toml.broken-"));
    let kept = std::fs::read_to_string(aside.next().expect("it was moved")).unwrap();
    assert!(kept.contains("correct horse"), "{kept}");
    // It does not block the next change.
    gateway.json("PUT", "/api/v1/streams/made", "{}").is(201);
    let kept = std::fs::read_to_string(&state).unwrap();
    assert!(kept.contains("made"), "{kept}");
}

#[test]
fn a_change_that_was_not_in_force_when_the_gateway_died_is_undone() {
    let gateway = Running::start("", "");
    gateway.json("PUT", "/api/v1/streams/good", "{}").is(201);
    let staged = gateway.folder.path().join("gateway.state.toml.new");
    std::fs::write(&staged, "[streams.hangs]\n").unwrap();
    let gateway = gateway.restarted();
    let streams = gateway.ask("GET", "/api/v1/streams").is(200).value();
    assert_eq!(
        (&streams["total"], &streams["items"][0]["name"]),
        (&json!(1), &json!("good"))
    );
    let events = gateway.ask("GET", "/api/v1/events").is(200).text();
    assert!(
        events.contains("state_file") && events.contains("was undone"),
        "{events}"
    );
    assert!(!staged.exists());
}

#[test]
fn a_reload_keeps_what_the_api_added() {
    let gateway = Running::start("", "[streams.a]");
    gateway.json("PUT", "/api/v1/streams/made", "{}").is(201);
    let text = std::fs::read_to_string(gateway.config()).unwrap();
    std::fs::write(gateway.config(), format!("{text}\n[streams.b]\n")).unwrap();
    let told = gateway.ask("POST", "/api/v1/reload").is(200).value();
    assert!(
        told["changes"].is_array() && told["warnings"].is_array(),
        "{told}"
    );
    let streams = gateway.ask("GET", "/api/v1/streams").value();
    let names: Vec<_> = streams["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["name"].clone())
        .collect();
    assert_eq!(names, ["a", "b", "made"]);
    std::fs::write(gateway.config(), format!("{text}\n[streams.made]\n")).unwrap();
    gateway.ask("POST", "/api/v1/reload").is(200);
    let last = gateway.ask("GET", "/api/v1/reload").value();
    assert!(last["warnings"].to_string().contains("made"), "{last}");
}

#[test]
fn a_reload_tells_every_fault_with_its_place_and_changes_nothing() {
    let gateway = Running::start("", "[streams.a]");
    let shown = gateway.ask("GET", "/api/v1/gateway").value();
    assert_eq!(shown["config_file"], gateway.config().to_str().unwrap());
    assert_eq!(shown["log_level"], "info");
    let text = std::fs::read_to_string(gateway.config()).unwrap();
    let lines = text.lines().count();
    let wrong = format!("{text}\nmax_viewer = 3\n  ring = \"many\"\n");
    std::fs::write(gateway.config(), wrong).unwrap();
    let refused = gateway.ask("POST", "/api/v1/reload");
    refused.is_problem(422);
    let problem = refused.value();
    assert!(
        problem["detail"].as_str().unwrap().contains("gateway.toml"),
        "{problem}"
    );
    let places: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            (
                error["key"].clone(),
                error["line"].clone(),
                error["column"].clone(),
            )
        })
        .collect();
    assert_eq!(
        places,
        [
            (json!("streams.a.max_viewer"), json!(lines + 1), json!(1)),
            (json!("streams.a.ring"), json!(lines + 2), json!(10)),
        ]
    );
    let last = gateway.ask("GET", "/api/v1/reload").is(200).value();
    assert_eq!(last["problem"]["errors"], problem["errors"]);
    assert!(last["time"].is_string(), "{last}");
    let told = gateway.ctl(&["reload"]);
    let words = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(
        !told.status.success() && words.contains(&format!("{}:10: streams.a.ring", lines + 2)),
        "{words}"
    );
    assert_eq!(gateway.ask("GET", "/api/v1/streams").value()["total"], 1);
}

#[test]
fn what_was_added_is_changed_and_keeps_its_secrets() {
    let gateway = Running::start("", "[streams.\"live/a\"]\noutputs = [\"udp://127.0.0.1:9\"]");
    let add = |body: &str| {
        let added = gateway
            .json("POST", "/api/v1/streams/live%2Fa/outputs", body)
            .is(201)
            .value();
        format!("/api/v1/outputs/{}", added["id"].as_str().unwrap())
    };
    add(r#"{"url": "udp://127.0.0.1:10"}"#);
    let path = add(r#"{"url": "srt://127.0.0.1:7?passphrase=battery staple", "latency": 300}"#);
    let shown = gateway.ask("GET", &path).is(200);
    let definition = json!({ "url": "srt://127.0.0.1:7?passphrase=***", "latency": 300 });
    assert_eq!(shown.value()["definition"], definition);
    let put = |path: &str, version: &str, body: &serde_json::Value| {
        let headers = [("Content-Type", "application/json"), ("If-Match", version)];
        gateway.send("PUT", path, &headers, &body.to_string())
    };
    // The passphrase would be too short if the mask were taken literally.
    let moved = json!({ "url": "srt://127.0.0.1:8?passphrase=***", "latency": 400 });
    let changed = put(&path, shown.header("etag"), &moved).is(200);
    assert_eq!(changed.value()["definition"], moved);
    assert_ne!(changed.value()["id"], shown.value()["id"]);
    let path = format!("/api/v1/outputs/{}", changed.value()["id"].as_str().unwrap());
    put(&path, shown.header("etag"), &moved).is_problem(412);
    // Its address is the same, so it is the same endpoint, and there is no second one beside it.
    let slower = json!({ "url": "srt://127.0.0.1:8?passphrase=***", "latency": 500 });
    let changed = put(&path, changed.header("etag"), &slower).is(200);
    let detail = gateway.ask("GET", "/api/v1/streams/live%2Fa").value();
    assert_eq!(detail["output_list"].as_array().unwrap().len(), 3, "{detail}");
    let wrong = put(
        &path,
        changed.header("etag"),
        &json!({ "url": "srt://127.0.0.1:8", "latency": "soon" }),
    );
    wrong.is_problem(422);
    assert_eq!(
        wrong.value()["errors"][0]["key"],
        "streams.\"live/a\".outputs[2].latency"
    );
    let outputs = gateway.ask("GET", "/api/v1/outputs").value();
    let urls: Vec<_> = outputs["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["url"].clone())
        .collect();
    assert_eq!(
        urls,
        ["udp://127.0.0.1:9", "udp://127.0.0.1:10", "srt://127.0.0.1:8"]
    );
}

#[test]
fn what_the_file_has_is_shown_and_not_replaced() {
    let gateway = Running::start("", "[streams.a]\noutputs = [\"udp://127.0.0.1:9\"]");
    let body = r#"{"url": "udp://127.0.0.1:10"}"#;
    let added = gateway
        .json("POST", "/api/v1/streams/a/outputs", body)
        .is(201)
        .value();
    let outputs = || gateway.ask("GET", "/api/v1/outputs").value()["items"].clone();
    let of_file = format!("/api/v1/outputs/{}", outputs()[0]["id"].as_str().unwrap());
    let shown = gateway.ask("GET", &of_file).is(200);
    assert_eq!(shown.value()["definition"], json!({ "url": "udp://127.0.0.1:9" }));
    gateway.json("PUT", &of_file, body).is_problem(409);
    let id = added["id"].as_str().unwrap();
    let change = gateway.ctl(&["change", id, r#"{"url": "udp://127.0.0.1:11"}"#]);
    assert!(change.status.success(), "{change:?}");
    assert_eq!(outputs()[1]["url"], "udp://127.0.0.1:11");
    let keys = gateway.ask("GET", "/api/v1/keys").is(200).value();
    let keys = keys[0]["keys"].as_array().unwrap();
    assert!(keys.iter().any(|key| key["name"] == "max_viewers"));
}

#[test]
fn an_answer_has_what_is_probably_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let api = format!("file_folders = [{:?}]", folder.path());
    let gateway = Running::start(&api, "[streams.a]\noutputs = [\"udp://127.0.0.1:9\"]");
    let add = |url: &str| {
        let body = json!({ "url": url }).to_string();
        let added = gateway.json("POST", "/api/v1/streams/a/outputs", &body).is(201);
        added.value()["warnings"].clone()
    };
    assert_eq!(add("udp://127.0.0.1:10"), serde_json::Value::Null);
    let twice = add("rtp://127.0.0.1:9");
    assert!(
        twice[0]
            .as_str()
            .unwrap()
            .contains("the same place as streams.a.outputs[0]"),
        "{twice}"
    );
    let nowhere = add(&format!("file://{}/no/where.ts", folder.path().display()));
    assert!(
        nowhere[0].as_str().unwrap().contains("the folder does not exist"),
        "{nowhere}"
    );
    let outputs = gateway.ask("GET", "/api/v1/outputs").value();
    assert_eq!(outputs["items"][2]["warnings"], twice);
    let put = gateway
        .json(
            "PUT",
            "/api/v1/streams/b",
            r#"{"outputs": ["udp://127.0.0.1:9"]}"#,
        )
        .is(201)
        .value();
    assert!(put["output_list"][0]["warnings"][0].is_string(), "{put}");
}

#[test]
fn an_output_is_named_wherever_it_is_shown() {
    let outputs = r##"outputs = [{ url = "srt://127.0.0.1:9?streamid=x", name = "CDN A" }, "srt://127.0.0.1:9?streamid=y"]"##;
    let gateway = Running::start("", &format!("[streams.a]\n{outputs}"));
    let all = gateway.ask("GET", "/api/v1/outputs").value();
    assert_eq!(all["items"][0]["name"], "CDN A");
    let other = all["items"][1]["name"].as_str().unwrap();
    assert!(
        other.starts_with("srt://127.0.0.1:9 ") && other.ends_with('y'),
        "{other}"
    );
    let metrics = gateway.ask("GET", "/metrics").text();
    assert!(
        metrics.contains("srt_gateway_endpoint_up{stream=\"a\",direction=\"output\",name=\"CDN A\","),
        "{metrics}"
    );
    let listed = gateway.ctl(&["outputs"]);
    assert!(
        String::from_utf8_lossy(&listed.stdout).contains("CDN A"),
        "{listed:?}"
    );
}

#[test]
fn ctl_does_not_replace_a_stream_unless_it_is_asked_to_and_changes_single_keys() {
    let gateway = Running::start("", "[streams.of_file]");
    let run = |arguments: &[&str]| gateway.ctl(arguments);
    let definition = |name: &str| {
        let stream = gateway
            .ask("GET", &format!("/api/v1/streams/{name}"))
            .is(200)
            .value();
        stream["definition"].clone()
    };
    let table = r#"{"max_viewers": 2, "play_passphrase": "correct horse", "failover": {"back": "9s"}}"#;
    assert!(run(&["add-stream", "made", table]).status.success());
    let before = definition("made");
    let refused = run(&["add-stream", "made"]);
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        told.contains("change-stream") && told.contains("--replace"),
        "{told}"
    );
    assert_eq!(definition("made"), before);

    let changed = run(&[
        "change-stream",
        "made",
        "max_viewers=7",
        "failover.after=2s",
        "start_at=live",
    ]);
    assert!(changed.status.success(), "{changed:?}");
    let after = definition("made");
    assert_eq!(
        (&after["max_viewers"], &after["failover"]["after"]),
        (&7.into(), &"2s".into())
    );
    assert_eq!(
        (&after["failover"]["back"], &after["play_passphrase"]),
        (&"9s".into(), &"***".into())
    );
    let export = gateway.ask("GET", "/api/v1/export?secrets=true").is(200).value();
    assert_eq!(export["streams"]["made"]["play_passphrase"], "correct horse");
    assert!(
        run(&["change-stream", "made", "--unset", "start_at"])
            .status
            .success()
    );
    assert!(definition("made").get("start_at").is_none());
    for wrong in [
        &["change-stream", "made", "max_viewers=many"][..],
        &["change-stream", "made", "nonsense=1"],
        &["change-stream", "made", "--unset", "nonsense"],
        &["change-stream", "nowhere", "max_viewers=1"],
        &["change-stream", "of_file", "max_viewers=1"],
    ] {
        assert_eq!(run(wrong).status.code(), Some(1), "{wrong:?}");
    }
    assert!(run(&["add-stream", "made", "{}", "--replace"]).status.success());
    assert_eq!(definition("made"), serde_json::json!({}));
}

#[test]
fn what_the_api_has_added_moves_to_another_gateway() {
    let file = "[streams.\"live/a\"]\noutputs = [\"udp://127.0.0.1:9\"]";
    let one = Running::start("", file);
    one.json(
        "PUT",
        "/api/v1/streams/made",
        r#"{"play_passphrase": "correct horse", "inputs": ["srt://127.0.0.1:9?passphrase=battery%20staple"]}"#,
    )
    .is(201);
    one.json(
        "POST",
        "/api/v1/streams/live%2Fa/outputs",
        r#"{"url": "udp://127.0.0.1:10", "name": "second"}"#,
    )
    .is(201);
    let id = one.ask("GET", "/api/v1/outputs?stream=live%2Fa").value()["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    one.ask("POST", &format!("/api/v1/outputs/{id}/stop")).is(200);
    let masked = String::from_utf8(one.ctl(&["export"]).stdout).unwrap();
    assert!(
        !masked.contains("horse") && !masked.contains("staple") && masked.contains("***"),
        "{masked}"
    );
    let whole = String::from_utf8(one.ctl(&["export", "--with-secrets"]).stdout).unwrap();
    let path = one.folder.path().join("export.json");
    let import = |gateway: &Running, text: &str, more: &[&str]| {
        std::fs::write(&path, text).unwrap();
        let arguments = [&["import", path.to_str().unwrap()], more].concat();
        gateway.ctl(&arguments)
    };
    // Where its secrets are known, a masked document changes nothing.
    assert!(import(&one, &masked, &[]).status.success());
    assert_eq!(
        one.ask("GET", "/api/v1/export?secrets=true").text(),
        one.ask("GET", "/api/v1/export?secrets=true").text()
    );

    let two = Running::start("", file);
    let refused = import(&two, &masked, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("masked secret"),
        "{refused:?}"
    );
    assert_eq!(
        two.ask("GET", "/api/v1/export").value()["streams"],
        serde_json::json!({})
    );
    assert!(import(&two, &whole, &[]).status.success());
    let same = |gateway: &Running| gateway.ask("GET", "/api/v1/export?secrets=true").is(200).value();
    assert_eq!(same(&one), same(&two));
    let stopped = two.ask("GET", &format!("/api/v1/outputs/{id}")).is(200).value();
    assert_eq!(
        stopped["endpoint"]["enabled"]
            .as_bool()
            .or_else(|| stopped["enabled"].as_bool()),
        Some(false),
        "{stopped}"
    );
    // Again it is the same; another definition is a conflict.
    assert!(import(&two, &whole, &[]).status.success());
    two.json("PUT", "/api/v1/streams/made", r#"{"max_viewers": 1}"#)
        .is(200);
    two.json("PUT", "/api/v1/streams/own", "{}").is(201);
    assert_eq!(import(&two, &whole, &[]).status.code(), Some(1));
    assert!(import(&two, &whole, &["--replace"]).status.success());
    assert_eq!(same(&one), same(&two));
    let in_file = r#"{"format": 1, "streams": {"live/a": {}}}"#;
    assert_eq!(import(&two, in_file, &["--replace"]).status.code(), Some(1));
    two.json("POST", "/api/v1/import", "{}").is_problem(422);
    two.json("POST", "/api/v1/import", r#"{"format": 1, "nonsense": 1}"#)
        .is_problem(422);

    let audit = one.ask("GET", "/api/v1/audit?q=export").is(200).value();
    assert!(audit["total"].as_u64().unwrap() >= 1, "{audit:#}");
}

#[test]
fn secrets_are_exported_to_admins_only() {
    let gateway = Running::start(super::TOKENS, "");
    for (token, secrets, status) in [
        ("a reader's", false, 200),
        ("a reader's", true, 403),
        ("an operator's", true, 403),
        ("the admin's token", true, 200),
    ] {
        let token = super::bearer(token);
        let path = format!("/api/v1/export?secrets={secrets}");
        let reply = gateway.send("GET", &path, &[("Authorization", &token)], "");
        assert_eq!(reply.status, status, "{token} {secrets}");
    }
}
