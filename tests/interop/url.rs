//! Addresses with their parameters, in the syntax of each client. Pure.

use crate::rows::{Client, Id, Key, Mode, Role, Row};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The stream of all rows.
pub(crate) const STREAM: &str = "live/demo";

/// The passphrase of all encrypted rows.
pub(crate) const PASSPHRASE: &str = "correct-horse-battery";

/// Where a client connects or listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The gateway's address, or the client's own if it listens.
    pub(crate) addr: SocketAddr,
    /// The client's own address, for a rendezvous.
    pub(crate) local: Option<IpAddr>,
    /// The client's role; in the documentation, lines have none.
    pub(crate) latency: Option<Duration>,
}

/// The streamid as it is written; empty for none.
pub(crate) fn streamid(id: Id, role: Role) -> String {
    let publish = role == Role::Publish;
    let standard = format!("#!::r={STREAM},m={}", if publish { "publish" } else { "request" });
    match id {
        Id::None => String::new(),
        Id::Raw => standard,
        Id::Encoded => percent_encoded(&standard),
        Id::Path => format!("{}/{STREAM}", if publish { "publish" } else { "play" }),
        Id::Colon => format!("{}:{STREAM}", if publish { "publish" } else { "read" }),
    }
}

/// The address that this row's client uses.
pub(crate) fn url(row: &Row, place: &Place) -> String {
    let mut parameters = Vec::new();
    match row.mode {
        Mode::Shared | Mode::Own => {}
        Mode::Listener => parameters.push("mode=listener".to_owned()),
        Mode::Rendezvous => parameters.push("mode=rendezvous".to_owned()),
    }
    parameters.extend(place.local.map(|local| format!("adapter={local}")));
    // VLC's output parses the rest as options of its command line.
    if (row.client, row.role) != (Client::Vlc, Role::Publish) {
        let latency = place.latency.map(|latency| match row.client {
            // libavformat uses microseconds.
            Client::Ffmpeg | Client::NewFfmpeg | Client::Mpv => latency.as_micros(),
            _ => latency.as_millis(),
        });
        parameters.extend(latency.map(|latency| format!("latency={latency}")));
        if row.id != Id::None {
            parameters.push(format!("streamid={}", streamid(row.id, row.role)));
        }
        if row.key != Key::None {
            parameters.push(format!("passphrase={PASSPHRASE}"));
            // VLC accepts it as an option only.
            if row.client != Client::Vlc {
                parameters.push(format!("pbkeylen={}", row.key.bytes()));
            }
        }
    }
    if row.role == Role::Publish && matches!(row.client, Client::Ffmpeg | Client::NewFfmpeg) {
        parameters.push("pkt_size=1316".to_owned());
    }
    let mut url = format!("srt://{}", place.addr);
    if !parameters.is_empty() {
        write!(url, "?{}", parameters.join("&")).expect("a String takes everything");
    }
    url
}

fn percent_encoded(value: &str) -> String {
    value.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes everything");
        }
        encoded
    })
}
