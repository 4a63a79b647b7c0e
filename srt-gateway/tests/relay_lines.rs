//! Command lines of srt-live-transmit, passed to `relay`: each is accepted, or refused at once with the name of the
//! problem.

#[path = "../../tests/support/ports.rs"]
#[allow(unreachable_pub, reason = "a part of the test support")]
mod ports;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

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

fn free() -> u16 {
    ports::free_udp().port()
}

fn relay() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_srt-gateway"));
    command.arg("relay").env_remove("RUST_LOG");
    command
}

/// `PORT` and `DIR` in a command line stand for a free port and an empty folder.
fn words(line: &str, folder: &Path) -> Vec<String> {
    let line = line.replace("PORT", &free().to_string());
    let line = line.replace("DIR", folder.to_str().unwrap());
    line.split(' ').map(str::to_owned).collect()
}

/// Nobody calls and nobody sends: `-t:1` ends each in order. srt-live-transmit does not write data where it writes statistics.
const ACCEPTED: [&str; 34] = [
    "-t:1 srt://:PORT file://con",
    "-t 1 srt://:PORT file://con",
    "-timeout:1 srt://:PORT file://con",
    "-to:1 srt://:PORT file://con",
    "-t:1 -tm:0 srt://:PORT file://con",
    "-t:1 -timeout-mode:1 srt://:PORT file://con",
    "srt://:PORT file://con -t:1",
    "-t:1 -a:no srt://:PORT file://con",
    "-t:1 -auto:yes srt://:PORT file://con",
    "-t:1 -autoreconnect:off srt://:PORT file://con",
    "-t:1 -c:1316 srt://:PORT file://con",
    "-t:1 -chunk:1456 srt://:PORT file://con",
    "-t:1 -r:1000 -s:1000 -pf:default srt://:PORT udp://127.0.0.1:PORT",
    "-t:1 -s:0 -r:0 srt://:PORT udp://127.0.0.1:PORT",
    "-t:1 -stats-report-frequency:100 -statspf:csv -statsout:DIR/stats srt://:PORT udp://127.0.0.1:PORT",
    "-t:1 -s:100 -pf:json -f srt://:PORT udp://127.0.0.1:PORT",
    "-t:1 -bwreport:100 -fullstats srt://:PORT udp://127.0.0.1:PORT",
    "-t:1 -st:no -buffering:10 srt://:PORT file://con",
    "-t:1 -q srt://:PORT file://con",
    "-t:1 -v srt://:PORT udp://127.0.0.1:PORT",
    "-t:1 -quiet -verbose srt://:PORT udp://127.0.0.1:PORT",
    "-t:1 -loglevel:debug -v srt://:PORT udp://127.0.0.1:PORT",
    "-t:1 -ll:note -lfa:conn,sockmgmt srt://:PORT file://con",
    "-t:1 -ll:crit -logfa:all srt://:PORT file://con",
    "-t:1 -ll:warning -logfile:DIR/log srt://:PORT file://con",
    "-t:1 srt://:PORT?mode=server&latency=200&transtype=live&congestion=live file://con",
    "-t:1 srt://:PORT?rcvlatency=300&peerlatency=0 file://con",
    "-t:1 srt://:PORT?pbkeylen=0&iptos=0xb8&ipttl=32 file://con",
    "-t:1 srt://:PORT?passphrase=0123456789&pbkeylen=32&enforcedencryption=no file://con",
    "-t:1 srt://127.0.0.1:PORT?mode=listener&blocking=0&payloadsize=1316 file://con",
    "-t:1 srt://127.0.0.1:PORT?mode=client&conntimeo=500&peeridletimeo=4000&minversion=1.3.0 file://con",
    "-t:1 udp://:PORT?iptos=0xb8&ttl=3 file://con",
    "-t:1 udp://@239.9.9.9:PORT?adapter=127.0.0.1 srt://127.0.0.1:PORT",
    "-version",
];

