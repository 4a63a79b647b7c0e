//! Verdicts by scenario.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A link with 120 ms latency and no faults.
fn good() -> LinkFigures {
    LinkFigures {
        latency: millis(120),
        rtt_p95: millis(12),
        packets: 28_000,
        lost: 0,
        dropped: 0,
        unheard: Some(millis(10)),
    }
}

fn viewer(session: u64, link: LinkFigures) -> ViewerFigures {
    ViewerFigures {
        session,
        link,
        skipped: 0,
    }
}

/// A publisher and three viewers without faults.
fn healthy() -> StreamFigures {
    StreamFigures {
        window: MINUTE,
        source: Some(SourceFigures {
            is_mpeg_ts: true,
            ..SourceFigures::default()
        }),
        publisher: Some(good()),
        loss: None,
        endpoints: Vec::new(),
        stall: None,
        viewers: (16..19).map(|session| viewer(session, good())).collect(),
        bonds: Vec::new(),
    }
}

fn source(figures: &mut StreamFigures) -> &mut SourceFigures {
    figures.source.as_mut().unwrap()
}

#[test]
fn nothing_is_wrong() {
    let told = verdict(&healthy());
    assert_eq!((told.level, told.fault), (Level::Good, Fault::None));
    assert_eq!(told.sentence, "no errors in 60 s");
}

fn broken(is_input: bool) -> EndpointFigures {
    EndpointFigures {
        is_input,
        is_silent: false,
        url: "srt://192.0.2.9:9000".to_owned(),
        name: "srt://192.0.2.9:9000".to_owned(),
        failures: 9,
        reason: Some("timed out".to_owned()),
    }
}

#[test]
fn a_lost_stream_is_bad_and_says_since_when_and_why() {
    let loss = LossFigures {
        ago: Duration::from_secs(200),
        who: "192.0.2.1:5000".to_owned(),
        reason: Some("the peer is gone".to_owned()),
        waiting: 3,
    };
    let figures = StreamFigures {
        source: None,
        loss: Some(loss),
        // It has a lower priority.
        endpoints: vec![broken(false)],
        ..healthy()
    };
    let told = verdict(&figures);
    assert_eq!((told.level, told.fault), (Level::Bad, Fault::Source));
    assert_eq!(told.sentence, "lost 3 min ago: 192.0.2.1:5000: the peer is gone");
    assert_eq!(told.evidence, ["viewers and outputs that wait: 3"]);
}

#[test]
fn a_stream_whose_inputs_fail_never_came_up() {
    let figures = StreamFigures {
        source: None,
        endpoints: vec![broken(true)],
        ..healthy()
    };
    let told = verdict(&figures);
    assert_eq!((told.level, told.fault), (Level::Bad, Fault::Source));
    assert_eq!(
        told.sentence,
        "never came up: input srt://192.0.2.9:9000: timed out (9 failures)"
    );
}

#[test]
fn a_broken_output_is_bad_and_a_broken_standby_input_a_warning() {
    let with = |endpoints| {
        verdict(&StreamFigures {
            endpoints,
            ..healthy()
        })
    };
    let told = with(vec![broken(true), broken(false)]);
    assert_eq!((told.level, told.fault), (Level::Bad, Fault::Output));
    assert_eq!(
        told.sentence,
        "output srt://192.0.2.9:9000: timed out (9 failures)"
    );
    let told = with(vec![broken(true)]);
    assert_eq!((told.level, told.fault), (Level::Warning, Fault::Input));
}

#[test]
fn a_gateway_that_stood_still_blames_nobody_else() {
    let stall = StallFigures {
        until: std::time::UNIX_EPOCH + Duration::from_secs(43_384),
        length: Duration::from_millis(1500),
    };
    let mut figures = StreamFigures {
        stall: Some(stall),
        ..healthy()
    };
    assert_eq!(verdict(&figures).level, Level::Good);
    figures.viewers[0].link.dropped = 7;
    let told = verdict(&figures);
    assert_eq!((told.level, told.fault), (Level::Bad, Fault::Gateway));
    assert_eq!(
        told.sentence,
        "this gateway stood still for 1.5 s until 12:03:04 UTC: look at the load of its machine"
    );
    assert!(told.evidence[0].starts_with("without that: only viewer 16"));
}

#[test]
fn a_stream_without_a_source_is_idle() {
    let figures = StreamFigures {
        source: None,
        ..healthy()
    };
    assert_eq!(verdict(&figures).level, Level::Idle);
}

