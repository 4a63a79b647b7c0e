//! What to measure: a load, its server, and a scenario file with several of both. Plain data.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};
use srt_safe::StreamId;

use super::Result;

/// The size of a message in bytes: seven TS packets, the usual size.
pub(crate) const MESSAGE: usize = 1316;

/// One load. All keys are optional in a scenario file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Load {
    /// Its name in the report.
    pub(crate) name: String,
    pub(crate) publishers: u32,
    /// In total; viewer n watches the stream of publisher n modulo `publishers`.
    pub(crate) viewers: u32,
    /// The payload bit rate of each publisher; 0: connected and silent.
    pub(crate) bitrate: u64,
    /// Milliseconds between two bursts of a publisher, which sends all due messages at once, as encoders do.
    pub(crate) burst: f64,
    /// The latency in milliseconds that publishers request.
    pub(crate) latency: u64,
    /// Seconds before the measurement.
    pub(crate) warmup: f64,
    /// Seconds of the measurement.
    pub(crate) seconds: f64,
    /// The number of local UDP ports shared by viewers, and as many by publishers.
    pub(crate) local_ports: u16,
    /// Viewers hold packets for the latency, as players do: one more thread of the load generator for each.
    pub(crate) timed: bool,
    /// All viewers but the measuring ones run at the lowest priority, so that they do not hold up a server on the same
    /// cores: for measuring delays. The server then costs more, because acknowledgements arrive one by one.
    pub(crate) aside: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) passphrase: Option<String>,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            name: "load".to_owned(),
            publishers: 1,
            viewers: 100,
            bitrate: 5_000_000,
            burst: 10.0,
            latency: 120,
            warmup: 2.0,
            seconds: 10.0,
            local_ports: 4,
            timed: false,
            aside: false,
            passphrase: None,
        }
    }
}

impl Load {
    /// The number of streams that have names.
    pub(crate) fn streams(&self) -> u32 {
        self.publishers.max(1)
    }

    pub(crate) fn warmup(&self) -> Duration {
        Duration::from_secs_f64(self.warmup)
    }

    pub(crate) fn seconds(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// Why the load cannot be run.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |what: &str| Err(format!("{}: {what}", self.name));
        let sane = |seconds: f64| (0.0..=86_400.0).contains(&seconds);
        if !sane(self.warmup) || !sane(self.seconds) || self.seconds < 0.1 {
            return wrong("seconds must be 0.1 to 86400, warmup 0 to 86400");
        }
        if !(0.1..=1000.0).contains(&self.burst) {
            return wrong("burst must be 0.1 to 1000 (ms)");
        }
        if self.local_ports == 0 {
            return wrong("local_ports must be 1 or more");
        }
        if self.publishers + self.viewers == 0 {
            return wrong("nothing to measure: set publishers or viewers");
        }
        Ok(())
    }
}

/// A server under load.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) addr: SocketAddr,
    /// The streamid of a publisher; `{n}` is the number of its stream.
    pub(crate) publish: String,
    /// The streamid of a viewer.
    pub(crate) play: String,
    /// The process whose cost is measured.
    pub(crate) pid: Option<u32>,
}

/// The standard form, which this gateway and several other servers read.
pub(crate) const PUBLISH: &str = "#!::r=bench/{n},m=publish";
pub(crate) const PLAY: &str = "#!::r=bench/{n},m=request";

/// Inserts a number into a template.
pub(crate) fn stream_id(template: &str, n: u32) -> Result<StreamId> {
    let text = template.replace("{n}", &n.to_string());
    StreamId::new(&text).map_err(|error| format!("streamid {text:?}: {error}"))
}

/// A scenario file: each load runs on each server, in turn, `rounds` times.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    pub(crate) rounds: u32,
    /// The others are compared with the first one.
    pub(crate) server: Vec<Server>,
    pub(crate) load: Vec<Load>,
}

/// A server's command. `{address}`, `{port}`, `{config}` and `{passphrase}` are replaced; `{self}` is this program.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) command: Vec<String>,
    /// Written to a file, whose name replaces `{config}` in the command.
    #[serde(default)]
    pub(crate) config: String,
    /// Appended to the command if the load has a passphrase.
    #[serde(default)]
    pub(crate) encrypted_command: Vec<String>,
    /// Appended to `config` if the load has a passphrase.
    #[serde(default)]
    pub(crate) encrypted_config: String,
    #[serde(default = "publish")]
    pub(crate) publish: String,
    #[serde(default = "play")]
    pub(crate) play: String,
}

fn publish() -> String {
    PUBLISH.to_owned()
}

fn play() -> String {
    PLAY.to_owned()
}

impl Scenario {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let scenario: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if scenario.rounds == 0 || scenario.server.is_empty() || scenario.load.is_empty() {
            return Err("a scenario needs at least one round, one [[server]] and one [[load]]".to_owned());
        }
        if let Some(server) = scenario.server.iter().find(|server| server.command.is_empty()) {
            return Err(format!("{}: command is empty", server.name));
        }
        scenario.load.iter().try_for_each(Load::check)?;
        Ok(scenario)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_take_the_number_wherever_it_stands() {
        assert_eq!(stream_id("a{n}/b{n}", 7).unwrap().as_str(), Some("a7/b7"));
        assert!(stream_id(&"x".repeat(600), 1).is_err());
    }

    #[test]
    fn scenario_needs_rounds_servers_and_loads() {
        let good = "rounds = 1\n[[server]]\nname = \"a\"\ncommand = [\"b\"]\n[[load]]\n";
        assert_eq!(Scenario::parse(good).unwrap().load[0].viewers, 100);
        for bad in [
            good.replace("rounds = 1", "rounds = 0"),
            good.replace("[\"b\"]", "[]"),
            good.replace("[[load]]", ""),
            format!("{good}burst = 0\n"),
            format!("{good}viewrs = 1\n"),
        ] {
            assert!(Scenario::parse(&bad).is_err(), "{bad}");
        }
    }
}
