use super::{Change, Edit, Put};

// A sender that has given up a message says so (DROPREQ). Without SRTO_TLPKTDROP or SRTO_TSBPDMODE, stock libsrt marks the
// place of that message in the receive buffer, as it does with packets that it cannot decrypt. A reader who gets there moves
// on to the packets behind, but these do not count as readable until another packet arrives: at the end of a stream they are
// never delivered.
//
// With this edit they are readable at once.
pub(crate) const EDIT: Edit = Edit {
    name: "dropped-entries",
    changes: &[
        Change {
            file: "srtcore/buffer_rcv.cpp",
            anchor: "//updateNonreadPos();\n    }\n",
            put: Put::Replace,
            text: "}
    if (m_iFirstNonreadPos == m_iStartPos)
        updateNonreadPos();
",
        },
        Change {
            file: "srtcore/buffer_rcv.cpp",
            anchor: "updateFirstReadableOutOfOrder();\n    return std::make_pair(iNumDropped, iNumDiscarded);",
            put: Put::Replace,
            text: "updateFirstReadableOutOfOrder();
    if (m_iFirstNonreadPos == m_iStartPos)
        updateNonreadPos();
    return std::make_pair(iNumDropped, iNumDiscarded);",
        },
    ],
};
