//! `bench` against a gateway of its own, and the comparison of two servers.

use std::{
    fs,
    net::UdpSocket,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_srt-gateway");

const CONFIG: &str = r#"
[gateway]
control_socket = "{config}.socket"
[srt]
port = "{address}"
[streams_default]
accept_unknown = true
on_source_lost = "1h"
[limits]
handshakes_per_second_per_ip = 0
"#;

/// A process that is killed when dropped.
struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        // The process may have ended already.
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("bench").args(arguments).output().unwrap()
}

fn json(output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

#[test]
fn load_on_a_gateway_arrives_whole_and_is_accounted_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = folder.path().join("config.toml");
    let text = CONFIG
        .replace("{address}", &at.to_string())
        .replace("{config}", &config.to_string_lossy());
    fs::write(&config, text).unwrap();
    let gateway = Command::new(PROGRAM)
        .args(["run", "--config"])
        .arg(&config)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let gateway = Gateway(gateway);
    let figures = json(&bench(&[
        &at.to_string(),
        "--pid",
        &gateway.0.id().to_string(),
        "--publishers=2",
        "--viewers=4",
        "--bitrate=1000000",
        "--latency=1000",
        "--warmup=0.5",
        "--seconds=1",
        "--json",
    ]));
    assert_eq!(figures["connect"]["made"], 6, "{figures}");
    assert_eq!(figures["damaged"], 0, "{figures}");
    assert_eq!(figures["duplicates"], 0, "{figures}");
    // 95 messages per second, of which those of the last moments may be late.
    let number = |name: &str| figures[name].as_u64().unwrap();
    assert!(number("delivered") > 200, "{figures}");
    assert_eq!(
        number("delivered") + number("lost"),
        number("expected"),
        "{figures}"
    );
    let cost = &figures["server"];
    assert!(cost["rss_kib"].as_u64().unwrap() > 1000, "{figures}");
    assert!(cost["threads"].as_u64().unwrap() > 5, "{figures}");
}

#[test]
fn comparison_sets_each_server_against_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = folder.path().join("scenario.toml");
    let server = |name: &str| {
        format!(
            "[[server]]\nname = \"{name}\"\ncommand = [\"{{self}}\", \"run\", \"--config\", \"{{config}}\"]\n\
             config = '''{CONFIG}'''\n"
        )
    };
    let load = "[[load]]\nviewers = 2\nbitrate = 4000000\nwarmup = 0.3\nseconds = 1\n";
    fs::write(
        &scenario,
        format!("rounds = 1\n{}{}{load}", server("one"), server("two")),
    )
    .unwrap();
    let scenario = scenario.to_string_lossy();
    let comparison = json(&bench(&["compare", &scenario, "--json"]));
    let servers = &comparison["loads"][0]["servers"];
    assert_eq!(servers[0]["server"], "one");
    assert_eq!(servers[0]["ratios"]["connects_per_second"], 1.0, "{comparison}");
    assert!(
        servers[1]["medians"]["cpu_seconds_per_gigabit"]
            .as_f64()
            .is_some_and(|cpu| cpu > 0.0),
        "{comparison}"
    );

    let strict = bench(&["compare", &scenario, "--fail-above=0.0001"]);
    assert_eq!(strict.status.code(), Some(1));
}

#[test]
fn what_cannot_be_carried_out_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = folder.path().join("scenario.toml");
    fs::write(&scenario, "rounds = 0\n").unwrap();
    let wrong = bench(&["compare", &scenario.to_string_lossy()]);
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(bench(&[]).status.code(), Some(2));
    let nobody = bench(&["127.0.0.1:9", "--publishers=0", "--viewers=0"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("nothing to measure"));
}
