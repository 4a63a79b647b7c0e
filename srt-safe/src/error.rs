//! The crate's error type, and the kinds of errors that callers can distinguish.

use std::{ffi::CStr, fmt, io};

use libsrt_sys::SRT_ERRNO;

use crate::RejectReason;

/// The result of functions in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed: libsrt's code, the system's errno behind it, the C function, and for a refused connection the
/// reason.
///
/// Creating one allocates nothing, so an error on the data path costs nothing. Distinguish errors by
/// [`kind`](Self::kind).
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

/// The kind of an error, which decides what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A non-blocking call had nothing to do: wait for the epoll event and call again.
    WouldBlock,
    /// A blocking call or a connection attempt timed out.
    TimedOut,
    /// The peer, or this side's own requirements, refused the connection; see [`Error::reject_reason`].
    ConnectionRejected,
    /// The connection was lost.
    ConnectionLost,
    /// The call needs a connection and the socket has none.
    NotConnected,
    /// Congestion: the peer or the network does not keep up.
    Congested,
    /// libsrt does not accept an argument.
    InvalidInput,
    /// The call is not valid in the socket's state, or the socket is closed.
    InvalidState,
    /// A socket with other settings uses the address or port.
    AddressInUse,
    /// Memory, threads or system objects are exhausted.
    OutOfResources,
    /// A file could not be read or written.
    File,
    /// Anything else.
    Other,
}

impl Error {
    /// Reads this thread's libsrt error: must be called right after the failed call, on the same thread.
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

    /// An error that this crate detects itself, before or instead of a call to libsrt.
    pub(crate) const fn new(code: SRT_ERRNO, operation: &'static str, detail: &'static str) -> Self {
        Self {
            code: ErrorCode(code.0),
            os_errno: 0,
            operation,
            detail: Some(detail),
            reject: None,
        }
    }

    /// An error that libsrt reports otherwise than through its thread-local: in a callback, or a field of a struct.
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

    /// The same error with a more specific message.
    pub(crate) const fn with_detail(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }

    /// The same error with a more specific operation.
    pub(crate) const fn with_operation(mut self, operation: &'static str) -> Self {
        self.operation = operation;
        self
    }

    /// The error of a system call by this crate.
    pub(crate) fn from_io(operation: &'static str, error: &io::Error) -> Self {
        Self::new(SRT_ERRNO::SRT_ESOCKFAIL, operation, "the system refused")
            .with_os_errno(error.raw_os_error().unwrap_or(0))
    }

    pub(crate) const fn with_os_errno(mut self, errno: i32) -> Self {
        self.os_errno = errno;
        self
    }

    /// An installed libsrt closes and removes a broken connection by itself, within about a second. For the owner of
    /// the socket that is a lost connection, and not the invalid id that libsrt then reports.
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

    /// The kind of error.
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

    /// libsrt has no code for a socket or an epoll that the system refused: only the errno shows it.
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

    /// The system's errno behind the error, if any.
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

    /// Why the connection was refused, if it was.
    #[must_use]
    pub const fn reject_reason(&self) -> Option<RejectReason> {
        self.reject
    }

    /// Whether a non-blocking call had nothing to do.
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
