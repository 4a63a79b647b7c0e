//! Tests of the decision, cell by cell.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use proptest::prelude::*;
use srt_safe::{CallerFilter, CallerHandshake, CallerMode, KeyLength, Passphrase};

use super::{
    Accepts, AccessPolicy, Caller, Decision, Directory, FilterPolicy, Grant, HookQuestion, HookVerdict,
    NoResults, PortPolicy, Question, RefusalReason, Scope, StreamEntry, StreamPolicy, Terms, Unreadable,
    checks::KeyFit, decide, hook::KeyTerm,
};
use crate::{
    config::{DuplicatePublisher, PortKind, Secret},
    data::Stream,
    names::{Role, SessionId, SessionLimits, StreamName},
};

mod quotas;

fn port(scope: Option<&str>, kind: PortKind) -> PortPolicy {
    PortPolicy {
        accepts: Accepts::Callers,
        scope: scope.map_or(Scope::Global, |name| Scope::Stream(StreamName::new(name))),
        kind,
        addr: "127.0.0.1:9998".parse().unwrap(),
        bound: OnceLock::new(),
        passphrase: None,
        max_latency: Duration::from_secs(10),
        key_bits: 0,
        min_key_bits: 0,
        min_version: srt_safe::SrtVersion::new(1, 3, 0),
        version: None,
        limits: SessionLimits::default(),
        allow: Vec::new(),
        deny: Vec::new(),
        max_connections: 0,
        connections: Arc::default(),
        filter: FilterPolicy::default(),
        is_live: true,
        takes_groups: false,
        recheck: None,
    }
}

fn stream_policy() -> StreamPolicy {
    StreamPolicy {
        publish_passphrases: Vec::new(),
        play_passphrases: Vec::new(),
        password: None,
        max_viewers: 0,
        on_source_lost: Duration::from_secs(10),
        duplicate_publisher: DuplicatePublisher::Reject,
        silent_after: Duration::from_secs(1),
    }
}

/// A directory with these streams; other names are refused.
fn directory(streams: &[(&str, StreamPolicy)]) -> Directory {
    let entry = |(name, policy): &(&str, StreamPolicy)| {
        let name = StreamName::new(*name);
        let stream = Stream::new(name.clone(), 1 << 20, 1);
        (
            name,
            StreamEntry {
                stream,
                policy: Arc::new(policy.clone()),
                is_created: false,
            },
        )
    };
    Directory {
        streams: streams.iter().map(entry).collect::<HashMap<_, _>>(),
        unknown: None,
        ..Directory::default()
    }
}

fn decide_for(port: &PortPolicy, directory: &Directory, streamid: &str) -> Decision {
    let peer: SocketAddr = "127.0.0.1:4000".parse().unwrap();
    decide(
        port,
        directory,
        Caller {
            peer,
            streamid: streamid.as_bytes(),
            handshake: None,
            bond: None,
            known: &NoResults,
        },
    )
}

fn admitted(port: &PortPolicy, directory: &Directory, streamid: &str) -> Grant {
    match decide_for(port, directory, streamid) {
        Decision::Admit(grant) => grant,
        other => panic!("{streamid:?} on {port}: {other:?}"),
    }
}

fn refused(port: &PortPolicy, directory: &Directory, streamid: &str) -> (i32, RefusalReason) {
    match decide_for(port, directory, streamid) {
        Decision::Refuse(why) => (why.code().value(), why),
        other => panic!("{streamid:?} on {port}: {other:?}"),
    }
}

