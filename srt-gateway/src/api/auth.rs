//! Authorization over HTTP: bearer tokens with scopes, the `Host` check against DNS rebinding, and the check that no
//! page of another site causes a write.
//!
//! Tokens are stored and compared as digests, in constant time. Without any token, everybody who reaches the address
//! may do everything; the configuration allows that on loopback only.

use std::{sync::Arc, time::Instant};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    App, Peer,
    audit::{Outcome, RequestInfo, recorded},
    problem::Problem,
};
use crate::{address::ZonedIp, config};

/// The sender of a request with an unknown token, in the audit log ...
const UNKNOWN: &str = "unknown token";

/// ... and of one without a token.
const NOBODY: &str = "no token";

/// What a token allows. Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// To look.
    Read,
    /// To start and stop outputs, switch inputs, kick and ban, and to acknowledge and silence alarms.
    Operate,
    /// To change the configuration, the log level, and to drain.
    Admin,
}

impl From<config::TokenScope> for Scope {
    fn from(scope: config::TokenScope) -> Self {
        match scope {
            config::TokenScope::Read => Self::Read,
            config::TokenScope::Operate => Self::Operate,
            config::TokenScope::Admin => Self::Admin,
        }
    }
}

/// The sender of a request: the name of its token.
#[derive(Clone, Debug)]
pub(crate) struct Actor(pub(crate) Arc<str>);

/// A token.
#[derive(Debug)]
struct StoredToken {
    digest: [u8; 32],
    scope: Scope,
    name: Arc<str>,
}

impl StoredToken {
    fn new(token: &config::Secret, scope: Scope, name: &str) -> Self {
        Self {
            digest: digested(token.expose()),
            scope,
            name: name.into(),
        }
    }
}

/// The tokens of `[api]`.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// The configuration that they come from.
    pub(crate) config: Arc<config::Config>,
    known: Vec<StoredToken>,
    hosts: Vec<String>,
}

impl Tokens {
    pub(crate) fn of(config: Arc<config::Config>) -> Self {
        let api = &config.api;
        let first = api.token.iter();
        let first = first.map(|token| StoredToken::new(token, Scope::Admin, "the token of [api]"));
        let others = api.tokens.iter().enumerate().map(|(at, token)| {
            let place = format!("tokens[{at}] of [api]");
            let name = token.name.as_deref().unwrap_or(&place);
            StoredToken::new(&token.token, token.scope.into(), name)
        });
        Self {
            known: first.chain(others).collect(),
            hosts: api.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            config: Arc::clone(&config),
        }
    }

    fn is_open(&self) -> bool {
        self.known.is_empty()
    }

    /// The scope and name of the request's token; None: it has no known token. Compares all tokens, whichever matches,
    /// to take constant time.
    fn identify(&self, headers: &HeaderMap) -> Option<(Scope, Actor)> {
        if self.is_open() {
            return Some((Scope::Admin, Actor("the API (no token is set)".into())));
        }
        let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = given.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let given = digested(token.trim());
        let fits = |known: &&StoredToken| verify_slices_are_equal(&known.digest, &given).is_ok();
        let fitting: Vec<_> = self.known.iter().filter(fits).collect();
        let most = fitting.into_iter().max_by_key(|known| known.scope)?;
        Some((most.scope, Actor(Arc::clone(&most.name))))
    }

    /// Whether the `Host` header rules out DNS rebinding. An address cannot be rebound, and where tokens are required,
    /// a foreign page has none.
    fn knows_host(&self, headers: &HeaderMap) -> bool {
        if !self.is_open() {
            return true;
        }
        let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else {
            return false;
        };
        let name = name_of(host).to_ascii_lowercase();
        name == "localhost"
            || name.ends_with(".localhost")
            || name.parse::<ZonedIp>().is_ok()
            || self.hosts.contains(&name)
    }
}

