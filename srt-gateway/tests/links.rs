//! Inputs and outputs over SRT: gateways and peers in this process, over loopback.

mod peers;

use std::{collections::HashSet, net::SocketAddr, sync::atomic::Ordering::Relaxed, thread, time::Duration};

use peers::{
    Call, Sink, Source, assert_contiguous, endpoint, gateway, port, wait_for, wait_state, wait_until,
};
use srt_gateway::{EndpointState, Role};
use srt_safe::{ErrorKind, RejectCode, SocketState, SrtListener, SrtSocket};

const PUBLISH: &str = "#!::r=live/a,m=publish";
const PLAY: &str = "#!::r=live/a,m=request";
const SECRET: &str = "secret of the next";

/// An address whose port is free for a listener, as far as can be known.
fn free() -> SocketAddr {
    std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

fn plain(extra: &str) -> String {
    format!("[srt]\nport = \"127.0.0.1:0\"\n{extra}")
}

#[test]
fn pushes_to_a_gateway_with_a_passphrase_and_again_after_it_was_away() {
    let receiver_at = |addr: &str| {
        format!("[srt]\nport = \"{addr}\"\n[streams.\"live/a\"]\npublish_passphrase = \"{SECRET}\"\n")
    };
    let receiver = gateway(&receiver_at("127.0.0.1:0"));
    let to = port(&receiver);
    let sender = gateway(&plain(&format!(
        "[streams.\"live/a\"]\noutputs = [{{ url = \"srt://{to}?streamid={PUBLISH}\", passphrase = \"{SECRET}\" }}]\n"
    )));
    // Nothing to send, so nobody is called.
    wait_state(&sender, Role::Viewer, 0, EndpointState::Idle);
    let _source = Source::publish(1, port(&sender), &Call::named(PUBLISH));
    wait_state(&sender, Role::Viewer, 0, EndpointState::Live);
    let sink = Sink::play(to, &Call::named(PLAY));
    sink.wait_more(300);
    assert_contiguous(&sink.finish(), 300);

    receiver.shut_down();
    wait_until("the output to notice", || {
        endpoint(&sender, Role::Viewer, 0).unwrap().state != EndpointState::Live
    });
    let receiver = gateway(&receiver_at(&to.to_string()));
    wait_state(&sender, Role::Viewer, 0, EndpointState::Live);
    let sink = Sink::play(port(&receiver), &Call::named(PLAY));
    sink.wait_more(300);
    assert_contiguous(&sink.finish(), 300);
    assert_eq!(sender.streams()[0].viewers, 0, "an output is no viewer");
}

#[test]
fn a_wrong_passphrase_is_told_and_backed_off_from() {
    let receiver = gateway(&plain(&format!(
        "[streams.\"live/a\"]\npublish_passphrase = \"{SECRET}\"\n"
    )));
    let to = port(&receiver);
    let sender = gateway(&plain(&format!(
        "[streams.\"live/a\"]\noutputs = [\n\"srt://{to}?streamid={PUBLISH}&passphrase=something%20else\",\n\
         \"srt://{to}?streamid=#!::r=other,m=publish\"]\n"
    )));
    let source = Source::publish(1, port(&sender), &Call::named(PUBLISH));
    let sink = Sink::play(port(&sender), &Call::named(PLAY));
    wait_until("three failures", || {
        (0..2).all(|at| endpoint(&sender, Role::Viewer, at).is_some_and(|e| e.failures >= 3))
    });
    let status = |at| endpoint(&sender, Role::Viewer, at).unwrap().last_failure.unwrap();
    assert!(
        status(0).contains("passphrase") || status(0).contains("secret"),
        "{}",
        status(0)
    );
    assert!(status(1).contains("1404"), "{}", status(1));
    // Failures of others do not affect the viewer.
    drop(source);
    assert_contiguous(&sink.finish(), 300);
}

#[test]
fn ingests_from_a_gateway() {
    let origin = gateway(&plain(&format!(
        "[streams.\"live/a\"]\nplay_passphrase = \"{SECRET}\"\n"
    )));
    let from = port(&origin);
    let edge = gateway(&plain(&format!(
        "[streams.\"live/b\"]\ninputs = [{{ url = \"srt://localhost:{}?streamid={PLAY}\", passphrase = \"{SECRET}\" }}]\n",
        from.port()
    )));
    let _source = Source::publish(1, from, &Call::named(PUBLISH));
    let sink = Sink::play(port(&edge), &Call::named("#!::r=live/b,m=request"));
    sink.wait_more(300);
    wait_state(&edge, Role::Publisher, 0, EndpointState::Live);
    assert_contiguous(&sink.finish(), 300);
    // The stream already has a source.
    let refused = SrtSocket::builder()
        .stream_id("#!::r=live/b,m=publish".parse().unwrap())
        .connect(port(&edge))
        .unwrap_err();
    assert_eq!(
        refused.reject_reason().and_then(|r| r.code()),
        Some(RejectCode::CONFLICT)
    );
}

#[test]
fn fails_over_to_the_second_input_and_returns() {
    let origin = gateway(&plain("[streams.one]\n[streams.two]\n"));
    let from = port(&origin);
    let after = Duration::from_secs(1);
    let edge = gateway(&plain(&format!(
        "[streams.\"live/a\"]\nfailover = {{ after = 1, back = 2 }}\ninputs = [\"srt://{from}?streamid=#!::r=one,m=request\", \
         \"srt://{from}?streamid=#!::r=two,m=request\"]\n"
    )));
    let first = Source::publish(1, from, &Call::named("#!::r=one,m=publish"));
    let _second = Source::publish(2, from, &Call::named("#!::r=two,m=publish"));
    let sink = Sink::play(port(&edge), &Call::named(PLAY));
    wait_until("the preferred input", || sink.last_of(1).is_some());
    wait_state(&edge, Role::Publisher, 1, EndpointState::Standby);
    sink.wait_more(300);
    // Silent, but connected.
    first.pause.store(true, Relaxed);
    wait_until("the second input", || sink.last_of(2).is_some());
    first.pause.store(false, Relaxed);
    let left = sink.last_of(1).unwrap();
    wait_until("the return", || sink.last_of(1).unwrap() > left);
    sink.wait_more(100);
    let arrivals = sink.finish();
    let changes: Vec<usize> = (1..arrivals.len())
        .filter(|at| arrivals[*at].1 != arrivals[at - 1].1)
        .collect();
    let [failover, back] = changes[..] else {
        panic!("changes at {changes:?}");
    };
    for run in [
        &arrivals[..failover],
        &arrivals[failover..back],
        &arrivals[back..],
    ] {
        assert_contiguous(run, 50);
    }
    let gap = |at: usize| arrivals[at].0 - arrivals[at - 1].0;
    // Control checks every 100 ms; the rest is a margin for a busy machine.
    let ratio = gap(failover).as_secs_f64() / after.as_secs_f64();
    assert!(
        (0.9..2.5).contains(&ratio),
        "the gap is {ratio:.2} times failover.after"
    );
    assert!(gap(back) < after / 2, "the return took {:?}", gap(back));
}

#[test]
fn a_loop_is_cut() {
    let at = free();
    let looped = gateway(&format!(
        "[srt]\nport = \"{at}\"\n[streams.\"live/a\"]\noutputs = [\"srt://{at}?streamid=#!::r=live/b,m=publish\"]\n[streams.\"live/b\"]\n"
    ));
    let _source = Source::publish(1, at, &Call::named(PUBLISH));
    let why = wait_for("the refusal", || endpoint(&looped, Role::Viewer, 0)?.last_failure);
    assert!(why.contains("1403"), "{why}");
}

#[test]
fn a_loop_over_two_gateways_is_cut() {
    let (at, via) = (free(), free());
    let leg = |at: SocketAddr, to: SocketAddr, from: &str, name: &str| {
        format!(
            "[srt]\nport = \"{at}\"\n[streams.\"{from}\"]\noutputs = [\"srt://{to}?streamid=#!::r={name},m=publish&loop_detection=true\"]\n\
             [streams_default]\naccept_unknown = true\n"
        )
    };
    let first = gateway(&leg(at, via, "live/a", "live/b"));
    let second = gateway(&leg(via, at, "live/b", "live/c"));
    let _source = Source::publish(1, at, &Call::named(PUBLISH));
    let why = wait_for("the refusal", || endpoint(&second, Role::Viewer, 0)?.last_failure);
    assert!(why.contains("1403"), "{why}");
    wait_state(&first, Role::Viewer, 0, EndpointState::Live);
}

#[test]
fn a_call_to_another_server_sends_the_configured_streamid_and_nothing_else() {
    let (stranger, gateway_port) = (free(), free());
    let listener = SrtListener::builder().nonblocking().bind(stranger).unwrap();
    let other = gateway(&format!(
        "[srt]\nport = \"{gateway_port}\"\n[streams_default]\naccept_unknown = true\n"
    ));
    let sender = gateway(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\n[streams.\"live/a\"]\noutputs = [\n\
         \"srt://{stranger}?streamid=#!::r=x,m=publish,password=letmein\",\n\
         \"srt://{gateway_port}?streamid=#!::r=x,m=publish&loop_detection=true\"]\n"
    ));
    let _source = Source::publish(1, port(&sender), &Call::named(PUBLISH));
    let (peer, _) = wait_for("the call", || listener.accept().ok());
    let sent = peer.stream_id().unwrap().expect("a streamid");
    assert_eq!(sent.as_bytes(), b"#!::r=x,m=publish,password=letmein");
    wait_state(&sender, Role::Viewer, 1, EndpointState::Live);
    let shown = |at| endpoint(&sender, Role::Viewer, at).unwrap().streamid.unwrap();
    assert_eq!(shown(0), "#!::r=x,m=publish,password=***");
    assert!(shown(1).contains(",a=srt-gateway/"), "{}", shown(1));
    drop(other);
}

#[test]
fn an_input_listens_for_one_peer_and_an_output_for_another() {
    let (input, output) = (free(), free());
    let relay = gateway(&plain(&format!(
        "[streams.\"live/a\"]\ninputs = [\"srt://{input}?mode=listener\"]\noutputs = [\"srt://{output}?mode=listener&passphrase={}\"]\n",
        SECRET.replace(' ', "%20")
    )));
    let source = Source::publish(1, input, &Call::default());
    let call = Call {
        streamid: "",
        passphrase: Some(SECRET),
    };
    let sink = Sink::play(output, &call);
    sink.wait_more(300);
    // It serves one caller; a second one is refused.
    let refused = SrtSocket::connect(input).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRejected);
    assert_contiguous(&sink.finish(), 300);
    // The next one is admitted once the first has left.
    drop(source);
    wait_state(&relay, Role::Publisher, 0, EndpointState::Listening);
    let _source = Source::publish(2, input, &Call::default());
    let sink = Sink::play(output, &call);
    wait_until("the new source", || sink.last_of(2).is_some());
}

