//! The command line from a user's point of view: texts, exit codes, log formats.

use std::{
    io::{BufRead, BufReader},
    net::UdpSocket,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long the gateway may take to answer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_srt-gateway"));
    command.args(args).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A file `gateway.toml` in a folder of its own.
fn file(toml: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("gateway.toml");
    std::fs::write(&path, toml).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

/// A running gateway. Killed when dropped.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut child = command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, lines) = mpsc::channel();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let other = send.clone();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                drop(other.send(line));
            }
        });
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                drop(send.send(line));
            }
        });
        Self { child, lines }
    }

    /// Waits for a line that contains `part`, and returns it with the lines before it.
    fn lines_to(&self, part: &str) -> Vec<String> {
        let end = Instant::now() + PATIENCE;
        let mut lines: Vec<String> = Vec::new();
        while !lines.last().is_some_and(|line| line.contains(part)) {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => lines.push(line),
                Err(_) => panic!("no line with {part:?} in {lines:#?}"),
            }
        }
        lines
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn file_in_place_of_a_command_is_told_how_to_run_it() {
    let (_folder, path) = file("[srt]\nport = \"127.0.0.1:0\"\n");
    for path in [path.as_str(), "missing.toml"] {
        let output = run(&[path]);
        assert_eq!(output.status.code(), Some(2));
        let told = text(&output.stderr);
        let hint = format!(
            "{path} is not a command; to run the gateway with this file: srt-gateway run --config {path}"
        );
        assert!(told.contains(&hint), "{told}");
    }
    // An argument that is no file counts as a wrong command.
    let told = text(&run(&["chekc"]).stderr);
    assert!(told.contains("unrecognized subcommand"), "{told}");
}

#[test]
fn version_tells_ours_libsrts_its_edits_and_its_crypto() {
    let output = run(&["--version"]);
    assert!(output.status.success());
    let expected = format!(
        "srt-gateway {} (libsrt {}; edits: {}; crypto: {})\n",
        env!("CARGO_PKG_VERSION"),
        srt_safe::library_version(),
        srt_safe::library_edits(),
        srt_safe::library_crypto()
    );
    assert_eq!(text(&output.stdout), expected);
    assert!(
        expected.contains("1.5.") && expected.contains("deferred-verdict"),
        "{expected}"
    );
}

#[test]
fn check_accepts_a_good_file() {
    let (_folder, path) =
        file("[srt]\nport = 9998\ntimeout = 30\n[streams.cam1]\nsrt_play = { port = 9003 }\n");
    let output = run(&["check", &path]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        text(&output.stdout),
        format!("{path}: valid: 2 ports, 1 stream\n")
    );
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn check_tells_all_faults_with_their_places() {
    let (_folder, path) = file(
        "[srt]\nport = 99980\nlatenzy = 120\n[streams.cam1]\nsrt_play = { port = 9003, options = { lossmaxtll = 40 } }\n",
    );
    let output = run(&["check", &path]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let told = text(&output.stderr);
    // libsrt does not have the option: that is reported with the other errors.
    let option = &format!("{path}:5:");
    for part in [&format!("{path}:2:8"), &format!("{path}:3:1"), "latency", option] {
        assert!(told.contains(part), "no {part} in {told}");
    }
    assert_eq!(text(&output.stdout), "");

    let (_folder, path) = file("[srt]\nport = 9998\noptions = { lossmaxtll = 40 }\n");
    let output = run(&["check", &path]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let told = text(&output.stderr);
    assert!(
        told.contains(&format!("{path}:3:")) && told.contains("lossmaxttl"),
        "{told}"
    );
}

#[test]
fn run_refuses_a_bad_file_as_check_does() {
    let (_folder, path) = file("[srt]\nport = true\n");
    let (run_it, check_it) = (run(&["--config", &path]), run(&["check", &path]));
    assert_eq!(run_it.status.code(), Some(2), "{run_it:?}");
    assert_eq!(run_it, check_it);
}

#[test]
fn files_that_are_not_there_and_flags_that_are_unknown_are_usage_errors() {
    let output = run(&["check", "/nonexistent/gateway.toml"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        text(&output.stderr).contains("/nonexistent/gateway.toml"),
        "{output:?}"
    );
    for args in [&["--nosuch"][..], &["nosuch"], &["check"]] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains("Usage:"), "{output:?}");
    }
}

#[test]
fn port_in_use_is_told_clearly() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let (_folder, path) = file(&format!("[srt_publish]\nport = \"{addr}\"\n"));
    let output = run(&["--config", &path]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = text(&output.stderr);
    for part in [
        &format!("cannot listen on {addr}"),
        "srt_publish",
        "another program uses this UDP port",
    ] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
}

/// The embedded configuration uses port 9998, which may be taken on this machine: then the gateway reports that.
#[test]
fn without_a_file_it_prints_lines_to_paste_or_says_that_the_port_is_taken() {
    let gateway = Running::start(&[]);
    let is_free = UdpSocket::bind("127.0.0.1:9998").is_ok();
    let end = Instant::now() + PATIENCE;
    let mut told = String::new();
    while !told.contains("With your own configuration") && !told.contains("cannot listen on 127.0.0.1:9998") {
        let left = end.saturating_duration_since(Instant::now());
        let line = gateway.lines.recv_timeout(left);
        told += &(line.unwrap_or_else(|error| panic!("{error} after {told}")) + "\n");
    }
    if told.contains("cannot listen") {
        assert!(
            !is_free && told.contains("another program uses this UDP port"),
            "{told}"
        );
        return;
    }
    for part in [
        "ffmpeg -re -i FILE.ts -c copy -f mpegts 'srt://127.0.0.1:9998?pkt_size=1316&streamid=#!::r=live/demo,m=publish'",
        "ffmpeg -re -i FILE.ts -c copy -f mpegts - | srt-live-transmit -chunk:1316 file://con 'srt://127.0.0.1:9998?streamid=#!::r=live/demo,m=publish'",
        "OBS (Settings > Stream > Custom > Server): srt://127.0.0.1:9998?streamid=#!::r=live/demo,m=publish",
        "ffplay 'srt://127.0.0.1:9998?streamid=#!::r=live/demo,m=request'",
        "srt-live-transmit 'srt://127.0.0.1:9998?streamid=#!::r=live/demo,m=request' file://con > OUT.ts",
    ] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
}

#[test]
fn json_log_is_json_line_by_line() {
    let (_folder, path) = file("[srt]\nport = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n");
    let gateway = Running::start(&["run", "--config", &path]);
    let listening = gateway.lines_to("listening").pop().unwrap();
    let fields: serde_json::Value = serde_json::from_str(&listening).unwrap();
    assert_eq!(fields["message"], "listening");
    assert_eq!(fields["level"], "INFO");
    assert_eq!(fields["kind"], "srt");
    let addr = fields["addr"].as_str().unwrap();

    let id = srt_safe::StreamId::new("#!::r=nosuch,m=publish").unwrap();
    let refused = srt_safe::SrtSocket::builder().stream_id(id).connect(addr);
    assert!(refused.is_err());
    for line in gateway.lines_to("refused") {
        let fields: serde_json::Value = serde_json::from_str(&line).unwrap();
        let message = fields["message"].as_str().unwrap();
        if message.starts_with("refused") {
            assert_eq!(fields["code"], 1404);
            assert!(message.contains("nosuch"), "{line}");
        }
    }
}
