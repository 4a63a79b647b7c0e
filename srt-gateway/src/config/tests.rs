//! Tests of the configuration.

mod documents;
mod endpoints;
mod faults;
mod parameters;
mod properties;
mod urls;

use super::{keys, raw::Node, reader::ReadContext, *};

#[test]
fn the_embedded_default_serves_unknown_streams_on_loopback() {
    let config = Config::parse(DEFAULT_TOML).unwrap();
    assert_eq!(config.ports.len(), 1);
    assert_eq!(config.ports[0].kind, PortKind::Both);
    assert_eq!(
        config.ports[0].listen,
        ListenAddr::One("127.0.0.1".parse().unwrap(), 9998)
    );
    assert_eq!(
        config.stream_settings("any/name"),
        Some(&StreamSettings::default())
    );
}

/// A document with the value of `key`, and nothing else at that position.
fn document_with(section: Section, key: &str, value: &str) -> String {
    let (before, after) = match section {
        Section::Root => ("", ""),
        Section::Gateway => ("[gateway]\n", ""),
        Section::Srt => ("[srt_defaults]\n", ""),
        Section::Port => ("[srt]\n", ""),
        Section::Stream => ("[streams.cam]\n", ""),
        Section::StreamSettings | Section::StreamsDefault => ("[streams_default]\n", ""),
        Section::Template => ("[templates.t]\n", ""),
        Section::Failover => ("[streams.cam.failover]\n", ""),
        Section::Endpoint | Section::SrtEndpoint => {
            ("[streams.cam]\ninputs = [{ url = \"srt://a:1\", ", " }]")
        }
        Section::UdpEndpoint => ("[streams.cam]\ninputs = [{ url = \"udp://:1\", ", " }]"),
        Section::FileEndpoint => ("[streams.cam]\ninputs = [{ url = \"file:///a\", ", " }]"),
        Section::Listener => ("[[listeners]]\n", ""),
        Section::ConfigExternal => ("[config_external]\n", ""),
        Section::Rule => ("[[rules]]\n", ""),
        Section::Auth => ("[auth]\n", ""),
        Section::AuthCache => ("[auth.cache]\n", ""),
        Section::Events => ("[events]\n", ""),
        Section::Alarms => ("[alarms]\n", ""),
        Section::Mail => ("[alarms.mail]\n", ""),
        Section::Limits => ("[limits]\n", ""),
        Section::Api => ("[api]\n", ""),
        Section::ApiToken => ("[[api.tokens]]\n", ""),
        Section::Tls => ("[api.tls]\n", ""),
        Section::Log => ("[log]\n", ""),
    };
    if (section, key) == (Section::Endpoint, "url") {
        return format!("[streams.cam]\ninputs = [{{ url = {value} }}]\n");
    }
    // These two require each other, and no other host.
    let before = match (section, key) {
        (Section::SrtEndpoint, "type") => {
            "[streams.cam]\ninputs = [{ url = \"srt://*\", nodes = [\"a:1\"], ".to_owned()
        }
        (Section::SrtEndpoint, "nodes") => {
            "[streams.cam]\ninputs = [{ url = \"srt://*\", type = \"backup\", ".to_owned()
        }
        _ => before.to_owned(),
    };
    format!("{before}{key} = {value}{after}\n")
}

/// No key has the type of a time, so a reader must report an error.
#[test]
fn every_key_of_the_table_is_read() {
    for key in reference() {
        let text = document_with(key.section, key.name, "07:32:00");
        let errors = Config::parse(&text).expect_err(&text);
        let at = text.find("07:32:00").unwrap();
        let found = errors
            .faults()
            .iter()
            .any(|fault| fault.location().span().start == at);
        assert!(found, "{text}{errors}");
    }
}

/// The reverse is an assertion in the reader: reading a key that is not in the table panics in debug builds.
#[test]
fn every_example_of_the_table_is_accepted() {
    for key in reference() {
        let text = document_with(key.section, key.name, key.example);
        if let Err(errors) = Config::parse(&text) {
            let at = text.rfind(key.example).unwrap();
            let about = |fault: &&Fault| {
                (at..at + key.example.len()).contains(&fault.location().span().start)
                    && !fault.message().contains("is missing")
                    && !fault.message().contains("needs a backend")
                    && key.name != "segment"
            };
            assert_eq!(errors.faults().iter().find(about), None, "{text}");
        }
    }
}

#[test]
fn every_default_of_the_table_is_what_holds() {
    for key in reference() {
        let is_toml = toml::from_str::<toml::Table>(&format!("x = {}", key.default)).is_ok();
        if key.default.is_empty() || !is_toml || key.section == Section::FileEndpoint {
            continue;
        }
        let with = document_with(key.section, key.name, key.default);
        let without = match key.section {
            Section::Root => String::new(),
            _ => with.replace(&format!("{} = {}", key.name, key.default), ""),
        };
        if let (Ok(with), Ok(without)) = (Config::parse(&with), Config::parse(&without)) {
            let same = format!("{with:?}") == format!("{without:?}");
            assert!(with == without || same, "{}: {}", key.name, key.default);
        }
    }
}

#[test]
fn the_names_of_a_table_are_unique() {
    for section in reference().iter().map(|key| key.section) {
        let names: Vec<_> = keys::of(section).map(|key| key.name).collect();
        let unique: BTreeSet<_> = names.iter().collect();
        assert_eq!(unique.len(), names.len(), "{section:?}");
    }
}

/// With what is commented out: `#key = value`, `#  "element",`. Prose has one space after the `#`.
fn uncommented(text: &str) -> String {
    let is_prose = |rest: &str| {
        rest.strip_prefix(' ')
            .is_some_and(|prose| !prose.starts_with(' '))
    };
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !is_prose(rest) => rest.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(|l| line(l) + "\n").collect()
}

#[test]
fn the_full_example_has_every_key_and_its_comments_are_valid() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/full.toml");
    let text = uncommented(&std::fs::read_to_string(path).unwrap());
    let root = Node::document(&text).unwrap_or_else(|error| panic!("{error}"));
    let context = ReadContext::new(&text);
    assert!(validate::read(&context, &root).is_some());
    let met = context.met();
    let missing: Vec<_> = reference()
        .iter()
        .filter(|key| !met.contains(&(key.section, key.name)))
        .map(|k| (k.section, k.name))
        .collect();
    assert_eq!(missing, [], "examples/full.toml does not show these keys");
    let (faults, _) = context.into_parts();
    assert_eq!(
        faults.iter().map(ToString::to_string).collect::<Vec<_>>(),
        Vec::<String>::new()
    );
}
