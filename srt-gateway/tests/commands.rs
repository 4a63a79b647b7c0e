//! Commands that do not serve: explain-streamid, doctor, completions, man.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::UdpSocket,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};
use tempfile::NamedTempFile;

const CONFIG: &str = r##"
[srt]
port = "127.0.0.1:9998"
[srt_play]
port = "127.0.0.1:9996"
passphrase = "secret of the port"
[streams."live/cam1"]
srt_publish = { port = "127.0.0.1:9002", passphrase = "own port secret" }
publish_passphrase = "publish secret"
"##;

fn config(text: &str) -> NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn run(arguments: &[&str], config: Option<&NamedTempFile>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_srt-gateway"));
    command.args(arguments);
    if let Some(file) = config {
        command.arg("--config").arg(file.path());
    }
    command.output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The part of `explain-streamid`'s output about a port.
fn verdict_on<'a>(text: &'a str, port: &str) -> &'a str {
    let mut lines = text.lines();
    lines
        .find(|line| line.contains(port))
        .unwrap_or_else(|| panic!("{text}"));
    lines.next().unwrap().trim()
}

#[test]
fn explains_a_streamid_on_each_port() {
    let file = config(CONFIG);
    let output = run(&["explain-streamid", "#!::r=live/cam1,m=publish"], Some(&file));
    let text = stdout(&output);
    assert!(output.status.success(), "{output:?}");
    assert!(text.contains("stream  live/cam1"), "{text}");
    assert!(text.contains("mode    publish"), "{text}");
    assert_eq!(
        verdict_on(&text, "srt port 9998"),
        "admitted: publishes live/cam1; with publish_passphrase of live/cam1"
    );
    assert!(
        verdict_on(&text, "srt_play port 9996").starts_with("refused 1405: "),
        "{text}"
    );
    assert_eq!(
        verdict_on(&text, "srt_publish port 9002 of live/cam1"),
        "admitted: publishes live/cam1; with the passphrase of this port (srt_publish.passphrase)"
    );
}

#[test]
fn explanation_of_one_port_shows_no_other_and_no_passphrase() {
    let file = config(CONFIG);
    let output = run(&["explain-streamid", "live/cam1", "--port", "9996"], Some(&file));
    let text = stdout(&output);
    assert!(!text.contains("9998"), "{text}");
    assert_eq!(
        verdict_on(&text, "srt_play port 9996"),
        "admitted: plays live/cam1; with the passphrase of this port (srt_play.passphrase)"
    );
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn an_explanation_for_programs_says_the_same() {
    let file = config(CONFIG);
    let output = run(
        &[
            "explain-streamid",
            "#!::r=live/cam1,m=publish,u=me,x=y,password=hush",
            "--json",
        ],
        Some(&file),
    );
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["read"]["dialect"], "standard");
    assert_eq!(
        told["read"]["streams"],
        json!([{ "name": "live/cam1", "password": true }])
    );
    assert_eq!(
        (&told["read"]["mode"], &told["read"]["user"]),
        (&json!("publish"), &json!("me"))
    );
    assert_eq!(told["read"]["labels"], json!([{ "key": "x", "value": "y" }]));
    let on = |port: &str| {
        let ports = told["ports"].as_array().unwrap().iter();
        ports
            .clone()
            .find(|told| told["port"].as_str().unwrap().starts_with(port))
            .unwrap()
    };
    let admitted = on("srt port 9998");
    assert_eq!(admitted["outcome"], "admitted");
    assert_eq!(
        (&admitted["role"], &admitted["stream"]),
        (&json!("publisher"), &json!("live/cam1"))
    );
    assert_eq!(admitted["passphrase"], "with publish_passphrase of live/cam1");
    let refused = on("srt_play port 9996");
    assert_eq!(
        (&refused["outcome"], &refused["code"]),
        (&json!("refused"), &json!(1405))
    );
    assert_eq!(
        on("srt_publish port 9002 of live/cam1")["address"],
        "127.0.0.1:9002"
    );

    let output = run(&["explain-streamid", "#!::r", "--json"], None);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(told["read"]["unreadable"].is_string(), "{told}");
    assert_eq!(told["ports"][0]["code"], 1400);
}

#[test]
fn what_is_valid_and_unwise_is_told_by_check_and_refuses_nothing() {
    let file = config("[srt_publish]\nport = 9997\noptions = { tlpktdrop = false }\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_srt-gateway"));
    let output = command.arg("check").arg(file.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = stdout(&output);
    assert!(
        text.contains("warning: line 3: srt_publish.options.tlpktdrop = false"),
        "{text}"
    );
}

