//! Parses streamids: which stream a caller requests, in which role, and as which user.
//!
//! Pure functions over bytes. Each format in use is a [`Dialect`], and each can be disabled (`streamid_dialects` of
//! `[gateway]`). Some texts have two readings (`publish/live/cam1` is the stream `live/cam1`, or the stream `live` with
//! a password): all readings are kept, and `decide` chooses one.

use std::{borrow::Cow, fmt};

use percent_encoding::percent_decode_str;
use srt_safe::{Mode, StreamId, StreamIdError};

use super::identity::is_hops;
use crate::{
    config::{Dialect, Dialects, Secret, is_secret_parameter, login_in},
    names::StreamName,
};

/// What a caller requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamRequest {
    /// The format; None: there is no streamid.
    pub(crate) dialect: Option<Dialect>,
    /// The readings of the name, the preferred one first; empty if no stream is named.
    pub(crate) names: Vec<Reading>,
    /// The requested mode, if given.
    pub(crate) mode: Option<RequestMode>,
    /// The password without a stream name: on a stream's own port no name is needed.
    pub(crate) password: Option<Secret>,
    /// The user.
    pub(crate) user: Option<Box<str>>,
    /// Other keys, including unknown ones; never a password.
    pub(crate) labels: Vec<(Box<str>, Box<str>)>,
}

/// One reading of the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) stream: StreamName,
    /// The password in this reading.
    pub(crate) password: Option<Secret>,
    pub(crate) form: Form,
}

/// How a reading interprets the text. In all forms but [`Form::Name`], several texts may name the same stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The name as the dialect defines it.
    Name,
    /// The whole text, including a host that belongs to the name only if a stream is called so.
    Whole,
    /// Without the application or the playlist.
    Short,
    /// The last part of the path is a password.
    Password,
}

/// What a caller wants to do (`m=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestMode {
    /// `m=publish`: send.
    Publish,
    /// `m=request`: receive.
    Request,
}

/// Why a streamid cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It violates the standard form.
    Syntax(StreamIdError),
    /// It is not UTF-8.
    NotText,
    /// `m=bidirectional`.
    Bidirectional,
    /// Its format is not enabled.
    Dialect(Dialect),
    /// It is a URL without a stream name.
    Url,
    /// The stream name contains control characters or similar.
    Name,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(error) => write!(f, "the streamid cannot be read: {error}"),
            Self::NotText => f.write_str("the streamid is not UTF-8 text"),
            Self::Bidirectional => f.write_str(
                "m=bidirectional is not supported: connect once with m=publish and once with m=request",
            ),
            Self::Dialect(dialect) => write!(
                f,
                "the streamid uses the dialect {:?}, which streamid_dialects of [gateway] does not list",
                dialect.as_str()
            ),
            Self::Url => f.write_str("the streamid is a URL without a path, so it names no stream"),
            Self::Name => f.write_str(
                "the stream name contains a control character, a line separator, a bidirectional formatting character, or a \
                 component `.` or `..`: choose a name without them",
            ),
        }
    }
}

