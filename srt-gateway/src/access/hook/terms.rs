//! What an answer of the hook says: from JSON to types. Pure.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use srt_safe::{Passphrase, RejectCode};

use crate::{
    backend::{Answer, CallError, wrong},
    config::{Endpoint, FailMode, Target},
    names::StreamName,
};

/// Labels of a session that are kept.
const LABELS: usize = 32;

/// Bytes of a label's name and of its value.
const LABEL_BYTES: usize = 256;

/// Outputs that one publisher may bring.
const OUTPUTS: usize = 16;

/// The longest latency that libsrt can agree upon.
const LATENCY_MAX: u64 = 60_000;

/// Names and values that the hook gives a session.
pub(crate) type Labels = Vec<(Box<str>, Box<str>)>;

/// What the hook says about somebody.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum HookVerdict {
    Admitted(Arc<Terms>),
    /// It gave no usable answer, and `fail = "open"`.
    LetIn,
    Refused(HookRefusal),
}

/// Why somebody is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HookRefusal {
    pub(crate) code: RejectCode,
    /// The sentence for the operator.
    pub(crate) why: Arc<str>,
    pub(crate) by: Verdicter,
}

/// Whose word a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdicter {
    /// The hook has said no.
    Hook,
    /// The hook has said nothing that can be used, and `fail = "closed"`.
    FailMode,
}

/// On what terms somebody is let in.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Terms {
    /// In place of the one that was asked for.
    pub(crate) stream: Option<StreamName>,
    pub(crate) passphrase: KeyTerm,
    pub(crate) latency: Option<Duration>,
    /// Some(None): any bitrate.
    pub(crate) max_bitrate: Option<Option<NonZeroU64>>,
    /// After it the hook is asked again; None: never.
    pub(crate) lifetime: Option<Duration>,
    pub(crate) labels: Labels,
    pub(crate) outputs: Vec<Endpoint>,
}

/// Which passphrase the hook demands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum KeyTerm {
    /// It says nothing: the configuration's.
    #[default]
    Configured,
    /// No passphrase.
    None,
    This(Passphrase),
}

impl Terms {
    /// # Errors
    /// The field that is not what it must be, or no JSON at all.
    fn read(answer: &Answer) -> Result<Self, CallError> {
        let fields = answer.fields()?;
        let stream = match fields.text("stream")? {
            None => None,
            Some(name) if name.is_empty() || name.len() > 512 || name.contains(char::is_control) => {
                return Err(wrong("stream", "the name of a stream"));
            }
            Some(name) => Some(StreamName::new(name)),
        };
        let passphrase = match fields.text("passphrase")? {
            None => KeyTerm::Configured,
            Some("") => KeyTerm::None,
            Some(text) => KeyTerm::This(
                Passphrase::new(text).map_err(|_| wrong("passphrase", "10 to 79 characters, or empty"))?,
            ),
        };
        let latency = match fields.whole("latency")? {
            Some(ms) if ms > LATENCY_MAX => {
                return Err(wrong("latency", "a whole number of milliseconds up to 60000"));
            }
            ms => ms.map(Duration::from_millis),
        };
        Ok(Self {
            stream,
            passphrase,
            latency,
            max_bitrate: fields.whole("max_bitrate")?.map(NonZeroU64::new),
            lifetime: fields.seconds("lifetime")?.filter(|lifetime| !lifetime.is_zero()),
            labels: labels(&fields.named_texts("labels")?)?,
            outputs: outputs(&fields.texts("outputs")?)?,
        })
    }
}

fn labels(labels: &[(&str, &str)]) -> Result<Labels, CallError> {
    let fits = |(key, value): &(&str, &str)| key.len() <= LABEL_BYTES && value.len() <= LABEL_BYTES;
    if labels.len() > LABELS || !labels.iter().all(fits) {
        return Err(wrong("labels", "at most 32 texts of at most 256 bytes"));
    }
    let labels = labels.iter();
    Ok(labels
        .map(|(key, value)| ((*key).into(), (*value).into()))
        .collect())
}

fn outputs(urls: &[&str]) -> Result<Vec<Endpoint>, CallError> {
    if urls.len() > OUTPUTS {
        return Err(wrong("outputs", "at most 16 URLs"));
    }
    let read = |(at, url): (usize, &&str)| {
        let field = || format!("outputs[{at}]");
        let endpoint =
            Endpoint::output_for_any(url).map_err(|why| wrong(field(), format!("an output: {why}")))?;
        match endpoint.target {
            // A hook says who may do what; it is not to write files of its choice.
            Target::File(_) => Err(wrong(field(), "an srt://, udp:// or rtp:// URL")),
            _ => Ok(endpoint),
        }
    };
    urls.iter().enumerate().map(read).collect()
}

/// What an outcome of a call means, or the failure that leaves it to `fail`.
pub(super) fn read(result: Result<Answer, CallError>) -> Result<HookVerdict, CallError> {
    let answer = result?;
    if answer.is_success() {
        return Terms::read(&answer).map(|terms| HookVerdict::Admitted(Arc::new(terms)));
    }
    let code = match answer.status {
        401 => RejectCode::UNAUTHORIZED,
        403 => RejectCode::FORBIDDEN,
        404 => RejectCode::NOT_FOUND,
        409 => RejectCode::CONFLICT,
        500.. => return Err(CallError::Status(answer.status)),
        _ => RejectCode::INTERNAL,
    };
    let why = match answer.reason() {
        Some(reason) => format!(
            "the hook of [auth] refused it (status {}): {reason}",
            answer.status
        ),
        None => format!("the hook of [auth] refused it (status {})", answer.status),
    };
    Ok(HookVerdict::Refused(HookRefusal {
        code,
        why: why.into(),
        by: Verdicter::Hook,
    }))
}

