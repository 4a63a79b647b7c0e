//! The version of the linked libsrt.

use crate::SrtVersion;

/// The version of the linked libsrt (`srt_getversion`).
#[must_use]
pub fn library_version() -> SrtVersion {
    // SAFETY: srt_getversion reads a constant and needs no startup.
    SrtVersion::from_number(unsafe { libsrt_sys::srt_getversion() })
}

/// The names of our edits in the library, separated by commas; empty for an installed one.
#[must_use]
pub const fn library_edits() -> &'static str {
    libsrt_sys::EDITS
}

/// The crypto library of libsrt, in words.
#[must_use]
pub const fn library_crypto() -> &'static str {
    libsrt_sys::CRYPTO
}
