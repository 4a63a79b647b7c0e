//! The SRT gateway as a library: what the `srt-gateway` binary runs, and what end-to-end tests drive in process.
//!
//! `ARCHITECTURE.md` at the root of the repository draws the modules, the way of a packet and the way of a decision.
#![forbid(unsafe_code)]

pub mod config;
pub mod data;
pub mod ts;
