//! Parses the hook's answers from JSON. Pure.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use srt_safe::{Passphrase, RejectCode};

use crate::{
    backend::{Answer, CallError, Fields, wrong},
    config::{Endpoint, FailMode, Target},
    names::{StreamName, is_control},
};

/// The number of labels kept per session.
const LABELS: usize = 32;

/// The length limit of a label's name and value, in bytes.
const LABEL_BYTES: usize = 256;

/// The number of outputs that one publisher may bring.
const OUTPUTS: usize = 16;

/// The longest latency that libsrt can negotiate.
const LATENCY_MAX: u64 = 60_000;

/// Names and values that the hook assigns to a session.
pub(crate) type Labels = Vec<(Box<str>, Box<str>)>;

/// The hook's verdict.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum HookVerdict {
    Admitted(Arc<Terms>),
    /// The hook gave no answer, and `fail = "open"`.
    LetIn,
    Refused(HookRefusal),
}

/// Why a caller is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HookRefusal {
    pub(crate) code: RejectCode,
    /// The sentence for operators.
    pub(crate) why: Arc<str>,
    pub(crate) by: RefusalSource,
}

/// The origin of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusalSource {
    /// The hook has refused the caller.
    Hook,
    /// The hook gave an unusable answer, or none and `fail = "closed"`.
    FailMode,
}

/// The conditions under which a caller is admitted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Terms {
    /// Replaces the requested stream.
    pub(crate) stream: Option<StreamName>,
    pub(crate) passphrase: KeyTerm,
    pub(crate) latency: Option<Duration>,
    /// Some(None): no limit.
    pub(crate) max_bitrate: Option<Option<NonZeroU64>>,
    /// The hook is asked again afterwards; None: never.
    pub(crate) lifetime: Option<Duration>,
    pub(crate) labels: Labels,
    pub(crate) outputs: Vec<Endpoint>,
}

/// The passphrase that the hook requires.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum KeyTerm {
    /// Not mentioned: the configuration applies.
    #[default]
    Configured,
    /// No passphrase.
    None,
    This(Passphrase),
}

impl Terms {
    /// # Errors
    /// The first field with an invalid value.
    fn read(fields: &Fields) -> Result<Self, CallError> {
        let stream = match fields.text("stream")? {
            None => None,
            Some(name) if !StreamName::is_legal(name) => {
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
            lifetime: lifetime(fields)?.filter(|lifetime| !lifetime.is_zero()),
            labels: labels(&fields.named_texts("labels")?)?,
            outputs: outputs(&fields.texts("outputs")?)?,
        })
    }
}

fn labels(labels: &[(&str, &str)]) -> Result<Labels, CallError> {
    let is_fit = |text: &str| text.len() <= LABEL_BYTES && !text.contains(is_control);
    if labels.len() > LABELS || !labels.iter().all(|(key, value)| is_fit(key) && is_fit(value)) {
        return Err(wrong(
            "labels",
            "at most 32 strings of at most 256 bytes without control characters",
        ));
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
            // The hook grants access; it must not write files of its choice.
            Target::File(_) => Err(wrong(field(), "an srt://, udp:// or rtp:// URL")),
            _ => match endpoint.confine_output() {
                Ok(()) => Ok(endpoint),
                Err(why) => Err(wrong(field(), format!("an output that {why}"))),
            },
        }
    };
    urls.iter().enumerate().map(read).collect()
}

/// In seconds; in an answer in OvenMediaEngine's format (`allowed`), in milliseconds, as defined there.
fn lifetime(fields: &Fields) -> Result<Option<Duration>, CallError> {
    match fields.value("allowed") {
        None => fields.seconds("lifetime"),
        Some(_) => Ok(fields.whole("lifetime")?.map(Duration::from_millis)),
    }
}

/// The known fields of a 2xx answer. Unknown ones may refuse, or set conditions that we would not enforce.
const FIELDS: [&str; 8] = [
    "stream",
    "passphrase",
    "latency",
    "max_bitrate",
    "lifetime",
    "labels",
    "outputs",
    "reason",
];

/// Fields that accompany `code` in the answers of SRS hooks, and have no meaning here.
const BESIDE_CODE: [&str; 4] = ["data", "msg", "message", "server"];

