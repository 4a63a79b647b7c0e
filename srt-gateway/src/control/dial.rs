//! Connects inputs and outputs: resolves names, calls peers, listens for callers, and opens sessions.
//!
//! Runs on control's thread, so nothing here waits. The epoll thread watches pending calls.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    sync::Arc,
    time::{Duration, Instant},
};

use srt_safe::{AccessRequest, Interest, Ipv6Only, Progress, SocketId, SrtListener, SrtSocket, SrtVersion};
use tracing::warn;

use super::{
    Connection, Control, Session, SessionFacts, SessionOrigin,
    endpoints::{Attempt, Driver, EndpointRuntime, LiveConnection, Membership, PeerListener},
    link::{Desired, LinkState, Step},
    ports::{gate_sees_groups, limits, peer_policy, srt_options},
    reports::log_connected,
    streamid::call_options,
};
use crate::{
    access::{Gate, Granted, HopList, PortPolicy},
    address::ZonedIp,
    config::{self, PortKind, SrtMode, SrtSettings, SrtTarget, Target},
    data::HeldSlots,
    io::{
        CloseReason, ClosedSession, EndpointId, Found, Hosts, Message, Resolved, SessionSetup, Task,
        join_until,
    },
    names::{Role, SessionId, StreamName},
    telemetry::{LinkSampler, SessionCounters, WireSampler},
};

/// The listen backlog of an endpoint that waits for its one peer.
const BACKLOG: NonZeroU16 = NonZeroU16::new(4).unwrap();

/// A peer that called an endpoint and was admitted.
#[derive(Debug)]
pub(super) struct AdmittedPeer {
    port: Arc<PortPolicy>,
    granted: Granted,
}

/// Why an attempt could not be started.
pub(super) enum AttemptError {
    /// It may work later.
    Temporary(String),
    /// It cannot work with this configuration.
    Permanent(String),
}

impl From<srt_safe::Error> for AttemptError {
    fn from(error: srt_safe::Error) -> Self {
        Self::Temporary(error.to_string())
    }
}

impl Control {
    /// Advances every endpoint by one step.
    pub(super) fn tick_endpoints(&mut self, now: Instant) {
        let ids: Vec<_> = self.endpoints.all.keys().copied().collect();
        for id in ids {
            self.watch_opening(id, now);
            self.finish_call(id, now);
            self.keep_links(id, now);
            // `select_input` updates the activity of inputs.
            if let Some(state) = self.endpoints.all.get_mut(&id)
                && state.role == Role::Viewer
                && state.live.as_mut().is_some_and(|live| live.update_activity(now))
            {
                self.note_flow(id);
            }
            self.step(id, now);
        }
        self.select_inputs(now);
        self.endpoints.publish();
    }

    /// Applies the configured inputs and outputs of a stream.
    pub(super) fn configure_endpoints(&mut self, name: &StreamName, stream: &config::Stream, now: Instant) {
        self.endpoints.configure(name, stream, now);
        self.tick_endpoints(now);
    }

    fn step(&mut self, id: EndpointId, now: Instant) {
        if self.ending {
            return;
        }
        let wanted = self.wanted(id, now);
        let Some(state) = self.endpoints.all.get_mut(&id) else {
            return;
        };
        // The previous connection is still closing: an endpoint has one connection at a time.
        if state.live.is_some() && state.link.state() == LinkState::Idle {
            return;
        }
        match state.link.step(wanted, now) {
            Step::Nothing if state.membership == Membership::Retired && state.live.is_none() => {
                let state = self.endpoints.all.remove(&id);
                self.drop_attempt(state.and_then(|state| state.attempt));
            }
            Step::Nothing => {}
            Step::Connect => {
                let attempt = self.begin(id, now);
                self.attempt_started(id, attempt, now);
            }
            Step::HangUp => self.hang_up(id),
        }
    }

