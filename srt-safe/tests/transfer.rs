//! Transfers arrive: messages with their details, streams to their end, whole files.

mod support;

use std::{
    fs,
    io::{self, Read, Write},
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use srt_safe::{
    DeliveryOrder, ErrorKind, MaxBandwidth, MessageOptions, Options, SourceTime, SrtListener, SrtSocket,
    TransmissionType,
};
use support::{live_pair, noise, pair, refused, retry, wait_until};

fn file_pair() -> (SrtSocket, SrtSocket) {
    let options = Options::new().transmission_type(TransmissionType::File);
    pair(
        SrtListener::builder().options(options.clone()),
        SrtSocket::builder().options(options),
    )
}

/// Every message size up to the largest one, for each family of the port and the caller.
#[test]
fn messages_of_full_size_arrive_on_ports_of_both_families() {
    if !libsrt_sys::has_edit(libsrt_sys::EDIT_RECEIVE_UNITS) {
        return;
    }
    for (bind, host) in [
        ("127.0.0.1:0", "127.0.0.1"),
        ("[::]:0", "127.0.0.1"),
        ("[::]:0", "::1"),
        ("[::1]:0", "::1"),
    ] {
        let options = Options::new().payload_size(1456);
        let listener = SrtListener::builder()
            .options(options.clone())
            .bind(bind)
            .expect("a port");
        let to = SocketAddr::new(host.parse().unwrap(), listener.local_addr().unwrap().port());
        let caller = SrtSocket::builder()
            .options(options)
            .connect(to)
            .expect("a connection");
        let (accepted, _) = listener.accept().expect("the caller");
        accepted.set_recv_timeout(Some(support::PATIENCE)).expect("open");
        let mut buffer = [0; 1500];
        for size in [1316, 1436, 1437, 1444, 1445, 1452, 1456] {
            let message = noise(7, size);
            caller.send(&message).expect("room");
            let arrived = accepted.recv(&mut buffer);
            let arrived =
                arrived.unwrap_or_else(|error| panic!("{size} bytes from {host} to {bind}: {error}"));
            assert!(buffer[..arrived] == message, "{size} bytes from {host} to {bind}");
        }
    }
}

#[test]
fn message_info_tells_time_and_numbers() {
    let (caller, accepted) = live_pair();
    let mut buffer = [0; 1500];
    let mut last = None;
    for number in 0..3_u32 {
        let before = SourceTime::now();
        let (sent, info) = caller
            .send_message(b"timed", MessageOptions::new())
            .expect("room");
        assert_eq!(sent, 5);
        let (received, there) = accepted.recv_message(&mut buffer).expect("the packet");
        assert_eq!(&buffer[..received], b"timed");
        assert_eq!(there.packet_sequence, info.packet_sequence);
        assert_eq!(there.message_number, Some(number + 1));
        // Due at the receiver one latency (120 ms) after it was sent, on the same clock, as both are in one process.
        let due = there
            .source_time
            .expect("live mode has times")
            .saturating_duration_since(before);
        assert!((100..1000).contains(&due.as_millis()), "due after {due:?}");
        let sequence = there.packet_sequence.expect("received packets have one");
        if let Some(last) = last.replace(sequence) {
            assert_eq!(sequence, (last + 1) & 0x7fff_ffff);
        }
    }
}

#[test]
fn given_source_time_moves_the_delivery() {
    let (caller, accepted) = live_pair();
    let mut buffer = [0; 1500];
    caller.send(b"to set the pace").expect("room");
    let (_, first) = accepted.recv_message(&mut buffer).expect("the packet");
    let then = SourceTime::now();
    let options = MessageOptions::new().source_time(then);
    caller.send_message(b"timed by hand", options).expect("room");
    let (_, second) = accepted.recv_message(&mut buffer).expect("the packet");
    let due = second.source_time.expect("timed").saturating_duration_since(then);
    assert!(
        (100..140).contains(&due.as_millis()),
        "120 ms after the given time, not {due:?}"
    );
    assert!(second.source_time > first.source_time);

    let before_the_connection = SourceTime::from_duration(Duration::from_micros(1));
    let error =
        refused(caller.send_message(b"late", MessageOptions::new().source_time(before_the_connection)));
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}

#[test]
fn connection_time_is_on_the_same_clock() {
    let before = SourceTime::now();
    let (caller, _accepted) = live_pair();
    let at = caller.connected_at().expect("connected");
    assert!(before <= at && at <= SourceTime::now());
}

#[test]
fn nothing_to_do_is_would_block_or_a_timeout_by_mode() {
    let (caller, accepted) = live_pair();
    let mut buffer = [0; 1500];
    accepted
        .set_recv_timeout(Some(Duration::from_millis(40)))
        .expect("open");
    let started = Instant::now();
    assert_eq!(refused(accepted.recv(&mut buffer)).kind(), ErrorKind::TimedOut);
    assert!(started.elapsed() >= Duration::from_millis(40));

    accepted.set_nonblocking().expect("open");
    let error = refused(accepted.recv(&mut buffer));
    assert!(error.is_would_block());
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::WouldBlock);

    accepted.set_blocking().expect("open");
    accepted.set_recv_timeout(None).expect("open");
    let waiting = thread::spawn(move || accepted.recv(&mut [0; 1500]));
    caller.send(b"at last").expect("room");
    assert_eq!(waiting.join().expect("no panic"), Ok(7));
}

