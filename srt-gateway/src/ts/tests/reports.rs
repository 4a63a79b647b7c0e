//! Tests of reports: tables, formats, clocks, rates, kinds of payload.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;

use super::build::{AUDIO, Mux, PMT, Packet, VIDEO, pmt_section, section};
use crate::ts::*;

/// Observes packets one by one, one per millisecond, and returns the report.
fn report(packets: &[Packet]) -> TsReport {
    let mut observer = Observer::new();
    let begun = Instant::now();
    for (at, packet) in (0..).zip(packets) {
        observer.observe_at(packet, begun + Duration::from_millis(at));
    }
    observer.report()
}

/// A PAT of one program, and its PMT with these streams: type, PID and descriptors.
fn tables(mux: &mut Mux, streams: &[(u8, u16, Vec<u8>)]) -> Vec<Packet> {
    let mut packets = vec![mux.pat(&[(1, PMT)])];
    packets.extend(mux.section(PMT, &pmt_section(&[], streams)));
    packets
}

/// An SDT section that gives program 1 this provider and name.
fn sdt(provider: &[u8], name: &[u8]) -> Vec<u8> {
    let mut descriptor = vec![0x01, provider.len() as u8];
    descriptor.extend(provider);
    descriptor.push(name.len() as u8);
    descriptor.extend(name);
    let mut body = vec![
        0x00,
        0x01,
        0xFF,
        0x00,
        0x01,
        0xFC,
        0x80,
        descriptor.len() as u8 + 2,
        0x48,
    ];
    body.push(descriptor.len() as u8);
    body.extend(descriptor);
    section(0x42, 1, &body)
}

#[test]
fn programs_streams_languages_and_names_are_told() {
    let mut mux = Mux::default();
    let streams = [
        (0x1B, VIDEO, vec![]),
        (
            0x0F,
            AUDIO,
            vec![0x0A, 8, b'd', b'e', b'u', 0, b'E', b'N', b'G', 0],
        ),
        (0x06, 0x102, vec![0x56, 5, b'd', b'e', b'u', 0x09, 0x00]),
        (0x06, 0x103, vec![0x59, 8, b'f', b'r', b'a', 0x10, 0, 1, 0, 1]),
        (0x06, 0x104, vec![0x6A, 1, 0]),
        (
            0x06,
            0x105,
            vec![0x05, 4, b'O', b'p', b'u', b's', 0x7F, 2, 0x80, 2],
        ),
        (0x86, 0x106, vec![]),
        (0x06, 0x107, vec![0x05, 4, b'X']),
    ];
    let mut packets = tables(&mut mux, &streams);
    packets.extend(mux.section(0x11, &sdt(b"\x01\xC0\xC1", b"Caf\xC2e TV\x86!")));
    let report = report(&packets);
    let [program] = report.programs.as_slice() else {
        panic!("{report:?}");
    };
    assert_eq!(
        (program.number, program.pmt_pid, program.pcr_pid),
        (1, PMT, Some(0x100))
    );
    assert_eq!(program.service_name.as_deref(), Some("Café TV!"));
    assert_eq!(program.provider_name.as_deref(), Some("РС"), "ISO 8859-5");
    let told: Vec<_> = program
        .streams
        .iter()
        .map(|stream| {
            (
                stream.pid,
                stream.kind,
                stream.codec.as_str(),
                stream.languages.join(" "),
            )
        })
        .collect();
    let expected = [
        (VIDEO, StreamKind::Video, "H.264", ""),
        (AUDIO, StreamKind::Audio, "AAC", "deu eng"),
        (0x102, StreamKind::Teletext, "teletext", "deu"),
        (0x103, StreamKind::Subtitles, "DVB subtitles", "fra"),
        (0x104, StreamKind::Audio, "AC-3", ""),
        (0x105, StreamKind::Audio, "Opus", ""),
        (0x106, StreamKind::Scte35, "SCTE-35", ""),
        (0x107, StreamKind::Data, "private data", ""),
    ]
    .map(|(pid, kind, codec, languages)| (pid, kind, codec, languages.to_owned()));
    assert_eq!(told, expected);
    let carries = |pid| {
        let found = report.pids.iter().find(|known| known.pid == pid);
        found.and_then(|known| known.carries.as_deref())
    };
    assert_eq!(
        carries(0x102),
        Some("teletext (deu)"),
        "it is listed before its first packet"
    );
    assert_eq!(
        (carries(0), carries(PMT), carries(0x11)),
        (Some("PAT"), Some("PMT"), Some("SDT, BAT"))
    );
}

