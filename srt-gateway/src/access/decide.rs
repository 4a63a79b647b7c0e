//! The decision on a caller: a function of the port, the streamid, the address and the current streams. Its only side
//! effect are the slots that a grant holds.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use srt_safe::{CallerHandshake, CallerMode, KeyLength, Passphrase};

use super::{
    Accepts, Directory, Form, PortPolicy, Reading, RequestMode, Scope, StreamEntry, StreamPolicy,
    StreamRequest, TemplateEntry,
    bonds::BondOf,
    checks::{CheckResults, KeyFit, Question},
    filter::check_filter,
    hook::{HookQuestion, HookVerdict, KeyTerm, Terms},
    peer::grant_peer,
    policy::{HookUse, Quotas},
    rate_limiter::limited,
    reason::RefusalReason,
    rules::{RuleOutcome, Subject, ask_for_password, judge, password_fits},
};
use crate::{
    config::{Dialects, DuplicatePublisher, PortKind},
    data::{CreatedFull, CreatedSlot, HeldSlots, Slot},
    names::{Role, SessionLimits, StreamName},
};

/// A publisher that has sent nothing for this long hangs, as the reason for refusing the next one states.
const HANGS_AFTER: Duration = Duration::from_secs(2);

/// A caller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) peer: SocketAddr,
    pub(crate) streamid: &'a [u8],
    /// Its handshake, if libsrt lets us see it.
    pub(crate) handshake: Option<CallerHandshake>,
    /// The grant of the group, if this is another link of a known group.
    pub(crate) bond: Option<&'a BondOf>,
    /// Results of slow checks.
    pub(crate) known: &'a dyn CheckResults,
}

/// The decision.
#[derive(Debug)]
pub(crate) enum Decision {
    Admit(Grant),
    Refuse(RefusalReason),
    /// It depends on this question: decide again when the answer is known.
    Wait(Question),
}

/// Ends a decision early.
pub(super) enum Stop {
    Refuse(RefusalReason),
    Wait(Question),
}

impl From<RefusalReason> for Stop {
    fn from(why: RefusalReason) -> Self {
        Self::Refuse(why)
    }
}

/// What an admitted caller receives.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) role: Role,
    pub(crate) stream: StreamName,
    /// The passphrase that this caller must use; None: no encryption.
    pub(crate) passphrase: Option<Passphrase>,
    /// The port's limits, unless the hook changes them.
    pub(crate) limits: SessionLimits,
    /// The hook's verdict; None: it was not asked.
    pub(crate) hook: Option<HookGrant>,
    /// The caller's slots, held from the verdict to the end of the session. A further link of a group has none.
    pub(crate) held: HeldSlots,
}

/// A grant that the hook has approved.
#[derive(Clone, Debug)]
pub(crate) struct HookGrant {
    /// Repeated when the lifetime is over.
    pub(crate) question: Box<HookQuestion>,
    pub(crate) terms: Arc<Terms>,
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
        return Err(RefusalReason::AddressNotAllowed.into());
    }
    if directory.identity.is_in(caller.streamid) {
        return Err(RefusalReason::Loop.into());
    }
    match &port.accepts {
        Accepts::Callers => grant_caller(port, directory, caller),
        Accepts::Peer(stream) => grant_peer(port, stream, directory, caller),
    }
}

