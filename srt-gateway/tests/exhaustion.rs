//! A gateway that runs out of a resource keeps working, reports it, and recovers by itself.

mod http;

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    io::{BufRead as _, BufReader, ErrorKind, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use http::{PATIENCE, Running, wait_until};
use rustix::{
    param::clock_ticks_per_second,
    process::{Pid, Resource, Rlimit, getrlimit, prlimit},
};
use srt_safe::{Options, RejectCode, SrtSocket, StreamId};

/// How long a probe may take, whatever else is open.
const PROBE: Duration = Duration::from_millis(100);

/// The fastest of many probes: a loaded machine makes some late, while a gateway in which they queue makes all late.
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
    // Everything else is served as well, and clients with a request under way are left alone.
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

/// The last message of a [`Flow`].
const END: u64 = u64::MAX;

/// Numbered messages from a publisher to a viewer, each checked to follow the previous one.
struct Flow {
    stop: Arc<AtomicBool>,
    publisher: JoinHandle<(SrtSocket, u64)>,
    viewer: JoinHandle<u64>,
}

impl Flow {
    /// Connects both, and returns once the first message has arrived.
    fn start(gateway: &Running) -> Self {
        // Messages that a busy machine delays must not be dropped as too late.
        let connect = |streamid| {
            let options = Options::new()
                .latency(Duration::from_secs(3))
                .stream_id(StreamId::new(streamid).unwrap());
            SrtSocket::builder()
                .options(options)
                .connect(gateway.srt)
                .unwrap()
        };
        let (publisher, viewer) = (connect("#!::r=a,m=publish"), connect("#!::r=a,m=request"));
        gateway.wait_sessions(2);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (arrived, first) = std::sync::mpsc::channel();
        let viewer = thread::spawn(move || {
            viewer.set_recv_timeout(Some(PATIENCE)).unwrap();
            let mut next = received(&viewer) + 1;
            arrived.send(()).unwrap();
            loop {
                match received(&viewer) {
                    END => return next,
                    number => assert_eq!(number, next, "messages are missing or repeated"),
                }
                next += 1;
            }
        });
        let publisher = thread::spawn(move || {
            let mut number = 0;
            while !stopped.load(Relaxed) {
                publisher.send(&message(number)).unwrap();
                number += 1;
                thread::sleep(Duration::from_millis(10));
            }
            publisher.send(&message(END)).unwrap();
            // Open until the viewer has received everything.
            (publisher, number)
        });
        first.recv_timeout(PATIENCE).expect("the first message arrives");
        Self {
            stop,
            publisher,
            viewer,
        }
    }

    /// Ends it. Returns the number of sent messages, and up to which number they have arrived.
    fn end(self) -> (u64, u64) {
        self.stop.store(true, Relaxed);
        let (_publisher, sent) = self.publisher.join().unwrap();
        (sent, self.viewer.join().unwrap())
    }
}

fn message(number: u64) -> [u8; 1316] {
    let mut message = [0xff; 1316];
    for packet in message.chunks_exact_mut(188) {
        packet[..4].copy_from_slice(&[0x47, 0x1f, 0xff, 0x10]);
    }
    message[4..12].copy_from_slice(&number.to_be_bytes());
    message
}

fn received(viewer: &SrtSocket) -> u64 {
    let mut buffer = [0; 1456];
    assert_eq!(viewer.recv(&mut buffer).expect("the stream goes on"), 1316);
    u64::from_be_bytes(buffer[4..12].try_into().unwrap())
}

fn descriptors(gateway: &Running) -> BTreeSet<u64> {
    let all = fs::read_dir(format!("/proc/{}/fd", gateway.pid())).unwrap();
    all.filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

fn set_descriptor_limit(gateway: &Running, current: Option<u64>) -> Option<u64> {
    let pid = Pid::from_raw(i32::try_from(gateway.pid()).unwrap());
    // The child has inherited our limit.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let old = prlimit(pid, Resource::Nofile, Rlimit { current, maximum });
    old.expect("a child's limit can be set").current
}

fn local_client(gateway: &Running) -> UnixStream {
    let client = UnixStream::connect(gateway.folder.path().join("control.sock")).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

/// Sends a request to the control socket, and returns the line that it answers.
fn ask_locally(mut client: &UnixStream, request: &str) -> String {
    client.write_all(request.as_bytes()).unwrap();
    client.write_all(b"\n").unwrap();
    let mut answer = String::new();
    BufReader::new(client).read_line(&mut answer).unwrap();
    answer
}

/// Sets the limit to the number of open descriptors, and uses up the free ones below it. Returns the old limit and what
/// uses the descriptors.
fn use_up_descriptors(gateway: &Running) -> (Option<u64>, Vec<UnixStream>) {
    let open = descriptors(gateway);
    let limit = (0..).find(|number| !open.contains(number)).unwrap();
    let old = set_descriptor_limit(gateway, Some(limit));
    // A connection of the API may have closed in the meantime.
    let mut filling = Vec::new();
    wait_until("the last descriptor to be taken", || {
        let open = descriptors(gateway);
        if (0..limit).all(|number| open.contains(&number)) {
            return Some(());
        }
        filling.push(local_client(gateway));
        None
    });
    (old, filling)
}

/// The CPU time of the process so far.
fn processor_time(gateway: &Running) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", gateway.pid())).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<_> = fields.split_ascii_whitespace().collect();
    let ticks: u64 = fields[11..13]
        .iter()
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 1000 / clock_ticks_per_second())
}

/// The threads that are currently running or runnable.
fn running_threads(gateway: &Running) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", gateway.pid())).unwrap();
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok())
        .filter_map(|stat| Some(stat.rsplit_once(") R")?.0.to_owned()))
        .collect()
}

