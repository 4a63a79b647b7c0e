//! Bonded inputs and outputs: `srt://*` with `type` and `nodes`, in the notation of libsrt's own programs. Pure.

use std::fmt;

use super::{
    raw::Value,
    reader::{Field, Table},
};
use crate::address::{self, ZonedIp};

/// The host of a URL that denotes a group.
pub(crate) const ANY_HOST: &str = "*";

/// The links of a bonded connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bond {
    /// How they are used.
    pub kind: BondKind,
    /// The destinations, at least one.
    pub links: Vec<BondLink>,
}

/// How the links of a bonded connection are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BondKind {
    /// All links carry all data.
    Broadcast,
    /// One link carries the data: the working one with the greatest weight.
    Backup,
}

/// One link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BondLink {
    /// Name or address.
    pub host: String,
    /// The peer's port.
    pub port: u16,
    /// Its priority in a backup connection: 0 to 32767.
    pub weight: u16,
    /// The local address to send from, which selects the network of the link.
    pub adapter: Option<ZonedIp>,
}

impl fmt::Display for BondLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Reads `type` and `nodes` of an entry whose host is `*`. `adapter` applies to links without their own.
pub(crate) fn bond(table: &Table<'_>, adapter: Option<ZonedIp>) -> Option<Bond> {
    let kinds = [("broadcast", BondKind::Broadcast), ("backup", BondKind::Backup)];
    let kind = table.need("type").and_then(|item| item.choice(&kinds));
    let nodes = table.need("nodes")?;
    let mut links = Vec::new();
    for item in nodes.elements() {
        for text in item.text()?.split(',') {
            match link(text.trim(), adapter) {
                Some(link) => links.push(link),
                None => return report_invalid(&item),
            }
        }
    }
    // A repeated destination is no redundancy.
    if links.is_empty() || matches!(&nodes.node().value, Value::Array(items) if items.is_empty()) {
        return report_invalid(&nodes);
    }
    Some(Bond { kind: kind?, links })
}

fn report_invalid<T>(item: &Field<'_>) -> Option<T> {
    item.must_be(
        "a comma-separated list of links such as \"192.0.2.1:9000\" or \"host:9000?weight=10&adapter=192.0.2.7\"",
    );
    None
}

/// `host:port`, optionally followed by `?weight=N`, `?adapter=IP` or both, joined with `&`.
fn link(text: &str, adapter: Option<ZonedIp>) -> Option<BondLink> {
    let (place, query) = text.split_once('?').unwrap_or((text, ""));
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => rest
            .split_once("]:")
            .filter(|(ip, _)| ip.contains(':') && ip.parse::<ZonedIp>().is_ok())?,
        None => place
            .split_once(':')
            .filter(|(host, _)| !host.contains(|c: char| c.is_whitespace() || "$[]*/@".contains(c)))?,
    };
    let mut link = BondLink {
        host: (!host.is_empty()).then(|| address::in_one_form(host))?,
        port: port.parse().ok().filter(|port| *port != 0)?,
        weight: 0,
        adapter,
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=')? {
            ("weight", weight) => link.weight = weight.parse().ok().filter(|weight| *weight <= 32_767)?,
            ("adapter", ip) => link.adapter = Some(ip.parse().ok()?),
            _ => return None,
        }
    }
    Some(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_have_a_place_and_particulars() {
        let one = link("enc.example:9000", None).unwrap();
        assert_eq!((one.to_string().as_str(), one.weight), ("enc.example:9000", 0));
        let two = link("[2001:db8::1]:9000?weight=7&adapter=2001:db8::2", None).unwrap();
        assert_eq!(two.to_string(), "[2001:db8::1]:9000");
        assert_eq!((two.weight, two.adapter), (7, "2001:db8::2".parse().ok()));
        for wrong in [
            "",
            "host",
            "host:0",
            ":9000",
            "*:9000",
            "host:9000?weight=32768",
            "host:9000?weight",
            "host:9000?speed=1",
            "host:9000?adapter=eth0",
            "2001:db8::1:9000",
        ] {
            assert_eq!(link(wrong, None), None, "{wrong}");
        }
    }
}
