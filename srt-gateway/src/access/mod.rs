//! Decides who may connect, in which role, to which stream.
//!
//! `streamid` parses what a caller requests, `decide` answers from its arguments (a pure function), and `gate` calls it
//! from libsrt's listen callback with a snapshot of the registry. `rules` evaluates `[[rules]]`, `hook` asks an
//! operator's backend, and `rate_limiter` limits and bans addresses. Every listener has a gate with its own
//! [`PortPolicy`]: ports of tables, ranges and templates, and listening inputs and outputs. No I/O happens here, and no
//! callback waits: slow checks run on the threads of `checks`, and the caller's next handshake finds the results.

mod bans;
mod bonds;
mod checks;
mod decide;
mod filter;
mod gate;
mod hook;
mod identity;
mod peer;
mod policy;
mod rate_limiter;
mod reason;
mod recheck;
mod rules;
mod streamid;
#[cfg(test)]
mod tests;

pub(crate) use bans::{Ban, BannedBy, canonical};
pub(crate) use bonds::Bonds;
pub(crate) use checks::{Checks, NoResults, Question};
pub(crate) use decide::{Caller, Decision, Grant, HookGrant, decide, key_bits};
pub(crate) use filter::FilterPolicy;
pub(crate) use gate::{Gate, Granted, Guards, Refused};
pub(crate) use hook::{Hook, HookQuestion, HookVerdict, Submitted, Terms};
pub(crate) use identity::{HopList, Identity};
pub use policy::Scope;
pub(crate) use policy::{
    Accepts, AccessPolicy, Directory, PortPolicy, Quotas, StreamEntry, StreamPolicy, TemplateEntry,
};
pub(crate) use rate_limiter::{AttemptKey, RateLimiter, Report, limited};
pub(crate) use reason::RefusalReason;
pub(crate) use recheck::Recheck;
pub(crate) use rules::matches as pattern_matches;
pub(crate) use streamid::{Form, Reading, RequestMode, StreamRequest, Unreadable, shown};