#[test]
fn what_each_kind_of_port_requires() {
    let cam1 = directory(&[("live/cam1", stream_policy())]);
    let (publish, play) = (Ok(Role::Publisher), Ok(Role::Viewer));
    let global = None;
    let local = Some("live/cam1");
    let cells = [
        (global, PortKind::Both, "#!::r=live/cam1,m=publish", publish),
        (global, PortKind::Both, "#!::r=live/cam1,m=request", play),
        (global, PortKind::Both, "#!::r=live/cam1", Err(1400)),
        (global, PortKind::Both, "live/cam1", Err(1400)),
        (global, PortKind::Both, "#!::m=publish", Err(1400)),
        (global, PortKind::Both, "", Err(1400)),
        (
            global,
            PortKind::Both,
            "#!::r=live/cam1,m=bidirectional",
            Err(1405),
        ),
        (global, PortKind::Both, "#!::r=other,m=publish", Err(1404)),
        (global, PortKind::Publish, "#!::r=live/cam1", publish),
        (global, PortKind::Publish, "live/cam1", publish),
        (global, PortKind::Publish, "#!::r=live/cam1,m=publish", publish),
        (global, PortKind::Publish, "#!::r=live/cam1,m=request", Err(1405)),
        (global, PortKind::Publish, "", Err(1400)),
        (global, PortKind::Play, "#!::r=live/cam1", play),
        (global, PortKind::Play, "live/cam1", play),
        (global, PortKind::Play, "#!::r=live/cam1,m=publish", Err(1405)),
        (global, PortKind::Play, "#!::m=request", Err(1400)),
        (local, PortKind::Both, "#!::m=publish", publish),
        (local, PortKind::Both, "#!::m=request", play),
        (local, PortKind::Both, "#!::r=live/cam1,m=request", play),
        (local, PortKind::Both, "", Err(1400)),
        (local, PortKind::Both, "live/cam1", Err(1400)),
        (local, PortKind::Publish, "", publish),
        (local, PortKind::Publish, "#!::m=publish", publish),
        (local, PortKind::Publish, "live/cam1", publish),
        (local, PortKind::Publish, "#!::m=request", Err(1405)),
        (local, PortKind::Publish, "#!::r=other", Err(1404)),
        (local, PortKind::Play, "", play),
        (local, PortKind::Play, "#!::r=live/cam1,m=request", play),
        (local, PortKind::Play, "#!::m=publish", Err(1405)),
        (local, PortKind::Play, "other", Err(1404)),
    ];
    for (scope, kind, streamid, expected) in cells {
        let port = port(scope, kind);
        let got = match decide_for(&port, &cam1, streamid) {
            Decision::Admit(grant) => {
                assert_eq!(grant.stream.as_str(), "live/cam1");
                Ok(grant.role)
            }
            Decision::Refuse(why) => Err(why.code().value()),
            Decision::Wait(question) => panic!("{question:?}"),
        };
        assert_eq!(got, expected, "{streamid:?} on {port}");
    }
}

#[test]
fn another_stream_on_a_local_port_is_forbidden_if_it_is_there_and_not_found_if_it_is_not() {
    let both = directory(&[("a", stream_policy()), ("b", stream_policy())]);
    let of_a = port(Some("a"), PortKind::Publish);
    assert_eq!(refused(&of_a, &both, "#!::r=b").0, 1403);
    assert_eq!(refused(&of_a, &both, "#!::r=c").0, 1404);
}

#[test]
fn streamids_that_urls_have_changed_are_read_as_they_were_meant() {
    let streams = directory(&[("live/cam1", stream_policy())]);
    let global = port(None, PortKind::Both);
    for streamid in [
        "%23!::r=live/cam1,m=publish",
        "!::r=live/cam1,m=publish",
        "%23%21%3A%3Ar%3Dlive%2Fcam1%2Cm%3Dpublish",
    ] {
        let grant = admitted(&global, &streams, streamid);
        assert_eq!(
            (grant.role, grant.stream.as_str()),
            (Role::Publisher, "live/cam1"),
            "{streamid}"
        );
    }
    assert_eq!(
        admitted(&port(None, PortKind::Play), &streams, "live%2Fcam1")
            .stream
            .as_str(),
        "live/cam1"
    );
}

#[test]
fn unknown_streams_are_admitted_only_where_the_configuration_says_so() {
    let mut none = directory(&[]);
    let global = port(None, PortKind::Publish);
    let (code, why) = refused(&global, &none, "x");
    assert_eq!(code, 1404);
    assert!(why.to_string().contains("accept_unknown"), "{why}");
    none.unknown = Some(Arc::new(stream_policy()));
    assert_eq!(admitted(&global, &none, "x").stream.as_str(), "x");
}

