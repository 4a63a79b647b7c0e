//! Posts events to the receiver of `[events]`: arrays of events, in order, one post at a time.
//!
//! Adding an event only wakes the poster, under a short lock; the posts are made from the event log on the backend's
//! thread. Nothing is queued here: pending events are in the log, and those that leave it before they were posted count
//! as dropped.

#[cfg(test)]
mod tests;

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tracing::{info, warn};

use crate::{
    backend::{Answer, Backend, CallError, Client, ClientSettings},
    config::Events,
    telemetry::{CallStats, EventCounters, EventLog, EventsStatus},
};

/// Events per post.
const BATCH: usize = 100;

/// The delay after a failure; each further failure doubles it.
const FIRST_DELAY: Duration = Duration::from_millis(500);

/// The longest delay between two attempts.
const MAX_DELAY: Duration = Duration::from_secs(30);

/// The answer's content is ignored, but its size is limited.
const ANSWER_MAX: usize = 1 << 20;

/// Statuses that reject these particular events: repeating them would hold up all others.
const REJECTING_STATUSES: [u16; 3] = [400, 413, 422];

/// Posts events.
#[derive(Debug)]
pub(crate) struct Poster {
    backend: Arc<Backend>,
    log: Arc<EventLog>,
    state: Mutex<State>,
    /// Notified when no post is under way.
    rests: Condvar,
    counters: EventCounters,
    calls: Arc<CallStats>,
}

#[derive(Debug)]
struct State {
    /// None: events are not posted.
    client: Option<Client>,
    /// Counts configurations.
    generation: u64,
    /// The number of the first event that has not been posted.
    next: u64,
    phase: Phase,
    /// The delay after the next failure.
    pause: Duration,
    outage: Option<Outage>,
    /// Whether the receiver's rejections have been logged.
    logged_rejection: bool,
}

/// The state of the poster.
///
/// ```text
///           an event                   taken, and there are no more
///   Rests ────────────▶ Posting ──────────────────────────────────▶ Rests
///                        ▲   │ failed
///              time over │   ▼
///                       Waiting(turn)    a new configuration: as if the time were over
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Rests,
    Posting,
    /// Until the timer of this number.
    Waiting(u64),
}

/// The time since which the receiver accepts nothing.
#[derive(Debug)]
struct Outage {
    /// Events dropped before it began.
    dropped: u64,
}

/// The result of a post.
enum PostOutcome {
    Taken,
    /// Must not be repeated.
    Useless(CallError),
    Failed(CallError),
}

impl Poster {
    /// Posts the events of `log` with the settings `events`.
    ///
    /// # Errors
    /// As for [`configure`](Self::configure).
    pub(crate) fn new(
        backend: Arc<Backend>,
        log: Arc<EventLog>,
        events: Option<&Events>,
    ) -> io::Result<Arc<Self>> {
        let poster = Arc::new(Self {
            backend,
            log,
            state: Mutex::new(State {
                client: None,
                generation: 0,
                next: 1,
                phase: Phase::Rests,
                pause: FIRST_DELAY,
                outage: None,
                logged_rejection: false,
            }),
            rests: Condvar::new(),
            counters: EventCounters::default(),
            calls: Arc::default(),
        });
        poster.configure(events)?;
        let weak = Arc::downgrade(&poster);
        poster.log.on_event(move || {
            if let Some(poster) = weak.upgrade() {
                poster.wake();
            }
        });
        Ok(poster)
    }

    /// Applies these settings. Pending events go to the new receiver; without an earlier receiver, events are posted
    /// from now on.
    ///
    /// # Errors
    /// No thread for the calls, or a URL that the client does not accept: the previous settings stay.
    pub(crate) fn configure(self: &Arc<Self>, events: Option<&Events>) -> io::Result<()> {
        let client = events.map(|events| self.client(events)).transpose()?;
        let mut state = self.state();
        if state.client.is_none() {
            // A post with the earlier settings may still be under way.
            state.next = state.next.max(self.log.last() + 1);
        }
        state.client = client;
        state.generation += 1;
        state.pause = FIRST_DELAY;
        state.outage = None;
        state.logged_rejection = false;
        if let Phase::Waiting(_) = state.phase {
            state.phase = Phase::Rests;
        }
        self.go_on(&mut state);
        Ok(())
    }

