//! Configuration reload: finds the differences between two configurations and applies them.
//!
//! [`diff`] is pure. Applying runs on control's thread: it opens and closes ports, replaces policies in the snapshot
//! for listen callbacks, and ends the sessions of removed ports and streams. Sessions of unchanged ports and streams
//! are not affected.
//!
//! ```text
//!   port     gone ──▶ closed, its sessions ended       changed ──▶ closed and opened, its sessions stay
//!   stream   gone ──▶ as any unknown one, or ended     changed ──▶ policy replaced, its sessions stay
//!   a port that cannot be opened waits, and is tried again every half second
//! ```

use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{info, warn};

use super::{
    Control, StreamPlan,
    ports::PortKey,
    registry::{ConfigureOutcome, Session, SessionOrigin},
};
use crate::{
    access::{AccessPolicy, Quotas},
    config::{Config, LogLevel, SrtPort, Stream, Template},
    data::Slots,
    io::{CloseReason, Message},
    names::StreamName,
};

/// How often a pending port is retried.
const RETRY: Duration = Duration::from_millis(500);

/// One difference between two configurations. [`Display`](fmt::Display) describes it for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    PortRemoved(PortKey),
    StreamRemoved(StreamName),
    TemplateRemoved(StreamName),
    /// `[[listeners]]` or `[config_external]`.
    Ranges,
    StreamsDefault,
    /// The hook settings.
    Auth,
    /// The receiver of events.
    Events,
    /// Access settings that apply to all streams.
    Access,
    Limits,
    /// When alarms are raised, and where they are sent.
    Alarms,
    StreamAdded(StreamName),
    StreamChanged(StreamName),
    TemplateAdded(StreamName),
    TemplateChanged(StreamName),
    PortChanged(PortKey),
    PortAdded(PortKey),
    LogLevel(LogLevel),
    /// A key that cannot change while the gateway runs.
    NeedsRestart(&'static str),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortRemoved(port) => write!(f, "{port} removed"),
            Self::StreamRemoved(stream) => write!(f, "stream {stream} removed"),
            Self::TemplateRemoved(template) => write!(f, "template {template} removed"),
            Self::TemplateAdded(template) => write!(f, "template {template} added"),
            Self::TemplateChanged(template) => write!(f, "template {template} changed"),
            Self::Ranges => f.write_str("listeners or config_external changed"),
            Self::StreamsDefault => f.write_str("streams_default changed"),
            Self::Limits => f.write_str("limits changed"),
            Self::Alarms => f.write_str("alarms changed"),
            Self::Auth => f.write_str("auth changed"),
            Self::Events => f.write_str("events changed"),
            Self::Access => f.write_str("rules, streamid_dialects or the use of the hook changed"),
            Self::StreamAdded(stream) => write!(f, "stream {stream} added"),
            Self::StreamChanged(stream) => write!(f, "stream {stream} changed"),
            Self::PortChanged(port) => write!(f, "{port} changed"),
            Self::PortAdded(port) => write!(f, "{port} added"),
            Self::LogLevel(level) => write!(f, "log.level changed to {}", level.as_str()),
            Self::NeedsRestart(key) => write!(
                f,
                "{key} cannot change while the gateway runs: restart it to put this in force"
            ),
        }
    }
}

/// The changes from one configuration to another, in an order in which they can be applied: removals make room for
/// additions, and a stream exists before its ports.
pub(crate) fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let (old_ports, new_ports) = (ports(old), ports(new));
    let mut changes = Vec::new();
    let keys = |config| keys(config).into_iter();
    changes.extend(
        keys(old)
            .filter(|key| !new_ports.contains_key(key))
            .map(Change::PortRemoved),
    );
    if old.listeners != new.listeners || old.config_external != new.config_external {
        changes.push(Change::Ranges);
    }
    changes.extend(template_changes(old, new));
    let gone = old.streams.keys().filter(|name| !new.streams.contains_key(*name));
    changes.extend(gone.map(|name| Change::StreamRemoved(StreamName::new(name.as_str()))));
    if old.streams_default != new.streams_default {
        changes.push(Change::StreamsDefault);
    }
    if old.auth != new.auth {
        changes.push(Change::Auth);
    }
    if old.events != new.events {
        changes.push(Change::Events);
    }
    if old.alarms != new.alarms {
        changes.push(Change::Alarms);
    }
    if AccessPolicy::of(old) != AccessPolicy::of(new) {
        changes.push(Change::Access);
    }
    if old.limits != new.limits {
        changes.push(Change::Limits);
    }
    for (name, stream) in &new.streams {
        let named = StreamName::new(name.as_str());
        match old.streams.get(name) {
            None => changes.push(Change::StreamAdded(named)),
            Some(before) if without_ports(before) != without_ports(stream) => {
                changes.push(Change::StreamChanged(named));
            }
            Some(_) => {}
        }
    }
    for key in keys(new) {
        match old_ports.get(&key) {
            None => changes.push(Change::PortAdded(key)),
            Some(before) if *before != new_ports[&key] => {
                let is_shared = |port: &SrtPort| port.settings.shards.is_some_and(|shards| shards.get() > 1);
                // Its sockets cannot be opened again while those of its sessions are open.
                changes.push(if is_shared(before) || is_shared(new_ports[&key]) {
                    Change::NeedsRestart("a port with shards")
                } else {
                    Change::PortChanged(key)
                });
            }
            Some(_) => {}
        }
    }
    // Ports that are changed or added go last, changed before added. The sort is stable, so the rest keeps its order.
    changes.sort_by_key(|change| match change {
        Change::PortChanged(_) => 1,
        Change::PortAdded(_) => 2,
        _ => 0,
    });
    if old.log.level != new.log.level {
        changes.push(Change::LogLevel(new.log.level));
    }
    changes.extend(fixed(old, new));
    changes
}

