//! The analysis of real streams, made by ffmpeg: programs and formats, clocks, checks; and the position at which a new
//! viewer starts.

use crate::common::{ANY_STREAM, DEADLINE, DEMO, LATENCY, PLAY, PUBLISH, options};
use dvb_conformance::{ConformanceMonitor, Indicator};
use srt_e2e::client::{Publisher, connect};
use srt_e2e::in_process::TestGateway;
use srt_e2e::pace::Tail;
use srt_e2e::peers::{self, SrtUrl};
use srt_e2e::source::{Sample, StampedTs, sample_ts};
use srt_e2e::wait::wait_for;
use srt_gateway::config::PortKind;
use srt_gateway::ts::{Check, Observer, Payload, StreamKind, TsPacket, TsReport};
use std::process::Command;
use std::time::{Duration, Instant};

/// Feeds a stream with a constant rate to an observer.
pub(crate) fn observe(bytes: &[u8], bits_per_second: u64) -> TsReport {
    let mut observer = Observer::new();
    let begun = Instant::now();
    for (place, message) in (0_u64..).zip(bytes.chunks(7 * 188)) {
        let at = Duration::from_micros(place * 7 * 188 * 8 * 1_000_000 / bits_per_second);
        observer.observe_at(message, begun + at);
    }
    observer.report()
}

fn count(report: &TsReport, check: Check) -> u64 {
    let found = report.checks.iter().find(|told| told.number == check.number());
    found.unwrap().count
}

#[test]
fn a_stream_of_ffmpeg_is_told_as_it_was_made_and_passes_all_checks() {
    let report = observe(&sample_ts().bytes(), Sample::RATE);
    assert_eq!(report.payload, Payload::MpegTs);
    let [program] = report.programs.as_slice() else {
        panic!("{report:?}");
    };
    assert_eq!(program.service_name.as_deref(), Some("SampleTV"));
    let [picture, sound] = program.streams.as_slice() else {
        panic!("{program:?}");
    };
    assert_eq!((picture.pid, picture.kind), (0x100, StreamKind::Video));
    let video = picture.video.as_ref().unwrap();
    assert_eq!(
        (video.width, video.height, video.frame_rate),
        (1280, 720, Some(30.0))
    );
    assert_eq!(video.profile.as_deref(), Some("Main 3.1"));
    let audio = sound.audio.as_ref().unwrap();
    assert_eq!(
        (sound.codec.as_str(), audio.sample_rate, audio.channels),
        ("AAC", 48_000, Some(2))
    );
    let gop = report.gop.as_ref().unwrap();
    assert_eq!((gop.pid, gop.keyframes, gop.pictures), (0x100, 7, 30));
    assert_eq!(gop.pictures_per_second, Some(30.0));
    let clock = &report.clocks[0];
    assert!((18.0..=21.0).contains(&clock.interval_ms), "{clock:?}");
    assert_eq!(clock.transport_bits_per_second, Some(Sample::RATE));
    assert!(clock.accuracy_ns.unwrap().abs() <= 500, "{clock:?}");
    assert!(
        report.null_ratio > 0.01 && report.null_ratio < 0.5,
        "{}",
        report.null_ratio
    );
    let failed: Vec<_> = report.checks.iter().filter(|check| check.count > 0).collect();
    assert_eq!(failed.as_slice(), &[] as &[&_]);
}

