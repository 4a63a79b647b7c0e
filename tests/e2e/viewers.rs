//! Viewers get everything, in the same messages, from a keyframe on, regardless of other viewers.

use crate::common::{ANY_STREAM, DEADLINE, DEMO, PLAY, PUBLISH, options};
use srt_e2e::client::{Publisher, Received, Viewer, connect};
use srt_e2e::gateway::GatewayProcess;
use srt_e2e::impair::{Impairment, Way};
use srt_e2e::in_process::TestGateway;
use srt_e2e::pace::Tail;
use srt_e2e::ports::free_udp;
use srt_e2e::rng::Rng;
use srt_e2e::source::{StampedTs, TS_PACKET, Verifier, contiguous_part};
use srt_e2e::wait::wait_until;
use srt_gateway::config::PortKind;
use srt_safe::SrtSocket;
use std::time::{Duration, Instant};

const MEGABITS_5: u64 = 5_000_000;

#[track_caller]
fn assert_all(received: &Received, source: &StampedTs) {
    if received.bytes == *source.bytes() {
        return;
    }
    // Prints the missing packets, and fails.
    let mut verifier = Verifier::new(source);
    verifier.feed(&received.bytes);
    verifier.finish().assert_exact(source.packets());
    panic!("not the same bytes");
}

/// For a stream with a tail: live SRT retransmits a lost packet only if a later one shows that it is missing, so the
/// very last packet may stay lost.
#[track_caller]
fn assert_begins_with(mut received: Received, source: &StampedTs) {
    received.bytes.truncate(source.bytes().len());
    assert_all(&received, source);
}

#[test]
fn fifty_viewers_get_every_byte() {
    const VIEWERS: u32 = 50;
    let gateway = TestGateway::start(ANY_STREAM);
    let addr = gateway.addr(PortKind::Both);
    // One UDP port for all of them, as behind a NAT: two libsrt threads instead of a hundred.
    let local = free_udp();
    let patient = options().latency(Duration::from_millis(600));
    let viewers: Vec<Viewer> = (0..VIEWERS)
        .map(|_| {
            let id = srt_safe::StreamId::new(PLAY).unwrap();
            let caller = SrtSocket::builder()
                .options(patient.clone())
                .stream_id(id)
                .bind(local);
            Viewer::start(caller.connect(addr).unwrap())
        })
        .collect();
    gateway.wait_viewers(DEMO, VIEWERS, DEADLINE);
    // Three seconds.
    let source = StampedTs::generate(50, 9_975, MEGABITS_5);
    let publisher = Publisher::connect(addr, PUBLISH, patient, (source.bytes(), MEGABITS_5, Tail::Close));
    for viewer in &viewers {
        viewer.wait_received(source.bytes().len(), DEADLINE);
    }
    drop(publisher);
    for viewer in viewers {
        assert_all(&viewer.finish(), &source);
    }
}

/// A counter in the "closed" line of a session: `skipped`, `dropped`.
fn counted(line: &str, what: &str) -> u64 {
    let (before, _) = line
        .split_once(&format!(" {what}"))
        .unwrap_or_else(|| panic!("no {what} in {line}"));
    let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap();
    digits.parse().unwrap()
}

