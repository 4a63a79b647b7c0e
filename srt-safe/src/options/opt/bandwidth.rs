//! Options of the sending rate. A table; see the parent module.

use crate::options::{raw::Kind, values};

options! {
    /// The limit of the sending rate, including retransmissions. Too low, it drops packets at the sender; without a
    /// limit, retransmissions after an outage can flood a narrow link. A limit relative to the input is the safe choice
    /// for live streams.
    MaxBandwidth: values::MaxBandwidth {
        SRTO_MAXBW "maxbw", Kind::Wide { min: -1, max: i64::MAX },
        "a number of bytes per second, -1 for no limit, 0 for relative to the input",
        default "-1", live max_bandwidth
    }

    /// The rate of the stream, for [`MaxBandwidth`](crate::opt::MaxBandwidth) relative to the input. Measuring follows
    /// a variable rate with some delay; a number is steady, but wrong if the stream is faster.
    InputBandwidth: values::InputBandwidth {
        SRTO_INPUTBW "inputbw", Kind::Wide { min: 0, max: i64::MAX },
        "a number of bytes per second, 0 to measure it", default "0", live input_bandwidth
    }

    /// The lowest rate to assume while the rate is measured. It keeps the limit from falling in quiet parts of a
    /// variable stream, which would hold back the next busy part; too high, it makes the limit useless.
    MinInputBandwidth: u64 {
        SRTO_MININPUTBW "mininputbw", Kind::Wide { min: 0, max: i64::MAX },
        "a number of bytes per second, 0 for none", default "0", live min_input_bandwidth
    }

    /// What may be sent above the input's rate, in percent: the room for retransmissions with
    /// [`MaxBandwidth`](crate::opt::MaxBandwidth) relative to the input. A low value repairs losses slowly; a high one
    /// takes bandwidth from others meanwhile.
    OverheadBandwidth: u8 {
        SRTO_OHEADBW "oheadbw", Kind::Int { min: 5, max: 100, special: None }, "5 to 100 (percent)",
        default "25", live overhead_bandwidth
    }

    /// The limit of retransmissions alone. A low limit protects a narrow link (and other streams on it) and loses more
    /// packets; without a limit, everything is repaired as far as possible. Requires a libsrt built with it (the pinned
    /// one is).
    MaxRetransmitBandwidth: values::RetransmitBandwidth {
        SRTO_MAXREXMITBW "maxrexmitbw", Kind::Wide { min: -1, max: i64::MAX },
        "a number of bytes per second, -1 for no limit, 0 for no retransmission", default "-1", live max_retransmit_bandwidth
    }

    /// The congestion control; follows from the transmission type, and must be the same on both sides.
    Congestion: values::Congestion {
        SRTO_CONGESTION "congestion", Kind::Words(values::Congestion::NAMES), "\"live\" or \"file\"",
        default "live", connect congestion
    }
}
