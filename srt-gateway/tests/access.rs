//! Access control of a running gateway, with real callers on loopback.

mod support;

use srt_gateway::{
    config::Config,
    telemetry::{CallerEncryption, RejectedBy},
};
use srt_safe::{KeyLength, RejectReason, SocketState};
use support::{Caller, gateway, wait_until};

#[test]
fn every_refused_attempt_is_kept_with_what_was_asked_and_why() {
    let gateway = gateway(
        r#"
[srt]
port = "127.0.0.1:0"
[streams.cam1]
publish_passphrase = "the right passphrase"
"#,
    );
    let port = gateway.listening()[0].addr;
    let right = "the right passphrase";
    let cases: [(&str, Option<&str>, i32, RejectedBy, &str); 6] = [
        (
            "#!::r=nosuch,m=publish,s=hunter2",
            None,
            1404,
            RejectedBy::Stream,
            "standard",
        ),
        ("publish:cam2", None, 1404, RejectedBy::Stream, "colon"),
        ("cam1", Some(right), 1400, RejectedBy::Port, "plain"),
        (
            "#!::r=cam1,m=publish",
            Some("a wrong passphrase"),
            RejectReason::BAD_SECRET.value(),
            RejectedBy::Passphrase,
            "standard",
        ),
        (
            "publish/cam1",
            None,
            RejectReason::UNSECURE.value(),
            RejectedBy::Passphrase,
            "slash",
        ),
        (
            "#!::r=cam1,m=request",
            Some(right),
            RejectReason::UNSECURE.value(),
            RejectedBy::Passphrase,
            "standard",
        ),
    ];
    for (index, (streamid, passphrase, code, by, dialect)) in cases.into_iter().enumerate() {
        let told = Caller::to(port)
            .streamid(streamid)
            .passphrase(passphrase)
            .refused();
        assert_eq!(told, code, "{streamid}");
        let kept = wait_until("the refusal is kept", || {
            let kept = gateway.rejections();
            (kept.len() > index).then(|| kept[index].clone())
        });
        assert_eq!(kept.streamid.as_ref(), streamid.as_bytes());
        assert_eq!(
            (kept.code, kept.decision, kept.dialect),
            (code, by, dialect),
            "{kept:?}"
        );
        assert_eq!(
            (kept.port, kept.listener.as_str()),
            (port.port(), format!("srt port {}", port.port()).as_str())
        );
        assert!(kept.peer.ip().is_loopback() && kept.reason.len() > 30, "{kept:?}");
        assert!(!format!("{kept:?}").contains("hunter2"), "{kept:?}");
        if srt_safe::library_edits().contains("handshake-view") {
            let encryption = match passphrase {
                Some(_) => CallerEncryption::Aes(KeyLength::Aes128),
                None => CallerEncryption::None,
            };
            assert_eq!(kept.encryption, encryption, "{kept:?}");
            assert_eq!(kept.version, Some(srt_safe::library_version()));
        }
    }
    gateway.shut_down();
}

#[test]
fn two_passphrases_are_valid_while_they_are_rotated() {
    if !srt_safe::library_edits().contains("handshake-view") {
        return;
    }
    let gateway = gateway(
        r#"
[srt]
port = "127.0.0.1:0"
[streams.cam1]
play_passphrase = ["the new passphrase", "the old passphrase"]
"#,
    );
    let port = gateway.listening()[0].addr;
    let caller = |passphrase| {
        let caller = Caller::to(port).streamid("#!::r=cam1,m=request");
        caller.passphrase(Some(passphrase))
    };
    for passphrase in ["the new passphrase", "the old passphrase"] {
        let socket = caller(passphrase).connect().unwrap();
        assert!(socket.key_state().unwrap().is_secured(), "{passphrase}");
    }
    let told = caller("an ancient passphrase").refused();
    assert_eq!(told, RejectReason::BAD_SECRET.value());
    gateway.shut_down();
}

#[test]
fn a_password_against_a_hash_is_awaited_by_its_caller_alone() {
    if !srt_safe::SrtListener::can_defer() {
        return;
    }
    let gateway = gateway(&format!(
        r#"
[srt]
port = "127.0.0.1:0"
[[rules]]
stream = "live/*"
action = "publish"
user = "alice"
password = "{}"
[streams_default]
accept_unknown = true
"#,
        support::hashed("letmein")
    ));
    let port = gateway.listening()[0].addr;
    let publisher = |streamid| Caller::to(port).streamid(streamid);
    let right = publisher("#!::r=live/a,m=publish,u=alice,password=letmein");
    assert!(right.connect().is_ok());
    let wrong = publisher("#!::r=live/b,m=publish,u=alice,password=letmeout");
    assert_eq!(wrong.refused(), 1401);
    let kept = wait_until("the refusal is kept", || gateway.rejections().pop());
    assert_eq!(kept.decision, RejectedBy::Rules);
    assert!(!kept.streamid_shown.contains("letmeout"), "{kept:?}");
    assert!(publisher("#!::r=other/a,m=publish").connect().is_ok());
    gateway.shut_down();
}

#[test]
fn a_reload_changes_how_many_streams_callers_may_create() {
    let toml = |limits: &str| {
        format!(
            "[srt]\nport = \"127.0.0.1:0\"\n[limits]\n{limits}\n[streams_default]\naccept_unknown = true\n"
        )
    };
    let gateway = gateway(&toml("max_created_streams = 1"));
    let port = gateway.listening()[0].addr;
    let call = |name: &str| Caller::to(port).streamid(&format!("#!::r={name},m=publish"));
    let _first = call("a").connect().unwrap();
    assert_eq!(call("b").refused(), 1402);
    let reload = |limits: &str| gateway.reload(Config::parse(&toml(limits)).unwrap()).unwrap();
    assert_eq!(reload("max_created_streams = 2").warnings, [""; 0]);
    let second = call("b").connect().unwrap();
    assert_eq!(call("c").refused(), 1402);
    // Streams above the new limit continue, and count.
    assert_eq!(reload("max_created_streams = 1").warnings, [""; 0]);
    assert_eq!(call("c").refused(), 1402);
    assert_eq!(second.state(), SocketState::Connected);
    drop(second);
    assert_eq!(reload("max_created_streams = 0").warnings, [""; 0]);
    assert!(call("c").connect().is_ok());
    gateway.shut_down();
}

#[test]
fn streams_that_callers_create_are_limited_and_come_free_with_their_last_session() {
    let gateway = gateway(
        "[srt]\nport = \"127.0.0.1:0\"\n[limits]\nmax_created_streams = 2\n\
         [streams.listed]\n[streams_default]\naccept_unknown = true\n",
    );
    let port = gateway.listening()[0].addr;
    let call = |streamid: &str| Caller::to(port).streamid(streamid);
    let first = call("#!::r=a,m=publish").connect().unwrap();
    let second = call("#!::r=b,m=request").connect().unwrap();
    assert_eq!(call("#!::r=c,m=publish").refused(), 1402);
    let kept = wait_until("the refusal is kept", || gateway.rejections().pop());
    assert_eq!(kept.decision, RejectedBy::Limits);
    assert!(
        kept.reason.contains("max_created_streams of [limits]"),
        "{kept:?}"
    );
    let others = ["#!::r=a,m=request", "#!::r=listed,m=publish"].map(|id| call(id).connect().unwrap());
    drop(second);
    let third = wait_until("the viewer has gone", || call("#!::r=c,m=publish").connect().ok());
    drop((first, third, others));
    gateway.shut_down();
}
