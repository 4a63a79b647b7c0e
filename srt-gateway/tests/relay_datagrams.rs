//! `relay` between SRT and datagrams, alone and with srt-live-transmit on the other side; its options as in that
//! program.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// A latency for a machine that runs many tests at once, as a URL parameter.
const LATENCY: &str = "latency=1500";

const MESSAGE: usize = 7 * 188;

/// The interval between messages: slow enough for socket buffers that a busy machine reads late.
const PACE: Duration = Duration::from_millis(3);

/// A process that is killed when dropped.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        // The process may have ended already.
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

fn start(command: &mut Command) -> Peer {
    let name = command.get_program().to_owned();
    let spawned = command.stderr(Stdio::null()).spawn();
    Peer(spawned.unwrap_or_else(|error| panic!("{name:?}: {error}")))
}

fn relay(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_srt-gateway"));
    command.arg("relay").args(arguments);
    command
}

fn live_transmit(from: &str, to: &str) -> Command {
    let mut command = Command::new("srt-live-transmit");
    command.args(["-chunk:1316", "-q", from, to]);
    command
}

/// An address that was free a moment ago, for programs that need an explicit one.
fn free() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Message `number`, with TS packets that all differ.
fn message(number: u32) -> Vec<u8> {
    let mut message = Vec::with_capacity(MESSAGE);
    for packet in 0..7_u8 {
        message.extend([0x47, 0x01, 0x00, 0x10 | packet]);
        message.extend(number.to_be_bytes());
        message.resize(message.len() + 180, packet);
    }
    message
}

fn number(message: &[u8]) -> u32 {
    u32::from_be_bytes(message[4..8].try_into().unwrap())
}

/// Sends messages until `is_enough`, in datagrams that begin with `header(number)`.
fn send_until(to: SocketAddr, header: impl Fn(u32) -> Vec<u8>, mut is_enough: impl FnMut() -> bool) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let end = Instant::now() + PATIENCE;
    let mut due = Instant::now();
    for number in 0.. {
        if number % 50 == 0 && is_enough() {
            return;
        }
        assert!(Instant::now() < end, "nothing came through");
        let datagram = [header(number), message(number)].concat();
        // Nobody may be listening yet.
        socket.send_to(&datagram, to).unwrap_or_default();
        due += PACE;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

struct Out {
    _folder: TempDir,
    path: PathBuf,
}

impl Out {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.ts");
        Self {
            _folder: folder,
            path,
        }
    }

    fn url(&self) -> String {
        format!("file://{}", self.path.display())
    }

    fn has(&self, messages: u64) -> bool {
        fs::metadata(&self.path).is_ok_and(|file| file.len() >= messages * MESSAGE as u64)
    }

    /// Asserts a run of messages without a gap, exact to the byte.
    #[track_caller]
    fn assert_contiguous(&self, at_least: usize) {
        let bytes = fs::read(&self.path).unwrap();
        let whole = bytes.chunks_exact(MESSAGE);
        let first = number(&bytes);
        assert!(whole.len() >= at_least, "{} messages", whole.len());
        for (wanted, found) in (first..).zip(whole) {
            assert!(
                found == message(wanted),
                "message {} is not {wanted}",
                number(found)
            );
        }
    }
}

fn plain(_: u32) -> Vec<u8> {
    Vec::new()
}

#[test]
fn datagrams_go_over_srt_and_out_as_datagrams_again() {
    let (entry, middle, exit, out) = (free(), free(), free(), Out::new());
    let _last = start(&mut relay(&[&format!("udp://:{}", exit.port()), &out.url()]));
    let _second = start(&mut relay(&[
        &format!("srt://{middle}?mode=listener&{LATENCY}"),
        &format!("udp://{exit}"),
    ]));
    let _first = start(&mut relay(&[
        &format!("udp://{entry}"),
        &format!("srt://{middle}?{LATENCY}"),
    ]));
    send_until(entry, plain, || out.has(400));
    out.assert_contiguous(400);
}

#[test]
fn srt_live_transmit_plays_what_came_as_datagrams() {
    let (entry, middle, out) = (free(), free(), Out::new());
    let file = File::create(&out.path).unwrap();
    let _player =
        start(live_transmit(&format!("srt://{middle}?mode=listener&{LATENCY}"), "file://con").stdout(file));
    let _relay = start(&mut relay(&[
        "-chunk:1316",
        "-q",
        &format!("udp://{entry}?rcvbuf=1000000"),
        &format!("srt://{middle}?{LATENCY}&conntimeo=5000&maxbw=0"),
    ]));
    send_until(entry, plain, || out.has(400));
    out.assert_contiguous(400);
}

#[test]
fn what_srt_live_transmit_makes_of_datagrams_goes_out_as_datagrams() {
    let (entry, middle, exit, out) = (free(), free(), free(), Out::new());
    let file = File::create(&out.path).unwrap();
    let _player = start(live_transmit(&format!("udp://{exit}"), "file://con").stdout(file));
    let _relay = start(&mut relay(&[
        &format!("srt://{middle}?mode=listener&{LATENCY}"),
        &format!("udp://{exit}"),
    ]));
    let _sender = start(&mut live_transmit(
        &format!("udp://{entry}"),
        &format!("srt://{middle}?{LATENCY}"),
    ));
    send_until(entry, plain, || out.has(400));
    out.assert_contiguous(400);
}

