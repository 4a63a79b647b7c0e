//! The examples `bare_relay` and `async_echo` as processes of their own.

use std::{
    env,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use srt_safe::{ErrorKind, Mode, Options, RejectCode, SrtSocket, StreamId};

/// An example that runs until it is dropped.
struct Example {
    process: Child,
    output: BufReader<ChildStdout>,
    addr: SocketAddr,
}

impl Example {
    fn start(name: &str) -> Self {
        // target/<profile>/deps/<this test> and target/<profile>/examples/<name>
        let this = env::current_exe().unwrap();
        let path = this
            .parent()
            .and_then(|deps| deps.parent())
            .unwrap()
            .join("examples")
            .join(name);
        let mut process = Command::new(&path)
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "{}: {error}: build with --examples --features async",
                    path.display()
                )
            });
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let addr = line
            .trim()
            .strip_prefix("listening on ")
            .unwrap()
            .parse()
            .unwrap();
        Self {
            process,
            output,
            addr,
        }
    }

    fn wait_for(&mut self, what: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(
                self.output.read_line(&mut line).unwrap() > 0,
                "it ended before: {what}"
            );
            if line.contains(what) {
                return line;
            }
        }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn call(addr: SocketAddr, name: &str, mode: Mode) -> srt_safe::Result<SrtSocket> {
    let id = StreamId::builder().resource(name).mode(mode).build().unwrap();
    let socket = SrtSocket::builder()
        .options(Options::new().latency(Duration::from_millis(50)))
        .stream_id(id)
        .connect(addr)?;
    socket.set_recv_timeout(Some(Duration::from_secs(10)))?;
    Ok(socket)
}

#[test]
fn bare_relay_gives_each_viewer_what_the_publisher_sends() {
    const PACKETS: u32 = 500;
    let mut relay = Example::start("bare_relay");
    // One viewer waits before there is a publisher, one comes later.
    let mut viewers = vec![call(relay.addr, "one", Mode::Request).unwrap()];
    relay.wait_for("one: viewer joined");
    let publisher = call(relay.addr, "one", Mode::Publish).unwrap();
    relay.wait_for("one: publisher joined");
    viewers.push(call(relay.addr, "one", Mode::Request).unwrap());
    relay.wait_for("one: viewer joined");

    let second = call(relay.addr, "one", Mode::Publish).unwrap_err();
    assert_eq!(
        second.reject_reason(),
        Some(RejectCode::CONFLICT.into()),
        "{second}"
    );
    let neither = SrtSocket::connect(relay.addr).unwrap_err();
    assert_eq!(
        neither.reject_reason(),
        Some(RejectCode::BAD_REQUEST.into()),
        "{neither}"
    );

    let sender = std::thread::spawn(move || {
        let start = Instant::now();
        for number in 0..PACKETS {
            let mut packet = [0x47; 1316];
            packet[..4].copy_from_slice(&number.to_be_bytes());
            publisher.send(&packet).unwrap();
            std::thread::sleep((Duration::from_millis(1) * number).saturating_sub(start.elapsed()));
        }
        publisher
    });
    for viewer in &viewers {
        let mut buffer = [0; 1500];
        for number in 0..PACKETS {
            let len = viewer.recv(&mut buffer).unwrap();
            assert_eq!((len, &buffer[..4]), (1316, &number.to_be_bytes()[..]));
        }
    }
    drop(viewers.pop());
    relay.wait_for("one: viewer left");
    drop(sender.join().unwrap());
    let totals = relay.wait_for("one: publisher left");
    assert!(totals.contains("500 packets in, 1000 out, 0 skipped"), "{totals}");

    // The name is free again.
    call(relay.addr, "one", Mode::Publish).unwrap();
}

#[test]
fn async_echo_echoes_to_several_at_once() {
    let echo = Example::start("async_echo");
    let callers: Vec<_> = (0..5)
        .map(|_| {
            let socket = SrtSocket::connect(echo.addr).unwrap();
            socket.set_recv_timeout(Some(Duration::from_secs(10))).unwrap();
            socket
        })
        .collect();
    for round in 0..3_u8 {
        for (number, caller) in (0..).zip(&callers) {
            caller.send(&[round, number]).unwrap();
        }
        for (number, caller) in (0..).zip(&callers) {
            let mut buffer = [0; 1500];
            let len = caller.recv(&mut buffer).unwrap();
            assert_eq!(buffer[..len], [round, number]);
        }
    }
    let gone = callers[0].recv(&mut [0; 10]).unwrap_err();
    assert_eq!(
        gone.kind(),
        ErrorKind::InvalidInput,
        "a live packet needs room for 1316 bytes: {gone}"
    );
}