#[test]
fn viewer_that_stops_reading_is_counted_and_slows_nobody() {
    let mut gateway = GatewayProcess::start(
        &format!(
            "{ANY_STREAM}\n[srt_play]\nport = \"127.0.0.1:0\"\n# Little room in libsrt: what is late waits in the ring.\n\
             options = {{ sndbuf = 150000, tlpktdrop = false }}\n\
             [streams.\"live/demo\"]\nring = \"512KiB\"\n"
        ),
        "listening",
    );
    let (addr, small) = (gateway.addr(PortKind::Both), gateway.addr(PortKind::Play));
    // Little buffer at the viewer too, so that three seconds without reading fill it.
    let narrow = || options().flow_window(64).receive_buffer(64 * 1456);
    let good: Vec<Viewer> = (0..5).map(|_| Viewer::connect(addr, PLAY, options())).collect();
    let (dropping, skipping) = (
        connect(addr, PLAY, narrow()).unwrap(),
        connect(small, "#!::r=live/demo", narrow().too_late_drop(false)).unwrap(),
    );
    let log = gateway.process();
    wait_until(DEADLINE, "seven viewers", || {
        let lines = log.lines();
        lines
            .iter()
            .filter(|line| line.contains("role=viewer") && line.contains("connected"))
            .count()
            == 7
    });
    let source = StampedTs::generate(51, 4 * 3_325, MEGABITS_5);
    let publisher = Publisher::connect(
        addr,
        PUBLISH,
        options(),
        (source.bytes(), MEGABITS_5, Tail::NullPackets),
    );
    for viewer in &good {
        viewer.wait_received(source.bytes().len(), DEADLINE);
    }
    for viewer in good {
        let received = viewer.finish();
        let part = contiguous_part(&source.bytes(), &received.bytes);
        assert_eq!(part, 0..source.bytes().len());
    }
    assert!(publisher.feeder().is_through());
    // Now the two read the buffered and the new messages, each still as it was sent.
    for socket in [dropping, skipping] {
        let viewer = Viewer::start(socket);
        let had = viewer.len();
        wait_until(DEADLINE, "a stalled viewer to go on or to be gone", || {
            viewer.len() >= had + 300_000 || !viewer.is_connected()
        });
        let received = viewer.finish();
        assert!(received.sizes.iter().all(|size| *size == 7 * 188));
        let mut verifier = Verifier::new(&source);
        let nulls = srt_e2e::pace::null_packets(1);
        for packet in received.bytes.chunks(188).filter(|packet| *packet != nulls) {
            verifier.feed(packet);
        }
        let report = verifier.finish();
        assert_eq!(
            (report.corrupt, report.duplicates, report.reordered),
            (0, 0, 0),
            "{report:?}"
        );
        assert!(
            report.packets < source.packets(),
            "nothing was too late: {report:?}"
        );
    }
    // Both have skipped, and the log line of each shows it; for one of them libsrt has dropped packets before.
    let closed = |lines: &[String]| -> Vec<String> {
        let viewers = lines.iter().filter(|line| line.contains("role=viewer"));
        viewers.filter(|line| line.contains("closed")).cloned().collect()
    };
    wait_until(DEADLINE, "seven viewers closed", || {
        closed(&log.lines()).len() == 7
    });
    let lines = closed(&log.lines());
    let of = |what| lines.iter().filter(|line| counted(line, what) > 0).count();
    assert_eq!((of("dropped"), of("skipped")), (1, 2), "{}", log.tail());
    drop(publisher);
}

#[test]
fn viewer_with_a_narrow_path_continues_at_keyframes() {
    // Two thirds of the stream's rate, in bytes a second.
    let gateway = TestGateway::start(&format!(
        "{ANY_STREAM}\n[srt_play]\nport = \"127.0.0.1:0\"\noptions = {{ maxbw = {} }}\n",
        MEGABITS_5 / 8 * 2 / 3
    ));
    let source = StampedTs::generate(58, 12 * 3_325, MEGABITS_5);
    let wide = Viewer::connect(gateway.addr(PortKind::Both), PLAY, options());
    let narrow = Viewer::connect(gateway.addr(PortKind::Play), "#!::r=live/demo", options());
    gateway.wait_viewers(DEMO, 2, DEADLINE);
    let _publisher = Publisher::connect(
        gateway.addr(PortKind::Both),
        PUBLISH,
        options(),
        (source.bytes(), MEGABITS_5, Tail::NullPackets),
    );
    wide.wait_received(source.bytes().len(), DEADLINE);
    assert_begins_with(wide.finish(), &source);
    let received = narrow.finish();
    let places: Vec<usize> = received
        .bytes
        .chunks(188)
        .filter_map(|packet| source.place_of(packet))
        .collect();
    // PAT and PMT, which carry no position, come before a keyframe. PAT may be anywhere in its message.
    let group = StampedTs::group();
    let begins_message = |place: usize| place % group == 2 || place % group + 7 > group;
    let (mut clean, mut torn) = (0, 0);
    for pair in places.windows(2) {
        let tables = if pair[1] % group == 2 { 2 } else { 0 };
        let missing = pair[1] - pair[0] - 1 - tables;
        *(if begins_message(pair[1]) {
            &mut clean
        } else {
            &mut torn
        }) += missing;
    }
    // libsrt drops some packets until the gateway has adapted to this viewer, and whenever the machine stalls. The
    // excess over the path's capacity is much more.
    assert!(
        clean > torn,
        "{clean} packets are missing before keyframes, {torn} elsewhere"
    );
    assert!(clean > source.packets() / 12, "{clean} of {}", source.packets());
}

#[test]
fn viewer_before_the_publisher_gets_the_first_byte() {
    let gateway = TestGateway::start(ANY_STREAM);
    let addr = gateway.addr(PortKind::Both);
    let viewer = Viewer::connect(addr, PLAY, options());
    gateway.wait_viewers(DEMO, 1, DEADLINE);
    assert!(gateway.stream(DEMO).is_some_and(|stream| !stream.has_source));
    let source = StampedTs::generate(52, 1_000, MEGABITS_5);
    let publisher = Publisher::connect(
        addr,
        PUBLISH,
        options(),
        (source.bytes(), MEGABITS_5, Tail::Close),
    );
    viewer.wait_received(source.bytes().len(), DEADLINE);
    assert_all(&viewer.finish(), &source);
    drop(publisher);
}

