//! Opens inputs and outputs that are not SRT sockets: datagrams and files. Control's thread opens sockets, which never
//! blocks. Other threads open files, because a file may hang forever, and report the result to control.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::Arc,
    time::Instant,
};

use tracing::{debug, info};

use super::{
    Control,
    dial::AttemptError,
    endpoints::{Attempt, Driver, EndpointRuntime, LiveConnection},
    reports::note,
};
use crate::{
    config::{FileTarget, Target, UdpTarget},
    data::{Cursor, StartAt, Stream},
    io::{
        AtEnd, EndpointId, FileIn, FileKinds, FileOut, IoEvent, Message, Outlet, OutletKind, STALLED_AFTER,
        Sink, Source, SourceContext, Transport, UdpIn, UdpOptions, UdpOut, Wrapping, open_input,
    },
    names::{Role, SessionId},
    telemetry::SessionCounters,
};

impl From<io::Error> for AttemptError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::Unsupported => Self::Permanent(error.to_string()),
            _ => Self::Temporary(error.to_string()),
        }
    }
}

impl Control {
    /// Opens an endpoint that is not an SRT socket; `addr` is the address of its host, if it has one.
    pub(super) fn open_plain(
        &mut self,
        id: EndpointId,
        addr: Option<SocketAddr>,
        now: Instant,
    ) -> Result<Option<Attempt>, AttemptError> {
        let Some(state) = self.endpoints.all.get(&id) else {
            return Ok(None);
        };
        let (name, role) = (state.stream.clone(), state.role);
        let stream = self.registry.stream(&name);
        let session = SessionId(self.last_session + 1);
        let counters = Arc::new(SessionCounters::default());
        let driver = match role {
            Role::Publisher => {
                let (name, transport) = open_socket(&state.endpoint.target, addr)?;
                let context = self.source_context(session, &stream, &counters);
                Driver::Source(Source::start(name, context, transport)?)
            }
            Role::Viewer => Driver::Outlet(self.open_outlet(state, addr, session, &stream, &counters)?),
        };
        self.live(id, session, stream, driver, counters, now);
        Ok(None)
    }

    /// Starts a session for an opened endpoint.
    fn live(
        &mut self,
        id: EndpointId,
        session: SessionId,
        stream: Arc<Stream>,
        driver: Driver,
        counters: Arc<SessionCounters>,
        now: Instant,
    ) {
        self.last_session = session.0;
        let name = stream.name().clone();
        if let Some(state) = self.endpoints.all.get_mut(&id) {
            let is_quiet = state.failures.is_failing();
            note!(is_quiet, %session, role = %state.role, stream = %name, endpoint = %state.endpoint.label(), "open");
            state.attempt = None;
            state.is_stalled = false;
            state.link.connected();
            state.live = Some(LiveConnection {
                session,
                stream,
                driver,
                counters,
                seen: 0,
                last_data: None,
                first_data: None,
                opened: now,
                is_silent: false,
                is_quiet,
            });
        }
        self.endpoints.sessions.insert(session, id);
        self.report_opened(session, &name);
        self.select_input(&name, now);
    }

    /// Starts to open the file of an input.
    pub(super) fn open_file(
        &self,
        id: EndpointId,
        file: &FileTarget,
        now: Instant,
    ) -> Result<Attempt, AttemptError> {
        let at_end = if file.repeat { AtEnd::Repeat } else { AtEnd::Stop };
        let events = self.endpoints.events.clone();
        FileIn::open(file.path.clone(), at_end, kinds(file), move |outcome| {
            drop(events.send(IoEvent::Opened(id, outcome)));
        })?;
        Ok(Attempt::Opening(now))
    }

    /// Handles the result of opening an input's file.
    pub(super) fn opened(&mut self, id: EndpointId, outcome: io::Result<FileIn>, now: Instant) {
        let Some(state) = self.endpoints.all.get(&id) else {
            return;
        };
        if self.ending || !matches!(state.attempt, Some(Attempt::Opening(_))) {
            return;
        }
        let session = SessionId(self.last_session + 1);
        let stream = self.registry.stream(&state.stream);
        let counters = Arc::new(SessionCounters::default());
        let context = self.source_context(session, &stream, &counters);
        let source = outcome.and_then(|file| Source::start("in-file", context, Box::new(file)));
        match source {
            Ok(source) => self.live(id, session, stream, Driver::Source(source), counters, now),
            Err(error) => {
                if let Some(state) = self.endpoints.all.get_mut(&id) {
                    state.is_stalled = false;
                    state.attempt = None;
                }
                self.attempt_started(id, Err(error.into()), now);
            }
        }
    }

