use proptest::prelude::*;

use super::*;

/// Dialect, names with passwords, mode, user.
type Expected = (
    &'static str,
    Vec<(&'static str, Option<&'static str>)>,
    Option<RequestMode>,
    Option<&'static str>,
);

fn parse(streamid: &str) -> StreamRequest {
    StreamRequest::read(streamid.as_bytes(), Dialects::all())
        .unwrap_or_else(|why| panic!("{streamid:?}: {why}"))
}

fn names(ask: &StreamRequest) -> Vec<(&str, Option<&str>)> {
    let name = |reading| {
        let Reading { stream, password, .. }: &Reading = reading;
        (stream.as_str(), password.as_ref().map(Secret::expose))
    };
    ask.names.iter().map(name).collect()
}

#[test]
fn every_dialect_of_the_field() {
    use RequestMode::{Publish, Request};
    let (publish, request) = (Some(Publish), Some(Request));
    let cases: Vec<(&str, Expected)> = vec![
        (
            "#!::r=cam1,m=publish,u=al,s=pw,h=gw,t=stream",
            ("standard", vec![("cam1", Some("pw"))], publish, Some("al")),
        ),
        (
            "#!::r=cam1,m=request,password=pw,s=77,a=Flussonic",
            ("standard", vec![("cam1", Some("pw"))], request, None),
        ),
        (
            "#!:{r=cam1,m=publish}",
            ("standard", vec![("cam1", None)], publish, None),
        ),
        ("#!::m=publish", ("standard", vec![], publish, None)),
        (
            "#!::bmd_uuid=1-2,bmd_name=Web Presenter,r=key,m=publish",
            ("standard", vec![("key", None)], publish, None),
        ),
        ("live/cam1", ("plain", vec![("live/cam1", None)], None, None)),
        ("vmix", ("plain", vec![("vmix", None)], None, None)),
        ("publish/cam1", ("slash", vec![("cam1", None)], publish, None)),
        (
            "publish/cam1/pw",
            (
                "slash",
                vec![("cam1/pw", None), ("cam1", Some("pw"))],
                publish,
                None,
            ),
        ),
        ("play/cam1", ("slash", vec![("cam1", None)], request, None)),
        (
            "publish:live/cam1",
            ("colon", vec![("live/cam1", None)], publish, None),
        ),
        (
            "publish:cam1:al:pw",
            ("colon", vec![("cam1", Some("pw"))], publish, Some("al")),
        ),
        (
            "publish:cam1:al:pw:k=v",
            ("colon", vec![("cam1", Some("pw"))], publish, Some("al")),
        ),
        (
            "read:cam1#feedbackplay",
            ("colon", vec![("cam1", None)], request, None),
        ),
        (
            "publish:/live/cam1",
            ("colon", vec![("live/cam1", None)], publish, None),
        ),
        (
            "uplive.example.com/live/cam1",
            (
                "sls",
                vec![("uplive.example.com/live/cam1", None), ("live/cam1", None)],
                None,
                None,
            ),
        ),
        (
            "#!::h=example.com,sls_app=live,r=cam1",
            ("sls", vec![("live/cam1", None), ("cam1", None)], None, None),
        ),
        (
            "#!::h=vhost,r=live/cam1?secret=1,m=publish",
            ("srs", vec![("live/cam1", None)], publish, None),
        ),
        (
            "#!::h=example.com/live/cam1,m=request",
            ("srs", vec![("live/cam1", None)], request, None),
        ),
        (
            "ome.example/app/cam1/playlist",
            (
                "sls",
                vec![("ome.example/app/cam1/playlist", None), ("app/cam1", None)],
                None,
                None,
            ),
        ),
        (
            "srt%3A%2F%2Fgw%3A9000%2Fapp%2Fcam1%3Fpolicy%3Dx%26mode%3Dplay",
            ("url", vec![("app/cam1", None)], request, None),
        ),
        (
            "%23!::r=cam1,m=publish",
            ("standard", vec![("cam1", None)], publish, None),
        ),
        (
            "!::r=cam1,m=publish",
            ("standard", vec![("cam1", None)], publish, None),
        ),
    ];
    for (streamid, (dialect, wanted, mode, user)) in cases {
        let ask = parse(streamid);
        assert_eq!(ask.dialect.map(Dialect::as_str), Some(dialect), "{streamid}");
        assert_eq!(names(&ask), wanted, "{streamid}");
        assert_eq!((ask.mode, ask.user.as_deref()), (mode, user), "{streamid}");
    }
    assert_eq!(parse(""), StreamRequest::default());
}

