//! What the end-to-end tests share: an impairment proxy, the peers to talk to, test streams, and the gateway,
//! as a process and within the test.
//!
//! A library of its own so that its parts have unit tests and every module of `tests/e2e` can use them. It owns no
//! policy of the gateway; each part is a tool that fails loudly (a panic that says what to do) and never skips a test.

mod support;

pub use support::{
    client, gateway, http, impair, in_process, innocent, namespace, pace, peers, ports, raw, rng, source,
    wait,
};