#[test]
fn a_clock_at_a_constant_rate_is_judged_by_its_places() {
    let mut mux = Mux::default();
    let mut packets = tables(&mut mux, &[(0x1B, VIDEO, vec![])]);
    let mut clock = 27_000_000_u64;
    let mut pcr = |mux: &mut Mux, off: i64| {
        let at = clock + 27_000 * 20;
        clock = at;
        let mut packets =
            vec![mux.stamped(VIDEO, 90_000, Some(at.saturating_add_signed(off)), &[0, 0, 1, 9])];
        packets.extend((1..20).map(|_| mux.more(VIDEO, &[0; 184])));
        packets
    };
    for _ in 0..100 {
        packets.extend(pcr(&mut mux, 0));
    }
    let told = report(&packets);
    assert_eq!(told.clocks[0].accuracy_ns, Some(0));
    assert_eq!(told.clocks[0].transport_bits_per_second, Some(188 * 8 * 1000));
    assert!((told.clocks[0].interval_ms - 20.0).abs() < 0.001 && told.clocks[0].jitter_ms < 0.001);
    let failures = |packets: &[Packet]| {
        let mut observer = Observer::new();
        for packet in packets {
            observer.observe(packet);
        }
        observer.counters().checks.of(Check::PcrAccuracyError)
    };
    assert_eq!(failures(&packets), 0);
    // 13 ticks are 481 ns. Their effect shifts the line by an eighth.
    packets.extend(pcr(&mut mux, 13));
    packets.extend(pcr(&mut mux, 0));
    assert_eq!(failures(&packets), 0);
    packets.extend(pcr(&mut mux, 20));
    packets.extend(pcr(&mut mux, 0));
    packets.extend(pcr(&mut mux, -50));
    packets.extend(pcr(&mut mux, 0));
    assert_eq!(failures(&packets), 2);
}

#[test]
fn a_variable_rate_is_no_inaccuracy() {
    let mut mux = Mux::default();
    let mut packets = tables(&mut mux, &[(0x1B, VIDEO, vec![])]);
    for n in 0..200_u64 {
        packets.push(mux.stamped(VIDEO, 90_000, Some(27_000_000 + n * 540_000), &[0, 0, 1, 9]));
        packets.extend((0..10 + n * 7 % 13).map(|_| mux.more(VIDEO, &[0; 184])));
    }
    let told = report(&packets);
    assert_eq!(told.clocks[0].accuracy_ns, None);
    let accuracy = told.checks.iter().find(|check| check.number == "2.4").unwrap();
    assert_eq!(accuracy.count, 0);
}

#[test]
fn keyframe_distances_are_told_in_pictures_and_time() {
    let mut mux = Mux::default();
    let mut packets = tables(&mut mux, &[(0x1B, VIDEO, vec![])]);
    let key = [0, 0, 1, 9, 0x10, 0, 0, 1, 0x65, 0x88];
    let other = [0, 0, 1, 9, 0x30, 0, 0, 1, 0x41, 0x9A];
    // 25 pictures per second; keyframes at pictures 3, 15 and 65.
    for n in 0..70 {
        let data = if [3, 15, 65].contains(&n) { &key } else { &other };
        packets.push(mux.stamped(VIDEO, 90_000 + n * 3600, None, data));
    }
    let gop = report(&packets).gop.unwrap();
    assert_eq!((gop.pid, gop.keyframes, gop.pictures), (VIDEO, 3, 50));
    assert!((gop.seconds - 2.0).abs() < 1e-9 && (gop.seconds_max - 2.0).abs() < 1e-9);
    assert_eq!(gop.pictures_per_second, Some(25.0));
}

#[test]
fn timestamps_that_run_back_are_counted() {
    let mut mux = Mux::default();
    let mut packets = tables(&mut mux, &[(0x0F, AUDIO, vec![])]);
    for pts in [1000, 2000, 1999, 3000, (1 << 33) - 5, 10, 20] {
        packets.push(mux.stamped(AUDIO, pts, None, &[0xFF, 0xF1]));
    }
    // 1999 after 2000, and the step from 3000 back over zero: from there on it runs forwards.
    assert_eq!(report(&packets).timestamp_errors, 2);
}

#[test]
fn kinds_of_payload_are_told() {
    let mut mux = Mux::default();
    let mut plain: Vec<Packet> = Vec::new();
    for n in 0..1500_u64 {
        if n % 100 == 0 {
            plain.extend(tables(&mut mux, &[(0x1B, VIDEO, vec![])]));
        }
        plain.push(mux.stamped(VIDEO, 90 * n, None, &[0, 0, 1, 9]));
    }
    assert_eq!(report(&plain).payload, Payload::MpegTs);
    let mut scrambled = plain.clone();
    for packet in scrambled.iter_mut().filter(|packet| packet[1] & 0x1F == 0x01) {
        packet[3] |= 0x80;
    }
    let told = report(&scrambled);
    assert_eq!(told.payload, Payload::MpegTsScrambled);
    let video = told.pids.iter().find(|pid| pid.pid == VIDEO).unwrap();
    assert_eq!(video.scrambled, 1500);
    // Packets with parity, in messages that cut them anywhere.
    let parity: Vec<u8> = plain
        .iter()
        .flat_map(|packet| [&packet[..], &[0xAA; 16]].concat())
        .collect();
    for size in [1316, 204, 777, 1456] {
        let mut observer = Observer::new();
        for message in parity.chunks(size) {
            observer.observe(message);
        }
        assert_eq!(
            observer.report().payload,
            Payload::MpegTs204,
            "messages of {size}"
        );
        assert_eq!(
            observer.counters().packets,
            plain.len() as u64,
            "messages of {size}"
        );
        assert_eq!(observer.counters().checks.of_priority(1), 0, "messages of {size}");
    }
    let mut observer = Observer::new();
    for _ in 0..20 {
        observer.observe(b"RTMP, for example");
    }
    assert_eq!(observer.report().payload, Payload::Other);
}

