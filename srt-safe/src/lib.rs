//! Safe API of libsrt.
mod epoll;
mod error;
mod ffi;
mod init;
mod listener;
pub mod log;
mod options;
mod reject;
mod socket;
mod stats;
mod stream_id;

pub use epoll::{Epoll, Event, Events, EventsIter, Interest, Registry, Trigger, Waker};
pub use error::{Error, ErrorCode, ErrorKind, Result};
pub use listener::SrtListener;
pub use options::{
    AfterConnect, Arq, Congestion, CryptoMode, FecLayout, FilterError, InputBandwidth, InvalidPassphrase,
    InvalidVersion, IpTos, Ipv6Only, KeyLength, KeyState, KmState, MaxBandwidth, OptionError, OptionInfo,
    OptionValue, Options, PacketFilter, Passphrase, Readable, Readiness, RetransmitAlgorithm,
    RetransmitBandwidth, Settable, SockOpt, SrtVersion, TransmissionType, Writable, opt,
};
pub use reject::{RejectCode, RejectReason};
pub use socket::{AsSrtSocket, SocketId, SrtSocket};
pub use stats::{Buffer, Counters, Delta, Link, Stats, StatsAccumulator, Traffic};
pub use stream_id::{Fields, Mode, StreamId, StreamIdBuilder, StreamIdError};