    fn wanted(&mut self, id: EndpointId, now: Instant) -> Desired {
        let endpoints = &mut self.endpoints;
        let Some(state) = endpoints.all.get(&id) else {
            return Desired::Disconnected;
        };
        if state.membership == Membership::Retired {
            return Desired::Disconnected;
        }
        let stream = self.registry.stream(&state.stream);
        let wanted = match state.role {
            // An output calls its peer only when the stream has a source. When the source is lost, it may come back, so
            // the session stays open like any viewer's. A listening output costs nothing while it waits, and an early
            // caller gets an answer.
            Role::Viewer => state.live.is_some() || stream.has_source() || !state.calls(),
            Role::Publisher => endpoints
                .inputs
                .get_mut(&state.stream)
                .is_none_or(|inputs| inputs.demand.is_there(stream.viewers() + stream.watchers(), now)),
        };
        if wanted {
            Desired::Connected
        } else {
            Desired::Disconnected
        }
    }

    /// Starts an attempt.
    fn begin(&mut self, id: EndpointId, now: Instant) -> Result<Option<Attempt>, AttemptError> {
        let Some(state) = self.endpoints.all.get(&id) else {
            return Ok(None);
        };
        let srt = match &state.endpoint.target {
            Target::Srt(srt) => srt,
            Target::Udp(udp) | Target::Rtp(udp) => {
                let host = udp.host.clone();
                return match host.as_deref().map(str::parse::<ZonedIp>) {
                    None => self.open_plain(id, None, now),
                    Some(Ok(ip)) => self.open_plain(id, Some(ip.socket_addr(udp.port)?), now),
                    Some(Err(_)) => {
                        let port = udp.port;
                        self.resolve_host(id, Hosts::One(host.unwrap_or_default(), port))
                            .map(Some)
                    }
                };
            }
            Target::File(file) if state.role == Role::Publisher => {
                let file = file.clone();
                return self.open_file(id, &file, now).map(Some);
            }
            Target::File(_) => return self.open_plain(id, None, now),
        };
        if srt.mode == SrtMode::Listener {
            if matches!(state.attempt, Some(Attempt::Listening(_))) {
                return Ok(None);
            }
            let srt = srt.clone();
            return self.listen(id, &srt).map(Some);
        }
        if let Some(bond) = srt.bond.clone() {
            return self.begin_bond(id, &bond).map(Some);
        }
        let host = srt.host.clone().unwrap_or_default();
        if let Ok(ip) = host.parse::<ZonedIp>() {
            let to = ip.socket_addr(srt.port)?;
            return self.call(id, &[to]).map(Some);
        }
        let port = srt.port;
        self.resolve_host(id, Hosts::One(host, port)).map(Some)
    }

    pub(super) fn resolve_host(&mut self, id: EndpointId, hosts: Hosts) -> Result<Attempt, AttemptError> {
        let asked = self.endpoints.resolver.ask(id, hosts);
        asked.map_err(|error| {
            AttemptError::Temporary(format!("cannot start a thread to resolve the host name: {error}"))
        })?;
        Ok(Attempt::Resolving)
    }

    pub(super) fn attempt_started(
        &mut self,
        id: EndpointId,
        attempt: Result<Option<Attempt>, AttemptError>,
        now: Instant,
    ) {
        match attempt {
            Ok(None) => {}
            Ok(attempt) => {
                if let Some(state) = self.endpoints.all.get_mut(&id) {
                    state.attempt = attempt;
                }
            }
            Err(AttemptError::Temporary(why)) => self.failed(id, &why, now),
            Err(AttemptError::Permanent(why)) => {
                if let Some(state) = self.endpoints.all.get_mut(&id) {
                    state.link.give_up();
                }
                self.report_failure(id, "given up", &why, None, now);
            }
        }
    }

    /// Continues an attempt after its host name was resolved.
    pub(super) fn resolved(&mut self, id: EndpointId, found: Resolved, now: Instant) {
        let waits = |state: &EndpointRuntime| matches!(state.attempt, Some(Attempt::Resolving));
        if !self.endpoints.all.get(&id).is_some_and(waits) {
            return;
        }
        let is_srt = |state: &EndpointRuntime| matches!(state.endpoint.target, Target::Srt(_));
        let is_srt = self.endpoints.all.get(&id).is_some_and(is_srt);
        let attempt = match found {
            Ok(Found::Each(addrs)) => self.call_links(id, &addrs).map(Some),
            Ok(Found::All(addrs)) if is_srt => self.call(id, &addrs).map(Some),
            Ok(Found::All(addrs)) => match addrs.first() {
                Some(addr) => self.open_plain(id, Some(*addr), now),
                None => Err(AttemptError::Temporary("the host name has no address".to_owned())),
            },
            Err(why) => Err(AttemptError::Temporary(format!(
                "cannot resolve the host name: {why}"
            ))),
        };
        self.attempt_started(id, attempt, now);
    }

