//! All counters, listed once: the struct, and the operations on each field. Plain data.

use std::time::Duration;

use libsrt_sys::SRT_TRACEBSTATS;

/// Packets and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes, including 44 bytes of SRT, UDP and IPv4 headers per packet, unless stated otherwise.
    pub bytes: u64,
}

impl Traffic {
    /// What libsrt adds to each packet's bytes, also on IPv6: 16 of SRT, 8 of UDP, 20 of IPv4.
    pub const HEADERS: u64 = 44;

    /// The bytes without the headers that libsrt adds.
    #[must_use]
    pub const fn payload_bytes(self) -> u64 {
        self.bytes
            .saturating_sub(self.packets.saturating_mul(Self::HEADERS))
    }

    pub(super) const fn plus(self, other: Self) -> Self {
        Self {
            packets: self.packets.saturating_add(other.packets),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

macro_rules! counters {
    (
        traffic { $($(#[$traffic_doc:meta])* $traffic:ident,)* }
        bare { $($(#[$bare_doc:meta])* $bare:ident,)* }
        counts { $($(#[$count_doc:meta])* $count:ident,)* }
    ) => {
        /// The counters of a connection.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$traffic_doc])* pub $traffic: Traffic,)*
            $($(#[$bare_doc])* pub $bare: Traffic,)*
            $($(#[$count_doc])* pub $count: u64,)*
            /// Time during which there was something to send (`usSndDurationTotal`).
            pub send_duration: Duration,
        }

        impl Counters {
            /// The difference from an earlier value, across wraps of libsrt's counters.
            pub(super) fn since(&self, earlier: &Self) -> Self {
                Self {
                    $($traffic: traffic_since(self.$traffic, earlier.$traffic, Traffic::HEADERS),)*
                    $($bare: traffic_since(self.$bare, earlier.$bare, 0),)*
                    $($count: count_since(self.$count, earlier.$count),)*
                    send_duration: self.send_duration.checked_sub(earlier.send_duration).unwrap_or(self.send_duration),
                }
            }

            pub(super) fn add(&mut self, other: &Self) {
                $(self.$traffic = self.$traffic.plus(other.$traffic);)*
                $(self.$bare = self.$bare.plus(other.$bare);)*
                $(self.$count = self.$count.saturating_add(other.$count);)*
                self.send_duration = self.send_duration.saturating_add(other.send_duration);
            }
        }
    };
}

counters! {
    traffic {
        /// Data packets sent, including retransmissions and the packet filter's (`pktSentTotal`, `byteSentTotal`).
        sent,
        /// Data packets sent for the first time (`pktSentUniqueTotal`, `byteSentUniqueTotal`).
        sent_unique,
        /// Data packets retransmitted (`pktRetransTotal`, `byteRetransTotal`).
        retransmitted,
        /// Data packets that the sender dropped as too late (`pktSndDropTotal`, `byteSndDropTotal`).
        send_dropped,
        /// Data packets received, including repeated ones and the packet filter's (`pktRecvTotal`, `byteRecvTotal`).
        received,
        /// Data packets received or restored, each once (`pktRecvUniqueTotal`, `byteRecvUniqueTotal`).
        received_unique,
        /// Data packets found missing when later ones arrived; most are recovered (`pktRcvLossTotal`,
        /// `byteRcvLossTotal`). The bytes are estimated from the average.
        receive_lost,
        /// Data packets that the receiver gave up: a gap in the application's data (`pktRcvDropTotal`,
        /// `byteRcvDropTotal`). The bytes are estimated from the average.
        receive_dropped,
    }
    bare {
        /// Data packets that could not be decrypted; bytes without headers (`pktRcvUndecryptTotal`,
        /// `byteRcvUndecryptTotal`).
        undecrypted,
    }
    counts {
        /// Data packets that the receiver reported missing (`pktSndLossTotal`).
        send_lost,
        /// Data packets that arrived as retransmissions (`pktRcvRetrans`, which libsrt counts for the interval only).
        received_retransmitted,
        /// Data packets that arrived too late (`pktRcvBelated`, which libsrt counts for the interval only).
        belated,
        /// Acknowledgements sent (`pktSentACKTotal`).
        acks_sent,
        /// Acknowledgements received (`pktRecvACKTotal`).
        acks_received,
        /// Loss reports sent (`pktSentNAKTotal`).
        naks_sent,
        /// Loss reports received (`pktRecvNAKTotal`).
        naks_received,
        /// Packets that the packet filter added when sending (`pktSndFilterExtraTotal`).
        filter_sent,
        /// Packets received from the peer's packet filter (`pktRcvFilterExtraTotal`).
        filter_received,
        /// Lost data packets that the packet filter restored (`pktRcvFilterSupplyTotal`).
        filter_restored,
        /// Lost data packets that the packet filter could not restore (`pktRcvFilterLossTotal`).
        filter_lost,
    }
}

impl Counters {
    pub(super) fn total(perf: &SRT_TRACEBSTATS) -> Self {
        Self {
            sent: traffic(perf.pktSentTotal, perf.byteSentTotal),
            sent_unique: traffic(perf.pktSentUniqueTotal, perf.byteSentUniqueTotal),
            retransmitted: traffic(perf.pktRetransTotal.into(), perf.byteRetransTotal),
            send_dropped: traffic(perf.pktSndDropTotal.into(), perf.byteSndDropTotal),
            received: traffic(perf.pktRecvTotal, perf.byteRecvTotal),
            received_unique: traffic(perf.pktRecvUniqueTotal, perf.byteRecvUniqueTotal),
            receive_lost: traffic(perf.pktRcvLossTotal.into(), perf.byteRcvLossTotal),
            receive_dropped: traffic(perf.pktRcvDropTotal.into(), perf.byteRcvDropTotal),
            undecrypted: traffic(perf.pktRcvUndecryptTotal.into(), perf.byteRcvUndecryptTotal),
            send_lost: count(perf.pktSndLossTotal.into()),
            received_retransmitted: count(perf.pktRcvRetrans.into()),
            belated: count(perf.pktRcvBelated),
            acks_sent: count(perf.pktSentACKTotal.into()),
            acks_received: count(perf.pktRecvACKTotal.into()),
            naks_sent: count(perf.pktSentNAKTotal.into()),
            naks_received: count(perf.pktRecvNAKTotal.into()),
            filter_sent: count(perf.pktSndFilterExtraTotal.into()),
            filter_received: count(perf.pktRcvFilterExtraTotal.into()),
            filter_restored: count(perf.pktRcvFilterSupplyTotal.into()),
            filter_lost: count(perf.pktRcvFilterLossTotal.into()),
            send_duration: micros(perf.usSndDurationTotal),
        }
    }

    pub(super) fn interval(perf: &SRT_TRACEBSTATS) -> Self {
        Self {
            sent: traffic(perf.pktSent, perf.byteSent),
            sent_unique: traffic(perf.pktSentUnique, perf.byteSentUnique),
            retransmitted: traffic(perf.pktRetrans.into(), perf.byteRetrans),
            send_dropped: traffic(perf.pktSndDrop.into(), perf.byteSndDrop),
            received: traffic(perf.pktRecv, perf.byteRecv),
            received_unique: traffic(perf.pktRecvUnique, perf.byteRecvUnique),
            receive_lost: traffic(perf.pktRcvLoss.into(), perf.byteRcvLoss),
            receive_dropped: traffic(perf.pktRcvDrop.into(), perf.byteRcvDrop),
            undecrypted: traffic(perf.pktRcvUndecrypt.into(), perf.byteRcvUndecrypt),
            send_lost: count(perf.pktSndLoss.into()),
            received_retransmitted: count(perf.pktRcvRetrans.into()),
            belated: count(perf.pktRcvBelated),
            acks_sent: count(perf.pktSentACK.into()),
            acks_received: count(perf.pktRecvACK.into()),
            naks_sent: count(perf.pktSentNAK.into()),
            naks_received: count(perf.pktRecvNAK.into()),
            filter_sent: count(perf.pktSndFilterExtra.into()),
            filter_received: count(perf.pktRcvFilterExtra.into()),
            filter_restored: count(perf.pktRcvFilterSupply.into()),
            filter_lost: count(perf.pktRcvFilterLoss.into()),
            send_duration: micros(perf.usSndDuration),
        }
    }
}

/// libsrt counts packets in unsigned 32 bits, whatever the type of the field (stats.h): beyond 2^31 an `int` looks
/// negative.
fn count(value: i64) -> u64 {
    match u64::try_from(value) {
        Ok(count) => count,
        Err(_) => low_32(value.cast_unsigned()).into(),
    }
}

fn traffic(packets: i64, bytes: u64) -> Traffic {
    Traffic {
        packets: count(packets),
        bytes,
    }
}

fn micros(us: i64) -> Duration {
    Duration::from_micros(us.try_into().unwrap_or(0))
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
const fn low_32(value: u64) -> u32 {
    value as u32
}

/// The distance between two values of a 32-bit counter. A decrease by less than half the range is no wrap: the counter
/// was cleared elsewhere, and has counted `new` since.
fn count_since(new: u64, old: u64) -> u64 {
    let way = low_32(new).wrapping_sub(low_32(old));
    if way < 1 << 31 { way.into() } else { new }
}

/// Like [`count_since`], with the bytes, which decrease by the headers' share when the packets wrap.
fn traffic_since(new: Traffic, old: Traffic, headers: u64) -> Traffic {
    let payload = |traffic: Traffic| {
        traffic
            .bytes
            .saturating_sub(u64::from(low_32(traffic.packets)) * headers)
    };
    let packets = count_since(new.packets, old.packets);
    let bytes = payload(new)
        .checked_sub(payload(old))
        .unwrap_or_else(|| payload(new));
    Traffic {
        packets,
        bytes: bytes.saturating_add(packets.saturating_mul(headers)),
    }
}
