//! Inputs with errors, and inputs that are all errors.

use mpeg2ts::es::StreamType;
use proptest::collection::vec;
use proptest::prelude::*;

use super::build::{Mux, PMT, Packet, VIDEO, adaptation};
use crate::ts::*;

fn continuity_errors(packets: &[Packet]) -> u64 {
    counters(packets).checks.of(Check::ContinuityCountError)
}

/// Packets, sync losses, continuity errors.
fn brief(observer: &Observer) -> (u64, u64, u64) {
    let counters = observer.counters();
    let of = |check| counters.checks.of(check);
    (
        counters.packets,
        of(Check::TsSyncLoss),
        of(Check::ContinuityCountError),
    )
}

fn counters(packets: &[Packet]) -> TsCounters {
    let mut observer = Observer::new();
    for packet in packets {
        observer.observe(packet);
    }
    observer.counters()
}

#[test]
fn a_missing_packet_is_a_continuity_error_and_a_repeated_one_is_not() {
    let mut mux = Mux::default();
    let packets: [Packet; 4] = std::array::from_fn(|n| mux.more(VIDEO, &[n as u8; 184]));
    let [a, b, c, d] = packets;
    assert_eq!(continuity_errors(&packets), 0);
    assert_eq!(continuity_errors(&[a, b, d]), 1);
    assert_eq!(continuity_errors(&[a, b, b, c]), 0);
    assert_eq!(continuity_errors(&[a, b, b, b, c]), 1);
    assert_eq!(continuity_errors(&[a, c, b, d]), 3);
    assert_eq!(continuity_errors(&[a, mux.clock(VIDEO, 5), b]), 0);
}

#[test]
fn an_announced_jump_is_no_continuity_error() {
    let mut mux = Mux::default();
    let before = mux.more(VIDEO, &[0; 184]);
    mux.more(VIDEO, &[0; 184]);
    let field = mpeg2ts::ts::AdaptationField {
        discontinuity_indicator: true,
        ..adaptation()
    };
    let after = mux.pes(VIDEO, Some(field), &[0, 0, 1, 9]);
    assert_eq!(continuity_errors(&[before, after]), 0);
}

#[test]
fn null_and_faulty_packets_are_counted_and_not_believed() {
    let mut mux = Mux::default();
    let mut faulty = mux.pat(&[(1, PMT)]);
    faulty[1] |= 0x80;
    let packets = [mux.null(), faulty, mux.null(), mux.null()];
    let counters = counters(&packets);
    assert_eq!((counters.packets, counters.null_packets), (4, 3));
    assert_eq!(counters.checks.of(Check::TransportError), 1);
    assert_eq!(counters.checks.of_priority(1) + counters.checks.of_priority(2), 1);
}

#[test]
fn a_table_whose_crc_is_wrong_changes_nothing() {
    let mut mux = Mux::default();
    let [pat, pmt] = mux.tables(StreamType::H264);
    let mut broken = mux.pmt(PMT, 1, &[(StreamType::H265, 0x300)]);
    broken[150..].iter_mut().for_each(|byte| *byte ^= 1);
    let mut observer = Observer::new();
    for packet in [pat, pmt, broken] {
        observer.observe(&packet);
    }
    assert_eq!(observer.video().unwrap().codec, VideoCodec::H264);
}

#[test]
fn stray_bytes_are_one_sync_loss_and_packets_after_them_are_found() {
    let mut mux = Mux::default();
    let packets: Vec<Packet> = (0..6).map(|_| mux.dependent()).collect();
    let mut observer = Observer::new();
    observer.observe(&packets[..3].concat());
    observer.observe(&[&[0xAA; 40][..], &packets[3..].concat()].concat());
    assert_eq!(brief(&observer), (6, 1, 0));
}

#[test]
fn a_message_cut_short_costs_one_packet() {
    let mut mux = Mux::default();
    let messages: Vec<Vec<u8>> = (0..3)
        .map(|_| [mux.dependent(), mux.dependent()].concat())
        .collect();
    let mut observer = Observer::new();
    observer.observe(&messages[0][..300]);
    observer.observe(&messages[1]);
    observer.observe(&messages[2]);
    assert_eq!(brief(&observer), (5, 1, 1));
    assert_eq!(observer.format(), Format::Ts);
}

