//! Options of latency, loss, timeouts and waiting. A table; see the parent module.

use std::time::Duration;

use crate::options::{
    raw::{INT_MAX, Kind},
    values,
};

options! {
    /// Whether packets are handed over at the pace in which they were sent (timestamp-based packet delivery), one latency
    /// later. Off hands them over on arrival: less delay, all jitter passed on, and nothing is dropped as late. Off only
    /// where what follows has a jitter buffer of its own. AES-GCM needs it on.
    Tsbpd: bool {
        SRTO_TSBPDMODE "tsbpdmode", Kind::Flag, "true or false", default "true (live), false (file)", connect tsbpd
    }

    /// The latency of both directions: sets [`ReceiveLatency`](crate::opt::ReceiveLatency) and
    /// [`PeerLatency`](crate::opt::PeerLatency) at once; reads as the former. The larger of both sides' wishes counts. More
    /// gives lost packets more chances to be sent again; it is delay and memory. 4 x RTT is a usual start; 2.5 x RTT on
    /// good lines, more with loss above some percent.
    Latency: Duration {
        SRTO_LATENCY "latency", Kind::Millis { min: 0, max: INT_MAX, special: None }, "0 to 2147483647 (milliseconds)",
        default "120 (live), 0 (file)", connect latency
    }

    /// The latency of what is received. On a connected socket: what both sides agreed on. Cost and advice as for
    /// [`Latency`](crate::opt::Latency).
    ReceiveLatency: Duration {
        SRTO_RCVLATENCY "rcvlatency", Kind::Millis { min: 0, max: INT_MAX, special: None },
        "0 to 2147483647 (milliseconds)", default "120 (live), 0 (file)", connect receive_latency
    }

    /// The least latency that the peer is to use for what is sent to it. On a connected socket: what both sides agreed on.
    /// A sender that knows its line sets it; the receiver's own wish counts if it is larger.
    PeerLatency: Duration {
        SRTO_PEERLATENCY "peerlatency", Kind::Millis { min: 0, max: INT_MAX, special: None },
        "0 to 2147483647 (milliseconds)", default "0", connect peer_latency
    }

    /// Whether the receiver gives up a packet that did not come within the latency, and the sender one that cannot be in
    /// time any more. Off keeps every packet at the price of stalls and growing delay, and libsrt's delivery
    /// thread takes a whole core while a missing packet is overdue (measured on 1.5.7). Leave it on for live streams.
    TooLateDrop: bool {
        SRTO_TLPKTDROP "tlpktdrop", Kind::Flag, "true or false", default "true (live), false (file)",
        connect too_late_drop
    }

    /// How much longer than the peer's latency (and at least 1 s) the sender keeps a packet before it gives it up; none never
    /// gives up, and then a slow peer fills the send buffer. More helps a peer that can use late packets.
    SendDropDelay: Option<Duration> {
        SRTO_SNDDROPDELAY "snddropdelay", Kind::Millis { min: 0, max: INT_MAX, special: Some(-1) },
        "0 to 2147483647 (milliseconds), or -1 to never drop", default "0 (live), -1 (file)", live into send_drop_delay
    }

    /// Whether the receiver follows the drift between both clocks. On keeps long streams in time; off keeps a constant
    /// delay where both clocks are known to be locked, or jitter is mistaken for drift.
    DriftTracer: bool {
        SRTO_DRIFTTRACER "drifttracer", Kind::Flag, "true or false", default "true", live drift_tracer
    }

    /// Whether the receiver repeats its loss reports. On repairs losses of reports and of retransmissions at the cost of
    /// some packets more; off leaves it to the sender's timer, which is slow. The efficient
    /// [`RetransmitAlgorithm`](crate::opt::RetransmitAlgorithm) of the peer needs it.
    NakReport: bool {
        SRTO_NAKREPORT "nakreport", Kind::Flag, "true or false", default "true (live), false (file)",
        connect nak_report
    }

    /// When the sender repeats a packet. Efficient sends less on lossy lines; intensive may be a little sooner where a
    /// retransmission is lost again, and can flood a narrow line.
    RetransmitAlgorithm: values::RetransmitAlgorithm {
        SRTO_RETRANSMITALGO "retransmitalgo", Kind::Names(values::RetransmitAlgorithm::NAMES),
        "0 (\"intensive\") or 1 (\"efficient\")", default "1 (live), 0 (file)", connect retransmit_algorithm
    }

    /// How many packets later a missing one counts as lost: the tolerance towards reordering grows up to it. 0 asks again
    /// at once, which wastes bandwidth where packets overtake each other; high asks late. 40 to 200 for bonded modems
    /// and other reordering paths.
    LossMaxTtl: u32 {
        SRTO_LOSSMAXTTL "lossmaxttl", Kind::Int { min: 0, max: INT_MAX, special: None }, "0 to 2147483647 (packets)",
        default "0", live loss_max_ttl
    }

    /// How long connecting may take; rendezvous takes ten times as long. Short fails sooner on lossy or far lines (each
    /// try of the handshake takes 250 ms); long holds the caller when nobody is there.
    ConnectTimeout: Duration {
        SRTO_CONNTIMEO "conntimeo", Kind::Millis { min: 0, max: INT_MAX, special: None },
        "0 to 2147483647 (milliseconds)", default "3000", dial connect_timeout
    }

    /// After what time without any packet of the peer (it sends one each second at least) the connection is broken. Short
    /// notices a dead peer soon, and breaks at each hiccup; long survives outages.
    PeerIdleTimeout: Duration {
        // libsrt multiplies it by 1000 in an int (CUDT::checkExpTimer).
        SRTO_PEERIDLETIMEO "peeridletimeo", Kind::Millis { min: 0, max: 2_147_483, special: None },
        "0 to 2147483 (milliseconds)", default "5000", connect peer_idle_timeout
    }

    /// How long a blocking send waits for room; none waits for ever.
    SendTimeout: Option<Duration> {
        SRTO_SNDTIMEO "sndtimeo", Kind::Millis { min: 0, max: INT_MAX, special: Some(-1) },
        "0 to 2147483647 (milliseconds), or -1 for no limit", default "-1", live into send_timeout
    }

    /// How long a blocking receive waits for data; none waits for ever.
    ReceiveTimeout: Option<Duration> {
        SRTO_RCVTIMEO "rcvtimeo", Kind::Millis { min: 0, max: INT_MAX, special: Some(-1) },
        "0 to 2147483647 (milliseconds), or -1 for no limit", default "-1", live into receive_timeout
    }

    /// How long closing waits until everything is sent; rounded up to whole seconds, none does not wait. Long delivers the
    /// end of a file; it holds the closing thread while the peer does not read.
    Linger: Option<Duration> {
        SRTO_LINGER "linger", Kind::Linger, "0 to 2147483647 (seconds; 0 is off)",
        default "0 (live), 180 (file)", live into linger
    }

    /// Whether sending waits for room in the send buffer (and connecting for the connection). Off, it says
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock).
    BlockingSend: bool {
        SRTO_SNDSYN "sndsyn", Kind::Flag, "true or false", default "true", live blocking_send
    }

    /// Whether receiving and accepting wait (and connecting, too). Off, they say
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock).
    BlockingReceive: bool {
        SRTO_RCVSYN "rcvsyn", Kind::Flag, "true or false", default "true", live blocking_receive
    }
}
