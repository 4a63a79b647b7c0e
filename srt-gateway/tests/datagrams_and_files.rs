//! Inputs and outputs over UDP, RTP and files: a gateway in this process, over loopback.

mod peers;

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use peers::{
    Call, Sink, Source, assert_contiguous, endpoint, gateway, message, port, wait_for, wait_state, wait_until,
};
use srt_gateway::{EndpointState, Gateway, Role, StreamName};

const PUBLISH: &str = "#!::r=a,m=publish";
const PLAY_A: &str = "#!::r=a,m=request";
const PLAY_B: &str = "#!::r=b,m=request";

fn free() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn with(streams: &str) -> Gateway {
    gateway(&format!("[srt]\nport = \"127.0.0.1:0\"\n{streams}"))
}

/// Sends numbered datagrams to `to`, each built from its message by `wrap`.
fn sender(tag: u8, to: SocketAddr, mut wrap: impl FnMut(&[u8]) -> Vec<u8> + Send + 'static) -> Source {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    Source::start(tag, move |message| {
        // Nobody may be listening yet: the next one may arrive.
        socket.send_to(&wrap(message), to).ok();
        true
    })
}

/// Receives datagrams with messages.
fn receiver(socket: UdpSocket) -> Sink {
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut buffer = [0; 2000];
    Sink::start(move || Ok(socket.recv(&mut buffer).ok().map(|len| buffer[..len].to_vec())))
}

