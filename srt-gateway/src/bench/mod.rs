//! The load generator: loads any SRT server with publishers and viewers, and measures what arrives and what that costs
//! the server.
//!
//! A plain SRT client with streamids from templates, so it can load other servers as well. `load` runs one load and
//! measures it; `compare` starts several servers in turn and compares their figures. Everything runs on threads of its
//! own; the gateway does not use it.
//!
//! Sender and receiver share one process, so that one clock times both; the network is not measured.

mod compare;
mod figures;
mod histogram;
mod load;
mod payload;
mod plan;
mod receive;
mod report;
mod send;
mod server;

pub(crate) use compare::{Comparison, compare};
pub(crate) use figures::Figures;
pub(crate) use load::run;
pub(crate) use plan::{Load, PLAY, PUBLISH, Scenario, Target};
pub(crate) use report::{comparison_table, figures_table};

/// Why a load could not be run or measured, for display.
pub(crate) type Result<T> = std::result::Result<T, String>;
