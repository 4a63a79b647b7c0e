//! A port that several sockets share. A test program of its own, because it counts the process's threads.

mod peers;

use std::fs;

use peers::{Call, Sink, Source, assert_contiguous, gateway, port, wait_until};
use srt_gateway::config::Config;

const SHARDS: usize = 4;

fn receiving_threads() -> usize {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with("SRT:RcvQ"))
        .count()
}

#[test]
fn callers_are_dealt_out_to_the_shards_and_all_get_everything() {
    let toml = format!(
        "[srt]\nport = \"127.0.0.1:0\"\nshards = {SHARDS}\n[streams_default]\naccept_unknown = true\n"
    );
    let gateway = gateway(&toml);
    assert_eq!(receiving_threads(), SHARDS);
    assert_eq!(gateway.listening().len(), 1, "one address, however many sockets");
    let source = Source::publish(1, port(&gateway), &Call::named("#!::r=a,m=publish"));
    let sinks: Vec<_> = (0..24)
        .map(|_| Sink::play(port(&gateway), &Call::named("#!::r=a,m=request")))
        .collect();
    let all_have = |messages| sinks.iter().all(|sink| sink.count() >= messages);
    wait_until("a part for all", || all_have(300));
    // Sockets that carry sessions are not opened again beside them.
    let changed = format!("{toml}[srt_defaults]\nlatency = 333\n");
    let reloaded = gateway.reload(Config::parse(&changed).unwrap()).unwrap();
    assert!(
        reloaded.warnings.iter().any(|told| told.contains("shards")),
        "{reloaded:?}"
    );
    wait_until("the rest for all", || all_have(600));
    wait_until("all viewers", || gateway.streams()[0].viewers == 24);
    for sink in sinks {
        assert_contiguous(&sink.finish(), 600);
    }
    drop(source);
}