impl StreamRequest {
    /// Parses the bytes of the handshake.
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
        let request = read_text(text, dialects)?;
        let is_legal = |name: &Reading| StreamName::is_legal(name.stream.as_str());
        match request.names.iter().all(is_legal) {
            true => Ok(request),
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

/// Tries the dialects, those with the most distinctive marks first; the plain name takes the rest.
fn read_text(text: &str, dialects: Dialects) -> Result<StreamRequest, Unreadable> {
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
    if let Some(request) = colon(text)
        && on(Dialect::Colon)
    {
        return Ok(request);
    }
    if let Some(request) = slash(text)
        && on(Dialect::Slash)
    {
        return Ok(request);
    }
    if let Some(request) = comma(text)
        && on(Dialect::Comma)
    {
        return Ok(request);
    }
    if let Some(request) = name_with_query(text)
        && on(Dialect::Srs)
    {
        return Ok(request);
    }
    if let Some(request) = host_app_stream(text)
        && on(Dialect::Sls)
    {
        return Ok(request);
    }
    if on(Dialect::Plain) {
        let mut request = StreamRequest::new(Dialect::Plain);
        request.add_name(text, None);
        return Ok(request);
    }
    Err(Unreadable::Dialect(off.unwrap_or(Dialect::Plain)))
}

/// `#!::r=name,m=publish,u=user,s=secret`, and vendors' variants.
fn standard(text: &str, dialects: Dialects) -> Result<StreamRequest, Unreadable> {
    let id = StreamId::new(text).map_err(Unreadable::Syntax)?;
    let fields = id.fields().map_err(Unreadable::Syntax)?;
    let mut request = StreamRequest::new(Dialect::Standard);
    request.mode = match fields.get("m").map(|_| fields.mode()) {
        None => None,
        Some(Mode::Publish) => Some(RequestMode::Publish),
        Some(Mode::Request) => Some(RequestMode::Request),
        Some(_) => return Err(Unreadable::Bidirectional),
    };
    request.user = fields.user().filter(|user| !user.is_empty()).map(Into::into);
    // Some use `s=` as a session id and others as a password: it counts as the password if there is no other, unless a
    // gateway sent it.
    let password = fields
        .get("password")
        .or_else(|| {
            let session = fields.session();
            session.filter(|session| !is_hops(fields.get("a"), session))
        })
        .filter(|word| !word.is_empty());
    request.password = password.map(Secret::new);
    for (key, value) in fields.iter() {
        if !matches!(key, "r" | "m" | "u" | "s" | "password") {
            request.add_label(key, value);
        }
    }
    let resource = fields.resource().filter(|name| !name.is_empty());
    if let (Some(app), Some(name)) = (request.label("sls_app").map(str::to_owned), resource)
        && dialects.has(Dialect::Sls)
    {
        request.dialect = Some(Dialect::Sls);
        request.add_name(&format!("{app}/{name}"), password);
        request.add_reading(Form::Short, name, password);
    } else if let Some(name) = resource {
        request.add_name(name, password);
    }
    if dialects.has(Dialect::Srs) {
        srs(&mut request, resource, password);
    }
    Ok(request)
}

/// SRS: `r=app/stream?key=value`, or the stream after the host, `h=host/app/stream`.
fn srs(request: &mut StreamRequest, resource: Option<&str>, password: Option<&str>) {
    if let Some((name, query)) = resource.and_then(|resource| resource.split_once('?')) {
        request.dialect = Some(Dialect::Srs);
        request.names.clear();
        request.add_name(name, password);
        read_query(request, query);
    }
    let behind_host = request.label("h").and_then(|host| host.split_once('/'));
    if let (None, Some((_, name))) = (resource, behind_host.map(|(h, n)| (h.to_owned(), n.to_owned()))) {
        request.dialect = Some(Dialect::Srs);
        request.add_name(&name, password);
    }
}

/// `srt://host/app/stream?key=value` without its scheme, as pasted into a streamid field.
fn nested_url(rest: &str) -> Result<StreamRequest, Unreadable> {
    let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, path) = location.split_once('/').unwrap_or((location, ""));
    let mut request = StreamRequest::new(Dialect::Url);
    request.add_label("h", host);
    request.add_name(path, None);
    read_query(&mut request, query);
    if request.names.is_empty() {
        return Err(Unreadable::Url);
    }
    Ok(request)
}

/// `key=value&key=value`: mode, user and password; the rest become labels.
fn read_query(request: &mut StreamRequest, query: &str) {
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        read_pair(request, key, value);
    }
}

fn read_pair(request: &mut StreamRequest, key: &str, value: &str) {
    match key {
        "m" | "mode" if mode(value).is_some() => request.mode = mode(value),
        "u" | "user" => request.user = Some(value.into()),
        "pass" | "password" | "passphrase" | "s" => {
            request.password = Some(Secret::new(value));
            for name in &mut request.names {
                name.password = Some(Secret::new(value));
            }
        }
        _ => request.add_label(key, value),
    }
}

/// The words for the mode in a query. SRS and its clients use push and pull.
fn mode(word: &str) -> Option<RequestMode> {
    match word {
        "push" => Some(RequestMode::Publish),
        "pull" => Some(RequestMode::Request),
        word => verb(word),
    }
}

fn verb(word: &str) -> Option<RequestMode> {
    match word {
        "publish" => Some(RequestMode::Publish),
        "read" | "play" | "request" | "subscribe" => Some(RequestMode::Request),
        _ => None,
    }
}

/// `publish:path[:user:password[:query]]`, `read:path...`; some players add `#feedbackplay`.
fn colon(text: &str) -> Option<StreamRequest> {
    let (word, rest) = text.split_once(':')?;
    let mode = verb(word)?;
    let rest = rest.strip_suffix("#feedbackplay").unwrap_or(rest);
    let mut parts = rest.splitn(4, ':');
    let path = parts.next()?;
    let (user, password, query) = (parts.next(), parts.next(), parts.next());
    let mut request = StreamRequest::new(Dialect::Colon);
    request.mode = Some(mode);
    request.user = user.filter(|user| !user.is_empty()).map(Into::into);
    request.password = password.filter(|word| !word.is_empty()).map(Secret::new);
    request.add_name(path, password);
    read_query(&mut request, query.unwrap_or_default());
    Some(request)
}

