//! Tests of start points.

use mpeg2ts::es::StreamType;

use super::build::{AUDIO, Mux, PMT, Packet, VIDEO, adaptation, pmt_section};
use crate::ts::*;

/// Observes one message per packet; returns the messages at which viewers can start, as reported.
fn start_points(packets: &[Packet]) -> Vec<u64> {
    let mut observer = Observer::new();
    let starts = packets.iter().enumerate().filter_map(|(index, packet)| {
        let start = observer.observe(packet).start_point?;
        Some(index as u64 - start.messages_back)
    });
    starts.collect()
}

/// Whether a PES packet of this stream type that begins with `data` is a start point without an indicator.
fn is_key(stream_type: u8, data: &[u8]) -> bool {
    let mut mux = Mux::default();
    let mut packets = vec![mux.pat(&[(1, PMT)])];
    packets.extend(mux.section(PMT, &pmt_section(&[], &[(stream_type, VIDEO, vec![])])));
    let (first, rest) = data.split_at(data.len().min(150));
    packets.push(mux.pes(VIDEO, None, first));
    packets.extend(rest.chunks(184).map(|chunk| mux.more(VIDEO, chunk)));
    !start_points(&packets).is_empty()
}

#[test]
fn a_viewer_begins_at_the_pat_before_the_announced_keyframe() {
    let mut mux = Mux::default();
    let [pat, pmt] = mux.tables(StreamType::H264);
    let first = [mux.dependent(), pat, pmt].concat();
    let mut observer = Observer::new();
    assert_eq!(observer.observe(&first).format_change, Some(Format::Ts));
    assert_eq!(
        observer.observe(&mux.more(AUDIO, &[0; 184])),
        Observation::default()
    );
    let start = observer
        .observe(&[mux.null(), mux.announced_keyframe(), mux.dependent()].concat())
        .start_point;
    assert_eq!(
        start,
        Some(StartPoint {
            kind: StartPointKind::Keyframe,
            messages_back: 1 + 1
        })
    );
    assert_eq!(observer.observe(&mux.dependent()).start_point, None);
    let video = observer.video().unwrap();
    assert_eq!((video.pid.as_u16(), video.codec), (VIDEO, VideoCodec::H264));
}

#[test]
fn tables_that_come_between_pictures_serve_the_next_keyframe() {
    let mut mux = Mux::default();
    let mut packets = Vec::new();
    for message in 0..60 {
        match message % 20 {
            0 | 12 => packets.extend(mux.tables(StreamType::H264)),
            15 => packets.push(mux.announced_keyframe()),
            _ => packets.push(mux.dependent()),
        }
    }
    // Group n begins at packet 22 n; its second tables, at 12 messages, are 13 packets later.
    assert_eq!(start_points(&packets), [13, 13 + 22, 13 + 44]);
}

#[test]
fn a_pat_that_no_pmt_follows_before_the_keyframe_is_not_a_start_point() {
    let mut mux = Mux::default();
    let [pat, pmt] = mux.tables(StreamType::H264);
    let late = mux.pat(&[(1, PMT)]);
    let packets = [pat, pmt, mux.dependent(), late, mux.announced_keyframe()];
    assert_eq!(start_points(&packets), [0]);
}

#[test]
fn keyframes_between_two_pats_make_one_start_point() {
    let mut mux = Mux::default();
    let [pat, pmt] = mux.tables(StreamType::H264);
    let packets = [
        pat,
        pmt,
        mux.announced_keyframe(),
        mux.dependent(),
        mux.announced_keyframe(),
    ];
    assert_eq!(start_points(&packets), [0]);
}

#[test]
fn a_pat_after_the_beginning_of_the_keyframe_does_not_count_for_it() {
    let mut mux = Mux::default();
    let [pat, pmt] = mux.tables(StreamType::H264);
    let begin = mux.pes(VIDEO, None, &[0, 0, 1, 9, 0x10]);
    let [later_pat, later_pmt] = mux.tables(StreamType::H264);
    let idr = mux.more(VIDEO, &[0, 0, 1, 0x65, 0x88]);
    assert_eq!(start_points(&[pat, pmt, begin, later_pat, later_pmt, idr]), [0]);
}