#[test]
fn command_lines_of_srt_live_transmit_are_accepted() {
    let [folder, other] = [0; 2].map(|_| tempfile::tempdir().unwrap());
    let start = |mut command: Command, line: &'static str, folder: &Path| {
        let command = command.args(words(line, folder));
        // A pipe that stays open, because the end of the input would end the relay.
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        (line, Peer(child.spawn().unwrap()))
    };
    let running: Vec<_> = (ACCEPTED.into_iter())
        .flat_map(|line| {
            [
                start(relay(), line, folder.path()),
                start(live_transmit(), line, other.path()),
            ]
        })
        .collect();
    for (line, mut peer) in running {
        wait_success(&mut peer, line);
    }
    assert!(folder.path().join("stats").exists());
}

/// Refused at once with exit code 2, and the text on standard error.
const REFUSED: [(&str, &str); 27] = [
    ("srt://:PORT", "OUTPUTS"),
    (
        "-loglevl:debug srt://:PORT -",
        "no option -loglevl: did you mean -loglevel?",
    ),
    (
        "-chunksize:1316 srt://:PORT -",
        "no option -chunksize: did you mean -chunk?",
    ),
    ("-taoc:1 srt://:PORT -", "no option -taoc"),
    ("-k srt://:PORT -", "'-k'"),
    ("-t:soon srt://:PORT -", "invalid value 'soon' for '--timeout"),
    ("-tm:2 srt://:PORT -", "invalid value '2' for '--timeout-mode"),
    ("-c:1500 srt://:PORT -", "invalid value '1500' for '--chunk"),
    (
        "-a:maybe srt://:PORT -",
        "invalid value 'maybe' for '--auto-reconnect",
    ),
    ("-s:often srt://:PORT -", "invalid value 'often' for '--stats"),
    ("-pf:xml srt://:PORT -", "invalid value 'xml' for '--stats-format"),
    ("-ll:loud srt://:PORT -", "invalid value 'loud' for '--log-level"),
    (
        "-lfa:conn,nothing srt://:PORT -",
        "invalid value 'nothing' for '--log-areas",
    ),
    (
        "srt://:PORT?transtype=file -",
        "parameter transtype of the URL: must be \"live\"",
    ),
    (
        "srt://:PORT?congestion=file -",
        "parameter congestion of the URL: must be live",
    ),
    ("srt://:PORT?latncy=200 -", "latncy"),
    ("srt://:PORT?rcvlatency=soon -", "rcvlatency"),
    ("srt://:PORT?peerlatency=-5 -", "peerlatency"),
    ("srt://:PORT?iptos=0x1b8 -", "iptos"),
    ("udp://:PORT?iptos=0x1b8 -", "iptos"),
    ("srt://:PORT?mode=sender -", "parameter mode of the URL: must be"),
    ("srt://:PORT?passphrase=short -", "passphrase"),
    ("srt://:PORT?pbkeylen=17 -", "key_length"),
    ("srt://:PORT?maxbw=much -", "maxbw"),
    ("srt://:PORT?tlpktdrop=perhaps -", "tlpktdrop"),
    ("http://127.0.0.1:PORT -", "begins with srt://"),
    ("- udp://:PORT", "must have a host to send to"),
];

#[test]
fn wrong_command_lines_are_refused_at_once_with_the_name_of_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    for (line, wanted) in REFUSED {
        let mut command = relay();
        command.args(words(line, folder.path())).stdin(Stdio::null());
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {told}");
        assert!(told.contains(wanted), "{line}: {told}");
    }
}

fn sample() -> Vec<u8> {
    let message = |number: u32| [0x47].into_iter().chain(number.to_be_bytes()).cycle().take(1316);
    (0..400).flat_map(message).collect()
}

