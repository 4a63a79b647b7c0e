//! The cost of a thousand idle ports. Alone in its process, because it measures memory and threads.

#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the end-to-end tests' own; a part is used here"
)]
#[path = "../../tests/support/http.rs"]
mod http;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the end-to-end tests' own; a part is used here"
)]
#[path = "../../tests/support/ports.rs"]
mod ports;

use std::{fs, time::Instant};

use http::{HttpServer, Reply};
use srt_gateway::{Gateway, config::Config};
use srt_safe::SrtSocket;

/// Resident memory in bytes.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

fn open(ports: &[u16], url: &str) -> Gateway {
    let config =
        format!("[[listeners]]\nports = {ports:?}\nmode = \"publish\"\n[config_external]\nurl = \"{url}\"\n");
    Gateway::start(&Config::parse(&config).unwrap()).unwrap()
}

#[test]
fn a_thousand_idle_ports_open_in_two_seconds_and_twenty_mebibytes() {
    let server = HttpServer::start(|_| Reply::ok(r#"{"stream": "x"}"#));
    let ports: Vec<_> = (0..1000).map(|_| ports::free_udp().port()).collect();
    // The cost of one port, including the threads of libsrt and of the gateway.
    let one = open(&ports[..1], &server.url("/"));
    let (memory, running) = (resident(), threads());
    one.shut_down();

    let begin = Instant::now();
    let many = open(&ports, &server.url("/"));
    let took = begin.elapsed();
    let (more, more_threads) = (
        resident().saturating_sub(memory),
        threads().saturating_sub(running),
    );
    println!(
        "1,000 ports: {took:?}, {} KiB more, {more_threads} threads more",
        more >> 10
    );
    assert!(took.as_secs_f64() < 2.0, "{took:?}");
    assert!(more < 20 << 20, "{more} bytes");
    assert_eq!(more_threads, 0);
    // Each of them works.
    for port in [ports[0], ports[500], ports[999]] {
        let to = format!("127.0.0.1:{port}").parse().unwrap();
        let connected = SrtSocket::builder().connect(std::net::SocketAddr::clone(&to));
        // The stream is the same for all: libsrt's listener refuses its second publisher.
        assert!(connected.is_ok() || connected.unwrap_err().reject_reason().is_some());
    }
    assert_eq!(server.requests().len(), 3);
    many.shut_down();
}
