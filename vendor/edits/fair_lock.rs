use super::{Change, Edit, Put};

// One lock guards libsrt's tables of sockets: each call takes it to look its socket up. The thread that frees closed sockets
// takes it alone, looks at all of them, and frees those that are a second old; and so again after each close. With the 4,000
// sockets of as many callers that were refused within a second, it has the lock for a tenth of a second at a time, and
// nothing is sent or received meanwhile. Nor is the lock fair: a writer that lets go and comes back at once has it before a
// reader that waits has woken up.
//
// With this edit that thread lets go after each 16 closed or 64 open sockets, and readers that wait when a writer lets go have the lock
// before the next writer.
pub(crate) const EDIT: Edit = Edit {
    name: "fair-lock",
    changes: &[
        Change {
            file: "srtcore/api.cpp",
            anchor: "for (sockets_t::iterator i = m_Sockets.begin(); i != m_Sockets.end(); ++i)\n    {\n        CUDTSocket* s = i->second;\n        if (!s->core().m_bBroken)",
            put: Put::BeforeLine,
            text: "    int turn = 0;

",
        },
        Change {
            file: "srtcore/api.cpp",
            anchor: "CUDTSocket* s = i->second;\n        if (!s->core().m_bBroken)",
            put: Put::BeforeLine,
            text: "        if (++turn % 64 == 0)
        {
            // Nobody is to see a socket in both tables.
            for (vector<SRTSOCKET>::iterator k = tbc.begin(); k != tbc.end(); ++k)
                m_Sockets.erase(*k);
            tbc.clear();
            const SRTSOCKET at = i->first;
            leaveCS(m_GlobControlLock);
            enterCS(m_GlobControlLock);
            i = m_Sockets.lower_bound(at);
            if (i == m_Sockets.end())
                break;
        }
",
        },
        Change {
            file: "srtcore/api.cpp",
            anchor: "for (sockets_t::iterator j = m_ClosedSockets.begin(); j != m_ClosedSockets.end(); ++j)\n    {\n        CUDTSocket* ps",
            put: Put::BeforeLine,
            text: "    for (vector<SRTSOCKET>::iterator k = tbc.begin(); k != tbc.end(); ++k)
        m_Sockets.erase(*k);
    tbc.clear();

",
        },
        Change {
            file: "srtcore/api.cpp",
            anchor: "CUDTSocket* ps = j->second;",
            put: Put::BeforeLine,
            text: "        if (++turn % 16 == 0)
        {
            const SRTSOCKET at = j->first;
            leaveCS(m_GlobControlLock);
            enterCS(m_GlobControlLock);
            j = m_ClosedSockets.lower_bound(at);
            if (j == m_ClosedSockets.end())
                break;
        }
",
        },
        Change {
            file: "srtcore/sync.h",
            anchor: "bool m_bWriterLocked;",
            put: Put::AfterLine,
            text: "    int  m_iReadersWaiting {0};
    int  m_iReadersDue {0}; // of those that waited when the last writer let go
",
        },
        Change {
            file: "srtcore/sync.cpp",
            anchor: "UniqueLock l1(m_Mutex);\n    while (m_bWriterLocked)",
            put: Put::Replace,
            text: "UniqueLock l1(m_Mutex);
    while (m_bWriterLocked || m_iReadersDue > 0)",
        },
        Change {
            file: "srtcore/sync.cpp",
            anchor: "if (m_bWriterLocked || m_iCountRead > 0)",
            put: Put::Replace,
            text: "if (m_bWriterLocked || m_iCountRead > 0 || m_iReadersDue > 0)",
        },
        Change {
            file: "srtcore/sync.cpp",
            anchor: "m_bWriterLocked = false;",
            put: Put::AfterLine,
            text: "    m_iReadersDue = m_iReadersWaiting;
",
        },
        Change {
            file: "srtcore/sync.cpp",
            anchor: "UniqueLock lk(m_Mutex);\n    while (m_bWriterLocked)",
            put: Put::Replace,
            text: "UniqueLock lk(m_Mutex);
    const bool waits = m_bWriterLocked;
    m_iReadersWaiting += waits;
    while (m_bWriterLocked)",
        },
        Change {
            file: "srtcore/sync.cpp",
            anchor: "m_LockWriteCond.wait(lk);",
            put: Put::AfterLine,
            text: "    m_iReadersWaiting -= waits;
    if (waits && m_iReadersDue > 0 && --m_iReadersDue == 0)
        m_LockWriteCond.notify_all();
",
        },
    ],
};
