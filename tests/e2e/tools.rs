//! The test tools against each other, without the gateway. If one of these fails, check the tools first.

use srt_e2e::impair::{Impairment, Way};
use srt_e2e::pace::Tail;
use srt_e2e::peers::{KeyLength, SrtUrl, ffmpeg, live_transmit};
use srt_e2e::ports::free_udp;
use srt_e2e::source::{Sample, StampedTs, Verifier, contiguous_part, sample_ts};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn live_transmit_is_byte_exact_through_an_impaired_path() {
    let folder = tempfile::tempdir().unwrap();
    let listener = free_udp();
    // Until libsrt has measured the round trip it assumes 100 ms, and requests a packet that is lost twice again after
    // 300 ms.
    let latency = Duration::from_secs(1);
    let encrypted = |url: SrtUrl| {
        url.latency(latency)
            .passphrase("correcthorsebattery", KeyLength::Aes256)
    };
    let player = live_transmit::player(
        &encrypted(SrtUrl::listener(listener)),
        &folder.path().join("out.ts"),
    );
    let path = Impairment::builder()
        .loss(0.02)
        .delay(Duration::from_millis(30))
        .seed(1)
        .start(listener);
    let sample = sample_ts();
    let idle = live_transmit::publisher(&encrypted(SrtUrl::caller(path.addr())));
    let publisher = idle.feed(sample.bytes(), Sample::RATE, Tail::NullPackets, DEADLINE);
    player.wait_received(sample.bytes().len(), DEADLINE);
    drop(publisher);
    let received = player.received();
    assert_eq!(
        contiguous_part(&sample.bytes(), &received),
        0..sample.bytes().len()
    );
    assert!(
        path.counters(Way::ToServer).lost > 10,
        "{:?}",
        path.counters(Way::ToServer)
    );
}

#[test]
fn stamped_stream_survives_reordering_and_duplicates() {
    let folder = tempfile::tempdir().unwrap();
    let listener = free_udp();
    let latency = Duration::from_millis(300);
    let player = live_transmit::player(
        &SrtUrl::listener(listener).latency(latency),
        &folder.path().join("out.ts"),
    );
    let path = Impairment::builder()
        .loss(0.01)
        .delay(Duration::from_millis(10))
        .jitter(Duration::from_millis(10))
        .reorder(0.02, Duration::from_millis(15))
        .duplicate(0.02)
        .seed(2)
        .start(listener);
    let source = StampedTs::generate(1, 9_000, 5_000_000);
    let publisher = live_transmit::publisher(&SrtUrl::caller(path.addr()).latency(latency)).feed(
        source.bytes(),
        source.rate(),
        Tail::NullPackets,
        DEADLINE,
    );
    player.wait_received(source.bytes().len(), DEADLINE);
    drop(publisher);
    let mut verifier = Verifier::new(&source);
    verifier.feed(&player.received()[..source.bytes().len()]);
    verifier.finish().assert_exact(source.packets());
}

#[test]
fn ffmpeg_to_ffmpeg_decodes_clean() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.ts");
    let listener = free_udp();
    let latency = Duration::from_millis(200);
    let stream_id = "#!::r=live/cam1,m=publish";
    let length = Duration::from_secs(4);
    let mut player = ffmpeg::player(&SrtUrl::listener(listener).latency(latency), &output, length);
    let url = SrtUrl::caller(listener).latency(latency).stream_id(stream_id);
    let publisher = ffmpeg::publisher(&url, sample_ts().path());
    player.wait_success(DEADLINE);
    drop(publisher);
    assert_eq!(ffmpeg::decode_faults(&output), "");
    let counts = ffmpeg::packet_counts(&output);
    assert!(counts.video >= 90 && counts.audio >= 140, "{counts:?}");
}
