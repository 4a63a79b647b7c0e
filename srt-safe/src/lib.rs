//! Safe API of libsrt.
mod error;
mod ffi;
mod init;
mod reject;

pub use error::{Error, ErrorCode, ErrorKind, Result};
pub use reject::{RejectCode, RejectReason};