/// The verdict of a 2xx body.
#[derive(Debug, PartialEq)]
enum BodyVerdict {
    /// Admitted, under the conditions of these fields.
    Yes(Fields),
    /// Refused, with the reason.
    No(String),
}

/// Also accepts the formats of other servers' hooks: SRS refuses with 200 and a non-zero `code`, OvenMediaEngine with
/// 200 and `allowed: false`; both refuse here too. An empty body, `0`, `true` and `OK` admit.
///
/// # Errors
/// It is neither one of these words nor a JSON object, or has an unknown field, which may be a refusal.
fn word(answer: &Answer) -> Result<BodyVerdict, CallError> {
    let plain = answer.text().unwrap_or_default();
    if plain == "0" || plain == "true" || plain.eq_ignore_ascii_case("ok") {
        return Ok(BodyVerdict::Yes(Fields::default()));
    }
    if plain == "false" {
        return Ok(BodyVerdict::No("it answered false".to_owned()));
    }
    if let Ok(code) = plain.parse::<i64>() {
        return Ok(BodyVerdict::No(format!("it answered {code}")));
    }
    let fields = answer.fields()?;
    let no = |otherwise: String| {
        let said = fields
            .line("reason")
            .or_else(|| fields.line("msg"))
            .or_else(|| fields.line("message"));
        Ok(BodyVerdict::No(said.unwrap_or(otherwise)))
    };
    let code = fields.value("code");
    match code.map(|code| code.as_i64()) {
        None | Some(Some(0)) => {}
        Some(Some(code)) => return no(format!("code {code}")),
        Some(None) => return Err(wrong("code", "a whole number, 0 to admit")),
    }
    match fields.value("allowed").map(|allowed| allowed.as_bool()) {
        None | Some(Some(true)) => {}
        Some(Some(false)) => return no("allowed is false".to_owned()),
        Some(None) => return Err(wrong("allowed", "true or false")),
    }
    let is_known = |name: &str| {
        FIELDS.contains(&name)
            || matches!(name, "code" | "allowed")
            || code.is_some() && BESIDE_CODE.contains(&name)
    };
    let unknown = fields
        .all()
        .iter()
        .find(|(name, value)| !value.is_null() && !is_known(name));
    match unknown {
        Some((name, _)) => Err(CallError::UnknownField(name.chars().take(60).collect())),
        None => Ok(BodyVerdict::Yes(fields)),
    }
}

fn refused(code: RejectCode, why: String, by: RefusalSource) -> HookVerdict {
    HookVerdict::Refused(HookRefusal {
        code,
        why: why.into(),
        by,
    })
}

/// The verdict from the result of a call, or the failure for which `fail` decides.
pub(super) fn read(result: Result<Answer, CallError>) -> Result<HookVerdict, CallError> {
    let answer = result?;
    if answer.is_success() {
        return match word(&answer)? {
            BodyVerdict::Yes(fields) => {
                Terms::read(&fields).map(|terms| HookVerdict::Admitted(Arc::new(terms)))
            }
            BodyVerdict::No(reason) => Ok(refused(
                RejectCode::FORBIDDEN,
                format!(
                    "the hook of [auth] refused the caller (status {}): {reason}",
                    answer.status
                ),
                RefusalSource::Hook,
            )),
        };
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
            "the hook of [auth] refused the caller (status {}): {reason}",
            answer.status
        ),
        None => format!("the hook of [auth] refused the caller (status {})", answer.status),
    };
    Ok(refused(code, why, RefusalSource::Hook))
}

/// The verdict for an unusable answer. It may have been a refusal, so nobody is admitted, whatever `fail` says.
pub(super) fn unclear(error: &CallError) -> HookVerdict {
    refused(
        RejectCode::INTERNAL,
        format!(
            "the hook of [auth] {error}; the gateway refuses the caller when it does not understand the answer: \
             docs/access-control.md lists the valid answers"
        ),
        RefusalSource::FailMode,
    )
}

