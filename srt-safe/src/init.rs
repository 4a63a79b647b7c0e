//! Starts libsrt once per process, and makes the end of the process safe whatever its threads are doing.
//!
//! libsrt cleans up in the destructor of a static, and that clean-up waits forever for a thread that sits in a blocking
//! `srt_accept` (measured). So every open socket is on record here, and a handler that runs before that destructor closes
//! them all first, which ends the blocked calls.

use std::{
    collections::HashSet,
    sync::{Mutex, OnceLock, PoisonError},
};

use libsrt_sys::SRTSOCKET;

use crate::{Error, Result, ffi};

static OPEN: Mutex<Option<HashSet<SRTSOCKET>>> = Mutex::new(None);

/// Starts the library (`srt_startup`) at the first call; later calls cost one atomic read.
pub(crate) fn ensure_started() -> Result<()> {
    static STARTED: OnceLock<Result<(), Error>> = OnceLock::new();
    *STARTED.get_or_init(|| {
        // SAFETY: OnceLock lets one thread do this, once.
        ffi::check("srt_startup", unsafe { libsrt_sys::srt_startup() })?;
        // SAFETY: the handler is a plain function; registered after libsrt's static exists, it runs before that is destroyed.
        unsafe { libc::atexit(close_all) };
        Ok(())
    })
}

/// Puts a socket on record.
pub(crate) fn track(id: SRTSOCKET) {
    OPEN.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert_with(HashSet::new)
        .insert(id);
}

/// Takes a socket off the record.
pub(crate) fn forget(id: SRTSOCKET) {
    if let Some(open) = OPEN.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        open.remove(&id);
    }
}

extern "C" fn close_all() {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner).take();
    for id in open.into_iter().flatten() {
        // SAFETY: an id that its owner has closed meanwhile is an error to libsrt, not undefined.
        unsafe { libsrt_sys::srt_close(id) };
    }
}
