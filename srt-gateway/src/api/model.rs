//! The types of the API's answers: their fields are the contract. Names include units; unknown values are absent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    telemetry::alarms::AlarmCounts,
    ts::{Payload, StreamKind, TsReport},
};

/// A part of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// Total number of items on all pages.
    pub(crate) total: usize,
    /// Index of the first of `items`, from 0.
    pub(crate) offset: usize,
    pub(crate) items: Vec<T>,
}

/// Which part of a list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// Number of items to skip.
    #[serde(default)]
    pub(crate) offset: usize,
    /// Maximum number of items; by default and at most 1000.
    pub(crate) limit: Option<usize>,
    /// Only items with this text in the name (streams), stream, peer or address.
    pub(crate) q: Option<String>,
    /// Only items of this stream.
    pub(crate) stream: Option<String>,
}

/// Which part of a record.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RecordParams {
    /// Only entries after the one with this number.
    #[serde(default)]
    pub(crate) after: u64,
    /// Maximum number of entries, the newest ones; by default and at most 1000.
    pub(crate) limit: Option<usize>,
}

/// The longest list in one answer.
pub(crate) const LIMIT: usize = 1000;

impl ListParams {
    /// The requested part of `items`.
    pub(crate) fn page<T>(&self, items: Vec<T>) -> Page<T> {
        let total = items.len();
        let limit = self.limit.unwrap_or(LIMIT).min(LIMIT);
        Page {
            total,
            offset: self.offset,
            items: items.into_iter().skip(self.offset).take(limit).collect(),
        }
    }

    /// Whether any of these texts matches `q`.
    pub(crate) fn finds(&self, texts: &[&str]) -> bool {
        let Some(wanted) = self.q.as_deref().filter(|q| !q.is_empty()) else {
            return true;
        };
        let wanted = wanted.to_lowercase();
        texts.iter().any(|text| text.to_lowercase().contains(&wanted))
    }

    /// Whether it belongs to the requested stream.
    pub(crate) fn is_of(&self, stream: &str) -> bool {
        self.stream.as_deref().is_none_or(|wanted| wanted == stream)
    }
}

impl RecordParams {
    /// The newest items after the given number, oldest first.
    pub(crate) fn part<T>(&self, mut items: Vec<T>, number: impl Fn(&T) -> u64) -> Vec<T> {
        items.retain(|item| number(item) > self.after);
        let limit = self.limit.unwrap_or(LIMIT).min(LIMIT);
        items.split_off(items.len().saturating_sub(limit))
    }
}

/// The program.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Version {
    /// Version of srt-gateway.
    pub(crate) version: &'static str,
    /// Version of libsrt.
    pub(crate) libsrt: String,
    /// The gateway's edits that this libsrt contains.
    pub(crate) libsrt_edits: Vec<&'static str>,
    /// libsrt's crypto library.
    pub(crate) crypto: &'static str,
}

/// The gateway as a whole.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct GatewayState {
    pub(crate) name: String,
    pub(crate) version: &'static str,
    pub(crate) uptime_seconds: u64,
    /// Whether the gateway drains and accepts no new sessions.
    pub(crate) draining: bool,
    pub(crate) streams: usize,
    pub(crate) streams_live: usize,
    pub(crate) sessions: usize,
    pub(crate) viewers: u32,
    /// Bits per second received by all streams.
    pub(crate) bitrate_in_bps: u64,
    /// Bits per second sent to all viewers and outputs.
    pub(crate) bitrate_out_bps: u64,
    /// Longest delay of a worker thread in the last second.
    pub(crate) loop_lag_ms: f64,
    /// Active alarms.
    pub(crate) alarms: AlarmCounts,
    /// What the token of this request permits.
    pub(crate) scope: super::auth::Scope,
    /// `error`, `warn`, `info`, `debug` or `trace`; absent if RUST_LOG overrides it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log_level: Option<&'static str>,
    /// The configuration file; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) config_file: Option<String>,
    /// The file with additions and changes by this API; absent: they are lost when the gateway exits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state_file: Option<String>,
}

