//! The gateway inside the test's own process: starts in milliseconds and gives access to its state.
//!
//! For the parts of a process (flags, signals, log lines, exit codes) see [`GatewayProcess`](crate::gateway).

use crate::wait::wait_until;
use srt_gateway::config::{Config, PortKind};
use srt_gateway::telemetry::{EventsStatus, HookStatus, Rejection, StreamDetail};
use srt_gateway::{
    EndpointState, EndpointStatus, Gateway, Listening, Scope, SessionStatus, StreamName, StreamStatus,
};
use srt_safe::log::LogBridge;
use std::net::SocketAddr;
use std::time::Duration;

/// A running gateway. Dropping it shuts it down.
#[derive(Debug)]
pub struct TestGateway {
    gateway: Gateway,
}

impl TestGateway {
    /// Starts the gateway with the configuration `toml`. Ports may be `"127.0.0.1:0"`.
    ///
    /// # Panics
    /// If the configuration is wrong or the gateway does not start.
    #[must_use]
    #[track_caller]
    pub fn start(toml: &str) -> Self {
        // For a viewer that does not read, libsrt writes a line per packet to standard error; without a logger the
        // lines are discarded.
        srt_safe::log::install(LogBridge::to_log()).expect("libsrt's log is taken over");
        let config = Config::parse(toml).unwrap_or_else(|errors| panic!("{errors}"));
        let gateway = Gateway::start(&config).unwrap_or_else(|error| panic!("{error}"));
        Self { gateway }
    }

    /// The ports that it listens on.
    #[must_use]
    pub fn listening(&self) -> Vec<Listening> {
        self.gateway.listening()
    }

    /// The address of a port for all streams.
    ///
    /// # Panics
    /// If it has no such port.
    #[must_use]
    #[track_caller]
    pub fn addr(&self, kind: PortKind) -> SocketAddr {
        self.addr_where(kind, |scope| *scope == Scope::Global)
    }

    /// The address of a port of the stream `name`.
    ///
    /// # Panics
    /// If it has no such port.
    #[must_use]
    #[track_caller]
    pub fn addr_of(&self, kind: PortKind, name: &str) -> SocketAddr {
        self.addr_where(
            kind,
            |scope| matches!(scope, Scope::Stream(stream) if stream.as_str() == name),
        )
    }

    #[track_caller]
    fn addr_where(&self, kind: PortKind, is_wanted: impl Fn(&Scope) -> bool) -> SocketAddr {
        let port = self
            .listening()
            .into_iter()
            .find(|port| port.kind == kind && is_wanted(&port.scope));
        port.unwrap_or_else(|| panic!("no such {} port among {:?}", kind.key(), self.listening()))
            .addr
    }

    /// All streams.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamStatus> {
        self.gateway.streams()
    }

    /// All details of the stream `name`.
    #[must_use]
    pub fn detail(&self, name: &str) -> Option<StreamDetail> {
        self.gateway.stream_detail(&StreamName::new(name))
    }

    /// The open sessions, the oldest first.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionStatus> {
        self.gateway.sessions()
    }

    /// The stream `name`, if it exists.
    #[must_use]
    pub fn stream(&self, name: &str) -> Option<StreamStatus> {
        self.streams()
            .into_iter()
            .find(|stream| stream.name.as_str() == name)
    }

    /// Waits until the stream `name` satisfies `wanted`.
    ///
    /// # Panics
    /// If it does not within `deadline`.
    #[track_caller]
    pub fn wait_stream(
        &self,
        name: &str,
        deadline: Duration,
        what: &str,
        wanted: impl Fn(&StreamStatus) -> bool,
    ) {
        wait_until(deadline, &format!("{what} of {name}"), || {
            self.stream(name).is_some_and(|stream| wanted(&stream))
        });
    }

    /// Waits until the stream `name` has that many viewers.
    ///
    /// # Panics
    /// If it has not within `deadline`.
    #[track_caller]
    pub fn wait_viewers(&self, name: &str, viewers: u32, deadline: Duration) {
        self.wait_stream(name, deadline, &format!("{viewers} viewers"), |stream| {
            stream.viewers == viewers
        });
    }

    /// Waits until all inputs and outputs are live.
    ///
    /// # Panics
    /// If they are not within `deadline`, with the state of each.
    #[track_caller]
    pub fn wait_endpoints_live(&self, deadline: Duration) {
        wait_until(deadline, "all inputs and outputs to be live", || {
            let endpoints = self.gateway.endpoints();
            !endpoints.is_empty()
                && endpoints
                    .iter()
                    .all(|endpoint| endpoint.state == EndpointState::Live)
        });
    }

    /// Its inputs and outputs.
    #[must_use]
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        self.gateway.endpoints()
    }

    /// The last refused attempts.
    #[must_use]
    pub fn rejections(&self) -> Vec<Rejection> {
        self.gateway.rejections()
    }

    /// The hook's counters.
    #[must_use]
    pub fn hook(&self) -> Option<HookStatus> {
        self.gateway.hook()
    }

    /// The posting of events.
    #[must_use]
    pub fn event_posts(&self) -> Option<EventsStatus> {
        self.gateway.event_posts()
    }

    /// Applies another configuration.
    ///
    /// # Panics
    /// If the configuration is wrong.
    #[track_caller]
    pub fn reload(&self, toml: &str) {
        let config = Config::parse(toml).unwrap_or_else(|errors| panic!("{errors}"));
        self.gateway.reload(config).expect("the gateway runs");
    }

    /// Shuts it down.
    pub fn shut_down(self) {
        self.gateway.shut_down();
    }
}
