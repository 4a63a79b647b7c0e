//! Sockets and the threads that serve them: a pool of workers, each with an epoll of its own, and a thread that waits on
//! another one for control.
//!
//! ```text
//!   libsrt ──events, time──▶ worker 0..n ──Closed──▶ control ◀──Ready── srt_poll ◀──events── libsrt
//!   control ──Start, Feed, StandBy, Close──▶ worker      worker ──Fanout──▶ worker, outlets, recorder
//! ```
//!
//! Knows data, ts, telemetry and srt_safe. Decides nothing: who may connect and what happens when a source is lost is
//! control's and access's business.
//!
//! The channels are unbounded and yet bounded by what feeds them: at most one `Ready` per change of a socket's state
//! (edge-triggered), one `Fanout` per stream and worker (its wake flag), and one command per session.

mod backlog;
mod confined;
mod due;
mod file;
mod file_in;
mod file_out;
mod idle;
mod intake;
mod mailbox;
mod outlet;
pub(crate) mod packetiser;
mod pool;
mod publisher;
mod rate;
mod recorder;
mod resend;
mod resolve;
mod rtp;
mod source;
mod srt_call;
mod srt_poll;
mod udp;
mod viewer;
mod worker;

use std::{
    fmt, io,
    sync::Arc,
    time::{Duration, Instant},
};

use srt_safe::{ReaderTiming, RejectCode, SocketId, SrtGroup, SrtSocket};

pub(crate) use file::{FileKinds, STALLED_AFTER, special_kind};
pub(crate) use file_in::{AtEnd, FileIn, open_and_wait};
pub(crate) use file_out::FileOut;
pub(crate) use idle::{Attempt, IdleGuard, IdleId, IdlePorts, Reaction};
pub(crate) use mailbox::Mailbox;
pub(crate) use outlet::{OUTLETS, Outlet, OutletKind, Sink};
pub(crate) use pool::{Loads, Message, Pool, WorkerAssignment, join_until};
pub(crate) use resolve::{EndpointId, Found, Hosts, Resolved, Resolver};
pub(crate) use source::{Source, SourceContext, SourceOrder, Transport};
pub(crate) use srt_call::CallPorts;
pub(crate) use srt_poll::{Poller, Watch};
pub(crate) use udp::{UdpIn, UdpOptions, UdpOut, Wrapping, open_input};

use crate::{
    data::{HeldSlots, StartAt, Stream, Writer},
    names::{Role, SessionId, SessionLimits},
    telemetry::{LinkSampler, SessionCounters, Totals, WireSampler},
    ts::Format,
};

/// Why the workers could not start.
#[derive(Debug)]
pub(crate) enum StartPoolError {
    Srt(srt_safe::Error),
    Thread(io::Error),
}

impl From<srt_safe::Error> for StartPoolError {
    fn from(error: srt_safe::Error) -> Self {
        Self::Srt(error)
    }
}

impl From<io::Error> for StartPoolError {
    fn from(error: io::Error) -> Self {
        Self::Thread(error)
    }
}

/// What io tells control.
#[derive(Debug)]
pub(crate) enum IoEvent {
    /// A socket of control's has an event: connections to accept, or a call that was answered.
    Ready(SocketId),
    /// A session is over and its socket closed.
    Closed(ClosedSession),
    /// A session of [`Task::TakeOver`] has its first data.
    HasData(SessionId),
    /// A session has given up the right to write to the ring, as it was told to.
    StoodBy(SessionId),
    /// A host's name was looked up.
    Resolved(EndpointId, Resolved),
    /// The file of an input has been opened, or cannot be.
    Opened(EndpointId, io::Result<FileIn>),
    /// The file of an input or output does not answer (true), or does so again.
    Stalled(SessionId, bool),
    /// What a publisher sends has been recognised, or not any more.
    Format(SessionId, Format),
    /// A thread that waits for events cannot go on.
    PollFailed(srt_safe::Error),
}

/// A session's seat on a worker.
#[derive(Debug)]
pub(crate) struct SessionSetup {
    pub(crate) session: SessionId,
    pub(crate) socket: SrtSocket,
    pub(crate) stream: Arc<Stream>,
    pub(crate) limits: SessionLimits,
    /// For publishers.
    pub(crate) ingest: ReaderTiming,
    /// An output's messages are cut into pieces of this many bytes; None: they go out as they came.
    pub(crate) payload_size: Option<usize>,
    pub(crate) counters: Arc<SessionCounters>,
    /// Of what libsrt counts.
    pub(crate) wire: WireSampler,
    /// Of the links, where it is bonded.
    pub(crate) links: LinkSampler,
    /// Its place on the worker that serves it, held for as long as it lives.
    pub(crate) _placed: WorkerAssignment,
    /// Its places under the limits of its port and stream.
    pub(crate) held: HeldSlots,
}

impl SessionSetup {
    /// Takes libsrt's counters, unless the connection is gone: libsrt has forgotten them then.
    fn sample(&mut self) {
        if let Ok(mut stats) = self.socket.stats() {
            if self.socket.is_group() {
                let members = SrtGroup::members_of(self.socket.id()).unwrap_or_default();
                self.counters.set_links(self.links.complete(&mut stats, &members));
            }
            let unheard = self.socket.peer_state().map(|state| state.unheard);
            self.wire.take(stats, unheard, &self.counters, Instant::now());
        }
    }

