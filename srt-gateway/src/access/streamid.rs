//! Reads a streamid: which stream a caller asks for, what it wants to do with it, and who it says it is.
//!
//! Pure functions over bytes. Each way of writing that is met in the field is a [`Dialect`], and each can be switched off
//! (`streamid_dialects` of `[gateway]`). Some texts can be read in two ways (`publish/live/cam1` is the stream `live/cam1`,
//! or the stream `live` with a password): all readings are kept, and `decide` chooses one.

use std::{borrow::Cow, fmt};

use percent_encoding::percent_decode_str;
use srt_safe::{Mode, StreamId, StreamIdError};

use super::identity::is_hops;
use crate::{
    config::{Dialect, Dialects, Secret, is_secret_parameter, login_in},
    names::StreamName,
};

/// What a caller asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ask {
    /// How it was written; None: there is no streamid.
    pub(crate) dialect: Option<Dialect>,
    /// The readings of the name, the preferred first; empty if no stream is named.
    pub(crate) names: Vec<Reading>,
    /// What for, if that is said.
    pub(crate) mode: Option<AskMode>,
    /// The password that comes without a name: on a stream's own port none is needed.
    pub(crate) password: Option<Secret>,
    /// Who.
    pub(crate) user: Option<Box<str>>,
    /// What else it says, unknown keys included; no password among them.
    pub(crate) labels: Vec<(Box<str>, Box<str>)>,
}

/// One way to read the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) stream: StreamName,
    /// The password that comes with this reading.
    pub(crate) password: Option<Secret>,
    pub(crate) form: Form,
}

/// What a reading makes of the text. Several texts may be read as one stream in all forms but [`Form::Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// All that the dialect says about the name.
    Name,
    /// The whole text, with a host that is no part of the name unless a stream is called so.
    Whole,
    /// Without the application or the playlist.
    Short,
    /// The last part of the path is a password.
    Password,
}

/// What a caller wants to do (`m=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AskMode {
    /// `m=publish`: send.
    Publish,
    /// `m=request`: receive.
    Request,
}

/// Why a streamid cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It breaks the rules of the standard form.
    Syntax(StreamIdError),
    /// It is not UTF-8.
    NotText,
    /// `m=bidirectional`.
    Bidirectional,
    /// It is written in a way that the configuration does not list.
    Dialect(Dialect),
    /// It is a URL, and names nothing.
    Url,
    /// The name of the stream has a control character, or the like.
    Name,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(error) => write!(f, "the streamid cannot be read: {error}"),
            Self::NotText => f.write_str("the streamid is not UTF-8 text"),
            Self::Bidirectional => f.write_str(
                "m=bidirectional is not served: connect once with m=publish and once with m=request",
            ),
            Self::Dialect(dialect) => write!(
                f,
                "the streamid is written in the dialect {:?}, which streamid_dialects of [gateway] does not list",
                dialect.as_str()
            ),
            Self::Url => f.write_str("the streamid is a URL without a path, so it names no stream"),
            Self::Name => f.write_str(
                "the name of the stream has a control character, a line separator or a mark of direction: no stream may be called so",
            ),
        }
    }
}

impl Ask {
    /// Reads the bytes as they came in the handshake.
    pub(crate) fn read(streamid: &[u8], dialects: Dialects) -> Result<Self, Unreadable> {
        if streamid.is_empty() {
            return Ok(Self::default());
        }
        let Ok(text) = str::from_utf8(streamid) else {
            return Err(Unreadable::NotText);
        };
        let undone = undo_url(text);
        let text = if undone == text {
            text
        } else if dialects.has(Dialect::Encoded) {
            undone.as_ref()
        } else if undone.starts_with("#!") {
            return Err(Unreadable::Dialect(Dialect::Encoded));
        } else {
            text
        };
        let ask = read_text(text, dialects)?;
        let is_legal = |name: &Reading| StreamName::is_legal(name.stream.as_str());
        match ask.names.iter().all(is_legal) {
            true => Ok(ask),
            false => Err(Unreadable::Name),
        }
    }

    /// The label of that name.
    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        let label = self.labels.iter().find(|(name, _)| name.as_ref() == key);
        label.map(|(_, value)| value.as_ref())
    }

    fn new(dialect: Dialect) -> Self {
        Self {
            dialect: Some(dialect),
            ..Self::default()
        }
    }

    fn add_label(&mut self, key: &str, value: &str) {
        self.labels.push((key.into(), value.into()));
    }

    fn add_name(&mut self, name: &str, password: Option<&str>) {
        self.add_reading(Form::Name, name, password);
    }

    fn add_reading(&mut self, form: Form, name: &str, password: Option<&str>) {
        let name = name.trim_matches('/');
        let password = password.filter(|word| !word.is_empty()).map(Secret::new);
        if !name.is_empty() && !self.names.iter().any(|known| known.stream.as_str() == name) {
            let stream = StreamName::new(name);
            self.names.push(Reading {
                stream,
                password,
                form,
            });
        }
    }
}

