//! The decision on a caller: a pure function of the port, the streamid, the address and the streams as they are.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use srt_safe::{CallerHandshake, Passphrase, RejectCode, RejectReason, SrtVersion, log::EncryptionFault};

use super::{
    Ask, AskMode, Directory, Entry, PortPolicy, Reading, Scope, StreamPolicy, TemplateEntry, Unreadable,
    bonds::BondOf,
    hook::{HookQuestion, HookRefusal, HookVerdict, KeyTerm, Terms, Verdicter},
    policy::HookUse,
    rules::{Applicant, Standing, judge, password_fits},
    verdicts::{Known, Question},
};
use crate::{
    config::{DuplicatePublisher, ExpandError, PortKind},
    names::{Role, SessionLimits, StreamName},
    telemetry::RejectedBy,
};

/// Who knocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) peer: SocketAddr,
    pub(crate) streamid: &'a [u8],
    /// What it says of itself, where libsrt lets us see it.
    pub(crate) handshake: Option<CallerHandshake>,
    /// What the group is here for that this is another link of.
    pub(crate) bond: Option<&'a BondOf>,
    /// What takes more than looking.
    pub(crate) known: &'a dyn Known,
}

/// The answer.
#[derive(Debug)]
pub(crate) enum Decision {
    Admit(Grant),
    Refuse(Why),
    /// It depends on the answer to this: to be asked again when that is known.
    Wait(Question),
}

/// What ends a decision early.
pub(super) enum Stop {
    Refuse(Why),
    Wait(Question),
}

impl From<Why> for Stop {
    fn from(why: Why) -> Self {
        Self::Refuse(why)
    }
}

/// What a caller gets.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) role: Role,
    pub(crate) stream: StreamName,
    /// The passphrase that this caller must have; None: none.
    pub(crate) passphrase: Option<Passphrase>,
    /// Those of the port, until somebody who knows better changes them.
    pub(crate) limits: SessionLimits,
    /// What the hook said of it; None: it was not asked.
    pub(crate) hook: Option<HookGrant>,
}

/// A grant that the hook has agreed to.
#[derive(Clone, Debug)]
pub(crate) struct HookGrant {
    /// To be put again when the lifetime is over.
    pub(crate) question: Box<HookQuestion>,
    pub(crate) terms: Arc<Terms>,
}

