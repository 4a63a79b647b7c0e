//! Why a caller is refused or a session is closed: who decided, with which code, and the sentence for operators.

use std::{fmt, sync::Arc, time::Duration};

use srt_safe::{CallerHandshake, RejectCode, RejectReason, SrtVersion, log::EncryptionFault};

use super::{
    AttemptKey, Ban, Unreadable,
    bonds::MAX_LINKS,
    decide::Grant,
    filter::FilterFault,
    hook::{HookRefusal, RefusalSource},
};
use crate::{
    config::ExpandError,
    names::{Role, StreamName},
    telemetry::{RejectedBy, Shortage},
};

/// Why a caller is refused. [`Display`](fmt::Display) is the sentence for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RefusalReason {
    Unreadable(Unreadable),
    AddressNotAllowed,
    NameMissing {
        port: String,
        /// The caller sent no streamid.
        is_empty: bool,
    },
    ModeMissing {
        port: String,
    },
    WrongMode {
        port: String,
        asked: Role,
    },
    OtherStream {
        asked: StreamName,
        served: StreamName,
        exists: bool,
    },
    OutsideTemplate {
        asked: StreamName,
        prefix: String,
        exists: bool,
    },
    /// The name does not fit the inputs and outputs of its template.
    UnfitName {
        stream: StreamName,
        template: StreamName,
        why: ExpandError,
    },
    UnknownStream(StreamName),
    /// The path would contain a password for this stream, which has none.
    NoPasswordThere(StreamName),
    NoSource(StreamName),
    HasPublisher(StreamName),
    /// It is connected and sends nothing.
    HasSilentPublisher(StreamName),
    /// It is not silent, so it cannot be taken over.
    HasActivePublisher {
        stream: StreamName,
        silent_after: Duration,
    },
    StreamFull {
        stream: StreamName,
        max: u32,
    },
    PortFull {
        max: u32,
    },
    /// From this address.
    TooManySessions {
        max: u32,
    },
    /// Ports of `[[listeners]]`, opened for this address.
    TooManyUnusedPorts {
        max: u32,
    },
    /// Created by callers.
    TooManyStreams {
        max: u32,
    },
    TooManyStreamsOfAddress {
        max: u32,
    },
    /// A listening input or output already has its peer.
    HasPeer,
    Draining,
    /// The packet filter that the caller requests.
    Filter(FilterFault),
    /// `transtype=file`, or an equivalent.
    FileMode,
    /// A bonded caller on a port that accepts none.
    Bonded,
    /// libsrt ended the handshake after the verdict without giving a reason, or the caller left.
    Incomplete,
    LatencyTooLong {
        offered: Duration,
        max: Duration,
    },
    ShortKey {
        offered: u16,
        required: u16,
    },
    /// The caller's handshake is older than SRT 1.3 and has no streamid.
    BeforeStreamids {
        port: String,
        /// The oldest version that the port accepts, if that is the reason.
        required: Option<SrtVersion>,
    },
    OldVersion {
        required: SrtVersion,
        offered: SrtVersion,
    },
    OtherVersion {
        required: SrtVersion,
        offered: SrtVersion,
    },
    WrongPassphrase {
        role: Role,
        stream: StreamName,
    },
    NoPassphrase {
        role: Role,
        stream: StreamName,
    },
    UnexpectedPassphrase {
        role: Role,
        stream: StreamName,
    },
    OtherCryptoMode,
    Loop,
    /// The `password` of the stream.
    WrongPassword(StreamName),
    NotByRules {
        role: Role,
        stream: StreamName,
    },
    /// The check takes time, and this libsrt cannot defer the verdict, or the queue is full.
    Undecided,
    /// A link of a group that was admitted for something else.
    OtherBond {
        role: Role,
        stream: StreamName,
    },
    /// A link of a group that has the maximum number of links.
    BondFull,
    /// The hook refused the caller, or gave an unusable answer.
    Hook(HookRefusal),
    /// The hook is being asked, and this libsrt cannot defer the verdict.
    HookUndecided,
    /// Too many questions to the hook are pending.
    HookBusy,
    TooManyHandshakes,
    Banned(Arc<Ban>),
    /// The machine or the process is short of this resource.
    Short(Shortage),
    /// By the backend of `[config_external]`.
    PortRefused,
    /// The backend could not be asked.
    BackendFailed(String),
    /// The backend sent an unusable answer.
    BackendNonsense(String),
    /// Closed rather than refused: a publisher above `max_bitrate`.
    TooFast {
        stream: StreamName,
        sent: u64,
        max: u64,
    },
    /// Closed rather than refused: a viewer above `resend_limit`.
    ResendLimit {
        stream: StreamName,
        percent: u32,
    },
}

