//! Compares the options' table with libsrt itself and with the list of constants in the bindings.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    num::{NonZeroU8, NonZeroU64},
    time::Duration,
};

use proptest::prelude::*;

use super::*;
use crate::{StreamId, ffi::OwnedSocket, log::tests::LOG};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A socket after both stages of applying options.
fn socket_with(options: &Options) -> Result<OwnedSocket> {
    // libsrt logs some values.
    let _log = LOG.read().expect("nobody panics with it");
    let socket = OwnedSocket::create()?;
    options.apply(socket.id(), Stage::BeforeBind)?;
    options.apply(socket.id(), Stage::BeforeConnect)?;
    Ok(socket)
}

/// Whether the linked libsrt has the option; the pinned one has all of them.
fn supported(info: &'static OptionInfo) -> bool {
    let supported = info.is_supported().unwrap();
    assert!(supported || cfg!(feature = "system"), "{}", info.name);
    supported
}

/// Sets each value and reads it back; returns the option's name.
fn round_trip<O>(option: O, values: &[O::Value]) -> &'static str
where
    O: Readable + Writable + Copy,
    O::Value: Clone + Debug + PartialEq,
{
    assert!(
        values.len() > 1,
        "{}: a default alone proves nothing",
        O::INFO.name
    );
    if !supported(O::INFO) {
        return O::INFO.name;
    }
    for value in values {
        let options = Options::new().set(option, value.clone());
        assert_eq!(options.get(option).as_ref(), Some(value), "kept by Options");
        let socket = socket_with(&options).unwrap();
        assert_eq!(&read::<O>(socket.id()).unwrap(), value, "{}", O::INFO.name);
    }
    O::INFO.name
}

fn reads<O: Readable>(_: O) -> &'static str
where
    O::Value: Debug,
{
    if !supported(O::INFO) {
        return O::INFO.name;
    }
    let socket = OwnedSocket::create().unwrap();
    let value = read::<O>(socket.id());
    assert!(value.is_ok(), "{}: {value:?}", O::INFO.name);
    O::INFO.name
}

fn transport_round_trips() -> Vec<&'static str> {
    // Buffers are kept in packets of 1472 bytes, and the receive buffer between 32 packets and FC.
    let packets = |n: u32| n * 1472;
    vec![
        round_trip(opt::MaxSegmentSize, &[76, 1400, 1500, 65_535]),
        round_trip(opt::FlowWindow, &[32, 25_600, i32::MAX.unsigned_abs()]),
        round_trip(opt::SendBuffer, &[packets(1), packets(1024)]),
        round_trip(opt::ReceiveBuffer, &[packets(32), packets(1024), packets(25_600)]),
        round_trip(opt::UdpSendBuffer, &[1500, 4_000_000]),
        round_trip(opt::UdpReceiveBuffer, &[1500, 4_000_000]),
        round_trip(opt::Rendezvous, &[true, false]),
        round_trip(opt::ReuseAddress, &[true, false]),
        round_trip(opt::IpTtl, &[None, NonZeroU8::new(1), NonZeroU8::new(255)]),
        round_trip(opt::IpTos, &[None, Some(IpTos::new(0)), IpTos::from_dscp(46)]),
        round_trip(
            opt::Ipv6Only,
            &[Ipv6Only::SystemDefault, Ipv6Only::No, Ipv6Only::Yes],
        ),
        round_trip(
            opt::BindToDevice,
            &[None, Some("lo".to_owned()), Some("fifteen-bytes-x".to_owned())],
        ),
    ]
}

