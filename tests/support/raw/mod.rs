//! An SRT peer that is not libsrt: it builds every packet by hand, so that a test can send what no correct peer sends.
//!
//! [`RawPeer`] speaks to a listener over a UDP socket of its own: as a publisher, as a viewer, or as neither. [`Forger`]
//! sends datagrams whose source address is somebody else's. The modules `packet` and `handshake` lay out the bytes; they never
//! check that a value makes sense.
//!
//! Other packages compile this folder by its path, so it imports nothing but `std` and `socket2`.

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