impl RefusalReason {
    /// A handshake that libsrt ended because of encryption.
    pub(crate) fn of_encryption(fault: EncryptionFault, grant: Grant) -> Self {
        let Grant {
            role,
            stream,
            passphrase,
            ..
        } = grant;
        match (fault, passphrase) {
            (EncryptionFault::CryptoMode, _) => Self::OtherCryptoMode,
            (EncryptionFault::Missing, Some(_)) => Self::NoPassphrase { role, stream },
            (_, Some(_)) => Self::WrongPassphrase { role, stream },
            (_, None) => Self::UnexpectedPassphrase { role, stream },
        }
    }

    /// The same, if the caller's handshake was visible: it shows whether the caller had a passphrase at all.
    pub(crate) fn of_encryption_seen(fault: EncryptionFault, seen: CallerHandshake, grant: Grant) -> Self {
        let Grant { role, stream, .. } = grant;
        match (fault, seen.encryption, grant.passphrase) {
            (EncryptionFault::CryptoMode, ..) => Self::OtherCryptoMode,
            (_, None, _) => Self::NoPassphrase { role, stream },
            (_, Some(_), Some(_)) => Self::WrongPassphrase { role, stream },
            (_, Some(_), None) => Self::UnexpectedPassphrase { role, stream },
        }
    }

    /// Whether a limit was reached, possibly by another link of the same group.
    pub(crate) fn is_full(&self) -> bool {
        matches!(
            self,
            Self::PortFull { .. }
                | Self::StreamFull { .. }
                | Self::HasPublisher(_)
                | Self::HasSilentPublisher(_)
                | Self::TooManySessions { .. }
                | Self::TooManyStreams { .. }
                | Self::TooManyStreamsOfAddress { .. }
        )
    }

