//! This gateway's identity in streamids: what it adds to those that it sends, and how it recognises its own calls.
//!
//! Pure. A call carries `a=srt-gateway/VERSION/NAME` and `s=INSTANCE.SESSION`; a relayed stream carries in addition
//! what its publisher's call carried, so a loop over any number of gateways is detected at its start.

use std::hash::{BuildHasher, Hasher, RandomState};

use srt_safe::StreamId;

use crate::names::SessionId;

/// The beginning of `a=` for all gateways of this kind.
const AGENT: &str = "srt-gateway/";

/// The number of gateways listed; longer loops do not occur in practice.
const HOPS: usize = 8;

/// This gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Differs for each start of a gateway. Empty: no identity, so nothing counts as a loop.
    instance: String,
    agent: String,
}

/// The calls that a stream has passed, the latest first: the value of `s=`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HopList(Vec<String>);

impl HopList {
    /// Parses the streamid of a caller that is a gateway; for others it is empty.
    pub(crate) fn of(streamid: &[u8]) -> Self {
        let Ok(id) = StreamId::new(streamid) else {
            return Self::default();
        };
        let Ok(fields) = id.fields() else {
            return Self::default();
        };
        let from_gateway = fields.get("a").is_some_and(|agent| agent.starts_with(AGENT));
        let hops = fields.session().filter(|_| from_gateway).unwrap_or_default();
        Self(
            hops.split('/')
                .filter(|hop| !hop.is_empty())
                .take(HOPS)
                .map(str::to_owned)
                .collect(),
        )
    }
}

