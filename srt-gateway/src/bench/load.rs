//! Runs one load: connects, sends and receives, and reads the server's resource use before and after.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use srt_safe::{
    Connecting, Epoll, Events, Interest, Options, Passphrase, Progress, ReaderTiming, SocketId, SrtSocket,
    Trigger, opt,
};

use super::{
    Result,
    figures::{Connects, Cost, Figures, Quantiles},
    histogram::Histogram,
    plan::{Load, MESSAGE, Target, stream_id},
    receive::{Audience, Received, Shared, receive},
    send::{Sent, send},
    server::Usage,
};

/// Concurrent calls.
const CALLS: usize = 64;

/// A call that is not answered by then has failed.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// How long calls are repeated to a server that was just started.
const START_LIMIT: Duration = Duration::from_secs(10);

/// How long the last messages may take to arrive.
const TAIL_LIMIT: Duration = Duration::from_secs(3);

/// The requested UDP buffer size; the system may grant less.
const UDP_BUFFER: u32 = 8 << 20;

/// Runs `load` against `target` and measures.
///
/// # Errors
/// The server cannot be reached, /proc cannot be read, or libsrt fails. Refused or broken connections are results.
pub(crate) fn run(load: &Load, target: &Target) -> Result<Figures> {
    load.check()?;
    let usage = || target.pid.map(Usage::of).transpose();
    wait_until_ready(load, target)?;
    let idle = usage()?;
    let begin = Instant::now();
    let mut calls = Calls::new(load, target)?;
    // All publishers first, because some servers refuse a viewer of a stream without a publisher.
    let publishers = calls.make(Part::Publish, load.publishers)?;
    let viewers = calls.make(Part::Play, load.viewers)?;
    let connects = calls.connects(begin.elapsed());
    let run = Run {
        load,
        publishers: &publishers,
        viewers: &viewers,
        shared: Shared::default(),
        stop_sending: AtomicBool::new(false),
        begin,
    };
    let (measured, sent, received) = run.carry_out(&usage)?;
    Ok(run.figures(connects, idle, &measured, &sent, &received))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Publish,
    Play,
}

/// One run, once all connections exist.
struct Run<'a> {
    load: &'a Load,
    publishers: &'a [SrtSocket],
    viewers: &'a [SrtSocket],
    shared: Shared,
    stop_sending: AtomicBool,
    begin: Instant,
}

/// Values read at both ends of the measurement.
struct Measured {
    before: Option<Usage>,
    after: Option<Usage>,
    own: Duration,
    bytes: u64,
    elapsed: Duration,
}

