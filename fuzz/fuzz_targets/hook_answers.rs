//! Any bytes as the answer of the hook of `[auth]`: nothing panics, nobody is admitted to an illegal name, and what is kept as a
//! reason or a label steers no terminal.
//!
//! Takes the source files rather than the crate, so that this target builds without libsrt.
#![no_main]

use libfuzzer_sys::fuzz_target;

// What the files call by the names of their crates.
extern crate self as srt_safe;

/// As srt-safe has it, but for what libsrt does with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(String);

impl Passphrase {
    /// # Errors
    /// It is too short or too long.
    pub fn new(text: &str) -> Result<Self, ()> {
        (10..=79).contains(&text.len()).then(|| Self(text.to_owned())).ok_or(())
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// As srt-safe has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RejectCode(i32);

impl RejectCode {
    pub const UNAUTHORIZED: Self = Self(1401);
    pub const FORBIDDEN: Self = Self(1403);
    pub const NOT_FOUND: Self = Self(1404);
    pub const CONFLICT: Self = Self(1409);
    pub const INTERNAL: Self = Self(1500);
}

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

#[path = "."]
mod backend {
    #[path = "../../srt-gateway/src/backend/fault.rs"]
    #[allow(dead_code, reason = "a part of the gateway, of which this target uses a part")]
    mod fault;
    pub(crate) use fault::CallError;

    #[path = "../../srt-gateway/src/backend/answer.rs"]
    #[allow(dead_code, reason = "a part of the gateway, of which this target uses a part")]
    mod answer;
    pub(crate) use answer::{Answer, Fields, wrong};
}

#[path = "."]
mod hook {
    #[path = "../../srt-gateway/src/access/hook/terms.rs"]
    #[allow(dead_code, reason = "a part of the gateway, of which this target uses a part")]
    pub(crate) mod terms;

    pub(crate) fn read(body: &[u8]) -> Option<terms::HookVerdict> {
        let answer = crate::backend::Answer {
            status: 200,
            body: body.to_vec(),
        };
        terms::read(Ok(answer)).ok()
    }
}

fuzz_target!(|body: &[u8]| {
    match hook::read(body) {
        Some(hook::terms::HookVerdict::Admitted(terms)) => {
            let name = terms.stream.as_ref();
            assert!(name.is_none_or(|name| names::StreamName::is_legal(name.as_str())));
            for (name, value) in &terms.labels {
                assert!(!name.contains(names::is_control) && !value.contains(names::is_control));
            }
        }
        Some(hook::terms::HookVerdict::Refused(refusal)) => assert!(!refusal.why.contains(names::is_control)),
        Some(hook::terms::HookVerdict::LetIn) | None => {}
    }
});
