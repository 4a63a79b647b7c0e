//! The C side of the log: the handler that libsrt calls, and the calls that set it. The only `unsafe` of the log.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::ffi;

use super::{Area, LogLevel, LogLine, SHARED};

/// Makes [`handle`] the handler, for lines of `level` and more severe ones.
pub(super) fn take_over(level: LogLevel) {
    // The line records its own time, the thread's name means little outside of libsrt, and a line needs no end. The
    // severity stays, because it carries the functional area.
    let flags = libsrt_sys::SRT_LOGF_DISABLE_TIME
        | libsrt_sys::SRT_LOGF_DISABLE_THREADNAME
        | libsrt_sys::SRT_LOGF_DISABLE_EOL;
    set_flags(flags.cast_signed());
    // SAFETY: `handle` is a function, lives forever, takes what SRT_LOG_HANDLER_FN says, and never unwinds.
    unsafe { libsrt_sys::srt_setloghandler(std::ptr::null_mut(), Some(handle)) };
    set_level(level);
}

/// Makes libsrt write nothing. Without a handler it would write to standard error, which belongs to the application.
pub(super) fn silence() {
    set_level(LogLevel::Fatal);
    // SAFETY: `discard` is a function, lives forever, takes what SRT_LOG_HANDLER_FN says, and never unwinds.
    unsafe { libsrt_sys::srt_setloghandler(std::ptr::null_mut(), Some(discard)) };
}

unsafe extern "C" fn discard(
    _opaque: *mut c_void,
    _level: c_int,
    _file: *const c_char,
    _line: c_int,
    _function: *const c_char,
    _message: *const c_char,
) {
}

pub(super) fn set_areas(areas: &[Area]) {
    let raw: Vec<c_int> = areas.iter().map(|area| area.to_raw()).collect();
    // SAFETY: pointer and length describe `raw`, which libsrt reads during the call; each number is below its bitset's size.
    unsafe { libsrt_sys::srt_resetlogfa(raw.as_ptr(), raw.len()) };
}

fn set_level(level: LogLevel) {
    // SAFETY: takes any level, under libsrt's own lock; no precondition.
    unsafe { libsrt_sys::srt_setloglevel(level.to_raw()) };
}

fn set_flags(flags: c_int) {
    // SAFETY: takes any flags, under libsrt's own lock; no precondition.
    unsafe { libsrt_sys::srt_setlogflags(flags) };
}

/// Runs on any thread of libsrt or of the application, under libsrt's log lock: must be short, and must not call
/// libsrt.
///
/// # Safety
/// Each string is null or terminated and lives during the call.
pub(super) unsafe extern "C" fn handle(
    _opaque: *mut c_void,
    level: c_int,
    file: *const c_char,
    line: c_int,
    function: *const c_char,
    message: *const c_char,
) {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let Some(shared) = SHARED.get() else {
            return;
        };
        // SAFETY: as this function demands.
        let file = unsafe { text(file) };
        // SAFETY: as this function demands.
        let function = unsafe { text(function) };
        // SAFETY: as this function demands.
        let message = unsafe { text(message) };
        shared.submit(LogLine::parse(
            LogLevel::from_raw(level),
            &file.to_string_lossy(),
            u32::try_from(line).unwrap_or(0),
            &function.to_string_lossy(),
            &message.to_string_lossy(),
        ));
    }));
    // Nothing in there panics; if it did, this must not unwind into C.
    if let Err(payload) = outcome {
        ffi::discard(payload);
    }
}

/// # Safety
/// `text` is null or a terminated string that lives for `'a`.
unsafe fn text<'a>(text: *const c_char) -> &'a CStr {
    if text.is_null() {
        return c"";
    }
    // SAFETY: not null, so terminated by the caller's promise.
    unsafe { CStr::from_ptr(text) }
}
