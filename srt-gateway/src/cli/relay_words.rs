//! srt-live-transmit's way to write options, `-chunk:1316`, under our names: scripts made for it work with `relay`. Pure.

use std::ffi::OsString;

/// Its options and ours. Those of one letter that clap reads as they are, but for the colon, are here too.
#[rustfmt::skip] // Pairs: read as a table.
const OPTIONS: [(&str, &str); 33] = [
    ("a", "auto-reconnect"), ("auto", "auto-reconnect"), ("autoreconnect", "auto-reconnect"),
    ("c", "chunk"), ("chunk", "chunk"),
    ("t", "timeout"), ("timeout", "timeout"), ("to", "timeout"),
    ("tm", "timeout-mode"), ("timeout-mode", "timeout-mode"),
    ("r", "report"), ("report", "report"), ("bwreport", "report"),
    ("bitrate-report", "report"), ("bandwidth-report", "report"),
    ("st", "sourcetime"), ("srctime", "sourcetime"), ("sourcetime", "sourcetime"),
    ("buffering", "buffering"),
    ("s", "stats"), ("stats", "stats"), ("stats-report-frequency", "stats"),
    ("statsout", "stats-out"),
    ("pf", "stats-format"), ("statspf", "stats-format"),
    ("ll", "log-level"), ("loglevel", "log-level"),
    ("q", "quiet"), ("quiet", "quiet"),
    ("v", "verbose"), ("verbose", "verbose"),
    ("f", "fullstats"), ("fullstats", "fullstats"),
];

/// The arguments of the process, with those of `relay` as clap knows them.
pub(super) fn translated(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if arguments.get(1).is_some_and(|command| command == "relay") {
        for argument in &mut arguments[2..] {
            if let Some(word) = argument.to_str().and_then(word) {
                *argument = word.into();
            }
        }
    }
    arguments
}

/// `--chunk=1316` of `-chunk:1316`; None of what is none of its options.
fn word(text: &str) -> Option<String> {
    let option = text.strip_prefix('-').filter(|rest| !rest.starts_with('-'))?;
    let (name, value) = match option.split_once(':') {
        Some((name, value)) => (name, Some(value)),
        // Ours: `-c1316` and the like are clap's business.
        None if option.len() == 1 => return None,
        None => (option, None),
    };
    let (_, ours) = OPTIONS.iter().find(|(theirs, _)| *theirs == name)?;
    Some(value.map_or_else(|| format!("--{ours}"), |value| format!("--{ours}={value}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_srt_live_transmit_are_ours() {
        for (theirs, ours) in [
            ("-chunk:1316", "--chunk=1316"),
            ("-c:188", "--chunk=188"),
            ("-pf:json", "--stats-format=json"),
            ("-statsout:/tmp/a:b", "--stats-out=/tmp/a:b"),
            ("-stats-report-frequency", "--stats"),
            ("-quiet", "--quiet"),
            ("-q", "-q"),
            ("-a:no", "--auto-reconnect=no"),
            ("--chunk=1316", "--chunk=1316"),
            ("-", "-"),
            ("-x:1", "-x:1"),
            ("srt://:9000", "srt://:9000"),
        ] {
            let arguments = ["srt-gateway", "relay", theirs].map(OsString::from);
            assert_eq!(translated(arguments.into()).last().unwrap(), ours);
        }
        let other = ["srt-gateway", "check", "-c:1"].map(OsString::from);
        assert_eq!(translated(other.clone().into()), other);
    }

    #[test]
    fn every_word_of_ours_is_an_option_of_the_command() {
        use clap::CommandFactory as _;
        let command = super::super::Cli::command();
        let relay = command.find_subcommand("relay").unwrap();
        for (_, ours) in OPTIONS {
            let known = relay
                .get_arguments()
                .any(|argument| argument.get_long() == Some(ours));
            assert!(known, "{ours}");
        }
    }
}
