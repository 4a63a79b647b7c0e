//! The data for access decisions: the ports, and a snapshot of the streams. Created by control, read by listen
//! callbacks.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use ipnet::IpNet;
use srt_safe::{Options, Passphrase, SrtVersion};

use super::{Grant, Identity, Recheck, filter::FilterPolicy, hook::KeyTerm};
use crate::{
    config::{Config, Dialects, DuplicatePublisher, Limits, PortKind, Rule, Secret, Template},
    data::{CreatedLimits, SharedSlots, Slots, Stream},
    names::{SessionLimits, StreamName},
};

/// The streams that a port serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All streams: the streamid names one.
    Global,
    /// One stream's.
    Stream(StreamName),
    /// The streams of this template: the streamid names one that begins with its prefix.
    Template(StreamName),
}

impl Scope {
    /// The prefix of a template's streams; None for other scopes, and for a template that is being removed.
    pub(crate) fn prefix<'d>(&self, directory: &'d Directory) -> Option<&'d str> {
        let Self::Template(name) = self else {
            return None;
        };
        let entry = directory.templates.iter().find(|entry| entry.name == *name)?;
        Some(&entry.template.prefix)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("all streams"),
            Self::Stream(name) => name.fmt(f),
            Self::Template(name) => write!(f, "template {name}"),
        }
    }
}

/// The callers that a listener accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Accepts {
    /// Any caller that the port's policy admits.
    Callers,
    /// The one peer of a listening input or output of this stream (`mode=listener`).
    Peer(StreamName),
}

/// A UDP port that accepts callers, either from a table or of a listening input or output.
#[derive(Debug)]
pub(crate) struct PortPolicy {
    pub(crate) accepts: Accepts,
    pub(crate) scope: Scope,
    pub(crate) kind: PortKind,
    /// As configured.
    pub(crate) addr: SocketAddr,
    /// The bound address, once the port is open: the configuration may leave the number open.
    pub(crate) bound: OnceLock<SocketAddr>,
    /// The port's own passphrase; already set in the listener's options.
    pub(crate) passphrase: Option<Passphrase>,
    pub(crate) max_latency: Duration,
    /// The configured AES key length; 0: any.
    pub(crate) key_bits: u16,
    /// The shortest AES key accepted from callers; 0: any.
    pub(crate) min_key_bits: u16,
    /// The oldest SRT version accepted.
    pub(crate) min_version: SrtVersion,
    /// The only SRT version accepted.
    pub(crate) version: Option<SrtVersion>,
    /// The limits of its sessions, unless a grant overrides them.
    pub(crate) limits: SessionLimits,
    pub(crate) allow: Vec<IpNet>,
    pub(crate) deny: Vec<IpNet>,
    /// 0: no limit.
    pub(crate) max_connections: u32,
    /// Callers of this port that are connected or connecting; shared with its earlier openings.
    pub(crate) connections: Arc<Slots>,
    pub(crate) filter: FilterPolicy,
    /// Whether its `options` leave it in live mode: callers must use the same mode.
    pub(crate) is_live: bool,
    /// Whether bonded callers are accepted (`groupconnect`).
    pub(crate) takes_groups: bool,
    /// Set for a port that a backend has configured.
    pub(crate) recheck: Option<Arc<Recheck>>,
}

impl PortPolicy {
    /// The port number that callers use.
    pub(crate) fn number(&self) -> u16 {
        self.bound.get().unwrap_or(&self.addr).port()
    }

    /// Whether `allow` and `deny` admit an address: `deny` comes first, and an empty `allow` admits everyone.
    pub(crate) fn admits(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&peer));
        !within(&self.deny) && (self.allow.is_empty() || within(&self.allow))
    }

    /// Whether a caller must wait until the port's settings have been requested again. Connected sessions are not
    /// affected.
    pub(crate) fn is_due(&self, peer: SocketAddr, now: Instant) -> bool {
        let recheck = self.recheck.as_ref();
        recheck.is_some_and(|recheck| self.connections.taken() == 0 && recheck.is_due(peer, now))
    }

    pub(crate) fn is_full(&self) -> bool {
        self.connections.is_full(self.max_connections)
    }
}

/// `srt_publish port 9002 of live/cam1`, `listening input 9003 of live/cam1`: for display.
impl fmt::Display for PortPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.accepts, self.kind) {
            (Accepts::Callers, kind) => write!(f, "{} port", kind.key())?,
            (Accepts::Peer(_), PortKind::Play) => f.write_str("listening output")?,
            (Accepts::Peer(_), _) => f.write_str("listening input")?,
        }
        write!(f, " {}", self.number())?;
        match &self.scope {
            Scope::Global => Ok(()),
            Scope::Stream(stream) => write!(f, " of {stream}"),
            Scope::Template(template) => write!(f, " of template {template}"),
        }
    }
}