#[test]
fn damage_to_it_is_counted_as_dvb_conformance_counts_it() {
    let pairs = [
        (Check::SyncByteError, Indicator::SyncByteError),
        (Check::ContinuityCountError, Indicator::ContinuityCountError),
        (Check::TransportError, Indicator::TransportError),
        (Check::CrcError, Indicator::CrcError),
        (Check::PatError2, Indicator::PatError2),
        (Check::PmtError2, Indicator::PmtError2),
        (Check::PcrRepetitionError, Indicator::PcrRepetitionError),
        (Check::PcrDiscontinuityError, Indicator::PcrDiscontinuityError),
        (Check::PtsError, Indicator::PtsError),
    ];
    let mut packets: Vec<[u8; 188]> = sample_ts().bytes().as_chunks().0.to_vec();
    let is_video = |packet: &[u8; 188]| TsPacket::new(packet).is_some_and(|ts| ts.pid().as_u16() == 0x100);
    let mut places = (2000..).filter(|place| is_video(&packets[*place])).step_by(301);
    let [marked, wrong_sync, missing] = [(); 3].map(|()| places.next().unwrap());
    let pat = (2000..)
        .find(|place| packets[*place][1] & 0x1F == 0 && packets[*place][2] == 0)
        .unwrap();
    packets[marked][1] |= 0x80;
    packets[wrong_sync][0] = 0xB8;
    // The transport stream's id.
    packets[pat][8] ^= 1;
    packets.remove(missing);
    let mut monitor = ConformanceMonitor::new();
    let mut theirs = vec![0; pairs.len()];
    for (place, packet) in (0_u64..).zip(&packets) {
        let at = Duration::from_micros(place / 7 * 7 * 188 * 8 * 1_000_000 / Sample::RATE);
        for event in monitor.feed(packet, at) {
            if let Some(index) = pairs.iter().position(|pair| pair.1 == event.indicator) {
                theirs[index] += 1;
            }
        }
    }
    let report = observe(packets.as_flattened(), Sample::RATE);
    let ours: Vec<_> = pairs.iter().map(|pair| count(&report, pair.0)).collect();
    assert_eq!(ours, theirs, "{pairs:?}");
    assert_eq!(ours[..4], [1, 2, 1, 1]);
}

#[test]
fn a_gateway_tells_what_its_publisher_brings() {
    let gateway = TestGateway::start(ANY_STREAM);
    let addr = gateway.addr(PortKind::Both);
    assert_eq!(gateway.detail("live/nothing"), None);
    let publisher = Publisher::connect(
        addr,
        PUBLISH,
        options(),
        (sample_ts().bytes(), Sample::RATE, Tail::Close),
    );
    let report = wait_for(DEADLINE, "programs, pictures and rates", || {
        let detail = gateway.detail(DEMO)?;
        let report = detail.ts()?.clone();
        let is_known = report.programs.first()?.streams.first()?.video.is_some();
        (is_known && report.bits_per_second > 0 && report.gop.is_some()).then_some(report)
    });
    assert_eq!(report.programs[0].service_name.as_deref(), Some("SampleTV"));
    assert_eq!(report.payload, Payload::MpegTs);
    assert_eq!(count(&report, Check::ContinuityCountError), 0);
    drop(publisher);
    wait_for(DEADLINE, "the input to be gone", || {
        gateway
            .detail(DEMO)
            .is_none_or(|detail| detail.inputs.is_empty())
            .then_some(())
    });
}

#[test]
fn what_is_no_transport_stream_is_relayed_and_said_so() {
    let gateway = TestGateway::start(ANY_STREAM);
    let addr = gateway.addr(PortKind::Both);
    let viewer = connect(addr, PLAY, options()).unwrap();
    gateway.wait_viewers(DEMO, 1, DEADLINE);
    let publisher = connect(addr, PUBLISH, options()).unwrap();
    let messages: Vec<Vec<u8>> = (0..40_usize)
        .map(|n| vec![n.to_le_bytes()[0]; 100 + 30 * n])
        .collect();
    for message in &messages {
        publisher.send(message).unwrap();
    }
    let mut buffer = [0; 1456];
    for message in &messages {
        let length = viewer.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], message.as_slice());
    }
    let report = wait_for(DEADLINE, "the kind of payload", || {
        publisher.send(&messages[3]).unwrap();
        let report = gateway.detail(DEMO)?.ts()?.clone();
        (report.payload == Payload::Other).then_some(report)
    });
    assert_eq!(report.programs, []);
}

/// How long a new viewer may wait for its first picture, beyond connecting, the latency and ffmpeg's own time.
const PATIENCE: Duration = Duration::from_millis(200);

