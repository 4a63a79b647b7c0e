//! The configuration from a user's point of view.

use std::{io::Write as _, time::Duration};

use srt_gateway::config::{
    Config, CryptoMode, DuplicatePublisher, KeyLength, ListenAddr, LoadError, LogFormat, LogLevel,
    OptionValue, PortKind, Secret, SrtVersion, StartAt,
};

const SUPPORTED: &str = r#"
[gateway]
name = "gw1"
workers = 2
strict = false
[srt]
port = 9998
[srt_publish]
port = "127.0.0.1:9997"
latency = "80ms"
passphrase = "publish secret"
[srt_play]
port = "[::1]:9996"
options = { iptos = 0xb8 }
[srt_defaults]
latency = 200
key_length = 32
crypto_mode = "gcm"
enforcedencryption = false
minversion = "1.4.4"
version = "1.5.7"
timeout = 1.5
linger = "2m"
connect_timeout = 2
packetfilter = "fec,cols:10,rows:5"
allow = ["203.0.113.0/24", "2001:db8::1"]
max_connections = 7
options = { LossMaxTTL = 40, tlpktdrop = true }
[streams_default]
on_source_lost = 3
ring = "1MiB"
[streams."live/cam1"]
srt = { port = 9001 }
srt_publish = { port = "127.0.0.1:0" }
srt_play = { port = 9003, passphrase = "" }
publish_passphrase = "ten chars!"
play_passphrase = ["play secret phrase"]
duplicate_publisher = "reject"
start_at = "live"
max_viewers = 5
[log]
level = "debug"
format = "json"
"#;

#[test]
fn types_the_gateway_and_its_ports() {
    let config = Config::parse(SUPPORTED).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.gateway.name.as_deref(), Some("gw1"));
    assert_eq!(config.gateway.workers.map(usize::from), Some(2));
    assert!(!config.gateway.strict);
    let [srt, publish, play] = config.ports.as_slice() else {
        panic!("{:?}", config.ports)
    };
    assert_eq!((srt.kind, srt.listen), (PortKind::Both, ListenAddr::All(9998)));
    assert_eq!(srt.settings, config.srt_defaults);
    assert_eq!(publish.settings.latency, Duration::from_millis(80));
    assert_eq!(publish.settings.passphrase, Some(Secret::new("publish secret")));
    assert_eq!(play.listen.to_string(), "[::1]:9996");
    let options: Vec<_> = play
        .settings
        .options
        .iter()
        .map(|(name, o)| (name.as_str(), o.value.clone()))
        .collect();
    let wanted = [
        ("iptos", OptionValue::Int(0xb8)),
        ("lossmaxttl", OptionValue::Int(40)),
        ("tlpktdrop", OptionValue::Bool(true)),
    ];
    assert_eq!(options, wanted);
    assert_eq!(
        (config.log.level, config.log.format),
        (LogLevel::Debug, LogFormat::Json)
    );
}

#[test]
fn types_the_defaults_of_srt() {
    let defaults = Config::parse(SUPPORTED).unwrap().srt_defaults;
    assert_eq!(defaults.latency, Duration::from_millis(200));
    assert_eq!(
        (defaults.key_length, defaults.crypto_mode),
        (Some(KeyLength::Aes256), CryptoMode::Gcm)
    );
    assert!(!defaults.enforced_encryption);
    assert_eq!(defaults.min_version.to_libsrt(), 0x0001_0404);
    assert_eq!(defaults.version, Some(SrtVersion::new(1, 5, 7)));
    assert_eq!(defaults.timeout, Some(Duration::from_millis(1_500)));
    assert_eq!(defaults.linger, Duration::from_secs(120));
    assert_eq!(defaults.connect_timeout, Some(Duration::from_secs(2)));
    assert_eq!(defaults.packet_filter.as_deref(), Some("fec,cols:10,rows:5"));
    assert_eq!(
        defaults.allow,
        [
            "203.0.113.0/24".parse().unwrap(),
            "2001:db8::1/128".parse().unwrap()
        ]
    );
    assert_eq!(defaults.max_connections.map(u32::from), Some(7));
}

