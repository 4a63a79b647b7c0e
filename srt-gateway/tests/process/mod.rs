//! The gateway as a process, with a folder, a log and an end of its own.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Process {
    pub child: Child,
    pub folder: TempDir,
    lines: Receiver<String>,
    pub seen: Vec<String>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process that has ended already is what is wanted.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

/// What a mount namespace of the process's own has at `FOLDER/mount`.
pub enum Mount {
    None,
    /// A file system that never answers, as a network mount whose server is gone.
    Hung,
    /// One of so many KiB.
    Small(u32),
}

impl Process {
    /// Starts it with what `config` makes of its folder. Needs root where something is to be mounted.
    #[track_caller]
    pub fn start(mount: &Mount, config: impl FnOnce(&Path) -> String) -> Self {
        Self::start_with(mount, config, Some(Stdio::piped()))
    }

    /// As [`start`](Self::start); `stderr`: None for nowhere.
    #[track_caller]
    pub fn start_with(mount: &Mount, config: impl FnOnce(&Path) -> String, stderr: Option<Stdio>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("mount")).unwrap();
        fs::write(folder.path().join("gateway.toml"), config(folder.path())).unwrap();
        let script = match mount {
            Mount::None => "exec \"$1\" --config \"$2/gateway.toml\"".to_owned(),
            // Without an answer to its first request it lets everybody wait who comes near.
            Mount::Hung => "exec 9<>/dev/fuse && mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 hung \"$2/mount\" \
                            && exec \"$1\" --config \"$2/gateway.toml\""
                .to_owned(),
            Mount::Small(kib) => format!(
                "mount -t tmpfs -o size={kib}k small \"$2/mount\" && exec \"$1\" --config \"$2/gateway.toml\""
            ),
        };
        let mut command = match mount {
            Mount::None => Command::new("sh"),
            _ => {
                let mut command = Command::new("unshare");
                command.args(["-m", "sh"]);
                command
            }
        };
        let mut child = command
            .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_srt-gateway")])
            .arg(folder.path())
            .env_remove("RUST_LOG")
            .env("XDG_RUNTIME_DIR", folder.path())
            .stderr(stderr.unwrap_or_else(Stdio::null))
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        if let Some(stderr) = child.stderr.take() {
            thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Self {
            child,
            folder,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits for a line of the log and gives it.
    #[track_caller]
    pub fn line(&mut self, wanted: &str) -> String {
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

    /// The address of the next "listening" line.
    #[track_caller]
    pub fn port(&mut self) -> SocketAddr {
        let line = self.line("listening");
        let addr = line.split("addr=").nth(1).unwrap();
        addr.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// What the process sees at `path`.
    pub fn inside(&self, path: &str) -> PathBuf {
        let folder = self.folder.path().strip_prefix("/").unwrap();
        Path::new("/proc")
            .join(self.child.id().to_string())
            .join("root")
            .join(folder)
            .join(path)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Asks it to end, and gives how long that took and what it ended with. It has 3 s, and [`PATIENCE`] on a machine that is busy.
    #[track_caller]
    pub fn terminate(&mut self) -> (Duration, ExitStatus) {
        let asked = Instant::now();
        self.signal(Signal::TERM);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.seen.extend(self.lines.iter());
                return (asked.elapsed(), status);
            }
            assert!(
                asked.elapsed() < PATIENCE,
                "SIGTERM did not end it: {:#?}",
                self.seen
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}
