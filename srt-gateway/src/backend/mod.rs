//! Operators' HTTP backends: what asks them (`[auth]`, `[config_external]`) and what tells them (`[events]`).
//!
//! One thread, named `backend`, with a tokio runtime of its own makes all calls; it is started with the first client. A call
//! is handed to it and its outcome comes back by a callback on that thread: nobody waits here, whatever a backend does. It
//! knows nothing of what is asked, keeps no answers and repeats no call: that is for those who ask.

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
