//! Properties of any text: it is parsed, or refused with positions inside it; nothing panics, and no secret is shown.

use proptest::prelude::*;

use super::{super::*, document_with, uncommented};

const FULL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/full.toml");

/// Parses, and returns everything that may be printed.
fn outcomes(text: &str) -> Vec<String> {
    let mut shown = Vec::new();
    match Config::parse(text) {
        Ok(config) => shown.push(format!("{config:?}")),
        Err(errors) => {
            assert!(!errors.faults().is_empty());
            for fault in errors.faults() {
                for place in std::iter::once(fault.location()).chain(fault.related()) {
                    assert!(text.get(place.span()).is_some(), "{fault:?}\n{text:?}");
                    assert!(place.line() >= 1 && place.column() >= 1, "{fault:?}");
                }
            }
            shown.push(errors.to_string());
            shown.push(format!("{errors:?}"));
            shown.push(errors.render("gw.toml", text));
            shown.push(errors.render_styled("gw.toml", text));
        }
    }
    shown
}

/// Pieces of configurations, so that mutations are often TOML.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "[srt]\n",
        "[streams.a]\n",
        "[[rules]]\n",
        "port = ",
        "9998\n",
        "\"",
        "'",
        "\"\"\"",
        "=",
        "{ ",
        " }",
        "[",
        "]",
        ",\n",
        "passphrase = \"",
        "inputs = [",
        "\"srt://a:1?",
        "streamid=#!::r=${name}",
        "latency = ",
        "-1",
        "1e9",
        "\\u00e9",
        "é",
        "\r\n",
        "# ",
        "1979-05-27",
        "true",
        "options.x = ",
        "\u{0}",
        "\t",
        "udp://@",
        "file:///",
        "0x",
        "_",
        ".",
    ];
    prop_oneof![
        proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
        any::<char>().prop_map(String::from)
    ]
}

/// A secret that does not occur in messages by accident.
fn secret() -> impl Strategy<Value = String> {
    "Zq7[a-zA-Z0-9]{3,90}"
}

/// Ways to write the value of a key, right and wrong. `@` is the secret.
const FORMS: [&str; 12] = [
    "\"@\"",
    "'@'",
    "\"\"\"\n@\"\"\"",
    "@",
    "\"@",
    "[\"@\"]",
    "[\"a\", \"@\", 1]",
    "{ x = \"@\" }",
    "\"srt://u:@@h:0?passphrase=@\"",
    "\"\\u005a@\"",
    "[\"srt://h:1?streamid=#!::u=a,s=@&passphrase=@&x&token=@\"]",
    "\"http://u:@@h/?token=@\"",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_parsed_or_refused(text in any::<String>()) {
        outcomes(&text);
    }

    #[test]
    fn any_pieces_are_parsed_or_refused(pieces in proptest::collection::vec(piece(), 0..40)) {
        outcomes(&pieces.concat());
    }

    #[test]
    fn a_mutated_configuration_is_parsed_or_refused(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..12, piece()), 1..6),
    ) {
        let mut text = uncommented(&std::fs::read_to_string(FULL).unwrap());
        for (at, cut, insert) in edits {
            let bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let from = at.index(bounds.len());
            let to = (from + cut).min(bounds.len() - 1);
            text.replace_range(bounds[from]..bounds[to], &insert);
        }
        outcomes(&text);
    }

    #[test]
    fn no_secret_is_shown(
        secret in secret(),
        key in proptest::sample::select(reference().iter().filter(|key| key.secret).collect::<Vec<_>>()),
        form in proptest::sample::select(FORMS.to_vec()),
        misspelt in any::<bool>(),
        fault in proptest::sample::select(vec!["", "\nx = [", "\n= 1", " 1", "\nport = 0\n", " # passphrase"]),
    ) {
        let value = form.replace('@', &secret).replace(&format!("{secret}{secret}"), &format!("{secret}@"));
        let name = if misspelt { &key.name[..key.name.len() - 1] } else { key.name };
        let text = document_with(key.section, name, &value) + fault;
        for shown in outcomes(&text) {
            prop_assert!(!shown.contains(&secret[..6]), "{}\n{}", text, shown);
        }
    }
}