/// Why a caller is refused. [`Display`](fmt::Display) is the sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Unreadable(Unreadable),
    AddressNotAllowed,
    NameMissing {
        port: String,
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
    /// The name does not go into the inputs and outputs of its template.
    UnfitName {
        stream: StreamName,
        template: StreamName,
        why: ExpandError,
    },
    UnknownStream(StreamName),
    NoSource(StreamName),
    HasPublisher(StreamName),
    /// That is not silent, so it is not taken over from.
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
    LatencyTooLong {
        offered: Duration,
        max: Duration,
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
    /// The answer takes time, and this libsrt cannot keep a caller waiting for it; or too many wait.
    Undecided,
    /// A link of a group that is here for something else.
    OtherBond {
        role: Role,
        stream: StreamName,
    },
    /// The hook has said no, or nothing that can be used.
    Hook(HookRefusal),
    /// The hook is being asked, and this libsrt cannot keep a caller waiting for it.
    HookUndecided,
    /// More questions to the hook than may be open are.
    HookBusy,
    TooManyHandshakes,
    Banned,
    /// By the backend of `[config_external]`.
    PortRefused,
    /// The backend could not be asked.
    BackendFailed(String),
    /// The backend answered with what cannot be used.
    BackendNonsense(String),
    /// Not refused but closed: a publisher above `max_bitrate`.
    TooFast {
        stream: StreamName,
        sent: u64,
        max: u64,
    },
}

impl Why {
    /// A handshake that libsrt ended over encryption.
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

    /// The same where the caller's handshake was seen: it says whether there was a passphrase at all.
    pub(crate) fn of_encryption_seen(fault: EncryptionFault, seen: CallerHandshake, grant: Grant) -> Self {
        let Grant { role, stream, .. } = grant;
        match (fault, seen.encryption, grant.passphrase) {
            (EncryptionFault::CryptoMode, ..) => Self::OtherCryptoMode,
            (_, None, _) => Self::NoPassphrase { role, stream },
            (_, Some(_), Some(_)) => Self::WrongPassphrase { role, stream },
            (_, Some(_), None) => Self::UnexpectedPassphrase { role, stream },
        }
    }

    /// Whether it is the kind of refusal that somebody meets who tries names and secrets. A publisher that comes back too
    /// early, or a viewer that waits for a source, is none.
    pub(crate) fn counts_towards_ban(&self) -> bool {
        matches!(
            self,
            Self::Unreadable(_)
                | Self::AddressNotAllowed
                | Self::UnknownStream(_)
                | Self::PortRefused
                | Self::OtherStream { .. }
                | Self::OutsideTemplate { .. }
                | Self::UnfitName { .. }
                | Self::WrongPassphrase { .. }
                | Self::NoPassphrase { .. }
                | Self::UnexpectedPassphrase { .. }
                | Self::WrongPassword(_)
                | Self::NotByRules { .. }
        ) || matches!(self, Self::Hook(refusal) if refusal.by == Verdicter::Hook && refusal.code != RejectCode::CONFLICT)
    }

    /// Who refuses.
    pub(crate) fn decided_by(&self) -> RejectedBy {
        match self {
            Self::WrongPassword(_) | Self::NotByRules { .. } | Self::Undecided => RejectedBy::Rules,
            Self::Hook(_) | Self::HookUndecided | Self::HookBusy => RejectedBy::Hook,
            Self::TooManyHandshakes | Self::Banned | Self::TooFast { .. } => RejectedBy::Limits,
            Self::UnknownStream(_)
            | Self::NoSource(_)
            | Self::HasPublisher(_)
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
            | Self::LatencyTooLong { .. }
            | Self::PortRefused
            | Self::BackendFailed(_)
            | Self::BackendNonsense(_)
            | Self::OldVersion { .. }
            | Self::OtherVersion { .. } => RejectedBy::Port,
        }
    }

    /// What the caller is told: libsrt's own reason where it was libsrt that refused.
    pub(crate) fn code(&self) -> RejectReason {
        let code = match self {
            Self::Unreadable(Unreadable::Bidirectional) => RejectCode::BAD_MODE,
            Self::Unreadable(_)
            | Self::NameMissing { .. }
            | Self::ModeMissing { .. }
            | Self::UnfitName { .. }
            | Self::LatencyTooLong { .. } => RejectCode::BAD_REQUEST,
            Self::AddressNotAllowed
            | Self::Loop
            | Self::OtherBond { .. }
            | Self::OtherStream { exists: true, .. }
            | Self::OutsideTemplate { exists: true, .. } => RejectCode::FORBIDDEN,
            Self::WrongMode { .. } => RejectCode::BAD_MODE,
            Self::OtherStream { exists: false, .. }
            | Self::OutsideTemplate { exists: false, .. }
            | Self::UnknownStream(_)
            | Self::PortRefused
            | Self::NoSource(_) => RejectCode::NOT_FOUND,
            Self::BackendFailed(_) => RejectCode::UNAVAILABLE,
            Self::BackendNonsense(_) => RejectCode::BAD_GATEWAY,
            Self::HasPublisher(_) | Self::HasActivePublisher { .. } => RejectCode::CONFLICT,
            Self::StreamFull { .. } | Self::PortFull { .. } => RejectCode::OVERLOAD,
            Self::OldVersion { .. } | Self::OtherVersion { .. } => RejectCode::VERSION,
            Self::WrongPassword(_) | Self::NotByRules { .. } => RejectCode::UNAUTHORIZED,
            Self::Hook(refusal) => refusal.code,
            Self::Undecided | Self::HookUndecided | Self::HookBusy => RejectCode::UNAVAILABLE,
            Self::TooManyHandshakes | Self::TooFast { .. } => RejectCode::OVERLOAD,
            Self::Banned => RejectCode::FORBIDDEN,
            Self::WrongPassphrase { .. } => return RejectReason::BAD_SECRET,
            Self::NoPassphrase { .. } | Self::UnexpectedPassphrase { .. } => return RejectReason::UNSECURE,
            Self::OtherCryptoMode => return RejectReason::CRYPTO,
        };
        code.into()
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongPassword(stream) => write!(
                f,
                "the publisher of {stream:?} has not the password that is configured for it: password=... in the streamid"
            ),
            Self::NotByRules { role, stream } => write!(
                f,
                "of the [[rules]] about a {role} of {stream:?} none lets this caller in: user (u=), password or address fit none"
            ),
            Self::Undecided => f.write_str(
                "its password is being checked against a hash, which takes longer than a handshake may: it is answered when it calls again",
            ),
            Self::Hook(refusal) => f.write_str(&refusal.why),
            Self::HookUndecided => f.write_str(
                "the hook of [auth] is being asked, and this libsrt cannot keep a caller waiting: it is answered when it calls again",
            ),
            Self::HookBusy => f.write_str(
                "as many questions to the hook of [auth] as are allowed are open: it is to call again; is the hook too slow?",
            ),
            Self::TooManyHandshakes => {
                f.write_str("its address began more handshakes than handshakes_per_second_per_ip of [limits] allows")
            }
            Self::Banned => f.write_str(
                "its address is banned for ban_for of [limits], after ban_after_rejections refusals within a minute",
            ),
            Self::TooFast { stream, sent, max } => write!(
                f,
                "closed: the publisher of {stream:?} sent {sent} b/s for 5 s, above max_bitrate = {max}; raise it, or lower the encoder's bit rate"
            ),
            Self::Unreadable(why) => why.fmt(f),
            Self::PortRefused => f.write_str(
                "the backend of [config_external] knows no stream for this port (404): configure the port there",
            ),
            Self::BackendFailed(why) | Self::BackendNonsense(why) => write!(
                f,
                "this port of [[listeners]] is not configured: the backend of [config_external] {why}"
            ),
            Self::AddressNotAllowed => {
                f.write_str("the address is not let in by allow and deny of this port")
            }
            Self::NameMissing { port } => write!(
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
                "{stream:?} cannot be made by template {template}, which has the name in its inputs or outputs: {why}"
            ),
            Self::UnknownStream(name) => write!(
                f,
                "no stream is named {name:?}: add [streams.{name:?}] to the configuration, or set accept_unknown = true \
                 in [streams_default]"
            ),
            Self::NoSource(name) => write!(
                f,
                "nobody publishes {name:?}, and on_source_lost = 0 lets no viewer wait"
            ),
            Self::HasPublisher(name) => write!(
                f,
                "{name:?} has a publisher already (duplicate_publisher = \"reject\")"
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
            Self::StreamFull { stream, max } => write!(f, "{stream:?} has max_viewers = {max} already"),
            Self::OldVersion { required, offered } => {
                write!(
                    f,
                    "the caller has SRT {offered}, older than minversion = {required} of this port: have it updated"
                )
            }
            Self::OtherVersion { required, offered } => {
                write!(
                    f,
                    "the caller has SRT {offered}, and version = {required} of this port demands exactly that"
                )
            }
            Self::WrongPassphrase { role, stream } => {
                write!(
                    f,
                    "the {role} of {stream:?} has another passphrase than is configured for it"
                )
            }
            Self::NoPassphrase { role, stream } => {
                write!(
                    f,
                    "the {role} of {stream:?} has no passphrase, and the configuration demands one"
                )
            }
            Self::UnexpectedPassphrase { role, stream } => write!(
                f,
                "the {role} of {stream:?} has a passphrase and the configuration has none: set one, or take the caller's away"
            ),
            Self::OtherCryptoMode => {
                f.write_str("the caller wants another crypto mode than crypto_mode of this port")
            }
            Self::Loop => f.write_str(
                "a loop: the stream has come through this gateway before, or this gateway calls itself; take away the output \
                 or the input that leads back here",
            ),
            Self::PortFull { max } => write!(f, "the port has max_connections = {max} already"),
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

/// Decides on a caller.
///
/// | port | name (`r=`) | mode (`m=`) |
/// |---|---|---|
/// | global `srt` | required | required |
/// | global `srt_publish`, `srt_play` | required | known; the other one is refused |
/// | a template's `srt` | required, with the template's prefix | required |
/// | a template's `srt_publish`, `srt_play` | required, with the template's prefix | known; the other one is refused |
/// | local `srt` | optional | required |
/// | local `srt_publish`, `srt_play` | optional | known; the other one is refused |
pub(crate) fn decide(port: &PortPolicy, directory: &Directory, caller: Caller<'_>) -> Decision {
    match grant(port, directory, caller) {
        Ok(grant) => Decision::Admit(grant),
        Err(Stop::Refuse(why)) => Decision::Refuse(why),
        Err(Stop::Wait(question)) => Decision::Wait(question),
    }
}

fn grant(port: &PortPolicy, directory: &Directory, caller: Caller<'_>) -> Result<Grant, Stop> {
    if !port.admits(caller.peer.ip()) {
        return Err(Why::AddressNotAllowed.into());
    }
    if directory.identity.is_in(caller.streamid) {
        return Err(Why::Loop.into());
    }
    let ask = Ask::read(caller.streamid, directory.access.dialects).map_err(Why::Unreadable)?;
    let Reading { stream, password } = stream_for(port, directory, &ask)?;
    let role = role_for(port, &ask)?;
    // A further link of a group takes no place of its own. All else is asked of each link.
    if let Some(bond) = caller.bond
        && (bond.stream != stream || bond.role != role)
    {
        return Err(Why::OtherBond {
            role: bond.role,
            stream: bond.stream.clone(),
        }
        .into());
    }
    let is_first = caller.bond.is_none();
    if is_first && port.is_full() {
        let max = port.max_connections;
        return Err(Why::PortFull { max }.into());
    }
    let asked = find(directory, &stream);
    if let (Err(why), HookUse::NotConfigured) = (&asked, directory.access.hook) {
        return Err(why.clone().into());
    }
    if let Some(handshake) = caller.handshake {
        check_handshake(port, role, handshake)?;
    }
    let applicant = Applicant {
        role,
        stream: &stream,
        user: ask.user.as_deref(),
        password: password.as_ref(),
        peer: caller.peer.ip(),
    };
    let policy = asked.as_ref().ok().map(|(_, policy)| policy.as_ref());
    check_applicant(directory, policy, applicant, caller.known)?;
    let hook = match directory.access.hook {
        HookUse::NotConfigured => None,
        HookUse::Asked => Some(ask_hook(port, &ask, applicant, caller)?),
    };
    let terms = hook
        .as_ref()
        .map(|hook| Arc::clone(&hook.terms))
        .unwrap_or_default();
    // The hook may know the stream by another name than the caller, so whether there is such a stream is asked after it.
    let stream = terms.stream.clone().unwrap_or(stream);
    let (entry, policy) = find(directory, &stream)?;
    let has_source = entry.as_ref().is_some_and(|entry| entry.stream.has_source());
    let viewers = entry.as_ref().map_or(0, |entry| entry.stream.viewers());
    let own = match role {
        Role::Publisher if is_first && !may_publish(&policy, entry.as_ref()) => {
            return Err(match policy.duplicate_publisher {
                DuplicatePublisher::Reject => Why::HasPublisher(stream),
                _ => Why::HasActivePublisher {
                    stream,
                    silent_after: policy.silent_after,
                },
            }
            .into());
        }
        Role::Viewer if is_first && !has_source && policy.on_source_lost.is_zero() => {
            return Err(Why::NoSource(stream).into());
        }
        Role::Viewer if is_first && policy.max_viewers > 0 && viewers >= policy.max_viewers => {
            let max = policy.max_viewers;
            return Err(Why::StreamFull { stream, max }.into());
        }
        Role::Publisher => policy.publish_passphrases.as_slice(),
        Role::Viewer => policy.play_passphrases.as_slice(),
    };
    // A stream's own port has been given its passphrase on purpose; a shared one serves each stream by the stream's.
    let of_port = port.passphrase.as_slice();
    let valid = match port.scope {
        Scope::Global | Scope::Template(_) if own.is_empty() => of_port,
        Scope::Stream(_) if !of_port.is_empty() => of_port,
        _ => own,
    };
    let passphrase = match &terms.passphrase {
        KeyTerm::Configured => passphrase_used(valid, caller.known),
        KeyTerm::None => None,
        KeyTerm::This(passphrase) => Some(passphrase.clone()),
    };
    let mut limits = port.limits;
    if let Some(max_bitrate) = terms.max_bitrate {
        limits.max_bitrate = max_bitrate;
    }
    Ok(Grant {
        role,
        stream,
        passphrase,
        limits,
        hook,
    })
}

/// The stream of that name, if it is there, and what holds for it.
fn find(directory: &Directory, stream: &StreamName) -> Result<(Option<Entry>, Arc<StreamPolicy>), Why> {
    let entry = directory.streams.get(stream).cloned();
    let policy = match (
        &entry,
        directory.template_for(stream.as_str()),
        &directory.unknown,
    ) {
        (Some(entry), ..) => Arc::clone(&entry.policy),
        (None, Some(template), _) => {
            check_name(template, stream)?;
            Arc::clone(&template.policy)
        }
        (None, None, Some(unknown)) => Arc::clone(unknown),
        (None, None, None) => return Err(Why::UnknownStream(stream.clone())),
    };
    Ok((entry, policy))
}

/// What the hook says of somebody whom the rules let in.
fn ask_hook(
    port: &PortPolicy,
    ask: &Ask,
    applicant: Applicant<'_>,
    caller: Caller<'_>,
) -> Result<HookGrant, Stop> {
    let question = Box::new(HookQuestion {
        role: applicant.role,
        stream: applicant.stream.clone(),
        user: applicant.user.map(Into::into),
        password: applicant.password.cloned(),
        peer: applicant.peer,
        port: port.addr.port(),
        streamid: String::from_utf8_lossy(caller.streamid).into(),
        encrypted: caller.handshake.map(|handshake| handshake.encryption.is_some()),
        version: caller.handshake.map(|handshake| handshake.version),
        labels: ask.labels.clone(),
    });
    match caller.known.hook(&question) {
        None => Err(Stop::Wait(Question::Hook(question))),
        Some(HookVerdict::Refused(refusal)) => Err(Why::Hook(refusal).into()),
        Some(HookVerdict::Admitted(terms)) => Ok(HookGrant { question, terms }),
        Some(HookVerdict::LetIn) => Ok(HookGrant {
            question,
            terms: Arc::default(),
        }),
    }
}

/// Whether the place of the source is free, or a second publisher is let in all the same.
fn may_publish(policy: &StreamPolicy, entry: Option<&Entry>) -> bool {
    entry.is_none_or(|entry| !entry.stream.has_source() || policy.admits_second(&entry.stream))
}

/// Which of the valid passphrases the caller has. If none, or if that cannot be seen, the first: libsrt finds out.
fn passphrase_used(valid: &[Passphrase], known: &dyn Known) -> Option<Passphrase> {
    // A trial costs as much as the handshake itself, so where there is nothing to choose there is none.
    let used = match valid {
        [] | [_] => None,
        several => several
            .iter()
            .find(|passphrase| known.opens(passphrase) == Some(true)),
    };
    used.or_else(|| valid.first()).cloned()
}

/// Whether the stream's password and the rules let somebody in.
pub(super) fn check_applicant(
    directory: &Directory,
    policy: Option<&StreamPolicy>,
    applicant: Applicant<'_>,
    known: &dyn Known,
) -> Result<(), Stop> {
    if let (Role::Publisher, Some(required)) =
        (applicant.role, policy.and_then(|policy| policy.password.as_ref()))
    {
        match password_fits(required, applicant.password, known) {
            Ok(true) => {}
            Ok(false) => return Err(Why::WrongPassword(applicant.stream.clone()).into()),
            Err(question) => return Err(Stop::Wait(Question::Password(question))),
        }
    }
    match judge(&directory.access.rules, applicant, known) {
        Standing::Ungoverned | Standing::Admitted => Ok(()),
        Standing::Unsettled(question) => Err(Stop::Wait(Question::Password(question))),
        Standing::Refused => Err(Stop::Refuse(Why::NotByRules {
            role: applicant.role,
            stream: applicant.stream.clone(),
        })),
    }
}

/// What a caller asks for that the port's settings do not allow.
fn check_handshake(port: &PortPolicy, role: Role, caller: CallerHandshake) -> Result<(), Why> {
    let offered = match role {
        Role::Publisher => caller.send_latency,
        Role::Viewer => caller.receive_latency,
    };
    if offered > port.max_latency {
        return Err(Why::LatencyTooLong {
            offered,
            max: port.max_latency,
        });
    }
    if caller.version < port.min_version {
        return Err(Why::OldVersion {
            required: port.min_version,
            offered: caller.version,
        });
    }
    match port.version {
        Some(required) if required != caller.version => Err(Why::OtherVersion {
            required,
            offered: caller.version,
        }),
        _ => Ok(()),
    }
}

/// Whether the template's inputs and outputs can be made for the stream.
fn check_name(entry: &TemplateEntry, stream: &StreamName) -> Result<(), Why> {
    let made = entry.template.for_stream(stream.as_str());
    made.map(drop).map_err(|why| Why::UnfitName {
        stream: stream.clone(),
        template: entry.name.clone(),
        why,
    })
}

/// The reading of the name that counts: the first one that exists, else the first one that a template is for, else the last.
fn stream_for(port: &PortPolicy, directory: &Directory, ask: &Ask) -> Result<Reading, Why> {
    let exists = |name: &StreamName| directory.streams.contains_key(name);
    let first = |fits: &dyn Fn(&StreamName) -> bool| ask.names.iter().find(|name| fits(&name.stream));
    let has_template = |name: &StreamName| directory.template_for(name.as_str()).is_some();
    let prefix = port.scope.prefix(directory);
    let begins = |name: &StreamName| prefix.is_some_and(|prefix| name.as_str().starts_with(prefix));
    let asked = match &port.scope {
        Scope::Global => first(&exists).or_else(|| first(&has_template)),
        Scope::Stream(served) => first(&|name| name == served),
        Scope::Template(_) => first(&|name| begins(name) && exists(name)).or_else(|| first(&begins)),
    };
    match (&port.scope, asked.or_else(|| ask.names.last())) {
        (Scope::Global, Some(asked)) => Ok(asked.clone()),
        (Scope::Template(_), Some(asked)) if begins(&asked.stream) => Ok(asked.clone()),
        (Scope::Template(_), Some(asked)) => Err(Why::OutsideTemplate {
            asked: asked.stream.clone(),
            prefix: prefix.unwrap_or_default().to_owned(),
            exists: exists(&asked.stream),
        }),
        (Scope::Global | Scope::Template(_), None) => Err(Why::NameMissing {
            port: port.to_string(),
        }),
        (Scope::Stream(served), None) => Ok(Reading {
            stream: served.clone(),
            password: ask.password.clone(),
        }),
        (Scope::Stream(served), Some(asked)) if asked.stream == *served => Ok(asked.clone()),
        (Scope::Stream(served), Some(asked)) => Err(Why::OtherStream {
            asked: asked.stream.clone(),
            served: served.clone(),
            exists: exists(&asked.stream),
        }),
    }
}

fn role_for(port: &PortPolicy, ask: &Ask) -> Result<Role, Why> {
    let asked = ask.mode.map(|mode| match mode {
        AskMode::Publish => Role::Publisher,
        AskMode::Request => Role::Viewer,
    });
    let served = match port.kind {
        PortKind::Both => None,
        PortKind::Publish => Some(Role::Publisher),
        PortKind::Play => Some(Role::Viewer),
    };
    match (served, asked) {
        (None, None) => Err(Why::ModeMissing {
            port: port.to_string(),
        }),
        (Some(served), Some(asked)) if served != asked => Err(Why::WrongMode {
            port: port.to_string(),
            asked,
        }),
        (Some(role), _) | (None, Some(role)) => Ok(role),
    }
}