#[test]
fn loss_and_delay_on_both_legs_lose_nothing() {
    // Until libsrt has measured the round trip it assumes 100 ms, and requests a packet that is lost twice again after
    // 300 ms.
    let latency = Duration::from_secs(1);
    let gateway = TestGateway::start(ANY_STREAM);
    let path = |seed| {
        Impairment::builder()
            .loss(0.02)
            .delay(Duration::from_millis(30))
            .seed(seed)
            .start(gateway.addr(PortKind::Both))
    };
    let (ingest, egress) = (path(1), path(2));
    let viewers = [0; 2].map(|_| Viewer::connect(egress.addr(), PLAY, options().latency(latency)));
    gateway.wait_viewers(DEMO, 2, DEADLINE);
    let source = StampedTs::generate(53, 9_975, MEGABITS_5);
    let publisher = Publisher::connect(
        ingest.addr(),
        PUBLISH,
        options().latency(latency),
        (source.bytes(), MEGABITS_5, Tail::NullPackets),
    );
    for viewer in viewers {
        viewer.wait_received(source.bytes().len(), DEADLINE);
        assert_begins_with(viewer.finish(), &source);
    }
    drop(publisher);
    let lost = [
        ingest.counters(Way::ToServer).lost,
        egress.counters(Way::ToClient).lost,
    ];
    assert!(lost.iter().all(|lost| *lost > 10), "{lost:?}");
}

#[test]
fn immediate_ingest_adds_no_latency_and_puts_in_order_what_was_lost() {
    // With `ingest = "timed"` nothing can arrive before it.
    let ingest_latency = Duration::from_secs(8);
    let gateway = TestGateway::start(&format!("{ANY_STREAM}ingest = \"immediate\"\n"));
    let ingest = Impairment::builder()
        .loss(0.02)
        .delay(Duration::from_millis(30))
        .seed(3)
        .start(gateway.addr(PortKind::Both));
    let viewer = Viewer::connect(gateway.addr(PortKind::Both), PLAY, options());
    gateway.wait_viewers(DEMO, 1, DEADLINE);
    let source = StampedTs::generate(57, 6_650, MEGABITS_5);
    let begin = Instant::now();
    let publisher = Publisher::connect(
        ingest.addr(),
        PUBLISH,
        options().latency(ingest_latency),
        (source.bytes(), MEGABITS_5, Tail::NullPackets),
    );
    viewer.wait_received(source.bytes().len() / 2, DEADLINE);
    assert!(begin.elapsed() < ingest_latency, "{:?}", begin.elapsed());
    viewer.wait_received(source.bytes().len(), DEADLINE);
    assert_begins_with(viewer.finish(), &source);
    drop(publisher);
    assert!(ingest.counters(Way::ToServer).lost > 10);
}

#[test]
fn new_viewer_starts_at_tables_and_a_keyframe() {
    let gateway = TestGateway::start(ANY_STREAM);
    let addr = gateway.addr(PortKind::Both);
    let source = StampedTs::generate(54, 20_000, MEGABITS_5);
    let publisher = Publisher::connect(
        addr,
        PUBLISH,
        options(),
        (source.bytes(), MEGABITS_5, Tail::Close),
    );
    let group = u64::try_from(StampedTs::group() * 188).unwrap();
    for round in 1..4 {
        // From the middle of a group of pictures, whichever it is.
        gateway.wait_stream(DEMO, DEADLINE, "half a group", |stream| {
            stream.bytes > round * 2 * group && (group / 4..group).contains(&(stream.bytes % group))
        });
        let viewer = Viewer::connect(addr, PLAY, options());
        viewer.wait_received(3 * 1316, DEADLINE);
        let received = viewer.finish();
        let first = received.message(0).unwrap();
        let table = first
            .chunks(188)
            .position(|packet| packet[1] & 0x1F == 0 && packet[2] == 0)
            .unwrap_or_else(|| panic!("no PAT in the first message: {first:02x?}"));
        let packets: Vec<&[u8]> = received.bytes.chunks(188).skip(table).collect();
        let keyframe = source
            .place_of(packets[2])
            .expect("PAT and PMT come before a picture");
        assert_eq!(keyframe % StampedTs::group(), 2);
        assert_eq!(packets[0], source.packet(keyframe - 2).unwrap());
        drop(contiguous_part(&source.bytes(), &received.bytes));
    }
    drop(publisher);
}

