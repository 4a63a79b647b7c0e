//! Warnings about configurations that are valid but probably wrong: reported at the start and by `check`, never
//! refused. Pure.

use std::collections::BTreeMap;

use super::{
    endpoint::Target,
    endpoint_advice::EndpointWarning,
    model::{
        Action, Config, DuplicatePublisher, OptionValue, SrtOption, SrtPort, SrtSettings, StreamSettings,
    },
    reader::join,
    types::PortKind,
};

impl Config {
    /// One sentence for each unwise setting, with its position in the file.
    pub fn warnings(&self) -> Vec<String> {
        let ports = self.srt_ports().map(|(_, port)| port);
        let ports = ports.filter(|port| port.kind != PortKind::Play);
        let of_ranges = self.listeners.iter().filter(|range| range.mode != Action::Play);
        let streams = self.streams.values();
        let streams = streams.chain(self.templates.values().map(|template| &template.stream));
        let inputs = streams.flat_map(|stream| &stream.inputs);
        let of_inputs = inputs.filter_map(|input| match &input.target {
            Target::Srt(srt) => Some(&srt.settings),
            _ => None,
        });
        let receivers = ports
            .map(|port| &port.settings)
            .chain(of_ranges.map(|_| &self.srt_defaults))
            .chain(of_inputs);
        // The settings of each port include the defaults.
        let keeps: BTreeMap<_, _> = receivers
            .filter_map(keeps_late_packets)
            .map(|option| (option.at.span().start, option))
            .collect();
        let late = keeps.values().map(|option| {
            format!(
                "line {}: {} = false on a receiver: the stream stalls while a lost packet is overdue, and \
                     libsrt 1.5.7 uses a whole core; omit it for live streams",
                option.at.line(),
                option.path
            )
        });
        let endpoints = self.endpoint_warnings();
        let endpoints = endpoints.iter().map(EndpointWarning::placed);
        let secrets = self.secret_sources.warnings().iter().cloned();
        late.chain(secrets)
            .chain(self.unprotected_paths())
            .chain(endpoints)
            .collect()
    }

    /// Suggestions that an operator may reject, one sentence each. For `check` only: these are no warnings.
    pub fn hints(&self) -> Vec<String> {
        let ports = self.srt_ports().map(|(_, port)| port);
        let mut publish = ports.filter(|port| port.kind != PortKind::Play);
        let is_endless = publish.any(|port| port.settings.timeout.is_none());
        let rejects = |settings: &StreamSettings| settings.duplicate_publisher == DuplicatePublisher::Reject;
        let streams = self.streams.values();
        let streams = streams.chain(self.templates.values().map(|template| &template.stream));
        let mut all = streams.map(|stream| &stream.settings);
        let unknown = Some(&self.streams_default.settings).filter(|_| self.streams_default.accept_unknown);
        let is_rejected = all.any(rejects) || unknown.is_some_and(rejects);
        let hint = "an encoder that hangs but stays connected keeps its stream, and the next publisher is refused (1409): set \
                    duplicate_publisher = \"takeover_if_silent\" to admit the next one, or a timeout of the port to close silent ones";
        (is_endless && is_rejected)
            .then(|| hint.to_owned())
            .into_iter()
            .collect()
    }

    /// A stream's own port has a passphrase, and another port without one allows the same access to the stream.
    fn unprotected_paths(&self) -> Vec<String> {
        // Whether these require a password cannot be determined here.
        if self.auth.is_some() || !self.rules.is_empty() {
            return Vec::new();
        }
        let streams = self.streams.iter().map(|(name, stream)| {
            let template = self
                .template_for(name)
                .map(|(_, template)| &template.stream.ports);
            (join("streams", name), stream, template)
        });
        let templates = self
            .templates
            .iter()
            .map(|(name, template)| (join("templates", name), &template.stream, None));
        let mut told = Vec::new();
        for (path, stream, template) in streams.chain(templates) {
            if stream.password.is_some() {
                continue;
            }
            let shared = self.ports.iter().chain(template.into_iter().flatten());
            let all: Vec<_> = shared.chain(&stream.ports).collect();
            for (role, kind, of_stream, key) in [
                (
                    "publishers",
                    PortKind::Publish,
                    &stream.publish_passphrases,
                    "publish_passphrase",
                ),
                (
                    "viewers",
                    PortKind::Play,
                    &stream.play_passphrases,
                    "play_passphrase",
                ),
            ] {
                let serves = |port: &SrtPort| port.kind == kind || port.kind == PortKind::Both;
                let locked = stream
                    .ports
                    .iter()
                    .find(|port| serves(port) && port.settings.passphrase.is_some());
                let is_open = |port: &&&SrtPort| {
                    serves(port)
                        && port.settings.passphrase.is_none()
                        && of_stream.is_empty()
                        && port.settings.allow.is_empty()
                        && !port.listen.is_loopback()
                };
                if let (Some(locked), Some(open)) = (locked, all.iter().find(is_open)) {
                    told.push(format!(
                        "line {}: {path}: {role} need a passphrase on port {}, but none on port {} (line {}): set {key} of the stream, \
                         or a passphrase on that port",
                        locked.at.line(),
                        locked.listen.port(),
                        open.listen.port(),
                        open.at.line(),
                    ));
                }
            }
        }
        told
    }
}