#[test]
fn a_second_publisher_conflicts_and_a_viewer_needs_a_source_or_patience() {
    let streams = directory(&[
        ("patient", stream_policy()),
        (
            "strict",
            StreamPolicy {
                on_source_lost: Duration::ZERO,
                ..stream_policy()
            },
        ),
    ]);
    let (publish, play) = (port(None, PortKind::Publish), port(None, PortKind::Play));
    assert_eq!(refused(&play, &streams, "strict").0, 1404);
    assert_eq!(admitted(&play, &streams, "patient").role, Role::Viewer);

    let strict = &streams.streams[&StreamName::new("strict")].stream;
    let writer = strict.claim_source(SessionId(1)).unwrap();
    assert_eq!(refused(&publish, &streams, "strict").0, 1409);
    assert_eq!(admitted(&play, &streams, "strict").role, Role::Viewer);
    // A hanging publisher keeps its slot, and the next one learns which setting would admit it.
    strict.set_quiet_for(Duration::from_mins(20));
    let (code, why) = refused(&publish, &streams, "strict");
    assert_eq!(
        (code, &why),
        (
            1409,
            &RefusalReason::HasSilentPublisher(StreamName::new("strict"))
        )
    );
    assert!(why.to_string().contains("takeover_if_silent"), "{why}");
    strict.release_source(writer);
    assert_eq!(admitted(&publish, &streams, "strict").role, Role::Publisher);
}

#[test]
fn limits_refuse_with_overload() {
    let streams = directory(&[(
        "a",
        StreamPolicy {
            max_viewers: 1,
            ..stream_policy()
        },
    )]);
    let play = port(None, PortKind::Play);
    let viewer = admitted(&play, &streams, "a");
    assert_eq!(refused(&play, &streams, "a").0, 1402);
    assert_eq!(
        refused(&port(Some("a"), PortKind::Play), &streams, "").0,
        1402,
        "whatever the port"
    );
    drop(viewer);
    let _viewer = admitted(&play, &streams, "a");

    let mut publish = port(None, PortKind::Publish);
    publish.max_connections = 1;
    let publisher = admitted(&publish, &streams, "a");
    assert_eq!(refused(&publish, &streams, "a").0, 1402);
    let again = port(None, PortKind::Publish);
    assert_eq!(
        refused(&again, &streams, "a").0,
        1409,
        "its place is taken by the grant"
    );
    drop(publisher);
    assert_eq!(admitted(&publish, &streams, "a").role, Role::Publisher);
}

#[test]
fn a_stream_that_is_not_there_yet_has_its_limits_too() {
    let mut streams = directory(&[]);
    streams.unknown = Some(Arc::new(StreamPolicy {
        max_viewers: 2,
        ..stream_policy()
    }));
    let play = port(None, PortKind::Play);
    let _held = [admitted(&play, &streams, "x"), admitted(&play, &streams, "x")];
    assert_eq!(refused(&play, &streams, "x").0, 1402);
    // A reload raises the limit.
    let later = Directory {
        unknown: Some(Arc::new(StreamPolicy {
            max_viewers: 3,
            ..stream_policy()
        })),
        ..streams.clone()
    };
    let _third = admitted(&play, &later, "x");
    assert_eq!(refused(&play, &later, "x").0, 1402);
}

#[test]
fn a_listening_endpoint_has_one_peer_and_refuses_as_ports_do() {
    let secret = StreamPolicy {
        on_source_lost: Duration::ZERO,
        ..stream_policy()
    };
    let streams = directory(&[("a", secret)]);
    let endpoint = |kind| PortPolicy {
        accepts: Accepts::Peer(StreamName::new("a")),
        max_connections: 1,
        ..port(Some("a"), kind)
    };
    let (input, output) = (endpoint(PortKind::Publish), endpoint(PortKind::Play));
    assert_eq!(input.to_string(), "listening input 9998 of a");
    let peer = admitted(&input, &streams, "whatever it likes");
    assert_eq!((peer.role, peer.stream.as_str()), (Role::Publisher, "a"));
    assert_eq!(refused(&input, &streams, ""), (1409, RefusalReason::HasPeer));
    drop(peer);
    assert_eq!(refused(&input, &streams, "#!::m=request").0, 1405);
    assert_eq!(
        refused(&output, &streams, "").0,
        1404,
        "no source, and no patience"
    );
    let mut denying = endpoint(PortKind::Publish);
    denying.deny = vec!["127.0.0.0/8".parse().unwrap()];
    assert_eq!(
        refused(&denying, &streams, ""),
        (1403, RefusalReason::AddressNotAllowed)
    );
}