fn grant_caller(port: &PortPolicy, directory: &Directory, caller: Caller<'_>) -> Result<Grant, Stop> {
    let request =
        StreamRequest::read(caller.streamid, directory.access.dialects).map_err(RefusalReason::Unreadable)?;
    let role = role_for(port, &request);
    let Reading { stream, password, .. } =
        stream_for(port, directory, &request, role.as_ref().ok().copied())?;
    let role = role?;
    let is_first = caller.bond.is_none();
    match caller.bond {
        Some(bond) => check_bond(bond, &stream, role)?,
        None if port.is_full() => {
            let max = port.max_connections;
            return Err(RefusalReason::PortFull { max }.into());
        }
        None => {}
    }
    let asked = find(directory, &stream);
    if let (Err(why), HookUse::NotConfigured) = (&asked, directory.access.hook) {
        return Err(why.clone().into());
    }
    if let Some(handshake) = caller.handshake {
        check_handshake(port, role, handshake)?;
    }
    let subject = Subject {
        role,
        stream: &stream,
        user: request.user.as_deref(),
        password: password.as_ref(),
        peer: caller.peer.ip(),
    };
    let policy = asked.as_ref().ok().map(|(_, policy)| policy.as_ref());
    check_subject(directory, policy, subject, caller.known)?;
    let hook = match directory.access.hook {
        HookUse::NotConfigured => None,
        HookUse::Asked => Some(ask_hook(port, &request, subject, caller)?),
    };
    // The hook may map the name to another stream, so whether the stream exists is checked afterwards.
    let named = hook.as_ref().and_then(|hook| hook.terms.stream.clone());
    let stream = named.unwrap_or(stream);
    let (entry, policy) = find(directory, &stream)?;
    if is_first {
        check_source(role, &stream, entry.as_ref(), &policy)?;
        check_slots(directory, role, &stream, &policy)?;
        check_quotas(directory, entry.as_ref(), &stream, caller.peer.ip())?;
    }
    let valid = passphrases(port, role, &policy);
    let passphrase = key_used(hook.as_ref(), valid, role, &stream, caller.known)?;
    let mut held = HeldSlots::default();
    if is_first {
        let (_address, _created) = take_quotas(directory, entry.as_ref(), &stream, caller.peer.ip())?;
        held = HeldSlots {
            _address,
            _created,
            ..take_slots(port, directory, role, &stream, &policy)?
        };
    }
    Ok(Grant {
        role,
        stream,
        passphrase,
        limits: limits_of(port, hook.as_ref()),
        hook,
        held,
    })
}

/// A further link of a group takes no slot, and must request what the first link did. All other checks apply to each
/// link.
fn check_bond(bond: &BondOf, stream: &StreamName, role: Role) -> Result<(), RefusalReason> {
    if bond.stream == *stream && bond.role == role {
        return Ok(());
    }
    Err(RefusalReason::OtherBond {
        role: bond.role,
        stream: bond.stream.clone(),
    })
}

/// Whether the state of the stream's source allows this role.
fn check_source(
    role: Role,
    stream: &StreamName,
    entry: Option<&StreamEntry>,
    policy: &StreamPolicy,
) -> Result<(), RefusalReason> {
    let has_source = entry.is_some_and(|entry| entry.stream.has_source());
    match role {
        Role::Publisher if !may_publish(policy, entry) => Err(has_publisher(stream, policy, entry)),
        Role::Viewer if !has_source && policy.on_source_lost.is_zero() => {
            Err(RefusalReason::NoSource(stream.clone()))
        }
        Role::Publisher | Role::Viewer => Ok(()),
    }
}

fn has_publisher(stream: &StreamName, policy: &StreamPolicy, entry: Option<&StreamEntry>) -> RefusalReason {
    let hangs = |entry: &StreamEntry| entry.stream.has_source() && entry.stream.quiet_for() >= HANGS_AFTER;
    match policy.duplicate_publisher {
        DuplicatePublisher::Reject if entry.is_some_and(hangs) => {
            RefusalReason::HasSilentPublisher(stream.clone())
        }
        DuplicatePublisher::Reject => RefusalReason::HasPublisher(stream.clone()),
        _ => RefusalReason::HasActivePublisher {
            stream: stream.clone(),
            silent_after: policy.silent_after,
        },
    }
}

/// The limit of this role in a stream (0: none), and the reason for refusing the next caller.
fn stream_limit(
    role: Role,
    stream: &StreamName,
    policy: &StreamPolicy,
    directory: &Directory,
) -> (u32, RefusalReason) {
    let entry = directory.streams.get(stream);
    match (role, policy.duplicate_publisher) {
        (Role::Viewer, _) => {
            let (stream, max) = (stream.clone(), policy.max_viewers);
            (max, RefusalReason::StreamFull { stream, max })
        }
        (Role::Publisher, DuplicatePublisher::Reject) => (1, has_publisher(stream, policy, entry)),
        (Role::Publisher, _) => (0, has_publisher(stream, policy, entry)),
    }
}

