//! Translates URL parameters of srt-live-transmit and ffmpeg to our names and units. Pure.
//!
//! Only parameters with the same meaning are accepted. ffmpeg's `latency` and `timeout` are in microseconds and look
//! like ours: the reader's limits catch these.

use super::{keys::Section, raw::Value};

/// The meaning of a parameter.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parameter<'p> {
    /// A key of the endpoint, and the text of its value.
    Key(&'p str, String),
    /// An entry of `options`, under libsrt's name.
    Option(&'static str),
    /// Ignored: it states what holds anyway.
    Implied,
    /// Not supported, with the reason.
    Refused(&'static str),
}

/// libsrt options that srt-live-transmit accepts as parameters and for which there is no key.
const OPTIONS: [&str; 28] = [
    "bindtodevice",
    "drifttracer",
    "fc",
    "groupminstabletimeo",
    "inputbw",
    "iptos",
    "ipttl",
    "ipv6only",
    "kmpreannounce",
    "kmrefreshrate",
    "lossmaxttl",
    "maxbw",
    "maxrexmitbw",
    "messageapi",
    "mininputbw",
    "mss",
    "nakreport",
    "oheadbw",
    "peerlatency",
    "rcvbuf",
    "rcvlatency",
    "retransmitalgo",
    "sndbuf",
    "snddropdelay",
    "tlpktdrop",
    "tsbpdmode",
    "udp_rcvbuf",
    "udp_sndbuf",
];

/// Translates parameter `name` of a URL whose table is of kind `section`.
pub(super) fn parameter<'p>(section: Section, name: &'p str, value: String) -> Parameter<'p> {
    match section {
        Section::SrtEndpoint => srt(name, value),
        Section::UdpEndpoint => udp(name, value),
        _ => Parameter::Key(name, value),
    }
}

fn srt(name: &str, value: String) -> Parameter<'_> {
    let key = match name {
        "mode" => {
            let mode = match value.as_str() {
                "server" => "listener".to_owned(),
                "client" => "caller".to_owned(),
                _ => value,
            };
            return Parameter::Key("mode", mode);
        }
        // The length comes from the peer or the passphrase.
        "pbkeylen" if value == "0" => return Parameter::Implied,
        "pbkeylen" => "key_length",
        "srt_streamid" => "streamid",
        "payload_size" | "payloadsize" => "pkt_size",
        "enforced_encryption" => "enforcedencryption",
        "local_port" | "port" => "localport",
        "conntimeo" => return Parameter::Key("connect_timeout", value + "ms"),
        "peeridletimeo" => return Parameter::Key("peer_idle_timeout", value + "ms"),
        "cryptomode" => {
            let mode = match value.as_str() {
                "0" => "auto".to_owned(),
                "1" => "ctr".to_owned(),
                "2" => "gcm".to_owned(),
                _ => value,
            };
            return Parameter::Key("crypto_mode", mode);
        }
        // ffmpeg's name for libsrt's congestion.
        "congestion" | "smoother" if value == "live" => return Parameter::Implied,
        "congestion" | "smoother" => {
            return Parameter::Refused("must be live: file transmission is not supported");
        }
        "ffs" => return Parameter::Option("fc"),
        "send_buffer_size" => return Parameter::Option("sndbuf"),
        "recv_buffer_size" => return Parameter::Option("rcvbuf"),
        // How the program waits does not concern the peer or us.
        "blocking" => return Parameter::Implied,
        other => match OPTIONS.iter().find(|option| **option == other) {
            Some(option) => return Parameter::Option(option),
            None => other,
        },
    };
    Parameter::Key(key, value)
}

fn udp(name: &str, value: String) -> Parameter<'_> {
    let key = match name {
        "adapter" => "interface",
        "source" => "sources",
        "rcvbuf" | "sndbuf" => "buffer_size",
        "payload_size" => "pkt_size",
        "iptos" => {
            return Parameter::Key(
                "iptos",
                decimal(&value).map_or(value, |number| number.to_string()),
            );
        }
        // The header states its length.
        "rtpheadersize" => return Parameter::Implied,
        other => other,
    };
    Parameter::Key(key, value)
}

/// The value of an option, with the type that its text suggests.
pub(super) fn option_value(text: &str) -> Value {
    match text {
        "yes" | "on" | "true" => Value::Bool(true),
        "no" | "off" | "false" => Value::Bool(false),
        _ => match decimal(text).or_else(|| text.parse().ok()) {
            Some(number) => Value::Int(Some(number)),
            None => Value::Str(text.to_owned()),
        },
    }
}

/// Converts `0xb8`, which srt-live-transmit accepts, to decimal.
fn decimal(text: &str) -> Option<i64> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    i64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_units_of_others_are_ours() {
        let of = |section, name, value: &str| parameter(section, name, value.to_owned());
        let key = |name, value: &str| Parameter::Key(name, value.to_owned());
        for (name, value, wanted) in [
            ("conntimeo", "1500", key("connect_timeout", "1500ms")),
            ("peeridletimeo", "10000", key("peer_idle_timeout", "10000ms")),
            ("cryptomode", "2", key("crypto_mode", "gcm")),
            ("port", "4001", key("localport", "4001")),
            ("latency", "200", key("latency", "200")),
            ("maxbw", "0", Parameter::Option("maxbw")),
            ("ffs", "1", Parameter::Option("fc")),
            ("blocking", "0", Parameter::Implied),
            ("mode", "server", key("mode", "listener")),
            ("mode", "client", key("mode", "caller")),
            ("mode", "rendezvous", key("mode", "rendezvous")),
            ("pbkeylen", "0", Parameter::Implied),
            ("pbkeylen", "32", key("key_length", "32")),
            ("rcvlatency", "200", Parameter::Option("rcvlatency")),
            ("peerlatency", "200", Parameter::Option("peerlatency")),
            ("congestion", "live", Parameter::Implied),
            (
                "congestion",
                "file",
                Parameter::Refused("must be live: file transmission is not supported"),
            ),
        ] {
            assert_eq!(of(Section::SrtEndpoint, name, value), wanted, "{name}");
        }
        assert_eq!(of(Section::UdpEndpoint, "adapter", "lo"), key("interface", "lo"));
        assert_eq!(of(Section::UdpEndpoint, "iptos", "0xb8"), key("iptos", "184"));
        assert_eq!(of(Section::UdpEndpoint, "iptos", "184"), key("iptos", "184"));
        assert_eq!(of(Section::FileEndpoint, "source", "x"), key("source", "x"));
    }

    #[test]
    fn options_have_the_type_that_they_look_like() {
        assert!(matches!(option_value("yes"), Value::Bool(true)));
        assert!(matches!(option_value("0x10"), Value::Int(Some(16))));
        assert!(matches!(option_value("0xyz"), Value::Str(_)));
        assert!(matches!(option_value("-1"), Value::Int(Some(-1))));
    }
}
