//! Values that must not be seen: [`Secret`] and [`HttpUrl`]. Plain data, used on any thread.
//!
//! Does not compare in constant time and does not wipe memory: whoever checks a peer's password against one of
//! these does so with a crate made for it.

use std::fmt;

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

/// An `http://` or `https://` URL that the gateway calls. `Debug` and `Display` leave out user, password and query.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl {
    full: Secret,
    shown: Box<str>,
}

impl HttpUrl {
    /// Checks scheme, host and port.
    ///
    /// # Errors
    /// Words that say what is allowed; they never repeat the URL.
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

    /// The whole URL, with its user, password and query: for the HTTP client only.
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