#[test]
fn messages_of_impossible_size_are_refused() {
    let (caller, accepted) = live_pair();
    assert_eq!(refused(caller.send(b"")).kind(), ErrorKind::InvalidInput);
    assert_eq!(refused(caller.send(&[0; 1457])).kind(), ErrorKind::InvalidInput);
    assert_eq!(
        refused(accepted.recv(&mut [0; 100])).kind(),
        ErrorKind::InvalidInput
    );
}

#[test]
fn stream_arrives_byte_exact_and_ends_with_zero() {
    let (mut caller, accepted) = file_pair();
    let sent = noise(7, 3_000_001);
    let reading = thread::spawn(move || {
        let mut received = Vec::new();
        (&accepted).read_to_end(&mut received).map(|_| received)
    });
    caller.write_all(&sent).expect("the peer reads");
    caller.flush().expect("does nothing");
    caller.close().expect("lingers until all has arrived");
    let received = reading.join().expect("no panic").expect("an end in good order");
    assert!(
        received == sent,
        "{} of {} bytes, or changed",
        received.len(),
        sent.len()
    );
}

#[test]
fn nonblocking_stream_goes_both_ways_at_once() {
    let (one, other) = file_pair();
    for socket in [&one, &other] {
        socket.set_nonblocking().expect("open");
    }
    let send_all = |socket: &SrtSocket, data: &[u8]| {
        let mut rest = data;
        while !rest.is_empty() {
            let sent = retry(|| socket.send(rest)).expect("the peer reads");
            rest = &rest[sent..];
        }
    };
    let recv_all = |socket: &SrtSocket, len: usize| {
        let mut received = Vec::new();
        let mut buffer = vec![0; 100_000];
        while received.len() < len {
            let got = retry(|| socket.recv(&mut buffer)).expect("more to come");
            assert_ne!(got, 0, "the end came early");
            received.extend_from_slice(&buffer[..got]);
        }
        received
    };
    let (there, back) = (noise(1, 1_000_000), noise(2, 1_500_000));
    thread::scope(|scope| {
        scope.spawn(|| send_all(&one, &there));
        scope.spawn(|| send_all(&other, &back));
        let at_other = scope.spawn(|| recv_all(&other, there.len()));
        assert!(recv_all(&one, back.len()) == back);
        assert!(at_other.join().expect("no panic") == there);
    });
}

#[test]
fn large_messages_keep_their_boundaries() {
    let options = Options::new()
        .transmission_type(TransmissionType::File)
        .message_api(true);
    let (caller, accepted) = pair(
        SrtListener::builder().options(options.clone()),
        SrtSocket::builder().options(options),
    );
    let messages: Vec<_> = (0..5_u32)
        .map(|n| noise(u64::from(n), 40_000 + 7 * n as usize))
        .collect();
    let how = MessageOptions::new()
        .time_to_live(Duration::from_secs(30))
        .order(DeliveryOrder::InOrder);
    for message in &messages {
        caller.send_message(message, how).expect("room");
    }
    let mut buffer = vec![0; 100_000];
    for message in &messages {
        let len = accepted.recv(&mut buffer).expect("a message");
        assert!(buffer[..len] == *message);
    }
}

