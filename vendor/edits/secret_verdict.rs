use super::{Change, Edit, Put};

// A listen callback may refuse a caller with the codes of access control only. One that has seen for itself that the
// caller's passphrase is wrong (edit `handshake-view`) cannot tell the caller so as libsrt does: it would have to let libsrt
// derive the key once more, on the thread that receives for the whole port, only to have the handshake refused. A flood of
// wrong keys stalls the port that way.
//
// With this edit a callback that refuses with the private code 1998 refuses the caller with SRT_REJ_BADSECRET.
pub(crate) const EDIT: Edit = Edit {
    name: "secret-verdict",
    changes: &[Change {
        file: "srtcore/core.cpp",
        anchor: "int result = uglobal().newConnection(",
        put: Put::AfterLine,
        text: "
        if (result == -1 && error == 1998)
            error = SRT_REJ_BADSECRET;
",
    }],
};
