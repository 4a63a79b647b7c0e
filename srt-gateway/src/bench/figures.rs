//! The results of a load. Plain data, for the report and for JSON.

use serde::Serialize;

use super::{histogram::Histogram, server::Usage};

/// One measurement.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    /// The measured seconds.
    pub(crate) seconds: f64,
    pub(crate) connect: Connects,
    /// Messages that the server did not accept from publishers.
    pub(crate) blocked: u64,
    pub(crate) sent: u64,
    /// Messages that viewers should have received and did, from the first to the last of the run.
    pub(crate) expected: u64,
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    pub(crate) duplicates: u64,
    pub(crate) disordered: u64,
    /// Messages that are foreign or incomplete.
    pub(crate) damaged: u64,
    /// Connections that ended early.
    pub(crate) broken: u64,
    /// Payload delivered to viewers during the measurement.
    pub(crate) gigabits: f64,
    /// From the sending call to the receiving call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delay: Option<Quantiles>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<Cost>,
    /// The load generator's own CPU use, in cores.
    pub(crate) own_cores: f64,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Quantiles {
    pub(super) fn of(histogram: &Histogram) -> Option<Self> {
        (!histogram.is_empty()).then(|| Self {
            p50: histogram.quantile_ms(0.5),
            p90: histogram.quantile_ms(0.9),
            p99: histogram.quantile_ms(0.99),
            p999: histogram.quantile_ms(0.999),
            max: histogram.quantile_ms(1.0),
        })
    }
}

/// The results of connecting.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Connects {
    pub(crate) wanted: u32,
    pub(crate) made: u32,
    pub(crate) refused: u32,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    /// The duration of a connection, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) times: Option<Quantiles>,
}

/// The server's resource use during the measurement.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Cost {
    pub(crate) cpu_seconds: f64,
    /// CPU use in cores.
    pub(crate) cores: f64,
    /// `None` if nothing was delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_seconds_per_gigabit: Option<f64>,
    /// While connecting.
    pub(crate) connect_cpu_seconds: f64,
    pub(crate) rss_kib: u64,
    /// The increase since before the connections, per connection.
    pub(crate) rss_kib_per_connection: f64,
    pub(crate) threads: u64,
    pub(crate) switches_per_second: f64,
}

impl Cost {
    #[expect(clippy::cast_precision_loss, reason = "numbers far below 2^53")]
    pub(super) fn between(
        idle: &Usage,
        before: &Usage,
        after: &Usage,
        seconds: f64,
        gigabits: f64,
        connections: u32,
    ) -> Self {
        let cpu = (after.cpu - before.cpu).as_secs_f64();
        let grown = after.rss_kib.saturating_sub(idle.rss_kib) as f64;
        Self {
            cpu_seconds: cpu,
            cores: cpu / seconds,
            cpu_seconds_per_gigabit: (gigabits > 0.0).then(|| cpu / gigabits),
            connect_cpu_seconds: (before.cpu - idle.cpu).as_secs_f64(),
            rss_kib: after.rss_kib,
            rss_kib_per_connection: grown / f64::from(connections.max(1)),
            threads: after.threads,
            switches_per_second: after.switches.saturating_sub(before.switches) as f64 / seconds,
        }
    }
}
