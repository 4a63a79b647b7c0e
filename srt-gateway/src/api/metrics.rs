//! `/metrics` in OpenMetrics format. Computed at each scrape from the sampler's figures and from snapshots; stateless.
//!
//! Labels are bounded: streams and endpoints beyond [`STREAMS`] are left out and counted, and sessions appear only if
//! configured. Totals never decrease while the gateway runs.

mod alarms;
mod backends;

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::IntoResponse,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};

use super::{
    App,
    figures::FIGURES,
    model::{Endpoint, LinkSummary},
    problem::{Answer, Problem},
    read,
    sampler::{ROLES, StreamSample},
    shape::ResponseContext,
};
use crate::{
    names::{Notation, StreamName, escaped},
    telemetry::SrtFigures,
    ts::Check,
};

/// Streams with series of their own.
const STREAMS: usize = 1000;

/// Sessions with series of their own, if configured.
const SESSIONS: usize = 2000;

/// The media type of OpenMetrics 1.0.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Returns the metrics in the OpenMetrics format, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Answer<impl IntoResponse> {
    let turn = Arc::clone(&app.metrics_turn).acquire_owned().await;
    let turn = turn.map_err(|error| Problem::internal(error.to_string()))?;
    let context = app.context().await?;
    let scraped = Arc::clone(&app);
    let text = tokio::task::spawn_blocking(move || {
        // Held until the text is written, even if the client has left.
        let _turn = turn;
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape {
            app: scraped,
            context,
        }));
        let mut text = String::new();
        text::encode(&mut text, &registry).map(|()| text)
    });
    let text = text.await.map_err(|error| Problem::internal(error.to_string()))?;
    let text = text.map_err(|error| Problem::internal(error.to_string()))?;
    Ok((
        [(header::CONTENT_TYPE, HeaderValue::from_static(OPENMETRICS))],
        text,
    ))
}

#[derive(Debug)]
struct Scrape {
    app: Arc<App>,
    context: ResponseContext,
}

type Labels = Vec<(&'static str, String)>;

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// Escapes a label value, because the encoder does not.
fn label(value: &str) -> String {
    let value = escaped(value, Notation::Text);
    value.replace('\\', "\\\\").replace('"', "\\\"")
}

/// Encodes metric families.
struct FamilyEncoder<'e>(DescriptorEncoder<'e>);

impl FamilyEncoder<'_> {
    /// Encodes a family, unless it has no rows.
    fn family(
        &mut self,
        kind: Kind,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        rows: impl IntoIterator<Item = (Labels, f64)>,
    ) -> fmt::Result {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        let (of_kind, name) = (
            match kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
            },
            format!("srt_gateway_{name}"),
        );
        let mut family = self.0.encode_descriptor(&name, help, unit.as_ref(), of_kind)?;
        for (mut labels, value) in rows {
            labels.iter_mut().for_each(|(_, value)| *value = label(value));
            let row = family.encode_family(&labels)?;
            match kind {
                Kind::Counter => ConstCounter::new(value).encode(row)?,
                Kind::Gauge => ConstGauge::new(value).encode(row)?,
            }
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, unit: Option<Unit>, value: f64) -> fmt::Result {
        let gauge = ConstGauge::new(value);
        let name = format!("srt_gateway_{name}");
        let row = self
            .0
            .encode_descriptor(&name, help, unit.as_ref(), MetricType::Gauge)?;
        gauge.encode(row)
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has floats only")]
fn number(value: u64) -> f64 {
    value as f64
}

fn bit(on: bool) -> f64 {
    f64::from(u8::from(on))
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = FamilyEncoder(encoder);
        self.gateway(&mut families)?;
        self.rejections(&mut families)?;
        backends::audit(&self.app.store.audit, &mut families)?;
        alarms::alarms(&self.app.alarms, &mut families)?;
        if let Some(hook) = self.app.view.hook() {
            backends::hook(&hook, &mut families)?;
        }
        if let Some(events) = self.app.view.event_posts() {
            backends::events(&events, &mut families)?;
        }
        let snapshot = &self.context.snapshot;
        let mut streams: Vec<_> = snapshot.streams.iter().collect();
        streams.sort_by_key(|(name, _)| *name);
        let left_out = streams.len().saturating_sub(STREAMS);
        streams.truncate(STREAMS);
        let help = "Streams left out of the metrics because there are too many";
        families.gauge("streams_left_out", help, None, number(left_out as u64))?;
        streams_of(&streams, &mut families)?;
        alarms::verdicts(&self.app.alarms, &streams, &mut families)?;
        links_of(&streams, &mut families)?;
        self.checks(&streams, &mut families)?;
        self.endpoints(&mut families)?;
        if self.context.config.api.session_metrics {
            self.sessions(&mut families)?;
        }
        Ok(())
    }
}

