//! Streams of templates: real callers, gateways in this process, over loopback.

mod peers;

use std::net::SocketAddr;

use peers::{Call, Sink, Source, assert_contiguous, gateway, port, wait_until};
use srt_gateway::{EndpointState, Gateway, Scope, config::Config};
use srt_safe::{SrtSocket, StreamId};

/// The code that a caller with this streamid receives.
#[track_caller]
fn refused(to: SocketAddr, streamid: &str) -> i32 {
    let id = StreamId::new(streamid).unwrap();
    match SrtSocket::builder().stream_id(id).connect(to) {
        Ok(_) => panic!("{streamid} was let in"),
        Err(error) => error.reject_reason().unwrap_or_else(|| panic!("{error}")).value(),
    }
}

fn of_template(gateway: &Gateway, name: &str) -> SocketAddr {
    let listening = gateway.listening();
    let found = listening
        .iter()
        .find(|port| matches!(&port.scope, Scope::Template(template) if template.as_str() == name));
    found.expect("a port of the template").addr
}

fn names(gateway: &Gateway) -> Vec<String> {
    let streams = gateway.streams();
    streams.iter().map(|stream| stream.name.to_string()).collect()
}

fn wait_viewers(gateway: &Gateway, name: &str, viewers: u32) {
    wait_until("viewers", || {
        let streams = gateway.streams();
        streams
            .iter()
            .any(|stream| stream.name.as_str() == name && stream.viewers == viewers)
    });
}

fn reload(gateway: &Gateway, toml: &str) -> srt_gateway::Reloaded {
    gateway.reload(Config::parse(toml).unwrap()).unwrap()
}

#[test]
fn names_that_nobody_wrote_down_are_pushed_on_by_their_name() {
    let archive = gateway("[srt]\nport = \"127.0.0.1:0\"\n[streams_default]\naccept_unknown = true\n");
    let to = port(&archive);
    let edge = gateway(&format!(
        r##"
[templates.sports]
prefix = "sports/"
srt_publish = {{ port = "127.0.0.1:0" }}
srt_play = {{ port = "127.0.0.1:0" }}
outputs = ["srt://{to}?streamid=#!::r=archive/${{name}},m=publish"]
"##
    ));
    let publish = of_template(&edge, "sports");
    let sources: Vec<_> = ["#!::r=sports/a", "#!::r=sports/b b", "#!::r=sports/c"]
        .into_iter()
        .zip(1..)
        .map(|(streamid, tag)| Source::publish(tag, publish, &Call::named(streamid)))
        .collect();
    wait_until("three streams at the archive", || {
        names(&archive) == ["archive/sports/a", "archive/sports/b b", "archive/sports/c"]
    });
    let sink = Sink::play(to, &Call::named("#!::r=archive/sports/b b,m=request"));
    sink.wait_more(200);
    let arrivals = sink.finish();
    assert!(arrivals.iter().all(|(_, tag, _)| *tag == 2));
    assert_contiguous(&arrivals, 200);
    let live = |endpoint: &srt_gateway::EndpointStatus| endpoint.state == EndpointState::Live;
    assert_eq!(edge.endpoints().iter().filter(|e| live(e)).count(), 3);
    drop(sources);
}

#[test]
fn what_was_only_asked_for_is_forgotten_at_once_and_what_was_published_is_kept() {
    let gateway = gateway(
        "[templates.t]\nprefix = \"t/\"\nsrt = { port = \"127.0.0.1:0\" }\noutputs = [\"udp://127.0.0.1:9\"]\n",
    );
    let to = port(&gateway);
    let viewer = Call::named("#!::r=t/asked,m=request").connect(to);
    wait_until("the stream that is asked for", || names(&gateway) == ["t/asked"]);
    let source = Source::publish(1, to, &Call::named("#!::r=t/published,m=publish"));
    let sink = Sink::play(to, &Call::named("#!::r=t/published,m=request"));
    sink.wait_more(50);
    drop((viewer, source, sink));
    wait_until("only what was published", || names(&gateway) == ["t/published"]);
    wait_until("its publisher to be gone", || !gateway.streams()[0].has_source);
    let source = Source::publish(2, to, &Call::named("#!::r=t/published,m=publish"));
    wait_until("a publisher again", || gateway.streams()[0].has_source);
    drop(source);
}

#[test]
fn the_longest_prefix_counts_and_a_table_before_any() {
    let gateway = gateway(
        r#"
[srt]
port = "127.0.0.1:0"
[templates.all]
prefix = "live/"
srt = { port = "127.0.0.1:0" }
max_viewers = 2
[templates.one]
prefix = "live/one/"
max_viewers = 1
[streams."live/one/none"]
on_source_lost = 0
"#,
    );
    for to in [port(&gateway), of_template(&gateway, "all")] {
        let _first = Call::named("#!::r=live/one/x,m=request").connect(to);
        wait_viewers(&gateway, "live/one/x", 1);
        assert_eq!(refused(to, "#!::r=live/one/x,m=request"), 1402);
        let _two = [(); 2].map(|()| Call::named("#!::r=live/y,m=request").connect(to));
        wait_viewers(&gateway, "live/y", 2);
        assert_eq!(refused(to, "#!::r=live/y,m=request"), 1402);
        assert_eq!(refused(to, "#!::r=live/one/none,m=request"), 1404);
        assert_eq!(refused(to, "#!::r=other,m=request"), 1404);
        drop((_first, _two));
        wait_until("their end", || gateway.sessions().is_empty());
    }
}