/// The health of the gateway.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`, `degraded` (streams work, but a thread that does not serve them is stuck), `stuck` or `draining`.
    pub(crate) status: &'static str,
    /// Threads that have made no progress for 10 s.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) stuck: Vec<StuckThread>,
}

/// A thread that makes no progress.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct StuckThread {
    /// Such as `relay-0`, `control` or `libsrt receive, port 9000`.
    pub(crate) thread: String,
    /// The time of its last progress.
    pub(crate) since: String,
}

/// Where something was configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// In the configuration file.
    Config,
    /// Through this API: saved in the state file.
    Api,
    /// Nowhere: it was created when somebody published or requested it, and is removed with the last session.
    Caller,
}

/// The state of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StreamState {
    /// It has a source and receives data.
    Live,
    /// It has a source, but has received no data for 2 s.
    Silent,
    /// Viewers or outputs wait for a source, or an input is not connected yet.
    Waiting,
    /// Nobody publishes or plays it.
    Idle,
}

/// A stream in a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct StreamSummary {
    pub(crate) name: String,
    pub(crate) origin: Origin,
    pub(crate) state: StreamState,
    pub(crate) viewers: u32,
    /// Previews over HTTP: pictures of the console. They are not viewers and do not count towards `max_viewers`.
    pub(crate) previews: u32,
    pub(crate) outputs: usize,
    pub(crate) inputs: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<Source>,
    /// Time since the source connected, in seconds; absent if it is not SRT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) up_seconds: Option<u64>,
    /// What the source sends; absent before it has sent something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) media: Option<Media>,
    pub(crate) figures: StreamFigures,
    /// What is at fault if it stutters: `level`, `fault`, `sentence`, `evidence`, `viewers`.
    #[schema(value_type = Object)]
    pub(crate) verdict: crate::telemetry::health::Verdict,
}

/// Summary of what a stream carries: its first video and its first audio.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Media {
    /// `mpeg_ts`, `mpeg_ts204`, `mpeg_ts_scrambled` or `other`.
    #[schema(value_type = String)]
    pub(crate) format: Payload,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) video: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) audio: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) height: Option<u32>,
    /// As declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) frame_rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interlaced: Option<bool>,
}

impl Media {
    pub(crate) fn of(report: &TsReport) -> Option<Self> {
        let format = (report.payload != Payload::Unknown).then_some(report.payload)?;
        let first = |kind| {
            let streams = report.programs.iter().flat_map(|program| &program.streams);
            streams.into_iter().find(|stream| stream.kind == kind)
        };
        let (video, audio) = (first(StreamKind::Video), first(StreamKind::Audio));
        let picture = video.and_then(|stream| stream.video.as_ref());
        Some(Self {
            format,
            video: video.map(|stream| stream.codec.clone()),
            audio: audio.map(|stream| stream.codec.clone()),
            width: picture.map(|picture| picture.width),
            height: picture.map(|picture| picture.height),
            frame_rate: picture.and_then(|picture| picture.frame_rate),
            interlaced: picture.map(|picture| picture.interlaced),
        })
    }
}

/// The source of a stream.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Source {
    pub(crate) session: u64,
    /// `publisher` or `input`.
    pub(crate) kind: &'static str,
    /// The peer's address, or the input's URL.
    pub(crate) peer: String,
    /// The id of the input, if the source is an input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) input: Option<String>,
}

/// A stream's figures of the last second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct StreamFigures {
    /// Bits of payload per second from the source.
    pub(crate) bitrate_bps: u64,
    /// Bits of payload per second to all viewers and outputs.
    pub(crate) bitrate_out_bps: u64,
    /// Bytes of payload from all sources so far.
    pub(crate) bytes: u64,
    pub(crate) messages: u64,
    /// The source's link; absent if it is not SRT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<LinkSummary>,
    /// The worst value of each figure among the viewers' links; absent without SRT viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) viewers_link: Option<LinkSummary>,
    /// Messages that viewers and outputs skipped in the last second because they were too slow.
    pub(crate) skipped: u64,
}

