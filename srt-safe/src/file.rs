//! Transfers whole files over a connection in file mode.
//!
//! libsrt opens, reads and writes the file itself, on the calling thread; the calls block whatever the socket's mode.

use std::{ffi::CString, fs, os::unix::ffi::OsStrExt, path::Path};

use libsrt_sys::SRT_ERRNO;

use crate::{Error, Result, SrtSocket};

/// How much libsrt reads from the file at once: its default (`SRT_DEFAULT_SENDFILE_BLOCK`).
const SEND_BLOCK: i32 = libsrt_sys::SRT_DEFAULT_SENDFILE_BLOCK.cast_signed();
/// How much libsrt writes to the file at once: its default (`SRT_DEFAULT_RECVFILE_BLOCK`).
const RECV_BLOCK: i32 = libsrt_sys::SRT_DEFAULT_RECVFILE_BLOCK.cast_signed();

impl SrtSocket {
    /// Sends a file from byte `offset` to its end (`srt_sendfile`), and returns the number of bytes accepted.
    ///
    /// Only for stream mode. Blocks until everything is in the send buffer, even on a non-blocking socket; closing then
    /// waits until the peer has received it. The peer needs the length to call [`recv_file`](Self::recv_file), so send
    /// it first.
    ///
    /// # Errors
    /// [`File`](crate::ErrorKind::File) if the file cannot be read, [`InvalidInput`](crate::ErrorKind::InvalidInput) in
    /// live mode, [`ConnectionLost`](crate::ErrorKind::ConnectionLost) if the connection is lost.
    pub fn send_file(&self, path: impl AsRef<Path>, offset: u64) -> Result<u64> {
        const OPERATION: &str = "srt_sendfile";
        let path = path.as_ref();
        let c_path = c_path(OPERATION, path)?;
        // With -1, libsrt determines the length itself, but then reads that much from any offset, and fails at the end.
        let length = match fs::metadata(path).map(|file| file.len().checked_sub(offset)) {
            Ok(Some(length)) => c_offset(OPERATION, length)?,
            Ok(None) => {
                return Err(Error::new(
                    SRT_ERRNO::SRT_EINVRDOFF,
                    OPERATION,
                    "the file is shorter than the offset",
                ));
            }
            Err(error) => {
                return Err(
                    Error::new(SRT_ERRNO::SRT_ERDPERM, OPERATION, "the file cannot be read")
                        .with_os_errno(error.raw_os_error().unwrap_or(0)),
                );
            }
        };
        let mut position = c_offset(OPERATION, offset)?;
        // SAFETY: the path is terminated and outlives the call, and so does the offset, which libsrt moves on.
        let sent = unsafe {
            libsrt_sys::srt_sendfile(
                self.raw.id(),
                c_path.as_ptr(),
                &raw mut position,
                length,
                SEND_BLOCK,
            )
        };
        u64::try_from(sent).map_err(|_| Error::last(OPERATION).of_connection())
    }

    /// Receives `length` bytes into a file, which is created or truncated first (`srt_recvfile`), and returns the
    /// number of bytes received: fewer if the peer's stream ended early.
    ///
    /// Only for stream mode. Blocks until everything has been received, even on a non-blocking socket.
    ///
    /// # Errors
    /// [`File`](crate::ErrorKind::File) if the file cannot be written, [`InvalidInput`](crate::ErrorKind::InvalidInput)
    /// in live mode, [`ConnectionLost`](crate::ErrorKind::ConnectionLost) if the connection broke.
    pub fn recv_file(&self, path: impl AsRef<Path>, length: u64) -> Result<u64> {
        let path = c_path("srt_recvfile", path.as_ref())?;
        let length = c_offset("srt_recvfile", length)?;
        let mut position = 0;
        // SAFETY: the path is terminated and outlives the call, and so does the offset, which libsrt moves on.
        let received = unsafe {
            libsrt_sys::srt_recvfile(
                self.raw.id(),
                path.as_ptr(),
                &raw mut position,
                length,
                RECV_BLOCK,
            )
        };
        if received < 0 {
            return Err(Error::last("srt_recvfile").of_connection());
        }
        // If the stream ends early, libsrt returns zero whatever it wrote; the offset has the number.
        Ok(u64::try_from(position).unwrap_or(0))
    }
}

fn c_path(operation: &'static str, path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Error::invalid_input(operation, "a file name cannot contain a zero byte"))
}

fn c_offset(operation: &'static str, bytes: u64) -> Result<i64> {
    i64::try_from(bytes).map_err(|_| Error::invalid_input(operation, "no file is that long"))
}
