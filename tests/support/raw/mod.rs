//! An SRT peer that is not libsrt: it builds every packet by hand, so that a test can send what no correct peer sends.
//!
//! [`RawPeer`] connects to a listener over its own UDP socket: as a publisher, as a viewer, or as neither. [`Forger`]
//! sends datagrams with a foreign source address. The modules `packet` and `handshake` encode the bytes; they never
//! check values.
//!
//! Other packages compile this folder by its path, so it imports only `std` and `socket2`.

mod forger;
mod handshake;
mod packet;
mod peer;
mod sniffer;

pub use forger::Forger;
pub use handshake::{Extension, Handshake, Request};
pub use packet::{Control, Data, Kind, Loss, Packet};
pub use peer::{RawPeer, Refused};
pub use sniffer::Sniffer;
