//! SIGTERM ends the process, whatever hangs: standard error, a FIFO, a viewer, a hook, a file system.

mod peers;
mod process;

use std::{
    fs,
    io::{PipeReader, Write as _, pipe},
    net::{SocketAddr, TcpListener, UdpSocket},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use peers::{Call, Sink, Source, assert_contiguous, wait_until};
use process::{Mount, PATIENCE, Process};
use rustix::{
    fs::{OFlags, fcntl_setfl},
    pipe::fcntl_setpipe_size,
    process::{Pid, Signal, kill_process},
};
use srt_safe::{Options, SrtSocket, StreamId};

const PUBLISH: &str = "#!::r=a,m=publish";
const PLAY: &str = "#!::r=a,m=request";

/// It has 3 s; the machine that runs the tests may be busy.
const SOON: Duration = Duration::from_secs(10);

fn free() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[track_caller]
fn ends_soon(mut gateway: Process) -> Vec<String> {
    let (took, status) = gateway.terminate();
    let seen = std::mem::take(&mut gateway.seen);
    assert!(took < SOON && status.success(), "{took:?} {status}: {seen:#?}");
    seen
}

/// A pipe that accepts no more data.
fn full_pipe() -> (PipeReader, Stdio) {
    let (reader, mut writer) = pipe().unwrap();
    fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'.'; 1]).is_ok() {}
    fcntl_setfl(&writer, OFlags::empty()).unwrap();
    (reader, writer.into())
}

#[test]
fn a_standard_error_that_nobody_reads_holds_up_nobody() {
    let (_reader, stderr) = full_pipe();
    let addr = free();
    let config = format!("[log]\nlevel = \"debug\"\n[srt]\nport = \"{addr}\"\n[streams.a]\n");
    let gateway = Process::start_with(&Mount::None, |_| config, Some(stderr));
    let _source = Source::publish(1, addr, &Call::named(PUBLISH));
    for _ in 0..2 {
        let sink = Sink::play(addr, &Call::named(PLAY));
        sink.wait_more(200);
        assert_contiguous(&sink.finish(), 200);
    }
    ends_soon(gateway);
}

#[test]
fn a_fifo_that_nobody_reads_holds_up_no_end() {
    let mut gateway = Process::start(&Mount::None, |folder| {
        let made = Command::new("mkfifo").arg(folder.join("fifo")).status().unwrap();
        assert!(made.success());
        format!(
            "[srt]\nport = \"127.0.0.1:0\"\n[streams.a]\noutputs = [\"file://{}/fifo?special=true\"]\n",
            folder.display()
        )
    });
    let port = gateway.port();
    let fifo = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(gateway.folder.path().join("fifo"));
    let _source = Source::publish(1, port, &Call::named(PUBLISH));
    let sink = Sink::play(port, &Call::named(PLAY));
    // More than the FIFO holds.
    sink.wait_more(400);
    assert_contiguous(&sink.finish(), 400);
    ends_soon(gateway);
    drop(fifo);
}

#[test]
fn a_viewer_that_acknowledges_nothing_holds_up_no_end() {
    let mut gateway = Process::start(&Mount::None, |_| {
        "[srt]\nport = \"127.0.0.1:0\"\n[streams.a]\n".to_owned()
    });
    let port = gateway.port();
    let _source = Source::publish(1, port, &Call::named(PUBLISH));
    let mut viewer = Command::new(env!("CARGO_BIN_EXE_srt-gateway"))
        .args([
            "relay",
            &format!("srt://{port}?streamid={PLAY}"),
            "file:///dev/null",
        ])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    gateway.line("role=viewer");
    kill_process(Pid::from_child(&viewer), Signal::STOP).unwrap();
    let sink = Sink::play(port, &Call::named(PLAY));
    sink.wait_more(400);
    drop(sink);
    ends_soon(gateway);
    viewer.kill().unwrap();
    viewer.wait().unwrap();
}

