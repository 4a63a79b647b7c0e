//! An SRT address with its parameters, in the dialects of the two programs.
//!
//! The programs agree on the shape (`srt://host:port?key=value&...`) and on nothing else: units, escaping and defaults
//! differ. Only this module handles the differences.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The length of the AES key that is derived from a passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyLength {
    /// 16 bytes.
    Aes128,
    /// 24 bytes.
    Aes192,
    /// 32 bytes.
    Aes256,
}

impl KeyLength {
    fn bytes(self) -> u32 {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Caller,
    Listener,
    Rendezvous { adapter: IpAddr },
}

/// Where and how a program connects or listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SrtUrl {
    address: SocketAddr,
    mode: Mode,
    latency: Option<Duration>,
    stream_id: Option<String>,
    passphrase: Option<(String, KeyLength)>,
    options: Vec<(String, String)>,
}

impl SrtUrl {
    fn new(address: SocketAddr, mode: Mode) -> Self {
        Self {
            address,
            mode,
            latency: None,
            stream_id: None,
            passphrase: None,
            options: Vec::new(),
        }
    }

    /// Calls a listener.
    #[must_use]
    pub fn caller(address: SocketAddr) -> Self {
        Self::new(address, Mode::Caller)
    }

    /// Listens.
    #[must_use]
    pub fn listener(address: SocketAddr) -> Self {
        Self::new(address, Mode::Listener)
    }

    /// Meets a peer that does the same; both use the port of `peer`, so their IP addresses differ.
    #[must_use]
    pub fn rendezvous(local: IpAddr, peer: SocketAddr) -> Self {
        Self::new(peer, Mode::Rendezvous { adapter: local })
    }

    /// Offers this latency. The larger of both sides' offers counts.
    #[must_use]
    pub fn latency(self, latency: Duration) -> Self {
        Self {
            latency: Some(latency),
            ..self
        }
    }

    /// Sends this streamid, given as the listener shall see it.
    #[must_use]
    pub fn stream_id(self, stream_id: &str) -> Self {
        Self {
            stream_id: Some(stream_id.to_owned()),
            ..self
        }
    }

    /// Encrypts with a passphrase of 10 to 79 characters.
    #[must_use]
    pub fn passphrase(self, passphrase: &str, length: KeyLength) -> Self {
        Self {
            passphrase: Some((passphrase.to_owned(), length)),
            ..self
        }
    }

    /// Adds a parameter unchanged, in the program's own spelling.
    #[must_use]
    pub fn option(mut self, key: &str, value: &str) -> Self {
        self.options.push((key.to_owned(), value.to_owned()));
        self
    }

    /// The address in the syntax of srt-live-transmit: latency in milliseconds, nothing escaped.
    ///
    /// # Panics
    /// If a value contains `&`, which srt-live-transmit cannot accept.
    #[must_use]
    pub fn for_live_transmit(&self) -> String {
        let verbatim = |value: &str| {
            assert!(
                !value.contains('&'),
                "srt-live-transmit has no way to escape the & in {value:?}"
            );
            value.to_owned()
        };
        self.render(|latency| latency.as_millis(), verbatim, &[])
    }

    /// The address in the syntax of ffmpeg: latency in microseconds, values percent-encoded, seven TS packets per
    /// message.
    #[must_use]
    pub fn for_ffmpeg(&self) -> String {
        self.render(
            |latency| latency.as_micros(),
            percent_encoded,
            &[("pkt_size", "1316")],
        )
    }

    fn render(
        &self,
        latency_number: impl Fn(Duration) -> u128,
        escaped: impl Fn(&str) -> String,
        more: &[(&str, &str)],
    ) -> String {
        let mut parameters: Vec<(&str, String)> = Vec::new();
        match self.mode {
            Mode::Caller => parameters.push(("mode", "caller".to_owned())),
            Mode::Listener => parameters.push(("mode", "listener".to_owned())),
            Mode::Rendezvous { adapter } => {
                parameters.push(("mode", "rendezvous".to_owned()));
                parameters.push(("adapter", adapter.to_string()));
            }
        }
        parameters.extend(
            self.latency
                .map(|latency| ("latency", latency_number(latency).to_string())),
        );
        parameters.extend(
            self.stream_id
                .as_deref()
                .map(|stream_id| ("streamid", escaped(stream_id))),
        );
        if let Some((passphrase, length)) = &self.passphrase {
            parameters.push(("passphrase", escaped(passphrase)));
            parameters.push(("pbkeylen", length.bytes().to_string()));
        }
        parameters.extend(more.iter().map(|(key, value)| (*key, (*value).to_owned())));
        parameters.extend(
            self.options
                .iter()
                .map(|(key, value)| (key.as_str(), value.clone())),
        );
        let query: Vec<String> = parameters
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        format!("srt://{}?{}", self.address, query.join("&"))
    }
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

#[cfg(test)]
mod tests {
    use super::{KeyLength, SrtUrl};
    use std::time::Duration;

    fn url() -> SrtUrl {
        SrtUrl::caller("127.0.0.1:9000".parse().unwrap())
            .latency(Duration::from_millis(200))
            .stream_id("#!::r=live/cam 1,m=publish")
            .passphrase("correct horse+battery", KeyLength::Aes256)
    }

    #[test]
    fn live_transmit_gets_milliseconds_and_plain_text() {
        assert_eq!(
            url()
                .option("packetfilter", "fec,cols:10,rows:5")
                .for_live_transmit(),
            "srt://127.0.0.1:9000?mode=caller&latency=200&streamid=#!::r=live/cam 1,m=publish\
             &passphrase=correct horse+battery&pbkeylen=32&packetfilter=fec,cols:10,rows:5"
        );
    }

    #[test]
    fn ffmpeg_gets_microseconds_and_percent_encoding() {
        assert_eq!(
            url().for_ffmpeg(),
            "srt://127.0.0.1:9000?mode=caller&latency=200000&streamid=%23%21%3A%3Ar%3Dlive%2Fcam%201%2Cm%3Dpublish\
             &passphrase=correct%20horse%2Bbattery&pbkeylen=32&pkt_size=1316"
        );
    }

    #[test]
    fn rendezvous_names_its_own_side() {
        let url = SrtUrl::rendezvous("127.0.0.1".parse().unwrap(), "127.0.0.2:9000".parse().unwrap());
        assert_eq!(
            url.for_live_transmit(),
            "srt://127.0.0.2:9000?mode=rendezvous&adapter=127.0.0.1"
        );
    }

    #[test]
    #[should_panic(expected = "no way to escape")]
    fn ampersand_is_refused_for_live_transmit() {
        drop(url().stream_id("a&b").for_live_transmit());
    }
}
