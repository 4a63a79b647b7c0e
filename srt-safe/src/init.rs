//! Starts libsrt once per process, and makes the exit of the process safe whatever its threads are doing.
//!
//! Plain libsrt causes two problems when the process exits. Its clean-up, which runs in the destructor of a static,
//! waits for threads in blocking calls, some of them forever (measured: `srt_accept`); otherwise it takes more than a
//! second. And it does not notify peers.
//!
//! Therefore every open socket is registered here, and a handler that runs before that destructor closes them: peers
//! are notified, and blocked calls return. It gives up after [`DEADLINE`], because closing may wait for others: for an
//! access control decision that does not return, or for a thread that exits while it holds a lock of libsrt.
//! Afterwards, the edit `exit-at-once` skips libsrt's own clean-up, since the system releases everything. An installed
//! libsrt does its clean-up (about a second), and waits for threads that are still inside of it.

use std::{
    collections::HashSet,
    panic::catch_unwind,
    sync::{
        Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use libsrt_sys::{SRT_ERRNO, SRT_SOCKOPT, SRTSOCKET};

use crate::{Error, Result, SocketState, epoll, ffi, log};

/// How long the exit waits for sockets to close.
const DEADLINE: Duration = Duration::from_secs(1);

static OPEN: Mutex<Option<HashSet<SRTSOCKET>>> = Mutex::new(None);
static EXITING: AtomicBool = AtomicBool::new(false);

/// Starts the library (`srt_startup`) at the first call; later calls cost two atomic reads.
pub(crate) fn ensure_started() -> Result<()> {
    static STARTED: OnceLock<Result<(), Error>> = OnceLock::new();
    fail_when_exiting()?;
    *STARTED.get_or_init(|| {
        // SAFETY: OnceLock lets one thread do this, once.
        ffi::check("srt_startup", unsafe { libsrt_sys::srt_startup() })?;
        log::silence_unless_asked();
        // SAFETY: the handler is a plain function; registered after libsrt's static exists, it runs before that is destroyed.
        unsafe { libc::atexit(at_exit) };
        Ok(())
    })
}

/// An error once the process is exiting: new operations might delay it.
pub(crate) fn fail_when_exiting() -> Result<()> {
    if EXITING.load(Ordering::Relaxed) {
        return Err(Error::new(
            SRT_ERRNO::SRT_EINVOP,
            "exit",
            "the process is exiting",
        ));
    }
    Ok(())
}

/// Registers a socket.
pub(crate) fn track(id: SRTSOCKET) {
    let mut open = open();
    if EXITING.load(Ordering::Relaxed) {
        drop(open);
        // A call that was blocked in `accept` returned with a caller after the register had been read.
        close_now(id);
    } else {
        open.get_or_insert_with(HashSet::new).insert(id);
    }
}

/// Unregisters a socket.
pub(crate) fn forget(id: SRTSOCKET) {
    if let Some(open) = open().as_mut() {
        open.remove(&id);
    }
}

fn open() -> MutexGuard<'static, Option<HashSet<SRTSOCKET>>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

extern "C" fn at_exit() {
    // A panic must not reach the C library, and nobody is left to report it to.
    drop(catch_unwind(|| {
        let mut open = open();
        EXITING.store(true, Ordering::Relaxed);
        let record = open.take();
        drop(open);
        epoll::end_waits();
        close_within_deadline(record.into_iter().flatten().collect());
        if !libsrt_sys::has_edit(libsrt_sys::EDIT_EXIT_AT_ONCE) {
            // Waiters in an epoll return, see the flag, and do not wait again; see `Epoll::wait`.
            thread::sleep(2 * crate::epoll::SLICE);
        }
    }));
}

/// Closes the sockets on another thread, because closing may block, and the exit must not.
fn close_within_deadline(ids: Vec<SRTSOCKET>) {
    // Statics rather than a channel: thread-locals of the exiting thread are gone, and channels need one.
    static DONE: Mutex<bool> = Mutex::new(false);
    static CHANGED: Condvar = Condvar::new();
    if ids.is_empty() {
        return;
    }
    let closer = thread::Builder::new().name("srt-exit".into()).spawn(move || {
        close_all(ids);
        *DONE.lock().unwrap_or_else(PoisonError::into_inner) = true;
        CHANGED.notify_all();
    });
    if closer.is_ok() {
        let done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
        drop(CHANGED.wait_timeout_while(done, DEADLINE, |done| !*done));
    }
}

/// Reduces the cost of idle connections in the whole process from now on: for programs that hold many.
///
/// libsrt allocates its loss lists and receive buffers on demand instead of some 600 KiB at once, and checks a
/// connection without anything to send, acknowledge or repeat every 100 ms instead of every 10 ms; keep-alives and the
/// detection of silent connections may be delayed by that much. The price is an allocation on the data path at the
/// first loss. No effect on an installed libsrt.
pub fn spare_idle_connections() {
    // SAFETY: our edit's function sets a flag, and takes any number.
    unsafe { libsrt_sys::srt_edit_spare(1) };
}

/// Limits the packet filter that this process accepts from peers: the most columns, and the most rows, of its matrix.
/// The default is 256.
///
/// A connection with a filter allocates two packets for each column before it is accepted, and up to ten times the
/// columns and rows under loss. The peer may choose the size wherever this side leaves it open, and a listener without
/// a filter leaves everything open. Filters configured on this side
/// ([`Options::packet_filter`](crate::Options::packet_filter)) are not limited. To refuse callers by other criteria
/// than the size, check [`CallerHandshake::filter`](crate::CallerHandshake::filter).
///
/// An installed libsrt accepts any size (no edit `filter-cap`), and does not show the filter to access control either.
pub fn set_packet_filter_limit(side: u16) {
    // SAFETY: our edit's function stores a number, and takes any.
    unsafe { libsrt_sys::srt_edit_filter_cap(i32::from(side)) };
}

/// Listeners first, so that no new callers arrive; then sockets that may have a peer to notify. Connection attempts
/// last: closing one waits up to a second for the connecting thread, and has no peer to notify.
fn close_all(ids: Vec<SRTSOCKET>) {
    let mut ids: Vec<_> = ids.into_iter().map(|id| (SocketState::of(id), id)).collect();
    ids.sort_by_key(|(state, _)| match state {
        SocketState::Listening => 0,
        SocketState::Connecting => 2,
        _ => 1,
    });
    for (state, id) in ids {
        let nobody_to_tell = state == SocketState::Connecting;
        if nobody_to_tell && libsrt_sys::has_edit(libsrt_sys::EDIT_EXIT_AT_ONCE) {
            continue;
        }
        close_now(id);
    }
}

fn close_now(id: SRTSOCKET) {
    // Otherwise a stream's unsent data would delay the exit for up to three minutes. Live sockets have no linger
    // anyway.
    let no_linger = libc::linger {
        l_onoff: 0,
        l_linger: 0,
    };
    ffi::set_socket_flag(id, SRT_SOCKOPT::SRTO_LINGER, &no_linger).ok();
    // SAFETY: an id that its owner has closed meanwhile is an error to libsrt, not undefined.
    unsafe { libsrt_sys::srt_close(id) };
}
