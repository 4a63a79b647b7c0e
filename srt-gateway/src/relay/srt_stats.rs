//! Statistics of a relay's SRT connections in srt-live-transmit's format, for scripts and dashboards made for it. Pure
//! except for querying libsrt.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use serde_json::Value;
use srt_safe::{Counters, Stats, StatsAccumulator};

use super::{End, StatsFormat};

/// The period of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Since the last report.
    SinceLast,
    /// Since the connection was opened (`-fullstats`).
    All,
}

/// Reports on the endpoints of one relay.
#[derive(Debug)]
pub(crate) struct SrtReports {
    counted: Counted,
    ends: Vec<StatsAccumulator>,
    has_heading: bool,
}

/// One connection at one time.
struct Report {
    at: String,
    socket: i32,
    stats: Stats,
    counters: Counters,
    /// In bits per second.
    send_rate: u64,
    receive_rate: u64,
}

/// A value and its names: the group and name in JSON, and the column in CSV.
type Field = (&'static str, &'static str, &'static str, Value);

impl SrtReports {
    pub(crate) fn new(counted: Counted, ends: usize) -> Self {
        Self {
            counted,
            ends: vec![StatsAccumulator::new(); ends],
            has_heading: false,
        }
    }

    /// The report on endpoint `at` of the relay. None: it currently has no SRT connection.
    pub(crate) fn write(&mut self, at: usize, end: &End, format: StatsFormat) -> Option<String> {
        let socket = end.socket()?;
        let stats = socket.stats().ok()?;
        let since_last = self.ends.get_mut(at)?.update(&stats);
        let report = match self.counted {
            Counted::SinceLast => Report {
                at: timepoint(),
                socket: socket.id().value(),
                send_rate: since_last.send_rate(),
                receive_rate: since_last.receive_rate(),
                counters: since_last.counters,
                stats,
            },
            Counted::All => Report {
                at: timepoint(),
                socket: socket.id().value(),
                send_rate: stats.send_rate,
                receive_rate: stats.receive_rate,
                counters: stats.total.clone(),
                stats,
            },
        };
        Some(match format {
            StatsFormat::SrtJson => report.json(),
            StatsFormat::SrtCsv if self.has_heading => report.csv(),
            StatsFormat::SrtCsv => {
                self.has_heading = true;
                format!("{}\n{}", report.csv_heading(), report.csv())
            }
            _ => report.text(),
        })
    }
}

/// The time of day, in srt-live-transmit's format with UTC as the time zone.
fn timepoint() -> String {
    let now = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
    now.replace('Z', "+0000")
}

/// Rounded to six digits, like C++ prints floating-point numbers.
fn six_digits(number: f64) -> f64 {
    if number == 0.0 || !number.is_finite() {
        return 0.0;
    }
    let digits = (5.0 - number.abs().log10().floor()).clamp(0.0, 12.0);
    let scale = 10_f64.powf(digits);
    (number * scale).round() / scale
}

/// A number without a fraction as an integer, like C++ prints it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a float saturates when cast, and these are rates and times"
)]
fn real(number: f64) -> Value {
    let number = six_digits(number);
    if number.fract() == 0.0 {
        return (number as i64).into();
    }
    number.into()
}

fn milliseconds(time: Duration) -> Value {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).into()
}

fn megabits(rate: u64) -> Value {
    real(rate as f64 / 1e6)
}

impl Report {
    #[rustfmt::skip] // A row for each field: read as a table.
    fn fields(&self) -> [Field; 37] {
        let (counted, link) = (&self.counters, &self.stats.link);
        let (sending, receiving) = (&self.stats.send_buffer, &self.stats.receive_buffer);
        [
            ("", "time", "Time", milliseconds(self.stats.elapsed)),
            ("window", "flow", "pktFlowWindow", link.flow_window.into()),
            ("window", "congestion", "pktCongestionWindow", link.congestion_window.into()),
            ("window", "flight", "pktFlightSize", link.packets_in_flight.into()),
            ("link", "rtt", "msRTT", real(link.rtt.as_secs_f64() * 1e3)),
            ("link", "bandwidth", "mbpsBandwidth", megabits(link.bandwidth)),
            ("link", "maxBandwidth", "mbpsMaxBW", megabits(link.max_bandwidth)),
            ("send", "packets", "pktSent", counted.sent.packets.into()),
            ("send", "packetsUnique", "pktSentUnique", counted.sent_unique.packets.into()),
            ("send", "packetsLost", "pktSndLoss", counted.send_lost.into()),
            ("send", "packetsDropped", "pktSndDrop", counted.send_dropped.packets.into()),
            ("send", "packetsRetransmitted", "pktRetrans", counted.retransmitted.packets.into()),
            ("send", "packetsFilterExtra", "pktSndFilterExtra", counted.filter_sent.into()),
            ("send", "bytes", "byteSent", counted.sent.bytes.into()),
            ("send", "bytesUnique", "byteSentUnique", counted.sent_unique.bytes.into()),
            ("send", "bytesDropped", "byteSndDrop", counted.send_dropped.bytes.into()),
            ("send", "byteAvailBuf", "byteAvailSndBuf", sending.available.into()),
            ("send", "msBuf", "msSndBuf", milliseconds(sending.span)),
            ("send", "mbitRate", "mbpsSendRate", megabits(self.send_rate)),
            ("send", "sendPeriod", "usPktSndPeriod", real(link.send_period.as_secs_f64() * 1e6)),
            ("recv", "packets", "pktRecv", counted.received.packets.into()),
            ("recv", "packetsUnique", "pktRecvUnique", counted.received_unique.packets.into()),
            ("recv", "packetsLost", "pktRcvLoss", counted.receive_lost.packets.into()),
            ("recv", "packetsDropped", "pktRcvDrop", counted.receive_dropped.packets.into()),
            ("recv", "packetsRetransmitted", "pktRcvRetrans", counted.received_retransmitted.into()),
            ("recv", "packetsBelated", "pktRcvBelated", counted.belated.into()),
            ("recv", "packetsFilterExtra", "pktRcvFilterExtra", counted.filter_received.into()),
            ("recv", "packetsFilterSupply", "pktRcvFilterSupply", counted.filter_restored.into()),
            ("recv", "packetsFilterLoss", "pktRcvFilterLoss", counted.filter_lost.into()),
            ("recv", "bytes", "byteRecv", counted.received.bytes.into()),
            ("recv", "bytesUnique", "byteRecvUnique", counted.received_unique.bytes.into()),
            ("recv", "bytesLost", "byteRcvLoss", counted.receive_lost.bytes.into()),
            ("recv", "bytesDropped", "byteRcvDrop", counted.receive_dropped.bytes.into()),
            ("recv", "byteAvailBuf", "byteAvailRcvBuf", receiving.available.into()),
            ("recv", "msBuf", "msRcvBuf", milliseconds(receiving.span)),
            ("recv", "mbitRate", "mbpsRecvRate", megabits(self.receive_rate)),
            ("recv", "msTsbPdDelay", "msRcvTsbPdDelay", milliseconds(link.receive_latency)),
        ]
    }