fn digested(token: &str) -> [u8; 32] {
    let digest = digest(&SHA256, token.as_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

/// The host without its port, and an IPv6 address without brackets.
fn name_of(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(ip, _)| ip);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

/// Whether the browser's headers show that a page of another site sent the request.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let fetch_site = headers
        .get("sec-fetch-site")
        .and_then(|value| value.to_str().ok());
    if let Some(site) = fetch_site {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text(header::ORIGIN) else {
        return false;
    };
    let authority = origin.split_once("://").map_or(origin, |(_, rest)| rest);
    text(header::HOST) != Some(authority)
}

/// The scope that a request requires.
fn needed(method: &Method, path: &str) -> Option<Scope> {
    let Some(rest) = path.strip_prefix("/api/v1/") else {
        // The console's files contain no secrets, and probes have no tokens.
        return (path == "/metrics").then_some(Scope::Read);
    };
    if matches!(*method, Method::GET | Method::HEAD) {
        // It reveals from where operators work, and the names of their tokens.
        return Some(if rest == "audit" {
            Scope::Operate
        } else {
            Scope::Read
        });
    }
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| rest.starts_with(prefix));
    // POST to an endpoint starts, stops or switches it; PUT and DELETE change its definition.
    let operates = begins(&["sessions/", "bans", "alarms/", "maintenance"])
        || (rest.starts_with("streams/") && rest.ends_with("/expected-off"))
        || (*method == Method::POST && begins(&["inputs/", "outputs/"]));
    Some(if operates { Scope::Operate } else { Scope::Admin })
}

/// Whether this is the path of a probe, which is answered whatever else the API is doing.
pub(super) fn is_probe(uri: &Uri) -> bool {
    matches!(uri.path(), "/healthz" | "/readyz")
}

/// Passes an authorized request on with its [`Scope`], or refuses it.
pub(super) async fn guard(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    // Behind a proxy, all clients share one address: too many requests must not make a probe fail and get the gateway
    // restarted.
    let is_probe = is_probe(request.uri());
    if let Some(peer) = peer.filter(|_| !is_probe)
        && let Err(wait) = app.rates.request(peer)
    {
        return Problem::too_many(wait).into_response();
    }
    let tokens = app.tokens();
    let headers = request.headers();
    if headers.get_all(header::HOST).iter().count() > 1 {
        return Problem::bad_request("it has more than one Host header").into_response();
    }
    if !tokens.knows_host(headers) {
        let told = "the Host header is neither an address nor localhost: add the name to hosts of [api], or set a token";
        return Problem::wrong_host(told).into_response();
    }
    let method = request.method();
    let changes_something = !matches!(*method, Method::GET | Method::HEAD);
    if changes_something && is_cross_site(headers) {
        return Problem::cross_site("requests that change something come from pages of this gateway only")
            .into_response();
    }
    let known = tokens.identify(headers);
    if known.is_some()
        && let Some(peer) = peer
    {
        app.handshakes.note_client(peer, Instant::now());
    }
    let Some(needed) = needed(method, request.uri().path()) else {
        return next.run(request).await;
    };
    let is_given = headers.contains_key(header::AUTHORIZATION);
    let mut info = RequestInfo {
        by: String::new(),
        address: peer,
        method: method.clone(),
        path: request.uri().path().to_owned(),
    };
    match known {
        None => {
            // The console sends a request without a token to find out whether it needs one.
            let waits = peer.map_or(Ok(()), |peer| app.rates.failed_login(peer));
            if is_given || changes_something {
                let (by, error) = match is_given {
                    true => (UNKNOWN, "the token is not known"),
                    false => (NOBODY, "no token was sent"),
                };
                by.clone_into(&mut info.by);
                app.record_refused(&info, StatusCode::UNAUTHORIZED, error);
            }
            match waits {
                Ok(()) => Problem::unauthorized("send Authorization: Bearer TOKEN").into_response(),
                Err(wait) => Problem::too_many(wait).into_response(),
            }
        }
        Some((scope, actor)) if scope < needed => {
            let told = format!("it needs the scope {needed:?}, and the token has {scope:?}").to_lowercase();
            actor.0.as_ref().clone_into(&mut info.by);
            app.record_refused(&info, StatusCode::FORBIDDEN, &told);
            Problem::forbidden(told).into_response()
        }
        Some((scope, actor)) => {
            actor.0.as_ref().clone_into(&mut info.by);
            request.extensions_mut().insert(scope);
            request.extensions_mut().insert(actor);
            let served = next.run(request);
            if changes_something {
                recorded(app, info, served).await
            } else {
                served.await
            }
        }
    }
}

impl App {
    fn record_refused(&self, info: &RequestInfo, status: StatusCode, why: &str) {
        let entry = info.entry(Outcome::Refused, status.as_u16(), Some(why.to_owned()));
        self.store
            .audit
            .add_refused(entry, &self.view.events, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.insert(
                header::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
        }
        map
    }

    #[test]
    fn a_foreign_name_is_refused_where_no_token_is_needed() {
        let open = Tokens {
            config: Arc::default(),
            known: Vec::new(),
            hosts: vec!["gw.example".to_owned()],
        };
        let knows = |host| open.knows_host(&headers(&[("host", host)]));
        for host in [
            "127.0.0.1:9980",
            "[::1]:9980",
            "localhost",
            "GW.example:1",
            "x.localhost:80",
        ] {
            assert!(knows(host), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:9980",
            "",
            "localhost.evil.example",
        ] {
            assert!(!knows(host), "{host}");
        }
        assert!(!open.knows_host(&HeaderMap::new()));
    }

    #[test]
    fn the_scope_is_that_of_the_token() {
        let tokens = Tokens {
            config: Arc::default(),
            known: [("one", Scope::Read), ("two", Scope::Admin)]
                .map(|(token, scope)| StoredToken::new(&config::Secret::new(token), scope, token))
                .into(),
            hosts: Vec::new(),
        };
        let scope = |value| {
            let known = tokens.identify(&headers(&[("authorization", value)]));
            known.map(|(scope, _)| scope)
        };
        assert_eq!(scope("Bearer one"), Some(Scope::Read));
        assert_eq!(scope("bearer two"), Some(Scope::Admin));
        for wrong in ["Bearer", "Bearer ", "Basic two", "Bearer three", "two"] {
            assert_eq!(scope(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn pages_of_other_sites_are_told_apart() {
        let host = ("host", "127.0.0.1:9980");
        assert!(!is_cross_site(&headers(&[host])));
        assert!(!is_cross_site(&headers(&[
            host,
            ("origin", "http://127.0.0.1:9980")
        ])));
        assert!(is_cross_site(&headers(&[
            host,
            ("origin", "http://evil.example")
        ])));
        assert!(is_cross_site(&headers(&[host, ("origin", "null")])));
        assert!(is_cross_site(&headers(&[host, ("sec-fetch-site", "cross-site")])));
        assert!(is_cross_site(&headers(&[host, ("sec-fetch-site", "same-site")])));
    }

    #[test]
    fn what_changes_the_configuration_needs_an_admin() {
        for (method, path, scope) in [
            (Method::GET, "/api/v1/streams", Some(Scope::Read)),
            (Method::PUT, "/api/v1/streams/a", Some(Scope::Admin)),
            (Method::POST, "/api/v1/streams/a/outputs", Some(Scope::Admin)),
            (Method::DELETE, "/api/v1/outputs/o-1", Some(Scope::Admin)),
            (Method::PUT, "/api/v1/inputs/i-1", Some(Scope::Admin)),
            (
                Method::DELETE,
                "/api/v1/bans/192.0.2.0%2F24",
                Some(Scope::Operate),
            ),
            (Method::POST, "/api/v1/reload", Some(Scope::Admin)),
            (Method::POST, "/api/v1/outputs/o-1/stop", Some(Scope::Operate)),
            (Method::POST, "/api/v1/inputs/i-1/switch", Some(Scope::Operate)),
            (Method::DELETE, "/api/v1/sessions/4", Some(Scope::Operate)),
            (Method::POST, "/api/v1/bans", Some(Scope::Operate)),
            (Method::POST, "/api/v1/drain", Some(Scope::Admin)),
            (Method::DELETE, "/api/v1/drain", Some(Scope::Admin)),
            (Method::PUT, "/api/v1/log", Some(Scope::Admin)),
            (Method::GET, "/metrics", Some(Scope::Read)),
            (Method::GET, "/api/v1/audit", Some(Scope::Operate)),
            (Method::GET, "/healthz", None),
            (Method::GET, "/", None),
        ] {
            assert_eq!(needed(&method, path), scope, "{method} {path}");
        }
    }
}
