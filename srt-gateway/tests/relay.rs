//! `relay`: byte for byte between files, pipes and SRT, alone and against srt-live-transmit; reconnecting; statistics.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use srt_safe::{Options, SrtListener, SrtSocket};

const PATIENCE: Duration = Duration::from_secs(30);

/// A latency for a machine that runs many tests at once, as a URL parameter.
const LATENCY: &str = "latency=1500";

/// A process that is killed when dropped.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        // The process may have ended already.
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

impl Peer {
    fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_owned();
        Self(
            command
                .spawn()
                .unwrap_or_else(|error| panic!("{name:?}: {error}")),
        )
    }

    #[track_caller]
    fn wait_success(&mut self) {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return assert!(status.success(), "{status}");
            }
            assert!(Instant::now() < end, "it did not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn relay(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_srt-gateway"));
    command.arg("relay").args(arguments).stderr(Stdio::null());
    command
}

/// Its option -chunk keeps TS packets whole; -a:no ends it with the connection, which flushes its output.
fn live_transmit(from: &str, to: &str) -> Command {
    let mut command = Command::new("srt-live-transmit");
    command
        .args(["-chunk:1316", "-a:no", "-q", from, to])
        .stderr(Stdio::null());
    command
}

/// An address that was free a moment ago, for programs that need an explicit one.
fn free() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Bytes without a period, and no whole number of messages.
fn sample() -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..700 * 1316 + 317).map(|_| next()).collect()
}

fn file(folder: &Path, name: &str) -> String {
    format!("file://{}", folder.join(name).display())
}

#[test]
fn file_goes_over_srt_into_two_files_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = sample();
    fs::write(folder.path().join("in"), &bytes).unwrap();
    let at = free();
    let mut receiver = Peer::start(&mut relay(&[
        "--auto-reconnect",
        "no",
        &format!("srt://{at}?mode=listener&{LATENCY}"),
        &file(folder.path(), "one"),
        &file(folder.path(), "two"),
    ]));
    let mut sender = Peer::start(&mut relay(&[
        &file(folder.path(), "in"),
        &format!("srt://{at}?{LATENCY}"),
    ]));
    sender.wait_success();
    // The connection is lost, and must not be made again.
    let end = Instant::now() + PATIENCE;
    while receiver.0.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end, "the receiver did not end");
        std::thread::sleep(Duration::from_millis(10));
    }
    for name in ["one", "two"] {
        assert!(fs::read(folder.path().join(name)).unwrap() == bytes, "{name}");
    }
}

#[test]
fn what_srt_live_transmit_sends_comes_out_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    // It only reads whole chunks, and would exit at the end of the input.
    let bytes = &sample()[..700 * 1316];
    let at = free();
    let _receiver = Peer::start(&mut relay(&[
        &format!("srt://{at}?mode=listener&{LATENCY}"),
        &file(folder.path(), "out"),
    ]));
    let (told, tells) = std::io::pipe().unwrap();
    let mut command = Command::new("srt-live-transmit");
    command
        .args([
            "-chunk:1316",
            "-v",
            "file://con",
            &format!("srt://{at}?{LATENCY}"),
        ])
        .stdin(Stdio::piped())
        .stdout(tells.try_clone().unwrap())
        .stderr(tells);
    let mut sender = Peer::start(&mut command);
    drop(command);
    // It discards what it reads before it is connected.
    let mut lines = BufReader::new(told).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "SRT target connected"));
    let drained = std::thread::spawn(move || lines.count());
    let mut stdin = sender.0.stdin.take().unwrap();
    stdin.write_all(bytes).unwrap();
    stdin.flush().unwrap();
    wait_bytes(&folder.path().join("out"), bytes);
    drop((stdin, sender));
    drained.join().unwrap();
}

#[test]
fn what_it_sends_srt_live_transmit_receives_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = sample();
    let at = free();
    let output = fs::File::create(folder.path().join("out")).unwrap();
    let listener = format!("srt://{at}?mode=listener&{LATENCY}");
    let _receiver = Peer::start(live_transmit(&listener, "file://con").stdout(output));
    let mut sender = Peer::start(relay(&["-", &format!("srt://{at}?{LATENCY}")]).stdin(Stdio::piped()));
    let mut stdin = sender.0.stdin.take().unwrap();
    stdin.write_all(&bytes).unwrap();
    drop(stdin);
    sender.wait_success();
    wait_bytes(&folder.path().join("out"), &bytes);
}

