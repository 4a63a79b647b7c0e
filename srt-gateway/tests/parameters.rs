//! The documented SRT parameters on real sockets: each takes effect from a port's table, from `[srt_defaults]`, from a
//! URL, and from the table of an input or output.

mod peers;

use std::{
    net::{SocketAddr, UdpSocket},
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use peers::{Call, PACE, Source, endpoint, gateway, message, port, wait_for, wait_state, wait_until};
use srt_gateway::{EndpointState, Gateway, Role};
use srt_safe::{Options, Passphrase, SocketState, SrtListener, SrtSocket, StreamId, opt};

const SECRET: &str = "9876543210";
const PATIENCE: Duration = Duration::from_secs(10);

/// Parameters as pairs of key and value.
type Keys = &'static [(&'static str, &'static str)];

/// As entries of a TOML table: values that are neither numbers nor TOML words are quoted.
fn entries(keys: Keys, separator: &str) -> String {
    let entry = |(key, value): &(&str, &str)| {
        let bare =
            value.len() < SECRET.len() && value.parse::<f64>().is_ok() || matches!(*value, "true" | "false");
        if bare {
            format!("{key} = {value}")
        } else {
            format!("{key} = {value:?}")
        }
    };
    let entries: Vec<_> = keys.iter().map(entry).collect();
    entries.join(separator)
}

/// As the query of a URL.
fn query(keys: Keys) -> String {
    let pairs: Vec<_> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join("&")
}

/// Configurations with a port of `a` to which the parameters apply: from `[srt_defaults]`, of the global port, of the
/// stream's port.
fn ports(keys: Keys) -> [String; 3] {
    let (lines, inline) = (entries(keys, "\n"), entries(keys, ", "));
    let stream = "[streams.a]\non_source_lost = 0\n";
    [
        format!("[srt_defaults]\n{lines}\n[srt]\nport = \"127.0.0.1:0\"\n{stream}"),
        format!("[srt]\nport = \"127.0.0.1:0\"\n{lines}\n{stream}"),
        format!("{stream}srt = {{ port = \"127.0.0.1:0\", {inline} }}\n"),
    ]
}

/// An input or output that calls `to` with the parameters: in the URL, and in its table.
fn endpoints(keys: Keys, to: SocketAddr) -> [String; 2] {
    [
        format!("[\"srt://{to}?{}\"]", query(keys)),
        format!("[{{ url = \"srt://{to}\", {} }}]", entries(keys, ", ")),
    ]
}

/// The other side's options.
#[derive(Clone, Copy, Debug)]
enum Peer {
    Plain,
    Secret(&'static str),
    /// No passphrase, and accepts that the other side has one.
    Lax,
}

impl Peer {
    fn options(self) -> Options {
        let options = Options::new().latency(Duration::from_millis(20));
        match self {
            Self::Plain => options,
            Self::Secret(secret) => options.passphrase(Passphrase::new(secret).unwrap()),
            Self::Lax => options.enforced_encryption(false),
        }
    }
}

/// The outcome of a handshake.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// Connected, with this latency for the peer.
    Connected { latency: u64, encrypted: bool },
    /// A caller receives this code; an input or output reports these words.
    Refused(i32, &'static str),
}

use Outcome::{Connected, Refused};

const CLEAR: Outcome = Connected {
    latency: 120,
    encrypted: false,
};

/// Parameters, the peer, and the outcome.
#[rustfmt::skip]
const HANDSHAKES: &[(Keys, Peer, Outcome)] = &[
    (&[], Peer::Plain, CLEAR),
    (&[("latency", "100")], Peer::Plain, Connected { latency: 100, encrypted: false }),
    (&[("latency", "412")], Peer::Plain, Connected { latency: 412, encrypted: false }),
    (&[("minversion", "1.1.0")], Peer::Plain, CLEAR),
    (&[("minversion", "1.4.0")], Peer::Plain, CLEAR),
    // Any possible peer is older than this.
    (&[("minversion", "9.0.0")], Peer::Plain, Refused(1505, "version")),
    (&[("version", "1.3.0"), ("minversion", "1.1.0")], Peer::Plain, Refused(1505, "requires exactly version = 1.3.0")),
    (&[("passphrase", SECRET)], Peer::Secret(SECRET), Connected { latency: 120, encrypted: true }),
    (&[("passphrase", SECRET)], Peer::Secret("another secret"), Refused(10, "passphrase")),
    (&[("passphrase", SECRET)], Peer::Plain, Refused(11, "Password required or unexpected")),
    (&[("passphrase", SECRET), ("enforcedencryption", "true")], Peer::Lax, Refused(11, "Password required or unexpected")),
    (&[("passphrase", SECRET), ("enforcedencryption", "false")], Peer::Lax, CLEAR),
];

fn check(what: &str, outcome: Outcome, connected: &SrtSocket) {
    let Connected { latency, encrypted } = outcome else {
        panic!("{what}: not refused");
    };
    let negotiated = connected.option::<opt::ReceiveLatency>().unwrap();
    assert_eq!(negotiated, Duration::from_millis(latency), "{what}");
    assert_eq!(connected.key_state().unwrap().is_secured(), encrypted, "{what}");
}

#[test]
fn of_a_port_each_decides_about_callers() {
    for (keys, peer, outcome) in HANDSHAKES {
        for toml in ports(keys) {
            let gateway = gateway(&toml);
            let called = SrtSocket::builder()
                .options(peer.options())
                .stream_id(StreamId::new("#!::r=a,m=publish").unwrap())
                .connect_timeout(PATIENCE)
                .connect(port(&gateway));
            let what = format!("{peer:?} at {toml}");
            match (called, *outcome) {
                (Ok(socket), outcome) => check(&what, outcome, &socket),
                (Err(error), Refused(code, _)) => {
                    let told = error.reject_reason().unwrap_or_else(|| panic!("{what}: {error}"));
                    assert_eq!(told.value(), code, "{what}");
                    let kept = wait_for("the record", || gateway.rejections().pop());
                    assert_eq!(kept.code, code, "{what}");
                }
                (Err(error), Connected { .. }) => panic!("{what}: {error}"),
            }
        }
    }
}

/// Each direction has its latency: a publisher's is the gateway's receive latency, a viewer's is its own.
#[test]
fn latency_counts_in_the_direction_of_the_stream() {
    let gateway = gateway("[srt]\nport = \"127.0.0.1:0\"\nmax_latency = 2000\n[streams.a]\n");
    let call = |streamid, receive, send| {
        let options = Options::new()
            .set(opt::ReceiveLatency, Duration::from_millis(receive))
            .set(opt::PeerLatency, Duration::from_millis(send));
        SrtSocket::builder()
            .options(options)
            .stream_id(StreamId::new(streamid).unwrap())
            .connect_timeout(PATIENCE)
            .connect(port(&gateway))
    };
    for (role, streamid, receive, send) in [
        (Role::Publisher, "#!::r=a,m=publish", 9000, 700),
        (Role::Viewer, "#!::r=a,m=request", 700, 9000),
    ] {
        let refused = call(streamid, send, receive).expect_err("above max_latency");
        assert_eq!(
            refused.reject_reason().map(|reason| reason.value()),
            Some(1400),
            "{streamid}"
        );
        let _connected = call(streamid, receive, send).expect(streamid);
        wait_until("the session", || {
            let sessions = gateway.sessions();
            sessions
                .iter()
                .any(|session| session.role == role && session.facts.latency == Duration::from_millis(700))
        });
    }
    // Recorded with the effective latency: both are there.
    assert_eq!(gateway.rejections().len(), 2);
}

#[test]
fn the_version_that_is_demanded_is_let_in() {
    let version = srt_safe::library_version().to_string();
    let own: &'static str = version.leak();
    let keys: Keys = vec![("version", own)].leak();
    for toml in ports(keys) {
        let gateway = gateway(&toml);
        Call::named("#!::r=a,m=publish").connect(port(&gateway));
    }
    let peer = SrtListener::builder().bind("127.0.0.1:0").unwrap();
    for list in endpoints(keys, peer.local_addr().unwrap()) {
        let gateway = gateway(&format!("[streams.a]\ninputs = {list}\n"));
        wait_state(&gateway, Role::Publisher, 0, EndpointState::Live);
    }
}

#[test]
fn of_an_input_each_decides_about_who_is_called() {
    for (keys, peer, outcome) in HANDSHAKES {
        let listener = SrtListener::builder()
            .options(peer.options())
            .bind("127.0.0.1:0")
            .unwrap();
        for list in endpoints(keys, listener.local_addr().unwrap()) {
            let what = format!("{peer:?} for {list}");
            let gateway = gateway(&format!("[streams.a]\ninputs = {list}\n"));
            match *outcome {
                Connected { .. } => {
                    wait_state(&gateway, Role::Publisher, 0, EndpointState::Live);
                    check(&what, *outcome, &listener.accept_timeout(PATIENCE).unwrap().0);
                }
                Refused(_, words) => {
                    let why = wait_for("a failure", || {
                        endpoint(&gateway, Role::Publisher, 0)?.last_failure
                    });
                    assert!(why.contains(words), "{what}: {why}");
                }
            }
        }
    }
}

/// A connection with a `timeout` of one second is closed then, and not before; one without stays.
fn assert_closed_after_a_second(silent_since: Instant, mut is_there: impl FnMut() -> bool) {
    wait_until("the silent connection to be closed", || !is_there());
    let after = silent_since.elapsed();
    let range = Duration::from_millis(900)..Duration::from_millis(2_500);
    assert!(range.contains(&after), "{after:?}");
}

const TIMEOUT: Keys = &[("timeout", "1")];

#[test]
fn timeout_of_a_port_closes_who_is_silent() {
    let unlimited = gateway(&ports(&[("timeout", "-1")])[1]);
    let stays = Call::named("#!::r=a,m=publish").connect(port(&unlimited));
    stays.send(&message(1, 0)).unwrap();
    for toml in ports(TIMEOUT) {
        let gateway = gateway(&toml);
        let socket = Call::named("#!::r=a,m=publish").connect(port(&gateway));
        let begin = Instant::now();
        let mut last = begin;
        for number in 0.. {
            socket.send(&message(1, number)).unwrap();
            last = Instant::now();
            if begin.elapsed() > Duration::from_millis(1_300) {
                break;
            }
            thread::sleep(PACE);
        }
        // Longer than the timeout, with data: it counts from the last data.
        assert_closed_after_a_second(last, || socket.state() == SocketState::Connected);
    }
    assert_eq!(stays.state(), SocketState::Connected);
}

#[test]
fn timeout_of_an_input_closes_it_when_nothing_comes() {
    for place in 0..2 {
        let listener = SrtListener::builder().bind("127.0.0.1:0").unwrap();
        let list = &endpoints(TIMEOUT, listener.local_addr().unwrap())[place];
        let _gateway = gateway(&format!("[streams.a]\ninputs = {list}\n"));
        let (socket, _) = listener.accept_timeout(PATIENCE).unwrap();
        socket.send(&message(1, 0)).unwrap();
        assert_closed_after_a_second(Instant::now(), || socket.state() == SocketState::Connected);
    }
}

#[test]
fn connect_timeout_is_how_long_a_call_lasts() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = silent.local_addr().unwrap();
    let first_failure = |list: &str| {
        let begin = Instant::now();
        let gateway = gateway(&format!("[streams.a]\ninputs = {list}\n"));
        wait_until("a failure", || {
            endpoint(&gateway, Role::Publisher, 0).is_some_and(|input| input.failures > 0)
        });
        begin.elapsed()
    };
    for list in endpoints(&[("connect_timeout", "1")], to) {
        let after = first_failure(&list);
        let range = Duration::from_millis(900)..Duration::from_millis(2_600);
        assert!(range.contains(&after), "{list}: {after:?}");
    }
    for list in endpoints(&[("connect_timeout", "0")], to) {
        let after = first_failure(&list);
        assert!(after >= Duration::from_millis(2_900), "{list}: {after:?}");
    }
}

/// A wire between a caller and its target, one of which is the gateway: traffic to the gateway can be cut, and the time
/// of its last packet is recorded.
struct Wire {
    entry: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    gateway: Side,
    /// Nothing reaches the gateway any more.
    is_cut: AtomicBool,
    begin: Instant,
    /// In microseconds since the start.
    last: AtomicU64,
    stop: AtomicBool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Caller,
    Target,
}

impl Wire {
    fn to(target: SocketAddr, gateway: Side) -> Self {
        let bind = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            socket
        };
        let (outer, inner) = (bind(), bind());
        inner.connect(target).unwrap();
        let entry = outer.local_addr().unwrap();
        let shared = Arc::new(Shared {
            gateway,
            is_cut: AtomicBool::new(false),
            begin: Instant::now(),
            last: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        // The last sender: an earlier call may have given up, or this port may have been another wire's.
        let caller = Arc::new(Mutex::new(None::<SocketAddr>));
        let (there, back) = (Arc::clone(&shared), Arc::clone(&shared));
        let (known, to) = (Arc::clone(&caller), caller);
        let (outer_out, inner_out) = (outer.try_clone().unwrap(), inner.try_clone().unwrap());
        let threads = vec![
            thread::spawn(move || {
                there.carry(Side::Caller, &outer, |packet, from| {
                    *known.lock().unwrap() = Some(from);
                    // A closed target answers with an ICMP error: lost like any other packet.
                    inner_out.send(packet).ok();
                });
            }),
            thread::spawn(move || {
                back.carry(Side::Target, &inner, |packet, _| {
                    let to = *to.lock().unwrap();
                    if let Some(to) = to {
                        outer_out.send_to(packet, to).ok();
                    }
                });
            }),
        ];
        Self {
            entry,
            shared,
            threads,
        }
    }

    fn cut_off(&self) {
        self.shared.is_cut.store(true, SeqCst);
    }

    /// When the gateway last sent something.
    fn last(&self) -> Instant {
        self.shared.begin + Duration::from_micros(self.shared.last.load(SeqCst))
    }
}

impl Shared {
    fn carry(&self, from: Side, socket: &UdpSocket, mut on: impl FnMut(&[u8], SocketAddr)) {
        let mut packet = [0; 2048];
        while !self.stop.load(SeqCst) {
            let Ok((len, peer)) = socket.recv_from(&mut packet) else {
                continue;
            };
            if from == self.gateway {
                let since = u64::try_from(self.begin.elapsed().as_micros()).unwrap();
                self.last.store(since, SeqCst);
            } else if self.is_cut.load(SeqCst) {
                continue;
            }
            on(&packet[..len], peer);
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

/// For how long the gateway keeps sending unsent data after it has closed the connection.
fn lingers(gateway: &Gateway, source: Source, wire: &Wire) -> Duration {
    let sent = || source.sent.load(Relaxed);
    wait_until("data", || sent() > 20);
    // From now on nothing is acknowledged, so there is always unsent data.
    wire.cut_off();
    let before = sent();
    wait_until("unacknowledged data", || sent() > before + 60);
    drop(source);
    let closed = Instant::now();
    wait_until("the end of the sessions", || gateway.sessions().is_empty());
    // Unacknowledged packets are retransmitted several times a second, and a keep-alive is sent every second.
    wait_until("silence", || wire.last().elapsed() > Duration::from_millis(1_500));
    wire.last().saturating_duration_since(closed)
}

/// `linger`, and for how long it sends.
const LINGER: [(Keys, Range<Duration>); 2] = [
    (&[("linger", "0")], Duration::ZERO..Duration::from_millis(900)),
    (
        &[("linger", "2")],
        Duration::from_millis(1_200)..Duration::from_millis(3_800),
    ),
];

/// Asserts a linger in this range. libsrt drops data that is too late, and ends the linger with it, at its own times: a
/// linger that was cut short is measured again, one that is too long never is.
#[track_caller]
fn assert_lingers(what: &str, range: &Range<Duration>, mut once: impl FnMut() -> Duration) {
    let mut seen = Vec::new();
    while seen.len() < 6 {
        let after = once();
        seen.push(after);
        assert!(after < range.end, "{what}: {seen:?}");
        if after >= range.start {
            return;
        }
    }
    panic!("{what}: {seen:?}, none of {range:?}");
}

#[test]
fn linger_of_a_port_is_how_long_unsent_data_is_sent_again() {
    for (keys, range) in LINGER {
        for toml in ports(keys) {
            assert_lingers(&toml, &range, || {
                let gateway = gateway(&toml);
                let wire = Wire::to(port(&gateway), Side::Target);
                let source = Source::publish(1, port(&gateway), &Call::named("#!::r=a,m=publish"));
                let _viewer = Call::named("#!::r=a,m=request").connect(wire.entry);
                lingers(&gateway, source, &wire)
            });
        }
    }
}

#[test]
fn linger_of_an_output_is_how_long_unsent_data_is_sent_again() {
    let listener = SrtListener::builder().bind("127.0.0.1:0").unwrap();
    for (keys, range) in LINGER {
        for place in 0..2 {
            let what = format!("{keys:?} in place {place}");
            assert_lingers(&what, &range, || {
                let wire = Wire::to(listener.local_addr().unwrap(), Side::Caller);
                let list = &endpoints(keys, wire.entry)[place];
                let gateway = gateway(&format!("{}outputs = {list}\n", ports(&[])[1]));
                let source = Source::publish(1, port(&gateway), &Call::named("#!::r=a,m=publish"));
                let _peer = listener.accept_timeout(PATIENCE).unwrap();
                lingers(&gateway, source, &wire)
            });
        }
    }
}
