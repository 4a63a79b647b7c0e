//! Tests of URLs: they are parsed in any order and with any amount of percent-encoding, and their displayed form names
//! the same target.

use std::{fmt::Write as _, time::Duration};

use proptest::prelude::*;

use super::super::*;

/// Encodes everything but letters and digits, or only what must be encoded.
fn encoded(text: &str, all: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || !all && byte.is_ascii_graphic() && !b"%&".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").unwrap();
        }
    }
    out
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9-]{0,10}(\\.[a-z]{2,5})?",
        any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|ip| format!("[{ip}]")),
    ]
}

fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_srt_url_is_read_as_it_is_written(
        host in host(),
        port in 1..=u16::MAX,
        mode in proptest::sample::select(vec![("caller", SrtMode::Caller), ("rendezvous", SrtMode::Rendezvous)]),
        latency in 0..5_000_u64,
        passphrase in "[ -~]{10,79}",
        stream_id in "[#!:=,/a-zA-Z0-9 %&]{1,60}",
        all in any::<bool>(),
        order in Just([0_usize, 1, 2, 3]).prop_shuffle(),
    ) {
        let parameters = [
            format!("mode={}", mode.0),
            format!("latency={latency}"),
            format!("passphrase={}", encoded(&passphrase, all)),
            format!("streamid={}", encoded(&stream_id, all)),
        ];
        let query: Vec<_> = order.iter().map(|at| parameters[*at].as_str()).collect();
        let url = format!("srt://{host}:{port}?{}", query.join("&"));
        let endpoint = Endpoint::input(&url).map_err(|why| TestCaseError::fail(format!("{url}: {why}")))?;
        let Target::Srt(srt) = &endpoint.target else { panic!("{endpoint:?}") };
        prop_assert_eq!((srt.mode, srt.host.as_deref(), srt.port), (mode.1, Some(bare(&host)), port));
        prop_assert_eq!(srt.settings.latency, Duration::from_millis(latency));
        prop_assert_eq!(srt.settings.passphrase.as_ref().map(Secret::expose), Some(passphrase.as_str()));
        prop_assert_eq!(srt.stream_id.as_ref().map(Secret::expose), Some(stream_id.as_str()));
        prop_assert_eq!(endpoint.expose_url(), &url);

        let shown = endpoint.to_string();
        prop_assert_eq!(&shown, &format!("srt://{host}:{port}"));
        let again = Endpoint::input(&shown).map_err(TestCaseError::fail)?;
        prop_assert_eq!(again.to_string(), shown);
    }

    #[test]
    fn a_datagram_url_is_read_as_it_is_written(
        scheme in proptest::sample::select(vec!["udp", "rtp"]),
        at in proptest::sample::select(vec!["", "@"]),
        host in host(),
        port in 1..=u16::MAX,
        ttl in any::<u8>(),
        size in 188..=65_507_u16,
        interface in "[a-z]{1,8}[0-9]{0,3}",
        foreign in any::<bool>(),
    ) {
        let interface_key = if foreign { "adapter" } else { "interface" };
        let url = format!("{scheme}://{at}{host}:{port}?ttl={ttl}&pkt_size={size}&{interface_key}={interface}");
        let endpoint = Endpoint::output(&url).map_err(|why| TestCaseError::fail(format!("{url}: {why}")))?;
        let (Target::Udp(udp) | Target::Rtp(udp)) = &endpoint.target else { panic!("{endpoint:?}") };
        prop_assert_eq!((udp.host.as_deref(), udp.port), (Some(bare(&host)), port));
        prop_assert_eq!((udp.ttl, udp.payload_size), (Some(ttl), size));
        prop_assert_eq!(udp.interface.as_deref(), Some(interface.as_str()));
        prop_assert_eq!(endpoint.to_string(), format!("{scheme}://{host}:{port}"));
    }

    #[test]
    fn any_text_is_a_url_or_refused_in_one_line(text in "(srt|udp|rtp|file)?(://)?[ -~é]{0,60}") {
        for read in [Endpoint::input, Endpoint::output] {
            match read(&text) {
                Ok(endpoint) => {
                    let shown = endpoint.to_string();
                    let again = read(&shown).map_err(TestCaseError::fail)?;
                    prop_assert_eq!(again.to_string(), shown);
                }
                Err(why) => prop_assert!(!why.is_empty() && !why.contains('\n'), "{}", why),
            }
        }
    }
}
