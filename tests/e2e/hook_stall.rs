//! Proves that a slow hook delays no other stream: while it takes two seconds for each of two hundred callers, another
//! stream on the same port continues undisturbed.

use crate::common::{DEADLINE, options};
use srt_e2e::client::connect;
use srt_e2e::http::{HttpServer, Reply, Request};
use srt_e2e::in_process::TestGateway;
use srt_e2e::pace::{Feeder, Tail};
use srt_e2e::ports::free_udp;
use srt_e2e::source::{StampedTs, Verifier};
use srt_e2e::wait::wait_until;
use srt_gateway::config::PortKind;
use srt_safe::{Connecting, ErrorKind, Options, Progress, SourceTime, SrtListener, SrtSocket, StreamId};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const CALLERS: usize = 200;

/// The hook's response time for each of them.
const SLOW: Duration = Duration::from_secs(2);

/// The largest gap that the gateway may add, on a machine that adds none itself.
const GAP: Duration = Duration::from_millis(20);

/// So short that a delay of the gateway's receiving thread beyond [`GAP`] cannot hide in a receiver's buffer.
const LATENCY: Duration = Duration::from_millis(20);

const RATE: u64 = 5_000_000;

/// On a loaded machine a thread may be late regardless of the gateway: by up to twice the gap that the same stream had
/// before the calls, or in one run more than in another. A gateway that waits for the hook fails every time, and by
/// seconds.
const TRIES: usize = 8;

/// The time between two calls: two hundred handshakes within a millisecond occupy libsrt's receiving thread longer than
/// [`GAP`], with or without a hook.
const APART: Duration = Duration::from_millis(5);

/// The result of one run.
#[derive(Debug)]
struct Run {
    /// The largest gap between two messages beyond that between the same two at the source; None: something was lost.
    added: Option<Duration>,
    /// The same before the calls: the delay of the machine itself.
    quiet: Option<Duration>,
    admitted: usize,
    /// From the first call to the last admission.
    took: Duration,
    /// The maximum number of concurrent hook calls.
    at_once: usize,
}

#[test]
fn two_hundred_callers_of_a_slow_hook_stall_nobody() {
    if !SrtListener::can_defer() {
        return;
    }
    let mut runs = Vec::new();
    for seed in 0..TRIES {
        let run = run(seed as u64);
        assert_eq!(run.admitted, CALLERS, "{run:?}");
        // One after the other they would take 400 s.
        assert!(run.took >= SLOW && run.took < DEADLINE, "{run:?}");
        assert!(run.at_once > CALLERS / 2, "{run:?}");
        let limit = run.quiet.map_or(GAP, |quiet| GAP.max(quiet * 2).min(SLOW / 4));
        let good = run.added.is_some_and(|added| added <= limit);
        runs.push(run);
        if good {
            return;
        }
    }
    panic!("in no run was the added gap small and nothing lost: {runs:?}");
}

fn stream_of(request: &Request) -> bool {
    request.text().contains(r#""stream":"live/demo""#)
}

fn run(seed: u64) -> Run {
    let open = Arc::new(Mutex::new((0_usize, 0_usize)));
    let counted = Arc::clone(&open);
    let hook = HttpServer::start(move |request| {
        if stream_of(request) {
            return Reply::ok("{}");
        }
        let counted = Arc::clone(&counted);
        let mut open = counted.lock().unwrap_or_else(PoisonError::into_inner);
        open.0 += 1;
        open.1 = open.1.max(open.0);
        drop(open);
        thread::spawn(move || {
            thread::sleep(SLOW);
            counted.lock().unwrap_or_else(PoisonError::into_inner).0 -= 1;
        });
        Reply::After(SLOW, 200, "{}".to_owned())
    });
    let gateway = TestGateway::start(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\nlatency = {}\n[streams_default]\naccept_unknown = true\n\
         [auth]\nurl = {:?}\ntimeout = \"20s\"\n",
        LATENCY.as_millis(),
        hook.url("/auth")
    ));
    let addr = gateway.addr(PortKind::Both);
    let quick = || options().latency(LATENCY);
    let viewer = connect(addr, "#!::r=live/demo,m=request", quick()).unwrap();
    let publisher = Arc::new(connect(addr, "#!::r=live/demo,m=publish", quick()).unwrap());

    let source = StampedTs::generate(seed, 60 * 3_325, RATE);
    let sent = Arc::new(Mutex::new(Vec::new()));
    let (stamps, sender) = (Arc::clone(&sent), Arc::clone(&publisher));
    let feeder = Feeder::start(source.bytes(), RATE, Tail::Close, move |chunk| {
        stamps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Instant::now());
        sender.send(chunk).map(drop).map_err(std::io::Error::from)
    });
    let receiver = Receiver::start(viewer);
    wait_until(DEADLINE, "the stream to flow", || receiver.len() > 100);

    let until = sent.lock().unwrap().len() + 950;
    wait_until(DEADLINE, "two quiet seconds", || receiver.len() >= until);
    let quiet = added_gap(
        &source,
        &receiver.got.lock().unwrap(),
        &sent.lock().unwrap(),
        until,
    );
    let begin = Instant::now();
    let admitted = call_all(addr);
    let took = begin.elapsed();
    // Everything sent so far must arrive, unless it is lost.
    let until = sent.lock().unwrap().len();
    let patience = Instant::now() + Duration::from_secs(2);
    wait_until(DEADLINE, "the rest of the stream", || {
        receiver.len() >= until || Instant::now() > patience
    });
    let received = receiver.finish();
    feeder.stop();
    let added = added_gap(&source, &received, &sent.lock().unwrap(), until);
    let at_once = open.lock().unwrap().1;
    Run {
        added,
        quiet,
        admitted,
        took,
        at_once,
    }
}

