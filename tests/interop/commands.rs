//! Runs the commands of README.md, docs/ and the gateway's own output with the real clients, in a private network in
//! which the documented ports are free.

use crate::clients::python_folder;
use crate::rows::{Client, Role};
use crate::url::PASSPHRASE;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use srt_e2e::client::{Publisher, Viewer};
use srt_e2e::namespace::Namespace;
use srt_e2e::pace::Tail;
use srt_e2e::peers::Process;
use srt_e2e::source::{Sample, sample_ts};
use srt_e2e::wait::wait_until_or;
use srt_safe::Options;
use std::env;
use std::fmt;
use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const DEADLINE: Duration = Duration::from_secs(60);

/// The amount of data that must arrive: half a second of the sample.
const ENOUGH: usize = 200_000;

/// The gateway's address in each documented line.
const PORT: u16 = 9998;
const API: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9980);

/// The first word of a line that a test runs, or the word after a `|`.
const CLIENTS: [&str; 8] = [
    "ffmpeg ",
    "ffplay ",
    "srt-live-transmit ",
    "gst-launch-1.0 ",
    "vlc ",
    "mpv ",
    "python3 tests/",
    "srt-gateway relay ",
];

/// Lines that cannot run here: a synopsis, and an interface that the test does not have.
const NOT_RUN: [&str; 2] = [
    "srt-gateway relay IN OUT...",
    "srt-gateway relay 'udp://@239.9.9.9:5009?interface=eth1",
];

/// Placeholders of documented lines, and their values.
const PLACEHOLDERS: [(&str, &str); 5] = [
    ("ffmpeg ... -f", "ffmpeg -re -i FILE.ts -c copy -f"),
    ("srt://host:", "srt://127.0.0.1:"),
    ("streamid=...&", ""),
    ("passphrase=...", "passphrase=correct-horse-battery"),
    ("file:///var/lib/copy.ts", "file://$PWD/copy.ts"),
];

/// A line to paste, and its location.
#[derive(Debug)]
pub(crate) struct Pasted {
    place: String,
    line: String,
}

impl fmt::Display for Pasted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.line)
    }
}

impl Pasted {
    fn is_of_a_client(&self) -> bool {
        let line = self.line.as_str();
        CLIENTS.iter().any(|client| line.starts_with(client))
            && !NOT_RUN.iter().any(|start| line.starts_with(start))
    }

    /// The line with its placeholders filled in.
    fn filled_in(&self) -> String {
        let fill = |line: String, (from, to): &(&str, &str)| line.replace(from, to);
        PLACEHOLDERS.iter().fold(self.line.clone(), fill)
    }

    /// The port of the stream that the line calls, if not the one for all streams.
    fn own_port(&self) -> Option<u16> {
        [9000, 9001]
            .into_iter()
            .find(|port| self.line.contains(&format!("host:{port}")))
    }

    /// Its role, from its streamid.
    fn role(&self) -> Role {
        if self.own_port().is_some() {
            return Role::Publish;
        }
        let line = self.line.replace("%3D", "=");
        match (line.contains("m=publish"), line.contains("m=request")) {
            (true, false) => Role::Publish,
            (false, true) => Role::Play,
            _ => {
                panic!("{self}: neither publishes nor plays; if it cannot be run here, list it in NOT_RUN")
            }
        }
    }
}

/// Lines of fenced blocks without a language in the file `path`.
fn fenced(path: &Path) -> Vec<Pasted> {
    let name = path.strip_prefix(ROOT).unwrap_or(path).display();
    let text = fs::read_to_string(path).unwrap();
    let mut inside = None;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), &inside) {
            (Some(language), None) => inside = Some(language.to_owned()),
            (Some(_), Some(_)) => inside = None,
            (None, Some(language)) if language.is_empty() => found.push(Pasted {
                place: format!("{name}:{}", number + 1),
                line: line.trim().to_owned(),
            }),
            _ => {}
        }
    }
    found
}

