//! Records which links failed to connect, and why. libsrt reports it only to a hook (`srt_connect_callback`).
//!
//! The hook runs on libsrt's threads, while the link's socket still exists and has its reject reason. It only records.
//! Its opaque value is a key into a registry, so that a late call finds nothing rather than freed memory.

use std::{
    collections::{HashMap, VecDeque},
    ffi::{c_int, c_void},
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use libsrt_sys::{SRT_ERRNO, SRT_REJECT_REASON, SRTSOCKET};

use crate::{Error, RejectReason, Result, SocketId, ffi};

/// The number of failures kept for an application that does not fetch them.
const KEEP: usize = 64;

/// A link that failed to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkFailure {
    id: SocketId,
    peer: Option<SocketAddr>,
    token: i32,
    error: Error,
}

impl LinkFailure {
    /// The socket of the link.
    #[must_use]
    pub const fn id(&self) -> SocketId {
        self.id
    }

    /// The peer's address.
    #[must_use]
    pub const fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The application's number for it.
    #[must_use]
    pub const fn token(&self) -> i32 {
        self.token
    }

    /// The cause, with the peer's reject reason if it sent one.
    #[must_use]
    pub const fn error(&self) -> Error {
        self.error
    }
}

type Notes = Arc<Mutex<VecDeque<LinkFailure>>>;

static REGISTRY: Mutex<Option<HashMap<usize, Notes>>> = Mutex::new(None);

/// The registration of a group's hook; ends on drop.
#[derive(Debug)]
pub(super) struct FailureHook {
    key: usize,
    notes: Notes,
}

impl FailureHook {
    pub(super) fn install(group: SRTSOCKET) -> Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let key = NEXT.fetch_add(1, Ordering::Relaxed);
        let notes = Notes::default();
        registry(|hooks| hooks.insert(key, Arc::clone(&notes)));
        let hook = Self { key, notes };
        let opaque = ptr::without_provenance_mut::<c_void>(key);
        // SAFETY: the function lives forever and does not unwind; the opaque value is a number that nobody dereferences.
        let ret = unsafe { libsrt_sys::srt_connect_callback(group, Some(failed), opaque) };
        ffi::check("srt_connect_callback", ret)?;
        Ok(hook)
    }

    pub(super) fn take(&self) -> Vec<LinkFailure> {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.drain(..).collect()
    }
}

impl Drop for FailureHook {
    fn drop(&mut self) {
        registry(|hooks| hooks.remove(&self.key));
    }
}

fn registry<R>(f: impl FnOnce(&mut HashMap<usize, Notes>) -> R) -> R {
    let mut hooks = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    f(hooks.get_or_insert_with(HashMap::new))
}

/// Called on a thread of libsrt, or of the application while it connects.
///
/// # Safety
/// `peer` is null or points to a sockaddr of its own family's size.
unsafe extern "C" fn failed(
    opaque: *mut c_void,
    id: SRTSOCKET,
    code: c_int,
    peer: *const libc::sockaddr,
    token: c_int,
) {
    if code == SRT_ERRNO::SRT_SUCCESS.0 {
        return;
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let Some(notes) = registry(|hooks| hooks.get(&opaque.addr()).cloned()) else {
            return;
        };
        // SAFETY: as this function demands.
        let peer = unsafe { ffi::sockaddr_of(peer) };
        let error = Error::from_code(code, "srt_connect_group");
        // SAFETY: takes any number; the socket is alive during the hook (CUDT::completeBrokenConnectionDependencies).
        let reason = unsafe { libsrt_sys::srt_getrejectreason(id) };
        let known = reason != SRT_REJECT_REASON::SRT_REJ_UNKNOWN.0.cast_signed();
        let error = if known {
            error.with_reject_reason(RejectReason::from_raw(reason))
        } else {
            error
        };
        let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() == KEEP {
            notes.pop_front();
        }
        notes.push_back(LinkFailure {
            id: SocketId(id),
            peer,
            token,
            error,
        });
    }));
    if let Err(payload) = outcome {
        ffi::discard(payload);
    }
}