/// Refuses early if the stream has no free slot, so that such a caller causes no slow checks.
fn check_slots(
    directory: &Directory,
    role: Role,
    stream: &StreamName,
    policy: &StreamPolicy,
) -> Result<(), RefusalReason> {
    let (limit, full) = stream_limit(role, stream, policy, directory);
    if directory.slots.streams.is_full(&(stream.clone(), role), limit) {
        return Err(full);
    }
    Ok(())
}

/// Reserves the caller's slots under the limits of the port and the stream. This comes last: a caller that is refused
/// for another reason must not block one that would be admitted.
fn take_slots(
    port: &PortPolicy,
    directory: &Directory,
    role: Role,
    stream: &StreamName,
    policy: &StreamPolicy,
) -> Result<HeldSlots, RefusalReason> {
    let of_port = port.connections.take(port.max_connections);
    let of_stream = directory.slots.streams.of((stream.clone(), role));
    let (limit, full) = stream_limit(role, stream, policy, directory);
    Ok(HeldSlots {
        _port: Some(of_port.ok_or(RefusalReason::PortFull {
            max: port.max_connections,
        })?),
        _stream: Some(of_stream.take(limit).ok_or(full)?),
        ..HeldSlots::default()
    })
}

fn too_many_streams(full: CreatedFull, quotas: Quotas) -> RefusalReason {
    match full {
        CreatedFull::All => RefusalReason::TooManyStreams {
            max: quotas.created.all,
        },
        CreatedFull::OfAddress => RefusalReason::TooManyStreamsOfAddress {
            max: quotas.created.per_address,
        },
    }
}

/// Refuses early if `[limits]` leaves no room.
fn check_quotas(
    directory: &Directory,
    entry: Option<&StreamEntry>,
    stream: &StreamName,
    peer: IpAddr,
) -> Result<(), RefusalReason> {
    let (quotas, slots, address) = (directory.quotas, &directory.slots, limited(peer));
    let max = quotas.sessions_per_address;
    if address.is_some_and(|address| slots.addresses.is_full(&address, max)) {
        return Err(RefusalReason::TooManySessions { max });
    }
    if entry.is_some_and(|entry| !entry.is_created) {
        return Ok(());
    }
    let room = slots.created.check(stream, address, quotas.created);
    room.map_err(|full| too_many_streams(full, quotas))
}

/// Reserves the caller's slots under the limits that apply to all ports together.
fn take_quotas(
    directory: &Directory,
    entry: Option<&StreamEntry>,
    stream: &StreamName,
    peer: IpAddr,
) -> Result<(Option<Slot>, Option<CreatedSlot>), RefusalReason> {
    let (quotas, slots, address) = (directory.quotas, &directory.slots, limited(peer));
    let mut of_address = None;
    if let Some(address) = address {
        let max = quotas.sessions_per_address;
        let slot = slots.addresses.of(address).take(max);
        of_address = Some(slot.ok_or(RefusalReason::TooManySessions { max })?);
    }
    let mut of_created = None;
    if entry.is_none_or(|entry| entry.is_created) {
        let slot = slots.created.take(stream, address, quotas.created);
        of_created = Some(slot.map_err(|full| too_many_streams(full, quotas))?);
    }
    Ok((of_address, of_created))
}

/// The passphrases of which the caller must use one; empty: none. On a stream's own port, the port's passphrase
/// applies; on a shared port, the stream's.
fn passphrases<'a>(port: &'a PortPolicy, role: Role, policy: &'a StreamPolicy) -> &'a [Passphrase] {
    let own = match role {
        Role::Publisher => policy.publish_passphrases.as_slice(),
        Role::Viewer => policy.play_passphrases.as_slice(),
    };
    let of_port = port.passphrase.as_slice();
    match port.scope {
        Scope::Global | Scope::Template(_) if own.is_empty() => of_port,
        Scope::Stream(_) if !of_port.is_empty() => of_port,
        _ => own,
    }
}