/// The dialects in the order of their marks: what has the plainest mark comes first, the plain name takes the rest.
fn read_text(text: &str, dialects: Dialects) -> Result<Ask, Unreadable> {
    let mut off = None;
    let mut on = |dialect| {
        let on = dialects.has(dialect);
        if !on && off.is_none() {
            off = Some(dialect);
        }
        on
    };
    if text.starts_with("#!") {
        return if on(Dialect::Standard) {
            standard(text, dialects)
        } else {
            Err(Unreadable::Dialect(Dialect::Standard))
        };
    }
    if let Some(rest) = text.strip_prefix("srt://")
        && on(Dialect::Url)
    {
        return nested_url(rest);
    }
    if let Some(ask) = colon(text)
        && on(Dialect::Colon)
    {
        return Ok(ask);
    }
    if let Some(ask) = slash(text)
        && on(Dialect::Slash)
    {
        return Ok(ask);
    }
    if let Some(ask) = host_app_stream(text)
        && on(Dialect::Sls)
    {
        return Ok(ask);
    }
    if on(Dialect::Plain) {
        let mut ask = Ask::new(Dialect::Plain);
        ask.add_name(text, None);
        return Ok(ask);
    }
    Err(Unreadable::Dialect(off.unwrap_or(Dialect::Plain)))
}

/// `#!::r=name,m=publish,u=user,s=secret`, and what vendors make of it.
fn standard(text: &str, dialects: Dialects) -> Result<Ask, Unreadable> {
    let id = StreamId::new(text).map_err(Unreadable::Syntax)?;
    let fields = id.fields().map_err(Unreadable::Syntax)?;
    let mut ask = Ask::new(Dialect::Standard);
    ask.mode = match fields.get("m").map(|_| fields.mode()) {
        None => None,
        Some(Mode::Publish) => Some(AskMode::Publish),
        Some(Mode::Request) => Some(AskMode::Request),
        Some(_) => return Err(Unreadable::Bidirectional),
    };
    ask.user = fields.user().filter(|user| !user.is_empty()).map(Into::into);
    // `s=` is a session's id to some and a password to others: it is one where nothing else is, and no gateway says it.
    let password = fields
        .get("password")
        .or_else(|| {
            let session = fields.session();
            session.filter(|session| !is_hops(fields.get("a"), session))
        })
        .filter(|word| !word.is_empty());
    ask.password = password.map(Secret::new);
    for (key, value) in fields.iter() {
        if !matches!(key, "r" | "m" | "u" | "s" | "password") {
            ask.add_label(key, value);
        }
    }
    let resource = fields.resource().filter(|name| !name.is_empty());
    if let (Some(app), Some(name)) = (ask.label("sls_app").map(str::to_owned), resource)
        && dialects.has(Dialect::Sls)
    {
        ask.dialect = Some(Dialect::Sls);
        ask.add_name(&format!("{app}/{name}"), password);
        ask.add_reading(Form::Short, name, password);
    } else if let Some(name) = resource {
        ask.add_name(name, password);
    }
    if dialects.has(Dialect::Srs) {
        srs(&mut ask, resource, password);
    }
    Ok(ask)
}

/// SRS: `r=app/stream?key=value`, or the stream behind the host, `h=host/app/stream`.
fn srs(ask: &mut Ask, resource: Option<&str>, password: Option<&str>) {
    if let Some((name, query)) = resource.and_then(|resource| resource.split_once('?')) {
        ask.dialect = Some(Dialect::Srs);
        ask.names.clear();
        ask.add_name(name, password);
        read_query(ask, query);
    }
    let behind_host = ask.label("h").and_then(|host| host.split_once('/'));
    if let (None, Some((_, name))) = (resource, behind_host.map(|(h, n)| (h.to_owned(), n.to_owned()))) {
        ask.dialect = Some(Dialect::Srs);
        ask.add_name(&name, password);
    }
}

/// `srt://host/app/stream?key=value` without its scheme, as pasted into the field for the streamid.
fn nested_url(rest: &str) -> Result<Ask, Unreadable> {
    let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, path) = location.split_once('/').unwrap_or((location, ""));
    let mut ask = Ask::new(Dialect::Url);
    ask.add_label("h", host);
    ask.add_name(path, None);
    read_query(&mut ask, query);
    if ask.names.is_empty() {
        return Err(Unreadable::Url);
    }
    Ok(ask)
}

