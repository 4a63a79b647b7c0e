//! What access decides from: the ports, and a snapshot of the streams. Made by control, read by listen callbacks.

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

/// Whose port it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's: the streamid names the stream.
    Global,
    /// One stream's.
    Stream(StreamName),
    /// The template's of this name: the streamid names a stream that begins with its prefix.
    Template(StreamName),
}

impl Scope {
    /// What the names of a template's streams begin with; None for others, and for a template that is just being removed.
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

/// Whom a door serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Accepts {
    /// Anybody who asks for a stream in a way that the port's table allows.
    Callers,
    /// The one peer of an input or output of this stream that listens (`mode=listener`).
    Peer(StreamName),
}

/// A UDP port that callers reach, whether a table opens it or an input or output that listens.
#[derive(Debug)]
pub(crate) struct PortPolicy {
    pub(crate) accepts: Accepts,
    pub(crate) scope: Scope,
    pub(crate) kind: PortKind,
    /// As written in the configuration.
    pub(crate) addr: SocketAddr,
    /// What the system made of it, once the port is open: the configuration may leave its number open.
    pub(crate) bound: OnceLock<SocketAddr>,
    /// The port's own passphrase; already among the listener's options.
    pub(crate) passphrase: Option<Passphrase>,
    pub(crate) max_latency: Duration,
    /// The AES key that is configured; 0: any.
    pub(crate) key_bits: u16,
    /// No caller may have a shorter AES key; 0: any.
    pub(crate) min_key_bits: u16,
    /// No caller may have an older SRT version.
    pub(crate) min_version: SrtVersion,
    /// Exactly this SRT version is required of a caller.
    pub(crate) version: Option<SrtVersion>,
    /// Of its sessions, unless a grant says otherwise.
    pub(crate) limits: SessionLimits,
    pub(crate) allow: Vec<IpNet>,
    pub(crate) deny: Vec<IpNet>,
    /// 0: any number.
    pub(crate) max_connections: u32,
    /// Those who came in by this port and are here, or on their way; shared with its earlier openings.
    pub(crate) connections: Arc<Slots>,
    pub(crate) filter: FilterPolicy,
    /// Whether its own `options` leave it in live mode: callers must be in the same.
    pub(crate) is_live: bool,
    /// Whether bonded callers may come (`groupconnect`).
    pub(crate) takes_groups: bool,
    /// For a port that a backend has configured.
    pub(crate) recheck: Option<Arc<Recheck>>,
}

impl PortPolicy {
    /// The number that callers reach it by.
    pub(crate) fn number(&self) -> u16 {
        self.bound.get().unwrap_or(&self.addr).port()
    }

    /// Whether `allow` and `deny` let an address in: `deny` first, an empty `allow` means everyone.
    pub(crate) fn admits(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&peer));
        !within(&self.deny) && (self.allow.is_empty() || within(&self.allow))
    }

    /// Whether a caller is to wait until the port's settings have been asked for again. Nobody is disturbed by that who is
    /// there already.
    pub(crate) fn is_due(&self, peer: SocketAddr, now: Instant) -> bool {
        let recheck = self.recheck.as_ref();
        recheck.is_some_and(|recheck| self.connections.taken() == 0 && recheck.is_due(peer, now))
    }

    pub(crate) fn is_full(&self) -> bool {
        self.connections.is_full(self.max_connections)
    }
}

/// `srt_publish port 9002 of live/cam1`, `listening input 9003 of live/cam1`: for people.
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

/// What holds for a stream whatever the port.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StreamPolicy {
    /// Any of them is valid; the first is the one that counts where the caller's key material cannot be seen.
    pub(crate) publish_passphrases: Vec<Passphrase>,
    pub(crate) play_passphrases: Vec<Passphrase>,
    /// That a publisher must give in its streamid.
    pub(crate) password: Option<Secret>,
    /// 0: any number.
    pub(crate) max_viewers: u32,
    /// How long viewers wait for a source; zero: not at all.
    pub(crate) on_source_lost: Duration,
    /// What becomes of a second publisher.
    pub(crate) duplicate_publisher: DuplicatePublisher,
    /// A source that has sent nothing for this long is silent.
    pub(crate) silent_after: Duration,
}

impl StreamPolicy {
    /// Whether a publisher may come while another one, or an input, feeds `stream`. If it may, control settles what
    /// becomes of the two.
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
    /// No table names it: it exists because a caller named it.
    pub(crate) is_created: bool,
}

/// The streams as they are now. Never changed: control puts a new one in its place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    pub(crate) streams: HashMap<StreamName, StreamEntry>,
    /// The longest prefix first.
    pub(crate) templates: Arc<[TemplateEntry]>,
    /// What holds for a stream that no table names and no template is for; None: such a stream is refused.
    pub(crate) unknown: Option<Arc<StreamPolicy>>,
    /// This gateway: its own calls are not let in.
    pub(crate) identity: Identity,
    pub(crate) access: Arc<AccessPolicy>,
    pub(crate) quotas: Quotas,
    /// Who is let in where: shared by all directories of a gateway.
    pub(crate) slots: Arc<SharedSlots>,
}

/// What `[limits]` allows to have at a time; 0: no limit.
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
    /// The template for streams of this name: the one with the longest prefix that fits.
    pub(crate) fn template_for(&self, stream: &str) -> Option<&TemplateEntry> {
        let mut templates = self.templates.iter();
        templates.find(|entry| stream.starts_with(&entry.template.prefix))
    }
}

/// A template: how streams are made that no table names.
#[derive(Clone, Debug)]
pub(crate) struct TemplateEntry {
    pub(crate) name: StreamName,
    pub(crate) template: Arc<Template>,
    pub(crate) policy: Arc<StreamPolicy>,
}

/// What holds whatever the stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AccessPolicy {
    /// Ways of writing a streamid that are understood.
    pub(crate) dialects: Dialects,
    pub(crate) rules: Vec<Rule>,
    pub(crate) hook: HookUse,
}

/// Whether the hook of `[auth]` is asked about those whom the rules let in.
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

/// Settings of one connection that differ from its listener's.
pub(crate) fn connection_options(grant: &Grant) -> Options {
    let terms = grant.hook.as_ref().map(|hook| &hook.terms);
    let mut options = Options::new();
    match (&grant.passphrase, terms.map(|terms| &terms.passphrase)) {
        (Some(passphrase), _) => options = options.passphrase(passphrase.clone()),
        // Without it the port's would hold.
        (None, Some(KeyTerm::None)) => options = options.passphrase(None),
        (None, _) => {}
    }
    match terms.and_then(|terms| terms.latency) {
        Some(latency) => options.latency(latency),
        None => options,
    }
}
