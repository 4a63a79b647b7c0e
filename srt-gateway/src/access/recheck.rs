//! A port whose settings expire: the next caller after that waits until they have been requested again.
//!
//! Read in listen callbacks, which never wait; set by control.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// When the settings of a port expire, and what to do then.
pub(crate) struct Recheck {
    /// None: being requested.
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
    /// `ask` is called once each time the settings expire, with the caller's address; it must not block.
    pub(crate) fn new(until: Instant, ask: impl Fn(SocketAddr) + Send + Sync + 'static) -> Self {
        Self {
            until: Mutex::new(Some(until)),
            ask: Box::new(ask),
        }
    }

    pub(crate) fn holds_until(&self, until: Instant) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    /// Whether a caller must wait.
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