#[test]
fn datagrams_come_in_and_go_out_as_they_are() {
    let (input, output) = (free(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let relay = with(&format!(
        "[streams.a]\ninputs = [\"udp://{input}\"]\noutputs = [\"udp://localhost:{}\"]\n",
        output.local_addr().unwrap().port()
    ));
    wait_state(&relay, Role::Publisher, 0, EndpointState::Silent);
    let datagrams = receiver(output);
    let _source = sender(1, input, <[u8]>::to_vec);
    let sink = Sink::play(port(&relay), &Call::named(PLAY_A));
    wait_state(&relay, Role::Publisher, 0, EndpointState::Live);
    sink.wait_more(300);
    datagrams.wait_more(300);
    assert_contiguous(&sink.finish(), 300);
    assert_contiguous(&datagrams.finish(), 300);
    wait_until("the viewer to go; an output is none", || {
        relay.streams()[0].viewers == 0
    });
}

#[test]
fn an_input_that_receives_nothing_is_silent_and_counted_as_a_failure() {
    let input = free();
    let relay = with(&format!("[streams.a]\ninputs = [\"udp://{input}\"]\n"));
    wait_until("the report", || {
        let Some(input) = endpoint(&relay, Role::Publisher, 0) else {
            return false;
        };
        assert!(matches!(
            input.state,
            EndpointState::Idle | EndpointState::Connecting | EndpointState::Silent
        ));
        input.failures == 1
    });
    let told = endpoint(&relay, Role::Publisher, 0).unwrap();
    assert!(told.last_failure.unwrap().contains("has received no data"));
    let source = sender(1, input, <[u8]>::to_vec);
    wait_state(&relay, Role::Publisher, 0, EndpointState::Live);
    wait_until("the end of the report", || {
        endpoint(&relay, Role::Publisher, 0)
            .unwrap()
            .last_failure
            .is_none()
    });
    drop(source);
    wait_state(&relay, Role::Publisher, 0, EndpointState::Silent);
    wait_until("the second report", || {
        endpoint(&relay, Role::Publisher, 0).unwrap().failures == 2
    });
}

/// Keeps all processors busy until dropped.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn begin() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let processors = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..2 * processors {
            let is_over = Arc::clone(&is_over);
            thread::spawn(move || while !is_over.load(Relaxed) {});
        }
        Self(is_over)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn a_udp_input_on_a_busy_machine_receives_what_a_plain_socket_receives() {
    let input = free();
    let relay = with(&format!("[streams.a]\ninputs = [\"udp://{input}\"]\n"));
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let bytes = || relay.streams()[0].bytes;
    wait_until("the input to be open", || {
        sender.send_to(&[0x47; 188], input).ok();
        bytes() > 0
    });
    let (control, before) = (UdpSocket::bind("127.0.0.1:0").unwrap(), bytes());
    let yardstick = control.local_addr().unwrap();
    control
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let counting = thread::spawn(move || {
        let mut buffer = [0; 2000];
        let mut count = 0;
        while control.recv(&mut buffer).is_ok() {
            count += 1;
        }
        count
    });
    let busy = Busy::begin();
    for _ in 0..3000 {
        for to in [input, yardstick] {
            sender.send_to(&[0x47; 188], to).unwrap();
        }
        thread::sleep(Duration::from_millis(1));
    }
    let wanted: u64 = counting.join().unwrap();
    drop(busy);
    let received = (bytes() - before) / 188;
    assert!(
        wanted > 1500,
        "the machine is too busy for the yardstick: {wanted}"
    );
    assert!(received * 10 >= wanted * 9, "{received} of {wanted}");
}

#[test]
fn a_multicast_group_is_sent_to_and_received_from() {
    let number = free().port();
    let group = format!("udp://239.255.77.1:{number}?interface=127.0.0.1");
    let relay = with(&format!(
        "[streams.a]\noutputs = [\"{group}&ttl=0\"]\n[streams.b]\ninputs = [\"{group}&sources=127.0.0.1\"]\n\
         [streams.c]\ninputs = [\"udp://@239.255.77.1:{number}?interface=lo\"]\n[streams.d]\ninputs = [\"{group}&sources=127.0.0.9\"]\n"
    ));
    let _source = Source::publish(1, port(&relay), &Call::named(PUBLISH));
    let sinks = [PLAY_B, "#!::r=c,m=request"].map(|id| Sink::play(port(&relay), &Call::named(id)));
    for sink in sinks {
        sink.wait_more(300);
        assert_contiguous(&sink.finish(), 300);
    }
    let of_another_sender = relay
        .streams()
        .into_iter()
        .find(|stream| stream.name.as_str() == "d")
        .unwrap();
    assert_eq!(of_another_sender.bytes, 0);
}

/// No other socket may be in the group: once one has joined, the system delivers a datagram to all sockets that are
/// bound to it.
#[test]
fn one_sender_of_a_group_is_received_on_the_loopback_interface() {
    let group = format!("udp://239.255.77.2:{}?interface", free().port());
    let relay = with(&format!(
        "[streams.a]\noutputs = [\"{group}=127.0.0.1&ttl=0\"]\n[streams.b]\ninputs = [\"{group}=lo&sources=127.0.0.1\"]\n"
    ));
    let _source = Source::publish(1, port(&relay), &Call::named(PUBLISH));
    let sink = Sink::play(port(&relay), &Call::named(PLAY_B));
    sink.wait_more(300);
    assert_contiguous(&sink.finish(), 300);
}

#[test]
fn rtp_goes_out_and_comes_in() {
    let way = free();
    let relay = with(&format!(
        "[streams.a]\noutputs = [\"rtp://{way}\"]\n[streams.b]\ninputs = [\"rtp://{way}\"]\n"
    ));
    let _source = Source::publish(1, port(&relay), &Call::named(PUBLISH));
    let sink = Sink::play(port(&relay), &Call::named(PLAY_B));
    sink.wait_more(300);
    assert_contiguous(&sink.finish(), 300);
}

#[test]
fn rtp_that_comes_out_of_order_is_put_in_order() {
    let input = free();
    let relay = with(&format!("[streams.a]\ninputs = [\"rtp://{input}\"]\n"));
    wait_state(&relay, Role::Publisher, 0, EndpointState::Silent);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let packet = |number: u64| {
        let mut packet = vec![0x80, 33];
        packet.extend(u16::try_from(number % 65_536).unwrap().to_be_bytes());
        packet.extend([0; 8]);
        packet.extend(message(1, number));
        packet
    };
    // Every fifth packet comes after the next two, and once more.
    let mut late: Option<(u64, Vec<u8>)> = None;
    let mut number = 65_400;
    let _source = Source::start(1, move |_| {
        if number % 5 == 0 {
            late = Some((number, packet(number)));
        } else {
            socket.send_to(&packet(number), input).unwrap();
        }
        if let Some((_, packet)) = late.take_if(|(first, _)| number == *first + 2) {
            socket.send_to(&packet, input).unwrap();
            socket.send_to(&packet, input).unwrap();
        }
        number += 1;
        true
    });
    let sink = Sink::play(port(&relay), &Call::named(PLAY_A));
    sink.wait_more(400);
    assert_contiguous(&sink.finish(), 400);
}

#[test]
fn an_input_of_datagrams_stands_by_for_a_call_that_fails() {
    let (nobody, input) = (free(), free());
    let relay = with(&format!(
        "[streams.a]\nfailover = {{ after = \"500ms\" }}\ninputs = [\"srt://{nobody}\", \"udp://{input}\"]\n"
    ));
    let _source = sender(2, input, <[u8]>::to_vec);
    let sink = Sink::play(port(&relay), &Call::named(PLAY_A));
    sink.wait_more(300);
    assert_contiguous(&sink.finish(), 300);
    wait_state(&relay, Role::Publisher, 1, EndpointState::Live);
}

/// The files of a folder, sorted by name and concatenated.
fn all_of(folder: &Path) -> (usize, Vec<u8>) {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let bytes = paths.iter().flat_map(|path| fs::read(path).unwrap()).collect();
    (paths.len(), bytes)
}

#[test]
fn segments_together_are_the_stream() {
    let folder = tempfile::tempdir().unwrap();
    let relay = with(&format!(
        "[streams.a]\noutputs = [\"file://{}/%Y%m%d-%H%M%S.ts?segment=1s\"]\n",
        folder.path().display()
    ));
    wait_state(&relay, Role::Viewer, 0, EndpointState::Live);
    let source = Source::publish(1, port(&relay), &Call::named(PUBLISH));
    // The stream has no PAT to begin a file with, so each file lasts two seconds.
    wait_until("three segments", || all_of(folder.path()).0 >= 3);
    drop(source);
    relay.shut_down();
    let (_, bytes) = all_of(folder.path());
    let first = peers::read(&bytes[..peers::MESSAGE]).expect("a whole message").1;
    let messages = bytes.chunks(peers::MESSAGE);
    assert!(messages.len() > 1_000, "{}", messages.len());
    for (number, bytes) in (first..).zip(messages) {
        assert_eq!(peers::read(bytes), Some((1, number)));
    }
}

/// A stream of `seconds` with a clock reference every 20 ms, 26 packets (2 Mb/s) apart.
fn clocked(seconds: u64) -> Vec<u8> {
    const PER_STEP: u64 = 26;
    let mut bytes = Vec::new();
    for step in 0..seconds * 50 {
        for at in 0..PER_STEP {
            let number = step * PER_STEP + at;
            let counter = u8::try_from(number % 16).unwrap();
            let mut packet = if at == 0 {
                let base = step * 1_800;
                let mut packet = vec![0x47, 0x01, 0x00, 0x30 | counter, 7, 0x10];
                packet.extend(&(base << 15 | 0x7e00).to_be_bytes()[2..]);
                packet
            } else {
                vec![0x47, 0x01, 0x00, 0x10 | counter]
            };
            packet.extend(number.to_be_bytes());
            packet.resize(188, 0xaa);
            bytes.extend(packet);
        }
    }
    bytes
}

/// The same without every fiftieth packet, which causes continuity errors.
fn broken(seconds: u64) -> Vec<u8> {
    let whole = clocked(seconds);
    let packets = whole.chunks(188).enumerate();
    let kept = packets.filter(|(at, _)| at % 50 != 30);
    kept.flat_map(|(_, packet)| packet.to_vec()).collect()
}

#[test]
fn the_transport_stream_of_every_kind_of_input_is_reported_and_judged() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("from.ts");
    fs::write(&from, broken(2)).unwrap();
    let (udp, rtp) = (free(), free());
    let relay = with(&format!(
        "[streams.udp]\ninputs = [\"udp://{udp}\"]\n[streams.rtp]\ninputs = [\"rtp://{rtp}\"]\n\
         [streams.file]\ninputs = [\"file://{}?loop=true\"]\n[streams.srt]\n",
        from.display()
    ));
    let parts = |header: bool| {
        let bytes = broken(2);
        let mut at = 0;
        let mut number = 0_u16;
        move || {
            let part = &bytes[at..bytes.len().min(at + 1_316)];
            at = if at + 1_316 >= bytes.len() { 0 } else { at + 1_316 };
            number = number.wrapping_add(1);
            let mut whole = Vec::new();
            if header {
                whole.extend([0x80, 33]);
                whole.extend(number.to_be_bytes());
                whole.extend([0; 8]);
            }
            whole.extend(part);
            whole
        }
    };
    let (mut plain, mut wrapped, mut message) = (parts(false), parts(true), parts(false));
    let _udp = sender(1, udp, move |_| plain());
    let _rtp = sender(1, rtp, move |_| wrapped());
    let publisher = Call::named("#!::r=srt,m=publish").connect(port(&relay));
    let _srt = Source::start(1, move |_| publisher.send(&message()).is_ok());
    for name in ["srt", "udp", "rtp", "file"] {
        let detail = wait_for(&format!("a verdict about {name}"), || {
            let detail = relay.stream_detail(&StreamName::new(name))?;
            (detail
                .ts()?
                .failures()
                .iter()
                .any(|failure| failure.contains("Continuity"))
                && detail.verdict.sentence.contains("errors arrive with the source")
                && detail.ts()?.bits_per_second > 0)
                .then_some(detail)
        });
        assert_eq!(detail.inputs.len(), 1, "{name}");
    }
}

