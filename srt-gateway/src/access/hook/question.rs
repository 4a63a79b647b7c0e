//! A question to the hook about a caller. Plain data; its body is the cache's key, so an answer is reused only for
//! exactly the same question.

use std::{fmt, net::IpAddr};

use serde::Serialize;
use srt_safe::SrtVersion;

use crate::{
    config::Secret,
    names::{Role, StreamName},
};

/// A question to the hook of `[auth]`. Contains nothing that differs between two attempts of the same caller.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct HookQuestion {
    pub(crate) role: Role,
    pub(crate) stream: StreamName,
    pub(crate) user: Option<Box<str>>,
    pub(crate) password: Option<Secret>,
    pub(crate) peer: IpAddr,
    /// The UDP port that was called.
    pub(crate) port: u16,
    pub(crate) streamid: Box<str>,
    /// Whether the caller uses encryption; None: the library does not show it.
    pub(crate) encrypted: Option<bool>,
    pub(crate) version: Option<SrtVersion>,
    pub(crate) labels: Vec<(Box<str>, Box<str>)>,
}

impl fmt::Debug for HookQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The streamid may contain a password, and so may labels of unknown keys.
        f.debug_struct("HookQuestion")
            .field("role", &self.role)
            .field("stream", &self.stream)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// The body, as `docs/access-control.md` describes it.
#[derive(Serialize)]
struct Body<'a> {
    event: &'static str,
    stream: &'a str,
    user: Option<&'a str>,
    password: Option<&'a str>,
    peer: IpAddr,
    port: u16,
    streamid: &'a str,
    encrypted: Option<bool>,
    version: Option<String>,
    labels: serde_json::Map<String, serde_json::Value>,
    gateway: &'a str,
}

impl HookQuestion {
    /// The JSON body of the POST.
    pub(crate) fn body(&self, gateway: &str) -> Vec<u8> {
        let labels = self.labels.iter();
        let body = Body {
            event: match self.role {
                Role::Publisher => "publish",
                Role::Viewer => "play",
            },
            stream: self.stream.as_str(),
            user: self.user.as_deref(),
            password: self.password.as_ref().map(Secret::expose),
            peer: self.peer.to_canonical(),
            port: self.port,
            streamid: &self.streamid,
            encrypted: self.encrypted,
            version: self.version.map(|version| version.to_string()),
            labels: labels
                .map(|(key, value)| (key.to_string(), value.to_string().into()))
                .collect(),
            gateway,
        };
        serde_json::to_vec(&body).expect("texts and numbers are always JSON")
    }
}
