//! The yardstick: loads any SRT server with publishers and viewers, and measures what arrives and what that costs the server.
//!
//! It is a client like any other: plain SRT, streamids from templates, so that it loads other servers as well. `load` makes
//! one load and measures it, `compare` starts several servers in turn and sets their figures side by side. Everything runs on
//! threads of its own; nothing here is used by the gateway.
//!
//! Sender and receiver are one process, so that one clock stamps and reads: it measures no network.

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

/// Why a load could not be made or measured, for people.
pub(crate) type Result<T> = std::result::Result<T, String>;