/// The code with which a caller is refused.
#[track_caller]
fn refusal(at: SocketAddr, streamid: &str) -> i32 {
    let called = SrtSocket::builder()
        .stream_id(streamid.parse().unwrap())
        .connect(at);
    let error = called.expect_err("it was let in");
    error.reject_reason().unwrap_or_else(|| panic!("{error}")).value()
}

#[test]
fn an_endpoint_that_listens_asks_for_mode_password_and_rules() {
    let (input, output) = (free(), free());
    let relay = gateway(&plain(&format!(
        "[streams.\"live/a\"]\npassword = \"letmein\"\ninputs = [\"srt://{input}?mode=listener\"]\n\
         outputs = [\"srt://{output}?mode=listener\"]\n\
         [[rules]]\naction = \"play\"\nuser = \"alice\"\n"
    )));
    wait_state(&relay, Role::Publisher, 0, EndpointState::Listening);
    assert_eq!(refusal(input, "#!::m=request,password=letmein"), 1405);
    assert_eq!(refusal(input, "#!::m=publish"), 1401);
    assert_eq!(refusal(input, "#!::r=live/a,password=other"), 1401);
    let told = wait_for("the refusal", || relay.rejections().pop());
    assert!(told.listener.contains("of live/a"), "{told:?}");
    let source = Source::publish(1, input, &Call::named("#!::r=any/name,password=letmein"));
    wait_state(&relay, Role::Viewer, 0, EndpointState::Listening);
    assert_eq!(refusal(output, "#!::u=bob"), 1401);
    let sink = Sink::play(output, &Call::named("#!::u=alice"));
    sink.wait_more(100);
    assert_contiguous(&sink.finish(), 100);
    drop(source);
}