/// All lines to paste that run a client.
pub(crate) fn documented() -> Vec<Pasted> {
    let root = Path::new(ROOT);
    let mut pages: Vec<_> = fs::read_dir(root.join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    pages.retain(|page| page.extension().is_some_and(|end| end == "md"));
    pages.push(root.join("README.md"));
    pages.sort();
    let lines = pages.iter().flat_map(|page| fenced(page));
    let printed = printed_at_start().into_iter().map(|line| Pasted {
        place: "printed at the start".to_owned(),
        line: line.trim().to_owned(),
    });
    lines.chain(printed).filter(Pasted::is_of_a_client).collect()
}

/// The gateway's output when it is started for the first time.
fn printed_at_start() -> Vec<String> {
    Namespace::new(&[]).run(|| {
        let folder = tempfile::tempdir().unwrap();
        let gateway = gateway(folder.path(), "");
        gateway.wait_for_line(DEADLINE, "the end of the instructions", |line| {
            line.contains("With your own")
        });
        gateway.lines()
    })
}

fn gateway(folder: &Path, config: &str) -> Process {
    let mut command = Client::Relay.program();
    command.current_dir(folder);
    if !config.is_empty() {
        fs::write(folder.join("gateway.toml"), config).unwrap();
        command.args(["--config", "gateway.toml"]);
    }
    let process = Process::spawn("srt-gateway", command);
    process.wait_for_line(DEADLINE, "API", |line| {
        line.contains("API, metrics and console at")
    });
    process
}

/// A folder to paste lines in: a file to send, and the programs as a user without root and with a screen has them.
fn desk(folder: &Path) {
    fs::set_permissions(folder, Permissions::from_mode(0o777)).unwrap();
    fs::write(folder.join("FILE.ts"), sample_ts().bytes()).unwrap();
    symlink(Path::new(ROOT).join("tests"), folder.join("tests")).unwrap();
    let programs = folder.join("bin");
    fs::create_dir(&programs).unwrap();
    symlink(srt_e2e::gateway::binary(), programs.join("srt-gateway")).unwrap();
    let vlc = Client::Vlc.program();
    let vlc: Vec<_> = std::iter::once(vlc.get_program()).chain(vlc.get_args()).collect();
    let vlc = vlc.join(" ".as_ref());
    let path = env::var("PATH").unwrap();
    let stubs = [
        (
            "vlc",
            format!(
                "HOME={} PATH='{path}' exec {} -I dummy \"$@\"",
                folder.display(),
                vlc.display()
            ),
        ),
        (
            "mpv",
            format!("PATH='{path}' exec mpv --no-config --vo=null --ao=null \"$@\""),
        ),
    ];
    for (name, script) in stubs {
        let stub = programs.join(name);
        fs::write(&stub, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&stub, Permissions::from_mode(0o755)).unwrap();
    }
}

/// A shell and all its child processes. Dropping it ends them.
struct Shell(Process);

impl Shell {
    fn start(line: &str, folder: &Path) -> Self {
        let path = format!("{}:{}", folder.join("bin").display(), env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        command
            .args(["-c", line])
            .current_dir(folder)
            .env("PATH", path)
            .env("PYTHONPATH", python_folder())
            .env("SDL_VIDEODRIVER", "dummy")
            .env("SDL_AUDIODRIVER", "dummy")
            .process_group(0);
        Self(Process::spawn(line, command))
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            // It fails only if all of them have ended.
            kill_process_group(pid, Signal::KILL).ok();
        }
    }
}

/// The bytes sent to viewers, from the API.
fn sent_to_viewers() -> u64 {
    let fetch = || {
        let mut stream = TcpStream::connect(API)?;
        stream.write_all(
            b"GET /api/v1/sessions HTTP/1.1\r\nHost: 127.0.0.1:9980\r\nConnection: close\r\n\r\n",
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    let answer = fetch().unwrap();
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let sessions: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
    let viewers = sessions["items"].as_array().unwrap().iter();
    let viewers = viewers.filter(|session| session["role"] == "viewer");
    viewers.filter_map(|session| session["bytes"].as_u64()).sum()
}

/// The configuration that a line refers to; a line that needs none finds none, as on a new installation.
fn config(pasted: &Pasted) -> String {
    let has_secret = pasted.line.contains("passphrase");
    if !has_secret && pasted.own_port().is_none() && !pasted.line.contains("[::1]") {
        return String::new();
    }
    let secret = |prefix: &str| match has_secret {
        true => format!("{prefix}passphrase = \"{PASSPHRASE}\""),
        false => String::new(),
    };
    let own = pasted.own_port().map(|port| {
        let secret = secret(", ");
        format!("[streams.\"live/demo\"]\nsrt_publish = {{ port = {port}{secret} }}\n")
    });
    format!(
        "[srt]\nport = {PORT}\n{}\n[srt_publish]\nport = 9997\n[srt_play]\nport = 9996\n\
         [streams_default]\naccept_unknown = true\n{}",
        secret(""),
        own.unwrap_or_default()
    )
}

/// Runs a line unchanged.
///
/// # Panics
/// If the stream does not arrive.
pub(crate) fn run(pasted: &Pasted) {
    let role = pasted.role();
    Namespace::new(&[]).run(|| {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        desk(folder);
        let config = config(pasted);
        let gateway = gateway(folder, &config);
        let ours = |port: u16, mode: &str| {
            let port = if config.is_empty() { PORT } else { port };
            (
                SocketAddr::from(([127, 0, 0, 1], port)),
                format!("#!::r=live/demo,m={mode}"),
            )
        };
        let options = Options::new()
            .latency(Duration::from_millis(500))
            .payload_size(1456);
        let told = |shell: &Shell| format!("{pasted}\n{}\n{}", shell.0.tail(), gateway.tail());
        match role {
            Role::Publish => {
                let (addr, id) = ours(9996, "request");
                let viewer = Viewer::connect(addr, &id, options.clone());
                let shell = Shell::start(&pasted.filled_in(), folder);
                // A client that listens needs a caller.
                let _caller = pasted.line.contains("mode=listener").then(|| {
                    let feed = (sample_ts().bytes(), Sample::RATE, Tail::Repeat);
                    Publisher::connect(([127, 0, 0, 1], 9000).into(), "", options.clone(), feed)
                });
                wait_until_or(DEADLINE, || told(&shell), || viewer.len() >= ENOUGH);
            }
            Role::Play => {
                let (addr, id) = ours(9997, "publish");
                let feed = (sample_ts().bytes(), Sample::RATE, Tail::Repeat);
                let _publisher = Publisher::connect(addr, &id, options, feed);
                let shell = Shell::start(&pasted.filled_in(), folder);
                let file = folder.join("OUT.ts");
                let has_enough = || match pasted.line.contains("OUT.ts") {
                    true => fs::metadata(&file).is_ok_and(|file| file.len() >= ENOUGH as u64),
                    false => sent_to_viewers() >= ENOUGH as u64,
                };
                wait_until_or(DEADLINE, || told(&shell), has_enough);
            }
        }
    });
}
