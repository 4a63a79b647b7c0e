//! Warnings about valid but probably mistaken inputs and outputs: duplicates, and streams that come back. Pure.

use std::{collections::HashMap, path::Path};

use super::{
    endpoint::{Endpoint, SrtMode, Target, UdpTarget},
    model::{Config, PortOwner, Stream},
    reader::join,
    types::ListenAddr,
};
use crate::{address::ZonedIp, names::Role};

/// A probable mistake in one input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointWarning {
    pub(crate) stream: String,
    pub(crate) role: Role,
    /// Its index in the list.
    pub(crate) at: usize,
    pub(crate) text: String,
}

impl EndpointWarning {
    /// With its position in the configuration.
    pub(crate) fn placed(&self) -> String {
        format!("{}: {}", place(&self.stream, self.role, self.at), self.text)
    }
}

/// `streams.cam1.outputs[0]`.
fn place(stream: &str, role: Role, at: usize) -> String {
    let key = match role {
        Role::Publisher => "inputs",
        Role::Viewer => "outputs",
    };
    format!("{}.{key}[{at}]", join("streams", stream))
}

/// The remote end of an endpoint.
#[derive(PartialEq, Eq, Hash)]
enum Remote<'c> {
    Srt(Option<&'c str>, u16, Option<&'c str>, Option<ZonedIp>),
    Datagrams(Option<&'c str>, u16, Option<&'c str>),
    File(&'c Path),
}

impl<'c> Remote<'c> {
    /// `None`: duplicates are harmless, or are refused anyway.
    fn of(endpoint: &'c Endpoint) -> Option<Self> {
        match &endpoint.target {
            Target::Srt(srt) if srt.mode == SrtMode::Listener => None,
            Target::Srt(srt) => {
                let streamid = srt.stream_id.as_ref().map(|id| id.expose());
                Some(Self::Srt(srt.host.as_deref(), srt.port, streamid, srt.adapter))
            }
            Target::Udp(udp) | Target::Rtp(udp) => {
                let interface = udp.interface.as_deref();
                Some(Self::Datagrams(udp.host.as_deref(), udp.port, interface))
            }
            Target::File(file) if file.special => None,
            Target::File(file) => Some(Self::File(&file.path)),
        }
    }

    fn harm(&self) -> &'static str {
        match self {
            Self::Srt(..) => "the peer refuses one of them, or receives the stream twice",
            Self::Datagrams(..) => "the receiver gets the packets of both",
            Self::File(_) => "their packets would be mixed",
        }
    }
}

/// The enabled endpoints of a list, with their indices.
fn used(list: &[Endpoint]) -> impl Iterator<Item = (usize, &Endpoint)> {
    list.iter().enumerate().filter(|(_, endpoint)| endpoint.enabled)
}

impl Config {
    /// Probable mistakes in the inputs and outputs of streams.
    pub(crate) fn endpoint_warnings(&self) -> Vec<EndpointWarning> {
        let mut found = Vec::new();
        let mut outputs: HashMap<Remote<'_>, String> = HashMap::new();
        for (name, stream) in &self.streams {
            // The same source for two streams is fine.
            let mut inputs = HashMap::new();
            for (role, list) in [(Role::Publisher, &stream.inputs), (Role::Viewer, &stream.outputs)] {
                for (at, endpoint) in used(list) {
                    let mut warn = |text: String| {
                        found.push(EndpointWarning {
                            stream: name.clone(),
                            role,
                            at,
                            text,
                        });
                    };
                    if let Some(remote) = Remote::of(endpoint) {
                        let known = match role {
                            Role::Publisher => &mut inputs,
                            Role::Viewer => &mut outputs,
                        };
                        match (known.get(&remote), role) {
                            (None, _) => drop(known.insert(remote, place(name, role, at))),
                            (Some(other), Role::Viewer) => {
                                warn(format!("sends to the same place as {other}: {}", remote.harm()));
                            }
                            (Some(other), Role::Publisher) => {
                                warn(format!(
                                    "is the same source as {other}, so it cannot serve as its standby"
                                ));
                            }
                        }
                    }
                    if let Some(port) = self.leads_back(name, stream, role, endpoint) {
                        let text = match role {
                            Role::Publisher => "receives this stream from port",
                            Role::Viewer => "sends this stream back to port",
                        };
                        warn(format!("{text} {port} of this gateway, which makes a loop"));
                    }
                }
            }
        }
        found
    }

    /// The port of this gateway on which the stream would come back to itself.
    fn leads_back(&self, name: &str, stream: &Stream, role: Role, endpoint: &Endpoint) -> Option<u16> {
        match &endpoint.target {
            Target::Srt(srt) if srt.mode == SrtMode::Caller => {
                let streamid = srt.stream_id.as_ref().map_or("", |id| id.expose());
                let host = srt.host.as_deref()?;
                let (owner, port) = self
                    .srt_ports()
                    .find(|(_, port)| is_at(host, srt.port, port.listen))?;
                let is_same = match owner {
                    PortOwner::Stream(owner) => owner == name,
                    PortOwner::Global | PortOwner::Template(_) => names(streamid, name),
                };
                is_same.then(|| port.listen.port())
            }
            Target::Udp(udp) | Target::Rtp(udp) if role == Role::Viewer => {
                let mut inputs = used(&stream.inputs).filter_map(|(_, input)| match &input.target {
                    Target::Udp(input) | Target::Rtp(input) => Some(input),
                    _ => None,
                });
                let comes_back = inputs.any(|input| receives(input, udp));
                comes_back.then_some(udp.port)
            }
            _ => None,
        }
    }
}