#[test]
fn a_loop_into_an_input_that_listens_is_cut() {
    let input = free();
    let looped = gateway(&plain(&format!(
        "[streams.\"live/a\"]\noutputs = [\"srt://{input}?streamid=#!::r=live/b,m=publish&loop_detection=true\"]\n\
         [streams.\"live/b\"]\ninputs = [\"srt://{input}?mode=listener\"]\n"
    )));
    let _source = Source::publish(1, port(&looped), &Call::named(PUBLISH));
    let why = wait_for("the refusal", || endpoint(&looped, Role::Viewer, 0)?.last_failure);
    assert!(why.contains("1403"), "{why}");
}

/// Both sides call each other: from two addresses of this host, or from two ports of one.
#[test]
fn meets_a_peer_by_rendezvous() {
    let port_number = free().port();
    let v6 = || {
        std::net::UdpSocket::bind("[::1]:0")
            .unwrap()
            .local_addr()
            .unwrap()
    };
    let of = |address: [u8; 4]| SocketAddr::from((address, port_number));
    for (ours, theirs) in [
        (of([127, 0, 0, 2]), of([127, 0, 0, 3])),
        (free(), free()),
        (v6(), v6()),
    ] {
        assert_meets(ours, theirs);
    }
}

#[track_caller]
fn assert_meets(ours: SocketAddr, theirs: SocketAddr) {
    let relay = gateway(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\n[streams.\"live/a\"]\ninputs = [\"srt://{theirs}?mode=rendezvous&adapter={}&localport={}\"]\n",
        ours.ip(),
        ours.port()
    ));
    let sink = Sink::play(port(&relay), &Call::named(PLAY));
    // On a busy machine, one side can give up just as the other connects. Then both call again.
    let socket = wait_for("the meeting", || {
        let socket = SrtSocket::builder().rendezvous(theirs, ours).ok()?;
        while socket.state() == SocketState::Connected {
            let state = endpoint(&relay, Role::Publisher, 0)?.state;
            if matches!(state, EndpointState::Live | EndpointState::Silent) {
                return Some(socket);
            }
            thread::yield_now();
        }
        None
    });
    let _source = Source::start(1, move |message| socket.send(message).is_ok());
    sink.wait_more(300);
    assert_contiguous(&sink.finish(), 300);
}

