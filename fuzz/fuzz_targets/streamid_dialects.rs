//! Any bytes as a streamid, in any set of dialects: no panic, no empty name, no password in what is shown.
//!
//! Takes the source files rather than the crates, so that this target builds without libsrt.
#![no_main]

use libfuzzer_sys::fuzz_target;

// What the files call by the names of their crates.
extern crate self as srt_safe;

#[path = "../../srt-safe/src/stream_id.rs"]
mod stream_id;
pub use stream_id::{Mode, StreamId, StreamIdError};

#[path = "../../srt-gateway/src/names.rs"]
#[allow(dead_code, reason = "a part of the gateway, of which this target uses a part")]
mod names;

#[path = "../../srt-gateway/src/config/dialect.rs"]
mod dialect;

#[path = "../../srt-gateway/src/config/secret.rs"]
#[allow(dead_code, reason = "a part of the gateway, of which this target uses a part")]
mod secret;

mod config {
    pub(crate) use super::{
        dialect::{Dialect, Dialects},
        secret::{Secret, is_secret_parameter, login_in},
    };
}

#[path = "../../srt-gateway/src/access"]
mod access {
    #[allow(dead_code, reason = "a part of the gateway, of which this target uses a part")]
    mod identity;

    #[allow(dead_code, reason = "a part of the gateway, of which this target uses a part")]
    pub(crate) mod streamid;
}
use access::streamid;

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first_chunk() else {
        return;
    };
    let choice = u32::from(u16::from_le_bytes(*choice));
    let dialects = config::Dialect::ALL
        .into_iter()
        .enumerate()
        .filter(|(bit, _)| choice >> bit & 1 == 1)
        .map(|(_, dialect)| dialect)
        .collect();
    let shown = streamid::shown(bytes);
    assert!(shown.is_ascii() && !shown.contains(char::is_control));
    let Ok(request) = streamid::StreamRequest::read(bytes, dialects) else {
        return;
    };
    assert_eq!(request.dialect.is_none(), bytes.is_empty());
    for name in &request.names {
        assert!(names::StreamName::is_legal(name.stream.as_str()) && name.stream.as_str().len() <= bytes.len());
    }
});