impl Run<'_> {
    fn carry_out(&self, usage: &impl Fn() -> Result<Option<Usage>>) -> Result<(Measured, Sent, Received)> {
        let streams = self.load.streams();
        let watched = (0..).map(|n: u32| n % streams).zip(self.viewers);
        let (sampled, others): (Vec<_>, Vec<_>) =
            watched.enumerate().partition(|(n, _)| is_sampled(self.load, *n));
        let [sampled, others] = [sampled, others]
            .map(|viewers| viewers.into_iter().map(|(_, viewer)| viewer).collect::<Vec<_>>());
        thread::scope(|scope| {
            let stopwatch = scope.spawn(|| {
                set_priority(ThreadPriority::First);
                let (sockets, is_timed) = (&sampled[..], true);
                receive(Audience { sockets, is_timed }, self.begin, &self.shared)
            });
            let receiver = scope.spawn(|| {
                set_priority(ThreadPriority::of_viewers(self.load));
                let (sockets, is_timed) = (&others[..], false);
                receive(Audience { sockets, is_timed }, self.begin, &self.shared)
            });
            let sender = scope.spawn(|| {
                set_priority(ThreadPriority::First);
                send(self.load, self.publishers, self.begin, &self.stop_sending)
            });
            thread::sleep(self.load.warmup());
            let measured = self.measure(usage);
            self.stop_sending.store(true, Relaxed);
            let sent = sender.join().map_err(|_| "the sender panicked")?;
            self.wait_for_tail();
            self.shared.stop.store(true, Relaxed);
            let received = receiver.join().map_err(|_| "the receiver panicked")??;
            let timed = stopwatch.join().map_err(|_| "the stopwatch panicked")??;
            Ok((measured?, sent, received.join(timed)))
        })
    }

    fn measure(&self, usage: &impl Fn() -> Result<Option<Usage>>) -> Result<Measured> {
        let (before, own) = (usage()?, Usage::own()?);
        let (bytes, start) = (self.shared.bytes.load(Relaxed), Instant::now());
        self.shared.measuring.store(true, Relaxed);
        thread::sleep(self.load.seconds());
        self.shared.measuring.store(false, Relaxed);
        Ok(Measured {
            elapsed: start.elapsed(),
            bytes: self.shared.bytes.load(Relaxed) - bytes,
            after: usage()?,
            before,
            own: Usage::own()?.cpu - own.cpu,
        })
    }

    /// Waits until nothing has arrived for longer than the latency.
    fn wait_for_tail(&self) {
        let end = Instant::now() + TAIL_LIMIT;
        let quiet = Duration::from_millis(self.load.latency * 2 + 100);
        let (mut last, mut since) = (self.shared.messages.load(Relaxed), Instant::now());
        while Instant::now() < end && since.elapsed() < quiet {
            thread::sleep(Duration::from_millis(10));
            let now = self.shared.messages.load(Relaxed);
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
    }

    fn figures(
        &self,
        connect: Connects,
        idle: Option<Usage>,
        measured: &Measured,
        sent: &Sent,
        received: &Received,
    ) -> Figures {
        let made = |stream: u32| sent.messages.get(stream as usize).copied().unwrap_or(0);
        let sum = |of: &dyn Fn(&super::receive::Tally) -> u64| received.tallies.iter().map(of).sum::<u64>();
        let seconds = measured.elapsed.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "bytes of one run, far below 2^53")]
        let gigabits = measured.bytes as f64 * 8.0 / 1e9;
        let server = match (idle, &measured.before, &measured.after) {
            (Some(idle), Some(before), Some(after)) => Some(Cost::between(
                &idle,
                before,
                after,
                seconds,
                gigabits,
                connect.made,
            )),
            _ => None,
        };
        Figures {
            seconds,
            connect,
            blocked: sent.blocked,
            sent: sent.messages.iter().sum(),
            expected: sum(&|tally| tally.expected(made(tally.stream))),
            delivered: sum(&|tally| tally.messages),
            lost: sum(&|tally| tally.lost(made(tally.stream))),
            duplicates: sum(&|tally| tally.duplicates),
            disordered: sum(&|tally| tally.disordered),
            damaged: received.damaged,
            broken: received.broken + sent.broken,
            gigabits,
            delay: Quantiles::of(&received.delays),
            server,
            own_cores: measured.own.as_secs_f64() / seconds,
        }
    }
}

