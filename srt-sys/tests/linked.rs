//! The linked library is the one that was built.

use std::ffi::CStr;

#[test]
fn linked_version_is_the_built_one() {
    // SAFETY: srt_getversion reads a constant and needs no startup.
    let version = unsafe { libsrt_sys::srt_getversion() };
    let parts: Vec<u8> = libsrt_sys::BUILT_VERSION
        .split('.')
        .map(|part| part.parse().unwrap())
        .collect();
    assert_eq!(version, libsrt_sys::make_version(parts[0], parts[1], parts[2]));
}

#[test]
fn starts_creates_a_socket_and_cleans_up() {
    // SAFETY: called once in this process, before any other call of libsrt.
    assert!(unsafe { libsrt_sys::srt_startup() } >= 0);
    // SAFETY: the library is initialized.
    let socket = unsafe { libsrt_sys::srt_create_socket() };
    assert_ne!(socket, libsrt_sys::SRT_INVALID_SOCK);
    // SAFETY: the socket was created above and is closed once.
    assert_eq!(unsafe { libsrt_sys::srt_close(socket) }, 0);
    // SAFETY: no thread is in a call of libsrt.
    assert_eq!(unsafe { libsrt_sys::srt_cleanup() }, 0);
}

#[test]
#[cfg(not(feature = "system"))]
fn all_edits_are_in_the_pinned_library() {
    if std::env::var_os("LIBSRT_SOURCE_DIR").is_none() {
        assert!(libsrt_sys::has_edit(libsrt_sys::EDIT_BONDING_RACES));
        assert!(libsrt_sys::has_edit(libsrt_sys::EDIT_DEFERRED_VERDICT));
        assert!(libsrt_sys::has_edit(libsrt_sys::EDIT_EMPTY_CONTROL));
        assert!(libsrt_sys::has_edit(libsrt_sys::EDIT_PROVEN_ADDRESS));
        assert!(libsrt_sys::has_edit(libsrt_sys::EDIT_SYSTEM_RANDOM));
        assert!(libsrt_sys::has_edit(libsrt_sys::EDIT_EPOLL_WAKEUPS));
        assert!(libsrt_sys::has_edit(libsrt_sys::EDIT_READER_TIMED));
        assert!(libsrt_sys::has_edit(libsrt_sys::EDIT_EPOLL_ASKED));
        assert!(libsrt_sys::has_edit(libsrt_sys::EDIT_EXIT_AT_ONCE));
        assert!(libsrt_sys::has_edit(libsrt_sys::EDIT_KEEP_BROKEN));
        assert!(libsrt_sys::has_edit(libsrt_sys::EDIT_LAST_PACKET));
        assert!(libsrt_sys::has_edit(libsrt_sys::EDIT_QUIET_ACCEPT));
    }
}

#[test]
fn reject_codes_have_words() {
    let code = libsrt_sys::SRT_REJECT_REASON::SRT_REJ_BADSECRET.0.cast_signed();
    // SAFETY: srt_rejectreason_str takes any number and needs no startup.
    let words = unsafe { libsrt_sys::srt_rejectreason_str(code) };
    // SAFETY: it returns a static, terminated string.
    let words = unsafe { CStr::from_ptr(words) };
    assert!(!words.is_empty());
}
