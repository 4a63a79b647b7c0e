//! What the API sends, as types: their fields are the contract. Units are in the names; what is not known is absent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A part of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// How many there are, all parts together.
    pub(crate) total: usize,
    /// The first of `items` has this number, from 0.
    pub(crate) offset: usize,
    pub(crate) items: Vec<T>,
}

/// Which part of a list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// Leaves out so many.
    #[serde(default)]
    pub(crate) offset: usize,
    /// Gives so many at most; 1000 if it is left out, and no more than that.
    pub(crate) limit: Option<usize>,
    /// Only what has this text in its name (streams), stream, peer or address.
    pub(crate) q: Option<String>,
    /// Only what belongs to this stream.
    pub(crate) stream: Option<String>,
}

/// Which part of a record.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RecordParams {
    /// Only what came after the entry of this number.
    #[serde(default)]
    pub(crate) after: u64,
    /// Gives so many at most, the newest; 1000 if it is left out, and no more than that.
    pub(crate) limit: Option<usize>,
}

/// Longest list in one answer.
pub(crate) const LIMIT: usize = 1000;

impl ListParams {
    /// The part of `items` that is asked for.
    pub(crate) fn page<T>(&self, items: Vec<T>) -> Page<T> {
        let total = items.len();
        let limit = self.limit.unwrap_or(LIMIT).min(LIMIT);
        Page {
            total,
            offset: self.offset,
            items: items.into_iter().skip(self.offset).take(limit).collect(),
        }
    }

    /// Whether any of these texts has what `q` asks for.
    pub(crate) fn finds(&self, texts: &[&str]) -> bool {
        let Some(wanted) = self.q.as_deref().filter(|q| !q.is_empty()) else {
            return true;
        };
        let wanted = wanted.to_lowercase();
        texts.iter().any(|text| text.to_lowercase().contains(&wanted))
    }

    /// Whether it is of the stream that is asked for.
    pub(crate) fn is_of(&self, stream: &str) -> bool {
        self.stream.as_deref().is_none_or(|wanted| wanted == stream)
    }
}

impl RecordParams {
    /// The newest of those after the number, the oldest first.
    pub(crate) fn part<T>(&self, mut items: Vec<T>, number: impl Fn(&T) -> u64) -> Vec<T> {
        items.retain(|item| number(item) > self.after);
        let limit = self.limit.unwrap_or(LIMIT).min(LIMIT);
        items.split_off(items.len().saturating_sub(limit))
    }
}

/// The program.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Version {
    /// Of srt-gateway.
    pub(crate) version: &'static str,
    /// Of libsrt.
    pub(crate) libsrt: String,
    /// Our edits that this libsrt has.
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
    /// No new sessions are taken in.
    pub(crate) draining: bool,
    pub(crate) streams: usize,
    pub(crate) streams_live: usize,
    pub(crate) sessions: usize,
    pub(crate) viewers: u32,
    /// Bits a second that come in, all streams together.
    pub(crate) bitrate_in_bps: u64,
    /// Bits a second that go out, all viewers and outputs together.
    pub(crate) bitrate_out_bps: u64,
    /// How late the workers were at most in the last second.
    pub(crate) loop_lag_ms: f64,
    /// What this request's token may do.
    pub(crate) scope: super::auth::Scope,
    /// `error`, `warn`, `info`, `debug` or `trace`; absent where RUST_LOG decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log_level: Option<&'static str>,
    /// The configuration file; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) config_file: Option<String>,
    /// Where is kept what this API adds and changes; absent: nowhere, it is forgotten at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state_file: Option<String>,
}

/// Whether it serves.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`, `degraded` (it serves streams, but something beside them stands still), `stuck` or `draining`.
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
    /// The time at which it was last seen to make progress.
    pub(crate) since: String,
}

/// Where something was configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// In the configuration file: changed there.
    Config,
    /// By this API: kept in the state file.
    Api,
    /// Nowhere: it came to be when somebody published or asked for it, and goes with the last session.
    Caller,
}

/// How a stream does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StreamState {
    /// It has a source, and data comes.
    Live,
    /// It has a source, and no data has come for 2 s.
    Silent,
    /// Viewers or outputs wait for a source, or an input is to come.
    Waiting,
    /// Nobody is there.
    Idle,
}

