use super::{Change, Edit, Put};

// A port's receiving thread starts when a socket is bound, and throws away what it reads before that socket listens. A UDP
// socket that is handed over (srt_bind_acquire) may hold a caller's conclusion already. Most callers repeat theirs; gosrt
// sends it once, and such a caller is lost.
//
// With this edit the thread begins to read when the first socket of the port listens or connects: until then the system
// keeps the datagrams.
pub(crate) const EDIT: Edit = Edit {
    name: "listen-first",
    changes: &[
        Change {
            file: "srtcore/queue.h",
            anchor: "sync::Condition                          m_BufferCond;",
            put: Put::AfterLine,
            text: "    bool m_bInUse {false}; // guarded by m_BufferLock

    void beginReading();
    bool waitForUse();
",
        },
        Change {
            file: "srtcore/queue.cpp",
            anchor: "bool srt::CRcvQueue::setListener(CUDT* u)",
            put: Put::BeforeLine,
            text: "void srt::CRcvQueue::beginReading()
{
    ScopedLock lock(m_BufferLock);
    if (m_bInUse)
        return;
    m_bInUse = true;
    m_BufferCond.notify_all();
}

// Whether a socket of the port listens or connects, or has done so. Returns after a while, for the thread to be able to end.
bool srt::CRcvQueue::waitForUse()
{
    UniqueLock lock(m_BufferLock);
    if (!m_bInUse)
    {
        THREAD_PAUSED();
        m_BufferCond.wait_for(lock, milliseconds_from(10));
        THREAD_RESUMED();
    }
    return m_bInUse;
}

",
        },
        Change {
            file: "srtcore/queue.cpp",
            anchor: "return m_pListener.compare_exchange(NULL, u);",
            put: Put::Replace,
            text: "if (!m_pListener.compare_exchange(NULL, u))
        return false;
    beginReading();
    return true;",
        },
        Change {
            file: "srtcore/queue.cpp",
            anchor: "m_pRendezvousQueue->insert(id, u, addr, ttl);",
            put: Put::AfterLine,
            text: "    beginReading();
",
        },
        Change {
            file: "srtcore/queue.cpp",
            anchor: "EConnectStatus cst  = CONN_AGAIN;",
            put: Put::AfterLine,
            text: "    while (!self->m_bClosing && !self->waitForUse())
    {
    }
",
        },
    ],
};
