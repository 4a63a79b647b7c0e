//! Timing of received live packets: by a thread of libsrt for each socket, or by the reading thread.

use std::time::Duration;

use libsrt_sys::SRTSOCKET;

use crate::{SrtGroup, SrtSocket};

/// When a reader that times packets itself receives them; see [`SrtSocket::time_by_reader`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ReaderTiming {
    /// One latency after they were sent, with the sender's spacing, as SRT delivers them (TSBPD), to within 0.1 ms: a
    /// packet may be delivered that much early, together with the previous one.
    #[default]
    OnTime,
    /// As soon as they are complete and in order. The latency only limits the wait for a missing packet and delays no
    /// other packet; in return the packets have the jitter of the network.
    InOrder,
}

/// The state of a socket's send buffer, and its counters since the connection was opened; see
/// [`SrtSocket::send_state`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendState {
    /// How often [`MaxRetransmitBandwidth`](crate::opt::MaxRetransmitBandwidth) has held back a retransmission that was
    /// due.
    pub resends_held: u64,
    /// Packets dropped because they were too late for the peer (`SRTO_TLPKTDROP`).
    pub dropped: u64,
    /// Packets in the buffer, either unacknowledged or unsent.
    pub packets: u32,
    /// Packets that have not been sent yet.
    pub unsent: u32,
    /// The age of the oldest packet in the buffer, sent or not.
    pub oldest: Duration,
    /// The peer's receive latency. Packets older than this, and older than a second, are dropped.
    pub latency: Duration,
}

/// The state of a peer; see [`SrtSocket::peer_state`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerState {
    /// The time since its last packet of any kind. A connected peer without data sends a keep-alive every second.
    pub unheard: Duration,
    /// It has closed the connection. A connection that broke otherwise ended because nothing was received for
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
    /// Lets the thread that reads this socket time received packets, instead of a libsrt thread that wakes it (our edit
    /// `reader-timed`). For programs that serve many live sockets from one loop: it saves a thread per socket, and one
    /// of two wake-ups.
    ///
    /// Receive until [`WouldBlock`](crate::ErrorKind::WouldBlock), call [`next_delivery`](Self::next_delivery), and
    /// receive again at that time. An [`Epoll`](crate::Epoll) reports the socket when that answer is outdated: when a
    /// packet has arrived at an empty buffer, or a missing packet has arrived. It does not report packets that become
    /// due.
    ///
    /// Returns whether it takes effect. It does not for blocking sockets, for groups and their links, which libsrt
    /// times as usual, and with a library without the edit. The socket must stay non-blocking.
    pub fn time_by_reader(&self, timing: ReaderTiming) -> bool {
        let how = match timing {
            ReaderTiming::OnTime => 1,
            ReaderTiming::InOrder => 2,
        };
        // SAFETY: plain numbers; our edit answers -1 for a socket that it does not know, and keeps one that it knows for the
        // length of the call.
        unsafe { libsrt_sys::srt_edit_time_by_reader(self.raw.id(), how) == 0 }
    }

    /// The state of the send buffer: queued, dropped and held back packets (our edit `resend-cap`). Faster than
    /// [`stats`](Self::stats), and takes no lock that sending holds for long; otherwise it does not block. `None`: the
    /// socket is not connected, or the library lacks the edit. For a group, the sums over all links, with the largest
    /// age and latency.
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

    /// When the peer was last heard from, and whether it has closed the connection (our edit `peer-state`); also after
    /// the connection has broken. Does not block. `None`: the socket was never connected, or the library lacks the
    /// edit. For a group, the link that was last heard from; `has_closed` if all links were closed.
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

    /// The time until a packet can be received from a socket that its [reader times](Self::time_by_reader); zero: now.
    /// `None`: no packet has arrived, or the reader does not time this socket; an epoll reports the next one.
    ///
    /// This call and the receiving calls give up packets that are missing before a packet that is due
    /// (`SRTO_TLPKTDROP`, on in live mode).
    #[must_use]
    pub fn next_delivery(&self) -> Option<Duration> {
        // SAFETY: as above.
        let micros = unsafe { libsrt_sys::srt_edit_next_delivery(self.raw.id()) };
        u64::try_from(micros).ok().map(Duration::from_micros)
    }
}
