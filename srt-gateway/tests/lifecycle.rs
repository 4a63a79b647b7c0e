//! Starts and stops a gateway repeatedly: no thread, descriptor or socket may be left.
//!
//! A test program of its own with one test, because it counts resources of the process.

use std::{
    fs,
    time::{Duration, Instant},
};

use srt_gateway::{Gateway, config::Config};
use srt_safe::{SrtSocket, StreamId};

const CONFIG: &str = "[gateway]\nworkers = 2\n[srt]\nport = \"127.0.0.1:0\"\n[srt_play]\nport = \"127.0.0.1:0\"\n\
                      [streams_default]\naccept_unknown = true\n";

/// libsrt's collector removes closed sockets and their ports about a second later.
const COLLECTED: Duration = Duration::from_secs(30);

fn count(what: &str) -> usize {
    fs::read_dir(format!("/proc/self/{what}")).unwrap().count()
}

/// A gateway from start to end, with a publisher and two viewers.
fn cycle() {
    let gateway = Gateway::start(&Config::parse(CONFIG).unwrap()).unwrap();
    let addr = gateway.listening()[0].addr;
    let connect = |id: &str| {
        let id = StreamId::new(id).unwrap();
        SrtSocket::builder().stream_id(id).connect(addr).unwrap()
    };
    let viewers = [0; 2].map(|_| connect("#!::r=a,m=request"));
    let publisher = connect("#!::r=a,m=publish");
    wait("two viewers", || {
        gateway
            .streams()
            .first()
            .is_some_and(|stream| stream.viewers == 2)
    });
    let packet = [0x47; 1316];
    publisher.send(&packet).unwrap();
    let mut received = [0; 1456];
    for viewer in &viewers {
        assert_eq!(viewer.recv(&mut received).unwrap(), packet.len());
    }
    let asked = Instant::now();
    gateway.shut_down();
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    for viewer in viewers {
        viewer
            .recv(&mut received)
            .expect_err("the gateway has closed the connection");
    }
}

fn wait(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + COLLECTED;
    while !condition() {
        assert!(
            Instant::now() < end,
            "in vain: {what}; {} threads, {} descriptors",
            count("task"),
            count("fd")
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn twenty_gateways_leave_no_thread_and_no_descriptor() {
    // libsrt's own threads and the log's start with the first one and stay.
    cycle();
    wait("libsrt to collect the first", || !has_thread("SRT:RcvQ"));
    let (threads, descriptors) = (count("task"), count("fd"));
    for _ in 0..20 {
        cycle();
    }
    wait("as many threads and descriptors as before", || {
        count("task") <= threads && count("fd") <= descriptors
    });
}

/// Whether the name of a thread of this process begins with `name`.
fn has_thread(name: &str) -> bool {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map_while(Result::ok);
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
        .any(|comm| comm.starts_with(name))
}