#[test]
fn an_h264_keyframe_is_known_without_the_indicator() {
    let aud = [0, 0, 0, 1, 0x09, 0xF0];
    let sps_pps = [
        0, 0, 0, 1, 0x67, 0x4D, 0x40, 0x1F, 0, 0, 0, 1, 0x68, 0xEE, 0x3C, 0x80,
    ];
    let sei = [&[0, 0, 1, 0x06, 0x05][..], &[0x7F; 700]].concat();
    let idr = [0, 0, 1, 0x65, 0x88, 0x84];
    let open_gop = [0, 0, 1, 0x41, 0xB0, 0x84];
    let all_intra = [0, 0, 1, 0x21, 0x88, 0x84];
    let p_slice = [0, 0, 1, 0x41, 0x9A, 0x21];
    let key = |parts: &[&[u8]]| is_key(0x1B, &parts.concat());
    assert!(key(&[&aud, &idr]));
    assert!(key(&[&aud, &sps_pps, &sei, &idr]), "after four packets of SEI");
    assert!(key(&[&aud, &sps_pps, &open_gop]));
    assert!(key(&[&aud, &sps_pps, &all_intra]));
    assert!(
        key(&[&sps_pps, &sei, &sei, &sei, &sei, &sei, &sei]),
        "parameter sets, and then only SEI in sight"
    );
    assert!(
        !key(&[&aud, &open_gop]),
        "no decoder can begin without parameter sets"
    );
    assert!(!key(&[&aud, &sps_pps, &p_slice]));
    assert!(!key(&[&aud, &sei, &p_slice, &idr]), "the first slice decides");
    assert!(
        !key(&[&sei, &sei, &sei, &sei, &sei, &sei, &idr]),
        "so far on is another picture"
    );
}

#[test]
fn keyframes_of_other_codecs_are_known_without_the_indicator() {
    let hevc = |nal: u8| is_key(0x24, &[0, 0, 1, 35 << 1, 1, 0x50, 0, 0, 1, nal << 1, 1, 0x80]);
    assert!((16..=21).all(hevc), "BLA, IDR and CRA");
    assert!(!(0..=9).any(hevc), "trailing, leading and skipped pictures");
    assert!(is_key(0x02, &[0, 0, 1, 0xB3, 0x2D, 0, 0, 1, 0x00]));
    assert!(!is_key(0x02, &[0, 0, 1, 0x00, 0, 0x0F, 0, 0, 1, 0xB3]));
    assert!(is_key(0x10, &[0, 0, 1, 0x20, 0, 0, 1, 0xB6]));
    assert!(!is_key(0x10, &[0, 0, 1, 0xB6, 0x10]));
}

#[test]
fn only_the_indicator_tells_a_keyframe_in_scrambled_video() {
    let mut mux = Mux::default();
    let [pat, pmt] = mux.tables(StreamType::H264);
    let mut idr = mux.pes(VIDEO, None, &[0, 0, 1, 0x65, 0x88]);
    let mut announced = mux.announced_keyframe();
    idr[3] |= 0x80;
    announced[3] |= 0x80;
    assert_eq!(start_points(&[pat, pmt, idr]), Vec::<u64>::new());
    assert_eq!(start_points(&[pat, pmt, announced]), [0]);
}

#[test]
fn without_video_a_viewer_begins_at_any_pat_with_its_pmt() {
    let mut mux = Mux::default();
    let mut observer = Observer::new();
    for _ in 0..3 {
        let tables = [
            mux.pat(&[(1, PMT)]),
            mux.pmt(PMT, 1, &[(StreamType::AdtsAac, AUDIO)]),
        ];
        let start = observer.observe(&tables.concat()).start_point;
        assert_eq!(
            start,
            Some(StartPoint {
                kind: StartPointKind::Tables,
                messages_back: 0
            })
        );
        assert_eq!(observer.observe(&mux.more(AUDIO, &[0; 184])).start_point, None);
    }
    assert_eq!(observer.video(), None);
}

