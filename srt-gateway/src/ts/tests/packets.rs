//! Tests of the packet view and of splitting into packets.

use std::time::Duration;

use proptest::prelude::*;

use super::build::{AUDIO, Mux, VIDEO};
use crate::ts::psi::crc32;
use crate::ts::*;

#[test]
fn the_fields_of_a_packet_are_those_that_mpeg2ts_wrote() {
    let mut mux = Mux::default();
    let null = mux.null();
    let null = TsPacket::new(&null).unwrap();
    assert_eq!(null.pid(), Pid::NULL);
    let keyframe = mux.announced_keyframe();
    let keyframe = TsPacket::new(&keyframe).unwrap();
    assert_eq!(keyframe.pid().as_u16(), VIDEO);
    assert!(keyframe.is_unit_start() && !keyframe.is_scrambled() && !keyframe.has_transport_error());
    assert!(keyframe.adaptation().unwrap().is_random_access());
    assert!(!keyframe.adaptation().unwrap().is_discontinuity());
    assert!(keyframe.payload().unwrap().starts_with(&[0, 0, 1, 0xE0]));
    assert_eq!(format!("{:?}", keyframe.pid()), "Pid(0x0100)");
    let more = mux.more(VIDEO, &[0xAB; 184]);
    let more = TsPacket::new(&more).unwrap();
    assert_eq!((more.continuity_counter(), more.is_unit_start()), (1, false));
    assert_eq!(more.payload(), Some(&[0xAB; 184][..]));
}

#[test]
fn a_clock_reference_keeps_its_27_mhz_ticks_and_wraps() {
    let mut mux = Mux::default();
    let ticks = ((1 << 33) - 1) * 300 + 299;
    let packet = mux.clock(AUDIO, ticks);
    let packet = TsPacket::new(&packet).unwrap();
    assert_eq!(packet.payload(), None);
    let late = packet.adaptation().unwrap().pcr().unwrap();
    assert_eq!(late.ticks(), ticks);
    let next = mux.clock(AUDIO, 27_000_000 - 1);
    let early = TsPacket::new(&next).unwrap().adaptation().unwrap().pcr().unwrap();
    assert_eq!(early.since(late), Duration::from_secs(1));
}

#[test]
fn the_section_crc_is_the_one_of_mpeg2() {
    assert_eq!(crc32(b"123456789"), 0x0376_E6E7);
}

#[test]
fn packets_with_parity_are_read_like_those_without() {
    let mut mux = Mux::default();
    let [pat, pmt] = mux.tables(mpeg2ts::es::StreamType::H264);
    let mut plain = Observer::new();
    let mut parity = Observer::new();
    for packets in [
        [pat, pmt, mux.announced_keyframe()],
        [mux.dependent(), mux.null(), mux.dependent()],
    ] {
        let with_parity: Vec<u8> = packets
            .iter()
            .flat_map(|packet| [&packet[..], &[0x47; 16]].concat())
            .collect();
        assert_eq!(parity.observe(&with_parity), plain.observe(&packets.concat()));
    }
    assert_eq!(parity.counters(), plain.counters());
    assert_eq!(parity.counters().packets, 6);
}

/// A stream with a start point in packet 0 of each group of `group` packets.
fn stream(groups: usize, group: usize) -> Vec<u8> {
    let mut mux = Mux::default();
    let mut stream = Vec::new();
    for _ in 0..groups {
        stream.extend(mux.tables(mpeg2ts::es::StreamType::H264).concat());
        stream.extend(mux.announced_keyframe());
        for _ in 3..group {
            stream.extend(mux.dependent());
        }
    }
    stream
}

proptest! {
    #[test]
    fn however_a_stream_is_cut_its_start_points_are_where_their_pats_begin(
        cuts in proptest::collection::vec(1..1456_usize, 20..60),
    ) {
        let group = 10;
        let stream = stream(12, group);
        let mut observer = Observer::new();
        let mut begins = Vec::new();
        let mut start_points = Vec::new();
        let mut rest = &stream[..];
        for cut in cuts.iter().cycle() {
            let (message, after) = rest.split_at((*cut).min(rest.len()));
            begins.push(stream.len() - rest.len());
            rest = after;
            if let Some(start) = observer.observe(message).start_point {
                start_points.push(begins.len() - 1 - start.messages_back as usize);
            }
            if rest.is_empty() {
                break;
            }
        }
        let holds = |at: usize| begins.iter().rposition(|begin| *begin <= at).unwrap();
        let mut expected: Vec<usize> = (0..12).map(|number| holds(number * group * PACKET_LEN)).collect();
        expected.dedup();
        prop_assert_eq!(observer.counters().packets, (stream.len() / PACKET_LEN) as u64);
        prop_assert_eq!(observer.counters().checks.of_priority(1), 0);
        prop_assert_eq!(observer.format(), Format::Ts);
        prop_assert_eq!(start_points, expected);
    }

    #[test]
    fn the_view_of_a_packet_takes_any_bytes(bytes in proptest::array::uniform32(any::<u8>()), fill in any::<u8>()) {
        let mut packet = [fill; PACKET_LEN];
        packet[..32].copy_from_slice(&bytes);
        prop_assert_eq!(TsPacket::new(&packet).is_some(), packet[0] == 0x47);
        packet[0] = 0x47;
        let view = TsPacket::new(&packet).unwrap();
        prop_assert!(view.pid() <= Pid::NULL && view.continuity_counter() < 16);
        prop_assert!(view.payload().is_none_or(|payload| (1..=184).contains(&payload.len())));
        let pcr = view.adaptation().and_then(|field| field.pcr());
        prop_assert!(pcr.is_none_or(|pcr| pcr.ticks() < Pcr::WRAP));
    }
}
