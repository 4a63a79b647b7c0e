//! The thread `telemetry`: once a second it looks at everything and makes the figures of that second of it, for whoever
//! shows them, and the history.
//!
//! Reads atomics and snapshots, and asks control for the sessions. Calls nothing of libsrt: the workers sample their own
//! sockets.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crossbeam_channel::{RecvTimeoutError, Sender};
use tokio::sync::watch;

use super::{
    history::History,
    model::{LinkSummary, StreamFigures},
    shape,
};
use crate::{
    control::{EndpointView, SessionStatus},
    names::{Role, SessionId, StreamName},
    view::View,
};

const SECOND: Duration = Duration::from_secs(1);

/// History of a stream that is gone is kept for so long: one that comes and goes keeps its past.
const KEPT_AFTER: u64 = 600;

/// A source without data for this long is silent.
const SILENT: Duration = Duration::from_secs(2);

/// The figures of a second.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) at: SystemTime,
    pub(crate) streams: HashMap<StreamName, StreamSample>,
    pub(crate) sessions: Vec<SessionStatus>,
    pub(crate) endpoints: Arc<Vec<EndpointView>>,
    pub(crate) lag: Duration,
}

/// A stream in that second.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamSample {
    pub(crate) figures: StreamFigures,
    pub(crate) viewers: u32,
    /// Data came within the last two seconds.
    pub(crate) flows: bool,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            at: UNIX_EPOCH,
            streams: HashMap::new(),
            sessions: Vec::new(),
            endpoints: Arc::default(),
            lag: Duration::ZERO,
        }
    }
}

impl Snapshot {
    /// Bits a second in and out, of all streams.
    pub(crate) fn bitrates(&self) -> (u64, u64) {
        let all = self.streams.values().map(|sample| &sample.figures);
        all.fold((0, 0), |(into, out), figures| {
            (into + figures.bitrate_bps, out + figures.bitrate_out_bps)
        })
    }

    /// Viewers of all streams.
    pub(crate) fn viewers(&self) -> u32 {
        self.streams.values().map(|sample| sample.viewers).sum()
    }
}

