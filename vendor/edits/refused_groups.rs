use super::{Change, Edit, Put};

// libsrt creates the group of a bonded caller while it interprets the handshake, and a group takes two descriptors. Stock
// libsrt keeps the group when it refuses the handshake afterwards, or when the caller leaves before it is accepted: the
// application never learns of it, so nobody closes it. At the descriptor limit creating a group fails half-way: that leaks a
// descriptor and leaves NULL in the table of groups, which crashes the process at the next bonded caller.
//
// With this edit a group that was not given to the application is closed with its last socket, and a group that cannot be
// created leaves nothing behind.
pub(crate) const EDIT: Edit = Edit {
    name: "refused-groups",
    changes: &[
        Change {
            file: "srtcore/api.h",
            anchor: "g = new CUDTGroup(type);",
            put: Put::Replace,
            text: "try
            {
                g = new CUDTGroup(type);
            }
            catch (...)
            {
                m_Groups.erase(id);
                throw;
            }",
        },
        Change {
            file: "srtcore/group.cpp",
            anchor: "m_SndEID = m_Global.m_EPoll.create(&m_SndEpolld);",
            put: Put::Replace,
            text: "try
    {
        m_SndEID = m_Global.m_EPoll.create(&m_SndEpolld);
    }
    catch (...)
    {
        m_Global.m_EPoll.release(m_RcvEID);
        throw;
    }",
        },
        Change {
            file: "srtcore/group.h",
            anchor: "bool groupEmpty()",
            put: Put::BeforeLine,
            text: "    /// Created for a caller, and not given to the application yet.
    sync::atomic<bool> m_bUnclaimed {false};

",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "gp = &newGroup(gtp);",
            put: Put::AfterLine,
            text: "            gp->m_bUnclaimed = true;
",
        },
        Change {
            file: "srtcore/api.cpp",
            anchor: "s->m_GroupOf->m_GroupID;",
            put: Put::AfterLine,
            text: "            s->m_GroupOf->m_bUnclaimed       = false;
",
        },
        Change {
            file: "srtcore/api.cpp",
            anchor: "g->activateUpdateEvent(still_have);",
            put: Put::AfterLine,
            text: "            // Whoever passes `broken` holds m_GlobControlLock.
            if (g->m_bUnclaimed && g->groupEmpty())
                CUDT::uglobal().deleteGroup_LOCKED(g);
",
        },
    ],
};