fn template_changes(old: &Config, new: &Config) -> Vec<Change> {
    let gone = old
        .templates
        .keys()
        .filter(|name| !new.templates.contains_key(*name));
    let gone = gone.map(|name| Change::TemplateRemoved(StreamName::new(name.as_str())));
    let here = new.templates.iter().filter_map(|(name, template)| {
        let named = StreamName::new(name.as_str());
        let same = |before: &Template| {
            before.prefix == template.prefix
                && without_ports(&before.stream) == without_ports(&template.stream)
        };
        match old.templates.get(name) {
            None => Some(Change::TemplateAdded(named)),
            Some(before) if !same(before) => Some(Change::TemplateChanged(named)),
            Some(_) => None,
        }
    });
    gone.chain(here).collect()
}

/// Keys that cannot change while the gateway runs.
fn fixed(old: &Config, new: &Config) -> impl Iterator<Item = Change> {
    let differs = [
        ("gateway.workers", old.gateway.workers != new.gateway.workers),
        (
            "gateway.control_socket",
            old.gateway.control_socket != new.gateway.control_socket,
        ),
        ("gateway.name", old.gateway.name != new.gateway.name),
        ("log.format", old.log.format != new.log.format),
        // Tokens, hosts and session_metrics are read from the configuration in force.
        ("api.listen", old.api.listen != new.api.listen),
        ("api.tls", old.api.tls != new.api.tls),
        ("api.state", old.api.state != new.api.state),
        ("api.audit_file", old.api.audit_file != new.api.audit_file),
        (
            "api.audit_file_size",
            old.api.audit_file_size != new.api.audit_file_size,
        ),
    ];
    differs
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(key, _)| Change::NeedsRestart(key))
}

/// The keys of all ports, in the order of the configuration.
fn keys(config: &Config) -> Vec<PortKey> {
    config
        .srt_ports()
        .map(|(owner, port)| PortKey::new(owner, port))
        .collect()
}

fn ports(config: &Config) -> HashMap<PortKey, &SrtPort> {
    config
        .srt_ports()
        .map(|(owner, port)| (PortKey::new(owner, port), port))
        .collect()
}

fn without_ports(stream: &Stream) -> Stream {
    Stream {
        ports: Vec::new(),
        ..stream.clone()
    }
}

/// The result of applying a new configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// The changes, one sentence each. Empty if the configurations are equal.
    pub changes: Vec<String>,
    /// What could not be changed, or not yet, and what to do about it.
    pub warnings: Vec<String>,
}

/// A port that could not be opened yet.
#[derive(Debug)]
pub(super) struct PendingPort {
    key: PortKey,
    port: SrtPort,
    /// The counter of the port's earlier opening.
    connections: Arc<Slots>,
    next: Instant,
}

impl Control {
    /// Applies `config`.
    pub(super) fn reload(&mut self, config: Config, now: Instant) -> Reloaded {
        let mut reloaded = Reloaded::default();
        let changes = diff(&self.config, &config);
        let ports = ports(&config);
        for change in &changes {
            match self.apply(change, &config, &ports, now) {
                Ok(()) => {
                    info!("configuration: {change}");
                    reloaded.changes.push(change.to_string());
                }
                Err(warning) => {
                    warn!("configuration: {warning}");
                    reloaded.warnings.push(warning);
                }
            }
        }
        self.publish_listening();
        self.in_force.store(Arc::new(config.clone()));
        self.config = config;
        self.restore_answers(now);
        reloaded
    }

