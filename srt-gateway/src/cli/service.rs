//! What a service manager is told: ready, reloading, ending, and that the gateway still answers (the watchdog).
//!
//! The protocol of sd_notify(3): datagrams to the socket that `NOTIFY_SOCKET` names. Without it all of this does nothing.
//! Runs on the main thread. Does not decide what happens to a gateway that no longer answers: the manager does, when the
//! signs of life stop.

use std::{
    env,
    time::{Duration, Instant},
};

use sd_notify::NotifyState;
use tracing::{error, warn};

use crate::gateway::Gateway;

/// A sign of life is due this many times in the watchdog's time: one that is late is no death.
const SIGNS: u32 = 3;

/// The service manager, if one started us.
#[derive(Debug)]
pub(super) struct Service {
    /// How often the watchdog wants a sign; none: it does not watch.
    every: Option<Duration>,
    next: Instant,
    /// Whether the gateway answered the last time.
    answers: bool,
}

impl Service {
    pub(super) fn new() -> Self {
        let watched = env::var_os("NOTIFY_SOCKET").and_then(|_| sd_notify::watchdog_enabled());
        Self {
            every: watched.map(|time| time / SIGNS),
            next: Instant::now(),
            answers: true,
        }
    }

    /// All ports listen, or the new configuration is in force.
    pub(super) fn ready(&self, gateway: &Gateway) {
        let status = match gateway.listening().len() {
            1 => "serving on 1 port".to_owned(),
            ports => format!("serving on {ports} ports"),
        };
        tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
    }

    pub(super) fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// Gives a sign of life if one is due and the gateway answers. Blocks while it does not, for 4 s at most.
    pub(super) fn live(&mut self, gateway: &Gateway) {
        let Some(every) = self.every else { return };
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + every;
        let answers = gateway.answers();
        if answers {
            tell(&[NotifyState::Watchdog]);
        } else if self.answers {
            error!(
                "the gateway's control thread does not answer: no sign of life to the service manager until it does"
            );
        }
        self.answers = answers;
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "the service manager cannot be told: NOTIFY_SOCKET does not work");
    }
}
