use super::{Change, Edit, Put};

// A message with a time to live that runs out while one of its packets waits to be sent again makes stock libsrt's sending
// thread ask the receiver to drop it, look at the same packet again, and ask again, for ever: the port sends nothing
// more.
//
// With this edit the thread goes on to the next packet after it has asked once.
pub(crate) const EDIT: Edit = Edit {
    name: "expired-resend",
    changes: &[Change {
        file: "srtcore/core.cpp",
        anchor: "m_pSndLossList->removeUpTo(buffer_drop.seqno[DropRange::END]);",
        put: Put::AfterLine,
        text:
            "            m_iSndCurrSeqNo = CSeqNo::maxseq(m_iSndCurrSeqNo, buffer_drop.seqno[DropRange::END]);
            return 0;
",
    }],
};
