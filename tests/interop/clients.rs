//! The clients: their paths, their versions, and their command lines.

use crate::rows::{Client, Id, Key, Mode, Role, Row};
use crate::url::{PASSPHRASE, Place, streamid, url};
use srt_e2e::{gateway, peers};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The purpose of a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// To be shown to users.
    Docs,
    /// To be run without a screen, for some seconds.
    Test,
}

/// The source or destination of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// `FILE.ts` or `OUT.ts`, in the folder in which the client is started.
    File,
    /// Standard input or output.
    Pipe,
}

impl Client {
    /// Its name and the version of the table, as the client itself prints it.
    pub(crate) fn name_and_version(self) -> (&'static str, &'static str) {
        match self {
            Self::LiveTransmit => ("srt-live-transmit", "1.5.1"),
            Self::Ffmpeg => ("ffmpeg", "5.1"),
            Self::NewFfmpeg => ("ffmpeg", "9.0"),
            Self::GStreamer => ("GStreamer", "1.22"),
            Self::Vlc => ("VLC", "3.0"),
            Self::Mpv => ("mpv", "0.35"),
            Self::Tstrans => ("tstrans", "0.8.0"),
            Self::SrtTokio => ("srt-tokio", "0.4.4"),
            Self::Rsrt => ("rsrt", "0.4.0"),
            Self::Relay => ("srt-gateway relay", "same release"),
        }
    }

    /// The package to install if it is missing.
    fn package(self) -> &'static str {
        match self {
            Self::LiveTransmit => "apt-get install srt-tools",
            Self::Ffmpeg => "apt-get install ffmpeg",
            Self::NewFfmpeg => "pip install --target target/interop/python imageio-ffmpeg",
            Self::GStreamer => "apt-get install gstreamer1.0-tools gstreamer1.0-plugins-bad",
            Self::Vlc => "apt-get install vlc-bin vlc-plugin-base vlc-plugin-access-extra",
            Self::Mpv => "apt-get install mpv",
            Self::Tstrans => "pip install --target target/interop/python tstrans",
            Self::SrtTokio | Self::Rsrt => {
                "cargo build --manifest-path tests/interop/rust_peers/Cargo.toml --target-dir target/interop/rust"
            }
            Self::Relay => "cargo build -p srt-gateway",
        }
    }

    /// Whether its output stream may differ from its input.
    pub(crate) fn remuxes(self, role: Role) -> bool {
        match self {
            Self::Ffmpeg | Self::NewFfmpeg => true,
            Self::Vlc => role == Role::Publish,
            _ => false,
        }
    }

    pub(crate) fn carrier(self, role: Role) -> Carrier {
        match (self, role) {
            (Self::LiveTransmit | Self::Tstrans | Self::SrtTokio | Self::Rsrt | Self::Relay, _) => {
                Carrier::Pipe
            }
            _ => Carrier::File,
        }
    }

    /// A command that prints its version.
    fn version(self) -> Command {
        let mut command = self.program();
        match self {
            Self::LiveTransmit | Self::Ffmpeg | Self::NewFfmpeg => command.arg("-version"),
            Self::Tstrans => command.args(["-m", "pip", "list", "--path"]).arg(python_folder()),
            Self::SrtTokio | Self::Rsrt => command.arg("versions"),
            _ => command.arg("--version"),
        };
        command
    }

    /// The program, without arguments.
    pub(crate) fn program(self) -> Command {
        match self {
            Self::LiveTransmit => Command::new(&peers::require().srt_live_transmit),
            Self::Ffmpeg => Command::new(&peers::require().ffmpeg),
            Self::NewFfmpeg => Command::new(new_ffmpeg().unwrap_or_else(|| self.missing())),
            Self::GStreamer => Command::new("gst-launch-1.0"),
            Self::Vlc => unprivileged("vlc"),
            Self::Mpv => Command::new("mpv"),
            Self::Tstrans => {
                let mut command = Command::new("python3");
                command.env("PYTHONPATH", python_folder());
                command
            }
            Self::SrtTokio | Self::Rsrt => Command::new(rust_peers()),
            Self::Relay => Command::new(gateway::binary()),
        }
    }

    fn missing<T>(self) -> T {
        panic!(
            "{} is missing: {}, or run `cargo xtask test`, which does",
            self.name_and_version().0,
            self.package()
        )
    }

    /// Starts the command line of [`words`] in `folder`.
    pub(crate) fn command(self, words: &[String], folder: &Path) -> Command {
        let mut command = self.program();
        command.args(&words[1..]).current_dir(folder);
        if self == Self::Vlc {
            // It writes its settings there, and runs as another user than the rest of the test.
            command.env("HOME", folder);
        }
        command
    }
}

/// Demands that all clients of `rows` are installed, and prints their versions.
///
/// # Panics
/// If one is missing, or, in CI, has another version than the table.
pub(crate) fn require(rows: &[Row]) {
    for client in Client::ALL {
        if !rows.iter().any(|row| row.client == client) {
            continue;
        }
        let output = client.version().output();
        let Ok(output) = output else { client.missing() };
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let (name, version) = client.name_and_version();
        let told = text
            .lines()
            .find(|line| line.contains(version) || client == Client::Relay);
        eprintln!("{name} {version}: {}", told.unwrap_or(&text));
        if client == Client::Tstrans && !text.contains("tstrans") {
            client.missing::<()>();
        }
        assert!(
            told.is_some() || env::var_os("CI").is_none(),
            "{name} is not of version {version}, which docs/interop.md is about: correct the table, and run the tests again"
        );
    }
}

