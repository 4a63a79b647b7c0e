//! Tests of error messages: the key path and a part of each message.

use super::super::*;

/// The text, the key path of the first error, and a part of its line (message, other position, hint).
type Case = (&'static str, &'static str, &'static str);

fn check(cases: &[Case], parse: impl Fn(&str) -> Result<Config, ConfigErrors>) {
    for (text, key, fragment) in cases {
        let errors = parse(text).expect_err(text);
        let found = errors
            .faults()
            .iter()
            .any(|fault| fault.key() == *key && fault.to_string().contains(fragment));
        assert!(found, "{text}\nwanted {key}: {fragment}\ngot\n{errors}");
    }
}

#[rustfmt::skip] // One case a line: it is read as a table.
const UNKNOWN: &[Case] = &[
    ("latency = 1", "latency", "`latency` is a key of [srt_defaults]"),
    ("[srtt]\nport = 1", "srtt", "did you mean `srt`?"),
    ("[srt]\nport = 1\nlatncy = 1", "srt.latncy", "did you mean `latency`?"),
    ("[srt]\nport = 1\npbkeylen = 16", "srt.pbkeylen", "did you mean `key_length`?"),
    ("[streams.a]\nprot = 1", "streams.a.prot", "valid keys: "),
    ("[streams.a.srt]\nprot = 1", "streams.a.srt.prot", "did you mean `port`?"),
    ("[streams.\"a b\"]\nrings = 1", "streams.\"a b\".rings", "did you mean `ring`?"),
    ("[log]\nlvl = 1", "log.lvl", "valid keys: level, format"),
    ("[srt]\nport = 1\n\"\\n\" = 1", "srt.\"\\n\"", "unknown key `\\n`"),
];

#[test]
fn unknown_keys_name_the_nearest_or_where_they_belong() {
    check(UNKNOWN, Config::parse);
}

#[rustfmt::skip] // One case a line: it is read as a table.
const SRT: &[Case] = &[
    ("[srt]", "srt", "`port` is missing, as in port ="),
    ("[srt]\nport = 0", "srt.port", "must be a port from 1 to 65535"),
    ("[srt]\nport = 65536", "srt.port", "is 65536"),
    ("[srt]\nport = \"localhost:1\"", "srt.port", "\"127.0.0.1:9998\", \"[::1]:9998\", \"[fe80::1%eth0]:9998\", is \"localhost:1\""),
    ("[srt]\nport = \"::1:9998\"", "srt.port", "[::1]:9998"),
    ("[srt]\nport = [1]", "srt.port", "is a list"),
    ("srt = 9998", "srt", "must be a table, is an integer; as in srt = { port = 9998 }"),
    ("[streams.a]\non_demand = true\non_source_lost = 0", "streams.a.on_demand", "admits no viewers while on_source_lost is 0"),
    ("[srt_defaults]\nlatency = -1", "srt_defaults.latency", "from 0 ms to 65535 ms"),
    ("[srt_defaults]\nlatency = 200000", "srt_defaults.latency", "if you meant 200 ms, write \"200 ms\""),
    ("[srt_defaults]\nlatency = \"1 hour\"", "srt_defaults.latency", "is \"1 hour\""),
    ("[srt_defaults]\nlatency = 99999999999999999999", "srt_defaults.latency", "does not fit 64 bits"),
    ("[srt_defaults]\nmin_latency = 300\nmax_latency = 200", "srt_defaults.min_latency", "max_latency is set here at 3:15"),
    ("[srt_defaults]\nmin_latency = \"11s\"", "srt_defaults.min_latency", "must not be above max_latency (10000 ms), is 11000 ms"),
    ("[srt_defaults]\nmax_latency = 100", "srt_defaults.max_latency", "must not be below latency (120 ms), is 100 ms"),
    ("[srt_defaults]\nmax_latency = 500\n[srt]\nport = 1\nlatency = 600", "srt.latency", "max_latency is set here at 2:15"),
    ("[srt_defaults]\npassphrase = \"123456789\"", "srt_defaults.passphrase", "must be 10 to 79 characters, is 9"),
    ("[srt_defaults]\npassphrase = 1234567890", "srt_defaults.passphrase", "must be a string, is an integer"),
    ("[srt_defaults]\nkey_length = 128", "srt_defaults.key_length", "must be 16, 24 or 32 (bytes), is 128"),
    ("[srt_defaults]\ncrypto_mode = \"gmc\"", "srt_defaults.crypto_mode", "must be \"auto\", \"ctr\" or \"gcm\", is \"gmc\"; did you mean \"gcm\"?"),
    ("[srt_defaults]\nenforcedencryption = \"yes\"", "srt_defaults.enforcedencryption", "must be true or false, is \"yes\""),
    ("[srt_defaults]\nminversion = \"1.5\"", "srt_defaults.minversion", "\"1.5.7\", is \"1.5\""),
    ("[srt_defaults]\nversion = \"1.256.0\"", "srt_defaults.version", "an SRT version"),
    ("[srt_defaults]\nversion = \"1.2.9\"", "srt_defaults.version", "must not be below minversion (1.3.0), is 1.2.9"),
    ("[srt_defaults]\ntimeout = 0", "srt_defaults.timeout", "must be -1 (never), or a duration"),
    ("[srt_defaults]\npeer_idle_timeout = 0", "srt_defaults.peer_idle_timeout", "from 100ms to 86400 s"),
    ("[srt_defaults]\nlinger = -1", "srt_defaults.linger", "from 0 s"),
    ("[srt_defaults]\npacketfilter = \"fec,rows:x\"", "srt_defaults.packetfilter", "fec,cols:10,rows:5"),
    ("[srt_defaults]\nallow = \"10.0.0.0/8\"", "srt_defaults.allow", "must be a list, as in allow = [\"203.0.113.0/24\"]"),
    ("[srt_defaults]\nallow = [\"10.0.0.0/33\"]", "srt_defaults.allow[0]", "is \"10.0.0.0/33\""),
    ("[srt_defaults]\nmax_connections = -1", "srt_defaults.max_connections", "from 0 to 4294967295"),
    ("[srt_defaults]\noptions = { passphrase = \"x\" }", "srt_defaults.options.passphrase", "has a key of its own: `passphrase`"),
    ("[srt_defaults]\noptions = { SRTO_PBKEYLEN = 16 }", "srt_defaults.options.SRTO_PBKEYLEN", "`key_length`"),
    ("[srt_defaults]\noptions = { x = [] }", "srt_defaults.options.x", "must be an integer, a boolean or a string"),
    ("[srt_defaults]\noptions = { \"\" = 1 }", "srt_defaults.options.\"\"", "is not the name of an option"),
];

#[test]
fn values_of_srt_tables_are_bounded() {
    check(SRT, Config::parse);
}

#[rustfmt::skip] // One case a line: it is read as a table.
const STREAMS: &[Case] = &[
    ("[gateway]\nname = \"\"", "gateway.name", "at least one character"),
    ("[gateway]\nworkers = 1.5", "gateway.workers", "an integer from 0 to 1024, is 1.5"),
    ("[gateway]\nstrict = 1", "gateway.strict", "must be true or false, is 1"),
    ("[gateway]\nstreamid_dialects = [\"slas\"]", "gateway.streamid_dialects[0]", "did you mean \"slash\"?"),
    ("[gateway]\nstreamid_dialects = []", "gateway.streamid_dialects", "must list at least one dialect"),
    ("[streams.\"\"]", "streams.\"\"", "must not be empty"),
    ("[streams.\"a\\u0007\"]", "streams.\"a\\u{7}\"", "control characters"),
    ("streams = []", "streams", "must be a table, is a list"),
    ("[streams]\na = 1", "streams.a", "must be a table, is an integer"),
    ("[streams.a]\nring = \"8M\"", "streams.a.ring", "a size from 256 KiB to 4 GiB"),
    ("[streams.a]\nring = 1", "streams.a.ring", "is 1"),
    ("[streams.a]\nring = \"5GiB\"", "streams.a.ring", "is \"5GiB\""),
    ("[streams.a]\nstart_at = \"begin\"", "streams.a.start_at", "must be \"keyframe\" or \"live\""),
    ("[streams.a]\ningest = \"now\"", "streams.a.ingest", "must be \"timed\" or \"immediate\""),
    ("[streams.a]\non_source_lost = \"never\"", "streams.a.on_source_lost", "a number in s, or a string such as \"5s\", \"2m\""),
    ("[streams.a]\nmax_viewers = \"5\"", "streams.a.max_viewers", "an integer from 0"),
    ("[streams.a]\npublish_passphrase = \"short\"", "streams.a.publish_passphrase", "is 5"),
    ("[streams.a]\nplay_passphrase = [\"short\"]", "streams.a.play_passphrase[0]", "is 5"),
    ("[streams_default]\naccept_unknown = \"all\"", "streams_default.accept_unknown", "must be true or false"),
    ("[log]\nlevel = \"warning\"", "log.level", "did you mean \"warn\"?"),
    ("[log]\nformat = \"xml\"", "log.format", "must be \"text\" or \"json\", is \"xml\""),
];

#[test]
fn values_of_streams_and_the_gateway_are_bounded() {
    check(STREAMS, Config::parse);
    let long = format!("[streams.{}]", "x".repeat(513));
    assert!(
        Config::parse(&long)
            .unwrap_err()
            .to_string()
            .contains("at most 512 bytes, is 513")
    );
    assert!(Config::parse(&format!("[streams.{}]", "x".repeat(512))).is_ok());
}

#[test]
fn passphrases_are_counted_as_libsrt_counts_them() {
    let parse = |phrase: &str| Config::parse(&format!("[srt_defaults]\npassphrase = {phrase:?}"));
    assert!(parse(&"x".repeat(10)).is_ok() && parse(&"x".repeat(79)).is_ok());
    assert!(parse(&"x".repeat(80)).unwrap_err().to_string().contains("is 80"));
    assert!(parse("éééééé").is_ok());
    assert!(
        parse(&"é".repeat(40))
            .unwrap_err()
            .to_string()
            .contains("is 80 (counted as bytes of UTF-8)")
    );
    assert_eq!(parse("").unwrap().srt_defaults.passphrase, None);
}

#[rustfmt::skip] // One case a line: it is read as a table.
const ADDRESSES: &[Case] = &[
    ("[srt]\nport = 1\n[srt_play]\nport = 1", "srt_play.port", "1 (all addresses) is already in use by srt.port (used here at 2:8)"),
    ("[srt]\nport = \"127.0.0.1:1\"\n[streams.a.srt]\nport = 1", "streams.a.srt.port", "is already in use by srt.port"),
    ("[srt]\nport = \"0.0.0.0:1\"\n[streams.a.srt]\nport = \"10.0.0.1:1\"", "streams.a.srt.port", "10.0.0.1:1 is already in use"),
    ("[srt]\nport = \"[::]:1\"\n[streams.a.srt]\nport = \"[::1]:1\"", "streams.a.srt.port", "[::1]:1 is already in use"),
    ("[streams.a.srt]\nport = 1\n[streams.b.srt]\nport = 1", "streams.b.srt.port", "already in use by streams.a.srt.port"),
    ("[streams.a]\nsrt_publish = { port = 1 }\nsrt_play = { port = 1 }", "streams.a.srt_play.port", "use one table `srt`"),
];

#[test]
fn an_address_is_used_once() {
    check(ADDRESSES, Config::parse);
    for fine in [
        "[srt]\nport = \"127.0.0.1:1\"\n[srt_play]\nport = \"127.0.0.2:1\"",
        "[srt]\nport = \"0.0.0.0:1\"\n[srt_play]\nport = \"[::]:1\"",
        "[srt]\nport = \"127.0.0.1:0\"\n[srt_play]\nport = \"127.0.0.1:0\"",
        "[srt]\nport = 1\n[srt_play]\nport = 2",
    ] {
        assert!(Config::parse(fine).is_ok(), "{fine}");
    }
}

#[rustfmt::skip] // One case a line: it is read as a table.
const MORE_ADDRESSES: &[Case] = &[
    ("config_external.url = \"http://a\"\nsrt.port = 9150\nlisteners = [{ ports = \"9100-9199\" }]", "listeners[0].ports", "9100-9199 is already in use by srt.port"),
    ("config_external.url = \"http://a\"\nlisteners = [{ ports = \"9100-9199\" }, { ports = [1, 9150] }]", "listeners[1].ports[1]", "9150 (all addresses) is already in use by listeners[0].ports"),
    ("srt.port = 1\nstreams.a.inputs = [\"srt://:1\"]", "streams.a.inputs[0]", "in use by srt.port"),
    ("srt.port = 1\nstreams.a.inputs = [\"udp://127.0.0.1:1\"]", "streams.a.inputs[0]", "in use by srt.port"),
];

#[test]
fn an_address_is_used_once_by_inputs_and_ranges_too() {
    check(MORE_ADDRESSES, Config::parse);
    for fine in [
        "srt.port = 9980\napi.listen = \"127.0.0.1:9980\"",
        "streams.a.inputs = [\"udp://239.1.1.1:1\"]\nstreams.b.inputs = [\"udp://239.1.1.1:1\"]",
        "srt.port = 1\nstreams.a.outputs = [\"udp://127.0.0.1:1\"]",
        "srt.port = 1\nstreams.a.inputs = [{ url = \"srt://:1\", enabled = false }]",
    ] {
        assert!(
            Config::parse(fine).is_ok(),
            "{fine}: {}",
            Config::parse(fine).unwrap_err()
        );
    }
}

#[test]
fn four_passphrases_may_be_valid_at_once() {
    let list = |count: usize| {
        (0..count)
            .map(|n| format!("\"ten chars {n}\", "))
            .collect::<String>()
    };
    let text = |count| format!("[streams.a]\nplay_passphrase = [{}]", list(count));
    assert_eq!(
        Config::parse(&text(4)).unwrap().streams["a"]
            .play_passphrases
            .len(),
        4
    );
    let errors = Config::parse(&text(5)).unwrap_err().to_string();
    assert!(
        errors.contains("must list at most 4 passphrases, lists 5"),
        "{errors}"
    );
}

#[rustfmt::skip] // One case a line: it is read as a table.
const TABLES: &[Case] = &[
    ("[srt_defaults]\nmax_bitrate = \"fast\"", "srt_defaults.max_bitrate", "\"20M\" or \"500k\", is \"fast\""),
    ("[srt_defaults]\nshards = 257", "srt_defaults.shards", "from 0 to 256"),
    ("[templates.t]", "templates.t", "`prefix` is missing"),
    ("[templates.t]\nprefix = \"\"", "templates.t.prefix", "at least one character"),
    ("templates.a.prefix = \"x\"\ntemplates.b.prefix = \"x\"", "templates.b.prefix", "is also the prefix of templates.a"),
    ("[streams.a]\nplay_passphrase = [\"ten chars 1\", \"\"]", "streams.a.play_passphrase[1]", "must not be empty in a list"),
    ("[streams.a]\nplay_passphrase = [\"ten chars 1\", \"ten chars 1\"]", "streams.a.play_passphrase[1]", "is already in the list"),
    ("[streams.a]\nfailover = { after = 0 }", "streams.a.failover.after", "from 10ms to 86400 s"),
    ("[[listeners]]\nports = 1", "listeners", "add [config_external]"),
    ("[[listeners]]\nports = \"9-1\"", "listeners[0].ports", "a range of ports such as \"9100-9199\", is \"9-1\""),
    ("[[listeners]]\nports = []", "listeners[0].ports", "is a list"),
    ("[listeners]\nports = 1", "listeners", "must be a list"),
    ("[config_external]", "config_external", "`url` is missing"),
    ("[auth]\nurl = \"ftp://a\"", "auth.url", "must be an http:// or https:// URL"),
    ("[auth]\nurl = \"\"", "auth.url", "is empty"),
    ("[auth]\nurl = \"http://a\"\nfail = \"shut\"", "auth.fail", "must be \"closed\" or \"open\""),
    ("[auth]\nurl = \"http://a\"\ntimeout = 0", "auth.timeout", "from 10ms"),
    ("[events]\nurl = \"http://:1\"", "events.url", "a URL with a host"),
    ("[limits]\nban_for = 0", "limits.ban_for", "from 1 s"),
    ("[api]\nlisten = 9980", "api.listen", "set api.token, or listen on 127.0.0.1"),
    ("[api]\ntls = {}", "api.tls", "`cert` is missing"),
    ("[[rules]]\nuser = \"\"", "rules[0].user", "at least one character"),
];

#[test]
fn what_is_no_port_of_srt_is_checked_too() {
    check(TABLES, Config::parse);
}

#[rustfmt::skip] // One case a line: it is read as a table.
const INPUTS: &[Case] = &[
    ("1", "streams.a.inputs[0]", "must be a URL, or a table with one"),
    ("\"cam\"", "streams.a.inputs[0]", "begins with srt://, udp://, rtp:// or file://"),
    ("\"http://a\"", "streams.a.inputs[0]", "begins with srt://"),
    ("{ mode = \"caller\" }", "streams.a.inputs[0]", "`url` is missing"),
    ("\"srt://a\"", "streams.a.inputs[0]", "must have a host and a port"),
    ("\"srt://a:0\"", "streams.a.inputs[0]", "a port from 1 to 65535"),
    ("\"srt://u:p@a:1\"", "streams.a.inputs[0]", "must not have a user or password"),
    ("\"srt://a:1/x\"", "streams.a.inputs[0]", "must not have a path"),
    ("\"srt://:1?mode=caller\"", "streams.a.inputs[0]", "must have the peer's host"),
    ("\"srt://a:1?mode=listener\"", "streams.a.inputs[0]", "must have an IP address to listen on"),
    ("\"srt://a:1?mode=call\"", "streams.a.inputs[0].mode", "did you mean \"caller\"?"),
    ("\"srt://a:1?latency=200000\"", "streams.a.inputs[0].latency", "ffmpeg uses microseconds here"),
    ("\"srt://a:1?latncy=2\"", "streams.a.inputs[0].latncy", "did you mean `latency`?"),
    ("\"srt://a:1?passphrase=x&y\"", "streams.a.inputs[0]", "must be written %26"),
    ("\"srt://a:1?passphrase=short\"", "streams.a.inputs[0].passphrase", "is 5"),
    ("\"srt://a:1?latency=1&latency=2\"", "streams.a.inputs[0]", "`latency` is given twice"),
    ("{ url = \"srt://a:1?latency=1\", latency = 2 }", "streams.a.inputs[0]", "`latency` is given twice"),
    ("\"srt://a:1?enabled=true\"", "streams.a.inputs[0]", "write it beside `url`"),
    ("\"srt://a:1?streamid=${stream}\"", "streams.a.inputs[0].streamid", "contains a ${...} that is not ${name}"),
    ("\"srt://a:1?transtype=file\"", "streams.a.inputs[0].transtype", "must be \"live\""),
    ("\"srt://a:1?pkt_size=1500\"", "streams.a.inputs[0].pkt_size", "from 188 to 1456"),
    ("\"udp://:5000?ttl=256\"", "streams.a.inputs[0].ttl", "from 0 to 255"),
    ("\"udp://:5000?passphrase=x\"", "streams.a.inputs[0].passphrase", "unknown key"),
    ("\"file://x.ts\"", "streams.a.inputs[0]", "must be an absolute path"),
    ("\"file:///x.ts?segment=1\"", "streams.a.inputs[0].segment", "`segment` applies only to outputs"),
];

#[test]
fn endpoints_say_what_is_wrong_with_them() {
    let input = |entry: &str| Config::parse(&format!("[streams.a]\ninputs = [{entry}]"));
    check(INPUTS, input);
    let output = |entry: &str| Config::parse(&format!("[streams.a]\noutputs = [{entry}]"));
    check(
        &[
            (
                "\"udp://:5000\"",
                "streams.a.outputs[0]",
                "must have a host to send to",
            ),
            (
                "\"file:///x.ts?loop=1\"",
                "streams.a.outputs[0].loop",
                "`loop` applies only to inputs",
            ),
        ],
        output,
    );
}

#[test]
fn faults_in_urls_are_marked_inside_the_url() {
    let text = "[streams.a]\ninputs = [\"srt://a:1?latency=200&latncy=2\"]";
    let errors = Config::parse(text).unwrap_err();
    assert_eq!(&text[errors.faults()[0].location().span()], "latncy");
}

#[test]
fn a_syntax_error_is_one_fault() {
    for (text, line) in [
        ("[srt\nport = 1", 1),
        ("[srt]\nport = \n", 2),
        ("a = 1\na = 2", 2),
        ("\u{0}", 1),
    ] {
        let errors = Config::parse(text).expect_err(text);
        let [fault] = errors.faults() else {
            panic!("{errors}")
        };
        assert!(fault.message().starts_with("this is not valid TOML: "), "{fault}");
        assert_eq!((fault.key(), fault.location().line()), ("", line), "{fault}");
    }
}