impl Scrape {
    fn gateway(&self, families: &mut FamilyEncoder<'_>) -> fmt::Result {
        let program = read::program();
        let labels = vec![
            ("version", program.version.to_owned()),
            ("libsrt", program.libsrt),
            ("crypto", program.crypto.to_owned()),
            ("gateway", self.app.view.name.to_string()),
        ];
        let help = "Always 1; the labels hold the versions of the program and of libsrt";
        families.family(Kind::Gauge, "build_info", help, None, [(labels, 1.0)])?;
        let snapshot = &self.context.snapshot;
        families.gauge(
            "uptime",
            "Time since the gateway started serving",
            Some(Unit::Seconds),
            self.app.started.elapsed().as_secs_f64(),
        )?;
        let draining = self.app.draining.load(Relaxed);
        families.gauge(
            "draining",
            "1 while the gateway drains and accepts no new sessions",
            None,
            bit(draining),
        )?;
        families.gauge(
            "loop_lag",
            "Longest delay of a worker thread in the last second",
            Some(Unit::Seconds),
            snapshot.lag.as_secs_f64(),
        )?;
        let report = self.app.view.threads.report();
        families.gauge(
            "threads_stuck",
            "Threads that have made no progress for 10 s: /healthz names them",
            None,
            number(report.stuck.len() as u64),
        )?;
        let total = snapshot.streams.len() as u64;
        families.gauge("streams", "Number of streams", None, number(total))?;
        let sessions = ROLES.map(|role| {
            let of = self
                .context
                .sessions
                .iter()
                .filter(|session| session.role == role);
            (
                vec![("role", role.as_str().to_owned())],
                number(of.count() as u64),
            )
        });
        families.family(Kind::Gauge, "sessions", "Open SRT sessions", None, sessions)?;
        let opened = snapshot.opened;
        let help = "Sessions opened, including inputs and outputs";
        families.family(
            Kind::Counter,
            "sessions_opened",
            help,
            None,
            [(Vec::new(), number(opened))],
        )
    }

