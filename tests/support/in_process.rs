//! The gateway inside the test's own process: starts in milliseconds and tells what it has.
//!
//! What a process does beside it (flags, signals, log lines, exit codes) is [`GatewayProcess`](crate::gateway)'s.

use crate::wait::wait_until;
use srt_gateway::config::{Config, PortKind};
use srt_gateway::telemetry::{EventsStatus, HookStatus, Rejection, StreamDetail};
use srt_gateway::{
    EndpointState, EndpointStatus, Gateway, Listening, Scope, SessionStatus, StreamName, StreamStatus,
};
use srt_safe::log::LogBridge;
use std::net::SocketAddr;
use std::time::Duration;

/// A running gateway. Dropping it ends it in order.
#[derive(Debug)]
pub struct TestGateway {
    gateway: Gateway,
}

impl TestGateway {
    /// Starts the gateway with the configuration `toml`. Ports may be `"127.0.0.1:0"`.
    ///
    /// # Panics
    /// When the configuration is wrong or the gateway does not start.
    #[must_use]
    #[track_caller]
    pub fn start(toml: &str) -> Self {
        // A viewer that does not read makes libsrt write a line per packet to standard error; with no logger they go nowhere.
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

    /// Where it listens on a port for all streams.
    ///
    /// # Panics
    /// When it has no such port.
    #[must_use]
    #[track_caller]
    pub fn addr(&self, kind: PortKind) -> SocketAddr {
        self.addr_where(kind, |scope| *scope == Scope::Global)
    }

    /// Where it listens on a port of the stream `name`.
    ///
    /// # Panics
    /// When it has no such port.
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

    /// The streams that there are.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamStatus> {
        self.gateway.streams()
    }

    /// All that is known about the stream `name`.
    #[must_use]
    pub fn detail(&self, name: &str) -> Option<StreamDetail> {
        self.gateway.stream_detail(&StreamName::new(name))
    }

    /// The open sessions, the oldest first.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionStatus> {
        self.gateway.sessions()
    }

    /// The stream `name`, if it is there.
    #[must_use]
    pub fn stream(&self, name: &str) -> Option<StreamStatus> {
        self.streams()
            .into_iter()
            .find(|stream| stream.name.as_str() == name)
    }

    /// Waits until the stream `name` is as `wanted` says.
    ///
    /// # Panics
    /// When it is not within `deadline`.
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
    /// When it has not within `deadline`.
    #[track_caller]
    pub fn wait_viewers(&self, name: &str, viewers: u32, deadline: Duration) {
        self.wait_stream(name, deadline, &format!("{viewers} viewers"), |stream| {
            stream.viewers == viewers
        });
    }

    /// Waits until all inputs and outputs are live.
    ///
    /// # Panics
    /// When they are not within `deadline`, with what each is doing.
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

    /// The last attempts that it refused.
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

    /// Puts another configuration in force.
    ///
    /// # Panics
    /// When the configuration is wrong.
    #[track_caller]
    pub fn reload(&self, toml: &str) {
        let config = Config::parse(toml).unwrap_or_else(|errors| panic!("{errors}"));
        self.gateway.reload(config).expect("the gateway runs");
    }

    /// Ends it in order.
    pub fn shut_down(self) {
        self.gateway.shut_down();
    }
}