/// A server that was just started may not listen yet; one that cannot be reached is an error here, not a result.
fn wait_until_ready(load: &Load, target: &Target) -> Result<()> {
    let end = Instant::now() + START_LIMIT;
    let id = stream_id(&target.publish, load.streams())?;
    loop {
        let caller = SrtSocket::builder()
            .options(options(load, Part::Publish)?)
            .stream_id(id.clone())
            .connect_timeout(Duration::from_millis(500));
        match caller.connect(target.addr) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() >= end => {
                return Err(format!("{} refused a publisher: {error}", target.addr));
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn options(load: &Load, part: Part) -> Result<Options> {
    // The packets that may be in flight within twice the latency; at least libsrt's defaults.
    let packets = load.bitrate.saturating_mul(load.latency * 2 + 500) / 1000 / (MESSAGE as u64 * 8);
    let packets = u32::try_from(packets).unwrap_or(u32::MAX).clamp(8192, 400_000);
    let mut options = Options::new()
        .latency(Duration::from_millis(load.latency))
        .flow_window(packets.max(25_600))
        .udp_receive_buffer(UDP_BUFFER)
        .udp_send_buffer(UDP_BUFFER);
    options = match part {
        Part::Publish => options.send_buffer(packets * 1472),
        Part::Play if load.timed || tells_at_once() => options.receive_buffer(packets * 1472),
        Part::Play => options.receive_buffer(packets * 1472).set(opt::Tsbpd, false),
    };
    if let Some(passphrase) = &load.passphrase {
        let passphrase = Passphrase::new(passphrase).map_err(|error| error.to_string())?;
        options = options.passphrase(passphrase);
    }
    Ok(options)
}

/// The number of viewers whose delays are recorded, spread over all, because a server serves them in some order.
const SAMPLED: usize = 8;

fn is_sampled(load: &Load, n: usize) -> bool {
    let apart = (load.viewers as usize).div_ceil(SAMPLED).max(1);
    n % apart == apart / 2
}

/// Whether libsrt reports arrivals at once. An installed libsrt reports them with its next acknowledgement, up to 10 ms
/// later, which adds to the delays of viewers that receive without delay.
fn tells_at_once() -> bool {
    srt_safe::library_edits()
        .split(',')
        .any(|edit| edit == "reader-timed")
}

/// Sets the priority of this thread and of those that it starts, as far as permitted.
fn set_priority(priority: ThreadPriority) {
    let nice = match priority {
        ThreadPriority::First => -20,
        ThreadPriority::AsAll => return,
        ThreadPriority::Last => 19,
    };
    if let Err(error) = rustix::process::setpriority_process(None, nice) {
        tracing::debug!(%error, nice, "cannot change the priority of a thread");
    }
}

/// The priority of a thread when cores are scarce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ThreadPriority {
    /// Publishers and the measuring viewers must not wait for the load.
    First,
    AsAll,
    /// In reality the other viewers run elsewhere, so they must not hold up the server.
    Last,
}

impl ThreadPriority {
    fn of_viewers(load: &Load) -> Self {
        if load.aside { Self::Last } else { Self::AsAll }
    }
}

/// The purpose of the calls from a local port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Line {
    Publisher,
    Viewer,
    Sampled,
}

/// A pending call.
struct Call {
    connecting: Connecting,
    since: Instant,
    n: usize,
}

/// Makes the connections of a run, [`CALLS`] at a time.
struct Calls<'a> {
    load: &'a Load,
    target: &'a Target,
    epoll: Epoll,
    /// Local ports.
    ports: HashMap<(Line, u16), u16>,
    times: Histogram,
    wanted: u32,
    made: u32,
    refused: u32,
}

impl<'a> Calls<'a> {
    fn new(load: &'a Load, target: &'a Target) -> Result<Self> {
        Ok(Self {
            load,
            target,
            epoll: Epoll::new().map_err(|error| error.to_string())?,
            ports: HashMap::new(),
            times: Histogram::new(),
            wanted: 0,
            made: 0,
            refused: 0,
        })
    }

    fn connects(&self, elapsed: Duration) -> Connects {
        Connects {
            wanted: self.wanted,
            made: self.made,
            refused: self.refused,
            seconds: elapsed.as_secs_f64(),
            per_second: f64::from(self.made) / elapsed.as_secs_f64(),
            times: Quantiles::of(&self.times),
        }
    }

