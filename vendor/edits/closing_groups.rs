use super::{Change, Edit, Put};

// A group gives up its lock in the middle of many calls, to wait or to take the global lock, and goes on afterwards with the
// members that it knew before. Whatever another thread has closed meanwhile it reads after it was freed. With this edit:
//
// - A closing group cuts the ties of all its members. Stock libsrt looks each of them up by its number, which does not find
//   one that has just broken: that one keeps a pointer to the group's list, and reads it when its peer says goodbye.
// - Sending and receiving forget the members that have left while the lock was given up.
// - A link that another thread closes while srt_connect_group is at it is left to the garbage collector. Stock libsrt deletes
//   it at once, while it is on the list of closed sockets.
// - A blocking receive on an accepted group ends when the group is closed. It also waits for the listener, for further links,
//   and so never finds out that there is nothing left to wait for.
pub(crate) const EDIT: Edit = Edit {
    name: "closing-groups",
    changes: &[
        // Closing.
        Change {
            file: "srtcore/group.cpp",
            anchor: "CUDTSocket* s = CUDT::uglobal().locateSocket_LOCKED(ig->id);",
            put: Put::Replace,
            text: "CUDTSocket* s = ig->ps;",
        },
        Change {
            file: "srtcore/group.cpp",
            anchor: "// Lock the group again to clear the group data",
            put: Put::BeforeLine,
            text: "    // What is left to wait for is the listener. Who waits finds nothing to wait for, and then that the group is closing.
    m_Global.m_EPoll.clear_usocks(m_RcvEID);
    CGlobEvent::triggerEvent();

",
        },
        // Receiving.
        Change {
            file: "srtcore/group.cpp",
            anchor: "nready  = m_Global.m_EPoll.swait(*m_RcvEpolld, sready, timeout, false /*report by retval*/);",
            put: Put::Replace,
            text: "try
        {
            nready = m_Global.m_EPoll.swait(*m_RcvEpolld, sready, timeout, false /*report by retval*/);
        }
        catch (const CUDTException&)
        {
            if (!m_bClosing)
                throw;
            nready = -1;
        }",
        },
        Change {
            file: "srtcore/group.cpp",
            anchor: "CUDTSocket* sock = *sockiter;",
            put: Put::AfterLine,
            text: "        if (!hasMember(sock))
            continue;
",
        },
        Change {
            file: "srtcore/group.cpp",
            anchor: "readySockets = recv_WaitForReadReady(aliveMembers, broken);",
            put: Put::Replace,
            text: "{
            readySockets = recv_WaitForReadReady(aliveMembers, broken);
            vector<CUDTSocket*> left;
            for (vector<CUDTSocket*>::iterator member = aliveMembers.begin(); member != aliveMembers.end(); ++member)
                if (hasMember(*member))
                    left.push_back(*member);
            aliveMembers.swap(left);
        }",
        },
        // Sending.
        Change {
            file: "srtcore/group.cpp",
            anchor: "is->mb->ps->setBrokenClosed();",
            put: Put::Replace,
            text: "for (gli_t d = m_Group.begin(); d != m_Group.end(); ++d)
                if (d->id == is->id)
                    d->ps->setBrokenClosed();",
        },
        Change {
            file: "srtcore/group.cpp",
            anchor: "HLOGC(gslog.Debug, log << \"grp/send*: RDY: \" << DisplayEpollResults(sready));",
            put: Put::BeforeLine,
            text: "    sendBackup_ForgetLeft((w_sendBackupCtx));

",
        },
        Change {
            file: "srtcore/group.cpp",
            anchor: "// The most important principle is to keep the data being sent constantly,",
            put: Put::BeforeLine,
            text: "    sendBackup_ForgetLeft((w_sendBackupCtx));

",
        },
        Change {
            file: "srtcore/group.cpp",
            anchor: "void CUDTGroup::sendBackup_CheckPendingSockets(SendBackupCtx& w_sendBackupCtx",
            put: Put::BeforeLine,
            text: "void CUDTGroup::sendBackup_ForgetLeft(SendBackupCtx& w_sendBackupCtx)
{
    set<SRTSOCKET> left;
    w_sendBackupCtx.getSocketIds((left));
    for (gli_t d = m_Group.begin(); d != m_Group.end(); ++d)
        left.erase(d->id);
    for (set<SRTSOCKET>::iterator i = left.begin(); i != left.end(); ++i)
        w_sendBackupCtx.deleteById(*i);
}

// [[using locked(this->m_GroupLock)]]
",
        },
        Change {
            file: "srtcore/group.cpp",
            anchor: "void CUDTGroup::close()\n{",
            put: Put::BeforeLine,
            text: "// The address of a socket that may be gone. [[using locked(this->m_GroupLock)]]
bool CUDTGroup::hasMember(const CUDTSocket* s)
{
    for (gli_t d = m_Group.begin(); d != m_Group.end(); ++d)
        if (d->ps == s)
            return true;
    return false;
}

",
        },
        Change {
            file: "srtcore/group.h",
            anchor: "void sendBackup_CheckPendingSockets(SendBackupCtx& w_sendBackupCtx",
            put: Put::BeforeLine,
            text: "    void sendBackup_ForgetLeft(SendBackupCtx& w_sendBackupCtx);
    bool hasMember(const CUDTSocket* s);

",
        },
        // Connecting.
        Change {
            file: "srtcore/api.cpp",
            anchor: "srt::groups::SocketData data = srt::groups::prepareSocketData(ns);",
            put: Put::BeforeLine,
            text: "        // From here on other threads can close it with its group.
        InUse in_use(ns);

",
        },
        Change {
            file: "srtcore/api.cpp",
            anchor: "delete ns;\n                m_Sockets.erase(sid);",
            put: Put::Replace,
            text: "m_Sockets.erase(sid);
                in_use.end();
                delete ns;",
        },
        Change {
            file: "srtcore/api.cpp",
            anchor: "delete ns;\n            continue;",
            put: Put::Replace,
            text: "in_use.end();
            if (m_ClosedSockets.count(sid) == 0)
                delete ns;
            continue;",
        },
        Change {
            file: "srtcore/api.cpp",
            anchor: "delete ns;\n\n            // Do not use original exception",
            put: Put::Replace,
            text: "in_use.end();
            if (m_ClosedSockets.count(sid) == 0)
                delete ns;

            // Do not use original exception",
        },
        Change {
            file: "srtcore/api.cpp",
            anchor: "spawned[sid] = ns;",
            put: Put::AfterLine,
            text: "                if (block_new_opened)
                    waited_for.push_back(new InUse(ns));
",
        },
        Change {
            file: "srtcore/api.cpp",
            anchor: "map<SRTSOCKET, CUDTSocket*> spawned;",
            put: Put::AfterLine,
            text: "    InUseList waited_for;
",
        },
        Change {
            file: "srtcore/api.cpp",
            anchor: "int srt::CUDTUnited::groupConnect(",
            put: Put::BeforeLine,
            text: IN_USE,
        },
    ],
};

const IN_USE: &str = r#"namespace
{

// Keeps the garbage collector from deleting a socket.
class InUse
{
public:
    explicit InUse(srt::CUDTSocket* s) : m_socket(s) { m_socket->apiAcquire(); }
    ~InUse() { end(); }

    void end()
    {
        if (m_socket)
            m_socket->apiRelease();
        m_socket = NULL;
    }

private:
    srt::CUDTSocket* m_socket;

    InUse(const InUse&);
    InUse& operator=(const InUse&);
};

class InUseList
{
public:
    InUseList() {}

    ~InUseList()
    {
        for (size_t i = 0; i < m_sockets.size(); ++i)
            delete m_sockets[i];
    }

    void push_back(InUse* in_use) { m_sockets.push_back(in_use); }

private:
    std::vector<InUse*> m_sockets;

    InUseList(const InUseList&);
    InUseList& operator=(const InUseList&);
};

} // namespace

"#;
