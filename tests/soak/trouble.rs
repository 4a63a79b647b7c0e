//! All activity beside the reference stream. One thread per kind; each counts its actions.

use std::{
    fmt,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use srt_e2e::{client::connect, rng::Rng};
use srt_safe::{Options, SrtSocket};

/// The gateway's addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) srt: SocketAddr,
    pub(crate) api: SocketAddr,
}

#[derive(Debug, Default)]
struct Counts {
    sessions: AtomicU64,
    silent: AtomicU64,
    changes: AtomicU64,
    idle_connections: AtomicU64,
    datagrams: AtomicU64,
    inductions: AtomicU64,
}

/// Counts of the actions.
#[derive(Debug)]
pub(crate) struct Work(Arc<Counts>);

impl Work {
    pub(crate) fn counts(&self) -> [(&'static str, u64); 6] {
        let counts = &self.0;
        [
            ("sessions that came and went", &counts.sessions),
            ("viewers that read nothing", &counts.silent),
            ("requests to the API", &counts.changes),
            ("silent connections to the API", &counts.idle_connections),
            ("random datagrams", &counts.datagrams),
            ("handshakes that nobody finished", &counts.inductions),
        ]
        .map(|(what, count)| (what, count.load(Relaxed)))
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("trouble:")?;
        for (what, count) in self.counts() {
            write!(f, " {count} {what};")?;
        }
        Ok(())
    }
}

/// The running trouble.
#[derive(Debug)]
pub(crate) struct Trouble {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

type Kind = fn(Target, u64, &Counts);

impl Trouble {
    pub(crate) fn start(target: Target) -> Self {
        let (stop, counts) = (Arc::<AtomicBool>::default(), Arc::<Counts>::default());
        let kinds: [Kind; 6] = [
            come_and_go,
            read_nothing,
            use_api,
            idle_at_api,
            send_rubbish,
            begin_handshakes,
        ];
        let threads = kinds.map(|kind| {
            let (stop, counts) = (Arc::clone(&stop), Arc::clone(&counts));
            thread::spawn(move || {
                for turn in 0.. {
                    if stop.load(Relaxed) {
                        return;
                    }
                    kind(target, turn, &counts);
                }
            })
        });
        Self {
            stop,
            counts,
            threads: threads.into(),
        }
    }

    pub(crate) fn end(self) -> Work {
        self.stop.store(true, Relaxed);
        for thread in self.threads {
            thread.join().expect("no trouble panics");
        }
        Work(self.counts)
    }
}

/// None: the hook was unavailable, or there was no room, which is part of the trouble.
fn call(target: Target, stream: &str, mode: &str) -> Option<SrtSocket> {
    let options = Options::new()
        .latency(Duration::from_millis(200))
        .payload_size(1316);
    connect(target.srt, &format!("#!::r={stream},m={mode}"), options).ok()
}

fn come_and_go(target: Target, turn: u64, counts: &Counts) {
    let stream = format!("churn-{}", turn % 7);
    let Some(publisher) = call(target, &stream, "publish") else {
        return;
    };
    let viewers: Vec<_> = (0..2).filter_map(|_| call(target, &stream, "request")).collect();
    for _ in 0..50 {
        // Either side may have been disconnected.
        publisher.send(&[0x47; 1316]).unwrap_or_default();
        thread::sleep(Duration::from_millis(2));
    }
    counts.sessions.fetch_add(1 + viewers.len() as u64, Relaxed);
}

fn read_nothing(target: Target, _: u64, counts: &Counts) {
    let viewers: Vec<_> = (0..8)
        .filter_map(|_| call(target, "innocent", "request"))
        .collect();
    thread::sleep(Duration::from_secs(1));
    counts.silent.fetch_add(viewers.len() as u64, Relaxed);
}

/// The status of the answer; None: no complete answer arrived.
fn ask(api: SocketAddr, method: &str, path: &str, body: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(api).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

fn use_api(target: Target, turn: u64, counts: &Counts) {
    let stream = format!("/api/v1/streams/soak-{}", turn % 5);
    let body = format!("{{\"max_viewers\": {}}}", turn % 90 + 1);
    for (method, path, body) in [
        ("PUT", stream.as_str(), body.as_str()),
        ("GET", "/metrics", ""),
        ("GET", "/api/v1/sessions", ""),
        ("DELETE", stream.as_str(), ""),
    ] {
        let answered = ask(target.api, method, path, body).is_some_and(|status| status < 500);
        counts.changes.fetch_add(u64::from(answered), Relaxed);
    }
    // Reads half of the live figures.
    if let Ok(mut live) = TcpStream::connect(target.api) {
        drop(live.write_all(b"GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        thread::sleep(Duration::from_millis(200));
    }
}

fn idle_at_api(target: Target, _: u64, counts: &Counts) {
    let open: Vec<_> = (0..100)
        .filter_map(|_| TcpStream::connect(target.api).ok())
        .collect();
    thread::sleep(Duration::from_secs(2));
    counts.idle_connections.fetch_add(open.len() as u64, Relaxed);
}

fn send_rubbish(target: Target, turn: u64, counts: &Counts) {
    let Ok(socket) = UdpSocket::bind("127.0.0.1:0") else {
        return;
    };
    let mut rng = Rng::new(turn);
    for _ in 0..200 {
        let length = usize::try_from(rng.next_u64() % 1456).unwrap_or(16);
        let datagram: Vec<u8> = (0..length).map(|_| rng.next_u64().to_le_bytes()[0]).collect();
        let sent = socket.send_to(&datagram, target.srt).is_ok();
        counts.datagrams.fetch_add(u64::from(sent), Relaxed);
    }
    thread::sleep(Duration::from_millis(100));
}

/// Handshakes that request a cookie and never use it.
fn begin_handshakes(target: Target, turn: u64, counts: &Counts) {
    let Ok(socket) = UdpSocket::bind("127.0.0.1:0") else {
        return;
    };
    let mut rng = Rng::new(!turn);
    for _ in 0..50 {
        let mut datagram = [0; 64];
        // A control packet of type 0 for socket 0; version 4, type 2, and an induction: 1.
        datagram[0] = 0x80;
        datagram[19] = 4;
        datagram[23] = 2;
        datagram[24..28].copy_from_slice(&rng.next_u64().to_be_bytes()[..4]);
        datagram[30..32].copy_from_slice(&1500_u16.to_be_bytes());
        datagram[34..36].copy_from_slice(&8192_u16.to_be_bytes());
        datagram[39] = 1;
        datagram[40..44].copy_from_slice(&rng.next_u64().to_be_bytes()[..4]);
        let sent = socket.send_to(&datagram, target.srt).is_ok();
        counts.inductions.fetch_add(u64::from(sent), Relaxed);
    }
    thread::sleep(Duration::from_millis(50));
}