#[test]
fn unknown_keys_are_labels_and_passwords_are_not() {
    let ask = parse("#!::bmd_uuid=1-2,bmd_name=Web Presenter,r=key,m=publish,password=pw,s=pw2,u=al");
    assert_eq!(ask.label("bmd_name"), Some("Web Presenter"));
    assert_eq!(ask.labels.len(), 2);
    assert_eq!(parse("srt://gw:9000/a/b?policy=x&pass=pw").labels.len(), 2);
    assert!(!format!("{ask:?}").contains("pw"), "{ask:?}");
}

#[test]
fn a_dialect_that_is_off_is_not_read() {
    let only = |dialects: &[Dialect]| dialects.iter().copied().collect::<Dialects>();
    let read = |streamid: &str, dialects| StreamRequest::read(streamid.as_bytes(), dialects);
    let plain = only(&[Dialect::Plain]);
    let whole = read("publish/cam1/pw", plain).unwrap();
    assert_eq!(names(&whole), [("publish/cam1/pw", None)]);
    assert_eq!(names(&read("read:cam1", plain).unwrap()), [("read:cam1", None)]);
    for (streamid, dialects, off) in [
        ("#!::r=a", plain, Dialect::Standard),
        ("%23!::r=a", only(&[Dialect::Standard]), Dialect::Encoded),
        ("a", only(&[Dialect::Standard]), Dialect::Plain),
        ("publish:a", only(&[Dialect::Standard]), Dialect::Colon),
    ] {
        assert_eq!(
            read(streamid, dialects),
            Err(Unreadable::Dialect(off)),
            "{streamid}"
        );
    }
    let standard = only(&[Dialect::Standard]);
    let as_it_is = read("#!::h=example.com,sls_app=live,r=cam1?x=1", standard).unwrap();
    assert_eq!(names(&as_it_is), [("cam1?x=1", None)]);
}

#[test]
fn a_name_with_control_characters_is_refused() {
    for streamid in [
        "a\nb",
        "#!::r=a\u{1b}[2J,m=publish",
        "#!::r=a%1b[2J",
        "publish/a\u{7f}",
        "read:a\u{9b}",
        "h.example/live/a\u{202e}",
        "srt://gw:9000/a%0ab",
        "#!::r=live/a%E2%80%A8?secret=1",
    ] {
        assert_eq!(
            StreamRequest::read(streamid.as_bytes(), Dialects::all()),
            Err(Unreadable::Name),
            "{streamid:?}"
        );
    }
    assert_eq!(names(&parse("#!::r=Große Bühne 1")), [("Große Bühne 1", None)]);
}

#[test]
fn what_is_shown_has_no_password_in_it() {
    for (streamid, wanted) in [
        (
            "#!::r=cam1,password=pw1234,m=publish",
            "#!::r=cam1,password=***,m=publish",
        ),
        ("#!::r=cam1,s=pw1234", "#!::r=cam1,s=***"),
        ("%23!::r=cam1,s=pw1234", "#!::r=cam1,s=***"),
        ("publish/cam1/pw1234", "publish/cam1/***"),
        ("publish:cam1:al:pw1234:k=v", "publish:cam1:al:***:k=v"),
        ("#!::s=pw1234,broken", "#!::s=***,broken"),
        ("a\u{1}b", "a\\x01b"),
        ("srt://al:pw1234@gw:9000/app/cam1", "srt://***@gw:9000/app/cam1"),
        ("srt://al:pw/12@34@gw:9000/app/cam1", "srt://***@gw:9000/app/cam1"),
        (
            "srt://gw:9000/app/cam1?user=a@b.example",
            "srt://gw:9000/app/cam1?user=a@b.example",
        ),
        (
            "#!::r=cam1,apikey=pw1234,m=publish",
            "#!::r=cam1,apikey=***,m=publish",
        ),
        ("#!::r=cam1?jwt=pw1234", "#!::r=cam1?jwt=***"),
        (
            "live/cam1?Access-Token=pw1234&x=1",
            "live/cam1?Access-Token=***&x=1",
        ),
    ] {
        assert_eq!(shown(streamid.as_bytes()), wanted);
    }
    assert_eq!(
        shown(b"#!::r=a,u=x,P=one,Token=two"),
        "#!::r=a,u=x,P=***,Token=***"
    );
    assert_eq!(shown(b"\xffpassword=x,a"), "\\xffpassword=***,a");
    assert_eq!(shown(b"\xff,password=x,a"), "\\xff,password=***,a");
}

