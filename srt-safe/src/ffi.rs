//! The interface to C: one function for each way in which libsrt returns results, address conversion in both
//! directions, typed socket flags, and the one type that closes a socket. The only modules with `unsafe` besides this
//! one are `init`, `error` (reading the last error), `trampoline`, `epoll`, `group`, `stats`, `threads`, `memory`,
//! `datagram` and `log`.

use std::{
    any::Any,
    ffi::{c_int, c_void},
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

use libsrt_sys::{SRT_ERRNO, SRT_SOCKOPT, SRTSOCKET};
use socket2::SockAddr;

use crate::{Error, Result, init, trampoline};

/// Converts a return value where -1 (`SRT_ERROR`, `SRT_INVALID_SOCK`) means failure and the error is in libsrt's
/// thread-local.
pub(crate) fn check(operation: &'static str, ret: c_int) -> Result<c_int> {
    if ret == libsrt_sys::SRT_ERROR {
        Err(Error::last(operation))
    } else {
        Ok(ret)
    }
}

/// [`check`] for calls that return a count.
pub(crate) fn check_count(operation: &'static str, ret: c_int) -> Result<usize> {
    check(operation, ret).map(|n| usize::try_from(n).unwrap_or(0))
}

/// The only owner of a libsrt socket or group: closes it on drop.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OwnedSocket(SRTSOCKET);

impl OwnedSocket {
    /// Creates a socket (`srt_create_socket`), starting the library if needed.
    pub(crate) fn create() -> Result<Self> {
        init::ensure_started()?;
        // SAFETY: the library is started; the call has no other precondition.
        check("srt_create_socket", unsafe { libsrt_sys::srt_create_socket() }).map(Self::adopt)
    }

    /// Takes ownership of a socket that libsrt has just returned: `id` must be open and without an owner.
    pub(crate) fn adopt(id: SRTSOCKET) -> Self {
        init::track(id);
        Self(id)
    }

    pub(crate) const fn id(&self) -> SRTSOCKET {
        self.0
    }

    /// Releases the socket without closing it.
    pub(crate) fn release(self) -> SRTSOCKET {
        let id = self.0;
        init::forget(id);
        std::mem::forget(self);
        id
    }

    /// Closes the socket and reports errors: `srt_close`.
    pub(crate) fn close(self) -> Result<()> {
        let closed = self.shutdown();
        std::mem::forget(self);
        closed
    }

    /// Closes the socket while the handle exists, because other threads may be blocked in a call with it. Later calls
    /// with the id fail (libsrt does not reuse it for 2^30 sockets), and so does the second `srt_close` on drop.
    pub(crate) fn shutdown(&self) -> Result<()> {
        let id = self.0;
        init::forget(id);
        if trampoline::in_callback() {
            // On this thread, srt_close would wait for the very callback that it is called from.
            return thread::Builder::new()
                .name("srt-close".into())
                .spawn(move || close_id(id))
                .map(drop)
                .map_err(|error| Error::from_io("srt_close", &error));
        }
        close_id(id)
    }
}

impl Drop for OwnedSocket {
    fn drop(&mut self) {
        // An error means that libsrt has already closed the socket.
        self.shutdown().ok();
    }
}

fn close_id(id: SRTSOCKET) -> Result<()> {
    // SAFETY: srt_close takes any number, and answers SRT_EINVSOCK for one that is no open socket.
    let closed = check("srt_close", unsafe { libsrt_sys::srt_close(id) }).map(drop);
    // libsrt removes a closed socket from the epolls without an event.
    #[cfg(feature = "async")]
    crate::reactor::wake_closed(crate::SocketId(id));
    closed
}

/// Converts an IPv4-mapped address of a dual-stack socket to IPv4, the form in which address rules are written.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(ip) => SocketAddr::from((ip, v6.port())),
            None => addr,
        },
        SocketAddr::V4(_) => addr,
    }
}

/// Reads a flag of plain data: `srt_getsockflag`.
pub(crate) fn socket_flag<T: Copy + Default>(id: SRTSOCKET, option: SRT_SOCKOPT) -> Result<T> {
    let mut value = T::default();
    let mut len = c_len(size_of::<T>());
    // SAFETY: the pointer and the length describe `value`; libsrt writes at most `len` bytes of plain data or fails.
    let ret =
        unsafe { libsrt_sys::srt_getsockflag(id, option, (&raw mut value).cast::<c_void>(), &raw mut len) };
    check("srt_getsockflag", ret)?;
    Ok(value)
}

/// Reads a flag of text into `buffer` and returns the bytes written (no terminator).
pub(crate) fn socket_flag_bytes(id: SRTSOCKET, option: SRT_SOCKOPT, buffer: &mut [u8]) -> Result<usize> {
    let mut len = c_len(buffer.len());
    // SAFETY: the pointer and the length describe `buffer`; libsrt checks the length before it writes.
    let ret = unsafe {
        libsrt_sys::srt_getsockflag(id, option, buffer.as_mut_ptr().cast::<c_void>(), &raw mut len)
    };
    check("srt_getsockflag", ret)?;
    Ok(usize::try_from(len).unwrap_or(0).min(buffer.len()))
}

