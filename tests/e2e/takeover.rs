//! A publisher that takes over and leaves before the source has let go: the source goes on.

use crate::common::{ANY_STREAM, DEADLINE, PLAY, PUBLISH, options};
use srt_e2e::client::{Publisher, Viewer, connect};
use srt_e2e::gateway::GatewayProcess;
use srt_e2e::pace::Tail;
use srt_e2e::peers::Process;
use srt_e2e::source::{StampedTs, contiguous_part};
use srt_gateway::config::PortKind;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{ChildStdin, Command};

const MEGABITS_5: u64 = 5_000_000;

/// Bytes of a second.
const SECOND: usize = 5_000_000 / 8;

/// Stops one thread of another process with ptrace until its standard input ends. A tracer that exits lets its threads go on.
const STOP_THREAD: &str = r"
import ctypes, os, sys
SEIZE, INTERRUPT, WALL = 0x4206, 0x4207, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
thread = int(sys.argv[1])
for request in (SEIZE, INTERRUPT):
    if libc.ptrace(request, thread, None, None) != 0:
        sys.exit(f'ptrace: {os.strerror(ctypes.get_errno())}')
os.waitpid(thread, WALL)
print('stopped', flush=True)
sys.stdin.read()
";

/// A thread that does not run until this is dropped.
struct Stopped {
    tracer: Process,
    stdin: Option<ChildStdin>,
}

impl Stopped {
    #[track_caller]
    fn named(name: &str, process: u32) -> Self {
        let threads = fs::read_dir(format!("/proc/{process}/task")).expect("threads of a running process");
        let thread = threads
            .map(|thread| thread.expect("a thread").path())
            .find(|path| fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name))
            .unwrap_or_else(|| panic!("no thread {name}"));
        let mut command = Command::new("python3");
        command
            .args(["-c", STOP_THREAD])
            .arg(thread.file_name().expect("its number"));
        let (tracer, stdin) = Process::spawn_fed("tracer", command);
        tracer.wait_for_line(DEADLINE, "a stopped thread", |line| line == "stopped");
        Self {
            tracer,
            stdin: Some(stdin),
        }
    }

    fn resume(mut self) {
        self.stdin = None;
        self.tracer.wait_success(DEADLINE);
    }
}

/// Ends a session over the API.
#[track_caller]
fn end_session(gateway: &mut GatewayProcess, id: u32) {
    let line = gateway
        .process()
        .wait_for_line(DEADLINE, "the API", |line| line.contains("console at http://"));
    let api = line
        .split("http://")
        .nth(1)
        .and_then(|rest| rest.split('/').next());
    let api = api.expect("an address follows");
    let mut connection = TcpStream::connect(api).expect("the API listens");
    let request =
        format!("DELETE /api/v1/sessions/{id} HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\n\r\n");
    connection
        .write_all(request.as_bytes())
        .expect("the API takes a request");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("the API answers");
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
}

#[test]
fn a_source_goes_on_when_the_publisher_that_takes_over_has_left() {
    let config = format!(
        "{ANY_STREAM}duplicate_publisher = \"takeover\"\n[gateway]\nworkers = 1\n[api]\nlisten = \"127.0.0.1:0\"\n"
    );
    let mut gateway = GatewayProcess::start(&config, "console at");
    let addr = gateway.addr(PortKind::Both);
    let source = StampedTs::generate(90, 60_000, MEGABITS_5);
    let _publisher = Publisher::connect(
        addr,
        PUBLISH,
        options(),
        (source.bytes(), MEGABITS_5, Tail::NullPackets),
    );
    let viewer = Viewer::connect(addr, PLAY, options());
    viewer.wait_received(SECOND / 4, DEADLINE);
    let second = connect(addr, PUBLISH, options()).expect("it may take over");
    gateway
        .process()
        .wait_for_line(DEADLINE, "the second publisher", |line| {
            line.contains("session=3") && line.contains("standby=true")
        });

    // The control thread learns that the second one has data while the relay's thread stands still: the order to let go and
    // the end of the second one wait for that thread, in this order.
    let process = gateway.process().id();
    let control = Stopped::named("control", process);
    for chunk in StampedTs::generate(91, 700, MEGABITS_5)
        .bytes()
        .chunks_exact(1316)
    {
        second.send(chunk).expect("it is connected");
    }
    // A latency and more: the relay has what was sent.
    viewer.wait_received(viewer.len() + SECOND, DEADLINE);
    let relay = Stopped::named("relay-0", process);
    control.resume();
    end_session(&mut gateway, 3);
    relay.resume();

    gateway
        .process()
        .wait_for_line(DEADLINE, "the source that goes on", |line| {
            line.contains("stays the source of the stream")
        });
    viewer.wait_received(viewer.len() + SECOND, DEADLINE);
    let received = viewer.finish();
    let part = contiguous_part(&source.bytes(), &received.bytes);
    assert!(part.len() >= 2 * SECOND, "{part:?}");
}