fn timing_round_trips() -> Vec<&'static str> {
    let longest = ms(i32::MAX.unsigned_abs().into());
    vec![
        round_trip(opt::Tsbpd, &[true, false]),
        round_trip(opt::Latency, &[ms(0), ms(200), longest]),
        round_trip(opt::ReceiveLatency, &[ms(0), ms(200), longest]),
        round_trip(opt::PeerLatency, &[ms(0), ms(200), longest]),
        round_trip(opt::TooLateDrop, &[true, false]),
        round_trip(opt::SendDropDelay, &[None, Some(ms(0)), Some(longest)]),
        round_trip(opt::DriftTracer, &[true, false]),
        round_trip(opt::NakReport, &[true, false]),
        round_trip(
            opt::RetransmitAlgorithm,
            &[RetransmitAlgorithm::Intensive, RetransmitAlgorithm::Efficient],
        ),
        round_trip(opt::LossMaxTtl, &[0, 40]),
        round_trip(opt::ConnectTimeout, &[ms(0), ms(700), longest]),
        round_trip(opt::PeerIdleTimeout, &[ms(0), ms(2500), ms(2_147_483)]),
        round_trip(opt::SendTimeout, &[None, Some(ms(0)), Some(longest)]),
        round_trip(opt::ReceiveTimeout, &[None, Some(ms(0)), Some(longest)]),
        round_trip(opt::Linger, &[None, Some(ms(7000))]),
        round_trip(opt::BlockingSend, &[true, false]),
        round_trip(opt::BlockingReceive, &[true, false]),
    ]
}

fn other_round_trips() -> Vec<&'static str> {
    let rate = NonZeroU64::new(5_000_000_000).unwrap();
    let fec = PacketFilter::fec().columns(10).rows(5).layout(FecLayout::Even);
    vec![
        round_trip(
            opt::MaxBandwidth,
            &[
                MaxBandwidth::Unlimited,
                MaxBandwidth::RelativeToInput,
                MaxBandwidth::BytesPerSecond(rate),
            ],
        ),
        round_trip(
            opt::InputBandwidth,
            &[InputBandwidth::Measured, InputBandwidth::BytesPerSecond(rate)],
        ),
        round_trip(opt::MinInputBandwidth, &[0, rate.get()]),
        round_trip(opt::OverheadBandwidth, &[5, 100]),
        round_trip(
            opt::MaxRetransmitBandwidth,
            &[
                RetransmitBandwidth::Unlimited,
                RetransmitBandwidth::BytesPerSecond(0),
                RetransmitBandwidth::BytesPerSecond(rate.get()),
            ],
        ),
        round_trip(opt::Congestion, &[Congestion::Live, Congestion::File]),
        round_trip(
            opt::KeyLength,
            &[
                KeyLength::Auto,
                KeyLength::Aes128,
                KeyLength::Aes192,
                KeyLength::Aes256,
            ],
        ),
        round_trip(
            opt::CryptoMode,
            &[CryptoMode::Auto, CryptoMode::Ctr, CryptoMode::Gcm],
        ),
        round_trip(opt::KeyRefreshRate, &[0, 1024, i32::MAX.unsigned_abs()]),
        round_trip(opt::KeyPreAnnounce, &[0, 1, 8_388_607]),
        round_trip(opt::EnforcedEncryption, &[true, false]),
        round_trip(
            opt::StreamId,
            &[
                StreamId::new("#!::r=a").unwrap(),
                StreamId::new([0xff; 512]).unwrap(),
            ],
        ),
        round_trip(opt::PacketFilter, &[Some(PacketFilter::fec()), Some(fec)]),
        round_trip(opt::MessageApi, &[true, false]),
        round_trip(opt::PayloadSize, &[0, 1316, 1456]),
        round_trip(
            opt::MinVersion,
            &[SrtVersion::new(1, 0, 0), SrtVersion::new(1, 4, 255)],
        ),
        round_trip(opt::Sender, &[true, false]),
        round_trip(opt::GroupConnect, &[true, false]),
        round_trip(opt::GroupMinStableTimeout, &[ms(60), ms(5000)]),
    ]
}

fn readable() -> Vec<&'static str> {
    vec![
        reads(opt::InitialSequence),
        reads(opt::State),
        reads(opt::Event),
        reads(opt::SendBuffered),
        reads(opt::ReceiveBuffered),
        reads(opt::KeyState),
        reads(opt::SendKeyState),
        reads(opt::ReceiveKeyState),
        reads(opt::Version),
        reads(opt::PeerVersion),
        reads(opt::GroupType),
    ]
}

