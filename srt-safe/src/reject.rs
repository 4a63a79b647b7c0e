//! Reasons for refused connections: what a caller receives, and what a listener may send.

use std::{ffi::CStr, fmt};

use libsrt_sys::SRT_REJECT_REASON as Reject;

/// Why a connection was refused, as seen by the caller: libsrt's own reason (`SRT_REJ_*`, below 1000), a code of the
/// access control guidelines (`SRT_REJX_*`, 1000 to 1999), or an application's own (2000 and above).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RejectReason(i32);

impl RejectReason {
    /// Wrong password (`SRT_REJ_BADSECRET`).
    pub const BAD_SECRET: Self = Self(Reject::SRT_REJ_BADSECRET.0.cast_signed());
    /// One side requires encryption and the other has no passphrase (`SRT_REJ_UNSECURE`).
    pub const UNSECURE: Self = Self(Reject::SRT_REJ_UNSECURE.0.cast_signed());
    /// The peer's SRT version is below the required one (`SRT_REJ_VERSION`).
    pub const VERSION: Self = Self(Reject::SRT_REJ_VERSION.0.cast_signed());
    /// The listener's backlog is full (`SRT_REJ_BACKLOG`).
    pub const BACKLOG: Self = Self(Reject::SRT_REJ_BACKLOG.0.cast_signed());
    /// Nobody answered in time (`SRT_REJ_TIMEOUT`).
    pub const TIMEOUT: Self = Self(Reject::SRT_REJ_TIMEOUT.0.cast_signed());
    /// The packet filter settings of the two sides conflict (`SRT_REJ_FILTER`).
    pub const FILTER: Self = Self(Reject::SRT_REJ_FILTER.0.cast_signed());
    /// The crypto modes of the two sides differ (`SRT_REJ_CRYPTO`).
    pub const CRYPTO: Self = Self(Reject::SRT_REJ_CRYPTO.0.cast_signed());
    /// One side uses messages, the other a stream (`SRT_REJ_MESSAGEAPI`).
    pub const MESSAGE_API: Self = Self(Reject::SRT_REJ_MESSAGEAPI.0.cast_signed());
    /// The listener refused without a code, or the handshake was invalid (`SRT_REJ_ROGUE`).
    pub const ROGUE: Self = Self(Reject::SRT_REJ_ROGUE.0.cast_signed());
    /// The peer refused (`SRT_REJ_PEER`).
    pub const PEER: Self = Self(Reject::SRT_REJ_PEER.0.cast_signed());

    pub(crate) const fn from_raw(value: i32) -> Self {
        Self(value)
    }

    /// The number, as in libsrt's rejection-codes.md and access_control.h.
    #[must_use]
    pub const fn value(self) -> i32 {
        self.0
    }

    /// The code that the listener's application sent, if this is one.
    #[must_use]
    pub fn code(self) -> Option<RejectCode> {
        u16::try_from(self.0)
            .ok()
            .filter(|code| *code >= RejectCode::FALLBACK.0)
            .map(RejectCode)
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(code) = self.code() {
            return code.fmt(f);
        }
        // SAFETY: srt_rejectreason_str takes any number.
        let text = unsafe { libsrt_sys::srt_rejectreason_str(self.0) };
        // SAFETY: it returns a static, terminated string.
        let text = unsafe { CStr::from_ptr(text) };
        write!(f, "{} ({})", text.to_string_lossy(), self.0)
    }
}

impl From<RejectCode> for RejectReason {
    fn from(code: RejectCode) -> Self {
        Self(i32::from(code.0))
    }
}

/// A code that a listener may send with its refusal (`srt_setrejectreason`): 1000 and above; lower ones are libsrt's
/// own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RejectCode(u16);

impl RejectCode {
    /// 1000: refused without a reason. libsrt sends it if the callback sets none.
    pub const FALLBACK: Self = Self(1000);
    /// 1400: the streamid is malformed or incomplete.
    pub const BAD_REQUEST: Self = Self(1400);
    /// 1401: authentication failed or is missing.
    pub const UNAUTHORIZED: Self = Self(1401);
    /// 1402: the server is overloaded.
    pub const OVERLOAD: Self = Self(1402);
    /// 1403: not allowed for this user.
    pub const FORBIDDEN: Self = Self(1403);
    /// 1404: no such resource.
    pub const NOT_FOUND: Self = Self(1404);
    /// 1405: the mode (request, publish) is not supported for this resource.
    pub const BAD_MODE: Self = Self(1405);
    /// 1406: the parameters cannot be satisfied.
    pub const UNACCEPTABLE: Self = Self(1406);
    /// 1409: a conflict, such as a second publisher of a stream.
    pub const CONFLICT: Self = Self(1409);
    /// 1415: the media type is not supported.
    pub const UNSUPPORTED_MEDIA: Self = Self(1415);
    /// 1423: the resource is locked.
    pub const LOCKED: Self = Self(1423);
    /// 1424: failed because another operation failed.
    pub const FAILED_DEPENDENCY: Self = Self(1424);
    /// 1500: internal error of the server.
    pub const INTERNAL: Self = Self(1500);
    /// 1501: not implemented.
    pub const UNIMPLEMENTED: Self = Self(1501);
    /// 1502: the server's upstream sent an invalid answer.
    pub const BAD_GATEWAY: Self = Self(1502);
    /// 1503: temporarily unavailable.
    pub const UNAVAILABLE: Self = Self(1503);
    /// 1505: this SRT version is not supported here.
    pub const VERSION: Self = Self(1505);
    /// 1507: no storage for what is sent.
    pub const NO_ROOM: Self = Self(1507);

    /// A code from its number: 1000 to 65535, except 1998 and 1999, which the pinned libsrt uses internally.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        let is_private = matches!(
            code as i32,
            libsrt_sys::SRT_REJX_DEFERRED | libsrt_sys::SRT_REJX_BADSECRET
        );
        if code >= Self::FALLBACK.0 && !is_private {
            Some(Self(code))
        } else {
            None
        }
    }

    /// An application's own code: 2000 + `n`, for `n` below 1000.
    #[must_use]
    pub const fn user(n: u16) -> Option<Self> {
        if n < 1000 { Some(Self(2000 + n)) } else { None }
    }

    /// The number that goes over the wire (before libsrt adds 1000 for the handshake's request type).
    #[must_use]
    pub const fn value(self) -> u16 {
        self.0
    }

    fn words(self) -> &'static str {
        match self {
            Self::FALLBACK => "refused",
            Self::BAD_REQUEST => "bad request",
            Self::UNAUTHORIZED => "unauthorized",
            Self::OVERLOAD => "overloaded",
            Self::FORBIDDEN => "forbidden",
            Self::NOT_FOUND => "not found",
            Self::BAD_MODE => "mode not supported here",
            Self::UNACCEPTABLE => "not acceptable",
            Self::CONFLICT => "already in use",
            Self::UNSUPPORTED_MEDIA => "media type not supported",
            Self::LOCKED => "locked",
            Self::FAILED_DEPENDENCY => "failed dependency",
            Self::INTERNAL => "internal error",
            Self::UNIMPLEMENTED => "not implemented",
            Self::BAD_GATEWAY => "bad gateway",
            Self::UNAVAILABLE => "unavailable",
            Self::VERSION => "SRT version not supported",
            Self::NO_ROOM => "no room",
            Self(2000..) => "application's own code",
            Self(_) => "refused by the application",
        }
    }
}

impl fmt::Display for RejectCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.words(), self.0)
    }
}
