use super::{Change, Edit, Put};

// Stock libsrt cleans up in the destructor of a static, when the process exits: it waits until every socket is closed and
// then a second more, and forever if a thread is blocked in accept, in a listen callback, or exits from inside of one. It
// then destroys what those threads are still using.
//
// With this edit the one object that owns everything is never destroyed, nor is the event on which all epoll waits sleep
// (destroying a condition waits for its waiters, and they come back each 10 ms), nor the table of options, which a port's thread
// reads when it makes a socket for a caller. The process ends when it wants to, and the
// system takes its memory and its sockets. Whoever wants peers to be told closes sockets before.
pub(crate) const EDIT: Edit = Edit {
    name: "exit-at-once",
    changes: &[
        Change {
            file: "srtcore/core.cpp",
            anchor: "static CUDTUnited instance;
    return instance;",
            put: Put::Replace,
            text: "static CUDTUnited& instance = *new CUDTUnited;
    return instance;",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "const SrtOptionAction s_sockopt_action;",
            put: Put::Replace,
            text: "const SrtOptionAction& s_sockopt_action = *new SrtOptionAction;",
        },
        Change {
            file: "srtcore/sync.cpp",
            anchor: "srt::sync::CEvent g_Sync;",
            put: Put::Replace,
            text: "static srt::sync::CEvent& g_Sync = *new srt::sync::CEvent;",
        },
    ],
};