/// The stream of that name, if it exists, and its policy.
fn find(
    directory: &Directory,
    stream: &StreamName,
) -> Result<(Option<StreamEntry>, Arc<StreamPolicy>), RefusalReason> {
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
        (None, None, None) => return Err(RefusalReason::UnknownStream(stream.clone())),
    };
    Ok((entry, policy))
}

/// The hook's verdict on a caller that the rules admit.
pub(super) fn ask_hook(
    port: &PortPolicy,
    request: &StreamRequest,
    subject: Subject<'_>,
    caller: Caller<'_>,
) -> Result<HookGrant, Stop> {
    let question = Box::new(HookQuestion {
        role: subject.role,
        stream: subject.stream.clone(),
        user: subject.user.map(Into::into),
        password: subject.password.cloned(),
        peer: subject.peer,
        port: port.addr.port(),
        streamid: String::from_utf8_lossy(caller.streamid).into(),
        encrypted: caller.handshake.map(|handshake| handshake.encryption.is_some()),
        version: caller.handshake.map(|handshake| handshake.version),
        labels: request.labels.clone(),
    });
    match caller.known.hook(&question) {
        None => Err(Stop::Wait(Question::Hook(question))),
        Some(HookVerdict::Refused(refusal)) => Err(RefusalReason::Hook(refusal).into()),
        Some(HookVerdict::Admitted(terms)) => Ok(HookGrant { question, terms }),
        Some(HookVerdict::LetIn) => Ok(HookGrant {
            question,
            terms: Arc::default(),
        }),
    }
}

/// Whether the stream has no source, or admits a second publisher.
fn may_publish(policy: &StreamPolicy, entry: Option<&StreamEntry>) -> bool {
    entry.is_none_or(|entry| {
        let stream = &entry.stream;
        !stream.has_source() || stream.is_source_leaving() || policy.admits_second(stream)
    })
}

/// The limits of the session: the port's, unless the hook overrides them.
pub(super) fn limits_of(port: &PortPolicy, hook: Option<&HookGrant>) -> SessionLimits {
    let mut limits = port.limits;
    if let Some(max_bitrate) = hook.and_then(|hook| hook.terms.max_bitrate) {
        limits.max_bitrate = max_bitrate;
    }
    limits
}

/// The passphrase that the caller must use: one of `configured`, unless the hook names another one.
pub(super) fn key_used(
    hook: Option<&HookGrant>,
    configured: &[Passphrase],
    role: Role,
    stream: &StreamName,
    known: &dyn CheckResults,
) -> Result<Option<Passphrase>, Stop> {
    match hook.map(|hook| &hook.terms.passphrase) {
        Some(KeyTerm::None) => Ok(None),
        Some(KeyTerm::This(passphrase)) => {
            passphrase_used(std::slice::from_ref(passphrase), role, stream, known)
        }
        Some(KeyTerm::Configured) | None => passphrase_used(configured, role, stream, known),
    }
}

/// Which valid passphrase the caller uses. If that is not visible, the first: libsrt verifies it.
fn passphrase_used(
    valid: &[Passphrase],
    role: Role,
    stream: &StreamName,
    known: &dyn CheckResults,
) -> Result<Option<Passphrase>, Stop> {
    let Some(first) = valid.first() else {
        return Ok(None);
    };
    match known.key(valid) {
        KeyFit::Unseen => Ok(Some(first.clone())),
        KeyFit::Fits(place) => Ok(valid.get(place).cloned()),
        KeyFit::Wrong => Err(Stop::Refuse(RefusalReason::WrongPassphrase {
            role,
            stream: stream.clone(),
        })),
        KeyFit::NotYet(question) => Err(Stop::Wait(Question::Key(question))),
    }
}