#[test]
fn types_streams_over_their_defaults() {
    let config = Config::parse(SUPPORTED).unwrap();
    let stream = &config.streams["live/cam1"];
    assert_eq!(
        stream
            .ports
            .iter()
            .map(|port| port.listen.port())
            .collect::<Vec<_>>(),
        [9001, 0, 9003]
    );
    assert_eq!(stream.publish_passphrases, [Secret::new("ten chars!")]);
    assert_eq!(stream.play_passphrases, [Secret::new("play secret phrase")]);
    assert_eq!(stream.settings.duplicate_publisher, DuplicatePublisher::Reject);
    assert_eq!(stream.settings.start_at, StartAt::Live);
    assert_eq!(stream.settings.max_viewers.map(u32::from), Some(5));
    assert_eq!(stream.settings.on_source_lost, Duration::from_secs(3));
    assert_eq!(stream.settings.ring, 1 << 20);
    assert_eq!(config.stream_settings("live/cam1"), Some(&stream.settings));
    assert!(config.stream_settings("other").is_none());
}

#[test]
fn an_empty_file_is_all_defaults() {
    let config = Config::default();
    assert_eq!(config, Config::parse("# nothing\n").unwrap());
    assert!(config.ports.is_empty());
    assert!(config.gateway.strict);
    let defaults = &config.srt_defaults;
    assert_eq!(defaults.latency, Duration::from_millis(120));
    assert_eq!(defaults.max_latency, Duration::from_secs(10));
    assert_eq!(defaults.min_version, SrtVersion::new(1, 3, 0));
    assert_eq!((defaults.timeout, defaults.connect_timeout), (None, None));
    assert_eq!(defaults.peer_idle_timeout, Duration::from_secs(5));
    assert_eq!(defaults.linger, Duration::from_secs(180));
}

#[test]
fn moved_lines_are_no_change() {
    let one = Config::parse("[srt]\nport = 9998\n[log]\nlevel = \"warn\"\n").unwrap();
    let two = Config::parse("# moved\n[log]\nlevel = \"warn\"\n\n[srt]\nport = 9998\n").unwrap();
    assert_eq!(one, two);
    let other = Config::parse("[srt]\nport = 9999\n[log]\nlevel = \"warn\"\n").unwrap();
    assert_ne!(one, other);
}

/// All files of the directory, so that a new example is tested without a change here.
#[test]
fn every_example_is_accepted() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let config = Config::load(&path).unwrap_or_else(|error| panic!("{}", error.render()));
            assert!(
                config.srt_ports().next().is_some(),
                "{} listens nowhere",
                path.display()
            );
            names.push(path.file_stem().unwrap().to_string_lossy().into_owned());
        }
    }
    names.sort();
    assert_eq!(names, ["full", "minimal", "ports", "relay"]);
}

#[test]
fn what_packages_and_images_start_with_is_accepted() {
    for file in [
        "debian/gateway.toml",
        "docker/gateway.toml",
        "kubernetes/gateway.toml",
    ] {
        let path = format!("{}/../packaging/{file}", env!("CARGO_MANIFEST_DIR"));
        let config =
            Config::load(std::path::Path::new(&path)).unwrap_or_else(|error| panic!("{}", error.render()));
        assert!(config.srt_ports().next().is_some(), "{file} listens nowhere");
    }
}

