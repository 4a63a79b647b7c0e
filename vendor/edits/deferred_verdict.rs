use super::{Change, Edit, Put};

// Stock libsrt wants the verdict on a caller before the listen callback returns, on the thread that receives for the
// whole port. A verdict that has to be fetched (an HTTP hook, a database) then stalls every other connection of the port.
//
// With this edit a callback that refuses with the private code 1999 leaves the handshake unanswered. The caller cannot
// tell that from a lost packet: it repeats its handshake (each 250 ms) until its own connect timeout, and the repeated
// handshake runs the callback again, which by then knows the verdict. Code 1999 never goes over the wire.
pub(crate) const EDIT: Edit = Edit {
    name: "deferred-verdict",
    changes: &[Change {
        file: "srtcore/core.cpp",
        anchor: "int result = uglobal().newConnection(",
        put: Put::AfterLine,
        text: "
        if (result == -1 && error == 1999)
            return SRT_REJ_UNKNOWN; // for the caller of this function: nothing to report
",
    }],
};