#[test]
fn every_option_comes_back_as_it_was_set() {
    let mut tested = transport_round_trips();
    tested.extend(timing_round_trips());
    tested.extend(other_round_trips());
    tested.extend(readable());
    let tested: BTreeSet<_> = tested.into_iter().collect();
    let untested: Vec<_> = opt::all()
        .map(|info| info.name)
        .filter(|name| !tested.contains(name))
        .collect();
    // These cannot be read; other tests cover their effect.
    assert_eq!(untested, ["transtype", "passphrase"]);
}

#[test]
fn the_table_has_every_option_of_the_bindings() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../srt-sys/src/bindings.rs");
    let bindings = std::fs::read_to_string(path).unwrap();
    let declared: BTreeSet<&str> = bindings
        .lines()
        .filter(|line| line.contains(": SRT_SOCKOPT = "))
        .filter_map(|line| line.trim().strip_prefix("pub const ")?.split(':').next())
        // The count, not an option.
        .filter(|name| *name != "SRTO_E_SIZE")
        .collect();
    assert!(declared.len() > 60, "{declared:?}");
    let ours: BTreeSet<&str> = opt::all().map(OptionInfo::constant).collect();
    assert_eq!(declared, ours);
    assert_eq!(opt::all().count(), ours.len(), "no option twice");
    for info in opt::all() {
        assert_eq!(
            info.constant.strip_prefix("SRTO_").unwrap().to_lowercase(),
            info.name
        );
    }
}

#[test]
fn limits_in_words_are_the_limits() {
    for info in opt::all().filter(|info| info.settable.is_some()) {
        let (raw::Kind::Int { min, max, special } | raw::Kind::Millis { min, max, special }) = info.kind
        else {
            continue;
        };
        assert!(
            info.allowed.contains(&format!("{min} to {max}")),
            "{}: {}",
            info.name,
            info.allowed
        );
        assert_eq!(special.is_some(), info.allowed.contains("or -1"), "{}", info.name);
        for outside in [special.unwrap_or(min) - 1, max + 1] {
            let error = Options::new()
                .named(info.name, OptionValue::Int(outside))
                .unwrap_err();
            assert_eq!(
                error,
                OptionError::OutOfRange {
                    name: info.name,
                    allowed: info.allowed
                }
            );
        }
    }
}

#[test]
fn transmission_type_resets_and_the_rest_is_set_after_it() {
    let options = Options::new()
        .latency(ms(300))
        .transmission_type(TransmissionType::Live);
    let socket = socket_with(&options).unwrap();
    assert_eq!(read::<opt::Latency>(socket.id()).unwrap(), ms(300));

    let socket = socket_with(&Options::new().transmission_type(TransmissionType::File)).unwrap();
    assert_eq!(read::<opt::Congestion>(socket.id()).unwrap(), Congestion::File);
    assert_eq!(
        read::<opt::Linger>(socket.id()).unwrap(),
        Some(Duration::from_secs(180))
    );
}

#[test]
fn a_large_receive_buffer_gets_its_flow_window_first() {
    let options = Options::new().receive_buffer(1472 * 40_000).flow_window(40_000);
    let socket = socket_with(&options).unwrap();
    assert_eq!(read::<opt::ReceiveBuffer>(socket.id()).unwrap(), 1472 * 40_000);
}

#[test]
fn durations_round_up() {
    let socket = socket_with(&Options::new().latency(Duration::from_micros(1)).linger(ms(1))).unwrap();
    assert_eq!(read::<opt::Latency>(socket.id()).unwrap(), ms(1));
    assert_eq!(read::<opt::Linger>(socket.id()).unwrap(), Some(ms(1000)));
}

#[test]
fn a_value_out_of_range_is_refused_with_what_is_allowed() {
    let options = Options::new().latency(Duration::MAX);
    let error = options.check().unwrap_err();
    assert_eq!(
        error.to_string(),
        "option \"latency\" takes 0 to 2147483647 (milliseconds)"
    );
    let error = socket_with(&options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "option SRTO_LATENCY: 0 to 2147483647 (milliseconds)"
    );
    assert_eq!(error.kind(), crate::ErrorKind::InvalidInput);
}

