//! Tests of inputs, outputs, templates and hooks.

use std::{path::Path, time::Duration};

use super::super::*;

fn stream(text: &str) -> Stream {
    let config = Config::parse(text).unwrap_or_else(|errors| panic!("{errors}"));
    config.streams.into_values().next().unwrap()
}

fn srt_of(endpoint: &Endpoint) -> &SrtTarget {
    match &endpoint.target {
        Target::Srt(srt) => srt,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_url_says_the_same_as_the_keys_beside_it() {
    let stream = stream(
        r##"
        srt_defaults = { latency = 300, passphrase = "for our ports only", linger = 5 }
        [streams.cam]
        inputs = [
          "srt://enc.example:9000?streamid=#!::r=cam1,m=request&latency=200&passphrase=back%26up%20secret&pbkeylen=32",
          { url = "srt://enc.example:9000", streamid = "#!::r=cam1,m=request", latency = "200ms", passphrase = "back&up secret", key_length = 32 },
        ]
        "##,
    );
    let [one, two] = stream.inputs.as_slice() else {
        panic!()
    };
    assert_eq!(one.target, two.target);
    let srt = srt_of(one);
    assert_eq!(
        (srt.mode, srt.host.as_deref(), srt.port),
        (SrtMode::Caller, Some("enc.example"), 9000)
    );
    assert_eq!(srt.stream_id, Some(Secret::new("#!::r=cam1,m=request")));
    assert_eq!(srt.settings.passphrase, Some(Secret::new("back&up secret")));
    assert_eq!(srt.settings.latency, Duration::from_millis(200));
    assert_eq!(
        (srt.payload_size, srt.settings.linger),
        (None, Duration::from_secs(5))
    );
    assert_eq!(one.to_string(), "srt://enc.example:9000");
    assert!(!format!("{stream:?}").contains("secret"));
}

#[test]
fn what_is_about_our_ports_is_not_about_endpoints() {
    let stream = stream(
        r##"
        [srt_defaults]
        latency = 300
        passphrase = "for our ports only"
        packetfilter = "fec,cols:10"
        allow = ["10.0.0.0/8"]
        max_connections = 3
        [streams.cam]
        outputs = ["srt://a:1"]
        "##,
    );
    let settings = &srt_of(&stream.outputs[0]).settings;
    assert_eq!(settings.latency, Duration::from_millis(300));
    assert_eq!((&settings.passphrase, &settings.packet_filter), (&None, &None));
    assert_eq!((settings.allow.len(), settings.max_connections), (0, None));
}

#[test]
fn modes_follow_the_host_unless_they_are_given() {
    let stream = stream(
        r##"
        [streams.cam]
        inputs = ["srt://:9000", "srt://[::1]:9001?mode=listener", "srt://a:9002?mode=rendezvous&localport=9003&adapter=::1"]
        "##,
    );
    let modes: Vec<_> = stream.inputs.iter().map(|input| srt_of(input).mode).collect();
    assert_eq!(modes, [SrtMode::Listener, SrtMode::Listener, SrtMode::Rendezvous]);
    assert_eq!(stream.inputs[1].to_string(), "srt://[::1]:9001");
    let last = srt_of(&stream.inputs[2]);
    assert_eq!(
        (last.local_port, last.adapter),
        (Some(9003), Some("::1".parse().unwrap()))
    );
}

#[test]
fn datagrams_and_files_have_their_own_parameters() {
    let stream = stream(
        r##"
        [streams.cam]
        inputs = ["udp://@239.1.1.1:5000?interface=eth1&sources=192.0.2.9", "rtp://:5004", "file:///var/lib/loop.ts?loop=true"]
        outputs = ["udp://239.2.2.2:5000?ttl=4&pkt_size=1316", { url = "file:///rec/%Y.ts?segment=10m", enabled = false }]
        "##,
    );
    let Target::Udp(udp) = &stream.inputs[0].target else {
        panic!()
    };
    assert_eq!(
        (udp.host.as_deref(), udp.port, udp.interface.as_deref()),
        (Some("239.1.1.1"), 5000, Some("eth1"))
    );
    assert_eq!(udp.source, Some("192.0.2.9".parse().unwrap()));
    let Target::Rtp(rtp) = &stream.inputs[1].target else {
        panic!()
    };
    assert_eq!((rtp.host.as_deref(), rtp.port, rtp.ttl), (None, 5004, None));
    let Target::File(file) = &stream.inputs[2].target else {
        panic!()
    };
    assert!(file.repeat && file.path == Path::new("/var/lib/loop.ts"));
    let Target::Udp(udp) = &stream.outputs[0].target else {
        panic!()
    };
    assert_eq!(
        (udp.ttl, udp.payload_size, udp.buffer_size),
        (Some(4), 1316, 2 << 20)
    );
    let Target::File(file) = &stream.outputs[1].target else {
        panic!()
    };
    assert_eq!(
        (file.segment, stream.outputs[1].enabled),
        (Some(Duration::from_secs(600)), false)
    );
    assert_eq!(file.path, Path::new("/rec/%Y.ts"));
}

#[test]
fn templates_are_filled_in_and_lead_nowhere_else() {
    let config = Config::parse(
        r##"
        [templates.all]
        prefix = "s"
        [templates.sports]
        prefix = "sports/"
        srt_publish = { port = 9010 }
        max_viewers = 3
        outputs = ["srt://archive:9998?streamid=#!::r=${name},m=publish", "file:///rec/${name}.ts"]
        "##,
    )
    .unwrap();
    let (name, template) = config.template_for("sports/a").unwrap();
    assert_eq!((name, config.template_for("other")), ("sports", None));
    assert_eq!(config.template_for("spots").map(|(name, _)| name), Some("all"));
    assert_eq!(
        config
            .stream_settings("sports/a")
            .unwrap()
            .max_viewers
            .map(u32::from),
        Some(3)
    );
    let [archive, record] = template.stream.outputs.as_slice() else {
        panic!()
    };
    let srt = archive.for_stream("sports/a").unwrap();
    assert_eq!(
        srt_of(&srt).stream_id,
        Some(Secret::new("#!::r=sports/a,m=publish"))
    );
    let Target::File(file) = record.for_stream("sports/100%").unwrap().target else {
        panic!()
    };
    assert_eq!(file.path, Path::new("/rec/sports/100%%.ts"));
    for name in ["../etc/x", "a/../../b", "/etc/x", "a//b", "", ".", "a\\b", "a\0"] {
        assert_eq!(
            record.for_stream(name).unwrap_err(),
            ExpandError::UnsafePath,
            "{name:?}"
        );
    }
    assert_eq!(
        archive.for_stream(&"x".repeat(512)).unwrap_err(),
        ExpandError::StreamIdTooLong
    );
}

#[test]
fn a_stream_has_its_own_name_filled_in() {
    let stream = stream("[streams.\"live/a\"]\noutputs = [\"srt://a:1?streamid=#!::r=${name}\"]");
    assert_eq!(
        srt_of(&stream.outputs[0]).stream_id,
        Some(Secret::new("#!::r=live/a"))
    );
    let errors = Config::parse("[streams.\"..\"]\noutputs = [\"file:///rec/${name}.ts\"]").unwrap_err();
    assert!(
        errors.to_string().contains("cannot be part of a path"),
        "{errors}"
    );
}

#[test]
fn hooks_rules_and_ranges_are_typed() {
    let config = Config::parse(
        r##"
        [[listeners]]
        ports = ["9100-9199", 9300]
        mode = "publish"
        [config_external]
        url = "http://user:pw@127.0.0.1:8000/srt?token=t"
        [[rules]]
        stream = "live/*"
        action = "publish"
        user = "alice"
        password = "letmein"
        allow = ["203.0.113.0/24"]
        [[rules]]
        [auth]
        url = "https://[::1]:8000/auth"
        cache = { allow = "1m" }
        fail = "open"
        [events]
        url = ""
        [limits]
        handshakes_per_second_per_ip = 0
        [api]
        listen = 9980
        token = "0123456789"
        [srt_defaults]
        max_bitrate = "20M"
        "##,
    )
    .unwrap();
    assert_eq!(config.listeners[0].ports, [9100..=9199, 9300..=9300]);
    assert_eq!(config.listeners[0].mode, Action::Publish);
    let external = config.config_external.as_ref().unwrap();
    assert_eq!(external.url.to_string(), "http://127.0.0.1:8000/srt");
    assert_eq!(external.url.expose(), "http://user:pw@127.0.0.1:8000/srt?token=t");
    assert_eq!(
        (external.timeout, external.cache),
        (Duration::from_secs(2), Duration::from_secs(60))
    );
    let [alice, anybody] = config.rules.as_slice() else {
        panic!()
    };
    assert_eq!(
        (alice.user.as_deref(), alice.action),
        (Some("alice"), Action::Publish)
    );
    assert_eq!(
        (anybody.stream.as_str(), anybody.action, &anybody.password),
        ("*", Action::Any, &None)
    );
    let auth = config.auth.as_ref().unwrap();
    assert_eq!(
        (auth.cache_allow, auth.cache_deny),
        (Duration::from_secs(60), Duration::from_secs(10))
    );
    assert_eq!((auth.fail, &config.events), (FailMode::Open, &None));
    assert_eq!(config.limits.handshakes_per_second_per_ip, None);
    assert_eq!(config.api.listen, Some(ListenAddr::All(9980)));
    assert_eq!(config.srt_defaults.max_bitrate.map(u64::from), Some(20_000_000));
    let debug = format!("{config:?}");
    assert!(
        !debug.contains("letmein") && !debug.contains("user:pw") && !debug.contains("token=t"),
        "{debug}"
    );
}

#[test]
fn an_endpoint_has_a_name_of_its_own() {
    let stream = stream("[streams.a]\noutputs = [{ url = \"udp://h:1\", name = \"CDN A\" }, \"udp://h:2\"]");
    let names = stream.outputs.iter().map(|output| output.name.as_deref());
    assert_eq!(names.collect::<Vec<_>>(), [Some("CDN A"), None]);
    assert_eq!(stream.outputs[0].label(), "CDN A (udp://h:1)");
    // An input and an output may have the same name.
    let both = "[streams.a]\ninputs = [{ url = \"udp://:1\", name = \"x\" }]\noutputs = [{ url = \"udp://h:1\", name = \"x\" }]";
    Config::parse(both).unwrap();
    for (outputs, wanted) in [
        (
            "[{ url = \"udp://h:1\", name = \"x\" }, { url = \"udp://h:2\", name = \"x\" }]",
            "has the same name as another entry",
        ),
        ("[{ url = \"udp://h:1\", name = \"\" }]", "at least one character"),
        ("[\"udp://h:1?name=x\"]", "write it beside `url`"),
    ] {
        let errors = Config::parse(&format!("[streams.a]\noutputs = {outputs}")).unwrap_err();
        assert!(errors.to_string().contains(wanted), "{errors}");
    }
    let long = format!(
        "[streams.a]\noutputs = [{{ url = \"udp://h:1\", name = \"{}\" }}]",
        "x".repeat(101)
    );
    assert!(Config::parse(&long).is_err());
}
