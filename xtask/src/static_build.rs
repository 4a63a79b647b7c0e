//! `cargo xtask package --static`: one binary for any Linux of the same architecture, in an archive with its files, and
//! the proof that it is static: it links nothing at run time, and relays in a root without any library.

use crate::cargo::{cargo, root};
use crate::install::{CXX, Install, NODE, NPM, ensure};
use crate::package::{stage, target_folder};
use crate::steps::run;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// How long the gateway may take to start, and to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The addresses that the gateway listens on, and the only name that the root knows.
const CONFIG: &str = "gateway.control_socket = \"/control\"\napi.listen = \"127.0.0.1:0\"\nsrt.port = \"127.0.0.1:0\"\n\
                      streams_default.accept_unknown = true\n";
const HOSTS: &str = "127.0.0.1 gateway.test\n";

/// Builds, checks and packs `target/static/srt-gateway-VERSION-ARCHITECTURE-linux.tar.gz`.
pub(crate) fn package(install: Install) -> Result<()> {
    ensure(&[CXX, NODE, NPM], install)?;
    let target = gnu_target()?;
    let mut build = cargo("build");
    build.args(["-p", "srt-gateway", "--release", "--target", &target]);
    // With an explicit target, even the host, the flag does not apply to build scripts and procedural macros.
    run(build
        .env("RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .env("SRT_GATEWAY_WEB", "require"))?;
    let built = target_folder()?.join(&target).join("release/srt-gateway");
    let staged = root().join("target/static/files");
    stage(&built, &staged)?;
    let binary = staged.join("srt-gateway");
    check_linkage(&binary)?;
    check_relay(&binary)?;
    pack(&staged, &target)
}

/// The machine's own architecture, with the C library that can be linked statically without another compiler.
fn gnu_target() -> Result<String> {
    let host = crate::checked::host()?;
    if !host.contains("-linux-") {
        bail!("a static build needs Linux, not {host}");
    }
    Ok(host)
}

/// Fails if the program requires an interpreter or a library.
fn check_linkage(binary: &Path) -> Result<()> {
    let output = Command::new("readelf")
        .args(["--wide", "--program-headers", "--dynamic"])
        .arg(binary)
        .output()
        .context("cannot start readelf (package binutils)")?;
    anyhow::ensure!(output.status.success(), "readelf ended with {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let asked = asked_at_run_time(&text);
    anyhow::ensure!(
        asked.is_empty(),
        "{} is not static: {}",
        binary.display(),
        asked.join(", ")
    );
    anyhow::ensure!(
        text.contains("LOAD"),
        "readelf reports nothing about {}",
        binary.display()
    );
    eprintln!("{} needs no libraries and no interpreter", binary.display());
    Ok(())
}

/// The lines of readelf about something that the system would have to load.
fn asked_at_run_time(readelf: &str) -> Vec<&str> {
    let lines = readelf.lines().map(str::trim);
    lines
        .filter(|line| {
            line.contains("(NEEDED)") || line.contains("program interpreter") || line.starts_with("INTERP")
        })
        .collect()
}

/// Starts it in a root without other files, and makes it relay: the load generator of the same program measures it.
fn check_relay(binary: &Path) -> Result<()> {
    let place = root().join("target/static/root");
    if place.exists() {
        fs::remove_dir_all(&place).context("cannot empty target/static/root")?;
    }
    fs::create_dir_all(place.join("etc"))?;
    fs::copy(binary, place.join("srt-gateway"))?;
    fs::write(place.join("gateway.toml"), CONFIG)?;
    fs::write(place.join("etc/hosts"), HOSTS)?;
    let gateway = Running::start(&place)?;
    let port = gateway.address("listening", "addr=")?;
    let api = gateway.address("API, metrics and console at", "http://")?;
    let health = get(api, "/healthz")?;
    anyhow::ensure!(health.starts_with("HTTP/1.1 200"), "/healthz answers {health:?}");
    let options = ["--viewers", "20", "--seconds", "2", "--warmup", "1", "--json"];
    // Outside, because it reads its own resource use in /proc.
    let told = json(
        Command::new(binary)
            .args(["bench", &port.to_string()])
            .args(options),
    )?;
    let count = |key: &str| told[key].as_u64();
    let delivered = count("delivered").unwrap_or(0);
    anyhow::ensure!(
        delivered > 1000 && count("lost") == Some(0) && count("damaged") == Some(0),
        "the relay of the static binary: {told}"
    );
    // The C library resolves names, for which it loads parts of itself in other builds.
    let url = format!(
        "srt://gateway.test:{}?streamid=#!::r=nobody,m=request",
        port.port()
    );
    let probed = inside(&place).args(["probe", &url, "--seconds", "1"]).output()?;
    let probed =
        String::from_utf8_lossy(&probed.stdout).into_owned() + &String::from_utf8_lossy(&probed.stderr);
    anyhow::ensure!(
        probed.contains("connected in"),
        "cannot resolve a name in the root: {probed}"
    );
    eprintln!(
        "in a root without libraries it serves HTTP, resolves names and relayed {delivered} messages without loss"
    );
    Ok(())
}

/// The program in its root; without root, in a user namespace.
fn inside(place: &Path) -> Command {
    let is_root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|id| id.stdout.trim_ascii() == b"0");
    let mut command = if is_root {
        Command::new("chroot")
    } else {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "chroot"]);
        command
    };
    command.arg(place).arg("/srt-gateway");
    command
}

