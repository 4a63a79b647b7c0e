use super::{Change, Edit, Put};

// A waiter in srt_epoll_uwait cannot be called back: there is no waking descriptor, and a socket that another thread puts
// into the epoll is only looked at when the waiter's 10 ms slice ends, even if the socket is ready at that moment.
//
// With this edit the private flag 1 << 30 of srt_epoll_set ends the wait of that epoll (or its next one, if nobody waits
// now) with what is ready, and putting a socket into an epoll makes the waiters look at once. Stock libsrt stores the
// flag and ignores it, so a caller may set it without knowing which library it has.
pub(crate) const EDIT: Edit = Edit {
    name: "epoll-wake",
    changes: &[
        Change {
            file: "srtcore/epoll.cpp",
            anchor: "ed.set_flags(flags);",
            put: Put::Replace,
            text: "ed.set_flags(flags);
        if (flags & (1 << 30))
            CGlobEvent::triggerEvent();",
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
            file: "srtcore/api.cpp",
            anchor: "s->core().addEPoll(eid);",
            put: Put::AfterLine,
            text: "    CGlobEvent::triggerEvent();
",
        },
    ],
};
