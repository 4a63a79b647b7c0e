//! Options of how fast is sent. A table; see the parent module.

use crate::options::{raw::Kind, values};

options! {
    /// The limit of what is sent, retransmissions included. Too low drops packets at the sender; unlimited lets
    /// retransmissions after an outage flood a narrow line. Relative to the input is the safe limit for live streams.
    MaxBandwidth: values::MaxBandwidth {
        SRTO_MAXBW "maxbw", Kind::Wide { min: -1, max: i64::MAX },
        "a number of bytes per second, -1 for no limit, 0 for relative to the input",
        default "-1", live max_bandwidth
    }

    /// The rate of the stream, for [`MaxBandwidth`](crate::opt::MaxBandwidth) relative to the input. Measured follows
    /// a variable rate, a little late; a number is steady, and wrong if the stream is faster.
    InputBandwidth: values::InputBandwidth {
        SRTO_INPUTBW "inputbw", Kind::Wide { min: 0, max: i64::MAX },
        "a number of bytes per second, 0 to measure it", default "0", live input_bandwidth
    }

    /// The least rate to count with while the rate is measured. Keeps the limit from falling in quiet parts of a variable
    /// stream, and with it the next busy part from being held back; too high makes the limit useless.
    MinInputBandwidth: u64 {
        SRTO_MININPUTBW "mininputbw", Kind::Wide { min: 0, max: i64::MAX },
        "a number of bytes per second, 0 for none", default "0", live min_input_bandwidth
    }

    /// What may be sent in addition to the input's rate, in percent: the room for retransmissions with
    /// [`MaxBandwidth`](crate::opt::MaxBandwidth) relative to the input. Low repairs slowly after losses; high takes
    /// bandwidth from others meanwhile.
    OverheadBandwidth: u8 {
        SRTO_OHEADBW "oheadbw", Kind::Int { min: 5, max: 100, special: None }, "5 to 100 (percent)",
        default "25", live overhead_bandwidth
    }

    /// The limit of retransmissions alone. Low protects a narrow line (and other streams on it) and loses more packets;
    /// unlimited repairs what can be repaired. libsrt must be built with it (the pinned one is).
    MaxRetransmitBandwidth: values::RetransmitBandwidth {
        SRTO_MAXREXMITBW "maxrexmitbw", Kind::Wide { min: -1, max: i64::MAX },
        "a number of bytes per second, -1 for no limit, 0 for no retransmission", default "-1", live max_retransmit_bandwidth
    }

    /// How the rate of sending is controlled; comes with the type of transmission, and both sides must have the same.
    Congestion: values::Congestion {
        SRTO_CONGESTION "congestion", Kind::Words(values::Congestion::NAMES), "\"live\" or \"file\"",
        default "live", connect congestion
    }
}