    /// How the refusal counts towards a ban of the caller's address; None: it is no guess. A publisher that reconnects
    /// too early, a viewer that waits for a source and a player whose stream does not exist yet guess nothing: `role`
    /// is what the caller requests, as far as known.
    pub(crate) fn failure<'s>(
        &self,
        role: Option<Role>,
        port: u16,
        streamid: &'s [u8],
    ) -> Option<AttemptKey<'s>> {
        match self {
            Self::WrongPassphrase { .. } | Self::NoPassphrase { .. } | Self::UnexpectedPassphrase { .. } => {
                return Some(AttemptKey::Passphrase);
            }
            Self::UnknownStream(_)
            | Self::NoPasswordThere(_)
            | Self::OtherStream { .. }
            | Self::OutsideTemplate { .. }
            | Self::UnfitName { .. }
                if role == Some(Role::Viewer) =>
            {
                return None;
            }
            Self::Hook(refusal)
                if refusal.by != RefusalSource::Hook
                    || refusal.code == RejectCode::CONFLICT
                    || (refusal.code == RejectCode::NOT_FOUND && role == Some(Role::Viewer)) =>
            {
                return None;
            }
            _ => {}
        }
        matches!(
            self,
            Self::Unreadable(_)
                | Self::AddressNotAllowed
                | Self::UnknownStream(_)
                | Self::NoPasswordThere(_)
                | Self::PortRefused
                | Self::OtherStream { .. }
                | Self::OutsideTemplate { .. }
                | Self::UnfitName { .. }
                | Self::WrongPassword(_)
                | Self::NotByRules { .. }
                | Self::Hook(_)
        )
        .then_some(AttemptKey::Streamid(port, streamid))
    }

    /// Who decided.
    pub(crate) fn decided_by(&self) -> RejectedBy {
        match self {
            Self::WrongPassword(_) | Self::NotByRules { .. } | Self::Undecided => RejectedBy::Rules,
            Self::Hook(_) | Self::HookUndecided | Self::HookBusy => RejectedBy::Hook,
            Self::TooManyHandshakes
            | Self::TooManySessions { .. }
            | Self::TooManyUnusedPorts { .. }
            | Self::TooManyStreams { .. }
            | Self::TooManyStreamsOfAddress { .. }
            | Self::Banned(_)
            | Self::TooFast { .. }
            | Self::ResendLimit { .. }
            | Self::BondFull
            | Self::Short(_)
            | Self::Draining => RejectedBy::Limits,
            Self::UnknownStream(_)
            | Self::NoPasswordThere(_)
            | Self::NoSource(_)
            | Self::HasPublisher(_)
            | Self::HasSilentPublisher(_)
            | Self::HasActivePublisher { .. }
            | Self::OtherStream { .. }
            | Self::OtherBond { .. }
            | Self::OutsideTemplate { .. }
            | Self::UnfitName { .. }
            | Self::StreamFull { .. } => RejectedBy::Stream,
            Self::WrongPassphrase { .. }
            | Self::NoPassphrase { .. }
            | Self::UnexpectedPassphrase { .. }
            | Self::OtherCryptoMode => RejectedBy::Passphrase,
            Self::Unreadable(_)
            | Self::AddressNotAllowed
            | Self::Loop
            | Self::NameMissing { .. }
            | Self::ModeMissing { .. }
            | Self::WrongMode { .. }
            | Self::PortFull { .. }
            | Self::HasPeer
            | Self::Filter(_)
            | Self::FileMode
            | Self::Bonded
            | Self::Incomplete
            | Self::LatencyTooLong { .. }
            | Self::ShortKey { .. }
            | Self::PortRefused
            | Self::BackendFailed(_)
            | Self::BackendNonsense(_)
            | Self::OldVersion { .. }
            | Self::BeforeStreamids { .. }
            | Self::OtherVersion { .. } => RejectedBy::Port,
        }
    }

    /// The code for the caller: libsrt's own if libsrt refused.
    pub(crate) fn code(&self) -> RejectReason {
        let code = match self {
            Self::Unreadable(Unreadable::Bidirectional) => RejectCode::BAD_MODE,
            Self::Unreadable(_)
            | Self::NameMissing { .. }
            | Self::ModeMissing { .. }
            | Self::UnfitName { .. }
            | Self::Filter(_)
            | Self::FileMode
            | Self::Bonded
            | Self::LatencyTooLong { .. }
            | Self::ShortKey { .. } => RejectCode::BAD_REQUEST,
            Self::AddressNotAllowed
            | Self::Loop
            | Self::OtherBond { .. }
            | Self::OtherStream { exists: true, .. }
            | Self::OutsideTemplate { exists: true, .. } => RejectCode::FORBIDDEN,
            Self::WrongMode { .. } => RejectCode::BAD_MODE,
            Self::OtherStream { exists: false, .. }
            | Self::OutsideTemplate { exists: false, .. }
            | Self::UnknownStream(_)
            | Self::NoPasswordThere(_)
            | Self::PortRefused
            | Self::NoSource(_) => RejectCode::NOT_FOUND,
            Self::BackendFailed(_) => RejectCode::UNAVAILABLE,
            Self::BackendNonsense(_) => RejectCode::BAD_GATEWAY,
            Self::HasPublisher(_)
            | Self::HasSilentPublisher(_)
            | Self::HasActivePublisher { .. }
            | Self::HasPeer => RejectCode::CONFLICT,
            Self::StreamFull { .. } | Self::PortFull { .. } | Self::BondFull => RejectCode::OVERLOAD,
            Self::OldVersion { .. } | Self::BeforeStreamids { .. } | Self::OtherVersion { .. } => {
                RejectCode::VERSION
            }
            Self::WrongPassword(_) | Self::NotByRules { .. } => RejectCode::UNAUTHORIZED,
            Self::Hook(refusal) => refusal.code,
            Self::Undecided | Self::HookUndecided | Self::HookBusy | Self::Draining => {
                RejectCode::UNAVAILABLE
            }
            Self::Incomplete => RejectCode::FALLBACK,
            Self::TooManyHandshakes
            | Self::TooManySessions { .. }
            | Self::TooManyUnusedPorts { .. }
            | Self::TooManyStreams { .. }
            | Self::TooManyStreamsOfAddress { .. }
            | Self::TooFast { .. }
            | Self::ResendLimit { .. }
            | Self::Short(_) => RejectCode::OVERLOAD,
            Self::Banned(_) => RejectCode::FORBIDDEN,
            Self::WrongPassphrase { .. } => return RejectReason::BAD_SECRET,
            Self::NoPassphrase { .. } | Self::UnexpectedPassphrase { .. } => return RejectReason::UNSECURE,
            Self::OtherCryptoMode => return RejectReason::CRYPTO,
        };
        code.into()
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongPassword(stream) => write!(
                f,
                "wrong or missing password for publishing {stream:?}: send password=... in the streamid, as configured for the stream"
            ),
            Self::NotByRules { role, stream } => write!(
                f,
                "no entry of [[rules]] for a {role} of {stream:?} matches this caller's user (u=), password and address"
            ),
            Self::Undecided => f.write_str(
                "the gateway is still checking the password against its hash: the caller gets the answer when it tries again",
            ),
            Self::Hook(refusal) => f.write_str(&refusal.why),
            Self::HookUndecided => f.write_str(
                "the hook of [auth] has not answered yet, and an installed libsrt cannot keep a caller waiting: the caller gets the answer when it tries again",
            ),
            Self::HookBusy => f.write_str(
                "too many requests to the hook of [auth] are in progress: check whether the hook is slow; the caller can try again",
            ),
            Self::TooManyHandshakes => {
                f.write_str("too many handshakes from this address: handshakes_per_second_per_ip of [limits]")
            }
            Self::TooManySessions { max } => write!(
                f,
                "this address has {max} sessions already: max_sessions_per_ip of [limits]"
            ),
            Self::TooManyUnusedPorts { max } => write!(
                f,
                "{max} ports of [[listeners]] are open for this address and unused: connect to them first, or wait 30 s until they close"
            ),
            Self::TooManyStreams { max } => write!(
                f,
                "the stream is not configured, and callers have created {max} streams already: max_created_streams of [limits]"
            ),
            Self::TooManyStreamsOfAddress { max } => write!(
                f,
                "the stream is not configured, and this address has created {max} streams already: max_created_streams_per_ip of [limits]"
            ),
            Self::Short(shortage) => shortage.fmt(f),
            Self::Banned(ban) => write!(f, "the address was {ban}"),
            Self::TooFast { stream, sent, max } => write!(
                f,
                "closed: the publisher of {stream:?} sent {sent} b/s for 5 s, more than max_bitrate = {max}: raise max_bitrate, or lower the encoder's bit rate"
            ),
            Self::ResendLimit { stream, percent } => write!(
                f,
                "closed: the viewer of {stream:?} requested more retransmission than resend_limit = {percent} allows: its link loses too much, or the client misbehaves"
            ),
            Self::Unreadable(why) => why.fmt(f),
            Self::PortRefused => f.write_str(
                "the backend of [config_external] has no stream for this port (404): configure the port there",
            ),
            Self::BackendFailed(why) | Self::BackendNonsense(why) => write!(
                f,
                "this port of [[listeners]] is not configured: the backend of [config_external] {why}"
            ),
            Self::AddressNotAllowed => {
                f.write_str("allow and deny of this port exclude the address")
            }
            Self::NameMissing { port, is_empty: true } => write!(
                f,
                "{port} serves many streams, and the caller sent no streamid: some programs cut a URL at #; write %23!::r=NAME,m=publish \
                 or publish/NAME there"
            ),
            Self::NameMissing { port, .. } => write!(
                f,
                "{port} serves many streams, so the streamid must name one: r=NAME in \"#!::r=NAME,m=publish\""
            ),
            Self::ModeMissing { port } => write!(
                f,
                "{port} both publishes and plays, so the streamid must say which: m=publish to send, m=request to receive"
            ),
            Self::WrongMode { port, asked } => match asked {
                Role::Publisher => write!(
                    f,
                    "m=publish, but {port} only plays: publish on an srt or srt_publish port"
                ),
                Role::Viewer => write!(
                    f,
                    "m=request, but {port} only publishes: play from an srt or srt_play port"
                ),
            },
            Self::OtherStream { asked, served, .. } => {
                write!(
                    f,
                    "the streamid asks for {asked:?}, but the port serves {served:?} only"
                )
            }
            Self::OutsideTemplate { asked, prefix, .. } => write!(
                f,
                "the streamid asks for {asked:?}, but the port serves streams only whose names begin with {prefix:?}"
            ),
            Self::UnfitName {
                stream,
                template,
                why,
            } => write!(
                f,
                "template {template} cannot create {stream:?}, because its inputs or outputs contain the name: {why}"
            ),
            Self::NoPasswordThere(name) => write!(
                f,
                "no stream has the whole path as its name, and stream {name:?} has no password: end the streamid with the stream's name"
            ),
            Self::UnknownStream(name) => write!(
                f,
                "no stream is named {name:?}: add [streams.{name:?}] to the configuration, or set accept_unknown = true \
                 in [streams_default]"
            ),
            Self::NoSource(name) => write!(
                f,
                "nobody publishes {name:?}, and on_source_lost = 0 does not let viewers wait"
            ),
            Self::HasPublisher(name) => write!(
                f,
                "{name:?} already has a publisher (duplicate_publisher = \"reject\")"
            ),
            Self::HasSilentPublisher(name) => write!(
                f,
                "{name:?} already has a publisher, which is connected and sends nothing (duplicate_publisher = \"reject\"): set \
                 duplicate_publisher = \"takeover_if_silent\" to admit the next one, or a timeout of the port to close silent ones"
            ),
            Self::HasActivePublisher {
                stream,
                silent_after,
            } => write!(
                f,
                "{stream:?} has a publisher that has sent data within the last {silent_after:?} \
                 (duplicate_publisher = \"takeover_if_silent\", silent_after)"
            ),
            Self::OtherBond { role, stream } => write!(
                f,
                "a link of a bonded {role} of {stream:?} asks for another stream or mode: give all links of a group the same streamid"
            ),
            Self::BondFull => write!(f, "the group already has {MAX_LINKS} links, the most that a group may have"),
            Self::StreamFull { stream, max } => write!(f, "{stream:?} already has max_viewers = {max}"),
            Self::BeforeStreamids { port, required: Some(required) } => write!(
                f,
                "SRT 1.2 or older: no streamid; {port} takes {required} or newer: have the caller updated, or give its stream a port of its \
                 own (srt_publish, srt_play) with minversion = \"1.0.0\""
            ),
            Self::BeforeStreamids { port, required: None } => write!(
                f,
                "SRT 1.2 or older: no streamid; {port} needs one: have the caller updated, or give its stream a port of its own \
                 (srt_publish, srt_play)"
            ),
            Self::OldVersion { required, offered } => {
                write!(
                    f,
                    "the caller uses SRT {offered}, older than minversion = {required} of this port: update the caller"
                )
            }
            Self::OtherVersion { required, offered } => {
                write!(
                    f,
                    "the caller uses SRT {offered}, but this port requires exactly version = {required}"
                )
            }
            Self::WrongPassphrase { role, stream } => {
                write!(
                    f,
                    "wrong passphrase for a {role} of {stream:?}"
                )
            }
            Self::NoPassphrase { role, stream } => {
                write!(
                    f,
                    "a {role} of {stream:?} needs a passphrase, and the caller sent none"
                )
            }
            Self::UnexpectedPassphrase { role, stream } => write!(
                f,
                "the caller has a passphrase, but none is configured for a {role} of {stream:?}: configure one, or remove the caller's"
            ),
            Self::OtherCryptoMode => {
                f.write_str("the caller's crypto mode is not the crypto_mode of this port")
            }
            Self::Loop => f.write_str(
                "a loop: the stream has already passed through this gateway, or the gateway calls itself; remove the output \
                 or the input that leads back here",
            ),
            Self::PortFull { max } => write!(f, "the port already has max_connections = {max}"),
            Self::HasPeer => f.write_str(
                "the endpoint serves one caller at a time and already has one: close that session, or use an srt port of the stream",
            ),
            Self::Draining => f.write_str("the gateway is draining and admits no new sessions: use another gateway"),
            Self::Filter(fault) => fault.fmt(f),
            Self::Bonded => f.write_str(
                "the caller is bonded, and this port does not accept groups: set groupconnect = true for the port, or connect \
                 by a single link",
            ),
            Self::FileMode => f.write_str(
                "the caller is in file mode (transtype=file, messageapi=0 or congestion=file), and this port carries live \
                 streams: set transtype=live",
            ),
            Self::Incomplete => f.write_str(
                "the caller was admitted but did not complete its handshake: it left, or libsrt refused one of its settings",
            ),
            Self::ShortKey { offered, required } => write!(
                f,
                "the caller encrypts with AES-{offered}, and min_key_length demands AES-{required}: set pbkeylen={} at the caller",
                required / 8
            ),
            Self::LatencyTooLong { offered, max } => {
                write!(
                    f,
                    "latency {} ms is above max_latency = {} ms",
                    offered.as_millis(),
                    max.as_millis()
                )
            }
        }
    }
}