#[test]
fn the_passphrase_is_the_streams_on_shared_ports_and_the_ports_on_its_own() {
    let passphrase = |text: &str| Passphrase::new(text).unwrap();
    let own = StreamPolicy {
        publish_passphrases: vec![passphrase("of the publisher")],
        play_passphrases: vec![passphrase("of the viewers")],
        ..stream_policy()
    };
    let streams = directory(&[("a", own), ("b", stream_policy())]);
    let (mut global, mut local) = (port(None, PortKind::Both), port(Some("a"), PortKind::Both));
    let of = |port: &PortPolicy, streamid| admitted(port, &streams, streamid).passphrase;
    assert_eq!(
        of(&global, "#!::r=a,m=publish"),
        Some(passphrase("of the publisher"))
    );
    assert_eq!(
        of(&global, "#!::r=a,m=request"),
        Some(passphrase("of the viewers"))
    );
    assert_eq!(of(&global, "#!::r=b,m=request"), None);
    assert_eq!(of(&local, "#!::m=request"), Some(passphrase("of the viewers")));

    global.passphrase = Some(passphrase("of the global port"));
    local.passphrase = Some(passphrase("of the local port"));
    assert_eq!(
        of(&global, "#!::r=a,m=publish"),
        Some(passphrase("of the publisher"))
    );
    assert_eq!(
        of(&global, "#!::r=b,m=publish"),
        Some(passphrase("of the global port"))
    );
    assert_eq!(of(&local, "#!::m=publish"), Some(passphrase("of the local port")));
}

#[test]
fn addresses_pass_deny_before_allow() {
    let streams = directory(&[("a", stream_policy())]);
    let mut publish = port(None, PortKind::Publish);
    publish.deny = vec!["127.0.0.0/8".parse().unwrap()];
    assert_eq!(refused(&publish, &streams, "a").0, 1403);
    publish.allow = publish.deny.clone();
    assert_eq!(refused(&publish, &streams, "a").0, 1403);
    publish.deny.clear();
    assert_eq!(admitted(&publish, &streams, "a").role, Role::Publisher);
    publish.allow = vec!["10.0.0.0/8".parse().unwrap()];
    assert_eq!(refused(&publish, &streams, "a").0, 1403);
}

#[test]
fn what_the_caller_says_of_itself_is_held_against_the_ports_limits() {
    let streams = directory(&[("a", stream_policy())]);
    let mut publish = port(None, PortKind::Publish);
    publish.max_latency = Duration::from_millis(500);
    let mut caller = srt_handshake();
    let ask = |port: &PortPolicy, handshake| {
        let peer = "127.0.0.1:4000".parse().unwrap();
        match decide(
            port,
            &streams,
            Caller {
                peer,
                streamid: b"a",
                handshake: Some(handshake),
                bond: None,
                known: &NoResults,
            },
        ) {
            Decision::Admit(_) => 0,
            Decision::Refuse(why) => why.code().value(),
            Decision::Wait(question) => panic!("{question:?}"),
        }
    };
    assert_eq!(ask(&publish, caller), 0);
    for (key, code) in [
        (KeyLength::Aes128, 1400),
        (KeyLength::Aes192, 1400),
        (KeyLength::Aes256, 0),
    ] {
        let mut demanding = port(None, PortKind::Publish);
        demanding.min_key_bits = 256;
        demanding.passphrase = Some(Passphrase::new("a passphrase").unwrap());
        let handshake = CallerHandshake {
            encryption: Some(key),
            ..srt_handshake()
        };
        assert_eq!(ask(&demanding, handshake), code, "{key:?}");
    }
    // For a publisher, only the latency of what it sends counts.
    caller.receive_latency = Duration::from_millis(501);
    assert_eq!(ask(&publish, caller), 0);
    caller.send_latency = Duration::from_millis(501);
    assert_eq!(ask(&publish, caller), 1400);
    caller.send_latency = Duration::from_millis(500);
    publish.version = Some(srt_safe::SrtVersion::new(1, 5, 6));
    assert_eq!(ask(&publish, caller), 1505);
    caller.version = srt_safe::SrtVersion::new(1, 5, 6);
    assert_eq!(ask(&publish, caller), 0);
    publish.version = None;
    publish.min_version = srt_safe::SrtVersion::new(1, 5, 7);
    assert_eq!(ask(&publish, caller), 1505);
}