    /// Makes `count` connections; refused ones are counted and left out.
    fn make(&mut self, part: Part, count: u32) -> Result<Vec<SrtSocket>> {
        self.wanted += count;
        let mut made: Vec<Option<SrtSocket>> = (0..count).map(|_| None).collect();
        let mut waiting: HashMap<SocketId, Call> = HashMap::new();
        let mut events = Events::with_capacity(CALLS);
        let mut next = 0;
        while next < count || !waiting.is_empty() {
            while next < count && waiting.len() < CALLS {
                let call = self.start(part, next)?;
                waiting.insert(call.connecting.id(), call);
                next += 1;
            }
            self.epoll
                .wait(&mut events, Some(Duration::from_millis(100)))
                .map_err(|error| error.to_string())?;
            let now = Instant::now();
            let late = waiting
                .iter()
                .filter(|(_, call)| now.duration_since(call.since) > CALL_LIMIT)
                .map(|(id, _)| *id);
            let ready: Vec<_> = events.iter().map(|event| event.socket()).chain(late).collect();
            for id in ready {
                if let Some(call) = waiting.remove(&id)
                    && let Some(pending) = self.poll_call(part, call, &mut made)
                {
                    waiting.insert(id, pending);
                }
            }
        }
        Ok(made.into_iter().flatten().collect())
    }

    /// Checks a call; returns it while it is pending.
    fn poll_call(&mut self, part: Part, call: Call, made: &mut [Option<SrtSocket>]) -> Option<Call> {
        let Call { connecting, since, n } = call;
        let id = connecting.id();
        match connecting.finish() {
            Ok(Progress::Connected(socket)) => {
                self.times.add(since.elapsed());
                self.made += 1;
                if part == Part::Play && !self.load.timed {
                    // On arrival: the delay of a player's buffer is not the server's, and would hide it.
                    socket.time_by_reader(ReaderTiming::InOrder);
                }
                made[n] = Some(socket);
            }
            Ok(Progress::Pending(connecting)) if since.elapsed() <= CALL_LIMIT => {
                return Some(Call { connecting, since, n });
            }
            _ => self.refused += 1,
        }
        // A socket that failed may already have been removed.
        self.epoll.registry().remove_id(id).unwrap_or_default();
        None
    }

    fn start(&mut self, part: Part, n: u32) -> Result<Call> {
        let template = match part {
            Part::Publish => &self.target.publish,
            Part::Play => &self.target.play,
        };
        let line = match part {
            Part::Publish => Line::Publisher,
            Part::Play if is_sampled(self.load, n as usize) => Line::Sampled,
            Part::Play => Line::Viewer,
        };
        let lines = match line {
            Line::Sampled => 1,
            Line::Publisher | Line::Viewer => u32::from(self.load.local_ports),
        };
        let slot = (line, u16::try_from(n % lines).unwrap_or(0));
        let any: IpAddr = match self.target.addr {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let local = SocketAddr::new(any, self.ports.get(&slot).copied().unwrap_or(0));
        let since = Instant::now();
        let caller = SrtSocket::builder()
            .options(options(self.load, part)?)
            .stream_id(stream_id(template, n % self.load.streams())?)
            .bind(local);
        let call = || caller.start_connect(self.target.addr);
        let priority = match line {
            Line::Publisher | Line::Sampled => ThreadPriority::First,
            Line::Viewer => ThreadPriority::of_viewers(self.load),
        };
        // The threads of a local port have the priority of the thread that opens it.
        let connecting = if priority == ThreadPriority::AsAll || self.ports.contains_key(&slot) {
            call()
        } else {
            thread::scope(|scope| {
                let opener = scope.spawn(|| {
                    set_priority(priority);
                    call()
                });
                opener.join().map_err(|_| "a thread that calls panicked")
            })?
        }
        .map_err(|error| format!("cannot call {}: {error}", self.target.addr))?;
        let local = connecting.local_addr().map_err(|error| error.to_string())?;
        self.ports.insert(slot, local.port());
        self.epoll
            .registry()
            .add(&connecting, Interest::WRITABLE, Trigger::Level)
            .map_err(|error| error.to_string())?;
        Ok(Call {
            connecting,
            since,
            n: n as usize,
        })
    }
}
