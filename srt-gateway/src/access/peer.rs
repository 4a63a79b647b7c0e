//! Decides on the peer of a listening input or output (`mode=listener`): one caller at a time, whose role is known.
//!
//! Pure except for the slot, like the decision on callers of ports, which it is part of. It checks what a port of the
//! stream would check, except for the name: the endpoint belongs to its stream, and an encoder may send any streamid.

use srt_safe::RejectCode;

use super::{
    Caller, Directory, Grant, PortPolicy, RefusalReason, RequestMode, StreamRequest,
    decide::{HookGrant, Stop, ask_hook, check_handshake, check_subject, key_used, limits_of},
    hook::{HookRefusal, RefusalSource},
    policy::HookUse,
    rules::Subject,
};
use crate::{
    config::PortKind,
    data::HeldSlots,
    names::{Role, StreamName},
};

/// Decides on a caller of an endpoint's listener.
pub(super) fn grant_peer(
    port: &PortPolicy,
    stream: &StreamName,
    directory: &Directory,
    caller: Caller<'_>,
) -> Result<Grant, Stop> {
    if port.is_full() {
        return Err(RefusalReason::HasPeer.into());
    }
    // An unreadable streamid carries no password.
    let request = StreamRequest::read(caller.streamid, directory.access.dialects).unwrap_or_default();
    let role = match port.kind {
        PortKind::Play => Role::Viewer,
        PortKind::Publish | PortKind::Both => Role::Publisher,
    };
    let asked = request.mode.map(|mode| match mode {
        RequestMode::Publish => Role::Publisher,
        RequestMode::Request => Role::Viewer,
    });
    if let Some(asked) = asked.filter(|asked| *asked != role) {
        let port = port.to_string();
        return Err(RefusalReason::WrongMode { port, asked }.into());
    }
    if let Some(handshake) = caller.handshake {
        check_handshake(port, role, handshake)?;
    }
    let named = request.names.iter().find(|name| name.stream == *stream);
    let reading = named.or_else(|| request.names.last());
    let password = reading.and_then(|name| name.password.as_ref());
    let subject = Subject {
        role,
        stream,
        user: request.user.as_deref(),
        password: password.or(request.password.as_ref()),
        peer: caller.peer.ip(),
    };
    let entry = directory.streams.get(stream);
    if let Some(entry) = entry {
        check_subject(directory, Some(&entry.policy), subject, caller.known)?;
    }
    let hook = match directory.access.hook {
        HookUse::NotConfigured => None,
        HookUse::Asked => Some(ask_hook(port, &request, subject, caller)?),
    };
    if let Some(hook) = &hook {
        check_stream(stream, hook)?;
    }
    if let Some(entry) = entry {
        let waits = entry.stream.has_source() || !entry.policy.on_source_lost.is_zero();
        if role == Role::Viewer && !waits {
            return Err(RefusalReason::NoSource(stream.clone()).into());
        }
    }
    let passphrase = key_used(
        hook.as_ref(),
        port.passphrase.as_slice(),
        role,
        stream,
        caller.known,
    )?;
    let slot = port.connections.take(port.max_connections);
    Ok(Grant {
        role,
        stream: stream.clone(),
        passphrase,
        limits: limits_of(port, hook.as_ref()),
        hook,
        held: HeldSlots {
            _port: Some(slot.ok_or(RefusalReason::HasPeer)?),
            ..HeldSlots::default()
        },
    })
}

/// The hook may move a caller of a port to another stream, but an endpoint serves only its own.
fn check_stream(stream: &StreamName, hook: &HookGrant) -> Result<(), RefusalReason> {
    match &hook.terms.stream {
        Some(other) if other != stream => Err(RefusalReason::Hook(HookRefusal {
            code: RejectCode::FORBIDDEN,
            why: format!(
                "the hook of [auth] assigns the caller to {other:?}, but this endpoint belongs to {stream:?}"
            )
            .into(),
            // The caller made no guess.
            by: RefusalSource::FailMode,
        })),
        _ => Ok(()),
    }
}
