//! Logs what happens to inputs and outputs. An endpoint that keeps failing is logged and reported once in a while, with a count.
//!
//! Part of control's thread; what is reported to others is in `events`.

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

/// An event at `info`, or at `debug` if it is one of an endpoint that keeps failing.
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
    /// Counts a failure and reports it, unless it repeats one that has been reported lately.
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

    /// Data flow by the connection of an endpoint.
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

    /// Whether neither the begin nor the end of this session is reported: it is one of an endpoint that keeps failing.
    pub(super) fn is_quiet(&self, session: SessionId) -> bool {
        let id = self.endpoints.sessions.get(&session);
        let live = id.and_then(|id| self.endpoints.all.get(id)?.live.as_ref());
        live.is_some_and(|live| live.session == session && live.is_quiet)
    }

    /// Logs the end of a session; `open` is what it was, if it was one over SRT.
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
