//! The one error type of the crate, and the kinds by which callers tell errors apart.

use std::{ffi::CStr, fmt, io};

use libsrt_sys::SRT_ERRNO;

use crate::RejectReason;

/// What functions of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed: libsrt's code, the system's errno behind it, the C function, and for a refused connection the reason.
///
/// Nothing is allocated to make one, so that an error on the data path costs nothing. Tell errors apart by [`kind`](Self::kind).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    code: ErrorCode,
    os_errno: i32,
    operation: &'static str,
    detail: Option<&'static str>,
    reject: Option<RejectReason>,
}

/// A code of libsrt (`SRT_ERRNO`), such as 2001 for a lost connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(i32);

impl ErrorCode {
    /// The number, as libsrt's documentation (API-functions.md, "Error Codes") lists it.
    #[must_use]
    pub const fn value(self) -> i32 {
        self.0
    }
}

/// What went wrong, coarsely: enough to decide what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A non-blocking call found nothing to do: wait for the epoll event and call again.
    WouldBlock,
    /// A blocking call or a connection attempt ran into its time limit.
    TimedOut,
    /// The peer, or this side's own demands, refused the connection: [`Error::reject_reason`] says why.
    ConnectionRejected,
    /// The connection was there and is gone.
    ConnectionLost,
    /// The call needs a connection and the socket has none.
    NotConnected,
    /// Congestion: the peer or the network does not keep up.
    Congested,
    /// An argument is outside of what libsrt takes.
    InvalidInput,
    /// The socket is in a state in which the call makes no sense (or is closed already).
    InvalidState,
    /// The address or port is taken by a socket with other settings.
    AddressInUse,
    /// Memory, threads or system objects ran out.
    OutOfResources,
    /// A file could not be read or written.
    File,
    /// Anything else.
    Other,
}

impl Error {
    /// Reads libsrt's error of this thread: to be called at once after the failed call, on the same thread.
    pub(crate) fn last(operation: &'static str) -> Self {
        let mut os_errno = 0;
        // SAFETY: srt_getlasterror reads a thread-local of libsrt and writes the errno behind the pointer, which outlives the call.
        let code = unsafe { libsrt_sys::srt_getlasterror(&raw mut os_errno) };
        Self {
            code: ErrorCode(code),
            os_errno,
            operation,
            detail: None,
            reject: None,
        }
    }

    /// An error that this crate finds by itself, before or in place of a call of libsrt.
    pub(crate) const fn new(code: SRT_ERRNO, operation: &'static str, detail: &'static str) -> Self {
        Self {
            code: ErrorCode(code.0),
            os_errno: 0,
            operation,
            detail: Some(detail),
            reject: None,
        }
    }

    /// An error that libsrt tells of in another way than through its thread-local: a callback, or a field of a struct.
    pub(crate) const fn from_code(code: i32, operation: &'static str) -> Self {
        Self {
            code: ErrorCode(code),
            os_errno: 0,
            operation,
            detail: None,
            reject: None,
        }
    }

    pub(crate) const fn invalid_input(operation: &'static str, detail: &'static str) -> Self {
        Self::new(SRT_ERRNO::SRT_EINVPARAM, operation, detail)
    }

    /// The same error, with words that say more than libsrt's.
    pub(crate) const fn with_detail(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }

    /// The same error, said to come from a more telling operation.
    pub(crate) const fn with_operation(mut self, operation: &'static str) -> Self {
        self.operation = operation;
        self
    }

    /// The error of a call to the system that this crate makes by itself.
    pub(crate) fn from_io(operation: &'static str, error: &io::Error) -> Self {
        Self::new(SRT_ERRNO::SRT_ESOCKFAIL, operation, "the system refused")
            .with_os_errno(error.raw_os_error().unwrap_or(0))
    }

    pub(crate) const fn with_os_errno(mut self, errno: i32) -> Self {
        self.os_errno = errno;
        self
    }

    /// An installed libsrt closes and forgets a broken connection by itself, within about a second; to who still holds the
    /// socket that is a lost connection like any other, and not the wrong id that libsrt then speaks of.
    pub(crate) const fn of_connection(mut self) -> Self {
        if self.code.0 == SRT_ERRNO::SRT_EINVSOCK.0 {
            self.code = ErrorCode(SRT_ERRNO::SRT_ECONNLOST.0);
        }
        self
    }

    pub(crate) const fn with_reject_reason(mut self, reason: RejectReason) -> Self {
        self.reject = Some(reason);
        self
    }

