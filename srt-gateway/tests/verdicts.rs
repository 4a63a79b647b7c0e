//! What a stream's verdict says of its source, its inputs and its outputs: a gateway in this process, over loopback.

mod peers;
#[path = "../../tests/support/ports.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test program uses a part")]
mod ports;

use peers::{Call, Source, gateway, port, wait_for};
use ports::free_udp;
use srt_gateway::{
    Gateway, StreamName,
    telemetry::health::{Fault, Level, Verdict},
};

const PUBLISH: &str = "#!::r=a,m=publish";

/// Waits for a verdict on the stream `a`.
#[track_caller]
fn verdict(gateway: &Gateway, level: Level, fault: Fault) -> Verdict {
    wait_for(&format!("{level:?} {fault:?}"), || {
        let verdict = gateway.stream_detail(&StreamName::new("a"))?.verdict;
        (verdict.level == level && verdict.fault == fault).then_some(verdict)
    })
}

#[test]
fn a_stream_that_has_lost_its_publisher_is_bad_until_one_comes_back() {
    let relay = gateway("[srt]\nport = \"127.0.0.1:0\"\n[streams.a]\n");
    verdict(&relay, Level::Idle, Fault::None);
    let source = Source::publish(1, port(&relay), &Call::named(PUBLISH));
    verdict(&relay, Level::Good, Fault::None);
    drop(source);
    let told = verdict(&relay, Level::Bad, Fault::Source);
    assert!(told.sentence.starts_with("lost 0 s ago: 127.0.0.1:"), "{told:?}");
    let _source = Source::publish(1, port(&relay), &Call::named(PUBLISH));
    verdict(&relay, Level::Good, Fault::None);
}

#[test]
fn a_broken_output_and_a_standby_input_that_fails_are_part_of_the_verdict() {
    let (nobody, nowhere) = (free_udp(), free_udp());
    let relay = gateway(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\n[streams.a]\nduplicate_publisher = \"takeover\"\ninputs = [\"srt://{nobody}\"]\n\
         outputs = [\"srt://{nowhere}\"]\n"
    ));
    let told = verdict(&relay, Level::Bad, Fault::Source);
    let wanted = format!("never came up: input srt://{nobody}: ");
    assert!(told.sentence.starts_with(&wanted), "{told:?}");
    let _source = Source::publish(1, port(&relay), &Call::named(PUBLISH));
    let told = verdict(&relay, Level::Bad, Fault::Output);
    assert!(
        told.sentence.contains(&format!("output srt://{nowhere}: ")),
        "{told:?}"
    );
}

#[test]
fn a_standby_input_that_is_open_and_silent_is_a_warning() {
    let (first, second) = (free_udp(), free_udp());
    let relay = gateway(&format!(
        "[streams.a]\ninputs = [\"udp://{first}\", \"udp://{second}\"]\n"
    ));
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let packets = packets();
    let told = wait_for("a warning about the second input", || {
        socket.send_to(&packets, first).unwrap();
        let verdict = relay.stream_detail(&StreamName::new("a"))?.verdict;
        (verdict.level == Level::Warning && verdict.fault == Fault::Input).then_some(verdict)
    });
    assert!(
        told.sentence.contains(&format!("input udp://{second}: ")),
        "{told:?}"
    );
    wait_for("the verdict is good when both send", || {
        socket.send_to(&packets, first).unwrap();
        socket.send_to(&packets, second).unwrap();
        let verdict = relay.stream_detail(&StreamName::new("a"))?.verdict;
        (verdict.fault != Fault::Input).then_some(())
    });
}

/// A datagram of null packets.
fn packets() -> Vec<u8> {
    let mut packet = [0xff_u8; 188];
    packet[..4].copy_from_slice(&[0x47, 0x1f, 0xff, 0x10]);
    packet.repeat(7)
}
