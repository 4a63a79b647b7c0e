//! Any bytes, cut into messages anywhere, past the observer, and what is told of them: no panic, and no start point that
//! cannot be.
//!
//! Takes the source files rather than the crate, so that this target builds without libsrt.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../srt-gateway/src/names.rs"]
#[allow(dead_code, reason = "a part of the gateway, of which this target uses a part")]
mod names;

#[path = "../../srt-gateway/src/ts/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a part of the gateway, of which this target uses a part")]
mod ts;

fuzz_target!(|input: &[u8]| {
    let mut observer = ts::Observer::new();
    let mut now = std::time::Instant::now();
    let mut rest = input;
    let mut messages = 0;
    let mut last_start = None;
    // The first byte of each message says how long it is, in steps of eight bytes, or 188 for what looks like packets.
    while let Some((&len, after)) = rest.split_first() {
        let len = if len == 0 {
            ts::PACKET_LEN
        } else {
            usize::from(len & 0x7F) * 8 + 1
        };
        let (message, after) = after.split_at(len.min(after.len()));
        rest = after;
        // Time passes as the second bit of the length says: not at all, or by a third of a second.
        now += std::time::Duration::from_millis(if message.len() & 2 == 0 { 0 } else { 333 });
        if let Some(start) = observer.observe_at(message, now).start_point {
            assert!(start.messages_back <= messages, "{start:?} in message {messages}");
            let start = messages - start.messages_back;
            assert!(last_start < Some(start), "{start} after {last_start:?}");
            last_start = Some(start);
        }
        messages += 1;
        if let Some(packet) = message.first_chunk().and_then(ts::TsPacket::new) {
            assert!(
                packet
                    .payload()
                    .is_none_or(|payload| (1..=184).contains(&payload.len()))
            );
            assert!(
                packet
                    .adaptation()
                    .and_then(|field| field.pcr())
                    .is_none_or(|pcr| pcr.ticks() < ts::Pcr::WRAP)
            );
        }
    }
    assert!(observer.counters().packets <= (input.len() / ts::PACKET_LEN) as u64);
    let report = observer.report();
    assert!(report.pids.len() <= 128 && report.programs.len() <= 16);
    assert!(report.checks.iter().all(|check| check.last_minute <= check.count));
});
