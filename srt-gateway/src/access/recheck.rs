//! A port whose settings hold for a while: afterwards its next caller waits until they have been asked for again.
//!
//! Read in listen callbacks, which wait for nobody; set by control.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// How long the settings of a port hold, and what to do when they do not.
pub(crate) struct Recheck {
    /// None: it is being asked.
    until: Mutex<Option<Instant>>,
    ask: Box<dyn Fn(SocketAddr) + Send + Sync>,
}

impl fmt::Debug for Recheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recheck")
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

impl Recheck {
    /// `ask` is called once each time that the settings hold no longer, with the caller's address; it must not block.
    pub(crate) fn new(until: Instant, ask: impl Fn(SocketAddr) + Send + Sync + 'static) -> Self {
        Self {
            until: Mutex::new(Some(until)),
            ask: Box::new(ask),
        }
    }

    pub(crate) fn holds_until(&self, until: Instant) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    /// Whether a caller is to wait.
    pub(super) fn is_due(&self, peer: SocketAddr, now: Instant) -> bool {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        match *until {
            Some(holds) if now < holds => return false,
            Some(_) => *until = None,
            None => return true,
        }
        drop(until);
        (self.ask)(peer);
        true
    }
}
