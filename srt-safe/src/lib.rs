#![doc = include_str!("../README.md")]
//!
//! # A tour
//!
//! | to | see |
//! |---|---|
//! | call, or meet halfway | [`SrtSocket::builder`], [`Connecting`] |
//! | take callers in | [`SrtListener::builder`], [`AccessControl`] |
//! | set options | [`Options`], [`opt`], [`SrtSocket::set_option`] |
//! | know what a caller wants | [`StreamId`], [`Fields`] |
//! | send and receive | [`SrtSocket::send`], [`SrtSocket::recv_message`]; [`Read`](std::io::Read) and [`Write`](std::io::Write) for streams |
//! | serve many sockets on one thread | [`Epoll`], [`Registry`] |
//! | measure | [`SrtSocket::stats`], [`Stats`] |
//! | bond links | [`SrtGroup`] |
//! | see libsrt's log | [`log`] |
//!
//! ## A caller
//!
//! Everything that can be set is set before connecting, in [`Options`]: plain data that can be reused. Setting an
//! option too late does not compile.
//!
//! ```no_run
//! use std::time::Duration;
//! use srt_safe::{ErrorKind, Mode, Options, Passphrase, SrtSocket, StreamId};
//!
//! let caller = SrtSocket::builder()
//!     .options(
//!         Options::new()
//!             .latency(Duration::from_millis(200))
//!             .passphrase(Passphrase::new("correct horse battery")?),
//!     )
//!     .stream_id(StreamId::builder().resource("live/news").mode(Mode::Publish).build()?)
//!     .connect_timeout(Duration::from_secs(3))
//!     .connect("srt.example.org:9000");
//! match caller {
//!     Ok(socket) => drop(socket.send(b"one packet of up to 1316 bytes")?),
//!     Err(error) if error.kind() == ErrorKind::ConnectionRejected => {
//!         // "srt_connect: Connection setup failure: connection rejected: already in use (1409)"
//!         eprintln!("{error}");
//!     }
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## A listener with access control
//!
//! The decision is made during the handshake, with the streamid available. An [`Admission`] can carry options for this
//! one connection, so each stream of a port can have its own passphrase.
//!
//! ```
//! use srt_safe::{AccessRequest, Admission, Passphrase, RejectCode, SrtListener, SrtSocket, StreamId};
//!
//! let listener = SrtListener::builder()
//!     .access_control(|request: &AccessRequest<'_>| {
//!         let id = request.stream_id().map_err(|_| RejectCode::BAD_REQUEST)?;
//!         let fields = id.fields().map_err(|_| RejectCode::BAD_REQUEST)?;
//!         match fields.resource() {
//!             Some("open") => Ok(Admission::new()),
//!             Some("closed") => Passphrase::new("correct horse battery")
//!                 .map(|passphrase| Admission::new().passphrase(passphrase))
//!                 .map_err(|_| RejectCode::INTERNAL),
//!             _ => Err(RejectCode::NOT_FOUND),
//!         }
//!     })
//!     .bind("127.0.0.1:0")?;
//!
//! let call = |id: &str| -> Result<SrtSocket, Box<dyn std::error::Error>> {
//!     let id: StreamId = id.parse()?;
//!     Ok(SrtSocket::builder().stream_id(id).connect(listener.local_addr()?)?)
//! };
//! assert!(call("#!::r=open").is_ok());
//! let error = call("#!::r=nowhere").unwrap_err();
//! assert!(error.to_string().ends_with("not found (1404)"), "{error}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## An epoll loop
//!
//! One thread serves a listener and its callers. All sockets are non-blocking, and only the epoll waits.
//!
//! ```
//! use std::{collections::HashMap, time::Duration};
//! use srt_safe::{Epoll, Events, Interest, SrtListener, SrtSocket, Trigger};
//!
//! let listener = SrtListener::bind("127.0.0.1:0")?;
//! listener.set_nonblocking();
//! let mut epoll = Epoll::new()?;
//! epoll.registry().add(&listener, Interest::READABLE, Trigger::Level)?;
//!
//! # let caller = SrtSocket::builder().nonblocking().connect(listener.local_addr()?)?;
//! # let (started, mut greeted) = (std::time::Instant::now(), false);
//! let mut sockets: HashMap<_, SrtSocket> = HashMap::new();
//! let mut events = Events::with_capacity(64);
//! let mut packet = [0; 1456];
//! 'serve: loop {
//!     epoll.wait(&mut events, Some(Duration::from_secs(5)))?;
//! #   assert!(started.elapsed() < Duration::from_secs(20), "the caller's packet must come");
//! #   if !std::mem::replace(&mut greeted, true) { caller.send(b"hello")?; }
//!     for event in &events {
//!         if event.socket() == listener.id() {
//!             match listener.accept() {
//!                 Ok((socket, _peer)) => {
//!                     epoll.registry().add(&socket, Interest::READABLE, Trigger::Level)?;
//!                     sockets.insert(socket.id(), socket);
//!                 }
//!                 Err(error) if error.is_would_block() => {}
//!                 Err(error) => return Err(error),
//!             }
//!         } else if let Some(socket) = sockets.get(&event.socket()) {
//!             match socket.recv(&mut packet) {
//!                 Ok(len) => {
//!                     assert_eq!(&packet[..len], b"hello");
//!                     break 'serve;
//!                 }
//!                 Err(error) if error.is_would_block() => {}
//!                 // Broken: dropping it closes it, and takes it out of the epoll.
//!                 Err(_) => drop(sockets.remove(&event.socket())),
//!             }
//!         }
//!     }
//! }
//! # Ok::<(), srt_safe::Error>(())
//! ```
//!
//! # Threads, and what blocks
//!
//! - Every handle is [`Send`] and [`Sync`], and every call may be made from any thread: libsrt locks. Two threads that
//!   receive from one socket share its messages.
//! - New sockets block: [`accept`](SrtListener::accept), [`connect`](SrtSocketBuilder::connect),
//!   [`recv`](SrtSocket::recv) and, with a full buffer, [`send`](SrtSocket::send). After `set_nonblocking` they return
//!   [`ErrorKind::WouldBlock`] instead. [`shutdown`](SrtSocket::shutdown) from another thread ends a blocked call.
//! - Only one thread at a time can call [`Epoll::wait`], which its type enforces; its [`Registry`] and [`Waker`] can be
//!   used by all.
//! - [`AccessControl`] runs on libsrt's own receiving thread, in a handshake: while it runs, every connection of that
//!   port waits. It should look up the answer and return, and must not touch the listener. [Defer](Verdict::Defer)
//!   slower decisions.
//! - A panic in a callback refuses the caller (or ends the subscription), and never crosses into C.
//!
//! # What libsrt owns
//!
//! libsrt starts with the first call and ends with the process: do not start it or clean it up yourself. Do not fork
//! without `exec` once a socket has been created.
//!
//! A process may exit at any time, whatever its threads are doing: open sockets are closed, so that peers are notified.
//! Data that a socket in file mode has not delivered by then is lost: close it first. With an installed libsrt (feature
//! `system`), the exit takes about a second more, and waits for an [`AccessControl`] decision that does not return.
//!
//! It runs two threads for each local UDP port (and so for each caller that is not bound to a shared one), one for each
//! socket that receives live data (unless [its reader times it](SrtSocket::time_by_reader)), and one for closing. A
//! closed socket exists internally for about a second. libsrt owns and closes a UDP socket that is [handed
//! over](SrtListenerBuilder::bind_udp).
//!
//! A [`SocketId`] names a socket and owns nothing: keep the handle.
//!
//! # Relation to `libsrt-sys`
//!
//! `libsrt-sys` has the raw declarations and builds the library, with a few small edits that [`libsrt_sys::EDITS`]
//! lists: they make deferred verdicts and prompt wake-ups possible. Without them (feature `system`, or another source
//! tree) this crate does the same more slowly, or reports that it cannot: [`SrtListener::can_defer`].
//! [`library_version`] returns the linked version. For functions that are missing here, use [`SrtSocket::into_raw`] and
//! [`SrtSocket::from_raw`].