/// The verdict when the hook gave no answer.
pub(super) fn failed(fail: FailMode, why: &str) -> HookVerdict {
    match fail {
        FailMode::Open => HookVerdict::LetIn,
        FailMode::Closed => HookVerdict::Refused(HookRefusal {
            code: RejectCode::INTERNAL,
            why: format!(
                "the hook of [auth] {why}; callers are refused until it works (fail = \"closed\"): check that \
                 it runs at its url and answers as docs/access-control.md describes"
            )
            .into(),
            by: RefusalSource::FailMode,
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
            "labels":{"tenant":"t1"},"outputs":["srt://127.0.0.1:9000?streamid=x"],"other":null}"#,
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

    fn refusal(body: &str) -> HookRefusal {
        match answer(200, body) {
            Ok(HookVerdict::Refused(refusal)) => refusal,
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn hooks_of_other_servers_say_no_with_status_200() {
        for (body, reason) in [
            (r#"{"code":1}"#, "code 1"),
            (r#"{"code":-1,"data":{"x":1}}"#, "code -1"),
            (r#"{"code":100,"msg":"no such key"}"#, "no such key"),
            (r#"{"allowed":false,"reason":"not\ntoday"}"#, "not today"),
            (r#"{"allowed":false}"#, "allowed is false"),
            (r#"{"allowed":false,"new_url":"srt://h:1/x"}"#, "allowed is false"),
            ("1", "it answered 1"),
            (" -1\n", "it answered -1"),
            ("false", "it answered false"),
        ] {
            let refusal = refusal(body);
            assert_eq!(
                (refusal.code.value(), refusal.by),
                (1403, RefusalSource::Hook),
                "{body}"
            );
            assert!(refusal.why.ends_with(&format!(": {reason}")), "{}", refusal.why);
        }
        for body in [
            "",
            "0",
            "OK",
            "ok\n",
            "true",
            r#"{"code":0}"#,
            r#"{"code":0,"data":{}}"#,
            r#"{"allowed":true}"#,
        ] {
            assert_eq!(*terms(body), Terms::default(), "{body}");
        }
        let of_ome = terms(r#"{"allowed":true,"lifetime":5000}"#);
        assert_eq!(of_ome.lifetime, Some(Duration::from_secs(5)));
    }

    #[test]
    fn an_answer_that_is_understood_in_part_admits_nobody() {
        for (body, field) in [
            (r#"{"success":false}"#, "success"),
            (r#"{"allow":false,"lifetime":60}"#, "allow"),
            (r#"{"allowed":true,"new_url":"srt://h:1/x"}"#, "new_url"),
            (r#"{"data":{}}"#, "data"),
        ] {
            let error = answer(200, body).unwrap_err();
            assert_eq!(error, CallError::UnknownField(field.to_owned()), "{body}");
            let HookVerdict::Refused(refusal) = unclear(&error) else {
                panic!("{body}");
            };
            assert_eq!(
                (refusal.code.value(), refusal.by),
                (1500, RefusalSource::FailMode)
            );
        }
        for body in ["denied", "<html>OK</html>", "\"OK\"", "[]", "1.5"] {
            assert!(matches!(answer(200, body), Err(CallError::NotJson(_))), "{body}");
        }
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
                (code, RefusalSource::Hook),
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
            (r#"{"labels":{"a":"\u001b[2J"}}"#, "labels"),
            (r#"{"stream":"a\nb"}"#, "stream"),
            (r#"{"code":"hunter2"}"#, "code"),
            (r#"{"allowed":"hunter2"}"#, "allowed"),
            (r#"{"outputs":"srt://127.0.0.1:1"}"#, "outputs"),
            (
                r#"{"outputs":["udp://127.0.0.1:9","nonsense?passphrase=hunter2"]}"#,
                "outputs[1]",
            ),
            (r#"{"outputs":["file:///etc/hunter2"]}"#, "outputs[0]"),
            (r#"{"outputs":["srt://:443?mode=listener"]}"#, "outputs[0]"),
            (r#"{"outputs":["srt://h:1?fc=2000000000"]}"#, "outputs[0]"),
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
                "stream|passphrase|latency|max_bitrate|lifetime|labels|outputs|reason|code|allowed|[a-z]{1,4}", json(), 0..9),
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