fn streamids() -> impl Strategy<Value = Vec<u8>> {
    let word = "[a-z.%=?&#!:{},/ ]{0,12}";
    let dialect = prop_oneof![
        Just("#!::"),
        Just("#!:{"),
        Just("publish/"),
        Just("play/"),
        Just("publish:"),
        Just("read:"),
        Just("srt://"),
        Just("%23!::"),
        Just("!::"),
        Just("a.b/"),
        Just(""),
    ];
    let text = (dialect, prop::collection::vec(word, 0..6)).prop_map(|(start, words)| {
        let mut text = start.to_owned();
        text.push_str(&words.join(","));
        text.into_bytes()
    });
    prop_oneof![text, prop::collection::vec(any::<u8>(), 0..64)]
}

proptest! {
    /// Whatever the key of a secret, and in any form.
    #[test]
    fn no_secret_is_shown(
        secret in "[a-zA-Z0-9]{12,20}",
        form in prop::sample::select(vec![
            "#!::r=cam1,m=publish,KEY=SECRET", "#!:{r=cam1,KEY=SECRET}", "#!::r=cam1?KEY=SECRET,m=request",
            "srt://gw:9000/app/cam1?KEY=SECRET&x=1", "live/cam1?KEY=SECRET", "publish:cam1:u:pw:KEY=SECRET",
            "srt://u:SECRET@gw:9000/app/cam1", "#!::h=srt://u:SECRET@gw/x,r=cam1", "%23!::r=cam1,KEY=SECRET",
            "publish/cam1/SECRET", "read:cam1:u:SECRET", "cam1,mode:publish,KEY:SECRET", "cam1,KEY:SECRET,mode:request",
        ]),
        key in prop::sample::select(vec![
            "pass", "password", "passphrase", "psk", "token", "jwt", "apikey", "api_key", "API-Key", "access_token",
            "x_token", "secret", "secretkey", "credential", "credentials", "auth", "signature", "sig", "key", "s", "p",
            "pwd", "streamkey", "X-Signature", "authorization", "bearer",
        ]),
    ) {
        let streamid = form.replace("KEY", key).replace("SECRET", &secret);
        let shown = shown(streamid.as_bytes());
        prop_assert!(!shown.contains(&secret), "{streamid} {shown}");
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in streamids()) {
        let read = StreamRequest::read(&bytes, Dialects::all());
        prop_assert!(shown(&bytes).is_ascii());
        prop_assert!(!shown(&bytes).contains(char::is_control));
        for name in read.iter().flat_map(|ask| &ask.names) {
            prop_assert!(StreamName::is_legal(name.stream.as_str()));
        }
        if let Ok(ask) = read {
            prop_assert_eq!(ask.dialect.is_none(), bytes.is_empty());
            for name in &ask.names {
                prop_assert!(!name.stream.as_str().is_empty());
                prop_assert!(name.stream.as_str().len() <= bytes.len());
            }
        }
    }

    #[test]
    fn a_name_comes_through_every_dialect(name in "[a-z]{1,8}(/[a-z]{1,8}){0,2}", password in "[A-Z0-9]{1,12}") {
        for streamid in [
            format!("#!::r={name},m=publish,password={password}"),
            format!("publish:{name}:user:{password}"),
            format!("publish/{name}/{password}"),
        ] {
            let ask = parse(&streamid);
            prop_assert_eq!(ask.mode, Some(RequestMode::Publish));
            prop_assert!(names(&ask).contains(&(name.as_str(), Some(password.as_str()))), "{}", streamid);
            prop_assert!(!shown(streamid.as_bytes()).contains(&password), "{}", streamid);
        }
    }
}