mod access;
#[cfg(feature = "async")]
mod async_socket;
mod connect;
pub mod datagram;
mod delivery;
mod epoll;
mod error;
mod ffi;
mod file;
mod group;
mod handshake;
mod init;
mod key_request;
mod listener;
pub mod log;
mod memory;
mod options;
#[cfg(feature = "async")]
mod reactor;
mod reject;
mod socket;
mod stats;
mod stream_id;
mod threads;
mod trampoline;
mod transfer;
mod version;

pub use access::{AccessControl, AccessCounts, AccessRequest, Admission, Verdict};
#[cfg(feature = "async")]
pub use async_socket::{AsyncSrtListener, AsyncSrtSocket};
pub use connect::{Connecting, Progress, SrtSocketBuilder};
pub use delivery::{PeerState, ReaderTiming, SendState};
pub use epoll::{Epoll, Event, Events, EventsIter, Interest, Registry, Trigger, Waker};
pub use error::{Error, ErrorCode, ErrorKind, Result};
pub use group::{
    GroupLink, GroupType, LinkFailure, Member, MemberState, MemberTable, NotAGroup, SrtGroup, SrtGroupBuilder,
};
pub use handshake::{CallerFilter, CallerGroup, CallerHandshake, CallerMode};
pub use init::{set_packet_filter_limit, spare_idle_connections};
pub use key_request::KeyRequest;
pub use listener::{Incoming, SrtListener, SrtListenerBuilder};
pub use memory::release_free_memory;
pub use options::{
    AfterConnect, Arq, Congestion, CryptoMode, FecLayout, FilterError, InputBandwidth, InvalidPassphrase,
    InvalidVersion, IpTos, Ipv6Only, KeyLength, KeyState, KmState, MaxBandwidth, OptionError, OptionInfo,
    OptionValue, Options, PacketFilter, Passphrase, Readable, Readiness, RetransmitAlgorithm,
    RetransmitBandwidth, Settable, SockOpt, SrtVersion, TransmissionType, Writable, opt,
};
#[cfg(feature = "async")]
pub use reactor::Reactor;
pub use reject::{RejectCode, RejectReason};
pub use socket::{AsSrtSocket, SocketId, SocketState, SrtSocket};
pub use stats::{Buffer, Counters, Delta, Link, Stats, StatsAccumulator, Traffic};
pub use stream_id::{Fields, Mode, StreamId, StreamIdBuilder, StreamIdError};
pub use threads::{LibraryThread, LibraryThreadKind, library_threads};
pub use transfer::{CollectedSends, DeliveryOrder, MessageInfo, MessageOptions, SourceTime, Unsent};
pub use version::{library_crypto, library_edits, library_version};