    fn apply(
        &mut self,
        change: &Change,
        config: &Config,
        ports: &HashMap<PortKey, &SrtPort>,
        now: Instant,
    ) -> Result<(), String> {
        match change {
            Change::PortRemoved(key) => {
                let connections = self.close_port(key);
                self.end_sessions_of_port(&connections);
            }
            Change::Ranges => return self.set_ranges(config, now),
            Change::PortChanged(key) => {
                let connections = self.close_port(key);
                return self.open_port(key, ports[key], connections, now);
            }
            Change::PortAdded(key) => return self.open_port(key, ports[key], Arc::default(), now),
            Change::TemplateRemoved(name) | Change::TemplateAdded(name) | Change::TemplateChanged(name) => {
                self.set_templates(config, std::slice::from_ref(name), now);
                if !config.streams_default.accept_unknown {
                    self.end_sessions_of_unknown();
                }
            }
            Change::StreamRemoved(name) => {
                self.registry.unconfigure(name);
                self.reapply_template(name, now);
                if !self.registry.is_configured(name) && !config.streams_default.accept_unknown {
                    self.end_sessions(|session| session.stream == *name);
                }
            }
            Change::StreamsDefault => {
                let plan = StreamPlan::of_unknown(config);
                let unknown = config
                    .streams_default
                    .accept_unknown
                    .then(|| Arc::clone(&plan.policy));
                self.registry.set_defaults(plan, unknown);
                if !self.registry.accepts_unknown() {
                    self.end_sessions_of_unknown();
                }
            }
            // Looked up in the configuration that is in force.
            Change::Alarms => {}
            Change::Limits => {
                self.opener.guards.limiter.set_limits(config.limits.clone());
                self.registry.set_quotas(Quotas::of(&config.limits));
            }
            Change::Auth => {
                let hook = &self.opener.guards.hook;
                if let Err(error) = hook.configure(config.auth.as_ref()) {
                    return Err(format!(
                        "auth: cannot call its url, so the previous hook stays in use: {error}"
                    ));
                }
            }
            Change::Events => {
                if let Err(error) = self.journal.poster.configure(config.events.as_ref()) {
                    return Err(format!(
                        "events: cannot call its url, so events are posted as before: {error}"
                    ));
                }
            }
            Change::Access => self.registry.set_access(AccessPolicy::of(config)),
            Change::StreamAdded(name) | Change::StreamChanged(name) => {
                let stream = &config.streams[name.as_str()];
                let configured = self.registry.configure(name, &StreamPlan::of(stream));
                self.configure_endpoints(name, stream, now);
                if configured == ConfigureOutcome::RingInUse {
                    return Err(format!(
                        "stream {name} changed, except for its ring, which is in use: reload again when nobody \
                         publishes or plays the stream"
                    ));
                }
            }
            // The log belongs to the code that started the gateway.
            Change::LogLevel(_) => {}
            Change::NeedsRestart(_) => return Err(change.to_string()),
        }
        Ok(())
    }

    /// Closes a port to new callers, including those that have just connected. Returns the counter of its sessions.
    pub(super) fn close_port(&mut self, key: &PortKey) -> Arc<Slots> {
        // Callers that have completed their handshake are served, not dropped with the listener.
        let of_port = self.ports.iter().filter(|port| port.key == *key);
        let listeners: Vec<_> = of_port.map(|port| port.listener.id()).collect();
        for listener in listeners {
            self.accept_all(listener);
        }
        let mut connections = None;
        for port in self.ports.extract_if(.., |port| port.key == *key) {
            connections = Some(Arc::clone(&port.gate.port().connections));
            self.opener.close(port);
        }
        let waiting = self.waiting.iter().position(|waiting| waiting.key == *key);
        let waited = waiting.map(|at| self.waiting.swap_remove(at).connections);
        connections.or(waited).unwrap_or_default()
    }

    fn open_port(
        &mut self,
        key: &PortKey,
        port: &SrtPort,
        connections: Arc<Slots>,
        now: Instant,
    ) -> Result<(), String> {
        match self.opener.open(key, port, &connections) {
            Ok(opened) => {
                self.ports.extend(opened);
                Ok(())
            }
            Err(error) => {
                self.waiting.push(PendingPort {
                    key: key.clone(),
                    port: port.clone(),
                    connections,
                    next: now + RETRY,
                });
                Err(format!("{error}; the gateway retries until it succeeds"))
            }
        }
    }