#[test]
fn a_hook_that_does_not_answer_holds_up_no_end() {
    let hook = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", hook.local_addr().unwrap());
    let mut gateway = Process::start(&Mount::None, |_| {
        format!(
            "[srt]\nport = \"127.0.0.1:0\"\n[streams_default]\naccept_unknown = true\n[auth]\nurl = \"{url}\"\ntimeout = \"20s\"\n\
             [events]\nurl = \"{url}\"\n"
        )
    });
    let port = gateway.port();
    let caller = thread::spawn(move || {
        let options = Options::new()
            .stream_id(StreamId::new(PLAY).unwrap())
            .connect_timeout(Duration::from_secs(5));
        drop(SrtSocket::builder().options(options).connect(port));
    });
    // It is asked, and does not answer.
    let asked = hook.accept().unwrap();
    ends_soon(gateway);
    caller.join().unwrap();
    drop(asked);
}

#[test]
fn nothing_is_opened_again_at_the_end() {
    let [input, rtp_input, output] = [free(), free(), free()];
    let mut gateway = Process::start(&Mount::None, |folder| {
        let folder = folder.display();
        format!(
            "[srt]\nport = \"127.0.0.1:0\"\n[streams.a]\ninputs = [\"udp://{input}\"]\noutputs = [\"udp://{output}\", \
             \"file://{folder}/a.ts\"]\n[streams.b]\ninputs = [\"rtp://{rtp_input}\"]\noutputs = [\"rtp://{output}\"]\n"
        )
    });
    for _ in 0..5 {
        gateway.line(" open session=");
    }
    // A connection that was open for a second is made again at once when it breaks.
    thread::sleep(Duration::from_millis(1500));
    let seen = ends_soon(gateway);
    let ending = seen.iter().position(|line| line.contains("shutting down"));
    let after = &seen[ending.expect("it says that it ends")..];
    assert!(!after.iter().any(|line| line.contains(" open ")), "{after:#?}");
    let closed = after
        .iter()
        .filter(|line| line.contains("closed: the gateway shuts down"));
    assert_eq!(closed.count(), 5, "{after:#?}");
}

/// Runs until it ends, after SIGTERM.
#[track_caller]
fn terminated(mut relay: Child) -> (Option<i32>, String) {
    let asked = Instant::now();
    kill_process(Pid::from_child(&relay), Signal::TERM).unwrap();
    let status = loop {
        if let Some(status) = relay.try_wait().unwrap() {
            break status;
        }
        if asked.elapsed() > PATIENCE {
            relay.kill().unwrap();
            panic!("it did not end");
        }
        thread::sleep(Duration::from_millis(5));
    };
    let said = std::io::read_to_string(relay.stderr.take().unwrap()).unwrap();
    (status.code(), said)
}

/// Waits until the relay's output sleeps in a kernel function whose name contains `place`.
fn wait_for_output_in(relay: &Child, place: &str, mut feed: impl FnMut()) {
    let tasks = format!("/proc/{}/task", relay.id());
    wait_until(place, || {
        feed();
        let tasks = fs::read_dir(&tasks).into_iter().flatten().flatten();
        let read = |task: &fs::DirEntry, file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let mut outputs = tasks.filter(|task| read(task, "comm").trim() == "relay-out");
        outputs.any(|task| read(&task, "wchan").contains(place))
    });
}

#[test]
fn a_file_system_that_hangs_before_a_relay_has_opened_its_output_holds_up_no_end() {
    let folder = tempfile::tempdir().unwrap();
    let script = "exec 9<>/dev/fuse && mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 hung \"$1\" && exec \"$2\" relay \
                  \"$3\" \"$1/out.ts\"";
    let relay = Command::new("unshare")
        .args(["-m", "sh", "-c", script, "sh"])
        .arg(folder.path())
        .arg(env!("CARGO_BIN_EXE_srt-gateway"))
        .arg(format!("udp://{}", free()))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_output_in(&relay, "fuse", || {});
    let (code, said) = terminated(relay);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn what_does_not_end_is_ended_by_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    // It is open for reading, and nobody reads.
    let fifo = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    fcntl_setpipe_size(&fifo, 4096).unwrap();
    let input = free();
    let relay = Command::new(env!("CARGO_BIN_EXE_srt-gateway"))
        .args(["relay", &format!("udp://{input}")])
        .arg(&path)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let feeder = UdpSocket::bind("127.0.0.1:0").unwrap();
    wait_for_output_in(&relay, "pipe_write", || {
        feeder.send_to(&[0x47; 1316], input).ok();
    });
    let (code, said) = terminated(relay);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("exiting now"), "{said}");
}
