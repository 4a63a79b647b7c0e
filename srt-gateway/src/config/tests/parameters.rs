//! The SRT parameters known from Flussonic, in every place where they are allowed: same names, units and defaults.

use std::time::Duration;

use super::super::*;

/// Name, value as TOML, value in a URL, and the resulting settings.
type Parameter = (&'static str, &'static str, &'static str, fn(&SrtSettings) -> bool);

#[rustfmt::skip] // One parameter a line: it is read as a table.
const PARAMETERS: [Parameter; 8] = [
    ("minversion", "\"1.1.0\"", "1.1.0", |s| s.min_version == SrtVersion::new(1, 1, 0)),
    ("version", "\"1.3.0\"", "1.3.0", |s| s.version == Some(SrtVersion::new(1, 3, 0))),
    ("enforcedencryption", "false", "false", |s| !s.enforced_encryption),
    ("passphrase", "\"9876543210\"", "9876543210", |s| s.passphrase == Some(Secret::new("9876543210"))),
    ("timeout", "1", "1", |s| s.timeout == Some(Duration::from_secs(1))),
    ("linger", "1", "1", |s| s.linger == Duration::from_secs(1)),
    ("connect_timeout", "2", "2", |s| s.connect_timeout == Some(Duration::from_secs(2))),
    ("latency", "100", "100", |s| s.latency == Duration::from_millis(100)),
];

/// Places for `NAME = VALUE` (and `NAME=TEXT` in URLs).
const PLACES: [&str; 13] = [
    "[srt_defaults]\nNAME = VALUE\n[srt]\nport = 1",
    "[srt]\nport = 1\nNAME = VALUE",
    "[srt_publish]\nport = 1\nNAME = VALUE",
    "[srt_play]\nport = 1\nNAME = VALUE",
    "[streams.a]\nsrt = { port = 1, NAME = VALUE }",
    "[streams.a]\nsrt_publish = { port = 1, NAME = VALUE }",
    "[streams.a]\nsrt_play = { port = 1, NAME = VALUE }",
    "[templates.a]\nprefix = \"a/\"\nsrt = { port = 1, NAME = VALUE }",
    "[streams.a]\ninputs = [\"srt://h:1?NAME=TEXT\"]",
    "[streams.a]\ninputs = [{ url = \"srt://h:1\", NAME = VALUE }]",
    "[streams.a]\noutputs = [\"srt://h:1?mode=caller&NAME=TEXT\"]",
    "[streams.a]\noutputs = [{ url = \"srt://:1?mode=listener\", NAME = VALUE }]",
    "[templates.a]\nprefix = \"a/\"\noutputs = [\"srt://h:1?NAME=TEXT\"]",
];

/// The only port, input or output of a configuration.
fn settings(config: &Config) -> SrtSettings {
    let streams = (config.streams.values()).chain(config.templates.values().map(|template| &template.stream));
    let endpoints = streams.flat_map(|stream| stream.inputs.iter().chain(&stream.outputs));
    let of_endpoint = |endpoint: &Endpoint| match &endpoint.target {
        Target::Srt(srt) => Some(srt.settings.clone()),
        _ => None,
    };
    let ports = config.srt_ports().map(|(_, port)| port.settings.clone());
    let mut all = ports.chain(endpoints.filter_map(of_endpoint));
    let first = all.next().expect("a port or an endpoint");
    assert!(all.next().is_none());
    first
}

#[test]
fn every_parameter_is_understood_in_every_place() {
    for (name, value, text, holds) in PARAMETERS {
        for place in PLACES {
            let toml = place
                .replace("NAME", name)
                .replace("VALUE", value)
                .replace("TEXT", text);
            let config = Config::parse(&toml).unwrap_or_else(|errors| panic!("{toml}\n{errors}"));
            assert!(holds(&settings(&config)), "{toml}");
            let without = place
                .replace(", NAME = VALUE", "")
                .replace("NAME = VALUE", "")
                .replace("&NAME=TEXT", "")
                .replace("?NAME=TEXT", "");
            let config = Config::parse(&without).unwrap_or_else(|errors| panic!("{without}\n{errors}"));
            assert!(!holds(&settings(&config)), "{without}: the test shows nothing");
        }
    }
}

#[test]
fn their_defaults_are_those_that_people_know() {
    for place in ["[srt]\nport = 1", "[streams.a]\ninputs = [\"srt://h:1\"]"] {
        let settings = settings(&Config::parse(place).unwrap());
        assert!(settings.enforced_encryption && settings.passphrase.is_none() && settings.version.is_none());
        assert_eq!((settings.timeout, settings.connect_timeout), (None, None));
        assert_eq!(settings.linger, Duration::from_secs(180));
        assert_eq!(settings.latency, Duration::from_millis(120));
    }
    let never = Config::parse("[srt]\nport = 1\ntimeout = -1\nconnect_timeout = 0").unwrap();
    let settings = settings(&never);
    assert_eq!((settings.timeout, settings.connect_timeout), (None, None));
}

/// A bad value names the key, the value and what is allowed, in a table and in a URL.
#[test]
fn a_bad_value_of_each_is_told_with_what_is_allowed() {
    for (name, bad, allowed) in [
        ("minversion", "one", "1.5.7"),
        ("version", "1.5", "1.5.7"),
        ("enforcedencryption", "maybe", "true or false"),
        ("passphrase", "short", "10 to 79 characters"),
        ("timeout", "-2", "-1"),
        ("linger", "soon", "5s"),
        ("connect_timeout", "-1", "0"),
        ("latency", "100000", "ms"),
    ] {
        for place in [
            "[srt]\nport = 1\nNAME = \"VALUE\"",
            "[streams.a]\ninputs = [\"srt://h:1?NAME=VALUE\"]",
        ] {
            let toml = place.replace("NAME", name).replace("VALUE", bad);
            let errors = Config::parse(&toml).expect_err(&toml);
            let told = errors.to_string();
            assert!(told.contains(name) && told.contains(allowed), "{toml}\n{told}");
            assert!(name == "passphrase" || told.contains(bad), "{toml}\n{told}");
        }
    }
}
