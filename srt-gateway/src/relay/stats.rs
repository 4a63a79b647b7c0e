//! Statistics of a relay's endpoints: one record per endpoint each time, as text, JSON lines or CSV. Pure except for
//! querying libsrt.

use std::{fmt, str::FromStr, sync::atomic::Ordering::Relaxed, time::Duration};

use serde::Serialize;

use super::End;

/// When statistics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Every {
    /// After this many messages of the input; 0: never.
    Messages(u64),
    /// After this time.
    Time(Duration),
}

impl FromStr for Every {
    type Err = &'static str;

    /// `1000` messages, as in srt-live-transmit; `5s` or `500ms`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: &str = "a number of packets such as 1000, or a time such as 5s or 500ms";
        if text == "0" {
            return Ok(Self::Messages(0));
        }
        let number = |text: &str| text.parse::<u64>().ok().filter(|n| *n > 0).ok_or(WANTED);
        if let Some(text) = text.strip_suffix("ms") {
            return number(text).map(|ms| Self::Time(Duration::from_millis(ms)));
        }
        match text.strip_suffix('s') {
            Some(text) => number(text).map(|s| Self::Time(Duration::from_secs(s))),
            None => number(text).map(Self::Messages),
        }
    }
}

/// How statistics are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum StatsFormat {
    /// For people.
    #[default]
    #[value(alias = "default")]
    Text,
    /// A JSON object a line.
    Json,
    /// A heading, then a line each.
    Csv,
    /// Of SRT connections, as srt-live-transmit writes them for people.
    SrtText,
    /// Of SRT connections, in srt-live-transmit's fields.
    SrtJson,
    /// Of SRT connections, in srt-live-transmit's columns.
    SrtCsv,
}

impl StatsFormat {
    /// Whether it is one of srt-live-transmit's formats.
    pub(crate) const fn is_of_srt(self) -> bool {
        matches!(self, Self::SrtText | Self::SrtJson | Self::SrtCsv)
    }
}

/// One endpoint at one time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Record {
    /// Since the relay started.
    seconds: f64,
    url: String,
    connected: bool,
    messages: u64,
    bytes: u64,
    dropped_by_relay: u64,
    packets_lost: u64,
    packets_retransmitted: u64,
    packets_dropped: u64,
    rtt_ms: f64,
    receive_bps: u64,
    send_bps: u64,
    send_buffer_packets: u32,
    receive_buffer_ms: u64,
}

/// The names of a record's fields, in order.
pub(crate) const CSV_HEADING: &str = "seconds,url,connected,messages,bytes,dropped_by_relay,packets_lost,\
     packets_retransmitted,packets_dropped,rtt_ms,receive_bps,send_bps,send_buffer_packets,receive_buffer_ms";

impl Record {
    /// The record of an endpoint, `since` the relay started.
    pub(crate) fn of(end: &End, since: Duration) -> Self {
        let stats = end.socket().and_then(|socket| socket.stats().ok());
        let mut record = Self {
            seconds: since.as_secs_f64(),
            url: end.endpoint.to_string(),
            connected: end.is_open(),
            messages: end.messages.load(Relaxed),
            bytes: end.bytes.load(Relaxed),
            dropped_by_relay: end.dropped.load(Relaxed),
            ..Self::default()
        };
        if let Some(stats) = stats {
            let total = &stats.total;
            record.packets_lost = total.receive_lost.packets + total.send_lost;
            record.packets_retransmitted = total.retransmitted.packets + total.received_retransmitted;
            record.packets_dropped = total.send_dropped.packets + total.receive_dropped.packets;
            record.rtt_ms = stats.link.rtt.as_secs_f64() * 1e3;
            record.receive_bps = stats.receive_rate;
            record.send_bps = stats.send_rate;
            record.send_buffer_packets = stats.send_buffer.packets;
            record.receive_buffer_ms =
                u64::try_from(stats.receive_buffer.span.as_millis()).unwrap_or(u64::MAX);
        }
        record
    }

    /// Formats the record.
    pub(crate) fn write(&self, format: StatsFormat) -> String {
        match format {
            StatsFormat::Text | StatsFormat::SrtText => self.to_string(),
            StatsFormat::Json | StatsFormat::SrtJson => serde_json::to_string(self).unwrap_or_default(),
            StatsFormat::Csv | StatsFormat::SrtCsv => self.csv(),
        }
    }

    fn csv(&self) -> String {
        // A URL for display contains no quotes, but a path may contain a comma.
        format!(
            "{:.3},\"{}\",{},{},{},{},{},{},{},{:.3},{},{},{},{}",
            self.seconds,
            self.url.replace('"', "\"\""),
            self.connected,
            self.messages,
            self.bytes,
            self.dropped_by_relay,
            self.packets_lost,
            self.packets_retransmitted,
            self.packets_dropped,
            self.rtt_ms,
            self.receive_bps,
            self.send_bps,
            self.send_buffer_packets,
            self.receive_buffer_ms
        )
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} s  {}: {} messages, {} bytes",
            self.seconds, self.url, self.messages, self.bytes
        )?;
        if self.connected && self.url.starts_with("srt:") {
            write!(
                f,
                ", {} lost, {} retransmitted, {} dropped, rtt {:.1} ms, in {} b/s, out {} b/s",
                self.packets_lost,
                self.packets_retransmitted,
                self.packets_dropped,
                self.rtt_ms,
                self.receive_bps,
                self.send_bps
            )?;
        }
        if self.dropped_by_relay > 0 {
            write!(f, ", {} too late for this output", self.dropped_by_relay)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_packets_or_times() {
        assert_eq!("1000".parse(), Ok(Every::Messages(1000)));
        assert_eq!("5s".parse(), Ok(Every::Time(Duration::from_secs(5))));
        assert_eq!("250ms".parse(), Ok(Every::Time(Duration::from_millis(250))));
        assert_eq!("0".parse(), Ok(Every::Messages(0)));
        for bad in ["", "s", "-1", "5m", "1.5s", "0s"] {
            assert!(bad.parse::<Every>().is_err(), "{bad}");
        }
    }

    #[test]
    fn heading_has_a_name_for_each_value_in_the_order_of_json() {
        let record = Record::default();
        let names: Vec<_> = CSV_HEADING.split(',').collect();
        assert_eq!(record.csv().split(',').count(), names.len());
        let json = serde_json::to_string(&record).unwrap();
        let places: Vec<_> = names
            .iter()
            .map(|name| json.find(&format!("\"{name}\":")))
            .collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{json}");
    }
}