#[test]
fn what_is_no_transport_stream_is_said_once_and_begins_anywhere() {
    let mut mux = Mux::default();
    let mut observer = Observer::new();
    let mut changes = Vec::new();
    for number in 0..40_u64 {
        let observation = observer.observe(&[0x20; 1316]);
        changes.extend(observation.format_change.map(|format| (number, format)));
        let any = StartPoint {
            kind: StartPointKind::AnyMessage,
            messages_back: 0,
        };
        assert_eq!(observation.start_point, (number >= 15).then_some(any));
    }
    for number in 40..50 {
        let observation = observer.observe(&[mux.null(), mux.null()].concat());
        changes.extend(observation.format_change.map(|format| (number, format)));
    }
    assert_eq!(changes, [(15, Format::NotTs), (43, Format::Ts)]);
    assert_eq!(brief(&observer).1, 0, "it never was in sync before");
}

#[test]
fn a_start_point_is_later_than_those_of_the_format_before() {
    let mut mux = Mux::default();
    let mut observer = Observer::new();
    let tables = |mux: &mut Mux| {
        [
            mux.pat(&[(1, PMT)]),
            mux.pmt(PMT, 1, &[(StreamType::AdtsAac, 0x101)]),
        ]
    };
    // Up to message 18 it is no transport stream, so a viewer can start there: its PAT comes second.
    let alien = std::iter::repeat_with(|| vec![0x20; 1316]).take(16);
    let [pat, pmt] = tables(&mut mux);
    let packets = [mux.null(), mux.null(), pat, pmt].map(|packet| packet.to_vec());
    let messages = alien.chain(packets).chain([tables(&mut mux).concat()]);
    let mut starts = Vec::new();
    for (index, message) in messages.enumerate() {
        starts.extend(
            observer
                .observe(&message)
                .start_point
                .map(|start| index as u64 - start.messages_back),
        );
    }
    assert_eq!(starts, [15, 16, 17, 18, 20]);
}

#[test]
fn a_few_broken_messages_do_not_change_what_the_stream_is() {
    let mut mux = Mux::default();
    let mut observer = Observer::new();
    observer.observe(&mux.null());
    for _ in 0..100 {
        for _ in 0..15 {
            assert_eq!(observer.observe(&[0x20; 1316]).format_change, None);
        }
        assert_eq!(observer.observe(&mux.null()).format_change, None);
    }
    assert_eq!(brief(&observer).1, 100);
}

/// Bytes that sometimes look like packets.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let noise = vec(any::<u8>(), 0..400);
    let packets = vec((0..0x40_u8, vec(any::<u8>(), 12)), 1..4).prop_map(|packets| {
        let packet = |(pid, start): (u8, Vec<u8>)| {
            let mut packet = vec![0x47, start[0] & 0xC0, pid & 3, start[1]];
            packet.extend(&start[2..]);
            packet.resize(PACKET_LEN, start[2]);
            packet
        };
        packets.into_iter().flat_map(packet).collect::<Vec<u8>>()
    });
    prop_oneof![noise, packets]
}

proptest! {
    #[test]
    fn no_bytes_make_the_observer_panic_or_report_a_message_that_was_not(messages in vec(message(), 0..60)) {
        let mut observer = Observer::new();
        let mut last = None;
        for (index, message) in messages.iter().enumerate() {
            if let Some(start) = observer.observe(message).start_point {
                prop_assert!(start.messages_back <= index as u64);
                let start = index as u64 - start.messages_back;
                prop_assert!(last < Some(start));
                last = Some(start);
            }
        }
        let bytes: usize = messages.iter().map(Vec::len).sum();
        prop_assert!(observer.counters().packets <= (bytes / PACKET_LEN) as u64);
    }

    #[test]
    fn damage_to_a_good_stream_is_survived(flips in vec((0..60 * PACKET_LEN, any::<u8>()), 0..200)) {
        let mut mux = Mux::default();
        let mut stream = Vec::new();
        for _ in 0..12 {
            stream.extend(mux.tables(StreamType::H264).concat());
            stream.extend([mux.announced_keyframe(), mux.dependent(), mux.null()].concat());
        }
        for (at, value) in flips {
            stream[at] = value;
        }
        let mut observer = Observer::new();
        for message in stream.chunks(7 * PACKET_LEN) {
            observer.observe(message);
        }
        for _ in 0..3 {
            observer.observe(&[mux.tables(StreamType::H264).concat(), mux.announced_keyframe().to_vec()].concat());
        }
        prop_assert_eq!(observer.video().map(|video| video.pid.as_u16()), Some(VIDEO), "it finds its way back");
    }
}