    /// Calls the first address that can be called; each attempt starts with a different one.
    fn call(&mut self, id: EndpointId, addrs: &[SocketAddr]) -> Result<Attempt, AttemptError> {
        let Some(state) = self.endpoints.all.get(&id) else {
            return Err(AttemptError::Permanent("gone".to_owned()));
        };
        let Target::Srt(srt) = &state.endpoint.target else {
            return Err(AttemptError::Permanent("not SRT".to_owned()));
        };
        let turn = usize::try_from(state.failures.count()).unwrap_or(0);
        let Some(to) = addrs.get(turn % addrs.len().max(1)).copied() else {
            return Err(AttemptError::Temporary("the host name has no address".to_owned()));
        };
        let session = SessionId(self.last_session + 1);
        let streamid = self.streamid_for(state, srt, session, &[to]);
        let caller = SrtSocket::builder().options(call_options(srt, streamid.as_deref())?);
        let from = srt.adapter.unwrap_or_else(|| ZonedIp::any_like(&to));
        let local = |port| from.socket_addr(port);
        let call = match (srt.mode, srt.local_port) {
            (SrtMode::Rendezvous, port) => caller.start_rendezvous(local(port.unwrap_or(srt.port))?, to)?,
            (_, None) if srt.adapter.is_none() => self.endpoints.ports.call(&caller, to)?,
            (_, port) => caller.bind(local(port.unwrap_or(0))?).start_connect(to)?,
        };
        self.opener.watch.add(&call, Interest::WRITABLE)?;
        self.last_session += 1;
        self.endpoints.sockets.insert(call.id(), id);
        self.show_streamid(id, streamid.as_deref());
        Ok(Attempt::Calling(call, session))
    }

