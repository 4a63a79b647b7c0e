use super::{Change, Edit, Put};

// Three races of groups.
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
            file: "srtcore/core.cpp",
            anchor: "g->setGroupConnected();",
            put: Put::BeforeLine,
            text: "            s->m_Status = SRTS_CONNECTED;
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