#[test]
fn the_first_program_with_video_leads_a_multi_program_stream() {
    let mut mux = Mux::default();
    let key = |mux: &mut Mux, pid| {
        let field = mpeg2ts::ts::AdaptationField {
            random_access_indicator: true,
            ..adaptation()
        };
        mux.pes(pid, Some(field), &[0, 0, 1, 9])
    };
    let pat = mux.pat(&[(1, 0x1001), (2, 0x1002), (3, 0x1003)]);
    let third = mux.pmt(0x1003, 3, &[(StreamType::H264, 0x300)]);
    let radio = mux.pmt(0x1001, 1, &[(StreamType::AdtsAac, 0x110)]);
    let second = mux.pmt(0x1002, 2, &[(StreamType::H265, 0x200)]);
    let mut observer = Observer::new();
    for packet in [pat, third, radio, second] {
        assert_eq!(observer.observe(&packet).start_point, None);
    }
    assert_eq!(observer.video().unwrap().pid.as_u16(), 0x200);
    assert_eq!(observer.observe(&key(&mut mux, 0x300)).start_point, None);
    assert_eq!(
        observer
            .observe(&key(&mut mux, 0x200))
            .start_point
            .unwrap()
            .messages_back,
        5
    );
}

#[test]
fn a_pmt_of_several_packets_is_put_together() {
    let mut mux = Mux::default();
    let audio: Vec<_> = (0..6)
        .map(|n| (0x0F, 0x200 + n, [&[0x52, 100][..], &[7; 100]].concat()))
        .collect();
    let streams = [audio, vec![(0x1B, VIDEO, vec![])]].concat();
    let section = pmt_section(&[0x09, 2, 1, 2], &streams);
    assert!(section.len() > 3 * 184, "{}", section.len());
    let mut packets = vec![mux.pat(&[(0, 0x10), (1, PMT)])];
    for packet in mux.section(PMT, &section) {
        packets.push(packet);
        packets.push(mux.null());
        packets.push(*packets.iter().rev().nth(1).unwrap());
    }
    packets.push(mux.announced_keyframe());
    assert_eq!(
        start_points(&packets),
        [0],
        "with null packets in between, and each packet sent twice"
    );
}

#[test]
fn a_change_of_the_pmt_moves_the_video() {
    let mut mux = Mux::default();
    let mut observer = Observer::new();
    observer.observe(&[mux.pat(&[(1, PMT)]), mux.pmt(PMT, 1, &[(StreamType::H264, 0x50)])].concat());
    assert_eq!(observer.video().unwrap().pid.as_u16(), 0x50);
    observer.observe(&mux.tables(StreamType::H264).concat());
    assert_eq!(observer.video().unwrap().pid.as_u16(), VIDEO);
    assert_eq!(
        observer
            .observe(&mux.announced_keyframe())
            .start_point
            .unwrap()
            .messages_back,
        1
    );
    observer.observe(&mux.pat(&[(7, 0x1007)]));
    assert_eq!(observer.video(), None, "the PAT has another program");
}

#[test]
fn private_data_is_video_when_its_registration_says_so() {
    let mut mux = Mux::default();
    let video =
        |registration: &[u8; 4]| vec![(0x06, VIDEO, [&[0x0A, 1, 0, 0x05, 4][..], registration].concat())];
    for (registration, codec) in [(b"AV01", Some(VideoCodec::Av1)), (b"AC-3", None)] {
        let mut observer = Observer::new();
        observer.observe(&mux.pat(&[(1, PMT)]));
        for packet in mux.section(PMT, &pmt_section(&[], &video(registration))) {
            observer.observe(&packet);
        }
        assert_eq!(observer.video().map(|video| video.codec), codec);
    }
}
