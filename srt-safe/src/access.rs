//! Access control: what a listener is told about a caller, and what it may answer.
//!
//! These are only the types; `trampoline` runs the decision on libsrt's thread.

use std::{net::SocketAddr, sync::Arc};

use crate::{Options, Passphrase, RejectCode, SocketId, StreamId, StreamIdError, handshake};

/// Decides about each caller of a listener, during its handshake.
///
/// Runs on the thread that receives for the listener's whole port, under libsrt's locks: while it thinks, nobody else on that
/// port is served. So it looks up what is in memory and returns. What takes longer: answer [`Verdict::Defer`], find out on a
/// thread of your own, and answer the caller's next handshake. A panic refuses the caller with [`RejectCode::INTERNAL`] and is
/// counted in [`AccessCounts::panics`].
///
/// With an installed libsrt its time is added to the delay of all that the admitted caller sends: libsrt reckons that caller's
/// clock when it is done. Ours reckons from the arrival of the handshake (edit `handshake-time`).
///
/// It may run again for the same caller: after a deferral, and once per member link of a bonded caller.
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

/// The answer to a caller.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// Let in, with settings of its own.
    Admit(Admission),
    /// Turned away; the caller sees the code as its reject reason.
    Refuse(RejectCode),
    /// Turned away as libsrt turns away a caller whose passphrase is wrong: the caller sees
    /// [`RejectReason::BAD_SECRET`](crate::RejectReason::BAD_SECRET). For whoever has checked the key material
    /// ([`AccessRequest::key_request`]), so that libsrt need not. Where the library cannot do that (no edit
    /// `secret-verdict`) the caller sees [`RejectCode::UNAUTHORIZED`].
    WrongPassphrase,
    /// Not known yet. The handshake stays unanswered, the caller repeats it (each 250 ms, or each second if it blocks in
    /// libsrt's own connect) until its connect timeout (3 s unless it set another), and each time the question is put
    /// again. Where the library cannot do that ([`SrtListener::can_defer`](crate::SrtListener::can_defer)) the caller is
    /// refused with [`RejectCode::UNAVAILABLE`].
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

/// The settings of an admitted caller's socket, over those of the listener.
///
/// Passphrase, latencies, buffers and whatever else may be set once a socket is bound take effect; settings of the port
/// (MSS, UDP buffers, IP fields) refuse the caller with [`RejectCode::INTERNAL`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Admission {
    options: Options,
}

impl Admission {
    /// The listener's own settings.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets all settings at once.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Demands this passphrase of the caller, which must have set the same. Each streamid may have its own.
    #[must_use]
    pub fn passphrase(mut self, passphrase: Passphrase) -> Self {
        self.options = self.options.passphrase(passphrase);
        self
    }

    pub(crate) const fn settings(&self) -> &Options {
        &self.options
    }
}

/// What is known about a caller during its handshake.
#[derive(Clone, Copy, Debug)]
pub struct AccessRequest<'a> {
    pub(crate) socket: SocketId,
    pub(crate) peer: SocketAddr,
    pub(crate) handshake_version: i32,
    pub(crate) stream_id: &'a [u8],
}

impl AccessRequest<'_> {
    /// The id of the socket that an admitted caller gets. A deferred caller has a new one at each handshake.
    #[must_use]
    pub const fn socket_id(&self) -> SocketId {
        self.socket
    }

    /// The id of the caller's own socket. The caller repeats it with each repeated handshake, and a new attempt has a new one.
    /// None where the library does not show it (no edit `handshake-view`).
    #[must_use]
    pub fn caller_socket(&self) -> Option<SocketId> {
        handshake::caller_socket()
    }

    /// Where the handshake came from. The caller has returned a cookie that was sent there, so the address is not forged, but
    /// by somebody on the path. An IPv4 caller of a dual-stack port has its IPv4 address, not the mapped one.
    #[must_use]
    pub const fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// 5 for every SRT since 1.3, which alone can send a streamid; 4 before.
    #[must_use]
    pub const fn handshake_version(&self) -> i32 {
        self.handshake_version
    }

    /// The streamid as it came: up to 512 bytes of anything but zeros; empty when the caller sent none.
    #[must_use]
    pub const fn stream_id_bytes(&self) -> &[u8] {
        self.stream_id
    }

    /// The streamid; empty when the caller sent none.
    ///
    /// # Errors
    /// When it is longer than SRT allows.
    pub fn stream_id(&self) -> Result<StreamId, StreamIdError> {
        StreamId::new(self.stream_id)
    }
}

/// How a listener's decisions went, since it was bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessCounts {
    /// Handshakes admitted. libsrt may still refuse them, for a wrong passphrase say.
    pub admitted: u64,
    /// Handshakes refused, for whatever reason, the two below included.
    pub refused: u64,
    /// Handshakes left unanswered. One caller may count several times.
    pub deferred: u64,
    /// Refused because the decision panicked.
    pub panics: u64,
    /// Refused because a setting of the admission cannot be applied.
    pub bad_settings: u64,
}

pub(crate) type SharedAccess = Arc<dyn AccessControl>;