/// The policy of a stream, independent of the port.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StreamPolicy {
    /// Any of them is valid; the first one is used where the caller's key material is not visible.
    pub(crate) publish_passphrases: Vec<Passphrase>,
    pub(crate) play_passphrases: Vec<Passphrase>,
    /// The password that a publisher's streamid must contain.
    pub(crate) password: Option<Secret>,
    /// 0: no limit.
    pub(crate) max_viewers: u32,
    /// How long viewers wait for a source; zero: not at all.
    pub(crate) on_source_lost: Duration,
    /// What happens to a second publisher.
    pub(crate) duplicate_publisher: DuplicatePublisher,
    /// A source that has sent nothing for this long is silent.
    pub(crate) silent_after: Duration,
}

impl StreamPolicy {
    /// Whether another publisher is admitted while `stream` has a source. If so, control decides between the two.
    pub(crate) fn admits_second(&self, stream: &Stream) -> bool {
        match self.duplicate_publisher {
            DuplicatePublisher::Reject => false,
            DuplicatePublisher::TakeoverIfSilent => stream.quiet_for() >= self.silent_after,
            DuplicatePublisher::Takeover | DuplicatePublisher::Standby => true,
        }
    }
}

/// A stream in the directory.
#[derive(Clone, Debug)]
pub(crate) struct StreamEntry {
    pub(crate) stream: Arc<Stream>,
    pub(crate) policy: Arc<StreamPolicy>,
    /// No table names it: a caller created it.
    pub(crate) is_created: bool,
}

/// A snapshot of the streams. Immutable: control replaces it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    pub(crate) streams: HashMap<StreamName, StreamEntry>,
    /// Longest prefix first.
    pub(crate) templates: Arc<[TemplateEntry]>,
    /// The policy of a stream without a table or template; None: such a stream is refused.
    pub(crate) unknown: Option<Arc<StreamPolicy>>,
    /// This gateway, whose own calls are refused.
    pub(crate) identity: Identity,
    pub(crate) access: Arc<AccessPolicy>,
    pub(crate) quotas: Quotas,
    /// The slots of sessions, shared by all directories of a gateway.
    pub(crate) slots: Arc<SharedSlots>,
}

/// The quotas of `[limits]`; 0: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quotas {
    pub(crate) sessions_per_address: u32,
    pub(crate) created: CreatedLimits,
}

impl Quotas {
    pub(crate) fn of(limits: &Limits) -> Self {
        let number = |limit: Option<NonZeroU32>| limit.map_or(0, NonZeroU32::get);
        Self {
            sessions_per_address: number(limits.max_sessions_per_ip),
            created: CreatedLimits {
                all: number(limits.max_created_streams),
                per_address: number(limits.max_created_streams_per_ip),
            },
        }
    }
}

impl Directory {
    /// The template for streams of this name: the one with the longest matching prefix.
    pub(crate) fn template_for(&self, stream: &str) -> Option<&TemplateEntry> {
        let mut templates = self.templates.iter();
        templates.find(|entry| stream.starts_with(&entry.template.prefix))
    }
}

/// A template for streams without a table.
#[derive(Clone, Debug)]
pub(crate) struct TemplateEntry {
    pub(crate) name: StreamName,
    pub(crate) template: Arc<Template>,
    pub(crate) policy: Arc<StreamPolicy>,
}

/// The access settings that apply to all streams.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AccessPolicy {
    /// The accepted streamid formats.
    pub(crate) dialects: Dialects,
    pub(crate) rules: Vec<Rule>,
    pub(crate) hook: HookUse,
}

/// Whether the hook of `[auth]` is asked about callers that the rules admit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum HookUse {
    #[default]
    NotConfigured,
    Asked,
}

impl AccessPolicy {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            dialects: config.gateway.streamid_dialects,
            rules: config.rules.clone(),
            hook: match config.auth {
                Some(_) => HookUse::Asked,
                None => HookUse::NotConfigured,
            },
        }
    }
}

/// The options of one connection that differ from its listener's.
pub(crate) fn connection_options(grant: &Grant) -> Options {
    let terms = grant.hook.as_ref().map(|hook| &hook.terms);
    let mut options = Options::new();
    match (&grant.passphrase, terms.map(|terms| &terms.passphrase)) {
        (Some(passphrase), _) => options = options.passphrase(passphrase.clone()),
        // Without this, the port's passphrase would apply.
        (None, Some(KeyTerm::None)) => options = options.passphrase(None),
        (None, _) => {}
    }
    match terms.and_then(|terms| terms.latency) {
        Some(latency) => options.latency(latency),
        None => options,
    }
}
