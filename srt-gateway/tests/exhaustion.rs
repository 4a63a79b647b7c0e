//! A gateway that runs out of something goes on with what it has, says so, and recovers by itself.

mod http;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use http::{PATIENCE, Running, wait_until};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use srt_safe::{Options, RejectCode, SrtSocket, StreamId};

/// What a probe may take, whatever else is open.
const PROBE: Duration = Duration::from_millis(100);

/// Of many probes, how long the quickest took: a loaded machine makes some late, a gateway in which they queue all.
fn quickest_probe(gateway: &Running) -> Duration {
    let probes = (0..20).map(|turn| {
        let begun = Instant::now();
        gateway
            .ask("GET", if turn % 2 == 0 { "/healthz" } else { "/readyz" })
            .is(200);
        begun.elapsed()
    });
    probes.min().unwrap()
}

#[test]
fn probes_are_answered_at_once_whatever_connections_are_open() {
    let gateway = Running::start("", "[streams.a]");
    let live = gateway.raw("GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut live = BufReader::new(live).lines();
    let mut next_event = move || {
        let is_data = |line: &String| line.starts_with("data: ");
        live.by_ref()
            .map(Result::unwrap)
            .find(is_data)
            .expect("the stream of events goes on");
    };
    next_event();
    let silent: Vec<_> = (0..1500)
        .map(|_| TcpStream::connect(gateway.api).unwrap())
        .collect();
    let slow: Vec<_> = (0..100)
        .map(|_| gateway.raw("GET / HTTP/1.1\r\nHost: "))
        .collect();
    let quickest = quickest_probe(&gateway);
    assert!(quickest < PROBE, "{quickest:?}");
    // Everything else is served as well, and who has a request under way is left alone.
    gateway.ask("GET", "/api/v1/streams").is(200);
    next_event();
    next_event();
    drop((silent, slow));
}

/// Sends and receives a few messages.
fn flows(publisher: &SrtSocket, viewer: &SrtSocket) {
    viewer.set_recv_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 1456];
    for _ in 0..20 {
        publisher.send(&[0x47; 1316]).unwrap();
        assert_eq!(viewer.recv(&mut buffer).unwrap(), 1316);
    }
}

#[test]
fn near_the_memory_limit_streams_go_on_and_new_callers_are_refused() {
    let gateway = Running::start("", "[streams.a]");
    let publisher = gateway.call("#!::r=a,m=publish").unwrap();
    let viewer = gateway.call("#!::r=a,m=request").unwrap();
    gateway.wait_sessions(2);
    flows(&publisher, &viewer);
    let pid = Pid::from_raw(i32::try_from(gateway.pid()).unwrap());
    let set = |current| {
        let limit = Rlimit {
            current,
            maximum: None,
        };
        prlimit(pid, Resource::As, limit).expect("a child's limit can be set");
    };
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let size = status
        .lines()
        .find_map(|line| line.strip_prefix("VmSize:"))
        .unwrap();
    let size: u64 = size.split_ascii_whitespace().next().unwrap().parse().unwrap();
    // Some room for what is under way.
    set(Some(size * 1024 / 100 * 104));
    let refused = wait_until("a refusal", || gateway.call("#!::r=a,m=request").map(drop).err());
    assert_eq!(
        refused.reject_reason().and_then(|reason| reason.code()),
        Some(RejectCode::OVERLOAD)
    );
    flows(&publisher, &viewer);
    gateway.ask("GET", "/healthz").is(200);
    set(None);
    let second = wait_until("a new viewer", || gateway.call("#!::r=a,m=request").ok());
    flows(&publisher, &second);
    let rejections = gateway.ask("GET", "/api/v1/rejections").is(200).text();
    assert!(rejections.contains("memory limit"), "{rejections}");
}

fn resident_kib(gateway: &Running) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.split_ascii_whitespace().next().unwrap().parse().unwrap()
}

/// A viewer that takes little, so that the gateway keeps seconds of the stream for it.
fn slow_viewer(gateway: &Running) -> SrtSocket {
    let options = Options::new()
        .latency(Duration::from_secs(8))
        .flow_window(64)
        .receive_buffer(64 * 1472)
        .stream_id(StreamId::new("#!::r=a,m=request").unwrap());
    SrtSocket::builder()
        .options(options)
        .connect(gateway.srt)
        .unwrap()
}

#[test]
fn memory_of_sessions_that_have_ended_goes_back_to_the_system() {
    if !cfg!(target_env = "gnu") {
        return;
    }
    let gateway = Running::start("", "[streams.a]");
    let publisher = Arc::new(gateway.call("#!::r=a,m=publish").unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let (sender, stopped) = (Arc::clone(&publisher), Arc::clone(&stop));
    let sending = thread::spawn(move || {
        while !stopped.load(Relaxed) {
            sender.send(&[0x47; 1316]).unwrap();
            // 4 Mb/s.
            thread::sleep(Duration::from_micros(2600));
        }
    });
    let warm: Vec<_> = (0..4).map(|_| slow_viewer(&gateway)).collect();
    thread::sleep(Duration::from_secs(2));
    drop(warm);
    let before = resident_kib(&gateway);
    let viewers: Vec<_> = (0..60).map(|_| slow_viewer(&gateway)).collect();
    let mut peak = before;
    wait_until("the viewers' buffers to fill", || {
        peak = peak.max(resident_kib(&gateway));
        (peak > before + (60 << 10)).then_some(())
    });
    drop(viewers);
    let mut least = peak;
    let end = Instant::now() + Duration::from_secs(75);
    let wanted = before + (peak - before) / 4;
    while least > wanted && Instant::now() < end {
        peak = peak.max(resident_kib(&gateway));
        least = least.min(resident_kib(&gateway));
        thread::sleep(Duration::from_millis(200));
    }
    stop.store(true, Relaxed);
    sending.join().unwrap();
    assert!(
        least <= wanted,
        "{before} KiB before, {peak} at the peak, {least} a minute after"
    );
}