#[track_caller]
fn wait_bytes(path: &Path, wanted: &[u8]) {
    let end = Instant::now() + PATIENCE;
    loop {
        let found = fs::read(path).unwrap_or_default();
        if found == wanted {
            return;
        }
        let (has, wants) = (found.len(), wanted.len());
        assert!(wanted.starts_with(&found), "other bytes within the first {has}");
        assert!(Instant::now() < end, "{has} of {wants} bytes");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn receive(socket: &SrtSocket) -> Vec<u8> {
    let mut buffer = [0; 1456];
    socket.set_recv_timeout(Some(PATIENCE)).unwrap();
    let length = socket.recv(&mut buffer).unwrap();
    buffer[..length].to_vec()
}

#[test]
fn lost_connection_is_made_again_and_statistics_tell() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::new().latency(Duration::from_millis(50));
    let listener = SrtListener::builder()
        .options(options)
        .bind("127.0.0.1:0")
        .unwrap();
    let at = listener.local_addr().unwrap();
    let stats = folder.path().join("stats");
    let mut command = relay(&[
        "file://con",
        &format!("srt://{at}?latency=50"),
        "--chunk=188",
        "--stats=100ms",
        "--stats-format=json",
        "--stats-out",
        stats.to_str().unwrap(),
    ]);
    let mut sender = Peer::start(command.stdin(Stdio::piped()));
    let mut stdin = sender.0.stdin.take().unwrap();
    let (first, _) = listener.accept_timeout(PATIENCE).unwrap();
    stdin.write_all(&[1; 188]).unwrap();
    assert_eq!(receive(&first), [1; 188]);
    first.close().unwrap();
    // Data sent before the loss is noticed is lost with the connection: more is sent until it arrives over the next
    // one.
    let (second, _) = {
        let feeding = std::thread::spawn(move || {
            let end = Instant::now() + PATIENCE;
            while Instant::now() < end && stdin.write_all(&[2; 188]).is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let accepted = listener.accept_timeout(PATIENCE).unwrap();
        drop(feeding);
        accepted
    };
    assert_eq!(receive(&second), [2; 188]);

    let end = Instant::now() + PATIENCE;
    let connected = |line: &str| serde_json::from_str::<Value>(line).is_ok_and(|v| v["connected"] == true);
    while !fs::read_to_string(&stats)
        .unwrap_or_default()
        .lines()
        .any(connected)
    {
        assert!(Instant::now() < end, "no statistics of a connection");
        std::thread::sleep(Duration::from_millis(20));
    }
    let text = fs::read_to_string(&stats).unwrap();
    let record: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(record["url"], format!("srt://{at}"));
}

#[test]
fn nobody_there_and_no_second_try_is_a_failure_that_says_so() {
    let at = free();
    let mut command = relay(&[
        "-",
        &format!("srt://{at}?connect_timeout=1"),
        "--auto-reconnect=no",
    ]);
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{told}");
    assert!(told.contains(&format!("srt://{at}: ")), "{told}");
}

#[test]
fn wrong_command_lines_are_told() {
    for (arguments, why) in [
        (&["srt://127.0.0.1:9000?latncy=1", "-"][..], "latncy"),
        (&["-", "udp://:9000"], "must have a host to send to"),
        (
            &["-", "ftp://host/x"],
            "begins with srt://, udp://, rtp:// or file://",
        ),
        (&["-", "-", "-pf:xml"], "xml"),
        (&["-", "-", "-timeout-mode:2"], "0..=1"),
        (&["-", "-", "--stats=often"], "a number of packets"),
        (&["-", "-", "--chunk=1457"], "1457"),
        (&["-"], "OUTPUTS"),
    ] {
        let output = relay(arguments).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(why), "{arguments:?}: {told}");
    }
}
