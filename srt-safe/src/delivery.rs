//! Who times what a live socket receives: a thread of libsrt's for each, or the thread that reads.

use std::time::Duration;

use libsrt_sys::SRTSOCKET;

use crate::{SrtGroup, SrtSocket};

/// When a reader that times packets itself gets them: [`SrtSocket::time_by_reader`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ReaderTiming {
    /// A latency after they were sent, with the sender's distances between them, as SRT delivers (TSBPD), to within 0.1 ms:
    /// so much earlier a packet may be had with the one before it.
    #[default]
    OnTime,
    /// As soon as they are there in order. The latency is how long a missing packet is waited for before it is given up, and
    /// is added to no other; in return the packets come as the network brings them.
    InOrder,
}

/// What a socket's send buffer holds, and what has happened there since the connection began: [`SrtSocket::send_state`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendState {
    /// How often [`MaxRetransmitBandwidth`](crate::opt::MaxRetransmitBandwidth) has held back a packet that was due to be sent
    /// again.
    pub resends_held: u64,
    /// Packets that were dropped because they were too late for the peer (`SRTO_TLPKTDROP`).
    pub dropped: u64,
    /// Packets in the buffer, sent and not yet acknowledged or not yet sent.
    pub packets: u32,
    /// Those of them that have not been sent yet.
    pub unsent: u32,
    /// How long ago the oldest packet in the buffer, sent or not, was given to libsrt.
    pub oldest: Duration,
    /// The latency that the peer receives with. Packets that are older than this, and older than a second, are dropped.
    pub latency: Duration,
}

/// What was heard of a peer: [`SrtSocket::peer_state`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerState {
    /// How long ago its last packet came, of whatever kind. A connected peer that has nothing to send sends a keep-alive each second.
    pub unheard: Duration,
    /// It has closed the connection. A connection that broke without that ended because nothing was heard for
    /// [`PeerIdleTimeout`](crate::opt::PeerIdleTimeout).
    pub has_closed: bool,
}

fn peer_state(socket: SRTSOCKET) -> Option<PeerState> {
    let mut numbers = [0_i64; 2];
    // SAFETY: two numbers to write to; our edit answers -1 for a socket that it does not know, and keeps one that it knows for
    // the length of the call.
    let status = unsafe { libsrt_sys::srt_edit_peer_state(socket, numbers.as_mut_ptr()) };
    (status == 0).then(|| PeerState {
        unheard: Duration::from_micros(u64::try_from(numbers[0]).unwrap_or_default()),
        has_closed: numbers[1] != 0,
    })
}

fn send_state(socket: SRTSOCKET) -> Option<SendState> {
    let mut numbers = [0_i64; 6];
    // SAFETY: six numbers to write to; our edit answers -1 for a socket that it does not know, and keeps one that it knows for
    // the length of the call.
    let status = unsafe { libsrt_sys::srt_edit_send_state(socket, numbers.as_mut_ptr()) };
    let [held, dropped, packets, unsent, oldest, latency] =
        numbers.map(|number| u64::try_from(number).unwrap_or_default());
    (status == 0).then(|| SendState {
        resends_held: held,
        dropped,
        packets: u32::try_from(packets).unwrap_or(u32::MAX),
        unsent: u32::try_from(unsent).unwrap_or(u32::MAX),
        oldest: Duration::from_micros(oldest),
        latency: Duration::from_micros(latency),
    })
}

impl SrtSocket {
    /// Leaves the timing of received packets to the thread that reads this socket, in place of a thread of libsrt's that
    /// wakes it (an edit of ours, `reader-timed`). For whoever serves many live sockets from one loop: no thread for each, and
    /// one wake-up in place of two.
    ///
    /// Receive until [`WouldBlock`](crate::ErrorKind::WouldBlock), ask [`next_delivery`](Self::next_delivery), and receive
    /// again when that time has come. An [`Epoll`](crate::Epoll) reports the socket when the answer does not hold any more:
    /// when something has come and nothing was there, or what was missing has come. It does not report packets at their
    /// time.
    ///
    /// Returns whether it is so from now on: not for a socket that blocks, for groups and their links, which are timed by
    /// libsrt as ever, and not with a library without the edit. The socket must stay non-blocking.
    pub fn time_by_reader(&self, timing: ReaderTiming) -> bool {
        let how = match timing {
            ReaderTiming::OnTime => 1,
            ReaderTiming::InOrder => 2,
        };
        // SAFETY: plain numbers; our edit answers -1 for a socket that it does not know, and keeps one that it knows for the
        // length of the call.
        unsafe { libsrt_sys::srt_edit_time_by_reader(self.raw.id(), how) == 0 }
    }

    /// What waits to be sent, and what was dropped or held back (an edit of ours, `resend-cap`). Takes less time than
    /// [`stats`](Self::stats) and no lock that the sending of packets holds for long; does not block otherwise. `None`: the
    /// socket is not connected, or the library lacks the edit. Of a group, the sums of all links, with the largest age and
    /// latency.
    #[must_use]
    pub fn send_state(&self) -> Option<SendState> {
        if !self.is_group() {
            return send_state(self.raw.id());
        }
        let members = SrtGroup::members_of(self.id()).unwrap_or_default();
        let states = members.iter().filter_map(|member| send_state(member.id.value()));
        states.reduce(|sum, state| SendState {
            resends_held: sum.resends_held + state.resends_held,
            dropped: sum.dropped + state.dropped,
            packets: sum.packets.saturating_add(state.packets),
            unsent: sum.unsent.saturating_add(state.unsent),
            oldest: sum.oldest.max(state.oldest),
            latency: sum.latency.max(state.latency),
        })
    }

    /// When the peer was heard of last, and whether it has closed the connection (an edit of ours, `peer-state`); also after the
    /// connection has broken. Does not block. `None`: the socket was never connected, or the library lacks the edit. Of a group, the link
    /// that was heard of last; `has_closed` if all have been closed.
    #[must_use]
    pub fn peer_state(&self) -> Option<PeerState> {
        if !self.is_group() {
            return peer_state(self.raw.id());
        }
        let members = SrtGroup::members_of(self.id()).unwrap_or_default();
        let states = members.iter().filter_map(|member| peer_state(member.id.value()));
        states.reduce(|all, state| PeerState {
            unheard: all.unheard.min(state.unheard),
            has_closed: all.has_closed && state.has_closed,
        })
    }

    /// The time from now until a packet can be received from a socket that its [reader times](Self::time_by_reader); zero:
    /// one can be now. `None`: none has come, or the reader does not time this socket; an epoll reports when one is there.
    ///
    /// What is missing before a packet that is due is given up by this call, and by those that receive
    /// (`SRTO_TLPKTDROP`, on in live mode).
    #[must_use]
    pub fn next_delivery(&self) -> Option<Duration> {
        // SAFETY: as above.
        let micros = unsafe { libsrt_sys::srt_edit_next_delivery(self.raw.id()) };
        u64::try_from(micros).ok().map(Duration::from_micros)
    }
}
