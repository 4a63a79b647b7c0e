//! Warnings about configured network interfaces that this machine does not have at the moment. They may appear later,
//! so this is no error.

use std::net::IpAddr;

use crate::{
    address::{ZonedIp, interface_index},
    config::{Config, Endpoint, ListenAddr, SrtTarget, Target, UdpTarget},
};

/// Warnings about interfaces and zones, with their position in the configuration.
pub(crate) fn interface_warnings(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    let mut warn = |place: &dyn Fn() -> String, why: Option<String>| {
        found.extend(why.map(|why| format!("{}: {why}", place())));
    };
    for (_, port) in config.srt_ports() {
        warn(&|| format!("port {}", port.listen), of_listen(port.listen));
    }
    for range in &config.listeners {
        warn(
            &|| "listeners.address".to_owned(),
            range.address.and_then(of_address),
        );
    }
    if let Some(listen) = config.api.listen {
        warn(&|| "api.listen".to_owned(), of_listen(listen));
    }
    for (name, stream) in &config.streams {
        for (key, list) in [("inputs", &stream.inputs), ("outputs", &stream.outputs)] {
            for (at, endpoint) in list.iter().enumerate().filter(|(_, endpoint)| endpoint.enabled) {
                warn(&|| format!("streams.{name:?}.{key}[{at}]"), of_endpoint(endpoint));
            }
        }
    }
    found
}

fn of_listen(listen: ListenAddr) -> Option<String> {
    match listen {
        ListenAddr::One(ip, _) => of_address(ip),
        ListenAddr::All(_) => None,
    }
}

fn of_address(address: ZonedIp) -> Option<String> {
    if address.lacks_zone() {
        return Some(format!(
            "{address} is a link-local address, which needs its network interface: {address}%eth0"
        ));
    }
    of_interface(address.zone()?)
}

fn of_interface(name: &str) -> Option<String> {
    interface_index(name).err().map(|error| error.to_string())
}

fn of_endpoint(endpoint: &Endpoint) -> Option<String> {
    match &endpoint.target {
        Target::Srt(srt) => of_srt(srt),
        Target::Udp(udp) | Target::Rtp(udp) => of_udp(udp),
        Target::File(_) => None,
    }
}

fn of_srt(srt: &SrtTarget) -> Option<String> {
    let links = srt.bond.iter().flat_map(|bond| &bond.links);
    let places = links.map(|link| (Some(&link.host), link.adapter));
    let mut places = places.chain([(srt.host.as_ref(), srt.adapter)]);
    places.find_map(|(host, adapter)| {
        let address = host.and_then(|host| host.parse().ok());
        address
            .and_then(of_address)
            .or_else(|| adapter.and_then(of_address))
    })
}

fn of_udp(udp: &UdpTarget) -> Option<String> {
    let named = udp
        .interface
        .as_deref()
        .filter(|name| name.parse::<IpAddr>().is_err());
    let address = udp.host.as_deref().and_then(|host| host.parse().ok());
    let interface = named.and_then(|name| match name.parse::<ZonedIp>() {
        Ok(address) => of_address(address),
        Err(_) => of_interface(name),
    });
    let addresses = [address, udp.local_address];
    interface.or_else(|| addresses.into_iter().flatten().find_map(of_address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(text: &str) -> Vec<String> {
        let config = Config::parse(text).unwrap_or_else(|errors| panic!("{text}: {errors}"));
        interface_warnings(&config)
    }

    #[test]
    fn missing_interfaces_are_reported_wherever_they_are_named() {
        let missing = "there is no network interface \"none0\"";
        for (text, place) in [
            (
                "[srt]\nport = \"[fe80::1%none0]:9000\"",
                "port [fe80::1%none0]:9000",
            ),
            (
                "[api]\nlisten = \"[fe80::1%none0]:9980\"\ntoken = \"a token of this test\"",
                "api.listen",
            ),
            (
                "[config_external]\nurl = \"http://127.0.0.1/x\"\n[[listeners]]\nports = \"9000\"\naddress = \"fe80::1%none0\"\nmode = \"any\"",
                "listeners.address",
            ),
            (
                "streams.a.inputs = [\"srt://[fe80::1%none0]:9000\"]",
                "streams.\"a\".inputs[0]",
            ),
            (
                "streams.a.outputs = [\"srt://[fe80::1%25none0]:9000\"]",
                "streams.\"a\".outputs[0]",
            ),
            (
                "streams.a.outputs = [\"srt://host:9000?adapter=fe80::1%25none0\"]",
                "streams.\"a\".outputs[0]",
            ),
            (
                "streams.a.outputs = [\"srt://*?type=broadcast&nodes=192.0.2.1:9000,[fe80::1%none0]:9000\"]",
                "streams.\"a\".outputs[0]",
            ),
            (
                "streams.a.outputs = [\"udp://[fe80::1%none0]:5000\"]",
                "streams.\"a\".outputs[0]",
            ),
            (
                "streams.a.outputs = [\"rtp://[ff02::1%none0]:5000\"]",
                "streams.\"a\".outputs[0]",
            ),
            (
                "streams.a.inputs = [\"udp://239.1.1.1:5000?interface=none0\"]",
                "streams.\"a\".inputs[0]",
            ),
        ] {
            assert_eq!(warnings(text), [format!("{place}: {missing}")], "{text}");
        }
        let bare = warnings("streams.a.inputs = [\"srt://[fe80::1]:9000\"]");
        assert!(bare.len() == 1 && bare[0].contains("fe80::1%eth0"), "{bare:?}");
        for fine in [
            "[srt]\nport = \"[fe80::1%lo]:9000\"",
            "streams.a.outputs = [\"udp://239.1.1.1:5000?interface=lo\", \"udp://239.1.1.1:5001?interface=192.0.2.1\"]",
            "streams.a.inputs = [{ url = \"srt://[fe80::1%none0]:9000\", enabled = false }]",
        ] {
            assert_eq!(warnings(fine), [""; 0], "{fine}");
        }
    }
}
