//! Starts libsrt once per process, and makes the end of the process safe whatever its threads are doing.
//!
//! Two things go wrong at the exit of a process that uses plain libsrt. Its clean-up, which runs in the destructor of a
//! static, waits for threads that sit in blocking calls, some of them forever (measured: `srt_accept`); and if it does not,
//! it takes more than a second. And peers are not told.
//!
//! So every open socket is on record here, and a handler that runs before that destructor closes them: peers are told,
//! blocked calls return. It gives up after [`DEADLINE`], because closing waits for others: for a decision about a caller
//! that does not return, or for a thread that exits while it holds a lock of libsrt. After it, the edit `exit-at-once`
//! leaves libsrt's own clean-up out; the system takes back what the process had. An installed libsrt does its clean-up
//! (about a second), and waits for threads that are then still inside of it.

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

/// An error once the process is exiting: what is begun then may hold it.
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

/// Puts a socket on record.
pub(crate) fn track(id: SRTSOCKET) {
    let mut open = open();
    if EXITING.load(Ordering::Relaxed) {
        drop(open);
        // A call that was blocked in `accept` came back with a caller just now, after the record was read.
        close_now(id);
    } else {
        open.get_or_insert_with(HashSet::new).insert(id);
    }
}

/// Takes a socket off the record.
pub(crate) fn forget(id: SRTSOCKET) {
    if let Some(open) = open().as_mut() {
        open.remove(&id);
    }
}

fn open() -> MutexGuard<'static, Option<HashSet<SRTSOCKET>>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

extern "C" fn at_exit() {
    // A panic must not reach the C library, and there is nobody left to tell about it.
    drop(catch_unwind(|| {
        let mut open = open();
        EXITING.store(true, Ordering::Relaxed);
        let record = open.take();
        drop(open);
        epoll::end_waits();
        close_within_deadline(record.into_iter().flatten().collect());
        if !libsrt_sys::has_edit(libsrt_sys::EDIT_EXIT_AT_ONCE) {
            // Waiters that are in an epoll come out of it, see the flag, and stay out: see `Epoll::wait`.
            thread::sleep(2 * crate::epoll::SLICE);
        }
    }));
}

/// Closes on a thread of its own, since any of it may block, and the exit must not.
fn close_within_deadline(ids: Vec<SRTSOCKET>) {
    // Statics, not a channel: thread-locals of the exiting thread are gone, and channels want one.
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

/// Has connections from now on, all of the process, cost little while they have nothing to do: for programs that hold many.
///
/// libsrt's lists of losses and its receive buffers get memory as they are used in place of some 600 KiB at once, and a
/// connection without anything to send, acknowledge or repeat is looked at each 100 ms in place of each 10 ms: as much later
/// may a keep-alive go out, or the end of a silent connection be noticed. The price is an allocation on the data path at the
/// first loss. An installed libsrt does as ever.
pub fn spare_idle_connections() {
    // SAFETY: our edit's function sets a flag, and takes any number.
    unsafe { libsrt_sys::srt_edit_spare(1) };
}

/// Sets how large a packet filter this process takes from a peer: the most columns, and the most rows, of its matrix. 256 unless
/// this says otherwise.
///
/// A connection with a filter holds two packets for each column before it is accepted, and up to ten times the columns and rows
/// once there is loss. The peer may name the size wherever this side leaves it open, and a listener that has no filter leaves
/// all open. What a socket has configured itself ([`Options::packet_filter`](crate::Options::packet_filter)) is not limited.
/// To refuse callers by more than the size, look at [`CallerHandshake::filter`](crate::CallerHandshake::filter).
///
/// An installed libsrt takes whatever a peer names (no edit `filter-cap`), and does not show it to access control either.
pub fn set_packet_filter_limit(side: u16) {
    // SAFETY: our edit's function stores a number, and takes any.
    unsafe { libsrt_sys::srt_edit_filter_cap(i32::from(side)) };
}

/// Listeners first, so that nobody new comes in; then those that may have a peer to tell. Attempts to connect last: closing
/// one waits up to a second for the thread that is connecting, and there is nobody to tell.
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
    // Without this a stream's unsent data would hold the exit for up to three minutes. A live socket has none of it anyway.
    let no_linger = libc::linger {
        l_onoff: 0,
        l_linger: 0,
    };
    ffi::set_socket_flag(id, SRT_SOCKOPT::SRTO_LINGER, &no_linger).ok();
    // SAFETY: an id that its owner has closed meanwhile is an error to libsrt, not undefined.
    unsafe { libsrt_sys::srt_close(id) };
}