    /// Retries pending ports. libsrt releases a closed port's socket after a second or with its last session, and until
    /// then refuses to open the port with other settings.
    pub(super) fn open_waiting(&mut self, now: Instant) {
        if self.waiting.iter().all(|waiting| now < waiting.next) {
            return;
        }
        for mut waiting in std::mem::take(&mut self.waiting) {
            if now < waiting.next {
                self.waiting.push(waiting);
                continue;
            }
            match self
                .opener
                .open(&waiting.key, &waiting.port, &waiting.connections)
            {
                Ok(opened) => {
                    info!("listening again: {}", waiting.key);
                    self.ports.extend(opened);
                    self.publish_listening();
                }
                Err(_) => {
                    waiting.next = now + RETRY;
                    self.waiting.push(waiting);
                }
            }
        }
    }

    /// Ends the sessions of the port with this counter.
    pub(super) fn end_sessions_of_port(&self, connections: &Arc<Slots>) {
        self.end_sessions(
            |session| matches!(&session.via, SessionOrigin::Port(port) if Arc::ptr_eq(&port.connections, connections)),
        );
    }

    pub(super) fn end_sessions(&self, which: impl Fn(&Session) -> bool) {
        for session in self.registry.sessions().filter(|session| which(session)) {
            let close = Message::Close(session.socket, CloseReason::Unconfigured);
            self.pool.send(session.worker, close);
        }
    }

    fn end_sessions_of_unknown(&self) {
        self.end_sessions(|session| !self.registry.is_configured(&session.stream));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"
        [srt]
        port = 9000
        [streams."a"]
        srt_publish = { port = 9001, latency = 120 }
        play_passphrase = "first secret"
        [streams."b"]
        srt_play = { port = 9002 }
    "#;

    fn diff_lines(old: &str, new: &str) -> Vec<String> {
        let [old, new] = [old, new].map(|text| Config::parse(text).unwrap());
        diff(&old, &new).iter().map(Change::to_string).collect()
    }

    #[test]
    fn where_lines_stand_and_what_is_default_anyway_is_no_difference() {
        let moved = r#"
            [streams."b"]
            max_viewers = 0
            srt_play = { port = 9002, passphrase = "" }
            [streams."a"]
            play_passphrase = "first secret"
            srt_publish = { latency = "120ms", port = 9001 }
            [srt]
            port = 9000
        "#;
        assert_eq!(diff_lines(OLD, moved), Vec::<String>::new());
    }

    #[test]
    fn one_changed_key_changes_one_thing() {
        for (from, to, change) in [
            (
                "latency = 120",
                "latency = 121",
                "srt_publish port 9001 (all addresses) of a changed",
            ),
            ("first secret", "second secret", "stream a changed"),
            (
                "[srt]",
                "[log]\nlevel = \"debug\"\n[srt]",
                "log.level changed to debug",
            ),
            (
                "[srt]",
                "[streams_default]\naccept_unknown = true\n[srt]",
                "streams_default changed",
            ),
            ("[srt]", "[limits]\nban_for = 5\n[srt]", "limits changed"),
            ("[srt]", "[events]\nurl = \"http://a\"\n[srt]", "events changed"),
            (
                "[srt]",
                "[gateway]\nworkers = 3\n[srt]",
                "gateway.workers cannot change while the gateway runs: restart it to put this in force",
            ),
            (
                "[srt]",
                "[log]\nformat = \"json\"\n[srt]",
                "log.format cannot change while the gateway runs: restart it to put this in force",
            ),
        ] {
            assert_eq!(diff_lines(OLD, &OLD.replace(from, to)), [change]);
        }
    }

    #[test]
    fn a_default_of_ports_changes_the_ports_that_have_no_value_of_their_own() {
        let new = format!("{OLD}\n[srt_defaults]\nlatency = 500");
        assert_eq!(
            diff_lines(OLD, &new),
            [
                "srt port 9000 (all addresses) changed",
                "srt_play port 9002 (all addresses) of b changed"
            ]
        );
    }

    #[test]
    fn what_goes_makes_room_before_others_come() {
        // The port number moves from one stream to another, and the old stream is removed.
        let new = r#"
            [srt]
            port = 9000
            [streams."b"]
            srt_play = { port = 9001 }
            [streams."c"]
            srt = { port = 9002 }
        "#;
        assert_eq!(
            diff_lines(OLD, new),
            [
                "srt_publish port 9001 (all addresses) of a removed",
                "srt_play port 9002 (all addresses) of b removed",
                "stream a removed",
                "stream c added",
                "srt_play port 9001 (all addresses) of b added",
                "srt port 9002 (all addresses) of c added",
            ]
        );
    }

    #[test]
    fn there_and_back_names_the_same_ports_and_streams() {
        let empty = "";
        let count = |changes: Vec<String>| changes.len();
        assert_eq!(count(diff_lines(OLD, empty)), 5);
        assert_eq!(count(diff_lines(empty, OLD)), 5);
        assert_eq!(count(diff_lines(OLD, OLD)), 0);
    }
}