fn keeps_late_packets(settings: &SrtSettings) -> Option<&SrtOption> {
    let option = settings.options.get("tlpktdrop")?;
    matches!(option.value, OptionValue::Bool(false) | OptionValue::Int(0)).then_some(option)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(text: &str) -> Vec<String> {
        Config::parse(text).unwrap().warnings()
    }

    #[test]
    fn receivers_that_wait_for_what_is_late_are_told_of_once_each() {
        let defaults = warnings(
            "[srt_defaults]\noptions = { tlpktdrop = false }\n[srt]\nport = 9998\n[srt_publish]\nport = 9997\n",
        );
        assert_eq!(defaults.len(), 1, "{defaults:?}");
        assert!(
            defaults[0].starts_with("line 2: srt_defaults.options.tlpktdrop = false"),
            "{defaults:?}"
        );
        for text in [
            "[srt_publish]\nport = 9997\noptions = { tlpktdrop = 0 }\n",
            "[streams.a]\ninputs = [\"srt://host:9000?tlpktdrop=0\"]\n",
            "[streams.a]\ninputs = [\"srt://host:9000?tlpktdrop=false\"]\n",
            "[streams.a]\ninputs = [{ url = \"srt://host:9000\", options = { tlpktdrop = false } }]\n",
            "[templates.a]\nprefix = \"a/\"\nsrt = { port = 9000, options = { tlpktdrop = false } }\n",
        ] {
            let told = warnings(text);
            assert_eq!(told.len(), 1, "{text}: {told:?}");
            assert!(told[0].contains("tlpktdrop"), "{told:?}");
        }
    }

    #[test]
    fn an_open_door_beside_a_locked_one_is_reported() {
        let readme = "[srt]\nport = 9998\n[streams.\"live/a\"]\nsrt_publish = { port = 9002, passphrase = \"publish secret\" }\n";
        let told = warnings(readme);
        let wanted = "line 4: streams.\"live/a\": publishers need a passphrase on port 9002, but none on port 9998 (line 2)";
        assert!(told.len() == 1 && told[0].starts_with(wanted), "{told:?}");
        for text in [
            "[srt_play]\nport = 9998\n[streams.a]\nsrt = { port = 9002, passphrase = \"both secrets\" }",
            "[streams.a]\nsrt = { port = 9002, passphrase = \"both secrets\" }\nsrt_play = { port = 9003 }",
            "[templates.t]\nprefix = \"t/\"\nsrt_publish = { port = 9002 }\n[streams.\"t/a\"]\nsrt_publish = { port = 9003, passphrase = \"publish secret\" }",
        ] {
            assert_eq!(warnings(text).len(), 1, "{text}");
        }
        for closed in [
            format!("{readme}publish_passphrase = \"another secret\""),
            format!("{readme}password = \"letmein\""),
            readme.replace("9998", "9998\npassphrase = \"shared secret\""),
            readme.replace("9998", "\"127.0.0.1:9998\""),
            readme.replace("9998", "9998\nallow = [\"192.0.2.0/24\"]"),
            readme.replace("[srt]", "[srt_play]"),
            readme.replace(", passphrase = \"publish secret\"", ""),
        ] {
            assert_eq!(warnings(&closed), [""; 0], "{closed}");
        }
    }

    #[test]
    fn encoders_that_may_hang_are_hinted_at() {
        let hints = |text: &str| Config::parse(text).unwrap().hints().len();
        let ports = "[srt]\nport = 9998\n";
        assert_eq!(hints(&format!("{ports}[streams.a]")), 1);
        assert_eq!(
            hints(&format!("{ports}[streams_default]\naccept_unknown = true")),
            1
        );
        for decided in [
            "[streams.a]\nduplicate_publisher = \"takeover_if_silent\"",
            "timeout = 30\n[streams.a]",
            "",
        ] {
            assert_eq!(hints(&format!("{ports}{decided}")), 0, "{decided}");
        }
        assert_eq!(hints("[srt_play]\nport = 9998\n[streams.a]"), 0);
    }

    #[test]
    fn senders_and_those_that_drop_are_not() {
        for text in [
            "",
            "[srt]\nport = 9998\noptions = { tlpktdrop = true }\n",
            "[srt_play]\nport = 9996\noptions = { tlpktdrop = false }\n",
            "[streams.a]\noutputs = [\"srt://host:9000?tlpktdrop=0\"]\n",
        ] {
            assert_eq!(warnings(text), [""; 0], "{text}");
        }
    }
}
