//! A gateway with an API as a separate process, and HTTP by hand: exactly the text in the test is sent.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use srt_safe::{Options, SrtSocket, StreamId};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Killed on drop.
pub(crate) struct Running {
    process: Child,
    lines: Receiver<String>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) api: SocketAddr,
    pub(crate) srt: SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        // The process may have ended already.
        self.process.kill().unwrap_or_default();
        self.process.wait().map(drop).unwrap_or_default();
    }
}

pub(crate) fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_srt-gateway");

fn spawned(config: &Path, log: Option<&str>, group: Option<&Path>) -> (Child, Receiver<String>) {
    let mut command = Command::new(BINARY);
    if let Some(group) = group {
        // It joins the group before it allocates any memory.
        command = Command::new("sh");
        let processes = group.join("cgroup.procs");
        command.args([
            "-c",
            "echo $$ >\"$0\" && exec \"$@\"",
            processes.to_str().unwrap(),
            BINARY,
        ]);
    }
    let mut process = command
        .args(["--config", config.to_str().unwrap()])
        .env_remove("RUST_LOG")
        .env_remove("STATE_DIRECTORY")
        .envs(log.map(|filter| ("RUST_LOG", filter)))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(process.stderr.take().unwrap());
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            // The test may be over.
            drop(sender.send(line));
        }
    });
    (process, lines)
}

impl Running {
    /// With `api` in `[api]` followed by `rest`; one global port, and any stream.
    pub(crate) fn start(api: &str, rest: &str) -> Self {
        Self::start_logging(None, api, rest)
    }

    /// Like [`start`](Self::start), with this RUST_LOG.
    pub(crate) fn start_logging(log: Option<&str>, api: &str, rest: &str) -> Self {
        Self::begin(Self::configured(api, rest), log, None)
    }

    /// Like [`start`](Self::start), in this control group.
    pub(crate) fn start_in(group: &Path, api: &str, rest: &str) -> Self {
        Self::begin(Self::configured(api, rest), None, Some(group))
    }

    fn configured(api: &str, rest: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control.sock");
        let text = format!(
            "[gateway]\ncontrol_socket = {socket:?}\n[srt]\nport = \"127.0.0.1:0\"\n\
             [streams_default]\naccept_unknown = true\n[api]\nlisten = \"127.0.0.1:0\"\n{api}\n{rest}"
        );
        fs::write(folder.path().join("gateway.toml"), text).unwrap();
        folder
    }

    fn begin(folder: tempfile::TempDir, log: Option<&str>, group: Option<&Path>) -> Self {
        let (process, lines) = spawned(&folder.path().join("gateway.toml"), log, group);
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut running = Self {
            process,
            lines,
            folder,
            api: nowhere,
            srt: nowhere,
        };
        while running.api == nowhere {
            let line = running
                .lines
                .recv_timeout(PATIENCE)
                .expect("the API's line in the log");
            if let Some(rest) = line.split("listening addr=").nth(1) {
                running.srt = rest.split(' ').next().unwrap().parse().unwrap();
            }
            // The format of a JSON log.
            if line.contains("\"message\":\"listening\"") {
                let line: Value = serde_json::from_str(&line).unwrap();
                running.srt = line["addr"].as_str().unwrap().parse().unwrap();
            }
            if let Some(rest) = line.split("console at ").nth(1) {
                let addr = rest.split('/').nth(2).unwrap();
                running.api = addr.parse().unwrap();
            }
        }
        running
    }

    /// Kills it and starts it again with the same files.
    pub(crate) fn restarted(mut self) -> Self {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        Self::begin(folder, None, None)
    }

    /// The log lines since the last call, without those up to the API's start.
    pub(crate) fn logged(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("gateway.toml")
    }

    /// Its exit status; None: it is running.
    pub(crate) fn status(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().unwrap()
    }

    pub(crate) fn ended(&mut self) -> ExitStatus {
        wait_until("its end", || self.process.try_wait().unwrap())
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> Reply {
        self.send(method, path, &[], "")
    }

    pub(crate) fn json(&self, method: &str, path: &str, body: &str) -> Reply {
        self.send(method, path, &[("Content-Type", "application/json")], body)
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            text.push_str(&format!("Host: {}\r\n", self.api));
        }
        if !body.is_empty() {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = self.raw(&format!("{text}\r\n{body}"));
        let mut bytes = Vec::new();
        // A server that does not read a body to its end may reset the connection after its answer.
        drop(stream.read_to_end(&mut bytes));
        Reply::of(&bytes)
    }

    /// Sends this and leaves the rest to the test.
    pub(crate) fn raw(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.api).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        drop(stream.write_all(text.as_bytes()));
        stream
    }

    pub(crate) fn ctl(&self, arguments: &[&str]) -> Output {
        self.ctl_command(arguments).output().unwrap()
    }

    pub(crate) fn ctl_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_srt-gateway"));
        let api = format!("http://{}", self.api);
        command.args(["ctl", "--api", &api]).args(arguments);
        command.env_remove("SRT_GATEWAY_TOKEN");
        command
    }

    /// Waits until this many sessions are open: a caller is connected a moment before it is accepted.
    pub(crate) fn wait_sessions(&self, count: usize) {
        wait_until("the sessions", || {
            (self.ask("GET", "/api/v1/sessions").is(200).value()["total"] == count).then_some(())
        });
    }

    pub(crate) fn call(&self, streamid: &str) -> srt_safe::Result<SrtSocket> {
        let options = Options::new()
            .latency(Duration::from_millis(20))
            .connect_timeout(Duration::from_secs(3))
            .stream_id(StreamId::new(streamid).unwrap());
        SrtSocket::builder().options(options).connect(self.srt)
    }
}

/// The response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    fn of(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        Self {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_lowercase(),
            body: bytes[end + 4..].to_vec(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let line = self
            .head
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Asserts a problem (RFC 9457) with this status.
    pub(crate) fn is_problem(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.value();
        assert_eq!(problem["status"], status);
        for key in ["type", "title", "detail"] {
            assert!(!problem[key].as_str().unwrap().is_empty(), "{problem}");
        }
    }

    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}
