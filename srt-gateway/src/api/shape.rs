//! Converts the gateway's state to the API's answers. Pure; masks secrets.

use std::{collections::HashMap, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};

use super::{
    model::{
        BondedLink, Buffer, Endpoint, Link, LinkSummary, LinkTotals, Listener, Origin, Rejection, Session,
        Source, StreamFigures, StreamState, StreamSummary,
    },
    sampler::{Snapshot, StreamSample},
    store::Origins,
};
use crate::{
    access::{self, Directory, Scope},
    config::{self, Config, EndpointWarning, PortOwner, Target},
    control::{EndpointState, EndpointView, Listening, SessionStatus},
    names::{Role, StreamName},
    telemetry::{self, SrtFigures},
};

/// The data for an answer, taken at one moment.
#[derive(Debug)]
pub(crate) struct ResponseContext {
    pub(crate) config: Arc<Config>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) sessions: Vec<SessionStatus>,
    pub(crate) endpoints: Arc<Vec<EndpointView>>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) origins: Arc<Origins>,
}

impl ResponseContext {
    /// All streams, sorted by name.
    pub(crate) fn streams(&self) -> Vec<StreamSummary> {
        let mut names: Vec<_> = self.directory.streams.keys().collect();
        names.sort();
        let mut endpoints: HashMap<String, Vec<Endpoint>> = HashMap::new();
        for endpoint in self.all_endpoints() {
            endpoints
                .entry(endpoint.stream.clone())
                .or_default()
                .push(endpoint);
        }
        names
            .into_iter()
            .map(|name| self.summary(name, endpoints.get(name.as_str()).map_or(&[][..], Vec::as_slice)))
            .collect()
    }

    /// A stream, given its endpoints.
    pub(crate) fn summary(&self, name: &StreamName, endpoints: &[Endpoint]) -> StreamSummary {
        let count = |direction| endpoints.iter().filter(|e| e.direction == direction).count();
        let (inputs, outputs) = (count("input"), count("output"));
        let entry = self.directory.streams.get(name);
        let sample = self.snapshot.streams.get(name);
        let viewers = entry.map_or(0, |entry| entry.stream.viewers());
        let has_source = entry.is_some_and(|entry| entry.stream.has_source());
        let state = match (has_source, sample) {
            (true, None) => StreamState::Live,
            (true, Some(StreamSample { flows: true, .. })) => StreamState::Live,
            (true, Some(_)) => StreamState::Silent,
            (false, _) if viewers > 0 || inputs + outputs > 0 => StreamState::Waiting,
            (false, _) => StreamState::Idle,
        };
        StreamSummary {
            name: name.to_string(),
            origin: self.origins.of_stream(name.as_str(), &self.config),
            state,
            viewers,
            previews: entry.map_or(0, |entry| entry.stream.watchers()),
            outputs,
            inputs,
            source: self.source(name, endpoints),
            up_seconds: self.source_age(name),
            media: sample.and_then(|sample| sample.media.clone()),
            figures: sample.map_or_else(StreamFigures::default, |sample| sample.figures.clone()),
            verdict: sample.map(|sample| sample.verdict.clone()).unwrap_or_default(),
        }
    }

    fn source_age(&self, name: &StreamName) -> Option<u64> {
        let id = self.directory.streams.get(name)?.stream.source()?;
        let at = self
            .sessions
            .binary_search_by_key(&id, |session| session.id)
            .ok()?;
        Some(self.sessions[at].age.as_secs())
    }

    fn source(&self, name: &StreamName, endpoints: &[Endpoint]) -> Option<Source> {
        let id = self.directory.streams.get(name)?.stream.source()?;
        let input = endpoints.iter().find(|endpoint| endpoint.session == Some(id.0));
        let at = self.sessions.binary_search_by_key(&id, |session| session.id).ok();
        let session = at.map(|at| &self.sessions[at]);
        let peer = match (input, session) {
            (Some(input), _) => input.url.clone(),
            (None, Some(session)) => session.peer.to_string(),
            (None, None) => String::new(),
        };
        Some(Source {
            session: id.0,
            kind: if input.is_some() { "input" } else { "publisher" },
            peer,
            input: input.map(|input| input.id.clone()),
        })
    }

    /// The sessions, oldest first.
    pub(crate) fn sessions(&self, of: impl Fn(&SessionStatus) -> bool) -> Vec<Session> {
        let wanted = self.sessions.iter().filter(|session| of(session));
        wanted.map(|session| self.session(session)).collect()
    }