fn srt_handshake() -> CallerHandshake {
    CallerHandshake {
        version: srt_safe::SrtVersion::new(1, 5, 7),
        receive_latency: Duration::from_millis(120),
        send_latency: Duration::from_millis(120),
        encryption: None,
        group: None,
        filter: CallerFilter::None,
        mode: CallerMode::Live,
    }
}

#[test]
fn no_refusal_shows_a_passphrase_and_each_says_what_to_do() {
    let streams = directory(&[("a", stream_policy())]);
    for (kind, streamid) in [
        (PortKind::Both, ""),
        (PortKind::Both, "#!::m=publish"),
        (PortKind::Play, "nosuch"),
    ] {
        let (_, why) = refused(&port(None, kind), &streams, streamid);
        let sentence = why.to_string();
        assert!(sentence.len() > 40 && sentence.is_ascii(), "{sentence}");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let streams = directory(&[("a", stream_policy())]);
    let peer = "127.0.0.1:4000".parse().unwrap();
    let caller = Caller {
        peer,
        streamid: &[0xFF, 0xFE, b'a'],
        handshake: None,
        bond: None,
        known: &NoResults,
    };
    match decide(&port(None, PortKind::Publish), &streams, caller) {
        Decision::Refuse(why) => assert_eq!(why, RefusalReason::Unreadable(Unreadable::NotText)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_two_readings_the_one_whose_stream_exists_counts() {
    let with_password = || StreamPolicy {
        password: Some(Secret::new("password")),
        ..stream_policy()
    };
    let streams = directory(&[("live/cam1", with_password()), ("cam2", with_password())]);
    let global = port(None, PortKind::Both);
    for (streamid, stream) in [
        ("play/live/cam1", "live/cam1"),
        ("play/live/cam1/password", "live/cam1"),
        ("publish/live/cam1/password", "live/cam1"),
        ("publish/cam2/password", "cam2"),
        ("publish:live/cam1:user:password", "live/cam1"),
        ("#!::h=any.example,r=live/cam1,m=request", "live/cam1"),
    ] {
        let grant = admitted(&global, &streams, streamid);
        assert_eq!(grant.stream.as_str(), stream, "{streamid}");
    }
    let play = port(None, PortKind::Play);
    assert_eq!(
        admitted(&play, &streams, "play.example.com/live/cam1")
            .stream
            .as_str(),
        "live/cam1"
    );
    let local = port(Some("cam2"), PortKind::Publish);
    assert_eq!(
        admitted(&local, &streams, "publish/cam2/password")
            .stream
            .as_str(),
        "cam2"
    );
    assert_eq!(refused(&global, &streams, "publish/cam3/password").0, 1404);
}

#[test]
fn a_path_has_a_password_only_where_the_stream_or_a_rule_has_one() {
    let streams = directory(&[("live", stream_policy())]);
    let global = port(None, PortKind::Both);
    for streamid in ["play/live/feed2", "publish/live/feed2"] {
        let (code, why) = refused(&global, &streams, streamid);
        assert_eq!(code, 1404, "{streamid}");
        assert!(!why.to_string().contains("feed2"), "{why}");
    }
    let rules = "[[rules]]\nstream = \"*\"\naction = \"publish\"\npassword = \"letmein\"\n";
    let config = crate::config::Config::parse(rules).unwrap_or_else(|errors| panic!("{errors}"));
    let mut open = directory(&[]);
    open.unknown = Some(Arc::new(stream_policy()));
    open.access = Arc::new(AccessPolicy::of(&config));
    let publisher = admitted(&global, &open, "publish/live/feed1/letmein");
    assert_eq!(publisher.stream.as_str(), "live/feed1");
    assert_eq!(
        admitted(&global, &open, "play/live/feed1").stream.as_str(),
        "live/feed1"
    );
}

/// Ways to name stream `name` of `app` that the directory below accepts.
fn ways(app: &str, name: &str, way: u8) -> (String, String) {
    let full = format!("{app}/{name}");
    match way {
        0 => (format!("publish/{full}"), format!("play/{full}")),
        1 => (format!("publish:{full}"), format!("read:{full}")),
        2 => (
            format!("#!::h=x.example,sls_app={app},r={name},m=publish"),
            format!("#!::h=x.example,sls_app={app},r={name},m=request"),
        ),
        3 => (
            format!("#!::r={full}?x=1,m=publish"),
            format!("#!::r={full}?x=1,m=request"),
        ),
        _ => (format!("publish/{app}"), format!("play/{app}")),
    }
}

proptest! {
    /// Whoever is connected, and whoever came first: where every name exists, different texts of one form name
    /// different streams, and a publisher and a viewer that use the same text meet.
    #[test]
    fn nobody_receives_another_stream_than_the_one_that_they_named(
        callers in prop::collection::vec(("[ab]", "[ab]", 0u8..5), 1..8),
        has_hook in any::<bool>(),
    ) {
        let both = port(None, PortKind::Both);
        let mut directory = directory(&[]);
        directory.unknown = Some(Arc::new(stream_policy()));
        if has_hook {
            directory.access = Arc::new(AccessPolicy {
                hook: super::policy::HookUse::Asked,
                ..AccessPolicy::default()
            });
        }
        let let_in = HookResults(Some(HookVerdict::LetIn));
        let admitted = |port: &PortPolicy, directory: &Directory, streamid: &str| {
            let caller = Caller {
                peer: "127.0.0.1:4000".parse().unwrap(),
                streamid: streamid.as_bytes(),
                handshake: None,
                bond: None,
                known: &let_in,
            };
            match decide(port, directory, caller) {
                Decision::Admit(grant) => grant,
                other => panic!("{streamid:?}: {other:?}"),
            }
        };
        for (app, name, way) in callers {
            let (publish, play) = ways(&app, &name, way);
            let wanted = if way == 4 { app.clone() } else { format!("{app}/{name}") };
            let before = admitted(&both, &directory, &play).stream.clone();
            prop_assert_eq!(before.as_str(), &wanted, "{}", play);
            let stream = admitted(&both, &directory, &publish).stream.clone();
            prop_assert_eq!(stream.as_str(), &wanted, "{}", publish);
            // The stream exists from now on.
            let entry = StreamEntry {
                stream: Stream::new(stream.clone(), 1 << 16, 1),
                policy: Arc::new(stream_policy()),
                is_created: true,
            };
            directory.streams.insert(stream, entry);
        }
    }
}

/// Fixed results: the caller's passphrase, and whether its password matches any hash.
#[derive(Debug)]
struct FixedResults {
    passphrase: Option<&'static str>,
    fits: Option<bool>,
}

/// The hook's verdict on everybody.
#[derive(Debug)]
struct HookResults(Option<HookVerdict>);

impl super::checks::CheckResults for HookResults {
    fn key(&self, _: &[Passphrase]) -> KeyFit {
        KeyFit::Unseen
    }

    fn password(&self, _: &Secret, _: &Secret) -> Option<bool> {
        None
    }

    fn hook(&self, _: &HookQuestion) -> Option<HookVerdict> {
        self.0.clone()
    }
}

#[test]
fn the_hook_is_asked_after_the_rules_and_before_the_state_of_the_stream() {
    let text = "[auth]\nurl = \"http://127.0.0.1:1/\"\n[[rules]]\nstream = \"closed\"\nuser = \"alice\"\n";
    let config = crate::config::Config::parse(text).unwrap_or_else(|errors| panic!("{errors}"));
    let mut streams = directory(&[
        ("a", stream_policy()),
        ("b", stream_policy()),
        ("closed", stream_policy()),
    ]);
    streams.access = Arc::new(AccessPolicy::of(&config));
    let ask = |port: &PortPolicy, streamid: &str, says: Option<HookVerdict>| {
        let caller = Caller {
            peer: "192.0.2.1:4000".parse().unwrap(),
            streamid: streamid.as_bytes(),
            handshake: None,
            bond: None,
            known: &HookResults(says),
        };
        decide(port, &streams, caller)
    };
    let terms = |terms| Some(HookVerdict::Admitted(Arc::new(terms)));
    let code = |decision| match decision {
        Decision::Refuse(why) => why.code().value(),
        other => panic!("{other:?}"),
    };
    let publish = port(None, PortKind::Publish);
    assert_eq!(code(ask(&publish, "closed", terms(Terms::default()))), 1401);
    match ask(&publish, "a", None) {
        Decision::Wait(Question::Hook(question)) => {
            assert_eq!((question.stream.as_str(), question.role), ("a", Role::Publisher));
        }
        other => panic!("{other:?}"),
    }
    // Also for a name that is no stream: the hook may know which is meant.
    assert!(matches!(ask(&publish, "token", None), Decision::Wait(_)));
    assert_eq!(code(ask(&publish, "token", terms(Terms::default()))), 1404);
    let to_b = Terms {
        stream: Some(StreamName::new("b")),
        max_bitrate: Some(std::num::NonZeroU64::new(7)),
        ..Terms::default()
    };
    match ask(&publish, "token", terms(to_b)) {
        Decision::Admit(grant) => {
            assert_eq!(
                (grant.stream.as_str(), grant.limits.max_bitrate.map(u64::from)),
                ("b", Some(7))
            );
            assert!(grant.hook.is_some());
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        ask(&publish, "a", Some(HookVerdict::LetIn)),
        Decision::Admit(_)
    ));
}

#[test]
fn the_hooks_passphrase_stands_before_all_others() {
    let config = crate::config::Config::parse("[auth]\nurl = \"http://127.0.0.1:1/\"\n").unwrap();
    let mut streams = directory(&[("a", stream_policy())]);
    streams.access = Arc::new(AccessPolicy::of(&config));
    let mut publish = port(None, PortKind::Publish);
    let (of_port, of_hook) = (
        Passphrase::new("of the port").unwrap(),
        Passphrase::new("of the hook").unwrap(),
    );
    publish.passphrase = Some(of_port.clone());
    for (key, wanted) in [
        (KeyTerm::Configured, Some(of_port)),
        (KeyTerm::None, None),
        (KeyTerm::This(of_hook.clone()), Some(of_hook)),
    ] {
        let terms = Terms {
            passphrase: key,
            ..Terms::default()
        };
        let caller = Caller {
            peer: "192.0.2.1:4000".parse().unwrap(),
            streamid: b"a",
            handshake: None,
            bond: None,
            known: &HookResults(Some(HookVerdict::Admitted(Arc::new(terms)))),
        };
        match decide(&publish, &streams, caller) {
            Decision::Admit(grant) => assert_eq!(grant.passphrase, wanted),
            other => panic!("{other:?}"),
        }
    }
}

impl super::checks::CheckResults for FixedResults {
    fn key(&self, passphrases: &[Passphrase]) -> KeyFit {
        let Some(told) = self.passphrase else {
            return KeyFit::Unseen;
        };
        let mut passphrases = passphrases.iter();
        let place = passphrases.position(|passphrase| told.as_bytes() == passphrase.expose());
        place.map_or(KeyFit::Wrong, KeyFit::Fits)
    }

    fn password(&self, _: &Secret, _: &Secret) -> Option<bool> {
        self.fits
    }

    fn hook(&self, _: &HookQuestion) -> Option<HookVerdict> {
        None
    }
}

fn decide_with(port: &PortPolicy, directory: &Directory, streamid: &str, known: &FixedResults) -> Decision {
    let caller = Caller {
        peer: "127.0.0.1:4000".parse().unwrap(),
        streamid: streamid.as_bytes(),
        handshake: None,
        bond: None,
        known,
    };
    decide(port, directory, caller)
}

#[test]
fn while_passphrases_are_rotated_the_one_that_the_caller_has_counts() {
    let passphrases = ["the new passphrase", "the old passphrase"].map(|text| Passphrase::new(text).unwrap());
    let policy = StreamPolicy {
        publish_passphrases: passphrases.to_vec(),
        ..stream_policy()
    };
    let streams = directory(&[("a", policy)]);
    let publish = port(None, PortKind::Publish);
    for (passphrase, chosen) in [
        (Some("the new passphrase"), Some(0)),
        (Some("the old passphrase"), Some(1)),
        (Some("a wrong passphrase"), None),
        (None, Some(0)),
    ] {
        let told = FixedResults {
            passphrase,
            fits: None,
        };
        match decide_with(&publish, &streams, "a", &told) {
            Decision::Admit(grant) => {
                let wanted = chosen.map(|chosen: usize| &passphrases[chosen]);
                assert_eq!(grant.passphrase.as_ref(), wanted);
            }
            // Before libsrt derives a key for it.
            Decision::Refuse(RefusalReason::WrongPassphrase { .. }) => assert_eq!(chosen, None),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn rules_and_passwords_admit_refuse_or_wait_for_an_answer() {
    let text = r#"
[[rules]]
stream = "live/*"
action = "publish"
user = "alice"
password = "plain secret"
[[rules]]
stream = "live/*"
action = "publish"
user = "bob"
password = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHQ"
[[rules]]
stream = "local/*"
allow = ["127.0.0.1"]
[[rules]]
stream = "far/*"
allow = ["192.0.2.0/24"]
"#;
    let config = crate::config::Config::parse(text).unwrap_or_else(|errors| panic!("{errors}"));
    let with_password = StreamPolicy {
        password: Some(Secret::new("letmein")),
        ..stream_policy()
    };
    let mut streams = directory(&[
        ("live/a", stream_policy()),
        ("local/a", stream_policy()),
        ("far/a", stream_policy()),
        ("own", with_password),
    ]);
    streams.access = Arc::new(AccessPolicy::of(&config));
    let both = port(None, PortKind::Both);
    let outcome = |streamid: &str, fits| {
        let told = FixedResults {
            passphrase: None,
            fits,
        };
        match decide_with(&both, &streams, streamid, &told) {
            Decision::Admit(_) => 0,
            Decision::Refuse(why) => why.code().value(),
            Decision::Wait(question) => {
                assert!(!format!("{question:?}").contains("a secret"), "{question:?}");
                -1
            }
        }
    };
    for (streamid, fits, wanted) in [
        ("#!::r=live/a,m=publish,u=alice,password=plain secret", None, 0),
        ("publish:live/a:alice:plain secret", None, 0),
        ("#!::r=live/a,m=publish,u=alice,s=plain secret", None, 0),
        ("#!::r=live/a,m=publish,u=alice,password=plain", None, 1401),
        ("#!::r=live/a,m=publish,u=alice", None, 1401),
        ("#!::r=live/a,m=publish,u=carol,password=plain secret", None, 1401),
        ("#!::r=live/a,m=publish", None, 1401),
        ("#!::r=live/a,m=publish,u=bob,password=a secret", None, -1),
        ("#!::r=live/a,m=publish,u=bob,password=a secret", Some(true), 0),
        (
            "#!::r=live/a,m=publish,u=bob,password=a secret",
            Some(false),
            1401,
        ),
        ("#!::r=live/a,m=request", None, 0),
        ("#!::r=local/a,m=publish", None, 0),
        ("#!::r=far/a,m=request", None, 1401),
        ("#!::r=own,m=publish,password=letmein", None, 0),
        ("publish/own/letmein", None, 0),
        ("#!::r=own,m=publish", None, 1401),
        ("#!::r=own,m=request", None, 0),
    ] {
        assert_eq!(outcome(streamid, fits), wanted, "{streamid} {fits:?}");
    }
}

#[test]
fn a_player_that_asks_for_what_is_not_there_guesses_nothing() {
    let streams = directory(&[("a", stream_policy())]);
    let (play, both) = (port(None, PortKind::Play), port(None, PortKind::Both));
    for (port, streamid, counts) in [
        (&play, "nosuch", false),
        (&both, "#!::r=nosuch,m=request", false),
        (&both, "#!::r=nosuch,m=publish", true),
        (&port(Some("a"), PortKind::Play), "nosuch", false),
        (&port(Some("a"), PortKind::Publish), "nosuch", true),
    ] {
        let (_, why) = refused(port, &streams, streamid);
        let role = super::decide::asked_role(port, streamid.as_bytes());
        let failure = why.failure(role, 9998, streamid.as_bytes());
        assert_eq!(failure.is_some(), counts, "{streamid} at {port}");
    }
    let wrong = RefusalReason::WrongPassphrase {
        role: Role::Viewer,
        stream: StreamName::new("a"),
    };
    let failure = wrong.failure(Some(Role::Viewer), 9998, b"a");
    assert!(matches!(failure, Some(super::AttemptKey::Passphrase)));
}