/// Whether `session`, the `s=` of a caller whose `a=` is `agent`, has the format of this kind of gateway:
/// INSTANCE.SESSION, followed by earlier calls. A gateway with an explicit `s=` (a password, say) sends that instead.
pub(super) fn is_hops(agent: Option<&str>, session: &str) -> bool {
    let is_hop = |hop: &str| {
        hop.split_once('.').is_some_and(|(instance, number)| {
            instance.len() == 16
                && instance.bytes().all(|byte| byte.is_ascii_hexdigit())
                && !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    agent.is_some_and(|agent| agent.starts_with(AGENT)) && session.split('/').all(is_hop)
}

impl Identity {
    /// Creates a new identity for a gateway of this name.
    pub(crate) fn new(name: &str) -> Self {
        // The standard library's only source of randomness; the value must be unique, not secret.
        let instance = format!("{:016x}", RandomState::new().build_hasher().finish());
        let name: String = name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "._-".contains(c) {
                    c
                } else {
                    '_'
                }
            })
            .take(64)
            .collect();
        let agent = format!("{AGENT}{}/{name}", env!("CARGO_PKG_VERSION"));
        Self { instance, agent }
    }

    /// A number that differs between gateways.
    pub(crate) fn seed(&self) -> u64 {
        u64::from_str_radix(&self.instance, 16).unwrap_or_default()
    }

    /// Whether a caller with this streamid is this gateway, or brings a stream that has passed it before.
    pub(crate) fn is_in(&self, streamid: &[u8]) -> bool {
        let own = |hop: &String| {
            hop.split_once('.')
                .is_some_and(|(instance, _)| instance == self.instance)
        };
        !self.instance.is_empty() && HopList::of(streamid).0.iter().any(own)
    }

    /// Adds `s=` and `a=` to `streamid` if it has the standard form and lacks them. Other streamids, and ones that
    /// would become too long, stay unchanged.
    pub(crate) fn sign(&self, streamid: &str, session: SessionId, hop_list: &HopList) -> String {
        let Ok(id) = StreamId::new(streamid) else {
            return streamid.to_owned();
        };
        let Ok(fields) = id.fields() else {
            return streamid.to_owned();
        };
        let mut hops = vec![format!("{}.{session}", self.instance)];
        hops.extend(hop_list.0.iter().take(HOPS - 1).cloned());
        let own = [("s", hops.join("/")), ("a", self.agent.clone())];
        let mut added = own
            .iter()
            .filter(|(key, _)| fields.get(key).is_none())
            .map(|(key, value)| format!("{key}={value}"))
            .collect::<Vec<_>>()
            .join(",");
        if fields.iter().len() > 0 && !added.is_empty() {
            added.insert(0, ',');
        }
        let signed = match streamid
            .strip_suffix('}')
            .filter(|_| streamid.starts_with("#!:{"))
        {
            Some(open) => format!("{open}{added}}}"),
            None => format!("{streamid}{added}"),
        };
        if signed.len() > StreamId::MAX_LEN {
            streamid.to_owned()
        } else {
            signed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(streamid: &str) -> Vec<(String, String)> {
        let id = StreamId::new(streamid).unwrap();
        let fields = id.fields().unwrap_or_else(|error| panic!("{streamid}: {error}"));
        fields.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn only_what_a_gateway_says_of_itself_is_no_password() {
        let ours = Some("srt-gateway/0.1.0/gw1");
        assert!(is_hops(ours, "0123456789abcdef.7"));
        assert!(is_hops(ours, "0123456789abcdef.7/fedcba9876543210.12"));
        assert!(!is_hops(ours, "letmein"));
        assert!(!is_hops(ours, "0123456789abcdef.7/letmein"));
        assert!(!is_hops(Some("other/1"), "0123456789abcdef.7"));
        assert!(!is_hops(None, "0123456789abcdef.7"));
    }

    #[test]
    fn standard_streamids_are_signed_and_nothing_else_is_changed() {
        let identity = Identity::new("gw 1,x");
        let sign = |id: &str| identity.sign(id, SessionId(7), &HopList::default());
        for (id, keys) in [
            ("#!::r=cam1,m=publish", &["r", "m", "s", "a"][..]),
            ("#!::", &["s", "a"]),
            ("#!:{r=cam1,m=publish}", &["r", "m", "s", "a"]),
            ("#!::r=cam1,s=mine", &["r", "s", "a"]),
            ("#!::a=me,s=mine", &["a", "s"]),
        ] {
            let signed = sign(id);
            let found = fields(&signed);
            assert_eq!(
                found.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(),
                keys,
                "{signed}"
            );
            assert!(signed.starts_with(id.trim_end_matches('}')));
        }
        for other in ["cam1", "", "publish:cam1", "#!::broken", "#!:"] {
            assert_eq!(sign(other), other);
        }
        let long = format!("#!::r={}", "x".repeat(500));
        assert_eq!(sign(&long), long);
        let agent = fields(&sign("#!::")).pop().unwrap().1;
        assert_eq!(agent, format!("srt-gateway/{}/gw_1_x", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn a_gateway_knows_its_own_calls_again_and_no_others() {
        let (a, b) = (Identity::new("a"), Identity::new("b"));
        let call = a.sign("#!::r=x,m=publish", SessionId(1), &HopList::default());
        assert!(a.is_in(call.as_bytes()));
        assert!(!b.is_in(call.as_bytes()));
        assert!(!Identity::default().is_in(call.as_bytes()));
        assert!(!a.is_in(b"#!::r=x,s=letmein"));
        assert!(!a.is_in(b"\xff\xff"));
    }

    #[test]
    fn a_loop_over_several_gateways_comes_back_to_its_start() {
        let gateways: Vec<_> = ["a", "b", "c"].into_iter().map(Identity::new).collect();
        let mut hop_list = HopList::default();
        let mut call = String::new();
        for gateway in &gateways {
            assert!(!gateway.is_in(call.as_bytes()));
            call = gateway.sign("#!::r=x,m=publish", SessionId(3), &hop_list);
            hop_list = HopList::of(call.as_bytes());
        }
        assert!(
            gateways.iter().all(|gateway| gateway.is_in(call.as_bytes())),
            "{call}"
        );
    }
}