/// A stream in a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct StreamSummary {
    pub(crate) name: String,
    pub(crate) origin: Origin,
    pub(crate) state: StreamState,
    pub(crate) viewers: u32,
    /// Those who watch over HTTP: pictures of the console. They are no viewers, and take no place of `max_viewers`.
    pub(crate) previews: u32,
    pub(crate) outputs: usize,
    pub(crate) inputs: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<Source>,
    pub(crate) figures: StreamFigures,
    /// Who is at fault if it stutters: `level`, `fault`, `sentence`, `evidence`, `viewers`.
    #[schema(value_type = Object)]
    pub(crate) verdict: crate::telemetry::health::Verdict,
}

/// Who feeds a stream.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Source {
    pub(crate) session: u64,
    /// `publisher` or `input`.
    pub(crate) kind: &'static str,
    /// The peer's address, or the input's URL.
    pub(crate) peer: String,
    /// The input, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) input: Option<String>,
}

/// A stream's figures of the last second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct StreamFigures {
    /// Bits of payload a second from the source.
    pub(crate) bitrate_bps: u64,
    /// Bits of payload a second to all viewers and outputs.
    pub(crate) bitrate_out_bps: u64,
    /// Bytes of payload from all sources so far.
    pub(crate) bytes: u64,
    pub(crate) messages: u64,
    /// The source's link; absent where it is no SRT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<LinkSummary>,
    /// The viewers' links, the worst of each figure; absent without SRT viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) viewers_link: Option<LinkSummary>,
    /// Messages that viewers and outputs were too slow for, in the last second.
    pub(crate) skipped: u64,
}

/// A link in short, as of the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct LinkSummary {
    pub(crate) rtt_ms: f64,
    /// 95 % of the last minute's were not above this.
    pub(crate) rtt_p95_ms: f64,
    /// Share of packets lost on the wire, before they were sent again; 0 to 1.
    pub(crate) loss_ratio: f64,
    /// Packets lost on the wire.
    pub(crate) lost: u64,
    /// Packets sent again.
    pub(crate) retransmitted: u64,
    /// Packets given up as too late: gaps.
    pub(crate) dropped: u64,
    /// Time between the first and last packet in the buffer ...
    pub(crate) buffer_ms: f64,
    /// ... that the latency bounds.
    pub(crate) latency_ms: f64,
}

/// A stream with all that belongs to it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct StreamDetail {
    #[serde(flatten)]
    pub(crate) summary: StreamSummary,
    /// Opaque; what `If-Match` is compared with. The same as the `ETag` header.
    pub(crate) version: String,
    /// Its table in the configuration, secrets masked; absent for a stream that no table names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) definition: Option<serde_json::Value>,
    /// What the source carries: programs, PIDs, checks of TR 101 290; absent without a source.
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
    /// The port that it came in by, or `input or output`.
    pub(crate) via: String,
    /// Whether it is that of an input or output.
    pub(crate) of_endpoint: bool,
    /// Whether it feeds the stream now.
    pub(crate) feeds: bool,
    pub(crate) age_seconds: u64,
    /// The peer's SRT version.
    pub(crate) srt_version: String,
    /// `AES-128`, `AES-192`, `AES-256` or `none`.
    pub(crate) encryption: &'static str,
    /// As negotiated; the larger of both directions.
    pub(crate) latency_ms: u64,
    /// As the caller sent it, passwords masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) streamid: Option<String>,
    /// What the hook of `[auth]` has called the caller, secrets masked.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) bytes: u64,
    pub(crate) messages: u64,
    /// Messages that a viewer was too slow for.
    pub(crate) skipped: u64,
    /// How often `resend_limit` held back a packet that the viewer had asked for again.
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
    /// Where its other end is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peer: Option<String>,
    /// `running` and `idle` links work.
    pub(crate) state: String,
    /// How much a backup group prefers it.
    pub(crate) weight: u16,
    pub(crate) rtt_ms: f64,
    /// Packets of the stream, each once.
    pub(crate) packets: u64,
    /// Packets lost on the wire.
    pub(crate) lost: u64,
    /// Packets sent again.
    pub(crate) retransmitted: u64,
}

/// All that libsrt tells of a connection.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Link {
    /// As of the last second.
    #[serde(flatten)]
    pub(crate) summary: LinkSummary,
    pub(crate) send_rate_bps: u64,
    pub(crate) receive_rate_bps: u64,
    /// libsrt's guess of the path's capacity.
    pub(crate) bandwidth_bps: u64,
    pub(crate) max_bandwidth_bps: u64,
    /// Time between two packets that the limit leaves.
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
    /// How late packets were that came too late; absent where none did.
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