#[test]
fn by_name_says_what_is_wrong() {
    let message = |name: &str, value: OptionValue| Options::new().named(name, value).unwrap_err().to_string();
    assert_eq!(
        message("lossmaxtl", 40.into()),
        "libsrt has no option \"lossmaxtl\"; did you mean \"lossmaxttl\"?"
    );
    assert_eq!(
        message("SRTO_LATENCY", 40.into()),
        "libsrt has no option \"SRTO_LATENCY\"; did you mean \"latency\"?"
    );
    assert_eq!(message("", 40.into()), "libsrt has no option \"\"");
    assert_eq!(
        message("isn", 40.into()),
        "option \"isn\" is read-only: remove it"
    );
    assert_eq!(
        message("oheadbw", 4.into()),
        "option \"oheadbw\" takes 5 to 100 (percent)"
    );
    assert_eq!(
        message("oheadbw", "25".into()),
        "option \"oheadbw\" takes 5 to 100 (percent), not a text"
    );
    assert_eq!(
        message("tlpktdrop", 2.into()),
        "option \"tlpktdrop\" takes true or false"
    );
    assert_eq!(
        message("latency", true.into()),
        "option \"latency\" takes 0 to 2147483647 (milliseconds), not a boolean"
    );
    assert_eq!(
        message("transtype", "vod".into()),
        "option \"transtype\" takes \"live\" or \"file\""
    );
    assert!(message("packetfilter", "fec,cols:1".into()).contains("takes a string such as \"fec,cols:10"));
    assert!(message("bindtodevice", "sixteen-bytes-xy".into()).contains("at most 15 bytes"));
}

#[test]
fn by_name_takes_names_and_numbers_of_choices() {
    let by_name = |name: &str, value: OptionValue| Options::new().named(name, value).unwrap();
    assert_eq!(
        by_name("cryptomode", "gcm".into()),
        Options::new().crypto_mode(CryptoMode::Gcm)
    );
    assert_eq!(
        by_name("cryptomode", 2.into()),
        Options::new().crypto_mode(CryptoMode::Gcm)
    );
    assert_eq!(
        by_name("ipv6only", true.into()),
        Options::new().ipv6_only(Ipv6Only::Yes)
    );
    assert_eq!(by_name("tsbpdmode", 0.into()), Options::new().tsbpd(false));
    assert_eq!(
        by_name("sndtimeo", (-1).into()),
        Options::new().send_timeout(None)
    );
    assert_eq!(
        by_name("minversion", "1.4.2".into()),
        Options::new().min_version(SrtVersion::new(1, 4, 2))
    );
    assert_eq!(
        by_name("congestion", "file".into()),
        Options::new().congestion(Congestion::File)
    );
    assert_eq!(
        by_name("linger", 3.into()),
        Options::new().linger(Duration::from_secs(3))
    );
    assert_eq!(by_name("passphrase", "".into()), Options::new().passphrase(None));
}

#[test]
fn secrets_never_show() {
    let secret = "a well kept secret";
    let options = Options::new().passphrase(Passphrase::new(secret).unwrap());
    for shown in [
        format!("{options:?}"),
        format!("{options:#?}"),
        format!("{:?}", OptionValue::from(secret)),
    ] {
        assert!(!shown.contains("well kept"), "{shown}");
    }
    assert_eq!(format!("{options:?}"), "{\"passphrase\": (secret)}");
    for secret in ["short one", "with a\0zero byte", &"x".repeat(80)] {
        let error = Options::new().named("passphrase", secret.into()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "option \"passphrase\" takes a string of 10 to 79 bytes, or an empty one for no encryption"
        );
    }
    let named = Options::new().named("passphrase", secret.into()).unwrap();
    assert_eq!(named, options);
    assert!(socket_with(&named).is_ok());
    assert!(opt::by_name("passphrase").unwrap().is_secret());
}

