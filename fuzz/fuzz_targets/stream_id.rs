//! Any bytes as a streamid: no panic, positions inside, and what is parsed can be built and parsed again.
//!
//! Takes the source file rather than the crate, so that this target builds without libsrt.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../srt-safe/src/stream_id.rs"]
#[allow(dead_code, reason = "a part of the crate, of which this target uses a part")]
mod stream_id;

use stream_id::{StreamId, StreamIdError};

fuzz_target!(|input: &[u8]| {
    let Ok(id) = StreamId::new(input) else {
        assert!(input.len() > StreamId::MAX_LEN);
        return;
    };
    assert_eq!(id.as_bytes(), input);
    assert!(!id.to_string().contains(char::is_control));
    match id.fields() {
        Ok(fields) => {
            let mut builder = StreamId::builder();
            for (key, value) in fields.iter() {
                assert_eq!(fields.get(key), Some(value));
                drop(fields.nested(key));
                builder = builder.field(key, value);
            }
            // Nested values hold commas and may hold control characters, which the builder refuses.
            if let Ok(again) = builder.build() {
                let fields_again = again.fields().expect("the builder writes what the parser reads");
                assert!(fields_again.iter().eq(fields.iter()));
                assert_eq!(fields_again.mode(), fields.mode());
            }
        }
        Err(
            StreamIdError::Syntax { at, .. }
            | StreamIdError::NotUtf8 { at }
            | StreamIdError::InvalidMode { at }
            | StreamIdError::DuplicateKey { at },
        ) => assert!(at <= id.len()),
        Err(error) => assert_eq!(error, StreamIdError::NotStandard),
    }
});