/// Summary of a link for the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct LinkSummary {
    pub(crate) rtt_ms: f64,
    /// 95th percentile of the round-trip time over the last minute.
    pub(crate) rtt_p95_ms: f64,
    /// Share of packets lost on the wire, before retransmission; 0 to 1.
    pub(crate) loss_ratio: f64,
    /// Packets lost on the wire.
    pub(crate) lost: u64,
    /// Packets retransmitted.
    pub(crate) retransmitted: u64,
    /// Packets dropped as too late: gaps.
    pub(crate) dropped: u64,
    /// Time between the first and last packet in the buffer; limited by the latency.
    pub(crate) buffer_ms: f64,
    /// The negotiated latency.
    pub(crate) latency_ms: f64,
}

/// A stream with its sessions, inputs and outputs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct StreamDetail {
    #[serde(flatten)]
    pub(crate) summary: StreamSummary,
    /// Opaque version for `If-Match`; the same as the `ETag` header.
    pub(crate) version: String,
    /// Its table in the configuration, with secrets masked; absent for a stream without a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) definition: Option<serde_json::Value>,
    /// Contents of the source's data: programs, PIDs, checks of TR 101 290; absent without a source.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) ts: Option<crate::ts::TsReport>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) input_list: Vec<Endpoint>,
    pub(crate) output_list: Vec<Endpoint>,
}

/// An open SRT connection.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Session {
    pub(crate) id: u64,
    /// `publisher` or `viewer`.
    pub(crate) role: &'static str,
    pub(crate) stream: String,
    pub(crate) peer: String,
    /// The port that accepted it, or `input or output`.
    pub(crate) via: String,
    /// Whether it belongs to an input or output.
    pub(crate) of_endpoint: bool,
    /// Whether it is the current source of the stream.
    pub(crate) feeds: bool,
    pub(crate) age_seconds: u64,
    /// The peer's SRT version.
    pub(crate) srt_version: String,
    /// `AES-128`, `AES-192`, `AES-256` or `none`.
    pub(crate) encryption: &'static str,
    /// The negotiated latency; the larger of both directions.
    pub(crate) latency_ms: u64,
    /// The streamid that the caller sent, with passwords masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) streamid: Option<String>,
    /// Labels that the hook of `[auth]` gave the caller, with secrets masked.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) bytes: u64,
    pub(crate) messages: u64,
    /// Messages that a viewer skipped because it was too slow.
    pub(crate) skipped: u64,
    /// Retransmissions that the viewer requested and `resend_limit` withheld.
    pub(crate) resends_held: u64,
    /// Absent in the first second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<Link>,
    /// The links of a bonded connection.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) bonded: Vec<BondedLink>,
}

/// A link of a bonded connection.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct BondedLink {
    /// Address of the other end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peer: Option<String>,
    /// The state; `running` and `idle` links work.
    pub(crate) state: String,
    /// Its weight: a backup group prefers the link with the greatest one.
    pub(crate) weight: u16,
    pub(crate) rtt_ms: f64,
    /// Packets of the stream, each counted once.
    pub(crate) packets: u64,
    /// Packets lost on the wire.
    pub(crate) lost: u64,
    /// Packets retransmitted.
    pub(crate) retransmitted: u64,
}

/// All statistics of libsrt for a connection.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Link {
    /// The last second.
    #[serde(flatten)]
    pub(crate) summary: LinkSummary,
    pub(crate) send_rate_bps: u64,
    pub(crate) receive_rate_bps: u64,
    /// libsrt's estimate of the path capacity.
    pub(crate) bandwidth_bps: u64,
    pub(crate) max_bandwidth_bps: u64,
    /// Interval between packets that the rate limit allows.
    pub(crate) send_period_ms: f64,
    pub(crate) flow_window_packets: u32,
    pub(crate) congestion_window_packets: u32,
    pub(crate) flight_packets: u32,
    pub(crate) max_segment_bytes: u32,
    pub(crate) send_latency_ms: f64,
    pub(crate) receive_latency_ms: f64,
    pub(crate) send_buffer: Buffer,
    pub(crate) receive_buffer: Buffer,
    pub(crate) reorder_distance_packets: u32,
    pub(crate) reorder_tolerance_packets: u32,
    /// Average delay of packets that arrived too late; absent if there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) belated_by_ms: Option<f64>,
    /// Since the connection began.
    pub(crate) total: LinkTotals,
}