#[test]
fn an_input_on_demand_connects_with_the_first_viewer() {
    let origin = gateway(&plain("[streams.\"live/a\"]\n"));
    let from = port(&origin);
    let _source = Source::publish(1, from, &Call::named(PUBLISH));
    let edge = gateway(&plain(&format!(
        "[streams.\"live/a\"]\non_demand = true\ninputs = [\"srt://{from}?streamid={PLAY}\"]\n"
    )));
    wait_state(&edge, Role::Publisher, 0, EndpointState::Idle);
    assert_eq!(origin.streams()[0].viewers, 0);
    let sink = Sink::play(port(&edge), &Call::named(PLAY));
    sink.wait_more(300);
    assert_contiguous(&sink.finish(), 300);
    assert_eq!(endpoint(&edge, Role::Publisher, 0).unwrap().failures, 0);
    // Without viewers, it is disconnected after a while.
    wait_state(&edge, Role::Publisher, 0, EndpointState::Idle);
    wait_until("the origin to be left", || origin.streams()[0].viewers == 0);
}

#[test]
fn pushes_share_a_few_local_ports_and_carry_who_we_are() {
    let listener = SrtListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let outputs: Vec<String> = (0..6)
        .map(|n| format!("\"srt://{to}?streamid=#!::r=out{n},m=publish&loop_detection=true\""))
        .chain([
            format!("\"srt://{to}\""),
            format!("\"srt://{to}?streamid=as-it-is&loop_detection=true\""),
        ])
        .collect();
    let sender = gateway(&plain(&format!(
        "[gateway]\nname = \"gw1\"\n[streams.\"live/a\"]\noutputs = [{}]\n",
        outputs.join(", ")
    )));
    let _source = Source::publish(1, port(&sender), &Call::named(PUBLISH));
    let peers: Vec<_> = (0..8)
        .map(|_| listener.accept_timeout(peers::PATIENCE).unwrap())
        .collect();
    let ports: HashSet<u16> = peers.iter().map(|(_, peer)| peer.port()).collect();
    assert!(ports.len() <= 2, "{ports:?}");
    let mut ids: Vec<String> = peers
        .iter()
        .map(|(socket, _)| socket.stream_id().unwrap().unwrap_or_default().to_string())
        .collect();
    ids.sort();
    let agent = format!(",a=srt-gateway/{}/gw1", env!("CARGO_PKG_VERSION"));
    assert!(
        ids[..6]
            .iter()
            .enumerate()
            .all(|(n, id)| { id.starts_with(&format!("#!::r=out{n},m=publish,s=")) && id.ends_with(&agent) })
            || ids[0].is_empty(),
        "{ids:?}"
    );
    assert_eq!(ids.iter().filter(|id| id.ends_with(&agent)).count(), 6, "{ids:?}");
    assert!(
        ids.contains(&String::new()) && ids.contains(&"as-it-is".to_owned()),
        "{ids:?}"
    );
}

