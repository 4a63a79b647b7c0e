use super::{Change, Edit, Put};

// Whoever accepts without blocking accepts until there is nobody left. Stock libsrt writes a line at level error each time
// that this is found out, so a busy listener floods its log with the normal case.
pub(crate) const EDIT: Edit = Edit {
    name: "quiet-accept",
    changes: &[Change {
        file: "srtcore/api.cpp",
        anchor: "LOGC(cnlog.Error, log << \"srt_accept: no pending connection available at the moment\");",
        put: Put::Replace,
        text: "",
    }],
};
