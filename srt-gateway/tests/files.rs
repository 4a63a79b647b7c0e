//! Misbehaving files: FIFOs, a hanging file system, a full disk. They affect only their own input or output.

mod peers;
mod process;

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use peers::{
    Call, MESSAGE, Sink, Source, assert_contiguous, endpoint, gateway, port, wait_for, wait_state, wait_until,
};
use process::{Mount, Process};
use srt_gateway::{EndpointState, Role};

const PUBLISH: &str = "#!::r=a,m=publish";
const PLAY: &str = "#!::r=a,m=request";

fn fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

#[test]
fn a_fifo_is_not_opened_and_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    fifo(&path);
    let relay = gateway(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\n[streams.a]\n[streams.b]\ninputs = [\"file://{0}\"]\noutputs = [\"file://{0}\"]\n\
         [streams.c]\ninputs = [\"file://{1}\"]\n",
        path.display(),
        folder.path().display()
    ));
    let _source = Source::publish(1, port(&relay), &Call::named(PUBLISH));
    let sink = Sink::play(port(&relay), &Call::named(PLAY));
    sink.wait_more(200);
    assert_contiguous(&sink.finish(), 200);
    for (at, what) in [(0, "a FIFO"), (1, "a folder")] {
        let why = wait_for("the reason", || {
            endpoint(&relay, Role::Publisher, at)?.last_failure
        });
        assert!(why.contains(what), "{why}");
    }
}

/// A stream of `seconds` with a clock reference every 20 ms, 26 packets (2 Mb/s) apart.
fn clocked(seconds: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..seconds * 50 * 26 {
        let counter = u8::try_from(number % 16).unwrap();
        let mut packet = if number % 26 == 0 {
            let base = number / 26 * 1_800;
            let mut packet = vec![0x47, 0x01, 0x00, 0x30 | counter, 7, 0x10];
            packet.extend(&(base << 15 | 0x7e00).to_be_bytes()[2..]);
            packet
        } else {
            vec![0x47, 0x01, 0x00, 0x10 | counter]
        };
        packet.extend(number.to_be_bytes());
        packet.resize(188, 0xaa);
        bytes.extend(packet);
    }
    bytes
}

#[test]
fn a_fifo_is_read_and_written_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fifo(&from);
    fifo(&to);
    let relay = gateway(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\n[streams.a]\ninputs = [\"file://{}?special=true&loop=true\"]\n\
         outputs = [\"file://{}?special=true\"]\n",
        from.display(),
        to.display()
    ));
    // Open while no process writes.
    wait_state(&relay, Role::Publisher, 0, EndpointState::Silent);
    let sent = clocked(2);
    let mut reader = fs::OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap())
        .open(&to)
        .unwrap();
    let received = thread::spawn(move || {
        let mut received = Vec::<u8>::new();
        wait_until("most of what was sent", || {
            let mut buffer = [0; 1 << 16];
            if let Ok(length) = reader.read(&mut buffer) {
                received.extend(&buffer[..length]);
            }
            received.len() >= 150 * 1316
        });
        received
    });
    // One process after the other.
    for half in sent.chunks(sent.len() / 2) {
        let mut writer = fs::OpenOptions::new().write(true).open(&from).unwrap();
        writer.write_all(half).unwrap();
    }
    let received = received.join().unwrap();
    assert!(received.len() % 188 == 0, "{}", received.len());
    assert!(
        received
            .chunks(188)
            .all(|packet| sent.chunks(188).any(|sent| sent == packet))
    );
    wait_state(&relay, Role::Publisher, 0, EndpointState::Silent);
}

#[test]
fn a_small_file_without_clock_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (at, references) in [0, 1].into_iter().enumerate() {
        let path = folder.path().join(format!("{at}.ts"));
        let packets = clocked(1);
        let packets = packets.chunks(188).enumerate();
        let kept = packets.filter(|(number, _)| number % 26 != 0 || number / 26 < references);
        fs::write(
            &path,
            kept.flat_map(|(_, packet)| packet).copied().collect::<Vec<_>>(),
        )
        .unwrap();
        let relay = gateway(&format!(
            "[srt]\nport = \"127.0.0.1:0\"\n[streams.a]\ninputs = [\"file://{}?loop=true\"]\n",
            path.display()
        ));
        wait_state(&relay, Role::Publisher, 0, EndpointState::Failed);
        let why = endpoint(&relay, Role::Publisher, 0)
            .unwrap()
            .last_failure
            .unwrap();
        assert!(why.contains("clock"), "{why}");
    }
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

#[test]
fn a_file_system_that_hangs_freezes_no_other_output() {
    let mut relay = Process::start(&Mount::Hung, |folder| {
        let folder = folder.display();
        format!(
            "[srt]\nport = \"127.0.0.1:0\"\n[streams.a]\noutputs = [\"file://{folder}/mount/a.ts\", \"file://{folder}/a.ts\"]\n\
             [streams.b]\ninputs = [\"file://{folder}/mount/b.ts\"]\n"
        )
    });
    let port = relay.port();
    let source = Source::publish(1, port, &Call::named(PUBLISH));
    let viewer = Sink::play(port, &Call::named(PLAY));
    let recorded = relay.folder.path().join("a.ts");
    wait_until("the other recording", || size(&recorded) > 1 << 20);
    let mut stalled = [relay.line("stalled"), relay.line("stalled")];
    stalled.sort_by_key(|line| line.contains("/b.ts"));
    assert!(
        stalled[0].contains("/mount/a.ts") && stalled[1].contains("/mount/b.ts"),
        "{stalled:?}"
    );
    let before = size(&recorded);
    wait_until("more of it", || size(&recorded) > before + (1 << 19));
    viewer.wait_more(100);
    assert_contiguous(&viewer.finish(), 100);
    drop(source);
    let (took, status) = relay.terminate();
    assert!(
        took < Duration::from_secs(10) && status.success(),
        "{took:?} {status}: {:#?}",
        relay.seen
    );
    assert_eq!(size(&recorded) % MESSAGE as u64, 0);
}

#[test]
fn a_full_disk_leaves_whole_packets_and_no_empty_files() {
    let mut relay = Process::start(&Mount::Small(400), |folder| {
        format!(
            "[srt]\nport = \"127.0.0.1:0\"\n[streams.a]\noutputs = [\"file://{}/mount/%s.ts\"]\n",
            folder.display()
        )
    });
    let port = relay.port();
    let _source = Source::publish(1, port, &Call::named(PUBLISH));
    for _ in 0..3 {
        relay.line("No space left");
    }
    let mut lengths = Vec::new();
    wait_until("the files to be looked at", || {
        let Ok(files) = fs::read_dir(relay.inside("mount")) else {
            return false;
        };
        lengths = files.map(|file| size(&file.unwrap().path())).collect();
        // A file that has just been started is empty for half a second.
        !lengths.is_empty() && !lengths.contains(&0)
    });
    assert!(
        lengths.iter().all(|length| length % MESSAGE as u64 == 0),
        "{lengths:?}"
    );
    let (took, status) = relay.terminate();
    assert!(
        took < Duration::from_secs(10) && status.success(),
        "{took:?} {status}"
    );
}