    fn session(&self, session: &SessionStatus) -> Session {
        let entry = self.directory.streams.get(&session.stream);
        Session {
            id: session.id.0,
            role: session.role.as_str(),
            stream: session.stream.to_string(),
            peer: session.peer.to_string(),
            via: session.port.clone(),
            of_endpoint: session.of_endpoint,
            feeds: entry.is_some_and(|entry| entry.stream.source() == Some(session.id)),
            age_seconds: session.age.as_secs(),
            srt_version: session.facts.version_shown(),
            encryption: session.facts.encryption,
            latency_ms: session.facts.latency.as_millis().try_into().unwrap_or(u64::MAX),
            streamid: session.facts.streamid.as_deref().map(str::to_owned),
            labels: session.facts.labels_shown(),
            bytes: session.bytes,
            messages: session.messages,
            skipped: session.skipped,
            resends_held: session.counters.resends_held(),
            link: session.figures.as_deref().map(link),
            bonded: session.links.iter().map(bonded_link).collect(),
        }
    }

    /// The inputs and outputs of all streams: configured ones in order, then the others.
    pub(crate) fn all_endpoints(&self) -> Vec<Endpoint> {
        let mut running: HashMap<&str, Vec<&EndpointView>> = HashMap::new();
        for view in self.endpoints.iter() {
            running.entry(view.status.stream.as_str()).or_default().push(view);
        }
        let mut found = Vec::new();
        let mut warnings: HashMap<_, Vec<String>> = HashMap::new();
        for EndpointWarning {
            stream,
            role,
            at,
            text,
        } in self.config.endpoint_warnings()
        {
            warnings.entry((stream, role, at)).or_default().push(text);
        }
        for (name, stream) in &self.config.streams {
            let mut views = running.remove(name.as_str()).unwrap_or_default();
            for (role, list) in [(Role::Publisher, &stream.inputs), (Role::Viewer, &stream.outputs)] {
                let ids = ids_of(name, role, list).into_iter().zip(names_of(list));
                for (at, (endpoint, (id, called))) in list.iter().zip(ids).enumerate() {
                    let same = |view: &&EndpointView| view.status.role == role && view.endpoint == *endpoint;
                    let view = views.iter().position(same).map(|at| views.remove(at));
                    let origin = self.origins.of_endpoint(name, &id, &self.config);
                    let mut endpoint = self.endpoint(id, name, role, endpoint, origin, view);
                    endpoint.name = called;
                    let its = warnings.remove(&(name.clone(), role, at));
                    endpoint.warnings = its.unwrap_or_default();
                    found.push(endpoint);
                }
            }
            found.extend(views.into_iter().map(|view| self.unconfigured(view)));
        }
        let mut others: Vec<_> = running.into_values().flatten().collect();
        others.sort_by_key(|view| view.id);
        found.extend(others.into_iter().map(|view| self.unconfigured(view)));
        found
    }

    /// An endpoint that no table defines: of a template, of a hook's answer, or removed from the configuration a moment
    /// ago.
    fn unconfigured(&self, view: &EndpointView) -> Endpoint {
        let (stream, role) = (view.status.stream.as_str(), view.status.role);
        let id = format!("{}-r{}", letter(role), view.id.0);
        self.endpoint(id, stream, role, &view.endpoint, Origin::Caller, Some(view))
    }

    fn endpoint(
        &self,
        id: String,
        stream: &str,
        role: Role,
        endpoint: &config::Endpoint,
        origin: Origin,
        view: Option<&EndpointView>,
    ) -> Endpoint {
        let status = view.map(|view| &view.status);
        let counters = view.and_then(|view| view.counters.as_ref());
        let figures = counters.and_then(|counters| counters.figures());
        Endpoint {
            id,
            stream: stream.to_owned(),
            direction: direction(role),
            name: endpoint.name.clone().unwrap_or_else(|| endpoint.to_string()),
            url: endpoint.to_string(),
            origin,
            enabled: endpoint.enabled,
            state: match status {
                Some(status) => state_word(status.state),
                None if endpoint.enabled => "idle",
                None => "stopped",
            },
            failures: status.map_or(0, |status| status.failures),
            last_failure: status.and_then(|status| status.last_failure.clone()),
            streamid: status.and_then(|status| status.streamid.clone()),
            warnings: Vec::new(),
            session: status.and_then(|status| status.session).map(|session| session.0),
            bytes: counters.map_or(0, |counters| counters.bytes()),
            messages: counters.map_or(0, |counters| counters.messages()),
            skipped: counters.map_or(0, |counters| counters.skipped()),
            link: figures.as_deref().map(link_summary),
            running: view.map(|view| view.id.0),
        }
    }
}

fn letter(role: Role) -> char {
    match role {
        Role::Publisher => 'i',
        Role::Viewer => 'o',
    }
}

/// The word for an endpoint of this role.
pub(crate) fn direction(role: Role) -> &'static str {
    match role {
        Role::Publisher => "input",
        Role::Viewer => "output",
    }
}