/// What a hook means that gave no usable answer.
pub(super) fn failed(fail: FailMode, why: &str) -> HookVerdict {
    match fail {
        FailMode::Open => HookVerdict::LetIn,
        FailMode::Closed => HookVerdict::Refused(HookRefusal {
            code: RejectCode::INTERNAL,
            why: format!(
                "the hook of [auth] {why}; nobody is let in without it (fail = \"closed\"): see that it runs at its url and answers as docs/access-control.md says"
            )
            .into(),
            by: Verdicter::FailMode,
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(status: u16, body: &str) -> Result<HookVerdict, CallError> {
        read(Ok(Answer {
            status,
            body: body.as_bytes().to_vec(),
        }))
    }

    fn terms(body: &str) -> Arc<Terms> {
        match answer(200, body) {
            Ok(HookVerdict::Admitted(terms)) => terms,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_whole_answer_is_read() {
        let terms = terms(
            r#"{"stream":"live/b","passphrase":"a passphrase","latency":250,"max_bitrate":5000000,"lifetime":1.5,
            "labels":{"tenant":"t1"},"outputs":["srt://127.0.0.1:9000?streamid=x"],"unknown":[1]}"#,
        );
        assert_eq!(terms.stream, Some(StreamName::new("live/b")));
        assert_eq!(
            terms.passphrase,
            KeyTerm::This(Passphrase::new("a passphrase").unwrap())
        );
        assert_eq!(terms.latency, Some(Duration::from_millis(250)));
        assert_eq!(terms.max_bitrate, Some(NonZeroU64::new(5_000_000)));
        assert_eq!(terms.lifetime, Some(Duration::from_millis(1500)));
        assert_eq!(terms.labels, [("tenant".into(), "t1".into())]);
        assert_eq!(terms.outputs.len(), 1);
        assert!(!format!("{terms:?}").contains("a passphrase"), "{terms:?}");
    }

    #[test]
    fn an_empty_answer_changes_nothing_and_zeroes_take_limits_away() {
        assert_eq!(*terms(""), Terms::default());
        assert_eq!(*terms("{}"), Terms::default());
        let terms = terms(r#"{"passphrase":"","max_bitrate":0,"lifetime":0,"latency":0}"#);
        assert_eq!(
            (&terms.passphrase, terms.max_bitrate),
            (&KeyTerm::None, Some(None))
        );
        assert_eq!((terms.lifetime, terms.latency), (None, Some(Duration::ZERO)));
    }

    #[test]
    fn statuses_are_codes() {
        for (status, code) in [
            (401, 1401),
            (403, 1403),
            (404, 1404),
            (409, 1409),
            (400, 1500),
            (301, 1500),
            (429, 1500),
        ] {
            let Ok(HookVerdict::Refused(refusal)) = answer(status, r#"{"reason":"not today"}"#) else {
                panic!("{status}");
            };
            assert_eq!(
                (refusal.code.value(), refusal.by),
                (code, Verdicter::Hook),
                "{status}"
            );
            assert!(refusal.why.contains(&status.to_string()) && refusal.why.ends_with(": not today"));
        }
        assert_eq!(answer(502, ""), Err(CallError::Status(502)));
    }

    #[test]
    fn a_wrong_field_is_named_and_its_value_is_not_told() {
        for (body, field) in [
            (r#"{"stream":7}"#, "stream"),
            (r#"{"stream":""}"#, "stream"),
            (r#"{"passphrase":"hunter2"}"#, "passphrase"),
            (r#"{"passphrase":["hunter2"]}"#, "passphrase"),
            (r#"{"latency":"120ms"}"#, "latency"),
            (r#"{"latency":60001}"#, "latency"),
            (r#"{"max_bitrate":-1}"#, "max_bitrate"),
            (r#"{"lifetime":"60"}"#, "lifetime"),
            (r#"{"labels":["a"]}"#, "labels"),
            (r#"{"labels":{"a":1}}"#, "labels.a"),
            (r#"{"outputs":"srt://127.0.0.1:1"}"#, "outputs"),
            (
                r#"{"outputs":["udp://127.0.0.1:9","nonsense?passphrase=hunter2"]}"#,
                "outputs[1]",
            ),
            (r#"{"outputs":["file:///etc/hunter2"]}"#, "outputs[0]"),
        ] {
            let error = answer(200, body).unwrap_err();
            assert!(
                matches!(&error, CallError::Field { field: told, .. } if told == field),
                "{error}"
            );
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            "[ -~]{0,20}".prop_map(Into::into),
            "(srt|udp|rtp|file)://[a-z0-9.:?&=%]{0,30}".prop_map(Into::into),
        ];
        leaf.prop_recursive(3, 24, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                proptest::collection::btree_map("[a-z]{0,6}", inner, 0..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_answer_panics(
            status in 100u16..600,
            fields in proptest::collection::btree_map(
                "stream|passphrase|latency|max_bitrate|lifetime|labels|outputs|reason|[a-z]{1,4}", json(), 0..9),
        ) {
            let body = serde_json::Value::Object(fields.into_iter().collect()).to_string();
            drop(answer(status, &body));
        }

        #[test]
        fn no_bytes_panic(status in 100u16..600, body in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(read(Ok(Answer { status, body })));
        }
    }
}