#[test]
fn gaps_of_the_publishers_link_are_its_fault_and_latency_is_advised() {
    let mut figures = healthy();
    source(&mut figures).continuity_errors = 9;
    figures.publisher = Some(LinkFigures {
        rtt_p95: millis(64),
        packets: 9_700,
        lost: 500,
        dropped: 3,
        ..good()
    });
    let told = verdict(&figures);
    assert_eq!((told.level, told.fault), (Level::Bad, Fault::PublisherLink));
    // 5.2 % lost: five times 64 ms.
    assert_eq!(
        told.sentence,
        "link of the publisher: raise latency from 120 ms to 320 ms (RTT p95 64 ms, loss 5.2 %)"
    );
    assert!(told.evidence[1].starts_with("9 continuity errors"), "{told:?}");
    source(&mut figures).continuity_errors = 900;
    let told = verdict(&figures);
    assert!(
        told.evidence.last().unwrap().contains("come with the source"),
        "{told:?}"
    );
}

#[test]
fn gaps_in_spite_of_enough_latency_are_an_interrupted_link() {
    let mut figures = healthy();
    figures.publisher = Some(LinkFigures {
        latency: millis(2000),
        lost: 200,
        dropped: 150,
        ..good()
    });
    let told = verdict(&figures);
    assert_eq!(told.fault, Fault::PublisherLink);
    assert!(told.sentence.contains("interrupted, or too full"), "{told:?}");
}

#[test]
fn errors_behind_a_link_without_gaps_arrive_with_the_source() {
    let mut figures = healthy();
    source(&mut figures).continuity_errors = 4;
    // Lost and retransmitted: no gap.
    figures.publisher.as_mut().unwrap().lost = 40;
    let told = verdict(&figures);
    assert_eq!((told.level, told.fault), (Level::Bad, Fault::Source));
    assert!(told.sentence.starts_with("errors arrive with the source"));
    figures.publisher = None;
    assert_eq!(verdict(&figures).fault, Fault::Source);
    *source(&mut figures) = SourceFigures {
        transport_errors: 1,
        is_mpeg_ts: true,
        ..SourceFigures::default()
    };
    assert_eq!(verdict(&figures).fault, Fault::Source);
}

#[test]
fn one_viewer_of_several_is_named() {
    let mut figures = healthy();
    figures.viewers[1].link = LinkFigures {
        rtt_p95: millis(90),
        lost: 2_000,
        dropped: 11,
        ..good()
    };
    let told = verdict(&figures);
    assert_eq!(
        (told.level, told.fault, told.viewers.as_slice()),
        (Level::Bad, Fault::ViewerLink, &[17][..])
    );
    assert_eq!(
        told.sentence,
        "only viewer 17: its link; raise latency from 120 ms to 540 ms (RTT p95 90 ms, loss 7.1 %)"
    );
    assert_eq!(
        told.evidence.last().unwrap(),
        "the other 2 viewers receive everything"
    );
    // It receives everything in time, but has no reserve.
    figures.viewers[1].link.dropped = 0;
    let told = verdict(&figures);
    assert_eq!((told.level, told.viewers.as_slice()), (Level::Warning, &[17][..]));
}

#[test]
fn a_viewer_that_is_too_slow_is_named() {
    let mut figures = healthy();
    figures.viewers[0].skipped = 5;
    figures.viewers[2].skipped = 9;
    let told = verdict(&figures);
    assert_eq!(
        (told.fault, told.viewers.as_slice()),
        (Fault::ViewerLink, &[16, 18][..])
    );
    assert!(told.sentence.starts_with("viewers 16, 18 of 3"), "{told:?}");
}

#[test]
fn all_viewers_at_once_have_the_uplink_in_common() {
    let mut figures = healthy();
    for viewer in &mut figures.viewers {
        viewer.link.dropped = 4;
    }
    let told = verdict(&figures);
    assert_eq!((told.fault, told.viewers.len()), (Fault::Uplink, 3));
    // A single viewer shares no uplink with others.
    figures.viewers.truncate(1);
    assert_eq!(verdict(&figures).fault, Fault::ViewerLink);
}

#[test]
fn a_source_that_is_silent_is_bad() {
    let mut figures = healthy();
    source(&mut figures).silent_for = Duration::from_secs(7);
    let told = verdict(&figures);
    assert_eq!((told.level, told.fault), (Level::Bad, Fault::Source));
    assert!(told.sentence.contains("keep-alives arrive") && told.sentence.contains("7 s"));
    // One that has just connected with a long latency may have sent a lot.
    figures.publisher.as_mut().unwrap().latency = Duration::from_secs(6);
    assert_eq!(verdict(&figures).level, Level::Good);
    figures.publisher.as_mut().unwrap().latency = millis(120);
    figures.publisher.as_mut().unwrap().unheard = Some(Duration::from_secs(6));
    let told = verdict(&figures);
    assert_eq!((told.level, told.fault), (Level::Bad, Fault::PublisherLink));
    assert!(told.sentence.contains("6 s, not even keep-alives"), "{told:?}");
    // An input that is not SRT has no keep-alives.
    figures.publisher = None;
    assert_eq!(verdict(&figures).fault, Fault::Source);
}

