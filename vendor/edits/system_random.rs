use super::{Change, Edit, Put};

// libsrt numbers sockets by counting down from a first random one, and takes that and the first sequence numbers from a
// Mersenne Twister with a seed of 32 bits. Whoever has one connection knows the numbers of all others, and needs no more to
// forge their packets: a SHUTDOWN ends a publisher.
//
// With this edit each number is a random one of the system's. Numbers of sockets that are open, or closed but not yet
// collected, are never given out again.
//
// The first sequence number that a listener sends with remains the caller's: callers check it ("security check" in
// startConnect, since UDT) and end the connection if it is another one.
pub(crate) const EDIT: Edit = Edit {
    name: "system-random",
    changes: &[
        Change {
            file: "srtcore/sync.cpp",
            anchor: "static std::mt19937& randomGen()",
            put: Put::Replace,
            text: "static std::random_device& randomGen()",
        },
        Change {
            file: "srtcore/sync.cpp",
            anchor: "static std::mt19937 s_GenMT19937(s_RandomDevice());",
            put: Put::Replace,
            text: "",
        },
        Change {
            file: "srtcore/sync.cpp",
            anchor: "return s_GenMT19937;",
            put: Put::Replace,
            text: "return s_RandomDevice;",
        },
        Change {
            file: "srtcore/api.cpp",
            anchor: "ScopedLock guard(m_IDLock);",
            put: Put::BeforeLine,
            text: "    // Whoever makes a group holds m_GlobControlLock already.
    for (int tries = 0; tries < 100; ++tries)
    {
        const SRTSOCKET id = genRandomInt(1, MAX_SOCKET_VAL);
        if (for_group)
        {
#if ENABLE_BONDING
            if (m_Groups.count(id | SRTGROUP_MASK) || m_ClosedGroups.count(id | SRTGROUP_MASK))
                continue;
#endif
            return id | SRTGROUP_MASK;
        }
        SharedLock control(m_GlobControlLock);
        if (!m_Sockets.count(id) && !m_ClosedSockets.count(id))
            return id;
    }
    // Never seen: it takes a table that is nearly full.
",
        },
    ],
};
