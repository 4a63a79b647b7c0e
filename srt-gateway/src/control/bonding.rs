//! Bonded connections: one session, many links.
//!
//! libsrt asks the gate about each link of a bonded caller separately. The first link that connects creates the
//! session; libsrt adds the others to the group without an event. libsrt never reconnects a lost link of an outgoing
//! group, so this module does, with one back-off per link.
//!
//! Runs on control's thread.

use std::{net::SocketAddr, time::Instant};

use srt_safe::{
    GroupLink, GroupType, Interest, Member, MemberState, SocketId, SocketState, SrtGroup, SrtSocket,
};
use tracing::{debug, info, warn};

use super::{
    Control,
    backoff::Backoff,
    dial::AttemptError,
    endpoints::{Attempt, EndpointRuntime},
    streamid::call_options,
};
use crate::{
    access::{Gate, Granted},
    address::ZonedIp,
    config::{Bond, BondKind, SrtTarget, Target},
    io::{EndpointId, Hosts},
    names::SessionId,
};

/// The links of a bonded input or output.
#[derive(Debug)]
pub(super) struct Links {
    group: SocketId,
    each: Vec<Link>,
}

/// ```text
///   works ──libsrt has lost it──▶ lost ──back-off over──▶ called ──▶ works, or lost again for longer
/// ```
#[derive(Debug)]
struct Link {
    /// The addresses of the link's host, at least one. Each call uses the next address, because one of them may be
    /// dead.
    addrs: Vec<SocketAddr>,
    turn: usize,
    weight: u16,
    source: Option<SocketAddr>,
    token: i32,
    works: bool,
    backoff: Backoff,
    next: Instant,
}

impl Link {
    /// Returns the next call to make.
    fn next_call(&mut self) -> GroupLink {
        let addr = self.addrs[self.turn % self.addrs.len()];
        self.turn = self.turn.wrapping_add(1);
        let to = GroupLink::new(addr).weight(self.weight).token(self.token);
        match self.source {
            Some(source) => to.source(source),
            None => to,
        }
    }

    /// Updates the link's state; returns true if the link must be called again. A link that was called again has two
    /// members until libsrt has collected the lost one; the better member counts.
    fn update_state(&mut self, members: &[Member], now: Instant) -> bool {
        let mut states = members
            .iter()
            .filter(|member| member.token == self.token)
            .map(|member| member.state);
        let works = |state| matches!(state, MemberState::Idle | MemberState::Running);
        if states.clone().any(works) {
            if !self.works {
                self.works = true;
                self.backoff.reset();
            }
            return false;
        }
        if states.any(|state| state == MemberState::Pending) {
            return false;
        }
        if self.works {
            self.works = false;
            // A link that has worked is called again at once.
            self.next = now;
        }
        now >= self.next
    }
}

/// Returns the grant of an accepted connection. For a group, one of its links holds it.
pub(super) fn granted(gate: &Gate, socket: SocketId) -> Option<Granted> {
    if !socket.is_group() {
        return gate.take_granted(socket);
    }
    let links = SrtGroup::members_of(socket).unwrap_or_default();
    links.iter().find_map(|link| gate.take_granted(link.id))
}

fn target(state: &EndpointRuntime) -> Option<(&EndpointRuntime, &SrtTarget)> {
    match &state.endpoint.target {
        Target::Srt(srt) => Some((state, srt)),
        _ => None,
    }
}

impl Control {
    /// Records links that have joined, and forgets groups that never connected.
    pub(super) fn tick_bonds(&self, now: Instant) {
        for gate in self.gates() {
            for link in gate.links() {
                let session = SrtGroup::of(link).and_then(|group| self.registry.session_of(group));
                if let Some(session) = session
                    && let Some(granted) = gate.take_granted(link)
                {
                    let (stream, link) = (&granted.grant.stream, granted.peer());
                    info!(%session, %stream, %link, "a link has joined");
                }
            }
        }
        self.opener.guards.tick_bonds(now);
    }

    /// Starts to connect a bonded endpoint; resolves host names first.
    pub(super) fn begin_bond(&mut self, id: EndpointId, bond: &Bond) -> Result<Attempt, AttemptError> {
        // A link whose interface is missing is left out, like a link whose name has no address.
        let addr = |host: &str, port| host.parse::<ZonedIp>().ok()?.socket_addr(port).ok();
        let addrs: Vec<_> = bond
            .links
            .iter()
            .map(|link| Vec::from_iter(addr(&link.host, link.port)))
            .collect();
        if !addrs.iter().any(Vec::is_empty) {
            return self.call_links(id, &addrs);
        }
        let hosts = bond.links.iter().map(|link| (link.host.clone(), link.port));
        self.resolve_host(id, Hosts::Each(hosts.collect()))
    }

