//! A stream's verdicts about its source, its inputs and its outputs: a gateway in this process, over loopback.

mod peers;
#[path = "../../tests/support/ports.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test program uses a part")]
mod ports;

use std::{
    net::{SocketAddr, UdpSocket},
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use peers::{Call, Source, gateway, port, wait_for};
use ports::free_udp;
use rustix::process::{Pid, Signal, kill_process};
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
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
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

/// An encoder: another process that publishes the datagrams of this one.
struct Encoder {
    process: Child,
    is_fed: Arc<AtomicBool>,
}

impl Drop for Encoder {
    fn drop(&mut self) {
        self.is_fed.store(false, Relaxed);
        // The process may have ended already.
        self.process.kill().unwrap_or_default();
        self.process.wait().map(drop).unwrap_or_default();
    }
}

impl Encoder {
    fn start(to: SocketAddr) -> Self {
        let from = free_udp();
        let process = Command::new(env!("CARGO_BIN_EXE_srt-gateway"))
            .arg("relay")
            .arg(format!("udp://{from}"))
            .arg(format!("srt://{to}?streamid={PUBLISH}"))
            .spawn()
            .unwrap();
        let is_fed = Arc::new(AtomicBool::new(true));
        let feeds = Arc::clone(&is_fed);
        thread::spawn(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            while feeds.load(Relaxed) {
                // Nobody is there yet, or no longer.
                drop(socket.send_to(&packets(), from));
                thread::sleep(Duration::from_millis(20));
            }
        });
        Self { process, is_fed }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

/// Waits until the stream `a` is bad for this reason.
#[track_caller]
fn bad(gateway: &Gateway, fault: Fault, words: &str) {
    wait_for(words, || {
        let verdict = gateway.stream_detail(&StreamName::new("a"))?.verdict;
        let is_it = verdict.level == Level::Bad && verdict.fault == fault;
        (is_it && verdict.sentence.contains(words)).then_some(())
    });
}

#[test]
fn four_ways_in_which_a_source_goes_are_told_apart() {
    let relay = gateway("[srt]\nport = \"127.0.0.1:0\"\n[streams.a]\n");
    let up = || {
        let encoder = Encoder::start(port(&relay));
        wait_for("the stream is up", || {
            let detail = relay.stream_detail(&StreamName::new("a"))?;
            (detail.has_source && detail.verdict.level != Level::Bad).then_some(())
        });
        encoder
    };
    // The encoder is connected and sends nothing.
    let encoder = up();
    encoder.is_fed.store(false, Relaxed);
    bad(&relay, Fault::Source, "its keep-alives arrive");
    // It closes the connection.
    encoder.signal(Signal::TERM);
    bad(&relay, Fault::Source, "the peer closed the connection");
    drop(encoder);
    // Nothing arrives any more, as over a link that is cut; then the connection breaks.
    let encoder = up();
    encoder.signal(Signal::STOP);
    bad(&relay, Fault::PublisherLink, "not even keep-alives");
    bad(&relay, Fault::Source, "nothing came from the peer any more");
    drop(encoder);
    // It is killed, and cannot close the connection.
    let encoder = up();
    encoder.signal(Signal::KILL);
    bad(&relay, Fault::PublisherLink, "not even keep-alives");
    bad(&relay, Fault::Source, "nothing came from the peer any more");
}
