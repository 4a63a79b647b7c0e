//! libsrt's figures of the links of a bonded connection. libsrt has few figures for the group itself, so they are
//! combined from those of the links.
//!
//! The sampler belongs to the session's worker.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use srt_safe::{Counters, Member, MemberState, SocketId, Stats};

/// The last sample of a link. Counts are since the link was connected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkFigures {
    /// The peer's address.
    pub peer: Option<SocketAddr>,
    /// Its state in the group: `running` and `idle` links work.
    pub state: MemberState,
    /// Its priority in a backup group.
    pub weight: u16,
    /// Round-trip time.
    pub rtt: Duration,
    /// Packets of the stream, each once, both directions.
    pub packets: u64,
    /// Packets lost on the wire, both directions.
    pub lost: u64,
    /// Packets retransmitted, both directions.
    pub retransmitted: u64,
}

impl LinkFigures {
    /// Whether it carries the stream, or would at once.
    pub(crate) fn works(&self) -> bool {
        matches!(self.state, MemberState::Running | MemberState::Idle)
    }
}

/// Samples the links of a bonded session. Kept with its socket.
#[derive(Debug, Default)]
pub(crate) struct LinkSampler {
    /// The counters of all links so far, because those of lost links still count.
    seen: HashMap<SocketId, Counters>,
}

impl LinkSampler {
    /// Samples `members`, and adds to their group's `stats` what libsrt leaves out: the sums of the links' counters,
    /// and the path of the active link with the longest round-trip time.
    pub(crate) fn complete(&mut self, stats: &mut Stats, members: &[Member]) -> Vec<LinkFigures> {
        let mut figures = Vec::with_capacity(members.len());
        for member in members {
            let link = member.stats().ok();
            if let Some(link) = &link {
                self.seen.insert(member.id, link.total.clone());
                if member.state == MemberState::Running && link.link.rtt > stats.link.rtt {
                    stats.link = link.link.clone();
                    stats.send_buffer = link.send_buffer;
                    stats.receive_buffer = link.receive_buffer;
                }
            }
            let total = link.as_ref().map(|link| &link.total);
            let count = |of: fn(&Counters) -> u64| total.map_or(0, of);
            figures.push(LinkFigures {
                peer: member.peer,
                state: member.state,
                weight: member.weight,
                rtt: link.as_ref().map_or(Duration::ZERO, |link| link.link.rtt),
                packets: count(|total| total.sent_unique.packets + total.received_unique.packets),
                lost: count(|total| total.receive_lost.packets + total.send_lost),
                retransmitted: count(|total| total.retransmitted.packets + total.received_retransmitted),
            });
        }
        for of in self.seen.values() {
            stats.total.receive_lost.packets += of.receive_lost.packets;
            stats.total.send_lost += of.send_lost;
            stats.total.retransmitted.packets += of.retransmitted.packets;
            stats.total.received_retransmitted += of.received_retransmitted;
        }
        figures
    }
}
