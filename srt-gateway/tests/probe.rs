//! `probe` against a listener of the test: its report of handshake, link and stream, and of refusals.

use std::{
    process::{Command, Output},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use mpeg2ts::{
    es::StreamType,
    ts::{
        ContinuityCounter, EsInfo, Pid, ProgramAssociation, TransportScramblingControl, TsHeader, TsPacket,
        TsPacketWriter, TsPayload, VersionNumber, WriteTsPacket,
        payload::{Pat, Pmt},
    },
};
use serde_json::Value;
use srt_safe::{AccessRequest, Admission, Options, Passphrase, RejectCode, SrtListener, Verdict};

const SECRET: &str = "a secret of the probe";

fn probe(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_srt-gateway"))
        .arg("probe")
        .args(arguments)
        .output()
        .unwrap()
}

fn listener() -> SrtListener {
    let options = Options::new()
        .latency(Duration::from_millis(170))
        .passphrase(Passphrase::new(SECRET).unwrap());
    SrtListener::builder()
        .options(options)
        .access_control(|request: &AccessRequest<'_>| match request.stream_id_bytes() {
            b"good" => Verdict::Admit(Admission::new()),
            _ => Verdict::Refuse(RejectCode::NOT_FOUND),
        })
        .bind("127.0.0.1:0")
        .unwrap()
}

/// PAT and PMT of one program with H.264, and five null packets: one message.
fn message(counter: ContinuityCounter) -> Vec<u8> {
    let pid = |pid| Pid::new(pid).unwrap();
    let packet = |at, payload| TsPacket {
        header: TsHeader {
            transport_error_indicator: false,
            transport_priority: false,
            pid: pid(at),
            transport_scrambling_control: TransportScramblingControl::NotScrambled,
            continuity_counter: counter,
        },
        adaptation_field: None,
        payload: Some(payload),
    };
    let pat = TsPayload::Pat(Pat {
        transport_stream_id: 1,
        version_number: VersionNumber::new(),
        table: vec![ProgramAssociation {
            program_num: 7,
            program_map_pid: pid(0x1000),
        }],
    });
    let pmt = TsPayload::Pmt(Pmt {
        program_num: 7,
        pcr_pid: Some(pid(0x100)),
        version_number: VersionNumber::new(),
        program_info: Vec::new(),
        es_info: vec![EsInfo {
            stream_type: StreamType::H264,
            elementary_pid: pid(0x100),
            descriptors: Vec::new(),
        }],
    });
    let mut writer = TsPacketWriter::new(Vec::new());
    writer.write_ts_packet(&packet(0, pat)).unwrap();
    writer.write_ts_packet(&packet(0x1000, pmt)).unwrap();
    let mut bytes = writer.into_stream();
    for _ in 0..5 {
        let mut null = [0xFF; 188];
        null[..4].copy_from_slice(&[0x47, 0x1F, 0xFF, 0x10]);
        bytes.extend_from_slice(&null);
    }
    bytes
}

#[test]
fn reports_handshake_link_and_programs() {
    let listener = listener();
    let port = listener.local_addr().unwrap().port();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (socket, _) = listener.accept_timeout(Duration::from_secs(20)).unwrap();
            let mut counter = ContinuityCounter::new();
            while !over.load(Ordering::Relaxed) && socket.send(&message(counter)).is_ok() {
                counter.increment();
                thread::sleep(Duration::from_millis(5));
            }
        });
        let url = format!("srt://127.0.0.1:{port}?streamid=good&latency=80&passphrase={SECRET}");
        let output = probe(&[&url, "--json", "--seconds", "2"]);
        over.store(true, Ordering::Relaxed);
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(!text.contains(SECRET), "{text}");
        let report: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(report["connected"], true);
        let connection = &report["connection"];
        // The larger of both offers applies.
        assert_eq!(connection["receive_latency_ms"], 170);
        assert_eq!(connection["encryption"], "AES-128");
        assert_eq!(
            connection["peer_version"],
            srt_safe::library_version().to_string()
        );
        let stream = &report["stream"];
        assert_eq!(stream["format"], "mpegts", "{stream}");
        assert_eq!(stream["continuity_errors"], 0, "{stream}");
        let bytes = stream["bytes"].as_u64().unwrap();
        assert_eq!(bytes, stream["messages"].as_u64().unwrap() * 1316);
        assert!(stream["bits_per_second"].as_u64().unwrap() > 10_000, "{stream}");
        assert_eq!(
            stream["programs"],
            serde_json::json!([{"number": 7, "pmt_pid": 0x1000, "video_pid": 0x100, "video": "H.264"}])
        );
    });
}

#[test]
fn refusals_are_told_in_words_with_what_to_do() {
    let listener = listener();
    let port = listener.local_addr().unwrap().port();
    let refused = |query: &str| {
        let output = probe(&[&format!("srt://127.0.0.1:{port}?{query}"), "--json"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["failure"].clone()
    };
    let other = refused(&format!("streamid=other&passphrase={SECRET}"));
    assert_eq!(other["code"], 1404, "{other}");
    assert!(other["advice"].as_str().unwrap().contains("no such stream"));
    let wrong = refused("streamid=good&passphrase=another passphrase");
    assert!(
        wrong["advice"].as_str().unwrap().contains("passphrase"),
        "{wrong}"
    );
    drop(listener);

    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("srt://{}?connect_timeout=1", silent.local_addr().unwrap());
    let text = String::from_utf8(probe(&[&url]).stdout).unwrap();
    assert!(text.contains("no answer: check the host"), "{text}");
}

#[test]
fn urls_that_cannot_be_probed_are_wrong_command_lines() {
    for (url, why) in [
        ("udp://127.0.0.1:5000", "only srt://"),
        ("srt://:9000", "give the host"),
        ("srt://127.0.0.1:9000?latncy=1", "latncy"),
        ("127.0.0.1:9000", "srt://"),
    ] {
        let output = probe(&[url]);
        assert_eq!(output.status.code(), Some(2), "{url}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(why), "{url}: {told}");
    }
}
