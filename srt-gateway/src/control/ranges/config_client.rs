//! Asks the backend of `[config_external]` about ports. Never waits: answers come back as events.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use crossbeam_channel::Sender;
use serde_json::json;

use super::{RangeEvent, Ranged};
use crate::{
    backend::{Backend, Client, ClientSettings},
    config::{Action, ConfigExternal},
    io::IdleId,
};

/// The limit of pending questions.
const QUESTIONS: usize = 256;

/// The size limit of an answer.
const ANSWER_MAX: usize = 256 << 10;

/// An answer is valid for at least this long, because the repeated handshake of the same caller must find it.
const MIN_VALIDITY: Duration = Duration::from_secs(1);

/// Asks the backend.
#[derive(Debug)]
pub(super) struct ConfigClient {
    backend: Arc<Backend>,
    client: Option<Client>,
    pub(super) external: Option<ConfigExternal>,
    gateway: String,
    pub(super) events: Sender<RangeEvent>,
    questions: u64,
}

impl ConfigClient {
    pub(super) fn new(backend: Arc<Backend>, gateway: String, events: Sender<RangeEvent>) -> Self {
        Self {
            backend,
            client: None,
            external: None,
            gateway,
            events,
            questions: 0,
        }
    }

    pub(super) fn configure(&mut self, external: Option<&ConfigExternal>) -> io::Result<()> {
        if self.external.as_ref() == external {
            return Ok(());
        }
        self.external = external.cloned();
        self.client = match external {
            None => None,
            Some(external) => Some(self.backend.client(
                ClientSettings {
                    url: external.url.clone(),
                    timeout: external.timeout,
                    secret: None,
                    most: QUESTIONS,
                    answer_max: ANSWER_MAX,
                },
                Arc::default(),
            )?),
        };
        Ok(())
    }

    /// Asks the question; returns its number, which comes back with the answer.
    pub(super) fn ask(&mut self, id: IdleId, port: &Ranged, peer: SocketAddr) -> Result<u64, String> {
        let Some(client) = &self.client else {
            return Err("cannot be asked: there is no [config_external]".to_owned());
        };
        self.questions += 1;
        let (number, events) = (self.questions, self.events.clone());
        let address = match port.addr.ip() {
            ip if ip.is_unspecified() => local_towards(peer),
            ip => Some(ip),
        };
        let question = json!({
            "address": address.map(|ip| ip.to_string()),
            "port": port.addr.port(),
            "mode": mode_word(port.mode),
            "peer": peer.to_string(),
            "gateway": self.gateway,
        });
        let done = move |answer| {
            // The gateway may be shutting down.
            drop(events.send(RangeEvent::Answered(id, number, answer)));
        };
        let asked = client.post(question.to_string().into_bytes(), done);
        asked.map(|()| number).map_err(|busy| busy.to_string())
    }

    /// How long an answer is valid.
    pub(super) fn cache_time(&self) -> Duration {
        let cache = self.external.as_ref().map(|external| external.cache);
        cache.unwrap_or_default().max(MIN_VALIDITY)
    }
}

/// The local address that reaches the peer: a socket on all addresses does not reveal which one was called.
fn local_towards(peer: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match peer {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // Connecting a UDP socket sends nothing.
    socket.connect(peer).ok()?;
    socket.local_addr().ok().map(|addr| addr.ip())
}

fn mode_word(mode: Action) -> &'static str {
    match mode {
        Action::Publish => "publish",
        Action::Play => "play",
        Action::Any => "any",
    }
}