#[test]
fn a_file_is_played_at_its_pace_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from.ts"), folder.path().join("to.ts"));
    let seconds = 1;
    let file = clocked(seconds);
    fs::write(&from, &file).unwrap();
    let relay = with(&format!(
        "[streams.a]\ninputs = [\"file://{}?loop=true\"]\noutputs = [\"file://{}\"]\n",
        from.display(),
        to.display()
    ));
    wait_state(&relay, Role::Publisher, 0, EndpointState::Live);
    let bytes = || relay.streams()[0].bytes;
    let (start, before) = (Instant::now(), bytes());
    let rounds = 3;
    let length = file.len() as u64;
    wait_until("three rounds", || bytes() >= before + rounds * length);
    let pace = start.elapsed().as_secs_f64() / (rounds * seconds) as f64;
    assert!(
        (0.8..4.0).contains(&pace),
        "{pace:.2} times as long as the clock says"
    );
    let detail = relay.stream_detail(&StreamName::new("a")).unwrap();
    let ts = detail.ts().unwrap();
    let failed = ts
        .checks
        .iter()
        .filter(|check| ["1.4", "2.3.b"].contains(&check.number.as_str()) && check.count > 0);
    let failed: Vec<_> = failed.cloned().collect();
    assert!(failed.is_empty(), "the end of a round is no fault: {failed:?}");
    relay.shut_down();
    let played = fs::read(&to).unwrap();
    let at = (0..file.len())
        .step_by(188)
        .find(|at| file[*at..].starts_with(&played[..188]));
    let at = at.expect("the output begins with a packet of the file");
    let expected = file.iter().cycle().skip(at).take(played.len());
    assert!(played.iter().eq(expected) && played.len() as u64 >= rounds * length);
}

#[test]
fn a_file_that_is_not_to_be_repeated_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (short, none) = (folder.path().join("short.ts"), folder.path().join("none.ts"));
    fs::write(&short, clocked(1)).unwrap();
    fs::write(&none, "this is no transport stream").unwrap();
    let relay = with(&format!(
        "[streams.a]\ninputs = [\"file://{}\"]\n[streams.b]\ninputs = [\"file://{}\"]\n",
        short.display(),
        none.display()
    ));
    wait_state(&relay, Role::Publisher, 0, EndpointState::Failed);
    assert_eq!(relay.streams()[0].bytes, clocked(1).len() as u64);
    let why = wait_for("the refusal", || {
        endpoint(&relay, Role::Publisher, 1)?.last_failure
    });
    assert!(why.contains("MPEG-TS"), "{why}");
}
