//! Which libsrt is under this crate.

use crate::SrtVersion;

/// Version of the libsrt that is linked (`srt_getversion`).
#[must_use]
pub fn library_version() -> SrtVersion {
    // SAFETY: srt_getversion reads a constant and needs no startup.
    SrtVersion::from_number(unsafe { libsrt_sys::srt_getversion() })
}

/// Names of our edits that are in the library, separated by commas; empty for an installed one.
#[must_use]
pub const fn library_edits() -> &'static str {
    libsrt_sys::EDITS
}

/// The crypto library under libsrt, in words.
#[must_use]
pub const fn library_crypto() -> &'static str {
    libsrt_sys::CRYPTO
}
