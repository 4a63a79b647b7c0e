//! Translates srt-live-transmit's option syntax, `-chunk:1316`, so that scripts made for it work with `relay`. Pure.

use std::ffi::OsString;

use crate::config::nearest;

/// Its options and ours. One-letter options that clap accepts as they are, except for the colon, are included.
#[rustfmt::skip] // Pairs: read as a table.
const OPTIONS: [(&str, &str); 36] = [
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
    ("lfa", "log-areas"), ("logfa", "log-areas"), ("logfile", "log-file"),
    ("q", "quiet"), ("quiet", "quiet"),
    ("v", "verbose"), ("verbose", "verbose"),
    ("f", "fullstats"), ("fullstats", "fullstats"),
];

/// The arguments of the process, with those of `relay` translated for clap.
///
/// # Errors
/// An unknown option of `relay` with a single dash: clap would read it as several one-letter options, and complain
/// about a letter that nobody meant as an option.
pub(super) fn translated(mut arguments: Vec<OsString>) -> Result<Vec<OsString>, String> {
    if arguments.get(1).is_none_or(|command| command != "relay") {
        return Ok(arguments);
    }
    for argument in &mut arguments[2..] {
        match argument.to_str() {
            // No options follow.
            Some("--") => break,
            Some("-version") => return Ok(vec!["srt-gateway".into(), "--version".into()]),
            Some("-help" | "-h:logging" | "-help:logging") => *argument = "--help".into(),
            Some(text) => {
                if let Some(word) = word(text)? {
                    *argument = word.into();
                }
            }
            None => {}
        }
    }
    Ok(arguments)
}

/// Turns `-chunk:1316` into `--chunk=1316`; None if it does not have this form.
fn word(text: &str) -> Result<Option<String>, String> {
    let Some(option) = text.strip_prefix('-').filter(|rest| !rest.starts_with('-')) else {
        return Ok(None);
    };
    let (name, value) = match option.split_once(':') {
        Some((name, value)) => (name, Some(value)),
        // Our own: clap handles `-c1316` and the like.
        None if option.len() <= 1 => return Ok(None),
        None => (option, None),
    };
    match OPTIONS.iter().find(|(theirs, _)| *theirs == name) {
        Some((_, ours)) => Ok(Some(value.map_or_else(
            || format!("--{ours}"),
            |value| format!("--{ours}={}", named(ours, value)),
        ))),
        None if value.is_none() && is_short_form(option) => Ok(None),
        None => Err(unknown(name)),
    }
}

/// The value of an option under our name.
fn named<'v>(option: &str, value: &'v str) -> &'v str {
    match (option, value) {
        ("stats-format", "json") => "srt-json",
        ("stats-format", "csv") => "srt-csv",
        ("stats-format", "default") => "srt-text",
        _ => value,
    }
}

/// Whether clap accepts it: a row of switches, or one letter and its value.
fn is_short_form(option: &str) -> bool {
    let is_switch = |letter: char| "qvfh".contains(letter);
    let with_value = option
        .strip_prefix(['a', 'c', 'r', 's', 't'])
        .is_some_and(|value| {
            value.starts_with(|c: char| c.is_ascii_digit()) || matches!(value, "yes" | "no")
        });
    with_value || option.chars().all(is_switch)
}

fn unknown(name: &str) -> String {
    let name: String = name.chars().take(40).collect();
    // Any letter is near any other.
    let is_long = |word: &&str| word.len() > 1 && name.len() > 1;
    let known = OPTIONS.iter().map(|(theirs, _)| *theirs).filter(is_long);
    let hint = match nearest(&name, known) {
        Some(near) => format!("did you mean -{near}?"),
        None => "srt-gateway relay --help lists the options".to_owned(),
    };
    format!("relay has no option -{}: {hint}", name.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(argument: &str) -> Result<Vec<OsString>, String> {
        translated(["srt-gateway", "relay", argument].map(OsString::from).into())
    }

    #[test]
    fn options_of_srt_live_transmit_are_ours() {
        for (theirs, ours) in [
            ("-chunk:1316", "--chunk=1316"),
            ("-c:188", "--chunk=188"),
            ("-pf:json", "--stats-format=srt-json"),
            ("-statspf:default", "--stats-format=srt-text"),
            ("--stats-format=json", "--stats-format=json"),
            ("-statsout:/tmp/a:b", "--stats-out=/tmp/a:b"),
            ("-stats-report-frequency", "--stats"),
            ("-loglevel:debug", "--log-level=debug"),
            ("-logfile:x.log", "--log-file=x.log"),
            ("-lfa:conn,rsrc", "--log-areas=conn,rsrc"),
            ("-quiet", "--quiet"),
            ("-help", "--help"),
            ("-q", "-q"),
            ("-qf", "-qf"),
            ("-c1316", "-c1316"),
            ("-ano", "-ano"),
            ("-a:no", "--auto-reconnect=no"),
            ("--chunk=1316", "--chunk=1316"),
            ("-", "-"),
            ("srt://:9000", "srt://:9000"),
        ] {
            assert_eq!(of(theirs).unwrap().last().unwrap(), ours);
        }
        let other = ["srt-gateway", "check", "-c:1"].map(OsString::from);
        assert_eq!(translated(other.clone().into()).unwrap(), other);
        assert_eq!(of("-version").unwrap(), ["srt-gateway", "--version"]);
    }

    #[test]
    fn unknown_options_are_named_with_the_nearest_one() {
        for (wrong, told) in [
            (
                "-loglevl:debug",
                "relay has no option -loglevl: did you mean -loglevel?",
            ),
            (
                "-chunks:1316",
                "relay has no option -chunks: did you mean -chunk?",
            ),
            (
                "-statout:x",
                "relay has no option -statout: did you mean -statsout?",
            ),
            (
                "-time-out:5",
                "relay has no option -time-out: did you mean -timeout?",
            ),
            (
                "-k:1",
                "relay has no option -k: srt-gateway relay --help lists the options",
            ),
            (
                "-whatever",
                "relay has no option -whatever: srt-gateway relay --help lists the options",
            ),
        ] {
            assert_eq!(of(wrong).unwrap_err(), told);
        }
        // After -- there are no options.
        let arguments = ["srt-gateway", "relay", "--", "-whatever", "-"].map(OsString::from);
        assert_eq!(translated(arguments.clone().into()).unwrap(), arguments);
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