    fn client(&self, events: &Events) -> io::Result<Client> {
        let settings = ClientSettings {
            url: events.url.clone(),
            timeout: events.timeout,
            secret: events.secret.clone(),
            most: 1,
            answer_max: ANSWER_MAX,
        };
        self.backend.client(settings, Arc::clone(&self.calls))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For metrics; None: events are not posted.
    pub(crate) fn status(&self) -> Option<EventsStatus> {
        let state = self.state();
        state.client.as_ref()?;
        let waiting = (self.log.last() + 1).saturating_sub(state.next);
        Some(self.counters.status(waiting))
    }

    /// Whether the receiver did not take events when it was last tried.
    pub(crate) fn is_failing(&self) -> bool {
        self.state().outage.is_some()
    }

    /// Waits until all events are posted, at most this long. Does not wait for a receiver that accepts nothing.
    pub(crate) fn flush(&self, limit: Duration) {
        let state = self.state();
        let posting = |state: &mut State| state.phase == Phase::Posting;
        drop(self.rests.wait_timeout_while(state, limit, posting));
    }

    /// Called when an event was added.
    fn wake(self: &Arc<Self>) {
        let mut state = self.state();
        match state.phase {
            Phase::Rests => self.go_on(&mut state),
            Phase::Waiting(_) => self.count_dropped(&mut state),
            Phase::Posting => {}
        }
    }

    /// Counts events that left the log before they were posted.
    fn count_dropped(&self, state: &mut State) {
        let oldest = self.log.oldest();
        if state.client.is_some() && oldest > state.next {
            self.counters.add_dropped(oldest - state.next);
            state.next = oldest;
        }
    }

    /// Starts to post if the poster is idle and there is anything to post.
    fn go_on(self: &Arc<Self>, state: &mut State) {
        let due = state.next <= self.log.last();
        if let (Phase::Rests, Some(client), true) = (state.phase, &state.client, due) {
            let weak = Arc::downgrade(self);
            client.after(Duration::ZERO, move || {
                if let Some(poster) = weak.upgrade() {
                    poster.post();
                }
            });
            state.phase = Phase::Posting;
        }
    }

    /// Runs on the backend's thread.
    fn post(self: &Arc<Self>) {
        let mut state = self.state();
        self.count_dropped(&mut state);
        let events = self.log.from(state.next, BATCH);
        let (Some(client), Some(last)) = (state.client.clone(), events.last()) else {
            return self.rest(&mut state);
        };
        let (last, generation) = (last.number, state.generation);
        drop(state);
        let events: Vec<_> = events.iter().map(|event| &**event).collect();
        // Events contain only plain texts and numbers.
        let body = serde_json::to_vec(&events).expect("events have no maps with keys that are no text");
        let count = events.len() as u64;
        let weak = Arc::downgrade(self);
        let called = client.post(body, move |result| {
            if let Some(poster) = weak.upgrade() {
                poster.posted(generation, last, count, outcome(result));
            }
        });
        if called.is_err() {
            // The backend's thread has ended.
            self.rest(&mut self.state());
        }
    }

    /// Handles the end of a post.
    fn posted(self: &Arc<Self>, generation: u64, last: u64, count: u64, outcome: PostOutcome) {
        let mut state = self.state();
        let is_current = state.generation == generation;
        match outcome {
            PostOutcome::Taken => {
                self.counters.add_posted(count);
                state.next = state.next.max(last + 1);
                if is_current {
                    self.recovered(&mut state);
                }
            }
            PostOutcome::Useless(error) => {
                self.counters.add_dropped(count);
                state.next = state.next.max(last + 1);
                if is_current && !state.logged_rejection {
                    state.logged_rejection = true;
                    let url = url(&state);
                    warn!(%url, "the receiver of [events] {error}: the gateway does not retry these events");
                }
            }
            PostOutcome::Failed(error) => {
                self.counters.add_failed();
                // Another receiver is tried at once.
                if is_current {
                    return self.wait(&mut state, &error);
                }
            }
        }
        self.rest(&mut state);
    }

    fn recovered(&self, state: &mut State) {
        state.pause = FIRST_DELAY;
        state.logged_rejection = false;
        if let Some(outage) = state.outage.take() {
            let dropped = self.counters.status(0).dropped - outage.dropped;
            info!(url = %url(state), dropped, "events are posted again");
        }
    }

    fn wait(self: &Arc<Self>, state: &mut State, error: &CallError) {
        if state.outage.is_none() {
            state.outage = Some(Outage {
                dropped: self.counters.status(0).dropped,
            });
            warn!(
                url = %url(state),
                "cannot post events: the receiver of [events] {error}; the gateway keeps the last 2000 until it answers again"
            );
        }
        self.count_dropped(state);
        // Each failure has its own timer.
        let turn = self.counters.status(0).failed;
        let Some(client) = &state.client else {
            return self.rest(state);
        };
        let weak = Arc::downgrade(self);
        client.after(state.pause, move || {
            if let Some(poster) = weak.upgrade() {
                poster.time_is_over(turn);
            }
        });
        state.pause = (state.pause * 2).min(MAX_DELAY);
        state.phase = Phase::Waiting(turn);
        self.rests.notify_all();
    }

    fn time_is_over(self: &Arc<Self>, turn: u64) {
        let mut state = self.state();
        if state.phase == Phase::Waiting(turn) {
            self.rest(&mut state);
        }
    }

    /// Becomes idle, or continues if there is more to post.
    fn rest(self: &Arc<Self>, state: &mut State) {
        state.phase = Phase::Rests;
        self.go_on(state);
        if state.phase == Phase::Rests {
            self.rests.notify_all();
        }
    }
}

fn url(state: &State) -> String {
    let url = state.client.as_ref().map(|client| client.url().to_string());
    url.unwrap_or_default()
}

fn outcome(result: Result<Answer, CallError>) -> PostOutcome {
    match result {
        Ok(answer) if answer.is_success() => PostOutcome::Taken,
        Ok(answer) if REJECTING_STATUSES.contains(&answer.status) => {
            PostOutcome::Useless(CallError::Status(answer.status))
        }
        Ok(answer) => PostOutcome::Failed(CallError::Status(answer.status)),
        Err(error) => PostOutcome::Failed(error),
    }
}