/// Sets a flag of plain data: `srt_setsockflag`.
pub(crate) fn set_socket_flag<T: Copy>(id: SRTSOCKET, option: SRT_SOCKOPT, value: &T) -> Result<()> {
    // SAFETY: the pointer and the length describe `value`, which libsrt only reads, during the call.
    let ret = unsafe {
        libsrt_sys::srt_setsockflag(
            id,
            option,
            std::ptr::from_ref(value).cast::<c_void>(),
            c_len(size_of::<T>()),
        )
    };
    check("srt_setsockflag", ret).map(drop)
}

/// Sets a flag of text: `srt_setsockflag`.
pub(crate) fn set_socket_flag_bytes(id: SRTSOCKET, option: SRT_SOCKOPT, value: &[u8]) -> Result<()> {
    // SAFETY: the pointer and the length describe `value`, which libsrt only reads, during the call.
    let ret = unsafe {
        libsrt_sys::srt_setsockflag(id, option, value.as_ptr().cast::<c_void>(), c_len(value.len()))
    };
    check("srt_setsockflag", ret).map(drop)
}

/// Drops the payload of a panic. Its destructor is foreign code and may panic again, which must not reach C; that
/// panic's payload is dropped as well, or leaked if it panics too.
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    let dropping = |payload| catch_unwind(AssertUnwindSafe(|| drop(payload)));
    if let Err(last) = dropping(payload).or_else(dropping) {
        std::mem::forget(last);
    }
}

/// A length for C. All buffers of this crate are far below 2 GiB.
pub(crate) fn c_len(len: usize) -> c_int {
    c_int::try_from(len).unwrap_or(c_int::MAX)
}

/// Passes an address to `f` in the form that libsrt reads, with its length.
pub(crate) fn with_sockaddr<R>(addr: SocketAddr, f: impl FnOnce(*const libc::sockaddr, c_int) -> R) -> R {
    let addr = SockAddr::from(addr);
    f(addr.as_ptr().cast(), c_len(addr.len() as usize))
}

/// The cookie that a listener on `listener` gives to the caller at `caller` now, or gave `minutes_ago`.
pub(crate) fn cookie(caller: SocketAddr, listener: SocketAddr, minutes_ago: c_int) -> i32 {
    with_sockaddr(caller, |caller, caller_len| {
        with_sockaddr(listener, |listener, listener_len| {
            // SAFETY: both point to addresses of the given lengths, which the function only reads, during the call.
            unsafe { libsrt_sys::srt_edit_cookie(caller, caller_len, listener, listener_len, minutes_ago) }
        })
    })
}

/// Calls a function of libsrt that fills in an address.
pub(crate) fn sockaddr_from<R>(
    operation: &'static str,
    f: impl FnOnce(*mut libc::sockaddr, *mut c_int) -> Result<R>,
) -> Result<(R, SocketAddr)> {
    let mut storage = socket2::SockAddrStorage::zeroed();
    let mut len = c_len(size_of::<socket2::SockAddrStorage>());
    let result = f((&raw mut storage).cast(), &raw mut len)?;
    let len = libc::socklen_t::try_from(len).unwrap_or(0);
    // SAFETY: libsrt wrote a sockaddr_in or sockaddr_in6 of `len` bytes (it fails otherwise), and the rest is zeroed.
    let addr = unsafe { SockAddr::new(storage, len) };
    match addr.as_socket() {
        Some(addr) => Ok((result, addr)),
        None => Err(Error::new(
            SRT_ERRNO::SRT_EINVPARAM,
            operation,
            "libsrt returned an address of an unknown family",
        )),
    }
}

/// Reads an address that libsrt passes to a callback.
///
/// # Safety
/// `addr` is null or points to a sockaddr of its own family's size.
pub(crate) unsafe fn sockaddr_of(addr: *const libc::sockaddr) -> Option<SocketAddr> {
    if addr.is_null() {
        return None;
    }
    // SAFETY: not null, and readable by the caller's promise.
    let family = c_int::from(unsafe { (*addr).sa_family });
    let len = match family {
        libc::AF_INET => size_of::<libc::sockaddr_in>(),
        libc::AF_INET6 => size_of::<libc::sockaddr_in6>(),
        _ => return None,
    };
    let mut storage = socket2::SockAddrStorage::zeroed();
    // SAFETY: the source has `len` readable bytes by the caller's promise; the storage holds any sockaddr; they do not overlap.
    unsafe { std::ptr::copy_nonoverlapping(addr.cast::<u8>(), (&raw mut storage).cast::<u8>(), len) };
    // SAFETY: the storage holds a sockaddr of `len` bytes.
    unsafe { SockAddr::new(storage, libc::socklen_t::try_from(len).unwrap_or(0)) }.as_socket()
}
