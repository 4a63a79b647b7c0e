//! What a configuration says that is valid and will probably hurt: told at the start and by `check`, never refused. Pure.

use std::collections::BTreeMap;

use super::{
    endpoint::Target,
    model::{Action, Config, OptionValue, SrtOption, SrtSettings},
    types::PortKind,
};

impl Config {
    /// One sentence for each thing that is valid and unwise, with its place in the file.
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
        // What the defaults say is in the settings of each port as well.
        let keeps: BTreeMap<_, _> = receivers
            .filter_map(keeps_late_packets)
            .map(|option| (option.at.span().start, option))
            .collect();
        keeps
            .values()
            .map(|option| {
                format!(
                    "line {}: {} = false on a receiver: while a packet that was lost is overdue the stream stands still, and libsrt \
                     1.5.7 takes a whole core; leave it out for live streams",
                    option.at.line(),
                    option.path
                )
            })
            .collect()
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
