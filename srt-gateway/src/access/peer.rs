//! Who may be the peer of an input or output that listens (`mode=listener`): one caller at a time, whose role is known.
//!
//! Pure but for the slot, like the decision on callers of ports, which it is a part of. It asks what a port of the stream would
//! ask, but for the name and the hook: an encoder's streamid may say what it likes there, and the operator has chosen the peer.

use super::{
    Ask, AskMode, Caller, Directory, Grant, PortPolicy, Why,
    decide::{Stop, check_applicant, check_handshake, passphrase_used},
    rules::Applicant,
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
        return Err(Why::HasPeer.into());
    }
    // What cannot be read says nothing, and so has no password.
    let ask = Ask::read(caller.streamid, directory.access.dialects).ok();
    let role = match port.kind {
        PortKind::Play => Role::Viewer,
        PortKind::Publish | PortKind::Both => Role::Publisher,
    };
    let asked = ask.as_ref().and_then(|ask| ask.mode).map(|mode| match mode {
        AskMode::Publish => Role::Publisher,
        AskMode::Request => Role::Viewer,
    });
    if let Some(asked) = asked.filter(|asked| *asked != role) {
        let port = port.to_string();
        return Err(Why::WrongMode { port, asked }.into());
    }
    if let Some(handshake) = caller.handshake {
        check_handshake(port, role, handshake)?;
    }
    if let Some(entry) = directory.streams.get(stream) {
        let names = ask.as_ref().map(|ask| ask.names.as_slice()).unwrap_or_default();
        let reading = names
            .iter()
            .find(|name| name.stream == *stream)
            .or_else(|| names.last());
        let alone = ask.as_ref().and_then(|ask| ask.password.as_ref());
        let applicant = Applicant {
            role,
            stream,
            user: ask.as_ref().and_then(|ask| ask.user.as_deref()),
            password: reading.and_then(|name| name.password.as_ref()).or(alone),
            peer: caller.peer.ip(),
        };
        check_applicant(directory, Some(&entry.policy), applicant, caller.known)?;
        let waits = entry.stream.has_source() || !entry.policy.on_source_lost.is_zero();
        if role == Role::Viewer && !waits {
            return Err(Why::NoSource(stream.clone()).into());
        }
    }
    let passphrase = passphrase_used(port.passphrase.as_slice(), role, stream, caller.known)?;
    let slot = port.connections.take(port.max_connections);
    Ok(Grant {
        role,
        stream: stream.clone(),
        passphrase,
        limits: port.limits,
        hook: None,
        held: HeldSlots {
            _port: Some(slot.ok_or(Why::HasPeer)?),
            _stream: None,
        },
    })
}