#[test]
fn expired_messages_are_not_delivered() {
    // So little bandwidth that packets wait longer for their turn than they may.
    let slow = Options::new()
        .max_bandwidth(MaxBandwidth::BytesPerSecond(
            std::num::NonZeroU64::new(20_000).expect("not zero"),
        ))
        .too_late_drop(false);
    let (caller, accepted) = pair(SrtListener::builder(), SrtSocket::builder().options(slow));
    let packet = [7; 1316];
    for _ in 0..3 {
        caller.send(&packet).expect("room");
    }
    let short = MessageOptions::new().time_to_live(Duration::from_millis(1));
    for _ in 0..20 {
        caller.send_message(b"short-lived", short).expect("room");
    }
    caller.send(b"after them").expect("room");
    let mut buffer = [0; 1500];
    let mut late = 0;
    loop {
        let len = accepted.recv(&mut buffer).expect("a packet");
        match &buffer[..len] {
            b"after them" => break,
            b"short-lived" => late += 1,
            _ => {}
        }
    }
    assert!(late < 20, "all of them arrived");
}

#[test]
fn whole_file_arrives_byte_exact() {
    let dir = tempfile::tempdir().expect("a directory");
    let (source, target) = (dir.path().join("source"), dir.path().join("target"));
    let bytes = noise(3, 2_345_678);
    fs::write(&source, &bytes).expect("written");
    let (caller, accepted) = file_pair();
    let skipped = 1234;
    let length = bytes.len() as u64 - skipped;
    let receiving = thread::spawn({
        let target = target.clone();
        move || accepted.recv_file(target, length)
    });
    assert_eq!(caller.send_file(&source, skipped), Ok(length));
    assert_eq!(receiving.join().expect("no panic"), Ok(length));
    assert!(fs::read(&target).expect("the file") == bytes[1234..]);
}

#[test]
fn file_that_ends_early_is_counted() {
    let dir = tempfile::tempdir().expect("a directory");
    let (source, target) = (dir.path().join("source"), dir.path().join("target"));
    let bytes = noise(4, 50_000);
    fs::write(&source, &bytes).expect("written");
    // libsrt 1.5.1 lingers for the whole time although all was acknowledged.
    let options = Options::new()
        .transmission_type(TransmissionType::File)
        .linger(Duration::from_secs(2));
    let (caller, accepted) = pair(
        SrtListener::builder().options(options.clone()),
        SrtSocket::builder().options(options),
    );
    let receiving = thread::spawn({
        let target = target.clone();
        move || accepted.recv_file(target, 1_000_000)
    });
    caller.send_file(&source, 0).expect("sent");
    caller.close().expect("lingers until all has arrived");
    assert_eq!(receiving.join().expect("no panic"), Ok(50_000));
    assert!(fs::read(&target).expect("the file") == bytes);
}

#[test]
fn files_that_cannot_be_opened_are_file_errors() {
    let (caller, _accepted) = file_pair();
    // Nobody can create a file in a folder that is a device, whatever the machine that runs this test contains.
    let nowhere = std::path::Path::new("/dev/null/file");
    assert_eq!(refused(caller.send_file(nowhere, 0)).kind(), ErrorKind::File);
    assert_eq!(refused(caller.recv_file(nowhere, 1)).kind(), ErrorKind::File);
    assert_eq!(
        refused(caller.send_file("zero\0byte", 0)).kind(),
        ErrorKind::InvalidInput
    );
    let (live, _accepted) = live_pair();
    assert_eq!(
        refused(live.send_file("/proc/self/exe", 0)).kind(),
        ErrorKind::InvalidInput
    );
}

#[test]
fn unsent_empties_when_the_peer_has_it() {
    let (caller, accepted) = live_pair();
    caller.send(b"one packet").expect("room");
    accepted.recv(&mut [0; 1500]).expect("the packet");
    wait_until("the acknowledgement", || {
        caller.unsent().expect("open").bytes == 0
    });
}
