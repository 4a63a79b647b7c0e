//! libsrt's counters as metrics: one list for the totals of streams and sessions. Pure.

use srt_safe::Counters;

/// A counter of libsrt.
#[derive(Debug)]
pub(crate) struct Figure {
    /// The name of the metric without `srt_gateway_link_`, `srt_gateway_session_` and `_total`.
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    get: fn(&Counters) -> u64,
    /// Converts the counter to the unit in the name.
    pub(crate) scale: f64,
}

impl Figure {
    /// Its value.
    pub(crate) fn of(&self, counters: &Counters) -> u64 {
        (self.get)(counters)
    }
}

/// Their number.
pub(crate) const COUNT: usize = 30;

const fn count(name: &'static str, help: &'static str, get: fn(&Counters) -> u64) -> Figure {
    Figure {
        name,
        help,
        get,
        scale: 1.0,
    }
}

/// All figures.
#[rustfmt::skip] // One a line: it is read as a table.
pub(crate) static FIGURES: [Figure; COUNT] = [
    count("sent_packets", "Data packets sent, including retransmissions and packets of the packet filter", |c| c.sent.packets),
    count("sent_bytes", "Bytes of data packets sent, including headers, retransmissions and packets of the packet filter", |c| c.sent.bytes),
    count("sent_unique_packets", "Data packets sent for the first time", |c| c.sent_unique.packets),
    count("sent_unique_bytes", "Bytes of data packets sent for the first time, including headers", |c| c.sent_unique.bytes),
    count("retransmitted_packets", "Data packets retransmitted", |c| c.retransmitted.packets),
    count("retransmitted_bytes", "Bytes of data packets retransmitted, including headers", |c| c.retransmitted.bytes),
    count("send_dropped_packets", "Data packets that the sender dropped as too late", |c| c.send_dropped.packets),
    count("send_dropped_bytes", "Bytes of data packets that the sender dropped as too late, including headers", |c| c.send_dropped.bytes),
    count("received_packets", "Data packets received, including duplicates and packets of the packet filter", |c| c.received.packets),
    count("received_bytes", "Bytes of data packets received, including headers, duplicates and packets of the packet filter", |c| c.received.bytes),
    count("received_unique_packets", "Data packets received or restored, each counted once", |c| c.received_unique.packets),
    count("received_unique_bytes", "Bytes of data packets received or restored, each counted once, including headers", |c| c.received_unique.bytes),
    count("receive_lost_packets", "Data packets found missing when later ones arrived; retransmission recovers most of them", |c| c.receive_lost.packets),
    count("receive_lost_bytes", "Bytes of data packets found missing, estimated from the average size", |c| c.receive_lost.bytes),
    count("receive_dropped_packets", "Data packets that did not arrive in time: gaps in the stream", |c| c.receive_dropped.packets),
    count("receive_dropped_bytes", "Bytes of data packets that did not arrive in time, estimated from the average size", |c| c.receive_dropped.bytes),
    count("undecrypted_packets", "Data packets that could not be decrypted", |c| c.undecrypted.packets),
    count("undecrypted_bytes", "Bytes of data packets that could not be decrypted, including headers", |c| c.undecrypted.bytes),
    count("send_lost_packets", "Data packets that receivers reported missing", |c| c.send_lost),
    count("received_retransmitted_packets", "Data packets received as retransmissions", |c| c.received_retransmitted),
    count("belated_packets", "Data packets that arrived too late", |c| c.belated),
    count("sent_acks", "Acknowledgements sent", |c| c.acks_sent),
    count("received_acks", "Acknowledgements received", |c| c.acks_received),
    count("sent_naks", "Loss reports sent", |c| c.naks_sent),
    count("received_naks", "Loss reports received", |c| c.naks_received),
    count("filter_sent_packets", "Packets that the packet filter added when sending", |c| c.filter_sent),
    count("filter_received_packets", "Packets received that peers' packet filters added", |c| c.filter_received),
    count("filter_restored_packets", "Lost data packets that the packet filter restored", |c| c.filter_restored),
    count("filter_lost_packets", "Lost data packets that the packet filter could not restore", |c| c.filter_lost),
    Figure {
        name: "send_duration_seconds",
        help: "Time during which there was data to send",
        get: |c| u64::try_from(c.send_duration.as_micros()).unwrap_or(u64::MAX),
        scale: 1e-6,
    },
];

/// The values of all figures, in order.
pub(crate) type Values = [u64; COUNT];

/// The values of `counters`.
pub(crate) fn values(counters: &Counters) -> Values {
    std::array::from_fn(|at| FIGURES[at].of(counters))
}

/// Adds the difference between two samples to `totals`.
pub(crate) fn add(totals: &mut Values, now: &Values, before: &Values) {
    for (total, (now, before)) in totals.iter_mut().zip(now.iter().zip(before)) {
        *total += now.saturating_sub(*before);
    }
}
