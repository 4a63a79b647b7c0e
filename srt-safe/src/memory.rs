//! Returns freed memory to the system.

/// Returns free memory of the process to the system (glibc's `malloc_trim`); true if there was any.
///
/// libsrt allocates from many threads, in pieces that glibc keeps: a process that had thousands of connections stays as
/// large after they have gone. Takes milliseconds per gigabyte, during which other threads may wait for memory. No
/// effect with other C libraries.
#[cfg(target_env = "gnu")]
pub fn release_free_memory() -> bool {
    // SAFETY: malloc_trim may be called at any time and on any thread; it only touches free memory.
    unsafe { libc::malloc_trim(0) == 1 }
}

/// Returns free memory of the process to the system: not supported with this C library.
#[cfg(not(target_env = "gnu"))]
pub fn release_free_memory() -> bool {
    false
}
