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

fn held(socket: SRTSOCKET) -> u64 {
    // SAFETY: a plain number; our edit answers -1 for a socket that it does not know, and keeps one that it knows for the
    // length of the call.
    u64::try_from(unsafe { libsrt_sys::srt_edit_resends_held(socket) }).unwrap_or(0)
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

    /// How often [`MaxRetransmitBandwidth`](crate::opt::MaxRetransmitBandwidth) has held back a packet that was due to be sent
    /// again, on all links of a group (an edit of ours, `resend-cap`). 0 with a library without the edit. Does not block.
    #[must_use]
    pub fn resends_held(&self) -> u64 {
        if self.is_group() {
            let members = SrtGroup::members_of(self.id()).unwrap_or_default();
            return members.iter().map(|member| held(member.id.value())).sum();
        }
        held(self.raw.id())
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
