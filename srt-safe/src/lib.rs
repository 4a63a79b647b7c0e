//! Safe API of [libsrt](https://github.com/Haivision/srt), the library of the SRT protocol (Secure Reliable Transport): media
//! over UDP with retransmission, timing and encryption.
//!
//! ```
//! use std::time::Duration;
//! use srt_safe::{AccessRequest, Admission, Options, Passphrase, RejectCode, SrtListener, SrtSocket, StreamId};
//!
//! let secret = Passphrase::new("correct horse battery")?;
//! let listener = SrtListener::builder()
//!     .access_control({
//!         let secret = secret.clone();
//!         move |request: &AccessRequest<'_>| match request.stream_id_bytes() {
//!             b"live/one" => Ok(Admission::new().passphrase(secret.clone())),
//!             _ => Err(RejectCode::NOT_FOUND),
//!         }
//!     })
//!     .bind("127.0.0.1:0")?;
//!
//! let caller = SrtSocket::builder()
//!     .options(Options::new().latency(Duration::from_millis(80)).passphrase(secret))
//!     .stream_id(StreamId::new("live/one")?)
//!     .connect(listener.local_addr()?)?;
//! let (accepted, peer) = listener.accept()?;
//! assert_eq!(peer, caller.local_addr()?);
//!
//! caller.send(b"seven packets of MPEG-TS, say")?;
//! let mut packet = [0; 1316];
//! let len = accepted.recv(&mut packet)?;
//! assert_eq!(&packet[..len], b"seven packets of MPEG-TS, say");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to start
//! - [`SrtSocket`]: call, meet ([`rendezvous`](SrtSocketBuilder::rendezvous)), send and receive; messages in live mode,
//!   [`Read`](std::io::Read), [`Write`](std::io::Write) and whole files in file mode.
//! - [`SrtListener`]: take callers in; [`AccessControl`] decides who, with which settings, or later ([`Verdict::Defer`]).
//! - [`Options`]: every option of libsrt, typed or by name; [`opt`] for single ones of a live socket.
//! - [`Epoll`]: many sockets on one thread. [`Stats`]: what happened on a connection. [`log`]: libsrt's own lines.
//!
//! # Threads
//! All handles are `Send` and `Sync`, and all calls may come from any thread. libsrt has two threads of its own per UDP port,
//! one per receiving live socket, and one per process; a decision of [`AccessControl`] runs on the port's. Do not fork after
//! the first socket.
//!
//! # The end of the process
//! A process may exit at any time, whatever its threads are doing: sockets that are open then are closed, so that peers know.
//! What a socket in file mode has not delivered by then is lost: close it first. With an installed libsrt (feature `system`)
//! the exit takes about a second more, and waits for a decision of [`AccessControl`] that does not return.
//!
//! # Which libsrt
//! The pinned 1.5.7 with this project's edits, unless the build says otherwise: see `libsrt-sys`, [`library_version`] and
//! [`library_edits`].

mod access;
#[cfg(feature = "async")]
mod async_socket;
mod connect;
mod epoll;
mod error;
mod ffi;
mod file;
mod group;
mod handshake;
mod init;
mod listener;
pub mod log;
mod options;
#[cfg(feature = "async")]
mod reactor;
mod reject;
mod socket;
mod stats;
mod stream_id;
mod trampoline;
mod transfer;
mod version;

pub use access::{AccessControl, AccessCounts, AccessRequest, Admission, Verdict};
#[cfg(feature = "async")]
pub use async_socket::{AsyncSrtListener, AsyncSrtSocket};
pub use connect::{Connecting, Progress, SrtSocketBuilder};
pub use epoll::{Epoll, Event, Events, EventsIter, Interest, Registry, Trigger, Waker};
pub use error::{Error, ErrorCode, ErrorKind, Result};
pub use group::{
    GroupLink, GroupType, LinkFailure, Member, MemberState, MemberTable, NotAGroup, SrtGroup, SrtGroupBuilder,
};
pub use handshake::CallerHandshake;
pub use listener::{Incoming, SrtListener, SrtListenerBuilder};
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
pub use transfer::{DeliveryOrder, MessageInfo, MessageOptions, SourceTime, Unsent};
pub use version::{library_crypto, library_edits, library_version};