#[test]
fn contradictions_are_found_before_libsrt_is_asked() {
    let conflict = |options: Options| options.check().unwrap_err().to_string();
    assert_eq!(
        conflict(Options::new().key_refresh_rate(1000).key_pre_announce(500)),
        "option \"kmpreannounce\": less than half of \"kmrefreshrate\" (16777216 unless set)"
    );
    assert!(conflict(Options::new().crypto_mode(CryptoMode::Gcm).tsbpd(false)).contains("tsbpdmode"));
    let file = Options::new().transmission_type(TransmissionType::File);
    assert!(conflict(file.crypto_mode(CryptoMode::Gcm)).contains("live transmission"));
    assert!(conflict(Options::new().crypto_mode(CryptoMode::Gcm).payload_size(1441)).contains("1440"));
    assert!(
        conflict(
            Options::new()
                .packet_filter(PacketFilter::fec())
                .payload_size(1453)
        )
        .contains("1452")
    );
    assert!(conflict(Options::new().group_min_stable_timeout(ms(5001))).contains("peeridletimeo"));
    let efficient = Options::new().retransmit_algorithm(RetransmitAlgorithm::Efficient);
    assert!(conflict(efficient.nak_report(false)).contains("nakreport"));

    let allowed = Options::new()
        .key_refresh_rate(1001)
        .key_pre_announce(500)
        .payload_size(1440);
    if supported(opt::CryptoMode::INFO) {
        assert!(socket_with(&allowed.crypto_mode(CryptoMode::Gcm)).is_ok());
    }
}

#[test]
fn settings_can_be_laid_over_others() {
    let base = Options::new().latency(ms(120)).loss_max_ttl(40);
    let over = Options::new().latency(ms(500));
    let both = base.clone().overlaid_with(&over);
    assert_eq!(both.get(opt::Latency), Some(ms(500)));
    assert_eq!(both.get(opt::LossMaxTtl), Some(40));
    assert_eq!(both.clone().unset(opt::Latency).get(opt::Latency), None);
    assert_eq!(
        both.iter().map(OptionInfo::name).collect::<Vec<_>>(),
        ["latency", "lossmaxttl"]
    );
    assert!(Options::new().is_empty() && !base.is_empty());
}

#[test]
fn what_belongs_to_the_port_is_not_set_in_a_listen_callback() {
    let options = Options::new()
        .rendezvous(true)
        .latency(ms(333))
        .ip_tos(IpTos::new(8));
    let socket = OwnedSocket::create().unwrap();
    options.apply(socket.id(), Stage::Callback).unwrap();
    assert!(!read::<opt::Rendezvous>(socket.id()).unwrap());
    assert_eq!(read::<opt::IpTos>(socket.id()).unwrap(), None);
    assert_eq!(read::<opt::Latency>(socket.id()).unwrap(), ms(333));
}

fn any_value() -> impl Strategy<Value = OptionValue> {
    prop_oneof![
        any::<i64>().prop_map(OptionValue::Int),
        (-3_i64..3000).prop_map(OptionValue::Int),
        any::<bool>().prop_map(OptionValue::Bool),
        any::<String>().prop_map(OptionValue::Str),
        "fec,cols:[0-9]{1,6},rows:-?[0-9]{1,6}(,arq:(never|onreq|always|x))?".prop_map(OptionValue::Str),
        "[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}".prop_map(OptionValue::Str),
        "(live|file|gcm|ctr|auto|efficient|aes-256)".prop_map(OptionValue::Str),
    ]
}

