//! The syntax of the stream id: examples of the specification, errors with their positions, and properties.

use proptest::prelude::*;
use srt_safe::{Mode, StreamId, StreamIdError};

fn id(text: &str) -> StreamId {
    text.parse().expect("short enough")
}

fn error(text: &str) -> StreamIdError {
    id(text).fields().expect_err(text)
}

#[test]
fn every_standard_key_is_read_and_unknown_ones_keep_their_order() {
    let id = id("#!::u=alice,x-b=2,h=example.org,r=live/a=b,s=42,x-a=,t=file,m=bidirectional");
    let fields = id.fields().expect("valid");
    assert_eq!(fields.user(), Some("alice"));
    assert_eq!(fields.host(), Some("example.org"));
    assert_eq!(fields.resource(), Some("live/a=b"));
    assert_eq!(fields.session(), Some("42"));
    assert_eq!(fields.stream_type(), Some("file"));
    assert_eq!(fields.mode(), Mode::Bidirectional);
    assert_eq!(fields.get("x-a"), Some(""));
    assert_eq!(fields.get("nope"), None);
    assert_eq!(fields.other().collect::<Vec<_>>(), [("x-b", "2"), ("x-a", "")]);
    assert_eq!(fields.iter().len(), 8);
}

#[test]
fn the_empty_form_has_no_pairs_and_requests() {
    for text in ["#!::", "#!:{}"] {
        let id = id(text);
        let fields = id.fields().expect(text);
        assert_eq!(fields.iter().len(), 0, "{text}");
        assert_eq!(fields.mode(), Mode::Request, "{text}");
    }
}

#[test]
fn braces_nest_in_the_brace_form_and_are_plain_in_the_flat_one() {
    let nested = id("#!:{r=live,auth={kind=token,path={a=1,b=2}},m=publish}");
    let fields = nested.fields().expect("valid");
    assert_eq!(fields.mode(), Mode::Publish);
    let auth = fields.nested("auth").expect("there").expect("valid");
    assert_eq!(auth.get("kind"), Some("token"));
    let path = auth.nested("path").expect("there").expect("valid");
    assert_eq!(path.get("b"), Some("2"));
    assert!(fields.nested("nope").is_none());
    assert_eq!(
        fields.nested("r").expect("there"),
        Err(StreamIdError::Syntax {
            at: 6,
            expected: "a value in braces"
        })
    );
    assert_eq!(id("#!::r={x").fields().expect("valid").resource(), Some("{x"));
}

#[test]
fn errors_tell_the_byte() {
    assert_eq!(error("live/news"), StreamIdError::NotStandard);
    assert_eq!(error(""), StreamIdError::NotStandard);
    assert_eq!(error("#!::r=a,m=play"), StreamIdError::InvalidMode { at: 10 });
    assert_eq!(error("#!::r=a,r=b"), StreamIdError::DuplicateKey { at: 8 });
    for (text, position) in [
        ("#!:", 3),
        ("#!:r=a", 3),
        ("#!::r", 5),
        ("#!::=a", 4),
        ("#!::r=a,", 8),
        ("#!::,r=a", 4),
        ("#!:{r=a", 7),
        ("#!:{r={a}", 8),
        ("#!:{r=a}}", 7),
    ] {
        match error(text) {
            StreamIdError::Syntax { at, .. } => assert_eq!(at, position, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    let broken = StreamId::new(b"#!::r=\xff").expect("short");
    assert_eq!(broken.fields(), Err(StreamIdError::NotUtf8 { at: 6 }));
}

#[test]
fn the_limit_is_512_bytes() {
    assert_eq!(StreamId::new([b'x'; 512]).expect("at the limit").len(), 512);
    assert_eq!(
        StreamId::new([b'x'; 513]),
        Err(StreamIdError::TooLong { len: 513 })
    );
    let long = StreamId::builder().resource(&"r".repeat(507)).build();
    assert_eq!(long, Err(StreamIdError::TooLong { len: 513 }));
}

#[test]
fn the_builder_refuses_what_the_syntax_cannot_carry() {
    let build = |key, value| StreamId::builder().field(key, value).build();
    assert_eq!(build("r", "a,b"), Err(StreamIdError::InvalidValue { at: 7 }));
    assert_eq!(build("r", "a\0"), Err(StreamIdError::InvalidValue { at: 7 }));
    assert_eq!(build("", "a"), Err(StreamIdError::InvalidKey { at: 4 }));
    assert_eq!(build("a=b", ""), Err(StreamIdError::InvalidKey { at: 5 }));
    assert_eq!(build("m", "play"), Err(StreamIdError::InvalidMode { at: 6 }));
    let twice = StreamId::builder().user("a").user("b").build();
    assert_eq!(twice, Err(StreamIdError::DuplicateKey { at: 8 }));
    assert!(
        StreamIdError::InvalidValue { at: 7 }
            .to_string()
            .contains("must not contain ','")
    );
}

#[test]
fn display_is_safe_for_a_terminal_and_a_log() {
    let id = StreamId::new(b"a\x1b[2J\n\xffb").expect("short");
    assert_eq!(id.to_string(), "a\\u{1b}[2J\\n\u{fffd}b");
    assert_eq!(id.as_str(), None);
    assert_eq!(id.as_bytes(), b"a\x1b[2J\n\xffb");
}

proptest! {
    #[test]
    fn what_is_built_is_read_back(pairs in prop::collection::vec(("[a-z][a-z0-9-]{1,8}", "[^,\\p{Cc}]{0,20}"), 0..6)) {
        let mut builder = StreamId::builder();
        let mut expected: Vec<(&str, &str)> = Vec::new();
        for (key, value) in &pairs {
            if expected.iter().all(|(other, _)| other != key) {
                expected.push((key, value));
                builder = builder.field(key, value);
            }
        }
        let Ok(id) = builder.build() else {
            // With such pairs only the length can be wrong.
            let len: usize = expected.iter().map(|(k, v)| k.len() + v.len() + 2).sum();
            prop_assert!(len + 3 > StreamId::MAX_LEN);
            return Ok(());
        };
        let again = StreamId::new(id.as_bytes()).expect("short enough");
        let fields = again.fields().expect("what the builder wrote");
        prop_assert_eq!(fields.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_positions_lie_inside(tail in prop::collection::vec(any::<u8>(), 0..520), standard in any::<bool>()) {
        let mut bytes = if standard { b"#!:".to_vec() } else { Vec::new() };
        bytes.extend(tail);
        check(&bytes)?;
    }

    #[test]
    fn near_misses_of_the_syntax_never_panic(text in "#!:[:{][ruhstm=,{}a]{0,24}") {
        check(text.as_bytes())?;
    }
}

fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let id = match StreamId::new(bytes) {
        Ok(id) => id,
        Err(error) => {
            prop_assert!(bytes.len() > StreamId::MAX_LEN, "{error}");
            return Ok(());
        }
    };
    prop_assert!(id.to_string().chars().all(|c| !c.is_control()));
    match id.fields() {
        Ok(fields) => {
            for (key, value) in fields.iter() {
                prop_assert!(!key.is_empty());
                prop_assert_eq!(fields.get(key), Some(value));
                drop(fields.nested(key));
            }
        }
        Err(
            StreamIdError::Syntax { at, .. }
            | StreamIdError::NotUtf8 { at }
            | StreamIdError::InvalidMode { at }
            | StreamIdError::DuplicateKey { at },
        ) => prop_assert!(at <= id.len()),
        Err(error) => prop_assert_eq!(error, StreamIdError::NotStandard),
    }
    Ok(())
}
