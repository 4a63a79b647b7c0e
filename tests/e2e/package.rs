//! The Debian package: installed by dpkg into a root of the test, started as its unit specifies, used for a stream,
//! reloaded, ended and removed. The test acts as the service manager.

use crate::common::{DEADLINE, PLAY, PUBLISH, options};
use srt_e2e::client::{Publisher, Viewer};
use srt_e2e::pace::Tail;
use srt_e2e::peers::Process;
use srt_e2e::source::{StampedTs, contiguous_part};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const MEGABITS_5: u64 = 5_000_000;

/// The unit allows more time; the test does not wait that long.
const WATCHDOG: Duration = Duration::from_secs(3);

fn deb() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/package/srt-gateway.deb");
    assert!(
        path.is_file(),
        "{} is missing: run `cargo xtask package --debug` first, or `cargo xtask test`",
        path.display()
    );
    path
}

/// A root directory with a package database of its own.
struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let database = root.path().join("var/lib/dpkg");
        fs::create_dir_all(database.join("info")).unwrap();
        fs::create_dir_all(database.join("updates")).unwrap();
        fs::write(database.join("status"), "").unwrap();
        Self(root)
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.0.path().join(inside.trim_start_matches('/'))
    }

    /// Runs dpkg on this root, without root in a user namespace. The dependencies of the package are on the machine,
    /// not in this root.
    fn dpkg(&self, action: &str, on: &Path) {
        let mut command = if rustix::process::geteuid().is_root() {
            Command::new("dpkg")
        } else {
            let mut command = Command::new("unshare");
            command.args(["--map-root-user", "dpkg"]);
            command
        };
        command
            .arg(format!("--root={}", self.0.path().display()))
            .arg(format!("--log={}", self.path("dpkg.log").display()))
            .args(["--force-depends", "--force-script-chrootless", action])
            .arg(on);
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{command:?}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// The unit's value of `key`, with `${CONFIG}` substituted and paths moved into this root.
    fn unit(&self, key: &str) -> Vec<String> {
        let unit = fs::read_to_string(self.path("/usr/lib/systemd/system/srt-gateway.service")).unwrap();
        let value = |key: &str| {
            unit.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned))
                .unwrap_or_else(|| panic!("the unit has no {key}="))
        };
        let config = value("Environment=CONFIG");
        let lead = |word: &str| {
            let word = word.replace("${CONFIG}", &config);
            if word.starts_with('/') {
                self.path(&word).display().to_string()
            } else {
                word
            }
        };
        value(key).split_whitespace().map(lead).collect()
    }

    fn command(&self, key: &str) -> Command {
        let words = self.unit(key);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env("RUNTIME_DIRECTORY", self.0.path());
        command
    }
}

/// The service manager's end of sd_notify(3).
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(root: &Root) -> Self {
        let path = root.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { socket, path }
    }

    /// Waits for a message with this line; returns the whole message.
    #[track_caller]
    fn wait(&self, line: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let length = self
                .socket
                .recv(&mut buffer)
                .unwrap_or_else(|error| panic!("the manager is not told {line}: {error}"));
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if message.lines().any(|told| told == line) {
                return message;
            }
        }
    }
}

#[test]
fn installed_started_streamed_through_and_removed() {
    let root = Root::new();
    root.dpkg("--install", &deb());
    for file in [
        "/usr/bin/srt-gateway",
        "/usr/share/man/man1/srt-gateway.1.gz",
        "/usr/share/bash-completion/completions/srt-gateway",
        "/usr/share/doc/srt-gateway/copyright",
        "/usr/share/doc/srt-gateway/examples/full.toml",
        "/etc/default/srt-gateway",
    ] {
        assert!(root.path(file).is_file(), "{file} is not in the package");
    }
    let config = root.path("/etc/srt-gateway/gateway.toml");
    let mode = fs::metadata(&config).unwrap().permissions().mode();
    assert_eq!(mode & 0o007, 0, "the configuration holds passphrases: {mode:o}");

    // By default, the package listens where any other test might.
    let text = fs::read_to_string(&config).unwrap().replace(":9998\"", ":0\"");
    fs::write(&config, &text).unwrap();
    let checked = root.command("ExecStartPre").output().unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );

    let manager = Manager::new(&root);
    let mut command = root.command("ExecStart");
    command
        .env("NOTIFY_SOCKET", &manager.path)
        .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
    let mut service = Process::spawn("srt-gateway", command);
    let ready = manager.wait("READY=1");
    assert!(ready.contains("STATUS=serving on 1 port"), "{ready}");

    let line = service.wait_for_line(DEADLINE, "listening", |line| line.contains("listening"));
    let addr = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("addr="));
    let addr = addr.unwrap().parse().unwrap();
    let viewer = Viewer::connect(addr, PLAY, options());
    let source = StampedTs::generate(7, 2000, MEGABITS_5);
    let publisher = Publisher::connect(
        addr,
        PUBLISH,
        options(),
        (source.bytes(), MEGABITS_5, Tail::NullPackets),
    );
    viewer.wait_received(200_000, DEADLINE);
    manager.wait("WATCHDOG=1");

    service.hang_up();
    manager.wait("RELOADING=1");
    manager.wait("READY=1");

    let status = root.command("ExecStart").get_program().to_owned();
    let status = Command::new(status)
        .arg("status")
        .env("RUNTIME_DIRECTORY", root.0.path())
        .output()
        .unwrap();
    assert!(
        status.status.success() && String::from_utf8_lossy(&status.stdout).contains("live/"),
        "{status:?}"
    );

    let ended = service.terminate(DEADLINE);
    assert_eq!(ended.code(), Some(0), "{}", service.tail());
    manager.wait("STOPPING=1");
    let received = viewer.wait_end(DEADLINE);
    assert!(contiguous_part(&source.bytes(), &received.bytes).end > 200_000);
    drop(publisher);

    root.dpkg("--purge", Path::new("srt-gateway"));
    for gone in [
        "/usr/bin/srt-gateway",
        "/etc/srt-gateway/gateway.toml",
        "/etc/default/srt-gateway",
    ] {
        assert!(!root.path(gone).exists(), "{gone} is left behind");
    }
}