/// Whether the stream's password and the rules admit the caller.
pub(super) fn check_subject(
    directory: &Directory,
    policy: Option<&StreamPolicy>,
    subject: Subject<'_>,
    known: &dyn CheckResults,
) -> Result<(), Stop> {
    if let (Role::Publisher, Some(required)) =
        (subject.role, policy.and_then(|policy| policy.password.as_ref()))
    {
        match password_fits(required, subject.password, known) {
            Ok(true) => {}
            Ok(false) => return Err(RefusalReason::WrongPassword(subject.stream.clone()).into()),
            Err(question) => return Err(Stop::Wait(Question::Password(question))),
        }
    }
    match judge(&directory.access.rules, subject, known) {
        RuleOutcome::NoRule | RuleOutcome::Admitted => Ok(()),
        RuleOutcome::Pending(question) => Err(Stop::Wait(Question::Password(question))),
        RuleOutcome::Refused => Err(Stop::Refuse(RefusalReason::NotByRules {
            role: subject.role,
            stream: subject.stream.clone(),
        })),
    }
}

/// The length of an AES key; libsrt defaults to 128 bits.
pub(crate) const fn key_bits(key: KeyLength) -> u16 {
    match key {
        KeyLength::Aes256 => 256,
        KeyLength::Aes192 => 192,
        _ => 128,
    }
}

/// Refuses handshakes that the port's settings do not allow. libsrt would refuse some of them too, but later: the
/// reason would be lost, and the caller would hold its slots until then.
pub(super) fn check_handshake(
    port: &PortPolicy,
    role: Role,
    caller: CallerHandshake,
) -> Result<(), RefusalReason> {
    let offered = match role {
        Role::Publisher => caller.send_latency,
        Role::Viewer => caller.receive_latency,
    };
    if offered > port.max_latency {
        return Err(RefusalReason::LatencyTooLong {
            offered,
            max: port.max_latency,
        });
    }
    if let Some(key) = caller.encryption
        && key_bits(key) < port.min_key_bits
    {
        return Err(RefusalReason::ShortKey {
            offered: key_bits(key),
            required: port.min_key_bits,
        });
    }
    if port.is_live && caller.mode == CallerMode::File {
        return Err(RefusalReason::FileMode);
    }
    if caller.group.is_some() && !port.takes_groups {
        return Err(RefusalReason::Bonded);
    }
    check_filter(port.filter, caller.filter)?;
    if caller.version < port.min_version {
        return Err(RefusalReason::OldVersion {
            required: port.min_version,
            offered: caller.version,
        });
    }
    match port.version {
        Some(required) if required != caller.version => Err(RefusalReason::OtherVersion {
            required,
            offered: caller.version,
        }),
        _ => Ok(()),
    }
}

/// Whether the template's inputs and outputs can be created for the stream.
fn check_name(entry: &TemplateEntry, stream: &StreamName) -> Result<(), RefusalReason> {
    let made = entry.template.for_stream(stream.as_str());
    made.map(drop).map_err(|why| RefusalReason::UnfitName {
        stream: stream.clone(),
        template: entry.name.clone(),
        why,
    })
}

/// The stream that a caller requests.
fn stream_for(
    port: &PortPolicy,
    directory: &Directory,
    request: &StreamRequest,
    role: Option<Role>,
) -> Result<Reading, RefusalReason> {
    let exists = |name: &StreamName| directory.streams.contains_key(name);
    let prefix = port.scope.prefix(directory);
    let begins = |name: &StreamName| prefix.is_some_and(|prefix| name.as_str().starts_with(prefix));
    let choice = Choice { directory, role };
    let asked = match &port.scope {
        Scope::Global => choice.choose(&request.names, |name| {
            directory.unknown.is_some() || directory.template_for(name.as_str()).is_some()
        }),
        Scope::Stream(served) => request.names.iter().find(|name| name.stream == *served),
        Scope::Template(_) => {
            let mut names = request.names.clone();
            names.retain(|name| begins(&name.stream));
            let chosen = choice.choose(&names, begins).map(|name| name.stream.clone());
            chosen.and_then(|chosen| request.names.iter().find(|name| name.stream == chosen))
        }
    };
    if let (None, Scope::Global, Some(last)) = (asked, &port.scope, request.names.last())
        && last.form == Form::Password
        && exists(&last.stream)
    {
        return Err(RefusalReason::NoPasswordThere(last.stream.clone()));
    }
    match (&port.scope, asked.or_else(|| request.names.last())) {
        (Scope::Global, Some(asked)) => Ok(asked.clone()),
        (Scope::Template(_), Some(asked)) if begins(&asked.stream) => Ok(asked.clone()),
        (Scope::Template(_), Some(asked)) => Err(RefusalReason::OutsideTemplate {
            asked: asked.stream.clone(),
            prefix: prefix.unwrap_or_default().to_owned(),
            exists: exists(&asked.stream),
        }),
        (Scope::Global | Scope::Template(_), None) => Err(RefusalReason::NameMissing {
            port: port.to_string(),
            is_empty: request.dialect.is_none(),
        }),
        (Scope::Stream(served), None) => Ok(Reading {
            stream: served.clone(),
            password: request.password.clone(),
            form: Form::Name,
        }),
        (Scope::Stream(served), Some(asked)) if asked.stream == *served => Ok(asked.clone()),
        (Scope::Stream(served), Some(asked)) => Err(RefusalReason::OtherStream {
            asked: asked.stream.clone(),
            served: served.clone(),
            exists: exists(&asked.stream),
        }),
    }
}