/// Whether an input receives what an output sends.
fn receives(input: &UdpTarget, output: &UdpTarget) -> bool {
    let host = output.host.as_deref().unwrap_or_default();
    let is_same = match input.host.as_deref() {
        None => is_local(host),
        Some(at) => at == host || (is_local(at) && is_local(host)),
    };
    input.port == output.port && is_same
}

/// Whether this is a loopback address. The other addresses of this machine are not known here.
fn is_local(host: &str) -> bool {
    let ip = host.parse::<ZonedIp>().map(|ip| ip.ip());
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
}

/// Whether a call to this host and port reaches a listener at `listen`.
fn is_at(host: &str, port: u16, listen: ListenAddr) -> bool {
    let is_here = match listen {
        ListenAddr::All(_) => is_local(host),
        ListenAddr::One(addr, _) if addr.ip().is_unspecified() => is_local(host),
        ListenAddr::One(addr, _) => {
            host.parse() == Ok(addr) || (host == "localhost" && addr.ip().is_loopback())
        }
    };
    is_here && port != 0 && listen.port() == port
}

/// Whether a streamid in any dialect names this stream.
fn names(streamid: &str, stream: &str) -> bool {
    let ends = |c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    streamid.match_indices(stream).any(|(at, _)| {
        let before = streamid[..at].chars().next_back();
        let after = streamid[at + stream.len()..].chars().next();
        before.is_none_or(ends) && after.is_none_or(|c| ends(c) && c != '/')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(text: &str) -> Vec<String> {
        let config = Config::parse(text).unwrap_or_else(|errors| panic!("{text}: {errors}"));
        config.warnings()
    }

    #[test]
    fn two_outputs_to_one_place_are_reported() {
        for (first, second) in [
            (
                "srt://host:9000?streamid=x",
                "srt://host:9000?streamid=x&latency=300",
            ),
            ("udp://239.1.1.1:5000", "udp://239.1.1.1:5000?ttl=4"),
            ("udp://239.1.1.1:5000", "rtp://239.1.1.1:5000"),
            ("file:///tmp/x.ts", "file:///tmp/x.ts?segment=10m"),
        ] {
            let told = warnings(&format!("[streams.a]\noutputs = [{first:?}, {second:?}]"));
            assert_eq!(told.len(), 1, "{first}: {told:?}");
            let wanted = "streams.a.outputs[1]: sends to the same place as streams.a.outputs[0]: ";
            assert!(told[0].starts_with(wanted), "{told:?}");
            let apart =
                format!("[streams.a]\noutputs = [{first:?}]\n[streams.\"live/b\"]\noutputs = [{second:?}]");
            let told = warnings(&apart);
            assert!(told[0].starts_with("streams.\"live/b\".outputs[0]: "), "{told:?}");
        }
        for fine in [
            r#"["srt://host:9000?streamid=x", "srt://host:9000?streamid=y"]"#,
            r#"["srt://host:9000", "srt://host:9001", "srt://other:9000"]"#,
            r#"["srt://host:9000", { url = "srt://host:9000", enabled = false }]"#,
            r#"["udp://239.1.1.1:5000?interface=eth0", "udp://239.1.1.1:5000?interface=eth1"]"#,
            r#"["file:///dev/null?special=true", "file:///dev/null?special=true"]"#,
        ] {
            assert_eq!(
                warnings(&format!("[streams.a]\noutputs = {fine}")),
                [""; 0],
                "{fine}"
            );
        }
    }

    #[test]
    fn an_input_that_is_there_twice_is_reported() {
        let told = warnings(r#"streams.a.inputs = ["srt://host:9000", "srt://host:9000?latency=300"]"#);
        assert!(
            told.len() == 1 && told[0].starts_with("streams.a.inputs[1]: is the same source"),
            "{told:?}"
        );
        let two = "streams.a.inputs = [\"srt://host:9000\"]\nstreams.b.inputs = [\"srt://host:9000\"]";
        assert_eq!(warnings(two), [""; 0]);
    }

    #[test]
    fn a_stream_that_comes_back_is_reported() {
        let ports = "[srt]\nport = 9998\n[streams.b]\n[streams.\"live/a\"]\nsrt = { port = 9001 }\n";
        for looped in [
            "outputs = [\"srt://127.0.0.1:9998?streamid=#!::r=live/a,m=publish\"]",
            "outputs = [\"srt://localhost:9998?streamid=publish:live/a\"]",
            "outputs = [\"srt://[::1]:9001\"]",
            "inputs = [\"srt://127.0.0.1:9998?streamid=#!::r=live/a,m=request\"]",
            "inputs = [\"udp://:5000\"]\noutputs = [\"udp://127.0.0.1:5000\"]",
            "inputs = [\"udp://239.1.1.1:5000\"]\noutputs = [\"rtp://239.1.1.1:5000\"]",
        ] {
            let told = warnings(&format!("{ports}{looped}"));
            assert!(told.len() == 1 && told[0].contains("loop"), "{looped}: {told:?}");
        }
        for fine in [
            "outputs = [\"srt://127.0.0.1:9998?streamid=#!::r=b,m=publish\"]",
            "outputs = [\"srt://127.0.0.1:9998?streamid=#!::r=live/a2,m=publish\"]",
            "outputs = [\"srt://127.0.0.1:9998?streamid=#!::r=live/a/hd,m=publish\"]",
            "outputs = [\"srt://127.0.0.1:9997?streamid=#!::r=live/a,m=publish\"]",
            "outputs = [\"srt://192.0.2.1:9998?streamid=#!::r=live/a,m=publish\"]",
            "inputs = [\"udp://:5000\"]\noutputs = [\"udp://192.0.2.1:5000\"]",
        ] {
            assert_eq!(warnings(&format!("{ports}{fine}")), [""; 0], "{fine}");
        }
    }
}
