use super::{Change, Edit, Put};

// When several conditions of a socket change at once, as they do when its connection breaks, stock libsrt puts all of them
// into a waiter's notice if the waiter asked for one of them. Those that it did not ask for are not edge-triggered either,
// whatever it asked for, so an edge-triggered waiter that wants to read gets "writable" again and again, without a pause,
// until it removes the socket.
//
// With this edit a notice holds what was asked for and has changed.
pub(crate) const EDIT: Edit = Edit {
    name: "epoll-asked",
    changes: &[Change {
        file: "srtcore/epoll.cpp",
        anchor: "ed.updateEventNotice(*pwait, uid, events, enable);",
        put: Put::Replace,
        text: "ed.updateEventNotice(*pwait, uid, changes, enable);",
    }],
};
