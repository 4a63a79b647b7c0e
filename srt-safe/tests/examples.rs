//! The example programs, run as separate processes on loopback.

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A running example. Killed on drop, if the test fails before its end.
struct Running {
    child: Child,
    name: &'static str,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if the process has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Running {
    fn start(name: &'static str, args: &[&str]) -> Self {
        let child = Command::new(path(name))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("example {name}: {error}; `cargo build -p srt-safe --examples` builds it")
            });
        Self { child, name }
    }

    fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("not taken before")
    }

    fn stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().expect("not taken before")
    }

    /// Writes all of its standard input and closes it.
    fn feed(&mut self, data: &[u8]) {
        let mut input = self.child.stdin.take().expect("not taken before");
        input.write_all(data).expect("it reads");
    }

    fn finish(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(Instant::now() < deadline, "{} does not end", self.name);
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Examples lie beside the `deps` directory of this test.
fn path(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a path");
    let profile = test
        .parent()
        .and_then(|deps| deps.parent())
        .expect("target/<profile>/deps");
    profile.join("examples").join(name)
}

/// Lines of a stream as they arrive, with a deadline for each.
struct Lines(Receiver<String>);

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self(lines)
    }

    /// The next line that contains `word`.
    fn find(&self, word: &str) -> String {
        let mut seen = Vec::new();
        while let Ok(line) = self.0.recv_timeout(PATIENCE) {
            if line.contains(word) {
                return line;
            }
            seen.push(line);
        }
        panic!("no line with {word:?} in {seen:?}");
    }

    fn address(&self) -> String {
        let line = self.find("listening on ");
        let addr = line.rsplit(' ').next().expect("a word");
        addr.parse::<SocketAddr>().expect("an address").to_string()
    }
}

fn collect(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("a pipe");
        all
    })
}

/// Not a whole number of messages, so that the last one is short.
fn data() -> Vec<u8> {
    (0..300_000_u32)
        .flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 16).to_le_bytes()[..1].to_vec())
        .collect()
}

#[test]
fn send_and_recv_carry_a_stream_to_the_last_byte() {
    let mut recv = Running::start("recv", &["127.0.0.1:0"]);
    let received = collect(recv.stdout());
    let notes = Lines::of(recv.stderr());
    let mut send = Running::start("send", &[&notes.address(), "#!::r=live/film,m=publish"]);
    send.feed(&data());
    assert!(send.finish().success());
    assert!(recv.finish().success());
    assert!(received.join().expect("collects") == data(), "the bytes differ");
    notes.find("received 300000 bytes");
}

#[test]
fn listen_acl_admits_by_resource_and_passphrase() {
    let mut listen = Running::start(
        "listen_acl",
        &["127.0.0.1:0", "news=correct horse", "sport=battery staple"],
    );
    let out = Lines::of(listen.stdout());
    let addr = out.address();
    for (id, passphrase) in [
        ("#!::r=news,m=publish", "correct horse"),
        ("#!::r=sport,m=publish", "battery staple"),
    ] {
        let mut send = Running::start("send", &[&addr, id, passphrase]);
        send.feed(&data());
        assert!(send.finish().success(), "{id}");
        out.find(&format!("publishes {id}"));
        out.find("is done: 300000 bytes");
    }
    for (id, passphrase, answer) in [
        ("#!::r=films,m=publish", "correct horse", "not found (1404)"),
        ("#!::r=news", "correct horse", "mode not supported here (1405)"),
        ("news", "correct horse", "bad request (1400)"),
        ("#!::r=news,m=publish", "battery staple", "(10)"),
    ] {
        let mut send = Running::start("send", &[&addr, id, passphrase]);
        let notes = Lines::of(send.stderr());
        notes.find(answer);
        assert_eq!(send.finish().code(), Some(1), "{id}");
    }
}

/// An installed library may lack bonding: tests/system.rs.
#[cfg(not(feature = "system"))]
#[test]
fn bonding_carries_a_stream_over_two_links() {
    for kind in ["broadcast", "backup"] {
        let mut recv = Running::start("bonding", &["recv", "127.0.0.1:0"]);
        let received = collect(recv.stdout());
        let heard = Lines::of(recv.stderr());
        let addr = heard.address();
        let mut send = Running::start("bonding", &[kind, &addr, &addr]);
        let notes = Lines::of(send.stderr());
        send.feed(&data());
        notes.find("running");
        heard.find("running");
        assert!(send.finish().success());
        assert!(recv.finish().success());
        assert!(
            received.join().expect("collects") == data(),
            "{kind}: the bytes differ"
        );
    }
}

#[test]
fn wrong_arguments_are_answered_with_the_usage() {
    for (name, args) in [
        ("send", &[] as &[&str]),
        ("recv", &[]),
        ("listen_acl", &["127.0.0.1:0"]),
        ("listen_acl", &["127.0.0.1:0", "news=short"]),
        ("bonding", &["backup"]),
    ] {
        let mut run = Running::start(name, args);
        Lines::of(run.stderr()).find("usage: ");
        assert_eq!(run.finish().code(), Some(2), "{name}");
    }
}