/// How full a buffer is.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct Buffer {
    pub(crate) packets: u32,
    pub(crate) bytes: u64,
    pub(crate) span_ms: f64,
    pub(crate) available_bytes: u64,
}

/// Counters of libsrt since the connection began. Bytes include headers.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct LinkTotals {
    pub(crate) sent_packets: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) sent_unique_packets: u64,
    pub(crate) sent_unique_bytes: u64,
    pub(crate) received_packets: u64,
    pub(crate) received_bytes: u64,
    pub(crate) received_unique_packets: u64,
    pub(crate) received_unique_bytes: u64,
    pub(crate) retransmitted_packets: u64,
    pub(crate) retransmitted_bytes: u64,
    pub(crate) received_retransmitted_packets: u64,
    pub(crate) send_lost_packets: u64,
    pub(crate) receive_lost_packets: u64,
    pub(crate) receive_lost_bytes: u64,
    pub(crate) send_dropped_packets: u64,
    pub(crate) send_dropped_bytes: u64,
    pub(crate) receive_dropped_packets: u64,
    pub(crate) receive_dropped_bytes: u64,
    pub(crate) undecrypted_packets: u64,
    pub(crate) undecrypted_bytes: u64,
    pub(crate) belated_packets: u64,
    pub(crate) acks_sent: u64,
    pub(crate) acks_received: u64,
    pub(crate) naks_sent: u64,
    pub(crate) naks_received: u64,
    pub(crate) filter_sent_packets: u64,
    pub(crate) filter_received_packets: u64,
    pub(crate) filter_restored_packets: u64,
    pub(crate) filter_lost_packets: u64,
    /// Time during which there was data to send.
    pub(crate) send_duration_ms: f64,
}

/// An input or output.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Endpoint {
    /// Stable, also after a restart, as long as the stream, the direction and the configured name, or the address if it has
    /// no name, stay the same.
    pub(crate) id: String,
    pub(crate) stream: String,
    /// `input` or `output`.
    pub(crate) direction: &'static str,
    /// The configured name; without one, the address, with the streamid if others have the same address.
    pub(crate) name: String,
    /// The URL without parameters and secrets.
    pub(crate) url: String,
    pub(crate) origin: Origin,
    /// False if it is stopped, by the configuration or by `stop`.
    pub(crate) enabled: bool,
    /// `idle`, `connecting`, `listening`, `live`, `standby`, `silent`, `stalled`, `backing_off`, `failed` or `stopped`.
    pub(crate) state: &'static str,
    /// Failed connection attempts and lost connections so far.
    pub(crate) failures: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_failure: Option<String>,
    /// The streamid that its last call sent, with passwords masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) streamid: Option<String>,
    /// Probable mistakes in its definition.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
    /// The session of its connection; if it is SRT, the sessions list it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<u64>,
    pub(crate) bytes: u64,
    pub(crate) messages: u64,
    pub(crate) skipped: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<LinkSummary>,
    /// Control's number for it, while it is enabled.
    #[serde(skip)]
    pub(crate) running: Option<u32>,
}

/// A port that the gateway listens on.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Listener {
    /// `srt`, `srt_publish` or `srt_play`.
    pub(crate) kind: &'static str,
    pub(crate) address: String,
    /// The stream of the port; absent: the streamid names the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream: Option<String>,
    /// Whether a passphrase is required.
    pub(crate) encrypted: bool,
    /// The latency of the port.
    pub(crate) latency_ms: u64,
}