/// Messages as they were sent, and as a viewer received them. Before the first keyframe no picture can be decoded, but
/// a decoder without PAT and PMT cannot even wait for one.
#[test]
fn whoever_comes_before_the_first_keyframe_starts_at_the_tables() {
    let output = free_udp();
    let gateway = TestGateway::start(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\n[streams.\"live/demo\"]\noutputs = [\"srt://{output}?mode=listener\"]\n"
    ));
    let addr = gateway.addr(PortKind::Both);
    // PAT, PMT, and pictures that are no keyframes, which begin at the fiftieth packet of a group.
    let source = StampedTs::generate(5, StampedTs::group(), MEGABITS_5);
    let packets: Vec<_> = source.bytes().chunks(TS_PACKET).map(<[u8]>::to_vec).collect();
    let stream: Vec<_> = packets[..2].iter().chain(&packets[50..]).cloned().collect();
    let messages: Vec<_> = stream.chunks(7).map(<[_]>::concat).collect();
    let publisher = connect(addr, PUBLISH, options()).unwrap();
    let send = |range: std::ops::Range<usize>| {
        for message in &messages[range] {
            publisher.send(message).unwrap();
        }
    };
    send(0..10);
    gateway.wait_stream(DEMO, DEADLINE, "the first messages", |stream| {
        stream.bytes >= 9 * 1_316
    });
    let [viewer, output] =
        [(addr, PLAY), (output, "")].map(|(addr, streamid)| Viewer::connect(addr, streamid, options()));
    gateway.wait_stream(DEMO, DEADLINE, "both", |stream| stream.viewers == 1);
    send(10..20);
    for viewer in [viewer, output] {
        viewer.wait_received(20 * 1_316, DEADLINE);
        assert!(
            viewer.finish().bytes == messages[..20].concat(),
            "not from the tables on"
        );
    }
}

fn relay_messages(messages: &[Vec<u8>]) -> Received {
    let gateway = TestGateway::start(ANY_STREAM);
    let addr = gateway.addr(PortKind::Both);
    let viewer = Viewer::connect(addr, PLAY, options());
    gateway.wait_viewers(DEMO, 1, DEADLINE);
    let publisher = connect(addr, PUBLISH, options()).unwrap();
    for message in messages {
        publisher.send(message).unwrap();
    }
    viewer.wait_received(messages.iter().map(Vec::len).sum(), DEADLINE);
    viewer.finish()
}

/// `size` bytes that are no MPEG-TS.
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    std::iter::repeat_with(|| rng.next_u64().to_le_bytes())
        .flatten()
        .filter(|byte| *byte != 0x47)
        .take(size)
        .collect()
}

#[test]
fn odd_messages_keep_their_boundaries() {
    let sizes = [1, 188, 1456, 7, 1316, 376, 1, 1, 1455, 187, 189, 1000];
    let messages: Vec<Vec<u8>> = (0..).zip(sizes).map(|(seed, size)| noise(seed, size)).collect();
    let received = relay_messages(&messages);
    assert_eq!(received.sizes, sizes);
    assert_eq!(received.bytes, messages.concat());
}

#[test]
fn payload_that_is_no_ts_is_relayed_as_it_is() {
    let messages: Vec<Vec<u8>> = (0..300).map(|seed| noise(seed, 1316)).collect();
    let received = relay_messages(&messages);
    assert_eq!(received.bytes, messages.concat());
}

#[test]
fn two_streams_at_once_do_not_mix() {
    let gateway = TestGateway::start(ANY_STREAM);
    let addr = gateway.addr(PortKind::Both);
    let streams = ["one", "two"].map(|name| {
        let viewers = [0; 2].map(|_| Viewer::connect(addr, &format!("#!::r={name},m=request"), options()));
        gateway.wait_viewers(name, 2, DEADLINE);
        (name, viewers)
    });
    let running = (60..).zip(streams).map(|(seed, (name, viewers))| {
        let source = StampedTs::generate(seed, 4_000, MEGABITS_5);
        let publisher = Publisher::connect(
            addr,
            &format!("#!::r={name},m=publish"),
            options(),
            (source.bytes(), MEGABITS_5, Tail::Close),
        );
        (source, publisher, viewers)
    });
    for (source, _publisher, viewers) in running.collect::<Vec<_>>() {
        for viewer in viewers {
            viewer.wait_received(source.bytes().len(), DEADLINE);
            assert_all(&viewer.finish(), &source);
        }
    }
}
