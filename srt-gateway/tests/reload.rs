//! The configuration file of a running gateway: SIGHUP and changes of the file are applied; an invalid file changes
//! nothing and is reported as by `check`.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use srt_safe::{ErrorKind, RejectCode, SrtSocket, StreamId};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway as a process, with a file of its own.
struct Running {
    process: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    folder: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        // The process may have ended already.
        self.process.kill().unwrap_or_default();
        self.process.wait().map(drop).unwrap_or_default();
    }
}

impl Running {
    fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("gateway.toml"), text).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_srt-gateway"))
            .arg("--config")
            .arg(folder.path().join("gateway.toml"))
            .env_remove("RUST_LOG")
            .env("XDG_RUNTIME_DIR", folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            process,
            lines,
            seen: Vec::new(),
            folder,
        }
    }

    /// Waits for a log line and returns it; earlier lines are kept in `seen`.
    #[track_caller]
    fn line(&mut self, wanted: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(wanted) {
                        return line;
                    }
                }
                Err(error) => panic!("no line {wanted:?} ({error}): {:#?}", self.seen),
            }
        }
    }

    /// The port of the next "listening" line.
    fn port(&mut self) -> u16 {
        let line = self.line("listening");
        let addr = line.split("addr=127.0.0.1:").nth(1).unwrap();
        addr.split_whitespace().next().unwrap().parse().unwrap()
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("gateway.toml")
    }

    /// Replaces the file atomically, as careful editors do.
    fn replace(&self, text: &str) {
        let new = self.folder.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.file()).unwrap();
    }

    fn hang_up(&self) {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, Signal::HUP).unwrap();
    }
}

/// The gateway's answer to a viewer of `stream`.
fn knock(port: u16, stream: &str) -> Result<SrtSocket, Option<i32>> {
    let id = StreamId::new(format!("#!::r={stream},m=request")).unwrap();
    let called = SrtSocket::builder().stream_id(id).connect(("127.0.0.1", port));
    called.map_err(|error| {
        assert_eq!(error.kind(), ErrorKind::ConnectionRejected, "{error}");
        error.reject_reason().map(|reason| reason.value())
    })
}

const NOT_FOUND: i32 = RejectCode::NOT_FOUND.value() as i32;

#[test]
fn file_that_changes_is_put_in_force_and_its_sessions_stay() {
    let port = 0;
    let one = format!("[srt]\nport = \"127.0.0.1:{port}\"\n[streams.\"a\"]\n");
    let mut gateway = Running::start(&one);
    let port = gateway.port();
    let viewer = knock(port, "a").unwrap();
    assert_eq!(knock(port, "b").unwrap_err(), Some(NOT_FOUND));

    gateway.replace(&format!("{one}[streams.\"b\"]\n"));
    gateway.line("configuration: stream b added");
    gateway.line("configuration reloaded");
    knock(port, "b").unwrap();
    knock(port, "a").unwrap();

    gateway.replace("[srt]\nport = \"127.0.0.1:0\"\n[streams.\"b\"]\n");
    gateway.line("configuration: stream a removed");
    gateway.line("its port or stream was removed from the configuration");
    assert_eq!(knock(port, "a").unwrap_err(), Some(NOT_FOUND));
    drop(viewer);
}

#[test]
fn invalid_file_changes_nothing_and_all_that_is_wrong_is_said() {
    let mut gateway = Running::start("[srt]\nport = \"127.0.0.1:0\"\n[streams.\"a\"]\n");
    let port = gateway.port();
    gateway.replace("[srt]\nport = \"127.0.0.1:0\"\nlatncy = 1\n[streams.\"b\"]\nmax_viewers = \"many\"\n");
    gateway.hang_up();
    gateway.line("the configuration is unchanged");
    gateway.line("did you mean `latency`?");
    gateway.line("max_viewers");
    gateway.line("2 errors");
    knock(port, "a").unwrap();
    assert_eq!(knock(port, "b").unwrap_err(), Some(NOT_FOUND));
}

#[test]
fn hang_up_reads_the_file_and_the_level_of_the_log_follows() {
    let base = "[srt]\nport = \"127.0.0.1:0\"\n[streams.\"a\"]\n[log]\n";
    let mut gateway = Running::start(base);
    gateway.port();
    gateway.replace(&format!("{base}level = \"error\"\n"));
    gateway.hang_up();
    gateway.line("log.level changed to error");
    gateway.replace(&format!("{base}level = \"info\"\n"));
    gateway.line("configuration reloaded");
    let told = gateway.seen.iter().any(|line| line.contains("changed to info"));
    assert!(!told, "said while the level was still error: {:#?}", gateway.seen);
    gateway.hang_up();
    let line = gateway.line("configuration reloaded");
    assert!(line.contains("changes=0"), "{line}");
}

/// Requests a reload over the API; returns the changes.
fn reload(api: SocketAddr) -> Vec<String> {
    let mut stream = TcpStream::connect(api).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "POST /api/v1/reload HTTP/1.1\r\nHost: {api}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let answer = io::read_to_string(stream).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"));
    let changes = body["changes"].as_array().unwrap_or_else(|| panic!("{answer}"));
    changes
        .iter()
        .map(|change| change.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_api_tells_what_a_saved_file_changed_whoever_was_first() {
    let base = "[srt]\nport = \"127.0.0.1:0\"\n[api]\nlisten = \"127.0.0.1:0\"\n[streams.\"a\"]\n";
    let mut gateway = Running::start(base);
    let line = gateway.line("console at");
    let api = line
        .split("http://")
        .nth(1)
        .unwrap()
        .trim_end_matches('/')
        .parse()
        .unwrap();
    gateway.replace(&format!("{base}[streams.\"b\"]\n"));
    // The watcher comes first.
    gateway.line("configuration reloaded");
    assert_eq!(reload(api), ["stream b added"]);
    assert_eq!(reload(api), [""; 0], "told once");
    // Either may come first.
    for number in 0..5 {
        let both = format!("{base}[streams.\"b\"]\n[streams.\"c{number}\"]\n");
        gateway.replace(&both);
        let changes = reload(api);
        assert!(
            changes.contains(&format!("stream c{number} added")),
            "{changes:?}"
        );
    }
}

#[test]
fn a_busy_folder_delays_neither_reload_nor_end() {
    let base = "[srt]\nport = \"127.0.0.1:0\"\n[streams.\"a\"]\n";
    let mut gateway = Running::start(base);
    gateway.port();
    let (folder, stop) = (gateway.folder.path().to_owned(), Arc::new(AtomicBool::new(false)));
    let busy = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            while !stop.load(Relaxed) {
                fs::write(folder.join("other"), "x").unwrap();
                thread::sleep(Duration::from_millis(1));
            }
        })
    };
    gateway.replace(&format!("{base}[streams.\"b\"]\n"));
    gateway.line("configuration: stream b added");
    gateway.hang_up();
    gateway.line("configuration reloaded");
    kill_process(Pid::from_child(&gateway.process), Signal::TERM).unwrap();
    gateway.line("ended");
    stop.store(true, Relaxed);
    busy.join().unwrap();
}

#[test]
fn what_needs_a_restart_is_said() {
    let base = "[srt]\nport = \"127.0.0.1:0\"\n";
    let mut gateway = Running::start(base);
    gateway.port();
    gateway.replace(&format!("{base}[gateway]\nworkers = 7\n"));
    gateway.line("gateway.workers cannot change while the gateway runs");
}