/// Fails if a thread of the gateway spins within the next seconds. A thread that never sleeps is found however little
/// CPU time a busy machine leaves it.
fn assert_no_thread_spins(gateway: &Running) {
    let before = processor_time(gateway);
    let begun = Instant::now();
    let mut looks = 0;
    let mut seen_running = HashMap::<String, u32>::new();
    while begun.elapsed() < Duration::from_secs(4) {
        looks += 1;
        for thread in running_threads(gateway) {
            *seen_running.entry(thread).or_default() += 1;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let cores = (processor_time(gateway) - before).as_secs_f64() / begun.elapsed().as_secs_f64();
    seen_running.retain(|_, times| *times > looks / 10 * 8);
    assert!(
        seen_running.is_empty(),
        "in {looks} looks these threads ran: {seen_running:?}"
    );
    assert!(cores < 0.5, "the gateway takes {cores} of a core");
}

#[test]
fn without_descriptors_streams_go_on_callers_are_refused_and_nothing_spins() {
    let gateway = Running::start("", "[streams.a]");
    let flow = Flow::start(&gateway);
    let known = local_client(&gateway);
    ask_locally(&known, r#"{"command":"status"}"#);

    let (limit, filling) = use_up_descriptors(&gateway);
    let waiting = local_client(&gateway);
    (&waiting).write_all(b"{\"command\":\"status\"}\n").unwrap();
    // More than the descriptors that the API reserves for probes.
    let api_clients: Vec<_> = (0..8).map(|_| TcpStream::connect(gateway.api).unwrap()).collect();
    assert_no_thread_spins(&gateway);
    let refused = wait_until("a refusal", || gateway.call("#!::r=a,m=request").map(drop).err());
    assert_eq!(
        refused.reject_reason().and_then(|reason| reason.code()),
        Some(RejectCode::OVERLOAD)
    );
    wait_until("the reason in the record", || {
        let rejections = ask_locally(&known, r#"{"command":"rejections","after":0}"#);
        rejections.contains("out of file descriptors").then_some(())
    });
    for _ in 0..20 {
        gateway.ask("GET", "/healthz").is(200);
        gateway.ask("GET", "/readyz").is(200);
    }

    set_descriptor_limit(&gateway, limit);
    let mut answer = String::new();
    BufReader::new(&waiting).read_line(&mut answer).unwrap();
    assert!(answer.contains("\"streams\""), "{answer}");
    wait_until("the whole API", || {
        (gateway.ask("GET", "/api/v1/streams").status == 200).then_some(())
    });
    let second = wait_until("a new viewer", || gateway.call("#!::r=a,m=request").ok());
    second.set_recv_timeout(Some(PATIENCE)).unwrap();
    received(&second);
    let (sent, arrived) = flow.end();
    assert_eq!(arrived, sent);
    drop((filling, api_clients));
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
    // Some room for work under way.
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

/// A memory control group for the test. Removed on drop, when its processes have ended.
struct MemoryGroup(PathBuf);

impl MemoryGroup {
    /// Fails if none can be created: without root, or if the control groups are read-only.
    fn new(limit: u64) -> Self {
        let (root, key) = match Path::new("/sys/fs/cgroup/memory") {
            one if one.is_dir() => (one, "memory.limit_in_bytes"),
            _ => (Path::new("/sys/fs/cgroup"), "memory.max"),
        };
        let group = root.join(format!("srt-gateway-test-{}", std::process::id()));
        let needs = "this test needs root and control groups that it can write to";
        fs::create_dir(&group).unwrap_or_else(|error| panic!("{group:?}: {error}: {needs}"));
        let group = Self(group);
        // If this fails, there is no limit, and the next line fails.
        drop(fs::write(root.join("cgroup.subtree_control"), "+memory"));
        let limited = fs::write(group.0.join(key), limit.to_string());
        limited.unwrap_or_else(|error| panic!("{key} of {:?}: {error}: {needs}", group.0));
        group
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // The kernel may take a moment after the last process.
        let end = Instant::now() + PATIENCE;
        while fs::remove_dir(&self.0).is_err() && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Viewers that read nothing, so that the gateway holds seconds of the stream for each, started from several threads.
/// Returns the admitted ones, and how many were refused for lack of memory.
fn burst_of_viewers(gateway: &Running, count: usize) -> (Vec<SrtSocket>, usize) {
    let srt = gateway.srt;
    let call = || {
        let options = Options::new()
            .latency(Duration::from_secs(4))
            .connect_timeout(PATIENCE)
            .flow_window(64)
            .receive_buffer(64 * 1472)
            .stream_id(StreamId::new("#!::r=a,m=request").unwrap());
        SrtSocket::builder().options(options).connect(srt)
    };
    let called: Vec<_> = thread::scope(|scope| {
        let callers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| (0..count / 8).map(|_| call()).collect::<Vec<_>>()))
            .collect();
        callers
            .into_iter()
            .flat_map(|caller| caller.join().unwrap())
            .collect()
    });
    let (mut viewers, mut refused) = (Vec::new(), 0);
    for outcome in called {
        match outcome {
            Ok(viewer) => viewers.push(viewer),
            Err(error) => {
                let code = error.reject_reason().and_then(|reason| reason.code());
                assert_eq!(code, Some(RejectCode::OVERLOAD), "{error}");
                refused += 1;
            }
        }
    }
    (viewers, refused)
}

#[test]
fn in_a_small_control_group_a_burst_of_callers_ends_no_stream() {
    // So that pages of the binary do not count for the group.
    fs::read(http::BINARY).unwrap();
    let group = MemoryGroup::new(96 << 20);
    let mut gateway = Running::start_in(&group.0, "", "[streams.a]");
    let flow = Flow::start(&gateway);
    let (viewers, refused) = burst_of_viewers(&gateway, 120);
    assert!(!viewers.is_empty() && refused > 0, "{} {refused}", viewers.len());
    // Until the buffers of the admitted ones are full.
    thread::sleep(Duration::from_millis(4500));
    assert_eq!(gateway.status(), None, "it has run out of memory");
    let (sent, arrived) = flow.end();
    assert_eq!(arrived, sent);
    let rejections = gateway.ask("GET", "/api/v1/rejections").is(200).text();
    assert!(rejections.contains("memory limit"), "{rejections}");
    drop(viewers);
    wait_until("a new viewer", || gateway.call("#!::r=a,m=request").ok());
    drop(gateway);
}

#[test]
fn clients_that_read_no_answer_take_little_memory_and_delay_no_probe() {
    // Names of 200 bytes, so that the metrics have megabytes.
    let name = |number: usize| format!("s{number}{}", "x".repeat(200));
    let stream = |number| {
        format!(
            "[streams.{:?}]\noutputs = [\"udp://127.0.0.1:9\"]\n",
            name(number)
        )
    };
    let gateway = Running::start("", &(0..150).map(stream).collect::<String>());
    let length = wait_until("the figures", || {
        let length = gateway.ask("GET", "/metrics").is(200).body.len();
        (length > 2 << 20).then_some(length)
    });
    let before = resident_kib(&gateway);
    let mut clients: Vec<_> = (0..200).map(|_| gateway.raw("")).collect();
    for mut client in &clients {
        client
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        client.set_nonblocking(true).unwrap();
    }
    let waits = |client: &mut TcpStream| {
        let peeked = client.peek(&mut [0]);
        peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    // If they were served in turn, a probe would wait until nearly all answers are there.
    let (begin, mut slowest, mut peak) = (Instant::now(), Duration::ZERO, before);
    wait_until("all answers", || {
        let asked = Instant::now();
        gateway.ask("GET", "/healthz").is(200);
        slowest = slowest.max(asked.elapsed());
        peak = peak.max(resident_kib(&gateway));
        clients.retain_mut(waits);
        clients.is_empty().then_some(())
    });
    let all = begin.elapsed();
    assert!(
        slowest * 2 < all,
        "a probe took {slowest:?} beside 200 answers that took {all:?}"
    );
    // Of the 700 MB requested.
    assert!(
        peak < before + (256 << 10),
        "{before} KiB before, {peak} at the peak, answers of {length} bytes"
    );
}

fn resident_kib(gateway: &Running) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.split_ascii_whitespace().next().unwrap().parse().unwrap()
}

/// A slow viewer, so that the gateway holds seconds of the stream for it.
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
