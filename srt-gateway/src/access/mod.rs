//! Who may connect, as what, to which stream.
//!
//! `streamid` reads what a caller asks for, `decide` answers from what it is given (a pure function), `gate` asks it from
//! libsrt's listen callback over a snapshot of the registry. No I/O happens here, and nothing waits.

mod decide;
mod gate;
mod identity;
mod policy;
mod streamid;
#[cfg(test)]
mod tests;

pub(crate) use decide::{Caller, Decision, Grant, decide};
pub(crate) use gate::{Gate, Refused};
pub(crate) use identity::{Identity, Trail};
pub use policy::Scope;
pub(crate) use policy::{AccessPolicy, Directory, Entry, PortPolicy, StreamPolicy};
pub(crate) use streamid::{Ask, AskMode, Reading, Unreadable, shown};
