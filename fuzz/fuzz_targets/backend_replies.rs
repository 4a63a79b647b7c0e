//! Any bytes as what an operator's backend answers: to the hook, field by field, and to `config_external`. Nothing panics, and
//! what is refused is told without what the answer holds.
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

#[path = "../../srt-gateway/src/json.rs"]
mod json;

#[path = "../../srt-gateway/src/names.rs"]
#[allow(dead_code, reason = "a part of the gateway, of which this target uses a part")]
mod names;

#[path = "../../srt-gateway/src/backend/fault.rs"]
#[allow(dead_code, reason = "a part of the gateway, of which this target uses a part")]
mod fault;
pub(crate) use fault::CallError;

#[path = "../../srt-gateway/src/backend/answer.rs"]
#[allow(dead_code, reason = "a part of the gateway, of which this target uses a part")]
mod answer;

fuzz_target!(|body: &[u8]| {
    let reply = answer::Answer {
        status: 200,
        body: body.to_vec(),
    };
    drop(reply.reason());
    let Ok(fields) = reply.fields() else {
        return;
    };
    for name in fields.all().keys() {
        drop((fields.text(name), fields.whole(name), fields.seconds(name)));
        drop((fields.texts(name), fields.named_texts(name)));
    }
    match config::PortAnswer::read(fields.all(), &config::Config::default()) {
        Ok(port) => drop(format!("{port:?}")),
        Err(faults) => assert!(!faults.to_string().is_empty()),
    }
});
