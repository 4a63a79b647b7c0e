//! Tests of units, invalid values and wraps with synthetic values; tests/stats.rs uses real connections.

use proptest::prelude::*;

use super::*;

fn zeroed() -> SRT_TRACEBSTATS {
    // SAFETY: the struct is integers and floats, for which zeros are a value.
    unsafe { std::mem::zeroed() }
}

/// libsrt's statistics after so many packets of 1316 bytes, with its 32-bit count.
fn after(packets: u64, ms: i64) -> SRT_TRACEBSTATS {
    let wrapped = packets % (1 << 32);
    let int = u32::try_from(wrapped).unwrap().cast_signed();
    let mut perf = zeroed();
    perf.msTimeStamp = ms;
    perf.pktRecvTotal = wrapped.cast_signed();
    perf.byteRecvTotal = packets * 1316 + wrapped * 44;
    perf.pktRetransTotal = int;
    perf.byteRetransTotal = packets * 1316 + wrapped * 44;
    perf.pktRcvUndecryptTotal = int;
    perf.byteRcvUndecryptTotal = packets * 1316;
    perf.pktSentACKTotal = int;
    perf.usSndDurationTotal = ms * 1000;
    perf
}

#[test]
fn every_field_of_the_c_struct_is_told() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../srt-sys/src/bindings.rs");
    let bindings = std::fs::read_to_string(path).unwrap();
    let (_, rest) = bindings.split_once("pub struct CBytePerfMon {").unwrap();
    let (fields, _) = rest.split_once('}').unwrap();
    let fields: Vec<&str> = fields
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next())
        .collect();
    assert!(fields.len() > 75, "{fields:?}");
    let read = concat!(include_str!("../stats.rs"), include_str!("counters.rs"));
    let forgotten: Vec<_> = fields
        .into_iter()
        .filter(|field| {
            ![',', ')', '.', ' ']
                .iter()
                .any(|end| read.contains(&format!("perf.{field}{end}")))
        })
        .collect();
    assert_eq!(forgotten, [""; 0]);
}

#[test]
fn units_are_converted() {
    let mut perf = zeroed();
    perf.msTimeStamp = 61_500;
    perf.mbpsSendRate = 5.25;
    perf.mbpsBandwidth = 1000.5;
    perf.msRTT = 12.345;
    perf.usPktSndPeriod = 250.5;
    perf.msRcvTsbPdDelay = 120;
    perf.byteSndBuf = 13_600;
    perf.msSndBuf = 35;
    perf.usSndDurationTotal = 1_500_000;
    perf.pktRcvAvgBelatedTime = 7.5;
    let stats = Stats::new(&perf);
    assert_eq!(stats.elapsed, Duration::from_millis(61_500));
    assert_eq!(stats.send_rate, 5_250_000);
    assert_eq!(stats.link.bandwidth, 1_000_500_000);
    assert_eq!(stats.link.rtt, Duration::from_micros(12_345));
    assert_eq!(stats.link.send_period, Duration::from_nanos(250_500));
    assert_eq!(stats.link.receive_latency, Duration::from_millis(120));
    assert_eq!(stats.send_buffer.bytes, 13_600);
    assert_eq!(stats.send_buffer.span, Duration::from_millis(35));
    assert_eq!(stats.total.send_duration, Duration::from_millis(1500));
    assert_eq!(stats.link.belated_by, Some(Duration::from_micros(7500)));
}

#[test]
fn garbage_is_not_passed_on() {
    for garbage in [f64::NAN, f64::INFINITY, -3.0, 1.8e16, 0.0] {
        let mut perf = zeroed();
        perf.pktRcvAvgBelatedTime = garbage;
        perf.mbpsRecvRate = garbage;
        let stats = Stats::new(&perf);
        assert_eq!(stats.link.belated_by, None, "{garbage}");
        if !garbage.is_finite() || garbage <= 0.0 {
            assert_eq!(stats.receive_rate, 0, "{garbage}");
        }
    }
    let mut perf = zeroed();
    perf.byteAvailSndBuf = -1500;
    perf.msTimeStamp = -1;
    let stats = Stats::new(&perf);
    assert_eq!((stats.send_buffer.available, stats.elapsed), (0, Duration::ZERO));
}

#[test]
fn totals_go_on_past_the_wrap_of_32_bits() {
    let mut accumulator = StatsAccumulator::new();
    let steps = [
        10,
        2_000_000_000,
        2_200_000_000,
        4_000_000_000,
        4_294_967_290,
        4_294_967_310,
        6_000_000_000,
        8_100_000_000,
    ];
    for (second, packets) in (1..).zip(steps) {
        let delta = accumulator.update(&Stats::new(&after(packets, second * 1000)));
        assert_eq!(delta.elapsed, Duration::from_secs(1));
        let totals = accumulator.totals();
        assert_eq!(
            totals.received,
            Traffic {
                packets,
                bytes: packets * 1360
            }
        );
        assert_eq!(totals.received.payload_bytes(), packets * 1316);
        assert_eq!(totals.retransmitted, totals.received);
        assert_eq!(
            totals.undecrypted,
            Traffic {
                packets,
                bytes: packets * 1316
            }
        );
        assert_eq!(totals.acks_sent, packets);
        assert_eq!(totals.send_duration, Duration::from_secs(second.unsigned_abs()));
    }
}

#[test]
fn a_new_connection_is_added_to_the_old_one() {
    let mut accumulator = StatsAccumulator::new();
    accumulator.update(&Stats::new(&after(1000, 60_000)));
    let delta = accumulator.update(&Stats::new(&after(30, 500)));
    assert_eq!(delta.counters.received.packets, 30);
    assert_eq!(delta.elapsed, Duration::from_millis(500));
    assert_eq!(accumulator.totals().received.packets, 1030);
}

#[test]
fn rates_are_bits_in_a_second() {
    let mut accumulator = StatsAccumulator::new();
    accumulator.update(&Stats::new(&after(0, 0)));
    let delta = accumulator.update(&Stats::new(&after(1000, 2000)));
    assert_eq!(delta.receive_rate(), 1000 * 1360 * 8 / 2);
    assert_eq!(delta.send_rate(), 0);
    assert_eq!(Delta::default().receive_rate(), 0, "no time has passed");
}

proptest! {
    #[test]
    fn any_steps_below_half_the_range_add_up(steps in prop::collection::vec(0_u64..1 << 31, 1..20)) {
        let mut accumulator = StatsAccumulator::new();
        let mut packets = 0;
        for (ms, step) in (1..).zip(steps) {
            packets += step;
            let delta = accumulator.update(&Stats::new(&after(packets, ms)));
            prop_assert_eq!(delta.counters.acks_sent, step);
            prop_assert_eq!(delta.counters.received, Traffic { packets: step, bytes: step * 1360 });
            prop_assert_eq!(accumulator.totals().received, Traffic { packets, bytes: packets * 1360 });
        }
    }

    #[test]
    fn whatever_libsrt_says_is_taken(
        words in prop::collection::vec(any::<[u8; size_of::<SRT_TRACEBSTATS>()]>(), 1..4),
    ) {
        let mut accumulator = StatsAccumulator::new();
        for bytes in words {
            // SAFETY: the source has as many bytes as the struct, of which any bits are a value.
            let perf: SRT_TRACEBSTATS = unsafe { bytes.as_ptr().cast::<SRT_TRACEBSTATS>().read_unaligned() };
            let stats = Stats::new(&perf);
            accumulator.update(&stats);
            prop_assert!(stats.link.belated_by.is_none_or(|late| late <= LATEST_CREDIBLE));
        }
    }
}