/// What libsrt counted since the connection began. Bytes are with headers.
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
    /// Time during which there was something to send.
    pub(crate) send_duration_ms: f64,
}

/// An input or output.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Endpoint {
    /// The same as long as stream, direction and the configured name are, or the address where it has none; also after a restart.
    pub(crate) id: String,
    pub(crate) stream: String,
    /// `input` or `output`.
    pub(crate) direction: &'static str,
    /// The configured name; without one the address, with the streamid where others have the same address.
    pub(crate) name: String,
    /// Without parameters and secrets.
    pub(crate) url: String,
    pub(crate) origin: Origin,
    /// Not started, as configured or by `stop`.
    pub(crate) enabled: bool,
    /// `idle`, `connecting`, `listening`, `live`, `standby`, `silent`, `stalled`, `backing_off`, `failed` or `stopped`.
    pub(crate) state: &'static str,
    /// Attempts that failed and connections that broke, so far.
    pub(crate) failures: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_failure: Option<String>,
    /// The streamid that its last call sent, passwords masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) streamid: Option<String>,
    /// What is probably a mistake in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
    /// The session of its connection: look it up among the sessions if it is SRT.
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

/// A port that is listened on.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Listener {
    /// `srt`, `srt_publish` or `srt_play`.
    pub(crate) kind: &'static str,
    pub(crate) address: String,
    /// Whose port it is; absent: the streamid names the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream: Option<String>,
    /// A passphrase is needed.
    pub(crate) encrypted: bool,
    /// Of the port.
    pub(crate) latency_ms: u64,
}

/// Refused attempts of one caller to connect, all for the same reason.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Rejection {
    /// That of the last attempt. Attempts count up: what was seen before need not be read again.
    pub(crate) number: u64,
    /// Of the last attempt: RFC 3339, UTC.
    pub(crate) time: String,
    /// Of the first attempt: RFC 3339, UTC.
    pub(crate) first: String,
    /// How many attempts there were.
    pub(crate) count: u64,
    pub(crate) peer: String,
    pub(crate) port: u16,
    /// What that port is.
    pub(crate) listener: String,
    /// What is not printable escaped, passwords masked.
    pub(crate) streamid: String,
    pub(crate) dialect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) srt_version: Option<String>,
    pub(crate) encryption: String,
    /// Who refused: `port`, `stream`, `passphrase`, `rules`, `hook`, `limits`.
    pub(crate) by: &'static str,
    /// What the caller was told.
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
    /// Only so many of the newest points.
    pub(crate) points: Option<usize>,
}

/// Which figure of the past of all streams.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoriesParams {
    /// `1s` (10 minutes) or `10s` (24 hours, means).
    #[serde(default)]
    pub(crate) step: Step,
    /// Only so many of the newest points; 60 if it is left out.
    pub(crate) points: Option<usize>,
    /// As a stream's history names it; `bitrate_bps` if it is left out.
    pub(crate) figure: Option<String>,
}

/// A figure of the past of all streams.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Histories {
    pub(crate) step_seconds: u64,
    pub(crate) figure: String,
    /// By name; streams without a past are left out.
    pub(crate) streams: std::collections::BTreeMap<String, Past>,
}

/// A figure of the past of a stream.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Past {
    /// Unix time of the first point, seconds. Points follow each other without gaps.
    pub(crate) start: u64,
    /// Three digits; null: not known then.
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

/// A stream's past, a column each. Values have three digits; null: not known then.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct History {
    pub(crate) step_seconds: u64,
    /// Unix time of the first point, seconds. Points follow each other without gaps.
    pub(crate) start: u64,
    pub(crate) points: usize,
    /// By the name of the figure; the mean of each step.
    pub(crate) mean: std::collections::BTreeMap<&'static str, Vec<Option<f32>>>,
    /// The largest within each step; only with `step=10s`.
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
    /// Of the stream that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) sessions: Vec<Session>,
}

/// The gateway in a second.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct LiveGateway {
    pub(crate) sessions: usize,
    pub(crate) viewers: u32,
    pub(crate) bitrate_in_bps: u64,
    pub(crate) bitrate_out_bps: u64,
    pub(crate) loop_lag_ms: f64,
    pub(crate) draining: bool,
    /// Number of the last refused attempt.
    pub(crate) last_rejection: u64,
}

/// Which figures are sent.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LiveParams {
    /// Only this stream, with its sessions.
    pub(crate) stream: Option<String>,
}