#[test]
fn a_port_of_a_template_serves_its_prefix_only() {
    let gateway = gateway(
        "[streams.known]\n[templates.t]\nprefix = \"t/\"\nsrt_publish = { port = \"127.0.0.1:0\" }\n\
         outputs = [\"file:///nowhere/${name}.ts\"]\n",
    );
    let to = port(&gateway);
    for (streamid, code) in [
        ("#!::r=known", 1403),
        ("#!::r=unknown", 1404),
        ("#!::r=t", 1404),
        ("#!::m=publish", 1400),
        ("#!::r=t/x,m=request", 1405),
        // Names that would move the files of the outputs elsewhere.
        ("#!::r=t/../../etc/passwd", 1400),
        ("#!::r=t//x", 1400),
        ("t/..", 1400),
    ] {
        assert_eq!(refused(to, streamid), code, "{streamid}");
    }
    wait_until("the refusals", || gateway.rejections().len() == 8);
    let reasons: Vec<_> = gateway.rejections().into_iter().map(|r| r.reason).collect();
    assert!(reasons[0].contains("begin with \"t/\""), "{reasons:?}");
    assert!(reasons[5].contains("`..`"), "{reasons:?}");
    assert!(names(&gateway).iter().all(|name| name == "known"));
}

#[test]
fn a_name_cannot_add_keys_to_the_streamid_of_an_output() {
    let gateway = gateway(
        "[srt]\nport = \"127.0.0.1:0\"\n[templates.t]\nprefix = \"t/\"\n\
         outputs = [\"srt://127.0.0.1:9?streamid=#!::r=${name},m=publish\"]\n",
    );
    assert_eq!(refused(port(&gateway), "publish:t/x,u=admin"), 1400);
}

#[test]
fn a_reload_touches_the_streams_of_the_changed_template_alone() {
    let toml = |prefix: &str, outputs: &str, max: u32| {
        format!(
            "[srt]\nport = \"127.0.0.1:0\"\n[templates.kept]\nprefix = \"kept/\"\noutputs = [\"udp://127.0.0.1:9\"]\n\
             [templates.changed]\nprefix = \"{prefix}\"\nmax_viewers = {max}\noutputs = [{outputs}]\n"
        )
    };
    let gateway = gateway(&toml("changed/", "\"udp://127.0.0.1:19\"", 0));
    let to = port(&gateway);
    let [_a, _b] = ["#!::r=kept/a,m=publish", "#!::r=changed/a,m=publish"]
        .map(|streamid| Source::publish(1, to, &Call::named(streamid)));
    let sinks = ["#!::r=kept/a,m=request", "#!::r=changed/a,m=request"]
        .map(|streamid| Sink::play(to, &Call::named(streamid)));
    let urls = || -> Vec<_> { gateway.endpoints().into_iter().map(|e| e.url).collect() };
    wait_until("both outputs", || urls().len() == 2);

    let reloaded = reload(
        &gateway,
        &toml("changed/", "\"udp://127.0.0.1:19\", \"udp://127.0.0.1:29\"", 1),
    );
    assert_eq!(reloaded.changes, ["template changed changed"]);
    wait_until("a third output", || {
        gateway.endpoints().len() == 3 && gateway.endpoints().iter().all(|e| e.state == EndpointState::Live)
    });
    wait_viewers(&gateway, "changed/a", 1);
    assert_eq!(refused(to, "#!::r=changed/a,m=request"), 1402);
    sinks.iter().for_each(|sink| sink.wait_more(50));

    let reloaded = reload(&gateway, &toml("other/", "", 0));
    assert_eq!(reloaded.changes, ["template changed changed"]);
    assert_eq!(refused(to, "#!::r=changed/a,m=request"), 1404);
    wait_until("the end of what no template is for", || {
        names(&gateway) == ["kept/a"]
    });
    wait_until("the end of its outputs", || urls().len() == 1);
    let [kept, changed] = sinks;
    kept.wait_more(50);
    assert_contiguous(&kept.finish(), 100);
    assert_contiguous(&changed.finish(), 50);

    let reloaded = reload(&gateway, "[srt]\nport = \"127.0.0.1:0\"\n[streams.\"kept/a\"]\n");
    assert_eq!(
        reloaded.changes,
        [
            "template changed removed",
            "template kept removed",
            "stream kept/a added"
        ]
    );
    wait_until("its output's end", || urls().is_empty());
    assert_eq!(names(&gateway), ["kept/a"]);
}
