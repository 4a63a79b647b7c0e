use super::{Change, Edit, Put};

// All srt_epoll waits of a process share one event. Stock libsrt wakes one waiter of it, whichever, and the others find
// out when their 10 ms slice ends (measured: 5 ms median with 8 waiting threads). Even a single waiter loses up to 10 ms
// when the event fires between its look at the ready list and its wait. A waiter in srt_epoll_uwait cannot be called back
// either: there is no waking descriptor, and a socket that another thread puts into the epoll is only looked at when the
// waiter's slice ends, even if the socket is ready at that moment.
//
// With this edit each epoll has a bell that srt_epoll_uwait sleeps on. It is rung, and counts, when something is put on that
// epoll's ready list, when a socket is put into the epoll, and by the private flag 1 << 30 of srt_epoll_set, which ends the
// wait of that epoll (or its next one, if nobody waits now) with what is ready. Stock libsrt stores the flag and ignores
// it, so a caller may set it without knowing which library it has. Nobody is woken for the events of others: each
// acknowledgement of each connection fires the shared event. `srt_edit_epoll_uwait` takes its timeout in microseconds.
//
// The shared event, which srt_epoll_wait and the groups keep to, counts as well, and wakes all who wait.
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
        Change {
            file: "srtcore/epoll.h",
            anchor: "class CEPollDesc\n{",
            put: Put::BeforeLine,
            text: "/// Ends the sleep of whoever waits on this epoll, so that it looks at the ready list.
void ringEpoll(int eid);

",
        },
        Change {
            file: "srtcore/epoll.cpp",
            anchor: "#include \"utilities.h\"",
            put: Put::AfterLine,
            text: BELLS,
        },
        Change {
            file: "srtcore/epoll.cpp",
            anchor: "ed.set_flags(flags);",
            put: Put::Replace,
            text: "ed.set_flags(flags);
        if (flags & (1 << 30))
        {
            ringEpoll(eid);
            CGlobEvent::triggerEvent();
        }",
        },
        Change {
            file: "srtcore/epoll.cpp",
            anchor: "steady_clock::time_point entertime = steady_clock::now();\n\n    while (true)\n    {",
            put: Put::Replace,
            text: "steady_clock::time_point entertime = steady_clock::now();
    const int64_t usTimeOut = t_us_timeout >= 0 ? t_us_timeout : msTimeOut < 0 ? -1 : msTimeOut * 1000;
    Bell& bell = bellOf(eid);

    while (true)
    {
        const uint64_t rung = bell.rung();",
        },
        Change {
            file: "srtcore/epoll.cpp",
            anchor: "if (pos) //",
            put: Put::Replace,
            text: "if (ed.flags(1 << 30))
            {
                ed.clr_flags(1 << 30);
                return pos;
            }
            if (pos) //",
        },
        Change {
            file: "srtcore/epoll.cpp",
            anchor: "CGlobEvent::waitForEvent();\n    }\n\n    return 0;\n}\n\nint srt::CEPoll::wait(",
            put: Put::Replace,
            text: "if (!bell.wait(rung, usTimeOut, usTimeOut - count_microseconds(steady_clock::now() - entertime)))
            break;
    }

    return 0;
}

int srt::CEPoll::wait(",
        },
        Change {
            file: "srtcore/epoll.cpp",
            anchor: "ScopedLock pg (m_EPollLock);\n    for (set<int>::iterator i = eids.begin()",
            put: Put::Replace,
            text: "Ringer ringer;
    ScopedLock pg (m_EPollLock);
    for (set<int>::iterator i = eids.begin()",
        },
        Change {
            file: "srtcore/epoll.cpp",
            anchor: "++nupdated;",
            put: Put::AfterLine,
            text: "        if (enable)
            ringer.add(*i);
",
        },
        Change {
            file: "srtcore/api.cpp",
            anchor: "s->core().addEPoll(eid);",
            put: Put::AfterLine,
            text: "    ringEpoll(eid);
    CGlobEvent::triggerEvent();
",
        },
    ],
};

const BELLS: &str = r#"
#include <chrono>
#include <condition_variable>
#include <mutex>

namespace
{

// What the waiters of an epoll sleep on: a count of how often they were called.
class Bell
{
public:
    Bell() : m_count(0) {}

    uint64_t rung()
    {
        std::lock_guard<std::mutex> lock(m_mutex);
        return m_count;
    }

    void ring()
    {
        {
            std::lock_guard<std::mutex> lock(m_mutex);
            ++m_count;
        }
        m_rung.notify_all();
    }

    // Waits until the count is another than `seen`. False when the time is over; a negative timeout is endless.
    bool wait(uint64_t seen, int64_t timeout_us, int64_t left_us)
    {
        std::unique_lock<std::mutex> lock(m_mutex);
        if (timeout_us < 0)
        {
            while (m_count == seen)
                m_rung.wait(lock);
            return true;
        }
        const std::chrono::steady_clock::time_point end =
            std::chrono::steady_clock::now() + std::chrono::microseconds(left_us);
        while (m_count == seen)
            if (m_rung.wait_until(lock, end) == std::cv_status::timeout)
                return m_count != seen;
        return true;
    }

private:
    std::mutex              m_mutex;
    std::condition_variable m_rung;
    uint64_t                m_count;
};

// Epolls share bells by their numbers: one waiter more is woken then. They are never destroyed, since threads may sleep on
// them while the process ends.
const unsigned BELL_COUNT = 64;
Bell* const s_bells = new Bell[BELL_COUNT];

Bell& bellOf(int eid)
{
    return s_bells[unsigned(eid) % BELL_COUNT];
}

// Rings when it goes: to be made before the lock of the epolls is taken, so that who is woken need not wait for that.
class Ringer
{
public:
    Ringer() : m_count(0) {}

    ~Ringer()
    {
        for (int i = 0; i < m_count; ++i)
            bellOf(m_eids[i]).ring();
    }

    void add(int eid)
    {
        if (m_count == ROOM)
            bellOf(eid).ring();
        else
            m_eids[m_count++] = eid;
    }

private:
    static const int ROOM = 4;
    int m_count;
    int m_eids[ROOM];
};

// Of the wait that this thread is in; negative: that of the call.
thread_local int64_t t_us_timeout = -1;

} // namespace

void srt::ringEpoll(int eid)
{
    bellOf(eid).ring();
}

extern "C" int srt_edit_epoll_uwait(int eid, SRT_EPOLL_EVENT* events, int size, int64_t us_timeout)
{
    t_us_timeout  = us_timeout;
    const int ret = srt_epoll_uwait(eid, events, size, us_timeout < 0 ? -1 : us_timeout / 1000 + 1);
    t_us_timeout  = -1;
    return ret;
}

"#;
