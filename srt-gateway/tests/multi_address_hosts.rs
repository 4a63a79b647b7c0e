//! Host names with several addresses of which one is dead: callers try the next one.

#[allow(
    dead_code,
    unreachable_pub,
    reason = "the end-to-end tests' own; a part is used here"
)]
#[path = "../../tests/support/namespace.rs"]
mod namespace;

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering::Relaxed},
    time::{Duration, Instant},
};

use namespace::Namespace;
use srt_safe::{Options, SrtListener};

const PATIENCE: Duration = Duration::from_secs(40);

/// A process that is killed when dropped.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        // The process may have ended already.
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

/// Runs `srt-gateway` where two.example has the addresses 198.51.100.1 and 198.51.100.2.
fn start(folder: &Path, arguments: &[String]) -> Peer {
    let hosts = folder.join("hosts");
    fs::write(&hosts, "198.51.100.1 two.example\n198.51.100.2 two.example\n").unwrap();
    let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script])
        .arg(hosts)
        .arg(env!("CARGO_BIN_EXE_srt-gateway"))
        .args(arguments)
        .env("XDG_RUNTIME_DIR", folder)
        .stderr(Stdio::null());
    Peer(command.spawn().unwrap())
}

/// A different one each time: libsrt keeps the ports of a process in one table, whatever their namespaces.
fn next_port() -> u16 {
    static LAST: AtomicU16 = AtomicU16::new(9_000);
    LAST.fetch_add(1, Relaxed)
}

/// A call to two.example on the given port is accepted, whichever of the addresses is alive.
#[track_caller]
fn assert_calls(folder: &Path, options: &Options, arguments: impl Fn(u16) -> Vec<String> + Send + Sync) {
    Namespace::new(&["198.51.100.0/24"]).run(|| {
        for alive in [1, 2] {
            let at = SocketAddr::from(([198, 51, 100, alive], next_port()));
            let listener = SrtListener::builder().options(options.clone());
            let listener = listener.bind(at).unwrap();
            let _caller = start(folder, &arguments(at.port()));
            let end = Instant::now() + PATIENCE;
            while listener.accept_timeout(Duration::from_millis(500)).is_err() {
                assert!(
                    Instant::now() < end,
                    "nobody called the only address that is alive, {at}"
                );
            }
        }
    });
}

#[test]
fn inputs_call_the_next_address() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gateway.toml");
    for (input, options) in [
        ("\"srt://two.example:PORT?connect_timeout=1\"", Options::new()),
        (
            "{ url = \"srt://*?type=broadcast&connect_timeout=1\", nodes = [\"two.example:PORT\"] }",
            Options::new().group_connect(true),
        ),
    ] {
        assert_calls(folder.path(), &options, |port| {
            let input = input.replace("PORT", &port.to_string());
            let text = format!(
                "[srt]\nport = \"127.0.0.1:0\"\n[api]\nlisten = \"\"\n[streams.x]\ninputs = [{input}]\n"
            );
            fs::write(&config, text).unwrap();
            vec!["--config".to_owned(), config.display().to_string()]
        });
    }
}

#[test]
fn relay_calls_the_next_address() {
    let folder = tempfile::tempdir().unwrap();
    assert_calls(folder.path(), &Options::new(), |port| {
        let from = format!("srt://two.example:{port}?connect_timeout=1");
        vec!["relay".to_owned(), from, "/dev/null".to_owned()]
    });
}
