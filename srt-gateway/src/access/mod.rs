//! Who may connect, as what, to which stream.
//!
//! `streamid` reads what a caller asks for, `decide` answers from what it is given (a pure function), `gate` asks it from
//! libsrt's listen callback over a snapshot of the registry. `rules` judges by `[[rules]]`, `hook` has an operator's backend
//! judge, `rate_limiter` limits and bans addresses. `gate` is the one door: ports of tables, of ranges and templates, and inputs and
//! outputs that listen all go through it, each with a [`PortPolicy`] of its own.
//! No I/O happens here, and no callback waits: what takes time is found out on the threads of `checks`, and asked for again.

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
pub(crate) use streamid::{Form, Reading, RequestMode, StreamRequest, Unreadable, shown};
