//! Safe API of libsrt.
mod access;
#[cfg(feature = "async")]
mod async_socket;
mod connect;
mod epoll;
mod error;
mod ffi;
mod file;
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
