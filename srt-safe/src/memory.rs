//! Memory that was freed, and its way back to the system.

/// Gives memory that is free in the process back to the system (glibc's `malloc_trim`); true: some was.
///
/// libsrt allocates from many threads, in pieces that glibc keeps for later: a process that had thousands of connections stays
/// as large as it was when they have gone. Takes milliseconds for each gigabyte, during which other threads may wait for
/// memory. With another C library it does nothing.
#[cfg(target_env = "gnu")]
pub fn release_free_memory() -> bool {
    // SAFETY: malloc_trim may be called at any time and on any thread; it only touches free memory.
    unsafe { libc::malloc_trim(0) == 1 }
}

/// Gives memory that is free in the process back to the system: nothing is known of this C library's.
#[cfg(not(target_env = "gnu"))]
pub fn release_free_memory() -> bool {
    false
}