pub(crate) fn state_word(state: EndpointState) -> &'static str {
    match state {
        EndpointState::Idle => "idle",
        EndpointState::Connecting => "connecting",
        EndpointState::Listening => "listening",
        EndpointState::Live => "live",
        EndpointState::Standby => "standby",
        EndpointState::Silent => "silent",
        EndpointState::Stalled => "stalled",
        EndpointState::BackingOff => "backing_off",
        EndpointState::Failed => "failed",
    }
}

/// The names of a list's endpoints, all distinct.
fn names_of(list: &[config::Endpoint]) -> Vec<String> {
    let mut addresses: HashMap<String, u32> = HashMap::new();
    for endpoint in list {
        *addresses.entry(endpoint.to_string()).or_default() += 1;
    }
    let mut seen: HashMap<String, u32> = HashMap::new();
    let name = |endpoint: &config::Endpoint| {
        let address = endpoint.to_string();
        let streamid = match &endpoint.target {
            Target::Srt(srt) if addresses.get(&address) > Some(&1) => srt.stream_id.as_ref(),
            _ => None,
        };
        let name = match (&endpoint.name, streamid) {
            (Some(name), _) => name.clone(),
            (None, Some(id)) => format!("{address} {}", access::shown(id.expose().as_bytes())),
            (None, None) => address,
        };
        let nth = seen.entry(name.clone()).or_default();
        *nth += 1;
        if *nth == 1 {
            name
        } else {
            format!("{name} ({nth})")
        }
    };
    list.iter().map(name).collect()
}

/// The ids of a list of endpoints: stable for the same stream, direction and name (or address without one), across
/// other changes and restarts. Of equal addresses, the second has a different id.
pub(crate) fn ids_of(stream: &str, role: Role, list: &[config::Endpoint]) -> Vec<String> {
    let mut seen: HashMap<String, u32> = HashMap::new();
    list.iter()
        .map(|endpoint| {
            let address = endpoint.name.clone().unwrap_or_else(|| endpoint.to_string());
            let nth = seen.entry(address.clone()).or_default();
            let text = format!("{stream}\n{}\n{address}\n{nth}", direction(role));
            *nth += 1;
            let digest = digest(&SHA256, text.as_bytes());
            let hex = digest.as_ref().iter().take(5).map(|byte| format!("{byte:02x}"));
            format!("{}-{}", letter(role), hex.collect::<String>())
        })
        .collect()
}

