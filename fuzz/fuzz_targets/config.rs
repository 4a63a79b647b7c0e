//! Any text as a configuration: it is parsed or refused, every fault has a place in the text, nothing panics, and what is
//! parsed can be printed.
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

fuzz_target!(|text: &str| {
    match config::Config::parse(text) {
        Ok(config) => drop(format!("{config:?}")),
        Err(errors) => {
            assert!(!errors.faults().is_empty());
            for fault in errors.faults() {
                for place in std::iter::once(fault.location()).chain(fault.related()) {
                    assert!(text.get(place.span()).is_some(), "{fault:?}");
                    assert!(place.line() >= 1 && place.column() >= 1, "{fault:?}");
                }
            }
            drop(errors.render("gateway.toml", text));
        }
    }
});
