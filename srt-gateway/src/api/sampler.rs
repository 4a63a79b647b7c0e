//! The thread `telemetry`: once a second it computes the figures of that second, and the history.
//!
//! Reads atomics and snapshots, and asks control for the sessions. It never calls libsrt: the workers sample their own
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
    alarms::AlarmService,
    events::Watch,
    figures,
    history::History,
    model::{LinkSummary, Media, StreamFigures},
    shape,
    totals::{Ledger, Totals},
};
use crate::{
    control::{EndpointView, SessionStatus},
    names::{Role, SessionId, StreamName},
    telemetry::{
        Criticality,
        health::{EndpointFigures, StallFigures, Verdict},
    },
    ts::Check,
    view::{self, HEALTH_WINDOW, View, verdict},
};

const SECOND: Duration = Duration::from_secs(1);

/// How long the history of a removed stream is kept, so that one that comes and goes keeps it.
const KEPT_AFTER: u64 = 600;

/// A source without data for this long is silent.
const SILENT: Duration = Duration::from_secs(2);

/// A delay of this length counts as a pause of the gateway: peers have lost packets by then.
const STALL: Duration = Duration::from_millis(500);

/// The figures of a second.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) at: SystemTime,
    /// The same time on a monotonic clock.
    pub(crate) taken: Instant,
    pub(crate) streams: HashMap<StreamName, StreamSample>,
    pub(crate) sessions: Vec<SessionStatus>,
    pub(crate) lag: Duration,
    /// Sessions so far, including those of inputs and outputs.
    pub(crate) opened: u64,
}

/// The figures of a stream in that second.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamSample {
    pub(crate) figures: StreamFigures,
    pub(crate) viewers: u32,
    /// Data has arrived within the last two seconds.
    pub(crate) flows: bool,
    pub(crate) totals: Totals,
    pub(crate) verdict: Verdict,
    /// What the source sends, if there is one.
    pub(crate) media: Option<Media>,
}

/// The roles, in the order of [`Totals`]' links.
pub(crate) const ROLES: [Role; 2] = [Role::Publisher, Role::Viewer];

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            at: UNIX_EPOCH,
            streams: HashMap::new(),
            taken: Instant::now(),
            sessions: Vec::new(),
            lag: Duration::ZERO,
            opened: 0,
        }
    }
}