    fn totals(&mut self) -> Totals {
        self.sample();
        Totals {
            messages: self.counters.messages(),
            bytes: self.counters.bytes(),
            skipped: self.counters.skipped(),
            ..self.wire.totals()
        }
    }
}

/// What the session is there for.
#[derive(Debug)]
pub(crate) enum Task {
    Publish(Writer),
    /// Take what comes and throw it away, until there is a [`Message::Feed`].
    StandBy,
    /// Say when there are data, and keep them until there is a [`Message::Feed`].
    TakeOver,
    View(StartAt),
}

/// The end of a session.
#[derive(Debug)]
pub(crate) struct ClosedSession {
    pub(crate) session: SessionId,
    pub(crate) role: Role,
    pub(crate) reason: CloseReason,
    pub(crate) totals: Totals,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// The peer closed, or was not heard of for `peer_idle_timeout`: libsrt does not tell.
    PeerGone,
    /// The peer closed.
    PeerClosed,
    /// Nothing was heard of the peer for `peer_idle_timeout`.
    PeerLost,
    /// No data for the configured `timeout`.
    NoData(Duration),
    /// A publisher that has sent nothing within `first_data_timeout`.
    NeverSent(Duration),
    /// A publisher above `max_bitrate`: both in b/s.
    TooFast { sent: u64, max: u64 },
    /// A viewer that asked for more than `resend_limit`, this many percent, for too long.
    ResendLimit(u32),
    /// The stream's source did not come back within `on_source_lost`.
    SourceLost,
    /// Another publisher has the place (duplicate_publisher).
    TakenOver,
    /// libsrt reported an error that ends the session.
    Failed(srt_safe::Error),
    /// A reload took its port or stream away.
    Unconfigured,
    /// The system reported an error that ends the session: its number.
    System(i32),
    /// A file that cannot be read as what it should be.
    Unreadable(io::ErrorKind),
    /// A file has no clock references to play it by.
    NoClock,
    /// A file does not answer.
    Stuck,
    /// The end of a file that is not to be begun again.
    EndOfFile,
    /// An input on demand: nobody watches any more.
    NotNeeded,
    /// An operator ended it.
    Kicked,
    /// Its lifetime was over, and the hook did not let it go on.
    NotRenewed(RejectCode),
    /// The gateway shuts down.
    Shutdown,
}

impl CloseReason {
    /// Why a connection is gone.
    fn of_peer(socket: &SrtSocket) -> Self {
        /// Without a SHUTDOWN, a connection breaks at the end of a silence.
        const HEARD: Duration = Duration::from_millis(900);
        match socket.peer_state() {
            Some(state) if state.has_closed => Self::PeerClosed,
            Some(state) if state.unheard >= HEARD => Self::PeerLost,
            _ => Self::PeerGone,
        }
    }

    /// An error of the system.
    fn of_io(error: &io::Error) -> Self {
        error
            .raw_os_error()
            .map_or_else(|| Self::Unreadable(error.kind()), Self::System)
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerGone => f.write_str("the peer closed the connection or fell silent"),
            Self::PeerClosed => f.write_str("the peer closed the connection"),
            Self::PeerLost => f.write_str(
                "nothing came from the peer any more, not even keep-alives (peer_idle_timeout): its link is cut, or it was killed or has no power",
            ),
            Self::NoData(timeout) => write!(f, "no data for {timeout:?} (timeout)"),
            Self::NeverSent(timeout) => {
                write!(
                    f,
                    "it sent nothing within {timeout:?} of connecting (first_data_timeout)"
                )
            }
            Self::TooFast { sent, max } => {
                write!(f, "it sent {sent} b/s for 5 s, more than max_bitrate = {max}")
            }
            Self::ResendLimit(percent) => write!(
                f,
                "it requested more retransmission than resend_limit = {percent} allows, for {} s",
                resend::PATIENCE
            ),
            Self::SourceLost => f.write_str("the source did not come back (on_source_lost)"),
            Self::TakenOver => f.write_str("another publisher replaced it (duplicate_publisher)"),
            Self::Failed(error) => write!(f, "{error}"),
            Self::Unconfigured => f.write_str("its port or stream was removed from the configuration"),
            Self::System(errno) => io::Error::from_raw_os_error(*errno).fmt(f),
            // What opens a file says it so (`confined`).
            Self::Unreadable(io::ErrorKind::Unsupported) => f.write_str(
                "it is not a regular file, or its path leads out of its folder or through a symbolic link (file_folders of [api])",
            ),
            Self::Unreadable(io::ErrorKind::InvalidInput) => {
                f.write_str("it is not a regular file; special=true in the URL allows FIFOs and devices")
            }
            Self::Unreadable(io::ErrorKind::NotConnected) => {
                f.write_str("no process reads from the FIFO")
            }
            Self::Unreadable(kind) => kind.fmt(f),
            Self::NoClock => f.write_str("the file has no clock references (PCR) to play it by"),
            Self::Stuck => f.write_str("the file system does not answer"),
            Self::EndOfFile => f.write_str("the file ended (loop=true repeats it)"),
            Self::NotNeeded => f.write_str("no longer needed (on_demand)"),
            Self::Kicked => f.write_str("an operator ended it (API)"),
            Self::NotRenewed(code) => write!(
                f,
                "its lifetime was over and the hook of [auth] did not renew it ({})",
                code.value()
            ),
            Self::Shutdown => f.write_str("the gateway shuts down"),
        }
    }
}