/// The largest gap in addition to the source's own.
fn added_gap(source: &StampedTs, received: &Stamped, sent: &[Instant], until: usize) -> Option<Duration> {
    let mut verifier = Verifier::new(source);
    verifier.feed(&received.bytes);
    let report = verifier.finish();
    assert_eq!(
        (report.corrupt, report.reordered, report.duplicates),
        (0, 0, 0),
        "{report:?}"
    );
    let whole = report.lost == 0
        && report.places.map(|places| *places.start()) == Some(0)
        && received.stamps.len() >= until;
    if !whole {
        return None;
    }
    let gaps = received.stamps.windows(2).zip(sent.windows(2));
    let added = gaps.map(|(received, sent)| {
        let at_source = sent[1].saturating_duration_since(sent[0]);
        received[1]
            .saturating_duration_since(received[0])
            .saturating_sub(at_source)
    });
    added.max()
}

/// Two hundred viewers, each of its own stream, which connect within a second; returns how many were admitted.
fn call_all(addr: std::net::SocketAddr) -> usize {
    let local = free_udp();
    let caller = |n| {
        let id = StreamId::new(format!("#!::r=other/{n},m=request")).unwrap();
        let options = Options::new().latency(LATENCY).connect_timeout(DEADLINE);
        let builder = SrtSocket::builder().options(options).stream_id(id).bind(local);
        builder.start_connect(addr).unwrap()
    };
    let (begin, mut calls) = (Instant::now(), (0..CALLERS).peekable());
    let mut calling: Vec<Connecting> = Vec::new();
    let mut admitted = Vec::new();
    wait_until(DEADLINE, "two hundred answers", || {
        let due = |n: &usize| begin.elapsed() >= APART * u32::try_from(*n).unwrap_or(0);
        calling.extend(std::iter::from_fn(|| calls.next_if(due)).map(caller));
        for call in std::mem::take(&mut calling) {
            match call.finish() {
                Ok(Progress::Connected(socket)) => admitted.push(socket),
                Ok(Progress::Pending(call)) => calling.push(call),
                Err(error) => panic!("not admitted: {error}"),
            }
        }
        calling.is_empty() && admitted.len() == CALLERS
    });
    admitted.len()
}

/// The messages that the viewer got, with the time at which the gateway sent each one.
#[derive(Debug, Default)]
struct Stamped {
    bytes: Vec<u8>,
    stamps: Vec<SourceTime>,
}

#[derive(Debug)]
struct Receiver {
    stop: Arc<AtomicBool>,
    got: Arc<Mutex<Stamped>>,
    thread: thread::JoinHandle<()>,
}

impl Receiver {
    fn start(socket: SrtSocket) -> Self {
        let (stop, got) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(Mutex::new(Stamped::default())),
        );
        let (stopped, filled) = (Arc::clone(&stop), Arc::clone(&got));
        socket.set_recv_timeout(Some(Duration::from_millis(100))).unwrap();
        let thread = thread::spawn(move || {
            let mut message = [0; 1456];
            while !stopped.load(Relaxed) {
                match socket.recv_message(&mut message) {
                    Ok((length, info)) => {
                        let sent = info.source_time.expect("libsrt tells when it was sent");
                        let mut got = filled.lock().unwrap();
                        got.bytes.extend_from_slice(&message[..length]);
                        got.stamps.push(sent);
                    }
                    Err(error) if error.kind() == ErrorKind::TimedOut => {}
                    Err(error) => panic!("the viewer was cut off: {error}"),
                }
            }
        });
        Self { stop, got, thread }
    }

    fn len(&self) -> usize {
        self.got.lock().unwrap().stamps.len()
    }

    fn finish(self) -> Stamped {
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap();
        std::mem::take(&mut *self.got.lock().unwrap())
    }
}
