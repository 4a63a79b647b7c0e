//! Sockets and the threads that serve them: a pool of workers, each with its own epoll, and a thread that waits on
//! another epoll for control.
//!
//! ```text
//!   libsrt ──events, time──▶ worker 0..n ──Closed──▶ control ◀──Ready── srt_poll ◀──events── libsrt
//!   control ──Start, Feed, StandBy, Pause, Close──▶ worker      worker ──Fanout──▶ worker, outlets, recorder
//! ```
//!
//! Depends on data, ts, telemetry and srt_safe. Control and access decide who may connect and what happens when a
//! source is lost.
//!
//! The channels have no fixed capacity, but their senders bound them: at most one `Ready` per change of a socket's
//! state (edge-triggered), one `Fanout` per stream and worker (its wake flag), and one command per session.

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
    names::{Role, SessionId, SessionLimits, StreamName},
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

/// Events for control.
#[derive(Debug)]
pub(crate) enum IoEvent {
    /// A socket of control has an event: a connection to accept, or a call that was answered.
    Ready(SocketId),
    /// A session has ended and its socket is closed.
    Closed(ClosedSession),
    /// A session with [`Task::TakeOver`] has received its first data.
    HasData(SessionId),
    /// A session has released the ring's writer as requested.
    StoodBy(SessionId),
    /// A session has taken the writer of this stream.
    Feeding(StreamName),
    /// A session that was to get the writer of this stream had closed. The stream has no source.
    FeedFailed(StreamName),
    /// The result of resolving a host name.
    Resolved(EndpointId, Resolved),
    /// The result of opening an input's file.
    Opened(EndpointId, io::Result<FileIn>),
    /// The file of an input or output has stopped responding (true) or responds again.
    Stalled(SessionId, bool),
    /// The payload format of a publisher has changed.
    Format(SessionId, Format),
    /// The wait for events has failed, and the thread has ended.
    PollFailed(srt_safe::Error),
}

/// What a worker needs to run a session.
#[derive(Debug)]
pub(crate) struct SessionSetup {
    pub(crate) session: SessionId,
    pub(crate) socket: SrtSocket,
    pub(crate) stream: Arc<Stream>,
    pub(crate) limits: SessionLimits,
    /// Used by publishers only.
    pub(crate) ingest: ReaderTiming,
    /// The message size of an output; None: messages are sent as they were received.
    pub(crate) payload_size: Option<usize>,
    pub(crate) counters: Arc<SessionCounters>,
    /// Samples libsrt's counters.
    pub(crate) wire: WireSampler,
    /// Samples the links of a bonded session.
    pub(crate) links: LinkSampler,
    /// The reservation on its worker, held as long as the session.
    pub(crate) _placed: WorkerAssignment,
    /// The reservations under the limits of its port and stream.
    pub(crate) held: HeldSlots,
}

impl SessionSetup {
    /// Samples libsrt's counters, unless the connection is gone: libsrt has then discarded them.
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

/// The purpose of a session.
#[derive(Debug)]
pub(crate) enum Task {
    Publish(Writer),
    /// Discard received data until [`Message::Feed`].
    StandBy,
    /// Report the first data, and keep it in the socket until [`Message::Feed`].
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
    /// The peer closed the connection or fell silent for `peer_idle_timeout`; libsrt does not say which.
    PeerGone,
    /// The peer closed the connection.
    PeerClosed,
    /// Nothing was received from the peer for `peer_idle_timeout`.
    PeerLost,
    /// No data for the configured `timeout`.
    NoData(Duration),
    /// A publisher that has sent nothing within `first_data_timeout`.
    NeverSent(Duration),
    /// A publisher exceeded `max_bitrate`; both in b/s.
    TooFast { sent: u64, max: u64 },
    /// A viewer exceeded `resend_limit`, in percent, for too long.
    ResendLimit(u32),
    /// The stream's source did not come back within `on_source_lost`.
    SourceLost,
    /// Another publisher took over the stream (duplicate_publisher).
    TakenOver,
    /// libsrt reported an error that ends the session.
    Failed(srt_safe::Error),
    /// A reload removed its port or stream.
    Unconfigured,
    /// The input or output was removed or stopped.
    Retired,
    /// The system reported an error that ends the session; its number.
    System(i32),
    /// A file is not in the expected format.
    Unreadable(io::ErrorKind),
    /// A file has no clock references to pace it by.
    NoClock,
    /// A file does not respond.
    Stuck,
    /// The end of a file that is not repeated.
    EndOfFile,
    /// An on-demand input without viewers.
    NotNeeded,
    /// An operator ended it.
    Kicked,
    /// Its lifetime expired, and the hook did not renew it.
    NotRenewed(RejectCode),
    /// The gateway is shutting down.
    Shutdown,
}

impl CloseReason {
    /// The reason why a connection is gone.
    fn of_peer(socket: &SrtSocket) -> Self {
        /// A connection that breaks without a SHUTDOWN does so after a silence.
        const HEARD: Duration = Duration::from_millis(900);
        match socket.peer_state() {
            Some(state) if state.has_closed => Self::PeerClosed,
            Some(state) if state.unheard >= HEARD => Self::PeerLost,
            _ => Self::PeerGone,
        }
    }

    /// An error of the operating system.
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
                resend::EXHAUSTED_AFTER
            ),
            Self::SourceLost => f.write_str("the source did not come back (on_source_lost)"),
            Self::TakenOver => f.write_str("another publisher replaced it (duplicate_publisher)"),
            Self::Failed(error) => write!(f, "{error}"),
            Self::Unconfigured => f.write_str("its port or stream was removed from the configuration"),
            Self::Retired => f.write_str("the input or output was removed or stopped"),
            Self::System(errno) => io::Error::from_raw_os_error(*errno).fmt(f),
            // `confined` uses this error kind for refused paths.
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
