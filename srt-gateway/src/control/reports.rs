//! Logs the events of inputs and outputs. Repeated failures of an endpoint are logged from time to time, with a count.
//!
//! Runs on control's thread; `events` reports to the API and the event receiver.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tracing::{debug, field::display, info, warn};

use super::{Connection, Control, endpoints::EndpointRuntime, registry::Session};
use crate::{
    io::{ClosedSession, EndpointId},
    names::{SessionId, StreamName},
};

/// Logs at `info`, or at `debug` if the endpoint keeps failing.
macro_rules! note {
    ($is_quiet:expr, $($arg:tt)+) => {
        if $is_quiet {
            debug!($($arg)+);
        } else {
            info!($($arg)+);
        }
    };
}

pub(super) use note;

/// Logs that an endpoint is connected.
pub(super) fn log_connected(
    session: SessionId,
    state: &EndpointRuntime,
    peer: SocketAddr,
    connection: &Connection,
) {
    let EndpointRuntime { role, stream, .. } = state;
    let endpoint = state.endpoint.label();
    note!(
        state.failures.is_failing(),
        %session, %role, %stream, %peer, %endpoint,
        latency_ms = connection.latency.as_millis(), version = %connection.version,
        encryption = connection.encryption, "connected"
    );
}

impl Control {
    /// Counts a failure and reports it, unless it repeats a recent one.
    pub(super) fn report_failure(
        &mut self,
        id: EndpointId,
        what: &str,
        why: &str,
        wait: Option<Duration>,
        now: Instant,
    ) {
        let Some(state) = self.endpoints.all.get_mut(&id) else {
            return;
        };
        let report = state.failures.add(why, now);
        let (stream, endpoint, failures) = (&state.stream, state.endpoint.label(), state.failures.count());
        let wait_ms = wait.map(|wait| wait.as_millis());
        match report {
            None => debug!(%stream, %endpoint, failures, wait_ms, "{what}: {why}"),
            Some(1) => warn!(%stream, %endpoint, failures, wait_ms, "{what}: {why}"),
            Some(times) => {
                warn!(%stream, %endpoint, failures, times, wait_ms, "{what}, {times} more times: {why}");
            }
        }
        if let Some(times) = report {
            self.report_failed(id, why, times);
        }
    }

    /// Records that data flows over an endpoint's connection.
    pub(super) fn note_flow(&mut self, id: EndpointId) {
        let Some(state) = self.endpoints.all.get_mut(&id) else {
            return;
        };
        let Some(live) = &mut state.live else {
            return;
        };
        state.failures.flowed(live.flowed().unwrap_or_default());
        if std::mem::take(&mut live.is_quiet) {
            let (session, stream, failures) = (live.session, state.stream.clone(), state.failures.count());
            info!(%session, %stream, endpoint = %state.endpoint.label(), failures, "connected again and receiving data");
            self.report_opened(session, &stream);
        }
    }

    /// Whether the beginning and the end of this session go unreported, because its endpoint keeps failing.
    pub(super) fn is_quiet(&self, session: SessionId) -> bool {
        let id = self.endpoints.sessions.get(&session);
        let live = id.and_then(|id| self.endpoints.all.get(id)?.live.as_ref());
        live.is_some_and(|live| live.session == session && live.is_quiet)
    }

    /// Logs the end of a session; `open` is its state if it was an SRT session.
    pub(super) fn log_closed(
        &self,
        closed: &ClosedSession,
        stream: &StreamName,
        open: Option<&Session>,
        now: Instant,
    ) {
        let id = self.endpoints.sessions.get(&closed.session);
        let state = id.and_then(|id| self.endpoints.all.get(id));
        let endpoint = state.map(|state| display(state.endpoint.label()));
        note!(
            self.is_quiet(closed.session),
            session = %closed.session, role = %closed.role, %stream, endpoint,
            peer = open.map(|open| display(open.peer)),
            seconds = open.map(|open| now.duration_since(open.opened).as_secs()), totals = %closed.totals,
            "closed: {}", closed.reason
        );
    }
}