#[test]
fn options_are_checked_once_each_where_they_stand() {
    let text =
        "[srt_defaults]\noptions = { SRTO_Good = 1, bad = 2 }\n[srt]\nport = 1\n[srt_play]\nport = 2\n";
    let config = Config::parse(text).unwrap();
    let mut asked = Vec::new();
    let errors = config
        .validate_options(|name, value| {
            asked.push((name.to_owned(), value.clone()));
            if name == "bad" {
                Err("is no option of libsrt".to_owned())
            } else {
                Ok(())
            }
        })
        .unwrap_err();
    assert_eq!(
        asked,
        [
            ("bad".to_owned(), OptionValue::Int(2)),
            ("good".to_owned(), OptionValue::Int(1))
        ]
    );
    assert_eq!(
        errors.to_string(),
        "2:34: srt_defaults.options.bad: is no option of libsrt"
    );
}

#[test]
fn files_that_cannot_be_used_are_told_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gw.toml");
    let shown = path.display().to_string();

    let error = Config::load(&path).unwrap_err();
    assert!(matches!(error, LoadError::Read { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .starts_with(&format!("{shown}: cannot be read: ")),
        "{error}"
    );

    std::fs::File::create(&path)
        .unwrap()
        .write_all(b"name = \"\xff\"")
        .unwrap();
    let error = Config::load(&path).unwrap_err();
    assert!(matches!(error, LoadError::Utf8 { offset: 8, .. }), "{error:?}");

    std::fs::write(&path, "[srt]\nport = 0\npassphrase = \"hunter22\"\n").unwrap();
    let error = Config::load(&path).unwrap_err();
    let lines: Vec<_> = error.to_string().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].starts_with(&format!("{shown}:2:8: srt.port: must be a port")),
        "{error}"
    );
    assert!(lines[1].starts_with(&format!(
        "{shown}:3:14: srt.passphrase: must be 10 to 79 characters, is 8"
    )));
    for text in [error.render(), error.render_styled(), format!("{error:?}")] {
        assert!(!text.contains("hunter22"), "{text}");
    }
    assert!(
        error.render().ends_with("gw.toml: 2 errors\n"),
        "{}",
        error.render()
    );
    assert!(!error.render().contains('\u{1b}') && error.render_styled().contains('\u{1b}'));
}

#[test]
fn rendering_marks_the_line_and_the_other_place() {
    let text = "[srt]\nport = 9998\n\n[srt_play]\nport = \"127.0.0.1:9998\"\n";
    let rendered = Config::parse(text).unwrap_err().render("gw.toml", text);
    let wanted = [
        "error: srt_play.port: 127.0.0.1:9998 is already in use by srt.port",
        " --> gw.toml:5:8",
        "5 | port = \"127.0.0.1:9998\"",
        "  |        ^^^^^^^^^^^^^^^^",
        " ::: gw.toml:2:8",
        "2 | port = 9998",
        "  |        ---- used here",
        "  = help: to publish and play on one port, use one table `srt`; otherwise give each its own port",
        "gw.toml: 1 error",
    ];
    let lines: Vec<_> = rendered.lines().collect();
    for line in wanted {
        assert!(lines.contains(&line), "{line:?} is not in\n{rendered}");
    }
}

#[test]
fn all_faults_are_told_in_the_order_of_the_text() {
    let text = "[log]\nlevel = \"loud\"\n[srt]\nport = true\nlatncy = 1\n[gateway]\nworkers = -1\n";
    let errors = Config::parse(text).unwrap_err();
    let keys: Vec<_> = errors.faults().iter().map(|fault| fault.key()).collect();
    assert_eq!(keys, ["log.level", "srt.port", "srt.latncy", "gateway.workers"]);
    let places: Vec<_> = errors
        .faults()
        .iter()
        .map(|fault| (fault.location().line(), fault.location().column()))
        .collect();
    assert_eq!(places, [(2, 9), (4, 8), (5, 1), (7, 11)]);
}

#[test]
fn columns_count_characters() {
    let text = "gateway = { name = \"été\", workers = -1 }";
    let errors = Config::parse(text).unwrap_err();
    assert_eq!(errors.faults()[0].location().column(), 37);
}
