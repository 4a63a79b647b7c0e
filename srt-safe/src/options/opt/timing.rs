//! Options of latency, loss, timeouts and waiting. A table; see the parent module.

use std::time::Duration;

use crate::options::{
    raw::{INT_MAX, Kind},
    values,
};

options! {
    /// Whether packets are delivered with the sender's spacing (timestamp-based packet delivery), one latency later.
    /// Off delivers them on arrival: less delay, but with all jitter, and nothing is dropped as late. Use off only if
    /// the receiver has a jitter buffer of its own. AES-GCM requires on.
    Tsbpd: bool {
        SRTO_TSBPDMODE "tsbpdmode", Kind::Flag, "true or false", default "true (live), false (file)", connect tsbpd
    }

    /// The latency of both directions: sets [`ReceiveLatency`](crate::opt::ReceiveLatency) and
    /// [`PeerLatency`](crate::opt::PeerLatency) at once; reads as the former. The larger request of both sides applies.
    /// A longer latency allows more retransmissions, and costs delay and memory. 4 x RTT is a usual start; 2.5 x RTT on
    /// good links, more with a loss above some percent.
    Latency: Duration {
        SRTO_LATENCY "latency", Kind::Millis { min: 0, max: INT_MAX, special: None }, "0 to 2147483647 (milliseconds)",
        default "120 (live), 0 (file)", connect latency
    }

    /// The latency of received data. On a connected socket, the negotiated value. For cost and advice see
    /// [`Latency`](crate::opt::Latency).
    ReceiveLatency: Duration {
        SRTO_RCVLATENCY "rcvlatency", Kind::Millis { min: 0, max: INT_MAX, special: None },
        "0 to 2147483647 (milliseconds)", default "120 (live), 0 (file)", connect receive_latency
    }

    /// The minimum latency that the peer uses for what is sent to it. On a connected socket, the negotiated value. For
    /// senders that know their link; the receiver's own request applies if it is larger.
    PeerLatency: Duration {
        SRTO_PEERLATENCY "peerlatency", Kind::Millis { min: 0, max: INT_MAX, special: None },
        "0 to 2147483647 (milliseconds)", default "0", connect peer_latency
    }

    /// Whether the receiver gives up a packet that did not arrive within the latency, and the sender one that can no
    /// longer arrive in time. Off keeps every packet, at the price of stalls and growing delay, and libsrt's delivery
    /// thread uses a whole core while a missing packet is overdue (measured on 1.5.7). Leave it on for live streams.
    TooLateDrop: bool {
        SRTO_TLPKTDROP "tlpktdrop", Kind::Flag, "true or false", default "true (live), false (file)",
        connect too_late_drop
    }

    /// How much longer than the peer's latency (and at least 1 s) the sender keeps a packet before it gives it up; none
    /// never gives up, so that a slow peer fills the send buffer. A longer time helps a peer that can use late packets.
    SendDropDelay: Option<Duration> {
        SRTO_SNDDROPDELAY "snddropdelay", Kind::Millis { min: 0, max: INT_MAX, special: Some(-1) },
        "0 to 2147483647 (milliseconds), or -1 to never drop", default "0 (live), -1 (file)", live into send_drop_delay
    }

    /// Whether the receiver tracks the drift between both clocks. On keeps long streams in time; off keeps a constant
    /// delay if both clocks are known to be locked, because jitter could be mistaken for drift.
    DriftTracer: bool {
        SRTO_DRIFTTRACER "drifttracer", Kind::Flag, "true or false", default "true", live drift_tracer
    }

    /// Whether the receiver repeats its loss reports. On repairs losses of reports and of retransmissions for a few
    /// more packets; off relies on the sender's timer, which is slow. The efficient
    /// [`RetransmitAlgorithm`](crate::opt::RetransmitAlgorithm) of the peer requires it.
    NakReport: bool {
        SRTO_NAKREPORT "nakreport", Kind::Flag, "true or false", default "true (live), false (file)",
        connect nak_report
    }

    /// When the sender repeats a packet. Efficient sends less on lossy links; intensive may be slightly faster if a
    /// retransmission is lost again, and can flood a narrow link.
    RetransmitAlgorithm: values::RetransmitAlgorithm {
        SRTO_RETRANSMITALGO "retransmitalgo", Kind::Names(values::RetransmitAlgorithm::NAMES),
        "0 (\"intensive\") or 1 (\"efficient\")", default "1 (live), 0 (file)", connect retransmit_algorithm
    }

    /// How many packets later a missing one counts as lost: the upper limit of the reordering tolerance. 0 requests it
    /// at once, which wastes bandwidth if packets overtake each other; a high value requests it late. 40 to 200 for
    /// bonded modems and other reordering paths.
    LossMaxTtl: u32 {
        SRTO_LOSSMAXTTL "lossmaxttl", Kind::Int { min: 0, max: INT_MAX, special: None }, "0 to 2147483647 (packets)",
        default "0", live loss_max_ttl
    }

    /// How long connecting may take; rendezvous may take ten times as long. A short time fails sooner on lossy or
    /// distant links (each attempt of the handshake takes 250 ms); a long one holds the caller if nobody answers.
    ConnectTimeout: Duration {
        SRTO_CONNTIMEO "conntimeo", Kind::Millis { min: 0, max: INT_MAX, special: None },
        "0 to 2147483647 (milliseconds)", default "3000", dial connect_timeout
    }

    /// How long nothing may arrive from the peer (which sends at least one packet per second) before the connection is
    /// broken. A short time detects a dead peer soon, and breaks at each hiccup; a long one survives outages.
    PeerIdleTimeout: Duration {
        // libsrt multiplies it by 1000 in an int (CUDT::checkExpTimer).
        SRTO_PEERIDLETIMEO "peeridletimeo", Kind::Millis { min: 0, max: 2_147_483, special: None },
        "0 to 2147483 (milliseconds)", default "5000", connect peer_idle_timeout
    }

    /// How long a blocking send waits for room; none waits forever.
    SendTimeout: Option<Duration> {
        SRTO_SNDTIMEO "sndtimeo", Kind::Millis { min: 0, max: INT_MAX, special: Some(-1) },
        "0 to 2147483647 (milliseconds), or -1 for no limit", default "-1", live into send_timeout
    }

    /// How long a blocking receive waits for data; none waits forever.
    ReceiveTimeout: Option<Duration> {
        SRTO_RCVTIMEO "rcvtimeo", Kind::Millis { min: 0, max: INT_MAX, special: Some(-1) },
        "0 to 2147483647 (milliseconds), or -1 for no limit", default "-1", live into receive_timeout
    }

    /// How long closing waits until everything is sent; rounded up to whole seconds, none does not wait. A long time
    /// delivers the end of a file, but blocks the closing thread while the peer does not read.
    Linger: Option<Duration> {
        SRTO_LINGER "linger", Kind::Linger, "0 to 2147483647 (seconds; 0 is off)",
        default "0 (live), 180 (file)", live into linger
    }

    /// Whether sending waits for room in the send buffer (and connecting for the connection). If off, they return
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock).
    BlockingSend: bool {
        SRTO_SNDSYN "sndsyn", Kind::Flag, "true or false", default "true", live blocking_send
    }

    /// Whether receiving and accepting wait (and connecting, too). If off, they return
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock).
    BlockingReceive: bool {
        SRTO_RCVSYN "rcvsyn", Kind::Flag, "true or false", default "true", live blocking_receive
    }
}