#[test]
fn files_that_are_missing_or_empty_are_reported_by_check_and_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, nowhere) = (folder.path().join("empty.ts"), folder.path().join("no/where.ts"));
    std::fs::write(&empty, "").unwrap();
    let socket = folder.path().join("control.sock");
    let file = config(&format!(
        "gateway.control_socket = {socket:?}\napi.listen = \"\"\n[streams.a]\ninputs = [\"file://{}\"]\noutputs = [\"file://{}\"]\n",
        empty.display(),
        nowhere.display()
    ));
    let wanted = [
        format!("streams.a.inputs[0]: {}: the file is empty", empty.display()),
        format!(
            "streams.a.outputs[0]: {}: the folder does not exist",
            nowhere.display()
        ),
    ];
    let mut command = Command::new(env!("CARGO_BIN_EXE_srt-gateway"));
    let output = command.arg("check").arg(file.path()).output().unwrap();
    for wanted in &wanted {
        assert!(stdout(&output).contains(wanted), "{output:?}");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_srt-gateway"));
    command.arg("--config").arg(file.path()).stderr(Stdio::piped());
    let mut gateway = command.spawn().unwrap();
    let mut lines = BufReader::new(gateway.stderr.take().unwrap()).lines();
    let reported = wanted.iter().all(|wanted| {
        let mut lines = lines.by_ref().map(Result::unwrap);
        lines.any(|line| line.contains(wanted))
    });
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    assert!(reported);
}

#[test]
fn a_port_that_is_not_there_is_a_wrong_command_line() {
    let file = config(CONFIG);
    let output = run(&["explain-streamid", "x", "--port", "1"], Some(&file));
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no port 1"));
}

#[test]
fn a_streamid_that_cannot_be_read_is_explained_and_refused() {
    let output = run(&["explain-streamid", "#!::r"], None);
    let text = stdout(&output);
    assert!(output.status.success(), "{output:?}");
    assert!(text.contains("error     "), "{text}");
    assert!(
        verdict_on(&text, "srt port 9998").starts_with("refused 1400: "),
        "{text}"
    );
}

#[test]
fn doctor_fails_for_a_port_in_use_only() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let file = config(&format!("[srt]\nport = \"{}\"", taken.local_addr().unwrap()));
    let output = run(&["doctor"], Some(&file));
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let failed: Vec<_> = text.lines().filter(|line| line.starts_with("fail")).collect();
    assert_eq!(failed.len(), 1, "{text}");
    assert!(failed[0].contains("is in use"), "{text}");

    let output = run(&["doctor", "--json"], Some(&file));
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["fit"], false);
    let findings = report["findings"].as_array().unwrap();
    let failed: Vec<_> = findings
        .iter()
        .filter(|finding| finding["level"] == "fail")
        .collect();
    assert_eq!(failed.len(), 1, "{report}");
    assert_eq!(failed[0]["check"], "port");
    assert!(findings.iter().any(|finding| finding["check"] == "libsrt"));

    drop(taken);
    let output = run(&["doctor"], Some(&file));
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    for what in ["libsrt", "rmem_max", "descriptors", "processors", "clock", "ipv6"] {
        assert!(stdout(&output).contains(what), "{what}");
    }
}

#[test]
fn completions_and_manual_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell], None);
        assert!(output.status.success());
        assert!(stdout(&output).contains("explain-streamid"), "{shell}");
    }
    let page = run(&["man"], None);
    assert!(stdout(&page).starts_with(".ie"), "{}", stdout(&page));
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("new/man1");
    let output = run(&["man", pages.to_str().unwrap()], None);
    assert!(output.status.success(), "{output:?}");
    assert!(pages.join("srt-gateway.1").exists());
    assert!(pages.join("srt-gateway-doctor.1").exists());
    assert_eq!(run(&["man", "/dev/null/directory"], None).status.code(), Some(1));
}

/// bash's completions for the last of these words.
fn offered(words: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("srt-gateway.bash");
    let output = run(&["completions", "bash"], None);
    std::fs::write(&script, output.stdout).unwrap();
    let (last, before) = words.split_last().unwrap();
    let ask = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); function=$(complete -p srt-gateway); \
               function=${function##*-F }; ${function%% *} srt-gateway \"${!#}\" \"$LAST\"; echo \"${COMPREPLY[@]}\"";
    let told = Command::new("bash")
        .args(["-c", ask, "bash", script.to_str().unwrap()])
        .args(words)
        .env("LAST", before.last().unwrap())
        .output()
        .expect("bash is on every machine that completes with it");
    assert!(told.status.success(), "{last}: {told:?}");
    stdout(&told)
}

#[test]
fn bash_completes_commands_of_commands_and_their_options() {
    assert!(offered(&["srt-gateway", "do"]).contains("doctor"));
    assert!(offered(&["srt-gateway", "ctl", "add-"]).contains("add-output"));
    assert!(offered(&["srt-gateway", "ctl", "drain", "--w"]).contains("--wait"));
    assert!(offered(&["srt-gateway", "probe", "--"]).contains("--seconds"));
}