    /// What went wrong, coarsely.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match SRT_ERRNO(self.code.0) {
            SRT_ERRNO::SRT_EASYNCSND | SRT_ERRNO::SRT_EASYNCRCV => ErrorKind::WouldBlock,
            SRT_ERRNO::SRT_ETIMEOUT | SRT_ERRNO::SRT_ENOSERVER => ErrorKind::TimedOut,
            SRT_ERRNO::SRT_ECONNREJ => ErrorKind::ConnectionRejected,
            SRT_ERRNO::SRT_ECONNLOST | SRT_ERRNO::SRT_ECONNFAIL | SRT_ERRNO::SRT_EPEERERR => {
                ErrorKind::ConnectionLost
            }
            SRT_ERRNO::SRT_ENOCONN => ErrorKind::NotConnected,
            SRT_ERRNO::SRT_ECONGEST => ErrorKind::Congested,
            SRT_ERRNO::SRT_EBINDCONFLICT => ErrorKind::AddressInUse,
            SRT_ERRNO::SRT_ESOCKFAIL if self.os_errno == libc::EADDRINUSE => ErrorKind::AddressInUse,
            SRT_ERRNO::SRT_EINVPARAM
            | SRT_ERRNO::SRT_EINVALMSGAPI
            | SRT_ERRNO::SRT_EINVALBUFFERAPI
            | SRT_ERRNO::SRT_ELARGEMSG => ErrorKind::InvalidInput,
            SRT_ERRNO::SRT_ERESOURCE
            | SRT_ERRNO::SRT_ETHREAD
            | SRT_ERRNO::SRT_ENOBUF
            | SRT_ERRNO::SRT_ESYSOBJ => ErrorKind::OutOfResources,
            SRT_ERRNO(4000..=4999) => ErrorKind::File,
            SRT_ERRNO::SRT_ESCLOSED | SRT_ERRNO(5000..=5999) => ErrorKind::InvalidState,
            _ if self.is_exhaustion() => ErrorKind::OutOfResources,
            _ => ErrorKind::Other,
        }
    }

    /// libsrt has no code of its own for a socket or an epoll that the system refused: the errno tells.
    const fn is_exhaustion(&self) -> bool {
        matches!(
            self.os_errno,
            libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS | libc::EAGAIN
        )
    }

    /// libsrt's code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        self.code
    }

    /// The system's errno behind the error, where there is one.
    #[must_use]
    pub const fn os_errno(&self) -> Option<i32> {
        match self.os_errno {
            0 => None,
            errno => Some(errno),
        }
    }

    /// The C function (or the step of this crate) that failed.
    #[must_use]
    pub const fn operation(&self) -> &'static str {
        self.operation
    }

    /// Why the connection was refused, if that is what happened.
    #[must_use]
    pub const fn reject_reason(&self) -> Option<RejectReason> {
        self.reject
    }

    /// Whether a non-blocking call found nothing to do.
    #[must_use]
    pub fn is_would_block(&self) -> bool {
        self.kind() == ErrorKind::WouldBlock
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.operation)?;
        match self.detail {
            Some(detail) => f.write_str(detail)?,
            None => {
                // SAFETY: srt_strerror takes any code and returns a terminated string in thread-local or static storage.
                let text = unsafe { libsrt_sys::srt_strerror(self.code.0, 0) };
                // SAFETY: the string lives until the next call of srt_strerror on this thread; it is used up within this arm.
                let text = unsafe { CStr::from_ptr(text) };
                f.write_str(text.to_string_lossy().trim_end_matches(['.', ' ']))?;
            }
        }
        if let Some(reason) = self.reject {
            write!(f, ": {reason}")?;
        }
        if self.os_errno != 0 {
            write!(f, " ({})", io::Error::from_raw_os_error(self.os_errno))?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::WouldBlock => io::ErrorKind::WouldBlock,
            ErrorKind::TimedOut => io::ErrorKind::TimedOut,
            ErrorKind::ConnectionRejected => io::ErrorKind::ConnectionRefused,
            ErrorKind::ConnectionLost => io::ErrorKind::ConnectionReset,
            ErrorKind::NotConnected => io::ErrorKind::NotConnected,
            ErrorKind::AddressInUse => io::ErrorKind::AddrInUse,
            ErrorKind::InvalidInput => io::ErrorKind::InvalidInput,
            ErrorKind::OutOfResources => io::ErrorKind::OutOfMemory,
            ErrorKind::Congested | ErrorKind::InvalidState | ErrorKind::File | ErrorKind::Other => {
                io::ErrorKind::Other
            }
        };
        Self::new(kind, error)
    }
}