#[test]
fn a_reload_changes_the_outputs_that_differ_and_no_others() {
    let receiver = gateway(&plain("[streams.one]\n[streams.two]\n"));
    let to = port(&receiver);
    let at = free();
    let config =
        |outputs: &str| format!("[srt]\nport = \"{at}\"\n[streams.\"live/a\"]\noutputs = [{outputs}]\n");
    let (one, two) = (
        format!("\"srt://{to}?streamid=#!::r=one,m=publish\""),
        format!("\"srt://{to}?streamid=#!::r=two,m=publish\""),
    );
    let sender = gateway(&config(&one));
    let _source = Source::publish(1, at, &Call::named(PUBLISH));
    let sink = Sink::play(to, &Call::named("#!::r=one,m=request"));
    sink.wait_more(100);
    let reload = |outputs: String| {
        let config = srt_gateway::config::Config::parse(&config(&outputs)).unwrap();
        sender.reload(config)
    };
    reload(format!("{two}, {one}"));
    let second = Sink::play(to, &Call::named("#!::r=two,m=request"));
    second.wait_more(100);
    reload(one);
    wait_until("the second output to go", || {
        sender.endpoints().len() == 1 && receiver.streams().iter().filter(|s| s.has_source).count() == 1
    });
    sink.wait_more(100);
    // A changed name does not cause a reconnect.
    let before = endpoint(&sender, Role::Viewer, 0).unwrap();
    reload(format!(
        "{{ url = \"srt://{to}?streamid=#!::r=one,m=publish\", name = \"first\" }}"
    ));
    let named = wait_for("the name", || {
        endpoint(&sender, Role::Viewer, 0).filter(|output| output.name.is_some())
    });
    assert_eq!(
        (named.name.as_deref(), named.session),
        (Some("first"), before.session)
    );
    assert_contiguous(&sink.finish(), 300);
    assert_contiguous(&second.finish(), 100);
}