/// Chooses among the readings of a name so that nobody receives another stream than the requested one: where a stream
/// of the full name can be created, no shorter reading applies, whoever is connected at that moment.
struct Choice<'a> {
    directory: &'a Directory,
    /// None: the caller does not say, and is refused for that.
    role: Option<Role>,
}

impl Choice<'_> {
    /// `makes` returns whether a stream of that name would be created for a caller.
    fn choose<'n>(&self, names: &'n [Reading], makes: impl Fn(&StreamName) -> bool) -> Option<&'n Reading> {
        let exists = |name: &StreamName| self.directory.streams.contains_key(name);
        let full = names
            .iter()
            .find(|name| name.form == Form::Name && makes(&name.stream));
        let applies = |name: &&Reading| match name.form {
            Form::Name | Form::Whole => exists(&name.stream),
            Form::Short => exists(&name.stream) && full.is_none(),
            Form::Password if self.asks_for_password(&name.stream) => {
                exists(&name.stream) || makes(&name.stream)
            }
            // The hook may know the password.
            Form::Password => {
                self.directory.access.hook == HookUse::Asked && exists(&name.stream) && full.is_none()
            }
        };
        names.iter().find(applies).or(full).or_else(|| {
            names
                .iter()
                .find(|name| name.form == Form::Short && makes(&name.stream))
        })
    }

    /// Whether the stream or a rule about it has a password.
    fn asks_for_password(&self, name: &StreamName) -> bool {
        let directory = self.directory;
        let policy = match (directory.streams.get(name), directory.template_for(name.as_str())) {
            (Some(entry), _) => Some(&entry.policy),
            (None, Some(template)) => Some(&template.policy),
            (None, None) => directory.unknown.as_ref(),
        };
        policy.is_some_and(|policy| policy.password.is_some())
            || self
                .role
                .is_some_and(|role| ask_for_password(&directory.access.rules, role, name))
    }
}

/// The role that a caller requests, as far as port and streamid show it. For the record of refused callers: it counts and
/// decides nothing.
pub(super) fn asked_role(port: &PortPolicy, streamid: &[u8]) -> Option<Role> {
    role_for(port, &StreamRequest::read(streamid, Dialects::all()).ok()?).ok()
}

fn role_for(port: &PortPolicy, request: &StreamRequest) -> Result<Role, RefusalReason> {
    let asked = request.mode.map(|mode| match mode {
        RequestMode::Publish => Role::Publisher,
        RequestMode::Request => Role::Viewer,
    });
    let served = match port.kind {
        PortKind::Both => None,
        PortKind::Publish => Some(Role::Publisher),
        PortKind::Play => Some(Role::Viewer),
    };
    match (served, asked) {
        (None, None) => Err(RefusalReason::ModeMissing {
            port: port.to_string(),
        }),
        (Some(served), Some(asked)) if served != asked => Err(RefusalReason::WrongMode {
            port: port.to_string(),
            asked,
        }),
        (Some(role), _) | (None, Some(role)) => Ok(role),
    }
}