/// Over the loopback interface, given by name and by address.
#[test]
fn multicast_goes_out_and_comes_in_from_its_source() {
    let (entry, port) = (free(), free().port());
    let [named, sourced, other] = [(); 3].map(|()| Out::new());
    let group = |rest: &str| format!("udp://@239.255.77.9:{port}?{rest}");
    let _receivers = [
        (group("interface=lo"), &named),
        (group("adapter=127.0.0.1&source=127.0.0.1"), &sourced),
        (group("interface=lo&source=127.0.0.1"), &other),
    ]
    .map(|(from, out)| start(&mut relay(&[&from, &out.url()])));
    let nobody = Out::new();
    let _not_this_sender = start(&mut relay(&[
        &group("adapter=127.0.0.1&source=127.0.0.9"),
        &nobody.url(),
    ]));
    let _sender = start(&mut relay(&[
        &format!("udp://{entry}"),
        &format!("udp://239.255.77.9:{port}?adapter=127.0.0.1&ttl=0&pkt_size=1316"),
    ]));
    send_until(entry, plain, || {
        [&named, &sourced, &other].iter().all(|out| out.has(300)) && nobody.path.exists()
    });
    for out in [&named, &sourced, &other] {
        out.assert_contiguous(300);
    }
    assert!(!nobody.has(1), "it heard another sender");
}

#[test]
fn rtp_comes_in_and_goes_out() {
    let (entry, middle, out) = (free(), free(), Out::new());
    let _last = start(&mut relay(&[&format!("rtp://{middle}"), &out.url()]));
    let _first = start(&mut relay(&[
        &format!("rtp://{entry}?rtpheadersize=12"),
        &format!("rtp://{middle}"),
    ]));
    let header = |number: u32| {
        let mut header = vec![0x80, 33];
        header.extend(u16::try_from(number % 65_536).unwrap().to_be_bytes());
        header.extend([0; 8]);
        header
    };
    send_until(entry, header, || out.has(300));
    out.assert_contiguous(300);
}

/// `-s:100 -statsout:…` as in srt-live-transmit, and the end that `-t:` sets.
#[test]
fn statistics_and_timeout_have_the_words_of_srt_live_transmit() {
    let (entry, folder) = (free(), tempfile::tempdir().unwrap());
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let [csv, json] = ["csv", "json"].map(|format| {
        let path = folder.path().join(format);
        let mut process = start(&mut relay(&[
            "-s:20",
            &format!("--stats-format={format}"),
            &format!("-statsout:{}", path.display()),
            "-t:4",
            &format!("udp://{entry}"),
            "file:///dev/null",
        ]));
        send_until(entry, plain, || {
            read(&path).lines().count() >= 3 || process.0.try_wait().unwrap().is_some()
        });
        let status = process.0.wait().unwrap();
        assert!(status.success(), "{status}");
        read(&path)
    });
    let mut lines = csv.lines();
    assert!(
        lines.next().unwrap().starts_with("seconds,url,connected,"),
        "{csv}"
    );
    let row: Vec<_> = lines.next_back().unwrap().split(',').collect();
    assert_eq!(row[1..3], [format!("\"udp://{entry}\"").as_str(), "true"]);
    let record: Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert!(record["messages"].as_u64().unwrap() >= 20, "{record}");
    assert_eq!(record["bytes"].as_u64().unwrap() % MESSAGE as u64, 0);
}

/// A clock reference every 40 ms, 20 packets apart; repeated, and paced.
#[test]
fn a_file_to_datagrams_is_played_at_its_pace() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = Vec::new();
    for step in 0..50_u64 {
        let mut packet = vec![0x47, 0x01, 0x00, 0x30, 7, 0x10];
        packet.extend(&((step * 3600) << 15 | 0x7e00).to_be_bytes()[2..]);
        packet.resize(188, 0xaa);
        file.extend(&packet);
        for _ in 0..19 {
            let mut packet = vec![0x47, 0x01, 0x00, 0x10];
            packet.extend(step.to_be_bytes());
            packet.resize(188, 0xbb);
            file.extend(&packet);
        }
    }
    let path = folder.path().join("in.ts");
    fs::write(&path, &file).unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = socket.local_addr().unwrap();
    let begun = Instant::now();
    let mut process = start(&mut relay(&[path.to_str().unwrap(), &format!("udp://{to}")]));
    let mut received: Vec<u8> = Vec::new();
    let mut buffer = [0; 2000];
    while received.len() < file.len() {
        let length = socket.recv(&mut buffer).unwrap();
        received.extend(&buffer[..length]);
    }
    assert!(received == file);
    // Two seconds, except for what follows the last reference.
    assert!(
        begun.elapsed() > Duration::from_millis(1_500),
        "{:?}",
        begun.elapsed()
    );
    assert!(process.0.wait().unwrap().success());
}

#[test]
fn pkt_size_cuts_messages() {
    let (entry, middle) = (free(), free());
    let _sender = start(&mut relay(&[
        &format!("udp://{entry}"),
        &format!("srt://{middle}?mode=listener&{LATENCY}&pkt_size=376"),
    ]));
    let player = thread::spawn(move || {
        let end = Instant::now() + PATIENCE;
        let socket = loop {
            match srt_safe::SrtSocket::connect(middle) {
                Ok(socket) => break socket,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
        };
        let mut buffer = [0; 1456];
        let mut lengths: Vec<usize> = (0..40).map(|_| socket.recv(&mut buffer).unwrap()).collect();
        lengths.drain(..lengths.iter().position(|length| *length == 188).unwrap() + 1);
        lengths
    });
    send_until(entry, plain, || player.is_finished());
    let lengths = player.join().unwrap();
    assert_eq!(lengths[..8], [376, 376, 376, 188, 376, 376, 376, 188]);
}
