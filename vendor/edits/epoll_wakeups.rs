use super::{Change, Edit, Put};

// All srt_epoll waits of a process share one event. Stock libsrt wakes one waiter of it, whichever, and the others find
// out when their 10 ms slice ends (measured: 5 ms median with 8 waiting threads). Even a single waiter loses up to 10 ms
// when the event fires between its look at the ready list and its wait.
//
// With this edit the event counts. A waiter remembers the count that it saw when its last wait ended, so an event that
// came since then ends its next wait at once, and an event wakes all who wait.
pub(crate) const EDIT: Edit = Edit {
    name: "epoll-wakeups",
    changes: &[
        Change {
            file: "srtcore/sync.cpp",
            anchor: "return g_Sync.notify_one();",
            put: Put::Replace,
            text: "{
        ScopedLock lk(g_Sync.mutex());
        ++s_event_count;
    }
    g_Sync.notify_all();",
        },
        Change {
            file: "srtcore/sync.cpp",
            anchor: "return g_Sync.lock_wait_for(milliseconds_from(10));",
            put: Put::Replace,
            text: "static thread_local uint64_t s_seen = 0;
    const steady_clock::time_point limit = steady_clock::now() + milliseconds_from(10);
    UniqueLock lk(g_Sync.mutex());
    while (s_seen == s_event_count)
    {
        const steady_clock::time_point now = steady_clock::now();
        if (now >= limit)
            return false;
        g_Sync.wait_for((lk), limit - now);
    }
    s_seen = s_event_count;
    return true;",
        },
        Change {
            file: "srtcore/sync.cpp",
            anchor: "srt::sync::CEvent g_Sync;",
            put: Put::AfterLine,
            text: "static uint64_t s_event_count = 1; // guarded by g_Sync's mutex
",
        },
    ],
};