    /// Reports a file that takes too long to open.
    pub(super) fn watch_opening(&mut self, id: EndpointId, now: Instant) {
        let Some(state) = self.endpoints.all.get(&id) else {
            return;
        };
        if let Some(Attempt::Opening(since)) = state.attempt
            && now.saturating_duration_since(since) >= STALLED_AFTER
            && !state.is_stalled
        {
            self.set_stalled(id, true, now);
        }
    }

    /// A session's file has stopped responding, or responds again.
    pub(super) fn stalled(&mut self, session: SessionId, is_stalled: bool, now: Instant) {
        if let Some(id) = self.endpoints.sessions.get(&session).copied() {
            self.set_stalled(id, is_stalled, now);
        }
    }

    fn set_stalled(&mut self, id: EndpointId, is_stalled: bool, now: Instant) {
        let Some(state) = self.endpoints.all.get_mut(&id) else {
            return;
        };
        state.is_stalled = is_stalled;
        if !is_stalled {
            info!(stream = %state.stream, endpoint = %state.endpoint.label(), "the file answers again");
            return;
        }
        let why = format!("the file has not responded for {} s", STALLED_AFTER.as_secs());
        self.report_failure(id, "stalled", &why, None, now);
    }

    fn source_context(
        &self,
        session: SessionId,
        stream: &Arc<Stream>,
        counters: &Arc<SessionCounters>,
    ) -> SourceContext {
        SourceContext {
            session,
            stream: Arc::clone(stream),
            counters: Arc::clone(counters),
            control: self.endpoints.events.clone(),
            workers: self.pool.mailboxes(),
        }
    }

    fn open_outlet(
        &self,
        state: &EndpointRuntime,
        addr: Option<SocketAddr>,
        session: SessionId,
        stream: &Arc<Stream>,
        counters: &Arc<SessionCounters>,
    ) -> Result<OutletKind, AttemptError> {
        let missing = || AttemptError::Permanent("the URL has no host to send to".to_owned());
        let (kind, start_at, sink): (_, _, Box<dyn Sink>) = match &state.endpoint.target {
            Target::File(file) => (
                OutletKind::Files,
                StartAt::Keyframe,
                Box::new(FileOut::new(file.path.clone(), file.segment, kinds(file))),
            ),
            Target::Udp(udp) | Target::Rtp(udp) => {
                let wrapping = match &state.endpoint.target {
                    Target::Rtp(_) => Wrapping::Rtp,
                    _ => Wrapping::Plain,
                };
                let to = addr.ok_or_else(missing)?;
                let out = UdpOut::open(&udp_options(udp), to, udp.payload_size, wrapping)?;
                // Older messages would be sent as one burst, which few datagram receivers can handle.
                (OutletKind::Datagrams, StartAt::Live, Box::new(out))
            }
            Target::Srt(_) => return Err(AttemptError::Permanent("SRT is called, not opened".to_owned())),
        };
        stream.add_output();
        let outlet = Outlet {
            session,
            stream: Arc::clone(stream),
            cursor: Cursor::new(stream.ring().start_position(start_at)),
            counters: Arc::clone(counters),
            sink,
        };
        self.pool.send_outlet(kind, Message::Attach(Box::new(outlet)));
        Ok(kind)
    }
}

/// Opens the socket of an input.
fn open_socket(
    target: &Target,
    addr: Option<SocketAddr>,
) -> Result<(&'static str, Box<dyn Transport>), AttemptError> {
    let (name, udp, wrapping) = match target {
        Target::Rtp(udp) => ("in-rtp", udp, Wrapping::Rtp),
        Target::Udp(udp) => ("in-udp", udp, Wrapping::Plain),
        Target::Srt(_) | Target::File(_) => {
            return Err(AttemptError::Permanent("it is not a datagram socket".to_owned()));
        }
    };
    let (socket, sender) = open_input(&udp_options(udp), addr)?;
    Ok((name, Box::new(UdpIn::new(socket, sender, wrapping))))
}

fn kinds(file: &FileTarget) -> FileKinds {
    match &file.folder {
        Some(folder) => FileKinds::Below(folder.clone()),
        None if file.special => FileKinds::Any,
        None => FileKinds::Regular,
    }
}

/// The socket options of a datagram URL.
pub(crate) fn udp_options(udp: &UdpTarget) -> UdpOptions {
    UdpOptions {
        port: udp.port,
        interface: udp.interface.clone(),
        ttl: udp.ttl,
        source: udp.source,
        buffer_size: udp.buffer_size,
        local_address: udp.local_address,
        tos: udp.tos,
        echo: udp.echo,
    }
}