/// The running sampler. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Sampler {
    latest: watch::Receiver<Arc<Snapshot>>,
    history: Arc<Mutex<HashMap<StreamName, History>>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    pub(crate) fn start(view: View) -> io::Result<Self> {
        let (sender, latest) = watch::channel(Arc::default());
        let history = Arc::default();
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let mut state = State {
            view,
            history: Arc::clone(&history),
            before: HashMap::new(),
            carried: HashMap::new(),
            sampled: Instant::now(),
            clock: (Instant::now(), unix_seconds()),
        };
        let thread = thread::Builder::new()
            .name("telemetry".to_owned())
            .spawn(move || {
                let mut next = Instant::now() + SECOND;
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_deadline(next) {
                    sender.send_replace(Arc::new(state.sample(Instant::now())));
                    // A late sample is not caught up with.
                    next = (next + SECOND).max(Instant::now() + SECOND / 2);
                }
            })?;
        Ok(Self {
            latest,
            history,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The figures of the last second.
    pub(crate) fn latest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.latest.borrow())
    }

    /// Tells when there are newer ones.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.latest.clone()
    }

    /// What `with` makes of the past of a stream; None: it has none.
    pub(crate) fn history<T>(&self, name: &str, with: impl FnOnce(&History) -> T) -> Option<T> {
        let all = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(name).map(with)
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn unix_seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

/// What a counter stood at.
#[derive(Clone, Copy, Debug, Default)]
struct Carried {
    bytes: u64,
    skipped: u64,
}

struct State {
    view: View,
    history: Arc<Mutex<HashMap<StreamName, History>>>,
    /// Of streams: what had come in, and when something came last.
    before: HashMap<StreamName, (u64, Option<Instant>)>,
    /// Of sessions, those of outputs included.
    carried: HashMap<SessionId, Carried>,
    sampled: Instant,
    /// An instant and its Unix time: steps of the clock do not disturb the history.
    clock: (Instant, u64),
}

impl State {
    fn sample(&mut self, now: Instant) -> Snapshot {
        let elapsed = now.duration_since(self.sampled).max(Duration::from_millis(1));
        self.sampled = now;
        let sessions = self.view.sessions();
        let endpoints = self.view.endpoints.load_full();
        let mut streams = self.incoming(elapsed, now);
        self.outgoing(&mut streams, &sessions, &endpoints, elapsed);
        links(&mut streams, &sessions, &self.view);
        self.remember(&streams, now);
        Snapshot {
            at: SystemTime::now(),
            streams,
            sessions,
            endpoints,
            lag: self.view.lag.take(),
        }
    }

    /// What came in, by stream.
    fn incoming(&mut self, elapsed: Duration, now: Instant) -> HashMap<StreamName, StreamSample> {
        let directory = self.view.directory.load();
        let before = std::mem::take(&mut self.before);
        let mut samples = HashMap::with_capacity(directory.streams.len());
        for (name, entry) in &directory.streams {
            let counters = entry.stream.ring().counters();
            let (bytes, came) = before.get(name).copied().unwrap_or_default();
            // A ring of another size begins anew.
            let new = counters.bytes.checked_sub(bytes).unwrap_or(counters.bytes);
            let came = if new > 0 { Some(now) } else { came };
            self.before.insert(name.clone(), (counters.bytes, came));
            let sample = StreamSample {
                figures: StreamFigures {
                    bitrate_bps: bits_per_second(new, elapsed),
                    bytes: counters.bytes,
                    messages: counters.messages,
                    ..StreamFigures::default()
                },
                viewers: entry.stream.viewers(),
                flows: came.is_some_and(|came| now.duration_since(came) < SILENT),
            };
            samples.insert(name.clone(), sample);
        }
        samples
    }

    /// What went out, to viewers and outputs.
    fn outgoing(
        &mut self,
        streams: &mut HashMap<StreamName, StreamSample>,
        sessions: &[SessionStatus],
        endpoints: &[EndpointView],
        elapsed: Duration,
    ) {
        let before = std::mem::take(&mut self.carried);
        let viewers = sessions.iter().filter(|session| session.role == Role::Viewer);
        let viewers = viewers.map(|s| (s.id, &s.stream, s.bytes, s.skipped));
        // Outputs that are no SRT have no session among those.
        let plain = endpoints.iter().filter_map(|view| {
            let counters = view.counters.as_ref()?;
            let id = view.status.session?;
            let is_known = sessions.binary_search_by_key(&id, |session| session.id).is_ok();
            (view.status.role == Role::Viewer && !is_known)
                .then(|| (id, &view.status.stream, counters.bytes(), counters.skipped()))
        });
        for (id, stream, bytes, skipped) in viewers.chain(plain) {
            let last = before.get(&id).copied().unwrap_or_default();
            self.carried.insert(id, Carried { bytes, skipped });
            if let Some(sample) = streams.get_mut(stream) {
                let figures = &mut sample.figures;
                figures.bitrate_out_bps += bits_per_second(bytes.saturating_sub(last.bytes), elapsed);
                figures.skipped += skipped.saturating_sub(last.skipped);
            }
        }
    }

    fn remember(&self, streams: &HashMap<StreamName, StreamSample>, now: Instant) {
        let second = self.clock.1 + now.duration_since(self.clock.0).as_secs();
        let mut all = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, sample) in streams {
            // Nobody has ever been there: nothing to remember.
            let is_used = sample.flows || sample.viewers > 0;
            if is_used && !all.contains_key(name) {
                all.insert(name.clone(), History::new());
            }
            if let Some(history) = all.get_mut(name) {
                history.add(second, &sample.figures, sample.viewers);
            }
        }
        all.retain(|name, history| streams.contains_key(name) || history.last() + KEPT_AFTER > second);
    }
}

/// The links of sources and viewers, by stream.
fn links(streams: &mut HashMap<StreamName, StreamSample>, sessions: &[SessionStatus], view: &View) {
    let directory = view.directory.load();
    for session in sessions {
        let (Some(sample), Some(figures)) = (streams.get_mut(&session.stream), &session.figures) else {
            continue;
        };
        let link = shape::link_summary(figures);
        match session.role {
            Role::Publisher => {
                let source = directory.streams.get(&session.stream);
                if source.is_some_and(|entry| entry.stream.source() == Some(session.id)) {
                    sample.figures.link = Some(link);
                }
            }
            Role::Viewer => {
                let worst = sample.figures.viewers_link.get_or_insert_default();
                *worst = worst_of(worst, &link);
            }
        }
    }
}

/// Each figure of the worse; counts are added up.
fn worst_of(a: &LinkSummary, b: &LinkSummary) -> LinkSummary {
    LinkSummary {
        rtt_ms: a.rtt_ms.max(b.rtt_ms),
        rtt_p95_ms: a.rtt_p95_ms.max(b.rtt_p95_ms),
        loss_ratio: a.loss_ratio.max(b.loss_ratio),
        lost: a.lost + b.lost,
        retransmitted: a.retransmitted + b.retransmitted,
        dropped: a.dropped + b.dropped,
        buffer_ms: a.buffer_ms.max(b.buffer_ms),
        latency_ms: a.latency_ms.max(b.latency_ms),
    }
}

fn bits_per_second(bytes: u64, elapsed: Duration) -> u64 {
    let bits = u128::from(bytes) * 8 * 1_000_000;
    bits.checked_div(elapsed.as_micros())
        .map_or(0, |rate| rate.try_into().unwrap_or(u64::MAX))
}