    fn rejections(&self, families: &mut FamilyEncoder<'_>) -> fmt::Result {
        let row = |((by, code), count): ((&'static str, i32), u64)| {
            let labels = vec![("by", by.to_owned()), ("code", code.to_string())];
            (labels, number(count))
        };
        let counts = self.app.view.rejections.counts();
        let help = "Refused connection attempts, by what refused them and by reject code";
        families.family(
            Kind::Counter,
            "rejections",
            help,
            None,
            counts.into_iter().map(row),
        )
    }

    /// The failed checks of TR 101 290, by source.
    fn checks(
        &self,
        streams: &[(&StreamName, &StreamSample)],
        families: &mut FamilyEncoder<'_>,
    ) -> fmt::Result {
        let rows = streams.iter().flat_map(|(name, sample)| {
            Check::ALL
                .into_iter()
                .zip(sample.totals.checks)
                .map(|(check, count)| {
                    let labels = vec![
                        ("stream", name.to_string()),
                        ("check", check.name().to_owned()),
                        ("priority", check.priority().to_string()),
                    ];
                    (labels, number(count))
                })
        });
        let help = "Transport stream errors in the data from sources, by check of TR 101 290";
        families.family(Kind::Counter, "ts_errors", help, None, rows)
    }

    fn endpoints(&self, families: &mut FamilyEncoder<'_>) -> fmt::Result {
        let all = self.context.all_endpoints();
        let all = &all[..all.len().min(STREAMS)];
        let labels = |endpoint: &Endpoint| {
            vec![
                ("stream", endpoint.stream.clone()),
                ("direction", endpoint.direction.to_owned()),
                ("name", endpoint.name.clone()),
                ("url", endpoint.url.clone()),
                ("id", endpoint.id.clone()),
            ]
        };
        let rows = |value: fn(&Endpoint) -> f64| all.iter().map(move |e| (labels(e), value(e)));
        let is_up = |e: &Endpoint| bit(matches!(e.state, "live" | "standby"));
        families.family(
            Kind::Gauge,
            "endpoint_up",
            "1 while an input or output is connected; 0 for an input that receives nothing",
            None,
            rows(is_up),
        )?;
        families.family(
            Kind::Gauge,
            "endpoint_enabled",
            "0 while an input or output is stopped, otherwise 1",
            None,
            rows(|e| bit(e.enabled)),
        )?;
        families.family(
            Kind::Counter,
            "endpoint_failures",
            "Failed connection attempts and lost connections",
            None,
            rows(|e| number(e.failures)),
        )
    }

    /// libsrt's figures of each session.
    fn sessions(&self, families: &mut FamilyEncoder<'_>) -> fmt::Result {
        let known = self.context.sessions.iter().take(SESSIONS);
        let known: Vec<_> = known
            .filter_map(|session| {
                let labels = vec![
                    ("stream", session.stream.to_string()),
                    ("role", session.role.as_str().to_owned()),
                    ("session", session.id.to_string()),
                    ("peer", session.peer.to_string()),
                ];
                Some((labels, session.figures.clone()?))
            })
            .collect();
        for figure in &FIGURES {
            let (name, unit) = named("session", figure.name);
            let rows = known
                .iter()
                .map(|(labels, figures)| (labels.clone(), number(figure.of(&figures.totals)) * figure.scale));
            families.family(Kind::Counter, &name, figure.help, unit, rows)?;
        }
        for (name, help, unit, value) in LEVELS {
            let rows = known
                .iter()
                .map(|(labels, figures)| (labels.clone(), value(figures)));
            families.family(Kind::Gauge, name, help, unit.unit(), rows)?;
        }
        Ok(())
    }
}

/// The unit of a level, because `Unit` has no constants.
#[derive(Clone, Copy)]
enum LevelUnit {
    Seconds,
    Bytes,
    Packets,
    BitsPerSecond,
}

impl LevelUnit {
    fn unit(self) -> Option<Unit> {
        match self {
            Self::Seconds => Some(Unit::Seconds),
            Self::Bytes => Some(Unit::Bytes),
            Self::Packets => Some(Unit::Other("packets".to_owned())),
            Self::BitsPerSecond => Some(Unit::Other("bits_per_second".to_owned())),
        }
    }
}

type Level = (&'static str, &'static str, LevelUnit, fn(&SrtFigures) -> f64);

/// libsrt's levels of a session.
#[rustfmt::skip] // One a line: it is read as a table.
static LEVELS: [Level; 23] = [
    ("session_rtt", "Round-trip time", LevelUnit::Seconds, |f| f.stats.link.rtt.as_secs_f64()),
    ("session_send_latency", "Negotiated latency for sending", LevelUnit::Seconds, |f| f.stats.link.send_latency.as_secs_f64()),
    ("session_receive_latency", "Negotiated latency for receiving", LevelUnit::Seconds, |f| f.stats.link.receive_latency.as_secs_f64()),
    ("session_bandwidth", "libsrt's estimate of the path capacity", LevelUnit::BitsPerSecond, |f| number(f.stats.link.bandwidth)),
    ("session_max_bandwidth", "Limit of the sending rate", LevelUnit::BitsPerSecond, |f| number(f.stats.link.max_bandwidth)),
    ("session_send_period", "Interval between packets that the rate limit allows", LevelUnit::Seconds, |f| f.stats.link.send_period.as_secs_f64()),
    ("session_flow_window", "Unacknowledged packets that the peer's buffer can hold", LevelUnit::Packets, |f| f.stats.link.flow_window.into()),
    ("session_congestion_window", "Unacknowledged packets that congestion control allows", LevelUnit::Packets, |f| f.stats.link.congestion_window.into()),
    ("session_flight", "Packets sent and not yet acknowledged", LevelUnit::Packets, |f| f.stats.link.packets_in_flight.into()),
    ("session_max_segment", "Maximum size of a UDP packet, including headers", LevelUnit::Bytes, |f| f.stats.link.max_segment_size.into()),
    ("session_reorder_distance", "Largest reordering distance of a packet", LevelUnit::Packets, |f| f.stats.link.reorder_distance.into()),
    ("session_reorder_tolerance", "Reordering distance up to which a packet does not count as lost", LevelUnit::Packets, |f| f.stats.link.reorder_tolerance.into()),
    ("session_age", "Time since the connection began", LevelUnit::Seconds, |f| f.stats.elapsed.as_secs_f64()),
    ("session_send_buffer", "Packets in the send buffer: unacknowledged or not yet sent", LevelUnit::Packets, |f| f.stats.send_buffer.packets.into()),
    ("session_send_buffer", "Bytes in the send buffer: unacknowledged or not yet sent", LevelUnit::Bytes, |f| number(f.stats.send_buffer.bytes)),
    ("session_send_buffer_available", "Free space in the send buffer", LevelUnit::Bytes, |f| number(f.stats.send_buffer.available)),
    ("session_send_buffer_span", "Time between the first and last packet in the send buffer", LevelUnit::Seconds, |f| f.stats.send_buffer.span.as_secs_f64()),
    ("session_receive_buffer", "Packets in the receive buffer: received but not yet read", LevelUnit::Packets, |f| f.stats.receive_buffer.packets.into()),
    ("session_receive_buffer", "Bytes in the receive buffer: received but not yet read", LevelUnit::Bytes, |f| number(f.stats.receive_buffer.bytes)),
    ("session_receive_buffer_available", "Free space in the receive buffer", LevelUnit::Bytes, |f| number(f.stats.receive_buffer.available)),
    ("session_receive_buffer_span", "Time between the first and last packet in the receive buffer", LevelUnit::Seconds, |f| f.stats.receive_buffer.span.as_secs_f64()),
    ("session_belated_by", "Average delay of packets that arrived too late", LevelUnit::Seconds, |f| f.stats.link.belated_by.unwrap_or_default().as_secs_f64()),
    ("session_rtt_p95", "95th percentile of the round-trip time over the last minute", LevelUnit::Seconds, |f| f.rtt_p95.as_secs_f64()),
];

/// The family name for a figure with `prefix`, and its unit, which the encoder appends.
fn named(prefix: &str, figure: &str) -> (String, Option<Unit>) {
    let units = [
        ("_bytes", Unit::Bytes),
        ("_packets", Unit::Other("packets".to_owned())),
        ("_seconds", Unit::Seconds),
    ];
    for (suffix, unit) in units {
        if let Some(bare) = figure.strip_suffix(suffix) {
            return (format!("{prefix}_{bare}"), Some(unit));
        }
    }
    (format!("{prefix}_{figure}"), None)
}

fn streams_of(streams: &[(&StreamName, &StreamSample)], families: &mut FamilyEncoder<'_>) -> fmt::Result {
    let rows = |value: fn(&StreamSample) -> f64| {
        streams
            .iter()
            .map(move |(name, sample)| (vec![("stream", name.to_string())], value(sample)))
    };
    let (gauge, counter) = (Kind::Gauge, Kind::Counter);
    let help = "1 while a source sends data";
    families.family(gauge, "stream_up", help, None, rows(|s| bit(s.flows)))?;
    let help = "Current viewers, excluding outputs and console previews";
    families.family(gauge, "stream_viewers", help, None, rows(|s| s.viewers.into()))?;
    let help = "Payload received from all sources";
    let bytes = || Some(Unit::Bytes);
    families.family(
        counter,
        "stream_received",
        help,
        bytes(),
        rows(|s| number(s.totals.received)),
    )?;
    let help = "Messages received from all sources";
    families.family(
        counter,
        "stream_received_messages",
        help,
        None,
        rows(|s| number(s.totals.messages)),
    )?;
    let help = "Payload sent to viewers and outputs";
    families.family(
        counter,
        "stream_sent",
        help,
        bytes(),
        rows(|s| number(s.totals.sent)),
    )?;
    let help = "Messages that viewers and outputs skipped because they were too slow";
    families.family(
        counter,
        "stream_skipped_messages",
        help,
        None,
        rows(|s| number(s.totals.skipped)),
    )?;
    let help = "Retransmissions that viewers requested and resend_limit withheld";
    families.family(
        counter,
        "stream_resends_held",
        help,
        None,
        rows(|s| number(s.totals.resends_held)),
    )
}

/// libsrt's figures of the links of sources and viewers, by stream.
fn links_of(streams: &[(&StreamName, &StreamSample)], families: &mut FamilyEncoder<'_>) -> fmt::Result {
    let labels = |name: &StreamName, at: usize| {
        vec![
            ("stream", name.to_string()),
            ("role", ROLES[at].as_str().to_owned()),
        ]
    };
    for (at, figure) in FIGURES.iter().enumerate() {
        let (name, unit) = named("link", figure.name);
        let rows = streams.iter().flat_map(|(stream, sample)| {
            let of_roles = sample.totals.links.iter().enumerate();
            of_roles.map(move |(role, values)| (labels(stream, role), number(values[at]) * figure.scale))
        });
        families.family(Kind::Counter, &name, figure.help, unit, rows)?;
    }
    type Worst = (&'static str, &'static str, Option<Unit>, fn(&LinkSummary) -> f64);
    let worst: [Worst; 5] = [
        (
            "link_rtt",
            "Round-trip time; for viewers, the longest",
            Some(Unit::Seconds),
            |link| link.rtt_ms / 1e3,
        ),
        (
            "link_rtt_p95",
            "95th percentile of the round-trip time over the last minute; for viewers, the longest",
            Some(Unit::Seconds),
            |link| link.rtt_p95_ms / 1e3,
        ),
        (
            "link_loss",
            "Share of packets lost on the wire in the last second, before retransmission; for viewers, the largest",
            Some(Unit::Ratios),
            |link| link.loss_ratio,
        ),
        (
            "link_buffer",
            "Time between the first and last packet in the buffer; for viewers, the longest",
            Some(Unit::Seconds),
            |link| link.buffer_ms / 1e3,
        ),
        (
            "link_latency",
            "Negotiated latency; for viewers, the longest",
            Some(Unit::Seconds),
            |link| link.latency_ms / 1e3,
        ),
    ];
    for (name, help, unit, value) in worst {
        let rows = streams.iter().flat_map(|(stream, sample)| {
            let links = [&sample.figures.link, &sample.figures.viewers_link];
            let known = links.into_iter().enumerate();
            known.filter_map(move |(role, link)| Some((labels(stream, role), value(link.as_ref()?))))
        });
        families.family(Kind::Gauge, name, help, unit, rows)?;
    }
    Ok(())
}
