//! The gateway as a separate process, with the test's configuration.
//!
//! Cargo provides a binary's path only to tests of the binary's own package, and a test cannot build it because cargo's
//! lock is held. So the binary is built before (`cargo xtask test`, or `cargo build -p srt-gateway`) and found beside
//! the test; a binary older than its sources is refused.

use crate::peers::Process;
use srt_gateway::Scope;
use srt_gateway::config::PortKind;
use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// How long the gateway may take to start and to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running gateway. Dropping it kills the process.
#[derive(Debug)]
pub struct GatewayProcess {
    process: Process,
    folder: TempDir,
}

impl GatewayProcess {
    /// Starts the gateway with the configuration `toml` and waits until a line of its log contains `ready`.
    ///
    /// # Panics
    /// If the binary is missing or stale, or the line does not appear.
    #[must_use]
    #[track_caller]
    pub fn start(toml: &str, ready: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder for the configuration");
        let config = folder.path().join("gateway.toml");
        fs::write(&config, toml).expect("a file in a new temporary folder");
        let mut command = Command::new(binary());
        command.arg("--config").arg(&config).current_dir(folder.path());
        let process = Process::spawn("srt-gateway", command);
        process.wait_for_line(PATIENCE, ready, |line| line.contains(ready));
        Self { process, folder }
    }

    /// The process, its log and its signals.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The address of a port for all streams, from its log.
    ///
    /// # Panics
    /// If it has no such port.
    #[must_use]
    #[track_caller]
    pub fn addr(&self, kind: PortKind) -> SocketAddr {
        self.addr_in(kind, &Scope::Global.to_string())
    }

    /// The address of a port of the stream `name`, from its log.
    ///
    /// # Panics
    /// If it has no such port.
    #[must_use]
    #[track_caller]
    pub fn addr_of(&self, kind: PortKind, name: &str) -> SocketAddr {
        self.addr_in(kind, name)
    }

    #[track_caller]
    fn addr_in(&self, kind: PortKind, scope: &str) -> SocketAddr {
        let (kind, scope) = (format!("kind={:?}", kind.key()), format!("scope={scope}"));
        let what = format!("listening {kind} {scope}");
        let line = self.process.wait_for_line(PATIENCE, &what, |line| {
            line.contains("listening") && line.contains(&kind) && line.contains(&scope)
        });
        let addr = line
            .split_whitespace()
            .find_map(|word| word.strip_prefix("addr="));
        addr.and_then(|addr| addr.parse().ok())
            .unwrap_or_else(|| panic!("no address in {line:?}"))
    }

    /// Its configuration file, for a reload.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("gateway.toml")
    }

    /// Terminates it and waits until it has ended.
    ///
    /// # Panics
    /// If it takes longer than ten seconds.
    #[track_caller]
    pub fn stop(mut self) -> ExitStatus {
        self.process.terminate(PATIENCE)
    }
}

/// The gateway's binary: the path in `SRT_GATEWAY_BIN`, else the one that cargo built beside this test.
///
/// # Panics
/// If there is none, or if it is older than its sources.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = env::var_os("SRT_GATEWAY_BIN") {
        return path.into();
    }
    built("srt-gateway", "cargo build -p srt-gateway")
}

/// An example of srt-safe that cargo built beside this test.
///
/// # Panics
/// If there is none, or if it is older than its sources.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    built(
        &format!("examples/{name}"),
        &format!("cargo build -p srt-safe --example {name}"),
    )
}

/// A file that `command` has built, by its path in cargo's folder.
fn built(place: &str, command: &str) -> PathBuf {
    let test = env::current_exe().expect("a test knows where it lies");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("cargo puts tests in target/<profile>/deps");
    let binary = folder.join(place);
    assert!(
        binary.is_file(),
        "{} is missing: run `{command}` first, or `cargo xtask test`",
        binary.display()
    );
    if let Some(source) = newer_source(&binary) {
        panic!(
            "{} is older than {}: run `{command}` first",
            binary.display(),
            source.display()
        );
    }
    binary
}

/// A source that changed after `binary` was built, from the list of sources that cargo keeps beside it.
fn newer_source(binary: &Path) -> Option<PathBuf> {
    let built = modified(binary)?;
    let list = fs::read_to_string(binary.with_extension("d")).ok()?;
    let sources = list.split_once(": ")?.1.trim_end().replace("\\ ", "\0");
    sources
        .split(' ')
        .map(|source| PathBuf::from(source.replace('\0', " ")))
        .find(|source| modified(source) > Some(built))
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::newer_source;
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    #[test]
    fn stale_binary_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let [binary, list, source] = ["gate", "gate.d", "a source.rs"].map(|name| folder.path().join(name));
        let escaped = source.display().to_string().replace(' ', "\\ ");
        fs::write(
            &list,
            format!("{}: /nowhere/gone.rs {escaped}\n", binary.display()),
        )
        .unwrap();
        let now = SystemTime::now();
        let put = |path, time| File::create(path).unwrap().set_modified(time).unwrap();
        put(&binary, now);
        put(&source, now - Duration::from_secs(9));
        assert_eq!(newer_source(&binary), None);
        put(&source, now + Duration::from_secs(9));
        assert_eq!(newer_source(&binary), Some(source));
    }
}