    fn json(&self) -> String {
        let mut text = format!("{{\"sid\":{},\"timepoint\":\"{}\"", self.socket, self.at);
        let mut open = "";
        for (group, name, _, value) in self.fields() {
            if group != open {
                let end = if open.is_empty() { "" } else { "}" };
                // Writing to a String cannot fail.
                write!(text, "{end},\"{group}\":{{\"{name}\":{value}").unwrap_or_default();
                open = group;
            } else {
                write!(text, ",\"{name}\":{value}").unwrap_or_default();
            }
        }
        text + "}}"
    }

    /// srt-live-transmit prints the time twice, before and after the socket.
    fn csv_heading(&self) -> String {
        let names: Vec<_> = self.fields().into_iter().map(|(_, _, name, _)| name).collect();
        format!("Timepoint,Time,SocketID,{}", names.join(","))
    }

    fn csv(&self) -> String {
        let values: Vec<_> = self
            .fields()
            .into_iter()
            .map(|(.., value)| value.to_string())
            .collect();
        let time = self.stats.elapsed.as_millis();
        format!("{},{time},{},{}", self.at, self.socket, values.join(","))
    }

    fn text(&self) -> String {
        let (counted, link) = (&self.counters, &self.stats.link);
        let belated_by = link.belated_by.unwrap_or_default().as_secs_f64() * 1e3;
        let mut text = format!("======= SRT STATS: sid={}", self.socket);
        let mut two = |names: [&str; 2], values: [Value; 2]| {
            let [left, right] = values.map(|value| value.to_string());
            write!(text, "\n{}{left:>12}  {}{right:>14}", names[0], names[1]).unwrap_or_default();
        };
        let packets = |sent: u64, received: u64| [sent.into(), received.into()];
        let sides = |first| [first, "RECEIVED:"];
        two(
            sides("PACKETS     SENT:"),
            packets(counted.sent.packets, counted.received.packets),
        );
        two(
            sides("LOST PKT    SENT:"),
            packets(counted.send_lost, counted.receive_lost.packets),
        );
        two(
            sides("REXMIT      SENT:"),
            packets(counted.retransmitted.packets, counted.received_retransmitted),
        );
        two(
            sides("DROP PKT    SENT:"),
            packets(counted.send_dropped.packets, counted.receive_dropped.packets),
        );
        two(
            ["FILTER EXTRA  TX:", "      RX:"],
            packets(counted.filter_sent, counted.filter_received),
        );
        two(
            ["FILTER RX  SUPPL:", "RX  LOSS:"],
            packets(counted.filter_restored, counted.filter_lost),
        );
        two(
            ["RATE     SENDING:", "RECEIVING:"],
            [megabits(self.send_rate), megabits(self.receive_rate)],
        );
        two(
            ["BELATED RECEIVED:", "AVG TIME:"],
            [counted.belated.into(), real(belated_by)],
        );
        write!(
            text,
            "\nREORDER DISTANCE:{:>12}\nWINDOW      FLOW:{:>12}  CONGESTION:{:>12}  FLIGHT:{:>12}\n\
             LINK         RTT:{:>10}ms  BANDWIDTH:{:>9}Mb/s \nBUFFERLEFT:  SND:{:>12}  RCV:{:>19}",
            link.reorder_distance,
            link.flow_window,
            link.congestion_window,
            link.packets_in_flight,
            real(link.rtt.as_secs_f64() * 1e3).to_string(),
            megabits(link.bandwidth).to_string(),
            self.stats.send_buffer.available,
            self.stats.receive_buffer.available
        )
        .unwrap_or_default();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_form_of_cpp() {
        for (number, wanted) in [
            (0.0, "0"),
            (12.0, "12"),
            (0.037, "0.037"),
            (12.180_004, "12.18"),
            (1.150_818_2, "1.15082"),
            (3153.294, "3153.29"),
            (12_288_000.0, "12288000"),
            (f64::INFINITY, "0"),
        ] {
            assert_eq!(real(number).to_string(), wanted);
        }
    }
}
