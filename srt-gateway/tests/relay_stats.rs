//! Statistics of `relay` in srt-live-transmit's format, compared with the output of the installed srt-live-transmit.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use srt_safe::SrtSocket;

const PATIENCE: Duration = Duration::from_secs(30);

/// A process that is killed when dropped.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        // The process may have ended already.
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

fn free() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn relay() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_srt-gateway"));
    command.arg("relay");
    command
}

/// Runs a receiver with `options` until it has written `reports` reports, each of which begins with `mark`, and returns
/// its output.
fn written(mut command: Command, options: &str, mark: &str, reports: usize) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (out, at) = (folder.path().join("stats"), free());
    let _receiver = Peer(
        command
            .args(options.split(' '))
            .args([format!("srt://:{}", at.port()), format!("udp://{}", free())])
            .stdout(fs::File::create(&out).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let is_over = Arc::new(AtomicBool::new(false));
    let sender = thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || {
            while !is_over.load(Relaxed) {
                // It does not listen yet: the next call may be answered.
                let Ok(socket) = SrtSocket::builder().connect(at) else {
                    continue;
                };
                while !is_over.load(Relaxed) && socket.send(&[0x47; 1316]).is_ok() {
                    thread::sleep(Duration::from_millis(2));
                }
            }
        }
    });
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let end = Instant::now() + PATIENCE;
    while read(&out).lines().filter(|line| line.starts_with(mark)).count() <= reports && Instant::now() < end
    {
        thread::sleep(Duration::from_millis(20));
    }
    is_over.store(true, Relaxed);
    sender.join().unwrap();
    read(&out)
}

/// The names of all members, in order, with the names of their parents.
fn names(json: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut group = String::new();
    for word in json.split_inclusive(['{', '}', ',']) {
        if let Some((name, value)) = word.trim_start_matches('{').split_once("\":") {
            let name = name.trim_start_matches('"').to_owned();
            if value.starts_with('{') {
                group = format!("{name}.");
            } else {
                names.push(format!("{group}{name}"));
            }
        }
        if word.ends_with('}') {
            group.clear();
        }
    }
    names
}

/// The text without numbers and their signs.
fn words(text: &str) -> Vec<String> {
    let is_number = |word: &str| {
        word.trim_start_matches('-')
            .starts_with(|c: char| c.is_ascii_digit())
    };
    let unit = |word: &str| {
        word.trim_start_matches(|c: char| c.is_ascii_digit() || ".-e+".contains(c))
            .to_owned()
    };
    text.split_whitespace()
        .map(|word| {
            if is_number(word) {
                unit(word)
            } else {
                word.to_owned()
            }
        })
        .collect()
}

#[test]
fn json_has_the_fields_of_srt_live_transmit() {
    let options = "-q -s:50 -pf:json";
    let theirs = written(Command::new("srt-live-transmit"), options, "{\"sid\"", 2);
    let ours = written(relay(), options, "{\"sid\"", 2);
    let [theirs, ours] = [&theirs, &ours].map(|text| text.lines().nth(1).unwrap());
    assert_eq!(names(ours), names(theirs), "{ours}\n{theirs}");
    let [theirs, ours] = [theirs, ours].map(|text| serde_json::from_str::<Value>(text).unwrap());
    for record in [&theirs, &ours] {
        // Since the last report, including headers.
        let packets = record["recv"]["packets"].as_u64().unwrap();
        assert!((20..2_000).contains(&packets), "{record}");
        assert_eq!(record["recv"]["bytes"], packets * 1_360, "{record}");
        assert_eq!(record["recv"]["msTsbPdDelay"], 120, "{record}");
    }
    let form = |record: &Value| {
        record["timepoint"]
            .as_str()
            .unwrap()
            .replace(|c: char| c.is_ascii_digit(), "0")
    };
    let is_alike = |theirs: String, ours: String| theirs.len() == ours.len() && ours.contains('T');
    assert!(is_alike(form(&theirs), form(&ours)), "{theirs} {ours}");
}

#[test]
fn full_statistics_are_totals() {
    let text = written(relay(), "-q -s:50 -pf:json -f", "{\"sid\"", 3);
    let packets: Vec<_> = (text.lines().take(3))
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["recv"]["packets"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert!(
        packets.is_sorted() && packets[2] >= packets[0] + 100,
        "{packets:?}"
    );
}

#[test]
fn csv_has_the_columns_of_srt_live_transmit() {
    let options = "-q -s:50 -pf:csv";
    let theirs = written(Command::new("srt-live-transmit"), options, "20", 1);
    let ours = written(relay(), options, "20", 1);
    assert_eq!(ours.lines().next(), theirs.lines().next());
    let columns = |text: &str| text.lines().nth(1).unwrap().split(',').count();
    assert_eq!(columns(&ours), ours.lines().next().unwrap().split(',').count());
    assert_eq!(columns(&ours), columns(&theirs));
}

#[test]
fn text_has_the_words_of_srt_live_transmit() {
    let options = "-q -s:50 -pf:default";
    let mark = "======= SRT STATS";
    let theirs = written(Command::new("srt-live-transmit"), options, mark, 2);
    let ours = written(relay(), options, mark, 2);
    let first = |text: &str| words(text.split(mark).nth(1).unwrap());
    let without_id = |mut words: Vec<String>| {
        assert!(words.remove(1).starts_with("sid="));
        words
    };
    assert_eq!(
        without_id(first(&ours)),
        without_id(first(&theirs)),
        "{ours}\n{theirs}"
    );
}