impl Snapshot {
    /// Bits per second in and out, of all streams.
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
    /// `alarms` are told of each second.
    pub(super) fn start(view: View, alarms: Arc<AlarmService>) -> io::Result<Self> {
        let (sender, latest) = watch::channel(Arc::default());
        let history = Arc::default();
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let pulse = view.threads.register("telemetry", Criticality::Auxiliary);
        let mut state = SamplerState::new(view, Arc::clone(&history));
        let thread = thread::Builder::new()
            .name("telemetry".to_owned())
            .spawn(move || {
                let mut next = Instant::now() + SECOND;
                let mut last = Arc::<Snapshot>::default();
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_deadline(next) {
                    pulse.beat();
                    if let Some(snapshot) = state.sample(Instant::now()) {
                        last = Arc::new(snapshot);
                        sender.send_replace(Arc::clone(&last));
                    }
                    // Without an answer of control, streams are as they were.
                    alarms.look(&last, Instant::now(), SystemTime::now());
                    // Missed samples are skipped.
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

    /// Notifies of newer figures.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.latest.clone()
    }

    /// Applies `with` to the history of a stream; None: it has none.
    pub(crate) fn history<T>(&self, name: &str, with: impl FnOnce(&History) -> T) -> Option<T> {
        let all = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(name).map(with)
    }

    /// Applies `with` to the history of each stream.
    pub(crate) fn histories<T>(&self, mut with: impl FnMut(&History) -> T) -> Vec<(StreamName, T)> {
        let all = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .map(|(name, history)| (name.clone(), with(history)))
            .collect()
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

/// A ring's counters at the last sample, and the time of the last data.
#[derive(Clone, Copy, Debug, Default)]
struct IngressCounters {
    bytes: u64,
    messages: u64,
    last: Option<Instant>,
}

/// A session's counters at the last sample.
#[derive(Clone, Copy, Debug, Default)]
struct EgressCounters {
    bytes: u64,
    skipped: u64,
    held: u64,
}

struct SamplerState {
    view: View,
    history: Arc<Mutex<HashMap<StreamName, History>>>,
    watch: Watch,
    /// The received data, by stream.
    before: HashMap<StreamName, IngressCounters>,
    /// The sent data by session, including outputs.
    carried: HashMap<SessionId, EgressCounters>,
    ledger: Ledger,
    /// libsrt's counters, by session.
    links: HashMap<SessionId, figures::Values>,
    /// By stream, the session that fed it and the counters of its transport stream.
    checks: HashMap<StreamName, (SessionId, [u64; Check::ALL.len()])>,
    opened: u64,
    sampled: Instant,
    /// An instant and its Unix time, so that clock changes do not affect the history.
    clock: (Instant, u64),
    /// The last pause of the gateway, and when it was noticed.
    stall: Option<(StallFigures, Instant)>,
}

impl SamplerState {
    fn new(view: View, history: Arc<Mutex<HashMap<StreamName, History>>>) -> Self {
        Self {
            view,
            history,
            watch: Watch::default(),
            before: HashMap::new(),
            ledger: Ledger::default(),
            links: HashMap::new(),
            checks: HashMap::new(),
            opened: 0,
            carried: HashMap::new(),
            sampled: Instant::now(),
            clock: (Instant::now(), unix_seconds()),
            stall: None,
        }
    }

    /// None while control does not answer: without sessions, their counters would be added again when they return, and
    /// [`Snapshot::taken`] must show that sampling has stopped.
    fn sample(&mut self, now: Instant) -> Option<Snapshot> {
        let sessions = self.view.sessions_if_told()?;
        let elapsed = now.duration_since(self.sampled).max(Duration::from_millis(1));
        let lag = self.view.lag.take();
        self.note_stall(elapsed.saturating_sub(SECOND).max(lag), now);
        self.sampled = now;
        let endpoints = self.view.endpoints.load_full();
        let mut streams = self.incoming(elapsed, now);
        self.outgoing(&mut streams, &sessions, &endpoints, elapsed);
        links(&mut streams, &sessions, &self.view);
        self.count_links(&sessions);
        self.judge(&mut streams, &sessions, &endpoints);
        self.hand_totals(&mut streams);
        let newest = sessions.last().map_or(0, |session| session.id.0);
        self.opened = self.opened.max(newest);
        self.remember(&streams, now);
        let snapshot = Snapshot {
            at: SystemTime::now(),
            taken: Instant::now(),
            streams,
            sessions,
            lag,
            opened: self.opened,
        };
        self.note_events(&snapshot);
        Some(snapshot)
    }

    /// Records how late this thread or a worker was.
    fn note_stall(&mut self, late: Duration, now: Instant) {
        if late >= STALL {
            let stall = StallFigures {
                until: SystemTime::now(),
                length: late,
            };
            self.stall = Some((stall, now));
        }
        self.stall = self
            .stall
            .filter(|(_, noted)| now.duration_since(*noted) < HEALTH_WINDOW);
    }

    fn note_events(&mut self, snapshot: &Snapshot) {
        let directory = self.view.directory.load();
        let has_source = |name: &StreamName| {
            let entry = directory.streams.get(name);
            entry.is_some_and(|entry| entry.stream.has_source())
        };
        for happening in self.watch.observe(snapshot, has_source) {
            self.view.events.add(happening);
        }
    }

    /// The received data, by stream.
    fn incoming(&mut self, elapsed: Duration, now: Instant) -> HashMap<StreamName, StreamSample> {
        let directory = self.view.directory.load();
        let before = std::mem::take(&mut self.before);
        let mut samples = HashMap::with_capacity(directory.streams.len());
        for (name, entry) in &directory.streams {
            let counters = entry.stream.ring().counters();
            let before = before.get(name).copied().unwrap_or_default();
            // The counters of a ring that was replaced start at zero.
            let since = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
            let new = since(counters.bytes, before.bytes);
            let totals = self.ledger.of(name);
            totals.received += new;
            totals.messages += since(counters.messages, before.messages);
            let last = if new > 0 { Some(now) } else { before.last };
            let came = IngressCounters {
                bytes: counters.bytes,
                messages: counters.messages,
                last,
            };
            self.before.insert(name.clone(), came);
            let sample = StreamSample {
                figures: StreamFigures {
                    bitrate_bps: bits_per_second(new, elapsed),
                    bytes: counters.bytes,
                    messages: counters.messages,
                    ..StreamFigures::default()
                },
                viewers: entry.stream.viewers(),
                totals: Totals::default(),
                verdict: Verdict::default(),
                media: None,
                flows: last.is_some_and(|last| now.duration_since(last) < SILENT),
            };
            samples.insert(name.clone(), sample);
        }
        samples
    }

    /// The data sent to viewers and outputs.
    fn outgoing(
        &mut self,
        streams: &mut HashMap<StreamName, StreamSample>,
        sessions: &[SessionStatus],
        endpoints: &[EndpointView],
        elapsed: Duration,
    ) {
        let before = std::mem::take(&mut self.carried);
        let viewers = sessions.iter().filter(|session| session.role == Role::Viewer);
        let viewers = viewers.map(|s| {
            let carried = EgressCounters {
                bytes: s.bytes,
                skipped: s.skipped,
                held: s.counters.resends_held(),
            };
            (s.id, &s.stream, carried)
        });
        // Outputs that are not SRT have no session in that list.
        let plain = endpoints.iter().filter_map(|view| {
            let counters = view.counters.as_ref()?;
            let id = view.status.session?;
            let is_known = sessions.binary_search_by_key(&id, |session| session.id).is_ok();
            (view.status.role == Role::Viewer && !is_known).then(|| {
                let carried = EgressCounters {
                    bytes: counters.bytes(),
                    skipped: counters.skipped(),
                    held: 0,
                };
                (id, &view.status.stream, carried)
            })
        });
        for (id, stream, carried) in viewers.chain(plain) {
            let last = before.get(&id).copied().unwrap_or_default();
            self.carried.insert(id, carried);
            let EgressCounters { bytes, skipped, held } = carried;
            if let Some(sample) = streams.get_mut(stream) {
                let figures = &mut sample.figures;
                figures.bitrate_out_bps += bits_per_second(bytes.saturating_sub(last.bytes), elapsed);
                figures.skipped += skipped.saturating_sub(last.skipped);
                let totals = self.ledger.of(stream);
                totals.sent += bytes.saturating_sub(last.bytes);
                totals.skipped += skipped.saturating_sub(last.skipped);
                totals.resends_held += held.saturating_sub(last.held);
            }
        }
    }

    /// Adds up what libsrt has counted since the last sample.
    fn count_links(&mut self, sessions: &[SessionStatus]) {
        let before = std::mem::take(&mut self.links);
        for session in sessions {
            let Some(sampled) = &session.figures else { continue };
            let now = figures::values(&sampled.totals);
            let last = before.get(&session.id).copied().unwrap_or([0; figures::COUNT]);
            let totals = self.ledger.of(&session.stream);
            let role = usize::from(session.role == Role::Viewer);
            figures::add(&mut totals.links[role], &now, &last);
            self.links.insert(session.id, now);
        }
    }

    /// Computes the verdict of each stream, and adds up the errors of the sources' transport streams.
    fn judge(
        &mut self,
        streams: &mut HashMap<StreamName, StreamSample>,
        sessions: &[SessionStatus],
        endpoints: &[EndpointView],
    ) {
        let directory = self.view.directory.load();
        let mut of_streams: HashMap<&StreamName, Vec<&SessionStatus>> = HashMap::new();
        for session in sessions {
            of_streams.entry(&session.stream).or_default().push(session);
        }
        let mut broken: HashMap<&StreamName, Vec<EndpointFigures>> = HashMap::new();
        for view in endpoints {
            if let Some(figures) = view::broken(&view.status) {
                broken.entry(&view.status.stream).or_default().push(figures);
            }
        }
        let stall = self.stall.map(|(stall, _)| stall);
        for (name, entry) in &directory.streams {
            let broken = broken.remove(name).unwrap_or_default();
            let Some(source) = entry.stream.source() else {
                let is_missed = entry.stream.loss().is_some() || !broken.is_empty();
                if is_missed && let Some(sample) = streams.get_mut(name) {
                    sample.verdict = verdict(&entry.stream, None, &[], broken, stall);
                }
                continue;
            };
            let at = sessions.binary_search_by_key(&source, |session| session.id);
            let board = match at {
                Ok(at) => sessions[at].counters.board().cloned(),
                Err(_) => endpoints
                    .iter()
                    .find(|view| view.status.session == Some(source))
                    .and_then(|view| view.counters.as_ref()?.board().cloned()),
            };
            if let Some(sample) = streams.get_mut(name) {
                let report = board.as_ref().map(|board| board.report());
                sample.media = report.as_ref().and_then(Media::of);
                let of_stream = of_streams.get(name).map_or(&[][..], Vec::as_slice);
                sample.verdict = verdict(&entry.stream, report.as_ref(), of_stream, broken, stall);
            }
            let Some(board) = board else {
                continue;
            };
            let (counters, _) = board.counts();
            let now = Check::ALL.map(|check| counters.checks.of(check));
            // For another source, all its errors are new.
            let before = self.checks.insert(name.clone(), (source, now));
            let before = before
                .filter(|(of, _)| *of == source)
                .map_or([0; Check::ALL.len()], |(_, counts)| counts);
            for (total, (now, before)) in self.ledger.of(name).checks.iter_mut().zip(now.iter().zip(before)) {
                *total += now.saturating_sub(before);
            }
        }
    }

    /// Copies the totals into the samples.
    fn hand_totals(&mut self, streams: &mut HashMap<StreamName, StreamSample>) {
        self.checks.retain(|name, _| streams.contains_key(name));
        for (name, sample) in streams {
            sample.totals = self.ledger.of(name).clone();
        }
        self.ledger.close();
    }

    fn remember(&self, streams: &HashMap<StreamName, StreamSample>, now: Instant) {
        let second = self.clock.1 + now.duration_since(self.clock.0).as_secs();
        let mut all = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, sample) in streams {
            // A stream that was never used has no history.
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

/// The worse value of each figure; counts are added.
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

#[cfg(test)]
mod tests;
