//! Server-sent events: the figures of each second. A slow reader misses seconds; nothing is queued for it.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    extract::State,
    response::{
        IntoResponse, Sse,
        sse::{Event, KeepAlive},
    },
};

use super::{
    App,
    model::{LiveEvent, LiveGateway, LiveParams},
    problem::{Answer, Params, Problem},
    sampler::Snapshot,
    server::ended,
    streaming,
};

/// Concurrent event streams.
pub(super) const READERS: usize = 64;

/// Streams the figures of each second as server-sent events named `figures`, each a LiveEvent in JSON.
#[utoipa::path(get, path = "/api/v1/live", tag = "gateway", params(LiveParams),
    responses((status = 200, body = LiveEvent, content_type = "text/event-stream"), (status = 503, body = Problem)))]
pub(super) async fn live(
    State(app): State<Arc<App>>,
    Params(params): Params<LiveParams>,
) -> Answer<impl IntoResponse> {
    let place = app.live_places.clone().try_acquire_owned();
    let Ok(place) = place else {
        return Err(Problem::busy(format!(
            "{READERS} event streams are already open: close one"
        )));
    };
    let mut newest = app.sampler.watch();
    let (sender, events) = streaming::channel::<Result<Event, Infallible>>(2);
    let mut stopped = app.stopped.clone();
    tokio::spawn(async move {
        let _place = place;
        loop {
            let snapshot = Arc::clone(&newest.borrow_and_update());
            let Ok(event) = Event::default()
                .event("figures")
                .json_data(app.live_event(&snapshot, &params))
            else {
                return;
            };
            tokio::select! {
                sent = sender.send(Ok(event)) => if sent.is_err() { return },
                () = ended(&mut stopped) => return,
            }
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
                () = ended(&mut stopped) => return,
            }
        }
    });
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(10));
    Ok(Sse::new(events).keep_alive(keep_alive))
}

impl App {
    fn live_event(&self, snapshot: &Arc<Snapshot>, params: &LiveParams) -> LiveEvent {
        let context = self.context_of(Arc::clone(snapshot), snapshot.sessions.clone());
        let (bitrate_in_bps, bitrate_out_bps) = snapshot.bitrates();
        let time = snapshot.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut streams = context.streams();
        let mut sessions = Vec::new();
        if let Some(stream) = &params.stream {
            streams.retain(|summary| summary.name == *stream);
            sessions = context.sessions(|session| session.stream.as_str() == stream);
        }
        LiveEvent {
            time_ms: time.as_millis().try_into().unwrap_or(u64::MAX),
            gateway: LiveGateway {
                sessions: snapshot.sessions.len(),
                viewers: snapshot.viewers(),
                bitrate_in_bps,
                bitrate_out_bps,
                loop_lag_ms: snapshot.lag.as_secs_f64() * 1e3,
                draining: self.draining.load(Relaxed),
                alarms: self.alarms.counts(),
                last_rejection: self.view.rejections.last(),
            },
            streams,
            sessions,
        }
    }
}