/// The time within which most of five tries stay: a busy machine is late now and then, a gateway that waits for the
/// next keyframe is late most of the time.
fn median(mut attempt: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<_> = (0..5).map(|_| attempt()).collect();
    times.sort_unstable();
    println!("beyond connecting and the latency of {LATENCY:?}: {times:?}");
    times[2]
}

/// A new viewer gets PAT and PMT first, then a whole keyframe, at once: from the ring, not with the next GOP.
#[test]
fn a_new_viewer_begins_with_tables_and_a_keyframe_at_once() {
    let gateway = TestGateway::start(ANY_STREAM);
    let addr = gateway.addr(PortKind::Both);
    // A GOP of 4.5 s at this rate.
    let source = StampedTs::generate(63, 20_000, 100_000);
    let publisher = Publisher::connect(
        addr,
        PUBLISH,
        options(),
        (source.bytes(), 100_000, Tail::NullPackets),
    );
    gateway.wait_stream(DEMO, DEADLINE, "a keyframe", |stream| stream.bytes > 15_000);
    let taken = median(|| {
        let begun = Instant::now();
        let viewer = connect(addr, PLAY, options()).unwrap();
        let connected = begun.elapsed();
        let mut buffer = [0; 1456];
        let mut got = Vec::new();
        let pid = |packet: &[u8; 188]| TsPacket::new(packet).unwrap().pid().as_u16();
        // The message with the tables may begin with the end of earlier data, and end before the picture.
        let [pat, pmt, picture] = loop {
            let length = viewer.recv(&mut buffer).unwrap();
            got.extend_from_slice(&buffer[..length]);
            let packets = got.as_chunks::<188>().0;
            let at = packets.iter().position(|packet| pid(packet) == 0);
            let at = at.filter(|at| *at < 7).expect("a PAT in the first message");
            if let Some(found) = packets[at..].first_chunk() {
                break found;
            }
        };
        let first = begun.elapsed();
        let view = |bytes| TsPacket::new(bytes).unwrap();
        assert_eq!((pid(pat), pid(pmt)), (0, 0x1000));
        assert!(view(picture).is_unit_start());
        assert!(view(picture).adaptation().unwrap().is_random_access());
        // It was sent before the viewer connected: not the next of its group.
        assert!(source.place_of(picture).is_some());
        first.saturating_sub(connected + LATENCY)
    });
    assert!(taken < PATIENCE, "{taken:?}");
    drop(publisher);
}

/// ffmpeg decodes one picture and ends. Its own start-up time, measured with the same stream from a file, is
/// subtracted.
#[test]
fn ffmpeg_shows_its_first_picture_soon_after_connecting() {
    let gateway = TestGateway::start(ANY_STREAM);
    let addr = gateway.addr(PortKind::Both);
    let publisher = Publisher::connect(
        addr,
        PUBLISH,
        options(),
        (sample_ts().bytes(), Sample::RATE, Tail::Repeat),
    );
    gateway.wait_stream(DEMO, DEADLINE, "half a GOP more than one", |stream| {
        stream.bytes > 700_000
    });
    let first_picture = |input: &str| {
        let begun = Instant::now();
        let output = Command::new(&peers::require().ffmpeg)
            .args("-nostdin -v error -f mpegts -analyzeduration 0 -probesize 5000".split(' '))
            .args("-flags low_delay -threads 1 -i".split(' '))
            .arg(input)
            .args("-map 0:v -frames:v 1 -f null -".split(' '))
            .output()
            .expect("ffmpeg starts: peers::require found it");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        begun.elapsed()
    };
    let file = sample_ts().path().display().to_string();
    let url = SrtUrl::caller(addr).latency(LATENCY).stream_id(PLAY).for_ffmpeg();
    // One after the other, so that both run on the same load.
    let taken = median(|| {
        let by_file = first_picture(&file);
        first_picture(&url).saturating_sub(by_file + LATENCY)
    });
    assert!(taken < PATIENCE, "{taken:?}");
    drop(publisher);
}