    /// Calls all links that have an address.
    pub(super) fn call_links(
        &mut self,
        id: EndpointId,
        addrs: &[Vec<SocketAddr>],
    ) -> Result<Attempt, AttemptError> {
        let Some((state, srt)) = self.endpoints.all.get(&id).and_then(target) else {
            return Err(AttemptError::Permanent("not SRT".to_owned()));
        };
        let Some(bond) = &srt.bond else {
            return Err(AttemptError::Permanent("not bonded".to_owned()));
        };
        let session = SessionId(self.last_session + 1);
        let kind = match bond.kind {
            BondKind::Broadcast => GroupType::Broadcast,
            BondKind::Backup => GroupType::Backup,
        };
        let to: Vec<_> = addrs.iter().flatten().copied().collect();
        let streamid = self.streamid_for(state, srt, session, &to);
        let builder = SrtGroup::builder(kind).options(call_options(srt, streamid.as_deref())?);
        let mut each = links(state, bond, addrs, self.endpoints.identity.seed());
        let group = each
            .iter_mut()
            .fold(builder, |builder, link| builder.link(link.next_call()))
            .start_connect()?;
        let links = Links {
            group: group.id(),
            each,
        };
        self.opener.watch.add(&group, Interest::WRITABLE)?;
        self.last_session += 1;
        self.endpoints.sockets.insert(group.id(), id);
        self.show_streamid(id, streamid.as_deref());
        if let Some(state) = self.endpoints.all.get_mut(&id) {
            state.links = Some(links);
        }
        Ok(Attempt::Bonding(group, session))
    }

    /// Checks whether a group's call has succeeded: one link is enough.
    pub(super) fn finish_bond(&mut self, id: EndpointId, group: SrtGroup, session: SessionId, now: Instant) {
        let socket = group.id();
        let members = group.members().unwrap_or_default();
        let connected = members
            .iter()
            .find(|member| member.socket_state == SocketState::Connected);
        if let Some(peer) = connected.and_then(|member| member.peer) {
            self.endpoints.sockets.remove(&socket);
            self.opener.watch.remove(&group);
            return self.start(id, SrtSocket::from(group), peer, session, None, now);
        }
        let is_hopeless = |member: &Member| member.state == MemberState::Broken;
        if !members.iter().all(is_hopeless) {
            if let Some(state) = self.endpoints.all.get_mut(&id) {
                state.attempt = Some(Attempt::Bonding(group, session));
            }
            return;
        }
        let why = group.take_failures().first().map_or_else(
            || "no link could be connected".to_owned(),
            |failure| failure.error().to_string(),
        );
        self.endpoints.sockets.remove(&socket);
        self.opener.watch.remove(&group);
        if let Some(state) = self.endpoints.all.get_mut(&id) {
            state.links = None;
        }
        self.failed(id, &why, now);
    }

    /// Calls lost links of a connected group again.
    pub(super) fn keep_links(&mut self, id: EndpointId, now: Instant) {
        let Some(state) = self.endpoints.all.get_mut(&id) else {
            return;
        };
        let (stream, endpoint) = (&state.stream, state.endpoint.label());
        let Some(links) = state.links.as_mut().filter(|_| state.live.is_some()) else {
            return;
        };
        let Ok(members) = SrtGroup::members_of(links.group) else {
            return;
        };
        for (number, link) in (1..).zip(&mut links.each) {
            let worked = link.works;
            let call = link.update_state(&members, now);
            match (worked, link.works) {
                (false, true) => info!(%stream, %endpoint, link = number, "the link works"),
                (true, false) => warn!(%stream, %endpoint, link = number, "the link is lost"),
                _ => {}
            }
            if call {
                link.next = now + link.backoff.failed();
                if let Err(error) = SrtGroup::add_links_to(links.group, &[link.next_call()]) {
                    debug!(%stream, %endpoint, link = number, %error, "cannot connect a link");
                }
            }
        }
    }
}

/// The links that have an address. A link's number in the configuration is its token.
fn links(state: &EndpointRuntime, bond: &Bond, addrs: &[Vec<SocketAddr>], seed: u64) -> Vec<Link> {
    let now = Instant::now();
    let mut each = Vec::new();
    // After a failure, the next attempt uses other addresses.
    let turn = usize::try_from(state.failures.count()).unwrap_or(0);
    for (token, (link, addrs)) in (0_i32..).zip(bond.links.iter().zip(addrs)) {
        if addrs.is_empty() {
            warn!(stream = %state.stream, %link, "the host of a link has no address: the link is ignored");
            continue;
        }
        let source = match link.adapter.map(|adapter| adapter.socket_addr(0)).transpose() {
            Ok(source) => source,
            Err(error) => {
                warn!(stream = %state.stream, %link, %error, "the link's adapter is missing: left out");
                continue;
            }
        };
        let mut backoff = Backoff::new(seed ^ u64::from(token.unsigned_abs()));
        let next = now + backoff.failed();
        each.push(Link {
            addrs: addrs.clone(),
            turn,
            weight: link.weight,
            source,
            token,
            works: false,
            backoff,
            next,
        });
    }
    each
}