proptest! {
    /// libsrt accepts every value that the table accepts; every refusal has a message.
    #[test]
    fn what_a_name_takes_libsrt_takes(index in any::<prop::sample::Index>(), value in any_value()) {
        let infos: Vec<_> = opt::all().collect();
        let info = infos[index.index(infos.len())];
        match Options::new().named(info.name, value) {
            Ok(options) if options.check().is_ok() && supported(info) => {
                let result = socket_with(&options).map(drop);
                prop_assert!(result.is_ok(), "{options:?}: {result:?}");
            }
            Ok(_) => {}
            Err(error) => prop_assert!(error.to_string().contains(info.name)),
        }
    }

    #[test]
    fn any_name_is_an_option_or_an_error_that_names_it(name in "[a-z0-9_]{0,20}") {
        let result = Options::new().named(&name, OptionValue::Int(1));
        if opt::by_name(&name).is_none() {
            let is_unknown = matches!(result, Err(OptionError::Unknown { name: said, .. }) if said == name);
            prop_assert!(is_unknown);
        }
    }

    #[test]
    fn a_misspelt_name_finds_its_option(index in any::<prop::sample::Index>(), at in any::<prop::sample::Index>()) {
        let names: Vec<_> = opt::all().map(|info| info.name).filter(|name| name.len() > 5).collect();
        let name = names[index.index(names.len())];
        let mut misspelt = name.to_owned();
        misspelt.insert(at.index(name.len()), '-');
        prop_assert_eq!(opt::nearest(&misspelt), Some(name));
    }

    #[test]
    fn packet_filters_come_back(columns: u16, rows: u16, columns_only: bool, layout in 0..3, arq in 0..4) {
        let mut filter = PacketFilter::fec().columns(columns);
        filter = if columns_only { filter.columns_only(rows) } else { filter.rows(rows) };
        filter = match layout { 0 => filter, 1 => filter.layout(FecLayout::Even), _ => filter.layout(FecLayout::Staircase) };
        filter = match arq { 0 => filter, 1 => filter.arq(Arq::Never), 2 => filter.arq(Arq::OnRequest), _ => filter.arq(Arq::Always) };
        let text = filter.to_string();
        prop_assert!(text.len() <= PacketFilter::MAX_LEN);
        prop_assert_eq!(text.parse::<PacketFilter>(), Ok(filter));
        prop_assert!(socket_with(&Options::new().packet_filter(filter)).is_ok());
    }

    #[test]
    fn no_text_is_too_odd_for_the_filter_parser(text in "(fec)?[a-z:,0-9-]{0,80}") {
        if let Ok(filter) = text.parse::<PacketFilter>() {
            prop_assert_eq!(filter.to_string().parse::<PacketFilter>(), Ok(filter));
        }
    }
}

#[test]
fn filter_errors_say_what_to_write() {
    let error = |text: &str| text.parse::<PacketFilter>().unwrap_err();
    assert_eq!(error("raid"), FilterError::UnknownType("raid".to_owned()));
    assert_eq!(error("fec,cols"), FilterError::NoValue("cols".to_owned()));
    assert_eq!(error("fec,cols:1"), FilterError::Columns);
    assert_eq!(error("fec,rows:0"), FilterError::Rows);
    assert_eq!(error("fec,rows:-1"), FilterError::Rows);
    assert_eq!(error("fec,layout:odd"), FilterError::Layout);
    assert_eq!(error("fec,arq:maybe"), FilterError::Arq);
    assert_eq!(
        error("fec,colums:3"),
        FilterError::UnknownKey("colums".to_owned())
    );
    assert_eq!(error("fec,cols:3,cols:4"), FilterError::Twice("cols"));
    assert_eq!(
        error(&format!("fec,cols:{}", "1".repeat(60))),
        FilterError::TooLong(69)
    );
    for error in [error("raid"), error("fec,rows:0"), error("fec,colums:3")] {
        assert!(error.to_string().contains("rows"), "{error}");
    }
}

#[test]
fn an_option_that_libsrt_lacks_is_said_to_be_lacking() {
    let socket = OwnedSocket::create().unwrap();
    // A number that no libsrt knows, like a newer option in an older libsrt.
    static UNKNOWN: OptionInfo = OptionInfo {
        name: "unknown",
        constant: "SRTO_UNKNOWN",
        number: SRT_SOCKOPT(999),
        kind: raw::Kind::Flag,
        settable: Some(Settable::AfterConnect),
        readable: true,
        of_port: false,
        allowed: "true or false",
        default: "false",
        operation: "option SRTO_UNKNOWN",
    };
    let error = UNKNOWN.write(socket.id(), &Raw::Int(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "option SRTO_UNKNOWN: the linked libsrt does not support this option, or not for this socket"
    );
    assert_eq!(UNKNOWN.is_supported(), Ok(false));
}
