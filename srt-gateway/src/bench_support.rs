//! Private functions for the microbenchmarks (`benches/`): the access decision, as made in the listen callback. Not
//! part of the API.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use crate::{
    access::{Caller, Decision, Directory, Identity, NoResults, PortPolicy, StreamRequest, decide},
    config::{Config, Dialects},
    control, gateway,
};

/// The first port of a configuration, and its streams without sessions.
#[derive(Debug)]
pub struct Gate {
    port: PortPolicy,
    directory: Arc<Directory>,
}

impl Gate {
    /// None: the configuration has no SRT port.
    #[must_use]
    pub fn of(config: &Config) -> Option<Self> {
        let (owner, port) = config.srt_ports().next()?;
        let addr = port.listen.socket_addrs().ok()?.first().copied()?;
        let registry = gateway::registry(config, Identity::default(), 1);
        Some(Self {
            port: control::policy(control::scope(owner), port, addr),
            directory: registry.directory().load_full(),
        })
    }

    /// Whether a caller with this streamid is admitted.
    #[must_use]
    pub fn admits(&self, streamid: &[u8]) -> bool {
        let caller = Caller {
            peer: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9),
            streamid,
            handshake: None,
            bond: None,
            known: &NoResults,
        };
        matches!(decide(&self.port, &self.directory, caller), Decision::Admit(_))
    }
}

/// Whether a streamid can be parsed in any dialect.
#[must_use]
pub fn reads(streamid: &[u8]) -> bool {
    StreamRequest::read(streamid, Dialects::default()).is_ok()
}