/// The folder in which `cargo xtask` puts packages from PyPI.
pub(crate) fn python_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/interop/python")
}

/// The folder in which `cargo xtask` builds the stacks that are crates.
fn rust_peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/interop/rust/debug/rust-peers")
}

fn new_ffmpeg() -> Option<PathBuf> {
    let folder = python_folder().join("imageio_ffmpeg/binaries");
    let entries = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let is_program = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("ffmpeg-"))
    };
    entries.into_iter().find(is_program)
}

/// VLC refuses to run as root.
fn unprivileged(program: &str) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", program]);
    command
}

/// The command line of a row's client.
pub(crate) fn words(row: &Row, place: &Place, usage: Use) -> Vec<String> {
    let url = url(row, place);
    let test = usage == Use::Test;
    let line: Vec<&str> = match (row.client, row.role) {
        (Client::LiveTransmit, Role::Publish) => {
            vec!["srt-live-transmit", "-chunk:1316", "file://con", &url]
        }
        (Client::LiveTransmit, Role::Play) => vec!["srt-live-transmit", "-chunk:1316", &url, "file://con"],
        (Client::Ffmpeg | Client::NewFfmpeg, role) => ffmpeg(&url, role, test),
        (Client::GStreamer, Role::Publish) => {
            let parse = "gst-launch-1.0 filesrc location=FILE.ts ! tsparse set-timestamps=true alignment=7 ! srtsink uri=";
            parse.split(' ').chain([url.as_str()]).collect()
        }
        (Client::GStreamer, Role::Play) => {
            vec![
                "gst-launch-1.0",
                "srtsrc",
                "uri=",
                &url,
                "!",
                "filesink",
                "location=OUT.ts",
            ]
        }
        (Client::Vlc, role) => return vlc(row, place, role, test),
        (Client::Mpv, _) => {
            let dump: &[&str] = &["--no-config", "--stream-dump=OUT.ts"];
            [&["mpv", url.as_str()][..], if test { dump } else { &[] }].concat()
        }
        (Client::Tstrans, role) => {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/tstrans_client.py");
            let script = if test {
                script
            } else {
                "tests/interop/tstrans_client.py"
            };
            let what = if role == Role::Publish { "send" } else { "receive" };
            let how = if row.mode == Mode::Listener {
                "listen"
            } else {
                "call"
            };
            vec!["python3", script, what, how, &url]
        }
        (Client::SrtTokio | Client::Rsrt, role) => {
            let what = if role == Role::Publish { "send" } else { "receive" };
            let how = if row.mode == Mode::Listener {
                "listen"
            } else {
                "call"
            };
            vec!["rust-peers", row.client.name_and_version().0, what, how, &url]
        }
        (Client::Relay, Role::Publish) => vec!["srt-gateway", "relay", "-", &url],
        (Client::Relay, Role::Play) => vec!["srt-gateway", "relay", &url, "-"],
    };
    joined(line)
}

fn ffmpeg(url: &str, role: Role, test: bool) -> Vec<&str> {
    if role == Role::Publish {
        return vec![
            "ffmpeg", "-re", "-i", "FILE.ts", "-c", "copy", "-f", "mpegts", url,
        ];
    }
    let (short, length): (&[&str], &[&str]) = if test {
        // Otherwise it analyzes five seconds of the stream before it starts.
        (
            &["-y", "-analyzeduration", "300000", "-probesize", "400000"],
            &["-t", "2"],
        )
    } else {
        (&[], &[])
    };
    let parts: [&[&str]; 5] = [
        &["ffmpeg"],
        short,
        &["-i", url, "-c", "copy"],
        length,
        &["-f", "mpegts", "OUT.ts"],
    ];
    parts.concat()
}

/// GStreamer's properties are one word with their value.
fn joined(line: Vec<&str>) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in line {
        match words.last_mut() {
            Some(last) if last.ends_with("uri=") => last.push_str(word),
            _ => words.push(word.to_owned()),
        }
    }
    words
}

/// VLC accepts the length of the key as an option only, and for its output everything.
fn vlc(row: &Row, place: &Place, role: Role, test: bool) -> Vec<String> {
    let mut words = vec!["vlc".to_owned()];
    if role == Role::Publish {
        let output = format!("#std{{access=srt,mux=ts,dst={}}}", place.addr);
        words.extend(["FILE.ts".to_owned(), "--sout".to_owned(), output]);
        let latency = place.latency.map(|latency| latency.as_millis());
        words.extend(latency.map(|latency| format!("--latency={latency}")));
        if row.id != Id::None {
            words.push(format!("--streamid={}", streamid(row.id, row.role)));
        }
        if row.key != Key::None {
            words.push(format!("--passphrase={PASSPHRASE}"));
        }
    } else {
        words.push(url(row, place));
    }
    if row.key != Key::None {
        words.push(format!("--key-length={}", row.key.bytes()));
    }
    if test {
        words.extend(["-I", "dummy"].map(str::to_owned));
        if role == Role::Play {
            words.extend(["--demux=dump", "--demuxdump-file=OUT.ts"].map(str::to_owned));
        }
    }
    words
}
