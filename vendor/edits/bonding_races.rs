use super::{Change, Edit, Put};

// Five faults of groups.
//
// A link can be connected before srt_connect_group, which has begun it, comes to writing down that it is pending. The link
// then stays pending for good: it is counted, and never used. It was marked as pending when it was made, so nothing needs to
// be written at all.
//
// A group becomes writable when its first link has connected, a moment before the socket of that link counts as connected.
// Who sends in that moment is told to wait (SRT_EASYNCSND), and the group is not writable any more, for good if nothing else
// happens. With this edit the socket counts as connected first.
//
// The thread that delivers a link's packets by their time tells the group of one, for which it lets its lock go, and then
// waits to be told that the reader has taken it. A reader that is faster tells before it waits. Then the packets that have
// arrived stay in the buffer until another one comes: the last ones before a pause do not reach the application. With this
// edit the thread looks, with the lock held again, whether the packet is still there.
//
// If that packet is one that another link has delivered already, the group does not become readable, and the thread waits for
// a reader to discard the packet. While the other link delivers, there is one. When it stops, nobody reads any more: what the
// remaining link carries stays in its buffer for good. This happens to a link whose delay is larger than the latency, and after
// a link that was ahead of the others. With this edit the thread discards such packets itself.
//
// The epoll of each accepted group also watches the listener. So every connection to that listener walks through all of its
// groups on the thread of the port, and a reader that blocks spins, past its time-out, while a caller waits to be accepted.
// With this edit it does not: a link that joins is put into that epoll anyway.
pub(crate) const EDIT: Edit = Edit {
    name: "bonding-races",
    changes: &[
        Change {
            file: "srtcore/api.cpp",
            anchor: "f->laststatus = st;",
            put: Put::Replace,
            text: "if (f->sndstate == SRT_GST_PENDING)
                f->laststatus = st;",
        },
        Change {
            file: "srtcore/api.cpp",
            anchor: "f->sndstate  = SRT_GST_PENDING;",
            put: Put::Replace,
            text: "",
        },
        Change {
            file: "srtcore/api.cpp",
            anchor: "f->rcvstate  = SRT_GST_PENDING;",
            put: Put::Replace,
            text: "",
        },
        Change {
            file: "srtcore/api.cpp",
            anchor: "epoll_add_usock_INTERNAL(g->m_RcvEID, ls, &listener_modes);",
            put: Put::Replace,
            text: "(void)listener_modes;",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "g->setGroupConnected();",
            put: Put::BeforeLine,
            text: "            s->m_Status = SRTS_CONNECTED;
",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "// NOTE: this call will set lock to m_IncludedGroup->m_GroupLock",
            put: Put::BeforeLine,
            text: "                const int32_t delivered = gkeeper.group->getRcvBaseSeqNo();
                if (delivered != SRT_SEQNO_NONE && CSeqNo::seqcmp(info.seqno, delivered) <= 0)
                {
                    ScopedLock lock_buffer(self->m_RcvBufferLock);
                    self->rcvDropTooLateUpTo(CSeqNo::incseq(delivered), DROP_DISCARD);
                }
",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "// After re-acquisition of the m_RecvLock, re-check the closing flag",
            put: Put::BeforeLine,
            text: "            if (gkeeper.group)
            {
                ScopedLock lock_buffer(self->m_RcvBufferLock);
                if (self->m_pRcvBuffer->getFirstValidPacketInfo().seqno != info.seqno)
                    continue;
            }
",
        },
    ],
};
