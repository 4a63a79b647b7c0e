//! The SRT gateway as a library: what the `srt-gateway` binary runs, and what end-to-end tests drive in process.
//!
//! `ARCHITECTURE.md` at the root of the repository draws the modules, the way of a packet and the way of a decision.
#![forbid(unsafe_code)]

mod access;
mod address;
mod api;
mod backend;
mod bench;
pub mod cli;
pub mod config;
mod control;
pub mod data;
mod events;
mod file_check;
mod gateway;
mod interface_check;
mod io;
mod json;
mod local;
mod log_control;
mod log_writer;
mod names;
mod peer;
mod rate_limit;
mod recent;
mod relay;
pub mod telemetry;
pub mod ts;
mod view;
#[doc(hidden)]
pub mod yardstick;

pub use access::Scope;
pub use address::{NoAddress, ZonedIp};
pub use control::{
    EndpointState, EndpointStatus, Listening, PortError, Reloaded, SessionFacts, SessionStatus, StreamStatus,
};
pub use gateway::{Gateway, StartError};
pub use names::{Role, SessionId, StreamName};