#[test]
fn counts_go_on_when_an_input_feeds_again() {
    let mut mux = Mux::default();
    let packets: Vec<Packet> = (0..10).map(|n| mux.more(VIDEO, &[n; 184])).collect();
    let board = Board::new();
    for _ in 0..2 {
        let mut observer = Observer::on(board.clone());
        for packet in [&packets[..3], &packets[5..]].concat() {
            observer.observe(&packet);
        }
        assert_eq!(observer.report().checks[0].last_minute, 0);
    }
    let (counters, _) = board.counts();
    assert_eq!(counters.packets, 16);
    assert_eq!(
        counters.checks.of(Check::ContinuityCountError),
        2,
        "none for the time in between"
    );
}

#[test]
fn there_may_be_more_pids_than_places() {
    let mut mux = Mux::default();
    let packets: Vec<Packet> = (0x200..0x300).map(|pid| mux.more(pid, &[0; 184])).collect();
    let told = report(&packets);
    assert!(told.pids.len() <= 128);
    let others = told.pids.iter().find(|pid| pid.pid == u16::MAX).unwrap();
    assert!(others.packets > 100, "{others:?}");
    assert_eq!(told.pids.iter().map(|pid| pid.packets).sum::<u64>(), 256);
}

/// Sections, samples and garbage as they may occur in a stream.
fn payload() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let table = (
        prop_oneof![Just(0), Just(2), Just(0x42)],
        vec(any::<u8>(), 0..150),
    )
        .prop_map(|(id, body)| section(id, 1, &body));
    let pid = prop_oneof![
        Just(0),
        Just(0x11),
        Just(PMT),
        Just(VIDEO),
        Just(AUDIO),
        0..0x2000_u16
    ];
    (pid, prop_oneof![table, vec(any::<u8>(), 1..170)])
}

proptest! {
    #[test]
    fn no_tables_make_a_report_panic(payloads in vec(payload(), 0..40), times in vec(0..2000_u64, 40)) {
        let mut mux = Mux::default();
        let mut observer = Observer::new();
        let mut now = Instant::now();
        let known = tables(&mut mux, &[(0x1B, VIDEO, vec![]), (0x24, AUDIO, vec![])]);
        for packet in known {
            observer.observe_at(&packet, now);
        }
        for ((pid, payload), wait) in payloads.into_iter().zip(times) {
            now += Duration::from_millis(wait);
            for packet in mux.section(pid, &payload) {
                observer.observe_at(&packet, now);
            }
        }
        let told = observer.report();
        prop_assert_eq!(told.checks.len(), Check::ALL.len());
    }

    #[test]
    fn no_picture_makes_a_report_panic(data in vec(any::<u8>(), 0..170), codec in prop_oneof![Just(0x1B_u8), Just(0x24), Just(2)]) {
        let mut mux = Mux::default();
        let mut packets = tables(&mut mux, &[(codec, VIDEO, vec![]), (0x81, AUDIO, vec![])]);
        let code: &[u8] = match codec {
            0x1B => &[0, 0, 1, 0x67],
            0x24 => &[0, 0, 1, 0x42, 0x01],
            _ => &[0, 0, 1, 0xB3],
        };
        let sample = [code, &data[..data.len().min(150)]].concat();
        packets.push(mux.pes(VIDEO, None, &sample));
        packets.push(mux.pes(VIDEO, None, &sample));
        packets.push(mux.pes(AUDIO, None, &[&[0x0B, 0x77][..], &sample].concat()));
        packets.push(mux.pes(AUDIO, None, &sample));
        let told = report(&packets);
        prop_assert_eq!(told.programs[0].streams.len(), 2);
    }
}

#[test]
fn the_rate_of_what_is_no_transport_stream_is_that_of_its_bytes() {
    let mut observer = Observer::new();
    let begun = Instant::now();
    for at in 0..2_500_u64 {
        observer.observe_at(&[0x42; 1_000], begun + Duration::from_millis(at));
    }
    let report = observer.report();
    assert_eq!(report.payload, Payload::Other);
    let rate = report.bits_per_second;
    assert!((7_900_000..=8_100_000).contains(&rate), "{rate}");
}
