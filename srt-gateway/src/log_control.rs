//! The log level, which may change while the gateway runs: by the configuration, or by the API.
//!
//! Any thread may change it. `cli` sets up the log and passes the handle of its filter.

use std::sync::{Mutex, PoisonError};

use tracing::warn;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::config::LogLevel;

/// Changes the log level.
#[derive(Debug)]
pub(crate) struct LogControl {
    level: Mutex<LogLevel>,
    /// None: RUST_LOG is set for this run, and takes precedence over the file.
    filter: Option<reload::Handle<EnvFilter, Registry>>,
}

/// `RUST_LOG` decides what is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SetByHand;

impl LogControl {
    pub(crate) fn new(level: LogLevel, filter: Option<reload::Handle<EnvFilter, Registry>>) -> Self {
        Self {
            level: Mutex::new(level),
            filter,
        }
    }

    /// The level in force; None: `RUST_LOG` decides.
    pub(crate) fn level(&self) -> Option<LogLevel> {
        self.filter.as_ref()?;
        Some(*self.level.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the level.
    pub(crate) fn set(&self, level: LogLevel) -> Result<(), SetByHand> {
        let filter = self.filter.as_ref().ok_or(SetByHand)?;
        let mut now = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        if level != *now {
            *now = level;
            if let Err(error) = filter.reload(filter_of(level)) {
                warn!(%error, "the log level could not be changed");
            }
        }
        Ok(())
    }
}

/// Only RUST_LOG shows libsrt's own lines, which are meant for its developers: the gateway logs what matters in its own words. The
/// same applies to the file watcher's, which would also report each write of a log file in the folder of the configuration.
pub(crate) fn filter_of(level: LogLevel) -> EnvFilter {
    EnvFilter::new(format!(
        "{},libsrt=off,notify=off,notify_types=off,inotify=off",
        level.as_str()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_rust_log_decides_nobody_else_does() {
        let fixed = LogControl::new(LogLevel::Info, None);
        assert_eq!(
            (fixed.level(), fixed.set(LogLevel::Debug)),
            (None, Err(SetByHand))
        );
        let (_layer, handle) = reload::Layer::new(filter_of(LogLevel::Info));
        let free = LogControl::new(LogLevel::Info, Some(handle));
        free.set(LogLevel::Debug).unwrap();
        assert_eq!(free.level(), Some(LogLevel::Debug));
    }
}