#[test]
fn a_stream_against_the_rules_is_a_warning_and_a_recommendation_missed_is_none() {
    let mut figures = healthy();
    let check = |name: &str, priority, count| Failed {
        name: name.to_owned(),
        priority,
        count,
    };
    source(&mut figures).others = vec![check("PCR_repetition_error", 2, 91)];
    let told = verdict(&figures);
    assert_eq!(told.level, Level::Good);
    assert_eq!(told.evidence.last().unwrap(), "PCR_repetition_error 91 times");
    source(&mut figures).others.push(check("PAT_error_2", 1, 2));
    let told = verdict(&figures);
    assert_eq!((told.level, told.fault), (Level::Warning, Fault::Source));
    assert!(told.sentence.ends_with("PAT_error_2 2 times"), "{told:?}");
    // These rules apply to transport streams only.
    source(&mut figures).is_mpeg_ts = false;
    let told = verdict(&figures);
    assert_eq!(
        (told.level, told.faults[0].kind),
        (Level::Warning, FaultKind::NotTs)
    );
    assert!(told.sentence.starts_with("not MPEG-TS"));
}

#[test]
fn what_viewers_miss_does_not_hide_what_the_publisher_misses() {
    let mut figures = healthy();
    figures.publisher.as_mut().unwrap().dropped = 1;
    figures.viewers[0].skipped = 5;
    assert_eq!(verdict(&figures).fault, Fault::PublisherLink);
}

#[test]
fn advised_latency_follows_the_table_of_the_guide() {
    let advised = |rtt, lost| {
        let link = LinkFigures {
            rtt_p95: millis(rtt),
            packets: 1000,
            lost,
            ..LinkFigures::default()
        };
        link.advised_latency().as_millis()
    };
    assert_eq!(advised(1, 0), 60);
    assert_eq!(advised(20, 30), 80);
    assert_eq!(advised(20, 70), 100);
    assert_eq!(advised(20, 100), 120);
    assert_eq!(advised(51, 5), 160);
    assert_eq!(advised(100, 300), 800);
}

#[test]
fn all_faults_are_told_at_once_the_worst_first() {
    let mut figures = healthy();
    figures.publisher.as_mut().unwrap().dropped = 3;
    figures.viewers[0].skipped = 5;
    figures.endpoints = vec![
        broken(true),
        broken(false),
        EndpointFigures {
            name: "CDN B".to_owned(),
            ..broken(false)
        },
        EndpointFigures {
            is_silent: true,
            ..broken(true)
        },
    ];
    figures.bonds = vec![BondFigures {
        session: 16,
        is_source: true,
        peer: "192.0.2.1:5000".to_owned(),
        working: 1,
        of: 2,
    }];
    let told = verdict(&figures);
    let kinds: Vec<_> = told.faults.iter().map(|fault| fault.kind).collect();
    use FaultKind::{InputDown, InputSilent, OutputDown, PublisherLink, RedundancyLost, ViewerLink};
    let wanted = [
        PublisherLink,
        ViewerLink,
        OutputDown,
        OutputDown,
        InputDown,
        InputSilent,
        RedundancyLost,
    ];
    assert_eq!(kinds, wanted);
    assert_eq!(told.sentence, told.faults[0].sentence);
    let parties: Vec<_> = told
        .faults
        .iter()
        .filter_map(|fault| fault.party.as_deref())
        .collect();
    assert_eq!(parties[..2], ["srt://192.0.2.9:9000", "CDN B"]);
    // What the publisher's link has lost is not the source's fault too.
    source(&mut figures).continuity_errors = 9;
    assert_eq!(verdict(&figures).faults.len(), wanted.len());
    figures.publisher.as_mut().unwrap().dropped = 0;
    figures.viewers[0].skipped = 0;
    source(&mut figures).continuity_errors = 0;
    let told = verdict(&figures);
    assert!(told.sentence.starts_with("2 do not work; output"), "{told:?}");
    // A silent source is told of once.
    source(&mut figures).silent_for = Duration::from_secs(9);
    let silent = verdict(&figures);
    assert_eq!(silent.faults[0].kind, FaultKind::SourceSilent);
    assert!(silent.faults.iter().all(|fault| fault.kind != InputSilent));
}
