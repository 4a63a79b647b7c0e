//! Generates `docs/configuration.md` from the table of keys. Pure.
//!
//! A test compares the checked-in file with the generated one; `srt-gateway reference` prints it.

use std::fmt::Write as _;

use super::keys::{self, KeyDoc, Section};

/// The sections in the order of the configuration.
const ORDER: [Section; 26] = {
    use Section::*;
    [
        Root,
        Gateway,
        Srt,
        Port,
        Stream,
        StreamSettings,
        StreamsDefault,
        Failover,
        Endpoint,
        SrtEndpoint,
        UdpEndpoint,
        FileEndpoint,
        Template,
        Listener,
        ConfigExternal,
        Rule,
        Auth,
        AuthCache,
        Events,
        Alarms,
        Mail,
        Limits,
        Api,
        ApiToken,
        Tls,
        Log,
    ]
};

const HEAD: &str = "\
# Configuration reference

<!-- Made from srt-gateway/src/config/keys.rs: `cargo run -- reference > docs/configuration.md`. Edit there. -->

One TOML file. `srt-gateway check FILE` reports every error with line and column; the message for an unknown key names
the nearest known key. [examples/full.toml](../examples/full.toml) shows every key in its place.

A duration is a number in the unit that the table states, or a string: `\"120ms\"`, `\"5s\"`, `\"2m\"`. A size is a number of bytes or
a string: `\"8MiB\"`; a bit rate likewise: `\"20M\"`. Defaults and examples are written as TOML. A key of an `srt://`, `udp://`, `rtp://`
or `file://` entry is a parameter of its URL as well (`srt://host:9000?latency=200`), percent-encoded where it has `&`, `%` or a space.

A passphrase (also in a list), a password, a token, a `secret`, a `streamid`, a `url` or a `slack_url` may stand elsewhere: write `{ file = \"PATH\" }`, `{ env = \"NAME\" }`, or
`{ credential = \"NAME\" }` for a credential of systemd (`LoadCredential=NAME:PATH` in the unit) in place of the string. A file is a regular file of one
line and at most 4096 bytes; the line break at its end does not count. The gateway warns if other users can read it. It reads these again when it
reads the configuration file again, and does not notice by itself that a secret has changed: `systemctl reload srt-gateway` after a rotation. Only the
configuration file may use these forms; the API and backends may not.
";

/// The introduction of a section.
fn about(section: Section) -> &'static str {
    match section {
        Section::Srt => {
            "Keys of every `srt`, `srt_publish` and `srt_play` table and, except those about callers, of every \
             `srt://` input and output. `[srt_defaults]` sets their defaults."
        }
        Section::Port => "In addition, all keys of `[srt_defaults]`.",
        Section::Stream => "In addition, all keys of `[streams_default]` except `accept_unknown`.",
        Section::StreamSettings => {
            "Set them in `[streams_default]` for all streams, or in the table of one stream."
        }
        Section::Template => {
            "In addition, all keys of a stream; `${name}` in a streamid or path stands for the stream's name."
        }
        Section::Endpoint => {
            "A link-local IPv6 address needs its network interface, here and wherever an address may stand: \
             `srt://[fe80::1%eth0]:9000`. `%25eth0`, as RFC 6874 writes it, means the same. The interface may come later."
        }
        Section::SrtEndpoint => {
            "In addition, `enabled` and the keys of `[srt_defaults]` that are not about callers. Write libsrt's \
             other options (`maxbw`, `lossmaxttl`, ...) as parameters of the URL under their own names, or in \
             `options` beside `url`."
        }
        Section::UdpEndpoint => {
            "Each datagram is one message; datagrams longer than 1456 bytes are split into messages of seven \
             packets. URLs may also use srt-live-transmit's `adapter`, `source`, `rcvbuf` and `sndbuf`."
        }
        _ => "",
    }
}

/// The whole document.
#[must_use]
pub fn document() -> String {
    let mut text = HEAD.to_owned();
    for section in ORDER {
        let rows: Vec<_> = keys::reference()
            .iter()
            .filter(|key| key.section == section)
            .collect();
        // Writing to a String cannot fail.
        writeln!(text, "\n## {}\n", section.title()).unwrap_or_default();
        let about = about(section);
        if !about.is_empty() {
            writeln!(text, "{about}\n").unwrap_or_default();
        }
        text.push_str("| key | type | default | example | meaning |\n|---|---|---|---|---|\n");
        for key in rows {
            text.push_str(&row(key));
        }
    }
    text
}

fn row(key: &KeyDoc) -> String {
    let kind = match key.unit {
        "" => key.kind.to_owned(),
        unit => format!("{}, {unit}", key.kind),
    };
    format!(
        "| `{}` | {} | {} | {} | {} |\n",
        key.name,
        cell(&kind),
        default(key),
        code(key.example),
        cell(key.doc)
    )
}

/// TOML values as code; words as they are.
fn default(key: &KeyDoc) -> String {
    let is_toml = format!("x = {}", key.default).parse::<toml::Table>().is_ok();
    match key.default {
        "" => "none".to_owned(),
        text if is_toml => code(text),
        text => cell(text),
    }
}

fn code(text: &str) -> String {
    format!("`{}`", cell(text))
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_the_document() {
        let text = document();
        for key in keys::reference() {
            assert!(ORDER.contains(&key.section), "{:?} has no place", key.section);
        }
        let rows = text.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, keys::reference().len());
        assert!(
            text.contains("| `latency` | duration, ms | `120` | `200` | "),
            "{text}"
        );
    }

    #[test]
    fn the_checked_in_document_is_that_of_the_keys() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        let fresh = document();
        let differs = fresh
            .lines()
            .zip(kept.lines())
            .find(|(fresh, kept)| fresh != kept);
        assert!(
            kept == fresh,
            "docs/configuration.md is stale, first {differs:?}: cargo run -- reference > docs/configuration.md"
        );
    }
}
