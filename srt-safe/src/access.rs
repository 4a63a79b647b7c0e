//! Access control: what a listener learns about a caller, and the possible answers.
//!
//! Only the types; `trampoline` runs the decision on libsrt's thread.

use std::{net::SocketAddr, sync::Arc};

use crate::{Options, Passphrase, RejectCode, SocketId, StreamId, StreamIdError, handshake};

/// Decides about each caller of a listener, during its handshake.
///
/// Runs on the thread that receives for the listener's whole port, under libsrt's locks: while it runs, nobody else on
/// that port is served. So it should look up what is in memory and return. For slower decisions, return
/// [`Verdict::Defer`], decide on a thread of your own, and answer the caller's next handshake. A panic refuses the
/// caller with [`RejectCode::INTERNAL`] and is counted in [`AccessCounts::panics`].
///
/// With an installed libsrt, its run time is added to the delay of everything that the admitted caller sends, because
/// libsrt starts that caller's clock when the decision is done. The pinned libsrt starts it when the handshake arrives
/// (edit `handshake-time`).
///
/// It may run several times for the same caller: after a deferral, and once per member link of a bonded caller.
///
/// # Examples
/// ```
/// use srt_safe::{AccessRequest, Admission, RejectCode, SrtListener};
///
/// let listener = SrtListener::builder()
///     .access_control(|request: &AccessRequest<'_>| {
///         match request.stream_id_bytes() {
///             b"live/one" => Ok(Admission::new()),
///             _ => Err(RejectCode::NOT_FOUND),
///         }
///     })
///     .bind("127.0.0.1:0")?;
/// # Ok::<(), srt_safe::Error>(())
/// ```
pub trait AccessControl: Send + Sync + 'static {
    /// Decides about one handshake.
    fn authorize(&self, request: &AccessRequest<'_>) -> Verdict;
}

impl<F, V> AccessControl for F
where
    F: Fn(&AccessRequest<'_>) -> V + Send + Sync + 'static,
    V: Into<Verdict>,
{
    fn authorize(&self, request: &AccessRequest<'_>) -> Verdict {
        self(request).into()
    }
}

/// The decision on a caller.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// Admitted, with settings of its own.
    Admit(Admission),
    /// Refused; the caller receives the code as its reject reason.
    Refuse(RejectCode),
    /// Refused like libsrt refuses a wrong passphrase: the caller sees
    /// [`RejectReason::BAD_SECRET`](crate::RejectReason::BAD_SECRET). Use it after checking the key material
    /// ([`AccessRequest::key_request`]) yourself, which saves libsrt the work. If the library does not support it (no
    /// edit `secret-verdict`), the caller sees [`RejectCode::UNAUTHORIZED`].
    WrongPassphrase,
    /// Not decided yet. The handshake stays unanswered, the caller repeats it (every 250 ms, or every second if it
    /// blocks in libsrt's own connect) until its connect timeout (3 s by default), and the decision is made again each
    /// time. If the library does not support it ([`SrtListener::can_defer`](crate::SrtListener::can_defer)), the caller
    /// is refused with [`RejectCode::UNAVAILABLE`].
    Defer,
}

impl From<Admission> for Verdict {
    fn from(admission: Admission) -> Self {
        Self::Admit(admission)
    }
}

impl From<RejectCode> for Verdict {
    fn from(code: RejectCode) -> Self {
        Self::Refuse(code)
    }
}

impl From<Result<Admission, RejectCode>> for Verdict {
    fn from(result: Result<Admission, RejectCode>) -> Self {
        result.map_or_else(Self::Refuse, Self::Admit)
    }
}

/// The settings of an admitted caller's socket, which override those of the listener.
///
/// Passphrase, latencies, buffers and all other options that may be set on a bound socket take effect; settings of the
/// port (MSS, UDP buffers, IP fields) refuse the caller with [`RejectCode::INTERNAL`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Admission {
    options: Options,
}

impl Admission {
    /// Uses the listener's settings unchanged.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets all options at once.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Requires this passphrase, which the caller must also have set. Each streamid may have its own.
    #[must_use]
    pub fn passphrase(mut self, passphrase: Passphrase) -> Self {
        self.options = self.options.passphrase(passphrase);
        self
    }

    pub(crate) const fn settings(&self) -> &Options {
        &self.options
    }
}

/// The information about a caller during its handshake.
#[derive(Clone, Copy, Debug)]
pub struct AccessRequest<'a> {
    pub(crate) socket: SocketId,
    pub(crate) peer: SocketAddr,
    pub(crate) handshake_version: i32,
    pub(crate) stream_id: &'a [u8],
}

impl AccessRequest<'_> {
    /// The id of the socket that the caller gets if it is admitted. A deferred caller has a new one with each
    /// handshake.
    #[must_use]
    pub const fn socket_id(&self) -> SocketId {
        self.socket
    }

    /// The id of the caller's own socket. Repeated handshakes have the same id, and a new attempt has a new one. None
    /// if the library does not show it (no edit `handshake-view`).
    #[must_use]
    pub fn caller_socket(&self) -> Option<SocketId> {
        handshake::caller_socket()
    }

    /// The source address of the handshake. The caller has returned a cookie that was sent there, so only somebody on
    /// the path can have forged it. An IPv4 caller of a dual-stack port has its IPv4 address, not the mapped one.
    #[must_use]
    pub const fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// 5 for SRT 1.3 and later, which can send a streamid; 4 for older versions.
    #[must_use]
    pub const fn handshake_version(&self) -> i32 {
        self.handshake_version
    }

    /// The streamid as received: up to 512 bytes without zeros; empty if the caller sent none.
    #[must_use]
    pub const fn stream_id_bytes(&self) -> &[u8] {
        self.stream_id
    }

    /// The streamid; empty if the caller sent none.
    ///
    /// # Errors
    /// If it is longer than SRT allows.
    pub fn stream_id(&self) -> Result<StreamId, StreamIdError> {
        StreamId::new(self.stream_id)
    }
}

/// The decisions of a listener since it was bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessCounts {
    /// Admitted handshakes. libsrt may still refuse them, for example for a wrong passphrase.
    pub admitted: u64,
    /// Refused handshakes, for any reason, including the two below.
    pub refused: u64,
    /// Unanswered handshakes. One caller may count several times.
    pub deferred: u64,
    /// Refused because the decision panicked.
    pub panics: u64,
    /// Refused because an option of the admission cannot be applied.
    pub bad_settings: u64,
}

pub(crate) type SharedAccess = Arc<dyn AccessControl>;
