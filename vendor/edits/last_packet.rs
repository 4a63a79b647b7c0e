use super::{Change, Edit, Put};

// A thread that waits in a blocking receive when the peer closes the connection takes the next packet out of the buffer, and
// then finds that the connection is gone, and reports that: the packet is lost although it had arrived.
//
// With this edit a packet that was taken out is returned; the call after it reports the end.
pub(crate) const EDIT: Edit = Edit {
    name: "last-packet",
    changes: &[Change {
        file: "srtcore/core.cpp",
        anchor: "HLOGC(arlog.Debug, log << CONID() << \"AFTER readMsg: (BLOCKING) result=\" << res);",
        put: Put::AfterLine,
        text: "        if (res > 0)
            break;
",
    }],
};
