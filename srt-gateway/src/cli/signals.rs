//! Signals, and the forced end of a process that does not end by itself.

use std::{ffi::c_int, thread, time::Duration};

use anyhow::Context as _;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
    low_level,
};
use tracing::error;

use super::LAST_LINES;
use crate::log_writer;

/// The exit code of a process that had to be forced to end.
const NOT_IN_TIME: c_int = 1;

/// Calls `caught`, which must not block, for each of these signals, on its own thread. After the first SIGTERM or
/// SIGINT, the process has `limit` to end: then this thread ends it, whatever the others wait for.
pub(super) fn watch(
    signals: &[c_int],
    limit: Duration,
    mut caught: impl FnMut(c_int) + Send + 'static,
) -> anyhow::Result<()> {
    let mut signals = Signals::new(signals).context("cannot watch for signals")?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            caught(signal);
            if matches!(signal, SIGTERM | SIGINT) {
                thread::sleep(limit);
                error!("shutdown did not finish within {limit:?}: something hangs, see above; exiting now");
                log_writer::flush(LAST_LINES);
                // Without the exit handlers, which may hang as well.
                low_level::exit(NOT_IN_TIME);
            }
        }
    })?;
    Ok(())
}