/// A gateway and its log. Stopped on drop.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(place: &Path) -> Result<Self> {
        let mut child = inside(place)
            .args(["--config", "/gateway.toml"])
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start chroot")?;
        let log = child.stderr.take().expect("it was asked for");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// The address after `mark` in the next line that contains `text`.
    fn address(&self, text: &str, mark: &str) -> Result<SocketAddr> {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.with_context(|| format!("the gateway did not print {text:?}"))?;
            if let Some((_, rest)) = line.split_once(mark).filter(|_| line.contains(text)) {
                let address = rest.split([' ', '/']).next().unwrap_or_default();
                return address.parse().with_context(|| format!("no address in {line:?}"));
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

fn get(api: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&api, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn json(command: &mut Command) -> Result<Value> {
    let output = command.stderr(Stdio::inherit()).output()?;
    anyhow::ensure!(
        output.status.success(),
        "{command:?} ended with {}",
        output.status
    );
    serde_json::from_slice(&output.stdout).with_context(|| format!("{command:?} prints JSON"))
}

/// The archive: one folder with all files.
fn pack(staged: &Path, target: &str) -> Result<()> {
    for file in ["LICENSE", "LICENSE-APACHE", "LICENSE-MIT", "CHANGELOG.md"] {
        fs::copy(root().join(file), staged.join(file)).with_context(|| file.to_owned())?;
    }
    let copies = [
        ("packaging/systemd/srt-gateway.service", "srt-gateway.service"),
        ("packaging/debian/gateway.toml", "gateway.toml"),
        ("examples/full.toml", "full.toml"),
    ];
    for (from, to) in copies {
        fs::copy(root().join(from), staged.join(to)).with_context(|| from.to_owned())?;
    }
    let architecture = target.split('-').next().unwrap_or(target);
    let version = Command::new(staged.join("srt-gateway"))
        .arg("--version")
        .output()?
        .stdout;
    let version = String::from_utf8_lossy(&version);
    let words: Vec<&str> = version.split_whitespace().take(2).collect();
    let name = format!("{}-{architecture}-linux", words.join("-"));
    let archive: PathBuf = root().join(format!("target/static/{name}.tar.gz"));
    run(Command::new("tar")
        .args(["--create", "--gzip", "--owner=0", "--group=0", "--numeric-owner"])
        .arg(format!("--transform=s,^\\.,{name},"))
        .arg("--file")
        .arg(&archive)
        .arg("--directory")
        .arg(staged)
        .arg("."))?;
    eprintln!("made {}", archive.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::asked_at_run_time;

    #[test]
    fn a_library_and_an_interpreter_are_seen() {
        let dynamic = "  INTERP  0x000318 0x318\n      [Requesting program interpreter: /lib64/ld-linux-x86-64.so.2]\n  LOAD \
                       0x0\n 0x01 (NEEDED)  Shared library: [libc.so.6]\n";
        assert_eq!(asked_at_run_time(dynamic).len(), 3);
        let fixed =
            "  LOAD 0x0\n  DYNAMIC 0x1\n 0x0e (SONAME) Library\n There is no dynamic section in this file.\n";
        assert_eq!(asked_at_run_time(fixed), [""; 0]);
    }
}
