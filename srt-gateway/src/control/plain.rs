//! Opens the inputs and outputs that are no SRT sockets: datagrams and files. What they need is opened by control's thread,
//! which waits for nobody there; what then waits is a thread of theirs.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use tracing::info;

use super::{
    Control,
    dial::Hitch,
    endpoints::{Attempt, Hands, Live, State},
};
use crate::{
    config::{FileTarget, Target, UdpTarget},
    data::{Cursor, StartAt, Stream},
    io::{
        AtEnd, EndpointId, FileIn, FileOut, Message, Outlet, OutletKind, Sink, Source, SourceSeat, Transport,
        UdpIn, UdpOut, UdpPlace, Wrapping, open_input, open_output,
    },
    names::{Role, SessionId},
    telemetry::SessionCounters,
};

impl From<io::Error> for Hitch {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::Unsupported => Self::Never(error.to_string()),
            _ => Self::Later(error.to_string()),
        }
    }
}

impl Control {
    /// Opens an endpoint that is no SRT socket; `ip` is what its host is called, if it has one.
    pub(super) fn open_plain(
        &mut self,
        id: EndpointId,
        ip: Option<IpAddr>,
        now: Instant,
    ) -> Result<Option<Attempt>, Hitch> {
        let Some(state) = self.endpoints.all.get(&id) else {
            return Ok(None);
        };
        let (name, role) = (state.stream.clone(), state.role);
        let stream = self.registry.stream(&name);
        let session = SessionId(self.last_session + 1);
        let counters = Arc::new(SessionCounters::default());
        let hands = match role {
            Role::Publisher => Hands::Source(self.open_source(state, ip, session, &stream, &counters)?),
            Role::Viewer => Hands::Outlet(self.open_outlet(state, ip, session, &stream, &counters)?),
        };
        self.last_session += 1;
        info!(%session, %role, stream = %name, endpoint = %state.endpoint, "open");
        if let Some(state) = self.endpoints.all.get_mut(&id) {
            state.attempt = None;
            state.link.connected(now);
            state.last_failure = None;
            state.live = Some(Live {
                session,
                stream,
                hands,
                counters,
                seen: 0,
            });
        }
        self.endpoints.sessions.insert(session, id);
        self.tell_opened(session, &name);
        self.settle_inputs(&name, now);
        Ok(None)
    }

    fn open_source(
        &self,
        state: &State,
        ip: Option<IpAddr>,
        session: SessionId,
        stream: &Arc<Stream>,
        counters: &Arc<SessionCounters>,
    ) -> Result<Source, Hitch> {
        let seat = SourceSeat {
            session,
            stream: Arc::clone(stream),
            counters: Arc::clone(counters),
            control: self.endpoints.events.clone(),
            workers: self.pool.mailboxes(),
        };
        let start = |name: &str, transport| Source::start(name, seat, transport);
        let source = match &state.endpoint.target {
            Target::File(file) => start("in-file", Box::new(open_file(file)?) as Box<dyn Transport>),
            Target::Rtp(udp) => {
                let socket = open_input(&udp_place(udp), ip)?;
                start("in-rtp", Box::new(UdpIn::new(socket, udp.source, Wrapping::Rtp)))
            }
            Target::Udp(udp) => {
                let socket = open_input(&udp_place(udp), ip)?;
                start(
                    "in-udp",
                    Box::new(UdpIn::new(socket, udp.source, Wrapping::Plain)),
                )
            }
            Target::Srt(_) => return Err(Hitch::Never("SRT is called, not opened".to_owned())),
        };
        Ok(source?)
    }

    fn open_outlet(
        &self,
        state: &State,
        ip: Option<IpAddr>,
        session: SessionId,
        stream: &Arc<Stream>,
        counters: &Arc<SessionCounters>,
    ) -> Result<OutletKind, Hitch> {
        let missing = || Hitch::Never("there is no host to send to".to_owned());
        let (kind, start_at, sink): (_, _, Box<dyn Sink>) = match &state.endpoint.target {
            Target::File(file) => (
                OutletKind::Files,
                StartAt::Keyframe,
                Box::new(FileOut::new(file.path.clone(), file.folder.clone(), file.segment)),
            ),
            Target::Udp(udp) | Target::Rtp(udp) => {
                let wrapping = match &state.endpoint.target {
                    Target::Rtp(_) => Wrapping::Rtp,
                    _ => Wrapping::Plain,
                };
                let ip = ip.ok_or_else(missing)?;
                let socket = open_output(&udp_place(udp), ip)?;
                let to = SocketAddr::new(ip, udp.port);
                let out = UdpOut::new(socket, to, udp.payload_size, wrapping);
                // What came before now would go out in one burst, which few receivers of datagrams take.
                (OutletKind::Datagrams, StartAt::Live, Box::new(out))
            }
            Target::Srt(_) => return Err(Hitch::Never("SRT is called, not opened".to_owned())),
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

fn open_file(file: &FileTarget) -> io::Result<FileIn> {
    let at_end = if file.repeat { AtEnd::Repeat } else { AtEnd::Stop };
    FileIn::open(&file.path, file.folder.as_deref(), at_end)
}

/// What a URL says of a socket for datagrams.
pub(crate) fn udp_place(udp: &UdpTarget) -> UdpPlace {
    UdpPlace {
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