/// `key=value&key=value`: mode, user and password, the rest labels.
fn read_query(ask: &mut Ask, query: &str) {
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match key {
            "m" | "mode" if value == "publish" => ask.mode = Some(AskMode::Publish),
            "m" | "mode" if value == "request" || value == "play" => ask.mode = Some(AskMode::Request),
            "u" | "user" => ask.user = Some(value.into()),
            "pass" | "password" | "passphrase" | "s" => {
                ask.password = Some(Secret::new(value));
                for name in &mut ask.names {
                    name.password = Some(Secret::new(value));
                }
            }
            _ => ask.add_label(key, value),
        }
    }
}

fn verb(word: &str) -> Option<AskMode> {
    match word {
        "publish" => Some(AskMode::Publish),
        "read" | "play" | "request" | "subscribe" => Some(AskMode::Request),
        _ => None,
    }
}

/// `publish:path[:user:password[:query]]`, `read:path...`; some players add `#feedbackplay`.
fn colon(text: &str) -> Option<Ask> {
    let (word, rest) = text.split_once(':')?;
    let mode = verb(word)?;
    let rest = rest.strip_suffix("#feedbackplay").unwrap_or(rest);
    let mut parts = rest.splitn(4, ':');
    let path = parts.next()?;
    let (user, password, query) = (parts.next(), parts.next(), parts.next());
    let mut ask = Ask::new(Dialect::Colon);
    ask.mode = Some(mode);
    ask.user = user.filter(|user| !user.is_empty()).map(Into::into);
    ask.password = password.filter(|word| !word.is_empty()).map(Secret::new);
    ask.add_name(path, password);
    read_query(&mut ask, query.unwrap_or_default());
    Some(ask)
}

/// `publish/name`, `publish/name/password`, `play/name`.
fn slash(text: &str) -> Option<Ask> {
    let (word, rest) = text.split_once('/')?;
    let mode = verb(word)?;
    let mut ask = Ask::new(Dialect::Slash);
    ask.mode = Some(mode);
    ask.add_name(rest, None);
    if let Some((name, password)) = rest.rsplit_once('/') {
        ask.add_reading(Form::Password, name, Some(password));
    }
    (!ask.names.is_empty()).then_some(ask)
}

/// `host/app/stream`, where the host is one: it has a dot, or a port. A fourth part is a playlist's name.
fn host_app_stream(text: &str) -> Option<Ask> {
    let (host, rest) = text.split_once('/')?;
    if !host.contains(['.', ':']) || host.contains(char::is_whitespace) {
        return None;
    }
    let parts: Vec<_> = rest.split('/').collect();
    let (app, stream, whole, form) = match parts[..] {
        [app, stream] => (app, stream, Form::Whole, Form::Name),
        // With a playlist, the whole text is the only reading that no other stream shares.
        [app, stream, _] => (app, stream, Form::Name, Form::Short),
        _ => return None,
    };
    if app.is_empty() || stream.is_empty() {
        return None;
    }
    let mut ask = Ask::new(Dialect::Sls);
    // A stream that has the whole text for its name is meant by it.
    ask.add_reading(whole, text, None);
    ask.add_reading(form, &format!("{app}/{stream}"), None);
    ask.add_label("h", host);
    Some(ask)
}

/// Undoes what URLs do to a streamid on its way: some programs send `%23!::...` as it stands in their URL, some lose the `#`.
fn undo_url(text: &str) -> Cow<'_, str> {
    let decoded = percent_decode_str(text)
        .decode_utf8()
        .unwrap_or(Cow::Borrowed(text));
    if decoded.starts_with("!::") || decoded.starts_with("!:{") {
        Cow::Owned(format!("#{decoded}"))
    } else {
        decoded
    }
}

/// The streamid for people: what is not printable escaped, passwords masked.
pub(crate) fn shown(streamid: &[u8]) -> String {
    let escaped = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let Ok(text) = str::from_utf8(streamid) else {
        return mask_keys(&mask_login(escaped(streamid)));
    };
    // All dialects, whatever is switched on: a password is one in any of them.
    let ask = Ask::read(streamid, Dialects::all()).unwrap_or_default();
    let mut shown = mask_keys(&mask_login(escaped(undo_url(text).as_bytes())));
    for password in ask.names.iter().filter_map(|name| name.password.as_ref()) {
        // What may as well be a part of the name is masked too: better a name less than a password more.
        let password = escaped(password.expose().as_bytes());
        if let Some(at) = shown.rfind(&password) {
            shown.replace_range(at..at + password.len(), "***");
        }
    }
    shown
}

