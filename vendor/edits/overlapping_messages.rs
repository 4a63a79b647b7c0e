use super::{Change, Edit, Put};

// Without SRTO_TSBPDMODE, which the peer alone can switch off, a message that is complete may be read before what is missing
// in front of it; the receive buffer remembers the first such message. Stock libsrt forgets it when it is read as that, and
// when it is dropped, if its first packet is marked so. A peer that begins a message and does not end it has another one read
// as its end, and one that marks the packets of a message differently has its first packet dropped: the buffer then remembers
// a place where nothing is. The next acknowledgement reads there, and the process crashes.
//
// With this edit the message is forgotten whenever its first packet leaves the buffer.
pub(crate) const EDIT: Edit = Edit {
    name: "overlapping-messages",
    changes: &[
        Change {
            file: "srtcore/buffer_rcv.cpp",
            anchor: "++pkts_read;",
            put: Put::BeforeLine,
            text: "        if (i == m_iFirstReadableOutOfOrder)
            m_iFirstReadableOutOfOrder = -1;
",
        },
        Change {
            file: "srtcore/buffer_rcv.cpp",
            anchor: "if (m_tsbpd.isEnabled())\n    {\n        updateTsbPdTimeBase(packetAt(pos).getMsgTimeStamp());",
            put: Put::BeforeLine,
            text: "    if (pos == m_iFirstReadableOutOfOrder)
        m_iFirstReadableOutOfOrder = -1;
",
        },
    ],
};
