//! Selects the input that feeds each stream: watches the data of all inputs, and moves the ring's writer from one to
//! another.
//!
//! Runs on control's thread. Standby inputs stay connected, and their workers discard what they receive.

use std::time::Instant;

use tracing::{debug, info, warn};

use super::{
    Control,
    endpoints::{ActiveInput, SILENT},
    link::LinkState,
    reports::note,
};
use crate::{
    io::EndpointId,
    names::{SessionId, StreamName},
};

impl Control {
    /// Updates the activity of all inputs and selects the input of each stream.
    pub(super) fn select_inputs(&mut self, now: Instant) {
        let names: Vec<_> = self.endpoints.inputs.keys().cloned().collect();
        for name in names {
            self.select_input(&name, now);
        }
    }

    /// Selects the input that feeds a stream.
    pub(super) fn select_input(&mut self, name: &StreamName, now: Instant) {
        let endpoints = &mut self.endpoints;
        let Some(inputs) = endpoints.inputs.get_mut(name) else {
            return;
        };
        let mut any = false;
        let (mut changed, mut flowing) = (Vec::new(), Vec::new());
        for (rank, id) in inputs.order.iter().enumerate() {
            let Some(state) = endpoints.all.get_mut(id) else {
                continue;
            };
            any |= state.link.state() != LinkState::Idle;
            let Some(live) = &mut state.live else {
                continue;
            };
            if live.update_activity(now) {
                inputs.failover.data(rank, now);
                flowing.push(*id);
            }
            let is_silent = live.is_overdue(now) && !state.is_stalled;
            if is_silent != live.is_silent {
                live.is_silent = is_silent;
                changed.push(*id);
            }
        }
        if !any {
            inputs.failover.begin(now);
        }
        let before = inputs.order[inputs.failover.chosen()];
        if let Some(rank) = inputs.failover.choose(now) {
            let url = |id: &EndpointId| endpoints.all.get(id).map(|state| state.endpoint.label());
            warn!(
                stream = %name, from = url(&before).unwrap_or_default(),
                to = url(&inputs.order[rank]).unwrap_or_default(), "input switched"
            );
        }
        let chosen = inputs.order[inputs.failover.chosen()];
        for id in flowing {
            self.note_flow(id);
        }
        self.switch_input(name, chosen);
        self.note_source(name, now);
        for id in changed {
            self.note_silence(id, now);
        }
    }

    /// Reports that an input has become silent, or is no longer silent.
    fn note_silence(&mut self, id: EndpointId, now: Instant) {
        let Some(state) = self.endpoints.all.get(&id) else {
            return;
        };
        if state.live.as_ref().is_none_or(|live| !live.is_silent) {
            info!(stream = %state.stream, endpoint = %state.endpoint.label(), "the input receives data");
            return;
        }
        let why = format!("it is open but has received no data for {} s", SILENT.as_secs());
        self.report_failure(id, "silent", &why, None, now);
    }

    /// Makes `chosen` the input that feeds the stream, as far as possible now.
    fn switch_input(&mut self, name: &StreamName, chosen: EndpointId) {
        let live = |id: &EndpointId| self.endpoints.all.get(id)?.live.as_ref();
        let Some(inputs) = self.endpoints.inputs.get(name) else {
            return;
        };
        let active = match (inputs.active, live(&chosen)) {
            (ActiveInput::Feeding(id, session), Some(wanted)) if session != wanted.session => {
                if let Some(before) = live(&id) {
                    before.stand_by(&self.pool);
                }
                ActiveInput::Leaving(session)
            }
            (ActiveInput::Unset, Some(wanted)) => {
                let (session, is_quiet) = (wanted.session, wanted.is_quiet);
                // A publisher may hold the writer: the input stands by until it is free.
                let Some(writer) = wanted.stream.claim_source(session) else {
                    return;
                };
                wanted.feed(&self.pool, writer);
                note!(is_quiet, %session, stream = %name, "input feeds the stream");
                ActiveInput::Feeding(chosen, session)
            }
            (unchanged, _) => unchanged,
        };
        if let Some(inputs) = self.endpoints.inputs.get_mut(name) {
            inputs.active = active;
        }
    }

    /// Prefers this input of its stream from now on. Returns false if there is no such input.
    pub(super) fn switch(&mut self, id: EndpointId, now: Instant) -> bool {
        let Some(name) = self.endpoints.all.get(&id).map(|state| state.stream.clone()) else {
            return false;
        };
        let Some(inputs) = self.endpoints.inputs.get_mut(&name) else {
            return false;
        };
        let Some(rank) = inputs.order.iter().position(|other| *other == id) else {
            return false;
        };
        inputs.failover.pin(rank);
        info!(stream = %name, input = rank, "input selected by an operator");
        self.select_input(&name, now);
        true
    }

    /// A session has released the writer.
    pub(super) fn input_stood_by(&mut self, session: SessionId, now: Instant) {
        self.source_released(session, now);
        let Some(state) = self
            .endpoints
            .sessions
            .get(&session)
            .and_then(|id| self.endpoints.all.get(id))
        else {
            return;
        };
        let name = state.stream.clone();
        self.clear_active_input(&name, session);
        self.select_input(&name, now);
    }

    /// `session` no longer feeds `name`.
    pub(super) fn clear_active_input(&mut self, name: &StreamName, session: SessionId) {
        if let Some(inputs) = self.endpoints.inputs.get_mut(name) {
            match inputs.active {
                ActiveInput::Feeding(_, by) | ActiveInput::Leaving(by) if by == session => {
                    inputs.active = ActiveInput::Unset;
                }
                _ => {}
            }
        }
    }
}
