//! Connects libsrt's listen callback with the [`AccessControl`](crate::AccessControl) of a listener.
//!
//! Runs on the port's receiving thread, under the listener's lock. C holds a key into a registry rather than a pointer:
//! libsrt may call late, and a removed key refuses the caller. Panics are caught here.
//!
//! It deliberately logs nothing: the listener's counters record results without a lock on this thread.

use std::{
    cell::Cell,
    collections::HashMap,
    ffi::{CStr, c_char, c_int, c_void},
    net::{Ipv4Addr, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use libsrt_sys::SRTSOCKET;

use crate::{
    AccessCounts, AccessRequest, RejectCode, Result, SocketId, Verdict, access::SharedAccess, ffi,
    options::Stage,
};

static HOOKS: RwLock<Option<HashMap<usize, Arc<Hook>>>> = RwLock::new(None);
static NEXT_KEY: AtomicUsize = AtomicUsize::new(1);

thread_local! {
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// The callback's return values for "accept" and "refuse".
const ACCEPT: c_int = 0;
const REFUSE: c_int = -1;

struct Hook {
    access: SharedAccess,
    counters: Counters,
}

#[derive(Default)]
struct Counters {
    admitted: AtomicU64,
    refused: AtomicU64,
    deferred: AtomicU64,
    panics: AtomicU64,
    bad_settings: AtomicU64,
}

/// Keeps a listener's decision in the registry. Drop it after the socket is closed, because libsrt may call until then.
pub(crate) struct HookGuard {
    key: usize,
    hook: Arc<Hook>,
}

impl std::fmt::Debug for HookGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HookGuard")
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl HookGuard {
    /// Makes `access` decide about each caller of `listener`, which must not listen yet (`srt_listen_callback`).
    pub(crate) fn install(listener: SRTSOCKET, access: SharedAccess) -> Result<Self> {
        let key = NEXT_KEY.fetch_add(1, Ordering::Relaxed);
        let hook = Arc::new(Hook {
            access,
            counters: Counters::default(),
        });
        HOOKS
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(HashMap::new)
            .insert(key, Arc::clone(&hook));
        let guard = Self { key, hook };
        // SAFETY: the function has the signature of srt_listen_callback_fn, and takes any number as its opaque value.
        let ret = unsafe {
            libsrt_sys::srt_listen_callback(listener, Some(on_handshake), ptr::without_provenance_mut(key))
        };
        ffi::check("srt_listen_callback", ret)?;
        Ok(guard)
    }

    pub(crate) fn counts(&self) -> AccessCounts {
        let Counters {
            admitted,
            refused,
            deferred,
            panics,
            bad_settings,
        } = &self.hook.counters;
        AccessCounts {
            admitted: admitted.load(Ordering::Relaxed),
            refused: refused.load(Ordering::Relaxed),
            deferred: deferred.load(Ordering::Relaxed),
            panics: panics.load(Ordering::Relaxed),
            bad_settings: bad_settings.load(Ordering::Relaxed),
        }
    }
}

impl Drop for HookGuard {
    fn drop(&mut self) {
        if let Some(hooks) = HOOKS.write().unwrap_or_else(PoisonError::into_inner).as_mut() {
            hooks.remove(&self.key);
        }
    }
}

/// Whether this thread is in a listen callback, where `srt_close` would wait for the callback itself.
pub(crate) fn in_callback() -> bool {
    IN_CALLBACK.try_with(Cell::get).unwrap_or(false)
}

/// Whether the library can leave a handshake unanswered.
pub(crate) fn can_defer() -> bool {
    libsrt_sys::has_edit(libsrt_sys::EDIT_DEFERRED_VERDICT)
}

unsafe extern "C" fn on_handshake(
    opaque: *mut c_void,
    socket: SRTSOCKET,
    handshake_version: c_int,
    peer: *const libc::sockaddr,
    stream_id: *const c_char,
) -> c_int {
    // Any panic from here on, in the user's code or ours, refuses the caller.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let hooks = HOOKS.read().unwrap_or_else(PoisonError::into_inner);
        let hook = hooks
            .as_ref()
            .and_then(|hooks| hooks.get(&opaque.addr()).cloned());
        drop(hooks);
        let Some(hook) = hook else {
            return reject(socket, RejectCode::UNAVAILABLE);
        };
        // SAFETY: libsrt passes the address of the handshake's sender, of its family's size.
        let peer = unsafe { ffi::sockaddr_of(peer) };
        let stream_id = if stream_id.is_null() {
            &[][..]
        } else {
            // SAFETY: libsrt passes a terminated string in a buffer of its own, which outlives the callback.
            unsafe { CStr::from_ptr(stream_id) }.to_bytes()
        };
        hook.answer(&AccessRequest {
            socket: SocketId(socket),
            peer: ffi::canonical(peer.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))),
            handshake_version,
            stream_id,
        })
    }));
    outcome.unwrap_or_else(|payload| {
        ffi::discard(payload);
        reject(socket, RejectCode::INTERNAL)
    })
}

impl Hook {
    fn answer(&self, request: &AccessRequest<'_>) -> c_int {
        let _inside = CallbackGuard::enter();
        let verdict = catch_unwind(AssertUnwindSafe(|| self.access.authorize(request)));
        let socket = request.socket.value();
        match verdict {
            Ok(Verdict::Admit(admission)) => match admission.settings().apply(socket, Stage::Callback) {
                Ok(()) => {
                    count(&self.counters.admitted);
                    ACCEPT
                }
                Err(_) => {
                    count(&self.counters.bad_settings);
                    self.refuse(socket, RejectCode::INTERNAL)
                }
            },
            Ok(Verdict::Refuse(code)) => self.refuse(socket, code),
            Ok(Verdict::WrongPassphrase) if libsrt_sys::has_edit(libsrt_sys::EDIT_SECRET_VERDICT) => {
                count(&self.counters.refused);
                reject_with(socket, libsrt_sys::SRT_REJX_BADSECRET)
            }
            Ok(Verdict::WrongPassphrase) => self.refuse(socket, RejectCode::UNAUTHORIZED),
            Ok(Verdict::Defer) if can_defer() => {
                count(&self.counters.deferred);
                reject_with(socket, libsrt_sys::SRT_REJX_DEFERRED)
            }
            Ok(Verdict::Defer) => self.refuse(socket, RejectCode::UNAVAILABLE),
            Err(payload) => {
                ffi::discard(payload);
                count(&self.counters.panics);
                self.refuse(socket, RejectCode::INTERNAL)
            }
        }
    }

    fn refuse(&self, socket: SRTSOCKET, code: RejectCode) -> c_int {
        count(&self.counters.refused);
        reject(socket, code)
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn reject(socket: SRTSOCKET, code: RejectCode) -> c_int {
    reject_with(socket, c_int::from(code.value()))
}

fn reject_with(socket: SRTSOCKET, code: c_int) -> c_int {
    // SAFETY: srt_setrejectreason takes any numbers; `socket` is the one that libsrt is asking about.
    unsafe { libsrt_sys::srt_setrejectreason(socket, code) };
    REFUSE
}

/// Marks the thread as being in a callback, until dropped.
struct CallbackGuard;

impl CallbackGuard {
    fn enter() -> Self {
        IN_CALLBACK.set(true);
        Self
    }
}

impl Drop for CallbackGuard {
    fn drop(&mut self) {
        IN_CALLBACK.set(false);
    }
}
