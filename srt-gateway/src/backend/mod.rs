//! Calls to operators' HTTP backends, for `[auth]`, `[config_external]` and `[events]`.
//!
//! One thread, named `backend`, makes all calls in a tokio runtime of its own; the first client starts it. Results come
//! back through callbacks on that thread, so no caller waits, whatever a backend does. It neither interprets questions,
//! nor caches answers, nor repeats calls: its callers do.

mod answer;
mod breaker;
mod client;
mod fault;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use self::{
    answer::{Answer, Fields, wrong},
    breaker::{Breaker, BreakerState, Pass},
    client::{Backend, Client, ClientSettings},
    fault::{Busy, CallError},
};
