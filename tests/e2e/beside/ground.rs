//! The gateway, the reference stream, and the values that an attack needs.

use super::Harm;
use crate::common::DEADLINE;
use srt_e2e::gateway::GatewayProcess;
use srt_e2e::http::{HttpServer, Reply};
use srt_e2e::innocent::Innocent;
use srt_e2e::wait::wait_until;
use srt_gateway::config::PortKind;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// All its addresses are local.
pub(super) const NETWORK: &str = "198.51.100.0/24";

/// The latency that most callers request.
const LATENCY: Duration = Duration::from_millis(120);

/// The hook's response time for callers of streams whose name begins with `slow`.
const SLOW: Duration = Duration::from_secs(2);

/// The address number `host` of the network; 0 and 1 (the gateway's) are replaced.
pub(super) fn at(host: u8) -> IpAddr {
    [198, 51, 100, host.clamp(2, 254)].into()
}

/// The target of an attack.
#[derive(Debug)]
pub(super) struct Ground {
    innocent: Innocent,
    pub(super) srt: SocketAddr,
    pub(super) api: SocketAddr,
    /// Dropped last: the gateway ends before its hook does.
    _gateway: GatewayProcess,
    _hook: HttpServer,
}

/// Repeats until it is stopped, and returns its count.
pub(super) type Attack = fn(&Ground, &Until) -> usize;

/// The end of an attack.
#[derive(Debug)]
pub(super) struct Until {
    end: Instant,
    stop: AtomicBool,
}

impl Until {
    /// Waits between two rounds of an attack. False: it is over.
    pub(super) fn goes_on(&self, pause: Duration) -> bool {
        let left = self.end.saturating_duration_since(Instant::now());
        thread::sleep(pause.min(left));
        !left.is_zero() && !self.stop.load(Relaxed)
    }
}

impl Ground {
    pub(super) fn new(with_hook: bool) -> Self {
        let hook = HttpServer::start(|request| {
            if request.text().contains(r#""stream":"slow"#) {
                Reply::After(SLOW, 200, "{}".to_owned())
            } else {
                Reply::ok("{}")
            }
        });
        let mut gateway = GatewayProcess::start(&configuration(with_hook.then_some(&hook)), "console at ");
        let srt = gateway.addr(PortKind::Both);
        let line = gateway
            .process()
            .wait_for_line(DEADLINE, "the API's address", |line| line.contains("console at "));
        let url = line.split("://").nth(1).expect("a URL in the line");
        let api = url.trim_end_matches('/').parse().expect("an address and a port");
        let innocent = Innocent::start(srt, LATENCY);
        wait_until(DEADLINE, "the innocent stream to flow", || {
            innocent.received() > 400
        });
        Self {
            innocent,
            srt,
            api,
            _gateway: gateway,
            _hook: hook,
        }
    }

    /// Runs the reference stream beside `attack` for `time`.
    pub(super) fn under(&self, attack: Attack, time: Duration) -> Harm {
        drop(self.innocent.take());
        let until = Until {
            end: Instant::now() + time,
            stop: AtomicBool::new(false),
        };
        let (healthz, work) = thread::scope(|scope| {
            let attacker = scope.spawn(|| attack(self, &until));
            let mut probes = Vec::new();
            while until.goes_on(Duration::from_millis(100)) {
                probes.push(self.healthz());
            }
            until.stop.store(true, Relaxed);
            (
                median(probes),
                attacker.join().expect("an attacker does not panic"),
            )
        });
        // Packets in flight at the end of the attack were attacked as well.
        thread::sleep(3 * LATENCY);
        Harm::of(&self.innocent.take(), healthz, work)
    }

    fn healthz(&self) -> Option<Duration> {
        let begun = Instant::now();
        let mut stream = TcpStream::connect_timeout(&self.api, DEADLINE).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).ok()?;
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.starts_with("HTTP/1.1 200 ").then(|| begun.elapsed())
    }
}

/// The median; None: at least half of the values are None.
fn median(mut probes: Vec<Option<Duration>>) -> Option<Duration> {
    probes.sort_unstable_by_key(|took| took.unwrap_or(Duration::MAX));
    probes.get(probes.len() / 2).copied().flatten()
}

fn configuration(hook: Option<&HttpServer>) -> String {
    let name = Innocent::STREAM;
    let hook = hook.map_or_else(String::new, |hook| {
        format!("[auth]\nurl = {:?}\ntimeout = \"10s\"\n", hook.url("/auth"))
    });
    format!(
        "[srt]\nport = \"198.51.100.1:0\"\ngroupconnect = true\n\
         [api]\nlisten = \"127.0.0.1:0\"\n{hook}\
         [streams_default]\naccept_unknown = true\n\
         [streams.{name}]\n\
         [streams.secret]\npublish_passphrase = [\"first secret phrase\", \"second secret phrase\"]\n\
         play_passphrase = [\"third secret phrase\", \"fourth secret phrase\"]\n"
    )
}
