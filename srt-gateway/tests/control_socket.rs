//! `status` and `rejections` against a running gateway, and the control socket's answers to invalid input.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use srt_safe::{SrtSocket, StreamId};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway with a control socket of its own. Killed on drop.
struct Running {
    process: Child,
    folder: TempDir,
    port: u16,
}

impl Drop for Running {
    fn drop(&mut self) {
        // The process may have ended already.
        self.process.kill().unwrap_or_default();
        self.process.wait().map(drop).unwrap_or_default();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_srt-gateway"));
    command.args(arguments).env_remove("RUST_LOG");
    command
}

fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Running {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control.sock");
        let config = folder.path().join("gateway.toml");
        let text = format!(
            "[gateway]\ncontrol_socket = {socket:?}\n[srt]\nport = \"127.0.0.1:0\"\n[streams.\"live/a\"]\n"
        );
        fs::write(&config, text).unwrap();
        let process = command(&["--config", config.to_str().unwrap()])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut running = Self {
            process,
            folder,
            port: 0,
        };
        wait_until("the control socket", || socket.exists().then_some(()));
        let status = running.status();
        let address = status["status"]["ports"][0]["address"].as_str().unwrap();
        running.port = address.rsplit(':').next().unwrap().parse().unwrap();
        running
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    fn connect(&self) -> BufReader<UnixStream> {
        // The file exists a moment before anybody listens.
        let stream = wait_until("a listener", || UnixStream::connect(self.socket()).ok());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        BufReader::new(stream)
    }

    fn status(&self) -> Value {
        ask(&mut self.connect(), b"{\"command\":\"status\"}\n")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        command(arguments)
            .arg("--socket")
            .arg(self.socket())
            .output()
            .unwrap()
    }

    fn call(&self, streamid: &str) -> srt_safe::Result<SrtSocket> {
        SrtSocket::builder()
            .stream_id(StreamId::new(streamid).unwrap())
            .connect(("127.0.0.1", self.port))
    }
}

fn ask(connection: &mut BufReader<UnixStream>, line: &[u8]) -> Value {
    // The gateway answers a line that is too long, and closes, before it has received all of it.
    drop(connection.get_mut().write_all(line));
    let mut answer = String::new();
    connection.read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn status_shows_ports_streams_and_sessions() {
    let gateway = Running::start();
    let _publisher = gateway.call("#!::r=live/a,m=publish").unwrap();
    let _viewer = gateway.call("#!::r=live/a,m=request").unwrap();
    let status = wait_until("two sessions", || {
        let status = gateway.status();
        (status["status"]["sessions"].as_array()?.len() == 2).then_some(status)
    });
    let stream = &status["status"]["streams"][0];
    assert_eq!(stream["name"], "live/a");
    assert_eq!(stream["has_source"], true);
    let sessions = status["status"]["sessions"].as_array().unwrap();
    // libsrt returns callers that wait at the same time in any order.
    for role in ["publisher", "viewer"] {
        assert!(sessions.iter().any(|session| session["role"] == role), "{status}");
    }

    let output = gateway.run(&["status"]);
    let text = stdout(&output);
    assert!(output.status.success(), "{output:?}");
    for wanted in ["1 port\n", "live/a", "on air", "2 sessions", "viewer"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let output = gateway.run(&["status", "--json"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["sessions"].as_array().unwrap().len(), 2);
}

#[test]
fn rejections_show_who_was_refused_and_why_and_follow_those_that_come() {
    let gateway = Running::start();
    assert!(gateway.call("#!::r=live/none,m=request").is_err());
    let line = wait_until("a kept rejection", || {
        let output = gateway.run(&["rejections", "--json"]);
        stdout(&output).lines().next().map(str::to_owned)
    });
    let first: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(first["number"], 1);
    assert_eq!(first["code"], 1404);
    assert_eq!(first["streamid"], "#!::r=live/none,m=request");
    assert!(
        first["peer"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{first}"
    );
    assert!(first["time"].as_str().unwrap().ends_with('Z'), "{first}");
    let shown = stdout(&gateway.run(&["rejections"]));
    assert!(shown.contains("1404"), "{shown}");
    assert!(shown.contains(first["reason"].as_str().unwrap()), "{shown}");

    let mut following = command(&["rejections", "--json", "--follow", "--socket"])
        .arg(gateway.socket())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("\"number\":1"));
    assert!(gateway.call("#!::r=live/a").is_err());
    let next: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(
        (&next["number"], &next["code"]),
        (&Value::from(2), &Value::from(1400))
    );
    following.kill().unwrap();
    following.wait().unwrap();
}

#[test]
fn bad_input_gets_an_error_and_the_gateway_goes_on() {
    let gateway = Running::start();
    let mut connection = gateway.connect();
    for bad in [
        &b"nonsense\n"[..],
        b"{\"command\":\"stop\"}\n",
        b"{\"command\":\"rejections\",\"after\":-1}\n",
        b"\xff\xfe\n",
        b"\n",
    ] {
        let answer = ask(&mut connection, bad);
        let error = answer["error"].as_str().unwrap_or_else(|| panic!("{answer}"));
        assert!(error.contains("requests are"), "{error}");
    }
    // The connection is still usable.
    assert!(ask(&mut connection, b"{\"command\":\"status\"}\n")["status"].is_object());

    let mut endless = gateway.connect();
    let answer = ask(&mut endless, &[b'x'; 5000]);
    assert!(
        answer["error"].as_str().unwrap().contains("at most 4096 bytes"),
        "{answer}"
    );

    // It is closed, because the next data would be the middle of a line; unread data may reset it.
    let mut rest = String::new();
    assert!(matches!(endless.read_line(&mut rest), Ok(0) | Err(_)), "{rest:?}");

    // One connection more than are served: it is refused, and closing one makes room.
    let status = b"{\"command\":\"status\"}\n";
    // The slot of the closed connection is free a moment later.
    let place = || {
        let mut one = gateway.connect();
        ask(&mut one, status)["status"].is_object().then_some(one)
    };
    let held: Vec<_> = (0..15).map(|_| wait_until("a place", place)).collect();
    let mut late = gateway.connect();
    let mut told = String::new();
    late.read_line(&mut told).unwrap();
    assert!(told.contains("try again later"), "{told}");
    drop(held);
    wait_until("room again", || {
        gateway.run(&["status"]).status.success().then_some(())
    });
}

#[test]
fn socket_is_for_its_owner_only_and_goes_with_the_gateway() {
    let mut gateway = Running::start();
    let mode = wait_until("a mode of 0600", || {
        let mode = fs::metadata(gateway.socket()).unwrap().permissions().mode() & 0o777;
        (mode == 0o600).then_some(mode)
    });
    assert_eq!(mode, 0o600);
    kill_process(Pid::from_child(&gateway.process), Signal::TERM).unwrap();
    assert!(gateway.process.wait().unwrap().success());
    assert!(!gateway.socket().exists());
    let output = gateway.run(&["status"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("no gateway answers at"), "{told}");
}

#[test]
fn second_gateway_does_not_take_the_socket_of_the_first_and_a_dead_ones_file_is_no_hindrance() {
    let mut gateway = Running::start();
    let config = gateway.folder.path().join("gateway.toml");
    let serve = |config: &Path| command(&["--config", config.to_str().unwrap()]);
    let second = serve(&config).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(told.contains("another gateway uses it"), "{told}");
    assert!(gateway.run(&["status"]).status.success());

    gateway.process.kill().unwrap();
    gateway.process.wait().unwrap();
    assert!(gateway.socket().exists());
    gateway.process = serve(&config).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the socket of the next gateway", || {
        gateway.run(&["status"]).status.success().then_some(())
    });
}