    /// Opens a listener for the one peer of an endpoint.
    fn listen(&mut self, id: EndpointId, srt: &SrtTarget) -> Result<Attempt, AttemptError> {
        let ip = srt.host.as_deref().and_then(|host| host.parse().ok());
        let options = srt_options(&srt.settings).map_err(AttemptError::Permanent)?;
        let options = options.group_connect(gate_sees_groups());
        let open = |ip: ZonedIp| {
            let addr = ip.socket_addr(srt.port)?;
            let options = match ip.ip() {
                IpAddr::V6(v6) if !v6.is_unspecified() => options.clone().ipv6_only(Ipv6Only::Yes),
                _ => options.clone(),
            };
            let gate = self.peer_gate(id, addr, &srt.settings);
            let door = Arc::clone(&gate);
            let builder = SrtListener::builder()
                .options(options)
                .backlog(BACKLOG)
                .access_control(move |request: &AccessRequest<'_>| door.authorize(request))
                .nonblocking();
            let listener = match ip == ZonedIp::ANY_V6 {
                true => builder.bind_udp(super::dual_stack::bind(srt.port, &srt.settings)?)?,
                false => builder.bind(addr)?,
            };
            Ok::<_, AttemptError>((listener, gate))
        };
        let (listener, gate) = match ip {
            Some(ip) => open(ip)?,
            // A host without IPv6 listens on IPv4 only.
            None => open(ZonedIp::ANY_V6).or_else(|_| open(ZonedIp::ANY_V4))?,
        };
        self.opener.watch.add(&listener, Interest::READABLE)?;
        self.endpoints.sockets.insert(listener.id(), id);
        Ok(Attempt::Listening(PeerListener {
            listener,
            gate,
            held: HeldSlots::default(),
        }))
    }

    /// The gate for callers of a listening endpoint, the same as for ports.
    fn peer_gate(&self, id: EndpointId, addr: SocketAddr, settings: &SrtSettings) -> Arc<Gate> {
        let state = self.endpoints.all.get(&id);
        let stream = state.map_or_else(|| StreamName::new(""), |state| state.stream.clone());
        let kind = match state.map(|state| state.role) {
            Some(Role::Viewer) => PortKind::Play,
            _ => PortKind::Publish,
        };
        Gate::new(
            Arc::new(peer_policy(stream, kind, settings, addr)),
            Arc::clone(&self.opener.directory),
            self.opener.refused.clone(),
            self.opener.guards.clone(),
        )
    }

    /// Handles an event on an endpoint's socket.
    pub(super) fn endpoint_ready(&mut self, socket: SocketId, now: Instant) {
        let Some(id) = self.endpoints.sockets.get(&socket).copied() else {
            return;
        };
        let Some(state) = self.endpoints.all.get(&id) else {
            return;
        };
        if matches!(state.attempt, Some(Attempt::Listening(..))) {
            self.accept_peer(id, now);
        } else {
            self.finish_call(id, now);
        }
    }

    fn accept_peer(&mut self, id: EndpointId, now: Instant) {
        loop {
            let Some(state) = self.endpoints.all.get(&id) else {
                return;
            };
            let Some(Attempt::Listening(waiting)) = &state.attempt else {
                return;
            };
            let Ok((socket, peer)) = waiting.listener.accept() else {
                return;
            };
            let granted = waiting.gate.take_granted(socket.id());
            let is_free = state.live.is_none() && state.link.state() == LinkState::Connecting;
            let Some(granted) = granted.filter(|_| is_free) else {
                warn!(%peer, endpoint = %state.endpoint.label(), "closed a connection that was accepted without being admitted");
                continue;
            };
            let caller = AdmittedPeer {
                port: Arc::clone(waiting.gate.port()),
                granted,
            };
            self.last_session += 1;
            self.start(id, socket, peer, SessionId(self.last_session), Some(caller), now);
        }
    }

    /// Checks whether a call has succeeded.
    fn finish_call(&mut self, id: EndpointId, now: Instant) {
        let Some(state) = self.endpoints.all.get_mut(&id) else {
            return;
        };
        let (call, session) = match state.attempt.take() {
            Some(Attempt::Calling(call, session)) => (call, session),
            Some(Attempt::Bonding(group, session)) => return self.finish_bond(id, group, session, now),
            other => {
                state.attempt = other;
                return;
            }
        };
        // `finish` consumes the call, and the watch is removed by socket id.
        let socket = call.id();
        match call.finish() {
            Ok(Progress::Pending(call)) => state.attempt = Some(Attempt::Calling(call, session)),
            Ok(Progress::Connected(connected)) => {
                self.endpoints.sockets.remove(&socket);
                self.opener.watch.remove(&connected);
                match connected.peer_addr() {
                    Ok(peer) => self.start(id, connected, peer, session, None, now),
                    Err(error) => self.failed(id, &error.to_string(), now),
                }
            }
            Err(error) => {
                self.endpoints.sockets.remove(&socket);
                self.failed(id, &error.to_string(), now);
            }
        }
    }

    pub(super) fn failed(&mut self, id: EndpointId, why: &str, now: Instant) {
        let Some(state) = self.endpoints.all.get_mut(&id) else {
            return;
        };
        let wait = if let Some(Attempt::Listening(_)) = state.attempt {
            state.link.listens_again();
            Duration::ZERO
        } else {
            state.attempt = None;
            state.link.failed(now)
        };
        self.report_failure(id, "not connected", why, Some(wait), now);
    }

    /// Opens a session for an endpoint's connection. `caller` is the gate's grant if the peer called.
    pub(super) fn start(
        &mut self,
        id: EndpointId,
        socket: SrtSocket,
        peer: SocketAddr,
        session: SessionId,
        caller: Option<AdmittedPeer>,
        now: Instant,
    ) {
        let Some(state) = self.endpoints.all.get(&id) else {
            return;
        };
        let Target::Srt(srt) = &state.endpoint.target else {
            return;
        };
        let connection = match Connection::of(&socket, state.role) {
            Ok(connection) => connection,
            Err(error) => return self.failed(id, &error.to_string(), now),
        };
        let required = srt
            .settings
            .version
            .map(|v| SrtVersion::from_number(v.to_libsrt()));
        if let Some(required) = required.filter(|required| *required != connection.version) {
            let why = format!(
                "the peer uses SRT {}, but the configuration requires exactly version = {required}",
                connection.version
            );
            return self.failed(id, &why, now);
        }
        let (role, name, limits) = (state.role, state.stream.clone(), limits(&srt.settings));
        let limits = caller
            .as_ref()
            .map_or(limits, |caller| caller.granted.grant.limits);
        let payload_size = srt.payload_size.map(usize::from);
        // On a socket that called, the streamid is our own.
        let hop_list = match (srt.mode, socket.stream_id()) {
            (SrtMode::Listener, Ok(Some(id))) => HopList::of(id.as_bytes()),
            _ => HopList::default(),
        };
        let is_quiet = state.failures.is_failing();
        log_connected(session, state, peer, &connection);
        let stream = self.registry.stream(&name);
        let task = match role {
            Role::Publisher => Task::StandBy,
            Role::Viewer => {
                stream.add_output();
                Task::View(self.registry.start_at(&name))
            }
        };
        let counters = Arc::new(SessionCounters::default());
        let placed = self.pool.place(&stream, role);
        let (worker, socket_id) = (placed.worker(), socket.id());
        let (via, streamid, mut grant) = match caller {
            Some(AdmittedPeer { port, granted }) => (Some(port), granted.streamid, Some(granted.grant)),
            None => (None, Box::default(), None),
        };
        let mut facts = SessionFacts::of(&connection, &streamid);
        if let Some(grant) = &grant {
            self.opener.guards.limiter.session_opened(peer.ip());
            if grant.passphrase.is_some() {
                self.opener.guards.checks.proved(peer.ip());
            }
            if let Some(hook) = &grant.hook {
                facts.labels.clone_from(&hook.terms.labels);
            }
        }
        self.registry.add_session(
            session,
            Session {
                role,
                stream: name.clone(),
                peer,
                socket: socket_id,
                worker,
                opened: now,
                via: SessionOrigin::Endpoint(via),
                hop_list,
                streamid,
                facts,
                counters: Arc::clone(&counters),
            },
        );
        let setup = SessionSetup {
            session,
            socket,
            stream: Arc::clone(&stream),
            limits,
            ingest: self.registry.ingest(&name),
            payload_size,
            counters: Arc::clone(&counters),
            wire: WireSampler::default(),
            links: LinkSampler::default(),
            _placed: placed,
            // For a peer that called, `PeerListener` holds the slots.
            held: HeldSlots::default(),
        };
        self.pool.send(worker, Message::Start(Box::new(setup), task));
        if let Some(state) = self.endpoints.all.get_mut(&id) {
            state.link.connected();
            if let (Some(Attempt::Listening(waiting)), Some(grant)) = (&mut state.attempt, &mut grant) {
                waiting.held = std::mem::take(&mut grant.held);
            }
            state.live = Some(LiveConnection {
                session,
                stream,
                driver: Driver::Worker {
                    worker,
                    socket: socket_id,
                },
                counters,
                seen: 0,
                last_data: Some(now),
                first_data: None,
                opened: now,
                is_silent: false,
                is_quiet,
            });
        }
        self.endpoints.sessions.insert(session, id);
        if !is_quiet {
            self.report_opened(session, &name);
        }
        self.hold_lease(session, grant.and_then(|grant| grant.hook), now);
        self.select_input(&name, now);
    }

    /// Handles the end of an endpoint's session.
    pub(super) fn endpoint_closed(&mut self, closed: &ClosedSession, now: Instant) {
        let Some(id) = self.endpoints.sessions.get(&closed.session).copied() else {
            return;
        };
        let state = self.endpoints.all.get(&id);
        let live = state.and_then(|state| Some((state.stream.clone(), state.live.as_ref()?)));
        if let Some((name, live)) = live
            && !matches!(live.driver, Driver::Worker { .. })
        {
            self.report_closed(closed, None, now);
            self.log_closed(closed, &name, None, now);
        }
        self.endpoints.sessions.remove(&closed.session);
        let Some(state) = self.endpoints.all.get_mut(&id) else {
            return;
        };
        let name = state.stream.clone();
        state.is_stalled = false;
        state.links = None;
        let mut flowed = Duration::ZERO;
        if let Some(mut live) = state.live.take() {
            live.update_activity(now);
            flowed = live.flowed().unwrap_or_default();
            if state.role == Role::Viewer {
                live.stream.remove_output();
            } else {
                // A writer that was sent to a session which had already ended was dropped with its message.
                live.stream.forget_source(live.session);
            }
        }
        let never = matches!(closed.reason, CloseReason::EndOfFile | CloseReason::NoClock);
        let mut broke = None;
        if let Some(wait) = state.link.ended(flowed, now)
            && closed.reason != CloseReason::SourceLost
        {
            if closed.reason == CloseReason::EndOfFile {
                state.failures.add_unreported(closed.reason.to_string());
            } else {
                broke = Some(wait);
            }
        }
        if let Some(Attempt::Listening(waiting)) = &mut state.attempt {
            // The order matters: a caller that is admitted from here on must find the endpoint listening.
            state.link.listens_again();
            waiting.held = HeldSlots::default();
        }
        if never && state.membership == Membership::Configured {
            state.link.give_up();
        }
        if let Some(inputs) = self.endpoints.inputs.get_mut(&name)
            && let Some(rank) = inputs.order.iter().position(|input| *input == id)
        {
            inputs.failover.lost(rank);
        }
        if broke.is_some() {
            self.report_failure(id, "lost", &closed.reason.to_string(), broke, now);
        }
        self.clear_active_input(&name, closed.session);
        // Does not wait for the tick: a good connection is made again at once.
        self.step(id, now);
        self.select_input(&name, now);
    }

    /// Drops the endpoint's connection or attempt.
    fn hang_up(&mut self, id: EndpointId) {
        let Some(state) = self.endpoints.all.get_mut(&id) else {
            return;
        };
        let attempt = state.attempt.take();
        state.is_stalled = false;
        if let Some(live) = &state.live {
            let reason = match state.membership {
                Membership::Configured => CloseReason::NotNeeded,
                Membership::Retired => CloseReason::Retired,
            };
            live.close(&self.pool, reason);
        }
        self.drop_attempt(attempt);
    }

    fn drop_attempt(&mut self, attempt: Option<Attempt>) {
        match attempt {
            Some(Attempt::Calling(call, _)) => {
                self.endpoints.sockets.remove(&call.id());
                self.opener.watch.remove(&call);
            }
            Some(Attempt::Listening(waiting)) => {
                self.endpoints.sockets.remove(&waiting.listener.id());
                self.opener.watch.remove(&waiting.listener);
            }
            Some(Attempt::Bonding(group, _)) => {
                self.endpoints.sockets.remove(&group.id());
                self.opener.watch.remove(&group);
            }
            Some(Attempt::Resolving | Attempt::Opening(_)) | None => {}
        }
    }

    /// Cancels all attempts at shutdown. The workers end the sessions.
    pub(super) fn end_endpoints(&mut self, deadline: Instant) {
        self.ending = true;
        let attempts: Vec<_> = self
            .endpoints
            .all
            .values_mut()
            .map(|state| state.attempt.take())
            .collect();
        for attempt in attempts {
            self.drop_attempt(attempt);
        }
        let live = self
            .endpoints
            .all
            .values_mut()
            .filter_map(|state| state.live.as_mut());
        let sources = live.filter_map(|live| match &mut live.driver {
            Driver::Source(source) => source.end(),
            _ => None,
        });
        // Signals all of them before it waits for the first.
        let sources: Vec<_> = sources.collect();
        let left = join_until(sources, deadline);
        if left > 0 {
            warn!(threads = left, "inputs did not stop in time");
        }
    }
}
