//! ffmpeg through the gateway, with a real H.264 and AAC stream: a player's recording decodes without an error.

use crate::common::{ANY_STREAM, DEADLINE, DEMO, LATENCY, PLAY, PUBLISH};
use srt_e2e::in_process::TestGateway;
use srt_e2e::pace::Tail;
use srt_e2e::peers::{SrtUrl, ffmpeg, live_transmit};
use srt_e2e::source::{Sample, sample_ts};
use srt_gateway::config::PortKind;
use std::path::Path;
use std::time::Duration;

/// What players record.
const LENGTH: Duration = Duration::from_secs(3);

/// Demands a clean recording of [`LENGTH`], a few frames more or less: 30 pictures and 47 AAC frames a second.
#[track_caller]
fn assert_clean(recording: &Path) {
    assert_eq!(ffmpeg::decode_faults(recording), "");
    let counts = ffmpeg::packet_counts(recording);
    assert!(
        (80..=95).contains(&counts.video) && (120..=150).contains(&counts.audio),
        "{counts:?}"
    );
}

#[test]
fn ffmpeg_to_ffmpeg_and_to_live_transmit() {
    let folder = tempfile::tempdir().unwrap();
    let (recording, copy) = (folder.path().join("ffmpeg.ts"), folder.path().join("copy.ts"));
    let gateway = TestGateway::start(ANY_STREAM);
    let caller = |id| {
        SrtUrl::caller(gateway.addr(PortKind::Both))
            .latency(LATENCY)
            .stream_id(id)
    };
    let copying = live_transmit::player(&caller(PLAY), &copy);
    gateway.wait_viewers(DEMO, 1, DEADLINE);
    let publisher = ffmpeg::publisher(&caller(PUBLISH), sample_ts().path());
    gateway.wait_stream(DEMO, DEADLINE, "data", |stream| stream.bytes > 0);
    let mut player = ffmpeg::player(&caller(PLAY), &recording, LENGTH);
    player.wait_success(DEADLINE);
    assert_clean(&recording);
    copying.wait_received(500_000, DEADLINE);
    drop(publisher);
    // It connected before the publisher: it has the stream from its first table on, in whole packets.
    let received = copying.received();
    let whole = &received[..received.len() / 188 * 188];
    assert!(whole.chunks(188).all(|packet| packet[0] == 0x47));
    std::fs::write(&copy, whole).unwrap();
    assert!(ffmpeg::packet_counts(&copy).video >= 30);
}

#[test]
fn live_transmit_to_ffmpeg() {
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("out.ts");
    let gateway = TestGateway::start(ANY_STREAM);
    let caller = |id| {
        SrtUrl::caller(gateway.addr(PortKind::Both))
            .latency(LATENCY)
            .stream_id(id)
    };
    let publisher = live_transmit::publisher(&caller(PUBLISH)).feed(
        sample_ts().bytes(),
        Sample::RATE,
        Tail::Repeat,
        DEADLINE,
    );
    // From somewhere within the stream: the gateway starts a player at tables and a keyframe.
    gateway.wait_stream(DEMO, DEADLINE, "half a second", |stream| stream.bytes > 225_000);
    let mut player = ffmpeg::player(&caller(PLAY), &recording, LENGTH);
    player.wait_success(DEADLINE);
    drop(publisher);
    assert_clean(&recording);
}