fn wait_bytes(path: &Path, wanted: &[u8], line: &str) {
    let end = Instant::now() + PATIENCE;
    while !fs::read(path).is_ok_and(|bytes| bytes == wanted) {
        assert!(Instant::now() < end, "{line}: not all has arrived");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Options and parameters for both programs.
const CARRYING: [(&str, &str); 4] = [
    ("-c:1316 -a:no -st:yes", "rcvlatency=1500&peerlatency=1500"),
    (
        "-chunk:1316 -a:no -ll:error -lfa:conn",
        "latency=1500&transtype=live&congestion=live",
    ),
    (
        "-chunk:1316 -a:no -buffering:10",
        "latency=1500&passphrase=0123456789&pbkeylen=32&iptos=0xb8",
    ),
    (
        "-chunk:1316 -a:no -s:100 -pf:json -statsout:/dev/null",
        "latency=1500&pbkeylen=0&payloadsize=1316",
    ),
];

/// Starts a caller and feeds it. srt-live-transmit discards what it reads before it is connected, and what it has not
/// sent at the end of its input, so it is fed once it reports the connection, and its input stays open.
fn feed(mut command: Command, bytes: &[u8]) -> Peer {
    let mut sender = Peer(
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let stderr = BufReader::new(sender.0.stderr.take().unwrap());
    let (tell, lines) = mpsc::channel();
    // Keeps reading after the test stops listening: the program must not wait for room in the pipe.
    thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            drop(tell.send(line));
        }
    });
    let is_live_transmit = command.get_program() == "srt-live-transmit";
    while is_live_transmit && lines.recv_timeout(PATIENCE).unwrap() != "SRT target connected" {}
    let mut stdin = sender.0.stdin.take().unwrap();
    stdin.write_all(bytes).unwrap();
    stdin.flush().unwrap();
    if is_live_transmit {
        sender.0.stdin = Some(stdin);
    }
    sender
}

fn wait_success(peer: &mut Peer, line: &str) {
    let end = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = peer.0.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < end, "{line}: it did not end");
        thread::sleep(Duration::from_millis(10));
    };
    let mut told = String::new();
    if let Some(mut stderr) = peer.0.stderr.take() {
        stderr.read_to_string(&mut told).unwrap();
    }
    assert!(status.success(), "{line}: {status}: {told}");
}

/// One program is the receiver and the other the sender, with the same options and parameters. The receiver ends in
/// order when the sender leaves, because of `-a:no`.
fn carries(receiver: fn() -> Command, sender: fn() -> Command) {
    let bytes = sample();
    for (options, parameters) in CARRYING {
        let folder = tempfile::tempdir().unwrap();
        let (port, path) = (free(), folder.path().join("out"));
        let mut command = receiver();
        command
            .args(options.split(' '))
            .args([
                &format!("srt://127.0.0.1:{port}?mode=listener&{parameters}"),
                "file://con",
            ])
            .stdin(Stdio::null())
            .stdout(fs::File::create(&path).unwrap())
            .stderr(Stdio::null());
        let mut receiver = Peer(command.spawn().unwrap());
        let mut command = sender();
        let to = format!("srt://127.0.0.1:{port}?{parameters}");
        command.args(options.split(' ')).args(["-v", "file://con", &to]);
        let mut sender = feed(command, &bytes);
        if sender.0.stdin.is_some() {
            wait_bytes(&path, &bytes, options);
            drop(sender);
        } else {
            wait_success(&mut sender, options);
        }
        wait_success(&mut receiver, options);
        // srt-live-transmit writes the rest when it ends.
        wait_bytes(&path, &bytes, options);
    }
}

fn live_transmit() -> Command {
    Command::new("srt-live-transmit")
}

#[test]
fn relay_receives_from_srt_live_transmit_with_the_same_words() {
    carries(relay, live_transmit);
}

#[test]
fn relay_sends_to_srt_live_transmit_with_the_same_words() {
    carries(live_transmit, relay);
}

#[test]
fn timeout_does_not_wait_for_a_call_that_nobody_answers() {
    let begun = Instant::now();
    let status = relay()
        .args(["-t:1", "-tm:1", &format!("udp://:{}", free())])
        // A blackhole: the call would take 60 s.
        .arg(format!("srt://127.0.0.1:{}?conntimeo=60000", free()))
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn log_file_has_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.log");
    let output = relay()
        .args(["-t:1", &format!("-logfile:{}", path.display())])
        .args([&format!("srt://:{}", free()), "file://con"])
        .output()
        .unwrap();
    let log = fs::read_to_string(path).unwrap();
    assert!(log.contains("relaying") && !log.contains('\u{1b}'), "{log}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