/// Refused connection attempts of one caller, all for the same reason.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Rejection {
    /// Number of the last attempt. Numbers increase, so that a client can request only newer entries.
    pub(crate) number: u64,
    /// Time of the last attempt: RFC 3339, UTC.
    pub(crate) time: String,
    /// Time of the first attempt: RFC 3339, UTC.
    pub(crate) first: String,
    /// Number of attempts.
    pub(crate) count: u64,
    pub(crate) peer: String,
    pub(crate) port: u16,
    /// Description of that port.
    pub(crate) listener: String,
    /// The streamid, with unprintable characters escaped and passwords masked.
    pub(crate) streamid: String,
    pub(crate) dialect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) srt_version: Option<String>,
    pub(crate) encryption: String,
    /// What refused it: `port`, `stream`, `passphrase`, `rules`, `hook`, `limits`.
    pub(crate) by: &'static str,
    /// The reject code sent to the caller.
    pub(crate) code: i32,
    /// Why, and what to change.
    pub(crate) reason: String,
}

/// The parts of [`History`].
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryParams {
    /// `1s` (10 minutes) or `10s` (24 hours, mean and maximum).
    #[serde(default)]
    pub(crate) step: Step,
    /// Only this many of the newest points.
    pub(crate) points: Option<usize>,
}

/// Which figure of the history of all streams.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoriesParams {
    /// `1s` (10 minutes) or `10s` (24 hours, means).
    #[serde(default)]
    pub(crate) step: Step,
    /// Only this many of the newest points; 60 by default.
    pub(crate) points: Option<usize>,
    /// Name of the figure, as in a stream's history; `bitrate_bps` by default.
    pub(crate) figure: Option<String>,
}

/// One figure of the history of all streams.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Histories {
    pub(crate) step_seconds: u64,
    pub(crate) figure: String,
    /// By name; streams without a history are omitted.
    pub(crate) streams: std::collections::BTreeMap<String, Past>,
}

/// One figure of the history of a stream.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Past {
    /// Unix time of the first point in seconds. Points follow each other without gaps.
    pub(crate) start: u64,
    /// Values with three digits; null: unknown at that time.
    pub(crate) values: Vec<Option<f32>>,
}

/// The time between two points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) enum Step {
    #[default]
    #[serde(rename = "1s")]
    Second,
    #[serde(rename = "10s")]
    TenSeconds,
}

/// The history of a stream, one column for each figure. Values have three digits; null: unknown at that time.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct History {
    pub(crate) step_seconds: u64,
    /// Unix time of the first point in seconds. Points follow each other without gaps.
    pub(crate) start: u64,
    pub(crate) points: usize,
    /// The mean of each step, by the name of the figure.
    pub(crate) mean: std::collections::BTreeMap<&'static str, Vec<Option<f32>>>,
    /// The maximum of each step, by the name of the figure; only with `step=10s`.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub(crate) max: std::collections::BTreeMap<&'static str, Vec<Option<f32>>>,
}

/// What `/api/v1/live` sends each second.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct LiveEvent {
    /// Unix time in milliseconds.
    pub(crate) time_ms: u64,
    pub(crate) gateway: LiveGateway,
    pub(crate) streams: Vec<StreamSummary>,
    /// Sessions of the requested stream.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) sessions: Vec<Session>,
}

/// The gateway during one second.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct LiveGateway {
    pub(crate) sessions: usize,
    pub(crate) viewers: u32,
    pub(crate) bitrate_in_bps: u64,
    pub(crate) bitrate_out_bps: u64,
    pub(crate) loop_lag_ms: f64,
    pub(crate) draining: bool,
    /// Active alarms.
    pub(crate) alarms: AlarmCounts,
    /// Number of the last refused attempt.
    pub(crate) last_rejection: u64,
}

/// Which figures to send.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LiveParams {
    /// Only this stream, with its sessions.
    pub(crate) stream: Option<String>,
}