fn millis(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// The summary of a link.
pub(crate) fn link_summary(figures: &SrtFigures) -> LinkSummary {
    LinkSummary {
        rtt_ms: millis(figures.stats.link.rtt),
        rtt_p95_ms: millis(figures.rtt_p95),
        loss_ratio: (figures.loss() * 1e6).round() / 1e6,
        lost: figures.lost(),
        retransmitted: figures.retransmitted(),
        dropped: figures.dropped(),
        buffer_ms: millis(figures.buffered()),
        latency_ms: millis(figures.latency()),
    }
}

fn bonded_link(link: &telemetry::LinkFigures) -> BondedLink {
    BondedLink {
        peer: link.peer.map(|peer| peer.to_string()),
        state: format!("{:?}", link.state).to_lowercase(),
        weight: link.weight,
        rtt_ms: millis(link.rtt),
        packets: link.packets,
        lost: link.lost,
        retransmitted: link.retransmitted,
    }
}

fn link(figures: &SrtFigures) -> Link {
    let (path, total) = (&figures.stats.link, &figures.totals);
    let buffer = |buffer: &srt_safe::Buffer| Buffer {
        packets: buffer.packets,
        bytes: buffer.bytes,
        span_ms: millis(buffer.span),
        available_bytes: buffer.available,
    };
    Link {
        summary: link_summary(figures),
        send_rate_bps: figures.last.send_rate(),
        receive_rate_bps: figures.last.receive_rate(),
        bandwidth_bps: path.bandwidth,
        max_bandwidth_bps: path.max_bandwidth,
        send_period_ms: millis(path.send_period),
        flow_window_packets: path.flow_window,
        congestion_window_packets: path.congestion_window,
        flight_packets: path.packets_in_flight,
        max_segment_bytes: path.max_segment_size,
        send_latency_ms: millis(path.send_latency),
        receive_latency_ms: millis(path.receive_latency),
        send_buffer: buffer(&figures.stats.send_buffer),
        receive_buffer: buffer(&figures.stats.receive_buffer),
        reorder_distance_packets: path.reorder_distance,
        reorder_tolerance_packets: path.reorder_tolerance,
        belated_by_ms: path.belated_by.map(millis),
        total: link_totals(total),
    }
}

fn link_totals(total: &srt_safe::Counters) -> LinkTotals {
    LinkTotals {
        sent_packets: total.sent.packets,
        sent_bytes: total.sent.bytes,
        sent_unique_packets: total.sent_unique.packets,
        sent_unique_bytes: total.sent_unique.bytes,
        received_packets: total.received.packets,
        received_bytes: total.received.bytes,
        received_unique_packets: total.received_unique.packets,
        received_unique_bytes: total.received_unique.bytes,
        retransmitted_packets: total.retransmitted.packets,
        retransmitted_bytes: total.retransmitted.bytes,
        received_retransmitted_packets: total.received_retransmitted,
        send_lost_packets: total.send_lost,
        receive_lost_packets: total.receive_lost.packets,
        receive_lost_bytes: total.receive_lost.bytes,
        send_dropped_packets: total.send_dropped.packets,
        send_dropped_bytes: total.send_dropped.bytes,
        receive_dropped_packets: total.receive_dropped.packets,
        receive_dropped_bytes: total.receive_dropped.bytes,
        undecrypted_packets: total.undecrypted.packets,
        undecrypted_bytes: total.undecrypted.bytes,
        belated_packets: total.belated,
        acks_sent: total.acks_sent,
        acks_received: total.acks_received,
        naks_sent: total.naks_sent,
        naks_received: total.naks_received,
        filter_sent_packets: total.filter_sent,
        filter_received_packets: total.filter_received,
        filter_restored_packets: total.filter_restored,
        filter_lost_packets: total.filter_lost,
        send_duration_ms: millis(total.send_duration),
    }
}

/// A port with its configuration.
pub(crate) fn listener(listening: &Listening, config: &Config) -> Listener {
    let stream = match &listening.scope {
        Scope::Stream(name) => Some(name.to_string()),
        _ => None,
    };
    let is_it = |owner: PortOwner<'_>| match (&stream, owner) {
        (Some(name), PortOwner::Stream(owner)) => name == owner,
        (None, PortOwner::Global | PortOwner::Template(_)) => true,
        _ => false,
    };
    let mut same = config.srt_ports().filter(|(owner, port)| {
        let number = port.listen.port();
        is_it(*owner) && port.kind == listening.kind && (number == 0 || number == listening.addr.port())
    });
    let settings = same.next().map(|(_, port)| &port.settings);
    Listener {
        kind: listening.kind.key(),
        address: listening.addr.to_string(),
        encrypted: settings.is_some_and(|settings| settings.passphrase.is_some()),
        latency_ms: settings.map_or(0, |settings| {
            settings.latency.as_millis().try_into().unwrap_or(u64::MAX)
        }),
        stream,
    }
}

pub(crate) fn rejection(rejection: &telemetry::Rejection) -> Rejection {
    Rejection {
        number: rejection.number,
        time: humantime::format_rfc3339_millis(rejection.at).to_string(),
        first: humantime::format_rfc3339_millis(rejection.first).to_string(),
        count: rejection.count,
        peer: rejection.peer.to_string(),
        port: rejection.port,
        listener: rejection.listener.clone(),
        streamid: rejection.streamid_shown.clone(),
        dialect: rejection.dialect,
        srt_version: rejection.version.map(|version| version.to_string()),
        encryption: rejection.encryption.to_string(),
        by: rejection.decision.as_str(),
        code: rejection.code,
        reason: rejection.reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(list: &str) -> Vec<config::Endpoint> {
        let config = Config::parse(&format!("[streams.a]\noutputs = {list}")).unwrap();
        config.streams["a"].outputs.clone()
    }

    #[test]
    fn outputs_to_one_host_are_told_apart() {
        let list = outputs(
            r##"["srt://h:1?streamid=#!::r=x,m=publish,s=secret", "srt://h:1?streamid=#!::r=y,m=publish", "srt://h:2",
                 { url = "srt://h:1", name = "third" }, "udp://h:1", "udp://h:1"]"##,
        );
        let wanted = [
            "srt://h:1 #!::r=x,m=publish,s=***",
            "srt://h:1 #!::r=y,m=publish",
            "srt://h:2",
            "third",
            "udp://h:1",
            "udp://h:1 (2)",
        ];
        assert_eq!(names_of(&list), wanted);
    }

    #[test]
    fn an_id_stays_with_its_name() {
        let ids = |list: &str| ids_of("a", Role::Viewer, &outputs(list));
        let (x, y) = (
            r#"{ url = "srt://h:1?streamid=x", name = "x" }"#,
            r#"{ url = "srt://h:1?streamid=y", name = "y" }"#,
        );
        let (there, back) = (ids(&format!("[{x}, {y}]")), ids(&format!("[{y}, {x}]")));
        assert_eq!((&there[0], &there[1]), (&back[1], &back[0]));
        assert_ne!(there[0], there[1]);
        assert_eq!(ids(r#"[{ url = "udp://h:9", name = "x" }]"#)[0], there[0]);
    }
}
