use super::{Change, Edit, Put};

// Stock libsrt closes and forgets a broken connection by itself, at the next pass of its garbage collector (each second),
// though the application still holds the socket. Whoever comes to read a little later gets "invalid socket" where a stream
// would have ended in good order, and cannot tell that from a loss.
//
// With this edit a broken connection stays until the application closes it, as a failed attempt to connect does already.
// Those that nobody holds go as before: callers that were not accepted yet, and members of groups.
pub(crate) const EDIT: Edit = Edit {
    name: "keep-broken",
    changes: &[Change {
        file: "srtcore/api.cpp",
        anchor: "// For decent closing, just keep it as long as it still",
        put: Put::BeforeLine,
        text: "            bool held = !forced_closing && (s->m_Status == SRTS_CONNECTED || s->m_Status == SRTS_BROKEN);
#if ENABLE_BONDING
            held = held && !s->m_GroupOf;
#endif
            if (held)
            {
                sockets_t::iterator listener = m_Sockets.find(s->m_ListenSocket);
                if (listener != m_Sockets.end())
                {
                    ScopedLock queue(listener->second->m_AcceptLock);
                    held = listener->second->m_QueuedSockets.count(s->m_SocketID) == 0;
                }
            }
            if (held)
                continue;

",
    }],
};