/// Masks user and password of a URL.
fn mask_login(mut text: String) -> String {
    if let Some(login) = login_in(&text) {
        text.replace_range(login, "***");
    }
    text
}

/// Masks the values of keys that hold passwords, wherever they stand: also in what cannot be read.
fn mask_keys(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(equals) = rest.find('=') {
        let (before, value) = rest.split_at(equals + 1);
        masked.push_str(before);
        let key = before[..equals]
            .rsplit([',', '&', '?', ':', '{', ';', '/', ' '])
            .next()
            .unwrap_or_default();
        let end = value.find([',', '&', '}']).unwrap_or(value.len());
        if is_secret_parameter(key) && end > 0 {
            masked.push_str("***");
            rest = &value[end..];
        } else {
            rest = value;
        }
    }
    masked + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Dialect, names with passwords, mode, user.
    type Told = (
        &'static str,
        Vec<(&'static str, Option<&'static str>)>,
        Option<AskMode>,
        Option<&'static str>,
    );

    fn told(streamid: &str) -> Ask {
        Ask::read(streamid.as_bytes(), Dialects::all()).unwrap_or_else(|why| panic!("{streamid:?}: {why}"))
    }

    fn names(ask: &Ask) -> Vec<(&str, Option<&str>)> {
        let name = |reading| {
            let Reading { stream, password, .. }: &Reading = reading;
            (stream.as_str(), password.as_ref().map(Secret::expose))
        };
        ask.names.iter().map(name).collect()
    }

    #[test]
    fn every_dialect_of_the_field() {
        use AskMode::{Publish, Request};
        let (publish, request) = (Some(Publish), Some(Request));
        let cases: Vec<(&str, Told)> = vec![
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
            let ask = told(streamid);
            assert_eq!(ask.dialect.map(Dialect::as_str), Some(dialect), "{streamid}");
            assert_eq!(names(&ask), wanted, "{streamid}");
            assert_eq!((ask.mode, ask.user.as_deref()), (mode, user), "{streamid}");
        }
        assert_eq!(told(""), Ask::default());
    }

    #[test]
    fn unknown_keys_are_labels_and_passwords_are_not() {
        let ask = told("#!::bmd_uuid=1-2,bmd_name=Web Presenter,r=key,m=publish,password=pw,s=pw2,u=al");
        assert_eq!(ask.label("bmd_name"), Some("Web Presenter"));
        assert_eq!(ask.labels.len(), 2);
        assert_eq!(told("srt://gw:9000/a/b?policy=x&pass=pw").labels.len(), 2);
        assert!(!format!("{ask:?}").contains("pw"), "{ask:?}");
    }

    #[test]
    fn a_dialect_that_is_off_is_not_read() {
        let only = |dialects: &[Dialect]| dialects.iter().copied().collect::<Dialects>();
        let read = |streamid: &str, dialects| Ask::read(streamid.as_bytes(), dialects);
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
                Ask::read(streamid.as_bytes(), Dialects::all()),
                Err(Unreadable::Name),
                "{streamid:?}"
            );
        }
        assert_eq!(names(&told("#!::r=Große Bühne 1")), [("Große Bühne 1", None)]);
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
        /// Whatever key a secret stands at, and in whichever form.
        #[test]
        fn no_secret_is_shown(
            secret in "[a-zA-Z0-9]{12,20}",
            form in prop::sample::select(vec![
                "#!::r=cam1,m=publish,KEY=SECRET", "#!:{r=cam1,KEY=SECRET}", "#!::r=cam1?KEY=SECRET,m=request",
                "srt://gw:9000/app/cam1?KEY=SECRET&x=1", "live/cam1?KEY=SECRET", "publish:cam1:u:pw:KEY=SECRET",
                "srt://u:SECRET@gw:9000/app/cam1", "#!::h=srt://u:SECRET@gw/x,r=cam1", "%23!::r=cam1,KEY=SECRET",
                "publish/cam1/SECRET", "read:cam1:u:SECRET",
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
            let read = Ask::read(&bytes, Dialects::all());
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
                let ask = told(&streamid);
                prop_assert_eq!(ask.mode, Some(AskMode::Publish));
                prop_assert!(names(&ask).contains(&(name.as_str(), Some(password.as_str()))), "{}", streamid);
                prop_assert!(!shown(streamid.as_bytes()).contains(&password), "{}", streamid);
            }
        }
    }
}
