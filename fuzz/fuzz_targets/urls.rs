//! Any text as the URL of an input or an output: it is read or refused in one line, and what is shown of it is read as
//! the same place again.
//!
//! Takes the source files rather than the crate, so that this target builds without libsrt.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../srt-gateway/src/address.rs"]
#[allow(dead_code, unused_imports, unreachable_pub, reason = "a part of the gateway, of which this target uses a part")]
mod address;
#[path = "../../srt-gateway/src/config/mod.rs"]
#[allow(dead_code, unused_imports, unreachable_pub, reason = "a part of the gateway, of which this target uses a part")]
mod config;

#[path = "../../srt-gateway/src/names.rs"]
#[allow(dead_code, reason = "a part of the gateway, of which this target uses a part")]
mod names;

use config::{Endpoint, Target};

/// Scheme, host and port, or the path.
fn place(endpoint: &Endpoint) -> (&'static str, String) {
    match &endpoint.target {
        Target::Srt(srt) => ("srt", format!("{:?} {}", srt.host, srt.port)),
        Target::Udp(udp) => ("udp", format!("{:?} {}", udp.host, udp.port)),
        Target::Rtp(udp) => ("rtp", format!("{:?} {}", udp.host, udp.port)),
        Target::File(file) => ("file", file.path.display().to_string()),
        #[allow(unreachable_patterns, reason = "non_exhaustive for other crates")]
        _ => ("", String::new()),
    }
}

fuzz_target!(|text: &str| {
    for read in [Endpoint::input, Endpoint::output] {
        match read(text) {
            Ok(endpoint) => {
                let again = read(&endpoint.to_string()).expect("what is shown is a URL");
                assert_eq!(place(&again), place(&endpoint), "{text:?}");
                drop(format!("{endpoint:?}"));
            }
            Err(why) => assert!(!why.is_empty() && !why.contains('\n'), "{why:?}"),
        }
    }
});
