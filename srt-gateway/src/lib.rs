//! The SRT gateway as a library: used by the `srt-gateway` binary, and by end-to-end tests in process.
//!
//! `ARCHITECTURE.md` at the root of the repository describes the modules, and how packets and decisions pass through
//! them.
#![forbid(unsafe_code)]

mod access;
mod address;
mod api;
mod backend;
mod bench;
#[doc(hidden)]
pub mod bench_support;
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

pub use access::Scope;
pub use address::{NoAddress, ZonedIp};
pub use control::{
    EndpointState, EndpointStatus, Listening, PortError, Reloaded, SessionFacts, SessionStatus, StreamStatus,
};
pub use gateway::{Gateway, StartError};
pub use names::{Role, SessionId, StreamName};
