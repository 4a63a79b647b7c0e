//! Values that must not be shown, [`Secret`] and [`HttpUrl`], and the rule for names that indicate secrets. Plain data,
//! used on any thread.
//!
//! It neither compares in constant time nor wipes memory: code that checks a peer's password uses a crate made for
//! that.

use std::{fmt, ops::Range};

/// A passphrase, password, token or key of the configuration. `Debug` prints `Secret(..)`; there is no `Display`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The secret itself. Never pass it to a log, an error or a metric.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// An `http://` or `https://` URL that the gateway calls. `Debug` and `Display` omit user, password and query.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl {
    full: Secret,
    shown: Box<str>,
}

impl HttpUrl {
    /// Checks scheme, host and port.
    ///
    /// # Errors
    /// What is allowed; never repeats the URL.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let Some((scheme @ ("http" | "https"), rest)) = text.split_once("://") else {
            return Err("an http:// or https:// URL");
        };
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("a URL without spaces or control characters");
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        if !host_is_valid(host) {
            return Err("a URL with a host, as in http://127.0.0.1:8000/path");
        }
        let path = &tail[..tail.find(['?', '#']).unwrap_or(tail.len())];
        Ok(Self {
            full: Secret::new(text),
            shown: format!("{scheme}://{host}{path}").into(),
        })
    }

    /// The whole URL, with user, password and query: for the HTTP client only.
    pub fn expose(&self) -> &str {
        self.full.expose()
    }
}

fn host_is_valid(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(v6) => match v6.split_once(']') {
            Some((ip, rest)) if ip.parse::<std::net::Ipv6Addr>().is_ok() => match rest.strip_prefix(':') {
                Some(port) => (ip, Some(port)),
                None if rest.is_empty() => (ip, None),
                None => return false,
            },
            _ => return false,
        },
        None => host
            .split_once(':')
            .map_or((host, None), |(name, port)| (name, Some(port))),
    };
    !name.is_empty() && port.is_none_or(|p| p.parse::<u16>().is_ok_and(|p| p != 0))
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpUrl({})", self.shown)
    }
}

/// Parts of names that indicate secrets, without separators.
const WORDS: [&str; 18] = [
    "pass",
    "psk",
    "secret",
    "token",
    "pwd",
    "credential",
    "jwt",
    "apikey",
    "accesskey",
    "privatekey",
    "secretkey",
    "streamkey",
    "signature",
    "authorization",
    "bearer",
    "cookie",
    "hmac",
    // Whoever knows the path of a webhook of Slack can post to it.
    "slackurl",
];

/// Further names of URL or streamid parameters that contain secrets, besides [`WORDS`]. Some keys of the configuration
/// have such names and are no secrets: `key` of `[api.tls]` is a path.
const PARAMETERS: [&str; 8] = ["s", "p", "pw", "key", "auth", "sig", "sign", "pin"];

fn bare(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|c| c.to_ascii_lowercase()).collect()
}

/// Whether a key of this name holds a secret, wherever it occurs.
pub(crate) fn is_secret_name(name: &str) -> bool {
    let name = bare(name);
    WORDS.iter().any(|word| name.contains(word))
}

/// Whether a parameter of a URL or a key of a streamid holds a secret.
pub(crate) fn is_secret_parameter(name: &str) -> bool {
    is_secret_name(name) || PARAMETERS.contains(&bare(name).as_str())
}

/// The position of user and password in the first URL of a text.
pub(crate) fn login_in(text: &str) -> Option<Range<usize>> {
    let from = text.find("://")? + 3;
    let rest = &text[from..];
    let authority = &rest[..rest.find(['/', '?', '#', ',']).unwrap_or(rest.len())];
    if let Some(at) = authority.rfind('@') {
        return Some(from..from + at);
    }
    // A password may contain any character literally: then the text after the colon is no port.
    let (_, port) = authority.rsplit_once(':')?;
    let is_port = port.ends_with(']') || !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let at = rest.rfind('@').filter(|_| !is_port)?;
    Some(from..from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_found_and_a_host_is_none() {
        for (text, login) in [
            ("srt://al:pw@gw:9000/a", Some("al:pw")),
            ("see srt://al:p/w?@x@gw:9000", Some("al:p/w?@x")),
            ("srt://[::1]:9000?x=a@b", None),
            ("srt://gw:9000/a?x=a@b", None),
            ("srt://gw/a@b", None),
            ("a@b", None),
        ] {
            assert_eq!(login_in(text).map(|login| &text[login]), login, "{text}");
        }
    }
}