/// `name,mode:publish,token:secret`, as in datarhei Restreamer, and `name,m=publish`: the standard form without its
/// prefix. A name with commas is a plain one unless a mode follows.
fn comma(text: &str) -> Option<StreamRequest> {
    let (name, rest) = text.split_once(',')?;
    let mut request = StreamRequest::new(Dialect::Comma);
    request.add_name(name, None);
    for pair in rest.split(',') {
        let (key, value) = pair.split_once(['=', ':'])?;
        read_pair(&mut request, if key == "token" { "password" } else { key }, value);
    }
    (request.mode.is_some() && !request.names.is_empty()).then_some(request)
}

/// `app/stream?m=publish&key=value`, an SRS resource on its own. A name with a question mark is a plain one unless a
/// mode follows.
fn name_with_query(text: &str) -> Option<StreamRequest> {
    let (name, query) = text.split_once('?')?;
    let mut request = StreamRequest::new(Dialect::Srs);
    request.add_name(name, None);
    read_query(&mut request, query);
    (request.mode.is_some() && !request.names.is_empty()).then_some(request)
}

/// `publish/name`, `publish/name/password`, `play/name`.
fn slash(text: &str) -> Option<StreamRequest> {
    let (word, rest) = text.split_once('/')?;
    let mode = verb(word)?;
    let mut request = StreamRequest::new(Dialect::Slash);
    request.mode = Some(mode);
    request.add_name(rest, None);
    if let Some((name, password)) = rest.rsplit_once('/') {
        request.add_reading(Form::Password, name, Some(password));
    }
    (!request.names.is_empty()).then_some(request)
}

/// `host/app/stream`, if the first part has a dot or a port. A fourth part is the name of a playlist.
fn host_app_stream(text: &str) -> Option<StreamRequest> {
    let (host, rest) = text.split_once('/')?;
    if !host.contains(['.', ':']) || host.contains(char::is_whitespace) {
        return None;
    }
    let parts: Vec<_> = rest.split('/').collect();
    let (app, stream, whole, form) = match parts[..] {
        [app, stream] => (app, stream, Form::Whole, Form::Name),
        // With a playlist, only the reading of the whole text is unique to one stream.
        [app, stream, _] => (app, stream, Form::Name, Form::Short),
        _ => return None,
    };
    if app.is_empty() || stream.is_empty() {
        return None;
    }
    let mut request = StreamRequest::new(Dialect::Sls);
    // If a stream has the whole text as its name, that stream is meant.
    request.add_reading(whole, text, None);
    request.add_reading(form, &format!("{app}/{stream}"), None);
    request.add_label("h", host);
    Some(request)
}

/// Undoes URL encoding of a streamid: some programs send `%23!::...` as in their URL, and some drop the `#`.
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

/// The streamid for display: unprintable characters escaped, passwords masked.
pub(crate) fn shown(streamid: &[u8]) -> String {
    let escaped = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let Ok(text) = str::from_utf8(streamid) else {
        return mask_keys(&mask_login(escaped(streamid)));
    };
    // All dialects, whatever is enabled: a password is one in any of them.
    let request = StreamRequest::read(streamid, Dialects::all()).unwrap_or_default();
    let mut shown = mask_keys(&mask_login(escaped(undo_url(text).as_bytes())));
    for password in request.names.iter().filter_map(|name| name.password.as_ref()) {
        // A part that may be either name or password is masked: hiding a name is better than showing a password.
        let password = escaped(password.expose().as_bytes());
        if let Some(at) = shown.rfind(&password) {
            shown.replace_range(at..at + password.len(), "***");
        }
    }
    shown
}

/// Masks the user and password of a URL.
fn mask_login(mut text: String) -> String {
    if let Some(login) = login_in(&text) {
        text.replace_range(login, "***");
    }
    text
}

/// Masks the values of password keys anywhere, even in unreadable text. A key ends with `=`, or after a comma with `:`.
fn mask_keys(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(end) = rest.find(['=', ':']) {
        let (before, value) = rest.split_at(end + 1);
        masked.push_str(before);
        if before.ends_with(':') && !is_behind_a_comma(&masked) {
            rest = value;
            continue;
        }
        let key = before[..end]
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

/// Whether a comma precedes the key at the end of `text`.
fn is_behind_a_comma(text: &str) -> bool {
    let key = text.trim_end_matches(':');
    key.rfind(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-'))
        .is_some_and(|at| key[at..].starts_with(','))
}

#[cfg(test)]
mod tests;
